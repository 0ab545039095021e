//! New files that stand in for others: the same name, found first.

use super::super::delta::Delta;
use super::super::syntax::Lang;
use super::super::{Findings, Proposed};
use super::{GUARD, is_test_path};
use crate::patch::RelPath;

/// Modules of Python's own library that tests and programs import most.
const LIBRARY: &[&str] = &[
    "abc",
    "argparse",
    "ast",
    "asyncio",
    "base64",
    "calendar",
    "collections",
    "configparser",
    "contextlib",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "email",
    "enum",
    "fractions",
    "functools",
    "glob",
    "hashlib",
    "heapq",
    "html",
    "http",
    "importlib",
    "inspect",
    "io",
    "itertools",
    "json",
    "locale",
    "logging",
    "math",
    "operator",
    "os",
    "pathlib",
    "pickle",
    "platform",
    "pprint",
    "queue",
    "random",
    "re",
    "secrets",
    "shutil",
    "signal",
    "socket",
    "sqlite3",
    "statistics",
    "string",
    "struct",
    "subprocess",
    "sys",
    "tempfile",
    "textwrap",
    "threading",
    "time",
    "tokenize",
    "traceback",
    "types",
    "typing",
    "unittest",
    "urllib",
    "uuid",
    "warnings",
    "weakref",
    "xml",
    "zipfile",
];

/// Endings of scripts, for which a name without an ending may stand.
const SCRIPTS: &[&str] = &["ts", "tsx", "js", "jsx", "mjs", "cjs", "mts", "cts", "json"];

pub(super) fn check(proposed: &Proposed<'_>, deltas: &[Delta<'_>], found: &mut Findings) {
    for delta in deltas.iter().filter(|delta| delta.exists && !delta.existed) {
        let Some(lang) = Lang::of(delta.path) else { continue };
        let other = match lang {
            Lang::Python => python(proposed, delta.path),
            Lang::Java => java(proposed, delta.path),
            lang if lang.is_script() => script(proposed, delta.path),
            _ => None,
        };
        // What the same patch takes away is replaced and not stood in for.
        if let Some(other) =
            other.filter(|other| !deltas.iter().any(|delta| !delta.exists && delta.path.as_str() == other))
        {
            let reason = format!(
                "the new file is found before {other}, which has the same name; that needs an approval"
            );
            found.approval(GUARD, delta.path, None, reason);
        }
    }
}

fn has(proposed: &Proposed<'_>, path: &str) -> bool {
    RelPath::new(path).is_ok_and(|path| proposed.tree.has(&path))
}

/// The folder of a test, or the root, is searched first; a folder goes before a file.
fn python(proposed: &Proposed<'_>, path: &RelPath) -> Option<String> {
    let text = path.as_str();
    if let Some(module) = text.strip_suffix("/__init__.py") {
        return Some(format!("{module}.py")).filter(|file| has(proposed, file));
    }
    let (folder, stem) =
        text.strip_suffix(".py")?.rsplit_once('/').unwrap_or(("", text.strip_suffix(".py")?));
    let package = has(proposed, &format!("{folder}/__init__.py"));
    if !folder.is_empty() && (!is_test_path(path) || package) {
        return None;
    }
    if LIBRARY.contains(&stem) {
        return Some(format!("Python's own {stem}"));
    }
    ["", "src/", "lib/"]
        .iter()
        .flat_map(|at| [format!("{at}{stem}.py"), format!("{at}{stem}/__init__.py")])
        .find(|other| other != text && has(proposed, other))
}

/// Classes of tests are found before those of the program.
fn java(proposed: &Proposed<'_>, path: &RelPath) -> Option<String> {
    let main = path.as_str().replacen("src/test/", "src/main/", 1);
    Some(main).filter(|main| main != path.as_str() && has(proposed, main))
}

/// An import without an ending finds one of several files.
fn script(proposed: &Proposed<'_>, path: &RelPath) -> Option<String> {
    let stem = path.as_str().rsplit_once('.')?.0;
    if path.as_str().ends_with(".d.ts") || stem.rsplit('/').next()?.contains('.') {
        return None;
    }
    SCRIPTS
        .iter()
        .map(|end| format!("{stem}.{end}"))
        .find(|other| other != path.as_str() && has(proposed, other))
}
