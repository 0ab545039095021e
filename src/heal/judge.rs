//! What an attempt's outcomes mean for its patch.

use crate::outcome::{Outcome, Verdict};
use crate::run::Run;
use crate::run::events::Decision;
use crate::verify::compare;
use crate::verify::compare::Progress;

/// What becomes of a patch after which the goal came to `goal`, with `red` as the state before it.
pub(super) fn goal(run: &Run, goal: &Outcome) -> (Decision, String) {
    if let Verdict::Infra { reason, .. } = &goal.verdict {
        return (Decision::Drop, format!("the goal could not be judged after it: {reason}"));
    }
    let Some(before) = run.before.iter().find(|outcome| outcome.check == goal.check) else {
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
    if goal.is_green() {
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

/// What another check says of a patch with a green goal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Beside {
    /// Nothing against it.
    Fine,
    /// It got worse.
    Worse(String),
    /// It is red, could not get this far before, and so nobody can say whose fault that is: a person has to look.
    Doubtful(String),
}

/// Compares another check's outcome with its baseline.
pub(super) fn beside(run: &Run, after: &Outcome) -> Beside {
    let name = &after.check;
    let Some(before) = run.before.iter().find(|outcome| outcome.check == after.check) else {
        // What it needs was red then.
        let why = || format!("check {name} could not run before, and is red: {}", headline(after));
        return if after.is_green() { Beside::Fine } else { Beside::Doubtful(why()) };
    };
    if let Verdict::Infra { reason, .. } = &after.verdict {
        return match before.verdict {
            Verdict::Infra { .. } => Beside::Fine,
            _ => Beside::Worse(format!("check {name} could not be judged: {reason}")),
        };
    }
    let change = compare(before, after);
    if before.is_green() && !after.is_green() {
        return Beside::Worse(format!("check {name} was green and is red now: {}", headline(after)));
    }
    if !change.newly_failing.is_empty() {
        return Beside::Worse(format!("check {name} has new failures: {}", some(&change.newly_failing)));
    }
    if !change.missing.is_empty() {
        return Beside::Worse(format!("check {name} lost tests: {}", some(&change.missing)));
    }
    // A runner that only counts names nothing that could be missing.
    let (was, is) = change.tests_run;
    if is < was {
        return Beside::Worse(format!("check {name} ran {is} tests where {was} ran before"));
    }
    if after.is_green() || change.new.is_empty() {
        return Beside::Fine;
    }
    match change.stage.1 > change.stage.0 {
        true => Beside::Doubtful(format!(
            "check {name} gets further than before, and is red: {}",
            headline(after)
        )),
        false => Beside::Worse(format!("check {name} has new complaints: {}", headline(after))),
    }
}

/// The first thing that an outcome complains about, in one line.
pub(super) fn headline(outcome: &Outcome) -> String {
    match outcome.diagnostics.first() {
        Some(first) => {
            let place = match (&first.file, &first.range) {
                (Some(file), Some(range)) => format!("{file}:{}: ", range.start.line),
                (Some(file), None) => format!("{file}: "),
                (None, _) => String::new(),
            };
            let more = match outcome.diagnostics.len() {
                1 => String::new(),
                count => format!(" (and {} more)", count - 1),
            };
            let line = first.message.lines().next().unwrap_or_default();
            format!("{place}{line}{more}")
        }
        None => format!("it {}, and nothing it printed could be read as a complaint", outcome.end),
    }
}

fn some(names: &[String]) -> String {
    let shown = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    match names.len() {
        0..=5 => shown,
        more => format!("{shown} and {} more", more - 5),
    }
}
