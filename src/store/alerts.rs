//! Alerts: what they are made of, and which of them are open.

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::rows::time;
use super::sql::{Row, query};
use super::{Store, moment};
use crate::config::Channel;
use crate::fault::Fault;
use crate::usage::Money;

/// What a rule found to be wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The rule's name.
    pub rule: &'static str,
    /// What it is about, where a rule can find several things at once; else empty.
    pub subject: String,
    /// What is wrong, in a sentence.
    pub message: String,
    /// The figures behind it, by name.
    pub figures: Value,
    /// What to do.
    pub action: &'static str,
    /// Since when, as far as it is known; `None` for now.
    pub since: Option<Timestamp>,
}

/// A row of `alerts`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlertRow {
    /// A UUID of version 7: sorts by age.
    pub id: String,
    /// The rule's name.
    pub rule: String,
    /// What it is about, where a rule can find several things at once; else empty.
    pub subject: String,
    /// What is wrong, in a sentence, as it was seen last.
    pub message: String,
    /// The figures behind it, by name.
    pub figures: Value,
    /// What to do.
    pub action: String,
    /// Since when it is wrong.
    pub since: Timestamp,
    /// When the rule found it first.
    pub raised_at: Timestamp,
    /// When the rule found it last.
    pub seen_at: Timestamp,
    /// When it was over; `None` while it is open.
    pub recovered_at: Option<Timestamp>,
    /// When somebody said that they know.
    pub acknowledged_at: Option<Timestamp>,
    /// Who.
    pub acknowledged_by: Option<String>,
}

/// What became of an alert when the rules were looked at.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It is new.
    Raised(AlertRow),
    /// It is over.
    Recovered(AlertRow),
}

/// A provider whose calls fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// Its name in the configuration.
    pub provider: String,
    /// How many calls failed, one after the other.
    pub failures: u64,
    /// When the first of them failed.
    pub since: Timestamp,
    /// Why the last one failed.
    pub error: String,
}

/// The run that waits for a worker the longest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongestWait {
    /// The run.
    pub run: String,
    /// Since when it may be claimed, by the database's clock.
    pub since: Timestamp,
    /// What that clock says now.
    pub now: Timestamp,
    /// How many runs wait.
    pub waiting: u64,
}

impl Store {
    /// Writes down what the rules found: what is new is raised, what is open already is brought up to date, and what is not found any more has
    /// recovered. Tells what changed, and writes down what `channels` are to be told of it.
    ///
    /// # Errors
    /// Where the database fails; nothing is written then.
    pub async fn settle_alerts(&self, found: &[Finding], channels: &[Channel]) -> Result<Vec<Change>> {
        let now = moment(self.now());
        let mut changes = Vec::new();
        let mut transaction = self.begin().await?;
        let mut seen = Vec::new();
        for finding in found {
            let id = uuid::Uuid::now_v7().to_string();
            let row = query(
                "INSERT INTO alerts (id, rule, subject, message, figures, action, since, raised_at, seen_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT (rule, subject) WHERE recovered_at IS NULL \
                 DO UPDATE SET message = excluded.message, figures = excluded.figures, action = excluded.action, \
                 seen_at = excluded.seen_at RETURNING @columns(alerts)",
            )
            .bind(&id)
            .bind(finding.rule)
            .bind(&finding.subject)
            .bind(&finding.message)
            .bind(finding.figures.to_string())
            .bind(finding.action)
            .bind(finding.since.map_or_else(|| now.clone(), moment))
            .bind(&now)
            .one(&mut transaction)
            .await?;
            let row = AlertRow::from_row(&row)?;
            seen.push(row.id.clone());
            // Each time, for it may have been kept back, or seen first by a process that tells nobody; who was told is not told again.
            super::notices::write(&mut transaction, &Change::Raised(row.clone()), channels, self.now())
                .await?;
            if row.id == id {
                changes.push(Change::Raised(row));
            }
        }
        let open = query("SELECT id FROM alerts WHERE recovered_at IS NULL ORDER BY id");
        for row in open.all(&mut transaction).await? {
            let id: String = row.get("id")?;
            if seen.contains(&id) {
                continue;
            }
            let over = query(
                "UPDATE alerts SET recovered_at = $2 WHERE id = $1 AND recovered_at IS NULL RETURNING @columns(alerts)",
            );
            if let Some(row) = over.bind(id).bind(&now).first(&mut transaction).await? {
                changes.push(Change::Recovered(AlertRow::from_row(&row)?));
            }
        }
        for change in changes.iter().filter(|change| matches!(change, Change::Recovered(_))) {
            super::notices::write(&mut transaction, change, channels, self.now()).await?;
        }
        transaction.commit().await?;
        Ok(changes)
    }

