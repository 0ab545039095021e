//! Keeping branches green by schedules: at each moment of a cron pattern the repo's command goes into the queue, once however many processes look.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use crate::config::{Watch, pattern};
use crate::git::Repo;
use crate::redact::Redactor;
use crate::run::events::{Request, Work};
use crate::run::queued::{Line, submit};
use crate::store::{Priority, Status, Store};

#[cfg(test)]
mod tests;

/// How often it is looked whether a moment has come.
const EVERY: Duration = Duration::from_secs(15);
/// How late a moment may be: what nobody was there for is left out.
const LATE: SignedDuration = SignedDuration::from_mins(10);

/// Looks again and again. Does not return.
pub async fn keep(store: Store, watches: Vec<Watch>, redactor: Redactor) {
    if watches.is_empty() {
        return std::future::pending().await;
    }
    let mut told = BTreeSet::new();
    loop {
        for watch in &watches {
            match look(&store, watch, &redactor).await {
                Ok(Looked::Submitted(run)) => {
                    tracing::info!(run, repo = %watch.repo.display(), "a schedule put a run into the queue");
                }
                Ok(Looked::Elsewhere(branch)) => {
                    // Once for each, or it would be told for ever.
                    if told.insert((watch.clone(), branch.clone())) {
                        tracing::warn!(
                            "{} is not watched: {branch} is checked out there, and [[watch]] names {}",
                            watch.repo.display(),
                            watch.branch.as_deref().unwrap_or_default()
                        );
                    }
                }
                Ok(Looked::Nothing) => {}
                Err(error) => tracing::warn!("{} is not watched: {error:#}", watch.repo.display()),
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// What a look came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// No moment has come, or it was seen to already.
    Nothing,
    /// This run waits in the queue now.
    Submitted(String),
    /// Another branch is checked out: this one.
    Elsewhere(String),
}

/// Puts the command of `watch` into the queue if its moment has come, and nobody did it for that moment.
///
/// # Errors
/// Where the repo cannot be read or the database fails.
pub async fn look(store: &Store, watch: &Watch, redactor: &Redactor) -> Result<Looked> {
    let now = store.now();
    let Some(moment) = last(&watch.cron, now)? else { return Ok(Looked::Nothing) };
    if now.duration_since(moment) > LATE {
        return Ok(Looked::Nothing);
    }
    if let Some(wanted) = &watch.branch {
        let repo = Repo::discover(&watch.repo).await?.context("it is no git repository")?;
        let here = repo.branch().await?.unwrap_or_else(|| "no branch".to_owned());
        let here = here.strip_prefix("refs/heads/").unwrap_or(&here);
        if here != wanted {
            return Ok(Looked::Elsewhere(here.to_owned()));
        }
    }
    let request = Request {
        repo: watch.repo.clone(),
        dir: String::new(),
        work: Work::Command(vec!["sh".to_owned(), "-c".to_owned(), watch.run.clone()]),
        land: watch.land.clone(),
        checks: Vec::new(),
        budget: None,
        timeout: None,
        max_attempts: None,
        sandbox: None,
        network: None,
        no_model: watch.no_model,
        by: Some("watch".to_owned()),
        origin: None,
    };
    let of_watch = format!("watch:{}:", name(watch));
    // Where nobody works the queue off, or its last run waits for people, another one would only wait behind it.
    let newest = store.runs_of_key(&of_watch, 1).await?;
    if newest.first().is_some_and(|run| run.status != Status::Finished) {
        return Ok(Looked::Nothing);
    }
    let key = Some(format!("{of_watch}{moment}"));
    let line = Line { priority: Priority::Low, key, delay: Duration::ZERO };
    let id = uuid::Uuid::now_v7().simple().to_string();
    let submitted = submit(store, redactor, &id, &request, &line).await?;
    Ok(if submitted.new { Looked::Submitted(submitted.run) } else { Looked::Nothing })
}

/// What tells a watch apart from others: sixteen hexadecimal digits.
fn name(watch: &Watch) -> String {
    let mut hash = Sha256::new();
    for part in [&*watch.repo.to_string_lossy(), &watch.run, &watch.cron, &watch.land] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..8])
}

/// The last moment of a pattern up to now, in UTC.
fn last(cron: &str, now: Timestamp) -> Result<Option<Timestamp>> {
    let cron = pattern(cron).context("its cron pattern cannot be read")?;
    let now: DateTime<Utc> = DateTime::from_timestamp(now.as_second(), 0).context("the clock is odd")?;
    // A pattern may have no moment at all, such as the 31st of February.
    let Ok(last) = cron.find_previous_occurrence(&now, true) else { return Ok(None) };
    Ok(Some(Timestamp::from_second(last.timestamp())?))
}
