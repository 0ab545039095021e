//! What the baseline makes of commands that do not agree, and how often it runs them.

use super::project::{Project, Ran};

/// A test that asks `answer`, a line of Python that knows `n`, from 1: for which time any command runs the test. The count lies outside of
/// the repo, where only a run without a sandbox can keep it.
fn counting(answer: &str) -> Option<Project> {
    let tools = super::languages::pytest()?;
    let mut project = Project::new(&[
        ("pyproject.toml", "[tool.pytest.ini_options]\n"),
        ("tests/test_b.py", "def test_b():\n    pass\n"),
    ]);
    let count = project.base().join("count");
    let test = format!(
        "import os\n\n\ndef test_a():\n    path = {:?}\n    open(path, 'a').write('x')\n    n = os.path.getsize(path)\n    assert {answer}\n",
        count.to_string_lossy()
    );
    project.write(&[("tests/test_a.py", &test)]);
    project.commit("Count");
    let path = format!("{}:{}", tools.join("venv/bin").display(), project.env["PATH"]);
    project.env.insert("PATH".to_owned(), path);
    Some(project)
}

fn executions(project: &Project) -> usize {
    std::fs::read(project.base().join("count")).map_or(0, |bytes| bytes.len())
}

fn heal(project: &Project, goal: &[&str]) -> Ran {
    let arguments = [&["heal", "--no-model", "--json", "--sandbox", "off", "--"], goal].concat();
    project.regreen(&arguments)
}

/// Check and round of each execution in the baseline.
fn baseline(ran: &Ran) -> Vec<(String, u64)> {
    let started = ran.events().into_iter().filter(|event| event["event"] == "check-started");
    let phase = started.filter(|event| event["phase"] == "baseline");
    phase
        .map(|event| (event["check"].as_str().unwrap().to_owned(), event["round"].as_u64().unwrap()))
        .collect()
}

fn rounds(of: &[(&str, u64)]) -> Vec<(String, u64)> {
    of.iter().map(|(name, round)| ((*name).to_owned(), *round)).collect()
}

#[test]
fn a_red_goal_runs_exactly_twice_and_stands_for_checks_that_only_say_more() {
    let Some(project) = counting("not n") else { return };
    let ran = heal(&project, &["python3", "-m", "pytest", "-q", "--tb=short"]).expect(1);
    assert_eq!(baseline(&ran), rounds(&[("goal", 1), ("goal", 2)]));
    // Nothing but the baseline.
    let before = executions(&project);
    project.regreen(&["heal", "--dry-run", "--sandbox", "off", "--", "python3", "-m", "pytest"]).expect(1);
    assert_eq!(executions(&project), before + 2);
}

#[test]
fn a_test_that_another_check_sees_pass_is_flaky_if_a_command_does_not_repeat_itself() {
    let Some(project) = counting("n > 2") else { return };
    let ran = heal(&project, &["python3", "-m", "pytest", "-q", "tests/test_a.py"]).expect(5);
    assert_eq!(baseline(&ran), rounds(&[("goal", 1), ("goal", 2), ("test", 1), ("goal", 3)]));
    let flaky = ran.events().into_iter().find(|event| event["event"] == "baseline").unwrap();
    assert_eq!(
        (&flaky["baseline"], &flaky["what"][0]),
        (&"flaky".into(), &"tests/test_a.py::test_a".into()),
        "{flaky}"
    );

    // The goal stays red, and the other one is what changes its mind.
    let Some(project) = counting("n == 3") else { return };
    let ran = heal(&project, &["python3", "-m", "pytest", "-q", "tests/test_a.py"]).expect(5);
    assert_eq!(executions(&project), 5, "{:?}", baseline(&ran));
}

#[test]
fn one_flaky_test_beside_a_broken_one_is_flaky() {
    let Some(project) = counting("n > 1") else { return };
    project.write(&[("tests/test_b.py", "def test_b():\n    assert 1 == 2\n")]);
    let ran = heal(&project, &["python3", "-m", "pytest"]).expect(5);
    let flaky = ran.events().into_iter().find(|event| event["event"] == "baseline").unwrap();
    assert_eq!(flaky["what"][0], "tests/test_a.py::test_a", "{flaky}");
    assert!(flaky["what"][1].as_str().unwrap().contains("1 failed each time"), "{flaky}");
}

