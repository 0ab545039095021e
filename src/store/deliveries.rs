//! What forges and trackers delivered by webhook: an inbox in which every delivery stands once, whatever is sent again.

use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::queue::millis;
use super::rows::{maybe, time};
use super::sql::{Row, query, signed};
use super::{Store, moment};

/// A delivery as it comes in.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDelivery<'a> {
    /// Who sent it: `github`, `gitlab`, `jira`.
    pub source: &'a str,
    /// What makes it the same one when it comes again: a digest of what was signed.
    pub id: &'a str,
    /// What its sender calls it, for people.
    pub label: &'a str,
    /// What kind of event it tells of, for people.
    pub event: &'a str,
    /// What matters of it, without secrets.
    pub payload: &'a Value,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// Something was done: what.
    Done(String),
    /// Nothing had to be done: why.
    Ignored(String),
    /// It could not be done, and is not tried again by itself: why.
    Failed(String),
}

impl Settled {
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Settled::Done(what) => ("done", what),
            Settled::Ignored(why) => ("ignored", why),
            Settled::Failed(why) => ("failed", why),
        }
    }
}

/// A row of `deliveries`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Delivery {
    /// As [`NewDelivery::source`].
    pub source: String,
    /// As [`NewDelivery::id`].
    pub id: String,
    /// As [`NewDelivery::label`].
    pub label: String,
    /// As [`NewDelivery::event`].
    pub event: String,
    /// As [`NewDelivery::payload`]; nothing once it is settled.
    pub payload: Value,
    /// `waiting`, `done`, `ignored` or `failed`.
    pub state: String,
    /// What became of it, or what keeps it waiting.
    pub detail: Option<String>,
    /// How often it was taken up.
    pub tries: u64,
    /// When it came first.
    pub received_at: Timestamp,
    /// When it was settled.
    pub settled_at: Option<Timestamp>,
}

impl Delivery {
    fn from_row(row: &Row) -> Result<Self> {
        let payload: String = row.get("payload")?;
        Ok(Self {
            source: row.get("source")?,
            id: row.get("id")?,
            label: row.get("label")?,
            event: row.get("event")?,
            payload: serde_json::from_str(&payload).context("a delivery in the store is no JSON")?,
            state: row.get("state")?,
            detail: row.get("detail")?,
            tries: row.count("tries")?,
            received_at: time(row, "received_at")?,
            settled_at: maybe(row, "settled_at")?,
        })
    }
}

impl Store {
    /// Takes a delivery into the inbox. Whether it is new: the same one stands there once, and one that failed is taken up again.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn deliver(&self, delivery: &NewDelivery<'_>) -> Result<bool> {
        let taken = query(
            "INSERT INTO deliveries (source, id, label, event, payload, state, not_before, received_at) \
             VALUES ($1, $2, $3, $4, $5, 'waiting', @now, $6) ON CONFLICT (source, id) DO UPDATE SET \
             state = 'waiting', payload = excluded.payload, tries = 0, not_before = excluded.not_before, settled_at = NULL \
             WHERE deliveries.state = 'failed'",
        )
        .bind(delivery.source)
        .bind(delivery.id)
        .bind(delivery.label)
        .bind(delivery.event)
        .bind(delivery.payload.to_string())
        .bind(moment(self.now()))
        .execute(self)
        .await?;
        Ok(taken > 0)
    }

    /// Writes a delivery down about which nothing has to be done, because of `why`. Whether it is new.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn pass_over(&self, delivery: &NewDelivery<'_>, why: &str) -> Result<bool> {
        let passed = query(
            "INSERT INTO deliveries (source, id, label, event, payload, state, detail, not_before, received_at, settled_at) \
             VALUES ($1, $2, $3, $4, 'null', 'ignored', $5, @now, $6, $6) ON CONFLICT (source, id) DO NOTHING",
        )
        .bind(delivery.source)
        .bind(delivery.id)
        .bind(delivery.label)
        .bind(delivery.event)
        .bind(why)
        .bind(moment(self.now()))
        .execute(self)
        .await?;
        Ok(passed > 0)
    }

    /// Takes up the delivery of `source` that has waited longest, for `hold`: nobody else gets it meanwhile, and somebody does after that if it
    /// was not settled.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn next_delivery(&self, source: &str, hold: Duration) -> Result<Option<Delivery>> {
        let waiting = "SELECT @columns(deliveries) FROM deliveries WHERE source = $1 AND state = 'waiting' AND not_before <= @now \
                       ORDER BY received_at, id LIMIT 1 @skip";
        let mut transaction = self.begin().await?;
        let Some(row) = query(waiting).bind(source).first(&mut transaction).await? else { return Ok(None) };
        let mut delivery = Delivery::from_row(&row)?;
        query(
            "UPDATE deliveries SET tries = tries + 1, not_before = @now + $3 WHERE source = $1 AND id = $2",
        )
        .bind(source)
        .bind(&delivery.id)
        .bind(millis(hold))
        .execute(&mut transaction)
        .await?;
        transaction.commit().await?;
        delivery.tries += 1;
        Ok(Some(delivery))
    }

    /// Says what became of a delivery. Of its contents nothing is kept.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn settle_delivery(&self, delivery: &Delivery, settled: &Settled) -> Result<()> {
        let (state, detail) = settled.parts();
        query(
            "UPDATE deliveries SET state = $3, detail = $4, payload = 'null', settled_at = $5 \
             WHERE source = $1 AND id = $2 AND state = 'waiting'",
        )
        .bind(&delivery.source)
        .bind(&delivery.id)
        .bind(state)
        .bind(detail)
        .bind(moment(self.now()))
        .execute(self)
        .await
        .map(drop)
    }

    /// Has a delivery wait, because of `why`; it counts as tried so often.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn put_off_delivery(
        &self,
        delivery: &Delivery,
        wait: Duration,
        why: &str,
        tries: u64,
    ) -> Result<()> {
        query(
            "UPDATE deliveries SET not_before = @now + $3, detail = $4, tries = $5 \
             WHERE source = $1 AND id = $2 AND state = 'waiting'",
        )
        .bind(&delivery.source)
        .bind(&delivery.id)
        .bind(millis(wait))
        .bind(why)
        .bind(signed(tries))
        .execute(self)
        .await
        .map(drop)
    }

    /// The last deliveries, the newest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn deliveries(&self, limit: u32) -> Result<Vec<Delivery>> {
        let rows =
            query("SELECT @columns(deliveries) FROM deliveries ORDER BY received_at DESC, id LIMIT $1")
                .bind(i64::from(limit))
                .all(self)
                .await?;
        rows.iter().map(Delivery::from_row).collect()
    }

    /// Forgets the deliveries that came before `before` and do not wait. How many.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn forget_deliveries(&self, before: Timestamp) -> Result<u64> {
        let old = query("DELETE FROM deliveries WHERE received_at < $1 AND state <> 'waiting'");
        old.bind(moment(before)).execute(self).await
    }
}
