//! `regreen approve RUN` and `regreen reject RUN`: a person looked at what waits.

use anyhow::Result;

use super::heal::drive;
use super::paint::say;
use super::session::Session;
use crate::fault::{Exit, Fault};
use crate::run::Run;
use crate::run::events::{Event, StopRule, Trigger};
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
        let run = waiting(&session, &self.run).await?;
        let journal = session.reopen(&run.id, session.listeners(self.json)).await?;
        super::paint::warn_of_no_sandbox(run.spec.sandbox);
        let by = person(&session);
        decide(&session, &run, Decision::Approved, by, None).await?;
        journal.record(Event::Resumed { why: "approve".into() }).await?;
        journal.record(Event::Approved { by: by.to_owned() }).await?;
        let exit = drive(&session, &journal, self.json).await?;
        if let (Trigger::Subtask { ticket, .. }, Exit::Green, false) = (&run.spec.trigger, exit, self.json) {
            say(&format!("go on with the ticket: regreen resume {}", super::live::short(ticket)));
        }
        Ok(exit)
    }
}

impl Reject {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        let run = waiting(&session, &self.run).await?;
        let journal = session.reopen(&run.id, Vec::new()).await?;
        decide(&session, &run, Decision::Rejected, person(&session), Some(&self.reason)).await?;
        journal.record(Event::Resumed { why: "reject".into() }).await?;
        let stopped = Event::Stopped { rule: StopRule::Rejected, why: self.reason, look_at: Vec::new() };
        journal.record(stopped).await?;
        session.end(&journal, Exit::Policy).await?;
        say("rejected; nothing was changed");
        Ok(Exit::Green)
    }
}

/// Who answers, as far as the environment tells.
fn person(session: &Session) -> &str {
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
    let over = run.landed.is_some() || run.stopped.is_some();
    if !run.awaits_approval() || run.proof.is_none() || over {
        return Err(Fault::usage(format!(
            "run {} does not wait for an approval",
            super::live::short(&run.id)
        ))
        .hint("`regreen runs` lists what waits")
        .into());
    }
    Ok(run)
}
