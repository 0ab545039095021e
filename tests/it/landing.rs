//! What a landing needs around it: snapshots that go when they are not needed any more, replays on a bare clone, rollbacks of what was cut off.

use std::process::Stdio;

use crate::project::{Project, Ran};

const MISSPELT: &str = "pub fn shout(text: &str) -> String {\n    text.to_uppercas()\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn shouts() {\n        assert_eq!(super::shout(\"a\"), \"A\");\n    }\n}\n";
const HEAL: &[&str] = &["heal", "--no-model", "--", "cargo", "test", "--offline"];

/// The runs whose snapshots are kept.
pub fn snapshots(project: &Project) -> Vec<String> {
    let folder = project.home.join(".local/state/regreen/snapshots");
    let mut kept = Vec::new();
    for private in std::fs::read_dir(folder).expect("private folders").flatten() {
        let private = private.path();
        let words = ["--git-dir", private.to_str().expect("text"), "for-each-ref", "--format=%(refname)"];
        let listed = project.git(&words);
        kept.extend(
            listed.lines().filter_map(|name| name.strip_prefix("refs/snapshots/")).map(str::to_owned),
        );
    }
    kept
}

/// The id of the newest run.
fn newest(project: &Project) -> String {
    let runs = project.regreen(&["runs", "--json"]).expect(0).stdout;
    let run: serde_json::Value =
        serde_json::from_str(runs.lines().next().expect("a run")).expect("an object");
    run["id"].as_str().expect("an id").to_owned()
}

#[test]
fn runs_that_are_over_keep_no_snapshot_whichever_way_they_end() {
    let project = Project::rust(MISSPELT);
    let heal = |options: &[&str], goal: &[&str]| {
        let mut all = vec!["heal", "--no-model"];
        all.extend(options);
        all.push("--");
        all.extend(goal);
        project.regreen(&all)
    };
    let test = ["cargo", "test", "--offline"];
    heal(&[], &["true"]).expect(0);
    heal(&[], &["false"]).expect(1);
    heal(&["--dry-run"], &test).expect(1);
    heal(&[], &["/"]).expect(5);
    heal(&["--land", "none"], &test).expect(0);
    heal(&["--land", "branch"], &test).expect(0);
    heal(&["--land", "commit"], &test).expect(0);
    project.regreen(&["verify"]).expect(0);
    project.write(&[("src/lib.rs", MISSPELT)]);
    heal(&[], &test).expect(0);
    project.regreen(&["rollback", &newest(&project)]).expect(0);
    assert_eq!(snapshots(&project), Vec::<String>::new());
}

#[test]
fn a_run_that_may_go_on_keeps_its_snapshot_until_it_is_over() {
    let project = Project::rust(MISSPELT);
    project
        .regreen(&["heal", "--no-model", "--timeout", "1ms", "--", "cargo", "test", "--offline"])
        .expect(4);
    let stopped = newest(&project);
    assert_eq!(snapshots(&project), [stopped.as_str()]);
    project.regreen(&["resume", &stopped]).expect(4);
    assert_eq!(snapshots(&project), [stopped]);

    // What is to be changed is protected: it waits for a person.
    let config = project.home.join(".config/regreen");
    std::fs::create_dir_all(&config).expect("a folder");
    std::fs::write(config.join("config.toml"), "[guards]\nprotected = [\"src/**\"]\n").expect("a file");
    let approved = |answer: &[&str], code: i32| {
        project.regreen(HEAL).expect(3);
        let waiting = newest(&project);
        assert!(snapshots(&project).contains(&waiting), "{answer:?}");
        let mut words = answer.to_vec();
        words.push(&waiting);
        project.regreen(&words).expect(code);
        assert!(!snapshots(&project).contains(&waiting), "{answer:?}");
    };
    approved(&["reject"], 0);
    approved(&["approve"], 0);
    assert!(project.read("src/lib.rs").contains("to_uppercase"));
}

