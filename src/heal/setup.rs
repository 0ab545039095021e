//! Prepares a tree whose packages are not installed: once, as a layer below every attempt, kept for later runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::{Tools, workspace};
use crate::fault::Fault;
use crate::outcome::{Check, CommandLine, End, Outcome};
use crate::patch::{Patch, RelPath, read_beneath};
use crate::process::{self, Invocation};
use crate::run::events::{Baseline, Event, Phase, Preparation};
use crate::run::journal::Journal;
use crate::verify::{Progress, Verifier};
use crate::workspace::{Attempt, Workspaces};

/// What came of preparing the tree.
pub(super) enum Prepared {
    /// There was nothing to do.
    Unneeded,
    /// Attempts have what the setup made.
    Ready,
    /// The setup command failed.
    Failed(Baseline),
}

/// Prepares the tree if it has to be: for a setup that the repo declares before the baseline (`goal` is `None`), for one that its files
/// only suggest once the goal failed.
pub(super) async fn prepare(journal: &Journal, tools: &Tools, goal: Option<&Outcome>) -> Result<Prepared> {
    let run = journal.run();
    let Some(setup) = &run.spec.setup else { return Ok(Prepared::Unneeded) };
    if tools.workspaces.is_prepared() {
        return Ok(Prepared::Unneeded);
    }
    if !is_needed(tools.workspaces.root(), setup, goal.map(Outcome::is_green)) {
        return Ok(Prepared::Unneeded);
    }
    build(journal, tools, setup).await
}

/// Whether the tree at `root` has to be prepared, before its checks (`green` is `None`) or after one of them.
fn is_needed(root: &Path, setup: &Preparation, green: Option<bool>) -> bool {
    match (setup.declared, installed(root, setup), green) {
        (_, Some(true), _) | (true, _, Some(_)) => false,
        (true, _, None) => true,
        (false, found, green) => found == Some(false) && green == Some(false),
    }
}

/// Where a tree is prepared outside of a run.
pub struct Bench<'a> {
    /// Makes attempts.
    pub workspaces: &'a Workspaces,
    /// Runs checks.
    pub verifier: &'a Verifier,
    /// Where layers are kept.
    pub layers: &'a Path,
}

impl Bench<'_> {
    /// Puts what `setup` makes of the tree with `base` below every later attempt, if that is needed: by the rules of a run, before the
    /// checks (`green` is `None`) or once they ended. Whether it was done now.
    ///
    /// # Errors
    /// A [`Fault`] (exit 5) where the setup fails; else where the sandbox or the disk does.
    pub async fn prepare(&self, setup: &Preparation, base: &Patch, green: Option<bool>) -> Result<bool> {
        let workspaces = self.workspaces;
        if workspaces.is_prepared() || !is_needed(workspaces.root(), setup, green) {
            return Ok(false);
        }
        let key = key(workspaces.root(), base, setup).await?;
        if workspaces.reuse(self.layers, &key).await? {
            return Ok(true);
        }
        let attempt = workspaces.attempt(base).await?;
        let outcome = execute(self.verifier, setup, &attempt, &|_| {}).await?;
        if let (false, Baseline::Infra { reason, advice }) = (outcome.is_green(), failed(setup, &outcome)) {
            return Err(Fault::cannot_judge(reason).hint(advice).into());
        }
        workspaces.keep(attempt, self.layers, &key).await?;
        Ok(true)
    }
}

/// Runs the setup in `attempt`.
async fn execute(
    verifier: &Verifier,
    setup: &Preparation,
    attempt: &Attempt,
    hear: Progress<'_>,
) -> Result<Outcome> {
    let verifier = Verifier { network: setup.network, ..verifier.clone() };
    super::execute(&verifier, attempt, &into_the_tree(&setup.check), false, hear).await
}

/// Gives a run that is taken up again what its setup made.
pub(super) async fn again(journal: &Journal, tools: &Tools) -> Result<()> {
    let run = journal.run();
    let (Some(key), Some(setup)) = (&run.prepared, &run.spec.setup) else { return Ok(()) };
    if tools.workspaces.is_prepared() || tools.workspaces.reuse(&tools.layers, key).await? {
        return Ok(());
    }
    match build(journal, tools, setup).await? {
        Prepared::Failed(Baseline::Infra { reason, advice }) => {
            Err(Fault::cannot_judge(reason).hint(advice).into())
        }
        _ => Ok(()),
    }
}

