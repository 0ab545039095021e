//! Proposals: what is suggested, how far it came, and what people say about it.

use std::path::{Path as FsPath, PathBuf};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::access::{Caller, Scope};
use super::super::problem::Problem;
use super::super::{App, Came, Shared};
use super::approvals::{Approval, Question, Rejection, TakeBack, remarked, said};
use super::queue::{Check, Priority, checks, of_request};
use super::runs::{cursor_of, mark};
use super::{Body, Path, Query};
use crate::patch::{FileState, Patch, RelPath};
use crate::proposal::{Act, Asked, Content, ProposedFile, State as Stands};
use crate::run::Run;
use crate::run::events::{Request, Work};
use crate::run::journal::records;
use crate::run::proposal::{again, submit};
use crate::run::queued::Line;
use crate::store::{ProposalFilter, ProposalRow, RunRow};
use crate::usage::Money;
use crate::web::standing;

/// A file of a proposal: its whole contents, or that it goes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Where it is, relative to the repo's root.
    #[schema(example = "src/shop.py")]
    path: String,
    /// All of its text.
    #[serde(default)]
    content: Option<String>,
    /// The same in base64, for what is no text.
    #[serde(default)]
    base64: Option<String>,
    /// Whether it is removed.
    #[serde(default)]
    delete: bool,
    /// Its execute bit; otherwise as it is.
    #[serde(default)]
    executable: Option<bool>,
}

/// A change that is suggested: either files or a patch.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Suggestion {
    /// What it does, in one line.
    #[schema(min_length = 1, max_length = 200)]
    title: String,
    /// Why, in Markdown.
    #[serde(default)]
    #[schema(max_length = 20000)]
    description: String,
    /// The root of the repo's working tree on the workers' machines. Who is no administrator names one that there are runs of.
    #[schema(example = "/srv/shop")]
    repo: String,
    /// The branch, tag or commit that it builds on; otherwise what is checked out.
    #[serde(default)]
    base: Option<String>,
    /// Files with their new contents.
    #[serde(default)]
    #[schema(max_items = 1000)]
    files: Option<Vec<File>>,
    /// A unified diff, as `git diff` prints it.
    #[serde(default)]
    patch: Option<String>,
    /// Where it lands when it is applied: `branch`, `branch=NAME`, `commit`.
    #[serde(default)]
    #[schema(default = "branch")]
    land: Option<String>,
    /// Repair what it breaks, without being asked again.
    #[serde(default)]
    auto_fix: bool,
    /// Checks besides those that the repo is known to have.
    #[serde(default)]
    #[schema(max_items = 32)]
    checks: Vec<Check>,
    #[serde(default)]
    priority: Priority,
    /// The most that models may cost in a run for it, in millionths of a US dollar; otherwise as configured.
    #[serde(default)]
    budget_micro_usd: Option<u64>,
    /// Wall time for a run for it; otherwise as configured.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 604_800)]
    timeout_seconds: Option<u64>,
    /// Attempts of a repair; otherwise as configured.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1000)]
    max_attempts: Option<u32>,
    /// Use no model for a repair: only what costs nothing.
    #[serde(default)]
    no_model: bool,
}

/// Which proposals, and how many.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Standing so.
    #[param(value_type = Option<ProposalState>)]
    state: Option<Stands>,
    /// Of this repo: its root.
    repo: Option<String>,
    /// With this in its title, description, repo or id.
    text: Option<String>,
    /// The most that are given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// Where the last page ended: its `next`.
    cursor: Option<String>,
}

/// How far a proposal has come.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "only its names are used, in the description of the API")]
pub(super) enum ProposalState {
    Proposed,
    Deploying,
    Testing,
    TestsPassed,
    TestsFailed,
    Fixing,
    Approved,
    Applied,
    Rejected,
    RolledBack,
}

