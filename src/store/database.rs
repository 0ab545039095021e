//! The database file: made private, opened, brought up to date, and its failures explained.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use crate::fault::Fault;

/// The versions of the tables, each with its script. A script is never changed once it was released.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "runs", include_str!("../../migrations/0001_runs.sql")),
    (2, "reservations", include_str!("../../migrations/0002_reservations.sql")),
    (3, "lost calls", include_str!("../../migrations/0003_lost_calls.sql")),
    (4, "service", include_str!("../../migrations/0004_service.sql")),
];

pub(super) fn migrator() -> Migrator {
    let migration = |(version, name, sql): &(i64, &'static str, &'static str)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, (*sql).into_sql_str(), false)
    };
    Migrator::with_migrations(MIGRATIONS.iter().map(migration).collect())
}

pub(super) async fn open(path: &Path) -> Result<SqlitePool> {
    let unusable = |what: &dyn std::fmt::Display| {
        Fault::usage(format!("cannot open the store {}: {what}", path.display()))
            .hint("set REGREEN_STATE_DIR to a private folder on a local disk")
    };
    // SQLite gives its journal files the mode of the main one, so that is made first.
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| unusable(&error))?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        // A run that was told to be durable must survive a power cut, not only a crash.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(15))
        .pragma("trusted_schema", "OFF");
    let pool = SqlitePoolOptions::new()
        .max_connections(4)
        .acquire_timeout(Duration::from_secs(30))
        .connect_with(options)
        .await
        .map_err(|error| at(path, explain(error)))?;
    let lock = lock_file(path).map_err(|error| unusable(&error))?;
    let migrated = migrator().run(&pool).await;
    drop(lock);
    match migrated {
        Ok(()) => Ok(pool),
        Err(error) => {
            pool.close().await;
            Err(at(path, explain_migration(error)))
        }
    }
}

/// Held while tables are changed: two processes that start at once must not both do it.
fn lock_file(path: &Path) -> std::io::Result<std::fs::File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(name)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)?;
    Ok(file)
}

fn at(path: &Path, error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<Fault>() {
        Ok(fault) => Fault { message: format!("{}: {}", path.display(), fault.message), ..fault }.into(),
        Err(error) => error.context(format!("cannot open the store {}", path.display())),
    }
}

fn explain_migration(error: MigrateError) -> anyhow::Error {
    match error {
        MigrateError::VersionMissing(version) | MigrateError::VersionTooNew(version, _) => Fault::usage(
            format!("the store was written by a newer Regreen (its tables have version {version})"),
        )
        .hint("update Regreen, or set REGREEN_STATE_DIR to another folder")
        .into(),
        MigrateError::VersionMismatch(version) => {
            Fault::usage(format!("the store's tables of version {version} are not those of this Regreen"))
                .hint("set REGREEN_STATE_DIR to another folder, or remove the file if nothing in it matters")
                .into()
        }
        MigrateError::Execute(error) => explain(error),
        MigrateError::ExecuteMigration(error, _) => explain(error),
        other => anyhow::Error::new(other).context("the store's tables could not be brought up to date"),
    }
}

/// Turns SQLite's failures that a person can do something about into faults.
pub(super) fn explain(error: sqlx::Error) -> anyhow::Error {
    let code = match &error {
        sqlx::Error::Database(error) => error.code().and_then(|code| code.parse::<u32>().ok()),
        _ => None,
    };
    // The low byte is the primary result code.
    let fault = match code.map(|code| code & 0xff) {
        Some(5 | 6) => Fault::cannot_judge("the store is locked by another process for too long")
            .hint("see which Regreen is stuck (`regreen runs`) and end it"),
        Some(8) => Fault::usage("the store cannot be written: it is read-only"),
        Some(10) => Fault::cannot_judge("the disk under the store fails (I/O error)"),
        Some(11 | 26) => Fault::usage("the store is damaged: it is no intact SQLite database")
            .hint("move the file away; a new one is made, with an empty history"),
        Some(13) => {
            Fault::cannot_judge("the disk under the store is full").hint("free some space and try again")
        }
        Some(14) => Fault::usage("the store's file cannot be opened"),
        _ => return anyhow::Error::new(error).context("the store failed"),
    };
    anyhow::Error::new(error).context(fault)
}

#[cfg(test)]
pub(super) async fn raw(path: &Path, sql: &'static str) -> Result<()> {
    let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(path)).await?;
    sqlx::raw_sql(sql).execute(&pool).await?;
    pool.close().await;
    Ok(())
}
