//! The files of old runs below the state folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use jiff::Timestamp;

use super::{Sum, ago};
use crate::config::Retention;
use crate::scratch;
use crate::store::{Lock, Store, run_dir};

/// A folder with what the checks of a run printed.
struct Logs {
    path: PathBuf,
    /// When the run was last changed.
    at: Timestamp,
    bytes: u64,
}

/// Removes the logs of runs that are over: those that are too old, and of the others the oldest, until they take no more room than they may.
pub(super) async fn logs(
    store: &Store,
    state: &Path,
    rules: &Retention,
    now: Timestamp,
    dry: bool,
) -> Result<Sum> {
    let mut sum = Sum::default();
    if rules.logs.is_none() && rules.logs_size.is_none() {
        return Ok(sum);
    }
    let (mut found, mut total) = (Vec::new(), 0);
    for path in folders(&state.join("logs")) {
        let bytes = size(&path);
        total += bytes;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let at = match store.remains(&name).await? {
            Some(run) if !run.is_over => continue,
            Some(run) => run.updated_at,
            // The logs of a replayed proof belong to no run of this store.
            None => match path.metadata().and_then(|meta| meta.modified()).map(Timestamp::try_from) {
                Ok(Ok(at)) => at,
                _ => continue,
            },
        };
        found.push(Logs { path, at, bytes });
    }
    found.sort_by(|a, b| (a.at, &a.path).cmp(&(b.at, &b.path)));
    let before = rules.logs.map(|age| ago(now, age));
    let most = rules.logs_size.unwrap_or(u64::MAX);
    for logs in found {
        let is_old = before.is_some_and(|before| logs.at < before);
        if !is_old && total <= most {
            break;
        }
        if !dry {
            scratch::remove(&logs.path)?;
        }
        total -= logs.bytes;
        sum.add(logs.bytes);
    }
    Ok(sum)
}

/// Removes what runs whose events are gone still have: a folder with a lock.
pub(super) async fn folders_of_removed_runs(store: &Store, state: &Path) -> Result<()> {
    for path in folders(&state.join("runs")) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if !store.remains(name).await?.is_some_and(|run| run.is_removed) {
            continue;
        }
        // Held while it goes: a process that looks at the run now has it still.
        if let Ok(Some(_lock)) = Lock::acquire(state, name) {
            scratch::remove(&run_dir(state, name))?;
        }
    }
    Ok(())
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let entries = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    entries.map(|entry| entry.path()).collect()
}

/// Bytes of the files in a folder, following no link.
pub(crate) fn size(path: &Path) -> u64 {
    let (mut bytes, mut waiting) = (0, vec![path.to_owned()]);
    while let Some(folder) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => waiting.push(entry.path()),
                Ok(meta) => bytes += meta.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}
