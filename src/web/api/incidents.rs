//! Incidents: what went wrong where programs really run, and how far it has come.

use std::path::{Path as FsPath, PathBuf};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::super::access::{Caller, Scope};
use super::super::problem::Problem;
use super::super::{App, Shared};
use super::runs::{cursor_of, mark};
use super::{Body, Path, Query};
use crate::fault::{Exit, Fault};
use crate::incident::{Act, Report, State as Stands};
use crate::reports::{self, Told};
use crate::store::{IncidentFilter, IncidentRow};

/// The longest stack trace that is taken, in bytes.
const TRACE: usize = 512 << 10;

/// Something that went wrong.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IncidentReport {
    /// What was raised, in one line.
    #[serde(default)]
    #[schema(example = "ZeroDivisionError: division by zero")]
    error: String,
    /// The stack trace as it was printed, with whatever stands around it.
    #[serde(default)]
    stack_trace: String,
    /// What is known besides: versions, inputs, the request. Secrets are taken out, and more than 16 KiB of it is dropped.
    #[serde(default)]
    #[schema(value_type = Object)]
    context: Value,
    /// The root of the repo's working tree on the workers' machines; may be left out where Regreen looks after one repo only. Who is no administrator
    /// names one that was given to Regreen.
    #[serde(default)]
    #[schema(example = "/srv/shop")]
    repo: Option<String>,
    /// Where the program runs; what begins with `prod` is repaired by the rules of production.
    #[serde(default)]
    environment: Option<String>,
    /// The version of the program.
    #[serde(default)]
    release: Option<String>,
    /// Whether the program ended by it.
    #[serde(default)]
    fatal: Option<bool>,
    /// Whether a run may take it up; otherwise it is only counted.
    #[serde(default = "yes")]
    heal: bool,
}

fn yes() -> bool {
    true
}

/// Which incidents, and how many.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichIncidents {
    /// Standing so.
    #[param(value_type = Option<IncidentState>)]
    state: Option<Stands>,
    /// Of this repo: its root.
    repo: Option<String>,
    /// With this in its title, place, repo or id.
    text: Option<String>,
    /// The most that are given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// Where the last page ended: its `next`.
    cursor: Option<String>,
}

/// How far an incident has come.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "only its names are used, in the description of the API")]
pub(super) enum IncidentState {
    Open,
    Healing,
    AwaitingApproval,
    Fixed,
    Closed,
    Reopened,
    NeedsPerson,
    Outside,
    Ignored,
}

/// An incident in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IncidentItem {
    /// Its id. Calls take any unambiguous start or end of it, too.
    id: String,
    /// The repo's root.
    repo: String,
    /// What tells it apart from others of the repo.
    fingerprint: String,
    /// What happened, in one line.
    title: String,
    /// The type of the exception.
    exception: String,
    /// What printed its trace: `python`, `node`, `rust`, `go`, `jvm`, `ruby`, `php`, `native`.
    language: Option<String>,
    /// The innermost place in the repo: `src/a.py:7`.
    place: Option<String>,
    /// What it harms: `scalability`, `reliability`, `auditability`, `governance`, `performance`, `bug`.
    category: String,
    /// How bad it is: `low`, `medium`, `high`, `critical`.
    severity: String,
    /// How far it has come.
    #[schema(value_type = IncidentState)]
    state: Stands,
    /// Why it stands so, where there is something to say.
    reason: Option<String>,
    /// Who reported it first: `exec`, `api`, `sentry`.
    source: String,
    environment: Option<String>,
    release: Option<String>,
    /// Reports of it.
    count: u64,
    /// How often it came again after it was fixed.
    reopened: u64,
    /// The last run that took it up.
    run: Option<String>,
    /// Where its fix landed.
    landed: Option<String>,
    first_seen: Timestamp,
    last_seen: Timestamp,
    fixed_at: Option<Timestamp>,
}

impl From<&IncidentRow> for IncidentItem {
    fn from(row: &IncidentRow) -> Self {
        let row = row.clone();
        Self {
            id: row.id,
            repo: row.repo,
            fingerprint: row.fingerprint,
            title: row.title,
            exception: row.kind,
            language: row.language,
            place: row.place,
            category: row.category,
            severity: row.severity,
            state: row.state,
            reason: row.reason,
            source: row.source,
            environment: row.environment,
            release: row.release,
            count: row.count,
            reopened: row.reopened,
            run: row.run,
            landed: row.landed,
            first_seen: row.first_seen,
            last_seen: row.last_seen,
            fixed_at: row.fixed_at,
        }
    }
}

