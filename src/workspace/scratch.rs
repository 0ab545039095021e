//! The folders of attempts: made private, locked while in use, removed whole.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

const PREFIX: &str = "attempt-";
pub(super) const LOCK: &str = "lock";

/// A private folder, removed on drop.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Held while the folder is in use: [`sweep`] leaves such folders alone.
    lock: File,
}

impl Folder {
    pub(super) fn create(scratch: &Path) -> io::Result<Self> {
        let path = scratch.join(format!("{PREFIX}{}", uuid::Uuid::now_v7().simple()));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        let lock = File::create(path.join(LOCK))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { path, lock })
    }

    /// A folder in it that belongs to the owner of `like` and has its mode.
    pub(super) fn part(&self, name: &str, like: Option<&fs::Metadata>) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        if let Some(like) = like {
            use std::os::unix::fs::MetadataExt;
            if rustix::process::geteuid().is_root() {
                std::os::unix::fs::chown(&path, Some(like.uid()), Some(like.gid()))?;
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(like.mode() & 0o777 | 0o700))?;
        }
        Ok(path)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves it to `to` in one step, where it stays. The lock that comes back keeps it from being removed while it is used; others
    /// may use it, too.
    pub(super) fn publish(mut self, to: &Path) -> io::Result<File> {
        let lock = self.lock.try_clone()?;
        fs::rename(&self.path, to)?;
        self.path = PathBuf::new();
        flock(&lock, FlockOperation::NonBlockingLockShared)?;
        Ok(lock)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.path.as_os_str().is_empty() {
            return;
        }
        if let Err(error) = remove(&self.path) {
            tracing::info!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Removes the folders below `scratch` that no process uses any more; how many.
pub(super) fn sweep(scratch: &Path) -> io::Result<usize> {
    let mut removed = 0;
    let entries = match fs::read_dir(scratch) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) || !entry.file_type()?.is_dir() {
            continue;
        }
        let lock = File::options().read(true).open(entry.path().join(LOCK));
        if lock.is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err()) {
            continue;
        }
        remove(&entry.path())?;
        removed += 1;
    }
    Ok(removed)
}

/// Removes a folder and what is in it, following no link.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            // overlayfs's own folder has mode 000, and a command may have made such folders too.
            open_up(path)?;
            fs::remove_dir_all(path)
        }
        done => done,
    }
}

fn open_up(path: &Path) -> io::Result<()> {
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}
