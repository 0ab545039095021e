//! Reads tracebacks as the interpreter, unittest and pytest print them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use super::super::finding::{Finding, Place, Stage};
use super::super::place::inside;
use super::at_line;
use crate::patch::{RelPath, Tree};

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a constant pattern")
}

static FRAME: LazyLock<Regex> =
    LazyLock::new(|| regex(r#"^(?:E\s+)?\s*File "([^"\n]{1,500})", line (\d{1,7})"#));
static SHORT: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"^(?:E\s+)?([^\s:][^:\n]{0,300}\.py):(\d{1,7}): (?:in |\w+(?:Error|Exception)?$)")
});
static RAISED: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"^(?:E\s+)?([A-Za-z_][\w.]{0,100}(?:Error|Exception|Iteration|Exit|Interrupt|NotFound|Failed))(?::\s?(.{0,1000}))?$",
    )
});
static QUOTED: LazyLock<Regex> = LazyLock::new(|| regex(r"'([^'\n]{1,200})'"));

const MOST_FINDINGS: usize = 100;

/// The exceptions that ended something, each at the innermost frame inside the repo.
pub(in crate::fixers::codefix) fn findings(
    output: &str,
    root: &Path,
    dir: &str,
    tree: Tree<'_>,
) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut frames: Vec<(RelPath, u32)> = Vec::new();
    let mut waiting: Option<(String, String)> = None;
    for line in output.lines() {
        let line = line.trim_end();
        if line.starts_with("Traceback (most recent call last)")
            || line.trim_start().starts_with("Traceback:")
        {
            frames.clear();
            continue;
        }
        if let Some(frame) = FRAME.captures(line).or_else(|| SHORT.captures(line)) {
            let path = own(root, dir, &frame[1], tree);
            if let (Some(path), Ok(number)) = (path, frame[2].parse()) {
                frames.push((path, number));
            }
            // pytest's own style tells the exception first and the place after it.
            if !line.contains(": in ")
                && !line.contains("File \"")
                && let Some((kind, message)) = waiting.take()
            {
                push(&mut found, &mut seen, &kind, &message, &frames, tree);
                frames.clear();
            }
            continue;
        }
        if let Some(raised) = RAISED.captures(line) {
            let kind = raised[1].rsplit('.').next().unwrap_or("").to_owned();
            let message = raised.get(2).map_or("", |message| message.as_str()).to_owned();
            if frames.is_empty() {
                waiting = Some((kind, message));
            } else {
                push(&mut found, &mut seen, &kind, &message, &frames, tree);
                frames.clear();
                waiting = None;
            }
        }
        if found.len() == MOST_FINDINGS {
            break;
        }
    }
    found
}

fn own(root: &Path, dir: &str, path: &str, tree: Tree<'_>) -> Option<RelPath> {
    let path = inside(root, dir, path)?;
    let foreign = path.as_str().split('/').any(|part| {
        matches!(
            part,
            "site-packages" | "dist-packages" | "venv" | ".venv" | ".tox" | ".nox" | "node_modules"
        )
    });
    (!foreign && tree.has(&path)).then_some(path)
}

fn push(
    found: &mut Vec<Finding>,
    seen: &mut BTreeSet<String>,
    kind: &str,
    message: &str,
    frames: &[(RelPath, u32)],
    tree: Tree<'_>,
) {
    let Some((file, line)) = frames.last() else { return };
    let message = steady(message);
    let word = wanted(kind, &message);
    let places = frames.iter().rev().skip(1).take(8).filter_map(|(file, line)| {
        Some(Place { file: file.clone(), span: at_line(tree, file, *line, None)?, label: line.to_string() })
    });
    let span = at_line(tree, file, *line, word.as_deref()).or_else(|| at_line(tree, file, *line, None));
    let stage = match kind {
        "AssertionError" | "Failed" | "SystemExit" | "KeyboardInterrupt" => Stage::Last,
        _ => Stage::Runtime,
    };
    let finding = Finding {
        code: kind.to_owned(),
        message,
        file: Some(file.clone()),
        span: span.unwrap_or((0, 0)),
        line: *line,
        stage,
        places: places.collect(),
        suggested: Vec::new(),
        names: Vec::new(),
    };
    if seen.insert(finding.cause()) {
        found.push(finding);
    }
}

/// A message without the parts that differ from run to run.
fn steady(message: &str) -> String {
    static ADDRESS: LazyLock<Regex> = LazyLock::new(|| regex(r"0x[0-9a-fA-F]{4,16}"));
    ADDRESS.replace_all(message, "0x…").into_owned()
}

/// The name that an exception's message misses.
pub(super) fn wanted(kind: &str, message: &str) -> Option<String> {
    let quoted: Vec<&str> =
        QUOTED.captures_iter(message).filter_map(|q| q.get(1)).map(|q| q.as_str()).collect();
    let name = match kind {
        "NameError" | "ImportError" | "UnboundLocalError" => *quoted.first()?,
        "AttributeError" => *quoted.get(1)?,
        "ModuleNotFoundError" => quoted.first()?.rsplit('.').next()?,
        "TypeError" if message.contains("unexpected keyword argument") => *quoted.first()?,
        "KeyError" => quoted.first()?,
        _ => return None,
    };
    Some(name.to_owned())
}

/// How many tests (and modules that could not be loaded) failed, as the runner's summary says.
pub(in crate::fixers::codefix) fn failures(output: &str) -> Option<u32> {
    static SUMMARY: LazyLock<Regex> = LazyLock::new(|| regex(r"(\d{1,7}) (failed|errors?)\b"));
    static UNITTEST: LazyLock<Regex> = LazyLock::new(|| regex(r"(?:failures|errors)=(\d{1,7})"));
    let lines = output.lines().rev().take(30);
    for line in lines {
        let pattern = if line.starts_with("FAILED (") {
            &*UNITTEST
        } else if line.contains(" in ") && (line.contains("failed") || line.contains("error")) {
            &*SUMMARY
        } else {
            continue;
        };
        let sum: u32 = pattern.captures_iter(line).filter_map(|count| count[1].parse::<u32>().ok()).sum();
        if sum > 0 {
            return Some(sum);
        }
    }
    None
}
