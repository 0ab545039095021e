//! One process per run: a lock of the kernel's on a file, which is free again the moment its process is dead, however it died.

use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};

use crate::fault::Fault;

/// The right to work on a run. Dropping it, or dying, gives it back.
#[derive(Debug)]
pub struct Lease {
    file: File,
}

impl Drop for Lease {
    /// A program that is just being started shares the open file until its `exec`: closing ours alone would leave the lock held for
    /// that moment.
    fn drop(&mut self) {
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// The private folder of a run below the state folder (not made here).
pub fn run_dir(state: &Path, run: &str) -> PathBuf {
    state.join("runs").join(run)
}

/// Ids become file names and parts of refs.
pub(super) fn check_id(run: &str) -> Result<()> {
    let plain = (1..=64).contains(&run.len()) && run.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if plain && !run.starts_with('-') {
        return Ok(());
    }
    let run: String = run.chars().take(80).collect();
    Err(Fault::usage(format!("{run:?} is no run's id")).into())
}

impl Lease {
    /// Takes the right to work on `run`; `None` where another process has it.
    ///
    /// # Errors
    /// Where the lock file cannot be made.
    pub fn acquire(state: &Path, run: &str) -> Result<Option<Self>> {
        check_id(run)?;
        let dir = run_dir(state, run);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .with_context(|| format!("cannot make {}", dir.display()))?;
        let file = open(&dir, true)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error).context("cannot lock the run"),
        }
    }

    /// Whether a process works on `run` now.
    ///
    /// # Errors
    /// Where the lock file cannot be read.
    pub fn is_held(state: &Path, run: &str) -> Result<bool> {
        check_id(run)?;
        let dir = run_dir(state, run);
        if !dir.join("lock").exists() {
            return Ok(false);
        }
        let file = open(&dir, false)?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => {
                let _ = flock(&file, FlockOperation::Unlock);
                Ok(false)
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(error).context("cannot ask for the run's lock"),
        }
    }
}

fn open(dir: &Path, create: bool) -> Result<File> {
    let path = dir.join("lock");
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(create)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))
}
