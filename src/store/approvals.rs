//! What waits for a person.

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;

use super::rows::time;
use super::sql::{Row, query};
use super::{Store, moment};
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
        // Two that ask at once must not both find nothing.
        query("SELECT id FROM runs WHERE id = $1 @lock").bind(run).first(&mut transaction).await?;
        let waiting = query("SELECT id FROM approvals WHERE run = $1 AND action = $2 AND status = 'waiting'");
        if let Some(row) = waiting.bind(run).bind(action).first(&mut transaction).await? {
            return row.get("id");
        }
        let id = uuid::Uuid::now_v7().to_string();
        query(
            "INSERT INTO approvals (id, run, action, reason, status, requested_at) \
             VALUES ($1, $2, $3, $4, 'waiting', $5)",
        )
        .bind(&id)
        .bind(run)
        .bind(action)
        .bind(reason)
        .bind(moment(self.now()))
        .execute(&mut transaction)
        .await?;
        transaction.commit().await?;
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
        let changed = query(
            "UPDATE approvals SET status = $2, decided_at = $3, decided_by = $4, remark = $5 \
             WHERE id = $1 AND status = 'waiting'",
        )
        .bind(id)
        .bind(status)
        .bind(moment(self.now()))
        .bind(by)
        .bind(remark)
        .execute(self)
        .await?;
        match changed {
            0 => Err(Fault::usage("there is no such approval waiting").into()),
            _ => Ok(()),
        }
    }

    /// The approvals of a run, oldest first; of all runs, the waiting ones only, where `run` is `None`.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn approvals(&self, run: Option<&str>) -> Result<Vec<Approval>> {
        let rows = query(
            "SELECT * FROM approvals WHERE run = $1 OR ($1 IS NULL AND status = 'waiting') \
             ORDER BY requested_at, id LIMIT 1000",
        );
        let approval = |row: &Row| {
            Ok(Approval {
                id: row.get("id")?,
                run: row.get("run")?,
                action: row.get("action")?,
                reason: row.get("reason")?,
                decision: match row.get::<String>("status")?.as_str() {
                    "approved" => Some(Decision::Approved),
                    "rejected" => Some(Decision::Rejected),
                    _ => None,
                },
                requested_at: time(row, "requested_at")?,
                decided_by: row.get("decided_by")?,
                remark: row.get("remark")?,
            })
        };
        rows.bind(run).all(self).await?.iter().map(approval).collect()
    }
}
