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

use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::lease::{Lease, Lock, check_id};
use super::sql::{Pool, Row, Transaction, query, signed};
use super::{NewRun, Projection, Proposes, Store};
use crate::fault::Fault;

/// How much sooner a run is due than one that is a priority lower.
pub const STEP: Duration = Duration::from_secs(15 * 60);

/// How often a run is given to another worker after the one that had it died, before it is given up: what kills five may kill the sixth.
pub const MOST_DEATHS: u32 = 5;

/// How urgent a run is.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// Due at once.
    Urgent,
    /// Due after one step.
    High,
    /// Due after two steps.
    #[default]
    Normal,
    /// Due after three steps.
    Low,
}

impl Priority {
    /// All, the most urgent first.
    pub const ALL: [Priority; 4] = [Priority::Urgent, Priority::High, Priority::Normal, Priority::Low];

    /// As written in the database.
    pub fn as_str(self) -> &'static str {
        ["urgent", "high", "normal", "low"][self as usize]
    }

    /// How long a run may be overtaken by urgent ones.
    pub fn patience(self) -> Duration {
        STEP * self as u32
    }

    pub(super) fn parse(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|priority| priority.as_str() == text);
        found.with_context(|| format!("unknown priority {text:?} in the store"))
    }
}

/// How a run stands in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// May be claimed.
    Queued,
    /// May be claimed later.
    Delayed,
    /// Nobody can do it as things are: see the reason. `regreen retry` puts it back.
    Blocked,
    /// A worker has it.
    Running,
}

impl Standing {
    const ALL: [Standing; 4] = [Standing::Queued, Standing::Delayed, Standing::Blocked, Standing::Running];

    /// As written in the database.
    pub fn as_str(self) -> &'static str {
        ["queued", "delayed", "blocked", "running"][self as usize]
    }

    fn parse(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|standing| standing.as_str() == text);
        found.with_context(|| format!("unknown standing {text:?} in the store"))
    }
}

/// A run to be put into the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The run; its status must be [`Status::Queued`](super::Status::Queued).
    pub run: NewRun,
    /// How urgent it is.
    pub priority: Priority,
    /// Who submits the same key again gets the same run.
    pub key: Option<String>,
    /// How long it may not be claimed from now on.
    pub delay: Duration,
    /// What it is to a proposal, if it is for one.
    pub proposes: Option<Proposes>,
}

/// What became of a submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Submitted {
    /// The run's id; that of an earlier one where the key was known.
    pub run: String,
    /// Whether it is a new one.
    pub new: bool,
}

/// A run that a worker has. Dropping it gives the lease back; the queue takes the run for a dead worker's then, so say how it went:
/// [`Store::give_back`] or [`Store::over`].
#[derive(Debug)]
pub struct Claim {
    /// The run.
    pub run: String,
    /// Its repo.
    pub repo: String,
    /// How urgent it is.
    pub priority: Priority,
    /// How many workers died while they had it.
    pub deaths: u32,
    /// Whether somebody cancelled it: nothing is left to be done but to end it.
    pub cancelled: bool,
    /// The right to work on it.
    pub lease: std::sync::Arc<Lease>,
}

/// Why a claimed run goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Back {
    /// Its worker is to end; another one goes on.
    HandedOver,
    /// Something failed that may pass: again after this time. Counts as a death.
    Failed {
        /// How long to wait.
        wait: Duration,
        /// What failed.
        reason: String,
    },
    /// Nobody can do it as things are.
    Blocked {
        /// Why.
        reason: String,
    },
}

/// What [`Store::cancel`] led to.
#[derive(Debug)]
pub enum Cancelled {
    /// Nobody worked on it: it is the caller's now, who records its end.
    Claimed(Box<Claim>),
    /// A worker has it and was told to stop.
    Told {
        /// The worker.
        worker: String,
    },
    /// It is not in the queue.
    Absent,
}

/// A row of `queue`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Queued {
    /// The run.
    pub run: String,
    /// Its repo.
    pub repo: String,
    /// How urgent it is.
    pub priority: Priority,
    /// How it stands.
    pub standing: Standing,
    /// When it is due.
    pub due: Timestamp,
    /// Before this it is not claimed.
    pub not_before: Timestamp,
    /// When it came into the queue.
    pub submitted_at: Timestamp,
    /// When it was claimed last.
    pub claimed_at: Option<Timestamp>,
    /// The worker that has it.
    pub worker: Option<String>,
    /// How many workers died while they had it.
    pub deaths: u32,
    /// Whether somebody cancelled it.
    pub cancelled: bool,
    /// Why it is blocked or delayed.
    pub reason: Option<String>,
}

