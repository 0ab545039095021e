//! The repair of a proposal, by one call: it is begun, waited for as long as the caller wants to, and told.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};
use utoipa::{IntoParams, ToSchema};

use super::super::problem::Problem;
use super::super::{App, Shared};
use super::proposals::{Known, resubmit};
use super::runs::word;
use super::{Path, Query};
use crate::proposal::State as Stands;
use crate::run::events::{Decision, Request};
use crate::run::journal::records;
use crate::store::{ProposalRow, RunRow, out_of_turn, short};
use crate::web::standing;

/// How long the answer is waited for unless the caller says otherwise, and at most.
const WAIT: u64 = 20;
const LONGEST: u64 = 50;

/// How a repair is made.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FixOrder {
    /// The most attempts; otherwise as configured.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1000)]
    max_attempts: Option<u32>,
    /// Use no model: only what costs nothing.
    #[serde(default)]
    no_model: bool,
    /// Try though it was found that no repair is possible (`needs_auto_fix` is false).
    #[serde(default)]
    force: bool,
}

/// How long to wait.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Patience {
    /// Seconds that the answer may take until the repair is over; the header `Prefer: wait=N` says the same.
    #[param(minimum = 0, maximum = 50, default = 20)]
    wait: Option<u64>,
}

/// One attempt at a repair.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tried {
    /// The run that made it.
    run: String,
    /// Its number in that run, from 1.
    attempt: u32,
    /// Who proposed the patch.
    #[schema(example = "codefix(python)")]
    fixer: String,
    /// The model that was asked, if one was.
    model: Option<String>,
    /// What became of it: `green`, `keep`, `drop`, `pass`; nothing while it is made.
    decision: Option<String>,
    /// Why.
    reason: Option<String>,
    /// The fixer's words.
    explanation: String,
    /// What its calls of models cost, in millionths of a US dollar.
    cost_micro_usd: u64,
    began_at: Timestamp,
    ended_at: Option<Timestamp>,
}

/// What came of a repair, or how far it is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FixAnswer {
    /// Whether the proposal's tests pass now.
    success: bool,
    /// Whether a repair is part of the proposal.
    fix_applied: bool,
    /// Attempts that had something to offer.
    attempts: u64,
    /// What was repaired, or why it could not be, or what is being done.
    explanation: String,
    /// What to do next.
    next_step: String,
    /// What was tried, oldest first.
    fix_history: Vec<Tried>,
}

/// How the repair of a proposal stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FixStatus {
    /// Whether its tests fail in a way that a repair may end.
    needs_auto_fix: bool,
    /// Whether a repair is part of it.
    auto_fix_applied: bool,
    /// Attempts that had something to offer.
    auto_fix_attempts: u64,
}

/// Repair what a proposal broke. The answer comes when that is over, or when the wait is (202); called again meanwhile, it waits on.
#[utoipa::path(
    post, path = "/proposals/{proposal}/auto-fix", tag = "proposals", security(("token" = ["submit"])),
    params(
        ("proposal" = String, Path, description = "The proposal"),
        Patience,
        ("Prefer" = Option<String>, Header, description = "`wait=N`: seconds that the answer may take"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, pattern = "^[!-~]([ -~]*[!-~])?$", description = "Names the call, so that it can be made again"),
    ),
    request_body = Option<FixOrder>,
    responses(
        (status = 200, description = "It is over", body = FixAnswer),
        (status = 202, description = "It is still under way", body = FixAnswer),
    )
)]
pub(super) async fn post(
    State(shared): App,
    Path(name): Path<String>,
    Query(patience): Query<Patience>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    answer(&shared, &name, patience, &headers, &body).await
}

/// The same under its older path.
#[utoipa::path(
    post, path = "/admin/proposals/auto-fix/{proposal}", tag = "proposals", security(("token" = ["submit"])),
    params(
        ("proposal" = String, Path, description = "The proposal"),
        Patience,
        ("Prefer" = Option<String>, Header, description = "`wait=N`: seconds that the answer may take"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, pattern = "^[!-~]([ -~]*[!-~])?$", description = "Names the call, so that it can be made again"),
    ),
    request_body = Option<FixOrder>,
    responses(
        (status = 200, description = "It is over", body = FixAnswer),
        (status = 202, description = "It is still under way", body = FixAnswer),
    )
)]
pub(super) async fn older_post(
    State(shared): App,
    Path(name): Path<String>,
    Query(patience): Query<Patience>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    answer(&shared, &name, patience, &headers, &body).await
}

