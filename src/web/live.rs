//! Events as they happen, by server-sent events: a client that comes back goes on behind the last one it saw.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::response::sse::{Event as Sse, KeepAlive, Sse as Stream};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::{Notify, watch};

use super::Shared;
use super::access::Caller;
use super::problem::Problem;
use crate::store::Store;

/// How long is waited before a store that cannot be followed is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often a stream without events shows that it is alive.
const ALIVE: Duration = Duration::from_secs(15);
/// Events that are read at a time.
const BATCH: u32 = 100;

/// Tells that something happened.
pub(crate) struct Pulse {
    hear: watch::Receiver<u64>,
    wanted: Arc<Notify>,
}

/// Hears that something happened, one time after the other.
pub(crate) struct Listening(watch::Receiver<u64>);

impl Pulse {
    /// Hears of what happens from now on.
    pub(crate) fn listen(&self) -> Listening {
        let hear = self.hear.clone();
        self.wanted.notify_one();
        Listening(hear)
    }
}

impl Listening {
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

/// Finds out whether something happened, in this process or another one, as long as anyone wants to know.
pub(crate) struct Beat {
    store: Store,
    tell: watch::Sender<u64>,
    wanted: Arc<Notify>,
}

/// The two ends of one question: has anything happened?
pub(crate) fn pulse(store: Store) -> (Pulse, Beat) {
    let (tell, hear) = watch::channel(0);
    let wanted = Arc::<Notify>::default();
    (Pulse { hear, wanted: wanted.clone() }, Beat { store, tell, wanted })
}

impl Beat {
    /// Looks until it is dropped.
    pub(crate) async fn run(self) {
        loop {
            while !self.is_wanted() {
                self.wanted.notified().await;
            }
            if let Err(error) = self.follow().await {
                tracing::warn!("events cannot be followed: {error:#}");
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// One receiver is the service's own.
    fn is_wanted(&self) -> bool {
        self.tell.receiver_count() > 1
    }

    async fn follow(&self) -> Result<()> {
        let mut wake = self.store.wake_on_events().await?;
        while self.is_wanted() {
            // Read after the waking was arranged for: what is written from here on wakes.
            let end = self.store.feed_end().await?;
            self.tell.send_if_modified(|last| std::mem::replace(last, end) != end);
            wake.changed().await;
        }
        Ok(())
    }
}

/// Where events come from.
#[async_trait::async_trait]
pub(crate) trait Source: Send + Sync + 'static {
    /// One of them, as clients read it.
    type Item: Serialize + Send + 'static;

    /// At most `limit` that come after the place `after`, oldest first; none where nothing happened since.
    async fn after(&self, after: u64, limit: u32) -> Result<Vec<Self::Item>>;

    /// Behind which place a client goes on that has seen this one.
    fn place(item: &Self::Item) -> u64;
}

/// Streams that one token may have open: each keeps a connection.
const STREAMS_OF_ONE: usize = 64;
/// Streams of all, of the connections that there are.
const STREAMS: usize = 512;

/// How many streams each token has open.
#[derive(Default)]
pub(crate) struct Streams(Mutex<HashMap<String, usize>>);

impl Streams {
    /// A place for one more stream of a token, until it is dropped.
    ///
    /// # Errors
    /// Where the token, or all together, have as many as may be.
    fn place(self: &Arc<Self>, token: &str) -> Result<Open, Problem> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, own) = (open.values().sum::<usize>(), open.get(token).copied().unwrap_or_default());
        if own >= STREAMS_OF_ONE || all >= STREAMS {
            let problem = Problem::too_many(ALIVE.as_secs());
            return Err(problem.hint("close streams that nobody reads; one shows the events of all runs"));
        }
        open.insert(token.to_owned(), own + 1);
        Ok(Open { streams: self.clone(), token: token.to_owned() })
    }
}

/// The place of one stream.
struct Open {
    streams: Arc<Streams>,
    token: String,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = open.get_mut(&self.token) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.token);
            }
        }
    }
}

/// Whom a stream is for: it ends with the token.
struct Reader {
    shared: Arc<Shared>,
    place: Open,
}

impl Reader {
    async fn may_read(&self) -> anyhow::Result<bool> {
        let row = self.shared.store.token(&self.place.token).await?;
        Ok(row.is_some_and(|row| row.is_valid(self.shared.clock.now())))
    }
}

/// The answer that follows `source` from behind `after` for `caller`, until the client goes, the caller may read no more, or the service ends.
///
/// # Errors
/// Where too many streams are open.
pub(crate) fn follow<S: Source>(
    shared: &Arc<Shared>,
    caller: &Caller,
    source: S,
    after: u64,
) -> Result<Response, Problem> {
    struct Following<S: Source> {
        source: S,
        reader: Reader,
        pulse: watch::Receiver<u64>,
        after: u64,
        waiting: VecDeque<S::Item>,
    }
    let reader = Reader { shared: shared.clone(), place: shared.streams.place(&caller.token)? };
    let wanted = &shared.pulse.wanted;
    let mut pulse = shared.pulse.hear.clone();
    wanted.notify_one();
    // What happened until here is read before anything is waited for.
    pulse.mark_changed();
    let state = Following { source, reader, pulse, after, waiting: VecDeque::new() };
    let events = stream::unfold(state, |mut state| async move {
        loop {
            if let Some(item) = state.waiting.pop_front() {
                state.after = S::place(&item);
                return Some((Sse::default().id(state.after.to_string()).json_data(item), state));
            }
            // Asked for before the store is read: what is written after the reading changes it again.
            state.pulse.changed().await.ok()?;
            let told = match state.reader.may_read().await {
                Ok(true) => state.source.after(state.after, BATCH).await,
                Ok(false) => return None,
                Err(error) => Err(error),
            };
            match told {
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
    Ok(Stream::new(events).keep_alive(KeepAlive::new().interval(ALIVE)).into_response())
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
