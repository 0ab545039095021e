//! Applies edits to a tree in memory, all or nothing.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use super::find::{Found, Lines};
use super::{Edit, Problem, Refused, forbidden, header, nearest};
use crate::patch::{Change, FileState, Patch, RelPath, Tree};

/// Applies `edits` one after the other, each on the result of those before it, and gives the change as a patch on `tree`.
/// A file keeps its line ends, byte order mark, final-newline state and execute bit.
///
/// # Errors
/// [`Refused::Unfit`] with every edit that does not fit (none is applied then); [`Refused::NoChange`] where all fit and nothing
/// is different.
pub fn apply(edits: &[Edit], tree: &Tree<'_>) -> Result<Patch, Refused> {
    if edits.is_empty() {
        return Err(Refused::NoEdits);
    }
    let mut draft = Draft { tree, files: BTreeMap::new() };
    let mut problems = Vec::new();
    let mut done = HashSet::new();
    for (index, edit) in edits.iter().enumerate() {
        // An answer that says the same thing twice means it once.
        if !done.insert(fingerprint(edit)) {
            continue;
        }
        if let Err(reason) = draft.make(edit) {
            problems.push(Problem { edit: index + 1, path: edit.path().clone(), reason });
        }
    }
    if !problems.is_empty() {
        return Err(Refused::Unfit(problems));
    }
    let patch =
        draft.patch().map_err(|(path, reason)| Refused::Unfit(vec![Problem { edit: 1, path, reason }]))?;
    if patch.is_empty() { Err(Refused::NoChange) } else { Ok(patch) }
}

fn fingerprint(edit: &Edit) -> String {
    format!("{edit:?}")
}

/// The tree with the edits made so far.
struct Draft<'a> {
    tree: &'a Tree<'a>,
    files: BTreeMap<RelPath, Option<FileState>>,
}

