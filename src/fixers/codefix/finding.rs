//! What a judge found wrong, and whether one state is better than another.

use std::collections::BTreeMap;

use super::edit::Candidate;
use crate::patch::RelPath;

/// In which stage of building or running a fault shows itself: repairing an early one may uncover later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Stage {
    /// The text does not parse.
    Syntax,
    /// A name or module does not resolve.
    Names,
    /// Types do not agree.
    Types,
    /// Ownership and borrowing: told only where the types agree.
    Borrows,
    /// Shows itself when the program runs.
    Runtime,
    /// Style, or a test's assertion.
    Last,
}

/// A place that a finding points at beside its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The file.
    pub file: RelPath,
    /// Its bytes.
    pub span: (usize, usize),
    /// What is said of it.
    pub label: String,
}

/// One thing that keeps a state from being green.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// The tool's code, empty where it has none.
    pub code: String,
    /// The message.
    pub message: String,
    /// The file, where it lies in the repo.
    pub file: Option<RelPath>,
    /// The bytes it is about; an empty range where only a point is known.
    pub span: (usize, usize),
    /// Line, from 1; 0 where unknown.
    pub line: u32,
    /// When it shows itself.
    pub stage: Stage,
    /// Other places that belong to it.
    pub places: Vec<Place>,
    /// Repairs that the tool itself suggests.
    pub suggested: Vec<Candidate>,
    /// Names that would resolve there, as the tool knows them.
    pub names: Vec<Name>,
}

/// A name that a tool says would resolve at a finding's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    /// The name.
    pub text: String,
    /// Where it is declared, if in the repo.
    pub declared: Option<(RelPath, usize, usize)>,
}

impl Finding {
    /// The same fault has the same key though lines moved.
    pub fn key(&self) -> String {
        let file = self.file.as_ref().map_or("", |file| file.as_str());
        format!("{}\u{1}{}\u{1}{}", self.code, file, self.message)
    }

    /// Stands for the finding as a root cause: the same message at the same place.
    pub fn cause(&self) -> String {
        format!("{}\u{1}{}", self.key(), self.span.0)
    }

    /// Whether both tell of one place in a text that does not parse: a parser that goes on after a fault tells of it again.
    fn same_fault(&self, other: &Finding) -> bool {
        self.stage == Stage::Syntax
            && other.stage == Stage::Syntax
            && self.file.is_some()
            && self.file == other.file
            && self.span.0 < other.span.1
            && other.span.0 < self.span.1
    }
}

/// What a judge says of one state.
#[derive(Debug, Clone, Default)]
pub(super) struct Judgement {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Whether the judge is content.
    pub green: bool,
    /// Tests and modules that fail, where the judge runs the program.
    pub failures: Option<u32>,
}

/// How a state compares with an earlier one, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Progress {
    /// Nothing gone, or something earlier than that came.
    None,
    /// Something gone and something else of the same stage came: of use only if a further step completes it.
    Trade,
    /// Something gone, and what came could not show itself before.
    Uncovered,
    /// Something gone and nothing came.
    Clean,
}

impl Judgement {
    /// How much is left, less is better. A state whose program runs has less left than one that is not even built.
    pub fn rest(&self) -> (bool, bool, u32, usize) {
        let unbuilt = self.findings.iter().any(|finding| finding.stage < Stage::Runtime);
        let failures = self.failures.unwrap_or(self.findings.len() as u32);
        (!self.green, unbuilt, failures, self.findings.len())
    }
}

fn counts(state: &Judgement) -> BTreeMap<String, (u32, &Finding)> {
    let mut counts: BTreeMap<String, (u32, &Finding)> = BTreeMap::new();
    for finding in &state.findings {
        counts.entry(finding.key()).or_insert((0, finding)).0 += 1;
    }
    counts
}

