use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::outcome::{Check, CommandLine, End, Outcome, Verdict};
use crate::verify::paths::Paths;
use crate::verify::read::{Evidence, read};
use crate::verify::verdict::Surroundings;

/// Recorded outputs by the start of their name: the folder the tool ran in, and the command.
const RECORDED: &[(&str, &str, &str)] = &[
    ("cargo-test", "/srv/app/rust-tests", "cargo test"),
    ("cargo-doctest", "/srv/app/rust-tests", "cargo test --doc"),
    ("cargo-dep", "/srv/app/rust-dep", "cargo build"),
    ("cargo-syntax", "/srv/app/rust-syntax", "cargo check"),
    ("cargo-manifest", "/srv/app/rust-warn", "cargo build"),
    ("cargo", "/srv/app/rust", "cargo build"),
    ("nextest", "/srv/app/rust-tests", "cargo nextest run"),
    ("clippy", "/srv/app/rust-warn", "cargo clippy"),
    ("rustfmt", "/srv/app/rust-warn", "cargo fmt --check"),
    ("pytest-collect", "/srv/app/py-collect", "pytest"),
    ("pytest", "/srv/app/py", "pytest"),
    ("ruff", "/srv/app/py", "ruff check"),
    ("pyright", "/srv/app/py", "pyright"),
    ("mypy", "/srv/app/py", "mypy typed.py"),
    ("traceback", "/srv/app/py", "python boom.py"),
    ("python-m", "/srv/app/py", "python -m nosuch"),
    ("unittest", "/srv/app/py", "python test_unit.py"),
    ("vite5", "/srv/app/js5", "vite build"),
    ("next", "/srv/app/next", "next build"),
    ("go-dep", "/srv/app/go-dep", "go build ./..."),
    ("go-syntax", "/srv/app/go-dep", "go build ./..."),
    ("go", "/srv/app/go", "go test ./..."),
    ("gcc", "/srv/app/c", "gcc b.c"),
    ("gxx", "/srv/app/c", "g++ t.cpp"),
    ("clang", "/srv/app/c", "clang b.c"),
    ("make", "/srv/app/c", "make"),
    ("javac", "/srv/app/java", "javac Bad.java"),
    ("mvn", "/srv/app/java", "mvn test"),
    ("eslint", "/srv/app/js", "eslint src"),
    ("infra-cargo", "/srv/app/rust-dep", "cargo build"),
    ("", "/srv/app/js", "node x.js"),
];

pub static MATCHERS: LazyLock<Vec<Matcher>> = LazyLock::new(Matcher::built_in);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/output")
}

pub fn check(line: &str) -> Check {
    Check {
        name: "goal".to_owned(),
        run: CommandLine::Shell(line.to_owned()),
        dir: String::new(),
        timeout: Duration::from_secs(60),
        needs: Vec::new(),
    }
}

/// The outcome of a recorded output; a JUnit file counts as a report beside an empty log.
pub fn recorded(name: &str) -> Outcome {
    let bytes = std::fs::read(folder().join(name)).unwrap();
    let text = crate::verify::ansi::clean(&bytes);
    let (_, root, command) = RECORDED.iter().find(|(start, _, _)| name.starts_with(start)).unwrap();
    let paths = Paths::new(Path::new(root), "", None);
    let report = name.ends_with(".xml");
    let reports = if report { vec![(name.to_owned(), text.clone())] } else { Vec::new() };
    let evidence = Evidence {
        end: End::Exited(if name.contains("missing-tool") { 127 } else { 1 }),
        duration: Duration::from_secs(1),
        text: if report { "" } else { &text },
        reports: &reports,
        command,
        paths: &paths,
        around: Surroundings { no_node_modules: name.starts_with("infra-n"), ..Surroundings::default() },
    };
    read(&check(command), &evidence, &MATCHERS)
}

fn summary(outcome: &Outcome) -> String {
    let mut text = match &outcome.verdict {
        Verdict::Infra { reason, advice } => format!("infra: {reason} / {advice}\n"),
        verdict => format!("{verdict:?}\n").to_lowercase(),
    };
    for d in &outcome.diagnostics {
        let place = d.range.map_or(String::new(), |r| {
            format!(":{}:{}-{}:{}", r.start.line, r.start.column, r.end.line, r.end.column)
        });
        let category = serde_json::to_value(d.category).unwrap();
        writeln!(
            text,
            "{:?} {} {} {}{place} {}{}\n    {}",
            d.severity,
            d.tool,
            d.code.as_deref().unwrap_or("-"),
            d.file.as_deref().unwrap_or("-"),
            category.as_str().unwrap(),
            d.test.as_ref().map_or(String::new(), |t| format!(" [{t}]")),
            d.message.replace('\n', "\n    ")
        )
        .unwrap();
    }
    if let Some(tests) = &outcome.tests {
        writeln!(text, "tests: {} passed, {} failed, {} skipped", tests.passed, tests.failed, tests.skipped)
            .unwrap();
        for (name, status) in &tests.tests {
            writeln!(text, "  {status:?} {name}").unwrap();
        }
    }
    text
}

