//! Two outcomes side by side: what the loop's decisions are made of.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Category, Diagnostic, Severity};
use crate::outcome::{Outcome, TestStatus, Verdict};

use super::fingerprint::identity;

/// How an outcome differs from an earlier one of the same check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// Errors of before that are gone.
    pub fixed: Vec<Diagnostic>,
    /// Errors of before that are still there, as they stand after.
    pub remaining: Vec<Diagnostic>,
    /// Errors of after that were not there.
    pub new: Vec<Diagnostic>,
    /// Tests that passed before and now fail or are gone, by identity.
    pub newly_failing: Vec<String>,
    /// Tests that were there before, however they ended, and are not reported now.
    pub missing: Vec<String>,
    /// Tests that failed before and pass now.
    pub newly_passing: Vec<String>,
    /// Tests that fail in both.
    pub still_failing: Vec<String>,
    /// Tests run before and after: passed and failed together.
    pub tests_run: (u64, u64),
    /// Tests that fail, before and after, by count (where the runner gives no identities).
    pub tests_failed: (u64, u64),
    /// How far each got.
    pub stage: (Stage, Stage),
    /// Whether after could not be judged.
    pub infra: bool,
}

/// How far a command got: later faults show only when the earlier are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The tool did not start its work: configuration, dependencies.
    Setup,
    /// Files do not parse.
    Syntax,
    /// Names and modules do not resolve.
    Names,
    /// Types do not agree, in a compiler that looks at lifetimes only afterwards.
    Types,
    /// It was compiled, checked, linted or run.
    Checked,
    /// Tests ran and reported.
    Tested,
    /// Exit 0.
    Green,
}

/// Whether an attempt brought the goal nearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// Nearer, or there: green, and no test newly fails or is missing.
    Better,
    /// No difference that counts, or one that cannot be judged.
    Same,
    /// Drop it whole.
    Worse,
}

/// Compares two outcomes of one check.
pub fn compare(before: &Outcome, after: &Outcome) -> Comparison {
    let (fixed, remaining, new) = split(before, after);
    let mut comparison = Comparison {
        fixed,
        remaining,
        new,
        newly_failing: Vec::new(),
        missing: Vec::new(),
        newly_passing: Vec::new(),
        still_failing: Vec::new(),
        tests_run: (ran(before), ran(after)),
        tests_failed: (failed(before), failed(after)),
        stage: (stage(before), stage(after)),
        infra: matches!(after.verdict, Verdict::Infra { .. }),
    };
    compare_tests(before, after, &mut comparison);
    comparison
}

impl Comparison {
    /// Whether the attempt brought the goal nearer. The rules, the first that holds:
    ///
    /// 1. After is infra: `Same`, nothing was learnt.
    /// 2. A test newly fails, a test is missing, fewer tests ran, or it did not get as far as before: `Worse`, be it green or not.
    /// 3. It got further (syntax errors gone, names resolve, tests run at last, green): `Better`. What shows only now was hidden before.
    /// 4. Errors or failing tests are gone and none is new: `Better`.
    /// 5. An error is new, or more tests fail: `Worse`.
    /// 6. Else `Same`.
    pub fn progress(&self) -> Progress {
        let lost = !self.newly_failing.is_empty() || !self.missing.is_empty();
        if self.infra {
            Progress::Same
        } else if lost || self.tests_run.1 < self.tests_run.0 || self.stage.1 < self.stage.0 {
            Progress::Worse
        } else if self.stage.1 > self.stage.0 {
            Progress::Better
        } else if !self.new.is_empty() || self.tests_failed.1 > self.tests_failed.0 {
            Progress::Worse
        } else if !self.fixed.is_empty()
            || !self.newly_passing.is_empty()
            || self.tests_failed.1 < self.tests_failed.0
        {
            Progress::Better
        } else {
            Progress::Same
        }
    }
}

/// What a check says of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beside {
    /// Nothing against it.
    Fine,
    /// It got worse.
    Worse(String),
    /// It is red, could not get this far before, and so nobody can say whose fault that is: a person has to look.
    Doubtful(String),
}

/// Whether a change may take tests away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tests {
    /// Whoever repairs must not.
    MustStay,
    /// A person who proposes a change may: guards see to it that it is told.
    MayGo,
}

