//! The Test Anything Protocol: node:test's when not on a terminal, tap, ava, bats, and others.

use std::sync::LazyLock;

use regex::Regex;

use crate::diagnostic::Category;
use crate::outcome::TestStatus;

use super::{Draft, Found, Input, join, node_stack, number};

static RESULT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(\s*)(not ok|ok)\b(?: (\d+))?(?: -)?\s*(.*?)(?:\s+#\s*(SKIP|skip|TODO|todo|time)\b.*)?$")
        .expect("a constant pattern")
});
static SUBTEST: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(\s*)# Subtest: (.+)$").expect("a constant pattern"));
static PLAN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?m)^(?:TAP version \d+|1\.\.\d+)").expect("a constant pattern"));
static KEY: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^\s*(\w+): ?(.*)$").expect("a constant pattern"));
static LOCATION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^'?(.+?):(\d+):(\d+)'?$").expect("a constant pattern"));

/// The most lines of one failure's block.
const BLOCK: usize = 300;

/// Adds each test of the log.
pub fn parse(input: &Input<'_>, found: &mut Found) {
    let marked = input.text.starts_with("TAP version")
        || input.text.contains("\nTAP version")
        || input.text.contains("\n1..");
    if !marked || !PLAN.is_match(input.text) || !input.text.contains("ok ") {
        return;
    }
    let mut groups: Vec<(usize, String)> = Vec::new();
    for (at, line) in input.lines.iter().enumerate() {
        if let Some(captures) = SUBTEST.captures(line) {
            let indent = captures[1].len();
            groups.retain(|(depth, _)| *depth < indent);
            if groups.len() < 50 {
                groups.push((indent, captures[2].trim().to_owned()));
            }
        } else if let Some(captures) = RESULT.captures(line) {
            let indent = captures[1].len();
            groups.retain(|(depth, _)| *depth < indent);
            result(&captures, at, &groups, input, found);
        }
    }
    if !found.tests.is_empty() {
        found.done("node-test");
    }
}

fn result(
    captures: &regex::Captures<'_>,
    at: usize,
    groups: &[(usize, String)],
    input: &Input<'_>,
    found: &mut Found,
) {
    let block = Block::read(at, captures[1].len(), input);
    if block.suite {
        return;
    }
    let title = captures[4].trim();
    let title = if title.is_empty() { captures.get(3).map_or("", |m| m.as_str()) } else { title };
    let mut name = block.place.as_ref().map_or(String::new(), |(file, _, _)| format!("{file} > "));
    for (_, group) in groups {
        name.push_str(group);
        name.push_str(" > ");
    }
    name.push_str(title);
    if captures[2] == *"not ok"
        && captures.get(5).is_none()
        && block.place.as_ref().is_some_and(|(file, _, _)| *file == input.paths.relative(title))
    {
        let file = input.paths.relative(title);
        let told = node_stack::failure("node-test", &block.error, None, Some(&file), input);
        return node_stack::unloaded(&printed(at, input), told, input, found);
    }
    // Only failures say their file: the identity must be the same when the test passes.
    let bare =
        name.split_once(" > ").filter(|_| block.place.is_some()).map_or(name.as_str(), |(_, bare)| bare);
    let directive = captures.get(5).map(|m| m.as_str().to_ascii_lowercase());
    let status = match (directive.as_deref(), &captures[2]) {
        (Some("skip" | "todo"), _) => TestStatus::Skipped,
        (_, "ok") => TestStatus::Passed,
        _ => TestStatus::Failed,
    };
    found.test(bare, status);
    if status == TestStatus::Failed {
        let near = block.place.as_ref().map(|p| p.0.as_str());
        let text = if block.stack.is_empty() {
            block.error.clone()
        } else {
            format!("{}\n{}", block.error, block.stack)
        };
        let mut diagnostic = node_stack::failure("node-test", &text, Some(bare), near, input);
        if block.code.as_deref() == Some("ERR_ASSERTION") {
            diagnostic.code = block.code.clone();
        }
        if let (None, Some((file, line, column))) = (&diagnostic.range, &block.place) {
            diagnostic = Draft::error("node-test", &diagnostic.message)
                .code(block.code.as_deref())
                .file(Some(file.clone()))
                .at(*line, *column)
                .test(Some(bare))
                .detail(&block.whole)
                .done_or(Category::TestAssertion);
        }
        found.push(diagnostic);
    }
}

/// What was printed between the result before the line `at` and this one: its comments, as they were written.
fn printed(at: usize, input: &Input<'_>) -> Vec<String> {
    let from = (at.saturating_sub(BLOCK)..at).rev().find(|i| !input.line(*i).starts_with('#'));
    let lines = from.map_or(at.saturating_sub(BLOCK), |from| from + 1)..at;
    lines
        .filter_map(|i| input.line(i).strip_prefix('#'))
        .map(|line| line.strip_prefix(' ').unwrap_or(line).replace("\\#", "#").replace("\\\\", "\\"))
        .collect()
}

/// The YAML under a result, as far as it is needed.
#[derive(Default)]
struct Block {
    suite: bool,
    place: Option<(String, u32, u32)>,
    error: String,
    code: Option<String>,
    stack: String,
    whole: String,
}

impl Block {
    fn read(at: usize, indent: usize, input: &Input<'_>) -> Block {
        let mut block = Block::default();
        if input.line(at + 1).trim() != "---" {
            return block;
        }
        let last = (at + BLOCK).min(input.lines.len());
        let end = (at + 2..last).find(|i| input.line(*i).trim() == "...").unwrap_or(last);
        let mut name = String::new();
        let mut open: Option<&str> = None;
        for index in at + 2..end {
            let line = input.line(index);
            let depth = line.len() - line.trim_start().len();
            let key = KEY.captures(line).filter(|_| depth <= indent + 2);
            if let Some(captures) = key {
                let value = captures[2].trim();
                let text = value.trim_matches(['\'', '"']);
                open = None;
                match &captures[1] {
                    "type" => block.suite = text == "suite",
                    "location" => block.place = place(value, input),
                    "name" => name = text.to_owned(),
                    "code" => block.code = Some(text.to_owned()),
                    "failureType" if text == "subtestsFailed" => block.suite = true,
                    "error" | "message" if value.starts_with(['|', '>']) => open = Some("error"),
                    "error" | "message" => block.error = text.to_owned(),
                    "stack" => open = Some("stack"),
                    _ => {}
                }
            } else if open == Some("error") && block.error.len() < 2_000 {
                if !line.trim().is_empty() {
                    block.error.push_str(line.trim());
                    block.error.push(if block.error.ends_with("equal:") { ' ' } else { '\n' });
                }
            } else if open == Some("stack") && block.stack.len() < 4_000 {
                block.stack.push_str(line.trim());
                block.stack.push('\n');
            }
        }
        block.error = block.error.trim_end().to_owned();
        if !name.is_empty() && name != "AssertionError" && name != "Error" {
            block.error = format!("{name}: {}", block.error);
        }
        block.whole = join(&input.lines, at, end);
        block
    }
}

fn place(text: &str, input: &Input<'_>) -> Option<(String, u32, u32)> {
    let captures = LOCATION.captures(text)?;
    Some((input.paths.relative(&captures[1]), number(Some(&captures[2])), number(Some(&captures[3]))))
}
