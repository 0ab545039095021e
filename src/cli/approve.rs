//! `regreen approve RUN` and `regreen reject RUN`: a person looked at what waits.

use std::sync::Arc;

use anyhow::Result;

use super::halt::{refuse_halted, unless_halted};
use super::heal::drive;
use super::paint::{CARE, paint, say};
use super::session::Session;
use crate::fault::{Exit, Fault};
use crate::run::Run;
use crate::run::events::{Event, StopRule, Trigger};
use crate::run::journal::{Journal, Listener, ticket_of};
use crate::web::{Answer, Came, Which};

/// Land a proven patch that waits for a person.
#[derive(Debug, clap::Args)]
pub(super) struct Approve {
    /// The run: its id, the start or the end of it, or `last`
    run: String,
    /// Only if this is the digest of the patch, or its first 16 characters or more: the one that was looked at
    #[arg(long, value_name = "DIGEST", conflicts_with = "candidate")]
    patch: Option<String>,
    /// What to say to it, for the record
    #[arg(long, value_name = "TEXT")]
    remark: Option<String>,
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
        let listeners = session.listeners(self.json);
        let patch = match (self.candidate, self.patch) {
            (Some(number), _) => Which::Numbered(number),
            (None, Some(digest)) => Which::Digest(digest),
            (None, None) => Which::Waiting,
        };
        let answer = Answer::Approve { patch, remark: self.remark };
        let journal = match answered(&session, &self.run, &crate::process::user(), answer, listeners).await? {
            Answered::Goes(journal, _) => journal,
            Answered::Stays(came) => {
                say(&format!("{} {}", paint(CARE, "⏸"), came.told()));
                return Ok(Exit::Policy);
            }
        };
        if let Some(run) = goes_on(&session, &journal.run()).await? {
            if !self.json {
                let id = super::live::short(&run);
                say(&format!(
                    "approved; a worker lands it, as it came through the queue: regreen logs -f {id}"
                ));
            }
            return Ok(Exit::Green);
        }
        let exit = unless_halted(&session, &journal, self.json, drive(&session, &journal, self.json)).await?;
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
        let answer = Answer::Reject { reason: self.reason };
        answered(&session, &self.run, &crate::process::user(), answer, Vec::new()).await?;
        say("rejected; nothing was changed");
        Ok(Exit::Green)
    }
}

/// What came of an answer.
pub(super) enum Answered {
    /// The run goes on, with this journal: what is left is to land the patch, or to prove another candidate first.
    Goes(Box<Journal>, Came),
    /// It waits, or is over.
    Stays(Came),
}

/// The run that a worker goes on with once what waited in `run` is agreed to: that one, or its ticket's. `None` where it was begun by hand.
pub(super) async fn goes_on(session: &Session, run: &Run) -> Result<Option<String>> {
    let id = ticket_of(run).unwrap_or(&run.id);
    Ok(session.store.run(id).await?.priority.map(|_| id.to_owned()))
}

/// Writes down what `by` says to the patch that waits in a run.
///
/// # Errors
/// Where the run does not wait, another process has it, its patch is another one than was looked at, the repo is halted, or `by` is not one
/// who can agree to it. A question that is over is asked again before that is told.
pub(super) async fn answered(
    session: &Session,
    name: &str,
    by: &str,
    answer: Answer,
    listeners: Vec<Arc<dyn Listener>>,
) -> Result<Answered> {
    let run = session.find(Some(name)).await?;
    if !waits(&run) {
        return Err(does_not_wait(&run).into());
    }
    let journal = session.reopen(&run.id, listeners).await?;
    // Looked at again now that nobody else can write to the run.
    let run = journal.run();
    if !waits(&run) {
        return Err(does_not_wait(&run).into());
    }
    if let (Answer::Approve { .. }, Trigger::Proposal { id, .. }) = (&answer, &run.spec.trigger) {
        return Err(belongs_to_proposal(&run, id).into());
    }
    match answer {
        Answer::Approve { patch, remark } => agree(session, journal, &run, by, patch, remark).await,
        Answer::Reject { reason } => {
            journal.record(Event::Rejected { by: by.to_owned(), reason: reason.clone() }).await?;
            journal.record(Event::Resumed { why: "reject".into() }).await?;
            let stopped = Event::Stopped { rule: StopRule::Rejected, why: reason, look_at: Vec::new() };
            journal.record(stopped).await?;
            session.end(&journal, Exit::Policy).await?;
            Ok(Answered::Stays(Came::Refused))
        }
    }
}

