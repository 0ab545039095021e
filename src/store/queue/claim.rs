//! How a worker comes by a run, and how the run goes back or leaves.

use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

use super::{Back, Claim, Priority, STEP, Standing, millis};
use crate::store::Store;
use crate::store::lease::{Lease, Lock};
use crate::store::sql::{Pool, Transaction, query};

/// How long a run waits that a process outside of the queue has.
const A_MOMENT: Duration = Duration::from_secs(2);

impl Store {
    /// Claims the run whose turn it is for `worker`, with a lease on it; `None` where there is none. Two claims never give the same run.
    ///
    /// # Errors
    /// Where the database or a lock file fails.
    pub async fn claim(&self, worker: &str) -> Result<Option<Claim>> {
        loop {
            // Who only looks does not keep others from writing.
            let work = query("SELECT repo FROM repos WHERE head IS NOT NULL LIMIT 1");
            if self.is_alone() && work.first(self).await?.is_none() {
                return Ok(None);
            }
            let asked = Instant::now();
            let mut transaction = self.begin().await?;
            let Some(repo) = self.next_repo(&mut transaction).await? else { return Ok(None) };
            let claim = self.take(&mut transaction, &repo, None, worker, asked).await?;
            self.follow(&mut transaction, &repo, claim.is_some()).await?;
            transaction.commit().await?;
            if claim.is_some() {
                return Ok(claim);
            }
        }
    }

    /// The repo whose turn it is, locked. Repos that others are claiming from are passed over, unless they are all there is.
    async fn next_repo(&self, transaction: &mut Transaction) -> Result<Option<String>> {
        loop {
            // Those that are as urgent as the most urgent one. A sum, so that the round is followed in its order and not sorted out of all of
            // them.
            let next = query(
                "SELECT repo FROM repos WHERE head IS NOT NULL AND head + 0 <= (SELECT CASE WHEN MIN(head) <= @now THEN @now \
                 ELSE @now + (MIN(head) - @now + $1 - 1) / $1 * $1 END FROM repos WHERE head IS NOT NULL) \
                 ORDER BY served, repo LIMIT 1 @skip",
            );
            if let Some(row) = next.bind(millis(STEP)).first(&mut *transaction).await? {
                return row.get("repo").map(Some);
            }
            let work = query("SELECT repo FROM repos WHERE head IS NOT NULL LIMIT 1");
            if self.is_alone() || work.first(&mut *transaction).await?.is_none() {
                return Ok(None);
            }
            // Others are claiming from all of those: the next urgent, and at last one that has to be waited for.
            for others in [
                "SELECT repo FROM repos WHERE head IS NOT NULL \
                 ORDER BY GREATEST((head - @now + $1 - 1) / $1, 0), served, repo LIMIT 1 @skip",
                "SELECT repo FROM repos WHERE head IS NOT NULL \
                 ORDER BY GREATEST((head - @now + $1 - 1) / $1, 0), served, repo LIMIT 1 @lock",
            ] {
                if let Some(row) = query(others).bind(millis(STEP)).first(&mut *transaction).await? {
                    return row.get("repo").map(Some);
                }
            }
        }
    }

    /// Gives a run of the queue, whose repo is locked, to `worker`: this one, or the first that may be claimed. `None` where there is none, or
    /// another process of this machine has it outside of the queue: it waits a little then.
    pub(super) async fn take(
        &self,
        transaction: &mut Transaction,
        repo: &str,
        run: Option<&str>,
        worker: &str,
        asked: Instant,
    ) -> Result<Option<Claim>> {
        let taken = query(
            "UPDATE queue SET state = 'running', worker = $3, claimed_at = @now, reason = NULL WHERE run = COALESCE($2, \
             (SELECT run FROM queue WHERE repo = $1 AND state = 'queued' ORDER BY due, run LIMIT 1)) \
             RETURNING run, repo, priority, deaths, cancelled, @now - not_before AS waited",
        );
        let taken = taken.bind(repo).bind(run).bind(worker).first(&mut *transaction).await?;
        let Some(row) = taken else { return Ok(None) };
        let run: String = row.get("run")?;
        let Some(lock) = Lock::acquire(&self.state, &run)? else {
            query(
                "UPDATE queue SET state = 'delayed', worker = NULL, not_before = @now + $2, reason = $3 WHERE run = $1",
            )
            .bind(&run)
            .bind(millis(A_MOMENT))
            .bind("another process on the same machine has it")
            .execute(transaction)
            .await?;
            return Ok(None);
        };
        let mut fence = None;
        if let Pool::Postgres(_) = &self.pool {
            let held = query(
                "UPDATE runs SET fence = fence + 1, holder = $2, lease_until = @now + $3 WHERE id = $1 RETURNING fence",
            );
            let held = held.bind(&run).bind(&self.place).bind(self.lease_millis()).one(transaction).await?;
            fence = Some(held.get("fence")?);
        }
        Ok(Some(Claim {
            repo: row.get("repo")?,
            priority: Priority::parse(&row.get::<String>("priority")?)?,
            waited: Duration::from_millis(row.count("waited")?),
            deaths: row.count("deaths")?.try_into().unwrap_or(u32::MAX),
            cancelled: row.get("cancelled")?,
            lease: Lease::new(self, &run, lock, fence, asked).into(),
            run,
        }))
    }

