//! Incidents: the list, and one with what was reported, what was done about it, and what a person can do.

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use minijinja::{Value, context};

use super::listed::{Filter, PAGE, repos, some};
use super::run::After;
use super::{Broken, Nothing, Sealed, page as respond, shown};
use crate::incident::{Act, State as Stands};
use crate::reports;
use crate::store::{IncidentFilter, IncidentRow};
use crate::web::access::{Caller, Scope};
use crate::web::api::runs::{cursor_of, mark};
use crate::web::api::{Path, Query};
use crate::web::problem::Problem;
use crate::web::{App, Shared};

/// How an incident stands, in a word with a tone.
fn standing(state: Stands) -> (String, &'static str) {
    let tone = match state {
        Stands::Open | Stands::Reopened | Stands::NeedsPerson => "bad",
        Stands::Healing => "busy",
        Stands::AwaitingApproval => "care",
        Stands::Fixed | Stands::Closed => "good",
        Stands::Outside | Stands::Ignored => "",
    };
    (state.words(), tone)
}

fn row_of(row: &IncidentRow) -> Value {
    let (word, tone) = standing(row.state);
    context! {
        id => row.id, title => row.title, repo => row.repo, place => row.place, word, tone,
        category => row.category, severity => row.severity, reason => row.reason, landed => row.landed,
        count => row.count, reopened => row.reopened, source => row.source, environment => row.environment,
        release => row.release, first_seen => row.first_seen.to_string(), last_seen => row.last_seen.to_string(),
    }
}

/// The list.
pub(super) async fn page(
    State(shared): App,
    caller: Caller,
    Query(filter): Query<Filter>,
) -> Result<Response, Broken> {
    let state = Stands::parse(&filter.state).ok();
    let wanted = IncidentFilter { state, repo: some(&filter.repo), text: some(&filter.text) };
    let after = some(&filter.cursor);
    let from = after.as_deref().map(mark).transpose()?;
    let mut rows = shared.store.incidents(&wanted, from.as_ref(), PAGE + 1).await?;
    let more = rows.len() > PAGE as usize;
    rows.truncate(PAGE as usize);
    let next = rows.last().filter(|_| more).map(|row| cursor_of(row.first_seen, &row.id));
    let rows: Vec<Value> = rows.iter().map(row_of).collect();
    let states: Vec<(&str, String)> =
        Stands::ALL.iter().map(|state| (state.as_str(), state.words())).collect();
    let repos = repos(&shared.store).await?;
    let query = serde_urlencoded::to_string(&filter).unwrap_or_default();
    let filtered = state.is_some() || wanted.repo.is_some() || wanted.text.is_some();
    let values = context! {
        rows, filter, filtered, states, repos, first => after.is_none(),
        next => next.map(|cursor| format!("/incidents?{query}&cursor={cursor}")),
    };
    respond(&shared, &caller, "incidents.html", values).await
}

/// One incident.
pub(super) async fn one(
    State(shared): App,
    caller: Caller,
    Path(name): Path<String>,
    Query(after): Query<After>,
) -> Result<Response, Broken> {
    let row = shared.store.incident(&name).await.map_err(Problem::of_lookup)?;
    let runs = shared.store.incident_runs(&row.id).await?;
    let runs: Vec<Value> = runs
        .iter()
        .map(|run| {
            let (word, tone) = shown::standing(run, false);
            context! { id => run.id, word, tone }
        })
        .collect();
    let can = |act: Act, scope: Scope| row.state.after(act).is_some() && caller.may(scope);
    let heals = can(Act::Heal, Scope::Submit) && row.state != Stands::Healing;
    let mut actions = Vec::new();
    for (possible, action) in [
        (heals, "heal"),
        (can(Act::Open, Scope::Approve), "open"),
        (can(Act::Ignore, Scope::Approve), "ignore"),
    ] {
        if possible {
            actions.push(action);
        }
    }
    let done = match after.done.as_str() {
        "heal" => "A worker takes it up.",
        "open" => "The incident is open.",
        "ignore" => "The incident is ignored: its reports are only counted.",
        _ => "",
    };
    let context = match row.context.as_object() {
        Some(fields) if fields.is_empty() => None,
        _ => serde_json::to_string_pretty(&row.context).ok(),
    };
    let values = context! {
        runs, actions, done, why => row.why, files => row.files, stack_trace => row.stack_trace, context,
        ..row_of(&row)
    };
    respond(&shared, &caller, "incident.html", values).await
}

/// Has a worker heal it.
pub(super) async fn heal(
    State(shared): App,
    Path(name): Path<String>,
    sealed: Sealed<Nothing>,
) -> Result<Response, Broken> {
    sealed.caller.needs(Scope::Submit)?;
    let row = shared.store.incident(&name).await.map_err(Problem::of_lookup)?;
    reports::heal(&shared.store, &shared.redactor, &row, "branch", &sealed.caller.person())
        .await
        .map_err(Problem::of_action)?;
    Ok(back(&row.id, "heal"))
}

/// Puts it aside.
pub(super) async fn ignore(
    State(shared): App,
    Path(name): Path<String>,
    sealed: Sealed<Nothing>,
) -> Result<Response, Broken> {
    moved(&shared, &name, &sealed.caller, Act::Ignore, "ignore").await
}

/// Takes it up again.
pub(super) async fn open(
    State(shared): App,
    Path(name): Path<String>,
    sealed: Sealed<Nothing>,
) -> Result<Response, Broken> {
    moved(&shared, &name, &sealed.caller, Act::Open, "open").await
}

async fn moved(
    shared: &Shared,
    name: &str,
    caller: &Caller,
    act: Act,
    done: &str,
) -> Result<Response, Broken> {
    caller.needs(Scope::Approve)?;
    let row = shared.store.incident(name).await.map_err(Problem::of_lookup)?;
    let verb = if act == Act::Ignore { "ignored" } else { "opened" };
    let why = format!("{verb} by {}", caller.person());
    shared.store.move_incident(&row.id, act, &why).await.map_err(Problem::of_action)?;
    Ok(back(&row.id, done))
}

fn back(id: &str, done: &str) -> Response {
    Redirect::to(&format!("/incidents/{id}?done={done}")).into_response()
}
