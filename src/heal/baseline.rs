//! Is it really red?

use std::collections::BTreeSet;

use anyhow::Result;

use super::setup::{Prepared, prepare};
use super::still::seen_still;
use super::stop::stop;
use super::{Tools, Turn, check, others, workspace};
use crate::guards;
use crate::outcome::{Outcome, Verdict};
use crate::patch::Patch;
use crate::run::events::{Baseline, Event, Phase, StopRule};
use crate::run::journal::Journal;
use crate::verify::flaky::{Execution, Torn, failed, torn};
use crate::workspace::Attempt;

/// The most tests that are named as flaky.
const MOST_NAMED: usize = 10;

/// Runs the goal on the untouched tree, once more if it is red, and then the other checks, whose failures are not held against a patch.
/// Whatever these executions saw both red and green is flaky: they all had the same files.
pub(super) async fn take(journal: &Journal, tools: &Tools) -> Result<()> {
    guards::prepare();
    let found = seen_still(journal, tools, async || {
        Ok(match look(journal, tools).await? {
            Baseline::Green if !journal.run().is_feature() && red_if_whole(journal, tools).await? => {
                Found::RedIfWhole
            }
            baseline => Found::Baseline(baseline),
        })
    });
    match found.await? {
        None => Ok(()),
        Some(Found::Baseline(baseline)) => journal.record(Event::Baseline(baseline)).await,
        Some(Found::RedIfWhole) => {
            journal.record(Event::Baseline(Baseline::Red)).await?;
            let why = "the last commit is green, and your uncommitted changes are not: a commit leaves them out. \
                       `--land worktree` heals the tree as it is";
            stop(journal, StopRule::Uncommitted, why.into()).await
        }
    }
}

/// What the baseline comes to.
enum Found {
    Baseline(Baseline),
    /// Only what a landing as a commit leaves out is red.
    RedIfWhole,
}

async fn look(journal: &Journal, tools: &Tools) -> Result<Baseline> {
    let run = journal.run();
    if let Prepared::Failed(why) = prepare(journal, tools, None).await? {
        return Ok(why);
    }
    let mut first = goal(journal, tools, 1).await?;
    match prepare(journal, tools, Some(&first)).await? {
        Prepared::Failed(why) => return Ok(why),
        // The first one ran on other files: without the packages.
        Prepared::Ready => first = goal(journal, tools, 1).await?,
        Prepared::Unneeded => {}
    }
    let mut seen: Vec<Execution> = vec![(run.spec.goal.clone(), first)];
    let mut baseline = verdict(&seen);
    if let Some(unlike) = super::incident::unlike(&run, &seen[0].1) {
        return Ok(unlike);
    }
    if baseline == Baseline::Red {
        seen.push((run.spec.goal.clone(), goal(journal, tools, 2).await?));
        baseline = verdict(&seen);
    }
    let also = match baseline {
        Baseline::Red => true,
        Baseline::Green => run.is_feature(),
        Baseline::Flaky { .. } | Baseline::Infra { .. } => false,
    };
    if also && !run.spec.checks.is_empty() && !run.spec.dry_run {
        let attempt = workspace(journal, tools, &Patch::new()).await?;
        let last = seen[seen.len() - 1].1.clone();
        let done = others(journal, tools, Phase::Baseline, &attempt, last, |_| false).await?;
        let known =
            |outcome: &Outcome| run.spec.checks.iter().find(|check| check.name == outcome.check).cloned();
        seen.extend(done.into_iter().skip(1).filter_map(|outcome| Some((known(&outcome)?, outcome))));
        if let Some(flaky) = doubted(journal, tools, &attempt, &mut seen).await? {
            baseline = flaky;
        }
    }
    Ok(baseline)
}

/// Whether the goal is red on the tree with everything in it that a landing as a commit leaves out.
async fn red_if_whole(journal: &Journal, tools: &Tools) -> Result<bool> {
    if journal.run().spec.base.is_empty() {
        return Ok(false);
    }
    let attempt = tools.workspaces.attempt(&Patch::new()).await?;
    let turn = Turn { phase: Phase::Baseline, round: 2 };
    let outcome = check(journal, tools, turn, &attempt, &journal.run().spec.goal).await?;
    Ok(outcome.verdict == Verdict::Red)
}

