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
fn what_a_setup_made_of_the_projects_files_goes_when_they_change() {
    let project = project("mkdir deps && cp source.txt deps/answer");
    for text in ["old", "new"] {
        project.write(&[("source.txt", text)]);
        project.regreen(&["heal", "--no-model", "--", "grep", "-q", text, "deps/answer"]).expect(0);
    }
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

/// Where a file is gone from the tree and not from the commit, what a landing as a commit works on still has it.
fn project_that_lost_files() -> Project {
    let project = project("mkdir deps && echo 42 > deps/answer");
    project.write(&[("gone.py", "value = 1\n"), ("pkg/__init__.py", ""), ("pkg/sub/inner.py", "")]);
    project.commit("Bring modules");
    project
}

fn lose(project: &Project) {
    std::fs::remove_file(project.root.join("gone.py")).expect("it was there");
    std::fs::remove_dir_all(project.root.join("pkg")).expect("it was there");
}

/// The tree is prepared, by a kept layer if it is the second time, and neither module can be imported.
#[track_caller]
fn expect_lost(project: &Project) {
    for (module, reused) in [("gone", None), ("pkg", Some(true))] {
        let goal = format!("import {module}");
        let arguments = ["heal", "--no-model", "--json", "--", "python3", "-c", &goal];
        let ran = project.regreen(&arguments).expect(1);
        let prepared = ran.events().into_iter().find(|event| event["event"] == "prepared");
        let prepared = prepared.expect("it was prepared");
        assert!(reused.is_none_or(|reused| prepared["reused"] == reused), "{}", ran.stdout);
    }
}

#[test]
fn a_kept_setup_brings_no_file_back_that_a_commits_base_had() {
    let project = project_that_lost_files();
    lose(&project);
    let ran = project.regreen(&["heal", "--no-model", "--json", "--land", "commit", "--", "false"]).expect(1);
    assert!(ran.kinds().contains(&"prepared".to_owned()), "{}", ran.stdout);
    expect_lost(&project);
}

#[test]
fn a_replay_of_an_older_commit_leaves_none_of_its_files_in_the_layer() {
    let project = project_that_lost_files();
    let second = serde_json::json!({ "secs": 60, "nanos": 0 });
    let check = |words: &[&str]| serde_json::json!({ "name": "goal", "run": { "argv": words }, "dir": "", "timeout": second, "needs": [] });
    let proof = serde_json::json!({
        "run": "r", "base": "b", "patch": "p", "sandbox": "auto", "tools": {}, "regreen": "0",
        "tests_before": null, "tests_after": null,
        "checks": [{ "check": check(&["python3", "-c", "import gone, pkg.sub.inner"]), "green": true, "duration": second, "log_digest": "" }],
    });
    project.git(&["notes", "--ref", "refs/notes/regreen", "add", "-m", &proof.to_string()]);
    lose(&project);
    project.commit("Take the modules away");
    let ran = project.regreen(&["verify", "--skip-parent", "--json", "HEAD~"]);
    let replay: serde_json::Value = serde_json::from_str(&ran.stdout).expect("one object");
    assert_eq!(replay["checks"][0]["is_green"], true, "{}{}", ran.stdout, ran.stderr);
    expect_lost(&project);
}

#[test]
fn what_a_setup_prints_is_told_and_kept_without_secrets() {
    let token = format!("ghp_{}", "a1B2c3D4e5F6".repeat(3));
    for end in ["exit 3", "mkdir deps && echo 42 > deps/answer"] {
        let mut project = project(&format!("echo token {token}; echo own $(cat own.txt); {end}"));
        project.env.insert("SHOP_API_KEY".into(), "correct-horse-battery".into());
        project.write(&[("own.txt", "correct-horse-battery\n")]);
        let ran = project.regreen(HEAL);
        assert!(ran.kinds().contains(&"checked".to_owned()), "{}{}", ran.stdout, ran.stderr);
        let run = ran.events()[0]["run"].as_str().map(str::to_owned);
        let logs = project.regreen(&["show", run.as_deref().unwrap_or("last"), "--json"]);
        for said in [&ran.stdout, &ran.stderr, &logs.stdout] {
            // The command itself is the repo's own text, and has the token as well.
            let printed = said.replace(&format!("echo token {token}"), "");
            assert!(!printed.contains(&format!("token {token}")), "{said}");
            assert!(!printed.contains("correct-horse-battery"), "{said}");
        }
        assert!(ran.stdout.contains("own [redacted]"), "{}", ran.stdout);
    }
}
