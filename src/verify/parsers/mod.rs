//! What tools print, read into diagnostics and test results. One tool, or one format, per file.
//!
//! Every parser is a pure function over one [`Input`] that adds to one [`Found`]; each looks for marks of its own tool first and
//! does nothing where they are missing, since one log may hold the output of several tools. All input is hostile: parsers work
//! line by line with linear-time patterns and bounded look-ahead.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::diagnostic::{Category, Diagnostic, Position, Range, Severity};
use crate::outcome::{TestReport, TestStatus};

use super::category;
use super::matcher::Matcher;
use super::paths::Paths;

pub mod bundlers;
pub mod cargo_json;
pub mod eslint_json;
pub mod go_test;
pub mod jest;
pub mod jest_json;
pub mod junit;
pub mod libtest;
pub mod maven;
pub mod mocha;
pub mod nextest;
pub mod node_spec;
pub mod node_stack;
pub mod panics;
pub mod pyright_json;
pub mod pytest;
pub mod ruff_json;
pub mod rustc_text;
pub mod tap;
pub mod traceback;
pub mod unittest;
pub mod vitest;

/// The most diagnostics taken from one log, before duplicates are dropped.
const MOST_RAW: usize = 5_000;
/// The most tests taken from one log.
const MOST_TESTS: usize = 100_000;
/// The longest message, in bytes.
const MESSAGE: usize = 2_000;
/// The longest detail, in bytes.
const DETAIL: usize = 4_096;
/// The longest name of a test, in bytes.
const TEST_NAME: usize = 1_000;
/// Lines longer than this are no tool's prose; only JSON readers look at them.
pub const LONG_LINE: usize = 8_192;

/// What a parser reads.
pub struct Input<'a> {
    /// The whole output, escape sequences removed.
    pub text: &'a str,
    /// Its lines; the ones that are too long for prose are empty here.
    pub lines: Vec<&'a str>,
    /// What printed paths mean.
    pub paths: &'a Paths,
    /// The words of the command, scripts it names resolved as far as known: a hint for formats that look like anything.
    pub command: &'a str,
}

impl<'a> Input<'a> {
    /// Splits `text` into lines.
    pub fn new(text: &'a str, paths: &'a Paths, command: &'a str) -> Self {
        let lines = text.lines().map(|line| if line.len() > LONG_LINE { "" } else { line }).collect();
        Self { text, lines, paths, command }
    }

    /// The line at `index`, empty after the end.
    pub fn line(&self, index: usize) -> &'a str {
        self.lines.get(index).copied().unwrap_or("")
    }
}

/// What parsers found.
#[derive(Debug, Default)]
pub struct Found {
    /// Complaints in the order of the log.
    pub diagnostics: Vec<Diagnostic>,
    /// Tests by identity.
    pub tests: BTreeMap<String, TestStatus>,
    /// Suites that passed without naming their tests.
    pub silent: BTreeSet<String>,
    /// Counts from summaries, by runner: passed, failed, skipped.
    counts: BTreeMap<&'static str, [u64; 3]>,
    /// Tools whose results are complete: text parsers of the same tool stay quiet.
    done: BTreeSet<&'static str>,
    seen: HashSet<String>,
    /// Whether a structured report, not a text that may be quoted, tells of a failing test.
    pub reported_failure: bool,
}

