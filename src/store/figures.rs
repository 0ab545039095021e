//! Sums over runs, attempts and money, by the tables' own columns: no run's events are read but for the moment of its proof.

use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;

use super::rows::time;
use super::sql::query;
use super::{Store, moment};
use crate::usage::Money;

/// How many runs of a day ended how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayOutcome {
    /// The day in UTC: `2026-11-21`.
    pub day: String,
    /// The outcome; `None` for runs that are not over.
    pub outcome: Option<String>,
    /// How many.
    pub runs: u64,
}

/// What a run's outcome says of how it was dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dealt {
    /// Red, and it went green, or the ticket was finished.
    Healed,
    /// Red, and nothing that was tried helped, or nothing more could be tried.
    Exhausted,
    /// Red, and it is a person's to go on.
    LeftToPeople,
    /// Green already, flaky, not to be judged, or not over.
    Other,
}

impl Dealt {
    /// What an outcome says.
    pub fn of(outcome: Option<&str>) -> Self {
        match outcome {
            Some("healed" | "implemented") => Dealt::Healed,
            Some("red" | "limit") => Dealt::Exhausted,
            Some("waiting" | "refused" | "bug") => Dealt::LeftToPeople,
            _ => Dealt::Other,
        }
    }

    /// Whether it was red and did not become green, by whatever was in the way.
    pub fn is_red_still(self) -> bool {
        matches!(self, Dealt::Exhausted | Dealt::LeftToPeople)
    }
}

/// What one fixer brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixerSum {
    /// The fixer: `memory`, `codefix(rustc)`, `model(<name>)`.
    pub fixer: String,
    /// The model, where one was asked.
    pub model: Option<String>,
    /// Attempts, those that passed on included.
    pub attempts: u64,
    /// Attempts that made the goal green.
    pub succeeded: u64,
    /// What they cost.
    pub cost: Money,
}

/// How one kind of fault was dealt with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CategorySum {
    /// The kind, as diagnostics name it.
    pub category: String,
    /// Runs that met it.
    pub runs: u64,
    /// Runs of them with an attempt that made the goal green.
    pub repaired: u64,
}

/// Money under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CostSum {
    /// A day, a repo or a model.
    pub name: String,
    /// How much.
    pub cost: Money,
}

/// The most runs whose time is looked at: the newest.
const TIMED: i64 = 20_000;

