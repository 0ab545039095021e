//! `heal` on real projects, end to end.

use crate::project::Project;

const MISSPELT: &str = "pub fn shout(text: &str) -> String {\n    text.to_uppercas()\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn shouts() {\n        assert_eq!(super::shout(\"a\"), \"A\");\n    }\n}\n";
const RIGHT: &str = "pub fn shout(text: &str) -> String {\n    text.to_uppercase()\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn shouts() {\n        assert_eq!(super::shout(\"a\"), \"A\");\n    }\n}\n";
const HEAL: &[&str] = &["heal", "--no-model", "--", "cargo", "test", "--offline"];

fn heal_with<'a>(options: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["heal", "--no-model"];
    all.extend(options);
    all.extend(["--", "cargo", "test", "--offline"]);
    all
}

#[test]
fn a_misspelt_method_is_healed_in_the_working_tree_and_rolled_back_byte_for_byte() {
    let project = Project::rust(MISSPELT);
    let before = project.everything();
    let ran = project.regreen(HEAL).expect(0);
    assert_eq!(project.read("src/lib.rs"), RIGHT);
    assert!(ran.stderr.contains("codefix"), "{}", ran.stderr);
    assert!(project.git(&["status", "--porcelain"]).contains("src/lib.rs"), "the patch is not committed");

    let runs = project.regreen(&["runs", "--json"]).expect(0);
    let run = serde_json::from_str::<serde_json::Value>(runs.stdout.lines().next().expect("a run"))
        .expect("an object");
    let id = run["id"].as_str().expect("an id");
    let known = project.regreen(&["memory", "export"]).expect(0);
    assert!(known.stdout.contains(id), "it is remembered: {}", known.stdout);
    project.regreen(&["rollback", id]).expect(0);
    assert_eq!(project.everything(), before);
    let known = project.regreen(&["memory", "export"]).expect(0);
    assert!(!known.stdout.contains(id), "it is no more: {}", known.stdout);
}

#[test]
fn what_is_green_already_is_left_alone() {
    let project = Project::rust(RIGHT);
    let before = project.everything();
    let ran = project.regreen(&["heal", "--json", "--", "cargo", "test", "--offline"]).expect(0);
    assert_eq!(project.everything(), before);
    let kinds = ran.kinds();
    assert_eq!(kinds.last().map(String::as_str), Some("finished"));
    assert!(!kinds.contains(&"attempt-started".to_owned()), "{kinds:?}");
    assert_eq!(project.git(&["status", "--porcelain"]), "");
}

#[test]
fn uncommitted_and_untracked_files_are_healed_and_survive() {
    let project = Project::rust(RIGHT);
    project.write(&[("src/lib.rs", MISSPELT), ("notes.txt", "mine\n"), ("src/extra.rs", "// not used\n")]);
    project.git(&["add", "src/extra.rs"]);
    project.regreen(HEAL).expect(0);
    assert_eq!(project.read("src/lib.rs"), RIGHT);
    assert_eq!(project.read("notes.txt"), "mine\n");
    assert_eq!(project.git(&["diff", "--cached", "--name-only"]), "src/extra.rs", "the index is as it was");
}

#[test]
fn land_commit_makes_one_commit_with_trailers_and_a_proof_that_another_clone_replays() {
    let project = Project::rust(MISSPELT);
    project.write(&[("notes.txt", "mine\n")]);
    project.regreen(&heal_with(&["--land", "commit"])).expect(0);
    assert_eq!(project.git(&["rev-list", "--count", "HEAD"]), "2");
    assert_eq!(project.git(&["diff", "--name-only", "HEAD~", "HEAD"]), "src/lib.rs");
    let message = project.git(&["log", "-1", "--format=%B"]);
    for trailer in ["Regreen-Run: ", "Regreen-Fixer: codefix(", "Regreen-Attempts: ", "Regreen-Verified: "] {
        assert!(message.contains(trailer), "{trailer} is missing in:\n{message}");
    }
    assert_eq!(project.git(&["status", "--porcelain"]), "?? notes.txt");
    assert!(!project.git(&["tag", "--list", "regreen/*"]).is_empty(), "a backup tag");

    let clone = project.base().join("clone");
    project
        .git_in(project.base(), &["clone", "-q", &project.root.to_string_lossy(), &clone.to_string_lossy()]);
    let none = project.regreen_in(&clone, &["verify", "HEAD"]).expect(2);
    assert!(none.stderr.contains("refs/notes/regreen"), "{}", none.stderr);
    project.git_in(&clone, &["fetch", "-q", "origin", "refs/notes/regreen:refs/notes/regreen"]);
    let yes = project.regreen_in(&clone, &["verify", "HEAD"]).expect(0);
    assert!(yes.stderr.contains("yes"), "{}", yes.stderr);
    assert!(yes.stderr.contains("without the commit the goal is red"), "{}", yes.stderr);
}

