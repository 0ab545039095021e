//! What an implementer gets to see.

use anyhow::Result;
use minijinja::context;

use super::outline::{files, outline_of, small_text};
use super::text::{clean, shorten};
use crate::context::{DEFAULT_BUDGET, Subject, fenced, gather, prompts};
use crate::fixers::model::{Work, history};
use crate::outcome::Outcome;
use crate::patch::RelPath;
use crate::redact::Redactor;

/// Characters of each part with the usual budget, which together make about 30,000 tokens at most.
const MOST_OUTLINE: usize = 20_000;
const MOST_RULES: usize = 8_000;
const MOST_FILES: usize = 48_000;
const MOST_FILE: usize = 24_000;
/// Files beside those that matter that are looked at, and the room that is not worth filling.
const MOST_REST: usize = 300;
const LEAST_LEFT: usize = 500;
/// Tokens for what is red.
const MOST_RED: u64 = 4_000;

/// The prompt for one try in about `budget` tokens, redacted, and the files that it shows; `hints` are the files that the plan names.
///
/// # Errors
/// Only a template that does not render.
pub(super) fn implement_prompt(
    work: &Work<'_>,
    hints: &[String],
    budget: u64,
    redactor: &Redactor,
) -> Result<(String, Vec<RelPath>)> {
    let share = |most: usize| (most as u64).saturating_mul(budget) / DEFAULT_BUDGET;
    let share = |most: usize| usize::try_from(share(most)).unwrap_or(usize::MAX);
    let listed = files(&work.tree);
    let chosen = shown(work, &listed, hints, share(MOST_FILES));
    let files: Vec<_> = chosen
        .iter()
        .map(|(path, text)| context! { path => path.as_str(), text => fenced("", text) })
        .collect();
    let history = history::render(work.history, budget / 5, redactor);
    let rules = shorten(&clean(work.rules), MOST_RULES);
    let outline = outline_of(&work.tree, &listed, work.checks);
    let values = context! {
        rules => (!rules.is_empty()).then(|| fenced("rules", &rules)),
        outline => fenced("outline", &shorten(&outline, share(MOST_OUTLINE))),
        files => files,
        task => fenced("task", &clean(work.task.unwrap_or_default())),
        history => history,
        red => failures(work, work.red, redactor),
    };
    let prompt = prompts::render(prompts::IMPLEMENT, values)?;
    let shown = chosen.into_iter().map(|(path, _)| path).collect();
    Ok((redactor.redact(&prompt).into_owned(), shown))
}

/// What the checks complain about, fenced; empty where nothing is red.
fn failures(work: &Work<'_>, red: &[Outcome], redactor: &Redactor) -> String {
    // Failures get a third of a context's budget, and nothing else of it is wanted here.
    gather(&Subject { tree: work.tree, red, checks: work.checks, known: &[] }, 3 * MOST_RED, redactor)
        .failures
}

/// The files to show: what is hinted at, complained about or changed, then, in a small repo, the rest. Only files of the listing count:
/// hidden and ignored ones may hold secrets, whoever names them.
fn shown(work: &Work<'_>, listed: &[RelPath], hints: &[String], most: usize) -> Vec<(RelPath, String)> {
    let named = hints.iter().map(String::as_str);
    let complaints =
        work.red.iter().flat_map(|outcome| &outcome.diagnostics).filter_map(|one| one.file.as_deref());
    let changed = work.history.iter().flat_map(|tried| tried.patch.iter()).map(|(path, _)| path.as_str());
    let kept = work.tree.patch.iter().map(|(path, _)| path.as_str());
    let first: Vec<&str> = named.chain(complaints).chain(changed).chain(kept).collect();
    let (mut chosen, mut left): (Vec<(RelPath, String)>, usize) = (Vec::new(), most);
    let mut rest: Vec<&RelPath> = listed.iter().filter(|path| !first.contains(&path.as_str())).collect();
    // What lies beside the files that matter says more than what lies elsewhere.
    rest.sort_by_key(|path| !first.iter().any(|other| folder(other) == folder(path.as_str())));
    let firsts = first.iter().filter_map(|name| listed.iter().find(|path| path.as_str() == *name));
    for path in firsts.chain(rest.into_iter().take(MOST_REST)) {
        if left < LEAST_LEFT {
            break;
        }
        if is_noise(path) || chosen.iter().any(|(other, _)| other == path) {
            continue;
        }
        let Some(text) = small_text(&work.tree, path) else { continue };
        let length = text.chars().count();
        if !text.is_empty() && length <= left.min(MOST_FILE) {
            left -= length;
            chosen.push((path.clone(), text));
        }
    }
    chosen
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Files that a tool writes, and that say nothing to whoever implements something.
fn is_noise(path: &RelPath) -> bool {
    let lock =
        matches!(path.file_name(), "package-lock.json" | "npm-shrinkwrap.json" | "pnpm-lock.yaml" | "go.sum");
    lock || path.extension().is_some_and(|ext| matches!(ext, "lock" | "svg" | "map" | "snap" | "csv"))
}
