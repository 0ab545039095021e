//! Whole copies of a tree, where no overlay can be had.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{SeekFrom, Timespec, Timestamps};

/// Whether files of `from` can be cloned to `to` by reference.
pub(super) fn can_clone(from: &Path, to: &Path) -> bool {
    let first = fs::read_dir(from)
        .into_iter()
        .flatten()
        .flatten()
        .find(|entry| entry.metadata().is_ok_and(|meta| meta.is_file() && meta.len() > 0));
    let Some(first) = first else { return false };
    let probe = to.join("clone-probe");
    let cloned = (|| {
        let (from, to) = (File::open(first.path())?, File::create(&probe)?);
        rustix::fs::ioctl_ficlone(&to, &from).map_err(io::Error::from)
    })();
    let _ = fs::remove_file(&probe);
    cloned.is_ok()
}

/// Copies a tree with modes, owners (as root) and times; links stay links; sockets, pipes and devices are left out. Of a folder that
/// `skip` names only an empty one is made, and its path is returned.
pub(super) fn copy_tree(from: &Path, to: &Path, skip: &dyn Fn(&Path) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut skipped = Vec::new();
    let mut folders = vec![(from.to_owned(), to.to_owned())];
    let mut times = Vec::new();
    while let Some((from, to)) = folders.pop() {
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            let meta = fs::symlink_metadata(&source)?;
            if meta.is_symlink() {
                std::os::unix::fs::symlink(fs::read_link(&source)?, &target)?;
            } else if meta.is_dir() {
                fs::create_dir(&target)?;
                if skip(&source) {
                    skipped.push(source);
                } else {
                    folders.push((source, target.clone()));
                }
                times.push((target, meta));
            } else if meta.is_file() {
                copy_file(&source, &target)?;
                like(&target, &meta)?;
            }
        }
    }
    // Children before parents: a folder's time changes with what is put into it.
    for (path, meta) in times.into_iter().rev() {
        like(&path, &meta)?;
    }
    like(to, &fs::symlink_metadata(from)?)?;
    Ok(skipped)
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32;
    let mut source = File::options().read(true).custom_flags(flags).open(from)?;
    let mut target = File::options().write(true).create_new(true).mode(0o600).open(to)?;
    if rustix::fs::ioctl_ficlone(&target, &source).is_err() {
        copy_data(&mut source, &mut target)?;
    }
    Ok(())
}

/// Copies what a file holds, and leaves its holes holes.
fn copy_data(source: &mut File, target: &mut File) -> io::Result<()> {
    let length = source.metadata()?.len();
    let mut at = 0;
    while at < length {
        let from = match rustix::fs::seek(&*source, SeekFrom::Data(at)) {
            Ok(from) => from,
            // Nothing but a hole is left.
            Err(rustix::io::Errno::NXIO) => break,
            // This file system knows of no holes.
            Err(_) => at,
        };
        let to = rustix::fs::seek(&*source, SeekFrom::Hole(from)).unwrap_or(length).max(from + 1);
        rustix::fs::seek(&*source, SeekFrom::Start(from))?;
        rustix::fs::seek(&*target, SeekFrom::Start(from))?;
        io::copy(&mut (&*source).take(to - from), target)?;
        at = to;
    }
    // A file that grew meanwhile is as it was, and one that shrank as it is.
    target.set_len(length.min(source.metadata()?.len()))
}

/// Makes a file of `tree` what it is in `root`, if it is one there. Its time is now: what was built from another one is older. `false`
/// where the folder that it belongs into is none any more.
pub(super) fn put_back(root: &Path, tree: &Path, path: &Path) -> io::Result<bool> {
    let source = root.join(path);
    let Ok(meta) = fs::symlink_metadata(&source) else { return Ok(true) };
    if !meta.is_file() {
        return Ok(true);
    }
    let folders: Vec<&Path> = path.ancestors().skip(1).collect();
    for folder in folders.into_iter().rev() {
        let (own, target) = (root.join(folder), tree.join(folder));
        match fs::symlink_metadata(&target) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Ok(false),
            Err(_) => {
                fs::create_dir(&target)?;
                belong(&target, &fs::symlink_metadata(&own)?)?;
            }
        }
    }
    let target = tree.join(path);
    copy_file(&source, &target)?;
    belong(&target, &meta)?;
    Ok(true)
}

/// Gives a file or folder the owner (as root) and the mode of another.
fn belong(path: &Path, meta: &fs::Metadata) -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::lchown(path, Some(meta.uid()), Some(meta.gid()))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(meta.mode() & 0o1777))
}

fn like(path: &Path, meta: &fs::Metadata) -> io::Result<()> {
    belong(path, meta)?;
    let times = Timestamps {
        last_access: Timespec { tv_sec: meta.atime(), tv_nsec: meta.atime_nsec() as _ },
        last_modification: Timespec { tv_sec: meta.mtime(), tv_nsec: meta.mtime_nsec() as _ },
    };
    Ok(rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?)
}

/// What differs between two trees, as paths of regular files relative to both. Files of the same size and time count as equal.
pub(super) fn differing(one: &Path, other: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = std::collections::BTreeSet::new();
    let mut folders = vec![PathBuf::new()];
    let mut seen = std::collections::BTreeSet::new();
    while let Some(at) = folders.pop() {
        for (here, there) in [(one, other), (other, one)] {
            for entry in fs::read_dir(here.join(&at)).into_iter().flatten().flatten() {
                let path = at.join(entry.file_name());
                if entry.file_name() == ".git"
                    || entry.file_name() == "node_modules"
                    || path.components().count() > 128
                {
                    continue;
                }
                let Ok(meta) = entry.metadata() else { continue };
                if meta.is_dir() {
                    if seen.insert(path.clone()) {
                        folders.push(path);
                    }
                } else if meta.is_file() {
                    let same = fs::symlink_metadata(there.join(&path)).is_ok_and(|its| {
                        let sight =
                            |m: &fs::Metadata| (m.is_file(), m.len(), m.mtime(), m.mtime_nsec(), m.mode());
                        sight(&its) == sight(&meta)
                    });
                    if !same {
                        all.insert(path);
                    }
                }
            }
        }
    }
    Ok(all.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn holes_are_not_copied() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        // Whoever reads all of it takes longer than anybody waits for a test.
        const HUGE: u64 = 2 << 40;
        let file = File::create(&from).unwrap();
        file.write_at(b"first", 0).unwrap();
        file.write_at(b"middle", HUGE / 2).unwrap();
        file.set_len(HUGE).unwrap();
        copy_file(&from, &to).unwrap();
        let copy = File::open(&to).unwrap();
        let read = |at: u64| {
            let mut bytes = [0; 6];
            copy.read_at(&mut bytes, at).unwrap();
            bytes
        };
        assert_eq!(
            (copy.metadata().unwrap().len(), &read(0), &read(HUGE / 2)),
            (HUGE, b"first\0", b"middle")
        );
        assert!(copy.metadata().unwrap().blocks() < 1 << 10);
        for text in ["", "short"] {
            let (one, other) = (folder.path().join("one"), folder.path().join(format!("copy of {text}")));
            fs::write(&one, text).unwrap();
            copy_file(&one, &other).unwrap();
            assert_eq!(fs::read_to_string(other).unwrap(), text);
        }
    }
}
