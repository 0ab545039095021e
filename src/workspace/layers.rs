//! The writable layer of an attempt, edited from the host: what a patch does to it, and what commands did.
//!
//! An overlay shows a whiteout (a character device 0:0) as "nothing here", a folder marked opaque without what lies below it.
//! Every step goes from folder to folder by descriptor and follows no link: inside, a command may have put one anywhere.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, XattrFlags};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use crate::patch::{Change, FileState, Patch, RelPath};

/// The largest file that is harvested.
const MOST: u64 = 64 << 20;
/// The most bytes harvested altogether.
const MOST_TOGETHER: u64 = 256 << 20;
/// The deepest folder that is looked into.
const DEEPEST: usize = 128;
const OPAQUE: &str = "user.overlay.opaque";

/// A writable folder over a read-only one, or a plain folder.
#[derive(Debug)]
pub(super) struct Layers {
    /// The writable layer, or the whole tree.
    upper: PathBuf,
    /// The tree below, if `upper` is a layer over one.
    lower: Option<PathBuf>,
    /// A folder on the same file system for files that are not complete yet.
    staging: PathBuf,
    staged: AtomicU64,
}

/// The two folders at one path. Neither is there: nor is the path.
struct Place {
    upper: Option<OwnedFd>,
    lower: Option<OwnedFd>,
}

/// What an entry of a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    Whiteout,
    File,
    Folder,
    Other,
}

impl Layers {
    pub(super) fn new(upper: PathBuf, lower: Option<PathBuf>, staging: PathBuf) -> Self {
        Self { upper, lower, staging, staged: AtomicU64::new(0) }
    }

    /// Makes the changes of `patch`, whatever was there before.
    pub(super) fn apply(&self, patch: &Patch) -> Result<()> {
        for (path, change) in patch.iter() {
            let parts: Vec<&str> = path.as_str().split('/').collect();
            if parts.iter().any(|part| part.eq_ignore_ascii_case(".git")) {
                bail!("{path} lies in a git folder, which patches may not change");
            }
            self.change(&parts, change.after.as_ref()).with_context(|| format!("changing {path}"))?;
        }
        Ok(())
    }

    /// Takes a file out, whatever it holds.
    pub(super) fn remove(&self, path: &RelPath) -> Result<()> {
        let parts: Vec<&str> = path.as_str().split('/').collect();
        self.change(&parts, None).with_context(|| format!("hiding {path}"))
    }

    fn change(&self, parts: &[&str], after: Option<&FileState>) -> Result<()> {
        let Some((name, folders)) = parts.split_last() else { bail!("an empty path") };
        let mut place = self.top()?;
        for part in folders {
            let next = self.enter(&place, part, after.is_some())?;
            match next {
                Some(next) => place = next,
                None => return Ok(()), // a removal below a folder that is not there
            }
        }
        let above = entry(place.upper.as_ref(), name)?;
        let below = entry(place.lower.as_ref(), name)?;
        let visible = if above.0 == Kind::Nothing { below.0 } else { above.0 };
        match (visible, after) {
            (Kind::Folder | Kind::Other, _) => {
                bail!("there is a folder, a link or something else that is no file")
            }
            (Kind::Nothing | Kind::Whiteout, None) => Ok(()),
            (Kind::File, None) => {
                let Some(upper) = self.upper_of(&place)? else { return Ok(()) };
                if below.0 == Kind::Nothing {
                    rustix::fs::unlinkat(&upper, *name, AtFlags::empty())?;
                    return Ok(());
                }
                let staged = self.stage();
                let mode = Mode::empty();
                rustix::fs::mknodat(rustix::fs::CWD, &staged, FileType::CharacterDevice, mode, 0)
                    .context("marking a file as removed")?;
                Ok(rustix::fs::renameat(rustix::fs::CWD, &staged, &upper, *name)?)
            }
            (Kind::File | Kind::Nothing | Kind::Whiteout, Some(file)) => {
                let Some(upper) = self.upper_of(&place)? else { bail!("the folder is not writable") };
                let model =
                    above.1.filter(|_| above.0 == Kind::File).or(below.1.filter(|_| below.0 == Kind::File));
                let staged = self.stage();
                self.write(&staged, file, model.as_ref(), upper.as_fd())?;
                Ok(rustix::fs::renameat(rustix::fs::CWD, &staged, &upper, *name)?)
            }
        }
    }

