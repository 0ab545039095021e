//! The identity of a complaint and of a failure.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

pub use crate::diagnostic::stable;
use crate::diagnostic::{Diagnostic, Fingerprint, Severity};
use crate::outcome::{Check, CommandLine, TestReport, TestStatus};

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
