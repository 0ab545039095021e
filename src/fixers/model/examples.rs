//! Fixes that were proven before, as a model sees them.

use crate::config::MemoryRules;
use crate::context::fenced;
use crate::fixers::Case;
use crate::memory::{self, Remembered};
use crate::redact::Redactor;
use crate::store::Store;
use crate::usage::estimate_tokens;

/// Fixes that are shown.
const MOST: usize = 3;
/// Complaints for which similar ones are looked up.
const COMPLAINTS: usize = 5;

/// Where they come from.
#[derive(Debug, Clone)]
pub(super) struct Examples {
    pub(super) store: Store,
    pub(super) rules: MemoryRules,
    pub(super) repo: String,
}

impl Examples {
    /// The fixes of complaints like those of the case. What cannot be read is no reason not to ask.
    pub(super) async fn of(&self, case: &Case<'_>) -> Vec<Remembered> {
        let mut found: Vec<Remembered> = Vec::new();
        let complaints = case.red.iter().flat_map(|outcome| memory::errors(&outcome.diagnostics, COMPLAINTS));
        let mut patterns: Vec<String> = Vec::new();
        for pattern in complaints.map(memory::pattern) {
            if !patterns.contains(&pattern) {
                patterns.push(pattern);
            }
        }
        for pattern in patterns.iter().take(COMPLAINTS) {
            match memory::similar(&self.store, &self.rules, &self.repo, pattern).await {
                Ok(similar) => {
                    for one in similar {
                        if !found.iter().any(|other| other.recipe == one.recipe) {
                            found.push(one);
                        }
                    }
                }
                Err(error) => tracing::debug!("remembered fixes are not shown: {error:#}"),
            }
        }
        found.truncate(MOST);
        found
    }
}

/// The fixes in at most `room` tokens.
pub(super) fn render(examples: &[Remembered], room: u64, redactor: &Redactor) -> String {
    let mut text = String::new();
    for one in examples {
        let complaints = one.diagnostics.iter().take(2).map(|one| {
            let place = one.place().map(|place| format!("{place}: ")).unwrap_or_default();
            format!("{place}{}\n", one.message.lines().next().unwrap_or_default())
        });
        let complaints: String = complaints.collect();
        let mut part = String::new();
        if !complaints.is_empty() {
            part += &format!("The complaint:\n{}", fenced("text", &complaints));
        }
        part += &format!("What helped:\n{}", fenced("diff", &one.recipe.diff()));
        let part = redactor.redact(&part).into_owned();
        if estimate_tokens(&text) + estimate_tokens(&part) <= room {
            text += &part;
        }
    }
    text
}
