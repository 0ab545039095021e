//! Writes a patch to a tree on disk: beneath its root, through no symlink, each file at once or not at all.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid};
use rustix::io::Errno;

use super::{Change, FileState, Patch, RelPath, read_beneath};

/// Why a patch could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Something is in the way that is not a regular file or not a plain folder.
    #[error("{path} is {what}; nothing is written through it")]
    InTheWay {
        /// The path.
        path: RelPath,
        /// What it is: "a symlink", "a folder", ….
        what: &'static str,
    },
    /// The file system refused.
    #[error("{path} could not be written ({landed} of the patch's files were): {source}")]
    Io {
        /// The file.
        path: RelPath,
        /// How many files had their new state before it.
        landed: usize,
        /// What happened.
        source: io::Error,
    },
}

impl Patch {
    /// Writes the files beneath `root`. All new contents are on disk under temporary names before the first file changes; each
    /// file then changes at once. Existing files keep their permissions (but for the execute bits that the patch changes) and
    /// their owner; missing folders are made, and folders that a removal empties go. What the files hold now is not compared: see
    /// [`Patch::conflicts`].
    ///
    /// # Errors
    /// [`ApplyError::InTheWay`] for a symlink, folder or device where a file should be (nothing was changed if it was there from
    /// the start), [`ApplyError::Io`] for the rest.
    pub fn apply_beneath(&self, root: &Path) -> Result<(), ApplyError> {
        let first = self.iter().next().map(|(path, _)| path.clone());
        let Some(first) = first else { return Ok(()) };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(root, flags, Mode::empty()).map_err(|error| ApplyError::Io {
            path: first,
            landed: 0,
            source: error.into(),
        })?;
        Writer { root, landed: 0, made: Vec::new(), staged: Default::default() }.write(self)
    }

    /// The files whose state below `root` is not what the patch was made against, those that cannot be read among them.
    pub fn conflicts(&self, root: &Path) -> Vec<RelPath> {
        let differs = |path: &RelPath, change: &Change| match read_beneath(root, path) {
            Ok(None) => change.before.is_some() || occupied(root, path),
            Ok(now) => now != change.before,
            Err(_) => true,
        };
        self.iter().filter(|(path, change)| differs(path, change)).map(|(path, _)| path.clone()).collect()
    }
}

/// Whether something that is no regular file stands at or above `path`.
fn occupied(root: &Path, path: &RelPath) -> bool {
    let mut at = root.to_path_buf();
    let mut parts = path.as_str().split('/').peekable();
    while let Some(part) = parts.next() {
        at.push(part);
        match std::fs::symlink_metadata(&at) {
            Err(_) => return false,
            Ok(meta) if parts.peek().is_some() && meta.is_dir() => {}
            Ok(_) => return true,
        }
    }
    false
}

/// A new content on disk under a temporary name.
struct Staged {
    path: RelPath,
    temporary: String,
}

struct Writer {
    root: OwnedFd,
    landed: usize,
    /// Folders that were made, outermost first.
    made: Vec<RelPath>,
    staged: std::collections::VecDeque<Staged>,
}

impl Writer {
    fn write(mut self, patch: &Patch) -> Result<(), ApplyError> {
        let removed: BTreeSet<&RelPath> =
            patch.iter().filter(|(_, change)| change.after.is_none()).map(|(path, _)| path).collect();
        // A file below a path that is a file until it is removed can only be written afterwards.
        let late = |path: &RelPath| {
            std::iter::successors(path.parent(), RelPath::parent).any(|above| removed.contains(&above))
        };
        let result = self.in_order(patch, &removed, late);
        if result.is_err() {
            for staged in &self.staged {
                if let Ok(folder) = self.folder(&staged.path) {
                    let _ = rustix::fs::unlinkat(folder, &staged.temporary, AtFlags::empty());
                }
            }
            for folder in self.made.iter().rev() {
                let _ = self.remove_folder(folder);
            }
        }
        result
    }

