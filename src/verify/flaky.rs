//! Tests that both fail and pass on one and the same tree.

use std::collections::BTreeSet;

use crate::outcome::{Check, Outcome, TestStatus};

/// One execution of a check on a tree.
pub type Execution = (Check, Outcome);

/// A test that two executions on the same tree saw differently.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Torn {
    /// The test's identity.
    pub test: String,
    /// The check that it failed in.
    pub failed: String,
    /// The check that it passed in: the same one where it is flaky for certain. Otherwise the two commands may run it in different ways.
    pub passed: String,
}

impl Torn {
    /// Whether one command saw both.
    pub fn is_certain(&self) -> bool {
        self.failed == self.passed
    }
}

/// The tests that `executions` (all of one tree) saw both fail and pass, each pair of checks once. A name says which test it is only within
/// one folder.
pub fn torn(executions: &[Execution]) -> BTreeSet<Torn> {
    let mut torn = BTreeSet::new();
    for (at, one) in executions.iter().enumerate() {
        for other in executions[at + 1..].iter().filter(|other| other.0.dir == one.0.dir) {
            for (red, green) in [(one, other), (other, one)] {
                let names = failed(&red.1).filter(|name| has_passed(name, red, green));
                torn.extend(names.map(|name| Torn {
                    test: name.to_owned(),
                    failed: red.0.name.clone(),
                    passed: green.0.name.clone(),
                }));
            }
        }
    }
    torn
}

/// The tests that failed in an outcome, by identity.
pub fn failed(outcome: &Outcome) -> impl Iterator<Item = &str> {
    let tests = outcome.tests.iter().flat_map(|report| &report.tests);
    tests.filter(|(_, status)| **status == TestStatus::Failed).map(|(name, _)| name.as_str())
}

/// Whether `test`, which failed in `red`, passed in `green`. A runner that names only what fails says so by leaving it out, where the same
/// command ran as many tests.
fn has_passed(test: &str, red: &Execution, green: &Execution) -> bool {
    let (Some(before), Some(report)) = (&red.1.tests, &green.1.tests) else { return false };
    match report.tests.get(test) {
        Some(status) => *status == TestStatus::Passed,
        None => {
            let named = failed(&green.1).count() as u64;
            let unnamed = report.ran().saturating_sub(report.tests.len() as u64);
            red.0.name == green.0.name
                && named >= report.failed
                && unnamed > 0
                && report.ran() == before.ran()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::outcome::{CommandLine, End, TestReport, Verdict};

    fn ran(name: &str, dir: &str, tests: &[(&str, TestStatus)], counts: (u64, u64)) -> Execution {
        let run = CommandLine::Shell(name.into());
        let check =
            Check { name: name.into(), run, dir: dir.into(), timeout: Duration::ZERO, needs: Vec::new() };
        let tests = tests.iter().map(|(name, status)| ((*name).to_owned(), *status)).collect();
        let outcome = Outcome {
            check: name.into(),
            end: End::Exited(1),
            verdict: Verdict::Red,
            duration: Duration::ZERO,
            diagnostics: Vec::new(),
            tests: Some(TestReport { tests, passed: counts.0, failed: counts.1, skipped: 0 }),
            fingerprint: None,
            tail: String::new(),
            log_digest: String::new(),
            log_bytes: 0,
            log: None,
            connections: Vec::new(),
            silent: std::collections::BTreeSet::new(),
        };
        (check, outcome)
    }

    use TestStatus::{Failed, Passed, Skipped};

    #[test]
    fn a_test_that_one_command_saw_fail_and_pass_is_flaky_for_certain() {
        let executions = [
            ran("goal", "", &[("a", Failed), ("b", Failed), ("c", Passed)], (1, 2)),
            ran("goal", "", &[("a", Failed), ("b", Passed), ("c", Passed)], (2, 1)),
        ];
        let found: Vec<Torn> = torn(&executions).into_iter().collect();
        assert_eq!(found.len(), 1);
        assert!(found[0].test == "b" && found[0].is_certain());
        // Skipped is no verdict.
        let executions =
            [ran("goal", "", &[("a", Failed)], (0, 1)), ran("goal", "", &[("a", Skipped)], (0, 0))];
        assert!(torn(&executions).is_empty());
    }

    #[test]
    fn another_command_raises_a_doubt_in_the_same_folder_only() {
        let goal = ran("goal", "", &[("a", Failed)], (0, 1));
        let found = torn(&[goal.clone(), goal.clone(), ran("test", "", &[("a", Passed)], (1, 0))]);
        assert_eq!(found.len(), 1);
        assert!(
            found.iter().all(|torn| !torn.is_certain() && torn.failed == "goal" && torn.passed == "test")
        );
        assert!(torn(&[goal, ran("test", "web", &[("a", Passed)], (1, 0))]).is_empty());
    }

    #[test]
    fn a_runner_that_names_only_failures_says_the_rest_by_its_counts() {
        let first = ran("goal", "", &[("a", Failed), ("b", Failed)], (3, 2));
        assert_eq!(torn(&[first.clone(), ran("goal", "", &[("a", Failed)], (4, 1))]).len(), 1);
        // Fewer ran, or not every failure is named, or another command: nobody knows.
        assert!(torn(&[first.clone(), ran("goal", "", &[("a", Failed)], (3, 1))]).is_empty());
        assert!(torn(&[first.clone(), ran("goal", "", &[("a", Failed)], (3, 2))]).is_empty());
        assert!(torn(&[first, ran("test", "", &[("a", Failed)], (4, 1))]).is_empty());
    }
}
