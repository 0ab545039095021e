//! One attempt: propose → guard → apply → verify → decide.

use anyhow::Result;

use super::judge;
use super::{Tools, check, others, stop, workspace};
use crate::fixers::{Answer, Case, Proposal};
use crate::guards::{self, Finding, Proposed, Weight};
use crate::outcome::{Check, Outcome, TestReport};
use crate::patch::{Patch, Tree};
use crate::run::Run;
use crate::run::events::{Decision, Event, Phase, StopRule, Trigger};
use crate::run::journal::Journal;
use crate::verify::compare::Beside;

/// Asks the fixer of `rung`, and finds out what its patch is worth.
pub(super) async fn make(journal: &Journal, tools: &Tools, rung: usize) -> Result<()> {
    super::setup::again(journal, tools).await?;
    let run = journal.run();
    let fixer = &tools.fixers[rung];
    let number = run.attempts.last().map_or(1, |attempt| attempt.attempt + 1);
    journal.record(Event::AttemptStarted { attempt: number, rung, fixer: fixer.name() }).await?;

    let answer = propose(journal, tools, rung, &run).await;
    let (decision, reason) = match answer {
        Ok(Answer::Patch(proposal)) => return try_out(journal, tools, &run, number, proposal).await,
        Ok(Answer::Nothing(reason)) => (Decision::Pass, reason),
        Ok(Answer::Unusable(reason)) => (Decision::Drop, reason),
        Ok(Answer::Unfixable(reason)) => {
            decide(journal, number, Decision::Pass, &reason, run.red.clone()).await?;
            return stop::stop(journal, StopRule::Unfixable, reason).await;
        }
        Ok(Answer::Questions(questions)) => {
            let why = format!("it cannot be done without an answer: {}", questions.join(" · "));
            decide(journal, number, Decision::Pass, &why, run.red.clone()).await?;
            return stop::stop(journal, StopRule::Questions, why).await;
        }
        Err(error)
            if error
                .downcast_ref::<crate::fault::Fault>()
                .is_some_and(|f| f.exit == crate::fault::Exit::Limit) =>
        {
            // Undecided: a run that goes on asks the same rung.
            return Err(error);
        }
        // A provider that cannot be reached must not keep the next rung from its try.
        Err(error) => (Decision::Pass, format!("{error:#}")),
    };
    decide(journal, number, decision, &reason, run.red.clone()).await
}

async fn propose(journal: &Journal, tools: &Tools, rung: usize, run: &Run) -> Result<Answer> {
    let base = run.base();
    let checks: Vec<Check> = std::iter::once(&run.spec.goal).chain(&run.spec.checks).cloned().collect();
    let tried = run.history();
    let task = match &run.spec.trigger {
        Trigger::Subtask { task, .. } | Trigger::Incident { task, replay: false, .. } => Some(task.as_str()),
        Trigger::Heal | Trigger::Ticket { .. } | Trigger::Proposal { .. } | Trigger::Incident { .. } => None,
    };
    let case = Case {
        run: &run.id,
        workspaces: &tools.workspaces,
        verifier: &tools.verifier,
        base: &base,
        checks: &checks,
        red: &run.red,
        task,
        history: &tried,
        rules: &run.spec.rules,
        purse: journal,
        progress: &|line| journal.murmur(line),
    };
    tools.fixers[rung].propose(&case).await
}

