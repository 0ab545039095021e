//! How the queue stands, in numbers for those who watch it.

use std::time::Duration;

use anyhow::Result;

use super::Store;
use super::queue::{Priority, Standing};
use super::sql::query;

/// How many runs wait for what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting {
    queue: Vec<(Priority, Standing, u64, Duration)>,
    /// Runs that wait for a person.
    pub people: u64,
}

impl Waiting {
    /// The runs of the queue with this priority that stand so.
    pub fn count(&self, priority: Priority, standing: Standing) -> u64 {
        let found = self.queue.iter().find(|(p, s, ..)| (*p, *s) == (priority, standing));
        found.map_or(0, |(_, _, count, _)| *count)
    }

    /// How long the run of this priority could have been claimed that waits longest; nothing where none can be.
    pub fn oldest(&self, priority: Priority) -> Duration {
        let found = self.queue.iter().find(|(p, s, ..)| (*p, *s) == (priority, Standing::Queued));
        found.map_or(Duration::ZERO, |(_, _, _, age)| *age)
    }

    /// The same over all priorities.
    pub fn longest(&self) -> Duration {
        Priority::ALL.into_iter().map(|priority| self.oldest(priority)).max().unwrap_or_default()
    }
}

impl Store {
    /// How many runs wait for what, by the database's own clock.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn waiting(&self) -> Result<Waiting> {
        let rows = query(
            "SELECT priority, state, COUNT(*) AS runs, @now - MIN(not_before) AS age FROM queue GROUP BY priority, state",
        );
        let mut waiting = Waiting::default();
        for row in rows.all(self).await? {
            let priority = Priority::parse(&row.get::<String>("priority")?)?;
            let standing = Standing::parse(&row.get::<String>("state")?)?;
            let age = Duration::from_millis(row.count("age")?);
            waiting.queue.push((priority, standing, row.count("runs")?, age));
        }
        let people = query("SELECT COUNT(*) AS runs FROM runs WHERE status = 'waiting'").one(self).await?;
        waiting.people = people.count("runs")?;
        Ok(waiting)
    }
}
