//! Whether anybody touched the work tree between two moments, even who put back what was there.
//!
//! Attempts are layers over the tree as it lies there, so what checks see is what lies there at that moment. A file that is changed and changed
//! back leaves the same contents behind, but not the same times: the kernel sets `ctime` at every change, and no ordinary user can set it back.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};

use anyhow::{Context, Result};

use super::Snapshots;

/// How often a tree is looked at again that is touched while it is looked at.
const TRIES: usize = 3;

/// A work tree that nobody touched while it was looked at.
#[derive(Debug)]
pub struct Still {
    /// Its tree, as in [`super::Snapshot`]; `None` where it was touched each time it was looked at.
    pub tree: Option<String>,
    stamps: Stamps,
}

/// The files of a tree that git does not ignore and the folders that they lie in, from the root on. A folder's times tell of files that came
/// or went.
type Stamps = BTreeMap<PathBuf, Option<Stamp>>;

/// What changes with a file: device, inode, mode, size, and both times in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    mode: u32,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// `None` where there is nothing.
    fn of(path: &Path) -> io::Result<Option<Self>> {
        let meta = match path.symlink_metadata() {
            Ok(meta) => meta,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        // The size of a folder says nothing that its times do not.
        let size = if meta.is_dir() { 0 } else { meta.size() };
        Ok(Some(Self {
            inode: (meta.dev(), meta.ino()),
            mode: meta.mode(),
            size,
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }))
    }
}

impl Snapshots {
    /// The tree as it is now, and what tells later whether it was touched since. Fast where it was looked at before and nobody touched it.
    ///
    /// # Errors
    /// As [`Snapshots::take`].
    pub async fn stand(&self) -> Result<Arc<Still>> {
        let known = self.still().clone();
        if let Some(known) = known
            && self.touched(&known).await?.is_empty()
        {
            return Ok(known);
        }
        let mut tries = 0;
        loop {
            tries += 1;
            let files = self.paths().await?;
            let stamps = self.stamps(files.clone()).await?;
            let still = Still { tree: Some(self.tree_of(files).await?), stamps };
            if self.touched(&still).await?.is_empty() {
                let still = Arc::new(still);
                *self.still() = Some(Arc::clone(&still));
                return Ok(still);
            }
            if tries == TRIES {
                return Ok(Arc::new(Still { tree: None, ..still }));
            }
        }
    }

    fn still(&self) -> MutexGuard<'_, Option<Arc<Still>>> {
        self.still.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was touched since: files, and folders in which something came or went. Sorted, relative to the root; the root itself is `.`.
    ///
    /// # Errors
    /// Where a file cannot be looked at.
    pub async fn touched(&self, since: &Still) -> Result<Vec<String>> {
        let (root, before) = (self.root().to_owned(), since.stamps.clone());
        let compared = tokio::task::spawn_blocking(move || -> io::Result<Vec<String>> {
            let mut touched = Vec::new();
            for (path, stamp) in before {
                if Stamp::of(&root.join(&path))? != stamp {
                    let name = if path.as_os_str().is_empty() { Path::new(".") } else { &path };
                    touched.push(name.to_string_lossy().into_owned());
                }
            }
            Ok(touched)
        });
        compared.await.context("looking at the files failed")?.context("looking at the files")
    }

    async fn stamps(&self, files: HashSet<Vec<u8>>) -> Result<Stamps> {
        let root = self.root().to_owned();
        let looked = tokio::task::spawn_blocking(move || -> io::Result<Stamps> {
            let mut stamps = Stamps::new();
            for file in files {
                let mut path = Path::new(OsStr::from_bytes(&file));
                // A file and its folders, up to the first that is known: those above it are known, too.
                while !stamps.contains_key(path) {
                    stamps.insert(path.to_owned(), Stamp::of(&root.join(path))?);
                    let Some(above) = path.parent() else { break };
                    path = above;
                }
            }
            Ok(stamps)
        });
        looked.await.context("looking at the files failed")?.context("looking at the files")
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Field;

    #[tokio::test]
    async fn what_was_put_back_is_known_to_have_been_touched() {
        let field =
            Field::with(&[("a", "1"), ("src/deep/b", "2"), ("src/c", "3"), (".gitignore", "/out\n")]).await;
        field.write("out/ignored", "4");
        field.write("new", "5");
        let snapshots = field.snapshots(Some(&field.repo().await)).await;
        let still = snapshots.stand().await.unwrap();
        let tree = still.tree.clone().unwrap();
        assert_eq!(snapshots.touched(&still).await.unwrap(), Vec::<String>::new());
        std::fs::read(field.root.join("a")).unwrap();
        field.write("out/ignored", "more");
        field.write("out/other", "more");
        assert_eq!(snapshots.touched(&still).await.unwrap(), Vec::<String>::new(), "what git ignores");

        let root = field.root.clone();
        let at = move |path: &str| root.join(path);
        let ways: &[(&dyn Fn(), &[&str])] = &[
            (&|| std::fs::write(at("a"), "1").unwrap(), &["a"]),
            (
                &|| {
                    // As a copy with its times, which any user can set, and as editors save.
                    let like = std::fs::metadata(at("src/c")).unwrap().modified().unwrap();
                    std::fs::write(at("src/c~"), "3").unwrap();
                    std::fs::File::options()
                        .write(true)
                        .open(at("src/c~"))
                        .unwrap()
                        .set_modified(like)
                        .unwrap();
                    std::fs::rename(at("src/c~"), at("src/c")).unwrap();
                },
                &["src", "src/c"],
            ),
            (
                &|| {
                    std::fs::rename(at("src/deep"), at("src/away")).unwrap();
                    std::fs::rename(at("src/away"), at("src/deep")).unwrap();
                },
                &["src", "src/deep"],
            ),
            (
                &|| {
                    std::fs::write(at("src/deep/extra"), "").unwrap();
                    std::fs::remove_file(at("src/deep/extra")).unwrap();
                },
                &["src/deep"],
            ),
            (
                &|| {
                    std::fs::remove_file(at("new")).unwrap();
                    std::fs::write(at("new"), "5").unwrap();
                },
                &[".", "new"],
            ),
        ];
        for (touch, names) in ways {
            let still = snapshots.stand().await.unwrap();
            touch();
            assert_eq!(snapshots.touched(&still).await.unwrap(), *names);
            assert_eq!(snapshots.current_tree().await.unwrap(), tree, "{names:?}");
        }
    }
}
