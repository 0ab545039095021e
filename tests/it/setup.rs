//! `[setup]`: once before the baseline, below every attempt, kept for the next run.

use crate::project::Project;

/// A project whose test needs what its setup makes, and counts how often that ran.
fn project(setup: &str) -> Project {
    Project::new(&[
        ("regreen.toml", &format!("[setup]\nrun = {setup:?}\n[checks.test]\nrun = \"sh test.sh\"\n")),
        ("test.sh", "cat deps/answer\n"),
        ("deps.lock", "1\n"),
        (".gitignore", "deps\n"),
    ])
}

const HEAL: &[&str] = &["heal", "--no-model", "--json", "--", "sh", "test.sh"];

#[test]
fn a_setup_runs_once_and_its_layer_serves_the_next_run() {
    let project = project("mkdir deps && echo 42 > deps/answer && echo spoilt > test.sh");
    let first = project.regreen(HEAL).expect(0);
    let phases: Vec<String> =
        first.events().iter().filter_map(|event| Some(event["phase"].as_str()?.to_owned())).collect();
    assert_eq!(phases, ["setup", "setup", "baseline", "baseline"]);
    let prepared =
        |events: &[serde_json::Value]| events.iter().find(|event| event["event"] == "prepared").cloned();
    assert_eq!(prepared(&first.events()).expect("it was prepared")["reused"], false);
    assert_eq!(project.read("test.sh"), "cat deps/answer\n");
    assert!(!project.root.join("deps").exists(), "the user's tree was touched");

    let second = project.regreen(HEAL).expect(0);
    assert_eq!(prepared(&second.events()).expect("it was prepared")["reused"], true);
    assert!(!second.events().iter().any(|event| event["phase"] == "setup"), "it ran again");
}

#[test]
fn a_setup_that_fails_cannot_be_judged_and_shows_its_output() {
    let project = project("echo no such package; exit 3");
    let ran = project.regreen(&["heal", "--no-model", "--", "sh", "test.sh"]).expect(5);
    assert!(
        ran.stderr.contains("failed (exit 3)") && ran.stderr.contains("no such package"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("[setup]"), "{}", ran.stderr);
}

#[test]
fn what_is_installed_is_not_installed_again() {
    let project = project("npm ci");
    project.write(&[("node_modules/dep/index.js", ""), ("deps/answer", "42\n")]);
    let ran = project.regreen(HEAL).expect(0);
    assert!(!ran.events().iter().any(|event| event["phase"] == "setup"), "it ran");
}
