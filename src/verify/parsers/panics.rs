//! Panics of Rust programs and tests: where, and in which test.

use std::sync::LazyLock;

use regex::Regex;

use crate::diagnostic::Category;
use crate::outcome::TestStatus;
use crate::trace::rust;

use super::libtest::Binary;
use super::{Draft, Found, Input, join, nextest, number};

static SECTION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^---- (.+) (?:stdout|stderr) ----$").expect("a constant pattern"));
/// The most lines of one panic.
const BLOCK: usize = 120;

/// Adds each panic, and each test that failed without one.
pub fn parse(input: &Input<'_>, found: &mut Found) {
    let tested = input.text.contains("test result: ");
    let next = found.is_done("nextest");
    if !tested && !next && !input.text.contains(" panicked at ") {
        return;
    }
    let tool = if next {
        "nextest"
    } else if tested {
        "libtest"
    } else {
        "rust"
    };
    let mut binary = Binary::default();
    let mut section: Option<String> = None;
    let mut at = 0;
    while at < input.lines.len() {
        let line = input.line(at);
        binary.see(line);
        if let Some(captures) = SECTION.captures(line).filter(|_| !next) {
            let name = captures[1].trim().trim_end_matches(" - should panic");
            section = Some(binary.identity(name));
            plain_failure(input, at, section.as_deref(), tool, found);
        } else if line == "failures:" || line.starts_with("test result:") {
            section = None;
        } else if let Some((name, _)) = nextest::result(line).filter(|_| next) {
            section = Some(name);
        } else if line.trim_end() == "  stderr ───" && next {
            plain_failure(input, at, section.as_deref(), tool, found);
        } else if let Some(captures) = rust::panic(line) {
            let test = section.clone().or_else(|| by_thread(&captures[1], &binary, found));
            at = panic(&captures, test.as_deref(), tool, at, input, found);
            continue;
        }
        at += 1;
    }
}

/// Under `--nocapture` the thread's name is the test's.
fn by_thread(thread: &str, binary: &Binary, found: &Found) -> Option<String> {
    let name = binary.identity(thread);
    found.tests.get(&name).filter(|s| **s == TestStatus::Failed)?;
    Some(name)
}

fn panic(
    captures: &regex::Captures<'_>,
    test: Option<&str>,
    tool: &str,
    at: usize,
    input: &Input<'_>,
    found: &mut Found,
) -> usize {
    let end = (at + 1..(at + BLOCK).min(input.lines.len()))
        .find(|i| {
            let line = input.line(*i).trim();
            rust::panic(input.line(*i)).is_some()
                || line.starts_with("note: ")
                || SECTION.is_match(line)
                || line == "failures:"
        })
        .unwrap_or_else(|| (at + BLOCK).min(input.lines.len()));
    let mut message = captures.get(2).map_or(String::new(), |m| m.as_str().to_owned());
    if message.is_empty() {
        let lines = (at + 1..end).map(|i| input.line(i).trim());
        let text: Vec<&str> =
            lines.take_while(|l| !l.is_empty() && *l != "stack backtrace:").take(6).collect();
        message = text.join("\n");
    }
    let mut place =
        (input.paths.relative(&captures[3]), number(Some(&captures[4])), number(Some(&captures[5])));
    if !input.paths.is_own(&place.0)
        && let Some(frame) = (at + 1..end).find_map(|i| own_frame(input.line(i), input))
    {
        place = frame;
    }
    found.push(
        Draft::error(tool, if message.is_empty() { "panicked" } else { &message })
            .file(Some(place.0))
            .at(place.1, place.2)
            .test(test)
            .detail(&join(&input.lines, at, end))
            .done_or(Category::Runtime),
    );
    end
}

fn own_frame(line: &str, input: &Input<'_>) -> Option<(String, u32, u32)> {
    let captures = rust::place(line)?;
    let file = input.paths.relative(&captures[1]);
    input
        .paths
        .is_own(&file)
        .then(|| (file, number(Some(&captures[2])), number(captures.get(3).map(|c| c.as_str()))))
}

/// A test that failed by returning an error, or by not panicking, says so in its section without any place.
fn plain_failure(input: &Input<'_>, at: usize, test: Option<&str>, tool: &str, found: &mut Found) {
    for index in at + 1..(at + BLOCK).min(input.lines.len()) {
        let line = input.line(index).trim();
        if line.contains(" panicked at ")
            || SECTION.is_match(line)
            || line == "failures:"
            || line.starts_with("FAIL ")
        {
            return;
        }
        let error = line.starts_with("Error: ");
        let expected = line.starts_with("note: test did not panic");
        if error || expected {
            let category = if error { Category::Runtime } else { Category::TestAssertion };
            found.push(Draft::error(tool, line).test(test).category(category).done());
            return;
        }
    }
}