/// How the repair of a proposal stands.
#[utoipa::path(
    get, path = "/proposals/{proposal}/auto-fix/status", tag = "proposals",
    params(("proposal" = String, Path, description = "The proposal")), security(("token" = ["read"])),
    responses((status = 200, description = "How it stands", body = FixStatus))
)]
pub(super) async fn status(State(shared): App, Path(name): Path<String>) -> Result<Json<FixStatus>, Problem> {
    stands(&shared, &name).await
}

/// The same under its older path.
#[utoipa::path(
    get, path = "/admin/proposals/auto-fix/status/{proposal}", tag = "proposals",
    params(("proposal" = String, Path, description = "The proposal")), security(("token" = ["read"])),
    responses((status = 200, description = "How it stands", body = FixStatus))
)]
pub(super) async fn older_status(
    State(shared): App,
    Path(name): Path<String>,
) -> Result<Json<FixStatus>, Problem> {
    stands(&shared, &name).await
}

async fn stands(shared: &Shared, name: &str) -> Result<Json<FixStatus>, Problem> {
    let row = shared.store.proposal(name).await.map_err(Problem::of_lookup)?;
    Ok(Json(FixStatus {
        needs_auto_fix: row.needs_auto_fix,
        auto_fix_applied: row.auto_fix_applied,
        auto_fix_attempts: row.auto_fix_attempts,
    }))
}