async fn build(journal: &Journal, tools: &Tools, setup: &Preparation) -> Result<Prepared> {
    let key = key(tools.workspaces.root(), &journal.run().base(), setup).await?;
    if tools.workspaces.reuse(&tools.layers, &key).await? {
        journal.record(Event::Prepared { layer: key, reused: true }).await?;
        return Ok(Prepared::Ready);
    }
    let attempt = workspace(journal, tools, &Patch::new()).await?;
    let (phase, name, command) = (Phase::Setup, setup.check.name.clone(), setup.check.run.display());
    journal.record(Event::CheckStarted { phase, check: name, command, round: 1 }).await?;
    let outcome = execute(&tools.verifier, setup, &attempt, &|line| journal.murmur(line)).await?;
    journal.record(Event::Checked { phase, outcome: Box::new(outcome.clone()), round: 1 }).await?;
    if !outcome.is_green() {
        return Ok(Prepared::Failed(failed(setup, &outcome)));
    }
    tools.workspaces.keep(attempt, &tools.layers, &key).await?;
    journal.record(Event::Prepared { layer: key, reused: false }).await?;
    Ok(Prepared::Ready)
}

/// Lines of its output that a person is shown of a setup that failed.
const TAIL: usize = 8;

/// What a person is told of a setup that failed: one line, and the last ones of its output.
fn failed(setup: &Preparation, outcome: &Outcome) -> Baseline {
    let command = setup.check.run.display();
    let how = match outcome.end {
        End::Exited(status) => format!("exit {status}"),
        End::Signaled(signal) => format!("signal {signal}"),
        End::TimedOut => format!("it was given {}", crate::clock::human(setup.check.timeout)),
        End::OutOfMemory => "out of memory".to_owned(),
        End::Cancelled => "cancelled".to_owned(),
    };
    let lines: Vec<&str> = outcome.tail.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
    let reach = match setup.network {
        crate::sandbox::Network::None => {
            "nothing of the network (your sandbox.network and --allow-net have the last word)"
        }
        crate::sandbox::Network::Registries => {
            "package registries alone (add more hosts to sandbox.registries)"
        }
        crate::sandbox::Network::All => "all of the network",
    };
    Baseline::Infra {
        reason: format!("the setup `{command}` failed ({how})\n{tail}"),
        advice: format!(
            "install the packages in the tree yourself, or repair [setup] in regreen.toml; it could reach {reach}"
        ),
    }
}

/// Package managers, and the folder whose presence says that theirs are installed; `None` where it may be anywhere.
const MANAGERS: &[(&str, Option<&str>)] = &[
    ("npm", Some("node_modules")),
    ("pnpm", Some("node_modules")),
    ("yarn", Some("node_modules")),
    ("bun", Some("node_modules")),
    ("uv", Some(".venv")),
    ("poetry", None),
    ("pipenv", None),
    ("pip", None),
    ("pip3", None),
    ("bundle", None),
    ("composer", Some("vendor")),
    ("cargo", None),
    ("go", None),
];

/// Whether what the setup installs is there already; `None` where that cannot be told from the tree.
fn installed(root: &Path, setup: &Preparation) -> Option<bool> {
    let mut all = None;
    for (dir, manager) in managers(setup) {
        let folder = MANAGERS.iter().find(|(name, _)| *name == manager).and_then(|(_, folder)| *folder)?;
        let there = dir_and_above(&dir).any(|dir| {
            let at = root.join(dir);
            at.join(folder).is_dir() || (manager == "yarn" && at.join(".pnp.cjs").is_file())
        });
        all = Some(all.unwrap_or(true) && there);
    }
    all
}

