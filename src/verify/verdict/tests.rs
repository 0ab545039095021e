use std::path::Path;
use std::time::Duration;

use super::*;
use crate::verify::matcher::Matcher;
use crate::verify::parsers::tests::{MATCHERS, check, recorded};
use crate::verify::paths::Paths;
use crate::verify::read::{Evidence, read};

fn verdict_with(command: &str, end: End, text: &str, matchers: &[Matcher]) -> Verdict {
    let paths = Paths::new(Path::new("/srv/app"), "", None);
    let evidence = Evidence {
        end,
        duration: Duration::from_secs(1),
        text,
        reports: &[],
        command,
        paths: &paths,
        around: Surroundings::default(),
    };
    read(&check(command), &evidence, matchers).verdict
}

fn verdict(command: &str, end: End, text: &str) -> Verdict {
    verdict_with(command, end, text, &MATCHERS)
}

fn is_infra(verdict: &Verdict, reason: &str) -> bool {
    matches!(verdict, Verdict::Infra { reason: said, advice } if said.contains(reason) && !advice.is_empty())
}

#[test]
fn the_table_loads() {
    assert!(load(&data::table("infra.toml")).unwrap().len() > 10);
}

#[test]
fn ends_that_no_edit_repairs() {
    assert!(is_infra(&verdict("x", End::TimedOut, ""), "did not finish in 1m"));
    assert!(is_infra(&verdict("x", End::OutOfMemory, ""), "out of memory"));
    assert!(is_infra(&verdict("x", End::Exited(137), ""), "killed"));
    assert!(is_infra(&verdict("x", End::Signaled(9), ""), "killed"));
    assert!(is_infra(&verdict("x", End::Signaled(15), ""), "signal 15"));
    assert!(is_infra(&verdict("x", End::Exited(127), ""), "missing"));
    assert!(is_infra(&verdict("x", End::Exited(126), ""), "cannot be executed (exit 126)"));
    let refused = "sh: 1: ./check.sh: Permission denied\n";
    assert!(is_infra(&verdict("x", End::Exited(126), refused), "Permission denied"));
}

#[test]
fn crashes_of_the_code_under_test_are_red() {
    assert_eq!(verdict("x", End::Signaled(11), "Segmentation fault"), Verdict::Red);
    assert_eq!(verdict("x", End::Signaled(6), "Aborted"), Verdict::Red);
    assert_eq!(verdict("x", End::Exited(139), ""), Verdict::Red);
}

#[test]
fn recorded_infrastructure_failures_are_told_apart() {
    for (name, reason) in [
        ("infra-missing-tool.txt", "nosuchtool"),
        ("infra-npm-missing-tool.txt", "packages are not installed"),
        ("infra-no-pytest.txt", "test runner"),
        ("infra-npm-network.txt", "registry"),
        ("infra-npm-offline.txt", "registry"),
        ("infra-pip-network.txt", "package index"),
        ("infra-cargo-network.txt", "registry"),
        ("infra-cargo-resolve.txt", "registry"),
        ("infra-curl.txt", "network"),
        ("infra-git.txt", "network"),
        ("infra-node-memory.txt", "memory"),
        ("infra-disk.txt", "disk"),
        ("infra-port.txt", "port"),
        ("mvn-q.txt", "network"),
    ] {
        let verdict = recorded(name).verdict;
        assert!(is_infra(&verdict, reason), "{name}: {verdict:?}");
    }
}

#[test]
fn every_other_recorded_failure_is_red() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/output");
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let infra = name.starts_with("infra-") || matches!(name.as_str(), "mvn-q.txt" | "cargo-nocmd.txt");
        if entry.file_type().unwrap().is_file() && !infra {
            assert_eq!(recorded(&name).verdict, Verdict::Red, "{name}");
        }
    }
}

#[test]
fn what_a_test_prints_is_not_what_the_tool_says() {
    let pytest = "============ FAILURES ============\n____ test_a ____\n\n    def test_a():\n>       connect()\nE       ConnectionError: connection refused\n\ntests/test_a.py:4: ConnectionError\n=== short test summary info ===\nFAILED tests/test_a.py::test_a - ConnectionError: connection refused\n=== 1 failed in 0.1s ===\n";
    assert_eq!(verdict("pytest", End::Exited(1), pytest), Verdict::Red);
    let cargo = "\nrunning 1 test\ntest a ... FAILED\n\nfailures:\n\n---- a stdout ----\nsh: 1: nosuchtool: not found\ncurl: (6) Could not resolve host: x\n\nthread 'a' panicked at src/lib.rs:3:5:\nAddress already in use\n\nfailures:\n    a\n\ntest result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n";
    assert_eq!(verdict("cargo test", End::Exited(101), cargo), Verdict::Red);
    let compiler = "src/a.ts(1,1): error TS2304: Cannot find name 'x'.\nsh: 1: y: not found\n";
    assert_eq!(verdict("tsc; y", End::Exited(127), compiler), Verdict::Red);
}