/// A row of `repos`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepoRow {
    /// The repo, as runs name it.
    pub repo: String,
    /// How many of its runs may be under way at once.
    pub concurrency: u32,
    /// Whether no more of its runs are begun.
    pub paused: bool,
    /// How many are under way.
    pub running: u64,
}

/// How many runs of each standing there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Depth {
    /// May be claimed.
    pub queued: u64,
    /// May be claimed later.
    pub delayed: u64,
    /// Cannot be done as things are.
    pub blocked: u64,
    /// Under way.
    pub running: u64,
}

impl Store {
    /// Puts a new run into the queue, with its first event, in one transaction. Durable when it returns. The same key always leads to the same
    /// run.
    ///
    /// # Errors
    /// A [`Fault`] (exit 2) where the key belongs to a run of another repo or goal, the id is taken or is no plain name, or the proposal that
    /// it is for does not stand so that this can happen to it. Nothing is written then.
    pub async fn submit(&self, submission: &Submission, kind: &str, payload: &Value) -> Result<Submitted> {
        let run = &submission.run;
        check_id(&run.id)?;
        let mut transaction = self.begin().await?;
        self.know(&mut transaction, &run.repo).await?;
        let at = self.now();
        let (key, priority) = (submission.key.as_deref(), Some(submission.priority));
        let proposal = submission.proposes.as_ref().map(Proposes::id);
        if !self.insert(&mut transaction, run, at, key, priority, proposal).await? {
            drop(transaction);
            return self.known(submission).await;
        }
        if let Some(proposes) = &submission.proposes {
            self.propose(&mut transaction, proposes, run, at).await?;
        }
        self.push(&mut transaction, None, &run.id, at, 0, kind, payload, &Projection::default()).await?;
        self.line_up(&mut transaction, &run.id, &run.repo, submission.priority, submission.delay).await?;
        self.changed(&mut transaction, &run.repo).await?;
        transaction.commit().await?;
        Ok(Submitted { run: run.id.clone(), new: true })
    }

    /// The run that was submitted with this key before.
    async fn known(&self, submission: &Submission) -> Result<Submitted> {
        let (run, key) = (&submission.run, submission.key.as_deref().unwrap_or_default());
        let found = query("SELECT id, repo, trigger, goal FROM runs WHERE key = $1").bind(key).first(self);
        let row = found.await?.with_context(|| format!("the key {key:?} is taken and by no run"))?;
        let same = row.get::<String>("repo")? == run.repo
            && row.get::<String>("trigger")? == run.trigger
            && row.get::<String>("goal")? == run.goal;
        let id: String = row.get("id")?;
        if same {
            return Ok(Submitted { run: id, new: false });
        }
        Err(Fault::usage(format!("the key was used for another run: {id}"))
            .hint("a key stands for one piece of work; give another one")
            .into())
    }

    /// Puts a run that exists already into the queue: one that may go on. One that is in the queue stays as it is.
    ///
    /// # Errors
    /// Where there is no such run, or the database fails.
    pub async fn enqueue(&self, run: &str, priority: Priority) -> Result<()> {
        let row = self.run(run).await?;
        let mut transaction = self.begin().await?;
        self.know(&mut transaction, &row.repo).await?;
        self.line_up(&mut transaction, &row.id, &row.repo, priority, Duration::ZERO).await?;
        self.changed(&mut transaction, &row.repo).await?;
        transaction.commit().await
    }

    /// Makes the repo's row where there is none, and locks it. A new repo comes last in the round.
    async fn know(&self, transaction: &mut Transaction, repo: &str) -> Result<()> {
        query(
            "INSERT INTO repos (repo, served) SELECT $1, COALESCE(MAX(served), 0) + 1 FROM repos WHERE true \
             ON CONFLICT (repo) DO NOTHING",
        )
        .bind(repo)
        .execute(&mut *transaction)
        .await?;
        self.lock_repo(transaction, repo).await
    }

    async fn lock_repo(&self, transaction: &mut Transaction, repo: &str) -> Result<()> {
        query("SELECT repo FROM repos WHERE repo = $1 @lock").bind(repo).first(transaction).await.map(drop)
    }

