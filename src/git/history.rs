//! What was committed: single changes of the past as patches, and the files that they were made on.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, Result};

use super::difference::{blobs, files};
use super::{Entry, Repo};
use crate::patch::{Change, FileState, Patch, RelPath};

/// Blobs are read in groups of so many: one group is in memory at a time.
const GROUP: usize = 500;

/// A commit with one parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// Its id.
    pub id: String,
    /// Its parent's id.
    pub parent: String,
    /// The first line of its message, at most 200 characters.
    pub subject: String,
}

impl Repo {
    /// The commits with exactly one parent that lead to `tip`, newest first.
    ///
    /// # Errors
    /// Where git fails, for instance because `tip` is no commit.
    pub async fn past(&self, tip: &str) -> Result<Vec<Past>> {
        let words = ["log", "-z", "--min-parents=1", "--max-parents=1", "--format=%H%x09%P%x09%s", tip, "--"];
        let listed = self.git().bytes(&words).await?;
        let record = |record: &[u8]| {
            let text = String::from_utf8_lossy(record);
            let mut words = text.splitn(3, '\t');
            let (id, parent, subject) = (words.next()?, words.next()?, words.next()?);
            let subject = subject.chars().take(200).collect();
            Some(Past { id: id.to_owned(), parent: parent.to_owned(), subject })
        };
        Ok(listed.split(|byte| *byte == 0).filter_map(record).collect())
    }

    /// What a commit changed; `None` where links or submodules are among it, which no patch can tell, or more than `most` files.
    ///
    /// # Errors
    /// Where git fails, for instance because an object is missing.
    pub async fn patch_of(&self, past: &Past, most: usize) -> Result<Option<Patch>> {
        let words = ["diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", &past.parent, &past.id];
        let listed = self.git().bytes(&words).await?;
        let mut fields = listed.split(|byte| *byte == 0).filter(|field| !field.is_empty());
        let mut changed: Vec<(RelPath, [Option<Entry>; 2])> = Vec::new();
        while let (Some(head), Some(path)) = (fields.next(), fields.next()) {
            let head = String::from_utf8_lossy(head);
            let mut words = head.trim_start_matches(':').split(' ');
            let modes = [words.next().unwrap_or_default(), words.next().unwrap_or_default()];
            let ids = [words.next().unwrap_or_default(), words.next().unwrap_or_default()];
            let known = |mode: &str| matches!(mode, "000000" | "100644" | "100755");
            let path = std::str::from_utf8(path).ok().and_then(|path| RelPath::new(path).ok());
            let Some(path) = path.filter(|_| modes.into_iter().all(known)) else { return Ok(None) };
            let entry = |at: usize| {
                (modes[at] != "000000").then(|| Entry { mode: modes[at].to_owned(), id: ids[at].to_owned() })
            };
            changed.push((path, [entry(0), entry(1)]));
            if changed.len() > most {
                return Ok(None);
            }
        }
        let ids: Vec<String> = changed
            .iter()
            .flat_map(|(_, sides)| sides.iter().flatten())
            .map(|entry| entry.id.clone())
            .collect();
        let blobs = blobs(self.git(), &ids).await?;
        let state = |entry: &Option<Entry>| {
            let entry = entry.as_ref()?;
            Some(FileState { bytes: blobs.get(&entry.id)?.clone(), executable: entry.mode == "100755" })
        };
        let changes = changed.iter().map(|(path, [before, after])| {
            (path.clone(), Change { before: state(before), after: state(after) })
        });
        Ok(Some(changes.collect()))
    }
}

/// A folder of its own that holds the regular files of one commit after the other; only what differs is written.
#[derive(Debug)]
pub struct Scene<'r> {
    repo: &'r Repo,
    folder: tempfile::TempDir,
    files: BTreeMap<RelPath, Entry>,
}

impl<'r> Scene<'r> {
    /// An empty one.
    ///
    /// # Errors
    /// Where no folder can be made.
    pub fn new(repo: &'r Repo) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a scratch folder")?;
        Ok(Self { repo, folder, files: BTreeMap::new() })
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Makes it hold the files of `commit`. Links and submodules are left out.
    ///
    /// # Errors
    /// Where git or the disk fails.
    pub async fn show(&mut self, commit: &str) -> Result<()> {
        let mut wanted = files(self.repo.git(), commit).await?;
        wanted.retain(|_, entry| matches!(entry.mode.as_str(), "100644" | "100755"));
        for path in self.files.keys().filter(|path| !wanted.contains_key(*path)) {
            let place = path.under(self.root());
            std::fs::remove_file(&place).with_context(|| format!("cannot remove {}", place.display()))?;
            // What is empty goes too: a file may stand there next.
            let mut above = path.parent();
            while let Some(folder) =
                above.filter(|folder| std::fs::remove_dir(folder.under(self.root())).is_ok())
            {
                above = folder.parent();
            }
        }
        let fresh: Vec<(&RelPath, &Entry)> = wanted
            .iter()
            .filter(|(path, entry)| self.files.get(*path).map(|had| &had.id) != Some(&entry.id))
            .collect();
        for group in fresh.chunks(GROUP) {
            let ids: Vec<String> = group.iter().map(|(_, entry)| entry.id.clone()).collect();
            let contents: HashMap<String, Vec<u8>> = blobs(self.repo.git(), &ids).await?;
            for (path, entry) in group {
                let place = path.under(self.root());
                if let Some(folder) = place.parent() {
                    std::fs::create_dir_all(folder)?;
                }
                let bytes = contents.get(&entry.id).map(Vec::as_slice).unwrap_or_default();
                std::fs::write(&place, bytes).with_context(|| format!("cannot write {}", place.display()))?;
            }
        }
        self.files = wanted;
        Ok(())
    }
}
