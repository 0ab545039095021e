//! Private folders that last no longer than their process: locked while in use, removed whole, and swept once their process is dead.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// The file in each folder that its process holds locked.
pub const LOCK: &str = "lock";

/// A private folder, removed on drop.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Held while the folder is in use: [`sweep`] leaves such folders alone.
    lock: File,
}

/// The right to make folders below another one, or to tell which of them are dead. It is one process's at a time: a folder that is there
/// and not locked yet would look dead.
struct Turn(File);

impl Turn {
    fn wait(parent: &Path) -> io::Result<Self> {
        let parent = File::open(parent)?;
        flock(&parent, FlockOperation::LockExclusive)?;
        Ok(Self(parent))
    }
}

impl Drop for Turn {
    /// A program that is just being started shares the open file until its `exec`: closing ours alone would leave the lock held for
    /// that moment.
    fn drop(&mut self) {
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

impl Folder {
    /// Makes a folder below `parent`, whose name begins with `prefix`.
    ///
    /// # Errors
    /// Where the disk fails, or `parent` is not there.
    pub fn create(parent: &Path, prefix: &str) -> io::Result<Self> {
        let _turn = Turn::wait(parent)?;
        let path = parent.join(format!("{prefix}{}", uuid::Uuid::now_v7().simple()));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        let locked = File::create(path.join(LOCK)).and_then(|lock| {
            flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
            Ok(lock)
        });
        match locked {
            Ok(lock) => Ok(Self { path, lock }),
            Err(error) => {
                let _ = remove(&path);
                Err(error)
            }
        }
    }

    /// A folder in it that belongs to the owner of `like` and has its mode.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn part(&self, name: &str, like: Option<&fs::Metadata>) -> io::Result<PathBuf> {
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
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves it to `to` in one step, where it stays. The lock that comes back keeps it from being removed while it is used; others
    /// may use it, too.
    ///
    /// # Errors
    /// Where something is there already, or the disk fails.
    pub fn publish(mut self, to: &Path) -> io::Result<File> {
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

/// Removes the folders below `parent` whose names begin with `prefix` and that no process uses any more; how many.
///
/// # Errors
/// Where one of them cannot be removed; the others are gone all the same.
pub fn sweep(parent: &Path, prefix: &str) -> io::Result<usize> {
    let dead = match dead(parent, prefix) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        dead => dead?,
    };
    let mut swept = Ok(0);
    for (path, _locked) in dead {
        match (remove(&path), &mut swept) {
            (Ok(()), Ok(count)) => *count += 1,
            (Err(error), Ok(_)) => swept = Err(error),
            (_, Err(_)) => {}
        }
    }
    swept
}

/// The folders that no process uses any more. Each is locked here, so that nobody else removes it at the same time.
fn dead(parent: &Path, prefix: &str) -> io::Result<Vec<(PathBuf, Option<File>)>> {
    let _turn = Turn::wait(parent)?;
    let mut dead = Vec::new();
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(prefix) || !entry.file_type()?.is_dir() {
            continue;
        }
        // Without a lock it was being made, or removed, when its process died.
        let lock = File::open(entry.path().join(LOCK)).ok();
        if lock.as_ref().is_none_or(|lock| flock(lock, FlockOperation::NonBlockingLockExclusive).is_ok()) {
            dead.push((entry.path(), lock));
        }
    }
    Ok(dead)
}

/// Removes a folder and what is in it, following no link. One that is gone is no error.
///
/// # Errors
/// Where the disk fails, or something in it is in use.
pub fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            // overlayfs's own folder has mode 000, and a command may have made such folders too.
            open_up(path)?;
            fs::remove_dir_all(path)
        }
        done => done,
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_process_uses_is_swept() {
        let place = tempfile::tempdir().unwrap();
        let (used, other) =
            (Folder::create(place.path(), "a-").unwrap(), Folder::create(place.path(), "b-").unwrap());
        // What a killed process leaves: a folder whose lock nobody holds, and one that was not locked yet.
        for name in ["a-killed/work/work", "a-begun", "b-killed"] {
            fs::create_dir_all(place.path().join(name)).unwrap();
        }
        fs::write(place.path().join("a-killed/lock"), "").unwrap();
        fs::set_permissions(place.path().join("a-killed/work/work"), fs::Permissions::from_mode(0o000))
            .unwrap();
        assert_eq!(sweep(place.path(), "a-").unwrap(), 2);
        let mut left: Vec<_> =
            fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        left.sort();
        let mut wanted = vec![used.path().to_owned(), other.path().to_owned(), place.path().join("b-killed")];
        wanted.sort();
        assert_eq!(left, wanted);
        assert_eq!(sweep(&place.path().join("gone"), "a-").unwrap(), 0);
    }

    #[test]
    fn folders_that_are_being_made_are_never_swept() {
        let place = tempfile::tempdir().unwrap();
        let begun = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                begun.wait();
                for _ in 0..300 {
                    sweep(place.path(), "a-").unwrap();
                }
            });
            begun.wait();
            for _ in 0..300 {
                let folder = Folder::create(place.path(), "a-").expect("nobody takes it away");
                assert!(folder.path().join(LOCK).exists());
            }
        });
    }
}
