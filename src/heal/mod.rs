//! The loop: baseline → ( propose → guard → apply → verify → decide )* → prove → land → learn.
//!
//! What is next follows from the run's events ([`crate::run::Run::next`]); each step here does one thing and records what came of it. So the
//! loop has no state of its own, and a run that was cut off goes on where it was.

mod attempt;
mod baseline;
mod incident;
mod installs;
mod judge;
mod land;
mod proposal;
mod prove;
mod publish;
mod setup;
mod still;
mod stop;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::config::MemoryRules;
use crate::fault::{Exit, Fault};
use crate::fixers::Fixer;
use crate::forge::Outlet;
use crate::git::{Repo, Snapshots};
use crate::outcome::{Check, Outcome};
use crate::patch::Patch;
use crate::policy::Governance;
use crate::run::events::{Event, Phase, StopRule};
use crate::run::journal::{DaySpent, Journal};
use crate::run::{Run, Step};
use crate::verify::needs::{in_order, unmet};
use crate::verify::{Progress, Verifier};
use crate::workspace::{Attempt, Workspaces};

pub use publish::publish;
pub use setup::{Bench, as_check as setup_check};
pub use stop::ask;

/// What the loop works with.
pub struct Tools {
    /// Makes attempts.
    pub workspaces: Workspaces,
    /// Runs checks.
    pub verifier: Verifier,
    /// The fixers, in the order of the run's ladder.
    pub fixers: Vec<Box<dyn Fixer>>,
    /// Where a proven patch lands.
    pub place: Place,
    /// Where it is pushed to, for runs that land so.
    pub outlet: Option<Outlet>,
    /// What is remembered of fixes that worked.
    pub memory: MemoryRules,
    /// Where what setup commands made is kept for later runs.
    pub layers: PathBuf,
    /// What is configured now for whoever may agree to what; a run knows what was when it began.
    pub governance: ReadGovernance,
}

/// Reads what policy is configured at the moment.
pub type ReadGovernance = Box<dyn Fn() -> Result<Governance> + Send + Sync>;

/// The tree that a run works on, as landings see it.
pub struct Place {
    /// Its repository; `None` for a plain folder.
    pub repo: Option<Repo>,
    /// Takes snapshots of it.
    pub snapshots: Snapshots,
}

/// Settles a landing that a crash cut off, and nothing else.
///
/// # Errors
/// Where git, the disk or the store fails.
pub async fn settle(journal: &Journal, place: &Place) -> Result<()> {
    land::recover(journal, place).await
}

/// Drives a run to its end.
///
/// # Errors
/// Where Regreen itself cannot go on (the store cannot be written, the sandbox fails, somebody halted it). What the repo does is never an error.
pub async fn heal(journal: &Journal, tools: &Tools) -> Result<Exit> {
    loop {
        let run = journal.run();
        tools.workspaces.hide(&run.spec.hidden);
        let step = run.next();
        if matches!(step, Step::Baseline | Step::Attempt { .. } | Step::Prove | Step::Land | Step::Publish) {
            journal.store().must_not_be_halted(&run.spec.root.to_string_lossy()).await?;
        }
        match step {
            Step::Baseline if run.proposed().is_some() => {
                limited(journal, proposal::take(journal, tools)).await?
            }
            Step::Baseline => limited(journal, baseline::take(journal, tools)).await?,
            Step::Attempt { rung } => limited(journal, attempt::make(journal, tools, rung)).await?,
            Step::Prove => limited(journal, prove::prove(journal, tools)).await?,
            Step::Wait => stop::wait_for_approval(journal, tools).await?,
            Step::Land if run.has_lapsed(journal.now()) => stop::wait_for_approval(journal, tools).await?,
            Step::Land => land::land(journal, tools).await?,
            Step::Recover => land::recover(journal, &tools.place).await?,
            Step::Publish => publish::publish(journal, tools.outlet.as_ref(), &tools.place).await?,
            Step::Learn => land::learn(journal, tools).await?,
            Step::Stop { rule, why } => stop::stop(journal, rule, why).await?,
            Step::Finish(exit) => finish(journal, tools, exit).await?,
            Step::Done(exit) => return Ok(exit),
        }
    }
}

/// Ends the run.
async fn finish(journal: &Journal, tools: &Tools, exit: Exit) -> Result<()> {
    end(journal, Some(&tools.place), exit, tools.workspaces.busy()).await
}

