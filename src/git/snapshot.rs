//! Byte-exact copies of a work tree, dirty and untracked files included, in a private git folder.
//!
//! The private folder has configuration of its own, and attributes that switch every conversion off: a file goes in as it is on
//! disk, and no program of the repository's has a say. Only what the repository lacks is written. It works for folders that are
//! no repositories, too.

use std::collections::{HashMap, HashSet};
use std::fs::{File, Metadata};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::blobs::index_entries;
use super::{Git, Identity, Repo, Still};
use crate::config::Environment;
use crate::fault::Fault;
use crate::scratch::{self, Folder};

/// Switches off whatever would change a file's bytes or run a program; stronger than any `.gitattributes`.
const ATTRIBUTES: &str = "* -text -eol -filter -ident -working-tree-encoding -merge -diff\n";

/// Where private folders are, below the state folder.
const FOLDER: &str = "snapshots";

/// How the names of private folders begin that are being made.
const MAKING: &str = "making-";

/// How often objects are collected.
const COLLECTED: Duration = Duration::from_secs(24 * 3600);

/// The largest file in a snapshot that git does not track, in bytes: hashing a larger one holds up every run, and no patch touches it.
const LARGEST: u64 = 256 << 20;

/// A work tree at a moment.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Snapshot {
    /// The commit in the private folder, without parents.
    pub commit: String,
    /// Its tree: two moments with the same tree have the same files.
    pub tree: String,
}

/// Takes snapshots of one work tree.
#[derive(Debug, Clone)]
pub struct Snapshots {
    root: PathBuf,
    private: PathBuf,
    /// On the private folder, with the tree's root as its work tree.
    git: Git,
    repo: Option<Repo>,
    /// Files that are never part of a snapshot, as device and inode: this process writes into them while it looks.
    left_out: Vec<(u64, u64)>,
    /// How the tree was found the last time that nobody touched it meanwhile.
    pub(super) still: Arc<Mutex<Option<Arc<Still>>>>,
}

