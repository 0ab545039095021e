//! Layers that outlive their run: what a setup command left behind, for the next run with the same inputs.
//!
//! A layer appears under its key in one rename, whole or not at all, and is never changed afterwards. Whoever uses one holds a shared
//! lock on it; the oldest that nobody holds are removed when there are too many.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Timespec, Timestamps, UTIME_NOW, flock};

use super::ATTEMPT;
use crate::patch::RelPath;
use crate::scratch::{self, Folder, LOCK};

/// How layers are made and what is left out of them: another number where that changes, so that those of before are not found.
const FORMAT: u32 = 3;
/// The most layers kept.
const MOST: usize = 8;
/// The most bytes kept.
const MOST_BYTES: u64 = 16 << 30;
const LAYER: &str = "upper";
const CACHES: &str = "caches";
const BYTES: &str = "bytes";
/// What package managers own: what is in these folders is theirs, whatever the tree has there.
const PACKAGES: &[&str] =
    &["node_modules", ".venv", "venv", ".yarn", ".tox", "vendor", ".pnp.cjs", ".pnp.loader.mjs"];
/// The bits of a program that runs as its owner or its group.
const SET_IDS: u32 = 0o6000;
/// The file that says that its folder is a virtual environment, whatever that is called.
const ENVIRONMENT: &str = "pyvenv.cfg";

/// A layer in use.
#[derive(Debug)]
pub(super) struct Layer {
    path: PathBuf,
    /// Held while the layer is used.
    _lock: File,
}

impl Layer {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What it has of the caches of package managers.
    pub(super) fn caches(&self) -> PathBuf {
        self.path.with_file_name(CACHES)
    }
}

/// Where the layer kept as `key` lies.
fn place(cache: &Path, key: &str) -> PathBuf {
    cache.join(format!("{FORMAT}-{key}"))
}

/// The layer kept as `key`.
pub(super) fn find(cache: &Path, key: &str) -> io::Result<Option<Layer>> {
    let folder = place(cache, key);
    let lock = match File::options().read(true).write(true).open(folder.join(LOCK)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if flock(&lock, FlockOperation::NonBlockingLockShared).is_err() {
        return Ok(None); // somebody is removing it
    }
    // Between opening and locking it may have gone, or have been replaced.
    let still = fs::metadata(folder.join(LOCK))
        .is_ok_and(|now| lock.metadata().is_ok_and(|its| its.ino() == now.ino()));
    if !still {
        return Ok(None);
    }
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    rustix::fs::futimens(&lock, &Timestamps { last_access: now, last_modification: now })?;
    Ok(Some(Layer { path: folder.join(LAYER), _lock: lock }))
}

/// Moves the folder `upper`, and that with what is kept of caches, into the cache as `key`. Where another run was faster, its layer is
/// taken.
pub(super) fn keep(cache: &Path, key: &str, upper: &Path, caches: &Path) -> io::Result<Layer> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(cache)?;
    scratch::sweep(cache, ATTEMPT)?;
    let folder = Folder::create(cache, ATTEMPT)?;
    fs::write(folder.path().join(BYTES), (settle(upper)? + settle(caches)?).to_string())?;
    fs::rename(upper, folder.path().join(LAYER))?;
    fs::rename(caches, folder.path().join(CACHES))?;
    let place = place(cache, key);
    let layer = match folder.publish(&place) {
        Ok(lock) => Layer { path: place.join(LAYER), _lock: lock },
        Err(error) => find(cache, key)?.ok_or(error)?,
    };
    evict(cache, &place)?;
    Ok(layer)
}

/// Takes these files out of a layer, or out of a copy of the tree, whatever is there now: an attempt had them from a patch, or did not
/// see them. Folders that are empty then go with them, if the tree has none there. Links are not followed.
pub(super) fn take_out<'p>(
    root: &Path,
    upper: &Path,
    paths: impl Iterator<Item = &'p RelPath>,
) -> io::Result<()> {
    for path in paths.map(|path| Path::new(path.as_str())) {
        let folders: Vec<&Path> =
            path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).collect();
        let mut inside = true;
        for folder in folders.iter().rev() {
            inside = inside && is_folder(&upper.join(folder))?;
        }
        if !inside {
            continue;
        }
        let place = upper.join(path);
        if is_folder(&place)? {
            scratch::remove(&place)?;
        } else {
            match fs::remove_file(&place) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        for folder in folders {
            if is_folder(&root.join(folder))? {
                break;
            }
            match fs::remove_dir(upper.join(folder)) {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => break,
                done => done?,
            }
        }
    }
    Ok(())
}