/// Runs the goal in a fresh workspace.
async fn goal(journal: &Journal, tools: &Tools, round: u32) -> Result<Outcome> {
    let attempt = workspace(journal, tools, &Patch::new()).await?;
    check(journal, tools, Turn { phase: Phase::Baseline, round }, &attempt, &journal.run().spec.goal).await
}

/// What executions of the goal say, the oldest first.
fn verdict(goals: &[Execution]) -> Baseline {
    let mut red: Vec<&Outcome> = Vec::new();
    for (_, outcome) in goals {
        match (&outcome.verdict, red.first()) {
            (Verdict::Green, None) => return Baseline::Green,
            (Verdict::Green, Some(first)) => return Baseline::Flaky { what: failures(first) },
            (Verdict::Infra { reason, advice }, _) => {
                return Baseline::Infra { reason: reason.clone(), advice: advice.clone() };
            }
            (Verdict::Red, _) => red.push(outcome),
        }
    }
    if let Some(flaky) = certain(goals) {
        return flaky;
    }
    match red.as_slice() {
        [first, .., last] if nothing_in_common(first, last) => Baseline::Flaky { what: failures(first) },
        _ => Baseline::Red,
    }
}

/// The tests that one and the same command saw both ways.
fn certain(seen: &[Execution]) -> Option<Baseline> {
    let flaky: BTreeSet<String> =
        torn(seen).into_iter().filter(Torn::is_certain).map(|torn| torn.test).collect();
    if flaky.is_empty() {
        return None;
    }
    let always = seen.first().map(|(_, first)| failed(first).filter(|test| !flaky.contains(*test)).count());
    let mut what: Vec<String> = flaky.into_iter().take(MOST_NAMED).collect();
    match always.unwrap_or_default() {
        0 => {}
        more => what.insert(
            1,
            format!("(besides, {more} failed each time: a command that runs only these can be healed)"),
        ),
    }
    Some(Baseline::Flaky { what })
}

/// Where two checks saw a test differently, that may be due to how each runs it, or to chance. Each of them runs once more: who does not
/// stay with what it said is flaky.
async fn doubted(
    journal: &Journal,
    tools: &Tools,
    attempt: &Attempt,
    seen: &mut Vec<Execution>,
) -> Result<Option<Baseline>> {
    let run = journal.run();
    let doubts = torn(seen);
    let names: BTreeSet<&String> = doubts.iter().flat_map(|torn| [&torn.failed, &torn.passed]).collect();
    let checks = std::iter::once(&run.spec.goal).chain(&run.spec.checks);
    for doubted in checks.filter(|check| names.contains(&check.name)) {
        let round = seen.iter().filter(|(check, _)| check.name == doubted.name).count() as u32 + 1;
        let again = match doubted.name == run.spec.goal.name {
            true => goal(journal, tools, round).await?,
            // Where what it needs was built.
            false => check(journal, tools, Turn { phase: Phase::Baseline, round }, attempt, doubted).await?,
        };
        seen.push((doubted.clone(), again));
        if let Some(flaky) = certain(seen) {
            return Ok(Some(flaky));
        }
    }
    Ok(None)
}

/// Whether two red executions failed in entirely different tests: then neither failure is one to repair. Where the second names every
/// test, what it says of each is known already.
fn nothing_in_common(first: &Outcome, second: &Outcome) -> bool {
    let names_all = second.tests.as_ref().is_some_and(|report| report.tests.len() as u64 >= report.ran());
    let (one, two): (BTreeSet<_>, BTreeSet<_>) = (failed(first).collect(), failed(second).collect());
    !names_all && !one.is_empty() && !two.is_empty() && one.is_disjoint(&two)
}

fn failures(outcome: &Outcome) -> Vec<String> {
    let tests: Vec<String> = failed(outcome).take(MOST_NAMED).map(str::to_owned).collect();
    if !tests.is_empty() {
        return tests;
    }
    outcome.diagnostics.iter().take(3).map(|diagnostic| diagnostic.message.clone()).collect()
}
