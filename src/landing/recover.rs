//! After a crash: finish what the journal says, or take it back.

use std::path::Path;

use anyhow::Result;

use super::turn::Turn;
use super::{Moves, Record, commit, reason};
use crate::git::Repo;
use crate::patch::{Change, Patch, RelPath, read_beneath};

/// What was done about an interrupted landing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovered {
    /// It had not begun, or does not exist any more: nothing was to be done.
    Nothing,
    /// It is complete now (or was).
    Completed,
    /// It was taken back, because something else was changed meanwhile. These files are neither as before nor as landed, and were
    /// left alone.
    RolledBack {
        /// The files left alone.
        left: Vec<RelPath>,
    },
}

/// In which states the files are.
struct States {
    before: Patch,
    after: Patch,
    other: Vec<RelPath>,
}

fn states(root: &Path, patch: &Patch) -> States {
    let mut states = States { before: Patch::new(), after: Patch::new(), other: Vec::new() };
    for (path, change) in patch.iter() {
        match read_beneath(root, path) {
            Ok(now) if now == change.after => states.after.set(path.clone(), change.clone()),
            Ok(now) if now == change.before => states.before.set(path.clone(), change.clone()),
            _ => states.other.push(path.clone()),
        }
    }
    states
}

/// Finishes an interrupted landing, or takes it back where the user changed its files meanwhile. The same state always gives the
/// same answer, and doing it twice does no more than doing it once.
///
/// # Errors
/// Where git or the disk fails.
pub async fn recover(repo: Option<&Repo>, root: &Path, record: &Record) -> Result<Recovered> {
    let _turn = Turn::take(repo, root).await?;
    remove_temporaries(root, &record.patch);
    match (&record.moved, repo) {
        (Moves::Files, _) => recover_files(root, &record.patch),
        (Moves::Current { reference, old, new }, Some(repo)) => {
            let at = repo.resolve(reference).await?;
            if at.as_deref() != Some(new) {
                // The ref moves first: where it did not, nothing did. Where it moved on, somebody built on the landing.
                return Ok(Recovered::Nothing);
            }
            let states = states(root, &record.patch);
            if states.other.is_empty() {
                commit::update_index(repo, old, new, &record.patch).await?;
                states.before.apply_beneath(root)?;
                return Ok(Recovered::Completed);
            }
            if states.before.is_empty() {
                // The files were written and edited since: the landing was complete.
                commit::update_index(repo, old, new, &record.patch).await?;
                return Ok(Recovered::Completed);
            }
            undo(Some(repo), root, record).await?;
            Ok(Recovered::RolledBack { left: states.other })
        }
        (Moves::Other { reference, new, .. }, Some(repo)) => {
            let there = repo.resolve(reference).await?.as_deref() == Some(new);
            Ok(if there { Recovered::Completed } else { Recovered::Nothing })
        }
        (_, None) => Ok(Recovered::Nothing),
    }
}

fn recover_files(root: &Path, patch: &Patch) -> Result<Recovered> {
    let states = states(root, patch);
    if states.after.is_empty() {
        return Ok(Recovered::Nothing);
    }
    if states.other.is_empty() {
        states.before.apply_beneath(root)?;
        return Ok(Recovered::Completed);
    }
    if states.before.is_empty() {
        return Ok(Recovered::Completed);
    }
    states.after.inverse().apply_beneath(root)?;
    Ok(Recovered::RolledBack { left: states.other })
}

/// Takes back whatever of a landing is there; files that are neither as before nor as landed are left alone.
pub(super) async fn undo(repo: Option<&Repo>, root: &Path, record: &Record) -> Result<()> {
    remove_temporaries(root, &record.patch);
    if !matches!(record.moved, Moves::Other { .. }) {
        states(root, &record.patch).after.inverse().apply_beneath(root)?;
    }
    match (&record.moved, repo) {
        (Moves::Current { reference, old, new }, Some(repo)) => {
            commit::update_index(repo, new, old, &record.patch).await?;
            if repo.resolve(reference).await?.as_deref() == Some(new) {
                repo.move_ref(reference, Some(new), old, &format!("{} taken back", reason(record))).await?;
            }
        }
        (Moves::Other { reference, old, new }, Some(repo)) => {
            let there = repo.resolve(reference).await?.as_deref() == Some(new);
            match old {
                Some(old) if there => repo.move_ref(reference, Some(new), old, "regreen: taken back").await?,
                None if there => repo.remove_ref(reference, new).await?,
                _ => {}
            }
        }
        _ => {}
    }
    Ok(())
}

/// Removes what a killed write left beside the files: contents under a temporary name that were not renamed yet.
pub(super) fn remove_temporaries(root: &Path, patch: &Patch) {
    let mut folders: Vec<_> = patch.iter().map(|(path, _)| path.parent()).collect();
    folders.dedup();
    for folder in folders {
        // Through a link nothing was written, and nothing is removed.
        let real = std::iter::successors(folder.clone(), RelPath::parent)
            .all(|above| above.under(root).symlink_metadata().is_ok_and(|meta| meta.is_dir()));
        if !real {
            continue;
        }
        let place = folder.map_or(root.to_path_buf(), |folder| folder.under(root));
        for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let ours = name
                .to_str()
                .and_then(|name| name.strip_prefix(".regreen-"))
                .is_some_and(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()));
            if ours && entry.file_type().is_ok_and(|kind| kind.is_file()) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// The changes of `patch` whose file is as landed, and those whose file is neither so nor as before.
pub(super) fn landed_part(root: &Path, patch: &Patch) -> (Vec<(RelPath, Change)>, Vec<RelPath>) {
    let states = states(root, patch);
    let after = states.after.iter().map(|(path, change)| (path.clone(), change.clone())).collect();
    (after, states.other)
}
