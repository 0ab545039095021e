//! Waking those who wait for work or for events, without asking all the time.

use std::time::Duration;

use anyhow::Result;
use sqlx::Sqlite;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgListener;

use super::Store;
use super::database::explain;
use super::sql::{Pool, Transaction, query};

/// How often SQLite is asked whether anybody wrote: one number of its shared memory, no table is read.
const LOOK: Duration = Duration::from_millis(100);

/// How long to wait before a database that is out of reach is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Hears when what somebody waits for may be there.
#[derive(Debug)]
pub struct Wake(Source);

#[derive(Debug)]
enum Source {
    /// The number changes on this connection when any other one commits.
    Version { connection: PoolConnection<Sqlite>, seen: Option<i64> },
    /// Told by the database.
    Bell(Box<PgListener>),
}

impl Wake {
    /// Returns when something may have changed since the last call, or since this was made. Nothing is lost if the future is dropped.
    pub async fn changed(&mut self) {
        loop {
            match &mut self.0 {
                Source::Version { connection, seen } => {
                    let version =
                        sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut **connection).await;
                    match version {
                        Ok(version) if *seen != Some(version) => {
                            if seen.replace(version).is_some() {
                                return;
                            }
                        }
                        Ok(_) => {}
                        Err(error) => tracing::debug!(%error, "the store does not say whether it changed"),
                    }
                    tokio::time::sleep(LOOK).await;
                }
                // Where the connection was lost and made again, something may have been missed: that is a change, too.
                Source::Bell(listener) => match listener.try_recv().await {
                    Ok(_) => return,
                    Err(error) => {
                        tracing::debug!(%error, "the store cannot be listened to");
                        tokio::time::sleep(RETRY).await;
                    }
                },
            }
        }
    }
}

impl Store {
    /// Hears when the queue changes from now on.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn wake(&self) -> Result<Wake> {
        self.wake_on("regreen_queue").await
    }

    /// Hears when events are recorded from now on.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn wake_on_events(&self) -> Result<Wake> {
        self.wake_on("regreen_events").await
    }

    /// SQLite tells of whatever was written, PostgreSQL of what is told to a channel.
    async fn wake_on(&self, channel: &str) -> Result<Wake> {
        Ok(Wake(match &self.pool {
            Pool::Sqlite(pool) => {
                let mut connection = pool.acquire().await.map_err(explain)?;
                let seen = sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut *connection).await;
                Source::Version { connection, seen: Some(seen.map_err(explain)?) }
            }
            Pool::Postgres(pool) => {
                let mut listener = PgListener::connect_with(pool).await.map_err(explain)?;
                listener.listen(channel).await.map_err(explain)?;
                Source::Bell(Box::new(listener))
            }
        }))
    }

    /// Wakes those who wait, once the transaction counts.
    pub(super) async fn ring(&self, transaction: &mut Transaction) -> Result<()> {
        if let Transaction::Postgres(_) = transaction {
            query("SELECT pg_notify('regreen_queue', '')").execute(transaction).await?;
        }
        Ok(())
    }
}
