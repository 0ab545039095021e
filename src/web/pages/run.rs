//! One run: what happened, what it led to, and what can be done about it.

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use minijinja::{Value, context};
use serde::Deserialize;

use super::{Broken, Nothing, Sealed, page as respond, shown};
use crate::clock::human;
use crate::patch::RelPath;
use crate::policy::{Assessment, Reason, Risk, Terms};
use crate::run::Run;
use crate::run::journal::{records, ticket_of};
use crate::store::{Standing, Status};
use crate::web::access::{Caller, Scope};
use crate::web::api::approvals::{answer as answered, said};
use crate::web::api::{Path, Query};
use crate::web::problem::Problem;
use crate::web::{Answer, App, Came, Shared, Which, log, standing, story};

/// What was just done, for the line that says so.
#[derive(Debug, Default, Deserialize)]
pub(super) struct After {
    #[serde(default)]
    pub(super) done: String,
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
    let queued = shared.store.queued(&row.id).await?;
    let cut_off = standing::cut_off(&shared.store, &row).await?;
    let begun = standing::begun(&records)?;
    let (word, tone) = shown::standing(&row, cut_off);
    let allowed = |action: &&str| caller.may(scope_of(action));
    let actions = standing::actions(begun.as_ref(), &row, queued.as_ref());
    let actions: Vec<&str> = actions.into_iter().filter(allowed).collect();
    let done = match after.done.as_str() {
        "agreed" => "You approved the patch; it waits for others to agree.",
        "approved" => "You approved the patch; it lands now.",
        "chosen" => "You chose this candidate; it is proven first, and lands if it holds.",
        "rejected" => "You rejected the patch; nothing was changed.",
        "rolled-back" => "The landing was taken back.",
        "cancelled" => "You called the run off.",
        "retried" => "The run is in the queue.",
        _ => "",
    };
    let paused = match &queued {
        Some(queued) if queued.standing != Standing::Running => shared.store.repo(&row.repo).await?,
        _ => None,
    };
    let paused = paused.and_then(|repo| repo.paused);
    let common = context! {
        proposal => shared.store.proposal_of(&row.id).await?,
        paused => paused.map(|pause| context! { reason => pause.reason, by => pause.by }),
        run => shown::row(&row, cut_off, &shared.redactor), word, tone, done, actions, cut_off,
        finished => row.status == Status::Finished,
        queued => queued.map(|queued| context! {
            state => queued.standing.as_str(), priority => queued.priority.as_str(), reason => queued.reason,
            worker => queued.worker, cancelled => queued.cancelled,
        }),
    };
    let Some(run) = begun else {
        return respond(&shared, &caller, "queued.html", common).await;
    };
    let redactor = shared.redactor.clone();
    // Comparing and colouring files takes its time.
    let told = tokio::task::spawn_blocking(move || (story::tell(&run, &records, &redactor), run)).await;
    let (story, run) = told.map_err(anyhow::Error::from)?;
    let cause = run.cause().map(|one| context! { place => one.place(), message => one.message });
    let values = context! {
        story, cause,
        base => row.base, land => run.spec.land, took => human(run.took), ran => human(run.ran),
        budget => run.spec.budget.0, cost => run.own.0, complaints => run.complaints(),
        reasons => if standing::waits(&run) { run.approval.clone() } else { Vec::new() },
        question => question(&shared, &run), risk => run.assessed.as_ref().map(risk),
        patch => run.result().digest(), parent => ticket_of(&run),
        has_postmortem => shared.store.postmortem(&row.id).await.is_ok(),
        stopped => run.stopped.as_ref().map(|(_, why, look_at)| context! { why, look_at }),
        warnings => run.warnings, rolled_back => run.rolled_back,
        credited => run.credited(), subtasks => run.subtasks,
        moves_branch => run.landed.as_ref().and_then(Option::as_ref)
            .is_some_and(|landed| landed.commit().is_some()),
    };
    respond(&shared, &caller, "run.html", context! { ..common, ..values }).await
}

/// How the question stands that people are asked.
fn question(shared: &Shared, run: &Run) -> Option<Value> {
    let question = run.question.as_ref().filter(|_| standing::waits(run))?;
    Some(context! {
        people => question.people, agreed => run.supporters(), except => question.except,
        expires => question.expires.to_string(), over => run.has_lapsed(shared.clock.now()),
    })
}

