//! One landing at a time in a repository.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::fault::Fault;
use crate::git::Repo;

const PAUSE: Duration = Duration::from_millis(50);
const TRIES: u32 = 1200;

/// Held from the comparison with what was proven to the last change. The lock is on a folder that is there anyway (the git folder
/// that all worktrees share, else the tree's root), so nothing is left behind by a crash.
#[derive(Debug)]
pub(super) struct Turn {
    _lock: File,
}

impl Turn {
    /// Waits for the turn, up to a minute.
    ///
    /// # Errors
    /// A [`Fault`] where another process does not let go; else where the folder cannot be opened.
    pub(super) async fn take(repo: Option<&Repo>, root: &Path) -> Result<Self> {
        let folder = repo.map_or(root, Repo::common_dir);
        let lock = File::open(folder).with_context(|| format!("cannot open {}", folder.display()))?;
        for _ in 0..TRIES {
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _lock: lock }),
                // Waiting in the kernel would hold the thread that the holder may need to go on.
                Err(Errno::WOULDBLOCK | Errno::INTR) => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(error).context(format!("cannot lock {}", folder.display())),
            }
        }
        Err(Fault::cannot_judge(format!("another landing holds {} for a minute already", folder.display()))
            .hint("see what it is, and try again")
            .into())
    }
}