impl Snapshots {
    /// Removes what killed processes left below the state folder while they made a private folder; how many that were.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn sweep(state: &Path) -> std::io::Result<usize> {
        scratch::sweep(&state.join(FOLDER), MAKING)
    }

    /// Opens the private folder of the tree at `root` below the state folder, and makes it where there is none. `repo` is the
    /// repository that the tree belongs to, if any; its root must be `root`.
    ///
    /// # Errors
    /// Where git or the disk fails.
    pub async fn open(
        root: &Path,
        repo: Option<&Repo>,
        state: &Path,
        environment: &Environment,
    ) -> Result<Self> {
        let root = root.canonicalize().with_context(|| format!("cannot open {}", root.display()))?;
        let format = repo.map_or("sha1", Repo::object_format);
        let name = hex::encode(&Sha256::digest(root.as_os_str().as_bytes())[..12]);
        let private = state.join(FOLDER).join(format!("{name}-{format}.git"));
        if !private.exists() {
            make_private(&private, format, environment).await?;
        }
        // What the repository has already need not be written again. Should it lose an object, the next look at the tree writes
        // its own (see `current_tree`); a colon would end the path.
        let objects = repo.map(|repo| text(&repo.common_dir().join("objects"))).transpose()?;
        let objects = objects.filter(|path| !path.contains([':', '"', '\\'])).unwrap_or_default();
        let git = Git::new(environment)
            .at(&root)?
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", &objects)
            .env("GIT_DIR", &text(&private)?)
            .env("GIT_WORK_TREE", &text(&root)?)
            .setting("core.bare", "false")
            .setting("core.fileMode", "true")
            .setting("core.symlinks", "true")
            .setting("core.ignoreCase", "false")
            .setting("core.autocrlf", "false")
            .setting("core.protectHFS", "true")
            .setting("core.sparseCheckout", "false")
            .setting("core.preloadIndex", "true");
        let left_out = crate::process::own_outputs();
        Ok(Self { root, private, git, repo: repo.cloned(), left_out, still: Arc::default() })
    }

    /// Leaves these files out, too, given as device and inode.
    #[cfg(test)]
    pub(crate) fn leaving_out(mut self, files: &[(u64, u64)]) -> Self {
        self.left_out.extend_from_slice(files);
        self
    }

    /// Whether the file at `path` is one that this process writes its own output into, which changes while the tree is looked at, by
    /// nobody's wish, or a huge one: such are in no snapshot.
    pub fn leaves_out(&self, path: &Path) -> bool {
        let meta = self.root.join(path).symlink_metadata();
        meta.is_ok_and(|meta| meta.is_file() && (self.is_own(&meta) || meta.len() > LARGEST))
    }

    /// Whether this process writes its own output into the file.
    fn is_own(&self, meta: &Metadata) -> bool {
        self.left_out.contains(&(meta.dev(), meta.ino()))
    }

    /// The files that git neither tracks nor ignores and that are too large to be in a snapshot: over 256 MiB.
    ///
    /// # Errors
    /// Where git fails.
    pub async fn too_large(&self) -> Result<Vec<PathBuf>> {
        let large = self.listed().await?.large.into_iter();
        let mut found: Vec<PathBuf> =
            large.map(|path| PathBuf::from(std::ffi::OsString::from_vec(path))).collect();
        found.sort();
        Ok(found)
    }

    /// The files of the tree that are left out, of those that git does not ignore.
    ///
    /// # Errors
    /// Where git fails.
    pub async fn left_out(&self) -> Result<Vec<PathBuf>> {
        if self.left_out.is_empty() {
            return Ok(Vec::new());
        }
        let listed = self.listed().await?.paths;
        let paths = listed.into_iter().map(|path| PathBuf::from(std::ffi::OsString::from_vec(path)));
        let own = |path: &PathBuf| {
            let meta = self.root.join(path).symlink_metadata();
            meta.is_ok_and(|meta| meta.is_file() && self.is_own(&meta))
        };
        let mut found: Vec<PathBuf> = paths.filter(own).collect();
        found.sort();
        Ok(found)
    }

    /// The work tree's root.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The private folder's git, for reading objects.
    pub fn git(&self) -> &Git {
        &self.git
    }

    /// Takes a snapshot and keeps it under the run's name.
    ///
    /// # Errors
    /// Where git or the disk fails, or a file cannot be read.
    pub async fn take(&self, run: &str) -> Result<Snapshot> {
        let tree = self.current_tree().await?;
        let ours = Identity { name: "Regreen".to_owned(), email: "regreen@localhost".to_owned() };
        let message = format!("Work tree of run {run}\n");
        let git = self.git.clone().acting_as(&ours);
        let commit =
            git.text_from(&["commit-tree", "--no-gpg-sign", &tree, "-F", "-"], message.as_bytes()).await?;
        self.git.bytes(&["update-ref", &format!("refs/snapshots/{run}"), &commit]).await?;
        Ok(Snapshot { commit, tree })
    }

    /// The tree as it is now. Fast after the first time: only files whose times changed are read.
    ///
    /// # Errors
    /// As [`Snapshots::take`].
    pub async fn current_tree(&self) -> Result<String> {
        let files = self.paths().await?;
        self.tree_of(files).await
    }

    /// The tree that these files make up, as [`paths`](Self::paths) gave them.
    pub(super) async fn tree_of(&self, files: HashSet<Vec<u8>>) -> Result<String> {
        let lock = self.lock()?;
        let result = match self.update(&files).await {
            Ok(tree) => Ok(tree),
            Err(first) => {
                // A kept index that went bad must not be the end: once more from nothing.
                let _ = std::fs::remove_file(self.private.join("index"));
                self.update(&self.paths().await?).await.map_err(|_| first)
            }
        };
        drop(lock);
        result
    }

    /// Files that differ between two trees, sorted, lossily decoded.
    ///
    /// # Errors
    /// Where a tree is not there, or git fails.
    pub async fn changed(&self, from: &str, to: &str) -> Result<Vec<String>> {
        let words = ["diff-tree", "-r", "-z", "--name-only", "--no-renames", from, to];
        let listed = self.git.bytes(&words).await?;
        let names = listed.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
    }

    /// Makes the snapshot part of the user's repository under `reference`: only objects that it lacks are added.
    ///
    /// # Errors
    /// Where there is no repository, or git fails.
    pub async fn keep_in_repo(&self, snapshot: &Snapshot, reference: &str) -> Result<()> {
        let repo = self.repo.as_ref().context("there is no repository to keep the snapshot in")?;
        let words = ["rev-list", "--objects", "--no-object-names", &snapshot.commit];
        let all = self.git.bytes(&words).await?;
        let words = ["cat-file", "--buffer", "--batch-check=%(objectname)"];
        let known = repo.git().bytes_from(&words, Some(all)).await?;
        let missing: Vec<u8> = String::from_utf8_lossy(&known)
            .lines()
            .filter_map(|line| line.strip_suffix(" missing"))
            .flat_map(|id| format!("{id}\n").into_bytes())
            .collect();
        if !missing.is_empty() {
            // Through a pipe, because the two folders may lie on different file systems: git moves a finished pack by renaming it.
            let words = ["pack-objects", "-q", "--window=0", "--stdout"];
            let pack = self.git.bytes_from(&words, Some(missing)).await?;
            repo.git().bytes_from(&["index-pack", "--stdin"], Some(pack)).await?;
        }
        repo.git()
            .bytes(&["update-ref", "-m", "regreen: backup", reference, &snapshot.commit])
            .await
            .map(drop)
    }

    /// Forgets the snapshot of a run; its objects go with [`Snapshots::collect`].
    ///
    /// # Errors
    /// Where git fails.
    pub async fn forget(&self, run: &str) -> Result<()> {
        self.git.bytes(&["update-ref", "-d", &format!("refs/snapshots/{run}")]).await.map(drop)
    }

    /// Removes objects that no snapshot of the last two weeks needs. Slow; for idle moments.
    ///
    /// # Errors
    /// Where git fails.
    pub async fn collect(&self) -> Result<()> {
        let _lock = self.lock()?;
        self.git.bytes(&["prune", "--expire=2.weeks.ago"]).await.map(drop)
    }

    /// [`Snapshots::forget`] for a run that is over, and once a day [`Snapshots::collect`].
    ///
    /// # Errors
    /// Where git or the disk fails.
    pub async fn release(&self, run: &str) -> Result<()> {
        self.forget(run).await?;
        let mark = self.private.join("collected");
        let age = mark.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age < COLLECTED) {
            return Ok(());
        }
        std::fs::write(mark, "")?;
        self.collect().await
    }

    /// One writer of the index at a time; what a killed one left behind goes.
    fn lock(&self) -> Result<File> {
        let file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.private.join("regreen.lock"))?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)?;
        let _ = std::fs::remove_file(self.private.join("index.lock"));
        Ok(file)
    }

    async fn update(&self, wanted: &HashSet<Vec<u8>>) -> Result<String> {
        let kept = self.git.bytes(&["ls-files", "-z"]).await?;
        let kept: Vec<Vec<u8>> = split(&kept).collect();
        let gone: Vec<u8> =
            kept.iter().filter(|path| !wanted.contains(*path)).flat_map(|path| terminated(path)).collect();
        if !gone.is_empty() {
            self.git.bytes_from(&["update-index", "--force-remove", "-z", "--stdin"], Some(gone)).await?;
        }
        let mut paths: Vec<&Vec<u8>> = wanted.iter().collect();
        paths.sort();
        let paths: Vec<u8> = paths.into_iter().flat_map(|path| terminated(path)).collect();
        let words = ["update-index", "--add", "--remove", "--replace", "-z", "--stdin"];
        self.git.bytes_from(&words, Some(paths)).await.map_err(|error| {
            let unreadable = error.to_string().contains("Permission denied");
            if unreadable {
                let fault = Fault::cannot_judge("a file of the work tree cannot be read");
                return error.context(fault.hint("make it readable, or ignore it in .gitignore"));
            }
            error
        })?;
        self.git.text(&["write-tree"]).await
    }

    /// What is tracked, or neither tracked nor ignored. Submodules and nested repositories are left out.
    async fn listed(&self) -> Result<Listed> {
        let lister = self.repo.as_ref().map_or(&self.git, Repo::git);
        let (others, tracked) = tokio::try_join!(
            lister.bytes(&["ls-files", "-z", "--others", "--exclude-standard"]),
            lister.bytes(&["ls-files", "-z", "--stage"])
        )?;
        // An untracked folder with a repository in it ends in a slash.
        let others: Vec<Vec<u8>> = split(&others).filter(|path| !path.ends_with(b"/")).collect();
        let tracked = index_entries(&tracked).into_iter().filter(|(_, entry, _)| entry.mode != "160000");
        let tracked: Vec<Vec<u8>> = tracked.map(|(path, _, _)| path).collect();
        let (root, in_repo) = (self.root.clone(), self.repo.is_some());
        tokio::task::spawn_blocking(move || Listed::of(&root, others, tracked, in_repo))
            .await
            .context("looking at the files failed")?
    }

    /// Regular files and links of those listed; what lies behind a link is left out, and what this process itself writes into.
    pub(super) async fn paths(&self) -> Result<HashSet<Vec<u8>>> {
        let mut paths = self.listed().await?.paths;
        let (root, left_out) = (self.root.clone(), self.left_out.clone());
        tokio::task::spawn_blocking(move || {
            let mut folders = HashMap::new();
            paths.retain(|path| is_there(&root, path, &left_out, &mut folders));
            paths
        })
        .await
        .context("looking at the files failed")
    }
}