/// Files of a reason that are shown.
const PATHS: usize = 8;

/// How risky the patch is, and why.
fn risk((assessment, terms): &(Assessment, Terms)) -> Value {
    let tone = |risk: Risk| match risk {
        Risk::Green => "good",
        Risk::Yellow => "care",
        Risk::Red => "bad",
    };
    let reason = |reason: &Reason| {
        let paths: Vec<&str> = reason.paths.iter().take(PATHS).map(RelPath::as_str).collect();
        context! {
            risk => reason.risk.as_str(), tone => tone(reason.risk), text => reason.text, rule => reason.rule,
            more => reason.paths.len() - paths.len(), paths,
        }
    };
    let reasons: Vec<Value> = assessment.reasons.iter().map(reason).collect();
    context! {
        risk => assessment.risk.as_str(), tone => tone(assessment.risk), reasons,
        environment => terms.environment.as_str(), ruling => terms.ruling.as_str(),
    }
}

/// What one has to be allowed to do this.
fn scope_of(action: &str) -> Scope {
    match action {
        "cancel" | "retry" => Scope::Submit,
        _ => Scope::Approve,
    }
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
    let log = log::log(&shared, &row.id, seq).await?;
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
        id => row.id, goal => shared.redactor.redact(&row.goal), seq, check => log.check, only_end => log.only_end, lines, q => search.q,
        found, left_out,
    };
    respond(&shared, &caller, "log.html", values).await
}

/// What the form says of a patch that is agreed to.
#[derive(Debug, Deserialize)]
pub(super) struct Approval {
    pub(super) patch: String,
}

/// What the form says of one that is not.
#[derive(Debug, Deserialize)]
pub(super) struct Rejection {
    pub(super) reason: String,
}

/// How a landing is taken back.
#[derive(Debug, Deserialize)]
pub(super) struct TakeBack {
    #[serde(default)]
    pub(super) reset: Option<String>,
}

async fn known(shared: &Shared, caller: &Caller, name: &str, action: &str) -> Result<String, Problem> {
    caller.needs(scope_of(action))?;
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
    let answer = Answer::Approve { patch: Which::Digest(form.patch), remark: None };
    let (run, came) = answered(&shared, &caller, &name, answer).await?;
    let done = match came {
        Came::Proves(_) => "chosen",
        Came::Waits { .. } => "agreed",
        Came::Lands | Came::Refused => "approved",
    };
    Ok(back(&run, done))
}

/// Refuses a patch.
pub(super) async fn reject(
    State(shared): App,
    Path(name): Path<String>,
    Sealed { caller, form }: Sealed<Rejection>,
) -> Result<Response, Broken> {
    let reason = said(&form.reason, "reason")?.to_owned();
    Ok(back(&answered(&shared, &caller, &name, Answer::Reject { reason }).await?.0, "rejected"))
}

/// Takes a landing back.
pub(super) async fn roll_back(
    State(shared): App,
    Path(name): Path<String>,
    Sealed { caller, form }: Sealed<TakeBack>,
) -> Result<Response, Broken> {
    let run = known(&shared, &caller, &name, "roll-back").await?;
    shared.actions.roll_back(&run, form.reset.is_some()).await.map_err(Problem::of_action)?;
    Ok(back(&run, "rolled-back"))
}

/// Calls a run of the queue off.
pub(super) async fn cancel(
    State(shared): App,
    Path(name): Path<String>,
    Sealed { caller, .. }: Sealed<Nothing>,
) -> Result<Response, Broken> {
    let run = known(&shared, &caller, &name, "cancel").await?;
    shared.actions.cancel(&run).await.map_err(Problem::of_action)?;
    Ok(back(&run, "cancelled"))
}

/// Puts a run into the queue again.
pub(super) async fn retry(
    State(shared): App,
    Path(name): Path<String>,
    Sealed { caller, .. }: Sealed<Nothing>,
) -> Result<Response, Broken> {
    let run = known(&shared, &caller, &name, "retry").await?;
    let again = shared.actions.retry(&run, &caller.person()).await.map_err(Problem::of_action)?;
    Ok(back(&again, "retried"))
}
