//! What the survey of the Python sources says.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::finding::{Finding, Stage};
use super::super::index::offset_of;
use crate::patch::{RelPath, Tree};

/// The answer of `survey.py`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Survey {
    /// What is wrong without running anything.
    #[serde(default, deserialize_with = "readable")]
    pub problems: Vec<Problem>,
    /// The repo's modules by their dotted names.
    pub modules: BTreeMap<String, Module>,
    /// The repo's classes by name.
    pub classes: BTreeMap<String, Class>,
    /// Parameters of the repo's functions by name.
    pub functions: BTreeMap<String, Vec<String>>,
    /// Imports that the repo has.
    pub imports: Vec<Import>,
    /// Modules of the standard library.
    pub stdlib: Vec<String>,
    /// Modules and packages that can be imported.
    pub installed: Vec<String>,
    /// Names that need no import.
    pub builtins: Vec<String>,
    /// Short string constants.
    pub strings: Vec<String>,
    /// Methods of the built-in types.
    pub attributes: BTreeMap<String, Vec<String>>,
}

/// The problems that can be read: an interpreter that says one oddly must not hide the others.
fn readable<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Problem>, D::Error> {
    let all = Vec::<serde_json::Value>::deserialize(from)?;
    Ok(all.into_iter().filter_map(|one| serde_json::from_value(one).ok()).collect())
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Problem {
    pub kind: String,
    #[serde(default, rename = "type")]
    pub error: String,
    pub file: String,
    pub line: u32,
    pub column: u32,
    #[serde(default)]
    pub end_line: u32,
    #[serde(default)]
    pub end_column: u32,
    #[serde(default)]
    pub message: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub module: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Module {
    pub file: String,
    /// What it binds, imports included.
    pub names: Vec<String>,
    /// What it defines itself.
    pub own: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Class {
    pub attributes: Vec<String>,
    pub bases: Vec<String>,
    pub file: String,
    #[serde(rename = "from")]
    pub first: u32,
    #[serde(rename = "to")]
    pub last: u32,
}

#[derive(Debug, Deserialize)]
pub(super) struct Import {
    pub name: String,
    pub text: String,
    pub file: String,
}

impl Survey {
    /// Makes the paths, which are relative to `dir`, relative to the repo's root.
    pub fn place_below(&mut self, dir: &str) {
        if dir.is_empty() {
            return;
        }
        let files = self.problems.iter_mut().map(|one| &mut one.file);
        let files = files.chain(self.modules.values_mut().map(|one| &mut one.file));
        let files = files.chain(self.classes.values_mut().map(|one| &mut one.file));
        for file in files.chain(self.imports.iter_mut().map(|one| &mut one.file)) {
            *file = format!("{dir}/{file}");
        }
    }

    /// What does not parse.
    pub fn syntax(&self, tree: Tree<'_>) -> Vec<Finding> {
        let broken = self.problems.iter().filter(|problem| problem.kind == "syntax");
        broken.filter_map(|problem| Self::finding(problem, tree)).collect()
    }

    fn finding(problem: &Problem, tree: Tree<'_>) -> Option<Finding> {
        let file = RelPath::new(&problem.file).ok()?;
        let text = tree.read_text(&file)?;
        let start = offset_of(&text, problem.line, problem.column)?;
        let end = offset_of(&text, problem.end_line, problem.end_column).unwrap_or(start);
        Some(Finding {
            code: problem.error.clone(),
            message: problem.message.clone(),
            file: Some(file),
            span: (start, end.max(start)),
            line: problem.line,
            stage: Stage::Syntax,
            places: Vec::new(),
            suggested: Vec::new(),
            names: Vec::new(),
        })
    }

    /// The attributes of a class and of those of its bases that the repo has.
    pub fn attributes_of<'a>(&'a self, class: &str) -> Vec<&'a str> {
        let mut all = Vec::new();
        let mut open = vec![class.to_owned()];
        let mut seen = Vec::new();
        while let Some(name) = open.pop() {
            if seen.contains(&name) {
                continue;
            }
            if let Some(class) = self.classes.get(&name) {
                all.extend(class.attributes.iter().map(String::as_str));
                open.extend(class.bases.iter().cloned());
            }
            if let Some(attributes) = self.attributes.get(&name) {
                all.extend(attributes.iter().map(String::as_str));
            }
            seen.push(name);
        }
        all
    }

    /// The class around a line of a file.
    pub fn class_around(&self, file: &RelPath, line: u32) -> Option<&str> {
        let around = self
            .classes
            .iter()
            .filter(|(_, class)| class.file == file.as_str() && class.first <= line && line <= class.last);
        around.min_by_key(|(_, class)| class.last - class.first).map(|(name, _)| name.as_str())
    }
}
