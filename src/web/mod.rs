//! `regreen serve`: the API under `/api/v1`, the dashboard at `/`, live events.
//!
//! Invariants: nothing is served to a caller without a valid token but the health checks, to programs of this machine the metrics, the API's description, the form that asks for a
//! token and the style sheet, and what webhooks are answered, which show their sender by a signature; every change that is asked for stands in the audit log before it is made; a page's form changes nothing
//! without the secret of its own session; text from a repo, a log or a model reaches a page as text (`pages`).

mod access;
mod api;
mod chart;
mod colour;
mod diff;
mod door;
pub(crate) mod figures;
mod hooks;
mod live;
mod log;
mod operators;
mod pages;
mod problem;
mod repeat;
mod sentry;
mod server;
mod standing;
mod story;

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use axum::Router;
use axum::http::Uri;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::csrf::CsrfLayer;

pub use access::{Scope, mint, mint_key};
pub use door::Hosts;
pub use operators::{Watched, serve_operators};
pub use server::serve;

use crate::clock::Clock;
use crate::config::{Effective, Environment, IncidentRules};
use crate::objects::Objects;
use crate::redact::Redactor;
use crate::repos::Look;
use crate::store::{ProposalRow, Store};
use crate::telemetry::Metrics;
use crate::triggers::Hooks;

/// What the names of tokens begin with that `regreen serve` makes and prints by itself, for this machine only.
pub const LOCAL: &str = "printed at ";

/// What the service can do to runs, and see of repos. The command line has the tools for it.
///
/// Errors are [`Fault`](crate::fault::Fault)s where the run, or the folder, does not allow it as it stands.
#[async_trait]
pub trait Actions: Send + Sync {
    /// `by` says something to the patch that waits in the run, or to another candidate. What is agreed to lands behind this call, another candidate
    /// once it is proven.
    async fn answer(&self, run: &str, by: &str, answer: Answer) -> Result<Came>;

    /// Takes the run's landing back; with `reset` the branch moves back instead of getting a commit that reverts. Says what was done.
    async fn roll_back(&self, run: &str, reset: bool) -> Result<String>;

    /// `by` agrees to what a proposal came to, whose digest is `patch`. It does not land yet: [`Came::Lands`] where it may.
    async fn approve_proposal(
        &self,
        proposal: &ProposalRow,
        by: &str,
        patch: &str,
        remark: Option<&str>,
    ) -> Result<Came>;

    /// Has an approved proposal landed by a worker.
    async fn apply_proposal(&self, proposal: &ProposalRow) -> Result<()>;

    /// `by` refuses a proposal.
    async fn reject_proposal(&self, proposal: &ProposalRow, by: &str, reason: &str) -> Result<()>;

    /// Calls a run of the queue off. Says what was done.
    async fn cancel(&self, run: &str) -> Result<String>;

    /// Puts a run into the queue again for `by`, and gives the run that it is there.
    async fn retry(&self, run: &str, by: &str) -> Result<String>;

    /// The root of the git repository that a folder of this machine is or lies in.
    async fn root_of(&self, named: &std::path::Path) -> Result<String>;

    /// Looks at a repo of this machine.
    async fn look(&self, repo: &str) -> Look;
}

/// What a person says to a patch that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It may land.
    Approve {
        /// Which patch they mean.
        patch: Which,
        /// What they remark.
        remark: Option<String>,
    },
    /// It may not.
    Reject {
        /// Why.
        reason: String,
    },
}

/// Which patch of a run that waits is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The one that waits.
    Waiting,
    /// The candidate with this number, from 1.
    Numbered(usize),
    /// The one that has this digest, or whose digest begins so (16 characters at least): what waits, or another candidate.
    Digest(String),
}

/// What came of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// It lands now.
    Lands,
    /// Another candidate than the one that waited is proven now, the one with this number.
    Proves(usize),
    /// More people have to agree.
    Waits {
        /// How many did.
        have: usize,
        /// How many have to.
        needed: usize,
    },
    /// Nothing lands.
    Refused,
}

