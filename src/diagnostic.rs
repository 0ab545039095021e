//! One thing a tool complained about, and the identity of a failure.

mod stable;

use serde::{Deserialize, Serialize};

pub use stable::stable;

/// How bad a diagnostic is. Only errors make a check red; warnings are context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The check fails because of it.
    Error,
    /// Told beside the errors.
    Warning,
}

/// What kind of fault it is: routing, hints and statistics go by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// An imported module or name does not resolve.
    Import,
    /// A module does not export what is asked of it.
    Export,
    /// The text does not parse.
    Syntax,
    /// Types do not agree.
    Type,
    /// A name that is defined nowhere in scope.
    UndefinedName,
    /// A field, method or property that the type does not have.
    MissingMember,
    /// Ownership and borrowing.
    Borrow,
    /// A package that is not there or does not fit.
    Dependency,
    /// A tool's configuration is wrong.
    Configuration,
    /// A test's assertion failed.
    TestAssertion,
    /// The program failed while it ran (exception, panic, crash).
    Runtime,
    /// Style, formatting, lint.
    Style,
    /// None of the above.
    Other,
}

/// A place in a file. Lines and columns count from 1; columns count Unicode scalar values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1, in characters; 1 where the tool gave none.
    pub column: u32,
}

/// From `start` up to, not including, `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Range {
    /// First position.
    pub start: Position,
    /// Position after the last; equal to `start` where the tool gave only a point.
    pub end: Position,
}

/// One complaint of one tool.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Diagnostic {
    /// The tool: `rustc`, `clippy`, `tsc`, `pytest`, `node`, …
    pub tool: String,
    /// How bad.
    pub severity: Severity,
    /// The tool's own code: `E0425`, `TS2304`, `F821`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The message, first line first, without the tool's colours.
    pub message: String,
    /// The file, relative to the repo's root with `/` if it lies inside, else as the tool printed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Where in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Range>,
    /// What kind of fault.
    pub category: Category,
    /// The test that failed, in its runner's own naming.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
    /// The tool's own longer rendering, for people and models; never part of an identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Folders that hold what others wrote: packages, toolchains, what was built.
const FOREIGN: &[&str] =
    &["node_modules", "site-packages", "dist-packages", ".venv", "venv", "vendor", "target"];

impl Diagnostic {
    /// Where it is, for people: `src/lib.rs:10`, or the file alone where there is no line. `None` where the tool named no file.
    pub fn place(&self) -> Option<String> {
        let file = self.file.as_deref()?;
        Some(match &self.range {
            Some(range) => format!("{file}:{}", range.start.line),
            None => file.to_owned(),
        })
    }

    /// Whether it names a file of the project's own: inside the repo, and in no folder of packages or of what was built.
    pub fn is_own(&self) -> bool {
        let inside = |file: &str| !file.starts_with(['/', '<']) && !file.starts_with("node:");
        let foreign = |file: &str| file.split('/').any(|folder| FOREIGN.contains(&folder));
        self.file.as_deref().is_some_and(|file| inside(file) && !foreign(file))
    }
}

/// The stable identity of a failure: the same fault gives the same fingerprint though lines moved, temporary folders
/// were renamed or the order changed. Lower-case hexadecimal SHA-256, cut to 32 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub String);

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
