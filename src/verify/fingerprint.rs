//! The identity of a complaint and of a failure.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;
use sha2::{Digest, Sha256};

use crate::diagnostic::{Diagnostic, Fingerprint, Severity};
use crate::outcome::{Check, CommandLine, TestReport, TestStatus};

/// What changes from run to run, and what it becomes. The order matters.
static VOLATILE: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let rules: &[(&str, &str)] = &[
        (r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}", "<id>"),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?", "<time>"),
        (r"\b\d\d:\d\d:\d\d(?:\.\d+)?\b", "<time>"),
        (r"0x[0-9a-fA-F]+", "<address>"),
        (r"(?:/private)?(?:/var)?/(?:tmp|temp|folders|run/user)/[^\s:'\x22`,;)\]}>]*", "<temporary>"),
        (r"[A-Za-z]:\\[^\s]*\\Temp\\[^\s:'\x22]*", "<temporary>"),
        (r"\b(?:tmp|temp)[-_.]?[A-Za-z0-9_]{6,}\b", "<temporary>"),
        (r"\b[0-9a-f]{12,64}\b", "<hash>"),
        (r"\b\d+(?:\.\d+)?\s?(?:ms|µs|us|ns|s|sec|secs|seconds?|minutes?|m)\b", "<duration>"),
        (r":\d+:\d+(?:-\d+)?\b", "<place>"),
        (r"\(\d+[:,]\d+\)", "<place>"),
        (r"(?i)\b(lines?|column|col|port|pid|process|thread|goroutine) #?\d+\b", "$1 <n>"),
        (r"(\.\w{1,5}):\d+\b", "$1<place>"),
        (
            r"(?i)\b\d+ (errors?|warnings?|tests?|problems?|failures?|failed|passed|passing|failing|skipped|items?|files?|modules?|previous|more|other|others)\b",
            "<n> $1",
        ),
        (r"\b\d{5,}\b", "<n>"),
    ];
    rules.iter().filter_map(|(pattern, with)| Regex::new(pattern).ok().map(|regex| (regex, *with))).collect()
});

/// A text without what changes from run to run: addresses, temporary names, times, places, counts.
pub fn stable(text: &str) -> String {
    let mut text = super::parsers::cut(text, 4_000).to_owned();
    for (regex, with) in VOLATILE.iter() {
        if let std::borrow::Cow::Owned(changed) = regex.replace_all(&text, *with) {
            text = changed;
        }
    }
    let mut words = text.split_whitespace();
    let mut out = words.next().unwrap_or("").to_owned();
    for word in words {
        out.push(' ');
        out.push_str(word);
    }
    out
}

/// What makes a complaint the same complaint though the lines around it moved: tool, code, file, test and the stable part of its
/// message; not its place.
pub fn identity(diagnostic: &Diagnostic) -> String {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    format!(
        "{}\u{1f}{}\u{1f}{}\u{1f}{}\u{1f}{}",
        diagnostic.tool,
        part(&diagnostic.code),
        diagnostic.file.as_deref().map(stable).unwrap_or_default(),
        diagnostic.test.as_deref().map(stable).unwrap_or_default(),
        stable(&diagnostic.message)
    )
}

/// The identity of a failure: of its set of errors and failing tests; where nothing was read, of the end of the output and the
/// command. Order, repetition, line drift, temporary names, times and counts do not matter, and neither does the check's name: the
/// same errors under another command are the same failure.
pub fn fingerprint(
    check: &Check,
    diagnostics: &[Diagnostic],
    tests: Option<&TestReport>,
    tail: &str,
) -> Fingerprint {
    let mut parts: BTreeSet<String> =
        diagnostics.iter().filter(|d| d.severity == Severity::Error).map(identity).collect();
    if let Some(tests) = tests {
        let failing = tests.tests.iter().filter(|(_, status)| **status == TestStatus::Failed);
        parts.extend(failing.map(|(name, _)| format!("test\u{1f}{}", stable(name))));
    }
    if parts.is_empty() {
        let command = match &check.run {
            CommandLine::Shell(line) => line.clone(),
            CommandLine::Argv(argv) => argv.join(" "),
        };
        let lines: Vec<String> = tail.lines().rev().map(stable).filter(|l| !l.is_empty()).take(30).collect();
        parts.insert(format!("command\u{1f}{command}"));
        parts.extend(lines.into_iter().map(|line| format!("tail\u{1f}{line}")));
    }
    let mut digest = Sha256::new();
    for part in &parts {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    let mut hex = hex::encode(digest.finalize());
    hex.truncate(32);
    Fingerprint(hex)
}

#[cfg(test)]
mod tests;
