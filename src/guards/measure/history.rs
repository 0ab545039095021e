//! The honest side at large: what the guards say of the true patches of a project's history.

use anyhow::Result;
use regex::Regex;
use serde::Serialize;

use super::Verdict;
use crate::git::{Past, Repo, Scene};
use crate::guards::syntax::Lang;
use crate::guards::tests_kept::{Touched, touched};
use crate::guards::{Finding, Limits, Proposed, config, delta, inspect};
use crate::patch::{Patch, Tree};

/// What an honest commit touches, the gravest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Touches {
    /// Code and text, no test.
    Code,
    /// Tests are added, none is changed.
    NewTests,
    /// What sets up the checks, or says what the project depends on.
    Configuration,
    /// A test that was there, or what tests share: a person has to agree by design.
    OldTests,
}

/// A commit of the past and what the guards say of it.
#[derive(Debug, Serialize)]
pub struct Commit {
    /// Its id.
    pub id: String,
    /// Its subject.
    pub subject: String,
    /// What it touches.
    pub touches: Touches,
    /// What the guards say.
    pub verdict: Verdict,
    /// Why.
    pub findings: Vec<Finding>,
}

/// Judges the newest `most` commits with one parent whose subject matches and that change code, within the ordinary limits of size. What the
/// commit's lock files say counts as written by their tool.
///
/// # Errors
/// Where git or the disk fails.
pub async fn measure(
    repo: &Repo,
    most: usize,
    subject: &Regex,
    see: &mut dyn FnMut(&Commit),
) -> Result<Vec<Commit>> {
    let mut scene = Scene::new(repo)?;
    let mut all = Vec::new();
    let limits = Limits::default();
    let Some(head) = repo.head().await? else { return Ok(all) };
    for past in repo.past(&head).await?.into_iter().filter(|past| subject.is_match(&past.subject)) {
        if all.len() == most {
            break;
        }
        let Some(patch) = repo.patch_of(&past, limits.files).await? else { continue };
        let stat = patch.stat();
        let code = patch.iter().any(|(path, _)| Lang::of(path).is_some());
        if !code || stat.added + stat.removed > limits.lines {
            continue;
        }
        scene.show(&past.parent).await?;
        let commit = judge(past, &patch, &scene);
        see(&commit);
        all.push(commit);
    }
    Ok(all)
}

fn judge(past: Past, patch: &Patch, scene: &Scene<'_>) -> Commit {
    let none = Patch::new();
    let mut proposed = Proposed::new(Tree { root: scene.root(), patch: &none }, patch);
    proposed.allow_lock_changes = true;
    let findings = inspect(&proposed);
    let deltas = delta::deltas(patch);
    let touches = deltas.iter().map(|delta| match touched(delta) {
        Touched::Changed => Touches::OldTests,
        _ if config::concerns(delta) => Touches::Configuration,
        Touched::Added => Touches::NewTests,
        Touched::No => Touches::Code,
    });
    let touches = touches.max().unwrap_or(Touches::Code);
    Commit { id: past.id, subject: past.subject, touches, verdict: Verdict::of(&findings), findings }
}
