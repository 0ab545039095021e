//! What must hold of whatever a command prints.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use super::capture::Capture;
use super::compare::{Progress, compare};
use super::matcher::Matcher;
use super::parsers::{self, Found, Input};
use super::paths::Paths;
use super::read::{Evidence, merge, read};
use super::verdict::Surroundings;
use super::{ansi, identity};
use crate::outcome::{Check, CommandLine, End, Outcome, Verdict};

static MATCHERS: LazyLock<Vec<Matcher>> = LazyLock::new(Matcher::built_in);

fn check(command: &str) -> Check {
    Check {
        name: "goal".to_owned(),
        run: CommandLine::Shell(command.to_owned()),
        dir: String::new(),
        timeout: Duration::from_secs(60),
        needs: Vec::new(),
    }
}

/// Reads what `command` printed, and the report that it left.
pub(crate) fn diagnostics(command: &str, printed: &[u8], report: &str) {
    let check = check(command);
    let outcome = outcome(&check, command, printed, report, End::Exited(1));
    assert_ne!(outcome.verdict, Verdict::Green, "a command that failed is green");
    assert!(outcome.diagnostics.len() <= 500 && outcome.tail.len() <= 16 << 10);
    for diagnostic in &outcome.diagnostics {
        assert!(!diagnostic.message.is_empty() && diagnostic.message.len() <= 2_000);
        assert!(diagnostic.detail.as_ref().is_none_or(|detail| detail.len() <= 4_096));
        assert!(diagnostic.test.as_ref().is_none_or(|test| test.len() <= 1_000));
        if let Some(range) = diagnostic.range {
            assert!(range.start <= range.end && range.start.line > 0 && range.start.column > 0);
        }
        assert!(!identity(diagnostic).is_empty());
    }
    if let Some(tests) = &outcome.tests {
        assert!(tests.ran() >= tests.tests.len() as u64 - tests.skipped.min(tests.tests.len() as u64));
    }
    assert!(outcome.fingerprint.is_some());
    let text = serde_json::to_string(&outcome).expect("an outcome is JSON");
    assert_eq!(serde_json::from_str::<Outcome>(&text).expect("and is read again"), outcome);

    // The same log twice is the same failure, and no progress.
    let again = self::outcome(&check, command, printed, report, End::Exited(1));
    assert_eq!(again, outcome);
    let comparison = compare(&outcome, &again);
    assert_eq!(comparison.progress(), Progress::Same, "{comparison:?}");
    assert!(comparison.new.is_empty() && comparison.fixed.is_empty());

    // A green exit is green, or tests are told to have failed.
    let green = self::outcome(&check, command, printed, report, End::Exited(0));
    let failed = green.tests.as_ref().is_some_and(|tests| tests.failed > 0);
    assert!(green.verdict == Verdict::Green || failed, "{:?}", green.verdict);

    let mut merged = outcome.clone();
    merge(&check, &mut merged, found(command, &ansi::clean(printed), &MATCHERS), false);
    assert!(merged.diagnostics.len() <= 500);
}

fn outcome(check: &Check, command: &str, printed: &[u8], report: &str, end: End) -> Outcome {
    let paths = Paths::new(Path::new("/srv/app"), "", None);
    let reports = [("report.xml".to_owned(), report.to_owned())];
    let evidence = Evidence {
        end,
        duration: Duration::from_secs(1),
        text: &ansi::clean(printed),
        reports: if report.is_empty() { &[] } else { &reports },
        command,
        paths: &paths,
        around: Surroundings::default(),
    };
    read(check, &evidence, &MATCHERS)
}

fn found(command: &str, text: &str, matchers: &[Matcher]) -> Found {
    let paths = Paths::new(Path::new("/srv/app"), "", None);
    parsers::parse(&Input::new(text, &paths, command), matchers, &[])
}

/// Reads a log with the problem matchers of a user's file.
pub(crate) fn matchers(file: &str, printed: &[u8]) {
    match Matcher::load(file) {
        Ok(matchers) => drop(found("make", &ansi::clean(printed), &matchers)),
        Err(error) => assert!(!format!("{error:#}").is_empty()),
    }
}

/// Takes what a command prints in pieces that end at `cuts`: they must not make a difference.
pub(crate) fn pieces(printed: &[u8], cuts: &[u8]) {
    let nobody = |_: &str| {};
    let mut whole = Capture::new(&nobody);
    whole.feed(printed);
    let whole = whole.finish();
    assert_eq!((whole.bytes, whole.kept.as_slice()), (printed.len() as u64, printed));
    let told = std::sync::Mutex::new(Vec::new());
    let hear = |line: &str| told.lock().expect("nobody panics here").push(line.to_owned());
    let mut cut = Capture::new(&hear);
    let (mut rest, mut cuts) = (printed, cuts.iter().cycle());
    while !rest.is_empty() {
        let at = cuts.next().map_or(1, |at| usize::from(*at).max(1)).min(rest.len());
        cut.feed(&rest[..at]);
        rest = &rest[at..];
    }
    let cut = cut.finish();
    assert_eq!((cut.digest, cut.kept), (whole.digest, whole.kept));
    for line in told.into_inner().expect("nobody panics here") {
        assert!(line.len() <= 3 * 2048 && is_plain(&line), "{line:?}");
    }
    assert!(is_plain(&ansi::clean(printed)));
}

/// The text that a person would have read.
pub(crate) fn readable(printed: &[u8]) -> String {
    ansi::clean(printed)
}

fn is_plain(text: &str) -> bool {
    !text.chars().any(|c| (c < ' ' && c != '\n' && c != '\t') || c == '\u{7f}')
}