/// A page of incidents, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IncidentPage {
    items: Vec<IncidentItem>,
    /// What to give as `cursor` for the next page; nothing where this is the last.
    next: Option<String>,
}

/// What became of a report.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IncidentTaken {
    #[serde(flatten)]
    incident: IncidentItem,
    /// Whether it is the first of its kind.
    new: bool,
    /// Why no run takes it up now, if none does.
    held_back: Option<String>,
}

/// All that is known of an incident.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IncidentDetail {
    #[serde(flatten)]
    incident: IncidentItem,
    /// Why the fault counts as the repo's own, or as one outside.
    why: String,
    /// The repo's files that the trace goes through, the innermost first.
    files: Vec<String>,
    /// What was reported, without secrets.
    stack_trace: String,
    /// What was told besides.
    #[schema(value_type = Object)]
    context: Value,
    /// The runs that took it up, oldest first.
    runs: Vec<String>,
}

/// Report something that went wrong. Reports of the same failure are one incident, which one run at a time is to heal.
#[utoipa::path(
    post, path = "/incidents", tag = "incidents", security(("token" = ["submit"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Names the call, so that it can be made again")),
    request_body = IncidentReport,
    responses(
        (status = 201, description = "It is the first of its kind", body = IncidentTaken),
        (status = 200, description = "It is counted with the others of its kind", body = IncidentTaken),
    )
)]
pub(super) async fn report(
    State(shared): App,
    caller: Caller,
    Body(asked): Body<IncidentReport>,
) -> Result<Response, Problem> {
    if asked.stack_trace.len() > TRACE {
        return Err(Problem::too_large(TRACE));
    }
    let repo = repo(&shared, &caller, asked.repo.as_deref()).await?;
    let told = Told {
        repo,
        report: Report {
            error: asked.error,
            stack_trace: asked.stack_trace,
            trace: None,
            fatal: asked.fatal,
        },
        context: asked.context,
        source: "api",
        environment: asked.environment,
        release: asked.release,
    };
    let (row, new, held_back) = taken(&shared, told, asked.heal, &caller.person()).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    let place =
        HeaderValue::from_str(&format!("/api/v1/incidents/{}", row.id)).map_err(anyhow::Error::from)?;
    let body = Json(IncidentTaken { incident: IncidentItem::from(&row), new, held_back });
    Ok((status, [(header::LOCATION, place)], body).into_response())
}

/// Counts a report, and has a run take it up where that may be: the incident as it stands then, whether it is new, and why no run takes it up.
pub(in super::super) async fn taken(
    shared: &Shared,
    told: Told,
    heal: bool,
    by: &str,
) -> Result<(IncidentRow, bool, Option<String>), Problem> {
    let (store, redactor) = (&shared.store, &shared.redactor);
    let taken = reports::take(store, redactor, &shared.environment, told).await.map_err(of_report)?;
    let incident = taken.incident;
    if !heal {
        return Ok((incident, taken.new, Some("no run was asked for".to_owned())));
    }
    let held = reports::held_back(store, &shared.incidents, &incident, taken.head.as_deref()).await?;
    if held.is_none() {
        reports::heal(store, redactor, &incident, "branch", by).await.map_err(Problem::of_action)?;
    }
    Ok((store.incident(&incident.id).await?, taken.new, held))
}

/// What is wrong with a report, or with the number of them.
fn of_report(error: anyhow::Error) -> Problem {
    match error.downcast_ref::<Fault>() {
        Some(fault) if fault.exit == Exit::Usage => Problem::bad_request(fault.message.clone()),
        Some(fault) if fault.exit == Exit::Limit => Problem::too_many(3600),
        _ => error.into(),
    }
}

/// The repo that is meant.
async fn repo(shared: &Shared, caller: &Caller, named: Option<&str>) -> Result<PathBuf, Problem> {
    let Some(named) = named else {
        let all = shared.store.repos(None, None, 2).await?;
        return match all.as_slice() {
            [only] => Ok(PathBuf::from(&only.repo)),
            _ => Err(Problem::bad_request("name the repo: Regreen does not look after exactly one")),
        };
    };
    let path = PathBuf::from(named);
    let dots = |path: &FsPath| path.components().any(|part| matches!(part, std::path::Component::ParentDir));
    if !path.is_absolute() || dots(&path) || named.contains('\0') || named.len() > 4096 {
        return Err(Problem::bad_request("repo is no absolute path"));
    }
    if !caller.may(Scope::Admin) && !shared.store.knows_repo(named).await? {
        return Err(Problem::forbidden("nobody gave this repo to Regreen")
            .hint("an administrator adds it, or `regreen repo add` on the machine itself"));
    }
    Ok(path)
}

/// Incidents, the newest first.
#[utoipa::path(
    get, path = "/incidents", tag = "incidents", params(WhichIncidents), security(("token" = ["read"])),
    responses((status = 200, description = "A page of incidents", body = IncidentPage))
)]
pub(super) async fn list(
    State(shared): App,
    Query(which): Query<WhichIncidents>,
) -> Result<Json<IncidentPage>, Problem> {
    let limit = super::limit(which.limit, 50, 200)?;
    let text = which.text.filter(|text| !text.is_empty());
    let filter = IncidentFilter { state: which.state, repo: which.repo, text };
    let after = which.cursor.as_deref().map(mark).transpose()?;
    let mut rows = shared.store.incidents(&filter, after.as_ref(), limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| cursor_of(row.first_seen, &row.id));
    Ok(Json(IncidentPage { items: rows.iter().map(IncidentItem::from).collect(), next }))
}

