//! What operators and their machines ask: whether the service lives, whether it can work, and its numbers.
//!
//! The same three answers are given on an address of their own, without tokens, where whoever starts the process says so: that is all there is to see
//! of a worker.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::access::{self, Scope};
use super::problem::Problem;
use super::{Shared, server};
use crate::fault::Fault;
use crate::store::Store;
use crate::telemetry::Metrics;

/// What the answers are made of.
#[derive(Clone)]
pub struct Watched {
    /// The numbers.
    pub metrics: Arc<Metrics>,
    /// The store.
    pub store: Store,
    /// The state folder.
    pub state: std::path::PathBuf,
}

/// Answers operators on `listener`, whoever they are, until `end` comes.
///
/// # Errors
/// Where the listener cannot be used.
pub async fn serve_operators(
    listener: TcpListener,
    watched: Watched,
    end: impl Future<Output = ()>,
) -> Result<()> {
    let app = Router::new()
        .route("/metrics", get(async |State(watched): State<Watched>| numbers(&watched).await))
        .route("/healthz", get(healthy))
        .route("/readyz", get(async |State(watched): State<Watched>| ready(&watched).await))
        .with_state(watched);
    server::answer(listener, app, end).await
}

/// The same beside the pages and the API. The numbers are for those who may read, and for programs of this machine.
pub(super) fn routes(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let numbers = get(async |State(shared): super::App| numbers(&shared.watched).await)
        .layer(from_fn_with_state(shared.clone(), near_or_known));
    Router::new()
        .route("/metrics", numbers)
        .route("/healthz", get(healthy))
        .route("/readyz", get(async |State(shared): super::App| ready(&shared.watched).await))
}

async fn numbers(watched: &Watched) -> Response {
    watched.metrics.look(&watched.store).await;
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")], watched.metrics.text())
        .into_response()
}

/// The process is there.
async fn healthy() -> &'static str {
    "ok\n"
}

/// How long the store may take to show that it is there.
const LOOK: Duration = Duration::from_secs(5);

/// Runs can be shown and submitted; else what is in the way.
async fn ready(watched: &Watched) -> Response {
    let looked = async {
        watched.store.compatible().await?;
        watched.store.feed_end().await
    };
    let store = match tokio::time::timeout(LOOK, looked).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => {
            tracing::warn!("not ready: {error:#}");
            Some(told(&error))
        }
        Err(_) => Some(format!("the store does not answer within {} s", LOOK.as_secs())),
    };
    let wrong: Vec<String> = [store, unwritable(&watched.state)].into_iter().flatten().collect();
    match wrong.as_slice() {
        [] => "ready\n".into_response(),
        wrong => Problem::not_ready(wrong.join("; ")).into_response(),
    }
}

/// An error for those who have no token: what kind of failure it is, and nothing of the error's own words, which may name hosts, users and paths.
fn told(error: &anyhow::Error) -> String {
    let fault = error.chain().find_map(|cause| cause.downcast_ref::<Fault>());
    fault.map_or("the store fails".to_owned(), |fault| fault.message.clone())
}

fn unwritable(state: &Path) -> Option<String> {
    let access = rustix::fs::access(state, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
    access.err().map(|error| format!("the state folder cannot be written: {error}"))
}

/// Lets programs of this machine through that come straight here, and callers with a token that may read. What a proxy on this machine passes on comes
/// from far away: it has the name that the service is published under, or says whom it asks for.
async fn near_or_known(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if !(from.ip().is_loopback() && comes_straight(request.headers())) {
        access::caller(&shared, from.ip(), request.method(), request.headers()).await?.needs(Scope::Read)?;
    }
    Ok(next.run(request).await)
}

/// What proxies add to what they pass on.
const PASSED_ON: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

fn comes_straight(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let bare = host.rsplit_once(':').map_or(host, |(bare, _)| bare).trim_matches(['[', ']']);
    let local = bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    local && PASSED_ON.iter().all(|name| !headers.contains_key(*name))
}

/// Counts every answer by the route that gave it.
pub(super) async fn counted(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().as_str().to_owned();
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let response = next.run(request).await;
    let status = response.status().as_u16();
    shared.watched.metrics.answered(path.as_deref(), &method, status, began.elapsed());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_proxy_passes_on_comes_from_far_away() {
        let headers = |pairs: &[(&'static str, &str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
        };
        for host in ["127.0.0.1:4310", "localhost", "[::1]:4310", "LOCALHOST:1"] {
            assert!(comes_straight(&headers(&[("host", host)])), "{host}");
        }
        for host in ["regreen.example.org", "10.0.0.8:4310", "", "localhost.example.org"] {
            assert!(!comes_straight(&headers(&[("host", host)])), "{host}");
        }
        for name in PASSED_ON {
            assert!(!comes_straight(&headers(&[("host", "127.0.0.1"), (name, "x")])), "{name}");
        }
    }
}
