//! What a job has written to disk, by looking.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};

use super::{Whose, rest};
use crate::sandbox::spec::Watched;
use crate::sandbox::sys::own_cpu;

/// What a file, a folder or a link counts as at least, in bytes: an empty one takes room, too.
const LEAST: u64 = 4 << 10;
/// So many files can be made on a file system after the job was ended, or half of what could before.
const FILES_FREE: u64 = 1 << 16;
/// How long is looked at a time: the launcher has other things to do.
const TURN: Duration = Duration::from_millis(20);
/// The deepest folder that is looked into: each one above it is open meanwhile.
const DEEPEST: usize = 512;
/// The most open files of the job that are looked at.
const OPEN: usize = 200_000;

pub(super) struct Disk {
    /// In bytes.
    limit: u64,
    whose: Whose,
    folders: Vec<Folder>,
    /// What was there before, in bytes.
    before: u64,
    pass: Pass,
    next: Instant,
}

/// A folder that the job writes to, on disk.
struct Folder {
    top: OwnedFd,
    /// Bytes and files that stay free.
    keep: (u64, u64),
}

/// One look at everything, under way.
#[derive(Default)]
struct Pass {
    /// Which folder comes next.
    at: usize,
    open: Vec<Dir>,
    linked: HashSet<(u64, u64)>,
    bytes: u64,
    /// Of a processor.
    cost: Duration,
}

impl Disk {
    pub(super) fn open(watched: &Watched, whose: Whose) -> io::Result<Self> {
        let open = |path: &PathBuf| -> io::Result<Folder> {
            let top = rustix::fs::open(path, FOLDER, Mode::empty())?;
            let (bytes, files) = free(&top)?;
            Ok(Folder { top, keep: (watched.disk_free.min(bytes / 2), FILES_FREE.min(files / 2)) })
        };
        let folders = watched.folders.iter().map(open).collect::<io::Result<Vec<_>>>()?;
        let (pass, next) = (Pass::default(), Instant::now());
        let mut disk = Self { limit: watched.disk, whose, folders, before: 0, pass, next };
        if watched.filled {
            while !disk.pass.step(&disk.folders, Duration::MAX) {}
            disk.before = std::mem::take(&mut disk.pass).bytes;
        }
        Ok(disk)
    }

