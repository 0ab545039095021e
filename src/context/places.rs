//! Which files a failure is about, and which lines of them.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::Subject;
use crate::diagnostic::Severity;
use crate::outcome::TestStatus;
use crate::patch::RelPath;

/// The most files, and the most lines of one.
const MOST_FILES: usize = 30;
const MOST_LINES: usize = 40;

/// A file that failures name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The file; it is there.
    pub(super) path: RelPath,
    /// The lines that are named, from 1; empty where only the file is.
    pub(super) lines: BTreeSet<u32>,
}

/// The files that the red outcomes name, the surest first: errors, then failing tests' files, then what longer renderings and
/// logs mention, then warnings' files.
pub(super) fn affected(subject: &Subject<'_>) -> Vec<Place> {
    let mut found = Found { subject, places: Vec::new() };
    let diagnostics = || subject.red.iter().flat_map(|outcome| &outcome.diagnostics);
    for diagnostic in diagnostics().filter(|diagnostic| diagnostic.severity == Severity::Error) {
        if let Some(file) = &diagnostic.file {
            let range = diagnostic.range;
            found.add(file, range.map(|range| range.start.line));
            found.add(file, range.map(|range| range.end.line));
        }
    }
    for diagnostic in diagnostics() {
        if let Some(test) = &diagnostic.test {
            found.add_test(test);
        }
    }
    for outcome in subject.red {
        for (test, status) in outcome.tests.iter().flat_map(|report| &report.tests) {
            if *status == TestStatus::Failed {
                found.add_test(test);
            }
        }
    }
    for diagnostic in diagnostics().filter(|diagnostic| diagnostic.severity == Severity::Error) {
        found.add_mentioned(&diagnostic.message);
        found.add_mentioned(diagnostic.detail.as_deref().unwrap_or_default());
    }
    for outcome in subject.red.iter().filter(|outcome| outcome.diagnostics.is_empty()) {
        found.add_mentioned(&outcome.tail);
    }
    found.places
}

struct Found<'a> {
    subject: &'a Subject<'a>,
    places: Vec<Place>,
}

impl Found<'_> {
    fn add(&mut self, file: &str, line: Option<u32>) {
        let Ok(path) = RelPath::new(file) else { return };
        let at = match self.places.iter().position(|place| place.path == path) {
            Some(at) => at,
            None => {
                if self.places.len() >= MOST_FILES || is_foreign(&path) || !self.subject.tree.has(&path) {
                    return;
                }
                self.places.push(Place { path, lines: BTreeSet::new() });
                self.places.len() - 1
            }
        };
        let lines = &mut self.places[at].lines;
        if let Some(line) = line.filter(|line| *line > 0 && lines.len() < MOST_LINES) {
            lines.insert(line);
        }
    }

    /// The file in a test's identity, if that is how it begins.
    fn add_test(&mut self, test: &str) {
        if let Some(file) = test.split("::").next().filter(|file| file.contains('.')) {
            self.add(file, None);
        }
    }

    fn add_mentioned(&mut self, text: &str) {
        let root = self.subject.tree.root.to_str().map(|root| format!("{root}/"));
        for mention in MENTION.captures_iter(text) {
            let file =
                ["quoted", "bare"].iter().find_map(|name| mention.name(name)).map_or("", |m| m.as_str());
            let line = ["l1", "l2", "l3"].iter().find_map(|name| mention.name(name)?.as_str().parse().ok());
            let inside = root.as_deref().and_then(|root| file.strip_prefix(root)).unwrap_or(file);
            self.add(inside, line);
        }
    }
}

/// `File "a/b.py", line 3` · `a/b.ts(3,5)` · `a/b.rs:3:5`.
static MENTION: LazyLock<Regex> = LazyLock::new(|| {
    let text = r#"File "(?P<quoted>[^"\n]+)", line (?P<l1>\d{1,7})|(?P<bare>[\w@./+-]+\.\w+)(?:\((?P<l2>\d{1,7}),\d+\)|:(?P<l3>\d{1,7}))"#;
    #[expect(clippy::expect_used, reason = "a constant pattern; the tests use it")]
    Regex::new(text).expect("a constant pattern compiles")
});

/// Whether a file is made or brought by a tool: what is to be repaired does not lie there.
fn is_foreign(path: &RelPath) -> bool {
    path.as_str().split('/').any(|part| {
        matches!(
            part,
            "node_modules" | "target" | ".git" | "dist" | ".venv" | "venv" | "site-packages" | "__pycache__"
        )
    })
}
