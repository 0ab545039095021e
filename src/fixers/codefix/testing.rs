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
use crate::patch::{Change, FileState, Patch, RelPath, Tree};

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

/// A project that is right: it is broken, healed, and compared with what it was.
pub struct Bench {
    pub files: &'static [(&'static str, &'static str)],
    /// The goal's command.
    pub goal: &'static str,
    /// What the goal said when it was red.
    pub said: &'static str,
    pub language: fn(&Check, &Outcome, Tree<'_>) -> Option<Box<dyn Language>>,
    /// Adds what is not among the files; `false` where it cannot be had and that is accepted.
    pub prepare: fn(&Project) -> bool,
}

impl Bench {
    /// Replaces in each file, once, and heals. `None` where the tools are missing and that is accepted.
    pub async fn heal(&self, breakages: &[(&str, &str, &str)]) -> Option<(Project, Found)> {
        let mut files: Vec<(&str, String)> =
            self.files.iter().map(|(path, text)| (*path, (*text).to_owned())).collect();
        for (path, from, to) in breakages {
            let (_, text) = files.iter_mut().find(|(name, _)| name == path).expect("the file is there");
            assert!(text.contains(from), "{from:?} is not in {path}");
            *text = text.replacen(from, to, 1);
        }
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let project = Project::new(&files);
        if !(self.prepare)(&project) {
            return None;
        }
        let empty = Patch::new();
        let tree = Tree { root: project.tree.path(), patch: &empty };
        let mut language =
            (self.language)(&check(self.goal), &outcome(self.said), tree).expect("its language");
        let found = project.heal(&mut *language).await;
        Some((project, found))
    }

    /// Every file is as it was before it was broken.
    pub async fn healed(&self, breakages: &[(&str, &str, &str)]) {
        let Some((project, found)) = self.heal(breakages).await else { return };
        let titles: Vec<&str> = found.steps.iter().map(|step| step.title.as_str()).collect();
        for (path, original) in self.files {
            let after = project.after(&found.patch, path);
            assert_eq!(after, *original, "{path} after {titles:#?}, {} ({} judged)", found.end, found.judged);
        }
        assert!(found.green, "{titles:?}");
    }

    /// Nothing is proposed.
    pub async fn left_alone(&self, breakages: &[(&str, &str, &str)]) {
        let Some((_, found)) = self.heal(breakages).await else { return };
        assert!(found.patch.is_empty(), "{:?}", found.steps);
    }
}

/// Fails the test, as `what` cannot be had; where `REGREEN_TEST_SKIP_MISSING=1` accepts that, it only says so.
pub fn missing(what: &str, why: &str) {
    if std::env::var("REGREEN_TEST_SKIP_MISSING").as_deref() == Ok("1") {
        eprintln!("skipped: {what} is missing: {why}");
        return;
    }
    panic!("{what} is missing (REGREEN_TEST_SKIP_MISSING=1 skips what needs it): {why}");
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
        connections: Vec::new(),
        silent: std::collections::BTreeSet::new(),
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
