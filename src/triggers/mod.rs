//! What forges and trackers tell by webhook: verified bytes → an event of ours → what is done about it.
//!
//! Invariants: of a body nothing is read before it is known that whoever sent it knows the secret; what is taken stands durably in the inbox
//! ([`Store::deliver`]) before the sender hears of it, and stands there once, however often it is sent; what is done about it happens later, may
//! happen twice (a process may die amid it), comes to the same then, and follows from how things stand at the forge at that moment, never from what a payload said of
//! it.

mod command;
pub mod forges;
pub mod github;
pub mod gitlab;
pub mod jira;
mod seal;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use jiff::SignedDuration;
use reqwest::header::HeaderMap;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

pub use command::{Command, Happening};
pub use seal::{same, signed};

use crate::clock::SystemClock;
use crate::config::{Environment, ForgeKind, UserConfig};
use crate::forge::Limited;
use crate::redact::Redactor;
use crate::store::{Delivery, NewDelivery, Settled, Store, Turn};

/// A delivery as it comes in. Nobody knows yet who sent it.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// The path that it was sent to: `/hooks/github`.
    pub path: &'a str,
    /// What stands behind the question mark.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a [u8],
}

impl Incoming<'_> {
    /// The text of a header; nothing where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim()
    }
}

/// Why a delivery was not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Nothing is configured for this source.
    Unknown,
    /// It shows no sign that its sender knows the secret.
    Unsigned,
    /// The sign is wrong.
    Wrong,
    /// It is from who it should be from, and cannot be read: why.
    Unreadable(String),
}

/// What a delivery tells of.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// What its sender calls it, for people.
    pub label: String,
    /// What kind of event it is, for people.
    pub event: String,
    /// What matters of it; else why it is of no concern.
    pub matter: Result<Value, String>,
}

/// How one source's deliveries are verified and read.
pub trait Hook: Send + Sync {
    /// The end of its path, and its name in the inbox.
    fn source(&self) -> &'static str;

    /// Whether whoever sent it knows the secret: in constant time, and by the bytes of the body alone.
    ///
    /// # Errors
    /// Where that is not so.
    fn verify(&self, incoming: &Incoming<'_>) -> Result<(), Refused>;

    /// What it tells of.
    ///
    /// # Errors
    /// Where the body is not what this source sends.
    fn read(&self, incoming: &Incoming<'_>) -> Result<Told, Refused>;
}

/// What is done about one source's deliveries.
#[async_trait]
pub trait Reaction: Send + Sync {
    /// As [`Hook::source`].
    fn source(&self) -> &'static str;

    /// Does what the delivery asks for, and says what came of it. It may be asked again for the same one.
    ///
    /// # Errors
    /// Where that is not known: it is tried again later.
    async fn react(&self, delivery: &Delivery) -> Result<Reacted>;
}

/// What came of a delivery when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reacted {
    /// That is all.
    Settled(Settled),
    /// What it began is under way: it is looked at again after this time. What is said of it comes back as its detail.
    Later(Duration, String),
}

impl Reacted {
    /// Something was done: what.
    pub fn done(what: impl Into<String>) -> Self {
        Self::Settled(Settled::Done(what.into()))
    }

    /// Nothing had to be done: why.
    pub fn ignored(why: impl Into<String>) -> Self {
        Self::Settled(Settled::Ignored(why.into()))
    }
}

/// What is done to runs by who commands. The command line has the tools for it.
#[async_trait]
pub trait Orders: Send + Sync {
    /// Calls a run of the queue off, and says what was done.
    async fn cancel(&self, run: &str) -> Result<String>;
}

/// The hooks that are configured, and the inbox behind them.
pub struct Hooks {
    all: Vec<Box<dyn Hook>>,
    store: Store,
    redactor: Redactor,
    bell: Arc<Notify>,
}

impl Hooks {
    /// Those of the configuration: each source that has a secret.
    ///
    /// # Errors
    /// Where a secret's file cannot be used.
    pub fn of(
        user: &UserConfig,
        environment: &Environment,
        store: Store,
        redactor: Redactor,
    ) -> Result<Self> {
        let mut all: Vec<Box<dyn Hook>> = Vec::new();
        for forge in &user.forges {
            let Some(secret) = forge.secret.read(environment)? else { continue };
            let names = forge.repos.keys().cloned().collect();
            all.push(match forge.kind {
                ForgeKind::Github => Box::new(github::Github::new(secret, &forge.name, names)),
                ForgeKind::Gitlab => Box::new(gitlab::Gitlab::new(secret, &forge.name, names)),
            });
        }
        if let Some(config) = &user.jira
            && let Some(hook) = jira::JiraHook::of(config, environment, Arc::new(SystemClock))?
        {
            all.push(Box::new(hook));
        }
        Ok(Self { all, store, redactor, bell: Arc::default() })
    }

    /// What rings when something was taken.
    pub fn bell(&self) -> Arc<Notify> {
        self.bell.clone()
    }

