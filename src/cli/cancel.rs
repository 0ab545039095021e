//! `regreen cancel RUN` and `regreen retry RUN`: takes a run out of the queue, and puts one into it again.

use anyhow::Result;
use tokio::sync::watch;

use super::paint::{out, say};
use super::session::{Session, new_id};
use super::worker::Loop;
use crate::fault::{Exit, Fault};
use crate::run::queued::{self, Line};
use crate::store::{Cancelled, Priority, RunRow, Standing, Status, short};
use crate::worker::{CalledOff, Driver, Why};

/// End a run that waits in the queue or is under way there.
#[derive(Debug, clap::Args)]
pub(super) struct Cancel {
    /// The run: its id, or the start or the end of it
    run: String,
    /// Print one event per line as JSON on standard output (docs/events.md)
    #[arg(long)]
    json: bool,
}

/// Put a run into the queue again: one that is blocked or delayed there, or one that is over as a new run.
#[derive(Debug, clap::Args)]
pub(super) struct Retry {
    /// The run: its id, or the start or the end of it
    run: String,
    /// How urgent the new run is [default: as it was]
    #[arg(long, value_enum)]
    priority: Option<Priority>,
}

impl Cancel {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        let row = session.store.run(&self.run).await?;
        say(&cancel(&session, &row, self.json).await?);
        Ok(Exit::Green)
    }
}

impl Retry {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        let row = session.store.run(&self.run).await?;
        out(&retry(&session, &row, self.priority).await?)?;
        Ok(Exit::Green)
    }
}

/// Ends a run of the queue, or tells the worker that has it to; says which.
///
/// # Errors
/// Where it is not in the queue.
pub(super) async fn cancel(session: &Session, row: &RunRow, json: bool) -> Result<String> {
    let me = format!("cancel-{}", new_id());
    match session.store.cancel(&row.id, &me).await? {
        Cancelled::Claimed(claim) => {
            // Whoever has it ends it, as a worker would.
            let (_say, off) = watch::channel(Some(Why::Cancelled));
            let driver = Loop { kept: session.kept(), json, metrics: None };
            driver.drive(&claim, &CalledOff::new(off)).await?;
            session.store.over(*claim).await?;
            Ok(format!("run {} is cancelled", short(&row.id)))
        }
        Cancelled::Told { worker } => {
            Ok(format!("run {} is under way; worker {worker} was told to end it", short(&row.id)))
        }
        Cancelled::Absent => Err(not_queued(row).into()),
    }
}

/// Puts a run into the queue again, and gives the run that it is there.
///
/// # Errors
/// Where it is under way, waits for a person, or is no run that can be submitted.
pub(super) async fn retry(session: &Session, row: &RunRow, priority: Option<Priority>) -> Result<String> {
    if let Some(queued) = session.store.queued(&row.id).await? {
        if session.store.unblock(&row.id).await? {
            return Ok(row.id.clone());
        }
        let stands = match queued.standing {
            Standing::Running => "under way",
            _ => "in the queue already",
        };
        return Err(Fault::usage(format!("run {} is {stands}", short(&row.id)))
            .hint("`regreen logs -f` follows it")
            .into());
    }
    if row.status != Status::Finished {
        return Err(not_queued(row).into());
    }
    let request = queued::request(&session.store, &row.id).await?;
    let priority = priority.or(row.priority).unwrap_or_default();
    let line = Line { priority, ..Line::default() };
    let redactor = session.redactor_of(&request.repo, None).await;
    Ok(queued::submit(&session.store, &redactor, &new_id(), &request, &line).await?.run)
}

fn not_queued(row: &RunRow) -> Fault {
    let id = short(&row.id);
    match row.status {
        Status::Finished => {
            Fault::usage(format!("run {id} is over")).hint("`regreen show` tells how it ended")
        }
        Status::Waiting => Fault::usage(format!("run {id} waits for a person"))
            .hint("answer with `regreen approve` or `regreen reject`"),
        Status::Queued | Status::Running => Fault::usage(format!("run {id} is not in the queue"))
            .hint("it was begun by hand: end it where it runs, or go on with it by `regreen resume`"),
    }
}
