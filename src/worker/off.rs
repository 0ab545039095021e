//! Calling off a run that is under way.

use tokio::sync::watch;

/// Why a run is called off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Somebody cancelled it: it ends.
    Cancelled,
    /// So many workers died over it: it ends.
    GivenUp {
        /// How many.
        deaths: u32,
    },
    /// Its worker has to go: another one goes on.
    HandOver,
    /// Its repo is halted: somebody goes on once that is lifted.
    Halted,
}

/// Whether a run is called off.
#[derive(Debug, Clone)]
pub struct CalledOff(watch::Receiver<Option<Why>>);

impl CalledOff {
    /// Heard from whoever has the sender.
    pub fn new(said: watch::Receiver<Option<Why>>) -> Self {
        Self(said)
    }

    /// Why it is called off, if it is.
    pub fn now(&self) -> Option<Why> {
        *self.0.borrow()
    }

    /// Does `work` unless it is called off first. What is under way is dropped then, but never between the steps of a landing.
    ///
    /// # Errors
    /// Why it was called off.
    pub async fn unless<T>(&self, work: impl Future<Output = T>) -> Result<T, Why> {
        let mut said = self.0.clone();
        let mut work = Box::pin(work);
        let why = tokio::select! {
            done = &mut work => return Ok(done),
            why = called(&mut said) => why,
        };
        let nothing_lands = tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            guard = crate::process::landing() => guard,
        };
        drop(work);
        drop(nothing_lands);
        Err(why)
    }
}

async fn called(said: &mut watch::Receiver<Option<Why>>) -> Why {
    match said.wait_for(Option::is_some).await.map(|why| *why) {
        Ok(Some(why)) => why,
        // Nobody is left who could call it off.
        _ => std::future::pending().await,
    }
}
