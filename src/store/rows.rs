//! The rows of the tables as types.

use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::approvals::Voice;
use super::incidents::IncidentPatch;
use super::postmortems::Learnt;
use super::proposals::ProposalPatch;
use super::queue::Priority;
use super::sql::{Row, Transaction, query, signed};
use crate::usage::{Money, Usage};

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// In the queue, not begun.
    Queued,
    /// Under way (or its process died: see [`super::Store::unfinished`]).
    Running,
    /// Waits for a person.
    Waiting,
    /// Over, whichever way.
    Finished,
}

impl Status {
    /// As written in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Queued => "queued",
            Status::Running => "running",
            Status::Waiting => "waiting",
            Status::Finished => "finished",
        }
    }

    fn parse(text: &str) -> Result<Self> {
        [Status::Queued, Status::Running, Status::Waiting, Status::Finished]
            .into_iter()
            .find(|status| status.as_str() == text)
            .with_context(|| format!("unknown status {text:?} in the store"))
    }
}

/// What a run starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// Its id: letters, digits and `-`.
    pub id: String,
    /// The repo's root.
    pub repo: String,
    /// What started it: `heal`, `ticket`, `proposal`, …
    pub trigger: String,
    /// What should become green.
    pub goal: String,
    /// Where it stands.
    pub status: Status,
    /// What it starts from: a commit or a snapshot.
    pub base: Option<String>,
}

/// A row of `runs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunRow {
    /// Its id.
    pub id: String,
    /// The repo's root.
    pub repo: String,
    /// What started it.
    pub trigger: String,
    /// What should become green.
    pub goal: String,
    /// Where it stands.
    pub status: Status,
    /// How it ended, one word: `healed`, `green`, `red`, `flaky`, …
    pub outcome: Option<String>,
    /// The program's exit code.
    pub exit: Option<i64>,
    /// One sentence for lists.
    pub summary: Option<String>,
    /// What it started from.
    pub base: Option<String>,
    /// Where it landed: `worktree`, a commit, a branch.
    pub landed: Option<String>,
    /// How many attempts were made.
    pub attempts: u64,
    /// What its models cost.
    pub cost: Money,
    /// How urgent it was submitted as; `None` for one that began without the queue.
    pub priority: Option<Priority>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its last event was appended.
    pub updated_at: Timestamp,
}

/// Which runs to list; `None` means any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Of this repo.
    pub repo: Option<String>,
    /// Standing so.
    pub status: Option<Status>,
    /// Made at this moment or later.
    pub since: Option<Timestamp>,
    /// Made after this run.
    pub after: Option<String>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Its number in the run, from 1, without gaps.
    pub seq: u64,
    /// When it was appended.
    pub at: Timestamp,
    /// What kind.
    pub kind: String,
    /// Its contents.
    pub payload: Value,
}

/// An event that is to be appended, and what follows from it.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// When it happened.
    pub at: Timestamp,
    /// What kind.
    pub kind: &'static str,
    /// Its contents.
    pub payload: Value,
    /// What is written with it.
    pub follows: Projection,
}

impl NewEvent {
    /// One from which nothing follows.
    pub fn new(at: Timestamp, kind: &'static str, payload: Value) -> Self {
        Self { at, kind, payload, follows: Projection::default() }
    }

    /// The same, from which this follows.
    #[must_use]
    pub fn with(self, follows: Projection) -> Self {
        Self { follows, ..self }
    }
}

/// Changes to a run's row; `None` leaves the column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunPatch {
    /// Where it stands now.
    pub status: Option<Status>,
    /// How it ended.
    pub outcome: Option<String>,
    /// The program's exit code.
    pub exit: Option<u8>,
    /// One sentence for lists.
    pub summary: Option<String>,
    /// What it starts from.
    pub base: Option<String>,
    /// Where it landed.
    pub landed: Option<String>,
}

/// A row of `fix_attempts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttemptRow {
    /// The run; set by the store when it is written.
    pub run: String,
    /// Its number in the run, from 1.
    pub attempt: u32,
    /// Who proposed: `codefix(rustc)`, `model(<name>)`.
    pub fixer: String,
    /// The model, where there was one.
    pub model_used: Option<String>,
    /// The category of the first diagnostic, in kebab-case.
    pub category: Option<String>,
    /// The failure that it worked on.
    pub fingerprint: Option<String>,
    /// Whether it made the goal green, and no proof said otherwise.
    pub succeeded: bool,
    /// What it came to, one sentence.
    pub result: String,
    /// What the model used.
    pub usage: Usage,
    /// What the model cost.
    pub cost: Money,
    /// Wall time of proposing and verifying.
    pub duration: Duration,
    /// When it ended; set by the store when it is written.
    pub at: Timestamp,
}