/// A proposal in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProposalItem {
    /// Its id. Calls take any unambiguous start or end of it, too.
    id: String,
    /// The repo's root.
    repo: String,
    title: String,
    description: String,
    /// What it was asked to build on; nothing for what was checked out.
    base: Option<String>,
    /// The commit that it builds on, once that is known.
    base_commit: Option<String>,
    /// Where it lands.
    land: String,
    /// Who proposed it.
    requested_by: String,
    /// How far it has come.
    #[schema(value_type = ProposalState)]
    state: Stands,
    /// Why it stands so, where there is something to say.
    reason: Option<String>,
    /// Whether its tests fail in a way that a repair may end.
    needs_auto_fix: bool,
    /// Whether a repair is part of it.
    auto_fix_applied: bool,
    /// Attempts at repairs that had something to offer.
    auto_fix_attempts: u64,
    /// The run that says how it stands: the last one for it.
    run: String,
    /// Where it landed.
    landed: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<ProposalRow> for ProposalItem {
    fn from(row: ProposalRow) -> Self {
        Self {
            id: row.id,
            repo: row.repo,
            title: row.title,
            description: row.description,
            base: row.base,
            base_commit: row.base_commit,
            land: row.land,
            requested_by: row.requested_by,
            state: row.state,
            reason: row.reason,
            needs_auto_fix: row.needs_auto_fix,
            auto_fix_applied: row.auto_fix_applied,
            auto_fix_attempts: row.auto_fix_attempts,
            run: row.run,
            landed: row.landed,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A page of proposals, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProposalPage {
    items: Vec<ProposalItem>,
    /// What to give as `cursor` for the next page; nothing where this is the last.
    next: Option<String>,
}

/// A run for a proposal.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProposalRun {
    run: String,
    /// `queued`, `running`, `waiting`, `finished`.
    status: String,
    /// How it ended, in one word.
    outcome: Option<String>,
    created_at: Timestamp,
}

/// All that is known of a proposal.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProposalDetail {
    #[serde(flatten)]
    proposal: ProposalItem,
    /// The runs for it, oldest first.
    runs: Vec<ProposalRun>,
    /// What was tried to repair it, oldest first.
    fix_history: Vec<super::auto_fix::Tried>,
    /// What a person has to decide.
    waiting: Option<Question>,
    /// How many files, lines added and lines removed the proposal itself has, once its test began.
    proposed: Option<[usize; 3]>,
    /// The same of its repair.
    repair: Option<[usize; 3]>,
    /// What can be done with it now: `test`, `auto-fix`, `approve`, `reject`, `apply`, `roll-back`, `cancel`.
    actions: Vec<String>,
}

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProposalDone {
    /// The proposal.
    proposal: String,
    /// The run that does it or did it.
    run: String,
    /// How the proposal stands now.
    #[schema(value_type = ProposalState)]
    state: Stands,
    /// What was done, for people.
    done: String,
}

/// Which part of a proposal.
#[derive(Debug, Default, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Part {
    /// All that it would land.
    #[default]
    All,
    /// What was proposed.
    Proposed,
    /// What was repaired, on top of that.
    Repair,
}

/// Which part of a proposal.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Parts {
    /// Otherwise all that it would land.
    part: Option<Part>,
}

/// Suggest a change. A worker tests it on its base.
#[utoipa::path(
    post, path = "/proposals", tag = "proposals", security(("token" = ["submit"])),
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, pattern = "^[!-~]([ -~]*[!-~])?$", description = "Names the call, so that it can be made again")),
    request_body = Suggestion,
    responses((status = 201, description = "It is proposed", body = ProposalItem))
)]
pub(super) async fn create(
    State(shared): App,
    caller: Caller,
    Body(suggestion): Body<Suggestion>,
) -> Result<Response, Problem> {
    let priority = suggestion.priority;
    let request = request(&shared, &caller, suggestion).await?;
    let Work::Proposal(asked) = &request.work else { return Err(Problem::internal()) };
    let line = Line { priority: priority.into(), ..Line::default() };
    submit(&shared.store, &shared.redactor, &new_id(), &request, &line, Some(&caller.person()))
        .await
        .map_err(of_request)?;
    let row = shared.store.proposal(&asked.id).await?;
    let place =
        HeaderValue::from_str(&format!("/api/v1/proposals/{}", row.id)).map_err(anyhow::Error::from)?;
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], Json(ProposalItem::from(row))).into_response())
}

fn new_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

