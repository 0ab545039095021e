//! A proposal as a run's spec: what it changes is found out on its base, as the repo is now.

use anyhow::{Context, Result};

use super::heal::{Ground, Options};
use crate::fault::Fault;
use crate::git::{Difference, Repo, ScratchIndex};
use crate::landing::Land;
use crate::patch::{Change, FileState, Patch, Tree};
use crate::proposal::{Asked, Content};
use crate::run::events::{Spec, Trigger};
use crate::verify::needs::in_order;

/// The proposal cannot be tested as it is, whoever tries: its run ends before it begins.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unfit(String);

impl Unfit {
    /// Cannot be tested for this reason.
    pub(super) fn new(why: &str) -> Self {
        Self(why.to_owned())
    }
}

/// Everything that a run needs to know which tests `asked`, and repairs it if that is wanted.
///
/// # Errors
/// [`Unfit`] where the proposal does not fit the repo; else as [`Ground::spec`].
pub(super) async fn spec(
    ground: &Ground,
    options: &Options,
    id: &str,
    asked: &Asked,
    land: &Land,
) -> Result<Spec> {
    let user = &ground.session.settings.user;
    let repo = ground.repo.as_ref().context("a proposal needs a git repository")?;
    let named = asked.base.as_deref().unwrap_or("HEAD");
    let base = repo.resolve(&format!("{named}^{{commit}}")).await?;
    let base =
        base.ok_or_else(|| Unfit(format!("the repo has no branch, tag or commit {named:?} to build on")))?;
    let head = repo.head().await?;
    if *land == Land::Commit && head.as_ref() != Some(&base) {
        return Err(Unfit(format!(
            "{named} is not what is checked out, so it cannot land as a commit there"
        ))
        .into());
    }
    let known = ground.all_checks(options);
    let mut checks: Vec<_> = in_order(&known).into_iter().cloned().collect();
    if checks.is_empty() {
        return Err(
            Unfit("the repo has no checks to test it with: regreen.toml names them".to_owned()).into()
        );
    }
    let goal = checks.remove(0);
    let trigger = |patch| Trigger::Proposal {
        id: asked.id.clone(),
        title: asked.title.clone(),
        description: asked.description.clone(),
        base: asked.base.clone(),
        patch,
    };
    let spec = ground.spec(options, id, trigger(Patch::new()), goal, checks, land).await;
    let mut spec = spec.map_err(|error| match error.downcast::<Fault>() {
        // What keeps it from landing keeps it from being tested, too.
        Ok(fault) => Unfit(told(&fault)).into(),
        Err(error) => error,
    })?;
    if head.as_ref() != Some(&base) {
        let Difference { patch, hidden } =
            ground.snapshots().await?.patch_to(&spec.from.snapshot, repo, &base).await?;
        (spec.base, spec.hidden) = (patch, hidden);
        spec.from.head = Some(base.clone());
    }
    let tree = Tree { root: &ground.root, patch: &spec.base };
    let patch = match &asked.content {
        Content::Files(files) => whole(&tree, files)?,
        Content::Diff(diff) => applied(&tree, repo, &base, diff).await?,
    };
    if patch.is_empty() {
        return Err(Unfit(format!("it changes nothing on {named}")).into());
    }
    spec.trigger = trigger(patch);
    let root = ground.root.to_string_lossy();
    spec.dry_run = !asked.fix && !user.auto_fix.iter().any(|repo| repo == "*" || *repo == root);
    spec.max_attempts = options.tries.max_attempts.or(user.fix_attempts).or(spec.max_attempts);
    Ok(spec)
}

fn told(fault: &Fault) -> String {
    let hint = fault.hint.as_deref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{fault}{hint}")
}

/// The changes that whole files are.
fn whole(tree: &Tree<'_>, files: &[crate::proposal::ProposedFile]) -> Result<Patch> {
    let mut patch = Patch::new();
    for proposed in files {
        let before = tree.read(&proposed.path)?;
        let was = before.as_ref().is_some_and(|file| file.executable);
        let after = proposed
            .file
            .clone()
            .map(|file| FileState { executable: proposed.executable.unwrap_or(was), ..file });
        if before.is_none() && after.is_none() {
            return Err(Unfit(format!("{} is to be removed, and is not there", proposed.path)).into());
        }
        patch.set(proposed.path.clone(), Change { before, after });
    }
    Ok(patch)
}

/// The changes that a diff makes of `base`, on the files as they are on disk.
async fn applied(tree: &Tree<'_>, repo: &Repo, base: &str, diff: &str) -> Result<Patch> {
    let stored = ScratchIndex::of(repo, Some(base)).await?.patched(base, diff).await?;
    let stored = stored
        .map_err(|why| Unfit(format!("the patch does not apply to {}: {why}", &base[..base.len().min(7)])))?;
    let mut patch = Patch::new();
    for (path, change) in stored.iter() {
        let before = tree.read(path)?;
        let after = match (&before, &change.before, &change.after) {
            (Some(disk), Some(stored), Some(after)) if disk.bytes != stored.bytes => {
                // Stored with other line endings than the work tree has.
                if disk.bytes != with_returns(&stored.bytes) {
                    return Err(Unfit(format!("{path} is stored in another form than it is on disk")).into());
                }
                Some(FileState { bytes: with_returns(&after.bytes), ..after.clone() })
            }
            (_, _, after) => (*after).clone(),
        };
        patch.set(path.clone(), Change { before, after });
    }
    Ok(patch)
}

/// With `\r\n` at the end of every line.
fn with_returns(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for (at, byte) in bytes.iter().enumerate() {
        if *byte == b'\n' && (at == 0 || bytes[at - 1] != b'\r') {
            out.push(b'\r');
        }
        out.push(*byte);
    }
    out
}