/// Each recorded output is read as its reviewed snapshot says.
#[test]
fn recorded_outputs_are_read_as_reviewed() {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() > 60);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder().join("read"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for name in names {
            insta::assert_snapshot!(name.clone(), summary(&recorded(&name)));
        }
    });
}

#[test]
fn every_matcher_file_loads() {
    for (name, text) in crate::verify::data::matchers() {
        let loaded = Matcher::load(&text).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert!(!loaded.is_empty(), "{name} is empty");
    }
}

fn parse_text(text: &str, command: &str) -> Found {
    let paths = Paths::new(Path::new("/srv/app"), "", None);
    parse(&Input::new(text, &paths, command), &MATCHERS, &[("pytest.xml".to_owned(), text.to_owned())])
}

#[test]
fn a_users_matcher_reads_its_tool() {
    let matchers = Matcher::load(
        r#"
        [[matcher]]
        name = "acme"
        tool = "acme"
        category = "type"
        [[matcher.line]]
        regex = '^FILE (?<file>\S+)$'
        [[matcher.line]]
        regex = '^  (?<line>\d+): (?<severity>\w+) (?<message>.+)$'
        loop = true
        "#,
    )
    .unwrap();
    let paths = Paths::new(Path::new("/srv/app"), "web", None);
    let text = "FILE a.acme\n  3: error bad\n  9: warning odd\nFILE b.acme\n  1: error worse\n";
    let found = parse(&Input::new(text, &paths, ""), &matchers, &[]);
    let places: Vec<_> = found
        .diagnostics
        .iter()
        .map(|d| (d.file.as_deref().unwrap(), d.range.unwrap().start.line, d.severity, d.message.as_str()))
        .collect();
    assert_eq!(
        places,
        [
            ("web/a.acme", 3, Severity::Error, "bad"),
            ("web/a.acme", 9, Severity::Warning, "odd"),
            ("web/b.acme", 1, Severity::Error, "worse")
        ]
    );
}

#[test]
fn a_matcher_with_a_fault_is_refused_with_its_name() {
    let of = |line: &str| {
        Matcher::load(&format!("[[matcher]]\nname = \"x\"\ntool = \"x\"\n[[matcher.line]]\n{line}\n"))
    };
    for (line, says) in [
        ("regex = '(?<message>['", "\"x\""),
        ("regex = '(?<mesage>.)'", "mesage"),
        ("regex = 'a'", "message"),
        ("regex = '(?<message>.)'\nloop = true", "loop"),
        ("regexp = 'a'", "problem matchers"),
    ] {
        let error = format!("{:#}", of(line).unwrap_err());
        assert!(error.contains(says), "{line}: {error}");
    }
}

#[test]
fn a_hostile_report_is_not_read() {
    let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
    let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;\">]><testsuite><testcase name=\"&b;\"/></testsuite>";
    for text in [deep.as_str(), bomb, "<testsuite><testcase"] {
        let paths = Paths::new(Path::new("/srv/app"), "", None);
        let reports = [("pytest.xml".to_owned(), text.to_owned())];
        let found = parse(&Input::new("", &paths, ""), &[], &reports);
        assert!(found.tests.is_empty());
    }
}

#[test]
fn a_skipped_subtest_is_no_skipped_test() {
    let skipped = "<skipped type=\"pytest.skip\" message=\"no\">/srv/app/test_a.py:3: no</skipped>";
    let case = |name: &str, inner: &str| {
        format!("<testcase classname=\"test_a.T\" name=\"{name}\" file=\"test_a.py\">{inner}</testcase>")
    };
    let failed = format!("{skipped}<failure message=\"AssertionError: 2 != 0\">E   AssertionError</failure>");
    let xml = format!(
        "<testsuites><testsuite name=\"pytest\">{}{}{}{}{}</testsuite></testsuites>",
        case("all", &skipped.repeat(2)),
        case("deco", skipped),
        case("fails", &failed),
        case("mix", skipped),
        case("ok", ""),
    );
    let tests = |text: &str| {
        let paths = Paths::new(Path::new("/srv/app"), "", None);
        let reports = [("pytest.xml".to_owned(), xml.clone())];
        let found = parse(&Input::new(text, &paths, "pytest"), &[], &reports);
        let of = |name: &str| found.tests[&format!("test_a.py::T::{name}")];
        ["all", "deco", "fails", "mix", "ok"].map(of)
    };
    use TestStatus::{Failed, Passed, Skipped};
    for text in [
        ".s...                                     [100%]\n=== FAILURES ===\n",
        "--.s-uF-..                                [100%]\n=== FAILURES ===\n",
        "--.s-,F-..                                  [5/5]\n",
        "==== test session starts ====\ntest_a.py .s...                [100%]\n\n==== FAILURES ====\n",
        "test_a.py::T::all PASSED  [ 20%]\ntest_a.py::T::deco SKIPPED (x)  [ 40%]\ntest_a.py::T::fails PASSED [ 60%]\ntest_a.py::T::mix PASSED [ 80%]\ntest_a.py::T::ok PASSED  [100%]\n",
    ] {
        assert_eq!(tests(text), [Passed, Skipped, Failed, Passed, Passed], "{text}");
    }
    // Nothing tells them apart: not to be taken for a pass.
    for text in ["", "printed\n1 failed, 3 passed, 5 skipped in 0.1s\n"] {
        assert_eq!(tests(text), [Passed, Skipped, Failed, Skipped, Passed], "{text}");
    }
    // As many passed as did not fail, so none was skipped.
    assert_eq!(
        tests("printed\n1 failed, 4 passed, 4 skipped in 0.1s\n"),
        [Passed, Passed, Failed, Passed, Passed]
    );
}

