//! `regreen approve RUN` and `regreen reject RUN`: a person looked at what waits.

use std::sync::Arc;

use anyhow::Result;

use super::heal::drive;
use super::paint::say;
use super::session::Session;
use crate::fault::{Exit, Fault};
use crate::run::Run;
use crate::run::events::{Event, StopRule, Trigger};
use crate::run::journal::{Journal, Listener};
use crate::store::Decision;

/// Land a proven patch that waits for a person.
#[derive(Debug, clap::Args)]
pub(super) struct Approve {
    /// The run: its id, the start or the end of it, or `last`
    run: String,
    /// Take this one of the green candidates that `regreen show` lists: it is proven first, and lands if it holds
    #[arg(long, value_name = "N")]
    candidate: Option<usize>,
    /// Print one event per line as JSON on standard output (docs/events.md)
    #[arg(long)]
    json: bool,
}

/// Drop a proven patch that waits for a person.
#[derive(Debug, clap::Args)]
pub(super) struct Reject {
    /// The run: its id, the start or the end of it, or `last`
    run: String,
    /// Why
    #[arg(long, default_value = "no reason given")]
    reason: String,
}

impl Approve {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        super::resume::tidy(&session).await;
        let by = person(&session);
        let listeners = session.listeners(self.json);
        let patch = self.candidate.map_or(Patch::Waiting, Patch::Numbered);
        let (journal, _) = agree(&session, &self.run, by, patch, None, listeners).await?;
        let run = journal.run();
        if session.store.run(&run.id).await?.priority.is_some() {
            if !self.json {
                let id = super::live::short(&run.id);
                say(&format!(
                    "approved; a worker lands it, as it came through the queue: regreen logs -f {id}"
                ));
            }
            return Ok(Exit::Green);
        }
        let exit = drive(&session, &journal, self.json).await?;
        let run = journal.run();
        if let (Trigger::Subtask { ticket, .. }, Exit::Green, false) = (&run.spec.trigger, exit, self.json) {
            say(&format!("go on with the ticket: regreen resume {}", super::live::short(ticket)));
        }
        Ok(exit)
    }
}

impl Reject {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        refuse(&session, &self.run, person(&session), &self.reason).await?;
        say("rejected; nothing was changed");
        Ok(Exit::Green)
    }
}

/// Which patch of a run that waits is agreed to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Patch<'p> {
    /// The one that waits.
    Waiting,
    /// The candidate with this number, from 1.
    Numbered(usize),
    /// The one that has this digest: what waits, or another candidate.
    Digest(&'p str),
    /// The one that waits, if it has this digest.
    Exactly(&'p str),
}

impl Patch<'_> {
    /// The number of the candidate to choose, if it is not the one that waits.
    fn other(self, run: &Run) -> Result<Option<usize>> {
        let choices = run.choices();
        let number = match self {
            Patch::Waiting => return Ok(None),
            Patch::Digest(digest) | Patch::Exactly(digest) if digest == run.result().digest() => {
                return Ok(None);
            }
            Patch::Exactly(_) => return Err(another().into()),
            Patch::Digest(digest) => {
                let found = choices.iter().position(|candidate| candidate.patch.digest() == digest);
                found.map(|at| at + 1).ok_or_else(another)?
            }
            Patch::Numbered(number) => number,
        };
        let id = super::live::short(&run.id);
        let count = choices.len().max(1);
        let candidate = number.checked_sub(1).filter(|at| *at < count).ok_or_else(|| {
            Fault::usage(format!("run {id} has no candidate {number}: it has {count}"))
                .hint(format!("`regreen show {id}` lists them"))
        })?;
        if let Some(why) = choices.get(candidate).and_then(|candidate| candidate.failed.as_ref()) {
            return Err(Fault::policy(format!("candidate {number} was tried and did not hold: {why}"))
                .hint(format!("`regreen approve {id}` lands the one that waits"))
                .into());
        }
        Ok(Some(number).filter(|number| *number != run.choice()))
    }
}

