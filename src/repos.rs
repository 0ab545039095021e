//! What a person gives to Regreen to look after: whether a folder can be, how a repo is checked, and how it has been doing.

use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;

use crate::config::{self, Environment, Programs, RepoConfig, Setup, UserConfig};
use crate::fault::Fault;
use crate::git::Repo;
use crate::outcome::Check;
use crate::sandbox::Sandbox;
use crate::store::{Dealt, Removal, RepoRow, RunRow, Status, Store};

/// The longest path that is taken, in bytes.
const LONGEST: usize = 4096;

/// Runs that tell how a repo has been doing: the last ones.
pub const RECENT: u32 = 50;

/// The root of the git repository that `named` is or lies in, as runs name it.
///
/// # Errors
/// A [`Fault`] that says what is wrong with the folder, and what to do.
pub async fn root_of(named: &Path, environment: &Environment) -> Result<String> {
    let shown = named.display();
    if named.as_os_str().len() > LONGEST {
        return Err(Fault::usage(format!("the path is longer than {LONGEST} bytes")).into());
    }
    let place = named.canonicalize().map_err(|error| {
        Fault::usage(format!("{shown} cannot be opened: {error}"))
            .hint("give the folder of a clone that is on this machine")
    })?;
    if !place.is_dir() {
        return Err(Fault::usage(format!("{shown} is no folder"))
            .hint("give the folder of a clone that is on this machine")
            .into());
    }
    let repo = Repo::discover_with(&place, environment).await?.ok_or_else(|| {
        Fault::usage(format!("{shown} is in no git repository"))
            .hint("run `git init` there and commit once: what is repaired lands in git")
    })?;
    environment.refuse_home(repo.root())?;
    let root = repo
        .root()
        .to_str()
        .ok_or_else(|| Fault::usage(format!("the path {shown} is not UTF-8")).hint("rename the folder"))?;
    Ok(root.to_owned())
}

/// Why a repo was not removed, if it was not.
pub fn kept(removal: Removal) -> Option<Fault> {
    match removal {
        Removal::Done => None,
        Removal::Unknown => {
            Some(Fault::usage("there is no such repo").hint("`regreen repo list` lists them"))
        }
        Removal::Changed => {
            Some(Fault::policy("the repo was changed since it was looked at").hint("look again"))
        }
        Removal::InQueue(runs) => Some(
            Fault::policy(format!("{runs} of its runs are in the queue"))
                .hint("`regreen cancel` ends each of them; or pause the repo instead"),
        ),
    }
}

/// One thing that a repo's runs need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// A word or two for it.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub works: bool,
    /// What was found.
    pub detail: String,
    /// What a person can do where it is not.
    pub advice: Option<String>,
}

impl Need {
    fn met(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, works: true, detail: detail.into(), advice: None }
    }

    fn unmet(name: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, works: false, detail: detail.into(), advice: Some(advice.into()) }
    }

    fn broken(name: &'static str, error: &anyhow::Error) -> Self {
        let advice = error.chain().find_map(|cause| cause.downcast_ref::<Fault>()?.hint.clone());
        Self { name, works: false, detail: format!("{error:#}"), advice }
    }
}

/// Where a repo's checks are known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Its `regreen.toml` names them.
    Written,
    /// Its files show them, as `regreen init` would write them down.
    Detected,
}

impl Known {
    /// In a word, for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Known::Written => config::REPO_FILE,
            Known::Detected => "detected",
        }
    }
}

/// A repo as it lies on this machine now.
#[derive(Debug, Clone)]
pub struct Look {
    /// What its runs need, in the order in which they need it.
    pub needs: Vec<Need>,
    /// Its checks.
    pub checks: Vec<Check>,
    /// What prepares a fresh tree.
    pub setup: Option<Setup>,
    /// Where these are known from.
    pub known: Known,
    /// What a person should know about their choice.
    pub notes: Vec<String>,
}

