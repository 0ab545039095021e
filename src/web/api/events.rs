//! What happens, as it happens.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::super::live::{self, BATCH, Source, Told};
use super::super::problem::Problem;
use super::super::{App, log};
use super::{Path, Query};
use crate::redact::Redactor;
use crate::store::{Fed, Store};

/// From where, and how many.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct From {
    /// Only what came after this: a `position` of all events, a `seq` of a run's.
    after: Option<u64>,
    /// The most that are given (a stream has no end).
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<u32>,
}

impl From {
    fn limit(&self) -> Result<u32, Problem> {
        super::limit(self.limit, 100, 500)
    }
}

/// That something happened in a run.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Notice {
    /// Its place among the events of all runs: grows, with gaps.
    position: u64,
    /// The run.
    run: String,
    /// Its place in the run.
    seq: u64,
    /// When it was recorded.
    at: Timestamp,
    /// The kind of event (docs/events.md).
    #[schema(example = "landed")]
    event: String,
}

impl std::convert::From<Fed> for Notice {
    fn from(fed: Fed) -> Self {
        Self { position: fed.position, run: fed.run, seq: fed.seq, at: fed.at, event: fed.kind }
    }
}

/// Events of all runs, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Notices {
    items: Vec<Notice>,
    /// What to give as `after` for what comes next.
    next: u64,
}

/// An event of a run with its contents, as `regreen heal --json` prints it (docs/events.md). Secrets are taken out.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Record {
    /// The run.
    run: String,
    /// Its place in the run, from 1, without gaps.
    seq: u64,
    /// When it was recorded.
    at: Timestamp,
    /// The kind of event, and what that kind has.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    payload: Value,
}

/// Events of one run, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Records {
    items: Vec<Record>,
    /// What to give as `after` for what comes next.
    next: u64,
}

/// That something happened, in any run; as a stream with `Accept: text/event-stream`.
///
/// A stream begins with what comes next, or behind `after`; the header `Last-Event-ID` counts before that. The ids of its events are
/// positions.
#[utoipa::path(
    get, path = "/events", tag = "events", params(From), security(("token" = ["read"])),
    responses((status = 200, description = "Events, oldest first", content(
        (Notices = "application/json"), (String = "text/event-stream"),
    )))
)]
pub(super) async fn of_all(
    State(shared): App,
    headers: HeaderMap,
    Query(from): Query<From>,
) -> Result<Response, Problem> {
    if live::wants_stream(&headers) {
        let after = match live::place(&headers, from.after)? {
            Some(after) => after,
            None => shared.store.feed_end().await?,
        };
        return Ok(live::follow(&shared.pulse, All(shared.store.clone()), after));
    }
    let after = from.after.unwrap_or(0);
    let items: Vec<Notice> =
        shared.store.feed(after, from.limit()?).await?.into_iter().map(Notice::from).collect();
    let next = items.last().map_or(after, |last| last.position);
    Ok(Json(Notices { items, next }).into_response())
}

/// What happened in a run; as a stream with `Accept: text/event-stream`.
///
/// A stream begins with the run's first event, or behind `after`; the header `Last-Event-ID` counts before that. The ids of its events are
/// the `seq` of the run's.
#[utoipa::path(
    get, path = "/runs/{run}/events", tag = "events", params(From, ("run" = String, Path, description = "The run")),
    security(("token" = ["read"])),
    responses((status = 200, description = "Events, oldest first", content(
        (Records = "application/json"), (String = "text/event-stream"),
    )))
)]
pub(super) async fn of_run(
    State(shared): App,
    headers: HeaderMap,
    Path(run): Path<String>,
    Query(from): Query<From>,
) -> Result<Response, Problem> {
    let run = shared.store.run(&run).await.map_err(Problem::of_lookup)?.id;
    let source = One { store: shared.store.clone(), run, redactor: shared.redactor.clone() };
    if live::wants_stream(&headers) {
        let after = live::place(&headers, from.after)?.unwrap_or(0);
        return Ok(live::follow(&shared.pulse, source, after));
    }
    let after = from.after.unwrap_or(0);
    let items = source.records(after, from.limit()?).await?;
    let next = items.last().map_or(after, |last| last.seq);
    Ok(Json(Records { items, next }).into_response())
}

struct All(Store);

#[async_trait::async_trait]
impl Source for All {
    async fn after(&self, after: u64) -> anyhow::Result<Vec<Told>> {
        let told = |fed: Fed| Ok(Told { id: fed.position, data: serde_json::to_string(&Notice::from(fed))? });
        self.0.feed(after, BATCH).await?.into_iter().map(told).collect()
    }
}

struct One {
    store: Store,
    run: String,
    redactor: Redactor,
}

impl One {
    async fn records(&self, after: u64, limit: u32) -> anyhow::Result<Vec<Record>> {
        let events = self.store.events_page(&self.run, after, limit).await?;
        let record = |mut event: crate::store::Event| {
            log::redact(&self.redactor, &mut event.payload);
            Record { run: self.run.clone(), seq: event.seq, at: event.at, payload: event.payload }
        };
        Ok(events.into_iter().map(record).collect())
    }
}

#[async_trait::async_trait]
impl Source for One {
    async fn after(&self, after: u64) -> anyhow::Result<Vec<Told>> {
        let told = |record: Record| Ok(Told { id: record.seq, data: serde_json::to_string(&record)? });
        self.records(after, BATCH).await?.into_iter().map(told).collect()
    }
}
