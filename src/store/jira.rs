//! What was done about Jira's issues, so that it is done once, whatever is delivered how often in which order.
//!
//! A row is held by one process at a time, for a while: whoever dies over it lets it go by that. Only the holder writes.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::queue::millis;
use super::sql::{Row, query};
use super::{Store, moment};

/// A row of `jira_issues`.
#[derive(Debug, Clone, PartialEq)]
pub struct JiraIssue {
    /// Its key.
    pub issue: String,
    /// The issue whose plan it is a part of.
    pub parent: Option<String>,
    /// Which part: the number of a story, from 1.
    pub part: Option<String>,
    /// The run that works on it, or did last.
    pub run: Option<String>,
    /// When that run had changed last when it was looked at.
    pub run_seen: Option<String>,
    /// What else is known of it.
    pub state: Value,
    /// How many looks were asked for.
    pub wanted: i64,
    /// Up to which of them there was a look.
    pub looked: i64,
}

impl JiraIssue {
    fn from_row(row: &Row) -> Result<Self> {
        let state: String = row.get("state")?;
        Ok(Self {
            issue: row.get("issue")?,
            parent: row.get("parent")?,
            part: row.get("part")?,
            run: row.get("run")?,
            run_seen: row.get("run_seen")?,
            state: serde_json::from_str(&state).context("the state of an issue in the store is no JSON")?,
            wanted: row.get("wanted")?,
            looked: row.get("looked")?,
        })
    }
}

/// The issue of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JiraPart {
    /// It was made.
    Made(String),
    /// Nobody has asked for it yet: the caller may, now.
    Ours,
    /// It was asked for so long ago, and what came of it is not known.
    Asked(Duration),
}

