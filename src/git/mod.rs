//! Git, by the user's own `git` program, on repositories that are not to be trusted.
//!
//! A repository's own configuration can name programs to run (file system monitors, hooks, filters, diff and merge drivers,
//! signers, pagers). Invariant: none of them ever runs through here. Every call starts from a clean environment, with
//! overrides that beat the repository's configuration and blank every driver that it defines. The user's own configuration
//! (identity, excludes, line endings, safe directories) is honoured.

mod blobs;
mod command;
mod difference;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod history;
mod links;
mod notes;
mod remote;
mod snapshot;
mod still;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub use blobs::{Entry, ScratchIndex};
pub use command::{Git, Version};
pub use difference::{Difference, Missing};
pub use history::{Past, Scene};
pub use notes::NOTES_REF;
pub use remote::{Address, Remote, Tips, without_user};
pub use snapshot::{Snapshot, Snapshots};
pub use still::Still;

use crate::config::Environment;
use crate::fault::Fault;
use crate::patch::{RelPath, read_small};

/// The most that is read of a file of git's own, in bytes.
const SMALL: u64 = 1 << 20;

/// A repository with a work tree.
#[derive(Debug, Clone)]
pub struct Repo {
    git: Git,
    root: PathBuf,
    git_dir: PathBuf,
    common_dir: PathBuf,
    format: String,
}

/// Who a commit is by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name.
    pub name: String,
    /// The address.
    pub email: String,
}

impl Repo {
    /// The repository whose work tree `dir` lies in; `None` where there is none.
    ///
    /// # Errors
    /// A [`Fault`] where git is missing or too old, the repository is bare, belongs to somebody else, or says that its work
    /// tree is elsewhere.
    pub async fn discover(dir: &Path) -> Result<Option<Self>> {
        Self::discover_with(dir, &Environment::from_process()).await
    }

    /// [`Repo::discover`] with another environment.
    ///
    /// # Errors
    /// As [`Repo::discover`].
    pub async fn discover_with(dir: &Path, environment: &Environment) -> Result<Option<Self>> {
        let git = Git::new(environment);
        git.version().await?.require()?;
        let dir = dir.canonicalize().with_context(|| format!("cannot open {}", dir.display()))?;
        let git = git.at(&dir)?;
        let asked = git
            .run(&[
                "rev-parse",
                "--is-bare-repository",
                "--is-inside-work-tree",
                "--absolute-git-dir",
                "--path-format=absolute",
                "--git-common-dir",
                "--show-object-format",
            ])
            .await?;
        if asked.status != Some(0) {
            return explain_no_repo(&dir, &String::from_utf8_lossy(&asked.stderr));
        }
        let answer = String::from_utf8(asked.stdout).context("the repository's path is not UTF-8")?;
        let mut lines = answer.lines();
        let mut next = || lines.next().context("git rev-parse said less than it was asked");
        let (bare, inside) = (next()? == "true", next()? == "true");
        let (git_dir, common_dir) = (PathBuf::from(next()?), PathBuf::from(next()?));
        let format = next()?.to_owned();
        if bare || !inside {
            let what = if bare { "is a bare repository" } else { "lies inside a .git folder" };
            return Err(Fault::usage(format!("{} {what}: there is no work tree to heal", dir.display()))
                .hint("run in a clone or a worktree of it")
                .into());
        }
        let top = git.text(&["rev-parse", "--show-toplevel"]).await?;
        let root = PathBuf::from(top).canonicalize().context("cannot open the work tree")?;
        if !dir.starts_with(&root) || root.join(".git").symlink_metadata().is_err() {
            return Err(Fault::usage(format!(
                "the repository's configuration moves its work tree to {}: refused",
                root.display()
            ))
            .hint("unset core.worktree in its .git/config")
            .into());
        }
        let real = |path: PathBuf| path.canonicalize().unwrap_or(path);
        let (git_dir, common_dir) = (real(git_dir), real(common_dir));
        refuse_borrowed(&root, &git_dir, &common_dir)?;
        links::refuse([&git_dir, &common_dir])?;
        let git = git.at(&root)?.without_drivers().await?;
        Ok(Some(Self { git, root, git_dir, common_dir, format }))
    }

    /// Runs git in this repository.
    pub fn git(&self) -> &Git {
        &self.git
    }

