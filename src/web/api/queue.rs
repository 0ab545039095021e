//! The queue: runs that are asked for, called off, and asked for again.

use std::path::{Path as FsPath, PathBuf};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::access::{Caller, Scope};
use super::super::problem::Problem;
use super::super::{App, Shared};
use super::approvals::Done;
use super::{Body, Path};
use crate::fault::Fault;
use crate::landing::Land;
use crate::plan::Ticket;
use crate::run::events::{Request, Work};
use crate::run::queued::{self, Line};
use crate::store;
use crate::usage::Money;

/// How urgent a run is. More urgent ones overtake it for 15 minutes per step at most.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Priority {
    Urgent,
    High,
    #[default]
    Normal,
    Low,
}

impl From<Priority> for store::Priority {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Urgent => store::Priority::Urgent,
            Priority::High => store::Priority::High,
            Priority::Normal => store::Priority::Normal,
            Priority::Low => store::Priority::Low,
        }
    }
}

/// A check that must not get worse.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Check {
    /// Letters, digits and `-_.:`.
    #[schema(example = "lint")]
    name: String,
    /// A line for a shell.
    #[schema(example = "npm run lint")]
    run: String,
}

/// What is to be done: a command that should exit 0, or a ticket that should be implemented.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Submission {
    /// The root of the repo's working tree on the workers' machines. Who is no administrator names one that was added or that there are runs of.
    #[schema(example = "/srv/shop")]
    repo: String,
    /// The folder that the command starts in, relative to the root.
    #[serde(default)]
    dir: String,
    /// The command that should exit 0: program and arguments.
    #[serde(default)]
    #[schema(example = json!(["cargo", "test"]))]
    command: Option<Vec<String>>,
    /// The ticket that should be implemented, in Markdown.
    #[serde(default)]
    ticket: Option<String>,
    /// Where a proven patch goes: `branch`, `branch=NAME`, `commit`, `none`.
    #[serde(default)]
    #[schema(default = "branch")]
    land: Option<String>,
    /// Other checks that must not get worse.
    #[serde(default)]
    #[schema(max_items = 32)]
    checks: Vec<Check>,
    #[serde(default)]
    priority: Priority,
    /// A name for this piece of work: submitted again with the same one, it is the same run.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200)]
    key: Option<String>,
    /// Begin no sooner than after so many seconds.
    #[serde(default)]
    #[schema(maximum = 2_592_000)]
    delay_seconds: u64,
    /// The most that models may cost, in millionths of a US dollar; otherwise as configured.
    #[serde(default)]
    budget_micro_usd: Option<u64>,
    /// Wall time for the whole run; otherwise as configured.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 604_800)]
    timeout_seconds: Option<u64>,
    /// Attempts over the whole ladder; otherwise as the ladder says.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1000)]
    max_attempts: Option<u32>,
    /// Use no model: only what costs nothing.
    #[serde(default)]
    no_model: bool,
}

/// A run that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Submitted {
    /// The run.
    run: String,
    /// Whether it is a new one; otherwise the key was submitted before.
    new: bool,
}

/// A run in the queue.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QueueItem {
    run: String,
    repo: String,
    #[schema(example = "normal")]
    priority: String,
    /// `queued`, `delayed`, `blocked`, `running`.
    state: String,
    /// When its turn comes at the latest.
    due_at: Timestamp,
    submitted_at: Timestamp,
    claimed_at: Option<Timestamp>,
    /// The worker that has it.
    worker: Option<String>,
    /// How many workers died while they had it.
    deaths: u32,
    /// Whether it is called off.
    cancelled: bool,
    /// Why it is blocked or delayed.
    reason: Option<String>,
}

/// The queue.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Queue {
    queued: u64,
    delayed: u64,
    blocked: u64,
    running: u64,
    /// Those under way first, then by when they are due; at most 200.
    items: Vec<QueueItem>,
}

