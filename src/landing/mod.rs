//! Where a proven patch goes, and how it comes back.
//!
//! Invariants: nothing of the user's is touched before the journal holds what is about to happen; the tree and the branch are
//! compared with what was proven and never forced, by one landing or rollback of a repository at a time; a backup exists before anything moves; whatever the moment of a crash,
//! [`recover()`] finds each file in its old or its new state and finishes or undoes the landing.

mod commit;
mod message;
mod recover;
mod rollback;
mod turn;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use message::{Story, Style};
pub use recover::{Recovered, recover};
pub use rollback::{How, RolledBack, rollback};

use crate::fault::Fault;
use crate::git::{Entry, RefMoved, Repo, Snapshot, Snapshots};
use crate::patch::{Patch, RelPath};

/// Where a patch lands (`--land`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Land {
    /// In the files of the work tree, not committed.
    Worktree,
    /// As a commit on the current branch.
    Commit,
    /// As a commit on another branch, which is made if it is not there; the work tree stays as it is.
    Branch(Option<String>),
    /// The same, and then pushed to the remote, with a pull request where a forge is configured for it.
    Pr(Option<String>),
    /// Nowhere.
    None,
}

impl Land {
    /// The branch that it names, if it names one.
    pub fn branch(&self) -> Option<&str> {
        match self {
            Land::Branch(name) | Land::Pr(name) => name.as_deref(),
            Land::Worktree | Land::Commit | Land::None => None,
        }
    }
}

impl FromStr for Land {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        match text {
            "worktree" => Ok(Land::Worktree),
            "commit" => Ok(Land::Commit),
            "branch" => Ok(Land::Branch(None)),
            "none" => Ok(Land::None),
            "pr" => Ok(Land::Pr(None)),
            other => match other.split_once('=') {
                Some((to @ ("branch" | "pr"), name)) if is_branch_name(name) => Ok(match to {
                    "pr" => Land::Pr(Some(name.to_owned())),
                    _ => Land::Branch(Some(name.to_owned())),
                }),
                Some(("branch" | "pr", name)) => {
                    Err(Fault::usage(format!("{name:?} is no name for a branch")))
                }
                _ => Err(Fault::usage(format!("{other:?} is no place to land"))
                    .hint("one of worktree, commit, branch, branch=NAME, pr, pr=NAME, none")),
            },
        }
    }
}

impl std::fmt::Display for Land {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Land::Worktree => f.write_str("worktree"),
            Land::Commit => f.write_str("commit"),
            Land::Branch(None) => f.write_str("branch"),
            Land::Branch(Some(name)) => write!(f, "branch={name}"),
            Land::Pr(None) => f.write_str("pr"),
            Land::Pr(Some(name)) => write!(f, "pr={name}"),
            Land::None => f.write_str("none"),
        }
    }
}

/// The rules of `git check-ref-format`, a little stricter.
fn is_branch_name(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && !part.ends_with(['.'])
            && !part.ends_with(".lock")
    };
    let plain = |c: char| !(c.is_control() || c.is_whitespace() || "~^:?*[\\\"'`$|<>&;".contains(c));
    name.len() <= 200
        && name != "HEAD"
        && name != "@"
        && name.chars().all(plain)
        && !name.contains("..")
        && !name.contains("@{")
        && name.split('/').all(part)
}

/// What a run starts from, and what the landing compares with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The work tree.
    pub snapshot: Snapshot,
    /// The commit of HEAD; `None` without a repository or before its first commit.
    pub head: Option<String>,
    /// The full name of the current branch; `None` without a repository or when detached.
    pub branch: Option<String>,
}

impl Base {
    /// Takes the base of a run.
    ///
    /// # Errors
    /// Where git or the disk fails.
    pub async fn take(repo: Option<&Repo>, snapshots: &Snapshots, run: &str) -> Result<Self> {
        let (mut head, mut branch) = (None, None);
        if let Some(repo) = repo {
            (head, branch) = (repo.head().await?, repo.branch().await?);
        }
        Ok(Self { snapshot: snapshots.take(run).await?, head, branch })
    }
}

/// What is to land.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan<'a> {
    /// The run's id.
    pub run: &'a str,
    /// What the backup tag and a branch without a name are called after: the ticket or the short run.
    pub label: &'a str,
    /// Where to.
    pub land: &'a Land,
    /// What is proven.
    pub patch: &'a Patch,
    /// What it is proven on.
    pub base: &'a Base,
    /// For a branch that already has commits of this run: its tip, on which the patch is based instead of HEAD.
    pub onto: Option<&'a str>,
    /// What the commit says.
    pub story: &'a Story,
}

/// Hears what is about to happen to the user's things.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Keeps `record`. It is durable when this returns; only then anything changes.
    async fn intend(&self, record: &Record) -> Result<()>;
}

/// What a landing does, enough to finish it or to take it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The run's id.
    pub run: String,
    /// What moved.
    pub moved: Moves,
    /// The changes of the files.
    pub patch: Patch,
    /// The tag or ref that holds what was before; in the private snapshot folder only, where there is no repository.
    pub backup: String,
}

