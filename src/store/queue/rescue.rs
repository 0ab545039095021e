//! Runs whose time has come, and those of workers that died.

use anyhow::Result;

use crate::store::Store;
use crate::store::lease::Lock;
use crate::store::sql::{Pool, query};

impl Store {
    /// What every worker does before it looks for work: runs whose time has come may be claimed, and so may those of dead workers.
    ///
    /// # Errors
    /// Where the database or a lock file fails, and [`TooOld`](crate::store::TooOld) where a newer Regreen changed the tables too much meanwhile.
    pub async fn tend(&self) -> Result<()> {
        self.compatible().await?;
        let due = query("SELECT DISTINCT repo FROM queue WHERE state = 'delayed' AND not_before <= @now");
        for row in due.all(self).await? {
            let repo: String = row.get("repo")?;
            let mut transaction = self.begin().await?;
            self.lock_repo(&mut transaction, &repo).await?;
            query(
                "UPDATE queue SET state = 'queued' \
                 WHERE repo = $1 AND state = 'delayed' AND not_before <= @now",
            )
            .bind(&repo)
            .execute(&mut transaction)
            .await?;
            self.changed(&mut transaction, &repo).await?;
            transaction.commit().await?;
        }
        let running = query("SELECT run, repo FROM queue WHERE state = 'running'").all(self).await?;
        for row in running {
            let (run, repo): (String, String) = (row.get("run")?, row.get("repo")?);
            if !self.is_held(&run).await? {
                self.rescue(&run, &repo).await?;
            }
        }
        Ok(())
    }

    /// Gives the run of a worker that died back to the queue: the next one goes on from its last event.
    async fn rescue(&self, run: &str, repo: &str) -> Result<()> {
        let mut transaction = self.begin().await?;
        self.lock_repo(&mut transaction, repo).await?;
        // Looked at again with the repo's row locked: nobody can have claimed or given back meanwhile.
        let dead = match &self.pool {
            Pool::Sqlite(_) => !Lock::is_held(&self.state, run)?,
            Pool::Postgres(_) => {
                let mine = !Lock::is_held(&self.state, run)?;
                let taken = query(
                    "UPDATE runs SET fence = fence + 1, lease_until = 0 \
                     WHERE id = $1 AND (lease_until <= @now OR (holder = $2 AND $3))",
                );
                taken.bind(run).bind(&self.place).bind(mine).execute(&mut transaction).await? == 1
            }
        };
        if !dead {
            return Ok(());
        }
        let rescued = query(
            "UPDATE queue SET state = 'queued', not_before = @now, worker = NULL, deaths = deaths + 1 \
             WHERE run = $1 AND state = 'running'",
        );
        if rescued.bind(run).execute(&mut transaction).await? > 0 {
            tracing::info!(run, "its worker died; another one goes on with it");
        }
        self.changed(&mut transaction, repo).await?;
        transaction.commit().await
    }
}
