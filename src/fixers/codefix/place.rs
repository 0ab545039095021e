//! Where candidates are applied and judged: one attempt that moves from state to state, so that its build stays warm.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::outcome::{CommandLine, End};
use crate::patch::{Patch, RelPath};

/// Output of a command that is kept, in bytes; what comes after it is dropped.
pub(super) const MOST_OUTPUT: usize = 8 << 20;

/// A command to run in a place.
#[derive(Debug, Clone)]
pub(super) struct Tool {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The folder, relative to the root; empty for the root.
    pub dir: String,
    /// Variables on top of the place's environment.
    pub env: BTreeMap<String, String>,
    /// Wall-time limit.
    pub timeout: Duration,
}

impl Tool {
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>, dir: &str, timeout: Duration) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            dir: dir.into(),
            env: BTreeMap::new(),
            timeout,
        }
    }

    /// The command line of a check.
    pub fn of(line: &CommandLine, dir: &str, timeout: Duration) -> Self {
        match line {
            CommandLine::Shell(line) => Self::new(["sh", "-c", line], dir, timeout),
            CommandLine::Argv(argv) => Self::new(argv.iter().cloned(), dir, timeout),
        }
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }
}

/// What a command came to.
#[derive(Debug, Clone)]
pub(super) struct Ran {
    /// How it ended.
    pub end: End,
    /// Its output and errors, at most [`MOST_OUTPUT`], lossily decoded.
    pub output: String,
    /// CPU time it used.
    pub cpu: Duration,
}

impl Ran {
    /// Whether it exited with 0.
    pub fn ok(&self) -> bool {
        self.end == End::Exited(0)
    }
}

/// A program that answers one line with one line.
#[async_trait]
pub(super) trait Talk: Send {
    /// Sends `line` and waits for the answer.
    async fn ask(&mut self, line: &str) -> Result<String>;
}

/// Says which files are wanted.
pub(super) type Keep = fn(&RelPath) -> bool;

/// A tree in which candidates are tried.
#[async_trait]
pub(super) trait Site: Send {
    /// The root as commands see it.
    fn root(&self) -> PathBuf;
    /// Moves the tree to the base with `patch` on top.
    async fn put(&mut self, patch: &Patch) -> Result<()>;
    /// Runs a command to its end.
    async fn run(&mut self, tool: &Tool) -> Result<Ran>;
    /// Starts a program that stays.
    async fn start(&mut self, tool: &Tool) -> Result<Box<dyn Talk>>;
    /// What commands changed in the files that `keep` names.
    async fn harvest(&mut self, keep: Keep) -> Result<Patch>;
}

/// `path` relative to `root`, if it names something inside; takes relative paths as below `dir`.
pub(super) fn inside(root: &Path, dir: &str, path: &str) -> Option<RelPath> {
    let url =
        path.starts_with("file://").then(|| reqwest::Url::parse(path).ok()?.to_file_path().ok()).flatten();
    let path = url.as_deref().unwrap_or(Path::new(path));
    let full = if path.is_absolute() { path.to_owned() } else { root.join(dir).join(path) };
    // Lexically: the path is only a name here, and is opened beneath the root later.
    let mut parts: Vec<std::ffi::OsString> = Vec::new();
    for part in full.components() {
        match part {
            std::path::Component::ParentDir => {
                parts.pop();
            }
            std::path::Component::Normal(part) => parts.push(part.to_owned()),
            _ => {}
        }
    }
    let full: PathBuf = Path::new("/").join(parts.iter().collect::<PathBuf>());
    RelPath::new(full.strip_prefix(root).ok()?.to_str()?).ok()
}

struct Pipes {
    /// Dropping it ends the program.
    _running: crate::sandbox::Running,
    input: tokio::process::ChildStdin,
    output: BufReader<tokio::net::unix::pipe::Receiver>,
    wait: Duration,
    meter: crate::workspace::Busy,
}

/// The longest answer of a program that stays, in bytes.
const MOST_ANSWER: u64 = 64 << 20;

#[async_trait]
impl Talk for Pipes {
    async fn ask(&mut self, line: &str) -> Result<String> {
        // What a language service does is the project's own compiler at work.
        let _working = self.meter.begin();
        let talk = async {
            self.input.write_all(line.as_bytes()).await?;
            self.input.write_all(b"\n").await?;
            self.input.flush().await?;
            loop {
                let mut bytes = Vec::new();
                (&mut self.output).take(MOST_ANSWER).read_until(b'\n', &mut bytes).await?;
                anyhow::ensure!(bytes.ends_with(b"\n"), "the program ended or says too much");
                // Warnings of the program's runtime come on the same stream.
                if bytes.starts_with(b"{") {
                    return Ok(String::from_utf8_lossy(&bytes).into_owned());
                }
            }
        };
        tokio::time::timeout(self.wait, talk).await.context("the program does not answer")?
    }
}

/// A place that is an [`Attempt`](crate::workspace::Attempt) of the run.
pub(super) struct AttemptSite {
    attempt: crate::workspace::Attempt,
    applied: Patch,
}

impl AttemptSite {
    pub fn new(attempt: crate::workspace::Attempt) -> Self {
        Self { attempt, applied: Patch::new() }
    }

    fn command(tool: &Tool) -> crate::workspace::Command {
        crate::workspace::Command {
            argv: tool.argv.clone(),
            dir: tool.dir.clone(),
            env: tool.env.clone(),
            timeout: tool.timeout,
            network: crate::sandbox::Network::None,
        }
    }
}

#[async_trait]
impl Site for AttemptSite {
    fn root(&self) -> PathBuf {
        self.attempt.root().to_owned()
    }

    async fn put(&mut self, patch: &Patch) -> Result<()> {
        let step = self.applied.inverse().then(patch);
        if !step.is_empty() {
            self.attempt.apply(&step)?;
            self.applied = patch.clone();
        }
        Ok(())
    }

    async fn run(&mut self, tool: &Tool) -> Result<Ran> {
        let mut kept = Vec::new();
        let mut hear = |bytes: &[u8]| {
            let room = MOST_OUTPUT.saturating_sub(kept.len());
            kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        };
        let ended = self.attempt.run(&Self::command(tool), &mut hear).await?;
        Ok(Ran { end: ended.end, output: String::from_utf8_lossy(&kept).into_owned(), cpu: ended.cpu })
    }

    async fn start(&mut self, tool: &Tool) -> Result<Box<dyn Talk>> {
        let mut running = self.attempt.spawn(&Self::command(tool)).await?;
        let input = running.take_input().context("the program has no standard input")?;
        let output = running.take_output().context("the program has no standard output")?;
        let (output, meter) = (BufReader::new(output), self.attempt.meter());
        Ok(Box::new(Pipes { _running: running, input, output, wait: tool.timeout, meter }))
    }

    async fn harvest(&mut self, keep: Keep) -> Result<Patch> {
        self.attempt.harvest(&keep)
    }
}
