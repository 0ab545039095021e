//! A site for tests: a temporary folder, in which tools run as they are.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::place::{Keep, Ran, Site, Talk, Tool};
use super::search::{Budget, Found, Job, Language, search};
use crate::outcome::{Check, CommandLine, End, Outcome, Verdict};
use crate::patch::{Change, FileState, Patch, RelPath};

/// A project in a temporary folder. The tree for reading and the one in which tools run are two folders, as with real attempts.
pub struct Project {
    pub tree: tempfile::TempDir,
    pub work: tempfile::TempDir,
}

impl Project {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let project = Self { tree: tempfile::tempdir().unwrap(), work: tempfile::tempdir().unwrap() };
        for (path, text) in files {
            for root in [project.tree.path(), project.work.path()] {
                let full = root.join(path);
                std::fs::create_dir_all(full.parent().unwrap()).unwrap();
                std::fs::write(full, text).unwrap();
            }
        }
        project
    }

    /// The patch that replaces `from` by `to`, once, in a file.
    pub fn breakage(files: &[(&str, &str)], path: &str, from: &str, to: &str) -> Vec<(String, String)> {
        let mut hit = false;
        let broken = files
            .iter()
            .map(|(name, text)| {
                let mut text = (*text).to_owned();
                if *name == path {
                    assert!(text.contains(from), "{from:?} is not in {path}");
                    text = text.replacen(from, to, 1);
                    hit = true;
                }
                ((*name).to_owned(), text)
            })
            .collect();
        assert!(hit, "{path} is not in the project");
        broken
    }

    pub async fn heal(&self, language: &mut dyn Language) -> Found {
        let base = Patch::new();
        let proposed = Default::default();
        let budget =
            Budget { wall: Duration::from_secs(240), cpu: Duration::from_secs(120), ..Budget::default() };
        let job = Job { root: self.tree.path(), base: &base, proposed: &proposed, budget, progress: &|_| {} };
        let mut site = self.site();
        search(&job, language, &mut site).await.unwrap()
    }

    /// Where the tools run.
    pub fn site(&self) -> Folder {
        let tree = self.tree.path().to_owned();
        Folder { root: self.work.path().canonicalize().unwrap(), tree, applied: Patch::new() }
    }

    /// What a file holds after a patch.
    pub fn after(&self, patch: &Patch, path: &str) -> String {
        crate::patch::Tree { root: self.tree.path(), patch }.read_text(&RelPath::new(path).unwrap()).unwrap()
    }
}

pub fn check(line: &str) -> Check {
    Check {
        name: "goal".into(),
        run: CommandLine::Shell(line.into()),
        dir: String::new(),
        timeout: Duration::from_secs(120),
        needs: Vec::new(),
    }
}

pub fn outcome(tail: &str) -> Outcome {
    Outcome {
        check: "goal".into(),
        end: End::Exited(1),
        verdict: Verdict::Red,
        duration: Duration::ZERO,
        diagnostics: Vec::new(),
        tests: None,
        fingerprint: None,
        tail: tail.into(),
        log_digest: String::new(),
        log_bytes: 0,
        log: None,
    }
}

pub struct Folder {
    pub root: PathBuf,
    pub tree: PathBuf,
    pub applied: Patch,
}

fn write(root: &Path, patch: &Patch) {
    for (path, change) in patch.iter() {
        match &change.after {
            Some(FileState { bytes, .. }) => std::fs::write(path.under(root), bytes).unwrap(),
            None => std::fs::remove_file(path.under(root)).unwrap(),
        }
    }
}

fn command(root: &Path, tool: &Tool) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(&tool.argv[0]);
    command
        .args(&tool.argv[1..])
        .current_dir(root.join(&tool.dir))
        .envs(&tool.env)
        .env_remove("CARGO_TARGET_DIR")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .kill_on_drop(true);
    command
}

#[async_trait]
impl Site for Folder {
    fn root(&self) -> PathBuf {
        self.root.clone()
    }

    async fn put(&mut self, patch: &Patch) -> Result<()> {
        write(&self.root, &self.applied.inverse().then(patch));
        self.applied = patch.clone();
        Ok(())
    }

    async fn run(&mut self, tool: &Tool) -> Result<Ran> {
        let began = std::time::Instant::now();
        let out = command(&self.root, tool).stdin(Stdio::null()).output().await?;
        let mut bytes = out.stdout;
        bytes.extend(out.stderr);
        let end = out.status.code().map_or(End::Signaled(9), End::Exited);
        Ok(Ran { end, output: String::from_utf8_lossy(&bytes).into_owned(), cpu: began.elapsed() })
    }

    async fn start(&mut self, tool: &Tool) -> Result<Box<dyn Talk>> {
        let mut child = command(&self.root, tool).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take().context("no input")?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Box::new(Pipes { _child: child, input, output }))
    }

    async fn harvest(&mut self, keep: Keep) -> Result<Patch> {
        let mut patch = Patch::new();
        for entry in ignore::Walk::new(&self.root).flatten() {
            let Ok(path) = entry.path().strip_prefix(&self.root) else { continue };
            let Ok(path) = RelPath::new(path.to_str().unwrap()) else { continue };
            if entry.path().is_file() && keep(&path) {
                let after = FileState { bytes: std::fs::read(entry.path())?, executable: false };
                let before = crate::patch::read_beneath(&self.tree, &path)?;
                if before.is_some() {
                    patch.set(path, Change { before, after: Some(after) });
                }
            }
        }
        Ok(patch)
    }
}

struct Pipes {
    _child: tokio::process::Child,
    input: tokio::process::ChildStdin,
    output: BufReader<tokio::process::ChildStdout>,
}

#[async_trait]
impl Talk for Pipes {
    async fn ask(&mut self, line: &str) -> Result<String> {
        self.input.write_all(line.as_bytes()).await?;
        self.input.write_all(b"\n").await?;
        let mut answer = String::new();
        self.output.read_line(&mut answer).await?;
        anyhow::ensure!(!answer.is_empty(), "the program ended");
        Ok(answer)
    }
}
