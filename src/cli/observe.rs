//! Who listens to every run of this process, beside whoever asked for it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Result;
use tokio::net::TcpListener;

use super::session::Session;
use crate::fault::Fault;
use crate::run::journal::Listener;
use crate::store::Store;
use crate::telemetry::{Collector, Metrics, collector};
use crate::web::{Watched, serve_operators};

static OBSERVERS: RwLock<Vec<Arc<dyn Listener>>> = RwLock::new(Vec::new());

/// Lets `listener` hear of every run that begins, or is taken up, in this process from now on.
pub(super) fn observe(listener: Arc<dyn Listener>) {
    OBSERVERS.write().unwrap_or_else(PoisonError::into_inner).push(listener);
}

/// The collector that traces are sent to, if the environment names one.
static COLLECTOR: OnceLock<Option<Arc<Collector>>> = OnceLock::new();

/// How long the program's end waits for a collector.
const PATIENCE: Duration = Duration::from_secs(2);

/// `listeners`, and those that hear of every run.
pub(super) fn with_observers(
    session: &Session,
    mut listeners: Vec<Arc<dyn Listener>>,
) -> Vec<Arc<dyn Listener>> {
    let begin = || match collector(&session.environment, session.redactor()) {
        Ok(collector) => collector.map(Arc::new),
        Err(error) => {
            tracing::warn!("no traces are sent: {error:#}");
            None
        }
    };
    listeners.extend(COLLECTOR.get_or_init(begin).iter().map(|all| all.clone() as Arc<dyn Listener>));
    listeners.extend(OBSERVERS.read().unwrap_or_else(PoisonError::into_inner).iter().cloned());
    listeners
}

/// Hands over what the collector has not got yet. The program is about to end.
pub(super) fn end() {
    if let Some(Some(collector)) = COLLECTOR.get() {
        collector.end(PATIENCE);
    }
}

/// Counts every run of this process from now on.
pub(super) fn count() -> Arc<Metrics> {
    let metrics = Arc::new(Metrics::new());
    observe(metrics.clone());
    metrics
}

/// Answers operators on `address` for as long as the process lives. Gives the address that it became.
pub(super) async fn answer_operators(
    address: SocketAddr,
    metrics: Arc<Metrics>,
    store: &Store,
    state: &Path,
) -> Result<SocketAddr> {
    let listener = listen(address, "--metrics").await?;
    let address = listener.local_addr()?;
    let watched = Watched { metrics, store: store.clone(), state: state.to_owned() };
    tokio::spawn(async move {
        if let Err(error) = serve_operators(listener, watched, std::future::pending()).await {
            tracing::error!("the metrics are served no more: {error:#}");
        }
    });
    Ok(address)
}

/// Listens where `option` says.
pub(super) async fn listen(address: SocketAddr, option: &str) -> Result<TcpListener, Fault> {
    TcpListener::bind(address).await.map_err(|error| {
        Fault::usage(format!("cannot listen on {address}: {error}"))
            .hint(format!("{option} names another address"))
    })
}

/// Removes what the configuration does not keep, now and then, for as long as the process lives.
pub(super) fn keep_tidy(session: &Session) {
    let rules = session.settings.user.retention.clone();
    if !rules.is_empty() {
        let (store, objects) = (session.store.clone(), session.objects.clone());
        tokio::spawn(crate::retention::keep(store, objects, rules, session.clock.clone()));
    }
}
