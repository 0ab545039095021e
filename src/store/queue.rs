//! The queue: which run is worked on next, by whom, and what becomes of the runs of workers that died.
//!
//! **Whose turn it is.** Every run has a moment at which it is due: when it may begin, and a head start for the more urgent ones
//! ([`Priority::patience`]). Within a repo the run that is due first is next, so a waiting run is overtaken only by runs that were submitted
//! before its patience was over. Among repos, runs that are due are all alike, and those due later are the less urgent the more steps of
//! [`STEP`] they have left. Of the repos whose first run is the most urgent, the one that was served longest ago is next. So one repo with a
//! thousand runs takes turns with one that has a single run, and no run waits for ever: it is due after at most three steps, and then
//! each other repo goes before it at most once per run that is due before it in its own repo.
//!
//! **Who works on it.** A claim takes the repo's row first: whoever holds it decides alone how many of the repo's runs are under way. Rows are
//! always locked in the order repo, queue, run. Claims pass over repos that others are claiming from.
//!
//! **Time** is the database's own, never a worker's.

mod claim;
mod orders;
mod rescue;
mod rows;
mod submit;

use std::time::Duration;

use anyhow::Result;

pub use rows::{Back, Cancelled, Claim, Depth, Priority, Queued, Standing, Submission, Submitted};

use super::Store;
use super::sql::{Transaction, query, signed};

/// How much sooner a run is due than one that is a priority lower.
pub const STEP: Duration = Duration::from_secs(15 * 60);

/// How often a run is given to another worker after the one that had it died, before it is given up: what kills five may kill the sixth.
pub const MOST_DEATHS: u32 = 5;

impl Store {
    /// Makes the repo's row where there is none, and locks it.
    pub(super) async fn know(&self, transaction: &mut Transaction, repo: &str) -> Result<()> {
        loop {
            self.note_repo(transaction, repo).await?;
            // Somebody may remove it between the two.
            if self.lock_repo(transaction, repo).await? {
                return Ok(());
            }
        }
    }

    /// Locks the repo's row, and tells whether there is one.
    pub(super) async fn lock_repo(&self, transaction: &mut Transaction, repo: &str) -> Result<bool> {
        let row = query("SELECT repo FROM repos WHERE repo = $1 @lock").bind(repo).first(transaction).await?;
        Ok(row.is_some())
    }

    /// Writes what follows for the repo from the queue, and wakes whoever waits for it.
    pub(super) async fn changed(&self, transaction: &mut Transaction, repo: &str) -> Result<()> {
        self.follow(transaction, repo, false).await?;
        self.ring(transaction).await
    }

    /// The same where a run has left: nobody is woken for nothing, as waking makes everybody's commits wait for each other.
    async fn left(&self, transaction: &mut Transaction, repo: &str) -> Result<()> {
        match self.follow(transaction, repo, false).await? {
            true => self.ring(transaction).await,
            false => Ok(()),
        }
    }

    /// Writes what follows for the repo from the queue, and tells whether one of its runs can be claimed. Where it was `served`, it comes last in
    /// the round.
    async fn follow(&self, transaction: &mut Transaction, repo: &str, served: bool) -> Result<bool> {
        let followed = query(
            "UPDATE repos SET served = CASE WHEN $2 THEN (SELECT MAX(served) FROM repos) + 1 ELSE served END, \
             running = (SELECT COUNT(*) FROM queue WHERE repo = $1 AND state = 'running'), \
             head = CASE WHEN paused OR EXISTS (SELECT 1 FROM halts WHERE halts.repo = $1 OR halts.repo = '') \
             OR concurrency <= (SELECT COUNT(*) FROM queue WHERE repo = $1 AND state = 'running') \
             THEN NULL ELSE (SELECT MIN(due) FROM queue WHERE repo = $1 AND state = 'queued') END WHERE repo = $1 \
             RETURNING head",
        );
        let row = followed.bind(repo).bind(served).first(transaction).await?;
        Ok(row.map(|row| row.get::<Option<i64>>("head")).transpose()?.flatten().is_some())
    }

    /// What follows from a halt, or its end, of a repo or of all, for whoever looks for work and whoever works.
    pub(super) async fn follow_halt(&self, transaction: &mut Transaction, repo: Option<&str>) -> Result<()> {
        if let Some(repo) = repo {
            return self.changed(transaction, repo).await;
        }
        query(
            "UPDATE repos SET head = CASE WHEN paused OR EXISTS (SELECT 1 FROM halts WHERE halts.repo = repos.repo OR halts.repo = '') \
             OR concurrency <= (SELECT COUNT(*) FROM queue WHERE queue.repo = repos.repo AND state = 'running') \
             THEN NULL ELSE (SELECT MIN(due) FROM queue WHERE queue.repo = repos.repo AND state = 'queued') END",
        )
        .execute(&mut *transaction)
        .await?;
        self.ring(transaction).await
    }

    /// The runs in the queue, those under way first, then by when they are due.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn queue(&self, limit: u32) -> Result<Vec<Queued>> {
        let rows = query(
            "SELECT @columns(queue) FROM queue ORDER BY CASE state WHEN 'running' THEN 0 ELSE 1 END, due, run LIMIT $1",
        );
        rows.bind(i64::from(limit)).all(self).await?.iter().map(Queued::from_row).collect()
    }

    /// Where a run stands in the queue; `None` where it is not in it.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn queued(&self, run: &str) -> Result<Option<Queued>> {
        let row = query("SELECT @columns(queue) FROM queue WHERE run = $1").bind(run).first(self).await?;
        row.as_ref().map(Queued::from_row).transpose()
    }

    /// How many runs there are in the queue.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn depth(&self) -> Result<Depth> {
        let mut depth = Depth::default();
        for row in query("SELECT state, COUNT(*) AS n FROM queue GROUP BY state").all(self).await? {
            let n = row.count("n")?;
            match Standing::parse(&row.get::<String>("state")?)? {
                Standing::Queued => depth.queued = n,
                Standing::Delayed => depth.delayed = n,
                Standing::Blocked => depth.blocked = n,
                Standing::Running => depth.running = n,
            }
        }
        Ok(depth)
    }

    /// How long nothing happens by itself: until the next delay or lease is over. `None` where nothing will.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn quiet(&self) -> Result<Option<Duration>> {
        let row = query(
            "SELECT MIN(moment) - @now AS left_over FROM ( \
             SELECT MIN(not_before) AS moment FROM queue WHERE state = 'delayed' UNION ALL \
             SELECT MIN(lease_until) FROM runs WHERE id IN (SELECT run FROM queue WHERE state = 'running') \
             AND lease_until > 0) AS moments",
        );
        let left: Option<i64> = row.one(self).await?.get("left_over")?;
        Ok(left.map(|millis| Duration::from_millis(millis.max(0).unsigned_abs())))
    }
}

pub(super) fn millis(duration: Duration) -> i64 {
    signed(duration.as_millis().try_into().unwrap_or(u64::MAX))
}
