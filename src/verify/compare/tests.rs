use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::diagnostic::{Position, Range};
use crate::outcome::{End, TestReport};
use crate::verify::parsers::tests::recorded;

fn error(category: Category, line: u32, message: &str) -> Diagnostic {
    let position = Position { line, column: 1 };
    Diagnostic {
        tool: "rustc".into(),
        severity: Severity::Error,
        code: None,
        message: message.into(),
        file: Some("src/lib.rs".into()),
        range: Some(Range { start: position, end: position }),
        category,
        test: None,
        detail: None,
    }
}

fn failed(test: &str, message: &str) -> Diagnostic {
    Diagnostic { test: Some(test.into()), ..error(Category::TestAssertion, 5, message) }
}

fn outcome(diagnostics: Vec<Diagnostic>, tests: &[(&str, TestStatus)]) -> Outcome {
    let count = |status| tests.iter().filter(|(_, s)| *s == status).count() as u64;
    let report = TestReport {
        tests: tests.iter().map(|(name, status)| ((*name).to_owned(), *status)).collect::<BTreeMap<_, _>>(),
        passed: count(TestStatus::Passed),
        failed: count(TestStatus::Failed),
        skipped: count(TestStatus::Skipped),
    };
    let red = !diagnostics.is_empty() || report.failed > 0;
    Outcome {
        check: "goal".into(),
        end: End::Exited(i32::from(red)),
        verdict: if red { Verdict::Red } else { Verdict::Green },
        duration: Duration::from_secs(1),
        diagnostics,
        tests: (!tests.is_empty()).then_some(report),
        fingerprint: None,
        tail: String::new(),
        log_digest: String::new(),
        log_bytes: 0,
        log: None,
        connections: Vec::new(),
        silent: std::collections::BTreeSet::new(),
    }
}

fn progress(before: &Outcome, after: &Outcome) -> Progress {
    compare(before, after).progress()
}

use TestStatus::{Failed, Passed, Skipped};

#[test]
fn the_same_errors_on_other_lines_are_the_same() {
    let before = outcome(vec![error(Category::Type, 3, "a"), error(Category::Type, 9, "b")], &[]);
    let after = outcome(vec![error(Category::Type, 40, "b"), error(Category::Type, 33, "a")], &[]);
    let comparison = compare(&before, &after);
    assert!(comparison.fixed.is_empty() && comparison.new.is_empty());
    assert_eq!(comparison.remaining.len(), 2);
    assert_eq!(comparison.progress(), Progress::Same);
}

#[test]
fn equal_errors_are_counted() {
    let before = outcome(vec![error(Category::Type, 3, "a"), error(Category::Type, 9, "a")], &[]);
    let after = outcome(vec![error(Category::Type, 9, "a")], &[]);
    let comparison = compare(&before, &after);
    assert_eq!((comparison.fixed.len(), comparison.remaining.len(), comparison.new.len()), (1, 1, 0));
    assert_eq!(comparison.progress(), Progress::Better);
    assert_eq!(progress(&after, &before), Progress::Worse);
}

#[test]
fn one_fixed_and_one_new_is_worse() {
    let before = outcome(vec![error(Category::Type, 3, "a"), error(Category::Type, 9, "b")], &[]);
    let after = outcome(vec![error(Category::Type, 3, "a"), error(Category::Type, 9, "c")], &[]);
    assert_eq!(progress(&before, &after), Progress::Worse);
}

#[test]
fn what_was_hidden_by_an_earlier_stage_is_not_held_against_a_patch() {
    let syntax = outcome(vec![error(Category::Syntax, 1, "expected `;`")], &[]);
    let types = outcome(vec![error(Category::Type, 4, "x"), error(Category::Type, 5, "y")], &[]);
    let tests = outcome(vec![failed("a", "1 != 2")], &[("a", Failed), ("b", Passed)]);
    assert_eq!(progress(&syntax, &types), Progress::Better);
    assert_eq!(progress(&types, &tests), Progress::Better);
    assert_eq!(progress(&types, &syntax), Progress::Worse);
    assert_eq!(progress(&tests, &types), Progress::Worse);
}

#[test]
fn a_type_checker_tells_names_and_types_at_once() {
    let tsc = |category, message: &str| Diagnostic { tool: "tsc".into(), ..error(category, 1, message) };
    let before = outcome(vec![tsc(Category::Import, "no module")], &[]);
    let after = outcome(vec![tsc(Category::Type, "x"), tsc(Category::Type, "y")], &[]);
    assert_eq!(progress(&before, &after), Progress::Worse);
}

