//! A change to files, as contents before and after.
//!
//! Whole contents instead of line hunks: applying is exact, a compare-and-swap against the tree is a comparison of bytes, and
//! the inverse is a swap. Hunks exist only where they help: to show a patch and to minimise it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

mod diff;
mod write;

#[cfg(test)]
mod tests;

pub use diff::{Hunk, HunkId, Stat};
pub use write::ApplyError;

/// A path inside the repo: relative, `/` between parts, no `.`/`..`/empty part, no NUL, valid UTF-8.
///
/// A `RelPath` says nothing of symlinks: those are refused where a file is opened.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelPath(String);

/// Why a text is no path inside the repo.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathRefused {
    /// Nothing there.
    #[error("the path is empty")]
    Empty,
    /// Starts at the root, or at a drive.
    #[error("{0:?} is an absolute path; paths are relative to the repo")]
    Absolute(String),
    /// Has `.` or `..` or an empty part.
    #[error("{0:?} has an empty, `.` or `..` part; paths must stay inside the repo")]
    Dots(String),
    /// Has a NUL or another control character, or a backslash.
    #[error("{0:?} has a control character or a backslash")]
    Character(String),
    /// Longer than 1,024 bytes.
    #[error("the path is longer than 1024 bytes")]
    TooLong,
}

