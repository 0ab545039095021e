//! Incidents from the crash to the landing: the real program, real crashes; only a model's answers are recorded or scripted.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::project::{Project, Ran};
use crate::scripted::edit;
use crate::service::{Served, answer, client, token};
use crate::vendor::{Anthropic, Reply};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/incident").join(name)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// The project of an example, with its recorded answers as the only model.
pub fn recorded(name: &str) -> Project {
    let project = Project::plain(&[]);
    copy(&example(name).join("project"), &project.root);
    project.git(&["init", "-q", "-b", "main"]);
    project.commit("Begin");
    let answers = toml::Value::String(example(name).join("answers").to_string_lossy().into_owned());
    project.configure(&format!(
        "[providers.recorded]\nkind = \"replay\"\nrecording = {answers}\n\n[[ladder]]\nfixer = \"model\"\nprovider = \"recorded\"\nmodel = \"r\"\n"
    ));
    project
}

pub fn incidents(project: &Project) -> Vec<Value> {
    let listed = project.regreen(&["incidents", "--all", "--json"]).expect(0).stdout;
    listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
pub fn only(project: &Project) -> Value {
    let mut all = incidents(project);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

/// Runs the project's service on the example's orders.
fn served(project: &Project, name: &str, command: &[&str]) -> Ran {
    let orders = std::fs::File::open(example(name).join("orders.jsonl")).unwrap();
    let words = [&["exec", "--"], command].concat();
    Ran::of(project.command(&words).stdin(orders).output().unwrap())
}

#[test]
fn a_python_service_that_crashes_gets_a_test_and_a_repair_and_runs_on() {
    let project = recorded("python");
    let ran = served(&project, "python", &["python3", "service.py"]).expect(0);
    // Its own words and nothing else; the order that ended it is gone.
    assert_eq!(ran.stdout, "order 1: 3.00\norder 3: 0.00\norder 4: 5.00\nno more orders\n", "{}", ran.stderr);
    assert!(ran.stderr.contains("ZeroDivisionError: division by zero"), "{}", ran.stderr);
    assert!(project.read("shop/pricing.py").contains("if prices else 0"));
    assert!(project.read("tests/test_empty_order.py").contains("mean_price([])"));
    let incident = only(&project);
    assert_eq!((&incident["state"], &incident["count"]), (&json!("fixed"), &json!(1)), "{incident:#}");
    assert_eq!((&incident["place"], &incident["language"]), (&json!("shop/pricing.py:6"), &json!("python")));
    assert_eq!((&incident["category"], &incident["severity"]), (&json!("bug"), &json!("high")));
    // The proof has the test, red without the repair.
    let shown = project.regreen(&["incidents", "show", incident["id"].as_str().unwrap()]).expect(0).stdout;
    assert!(shown.contains("healed") && shown.contains("shop/pricing.py"), "{shown}");
    let run = incident["run"].as_str().unwrap();
    let logged = project.regreen(&["logs", "--json", run]).expect(0);
    let reproduced =
        logged.events().into_iter().find(|one| one["event"] == "checked" && one["phase"] == "reproduce");
    assert_eq!(reproduced.expect("the tests ran without the repair")["outcome"]["verdict"]["verdict"], "red");
    project.regreen(&["rollback", run]).expect(0);
    assert_eq!(only(&project)["state"], "reopened");
    assert!(!project.read("shop/pricing.py").contains("if prices else 0"));
}

#[test]
fn a_node_service_that_crashes_gets_a_test_and_a_repair_and_runs_on() {
    let project = recorded("node");
    let ran = served(&project, "node", &["node", "service.js"]).expect(0);
    assert_eq!(
        ran.stdout,
        "order 1: thank you, Ada\norder 3: thank you, guest\norder 4: thank you, Grace\nno more orders\n",
        "{}",
        ran.stderr
    );
    let incident = only(&project);
    assert_eq!(
        (&incident["state"], &incident["kind"]),
        (&json!("fixed"), &json!("TypeError")),
        "{incident:#}"
    );
    assert!(incident["place"].as_str().unwrap().starts_with("src/greeting.js:"), "{incident:#}");
    assert!(project.read("test/guest.test.js").contains("guest"));
}

#[test]
fn what_crashes_again_in_the_sandbox_is_healed_without_a_model() {
    let project = Project::agenda();
    project.write(&[("agenda/__main__.py", "from agenda.day import show\n\nprint(show(7))\n")]);
    project.commit("Run");
    let ran = project.regreen(&["exec", "--no-model", "--", "python3", "-m", "agenda"]).expect(0);
    assert_eq!(ran.stdout, "07\n", "{}", ran.stderr);
    let incident = only(&project);
    assert_eq!(
        (&incident["state"], &incident["kind"]),
        (&json!("fixed"), &json!("ImportError")),
        "{incident:#}"
    );
    assert_eq!(project.regreen(&["exec", "--", "python3", "-m", "agenda"]).expect(0).stdout, "07\n");
    assert_eq!(only(&project)["count"], 1);
}

#[test]
fn what_is_no_crash_of_this_code_passes_through() {
    let project = Project::agenda();
    let said = project.regreen(&["exec", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]).expect(7);
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("out\n", "err\n"));
    assert_eq!(incidents(&project), [] as [Value; 0], "an exit code alone is an answer");
    project.regreen(&["exec", "--", "no-such-program"]).expect(2);
    // Nobody listens there.
    project.write(&[("call.py", "import socket\n\nsocket.create_connection(('127.0.0.1', 1), timeout=5)\n")]);
    project.commit("Call");
    let refused = project.regreen(&["exec", "--", "python3", "call.py"]).expect(1);
    assert!(refused.stderr.contains("no run takes it up"), "{}", refused.stderr);
    let incident = only(&project);
    assert_eq!((&incident["state"], &incident["category"]), (&json!("outside"), &json!("reliability")));
    let aborted = project.regreen(&["exec", "--", "sh", "-c", "kill -SEGV $$"]).expect(128 + 11);
    assert!(aborted.stderr.contains("SIGSEGV"), "{}", aborted.stderr);
    assert_eq!(incidents(&project).len(), 2);
}

/// Starts a program under `exec` and waits for its first line.
fn begun(project: &Project, script: &str) -> (Child, String) {
    let mut child = project
        .command(&["exec", "--", "sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    (child, line)
}

#[test]
fn signals_and_standard_input_reach_the_program() {
    let project = Project::agenda();
    let (mut child, line) = begun(&project, "trap 'exit 3' TERM; echo ready; while :; do read x; done");
    assert_eq!(line, "ready\n");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let (mut child, _) = begun(&project, "echo ready; read x; test \"$x\" = word && exit 5");
    writeln!(child.stdin.take().unwrap(), "word").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
    assert_eq!(incidents(&project), [] as [Value; 0]);
}

const TRACE: &str = "2026-11-21 10:00:00 INFO begin\nTraceback (most recent call last):\n  File \"/app/service.py\", line 13, in main\n    mean_price(order['prices'])\n  File \"/app/shop/pricing.py\", line 6, in mean_price\n    return sum(prices) / len(prices)\nZeroDivisionError: division by zero\n";

fn right() -> String {
    std::fs::read_to_string(example("python").join("answers/1.md")).unwrap()
}

/// The example's project with a scripted model.
fn scripted(vendor: &crate::vendor::Vendor) -> Project {
    let project = Project::plain(&[]);
    copy(&example("python").join("project"), &project.root);
    project.git(&["init", "-q", "-b", "main"]);
    project.commit("Begin");
    project.configure("[[ladder]]\nfixer = \"model\"\nprovider = \"anthropic\"\nmodel = \"claude-sonnet-5-5\"\nattempts = 2\n");
    project.anthropic(vendor)
}

#[tokio::test]
async fn reports_of_one_failure_are_one_incident_that_one_run_heals() {
    let vendor = Anthropic::start([right()].map(Reply::Text)).await;
    let project = scripted(&vendor);
    let service = Served::start(&project, &[]);
    project.regreen(&["repo", "add"]).expect(0);
    let submitter = token(&project, "reporter", "submit");
    let secret = "AKIAIOSFODNN7EXAMPLE";
    // No more than what the API promises: the only repo is meant.
    let report = |release: &str| {
        json!({
            "error": "ZeroDivisionError: division by zero",
            "stack_trace": format!("key {secret}\n{TRACE}"),
            "context": { "order": 2, "key": secret },
            "release": release,
        })
    };
    let post = async |body: &Value| {
        service.send(Method::POST, "/api/v1/incidents", Some(&submitter), Some(body)).await
    };
    let first = post(&report("1.0")).await.expect(201);
    let id = first.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(first.header("location"), format!("/api/v1/incidents/{id}"));
    assert_eq!(first.json()["place"], "shop/pricing.py:6", "{}", first.text);
    // A storm: all are counted, none begins another run.
    let body = report("1.0");
    let storm = futures_util::future::join_all((0..12).map(|_| post(&body))).await;
    for one in storm {
        assert_eq!(one.expect(200).json()["state"], "healing");
    }
    let shown = service.get(&format!("/api/v1/incidents/{id}")).await.expect(200).json();
    assert_eq!((&shown["count"], shown["runs"].as_array().unwrap().len()), (&json!(13), 1), "{shown:#}");
    assert!(!shown.to_string().contains(secret), "{shown:#}");
    project.regreen(&["worker", "--once"]).expect(0);
    let shown = service.get(&format!("/api/v1/incidents/{id}")).await.expect(200).json();
    assert_eq!((&shown["state"], &shown["reopened"]), (&json!("fixed"), &json!(0)), "{shown:#}");
    let branch = shown["landed"].as_str().unwrap().rsplit(' ').next().unwrap();
    assert!(project.git(&["log", "-1", "--format=%s%n%b", branch]).contains("ZeroDivisionError"));
    let asked = vendor.requests()[0].last_text();
    assert!(
        asked.contains("fails by the very same exception") && asked.contains("shop/pricing.py"),
        "{asked}"
    );
    assert!(!asked.contains(secret));
    // The version without the fix still runs somewhere; one that should have it is another matter.
    assert_eq!(post(&report("1.0")).await.expect(200).json()["state"], "fixed");
    let again = post(&report("1.1")).await.expect(200).json();
    assert_eq!(
        (&again["state"], &again["reopened"], &again["count"]),
        (&json!("healing"), &json!(1), &json!(15))
    );
    let all = service.get("/api/v1/incidents?state=healing&text=pricing").await.expect(200).json();
    assert_eq!(all["items"].as_array().unwrap().len(), 1, "{all:#}");
    project.never_kept(secret, &[]);
    let cookie = service.enter().await;
    let listed = service.page("/incidents?state=healing", &cookie).await.expect(200).text;
    assert!(
        listed.contains("ZeroDivisionError: division by zero") && listed.contains("shop/pricing.py:6"),
        "{listed}"
    );
    let page = service.page(&format!("/incidents/{id}"), &cookie).await.expect(200).text;
    assert!(page.contains("in mean_price") && page.contains("15×") && !page.contains("/heal\""), "{page}");
    project.regreen(&["cancel", again["run"].as_str().unwrap()]).expect(0);
    let page = service.page(&format!("/incidents/{id}"), &cookie).await.expect(200).text;
    let seal = page.split("name=\"seal\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let form = client().post(format!("{}/incidents/{id}/ignore", service.url)).header("cookie", &cookie);
    let sent = answer(crate::service::form(form, &[("seal", seal)])).await.expect(303);
    assert_eq!(sent.header("location"), format!("/incidents/{id}?done=ignore"));
    assert_eq!(only(&project)["state"], "ignored");
}

#[tokio::test]
async fn a_test_that_does_not_show_the_crash_does_not_count() {
    let green = right().replace("mean_price([]), 0", "mean_price([3]), 3");
    let other = right().replace(
        "        self.assertEqual(mean_price([]), 0)",
        "        self.assertEqual(mean_price([]), 0)\n\n    def test_other(self):\n        raise_it = {}\n        self.assertEqual(mean_price([1]), 1)",
    );
    let vendor = Anthropic::start([green, other].map(Reply::Text)).await;
    let project = scripted(&vendor);
    let reported = project
        .command(&["incidents", "report", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut reported = reported.unwrap();
    reported.stdin.take().unwrap().write_all(TRACE.as_bytes()).unwrap();
    let output = Ran::of(reported.wait_with_output().unwrap()).expect(0);
    let incident: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(incident["state"], "healing", "{incident:#}");
    let worked = project.regreen(&["worker", "--once", "--json"]).expect(0);
    let decided: Vec<String> = worked
        .events()
        .iter()
        .filter(|event| event["event"] == "decided")
        .map(|event| format!("{}: {}", event["decision"], event["reason"]))
        .collect();
    assert!(decided[0].contains("pass without the repair"), "{decided:#?}");
    assert!(decided[1].starts_with("\"green\""), "{decided:#?}");
    assert_eq!(only(&project)["state"], "fixed");
}

#[tokio::test]
async fn what_happens_in_production_waits_for_a_person() {
    let vendor = Anthropic::start([right()].map(Reply::Text)).await;
    let project = scripted(&vendor);
    let file = project.base().join("crash.log");
    std::fs::write(&file, TRACE).unwrap();
    let file = file.to_str().unwrap();
    let report = ["incidents", "report", "--environment", "production", "--from", file];
    project.regreen(&report).expect(0);
    project.regreen(&["worker", "--once"]).expect(0);
    let incident = only(&project);
    assert_eq!(incident["state"], "awaiting_approval", "{incident:#}");
    // Counted, and nothing else.
    project.regreen(&report).expect(0);
    assert_eq!((&only(&project)["count"], &only(&project)["tries"]), (&json!(2), &json!(1)));
    project.regreen(&["approve", incident["run"].as_str().unwrap()]).expect(0);
    project.regreen(&["worker", "--once"]).expect(0);
    assert_eq!(only(&project)["state"], "fixed");
}

#[tokio::test]
async fn what_could_not_be_healed_is_not_tried_again_on_the_same_commit() {
    let wrong = edit(
        "shop/pricing.py",
        "    return sum(prices) / len(prices)",
        "    return sum(prices) // len(prices)",
    );
    let vendor = Anthropic::start([wrong.clone(), wrong].map(Reply::Text)).await;
    let project = scripted(&vendor);
    let file = project.base().join("crash.log");
    std::fs::write(&file, TRACE).unwrap();
    let report = ["incidents", "report", "--from", file.to_str().unwrap()];
    project.regreen(&report).expect(0);
    project.regreen(&["worker", "--once"]).expect(0);
    let tried = only(&project);
    assert_eq!((&tried["state"], &tried["tries"]), (&json!("needs_person"), &json!(1)), "{tried:#}");
    let again = project.regreen(&report).expect(0);
    assert!(again.stderr.contains("no run takes it up: needs person"), "{}", again.stderr);
    project.commit("Another commit");
    project.regreen(&report).expect(0);
    assert_eq!((&only(&project)["state"], &only(&project)["count"]), (&json!("healing"), &json!(3)));
    project.regreen(&["incidents", "ignore", tried["id"].as_str().unwrap()]).expect(2);
}
