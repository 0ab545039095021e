//! What `cargo check --message-format=json` prints, as findings with the compiler's own suggestions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rustfix::diagnostics::Applicability;
use serde::Deserialize;

use super::super::edit::{Candidate, Edit};
use super::super::finding::{Finding, Place, Stage};
use super::super::place::inside;
use crate::patch::{RelPath, Tree};

#[derive(Deserialize)]
struct Line {
    reason: String,
    message: Option<Message>,
}

#[derive(Deserialize)]
struct Message {
    message: String,
    code: Option<Code>,
    level: String,
    #[serde(default)]
    spans: Vec<Span>,
    #[serde(default)]
    children: Vec<Message>,
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

#[derive(Deserialize)]
struct Span {
    file_name: String,
    byte_start: usize,
    byte_end: usize,
    line_start: u32,
    #[serde(default)]
    is_primary: bool,
    label: Option<String>,
    suggested_replacement: Option<String>,
    suggestion_applicability: Option<Applicability>,
    expansion: Option<serde::de::IgnoredAny>,
}

/// Most findings that are looked at.
const MOST_FINDINGS: usize = 300;

/// Reads the errors out of cargo's output. Warnings are left out: they keep nothing from being green. Paths are relative to the
/// workspace's root, which is `dir` or a folder above it.
pub(in crate::fixers::codefix) fn read(output: &str, root: &Path, dir: &str, tree: Tree<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    let mut seen = BTreeSet::new();
    let folders = Folders::of(root, dir, tree);
    for line in output.lines().filter(|line| line.starts_with('{')) {
        let Ok(Line { reason, message: Some(message) }) = serde_json::from_str::<Line>(line) else {
            continue;
        };
        if reason != "compiler-message" || !message.level.starts_with("error") || message.spans.is_empty() {
            continue;
        }
        if let Some(finding) = finding(&message, &folders)
            // The library is told once as itself and once as its tests.
            && seen.insert(finding.cause())
        {
            findings.push(finding);
        }
        if findings.len() == MOST_FINDINGS {
            break;
        }
    }
    findings
}

/// Finds out which folder the compiler's relative paths start from.
struct Folders<'a> {
    root: &'a Path,
    dirs: Vec<String>,
    tree: Tree<'a>,
}

impl<'a> Folders<'a> {
    fn of(root: &'a Path, dir: &str, tree: Tree<'a>) -> Self {
        let mut dirs = vec![dir.to_owned()];
        let mut at = dir;
        while let Some((parent, _)) = at.rsplit_once('/') {
            dirs.push(parent.to_owned());
            at = parent;
        }
        if !dir.is_empty() {
            dirs.push(String::new());
        }
        Self { root, dirs, tree }
    }

    /// The file of a span, if it lies in the repo and is no build product.
    fn file(&self, name: &str) -> Option<RelPath> {
        let path = self
            .dirs
            .iter()
            .filter_map(|dir| inside(self.root, dir, name))
            .find(|path| self.tree.has(path))?;
        let foreign = path.as_str().split('/').any(|part| part == "target" || part == ".cargo");
        (!foreign).then_some(path)
    }
}

fn finding(message: &Message, folders: &Folders<'_>) -> Option<Finding> {
    let code = message.code.as_ref().map_or(String::new(), |code| code.code.clone());
    let primary = message.spans.iter().find(|span| span.is_primary).or(message.spans.first())?;
    let file = folders.file(&primary.file_name);
    let mut found = Finding {
        stage: stage(&code, &message.message),
        code,
        message: message.message.clone(),
        file,
        span: (primary.byte_start, primary.byte_end),
        line: primary.line_start,
        places: Vec::new(),
        suggested: Vec::new(),
        names: Vec::new(),
    };
    places(message, &message.message, folders, &mut found.places);
    let cause = found.cause();
    for (order, child) in message.children.iter().enumerate() {
        places(child, &child.message, folders, &mut found.places);
        suggestions(child, order as u32, &cause, folders, &mut found.suggested);
    }
    Some(found)
}

