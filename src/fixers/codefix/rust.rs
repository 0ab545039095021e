//! Rust: `cargo check` judges; rustc's suggestions and the nearest names are the candidates.

mod cargo;
mod declarations;
mod dependencies;
mod imports;
mod known;
mod names;
pub(super) mod suggestions;
pub(super) mod syntax;

use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;

use super::edit::{Candidate, Edit};
use super::finding::Judgement;
use super::index::{Family, Index};
use super::place::{Site, Tool};
use super::search::Language;
use crate::diagnostic::Severity;
use crate::outcome::{Check, Outcome};
use crate::patch::{Patch, Tree};

/// The Rust side of the search for one check.
pub(super) struct Rust {
    call: cargo::Call,
    dir: String,
    index: Option<Index>,
}

impl Rust {
    /// For a red check where Rust did not compile: it runs cargo itself, or something else in a folder below a `Cargo.toml`.
    /// `None` where the compiler has no part in it: a failing test is not for this search.
    pub fn of(check: &Check, outcome: &Outcome, tree: Tree<'_>) -> Option<Self> {
        let told = outcome.diagnostics.iter().any(|diagnostic| {
            diagnostic.severity == Severity::Error
                && matches!(diagnostic.tool.as_str(), "rustc" | "clippy" | "cargo")
        });
        let printed = ["error[E", "could not compile", "error: aborting due to"];
        if !told && !printed.iter().any(|words| outcome.tail.contains(words)) {
            return None;
        }
        let call = match cargo::Call::of(&check.run) {
            Some(call) => call,
            None if cargo::has_manifest(tree, &check.dir) => cargo::Call::whole(),
            None => return None,
        };
        Some(Self { call, dir: check.dir.clone(), index: None })
    }
}

#[async_trait]
impl Language for Rust {
    fn label(&self) -> &'static str {
        "rustc"
    }

    async fn judge(
        &mut self,
        site: &mut dyn Site,
        patch: &Patch,
        tree: Tree<'_>,
    ) -> Result<(Judgement, Duration)> {
        site.put(patch).await?;
        let mut tool = Tool::new(self.call.argv(), &self.dir, Duration::from_secs(300));
        for (name, value) in &self.call.env {
            tool = tool.env(name, value);
        }
        let tool = tool.env("CARGO_TERM_COLOR", "never").env("CARGO_NET_OFFLINE", "true");
        let ran = site.run(&tool).await?;
        let root = site.root();
        let findings = suggestions::read(&ran.output, &root, &self.dir, tree);
        if findings.is_empty() && !ran.ok() {
            // It failed before or beside compiling (a manifest, a lock file): nothing here can judge that.
            anyhow::bail!("cargo check fails without a diagnostic: {}", complaint(&ran.output));
        }
        Ok((Judgement { green: ran.ok(), findings, failures: None }, ran.cpu))
    }

    async fn candidates(
        &mut self,
        _site: &mut dyn Site,
        tree: Tree<'_>,
        state: &Judgement,
    ) -> Result<Vec<Candidate>> {
        let index = self.index.get_or_insert_with(|| Index::of(tree.root, Family::Rust));
        index.refresh(tree);
        let mut all: Vec<Candidate> = Vec::new();
        for finding in &state.findings {
            all.extend(finding.suggested.iter().cloned());
        }
        names::candidates(tree, state, index, &mut all);
        Ok(all)
    }

    fn arrange(&self, tree: Tree<'_>, edits: Vec<Edit>) -> Vec<Edit> {
        imports::arrange(tree, edits)
    }
}

/// What cargo itself complains of: the first error, as a drawing of its place may follow; the last line where there is none.
fn complaint(output: &str) -> &str {
    let mut lines = output.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines.clone().find(|line| line.starts_with("error:"));
    error.or_else(|| lines.next_back()).unwrap_or("it says nothing")
}

#[cfg(test)]
mod tests;
