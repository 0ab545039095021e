//! Whose fault it is: which frames are files of this codebase, and whether what happened could be repaired in them.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::Class;
use crate::trace::{Frame, Trace};

/// Folders and marks of code that is not the repo's own, wherever a file of the repo has the same name.
const FOREIGN: &[&str] = &[
    "site-packages",
    "dist-packages",
    "node_modules",
    ".cargo",
    "rustc",
    ".venv",
    "venv",
    ".tox",
    "gems",
    "vendor",
];
/// Beginnings of what a language brings itself.
const BUILT_IN: &[&str] =
    &["node:", "<", "internal/", "/usr/lib/", "/usr/local/lib/", "/usr/local/go/", "/rustc/"];

/// The files that a repo has.
#[derive(Debug, Clone)]
pub struct Tracked<'a> {
    root: &'a str,
    /// By file name: paths relative to the root.
    by_name: HashMap<&'a str, Vec<&'a str>>,
    /// Whether the files are known at all.
    known: bool,
}

impl<'a> Tracked<'a> {
    /// The files of the repo at `root`, relative to it with `/`.
    pub fn new(root: &'a str, files: impl IntoIterator<Item = &'a str>) -> Self {
        let mut by_name: HashMap<&str, Vec<&str>> = HashMap::new();
        for file in files {
            by_name.entry(name_of(file)).or_default().push(file);
        }
        Self { root: root.trim_end_matches('/'), by_name, known: true }
    }

    /// The repo at `root`, whose files are on another machine: what its traces name relative to it, or below it, counts as its own.
    pub fn unknown(root: &'a str) -> Self {
        Self { root: root.trim_end_matches('/'), by_name: HashMap::new(), known: false }
    }

    /// The file of the repo that a frame means, relative to its root. The program may have run in another folder, or another container: then
    /// the repo's longest path that the frame's ends with counts, or its only one that ends with the frame's.
    pub fn find(&self, frame: &Frame) -> Option<String> {
        let printed = frame.file.strip_prefix("file://").unwrap_or(&frame.file);
        let printed = printed.strip_prefix("./").unwrap_or(printed);
        if printed.is_empty() || frame.in_app == Some(false) {
            return None;
        }
        let below = printed.strip_prefix(self.root).and_then(|rest| rest.strip_prefix('/'));
        let below = below.filter(|_| !self.root.is_empty());
        // A program of the system's may lie in the repo's own folder, too: then that is where it is looked for.
        let plain = below.unwrap_or(printed);
        if is_foreign(plain) {
            return None;
        }
        if !self.known {
            return (!plain.starts_with('/')).then(|| plain.to_owned());
        }
        let named = self.by_name.get(name_of(plain))?;
        if let Some(exact) = named.iter().find(|file| **file == plain) {
            return Some((*exact).to_owned());
        }
        let longest = named.iter().filter(|file| ends_with(plain, file)).max_by_key(|file| file.len());
        if let Some(file) = longest {
            return Some((*file).to_owned());
        }
        let mut longer = named.iter().filter(|file| ends_with(file, plain));
        match (longer.next(), longer.next()) {
            (Some(only), None) => Some((*only).to_owned()),
            _ => None,
        }
    }
}

/// Whether a path is one of a package's, of the language's own, or of nothing that is a file.
fn is_foreign(path: &str) -> bool {
    BUILT_IN.iter().any(|mark| path.starts_with(mark))
        || path.split('/').any(|part| FOREIGN.contains(&part) || part.starts_with("python3."))
        || path.contains("/go/pkg/mod/")
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether `path` ends with the whole parts of `end`.
fn ends_with(path: &str, end: &str) -> bool {
    path.strip_suffix(end).is_some_and(|rest| rest.ends_with('/'))
}

/// Whose fault it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blame {
    /// Whether an edit of this codebase may repair it.
    pub own: bool,
    /// Why, for people.
    pub why: String,
    /// Where to look first: the innermost place in this codebase, `file:line`.
    pub place: Option<String>,
    /// The files of this codebase that the trace goes through, the innermost first, each once.
    pub files: Vec<String>,
}

/// Files that are named.
const MOST_FILES: usize = 20;

/// Says whose fault it is. What began it all counts most: the innermost own frame of the first cause that has one.
pub fn blame(trace: Option<&Trace>, class: &Class, tracked: &Tracked<'_>) -> Blame {
    let chain: Vec<&Trace> = trace.into_iter().flat_map(Trace::chain).collect();
    let frames = chain.iter().rev().flat_map(|trace| &trace.frames);
    let own: Vec<(String, u32)> =
        frames.filter_map(|frame| Some((tracked.find(frame)?, frame.line))).collect();
    let place = own.first().map(|(file, line)| match line {
        0 => file.clone(),
        line => format!("{file}:{line}"),
    });
    let mut files: Vec<String> = Vec::new();
    for (file, _) in own {
        if files.len() < MOST_FILES && !files.contains(&file) {
            files.push(file);
        }
    }
    let told = |own, why: String| Blame { own, why, place: place.clone(), files: files.clone() };
    if let Some(why) = &class.outside {
        return told(false, why.clone());
    }
    match (&place, chain.iter().any(|trace| !trace.frames.is_empty())) {
        (Some(place), _) => told(true, format!("the stack goes through {place}")),
        (None, true) => told(false, "no call of the stack is a file of this repo".to_owned()),
        (None, false) => told(false, "there is no stack that says where it happened".to_owned()),
    }
}
