//! `regreen rollback RUN`: takes a landing back.

use anyhow::{Context, Result};

use super::live::short;
use super::paint::{GOOD, paint, say};
use super::session::Session;
use crate::fault::{Exit, Fault};
use crate::landing::{How, Record, RolledBack, rollback};
use crate::memory;
use crate::run::Run;
use crate::run::events::{Event, StopRule, Trigger};
use crate::run::journal::{Journal, subtask_runs};

/// Take a landing back.
#[derive(Debug, clap::Args)]
pub(super) struct Rollback {
    /// The run: its id, the start or the end of it, or `last`
    run: String,
    /// Move the branch back instead of adding a commit that reverts
    #[arg(long)]
    reset: bool,
}

impl Rollback {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        // A landing that a crash cut off is there or not before anything is taken back.
        super::resume::tidy(&session).await;
        let run = session.find(Some(&self.run)).await?;
        let how = take_back(&session, &run, self.reset).await?;
        say(&format!("{} {how}", paint(GOOD, "✔")));
        Ok(Exit::Green)
    }
}

/// Takes back what a run landed, or what a ticket's sub-tasks did, and says how. With `reset` branches move back instead of getting commits
/// that revert.
///
/// # Errors
/// Where there is nothing to take back, files changed since, or another process has the run.
pub(super) async fn take_back(session: &Session, run: &Run, reset: bool) -> Result<String> {
    if let Some(how) = &run.rolled_back {
        return Err(Fault::usage(format!("run {} was rolled back already: {how}", short(&run.id))).into());
    }
    let how = if reset { How::Reset } else { How::Revert };
    match &run.landed {
        Some(Some(landed)) => take_one(session, run, landed, how).await,
        _ => take_subtasks(session, run, how).await,
    }
}

/// A ticket's sub-tasks, newest first, because each builds on the ones before: all that landed, whether the ticket's run had heard of it
/// or not. Those that are taken back stay so if one cannot be; the next call goes on there.
async fn take_subtasks(session: &Session, ticket: &Run, how: How) -> Result<String> {
    let mut children = subtask_runs(&session.store, ticket).await?;
    children.retain(|child| matches!(child.landed, Some(Some(_))));
    if children.is_empty() {
        return Err(Fault::usage(format!("run {} landed nothing", short(&ticket.id))).into());
    }
    let journal = session.reopen(&ticket.id, Vec::new()).await?;
    for run in &children {
        let Trigger::Subtask { id: number, .. } = &run.spec.trigger else { continue };
        let (None, Some(Some(landed))) = (&run.rolled_back, &run.landed) else { continue };
        let done = take_one(session, run, landed, how)
            .await
            .with_context(|| format!("sub-task {number} (run {})", short(&run.id)))?;
        say(&format!("{} {number}: {done}", paint(GOOD, "✔")));
    }
    let how = format!("{} sub-task(s) are taken back", children.len());
    over(session, &journal, &how).await?;
    Ok(how)
}

async fn take_one(session: &Session, run: &Run, landed: &Record, how: How) -> Result<String> {
    let journal = session.reopen(&run.id, Vec::new()).await?;
    let place = session.place(&run.spec.root).await?;
    let _uncut = crate::process::landing().await;
    let how = match rollback(place.repo.as_ref(), &run.spec.root, landed, how).await? {
        RolledBack::Already => "it had been taken back already".to_owned(),
        RolledBack::Finished(count) => {
            format!("the branch had been taken back already; now the index and {count} file(s) are, too")
        }
        RolledBack::Files(count) => format!("{count} file(s) are as they were before"),
        RolledBack::Reverted(commit) => {
            format!("commit {} reverts it", commit.get(..7).unwrap_or(&commit))
        }
        RolledBack::Reset { branch, commit } => {
            format!("{branch} is back at {}", commit.get(..7).unwrap_or(&commit))
        }
        RolledBack::Removed(branch) => format!("{branch}, which it had made, is removed"),
    };
    over(session, &journal, &how).await?;
    // Whoever takes a fix back does not want it proposed again. What it needed to be taken back goes with it.
    if let Err(error) = memory::forget_run(&session.store, &run.id).await {
        tracing::warn!("the fix is still remembered, so it may be proposed again: {error:#}");
    }
    if let Err(error) = place.snapshots.forget(&run.id).await {
        tracing::debug!(%error, "the snapshot stays");
    }
    Ok(how)
}

/// Records that a landing is taken back. A run that had been cut off ends with that: nothing should take it up again.
async fn over(session: &Session, journal: &Journal, how: &str) -> Result<()> {
    journal.record(Event::RolledBack { how: how.to_owned() }).await?;
    if journal.run().finished.is_some() {
        return Ok(());
    }
    let why = format!("it was rolled back: {how}");
    journal.record(Event::Stopped { rule: StopRule::Rejected, why, look_at: Vec::new() }).await?;
    session.end(journal, Exit::Policy).await
}
