//! The repos: which there are, how they do, and what holds for them.

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::access::{Caller, Noted};
use super::super::door::Version;
use super::super::problem::Problem;
use super::super::{App, Shared};
use super::approvals::said;
use super::queue::of_request;
use super::runs::RunItem;
use super::{Body, Path, Query};
use crate::outcome::Check;
use crate::repos::{Health, Look, Need, RECENT, kept};
use crate::store::{KnownAs, Pausing, Removal, RepoChange, RepoRow, RunRow};
use crate::usage::Money;

/// Which repos, and how many.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// With this in their root.
    text: Option<String>,
    /// The most that are given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// Where the last page ended: its `next`.
    cursor: Option<String>,
}

/// That no more runs of a repo are begun.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Paused {
    /// Why.
    reason: Option<String>,
    /// Who said so.
    by: Option<String>,
    since: Option<Timestamp>,
}

/// How a repo has been doing, by its last 50 runs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Doing {
    last_run_at: Option<Timestamp>,
    /// How it ended; nothing while it is under way.
    last_outcome: Option<String>,
    /// Runs that were red and are over.
    red: u64,
    /// Those of them that went green.
    healed: u64,
    /// `healed` of `red`, from 0 to 1; nothing where nothing was red.
    rate: Option<f64>,
    /// Runs that did not go green since the last one that ended well.
    failures_in_a_row: u64,
}

/// A repo in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RepoItem {
    /// What calls name it by: its root in base64url (RFC 4648, without padding).
    #[schema(example = "L3Nydi9zaG9w")]
    id: String,
    /// The root of its working tree.
    #[schema(example = "/srv/shop")]
    repo: String,
    /// How many of its runs may be under way at once.
    concurrency: u32,
    /// Why no more of its runs are begun; nothing where they are.
    paused: Option<Paused>,
    /// How many of the queue's runs are under way.
    running: u64,
    /// How many wait in the queue.
    queued: u64,
    /// How many wait for a person.
    waiting: u64,
    /// When it was added; nothing where there are only runs of it.
    added_at: Option<Timestamp>,
    added_by: Option<String>,
    health: Doing,
}

impl RepoItem {
    fn of(row: RepoRow, health: Health) -> Self {
        let rate = health.rate();
        Self {
            id: id_of(&row.repo),
            repo: row.repo,
            concurrency: row.concurrency,
            paused: row.paused.map(|why| Paused { reason: why.reason, by: why.by, since: why.since }),
            running: row.running,
            queued: row.queued,
            waiting: row.waiting,
            added_at: row.added_at,
            added_by: row.added_by,
            health: Doing {
                last_run_at: health.last_run,
                last_outcome: health.last_outcome,
                red: health.red,
                healed: health.healed,
                rate,
                failures_in_a_row: health.failures_in_a_row,
            },
        }
    }
}

/// A page of repos, by their roots.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RepoPage {
    items: Vec<RepoItem>,
    /// What to give as `cursor` for the next page; nothing where this is the last.
    next: Option<String>,
}

/// One thing that a repo's runs need.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NeedItem {
    #[schema(example = "base")]
    name: String,
    /// Whether it is as it should be.
    works: bool,
    /// What was found.
    detail: String,
    /// What a person can do where it is not.
    advice: Option<String>,
}

impl From<Need> for NeedItem {
    fn from(need: Need) -> Self {
        Self { name: need.name.to_owned(), works: need.works, detail: need.detail, advice: need.advice }
    }
}

/// A check of a repo.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CheckItem {
    #[schema(example = "test")]
    name: String,
    /// What it runs.
    #[schema(example = "cargo test")]
    run: String,
    /// The folder it starts in, relative to the root.
    dir: String,
    /// Its limit in seconds.
    timeout_seconds: u64,
    /// Checks that must be green before it makes sense to run it.
    needs: Vec<String>,
}

impl From<Check> for CheckItem {
    fn from(check: Check) -> Self {
        Self {
            run: check.run.display(),
            name: check.name,
            dir: check.dir,
            timeout_seconds: check.timeout.as_secs(),
            needs: check.needs,
        }
    }
}

