//! Declarations that lack something: modules to declare, items to make visible, derives to add.

use std::sync::LazyLock;

use regex::Regex;

use super::super::edit::{Candidate, Edit};
use super::super::finding::Finding;
use super::super::index::Index;
use super::super::nearest::nearest;
use super::names::{TICKED, Wanted};
use crate::patch::{RelPath, Tree};

/// Modules whose file is there and that nothing declares, and declarations of modules that have no file.
pub(super) fn modules(
    tree: Tree<'_>,
    finding: &Finding,
    wanted: &Wanted,
    index: &Index,
    all: &mut Vec<Candidate>,
) {
    if finding.code == "E0583" {
        let folder = module_folder(&wanted.file);
        let source = tree.read_text(&wanted.file).unwrap_or_default();
        let beside = index.paths().iter().filter_map(|path| {
            let rest = path.as_str().strip_prefix(folder.as_str())?;
            let name = rest.strip_suffix("/mod.rs").or_else(|| rest.strip_suffix(".rs"))?;
            let other = !name.contains('/') && !matches!(name, "lib" | "main" | "mod");
            (other && declaration(&source, name).is_some()).then_some((name, 0))
        });
        for (name, far) in nearest(&wanted.name, beside, 3) {
            all.push(Candidate {
                title: format!("the module's file is called `{name}`"),
                source: "nearest-name",
                rank: 80 + far,
                cause: finding.cause(),
                edits: vec![Edit::new(&wanted.file, wanted.span.0, wanted.span.1, name)],
            });
        }
        return;
    }
    if !matches!(finding.code.as_str(), "E0432" | "E0433" | "E0425" | "E0412" | "E0405") {
        return;
    }
    let name = &wanted.name;
    for path in index.paths() {
        let text = path.as_str();
        let Some(folder) = text
            .strip_suffix(&format!("{name}/mod.rs"))
            .or_else(|| text.strip_suffix(&format!("{name}.rs")))
            .filter(|folder| folder.is_empty() || folder.ends_with('/'))
        else {
            continue;
        };
        let own = folder.trim_end_matches('/');
        let mut parents =
            vec![format!("{folder}lib.rs"), format!("{folder}main.rs"), format!("{folder}mod.rs")];
        if !own.is_empty() {
            parents.push(format!("{own}.rs"));
        }
        // The file that asks for it, if it is one of them, is asked first.
        parents.sort_by_key(|parent| parent != wanted.file.as_str());
        for parent in parents {
            let Ok(parent) = RelPath::new(&parent) else { continue };
            let Some(source) = tree.read_text(&parent) else { continue };
            if let Some((at, line)) = declaration(&source, name) {
                all.push(Candidate {
                    title: format!("`{parent}` declares the module `{name}`, whose file is there"),
                    source: "rustc",
                    rank: 70,
                    cause: finding.cause(),
                    edits: vec![Edit::new(&parent, at, at, line)],
                });
            }
        }
    }
}

/// The folder (with its `/`, empty at the top) in which a file's child modules have their files.
fn module_folder(file: &RelPath) -> String {
    let folder = file.parent().map_or(String::new(), |folder| format!("{folder}/"));
    match file.file_name() {
        "lib.rs" | "main.rs" | "mod.rs" | "build.rs" => folder,
        name => format!("{folder}{}/", name.trim_end_matches(".rs")),
    }
}

/// Where a `mod name;` belongs in a file and how it is written there; `None` where it is declared already.
fn declaration(source: &str, name: &str) -> Option<(usize, String)> {
    static MODS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?m)^(pub(?:\([a-z]+\))?\s+)?mod\s+([A-Za-z_]\w*)\s*[;{].*\n?")
            .expect("a constant pattern")
    });
    let mods: Vec<_> = MODS.captures_iter(source).collect();
    if mods.iter().any(|found| &found[2] == name) {
        return None;
    }
    let plain: Vec<_> = mods.iter().filter(|found| found[0].trim_end().ends_with(';')).collect();
    let Some(last) = plain.last() else {
        // After the file's own documentation and attributes.
        let head: usize = source
            .split_inclusive('\n')
            .take_while(|line| line.starts_with("//!") || line.starts_with("#!["))
            .map(str::len)
            .sum();
        let gap = if head > 0 { "\n" } else { "" };
        return Some((head, format!("{gap}mod {name};\n")));
    };
    // Private where the file shows the module's items itself, or where a neighbour is private.
    let public = plain.iter().all(|found| found.get(1).is_some()) && !source.contains(&format!("{name}::"));
    let visibility =
        if public { plain.iter().find_map(|found| found.get(1)).map_or("", |v| v.as_str()) } else { "" };
    let line = format!("{visibility}mod {name};\n");
    let at = match plain.iter().find(|found| &found[2] > name) {
        Some(next) => next.get(0)?.start(),
        None => last.get(0)?.end(),
    };
    if at > 0 && !source[..at].ends_with('\n') {
        Some((at, format!("\n{}", line.trim_end())))
    } else {
        Some((at, line))
    }
}