    fn top(&self) -> io::Result<Place> {
        let lower = self.lower.as_deref().map(open_top).transpose()?;
        Ok(Place { upper: Some(open_top(&self.upper)?), lower })
    }

    fn upper_of(&self, place: &Place) -> io::Result<Option<OwnedFd>> {
        place.upper.as_ref().map(OwnedFd::try_clone).transpose()
    }

    /// The folder `name` in `place`; with `make`, it exists in the upper layer afterwards. `None`: there is none.
    fn enter(&self, place: &Place, name: &str, make: bool) -> Result<Option<Place>> {
        let (above, _) = entry(place.upper.as_ref(), name)?;
        let (below, model) = entry(place.lower.as_ref(), name)?;
        let lower = match below {
            Kind::Folder => open_folder(place.lower.as_ref(), name)?,
            _ => None,
        };
        match above {
            Kind::Folder => {
                let upper = open_folder(place.upper.as_ref(), name)?;
                let lower = if upper.as_ref().is_some_and(is_opaque) { None } else { lower };
                Ok(Some(Place { upper, lower }))
            }
            Kind::File | Kind::Other => bail!("{name:?} is a link or no folder"),
            Kind::Nothing if matches!(below, Kind::File | Kind::Other) => {
                bail!("{name:?} is a link or no folder")
            }
            Kind::Nothing if !make && below == Kind::Folder => {
                // A removal needs the folder in the upper layer to put its mark there.
                self.make_folder(place, name, model.as_ref(), false)?;
                Ok(Some(Place { upper: open_folder(place.upper.as_ref(), name)?, lower }))
            }
            Kind::Nothing | Kind::Whiteout if !make => Ok(None),
            Kind::Nothing | Kind::Whiteout => {
                let hides = above == Kind::Whiteout;
                let model = model.filter(|_| below == Kind::Folder);
                self.make_folder(place, name, model.as_ref(), hides)?;
                let lower = if hides { None } else { lower };
                Ok(Some(Place { upper: open_folder(place.upper.as_ref(), name)?, lower }))
            }
        }
    }

    fn make_folder(&self, place: &Place, name: &str, model: Option<&Stat>, hides: bool) -> Result<()> {
        let Some(upper) = &place.upper else { bail!("the folder is not writable") };
        if hides {
            rustix::fs::unlinkat(upper, name, AtFlags::empty())?;
        }
        rustix::fs::mkdirat(upper, name, Mode::from_raw_mode(0o700))?;
        let Some(made) = open_folder(Some(upper), name)? else { bail!("{name:?} vanished") };
        if hides {
            let readable = readable(&made)?;
            rustix::fs::fsetxattr(&readable, OPAQUE, b"y", XattrFlags::empty())
                .context("marking a folder as new")?;
        }
        let owner = rustix::fs::fstat(upper)?;
        give(&readable(&made)?, model.unwrap_or(&owner))?;
        let mode = model.map_or(0o755, |stat| stat.st_mode & 0o777);
        rustix::fs::fchmod(readable(&made)?, Mode::from_raw_mode(mode | 0o700))?;
        Ok(())
    }

    fn stage(&self) -> PathBuf {
        self.staging.join(self.staged.fetch_add(1, Ordering::Relaxed).to_string())
    }

    fn write(&self, at: &Path, file: &FileState, model: Option<&Stat>, folder: BorrowedFd<'_>) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut made = File::from(rustix::fs::open(at, flags, Mode::from_raw_mode(0o600))?);
        made.write_all(&file.bytes)?;
        let owner = rustix::fs::fstat(folder)?;
        give(made.as_fd(), model.unwrap_or(&owner))?;
        let mode = model.map_or(0o644, |stat| stat.st_mode & 0o777 & !0o111);
        // Whoever may read an executable may execute it.
        let execute = if file.executable { (mode & 0o444) >> 2 | 0o100 } else { 0 };
        rustix::fs::fchmod(&made, Mode::from_raw_mode(mode | execute | 0o400))?;
        Ok(())
    }

