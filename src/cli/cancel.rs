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
        let me = format!("cancel-{}", new_id());
        match session.store.cancel(&row.id, &me).await? {
            Cancelled::Claimed(claim) => {
                // Whoever has it ends it, as a worker would.
                let (_say, off) = watch::channel(Some(Why::Cancelled));
                let driver = Loop { store: session.store.clone(), json: self.json };
                driver.drive(&claim, &CalledOff::new(off)).await?;
                session.store.over(*claim).await?;
                say(&format!("run {} is cancelled", short(&row.id)));
            }
            Cancelled::Told { worker } => {
                say(&format!("run {} is under way; worker {worker} was told to end it", short(&row.id)));
            }
            Cancelled::Absent => return Err(not_queued(&row).into()),
        }
        Ok(Exit::Green)
    }
}

impl Retry {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        let row = session.store.run(&self.run).await?;
        if let Some(queued) = session.store.queued(&row.id).await? {
            if session.store.unblock(&row.id).await? {
                out(&row.id)?;
                return Ok(Exit::Green);
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
            return Err(not_queued(&row).into());
        }
        let request = queued::request(&session.store, &row.id).await?;
        let priority = self.priority.or(row.priority).unwrap_or_default();
        let line = Line { priority, ..Line::default() };
        let again = queued::submit(&session.store, &new_id(), &request, &line).await?;
        out(&again.run)?;
        Ok(Exit::Green)
    }
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