impl Store {
    /// Asks for a look at an issue.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn want_jira_issue(&self, issue: &str) -> Result<()> {
        query(
            "INSERT INTO jira_issues (issue, state, wanted, created_at, updated_at) VALUES ($1, 'null', 1, $2, $2) \
             ON CONFLICT (issue) DO UPDATE SET wanted = jira_issues.wanted + 1",
        )
        .bind(issue)
        .bind(moment(self.now()))
        .execute(self)
        .await
        .map(drop)
    }

    /// Makes the row of an issue that is a part of another one's plan, if it is not there.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn adopt_jira_issue(&self, issue: &str, parent: &str, part: &str, state: &Value) -> Result<()> {
        query(
            "INSERT INTO jira_issues (issue, parent, part, state, wanted, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, 1, $5, $5) ON CONFLICT (issue) DO UPDATE SET parent = $2, part = $3, state = $4, \
             wanted = jira_issues.wanted + 1 WHERE jira_issues.parent IS NULL",
        )
        .bind(issue)
        .bind(parent)
        .bind(part)
        .bind(state.to_string())
        .bind(moment(self.now()))
        .execute(self)
        .await
        .map(drop)
    }

    /// Takes an issue's row for `hold`, and makes it where there is none; `None` where another holder has it.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn hold_jira_issue(
        &self,
        issue: &str,
        holder: &str,
        hold: Duration,
    ) -> Result<Option<JiraIssue>> {
        let mut transaction = self.begin().await?;
        query(
            "INSERT INTO jira_issues (issue, state, created_at, updated_at) VALUES ($1, 'null', $2, $2) \
             ON CONFLICT (issue) DO NOTHING",
        )
        .bind(issue)
        .bind(moment(self.now()))
        .execute(&mut transaction)
        .await?;
        let held = query(
            "UPDATE jira_issues SET holder = $2, held_until = @now + $3 WHERE issue = $1 AND held_until <= @now",
        )
        .bind(issue)
        .bind(holder)
        .bind(millis(hold))
        .execute(&mut transaction)
        .await?;
        if held == 0 {
            return Ok(None);
        }
        let row = query("SELECT @columns(jira_issues) FROM jira_issues WHERE issue = $1")
            .bind(issue)
            .one(&mut transaction)
            .await?;
        transaction.commit().await?;
        JiraIssue::from_row(&row).map(Some)
    }

    /// Keeps what is known of an issue, and holds it for longer. Whether it was still held.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn keep_jira_issue(&self, row: &JiraIssue, holder: &str, hold: Duration) -> Result<bool> {
        let kept = query(
            "UPDATE jira_issues SET run = $3, run_seen = $4, state = $5, looked = $6, updated_at = $7, held_until = @now + $8 \
             WHERE issue = $1 AND holder = $2 AND held_until > @now",
        )
        .bind(&row.issue)
        .bind(holder)
        .bind(&row.run)
        .bind(&row.run_seen)
        .bind(row.state.to_string())
        .bind(row.looked)
        .bind(moment(self.now()))
        .bind(millis(hold))
        .execute(self)
        .await?;
        Ok(kept > 0)
    }

    /// Lets go of an issue, which is not looked at again for `pause`.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn let_go_of_jira_issue(&self, issue: &str, holder: &str, pause: Duration) -> Result<()> {
        query(
            "UPDATE jira_issues SET holder = NULL, held_until = 0, not_before = @now + $3 WHERE issue = $1 AND holder = $2",
        )
        .bind(issue)
        .bind(holder)
        .bind(millis(pause))
        .execute(self)
        .await
        .map(drop)
    }

    /// Forgets an issue that is of no concern, unless it is another one's part or somebody asked for a look meanwhile.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn forget_jira_issue(&self, row: &JiraIssue, holder: &str) -> Result<()> {
        query("DELETE FROM jira_issues WHERE issue = $1 AND holder = $2 AND parent IS NULL AND wanted = $3")
            .bind(&row.issue)
            .bind(holder)
            .bind(row.wanted)
            .execute(self)
            .await
            .map(drop)
    }

    /// What is known of an issue.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn jira_issue(&self, issue: &str) -> Result<Option<JiraIssue>> {
        let row = query("SELECT @columns(jira_issues) FROM jira_issues WHERE issue = $1");
        row.bind(issue).first(self).await?.as_ref().map(JiraIssue::from_row).transpose()
    }

    /// The issues that are parts of another one's plan.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn jira_issues_of(&self, parent: &str) -> Result<Vec<JiraIssue>> {
        let rows =
            query("SELECT @columns(jira_issues) FROM jira_issues WHERE parent = $1 ORDER BY part, issue");
        rows.bind(parent).all(self).await?.iter().map(JiraIssue::from_row).collect()
    }

    /// Issues that have to be looked at: somebody asked, or their run moved on.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn due_jira_issues(&self, limit: u32) -> Result<Vec<String>> {
        let rows = query(
            "SELECT jira_issues.issue AS issue FROM jira_issues LEFT JOIN runs ON runs.id = jira_issues.run \
             WHERE jira_issues.held_until <= @now AND jira_issues.not_before <= @now AND (jira_issues.wanted > jira_issues.looked \
             OR (jira_issues.run IS NOT NULL AND runs.updated_at <> COALESCE(jira_issues.run_seen, ''))) \
             ORDER BY jira_issues.updated_at, jira_issues.issue LIMIT $1",
        );
        rows.bind(i64::from(limit)).all(self).await?.iter().map(|row| row.get("issue")).collect()
    }

    /// Claims the part of an issue's plan that is to become an issue of its own.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn claim_jira_part(&self, parent: &str, part: &str) -> Result<JiraPart> {
        let mut transaction = self.begin().await?;
        let ours = query(
            "INSERT INTO jira_parts (parent, part, asked_at) VALUES ($1, $2, @now) ON CONFLICT (parent, part) DO NOTHING",
        )
        .bind(parent)
        .bind(part)
        .execute(&mut transaction)
        .await?;
        let row =
            query("SELECT issue, @now - asked_at AS ago FROM jira_parts WHERE parent = $1 AND part = $2");
        let row = row.bind(parent).bind(part).one(&mut transaction).await?;
        transaction.commit().await?;
        Ok(match row.get::<Option<String>>("issue")? {
            Some(issue) => JiraPart::Made(issue),
            None if ours > 0 => JiraPart::Ours,
            None => JiraPart::Asked(Duration::from_millis(row.count("ago")?)),
        })
    }

    /// The issue of a part was made, or (`None`) is asked for again now.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn settle_jira_part(&self, parent: &str, part: &str, issue: Option<&str>) -> Result<()> {
        query("UPDATE jira_parts SET issue = $3, asked_at = @now WHERE parent = $1 AND part = $2 AND issue IS NULL")
            .bind(parent)
            .bind(part)
            .bind(issue)
            .execute(self)
            .await
            .map(drop)
    }

    /// The issues that were made of the parts of an issue's plan.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn jira_parts(&self, parent: &str) -> Result<Vec<(String, String)>> {
        let rows =
            query("SELECT part, issue FROM jira_parts WHERE parent = $1 AND issue IS NOT NULL ORDER BY part");
        let rows = rows.bind(parent).all(self).await?;
        rows.iter().map(|row| Ok((row.get("part")?, row.get("issue")?))).collect()
    }

    /// How long ago the Jira `site` had told all that changed; `None` where it never did.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn jira_polled(&self, site: &str) -> Result<Option<Duration>> {
        let row = query("SELECT @now - asked_at AS ago FROM jira_polls WHERE site = $1")
            .bind(site)
            .first(self)
            .await?;
        row.map(|row| Ok(Duration::from_millis(row.count("ago")?))).transpose()
    }

    /// The Jira `site` has told all that changed until `ago`.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn end_jira_poll(&self, site: &str, ago: Duration) -> Result<()> {
        query(
            "INSERT INTO jira_polls (site, asked_at) VALUES ($1, @now - $2) \
             ON CONFLICT (site) DO UPDATE SET asked_at = excluded.asked_at",
        )
        .bind(site)
        .bind(millis(ago))
        .execute(self)
        .await
        .map(drop)
    }
}
