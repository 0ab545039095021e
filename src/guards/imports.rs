//! Relative imports that the patch adds and that lead to no file.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::delta::{Delta, line_at};
use super::paths::Ignored;
use super::syntax::{Lang, masked};
use super::{Findings, Proposed, before};
use crate::patch::{RelPath, Tree};

static SCRIPT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*|\bexport\s*\*\s*from\s*)["'](\.\.?(?:/[^"'\n]{0,300})?)["']"#)
        .expect("constant pattern")
});
static PYTHON: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m)^[ \t]*from[ \t]+(\.+)([\w.]*)[ \t]+import[ \t]+(\([^)]{0,4000}\)|[^\n#]+)")
        .expect("constant pattern")
});

pub(super) fn check(proposed: &Proposed<'_>, delta: &Delta<'_>, found: &mut Findings) {
    let (Some(lang), Some(after)) = (Lang::of(delta.path), delta.after) else { return };
    // Imports of a file that moved lead elsewhere now.
    let old = if delta.from.is_none() { before(delta) } else { "" };
    // The tree with the proposal on top.
    let all = proposed.tree.patch.then(proposed.patch);
    let tree = Tree { root: proposed.tree.root, patch: &all };
    if lang.is_script() {
        scripts(&tree, delta, lang, old, after, found);
    } else if lang == Lang::Python {
        python(&tree, delta, old, after, found);
    }
}

fn scripts(tree: &Tree<'_>, delta: &Delta<'_>, lang: Lang, old: &str, after: &str, found: &mut Findings) {
    let known: BTreeSet<&str> =
        SCRIPT.captures_iter(old).filter_map(|found| found.get(1)).map(|m| m.as_str()).collect();
    let code = masked(Some(lang), after).code;
    for captures in SCRIPT.captures_iter(after) {
        let (Some(whole), Some(spec)) = (captures.get(0), captures.get(1)) else { continue };
        let spec_text = spec.as_str().split(['?', '#']).next().unwrap_or_default();
        // A sentence in a comment or string is no import.
        let real = code.get(whole.start()..whole.start() + 4).is_some_and(|start| !start.trim().is_empty());
        if !real || known.contains(spec.as_str()) {
            continue;
        }
        let Some(target) = joined(delta.path.parent().as_ref(), spec_text) else {
            let reason = format!("the import {spec_text:?} leads out of the repo");
            found.refuse("imports", delta.path, Some(line_at(after, spec.start())), reason);
            continue;
        };
        if target.is_empty() || script_file(tree, &target) {
            continue;
        }
        let made =
            RelPath::new(&target).is_ok_and(|path| Ignored::new(tree.root, [&path].into_iter()).has(&path));
        if made {
            continue;
        }
        let near = nearest(tree, &target).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        let reason = format!("the import {spec_text:?} leads to no file{near}");
        found.refuse("imports", delta.path, Some(line_at(after, spec.start())), reason);
    }
}