/// Looks at the repo at `root` on a [`machine`]. What is wrong there is part of the answer.
pub async fn look(root: &Path, environment: &Environment, user: &UserConfig, machine: Need) -> Look {
    let mut look = Look {
        needs: Vec::new(),
        checks: Vec::new(),
        setup: None,
        known: Known::Detected,
        notes: Vec::new(),
    };
    if let Err(need) = folder(root, environment, &mut look.needs).await {
        look.needs.extend([need, machine]);
        return look;
    }
    let (place, search) = (root.to_owned(), environment.get("PATH").map(str::to_owned));
    let timeout = user.limits.check;
    let found = tokio::task::spawn_blocking(move || checks(&place, search.as_deref(), timeout)).await;
    match found.map_err(anyhow::Error::from).and_then(|found| found) {
        Ok(found) => {
            look.needs.push(found.need());
            (look.checks, look.setup, look.known, look.notes) =
                (found.checks, found.setup, found.known, found.notes);
        }
        Err(error) => {
            look.known = Known::Written;
            look.needs.push(Need::broken("checks", &error));
        }
    }
    look.needs.push(machine);
    look
}

/// The folder, its repository, and what runs would begin from.
async fn folder(root: &Path, environment: &Environment, needs: &mut Vec<Need>) -> Result<(), Need> {
    const CLONE: &str = "clone it there again, or take its runs to a machine that has it";
    if !root.is_dir() {
        return Err(Need::unmet("folder", "it is no folder on this machine", CLONE));
    }
    needs.push(Need::met("folder", "it is there"));
    let repo = match Repo::discover_with(root, environment).await {
        Ok(Some(repo)) if repo.root() == root => repo,
        Ok(Some(repo)) => {
            let detail = format!("it is a part of the repository {}", repo.root().display());
            return Err(Need::unmet("git", detail, "add that one instead"));
        }
        Ok(None) => return Err(Need::unmet("git", "it is no git repository", CLONE)),
        Err(error) => return Err(Need::broken("git", &error)),
    };
    match repo.under_way() {
        None => needs.push(Need::met("git", "a repository with a work tree")),
        Some(what) => {
            let detail = format!("{what} is under way there, so that nothing can be committed");
            needs.push(Need::unmet("git", detail, "finish or abort it"));
        }
    }
    needs.push(base(&repo).await.unwrap_or_else(|error| Need::broken("base", &error)));
    if let Some(need) =
        default_branch(&repo).await.unwrap_or_else(|error| Some(Need::broken("branch", &error)))
    {
        needs.push(need);
    }
    Ok(())
}

/// The commit that runs begin from.
async fn base(repo: &Repo) -> Result<Need> {
    let branch = repo.branch().await?;
    let branch = branch.as_deref().map(|name| name.strip_prefix("refs/heads/").unwrap_or(name));
    let Some(commit) = repo.head().await? else {
        return Ok(Need::unmet("base", "there is no commit to begin from", "commit once"));
    };
    // A clone that lost objects still names its HEAD.
    if repo.resolve("HEAD^{tree}").await?.is_none() {
        let detail = format!("commit {} cannot be read", &commit[..commit.len().min(7)]);
        return Ok(Need::unmet("base", detail, "`git fsck` tells what is missing; clone it again"));
    }
    let at = &commit[..commit.len().min(7)];
    Ok(match branch {
        Some(branch) => Need::met("base", format!("runs begin from {branch} at {at}")),
        None => Need::met("base", format!("runs begin from {at}; no branch is checked out")),
    })
}

/// The branch that the remote calls its own.
async fn default_branch(repo: &Repo) -> Result<Option<Need>> {
    let Some(branch) = repo.default_branch().await? else { return Ok(None) };
    let there = repo.resolve(&format!("refs/remotes/{branch}^{{commit}}")).await?;
    Ok(Some(match there {
        Some(commit) => {
            Need::met("default branch", format!("{branch} at {}", &commit[..commit.len().min(7)]))
        }
        None => Need::unmet("default branch", format!("{branch} is not there"), "`git fetch origin` there"),
    }))
}

