//! Takes a landing back, without losing what the user did since.

use std::path::Path;

use anyhow::{Context, Result};

use super::commit::update_index;
use super::recover::{self, landed_part};
use super::turn::Turn;
use super::{Moves, Record};
use crate::fault::Fault;
use crate::git::{Entry, Repo, ScratchIndex};
use crate::patch::{Patch, RelPath};

/// How commits are taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// By a commit that reverts.
    Revert,
    /// By moving the branch back; only where nothing was built on the landing.
    Reset,
}

/// What a rollback did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolledBack {
    /// It was taken back before, files and index included.
    Already,
    /// The branch was where it should be; these many files, and the index, were not yet.
    Finished(usize),
    /// The files are as they were.
    Files(usize),
    /// This commit reverts it.
    Reverted(String),
    /// The branch is where it was before the landing.
    Reset {
        /// Its name, or `HEAD`.
        branch: String,
        /// The commit it is at now.
        commit: String,
    },
    /// The branch of this name, which the landing had made, is no more.
    Removed(String),
}

/// Takes `record` back, all of it or nothing. One that a crash cut off is finished by the next.
///
/// # Errors
/// A [`Fault`] (exit 3) that lists the files which were changed since, or says what was built on top; nothing is changed then.
/// Else where git or the disk fails, with everything put back as it was.
pub async fn rollback(repo: Option<&Repo>, root: &Path, record: &Record, how: How) -> Result<RolledBack> {
    let _turn = Turn::take(repo, root).await?;
    recover::remove_temporaries(root, &record.patch);
    match (&record.moved, repo) {
        (Moves::Files, _) => files(root, &record.patch),
        (Moves::Current { reference, old, new }, Some(repo)) => {
            let branch = Branch { repo, root, record, reference, old: Some(old), new };
            branch.take_back(how).await
        }
        (Moves::Other { reference, old, new }, Some(repo)) => {
            let branch = Branch { repo, root, record, reference, old: old.as_deref(), new };
            branch.take_back(how).await
        }
        (_, None) => Err(Fault::usage(format!("{} is no git repository any more", root.display()))
            .hint("put the repository back where the run landed; nothing was changed")
            .into()),
    }
}

fn files(root: &Path, patch: &Patch) -> Result<RolledBack> {
    let landed = undamaged(root, patch)?;
    if landed.is_empty() {
        return Ok(RolledBack::Already);
    }
    landed.inverse().apply_beneath(root).context("cannot restore the files")?;
    Ok(RolledBack::Files(landed.len()))
}

/// The part of the patch that is there now; refuses where a file was changed since.
fn undamaged(root: &Path, patch: &Patch) -> Result<Patch> {
    let (landed, changed) = landed_part(root, patch);
    if changed.is_empty() {
        return Ok(landed.into_iter().collect());
    }
    Err(changed_since(&changed).into())
}

fn changed_since(files: &[RelPath]) -> Fault {
    let names: Vec<&str> = files.iter().map(RelPath::as_str).collect();
    Fault::policy(format!("changed since the landing: {}", names.join(", ")))
        .hint("put these files back as they were landed, or undo the change by hand; nothing was changed now")
}

struct Branch<'a> {
    repo: &'a Repo,
    root: &'a Path,
    record: &'a Record,
    reference: &'a str,
    /// `None` where the landing made the branch.
    old: Option<&'a str>,
    new: &'a str,
}

