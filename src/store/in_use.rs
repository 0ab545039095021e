//! Who uses an SQLite store: everyone who has it open shares a lock, and who replaces it has it alone.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};

use crate::fault::Fault;

/// The file that says that a backup is being put back into the state folder.
pub const RESTORING: &str = "restoring";

/// That a store is used; for as long as the value lives.
#[derive(Debug)]
pub struct InUse {
    file: File,
}

impl InUse {
    fn open(database: &Path) -> Result<File> {
        let mut name = database.as_os_str().to_owned();
        name.push(".use");
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(name)
            .map_err(|error| {
                Fault::usage(format!("cannot open the store {}: {error}", database.display()))
                    .hint("set REGREEN_STATE_DIR to a private folder on a local disk")
                    .into()
            })
    }

    /// Shares the store in the file `database` with others.
    ///
    /// # Errors
    /// A [`Fault`] where a backup is being put back, or that was cut off.
    pub(super) fn shared(database: &Path) -> Result<Self> {
        let file = Self::open(database)?;
        let state = database.parent().unwrap_or(Path::new(""));
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) if !state.join(RESTORING).exists() => Ok(Self { file }),
            Ok(()) => Err(Fault::usage("putting a backup back was cut off here")
                .hint("run `regreen restore` with that backup again")
                .into()),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Err(Fault::usage("a backup is being put back").hint("try again when that is done").into())
            }
            Err(error) => Err(error).context("cannot lock the store"),
        }
    }

    /// Keeps everybody else from the store in the file `database`; `None` where somebody has it open.
    ///
    /// # Errors
    /// Where the lock file cannot be made.
    pub fn alone(database: &Path) -> Result<Option<Self>> {
        let file = Self::open(database)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error).context("cannot lock the store"),
        }
    }
}

impl Drop for InUse {
    /// A program that is just being started shares the open file until its `exec`: closing ours alone would leave the lock held for
    /// that moment.
    fn drop(&mut self) {
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}
