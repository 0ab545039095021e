//! Candidates for one diagnostic: the service's quick fixes, nearest names, paths, exports.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::super::edit::{Candidate, Edit};
use super::super::finding::Finding;
use super::super::index::Index;
use super::super::nearest::{distance, nearest};
use super::paths::{self, specifier};
use super::wire::{Fix, Help};
use crate::patch::{RelPath, Tree};

struct Draft<'a> {
    tree: Tree<'a>,
    finding: &'a Finding,
    file: &'a RelPath,
    help: &'a Help,
    index: &'a Index,
    all: &'a mut Vec<Candidate>,
}

/// Adds what could be tried for a diagnostic.
pub(super) fn candidates(
    tree: Tree<'_>,
    finding: &Finding,
    help: &Help,
    index: &Index,
    all: &mut Vec<Candidate>,
) {
    let Some(file) = &finding.file else { return };
    let mut draft = Draft { tree, finding, file, help, index, all };
    for (order, fix) in help.fixes.iter().enumerate() {
        draft.quick_fix(order as u32, fix);
    }
    draft.names();
    draft.did_you_mean();
    match finding.code.as_str() {
        "TS2307" | "TS2306" | "TS2835" | "TS2834" | "TS7016" => draft.module(),
        "TS2305" | "TS2724" | "TS2459" | "TS2460" | "TS2614" | "TS2613" | "TS1192" => {
            draft.exports();
            draft.default_or_named();
        }
        _ => {}
    }
}