/// Compares what a check came to after a change with what it came to before it, where it could run then.
pub fn beside(before: Option<&Outcome>, after: &Outcome, tests: Tests) -> Beside {
    let name = &after.check;
    let Some(before) = before else {
        // What it needs was red then.
        let why = || format!("check {name} could not run before, and is red: {}", headline(after));
        return if after.is_green() { Beside::Fine } else { Beside::Doubtful(why()) };
    };
    if let Verdict::Infra { reason, .. } = &after.verdict {
        return match before.verdict {
            Verdict::Infra { .. } => Beside::Fine,
            _ => Beside::Worse(format!("check {name} could not be judged: {reason}")),
        };
    }
    let change = compare(before, after);
    if before.is_green() && !after.is_green() {
        return Beside::Worse(format!("check {name} was green and is red now: {}", headline(after)));
    }
    let gone = |test: &&String| tests == Tests::MayGo && change.missing.contains(test);
    let failing: Vec<String> = change.newly_failing.iter().filter(|test| !gone(test)).cloned().collect();
    if !failing.is_empty() {
        return Beside::Worse(format!("check {name} has new failures: {}", some(&failing)));
    }
    // A runner that only counts names nothing that could be missing.
    let (was, is) = change.tests_run;
    if tests == Tests::MustStay && !change.missing.is_empty() {
        return Beside::Worse(format!("check {name} lost tests: {}", some(&change.missing)));
    }
    if tests == Tests::MustStay && is < was {
        return Beside::Worse(format!("check {name} ran {is} tests where {was} ran before"));
    }
    if after.is_green() || change.new.is_empty() {
        return Beside::Fine;
    }
    match change.stage.1 > change.stage.0 {
        true => Beside::Doubtful(format!(
            "check {name} gets further than before, and is red: {}",
            headline(after)
        )),
        false => Beside::Worse(format!("check {name} has new complaints: {}", headline(after))),
    }
}

/// The first thing that an outcome complains about, in one line.
pub fn headline(outcome: &Outcome) -> String {
    match outcome.diagnostics.first() {
        Some(first) => {
            let place = match (&first.file, &first.range) {
                (Some(file), Some(range)) => format!("{file}:{}: ", range.start.line),
                (Some(file), None) => format!("{file}: "),
                (None, _) => String::new(),
            };
            let more = match outcome.diagnostics.len() {
                1 => String::new(),
                count => format!(" (and {} more)", count - 1),
            };
            let line = first.message.lines().next().unwrap_or_default();
            format!("{place}{line}{more}")
        }
        None => format!("it {}, and nothing it printed could be read as a complaint", outcome.end),
    }
}

/// Names for a sentence: the first five, and how many more there are.
pub fn some(names: &[String]) -> String {
    let shown = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    match names.len() {
        0..=5 => shown,
        more => format!("{shown} and {} more", more - 5),
    }
}

fn errors(outcome: &Outcome) -> impl Iterator<Item = &Diagnostic> {
    outcome.diagnostics.iter().filter(|d| d.severity == Severity::Error)
}

/// Pairs errors by identity, as often as each stands.
fn split(before: &Outcome, after: &Outcome) -> (Vec<Diagnostic>, Vec<Diagnostic>, Vec<Diagnostic>) {
    let mut open: HashMap<String, Vec<&Diagnostic>> = HashMap::new();
    for diagnostic in errors(before) {
        open.entry(identity(diagnostic)).or_default().push(diagnostic);
    }
    let (mut remaining, mut unpaired) = (Vec::new(), Vec::new());
    for diagnostic in errors(after) {
        match open.get_mut(&identity(diagnostic)).and_then(Vec::pop) {
            Some(_) => remaining.push(diagnostic.clone()),
            None => unpaired.push(diagnostic),
        }
    }
    // A test that fails in both is one failure though its message differs ("expected 3, got 4" is now "got 5").
    let mut by_test: HashMap<&str, usize> = HashMap::new();
    for diagnostic in open.values().flatten() {
        if let Some(test) = &diagnostic.test {
            *by_test.entry(test).or_default() += 1;
        }
    }
    let mut matched: HashMap<String, usize> = HashMap::new();
    let mut new = Vec::new();
    for diagnostic in unpaired {
        let same_test = diagnostic.test.as_deref().and_then(|t| by_test.get_mut(t)).filter(|n| **n > 0);
        match same_test {
            Some(left) => {
                *left -= 1;
                *matched.entry(diagnostic.test.clone().unwrap_or_default()).or_default() += 1;
                remaining.push(diagnostic.clone());
            }
            None => new.push(diagnostic.clone()),
        }
    }
    let mut fixed = Vec::new();
    for diagnostic in errors(before) {
        let Some(rest) = open.get_mut(&identity(diagnostic)) else { continue };
        let Some(at) = rest.iter().position(|d| std::ptr::eq(*d, diagnostic)) else { continue };
        rest.swap_remove(at);
        if let Some(left) = diagnostic.test.as_ref().and_then(|t| matched.get_mut(t)).filter(|n| **n > 0) {
            *left -= 1;
        } else {
            fixed.push(diagnostic.clone());
        }
    }
    (fixed, remaining, new)
}

