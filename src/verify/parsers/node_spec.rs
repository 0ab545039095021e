//! node:test's spec reporter: names and statuses with their nesting, errors of the failing ones.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

use crate::outcome::TestStatus;

use super::{Found, Input, join, node_stack, number};

static RESULT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(\s*)(✔|✖|﹣|▶|⚠) (.+?)(?: \([\d.]+ms\))?(?: # (\w+).*)?$").expect("a constant pattern")
});
static PLACE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^test at (.+):(\d+):(\d+)$").expect("a constant pattern"));
static COUNT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^ℹ (pass|fail|cancelled|skipped|todo) (\d+)$").expect("a constant pattern")
});

/// The most lines of one failure.
const BLOCK: usize = 200;

/// Adds each test of the log.
pub fn parse(input: &Input<'_>, found: &mut Found) {
    if !input.text.contains("ℹ tests ") {
        return;
    }
    found.done("node-test");
    let results: Vec<(usize, usize, &str, &str, bool)> = input
        .lines
        .iter()
        .enumerate()
        .filter_map(|(at, line)| {
            let captures = RESULT.captures(line)?;
            let skipped = captures.get(4).is_some_and(|d| matches!(d.as_str(), "SKIP" | "TODO"));
            Some((at, captures[1].len(), captures.get(2)?.as_str(), captures.get(3)?.as_str(), skipped))
        })
        .collect();
    let summary =
        input.lines.iter().position(|l| l.starts_with("✖ failing tests:")).unwrap_or(input.lines.len());
    let described = described(summary, input);
    let mut groups: Vec<(usize, &str)> = Vec::new();
    let mut unloaded = 0;
    let mut before = 0;
    for (at, indent, mark, title, skipped) in results.into_iter().filter(|r| r.0 < summary) {
        let printed = std::mem::replace(&mut before, at + 1)..at;
        groups.retain(|(depth, _)| *depth < indent);
        if mark == "▶" {
            groups.push((indent, title));
            continue;
        }
        // A group ends with a line like a test's own, right where its opening line stood.
        if closes_group(at, indent, title, input) {
            continue;
        }
        let mut name = String::new();
        for (_, group) in &groups {
            name.push_str(group);
            name.push_str(" > ");
        }
        name.push_str(title);
        if mark == "✖" && !skipped && is_file(title, &described, input) {
            let file = input.paths.relative(title);
            let told = node_stack::failure("node-test", input.line(at + 1), None, Some(&file), input);
            node_stack::unloaded(&input.lines[printed], told, input, found);
            unloaded += 1;
            continue;
        }
        let status = match mark {
            _ if skipped => TestStatus::Skipped,
            "✔" => TestStatus::Passed,
            "✖" => TestStatus::Failed,
            _ => TestStatus::Skipped,
        };
        found.test(&name, status);
        if status == TestStatus::Failed {
            failure(&name, title, at, &described, input, found);
        }
    }
    let mut counts = [0u64; 3];
    for line in &input.lines {
        if let Some(captures) = COUNT.captures(line) {
            let slot = match &captures[1] {
                "pass" => 0,
                "fail" | "cancelled" => 1,
                _ => 2,
            };
            counts[slot] = u64::saturating_add(counts[slot], captures[2].parse().unwrap_or(0));
        }
    }
    // Files that could not be run are no tests.
    found.counts("node-test", counts[0], counts[1].saturating_sub(unloaded), counts[2]);
}

/// Whether the summary describes what failed as a file.
fn is_file(title: &str, described: &HashMap<&str, usize>, input: &Input<'_>) -> bool {
    let place = described.get(title).and_then(|at| PLACE.captures(input.line(*at)));
    place.is_some_and(|place| input.paths.relative(&place[1]) == input.paths.relative(title))
}

fn closes_group(at: usize, indent: usize, title: &str, input: &Input<'_>) -> bool {
    (at.saturating_sub(2_000)..at).rev().any(|i| {
        let line = input.line(i);
        line.len() > indent
            && line.trim_start().starts_with('▶')
            && line.len() - line.trim_start().len() == indent
            && line.trim_start().trim_start_matches('▶').trim() == title
    })
}

/// Where the summary at the end describes a failing test, by title.
fn described<'a>(summary: usize, input: &Input<'a>) -> HashMap<&'a str, usize> {
    let mut places = HashMap::new();
    for at in summary..input.lines.len() {
        if PLACE.is_match(input.line(at))
            && let Some(captures) = RESULT.captures(input.line(at + 1))
        {
            places.entry(captures.get(3).map_or("", |m| m.as_str())).or_insert(at);
        }
    }
    places
}

fn failure(
    name: &str,
    title: &str,
    at: usize,
    described: &HashMap<&str, usize>,
    input: &Input<'_>,
    found: &mut Found,
) {
    // The summary at the end says where the test stands; the stack there is the same.
    let described = described.get(title).copied();
    let place = described.and_then(|i| PLACE.captures(input.line(i)));
    let file = place.as_ref().map(|c| input.paths.relative(&c[1]));
    // Newer releases print the errors only in the summary.
    let here = input.line(at + 1).starts_with(' ') && !RESULT.is_match(input.line(at + 1));
    let from = if here { at + 1 } else { described.map_or(at + 1, |i| i + 2) };
    let end = (from..(from + BLOCK).min(input.lines.len()))
        .find(|i| {
            let line = input.line(*i);
            RESULT.is_match(line) || PLACE.is_match(line) || line.starts_with("ℹ ")
        })
        .unwrap_or((from + BLOCK).min(input.lines.len()));
    let mut diagnostic =
        node_stack::failure("node-test", &join(&input.lines, from, end), Some(name), file.as_deref(), input);
    if diagnostic.range.is_none()
        && let Some(place) = place
    {
        let start =
            crate::diagnostic::Position { line: number(Some(&place[2])), column: number(Some(&place[3])) };
        diagnostic.range = Some(crate::diagnostic::Range { start, end: start });
    }
    found.push(diagnostic);
}
