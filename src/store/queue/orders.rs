//! What people order: a run to end or to be tried again, a repo to pause or to have more runs at once.

use anyhow::Result;
use tokio::time::Instant;

use super::{Cancelled, Standing};
use crate::store::Store;
use crate::store::sql::query;

impl Store {
    /// Cancels a run of the queue for `who`.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn cancel(&self, run: &str, who: &str) -> Result<Cancelled> {
        self.tend().await?;
        let asked = Instant::now();
        let mut transaction = self.begin().await?;
        let Some(repo) = self.before_leaving(&mut transaction, run).await? else {
            return Ok(Cancelled::Absent);
        };
        let told = query("UPDATE queue SET cancelled = TRUE WHERE run = $1 RETURNING state, worker");
        let Some(row) = told.bind(run).first(&mut transaction).await? else { return Ok(Cancelled::Absent) };
        let standing = Standing::parse(&row.get::<String>("state")?)?;
        let claim = match standing {
            Standing::Running => None,
            _ => self.take(&mut transaction, &repo, Some(run), who, asked).await?,
        };
        self.changed(&mut transaction, &repo).await?;
        transaction.commit().await?;
        Ok(match claim {
            Some(claim) => Cancelled::Claimed(Box::new(claim)),
            None => Cancelled::Told { worker: row.get::<Option<String>>("worker")?.unwrap_or_default() },
        })
    }

    /// Which of the runs that `worker` has were cancelled.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn cancelled(&self, worker: &str) -> Result<Vec<String>> {
        let rows = query("SELECT run FROM queue WHERE worker = $1 AND cancelled AND state = 'running'");
        rows.bind(worker).all(self).await?.iter().map(|row| row.get("run")).collect()
    }

    /// Lets a delayed or blocked run be claimed at once. Tells whether there was one to be let.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn unblock(&self, run: &str) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let Some(repo) = self.before_leaving(&mut transaction, run).await? else { return Ok(false) };
        let freed = query(
            "UPDATE queue SET state = 'queued', not_before = @now, deaths = 0, reason = NULL \
             WHERE run = $1 AND state IN ('delayed', 'blocked')",
        );
        let freed = freed.bind(run).execute(&mut transaction).await?;
        self.changed(&mut transaction, &repo).await?;
        transaction.commit().await?;
        Ok(freed > 0)
    }
}