async fn agree(
    session: &Session,
    journal: Journal,
    run: &Run,
    by: &str,
    which: Which,
    remark: Option<String>,
) -> Result<Answered> {
    let other = other(&which, run)?;
    must_agree(session, &journal, run, by, other).await?;
    // Its last event puts a run of the queue back there, so that it comes last.
    let enough = run.supporters().len() + 1 >= run.people_needed();
    if enough || other.is_some() {
        journal.record(Event::Resumed { why: "approve".into() }).await?;
    }
    if let Some(candidate) = other {
        journal.record(Event::Chosen { by: by.to_owned(), candidate }).await?;
        // What was asked and said was about another patch.
        crate::heal::ask(&journal).await?;
    }
    write_down(session, &journal, by, remark).await?;
    let run = journal.run();
    let came = match other {
        Some(candidate) => Came::Proves(candidate),
        None if run.is_agreed() => Came::Lands,
        None => return Ok(Answered::Stays(waiting_still(&run))),
    };
    Ok(Answered::Goes(Box::new(journal), came))
}

/// Writes down that `by` agrees to the patch that waits in a run, which does not go on with it before somebody says so: a proposal's. What that
/// comes to: [`Came::Lands`] where as many agreed as have to.
///
/// # Errors
/// As [`answered`].
pub(super) async fn agreed(
    session: &Session,
    name: &str,
    by: &str,
    patch: Option<&str>,
    remark: Option<String>,
) -> Result<Came> {
    let run = session.find(Some(name)).await?;
    let journal = session.reopen(&run.id, Vec::new()).await?;
    let run = journal.run();
    if !waits(&run) {
        return Err(does_not_wait(&run).into());
    }
    if patch.is_some_and(|patch| patch != run.result().digest()) {
        return Err(another().into());
    }
    must_agree(session, &journal, &run, by, None).await?;
    write_down(session, &journal, by, remark).await?;
    let run = journal.run();
    Ok(if run.is_agreed() { Came::Lands } else { waiting_still(&run) })
}

fn waiting_still(run: &Run) -> Came {
    Came::Waits { have: run.supporters().len(), needed: run.people_needed() }
}

async fn write_down(session: &Session, journal: &Journal, by: &str, remark: Option<String>) -> Result<()> {
    let remark = remark.map(|remark| session.redactor().redact(&remark).into_owned());
    let patch = Some(journal.run().result().digest());
    journal.record(Event::Approved { by: by.to_owned(), patch, remark }).await
}

/// Whether `by` can agree now to what waits, or to the candidate `other`. A question that is over is asked again.
async fn must_agree(
    session: &Session,
    journal: &Journal,
    run: &Run,
    by: &str,
    other: Option<usize>,
) -> Result<()> {
    refuse_halted(session, run).await?;
    if run.has_lapsed(journal.now()) {
        crate::heal::ask(journal).await?;
        session.end(journal, Exit::Policy).await?;
        let over = "the time to approve it is over, so what anybody said before counts no more";
        return Err(Fault::policy(over)
            .hint("it is asked again now: look at the patch once more, and approve it then")
            .into());
    }
    if run.excepted() == Some(by) {
        return Err(Fault::policy(format!("{by} asked for this run, and somebody else has to agree to it"))
            .hint("governance.other_person says so; whoever asked may reject it")
            .into());
    }
    if other.is_none() && run.supporters().contains(&by) {
        let needed = run.people_needed();
        return Err(Fault::policy(format!("{by} agreed already, and {needed} different people have to"))
            .hint("governance.people says how many")
            .into());
    }
    super::paint::warn_of_no_sandbox(run.spec.sandbox);
    Ok(())
}

/// The number of the candidate that is meant, if it is not the one that waits.
fn other(which: &Which, run: &Run) -> Result<Option<usize>> {
    let choices = run.choices();
    let number = match which {
        Which::Waiting => return Ok(None),
        Which::Digest(digest) if is_meant(digest, &run.result().digest()) => return Ok(None),
        Which::Digest(digest) => {
            let found = choices.iter().position(|candidate| is_meant(digest, &candidate.patch.digest()));
            found.map(|at| at + 1).ok_or_else(another)?
        }
        Which::Numbered(number) => *number,
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

/// What is proven of a proposal is agreed to and applied in two steps, by whoever may do each.
fn belongs_to_proposal(run: &Run, proposal: &str) -> Fault {
    let (run, proposal) = (super::live::short(&run.id), super::live::short(proposal));
    Fault::usage(format!("run {run} is for proposal {proposal}, and it is the proposal that is approved")).hint(
        format!(
            "`regreen proposal approve {proposal}`, or POST /api/v1/proposals/{proposal}/approve; `apply` lands it then"
        ),
    )
}

fn another() -> Fault {
    Fault::policy("the patch is not the one that was looked at").hint("look again: it changed meanwhile")
}

/// The least of a digest that stands for the whole.
const LEAST: usize = 16;

fn is_meant(named: &str, digest: &str) -> bool {
    named.len() >= LEAST && digest.starts_with(named)
}

fn waits(run: &Run) -> bool {
    run.awaits_approval() && run.proof.is_some() && run.landed.is_none() && run.stopped.is_none()
}

fn does_not_wait(run: &Run) -> Fault {
    Fault::usage(format!("run {} does not wait for an approval", super::live::short(&run.id)))
        .hint("`regreen runs` lists what waits")
}
