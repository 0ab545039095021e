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
        let journal = agree(&session, &self.run, by, None, None, listeners).await?;
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

/// Writes down that `by` agrees to the patch that waits in a run; where `patch` is given, only if that is its digest. What is left is to land
/// it, with the journal that this gives.
///
/// # Errors
/// Where the run does not wait, another process has it, or its patch is another one.
pub(super) async fn agree(
    session: &Session,
    name: &str,
    by: &str,
    patch: Option<&str>,
    remark: Option<&str>,
    listeners: Vec<Arc<dyn Listener>>,
) -> Result<Journal> {
    let journal = looked_at(session, name, by, patch, remark, listeners).await?;
    journal.record(Event::Resumed { why: "approve".into() }).await?;
    journal.record(Event::Approved { by: by.to_owned() }).await?;
    Ok(journal)
}

/// The first half of [`agree`]: `by` looked at what waits and agrees, and the run itself does not know yet.
///
/// # Errors
/// As [`agree`].
pub(super) async fn looked_at(
    session: &Session,
    name: &str,
    by: &str,
    patch: Option<&str>,
    remark: Option<&str>,
    listeners: Vec<Arc<dyn Listener>>,
) -> Result<Journal> {
    let run = waiting(session, name).await?;
    let journal = session.reopen(&run.id, listeners).await?;
    // Looked at again now that nobody else can write to the run.
    let run = still_waiting(&journal)?;
    if patch.is_some_and(|patch| patch != run.result().digest()) {
        return Err(Fault::policy("the patch is not the one that was looked at")
            .hint("look at the run again: its patch changed meanwhile")
            .into());
    }
    super::paint::warn_of_no_sandbox(run.spec.sandbox);
    decide(session, &run, Decision::Approved, by, remark).await?;
    Ok(journal)
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