    /// All settings that git sees here, the user's own among them: a name and its value in each line, a space between. Remotes and headers
    /// often hold passwords: for the redactor only.
    ///
    /// # Errors
    /// Where git fails.
    pub async fn configured(&self) -> Result<String> {
        let listed = self.git.bytes(&["config", "--null", "--list"]).await?;
        Ok(String::from_utf8_lossy(&listed).replace('\n', " ").replace('\0', "\n"))
    }

    /// The work tree's root, canonical.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The work tree's own git folder (below the common one in a linked worktree).
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// The git folder that all worktrees share.
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// `sha1` or `sha256`.
    pub fn object_format(&self) -> &str {
        &self.format
    }

    /// The commit of HEAD; `None` before the first commit.
    ///
    /// # Errors
    /// Where git fails.
    pub async fn head(&self) -> Result<Option<String>> {
        self.resolve("HEAD^{commit}").await
    }

    /// The object that `revision` names, `None` where it names none.
    ///
    /// # Errors
    /// Where git fails.
    pub async fn resolve(&self, revision: &str) -> Result<Option<String>> {
        let output =
            self.git.run(&["rev-parse", "--verify", "--quiet", "--end-of-options", revision]).await?;
        match output.status {
            Some(0) => Ok(Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())),
            Some(1 | 128) => Ok(None),
            _ => bail!("git rev-parse failed: {}", String::from_utf8_lossy(&output.stderr).trim()),
        }
    }

    /// The full name of the branch that HEAD is on (`refs/heads/main`, even before its first commit); `None` when detached.
    ///
    /// # Errors
    /// Where git fails.
    pub async fn branch(&self) -> Result<Option<String>> {
        let output = self.git.run(&["symbolic-ref", "--quiet", "HEAD"]).await?;
        match output.status {
            Some(0) => Ok(Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())),
            Some(1) => Ok(None),
            _ => bail!("git symbolic-ref failed: {}", String::from_utf8_lossy(&output.stderr).trim()),
        }
    }

    /// The address that pushes to the remote `origin` go to; `None` where there is no such remote.
    ///
    /// # Errors
    /// Where git fails.
    pub async fn origin(&self) -> Result<Option<String>> {
        match self.git.config("remote.origin.pushurl").await? {
            Some(url) => Ok(Some(url)),
            None => self.git.config("remote.origin.url").await,
        }
    }

    /// Whether `ancestor` is a commit that `commit` builds on, or the same one.
    ///
    /// # Errors
    /// Where git fails.
    pub async fn is_ancestor(&self, ancestor: &str, commit: &str) -> Result<bool> {
        let output = self.git.run(&["merge-base", "--is-ancestor", ancestor, commit]).await?;
        // 128: there is no such commit here.
        Ok(output.status == Some(0))
    }

    /// The subject of a commit.
    ///
    /// # Errors
    /// Where git fails.
    pub async fn subject(&self, commit: &str) -> Result<String> {
        self.git.text(&["log", "--max-count=1", "--format=%s", commit, "--"]).await
    }

    /// The branch that the remote `origin` calls its own, as `origin/main`, whether or not it is there; `None` where no remote said one.
    ///
    /// # Errors
    /// Where git fails.
    pub async fn default_branch(&self) -> Result<Option<String>> {
        let output =
            self.git.run(&["symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD"]).await?;
        match output.status {
            Some(0) => Ok(Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())),
            Some(1 | 128) => Ok(None),
            _ => bail!("git symbolic-ref failed: {}", String::from_utf8_lossy(&output.stderr).trim()),
        }
    }

    /// What of git's own is under way in this work tree and owns HEAD until it is finished: `a merge`, `a rebase`; `None` for nothing.
    pub fn under_way(&self) -> Option<&'static str> {
        const MARKS: &[(&str, &str)] = &[
            ("MERGE_HEAD", "a merge"),
            ("rebase-merge", "a rebase"),
            ("rebase-apply", "a rebase or `git am`"),
            ("CHERRY_PICK_HEAD", "a cherry-pick"),
            ("REVERT_HEAD", "a revert"),
            ("BISECT_LOG", "a bisection"),
        ];
        let is_there = |name: &str| self.git_dir.join(name).symlink_metadata().is_ok();
        MARKS.iter().find(|(name, _)| is_there(name)).map(|(_, what)| *what)
    }

    /// Whether a branch belongs to a work tree: it is checked out there, or a rebase there will move it when it is done.
    ///
    /// # Errors
    /// Where git fails.
    pub async fn is_checked_out(&self, reference: &str) -> Result<bool> {
        let listed = self.git.bytes(&["worktree", "list", "--porcelain", "-z"]).await?;
        let wanted = format!("branch {reference}");
        if listed.split(|byte| *byte == 0).any(|line| line == wanted.as_bytes()) {
            return Ok(true);
        }
        let linked = std::fs::read_dir(self.common_dir.join("worktrees")).into_iter().flatten().flatten();
        let mut folders: Vec<PathBuf> = linked.map(|entry| entry.path()).collect();
        folders.push(self.common_dir.clone());
        Ok(folders.iter().any(|folder| {
            let heads = ["rebase-merge/head-name", "rebase-apply/head-name"].map(|name| folder.join(name));
            heads.iter().any(|head| read_small(head, SMALL).is_some_and(|name| name.trim() == reference))
        }))
    }

    /// A file of a commit, byte for byte as stored; `None` where it has none or `path` is no regular file.
    ///
    /// # Errors
    /// Where git fails.
    pub async fn file_at(&self, commit: &str, path: &RelPath) -> Result<Option<Vec<u8>>> {
        let Some(entry) = self.entry_at(commit, path).await? else { return Ok(None) };
        match entry.mode.as_str() {
            "100644" | "100755" => self.git.bytes(&["cat-file", "blob", &entry.id]).await.map(Some),
            _ => Ok(None),
        }
    }

    /// The entry of a commit at `path`.
    ///
    /// # Errors
    /// Where git fails.
    pub async fn entry_at(&self, commit: &str, path: &RelPath) -> Result<Option<Entry>> {
        let listed = self.git.bytes(&["ls-tree", "-z", "--full-tree", commit, "--", path.as_str()]).await?;
        Ok(blobs::tree_entries(&listed).into_iter().map(|(_, entry)| entry).next())
    }

    /// Those of `paths` that git ignores: what it tracks is never among them.
    ///
    /// # Errors
    /// Where git fails.
    pub async fn ignored(&self, paths: impl Iterator<Item = &RelPath>) -> Result<BTreeSet<RelPath>> {
        let mut asked = Vec::new();
        for path in paths {
            asked.extend_from_slice(format!("./{path}\0").as_bytes());
        }
        if asked.is_empty() {
            return Ok(BTreeSet::new());
        }
        let output = self.git.run_from(&["check-ignore", "-z", "--stdin"], Some(asked)).await?;
        // 1: none of them is.
        if !matches!(output.status, Some(0 | 1)) {
            bail!("git check-ignore failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let named = output.stdout.split(|byte| *byte == 0).filter_map(|path| std::str::from_utf8(path).ok());
        Ok(named.filter_map(|path| RelPath::new(path.strip_prefix("./")?).ok()).collect())
    }

    /// The subjects of the last commits, newest first.
    ///
    /// # Errors
    /// Where git fails.
    pub async fn subjects(&self, most: u32) -> Result<Vec<String>> {
        if self.head().await?.is_none() {
            return Ok(Vec::new());
        }
        let most = format!("--max-count={most}");
        let log = self.git.bytes(&["log", &most, "--no-merges", "--format=%s", "HEAD", "--"]).await?;
        Ok(String::from_utf8_lossy(&log).lines().map(|line| line.chars().take(200).collect()).collect())
    }

    /// Who commits: the user's own identity, else Regreen's.
    ///
    /// # Errors
    /// Where git fails.
    pub async fn identity(&self) -> Result<Identity> {
        let name = self.git.config("user.name").await?;
        let email = self.git.config("user.email").await?;
        let plain =
            |text: String| text.chars().filter(|c| !c.is_control() && !"<>".contains(*c)).collect::<String>();
        Ok(match (name.map(plain), email.map(plain)) {
            (Some(name), Some(email)) if !name.trim().is_empty() => Identity { name, email },
            _ => Identity { name: "Regreen".to_owned(), email: "regreen@localhost".to_owned() },
        })
    }

    /// Moves `reference` from `old` (`None`: it must not exist) to `new`, or fails.
    ///
    /// # Errors
    /// Where the ref is elsewhere than at `old` ([`RefMoved`]), or git fails.
    pub async fn move_ref(&self, reference: &str, old: Option<&str>, new: &str, reason: &str) -> Result<()> {
        let zero = "0".repeat(if self.format == "sha256" { 64 } else { 40 });
        let old = old.unwrap_or(&zero);
        let output = self.git.run(&["update-ref", "--no-deref", "-m", reason, reference, new, old]).await?;
        if output.status == Some(0) {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let at = self.resolve(reference).await?;
        if at.as_deref().unwrap_or(&zero) != old {
            return Err(RefMoved { reference: reference.to_owned() }.into());
        }
        bail!("git could not move {reference}: {said}")
    }

    /// Removes `reference` if it is at `old`.
    ///
    /// # Errors
    /// Where it is elsewhere, or git fails.
    pub async fn remove_ref(&self, reference: &str, old: &str) -> Result<()> {
        self.git.text(&["update-ref", "--no-deref", "-d", reference, old]).await.map(drop)
    }

    /// Makes a commit object (no ref moves, nothing is signed, no hook runs).
    ///
    /// # Errors
    /// Where git fails.
    pub async fn commit_tree(&self, tree: &str, parents: &[&str], message: &str) -> Result<String> {
        let mut words = vec!["commit-tree", "--no-gpg-sign", tree];
        for parent in parents {
            words.extend(["-p", parent]);
        }
        words.extend(["-F", "-"]);
        let git = self.git.clone().acting_as(&self.identity().await?);
        git.text_from(&words, message.as_bytes()).await
    }

    /// Makes an annotated tag on `commit`; one of that name on the same commit is left as it is.
    ///
    /// # Errors
    /// Where the name is taken by something else, or git fails.
    pub async fn tag(&self, name: &str, commit: &str, message: &str) -> Result<()> {
        let reference = format!("refs/tags/{name}");
        if let Some(at) = self.resolve(&format!("{reference}^{{commit}}")).await? {
            return if at == commit { Ok(()) } else { Err(RefMoved { reference }.into()) };
        }
        let git = self.git.clone().acting_as(&self.identity().await?);
        git.text_from(&["tag", "--annotate", "--no-sign", "-F", "-", "--", name, commit], message.as_bytes())
            .await
            .map(drop)
    }
}

/// A ref is not where it was expected to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reference} has moved meanwhile")]
pub struct RefMoved {
    /// Its full name.
    pub reference: String,
}

/// A `.git` that is a file or a link can name any repository on this machine, and a landing would then write to that one. So one
/// outside of the work tree has to know the work tree: as its linked worktree, or by its `core.worktree` (as submodules have it).
fn refuse_borrowed(root: &Path, git_dir: &Path, common_dir: &Path) -> Result<(), Fault> {
    let own = git_dir.starts_with(root);
    let names = |base: &Path, named: &str, target: &Path| {
        base.join(named.trim()).canonicalize().is_ok_and(|path| path == target)
    };
    let refused = |what: &Path, hint: String| {
        let message =
            format!("the .git of {} belongs to {}, which does not know it", root.display(), what.display());
        Err(Fault::usage(message).hint(hint))
    };
    if common_dir != git_dir {
        let back = read_small(&git_dir.join("gitdir"), SMALL).unwrap_or_default();
        let link = root.join(".git").canonicalize().unwrap_or_default();
        let linked = git_dir.parent() == Some(&common_dir.join("worktrees")) && names(git_dir, &back, &link);
        return if linked {
            Ok(())
        } else {
            refused(common_dir, "`git worktree repair` there, if it is a worktree of it".to_owned())
        };
    }
    if own {
        return Ok(());
    }
    let config = read_small(&git_dir.join("config"), SMALL).unwrap_or_default();
    let known = config.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        key.trim().eq_ignore_ascii_case("worktree").then(|| value.trim().trim_matches('"'))
    });
    if known.into_iter().any(|named| names(git_dir, named, root)) {
        return Ok(());
    }
    let quoted = |path: &Path| shell_words::quote(&path.to_string_lossy()).into_owned();
    let hint = format!("if it is: git --git-dir={} config core.worktree {}", quoted(git_dir), quoted(root));
    refused(git_dir, hint)
}

fn explain_no_repo(dir: &Path, said: &str) -> Result<Option<Repo>> {
    if said.contains("dubious ownership") {
        let hint = format!(
            "if you trust it: git config --global --add safe.directory {}",
            shell_words::quote(&dir.to_string_lossy())
        );
        return Err(Fault::usage(format!(
            "git refuses the repository of {} because it belongs to another user",
            dir.display()
        ))
        .hint(hint)
        .into());
    }
    if said.contains("not a git repository") {
        // A damaged repository is told apart from none at all.
        if dir.join(".git").is_dir() {
            return Err(
                Fault::usage(format!("{} is damaged: {}", dir.join(".git").display(), said.trim())).into()
            );
        }
        return Ok(None);
    }
    Err(Fault::usage(format!("git cannot open the repository of {}: {}", dir.display(), said.trim())).into())
}