/// What a landing moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Moves {
    /// Files only.
    Files,
    /// The current branch (`HEAD` when detached), the index and the files.
    Current {
        /// The full name of the ref.
        reference: String,
        /// Its commit before.
        old: String,
        /// Its commit after.
        new: String,
    },
    /// Another branch only.
    Other {
        /// The full name of the ref.
        reference: String,
        /// Its commit before; `None` where it was made.
        old: Option<String>,
        /// Its commit after.
        new: String,
    },
}

impl Record {
    /// The commit that was made, if one was.
    pub fn commit(&self) -> Option<&str> {
        match &self.moved {
            Moves::Files => None,
            Moves::Current { new, .. } | Moves::Other { new, .. } => Some(new),
        }
    }

    /// Where it landed, for people: `the working tree`, `commit 1a2b3c4 on main`.
    pub fn place(&self) -> String {
        match &self.moved {
            Moves::Files => "the working tree".to_owned(),
            Moves::Current { reference, new, .. } | Moves::Other { reference, new, .. } => {
                let name = reference.strip_prefix("refs/heads/").unwrap_or(reference);
                format!("commit {} on {name}", new.get(..7).unwrap_or(new))
            }
        }
    }
}

/// How a landing went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Landed {
    /// It is there.
    Done(Record),
    /// `--land none`: nothing was to be done.
    Nowhere,
    /// The tree or the branch is not what the patch was proven on. Nothing was changed; prove it again on what is there now.
    Moved {
        /// The files that differ, sorted; empty where only the branch moved.
        files: Vec<String>,
    },
}

/// Checks early, before any money is spent, that `land` can be done at all in this place.
///
/// # Errors
/// A [`Fault`] that says why not.
pub async fn prepare(repo: Option<&Repo>, land: &Land) -> Result<()> {
    let Some(repo) = repo else {
        return match land {
            Land::Worktree | Land::None => Ok(()),
            Land::Commit | Land::Branch(_) | Land::Pr(_) => Err(Fault::usage("this folder is in no git repository")
                .hint("run `git init` and commit first, or use --land worktree, which keeps a backup in the state folder")
                .into()),
        };
    };
    if matches!(land, Land::Commit | Land::Branch(_) | Land::Pr(_)) && repo.head().await?.is_none() {
        return Err(Fault::usage("the repository has no commit yet to build on")
            .hint("use --land worktree, or commit once first")
            .into());
    }
    if let (Land::Commit, Some(what)) = (land, repo.under_way()) {
        return Err(while_under_way(what)
            .hint("finish or abort it first (`git status` says how), or use --land worktree")
            .into());
    }
    if let Some(name) = land.branch() {
        let reference = format!("refs/heads/{name}");
        if repo.branch().await?.as_deref() == Some(&reference) {
            return Err(Fault::usage(format!("{name} is the current branch"))
                .hint("use --land commit")
                .into());
        }
    }
    Ok(())
}

/// Checks early that a branch that a run is to make is not there.
///
/// # Errors
/// A [`Fault`] where it is.
pub async fn must_be_new(repo: Option<&Repo>, land: &Land) -> Result<()> {
    let (Some(repo), Some(name)) = (repo, land.branch()) else { return Ok(()) };
    match repo.resolve(&format!("refs/heads/{name}")).await? {
        Some(_) => Err(Fault::usage(format!("there is a branch {name} already"))
            .hint("name another one; a branch that is there is never moved")
            .into()),
        None => Ok(()),
    }
}

/// Between its steps git keeps notes of where HEAD is: a commit of anybody else's would end up in the wrong place.
fn while_under_way(what: &str) -> Fault {
    Fault::policy(format!("{what} is under way in this repository"))
        .hint("finish or abort it first (`git status` says how); nothing was changed")
}

