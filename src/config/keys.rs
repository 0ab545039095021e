//! Where secrets come from: a variable, or a file that nobody else can read. Never a configuration file.

use std::path::PathBuf;

use anyhow::Result;
use secrecy::{ExposeSecret, SecretString};

use super::environment::Environment;
use super::reader::Section;
use crate::fault::Fault;

/// The largest file of a key, in bytes.
const LARGEST: u64 = 64 << 10;

/// Where a secret comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySource {
    /// The variable that holds it.
    pub env: Option<String>,
    /// The file that holds it, absolute.
    pub file: Option<PathBuf>,
}

impl KeySource {
    /// What the keys `env` and `file` of a table say.
    pub(super) fn of(
        section: &Section<'_, '_>,
        env: &'static str,
        file: &'static str,
        environment: &Environment,
    ) -> Result<Self, Fault> {
        let source = Self {
            env: section.string(env)?,
            file: section.string(file)?.map(|text| environment.path_of(&text)),
        };
        let plain = |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !source.env.as_ref().is_none_or(plain) {
            // Whoever pastes a key here must not see it again in a log.
            return Err(section.wrong(env, "must be the name of a variable, never the key itself"));
        }
        Ok(source)
    }

    /// Whether the configuration names one.
    pub fn is_named(&self) -> bool {
        self.env.is_some() || self.file.is_some()
    }

    /// The secret: the variable's, else the file's; `None` where neither is named, or the variable is not set.
    ///
    /// # Errors
    /// Where the file cannot be read, is empty, or others can read it.
    pub fn read(&self, environment: &Environment) -> Result<Option<SecretString>> {
        if let Some(key) = self.env.as_deref().and_then(|name| environment.secret(name)) {
            return Ok(Some(key));
        }
        let Some(file) = &self.file else { return Ok(None) };
        use std::os::unix::fs::PermissionsExt;
        let fault = |what: String| Fault::usage(format!("the key file {} {what}", file.display()));
        let unreadable = |error: std::io::Error| fault(format!("cannot be read: {error}"));
        let meta = std::fs::metadata(file).map_err(unreadable)?;
        if !meta.is_file() || meta.len() > LARGEST {
            return Err(fault("is no small regular file".to_owned()).into());
        }
        if meta.permissions().mode() & 0o077 != 0 {
            let hint = format!("chmod 600 {}", file.display());
            return Err(fault("can be read by others".to_owned()).hint(hint).into());
        }
        let text = SecretString::from(std::fs::read_to_string(file).map_err(unreadable)?);
        match text.expose_secret().trim() {
            "" => Err(fault("is empty".to_owned()).into()),
            key => Ok(Some(SecretString::from(key.to_owned()))),
        }
    }
}
