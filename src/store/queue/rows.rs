//! What goes into the queue and what comes out of it, as types.

use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::STEP;
use crate::store::lease::Lease;
use crate::store::sql::Row;
use crate::store::{NewRun, Proposes};

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

    pub(in crate::store) fn parse(text: &str) -> Result<Self> {
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
    /// All.
    pub const ALL: [Standing; 4] =
        [Standing::Queued, Standing::Delayed, Standing::Blocked, Standing::Running];

    /// As written in the database.
    pub fn as_str(self) -> &'static str {
        ["queued", "delayed", "blocked", "running"][self as usize]
    }

    pub(in crate::store) fn parse(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|standing| standing.as_str() == text);
        found.with_context(|| format!("unknown standing {text:?} in the store"))
    }
}

/// A run to be put into the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The run; its status must be [`Status::Queued`](crate::store::Status::Queued).
    pub run: NewRun,
    /// How urgent it is.
    pub priority: Priority,
    /// Who submits the same key again gets the same run.
    pub key: Option<String>,
    /// How long it may not be claimed from now on.
    pub delay: Duration,
    /// What it is to a proposal, if it is for one.
    pub proposes: Option<Proposes>,
    /// The incident that the run takes up.
    pub heals: Option<String>,
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
/// [`Store::give_back`](crate::store::Store::give_back) or [`Store::over`](crate::store::Store::over).
#[derive(Debug)]
pub struct Claim {
    /// The run.
    pub run: String,
    /// Its repo.
    pub repo: String,
    /// How urgent it is.
    pub priority: Priority,
    /// How long it could have been claimed before it was.
    pub waited: Duration,
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
    /// Its repo is halted; somebody goes on once that is lifted.
    Halted {
        /// By whom, and why.
        reason: String,
    },
    /// Something failed that may pass: again after this time. Counts as a death.
    Failed {
        /// How long to wait.
        wait: Duration,
        /// What failed.
        reason: String,
    },
    /// Something was in the way that says nothing about the run: again after this time.
    Later {
        /// How long to wait.
        wait: Duration,
        /// What was in the way.
        reason: String,
    },
    /// Nobody can do it as things are.
    Blocked {
        /// Why.
        reason: String,
    },
}

/// What [`Store::cancel`](crate::store::Store::cancel) led to.
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

impl Queued {
    pub(super) fn from_row(row: &Row) -> Result<Self> {
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
