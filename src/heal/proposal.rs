//! Proposals: what is tested is base and proposal, and what is red on the base alone is not held against it.
//!
//! To the loop a proposal is part of the tree that it starts from. So what repairs it is looked at, minimised and proven like any other
//! patch. What is different is the goal: not that a command exits 0, but that no check is worse than on the base.

use std::collections::BTreeSet;

use anyhow::Result;

use super::attempt::guard;
use super::judge;
use super::setup::{Prepared, follow, prepare};
use super::still::seen_still;
use super::stop::stop;
use super::{Tools, Turn, check};
use crate::guards::{self, Finding, Weight};
use crate::outcome::{Check, Outcome, Verdict};
use crate::patch::Patch;
use crate::run::Run;
use crate::run::events::{Baseline, Decision, Event, Phase, StopRule};
use crate::run::journal::Journal;
use crate::verify::compare::{Beside, some};
use crate::verify::flaky::{Execution, torn};
use crate::verify::needs::{in_order, unmet};
use crate::workspace::Attempt;

/// The guards whose refusal no person's word changes: where a file is, and how large.
const ABSOLUTE: &[&str] = &["path", "size"];

/// Runs every check on the base, then on base and proposal, and once more what is worse there.
pub(super) async fn take(journal: &Journal, tools: &Tools) -> Result<()> {
    guards::prepare();
    let run = journal.run();
    if let Some(why) = refusal(tools, &run) {
        return stop(journal, StopRule::Unfit, why).await;
    }
    match seen_still(journal, tools, async || look(journal, tools).await).await? {
        Some(baseline) => journal.record(Event::Baseline(baseline)).await,
        None => Ok(()),
    }
}

async fn look(journal: &Journal, tools: &Tools) -> Result<Baseline> {
    let run = journal.run();
    if let Prepared::Failed(why) = prepare(journal, tools, None).await? {
        return Ok(why);
    }
    let mut without = everything(journal, tools, Phase::Base, 1, &run.spec.base).await?;
    let red = without.iter().find(|outcome| !outcome.is_green()).cloned();
    if let Some(red) = red {
        match prepare(journal, tools, Some(&red)).await? {
            Prepared::Failed(why) => return Ok(why),
            // The first ones ran on other files: without the packages.
            Prepared::Ready => without = everything(journal, tools, Phase::Base, 1, &run.spec.base).await?,
            Prepared::Unneeded => {}
        }
    }
    match follow(journal, tools, &run.start()).await? {
        Ok(locks) if locks.is_empty() => {}
        Ok(locks) => journal.record(Event::Installed { attempt: 0, locks }).await?,
        Err(why) => {
            let what = format!("the packages that the proposal asks for could not be installed: {why}");
            let advice = "its checks say whether they are needed".to_owned();
            journal.record(Event::Warned { what, advice }).await?;
        }
    }
    let with = everything(journal, tools, Phase::Baseline, 1, &journal.run().base()).await?;
    let run = journal.run();
    if let Some(infra) = infra(&without, &with) {
        return Ok(infra);
    }
    let worse: Vec<Outcome> = with.iter().filter(|outcome| run.held(outcome).is_some()).cloned().collect();
    if worse.is_empty() {
        return Ok(Baseline::Green);
    }
    let again = everything(journal, tools, Phase::Baseline, 2, &run.base()).await?;
    Ok(flaky(&run, &worse, &with, &again).unwrap_or(Baseline::Red))
}

/// Why a proposal is not even run, if it is not: it is somewhere, or of a size, where nobody's word counts.
fn refusal(tools: &Tools, run: &Run) -> Option<String> {
    let proposed = run.proposed()?;
    let absolute =
        |finding: &&Finding| finding.weight == Weight::Refuse && ABSOLUTE.contains(&finding.guard.as_str());
    let findings = guard(tools, run, &run.spec.base, proposed);
    let refused: Vec<String> = findings
        .iter()
        .filter(absolute)
        .map(|finding| format!("{}: {}", finding.path, finding.reason))
        .collect();
    (!refused.is_empty()).then(|| format!("the proposal was refused before it was run: {}", some(&refused)))
}

/// Every check of the run in its order.
fn all(run: &Run) -> Vec<Check> {
    std::iter::once(&run.spec.goal).chain(&run.spec.checks).cloned().collect()
}

/// Runs every check whose needs are met, in their order, in a fresh workspace with `patch`.
async fn everything(
    journal: &Journal,
    tools: &Tools,
    phase: Phase,
    round: u32,
    patch: &Patch,
) -> Result<Vec<Outcome>> {
    let attempt = tools.workspaces.attempt(patch).await?;
    run_all(journal, tools, Turn { phase, round }, &attempt, |_| false).await
}

