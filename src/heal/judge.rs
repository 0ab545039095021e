//! What an attempt's outcomes mean for its patch.

use crate::outcome::{Outcome, Verdict};
use crate::run::Run;
use crate::run::events::Decision;
use crate::verify::compare::{self, Beside, Progress, Tests, compare, headline, some};

/// What becomes of a patch after which the goal came to `goal`, with `red` as the state before it.
pub(super) fn goal(run: &Run, goal: &Outcome) -> (Decision, String) {
    if let Verdict::Infra { reason, .. } = &goal.verdict {
        return (Decision::Drop, format!("the goal could not be judged after it: {reason}"));
    }
    let before = run.before.iter().find(|outcome| outcome.check == goal.check);
    // What a proposal's check needs may have been red with it: then its base is all that it can be compared with.
    let Some(before) = before.or_else(|| run.without.iter().find(|outcome| outcome.check == goal.check))
    else {
        return (Decision::Drop, "the goal has no baseline".into());
    };
    let since_start = compare(before, goal);
    if !since_start.newly_failing.is_empty() {
        return (
            Decision::Drop,
            format!("tests that passed before fail now: {}", some(&since_start.newly_failing)),
        );
    }
    if !since_start.missing.is_empty() {
        return (Decision::Drop, format!("tests that ran before are gone: {}", some(&since_start.missing)));
    }
    if goal.is_green() || (run.proposed().is_some() && run.held(goal).is_none()) {
        let (was, is) = since_start.tests_run;
        return match is < was {
            true => (Decision::Drop, format!("{is} tests ran where {was} ran before")),
            false => (Decision::Green, "the goal is green".into()),
        };
    }
    let Some(current) = run.red.iter().find(|outcome| outcome.check == goal.check) else {
        // A feature starts from a green tree: whatever is red now, the patch brought.
        return (Decision::Drop, format!("the goal is red after it: {}", headline(goal)));
    };
    let step = compare(current, goal);
    match step.progress() {
        Progress::Better if step.stage.1 > step.stage.0 => {
            (Decision::Keep, format!("the build gets further now: {}", headline(goal)))
        }
        Progress::Better => (
            Decision::Keep,
            format!("{} of {} failures are gone", step.fixed.len(), step.fixed.len() + step.remaining.len()),
        ),
        Progress::Same => (Decision::Drop, format!("the same failures are left: {}", headline(goal))),
        Progress::Worse => (Decision::Drop, format!("it brings new failures: {}", headline(goal))),
    }
}

/// Compares another check's outcome with its baseline.
pub(super) fn beside(run: &Run, after: &Outcome) -> Beside {
    let before = run.before.iter().find(|outcome| outcome.check == after.check);
    compare::beside(before, after, Tests::MustStay)
}