#[test]
fn exit_zero_with_failing_tests_in_the_report_is_red_and_says_so() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/output");
    let text = std::fs::read_to_string(folder.join("pytest.txt")).unwrap();
    let report = std::fs::read_to_string(folder.join("pytest.xml")).unwrap();
    let paths = Paths::new(Path::new("/srv/app/py"), "", None);
    let of = |reports: &[(String, String)]| {
        let evidence = Evidence {
            end: End::Exited(0),
            duration: Duration::from_secs(1),
            text: &text,
            reports,
            command: "pytest",
            paths: &paths,
            around: Surroundings::default(),
        };
        read(&check("pytest || true"), &evidence, &MATCHERS)
    };
    let lying = of(&[("pytest.xml".to_owned(), report)]);
    assert_eq!(lying.verdict, Verdict::Red);
    assert!(lying.diagnostics.iter().any(|d| d.tool == "regreen" && d.message.contains("exited with 0")));
    // The same as text only may be a quotation.
    assert_eq!(of(&[]).verdict, Verdict::Green);
    assert_eq!(verdict("x", End::Exited(0), "all good\n"), Verdict::Green);
}

#[test]
fn what_is_missing_is_named_and_so_is_what_installs_it() {
    let told = |end: i32, text: &str, install: Option<&'static str>| {
        let paths = Paths::new(Path::new("/srv/app"), "", None);
        let evidence = Evidence {
            end: End::Exited(end),
            duration: Duration::from_secs(1),
            text,
            reports: &[],
            command: "make test",
            paths: &paths,
            around: Surroundings { install, ..Surroundings::default() },
        };
        match read(&check("make test"), &evidence, &MATCHERS).verdict {
            Verdict::Infra { reason, advice } => format!("{reason} / {advice}"),
            other => format!("{other:?}"),
        }
    };
    for (end, text, program) in [
        (127, "sh: 1: jest: not found\n", "jest"),
        (127, "bash: line 3: shellcheck: command not found\n", "shellcheck"),
        (127, "zsh:1: command not found: poetry\n", "poetry"),
        (127, "./ci.sh: 4: cmake: not found\n", "cmake"),
        (127, "bash: ./gone.sh: No such file or directory\n", "./gone.sh"),
        (2, "npm test\n/bin/sh: 1: npm: not found\nmake: *** [Makefile:2: test] Error 127\n", "npm"),
        (1, "ci.sh: line 2: uv: command not found\nexited with code 127\n", "uv"),
        (
            2,
            "make: cargo-nextest: No such file or directory\nmake: *** [Makefile:2: test] Error 127\n",
            "cargo-nextest",
        ),
        (
            1,
            "Error: spawn docker-compose ENOENT\n    at ChildProcess._handle.onexit (node:internal/child_process:285:19)\n",
            "docker-compose",
        ),
        (1, "/usr/bin/python3: No module named pytest\n", "pytest"),
        (
            101,
            "  failed to execute command: No such file or directory (os error 2)\n  is `cmake` not installed?\n",
            "cmake",
        ),
        (4, "usage: pytest [options]\npytest: error: unrecognized arguments: --cov=shop\n", "--cov"),
    ] {
        let said = told(end, text, Some("uv sync"));
        let (reason, advice) = said.split_once(" / ").unwrap_or_else(|| panic!("{text}: {said}"));
        assert!(reason.contains(program) && advice.contains(program), "{text}: {said}");
        let own = text.contains("cmake` not installed");
        assert!(own || advice.contains("uv sync"), "{text}: {said}");
        assert!(!told(end, text, None).contains('{'), "{text}");
    }
    assert!(told(127, "", None).contains("make test"));
    // Said on the way to another failure.
    assert_eq!(told(1, "sh: 1: git: not found\nthe sum is wrong\n", None), "Red");
}

#[test]
fn a_package_that_is_locked_and_not_fetched_is_no_misspelt_word() {
    let said = "error: no matching package named `itoa` found\nlocation searched: an index\nrequired by package `a v0.1.0`\nAs a reminder, you're using offline mode (--offline) which can sometimes cause surprising resolution failures\n";
    let judged = |lock: &str| {
        let evidence = Evidence {
            end: End::Exited(101),
            duration: Duration::from_secs(1),
            text: said,
            reports: &[],
            command: "cargo test",
            paths: &Paths::new(Path::new("/srv/app"), "", None),
            around: Surroundings { cargo_lock: lock.to_owned(), ..Surroundings::default() },
        };
        read(&check("cargo test"), &evidence, &MATCHERS).verdict
    };
    let locked = "[[package]]\nname = \"itoa\"\nversion = \"1.0.0\"\n";
    assert!(matches!(judged(locked), Verdict::Infra { advice, .. } if advice.contains("cargo fetch")));
    assert_eq!(judged(""), Verdict::Red);
    assert_eq!(judged(&locked.replace("itoa", "itoaa")), Verdict::Red);
}
