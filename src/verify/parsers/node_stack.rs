//! JavaScript errors with their stacks: as node prints them, and as test runners quote them.

use std::sync::LazyLock;

use regex::Regex;

use crate::diagnostic::{Category, Diagnostic};
use crate::trace::node;

use super::{Draft, Found, Input, join, number};

static HEAD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:Uncaught |Unhandled )?([A-Z]\w*(?:Error|Exception|Warning)|Error|AssertionError)(?: \[(\w+)\])?(?:: (.*))?$")
        .expect("a constant pattern")
});
static BARE_FRAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*(?:[\w.<>$# ]+ \()?(file://\S+?|/\S+?):(\d+):(\d+)\)?$").expect("a constant pattern")
});
static SOURCE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^((?:file://)?(?:/|[A-Za-z]:\\)[^\s:]+|[\w./@-]+\.[cm]?[jt]sx?):(\d+)$")
        .expect("a constant pattern")
});
static IMPORTER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"imported from (.+)$").expect("a constant pattern"));

/// The most lines of one error.
const BLOCK: usize = 80;

/// The name, the code in brackets and the rest of an error's first line.
pub fn head(line: &str) -> Option<(&str, Option<&str>, &str)> {
    let captures = HEAD.captures(line.trim())?;
    let group = |index| captures.get(index).map(|m: regex::Match<'_>| m.as_str());
    Some((group(1)?, group(2), group(3).unwrap_or("")))
}

/// The place of a stack's line.
pub fn frame(line: &str, input: &Input<'_>) -> Option<(String, u32, u32)> {
    if let Some(found) = node::frame(line) {
        return Some((input.paths.relative(&found[2]), number(Some(&found[3])), number(Some(&found[4]))));
    }
    let captures = BARE_FRAME.captures(line)?;
    Some((input.paths.relative(&captures[1]), number(Some(&captures[2])), number(Some(&captures[3]))))
}

/// The first frame in the repo's own code. `near` is a file that runners print paths relative to: `a.test.js` fits `web/a.test.js`.
pub fn own_frame<'a>(
    lines: impl Iterator<Item = &'a str>,
    near: Option<&str>,
    input: &Input<'_>,
) -> Option<(String, u32, u32)> {
    lines.filter_map(|line| frame(line, input)).find(|(file, _, _)| input.paths.is_own(file)).map(
        |mut place| {
            if let Some(near) = near
                && near != place.0
                && near.ends_with(&format!("/{}", place.0))
            {
                place.0 = near.to_owned();
            }
            place
        },
    )
}

/// The diagnostic of an error as a test runner quotes it: `text` starts with the message and holds the stack.
pub fn failure(
    tool: &str,
    text: &str,
    test: Option<&str>,
    file: Option<&str>,
    input: &Input<'_>,
) -> Diagnostic {
    let lines: Vec<&str> = text.lines().take(400).collect();
    let title = |l: &str| l.trim().is_empty() || l.trim_start().starts_with('●');
    let first = lines.iter().position(|l| !title(l)).unwrap_or(0);
    let line = lines.get(first).map_or("", |l| l.trim());
    let (name, code, rest) = head(line).unwrap_or(("Error", None, line));
    let mut message =
        if name == "Error" || name == "AssertionError" { rest.to_owned() } else { format!("{name}: {rest}") };
    // What was expected is what tells two failed assertions apart.
    let said = lines[first..].iter().skip(1).take(40).map(|l| l.trim());
    for part in said.take_while(|l| !l.starts_with("at ") && !l.starts_with('❯')) {
        let difference = ["Expected", "Received", "expected:", "actual:"].iter().any(|w| part.starts_with(w));
        let node = message.ends_with("equal:") && (part.contains("!==") || part.contains("=="));
        if (difference || node) && message.len() < 600 {
            message.push_str(if message.ends_with(':') { " " } else { "; " });
            message.push_str(part);
        }
    }
    let code = code.filter(|c| *c != "Error").or_else(|| (name != "Error").then_some(name));
    let message = if message.is_empty() { "failed" } else { &message };
    let mut draft = Draft::error(tool, message).code(code).test(test).detail(text);
    match own_frame(lines.iter().copied(), file, input) {
        Some((file, line, column)) => draft = draft.file(Some(file)).at(line, column),
        None => draft = draft.file(file.map(str::to_owned)),
    }
    draft.done_or(if test.is_some() { Category::TestAssertion } else { Category::Runtime })
}

