//! What a model answers, as edits, and edits applied to a tree.
//!
//! [`parse()`] reads SEARCH/REPLACE blocks, `DELETE`, `RENAME`, `UNFIXABLE:` and `QUESTION:` lines and unified diffs out of free text;
//! [`apply()`] turns them into a [`Patch`], all or nothing. Both forgive what models get wrong without changing the meaning (white
//! space, fences, decoration of paths) and refuse what could mean two things. A [`Refused`] is written for the next try.

mod apply;
mod find;
mod header;
mod nearest;
mod parse;
mod unified;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::patch::{PathRefused, RelPath};

pub use apply::apply;
pub use parse::parse;

#[cfg(doc)]
use crate::patch::Patch;

/// The longest answer that is read, in bytes.
pub const LONGEST_ANSWER: usize = 8 << 20;

/// What an answer says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The text around the edits, at most 8 KiB.
    pub explanation: String,
    /// The edits in the order of the answer.
    pub edits: Vec<Edit>,
    /// The reason of an `UNFIXABLE:` line.
    pub unfixable: Option<String>,
    /// What `QUESTION:` lines ask.
    pub questions: Vec<String>,
}

/// One edit. Texts have `\n` line ends and end with one unless they are empty; the file's own line ends are put in when applying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Puts `replace` where `search` stands; `search` has a line that is not blank.
    Replace {
        /// The file.
        path: RelPath,
        /// Whole lines to find.
        search: String,
        /// Whole lines instead.
        replace: String,
    },
    /// Makes a file that is not there yet.
    Create {
        /// The file.
        path: RelPath,
        /// All of its text.
        content: String,
    },
    /// Replaces all of a file, or makes it.
    Whole {
        /// The file.
        path: RelPath,
        /// All of its text.
        content: String,
    },
    /// Removes a file.
    Delete {
        /// The file.
        path: RelPath,
    },
    /// Moves a file.
    Rename {
        /// Where it is.
        from: RelPath,
        /// Where it goes; nothing may be there.
        to: RelPath,
    },
}

impl Edit {
    /// The file it is about; where a rename starts.
    pub fn path(&self) -> &RelPath {
        match self {
            Edit::Replace { path, .. }
            | Edit::Create { path, .. }
            | Edit::Whole { path, .. }
            | Edit::Delete { path } => path,
            Edit::Rename { from, .. } => from,
        }
    }
}

/// One edit that cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which edit of the answer, from 1.
    pub edit: usize,
    /// The file it is about.
    pub path: RelPath,
    /// What is wrong and what to do, one or a few lines.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "edit {} ({}): {}", self.edit, self.path, self.reason)
    }
}

/// Why an answer is not used. Its text tells the model what to do in the next try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Nothing but white space.
    Empty,
    /// Longer than [`LONGEST_ANSWER`].
    TooLong,
    /// Text, but nothing that could be done.
    NoEdits,
    /// A block or diff that is not whole; says which line and what is missing.
    Malformed(String),
    /// A path that edits may not touch.
    Path {
        /// The path as written.
        path: String,
        /// Why not.
        reason: String,
    },
    /// Edits that do not fit the tree; none of the answer's edits was applied.
    Unfit(Vec<Problem>),
    /// All edits apply, and nothing is different afterwards.
    NoChange,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Empty => f.write_str("the answer is empty; explain the fix and give the edits"),
            Refused::TooLong => write!(
                f,
                "the answer is longer than {LONGEST_ANSWER} bytes; edit with small SEARCH/REPLACE blocks"
            ),
            Refused::NoEdits => f.write_str(
                "the answer has no edits; write the file's path on a line of its own, then a block of \
                 `<<<<<<< SEARCH`, the lines to find, `=======`, the lines instead, `>>>>>>> REPLACE`, \
                 or `UNFIXABLE: reason`",
            ),
            Refused::Malformed(what) => f.write_str(what),
            Refused::Path { path, reason } => write!(f, "the path {path:?} is refused: {reason}"),
            Refused::Unfit(problems) => {
                f.write_str("no edit was applied, because ")?;
                match problems.as_slice() {
                    [only] => write!(f, "{only}"),
                    many => {
                        write!(f, "{} edits do not fit:", many.len())?;
                        many.iter().try_for_each(|problem| write!(f, "\n{problem}"))
                    }
                }
            }
            Refused::NoChange => f.write_str(
                "the edits change nothing: SEARCH and REPLACE are the same; give edits that differ",
            ),
        }
    }
}

impl std::error::Error for Refused {}

/// Checks a path that an edit names: inside the repo, not git's, not Regreen's own.
pub(crate) fn edit_path(text: &str) -> Result<RelPath, Refused> {
    let refuse = |reason: String| Refused::Path { path: text.to_owned(), reason };
    let path = RelPath::new(text).map_err(|error: PathRefused| refuse(error.to_string()))?;
    if let Some(reason) = forbidden(&path) {
        return Err(refuse(reason.to_owned()));
    }
    if text.contains('`') {
        return Err(refuse("it has a back quote; write the path alone, or between two of them".to_owned()));
    }
    Ok(path)
}

/// Why no patch may touch `path`, whatever it does there: `None` where one may.
pub fn forbidden(path: &RelPath) -> Option<&'static str> {
    // File systems that ignore case, trailing dots or invisible characters must not find `.git` behind another spelling.
    let invisible = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    if path.as_str().chars().any(invisible) {
        return Some("it has invisible characters");
    }
    for part in path.as_str().split('/') {
        let plain = part.trim_end_matches(['.', ' ']).to_ascii_lowercase();
        let plain = plain.split(':').next().unwrap_or_default();
        match plain {
            ".git" | "git~1" => return Some("git's own files are not edited"),
            ".regreen" => return Some("Regreen's own files are not edited"),
            _ => {}
        }
    }
    if path.file_name().eq_ignore_ascii_case("regreen.toml") {
        return Some("Regreen's own configuration is not edited");
    }
    None
}

/// Writes edits in the format that [`parse()`] reads.
pub fn render(edits: &[Edit]) -> String {
    let mut out = String::new();
    for edit in edits {
        match edit {
            Edit::Replace { path, search, replace } => block(&mut out, path, "", search, replace),
            Edit::Create { path, content } => block(&mut out, path, "", "", content),
            Edit::Whole { path, content } => block(&mut out, path, " (whole file)", "", content),
            Edit::Delete { path } => out.push_str(&format!("DELETE `{path}`\n\n")),
            Edit::Rename { from, to } => out.push_str(&format!("RENAME `{from}` -> `{to}`\n\n")),
        }
    }
    out
}

fn block(out: &mut String, path: &RelPath, note: &str, search: &str, replace: &str) {
    // Markers of a length that the text itself does not use.
    let count = [7, 9, 8, 6, 5]
        .into_iter()
        .find(|&count| {
            !search.lines().chain(replace.lines()).any(|line| parse::marker_length(line) == Some(count))
        })
        .unwrap_or(7);
    let quoted = header::parse_header(path.as_str(), false).is_none_or(|found| found.path != path.as_str());
    let tick = if quoted { "`" } else { "" };
    out.push_str(&format!("{tick}{path}{tick}{note}\n{} SEARCH\n{search}", "<".repeat(count)));
    out.push_str(&format!("{}\n{replace}{} REPLACE\n\n", "=".repeat(count), ">".repeat(count)));
}