impl RelPath {
    /// Checks `text`; a leading `./` is taken off.
    pub fn new(text: &str) -> Result<Self, PathRefused> {
        let text = text.strip_prefix("./").unwrap_or(text);
        if text.is_empty() {
            return Err(PathRefused::Empty);
        }
        if text.len() > 1024 {
            return Err(PathRefused::TooLong);
        }
        if text.starts_with('/') || text.as_bytes().get(1) == Some(&b':') {
            return Err(PathRefused::Absolute(text.to_owned()));
        }
        if text.chars().any(|c| c.is_control() || c == '\\') {
            return Err(PathRefused::Character(text.to_owned()));
        }
        if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(PathRefused::Dots(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path below `root`.
    pub fn under(&self, root: &Path) -> PathBuf {
        root.join(&self.0)
    }

    /// The last part.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The text after the last dot of the last part, if there is one and it does not start the name.
    pub fn extension(&self) -> Option<&str> {
        self.file_name().rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map(|(_, ext)| ext)
    }

    /// The folder's path, `None` at the top of the repo.
    pub fn parent(&self) -> Option<RelPath> {
        self.0.rsplit_once('/').map(|(dir, _)| RelPath(dir.to_owned()))
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RelPath {
    type Error = PathRefused;
    fn try_from(text: String) -> Result<Self, PathRefused> {
        Self::new(&text)
    }
}

impl From<RelPath> for String {
    fn from(path: RelPath) -> String {
        path.0
    }
}

/// A regular file: its bytes, and whether its owner may execute it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    /// The contents, byte for byte (serialised as text, or as base64 where they are not UTF-8).
    #[serde(with = "bytes_as_text")]
    pub bytes: Vec<u8>,
    /// The owner's execute bit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

impl FileState {
    /// A file that is not executable.
    pub fn text(text: impl Into<String>) -> Self {
        Self { bytes: text.into().into_bytes(), executable: false }
    }

    /// The contents as text, `None` where they are not UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }
}

/// What happens to one file: created (`before` is `None`), removed (`after` is `None`) or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The file that the change was made against.
    pub before: Option<FileState>,
    /// The file that it makes.
    pub after: Option<FileState>,
}

/// Changes to files, at most one for a path; a path whose contents stay the same is not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Patch {
    changes: BTreeMap<RelPath, Change>,
}

impl Patch {
    /// A patch that changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the change of one path; one that changes nothing takes the path out.
    pub fn set(&mut self, path: RelPath, change: Change) {
        if change.before == change.after {
            self.changes.remove(&path);
        } else {
            self.changes.insert(path, change);
        }
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// How many files it changes.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// The changes by path.
    pub fn iter(&self) -> impl Iterator<Item = (&RelPath, &Change)> {
        self.changes.iter()
    }

    /// The change of one path.
    pub fn get(&self, path: &RelPath) -> Option<&Change> {
        self.changes.get(path)
    }

    /// This patch, then `later`, whose `before`s are this one's results.
    pub fn then(&self, later: &Patch) -> Patch {
        let mut all = self.clone();
        for (path, change) in later.iter() {
            let before = match self.get(path) {
                Some(first) => first.before.clone(),
                None => change.before.clone(),
            };
            all.set(path.clone(), Change { before, after: change.after.clone() });
        }
        all
    }

    /// The patch that takes this one back.
    pub fn inverse(&self) -> Patch {
        let changes = self.changes.iter().map(|(path, change)| {
            (path.clone(), Change { before: change.after.clone(), after: change.before.clone() })
        });
        Patch { changes: changes.collect() }
    }

    /// SHA-256 over paths, contents and modes, in lower-case hexadecimal: two patches with the same digest are the same patch.
    pub fn digest(&self) -> String {
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        let mut side = |file: &Option<FileState>| match file {
            None => hash.update([0]),
            Some(file) => {
                hash.update([1, u8::from(file.executable)]);
                hash.update((file.bytes.len() as u64).to_le_bytes());
                hash.update(&file.bytes);
            }
        };
        for (path, change) in &self.changes {
            side(&Some(FileState::text(path.as_str())));
            side(&change.before);
            side(&change.after);
        }
        hex::encode(hash.finalize())
    }
}

impl FromIterator<(RelPath, Change)> for Patch {
    fn from_iter<I: IntoIterator<Item = (RelPath, Change)>>(changes: I) -> Self {
        let mut patch = Patch::new();
        for (path, change) in changes {
            patch.set(path, change);
        }
        patch
    }
}

/// The files of a repo with a patch on top, for reading: what a fixer, a guard or a prompt sees.
#[derive(Debug, Clone, Copy)]
pub struct Tree<'a> {
    /// The repo's root on disk.
    pub root: &'a Path,
    /// The changes that count as already made.
    pub patch: &'a Patch,
}

impl Tree<'_> {
    /// The file at `path`: `None` where there is none, or no regular file, or a part of the path is a symlink.
    ///
    /// # Errors
    /// An I/O error other than "not found".
    pub fn read(&self, path: &RelPath) -> std::io::Result<Option<FileState>> {
        match self.patch.get(path) {
            Some(change) => Ok(change.after.clone()),
            None => read_beneath(self.root, path),
        }
    }

    /// The file's text, `None` where it is not there or not UTF-8.
    pub fn read_text(&self, path: &RelPath) -> Option<String> {
        String::from_utf8(self.read(path).ok()??.bytes).ok()
    }

    /// Whether there is a regular file at `path`.
    pub fn has(&self, path: &RelPath) -> bool {
        match self.patch.get(path) {
            Some(change) => change.after.is_some(),
            None => matches!(read_beneath(self.root, path), Ok(Some(_))),
        }
    }
}

/// Reads a regular file beneath `root` without following a symlink in any part of `path` (openat2 where the kernel has it).
/// At most 64 MiB are read; a larger file is an error.
pub fn read_beneath(root: &Path, path: &RelPath) -> std::io::Result<Option<FileState>> {
    use rustix::fs::{Mode, OFlags};
    use std::io::Read;
    use std::os::fd::AsFd;
    let dir = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = match write::open_beneath(dir.as_fd(), path, flags) {
        Ok(fd) => fd,
        Err(
            rustix::io::Errno::NOENT
            | rustix::io::Errno::NOTDIR
            | rustix::io::Errno::LOOP
            | rustix::io::Errno::NXIO,
        ) => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let mut file = std::fs::File::from(fd);
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Ok(None);
    }
    const MOST: u64 = 64 << 20;
    if meta.len() > MOST {
        return Err(std::io::Error::other(format!("{path} is larger than 64 MiB")));
    }
    let mut bytes = Vec::with_capacity(meta.len() as usize);
    (&mut file).take(MOST + 1).read_to_end(&mut bytes)?;
    use std::os::unix::fs::PermissionsExt;
    Ok(Some(FileState { bytes, executable: meta.permissions().mode() & 0o100 != 0 }))
}

/// A regular file's text, not through a link, and only if it is at most `most` bytes. Never waits, whatever stands at `path`.
pub fn read_small(path: &Path, most: u64) -> Option<String> {
    use std::io::Read;
    use std::os::unix::fs::OpenOptionsExt;
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = std::fs::File::options().read(true).custom_flags(flags).open(path).ok()?;
    let meta = file.metadata().ok()?;
    if !meta.is_file() || meta.len() > most {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

mod bytes_as_text {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Form {
        Text(String),
        Binary { base64: String },
    }

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Form::Text(text.to_owned()),
            Err(_) => Form::Binary { base64: STANDARD.encode(bytes) },
        }
        .serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        match Form::deserialize(deserializer)? {
            Form::Text(text) => Ok(text.into_bytes()),
            Form::Binary { base64 } => STANDARD.decode(base64).map_err(serde::de::Error::custom),
        }
    }
}