    /// Whether the job has written more than it may, or too little is left for others.
    pub(super) fn is_over(&mut self) -> bool {
        let full = |folder: &Folder| {
            free(&folder.top).is_ok_and(|(bytes, files)| bytes < folder.keep.0 || files < folder.keep.1)
        };
        if self.folders.iter().any(full) {
            return true;
        }
        if Instant::now() < self.next {
            return false;
        }
        let done = self.pass.step(&self.folders, TURN);
        let mut bytes = self.pass.bytes.saturating_sub(self.before);
        if done {
            let before = own_cpu();
            bytes = bytes.saturating_add(nameless(&self.whose.pids()));
            let cost = self.pass.cost + own_cpu().saturating_sub(before);
            self.pass = Pass::default();
            self.next = Instant::now() + rest(cost);
        }
        bytes > self.limit
    }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Pass {
    /// Goes on for a while; whether it has seen everything.
    fn step(&mut self, folders: &[Folder], turn: Duration) -> bool {
        let (begun, before) = (Instant::now(), own_cpu());
        let mut count = 0u32;
        let done = loop {
            count += 1;
            if count.is_multiple_of(128) && begun.elapsed() > turn {
                break false;
            }
            let depth = self.open.len();
            let Some(folder) = self.open.last_mut() else {
                let Some(folder) = folders.get(self.at) else { break true };
                self.at += 1;
                self.open.extend(Dir::read_from(&folder.top));
                continue;
            };
            let Some(Ok(entry)) = folder.read() else {
                self.open.pop();
                continue;
            };
            let name = entry.file_name();
            if [c".", c".."].contains(&name) {
                continue;
            }
            let Ok(at) = folder.fd() else { continue };
            let Ok(stat) = rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            let inner = (is_folder && depth < DEEPEST)
                .then(|| rustix::fs::openat(at, name, FOLDER, Mode::empty()).and_then(Dir::new));
            if is_folder || stat.st_nlink < 2 || self.linked.insert((stat.st_dev, stat.st_ino)) {
                self.bytes = self.bytes.saturating_add(taken(&stat));
            }
            self.open.extend(inner.and_then(Result::ok));
        };
        self.cost += own_cpu().saturating_sub(before);
        done
    }
}

/// What a file takes on disk, in bytes; holes take nothing.
fn taken(stat: &Stat) -> u64 {
    (stat.st_blocks as u64).saturating_mul(512).max(LEAST)
}

/// Bytes that may be written to a file system, and files that may be made there.
fn free(folder: &OwnedFd) -> io::Result<(u64, u64)> {
    let of = rustix::fs::fstatvfs(folder)?;
    // Some make room for files as they come.
    let files = if of.f_files == 0 { u64::MAX } else { of.f_favail };
    Ok((of.f_bavail.saturating_mul(of.f_frsize), files))
}

/// What files take that these processes have open and that have no name any more, in bytes. Those in memory are counted as memory.
fn nameless(pids: &[i32]) -> u64 {
    const TMPFS: i64 = 0x0102_1994;
    let (mut seen, mut bytes, mut left) = (HashSet::new(), 0u64, OPEN);
    for pid in pids {
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            left = left.saturating_sub(1);
            if left == 0 {
                return bytes;
            }
            let path = entry.path();
            let Ok(stat) = rustix::fs::stat(&path) else { continue };
            let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
            if !is_file || stat.st_nlink > 0 || !seen.insert((stat.st_dev, stat.st_ino)) {
                continue;
            }
            if rustix::fs::statfs(&path).is_ok_and(|of| of.f_type != TMPFS) {
                bytes = bytes.saturating_add(taken(&stat));
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    fn disk(folder: &std::path::Path, limit: u64, disk_free: u64, filled: bool) -> Disk {
        let folders = vec![folder.to_owned()];
        let watched = Watched { memory: None, disk: limit, disk_free, folders, filled };
        Disk::open(&watched, Whose::Ours).unwrap()
    }

    fn written(disk: &Disk) -> u64 {
        let mut pass = Pass::default();
        while !pass.step(&disk.folders, Duration::ZERO) {}
        pass.bytes
    }

    #[test]
    fn what_takes_room_counts_and_nothing_twice() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path();
        let disk = disk(place, 1 << 20, 0, false);
        assert_eq!(written(&disk), 0);
        std::fs::create_dir_all(place.join("a/b")).unwrap();
        for number in 0..300 {
            std::fs::write(place.join(format!("a/b/{number}")), "").unwrap();
        }
        assert_eq!(written(&disk), 302 * LEAST, "empty files are files");
        std::fs::remove_dir_all(place.join("a")).unwrap();
        std::fs::write(place.join("one"), vec![1; 1 << 20]).unwrap();
        let one = written(&disk);
        assert!((1 << 20..2 << 20).contains(&one), "{one}");
        std::fs::hard_link(place.join("one"), place.join("two")).unwrap();
        assert_eq!(written(&disk), one, "a second name takes no room");
        let sparse = std::fs::File::create(place.join("sparse")).unwrap();
        sparse.write_at(b"x", 1 << 40).unwrap();
        assert!(written(&disk) < one + (1 << 20), "holes take no room");
        std::os::unix::fs::symlink("/", place.join("link")).unwrap();
        assert!(written(&disk) < one + (1 << 20), "links are not followed");
    }

    #[test]
    fn the_limit_is_of_what_was_written_since() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("before"), vec![1; 4 << 20]).unwrap();
        assert!(disk(folder.path(), 2 << 20, 0, false).is_over());
        let mut disk = disk(folder.path(), 2 << 20, 0, true);
        assert!(!disk.is_over());
        std::fs::write(folder.path().join("after"), vec![1; 3 << 20]).unwrap();
        disk.next = Instant::now();
        assert!(disk.is_over());
    }

    #[test]
    fn some_of_the_file_system_stays_free() {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = disk(folder.path(), u64::MAX, u64::MAX, false);
        // Whatever is asked for, half of what was free may be used.
        assert!(disk.folders[0].keep.0 < u64::MAX / 2 && !disk.is_over());
        disk.folders[0].keep.0 = u64::MAX;
        assert!(disk.is_over());
        disk.folders[0].keep = (0, u64::MAX);
        assert!(disk.is_over() || free(&disk.folders[0].top).unwrap().1 == u64::MAX);
    }
}
