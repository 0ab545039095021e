//! What Regreen keeps: runs as lists of events, the queue, and what people query. SQLite, one file in the state folder, or a PostgreSQL that
//! several machines share.
//!
//! Invariants: an event is never changed or removed (the database itself refuses); an event and the rows that follow from it are
//! written in one transaction; nobody appends to a run on an outdated view of it; no transaction is held while work is done.
//! `docs/store.md` describes the tables.

mod alerts;
mod approvals;
mod audit;
mod columns;
mod database;
mod deliveries;
mod feed;
mod figures;
mod halts;
mod in_use;
mod incidents;
mod jira;
mod lease;
mod listing;
pub mod measure;
mod notices;
mod postmortems;
mod proposals;
mod queue;
mod repos;
mod reservations;
mod retention;
mod rows;
mod saved;
mod sentry_keys;
pub(crate) mod sql;
mod tokens;
mod turn;
mod waiting;
mod wake;

#[cfg(test)]
pub(crate) mod tests;

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use secrecy::SecretString;
use tokio::sync::OnceCell;

pub use alerts::{AlertRow, Change, Failing, Finding, LongestWait};
pub use approvals::{Agreement, Approval, Decision, Voice};
pub use audit::{Asked, AuditRow, Known};
pub use database::{TooOld, failures};
pub use deliveries::{Delivery, NewDelivery, Settled};
pub use feed::Fed;
pub use figures::{CategorySum, CostSum, DayOutcome, Dealt, FixerSum};
pub use halts::{Halt, Halted, halt_in};
pub use in_use::{InUse, RESTORING};
pub use incidents::{
    IncidentFilter, IncidentPatch, IncidentRow, NewIncident, Reported, incident_out_of_turn,
};
pub use jira::{JiraIssue, JiraPart};
pub use lease::{Lease, Lock, run_dir};
use listing::escaped;
pub use listing::{Listing, Mark};
pub use notices::{Notice, Told};
pub use postmortems::{Learnt, PostMortemFilter, PostMortemRow};
pub use proposals::{NewProposal, ProposalFilter, ProposalPatch, ProposalRow, Proposes, out_of_turn};
pub use queue::{
    Back, Cancelled, Claim, Depth, MOST_DEATHS, Priority, Queued, STEP, Standing, Submission, Submitted,
};
pub use repos::{KnownAs, Pause, Pausing, Removal, RepoChange, RepoRow};
pub use reservations::Taken;
pub use retention::{Old, Part, Remains};
pub use rows::{
    AttemptRow, Called, Event, NewEvent, NewRun, Projection, RunFilter, RunPatch, RunRow, Spent, Status,
};
pub use saved::{Seen, look_at};
pub use sentry_keys::SentryKey;
pub use tokens::TokenRow;
pub use turn::Turn;
pub use waiting::Waiting;
use wake::Changes;
pub use wake::Wake;

use crate::clock::{Clock, SystemClock};
use crate::fault::Fault;
use sql::{Pool, Transaction, query, signed};

/// Events that are read at a time.
const PAGE: u32 = 1000;

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
    clock: Arc<dyn Clock>,
    /// The state folder, where locks lie.
    state: PathBuf,
    /// What the state folder is called among all that share a database.
    place: String,
    /// How long a lease lasts that is not renewed.
    lease: Duration,
    /// Tells all who work on runs here of changes, on one connection.
    changes: Arc<OnceCell<Changes>>,
    /// That an SQLite store is used.
    _in_use: Option<Arc<InUse>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

/// Somebody else appended to the run since it was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("run {run} has moved on: expected its last event to be {expected}, it is {actual}")]
pub struct Conflict {
    /// The run.
    pub run: String,
    /// The last event that the caller knew of.
    pub expected: u64,
    /// The last event there is.
    pub actual: u64,
}

/// Another process has taken the run over since: whoever had it before may not write any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("run {run} was taken over by another process")]
pub struct LeaseLost {
    /// The run.
    pub run: String,
}

/// A run cannot go on as another process has one that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("another process has run {run}")]
pub struct Busy {
    /// The run that the other process has.
    pub run: String,
}

/// Whether an error says nothing about what was being done: the database was out of reach, the lease was lost, another process has what is
/// needed, or Regreen was halted. Whoever works on a run stops then and records nothing: it goes on from its last event.
pub fn is_interruption(error: &anyhow::Error) -> bool {
    error.is::<LeaseLost>()
        || error.is::<Busy>()
        || halt_in(error).is_some()
        || database::was_out_of_reach(error)
}

