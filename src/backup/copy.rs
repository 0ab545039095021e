//! Copying folders that others write to.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result};

/// Files of private git folders that are made again: what is under way, locks, and the index, which is a cache.
const LEFT_OUT: [&str; 4] = ["index", "index.lock", "regreen.lock", "lock"];

/// Copies the files below `from` that are not there yet, or not the same. What is gone in `from` meanwhile stays. Refs are copied before the objects
/// that they name: those are there by then, and are not removed for weeks.
pub(super) fn tree(from: &Path, to: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(to)?;
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("cannot read {}", from.display()))?,
    };
    let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(|entry| (entry.file_name() == "objects", entry.file_name()));
    for entry in entries {
        let name = entry.file_name();
        let (source, target) = (entry.path(), to.join(&name));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !name.to_string_lossy().starts_with("making-") {
                tree(&source, &target)?;
            }
        } else if kind.is_file() && !is_left_out(&name.to_string_lossy()) {
            match file(&source, &target) {
                // It was removed, or replaced by another one that the next look finds.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                done => done.with_context(|| format!("cannot copy {}", source.display()))?,
            }
        }
    }
    Ok(())
}

fn is_left_out(name: &str) -> bool {
    LEFT_OUT.contains(&name) || name.starts_with("tmp_") || name.ends_with(".lock")
}

fn file(from: &Path, to: &Path) -> io::Result<()> {
    let meta = from.metadata()?;
    let same = |copy: fs::Metadata| {
        copy.len() == meta.len() && (copy.mtime(), copy.mtime_nsec()) == (meta.mtime(), meta.mtime_nsec())
    };
    if to.metadata().is_ok_and(same) {
        return Ok(());
    }
    // Objects are read-only, and a copy of one that is there is written over whole.
    match fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::copy(from, to)?;
    File::open(to)?.set_modified(meta.modified()?)
}

/// The runs that have a snapshot below `folder`.
pub(super) fn snapshots(folder: &Path) -> Result<BTreeSet<String>> {
    const REFS: &str = "refs/snapshots/";
    let mut runs = BTreeSet::new();
    for private in fs::read_dir(folder)? {
        let private = private?.path();
        if let Ok(loose) = fs::read_dir(private.join(REFS)) {
            runs.extend(loose.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()));
        }
        let packed = fs::read_to_string(private.join("packed-refs")).unwrap_or_default();
        runs.extend(packed.lines().filter_map(|line| Some(line.split_once(REFS)?.1.to_owned())));
    }
    Ok(runs)
}

/// Waits until everything below `folder` is on disk.
pub(super) fn settle(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => settle(&entry.path())?,
            false => File::open(entry.path())?.sync_all()?,
        }
    }
    Ok(File::open(folder)?.sync_all()?)
}