#[test]
fn a_test_that_passed_and_fails_or_is_gone_is_worse_even_when_green() {
    let before = outcome(vec![failed("a", "x")], &[("a", Failed), ("b", Passed)]);
    let lost = outcome(vec![], &[("a", Passed)]);
    assert_eq!(progress(&before, &lost), Progress::Worse);
    assert_eq!(compare(&before, &lost).missing, ["b"]);
    let deleted = outcome(vec![], &[("b", Passed)]);
    assert_eq!(progress(&before, &deleted), Progress::Worse);
    let skipped = outcome(vec![], &[("a", Skipped), ("b", Passed)]);
    assert_eq!(compare(&before, &skipped).missing, ["a"]);
    assert_eq!(progress(&before, &skipped), Progress::Worse);
    let broken = outcome(vec![failed("b", "y")], &[("a", Passed), ("b", Failed)]);
    assert_eq!(compare(&before, &broken).newly_failing, ["b"]);
    assert_eq!(progress(&before, &broken), Progress::Worse);
    let healed = outcome(vec![], &[("a", Passed), ("b", Passed), ("new", Passed)]);
    assert_eq!(progress(&before, &healed), Progress::Better);
}

#[test]
fn a_failing_test_with_another_message_is_the_same_failure() {
    let before =
        outcome(vec![failed("a", "expected 3, got 4"), failed("b", "x")], &[("a", Failed), ("b", Failed)]);
    let after = outcome(vec![failed("a", "expected 3, got 5")], &[("a", Failed), ("b", Passed)]);
    let comparison = compare(&before, &after);
    assert_eq!((comparison.fixed.len(), comparison.remaining.len(), comparison.new.len()), (1, 1, 0));
    assert_eq!(comparison.progress(), Progress::Better);
}

#[test]
fn counts_decide_where_a_runner_names_only_failures() {
    let counted = |failing: &[&str], passed: u64| {
        let tests: Vec<_> = failing.iter().map(|t| (*t, Failed)).collect();
        let mut made = outcome(failing.iter().map(|t| failed(t, "x")).collect(), &tests);
        made.tests.get_or_insert_default().passed = passed;
        made
    };
    let before = counted(&["a", "b"], 8);
    assert_eq!(progress(&before, &counted(&["a"], 9)), Progress::Better);
    assert_eq!(progress(&before, &counted(&[], 10)), Progress::Better);
    // One test fewer ran.
    assert_eq!(progress(&before, &counted(&[], 9)), Progress::Worse);
    // Another test fails now.
    let swapped = compare(&before, &counted(&["a", "c"], 8));
    assert_eq!(swapped.newly_failing, ["c"]);
    assert_eq!(swapped.progress(), Progress::Worse);
}

#[test]
fn infra_teaches_nothing() {
    let before = outcome(vec![error(Category::Type, 3, "a")], &[]);
    let mut after = outcome(vec![], &[]);
    after.verdict = Verdict::Infra { reason: "disk".into(), advice: "free it".into() };
    assert_eq!(progress(&before, &after), Progress::Same);
}

#[test]
fn recorded_outcomes_compare_with_themselves_as_the_same() {
    for name in ["cargo-test.txt", "pytest.xml", "vitest.json", "go-test-v.txt", "tsc7.txt", "jest.txt"] {
        let outcome = recorded(name);
        let comparison = compare(&outcome, &outcome);
        assert_eq!(comparison.progress(), Progress::Same, "{name}: {comparison:?}");
    }
}

#[test]
fn a_failing_test_whose_package_passes_without_naming_it_passes() {
    let before = outcome(
        vec![failed("x/TestTotal", "got 2")],
        &[("x/TestTotal", Failed), ("x/deep/TestMore", Failed)],
    );
    let mut after = outcome(vec![], &[]);
    after.silent = ["x".to_owned()].into();
    let change = compare(&before, &after);
    assert_eq!(change.newly_passing, ["x/TestTotal"]);
    // The package below it is not told of at all: it may be gone.
    assert_eq!(change.missing, ["x/deep/TestMore"]);
    after.silent.insert("x/deep".to_owned());
    assert_eq!(progress(&before, &after), Progress::Better);
    assert_eq!(compare(&before, &after).tests_run, (2, 2));
}