#[test]
fn a_failed_subtest_is_no_test_of_its_own() {
    let outcome = recorded("pytest-subtests.txt");
    let tests = outcome.tests.unwrap();
    let names: Vec<&String> = tests.tests.keys().collect();
    assert_eq!(names, ["test_b.py::test_sub_fail", "test_b.py::test_sub_fail_twice"]);
    assert_eq!((tests.passed, tests.failed), (0, 2));
}

/// Lines that start what parsers look for, so that random logs get into them.
const SEEDS: &[&str] = &[
    "error[E0425]: cannot find value",
    " --> src/lib.rs:1:2",
    "thread 'a' panicked at src/a.rs:1:1:",
    "---- a stdout ----",
    "failures:",
    "test a ... FAILED",
    "test result: FAILED. 1 passed; 1 failed; 0 ignored;",
    "Traceback (most recent call last):",
    "  File \"a.py\", line 1, in f",
    "ValueError: x",
    "The above exception was the direct cause of the following exception:",
    "=== FAILURES ===",
    "___ test_a ___",
    "E   AssertionError",
    "FAILED tests/a.py::b - x",
    "=== 1 failed in 1s ===",
    "FAIL a.test.js",
    "  ● a › b",
    "Test Suites: 1 failed",
    "Tests: 1 failed",
    " FAIL  a.js > b",
    " Test Files  1 failed",
    "⎯⎯⎯⎯",
    "TAP version 13",
    "not ok 1 - a",
    "  ---",
    "  ...",
    "1..2",
    "# Subtest: a",
    "ℹ tests 1",
    "✖ failing tests:",
    "▶ group",
    "✖ a (1ms)",
    "  1 passing (1ms)",
    "  1) group",
    "       a:",
    "--- FAIL: TestA (0.00s)",
    "    a_test.go:1: x",
    "panic: x",
    "goroutine 1 [running]:",
    "FAIL\tshop/a\t0.1s",
    "[ERROR] a.java:[1,2] x",
    "error during build:",
    "file: /a:1:2",
    "ERROR in ./a.js 1:2-3",
    "Failed to compile.",
    "./a.tsx:1:2",
    "TypeError: x",
    "    at f (file:///a.js:1:2)",
    "{\"reason\":\"compiler-message\"}",
    "{\"Action\":\"fail\",\"Test\":\"a\"}",
    "{\"numTotalTestSuites\":1,\"testResults\":[{}]}",
    "src/a.ts(1,2): error TS2304: x",
    "Ran 1 test in 0.1s",
    "FAILED (failures=1)",
    "",
    "    ",
    "\u{1f4a5}é",
    "[PARSE_ERROR] x",
    "   ╭─[ a.js:99999999999:1 ]",
    "✖ 1 problem",
    "a.js",
    "  1:2  error  x  y",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_parser_panics_on_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
        let text = crate::verify::ansi::clean(&bytes);
        parse_text(&text, "cargo npm pytest go mypy ruff gcc eslint");
    }

    #[test]
    fn no_parser_panics_on_pieces_of_real_output(
        pieces in proptest::collection::vec((0..SEEDS.len(), any::<prop::sample::Index>(), 0usize..4), 0..80)
    ) {
        let mut text = String::new();
        for (seed, end, indent) in pieces {
            let seed = SEEDS[seed];
            let line = if indent == 3 { cut(seed, end.index(seed.len() + 1)) } else { seed };
            text.push_str(&" ".repeat(indent * 2));
            text.push_str(line);
            text.push('\n');
        }
        let found = parse_text(&text, "cargo npm pytest go mypy ruff gcc eslint");
        prop_assert!(found.diagnostics.len() <= MOST_RAW);
    }
}

/// Each seed many times over: with quadratic work, eight times the log would take 64 times as long.
#[test]
fn reading_takes_time_in_proportion_to_the_log() {
    let took = |seed: &str, times: usize| {
        let text = format!("{seed}\n").repeat(times);
        crate::clock::processor_time(|| drop(parse_text(&text, "cargo npm pytest go mypy ruff gcc eslint")))
    };
    for seed in SEEDS {
        // A machine that is busy may slow one measurement down; what grows with the square takes 64 times as long each time.
        let in_proportion = (0..5).any(|_| took(seed, 4_000) < 24 * took(seed, 500));
        assert!(in_proportion, "eight times as much of {seed:?} takes more than 24 times as long");
    }
}
