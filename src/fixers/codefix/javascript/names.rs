//! Candidates for something that is not there: nearest names, imports, exports, modules.

use std::path::Path;

use regex::Regex;

use super::super::edit::{Candidate, Edit};
use super::super::finding::Finding;
use super::super::index::{Declared, Index};
use super::super::nearest::{distance, nearest};
use super::super::place::inside;
use super::super::typescript::paths::{BUILTIN, is_script, specifier, stem};
use super::known::{GLOBALS, MEMBERS};
use super::stack::{self, Fault};
use super::{specifiers, words};
use crate::patch::{RelPath, Tree};

/// Adds what could be tried for a finding.
pub(super) fn candidates(tree: Tree<'_>, finding: &Finding, index: &Index, all: &mut Vec<Candidate>) {
    let Some(fault) = stack::read(&finding.message) else { return };
    let Some(file) = &finding.file else { return };
    let Some(text) = tree.read_text(file) else { return };
    let mut draft = Draft { tree, finding, file, text: &text, index, all };
    match &fault {
        Fault::Undefined(name) => draft.undefined(name),
        Fault::Member(name) => draft.member(name),
        Fault::Holder(_) => draft.holder(),
        Fault::Module(_) => draft.module(),
        Fault::Export { module, name } => draft.export(module, name),
    }
}

struct Draft<'a> {
    tree: Tree<'a>,
    finding: &'a Finding,
    file: &'a RelPath,
    text: &'a str,
    index: &'a Index,
    all: &'a mut Vec<Candidate>,
}

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
        // What a test asks for is what was wanted, unless nothing else helps.
        let rank = if stack::is_test(self.file) { 400 } else { 100 };
        for (name, far) in nearest(wanted, names, 6) {
            let title = format!("`{wanted}` is written `{name}`");
            self.add(rank + far, "nearest-name", title, vec![Edit::new(self.file, start, end, name)]);
        }
    }

    /// A declaration that nothing uses by its name, near the one that is asked for.
    fn restore(&mut self, wanted: &str, among: &dyn Fn(&RelPath) -> bool) {
        let index = self.index;
        let lonely: Vec<(&RelPath, &Declared)> =
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

    /// A property that holds nothing: it has another name.
    fn holder(&mut self) {
        let (start, end) = self.finding.span;
        if let Some(name) = self.text.get(start..end).filter(|name| !name.is_empty()).map(str::to_owned) {
            self.member(&name);
        }
    }

    fn module(&mut self) {
        let (start, end) = self.finding.span;
        let Some(written) = self.text.get(start..end).filter(|text| !text.is_empty()).map(str::to_owned)
        else {
            return;
        };
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
            let builtin = BUILTIN.iter().map(|name| match written.strip_prefix("node:") {
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
        let target = inside(Path::new("/"), &folder, module);
        let target = target.filter(|path| self.tree.has(path));
        let text = target.as_ref().and_then(|path| self.tree.read_text(path));
        if name == "default" {
            if let (Some(path), Some(text)) = (&target, &text) {
                self.default_export(module, path, text);
            }
            return;
        }
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

    /// The default export that a module lost: of what its user names, of what is called like the file, or of what nothing else uses.
    fn default_export(&mut self, module: &str, path: &RelPath, text: &str) {
        let local = local_of_default(self.text, module);
        let file = path.file_name().split('.').next().unwrap_or_default();
        let mut wanted: Vec<(u32, Declared)> = Vec::new();
        for one in self.index.declared_in(path).iter().filter(|one| one.top) {
            let rank = if Some(one.name.as_str()) == local {
                50
            } else if one.name.eq_ignore_ascii_case(file) {
                55
            } else if words(text, &one.name).len() == 1 {
                60
            } else {
                continue;
            };
            wanted.push((rank, one.clone()));
        }
        for (rank, Declared { name, span, .. }) in wanted {
            let line = text[..span.0].rfind('\n').map_or(0, |at| at + 1);
            let head = text[line..span.0].trim_start_matches("export ");
            let edit = if ["function", "class", "async function"].iter().any(|kind| head.starts_with(kind)) {
                Edit::new(path, line, span.0 - head.len(), "export default ")
            } else {
                let semicolon = if text.contains(";\n") { ";" } else { "" };
                let gap = if text.ends_with('\n') { "\n" } else { "\n\n" };
                let export = format!("{gap}export default {name}{semicolon}\n");
                Edit::new(path, text.len(), text.len(), export)
            };
            let title = format!("`{path}` exports `{name}` as its default");
            self.add(rank, "javascript", title, vec![edit]);
        }
    }
}

/// What an import of `module`'s default calls it.
fn local_of_default<'t>(text: &'t str, module: &str) -> Option<&'t str> {
    let module = regex::escape(module);
    let import = Regex::new(&format!(
        r#"(?:\bimport\s+|\bdefault\s+as\s+)([A-Za-z_$][\w$]*)\s*(?:,[^"';]*|,?[^"';{{]*\}}\s*)?\bfrom\s*["']{module}["']"#
    ));
    Some(import.ok()?.captures(text)?.get(1)?.as_str())
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
