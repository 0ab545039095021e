//! What Regreen keeps: runs as lists of events, and what people query. SQLite, one file in the state folder.
//!
//! Invariants: an event is never changed or removed (the database itself refuses); an event and the rows that follow from it are
//! written in one transaction; nobody appends to a run on an outdated view of it; no transaction is held while work is done.
//! `docs/store.md` describes the tables.

mod approvals;
mod database;
mod lease;
mod reservations;
mod rows;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use jiff::Timestamp;
use serde_json::Value;
use sqlx::Transaction;
use sqlx::sqlite::{Sqlite, SqlitePool};

pub use approvals::{Approval, Decision};
pub use lease::{Lease, run_dir};
pub use reservations::Taken;
pub use rows::{AttemptRow, Event, NewRun, Projection, RunFilter, RunPatch, RunRow, Spent, Status};

use crate::clock::{Clock, SystemClock};
use crate::fault::Fault;

/// Events that are read at a time.
const PAGE: i64 = 1000;

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pool: SqlitePool,
    clock: Arc<dyn Clock>,
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

/// The text of a moment: RFC 3339 in UTC with milliseconds, so that the order of texts is the order of time.
pub fn moment(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// What people call a run: the last eight characters of its id (the first ones are its time, alike in neighbours).
pub fn short(run: &str) -> &str {
    run.len().checked_sub(8).and_then(|at| run.get(at..)).unwrap_or(run)
}

impl Store {
    /// Opens the database at `path`, makes it (0600) where there is none, and brings its tables up to date.
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
        Ok(Self { pool: database::open(path).await?, clock })
    }

    /// Writes everything to the main file and closes it.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    pub(crate) fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Sqlite>> {
        self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(database::explain)
    }

    /// Makes a run with its first event, which happened `at`, in one transaction: a process that dies leaves both or nothing. Durable when
    /// it returns.
    ///
    /// # Errors
    /// Where the id is taken or is no plain name; nothing is written then.
    pub async fn create(
        &self,
        run: &NewRun,
        at: Timestamp,
        kind: &str,
        payload: &Value,
        projection: &Projection,
    ) -> Result<()> {
        let mut transaction = self.begin().await?;
        self.insert(&mut transaction, run, at).await?;
        Self::push(&mut transaction, &run.id, at, 0, kind, payload, projection).await?;
        transaction.commit().await.map_err(database::explain)
    }

    async fn insert(
        &self,
        transaction: &mut Transaction<'static, Sqlite>,
        run: &NewRun,
        at: Timestamp,
    ) -> Result<()> {
        lease::check_id(&run.id)?;
        sqlx::query(
            "INSERT INTO runs (id, repo, trigger, goal, status, base, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
        )
        .bind(&run.id)
        .bind(&run.repo)
        .bind(&run.trigger)
        .bind(&run.goal)
        .bind(run.status.as_str())
        .bind(&run.base)
        .bind(moment(at))
        .execute(&mut **transaction)
        .await
        .map_err(database::explain)?;
        Ok(())
    }

    /// Appends an event, which happened `at`, to a run whose last event is `expected` (0 for none), and writes what follows from it, in one
    /// transaction. Durable when it returns. Gives the event's number.
    ///
    /// # Errors
    /// [`Conflict`] where somebody else appended meanwhile; nothing is written then.
    pub async fn append(
        &self,
        run: &str,
        at: Timestamp,
        expected: u64,
        kind: &str,
        payload: &Value,
        projection: &Projection,
    ) -> Result<u64> {
        let mut transaction = self.begin().await?;
        let seq = Self::push(&mut transaction, run, at, expected, kind, payload, projection).await?;
        transaction.commit().await.map_err(database::explain)?;
        Ok(seq)
    }

    async fn push(
        transaction: &mut Transaction<'static, Sqlite>,
        run: &str,
        at: Timestamp,
        expected: u64,
        kind: &str,
        payload: &Value,
        projection: &Projection,
    ) -> Result<u64> {
        let now = moment(at);
        let last: Option<i64> = sqlx::query_scalar(
            "SELECT (SELECT COALESCE(MAX(seq), 0) FROM events WHERE run = $1) FROM runs WHERE id = $1",
        )
        .bind(run)
        .fetch_optional(&mut **transaction)
        .await
        .map_err(database::explain)?;
        let Some(last) = last else { return Err(no_run(run).into()) };
        let actual = last.unsigned_abs();
        if actual != expected {
            return Err(Conflict { run: run.to_owned(), expected, actual }.into());
        }
        let seq = last + 1;
        sqlx::query("INSERT INTO events (run, seq, at, kind, payload) VALUES ($1, $2, $3, $4, $5)")
            .bind(run)
            .bind(seq)
            .bind(&now)
            .bind(kind)
            .bind(payload.to_string())
            .execute(&mut **transaction)
            .await
            .map_err(database::explain)?;
        projection.write(transaction, run, seq, &now).await.map_err(database::explain)?;
        Ok(seq.unsigned_abs())
    }

    /// The events of a run after number `after`, oldest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn events(&self, run: &str, after: u64) -> Result<Vec<Event>> {
        let mut events: Vec<Event> = Vec::new();
        loop {
            let after = events.last().map_or(after, |event| event.seq);
            let rows = sqlx::query(
                "SELECT seq, at, kind, payload FROM events WHERE run = $1 AND seq > $2 ORDER BY seq LIMIT $3",
            )
            .bind(run)
            .bind(i64::try_from(after).unwrap_or(i64::MAX))
            .bind(PAGE)
            .fetch_all(&self.pool)
            .await
            .map_err(database::explain)?;
            for row in &rows {
                events.push(Event::from_row(row)?);
            }
            if (rows.len() as i64) < PAGE {
                return Ok(events);
            }
        }
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
        let rows = sqlx::query(
            "SELECT * FROM runs WHERE id = $1 OR id LIKE $1 || '%' OR id LIKE '%' || $1 \
             ORDER BY id = $1 DESC, rowid DESC LIMIT 6",
        )
        .bind(name)
        .fetch_all(&self.pool)
        .await
        .map_err(database::explain)?;
        let found: Vec<RunRow> = rows.iter().map(RunRow::from_row).collect::<Result<_>>()?;
        match found.as_slice() {
            [] => Err(no_run(name).into()),
            [one] => Ok(one.clone()),
            [one, ..] if one.id == name => Ok(one.clone()),
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
        let rows = sqlx::query(
            "SELECT * FROM runs WHERE ($1 IS NULL OR repo = $1) AND ($2 IS NULL OR status = $2) \
             AND ($3 IS NULL OR created_at >= $3) \
             AND ($4 IS NULL OR rowid > (SELECT rowid FROM runs WHERE id = $4)) ORDER BY rowid DESC LIMIT $5",
        )
        .bind(&filter.repo)
        .bind(filter.status.map(Status::as_str))
        .bind(filter.since.map(moment))
        .bind(&filter.after)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(database::explain)?;
        rows.iter().map(RunRow::from_row).collect()
    }

    /// The attempts of a run, in order.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn attempts(&self, run: &str) -> Result<Vec<AttemptRow>> {
        let rows = sqlx::query("SELECT * FROM fix_attempts WHERE run = $1 ORDER BY attempt")
            .bind(run)
            .fetch_all(&self.pool)
            .await
            .map_err(database::explain)?;
        rows.iter().map(AttemptRow::from_row).collect()
    }

    /// Runs that are not finished though no process works on them: their process died. `state` is the state folder.
    ///
    /// # Errors
    /// Where the database or the lock files fail.
    pub async fn unfinished(&self, state: &Path) -> Result<Vec<RunRow>> {
        let filter = RunFilter { status: Some(Status::Running), ..RunFilter::default() };
        let mut dead = Vec::new();
        for run in self.runs(&filter, 10_000).await? {
            if !Lease::is_held(state, &run.id)? {
                dead.push(run);
            }
        }
        Ok(dead)
    }
}

fn no_run(name: &str) -> Fault {
    let name: String = name.chars().take(80).collect();
    Fault::usage(format!("there is no run {name:?}")).hint("`regreen runs` lists them")
}