async fn answer(
    shared: &Shared,
    name: &str,
    patience: Patience,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Problem> {
    let order = match body.iter().all(u8::is_ascii_whitespace) {
        true => FixOrder::default(),
        false => serde_json::from_slice::<Option<FixOrder>>(body)
            .map_err(|error| Problem::bad_request(format!("the body cannot be read: {error}")))?
            .unwrap_or_default(),
    };
    if order.max_attempts.is_some_and(|most| !(1..=1000).contains(&most)) {
        return Err(Problem::bad_request("max_attempts is not between 1 and 1000"));
    }
    let preferred = preferred(headers);
    let wait = patience.wait.or(preferred).unwrap_or(WAIT);
    if wait > LONGEST && patience.wait.is_some() {
        return Err(Problem::bad_request(format!("wait is larger than {LONGEST}")));
    }
    let wait = wait.min(LONGEST);
    let row = shared.store.proposal(name).await.map_err(Problem::of_lookup)?;
    begin(shared, &row, &order).await?;
    let row = settled(shared, &row.id, Duration::from_secs(wait)).await?;
    let known = Known::find(shared, &row.id).await?;
    let over = !known.row.state.is_under_way();
    let told = FixAnswer {
        success: passes(known.row.state),
        fix_applied: known.row.auto_fix_applied,
        attempts: known.row.auto_fix_attempts,
        explanation: explanation(&known),
        next_step: next_step(&known),
        fix_history: history(shared, &known.runs).await?,
    };
    let status = if over { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = (status, Json(told)).into_response();
    let run =
        HeaderValue::from_str(&format!("/api/v1/runs/{}", known.row.run)).map_err(anyhow::Error::from)?;
    response.headers_mut().insert(header::CONTENT_LOCATION, run);
    if preferred.is_some() && patience.wait.is_none() {
        let applied = HeaderValue::from_str(&format!("wait={wait}")).map_err(anyhow::Error::from)?;
        response.headers_mut().insert("preference-applied", applied);
    }
    Ok(response)
}

/// The seconds of `Prefer: wait=N` (RFC 7240).
fn preferred(headers: &HeaderMap) -> Option<u64> {
    let all = headers.get_all("prefer").into_iter().filter_map(|value| value.to_str().ok());
    let words = all.flat_map(|value| value.split([',', ';']));
    words.filter_map(|word| word.trim().strip_prefix("wait=")).find_map(|seconds| seconds.trim().parse().ok())
}

fn passes(state: Stands) -> bool {
    matches!(state, Stands::TestsPassed | Stands::Approved | Stands::Applied)
}

/// Puts a run that repairs into the queue, unless one is there, or there is nothing to repair.
async fn begin(shared: &Shared, row: &ProposalRow, order: &FixOrder) -> Result<(), Problem> {
    match row.state {
        Stands::TestsFailed if row.needs_auto_fix || order.force => {}
        Stands::Rejected | Stands::RolledBack => {
            return Err(Problem::of_action(out_of_turn(row.state, crate::proposal::Act::Fix).into()));
        }
        _ => return Ok(()),
    }
    let limit = |request: &mut Request| {
        request.max_attempts = order.max_attempts.or(request.max_attempts);
        request.no_model |= order.no_model;
    };
    match resubmit(shared, row, true, limit).await {
        Ok(_) => Ok(()),
        // Somebody else asked for it a moment ago: their run is waited for.
        Err(problem) => match shared.store.proposal(&row.id).await?.state {
            Stands::TestsFailed => Err(problem),
            _ => Ok(()),
        },
    }
}

/// Waits until no run works on the proposal, or the time is up.
async fn settled(shared: &Shared, id: &str, wait: Duration) -> Result<ProposalRow, Problem> {
    let until = Instant::now() + wait;
    let mut pulse = shared.pulse.listen();
    loop {
        // Asked for before the store is read: what happens after the reading is heard.
        pulse.seen();
        let row = shared.store.proposal(id).await?;
        if !row.state.is_under_way() || timeout_at(until, pulse.next()).await.is_err() {
            return Ok(row);
        }
    }
}

/// What was tried in these runs, oldest first.
pub(super) async fn history(shared: &Shared, runs: &[RunRow]) -> Result<Vec<Tried>, Problem> {
    let mut all = Vec::new();
    for row in runs.iter().filter(|row| row.attempts > 0 || row.outcome.is_none()) {
        let Some(run) = standing::begun(&records(&shared.store, &row.id, 0).await?)? else { continue };
        let redact = |text: &str| shared.redactor.redact(text).into_owned();
        all.extend(run.attempts.iter().map(|attempt| Tried {
            run: row.id.clone(),
            attempt: attempt.attempt,
            fixer: attempt.fixer.clone(),
            model: attempt.model.clone(),
            decision: attempt.decision.as_ref().and_then(|(decision, _)| word(decision)),
            reason: attempt.decision.as_ref().map(|(_, reason)| redact(reason)),
            explanation: redact(&attempt.explanation),
            cost_micro_usd: attempt.cost.0,
            began_at: attempt.began,
            ended_at: attempt.ended,
        }));
    }
    Ok(all)
}

fn explanation(known: &Known) -> String {
    let row = &known.row;
    if passes(row.state) {
        let run = known.last.as_ref();
        let worked = run.iter().flat_map(|run| &run.attempts).filter(|attempt| attempt.worked());
        let said: Vec<&str> =
            worked.map(|attempt| attempt.explanation.trim()).filter(|text| !text.is_empty()).collect();
        return match said.as_slice() {
            [] => "its tests pass without a repair".to_owned(),
            said => said.join("\n\n"),
        };
    }
    if row.state.is_under_way() {
        let tried = known.last.iter().flat_map(|run| &run.attempts);
        let tried = tried.filter(|one| !matches!(one.decision, Some((Decision::Pass, _)))).count();
        return match row.state {
            Stands::Fixing => {
                format!("it is being repaired by run {}, attempt {}", short(&row.run), tried.max(1))
            }
            state => {
                format!("it is not known yet what is wrong: run {} is {}", short(&row.run), state.words())
            }
        };
    }
    row.reason.clone().unwrap_or_else(|| format!("it is {}", row.state.words()))
}

fn next_step(known: &Known) -> String {
    let row = &known.row;
    let at = format!("/api/v1/proposals/{}", row.id);
    match row.state {
        Stands::TestsPassed => format!("a person looks at it and approves it: POST {at}/approve, or rejects it"),
        Stands::Approved => format!("apply it: POST {at}/apply"),
        Stands::Applied => "nothing: it is applied".to_owned(),
        Stands::TestsFailed if row.needs_auto_fix => {
            format!("a person looks at the failures; or try again with more attempts or a model: POST {at}/auto-fix")
        }
        Stands::TestsFailed => "a person has to look: no repair is possible as it stands; propose it anew, test it again or reject it".to_owned(),
        _ => format!("wait: call this again, or follow /api/v1/runs/{}/events", row.run),
    }
}
