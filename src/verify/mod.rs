//! Checks, what they printed, and what that means.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

use crate::objects::Objects;
use crate::outcome::{Check, CommandLine, Outcome, Verdict};
use crate::redact::Redactor;
use crate::sandbox::Network;
use crate::workspace::{Attempt, Command};

mod ansi;
mod capture;
mod category;
mod command;
pub mod compare;
mod data;
mod fingerprint;
pub mod flaky;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod matcher;
pub mod minimise;
pub mod needs;
mod parsers;
mod paths;
mod probe;
mod read;
pub mod same;
pub mod tools;
mod verdict;

pub use compare::{Comparison, Stage, compare, stage};
pub use fingerprint::{fingerprint, identity};
pub use matcher::Matcher;

use capture::Capture;
use command::CommandWords;
use paths::Paths;

/// Reports larger than this are not read, in bytes.
const REPORT: u64 = 32 << 20;
/// The most reports that are read.
const REPORTS: usize = 200;

/// Runs checks in attempts and reads what they print.
#[derive(Debug, Clone)]
pub struct Verifier {
    /// Where logs go: one object per execution, bounded.
    pub objects: Objects,
    /// What the keys of logs begin with: `logs/<run>`. [`Outcome::log`] is the whole key.
    pub logs: String,
    /// Problem matchers: the built-in ones and the user's.
    pub matchers: Arc<Vec<Matcher>>,
    /// What checks may reach.
    pub network: Network,
    /// Takes secrets out of what checks print, before it is kept or told. Only what is read of it sees it whole.
    pub redactor: Redactor,
}

/// Hears what a check prints while it runs: called with each whole line, escape sequences taken out.
pub type Progress<'a> = &'a (dyn Fn(&str) + Send + Sync);

impl Verifier {
    /// A verifier with the built-in matchers, whose checks reach no network. Logs lie below `state`.
    pub fn new(state: impl Into<PathBuf>) -> Self {
        Self {
            objects: Objects::local(state),
            logs: "logs".to_owned(),
            matchers: Arc::new(Matcher::built_in()),
            network: Network::None,
            redactor: Redactor::default(),
        }
    }

    /// Runs `check` in `attempt` and reads the result. A red outcome of a text-only tool may be followed by a structured probe
    /// of the same tool (not counted in `duration`).
    ///
    /// # Errors
    /// Only where the sandbox itself fails; whatever the command does is an [`Outcome`].
    pub async fn run(&self, attempt: &Attempt, check: &Check, progress: Progress<'_>) -> Result<Outcome> {
        let mut outcome = self.execute(attempt, check, progress).await?;
        if outcome.verdict == Verdict::Red {
            self.probe(attempt, check, &mut outcome).await;
        }
        Ok(self.without_secrets(outcome))
    }

    /// The same without a probe: for an outcome of which only the verdict counts.
    ///
    /// # Errors
    /// As [`Verifier::run`].
    pub async fn run_only(
        &self,
        attempt: &Attempt,
        check: &Check,
        progress: Progress<'_>,
    ) -> Result<Outcome> {
        Ok(self.without_secrets(self.execute(attempt, check, progress).await?))
    }

    /// Runs a check. Its log, its tail and what is told have no secrets; what was read of it may.
    async fn execute(&self, attempt: &Attempt, check: &Check, progress: Progress<'_>) -> Result<Outcome> {
        let reports = attempt.reports();
        clear(&reports);
        let argv = match &check.run {
            CommandLine::Shell(line) => vec!["sh".to_owned(), "-c".to_owned(), line.clone()],
            CommandLine::Argv(argv) => argv.clone(),
        };
        let command = Command {
            argv,
            dir: check.dir.clone(),
            env: environment(),
            timeout: check.timeout,
            network: self.network,
        };
        let lines = Mutex::new(self.redactor.lines());
        let tell = |line: &str| progress(&lines.lock().unwrap_or_else(PoisonError::into_inner).next(line));
        let mut capture = Capture::new(&tell);
        let ended = attempt.run(&command, &mut |piece| capture.feed(piece)).await?;
        let captured = capture.finish();

        let tree = attempt.root().to_owned();
        let words = CommandWords::of(check, &tree);
        let paths = Paths::new(&tree, &check.dir, Some(&tree));
        let around = verdict::Surroundings {
            no_node_modules: !attempt.is_prepared() && command::lacks_node_modules(&tree, &check.dir),
            cargo_lock: command::cargo_lock(&tree, &check.dir),
            install: command::install(&tree, &check.dir),
            sight: match ended.end {
                crate::outcome::End::Exited(status) if status != 0 => attempt.sight(&command)?.map(Arc::new),
                _ => None,
            },
        };
        let (check_copy, matchers) = (check.clone(), self.matchers.clone());
        let (text_paths, text_words) = (paths.clone(), words.text());
        let (redactor, objects) = (self.redactor.clone(), self.objects.clone());
        let key = format!("{}/{}.log", self.logs, uuid::Uuid::now_v7());
        let log = key.clone();
        // Reading 16 MiB takes a moment of CPU: not on the threads that drive everything else.
        let mut outcome = tokio::task::spawn_blocking(move || {
            let text = captured.text();
            let shown = redactor.redact(&text);
            captured.write(&objects.path(&log), matches!(shown, Cow::Owned(_)).then_some(&*shown))?;
            objects.share(&log)?;
            let evidence = read::Evidence {
                end: ended.end,
                duration: ended.duration,
                text: &text,
                reports: &collect(&reports),
                command: &text_words,
                paths: &text_paths,
                around,
            };
            let mut outcome = read::read(&check_copy, &evidence, &matchers);
            outcome.tail = read::tail(&shown);
            outcome.log_digest = captured.digest;
            outcome.log_bytes = captured.bytes;
            anyhow::Ok(outcome)
        })
        .await??;
        outcome.log = Some(key);
        outcome.connections = ended.connections;
        Ok(outcome)
    }

