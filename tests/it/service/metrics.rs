//! What operators see: `/metrics` as Prometheus reads it, of the service and of a worker, and the health checks.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::{Served, answer, client, token};
use crate::project::Project;

/// Fails the test unless Prometheus' own tool finds nothing to say about the text.
#[track_caller]
fn checked_by_promtool(text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, of Debian's package prometheus");
    promtool.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    let output = promtool.wait_with_output().expect("it ends");
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
}

/// The value of a series.
#[track_caller]
fn value(text: &str, series: &str) -> f64 {
    let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().expect("a number")
}

#[tokio::test]
async fn the_metrics_of_a_service_are_for_those_who_may_read_and_for_this_machine() {
    let project = Project::agenda();
    let reader = token(&project, "prometheus", "read");
    let served = Served::start(&project, &[]);
    let metrics = format!("{}/metrics", served.url);
    for _ in 0..3 {
        served.get("/api/v1/runs").await.expect(200);
    }
    served.get("/api/v1/runs/nothing").await.expect(404);
    served.get("/api/v1/no-such-path").await.expect(404);

    let told = answer(client().get(&metrics)).await.expect(200);
    assert!(told.header("content-type").starts_with("text/plain; version=0.0.4"));
    checked_by_promtool(&told.text);
    let counted = |series: &str| value(&told.text, series);
    let requests = |path: &str, status: u16| {
        counted(&format!("regreen_http_requests_total{{path=\"{path}\",method=\"GET\",status=\"{status}\"}}"))
    };
    assert_eq!(requests("/api/v1/runs", 200), 3.0);
    assert_eq!(requests("/api/v1/runs/{run}", 404), 1.0);
    assert_eq!(requests("none", 404), 1.0);
    assert_eq!(counted("regreen_store_up"), 1.0);
    assert_eq!(counted("regreen_queue_runs{priority=\"urgent\",state=\"queued\"}"), 0.0);
    assert!(counted("process_resident_memory_bytes") > 1e6);

    // What a proxy on this machine passes on needs a token like everything else.
    let passed_on = || client().get(&metrics).header("x-forwarded-for", "203.0.113.7");
    answer(passed_on()).await.expect(401);
    answer(passed_on().bearer_auth("rgt_no_token")).await.expect(401);
    answer(passed_on().bearer_auth(&reader)).await.expect(200);
}

#[tokio::test]
async fn a_worker_tells_what_it_did() {
    let project = Project::agenda();
    for priority in ["urgent", "low"] {
        let words = ["submit", "--priority", priority, "--no-model", "--", "python3", "-m", "unittest"];
        project.regreen(&words).expect(0);
    }
    let mut worker = project
        .command(&["worker", "--metrics", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("a worker");
    let mut lines = BufReader::new(worker.stderr.take().expect("its words")).lines().map_while(Result::ok);
    let url = lines.find_map(|line| line.strip_prefix("metrics at ").map(str::to_owned)).expect("an address");
    // It is over with the second run when it says so for the second time.
    assert_eq!(lines.by_ref().filter(|line| line.ends_with(" over")).take(2).count(), 2);

    let told = answer(client().get(&url)).await.expect(200).text;
    checked_by_promtool(&told);
    let counted = |series: &str| value(&told, series);
    assert_eq!(counted("regreen_claims_total{priority=\"urgent\"}"), 1.0);
    assert_eq!(counted("regreen_claims_total{priority=\"low\"}"), 1.0);
    assert_eq!(counted("regreen_claim_wait_seconds_count{priority=\"low\"}"), 1.0);
    assert_eq!(counted("regreen_runs_under_way"), 0.0);
    assert_eq!(counted("regreen_runs_finished_total{trigger=\"heal\",outcome=\"healed\"}"), 2.0);
    assert_eq!(counted("regreen_landings_total{to=\"branch\"}"), 2.0);
    assert!(counted("regreen_attempts_total{fixer=\"codefix\",decision=\"green\"}") >= 1.0);
    assert!(counted("regreen_checks_total{phase=\"baseline\",verdict=\"red\"}") >= 2.0);
    assert!(counted("regreen_check_duration_seconds_sum{phase=\"proof\"}") > 0.0);
    assert!(counted("regreen_sandbox_seconds_total") > 0.0);
    // Nothing of the repo is in it.
    assert!(!told.contains(&*project.root.to_string_lossy()) && !told.contains("unittest"), "{told}");
    for path in ["healthz", "readyz"] {
        answer(client().get(url.replace("metrics", path))).await.expect(200);
    }
    worker.kill().expect("it lives");
    worker.wait().expect("it ends");
}

#[tokio::test]
async fn who_is_not_ready_says_what_is_in_the_way_and_no_more() {
    let project = Project::agenda();
    let served = Served::start(&project, &[]);
    served.get("/readyz").await.expect(200);
    // The store's tables are gone from under it.
    let store = project.home.join(".local/state/regreen/regreen.db");
    let broken = Command::new("python3")
        .args([
            "-c",
            "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute('DROP TABLE feed'); c.commit()",
        ])
        .arg(&store)
        .output()
        .expect("python3");
    assert!(broken.status.success(), "{broken:?}");
    let told = served.get("/readyz").await.expect(503).json();
    assert_eq!(told["type"], "urn:regreen:problem:not-ready");
    assert!(told["detail"].as_str().expect("words").contains("the store"), "{told}");
    assert!(!told.to_string().contains(&*project.home.to_string_lossy()), "{told}");
    served.get("/healthz").await.expect(200);
}