fn another() -> Fault {
    Fault::policy("the patch is not the one that was looked at").hint("look again: it changed meanwhile")
}

/// Writes down that `by` agrees to a patch of a run that waits. What is left is to land it, or to prove it first where it is another candidate
/// than the one that waits, with the journal that this gives; the number of that one comes with it.
///
/// # Errors
/// Where the run does not wait, another process has it, or it has no such patch.
pub(super) async fn agree(
    session: &Session,
    name: &str,
    by: &str,
    patch: Patch<'_>,
    remark: Option<&str>,
    listeners: Vec<Arc<dyn Listener>>,
) -> Result<(Journal, Option<usize>)> {
    let (journal, other) = looked_at(session, name, by, patch, remark, listeners).await?;
    journal.record(Event::Resumed { why: "approve".into() }).await?;
    if let Some(candidate) = other {
        journal.record(Event::Chosen { by: by.to_owned(), candidate }).await?;
    }
    journal.record(Event::Approved { by: by.to_owned() }).await?;
    Ok((journal, other))
}

/// The first half of [`agree`]: `by` looked at what waits and agrees, and the run itself does not know yet.
///
/// # Errors
/// As [`agree`].
pub(super) async fn looked_at(
    session: &Session,
    name: &str,
    by: &str,
    patch: Patch<'_>,
    remark: Option<&str>,
    listeners: Vec<Arc<dyn Listener>>,
) -> Result<(Journal, Option<usize>)> {
    let run = waiting(session, name).await?;
    let journal = session.reopen(&run.id, listeners).await?;
    // Looked at again now that nobody else can write to the run.
    let run = still_waiting(&journal)?;
    let other = patch.other(&run)?;
    super::paint::warn_of_no_sandbox(run.spec.sandbox);
    decide(session, &run, Decision::Approved, by, remark).await?;
    Ok((journal, other))
}

/// Writes down that `by` refuses what waits in a run, and ends it.
///
/// # Errors
/// Where the run does not wait, or another process has it.
pub(super) async fn refuse(session: &Session, name: &str, by: &str, reason: &str) -> Result<()> {
    let run = waiting(session, name).await?;
    let journal = session.reopen(&run.id, Vec::new()).await?;
    let run = still_waiting(&journal)?;
    decide(session, &run, Decision::Rejected, by, Some(reason)).await?;
    journal.record(Event::Resumed { why: "reject".into() }).await?;
    let stopped = Event::Stopped { rule: StopRule::Rejected, why: reason.to_owned(), look_at: Vec::new() };
    journal.record(stopped).await?;
    session.end(&journal, Exit::Policy).await
}

/// Who answers, as far as the environment tells.
pub(super) fn person(session: &Session) -> &str {
    let environment = &session.environment;
    environment.get("USER").or_else(|| environment.get("LOGNAME")).unwrap_or("the user")
}

/// Writes the answer down where people query it. Of two answers at once only the first counts.
async fn decide(
    session: &Session,
    run: &Run,
    decision: Decision,
    by: &str,
    remark: Option<&str>,
) -> Result<()> {
    for asked in session.store.approvals(Some(&run.id)).await? {
        if asked.decision.is_none() {
            session.store.decide(&asked.id, decision, by, remark).await?;
        }
    }
    Ok(())
}

async fn waiting(session: &Session, name: &str) -> Result<Run> {
    let run = session.find(Some(name)).await?;
    if waits(&run) { Ok(run) } else { Err(does_not_wait(&run).into()) }
}

fn still_waiting(journal: &Journal) -> Result<Arc<Run>> {
    let run = journal.run();
    if waits(&run) { Ok(run) } else { Err(does_not_wait(&run).into()) }
}

fn waits(run: &Run) -> bool {
    run.awaits_approval() && run.proof.is_some() && run.landed.is_none() && run.stopped.is_none()
}

fn does_not_wait(run: &Run) -> Fault {
    Fault::usage(format!("run {} does not wait for an approval", super::live::short(&run.id)))
        .hint("`regreen runs` lists what waits")
}
