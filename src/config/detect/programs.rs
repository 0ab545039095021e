//! Which programs this machine has.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// The folders in which checks look for programs.
#[derive(Debug, Clone, Default)]
pub struct Programs {
    folders: Vec<PathBuf>,
}

impl Programs {
    /// The programs that `path`, a value of `PATH`, leads to. Relative folders count for nothing: a tree could fill them.
    pub fn of(path: Option<&str>) -> Self {
        let folders = std::env::split_paths(path.unwrap_or_default());
        Self { folders: folders.filter(|folder| folder.is_absolute()).collect() }
    }

    /// Whether `name` can be started by its name alone.
    pub fn has(&self, name: &str) -> bool {
        let runs = |folder: &PathBuf| {
            folder
                .join(name)
                .metadata()
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        };
        self.folders.iter().any(runs)
    }
}
