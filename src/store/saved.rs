//! Copies of an SQLite store, and what can be seen of one without opening it for work.

use std::path::Path;

use anyhow::{Context, Result};
use secrecy::SecretString;
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use super::sql::query;
use super::{Store, database};
use crate::fault::Fault;

/// Opens a copy for reading.
async fn look(file: &Path) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new().filename(file).read_only(true).immutable(true);
    SqliteConnection::connect_with(&options).await.map_err(database::explain)
}

impl Store {
    /// Sees that a newer Regreen left the tables so that this one can go on with them.
    ///
    /// # Errors
    /// [`TooOld`](super::TooOld) where it did not; else where the database fails.
    pub async fn compatible(&self) -> Result<()> {
        let needs = query("SELECT MAX(needs) AS needs FROM compatibility").one(self).await?;
        database::refuse_incompatible(needs.get("needs")?)
    }

    /// Writes a copy of the database, as it is at one moment, to the new file `to`. Others may write meanwhile.
    ///
    /// # Errors
    /// A [`Fault`] where the store is no file; else where the database or the disk fails.
    pub async fn copy_to(&self, to: &Path) -> Result<()> {
        if !self.is_alone() {
            return Err(Fault::usage("the store is a server's, which is saved by its own tools").into());
        }
        let path = to.to_str().context("the path is not UTF-8")?;
        query("VACUUM INTO $1").bind(path).execute(self).await?;
        std::fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(())
    }

    /// The runs of the copy `file` that began and are not over.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn unfinished_in(file: &Path) -> Result<Vec<String>> {
        let mut copy = look(file).await?;
        let runs = sqlx::query_scalar(
            "SELECT id FROM runs WHERE status IN ('running', 'waiting') AND base IS NOT NULL ORDER BY id",
        );
        let runs = runs.fetch_all(&mut copy).await.map_err(database::explain)?;
        copy.close().await.map_err(database::explain)?;
        Ok(runs)
    }

    /// Sees that `file` is an intact store that this Regreen can work with.
    ///
    /// # Errors
    /// A [`Fault`] where it is not.
    pub async fn check_file(file: &Path) -> Result<()> {
        let mut copy = look(file).await?;
        let said: String = sqlx::query_scalar("PRAGMA integrity_check")
            .fetch_one(&mut copy)
            .await
            .map_err(database::explain)?;
        if said != "ok" {
            return Err(Fault::usage(format!("the saved database is damaged: {said}")).into());
        }
        let needs = database::needs_sqlite(&mut copy).await?;
        copy.close().await.map_err(database::explain)?;
        database::refuse_incompatible(needs)
    }
}

/// What can be seen of a store without changing anything of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The version of its tables; `None` where there are none yet.
    pub version: Option<i64>,
    /// The version that this Regreen makes of it.
    pub newest: i64,
    /// Whether a newer Regreen made it so that this one cannot work with it.
    pub is_too_new: bool,
    /// How far a server's clock is ahead of this machine's, in milliseconds, give or take half of the time that the question took.
    pub clock_ahead: Option<(i64, std::time::Duration)>,
}

/// Looks at the PostgreSQL at `url`, or at the SQLite file `file` where there is none.
///
/// # Errors
/// A [`Fault`] where it cannot be reached or read.
pub async fn look_at(
    url: Option<&SecretString>,
    file: &Path,
    clock: &dyn crate::clock::Clock,
) -> Result<Seen> {
    let newest = database::knows();
    let (version, needs, clock_ahead) = match url {
        Some(url) => {
            let mut connection = database::connect_once(url).await?;
            let began = tokio::time::Instant::now();
            let asked = "SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT";
            let theirs: i64 =
                sqlx::query_scalar(asked).fetch_one(&mut connection).await.map_err(database::explain)?;
            let took = began.elapsed();
            let ours = clock.now().as_millisecond() - i64::try_from(took.as_millis() / 2).unwrap_or_default();
            let version = database::version_postgres(&mut connection).await?;
            let needs = database::needs_postgres(&mut connection).await?;
            connection.close().await.map_err(database::explain)?;
            (version, needs, Some((theirs - ours, took)))
        }
        None if !file.exists() => (None, None, None),
        None => {
            let options = SqliteConnectOptions::new().filename(file).read_only(true);
            let mut connection = SqliteConnection::connect_with(&options).await.map_err(database::explain)?;
            let version = database::version_sqlite(&mut connection).await?;
            let needs = database::needs_sqlite(&mut connection).await?;
            connection.close().await.map_err(database::explain)?;
            (version, needs, None)
        }
    };
    let is_too_new = database::refuse_incompatible(needs).is_err();
    Ok(Seen { version, newest, is_too_new, clock_ahead })
}
