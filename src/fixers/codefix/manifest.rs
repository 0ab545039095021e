//! Manifests that do not parse or hold a key that nothing reads: `Cargo.toml`, `package.json`, `pyproject.toml`, `tsconfig.json`.
//!
//! A parser in memory judges first, the check itself judges what parses. Nothing is fetched.

mod keys;
mod mend;

use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;

use self::keys::Kind;
use super::edit::{Candidate, Edit};
use super::finding::{Finding, Judgement, Stage};
use super::index::line_of;
use super::nearest::nearest;
use super::place::{Site, Tool};
use super::search::Language;
use crate::outcome::{Check, Outcome};
use crate::patch::{Patch, RelPath, Tree};

/// The manifests of one check.
pub(super) struct Manifests {
    check: Check,
    files: Vec<(RelPath, Kind)>,
}

impl Manifests {
    /// For a red check with a manifest at hand in which something is wrong; `None` where all are in order.
    pub fn of(check: &Check, outcome: &Outcome, tree: Tree<'_>) -> Option<Self> {
        let mut files: Vec<(RelPath, Kind)> = Vec::new();
        let mut folders: Vec<String> = vec![check.dir.trim_matches('/').to_owned()];
        let named = outcome.diagnostics.iter().filter_map(|one| one.file.as_deref());
        folders
            .extend(named.take(50).map(|file| file.rsplit_once('/').map_or("", |(dir, _)| dir).to_owned()));
        for folder in folders {
            let mut at = Some(folder.as_str());
            while let Some(dir) = at {
                for (name, kind) in keys::NAMES {
                    let path = if dir.is_empty() { (*name).to_owned() } else { format!("{dir}/{name}") };
                    if let Ok(path) = RelPath::new(&path)
                        && tree.has(&path)
                        && files.iter().all(|(known, _)| *known != path)
                    {
                        files.push((path, *kind));
                    }
                }
                at = match dir.rsplit_once('/') {
                    Some((parent, _)) => Some(parent),
                    None if dir.is_empty() => None,
                    None => Some(""),
                };
            }
        }
        let missing = unknown_package(&outcome.tail).is_some();
        let wrong = files.iter().any(|(file, kind)| !problems(tree, file, *kind).is_empty());
        (wrong || missing).then(|| Self { check: check.clone(), files })
    }

    fn problems(&self, tree: Tree<'_>) -> Vec<Finding> {
        self.files.iter().flat_map(|(file, kind)| problems(tree, file, *kind)).collect()
    }
}

/// The package that cargo found nowhere: in no registry, or not in the folder that is named.
fn unknown_package(output: &str) -> Option<&str> {
    let told = ["no matching package named `", "searched package name: `"];
    let (_, rest) = told.iter().find_map(|words| output.split_once(words))?;
    rest.split('`').next()
}

fn finding(
    file: &RelPath,
    text: &str,
    span: (usize, usize),
    stage: Stage,
    code: &str,
    message: String,
) -> Finding {
    Finding {
        code: code.into(),
        message,
        file: Some(file.clone()),
        span,
        line: line_of(text, span.0),
        stage,
        places: Vec::new(),
        suggested: Vec::new(),
        names: Vec::new(),
    }
}

/// What is wrong in a manifest by itself.
fn problems(tree: Tree<'_>, file: &RelPath, kind: Kind) -> Vec<Finding> {
    let Some(text) = tree.read_text(file) else { return Vec::new() };
    if let Err((at, message)) = kind.parse(&text) {
        return vec![finding(file, &text, (at, at), Stage::Syntax, "syntax", message)];
    }
    keys::doubtful(&text, kind)
        .into_iter()
        .map(|doubt| {
            let message = format!("`{}` is none of the words that are known there", doubt.word);
            finding(file, &text, doubt.span, Stage::Names, "key", message)
        })
        .collect()
}

