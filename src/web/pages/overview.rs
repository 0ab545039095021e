//! Success, time and cost over all runs.

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use minijinja::context;
use serde::Deserialize;

use super::{Broken, Nothing, Sealed, page as respond, shown};
use crate::store::Listing;
use crate::web::access::{Caller, Scope};
use crate::web::api::{Path, Query};
use crate::web::problem::Problem;
use crate::web::{App, chart, figures, standing};

/// Runs that wait for a person, as many as are shown.
const NEEDS: u32 = 12;

/// Open alerts, as many as are shown: there are only a few rules.
const ALERTS: u32 = 50;

/// Over which time, and what a repair by hand is assumed to take.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Span {
    #[serde(default)]
    days: String,
    #[serde(default)]
    minutes: String,
}

/// The page.
pub(super) async fn page(
    State(shared): App,
    caller: Caller,
    Query(span): Query<Span>,
) -> Result<Response, Broken> {
    let days = span.days.parse().ok().filter(|days| (1..=365).contains(days)).unwrap_or(figures::DAYS);
    let minutes = span.minutes.parse().ok().filter(|minutes| *minutes <= 1440).unwrap_or(figures::MINUTES);
    let figures = figures::gather(&shared.store, shared.clock.now(), days, minutes).await?;
    let since = shared.clock.now() - jiff::SignedDuration::from_hours(24 * i64::from(days));
    let listing = Listing { wanting: true, since: Some(since), ..Listing::default() };
    let mut needs = Vec::new();
    for row in shared.store.list(&listing, None, NEEDS).await? {
        let cut_off = standing::cut_off(&shared.store, &row).await?;
        needs.push(shown::row(&row, cut_off, &shared.redactor));
    }
    let alerts = shared.store.alerts(true, ALERTS).await?;
    let may = caller.may(Scope::Approve);
    let outcomes = chart::stacked(
        figures.by_day.iter().map(|day| (day.day.as_str(), [day.healed, day.not_healed, day.other])),
    );
    let costs = chart::stacked(figures.by_day.iter().map(|day| (day.day.as_str(), [day.cost_micro_usd])));
    let by_fixer = chart::shares(figures.by_fixer.iter().map(|fixer| fixer.succeeded));
    let by_category = chart::shares(figures.by_category.iter().map(|category| category.runs));
    let values = context! { figures, alerts, may, needs, outcomes, costs, by_fixer, by_category };
    respond(&shared, &caller, "overview.html", values).await
}

/// Says that somebody knows of an alert.
pub(super) async fn acknowledge(
    State(shared): App,
    Path(alert): Path<String>,
    Sealed { caller, .. }: Sealed<Nothing>,
) -> Result<Response, Broken> {
    caller.needs(Scope::Approve)?;
    shared.store.acknowledge_alert(&alert, &caller.name).await.map_err(Problem::of_lookup)?;
    Ok(Redirect::to("/overview#alerts").into_response())
}