/// All that is known of a repo.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RepoDetail {
    #[serde(flatten)]
    repo: RepoItem,
    /// What its runs need, as the service's own machine has it.
    needs: Vec<NeedItem>,
    checks: Vec<CheckItem>,
    /// Where the checks are known from: `regreen.toml`, or `detected` from the project's files.
    checks_from: String,
    /// What prepares a fresh tree.
    setup: Option<String>,
    /// What a person should know about the choice of the checks.
    notes: Vec<String>,
    /// What models cost in its runs of the last 30 days, in millionths of a US dollar.
    cost_micro_usd_30_days: u64,
    /// Its last 10 runs.
    recent: Vec<RunItem>,
}

/// A repo to look after.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Addition {
    /// A folder of a git repository on the service's machine.
    #[schema(example = "/srv/shop")]
    repo: String,
    /// How many of its runs may be under way at once; otherwise it stays as it is.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 64)]
    concurrency: Option<u32>,
}

/// What is to hold for a repo; what is not given stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// Whether no more of its runs are begun. What is under way goes on to its end.
    #[serde(default)]
    pub(crate) paused: Option<bool>,
    /// Why it is paused.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 2000, pattern = "\\S")]
    pub(crate) reason: Option<String>,
    /// How many of its runs may be under way at once.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 64)]
    pub(crate) concurrency: Option<u32>,
}

/// What paths call a repo.
pub(crate) fn id_of(repo: &str) -> String {
    URL_SAFE_NO_PAD.encode(repo)
}

/// The repo of a path.
pub(crate) async fn by_id(shared: &Shared, id: &str) -> Result<RepoRow, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(id).ok();
    // PostgreSQL's texts have no NUL.
    let root = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|root| !root.contains('\0'));
    let row = match root {
        Some(root) => shared.store.repo(&root).await?,
        None => None,
    };
    row.ok_or_else(|| Problem::not_found("there is no such repo").hint("GET /api/v1/repos lists them"))
}

/// A page of repos with how they do, and the cursor of the next one.
pub(crate) async fn page(
    shared: &Shared,
    text: Option<&str>,
    after: Option<&str>,
    limit: u32,
) -> Result<(Vec<(RepoRow, Health)>, Option<String>), Problem> {
    let wrong = || Problem::bad_request("the cursor is none that this service gave");
    let decode = |cursor: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        String::from_utf8(bytes).ok().filter(|root| !root.contains('\0'))
    };
    let after = after.map(|cursor| decode(cursor).ok_or_else(wrong)).transpose()?;
    let mut rows = shared.store.repos(after.as_deref(), text, limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| id_of(&row.repo));
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        let health = Health::of(&shared.store.runs_of(&row.repo, RECENT).await?);
        items.push((row, health));
    }
    Ok((items, next))
}

/// What is known of one repo beside its row.
pub(crate) struct Known {
    pub(crate) look: Look,
    pub(crate) health: Health,
    /// The newest first.
    pub(crate) recent: Vec<RunRow>,
    /// Over 30 days.
    pub(crate) cost: Money,
}

/// Looks at a repo.
pub(crate) async fn known(shared: &Shared, repo: &str) -> Result<Known, Problem> {
    let mut recent = shared.store.runs_of(repo, RECENT).await?;
    let health = Health::of(&recent);
    recent.truncate(10);
    let since = shared.clock.now() - SignedDuration::from_hours(24 * 30);
    let cost = shared.store.cost_of_repo(repo, since).await?;
    Ok(Known { look: shared.actions.look(repo).await, health, recent, cost })
}

/// Adds the repository that `named` is or lies in. Gives its root, and whether it is new.
pub(crate) async fn add_named(
    shared: &Shared,
    caller: &Caller,
    named: &str,
    concurrency: Option<u32>,
) -> Result<(String, bool), Problem> {
    let named = std::path::Path::new(named.trim());
    if !named.is_absolute() || named.to_string_lossy().contains('\0') {
        return Err(Problem::bad_request("repo is no absolute path"));
    }
    let most = concurrency.map(at_once).transpose()?;
    let root = shared.actions.root_of(named).await.map_err(of_request)?;
    let new = shared.store.add_repo(&root, &caller.name).await?;
    if let Some(most) = most {
        shared.store.limit_repo(&root, most).await?;
    }
    Ok((root, new))
}

