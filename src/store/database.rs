//! The database: a private file or a server, opened, brought up to date, and its failures explained.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use secrecy::{ExposeSecret, SecretString};
use sqlx::Connection;
use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
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
    (7, "governance", GOVERNANCE),
    (8, "proposals", PROPOSALS),
    (9, "alerts", ALERTS),
    (10, "retention", include_str!("../../migrations/0010_retention.sql")),
    (11, "repos", include_str!("../../migrations/0011_repos.sql")),
    (12, "buckets", BUCKETS),
    (13, "incidents", INCIDENTS),
    (14, "sentry", SENTRY),
    (15, "deliveries", DELIVERIES),
    (16, "jira", JIRA),
    (17, "learning", LEARNING),
];

/// The same for PostgreSQL, which came later. From version 4 on both take the same scripts, where they can.
const POSTGRES: &[(i64, &str, &str)] = &[
    (1, "runs", include_str!("../../migrations/postgres/0001_runs.sql")),
    (4, "queue", QUEUE),
    (5, "service", SERVICE),
    (6, "feed", include_str!("../../migrations/postgres/0006_feed.sql")),
    (7, "governance", GOVERNANCE),
    (8, "proposals", PROPOSALS),
    (9, "alerts", ALERTS),
    (10, "retention", include_str!("../../migrations/postgres/0010_retention.sql")),
    (11, "repos", include_str!("../../migrations/postgres/0011_repos.sql")),
    (12, "buckets", BUCKETS),
    (13, "incidents", INCIDENTS),
    (14, "sentry", SENTRY),
    (15, "deliveries", DELIVERIES),
    (16, "jira", JIRA),
    (17, "learning", LEARNING),
];

const QUEUE: &str = include_str!("../../migrations/0004_queue.sql");
const SERVICE: &str = include_str!("../../migrations/0005_service.sql");
const GOVERNANCE: &str = include_str!("../../migrations/0007_governance.sql");
const PROPOSALS: &str = include_str!("../../migrations/0008_proposals.sql");
const ALERTS: &str = include_str!("../../migrations/0009_alerts.sql");
const BUCKETS: &str = include_str!("../../migrations/0012_buckets.sql");
const DELIVERIES: &str = include_str!("../../migrations/0015_deliveries.sql");
const JIRA: &str = include_str!("../../migrations/0016_jira.sql");
const LEARNING: &str = include_str!("../../migrations/0017_learning.sql");
const SENTRY: &str = include_str!("../../migrations/0014_sentry.sql");
const INCIDENTS: &str = include_str!("../../migrations/0013_incidents.sql");

fn migrator(migrations: &'static [(i64, &str, &str)]) -> Migrator {
    let migration = |(version, name, sql): &(i64, &'static str, &'static str)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, (*sql).into_sql_str(), false)
    };
    let mut migrator = Migrator::with_migrations(migrations.iter().map(migration).collect());
    // What a newer Regreen added is its own business, as long as `compatibility` does not say otherwise.
    migrator.set_ignore_missing(true);
    migrator
}

/// The newest version of the tables that this Regreen knows.
pub(super) fn knows() -> i64 {
    MIGRATIONS.iter().map(|(version, ..)| *version).max().unwrap_or_default()
}

/// Says of an error that the tables were changed so that this Regreen cannot work with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this Regreen is too old for the store")]
pub struct TooOld;

/// Refuses tables of which a newer Regreen says that one has to know the version `needs` of them.
pub(super) fn refuse_incompatible(needs: Option<i64>) -> Result<()> {
    match needs {
        Some(needs) if needs > knows() => {
            let fault = Fault::usage(format!(
                "the store was changed by a newer Regreen (its tables need version {needs}, this one knows {})",
                knows()
            ))
            .hint("update this Regreen, or set REGREEN_STATE_DIR to another folder");
            Err(anyhow::Error::new(fault).context(TooOld))
        }
        _ => Ok(()),
    }
}

/// The version of the tables that has to be known; `None` where they are older than that question.
pub(super) async fn needs_sqlite(connection: &mut SqliteConnection) -> Result<Option<i64>> {
    let asked = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'compatibility'";
    if sqlx::query(asked).fetch_optional(&mut *connection).await.map_err(explain)?.is_none() {
        return Ok(None);
    }
    let needs = sqlx::query_scalar("SELECT MAX(needs) FROM compatibility").fetch_one(connection).await;
    needs.map_err(explain)
}

