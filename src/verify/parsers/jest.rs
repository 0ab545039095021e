//! Jest's text: failing tests with their errors, names where it prints them, counts.

use std::sync::LazyLock;

use regex::Regex;

use crate::outcome::TestStatus;

use super::{Found, Input, join, node_stack};

static SUITE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(PASS|FAIL)\s+(?:\S+ )?(\S+\.\w+)(?: \([\d.]+ m?s\))?$").expect("a constant pattern")
});
static RESULT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(\s+)(✓|✕|○|√|×|✎) (?:skipped |todo )?(.+?)(?: \([\d.]+ m?s\))?$")
        .expect("a constant pattern")
});
static GROUP: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(\s{2,})(\S.*)$").expect("a constant pattern"));
static BULLET: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^\s{2}● (.+)$").expect("a constant pattern"));
static COUNTS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(\d+) (failed|skipped|todo|passed)").expect("a constant pattern"));

/// The most lines of one failure.
const BLOCK: usize = 400;

/// Adds each test of the log.
pub fn parse(input: &Input<'_>, found: &mut Found) {
    if found.is_done("jest") || !(input.text.contains("Test Suites: ") || input.text.contains("\n  ● ")) {
        return;
    }
    found.done("jest");
    let mut file: Option<String> = None;
    let mut groups: Vec<(usize, String)> = Vec::new();
    let mut names = false;
    let mut at = 0;
    while at < input.lines.len() {
        let line = input.line(at);
        if let Some(captures) = SUITE.captures(line) {
            file = Some(input.paths.relative(&captures[2]));
            groups.clear();
            names = true;
        } else if let Some(counts) = line.strip_prefix("Tests:") {
            self::counts(counts, found);
            (file, names) = (None, false);
        } else if let Some(captures) = BULLET.captures(line) {
            names = false;
            at = failure(&captures[1], at, file.as_deref(), input, found);
            continue;
        } else if names {
            result(line, file.as_deref(), &mut groups, found);
        }
        at += 1;
    }
}

/// A line of the verbose list: a test, or the group that the next ones belong to.
fn result(line: &str, file: Option<&str>, groups: &mut Vec<(usize, String)>, found: &mut Found) {
    if let Some(captures) = RESULT.captures(line) {
        let indent = captures[1].len();
        groups.retain(|(depth, _)| *depth < indent);
        let mut name = file.unwrap_or("").to_owned();
        for (_, group) in groups.iter() {
            name.push_str(" > ");
            name.push_str(group);
        }
        name.push_str(" > ");
        name.push_str(captures[3].trim());
        let status = match &captures[2] {
            "✓" | "√" => TestStatus::Passed,
            "✕" | "×" => TestStatus::Failed,
            _ => TestStatus::Skipped,
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

fn counts(text: &str, found: &mut Found) {
    let mut counts = [0u64; 3];
    for part in COUNTS.captures_iter(text) {
        let count: u64 = part[1].parse().unwrap_or(0);
        let slot = match &part[2] {
            "passed" => 0,
            "failed" => 1,
            _ => 2,
        };
        counts[slot] = count;
    }
    found.counts("jest", counts[0], counts[1], counts[2]);
}

fn failure(title: &str, at: usize, file: Option<&str>, input: &Input<'_>, found: &mut Found) -> usize {
    let last = (at + BLOCK).min(input.lines.len());
    let end = (at + 1..last)
        .find(|i| {
            let line = input.line(*i);
            BULLET.is_match(line)
                || SUITE.is_match(line)
                || line.starts_with("Test Suites:")
                || line.starts_with("Summary of all")
        })
        .unwrap_or(last);
    // `Console` holds what the tests printed, `Validation` what jest thinks of its configuration.
    if title.starts_with("Console") || title.starts_with("Cannot log after") {
        return end;
    }
    let text = join(&input.lines, at + 1, end);
    if title.contains("Test suite failed to run") || title.contains("Validation Error") {
        found.push(node_stack::failure("jest", &text, None, file, input));
    } else {
        let name = format!("{} > {}", file.unwrap_or(""), title.trim().replace(" › ", " > "));
        found.test(&name, TestStatus::Failed);
        found.push(node_stack::failure("jest", &text, Some(&name), file, input));
    }
    end
}
