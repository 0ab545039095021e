//! A red job of a CI: what the action and the component run, against a real remote.

use std::path::Path;
use std::process::Command;

use crate::project::{Project, Ran};

const RED: &str = "pub fn shout(text: &str) -> String {\n    text.to_uppercas()\n}\n";

/// Runs `scripts/ci-heal` as a CI would, in a clone whose remote is `origin`.
fn ci(project: &Project, env: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/ci-heal");
    let mut command = Command::new(script);
    command.args(arguments).current_dir(&project.root).env_clear().envs(&project.env);
    command.env("REGREEN", env!("CARGO_BIN_EXE_regreen")).envs(env.iter().copied());
    Ran::of(command.output().expect("it starts"))
}

#[test]
fn a_red_job_pushes_its_proven_repair_and_says_so() {
    let project = Project::rust(RED);
    let remote = project.base().join("remote.git");
    let remote = remote.to_str().expect("a path");
    project.git(&["init", "-q", "--bare", remote]);
    project.git(&["remote", "add", "origin", remote]);
    project.git(&["push", "-q", "origin", "main"]);
    project.git(&["checkout", "-q", "--detach"]);
    let [summary, output, sarif] =
        ["summary.md", "output", "regreen.sarif"].map(|name| project.base().join(name));
    let env = [
        ("GITHUB_STEP_SUMMARY", summary.to_str().expect("a path")),
        ("GITHUB_OUTPUT", output.to_str().expect("a path")),
        ("REGREEN_SARIF", sarif.to_str().expect("a path")),
    ];
    let check = ["--push", "origin", "--", "bash", "-euo", "pipefail", "-c", "cargo check --offline"];
    ci(&project, &env, &check).expect(1);
    let told = std::fs::read_to_string(&output).expect("outputs");
    let head = project.git(&["rev-parse", "HEAD"]);
    let branch = format!("regreen/ci-{}", &head[..7]);
    assert!(told.contains("outcome=healed") && told.contains(&format!("branch={branch}")), "{told}");
    let pushed = project.git(&["--git-dir", remote, "show", &format!("{branch}:src/lib.rs")]);
    assert!(pushed.contains("to_uppercase()"), "{pushed}");
    let notes = project.git(&["--git-dir", remote, "notes", "--ref=regreen", "list"]);
    assert!(!notes.is_empty(), "the proof hangs on the commit there, too");
    let report = std::fs::read_to_string(&summary).expect("a summary");
    for part in [
        "## ✅",
        "**Was wrong:** `src/lib.rs:2`",
        "+    text.to_uppercase()",
        "### Proof",
        "| green |",
        "regreen verify",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
    assert!(std::fs::read_to_string(&sarif).expect("a file").contains("rustc/E0599"));
    assert!(project.read("src/lib.rs").contains("to_uppercas()"), "what was checked out stays");

    // The repaired branch is green, and a proven repair may pass.
    project.git(&["checkout", "-q", &branch]);
    ci(&project, &env, &check[2..]).expect(0);
    project.git(&["checkout", "-q", "main"]);
    let passes = [("REGREEN_HEALED_PASSES", "true"), ("REGREEN_BRANCH", "another"), env[0], env[1]];
    ci(&project, &passes, &check[2..]).expect(0);
    // What nothing helps stays red, and the report says what was missed.
    ci(&project, &env, &["--", "false"]).expect(1);
    let report = std::fs::read_to_string(&summary).expect("a summary");
    assert!(
        report.contains("❌ `false` is still red") && report.contains("What would have helped"),
        "{report}"
    );
    ci(&project, &env, &["false"]).expect(2);
}