    /// The file that is seen at `path`.
    pub(super) fn read(&self, path: &RelPath) -> Result<Option<FileState>> {
        let parts: Vec<&str> = path.as_str().split('/').collect();
        let Some((name, folders)) = parts.split_last() else { return Ok(None) };
        let mut place = self.top()?;
        for part in folders {
            let (above, _) = entry(place.upper.as_ref(), part)?;
            let lower = open_folder(place.lower.as_ref(), part)?;
            place = match above {
                Kind::Nothing => Place { upper: None, lower },
                Kind::Folder => {
                    let upper = open_folder(place.upper.as_ref(), part)?;
                    let hides = upper.as_ref().is_some_and(is_opaque);
                    Place { upper, lower: lower.filter(|_| !hides) }
                }
                Kind::Whiteout | Kind::File | Kind::Other => return Ok(None),
            };
        }
        match entry(place.upper.as_ref(), name)?.0 {
            Kind::File => read_file(place.upper.as_ref(), name),
            Kind::Nothing => read_file(place.lower.as_ref(), name),
            Kind::Whiteout | Kind::Folder | Kind::Other => Ok(None),
        }
    }

    /// What differs from the tree below with `applied` on top of it, of what `keep` names.
    pub(super) fn harvest(&self, applied: &Patch, keep: &dyn Fn(&RelPath) -> bool) -> Result<Patch> {
        let mut harvest = Harvest { layers: self, applied, keep, found: Patch::new(), bytes: 0 };
        if self.lower.is_some() {
            harvest.folder(&self.top()?, "", 0)?;
        }
        for (path, change) in applied.iter().filter(|(path, _)| keep(path)) {
            let now = self.read(path)?;
            if now != change.after && harvest.found.get(path).is_none() {
                harvest.found.set(path.clone(), Change { before: change.after.clone(), after: now });
            }
        }
        Ok(harvest.found)
    }
}

struct Harvest<'a> {
    layers: &'a Layers,
    applied: &'a Patch,
    keep: &'a dyn Fn(&RelPath) -> bool,
    found: Patch,
    bytes: u64,
}

impl Harvest<'_> {
    /// Looks at everything in the upper folder of `place`.
    fn folder(&mut self, place: &Place, at: &str, depth: usize) -> Result<()> {
        let Some(upper) = &place.upper else { return Ok(()) };
        if depth > DEEPEST {
            return Ok(());
        }
        let hidden_below = is_opaque(upper);
        let mut seen = BTreeSet::new();
        for name in names(upper)? {
            seen.insert(name.clone());
            let Some(path) = named(at, &name) else { continue };
            let (kind, _) = entry(Some(upper), &name)?;
            match kind {
                Kind::File => self.file(&path, Some(read_file(Some(upper), &name)))?,
                Kind::Whiteout => {
                    self.file(&path, None)?;
                    self.removed(open_folder(place.lower.as_ref(), &name)?, path.as_str(), depth + 1)?;
                }
                Kind::Folder => {
                    self.file(&path, None)?;
                    let lower = open_folder(place.lower.as_ref(), &name)?;
                    let next = Place { upper: open_folder(Some(upper), &name)?, lower };
                    self.folder(&next, path.as_str(), depth + 1)?;
                }
                Kind::Nothing | Kind::Other => {}
            }
        }
        if hidden_below && let Some(lower) = &place.lower {
            for name in names(lower)?.into_iter().filter(|name| !seen.contains(name)) {
                let Some(path) = named(at, &name) else { continue };
                self.file(&path, None)?;
                self.removed(open_folder(Some(lower), &name)?, path.as_str(), depth + 1)?;
            }
        }
        Ok(())
    }

    /// Everything in a folder of the tree below is gone.
    fn removed(&mut self, lower: Option<OwnedFd>, at: &str, depth: usize) -> Result<()> {
        let Some(lower) = lower.filter(|_| depth <= DEEPEST) else { return Ok(()) };
        for name in names(&lower)? {
            let Some(path) = named(at, &name) else { continue };
            match entry(Some(&lower), &name)?.0 {
                Kind::File => self.file(&path, None)?,
                Kind::Folder => self.removed(open_folder(Some(&lower), &name)?, path.as_str(), depth + 1)?,
                Kind::Nothing | Kind::Whiteout | Kind::Other => {}
            }
        }
        Ok(())
    }

    /// A file is there now (`Some`), or none is.
    fn file(&mut self, path: &RelPath, now: Option<Result<Option<FileState>>>) -> Result<()> {
        if !(self.keep)(path) {
            return Ok(());
        }
        let after = match now {
            // Too large: left out.
            Some(read) => match read? {
                None => return Ok(()),
                file => file,
            },
            None => None,
        };
        let before = match (self.applied.get(path), &self.layers.lower) {
            (Some(change), _) => change.after.clone(),
            (None, Some(lower)) => crate::patch::read_beneath(lower, path)?,
            (None, None) => None,
        };
        if before != after {
            self.bytes += after.as_ref().map_or(0, |file| file.bytes.len() as u64);
            if self.bytes > MOST_TOGETHER {
                bail!("commands changed more than {} MiB of the files to be kept", MOST_TOGETHER >> 20);
            }
            self.found.set(path.clone(), Change { before, after });
        }
        Ok(())
    }
}

