//! Mocha's spec reporter: names with their nesting, the numbered failures, counts.

use std::sync::LazyLock;

use regex::Regex;

use crate::outcome::TestStatus;

use super::{Found, Input, join, node_stack};

static COUNT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s+(\d+) (passing|failing|pending)(?: \(.+\))?$").expect("a constant pattern")
});
static RESULT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(\s+)(✔|✓|√|-|\d+\)) (.+?)(?: \(\d+ms\))?$").expect("a constant pattern"));
static GROUP: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(\s{2,})(\S.*)$").expect("a constant pattern"));
static FAILURE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^  (\d+)\) (.+)$").expect("a constant pattern"));

/// The most lines of one failure.
const BLOCK: usize = 300;

/// Adds each test of the log.
pub fn parse(input: &Input<'_>, found: &mut Found) {
    if found.is_done("jest") || found.is_done("vitest") || !input.text.contains(" passing (") {
        return;
    }
    found.done("mocha");
    let passing = |line: &&str| line.contains(" passing (") && COUNT.is_match(line);
    let summary = input.lines.iter().position(passing).unwrap_or(input.lines.len());
    let mut groups: Vec<(usize, String)> = Vec::new();
    for line in &input.lines[..summary] {
        listed(line, &mut groups, found);
    }
    let mut counts = [0u64; 3];
    let mut at = summary;
    while at < input.lines.len() {
        let line = input.line(at);
        if let Some(captures) = COUNT.captures(line) {
            let slot = match &captures[2] {
                "passing" => 0,
                "failing" => 1,
                _ => 2,
            };
            counts[slot] = captures[1].parse().unwrap_or(0);
        } else if let Some(captures) = FAILURE.captures(line) {
            at = failure(&captures[2], at, input, found);
            continue;
        }
        at += 1;
    }
    found.counts("mocha", counts[0], counts[1], counts[2]);
}

fn listed(line: &str, groups: &mut Vec<(usize, String)>, found: &mut Found) {
    if let Some(captures) = RESULT.captures(line) {
        let indent = captures[1].len();
        groups.retain(|(depth, _)| *depth < indent);
        let mut name = String::new();
        for (_, group) in groups.iter() {
            name.push_str(group);
            name.push_str(" > ");
        }
        name.push_str(captures[3].trim());
        let status = match &captures[2] {
            "✔" | "✓" | "√" => TestStatus::Passed,
            "-" => TestStatus::Skipped,
            _ => TestStatus::Failed,
        };
        found.test(&name, status);
    } else if let Some(captures) = GROUP.captures(line) {
        let indent = captures[1].len();
        groups.retain(|(depth, _)| *depth < indent);
        if groups.len() < 50 {
            groups.push((indent, captures[2].trim().to_owned()));
        }
    }
}

/// `  1) group`, the deeper groups and the test on lines of their own, the last with a colon; then the error.
fn failure(first: &str, at: usize, input: &Input<'_>, found: &mut Found) -> usize {
    let last = (at + BLOCK).min(input.lines.len());
    let end = (at + 1..last).find(|i| FAILURE.is_match(input.line(*i))).unwrap_or(last);
    let mut parts = vec![first.trim().to_owned()];
    let mut from = at + 1;
    while !parts.last().is_some_and(|p| p.ends_with(':')) && from < end && !input.line(from).trim().is_empty()
    {
        parts.push(input.line(from).trim().to_owned());
        from += 1;
    }
    let name = parts.join(" > ");
    let name = name.trim_end_matches(':');
    found.test(name, TestStatus::Failed);
    let text = join(&input.lines, from, end);
    found.push(node_stack::failure("mocha", &text, Some(name), None, input));
    end
}