impl Found {
    /// Adds a complaint unless there are too many, or an equal one is there.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.diagnostics.len() < MOST_RAW && !diagnostic.message.is_empty() {
            let key = format!(
                "{}\0{:?}\0{:?}\0{:?}\0{}\0{:?}",
                diagnostic.tool,
                diagnostic.severity,
                diagnostic.file,
                diagnostic.range.map(|r| r.start),
                diagnostic.message,
                diagnostic.test
            );
            if self.seen.insert(key) {
                self.diagnostics.push(diagnostic);
            }
        }
    }

    /// Records how a test ended. A name that comes twice keeps the worse status.
    pub fn test(&mut self, name: &str, status: TestStatus) {
        let name = cut(name.trim(), TEST_NAME);
        if name.is_empty() {
            return;
        }
        if let Some(known) = self.tests.get_mut(name) {
            let weight = |s: TestStatus| match s {
                TestStatus::Skipped => 0,
                TestStatus::Passed => 1,
                TestStatus::Failed => 2,
            };
            if weight(status) > weight(*known) {
                *known = status;
            }
        } else if self.tests.len() < MOST_TESTS {
            self.tests.insert(name.to_owned(), status);
        }
    }

    /// Adds a summary's counts (a runner may print several).
    pub fn counts(&mut self, runner: &'static str, passed: u64, failed: u64, skipped: u64) {
        let sum = self.counts.entry(runner).or_default();
        for (sum, more) in sum.iter_mut().zip([passed, failed, skipped]) {
            *sum = sum.saturating_add(more);
        }
    }

    /// Whether a runner's summary was seen.
    pub fn has_counts(&self, runner: &str) -> bool {
        self.counts.contains_key(runner)
    }

    /// Notes that `tool`'s results are complete.
    pub fn done(&mut self, tool: &'static str) {
        self.done.insert(tool);
    }

    /// Whether `tool`'s results are complete.
    pub fn is_done(&self, tool: &str) -> bool {
        self.done.contains(tool)
    }

    /// The test report, `None` where no runner was seen. Summaries count where they tell more than the identities.
    pub fn report(&mut self) -> Option<TestReport> {
        if self.tests.is_empty() && self.counts.is_empty() {
            return None;
        }
        let tests = std::mem::take(&mut self.tests);
        let named = |status| tests.values().filter(|s| **s == status).count() as u64;
        let mut told = [0u64; 3];
        for counts in self.counts.values() {
            for (sum, more) in told.iter_mut().zip(counts) {
                *sum = sum.saturating_add(*more);
            }
        }
        let passed = named(TestStatus::Passed).max(told[0]);
        let failed = named(TestStatus::Failed).max(told[1]);
        let skipped = named(TestStatus::Skipped).max(told[2]);
        Some(TestReport { tests, passed, failed, skipped })
    }
}

/// A diagnostic in the making.
#[derive(Debug, Clone)]
pub struct Draft {
    diagnostic: Diagnostic,
    category: Option<Category>,
}

impl Draft {
    /// An error of `tool`.
    pub fn error(tool: &str, message: &str) -> Self {
        let diagnostic = Diagnostic {
            tool: tool.to_owned(),
            severity: Severity::Error,
            code: None,
            message: cut(message.trim(), MESSAGE).to_owned(),
            file: None,
            range: None,
            category: Category::Other,
            test: None,
            detail: None,
        };
        Self { diagnostic, category: None }
    }

    /// How bad.
    pub fn severity(mut self, severity: Severity) -> Self {
        self.diagnostic.severity = severity;
        self
    }

    /// The tool's code; nothing where it is empty.
    pub fn code(mut self, code: Option<&str>) -> Self {
        self.diagnostic.code =
            code.map(str::trim).filter(|c| !c.is_empty() && c.len() <= 200).map(str::to_owned);
        self
    }

    /// The file, already relative.
    pub fn file(mut self, file: Option<String>) -> Self {
        self.diagnostic.file = file.filter(|f| !f.is_empty() && f.len() <= 4096);
        self
    }

    /// A point of the file.
    pub fn at(self, line: u32, column: u32) -> Self {
        self.span(line, column, line, column)
    }

    /// A range of the file; a line of 0 means none.
    pub fn span(mut self, line: u32, column: u32, end_line: u32, end_column: u32) -> Self {
        if line > 0 {
            let start = Position { line, column: column.max(1) };
            let end = Position { line: end_line, column: end_column.max(1) }.max(start);
            self.diagnostic.range = Some(Range { start, end });
        }
        self
    }