impl Draft<'_> {
    fn read(&self, path: &RelPath) -> Result<Option<FileState>, String> {
        match self.files.get(path) {
            Some(state) => Ok(state.clone()),
            None => self.tree.read(path).map_err(|error| format!("the file cannot be read: {error}")),
        }
    }

    fn make(&mut self, edit: &Edit) -> Result<(), String> {
        match edit {
            Edit::Replace { path, search, replace } => {
                let (path, file) = self.existing(path)?;
                let text = file
                    .as_text()
                    .ok_or("the file is not UTF-8 text; it can only be replaced whole or deleted")?;
                let text = replaced(&path, text, search, replace)?;
                self.files
                    .insert(path, Some(FileState { bytes: text.into_bytes(), executable: file.executable }));
            }
            Edit::Create { path, content } => {
                let content = checked_content(path, content)?;
                let state = match self.read(path)? {
                    None => {
                        self.free(path)?;
                        FileState::text(content)
                    }
                    Some(file) => refilled(&file, &content).ok_or(
                        "the file exists, and SEARCH is empty; give the lines to find, or write `(whole file)` after \
                         the path to replace all of it",
                    )?,
                };
                self.files.insert(path.clone(), Some(state));
            }
            Edit::Whole { path, content } => {
                let content = checked_content(path, content)?;
                let state = match self.existing(path) {
                    Ok((_, file)) => {
                        let text = file
                            .as_text()
                            .map_or_else(|| content.clone(), |old| Lines::new(old).replaced_by(&content));
                        FileState { bytes: text.into_bytes(), executable: file.executable }
                    }
                    Err(_) => {
                        self.free(path)?;
                        FileState::text(content)
                    }
                };
                let path = self.existing(path).map_or_else(|_| path.clone(), |(path, _)| path);
                self.files.insert(path, Some(state));
            }
            Edit::Delete { path } => {
                let (path, _) = self.existing(path)?;
                self.files.insert(path, None);
            }
            Edit::Rename { from, to } => {
                let (from, file) = self.existing(from)?;
                if from == *to {
                    return Ok(());
                }
                if self.read(to)?.is_some() {
                    return Err(format!("{to} exists already; DELETE it first or choose another name"));
                }
                self.files.insert(from.clone(), None);
                if let Err(reason) = self.free(to) {
                    self.files.insert(from, Some(file));
                    return Err(reason);
                }
                self.files.insert(to.clone(), Some(file));
            }
        }
        Ok(())
    }

    /// The file at `path`, or at `path` without the `a/` or `b/` of a diff.
    fn existing(&self, path: &RelPath) -> Result<(RelPath, FileState), String> {
        if let Some(file) = self.read(path)? {
            return Ok((path.clone(), file));
        }
        let bare = ["a/", "b/"].iter().find_map(|side| path.as_str().strip_prefix(side));
        if let Some(bare) =
            bare.and_then(|bare| RelPath::new(bare).ok()).filter(|bare| forbidden(bare).is_none())
            && let Some(file) = self.read(&bare)?
        {
            return Ok((bare, file));
        }
        if matches!(self.files.get(path), Some(None)) {
            return Err("an earlier edit of this answer deleted or renamed the file".into());
        }
        if let Some(what) = obstacle(self.tree.root, path) {
            return Err(what);
        }
        Err(match nearest::path(self.tree, path) {
            Some(near) => format!("the file does not exist; did you mean {near}?"),
            None => "the file does not exist; an empty SEARCH creates a file".into(),
        })
    }

    /// Whether a file can be made at `path`: nothing else stands there or in the way.
    fn free(&self, path: &RelPath) -> Result<(), String> {
        let mut above = path.parent();
        while let Some(folder) = above {
            if self.read(&folder)?.is_some() {
                return Err(format!("{folder} is a file, so there can be no {path} below it"));
            }
            above = folder.parent();
        }
        let below = format!("{path}/");
        let drafted =
            self.files.iter().any(|(other, state)| state.is_some() && other.as_str().starts_with(&below));
        let patched = self.tree.patch.iter().any(|(other, change)| {
            change.after.is_some() && other.as_str().starts_with(&below) && !self.files.contains_key(other)
        });
        if drafted || patched {
            return Err(format!("{path} is a folder"));
        }
        let removed = |path: &RelPath| match self.files.get(path) {
            Some(state) => state.is_none(),
            None => self.tree.patch.get(path).is_some_and(|change| change.after.is_none()),
        };
        match obstacle(self.tree.root, path) {
            // What is in the way on disk may be a file that the patch takes away.
            Some(what) if !removed(path) && !ancestors(path).any(|above| removed(&above)) => Err(what),
            _ => Ok(()),
        }
    }

    fn patch(self) -> Result<Patch, (RelPath, String)> {
        let mut patch = Patch::new();
        for (path, after) in self.files {
            let before = self.tree.read(&path).map_err(|error| (path.clone(), error.to_string()))?;
            patch.set(path, Change { before, after });
        }
        Ok(patch)
    }
}

fn ancestors(path: &RelPath) -> impl Iterator<Item = RelPath> {
    std::iter::successors(path.parent(), RelPath::parent)
}

/// What stands on disk at or above `path` that is no plain file or folder.
fn obstacle(root: &Path, path: &RelPath) -> Option<String> {
    let mut at = root.to_path_buf();
    let mut shown = String::new();
    let mut parts = path.as_str().split('/').peekable();
    while let Some(part) = parts.next() {
        at.push(part);
        shown.push_str(if shown.is_empty() { "" } else { "/" });
        shown.push_str(part);
        let kind = std::fs::symlink_metadata(&at).ok()?.file_type();
        let last = parts.peek().is_none();
        if kind.is_symlink() {
            return Some(format!("{shown} is a symlink; edit the file that it points to by its own path"));
        }
        if last && kind.is_dir() {
            return Some(format!("{shown} is a folder"));
        }
        if !last && !kind.is_dir() {
            return Some(format!("{shown} is a file, so there can be no {path} below it"));
        }
        if last && !kind.is_file() {
            return Some(format!("{shown} is not a regular file"));
        }
    }
    None
}

/// A blank file filled, or the same content again; `None` where there is something that an empty SEARCH must not replace.
fn refilled(file: &FileState, content: &str) -> Option<FileState> {
    let old = Lines::new(file.as_text()?);
    let text = old.replaced_by(content);
    (old.is_blank() || text.as_bytes() == file.bytes)
        .then(|| FileState { bytes: text.into_bytes(), executable: file.executable })
}

