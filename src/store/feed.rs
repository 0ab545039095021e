//! All runs' events in one order, for those who follow them.

use anyhow::Result;
use jiff::Timestamp;

use super::Store;
use super::rows::time;
use super::sql::{Row, query};

/// That an event was recorded; its contents are to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fed {
    /// Its place among the events of all runs: grows, with gaps.
    pub position: u64,
    /// The run.
    pub run: String,
    /// Its place in the run.
    pub seq: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// What kind it is.
    pub kind: String,
}

impl Store {
    /// At most `limit` events of all runs after the position `after`, oldest first. An event never appears before one that was given
    /// already: whoever goes on from the last position misses nothing.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn feed(&self, after: u64, limit: u32) -> Result<Vec<Fed>> {
        let rows = query(
            "SELECT feed.position, feed.run, feed.seq, events.at, events.kind FROM feed \
             JOIN events ON events.run = feed.run AND events.seq = feed.seq \
             WHERE feed.position > $1 ORDER BY feed.position LIMIT $2",
        )
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(i64::from(limit))
        .all(self)
        .await?;
        let fed = |row: &Row| {
            Ok(Fed {
                position: row.count("position")?,
                run: row.get("run")?,
                seq: row.count("seq")?,
                at: time(row, "at")?,
                kind: row.get("kind")?,
            })
        };
        rows.iter().map(fed).collect()
    }

    /// The position of the last event of all; 0 where there is none.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn feed_end(&self) -> Result<u64> {
        let row = query("SELECT COALESCE(MAX(position), 0) AS position FROM feed").one(self).await?;
        row.count("position")
    }
}
