//! The database: a private file or a server, opened, brought up to date, and its failures explained.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use secrecy::{ExposeSecret, SecretString};
use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use crate::fault::Fault;

/// The versions of the tables, each with its script. A script is never changed once it was released.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "runs", include_str!("../../migrations/0001_runs.sql")),
    (2, "reservations", include_str!("../../migrations/0002_reservations.sql")),
    (3, "lost calls", include_str!("../../migrations/0003_lost_calls.sql")),
    (4, "queue", QUEUE),
    (5, "service", SERVICE),
    (6, "feed", include_str!("../../migrations/0006_feed.sql")),
    (8, "proposals", PROPOSALS),
    (9, "alerts", ALERTS),
    (11, "repos", REPOS),
];

/// The same for PostgreSQL, which came later. From version 4 on both take the same scripts, where they can.
const POSTGRES: &[(i64, &str, &str)] = &[
    (1, "runs", include_str!("../../migrations/postgres/0001_runs.sql")),
    (4, "queue", QUEUE),
    (5, "service", SERVICE),
    (6, "feed", include_str!("../../migrations/postgres/0006_feed.sql")),
    (8, "proposals", PROPOSALS),
    (9, "alerts", ALERTS),
    (11, "repos", REPOS),
];

const QUEUE: &str = include_str!("../../migrations/0004_queue.sql");
const SERVICE: &str = include_str!("../../migrations/0005_service.sql");
const PROPOSALS: &str = include_str!("../../migrations/0008_proposals.sql");
const ALERTS: &str = include_str!("../../migrations/0009_alerts.sql");
const REPOS: &str = include_str!("../../migrations/0011_repos.sql");

fn migrator(migrations: &'static [(i64, &str, &str)]) -> Migrator {
    let migration = |(version, name, sql): &(i64, &'static str, &'static str)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, (*sql).into_sql_str(), false)
    };
    Migrator::with_migrations(migrations.iter().map(migration).collect())
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
        .max_connections(6)
        .acquire_timeout(Duration::from_secs(30))
        .connect_with(options)
        .await
        .map_err(|error| at(path, explain(error)))?;
    let lock = lock_file(path).map_err(|error| unusable(&error))?;
    let migrated = migrator(MIGRATIONS).run(&pool).await;
    drop(lock);
    match migrated {
        Ok(()) => Ok(pool),
        Err(error) => {
            pool.close().await;
            Err(at(path, explain_migration(error)))
        }
    }
}

/// Connects to a server. Its address may hold a password, and is told to nobody.
pub(super) async fn connect(url: &SecretString) -> Result<PgPool> {
    let options: PgConnectOptions = url.expose_secret().parse().map_err(|_unsaid| {
        Fault::usage("REGREEN_DATABASE_URL is no address of a PostgreSQL database")
            .hint("it looks like postgres://user:password@host:5432/database?sslmode=verify-full")
    })?;
    let place = format!("{}:{}", options.get_host(), options.get_port());
    // A client that hangs, or a machine that is gone, must not keep rows locked from the others.
    let options = options.application_name("regreen").options([
        ("idle_in_transaction_session_timeout", "60s"),
        ("lock_timeout", "30s"),
        ("statement_timeout", "60s"),
    ]);
    let pool = PgPoolOptions::new()
        .max_connections(10)
        .acquire_timeout(Duration::from_secs(15))
        .connect_with(options)
        .await
        .map_err(|error| named(&place, explain(error)))?;
    match migrator(POSTGRES).run(&pool).await {
        Ok(()) => Ok(pool),
        Err(error) => {
            pool.close().await;
            Err(named(&place, explain_migration(error)))
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
    named(&path.display(), error)
}

fn named(store: &dyn std::fmt::Display, error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<Fault>() {
        Ok(fault) => Fault { message: format!("{store}: {}", fault.message), ..fault }.into(),
        Err(error) => error.context(format!("cannot open the store {store}")),
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

/// Turns failures that a person can do something about into faults.
pub(super) fn explain(error: sqlx::Error) -> anyhow::Error {
    let fault = match &error {
        _ if is_out_of_reach(&error) => Some(
            Fault::cannot_judge("the database of the store is out of reach")
                .hint("see that its server runs and that this machine reaches it"),
        ),
        sqlx::Error::Database(told) => {
            let code = told.code().unwrap_or_default();
            match told.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
                Some(_) => of_postgres(&code),
                None => code.parse().ok().and_then(of_sqlite),
            }
        }
        _ => None,
    };
    match fault {
        Some(fault) => anyhow::Error::new(error).context(fault),
        None => anyhow::Error::new(error).context("the store failed"),
    }
}

fn of_sqlite(code: u32) -> Option<Fault> {
    // The low byte is the primary result code.
    Some(match code & 0xff {
        5 | 6 => Fault::cannot_judge("the store is locked by another process for too long")
            .hint("see which Regreen is stuck (`regreen runs`) and end it"),
        8 => Fault::usage("the store cannot be written: it is read-only"),
        10 => Fault::cannot_judge("the disk under the store fails (I/O error)"),
        11 | 26 => Fault::usage("the store is damaged: it is no intact SQLite database")
            .hint("move the file away; a new one is made, with an empty history"),
        13 => Fault::cannot_judge("the disk under the store is full").hint("free some space and try again"),
        14 => Fault::usage("the store's file cannot be opened"),
        _ => return None,
    })
}

fn of_postgres(code: &str) -> Option<Fault> {
    let hint = "REGREEN_DATABASE_URL says user, password and database";
    Some(match code {
        "28000" | "28P01" => Fault::usage("the database refuses the login").hint(hint),
        "3D000" => Fault::usage("the server has no such database").hint(hint),
        "42501" => Fault::usage("the database's user may not do what the store needs")
            .hint("let it own the database, or the tables in it"),
        "25006" => Fault::usage("the database cannot be written: it is read-only")
            .hint("REGREEN_DATABASE_URL has to name the primary server"),
        "53100" => Fault::cannot_judge("the disk under the database is full"),
        "53300" => Fault::cannot_judge("the server takes no more connections")
            .hint("raise max_connections there: each worker may take ten"),
        _ => return None,
    })
}

/// Whether the database may be there again in a moment, and the same thing may be done again then.
fn is_out_of_reach(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(told) => {
            let is_postgres = told.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some();
            // Connections that end, servers that stop or start, and what lost against another transaction.
            let passing = |code: &str| {
                matches!(code, "57P01" | "57P02" | "57P03" | "40001" | "40P01") || code.starts_with("08")
            };
            is_postgres && told.code().is_some_and(|code| passing(&code))
        }
        _ => false,
    }
}

/// Whether an error came from a database that was out of reach.
pub(super) fn was_out_of_reach(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<sqlx::Error>().is_some_and(is_out_of_reach))
}

#[cfg(test)]
pub(super) async fn raw(path: &Path, sql: &'static str) -> Result<()> {
    let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(path)).await?;
    sqlx::raw_sql(sql).execute(&pool).await?;
    pool.close().await;
    Ok(())
}
