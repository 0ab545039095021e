//! JavaScript without types: the check itself judges, stack traces and the sources' own words give the candidates.

pub(super) mod stack;

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use regex::Regex;

use self::stack::Fault;
use super::edit::{Candidate, Edit};
use super::finding::{Finding, Judgement, Stage};
use super::index::{Family, Index, line_span, offset_of};
use super::nearest::{distance, nearest};
use super::place::{Site, Tool};
use super::search::Language;
use super::typescript::paths::{is_script, specifier, stem};
use crate::outcome::{Check, Outcome};
use crate::patch::{Patch, RelPath, Tree};

/// The JavaScript side of the search for one check.
pub(super) struct JavaScript {
    check: Check,
    index: Option<Index>,
    stale: BTreeSet<RelPath>,
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
        (told || (traced && said(&outcome.tail))).then(|| Self {
            check: check.clone(),
            index: None,
            stale: BTreeSet::new(),
        })
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
        for (fault, file, line, message) in faults {
            let finding = Finding {
                code: fault.code().into(),
                message,
                span: place(tree, &file, line, &fault).unwrap_or((0, 0)),
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
        index.refresh(tree, &self.stale);
        self.stale.extend(tree.patch.iter().map(|(path, _)| path.clone()));
        let mut all = Vec::new();
        for finding in &state.findings {
            let Some(fault) = stack::read(&finding.message) else { continue };
            let Some(file) = &finding.file else { continue };
            let Some(text) = tree.read_text(file) else { continue };
            let mut draft = Draft { tree, finding, file, text: &text, index, all: &mut all };
            match &fault {
                Fault::Undefined(name) => draft.undefined(name),
                Fault::Member(name) => draft.member(name),
                Fault::Module(asked) => draft.module(asked),
                Fault::Export { module, name } => draft.export(module, name),
            }
        }
        Ok(all)
    }
}

/// Where the thing that a fault is about stands: on its line, or in the statement that goes on below it.
fn place(tree: Tree<'_>, file: &RelPath, line: u32, fault: &Fault) -> Option<(usize, usize)> {
    let text = tree.read_text(file)?;
    let word = match fault {
        Fault::Undefined(name) | Fault::Member(name) => name,
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

struct Draft<'a> {
    tree: Tree<'a>,
    finding: &'a Finding,
    file: &'a RelPath,
    text: &'a str,
    index: &'a Index,
    all: &'a mut Vec<Candidate>,
}

const GLOBALS: &[&str] = &[
    "console",
    "process",
    "Math",
    "JSON",
    "Object",
    "Array",
    "String",
    "Number",
    "Boolean",
    "Promise",
    "Map",
    "Set",
    "Date",
    "RegExp",
    "Error",
    "Symbol",
    "parseInt",
    "parseFloat",
    "undefined",
    "setTimeout",
    "setInterval",
    "clearTimeout",
    "fetch",
    "Buffer",
    "URL",
    "structuredClone",
    "globalThis",
    "document",
    "window",
    "require",
    "module",
    "exports",
];
const MEMBERS: &[&str] = &[
    "length",
    "push",
    "pop",
    "shift",
    "unshift",
    "slice",
    "splice",
    "concat",
    "join",
    "map",
    "filter",
    "reduce",
    "forEach",
    "find",
    "findIndex",
    "includes",
    "indexOf",
    "some",
    "every",
    "sort",
    "reverse",
    "keys",
    "values",
    "entries",
    "assign",
    "freeze",
    "toString",
    "trim",
    "split",
    "replace",
    "replaceAll",
    "startsWith",
    "endsWith",
    "toUpperCase",
    "toLowerCase",
    "padStart",
    "padEnd",
    "repeat",
    "charAt",
    "substring",
    "match",
    "test",
    "exec",
    "get",
    "set",
    "has",
    "delete",
    "add",
    "clear",
    "then",
    "catch",
    "finally",
    "resolve",
    "reject",
    "all",
    "parse",
    "stringify",
    "log",
    "error",
    "warn",
    "floor",
    "ceil",
    "round",
    "max",
    "min",
    "abs",
    "random",
    "sqrt",
    "pow",
    "from",
    "isArray",
    "flat",
    "flatMap",
    "fill",
    "toFixed",
    "getTime",
    "toISOString",
    "now",
    "call",
    "apply",
    "bind",
];

impl Draft<'_> {
    fn add(&mut self, rank: u32, source: &'static str, title: String, edits: Vec<Edit>) {
        let cause = self.finding.cause();
        self.all.push(Candidate { title, source, rank, cause, edits });
    }

    fn rename<'n>(&mut self, wanted: &str, names: impl Iterator<Item = (&'n str, u32)>) {
        let (start, end) = self.finding.span;
        if self.text.get(start..end) != Some(wanted) {
            return;
        }
        for (name, far) in nearest(wanted, names, 6) {
            let title = format!("`{wanted}` is written `{name}`");
            self.add(100 + far, "nearest-name", title, vec![Edit::new(self.file, start, end, name)]);
        }
    }

    /// A declaration that nothing uses by its name, near the one that is asked for.
    fn restore(&mut self, wanted: &str, among: &dyn Fn(&RelPath) -> bool) {
        let index = self.index;
        let lonely: Vec<(&RelPath, &super::index::Declared)> =
            index.declared().filter(|(file, one)| among(file) && index.uses(&one.name) == 1).collect();
        let names = lonely.iter().map(|(_, one)| (one.name.as_str(), 0));
        for (name, far) in nearest(wanted, names, 2) {
            let Some((file, one)) = lonely.iter().find(|(_, one)| one.name == name) else { continue };
            let rank = if index.restores(&name, wanted) { 60 } else { 240 };
            let title =
                format!("the declaration of `{name}` gets the name `{wanted}` back that its users have");
            let edit = Edit::new(file, one.span.0, one.span.1, wanted);
            self.add(rank + far / 10, "nearest-name", title, vec![edit]);
        }
    }

    fn undefined(&mut self, name: &str) {
        let index = self.index;
        let (file, start) = (self.file, self.finding.span.0);
        let here = index.words(file).filter(|(word, _)| *word != name).map(|(word, _)| (word, 2));
        self.rename(name, here.chain(GLOBALS.iter().map(|name| (*name, 1))));
        // A member that is used without its object.
        let member = Regex::new(&format!(r"\bthis\.{}\b", regex::escape(name)))
            .is_ok_and(|own| own.is_match(self.text));
        if member {
            let edit = Edit::new(file, start, start, "this.");
            self.add(70, "javascript", format!("`{name}` is a member: `this.{name}`"), vec![edit]);
        }
        self.import(name);
        self.restore(name, &|other| other == file);
    }

    /// The import of a name that another file exports, or of a module of Node's.
    fn import(&mut self, name: &str) {
        let required = self.text.contains("require(")
            && !self.text.contains("\nimport ")
            && !self.text.starts_with("import ");
        let semicolon = if self.text.contains(";\n") { ";" } else { "" };
        let like = specifiers(self.text)
            .into_iter()
            .find(|(_, spec)| spec.starts_with('.'))
            .map(|(_, spec)| spec.to_owned());
        let quote = if self.text.matches('\'').count() > self.text.matches('"').count() { '\'' } else { '"' };
        let like = like.unwrap_or_else(|| if required { "./x".into() } else { "./x.js".into() });
        let mut wanted: Vec<(u32, String, bool)> = Vec::new();
        for (file, text) in self.scripts() {
            match exported(&text, name) {
                Some(default) => wanted.push((60, specifier(self.file, &file, &like), default)),
                None => continue,
            }
        }
        for module in
            ["fs", "path", "os", "url", "util", "crypto", "assert", "http", "events", "child_process"]
        {
            if module == name {
                let prefix = if self.text.contains("node:") { "node:" } else { "" };
                wanted.push((62, format!("{prefix}{module}"), true));
            }
        }
        for (rank, from, default) in wanted {
            let what = if default { name.to_owned() } else { format!("{{ {name} }}") };
            let line = if required {
                format!("const {what} = require({quote}{from}{quote}){semicolon}\n")
            } else {
                format!("import {what} from {quote}{from}{quote}{semicolon}\n")
            };
            let at = self.import_place(&from, required);
            self.add(
                rank,
                "javascript",
                format!("`{}` is missing", line.trim()),
                vec![Edit::new(self.file, at, at, line)],
            );
        }
    }

    /// Before the first import whose specifier comes later in the alphabet, else after the last one.
    fn import_place(&self, from: &str, required: bool) -> usize {
        let mut offset = 0;
        let mut last = 0;
        for line in self.text.split_inclusive('\n') {
            let own = if required { line.contains("require(") } else { line.starts_with("import ") };
            let spec = specifiers(line).first().map(|(_, spec)| (*spec).to_owned());
            if let Some(spec) = spec.filter(|_| own) {
                if spec.starts_with('.') == from.starts_with('.') && *spec > *from {
                    return offset;
                }
                last = offset + line.len();
            }
            offset += line.len();
        }
        if last == 0 && self.text.starts_with("#!") {
            self.text.find('\n').map_or(0, |at| at + 1)
        } else {
            last
        }
    }

    fn scripts(&self) -> Vec<(RelPath, String)> {
        let paths = self.index.paths().iter().filter(|path| is_script(path) && *path != self.file);
        paths.take(2000).filter_map(|path| Some((path.clone(), self.tree.read_text(path)?))).collect()
    }

    fn member(&mut self, name: &str) {
        let index = self.index;
        let declared =
            index.declared().filter(|(_, one)| one.name != name).map(|(_, one)| (one.name.as_str(), 3));
        let here = index.words(self.file).filter(|(word, _)| *word != name).map(|(word, _)| (word, 1));
        self.rename(name, declared.chain(here).chain(MEMBERS.iter().map(|name| (*name, 2))));
        self.restore(name, &|_| true);
    }

    fn module(&mut self, asked: &str) {
        let (start, end) = self.finding.span;
        let Some(written) = self.text.get(start..end).filter(|text| !text.is_empty()).map(str::to_owned)
        else {
            return;
        };
        let _ = asked;
        let mut near: Vec<(u32, String)> = Vec::new();
        if written.starts_with('.') {
            for path in self.index.paths().iter().filter(|path| is_script(path) && *path != self.file) {
                for like in [written.as_str(), "x", "x.js"] {
                    let form = specifier(self.file, path, like);
                    let far = if form != written && stem(&form) == stem(&written) {
                        Some(5 + 2 * form.matches('/').count() as u32)
                    } else {
                        distance(&written, &form).filter(|far| *far < 60)
                    };
                    near.extend(far.map(|far| (far, form)));
                }
            }
        } else {
            let names = self.index.paths().iter().filter(|path| path.file_name() == "package.json");
            let texts: Vec<String> = names.take(20).filter_map(|path| self.tree.read_text(path)).collect();
            for text in texts {
                let Ok(manifest) = serde_json::from_str::<serde_json::Value>(&text) else { continue };
                for part in ["dependencies", "devDependencies"] {
                    let Some(part) = manifest.get(part).and_then(|part| part.as_object()) else { continue };
                    near.extend(
                        part.keys().filter_map(|name| Some((distance(&written, name)?, name.clone()))),
                    );
                }
            }
            let builtin =
                super::typescript::paths::BUILTIN.iter().map(|name| match written.strip_prefix("node:") {
                    Some(_) => format!("node:{name}"),
                    None => (*name).to_owned(),
                });
            near.extend(builtin.filter_map(|name| Some((distance(&written, &name)?, name))));
        }
        near.sort();
        near.dedup_by(|a, b| a.1 == b.1);
        for (far, form) in near.into_iter().take(6) {
            let title = format!("the module `{written}` is `{form}`");
            self.add(70 + far, "nearest-name", title, vec![Edit::new(self.file, start, end, form)]);
        }
    }

    fn export(&mut self, module: &str, name: &str) {
        let folder = self.file.parent().map_or(String::new(), |folder| folder.as_str().to_owned());
        let target = super::place::inside(std::path::Path::new("/"), &folder, module);
        let target = target.filter(|path| self.tree.has(path));
        let text = target.as_ref().and_then(|path| self.tree.read_text(path));
        if let (Some(path), Some(text)) = (&target, &text) {
            let declared = self.index.declared_in(path);
            self.rename(name, declared.iter().filter(|one| one.top).map(|one| (one.name.as_str(), 3)));
            if let Some(one) = declared.iter().find(|one| one.top && one.name == name) {
                let line = text[..one.span.0].rfind('\n').map_or(0, |at| at + 1);
                let title = format!("`{path}` exports `{name}`, which it declares");
                self.add(50, "javascript", title, vec![Edit::new(path, line, line, "export ")]);
            }
            let path = path.clone();
            self.restore(name, &|other| *other == path);
            if text.contains("export default") {
                let (start, end) = self.finding.span;
                let (before, after) = (self.text[..start].trim_end(), self.text[end..].trim_start());
                if let (Some(before), true) = (before.strip_suffix('{'), after.starts_with('}')) {
                    let close = self.text.len() - after.len() + 1;
                    let title = format!("`{name}` is the module's default export");
                    self.add(90, "javascript", title, vec![Edit::new(self.file, before.len(), close, name)]);
                }
            }
        }
        let spot =
            specifiers(self.text).into_iter().find(|(at, spec)| *spec == module && *at > self.finding.span.0);
        if let Some((at, spec)) = spot {
            for (file, text) in self.scripts() {
                if exported(&text, name) == Some(false) {
                    let form = specifier(self.file, &file, spec);
                    let title = format!("`{name}` is exported by `{form}`");
                    self.add(85, "javascript", title, vec![Edit::new(self.file, at, at + spec.len(), form)]);
                }
            }
        }
    }
}

/// Whether a file exports `name`: by that name (`false`) or as its default (`true`).
fn exported(text: &str, name: &str) -> Option<bool> {
    let name = regex::escape(name);
    let named = Regex::new(&format!(
        r"(?m)^export\s+(?:async\s+)?(?:function\s*\*?|class|const|let|var)\s+{name}\b|^export\s*\{{[^}}]*\b{name}\b|^(?:module\.)?exports\.{name}\s*=|^module\.exports\s*=\s*\{{[^}}]*\b{name}\b"
    ));
    if named.is_ok_and(|named| named.is_match(text)) {
        return Some(false);
    }
    let default = Regex::new(&format!(
        r"(?m)^export\s+default\s+(?:(?:async\s+)?function\s*\*?|class)?\s*{name}\b|^module\.exports\s*=\s*{name}\b"
    ));
    default.is_ok_and(|default| default.is_match(text)).then_some(true)
}

#[cfg(test)]
mod tests;
