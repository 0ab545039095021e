//! Where a new `use` belongs: in a list of the same path, else among its like, in order where they are in order.

use std::cmp::Ordering;
use std::sync::LazyLock;

use regex::Regex;

use super::super::edit::{Edit, difference};
use crate::patch::{RelPath, Tree};

static USE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m)^(pub(?:\([^)\n]*\))?[ \t]+)?use[ \t]+([^;]+);[^\n]*\n").expect("a constant pattern")
});
static ONE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^use ([A-Za-z_][\w:]*);$").expect("a constant pattern"));

/// Puts imports that were to stand before the first item where they belong; other edits stay as they are.
pub(super) fn arrange(tree: Tree<'_>, edits: Vec<Edit>) -> Vec<Edit> {
    let import = |edit: &Edit| {
        // Only imports of the file itself: those of a module in it are indented.
        let text = tree.read_text(&edit.path)?;
        let before = text.get(..edit.start).filter(|_| edit.start == edit.end)?;
        let own = before.is_empty() || before.ends_with('\n');
        own.then(|| Some(ONE.captures(edit.text.trim())?[1].to_owned())).flatten()
    };
    let mut arranged: Vec<Edit> = Vec::new();
    let mut done: Vec<RelPath> = Vec::new();
    for edit in &edits {
        let Some(text) = import(edit).and_then(|_| tree.read_text(&edit.path)) else {
            arranged.push(edit.clone());
            continue;
        };
        if done.contains(&edit.path) {
            continue;
        }
        done.push(edit.path.clone());
        let mut paths: Vec<String> =
            edits.iter().filter(|other| other.path == edit.path).filter_map(import).collect();
        paths.sort_by(|a, b| order(a, b));
        let mut new = text.clone();
        for path in &paths {
            match placed(&new, path) {
                Some(with) => new = with,
                None => new.insert_str(edit.start, &format!("use {path};\n{}", gap(&new[edit.start..]))),
            }
        }
        arranged.extend(difference(&edit.path, &text, &new));
    }
    arranged
}

/// An empty line between imports and the first item.
fn gap(after: &str) -> &'static str {
    if after.starts_with("use ") || after.starts_with('\n') { "" } else { "\n" }
}

struct Use<'a> {
    start: usize,
    end: usize,
    path: &'a str,
    public: bool,
}

/// `text` with an import of `path`; `None` where it imports nothing yet, or nothing like it.
fn placed(text: &str, path: &str) -> Option<String> {
    let uses: Vec<Use<'_>> = USE
        .captures_iter(text)
        .filter_map(|found| {
            let (whole, path) = (found.get(0)?, found.get(2)?);
            Some(Use {
                start: whole.start(),
                end: whole.end(),
                path: path.as_str().trim(),
                public: found.get(1).is_some(),
            })
        })
        .collect();
    if let Some(listed) = uses.iter().filter(|one| !one.public).find_map(|one| listed(text, one, path)) {
        return Some(listed);
    }
    if uses.iter().any(|one| one.path.contains('{'))
        && let Some(paired) = uses.iter().filter(|one| !one.public).find_map(|one| paired(text, one, path))
    {
        return Some(paired);
    }
    let mut groups: Vec<Vec<&Use<'_>>> = Vec::new();
    for one in &uses {
        match groups.last_mut() {
            Some(group) if group.last().is_some_and(|last| last.end == one.start) => group.push(one),
            _ => groups.push(vec![one]),
        }
    }
    let near = |one: &&&Use<'_>| match first(one.path) {
        segment if segment == first(path) => 2,
        _ if class(one.path) == class(path) => 1,
        _ => 0,
    };
    let likeness = |group: &[&Use<'_>]| group.iter().map(|one| near(&one)).max().unwrap_or(0);
    let best = groups.iter().map(|group| likeness(group)).max()?;
    let group = groups.iter().find(|group| likeness(group) == best)?;
    let sorted = group.windows(2).all(|pair| order(pair[0].path, pair[1].path).is_le());
    let mut new = text.to_owned();
    let line = format!("use {path};\n");
    if best == 0 && groups.len() > 1 {
        // Each kind of import has a group of its own here.
        let later = groups.iter().find(|group| class(group[0].path) > class(path));
        match later {
            Some(later) => new.insert_str(later[0].start, &format!("{line}\n")),
            None => new.insert_str(groups.last()?.last()?.end, &format!("\n{line}")),
        }
        return Some(new);
    }
    let at = if sorted {
        group.iter().find(|one| order(one.path, path).is_gt()).map(|one| one.start)
    } else if best == 2 {
        group.iter().rfind(|one| near(one) == 2).map(|one| one.end)
    } else {
        Some(group[0].start)
    };
    new.insert_str(at.unwrap_or(group.last()?.end), &line);
    Some(new)
}

/// `text` with the last part of `path` in a list of a line that imports others from the same place.
fn listed(text: &str, one: &Use<'_>, path: &str) -> Option<String> {
    let (place, name) = path.rsplit_once("::")?;
    let list = one.path.strip_prefix(place)?.strip_prefix("::{")?.strip_suffix('}')?;
    if list.contains(['{', '\n', '/']) || list.trim().is_empty() {
        return None;
    }
    let mut names: Vec<&str> = list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let sorted = names.windows(2).all(|pair| segment_order(pair[0], pair[1]).is_le());
    let at = names.iter().position(|other| sorted && segment_order(other, name).is_gt());
    names.insert(at.unwrap_or(names.len()), name);
    let old = &text[one.start..one.end];
    let new = old.replacen(&format!("{{{list}}}"), &format!("{{{}}}", names.join(", ")), 1);
    Some(format!("{}{new}{}", &text[..one.start], &text[one.end..]))
}