/// Lands `plan`.
///
/// # Errors
/// A [`Fault`] (exit 3) where uncommitted changes of the user's are in the way of a commit; else where git or the disk fails, with
/// everything put back as it was.
pub async fn land(
    repo: Option<&Repo>,
    snapshots: &Snapshots,
    root: &Path,
    plan: &Plan<'_>,
    journal: &dyn Journal,
) -> Result<Landed> {
    if *plan.land == Land::None {
        return Ok(Landed::Nowhere);
    }
    prepare(repo, plan.land).await?;
    refuse_foreign(repo, root, plan.patch).await?;
    let _turn = turn::Turn::take(repo, root).await?;
    if let Some(moved) = moved(repo, snapshots, root, plan).await? {
        return Ok(moved);
    }
    let record = match (plan.land, repo) {
        (Land::Worktree, _) => {
            let backup = format!("refs/regreen/backup/{}", plan.run);
            if repo.is_some() {
                snapshots.keep_in_repo(&plan.base.snapshot, &backup).await?;
            }
            let run = plan.run.to_owned();
            Record { run, moved: Moves::Files, patch: plan.patch.clone(), backup }
        }
        (_, Some(repo)) => commit::make(repo, plan).await?,
        (_, None) => return Err(Fault::usage("this folder is in no git repository").into()),
    };
    journal.intend(&record).await?;
    match carry_out(repo, root, &record).await {
        Ok(()) => Ok(Landed::Done(record)),
        Err(error) if error.downcast_ref::<RefMoved>().is_some() => Ok(Landed::Moved { files: Vec::new() }),
        Err(error) => {
            let undone = recover::undo(repo, root, &record).await;
            undone.with_context(|| {
                format!(
                    "the landing failed ({error:#}), and what had been changed could not all be put back: `regreen resume` tries \
                     again, and {} holds what was before",
                    record.backup
                )
            })?;
            match error.downcast::<ChangedMeanwhile>() {
                Ok(changed) => Ok(Landed::Moved { files: vec![changed.path.to_string()] }),
                Err(error) => Err(error.context("the landing failed, and everything was put back as it was")),
            }
        }
    }
}

/// Whether the tree or the branch is elsewhere than where the patch was proven.
async fn moved(
    repo: Option<&Repo>,
    snapshots: &Snapshots,
    root: &Path,
    plan: &Plan<'_>,
) -> Result<Option<Landed>> {
    let tree = snapshots.current_tree().await?;
    if tree != plan.base.snapshot.tree {
        let files = snapshots.changed(&plan.base.snapshot.tree, &tree).await?;
        return Ok(Some(Landed::Moved { files }));
    }
    if *plan.land == Land::Commit
        && let Some(repo) = repo
        && (repo.head().await? != plan.base.head || repo.branch().await? != plan.base.branch)
    {
        return Ok(Some(Landed::Moved { files: Vec::new() }));
    }
    if matches!(plan.land, Land::Worktree | Land::Commit) {
        // Files that git ignores are in no snapshot.
        let files: Vec<String> = plan.patch.conflicts(root).iter().map(ToString::to_string).collect();
        if !files.is_empty() {
            return Ok(Some(Landed::Moved { files }));
        }
    }
    Ok(None)
}

/// The ref first: it alone can refuse, and nothing has changed then.
async fn carry_out(repo: Option<&Repo>, root: &Path, record: &Record) -> Result<()> {
    match (&record.moved, repo) {
        (Moves::Files, _) => write_files(root, &record.patch),
        (Moves::Current { reference, old, new }, Some(repo)) => {
            repo.move_ref(reference, Some(old), new, &reason(record)).await?;
            commit::update_index(repo, old, new, &record.patch).await?;
            write_files(root, &record.patch)?;
            repo.refresh_index().await
        }
        (Moves::Other { reference, old, new }, Some(repo)) => {
            repo.move_ref(reference, old.as_deref(), new, &reason(record)).await
        }
        (_, None) => anyhow::bail!("the repository is gone"),
    }
}

/// Somebody was faster by a moment.
#[derive(Debug, thiserror::Error)]
#[error("{path} was changed at the moment of landing")]
struct ChangedMeanwhile {
    path: RelPath,
}

fn reason(record: &Record) -> String {
    format!("regreen: run {}", record.run)
}

fn write_files(root: &Path, patch: &Patch) -> Result<()> {
    // The last look, as close to the change as it gets.
    let conflicts = patch.conflicts(root);
    if let Some(path) = conflicts.into_iter().next() {
        return Err(ChangedMeanwhile { path }.into());
    }
    patch.apply_beneath(root).context("cannot write the files")
}

/// Guards refuse such patches long before; here it is the last line: nothing of git's own, and nothing in another repository, whether a
/// submodule (checked out or not) or one that merely lies in the tree.
async fn refuse_foreign(repo: Option<&Repo>, root: &Path, patch: &Patch) -> Result<()> {
    let inside = |path: &RelPath| path.as_str().split('/').any(|part| part.eq_ignore_ascii_case(".git"));
    for (path, _) in patch.iter() {
        if inside(path) {
            return Err(Fault::policy(format!("{path} belongs to git itself: refused"))
                .hint("nothing was changed")
                .into());
        }
        let above: Vec<RelPath> = std::iter::successors(path.parent(), RelPath::parent).collect();
        let mut foreign =
            above.iter().find(|above| above.under(root).join(".git").symlink_metadata().is_ok());
        if let (None, Some(repo)) = (foreign, repo) {
            let entries = repo.index_entries(&above.iter().collect::<Vec<_>>()).await?;
            let submodule = entries.iter().position(|entry| entry.as_ref().is_some_and(Entry::is_submodule));
            foreign = submodule.map(|at| &above[at]);
        }
        if let Some(above) = foreign {
            return Err(Fault::policy(format!("{path} lies in {above}, a repository of its own: refused"))
                .hint("nothing was changed; heal what lies in a submodule from inside of it")
                .into());
        }
    }
    Ok(())
}
