//! Events as they happen, by server-sent events: a client that comes back goes on behind the last one it saw.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use anyhow::Result;
use axum::response::sse::{Event as Sse, KeepAlive, Sse as Stream};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::watch;

use super::problem::Problem;
use crate::store::Store;

/// How often the store is asked whether something happened, as long as anyone wants to know. Other processes write to it, too.
const LOOK: Duration = Duration::from_millis(200);
/// How often a stream without events shows that it is alive.
const ALIVE: Duration = Duration::from_secs(15);
/// Events that are read at a time.
pub(crate) const BATCH: u32 = 100;

/// Tells that something happened.
#[derive(Clone)]
pub(crate) struct Pulse(watch::Receiver<u64>);

impl Pulse {
    /// What happened until now is known.
    pub(crate) fn seen(&mut self) {
        self.0.mark_unchanged();
    }

    /// Returns when something happens. Where nobody tells any more, never.
    pub(crate) async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// Finds out whether something happened.
pub(crate) struct Beat {
    store: Store,
    tell: watch::Sender<u64>,
}

/// The two ends of one question: has anything happened?
pub(crate) fn pulse(store: Store) -> (Pulse, Beat) {
    let (tell, hear) = watch::channel(0);
    (Pulse(hear), Beat { store, tell })
}

impl Beat {
    /// Looks until it is dropped.
    pub(crate) async fn run(self) {
        let mut tick = tokio::time::interval(LOOK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            // One receiver is the service's own.
            if self.tell.receiver_count() < 2 {
                continue;
            }
            match self.store.feed_end().await {
                Ok(end) => {
                    self.tell.send_if_modified(|last| std::mem::replace(last, end) != end);
                }
                Err(error) => tracing::warn!("events cannot be followed: {error:#}"),
            }
        }
    }
}

/// One event for a client.
pub(crate) struct Told {
    /// Where the client goes on behind it.
    pub(crate) id: u64,
    /// Its contents as one JSON text, the kind of event among them.
    pub(crate) data: String,
}

/// Gives what comes after a place, oldest first; nothing where nothing happened since.
#[async_trait::async_trait]
pub(crate) trait Source: Send + Sync + 'static {
    /// What comes after `after`.
    async fn after(&self, after: u64) -> Result<Vec<Told>>;
}

/// The answer that follows `source` from behind `after`, until the client goes or the service ends.
pub(crate) fn follow(pulse: &Pulse, source: impl Source, after: u64) -> Response {
    struct Following<S> {
        source: S,
        pulse: watch::Receiver<u64>,
        after: u64,
        waiting: VecDeque<Told>,
    }
    let mut pulse = pulse.0.clone();
    // What happened until here is read before anything is waited for.
    pulse.mark_changed();
    let state = Following { source, pulse, after, waiting: VecDeque::new() };
    let events = stream::unfold(state, |mut state| async move {
        loop {
            if let Some(told) = state.waiting.pop_front() {
                state.after = told.id;
                let event = Sse::default().id(told.id.to_string()).data(told.data);
                return Some((Ok::<_, Infallible>(event), state));
            }
            // Asked for before the store is read: what is written after the reading changes it again.
            state.pulse.changed().await.ok()?;
            match state.source.after(state.after).await {
                Ok(told) if told.is_empty() => {}
                Ok(told) => {
                    state.waiting.extend(told);
                    // There may be more than one batch.
                    state.pulse.mark_changed();
                }
                Err(error) => {
                    // The client comes back by itself, and goes on where it was.
                    tracing::warn!("a stream of events ends: {error:#}");
                    return None;
                }
            }
        }
    });
    Stream::new(events).keep_alive(KeepAlive::new().interval(ALIVE)).into_response()
}

/// The place that a client comes back from (the header Last-Event-ID), or asks for.
pub(crate) fn place(headers: &axum::http::HeaderMap, asked: Option<u64>) -> Result<Option<u64>, Problem> {
    match headers.get("last-event-id") {
        None => Ok(asked),
        Some(id) => match id.to_str().ok().and_then(|id| id.parse().ok()) {
            Some(id) => Ok(Some(id)),
            None => Err(Problem::bad_request("the header Last-Event-ID is no id that this service gave")),
        },
    }
}

/// Whether the client wants a stream.
pub(crate) fn wants_stream(headers: &axum::http::HeaderMap) -> bool {
    let accepted = headers.get_all(axum::http::header::ACCEPT).into_iter();
    accepted.filter_map(|value| value.to_str().ok()).any(|value| value.contains("text/event-stream"))
}
