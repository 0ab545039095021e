//! The repos: all of them, and each with its checks, what its runs need, and how it has been doing.

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use minijinja::{Value, context};
use serde::Deserialize;

use super::listed::{PAGE, some};
use super::{Broken, Nothing, Sealed, page as respond, shown};
use crate::clock::human;
use crate::repos::Health;
use crate::store::{KnownAs, RepoRow};
use crate::web::access::{Caller, Noted, Scope};
use crate::web::api::repos::{
    AT_ONCE, Change, Known, add_named, by_id, change_to, id_of, known, page, remove_named,
};
use crate::web::api::{Path, Query};
use crate::web::{App, standing};

/// What the form above the list says, and where the last page ended.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Filter {
    #[serde(default)]
    text: String,
    #[serde(default)]
    cursor: String,
    /// What was just done.
    #[serde(default)]
    done: String,
}

/// What was just done, for the line that says so.
#[derive(Debug, Default, Deserialize)]
pub(super) struct After {
    #[serde(default)]
    done: String,
}

/// The list.
pub(super) async fn list(
    State(shared): App,
    caller: Caller,
    Query(filter): Query<Filter>,
) -> Result<Response, Broken> {
    let (text, after) = (some(&filter.text), some(&filter.cursor));
    let (repos, next) = page(&shared, text.as_deref(), after.as_deref(), PAGE).await?;
    let repos: Vec<Value> = repos.iter().map(|(row, health)| row_of(row, health)).collect();
    let query = serde_urlencoded::to_string([("text", &filter.text)]).unwrap_or_default();
    let values = context! {
        repos, text => filter.text, next => next.map(|cursor| format!("/repos?{query}&cursor={cursor}")),
        admin => caller.may(Scope::Admin),
        done => if filter.done == "removed" { "The repo is removed. Its runs stay." } else { "" },
    };
    respond(&shared, &caller, "repos.html", values).await
}

/// A repo as templates read it.
fn row_of(row: &RepoRow, health: &Health) -> Value {
    let (word, tone) = match (&row.paused, row.running, health.failures_in_a_row) {
        (Some(_), ..) => ("paused", "care"),
        (None, 1.., _) => ("running", "busy"),
        (None, 0, 3..) => ("failing", "bad"),
        (None, ..) => ("ready", if health.last_run.is_some() { "good" } else { "quiet" }),
    };
    let pause = row.paused.as_ref().map(|pause| {
        context! { reason => pause.reason, by => pause.by, since => pause.since.map(|at| at.to_string()) }
    });
    context! {
        id => id_of(&row.repo), repo => row.repo, word, tone, pause, concurrency => row.concurrency,
        running => row.running, queued => row.queued, waiting => row.waiting,
        added_at => row.added_at.map(|at| at.to_string()), added_by => row.added_by,
        last_run => health.last_run.map(|at| at.to_string()), last_outcome => health.last_outcome,
        red => health.red, healed => health.healed, rate => health.rate(), failures => health.failures_in_a_row,
    }
}

/// One repo.
pub(super) async fn one(
    State(shared): App,
    caller: Caller,
    Path(id): Path<String>,
    Query(after): Query<After>,
) -> Result<Response, Broken> {
    let row = by_id(&shared, &id).await?;
    let Known { look, health, recent, cost } = known(&shared, &row.repo).await?;
    let mut runs = Vec::with_capacity(recent.len());
    for run in &recent {
        runs.push(shown::row(run, standing::cut_off(&shared.store, run).await?, &shared.redactor));
    }
    let needs = look.needs.into_iter().map(|need| {
        context! { name => need.name, works => need.works, detail => need.detail, advice => need.advice }
    });
    let checks = look.checks.into_iter().map(|check| {
        context! {
            name => check.name, run => check.run.display(), dir => check.dir, timeout => human(check.timeout),
            needs => check.needs,
        }
    });
    let done = match after.done.as_str() {
        "added" => "The repo is added.",
        "known" => "The repo was added before.",
        "paused" => "No more of its runs are begun.",
        "unpaused" => "Its runs are begun again.",
        "changed" => "That holds from now on.",
        _ => "",
    };
    let values = context! {
        repo => row_of(&row, &health), done, needs => needs.collect::<Vec<_>>(), checks => checks.collect::<Vec<_>>(),
        known => look.known.as_str(), setup => look.setup.map(|setup| setup.run.display()), notes => look.notes,
        cost => cost.0, runs, admin => caller.may(Scope::Admin), most => AT_ONCE,
        all => serde_urlencoded::to_string([("repo", &row.repo)]).unwrap_or_default(),
    };
    respond(&shared, &caller, "repo.html", values).await
}

/// What the form says of a repo that is to be added.
#[derive(Debug, Deserialize)]
pub(super) struct Addition {
    repo: String,
}

/// What it says of one that is to be paused.
#[derive(Debug, Deserialize)]
pub(super) struct Pausing {
    reason: String,
}

/// What it says of the runs that may be under way at once.
#[derive(Debug, Deserialize)]
pub(super) struct Limit {
    concurrency: u32,
}

fn back(note: String, repo: &str, done: &str) -> Response {
    Noted(note, Redirect::to(&format!("/repos/{}?done={done}", id_of(repo)))).into_response()
}

/// Adds a repo.
pub(super) async fn add(
    State(shared): App,
    Sealed { caller, form }: Sealed<Addition>,
) -> Result<Response, Broken> {
    caller.needs(Scope::Admin)?;
    let (root, new) = add_named(&shared, &caller, &form.repo, None).await?;
    Ok(back(root.clone(), &root, if new { "added" } else { "known" }))
}

/// Begins no more of its runs.
pub(super) async fn pause(
    State(shared): App,
    Path(id): Path<String>,
    Sealed { caller, form }: Sealed<Pausing>,
) -> Result<Response, Broken> {
    let change = Change { paused: Some(true), reason: Some(form.reason), ..Change::default() };
    changed(shared, &caller, &id, &change, "paused").await
}

/// Lets it go on.
pub(super) async fn unpause(
    State(shared): App,
    Path(id): Path<String>,
    Sealed { caller, .. }: Sealed<Nothing>,
) -> Result<Response, Broken> {
    let change = Change { paused: Some(false), ..Change::default() };
    changed(shared, &caller, &id, &change, "unpaused").await
}

/// Sets how many of its runs may be under way at once.
pub(super) async fn limit(
    State(shared): App,
    Path(id): Path<String>,
    Sealed { caller, form }: Sealed<Limit>,
) -> Result<Response, Broken> {
    let change = Change { concurrency: Some(form.concurrency), ..Change::default() };
    changed(shared, &caller, &id, &change, "changed").await
}

/// Forgets it.
pub(super) async fn remove(
    State(shared): App,
    Path(id): Path<String>,
    Sealed { caller, .. }: Sealed<Nothing>,
) -> Result<Response, Broken> {
    caller.needs(Scope::Admin)?;
    let repo = by_id(&shared, &id).await?.repo;
    remove_named(&shared, &repo, &KnownAs::Anything).await?;
    Ok(Noted(format!("{repo}: removed"), Redirect::to("/repos?done=removed")).into_response())
}

async fn changed(
    shared: std::sync::Arc<crate::web::Shared>,
    caller: &Caller,
    id: &str,
    change: &Change,
    done: &str,
) -> Result<Response, Broken> {
    caller.needs(Scope::Admin)?;
    let repo = by_id(&shared, id).await?.repo;
    let note = change_to(&shared, caller, &repo, change, &KnownAs::Anything).await?;
    Ok(back(note, &repo, done))
}
