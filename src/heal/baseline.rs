//! Is it really red?

use anyhow::Result;

use super::setup::{Prepared, prepare};
use super::{Tools, check, others, workspace};
use crate::outcome::{Outcome, TestStatus, Verdict};
use crate::patch::Patch;
use crate::run::events::{Baseline, Event, Phase};
use crate::run::journal::Journal;

/// Runs the goal on the untouched tree, once more if it is red, and then the other checks, whose failures are not held against a patch.
pub(super) async fn take(journal: &Journal, tools: &Tools) -> Result<()> {
    let run = journal.run();
    if let Prepared::Failed(why) = prepare(journal, tools, None).await? {
        return journal.record(Event::Baseline(why)).await;
    }
    let mut first = goal(journal, tools).await?;
    match prepare(journal, tools, Some(&first)).await? {
        Prepared::Failed(why) => return journal.record(Event::Baseline(why)).await,
        Prepared::Ready => first = goal(journal, tools).await?,
        Prepared::Unneeded => {}
    }
    let baseline = match &first.verdict {
        Verdict::Green => Baseline::Green,
        Verdict::Infra { reason, advice } => infra(reason, advice),
        Verdict::Red => {
            let second = goal(journal, tools).await?;
            match &second.verdict {
                Verdict::Green => Baseline::Flaky { what: failures(&first) },
                Verdict::Infra { reason, advice } => infra(reason, advice),
                Verdict::Red if nothing_in_common(&first, &second) => {
                    Baseline::Flaky { what: failures(&first) }
                }
                Verdict::Red => Baseline::Red,
            }
        }
    };
    let also = match baseline {
        Baseline::Red => true,
        Baseline::Green => run.is_feature(),
        Baseline::Flaky { .. } | Baseline::Infra { .. } => false,
    };
    if also && !run.spec.checks.is_empty() && !run.spec.dry_run {
        let attempt = workspace(journal, tools, &Patch::new()).await?;
        let goal = journal.run().before.iter().find(|outcome| outcome.check == run.spec.goal.name).cloned();
        others(journal, tools, Phase::Baseline, &attempt, goal.unwrap_or(first), |_| false).await?;
    }
    journal.record(Event::Baseline(baseline)).await
}

/// Runs the goal in a fresh workspace.
async fn goal(journal: &Journal, tools: &Tools) -> Result<Outcome> {
    let attempt = workspace(journal, tools, &Patch::new()).await?;
    check(journal, tools, Phase::Baseline, &attempt, &journal.run().spec.goal).await
}

fn infra(reason: &str, advice: &str) -> Baseline {
    Baseline::Infra { reason: reason.to_owned(), advice: advice.to_owned() }
}

/// Whether two red executions failed in entirely different tests: then neither failure is one to repair.
fn nothing_in_common(first: &Outcome, second: &Outcome) -> bool {
    let (one, two) = (failed_tests(first), failed_tests(second));
    !one.is_empty() && !two.is_empty() && !one.iter().any(|test| two.contains(test))
}

fn failed_tests(outcome: &Outcome) -> Vec<&String> {
    let tests = outcome.tests.iter().flat_map(|report| &report.tests);
    tests.filter(|(_, status)| **status == TestStatus::Failed).map(|(name, _)| name).collect()
}

fn failures(outcome: &Outcome) -> Vec<String> {
    let tests: Vec<String> = failed_tests(outcome).into_iter().take(10).cloned().collect();
    if !tests.is_empty() {
        return tests;
    }
    outcome.diagnostics.iter().take(3).map(|diagnostic| diagnostic.message.clone()).collect()
}