/// Money that one call of a model cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// The provider's name in the configuration.
    pub provider: String,
    /// The model's name.
    pub model: String,
    /// What it cost.
    pub cost: Money,
}

/// A call of a provider that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// The provider's name in the configuration.
    pub provider: String,
    /// Why there was no answer, where that was the provider's doing.
    pub failed: Option<String>,
}

/// What follows from an event for the tables that people query; written in the event's own transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Projection {
    /// Changes to the run's row.
    pub run: RunPatch,
    /// An attempt that ended.
    pub attempt: Option<AttemptRow>,
    /// Money that was spent.
    pub spent: Option<Spent>,
    /// A call that a provider answered, or did not.
    pub called: Option<Called>,
    /// Whether the run came further than a worker can come again and again: the deaths before it count no more.
    pub advances: bool,
    /// The run that goes on in the queue, if it came through there: this one, or the ticket's of a sub-task.
    pub comes_back: Option<String>,
    /// Whether a call is over, so that nothing is set aside for it any more.
    pub settles: bool,
    /// Why what looked like a success was none: the attempts so far that count as one count no more.
    pub unproven: Option<String>,
    /// What people were asked, or said.
    pub voice: Option<Voice>,
    /// What it means for the proposal that the run is for.
    pub proposal: Option<ProposalPatch>,
    /// What it means for the incident that the run is for.
    pub incident: Option<IncidentPatch>,
    /// What is to be learnt from it.
    pub learnt: Option<Learnt>,
}

