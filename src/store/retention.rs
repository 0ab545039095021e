//! Removing what is old of runs that are over. The run's row, its attempts and its money stay.

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::Value;

use super::sql::{Transaction, query, signed};
use super::{Store, moment};

/// A part of old runs that can be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What models were sent and what they answered.
    Prompts,
    /// All events of runs that landed nothing by themselves.
    Events,
    /// All events of runs that landed something, and of tickets with their sub-tasks: they cannot be rolled back any more.
    Landings,
    /// What checks printed, in the bucket that machines share.
    Bucket,
}

/// A run with something to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Old {
    /// The run.
    pub run: String,
    /// When its last event was recorded.
    pub updated_at: Timestamp,
    /// Bytes of the events in question.
    pub bytes: u64,
}

/// How a run stands, as far as its files are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remains {
    /// Whether it is over.
    pub is_over: bool,
    /// When its last event was recorded.
    pub updated_at: Timestamp,
    /// Whether its events are gone.
    pub is_removed: bool,
}

const PROMPTS: &str = "SELECT id, updated_at, (SELECT CAST(COALESCE(SUM(LENGTH(payload)), 0) AS BIGINT) FROM events \
     WHERE run = runs.id AND kind = 'asked') AS bytes FROM runs \
     WHERE status = 'finished' AND emptied_at IS NULL AND removed_at IS NULL \
     AND updated_at < $1 AND (updated_at > $2 OR (updated_at = $2 AND id > $3)) ORDER BY updated_at, id LIMIT $4";

const EVENTS: &str = "SELECT id, updated_at, (SELECT CAST(COALESCE(SUM(LENGTH(payload)), 0) AS BIGINT) FROM events \
     WHERE run = runs.id) AS bytes FROM runs WHERE status = 'finished' AND removed_at IS NULL \
     AND landed IS NULL AND trigger NOT IN ('ticket', 'subtask') \
     AND updated_at < $1 AND (updated_at > $2 OR (updated_at = $2 AND id > $3)) ORDER BY updated_at, id LIMIT $4";

// A ticket that is under way, or waits, needs the runs of its sub-tasks.
const LANDINGS: &str = "SELECT id, updated_at, (SELECT CAST(COALESCE(SUM(LENGTH(payload)), 0) AS BIGINT) FROM events \
     WHERE run = runs.id) AS bytes FROM runs WHERE status = 'finished' AND removed_at IS NULL \
     AND NOT (trigger = 'subtask' AND EXISTS (SELECT 1 FROM runs AS whole WHERE whole.repo = runs.repo \
     AND whole.trigger = 'ticket' AND whole.status <> 'finished' AND whole.created_at <= runs.created_at)) \
     AND (landed IS NOT NULL OR trigger IN ('ticket', 'subtask')) \
     AND updated_at < $1 AND (updated_at > $2 OR (updated_at = $2 AND id > $3)) ORDER BY updated_at, id LIMIT $4";

const BUCKET: &str = "SELECT id, updated_at, CAST(0 AS BIGINT) AS bytes FROM runs \
     WHERE status = 'finished' AND bucket_emptied_at IS NULL \
     AND updated_at < $1 AND (updated_at > $2 OR (updated_at = $2 AND id > $3)) ORDER BY updated_at, id LIMIT $4";