    /// What kind, where the parser knows better than the tables.
    pub fn category(mut self, category: Category) -> Self {
        self.category = Some(category);
        self
    }

    /// The test that failed.
    pub fn test(mut self, test: Option<&str>) -> Self {
        self.diagnostic.test = test.map(|t| cut(t.trim(), TEST_NAME).to_owned()).filter(|t| !t.is_empty());
        self
    }

    /// The longer rendering; nothing where it says no more than the message.
    pub fn detail(mut self, detail: &str) -> Self {
        let detail = cut(detail.trim_end().trim_start_matches('\n'), DETAIL);
        self.diagnostic.detail = Some(detail)
            .filter(|d| !d.trim().is_empty() && d.trim() != self.diagnostic.message)
            .map(str::to_owned);
        self
    }

    /// The diagnostic, its category looked up; `other` where neither the parser nor the tables know.
    pub fn done_or(self, other: Category) -> Diagnostic {
        let Draft { mut diagnostic, category } = self;
        diagnostic.category = category.unwrap_or_else(|| {
            category::find(&diagnostic.tool, diagnostic.code.as_deref(), &diagnostic.message).unwrap_or(other)
        });
        diagnostic
    }

    /// The diagnostic, its category looked up.
    pub fn done(self) -> Diagnostic {
        self.done_or(Category::Other)
    }
}

/// At most `most` bytes of `text`, cut between characters.
pub fn cut(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    let mut end = most;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A number that a tool printed; 0 where it is none.
pub fn number(text: Option<&str>) -> u32 {
    text.and_then(|t| t.parse().ok()).unwrap_or(0)
}

/// The lines `from..to`, joined, bounded.
pub fn join(lines: &[&str], from: usize, to: usize) -> String {
    let to = to.min(lines.len());
    let mut text = String::new();
    for line in lines.get(from.min(to)..to).unwrap_or_default() {
        if text.len() > 2 * DETAIL {
            break;
        }
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// The first JSON value that starts with `mark` at the start of a line; what stands before and after it does not matter.
pub fn json_after(text: &str, mark: &str) -> Option<serde_json::Value> {
    let starts = text.match_indices(mark).filter(|(at, _)| *at == 0 || text.as_bytes()[at - 1] == b'\n');
    for (at, _) in starts.take(3) {
        let mut values = serde_json::Deserializer::from_str(&text[at..]).into_iter();
        if let Some(Ok(value)) = values.next() {
            return Some(value);
        }
    }
    None
}

/// Reads one log with everything there is: code where structure needs it, matchers for the rest. `reports` are the files that
/// the check's tools left for us, by name.
pub fn parse(input: &Input<'_>, matchers: &[Matcher], reports: &[(String, String)]) -> Found {
    let mut found = Found::default();
    junit::parse(reports, input, &mut found);
    cargo_json::parse(input, &mut found);
    jest_json::parse(input, &mut found);
    eslint_json::parse(input, &mut found);
    ruff_json::parse(input, &mut found);
    pyright_json::parse(input, &mut found);
    go_test::parse(input, &mut found);
    rustc_text::parse(input, &mut found);
    nextest::parse(input, &mut found);
    libtest::parse(input, &mut found);
    panics::parse(input, &mut found);
    pytest::parse(input, &mut found);
    unittest::parse(input, &mut found);
    traceback::parse(input, &mut found);
    vitest::parse(input, &mut found);
    jest::parse(input, &mut found);
    tap::parse(input, &mut found);
    node_spec::parse(input, &mut found);
    mocha::parse(input, &mut found);
    bundlers::parse(input, &mut found);
    maven::parse(input, &mut found);
    node_stack::parse(input, &mut found);
    for matcher in matchers {
        if !found.is_done(matcher.tool()) {
            matcher.parse(input, &mut found);
        }
    }
    found
}

#[cfg(test)]
pub(in crate::verify) mod tests;