impl Projection {
    pub(super) async fn write(
        &self,
        transaction: &mut Transaction,
        run: &str,
        seq: i64,
        now: &str,
    ) -> Result<()> {
        let spent = self.spent.as_ref().map_or(0, |spent| signed(spent.cost.0));
        query(
            "UPDATE runs SET status = COALESCE($2, status), outcome = COALESCE($3, outcome), \
             exit = COALESCE($4, exit), summary = COALESCE($5, summary), base = COALESCE($6, base), \
             landed = COALESCE($7, landed), cost_micro_usd = cost_micro_usd + $8, attempts = attempts + $9, \
             bucket_emptied_at = CASE WHEN $2 = 'running' THEN NULL ELSE bucket_emptied_at END, updated_at = $10 WHERE id = $1",
        )
        .bind(run)
        .bind(self.run.status.map(Status::as_str))
        .bind(&self.run.outcome)
        .bind(self.run.exit.map(i64::from))
        .bind(&self.run.summary)
        .bind(&self.run.base)
        .bind(&self.run.landed)
        .bind(spent)
        .bind(i64::from(self.attempt.is_some()))
        .bind(now)
        .execute(&mut *transaction)
        .await?;
        if let Some(spent) = &self.spent {
            query(
                "INSERT INTO spending (run, seq, at, provider, model, cost_micro_usd) \
                 VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(run)
            .bind(seq)
            .bind(now)
            .bind(&spent.provider)
            .bind(&spent.model)
            .bind(signed(spent.cost.0))
            .execute(&mut *transaction)
            .await?;
        }
        if let Some(called) = &self.called {
            called.write(transaction, now).await?;
        }
        if self.settles {
            query("DELETE FROM reservations WHERE run = $1").bind(run).execute(&mut *transaction).await?;
        }
        if let Some(why) = &self.unproven {
            query("UPDATE fix_attempts SET succeeded = FALSE, result = $2 WHERE run = $1 AND succeeded")
                .bind(run)
                .bind(why)
                .execute(&mut *transaction)
                .await?;
        }
        if let Some(voice) = &self.voice {
            voice.write(transaction, run, now).await?;
        }
        if let Some(attempt) = &self.attempt {
            attempt.insert(transaction, run, now).await?;
        }
        if let Some(learnt) = &self.learnt {
            learnt.write(transaction, run, now).await?;
        }
        if let Some(incident) = &self.incident {
            incident.write(transaction, run, now).await?;
        }
        match &self.proposal {
            Some(proposal) => proposal.write(transaction, run, now).await,
            None => Ok(()),
        }
    }
}

impl Called {
    async fn write(&self, transaction: &mut Transaction, now: &str) -> Result<()> {
        let failed = i64::from(self.failed.is_some());
        query(
            "INSERT INTO providers (provider, failures, failing_since, error, called_at) \
             VALUES ($1, $2, CASE WHEN $2 = 0 THEN NULL ELSE $4 END, $3, $4) \
             ON CONFLICT (provider) DO UPDATE SET failures = CASE WHEN $2 = 0 THEN 0 ELSE providers.failures + 1 END, \
             failing_since = CASE WHEN $2 = 0 THEN NULL ELSE COALESCE(providers.failing_since, $4) END, \
             error = excluded.error, called_at = excluded.called_at",
        )
        .bind(&self.provider)
        .bind(failed)
        .bind(&self.failed)
        .bind(now)
        .execute(transaction)
        .await
        .map(drop)
    }
}

impl AttemptRow {
    async fn insert(&self, transaction: &mut Transaction, run: &str, now: &str) -> Result<()> {
        query(
            "INSERT INTO fix_attempts (run, attempt, fixer, model_used, category, fingerprint, succeeded, \
             result, input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, cost_micro_usd, \
             duration_ms, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        )
        .bind(run)
        .bind(i64::from(self.attempt))
        .bind(&self.fixer)
        .bind(&self.model_used)
        .bind(&self.category)
        .bind(&self.fingerprint)
        .bind(self.succeeded)
        .bind(&self.result)
        .bind(signed(self.usage.input))
        .bind(signed(self.usage.cache_read))
        .bind(signed(self.usage.cache_write))
        .bind(signed(self.usage.output))
        .bind(signed(self.cost.0))
        .bind(signed(self.duration.as_millis().try_into().unwrap_or(u64::MAX)))
        .bind(now)
        .execute(transaction)
        .await
        .map(drop)
    }

    pub(super) fn from_row(row: &Row) -> Result<Self> {
        let number = |column: &str| row.count(column);
        Ok(Self {
            run: row.get("run")?,
            attempt: number("attempt")?.try_into().unwrap_or(u32::MAX),
            fixer: row.get("fixer")?,
            model_used: row.get("model_used")?,
            category: row.get("category")?,
            fingerprint: row.get("fingerprint")?,
            succeeded: row.get("succeeded")?,
            result: row.get("result")?,
            usage: Usage {
                input: number("input_tokens")?,
                cache_read: number("cache_read_tokens")?,
                cache_write: number("cache_write_tokens")?,
                output: number("output_tokens")?,
                ..Usage::default()
            },
            cost: Money(number("cost_micro_usd")?),
            duration: Duration::from_millis(number("duration_ms")?),
            at: time(row, "at")?,
        })
    }
}

impl RunRow {
    pub(super) fn from_row(row: &Row) -> Result<Self> {
        let priority: Option<String> = row.get("priority")?;
        Ok(Self {
            id: row.get("id")?,
            repo: row.get("repo")?,
            trigger: row.get("trigger")?,
            goal: row.get("goal")?,
            status: Status::parse(&row.get::<String>("status")?)?,
            outcome: row.get("outcome")?,
            exit: row.get("exit")?,
            summary: row.get("summary")?,
            base: row.get("base")?,
            landed: row.get("landed")?,
            attempts: row.count("attempts")?,
            cost: Money(row.count("cost_micro_usd")?),
            priority: priority.as_deref().map(Priority::parse).transpose()?,
            created_at: time(row, "created_at")?,
            updated_at: time(row, "updated_at")?,
        })
    }
}

impl Event {
    pub(super) fn from_row(row: &Row) -> Result<Self> {
        let payload: String = row.get("payload")?;
        Ok(Self {
            seq: row.count("seq")?,
            at: time(row, "at")?,
            kind: row.get("kind")?,
            payload: serde_json::from_str(&payload).context("an event in the store is no JSON")?,
        })
    }
}

pub(super) fn time(row: &Row, column: &str) -> Result<Timestamp> {
    let text: String = row.get(column)?;
    text.parse().with_context(|| format!("{column} is no moment: {text:?}"))
}

/// A moment that may be missing.
pub(super) fn maybe(row: &Row, column: &str) -> Result<Option<Timestamp>> {
    let text: Option<String> = row.get(column)?;
    text.map(|_| time(row, column)).transpose()
}