/// Put a run into the queue, for a worker to do.
#[utoipa::path(
    post, path = "/runs", tag = "runs", security(("token" = ["submit"])),
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, pattern = "^[!-~]([ -~]*[!-~])?$", description = "Names the call, so that it can be made again")),
    request_body = Submission,
    responses(
        (status = 201, description = "It is in the queue", body = Submitted),
        (status = 200, description = "It was submitted before, with the same key", body = Submitted),
    )
)]
pub(super) async fn submit(
    State(shared): App,
    caller: Caller,
    Body(submission): Body<Submission>,
) -> Result<Response, Problem> {
    let line = Line {
        priority: submission.priority.into(),
        key: submission.key.clone(),
        delay: Duration::from_secs(submission.delay_seconds.min(2_592_000)),
    };
    let request = request(&shared, &caller, submission).await?;
    let id = uuid::Uuid::now_v7().simple().to_string();
    let done = queued::submit(&shared.store, &shared.redactor, &id, &request, &line)
        .await
        .map_err(Problem::of_action)?;
    let status = if done.new { StatusCode::CREATED } else { StatusCode::OK };
    let place = HeaderValue::from_str(&format!("/api/v1/runs/{}", done.run)).map_err(anyhow::Error::from)?;
    let body = Json(Submitted { run: done.run, new: done.new });
    Ok((status, [(header::LOCATION, place)], body).into_response())
}

async fn request(shared: &Shared, caller: &Caller, asked: Submission) -> Result<Request, Problem> {
    let wrong = |what: &str| Problem::bad_request(what);
    let repo = PathBuf::from(&asked.repo);
    let dots = |path: &FsPath| path.components().any(|part| matches!(part, std::path::Component::ParentDir));
    if !repo.is_absolute() || dots(&repo) || asked.repo.contains('\0') || asked.repo.len() > 4096 {
        return Err(wrong("repo is no absolute path"));
    }
    let dir = FsPath::new(&asked.dir);
    if dir.is_absolute() || dots(dir) || asked.dir.contains('\0') {
        return Err(wrong("dir is no folder below the repo's root"));
    }
    // A command sees the whole tree: who may only submit does not choose a folder that nobody gave to Regreen.
    if !caller.may(Scope::Admin) && !shared.store.knows_repo(&asked.repo).await? {
        return Err(Problem::forbidden("nobody gave this repo to Regreen")
            .hint("an administrator adds it, or `regreen repo add` on the machine itself"));
    }
    let work = match (asked.command, asked.ticket) {
        (Some(command), None) => match command.first() {
            Some(program) if !program.is_empty() && command.iter().all(|word| !word.contains('\0')) => {
                Work::Command(command)
            }
            _ => return Err(wrong("command is no program with arguments")),
        },
        (None, Some(text)) => {
            let ticket = Ticket::parse(&text, "the API").map_err(of_request)?;
            Work::Ticket(serde_json::to_value(ticket).map_err(anyhow::Error::from)?)
        }
        _ => return Err(wrong("give either command or ticket")),
    };
    let land: Land =
        asked.land.as_deref().unwrap_or("branch").parse().map_err(|fault: Fault| of_request(fault.into()))?;
    match (&land, &work) {
        (Land::Worktree, _) => {
            return Err(wrong("nobody looks at the working tree of a queued run: land it elsewhere"));
        }
        (Land::Branch(_) | Land::Pr(_), _) | (_, Work::Command(_)) => {}
        _ => return Err(wrong("a ticket's commits go to a branch of their own")),
    }
    if asked.max_attempts.is_some_and(|most| !(1..=1000).contains(&most)) {
        return Err(wrong("max_attempts is not between 1 and 1000"));
    }
    if asked.timeout_seconds.is_some_and(|most| !(1..=604_800).contains(&most)) {
        return Err(wrong("timeout_seconds is not between 1 and 604800"));
    }
    Ok(Request {
        repo,
        dir: asked.dir,
        work,
        land: land.to_string(),
        checks: checks(asked.checks)?,
        budget: asked.budget_micro_usd.map(Money),
        timeout: asked.timeout_seconds.map(Duration::from_secs),
        max_attempts: asked.max_attempts,
        sandbox: None,
        network: None,
        no_model: asked.no_model,
        by: Some(caller.person()),
        origin: None,
    })
}

