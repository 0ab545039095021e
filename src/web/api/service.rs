//! The service itself: what is in force, who calls, who may call, and who asked for what.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::App;
use super::super::access::{Caller, Scope};
use super::super::problem::Problem;
use super::Query;

/// One line of the configuration.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Setting {
    /// Its key.
    #[schema(example = "budget.run_usd")]
    key: String,
    /// Its value as people read it; never a secret.
    value: String,
    /// Where it comes from: `default`, `$VARIABLE`, `file:line`.
    origin: String,
}

/// What is in force.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Settings {
    items: Vec<Setting>,
}

/// Who calls.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Me {
    /// The token's name.
    name: String,
    /// What it may do.
    scopes: Vec<Scope>,
}

/// A token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Token {
    /// Its public part.
    id: String,
    /// What people call it.
    name: String,
    /// What it may do.
    scopes: Vec<String>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    used_at: Option<Timestamp>,
}

/// All tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tokens {
    items: Vec<Token>,
}

/// A change that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Entry {
    id: String,
    at: Timestamp,
    /// Who asked: a token's name, or a user of the command line.
    actor: String,
    /// What was asked.
    action: String,
    /// Of what.
    target: String,
    /// From where.
    remote: Option<String>,
    /// The HTTP status that it came to; nothing while it is done.
    status: Option<u16>,
    detail: Option<String>,
}

/// A page of the audit log, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Audit {
    items: Vec<Entry>,
    /// What to give as `cursor` for the next page; nothing where this is the last.
    next: Option<String>,
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// The most that are given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// Where the last page ended: its `next`.
    cursor: Option<String>,
}

/// What is in force, and where each value comes from.
#[utoipa::path(
    get, path = "/settings", tag = "service", security(("token" = ["read"])),
    responses((status = 200, description = "The configuration", body = Settings))
)]
pub(super) async fn settings(State(shared): App) -> Json<Settings> {
    let item = |line: &crate::config::Effective| Setting {
        key: line.key.clone(),
        value: line.value.clone(),
        origin: line.origin.to_string(),
    };
    Json(Settings { items: shared.settings.iter().map(item).collect() })
}

/// Who calls, and what they may do.
#[utoipa::path(
    get, path = "/me", tag = "service", security(("token" = ["read"])),
    responses((status = 200, description = "The caller", body = Me))
)]
pub(super) async fn me(caller: Caller) -> Json<Me> {
    let all = [Scope::Read, Scope::Submit, Scope::Approve, Scope::Admin];
    let scopes = all.into_iter().filter(|scope| caller.may(*scope)).collect();
    Json(Me { name: caller.name, scopes })
}

/// The tokens that there are and were, newest first.
#[utoipa::path(
    get, path = "/tokens", tag = "service", security(("token" = ["admin"])),
    responses((status = 200, description = "All tokens", body = Tokens))
)]
pub(super) async fn tokens(State(shared): App) -> Result<Json<Tokens>, Problem> {
    let items = shared.store.tokens().await?.into_iter().map(|row| Token {
        id: row.id,
        name: row.name,
        scopes: row.scopes.split(' ').map(str::to_owned).collect(),
        created_at: row.created_at,
        expires_at: row.expires_at,
        revoked_at: row.revoked_at,
        used_at: row.used_at,
    });
    Ok(Json(Tokens { items: items.collect() }))
}

/// Who asked the service to change what, newest first.
#[utoipa::path(
    get, path = "/audit", tag = "service", params(Page), security(("token" = ["admin"])),
    responses((status = 200, description = "A page of the audit log", body = Audit))
)]
pub(super) async fn audit(State(shared): App, Query(page): Query<Page>) -> Result<Json<Audit>, Problem> {
    let limit = super::limit(page.limit, 50, 200)?;
    let mut rows = shared.store.audit(page.cursor.as_deref(), limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| row.id.clone());
    let items = rows.into_iter().map(|row| Entry {
        id: row.id,
        at: row.at,
        actor: row.actor,
        action: row.action,
        target: row.target,
        remote: row.remote,
        status: row.status,
        detail: row.detail,
    });
    Ok(Json(Audit { items: items.collect(), next }))
}