/// Ends a run, whichever way it came there, and lets its snapshot go unless the run may still need it. `place` is the run's tree, if that
/// can be opened; `ran` is how long commands of the repo ran.
///
/// # Errors
/// Where the store cannot be written.
pub async fn end(journal: &Journal, place: Option<&Place>, exit: Exit, ran: Duration) -> Result<()> {
    journal.record(Event::Finished { exit, ran }).await?;
    let run = journal.run();
    let Some(place) = place.filter(|_| !run.may_go_on()) else { return Ok(()) };
    // Without a repository to keep the backup in, the snapshot is all there is of what a landing replaced.
    let is_backup = place.repo.is_none() && run.rolled_back.is_none() && matches!(run.landed, Some(Some(_)));
    if !is_backup && let Err(error) = place.snapshots.release(&run.id).await {
        tracing::debug!(%error, "the snapshot of a run that is over stays");
    }
    Ok(())
}

/// Does one step within the run's wall time and money: reaching a limit stops the run, and what the step had recorded stays.
///
/// # Errors
/// Those of the step, but for a limit.
pub async fn limited(journal: &Journal, step: impl Future<Output = Result<()>>) -> Result<()> {
    let run = journal.run();
    let done = match journal.time_left() {
        None => step.await,
        Some(left) => match tokio::time::timeout(left, step).await {
            Ok(done) => done,
            Err(_) => {
                journal.settle("the run's time was up").await?;
                let most = crate::clock::human(run.spec.timeout.unwrap_or_default());
                return stop::stop(journal, StopRule::Time, format!("the run was given {most} and used it"))
                    .await;
            }
        },
    };
    match done {
        Err(error) => match error.downcast_ref::<Fault>() {
            Some(fault) if fault.exit == Exit::Limit => {
                let hint = fault.hint.as_deref().map(|hint| format!("; {hint}")).unwrap_or_default();
                let rule = if error.is::<DaySpent>() { StopRule::Day } else { StopRule::Budget };
                stop::stop(journal, rule, format!("{fault}{hint}")).await
            }
            _ => Err(error),
        },
        done => done,
    }
}

/// Where in the run a check is executed, and for which time on the same files.
#[derive(Debug, Clone, Copy)]
struct Turn {
    phase: Phase,
    round: u32,
}

impl From<Phase> for Turn {
    fn from(phase: Phase) -> Self {
        Self { phase, round: 1 }
    }
}

impl Turn {
    /// Whether fixers will see what `check` complains about. A probe for anything else would only take time.
    fn is_read(self, check: &Check, run: &Run) -> bool {
        match self.phase {
            Phase::Setup | Phase::Base | Phase::Reproduce | Phase::Minimise | Phase::Proof => false,
            Phase::Attempt => true,
            // Which check a proposal's run has to repair is known only afterwards.
            Phase::Baseline if run.proposed().is_some() => self.round > 1,
            // A red goal runs once more, and it is that outcome which counts.
            Phase::Baseline => self.round > 1 || check.name != run.spec.goal.name,
        }
    }
}

/// Runs one check in `attempt` and records it.
async fn check(
    journal: &Journal,
    tools: &Tools,
    turn: impl Into<Turn>,
    attempt: &Attempt,
    check: &Check,
) -> Result<Outcome> {
    let turn @ Turn { phase, round } = turn.into();
    let command = check.run.display();
    journal.record(Event::CheckStarted { phase, check: check.name.clone(), command, round }).await?;
    let is_read = turn.is_read(check, &journal.run());
    let hear = |line: &str| journal.murmur(line);
    let outcome = execute(&tools.verifier, attempt, check, is_read, &hear).await?;
    journal.record(Event::Checked { phase, outcome: Box::new(outcome.clone()), round }).await?;
    Ok(outcome)
}

/// Runs one command in `attempt`, with a probe if what it complains about is read.
async fn execute(
    verifier: &Verifier,
    attempt: &Attempt,
    check: &Check,
    is_read: bool,
    hear: Progress<'_>,
) -> Result<Outcome> {
    match is_read {
        true => verifier.run(attempt, check, hear).await,
        false => verifier.run_only(attempt, check, hear).await,
    }
}

/// Runs the checks beside the goal, as far as what they need is green, until `enough` says so of one. The goal's own outcome comes first in
/// what is returned.
async fn others(
    journal: &Journal,
    tools: &Tools,
    phase: Phase,
    attempt: &Attempt,
    goal: Outcome,
    mut enough: impl FnMut(&Outcome) -> bool,
) -> Result<Vec<Outcome>> {
    let run = journal.run();
    let mut done = vec![goal];
    for other in in_order(&run.spec.checks) {
        if unmet(other, &run.spec.goal.name, &run.spec.checks, &done).is_some() {
            continue;
        }
        let outcome = check(journal, tools, phase, attempt, other).await?;
        let stop = enough(&outcome);
        done.push(outcome);
        if stop {
            break;
        }
    }
    Ok(done)
}

/// A fresh workspace with everything that was kept and `patch` on top.
async fn workspace(journal: &Journal, tools: &Tools, patch: &Patch) -> Result<Attempt> {
    tools.workspaces.attempt(&journal.run().base().then(patch)).await
}
