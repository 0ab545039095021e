//! Commits made from parts: no checkout, no hook, no filter, and the user's index only where it has to follow.

use anyhow::{Context, Result};

use super::{Land, Moves, Plan, Record};
use crate::fault::Fault;
use crate::git::{Entry, Repo, ScratchIndex};
use crate::patch::{FileState, Patch, RelPath};

/// Makes the objects and the backup tag of a landing by commit; no branch moves yet.
pub(super) async fn make(repo: &Repo, plan: &Plan<'_>) -> Result<Record> {
    let head = plan.base.head.clone().context("there is no commit to build on")?;
    let parent = plan.onto.map_or(head, str::to_owned);
    let name = plan.land.branch().map_or_else(|| format!("regreen/{}", plan.label), str::to_owned);
    let reference = match plan.land {
        Land::Commit => plan.base.branch.clone().unwrap_or_else(|| "HEAD".to_owned()),
        _ => format!("refs/heads/{name}"),
    };
    let old = match plan.land {
        Land::Commit => Some(parent.clone()),
        _ => branch_at(repo, &reference, &parent).await?,
    };
    refuse_submodules(repo, &parent, plan.patch).await?;

    let scratch = ScratchIndex::of(repo, Some(&parent)).await?;
    let paths: Vec<&RelPath> = plan.patch.iter().map(|(path, _)| path).collect();
    let committed = scratch.entries(&paths).await?;
    put(&scratch, plan.patch, |change| change.before.as_ref()).await?;
    let before = scratch.entries(&paths).await?;
    let mut dirty = different(&paths, &before, &committed);
    if *plan.land == Land::Commit {
        dirty.extend(different(&paths, &repo.index_entries(&paths).await?, &committed));
    }
    dirty.sort();
    dirty.dedup();
    if !dirty.is_empty() {
        let names: Vec<&str> = dirty.iter().map(|path| path.as_str()).collect();
        return Err(Fault::policy(format!(
            "the patch changes files with uncommitted changes of yours: {}",
            names.join(", ")
        ))
        .hint("commit or stash them first, or use --land worktree")
        .into());
    }
    put(&scratch, plan.patch, |change| change.after.as_ref()).await?;
    let tree = scratch.write_tree().await?;

    let message = plan.story.render(plan.run, &repo.subjects(50).await?);
    let new = repo.commit_tree(&tree, &[&parent], &message).await?;
    let backup = format!("regreen/{}/before-{}", plan.label, parent.get(..7).unwrap_or(&parent));
    let why = format!("Before run {} of Regreen\n", plan.run);
    repo.tag(&backup, &parent, &why).await?;
    let moved = match (plan.land, old) {
        (Land::Commit, Some(old)) => Moves::Current { reference, old, new },
        (_, old) => Moves::Other { reference, old, new },
    };
    let backup = format!("refs/tags/{backup}");
    Ok(Record { run: plan.run.to_owned(), moved, patch: plan.patch.clone(), backup })
}

async fn put(
    scratch: &ScratchIndex<'_>,
    patch: &Patch,
    side: impl Fn(&crate::patch::Change) -> Option<&FileState>,
) -> Result<()> {
    let files: Vec<_> = patch.iter().map(|(path, change)| (path, side(change))).collect();
    scratch.put(&files).await
}

fn different<'p>(paths: &[&'p RelPath], a: &[Option<Entry>], b: &[Option<Entry>]) -> Vec<&'p RelPath> {
    let pairs = paths.iter().zip(a.iter().zip(b));
    pairs.filter(|(_, (a, b))| a != b).map(|(path, _)| *path).collect()
}

/// Where the branch is: nowhere yet, or at the commit that the patch builds on; any other place is refused.
async fn branch_at(repo: &Repo, reference: &str, parent: &str) -> Result<Option<String>> {
    let name = reference.strip_prefix("refs/heads/").unwrap_or(reference);
    if repo.is_checked_out(reference).await? {
        return Err(Fault::policy(format!(
            "the branch {name} is checked out in a worktree, or being rebased there"
        ))
        .hint("choose another name, or use --land commit there")
        .into());
    }
    match repo.resolve(reference).await? {
        Some(at) if at != parent => Err(Fault::policy(format!(
            "the branch {name} exists and is elsewhere: its commits are not yours to lose"
        ))
        .hint("choose another name with --land branch=NAME, or remove that branch")
        .into()),
        at => Ok(at),
    }
}

/// A file below a submodule or a link would replace it.
async fn refuse_submodules(repo: &Repo, parent: &str, patch: &Patch) -> Result<()> {
    for (path, _) in patch.iter() {
        for above in std::iter::successors(path.parent(), RelPath::parent) {
            let entry = repo.entry_at(parent, &above).await?;
            if entry.is_some_and(|entry| entry.mode == "160000" || entry.mode == "120000") {
                return Err(Fault::policy(format!("{path} lies in {above}, a submodule or a link: refused"))
                    .hint("nothing was changed; heal what lies in a submodule from inside of it")
                    .into());
            }
        }
    }
    Ok(())
}

/// Lets the user's index follow from commit `old` to `new` at the patch's paths. Entries that are not as in `old` are staged
/// changes of the user's and stay.
pub(super) async fn update_index(repo: &Repo, old: &str, new: &str, patch: &Patch) -> Result<()> {
    let paths: Vec<&RelPath> = patch.iter().map(|(path, _)| path).collect();
    let now = repo.index_entries(&paths).await?;
    let mut changes = Vec::new();
    for (path, now) in paths.into_iter().zip(now) {
        let (from, to) = (repo.entry_at(old, path).await?, repo.entry_at(new, path).await?);
        if now == from && from != to {
            changes.push((path, to));
        }
    }
    let changes: Vec<_> = changes.iter().map(|(path, entry)| (*path, entry.as_ref())).collect();
    repo.set_index_entries(&changes).await
}