impl Branch<'_> {
    async fn take_back(&self, how: How) -> Result<RolledBack> {
        let name = self.name();
        let Some(tip) = self.repo.resolve(self.reference).await? else { return Ok(RolledBack::Already) };
        let current = match self.reference {
            "HEAD" => true,
            reference => self.repo.branch().await?.as_deref() == Some(reference),
        };
        if let (true, Some(what)) = (current, self.repo.under_way()) {
            return Err(super::while_under_way(what).into());
        }
        if !current && self.repo.is_checked_out(self.reference).await? {
            return Err(Fault::policy(format!(
                "the branch {name} is checked out in another worktree, or being rebased"
            ))
            .hint("finish the rebase, or run the rollback in that worktree; nothing was changed")
            .into());
        }
        if !self.contains(&tip).await? {
            // Amended or rebased, the change is still there in another commit.
            return match (self.is_in(&tip).await?, how) {
                (false, _) => self.finish(&tip, current).await,
                (true, How::Revert) => self.revert(&tip, current).await,
                (true, How::Reset) => {
                    Err(Fault::policy(format!("{name} has the change in another commit: it cannot be reset"))
                        .hint("leave --reset away: the change is then reverted by a commit")
                        .into())
                }
            };
        }
        match how {
            How::Reset if tip != self.new => {
                Err(Fault::policy(format!("{name} has commits on top of the landing: it cannot be reset"))
                    .hint("leave --reset away: the change is then reverted by a commit")
                    .into())
            }
            How::Reset => self.reset(current).await,
            How::Revert => self.revert(&tip, current).await,
        }
    }

    /// What people call it.
    fn name(&self) -> &str {
        self.reference.strip_prefix("refs/heads/").unwrap_or(self.reference)
    }

    async fn contains(&self, tip: &str) -> Result<bool> {
        let asked = self.repo.git().run(&["merge-base", "--is-ancestor", self.new, tip]).await?;
        Ok(asked.status == Some(0))
    }

    /// Whether the tip has any of the change's files as landed.
    async fn is_in(&self, tip: &str) -> Result<bool> {
        let parent = self.parent().await?;
        for (path, _) in self.record.patch.iter() {
            let landed = self.repo.entry_at(self.new, path).await?;
            if self.repo.entry_at(tip, path).await? == landed
                && landed != self.repo.entry_at(&parent, path).await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn parent(&self) -> Result<String> {
        self.repo.resolve(&format!("{}^", self.new)).await?.context("the landing has no parent")
    }

    async fn reset(&self, current: bool) -> Result<RolledBack> {
        let Some(old) = self.old else {
            if current {
                return Err(Fault::policy("the branch that the landing made is checked out now")
                    .hint("switch to another branch first, or leave --reset away; nothing was changed")
                    .into());
            }
            self.repo.remove_ref(self.reference, self.new).await?;
            return Ok(RolledBack::Removed(self.name().to_owned()));
        };
        let landed = if current { undamaged(self.root, &self.record.patch)? } else { Patch::new() };
        self.carry_out(self.new, old, current, &landed).await?;
        Ok(RolledBack::Reset { branch: self.name().to_owned(), commit: old.to_owned() })
    }

    /// Moves the branch, the index and the files, or none of them.
    async fn carry_out(&self, from: &str, to: &str, current: bool, landed: &Patch) -> Result<()> {
        let reason = format!("regreen: rollback of run {}", self.record.run);
        self.repo.move_ref(self.reference, Some(from), to, &reason).await?;
        if !current {
            return Ok(());
        }
        let follow = async {
            update_index(self.repo, from, to, &self.record.patch).await?;
            landed.inverse().apply_beneath(self.root).context("cannot restore the files")
        };
        if let Err(error) = follow.await {
            let moved = Moves::Current {
                reference: self.reference.to_owned(),
                old: from.to_owned(),
                new: to.to_owned(),
            };
            let back = Record { moved, patch: landed.inverse(), ..self.record.clone() };
            let index = update_index(self.repo, to, from, &self.record.patch).await;
            let undone = recover::undo(Some(self.repo), self.root, &back).await;
            index.and(undone).context("and what had been changed could not be put back: try again")?;
            return Err(error.context("the rollback failed; everything was put back"));
        }
        // Only for the speed of the next `git status`: all is done.
        if let Err(error) = self.repo.refresh_index().await {
            tracing::debug!(%error, "the index was not refreshed");
        }
        Ok(())
    }

    /// The branch does not have the landing any more: sees to it that index and files have it no more, either. What stands there
    /// for another reason is left alone.
    async fn finish(&self, tip: &str, current: bool) -> Result<RolledBack> {
        if !current {
            return Ok(RolledBack::Already);
        }
        let parent = self.parent().await?;
        let mut gone = Vec::new();
        for (path, _) in self.record.patch.iter() {
            if self.repo.entry_at(tip, path).await? == self.repo.entry_at(&parent, path).await? {
                gone.push(path);
            }
        }
        let (landed, _) = landed_part(self.root, &self.record.patch);
        let files: Patch = landed.into_iter().filter(|(path, _)| gone.contains(&path)).collect();
        let before = self.repo.index_entries(&gone).await?;
        let all: Patch = self
            .record
            .patch
            .iter()
            .filter(|(path, _)| gone.contains(path))
            .map(|(p, c)| (p.clone(), c.clone()))
            .collect();
        update_index(self.repo, self.new, tip, &all).await?;
        files.inverse().apply_beneath(self.root).context("cannot restore the files")?;
        if files.is_empty() && before == self.repo.index_entries(&gone).await? {
            return Ok(RolledBack::Already);
        }
        self.repo.refresh_index().await?;
        Ok(RolledBack::Finished(files.len()))
    }

    /// A commit on the tip in which the patch's paths are as before the landing. Paths changed by later commits are refused.
    async fn revert(&self, tip: &str, current: bool) -> Result<RolledBack> {
        let parent = self.parent().await?;
        let mut changes: Vec<(RelPath, Option<Entry>)> = Vec::new();
        let mut conflicts = Vec::new();
        for (path, _) in self.record.patch.iter() {
            let (was, landed) =
                (self.repo.entry_at(&parent, path).await?, self.repo.entry_at(self.new, path).await?);
            let now = self.repo.entry_at(tip, path).await?;
            if now == was {
                continue;
            }
            if now != landed {
                conflicts.push(path.clone());
            }
            changes.push((path.clone(), was));
        }
        if !conflicts.is_empty() {
            return Err(changed_since(&conflicts).into());
        }
        if changes.is_empty() {
            return self.finish(tip, current).await;
        }
        let landed = if current { undamaged(self.root, &self.record.patch)? } else { Patch::new() };
        let scratch = ScratchIndex::of(self.repo, Some(tip)).await?;
        let entries: Vec<_> = changes.iter().map(|(path, entry)| (path, entry.as_ref())).collect();
        scratch.set(&entries).await?;
        let tree = scratch.write_tree().await?;
        let subject = self.repo.git().text(&["log", "-1", "--format=%s", self.new, "--"]).await?;
        let message = format!(
            "Revert \"{subject}\"\n\nThis reverts commit {}.\n\nRegreen-Run: {}\n",
            self.new, self.record.run
        );
        let commit = self.repo.commit_tree(&tree, &[tip], &message).await?;
        self.carry_out(tip, &commit, current, &landed).await?;
        Ok(RolledBack::Reverted(commit))
    }
}
