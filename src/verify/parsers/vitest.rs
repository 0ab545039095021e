//! Vitest's text: failing tests and suites with their errors, names where it prints them, counts.

use std::sync::LazyLock;

use regex::Regex;

use crate::outcome::TestStatus;

use super::{Found, Input, join, node_stack};

static FAIL: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^ ?FAIL  (.+)$").expect("a constant pattern"));
static LISTED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*(✓|×|↓|❯) (?:\|[^|]+\| )?(\S+\.\w+ > .+?)(?: \d+m?s)?(?: \[[^\]]*\])?$")
        .expect("a constant pattern")
});
static COUNTS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(\d+) (failed|skipped|todo|passed)").expect("a constant pattern"));

/// The most lines of one failure.
const BLOCK: usize = 400;

/// Adds each test of the log.
pub fn parse(input: &Input<'_>, found: &mut Found) {
    let seen = ["\n Test Files  ", " RUN  v", "Failed Tests", "Failed Suites"]
        .iter()
        .any(|m| input.text.contains(m));
    if found.is_done("vitest") || !seen {
        return;
    }
    found.done("vitest");
    let mut at = 0;
    while at < input.lines.len() {
        let line = input.line(at);
        if let Some(captures) = FAIL.captures(line) {
            at = failure(&captures[1], at, input, found);
            continue;
        }
        if let Some(captures) = LISTED.captures(line) {
            let status = match &captures[1] {
                "✓" => TestStatus::Passed,
                "↓" => TestStatus::Skipped,
                _ => TestStatus::Failed,
            };
            found.test(captures[2].trim(), status);
        } else if let Some(text) = line.trim_start().strip_prefix("Tests  ") {
            let mut counts = [0u64; 3];
            for part in COUNTS.captures_iter(text) {
                let slot = match &part[2] {
                    "passed" => 0,
                    "failed" => 1,
                    _ => 2,
                };
                counts[slot] += part[1].parse::<u64>().unwrap_or(0);
            }
            found.counts("vitest", counts[0], counts[1], counts[2]);
        }
        at += 1;
    }
}

/// ` FAIL  |project| a.test.js > group > inner`, and the error under it. The same error of several tests stands once, under all
/// of their names.
fn failure(title: &str, at: usize, input: &Input<'_>, found: &mut Found) -> usize {
    let mut titles = vec![title];
    let mut from = at + 1;
    while let Some(captures) = FAIL.captures(input.line(from)) {
        titles.push(captures.get(1).map_or("", |m| m.as_str()));
        from += 1;
    }
    let last = (from + BLOCK).min(input.lines.len());
    let end = (from..last)
        .find(|i| {
            let line = input.line(*i);
            FAIL.is_match(line) || line.starts_with("⎯⎯⎯") || line.starts_with(" Test Files ")
        })
        .unwrap_or(last);
    let text = join(&input.lines, from, end);
    for title in titles {
        let title =
            if title.starts_with('|') { title.splitn(3, '|').nth(2).unwrap_or(title) } else { title }.trim();
        let path = title.split(" > ").next().unwrap_or(title).split(" [ ").next().unwrap_or(title).trim();
        let file = input.paths.relative(path);
        if title.contains(" > ") {
            found.test(title, TestStatus::Failed);
            found.push(node_stack::failure("vitest", &text, Some(title), Some(&file), input));
        } else {
            found.push(node_stack::failure("vitest", &text, None, Some(&file), input));
        }
    }
    end
}