    async fn line_up(
        &self,
        transaction: &mut Transaction,
        run: &str,
        repo: &str,
        priority: Priority,
        delay: Duration,
    ) -> Result<()> {
        let standing = if delay.is_zero() { Standing::Queued } else { Standing::Delayed };
        query(
            "INSERT INTO queue (run, repo, priority, state, due, not_before, submitted_at) \
             VALUES ($1, $2, $3, $4, @now + $5 + $6, @now + $5, @now) ON CONFLICT (run) DO NOTHING",
        )
        .bind(run)
        .bind(repo)
        .bind(priority.as_str())
        .bind(standing.as_str())
        .bind(millis(delay))
        .bind(millis(priority.patience()))
        .execute(transaction)
        .await
        .map(drop)
    }

    /// Writes what follows for the repo from the queue, and wakes whoever waits for it.
    async fn changed(&self, transaction: &mut Transaction, repo: &str) -> Result<()> {
        self.follow(transaction, repo).await?;
        self.ring(transaction).await
    }

    /// The same where a run has left: nobody is woken for nothing, as waking makes everybody's commits wait for each other.
    async fn left(&self, transaction: &mut Transaction, repo: &str) -> Result<()> {
        match self.follow(transaction, repo).await? {
            true => self.ring(transaction).await,
            false => Ok(()),
        }
    }

    /// Writes what follows for the repo from the queue, and tells whether one of its runs can be claimed.
    async fn follow(&self, transaction: &mut Transaction, repo: &str) -> Result<bool> {
        let followed = query(
            "UPDATE repos SET running = (SELECT COUNT(*) FROM queue WHERE repo = $1 AND state = 'running'), \
             head = CASE WHEN paused OR concurrency <= (SELECT COUNT(*) FROM queue WHERE repo = $1 AND state = 'running') \
             THEN NULL ELSE (SELECT MIN(due) FROM queue WHERE repo = $1 AND state = 'queued') END WHERE repo = $1 \
             RETURNING head",
        );
        let row = followed.bind(repo).first(transaction).await?;
        Ok(row.map(|row| row.get::<Option<i64>>("head")).transpose()?.flatten().is_some())
    }

    /// Claims the run whose turn it is for `worker`, with a lease on it; `None` where there is none. Two claims never give the same run.
    ///
    /// # Errors
    /// Where the database or a lock file fails.
    pub async fn claim(&self, worker: &str) -> Result<Option<Claim>> {
        loop {
            // Who only looks does not keep others from writing.
            let work = query("SELECT repo FROM repos WHERE head IS NOT NULL LIMIT 1");
            if self.is_alone() && work.first(self).await?.is_none() {
                return Ok(None);
            }
            let asked = Instant::now();
            let mut transaction = self.begin().await?;
            let Some(repo) = self.next_repo(&mut transaction).await? else { return Ok(None) };
            let next = query(
                "SELECT run FROM queue WHERE repo = $1 AND state = 'queued' ORDER BY due, run LIMIT 1 @lock",
            );
            let Some(row) = next.bind(&repo).first(&mut transaction).await? else { return Ok(None) };
            let run: String = row.get("run")?;
            let claim = self.take(&mut transaction, &run, worker, asked).await?;
            if claim.is_some() {
                query("UPDATE repos SET served = (SELECT MAX(served) FROM repos) + 1 WHERE repo = $1")
                    .bind(&repo)
                    .execute(&mut transaction)
                    .await?;
            }
            self.follow(&mut transaction, &repo).await?;
            transaction.commit().await?;
            if claim.is_some() {
                return Ok(claim);
            }
        }
    }

    /// The repo whose turn it is, locked. Repos that others are claiming from are passed over, unless they are all there is.
    async fn next_repo(&self, transaction: &mut Transaction) -> Result<Option<String>> {
        loop {
            let most_urgent =
                query("SELECT MIN(head) AS head, @now AS now FROM repos WHERE head IS NOT NULL");
            let row = most_urgent.one(&mut *transaction).await?;
            let (head, now): (Option<i64>, i64) = (row.get("head")?, row.get("now")?);
            let Some(head) = head else { return Ok(None) };
            let step = millis(STEP);
            let first = (head - now + step - 1).div_euclid(step).max(0);
            for steps in first..=Priority::Low as i64 {
                // A sum, so that the round is followed in its order and not sorted out of all that are due.
                let next = query(
                    "SELECT repo FROM repos WHERE head IS NOT NULL AND head + 0 <= $1 ORDER BY served, repo LIMIT 1 @skip",
                );
                if let Some(row) = next.bind(now + steps * step).first(&mut *transaction).await? {
                    return row.get("repo").map(Some);
                }
            }
            let next =
                query("SELECT repo FROM repos WHERE head IS NOT NULL ORDER BY served, repo LIMIT 1 @lock");
            if let Some(row) = next.first(&mut *transaction).await? {
                return row.get("repo").map(Some);
            }
        }
    }

