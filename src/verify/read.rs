//! From what a command printed and left behind to an outcome: the pure part.

use std::borrow::Cow;
use std::time::Duration;

use crate::diagnostic::{Diagnostic, Severity};
use crate::outcome::{Check, End, Outcome, TestReport, Verdict};

use super::fingerprint::{fingerprint, identity};
use super::matcher::Matcher;
use super::parsers::{self, Draft, Found, Input};
use super::paths::Paths;
use super::verdict::{self, Surroundings};

/// The most diagnostics of an outcome.
const MOST: usize = 500;
/// The most bytes of an outcome's tail.
const TAIL: usize = 16 << 10;

/// The most lines of a text that are looked at from its beginning, and as many from its end: each costs every pattern there is.
const LINES: usize = 60_000;

/// What one execution left behind.
#[derive(Debug, Clone)]
pub struct Evidence<'a> {
    /// How the command ended.
    pub end: End,
    /// Wall time.
    pub duration: Duration,
    /// What it printed (both ends of it), escape sequences removed.
    pub text: &'a str,
    /// Files in the reports folder, by name.
    pub reports: &'a [(String, String)],
    /// The words of the command, scripts resolved.
    pub command: &'a str,
    /// What printed paths mean.
    pub paths: &'a Paths,
    /// What is known of the check's folder.
    pub around: Surroundings,
}

/// The outcome of `check`; its log's name, digest and size are the caller's to fill in.
pub fn read(check: &Check, evidence: &Evidence<'_>, matchers: &[Matcher]) -> Outcome {
    let text = both_ends(evidence.text, LINES);
    let input = Input::new(&text, evidence.paths, evidence.command);
    let mut found = parsers::parse(&input, matchers, evidence.reports);
    let tests = found.report();
    let verdict =
        verdict::judge(check, evidence.end, evidence.text, &found, tests.as_ref(), &evidence.around);
    if verdict == Verdict::Red && evidence.end == End::Exited(0) {
        found.diagnostics.push(lying_exit(check, tests.as_ref()));
    }
    let mut outcome = Outcome {
        check: check.name.clone(),
        end: evidence.end,
        verdict,
        duration: evidence.duration,
        diagnostics: Vec::new(),
        tests,
        fingerprint: None,
        tail: tail(evidence.text),
        log_digest: String::new(),
        log_bytes: 0,
        log: None,
        connections: Vec::new(),
        silent: std::mem::take(&mut found.silent),
    };
    settle(check, &mut outcome, found.diagnostics);
    outcome
}

/// A text without its middle, where it has more than `2 * lines` lines.
fn both_ends(text: &str, lines: usize) -> Cow<'_, str> {
    let Some((head, _)) = text.match_indices('\n').nth(lines - 1) else { return Cow::Borrowed(text) };
    match text.rmatch_indices('\n').nth(lines - 1) {
        Some((tail, _)) if tail > head => Cow::Owned(format!("{}\n{}", &text[..head], &text[tail + 1..])),
        _ => Cow::Borrowed(text),
    }
}

/// Adds what a probe found: it replaces what was read as text of the same tools, which says the same with less.
/// `evidence_only` marks findings of a tool that is not part of the command: where they do not fit a complaint that is
/// there, they are context, not errors.
pub fn merge(check: &Check, outcome: &mut Outcome, probe: Found, evidence_only: bool) {
    let mut diagnostics = std::mem::take(&mut outcome.diagnostics);
    let mut fresh = probe.diagnostics;
    if evidence_only {
        for diagnostic in &mut fresh {
            let hit = diagnostics.iter().any(|d| d.severity == Severity::Error && d.file == diagnostic.file);
            if !hit && !diagnostics.is_empty() {
                diagnostic.severity = Severity::Warning;
            }
        }
    } else {
        let errors = |list: &[Diagnostic], tool: &str| {
            list.iter()
                .filter(|d| family(&d.tool) == tool && d.severity == Severity::Error && d.test.is_none())
                .count()
        };
        let mut tools: Vec<&str> = fresh.iter().map(|d| family(&d.tool)).collect();
        tools.sort_unstable();
        tools.dedup();
        // A probe that saw fewer errors than the command did not look at the same thing.
        tools.retain(|tool| errors(&fresh, tool) >= errors(&diagnostics, tool));
        diagnostics.retain(|d| d.test.is_some() || !tools.contains(&family(&d.tool)));
    }
    diagnostics.extend(fresh);
    if outcome.tests.as_ref().is_none_or(|t| t.tests.len() < probe.tests.len()) && !probe.tests.is_empty() {
        let mut tests = Found::default();
        tests.tests = probe.tests;
        outcome.tests = tests.report();
    }
    settle(check, outcome, diagnostics);
}

fn family(tool: &str) -> &str {
    if tool == "clippy" { "rustc" } else { tool }
}

/// Sorts, deduplicates, bounds, and names the failure.
fn settle(check: &Check, outcome: &mut Outcome, mut diagnostics: Vec<Diagnostic>) {
    let mut seen = std::collections::HashSet::new();
    diagnostics.retain(|d| seen.insert((identity(d), d.severity, d.range.map(|r| r.start))));
    diagnostics.sort_by_key(|d| d.severity);
    diagnostics.truncate(MOST);
    outcome.fingerprint = (outcome.verdict != Verdict::Green)
        .then(|| fingerprint(check, &diagnostics, outcome.tests.as_ref(), &outcome.tail));
    outcome.diagnostics = diagnostics;
}

fn lying_exit(check: &Check, tests: Option<&TestReport>) -> Diagnostic {
    let failed = tests.map_or(0, |t| t.failed);
    Draft::error("regreen", &format!("{} exited with 0 though {failed} of its tests failed", check.name))
        .category(crate::diagnostic::Category::Configuration)
        .done()
}

/// The last lines, at most 16 KiB, starting at a line's start.
pub(super) fn tail(text: &str) -> String {
    let text = text.trim_end();
    if text.len() <= TAIL {
        return text.to_owned();
    }
    let mut from = text.len() - TAIL;
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let tail = &text[from..];
    tail.split_once('\n').map_or(tail, |(_, whole)| whole).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_loses_whole_lines_of_its_middle() {
        assert_eq!(both_ends("1\n2\n3\n4\n5\n6", 1), "1\n6");
        assert_eq!(both_ends("1\n2\n3\n4", 1), "1\n4");
        for short in ["", "\n", "1", "1\n2"] {
            assert_eq!(both_ends(short, 1), short);
        }
        assert!(matches!(both_ends("1\n2\n3\n4", 3), Cow::Borrowed(_)));
    }
}