    /// Runs the probes that fit a red outcome. One that fails, or takes too long, changes nothing.
    async fn probe(&self, attempt: &Attempt, check: &Check, outcome: &mut Outcome) {
        let tree = attempt.root();
        let (words, paths) = (CommandWords::of(check, tree), Paths::new(tree, &check.dir, Some(tree)));
        for probe in probe::plan(check, &words, &attempt.trees(), outcome) {
            let command = Command {
                argv: probe.argv.clone(),
                dir: check.dir.clone(),
                env: environment(),
                timeout: probe.limit,
                network: Network::None,
            };
            let mut bytes = Vec::new();
            let mut hear = |piece: &[u8]| {
                let room = probe::OUTPUT.saturating_sub(bytes.len()).min(piece.len());
                bytes.extend_from_slice(&piece[..room]);
            };
            match attempt.run(&command, &mut hear).await {
                Ok(ended) if matches!(ended.end, crate::outcome::End::Exited(_)) => {
                    let text = ansi::clean(&bytes);
                    if let Some(found) = probe.read(&text, &paths, &self.matchers) {
                        read::merge(check, outcome, found, probe.evidence_only);
                    }
                }
                Ok(ended) => tracing::debug!(probe = ?probe.argv, end = ?ended.end, "a probe did not finish"),
                Err(error) => tracing::debug!(probe = ?probe.argv, %error, "a probe did not start"),
            }
        }
    }

    /// An outcome as it is kept and told. Fingerprints and digests stay: they are made of hashes.
    fn without_secrets(&self, mut outcome: Outcome) -> Outcome {
        let clean = |text: &mut String| {
            if let Cow::Owned(cleaned) = self.redactor.redact(text) {
                *text = cleaned;
            }
        };
        clean(&mut outcome.tail);
        if let Verdict::Infra { reason, advice } = &mut outcome.verdict {
            [reason, advice].into_iter().for_each(clean);
        }
        for one in &mut outcome.diagnostics {
            let more = [&mut one.code, &mut one.file, &mut one.test, &mut one.detail];
            std::iter::once(&mut one.message).chain(more.into_iter().flatten()).for_each(clean);
        }
        if let Some(tests) = &mut outcome.tests {
            let named = std::mem::take(&mut tests.tests).into_iter();
            tests.tests =
                named.map(|(name, status)| (self.redactor.redact(&name).into_owned(), status)).collect();
        }
        outcome
    }
}

/// What makes tools tell more without doing anything else. Colours are not switched off: tools do that by themselves without a
/// terminal, escape sequences are taken out anyway, and tests of colours would fail.
fn environment() -> BTreeMap<String, String> {
    // pytest expands the variable itself; a report that the command line asks for wins over this one.
    let pytest = "-o junit_family=xunit1 --junitxml=$REGREEN_REPORTS/pytest.xml";
    [("PYTEST_ADDOPTS", pytest), ("CARGO_TERM_COLOR", "never"), ("CARGO_TERM_PROGRESS_WHEN", "never")]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Empties the reports folder: what lies there is of an earlier check.
fn clear(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let folder = entry.file_type().is_ok_and(|t| t.is_dir());
        let removed = if folder { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        if let Err(error) = removed {
            tracing::debug!(path = %path.display(), %error, "a report stays");
        }
    }
}

/// The reports: regular files directly in the folder.
fn collect(folder: &Path) -> Vec<(String, String)> {
    let mut reports = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten().take(REPORTS) {
        if let Some(text) = crate::patch::read_small(&entry.path(), REPORT) {
            reports.push((entry.file_name().to_string_lossy().into_owned(), text));
        }
    }
    reports.sort();
    reports
}

/// The limit of a probe: about as long as the command took, at least ten seconds and at most two minutes.
fn probe_limit(took: Duration) -> Duration {
    took.saturating_mul(2).clamp(Duration::from_secs(10), Duration::from_secs(120))
}

#[cfg(test)]
mod tests;