async fn request(shared: &Shared, caller: &Caller, asked: Suggestion) -> Result<Request, Problem> {
    let wrong = |what: &str| Problem::bad_request(what);
    let repo = PathBuf::from(&asked.repo);
    let dots = |path: &FsPath| path.components().any(|part| matches!(part, std::path::Component::ParentDir));
    if !repo.is_absolute() || dots(&repo) || asked.repo.contains('\0') || asked.repo.len() > 4096 {
        return Err(wrong("repo is no absolute path"));
    }
    // What it holds is run: who may only submit does not choose a folder that nobody gave to Regreen.
    if !caller.may(Scope::Admin) && !shared.store.knows_repo(&asked.repo).await? {
        return Err(Problem::forbidden("there are no runs of this repo yet")
            .hint("an administrator submits the first one, or `regreen submit` on the machine itself"));
    }
    let content = match (asked.files, asked.patch) {
        (Some(files), None) => Content::Files(files.into_iter().map(file).collect::<Result<_, _>>()?),
        (None, Some(patch)) => Content::Diff(patch),
        _ => return Err(wrong("give either files or patch")),
    };
    if asked.max_attempts.is_some_and(|most| !(1..=1000).contains(&most)) {
        return Err(wrong("max_attempts is not between 1 and 1000"));
    }
    if asked.timeout_seconds.is_some_and(|most| !(1..=604_800).contains(&most)) {
        return Err(wrong("timeout_seconds is not between 1 and 604800"));
    }
    let work = Work::Proposal(Box::new(Asked {
        id: new_id(),
        title: asked.title,
        description: asked.description,
        base: asked.base,
        content,
        fix: asked.auto_fix,
    }));
    Ok(Request {
        by: Some(caller.person()),
        origin: None,
        repo,
        dir: String::new(),
        work,
        land: asked.land.unwrap_or_else(|| "branch".to_owned()),
        checks: checks(asked.checks)?,
        budget: asked.budget_micro_usd.map(Money),
        timeout: asked.timeout_seconds.map(Duration::from_secs),
        max_attempts: asked.max_attempts,
        sandbox: None,
        network: None,
        no_model: asked.no_model,
    })
}

fn file(file: File) -> Result<ProposedFile, Problem> {
    let path = RelPath::new(&file.path).map_err(|error| Problem::bad_request(error.to_string()))?;
    let wrong = |what: &str| Problem::bad_request(format!("{path}: {what}"));
    let bytes = match (file.content, file.base64, file.delete) {
        (Some(text), None, false) => Some(text.into_bytes()),
        (None, Some(text), false) => {
            Some(STANDARD.decode(text).map_err(|error| wrong(&format!("no base64: {error}")))?)
        }
        (None, None, true) => None,
        _ => return Err(wrong("give content, base64 or delete, and only one of them")),
    };
    let state = bytes.map(|bytes| FileState { bytes, executable: false });
    Ok(ProposedFile { path, file: state, executable: file.executable })
}

/// Proposals, newest first.
#[utoipa::path(
    get, path = "/proposals", tag = "proposals", params(Which), security(("token" = ["read"])),
    responses((status = 200, description = "A page of proposals", body = ProposalPage))
)]
pub(super) async fn list(
    State(shared): App,
    Query(which): Query<Which>,
) -> Result<Json<ProposalPage>, Problem> {
    let limit = super::limit(which.limit, 50, 200)?;
    let text = which.text.filter(|text| !text.is_empty());
    let filter = ProposalFilter { state: which.state, repo: which.repo, text };
    let (rows, next) = page(&shared, &filter, which.cursor.as_deref(), limit).await?;
    Ok(Json(ProposalPage { items: rows.into_iter().map(ProposalItem::from).collect(), next }))
}

/// A page of proposals, and the cursor of the next one.
pub(crate) async fn page(
    shared: &Shared,
    filter: &ProposalFilter,
    after: Option<&str>,
    limit: u32,
) -> Result<(Vec<ProposalRow>, Option<String>), Problem> {
    let mark = after.map(mark).transpose()?;
    let mut rows = shared.store.proposals(filter, mark.as_ref(), limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| cursor_of(row.created_at, &row.id));
    Ok((rows, next))
}

/// A proposal with the runs for it, and the last of them as far as it has begun.
pub(crate) struct Known {
    pub(crate) row: ProposalRow,
    pub(crate) runs: Vec<RunRow>,
    pub(crate) last: Option<Run>,
}

impl Known {
    /// # Errors
    /// 404 where there is none.
    pub(crate) async fn find(shared: &Shared, name: &str) -> Result<Self, Problem> {
        let row = shared.store.proposal(name).await.map_err(Problem::of_lookup)?;
        let runs = shared.store.proposal_runs(&row.id).await?;
        let last = standing::begun(&records(&shared.store, &row.run, 0).await?)?;
        Ok(Self { row, runs, last })
    }

