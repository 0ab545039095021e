//! One process per run, on one machine and across machines.
//!
//! On one machine a lock of the kernel's says who works on a run: it is free again the moment its process is dead, however it died. Machines
//! that share a PostgreSQL cannot see each other's locks, so there a lease stands in the run's row as well: it runs out unless its holder
//! says from time to time that it lives, and it has a number that grows with every holder, so that one who lost it cannot write any more.

use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::Store;
use super::sql::{Pool, query};
use crate::fault::Fault;

/// How long a lease lasts that is not renewed. It is renewed three times in that time.
pub(super) const LEASE: Duration = Duration::from_secs(30);

/// A lock in a folder of the state folder, for one process at a time on this machine. Dropping it, or dying, gives it back.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.release();
    }
}

/// The private folder of a run below the state folder (not made here).
pub fn run_dir(state: &Path, run: &str) -> PathBuf {
    state.join("runs").join(run)
}

/// Ids become file names and parts of refs.
pub(super) fn check_id(run: &str) -> Result<()> {
    let plain = (1..=64).contains(&run.len()) && run.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if plain && !run.starts_with('-') {
        return Ok(());
    }
    let run: String = run.chars().take(80).collect();
    Err(Fault::usage(format!("{run:?} is no run's id")).into())
}

impl Lock {
    /// Takes the lock of `run`; `None` where another process has it.
    ///
    /// # Errors
    /// Where the lock file cannot be made.
    pub fn acquire(state: &Path, run: &str) -> Result<Option<Self>> {
        check_id(run)?;
        let dir = run_dir(state, run);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .with_context(|| format!("cannot make {}", dir.display()))?;
        let file = open(&dir, true)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error).context("cannot lock the run"),
        }
    }

    /// Whether a process has the lock of `run` now.
    ///
    /// # Errors
    /// Where the lock file cannot be read.
    pub fn is_held(state: &Path, run: &str) -> Result<bool> {
        check_id(run)?;
        let dir = run_dir(state, run);
        if !dir.join("lock").exists() {
            return Ok(false);
        }
        let file = open(&dir, false)?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => {
                let _ = flock(&file, FlockOperation::Unlock);
                Ok(false)
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(error).context("cannot ask for the run's lock"),
        }
    }

    /// A program that is just being started shares the open file until its `exec`: closing ours alone would leave the lock held for
    /// that moment.
    fn release(&self) {
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

fn open(dir: &Path, create: bool) -> Result<File> {
    let path = dir.join("lock");
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(create)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))
}

/// The right to work on a run. Dropping it, or dying, gives it back: at once on this machine, on others when it has run out.
#[derive(Debug)]
pub struct Lease {
    run: String,
    lock: Lock,
    row: Option<Held>,
}

/// A lease that stands in the run's row.
#[derive(Debug)]
struct Held {
    store: Store,
    fence: i64,
    lost: watch::Receiver<bool>,
    beat: AbortHandle,
    /// Whether the row has it no more, so that nothing is left to be done when it is dropped.
    given_back: AtomicBool,
}

impl Lease {
    /// The run.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// The number that the run's row must have for its holder to write; `None` where the lock alone decides.
    pub(super) fn fence(&self) -> Option<i64> {
        self.row.as_ref().map(|held| held.fence)
    }

    /// Returns when the lease is lost: it ran out, because the database could not be reached for too long, or somebody else took it.
    /// Whoever works on the run stops then: another one may have begun.
    pub async fn lost(&self) {
        match &self.row {
            Some(held) => {
                let mut lost = held.lost.clone();
                // The sender goes only with the task, which says so first.
                let _ = lost.wait_for(|lost| *lost).await;
            }
            None => std::future::pending().await,
        }
    }

    /// With the row's number `fence`, renewed from now on.
    pub(super) fn new(store: &Store, run: &str, lock: Lock, fence: Option<i64>, asked: Instant) -> Self {
        let row = fence.map(|fence| {
            let (say, lost) = watch::channel(false);
            let task = tokio::spawn(renew(store.clone(), run.to_owned(), fence, asked, say));
            let beat = task.abort_handle();
            Held { store: store.clone(), fence, lost, beat, given_back: AtomicBool::new(false) }
        });
        Self { run: run.to_owned(), lock, row }
    }