#[test]
fn a_test_that_depends_on_how_it_is_run_is_not_flaky() {
    let Some(project) = counting("not os.environ.get('STRICT')") else { return };
    let ran = heal(&project, &["env", "STRICT=1", "python3", "-m", "pytest"]).expect(1);
    assert_eq!(baseline(&ran), rounds(&[("goal", 1), ("goal", 2), ("test", 1), ("goal", 3), ("test", 2)]));
    // Whichever is run again confirms.
    let told = project.regreen(&["show"]).expect(0).stdout;
    let said = |word: &str| told.matches(&format!("├─ {word}")).count();
    assert_eq!((said("baseline"), said("confirm")), (2, 3), "{told}");
}

/// A misspelt method beside a check that only counts its tests, as jest does: ten where `many` is true, else two.
fn counted(many: &str) -> Project {
    let project = Project::rust(
        "pub fn shout(text: &str) -> String {\n    text.to_uppercas()\n}\n\n#[test]\nfn shouts() {\n    assert_eq!(shout(\"a\"), \"A\");\n}\n",
    );
    let script = format!(
        "n=2\nif {many}; then n=10; fi\necho 'Test Suites: 1 passed, 1 total'\necho \"Tests:       $n passed, $n total\"\n"
    );
    let config = "[checks.test]\nrun = \"sh count.sh\"\n";
    project.write(&[("count.sh", &script), ("regreen.toml", config), (".gitignore", "/target\n/extra\n")]);
    project.commit("Count");
    project
}

#[test]
fn a_patch_that_makes_another_check_run_fewer_tests_is_dropped() {
    let project = counted("grep -q 'to_uppercas()' src/lib.rs");
    let before = project.everything();
    let ran = project.regreen(&["heal", "--no-model", "--", "cargo", "test", "--offline"]).expect(1);
    assert!(ran.stderr.contains("check test ran 2 tests where 10 ran before"), "{}", ran.stderr);
    assert_eq!(project.everything(), before);
}

#[test]
fn a_proof_does_not_hold_where_any_of_its_checks_runs_fewer_tests() {
    let project = counted("test -e extra");
    project.write(&[("extra", "")]);
    project
        .regreen(&["heal", "--no-model", "--land", "commit", "--", "cargo", "test", "--offline"])
        .expect(0);
    project.regreen(&["verify", "--skip-parent"]).expect(0);
    std::fs::remove_file(project.root.join("extra")).expect("it was there");
    let ran = project.regreen(&["verify", "--skip-parent"]).expect(1);
    assert!(ran.stderr.contains("test: 2 tests ran where 10 ran in the proof"), "{}", ran.stderr);
}

#[test]
fn a_program_that_a_script_lacks_is_named() {
    let makefile = "test:\n\tno-such-program-here --all\n";
    let project = Project::new(&[("Makefile", makefile), ("requirements.txt", "")]);
    let ran = project.regreen(&["heal", "--no-model", "--", "make", "test"]).expect(5);
    assert!(ran.stderr.contains("no-such-program-here"), "{}", ran.stderr);
    assert!(ran.stderr.contains("install no-such-program-here"), "{}", ran.stderr);
    assert!(ran.stderr.contains("pip install -r requirements.txt"), "{}", ran.stderr);
}

#[test]
fn a_program_that_the_sandbox_hides_is_not_called_missing() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let elsewhere = tempfile::Builder::new().prefix("elsewhere-").tempdir().expect("a folder");
    let tools = elsewhere.path().canonicalize().expect("a real path").join("tools");
    let program = tools.join("bin/answer");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    std::fs::write(&program, "#!/bin/sh\nexit 0\n").unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let at = program.to_str().unwrap();
    let mut project =
        Project::new(&[("Makefile", &format!("test:\n\t{at} --all\n")), ("requirements.txt", "")]);
    symlink(&program, project.root.join("linked")).unwrap();
    for goal in [&["make", "test"][..], &[at], &["sh", "-c", at], &["./linked"]] {
        let arguments = [&["heal", "--no-model", "--"], goal].concat();
        let ran = project.regreen(&arguments).expect(5);
        assert!(ran.stderr.contains("sandbox.read_only"), "{goal:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(tools.to_str().unwrap()), "{goal:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("install"), "{goal:?}: {}", ran.stderr);
    }
    // Shown as the advice says, it is there; and what is not on the machine stays missing.
    let config = project.home.join(".config/regreen/config.toml");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    std::fs::write(&config, format!("[sandbox]\nread_only = [{:?}]\n", tools.to_str().unwrap())).unwrap();
    project.env.remove("XDG_CONFIG_HOME");
    project.regreen(&["heal", "--no-model", "--", "make", "test"]).expect(0);
    let gone = format!("{at}-gone");
    let ran = project.regreen(&["heal", "--no-model", "--", &gone]).expect(5);
    assert!(ran.stderr.contains("install"), "{}", ran.stderr);
}
