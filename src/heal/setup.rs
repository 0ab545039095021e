//! Prepares a tree whose packages are not installed: once, as a layer below every attempt, kept for later runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::Tools;
use super::installs::{self, Call};
use crate::fault::Fault;
use crate::guards::{asks_for_more, is_lock};
use crate::outcome::{Check, CommandLine, End, Outcome};
use crate::patch::{Change, Patch, RelPath, Tree, read_beneath};
use crate::process::{self, Invocation};
use crate::run::events::{Baseline, Event, Phase, Preparation};
use crate::run::journal::Journal;
use crate::sandbox::Network;
use crate::verify::{Progress, Verifier};
use crate::workspace::{Attempt, Workspaces, decides};

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
    /// The tree that the folder holds, as git names it.
    pub tree: &'a str,
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
        let Key { name, packages_alone } = key(workspaces.root(), base, setup, self.tree).await?;
        if workspaces.reuse(self.layers, &name).await? {
            return Ok(true);
        }
        let attempt = workspaces.attempt_to_set_up(base).await?;
        let step =
            async |check: &Check, network| execute(self.verifier, check, network, &attempt, &|_| {}).await;
        if let Err(Failed { reason, advice }) = install(setup, &attempt, step).await? {
            return Err(Fault::cannot_judge(reason).hint(advice).into());
        }
        workspaces.keep(attempt, self.layers, &name, packages_alone).await?;
        Ok(true)
    }
}

/// Runs one step of a setup in `attempt`. What is told of it, and while it runs, has no secrets.
async fn execute(
    verifier: &Verifier,
    check: &Check,
    network: Network,
    attempt: &Attempt,
    hear: Progress<'_>,
) -> Result<Outcome> {
    let verifier = Verifier { network, ..verifier.clone() };
    super::execute(&verifier, attempt, &into_the_tree(check), false, hear).await
}

/// The same in a run, which records it.
async fn recorded(
    journal: &Journal,
    tools: &Tools,
    attempt: &Attempt,
    check: &Check,
    network: Network,
) -> Result<Outcome> {
    let (phase, name, command) = (Phase::Setup, check.name.clone(), check.run.display());
    journal.record(Event::CheckStarted { phase, check: name, command, round: 1 }).await?;
    let hear = |line: &str| journal.murmur(line);
    let outcome = execute(&tools.verifier, check, network, attempt, &hear).await?;
    journal.record(Event::Checked { phase, outcome: Box::new(outcome.clone()), round: 1 }).await?;
    Ok(outcome)
}

/// The step in which packages run what they bring to be run when they are installed.
const SCRIPTS: &str = "install-scripts";

/// Installs what `setup` says, step by step: `step` runs a command with that much of the network. Packages are fetched with the network
/// and without their code, and their code runs without the network; a setup that is not made of package managers' calls runs as it stands.
async fn install(
    setup: &Preparation,
    attempt: &Attempt,
    mut step: impl AsyncFnMut(&Check, Network) -> Result<Outcome>,
) -> Result<Result<(), Failed>> {
    let calls = installs::calls(&setup.check).filter(|_| setup.network != Network::None);
    let Some(calls) = calls else {
        let outcome = step(&setup.check, setup.network).await?;
        return Ok(settled(&outcome, &setup.check, setup.network));
    };
    let read = |path: &str| Some(attempt.read(&RelPath::new(path).ok()?).ok()??.bytes);
    if let Some(why) = calls.iter().find_map(|call| call.refusal(&read)) {
        return Ok(Err(refused(setup, &why)));
    }
    let lines: Vec<String> = calls.iter().map(|call| call.fetching(&setup.trusted)).collect();
    let fetch = installs::joined(&setup.check, &setup.check.name, &lines);
    let outcome = step(&fetch, setup.network).await?;
    match settled(&outcome, &fetch, setup.network) {
        Ok(()) => run_scripts(setup, &calls, attempt, step).await,
        failed => Ok(failed),
    }
}

/// Lets the packages that `calls` fetched into `attempt` run their code: trusted ones with the setup's network, all others without.
async fn run_scripts(
    setup: &Preparation,
    calls: &[Call],
    attempt: &Attempt,
    mut step: impl AsyncFnMut(&Check, Network) -> Result<Outcome>,
) -> Result<Result<(), Failed>> {
    let read = |path: &str| Some(attempt.read(&RelPath::new(path).ok()?).ok()??.bytes);
    let trusted: Vec<String> = calls.iter().filter_map(|call| call.trusting(&setup.trusted, &read)).collect();
    let others: Vec<String> = calls.iter().flat_map(|call| call.running(&setup.trusted, &read)).collect();
    for (lines, network) in [(trusted, setup.network), (others, Network::None)] {
        if lines.is_empty() {
            continue;
        }
        let scripts = installs::joined(&setup.check, SCRIPTS, &lines);
        let failed = settled(&step(&scripts, network).await?, &scripts, network);
        if failed.is_err() {
            return Ok(failed);
        }
    }
    Ok(Ok(()))
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
    let run = journal.run();
    let tree = &run.spec.from.snapshot.tree;
    let Key { name, packages_alone } = key(tools.workspaces.root(), &run.spec.base, setup, tree).await?;
    if tools.workspaces.reuse(&tools.layers, &name).await? {
        journal.record(Event::Prepared { layer: name, reused: true }).await?;
        return Ok(Prepared::Ready);
    }
    let attempt = tools.workspaces.attempt_to_set_up(&run.spec.base).await?;
    let step = async |check: &Check, network| recorded(journal, tools, &attempt, check, network).await;
    if let Err(Failed { reason, advice }) = install(setup, &attempt, step).await? {
        return Ok(Prepared::Failed(Baseline::Infra { reason, advice }));
    }
    tools.workspaces.keep(attempt, &tools.layers, &name, packages_alone).await?;
    journal.record(Event::Prepared { layer: name, reused: false }).await?;
    Ok(Prepared::Ready)
}

