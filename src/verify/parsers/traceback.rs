//! Python tracebacks in any program's output.

use std::sync::LazyLock;

use regex::Regex;

use crate::diagnostic::Category;

use super::{Draft, Found, Input, join, number};

static FRAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"^(\s*(?:\| )?\s*)File "([^"]+)", line (\d+)(?:, in (.+))?$"#).expect("a constant pattern")
});
static EXCEPTION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^((?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*)(?:: (.*))?$").expect("a constant pattern")
});
static NO_MODULE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\S*python[\d.]*(?:\.exe)?: (No module named \S+|can't open file .*)$")
        .expect("a constant pattern")
});

/// The most lines of one traceback.
const BLOCK: usize = 2_000;

const HEAD: &str = "Traceback (most recent call last):";
const CHAINED: &[&str] = &[
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
];

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
    let mut found = link(input, at)?;
    for _ in 0..50 {
        let head = (found.end..(found.end + 12).min(input.lines.len()))
            .find(|i| CHAINED.contains(&input.line(*i).trim()))
            .and_then(|chain| (chain + 1..chain + 3).find(|i| input.line(*i).trim_start().starts_with(HEAD)));
        match head.and_then(|head| link(input, head)) {
            Some(outer) => found = outer,
            None => break,
        }
    }
    Some(found)
}

fn link(input: &Input<'_>, at: usize) -> Option<Traceback> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let headed = input.line(at).trim_start().starts_with(HEAD);
    // The exception's line stands as deep as the head, which is two columns less deep than a frame.
    let base = if headed { depth(input.line(at)) } else { depth(input.line(at)).saturating_sub(2) };
    let (mut own, mut any) = (None, None);
    for index in at + usize::from(headed)..(at + BLOCK).min(input.lines.len()) {
        let line = input.line(index);
        if let Some(frame) = FRAME.captures(line) {
            let place = (input.paths.relative(&frame[2]), number(Some(&frame[3])));
            if input.paths.is_own(&place.0) {
                own = Some(place.clone());
            }
            any = Some(place);
        } else if depth(line) <= base && !line.trim().is_empty() {
            let captures = EXCEPTION.captures(line.trim())?;
            any.as_ref()?;
            let name = captures[1].rsplit('.').next().unwrap_or("").to_owned();
            return Some(Traceback {
                name,
                message: line.trim().to_owned(),
                place: own.or(any),
                end: index + 1,
            });
        }
    }
    None
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
            let syntax = !head && FRAME.captures(line).is_some_and(|c| c.get(4).is_none());
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
