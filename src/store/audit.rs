//! Who asked the service to change what, and the answers to calls that may be made again.

use anyhow::Result;
use jiff::Timestamp;

use super::rows::time;
use super::sql::{Row, query};
use super::{Store, moment};

/// A row of `audit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// A UUID of version 7: sorts by age.
    pub id: String,
    /// When it was asked.
    pub at: Timestamp,
    /// Who: a token's name, or a user of the command line.
    pub actor: String,
    /// The token's id.
    pub token: Option<String>,
    /// What: `POST /api/v1/runs/{id}/approve`, `token create`.
    pub action: String,
    /// To what: a run's id, a token's id.
    pub target: String,
    /// From where: an address.
    pub remote: Option<String>,
    /// The HTTP status that it came to; `None` while it is done, or where the service died meanwhile.
    pub status: Option<u16>,
    /// What else was said.
    pub detail: Option<String>,
}

/// What is known of a call when it comes in.
#[derive(Debug, Clone, Default)]
pub struct Asked<'a> {
    /// As [`AuditRow::actor`].
    pub actor: &'a str,
    /// As [`AuditRow::token`].
    pub token: Option<&'a str>,
    /// As [`AuditRow::action`].
    pub action: &'a str,
    /// As [`AuditRow::target`].
    pub target: &'a str,
    /// As [`AuditRow::remote`].
    pub remote: Option<&'a str>,
}

/// What is known of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// Nothing: the call is this process's to make, and to settle.
    New,
    /// The same call is being made.
    UnderWay,
    /// The same call was made, and answered with this status and body.
    Answered(u16, String),
    /// Another call was made with this key.
    Other,
}

/// How long a key is remembered.
const KEPT: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
/// How long a call may be under way. After it, whoever made it is taken to have died.
const LONGEST: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

impl Store {
    /// Writes down that a change was asked for, before it is made. Gives the row's id.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn audit_begin(&self, asked: &Asked<'_>) -> Result<String> {
        let id = uuid::Uuid::now_v7().simple().to_string();
        query(
            "INSERT INTO audit (id, at, actor, token, action, target, remote) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(&id)
        .bind(moment(self.now()))
        .bind(asked.actor)
        .bind(asked.token)
        .bind(asked.action)
        .bind(asked.target)
        .bind(asked.remote)
        .execute(self)
            .await?;
        Ok(id)
    }

    /// Writes down what came of it.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn audit_end(&self, id: &str, status: u16, detail: Option<&str>) -> Result<()> {
        query("UPDATE audit SET status = $2, detail = $3 WHERE id = $1")
            .bind(id)
            .bind(i64::from(status))
            .bind(detail)
            .execute(self)
            .await?;
        Ok(())
    }

    /// The rows older than the one with the id `before` (all, where there is none), newest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn audit(&self, before: Option<&str>, limit: u32) -> Result<Vec<AuditRow>> {
        let rows = query(
            "SELECT @columns(audit) FROM audit WHERE ($1 IS NULL OR id < $1) ORDER BY id DESC LIMIT $2",
        )
        .bind(before)
        .bind(i64::from(limit))
        .all(self)
        .await?;
        let row = |row: &Row| {
            let status: Option<i64> = row.get("status")?;
            Ok(AuditRow {
                id: row.get("id")?,
                at: time(row, "at")?,
                actor: row.get("actor")?,
                token: row.get("token")?,
                action: row.get("action")?,
                target: row.get("target")?,
                remote: row.get("remote")?,
                status: status.and_then(|status| u16::try_from(status).ok()),
                detail: row.get("detail")?,
            })
        };
        rows.iter().map(row).collect()
    }

    /// Claims the key `key` of `token` for a call whose digest is `request`, or tells what is known of it.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn claim_key(&self, token: &str, key: &str, request: &str) -> Result<Known> {
        let now = self.now();
        let mut transaction = self.begin().await?;
        query("DELETE FROM idempotency WHERE at < $1 OR (status IS NULL AND at < $2)")
            .bind(moment(now - KEPT))
            .bind(moment(now - LONGEST))
            .execute(&mut transaction)
            .await?;
        let row = query("SELECT request, status, body FROM idempotency WHERE token = $1 AND key = $2")
            .bind(token)
            .bind(key)
            .first(&mut transaction)
            .await?;
        let known = match row {
            None => {
                query("INSERT INTO idempotency (token, key, request, at) VALUES ($1, $2, $3, $4)")
                    .bind(token)
                    .bind(key)
                    .bind(request)
                    .bind(moment(now))
                    .execute(&mut transaction)
                    .await?;
                Known::New
            }
            Some(row) if row.get::<String>("request")? != request => Known::Other,
            Some(row) => match row.get::<Option<i64>>("status")? {
                None => Known::UnderWay,
                Some(status) => {
                    let body: Option<String> = row.get("body")?;
                    Known::Answered(u16::try_from(status).unwrap_or(500), body.unwrap_or_default())
                }
            },
        };
        transaction.commit().await?;
        Ok(known)
    }

    /// Keeps the answer to the call that claimed the key; `None` gives the key back, so that the call may be made again.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn settle_key(&self, token: &str, key: &str, answer: Option<(u16, &str)>) -> Result<()> {
        let query = match answer {
            None => query("DELETE FROM idempotency WHERE token = $1 AND key = $2").bind(token).bind(key),
            Some((status, body)) => {
                query("UPDATE idempotency SET status = $3, body = $4 WHERE token = $1 AND key = $2")
                    .bind(token)
                    .bind(key)
                    .bind(i64::from(status))
                    .bind(body)
            }
        };
        query.execute(self).await?;
        Ok(())
    }
}