    /// What can be done with it now.
    pub(crate) fn actions(&self) -> Vec<&'static str> {
        let state = self.row.state;
        let can = |act| state.after(act).is_some();
        let mut actions = Vec::new();
        if can(Act::Fix) && self.row.needs_auto_fix {
            actions.push("auto-fix");
        }
        let all = [
            (Act::Approve, "approve"),
            (Act::Apply, "apply"),
            (Act::Reject, "reject"),
            (Act::Test, "test"),
            (Act::RollBack, "roll-back"),
        ];
        actions.extend(all.into_iter().filter(|(act, _)| can(*act)).map(|(_, name)| name));
        if state.is_under_way() {
            actions.push("cancel");
        }
        actions
    }

    /// What a person has to decide.
    pub(crate) fn question(&self) -> Option<Question> {
        let run = self.last.as_ref().filter(|run| standing::waits(run))?;
        Some(Question::of(run))
    }
}

/// All that is known of a proposal.
#[utoipa::path(
    get, path = "/proposals/{proposal}", tag = "proposals",
    params(("proposal" = String, Path, description = "The proposal")), security(("token" = ["read"])),
    responses((status = 200, description = "The proposal", body = ProposalDetail))
)]
pub(super) async fn show(
    State(shared): App,
    Path(name): Path<String>,
) -> Result<Json<ProposalDetail>, Problem> {
    let known = Known::find(&shared, &name).await?;
    let stat = |patch: &Patch| {
        let stat = patch.stat();
        [stat.files, stat.added, stat.removed]
    };
    let last = known.last.as_ref();
    Ok(Json(ProposalDetail {
        actions: known.actions().into_iter().map(str::to_owned).collect(),
        waiting: known.question(),
        proposed: last.and_then(Run::proposed).map(stat),
        repair: last.map(|run| &run.kept).filter(|kept| !kept.is_empty()).map(stat),
        fix_history: super::auto_fix::history(&shared, &known.runs).await?,
        runs: known.runs.iter().map(ProposalRun::from).collect(),
        proposal: known.row.into(),
    }))
}

impl From<&RunRow> for ProposalRun {
    fn from(row: &RunRow) -> Self {
        Self {
            run: row.id.clone(),
            status: row.status.as_str().to_owned(),
            outcome: row.outcome.clone(),
            created_at: row.created_at,
        }
    }
}

/// What a proposal changes on its base, as a unified diff for `git apply`; empty before its test began.
#[utoipa::path(
    get, path = "/proposals/{proposal}/patch", tag = "proposals",
    params(("proposal" = String, Path, description = "The proposal"), Parts), security(("token" = ["read"])),
    responses((status = 200, description = "The patch", body = String, content_type = "text/x-diff"))
)]
pub(super) async fn patch(
    State(shared): App,
    Path(name): Path<String>,
    Query(parts): Query<Parts>,
) -> Result<Response, Problem> {
    let known = Known::find(&shared, &name).await?;
    let patch = known.last.map(|run| match parts.part.unwrap_or_default() {
        Part::All => run.result(),
        Part::Proposed => run.proposed().cloned().unwrap_or_default(),
        Part::Repair => run.kept,
    });
    let text = patch.unwrap_or_default().unified();
    Ok(([(header::CONTENT_TYPE, "text/x-diff; charset=utf-8")], text).into_response())
}

/// Test a proposal again whose tests failed, on its base as it is now.
#[utoipa::path(
    post, path = "/proposals/{proposal}/test", tag = "proposals", security(("token" = ["submit"])),
    params(
        ("proposal" = String, Path, description = "The proposal"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, pattern = "^[!-~]([ -~]*[!-~])?$", description = "Names the call, so that it can be made again"),
    ),
    responses((status = 202, description = "It is in the queue", body = ProposalDone))
)]
pub(super) async fn test(
    State(shared): App,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<ProposalDone>), Problem> {
    let row = shared.store.proposal(&name).await.map_err(Problem::of_lookup)?;
    resubmit(&shared, &row, false, |_| {}).await?;
    done(&shared, &row.id, "it is tested again").await.map(|done| (StatusCode::ACCEPTED, done))
}

/// Puts another run for a proposal into the queue, and gives it.
pub(crate) async fn resubmit(
    shared: &Shared,
    row: &ProposalRow,
    fix: bool,
    limit: impl FnOnce(&mut Request),
) -> Result<String, Problem> {
    let mut request = again(&shared.store, &row.run, fix).await?;
    limit(&mut request);
    let priority = shared.store.run(&row.run).await?.priority.unwrap_or_default();
    let line = Line { priority, ..Line::default() };
    let made = submit(&shared.store, &shared.redactor, &new_id(), &request, &line, None).await;
    made.map(|made| made.run).map_err(Problem::of_action)
}