fn compare_tests(before: &Outcome, after: &Outcome, comparison: &mut Comparison) {
    let Some(first) = &before.tests else { return };
    let empty = crate::outcome::TestReport::default();
    let second = after.tests.as_ref().unwrap_or(&empty);
    // A runner that names only the failing tests (jest, go) tells nothing of the others by their absence.
    let names_all = |report: &crate::outcome::TestReport| {
        report.tests.values().filter(|s| **s == TestStatus::Passed).count() as u64 >= report.passed
    };
    let comparable = after.tests.is_none() || names_all(second);
    for (name, was) in &first.tests {
        match (was, second.tests.get(name)) {
            (TestStatus::Passed, Some(TestStatus::Failed)) => comparison.newly_failing.push(name.clone()),
            (TestStatus::Failed, Some(TestStatus::Failed)) => comparison.still_failing.push(name.clone()),
            (TestStatus::Failed, Some(TestStatus::Passed)) => comparison.newly_passing.push(name.clone()),
            // Passed or failed, and now skipped: no longer run.
            (TestStatus::Passed | TestStatus::Failed, Some(TestStatus::Skipped)) => {
                comparison.missing.push(name.clone());
            }
            // It failed, and its whole suite passes now.
            (TestStatus::Failed, None) if after.passed_silently(name) => {
                comparison.newly_passing.push(name.clone());
                comparison.tests_run.1 += 1;
            }
            (was, None) if comparable => {
                comparison.missing.push(name.clone());
                if *was == TestStatus::Passed {
                    comparison.newly_failing.push(name.clone());
                }
            }
            (TestStatus::Failed, None) => comparison.newly_passing.push(name.clone()),
            _ => {}
        }
    }
    // What the runner did not name before because it passed, and names now because it fails.
    if !names_all(first) {
        let fresh = second
            .tests
            .iter()
            .filter(|(name, status)| **status == TestStatus::Failed && !first.tests.contains_key(*name));
        let grown = second.failed.saturating_sub(first.failed) + comparison.newly_passing.len() as u64;
        let names: Vec<String> =
            fresh.map(|(name, _)| name.clone()).take(usize::try_from(grown).unwrap_or(0)).collect();
        let added = ran(after).saturating_sub(ran(before));
        // As many as were added may be new tests; the rest passed before.
        comparison.newly_failing.extend(names.into_iter().skip(usize::try_from(added).unwrap_or(0)));
    }
}

fn ran(outcome: &Outcome) -> u64 {
    outcome.tests.as_ref().map_or(0, |t| t.passed.saturating_add(t.failed))
}

fn failed(outcome: &Outcome) -> u64 {
    outcome.tests.as_ref().map_or(0, |t| t.failed)
}

/// How far an outcome got.
pub fn stage(outcome: &Outcome) -> Stage {
    if outcome.verdict == Verdict::Green {
        return Stage::Green;
    }
    let mut stage = Stage::Checked;
    for diagnostic in errors(outcome).filter(|d| d.test.is_none()) {
        let at = match diagnostic.category {
            Category::Dependency | Category::Configuration => Stage::Setup,
            Category::Syntax => Stage::Syntax,
            Category::Import | Category::Export | Category::UndefinedName if hides_rest(&diagnostic.tool) => {
                Stage::Names
            }
            Category::Type | Category::MissingMember if diagnostic.tool == "rustc" => Stage::Types,
            _ => Stage::Checked,
        };
        stage = stage.min(at);
    }
    let tested = outcome.tests.as_ref().is_some_and(|t| t.passed.saturating_add(t.failed) > 0);
    if tested { Stage::Tested } else { stage }
}

/// Whether a tool stops at names that do not resolve. Linters and type checkers tell everything at once.
fn hides_rest(tool: &str) -> bool {
    !matches!(tool, "tsc" | "pyright" | "mypy" | "eslint" | "ruff" | "flake8" | "pylint" | "biome")
}

#[cfg(test)]
mod tests;
