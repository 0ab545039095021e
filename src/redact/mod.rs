//! Takes secrets out of text before it leaves the machine or reaches a log.
//!
//! Three kinds of thing are taken out: values that are known to be secret (of environment variables, of the configuration, of the repo's
//! `.env` files and remotes), in every form in which they travel (`known`); tokens whose shape gives them away; and values that look random
//! behind a name that says secret (`shapes`). Plain digests and UUIDs stay: source code and lock files are full of them. Time is linear in
//! the text. JSON stays JSON: no replacement takes a quote or a half of an escape with it.

mod decode;
mod known;
mod names;
mod shapes;
#[cfg(test)]
mod tests;
mod undo;

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use known::Known;

use crate::patch::read_small;

/// The most bytes of a file of secrets that are read.
const MOST_FILE: u64 = 256 << 10;
/// The most files of secrets in one folder, and the most secrets of them: each costs time wherever a text is looked through.
const MOST_FILES: usize = 20;
const MOST_BESIDE: usize = 100;

/// What takes secrets out. Cheap to clone.
#[derive(Clone, Default)]
pub struct Redactor {
    known: Option<Arc<Known>>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("values", &self.values().len()).finish_non_exhaustive()
    }
}

impl Redactor {
    /// Knows `values` as secrets, besides the shapes that everyone knows. Values shorter than 8 bytes are left out.
    pub fn new(values: impl IntoIterator<Item = String>) -> Self {
        Self { known: Known::of(values).map(Arc::new) }
    }

    /// Knows the values of `variables` whose names say that they are secret, and the passwords in URLs of any of them.
    pub fn from_env(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self::new(variables.into_iter().flat_map(|(name, value)| names::secrets_of(&name, &value)))
    }

    /// The same, and `values` too.
    #[must_use]
    pub fn with_secrets(&self, values: impl IntoIterator<Item = String>) -> Self {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return self.clone();
        }
        Self::new(self.values().iter().cloned().chain(values))
    }

    /// The same, and `value` too.
    #[must_use]
    pub fn with_secret(&self, value: &str) -> Self {
        self.with_secrets([value.to_owned()])
    }

    /// The same, and what the folder at `root` keeps beside its sources: the values of its `.env` files whose names say that they are secret.
    #[must_use]
    pub fn with_env_files(&self, root: &Path) -> Self {
        self.with_secrets(secrets_beside(root))
    }

    /// The same, and the passwords and tokens in the URLs and the `Authorization` headers of `settings`.
    #[must_use]
    pub fn with_urls(&self, settings: &str) -> Self {
        self.with_secrets(names::url_secrets(settings))
    }

    /// Takes secrets out of text that comes line by line.
    pub fn lines(&self) -> Lines {
        Lines { redactor: self.clone(), in_key: false, before: String::new() }
    }

    fn values(&self) -> &[String] {
        self.known.as_deref().map_or(&[], Known::values)
    }

    /// `text` with every secret replaced by `[redacted]` or `[redacted:kind]`.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        if let Some(known) = &self.known {
            known.redact(&mut text);
        }
        shapes::redact(&mut text);
        text
    }

    /// Takes secrets out of every string of `value`, names of fields included; the strings below a field that `exact` names stay as they
    /// are.
    pub fn redact_json(&self, value: &mut Value, exact: &dyn Fn(&str) -> bool) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(cleaned) = self.redact(text) {
                    *text = cleaned;
                }
            }
            Value::Array(all) => all.iter_mut().for_each(|one| self.redact_json(one, exact)),
            Value::Object(fields) => {
                let renamed = fields.keys().any(|name| matches!(self.redact(name), Cow::Owned(_)));
                if renamed {
                    let old = std::mem::take(fields);
                    fields.extend(
                        old.into_iter().map(|(name, value)| (self.redact(&name).into_owned(), value)),
                    );
                }
                fields
                    .iter_mut()
                    .filter(|(name, _)| !exact(name))
                    .for_each(|(_, field)| self.redact_json(field, exact));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// How much of earlier lines is looked at with a line, in bytes.
const BEFORE: usize = 1024;

/// Takes secrets out of lines, which may be parts of a private key, or hold parts of one value together.
#[derive(Debug)]
pub struct Lines {
    redactor: Redactor,
    in_key: bool,
    /// The last lines as they came.
    before: String,
}

impl Lines {
    /// The next line without secrets. Of a value that goes over several lines no more than the first eight bytes are told.
    pub fn next(&mut self, line: &str) -> String {
        let was_in_key = self.in_key;
        let (key, open) = shapes::key_in_line(line, was_in_key);
        self.in_key = open;
        if key {
            self.before.clear();
            return "[redacted:private-key]".to_owned();
        }
        let shown = match &self.redactor.known {
            Some(known) => {
                let shown = known.redact_behind(&self.before, line);
                self.before.push_str(line);
                self.before.push('\n');
                let mut from = self.before.len().saturating_sub(BEFORE);
                while !self.before.is_char_boundary(from) {
                    from += 1;
                }
                self.before.drain(..from);
                shown
            }
            None => line.to_owned(),
        };
        let mut shown = Cow::Owned(shown);
        shapes::redact(&mut shown);
        shown.into_owned()
    }
}

/// The secrets that lie beside a repo's sources.
fn secrets_beside(root: &Path) -> Vec<String> {
    let mut values = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(root).into_iter().flatten().flatten().collect();
    files.retain(|file| file.file_name().to_str().is_some_and(names::is_env_file));
    files.sort_by_key(std::fs::DirEntry::file_name);
    for file in files.into_iter().take(MOST_FILES) {
        for line in read_small(&file.path(), MOST_FILE).unwrap_or_default().lines() {
            let line = line.trim();
            let Some((name, value)) = line.strip_prefix("export ").unwrap_or(line).split_once('=') else {
                continue;
            };
            values.extend(names::secrets_of(name.trim(), names::unquoted(value)));
        }
    }
    values.truncate(MOST_BESIDE);
    values
}

/// Replaces `spans` of `text`, which are sorted and do not overlap, by `with`.
fn replace_spans(text: &mut Cow<'_, str>, spans: &[(usize, usize)], with: &str) {
    if spans.is_empty() {
        return;
    }
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for &(start, end) in spans {
        out.push_str(&text[done..start]);
        out.push_str(with);
        done = end;
    }
    out.push_str(&text[done..]);
    *text = Cow::Owned(out);
}
