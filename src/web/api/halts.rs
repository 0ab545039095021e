//! The kill switch.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::access::Caller;
use super::super::problem::Problem;
use super::super::{App, Shared};
use super::Body;
use super::approvals::said;
use crate::store;

/// What is halted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Halt {
    /// The repo's root; nothing where everything is halted.
    repo: Option<String>,
    /// Since when.
    at: Timestamp,
    /// Who did it: a token's name, or a user of the command line.
    by: String,
    /// Why.
    reason: String,
}

impl From<store::Halt> for Halt {
    fn from(halt: store::Halt) -> Self {
        Self { repo: halt.repo, at: halt.at, by: halt.person, reason: halt.reason }
    }
}

/// All that is halted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Halts {
    /// Everything first, then repos by name.
    items: Vec<Halt>,
}

/// What is to be halted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ToHalt {
    /// A repo's root; everything where it is left away.
    #[serde(default)]
    #[schema(example = "/srv/shop")]
    repo: Option<String>,
    /// Why, for those who find their runs stopped.
    #[schema(min_length = 1, max_length = 2000, pattern = "\\S")]
    reason: String,
}

/// Which halt is to be lifted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ToLift {
    /// A repo's root; that of everything where it is left away.
    #[serde(default)]
    repo: Option<String>,
}

/// What is halted.
#[utoipa::path(
    get, path = "/halts", tag = "service", security(("token" = ["read"])),
    responses((status = 200, description = "What is halted", body = Halts))
)]
pub(super) async fn list(State(shared): App) -> Result<Json<Halts>, Problem> {
    all(&shared).await
}

/// Halt a repo, or everything: no model is asked, no command runs and nothing lands until it is lifted. What is halted already stays as it is.
#[utoipa::path(
    post, path = "/halts", tag = "service", security(("token" = ["admin"])),
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, pattern = "^[!-~]([ -~]*[!-~])?$", description = "Names the call, so that it can be made again")),
    request_body = ToHalt,
    responses((status = 200, description = "What is halted now", body = Halts))
)]
pub(super) async fn halt(
    State(shared): App,
    caller: Caller,
    Body(asked): Body<ToHalt>,
) -> Result<Json<Halts>, Problem> {
    halted(&shared, &caller, asked.repo.as_deref(), &asked.reason).await?;
    all(&shared).await
}

/// Lift a halt: that of a repo, or that of everything.
#[utoipa::path(
    post, path = "/halts/lift", tag = "service", security(("token" = ["admin"])),
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, pattern = "^[!-~]([ -~]*[!-~])?$", description = "Names the call, so that it can be made again")),
    request_body = ToLift,
    responses((status = 200, description = "What is still halted", body = Halts))
)]
pub(super) async fn unhalt(State(shared): App, Body(asked): Body<ToLift>) -> Result<Json<Halts>, Problem> {
    lifted(&shared, asked.repo.as_deref()).await?;
    all(&shared).await
}

async fn all(shared: &Shared) -> Result<Json<Halts>, Problem> {
    let items = shared.store.halts().await?.into_iter().map(Halt::from).collect();
    Ok(Json(Halts { items }))
}

/// Halts a repo that there are runs of, or with `None` everything.
pub(crate) async fn halted(
    shared: &Shared,
    caller: &Caller,
    repo: Option<&str>,
    reason: &str,
) -> Result<(), Problem> {
    let reason = shared.redactor.redact(said(reason, "reason")?).into_owned();
    if let Some(repo) = repo
        && !shared.store.knows_repo(repo).await?
    {
        return Err(Problem::not_found("there are no runs of this repo"));
    }
    shared.store.halt(repo, &caller.person(), &reason).await?;
    Ok(())
}

/// Lifts a halt.
pub(crate) async fn lifted(shared: &Shared, repo: Option<&str>) -> Result<(), Problem> {
    match shared.store.unhalt(repo).await? {
        Some(_) => Ok(()),
        None => Err(Problem::not_found("that is not halted")),
    }
}