#[test]
fn a_clone_without_its_packages_replays_a_proof() {
    let project = Project::rust(MISSPELT);
    project.write(&[
        (".gitignore", "/target\n/deps\n"),
        ("regreen.toml", "[setup]\nrun = \"mkdir deps && cp deps.lock deps/answer\"\n[checks.test]\nrun = \"sh test.sh\"\n"),
        ("deps.lock", "42\n"),
        ("test.sh", "test \"$(cat deps/answer)\" = 42 && cargo test --offline\n"),
    ]);
    project.commit("Need packages");
    project.regreen(&["heal", "--no-model", "--land", "commit", "--", "sh", "test.sh"]).expect(0);
    let clone = project.base().join("clone");
    project
        .git_in(project.base(), &["clone", "-q", &project.root.to_string_lossy(), &clone.to_string_lossy()]);
    project.git_in(&clone, &["fetch", "-q", "origin", "refs/notes/regreen:refs/notes/regreen"]);
    let yes = project.regreen_in(&clone, &["verify"]).expect(0);
    assert!(yes.stderr.contains("without the commit the goal is red"), "{}", yes.stderr);
    assert!(!clone.join("deps").exists(), "the clone was touched");

    // The packages are those of the commit, whatever lies in the tree; where they cannot be had, nobody can judge.
    std::fs::write(clone.join("deps.lock"), "13\n").expect("a file");
    project.regreen_in(&clone, &["verify", "--skip-parent"]).expect(0);
    std::fs::remove_file(clone.join("deps.lock")).expect("a file");
    std::fs::write(clone.join("regreen.toml"), "[setup]\nrun = \"false\"\n").expect("a file");
    project.git_in(&clone, &["commit", "-q", "-a", "-m", "Break the setup"]);
    let note = project.git_in(&clone, &["notes", "--ref=regreen", "show", "HEAD^"]);
    project.git_in(&clone, &["notes", "--ref=regreen", "add", "-m", &note, "HEAD"]);
    let ran = project.regreen_in(&clone, &["verify", "--skip-parent"]).expect(5);
    assert!(ran.stderr.contains("the setup `false` failed"), "{}", ran.stderr);
}

#[test]
fn verify_names_the_commands_the_tree_and_what_was_not_proven() {
    let project = Project::rust(MISSPELT);
    project.write(&[("regreen.toml", "[checks.build]\nrun = \"cargo build --offline\"\n")]);
    project.commit("Name a check");
    project
        .regreen(&["heal", "--no-model", "--land", "commit", "--", "cargo", "test", "--offline"])
        .expect(0);
    let ran = project.regreen(&["verify"]).expect(0);
    let tree = project.git(&["rev-parse", "HEAD^{tree}"]);
    assert!(ran.stderr.contains("cargo test --offline"), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("tree {}", &tree[..12])), "{}", ran.stderr);
    assert!(!ran.stderr.contains("not proven"), "{}", ran.stderr);

    // The same proof on a commit whose project asks for more, and for something else under a name of the proof.
    let note = project.git(&["notes", "--ref=regreen", "show", "HEAD"]);
    project.git(&["reset", "-q", "--soft", "HEAD^"]);
    let asks = "[checks.build]\nrun = \"cargo build --offline --all-features\"\n[checks.lint]\nrun = \"cargo clippy\"\n";
    project.write(&[("regreen.toml", asks)]);
    project.commit("Ask for more");
    project.git(&["notes", "--ref=regreen", "add", "-m", &note, "HEAD"]);
    let told = project.regreen(&["verify", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told.stdout).expect("an object");
    let missing = told["not_proven"].to_string();
    assert!(
        missing.contains("build: the project says `cargo build --offline --all-features`, proven is"),
        "{told}"
    );
    assert!(missing.contains("lint: `cargo clippy` is a check of the project"), "{told}");
    assert_eq!(
        (&told["tree"], &told["checks"][0]["command"]),
        (&project.git(&["rev-parse", "HEAD^{tree}"]).into(), &"cargo test --offline".into())
    );
}

