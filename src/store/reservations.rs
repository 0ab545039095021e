//! Money that is set aside for calls under way.

use std::path::Path;

use anyhow::Result;
use sqlx::Row;

use super::{Lease, Store, database, moment};
use crate::usage::Money;

/// The time over which the day's cap counts.
const DAY: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// What leaves no room under a cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// What was spent in the last 24 hours.
    pub spent: Money,
    /// What the calls of other runs that are under way may cost.
    pub reserved: Money,
}

impl Store {
    /// Sets `most` aside for the next call of `run`, if that leaves what all runs together spent in the last 24 hours, and have set aside,
    /// within `cap`; else tells what is taken. One process at a time decides, so that two cannot pass the cap together. The next event that
    /// settles a call of the run ([`Projection::settles`](super::Projection::settles)) releases it. What a run has set aside whose process is
    /// dead counts no more; `state` is the state folder.
    ///
    /// # Errors
    /// Where the database or a lock file fails.
    pub async fn reserve(
        &self,
        state: &Path,
        run: &str,
        most: Money,
        cap: Money,
    ) -> Result<std::result::Result<(), Taken>> {
        let now = self.now();
        let mut transaction = self.begin().await?;
        let others = sqlx::query("SELECT run, amount_micro_usd FROM reservations WHERE run <> $1")
            .bind(run)
            .fetch_all(&mut *transaction)
            .await
            .map_err(database::explain)?;
        let mut reserved = Money(0);
        for row in others {
            let (other, amount): (&str, i64) = (row.try_get("run")?, row.try_get("amount_micro_usd")?);
            if Lease::is_held(state, other)? {
                reserved = reserved + Money(amount.unsigned_abs());
            } else {
                sqlx::query("DELETE FROM reservations WHERE run = $1")
                    .bind(other)
                    .execute(&mut *transaction)
                    .await
                    .map_err(database::explain)?;
            }
        }
        let spent: i64 =
            sqlx::query_scalar("SELECT COALESCE(SUM(cost_micro_usd), 0) FROM spending WHERE at >= $1")
                .bind(moment(now - DAY))
                .fetch_one(&mut *transaction)
                .await
                .map_err(database::explain)?;
        let taken = Taken { spent: Money(spent.unsigned_abs()), reserved };
        let fits = taken.spent + taken.reserved + most <= cap;
        if fits {
            sqlx::query(
                "INSERT OR REPLACE INTO reservations (run, at, amount_micro_usd) VALUES ($1, $2, $3)",
            )
            .bind(run)
            .bind(moment(now))
            .bind(i64::try_from(most.0).unwrap_or(i64::MAX))
            .execute(&mut *transaction)
            .await
            .map_err(database::explain)?;
        }
        transaction.commit().await.map_err(database::explain)?;
        Ok(if fits { Ok(()) } else { Err(taken) })
    }
}