    /// Says that the run's row has it no more.
    pub(super) fn given_back(&self) {
        if let Some(held) = &self.row {
            held.given_back.store(true, Ordering::Relaxed);
        }
    }

    /// Gives up the lock before the lease itself goes, so that whoever sees in the database that the run is free finds it so.
    pub(super) fn unlock(&self) {
        self.lock.release();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.beat.abort();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(held), Ok(runtime)) = (&self.row, tokio::runtime::Handle::try_current()) else { return };
        if held.given_back.load(Ordering::Relaxed) {
            return;
        }
        // Nobody waits for it: a lease that is not given back runs out.
        let (store, run, fence) = (held.store.clone(), self.run.clone(), held.fence);
        runtime.spawn(async move {
            let released = query("UPDATE runs SET lease_until = 0 WHERE id = $1 AND fence = $2");
            if let Err(error) = released.bind(run).bind(fence).execute(&store).await {
                tracing::debug!("a lease has to run out: {error:#}");
            }
        });
    }
}

/// Says three times per lease that its holder lives. A holder that cannot say so gives up before the others may take the run.
async fn renew(store: Store, run: String, fence: i64, asked: Instant, lost: watch::Sender<bool>) {
    let third = store.lease / 3;
    let mut held_since = asked;
    loop {
        tokio::time::sleep(third).await;
        let asked = Instant::now();
        let renewed = query("UPDATE runs SET lease_until = @now + $3 WHERE id = $1 AND fence = $2")
            .bind(&run)
            .bind(fence)
            .bind(store.lease_millis());
        match tokio::time::timeout(third, renewed.execute(&store)).await {
            Ok(Ok(1..)) => held_since = asked,
            Ok(Ok(0)) => break,
            Ok(Err(error)) => tracing::debug!(run, "its lease was not renewed: {error:#}"),
            Err(_) => tracing::debug!(run, "its lease was not renewed: the database does not answer"),
        }
        if held_since.elapsed() >= 2 * third {
            break;
        }
    }
    tracing::warn!("the lease of run {} is lost: its work here stops", super::short(&run));
    let _ = lost.send(true);
}

impl Store {
    /// Takes the right to work on a run; `None` where another process has it.
    ///
    /// # Errors
    /// Where the lock file cannot be made, or the database fails.
    pub async fn acquire(&self, run: &str) -> Result<Option<Lease>> {
        let Some(lock) = Lock::acquire(&self.state, run)? else { return Ok(None) };
        let asked = Instant::now();
        let Pool::Postgres(_) = &self.pool else { return Ok(Some(Lease::new(self, run, lock, None, asked))) };
        // Whoever held it on this machine is dead: else the lock would not be ours now.
        let taken = query(
            "UPDATE runs SET fence = fence + 1, holder = $2, lease_until = @now + $3 \
             WHERE id = $1 AND (lease_until <= @now OR holder = $2) RETURNING fence",
        );
        let taken = taken.bind(run).bind(&self.place).bind(self.lease_millis()).first(self).await?;
        taken.map(|row| Ok(Lease::new(self, run, lock, Some(row.get("fence")?), asked))).transpose()
    }

    /// Whether a process works on `run` now, on this machine or on another.
    ///
    /// # Errors
    /// Where the lock file cannot be read, or the database fails.
    pub async fn is_held(&self, run: &str) -> Result<bool> {
        if Lock::is_held(&self.state, run)? {
            return Ok(true);
        }
        let Pool::Postgres(_) = &self.pool else { return Ok(false) };
        let elsewhere = query("SELECT 1 FROM runs WHERE id = $1 AND lease_until > @now AND holder <> $2");
        Ok(elsewhere.bind(run).bind(&self.place).first(self).await?.is_some())
    }

    pub(super) fn lease_millis(&self) -> i64 {
        i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX)
    }
}