pub(super) async fn needs_postgres(connection: &mut PgConnection) -> Result<Option<i64>> {
    let there: bool = sqlx::query_scalar("SELECT to_regclass('compatibility') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .map_err(explain)?;
    if !there {
        return Ok(None);
    }
    sqlx::query_scalar("SELECT MAX(needs) FROM compatibility").fetch_one(connection).await.map_err(explain)
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
    let name = path.to_owned();
    let lock =
        tokio::task::spawn_blocking(move || lock_file(&name)).await?.map_err(|error| unusable(&error))?;
    let migrated = migrate_sqlite(&pool).await;
    drop(lock);
    match migrated {
        Ok(()) => Ok(pool),
        Err(error) => {
            pool.close().await;
            Err(at(path, error))
        }
    }
}

async fn migrate_sqlite(pool: &SqlitePool) -> Result<()> {
    refuse_incompatible(needs_sqlite(&mut *pool.acquire().await.map_err(explain)?).await?)?;
    migrator(MIGRATIONS).run(pool).await.map_err(explain_migration)
}

/// Brings the tables up to date, one process at a time. On a connection of its own: a change of a large table takes as long as it takes, and who waits
/// for another process that is at it waits until that is done.
async fn migrate_postgres(pool: &PgPool) -> Result<()> {
    let mut left = TRIES;
    loop {
        left -= 1;
        match try_migrate_postgres(pool).await {
            Err(error) if left > 0 && was_out_of_reach(&error) => {
                tracing::debug!("the tables are brought up to date once more: {error:#}");
            }
            done => return done,
        }
    }
}

/// How often it is tried to bring the tables up to date, should transactions of others be in the way.
const TRIES: u32 = 5;

async fn try_migrate_postgres(pool: &PgPool) -> Result<()> {
    let mut connection = pool.acquire().await.map_err(explain)?.detach();
    refuse_incompatible(needs_postgres(&mut connection).await?)?;
    sqlx::raw_sql("SET statement_timeout = 0; SET lock_timeout = 0")
        .execute(&mut connection)
        .await
        .map_err(explain)?;
    migrator(POSTGRES).run_direct(None, &mut connection, false).await.map_err(explain_migration)?;
    connection.close().await.map_err(explain)
}

/// The version of the tables; `None` where there are none.
pub(super) async fn version_sqlite(connection: &mut SqliteConnection) -> Result<Option<i64>> {
    let asked = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations'";
    if sqlx::query(asked).fetch_optional(&mut *connection).await.map_err(explain)?.is_none() {
        return Ok(None);
    }
    let version = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations WHERE success");
    version.fetch_one(connection).await.map_err(explain)
}

/// The same of a server.
pub(super) async fn version_postgres(connection: &mut PgConnection) -> Result<Option<i64>> {
    let there = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL");
    if !there.fetch_one(&mut *connection).await.map_err(explain)? {
        return Ok(None);
    }
    let version = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations WHERE success");
    version.fetch_one(connection).await.map_err(explain)
}

fn options(url: &SecretString) -> Result<PgConnectOptions, Fault> {
    url.expose_secret().parse().map_err(|_unsaid| {
        Fault::usage("REGREEN_DATABASE_URL is no address of a PostgreSQL database")
            .hint("it looks like postgres://user:password@host:5432/database?sslmode=verify-full")
    })
}

/// One connection to a server, to look at it.
pub(super) async fn connect_once(url: &SecretString) -> Result<PgConnection> {
    PgConnection::connect_with(&options(url)?).await.map_err(explain)
}

/// Connects to a server. Its address may hold a password, and is told to nobody.
pub(super) async fn connect(url: &SecretString) -> Result<PgPool> {
    let options = options(url)?;
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
    match migrate_postgres(&pool).await {
        Ok(()) => Ok(pool),
        Err(error) => {
            pool.close().await;
            Err(named(&place, error))
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
    if error.is::<TooOld>() {
        return error.context(format!("{store}"));
    }
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

/// Failures since this process began: those of a database that was out of reach, and all others.
static FAILURES: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

/// Statements that failed since this process began, by kind.
pub fn failures() -> [(&'static str, u64); 2] {
    let [out_of_reach, other] = &FAILURES;
    [("out-of-reach", out_of_reach.load(Ordering::Relaxed)), ("other", other.load(Ordering::Relaxed))]
}

/// Turns failures that a person can do something about into faults.
pub(super) fn explain(error: sqlx::Error) -> anyhow::Error {
    FAILURES[usize::from(!is_out_of_reach(&error))].fetch_add(1, Ordering::Relaxed);
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
        // A connection that is cut off amid a message ends as one that says something odd.
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => true,
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
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(60));
    let pool = SqlitePool::connect_with(options).await?;
    sqlx::raw_sql(sql).execute(&pool).await?;
    pool.close().await;
    Ok(())
}

/// A store with the tables of an earlier version.
#[cfg(test)]
pub(super) async fn migrate_to(url: Option<&SecretString>, path: &Path, version: i64) -> Result<()> {
    match url {
        Some(url) => migrator(POSTGRES).run_to(version, &mut connect_once(url).await?).await?,
        None => {
            let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
            let options = options.journal_mode(SqliteJournalMode::Wal);
            let mut connection = SqliteConnection::connect_with(&options).await?;
            migrator(MIGRATIONS).run_to(version, &mut connection).await?;
            connection.close().await?;
        }
    }
    Ok(())
}
