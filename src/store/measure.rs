//! What the queue is measured against.

use anyhow::Result;

use super::Store;
use super::sql::{Pool, query, signed};

/// The least that claiming can be: one table, one statement that takes a row, one that removes it.
#[derive(Debug, Clone)]
pub struct Bare {
    store: Store,
}

impl Bare {
    /// Makes the table with so many rows.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn new(store: &Store, rows: usize) -> Result<Self> {
        query("CREATE TABLE bench_bare (id BIGINT PRIMARY KEY NOT NULL, state TEXT NOT NULL)")
            .execute(store)
            .await?;
        query(
            "WITH RECURSIVE n(i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < $1) \
             INSERT INTO bench_bare (id, state) SELECT i, 'queued' FROM n",
        )
        .bind(signed(rows as u64))
        .execute(store)
        .await?;
        Ok(Self { store: store.clone() })
    }

    /// Takes and removes rows until there are none.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn drain(&self) -> Result<()> {
        loop {
            let taken = query(
                "UPDATE bench_bare SET state = 'running' WHERE id = \
                 (SELECT id FROM bench_bare WHERE state = 'queued' ORDER BY id LIMIT 1 @skip) RETURNING id",
            );
            let Some(row) = taken.first(&self.store).await? else { return Ok(()) };
            query("DELETE FROM bench_bare WHERE id = $1")
                .bind(row.get::<i64>("id")?)
                .execute(&self.store)
                .await?;
        }
    }

    /// Removes the table.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn remove(self) -> Result<()> {
        query("DROP TABLE bench_bare").execute(&self.store).await.map(drop)
    }
}

/// Adds so many finished runs with an event each, as if they had been done.
///
/// # Errors
/// Where the database fails.
pub async fn bury(store: &Store, count: u64) -> Result<()> {
    for text in [
        "WITH RECURSIVE n(i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < $1) \
         INSERT INTO runs (id, repo, trigger, goal, status, outcome, exit, created_at, updated_at) \
         SELECT 'buried-' || $2 || '-' || i, '/bench/' || (i % 200), 'heal', 'true', 'finished', 'healed', 0, \
         '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z' FROM n WHERE $1 > 0",
        "WITH RECURSIVE n(i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < $1) \
         INSERT INTO events (run, seq, at, kind, payload) \
         SELECT 'buried-' || $2 || '-' || i, CAST(1 AS BIGINT), '2026-01-01T00:00:00.000Z', 'finished', '{}' \
         FROM n WHERE $1 > 0",
    ] {
        query(text).bind(signed(count)).bind(count.to_string()).execute(store).await?;
    }
    if let Pool::Postgres(_) = &store.pool {
        query("ANALYZE").execute(store).await?;
    }
    Ok(())
}