impl Draft<'_> {
    fn add(&mut self, rank: u32, source: &'static str, title: impl Into<String>, edits: Vec<Edit>) {
        let cause = self.finding.cause();
        self.all.push(Candidate { title: title.into(), source, rank, cause, edits });
    }

    fn quick_fix(&mut self, order: u32, fix: &Fix) {
        let edits: Option<Vec<Edit>> = fix
            .edits
            .iter()
            .map(|edit| {
                Some(Edit::new(&RelPath::new(&edit.file).ok()?, edit.start, edit.end, edit.text.clone()))
            })
            .collect();
        let Some(edits) = edits else { return };
        let rank = match fix.name.as_str() {
            _ if fix.late => 400,
            "fixAwaitInSyncFunction" | "addMissingAwait" | "addMissingAsync" => 40,
            "import" => 60,
            "fixImportNonExportedMember" => 65,
            "spelling" => 80,
            _ => 120,
        };
        self.add(rank + 3 * order.min(30), "typescript", fix.title.clone(), edits);
    }

    /// Nearest names instead of the one that is not there, and declarations that lost theirs.
    fn names(&mut self) {
        let Some(at) = &self.help.at else { return };
        let wanted = at.text.as_str();
        if wanted.is_empty()
            || !wanted.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '-' | '#' | ' ' | '.'))
        {
            return;
        }
        let (start, end) = (at.start, at.end);
        let near = nearest(wanted, self.help.names.iter().map(|name| (name.text.as_str(), 3)), 5);
        for (name, far) in near {
            let title = format!("`{wanted}` is written `{name}`");
            self.add(110 + far, "nearest-name", title.clone(), vec![Edit::new(self.file, start, end, &name)]);
            if self.help.specifier.is_some()
                && let Some(text) = self.tree.read_text(self.file)
            {
                // The import and all its uses in this file.
                let everywhere: Vec<Edit> = whole_words(&text, wanted)
                    .into_iter()
                    .map(|at| Edit::new(self.file, at, at + wanted.len(), &name))
                    .collect();
                if everywhere.len() > 1 {
                    self.add(130 + far, "nearest-name", format!("{title} in the whole file"), everywhere);
                }
            }
            let declared =
                self.help.names.iter().find(|one| one.text == name).and_then(|one| one.declared.as_ref());
            if let Some(declared) = declared
                && let Ok(file) = RelPath::new(&declared.file)
            {
                let rank = if self.index.restores(&name, wanted) { 50 } else { 330 };
                let title =
                    format!("the declaration of `{name}` gets the name `{wanted}` back that its users have");
                let edit = Edit::new(&file, declared.start, declared.end, wanted);
                self.add(rank + far / 10, "nearest-name", title, vec![edit]);
            }
        }
    }

    /// What the message itself offers.
    fn did_you_mean(&mut self) {
        static MEANT: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r#"Did you mean (?:to write )?'(?:"?)([^'"\n]{1,200})(?:"?)'\?"#)
                .expect("a constant pattern")
        });
        let Some(meant) = MEANT.captures(&self.finding.message) else { return };
        let meant = meant[1].to_owned();
        let node = self.help.specifier.as_ref().filter(|_| meant.starts_with('.')).or(self.help.at.as_ref());
        let Some(node) = node else { return };
        let plain = |text: &str| !text.contains(char::is_whitespace) && !text.contains(['(', '{', '"']);
        if plain(&node.text) && plain(&meant) && node.text != meant {
            let edit = Edit::new(self.file, node.start, node.end, &meant);
            self.add(85, "typescript", format!("`{}` is written `{meant}`", node.text), vec![edit]);
        }
    }

    /// A module that is not where the import says.
    fn module(&mut self) {
        let node = self.help.specifier.as_ref().or(self.help.at.as_ref());
        let Some(node) = node else { return };
        let (start, end, asked) = (node.start, node.end, node.text.clone());
        if !asked.starts_with('.') {
            self.package(start, end, &asked);
            return;
        }
        let mut seen = BTreeSet::new();
        let mut near: Vec<(u32, String)> = Vec::new();
        for path in self.index.paths().iter().filter(|path| paths::is_script(path) && *path != self.file) {
            for form in forms(self.file, path, &asked) {
                let far = if paths::stem(&form) == paths::stem(&asked) && form != asked {
                    // The same file name in another folder, or another extension.
                    Some(5 + 2 * form.matches('/').count() as u32)
                } else {
                    distance(&asked, &form).filter(|far| *far < 60)
                };
                if let Some(far) = far
                    && seen.insert(form.clone())
                {
                    near.push((far, form));
                }
            }
        }
        near.sort();
        for (far, form) in near.into_iter().take(8) {
            let title = format!("the module `{asked}` is `{form}`");
            self.add(70 + far, "nearest-name", title, vec![Edit::new(self.file, start, end, form)]);
        }
    }

    fn package(&mut self, start: usize, end: usize, asked: &str) {
        let mut known: Vec<String> = paths::BUILTIN.iter().map(|name| (*name).to_owned()).collect();
        if asked.starts_with("node:") {
            known.iter_mut().for_each(|name| *name = format!("node:{name}"));
        }
        let manifests: Vec<RelPath> = self
            .index
            .paths()
            .iter()
            .filter(|path| path.file_name() == "package.json")
            .take(30)
            .cloned()
            .collect();
        for manifest in manifests {
            let Some(text) = self.tree.read_text(&manifest) else { continue };
            let Ok(manifest) = serde_json::from_str::<serde_json::Value>(&text) else { continue };
            for part in ["dependencies", "devDependencies", "peerDependencies"] {
                if let Some(names) = manifest.get(part).and_then(|part| part.as_object()) {
                    known.extend(names.keys().cloned());
                }
            }
        }
        for (name, far) in nearest(asked, known.iter().map(|name| (name.as_str(), 0)), 3) {
            let title = format!("the package `{asked}` is `{name}`");
            self.add(100 + far, "nearest-name", title, vec![Edit::new(self.file, start, end, name)]);
        }
    }

    /// A name that the module does not export: it declares it, or another file has it.
    fn exports(&mut self) {
        let Some(at) = &self.help.at else { return };
        let name = at.text.clone();
        let module = self.help.module.clone();
        let specified = self.help.specifier.as_ref().map(|node| (node.start, node.end, node.text.clone()));
        for exporter in &self.help.exporters {
            let Ok(file) = RelPath::new(&exporter.file) else { continue };
            let own = module.as_deref() == Some(file.as_str());
            if !exporter.exported {
                let title = format!("`{file}` exports `{name}`, which it declares");
                let edit = Edit::new(&file, exporter.at, exporter.at, "export ");
                self.add(if own { 55 } else { 140 }, "typescript", title, vec![edit]);
                continue;
            }
            if let Some((start, end, like)) = &specified
                && !own
            {
                let form = specifier(self.file, &file, like);
                let title = format!("`{name}` is exported by `{form}`");
                self.add(90, "typescript", title, vec![Edit::new(self.file, *start, *end, form)]);
            }
            // A file that only gathers the exports of others.
            if let Some(barrel) =
                module.as_deref().filter(|_| !own).and_then(|module| RelPath::new(module).ok())
                && let Some(text) = self.tree.read_text(&barrel)
            {
                self.gather(&barrel, &text, &file, &name);
            }
        }
    }

    fn gather(&mut self, barrel: &RelPath, text: &str, from: &RelPath, name: &str) {
        static GATHERS: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(
                r#"(?m)^export\s+(?:type\s+)?(\*|\{([^}]*)\})\s*from\s*(['"])([^'"\n]+)['"](;?)[^\n]*\n?"#,
            )
            .expect("a constant pattern")
        });
        let lines: Vec<_> = GATHERS.captures_iter(text).collect();
        let Some(last) = lines.last() else { return };
        let (quote, end) = (&last[3], &last[5]);
        let form = specifier(barrel, from, &last[4]);
        let title = format!("`{barrel}` passes `{name}` on");
        if let Some(list) = lines.iter().find(|line| line[4] == form).and_then(|line| line.get(2)) {
            let names = list.as_str().trim_end();
            let at = list.start() + names.len();
            let comma = if names.trim().is_empty() || names.ends_with(',') { " " } else { ", " };
            self.add(75, "typescript", title, vec![Edit::new(barrel, at, at, format!("{comma}{name}"))]);
            return;
        }
        let stars = lines.iter().filter(|line| &line[1] == "*").count() * 2 > lines.len();
        let what = if stars { "*".to_owned() } else { format!("{{ {name} }}") };
        let line = format!("export {what} from {quote}{form}{quote}{end}\n");
        let next = lines.iter().find(|one| one[4] > *form).and_then(|one| one.get(0)).map(|one| one.start());
        let at = next.or(last.get(0).map(|last| last.end())).unwrap_or(text.len());
        let line = if at > 0 && !text[..at].ends_with('\n') { format!("\n{line}") } else { line };
        self.add(78, "typescript", title, vec![Edit::new(barrel, at, at, line)]);
    }

    /// `import x from` and `import { x } from`, each where the other is meant.
    fn default_or_named(&mut self) {
        static DEFAULT: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"^import\s+(type\s+)?([A-Za-z_$][\w$]*)\s+from").expect("a constant pattern")
        });
        static NAMED: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"^import\s+(type\s+)?(\{\s*([A-Za-z_$][\w$]*)\s*,?\s*\})\s*from")
                .expect("a constant pattern")
        });
        let Some(text) = self.tree.read_text(self.file) else { return };
        let at = self.finding.span.0.min(text.len());
        let Some(start) = text.get(..at).and_then(|before| before.rfind("import")) else { return };
        let start = if text[at..].starts_with("import") { at } else { start };
        let statement = &text[start..];
        if let Some(name) = DEFAULT.captures(statement).and_then(|found| found.get(2)) {
            let named = format!("{{ {} }}", name.as_str());
            let title = format!("`{}` is exported by name", name.as_str());
            let edit = Edit::new(self.file, start + name.start(), start + name.end(), named);
            self.add(60, "typescript", title, vec![edit]);
        } else if let Some(found) = NAMED.captures(statement)
            && let (Some(list), Some(name)) = (found.get(2), found.get(3))
        {
            let title = format!("`{}` is the module's default export", name.as_str());
            let edit = Edit::new(self.file, start + list.start(), start + list.end(), name.as_str());
            self.add(68, "typescript", title, vec![edit]);
        }
    }
}

/// The ways in which a file may be named by an import that is written like `like`: without an extension and with one.
fn forms(from: &RelPath, to: &RelPath, like: &str) -> Vec<String> {
    let plain = specifier(from, to, like);
    let mut all = vec![plain.clone()];
    let with = specifier(from, to, "x.js");
    if with != plain {
        all.push(with);
    }
    all
}

fn whole_words(text: &str, word: &str) -> Vec<usize> {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(|&at| !text[..at].ends_with(part) && !text[at + word.len()..].starts_with(part))
        .collect()
}
