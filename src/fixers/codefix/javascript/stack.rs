//! Reads what JavaScript runtimes, test runners and bundlers print when something is not there.

use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use super::super::place::inside;
use crate::patch::{RelPath, Tree};

/// Something that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::fixers::codefix) enum Fault {
    /// A variable.
    Undefined(String),
    /// A method or property.
    Member(String),
    /// What a property with this name was read from.
    Holder(String),
    /// A module, as it was asked for or as the full path that it came to.
    Module(String),
    /// An export of a module.
    Export { module: String, name: String },
}

impl Fault {
    pub fn code(&self) -> &'static str {
        match self {
            Fault::Undefined(_) => "ReferenceError",
            Fault::Member(_) | Fault::Holder(_) => "TypeError",
            Fault::Module(_) => "module",
            Fault::Export { .. } => "export",
        }
    }
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a constant pattern")
}

static UNDEFINED: LazyLock<Regex> = LazyLock::new(|| regex(r"([A-Za-z_$][\w$]*) is not defined"));
static MEMBER: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(?:[\w$\])]\.|\.\.\.\s?|\)\.)([A-Za-z_$][\w$]*) is not a (?:function|constructor)")
});
static CALLED: LazyLock<Regex> =
    LazyLock::new(|| regex(r"\b([A-Za-z_$][\w$]*) is not a (?:function|constructor)"));
static READING: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"Cannot (?:read|set) properties of (?:undefined|null) \((?:reading|setting) '([^']+)'\)")
});
static MODULE: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r#"(?:Cannot find (?:module|package)|Failed to resolve import|Could not resolve) ["']([^"'\n]+)["']"#,
    )
});
static EXPORT: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"requested module '([^'\n]+)' (?:does not provide an export named|is a CommonJS module.*?) '([\w$]+)'",
    )
});
static FROM: LazyLock<Regex> =
    LazyLock::new(|| regex(r#"imported from ([^"'\n]+\.\w{1,4})\s*$|from ["']?([^"'\s]+\.\w{1,4})["']?"#));
static FRAME: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(?:[(\s]|^)((?:file://)?[^\s():]+\.(?:js|mjs|cjs|ts|mts|cts|jsx|tsx)):(\d{1,7})(?::\d{1,7})?\)?")
});
/// A frame from where the repo's path starts: there may be spaces in it.
static BELOW_ROOT: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^(.+?\.(?:js|mjs|cjs|ts|mts|cts|jsx|tsx)):(\d{1,7})(?::\d{1,7})?\)?"));
/// The next test's result: what stands below is not of this fault.
static RESULT: LazyLock<Regex> = LazyLock::new(|| regex(r"^\s*(?:(?:not )?ok \d|# Subtest|[✖✔✓✕×●▶] )"));

/// What a message says is not there.
pub(super) fn read(message: &str) -> Option<Fault> {
    if let Some(found) = EXPORT.captures(message) {
        return Some(Fault::Export { module: found[1].to_owned(), name: found[2].to_owned() });
    }
    if let Some(found) = MODULE.captures(message) {
        return Some(Fault::Module(found[1].to_owned()));
    }
    if let Some(found) = UNDEFINED.captures(message) {
        return Some(Fault::Undefined(found[1].to_owned()));
    }
    if let Some(found) = READING.captures(message) {
        return Some(Fault::Holder(found[1].to_owned()));
    }
    let member = MEMBER.captures(message).or_else(|| CALLED.captures(message));
    member.map(|found| Fault::Member(found[1].to_owned()))
}

/// A fault as it was told.
pub(in crate::fixers::codefix) struct Told {
    pub fault: Fault,
    pub message: String,
    /// Where it may stand (line 0 where none was told), the likeliest first: the frames of the stack in the repo's own code from the
    /// innermost outwards, those of tests after the others. At least one.
    pub places: Vec<(RelPath, u32)>,
}

/// The faults in an output that have a place in the repo.
pub(in crate::fixers::codefix) fn faults(output: &str, root: &Path, dir: &str, tree: Tree<'_>) -> Vec<Told> {
    let own = |path: &str| {
        let path = inside(root, dir, path)?;
        let foreign = path.as_str().split('/').any(|part| part == "node_modules");
        (!foreign && tree.has(&path)).then_some(path)
    };
    let name = root.to_string_lossy();
    let frame = |text: &&str| {
        let rest = text.find(&*name).filter(|_| name.contains(' ')).map(|at| &text[at..]);
        if let Some(found) = rest.and_then(|rest| BELOW_ROOT.captures(rest)).or_else(|| FRAME.captures(text))
        {
            return Some((own(&found[1])?, found[2].parse().unwrap_or(0)));
        }
        // The stack of `require`s: who asked for it.
        Some((own(text.trim().strip_prefix("- ")?)?, 0))
    };
    let lines: Vec<&str> = output.lines().take(20_000).collect();
    let mut all: Vec<Told> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if line.len() > 2_000 || all.len() == 100 {
            continue;
        }
        let Some(fault) = read(line) else { continue };
        // Stack frames stand below the message; a module that does not link is told with its file above it.
        let below = || lines.iter().skip(at + 1).take_while(|line| !RESULT.is_match(line)).take(25);
        let above = || lines[..at].iter().rev().take(6).find_map(frame);
        let mut places: Vec<(RelPath, u32)> = match &fault {
            Fault::Module(_) => {
                FROM.captures(line).and_then(|from| Some((own(from.get(1).or(from.get(2))?.as_str())?, 0)))
            }
            Fault::Export { .. } => above(),
            _ => None,
        }
        .into_iter()
        .collect();
        if places.is_empty() {
            places.extend(below().filter_map(frame));
            places.sort_by_key(|(path, _)| is_test(path));
        }
        if places.is_empty() {
            places.extend(above());
        }
        let Some((path, _)) = places.first() else { continue };
        if all.iter().all(|other| other.fault != fault || other.places[0].0 != *path) {
            all.push(Told { fault, message: line.trim().to_owned(), places });
        }
    }
    all
}

/// Whether a file is a test by its name or folder, as the usual runners take it.
pub(super) fn is_test(path: &RelPath) -> bool {
    let name = path.file_name();
    [".test.", ".spec.", "-test.", "_test."].iter().any(|mark| name.contains(mark))
        || name.starts_with("test-")
        || name.rsplit_once('.').is_some_and(|(stem, _)| stem == "test")
        || path.as_str().split('/').any(|part| matches!(part, "test" | "tests" | "__tests__" | "spec"))
}

/// How many tests failed, as the usual runners say in their summaries.
pub(in crate::fixers::codefix) fn failures(output: &str) -> Option<u32> {
    static SUMMARY: LazyLock<Regex> = LazyLock::new(|| {
        regex(r"(?m)^\s*(?:#|ℹ)\s*fail (\d{1,7})|^\s*Tests:?\s+(\d{1,7}) failed|^\s*(\d{1,7}) failing\b")
    });
    let found = SUMMARY.captures_iter(output).last()?;
    (1..=3).find_map(|group| found.get(group)).and_then(|count| count.as_str().parse().ok())
}
