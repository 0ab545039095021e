use proptest::prelude::*;

use super::*;
use crate::diagnostic::{Category, Position, Range};
use crate::verify::parsers::tests::{check, recorded};

fn diagnostic(file: &str, line: u32, message: &str) -> Diagnostic {
    let position = Position { line, column: 1 };
    Diagnostic {
        tool: "rustc".into(),
        severity: Severity::Error,
        code: Some("E0425".into()),
        message: message.into(),
        file: Some(file.into()),
        range: Some(Range { start: position, end: position }),
        category: Category::UndefinedName,
        test: None,
        detail: None,
    }
}

fn print(diagnostics: &[Diagnostic]) -> Fingerprint {
    fingerprint(&check("cargo build"), diagnostics, None, "")
}

#[test]
fn what_changes_from_run_to_run_is_taken_out() {
    for (first, second) in [
        ("at 0x7f6390ca9650", "at 0x55e1aa"),
        ("cannot read /tmp/tmpab12cd/x.txt", "cannot read /tmp/.tmpZZ99/other/x.txt"),
        ("took 1.52s", "took 310ms"),
        ("3 errors and 12 tests failed", "1 errors and 4 tests failed"),
        ("src/a.rs:12:5 is wrong", "src/a.rs:99:1 is wrong"),
        ("thread 15237 died on line 7", "thread 9 died on line 81"),
        ("run 59aeeed1-de93-4a3f-a9c7-349977e0f139", "run 11111111-de93-4a3f-a9c7-349977e0f139"),
        ("2026-11-21T10:19:38.785Z failed", "2027-01-01T00:00:00Z failed"),
        ("two  spaces", "two spaces"),
    ] {
        assert_eq!(stable(first), stable(second));
    }
    assert_ne!(stable("expected 2 arguments"), stable("expected 3 arguments"));
    assert_ne!(stable("expected `u32`, found `&str`"), stable("expected `String`, found `&str`"));
}

#[test]
fn a_failure_without_diagnostics_is_known_by_its_output_and_command() {
    let by_tail = |command: &str, tail: &str| fingerprint(&check(command), &[], None, tail);
    assert_eq!(by_tail("x", "boom at 0x12\n took 3s"), by_tail("x", "boom at 0x99\n took 5s"));
    assert_ne!(by_tail("x", "boom"), by_tail("y", "boom"));
    assert_ne!(by_tail("x", "boom"), by_tail("x", "bang"));
}

#[test]
fn every_recorded_failure_has_a_fingerprint_of_its_own() {
    let names =
        ["cargo-test.txt", "pytest.txt", "tsc7.txt", "go-build.txt", "vite-export.txt", "vite-import.txt"];
    let all: BTreeSet<Fingerprint> = names.iter().map(|name| recorded(name).fingerprint.unwrap()).collect();
    assert_eq!(all.len(), names.len());
    // The same faults told by another version of the tool, or in another form.
    assert_eq!(recorded("tsc7.txt").fingerprint, recorded("tsc5.txt").fingerprint);
    assert_eq!(recorded("cargo-build.txt").fingerprint, recorded("cargo-build.json").fingerprint);
    assert_eq!(recorded("cargo-build.txt").fingerprint, recorded("cargo-short.txt").fingerprint);
    assert_eq!(recorded("ruff.txt").fingerprint, recorded("ruff.json").fingerprint);
    assert_eq!(recorded("eslint.txt").fingerprint, recorded("eslint.json").fingerprint);
    assert_eq!(recorded("pytest.txt").fingerprint, recorded("pytest.xml").fingerprint);
    assert_eq!(recorded("pyright.txt").fingerprint, recorded("pyright.json").fingerprint);
}

proptest! {
    #[test]
    fn lines_and_order_and_repetition_do_not_matter(
        faults in proptest::collection::vec(("[a-z]{1,8}\\.rs", "[a-z]{1,12} [a-z]{1,12}"), 1..12),
        drift in 0u32..500,
        turn in 0usize..12,
    ) {
        let before: Vec<Diagnostic> = faults.iter().map(|(f, m)| diagnostic(f, 1, m)).collect();
        let mut after: Vec<Diagnostic> = faults.iter().map(|(f, m)| diagnostic(f, 1 + drift, m)).collect();
        let turn = turn % after.len();
        after.rotate_left(turn);
        after.push(after[0].clone());
        prop_assert_eq!(print(&before), print(&after));
    }

    #[test]
    fn another_fault_is_another_failure(name in "[a-z]{3,10}", other in "[a-z]{3,10}") {
        prop_assume!(name != other);
        let of = |name: &str| print(&[diagnostic("src/a.rs", 3, &format!("cannot find value `{name}` in this scope"))]);
        prop_assert_ne!(of(&name), of(&other));
    }

    #[test]
    fn any_text_is_stable_when_stable(text in ".{0,300}") {
        let once = stable(&text);
        prop_assert!(once.len() <= 12_000);
        prop_assert_eq!(stable(&once).is_empty(), once.is_empty());
    }
}
