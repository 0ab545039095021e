//! What a job may reach where there are no namespaces: few of the host's own paths, and no sockets.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::spec::Fence;
use super::toolchains::Toolchains;
use super::{Job, view};
use crate::fault::Fault;

/// What is read of `/etc` besides what every view shows.
const NAMES: &[&str] = &["/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/hosts", "/etc/hostname"];

/// A folder for a job alone, its HOME and its place for temporary files.
pub(super) fn own_folder(job: &Job) -> Result<tempfile::TempDir> {
    let (uid, gid) = view::owner_of(&job.view.root)?;
    let folder =
        tempfile::Builder::new().prefix("regreen-").tempdir().context("making a folder for the job")?;
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(folder.path(), Some(uid), Some(gid))
            .context("giving away the job's folder")?;
    }
    Ok(folder)
}

/// The fence for `job`, whose own folder is `own`.
pub(super) fn fence(job: &Job, toolchains: &Toolchains, own: &Path) -> Result<Fence> {
    let tree = &job.view;
    if let Some(home) = &toolchains.home
        && home.starts_with(&tree.root)
    {
        let what = "--sandbox degraded cannot hide the keys in a home folder that is the tree itself";
        return Err(Fault::usage(what).hint("heal a folder below it").into());
    }
    let (uid, gid) = view::owner_of(&tree.root)?;
    let system = view::SYSTEM.iter().chain(view::MERGED).chain(NAMES).map(PathBuf::from);
    let etc = Path::new("/etc");
    let prefixed = std::fs::read_dir(etc).into_iter().flatten().flatten().filter(|entry| {
        let name = entry.file_name();
        view::ETC_PREFIXES.iter().any(|prefix| name.to_string_lossy().starts_with(prefix))
    });
    let mut readable: Vec<PathBuf> = system
        .chain(view::ETC.iter().map(|name| etc.join(name)))
        .chain(prefixed.map(|entry| entry.path()))
        .chain(toolchains.shown.iter().map(|shown| shown.source.clone()))
        .chain(toolchains.caches.iter().filter_map(|cache| cache.source.clone()))
        .chain(tree.lowers.iter().cloned())
        .chain(["/proc", "/dev/null"].map(PathBuf::from))
        .collect();
    // A tool stops at settings that are there and cannot be read. Those that hold no key may be; of others there is no copy to show instead,
    // because tools find them above the tree as well.
    let harmless = |(path, text): &&(PathBuf, String)| {
        std::fs::read_to_string(path).is_ok_and(|all| all.lines().eq(text.lines()))
    };
    readable.extend(toolchains.made.iter().filter(harmless).map(|(path, _)| path.clone()));
    let mut writable = vec![own.to_owned()];
    writable.extend(tree.reports.clone());
    if tree.in_place {
        writable.extend(tree.lowers.clone());
    }
    // A rule is for all that lies below: what holds a secret is not shown at all.
    let below_home =
        toolchains.home.iter().flat_map(|home| view::SECRETS.iter().map(move |name| home.join(name)));
    let secrets: Vec<PathBuf> = below_home
        .chain(toolchains.secrets.iter().cloned())
        .filter_map(|path| path.canonicalize().ok())
        .collect();
    readable.retain(|path| {
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        !secrets.iter().any(|secret| secret.starts_with(&real) || real.starts_with(secret))
    });
    Ok(Fence { uid, gid, readable, writable })
}
