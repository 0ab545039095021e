//! What waits for people, and what they said. The rows follow from the runs' events and are written with them.

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;

use super::rows::time;
use super::sql::{Row, Transaction, query};
use super::{Store, moment};

/// How a question stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// As many people agreed as had to.
    Approved,
    /// A person refused.
    Rejected,
    /// It was asked again, as it was over or about another patch.
    Expired,
}

/// What an event says about the question of its run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Voice {
    /// People are asked; a question that waits is over.
    Asked {
        /// What is to be allowed: `land`.
        action: String,
        /// Why it needs people.
        reason: String,
        /// The digest of the patch.
        patch: String,
        /// How many people have to agree.
        people: u32,
        /// Who may not.
        not_by: Option<String>,
        /// When it is over.
        expires: Timestamp,
    },
    /// A person agrees.
    Agreed {
        /// Who.
        by: String,
        /// What they remark.
        remark: Option<String>,
        /// Whether as many did now as have to.
        enough: bool,
    },
    /// A person refuses.
    Refused {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
}

/// A person who agreed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// Who: a token's name, or a user of the command line.
    pub person: String,
    /// When.
    pub at: Timestamp,
    /// What they remarked.
    pub remark: Option<String>,
}

/// A row of `approvals`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Approval {
    /// Its id.
    pub id: String,
    /// The run that waits.
    pub run: String,
    /// What is to be allowed: `land`.
    pub action: String,
    /// Why it needs a person.
    pub reason: String,
    /// The digest of the patch that it is about; not known of old ones.
    pub patch: Option<String>,
    /// How many people have to agree.
    pub people: u64,
    /// Who may not: whoever asked for the run, where somebody else has to agree.
    pub not_by: Option<String>,
    /// Who agreed so far.
    pub agreed: Vec<Agreement>,
    /// What came of it; `None` while it waits.
    pub decision: Option<Decision>,
    /// When it was asked.
    pub requested_at: Timestamp,
    /// When it is over; never for old ones.
    pub expires_at: Option<Timestamp>,
    /// Who decided: the last one to agree, or who refused.
    pub decided_by: Option<String>,
    /// What they remarked.
    pub remark: Option<String>,
}

/// Questions that are listed at most.
const MOST: i64 = 1000;

impl Voice {
    pub(super) async fn write(&self, transaction: &mut Transaction, run: &str, now: &str) -> Result<()> {
        match self {
            Voice::Asked { action, reason, patch, people, not_by, expires } => {
                decide(transaction, run, "expired", now, None, None).await?;
                query(
                    "INSERT INTO approvals (id, run, action, reason, status, patch, people, not_by, requested_at, expires_at) \
                     VALUES ($1, $2, $3, $4, 'waiting', $5, $6, $7, $8, $9)",
                )
                .bind(uuid::Uuid::now_v7().to_string())
                .bind(run)
                .bind(action)
                .bind(reason)
                .bind(patch)
                .bind(i64::from(*people))
                .bind(not_by)
                .bind(now)
                .bind(moment(*expires))
                .execute(transaction)
                .await
                .map(drop)
            }
            Voice::Agreed { by, remark, enough } => {
                query(
                    "INSERT INTO agreements (approval, person, at, remark) \
                     SELECT id, $2, $3, $4 FROM approvals WHERE run = $1 AND status = 'waiting' \
                     ON CONFLICT (approval, person) DO NOTHING",
                )
                .bind(run)
                .bind(by)
                .bind(now)
                .bind(remark)
                .execute(&mut *transaction)
                .await?;
                match enough {
                    true => decide(transaction, run, "approved", now, Some(by), remark.as_deref()).await,
                    false => Ok(()),
                }
            }
            Voice::Refused { by, reason } => {
                decide(transaction, run, "rejected", now, Some(by), Some(reason)).await
            }
        }
    }
}

async fn decide(
    transaction: &mut Transaction,
    run: &str,
    status: &str,
    now: &str,
    by: Option<&str>,
    remark: Option<&str>,
) -> Result<()> {
    query(
        "UPDATE approvals SET status = $2, decided_at = $3, decided_by = $4, remark = $5 \
         WHERE run = $1 AND status = 'waiting'",
    )
    .bind(run)
    .bind(status)
    .bind(now)
    .bind(by)
    .bind(remark)
    .execute(transaction)
    .await
    .map(drop)
}

impl Store {
    /// What people were asked about a run, oldest first; of all runs, what waits only, where `run` is `None`.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn approvals(&self, run: Option<&str>) -> Result<Vec<Approval>> {
        let rows = query(
            "SELECT @columns(approvals) FROM approvals WHERE run = $1 OR ($1 IS NULL AND status = 'waiting') \
             ORDER BY requested_at, id LIMIT $2",
        );
        let rows = rows.bind(run).bind(MOST).all(self).await?;
        let mut approvals: Vec<Approval> = rows.iter().map(Approval::from_row).collect::<Result<_>>()?;
        if approvals.is_empty() {
            return Ok(approvals);
        }
        let agreements = query(
            "SELECT @columns(agreements) FROM agreements JOIN approvals ON approvals.id = agreements.approval \
             WHERE approvals.run = $1 OR ($1 IS NULL AND approvals.status = 'waiting') \
             ORDER BY agreements.at, agreements.person",
        );
        for row in agreements.bind(run).all(self).await? {
            let approval: String = row.get("approval")?;
            if let Some(known) = approvals.iter_mut().find(|known| known.id == approval) {
                let (person, remark) = (row.get("person")?, row.get("remark")?);
                known.agreed.push(Agreement { person, at: time(&row, "at")?, remark });
            }
        }
        Ok(approvals)
    }
}

impl Approval {
    fn from_row(row: &Row) -> Result<Self> {
        let expires: Option<String> = row.get("expires_at")?;
        Ok(Self {
            id: row.get("id")?,
            run: row.get("run")?,
            action: row.get("action")?,
            reason: row.get("reason")?,
            patch: row.get("patch")?,
            people: row.count("people")?,
            not_by: row.get("not_by")?,
            agreed: Vec::new(),
            decision: match row.get::<String>("status")?.as_str() {
                "approved" => Some(Decision::Approved),
                "rejected" => Some(Decision::Rejected),
                "expired" => Some(Decision::Expired),
                _ => None,
            },
            requested_at: time(row, "requested_at")?,
            expires_at: expires.map(|_| time(row, "expires_at")).transpose()?,
            decided_by: row.get("decided_by")?,
            remark: row.get("remark")?,
        })
    }
}
