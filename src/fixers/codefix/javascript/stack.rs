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
    /// A module, as it was asked for or as the full path that it came to.
    Module(String),
    /// An export of a module.
    Export { module: String, name: String },
}

impl Fault {
    pub fn code(&self) -> &'static str {
        match self {
            Fault::Undefined(_) => "ReferenceError",
            Fault::Member(_) => "TypeError",
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
    LazyLock::new(|| regex(r#"(?:imported from|from) ["']?([^"'\s]+\.\w{1,4})["']?"#));
static FRAME: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(?:\(|\s|^)((?:file://)?[^\s():]+\.(?:js|mjs|cjs|ts|mts|cts|jsx|tsx)):(\d{1,7})(?::\d{1,7})?\)?")
});

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
    let member =
        MEMBER.captures(message).or_else(|| READING.captures(message)).or_else(|| CALLED.captures(message));
    member.map(|found| Fault::Member(found[1].to_owned()))
}

/// The faults in an output, each with the first place of it that lies in the repo (line 0 where none was told).
pub(in crate::fixers::codefix) fn faults(
    output: &str,
    root: &Path,
    dir: &str,
    tree: Tree<'_>,
) -> Vec<(Fault, RelPath, u32, String)> {
    let own = |path: &str| {
        let path = inside(root, dir, path)?;
        let foreign = path.as_str().split('/').any(|part| part == "node_modules");
        (!foreign && tree.has(&path)).then_some(path)
    };
    let lines: Vec<&str> = output.lines().take(20_000).collect();
    let mut all: Vec<(Fault, RelPath, u32, String)> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if line.len() > 2_000 {
            continue;
        }
        let Some(fault) = read(line) else { continue };
        let mut found: Option<(RelPath, u32)> = None;
        if let Fault::Module(_) = fault
            && let Some(from) = FROM.captures(line).and_then(|from| own(&from[1]))
        {
            found = Some((from, 0));
        }
        // Stack frames stand below the message; a module that does not link is told with its file above it.
        let below = lines.iter().skip(at + 1).take(25);
        let above = lines[..at].iter().rev().take(6);
        let near: Vec<&&str> = match fault {
            Fault::Export { .. } => above.chain(below).collect(),
            _ => below.chain(above).collect(),
        };
        for text in near {
            if found.is_some() {
                break;
            }
            if let Some(frame) = FRAME.captures(text)
                && let Some(path) = own(&frame[1])
            {
                found = Some((path, frame[2].parse().unwrap_or(0)));
            } else if let Some(required) = text.trim().strip_prefix("- ")
                && let Some(path) = own(required)
            {
                // The stack of `require`s: who asked for it.
                found = Some((path, 0));
            }
        }
        if let Some((path, number)) = found {
            let message = line.trim().to_owned();
            if all.iter().all(|(known, file, ..)| *known != fault || *file != path) {
                all.push((fault, path, number, message));
            }
        }
        if all.len() == 100 {
            break;
        }
    }
    all
}

/// How many tests failed, as the usual runners say in their summaries.
pub(in crate::fixers::codefix) fn failures(output: &str) -> Option<u32> {
    static SUMMARY: LazyLock<Regex> = LazyLock::new(|| {
        regex(r"(?m)^\s*(?:#|ℹ)\s*fail (\d{1,7})|^\s*Tests:?\s+(\d{1,7}) failed|^\s*(\d{1,7}) failing\b")
    });
    let found = SUMMARY.captures_iter(output).last()?;
    (1..=3).find_map(|group| found.get(group)).and_then(|count| count.as_str().parse().ok())
}
