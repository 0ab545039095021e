//! How a run stands, and what can be done with it.

use anyhow::Result;

use crate::run::Run;
use crate::run::events::{Event, Record};
use crate::run::proposal::is_for_one;
use crate::store::{Queued, RunRow, Standing, Status, Store};

/// Whether a run waits for a person.
pub(crate) fn waits(run: &Run) -> bool {
    run.awaits_approval() && run.proof.is_some() && run.landed.is_none() && run.stopped.is_none()
}

/// The run, if it has begun: one that waits in the queue, or was called off there, is nothing but what was asked.
pub(crate) fn begun(records: &[Record]) -> Result<Option<Run>> {
    let begun = records.iter().any(|record| matches!(record.event, Event::Started(_)));
    begun.then(|| Run::fold(records)).transpose()
}

/// What can be done with a run as it stands; `run` is `None` where it has not begun.
pub(crate) fn actions(run: Option<&Run>, row: &RunRow, queued: Option<&Queued>) -> Vec<&'static str> {
    let mut actions = Vec::new();
    if let Some(run) = run.filter(|run| waits(run)) {
        // A proposal's run is approved and applied with the proposal.
        if !is_for_one(run) {
            actions.push("approve");
        }
        actions.push("reject");
    }
    if queued.is_some_and(|queued| !queued.cancelled) {
        actions.push("cancel");
    }
    let stuck = |queued: &Queued| matches!(queued.standing, Standing::Blocked | Standing::Delayed);
    let over = row.status == Status::Finished
        && queued.is_none()
        && !matches!(row.trigger.as_str(), "subtask" | "proposal");
    if queued.is_some_and(stuck) || over {
        actions.push("retry");
    }
    let landed = run.is_some_and(|run| {
        let landed = matches!(run.landed, Some(Some(_))) || !run.subtasks.is_empty();
        landed && run.rolled_back.is_none() && run.finished.is_some()
    });
    if landed {
        actions.push("roll-back");
    }
    actions
}

/// Whether a run is under way though no process has it and it waits for no worker.
pub(crate) async fn cut_off(store: &Store, run: &RunRow) -> Result<bool> {
    let running = run.status == Status::Running;
    Ok(running && !store.is_held(&run.id).await? && store.queued(&run.id).await?.is_none())
}