/// Installs what `patch`, on top of the tree on disk, makes manifests ask for, for the attempts of this run that have the same manifests.
/// What the package managers then write to lock files comes back; or why it cannot be installed, in words. Without a network first: where
/// that is enough, none is used.
pub(super) async fn follow(journal: &Journal, tools: &Tools, patch: &Patch) -> Result<Result<Patch, String>> {
    let run = journal.run();
    let Some(setup) = &run.spec.setup else { return Ok(Ok(Patch::new())) };
    if !asks_for_more(&run.spec.base.inverse().then(patch)) || tools.workspaces.has_own(patch) {
        return Ok(Ok(Patch::new()));
    }
    let root = tools.workspaces.root();
    let calls: Option<Vec<Call>> =
        installs::calls(&setup.check).map(|calls| calls.iter().map(Call::unlocked).collect());
    let fetch = match &calls {
        Some(calls) => {
            let lines: Vec<String> = calls.iter().map(|call| call.fetching(&setup.trusted)).collect();
            installs::joined(&setup.check, &setup.check.name, &lines)
        }
        None => setup.check.clone(),
    };
    let mut why = String::new();
    for network in BTreeSet::from([Network::None, setup.network]) {
        let attempt = tools.workspaces.attempt_to_set_up(patch).await?;
        let read = |path: &str| Some(attempt.read(&RelPath::new(path).ok()?).ok()??.bytes);
        if let Some(no) = calls.iter().flatten().find_map(|call| call.refusal(&read)) {
            return Ok(Err(refused(setup, &no).reason));
        }
        let step = async |check: &Check, network| recorded(journal, tools, &attempt, check, network).await;
        if let Err(Failed { reason, .. }) = settled(&step(&fetch, network).await?, &fetch, network) {
            why = reason;
            continue;
        }
        let mut locks = Patch::new();
        if let Some(calls) = &calls {
            locks = written(root, patch, &attempt)?;
            if let Err(Failed { reason, .. }) = run_scripts(setup, calls, &attempt, step).await? {
                return Ok(Err(reason));
            }
        }
        let patch = patch.then(&locks);
        let packages_alone = key(root, &patch, setup, "").await?.packages_alone;
        tools.workspaces.keep_for(&patch, attempt, packages_alone).await?;
        return Ok(Ok(locks));
    }
    if setup.network == Network::None {
        why = format!("no network is allowed for it (sandbox.network, --allow-net, [setup] network): {why}");
    }
    Ok(Err(why))
}

/// What package managers made of lock files in `attempt`, which has `patch`: those that the project has already.
fn written(root: &Path, patch: &Patch, attempt: &Attempt) -> Result<Patch> {
    let mut locks = Patch::new();
    for path in found(root, patch)?.into_keys() {
        // `go mod tidy` names in the manifest what the new module needs itself.
        if !is_lock(&path) && path.file_name() != "go.mod" {
            continue;
        }
        let (before, after) = (Tree { root, patch }.read(&path)?, attempt.read(&path)?);
        if before != after && after.is_some() {
            locks.set(path, Change { before, after });
        }
    }
    Ok(locks)
}

/// Lines of its output that a person is shown of a setup that failed.
const TAIL: usize = 8;

/// What a person is told of a setup that failed.
struct Failed {
    /// One line, and the last ones of its output.
    reason: String,
    advice: String,
}

/// A setup that is not run, because it would run packages' code with the network.
fn refused(setup: &Preparation, why: &str) -> Failed {
    Failed {
        reason: format!("the setup `{}` is not run: {why}", setup.check.run.display()),
        advice: "leave the choice to your sandbox.install_scripts, which names the packages that may be built with the network, or install the packages in the tree yourself".to_owned(),
    }
}