/// The most runs of a repo that may be under way at once.
pub(crate) const AT_ONCE: u32 = 64;

fn at_once(asked: u32) -> Result<u32, Problem> {
    match asked {
        1..=AT_ONCE => Ok(asked),
        _ => Err(Problem::bad_request(format!("concurrency is not between 1 and {AT_ONCE}"))),
    }
}

/// Changes what holds for a repo that stands as the caller knows it, and says what was changed.
pub(crate) async fn change_to(
    shared: &Shared,
    caller: &Caller,
    repo: &str,
    change: &Change,
    known: &KnownAs,
) -> Result<String, Problem> {
    let concurrency = change.concurrency.map(at_once).transpose()?;
    let given = change.reason.as_deref().map(|reason| shared.redactor.redact(reason));
    let pausing = match (change.paused, &given) {
        (Some(true), reason) => {
            let reason = said(reason.as_deref().unwrap_or_default(), "reason")?;
            Some(Pausing::Pause { by: &caller.name, reason })
        }
        (_, Some(_)) => {
            return Err(Problem::bad_request("a reason is for a repo that is paused by this call"));
        }
        (Some(false), None) => Some(Pausing::GoOn),
        (None, None) => None,
    };
    if !shared.store.change_repo(repo, &RepoChange { concurrency, pausing }, known).await? {
        return Err(Problem::changed());
    }
    let mut done = Vec::new();
    done.extend(concurrency.map(|most| format!("concurrency {most}")));
    done.extend(pausing.map(|pausing| match pausing {
        Pausing::Pause { reason, .. } => format!("paused: {reason}"),
        Pausing::GoOn => "goes on".to_owned(),
    }));
    Ok(format!("{repo}: {}", if done.is_empty() { "nothing".to_owned() } else { done.join(", ") }))
}

/// Removes a repo that stands as the caller knows it.
pub(crate) async fn remove_named(shared: &Shared, repo: &str, known: &KnownAs) -> Result<(), Problem> {
    let removal = shared.store.remove_repo(repo, known).await?;
    match (removal, kept(removal)) {
        (_, None) => Ok(()),
        (Removal::Unknown, Some(fault)) => Err(Problem::not_found(fault.message)),
        (Removal::Changed, _) => Err(Problem::changed()),
        (Removal::InQueue(_), Some(fault)) => Err(Problem::of_action(fault.into())),
        (Removal::Done, Some(_)) => Err(Problem::internal()),
    }
}

/// How the caller of a call knows the repo to stand, by `If-Match`. Only the part of a tag counts that says what people set: runs that come and
/// go are in nobody's way.
fn known_as(headers: &HeaderMap) -> Result<KnownAs, Problem> {
    let mut tags = Vec::new();
    for value in headers.get_all(header::IF_MATCH) {
        let value = value.to_str().map_err(|_| Problem::bad_request("If-Match is no list of tags"))?;
        tags.extend(value.split(',').map(|tag| tag.trim().to_owned()));
    }
    if tags.is_empty() || tags.iter().any(|tag| tag == "*") {
        return Ok(KnownAs::Anything);
    }
    // A weak tag never matches here (RFC 9110).
    let version = |tag: &String| {
        let (version, _) = tag.strip_prefix('"')?.strip_suffix('"')?.split_once('.')?;
        Some(version.to_owned())
    };
    Ok(KnownAs::One(tags.iter().filter_map(version).collect()))
}

async fn item(shared: &Shared, repo: &str) -> Result<RepoItem, Problem> {
    let row = shared.store.repo(repo).await?.ok_or_else(Problem::internal)?;
    let health = Health::of(&shared.store.runs_of(repo, RECENT).await?);
    Ok(RepoItem::of(row, health))
}

/// The repos that were added or that there are runs of, by their roots.
#[utoipa::path(
    get, path = "/repos", tag = "repos", params(Which), security(("token" = ["read"])),
    responses((status = 200, description = "A page of repos", body = RepoPage))
)]
pub(super) async fn list(State(shared): App, Query(which): Query<Which>) -> Result<Json<RepoPage>, Problem> {
    let limit = super::limit(which.limit, 50, 200)?;
    let text = which.text.as_deref().filter(|text| !text.is_empty());
    let (items, next) = page(&shared, text, which.cursor.as_deref(), limit).await?;
    let items = items.into_iter().map(|(row, health)| RepoItem::of(row, health)).collect();
    Ok(Json(RepoPage { items, next }))
}

