//! A run is green only if everything holds in a fresh workspace, and with nothing in the patch that is not needed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::attempt::guard;
use super::judge;
use super::still::seen_still;
use super::{Tools, Turn, check, others};
use crate::guards::{Weight, refuses};
use crate::outcome::{Check, Outcome};
use crate::patch::Tree;
use crate::policy::{self, Governance};
use crate::run::Run;
use crate::run::events::{Decision, Event, Phase, Proof, Proven};
use crate::run::journal::Journal;
use crate::verify::compare::Beside;
use crate::verify::minimise::minimise;
use crate::verify::tools::versions as versions_of;

/// At most so many executions of the goal go into dropping hunks.
const MINIMISING_RUNS: usize = 8;

/// Minimises what was kept, then proves it: records [`Event::Proven`], or [`Event::NotProven`] with the reason.
pub(super) async fn prove(journal: &Journal, tools: &Tools) -> Result<()> {
    super::setup::again(journal, tools).await?;
    if let Err(why) = super::setup::follow(journal, tools, &journal.run().base()).await? {
        let reason = format!("the packages that it asks for could not be installed: {why}");
        return journal.record(Event::NotProven { reason }).await;
    }
    let run = journal.run();
    if run.is_chosen() && !run.minimised {
        // The loop's own proposals were looked at before they were run.
        let findings = guard(tools, &run, &run.start(), &run.kept);
        if refuses(&findings) {
            let reasons =
                findings.iter().filter(|one| one.weight == Weight::Refuse).map(|one| one.reason.as_str());
            let reason = format!("refused before it was run: {}", reasons.collect::<Vec<_>>().join("; "));
            return journal.record(Event::NotProven { reason }).await;
        }
    }
    if !run.minimised {
        drop_needless_hunks(journal, tools).await?;
    }
    match seen_still(journal, tools, async || hold(journal, tools).await).await? {
        None => Ok(()),
        Some(Ok((proof, doubts))) => {
            journal.record(judged(&journal.run(), tools)?).await?;
            journal.record(Event::Proven { proof: Box::new(proof), doubts }).await
        }
        Some(Err(reason)) => journal.record(Event::NotProven { reason }).await,
    }
}

/// What policy says of what would land: by what was configured when the run began and by what is now, whichever is stricter.
fn judged(run: &Run, tools: &Tools) -> Result<Event> {
    let tree = Tree { root: &run.spec.root, patch: &run.spec.base };
    let patch = run.result();
    let by = |governance: &Governance| {
        let assessment = policy::assess(tree, &patch, governance);
        let terms = policy::rule(governance, &assessment);
        (assessment, terms)
    };
    let (then, now) = (&run.spec.governance, (tools.governance)()?);
    let (assessment, terms) = match *then == now {
        true => by(then),
        false => policy::stricter(by(then), by(&now)),
    };
    Ok(Event::Assessed { patch: patch.digest(), assessment, terms })
}

/// What policy says of what would land, where that is stricter by now than what the run knows.
pub(super) fn judged_anew(run: &Run, tools: &Tools) -> Result<Option<Event>> {
    if (tools.governance)()? == run.spec.governance {
        return Ok(None);
    }
    let Event::Assessed { patch, assessment, terms } = judged(run, tools)? else { return Ok(None) };
    let (assessment, terms) = match run.assessed.clone() {
        Some(known) => {
            let strict = policy::stricter(known.clone(), (assessment, terms));
            if strict == known {
                return Ok(None);
            }
            strict
        }
        None => (assessment, terms),
    };
    Ok(Some(Event::Assessed { patch, assessment, terms }))
}

async fn drop_needless_hunks(journal: &Journal, tools: &Tools) -> Result<()> {
    let run = journal.run();
    let hunks: Vec<_> = run.kept.hunks().into_iter().map(|hunk| hunk.id).collect();
    // A feature's parts are all asked for: only what a test happens not to need would go. A manifest and its lock file belong together. What a
    // person chose is what they looked at.
    let whole = run.is_feature() || !run.locks.is_empty() || run.is_chosen();
    let needed = if hunks.len() < 2 || whole || !run.spec.minimise {
        hunks.clone()
    } else {
        minimise(&hunks, MINIMISING_RUNS, async |subset| {
            let dropped: BTreeSet<_> = hunks.iter().filter(|hunk| !subset.contains(hunk)).cloned().collect();
            let attempt = tools.workspaces.attempt(&run.start().then(&run.kept.without(&dropped))).await?;
            if run.proposed().is_some() {
                let (decision, ..) =
                    super::proposal::tried(journal, tools, Phase::Minimise, &attempt).await?;
                return Ok(decision == Decision::Green);
            }
            let goal = check(journal, tools, Phase::Minimise, &attempt, &run.spec.goal).await?;
            if judge::goal(&run, &goal).0 != Decision::Green {
                return Ok(false);
            }
            let mut worse = false;
            others(journal, tools, Phase::Minimise, &attempt, goal, |outcome| {
                worse = matches!(judge::beside(&run, outcome), Beside::Worse(_));
                worse
            })
            .await?;
            Ok(!worse)
        })
        .await?
    };
    let dropped: BTreeSet<_> = hunks.iter().filter(|hunk| !needed.contains(hunk)).cloned().collect();
    let smaller = run.kept.without(&dropped);
    // Guards looked at the attempts one by one; what lands is their sum without some hunks, and that may be another thing.
    let start = run.start();
    let (patch, dropped, mut findings) = match guard(tools, &run, &start, &smaller) {
        findings if dropped.is_empty() || !refuses(&findings) => (smaller, dropped.len(), findings),
        _ => (run.kept.clone(), 0, guard(tools, &run, &start, &run.kept)),
    };
    if let Some(proposed) = run.proposed() {
        // What a person may propose, a fixer may not do: both are told, each once.
        findings.extend(guard(tools, &run, &run.spec.base, &proposed.then(&patch)));
    }
    let mut told = BTreeSet::new();
    findings.retain(|finding| told.insert(finding.reason.clone()));
    let approval = findings.into_iter().map(|finding| finding.reason).collect();
    journal.record(Event::Minimised { patch, dropped, of: hunks.len(), approval }).await
}

