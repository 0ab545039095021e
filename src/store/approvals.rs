//! What waits for a person.

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row;

use super::rows::time;
use super::{Store, database, moment};
use crate::fault::Fault;

/// What a person said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Go on.
    Approved,
    /// Do not.
    Rejected,
}

/// A row of `approvals`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Approval {
    /// Its id.
    pub id: String,
    /// The run that waits.
    pub run: String,
    /// What is to be allowed: `land`, `change-tests`, …
    pub action: String,
    /// Why it needs a person.
    pub reason: String,
    /// What the person said; `None` while it waits.
    pub decision: Option<Decision>,
    /// When it was asked.
    pub requested_at: Timestamp,
    /// Who decided.
    pub decided_by: Option<String>,
    /// What they remarked.
    pub remark: Option<String>,
}

impl Store {
    /// Asks for an approval. The same question (run and action) that still waits is not asked twice: its id is given.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn request_approval(&self, run: &str, action: &str, reason: &str) -> Result<String> {
        let mut transaction = self.begin().await?;
        let waiting: Option<String> = sqlx::query_scalar(
            "SELECT id FROM approvals WHERE run = $1 AND action = $2 AND status = 'waiting'",
        )
        .bind(run)
        .bind(action)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(database::explain)?;
        if let Some(id) = waiting {
            return Ok(id);
        }
        let id = uuid::Uuid::now_v7().to_string();
        sqlx::query(
            "INSERT INTO approvals (id, run, action, reason, status, requested_at) \
             VALUES ($1, $2, $3, $4, 'waiting', $5)",
        )
        .bind(&id)
        .bind(run)
        .bind(action)
        .bind(reason)
        .bind(moment(self.now()))
        .execute(&mut *transaction)
        .await
        .map_err(database::explain)?;
        transaction.commit().await.map_err(database::explain)?;
        Ok(id)
    }

    /// Decides an approval that waits.
    ///
    /// # Errors
    /// A [`Fault`] (exit 2) where it does not wait (any more).
    pub async fn decide(&self, id: &str, decision: Decision, by: &str, remark: Option<&str>) -> Result<()> {
        let status = match decision {
            Decision::Approved => "approved",
            Decision::Rejected => "rejected",
        };
        let changed = sqlx::query(
            "UPDATE approvals SET status = $2, decided_at = $3, decided_by = $4, remark = $5 \
             WHERE id = $1 AND status = 'waiting'",
        )
        .bind(id)
        .bind(status)
        .bind(moment(self.now()))
        .bind(by)
        .bind(remark)
        .execute(&self.pool)
        .await
        .map_err(database::explain)?;
        match changed.rows_affected() {
            0 => Err(Fault::usage("there is no such approval waiting").into()),
            _ => Ok(()),
        }
    }

    /// The approvals of a run, oldest first; of all runs, the waiting ones only, where `run` is `None`.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn approvals(&self, run: Option<&str>) -> Result<Vec<Approval>> {
        let rows = sqlx::query(
            "SELECT * FROM approvals WHERE run = $1 OR ($1 IS NULL AND status = 'waiting') \
             ORDER BY requested_at, id LIMIT 1000",
        )
        .bind(run)
        .fetch_all(&self.pool)
        .await
        .map_err(database::explain)?;
        let approval = |row: &sqlx::sqlite::SqliteRow| {
            Ok(Approval {
                id: row.try_get("id")?,
                run: row.try_get("run")?,
                action: row.try_get("action")?,
                reason: row.try_get("reason")?,
                decision: match row.try_get("status")? {
                    "approved" => Some(Decision::Approved),
                    "rejected" => Some(Decision::Rejected),
                    _ => None,
                },
                requested_at: time(row, "requested_at")?,
                decided_by: row.try_get("decided_by")?,
                remark: row.try_get("remark")?,
            })
        };
        rows.iter().map(approval).collect()
    }
}