    /// Gives a run of the queue, whose repo is locked, to `worker`. `None` where another process of this machine has it outside of the
    /// queue: it waits a little then.
    async fn take(
        &self,
        transaction: &mut Transaction,
        run: &str,
        worker: &str,
        asked: Instant,
    ) -> Result<Option<Claim>> {
        let Some(lock) = Lock::acquire(&self.state, run)? else {
            query("UPDATE queue SET state = 'delayed', not_before = @now + $2, reason = $3 WHERE run = $1")
                .bind(run)
                .bind(millis(A_MOMENT))
                .bind("another process on the same machine has it")
                .execute(transaction)
                .await?;
            return Ok(None);
        };
        let row = query(
            "UPDATE queue SET state = 'running', worker = $2, claimed_at = @now, reason = NULL WHERE run = $1 \
             RETURNING repo, priority, deaths, cancelled",
        );
        let row = row.bind(run).bind(worker).one(&mut *transaction).await?;
        let mut fence = None;
        if let Pool::Postgres(_) = &self.pool {
            let held = query(
                "UPDATE runs SET fence = fence + 1, holder = $2, lease_until = @now + $3 WHERE id = $1 RETURNING fence",
            );
            let held = held.bind(run).bind(&self.place).bind(self.lease_millis()).one(transaction).await?;
            fence = Some(held.get("fence")?);
        }
        Ok(Some(Claim {
            run: run.to_owned(),
            repo: row.get("repo")?,
            priority: Priority::parse(&row.get::<String>("priority")?)?,
            deaths: row.count("deaths")?.try_into().unwrap_or(u32::MAX),
            cancelled: row.get("cancelled")?,
            lease: Lease::new(self, run, lock, fence, asked).into(),
        }))
    }

    /// Gives a claimed run back.
    ///
    /// # Errors
    /// Where the database fails. The run counts as a dead worker's then.
    pub async fn give_back(&self, claim: Claim, how: &Back) -> Result<()> {
        let (standing, wait, died, reason) = match how {
            Back::HandedOver => (Standing::Queued, Duration::ZERO, 0, None),
            Back::Failed { wait, reason } => (Standing::Delayed, *wait, 1, Some(reason.as_str())),
            Back::Blocked { reason } => (Standing::Blocked, Duration::ZERO, 0, Some(reason.as_str())),
        };
        let mut transaction = self.begin().await?;
        self.lock_repo(&mut transaction, &claim.repo).await?;
        if self.still_holds(&mut transaction, &claim.lease).await? {
            query(
                "UPDATE queue SET state = $2, not_before = @now + $3, deaths = deaths + $4, reason = $5, worker = NULL \
                 WHERE run = $1 AND state = 'running'",
            )
            .bind(&claim.run)
            .bind(standing.as_str())
            .bind(millis(wait))
            .bind(died)
            .bind(reason)
            .execute(&mut transaction)
            .await?;
        }
        self.changed(&mut transaction, &claim.repo).await?;
        claim.lease.unlock();
        transaction.commit().await
    }

