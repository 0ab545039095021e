//! Python: the check itself judges, for in Python building proves little; tracebacks and a survey of the sources give the candidates.

mod imports;
mod names;
mod survey;
pub(super) mod syntax;
pub(super) mod traceback;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;

use self::survey::Survey;
use super::edit::Candidate;
use super::finding::{Finding, Judgement, Stage};
use super::index::{Family, Index, offset_of};
use super::place::{Site, Tool};
use super::search::Language;
use crate::outcome::{Check, CommandLine, Outcome};
use crate::patch::{Patch, RelPath, Tree};

const SURVEY: &str = include_str!("python/survey.py");

/// The Python side of the search for one check.
pub(super) struct Python {
    check: Check,
    interpreter: Vec<String>,
    index: Option<Index>,
    /// What each judged state looked like, by the digest of its changes.
    surveys: BTreeMap<String, Survey>,
}

impl Python {
    /// For a red check in whose output Python speaks; `None` where it does not.
    pub fn of(check: &Check, outcome: &Outcome) -> Option<Self> {
        let told = outcome.diagnostics.iter().any(|diagnostic| {
            matches!(diagnostic.tool.as_str(), "python" | "pytest" | "unittest" | "ruff" | "pyright" | "mypy")
                || diagnostic.file.as_deref().is_some_and(|file| file.ends_with(".py"))
        });
        if !told
            && !outcome.tail.contains("Traceback (most recent call last)")
            && !outcome.tail.contains(".py")
        {
            return None;
        }
        Some(Self {
            check: check.clone(),
            interpreter: interpreter(&check.run),
            index: None,
            surveys: BTreeMap::new(),
        })
    }

    async fn look(&self, site: &mut dyn Site) -> Result<(Survey, Duration)> {
        let mut argv = self.interpreter.clone();
        argv.extend(["-c".into(), SURVEY.into()]);
        let ran = site.run(&Tool::new(argv, &self.check.dir, Duration::from_secs(30))).await?;
        let json = ran.output.split('\u{1e}').nth(1).and_then(|rest| rest.lines().next());
        let json = json.with_context(|| {
            let last = ran.output.lines().last().unwrap_or("");
            format!("{} did not look over the sources: {last}", self.interpreter.join(" "))
        })?;
        let mut survey: Survey = serde_json::from_str(json).context("the survey of the Python sources")?;
        survey.place_below(&self.check.dir);
        Ok((survey, ran.cpu))
    }
}

#[async_trait]
impl Language for Python {
    fn label(&self) -> &'static str {
        "python"
    }

    async fn judge(
        &mut self,
        site: &mut dyn Site,
        patch: &Patch,
        tree: Tree<'_>,
    ) -> Result<(Judgement, Duration)> {
        site.put(patch).await?;
        let (survey, cpu) = self.look(site).await?;
        let broken: Vec<Finding> = survey.syntax(tree);
        self.surveys.insert(tree.patch.digest(), survey);
        if !broken.is_empty() {
            // What does not parse cannot run; the check's turn comes when it parses.
            return Ok((Judgement { findings: broken, green: false, failures: None }, cpu));
        }
        let mut tool = Tool::of(&self.check.run, &self.check.dir, self.check.timeout);
        if !format!("{:?}", self.check.run).contains("--tb") {
            tool = tool.env("PYTEST_ADDOPTS", "--tb=native");
        }
        let ran = site.run(&tool.env("PYTHONDONTWRITEBYTECODE", "1").env("NO_COLOR", "1")).await?;
        let root = site.root();
        let findings = traceback::findings(&ran.output, &root, &self.check.dir, tree);
        let failures = traceback::failures(&ran.output);
        Ok((Judgement { findings, green: ran.ok(), failures }, cpu + ran.cpu))
    }

    async fn candidates(
        &mut self,
        _site: &mut dyn Site,
        tree: Tree<'_>,
        state: &Judgement,
    ) -> Result<Vec<Candidate>> {
        let index = self.index.get_or_insert_with(|| Index::of(tree.root, Family::Python));
        index.refresh(tree);
        let Some(survey) = self.surveys.get(&tree.patch.digest()) else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        for finding in &state.findings {
            if finding.stage == Stage::Syntax {
                syntax::candidates(tree, finding, index, &mut all);
            } else {
                names::candidates(tree, finding, index, survey, &mut all);
            }
        }
        names::unseen(tree, state, index, survey, &mut all);
        Ok(all)
    }
}

/// The Python that a check uses, as far as its command line tells.
fn interpreter(line: &CommandLine) -> Vec<String> {
    let words = match line {
        CommandLine::Argv(argv) => argv.clone(),
        CommandLine::Shell(line) => shell_words::split(line).unwrap_or_default(),
    };
    for (at, word) in words.iter().enumerate() {
        let name = word.rsplit('/').next().unwrap_or("");
        let python = name
            .strip_prefix("python")
            .is_some_and(|version| version.chars().all(|c| c.is_ascii_digit() || c == '.'));
        if python {
            return vec![word.clone()];
        }
        if matches!(name, "uv" | "poetry" | "pipenv" | "hatch" | "pdm" | "rye")
            && words.get(at + 1).is_some_and(|next| next == "run")
        {
            return vec![word.clone(), "run".into(), "python".into()];
        }
        if let Some(folder) = word.strip_suffix(name).filter(|folder| folder.ends_with("bin/")) {
            return vec![format!("{folder}python")];
        }
    }
    vec!["python3".into()]
}

/// The finding of something at a line, about `word` where the line has it.
fn at_line(tree: Tree<'_>, file: &RelPath, line: u32, word: Option<&str>) -> Option<(usize, usize)> {
    let text = tree.read_text(file)?;
    let start = offset_of(&text, line, 1)?;
    let Some(word) = word else { return Some((start, start)) };
    // A statement may go on over some lines.
    let mut end = start;
    for _ in 0..20 {
        end = text[end..].find('\n').map_or(text.len(), |at| end + at + 1);
        let found = whole_words(&text[start..end], word).next();
        if let Some(at) = found {
            return Some((start + at, start + at + word.len()));
        }
    }
    None
}

/// Where `word` stands in `text` as a word of its own.
fn whole_words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |&at| !text[..at].ends_with(part) && !text[at + word.len()..].starts_with(part))
}

#[cfg(test)]
mod tests;