/// The text of `path` with one block applied.
fn replaced(path: &RelPath, text: &str, search: &str, replace: &str) -> Result<String, String> {
    if search.trim().is_empty() {
        return Err("SEARCH is empty; give the lines to find".into());
    }
    let lines = Lines::new(text);
    let mut found = lines.find(search);
    let (mut search, mut replace) = (search.to_owned(), replace.to_owned());
    if found == Found::Nowhere
        && let Some(bare) = unfenced(&search)
    {
        found = lines.find(&bare);
        replace = unfenced(&replace).unwrap_or(replace);
        search = bare;
    }
    match found {
        Found::Once(place) => {
            if let Some(line) =
                elided(path, &replace).filter(|line| !search.lines().any(|own| own.trim() == *line))
            {
                return Err(format!(
                    "REPLACE leaves code out with {line:?}; write every line, or use several smaller blocks"
                ));
            }
            Ok(lines.spliced(&place, &search, &replace))
        }
        Found::Several(at) => {
            let at: Vec<String> = at.iter().map(usize::to_string).collect();
            let at = match at.as_slice() {
                [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
                [] => String::new(),
            };
            Err(format!(
                "SEARCH matches at lines {at}; add surrounding lines to it until it is found only once"
            ))
        }
        Found::Nowhere => Err(not_found(path, &lines, &search, &replace)),
    }
}

fn not_found(path: &RelPath, lines: &Lines, search: &str, replace: &str) -> String {
    if let Some(line) = elided(path, search)
        .or_else(|| search.lines().map(str::trim).find(|line| matches!(*line, "..." | "…")))
    {
        return format!(
            "SEARCH leaves lines out with {line:?}; it must have whole consecutive lines of the file"
        );
    }
    let mut reason = format!("the SEARCH text was not found in {path}");
    if !replace.trim().is_empty() && matches!(lines.find(replace), Found::Once(_)) {
        reason.push_str(
            "; the REPLACE text is there already, so leave this block out if nothing else is to change",
        );
    }
    let needle: Vec<&str> = search.lines().collect();
    match nearest::lines(&lines.texts(), &needle) {
        Some(near) => format!("{reason}; copy the lines exactly as they are; {near}"),
        None => format!("{reason}, and nothing like it; look at the file's text again"),
    }
}

/// The content of a whole file: out of its fence, and with nothing left out.
fn checked_content(path: &RelPath, content: &str) -> Result<String, String> {
    let prose = matches!(path.extension(), Some("md" | "mdx" | "markdown" | "rst" | "txt" | "adoc"));
    let content =
        if prose { content.to_owned() } else { unfenced(content).unwrap_or_else(|| content.to_owned()) };
    match elided(path, &content) {
        Some(line) if !prose => {
            Err(format!("the file leaves code out with {line:?}; write every line of it"))
        }
        _ => Ok(content),
    }
}

/// The text inside one code fence that holds all of it.
fn unfenced(text: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.iter().position(|line| !line.trim().is_empty())?;
    let last = lines.iter().rposition(|line| !line.trim().is_empty())?;
    let closes = header::fence(lines[last]).is_some_and(str::is_empty);
    if first >= last || header::fence(lines[first]).is_none() || !closes {
        return None;
    }
    Some(lines[first + 1..last].iter().flat_map(|line| [*line, "\n"]).collect())
}

static ELISION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i)^\s*(?://+|#+|/\*+|<!--|--|;+|\{/\*)\s*(?:(?:\.{3}|…)[a-z0-9_ ,'’()-]*(?:\.{3}|…)?|(?:(?:the )?rest of|existing) [a-z0-9_ ,'’()-]*(?:unchanged|remains?|stays?|as before|the same|\.{3}|…)+)\s*(?:\*+/\}?|-->)?\s*$",
    )
    .expect("constant pattern")
});

/// The first line that stands for code that was left out.
fn elided<'t>(path: &RelPath, text: &'t str) -> Option<&'t str> {
    // In these languages three dots alone are never a statement.
    let dots = matches!(
        path.extension(),
        Some(
            "rs" | "js"
                | "jsx"
                | "ts"
                | "tsx"
                | "mjs"
                | "cjs"
                | "mts"
                | "cts"
                | "go"
                | "java"
                | "kt"
                | "c"
                | "h"
                | "cc"
                | "cpp"
                | "json"
                | "toml"
        )
    );
    text.lines()
        .find(|line| ELISION.is_match(line) || (dots && matches!(line.trim(), "..." | "…")))
        .map(str::trim)
}
