//! The rules of the game: check commands, CI, lints, compiler and test-runner configuration.
//!
//! A change there needs an approval; one that plainly loosens is refused. What only tightens or adds (an entry of `paths`, a new script that
//! no check runs) passes.

mod manifests;
mod scripts;

use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;

use super::delta::Delta;
use super::tests_kept::is_test_path;
use super::{Findings, Proposed};
use crate::patch::RelPath;

/// `files.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Files {
    names: Vec<String>,
    starts: Vec<String>,
    folders: Vec<String>,
    shadows: Vec<String>,
    linked: Vec<String>,
    registers: Vec<Registers>,
    looser: Vec<Looser>,
}

/// Lines of a build file that say which tests there are.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Registers {
    ends: String,
    pattern: String,
}

/// Lines that loosen.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Looser {
    what: String,
    pattern: String,
}

static FILES: LazyLock<Files> =
    LazyLock::new(|| toml::from_str(include_str!("files.toml")).expect("constant tables"));

static LOOSER: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
    let looser = |row: &'static Looser| {
        (row.what.as_str(), Regex::new(&format!("(?i){}", row.pattern)).expect("constant pattern"))
    };
    FILES.looser.iter().map(looser).collect()
});

static REGISTERS: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
    let rows = FILES.registers.iter();
    rows.map(|row| (row.ends.as_str(), Regex::new(&row.pattern).expect("constant pattern"))).collect()
});

/// Whether the lines of a build file that say which tests there are change.
fn registers(delta: &Delta<'_>) -> Option<usize> {
    let (_, pattern) = REGISTERS.iter().find(|(ends, _)| delta.old_path().as_str().ends_with(ends))?;
    fn lines<'t>(pattern: &Regex, text: Option<&'t str>) -> Vec<(usize, &'t str)> {
        let lines = text.unwrap_or_default().lines().enumerate();
        lines.filter(|(_, line)| pattern.is_match(line)).map(|(at, line)| (at + 1, line.trim())).collect()
    }
    let (was, now) = (lines(pattern, delta.before), lines(pattern, delta.after));
    let new = now.iter().find(|(_, line)| !was.iter().any(|(_, old)| old == line));
    let gone = was.iter().find(|(_, line)| !now.iter().any(|(_, new)| new == line));
    new.or(gone).map(|(at, _)| *at).filter(|_| delta.existed)
}

pub(super) fn check(proposed: &Proposed<'_>, delta: &Delta<'_>, found: &mut Findings) {
    if let Some(line) = registers(delta) {
        let reason = "the file says which tests there are; that needs an approval";
        found.approval("config", delta.path, Some(line), reason);
    }
    if delta.exists && delta.path.extension().is_some_and(|end| FILES.linked.iter().any(|known| known == end))
    {
        let reason = "the file is run as it is, and nobody reads it here; that needs an approval";
        found.approval("config", delta.path, None, reason);
    }
    let name = delta.old_path().file_name();
    match name {
        "package.json" => return scripts::package(delta, found),
        "Cargo.toml" => return manifests::cargo(delta, found),
        "pyproject.toml" => return manifests::pyproject(delta, found),
        _ if is_compiler(name) => return scripts::compiler(delta, found),
        _ => {}
    }
    let path = delta.old_path().as_str();
    if name == "go.mod" && !delta.existed && path.contains('/') {
        let reason = "a module of its own takes the folder's tests out of the others; that needs an approval";
        found.approval("config", delta.path, None, reason);
    }
    if !sets_up(delta) {
        return;
    }
    if let Some(name) = shadowed(delta) {
        if !searched(proposed, delta.path) {
            return;
        }
        let reason = format!("{name} would stand in for the library of that name; call it something else");
        return found.refuse("config", delta.path, None, reason);
    }
    if !delta.exists {
        return found.refuse(
            "config",
            delta.path,
            None,
            "the configuration of the checks is removed; repair the code instead",
        );
    }
    if delta.from.is_some() {
        found.refuse(
            "config",
            delta.path,
            None,
            format!("{path} sets up the checks and is moved away; repair the code instead"),
        );
    }
    let loosens =
        |line: &str| LOOSER.iter().find(|(_, pattern)| pattern.is_match(line)).map(|(what, _)| *what);
    match delta.added().into_iter().find_map(|(at, line)| Some((at, loosens(line)?))) {
        Some((line, what)) => {
            let reason = format!("the checks are loosened here ({what}); repair the code instead");
            found.refuse("config", delta.path, Some(line), reason);
        }
        None => {
            let line = delta.added().first().map(|(line, _)| *line);
            found.approval(
                "config",
                delta.path,
                line,
                "the file sets up the checks; its change needs an approval",
            );
        }
    }
}