    /// Alerts, those that are open first, then the newest; where `open`, only those.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn alerts(&self, open: bool, limit: u32) -> Result<Vec<AlertRow>> {
        let rows = query(
            "SELECT @columns(alerts) FROM alerts WHERE recovered_at IS NULL OR NOT $1 \
             ORDER BY CASE WHEN recovered_at IS NULL THEN 0 ELSE 1 END, raised_at DESC, id DESC LIMIT $2",
        );
        rows.bind(open).bind(i64::from(limit)).all(self).await?.iter().map(AlertRow::from_row).collect()
    }

    /// Writes down that `who` knows of an alert; who said so first stays. `id` may be the end of it.
    ///
    /// # Errors
    /// A [`Fault`] (exit 2) where there is none, or more than one.
    pub async fn acknowledge_alert(&self, id: &str, who: &str) -> Result<AlertRow> {
        let plain = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let none = || Fault::usage(format!("there is no alert {id:?}")).hint("`regreen alerts` lists them");
        if !plain {
            return Err(none().into());
        }
        let found = query(
            "SELECT @columns(alerts) FROM alerts WHERE id = $1 OR id LIKE '%' || $1 ORDER BY id LIMIT 2",
        );
        let found = found.bind(id).all(self).await?;
        let row = match found.as_slice() {
            [] => return Err(none().into()),
            [one] => AlertRow::from_row(one)?,
            _ => return Err(Fault::usage(format!("{id:?} could be any of several alerts")).into()),
        };
        let known = query(
            "UPDATE alerts SET acknowledged_at = COALESCE(acknowledged_at, $2), \
             acknowledged_by = COALESCE(acknowledged_by, $3) WHERE id = $1 RETURNING @columns(alerts)",
        );
        AlertRow::from_row(&known.bind(&row.id).bind(moment(self.now())).bind(who).one(self).await?)
    }

    /// The providers whose last calls failed.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn failing_providers(&self) -> Result<Vec<Failing>> {
        let rows = query("SELECT @columns(providers) FROM providers WHERE failures > 0 ORDER BY provider")
            .all(self)
            .await?;
        let failing = |row: &Row| {
            Ok(Failing {
                provider: row.get("provider")?,
                failures: row.count("failures")?,
                since: time(row, "failing_since")?,
                error: row.get::<Option<String>>("error")?.unwrap_or_default(),
            })
        };
        rows.iter().map(failing).collect()
    }

    /// The run that has waited the longest of those that may be claimed; those of paused repos do not count.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn longest_waiting(&self) -> Result<Option<LongestWait>> {
        let oldest = query(
            "SELECT run, not_before, @now AS now, COUNT(*) OVER () AS waiting FROM queue \
             JOIN repos ON repos.repo = queue.repo AND NOT repos.paused \
             WHERE state IN ('queued', 'delayed') AND not_before <= @now ORDER BY not_before, run LIMIT 1",
        );
        let Some(row) = oldest.first(self).await? else { return Ok(None) };
        let at = |column: &str| {
            Timestamp::from_millisecond(row.get(column)?).with_context(|| format!("{column} is no moment"))
        };
        Ok(Some(LongestWait {
            run: row.get("run")?,
            since: at("not_before")?,
            now: at("now")?,
            waiting: row.count("waiting")?,
        }))
    }

    /// What models cost since then.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn spent_since(&self, since: Timestamp) -> Result<Money> {
        let sum = query(
            "SELECT CAST(COALESCE(SUM(cost_micro_usd), 0) AS BIGINT) AS total FROM spending WHERE at >= $1",
        );
        Ok(Money(sum.bind(moment(since)).one(self).await?.count("total")?))
    }
}

impl AlertRow {
    fn from_row(row: &Row) -> Result<Self> {
        let maybe = |column: &str| match row.get::<Option<String>>(column)? {
            Some(_) => time(row, column).map(Some),
            None => Ok(None),
        };
        let figures: String = row.get("figures")?;
        Ok(Self {
            id: row.get("id")?,
            rule: row.get("rule")?,
            subject: row.get("subject")?,
            message: row.get("message")?,
            figures: serde_json::from_str(&figures).context("an alert's figures are no JSON")?,
            action: row.get("action")?,
            since: time(row, "since")?,
            raised_at: time(row, "raised_at")?,
            seen_at: time(row, "seen_at")?,
            recovered_at: maybe("recovered_at")?,
            acknowledged_at: maybe("acknowledged_at")?,
            acknowledged_by: row.get("acknowledged_by")?,
        })
    }
}
