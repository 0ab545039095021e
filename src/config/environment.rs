//! The process's environment, read once and in one place.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::fault::Fault;

/// The variables that Regreen was started with. Values are secrets until shown otherwise: `Debug` prints names only.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    /// The folder that relative paths are relative to.
    cwd: PathBuf,
}

impl Environment {
    /// What this process was started with; variables that are not UTF-8 are left out.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads it")]
    pub fn from_process() -> Self {
        let pair = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            variables: std::env::vars_os().filter_map(pair).collect(),
            cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
        }
    }

    /// From pairs, for tests; relative paths are relative to `cwd`.
    pub fn from_pairs<K: Into<String>, V: Into<String>>(
        cwd: &Path,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let variables = pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { variables, cwd: cwd.to_owned() }
    }

    /// A variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Every variable with its value: for the redactor, which has to know what must not leave.
    pub fn pairs(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.variables.iter().map(|(name, value)| (name.clone(), value.clone()))
    }

    /// A variable as a secret.
    pub fn secret(&self, name: &str) -> Option<SecretString> {
        self.get(name).map(|value| SecretString::from(value.trim().to_owned())).filter(|secret| {
            use secrecy::ExposeSecret;
            !secret.expose_secret().is_empty()
        })
    }

    /// The person's home folder.
    pub fn home(&self) -> Option<PathBuf> {
        self.get("HOME").map(PathBuf::from).filter(|home| home.is_absolute())
    }

    /// A path as a person writes it in their own file: `~/` is their home, and a relative one starts where they stand.
    pub(super) fn path_of(&self, text: &str) -> PathBuf {
        match text.strip_prefix("~/").zip(self.home()) {
            Some((rest, home)) => home.join(rest),
            None => self.cwd.join(text),
        }
    }

    /// Where relative paths start.
    pub fn cwd(&self) -> &Path {
        &self.cwd
    }

    /// The person's configuration file, whether it exists or not; `None` where there is no home. The flag tells whether
    /// `REGREEN_CONFIG` names it (then it must exist).
    pub fn config_file(&self) -> Option<(PathBuf, bool)> {
        if let Some(path) = self.get("REGREEN_CONFIG") {
            return Some((self.cwd.join(path), true));
        }
        let base = self.xdg("XDG_CONFIG_HOME").or_else(|| Some(self.home()?.join(".config")))?;
        Some((base.join("regreen/config.toml"), false))
    }

    /// Refuses a tree that holds the person's home: a command that runs in it would see every key and password that lies there.
    ///
    /// # Errors
    /// A [`Fault`] (exit 2) where `root` is the home folder or above it.
    pub fn refuse_home(&self, root: &Path) -> Result<(), Fault> {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        match self.home() {
            Some(home) if real(&home).starts_with(real(root)) => Err(Fault::usage(format!(
                "{} holds your home folder: what runs there could read all that is in it",
                root.display()
            ))
            .hint("work in a folder of its own; where it is in no git repository, run `git init` there")),
            _ => Ok(()),
        }
    }

    /// The state folder's path, not yet made: `REGREEN_STATE_DIR`, else `$XDG_STATE_HOME/regreen`, else
    /// `~/.local/state/regreen`.
    ///
    /// # Errors
    /// Where none of them is known.
    pub fn state_path(&self) -> Result<PathBuf, Fault> {
        if let Some(path) = self.get("REGREEN_STATE_DIR") {
            return Ok(self.cwd.join(path));
        }
        self.xdg("XDG_STATE_HOME").or_else(|| Some(self.home()?.join(".local/state"))).map_or_else(
            || {
                Err(Fault::usage("there is no folder to keep state in: HOME is not set")
                    .hint("set HOME, or REGREEN_STATE_DIR to a private folder"))
            },
            |base| Ok(base.join("regreen")),
        )
    }

    /// Base folders that are not absolute are ignored, as the XDG specification asks.
    fn xdg(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("variables", &self.variables.keys())
            .field("cwd", &self.cwd)
            .finish()
    }
}

/// Makes the state folder if it is not there, and makes it private (0700).
///
/// # Errors
/// A [`Fault`] (exit 2) where it cannot be made, is no folder, or belongs to somebody else.
pub fn open_state_dir(path: &Path) -> Result<PathBuf, Fault> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
    let fault = |what: String| {
        Fault::usage(format!("the state folder {} {what}", path.display()))
            .hint("set REGREEN_STATE_DIR to a private folder on a local disk")
    };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|error| fault(format!("cannot be made: {error}")))?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(fault(format!("cannot be made: {error}")));
        }
        _ => {}
    }
    let path = path.canonicalize().map_err(|error| fault(format!("cannot be read: {error}")))?;
    let meta = std::fs::metadata(&path).map_err(|error| fault(format!("cannot be read: {error}")))?;
    if !meta.is_dir() {
        return Err(fault("is no folder".to_owned()));
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(fault("belongs to another user".to_owned()));
    }
    if meta.permissions().mode() & 0o777 != 0o700 {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))
            .map_err(|error| fault(format!("cannot be made private: {error}")))?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_that_holds_the_home_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        std::fs::create_dir_all(home.join("project")).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&home, &link).unwrap();
        let environment = Environment::from_pairs(folder.path(), [("HOME", link.to_str().unwrap())]);
        for root in [home.as_path(), link.as_path(), folder.path(), Path::new("/")] {
            assert!(environment.refuse_home(root).is_err(), "{}", root.display());
        }
        assert!(environment.refuse_home(&home.join("project")).is_ok());
        let none: [(&str, &str); 0] = [];
        assert!(Environment::from_pairs(folder.path(), none).refuse_home(folder.path()).is_ok());
    }
}
