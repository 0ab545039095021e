//! Takes runs from the queue, has them driven, and gives back what it does not finish.
//!
//! How a run is driven is its [`Driver`]'s business: the same loop as everywhere. A worker sees to it that a run is worked on only while its
//! lease holds, ends when somebody cancels it, and is left whole for the next worker where this one has to go.

mod off;

use std::collections::HashMap;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tracing::Instrument;

pub use off::{CalledOff, Why};

use crate::store::{Back, Claim, MOST_DEATHS, Priority, Store, TooOld, Wake, is_interruption, short};

/// Takes a claimed run to its end.
#[async_trait(?Send)]
pub trait Driver {
    /// Goes on with the run from its last event until it is over, unless it is called off.
    ///
    /// # Errors
    /// Where it could not go on. The run goes back to the queue, for a while, unless it is over.
    async fn drive(&self, claim: &Claim, off: &CalledOff) -> Result<Driven>;

    /// Hears what becomes of a run here.
    fn tell(&self, run: &str, what: &Told<'_>);
}

/// What becomes of a claimed run, for people and for counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told<'a> {
    /// This worker has it now.
    Claimed {
        /// How urgent it is.
        priority: Priority,
        /// How long it could have been claimed before it was.
        waited: Duration,
    },
    /// Another worker may have it: nothing more is done for it here.
    LeaseLost,
    /// It is over, or waits for a person.
    Over,
    /// It went back to the queue for another worker.
    HandedOver,
    /// It cannot be done here as things are, and why.
    Blocked(&'a str),
    /// It failed, and why; it is tried again later unless it is over.
    Failed(&'a str),
}

impl std::fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Told::Claimed { .. } => f.write_str("claimed"),
            Told::LeaseLost => f.write_str("its lease is lost; another worker goes on with it"),
            Told::Over => f.write_str("over"),
            Told::HandedOver => f.write_str("given back to the queue; another worker goes on with it"),
            Told::Blocked(reason) => write!(f, "cannot be done here: {reason}"),
            Told::Failed(error) => write!(f, "failed: {error}"),
        }
    }
}

/// How driving a run came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Driven {
    /// It is over, or waits for a person.
    Over,
    /// It cannot be done here as things are, and why.
    Blocked(String),
    /// It was called off to be gone on with by another worker.
    HandedOver,
}

/// How a worker works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What it is called: no two at the same time have the same name.
    pub name: String,
    /// How many runs it has at once.
    pub concurrency: usize,
    /// Whether it ends when there is nothing left that can be claimed now.
    pub once: bool,
    /// How long runs under way may take to end once the worker is asked to.
    pub grace: Duration,
}

/// How often a worker looks for work though nobody woke it.
const LOOK: Duration = Duration::from_secs(30);

/// The least time between two looks that nobody asked for.
const LEAST: Duration = Duration::from_millis(200);

/// How long a worker waits before it tries a store again that failed.
const RETRY: Duration = Duration::from_secs(2);

/// How long a run waits that failed, the first time; twice as long each time after.
const AGAIN: Duration = Duration::from_secs(30);

/// Works until `stop` says so, then finishes or gives back what is under way.
///
/// # Errors
/// Where the store cannot be used at the start. What fails later is tried again.
pub async fn work(
    store: &Store,
    driver: Rc<dyn Driver>,
    settings: &Settings,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    // All runs share a thread, as they mostly wait for what they started; leases are renewed on others. Whoever drops this drops the runs.
    LocalSet::new().run_until(claim_and_drive(store, driver, settings, stop)).await
}

async fn claim_and_drive(
    store: &Store,
    driver: Rc<dyn Driver>,
    settings: &Settings,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let mut wake = store.wake().await?;
    let mut hands = Hands { store: store.clone(), driver, under_way: HashMap::new(), tasks: JoinSet::new() };
    tokio::pin!(stop);
    loop {
        let idle = match hands.fill(settings).await {
            Ok(_) if settings.once && hands.tasks.is_empty() => return Ok(()),
            Ok(idle) => idle.clamp(LEAST, LOOK),
            // Nothing is begun any more; what is under way ends, or is for newer workers.
            Err(error) if error.is::<TooOld>() => {
                hands.end(settings.grace, &mut wake, &settings.name).await;
                return Err(error);
            }
            Err(error) => {
                tracing::warn!("the queue cannot be read: {error:#}");
                RETRY
            }
        };
        tokio::select! {
            biased;
            () = &mut stop => break,
            done = hands.next() => hands.under_way.retain(|run, _| *run != done),
            () = wake.changed() => hands.pass_on_cancellations(&settings.name).await,
            () = tokio::time::sleep(idle) => {}
        }
    }
    hands.end(settings.grace, &mut wake, &settings.name).await;
    Ok(())
}

