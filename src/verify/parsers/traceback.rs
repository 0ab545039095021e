//! Python tracebacks in any program's output.

use std::sync::LazyLock;

use regex::Regex;

use crate::diagnostic::Category;
use crate::trace::python::{self, HEAD};

use super::{Draft, Found, Input, join};

static NO_MODULE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\S*python[\d.]*(?:\.exe)?: (No module named \S+|can't open file .*)$")
        .expect("a constant pattern")
});

/// One traceback.
pub struct Traceback {
    /// The exception's short name.
    pub name: String,
    /// The whole last line.
    pub message: String,
    /// The innermost place of the repo's own code, else the innermost.
    pub place: Option<(String, u32)>,
    /// The line after its last.
    pub end: usize,
}

/// Reads the traceback that starts at line `at` (its head, or the frame of a syntax error). Of a chain the last link counts: that
/// is the one that ended the program.
pub fn read(input: &Input<'_>, at: usize) -> Option<Traceback> {
    let found = python::chain(&input.lines, at)?;
    let trace = found.trace;
    let places = || trace.frames.iter().map(|frame| (input.paths.relative(&frame.file), frame.line));
    let own = places().find(|(file, _)| input.paths.is_own(file));
    Some(Traceback {
        name: trace.short().to_owned(),
        message: trace.title(),
        place: own.or_else(|| places().next()),
        end: found.end,
    })
}

/// The diagnostic of a traceback that starts at line `at`.
pub fn draft(tool: &str, traceback: &Traceback, at: usize, input: &Input<'_>) -> Draft {
    let mut draft = Draft::error(tool, &traceback.message).code(Some(&traceback.name)).detail(&join(
        &input.lines,
        at,
        traceback.end,
    ));
    if let Some((file, line)) = &traceback.place {
        draft = draft.file(Some(file.clone())).at(*line, 1);
    }
    if traceback.name == "ImportError" && traceback.message.contains("cannot import name") {
        draft = draft.category(Category::Export);
    }
    draft
}

/// Adds each traceback that no test runner told.
pub fn parse(input: &Input<'_>, found: &mut Found) {
    let told = found.is_done("pytest") || found.is_done("unittest");
    if !told && (input.text.contains(HEAD) || input.text.contains("File \"")) {
        let mut at = 0;
        while at < input.lines.len() {
            let line = input.line(at);
            let head = line.trim_start().starts_with(HEAD);
            let syntax = !head && python::frame(line).is_some_and(|c| c.get(4).is_none());
            let traceback = if head || syntax { read(input, at) } else { None };
            // A syntax error stands right under the line that it quotes.
            match traceback.filter(|t| head || (t.name.ends_with("Error") && t.end <= at + 8)) {
                Some(traceback) => {
                    found.push(draft("python", &traceback, at, input).done_or(Category::Runtime));
                    at = traceback.end.max(at + 1);
                }
                None => at += 1,
            }
        }
    }
    for line in &input.lines {
        if let Some(captures) = NO_MODULE.captures(line) {
            let category = if captures[1].starts_with("No module") {
                Category::Dependency
            } else {
                Category::Configuration
            };
            found.push(Draft::error("python", &captures[1]).category(category).done());
        }
    }
}