/// Checks as they are asked for: names and lines for a shell.
pub(super) fn checks(asked: Vec<Check>) -> Result<Vec<(String, String)>, Problem> {
    let named = |check: &Check| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        !check.name.is_empty()
            && check.name.len() <= 64
            && check.name != crate::config::GOAL
            && check.name.chars().all(plain)
            && !check.run.trim().is_empty()
            && !check.run.contains('\0')
    };
    if asked.len() > 32 || !asked.iter().all(named) {
        return Err(Problem::bad_request(
            "checks are at most 32, each with a plain name other than `goal` and a line for a shell",
        ));
    }
    Ok(asked.into_iter().map(|check| (check.name, check.run)).collect())
}

/// A request that cannot be done whatever the service does.
pub(super) fn of_request(error: anyhow::Error) -> Problem {
    match error.downcast_ref::<Fault>() {
        Some(fault) => {
            let problem = Problem::bad_request(fault.message.clone());
            match &fault.hint {
                Some(hint) => problem.hint(hint.clone()),
                None => problem,
            }
        }
        None => error.into(),
    }
}

/// Call a run of the queue off. One that a worker has ends soon after.
#[utoipa::path(
    post, path = "/runs/{run}/cancel", tag = "runs", security(("token" = ["submit"])),
    params(
        ("run" = String, Path, description = "The run"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, pattern = "^[!-~]([ -~]*[!-~])?$", description = "Names the call, so that it can be made again"),
    ),
    responses((status = 200, description = "Called off", body = Done))
)]
pub(super) async fn cancel(State(shared): App, Path(run): Path<String>) -> Result<Json<Done>, Problem> {
    let run = shared.store.run(&run).await.map_err(Problem::of_lookup)?.id;
    let done = shared.actions.cancel(&run).await.map_err(Problem::of_action)?;
    Ok(Json(Done { run, done }))
}

/// Put a run into the queue again: one that is blocked or delayed there, or one that is over, as a new run.
#[utoipa::path(
    post, path = "/runs/{run}/retry", tag = "runs", security(("token" = ["submit"])),
    params(
        ("run" = String, Path, description = "The run"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, pattern = "^[!-~]([ -~]*[!-~])?$", description = "Names the call, so that it can be made again"),
    ),
    responses((status = 200, description = "It is in the queue; the run that it is now", body = Done))
)]
pub(super) async fn retry(
    State(shared): App,
    caller: Caller,
    Path(run): Path<String>,
) -> Result<Json<Done>, Problem> {
    let run = shared.store.run(&run).await.map_err(Problem::of_lookup)?.id;
    let again = shared.actions.retry(&run, &caller.person()).await.map_err(Problem::of_action)?;
    let done = if again == run { "it may be begun at once" } else { "it is in the queue as a new run" };
    Ok(Json(Done { run: again, done: done.to_owned() }))
}

/// What waits for workers, and what they have.
#[utoipa::path(
    get, path = "/queue", tag = "runs", security(("token" = ["read"])),
    responses((status = 200, description = "The queue", body = Queue))
)]
pub(super) async fn list(State(shared): App) -> Result<Json<Queue>, Problem> {
    let depth = shared.store.depth().await?;
    let item = |queued: store::Queued| QueueItem {
        run: queued.run,
        repo: queued.repo,
        priority: queued.priority.as_str().to_owned(),
        state: queued.standing.as_str().to_owned(),
        due_at: queued.due,
        submitted_at: queued.submitted_at,
        claimed_at: queued.claimed_at,
        worker: queued.worker,
        deaths: queued.deaths,
        cancelled: queued.cancelled,
        reason: queued.reason,
    };
    let items = shared.store.queue(200).await?.into_iter().map(item).collect();
    let store::Depth { queued, delayed, blocked, running } = depth;
    Ok(Json(Queue { queued, delayed, blocked, running, items }))
}
