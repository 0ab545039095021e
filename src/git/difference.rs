//! What stands between the work tree and a commit, as a patch.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::blobs::tree_entries;
use super::{Entry, Git, Repo, Snapshot, Snapshots};
use crate::fault::Fault;
use crate::patch::{Change, FileState, Patch, RelPath};

/// The most that a work tree's files may differ from a commit's by, in bytes: all of it is kept in memory, and in the run's first event.
const MOST_DIFFERENCE: u64 = 16 << 20;
/// How many paths a refusal names.
const MOST_NAMED: usize = 5;

/// What makes of a work tree the files of a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// The changes.
    pub patch: Patch,
    /// Files that the commit does not have and that are too large for the patch: they only have to be out of sight.
    pub hidden: Vec<RelPath>,
}

impl Snapshots {
    /// The changes that make of the work tree, as `snapshot` has it, the files of `commit`. Files that differ in nothing but line endings
    /// count as equal: there the work tree's form is the one that the commit's attributes ask for.
    ///
    /// # Errors
    /// A [`Fault`] (exit 3) where links or submodules differ, which no patch can tell, or files of the commit do by more than 16 MiB; else
    /// where an object is missing, or git fails.
    pub async fn patch_to(&self, snapshot: &Snapshot, repo: &Repo, commit: &str) -> Result<Difference> {
        let here = files(self.git(), &snapshot.tree).await?;
        let there = files(repo.git(), commit).await?;
        let paths: BTreeSet<&RelPath> = here.keys().chain(there.keys()).collect();
        let differing: Vec<&RelPath> = paths
            .into_iter()
            .filter(|path| here.get(*path) != there.get(*path))
            // A submodule is in no snapshot; its own commit is looked at below.
            .filter(|path| here.contains_key(*path) || !there.get(*path).is_some_and(Entry::is_submodule))
            .filter(|path| here.contains_key(*path) || !self.leaves_out(Path::new(path.as_str())))
            .collect();
        let differing = self.but_for_pointers(repo, differing, &here, &there).await?;
        let both = |path: &RelPath| [here.get(path), there.get(path)].into_iter().flatten().all(is_regular);
        let mut strange: Vec<&RelPath> = differing.iter().copied().filter(|path| !both(path)).collect();
        strange.extend(moved_submodules(repo, &there).await?);
        refuse_strange(strange)?;
        let (differing, mut hidden) = self.out_of_sight(differing, &here, &there).await?;
        let large = self.too_large().await?.into_iter();
        let large = large.filter_map(|path| RelPath::new(path.to_str()?).ok());
        hidden.extend(large.filter(|path| !there.contains_key(path)));
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
        Ok(Difference { patch: changes.collect(), hidden })
    }

    /// Takes the largest files that the commit does not have out of `differing`, until the others fit into a patch.
    async fn out_of_sight<'p>(
        &self,
        differing: Vec<&'p RelPath>,
        here: &BTreeMap<RelPath, Entry>,
        there: &BTreeMap<RelPath, Entry>,
    ) -> Result<(Vec<&'p RelPath>, Vec<RelPath>)> {
        let ids: Vec<String> =
            differing.iter().filter_map(|path| here.get(*path)).map(|entry| entry.id.clone()).collect();
        let sizes: HashMap<String, u64> = ids.iter().cloned().zip(sizes(self.git(), &ids).await?).collect();
        let size =
            |path: &RelPath| here.get(path).and_then(|entry| sizes.get(&entry.id)).copied().unwrap_or(0);
        let mut total = differing.iter().fold(0u64, |sum, path| sum.saturating_add(size(path)));
        let mut extra: Vec<&RelPath> =
            differing.iter().copied().filter(|path| !there.contains_key(*path)).collect();
        extra.sort_by_key(|path| size(path));
        let mut hidden = BTreeSet::new();
        while total > MOST_DIFFERENCE
            && let Some(largest) = extra.pop()
        {
            total = total.saturating_sub(size(largest));
            hidden.insert(largest);
        }
        let left = differing.into_iter().filter(|path| !hidden.contains(path)).collect();
        Ok((left, hidden.into_iter().cloned().collect()))
    }

    /// `differing` without the files that git-lfs keeps elsewhere: the commit has a pointer to the contents that the work tree has.
    async fn but_for_pointers<'p>(
        &self,
        repo: &Repo,
        differing: Vec<&'p RelPath>,
        here: &BTreeMap<RelPath, Entry>,
        there: &BTreeMap<RelPath, Entry>,
    ) -> Result<Vec<&'p RelPath>> {
        let in_both = |path: &&RelPath| {
            let (here, there) = (here.get(*path)?, there.get(*path)?);
            (is_regular(here) && here.mode == there.mode).then(|| there.id.clone())
        };
        let ids: Vec<String> = differing.iter().filter_map(in_both).collect();
        let mut short = Vec::new();
        for (id, size) in ids.iter().zip(sizes(repo.git(), &ids).await?) {
            if size <= POINTER {
                short.push(id.clone());
            }
        }
        let stored = blobs(repo.git(), &short).await?;
        let mut left = Vec::new();
        for path in differing {
            let pointer = there.get(path).and_then(|entry| pointer(stored.get(&entry.id)?));
            let place = path.under(repo.root());
            let same = match (pointer, here.get(path)) {
                (Some(pointer), Some(_)) => {
                    tokio::task::spawn_blocking(move || points_to(&pointer, &place)).await?
                }
                _ => false,
            };
            if !same {
                left.push(path);
            }
        }
        Ok(left)
    }

    /// The changes that take back what is not committed: from the work tree to `HEAD`, or nothing before the first commit.
    ///
    /// # Errors
    /// As [`Snapshots::patch_to`].
    pub async fn back_to_head(&self, snapshot: &Snapshot, repo: &Repo) -> Result<Difference> {
        match repo.head().await? {
            Some(head) => {
                self.patch_to(snapshot, repo, &head).await.map_err(|error| match error.downcast::<Fault>() {
                    Ok(mut fault) => {
                        fault.hint = fault
                            .hint
                            .map(|hint| format!("{hint}. --land worktree builds on them as they are"));
                        fault.into()
                    }
                    Err(error) => error,
                })
            }
            None => Ok(Difference::default()),
        }
    }
}

