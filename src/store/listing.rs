//! Runs in pages, as lists of the service show them.

use anyhow::Result;
use jiff::Timestamp;

use super::sql::query;
use super::{RunRow, Store, moment};

/// Which runs to list; `None` means any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Standing so: `running`, `waiting`, `finished`.
    pub status: Option<String>,
    /// Ended so: `healed`, `red`, …
    pub outcome: Option<String>,
    /// Of this repo.
    pub repo: Option<String>,
    /// Started by this: `heal`, `ticket`, `subtask`.
    pub trigger: Option<String>,
    /// Submitted with this priority: `urgent`, `high`, `normal`, `low`.
    pub priority: Option<String>,
    /// With this in its goal, repo, summary or id; upper and lower case count as the same.
    pub text: Option<String>,
    /// Made at this moment or later.
    pub since: Option<Timestamp>,
    /// Made before this moment.
    pub until: Option<Timestamp>,
    /// Only runs that ended in a way that wants a person.
    pub wanting: bool,
}

/// A place in a list: that of the run which was given last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// When it was made.
    pub created_at: Timestamp,
    /// Its id.
    pub id: String,
}

impl Store {
    /// At most `limit` runs behind `after` (from the start, where there is none), newest first. Runs that are made meanwhile do not move
    /// those on later pages.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn list(&self, listing: &Listing, after: Option<&Mark>, limit: u32) -> Result<Vec<RunRow>> {
        let text = listing.text.as_deref().map(|text| format!("%{}%", escaped(text)));
        let rows = query(
            "SELECT @columns(runs) FROM runs WHERE ($1 IS NULL OR status = $1) AND ($2 IS NULL OR outcome = $2) \
             AND ($3 IS NULL OR repo = $3) AND ($4 IS NULL OR trigger = $4) \
             AND ($5 IS NULL OR LOWER(goal) LIKE LOWER($5) ESCAPE '\\' OR LOWER(repo) LIKE LOWER($5) ESCAPE '\\' \
                  OR LOWER(summary) LIKE LOWER($5) ESCAPE '\\' OR LOWER(id) LIKE LOWER($5) ESCAPE '\\') \
             AND ($6 IS NULL OR created_at >= $6) AND ($7 IS NULL OR created_at < $7) \
             AND ($8 IS NULL OR created_at < $8 OR (created_at = $8 AND id < $9)) \
             AND ($10 = 0 OR outcome IN ('red', 'limit', 'waiting', 'refused', 'flaky', 'infra')) \
             AND ($11 IS NULL OR priority = $11) \
             ORDER BY created_at DESC, id DESC LIMIT $12",
        )
        .bind(&listing.status)
        .bind(&listing.outcome)
        .bind(&listing.repo)
        .bind(&listing.trigger)
        .bind(text)
        .bind(listing.since.map(moment))
        .bind(listing.until.map(moment))
        .bind(after.map(|mark| moment(mark.created_at)))
        .bind(after.map(|mark| mark.id.as_str()))
        .bind(i64::from(listing.wanting))
        .bind(&listing.priority)
        .bind(i64::from(limit))
        .all(self)
            .await?;
        rows.iter().map(RunRow::from_row).collect()
    }

    /// How many runs stand how, of all.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn standings(&self) -> Result<Vec<(String, u64)>> {
        let rows = query("SELECT status, COUNT(*) AS runs FROM runs GROUP BY status ORDER BY status")
            .all(self)
            .await?;
        rows.iter().map(|row| Ok((row.get("status")?, row.count("runs")?))).collect()
    }
}

/// A text that LIKE takes as it stands.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
