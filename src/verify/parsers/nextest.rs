//! cargo-nextest's text: names and statuses. Its panics are read by [`super::panics`].

use std::sync::LazyLock;

use regex::Regex;

use crate::diagnostic::Category;
use crate::outcome::TestStatus;

use super::{Draft, Found, Input};

static RESULT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^\s+(?:TRY \d+ )?(PASS|FLAKY \d+/\d+|LEAK|FAIL|LEAK-FAIL|FAIL \+ LEAK|SIG[A-Z]+|ABORT|TIMEOUT|SLOW-FAIL|XFAIL|SKIP)",
        r"\s+\[\s*(?:>?\s*[\d.]+s)?\s*\]\s+(?:\(\s*[\d─]+/\d+\)\s+)?(\S+)\s+(.+)$"
    ))
    .expect("a constant pattern")
});
static SUMMARY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s+Summary \[.*\] .*?: (?:(\d+) passed)?(?: \([^)]*\))?(?:, )?(.*)$")
        .expect("a constant pattern")
});
static PART: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(\d+) ([a-z ]+)").expect("a constant pattern"));

/// The identity and status that a line tells.
pub fn result(line: &str) -> Option<(String, &str)> {
    let captures = RESULT.captures(line)?;
    let status = captures.get(1)?.as_str();
    Some((format!("{}::{}", &captures[2], captures[3].trim()), status))
}

/// Adds each test of the log.
pub fn parse(input: &Input<'_>, found: &mut Found) {
    if !input.text.contains(" nextest profile: ") && !input.text.contains("Nextest run ID") {
        return;
    }
    found.done("nextest");
    for line in &input.lines {
        if let Some((name, status)) = result(line) {
            let passed = status == "PASS" || status.starts_with("FLAKY") || status == "LEAK";
            let status = match status {
                "SKIP" => TestStatus::Skipped,
                _ if passed => TestStatus::Passed,
                word => {
                    crash(word, &name, found);
                    TestStatus::Failed
                }
            };
            found.test(&name, status);
        } else if let Some(captures) = SUMMARY.captures(line) {
            let passed = captures.get(1).and_then(|m| m.as_str().parse().ok()).unwrap_or(0);
            let (mut failed, mut skipped) = (0, 0);
            for part in PART.captures_iter(&captures[2]) {
                let count: u64 = part[1].parse().unwrap_or(0);
                match part[2].trim() {
                    "failed" | "timed out" | "exec failed" => failed += count,
                    "skipped" => skipped += count,
                    _ => {}
                }
            }
            found.counts("nextest", passed, failed, skipped);
        }
    }
}

/// A test that died without a panic leaves no other mark.
fn crash(status: &str, name: &str, found: &mut Found) {
    if status.starts_with("SIG") || matches!(status, "ABORT" | "TIMEOUT") {
        let message = match status {
            "TIMEOUT" => "the test did not finish in time".to_owned(),
            _ => format!("the test was killed by {status}"),
        };
        found.push(Draft::error("nextest", &message).test(Some(name)).category(Category::Runtime).done());
    }
}
