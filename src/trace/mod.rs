//! Stack traces, as languages print them, found in any text: logs with prefixes and noise, chains of causes.
//!
//! One language per file. All input is hostile: each parser works line by line with linear-time patterns, and looks at a bounded
//! number of lines, frames and causes.

pub mod go;
pub mod jvm;
pub mod native;
pub mod node;
pub mod php;
pub mod python;
pub mod ruby;
pub mod rust;

use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

/// Frames that are kept of one trace, the innermost ones.
const MOST_FRAMES: usize = 200;
/// Traces that are read from one text.
const MOST_TRACES: usize = 50;
/// Links of one chain of causes.
const MOST_CAUSES: usize = 20;
/// Lines that are looked at, the last ones of a longer text: a crash stands at the end.
const MOST_LINES: usize = 50_000;
/// Lines longer than this are no line of a trace, in bytes.
const LONG_LINE: usize = 8_192;
/// The longest message that is kept, in bytes.
const MESSAGE: usize = 2_000;
/// The longest name of a function, module or file, in bytes.
const NAME: usize = 500;

/// What printed a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Language {
    /// CPython and its like.
    Python,
    /// JavaScript and what compiles to it.
    Node,
    /// Rust.
    Rust,
    /// Go.
    Go,
    /// Java, Kotlin, Scala.
    Jvm,
    /// Ruby.
    Ruby,
    /// PHP.
    Php,
    /// C and C++, as debuggers, sanitizers and glibc print them.
    Native,
}

impl Language {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Language::Python => "python",
            Language::Node => "node",
            Language::Rust => "rust",
            Language::Go => "go",
            Language::Jvm => "jvm",
            Language::Ruby => "ruby",
            Language::Php => "php",
            Language::Native => "native",
        }
    }
}

/// One call of a stack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// The file as printed, with `/`; for the JVM with the folders that its package stands for. Empty where none was told.
    pub file: String,
    /// From 1; 0 where none was told.
    pub line: u32,
    /// From 1; 0 where none was told.
    pub column: u32,
    /// The function with what it belongs to, as the language writes it. Empty where none was told.
    pub function: String,
    /// The module, package or binary. Empty where none was told.
    pub module: String,
    /// Whether whoever reported it says that it is the program's own code; `None` where nobody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_app: Option<bool>,
}

impl Frame {
    /// A frame; names are cut where they are too long.
    pub fn new(file: &str, line: u32, column: u32, function: &str) -> Self {
        Self {
            file: cut(file.trim(), NAME).replace('\\', "/"),
            line,
            column,
            function: cut(function.trim(), NAME).to_owned(),
            ..Self::default()
        }
    }

    /// The same in this module.
    #[must_use]
    pub fn of(self, module: &str) -> Self {
        Self { module: cut(module.trim(), NAME).to_owned(), ..self }
    }
}

/// What ended a program, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// What printed it.
    pub language: Language,
    /// The type of the exception as printed: `ZeroDivisionError`, `java.lang.IllegalStateException`, `panic`, `SIGSEGV`.
    pub kind: String,
    /// What it says.
    pub message: String,
    /// The calls, the innermost first.
    pub frames: Vec<Frame>,
    /// What this one was raised because of, or while that was handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Box<Trace>>,
}

impl Trace {
    /// A trace without frames.
    pub fn new(language: Language, kind: &str, message: &str) -> Self {
        Self {
            language,
            kind: cut(kind.trim(), NAME).to_owned(),
            message: cut(message.trim(), MESSAGE).to_owned(),
            frames: Vec::new(),
            cause: None,
        }
    }

    /// The type without its module: `IllegalStateException`.
    pub fn short(&self) -> &str {
        let name = self.kind.rsplit(['.', ':', '\\']).next().unwrap_or_default();
        if name.is_empty() { &self.kind } else { name }
    }

    /// The trace and its causes, the first of all last.
    pub fn chain(&self) -> impl Iterator<Item = &Trace> {
        std::iter::successors(Some(self), |trace| trace.cause.as_deref()).take(MOST_CAUSES)
    }

    /// What happened, in one line.
    pub fn title(&self) -> String {
        let said = self.message.lines().next().unwrap_or_default().trim();
        match (self.kind.is_empty(), said.is_empty()) {
            (true, _) => said.to_owned(),
            (_, true) => self.kind.clone(),
            _ => format!("{}: {said}", self.kind),
        }
    }

    /// Keeps the innermost frames.
    fn with(mut self, frames: Vec<Frame>) -> Self {
        self.frames = frames;
        self.frames.truncate(MOST_FRAMES);
        self
    }
}

/// As it is kept where it was told part by part: what ended the program first, its causes behind it.
impl std::fmt::Display for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (number, link) in self.chain().enumerate() {
            writeln!(f, "{}{}", if number == 0 { "" } else { "caused by: " }, link.title())?;
            for frame in &link.frames {
                let function = if frame.function.is_empty() { "?" } else { &frame.function };
                writeln!(f, "  at {function} ({}:{})", frame.file, frame.line)?;
            }
        }
        Ok(())
    }
}

/// A trace, and the line after its last one.
pub struct Found {
    /// The trace.
    pub trace: Trace,
    /// The line after its last.
    pub end: usize,
}

/// Every trace of a text, in its order.
pub fn read(text: &str) -> Vec<Trace> {
    let plain = console::strip_ansi_codes(text);
    let all: Vec<&str> = plain.lines().collect();
    let lines: Vec<&str> =
        all[all.len().saturating_sub(MOST_LINES)..].iter().map(|line| without_prefix(line)).collect();
    let readers: [fn(&[&str], usize) -> Option<Found>; 8] =
        [python::at, go::at, rust::at, php::at, native::at, jvm::at, node::at, ruby::at];
    let (mut found, mut at) = (Vec::new(), 0);
    while at < lines.len() && found.len() < MOST_TRACES {
        match readers.iter().find_map(|read| read(&lines, at)) {
            Some(Found { trace, end }) => {
                found.push(trace);
                at = end.max(at + 1);
            }
            None => at += 1,
        }
    }
    found
}

/// The trace of what ended the program: the last one that has frames, or the last.
pub fn last(text: &str) -> Option<Trace> {
    let mut all = read(text);
    let at = all.iter().rposition(|trace| !trace.frames.is_empty()).or(all.len().checked_sub(1))?;
    Some(all.swap_remove(at))
}

/// What supervisors write before each line: container names, syslog's heads, moments.
static PREFIX: LazyLock<Regex> = LazyLock::new(|| {
    let container = r"[\w.-]+ +\| ";
    let moment = r"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[\d.,:+Z-]*\]? (?:std(?:out|err) F )?";
    let syslog = r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ [\w./@-]+(?:\[\d{1,9}\])?: ";
    Regex::new(&format!("^(?:{container})?(?:{moment}|{syslog})?")).expect("a constant pattern")
});

/// A line without what a supervisor wrote before it; empty where it is too long for a trace's.
fn without_prefix(line: &str) -> &str {
    if line.len() > LONG_LINE {
        return "";
    }
    &line[PREFIX.find(line).map_or(0, |prefix| prefix.end())..]
}

/// The line at `index`, empty after the end.
fn line<'a>(lines: &[&'a str], index: usize) -> &'a str {
    lines.get(index).copied().unwrap_or_default()
}

/// A number that was printed; 0 where it is none.
fn number(text: Option<regex::Match<'_>>) -> u32 {
    text.and_then(|text| text.as_str().parse().ok()).unwrap_or_default()
}

/// At most `most` bytes, cut between characters.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
mod tests;