/// The text of a moment: RFC 3339 in UTC with milliseconds, so that the order of texts is the order of time.
pub fn moment(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// What people call a run: the last eight characters of its id (the first ones are its time, alike in neighbours).
pub fn short(run: &str) -> &str {
    run.len().checked_sub(8).and_then(|at| run.get(at..)).unwrap_or(run)
}

impl Store {
    /// Opens the database at `path`, makes it (0600) where there is none, and brings its tables up to date. Its folder is the state folder.
    ///
    /// # Errors
    /// A [`Fault`] where it is damaged, locked for long, written by a newer Regreen, or not ours to open.
    pub async fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, Arc::new(SystemClock)).await
    }

    /// [`Store::open`] with another clock.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_with(path: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let state = path.parent().unwrap_or(Path::new("")).to_owned();
        let in_use = InUse::shared(path)?;
        let pool = Pool::Sqlite(database::open(path).await?);
        let _in_use = Some(Arc::new(in_use));
        Ok(Self {
            pool,
            clock,
            state,
            place: String::new(),
            lease: lease::LEASE,
            changes: Arc::default(),
            _in_use,
        })
    }

    /// Connects to the PostgreSQL at `url`, which other machines may share, and brings its tables up to date. Locks of this machine lie in the
    /// folder `state`.
    ///
    /// # Errors
    /// A [`Fault`] where it is out of reach, refuses the login, or was written by a newer Regreen.
    pub async fn connect(url: &SecretString, state: &Path) -> Result<Self> {
        Self::connect_with(url, state, Arc::new(SystemClock)).await
    }

    /// [`Store::connect`] with another clock.
    ///
    /// # Errors
    /// As [`Store::connect`].
    pub async fn connect_with(url: &SecretString, state: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let place = place(state).context("cannot name the state folder")?;
        let pool = Pool::Postgres(database::connect(url).await?);
        Ok(Self {
            pool,
            clock,
            state: state.to_owned(),
            place,
            lease: lease::LEASE,
            changes: Arc::default(),
            _in_use: None,
        })
    }

    /// Writes everything to the main file and closes it.
    pub async fn close(&self) {
        if let Some(changes) = self.changes.get() {
            changes.end();
        }
        match &self.pool {
            Pool::Sqlite(pool) => pool.close().await,
            Pool::Postgres(pool) => pool.close().await,
        }
    }

    /// What the state folder is called among all that share the database; empty where nobody does.
    pub fn place(&self) -> &str {
        &self.place
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether one transaction at a time writes, so that nobody else's rows are ever locked.
    fn is_alone(&self) -> bool {
        matches!(self.pool, Pool::Sqlite(_))
    }

    pub(crate) async fn begin(&self) -> Result<Transaction> {
        match &self.pool {
            Pool::Sqlite(pool) => {
                let transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(database::explain)?;
                Ok(Transaction::Sqlite(transaction, self.now()))
            }
            Pool::Postgres(pool) => pool.begin().await.map(Transaction::Postgres).map_err(database::explain),
        }
    }

    /// Takes the right to work on a run that is about to be made.
    ///
    /// # Errors
    /// Where the id is no plain name, or the lock file cannot be made.
    async fn first_lease(&self, transaction: &mut Transaction, run: &str) -> Result<Lease> {
        let asked = tokio::time::Instant::now();
        let lock = Lock::acquire(&self.state, run)?.context("a new run's lock is held already")?;
        let mut fence = None;
        if let Pool::Postgres(_) = &self.pool {
            let held = query("UPDATE runs SET fence = 1, holder = $2, lease_until = @now + $3 WHERE id = $1");
            held.bind(run).bind(&self.place).bind(self.lease_millis()).execute(transaction).await?;
            fence = Some(1);
        }
        Ok(Lease::new(self, run, lock, fence, asked))
    }

    /// Makes a run with its first event in one transaction: a process that dies leaves both or nothing. Durable when it returns. The caller has
    /// the right to work on it.
    ///
    /// # Errors
    /// Where the id is taken or is no plain name; nothing is written then.
    pub async fn create(&self, run: &NewRun, first: &NewEvent) -> Result<Lease> {
        lease::check_id(&run.id)?;
        let mut transaction = self.begin().await?;
        self.note_repo(&mut transaction, &run.repo).await?;
        self.insert(&mut transaction, run, first.at, None, None, None).await?;
        self.push(&mut transaction, None, &run.id, 0, first).await?;
        let lease = self.first_lease(&mut transaction, &run.id).await?;
        transaction.commit().await?;
        Ok(lease)
    }

    /// Writes a run's row; `false` where its key is taken.
    async fn insert(
        &self,
        transaction: &mut Transaction,
        run: &NewRun,
        at: Timestamp,
        key: Option<&str>,
        priority: Option<Priority>,
        proposal: Option<&str>,
    ) -> Result<bool> {
        let inserted = query(
            "INSERT INTO runs (id, repo, trigger, goal, status, base, key, priority, created_at, updated_at, proposal) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10) ON CONFLICT (key) DO NOTHING",
        )
        .bind(&run.id)
        .bind(&run.repo)
        .bind(&run.trigger)
        .bind(&run.goal)
        .bind(run.status.as_str())
        .bind(&run.base)
        .bind(key)
        .bind(priority.map(Priority::as_str))
        .bind(moment(at))
        .bind(proposal)
        .execute(transaction)
        .await?;
        Ok(inserted > 0)
    }

    /// Appends an event to a run whose last event is `expected` (0 for none), and writes what follows from it, in one transaction. Durable
    /// when it returns. Gives the event's number. Where the database is out of reach it is tried again until the lease would have run out.
    ///
    /// # Errors
    /// [`Conflict`] where somebody else appended meanwhile, [`LeaseLost`] where `lease` is not what its holder thinks; nothing is
    /// written then.
    pub async fn append(
        &self,
        lease: Option<&Lease>,
        run: &str,
        expected: u64,
        event: &NewEvent,
    ) -> Result<u64> {
        let until = tokio::time::Instant::now() + self.lease;
        let mut again = false;
        loop {
            let error = match self.try_append(lease, run, expected, event).await {
                Ok(seq) => return Ok(seq),
                Err(error) => error,
            };
            // A transaction that was cut off while it was committed may have counted.
            if again && error.is::<Conflict>() {
                let written = self.events(run, expected).await?;
                let ours = |there: &Event| there.kind == event.kind && there.payload == event.payload;
                return if written.first().is_some_and(ours) { Ok(expected + 1) } else { Err(error) };
            }
            if !database::was_out_of_reach(&error) || tokio::time::Instant::now() + AGAIN > until {
                return Err(error);
            }
            tracing::debug!(run, "an event is written again: {error:#}");
            again = true;
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn try_append(
        &self,
        lease: Option<&Lease>,
        run: &str,
        expected: u64,
        event: &NewEvent,
    ) -> Result<u64> {
        let mut transaction = self.begin().await?;
        let ends = matches!(event.follows.run.status, Some(Status::Finished | Status::Waiting));
        let repo = if ends { self.before_leaving(&mut transaction, run).await? } else { None };
        if let Some(run) = &event.follows.comes_back {
            self.come_back(&mut transaction, run).await?;
        }
        if event.follows.advances {
            self.outlived(&mut transaction, run).await?;
        }
        let seq = self.push(&mut transaction, lease, run, expected, event).await?;
        if let Some(repo) = repo {
            self.leave(&mut transaction, run, &repo).await?;
        }
        transaction.commit().await?;
        Ok(seq)
    }

    async fn push(
        &self,
        transaction: &mut Transaction,
        lease: Option<&Lease>,
        run: &str,
        expected: u64,
        event: &NewEvent,
    ) -> Result<u64> {
        // Locked before its events are counted: whoever appends meanwhile is waited for and then counted.
        let row = query("SELECT fence FROM runs WHERE id = $1 @lock").bind(run).first(&mut *transaction);
        let Some(row) = row.await? else { return Err(no_run(run).into()) };
        if let Some(fence) = lease.and_then(Lease::fence)
            && row.get::<i64>("fence")? != fence
        {
            return Err(LeaseLost { run: run.to_owned() }.into());
        }
        let last = query("SELECT COALESCE(MAX(seq), 0) AS seq FROM events WHERE run = $1").bind(run);
        let actual = last.one(&mut *transaction).await?.count("seq")?;
        if actual != expected {
            return Err(Conflict { run: run.to_owned(), expected, actual }.into());
        }
        let (seq, at) = (signed(actual + 1), moment(event.at));
        query("INSERT INTO events (run, seq, at, kind, payload) VALUES ($1, $2, $3, $4, $5)")
            .bind(run)
            .bind(seq)
            .bind(&at)
            .bind(event.kind)
            .bind(event.payload.to_string())
            .execute(&mut *transaction)
            .await?;
        event.follows.write(transaction, run, seq, &at).await?;
        Ok(actual + 1)
    }

    /// The events of a run after number `after`, oldest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn events(&self, run: &str, after: u64) -> Result<Vec<Event>> {
        let mut events: Vec<Event> = Vec::new();
        loop {
            let after = events.last().map_or(after, |event| event.seq);
            let page = self.events_page(run, after, PAGE).await?;
            let last = page.len() < PAGE as usize;
            events.extend(page);
            if last {
                return Ok(events);
            }
        }
    }

    /// At most `limit` events of a run after number `after`, oldest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn events_page(&self, run: &str, after: u64, limit: u32) -> Result<Vec<Event>> {
        let rows = query(
            "SELECT seq, at, kind, payload FROM events WHERE run = $1 AND seq > $2 ORDER BY seq LIMIT $3",
        )
        .bind(run)
        .bind(signed(after))
        .bind(i64::from(limit))
        .all(self)
        .await?;
        rows.iter().map(Event::from_row).collect()
    }

    /// The run with this id, or the only one whose id starts or ends with `name`.
    ///
    /// # Errors
    /// A [`Fault`] (exit 2) where there is none, or more than one.
    pub async fn run(&self, name: &str) -> Result<RunRow> {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if name.is_empty() || !plain || name.len() > 64 {
            return Err(no_run(name).into());
        }
        // Most callers know the whole id, and only that is found by an index.
        if let Some(row) =
            query("SELECT @columns(runs) FROM runs WHERE id = $1").bind(name).first(self).await?
        {
            return RunRow::from_row(&row);
        }
        let rows = query(
            "SELECT @columns(runs) FROM runs WHERE id LIKE $1 || '%' OR id LIKE '%' || $1 \
             ORDER BY @age DESC LIMIT 6",
        )
        .bind(name)
        .all(self)
        .await?;
        let found: Vec<RunRow> = rows.iter().map(RunRow::from_row).collect::<Result<_>>()?;
        match found.as_slice() {
            [] => Err(no_run(name).into()),
            [one] => Ok(one.clone()),
            many => {
                let ids: Vec<&str> = many.iter().map(|run| run.id.as_str()).collect();
                let fault = Fault::usage(format!("{name:?} could be any of several runs"));
                Err(fault.hint(format!("say more of the id: {}", ids.join(", "))).into())
            }
        }
    }

    /// Runs, newest first, in the order in which they were made: a clock may have jumped between them.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn runs(&self, filter: &RunFilter, limit: u32) -> Result<Vec<RunRow>> {
        let rows = query(
            "SELECT @columns(runs) FROM runs WHERE ($1 IS NULL OR repo = $1) AND ($2 IS NULL OR status = $2) \
             AND ($3 IS NULL OR created_at >= $3) \
             AND ($4 IS NULL OR @age > (SELECT @age FROM runs WHERE id = $4)) ORDER BY @age DESC LIMIT $5",
        )
        .bind(&filter.repo)
        .bind(filter.status.map(Status::as_str))
        .bind(filter.since.map(moment))
        .bind(&filter.after)
        .bind(i64::from(limit))
        .all(self)
        .await?;
        rows.iter().map(RunRow::from_row).collect()
    }

    /// The attempts of a run, in order.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn attempts(&self, run: &str) -> Result<Vec<AttemptRow>> {
        let rows = query("SELECT @columns(fix_attempts) FROM fix_attempts WHERE run = $1 ORDER BY attempt")
            .bind(run)
            .all(self)
            .await?;
        rows.iter().map(AttemptRow::from_row).collect()
    }

    /// Runs that are not finished though no process works on them: their process died. Those of the queue are rescued there.
    ///
    /// # Errors
    /// Where the database or the lock files fail.
    pub async fn unfinished(&self) -> Result<Vec<RunRow>> {
        let rows = query(
            "SELECT @columns(runs) FROM runs WHERE status = 'running' AND NOT EXISTS (SELECT 1 FROM queue WHERE run = runs.id) \
             ORDER BY created_at DESC, id DESC LIMIT 10000",
        );
        let mut dead = Vec::new();
        for row in rows.all(self).await? {
            let run = RunRow::from_row(&row)?;
            if !self.is_held(&run.id).await? {
                dead.push(run);
            }
        }
        Ok(dead)
    }
}

/// How long to wait before an event is written again to a database that was out of reach.
const AGAIN: Duration = Duration::from_millis(500);

/// The name of a state folder: made once, kept in it.
fn place(state: &Path) -> Result<String> {
    let path = state.join("place");
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    if let Ok(mut file) = made {
        std::io::Write::write_all(&mut file, uuid::Uuid::now_v7().simple().to_string().as_bytes())?;
        file.sync_all()?;
    }
    let name = std::fs::read_to_string(&path)?;
    anyhow::ensure!(!name.is_empty(), "{} is empty", path.display());
    Ok(name)
}

fn no_run(name: &str) -> Fault {
    let name: String = name.chars().take(80).collect();
    Fault::usage(format!("there is no run {name:?}")).hint("`regreen runs` lists them")
}
