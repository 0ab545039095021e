//! What happens, as it happens.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::super::access::Caller;
use super::super::live::{self, Source};
use super::super::problem::Problem;
use super::super::{App, Shared};
use super::{Path, Query};
use crate::redact::Redactor;
use crate::store::{Fed, Store};

/// From where, and how many.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct From {
    /// Only what came after this: a `position` of all events, a `seq` of a run's.
    #[param(maximum = 9_223_372_036_854_775_807i64)]
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

/// Events, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Events<T> {
    items: Vec<T>,
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

/// That something happened, in any run; as a stream with `Accept: text/event-stream`.
///
/// A stream begins with what comes next, or behind `after`; the header `Last-Event-ID` counts before that. The ids of its events are
/// positions.
#[utoipa::path(
    get, path = "/events", tag = "events", params(From), security(("token" = ["read"])),
    responses((status = 200, description = "Events, oldest first", content(
        (Events<Notice> = "application/json"), (String = "text/event-stream"),
    )))
)]
pub(super) async fn of_all(
    State(shared): App,
    caller: Caller,
    headers: HeaderMap,
    Query(from): Query<From>,
) -> Result<Response, Problem> {
    let store = shared.store.clone();
    answer(&shared, &caller, &headers, &from, All(store.clone()), || async move { store.feed_end().await })
        .await
}

/// Events from `source`: a page of them, or all from where the client is, or else from `begin`, as they come.
async fn answer<S: Source, F: Future<Output = anyhow::Result<u64>>>(
    shared: &Arc<Shared>,
    caller: &Caller,
    headers: &HeaderMap,
    from: &From,
    source: S,
    begin: impl FnOnce() -> F,
) -> Result<Response, Problem> {
    if live::wants_stream(headers) {
        let after = match live::place(headers, from.after)? {
            Some(after) => after,
            None => begin().await?,
        };
        return live::follow(shared, caller, source, after);
    }
    let after = from.after.unwrap_or(0);
    if i64::try_from(after).is_err() {
        return Err(Problem::bad_request("no event has such a number"));
    }
    let items = source.after(after, from.limit()?).await?;
    let next = items.last().map_or(after, S::place);
    Ok(Json(Events { items, next }).into_response())
}

/// What happened in a run; as a stream with `Accept: text/event-stream`.
///
/// A stream begins with the run's first event, or behind `after`; the header `Last-Event-ID` counts before that. The ids of its events are
/// the `seq` of the run's.
#[utoipa::path(
    get, path = "/runs/{run}/events", tag = "events", params(From, ("run" = String, Path, description = "The run")),
    security(("token" = ["read"])),
    responses((status = 200, description = "Events, oldest first", content(
        (Events<Record> = "application/json"), (String = "text/event-stream"),
    )))
)]
pub(super) async fn of_run(
    State(shared): App,
    caller: Caller,
    headers: HeaderMap,
    Path(run): Path<String>,
    Query(from): Query<From>,
) -> Result<Response, Problem> {
    let run = shared.store.run(&run).await.map_err(Problem::of_lookup)?.id;
    let source = One { store: shared.store.clone(), run, redactor: shared.redactor.clone() };
    answer(&shared, &caller, &headers, &from, source, || async { Ok(0) }).await
}

struct All(Store);

#[async_trait::async_trait]
impl Source for All {
    type Item = Notice;

    async fn after(&self, after: u64, limit: u32) -> anyhow::Result<Vec<Notice>> {
        Ok(self.0.feed(after, limit).await?.into_iter().map(Notice::from).collect())
    }

    fn place(notice: &Notice) -> u64 {
        notice.position
    }
}

struct One {
    store: Store,
    run: String,
    redactor: Redactor,
}

#[async_trait::async_trait]
impl Source for One {
    type Item = Record;

    async fn after(&self, after: u64, limit: u32) -> anyhow::Result<Vec<Record>> {
        let events = self.store.events_page(&self.run, after, limit).await?;
        let record = |mut event: crate::store::Event| {
            self.redactor.redact_json(&mut event.payload, &|_| false);
            Record { run: self.run.clone(), seq: event.seq, at: event.at, payload: event.payload }
        };
        Ok(events.into_iter().map(record).collect())
    }

    fn place(record: &Record) -> u64 {
        record.seq
    }
}
