//! Repairs that need no model: what the toolchains themselves suggest and the nearest names, searched with the build as the judge.
//!
//! One search (`search`) works for every language: diagnostics, candidates, apply, judge, keep what removes diagnostics and adds none.
//! A language says what is wrong with a state and what could be tried; guards refuse what only looks like a repair.

mod edit;
mod finding;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod guard;
mod imports;
mod index;
mod javascript;
mod manifest;
mod nearest;
mod place;
mod python;
mod rewrite;
mod rust;
mod search;
#[cfg(test)]
mod testing;
mod typescript;

use std::collections::HashSet;

use anyhow::Result;
use async_trait::async_trait;

pub use self::search::Budget;
use self::search::{Found, Job, Language, search};
use super::{Answer, Case, Fixer, Proposal};
use crate::diagnostic::{Category, Diagnostic, Severity};
use crate::outcome::{Check, Outcome, Verdict};
use crate::patch::Tree;

/// The fixer without a model.
#[derive(Debug, Clone, Copy, Default)]
pub struct Codefix {
    budget: Budget,
}

impl Codefix {
    /// One that searches within `budget` (for each language that a red check speaks).
    pub fn new(budget: Budget) -> Self {
        Self { budget }
    }
}

#[async_trait]
impl Fixer for Codefix {
    fn name(&self) -> String {
        "codefix".into()
    }

    async fn propose(&self, case: &Case<'_>) -> Result<Answer> {
        let proposed: HashSet<String> = case.history.iter().map(|tried| tried.patch.digest()).collect();
        let mut reasons: Vec<String> = Vec::new();
        for outcome in case.red.iter().filter(|outcome| outcome.verdict == Verdict::Red) {
            let Some(check) = case.checks.iter().find(|check| check.name == outcome.check) else { continue };
            if let Some(rewrite) = rewrite::of(check, case.tree()) {
                let attempt = case.workspaces.attempt(case.base).await?;
                let mut site = place::AttemptSite::new(attempt);
                (case.progress)(&format!("{}: {}", rewrite.label, rewrite.line));
                match rewrite::run(&rewrite, check, &mut site).await? {
                    Some(done) if !proposed.contains(&done.patch.digest()) => {
                        return Ok(Answer::Patch(rewritten(&rewrite, done)));
                    }
                    _ => reasons.push(format!("{}: its own repairs do not help", rewrite.label)),
                }
            }
            for mut language in languages(check, outcome, case.tree()) {
                let attempt = case.workspaces.attempt(case.base).await?;
                let mut site = place::AttemptSite::new(attempt);
                let job = Job {
                    root: case.workspaces.root(),
                    base: case.base,
                    proposed: &proposed,
                    budget: self.budget,
                    progress: case.progress,
                };
                let label = language.label();
                match search(&job, &mut *language, &mut site).await {
                    Ok(found) if !found.patch.is_empty() => {
                        return Ok(Answer::Patch(proposal(label, found)));
                    }
                    Ok(found) => reasons.push(reason(label, &found)),
                    // A language whose tools do not run here must not keep the others from trying.
                    Err(error) => reasons.push(format!("{label}: {error:#}")),
                }
            }
        }
        if reasons.is_empty() {
            let red = case.red.iter().filter(|outcome| outcome.verdict == Verdict::Red);
            reasons.push(nothing_to_do(red.flat_map(|outcome| &outcome.diagnostics)).into());
        }
        reasons.dedup();
        Ok(Answer::Nothing(reasons.join("; ")))
    }
}

/// The languages that a red check speaks, the likeliest first.
fn languages(check: &Check, outcome: &Outcome, tree: Tree<'_>) -> Vec<Box<dyn Language>> {
    let mut all: Vec<Box<dyn Language>> = Vec::new();
    if let Some(manifests) = manifest::Manifests::of(check, outcome, tree) {
        all.push(Box::new(manifests));
    }
    if let Some(rust) = rust::Rust::of(check, outcome, tree) {
        all.push(Box::new(rust));
    }
    if let Some(typescript) = typescript::TypeScript::of(check, outcome, tree) {
        all.push(Box::new(typescript));
    }
    if let Some(javascript) = javascript::JavaScript::of(check, outcome) {
        all.push(Box::new(javascript));
    }
    if let Some(python) = python::Python::of(check, outcome) {
        all.push(Box::new(python));
    }
    all
}

fn rewritten(rewrite: &rewrite::Rewrite, done: rewrite::Rewritten) -> Proposal {
    let left = if done.green { "" } else { " It repairs a part of what is told." };
    Proposal {
        patch: done.patch,
        explanation: format!("`{}` makes the repairs that the check asks for.{left}", rewrite.line),
        fixer: format!("codefix({})", rewrite.label),
        alternatives: Vec::new(),
    }
}

fn reason(label: &str, found: &Found) -> String {
    match found.findings.0 {
        0 => format!("{label}: nothing that it could repair"),
        count => {
            let found_what = format!("{label}: found {}", plural(count));
            match found.judged.saturating_sub(1) {
                0 => format!("{found_what}, had no idea what to try"),
                1 => format!("{found_what}, tried 1 repair: {}", found.end),
                judged => format!("{found_what}, tried {judged} repairs: {}", found.end),
            }
        }
    }
}

/// Why no language had anything to try.
fn nothing_to_do<'a>(diagnostics: impl Iterator<Item = &'a Diagnostic>) -> &'static str {
    let mut errors = diagnostics.filter(|diagnostic| diagnostic.severity == Severity::Error).peekable();
    if errors.peek().is_some() && errors.all(|error| error.category == Category::TestAssertion) {
        "nothing to repair without a model: the failures are assertions of tests"
    } else {
        "no key-free repairs for this kind of check"
    }
}

fn proposal(label: &str, found: Found) -> Proposal {
    let guessed = found.steps.iter().all(|step| step.source == "nearest-name");
    let fixer = if guessed { "codefix(nearest-name)".into() } else { format!("codefix({label})") };
    let mut explanation = String::new();
    let mut told: HashSet<&str> = HashSet::new();
    for step in &found.steps {
        if told.insert(&step.title) {
            explanation.push_str(&format!("- {}\n", step.title));
        }
    }
    if !found.green {
        explanation.push_str(&format!("The search ended because {}.\n", found.end));
    }
    Proposal { patch: found.patch, explanation, fixer, alternatives: found.alternatives }
}

fn plural(count: usize) -> String {
    if count == 1 { "1 fault".into() } else { format!("{count} faults") }
}

#[cfg(test)]
mod tests;