    fn in_order(
        &mut self,
        patch: &Patch,
        removed: &BTreeSet<&RelPath>,
        late: impl Fn(&RelPath) -> bool,
    ) -> Result<(), ApplyError> {
        let written = |late_ones: bool| {
            let late = &late;
            patch
                .iter()
                .filter_map(|(path, change)| change.after.as_ref().map(|after| (path, after)))
                .filter(move |(path, _)| late(path) == late_ones)
        };
        for path in removed {
            self.check(path)?;
        }
        for (path, after) in written(false) {
            self.stage(path, after)?;
        }
        for path in removed {
            self.remove(path)?;
        }
        self.rename_staged()?;
        for (path, after) in written(true) {
            self.stage(path, after)?;
        }
        self.rename_staged()
    }

    fn io(&self, path: &RelPath) -> impl Fn(Errno) -> ApplyError + use<> {
        let (path, landed) = (path.clone(), self.landed);
        move |error| match error {
            Errno::LOOP => ApplyError::InTheWay { path: path.clone(), what: "reached through a symlink" },
            Errno::NOTDIR => {
                ApplyError::InTheWay { path: path.clone(), what: "below something that is no folder" }
            }
            error => ApplyError::Io { path: path.clone(), landed, source: error.into() },
        }
    }

    /// The state of the file at `path`, `None` where there is none.
    fn look(&self, folder: BorrowedFd<'_>, path: &RelPath) -> Result<Option<Stat>, ApplyError> {
        let stat = match rustix::fs::statat(folder, path.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(self.io(path)(error)),
        };
        let what = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => return Ok(Some(stat)),
            FileType::Symlink => "a symlink",
            FileType::Directory => "a folder",
            _ => "not a regular file",
        };
        Err(ApplyError::InTheWay { path: path.clone(), what })
    }

    fn check(&self, path: &RelPath) -> Result<(), ApplyError> {
        let folder = self.folder(path).map_err(self.io(path))?;
        self.look(folder.as_fd(), path).map(|_| ())
    }

    fn folder(&self, path: &RelPath) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match path.parent() {
            Some(parent) => open_beneath(self.root.as_fd(), &parent, flags),
            None => rustix::fs::openat(&self.root, ".", flags, Mode::empty()),
        }
    }

    /// The folder of `path`, made if need be.
    fn made_folder(&mut self, path: &RelPath) -> Result<OwnedFd, Errno> {
        match self.folder(path) {
            Err(Errno::NOENT) => {}
            other => return other,
        }
        let Some(parent) = path.parent() else { return Err(Errno::NOENT) };
        let above = self.made_folder(&parent)?;
        match rustix::fs::mkdirat(&above, parent.file_name(), Mode::from_raw_mode(0o777)) {
            Ok(()) => {
                self.made.push(parent.clone());
                own_as(above.as_fd(), parent.file_name());
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        self.folder(path)
    }

    fn stage(&mut self, path: &RelPath, after: &FileState) -> Result<(), ApplyError> {
        let folder = self.made_folder(path).map_err(self.io(path))?;
        // A folder in the way may be emptied by the patch's own removals: the rename tells.
        let existing = match self.look(folder.as_fd(), path) {
            Err(ApplyError::InTheWay { what: "a folder", .. }) => None,
            other => other?,
        };
        let temporary = format!(".regreen-{}", uuid::Uuid::now_v7().simple());
        let mode = if after.executable { 0o777 } else { 0o666 };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&folder, &temporary, flags, Mode::from_raw_mode(mode))
            .map_err(self.io(path))?;
        self.staged.push_back(Staged { path: path.clone(), temporary: temporary.clone() });
        let mut file = File::from(file);
        let landed = self.landed;
        let failed = |source: io::Error| ApplyError::Io { path: path.clone(), landed, source };
        file.write_all(&after.bytes).map_err(failed)?;
        if let Some(stat) = existing {
            let kept = stat.st_mode & 0o777;
            let mode = match (after.executable, kept & 0o100 != 0) {
                // Whoever may read it may run it.
                (true, false) => kept | 0o100 | ((kept & 0o044) >> 2),
                (false, true) => kept & !0o111,
                _ => kept,
            };
            rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(self.io(path))?;
            let now = rustix::fs::fstat(&file).map_err(self.io(path))?;
            if (now.st_uid, now.st_gid) != (stat.st_uid, stat.st_gid) {
                // Only root can; for anyone else the file is theirs from now on.
                let owner = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
                let _ = rustix::fs::fchown(&file, Some(owner.0), Some(owner.1));
            }
        } else {
            own_as(folder.as_fd(), &temporary);
        }
        file.sync_all().map_err(failed)
    }

    fn rename_staged(&mut self) -> Result<(), ApplyError> {
        while let Some(Staged { path, temporary }) = self.staged.front() {
            // Folders are opened again: a patch of many files must not need as many open descriptors.
            let folder = self.folder(path).map_err(self.io(path))?;
            // A rename replaces whatever is there, a symlink too: look once more.
            self.look(folder.as_fd(), path)?;
            rustix::fs::renameat(&folder, temporary, &folder, path.file_name()).map_err(self.io(path))?;
            self.landed += 1;
            rustix::fs::fsync(&folder).map_err(self.io(path))?;
            self.staged.pop_front();
        }
        Ok(())
    }

    fn remove(&mut self, path: &RelPath) -> Result<(), ApplyError> {
        let folder = self.folder(path).map_err(self.io(path))?;
        self.look(folder.as_fd(), path)?;
        rustix::fs::unlinkat(&folder, path.file_name(), AtFlags::empty()).map_err(self.io(path))?;
        rustix::fs::fsync(&folder).map_err(self.io(path))?;
        self.landed += 1;
        let mut above = path.parent();
        while let Some(folder) = above {
            if self.remove_folder(&folder).is_err() {
                break;
            }
            above = folder.parent();
        }
        Ok(())
    }

    /// Removes the folder if it is empty.
    fn remove_folder(&self, folder: &RelPath) -> Result<(), Errno> {
        rustix::fs::unlinkat(self.folder(folder)?, folder.file_name(), AtFlags::REMOVEDIR)
    }
}

