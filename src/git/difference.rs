//! What stands between the work tree and a commit, as a patch.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result};

use super::blobs::tree_entries;
use super::{Entry, Git, Repo, Snapshot, Snapshots};
use crate::fault::Fault;
use crate::patch::{Change, FileState, Patch, RelPath};

/// The most that a work tree's files may differ from a commit's by, in bytes: all of it is kept in memory, and in the run's first event.
const MOST_DIFFERENCE: u64 = 16 << 20;
/// How many paths a refusal names.
const MOST_NAMED: usize = 5;

impl Snapshots {
    /// The changes that make of the work tree, as `snapshot` has it, the files of `commit`. Files that differ in nothing but line endings
    /// count as equal: there the work tree's form is the one that the commit's attributes ask for.
    ///
    /// # Errors
    /// A [`Fault`] (exit 3) where links or submodules differ, which no patch can tell, or more than 16 MiB do; else where an object is
    /// missing, or git fails.
    pub async fn patch_to(&self, snapshot: &Snapshot, repo: &Repo, commit: &str) -> Result<Patch> {
        let here = files(self.git(), &snapshot.tree).await?;
        let there = files(repo.git(), commit).await?;
        let paths: BTreeSet<&RelPath> = here.keys().chain(there.keys()).collect();
        let differing: Vec<&RelPath> = paths
            .into_iter()
            .filter(|path| here.get(*path) != there.get(*path))
            // A submodule is in no snapshot; its own commit is looked at below.
            .filter(|path| here.contains_key(*path) || !there.get(*path).is_some_and(is_submodule))
            .collect();
        let both = |path: &RelPath| [here.get(path), there.get(path)].into_iter().flatten().all(is_regular);
        let mut strange: Vec<&RelPath> = differing.iter().copied().filter(|path| !both(path)).collect();
        strange.extend(moved_submodules(repo, &there).await?);
        refuse_strange(strange)?;
        let ids = |files: &BTreeMap<RelPath, Entry>| -> Vec<String> {
            differing.iter().filter_map(|path| files.get(*path)).map(|entry| entry.id.clone()).collect()
        };
        let (before, after) = (ids(&here), ids(&there));
        refuse_large(size(self.git(), &before).await?.saturating_add(size(repo.git(), &after).await?))?;
        let before = blobs(self.git(), &before).await?;
        let after = blobs(repo.git(), &after).await?;
        let state = |entry: Option<&Entry>, blobs: &HashMap<String, Vec<u8>>| {
            let entry = entry?;
            let bytes = blobs.get(&entry.id)?.clone();
            Some(FileState { bytes, executable: entry.mode == "100755" })
        };
        let changes = differing.into_iter().filter_map(|path| {
            let before = state(here.get(path), &before);
            let after = state(there.get(path), &after);
            match (&before, &after) {
                (Some(one), Some(other))
                    if one.executable == other.executable && same_but_for_endings(one, other) =>
                {
                    None
                }
                _ => Some((path.clone(), Change { before, after })),
            }
        });
        Ok(changes.collect())
    }

    /// The changes that take back what is not committed: from the work tree to `HEAD`, or nothing before the first commit.
    ///
    /// # Errors
    /// As [`Snapshots::patch_to`].
    pub async fn back_to_head(&self, snapshot: &Snapshot, repo: &Repo) -> Result<Patch> {
        match repo.head().await? {
            Some(head) => self.patch_to(snapshot, repo, &head).await,
            None => Ok(Patch::new()),
        }
    }
}

fn is_regular(entry: &Entry) -> bool {
    matches!(entry.mode.as_str(), "100644" | "100755")
}

fn is_submodule(entry: &Entry) -> bool {
    entry.mode == "160000"
}

/// Submodules that stand at another commit than `there` has them at, in the index or checked out. One that is not checked out is
/// as good as the commit's.
async fn moved_submodules<'t>(repo: &Repo, there: &'t BTreeMap<RelPath, Entry>) -> Result<Vec<&'t RelPath>> {
    let submodules: Vec<(&RelPath, &Entry)> = there.iter().filter(|(_, entry)| is_submodule(entry)).collect();
    let paths: Vec<&RelPath> = submodules.iter().map(|(path, _)| *path).collect();
    let indexed = repo.index_entries(&paths).await?;
    let mut moved = Vec::new();
    for ((path, entry), indexed) in submodules.into_iter().zip(indexed) {
        let place = path.under(repo.root());
        let checked_out = match place.join(".git").symlink_metadata() {
            Ok(_) => {
                let words = ["rev-parse", "--verify", "--quiet", "HEAD^{commit}"];
                let said = repo.git().clone().at(&place)?.run(&words).await?;
                String::from_utf8_lossy(&said.stdout).trim() == entry.id
            }
            Err(_) => true,
        };
        if !checked_out || indexed.is_some_and(|indexed| indexed != *entry) {
            moved.push(path);
        }
    }
    Ok(moved)
}

