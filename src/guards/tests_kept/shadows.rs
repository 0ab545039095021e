//! New files that stand in for others: the same name, found first.

use regex::Regex;

use super::super::delta::Delta;
use super::super::syntax::Lang;
use super::super::{Findings, Proposed, dependencies};
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
    if let Some(source) =
        text.strip_suffix('i').filter(|source| source.ends_with(".py") && has(proposed, source))
    {
        return Some(source.to_owned());
    }
    let module = text.strip_suffix("/__init__.py").or_else(|| text.strip_suffix(".py"))?;
    if text.ends_with("/__init__.py") && has(proposed, &format!("{module}.py")) {
        return Some(format!("{module}.py"));
    }
    let (folder, stem) = module.rsplit_once('/').unwrap_or(("", module));
    let package = has(proposed, &format!("{folder}/__init__.py"));
    if !folder.is_empty() && (!is_test_path(path) || package) {
        return None;
    }
    if LIBRARY.contains(&stem) {
        return Some(format!("Python's own {stem}"));
    }
    let other = ["", "src/", "lib/", "python/"]
        .iter()
        .flat_map(|at| [format!("{at}{stem}.py"), format!("{at}{stem}/__init__.py")])
        .find(|other| other != text && has(proposed, other));
    other
        .or_else(|| {
            let asked = MANIFESTS.iter().any(|manifest| {
                let text = RelPath::new(manifest).ok().and_then(|path| proposed.tree.read_text(&path));
                text.is_some_and(|text| dependencies::names(manifest, &text).contains(&plain(stem)))
            });
            asked.then(|| format!("the package {stem} that the project depends on"))
        })
        .or_else(|| importer(proposed, folder, stem).map(|test| format!("what {test} imports")))
}

/// A test of a folder that imports a module already, from wherever it comes.
fn importer(proposed: &Proposed<'_>, folder: &str, stem: &str) -> Option<String> {
    let imports = Regex::new(&format!(r"(?m)^\s*(?:import|from)\s+{}\b", regex::escape(stem))).ok()?;
    let beside = std::fs::read_dir(proposed.tree.root.join(folder)).ok().filter(|_| !folder.is_empty())?;
    let paths = beside
        .flatten()
        .take(500)
        .filter_map(|entry| RelPath::new(&format!("{folder}/{}", entry.file_name().to_str()?)).ok());
    let mut tests = paths.filter(|path| Lang::of(path) == Some(Lang::Python));
    let found =
        tests.find(|path| proposed.tree.read_text(path).is_some_and(|text| imports.is_match(&text)))?;
    Some(found.as_str().to_owned())
}

/// Where Python projects say what they depend on.
const MANIFESTS: &[&str] =
    &["pyproject.toml", "Pipfile", "requirements.txt", "requirements-dev.txt", "requirements-test.txt"];

/// A package's name as it is compared.
fn plain(name: &str) -> String {
    name.to_lowercase().replace(['-', '.'], "_")
}

/// Classes of tests are found before those of the program, and those of the project before those of its libraries.
fn java(proposed: &Proposed<'_>, path: &RelPath) -> Option<String> {
    let text = path.as_str();
    let main = text.replacen("src/test/", "src/main/", 1);
    if main != text && has(proposed, &main) {
        return Some(main);
    }
    let (root, class) = text.split_once("/java/")?;
    let folders: Vec<&str> = class.split('/').collect();
    let [first, second, .., _] = folders.as_slice() else { return None };
    let module = root.strip_suffix("/main").or_else(|| root.strip_suffix("/test")).unwrap_or(root);
    let sources = ["main", "test"].map(|side| proposed.tree.root.join(format!("{module}/{side}/java")));
    let any = sources.iter().any(|sources| sources.is_dir());
    let own = sources.iter().any(|sources| sources.join(first).join(second).is_dir());
    let tools = matches!(*second, "junit" | "testng" | "mockito" | "assertj" | "hamcrest");
    ((any || tools) && !own).then(|| format!("a library's package {first}.{second}"))
}

/// An import without an ending finds one of several files, and a file goes before a folder.
fn script(proposed: &Proposed<'_>, path: &RelPath) -> Option<String> {
    let stem = path.as_str().rsplit_once('.')?.0;
    if path.as_str().ends_with(".d.ts") || stem.rsplit('/').next()?.contains('.') {
        return None;
    }
    SCRIPTS
        .iter()
        .flat_map(|end| [format!("{stem}.{end}"), format!("{stem}/index.{end}")])
        .find(|other| other != path.as_str() && has(proposed, other))
}