#[test]
fn verify_speaks_of_what_it_can_do_about_a_tree_that_differs() {
    let project = Project::rust(MISSPELT);
    project
        .regreen(&["heal", "--no-model", "--land", "commit", "--", "cargo", "test", "--offline"])
        .expect(0);
    std::os::unix::fs::symlink("Cargo.toml", project.root.join("link")).expect("a link");
    let ran = project.regreen(&["verify"]).expect(3);
    assert!(ran.stderr.contains("link") && !ran.stderr.contains("--land"), "{}", ran.stderr);
    let ran = project.regreen(&["verify", "no-such"]).expect(2);
    assert!(ran.stderr.contains("hint:"), "{}", ran.stderr);
}

#[test]
fn the_file_that_the_output_goes_into_is_no_part_of_the_tree() {
    for land in ["worktree", "commit"] {
        let project = Project::rust(MISSPELT);
        let out = std::fs::File::create(project.root.join("out.json")).expect("a file");
        let heal = ["heal", "--no-model", "--json", "--land", land, "--", "cargo", "test", "--offline"];
        let output =
            project.command(&heal).stdout(out).stderr(Stdio::piped()).output().expect("regreen runs");
        let ran = Ran::of(output).expect(0);
        assert_eq!(ran.stderr.matches("out.json").count(), 1, "{}", ran.stderr);
        let printed = Ran { code: Some(0), stdout: project.read("out.json"), stderr: String::new() };
        assert!(!printed.kinds().contains(&"moved".to_owned()), "{:?}", printed.kinds());
        assert_eq!(printed.kinds().last().map(String::as_str), Some("finished"));
        assert!(project.read("src/lib.rs").contains("to_uppercase"), "{land}");
        if land == "commit" {
            assert_eq!(project.git(&["show", "--format=", "--name-only", "HEAD"]), "src/lib.rs");
        }
    }
}

#[test]
fn the_report_of_doctor_is_a_contract() {
    let project = Project::new(&[("a", "1")]);
    let config = project.home.join(".config/regreen");
    std::fs::create_dir_all(&config).expect("a folder");
    std::fs::write(config.join("config.toml"), "[sandbox]\nregistries = [\"packages.example.org:8443\"]\n")
        .expect("a file");
    let ran = project.regreen(&["doctor", "--json"]).expect(0);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).expect("one object");
    let keys: Vec<&str> = report.as_object().expect("an object").keys().map(String::as_str).collect();
    let told = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/doctor.md")).expect("docs");
    for key in &keys {
        assert!(told.contains(&format!("`{key}`")), "{key} is not documented");
    }
    for key in [
        "configuration",
        "ready",
        "registries",
        "regreen",
        "sandbox",
        "settings",
        "tools",
        "version",
        "workspaces",
    ] {
        assert!(keys.contains(&key), "{key} is gone: {keys:?}");
    }
    let hosts = report["registries"]["hosts"].as_array().expect("hosts");
    assert!(hosts.iter().any(|host| host == "packages.example.org:8443"), "{hosts:?}");
    let text = project.regreen(&["doctor"]).expect(0).stdout;
    assert!(text.contains("packages.example.org:8443"), "{text}");
    for setting in ["sandbox.registries", "sandbox.private_registries", "sandbox.read_only"] {
        assert!(text.contains(setting), "{setting}: {text}");
    }
}

#[test]
fn a_folder_without_a_repository_is_told_what_to_do() {
    let project = Project::plain(&[("a", "1"), ("ticket.md", "# Do it\n\nPlease.\n")]);
    let ran = project.regreen(&["heal", "--no-model", "--", "false"]).expect(2);
    assert!(ran.stderr.contains("git init") && ran.stderr.contains("--land worktree"), "{}", ran.stderr);
    for words in [["run", "ticket.md"], ["plan", "ticket.md"]] {
        let ran = project.regreen(&words).expect(2);
        assert!(ran.stderr.contains("git init") && !ran.stderr.contains("--land"), "{}", ran.stderr);
    }
    project.regreen(&["heal", "--no-model", "--land", "worktree", "--", "false"]).expect(1);
    let ran = project.regreen(&["verify"]).expect(2);
    assert!(ran.stderr.contains("--repo"), "{}", ran.stderr);
}

