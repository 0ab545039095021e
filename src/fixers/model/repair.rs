//! What a model is told that repairs a red check.

use anyhow::Result;

use super::{Brief, Work, examples, history};
use crate::context::{self, Subject, prompts};
use crate::patch::{Patch, RelPath};
use crate::redact::Redactor;
use crate::usage::estimate_tokens;

/// Make what is red green, by the smallest correct change.
#[derive(Debug, Clone, Copy, Default)]
pub struct Repair;

impl Brief for Repair {
    fn system(&self, work: &Work<'_>, redactor: &Redactor) -> Result<String> {
        let rules = redactor.redact(work.rules);
        let rules = Some(rules.trim()).filter(|rules| !rules.is_empty());
        let rules = rules.map(|rules| context::fenced("markdown", rules));
        prompts::render(prompts::FIX_SYSTEM, minijinja::context! { rules })
    }

    /// The files and failures, or a second opinion where another model has tried.
    fn opening(&self, work: &Work<'_>, budget: u64, redactor: &Redactor) -> Result<(String, Vec<RelPath>)> {
        let history = history::render(work.history, budget / 5, redactor);
        let subject = Subject { tree: work.tree, red: work.red, checks: work.checks, known: &[] };
        let examples = examples::render(work.examples, budget / 8, redactor);
        let taken = estimate_tokens(&history) + estimate_tokens(&examples);
        let context = context::gather(&subject, budget.saturating_sub(taken), redactor);
        let by_others = |fixer: &str| fixer.starts_with("model(") || fixer.starts_with("agent(");
        let tried = work.history.iter().any(|tried| by_others(&tried.fixer));
        let template = if tried { prompts::FIX_SECOND } else { prompts::FIX };
        let text = prompts::render(template, minijinja::context! { context, examples, history })?;
        Ok((text, context.shown))
    }

    fn lacks(&self, _work: &Work<'_>, _patch: &Patch) -> Option<String> {
        None
    }
}
