//! Python's unittest (and Django's runner): names, statuses, tracebacks.

use std::sync::LazyLock;

use regex::Regex;

use crate::diagnostic::Category;
use crate::outcome::TestStatus;

use super::{Found, Input, traceback};

static HEAD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(ERROR|FAIL|UNEXPECTED SUCCESS): (\S+) \(([\w.<>]+)\)").expect("a constant pattern")
});
static VERBOSE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"^(\w+) \(([\w.]+)\)(?:.*?) \.\.\. (ok|FAIL|ERROR|skipped|expected failure|unexpected success)",
    )
    .expect("a constant pattern")
});
static RAN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^Ran (\d+) tests? in [\d.]+s$").expect("a constant pattern"));
static RESULT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(failures|errors|skipped|expected failures)=(\d+)").expect("a constant pattern")
});

/// `__main__.T.test_a` from `test_a (__main__.T.test_a)`; before Python 3.11 the brackets end with the class.
fn identity(name: &str, place: &str) -> String {
    let place = place.trim_start_matches("__main__.");
    if place.ends_with(&format!(".{name}")) || place == name {
        place.to_owned()
    } else {
        format!("{place}.{name}")
    }
}

/// Adds each test of the log.
pub fn parse(input: &Input<'_>, found: &mut Found) {
    if found.is_done("pytest") || !input.lines.iter().any(|l| RAN.is_match(l)) {
        return;
    }
    let (mut ran, mut loaders) = (0u64, 0u64);
    let mut counts: Option<[u64; 2]> = None;
    for (at, line) in input.lines.iter().enumerate() {
        if let Some(captures) = HEAD.captures(line) {
            let test = identity(&captures[2], &captures[3]);
            let loader = test.contains("_FailedTest");
            loaders += u64::from(loader);
            if !loader {
                found.test(&test, TestStatus::Failed);
            }
            let head = (at + 1..(at + 8).min(input.lines.len()))
                .find(|i| input.line(*i).starts_with("Traceback (most recent call last):"));
            if let Some(head) = head
                && let Some(read) = traceback::read(input, head)
            {
                let test = (!loader).then_some(test.as_str());
                found.push(
                    traceback::draft("unittest", &read, head, input).test(test).done_or(Category::Runtime),
                );
            }
        } else if let Some(captures) = VERBOSE.captures(line) {
            let status = match &captures[3] {
                "ok" => TestStatus::Passed,
                "FAIL" | "ERROR" | "unexpected success" => TestStatus::Failed,
                _ => TestStatus::Skipped,
            };
            let test = identity(&captures[1], &captures[2]);
            // A module that does not load.
            if !test.contains("_FailedTest") {
                found.test(&test, status);
            }
        } else if let Some(captures) = RAN.captures(line) {
            ran = ran.saturating_add(captures[1].parse().unwrap_or(0));
        } else if line.starts_with("FAILED (") || line.starts_with("OK") {
            let counts = counts.get_or_insert([0, 0]);
            for part in RESULT.captures_iter(line) {
                let count: u64 = part[2].parse().unwrap_or(0);
                let slot = usize::from(!matches!(&part[1], "failures" | "errors"));
                counts[slot] = counts[slot].saturating_add(count);
            }
        }
    }
    if let Some([failed, skipped]) = counts {
        let passed = ran.saturating_sub(failed).saturating_sub(skipped);
        found.counts("unittest", passed, failed.saturating_sub(loaders), skipped);
        found.done("unittest");
    }
}