async fn done(shared: &Shared, id: &str, what: &str) -> Result<Json<ProposalDone>, Problem> {
    let row = shared.store.proposal(id).await?;
    let shown = if row.state == Stands::Applied { row.landed.clone() } else { None };
    let done = shown.map_or(what.to_owned(), |landed| format!("{what}: {landed}"));
    Ok(Json(ProposalDone { proposal: row.id, run: row.run, state: row.state, done }))
}

/// Agree to what a proposal came to, its repair included. It does not land yet.
#[utoipa::path(
    post, path = "/proposals/{proposal}/approve", tag = "proposals", security(("token" = ["approve"])),
    params(
        ("proposal" = String, Path, description = "The proposal"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, pattern = "^[!-~]([ -~]*[!-~])?$", description = "Names the call, so that it can be made again"),
    ),
    request_body = Approval,
    responses((status = 200, description = "Approved", body = ProposalDone))
)]
pub(super) async fn approve(
    State(shared): App,
    caller: Caller,
    Path(name): Path<String>,
    Body(approval): Body<Approval>,
) -> Result<Json<ProposalDone>, Problem> {
    let row = shared.store.proposal(&name).await.map_err(Problem::of_lookup)?;
    let remark = remarked(approval.remark.as_deref())?;
    let approved = shared.actions.approve_proposal(&row, &caller.person(), &approval.patch, remark).await;
    let what = match approved.map_err(Problem::of_action)? {
        Came::Lands => "approved; it may be applied".to_owned(),
        came => came.told(),
    };
    done(&shared, &row.id, &what).await
}

/// Refuse a proposal. Nothing is changed.
#[utoipa::path(
    post, path = "/proposals/{proposal}/reject", tag = "proposals", security(("token" = ["approve"])),
    params(
        ("proposal" = String, Path, description = "The proposal"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, pattern = "^[!-~]([ -~]*[!-~])?$", description = "Names the call, so that it can be made again"),
    ),
    request_body = Rejection,
    responses((status = 200, description = "Refused", body = ProposalDone))
)]
pub(super) async fn reject(
    State(shared): App,
    caller: Caller,
    Path(name): Path<String>,
    Body(rejection): Body<Rejection>,
) -> Result<Json<ProposalDone>, Problem> {
    let row = shared.store.proposal(&name).await.map_err(Problem::of_lookup)?;
    let reason = said(&rejection.reason, "reason")?;
    shared.actions.reject_proposal(&row, &caller.person(), reason).await.map_err(Problem::of_action)?;
    done(&shared, &row.id, "rejected; nothing was changed").await
}

/// Land an approved proposal. A worker does it; follow the run's events.
#[utoipa::path(
    post, path = "/proposals/{proposal}/apply", tag = "proposals", security(("token" = ["approve"])),
    params(
        ("proposal" = String, Path, description = "The proposal"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, pattern = "^[!-~]([ -~]*[!-~])?$", description = "Names the call, so that it can be made again"),
    ),
    responses((status = 202, description = "A worker lands it", body = ProposalDone))
)]
pub(super) async fn apply(
    State(shared): App,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<ProposalDone>), Problem> {
    let row = shared.store.proposal(&name).await.map_err(Problem::of_lookup)?;
    shared.actions.apply_proposal(&row).await.map_err(Problem::of_action)?;
    done(&shared, &row.id, "a worker lands it").await.map(|done| (StatusCode::ACCEPTED, done))
}

/// Take the landing of an applied proposal back.
#[utoipa::path(
    post, path = "/proposals/{proposal}/rollback", tag = "proposals", security(("token" = ["approve"])),
    params(
        ("proposal" = String, Path, description = "The proposal"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, pattern = "^[!-~]([ -~]*[!-~])?$", description = "Names the call, so that it can be made again"),
    ),
    request_body = TakeBack,
    responses((status = 200, description = "Taken back", body = ProposalDone))
)]
pub(super) async fn roll_back(
    State(shared): App,
    Path(name): Path<String>,
    Body(how): Body<TakeBack>,
) -> Result<Json<ProposalDone>, Problem> {
    let row = shared.store.proposal(&name).await.map_err(Problem::of_lookup)?;
    let said = shared.actions.roll_back(&row.run, how.reset).await.map_err(Problem::of_action)?;
    done(&shared, &row.id, &said).await
}