/// Root, working in another user's tree, leaves nothing that this user could not change: what is new belongs to the folder's owner.
fn own_as(folder: BorrowedFd<'_>, name: &str) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    if let Ok(stat) = rustix::fs::fstat(folder) {
        let owner = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        let _ = rustix::fs::chownat(folder, name, Some(owner.0), Some(owner.1), AtFlags::SYMLINK_NOFOLLOW);
    }
}

/// Opens `path` beneath `root` through no symlink: by openat2, or part by part where the kernel or a filter does not have it.
pub(super) fn open_beneath(root: BorrowedFd<'_>, path: &RelPath, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match rustix::fs::openat2(root, path.as_str(), flags | OFlags::NOFOLLOW, Mode::empty(), resolve) {
        Err(Errno::NOSYS | Errno::PERM) => walk_beneath(root, path, flags),
        other => other,
    }
}

/// The same, one part at a time: no part is ever looked up through a link, and no part can be `..`.
pub(super) fn walk_beneath(root: BorrowedFd<'_>, path: &RelPath, flags: OFlags) -> Result<OwnedFd, Errno> {
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut folder: Option<OwnedFd> = None;
    let mut parts = path.as_str().split('/').peekable();
    while let Some(part) = parts.next() {
        let at = folder.as_ref().map_or(root, |fd| fd.as_fd());
        let last = parts.peek().is_none();
        let flags = if last { flags | OFlags::NOFOLLOW } else { step };
        let fd = rustix::fs::openat(at, part, flags, Mode::empty())?;
        if last {
            return Ok(fd);
        }
        folder = Some(fd);
    }
    Err(Errno::NOENT)
}