    /// Gives a claimed run back.
    ///
    /// # Errors
    /// Where the database fails. The run counts as a dead worker's then.
    pub async fn give_back(&self, claim: Claim, how: &Back) -> Result<()> {
        let (standing, wait, died, reason) = match how {
            Back::HandedOver => (Standing::Queued, Duration::ZERO, 0, None),
            Back::Failed { wait, reason } => (Standing::Delayed, *wait, 1, Some(reason.as_str())),
            Back::Later { wait, reason } => (Standing::Delayed, *wait, 0, Some(reason.as_str())),
            Back::Blocked { reason } => (Standing::Blocked, Duration::ZERO, 0, Some(reason.as_str())),
        };
        let mut transaction = self.begin().await?;
        self.lock_repo(&mut transaction, &claim.repo).await?;
        if self.still_holds(&mut transaction, &claim.lease).await? {
            query(
                "UPDATE queue SET state = $2, not_before = @now + $3, deaths = deaths + $4, reason = $5, worker = NULL \
                 WHERE run = $1 AND state = 'running'",
            )
            .bind(&claim.run)
            .bind(standing.as_str())
            .bind(millis(wait))
            .bind(died)
            .bind(reason)
            .execute(&mut transaction)
            .await?;
        }
        self.changed(&mut transaction, &claim.repo).await?;
        claim.lease.unlock();
        transaction.commit().await?;
        claim.lease.given_back();
        Ok(())
    }

    /// Takes a run out of the queue that is over, as its last event does by itself.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn over(&self, claim: Claim) -> Result<()> {
        let mut transaction = self.begin().await?;
        self.lock_repo(&mut transaction, &claim.repo).await?;
        if self.still_holds(&mut transaction, &claim.lease).await? {
            // One that is in the queue again since its last event stays.
            query("DELETE FROM queue WHERE run = $1 AND state = 'running'")
                .bind(&claim.run)
                .execute(&mut transaction)
                .await?;
        }
        self.left(&mut transaction, &claim.repo).await?;
        claim.lease.unlock();
        transaction.commit().await?;
        claim.lease.given_back();
        Ok(())
    }

    /// Gives up the lease in the database, and tells whether it was still there to be given up.
    async fn still_holds(&self, transaction: &mut Transaction, lease: &Lease) -> Result<bool> {
        let Some(fence) = lease.fence() else { return Ok(true) };
        let released = query("UPDATE runs SET lease_until = 0 WHERE id = $1 AND fence = $2");
        Ok(released.bind(lease.run()).bind(fence).execute(transaction).await? == 1)
    }

    /// Locks the repo of a run that is in the queue, as its end will change it; gives that repo.
    pub(in crate::store) async fn before_leaving(
        &self,
        transaction: &mut Transaction,
        run: &str,
    ) -> Result<Option<String>> {
        let row = query("SELECT repo FROM queue WHERE run = $1").bind(run).first(&mut *transaction).await?;
        let Some(row) = row else { return Ok(None) };
        let repo: String = row.get("repo")?;
        self.lock_repo(transaction, &repo).await?;
        Ok(Some(repo))
    }

    /// Counts the deaths of a run's workers anew.
    pub(in crate::store) async fn outlived(&self, transaction: &mut Transaction, run: &str) -> Result<()> {
        let outlived = query("UPDATE queue SET deaths = 0 WHERE run = $1 AND deaths > 0");
        outlived.bind(run).execute(transaction).await.map(drop)
    }

    /// Takes a run out of the queue, whose repo is locked.
    pub(in crate::store) async fn leave(
        &self,
        transaction: &mut Transaction,
        run: &str,
        repo: &str,
    ) -> Result<()> {
        query("DELETE FROM queue WHERE run = $1").bind(run).execute(&mut *transaction).await?;
        self.left(transaction, repo).await
    }
}