#[test]
fn commands_that_cannot_be_executed_cannot_be_judged() {
    use std::os::unix::fs::PermissionsExt;
    let project =
        Project::new(&[("plain.txt", "no program\n"), ("odd", "\u{7f}ELF, but not really\n"), ("sub/a", "")]);
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(project.root.join("odd"), mode).expect("a mode");
    for (goal, told) in
        [("/", "is a folder"), ("./sub", "is a folder"), ("./plain.txt", "chmod +x"), ("./odd", "format")]
    {
        let ran = project.regreen(&["heal", "--no-model", "--", goal]).expect(5);
        assert!(ran.stderr.contains(told), "{goal}: {}", ran.stderr);
    }
}

#[test]
fn a_huge_file_that_is_not_committed_is_neither_in_the_way_nor_seen() {
    let project = Project::rust(MISSPELT);
    project.write(&[("test.sh", "test ! -e data/huge.bin && cargo test --offline\n")]);
    project.commit("Test");
    project.write(&[("data/huge.bin", &"x".repeat(17 << 20)), ("data/small", "mine\n")]);
    for land in ["commit", "branch"] {
        project.write(&[("src/lib.rs", MISSPELT)]);
        project.git(&["commit", "-q", "--allow-empty", "-m", "Break it again", "--", "src/lib.rs"]);
        project.regreen(&["heal", "--no-model", "--land", land, "--", "sh", "test.sh"]).expect(0);
        assert_eq!(project.git(&["status", "--porcelain"]), "?? data/", "{land}");
        assert_eq!(project.read("data/huge.bin").len(), 17 << 20);
    }
    project.regreen(&["verify", "main~"]).expect(0);
}

#[test]
fn a_proof_that_cannot_be_attached_is_told_of() {
    let test = "import unittest\n\nfrom shop import total\n\n\nclass Total(unittest.TestCase):\n    def test_sum(self):\n        self.assertEqual(total([1, 2]), 3)\n";
    let project = Project::new(&[
        ("shop.py", "def total(prices):\n    amount = sum(prices)\n    return amonut\n"),
        ("test_shop.py", test),
        (".gitignore", "__pycache__/\n"),
    ]);
    let lock = project.root.join(".git/refs/notes/regreen.lock");
    std::fs::create_dir_all(lock.parent().expect("a folder")).expect("folders");
    std::fs::write(&lock, "").expect("a lock");
    let ran = project
        .regreen(&["heal", "--no-model", "--land", "commit", "--", "python3", "-m", "unittest"])
        .expect(0);
    let (live, summary) = ran.stderr.split_once("is green.").expect("a summary");
    for told in [live, summary] {
        assert!(told.contains("the proof does not hang on the commit"), "{}", ran.stderr);
    }
    let commit = project.git(&["rev-parse", "HEAD"]);
    assert!(summary.contains("git notes --ref=regreen add") && summary.contains(&commit), "{summary}");
    project.regreen(&["verify"]).expect(2);
    let logs = project.regreen(&["logs", "last", "--json"]).expect(0);
    assert!(logs.kinds().contains(&"warned".to_owned()), "{}", logs.stdout);
}

