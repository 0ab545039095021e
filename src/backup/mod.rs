//! Copies of a state folder with an SQLite store: made while others work, checked, and put back.
//!
//! A backup is a folder: the database, the logs, the private snapshots, and `manifest.json` with the digest of every file. It appears in one rename, whole or
//! not at all. What can be made again (kept layers, workspaces, temporary files) is not in it.

mod copy;
mod restore;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::fault::Fault;
use crate::scratch::{self, Folder};
use crate::store::Store;

pub use restore::{Restored, restore};

/// The form of a backup.
const FORM: u32 = 1;
const MANIFEST: &str = "manifest.json";
/// The database, in the backup and in the state folder.
pub(crate) const DATABASE: &str = "regreen.db";
/// The folders of the state folder that belong to a backup.
const FOLDERS: [&str; 2] = ["snapshots", "logs"];
/// How often it is tried to catch every run with its snapshot, should runs begin and end all the time.
const TRIES: usize = 5;

/// What is in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of the backup.
    pub form: u32,
    /// The version of Regreen that made it.
    pub regreen: String,
    /// When.
    pub made_at: Timestamp,
    /// Each file but this one: its path in the backup, with slashes, and what it holds.
    pub files: BTreeMap<String, Held>,
}

/// What a file of a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Bytes.
    pub size: u64,
    /// SHA-256, in lower-case hexadecimal.
    pub sha256: String,
}

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Made {
    /// Files.
    pub files: usize,
    /// Bytes.
    pub bytes: u64,
    /// Runs that were not over and whose snapshots are not there: they cannot be resumed from this backup.
    pub without_snapshot: Vec<String>,
}

/// Copies what `store` and the folder `state` hold into the new folder `to`. Others may write all the while.
///
/// # Errors
/// A [`Fault`] where something is at `to` already, or the store is no SQLite file; else where the disk fails. Nothing is left behind then.
pub async fn make(store: &Store, state: &Path, to: &Path, now: Timestamp) -> Result<Made> {
    if fs::symlink_metadata(to).is_ok() {
        return Err(Fault::usage(format!("{} is there already", to.display()))
            .hint("a backup is a new folder; name another one")
            .into());
    }
    let parent = match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let making = Folder::create(parent, ".regreen-backup-")
        .with_context(|| format!("cannot write into {}", parent.display()))?;
    let folder = making.part("whole", None)?;
    for name in FOLDERS {
        copy::tree(&state.join(name), &folder.join(name))?;
    }
    let database = folder.join(DATABASE);
    let mut without_snapshot = Vec::new();
    for _ in 0..TRIES {
        scratch_file(&database)?;
        store.copy_to(&database).await?;
        // What came since is in the database and not among the files yet.
        for name in FOLDERS {
            copy::tree(&state.join(name), &folder.join(name))?;
        }
        without_snapshot = lacking(&database, &folder).await?;
        if without_snapshot.is_empty() {
            break;
        }
    }
    let files = digests(&folder)?;
    let bytes = files.values().map(|held| held.size).sum();
    let manifest =
        Manifest { form: FORM, regreen: env!("CARGO_PKG_VERSION").to_owned(), made_at: now, files };
    fs::write(folder.join(MANIFEST), serde_json::to_string_pretty(&manifest)?)?;
    copy::settle(&folder)?;
    fs::rename(&folder, to).with_context(|| format!("cannot make {}", to.display()))?;
    fs::File::open(parent)?.sync_all()?;
    Ok(Made { files: manifest.files.len(), bytes, without_snapshot })
}

/// Runs that are not over in the copied database and have no snapshot among the copied ones.
async fn lacking(database: &Path, folder: &Path) -> Result<Vec<String>> {
    let known = copy::snapshots(&folder.join("snapshots"))?;
    let mut runs = Store::unfinished_in(database).await?;
    runs.retain(|run| !known.contains(run));
    Ok(runs)
}

fn scratch_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// The files below a folder, by their paths in it.
fn files(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let (mut found, mut waiting) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                waiting.push(entry.path());
                continue;
            }
            let path = entry.path();
            let name = path.strip_prefix(folder)?.to_str().context("a file's name is not UTF-8")?.to_owned();
            anyhow::ensure!(kind.is_file(), "{name} is no regular file");
            found.insert(name, path);
        }
    }
    Ok(found)
}

fn digests(folder: &Path) -> Result<BTreeMap<String, Held>> {
    let held = |path: &Path| -> Result<Held> {
        let (mut file, mut digest, mut size) = (fs::File::open(path)?, Sha256::new(), 0);
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(Held { size, sha256: hex::encode(digest.finalize()) }),
                read => {
                    digest.update(&buffer[..read]);
                    size += read as u64;
                }
            }
        }
    };
    files(folder)?.into_iter().map(|(name, path)| Ok((name, held(&path)?))).collect()
}

/// Reads a backup and sees that it is whole.
fn verified(folder: &Path) -> Result<Manifest> {
    let wrong = |what: String| {
        Fault::usage(format!("{} is no whole backup: {what}", folder.display()))
            .hint("take another one; nothing was changed")
    };
    let text =
        fs::read_to_string(folder.join(MANIFEST)).map_err(|error| wrong(format!("{MANIFEST}: {error}")))?;
    let manifest: Manifest =
        serde_json::from_str(&text).map_err(|error| wrong(format!("{MANIFEST}: {error}")))?;
    if manifest.form != FORM {
        return Err(wrong(format!("its form is {}, and this Regreen knows {FORM}", manifest.form)).into());
    }
    let mut there = digests(folder).map_err(|error| wrong(format!("{error:#}")))?;
    there.remove(MANIFEST);
    for (name, held) in &manifest.files {
        match there.remove(name) {
            Some(found) if found == *held => {}
            Some(_) => return Err(wrong(format!("{name} is not what was saved")).into()),
            None => return Err(wrong(format!("{name} is missing")).into()),
        }
    }
    if let Some(name) = there.keys().next() {
        return Err(wrong(format!("{name} was not saved with it")).into());
    }
    Ok(manifest)
}

/// Removes what a killed process left beside a backup that it was making.
///
/// # Errors
/// Where the disk fails.
pub fn sweep(parent: &Path) -> std::io::Result<usize> {
    scratch::sweep(parent, ".regreen-backup-")
}
