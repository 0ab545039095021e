//! A crate that is used and not declared, where the workspace or the lock file already has it.

use std::sync::LazyLock;

use regex::Regex;

use super::super::edit::{Candidate, Edit};
use super::super::finding::Finding;
use super::super::manifest::{lock_of, locked};
use crate::patch::{RelPath, Tree};

static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?:unlinked crate|can't find crate for|could not find|cannot find module or crate) `([A-Za-z_]\w*)`")
        .expect("a constant pattern")
});

/// Adds the declaration of the crate that a finding misses.
pub(super) fn candidates(tree: Tree<'_>, finding: &Finding, all: &mut Vec<Candidate>) {
    if !matches!(finding.code.as_str(), "E0432" | "E0433" | "E0463") {
        return;
    }
    let labels = finding.places.iter().map(|place| place.label.as_str());
    let found = std::iter::once(finding.message.as_str()).chain(labels).find_map(|text| NAMED.captures(text));
    let (Some(found), Some(file)) = (found, &finding.file) else { return };
    let Some((manifest, text)) = manifest_of(tree, file) else { return };
    let is = |name: &str| name.replace('-', "_") == found[1];
    let mut above: Vec<String> = vec![text.clone()];
    let mut folder = manifest.parent();
    while let Some(dir) = folder {
        folder = dir.parent();
        let path = folder.as_ref().map_or("Cargo.toml".to_owned(), |up| format!("{up}/Cargo.toml"));
        above.extend(RelPath::new(&path).ok().and_then(|path| tree.read_text(&path)));
    }
    let shared = above.iter().find_map(|text| {
        let table: toml::Table = text.parse().ok()?;
        let shared = table.get("workspace")?.get("dependencies")?.as_table()?;
        shared.keys().find(|name| is(name)).cloned()
    });
    let line = match shared {
        Some(name) => format!("{name}.workspace = true"),
        None => {
            let lock = lock_of(tree, &manifest).unwrap_or_default();
            let mut versions: Vec<(String, String)> =
                locked(&lock).into_iter().filter(|(name, _)| is(name)).collect();
            // Of several the newest, which the lock file lists last.
            let Some((name, version)) = versions.pop() else { return };
            let version = version.split('+').next().unwrap_or_default();
            format!("{name} = \"{version}\"")
        }
    };
    let only_tests = ["tests/", "benches/", "examples/"].iter().any(|folder| {
        let base = manifest.parent().map_or(String::new(), |dir| format!("{dir}/"));
        file.as_str().strip_prefix(&base).is_some_and(|path| path.starts_with(folder))
    });
    let table = if only_tests { "dev-dependencies" } else { "dependencies" };
    let Some((at, line)) = declared(&text, table, &line) else { return };
    all.push(Candidate {
        title: format!("`{manifest}` declares `{}`, which is locked already", &found[1]),
        source: "rustc",
        rank: 75,
        cause: finding.cause(),
        edits: vec![Edit::new(&manifest, at, at, line)],
    });
}

/// The manifest of the package that a source belongs to.
fn manifest_of(tree: Tree<'_>, file: &RelPath) -> Option<(RelPath, String)> {
    let mut folder = file.parent();
    loop {
        let path = folder.as_ref().map_or("Cargo.toml".to_owned(), |dir| format!("{dir}/Cargo.toml"));
        let path = RelPath::new(&path).ok()?;
        if let Some(text) = tree.read_text(&path) {
            return Some((path, text));
        }
        folder = folder?.parent();
    }
}

/// Where `line` belongs in a table of a manifest, in order where the table is; `None` where its crate is declared.
fn declared(text: &str, table: &str, line: &str) -> Option<(usize, String)> {
    let name = |line: &str| line.split(['=', '.', ' ']).next().unwrap_or("").trim().to_owned();
    let Some(head) = text.find(&format!("[{table}]")).filter(|at| *at == 0 || text[..*at].ends_with('\n'))
    else {
        return Some((text.len(), format!("\n[{table}]\n{line}\n")));
    };
    let mut offset = head;
    let mut last = head;
    let mut names: Vec<(usize, String)> = Vec::new();
    for (number, one) in text[head..].split_inclusive('\n').enumerate() {
        if number > 0 && one.starts_with('[') {
            break;
        }
        if number > 0 && one.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            names.push((offset, name(one)));
        }
        offset += one.len();
        if !one.trim().is_empty() {
            last = offset;
        }
    }
    if names.iter().any(|(_, other)| *other == name(line)) {
        return None;
    }
    let sorted = names.windows(2).all(|pair| pair[0].1 <= pair[1].1);
    let next = names.iter().find(|(_, other)| sorted && *other > name(line)).map(|(at, _)| *at);
    let gap = if text[..next.unwrap_or(last)].ends_with('\n') { "" } else { "\n" };
    Some((next.unwrap_or(last), format!("{gap}{line}\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stands_in_its_table() {
        let with = |text: &str, table: &str, line: &str| {
            let (at, line) = declared(text, table, line)?;
            Some(format!("{}{line}{}", &text[..at], &text[at..]))
        };
        let text = "[package]\nname = \"a\"\n\n[dependencies]\na = \"1\"\nc = \"1\"\n\n[features]\n";
        assert_eq!(with(text, "dependencies", "b = \"2\"").unwrap(), text.replace("c =", "b = \"2\"\nc ="));
        assert_eq!(
            with(text, "dependencies", "d = \"2\"").unwrap(),
            text.replace("\n\n[f", "\nd = \"2\"\n\n[f")
        );
        assert_eq!(with(text, "dependencies", "c.workspace = true"), None);
        assert!(
            with(text, "dev-dependencies", "b = \"2\"")
                .unwrap()
                .ends_with("\n[dev-dependencies]\nb = \"2\"\n")
        );
    }
}
