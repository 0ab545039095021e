//! What people are to be told of alerts, and what became of that.

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use super::alerts::{AlertRow, Change};
use super::sql::{Row, Transaction, query, signed};
use super::{Store, moment};
use crate::config::Channel;

/// How long nobody is told again of what comes and goes.
const QUIET: SignedDuration = SignedDuration::from_hours(1);

/// Something to be told on a channel.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Notice {
    /// A UUID of version 7: the same however often it is tried.
    pub id: String,
    /// The alert.
    pub alert: String,
    /// Whether it is new; otherwise it is over.
    pub raised: bool,
    /// The channel's name.
    pub channel: String,
    /// The alert as it was then, as JSON.
    pub body: Value,
    /// How often it was tried, this time included.
    pub tries: u64,
}

/// What became of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It was taken.
    Sent,
    /// It is tried again after this time.
    Again(std::time::Duration, String),
    /// It is not tried any more.
    Failed(String),
}

/// Writes down what the channels are to be told of a change: what is new, unless it came and went a moment ago, and what is over, to those that
/// were told that it began.
pub(super) async fn write(
    transaction: &mut Transaction,
    change: &Change,
    channels: &[Channel],
    now: Timestamp,
) -> Result<()> {
    let (name, alert) = match change {
        Change::Raised(alert) => ("raised", alert),
        Change::Recovered(alert) => ("recovered", alert),
    };
    let since = now.checked_sub(QUIET).unwrap_or(Timestamp::MIN);
    for channel in channels.iter().filter(|channel| channel.hears(&alert.rule)) {
        let told = match change {
            Change::Raised(_) => query(
                "SELECT 1 FROM notices WHERE channel = $1 AND rule = $2 AND subject = $3 AND change = 'raised' \
                 AND created_at > $4 LIMIT 1",
            )
            .bind(&channel.name)
            .bind(&alert.rule)
            .bind(&alert.subject)
            .bind(moment(since))
            .first(&mut *transaction)
            .await?
            .is_some(),
            Change::Recovered(_) => {
                query("SELECT 1 FROM notices WHERE alert = $1 AND channel = $2 AND change = 'raised'")
                    .bind(&alert.id)
                    .bind(&channel.name)
                    .first(&mut *transaction)
                    .await?
                    .is_none()
            }
        };
        if told {
            continue;
        }
        query(
            "INSERT INTO notices (id, alert, change, channel, rule, subject, body, created_at, due) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, @now) ON CONFLICT (alert, change, channel) DO NOTHING",
        )
        .bind(uuid::Uuid::now_v7().to_string())
        .bind(&alert.id)
        .bind(name)
        .bind(&channel.name)
        .bind(&alert.rule)
        .bind(&alert.subject)
        .bind(body(name, alert).to_string())
        .bind(moment(now))
        .execute(&mut *transaction)
        .await?;
    }
    Ok(())
}

fn body(change: &str, alert: &AlertRow) -> Value {
    json!({
        "event": format!("alert.{change}"),
        "alert": {
            "id": alert.id,
            "rule": alert.rule,
            "subject": Some(&alert.subject).filter(|subject| !subject.is_empty()),
            "message": alert.message,
            "figures": alert.figures,
            "action": alert.action,
            "since": alert.since,
            "raised_at": alert.raised_at,
            "recovered_at": alert.recovered_at,
        },
    })
}

impl Store {
    /// Takes a notice for `channels` that is due, for `lasting`; nobody else does meanwhile, whatever becomes of this process. What began is told of before that it
    /// is over.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn take_notice(
        &self,
        channels: &[Channel],
        lasting: std::time::Duration,
    ) -> Result<Option<Notice>> {
        let lasting = i64::try_from(lasting.as_millis()).unwrap_or(i64::MAX);
        for channel in channels {
            let taken = query(
                "UPDATE notices SET due = @now + $2, tries = tries + 1 WHERE id = (SELECT id FROM notices AS due_now \
                 WHERE channel = $1 AND sent_at IS NULL AND NOT failed AND due <= @now AND NOT EXISTS (SELECT 1 FROM notices AS earlier \
                 WHERE earlier.alert = due_now.alert AND earlier.channel = due_now.channel AND earlier.id < due_now.id \
                 AND earlier.sent_at IS NULL AND NOT earlier.failed) ORDER BY due, id LIMIT 1 @skip) RETURNING @columns(notices)",
            );
            if let Some(row) = taken.bind(&channel.name).bind(lasting).first(self).await? {
                return Notice::from_row(&row).map(Some);
            }
        }
        Ok(None)
    }

    /// Writes down what became of a notice.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn settle_notice(&self, id: &str, told: &Told) -> Result<()> {
        let (sent, after, failed, error) = match told {
            Told::Sent => (Some(moment(self.now())), 0, false, None),
            Told::Again(after, error) => (None, signed(after.as_millis() as u64), false, Some(error)),
            Told::Failed(error) => (None, 0, true, Some(error)),
        };
        query(
            "UPDATE notices SET sent_at = $2, due = @now + $3, failed = $4, error = $5 WHERE id = $1 AND sent_at IS NULL",
        )
        .bind(id)
        .bind(sent)
        .bind(after)
        .bind(failed)
        .bind(error.map(String::as_str))
        .execute(self)
        .await
        .map(drop)
    }
}

impl Notice {
    fn from_row(row: &Row) -> Result<Self> {
        let (change, body): (String, String) = (row.get("change")?, row.get("body")?);
        Ok(Self {
            id: row.get("id")?,
            alert: row.get("alert")?,
            raised: change == "raised",
            channel: row.get("channel")?,
            body: serde_json::from_str(&body).context("a notice is no JSON")?,
            tries: row.count("tries")?,
        })
    }
}