fn is_compiler(name: &str) -> bool {
    (name.starts_with("tsconfig") || name.starts_with("jsconfig")) && name.ends_with(".json")
}

/// Scripts that run the checks, by their name.
static RUNS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^(?:(?:scripts?|bin|ci|tools|hack|dev|build)/(?:run[-_]?)?(?:all[-_])?(?:tests?|ci|checks?|lint|verify|validate)(?:[-_]all)?(?:\.\w+)?",
        r"|(?:run[-_]?)?(?:tests?|ci|checks?|lint|verify)(?:[-_]all)?(?:\.(?:sh|bash))?)$"
    ))
        .expect("constant pattern")
});

/// Whether the file sets up the checks and has no reader of its own.
fn sets_up(delta: &Delta<'_>) -> bool {
    let (name, path) = (delta.old_path().file_name(), delta.old_path().as_str());
    named(name)
        || name.ends_with(".pth")
        || shadowed(delta).is_some()
        || RUNS.is_match(path)
        || FILES.folders.iter().any(|folder| path.starts_with(folder) || path.contains(&format!("/{folder}")))
}

/// The library of the checks that a new module or package takes the place of: below the root, or itself named so.
fn shadowed<'d>(delta: &Delta<'d>) -> Option<&'d str> {
    if delta.existed && delta.from.is_none() {
        return None;
    }
    let path = delta.path.as_str().strip_suffix(".py")?;
    let module = path.strip_suffix("/__init__").or_else(|| path.strip_suffix("/__main__")).unwrap_or(path);
    let parts = [module.split('/').next(), module.rsplit('/').next()];
    parts.into_iter().flatten().find(|part| FILES.shadows.iter().any(|shadow| shadow == part))
}

/// Whether Python looks for modules where a new one comes: at the root, in `src` or `lib`, or beside tests.
fn searched(proposed: &Proposed<'_>, path: &RelPath) -> bool {
    let module = path.as_str().trim_end_matches("/__init__.py").trim_end_matches("/__main__.py");
    let Some((folder, _)) = module.rsplit_once('/') else { return true };
    let beside = |name: &str| RelPath::new(&format!("{folder}/{name}")).is_ok_and(|path| is_test_path(&path));
    let in_tree = || {
        let entries = std::fs::read_dir(proposed.tree.root.join(folder)).into_iter().flatten().flatten();
        entries.take(5_000).any(|entry| entry.file_name().to_str().is_some_and(beside))
    };
    let in_patch = || {
        proposed.tree.patch.iter().chain(proposed.patch.iter()).any(|(path, _)| {
            path.parent().is_some_and(|parent| parent.as_str() == folder) && beside(path.file_name())
        })
    };
    matches!(folder, "src" | "lib" | "python") || in_patch() || in_tree()
}

fn named(name: &str) -> bool {
    FILES.names.iter().any(|known| known == name) || FILES.starts.iter().any(|start| name.starts_with(start))
}

/// Whether the file is one that this guard looks at.
pub(super) fn concerns(delta: &Delta<'_>) -> bool {
    let name = delta.old_path().file_name();
    matches!(name, "package.json" | "Cargo.toml" | "pyproject.toml")
        || is_compiler(name)
        || sets_up(delta)
        || registers(delta).is_some()
        || super::dependencies::concerns(name)
}

/// Whether the guard of this module, and not the one for tests, judges the file.
pub(super) fn owns(delta: &Delta<'_>) -> bool {
    named(delta.old_path().file_name())
}
