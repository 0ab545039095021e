//! What is wrong with the service as a whole.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::App;
use super::super::access::Caller;
use super::super::problem::Problem;
use super::{Path, Query};
use crate::store::AlertRow;

/// Something that is, or was, wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Alert {
    id: String,
    /// The rule that found it.
    #[schema(example = "escalated")]
    rule: String,
    /// What it is about, where the rule can find several things at once: a provider's name.
    subject: Option<String>,
    /// What is wrong, in a sentence, as it was seen last.
    message: String,
    /// The figures behind it, by name.
    #[schema(value_type = Object)]
    figures: serde_json::Value,
    /// What to do.
    action: String,
    /// Since when it is wrong.
    since: Timestamp,
    /// When the rule found it first.
    raised_at: Timestamp,
    /// When the rule found it last.
    seen_at: Timestamp,
    /// When it was over; nothing while it is open.
    recovered_at: Option<Timestamp>,
    acknowledged_at: Option<Timestamp>,
    /// Who knows of it.
    acknowledged_by: Option<String>,
}

impl Alert {
    fn of(row: AlertRow) -> Self {
        Self {
            id: row.id,
            rule: row.rule,
            subject: Some(row.subject).filter(|subject| !subject.is_empty()),
            message: row.message,
            figures: row.figures,
            action: row.action,
            since: row.since,
            raised_at: row.raised_at,
            seen_at: row.seen_at,
            recovered_at: row.recovered_at,
            acknowledged_at: row.acknowledged_at,
            acknowledged_by: row.acknowledged_by,
        }
    }
}

/// Alerts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Alerts {
    items: Vec<Alert>,
}

/// Which alerts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Also those that are over, behind those that are open.
    #[param(default = false)]
    all: Option<bool>,
    /// The most that are given.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// What is wrong with the service as a whole, by the rules of its configuration.
#[utoipa::path(
    get, path = "/alerts", tag = "service", params(Which), security(("token" = ["read"])),
    responses((status = 200, description = "The alerts, those that are open first, then the newest", body = Alerts))
)]
pub(super) async fn list(State(shared): App, Query(which): Query<Which>) -> Result<Json<Alerts>, Problem> {
    let limit = super::limit(which.limit, 100, 1000)?;
    let rows = shared.store.alerts(!which.all.unwrap_or_default(), limit).await?;
    Ok(Json(Alerts { items: rows.into_iter().map(Alert::of).collect() }))
}

/// Say that somebody knows of an alert. It stays open until it is over; who said so first stays.
#[utoipa::path(
    post, path = "/alerts/{alert}/acknowledge", tag = "service", security(("token" = ["approve"])),
    params(
        ("alert" = String, Path, description = "The alert"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, pattern = "^[!-~]([ -~]*[!-~])?$", description = "Names the call, so that it can be made again"),
    ),
    responses((status = 200, description = "It is known", body = Alert))
)]
pub(super) async fn acknowledge(
    State(shared): App,
    caller: Caller,
    Path(alert): Path<String>,
) -> Result<Json<Alert>, Problem> {
    let known = shared.store.acknowledge_alert(&alert, &caller.name).await;
    Ok(Json(Alert::of(known.map_err(Problem::of_lookup)?)))
}