impl Store {
    /// How the runs made since then ended, by day. Sub-tasks count with their ticket and not here.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn outcomes(&self, since: Timestamp) -> Result<Vec<DayOutcome>> {
        let rows = query(
            "SELECT SUBSTR(created_at, 1, 10) AS day, outcome, COUNT(*) AS runs FROM runs \
             WHERE created_at >= $1 AND trigger <> 'subtask' GROUP BY day, outcome ORDER BY day, outcome",
        )
        .bind(moment(since))
        .all(self)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(DayOutcome {
                    day: row.get("day")?,
                    outcome: row.get("outcome")?,
                    runs: row.count("runs")?,
                })
            })
            .collect()
    }

    /// What each fixer and model brought since then, the most useful first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn fixer_sums(&self, since: Timestamp) -> Result<Vec<FixerSum>> {
        let rows = query(
            "SELECT fixer, model_used, COUNT(*) AS attempts, \
             SUM(CASE WHEN succeeded THEN 1 ELSE 0 END) AS succeeded, \
             CAST(SUM(cost_micro_usd) AS BIGINT) AS cost FROM fix_attempts WHERE at >= $1 \
             GROUP BY fixer, model_used ORDER BY succeeded DESC, attempts DESC, fixer LIMIT 100",
        )
        .bind(moment(since))
        .all(self)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(FixerSum {
                    fixer: row.get("fixer")?,
                    model: row.get("model_used")?,
                    attempts: row.count("attempts")?,
                    succeeded: row.count("succeeded")?,
                    cost: Money(row.count("cost")?),
                })
            })
            .collect()
    }

    /// The kinds of fault met since then, the most common first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn category_sums(&self, since: Timestamp) -> Result<Vec<CategorySum>> {
        let rows = query(
            "SELECT category, COUNT(DISTINCT run) AS runs, \
             COUNT(DISTINCT CASE WHEN succeeded THEN run END) AS repaired FROM fix_attempts \
             WHERE at >= $1 AND category IS NOT NULL GROUP BY category ORDER BY runs DESC, category LIMIT 50",
        )
        .bind(moment(since))
        .all(self)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(CategorySum {
                    category: row.get("category")?,
                    runs: row.count("runs")?,
                    repaired: row.count("repaired")?,
                })
            })
            .collect()
    }

    /// What models cost since then, by day.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn cost_by_day(&self, since: Timestamp) -> Result<Vec<CostSum>> {
        self.costs(
            "SELECT SUBSTR(at, 1, 10) AS name, CAST(SUM(cost_micro_usd) AS BIGINT) AS cost FROM spending \
             WHERE at >= $1 GROUP BY name ORDER BY name",
            since,
        )
        .await
    }

    /// What models cost since then, by repo, the dearest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn cost_by_repo(&self, since: Timestamp) -> Result<Vec<CostSum>> {
        self.costs(
            "SELECT runs.repo AS name, CAST(SUM(spending.cost_micro_usd) AS BIGINT) AS cost FROM spending \
             JOIN runs ON runs.id = spending.run WHERE spending.at >= $1 \
             GROUP BY runs.repo ORDER BY cost DESC, name LIMIT 50",
            since,
        )
        .await
    }

    /// What models cost since then, by model, the dearest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn cost_by_model(&self, since: Timestamp) -> Result<Vec<CostSum>> {
        self.costs(
            "SELECT model AS name, CAST(SUM(cost_micro_usd) AS BIGINT) AS cost FROM spending \
             WHERE at >= $1 GROUP BY model ORDER BY cost DESC, name LIMIT 50",
            since,
        )
        .await
    }

    async fn costs(&self, sql: &'static str, since: Timestamp) -> Result<Vec<CostSum>> {
        let rows = query(sql).bind(moment(since)).all(self).await?;
        rows.iter()
            .map(|row| Ok(CostSum { name: row.get("name")?, cost: Money(row.count("cost")?) }))
            .collect()
    }

    /// How many attempts a run made since then has that was healed, on average, those that passed on included; nothing where none was.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn asked_per_fix(&self, since: Timestamp) -> Result<Option<f64>> {
        let sums = query(
            "SELECT COUNT(*) AS runs, CAST(COALESCE(SUM(attempts), 0) AS BIGINT) AS attempts FROM runs \
             WHERE created_at >= $1 AND outcome = 'healed'",
        );
        let row = sums.bind(moment(since)).one(self).await?;
        let (runs, attempts) = (row.count("runs")?, row.count("attempts")?);
        Ok((runs > 0).then(|| attempts as f64 / runs as f64))
    }

    /// How long runs made since then took from their beginning to their proof, shortest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn times_to_green(&self, since: Timestamp) -> Result<Vec<Duration>> {
        let rows = query(
            "SELECT created_at, proven_at FROM (SELECT created_at, \
             COALESCE(proven_at, (SELECT MAX(at) FROM events WHERE run = runs.id AND kind = 'proven')) AS proven_at \
             FROM runs WHERE created_at >= $1 AND outcome = 'healed') AS healed \
             WHERE proven_at IS NOT NULL ORDER BY created_at DESC LIMIT $2",
        )
        .bind(moment(since))
        .bind(TIMED)
        .all(self)
        .await?;
        let mut times = Vec::with_capacity(rows.len());
        for row in &rows {
            times.push(time(row, "proven_at")?.duration_since(time(row, "created_at")?).unsigned_abs());
        }
        times.sort_unstable();
        Ok(times)
    }
}