/// Adds each uncaught error that no runner told.
pub fn parse(input: &Input<'_>, found: &mut Found) {
    if !["jest", "vitest", "mocha", "node-test", "vite"].iter().any(|tool| found.is_done(tool)) {
        scan(input, found);
    }
}

/// Adds what a test file printed in `lines` when it ended for an error of its own. Such a file is no test, whatever its runner calls it: once it
/// loads, its tests are told in its stead. `told` is said where it printed no error.
pub fn unloaded(lines: &[impl AsRef<str>], told: Diagnostic, input: &Input<'_>, found: &mut Found) {
    let text = lines.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join("\n");
    let printed = Input::new(&text, input.paths, input.command);
    if !scan(&printed, found) {
        found.push(Diagnostic { test: None, category: Category::Runtime, ..told });
    }
}

/// Adds each uncaught error, and says whether there was one.
fn scan(input: &Input<'_>, found: &mut Found) -> bool {
    let (mut at, mut any) = (0, false);
    while at < input.lines.len() {
        let Some((name, code, rest)) = head(input.line(at)) else {
            at += 1;
            continue;
        };
        let end = stack_end(input, at);
        let stacked = (at + 1..end).any(|i| node::is_script_frame(input.line(i)));
        let quoted = at >= 2 && (at.saturating_sub(6)..at).any(|i| SOURCE.is_match(input.line(i)));
        if stacked || quoted {
            add(name, code, rest, at, end, input, found);
            any = true;
            at = end;
        } else {
            at += 1;
        }
    }
    any
}

/// Where the stack under an error's first line ends.
fn stack_end(input: &Input<'_>, at: usize) -> usize {
    let last = (at + BLOCK).min(input.lines.len());
    let mut seen = false;
    for index in at + 1..last {
        let line = input.line(index);
        let frame = line.trim_start().starts_with("at ");
        if seen && !frame && (line.is_empty() || !line.starts_with([' ', '}', ']'])) {
            return index;
        }
        if !seen && head(line).is_some() {
            return index;
        }
        seen |= frame;
    }
    last
}

fn add(
    name: &str,
    code: Option<&str>,
    rest: &str,
    at: usize,
    end: usize,
    input: &Input<'_>,
    found: &mut Found,
) {
    let detail_code = (at..end).find_map(|i| {
        let line = input.line(i).trim();
        line.strip_prefix("code: '").and_then(|l| l.split('\'').next())
    });
    let code = code.or(detail_code).or((name != "Error").then_some(name));
    let message = if name == "Error" { rest.to_owned() } else { format!("{name}: {rest}") };
    // Above the message stands the source line that node was at; for syntax errors it is the only place.
    let quoted = (at.saturating_sub(6)..at).rev().find_map(|i| {
        let captures = SOURCE.captures(input.line(i))?;
        let file = input.paths.relative(&captures[1]);
        let column = (i + 1..at).find_map(|c| {
            let line = input.line(c);
            let mark = line.trim_start();
            (!mark.is_empty() && mark.chars().all(|c| c == '^'))
                .then(|| u32::try_from(line.len() - mark.len() + 1).unwrap_or(1))
        });
        input.paths.is_own(&file).then(|| (file, number(Some(&captures[2])), column.unwrap_or(1)))
    });
    let stack = own_frame((at + 1..end).map(|i| input.line(i)), None, input);
    let importer = || {
        let named = IMPORTER.captures(rest).map(|c| c[1].trim().trim_end_matches(['.', ',']).to_owned());
        let required = (at + 1..end)
            .find(|i| input.line(*i).starts_with("Require stack:"))
            .and_then(|i| input.line(i + 1).strip_prefix("- ").map(str::to_owned));
        named.or(required).map(|f| (input.paths.relative(&f), 0, 0)).filter(|(f, _, _)| input.paths.is_own(f))
    };
    let place = if name == "SyntaxError" { quoted.or(stack) } else { stack.or(quoted) };
    let mut draft = Draft::error("node", &message).code(code).detail(&join(&input.lines, at, end));
    if let Some((file, line, column)) = place.or_else(importer) {
        draft = draft.file(Some(file)).at(line, column);
    }
    let missing_package = message.contains("Cannot find package");
    let draft = if message.contains("does not provide an export named") {
        draft.category(Category::Export)
    } else if missing_package {
        draft.category(Category::Dependency)
    } else {
        draft
    };
    found.push(draft.done_or(Category::Runtime));
}
