//! The kill switch: while a repo is halted, or everything, nothing of it is begun and what is under way stops.
//!
//! It stands in the database, so that it holds for everybody who shares it and survives every process. Whoever works on a run hears of it as of
//! any change of the queue ([`Store::until_halted`]) and asks once more before each step.

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;

use super::rows::time;
use super::sql::{Row, Transaction, query};
use super::{Store, moment};
use crate::fault::Fault;

/// The name under which everything is halted.
const EVERYTHING: &str = "";

/// A row of `halts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Halt {
    /// The repo, as runs name it; `None` where everything is halted.
    pub repo: Option<String>,
    /// Since when.
    pub at: Timestamp,
    /// Who did it.
    pub person: String,
    /// Why.
    pub reason: String,
}

/// Regreen is halted: whoever works on a run stops, and leaves it as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Halted(pub Halt);

impl std::fmt::Display for Halt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what =
            self.repo.as_deref().map_or_else(|| "Regreen".to_owned(), |repo| format!("the repo {repo}"));
        let since = self.at.strftime("%Y-%m-%d %H:%M UTC");
        write!(f, "{what} was halted by {} ({since}): {}", self.person, self.reason)
    }
}

impl Halt {
    /// What a person is told who asks for what is halted.
    pub fn fault(&self) -> Fault {
        let command = match &self.repo {
            Some(repo) => format!("regreen unhalt --repo {repo}"),
            None => "regreen unhalt".to_owned(),
        };
        Fault::policy(self.to_string()).hint(format!("`{command}` lifts that"))
    }

    fn from_row(row: &Row) -> Result<Self> {
        let repo: String = row.get("repo")?;
        Ok(Self {
            repo: Some(repo).filter(|repo| repo != EVERYTHING),
            at: time(row, "at")?,
            person: row.get("person")?,
            reason: row.get("reason")?,
        })
    }
}

impl Store {
    /// Halts a repo, or with `None` everything. What is halted already stays as it is. Tells whether it is new.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn halt(&self, repo: Option<&str>, person: &str, reason: &str) -> Result<bool> {
        let mut transaction = self.begin().await?;
        match repo {
            Some(repo) => self.know(&mut transaction, repo).await?,
            None => lock_all(&mut transaction).await?,
        }
        let halted = query(
            "INSERT INTO halts (repo, at, person, reason) VALUES ($1, $2, $3, $4) ON CONFLICT (repo) DO NOTHING",
        );
        let halted =
            halted.bind(repo.unwrap_or(EVERYTHING)).bind(moment(self.now())).bind(person).bind(reason);
        let new = halted.execute(&mut transaction).await? > 0;
        self.follow_halt(&mut transaction, repo).await?;
        transaction.commit().await?;
        Ok(new)
    }

    /// Lifts a halt. Gives it, or `None` where there was none.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn unhalt(&self, repo: Option<&str>) -> Result<Option<Halt>> {
        let mut transaction = self.begin().await?;
        match repo {
            Some(repo) => self.lock_repo(&mut transaction, repo).await.map(drop)?,
            None => lock_all(&mut transaction).await?,
        }
        let lifted = query("DELETE FROM halts WHERE repo = $1 RETURNING @columns(halts)")
            .bind(repo.unwrap_or(EVERYTHING));
        let Some(row) = lifted.first(&mut transaction).await? else { return Ok(None) };
        let halt = Halt::from_row(&row)?;
        self.follow_halt(&mut transaction, repo).await?;
        transaction.commit().await?;
        Ok(Some(halt))
    }

    /// What is halted: everything first, then repos by name.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn halts(&self) -> Result<Vec<Halt>> {
        query("SELECT @columns(halts) FROM halts ORDER BY repo")
            .all(self)
            .await?
            .iter()
            .map(Halt::from_row)
            .collect()
    }

    /// What halts a repo, if anything does.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn halt_of(&self, repo: &str) -> Result<Option<Halt>> {
        let row =
            query("SELECT @columns(halts) FROM halts WHERE repo = $1 OR repo = '' ORDER BY repo LIMIT 1")
                .bind(repo);
        row.first(self).await?.as_ref().map(Halt::from_row).transpose()
    }

    /// Asked before whatever must not begin while a repo is halted.
    ///
    /// # Errors
    /// [`Halted`] where it is.
    pub async fn must_not_be_halted(&self, repo: &str) -> Result<()> {
        match self.halt_of(repo).await? {
            Some(halt) => Err(Halted(halt).into()),
            None => Ok(()),
        }
    }

    /// Returns when a repo is halted, at once where it is.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn until_halted(&self, repo: &str) -> Result<Halt> {
        let mut changes = self.changes().await?;
        loop {
            match self.halt_of(repo).await {
                Ok(Some(halt)) => return Ok(halt),
                Ok(None) => {}
                // Whoever works on the run finds out by himself that the database is out of reach.
                Err(error) => tracing::debug!("cannot see whether the repo is halted: {error:#}"),
            }
            if changes.changed().await.is_err() {
                // The store is closed, and whoever works on the run ends.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Which of the runs that `worker` has are halted.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn halted(&self, worker: &str) -> Result<Vec<String>> {
        let rows = query(
            "SELECT run FROM queue WHERE worker = $1 AND state = 'running' \
             AND EXISTS (SELECT 1 FROM halts WHERE halts.repo = queue.repo OR halts.repo = '')",
        );
        rows.bind(worker).all(self).await?.iter().map(|row| row.get("run")).collect()
    }
}

/// Waits until nobody changes any repo's row, and keeps it so: whoever did, did it by what was halted before. First of all locks, as repos come
/// first in their order.
async fn lock_all(transaction: &mut Transaction) -> Result<()> {
    if let Transaction::Postgres(_) = transaction {
        query("LOCK TABLE repos IN EXCLUSIVE MODE").execute(transaction).await?;
    }
    Ok(())
}

/// The halt that an error tells of.
pub fn halt_in(error: &anyhow::Error) -> Option<&Halt> {
    error.chain().find_map(|cause| cause.downcast_ref::<Halted>()).map(|Halted(halt)| halt)
}