/// One incident.
#[utoipa::path(
    get, path = "/incidents/{incident}", tag = "incidents", security(("token" = ["read"])),
    params(("incident" = String, Path, description = "The incident")),
    responses((status = 200, description = "All that is known of it", body = IncidentDetail))
)]
pub(super) async fn show(
    State(shared): App,
    Path(name): Path<String>,
) -> Result<Json<IncidentDetail>, Problem> {
    let row = shared.store.incident(&name).await.map_err(Problem::of_lookup)?;
    let runs = shared.store.incident_runs(&row.id).await?.into_iter().map(|run| run.id).collect();
    Ok(Json(IncidentDetail {
        incident: IncidentItem::from(&row),
        why: row.why,
        files: row.files,
        stack_trace: row.stack_trace,
        context: row.context,
        runs,
    }))
}

/// Have a run heal an incident, whatever was tried before.
#[utoipa::path(
    post, path = "/incidents/{incident}/heal", tag = "incidents", security(("token" = ["submit"])),
    params(("incident" = String, Path, description = "The incident")),
    responses((status = 200, description = "A run takes it up", body = IncidentItem))
)]
pub(super) async fn heal(
    State(shared): App,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<IncidentItem>, Problem> {
    let row = shared.store.incident(&name).await.map_err(Problem::of_lookup)?;
    reports::heal(&shared.store, &shared.redactor, &row, "branch", &caller.person())
        .await
        .map_err(Problem::of_action)?;
    Ok(Json(IncidentItem::from(&shared.store.incident(&row.id).await?)))
}

/// Hear no more of an incident: its reports are only counted.
#[utoipa::path(
    post, path = "/incidents/{incident}/ignore", tag = "incidents", security(("token" = ["approve"])),
    params(("incident" = String, Path, description = "The incident")),
    responses((status = 200, description = "It is ignored", body = IncidentItem))
)]
pub(super) async fn ignore(
    State(shared): App,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<IncidentItem>, Problem> {
    moved(&shared, &name, Act::Ignore, &format!("ignored by {}", caller.person())).await
}

/// Open an incident that was ignored, closed, or counted as a fault outside.
#[utoipa::path(
    post, path = "/incidents/{incident}/open", tag = "incidents", security(("token" = ["approve"])),
    params(("incident" = String, Path, description = "The incident")),
    responses((status = 200, description = "It is open", body = IncidentItem))
)]
pub(super) async fn open(
    State(shared): App,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<IncidentItem>, Problem> {
    moved(&shared, &name, Act::Open, &format!("opened by {}", caller.person())).await
}

async fn moved(shared: &Shared, name: &str, act: Act, why: &str) -> Result<Json<IncidentItem>, Problem> {
    let row = shared.store.incident(name).await.map_err(Problem::of_lookup)?;
    shared.store.move_incident(&row.id, act, why).await.map_err(Problem::of_action)?;
    Ok(Json(IncidentItem::from(&shared.store.incident(&row.id).await?)))
}
