//! Rust's own test harness: names and statuses. Its panics are read by [`super::panics`].

use std::sync::LazyLock;

use regex::Regex;

use crate::outcome::TestStatus;

use super::{Found, Input};

static RUNNING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s+Running (?:unittests )?(\S+) \((?:.*[/\\])?([^/\\]+?)(?:-[0-9a-f]{16})?(?:\.exe)?\)$")
        .expect("a constant pattern")
});
static RESULT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"^test (.+?)(?: - should panic)?(?: - compile(?: fail)?)? \.\.\. (ok|FAILED|failed|ignored|bench)\b",
    )
    .expect("a constant pattern")
});
static SUMMARY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;").expect("a constant pattern")
});

/// Which test binary a line's output belongs to, followed line by line.
#[derive(Default)]
pub struct Binary {
    name: String,
}

impl Binary {
    /// Looks at the next line.
    pub fn see(&mut self, line: &str) {
        if let Some(captures) = RUNNING.captures(line) {
            let (source, name) = (&captures[1], &captures[2]);
            let library = source.ends_with("lib.rs") || !source.ends_with("main.rs");
            self.name = if library { name.to_owned() } else { format!("{name}(bin)") };
        } else if let Some(name) = line.strip_prefix("   Doc-tests ") {
            self.name = format!("{}(doc)", name.trim());
        }
    }

    /// The identity of a test of this binary.
    pub fn identity(&self, test: &str) -> String {
        if self.name.is_empty() { test.to_owned() } else { format!("{}::{test}", self.name) }
    }
}

/// Adds each test of the log.
pub fn parse(input: &Input<'_>, found: &mut Found) {
    if !input.text.contains("test result: ") && !input.text.contains("\nrunning ") {
        return;
    }
    if found.is_done("nextest") {
        return;
    }
    let mut binary = Binary::default();
    let mut failures = false;
    for line in &input.lines {
        binary.see(line);
        if let Some(captures) = RESULT.captures(line) {
            let status = match &captures[2] {
                "ok" | "bench" => TestStatus::Passed,
                "ignored" => TestStatus::Skipped,
                _ => TestStatus::Failed,
            };
            found.test(&binary.identity(captures[1].trim()), status);
        } else if *line == "failures:" {
            failures = true;
        } else if let Some(captures) = SUMMARY.captures(line) {
            let count = |index: usize| captures[index].parse().unwrap_or(0);
            found.counts("libtest", count(1), count(2), count(3));
            failures = false;
        } else if failures && let Some(name) = line.strip_prefix("    ") {
            // The list of names at the end; under `--nocapture` the status line itself may be torn.
            if !name.starts_with(' ') && is_name(name) {
                found.test(&binary.identity(name), TestStatus::Failed);
            }
        } else if failures && !line.is_empty() {
            failures = false;
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.contains(": ") && (!text.contains(' ') || text.contains(" - ") || text.contains("(line "))
}