/// What a work tree holds.
struct Listed {
    /// What belongs into a snapshot.
    paths: HashSet<Vec<u8>>,
    /// What is too large for that.
    large: Vec<Vec<u8>>,
}

impl Listed {
    fn of(root: &Path, others: Vec<Vec<u8>>, tracked: Vec<Vec<u8>>, in_repo: bool) -> Result<Self> {
        let meta = |path: &Vec<u8>| root.join(std::ffi::OsStr::from_bytes(path)).symlink_metadata().ok();
        let is_large = |path: &Vec<u8>| meta(path).is_some_and(|meta| meta.is_file() && meta.len() > LARGEST);
        // What git tracks belongs to every snapshot. It has read all of it once: but for what grew since, without being written.
        let hollow = |path: &&Vec<u8>| {
            is_large(path)
                && meta(path).is_some_and(|meta| meta.blocks().saturating_mul(512) < meta.len() / 16)
        };
        if in_repo && let Some(path) = tracked.iter().find(hollow) {
            let what =
                format!("{} is tracked, huge and empty for the most part", String::from_utf8_lossy(path));
            let hint = "undo what was done to it (`git checkout` brings it back), or take it out of git";
            return Err(Fault::cannot_judge(what).hint(hint).into());
        }
        let (mut large, small): (Vec<_>, Vec<_>) = others.into_iter().partition(is_large);
        let (grown, tracked): (Vec<_>, Vec<_>) =
            tracked.into_iter().partition(|path| !in_repo && is_large(path));
        large.extend(grown);
        Ok(Self { paths: small.into_iter().chain(tracked).collect(), large })
    }
}

