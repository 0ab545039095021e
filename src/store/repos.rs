//! The repos that Regreen knows: those that a person added, and those that there are runs of.

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::rows::maybe;
use super::sql::{Row, Transaction, query};
use super::{RunRow, Store, escaped, moment};
use crate::usage::Money;

/// A row of `repos`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepoRow {
    /// Its root, as runs name it.
    pub repo: String,
    /// How many of its runs may be under way at once.
    pub concurrency: u32,
    /// Why no more of its runs are begun; `None` where they are.
    pub paused: Option<Pause>,
    /// How many of the queue's runs are under way.
    pub running: u64,
    /// How many wait in the queue.
    pub queued: u64,
    /// How many wait for a person.
    pub waiting: u64,
    /// When a person added it; `None` where there are only runs of it.
    pub added_at: Option<Timestamp>,
    /// Who added it.
    pub added_by: Option<String>,
}

/// That no more runs of a repo are begun. All is `None` where somebody set the column by hand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pause {
    /// Why.
    pub reason: Option<String>,
    /// Who said so.
    pub by: Option<String>,
    /// Since when.
    pub since: Option<Timestamp>,
}

/// How a caller knows a repo to stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum KnownAs {
    /// Whatever it is.
    #[default]
    Anything,
    /// As one of these [`RepoRow::version`]s says.
    One(Vec<String>),
}

impl KnownAs {
    fn is(&self, row: &RepoRow) -> bool {
        match self {
            KnownAs::Anything => true,
            KnownAs::One(versions) => versions.contains(&row.version()),
        }
    }
}

/// What is to hold for a repo; `None` leaves it as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RepoChange<'c> {
    /// How many of its runs may be under way at once, at least one.
    pub concurrency: Option<u32>,
    /// Whether no more of them are begun.
    pub pausing: Option<Pausing<'c>>,
}

/// Whether no more runs of a repo are begun. What is under way goes on to its end either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pausing<'c> {
    /// None are.
    Pause {
        /// Who says so.
        by: &'c str,
        /// Why.
        reason: &'c str,
    },
    /// They are begun again.
    GoOn,
}

/// What became of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Done,
    /// There is no such repo.
    Unknown,
    /// It stands otherwise than the caller knows.
    Changed,
    /// So many runs of it are in the queue.
    InQueue(u64),
}

/// A row with its counts.
const ONE: &str = "SELECT @columns(repos), (SELECT COUNT(*) FROM queue WHERE queue.repo = repos.repo AND state <> 'running') AS queued, \
     (SELECT COUNT(*) FROM runs WHERE runs.repo = repos.repo AND status = 'waiting') AS waiting FROM repos WHERE repo = $1";