    /// Takes a run out of the queue that is over, as its last event does by itself.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn over(&self, claim: Claim) -> Result<()> {
        let mut transaction = self.begin().await?;
        self.lock_repo(&mut transaction, &claim.repo).await?;
        if self.still_holds(&mut transaction, &claim.lease).await? {
            // One that is in the queue again since its last event stays.
            query("DELETE FROM queue WHERE run = $1 AND state = 'running'")
                .bind(&claim.run)
                .execute(&mut transaction)
                .await?;
        }
        self.left(&mut transaction, &claim.repo).await?;
        claim.lease.unlock();
        transaction.commit().await
    }

    /// Gives up the lease in the database, and tells whether it was still there to be given up.
    async fn still_holds(&self, transaction: &mut Transaction, lease: &Lease) -> Result<bool> {
        let Some(fence) = lease.fence() else { return Ok(true) };
        let released = query("UPDATE runs SET lease_until = 0 WHERE id = $1 AND fence = $2");
        Ok(released.bind(lease.run()).bind(fence).execute(transaction).await? == 1)
    }

    /// Locks the repo of a run that is in the queue, as its end will change it; gives that repo.
    pub(super) async fn before_leaving(
        &self,
        transaction: &mut Transaction,
        run: &str,
    ) -> Result<Option<String>> {
        let row = query("SELECT repo FROM queue WHERE run = $1").bind(run).first(&mut *transaction).await?;
        let Some(row) = row else { return Ok(None) };
        let repo: String = row.get("repo")?;
        self.lock_repo(transaction, &repo).await?;
        Ok(Some(repo))
    }

    /// Takes a run out of the queue, whose repo is locked.
    pub(super) async fn leave(&self, transaction: &mut Transaction, run: &str, repo: &str) -> Result<()> {
        query("DELETE FROM queue WHERE run = $1").bind(run).execute(&mut *transaction).await?;
        self.left(transaction, repo).await
    }

    /// What every worker does before it looks for work: runs whose time has come may be claimed, and so may those of dead workers.
    ///
    /// # Errors
    /// Where the database or a lock file fails.
    pub async fn tend(&self) -> Result<()> {
        let due = query("SELECT DISTINCT repo FROM queue WHERE state = 'delayed' AND not_before <= @now");
        for row in due.all(self).await? {
            let repo: String = row.get("repo")?;
            let mut transaction = self.begin().await?;
            self.lock_repo(&mut transaction, &repo).await?;
            query(
                "UPDATE queue SET state = 'queued' \
                 WHERE repo = $1 AND state = 'delayed' AND not_before <= @now",
            )
            .bind(&repo)
            .execute(&mut transaction)
            .await?;
            self.changed(&mut transaction, &repo).await?;
            transaction.commit().await?;
        }
        let running = query("SELECT run, repo FROM queue WHERE state = 'running'").all(self).await?;
        for row in running {
            let (run, repo): (String, String) = (row.get("run")?, row.get("repo")?);
            if !self.is_held(&run).await? {
                self.rescue(&run, &repo).await?;
            }
        }
        Ok(())
    }

    /// Gives the run of a worker that died back to the queue: the next one goes on from its last event.
    async fn rescue(&self, run: &str, repo: &str) -> Result<()> {
        let mut transaction = self.begin().await?;
        self.lock_repo(&mut transaction, repo).await?;
        // Looked at again with the repo's row locked: nobody can have claimed or given back meanwhile.
        let dead = match &self.pool {
            Pool::Sqlite(_) => !Lock::is_held(&self.state, run)?,
            Pool::Postgres(_) => {
                let mine = !Lock::is_held(&self.state, run)?;
                let taken = query(
                    "UPDATE runs SET fence = fence + 1, lease_until = 0 \
                     WHERE id = $1 AND (lease_until <= @now OR (holder = $2 AND $3))",
                );
                taken.bind(run).bind(&self.place).bind(mine).execute(&mut transaction).await? == 1
            }
        };
        if !dead {
            return Ok(());
        }
        let rescued = query(
            "UPDATE queue SET state = 'queued', worker = NULL, deaths = deaths + 1 WHERE run = $1 AND state = 'running'",
        );
        if rescued.bind(run).execute(&mut transaction).await? > 0 {
            tracing::info!(run, "its worker died; another one goes on with it");
        }
        self.changed(&mut transaction, repo).await?;
        transaction.commit().await
    }

    /// Cancels a run of the queue for `who`.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn cancel(&self, run: &str, who: &str) -> Result<Cancelled> {
        self.tend().await?;
        let asked = Instant::now();
        let mut transaction = self.begin().await?;
        let Some(repo) = self.before_leaving(&mut transaction, run).await? else {
            return Ok(Cancelled::Absent);
        };
        let told = query("UPDATE queue SET cancelled = TRUE WHERE run = $1 RETURNING state, worker");
        let Some(row) = told.bind(run).first(&mut transaction).await? else { return Ok(Cancelled::Absent) };
        let standing = Standing::parse(&row.get::<String>("state")?)?;
        let claim = match standing {
            Standing::Running => None,
            _ => self.take(&mut transaction, run, who, asked).await?,
        };
        self.changed(&mut transaction, &repo).await?;
        transaction.commit().await?;
        Ok(match claim {
            Some(claim) => Cancelled::Claimed(Box::new(claim)),
            None => Cancelled::Told { worker: row.get::<Option<String>>("worker")?.unwrap_or_default() },
        })
    }

    /// Which of the runs that `worker` has were cancelled.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn cancelled(&self, worker: &str) -> Result<Vec<String>> {
        let rows = query("SELECT run FROM queue WHERE worker = $1 AND cancelled AND state = 'running'");
        rows.bind(worker).all(self).await?.iter().map(|row| row.get("run")).collect()
    }

    /// Lets a delayed or blocked run be claimed at once. Tells whether there was one to be let.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn unblock(&self, run: &str) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let Some(repo) = self.before_leaving(&mut transaction, run).await? else { return Ok(false) };
        let freed = query(
            "UPDATE queue SET state = 'queued', not_before = @now, deaths = 0, reason = NULL \
             WHERE run = $1 AND state IN ('delayed', 'blocked')",
        );
        let freed = freed.bind(run).execute(&mut transaction).await?;
        self.changed(&mut transaction, &repo).await?;
        transaction.commit().await?;
        Ok(freed > 0)
    }

    /// Pauses a repo, or lets it go on. What is under way goes on to its end.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn pause(&self, repo: &str, paused: bool) -> Result<()> {
        let mut transaction = self.begin().await?;
        self.know(&mut transaction, repo).await?;
        query("UPDATE repos SET paused = $2 WHERE repo = $1")
            .bind(repo)
            .bind(paused)
            .execute(&mut transaction)
            .await?;
        self.changed(&mut transaction, repo).await?;
        transaction.commit().await
    }

    /// Sets how many runs of a repo may be under way at once, at least one.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn limit_repo(&self, repo: &str, concurrency: u32) -> Result<()> {
        let mut transaction = self.begin().await?;
        self.know(&mut transaction, repo).await?;
        query("UPDATE repos SET concurrency = $2 WHERE repo = $1")
            .bind(repo)
            .bind(i64::from(concurrency.max(1)))
            .execute(&mut transaction)
            .await?;
        self.changed(&mut transaction, repo).await?;
        transaction.commit().await
    }

    /// The repos that runs were submitted for, by name.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn repos(&self) -> Result<Vec<RepoRow>> {
        let rows =
            query("SELECT repo, concurrency, paused, running FROM repos ORDER BY repo").all(self).await?;
        let repo = |row: &Row| {
            Ok(RepoRow {
                repo: row.get("repo")?,
                concurrency: row.count("concurrency")?.try_into().unwrap_or(u32::MAX),
                paused: row.get("paused")?,
                running: row.count("running")?,
            })
        };
        rows.iter().map(repo).collect()
    }

    /// The runs in the queue, those under way first, then by when they are due.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn queue(&self, limit: u32) -> Result<Vec<Queued>> {
        let rows = query(
            "SELECT * FROM queue ORDER BY CASE state WHEN 'running' THEN 0 ELSE 1 END, due, run LIMIT $1",
        );
        rows.bind(i64::from(limit)).all(self).await?.iter().map(Queued::from_row).collect()
    }

    /// Where a run stands in the queue; `None` where it is not in it.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn queued(&self, run: &str) -> Result<Option<Queued>> {
        let row = query("SELECT * FROM queue WHERE run = $1").bind(run).first(self).await?;
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

/// How long a run waits that a process outside of the queue has.
const A_MOMENT: Duration = Duration::from_secs(5);

fn millis(duration: Duration) -> i64 {
    signed(duration.as_millis().try_into().unwrap_or(u64::MAX))
}

impl Queued {
    fn from_row(row: &Row) -> Result<Self> {
        let moment = |column: &str| {
            let millis: i64 = row.get(column)?;
            Timestamp::from_millisecond(millis).with_context(|| format!("{column} is no moment"))
        };
        let claimed: Option<i64> = row.get("claimed_at")?;
        Ok(Self {
            run: row.get("run")?,
            repo: row.get("repo")?,
            priority: Priority::parse(&row.get::<String>("priority")?)?,
            standing: Standing::parse(&row.get::<String>("state")?)?,
            due: moment("due")?,
            not_before: moment("not_before")?,
            submitted_at: moment("submitted_at")?,
            claimed_at: claimed.map(Timestamp::from_millisecond).transpose()?,
            worker: row.get("worker")?,
            deaths: row.count("deaths")?.try_into().unwrap_or(u32::MAX),
            cancelled: row.get("cancelled")?,
            reason: row.get("reason")?,
        })
    }
}