    /// Takes a delivery into the inbox. Whether it was new.
    ///
    /// # Errors
    /// Why it is not let in, and the outer one where the database fails.
    pub async fn take(&self, source: &str, incoming: &Incoming<'_>) -> Result<Result<bool, Refused>> {
        let Some(hook) = self.all.iter().find(|hook| hook.source() == source) else {
            return Ok(Err(Refused::Unknown));
        };
        let told = match hook.verify(incoming).and_then(|()| hook.read(incoming)) {
            Ok(told) => told,
            Err(refused) => return Ok(Err(refused)),
        };
        // No signature covers the headers, the sender's own id among them: only the same bytes are surely the same delivery.
        let id = hex::encode(Sha256::digest(incoming.body));
        let mut payload = told.matter.as_ref().cloned().unwrap_or_default();
        self.redactor.redact_json(&mut payload, &|_| false);
        let label = short(&told.label);
        let new =
            NewDelivery { source, id: &id, label: &label, event: &short(&told.event), payload: &payload };
        let new = match &told.matter {
            Ok(_) => self.store.deliver(&new).await?,
            Err(why) => self.store.pass_over(&new, why).await?,
        };
        if new {
            tracing::info!(source, label, event = told.event, "a delivery was taken");
            self.bell.notify_waiters();
        }
        Ok(Ok(new))
    }
}

/// What is kept of a delivery whose run is under way.
fn follows(run: &str) -> String {
    format!("run {run} is under way")
}

/// The run that a delivery began, by what was kept of it.
fn under_way(detail: Option<&str>) -> Option<&str> {
    detail?.strip_prefix("run ")?.strip_suffix(" is under way")
}

/// A name of a stranger's, as it is kept.
fn short(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(100).collect()
}

/// How long a delivery is worked on before another process takes it up.
const HOLD: Duration = Duration::from_secs(600);
/// How often the inbox is looked at without being told to.
const EVERY: Duration = Duration::from_secs(5);
/// How often a delivery is tried, and the shortest and the longest wait between two times.
const TRIES: u64 = 8;
const WAITS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(900));
/// How long deliveries are remembered: no sender sends one again after that.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Works off the inbox for as long as it is polled.
pub async fn work(store: Store, bell: Arc<Notify>, reactions: Vec<Arc<dyn Reaction>>) {
    let mut sources = tokio::task::JoinSet::new();
    for reaction in reactions {
        sources.spawn(work_off(store.clone(), bell.clone(), reaction));
    }
    loop {
        if let Err(error) = forget(&store).await {
            tracing::debug!("old deliveries stay for now: {error:#}");
        }
        tokio::time::sleep(Duration::from_secs(900)).await;
    }
}

async fn forget(store: &Store) -> Result<()> {
    if store.take_turn("deliveries", Duration::from_secs(3600)).await? == Turn::Ours {
        store.forget_deliveries(store.now().checked_sub(KEPT)?).await?;
    }
    Ok(())
}

/// Works off what one source delivered, one after the other.
async fn work_off(store: Store, bell: Arc<Notify>, reaction: Arc<dyn Reaction>) {
    loop {
        let rung = bell.notified();
        match next(&store, reaction.as_ref()).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => tracing::warn!("the inbox of {} cannot be read: {error:#}", reaction.source()),
        }
        let _ = tokio::time::timeout(EVERY, rung).await;
    }
}

/// Works off the delivery that waited longest. Whether there was one.
async fn next(store: &Store, reaction: &dyn Reaction) -> Result<bool> {
    let Some(delivery) = store.next_delivery(reaction.source(), HOLD).await? else { return Ok(false) };
    match reaction.react(&delivery).await {
        Ok(Reacted::Later(wait, why)) => store.put_off_delivery(&delivery, wait, &why, 0).await?,
        Ok(Reacted::Settled(settled)) => {
            tracing::info!(
                source = delivery.source,
                label = delivery.label,
                ?settled,
                "a delivery is settled"
            );
            store.settle_delivery(&delivery, &settled).await?;
        }
        Err(error) if delivery.tries >= TRIES => {
            tracing::warn!(label = delivery.label, "a delivery of {} failed: {error:#}", delivery.source);
            store.settle_delivery(&delivery, &Settled::Failed(format!("{error:#}"))).await?;
        }
        Err(error) => {
            let doubled = WAITS.0.saturating_mul(1 << delivery.tries.min(16)).min(WAITS.1);
            let asked = error.downcast_ref::<Limited>().map(|limited| limited.after);
            let wait = asked.map_or(doubled, |asked| asked.max(doubled));
            // The run that it began stays known.
            let begun = delivery.detail.clone().filter(|detail| under_way(Some(detail)).is_some());
            let detail = begun.unwrap_or_else(|| format!("{error:#}"));
            tracing::debug!(label = delivery.label, "a delivery is tried again: {error:#}");
            store.put_off_delivery(&delivery, wait, &detail, delivery.tries).await?;
        }
    }
    Ok(true)
}