/// `text` with the last part of `path` beside the only one that a line imports from the same place: a file with lists has them there too.
fn paired(text: &str, one: &Use<'_>, path: &str) -> Option<String> {
    let (place, name) = path.rsplit_once("::")?;
    let other = one.path.strip_prefix(place)?.strip_prefix("::")?;
    if other.contains([':', '{', '*', ' ']) {
        return None;
    }
    let mut names = [other, name];
    names.sort_by(|a, b| segment_order(a, b));
    let old = &text[one.start..one.end];
    let new = old.replacen(one.path, &format!("{place}::{{{}}}", names.join(", ")), 1);
    Some(format!("{}{new}{}", &text[..one.start], &text[one.end..]))
}

fn first(path: &str) -> &str {
    path.split("::").next().unwrap_or("")
}

/// The standard library, other crates, the crate's own.
fn class(path: &str) -> u8 {
    match first(path) {
        "std" | "core" | "alloc" => 0,
        "crate" | "self" | "super" => 2,
        _ => 1,
    }
}

/// The order in which rustfmt puts imports.
fn order(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.split("::"), b.split("::"));
    loop {
        match (left.next(), right.next()) {
            (Some(a), Some(b)) => match segment_order(a, b) {
                Ordering::Equal => {}
                other => return other,
            },
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
        }
    }
}

/// `self`, `super`, `crate`, then names in small letters, of types, of constants, then `*` and lists.
fn segment_order(a: &str, b: &str) -> Ordering {
    let rank = |part: &str| match part.split(" as ").next().unwrap_or("") {
        "self" => 0,
        "super" => 1,
        "crate" => 2,
        "*" => 6,
        list if list.starts_with('{') => 7,
        name if name.starts_with(|c: char| c.is_lowercase() || c == '_') => 3,
        name if name.len() > 1 && !name.contains(char::is_lowercase) => 5,
        _ => 4,
    };
    rank(a).cmp(&rank(b)).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_stands_where_rustfmt_would_put_it() {
        for (text, path, wanted) in [
            (
                "use std::fmt;\nuse std::path::Path;\n\nuse crate::a;\n",
                "std::io::Write",
                "use std::fmt;\nuse std::io::Write;\nuse std::path::Path;\n\nuse crate::a;\n",
            ),
            (
                "use std::fmt;\n\nuse crate::b::{A, C};\n",
                "crate::b::B",
                "use std::fmt;\n\nuse crate::b::{A, B, C};\n",
            ),
            (
                "use z::A;\nuse anyhow::Result;\nuse anyhow::bail;\n",
                "anyhow::ensure",
                "use z::A;\nuse anyhow::Result;\nuse anyhow::bail;\nuse anyhow::ensure;\n",
            ),
            (
                "use anyhow::Result;\n\nuse crate::z;\n",
                "std::fmt",
                "use std::fmt;\n\nuse anyhow::Result;\n\nuse crate::z;\n",
            ),
            ("pub use a::B;\n\nuse std::fmt;\n", "std::fs", "pub use a::B;\n\nuse std::fmt;\nuse std::fs;\n"),
            ("use a::c;\nuse a::E;\nuse a::F_X;\n", "a::D", "use a::c;\nuse a::D;\nuse a::E;\nuse a::F_X;\n"),
            (
                "use alloc::{borrow::ToOwned, vec};\n\nuse crate::low;\n",
                "crate::fold",
                "use alloc::{borrow::ToOwned, vec};\n\nuse crate::{fold, low};\n",
            ),
        ] {
            assert_eq!(placed(text, path).as_deref(), Some(wanted), "{path}");
        }
        assert_eq!(placed("fn a() {}\n", "std::fs"), None);
    }

    #[test]
    fn several_imports_are_put_in_order_and_those_of_inner_modules_stay() {
        let path = RelPath::new("a.rs").unwrap();
        let text = "use std::fmt;\n\nfn a() {}\n\nmod b {\n    fn c() {}\n}\n";
        let mut patch = crate::patch::Patch::new();
        let after = crate::patch::FileState::text(text);
        patch.set(path.clone(), crate::patch::Change { before: None, after: Some(after) });
        let tree = Tree { root: std::path::Path::new("/"), patch: &patch };
        let inner = text.find("fn c").unwrap();
        let edits = vec![
            Edit::new(&path, 0, 0, "use std::path::Path;\n"),
            Edit::new(&path, inner, inner, "use std::io;\n    "),
            Edit::new(&path, 0, 0, "use std::env;\n"),
        ];
        let arranged = arrange(tree, edits);
        let after = super::super::super::edit::patch_of(tree, &arranged).unwrap();
        let after = after.get(&path).unwrap().after.as_ref().unwrap().as_text().unwrap().to_owned();
        let wanted = "use std::env;\nuse std::fmt;\nuse std::path::Path;\n\nfn a() {}\n\nmod b {\n    use std::io;\n    fn c() {}\n}\n";
        assert_eq!(after, wanted);
    }
}
