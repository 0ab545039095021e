//! What a check is, and what one execution of it came to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Fingerprint};

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "how", content = "value")]
pub enum End {
    /// The command exited with this status.
    Exited(i32),
    /// A signal that we did not send killed it.
    Signaled(i32),
    /// The wall-time limit.
    TimedOut,
    /// The memory limit.
    OutOfMemory,
    /// The limit of what may be written to disk.
    OutOfDisk,
    /// The run was cancelled.
    Cancelled,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exited with {status}"),
            Self::Signaled(signal) => write!(f, "was killed by signal {signal}"),
            Self::TimedOut => f.write_str("ran into its time limit"),
            Self::OutOfMemory => f.write_str("ran out of memory"),
            Self::OutOfDisk => f.write_str("wrote too much to disk"),
            Self::Cancelled => f.write_str("was cancelled"),
        }
    }
}

/// What a check runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommandLine {
    /// A line for `sh -c`.
    Shell(String),
    /// Program and arguments, given to no shell.
    Argv(Vec<String>),
}

/// A named command with a parser and a time limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name: `goal`, or as configured.
    pub name: String,
    /// What it runs.
    pub run: CommandLine,
    /// The folder it starts in, relative to the repo's root; empty for the root.
    pub dir: String,
    /// Its wall-time limit.
    pub timeout: Duration,
    /// Checks that must be green before it makes sense to run it.
    #[serde(default)]
    pub needs: Vec<String>,
}

/// How one test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TestStatus {
    /// Ran and passed.
    Passed,
    /// Ran and failed, or could not be set up.
    Failed,
    /// Was not run: skipped, ignored, todo, expected to fail.
    Skipped,
}

/// What a test runner reported: identities where it gives them, counts else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestReport {
    /// Each test by its runner's own identity, suite or file first: `tests/test_a.py::test_b`, `crate::module::test`.
    pub tests: BTreeMap<String, TestStatus>,
    /// Passed tests, from the summary where there are no identities.
    pub passed: u64,
    /// Failed tests.
    pub failed: u64,
    /// Tests that were not run.
    pub skipped: u64,
}

/// What the outcome of one execution of a check means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// Exit 0.
    Green,
    /// Failed in a way that an edit may repair.
    Red,
    /// Failed in a way that no edit repairs.
    Infra {
        /// What happened.
        reason: String,
        /// What a person should do.
        advice: String,
    },
}

/// One execution of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The check's name.
    pub check: String,
    /// How the command ended.
    pub end: End,
    /// What that means.
    pub verdict: Verdict,
    /// Wall time.
    pub duration: Duration,
    /// What the tools complained about, deduplicated, errors first, at most 500.
    pub diagnostics: Vec<Diagnostic>,
    /// Per-test results, `None` where no test runner was recognised.
    pub tests: Option<TestReport>,
    /// Suites that passed and named none of their tests, as `go test` without `-v` tells of packages.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub silent: BTreeSet<String>,
    /// The failure's identity; `None` when green.
    pub fingerprint: Option<Fingerprint>,
    /// The last lines of the output, lossily decoded, without escape sequences, at most 16 KiB.
    pub tail: String,
    /// SHA-256 of the whole output, in lower-case hexadecimal.
    pub log_digest: String,
    /// Bytes of the whole output.
    pub log_bytes: u64,
    /// Where the (bounded) log lies, relative to the state folder.
    pub log: Option<String>,
    /// What it reached of the network through the proxy, and what was refused; nothing where it had no network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<Connections>,
}

/// Connections of one command through the proxy that went to the same place and ended alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// `host:port`, as the command asked for it; empty where it asked for nothing that could be read.
    pub target: String,
    /// The address that was connected to, with its port; `None` where none was.
    pub address: Option<String>,
    /// Why they were refused or cut off; `None` where they were served.
    pub refused: Option<String>,
    /// How many there were.
    pub count: u64,
    /// Bytes to the server.
    pub up: u64,
    /// Bytes from the server.
    pub down: u64,
}

impl Outcome {
    /// Whether the check passed.
    pub fn is_green(&self) -> bool {
        self.verdict == Verdict::Green
    }

    /// Whether the suite that `test` belongs to passed as a whole without naming it.
    pub fn passed_silently(&self, test: &str) -> bool {
        self.silent.iter().any(|suite| is_of(test, suite))
    }
}

/// Whether `test` is one of the Go package `package` itself, by the names that Go gives tests: not of a package below it.
pub fn is_of(test: &str, package: &str) -> bool {
    let own = test.strip_prefix(package).and_then(|rest| rest.strip_prefix('/'));
    own.is_some_and(|own| ["Test", "Example", "Fuzz", "Benchmark"].iter().any(|start| own.starts_with(start)))
}

impl CommandLine {
    /// The command as a person would type it.
    pub fn display(&self) -> String {
        match self {
            CommandLine::Shell(line) => line.clone(),
            CommandLine::Argv(argv) => shell_words::join(argv),
        }
    }
}

impl TestReport {
    /// How many tests ran: by their identities, or by the summary where that says more.
    pub fn ran(&self) -> u64 {
        let named = self.tests.values().filter(|status| **status != TestStatus::Skipped).count() as u64;
        named.max(self.passed.saturating_add(self.failed))
    }
}
