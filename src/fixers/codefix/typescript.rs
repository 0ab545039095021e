//! TypeScript: the project's own language service judges in memory and suggests; names and paths it does not think of are added.

mod names;
pub(super) mod paths;
mod wire;

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use regex::Regex;
use serde_json::json;

use super::edit::{Candidate, Edit};
use super::finding::{Finding, Judgement, Place, Stage};
use super::imports;
use super::index::{Family, Index};
use super::place::{Site, Talk, Tool};
use super::search::Language;
use crate::outcome::{Check, CommandLine, Outcome};
use crate::patch::{Patch, RelPath, Tree};

const SERVICE: &str = include_str!("typescript/service.cjs");

/// The TypeScript side of the search for one check.
pub(super) struct TypeScript {
    dir: String,
    configs: Vec<String>,
    /// Whether the check is the type checker itself; if not, only what cannot be bundled or run counts.
    types: bool,
    service: Option<Box<dyn Talk>>,
    index: Option<Index>,
}

impl TypeScript {
    /// For a red check that has to do with TypeScript sources in a project with a `tsconfig.json`; `None` where it has not.
    pub fn of(check: &Check, outcome: &Outcome, tree: Tree<'_>) -> Option<Self> {
        let script = |file: &str| [".ts", ".tsx", ".mts", ".cts"].iter().any(|end| file.ends_with(end));
        let files: Vec<&str> = outcome
            .diagnostics
            .iter()
            .filter_map(|one| one.file.as_deref())
            .filter(|file| script(file))
            .collect();
        let told = outcome.diagnostics.iter().any(|one| {
            matches!(one.tool.as_str(), "tsc" | "typescript")
                || one.code.as_deref().is_some_and(|code| code.starts_with("TS"))
        });
        let types = told || outcome.tail.contains("error TS");
        let mentioned = [".ts:", ".tsx:", ".ts(", ".tsx(", ".ts\"", ".tsx\""];
        if !types && files.is_empty() && !mentioned.iter().any(|end| outcome.tail.contains(end)) {
            return None;
        }
        let configs = configs(check, &files, tree);
        (!configs.is_empty()).then(|| Self {
            dir: check.dir.clone(),
            configs,
            types,
            service: None,
            index: None,
        })
    }

    async fn ask<A: serde::de::DeserializeOwned>(
        &mut self,
        site: &mut dyn Site,
        request: serde_json::Value,
    ) -> Result<A> {
        if self.service.is_none() {
            let tool = Tool::new(["node", "-e", SERVICE], "", Duration::from_secs(120));
            let mut service = site.start(&tool.env("NODE_NO_WARNINGS", "1")).await?;
            let open = json!({
                "op": "open",
                "root": site.root(),
                "dir": self.dir,
                "configs": self.configs,
            });
            let answer: wire::Opened = serde_json::from_str(&service.ask(&open.to_string()).await?)?;
            if let Some(error) = answer.error {
                bail!("{error}");
            }
            tracing::debug!(version = answer.version, projects = ?answer.projects, "language service");
            self.service = Some(service);
        }
        let service = self.service.as_mut().context("the language service")?;
        let answer = service.ask(&request.to_string()).await?;
        match serde_json::from_str::<wire::Failed>(&answer) {
            Ok(failed) => bail!("the language service failed: {}", failed.error),
            Err(_) => Ok(serde_json::from_str(&answer)?),
        }
    }
}

/// Codes that keep a program from being bundled or run: a name, a module or a member is not there, or the text does not parse.
fn runs_into(code: u32) -> bool {
    (1000..2000).contains(&code)
        || matches!(
            code,
            2300 | 2304
                | 2305
                | 2306
                | 2307
                | 2339
                | 2459
                | 2460
                | 2503
                | 1361
                | 1362
                | 2551
                | 2552
                | 2585
                | 2613
                | 2614
                | 2693
                | 2724
                | 2835
        )
}

/// In which stage a diagnostic shows itself.
fn stage(code: u32) -> Stage {
    match code {
        1192 | 1259 | 1308 | 1361 | 1362 | 1371 | 1378 | 1479 | 1484 | 1485 => Stage::Names,
        1000..=1999 | 17000..=17019 => Stage::Syntax,
        2304..=2307
        | 2339
        | 2459
        | 2460
        | 2503
        | 2551
        | 2552
        | 2585
        | 2613
        | 2614
        | 2693
        | 2694
        | 2709
        | 2724
        | 2749
        | 2834
        | 2835
        | 7016 => Stage::Names,
        _ => Stage::Types,
    }
}

