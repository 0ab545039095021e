//! Links inside a git folder lead what git writes out of it: reflogs are appended to through them, refs are made behind them.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::fault::Fault;

/// What git writes at the top of its folder. Hooks and the configuration are not among them: those are only read, and people link them.
const WRITTEN: &[&str] = &["HEAD", "ORIG_HEAD", "index", "packed-refs", "shallow", "logs", "refs", "objects"];
/// Folders that git writes into at any depth.
const DEEP: &[&str] = &["logs", "refs"];

/// Refuses git folders in which a link stands where git writes.
///
/// # Errors
/// A [`Fault`] (exit 2) that names the link.
pub(super) fn refuse(folders: [&Path; 2]) -> Result<()> {
    let [own, common] = folders;
    let folders = if own == common { vec![own] } else { vec![own, common] };
    match folders.into_iter().find_map(link) {
        None => Ok(()),
        Some(link) => Err(Fault::usage(format!("{} is a link: git would write through it", link.display()))
            .hint("replace it by what it leads to; for a second work tree of a repository use `git worktree add`")
            .into()),
    }
}

/// The first link that stands where git writes.
fn link(folder: &Path) -> Option<PathBuf> {
    let top = WRITTEN.iter().map(|name| folder.join(name)).find(|path| path.is_symlink());
    let objects = folder.join("objects");
    top.or_else(|| DEEP.iter().find_map(|name| below(&folder.join(name), true)))
        .or_else(|| below(&objects, false))
}

fn below(folder: &Path, deep: bool) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_symlink() {
            return Some(entry.path());
        }
        if deep
            && kind.is_dir()
            && let Some(found) = below(&entry.path(), true)
        {
            return Some(found);
        }
    }
    None
}
