//! One run: what happened, what it led to, and what can be done about it.

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use minijinja::context;
use serde::Deserialize;

use super::{Broken, Sealed, page as respond, shown};
use crate::clock::human;
use crate::run::Run;
use crate::run::journal::records;
use crate::web::access::{Caller, Scope};
use crate::web::api::approvals::said;
use crate::web::api::{Path, Query};
use crate::web::problem::Problem;
use crate::web::{App, Shared, story};

/// What was just done, for the line that says so.
#[derive(Debug, Default, Deserialize)]
pub(super) struct After {
    #[serde(default)]
    done: String,
}

/// The page of a run.
pub(super) async fn page(
    State(shared): App,
    caller: Caller,
    Path(name): Path<String>,
    Query(after): Query<After>,
) -> Result<Response, Broken> {
    let row = shared.store.run(&name).await.map_err(Problem::of_lookup)?;
    let records = records(&shared.store, &row.id, 0).await?;
    let run = Run::fold(&records)?;
    let story = story::tell(&run, &records, &shared.redactor);
    let cut_off = story::cut_off(&shared.store, &row).await?;
    let (word, tone) = shown::standing(&row, cut_off);
    let may = caller.may(Scope::Approve);
    let actions: Vec<&str> = story::actions(&run).into_iter().filter(|_| may).collect();
    let done = match after.done.as_str() {
        "approved" => "You approved the patch; it lands now.",
        "rejected" => "You rejected the patch; nothing was changed.",
        "rolled-back" => "The landing was taken back.",
        _ => "",
    };
    let cause = run.cause().map(|one| context! { place => one.place(), message => one.message });
    let stopped = run.stopped.as_ref();
    let values = context! {
        run => shown::row(&row, cut_off), word, tone, done, actions, story, cause,
        cut_off, base => row.base, land => run.spec.land, took => human(run.took), ran => human(run.ran),
        budget => run.spec.budget.0, cost => run.own.0, complaints => run.complaints(),
        reasons => if story::waits(&run) { run.approval.clone() } else { Vec::new() },
        patch => run.kept.digest(), parent => story::parent(&run),
        stopped => stopped.map(|(_, why, look_at)| context! { why, look_at }),
        warnings => run.warnings, rolled_back => run.rolled_back,
        credited => run.credited(), subtasks => run.subtasks,
        finished => run.finished.is_some(), moves_branch => run.landed.as_ref().and_then(Option::as_ref)
            .is_some_and(|landed| landed.commit().is_some()),
    };
    respond(&shared, &caller, "run.html", values).await
}

/// A search in a log.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Search {
    #[serde(default)]
    q: String,
}

/// Lines of a log that are shown.
const LINES: usize = 5_000;
/// Characters of a line that are shown.
const LINE: usize = 2_000;

/// What a check printed; with a search only the lines that have it.
pub(super) async fn log(
    State(shared): App,
    caller: Caller,
    Path((name, seq)): Path<(String, u64)>,
    Query(search): Query<Search>,
) -> Result<Response, Broken> {
    let row = shared.store.run(&name).await.map_err(Problem::of_lookup)?;
    let log = story::log(&shared, &row.id, seq).await?;
    let wanted = search.q.to_lowercase();
    let all = log.text.lines().enumerate();
    let mut lines: Vec<(usize, String)> = all
        .filter(|(_, line)| wanted.is_empty() || line.to_lowercase().contains(&wanted))
        .map(|(number, line)| (number + 1, line.chars().take(LINE).collect()))
        .collect();
    let found = lines.len();
    // What went wrong stands at the end, as a rule.
    let left_out = found.saturating_sub(LINES);
    lines.drain(..left_out);
    let values = context! {
        id => row.id, goal => row.goal, seq, check => log.check, only_end => log.only_end, lines, q => search.q,
        found, left_out,
    };
    respond(&shared, &caller, "log.html", values).await
}

/// What the form says of a patch that is agreed to.
#[derive(Debug, Deserialize)]
pub(super) struct Approval {
    patch: String,
}

/// What the form says of one that is not.
#[derive(Debug, Deserialize)]
pub(super) struct Rejection {
    reason: String,
}

/// How a landing is taken back.
#[derive(Debug, Deserialize)]
pub(super) struct TakeBack {
    #[serde(default)]
    reset: Option<String>,
}

async fn known(shared: &Shared, caller: &Caller, name: &str) -> Result<String, Problem> {
    caller.needs(Scope::Approve)?;
    Ok(shared.store.run(name).await.map_err(Problem::of_lookup)?.id)
}

fn back(run: &str, done: &str) -> Response {
    Redirect::to(&format!("/runs/{run}?done={done}")).into_response()
}

/// Agrees to a patch.
pub(super) async fn approve(
    State(shared): App,
    Path(name): Path<String>,
    Sealed { caller, form }: Sealed<Approval>,
) -> Result<Response, Broken> {
    let run = known(&shared, &caller, &name).await?;
    let approved = shared.actions.approve(&run, &caller.name, &form.patch, None).await;
    approved.map_err(Problem::of_action)?;
    Ok(back(&run, "approved"))
}

/// Refuses a patch.
pub(super) async fn reject(
    State(shared): App,
    Path(name): Path<String>,
    Sealed { caller, form }: Sealed<Rejection>,
) -> Result<Response, Broken> {
    let run = known(&shared, &caller, &name).await?;
    let reason = said(&form.reason, "reason")?;
    shared.actions.reject(&run, &caller.name, reason).await.map_err(Problem::of_action)?;
    Ok(back(&run, "rejected"))
}

/// Takes a landing back.
pub(super) async fn roll_back(
    State(shared): App,
    Path(name): Path<String>,
    Sealed { caller, form }: Sealed<TakeBack>,
) -> Result<Response, Broken> {
    let run = known(&shared, &caller, &name).await?;
    shared.actions.roll_back(&run, form.reset.is_some()).await.map_err(Problem::of_action)?;
    Ok(back(&run, "rolled-back"))
}
