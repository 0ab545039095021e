//! Sums over runs.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::problem::Problem;
use super::super::{App, figures};
use super::Query;

/// A repo that there are runs of.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Repo {
    /// Its root.
    repo: String,
    /// How many runs there are.
    runs: u64,
    last_run_at: Timestamp,
}

/// All repos.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Repos {
    items: Vec<Repo>,
}

/// Over which time.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Span {
    /// The last so many days.
    #[param(minimum = 1, maximum = 365, default = 30)]
    days: Option<u32>,
    /// What a person is assumed to need for a repair by hand, in minutes.
    #[param(minimum = 0, maximum = 1440, default = 20)]
    minutes: Option<u32>,
}

/// The repos that there are runs of, the last used first.
#[utoipa::path(
    get, path = "/repos", tag = "runs", security(("token" = ["read"])),
    responses((status = 200, description = "The repos", body = Repos))
)]
pub(super) async fn repos(State(shared): App) -> Result<Json<Repos>, Problem> {
    let items = shared.store.seen_repos().await?.into_iter();
    let items = items.map(|row| Repo { repo: row.repo, runs: row.runs, last_run_at: row.last_run_at });
    Ok(Json(Repos { items: items.collect() }))
}

/// Success, time, cost and what asks for people.
#[utoipa::path(
    get, path = "/stats", tag = "runs", params(Span), security(("token" = ["read"])),
    responses((status = 200, description = "The figures", body = figures::Figures))
)]
pub(super) async fn stats(
    State(shared): App,
    Query(span): Query<Span>,
) -> Result<Json<figures::Figures>, Problem> {
    let days = super::limit(span.days, figures::DAYS, 365)?;
    let minutes = span.minutes.unwrap_or(figures::MINUTES);
    if minutes > 1440 {
        return Err(Problem::bad_request("minutes is larger than 1440"));
    }
    Ok(Json(figures::gather(&shared, days, minutes).await?))
}