/// When rustc tells of an error, which is where it stops: parsing, resolving, types, borrows.
fn stage(code: &str, message: &str) -> Stage {
    match code {
        "" if message.starts_with("cannot find macro") || message.starts_with("cannot find attribute") => {
            Stage::Names
        }
        "" if message.starts_with("cannot find derive") => Stage::Names,
        "" if message.starts_with("lifetime may not live") || message.starts_with("captured variable") => {
            Stage::Borrows
        }
        "" => Stage::Syntax,
        "E0583" | "E0584" | "E0585" | "E0586" | "E0765" | "E0766" | "E0758" => Stage::Syntax,
        "E0425" | "E0412" | "E0432" | "E0433" | "E0405" | "E0404" | "E0407" | "E0437" | "E0438" | "E0408"
        | "E0411" | "E0415" | "E0416" | "E0422" | "E0423" | "E0424" | "E0426" | "E0428" | "E0429"
        | "E0430" | "E0431" | "E0434" | "E0435" | "E0531" | "E0532" | "E0574" | "E0573" | "E0603"
        | "E0252" | "E0254" | "E0255" | "E0364" | "E0365" | "E0463" | "E0401" | "E0403" | "E0261"
        | "E0106" => Stage::Names,
        "E0381" | "E0382" | "E0383" | "E0384" | "E0499" | "E0500" | "E0501" | "E0502" | "E0503" | "E0505"
        | "E0506" | "E0507" | "E0509" | "E0515" | "E0594" | "E0596" | "E0597" | "E0713" | "E0716"
        | "E0373" | "E0521" | "E0310" | "E0621" | "E0133" | "E0004" | "E0005" => Stage::Borrows,
        code if code.starts_with('E') && code.len() == 5 => Stage::Types,
        _ => Stage::Last,
    }
}

fn places(message: &Message, text: &str, folders: &Folders<'_>, places: &mut Vec<Place>) {
    for span in message.spans.iter().filter(|span| span.suggested_replacement.is_none()) {
        if let Some(file) = folders.file(&span.file_name) {
            let label = span.label.clone().unwrap_or_else(|| text.to_owned());
            places.push(Place { file, span: (span.byte_start, span.byte_end), label });
        }
    }
}

/// The suggestions of one help message. Spans that repeat a place are alternatives, others are parts of one suggestion; a suggestion
/// with a part in a macro or outside the repo is left out whole.
fn suggestions(
    child: &Message,
    order: u32,
    cause: &str,
    folders: &Folders<'_>,
    candidates: &mut Vec<Candidate>,
) {
    let parts: Vec<&Span> = child.spans.iter().filter(|span| span.suggested_replacement.is_some()).collect();
    let Some(first) = parts.first() else { return };
    let same = |a: &Span, b: &Span| {
        (a.byte_start, a.byte_end, &a.file_name) == (b.byte_start, b.byte_end, &b.file_name)
    };
    let size = parts.iter().skip(1).position(|part| same(part, first)).map_or(parts.len(), |at| at + 1);
    let even = parts.len().is_multiple_of(size)
        && parts.chunks(size).all(|chunk| chunk.iter().zip(&parts).all(|(a, b)| same(a, b)));
    let groups: Vec<&[&Span]> =
        if even { parts.chunks(size).collect() } else { alternatives_by_place(&parts) };
    let many = groups.len() as u32;
    for (number, group) in groups.into_iter().enumerate() {
        let Some(applicability) =
            group.iter().filter_map(|span| span.suggestion_applicability.as_ref()).next()
        else {
            continue;
        };
        let tier = match applicability {
            Applicability::MachineApplicable => 0,
            Applicability::MaybeIncorrect => 100,
            Applicability::Unspecified => 200,
            Applicability::HasPlaceholders => continue,
        };
        let edits: Option<Vec<Edit>> = group
            .iter()
            .map(|span| {
                if span.expansion.is_some() {
                    return None;
                }
                let file = folders.file(&span.file_name)?;
                Some(Edit::new(
                    &file,
                    span.byte_start,
                    span.byte_end,
                    plain(span.suggested_replacement.as_ref()?),
                ))
            })
            .collect();
        let Some(edits) = edits else { continue };
        // A conversion that panics is no repair while anything else helps.
        let panics = edits.iter().any(|edit| edit.text.contains("unwrap()") || edit.text.contains("expect("));
        // A keyword that stands where a name is wanted is seldom meant as a name.
        let raw = edits.iter().any(|edit| edit.text.trim() == "r#");
        let rank = tier
            + order.min(9) * 2
            + (number as u32).min(20)
            + u32::from(many > 1) * 20
            + import_distance(&edits, folders.tree)
            + if panics || raw { 600 } else { 0 };
        let brings = edits.iter().map(|edit| edit.text.trim()).collect::<Vec<_>>().join(" … ");
        let brings: String = brings.chars().take(80).collect();
        let title =
            if brings.is_empty() { child.message.clone() } else { format!("{}: `{brings}`", child.message) };
        candidates.push(Candidate { title, source: "rustc", rank, cause: cause.to_owned(), edits });
    }
}

