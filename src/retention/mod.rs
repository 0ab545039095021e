//! Removing what is old: logs, prompts, events.
//!
//! Invariants: nothing is touched that a run needs which is not over, waits for a person or is in the queue; what a landing needs to be taken
//! back stays until somebody asked for its end by name (`retention.landings`), and the backups in people's repositories stay even then; a run's row, attempts and
//! money stay, so that figures are right. Each run is done whole or not at all, so that a process that dies leaves nothing half.

mod files;

use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::config::Retention;
use crate::objects::Objects;
use crate::run::events::empty_prompts;
use crate::store::{Part, Store, Turn};

/// How much of something was removed, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// Runs, or places in the feed.
    pub count: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Sum {
    fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

/// What was removed, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// Folders with what checks printed.
    pub logs: Sum,
    /// What checks printed, in the bucket that machines share.
    pub bucket: Sum,
    /// Prompts and answers of runs.
    pub prompts: Sum,
    /// Events of runs that landed nothing by themselves.
    pub events: Sum,
    /// Events of runs that landed something.
    pub landings: Sum,
}

impl Removed {
    /// Whether there was nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How often old things are looked for.
const EVERY: Duration = Duration::from_secs(3600);
/// Runs that are asked for at a time.
const BATCH: u32 = 100;

/// Removes what is older than `rules` say; where `dry`, only tells what that is.
///
/// # Errors
/// Where the database or the disk fails. What was removed until then is.
pub async fn sweep(
    store: &Store,
    objects: &Objects,
    rules: &Retention,
    now: Timestamp,
    dry: bool,
) -> Result<Removed> {
    let state = &objects.path("");
    let mut removed =
        Removed { logs: files::logs(store, state, rules, now, dry).await?, ..Removed::default() };
    let shared = rules.logs.filter(|_| objects.is_shared());
    'parts: for (part, age, sum) in [
        (Part::Bucket, shared, &mut removed.bucket),
        (Part::Prompts, rules.prompts, &mut removed.prompts),
        (Part::Events, rules.events, &mut removed.events),
        (Part::Landings, rules.landings, &mut removed.landings),
    ] {
        let Some(before) = age.map(|age| ago(now, age)) else { continue };
        let mut last = None;
        loop {
            let old = store.old(part, before, last.as_ref(), BATCH).await?;
            for run in &old {
                if part == Part::Bucket {
                    let bytes = match objects.clear(&format!("logs/{}", run.run), dry).await {
                        Ok(bytes) => bytes,
                        // A bucket that is down holds nothing else up.
                        Err(error) => {
                            tracing::warn!("old logs stay in the object store for now: {error:#}");
                            continue 'parts;
                        }
                    };
                    if !dry {
                        store.note_bucket_emptied(&run.run, before).await?;
                    }
                    if let Some(bytes) = bytes {
                        sum.add(bytes);
                    }
                    continue;
                }
                let done = dry
                    || match part {
                        Part::Prompts => store.empty_prompts(&run.run, before, empty_prompts).await?,
                        Part::Events | Part::Landings => store.remove_events(&run.run, before).await?,
                        Part::Bucket => false,
                    };
                if done {
                    sum.add(run.bytes);
                }
            }
            let is_last = old.len() < BATCH as usize;
            last = old.into_iter().next_back();
            if is_last {
                break;
            }
        }
    }
    if !dry {
        if let Some(before) = rules.events.map(|age| ago(now, age)) {
            store.shorten_feed(before).await?;
        }
        files::folders_of_removed_runs(store, state).await?;
    }
    Ok(removed)
}

/// Sweeps once an hour for as long as it is polled; of all processes of a state folder one does.
pub async fn keep(
    store: Store,
    objects: Objects,
    rules: Retention,
    clock: std::sync::Arc<dyn crate::clock::Clock>,
) {
    loop {
        // Each state folder has files of its own to look after.
        let turn = store.take_turn(&format!("retention/{}", store.place()), EVERY).await;
        match turn {
            Ok(Turn::Ours) => match sweep(&store, &objects, &rules, clock.now(), false).await {
                Ok(removed) if removed.is_empty() => {}
                Ok(removed) => tracing::info!(
                    logs = removed.logs.count + removed.bucket.count,
                    prompts = removed.prompts.count,
                    events = removed.events.count + removed.landings.count,
                    "old runs were made smaller"
                ),
                Err(error) => tracing::warn!("what is old could not be removed: {error:#}"),
            },
            Ok(Turn::After(_)) => {}
            Err(error) => tracing::debug!("nobody knows whether old runs are to be removed: {error:#}"),
        }
        tokio::time::sleep(EVERY / 4).await;
    }
}

fn ago(now: Timestamp, age: Duration) -> Timestamp {
    let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
    now.checked_sub(age).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests;