impl Store {
    /// Adds a repo for `by`, and tells whether nobody had added it yet.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn add_repo(&self, repo: &str, by: &str) -> Result<bool> {
        let mut transaction = self.begin().await?;
        self.know(&mut transaction, repo).await?;
        let added =
            query("UPDATE repos SET added_at = $2, added_by = $3 WHERE repo = $1 AND added_at IS NULL");
        let added = added.bind(repo).bind(moment(self.now())).bind(by).execute(&mut transaction).await?;
        transaction.commit().await?;
        Ok(added > 0)
    }

    /// Makes the repo's row where there is none. A new repo comes last in the round.
    pub(super) async fn note_repo(&self, transaction: &mut Transaction, repo: &str) -> Result<()> {
        query(
            "INSERT INTO repos (repo, served) SELECT $1, COALESCE(MAX(served), 0) + 1 FROM repos WHERE true \
             ON CONFLICT (repo) DO NOTHING",
        )
        .bind(repo)
        .execute(transaction)
        .await
        .map(drop)
    }

    /// Begins no more runs of a repo, because `by` gives this reason. What is under way goes on to its end.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn pause(&self, repo: &str, by: &str, reason: &str) -> Result<()> {
        self.set(repo, RepoChange { pausing: Some(Pausing::Pause { by, reason }), ..RepoChange::default() })
            .await
    }

    /// Lets a paused repo go on.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn unpause(&self, repo: &str) -> Result<()> {
        self.set(repo, RepoChange { pausing: Some(Pausing::GoOn), ..RepoChange::default() }).await
    }

    /// Sets how many runs of a repo may be under way at once, at least one.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn limit_repo(&self, repo: &str, concurrency: u32) -> Result<()> {
        self.set(repo, RepoChange { concurrency: Some(concurrency), ..RepoChange::default() }).await
    }

    async fn set(&self, repo: &str, change: RepoChange<'_>) -> Result<()> {
        self.change_repo(repo, &change, &KnownAs::Anything).await.map(drop)
    }

    /// Changes what holds for a repo: all that is asked for, or nothing where it does not stand as `known` says. Tells whether it did.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn change_repo(&self, repo: &str, change: &RepoChange<'_>, known: &KnownAs) -> Result<bool> {
        let mut transaction = self.begin().await?;
        self.know(&mut transaction, repo).await?;
        let row = query(ONE).bind(repo).one(&mut transaction).await?;
        if !known.is(&RepoRow::from_row(&row)?) {
            return Ok(false);
        }
        if let Some(most) = change.concurrency {
            let limit = query("UPDATE repos SET concurrency = $2 WHERE repo = $1");
            limit.bind(repo).bind(i64::from(most.max(1))).execute(&mut transaction).await?;
        }
        match change.pausing {
            Some(Pausing::Pause { by, reason }) => {
                let pause = query(
                    "UPDATE repos SET paused = TRUE, paused_at = $2, paused_by = $3, paused_why = $4 WHERE repo = $1",
                );
                let pause = pause.bind(repo).bind(moment(self.now())).bind(by).bind(reason);
                pause.execute(&mut transaction).await?;
            }
            Some(Pausing::GoOn) => {
                let go_on = query(
                    "UPDATE repos SET paused = FALSE, paused_at = NULL, paused_by = NULL, paused_why = NULL WHERE repo = $1",
                );
                go_on.bind(repo).execute(&mut transaction).await?;
            }
            None => {}
        }
        self.changed(&mut transaction, repo).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Forgets a repo: that it was added, and what holds for it. Its runs stay; the next one makes it known again. Nothing is done while runs
    /// of it are in the queue.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn remove_repo(&self, repo: &str, known: &KnownAs) -> Result<Removal> {
        let mut transaction = self.begin().await?;
        if !self.lock_repo(&mut transaction, repo).await? {
            return Ok(Removal::Unknown);
        }
        let row = query(ONE).bind(repo).one(&mut transaction).await?;
        if !known.is(&RepoRow::from_row(&row)?) {
            return Ok(Removal::Changed);
        }
        let queued = query("SELECT COUNT(*) AS runs FROM queue WHERE repo = $1").bind(repo);
        match queued.one(&mut transaction).await?.count("runs")? {
            0 => {}
            runs => return Ok(Removal::InQueue(runs)),
        }
        query("DELETE FROM repos WHERE repo = $1").bind(repo).execute(&mut transaction).await?;
        transaction.commit().await?;
        Ok(Removal::Done)
    }

    /// A repo; `None` where it was never added and there are no runs of it.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn repo(&self, repo: &str) -> Result<Option<RepoRow>> {
        let row = query(ONE);
        row.bind(repo).first(self).await?.as_ref().map(RepoRow::from_row).transpose()
    }

    /// At most `limit` repos by their roots, behind the root `after`; with `text` only those that have it in their root.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn repos(&self, after: Option<&str>, text: Option<&str>, limit: u32) -> Result<Vec<RepoRow>> {
        let rows = query(
            "SELECT @columns(repos), (SELECT COUNT(*) FROM queue WHERE queue.repo = repos.repo AND state <> 'running') AS queued, \
             (SELECT COUNT(*) FROM runs WHERE runs.repo = repos.repo AND status = 'waiting') AS waiting \
             FROM repos WHERE ($1 IS NULL OR repo > $1) AND ($2 IS NULL OR LOWER(repo) LIKE LOWER($2) ESCAPE '\\') \
             ORDER BY repo LIMIT $3",
        )
        .bind(after)
        .bind(text.map(|text| format!("%{}%", escaped(text))))
        .bind(i64::from(limit))
        .all(self)
        .await?;
        rows.iter().map(RepoRow::from_row).collect()
    }

    /// Whether a person added this repo, or there are runs of it.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn knows_repo(&self, repo: &str) -> Result<bool> {
        let known = query("SELECT repo FROM repos WHERE repo = $1").bind(repo);
        Ok(known.first(self).await?.is_some())
    }

    /// The last `limit` runs of a repo, newest first, without a ticket's sub-tasks.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn runs_of(&self, repo: &str, limit: u32) -> Result<Vec<RunRow>> {
        let rows = query(
            "SELECT @columns(runs) FROM runs WHERE repo = $1 AND trigger <> 'subtask' ORDER BY created_at DESC, id DESC LIMIT $2",
        );
        let rows = rows.bind(repo).bind(i64::from(limit)).all(self).await?;
        rows.iter().map(RunRow::from_row).collect()
    }

    /// What models cost in the runs of a repo that were made since then.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn cost_of_repo(&self, repo: &str, since: Timestamp) -> Result<Money> {
        let row = query(
            "SELECT CAST(COALESCE(SUM(cost_micro_usd), 0) AS BIGINT) AS cost FROM runs WHERE repo = $1 AND created_at >= $2",
        );
        Ok(Money(row.bind(repo).bind(moment(since)).one(self).await?.count("cost")?))
    }
}

impl RepoRow {
    /// A short name for what people set for the repo: another one as soon as any of that changes, whatever its runs do.
    pub fn version(&self) -> String {
        let set = (&self.repo, self.concurrency, &self.paused, self.added_at);
        let text = serde_json::to_string(&set).unwrap_or_default();
        hex::encode(&Sha256::digest(text)[..8])
    }

    fn from_row(row: &Row) -> Result<Self> {
        let paused = match row.get::<bool>("paused")? {
            false => None,
            true => Some(Pause {
                reason: row.get("paused_why")?,
                by: row.get("paused_by")?,
                since: maybe(row, "paused_at")?,
            }),
        };
        Ok(Self {
            repo: row.get("repo")?,
            concurrency: row.count("concurrency")?.try_into().unwrap_or(u32::MAX),
            paused,
            running: row.count("running")?,
            queued: row.count("queued")?,
            waiting: row.count("waiting")?,
            added_at: maybe(row, "added_at")?,
            added_by: row.get("added_by")?,
        })
    }
}