fn is_regular(entry: &Entry) -> bool {
    matches!(entry.mode.as_str(), "100644" | "100755")
}

/// Submodules that stand at another commit than `there` has them at, in the index or checked out. One that is not checked out is
/// as good as the commit's.
async fn moved_submodules<'t>(repo: &Repo, there: &'t BTreeMap<RelPath, Entry>) -> Result<Vec<&'t RelPath>> {
    let submodules: Vec<(&RelPath, &Entry)> =
        there.iter().filter(|(_, entry)| entry.is_submodule()).collect();
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
    Err(Fault::policy(message).hint("commit or undo these changes first; nothing was changed"))
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
        .hint("commit or undo the changes of the large files first; nothing was changed"))
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

/// The largest pointer of git-lfs, in bytes: so its specification says.
const POINTER: u64 = 1024;

/// Digest (SHA-256, hexadecimal) and size that a pointer of git-lfs names; `None` for any other file.
fn pointer(bytes: &[u8]) -> Option<(String, u64)> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.starts_with("version "))?;
    let named = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    let digest = named("oid sha256:")?;
    let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some((is_digest.then(|| digest.to_ascii_lowercase())?, named("size ")?.parse().ok()?))
}

/// Whether the file at `place` has the contents that a pointer names.
fn points_to((digest, size): &(String, u64), place: &Path) -> bool {
    let Ok(mut file) = std::fs::File::open(place) else { return false };
    if !file.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == *size) {
        return false;
    }
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return hex::encode(hash.finalize()) == *digest,
            Ok(read) => hash.update(&buffer[..read]),
            Err(_) => return false,
        }
    }
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

/// A file's content that the repo does not have: its clone is a partial one, or broken.
#[derive(Debug, thiserror::Error)]
#[error("git has no file {id}; clone the repository whole")]
pub struct Missing {
    /// The id of the content.
    pub id: String,
}

/// How large blobs are together, in bytes.
async fn size(git: &Git, ids: &[String]) -> Result<u64> {
    Ok(sizes(git, ids).await?.into_iter().fold(0, u64::saturating_add))
}

/// How large each blob is, in bytes; 0 for one that is not there.
async fn sizes(git: &Git, ids: &[String]) -> Result<Vec<u64>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let asked = ids.join("\n") + "\n";
    let words = ["cat-file", "--buffer", "--batch-check=%(objectsize)"];
    let said = git.bytes_from(&words, Some(asked.into_bytes())).await?;
    let sizes = String::from_utf8_lossy(&said);
    Ok(sizes.lines().map(|size| size.parse::<u64>().unwrap_or(0)).collect())
}

/// The contents of blobs by id.
pub(super) async fn blobs(git: &Git, ids: &[String]) -> Result<HashMap<String, Vec<u8>>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let asked = ids.join("\n") + "\n";
    read_blobs(&git.bytes_from(&["cat-file", "--batch"], Some(asked.into_bytes())).await?)
}

/// The blobs that `cat-file --batch` printed, by id.
pub(super) fn read_blobs(mut rest: &[u8]) -> Result<HashMap<String, Vec<u8>>> {
    let mut found = HashMap::new();
    while !rest.is_empty() {
        let end =
            rest.iter().position(|byte| *byte == b'\n').context("git cat-file ended within a header")?;
        let header = std::str::from_utf8(&rest[..end])?;
        let mut words = header.split(' ');
        let (id, kind, size) = (words.next().unwrap_or_default(), words.next(), words.next());
        anyhow::ensure!(kind != Some("missing"), Missing { id: id.to_owned() });
        anyhow::ensure!(kind == Some("blob"), "git has no file {id}");
        let size: usize = size.unwrap_or_default().parse()?;
        let (body, after) =
            rest[end + 1..].split_at_checked(size).context("git cat-file ended within a file")?;
        found.insert(id.to_owned(), body.to_vec());
        rest = after.get(1..).unwrap_or_default();
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