/// Runs every check on base + patch in a fresh workspace, the goal as often as configured.
async fn hold(journal: &Journal, tools: &Tools) -> Result<Result<(Proof, Vec<String>), String>> {
    let run = journal.run();
    let mut proven = Vec::new();
    let mut doubts = Vec::new();
    let mut tests_after = None;
    let mut versions = BTreeMap::new();
    for round in 1..=run.spec.repeat.max(1) {
        // Each round gets a workspace of its own, so that nothing the first one left behind can help the second.
        let attempt = tools.workspaces.attempt(&run.base()).await?;
        if run.proposed().is_some() {
            let held = super::proposal::hold(journal, tools, round, &attempt).await?;
            let (done, more) = match held {
                Ok(held) => held,
                Err(reason) => return Ok(Err(reason)),
            };
            let all: Vec<&Check> = std::iter::once(&run.spec.goal).chain(&run.spec.checks).collect();
            if round == 1 {
                versions = versions_of(&attempt, &all).await;
            }
            doubts.extend(more);
            for outcome in &done {
                let Some(check) = all.iter().find(|check| check.name == outcome.check) else { continue };
                if check.name == run.spec.goal.name {
                    tests_after = outcome.tests.as_ref().map(crate::outcome::TestReport::ran);
                }
                proven.push(proved(check, outcome));
            }
            continue;
        }
        let turn = Turn { phase: Phase::Proof, round };
        let goal = check(journal, tools, turn, &attempt, &run.spec.goal).await?;
        let (decision, reason) = judge::goal(&run, &goal);
        if decision != Decision::Green {
            return Ok(Err(format!("in a fresh workspace, round {round}: {reason}")));
        }
        tests_after = goal.tests.as_ref().map(crate::outcome::TestReport::ran);
        proven.push(proved(&run.spec.goal, &goal));
        if round > 1 {
            continue;
        }
        let done = others(journal, tools, Phase::Proof, &attempt, goal, |outcome| {
            matches!(judge::beside(&run, outcome), Beside::Worse(_))
        })
        .await?;
        for outcome in &done[1..] {
            match judge::beside(&run, outcome) {
                Beside::Fine => {}
                Beside::Worse(reason) => return Ok(Err(format!("in a fresh workspace: {reason}"))),
                Beside::Doubtful(reason) => doubts.push(reason),
            }
            let Some(check) = run.spec.checks.iter().find(|check| check.name == outcome.check) else {
                continue;
            };
            proven.push(proved(check, outcome));
        }
        let all: Vec<&Check> = std::iter::once(&run.spec.goal).chain(&run.spec.checks).collect();
        versions = versions_of(&attempt, &all).await;
    }
    let known = if run.proposed().is_some() { &run.without } else { &run.before };
    let before = known.iter().find(|outcome| outcome.check == run.spec.goal.name);
    let proof = Proof {
        run: run.id.clone(),
        base: run.spec.from.snapshot.tree.clone(),
        patch: run.result().digest(),
        checks: proven,
        tests_before: before.and_then(|outcome| outcome.tests.as_ref()).map(crate::outcome::TestReport::ran),
        tests_after,
        sandbox: run.spec.sandbox,
        tools: versions,
        regreen: env!("CARGO_PKG_VERSION").to_owned(),
        proposal: run.proposed().is_some(),
    };
    Ok(Ok((proof, doubts)))
}

fn proved(check: &Check, outcome: &Outcome) -> Proven {
    Proven {
        check: check.clone(),
        green: outcome.is_green(),
        tests: outcome.tests.as_ref().map(crate::outcome::TestReport::ran),
        duration: outcome.duration,
        log_digest: outcome.log_digest.clone(),
    }
}