/// The package managers that a setup calls, each with the folder it is called in, relative to the root.
fn managers(setup: &Preparation) -> Vec<(String, String)> {
    let text = setup.check.run.display();
    let spaced = text.replace(['(', ')', ';', '&', '|'], " ");
    let words = shell_words::split(&spaced).unwrap_or_default();
    let mut dir = setup.check.dir.clone();
    let mut found = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "cd" {
            let to = words.next().map_or("", String::as_str);
            dir = [setup.check.dir.as_str(), to]
                .iter()
                .filter(|part| !part.is_empty())
                .copied()
                .collect::<Vec<_>>()
                .join("/");
        } else if let Some((name, _)) = MANAGERS.iter().find(|(name, _)| word == name) {
            found.push((dir.clone(), (*name).to_owned()));
        }
    }
    found.dedup();
    found
}

fn dir_and_above(dir: &str) -> impl Iterator<Item = &str> {
    Path::new(dir).ancestors().map(|at| at.to_str().unwrap_or_default())
}

/// Files that decide what a setup installs, by name.
const INPUTS: &[&str] = &[
    ".node-version",
    ".npmrc",
    ".nvmrc",
    ".python-version",
    ".tool-versions",
    ".yarnrc",
    ".yarnrc.yml",
    "Cargo.lock",
    "Cargo.toml",
    "Gemfile",
    "Gemfile.lock",
    "Pipfile",
    "Pipfile.lock",
    "bun.lock",
    "bun.lockb",
    "composer.json",
    "composer.lock",
    "go.mod",
    "go.sum",
    "npm-shrinkwrap.json",
    "package-lock.json",
    "package.json",
    "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
    "poetry.lock",
    "pyproject.toml",
    "rust-toolchain",
    "rust-toolchain.toml",
    "setup.cfg",
    "setup.py",
    "uv.lock",
    "yarn.lock",
];
/// The most of them that are looked at.
const MOST_INPUTS: usize = 2000;

/// What a setup's result depends on, as a name: the tree's place, the command, what it may reach, lock files and manifests as they are with
/// `base` on top of the tree, and the versions of the tools.
async fn key(root: &Path, base: &Patch, setup: &Preparation) -> Result<String> {
    let mut digest = Sha256::new();
    let mut add = |part: &[u8]| {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    };
    add(root.as_os_str().as_encoded_bytes());
    add(&serde_json::to_vec(setup)?);
    let names: BTreeSet<String> = managers(setup).into_iter().map(|(_, name)| name).collect();
    for version in versions(&names).await {
        add(version.as_bytes());
    }
    let place = root.to_owned();
    let mut inputs =
        tokio::task::spawn_blocking(move || inputs(&place)).await.context("reading lock files")??;
    for (path, change) in base.iter().filter(|(path, _)| decides(path.file_name())) {
        match &change.after {
            Some(file) => inputs.insert(path.clone(), file.bytes.clone()),
            None => inputs.remove(path),
        };
    }
    for (path, bytes) in &inputs {
        add(path.as_str().as_bytes());
        add(bytes);
    }
    Ok(hex::encode(digest.finalize()))
}

/// Whether a file of this name decides what a setup installs.
fn decides(name: &str) -> bool {
    INPUTS.contains(&name) || (name.starts_with("requirements") && name.ends_with(".txt"))
}

/// Lock files, manifests and settings of package managers, outside of what is installed.
fn inputs(root: &Path) -> Result<BTreeMap<RelPath, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let walk = ignore::WalkBuilder::new(root)
        .max_depth(Some(6))
        .hidden(false)
        .follow_links(false)
        .sort_by_file_name(std::cmp::Ord::cmp)
        .filter_entry(|entry| {
            let name = entry.file_name().to_string_lossy();
            !matches!(name.as_ref(), "node_modules" | ".git" | "target" | ".venv" | "venv" | "vendor")
        })
        .build();
    for entry in walk.flatten() {
        if !decides(&entry.file_name().to_string_lossy()) || found.len() >= MOST_INPUTS {
            continue;
        }
        let path = entry
            .path()
            .strip_prefix(root)
            .ok()
            .and_then(Path::to_str)
            .and_then(|path| RelPath::new(path).ok());
        let Some(path) = path else { continue };
        if let Some(file) = read_beneath(root, &path).with_context(|| format!("reading {path}"))? {
            found.insert(path, file.bytes);
        }
    }
    Ok(found)
}

