//! Money that is set aside for calls under way.

use anyhow::{Context, Result};
use serde_json::Value;
use sqlx::Row;

use super::{Store, database, moment};
use crate::usage::Money;

/// The time over which the day's cap counts.
const DAY: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// What leaves no room under a cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// What was spent in the last 24 hours.
    pub spent: Money,
    /// What the calls of other runs may cost that are under way, or that died with their process and are not booked yet.
    pub reserved: Money,
}

impl Store {
    /// Sets `most` aside for the next call of `run`, if that leaves what all runs together spent in the last 24 hours, and have set aside,
    /// within `cap`; else tells what is taken. One process at a time decides, so that two cannot pass the cap together. The next event that
    /// settles a call of the run ([`Projection::settles`](super::Projection::settles)) releases it. `call` is what is to be booked if that
    /// event never comes.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn reserve(
        &self,
        run: &str,
        most: Money,
        cap: Money,
        call: &Value,
    ) -> Result<std::result::Result<(), Taken>> {
        let now = self.now();
        let since = moment(now - DAY);
        let mut transaction = self.begin().await?;
        let reserved: i64 = sqlx::query_scalar(
            "SELECT COALESCE(SUM(amount_micro_usd), 0) FROM reservations WHERE run <> $1 AND at >= $2",
        )
        .bind(run)
        .bind(&since)
        .fetch_one(&mut *transaction)
        .await
        .map_err(database::explain)?;
        let spent: i64 =
            sqlx::query_scalar("SELECT COALESCE(SUM(cost_micro_usd), 0) FROM spending WHERE at >= $1")
                .bind(&since)
                .fetch_one(&mut *transaction)
                .await
                .map_err(database::explain)?;
        let taken = Taken { spent: Money(spent.unsigned_abs()), reserved: Money(reserved.unsigned_abs()) };
        let fits = taken.spent + taken.reserved + most <= cap;
        if fits {
            sqlx::query(
                "INSERT OR REPLACE INTO reservations (run, at, amount_micro_usd, call) VALUES ($1, $2, $3, $4)",
            )
            .bind(run)
            .bind(moment(now))
            .bind(i64::try_from(most.0).unwrap_or(i64::MAX))
            .bind(call.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(database::explain)?;
        }
        transaction.commit().await.map_err(database::explain)?;
        Ok(if fits { Ok(()) } else { Err(taken) })
    }

    /// The call that `run` has set money aside for, as [`Store::reserve`] was given it.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn reserved(&self, run: &str) -> Result<Option<Value>> {
        let call: Option<String> = sqlx::query_scalar("SELECT call FROM reservations WHERE run = $1")
            .bind(run)
            .fetch_optional(self.pool())
            .await
            .map_err(database::explain)?;
        call.map(|call| serde_json::from_str(&call).context("a call in the store is no JSON")).transpose()
    }

    /// The runs that have money set aside.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn reserving(&self) -> Result<Vec<String>> {
        let rows = sqlx::query("SELECT run FROM reservations ORDER BY run")
            .fetch_all(self.pool())
            .await
            .map_err(database::explain)?;
        rows.iter().map(|row| Ok(row.try_get("run")?)).collect()
    }
}
