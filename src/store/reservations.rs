//! Money that is set aside for calls under way.

use anyhow::{Context, Result};
use serde_json::Value;

use super::sql::{Transaction, query, signed};
use super::{Store, moment};
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
        self.alone(&mut transaction).await?;
        let reserved = query(
            "SELECT CAST(COALESCE(SUM(amount_micro_usd), 0) AS BIGINT) AS total FROM reservations \
             WHERE run <> $1 AND at >= $2",
        );
        let reserved = reserved.bind(run).bind(&since).one(&mut transaction).await?;
        let spent = query(
            "SELECT CAST(COALESCE(SUM(cost_micro_usd), 0) AS BIGINT) AS total FROM spending WHERE at >= $1",
        );
        let spent = spent.bind(&since).one(&mut transaction).await?;
        let taken = Taken { spent: Money(spent.count("total")?), reserved: Money(reserved.count("total")?) };
        let fits = taken.spent + taken.reserved + most <= cap;
        if fits {
            query(
                "INSERT INTO reservations (run, at, amount_micro_usd, call) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (run) DO UPDATE SET at = excluded.at, \
                 amount_micro_usd = excluded.amount_micro_usd, call = excluded.call",
            )
            .bind(run)
            .bind(moment(now))
            .bind(signed(most.0))
            .bind(call.to_string())
            .execute(&mut transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(if fits { Ok(()) } else { Err(taken) })
    }

    /// Waits until no other process sets money aside or books it, for as long as the transaction goes on.
    async fn alone(&self, transaction: &mut Transaction) -> Result<()> {
        if let Transaction::Postgres(_) = transaction {
            query("LOCK TABLE reservations IN SHARE ROW EXCLUSIVE MODE").execute(transaction).await?;
        }
        Ok(())
    }

    /// The call that `run` has set money aside for, as [`Store::reserve`] was given it.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn reserved(&self, run: &str) -> Result<Option<Value>> {
        let row = query("SELECT call FROM reservations WHERE run = $1").bind(run).first(self).await?;
        let parse = |call: String| serde_json::from_str(&call).context("a call in the store is no JSON");
        row.map(|row| parse(row.get("call")?)).transpose()
    }

    /// The runs that have money set aside.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn reserving(&self) -> Result<Vec<String>> {
        let rows = query("SELECT run FROM reservations ORDER BY run").all(self).await?;
        rows.iter().map(|row| row.get("run")).collect()
    }
}