/// What the package managers and their runtimes say of their versions. They are the machine's, and run outside of the tree.
async fn versions(managers: &BTreeSet<String>) -> Vec<String> {
    let mut programs: BTreeSet<&str> = managers.iter().map(String::as_str).collect();
    for manager in managers {
        programs.extend(match manager.as_str() {
            "npm" | "pnpm" | "yarn" => Some("node"),
            "uv" | "poetry" | "pipenv" | "pip" | "pip3" => Some("python3"),
            _ => None,
        });
    }
    let mut versions = Vec::new();
    for program in programs {
        let flag = if program == "go" { "version" } else { "--version" };
        let said = process::run(Invocation {
            argv: vec![program.to_owned(), flag.to_owned()],
            dir: Some("/".into()),
            env: Vec::new(),
            clear_env: false,
            stdin: None,
            timeout: Duration::from_secs(15),
            most_output: 4096,
        });
        let said = said.await.map(|output| output.stdout).unwrap_or_default();
        versions.push(format!("{program} {}", String::from_utf8_lossy(&said).trim()));
    }
    versions
}

/// The check, told to put virtual environments into the tree: nothing else of what it writes stays.
fn into_the_tree(check: &Check) -> Check {
    let mut argv: Vec<String> =
        ["env", "POETRY_VIRTUALENVS_IN_PROJECT=true", "PIPENV_VENV_IN_PROJECT=1"].map(str::to_owned).to_vec();
    match &check.run {
        CommandLine::Shell(line) => argv.extend(["sh".to_owned(), "-c".to_owned(), line.clone()]),
        CommandLine::Argv(words) => argv.extend(words.iter().cloned()),
    }
    Check { run: CommandLine::Argv(argv), ..check.clone() }
}

/// The check that a setup runs as.
pub fn as_check(setup: &crate::config::Setup) -> Check {
    Check {
        name: "setup".into(),
        run: setup.run.clone(),
        dir: setup.dir.clone(),
        timeout: setup.timeout,
        needs: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(run: &str, dir: &str) -> Preparation {
        let run = CommandLine::Shell(run.into());
        let check = Check {
            name: "setup".into(),
            run,
            dir: dir.into(),
            timeout: Duration::from_secs(60),
            needs: vec![],
        };
        Preparation { check, network: crate::sandbox::Network::None, declared: true }
    }

    #[test]
    fn what_is_installed_is_read_from_the_tree() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("app")).unwrap();
        assert_eq!(installed(root, &setup("npm ci", "")), Some(false));
        assert_eq!(installed(root, &setup("make deps", "")), None);
        assert_eq!(installed(root, &setup("npm ci && poetry install", "")), None);
        std::fs::create_dir_all(root.join("app/node_modules")).unwrap();
        assert_eq!(installed(root, &setup("npm ci", "")), Some(false));
        assert_eq!(installed(root, &setup("npm ci", "app")), Some(true));
        assert_eq!(installed(root, &setup("(cd app && npm ci)", "")), Some(true));
        assert_eq!(installed(root, &setup("npm ci && (cd app && npm ci)", "")), Some(false));
        std::fs::create_dir(root.join("node_modules")).unwrap();
        assert_eq!(installed(root, &setup("npm ci && (cd app && npm ci)", "")), Some(true));
    }

    #[tokio::test]
    async fn the_key_follows_what_decides() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::write(root.join("package-lock.json"), "{}").unwrap();
        let first = key(root, &Patch::new(), &setup("make deps", "")).await.unwrap();
        std::fs::write(root.join("main.c"), "int main;").unwrap();
        assert_eq!(key(root, &Patch::new(), &setup("make deps", "")).await.unwrap(), first);
        assert_ne!(key(root, &Patch::new(), &setup("make other", "")).await.unwrap(), first);
        let lock = RelPath::new("package-lock.json").unwrap();
        let state = |text: &str| Some(crate::patch::FileState::text(text));
        let mut back = Patch::new();
        back.set(lock, crate::patch::Change { before: state("{ }"), after: state("{}") });
        std::fs::write(root.join("package-lock.json"), "{ }").unwrap();
        assert_eq!(
            key(root, &back, &setup("make deps", "")).await.unwrap(),
            first,
            "the base is what counts"
        );
        assert_ne!(key(root, &Patch::new(), &setup("make deps", "")).await.unwrap(), first);
    }
}