/// `spec` seen from `folder`, `None` where it leaves the repo.
fn joined(folder: Option<&RelPath>, spec: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.map(|folder| folder.as_str().split('/').collect()).unwrap_or_default();
    for part in spec.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn script_file(tree: &Tree<'_>, target: &str) -> bool {
    let has = |path: String| RelPath::new(&path).is_ok_and(|path| tree.has(&path));
    const ENDS: &[&str] = &[
        "",
        ".ts",
        ".tsx",
        ".d.ts",
        ".js",
        ".jsx",
        ".mjs",
        ".cjs",
        ".mts",
        ".cts",
        ".d.mts",
        ".d.cts",
        ".json",
        ".vue",
        ".svelte",
        ".node",
        ".css",
        ".scss",
        ".native.ts",
        ".native.tsx",
        ".ios.ts",
        ".web.ts",
    ];
    if ENDS.iter().any(|end| has(format!("{target}{end}"))) {
        return true;
    }
    if ["ts", "tsx", "d.ts", "js", "jsx", "mjs", "cjs", "mts", "cts", "json", "vue"]
        .iter()
        .any(|end| has(format!("{target}/index.{end}")))
    {
        return true;
    }
    // A folder with its own manifest says where its entry is.
    if has(format!("{target}/package.json")) {
        return true;
    }
    // TypeScript names the file that it will become.
    for (made, sources) in [
        (".js", &[".ts", ".tsx", ".d.ts"][..]),
        (".jsx", &[".tsx"]),
        (".mjs", &[".mts"]),
        (".cjs", &[".cts"]),
    ] {
        if let Some(stem) = target.strip_suffix(made)
            && sources.iter().any(|end| has(format!("{stem}{end}")))
        {
            return true;
        }
    }
    false
}

fn python(tree: &Tree<'_>, delta: &Delta<'_>, old: &str, after: &str, found: &mut Findings) {
    let key = |captures: &regex::Captures<'_>| format!("{}{}", &captures[1], &captures[2]);
    let known: BTreeSet<String> = PYTHON.captures_iter(old).map(|captures| key(&captures)).collect();
    let code = masked(Some(Lang::Python), after).code;
    for captures in PYTHON.captures_iter(after) {
        let Some(whole) = captures.get(0) else { continue };
        let line = line_at(after, whole.start() + whole.as_str().len() - whole.as_str().trim_start().len());
        let name = key(&captures);
        let real = code.get(whole.range()).is_some_and(|text| text.contains("import"));
        if !real || (known.contains(&name) && !captures[2].is_empty()) {
            continue;
        }
        let mut folder = delta.path.parent();
        let mut outside = false;
        for _ in 1..captures[1].len() {
            match folder {
                Some(path) => folder = path.parent(),
                None => outside = true,
            }
        }
        if outside {
            found.refuse(
                "imports",
                delta.path,
                Some(line),
                format!("the import {name:?} leads out of the repo"),
            );
            continue;
        }
        let prefix = folder.map(|folder| format!("{folder}/")).unwrap_or_default();
        if captures[2].is_empty() {
            continue;
        }
        let target = format!("{prefix}{}", captures[2].replace('.', "/"));
        let has = |end: &str| RelPath::new(&format!("{target}{end}")).is_ok_and(|path| tree.has(&path));
        if has(".py")
            || has(".pyi")
            || has("/__init__.py")
            || has(".pyx")
            || tree.root.join(&target).is_dir()
            || compiled(tree, &target)
        {
            continue;
        }
        let near = nearest(tree, &target).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        found.refuse(
            "imports",
            delta.path,
            Some(line),
            format!("the import {name:?} leads to no module{near}"),
        );
    }
}

/// Whether a compiled module stands at `target` (its name has the interpreter's version in it).
fn compiled(tree: &Tree<'_>, target: &str) -> bool {
    let (folder, name) = target.rsplit_once('/').unwrap_or(("", target));
    std::fs::read_dir(tree.root.join(folder)).is_ok_and(|entries| {
        entries.flatten().take(5000).any(|entry| {
            let file = entry.file_name();
            let file = file.to_string_lossy();
            file.strip_prefix(name).is_some_and(|rest| {
                rest.starts_with('.') && (rest.ends_with(".so") || rest.ends_with(".pyd"))
            })
        })
    })
}

/// The file in the same or a neighbouring folder whose name is most like the target's.
fn nearest(tree: &Tree<'_>, target: &str) -> Option<String> {
    let (folder, name) = target.rsplit_once('/').unwrap_or(("", target));
    let name = name.to_lowercase();
    let mut best: Option<(f64, String)> = None;
    let mut consider = |path: String| {
        let file = path.rsplit('/').next().unwrap_or(&path);
        let stem = file.split('.').next().unwrap_or(file).to_lowercase();
        let score = strsim::normalized_levenshtein(&stem, name.split('.').next().unwrap_or(&name));
        if score >= 0.6 && best.as_ref().is_none_or(|(most, _)| score > *most) {
            best = Some((score, path));
        }
    };
    let above = folder.rsplit_once('/').map_or("", |(above, _)| above);
    for at in [folder, above] {
        let Ok(entries) = std::fs::read_dir(tree.root.join(at)) else { continue };
        for entry in entries.flatten().take(2000) {
            if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                let file = entry.file_name().to_string_lossy().into_owned();
                let path = if at.is_empty() { file } else { format!("{at}/{file}") };
                if RelPath::new(&path).is_ok_and(|path| tree.has(&path)) {
                    consider(path);
                }
            }
        }
    }
    for (path, change) in tree.patch.iter() {
        if change.after.is_some()
            && path.parent().is_some_and(|at| at.as_str() == folder || at.as_str() == above)
        {
            consider(path.as_str().to_owned());
        }
    }
    best.map(|(_, path)| path)
}