/// Whether this machine confines commands as configured.
pub async fn machine(user: &UserConfig) -> Need {
    let mode = user.sandbox.mode;
    match Sandbox::detect(mode).await {
        Ok(_) => Need::met("sandbox", format!("this machine can do {}", mode.as_str())),
        Err(error) => Need::broken("sandbox", &error),
    }
}

struct Found {
    checks: Vec<Check>,
    setup: Option<Setup>,
    known: Known,
    notes: Vec<String>,
}

impl Found {
    fn need(&self) -> Need {
        let from = match self.known {
            Known::Written => config::REPO_FILE,
            Known::Detected => "the project's files",
        };
        match self.checks.len() {
            0 if self.known == Known::Detected => Need::unmet(
                "checks",
                "none: no project file here is known",
                format!("write them to {} (`regreen init` begins it)", config::REPO_FILE),
            ),
            1 => Need::met("checks", format!("1, from {from}")),
            count => Need::met("checks", format!("{count}, from {from}")),
        }
    }
}

/// The checks that `regreen.toml` names, or those that `regreen init` would write there. Blocking.
fn checks(root: &Path, search: Option<&str>, timeout: std::time::Duration) -> Result<Found> {
    let detected = || config::detect(root, &Programs::of(search));
    let Some(text) = config::read_repo_file(root)? else {
        let found = detected();
        let known = Known::Detected;
        return Ok(Found { checks: found.checks, setup: found.setup, known, notes: found.notes });
    };
    let written = RepoConfig::parse(&text, timeout).map_err(|fault| {
        let hint = format!("correct it; runs are refused as long as {} is wrong", config::REPO_FILE);
        if fault.hint.is_some() { fault } else { fault.hint(hint) }
    })?;
    let setup = written.setup.or_else(|| detected().setup);
    Ok(Found { checks: written.checks, setup, known: Known::Written, notes: Vec::new() })
}

/// How a repo has been doing, by its last runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Health {
    /// When the last run was made.
    pub last_run: Option<Timestamp>,
    /// How it ended.
    pub last_outcome: Option<String>,
    /// Runs that were red and are over.
    pub red: u64,
    /// Those of them that went green.
    pub healed: u64,
    /// Runs that were red and did not go green since the last one that ended well.
    pub failures_in_a_row: u64,
}

impl Health {
    /// By these runs, the newest first.
    pub fn of(runs: &[RunRow]) -> Self {
        let over = || runs.iter().filter(|run| run.status == Status::Finished);
        let dealt = |run: &RunRow| Dealt::of(run.outcome.as_deref());
        let well = |run: &&RunRow| dealt(run) == Dealt::Healed || run.outcome.as_deref() == Some("green");
        let failures = over().take_while(|run| !well(run)).filter(|run| dealt(run).is_red_still());
        let healed = over().filter(|run| dealt(run) == Dealt::Healed).count() as u64;
        Self {
            last_run: runs.first().map(|run| run.created_at),
            last_outcome: runs.first().and_then(|run| run.outcome.clone()),
            red: healed + over().filter(|run| dealt(run).is_red_still()).count() as u64,
            healed,
            failures_in_a_row: failures.count() as u64,
        }
    }

    /// `healed` of `red`, from 0 to 1; `None` where nothing was red.
    pub fn rate(&self) -> Option<f64> {
        (self.red > 0).then(|| self.healed as f64 / self.red as f64)
    }
}

/// The root that `named` means among the repos that are known, which need not lie on this machine any more.
///
/// # Errors
/// A [`Fault`] where there is none.
pub async fn known(store: &Store, named: &Path, environment: &Environment) -> Result<RepoRow> {
    let absolute = environment.cwd().join(named);
    let text = absolute.to_str().context("the path is not UTF-8")?;
    if let Some(row) = store.repo(text.trim_end_matches('/')).await? {
        return Ok(row);
    }
    if let Ok(root) = root_of(&absolute, environment).await
        && let Some(row) = store.repo(&root).await?
    {
        return Ok(row);
    }
    Err(Fault::usage(format!("{} is no repo that Regreen knows", named.display()))
        .hint("`regreen repo list` lists them, `regreen repo add` adds one")
        .into())
}

#[cfg(test)]
mod tests;
