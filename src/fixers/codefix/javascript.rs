//! JavaScript without types: the check itself judges, stack traces and the sources' own words give the candidates.

mod known;
mod names;
pub(super) mod stack;

use std::sync::LazyLock;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use regex::Regex;

use self::stack::Fault;
use super::edit::{Candidate, Edit};
use super::finding::{Finding, Judgement, Stage};
use super::imports;
use super::index::{Family, Index, line_span, offset_of};
use super::place::{Site, Tool};
use super::search::Language;
use super::typescript::paths::{is_script, stem};
use crate::outcome::{Check, Outcome};
use crate::patch::{Patch, RelPath, Tree};

/// The JavaScript side of the search for one check.
pub(super) struct JavaScript {
    check: Check,
    index: Option<Index>,
}

impl JavaScript {
    /// For a red check in whose output a JavaScript runtime or bundler speaks of what is not there; `None` for others.
    pub fn of(check: &Check, outcome: &Outcome) -> Option<Self> {
        let words = [
            "is not defined",
            "is not a function",
            "Cannot find module",
            "does not provide an export named",
            "Failed to resolve import",
            "Cannot read properties of",
            "is not a constructor",
            "Could not resolve",
        ];
        let said = |text: &str| words.iter().any(|words| text.contains(words));
        let script = |file: &str| {
            RelPath::new(file).is_ok_and(|file| is_script(&file) && !file.as_str().ends_with(".json"))
        };
        let told = outcome
            .diagnostics
            .iter()
            .any(|one| said(&one.message) && (one.tool == "node" || one.file.as_deref().is_some_and(script)));
        let traced =
            [".js", ".mjs", ".cjs", ".ts", ".jsx", ".tsx"].iter().any(|end| outcome.tail.contains(end));
        (told || (traced && said(&outcome.tail))).then(|| Self { check: check.clone(), index: None })
    }
}

#[async_trait]
impl Language for JavaScript {
    fn label(&self) -> &'static str {
        "javascript"
    }

    async fn judge(
        &mut self,
        site: &mut dyn Site,
        patch: &Patch,
        tree: Tree<'_>,
    ) -> Result<(Judgement, Duration)> {
        site.put(patch).await?;
        let tool = Tool::of(&self.check.run, &self.check.dir, self.check.timeout).env("NO_COLOR", "1");
        let ran = site.run(&tool.env("FORCE_COLOR", "0")).await?;
        let root = site.root();
        let faults = stack::faults(&ran.output, &root, &self.check.dir, tree);
        let mut findings: Vec<Finding> = Vec::new();
        for told in faults {
            let stands = |(file, line): &(RelPath, u32)| place(tree, file, *line, &told.fault);
            let at = told.places.iter().position(|place| stands(place).is_some()).unwrap_or(0);
            let (file, line) = told.places[at].clone();
            let finding = Finding {
                code: told.fault.code().into(),
                message: told.message.clone(),
                span: stands(&told.places[at]).unwrap_or((0, 0)),
                file: Some(file),
                line,
                stage: Stage::Runtime,
                places: Vec::new(),
                suggested: Vec::new(),
                names: Vec::new(),
            };
            if findings.iter().all(|other| other.cause() != finding.cause()) {
                findings.push(finding);
            }
        }
        let failures = stack::failures(&ran.output);
        Ok((Judgement { findings, green: ran.ok(), failures }, ran.cpu))
    }

    async fn candidates(
        &mut self,
        _site: &mut dyn Site,
        tree: Tree<'_>,
        state: &Judgement,
    ) -> Result<Vec<Candidate>> {
        let index = self.index.get_or_insert_with(|| Index::of(tree.root, Family::Script));
        index.refresh(tree);
        let mut all = Vec::new();
        for finding in &state.findings {
            names::candidates(tree, finding, index, &mut all);
        }
        Ok(all)
    }

    fn arrange(&self, tree: Tree<'_>, edits: Vec<Edit>) -> Vec<Edit> {
        imports::arrange(tree, edits)
    }
}

/// Where the thing that a fault is about stands: on its line, or in the statement that goes on below it.
fn place(tree: Tree<'_>, file: &RelPath, line: u32, fault: &Fault) -> Option<(usize, usize)> {
    let text = tree.read_text(file)?;
    let word = match fault {
        Fault::Undefined(name) | Fault::Member(name) => name,
        Fault::Holder(read) => {
            let (start, end) = line_span(&text, line)?;
            let held = Regex::new(&format!(r"([A-Za-z_$][\w$]*)!?\.{}\b", regex::escape(read))).ok()?;
            let holder = held.captures(&text[start..end])?.get(1)?;
            return Some((start + holder.start(), start + holder.end()));
        }
        Fault::Export { name, .. } => name,
        Fault::Module(asked) => {
            let wanted = stem(asked);
            let found = specifiers(&text).into_iter().find(|(at, spec)| {
                (line == 0 || super::index::line_of(&text, *at) >= line) && stem(spec) == wanted
            })?;
            return Some((found.0, found.0 + found.1.len()));
        }
    };
    let start = if line == 0 { 0 } else { offset_of(&text, line, 1)? };
    let last = (line.max(1)..line.max(1) + 20).rev().find_map(|line| line_span(&text, line))?.1;
    let last = if line == 0 { text.len() } else { last };
    words(&text[start..last], word).first().map(|at| (start + at, start + at + word.len()))
}

/// The module specifiers of a file, with where they start.
fn specifiers(text: &str) -> Vec<(usize, &str)> {
    static SPECIFIER: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)["']([^"'\n]+)["']"#)
            .expect("a constant pattern")
    });
    SPECIFIER
        .captures_iter(text)
        .filter_map(|found| found.get(1))
        .map(|spec| (spec.start(), spec.as_str()))
        .collect()
}

fn words(text: &str, word: &str) -> Vec<usize> {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(|&at| !text[..at].ends_with(part) && !text[at + word.len()..].starts_with(part))
        .collect()
}

#[cfg(test)]
mod tests;
