//! What people say about a proposal, for the command line and the service.

use std::path::Path;

use anyhow::Result;

use super::approve::agreed;
use super::session::Session;
use crate::fault::Exit;
use crate::proposal::{Act, State};
use crate::run::Run;
use crate::run::events::{Event, StopRule};
use crate::run::journal::{Journal, load};
use crate::run::proposal;
use crate::store::{ProposalRow, out_of_turn};
use crate::web::Came;

/// Lets through what can happen to a proposal as it stands.
fn in_turn(row: &ProposalRow, act: Act) -> Result<()> {
    match row.state.after(act) {
        Some(_) => Ok(()),
        None => Err(out_of_turn(row.state, act).into()),
    }
}

/// `by` agrees to what a proposal came to; where `patch` is given, only if that is its digest. It does not land yet.
///
/// # Errors
/// Where the proposal does not stand so, or what it came to is something else.
pub(super) async fn approve(
    session: &Session,
    row: &ProposalRow,
    by: &str,
    patch: Option<&str>,
    remark: Option<&str>,
) -> Result<Came> {
    in_turn(row, Act::Approve)?;
    agreed(session, &row.run, by, patch, remark.map(str::to_owned)).await
}

/// Lets the run of an approved proposal go on to its landing; `None` where a worker is at it already.
///
/// # Errors
/// Where the proposal is not approved, or cannot be read.
pub(super) async fn release(session: &Session, row: &ProposalRow, json: bool) -> Result<Option<Journal>> {
    in_turn(row, Act::Apply)?;
    if session.store.is_held(&row.run).await? || session.store.queued(&row.run).await?.is_some() {
        return Ok(None);
    }
    let journal = session.reopen(&row.run, if json { session.listeners(true) } else { Vec::new() }).await?;
    // Looked at again now that nobody else can write to the run.
    in_turn(&session.store.proposal(&row.id).await?, Act::Apply)?;
    if journal.run().finished.is_some() {
        journal.record(Event::Resumed { why: "apply".into() }).await?;
    }
    Ok(Some(journal))
}

/// Has an approved proposal landed by a worker.
///
/// # Errors
/// As [`release`].
pub(super) async fn apply(session: &Session, row: &ProposalRow) -> Result<()> {
    // It is in the queue again, for a worker to land.
    release(session, row, false).await.map(drop)
}

/// `by` refuses a proposal, whatever its tests say.
///
/// # Errors
/// Where it is under way or over.
pub(super) async fn reject(session: &Session, row: &ProposalRow, by: &str, reason: &str) -> Result<()> {
    in_turn(row, Act::Reject)?;
    let redactor = session.redactor_of(Path::new(&row.repo), None).await;
    let reason = &*redactor.redact(reason);
    let open = match load(&session.store, &row.run).await {
        Ok(run) => matches!(row.state, State::TestsPassed | State::Approved) && is_open(&run),
        // One that ended before it began.
        Err(_) => false,
    };
    if !open {
        return proposal::reject(&session.store, &row.run, by, reason).await;
    }
    let journal = session.reopen(&row.run, Vec::new()).await?;
    journal.record(Event::Rejected { by: by.to_owned(), reason: reason.to_owned() }).await?;
    journal.record(Event::Resumed { why: "reject".into() }).await?;
    let stopped = Event::Stopped { rule: StopRule::Rejected, why: reason.to_owned(), look_at: Vec::new() };
    journal.record(stopped).await?;
    session.end(&journal, Exit::Policy).await
}

/// Whether a run has a proof that waits for what people say.
fn is_open(run: &Run) -> bool {
    run.proof.is_some() && run.landed.is_none() && run.stopped.is_none()
}
