//! Keys by which Sentry's SDKs deliver what goes wrong in a repo's programs. Only their digests are kept.

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;

use super::rows::{maybe, time};
use super::sql::{Row, query, signed};
use super::{Store, moment};
use crate::fault::Fault;

/// A row of `sentry_keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SentryKey {
    /// The number that SDKs call the project by.
    pub project: u64,
    /// The repo whose programs report with it.
    pub repo: String,
    /// SHA-256 of the key, in lower-case hexadecimal.
    #[serde(skip)]
    pub hash: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl SentryKey {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            project: row.count("project")?,
            repo: row.get("repo")?,
            hash: row.get("hash")?,
            created_at: time(row, "created_at")?,
            created_by: row.get("created_by")?,
            revoked_at: maybe(row, "revoked_at")?,
        })
    }
}

impl Store {
    /// Keeps a key for a repo, and gives its project's number.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn add_sentry_key(&self, repo: &str, hash: &str, by: &str) -> Result<u64> {
        let mut transaction = self.begin().await?;
        // Whoever makes one at the same moment is waited for.
        self.know(&mut transaction, repo).await?;
        let last =
            query("SELECT COALESCE(MAX(project), 0) AS n FROM sentry_keys").one(&mut transaction).await?;
        let project = last.count("n")? + 1;
        query("INSERT INTO sentry_keys (project, repo, hash, created_at, created_by) VALUES ($1, $2, $3, $4, $5)")
            .bind(signed(project))
            .bind(repo)
            .bind(hash)
            .bind(moment(self.now()))
            .bind(by)
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        Ok(project)
    }

    /// All keys, the newest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn sentry_keys(&self) -> Result<Vec<SentryKey>> {
        let rows =
            query("SELECT @columns(sentry_keys) FROM sentry_keys ORDER BY project DESC").all(self).await?;
        rows.iter().map(SentryKey::from_row).collect()
    }

    /// The key of a project, if there is one.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn sentry_key(&self, project: u64) -> Result<Option<SentryKey>> {
        let row = query("SELECT @columns(sentry_keys) FROM sentry_keys WHERE project = $1")
            .bind(signed(project))
            .first(self)
            .await?;
        row.as_ref().map(SentryKey::from_row).transpose()
    }

    /// Has a project's key count no more.
    ///
    /// # Errors
    /// A [`Fault`] (exit 2) where there is none that counts.
    pub async fn revoke_sentry_key(&self, project: u64) -> Result<()> {
        let revoked =
            query("UPDATE sentry_keys SET revoked_at = $2 WHERE project = $1 AND revoked_at IS NULL")
                .bind(signed(project))
                .bind(moment(self.now()))
                .execute(self)
                .await?;
        if revoked > 0 {
            return Ok(());
        }
        Err(Fault::usage(format!("no DSN of the project {project} is valid"))
            .hint("`regreen incidents dsn list` lists them")
            .into())
    }
}
