//! How runs come into the queue.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{Priority, Standing, Submission, Submitted, millis};
use crate::fault::Fault;
use crate::store::lease::check_id;
use crate::store::sql::{Transaction, query};
use crate::store::{NewEvent, Proposes, RunRow, Store};

impl Store {
    /// Puts a new run into the queue, with its first event, in one transaction. Durable when it returns. The same key always leads to the same
    /// run.
    ///
    /// # Errors
    /// A [`Fault`] (exit 2) where the key belongs to a run of another repo or goal, the id is taken or is no plain name, or the proposal that
    /// it is for does not stand so that this can happen to it. Nothing is written then.
    pub async fn submit(&self, submission: &Submission, first: &NewEvent) -> Result<Submitted> {
        let run = &submission.run;
        check_id(&run.id)?;
        let mut transaction = self.begin().await?;
        self.know(&mut transaction, &run.repo).await?;
        let (key, priority) = (submission.key.as_deref(), Some(submission.priority));
        let proposal = submission.proposes.as_ref().map(Proposes::id);
        if !self.insert(&mut transaction, run, first.at, key, priority, proposal).await? {
            drop(transaction);
            return self.known(submission).await;
        }
        if let Some(proposes) = &submission.proposes {
            self.propose(&mut transaction, proposes, run, first.at).await?;
        }
        if let Some(incident) = &submission.heals {
            self.take_up(&mut transaction, incident, &run.id, first.at).await?;
        }
        self.push(&mut transaction, None, &run.id, 0, first).await?;
        self.line_up(&mut transaction, &run.id, &run.repo, submission.priority, submission.delay).await?;
        self.changed(&mut transaction, &run.repo).await?;
        transaction.commit().await?;
        Ok(Submitted { run: run.id.clone(), new: true })
    }

    /// The runs that were submitted with a key that begins so, the newest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn runs_of_key(&self, start: &str, limit: u32) -> Result<Vec<RunRow>> {
        let rows = query(
            "SELECT @columns(runs) FROM runs WHERE key IS NOT NULL AND SUBSTR(key, 1, LENGTH($1)) = $1 \
             ORDER BY created_at DESC, id DESC LIMIT $2",
        )
        .bind(start)
        .bind(i64::from(limit))
        .all(self)
        .await?;
        rows.iter().map(RunRow::from_row).collect()
    }

    /// The run that was submitted with exactly this key, if there is one.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn run_of_key(&self, key: &str) -> Result<Option<RunRow>> {
        let row = query("SELECT @columns(runs) FROM runs WHERE key = $1").bind(key).first(self).await?;
        row.as_ref().map(RunRow::from_row).transpose()
    }

    /// The run that was submitted with this key before.
    async fn known(&self, submission: &Submission) -> Result<Submitted> {
        let (run, key) = (&submission.run, submission.key.as_deref().unwrap_or_default());
        let found = query("SELECT id, repo, trigger, goal FROM runs WHERE key = $1").bind(key).first(self);
        let row = found.await?.with_context(|| format!("the key {key:?} is taken and by no run"))?;
        let same = row.get::<String>("repo")? == run.repo
            && row.get::<String>("trigger")? == run.trigger
            && row.get::<String>("goal")? == run.goal;
        let id: String = row.get("id")?;
        if same {
            return Ok(Submitted { run: id, new: false });
        }
        Err(Fault::usage(format!("the key was used for another run: {id}"))
            .hint("a key stands for one piece of work; give another one")
            .into())
    }

    /// Puts a run that came through the queue into it again, to be gone on with. One that is in the queue, or never was, stays as it is.
    pub(in crate::store) async fn come_back(&self, transaction: &mut Transaction, run: &str) -> Result<()> {
        let came = query("SELECT repo, priority FROM runs WHERE id = $1 AND priority IS NOT NULL");
        let Some(row) = came.bind(run).first(&mut *transaction).await? else { return Ok(()) };
        let (repo, priority): (String, String) = (row.get("repo")?, row.get("priority")?);
        self.know(transaction, &repo).await?;
        self.line_up(transaction, run, &repo, Priority::parse(&priority)?, Duration::ZERO).await?;
        // A ticket's run, which has no event of its own when its sub-task goes on.
        query("UPDATE runs SET status = 'queued' WHERE id = $1 AND status = 'waiting'")
            .bind(run)
            .execute(&mut *transaction)
            .await?;
        self.changed(transaction, &repo).await
    }

    async fn line_up(
        &self,
        transaction: &mut Transaction,
        run: &str,
        repo: &str,
        priority: Priority,
        delay: Duration,
    ) -> Result<()> {
        let standing = if delay.is_zero() { Standing::Queued } else { Standing::Delayed };
        query(
            "INSERT INTO queue (run, repo, priority, state, due, not_before, submitted_at) \
             VALUES ($1, $2, $3, $4, @now + $5 + $6, @now + $5, @now) ON CONFLICT (run) DO NOTHING",
        )
        .bind(run)
        .bind(repo)
        .bind(priority.as_str())
        .bind(standing.as_str())
        .bind(millis(delay))
        .bind(millis(priority.patience()))
        .execute(transaction)
        .await
        .map(drop)
    }
}