#[test]
fn land_branch_leaves_the_working_tree_and_the_current_branch_alone() {
    let project = Project::rust(MISSPELT);
    let before = project.everything();
    project.regreen(&heal_with(&["--land", "branch=fixed"])).expect(0);
    assert_eq!(project.everything(), before);
    assert_eq!(project.git(&["branch", "--show-current"]), "main");
    assert_eq!(project.git(&["show", "fixed:src/lib.rs"]), RIGHT.trim_end());
    assert_eq!(project.git(&["rev-list", "--count", "main..fixed"]), "1");
}

#[test]
fn land_none_and_dry_run_change_nothing() {
    let project = Project::rust(MISSPELT);
    let before = project.everything();
    project.regreen(&heal_with(&["--land", "none"])).expect(0);
    assert_eq!(project.everything(), before);
    let patch = project.regreen(&["show", "--patch"]).expect(0).stdout;
    assert!(patch.contains("+    text.to_uppercase()"), "{patch}");
    project.regreen(&heal_with(&["--dry-run"])).expect(1);
    assert_eq!(project.everything(), before);
}

#[test]
fn a_flaky_goal_is_told_apart_and_never_edited() {
    // The flag lies outside the repo, where only a run without a sandbox can leave it: the second execution finds it.
    let project = Project::new(&[("a.txt", "a\n")]);
    let before = project.everything();
    let flag = project.base().join("flag");
    let script = format!("[ -e '{0}' ] || {{ touch '{0}'; exit 1; }}", flag.display());
    let ran =
        project.regreen(&["heal", "--no-model", "--sandbox", "off", "--", "sh", "-c", &script]).expect(5);
    assert!(ran.stderr.contains("flaky"), "{}", ran.stderr);
    assert!(ran.stderr.contains("warning: --sandbox off"), "{}", ran.stderr);
    assert_eq!(project.everything(), before);
}

#[test]
fn a_missing_tool_cannot_be_judged() {
    let project = Project::new(&[("a.txt", "a\n")]);
    let ran = project.regreen(&["heal", "--no-model", "--", "no-such-tool-anywhere", "--all"]).expect(5);
    assert!(ran.stderr.contains("no-such-tool-anywhere"), "{}", ran.stderr);
}

#[test]
fn a_goal_that_does_not_end_cannot_be_judged() {
    let project = Project::new(&[("a.txt", "a\n")]);
    std::fs::create_dir_all(project.home.join(".config/regreen")).expect("a folder");
    std::fs::write(project.home.join(".config/regreen/config.toml"), "[limits]\ncheck = \"2s\"\n")
        .expect("a file");
    let ran = project.regreen(&["heal", "--no-model", "--", "sleep", "600"]).expect(5);
    assert!(ran.stderr.contains("2s") || ran.stderr.contains("2.0s"), "{}", ran.stderr);
}

