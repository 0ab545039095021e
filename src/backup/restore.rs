//! Putting a backup back.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::{DATABASE, FOLDERS, Manifest, copy, verified};
use crate::fault::Fault;
use crate::scratch::Folder;
use crate::store::{InUse, RESTORING, Store};

/// What is put aside where a backup takes its place.
const PUT_ASIDE: [&str; 3] = ["regreen.db", "regreen.db-wal", "regreen.db-shm"];

/// A backup that was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What was in it.
    pub manifest: Manifest,
    /// Where what was there before is now.
    pub put_aside: Option<PathBuf>,
}

/// Puts the backup in the folder `from` into the folder `state`. What is there already is put aside, if `overwrite` allows it. A process that dies
/// over it leaves a mark, and the store is not opened before the same is done again to its end.
///
/// # Errors
/// A [`Fault`] where the backup is not whole, something uses the store, or would be overwritten; nothing is changed then.
pub async fn restore(from: &Path, state: &Path, overwrite: bool, now: Timestamp) -> Result<Restored> {
    let manifest = verified(from)?;
    let Some(_alone) = InUse::alone(&state.join(DATABASE))? else {
        return Err(Fault::usage("the store is in use")
            .hint(
                "end `regreen serve`, `regreen worker` and everything else that uses it; nothing was changed",
            )
            .into());
    };
    let cut_off = state.join(RESTORING).exists();
    let there = state.join(DATABASE).exists();
    if there && !overwrite && !cut_off {
        return Err(Fault::usage(format!("there is a store in {} already", state.display()))
            .hint("--overwrite puts it aside; nothing was changed")
            .into());
    }
    let making = Folder::create(state, "restore-")?;
    let folder = making.part("whole", None)?;
    fs::copy(from.join(DATABASE), folder.join(DATABASE))?;
    for name in FOLDERS {
        copy::tree(&from.join(name), &folder.join(name))?;
    }
    copy::settle(&folder)?;
    Store::check_file(&folder.join(DATABASE)).await?;

    mark(state)?;
    let aside = free(state, &format!("replaced-{}", now.strftime("%Y%m%dT%H%M%SZ")));
    let mut put_aside = None;
    for name in PUT_ASIDE.iter().chain(&FOLDERS) {
        if fs::symlink_metadata(state.join(name)).is_ok() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&aside)?;
            fs::rename(state.join(name), aside.join(name))
                .with_context(|| format!("cannot put {name} aside"))?;
            put_aside = Some(aside.clone());
        }
    }
    for name in FOLDERS.iter().chain([&DATABASE]) {
        fs::rename(folder.join(name), state.join(name)).with_context(|| format!("cannot put {name} back"))?;
    }
    File::open(state)?.sync_all()?;
    fs::remove_file(state.join(RESTORING))?;
    File::open(state)?.sync_all()?;
    Ok(Restored { manifest, put_aside })
}

/// A folder of this name that is not there: a restore that was cut off a moment ago has put aside what was there before.
fn free(state: &Path, name: &str) -> PathBuf {
    let more = (2..).map(|number| format!("{name}-{number}"));
    let mut names = std::iter::once(name.to_owned()).chain(more).map(|name| state.join(name));
    names.find(|path| fs::symlink_metadata(path).is_err()).unwrap_or_else(|| state.join(name))
}

fn mark(state: &Path) -> Result<()> {
    File::create(state.join(RESTORING))?.sync_all()?;
    Ok(File::open(state)?.sync_all()?)
}