#[async_trait]
impl Language for TypeScript {
    fn label(&self) -> &'static str {
        "typescript"
    }

    async fn judge(
        &mut self,
        site: &mut dyn Site,
        patch: &Patch,
        _tree: Tree<'_>,
    ) -> Result<(Judgement, Duration)> {
        let began = Instant::now();
        let files: BTreeMap<&str, Option<&str>> = patch
            .iter()
            .map(|(path, change)| (path.as_str(), change.after.as_ref().and_then(|after| after.as_text())))
            .collect();
        let answer: wire::Judged = self.ask(site, json!({ "op": "judge", "files": files })).await?;
        let types = self.types;
        let findings: Vec<Finding> = answer
            .diagnostics
            .into_iter()
            .filter(|one| types || runs_into(one.code))
            .map(|one| Finding {
                stage: stage(one.code),
                code: format!("TS{}", one.code),
                message: one.message,
                file: one.file.and_then(|file| RelPath::new(&file).ok()),
                span: (one.start, one.end),
                line: one.line,
                places: one
                    .related
                    .into_iter()
                    .filter_map(|place| {
                        let file = RelPath::new(&place.file).ok()?;
                        Some(Place { file, span: (place.start, place.end), label: place.message })
                    })
                    .collect(),
                suggested: Vec::new(),
                names: Vec::new(),
            })
            .collect();
        // The service works on one thread and nothing else is waited for: its wall time is its CPU time.
        Ok((Judgement { green: findings.is_empty(), findings, failures: None }, began.elapsed()))
    }

    async fn candidates(
        &mut self,
        site: &mut dyn Site,
        tree: Tree<'_>,
        state: &Judgement,
    ) -> Result<Vec<Candidate>> {
        let index = self.index.get_or_insert_with(|| Index::of(tree.root, Family::Script));
        index.refresh(tree);
        // The service answers for the state that it judged last; the search may have looked at others since.
        let files: BTreeMap<&str, Option<String>> =
            tree.patch.iter().map(|(path, _)| (path.as_str(), tree.read_text(path))).collect();
        let judged: wire::Judged = self.ask(site, json!({ "op": "judge", "files": files })).await?;
        let answer: wire::Fixes = self.ask(site, json!({ "op": "fixes" })).await?;
        let index = self.index.as_ref().context("the index")?;
        let mut all = Vec::new();
        for (told, help) in judged.diagnostics.iter().zip(&answer.fixes) {
            let finding = state.findings.iter().find(|finding| {
                finding.code == format!("TS{}", told.code)
                    && finding.span == (told.start, told.end)
                    && finding.file.as_ref().map(RelPath::as_str) == told.file.as_deref()
            });
            if let Some(finding) = finding {
                names::candidates(tree, finding, help, index, &mut all);
            }
        }
        Ok(all)
    }

    fn arrange(&self, tree: Tree<'_>, edits: Vec<Edit>) -> Vec<Edit> {
        imports::arrange(tree, edits)
    }
}

/// The projects that a check compiles: the one its command names, else the nearest `tsconfig.json` of its folder and of the files
/// that are told of.
fn configs(check: &Check, files: &[&str], tree: Tree<'_>) -> Vec<String> {
    static PROJECT: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?:tsc|vue-tsc)\b[^|;&]*?\s(?:-p|--project|-b|--build)[ =]([\w./-]+)")
            .expect("a constant pattern")
    });
    let line = match &check.run {
        CommandLine::Shell(line) => line.clone(),
        CommandLine::Argv(argv) => argv.join(" "),
    };
    let below =
        |dir: &str, name: &str| if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
    let mut texts = vec![line];
    // What `npm run build` runs stands in the manifest.
    if let Ok(manifest) = RelPath::new(&below(&check.dir, "package.json"))
        && let Some(text) = tree.read_text(&manifest)
        && let Ok(manifest) = serde_json::from_str::<serde_json::Value>(&text)
        && let Some(scripts) = manifest.get("scripts").and_then(|scripts| scripts.as_object())
    {
        let named = |name: &str| texts[0].split_whitespace().any(|word| word == name);
        let called: Vec<String> = scripts
            .iter()
            .filter(|(name, _)| named(name))
            .filter_map(|(_, script)| script.as_str().map(str::to_owned))
            .collect();
        texts.extend(called);
    }
    let mut found: Vec<String> = Vec::new();
    for text in &texts {
        for project in PROJECT.captures_iter(text) {
            let name = project[1].trim_start_matches("./").trim_end_matches('/');
            let name = if name.ends_with(".json") {
                name.to_owned()
            } else {
                below(name.trim_matches('.'), "tsconfig.json")
            };
            found.push(below(&check.dir, &name));
        }
    }
    found.retain(|config| RelPath::new(config).is_ok_and(|config| tree.has(&config)));
    if found.is_empty() {
        let folders = files.iter().map(|file| file.rsplit_once('/').map_or("", |(folder, _)| folder));
        for folder in std::iter::once(check.dir.as_str()).chain(folders).take(50) {
            let mut at = Some(folder);
            while let Some(dir) = at {
                let config = below(dir, "tsconfig.json");
                if RelPath::new(&config).is_ok_and(|config| tree.has(&config)) {
                    found.push(config);
                    break;
                }
                at = match dir.rsplit_once('/') {
                    Some((parent, _)) => Some(parent),
                    None if dir.is_empty() => None,
                    None => Some(""),
                };
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
pub(super) mod tests;
