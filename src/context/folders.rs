//! What lies near, where an import leads nowhere.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::places::Place;
use super::{Subject, excerpt, fence::fenced, plain};
use crate::diagnostic::{Category, Diagnostic};
use crate::patch::{RelPath, Tree};
use crate::redact::Redactor;
use crate::usage::estimate_tokens;

/// The most folders, and the most names of one.
const MOST_FOLDERS: usize = 4;
const MOST_NAMES: usize = 80;
/// What says which packages there are.
const MANIFESTS: &[&str] =
    &["package.json", "Cargo.toml", "pyproject.toml", "requirements.txt", "tsconfig.json"];

/// Listings of the folders where unresolved imports point, and the nearest manifests; empty where all imports resolve.
pub(super) fn render(subject: &Subject<'_>, places: &[Place], room: u64, redactor: &Redactor) -> String {
    let diagnostics = subject.red.iter().flat_map(|outcome| &outcome.diagnostics);
    let unresolved: Vec<&Diagnostic> = diagnostics
        .filter(|d| matches!(d.category, Category::Import | Category::Dependency | Category::Configuration))
        .collect();
    if unresolved.is_empty() {
        return String::new();
    }
    let mut text = String::new();
    let mut add = |part: String| {
        if estimate_tokens(&text) + estimate_tokens(&part) <= room {
            text.push_str(&part);
        }
    };
    for folder in folders(&subject.tree, &unresolved) {
        if let Some(names) = list(&subject.tree, folder.as_ref()) {
            let name = folder.as_ref().map_or("the top folder".to_owned(), |folder| format!("`{folder}/`"));
            add(format!("In {name}:\n{}\n", fenced("text", &redactor.redact(&names))));
        }
    }
    let mut starts: Vec<Option<RelPath>> = places.iter().take(3).map(|place| place.path.parent()).collect();
    starts.push(None);
    let mut shown = BTreeSet::new();
    for start in starts {
        for name in MANIFESTS {
            let Some(path) = nearest(&subject.tree, start.as_ref(), name) else { continue };
            if shown.insert(path.clone())
                && let Some(file) = subject.tree.read_text(&path)
            {
                let file = redactor.redact(&plain(&file)).into_owned();
                add(excerpt::whole(&path, &file));
            }
        }
    }
    text
}

/// The folders where unresolved imports point: that of a relative path, else that of the importing file and the sources' top.
fn folders(tree: &Tree<'_>, unresolved: &[&Diagnostic]) -> Vec<Option<RelPath>> {
    let mut folders: Vec<Option<RelPath>> = Vec::new();
    let mut add = |folder: Option<RelPath>| {
        if folders.len() < MOST_FOLDERS && !folders.contains(&folder) {
            folders.push(folder);
        }
    };
    for diagnostic in unresolved {
        let file = diagnostic.file.as_deref().and_then(|file| RelPath::new(file).ok());
        let folder = file.as_ref().and_then(RelPath::parent);
        let specifiers = QUOTED.captures_iter(&diagnostic.message).filter_map(|found| found.get(1));
        for specifier in
            specifiers.map(|specifier| specifier.as_str()).filter(|text| text.starts_with('.')).take(3)
        {
            let target = join(folder.as_ref(), specifier).and_then(|target| target.parent());
            add(target);
        }
        add(folder);
    }
    for top in [Some("src"), None] {
        let top = top.and_then(|top| RelPath::new(top).ok());
        if top.as_ref().is_none_or(|top| list(tree, Some(top)).is_some()) {
            add(top);
        }
    }
    folders
}

static QUOTED: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "a constant pattern; the tests use it")]
    Regex::new(r#"['"`]([^'"`\s]+)['"`]"#).expect("a constant pattern compiles")
});

/// The names in a folder, one a line, folders with `/`; `None` where it is no folder of the repo.
fn list(tree: &Tree<'_>, folder: Option<&RelPath>) -> Option<String> {
    let mut names = BTreeSet::new();
    let mut at = tree.root.to_path_buf();
    for part in folder.iter().flat_map(|folder| folder.as_str().split('/')) {
        at.push(part);
        // A link may lead out of the repo.
        if std::fs::symlink_metadata(&at).is_ok_and(|meta| meta.is_symlink()) {
            return None;
        }
    }
    for entry in std::fs::read_dir(&at).into_iter().flatten().flatten().take(5000) {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.')
            || matches!(name.as_str(), "node_modules" | "target" | "__pycache__")
            || name.contains('\n')
        {
            continue;
        }
        let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        names.insert(if folder { format!("{name}/") } else { name });
    }
    for (path, change) in tree.patch.iter() {
        let inside = match folder {
            Some(folder) => {
                path.as_str().strip_prefix(folder.as_str()).and_then(|rest| rest.strip_prefix('/'))
            }
            None => Some(path.as_str()),
        };
        match inside.map(|inside| inside.split_once('/')) {
            Some(Some((below, _))) if change.after.is_some() => drop(names.insert(format!("{below}/"))),
            Some(None) if change.after.is_some() => drop(names.insert(path.file_name().to_owned())),
            Some(None) => drop(names.remove(path.file_name())),
            _ => {}
        }
    }
    if names.is_empty() {
        return None;
    }
    let more = names.len().saturating_sub(MOST_NAMES);
    let mut list: Vec<String> = names.into_iter().take(MOST_NAMES).collect();
    if more > 0 {
        list.push(format!("… and {more} more"));
    }
    Some(list.join("\n"))
}

/// The file of that name in `start` or the nearest folder above it.
pub(super) fn nearest(tree: &Tree<'_>, start: Option<&RelPath>, name: &str) -> Option<RelPath> {
    let mut folder = start.cloned();
    loop {
        let path = join(folder.as_ref(), name)?;
        if tree.has(&path) {
            return Some(path);
        }
        folder = folder?.parent();
    }
}

/// `text`, a relative path that may go up, as seen from `folder`; `None` where it leaves the repo.
pub(super) fn join(folder: Option<&RelPath>, text: &str) -> Option<RelPath> {
    let mut parts: Vec<&str> = folder.map_or(Vec::new(), |folder| folder.as_str().split('/').collect());
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    RelPath::new(&parts.join("/")).ok()
}