/// Whether a folder is there, and no link to one.
pub(super) fn is_folder(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(meta) => Ok(meta.is_dir()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Takes what a command did to the tree's own files out of a layer: the tree is as its owner has it. What package managers made stays.
pub(super) fn leave_alone(root: &Path, upper: &Path) -> io::Result<()> {
    let mut folders = vec![PathBuf::new()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(upper.join(&at))? {
            let entry = entry?;
            let path = at.join(entry.file_name());
            let own = fs::symlink_metadata(root.join(&path)).ok();
            let is_folder = entry.file_type()?.is_dir();
            let replaced = is_folder && own.as_ref().is_none_or(|own| !own.is_dir());
            match own {
                _ if PACKAGES.iter().any(|name| entry.file_name() == *name) => {}
                None => {}
                Some(_) if replaced => scratch::remove(&entry.path())?,
                Some(_) if is_folder => {
                    if super::layers::hides_what_is_below(&entry.path())? {
                        scratch::remove(&entry.path())?;
                    } else {
                        folders.push(path);
                    }
                }
                Some(_) => fs::remove_file(entry.path())?,
            }
        }
    }
    Ok(())
}

/// Takes out of a layer whatever does not lie in a package manager's own folder, so that nothing stays that may have been made from the
/// tree's own files.
pub(super) fn packages_alone(upper: &Path) -> io::Result<()> {
    let mut folders = vec![upper.to_owned()];
    let mut next = 0;
    while next < folders.len() {
        let folder = folders[next].clone();
        next += 1;
        for entry in fs::read_dir(&folder)? {
            let (entry, path) = entry.map(|entry| (entry.file_name(), entry.path()))?;
            if PACKAGES.iter().any(|name| entry == *name) {
                continue;
            }
            match is_folder(&path)? {
                true if path.join(ENVIRONMENT).is_file() => {}
                true => folders.push(path),
                false => fs::remove_file(&path)?,
            }
        }
    }
    // Children before parents; one that still holds something stays.
    for folder in folders.iter().skip(1).rev() {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// What a folder takes on disk, in bytes. Programs in it lose the right to run as their owner or group: it outlives the sandbox.
fn settle(folder: &Path) -> io::Result<u64> {
    let mut total = 0u64;
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at)? {
            let path = entry?.path();
            let meta = fs::symlink_metadata(&path)?;
            if meta.is_file() && meta.mode() & SET_IDS != 0 {
                fs::set_permissions(&path, fs::Permissions::from_mode(meta.mode() & !SET_IDS))?;
            }
            total = total.saturating_add(meta.blocks().saturating_mul(512));
            if meta.is_dir() {
                folders.push(path);
            }
        }
    }
    Ok(total)
}

/// Removes the layers used longest ago, until what is left is within the limits. Those in use, and the one at `kept`, stay.
fn evict(cache: &Path, kept: &Path) -> io::Result<()> {
    let mut layers = Vec::new();
    for entry in fs::read_dir(cache)?.flatten() {
        let path = entry.path();
        let Ok(used) = fs::metadata(path.join(LOCK)) else { continue };
        let Ok(bytes) = fs::read_to_string(path.join(BYTES)) else { continue };
        layers.push(((used.mtime(), used.mtime_nsec()), bytes.trim().parse::<u64>().unwrap_or(0), path));
    }
    layers.sort();
    let mut count = layers.len();
    let mut bytes: u64 = layers.iter().map(|(_, bytes, _)| bytes).sum();
    for (_, its, path) in layers {
        if count <= MOST && bytes <= MOST_BYTES {
            break;
        }
        if path == kept {
            continue;
        }
        let Ok(lock) = File::open(path.join(LOCK)) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        // Out of sight in one step: nobody must find half of it.
        let gone = cache.join(format!("attempt-{}", uuid::Uuid::now_v7().simple()));
        fs::rename(&path, &gone)?;
        scratch::remove(&gone)?;
        count -= 1;
        bytes = bytes.saturating_sub(its);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upper(base: &Path, name: &str) -> PathBuf {
        let path = base.join(name);
        fs::create_dir_all(path.join("node_modules/dep")).unwrap();
        fs::write(path.join("node_modules/dep/index.js"), name).unwrap();
        path
    }

    fn put(cache: &Path, key: &str, upper: &Path) -> io::Result<Layer> {
        let caches = upper.with_extension("caches");
        fs::create_dir_all(caches.join("cargo-registry")).unwrap();
        keep(cache, key, upper, &caches)
    }

    #[test]
    fn the_first_of_two_builders_wins_and_both_use_it() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("layers");
        assert!(find(&cache, "k").unwrap().is_none());
        let one = put(&cache, "k", &upper(folder.path(), "one")).unwrap();
        let two = put(&cache, "k", &upper(folder.path(), "two")).unwrap();
        assert_eq!(one.path(), two.path());
        let read = fs::read_to_string(two.path().join("node_modules/dep/index.js")).unwrap();
        assert_eq!(read, "one");
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 1, "the loser left something behind");
        assert!(find(&cache, "k").unwrap().is_some());
    }

    #[test]
    fn the_oldest_go_first_and_what_is_used_stays() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("layers");
        let used = put(&cache, "0", &upper(folder.path(), "u0")).unwrap();
        for number in 1..=MOST + 2 {
            drop(put(&cache, &number.to_string(), &upper(folder.path(), &format!("u{number}"))).unwrap());
        }
        let mut left: Vec<usize> = fs::read_dir(&cache)
            .unwrap()
            .map(|entry| {
                let name = entry.unwrap().file_name().into_string().unwrap();
                name.strip_prefix(&format!("{FORMAT}-")).unwrap().parse().unwrap()
            })
            .collect();
        left.sort_unstable();
        assert_eq!(left.len(), MOST);
        assert!(left.contains(&0), "a layer in use was removed");
        assert!(left.contains(&(MOST + 2)) && !left.contains(&1) && !left.contains(&2), "{left:?}");
        drop(used);
    }

    #[test]
    fn a_kept_layer_has_no_programs_that_run_as_others() {
        let folder = tempfile::tempdir().unwrap();
        let upper = upper(folder.path(), "one");
        let program = upper.join("node_modules/dep/program");
        fs::write(&program, "").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o6755)).unwrap();
        let layer = put(&folder.path().join("layers"), "k", &upper).unwrap();
        let mode = fs::metadata(layer.path().join("node_modules/dep/program")).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o755);
    }

    #[test]
    fn half_built_layers_of_a_crash_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("layers");
        fs::create_dir_all(cache.join("attempt-dead/upper/x")).unwrap();
        fs::write(cache.join("attempt-dead/lock"), "").unwrap();
        drop(put(&cache, "k", &upper(folder.path(), "one")).unwrap());
        assert!(!cache.join("attempt-dead").exists());
    }

    #[test]
    fn the_trees_own_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (root, layer) = (folder.path().join("tree"), folder.path().join("layer"));
        for (base, at) in
            [(&root, "src/own.js"), (&layer, "src/own.js"), (&layer, "src/made.js"), (&layer, "dist/new.js")]
        {
            let path = base.join(at);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, at).unwrap();
        }
        fs::create_dir_all(root.join("node_modules")).unwrap();
        fs::write(root.join("node_modules/old"), "").unwrap();
        fs::create_dir_all(layer.join("node_modules")).unwrap();
        fs::write(layer.join("node_modules/old"), "new").unwrap();
        leave_alone(&root, &layer).unwrap();
        assert!(!layer.join("src/own.js").exists());
        for kept in ["src/made.js", "dist/new.js", "node_modules/old"] {
            assert!(layer.join(kept).exists(), "{kept}");
        }
    }

    #[test]
    fn without_sources_only_what_package_managers_own_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let layer = folder.path().join("layer");
        for at in [
            "node_modules/dep/index.js",
            "app/node_modules/dep/index.js",
            "env/pyvenv.cfg",
            "env/lib/site.py",
            "src/__pycache__/a.pyc",
            "target/debug/a",
            "dist/out.js",
            "sample.egg-info/PKG-INFO",
            "package-lock.json",
        ] {
            let path = layer.join(at);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, at).unwrap();
        }
        std::os::unix::fs::symlink("node_modules", layer.join("link")).unwrap();
        packages_alone(&layer).unwrap();
        let mut left: Vec<_> = fs::read_dir(&layer)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["app", "env", "node_modules"]);
        assert!(
            layer.join("env/lib/site.py").exists() && layer.join("app/node_modules/dep/index.js").exists()
        );
    }
}