impl Came {
    /// The same for people.
    pub fn told(&self) -> String {
        match self {
            Came::Lands => "approved; it lands now".to_owned(),
            Came::Proves(number) => {
                format!("candidate {number} is approved; it is proven first, and lands if it holds")
            }
            Came::Waits { have, needed } => {
                format!("approved; {have} of {needed} people agreed, and it waits for the others")
            }
            Came::Refused => "rejected; nothing was changed".to_owned(),
        }
    }
}

/// What the service works with.
pub struct Service {
    /// The store.
    pub store: Store,
    /// Where logs are kept.
    pub objects: Objects,
    /// The machine's clock.
    pub clock: Arc<dyn Clock>,
    /// Takes secrets out of what is shown.
    pub redactor: Redactor,
    /// What the process was started with: git runs by it.
    pub environment: Environment,
    /// What is done about incidents by itself.
    pub incidents: IncidentRules,
    /// What forges and trackers may deliver.
    pub hooks: Hooks,
    /// What is in force, for people.
    pub settings: Vec<Effective>,
    /// What can be done to runs.
    pub actions: Arc<dyn Actions>,
    /// The names under which the service may be called.
    pub hosts: Hosts,
    /// Calls that a token may make in a minute.
    pub rate: std::num::NonZeroU32,
    /// Where everything is counted.
    pub metrics: Arc<Metrics>,
}

/// The service as its handlers share it.
pub(crate) struct Shared {
    service: Service,
    limits: access::Limits,
    sentry: sentry::Limits,
    pulse: live::Pulse,
    streams: Arc<live::Streams>,
    /// What operators are told.
    watched: Watched,
    /// The API's description, as it is served.
    document: String,
}

impl std::ops::Deref for Shared {
    type Target = Service;
    fn deref(&self) -> &Service {
        &self.service
    }
}

pub(crate) type App = axum::extract::State<Arc<Shared>>;

/// A path that is none: programs are told as programs are, people as people.
async fn nowhere(uri: Uri) -> Response {
    match uri.path().starts_with("/api/") {
        true => api::nowhere().into_response(),
        false => pages::nowhere(uri).await.into_response(),
    }
}

/// All routes with everything that stands before them.
fn router(service: Service, pulse: live::Pulse) -> Result<Router> {
    let (api, document) = api::routes();
    let limits = access::Limits::new(service.rate);
    let sentry = sentry::Limits::new(service.rate);
    let watched = Watched {
        metrics: service.metrics.clone(),
        store: service.store.clone(),
        state: service.objects.path(""),
    };
    let shared = Arc::new(Shared {
        limits,
        sentry,
        pulse,
        streams: Arc::default(),
        watched,
        document: document.to_pretty_json()?,
        service,
    });
    let pages = pages::routes()
        .layer(from_fn_with_state(shared.clone(), access::recorded))
        .layer(from_fn_with_state(shared.clone(), access::in_browser));
    let api = api
        .layer(from_fn_with_state(shared.clone(), repeat::once))
        .layer(from_fn_with_state(shared.clone(), access::recorded))
        .layer(from_fn_with_state(shared.clone(), access::by_token));
    let open = api::open_routes()
        .merge(pages::open_routes())
        .merge(operators::routes(&shared))
        .merge(sentry::routes())
        .merge(hooks::routes());
    let mut csrf = CsrfLayer::new().with_rejection_response(problem::cross_site);
    if let Some(origin) = shared.hosts.origin() {
        csrf = csrf.add_trusted_origin(origin)?;
    }
    let all = Router::new()
        .merge(pages)
        .merge(api)
        .merge(open)
        .fallback(nowhere)
        .method_not_allowed_fallback(problem::wrong_method);
    Ok(all
        .layer(from_fn(door::tagged))
        .layer(csrf)
        .layer(from_fn_with_state(shared.clone(), door::guarded))
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(from_fn(door::dressed))
        .layer(from_fn_with_state(shared.clone(), operators::counted))
        .with_state(shared))
}