/// Guards, applies and verifies a proposal, and records what becomes of it.
async fn try_out(journal: &Journal, tools: &Tools, run: &Run, number: u32, proposal: Proposal) -> Result<()> {
    let Proposal { patch, explanation, fixer, alternatives } = proposal;
    if patch.is_empty() {
        return decide(journal, number, Decision::Drop, "the proposal changes nothing", Vec::new()).await;
    }
    let proposed =
        Event::Proposed { attempt: number, fixer, explanation, patch: patch.clone(), alternatives };
    journal.record(proposed).await?;

    let findings = guard(tools, run, &run.base(), &patch);
    if !findings.is_empty() {
        journal.record(Event::Guarded { attempt: number, findings: findings.clone() }).await?;
    }
    let refused: Vec<&str> =
        findings.iter().filter(|f| f.weight == Weight::Refuse).map(|f| f.reason.as_str()).collect();
    if !refused.is_empty() {
        let reason = format!("refused before it was run: {}", refused.join("; "));
        // Nothing ran, so nothing is known to be red with it.
        return decide(journal, number, Decision::Drop, &reason, Vec::new()).await;
    }

    let followed = super::setup::follow(journal, tools, &run.base().then(&patch)).await?;
    let (patch, missing) = match followed {
        Ok(locks) if locks.is_empty() => (patch, None),
        Ok(locks) => {
            journal.record(Event::Installed { attempt: number, locks: locks.clone() }).await?;
            (patch.then(&locks), None)
        }
        // What is missing may not be needed: the checks say so.
        Err(why) => (patch, Some(why)),
    };
    let attempt = workspace(journal, tools, &patch).await?;
    if run.proposed().is_some() {
        let (decision, reason, red) =
            super::proposal::tried(journal, tools, Phase::Attempt, &attempt).await?;
        return match (missing, decision) {
            (Some(why), Decision::Drop | Decision::Keep) => {
                let reason = format!("{reason}; the packages that it asks for could not be installed: {why}");
                decide(journal, number, Decision::Drop, &reason, red).await
            }
            _ => decide(journal, number, decision, &reason, red).await,
        };
    }
    let goal = check(journal, tools, Phase::Attempt, &attempt, &run.spec.goal).await?;
    let (mut decision, mut reason) = judge::goal(run, &goal);
    if let (Some(why), true) = (missing, decision != Decision::Green) {
        decision = Decision::Drop;
        reason = format!("{reason}; the packages that it asks for could not be installed: {why}");
    }
    let mut after = vec![goal.clone()];
    if decision == Decision::Green {
        let mut worse = None;
        after = others(journal, tools, Phase::Attempt, &attempt, goal, |outcome| {
            if let Beside::Worse(why) = judge::beside(run, outcome) {
                worse = Some(why);
            }
            worse.is_some()
        })
        .await?;
        if let Some(why) = worse {
            (decision, reason) = (Decision::Drop, why);
        }
    }
    if decision == Decision::Green && run.is_feature() {
        (decision, reason) = feature(run, &after);
    }
    if decision == Decision::Green
        && let Some(why) = super::incident::not_reproduced(journal, tools, &run.kept.then(&patch)).await?
    {
        (decision, reason) = (Decision::Drop, why);
    }
    let red: Vec<Outcome> = after.into_iter().filter(|outcome| !outcome.is_green()).collect();
    decide(journal, number, decision, &reason, red).await
}

/// A sub-task with acceptance criteria is done only when a test for them was added, as far as the runners of its checks count tests.
fn feature(run: &Run, after: &[Outcome]) -> (Decision, String) {
    let count = |outcomes: &[Outcome]| -> Option<u64> {
        outcomes
            .iter()
            .filter_map(|outcome| outcome.tests.as_ref())
            .map(TestReport::ran)
            .reduce(|sum, more| sum + more)
    };
    match (count(&run.before), count(after), &run.spec.trigger) {
        (
            Some(before),
            Some(after),
            Trigger::Subtask { needs_tests: true, .. } | Trigger::Incident { replay: false, .. },
        ) if after <= before => (
            Decision::Drop,
            format!("everything is green, but no test was added: {before} ran before, {after} now"),
        ),
        _ => (Decision::Green, "every check is green".into()),
    }
}

/// What guards say of `patch` on top of `base`. What package managers themselves wrote into lock files is not judged.
pub(super) fn guard(tools: &Tools, run: &Run, base: &Patch, patch: &Patch) -> Vec<Finding> {
    let mut proposed = Patch::new();
    for (path, change) in patch.iter() {
        if run.locks.get(path).is_none_or(|written| written.after != change.after) {
            proposed.set(path.clone(), change.clone());
        }
    }
    guards::inspect(&Proposed {
        tree: Tree { root: tools.workspaces.root(), patch: base },
        patch: &proposed,
        test_changes: &run.spec.test_changes,
        protected: &run.spec.protected,
        limits: run.spec.limits,
    })
}

async fn decide(
    journal: &Journal,
    attempt: u32,
    decision: Decision,
    reason: &str,
    red: Vec<Outcome>,
) -> Result<()> {
    journal.record(Event::Decided { attempt, decision, reason: reason.to_owned(), red }).await
}
