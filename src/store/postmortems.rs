//! What is to be learnt from runs for which nothing that was tried helped.

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::rows::time;
use super::sql::{Row, Transaction, query};
use super::{Mark, Store, moment};
use crate::fault::Fault;

/// A row of `postmortems`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PostMortemRow {
    /// The run.
    pub run: String,
    /// The root of its repo.
    pub repo: String,
    /// When the run ended; set by the store when it is written.
    pub at: Timestamp,
    /// What was to become green.
    pub goal: String,
    /// The rule that stopped it, in kebab-case.
    pub rule: String,
    /// What was wrong, in one line.
    pub cause: String,
    /// The category of that, in kebab-case.
    pub category: Option<String>,
    /// The failure's fingerprint.
    pub fingerprint: Option<String>,
    /// What would have helped, one line each.
    pub lessons: Vec<String>,
    /// All of it.
    pub body: Value,
}

/// What a run's end means for its post-mortem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Learnt {
    /// This is to be learnt.
    Write(Box<PostMortemRow>),
    /// Nothing any more: it went green after all.
    Drop,
}

/// Words that are looked for at once.
const WORDS: usize = 6;
/// The longest word, and the longest text that is searched, in characters.
const LONGEST: (usize, usize) = (200, 20_000);

/// Which post-mortems.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PostMortemFilter {
    /// Of this repo: its root.
    pub repo: Option<String>,
    /// With all of these words in it, however they are written; at most six count.
    pub text: Option<String>,
}

impl Learnt {
    pub(super) async fn write(&self, transaction: &mut Transaction, run: &str, now: &str) -> Result<()> {
        let row = match self {
            Learnt::Drop => {
                query("DELETE FROM postmortems WHERE run = $1").bind(run).execute(transaction).await?;
                return Ok(());
            }
            Learnt::Write(row) => row,
        };
        let body = row.body.to_string();
        let lessons = row.lessons.join("\n");
        let words = format!("{run}\n{}\n{}\n{}\n{}\n{body}", row.goal, row.rule, row.cause, lessons);
        let words: String = words.to_lowercase().chars().take(LONGEST.1).collect();
        query(
            "INSERT INTO postmortems (run, repo, at, goal, rule, cause, category, fingerprint, lessons, body, words) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (run) DO UPDATE SET at = excluded.at, \
             rule = excluded.rule, cause = excluded.cause, category = excluded.category, \
             fingerprint = excluded.fingerprint, lessons = excluded.lessons, body = excluded.body, words = excluded.words",
        )
        .bind(run)
        .bind(&row.repo)
        .bind(now)
        .bind(&row.goal)
        .bind(&row.rule)
        .bind(&row.cause)
        .bind(&row.category)
        .bind(&row.fingerprint)
        .bind(lessons)
        .bind(body)
        .bind(words)
        .execute(transaction)
        .await
        .map(drop)
    }
}

impl Store {
    /// Post-mortems, the newest first, after the one that was told last.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn postmortems(
        &self,
        filter: &PostMortemFilter,
        after: Option<&Mark>,
        limit: u32,
    ) -> Result<Vec<PostMortemRow>> {
        let mut words =
            filter.text.as_deref().unwrap_or_default().split_whitespace().take(WORDS).map(|word| {
                let word: String = word.to_lowercase().chars().take(LONGEST.0).collect();
                let plain = word.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
                format!("%{plain}%")
            });
        let mut rows = query(
            "SELECT @columns(postmortems) FROM postmortems WHERE ($1 IS NULL OR repo = $1) \
             AND ($2 IS NULL OR words LIKE $2 ESCAPE '\\') AND ($3 IS NULL OR words LIKE $3 ESCAPE '\\') \
             AND ($4 IS NULL OR words LIKE $4 ESCAPE '\\') AND ($5 IS NULL OR words LIKE $5 ESCAPE '\\') \
             AND ($6 IS NULL OR words LIKE $6 ESCAPE '\\') AND ($7 IS NULL OR words LIKE $7 ESCAPE '\\') \
             AND ($8 IS NULL OR at < $8 OR (at = $8 AND run < $9)) ORDER BY at DESC, run DESC LIMIT $10",
        )
        .bind(&filter.repo);
        for _ in 0..WORDS {
            rows = rows.bind(words.next());
        }
        let rows =
            rows.bind(after.map(|mark| moment(mark.created_at))).bind(after.map(|mark| mark.id.as_str()));
        rows.bind(i64::from(limit)).all(self).await?.iter().map(PostMortemRow::from_row).collect()
    }

    /// The post-mortem of a run.
    ///
    /// # Errors
    /// A [`Fault`] (exit 2) where the run has none; else where the database fails.
    pub async fn postmortem(&self, run: &str) -> Result<PostMortemRow> {
        let row = query("SELECT @columns(postmortems) FROM postmortems WHERE run = $1").bind(run);
        match row.first(self).await? {
            Some(row) => PostMortemRow::from_row(&row),
            None => Err(Fault::usage(format!("run {} has no post-mortem", super::short(run)))
                .hint("only runs for which nothing that was tried helped have one; `regreen postmortem` lists them")
                .into()),
        }
    }
}

impl PostMortemRow {
    fn from_row(row: &Row) -> Result<Self> {
        let lessons: String = row.get("lessons")?;
        let body: String = row.get("body")?;
        Ok(Self {
            run: row.get("run")?,
            repo: row.get("repo")?,
            at: time(row, "at")?,
            goal: row.get("goal")?,
            rule: row.get("rule")?,
            cause: row.get("cause")?,
            category: row.get("category")?,
            fingerprint: row.get("fingerprint")?,
            lessons: lessons.lines().map(str::to_owned).collect(),
            body: serde_json::from_str(&body).context("a post-mortem in the store is damaged")?,
        })
    }
}
