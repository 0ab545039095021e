//! The numbers themselves, and their text.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::process::{Failed, Process};
use crate::store::{Priority, Standing, Store};

/// A number that only grows and need not be whole.
pub(super) type Sum = Counter<f64, std::sync::atomic::AtomicU64>;
type Level = Gauge<f64, std::sync::atomic::AtomicU64>;
pub(super) type Timed<L> = Family<L, Histogram, fn() -> Histogram>;

/// Why a run went back to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned {
    /// Its worker was asked to end.
    HandedOver,
    /// It cannot be done as things are.
    Blocked,
    /// Something failed that may pass.
    Failed,
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* })*) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub(super) struct $name {
            $(pub(super) $field: $type,)*
        })*
    };
}

labels! {
    Ended { trigger: &'static str, outcome: &'static str }
    Decided { fixer: &'static str, decision: &'static str }
    Landed { to: &'static str }
    Checked { phase: &'static str, verdict: &'static str }
    Phased { phase: &'static str }
    Called { provider: String, model: String, result: &'static str }
    Asked { provider: String, model: String }
    Tokens { provider: String, model: String, kind: &'static str }
    Urgent { priority: &'static str }
    Standings { priority: &'static str, state: &'static str }
    Back { how: &'static str }
    Request { path: String, method: &'static str, status: u16 }
    Route { path: String, method: &'static str }
}

/// The counters of one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    program: Registry,
    pub(super) runs: Family<Ended, Counter>,
    pub(super) took: Timed<Outcome>,
    pub(super) attempts: Family<Decided, Counter>,
    pub(super) landings: Family<Landed, Counter>,
    pub(super) checks: Family<Checked, Counter>,
    pub(super) check_took: Timed<Phased>,
    pub(super) commands: Sum,
    pub(super) calls: Family<Called, Counter>,
    pub(super) call_took: Timed<Asked>,
    pub(super) tokens: Family<Tokens, Counter>,
    pub(super) cost: Family<Asked, Sum>,
    claims: Family<Urgent, Counter>,
    waited: Timed<Urgent>,
    returned: Family<Back, Counter>,
    leases_lost: Counter,
    under_way: Gauge,
    requests: Family<Request, Counter>,
    answered: Timed<Route>,
    queue: Family<Standings, Gauge>,
    oldest: Family<Urgent, Level>,
    waiting: Gauge,
    up: Gauge,
    /// The pairs of provider and model that have series of their own.
    models: Mutex<BTreeSet<(String, String)>>,
}

labels! {
    Outcome { outcome: &'static str }
}

/// Pairs of provider and model that are told apart; the configuration has a handful.
const MODELS: usize = 50;

/// From 10 ms to about 40 s.
fn short() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 2.0, 13))
}

/// From 1 s to about 4.5 h.
fn long() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 15))
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Everything at nought.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("regreen"),
            program: Registry::default(),
            runs: Family::default(),
            took: Family::new_with_constructor(long),
            attempts: Family::default(),
            landings: Family::default(),
            checks: Family::default(),
            check_took: Family::new_with_constructor(long),
            commands: Sum::default(),
            calls: Family::default(),
            call_took: Family::new_with_constructor(long),
            tokens: Family::default(),
            cost: Family::default(),
            claims: Family::default(),
            waited: Family::new_with_constructor(long),
            returned: Family::default(),
            leases_lost: Counter::default(),
            under_way: Gauge::default(),
            requests: Family::default(),
            answered: Family::new_with_constructor(short),
            queue: Family::default(),
            oldest: Family::default(),
            waiting: Gauge::default(),
            up: Gauge::default(),
            models: Mutex::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let all = &mut self.registry;
        let seconds = || Unit::Seconds;
        all.register(
            "build",
            "The build of Regreen that runs",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        all.register("runs_finished", "Runs that came to an end in this process", self.runs.clone());
        all.register_with_unit(
            "run_duration",
            "Wall time worked on runs that ended",
            seconds(),
            self.took.clone(),
        );
        all.register("attempts", "Attempts that were decided", self.attempts.clone());
        all.register("landings", "Proven patches that landed", self.landings.clone());
        all.register("checks", "Checks that ran in the sandbox", self.checks.clone());
        all.register_with_unit("check_duration", "Wall time of checks", seconds(), self.check_took.clone());
        all.register_with_unit(
            "sandbox",
            "Wall time of all commands in the sandbox, over runs that ended",
            seconds(),
            self.commands.clone(),
        );
        all.register("model_calls", "Calls of models", self.calls.clone());
        all.register_with_unit(
            "model_call_duration",
            "Wall time of models' calls",
            seconds(),
            self.call_took.clone(),
        );
        all.register("model_tokens", "Tokens that models' calls used", self.tokens.clone());
        let usd = Unit::Other("usd".to_owned());
        all.register_with_unit(
            "model_cost",
            "What models' calls cost by the price table",
            usd,
            self.cost.clone(),
        );
        all.register("claims", "Runs claimed from the queue", self.claims.clone());
        all.register_with_unit(
            "claim_wait",
            "How long claimed runs had waited since they could be claimed",
            seconds(),
            self.waited.clone(),
        );
        all.register("runs_returned", "Claimed runs that went back to the queue", self.returned.clone());
        all.register("leases_lost", "Leases on runs that this process lost", self.leases_lost.clone());
        all.register("runs_under_way", "Claimed runs that this process works on", self.under_way.clone());
        all.register("http_requests", "Requests that were answered", self.requests.clone());
        all.register_with_unit(
            "http_request_duration",
            "Time until an answer began",
            seconds(),
            self.answered.clone(),
        );
        all.register("queue_runs", "Runs in the queue", self.queue.clone());
        all.register_with_unit(
            "queue_oldest",
            "How long the run that waits longest could have been claimed",
            seconds(),
            self.oldest.clone(),
        );
        all.register("runs_waiting", "Runs that wait for a person", self.waiting.clone());
        all.register("store_up", "Whether the store answered just now", self.up.clone());
        all.register_collector(Box::new(Failed));
        // What is asked of every program goes by names of its own.
        self.program.register_collector(Box::new(Process));
    }

    /// A run was claimed that could have been claimed for so long.
    pub fn claimed(&self, priority: Priority, waited: Duration) {
        let labels = Urgent { priority: priority.as_str() };
        self.claims.get_or_create(&labels).inc();
        self.waited.get_or_create(&labels).observe(waited.as_secs_f64());
        self.under_way.inc();
    }

    /// A claimed run is no longer this process's; `returned` where it went back to the queue.
    pub fn let_go(&self, returned: Option<Returned>) {
        self.under_way.dec();
        if let Some(how) = returned {
            let how = match how {
                Returned::HandedOver => "handed-over",
                Returned::Blocked => "blocked",
                Returned::Failed => "failed",
            };
            self.returned.get_or_create(&Back { how }).inc();
        }
    }

    /// The lease on a claimed run was lost.
    pub fn lease_lost(&self) {
        self.under_way.dec();
        self.leases_lost.inc();
    }

    /// A request was answered. `path` is the route that matched, with its parameters by name; `None` where none did.
    pub fn answered(&self, path: Option<&str>, method: &str, status: u16, took: Duration) {
        let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
        let method = known.into_iter().find(|known| *known == method).unwrap_or("other");
        let path = path.unwrap_or("none").to_owned();
        self.requests.get_or_create(&Request { path: path.clone(), method, status }).inc();
        self.answered.get_or_create(&Route { path, method }).observe(took.as_secs_f64());
    }

    /// The names under which a call of a model is counted.
    pub(super) fn model(&self, provider: &str, model: &str) -> (String, String) {
        let mut known = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let pair = (provider.to_owned(), model.to_owned());
        if known.contains(&pair) || (known.len() < MODELS && known.insert(pair.clone())) {
            return pair;
        }
        ("other".to_owned(), "other".to_owned())
    }

    /// Asks the store how the queue stands, for the text that follows.
    pub async fn look(&self, store: &Store) {
        let waiting = tokio::time::timeout(LOOK, store.waiting()).await;
        let waiting = match waiting {
            Ok(Ok(waiting)) => Some(waiting),
            Ok(Err(error)) => {
                tracing::warn!("the queue cannot be measured: {error:#}");
                None
            }
            Err(_) => {
                tracing::warn!("the queue cannot be measured: the store does not answer");
                None
            }
        };
        self.up.set(i64::from(waiting.is_some()));
        // Old numbers are worse than none.
        let Some(waiting) = waiting else {
            self.queue.clear();
            self.oldest.clear();
            return;
        };
        for priority in Priority::ALL {
            for standing in Standing::ALL {
                let labels = Standings { priority: priority.as_str(), state: standing.as_str() };
                let count = waiting.count(priority, standing);
                self.queue.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
            }
            let labels = Urgent { priority: priority.as_str() };
            self.oldest.get_or_create(&labels).set(waiting.oldest(priority).as_secs_f64());
        }
        self.waiting.set(i64::try_from(waiting.people).unwrap_or(i64::MAX));
    }

    /// The numbers in Prometheus' text format, version 0.0.4.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for registry in [&self.registry, &self.program] {
            if encode_registry(&mut text, registry).is_err() {
                tracing::error!("the metrics cannot be written down");
            }
        }
        as_prometheus(&text)
    }
}

/// How long the store may take to say how the queue stands.
const LOOK: Duration = Duration::from_secs(5);

/// What the client library writes is OpenMetrics, which differs in two things: there, a counter is declared under its name without `_total` and
/// an info without `_info`, and units have lines of their own.
fn as_prometheus(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut help: Option<(&str, &str)> = None;
    for line in text.lines() {
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        if let Some((name, words)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            help = Some((name, words));
            continue;
        }
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                _ => ("", kind),
            };
            if let Some((_, words)) = help.take().filter(|(of, _)| *of == name) {
                out.push_str(&format!("# HELP {name}{suffix} {words}\n"));
            }
            out.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
            continue;
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}