/// A crate that the root names by `extern crate` is known everywhere: nobody imports it through the root.
fn plain(text: &str) -> String {
    let through =
        ["alloc", "core", "std"].iter().find(|name| text.starts_with(&format!("use crate::{name}::")));
    if through.is_some() { text.replacen("crate::", "", 1) } else { text.to_owned() }
}

/// Spans where one place repeats but the others do not fit a pattern: each is an alternative by itself.
fn alternatives_by_place<'a, 'b>(parts: &'a [&'b Span]) -> Vec<&'a [&'b Span]> {
    let mut by_place: BTreeMap<(usize, usize), u32> = BTreeMap::new();
    for part in parts {
        *by_place.entry((part.byte_start, part.byte_end)).or_default() += 1;
    }
    if by_place.values().any(|count| *count > 1) { parts.chunks(1).collect() } else { vec![parts] }
}

/// Among imports to choose from: the repo's own first, then the well-known ones, then the deep and odd ones.
fn import_distance(edits: &[Edit], tree: Tree<'_>) -> u32 {
    let import = edits.iter().find_map(|edit| Some((edit, edit.text.trim().strip_prefix("use ")?)));
    let Some((edit, path)) = import else { return 0 };
    // A file that names `core` and never `std` is to do without `std`.
    let text = tree.read_text(&edit.path).unwrap_or_default();
    let bare = text.contains("core::") && !text.contains("use std::");
    if bare && path.starts_with("core::") {
        return 1;
    }
    const USUAL: &[&str] = &[
        "std::collections::HashMap;",
        "std::collections::HashSet;",
        "std::collections::BTreeMap;",
        "std::fmt;",
        "std::fmt::Display;",
        "std::fmt::Debug;",
        "std::io::Write;",
        "std::io::Read;",
        "std::io::BufRead;",
        "std::path::Path;",
        "std::path::PathBuf;",
        "std::sync::Arc;",
        "std::sync::Mutex;",
        "std::rc::Rc;",
        "std::time::Duration;",
        "std::time::Instant;",
        "std::str::FromStr;",
        "std::borrow::Cow;",
        "std::env;",
        "std::fs;",
        "std::io;",
        "std::ops::Range;",
        "std::cell::RefCell;",
        "std::fs::File;",
        "std::cmp::Ordering;",
    ];
    if path.starts_with("crate::") || path.starts_with("super::") {
        0
    } else if USUAL.contains(&path.trim_end()) {
        1
    } else if path.starts_with("std::") {
        10
    } else if path.starts_with("core::") || path.starts_with("alloc::") {
        30
    } else {
        20
    }
}