#[async_trait]
impl Language for Manifests {
    fn label(&self) -> &'static str {
        "manifest"
    }

    async fn judge(
        &mut self,
        site: &mut dyn Site,
        patch: &Patch,
        tree: Tree<'_>,
    ) -> Result<(Judgement, Duration)> {
        let findings = self.problems(tree);
        if !findings.is_empty() {
            return Ok((Judgement { findings, green: false, failures: None }, Duration::ZERO));
        }
        site.put(patch).await?;
        let tool = Tool::of(&self.check.run, &self.check.dir, self.check.timeout);
        let ran = site.run(&tool.env("NO_COLOR", "1").env("CARGO_NET_OFFLINE", "true")).await?;
        let mut findings = Vec::new();
        if let Some(name) = unknown_package(&ran.output) {
            let place = self.files.iter().filter(|(_, kind)| *kind == Kind::Cargo).find_map(|(file, _)| {
                let text = tree.read_text(file)?;
                let at = keys::key(&text, name)?;
                Some(finding(file, &text, at, Stage::Names, "package", format!("no package `{name}`")))
            });
            findings.extend(place);
        }
        if findings.is_empty()
            && !ran.ok()
            && let Some((file, _)) = self.files.first()
        {
            // The manifests are in order: what is left is for others.
            findings.push(finding(file, "", (0, 0), Stage::Last, "check", "the check is still red".into()));
        }
        Ok((Judgement { findings, green: ran.ok(), failures: None }, ran.cpu))
    }

    async fn candidates(
        &mut self,
        _site: &mut dyn Site,
        tree: Tree<'_>,
        state: &Judgement,
    ) -> Result<Vec<Candidate>> {
        let mut all = Vec::new();
        for finding in &state.findings {
            let Some(file) = &finding.file else { continue };
            let Some(text) = tree.read_text(file) else { continue };
            let Some(kind) = self.files.iter().find(|(known, _)| known == file).map(|(_, kind)| *kind) else {
                continue;
            };
            let cause = finding.cause();
            let (start, end) = finding.span;
            match finding.code.as_str() {
                "syntax" => {
                    for (order, (edit, title)) in
                        mend::edits(file, &text, start, kind).into_iter().enumerate()
                    {
                        all.push(Candidate {
                            title,
                            source: "manifest",
                            rank: order as u32,
                            cause: cause.clone(),
                            edits: vec![edit],
                        });
                    }
                }
                "key" => {
                    let doubts = keys::doubtful(&text, kind);
                    let Some(doubt) = doubts.iter().find(|doubt| doubt.span == finding.span) else {
                        continue;
                    };
                    rename(file, finding, &doubt.word, &doubt.meant, &mut all);
                }
                "package" => {
                    let Some(word) = text.get(start..end) else { continue };
                    let locked = lock_of(tree, file).map(|lock| locked(&lock)).unwrap_or_default();
                    let names: Vec<String> = locked.into_iter().map(|(name, _)| name).collect();
                    rename(file, finding, word, &names, &mut all);
                }
                _ => {}
            }
        }
        Ok(all)
    }
}

fn rename(file: &RelPath, finding: &Finding, word: &str, meant: &[String], all: &mut Vec<Candidate>) {
    for (name, far) in nearest(word, meant.iter().map(|name| (name.as_str(), 0)), 4) {
        all.push(Candidate {
            title: format!("`{word}` is written `{name}`"),
            source: "nearest-name",
            rank: far,
            cause: finding.cause(),
            edits: vec![Edit::new(file, finding.span.0, finding.span.1, name)],
        });
    }
}

/// The lock file of a package: beside its manifest or in a folder above.
pub(super) fn lock_of(tree: Tree<'_>, manifest: &RelPath) -> Option<String> {
    let mut folder = manifest.parent();
    loop {
        let path = match &folder {
            Some(folder) => format!("{folder}/Cargo.lock"),
            None => "Cargo.lock".to_owned(),
        };
        if let Some(text) = RelPath::new(&path).ok().and_then(|path| tree.read_text(&path)) {
            return Some(text);
        }
        folder = folder?.parent();
    }
}

/// The packages of a lock file with their versions, in its order.
pub(super) fn locked(lock: &str) -> Vec<(String, String)> {
    let Ok(lock) = lock.parse::<toml::Table>() else { return Vec::new() };
    let packages = lock.get("package").and_then(|all| all.as_array()).cloned().unwrap_or_default();
    let text = |package: &toml::Value, key: &str| Some(package.get(key)?.as_str()?.to_owned());
    packages.iter().filter_map(|package| Some((text(package, "name")?, text(package, "version")?))).collect()
}

#[cfg(test)]
mod tests;
