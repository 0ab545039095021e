//! Which checks make sense: one that needs another runs after it, and only where that one is green.

use crate::outcome::{Check, Outcome};

/// The checks in an order in which each comes after those that it needs, and else as they are given.
pub fn in_order(checks: &[Check]) -> Vec<&Check> {
    let mut left: Vec<&Check> = checks.iter().collect();
    let mut ordered: Vec<&Check> = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let waits = |check: &Check| {
            left.iter().any(|other| other.name != check.name && check.needs.contains(&other.name))
        };
        // Needs in a circle are refused where checks are read; here they must only not hang.
        let next = left.iter().position(|check| !waits(check)).unwrap_or(0);
        ordered.push(left.remove(next));
    }
    ordered
}

/// The first need of `check` that is not met by `done`, the outcomes of the goal and of the checks that ran before it in the same tree.
/// A need that none of `checks` has as its name is the one that the goal stands for.
pub fn unmet<'c>(check: &'c Check, goal: &str, checks: &[Check], done: &[Outcome]) -> Option<&'c str> {
    let is_green = |name: &str| done.iter().any(|outcome| outcome.check == name && outcome.is_green());
    check.needs.iter().map(String::as_str).find(|need| {
        let known = checks.iter().any(|other| other.name == **need);
        !is_green(if known { need } else { goal })
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::outcome::{CommandLine, End, Verdict};

    fn check(name: &str, needs: &[&str]) -> Check {
        Check {
            name: name.into(),
            run: CommandLine::Shell("true".into()),
            dir: String::new(),
            timeout: Duration::from_secs(1),
            needs: needs.iter().map(|need| (*need).to_owned()).collect(),
        }
    }

    fn outcome(check: &str, verdict: Verdict) -> Outcome {
        Outcome {
            check: check.into(),
            end: End::Exited(0),
            verdict,
            duration: Duration::ZERO,
            diagnostics: Vec::new(),
            tests: None,
            fingerprint: None,
            tail: String::new(),
            log_digest: String::new(),
            log_bytes: 0,
            log: None,
            connections: Vec::new(),
            silent: std::collections::BTreeSet::new(),
        }
    }

    #[test]
    fn a_check_comes_after_what_it_needs() {
        let checks = [
            check("e2e", &["test", "build"]),
            check("lint", &[]),
            check("test", &["build"]),
            check("build", &[]),
        ];
        let names: Vec<&str> = in_order(&checks).iter().map(|check| check.name.as_str()).collect();
        assert_eq!(names, ["lint", "build", "test", "e2e"]);
        let circle = [check("a", &["b"]), check("b", &["a"]), check("c", &["c"])];
        assert_eq!(in_order(&circle).len(), 3);
    }

    #[test]
    fn a_check_runs_only_after_green_ones() {
        let checks = [check("build", &[]), check("test", &["build"]), check("e2e", &["test"])];
        let infra = Verdict::Infra { reason: "r".into(), advice: "a".into() };
        for red in [Verdict::Red, infra] {
            let done = [outcome("goal", Verdict::Green), outcome("build", red)];
            assert_eq!(unmet(&checks[1], "goal", &checks, &done), Some("build"));
            // What it needs did not run, either.
            assert_eq!(unmet(&checks[2], "goal", &checks, &done), Some("test"));
            assert_eq!(unmet(&checks[0], "goal", &checks, &done), None);
        }
        let done = [outcome("goal", Verdict::Red), outcome("build", Verdict::Green)];
        assert_eq!(unmet(&checks[1], "goal", &checks, &done), None);
    }

    #[test]
    fn a_need_that_is_the_goals_own_command_is_the_goal() {
        let checks = [check("test", &["build"])];
        assert_eq!(unmet(&checks[0], "goal", &checks, &[outcome("goal", Verdict::Red)]), Some("build"));
        assert_eq!(unmet(&checks[0], "goal", &checks, &[outcome("goal", Verdict::Green)]), None);
    }
}