#[test]
fn a_commit_that_is_green_does_not_hide_uncommitted_changes_that_are_red() {
    let project = Project::new(&[("t.py", "assert True\n")]);
    project.write(&[("t.py", "import maths\n")]);
    for land in ["commit", "branch=repair"] {
        let told =
            project.regreen(&["heal", "--no-model", "--land", land, "--", "python3", "t.py"]).expect(1);
        assert!(told.stderr.contains("uncommitted changes are left out"), "{}", told.stderr);
        assert!(
            told.stderr.contains("the last commit is green, and your uncommitted changes are not"),
            "{}",
            told.stderr
        );
        assert!(!told.stderr.contains("green already"), "{}", told.stderr);
    }
    project.write(&[("t.py", "assert 1\n")]);
    let told =
        project.regreen(&["heal", "--no-model", "--land", "commit", "--", "python3", "t.py"]).expect(0);
    assert!(told.stderr.contains("is green already"), "{}", told.stderr);
}

#[test]
fn a_branch_that_is_there_is_refused_before_anything_runs() {
    let project = Project::rust(MISSPELT);
    project.git(&["branch", "repair"]);
    let options = ["heal", "--no-model", "--land", "branch=repair", "--", "cargo", "test", "--offline"];
    let told = project.regreen(&options).expect(2);
    assert!(told.stderr.contains("there is a branch repair already"), "{}", told.stderr);
    assert_eq!(project.regreen(&["runs", "--json"]).expect(0).stdout, "", "nothing was run");
}

#[test]
fn what_was_taken_back_is_told_as_that() {
    let project = Project::rust(MISSPELT);
    project.regreen(HEAL).expect(0);
    project.regreen(&["rollback", "last"]).expect(0);
    assert!(project.regreen(&["runs"]).expect(0).stdout.contains("taken back"));
    let shown = project.regreen(&["show", "last"]).expect(0).stdout;
    assert!(shown.contains("taken back") && !shown.contains("regreen rollback"), "{shown}");
}

/// A state folder elsewhere than the project, as in a container whose volumes are two file systems.
#[test]
fn the_state_may_lie_on_another_file_system() {
    use std::os::unix::fs::MetadataExt;
    let state =
        tempfile::Builder::new().prefix("regreen it ").tempdir_in("/dev/shm").expect("a folder in memory");
    for land in ["worktree", "commit", "branch=repair"] {
        let mut project = Project::rust(MISSPELT);
        let device = |path: &std::path::Path| path.metadata().expect("a folder").dev();
        assert_ne!(device(state.path()), device(&project.root), "two file systems");
        project.env.insert("REGREEN_STATE_DIR".into(), state.path().to_str().expect("UTF-8").into());
        project.write(&[("notes.txt", "not committed yet\n")]);
        let options = ["heal", "--no-model", "--land", land, "--", "cargo", "test", "--offline"];
        project.regreen(&options).expect(0);
        project.regreen(&["rollback", "last"]).expect(0);
        assert_eq!(project.read("src/lib.rs"), MISSPELT, "{land}");
    }
}

/// `npm run` puts `node_modules/.bin` first, and what lies there is the repo's.
#[test]
fn no_program_of_the_repo_is_taken_for_one_of_the_machine() {
    use std::os::unix::fs::PermissionsExt;
    let mut project = Project::rust(MISSPELT);
    let bin = project.root.join("node_modules/.bin");
    std::fs::create_dir_all(&bin).expect("a folder");
    let path = project.env["PATH"].clone();
    let sentinel = project.base().join("ran");
    for name in ["git", "cargo", "npm", "node", "sh"] {
        let script =
            format!("#!/bin/sh\necho {name} >> '{}'\nPATH='{path}' exec {name} \"$@\"\n", sentinel.display());
        std::fs::write(bin.join(name), script).expect("a script");
        std::fs::set_permissions(bin.join(name), PermissionsExt::from_mode(0o755)).expect("rights");
    }
    project.env.insert("PATH".into(), format!("./node_modules/.bin:{}:{path}", bin.display()));
    project.regreen(HEAL).expect(0);
    project.regreen(&["doctor", "--json"]).expect(0);
    assert_eq!(project.read_if(&sentinel), None, "the repo's program ran outside of the sandbox");
}