/// Makes a private folder beside its place and moves it there when it is whole and on disk: a folder that is there can be used, whatever
/// happened meanwhile.
async fn make_private(private: &Path, format: &str, environment: &Environment) -> Result<()> {
    let parent = private.parent().context("no state folder")?;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    let making = Folder::create(parent, MAKING)?;
    let folder = making.path().join("git");
    let format = format!("--object-format={format}");
    let words = ["init", "--quiet", "--bare", "--template=", &format, "--", &text(&folder)?];
    Git::new(environment).at(parent)?.bytes(&words).await?;
    let mut config = std::fs::read_to_string(folder.join("config"))?;
    config.push_str("[gc]\n\tauto = 0\n[core]\n\tlooseCompression = 1\n\tlogAllRefUpdates = false\n");
    std::fs::write(folder.join("config"), config)?;
    std::fs::create_dir_all(folder.join("info"))?;
    std::fs::write(folder.join("info/attributes"), ATTRIBUTES)?;
    for file in ["HEAD", "config", "info/attributes", "info", "."] {
        File::open(folder.join(file))?.sync_all()?;
    }
    match std::fs::rename(&folder, private) {
        // Another process was faster.
        Err(error) if private.join("HEAD").exists() => tracing::debug!(%error, "the private folder is there"),
        moved => moved?,
    }
    File::open(parent)?.sync_all().map_err(Into::into)
}

fn text(path: &Path) -> Result<String> {
    Ok(path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?.to_owned())
}

fn split(listed: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    listed.split(|byte| *byte == 0).filter(|path| !path.is_empty()).map(<[u8]>::to_vec)
}

fn terminated(path: &[u8]) -> impl Iterator<Item = u8> {
    path.iter().copied().chain([0])
}

/// Whether `path` is a regular file or a link now, and every folder above it is a folder and no link or nested repository.
fn is_there(root: &Path, path: &[u8], left_out: &[(u64, u64)], folders: &mut HashMap<Vec<u8>, bool>) -> bool {
    let place = |path: &[u8]| root.join(std::ffi::OsStr::from_bytes(path));
    for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
        let folder = &path[..at];
        let real = match folders.get(folder) {
            Some(real) => *real,
            None => {
                let real = place(folder).symlink_metadata().is_ok_and(|meta| meta.is_dir());
                folders.insert(folder.to_vec(), real);
                real
            }
        };
        if !real {
            return false;
        }
    }
    place(path).symlink_metadata().is_ok_and(|meta| {
        meta.is_symlink() || (meta.is_file() && !left_out.contains(&(meta.dev(), meta.ino())))
    })
}