/// What came of a step of a setup that had that much of the network.
fn settled(outcome: &Outcome, check: &Check, network: Network) -> Result<(), Failed> {
    if outcome.is_green() {
        return Ok(());
    }
    let command = check.run.display();
    let how = match outcome.end {
        End::Exited(status) => format!("exit {status}"),
        End::Signaled(signal) => format!("signal {signal}"),
        End::TimedOut => format!("it was given {}", crate::clock::human(check.timeout)),
        End::OutOfMemory => "out of memory".to_owned(),
        End::OutOfDisk => {
            "it wrote more to disk than limits.disk, or left less than limits.disk_free".to_owned()
        }
        End::Cancelled => "cancelled".to_owned(),
    };
    let lines: Vec<&str> = outcome.tail.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
    let reach = match network {
        Network::None if check.name == SCRIPTS => {
            "nothing of the network, as what packages run when they are installed (your sandbox.install_scripts names those that may)"
        }
        Network::None => "nothing of the network (your sandbox.network and --allow-net have the last word)",
        Network::Registries => {
            "package registries alone (add more hosts to sandbox.registries), and built no package but those of your sandbox.install_scripts"
        }
        Network::All => "all of the network",
    };
    Err(Failed {
        reason: format!("the setup `{command}` failed ({how})\n{tail}"),
        advice: format!(
            "install the packages in the tree yourself, or repair [setup] in regreen.toml; it could reach {reach}"
        ),
    })
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

/// The most of them that are looked at.
const MOST_INPUTS: usize = 2000;

/// What a setup's result depends on.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    /// As a name.
    name: String,
    /// Whether that is manifests and lock files alone: then nothing may stay of it that can come from anything else.
    packages_alone: bool,
}

/// What the result of `setup` depends on: the tree's place, the command, what it may reach, lock files and manifests as they are with `base`
/// on top of the tree, the versions of the tools; and, where it runs code of the project itself, all of the tree, which git names `tree`.
async fn key(root: &Path, base: &Patch, setup: &Preparation, tree: &str) -> Result<Key> {
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
    let (place, patch) = (root.to_owned(), base.clone());
    let inputs = tokio::task::spawn_blocking(move || found(&place, &patch)).await;
    let inputs = inputs.context("reading lock files")??;
    for (path, bytes) in &inputs {
        add(path.as_str().as_bytes());
        add(bytes);
    }
    let calls = installs::calls(&setup.check);
    let packages_alone = calls.is_some_and(|calls| !calls.iter().any(|call| call.runs_own_code(&inputs)));
    if !packages_alone {
        add(tree.as_bytes());
        add(base.digest().as_bytes());
    }
    Ok(Key { name: hex::encode(digest.finalize()), packages_alone })
}

/// The files that decide what is installed, with `patch` on top of the tree.
fn found(root: &Path, patch: &Patch) -> Result<BTreeMap<RelPath, Vec<u8>>> {
    let mut inputs = inputs(root)?;
    for (path, change) in patch.iter().filter(|(path, _)| decides(path.file_name())) {
        match &change.after {
            Some(file) => inputs.insert(path.clone(), file.bytes.clone()),
            None => inputs.remove(path),
        };
    }
    Ok(inputs)
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
        Preparation { check, network: Network::None, declared: true, trusted: vec![] }
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
        let key = async |base: &Patch, line: &str, tree: &str| {
            key(root, base, &setup(line, ""), tree).await.unwrap()
        };
        let none = Patch::new();
        std::fs::write(root.join("package-lock.json"), "{}").unwrap();
        let first = key(&none, "npm ci", "one").await;
        assert!(first.packages_alone);
        assert_eq!(key(&none, "npm ci", "two").await, first, "sources are nothing to it");
        assert_ne!(key(&none, "npm install", "one").await, first);
        let lock = RelPath::new("package-lock.json").unwrap();
        let state = |text: &str| Some(crate::patch::FileState::text(text));
        let mut back = Patch::new();
        back.set(lock, Change { before: state("{ }"), after: state("{}") });
        std::fs::write(root.join("package-lock.json"), "{ }").unwrap();
        assert_eq!(key(&back, "npm ci", "one").await, first, "the base is what counts");
        assert_ne!(key(&none, "npm ci", "one").await, first);
    }

    #[tokio::test]
    async fn where_a_setup_runs_code_of_the_project_all_of_the_tree_decides() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let key = async |base: &Patch, line: &str, tree: &str| {
            key(root, base, &setup(line, ""), tree).await.unwrap()
        };
        let none = Patch::new();
        let mut other = Patch::new();
        let after = Some(crate::patch::FileState::text("int main;"));
        other.set(RelPath::new("main.c").unwrap(), Change { before: None, after });
        let make = key(&none, "make deps", "one").await;
        assert!(!make.packages_alone);
        assert_eq!(key(&none, "make deps", "one").await, make);
        assert_ne!(key(&none, "make deps", "two").await, make);
        assert_ne!(key(&other, "make deps", "one").await, make);
        std::fs::write(root.join("package.json"), r#"{"scripts": {"prepare": "tsc"}}"#).unwrap();
        assert_ne!(key(&none, "npm ci", "one").await, key(&none, "npm ci", "two").await);
    }
}