/// Runs every check whose needs are met, in their order, until `enough` says so of one.
async fn run_all(
    journal: &Journal,
    tools: &Tools,
    turn: Turn,
    attempt: &Attempt,
    mut enough: impl FnMut(&Outcome) -> bool,
) -> Result<Vec<Outcome>> {
    let checks = all(&journal.run());
    let mut done = Vec::new();
    for one in in_order(&checks) {
        if unmet(one, "", &checks, &done).is_some() {
            continue;
        }
        let outcome = check(journal, tools, turn, attempt, one).await?;
        let stop = enough(&outcome);
        done.push(outcome);
        if stop {
            break;
        }
    }
    Ok(done)
}

/// What could not be judged with the proposal, and could without it.
fn infra(without: &[Outcome], with: &[Outcome]) -> Option<Baseline> {
    with.iter().find_map(|outcome| match &outcome.verdict {
        Verdict::Infra { reason, advice } => {
            let before = without.iter().find(|before| before.check == outcome.check);
            let known = before.is_some_and(|before| matches!(before.verdict, Verdict::Infra { .. }));
            let found = Baseline::Infra { reason: reason.clone(), advice: advice.clone() };
            (!known).then_some(found)
        }
        _ => None,
    })
}

/// What was worse than on the base, and was not when it ran again on the same files.
fn flaky(run: &Run, worse: &[Outcome], first: &[Outcome], again: &[Outcome]) -> Option<Baseline> {
    let checks = all(run);
    let seen: Vec<Execution> = first
        .iter()
        .chain(again)
        .filter_map(|outcome| {
            let check = checks.iter().find(|check| check.name == outcome.check)?;
            Some((check.clone(), outcome.clone()))
        })
        .collect();
    let tests: BTreeSet<String> =
        torn(&seen).into_iter().filter(|torn| torn.is_certain()).map(|torn| torn.test).collect();
    let steady = |outcome: &&Outcome| {
        let later = again.iter().find(|later| later.check == outcome.check);
        later.is_none_or(|later| run.held(later).is_some())
    };
    let mut what: Vec<String> = tests.into_iter().collect();
    if what.is_empty() {
        what = worse.iter().filter(|outcome| !steady(outcome)).map(|outcome| outcome.check.clone()).collect();
    }
    (!what.is_empty()).then_some(Baseline::Flaky { what })
}

/// What became of the checks after a patch on top of the proposal, with what is still red.
pub(super) async fn tried(
    journal: &Journal,
    tools: &Tools,
    phase: Phase,
    attempt: &Attempt,
) -> Result<(Decision, String, Vec<Outcome>)> {
    let run = journal.run();
    let mut worse = None;
    let done = run_all(journal, tools, phase.into(), attempt, |outcome| {
        if outcome.check == run.spec.goal.name {
            return false;
        }
        if let Beside::Worse(why) = judge::beside(&run, outcome) {
            worse = Some(why);
        }
        worse.is_some()
    })
    .await?;
    let red: Vec<Outcome> = done.iter().filter(|outcome| run.held(outcome).is_some()).cloned().collect();
    if let Some(why) = worse {
        return Ok((Decision::Drop, why, red));
    }
    let Some(goal) = done.iter().find(|outcome| outcome.check == run.spec.goal.name) else {
        return Ok((Decision::Drop, format!("{} could not run after it", run.spec.goal.name), red));
    };
    let (decision, reason) = judge::goal(&run, goal);
    Ok(match (decision, red.iter().find_map(|outcome| run.held(outcome))) {
        (Decision::Green, Some(left)) => {
            (Decision::Keep, format!("{} is as good as on the base; {left}", run.spec.goal.name), red)
        }
        (Decision::Green, None) => (Decision::Green, "no check is worse than on the base".to_owned(), red),
        _ => (decision, reason, red),
    })
}

/// Runs every check on base, proposal and repair in a fresh workspace: the outcomes and what a person should know of them, or why it does
/// not hold.
pub(super) async fn hold(
    journal: &Journal,
    tools: &Tools,
    round: u32,
    attempt: &Attempt,
) -> Result<Result<(Vec<Outcome>, Vec<String>), String>> {
    let run = journal.run();
    let mut worse = None;
    let mut doubts = Vec::new();
    let turn = Turn { phase: Phase::Proof, round };
    let done = run_all(journal, tools, turn, attempt, |outcome| {
        worse = run.held(outcome);
        match judge::beside(&run, outcome) {
            Beside::Worse(why) => worse = Some(why),
            Beside::Doubtful(why) if round == 1 => doubts.push(why),
            _ => {}
        }
        worse.is_some()
    })
    .await?;
    match worse {
        Some(why) => Ok(Err(format!("in a fresh workspace, round {round}: {why}"))),
        None => Ok(Ok((done, doubts))),
    }
}