#[test]
fn a_folder_without_a_repository_needs_to_be_asked_for() {
    let project = Project::plain(&[
        ("Cargo.toml", "[package]\nname = \"sample\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
        ("src/lib.rs", MISSPELT),
    ]);
    let ran = project.regreen(HEAL).expect(2);
    assert!(ran.stderr.contains("--land worktree"), "{}", ran.stderr);
    let before = project.everything();
    project.regreen(&heal_with(&["--land", "worktree"])).expect(0);
    assert_eq!(project.read("src/lib.rs"), RIGHT);
    let runs = project.regreen(&["runs", "--json"]).expect(0).stdout;
    let run: serde_json::Value =
        serde_json::from_str(runs.lines().next().expect("a run")).expect("an object");
    project.regreen(&["rollback", run["id"].as_str().expect("an id")]).expect(0);
    assert_eq!(project.everything(), before);
}

#[test]
fn a_subfolder_a_linked_worktree_and_an_unborn_branch_are_healed() {
    let project = Project::rust(MISSPELT);
    project.regreen_in(&project.root.join("src"), &heal_with(&["--land", "none"])).expect(0);

    let linked = project.base().join("linked");
    project.git(&["worktree", "add", "-q", &linked.to_string_lossy()]);
    project.regreen_in(&linked, HEAL).expect(0);
    assert_eq!(std::fs::read_to_string(linked.join("src/lib.rs")).expect("a file"), RIGHT);
    assert_eq!(project.read("src/lib.rs"), MISSPELT);

    let unborn = Project::plain(&[
        ("Cargo.toml", "[package]\nname = \"sample\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
        ("src/lib.rs", MISSPELT),
    ]);
    unborn.git(&["init", "-q", "-b", "main"]);
    unborn.regreen(HEAL).expect(0);
    assert_eq!(unborn.read("src/lib.rs"), RIGHT);
}

#[test]
fn submodules_are_left_alone() {
    let library = Project::new(&[("readme.txt", "library\n")]);
    let project = Project::rust(MISSPELT);
    let from = library.root.to_string_lossy().into_owned();
    project.git(&["-c", "protocol.file.allow=always", "submodule", "add", "-q", &from, "vendor/library"]);
    project.commit("Add the library");
    project.regreen(HEAL).expect(0);
    assert_eq!(project.read("src/lib.rs"), RIGHT);
    assert_eq!(project.git(&["status", "--porcelain"]), " M src/lib.rs");
}

#[test]
fn an_unknown_key_names_the_nearest_one() {
    let project = Project::rust(MISSPELT);
    project.write(&[("regreen.toml", "[checks.build]\nrun = \"cargo build\"\ntimeot = \"3m\"\n")]);
    let ran = project.regreen(HEAL).expect(2);
    assert!(ran.stderr.contains("timeot") && ran.stderr.contains("timeout"), "{}", ran.stderr);
}

/// Where the suite runs as root, one heal runs as somebody else: the isolation is made in another way then.
#[test]
fn an_ordinary_user_heals_too() {
    use std::os::unix::fs::{PermissionsExt, chown};
    if !rustix::process::geteuid().is_root() {
        // Then every other test shows it.
        return;
    }
    const SOMEBODY: u32 = 65534;
    let folder = tempfile::tempdir().expect("a folder");
    let base = folder.path().canonicalize().expect("a real path");
    std::fs::set_permissions(&base, PermissionsExt::from_mode(0o755)).expect("rights");
    let program = base.join("regreen");
    std::fs::copy(env!("CARGO_BIN_EXE_regreen"), &program).expect("a copy of the program");
    let (root, home) = (base.join("project"), base.join("home"));
    let broken = "def total(prices):\n    amount = sum(prices)\n    return amonut\n";
    let test = "import unittest\n\nfrom shop import total\n\n\nclass Total(unittest.TestCase):\n    def test_sum(self):\n        self.assertEqual(total([1, 2]), 3)\n";
    for (path, text) in [(root.join("shop.py"), broken), (root.join("test_shop.py"), test)] {
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(&path, text).expect("a file");
        chown(&path, Some(SOMEBODY), Some(SOMEBODY)).expect("an owner");
    }
    std::fs::create_dir(&home).expect("a home");
    for path in [&root, &home] {
        chown(path, Some(SOMEBODY), Some(SOMEBODY)).expect("an owner");
    }
    let ids = [format!("--reuid={SOMEBODY}"), format!("--regid={SOMEBODY}"), "--clear-groups".to_owned()];
    let output = std::process::Command::new("setpriv")
        .args(ids)
        .arg(&program)
        .args(["heal", "--no-model", "--land", "worktree", "--", "/usr/bin/python3", "-m", "unittest"])
        .current_dir(&root)
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin"), ("HOME", &home.to_string_lossy())])
        .output()
        .expect("setpriv runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let healed = std::fs::read_to_string(root.join("shop.py")).expect("a file");
    assert_eq!(healed, broken.replace("amonut", "amount"), "{said}");
    use std::os::unix::fs::MetadataExt;
    assert_eq!(std::fs::metadata(root.join("shop.py")).expect("a file").uid(), SOMEBODY);
}