/// How `after` compares with `before`.
pub(super) fn progress(before: &Judgement, after: &Judgement) -> Progress {
    if after.green {
        return if before.green { Progress::None } else { Progress::Clean };
    }
    if let (Some(b), Some(a)) = (before.failures, after.failures)
        && a > b
    {
        return Progress::None;
    }
    let (old, new) = (counts(before), counts(after));
    let gone: Vec<&Finding> = old
        .iter()
        .filter(|(key, (count, _))| new.get(*key).is_none_or(|(now, _)| now < count))
        .map(|(_, (_, finding))| *finding)
        .collect();
    let came: Vec<&Finding> = new
        .iter()
        .filter(|(key, (count, _))| old.get(*key).is_none_or(|(was, _)| was < count))
        .map(|(_, (_, finding))| *finding)
        .collect();
    let Some(earliest) = gone.iter().map(|finding| finding.stage).min() else { return Progress::None };
    let stays: Vec<&Finding> =
        old.iter().filter(|(key, _)| new.contains_key(*key)).map(|(_, (_, finding))| *finding).collect();
    if came.is_empty() {
        // What stays at the same place is the same fault: it is told in other words only.
        let healed = gone.iter().any(|gone| !stays.iter().any(|stays| stays.same_fault(gone)));
        return if healed { Progress::Clean } else { Progress::Trade };
    }
    let first_came = came.iter().map(|finding| finding.stage).min().unwrap_or(Stage::Last);
    // A program that got past its fault and stopped elsewhere: what came lies on other lines than what is gone.
    let elsewhere = earliest == Stage::Runtime
        && came.iter().all(|new| {
            gone.iter().all(|old| (&new.file, new.line) != (&old.file, old.line))
                && new.stage >= Stage::Runtime
        });
    if first_came < earliest {
        Progress::None
    } else if first_came > earliest || elsewhere {
        Progress::Uncovered
    } else {
        Progress::Trade
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(message: &str, stage: Stage, line: u32) -> Finding {
        Finding {
            code: String::new(),
            message: message.into(),
            file: RelPath::new("a.py").ok(),
            span: (0, 0),
            line,
            stage,
            places: Vec::new(),
            suggested: Vec::new(),
            names: Vec::new(),
        }
    }

    fn state(findings: Vec<Finding>) -> Judgement {
        Judgement { green: findings.is_empty(), findings, failures: None }
    }

    #[test]
    fn states_compare_by_what_went_and_what_came() {
        let a = || finding("a", Stage::Names, 1);
        let b = || finding("b", Stage::Names, 2);
        let late = || finding("late", Stage::Types, 3);
        let early = || finding("early", Stage::Syntax, 3);
        assert_eq!(progress(&state(vec![a(), b()]), &state(vec![b()])), Progress::Clean);
        assert_eq!(progress(&state(vec![a()]), &state(vec![late()])), Progress::Uncovered);
        assert_eq!(progress(&state(vec![a()]), &state(vec![b()])), Progress::Trade);
        assert_eq!(progress(&state(vec![a()]), &state(vec![early()])), Progress::None);
        assert_eq!(progress(&state(vec![a()]), &state(vec![a()])), Progress::None);
        assert_eq!(progress(&state(vec![a(), a()]), &state(vec![a()])), Progress::Clean);
    }

    #[test]
    fn a_fault_that_stays_in_other_words_is_not_gone() {
        let at = |message: &str, span: (usize, usize)| Finding { span, ..finding(message, Stage::Syntax, 2) };
        let keyword = || at("expected identifier, found keyword `impl`", (16, 20));
        let no_file = || at("file not found for module `r#impl`", (12, 21));
        let elsewhere = || at("expected `;`", (90, 91));
        assert_eq!(progress(&state(vec![keyword(), no_file()]), &state(vec![no_file()])), Progress::Trade);
        assert_eq!(
            progress(&state(vec![keyword(), elsewhere()]), &state(vec![elsewhere()])),
            Progress::Clean
        );
    }

    #[test]
    fn a_program_that_gets_further_is_progress_and_one_that_fails_at_the_same_line_is_not() {
        let before = state(vec![finding("NameError: x", Stage::Runtime, 4)]);
        let further = state(vec![finding("NameError: y", Stage::Runtime, 9)]);
        let same = state(vec![finding("TypeError: z", Stage::Runtime, 4)]);
        assert_eq!(progress(&before, &further), Progress::Uncovered);
        assert_eq!(progress(&before, &same), Progress::Trade);
        let mut more = state(vec![]);
        more.green = false;
        more.failures = Some(3);
        let mut fewer = before.clone();
        fewer.failures = Some(2);
        assert_eq!(progress(&fewer, &more), Progress::None);
    }
}