fn refuse_strange(mut paths: Vec<&RelPath>) -> Result<(), Fault> {
    paths.sort();
    paths.dedup();
    if paths.is_empty() {
        return Ok(());
    }
    let more = if paths.len() > MOST_NAMED {
        format!(" and {} more", paths.len() - MOST_NAMED)
    } else {
        String::new()
    };
    let names: Vec<&str> = paths.iter().take(MOST_NAMED).map(|path| path.as_str()).collect();
    let message = format!("links or submodules are not as in the commit: {}{more}", names.join(", "));
    Err(Fault::policy(message).hint("commit or undo these changes first, or use --land worktree"))
}

fn refuse_large(size: u64) -> Result<(), Fault> {
    if size <= MOST_DIFFERENCE {
        return Ok(());
    }
    let message = format!(
        "{} MiB of files are not as in the commit: {} MiB is the most",
        size >> 20,
        MOST_DIFFERENCE >> 20
    );
    Err(Fault::policy(message)
        .hint("ignore the large files in .gitignore or commit them, or use --land worktree"))
}

fn same_but_for_endings(one: &FileState, other: &FileState) -> bool {
    let bare = |file: &FileState| -> Vec<u8> {
        let mut bytes = file.bytes.clone();
        let mut at = 0;
        bytes.retain(|_| {
            at += 1;
            !(file.bytes[at - 1] == b'\r' && file.bytes.get(at) == Some(&b'\n'))
        });
        bytes
    };
    bare(one) == bare(other)
}

/// The entries of a tree by path; paths that no patch can name are left out.
pub(super) async fn files(git: &Git, tree: &str) -> Result<BTreeMap<RelPath, Entry>> {
    let listed = git.bytes(&["ls-tree", "-r", "-z", "--full-tree", tree]).await?;
    let named = tree_entries(&listed).into_iter().filter_map(|(path, entry)| {
        let path = RelPath::new(std::str::from_utf8(&path).ok()?).ok()?;
        Some((path, entry))
    });
    Ok(named.collect())
}

/// How large blobs are together, in bytes.
async fn size(git: &Git, ids: &[String]) -> Result<u64> {
    if ids.is_empty() {
        return Ok(0);
    }
    let asked = ids.join("\n") + "\n";
    let words = ["cat-file", "--buffer", "--batch-check=%(objectsize)"];
    let said = git.bytes_from(&words, Some(asked.into_bytes())).await?;
    let sizes = String::from_utf8_lossy(&said);
    Ok(sizes.lines().filter_map(|size| size.parse::<u64>().ok()).fold(0, u64::saturating_add))
}

/// The contents of blobs by id.
pub(super) async fn blobs(git: &Git, ids: &[String]) -> Result<HashMap<String, Vec<u8>>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let asked = ids.join("\n") + "\n";
    let said = git.bytes_from(&["cat-file", "--batch"], Some(asked.into_bytes())).await?;
    let mut rest = said.as_slice();
    let mut found = HashMap::new();
    while !rest.is_empty() {
        let end =
            rest.iter().position(|byte| *byte == b'\n').context("git cat-file ended within a header")?;
        let header = std::str::from_utf8(&rest[..end])?;
        let mut words = header.split(' ');
        let (id, kind, size) = (words.next().unwrap_or_default(), words.next(), words.next());
        anyhow::ensure!(kind == Some("blob"), "git has no file {id}");
        let size: usize = size.unwrap_or_default().parse()?;
        let body = rest.get(end + 1..end + 1 + size).context("git cat-file ended within a file")?;
        found.insert(id.to_owned(), body.to_vec());
        rest = rest.get(end + 2 + size..).unwrap_or_default();
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_endings_alone_are_no_difference() {
        let lf = FileState::text("a\nb\n");
        assert!(same_but_for_endings(&lf, &FileState::text("a\r\nb\r\n")));
        assert!(!same_but_for_endings(&lf, &FileState::text("a\nb")));
        assert!(!same_but_for_endings(&FileState::text("a\rb"), &FileState::text("ab")));
    }
}