/// Items that are there and not visible.
pub(super) fn visible(tree: Tree<'_>, finding: &Finding, index: &Index, all: &mut Vec<Candidate>) {
    let mut places: Vec<(RelPath, usize)> = Vec::new();
    match finding.code.as_str() {
        "E0603" | "E0624" => {
            let defined = finding.places.iter().filter(|place| place.label.contains("defined here"));
            places.extend(defined.map(|place| (place.file.clone(), place.span.0)));
        }
        "E0616" => {
            let Some(field) = TICKED.captures(&finding.message).map(|ticked| ticked[1].to_owned()) else {
                return;
            };
            let declared = index.declared().filter(|(_, declared)| declared.name == field && !declared.top);
            places.extend(declared.map(|(file, declared)| (file.clone(), declared.span.0)).take(3));
        }
        _ => return,
    }
    for (file, at) in places {
        let Some(text) = tree.read_text(&file) else { continue };
        let Some(before) = text.get(..at) else { continue };
        if before.trim_end().ends_with("pub") {
            continue;
        }
        let usual = if text.matches("pub(crate) ").count() > text.matches("pub ").count() {
            "pub(crate) "
        } else {
            "pub "
        };
        let what = TICKED.captures(&finding.message).map_or(String::new(), |ticked| ticked[1].to_owned());
        all.push(Candidate {
            title: format!("`{what}` becomes visible to its users (`{}`)", usual.trim()),
            source: "rustc",
            rank: 320,
            cause: finding.cause(),
            edits: vec![Edit::new(&file, at, at, usual)],
        });
    }
}

/// A derive that a type of the repo lacks, where the compiler does not suggest it (it does not across crates).
pub(super) fn derives(tree: Tree<'_>, finding: &Finding, index: &Index, all: &mut Vec<Candidate>) {
    let ticked: Vec<&str> = TICKED
        .captures_iter(&finding.message)
        .filter_map(|found| found.get(1))
        .map(|found| found.as_str())
        .collect();
    let last = |path: &str| path.rsplit("::").next().unwrap_or("").trim_start_matches(['&', ' ']).to_owned();
    let (kind, wanted) = match (finding.code.as_str(), ticked.as_slice()) {
        ("E0599", [member, kind, ..]) => {
            let wanted = match *member {
                "default" => "Default",
                "clone" => "Clone",
                "cmp" | "max" | "min" => "PartialEq, Eq, PartialOrd, Ord",
                "partial_cmp" => "PartialEq, PartialOrd",
                "hash" => "Hash",
                _ => return,
            };
            (last(kind), wanted.to_owned())
        }
        ("E0277", [bound]) if bound.contains(": ") => {
            let (kind, wanted) = bound.split_once(": ").unwrap_or(("", ""));
            (last(kind), last(wanted))
        }
        ("E0277", [kind, wanted]) => (last(kind), last(wanted)),
        ("E0369", [operator, kind, ..]) => {
            let wanted = if matches!(*operator, "==" | "!=") { "PartialEq" } else { "PartialEq, PartialOrd" };
            (last(kind), wanted.to_owned())
        }
        _ => return,
    };
    const DERIVED: &[&str] =
        &["Default", "Clone", "Copy", "Debug", "PartialEq", "Eq", "PartialOrd", "Ord", "Hash"];
    if !wanted.split(", ").all(|one| DERIVED.contains(&one)) {
        return;
    }
    static DERIVE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?m)^[ \t]*#\[derive\(([^)\n]*)\)\]\s*(?:#\[[^\n]*\]\s*)*(?:pub(?:\([a-z]+\))?\s+)?(?:struct|enum)\s+(\w+)")
            .expect("a constant pattern")
    });
    for (file, declared) in index.declared().filter(|(_, declared)| declared.name == kind).take(2) {
        let Some(text) = tree.read_text(file) else { continue };
        let Some(before) = text.get(..declared.span.0) else { continue };
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        if !before[line..].contains("struct") && !before[line..].contains("enum") {
            continue;
        }
        let listed = DERIVE.captures_iter(&text).find(|found| found[2] == kind);
        let (at, brings) = match listed.as_ref().and_then(|found| found.get(1)) {
            Some(list) => {
                let has: Vec<&str> = list.as_str().split(',').map(str::trim).collect();
                let new: Vec<&str> = wanted.split(", ").filter(|one| !has.contains(one)).collect();
                if new.is_empty() {
                    continue;
                }
                let comma = if list.as_str().trim().is_empty() { "" } else { ", " };
                (list.end(), format!("{comma}{}", new.join(", ")))
            }
            None => {
                let indent: String = before[line..].chars().take_while(|c| c.is_whitespace()).collect();
                (line, format!("{indent}#[derive({wanted})]\n"))
            }
        };
        all.push(Candidate {
            title: format!("`{kind}` derives `{wanted}`"),
            source: "rustc",
            rank: 140,
            cause: finding.cause(),
            edits: vec![Edit::new(file, at, at, brings)],
        });
    }
}