/// The runs that a worker has.
struct Hands {
    store: Store,
    driver: Rc<dyn Driver>,
    under_way: HashMap<String, watch::Sender<Option<Why>>>,
    tasks: JoinSet<String>,
}

impl Hands {
    /// Claims as many runs as there is room for. Tells how long nothing happens by itself.
    async fn fill(&mut self, settings: &Settings) -> Result<Duration> {
        self.store.tend().await?;
        while self.under_way.len() < settings.concurrency {
            let Some(claim) = self.store.claim(&settings.name).await? else { break };
            let why = match (claim.cancelled, claim.deaths) {
                (true, _) => Some(Why::Cancelled),
                (false, deaths) if deaths >= MOST_DEATHS => Some(Why::GivenUp { deaths }),
                _ => None,
            };
            let (say, off) = watch::channel(why);
            self.under_way.insert(claim.run.clone(), say);
            let (store, driver) = (self.store.clone(), self.driver.clone());
            let span = tracing::error_span!("run", run = claim.run);
            let work = async move {
                let run = claim.run.clone();
                have_driven(&store, driver.as_ref(), claim, CalledOff::new(off)).await;
                run
            };
            self.tasks.spawn_local(work.instrument(span));
        }
        Ok(self.store.quiet().await?.unwrap_or(LOOK))
    }

    /// The next run that is done with here.
    async fn next(&mut self) -> String {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(run)) => return run,
                // A panic is told where it happens; the run is a dead worker's.
                Some(Err(_)) => {
                    let gone = self.under_way.iter().find(|(_, say)| say.is_closed());
                    if let Some(run) = gone.map(|(run, _)| run.clone()) {
                        return run;
                    }
                }
                None => pending().await,
            }
        }
    }

    async fn pass_on_cancellations(&self, name: &str) {
        if self.under_way.is_empty() {
            return;
        }
        match self.store.cancelled(name).await {
            Ok(runs) => {
                for say in runs.iter().filter_map(|run| self.under_way.get(run)) {
                    say.send_if_modified(|why| why.is_none() && why.replace(Why::Cancelled).is_none());
                }
            }
            Err(error) => tracing::warn!("cannot see what was cancelled: {error:#}"),
        }
    }

    /// Lets what is under way end within `grace`, and hands over the rest.
    async fn end(mut self, grace: Duration, wake: &mut Wake, name: &str) {
        let late = tokio::time::sleep(grace);
        tokio::pin!(late);
        while !self.tasks.is_empty() {
            tokio::select! {
                biased;
                done = self.next() => self.under_way.retain(|run, _| *run != done),
                () = wake.changed() => self.pass_on_cancellations(name).await,
                () = &mut late => break,
            }
        }
        if self.tasks.is_empty() {
            return;
        }
        // A call of a model is booked, a landing completed; then the runs are let go.
        crate::process::leave().await;
        for say in self.under_way.values() {
            say.send_if_modified(|why| why.is_none() && why.replace(Why::HandOver).is_none());
        }
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Has one run driven, and sees to what becomes of it in the queue.
async fn have_driven(store: &Store, driver: &dyn Driver, claim: Claim, off: CalledOff) {
    driver.tell(&claim.run, &Told::Claimed { priority: claim.priority, waited: claim.waited });
    let lease = claim.lease.clone();
    let done = tokio::select! {
        biased;
        done = driver.drive(&claim, &off) => done,
        // Another worker may have it already: nothing more is written for it.
        () = lease.lost() => return driver.tell(&claim.run, &Told::LeaseLost),
    };
    let run = claim.run.clone();
    let settled = match done {
        Ok(Driven::Over) => {
            driver.tell(&run, &Told::Over);
            store.over(claim).await
        }
        Ok(Driven::HandedOver) => {
            driver.tell(&run, &Told::HandedOver);
            store.give_back(claim, &Back::HandedOver).await
        }
        Ok(Driven::Blocked(reason)) => {
            driver.tell(&run, &Told::Blocked(&reason));
            store.give_back(claim, &Back::Blocked { reason }).await
        }
        Err(error) => failed(store, driver, claim, &error).await,
    };
    if let Err(error) = settled {
        tracing::warn!("run {} could not be given back and is for others to rescue: {error:#}", short(&run));
    }
}

/// A run that failed is over where its last event says so, else it is tried again later.
async fn failed(store: &Store, driver: &dyn Driver, claim: Claim, error: &anyhow::Error) -> Result<()> {
    driver.tell(&claim.run, &Told::Failed(&format!("{error:#}")));
    if store.queued(&claim.run).await?.is_none() {
        return store.over(claim).await;
    }
    let reason = format!("{error:#}");
    // What came from the store itself says nothing about the run.
    let how = match is_interruption(error) {
        true => Back::Later { wait: RETRY, reason },
        false => Back::Failed { wait: AGAIN * 2_u32.pow(claim.deaths.min(6)), reason },
    };
    store.give_back(claim, &how).await
}