/// All that is known of a repo: its checks, what its runs need, how it has been doing.
#[utoipa::path(
    get, path = "/repos/{repo}", tag = "repos", security(("token" = ["read"])),
    params(("repo" = String, Path, description = "The repo's `id`: its root in base64url")),
    responses((status = 200, description = "The repo", body = RepoDetail))
)]
pub(super) async fn show(
    State(shared): App,
    Path(id): Path<String>,
) -> Result<(Extension<Version>, Json<RepoDetail>), Problem> {
    let row = by_id(&shared, &id).await?;
    let Known { look, health, recent, cost } = known(&shared, &row.repo).await?;
    let version = Extension(Version(row.version()));
    let detail = RepoDetail {
        repo: RepoItem::of(row, health),
        needs: look.needs.into_iter().map(NeedItem::from).collect(),
        checks: look.checks.into_iter().map(CheckItem::from).collect(),
        checks_from: look.known.as_str().to_owned(),
        setup: look.setup.map(|setup| setup.run.display()),
        notes: look.notes,
        cost_micro_usd_30_days: cost.0,
        recent: recent.into_iter().map(|row| RunItem::of(row, &shared.redactor)).collect(),
    };
    Ok((version, Json(detail)))
}

/// Look after a repo: a git repository on the service's machine. Who may only submit can name it from then on.
#[utoipa::path(
    post, path = "/repos", tag = "repos", security(("token" = ["admin"])),
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, pattern = "^[!-~]([ -~]*[!-~])?$", description = "Names the call, so that it can be made again")),
    request_body = Addition,
    responses(
        (status = 201, description = "It is added", body = RepoItem),
        (status = 200, description = "It was added before", body = RepoItem),
    )
)]
pub(super) async fn add(
    State(shared): App,
    caller: Caller,
    Body(addition): Body<Addition>,
) -> Result<Response, Problem> {
    let (root, new) = add_named(&shared, &caller, &addition.repo, addition.concurrency).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    let place = format!("/api/v1/repos/{}", id_of(&root));
    let place = HeaderValue::from_str(&place).map_err(anyhow::Error::from)?;
    let body = Json(item(&shared, &root).await?);
    Ok(Noted(root, (status, [(header::LOCATION, place)], body)).into_response())
}

/// Pause a repo, let it go on, or let more of its runs be under way at once.
#[utoipa::path(
    patch, path = "/repos/{repo}", tag = "repos", security(("token" = ["admin"])),
    params(
        ("repo" = String, Path, description = "The repo's `id`: its root in base64url"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the repo as it was read: nothing is changed where somebody set something since"),
    ),
    request_body = Change,
    responses(
        (status = 200, description = "How it stands now", body = RepoItem),
        (status = 412, description = "It stands otherwise by now", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn change(
    State(shared): App,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(change): Body<Change>,
) -> Result<Response, Problem> {
    let repo = by_id(&shared, &id).await?.repo;
    let done = change_to(&shared, &caller, &repo, &change, &known_as(&headers)?).await?;
    Ok(Noted(done, Json(item(&shared, &repo).await?)).into_response())
}

/// Forget a repo, and what was set for it. Its runs stay, with what was remembered of them, and those that wait for a person can still be decided;
/// the next run of it makes it known again. Refused while any of its runs is in the queue.
#[utoipa::path(
    delete, path = "/repos/{repo}", tag = "repos", security(("token" = ["admin"])),
    params(
        ("repo" = String, Path, description = "The repo's `id`: its root in base64url"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the repo as it was read: it stays where somebody set something since"),
    ),
    responses(
        (status = 204, description = "It is removed"),
        (status = 409, description = "Runs of it are in the queue", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "It stands otherwise by now", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn remove(
    State(shared): App,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let repo = by_id(&shared, &id).await?.repo;
    remove_named(&shared, &repo, &known_as(&headers)?).await?;
    Ok(Noted(format!("{repo}: removed"), StatusCode::NO_CONTENT).into_response())
}