/// The path of `name` in the folder `at`, if it is one that patches may have.
pub(super) fn named(at: &str, name: &str) -> Option<RelPath> {
    if name.eq_ignore_ascii_case(".git") {
        return None;
    }
    let text = if at.is_empty() { name.to_owned() } else { format!("{at}/{name}") };
    RelPath::new(&text).ok().filter(|path| path.as_str() == text)
}

/// The names in a folder that are UTF-8, sorted.
pub(super) fn names(folder: &OwnedFd) -> io::Result<Vec<String>> {
    let mut all = Vec::new();
    for each in Dir::read_from(readable(folder)?)? {
        let name = each?.file_name().to_owned();
        if let Ok(name) = name.into_string()
            && name != "."
            && name != ".."
        {
            all.push(name);
        }
    }
    all.sort();
    Ok(all)
}

fn open_top(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

fn readable(folder: &OwnedFd) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(folder, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// The folder `name` in `folder`; `None` where there is none, or a link, or something else.
fn open_folder(folder: Option<&OwnedFd>, name: &str) -> io::Result<Option<OwnedFd>> {
    let Some(folder) = folder else { return Ok(None) };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn entry(folder: Option<&OwnedFd>, name: &str) -> io::Result<(Kind, Option<Stat>)> {
    let Some(folder) = folder else { return Ok((Kind::Nothing, None)) };
    let stat = match rustix::fs::statat(folder, OsStr::from_bytes(name.as_bytes()), AtFlags::SYMLINK_NOFOLLOW)
    {
        Ok(stat) => stat,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok((Kind::Nothing, None)),
        Err(error) => return Err(error.into()),
    };
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Folder,
        FileType::CharacterDevice if stat.st_rdev == 0 => Kind::Whiteout,
        _ => Kind::Other,
    };
    Ok((kind, Some(stat)))
}

/// Whether a folder of a layer hides what lies below it.
pub(super) fn hides_what_is_below(folder: &Path) -> io::Result<bool> {
    Ok(is_opaque(&open_top(folder)?))
}

fn is_opaque(folder: &OwnedFd) -> bool {
    let mut value = [0u8; 1];
    let Ok(folder) = readable(folder) else { return false };
    matches!(rustix::fs::fgetxattr(&folder, OPAQUE, &mut value), Ok(1)) && value == *b"y"
}

/// A regular file; `None` where there is none or it is larger than [`MOST`].
fn read_file(folder: Option<&OwnedFd>, name: &str) -> Result<Option<FileState>> {
    let Some(folder) = folder else { return Ok(None) };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO | Errno::NOTDIR) => return Ok(None),
        // The user's own file that its owner made unreadable inside.
        Err(Errno::ACCESS) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let meta = file.metadata()?;
    if !meta.is_file() || meta.len() > MOST {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(MOST + 1).read_to_end(&mut bytes)?;
    use std::os::unix::fs::PermissionsExt;
    let executable = meta.permissions().mode() & 0o100 != 0;
    Ok((bytes.len() as u64 <= MOST).then_some(FileState { bytes, executable }))
}

/// As root, gives a file to the owner of `like`.
fn give(fd: impl AsFd, like: &Stat) -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        rustix::fs::fchown(fd, Some(Uid::from_raw(like.st_uid)), Some(Gid::from_raw(like.st_gid)))?;
    }
    Ok(())
}
