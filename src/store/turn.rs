//! What one process at a time does for all that share the store.

use std::time::Duration;

use anyhow::Result;

use super::Store;
use super::sql::query;

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// This process's.
    Ours,
    /// Somebody's after this time at the earliest.
    After(Duration),
}

impl Store {
    /// Takes the turn to do `chore`, which is nobody else's for `lasting` then, whatever becomes of this process.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn take_turn(&self, chore: &str, lasting: Duration) -> Result<Turn> {
        let lasting = i64::try_from(lasting.as_millis()).unwrap_or(i64::MAX);
        let taken = query(
            "INSERT INTO turns (chore, until) VALUES ($1, @now + $2) \
             ON CONFLICT (chore) DO UPDATE SET until = excluded.until WHERE turns.until <= @now RETURNING until",
        );
        // Who only looks does not keep others from writing.
        let look = || query("SELECT until - @now AS rest FROM turns WHERE chore = $1 AND until > @now");
        if let Some(row) = look().bind(chore).first(self).await? {
            return Ok(Turn::After(Duration::from_millis(row.count("rest")?)));
        }
        if taken.bind(chore).bind(lasting).first(self).await?.is_some() {
            return Ok(Turn::Ours);
        }
        let row = look().bind(chore).first(self).await?;
        Ok(Turn::After(Duration::from_millis(row.map_or(Ok(0), |row| row.count("rest"))?)))
    }
}
