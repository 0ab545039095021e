//! Sentry's own SDKs, from their registries, report to Regreen.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::incidents::{incidents, only, recorded};
use crate::languages::{run, tools};
use crate::project::{Project, Ran};
use crate::service::{Served, answer, client};

/// A virtual environment with the SDK, and with brotli, which it packs by where it is there.
fn python() -> Option<PathBuf> {
    static ONCE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    tools(&ONCE, "sentry-sdk", |folder| {
        run("python3", &["-m", "venv", "venv"], folder)?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "sentry-sdk", "brotli"];
        run("venv/bin/python", &pip, folder)
    })
}

/// `node_modules` with the SDK.
fn node() -> Option<PathBuf> {
    static ONCE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    tools(&ONCE, "sentry-node", |folder| {
        let npm = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", ".", "@sentry/node"];
        run("npm", &npm, folder)
    })
}

fn dsn(project: &Project, served: &Served) -> String {
    let made = project.regreen(&["incidents", "dsn", "create", "--url", &served.url]).expect(0);
    made.stdout.trim().to_owned()
}

/// Runs a program in the project, with nothing but loopback to talk to.
fn crashes(project: &Project, program: &str, arguments: &[&str]) -> Ran {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&project.root).env_clear().envs(&project.env);
    Ran::of(command.output().unwrap())
}

#[tokio::test]
async fn the_python_sdk_delivers_what_ended_a_program() {
    let Some(tools) = python() else { return };
    let project = recorded("python");
    let served = Served::start(&project, &[]);
    let script = "import sys\n\nimport sentry_sdk\n\nsentry_sdk.init(dsn=sys.argv[1], release='1.0', environment='production', traces_sample_rate=1.0, shutdown_timeout=60)\n\nfrom shop.pricing import mean_price\n\nwith sentry_sdk.start_transaction(name='a transaction is no incident'):\n    mean_price([1])\nsentry_sdk.capture_message('a message of a level below errors is none')\nmean_price([])\n";
    let file = project.base().join("crash.py");
    std::fs::write(&file, script).unwrap();
    project.env.get("HOME").unwrap();
    let program = tools.join("venv/bin/python");
    let mut command = Command::new(program);
    command.args([file.to_str().unwrap(), &dsn(&project, &served)]).current_dir(&project.root);
    command.env_clear().envs(&project.env).env("PYTHONPATH", &project.root);
    let ran = Ran::of(command.output().unwrap());
    assert!(ran.stderr.contains("ZeroDivisionError"), "{}", ran.stderr);
    let incident = only(&project);
    assert_eq!(
        (&incident["source"], &incident["kind"]),
        (&json!("sentry"), &json!("ZeroDivisionError")),
        "{incident:#}"
    );
    assert_eq!((&incident["place"], &incident["language"]), (&json!("shop/pricing.py:6"), &json!("python")));
    assert_eq!((&incident["environment"], &incident["release"]), (&json!("production"), &json!("1.0")));
    assert_eq!((&incident["state"], &incident["severity"]), (&json!("healing"), &json!("high")));
}

#[tokio::test]
async fn the_node_sdk_delivers_what_ended_a_program() {
    let Some(tools) = node() else { return };
    let project = recorded("node");
    let served = Served::start(&project, &[]);
    let script = format!(
        "import * as Sentry from \"@sentry/node\";\n\nSentry.init({{ dsn: process.argv[2], release: \"1.0\", tracesSampleRate: 1.0 }});\nconst {{ greeting }} = await import({});\nSentry.startSpan({{ name: \"a span is no incident\" }}, () => {{}});\nsetTimeout(() => greeting({{ id: 1 }}));\n",
        json!(project.root.join("src/greeting.js")),
    );
    let file = tools.join(format!("crash-{}.mjs", std::process::id()));
    std::fs::write(&file, script).unwrap();
    let ran = crashes(&project, "node", &[file.to_str().unwrap(), &dsn(&project, &served)]);
    std::fs::remove_file(&file).unwrap();
    assert!(ran.code != Some(0) && ran.stderr.contains("TypeError"), "{}", ran.stderr);
    let incident = only(&project);
    assert_eq!(
        (&incident["source"], &incident["kind"]),
        (&json!("sentry"), &json!("TypeError")),
        "{incident:#}"
    );
    assert!(incident["place"].as_str().unwrap().starts_with("src/greeting.js:"), "{incident:#}");
    assert_eq!(incident["release"], "1.0");
}

#[tokio::test]
async fn who_has_no_key_or_sends_too_much_is_refused() {
    let project = recorded("python");
    let served = Served::start(&project, &["--rate", "3"]);
    let dsn = dsn(&project, &served);
    let key = dsn.split_once("://").unwrap().1.split_once('@').unwrap().0.to_owned();
    let event: Value = json!({"event_id": "0123456789abcdef0123456789abcdef", "level": "error", "platform": "python",
        "exception": {"values": [{"type": "KeyError", "value": "Bearer AKIAIOSFODNN7EXAMPLE",
            "stacktrace": {"frames": [{"filename": "shop/pricing.py", "function": "mean_price", "lineno": 6}]}}]}});
    let send = async |path: &str, key: &str, body: String| {
        let request = client().post(format!("{}{path}", served.url));
        answer(
            request.header("x-sentry-auth", format!("Sentry sentry_version=7, sentry_key={key}")).body(body),
        )
        .await
    };
    send("/api/1/store/", "wrong", event.to_string()).await.expect(401);
    send("/api/2/store/", &key, event.to_string()).await.expect(401);
    let wrong = send("/api/1/envelope/", &key, "nonsense".to_owned()).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    let sessions = "{}\n{\"type\":\"session\"}\n{\"sid\":\"a\"}\n".to_owned();
    send("/api/1/envelope/", &key, sessions).await.expect(200);
    assert_eq!(incidents(&project), [] as [Value; 0]);
    let taken = send("/api/1/store/", &key, event.to_string()).await.expect(200);
    assert_eq!(taken.json()["id"], event["event_id"]);
    assert_eq!(only(&project)["place"], "shop/pricing.py:6");
    project.never_kept("AKIAIOSFODNN7EXAMPLE", &[]);
    send("/api/1/store/", &key, event.to_string()).await.expect(200);
    let over = send("/api/1/store/", &key, event.to_string()).await.expect(429);
    assert_eq!((over.header("retry-after"), over.header("x-sentry-rate-limits")), ("60", "60::organization"));
    assert_eq!(only(&project)["count"], 2);
    project.regreen(&["incidents", "dsn", "revoke", "1"]).expect(0);
    send("/api/1/store/", &key, event.to_string()).await.expect(401);
    assert!(project.regreen(&["incidents", "dsn", "list"]).expect(0).stdout.contains("revoked"));
    project.never_kept(&key, &[]);
}