impl Store {
    /// At most `limit` runs whose last event was before `before` and that still have this part, the oldest first, after the one that was told last.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn old(
        &self,
        part: Part,
        before: Timestamp,
        after: Option<&Old>,
        limit: u32,
    ) -> Result<Vec<Old>> {
        let text = match part {
            Part::Prompts => PROMPTS,
            Part::Events => EVENTS,
            Part::Landings => LANDINGS,
            Part::Bucket => BUCKET,
        };
        let rows = query(text)
            .bind(moment(before))
            .bind(after.map_or(String::new(), |old| moment(old.updated_at)))
            .bind(after.map_or("", |old| old.run.as_str()))
            .bind(i64::from(limit))
            .all(self)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Old {
                    run: row.get("id")?,
                    updated_at: super::rows::time(row, "updated_at")?,
                    bytes: row.count("bytes")?,
                })
            })
            .collect()
    }

    /// Begins to change the events of a run that is over and was last changed before `before`; `None` where it is not (any more), or another process
    /// is at it.
    async fn open_up(&self, run: &str, before: Timestamp) -> Result<Option<Transaction>> {
        let mut transaction = self.begin().await?;
        let row = query("SELECT status, updated_at, removed_at FROM runs WHERE id = $1 @skip").bind(run);
        let Some(row) = row.first(&mut transaction).await? else { return Ok(None) };
        let changed: String = row.get("updated_at")?;
        let gone: Option<String> = row.get("removed_at")?;
        if row.get::<String>("status")? != "finished" || changed >= moment(before) || gone.is_some() {
            return Ok(None);
        }
        // It may be waiting to be begun again.
        let queued = query("SELECT 1 FROM queue WHERE run = $1").bind(run);
        if queued.first(&mut transaction).await?.is_some() {
            return Ok(None);
        }
        query("INSERT INTO removals (run) VALUES ($1)").bind(run).execute(&mut transaction).await?;
        Ok(Some(transaction))
    }

    async fn close_up(&self, mut transaction: Transaction, run: &str) -> Result<()> {
        query("DELETE FROM removals WHERE run = $1").bind(run).execute(&mut transaction).await?;
        transaction.commit().await
    }

    /// Removes the events of a run that is over: all or none. Tells whether they are gone now by this call.
    ///
    /// # Errors
    /// Where the database fails; nothing is removed then.
    pub async fn remove_events(&self, run: &str, before: Timestamp) -> Result<bool> {
        let Some(mut transaction) = self.open_up(run, before).await? else { return Ok(false) };
        query(
            "UPDATE runs SET removed_at = $2, emptied_at = COALESCE(emptied_at, $2), \
             proven_at = (SELECT MAX(at) FROM events WHERE run = $1 AND kind = 'proven') WHERE id = $1",
        )
        .bind(run)
        .bind(moment(self.now()))
        .execute(&mut transaction)
        .await?;
        query("DELETE FROM events WHERE run = $1").bind(run).execute(&mut transaction).await?;
        self.close_up(transaction, run).await?;
        Ok(true)
    }

    /// Has `empty` take what may go out of the events of the kind `asked` of a run that is over: all or none. Tells whether that was done by this call.
    ///
    /// # Errors
    /// Where the database fails; nothing is changed then.
    pub async fn empty_prompts(&self, run: &str, before: Timestamp, empty: fn(&mut Value)) -> Result<bool> {
        let Some(mut transaction) = self.open_up(run, before).await? else { return Ok(false) };
        let asked = query("SELECT seq, payload FROM events WHERE run = $1 AND kind = 'asked' ORDER BY seq");
        for row in asked.bind(run).all(&mut transaction).await? {
            let text: String = row.get("payload")?;
            let mut payload = serde_json::from_str(&text).context("an event in the store is no JSON")?;
            empty(&mut payload);
            query("UPDATE events SET payload = $3 WHERE run = $1 AND seq = $2")
                .bind(run)
                .bind(row.get::<i64>("seq")?)
                .bind(payload.to_string())
                .execute(&mut transaction)
                .await?;
        }
        query("UPDATE runs SET emptied_at = $2 WHERE id = $1")
            .bind(run)
            .bind(moment(self.now()))
            .execute(&mut transaction)
            .await?;
        self.close_up(transaction, run).await?;
        Ok(true)
    }

    /// Notes that nothing of a run lies in the bucket any more, unless it went on since it was last changed before `before`.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn note_bucket_emptied(&self, run: &str, before: Timestamp) -> Result<()> {
        let noted = query(
            "UPDATE runs SET bucket_emptied_at = $2 WHERE id = $1 AND status = 'finished' AND updated_at < $3",
        );
        noted.bind(run).bind(moment(self.now())).bind(moment(before)).execute(self).await.map(drop)
    }

    /// Removes the places of events before `before` from the feed, those of removed runs among them. The last place of all stays. How many that were.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn shorten_feed(&self, before: Timestamp) -> Result<u64> {
        // Places grow with time, so the first one that is young is found by halving.
        let (mut low, mut high) = (0, self.feed_end().await?);
        while low < high {
            let middle = low + (high - low) / 2;
            let next = query(
                "SELECT feed.position, events.at FROM feed JOIN events ON events.run = feed.run AND events.seq = feed.seq \
                 WHERE feed.position > $1 ORDER BY feed.position LIMIT 1",
            );
            match next.bind(signed(middle)).first(self).await? {
                Some(row) if row.get::<String>("at")? < moment(before) => low = row.count("position")?,
                _ => high = middle,
            }
        }
        let last = self.feed_end().await?;
        query("DELETE FROM feed WHERE position <= $1 AND position < $2")
            .bind(signed(low))
            .bind(signed(last))
            .execute(self)
            .await
    }

    /// What remains of the run of exactly this id, if there is one.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn remains(&self, run: &str) -> Result<Option<Remains>> {
        let row = query("SELECT status, updated_at, removed_at FROM runs WHERE id = $1").bind(run);
        let Some(row) = row.first(self).await? else { return Ok(None) };
        Ok(Some(Remains {
            is_over: row.get::<String>("status")? == "finished",
            updated_at: super::rows::time(&row, "updated_at")?,
            is_removed: row.get::<Option<String>>("removed_at")?.is_some(),
        }))
    }

    /// Gives the space of what was removed back to the disk, where the database does not do so by itself. Nobody can write meanwhile.
    ///
    /// # Errors
    /// Where the database fails, or the disk has no room for a second copy.
    pub async fn compact(&self) -> Result<()> {
        if self.is_alone() { query("VACUUM").execute(self).await.map(drop) } else { Ok(()) }
    }
}
