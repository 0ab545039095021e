//! Sums over runs.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::problem::Problem;
use super::super::{App, figures};
use super::Query;

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
    Ok(Json(figures::gather(&shared.store, shared.clock.now(), days, minutes).await?))
}
