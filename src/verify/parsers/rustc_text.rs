//! rustc's, clippy's and cargo's own complaints as text.

use std::sync::LazyLock;

use regex::Regex;

use crate::diagnostic::{Category, Severity};

use super::{Draft, Found, Input, join, number};

static HEAD: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(error|warning)(?:\[(E\d{4})\])?: (.+)$").expect("a constant pattern"));
static PLACE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\s*--> (.+?):(\d+):(\d+)$").expect("a constant pattern"));
static SHORT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(\S[^:]*\.rs):(\d+):(\d+): (error|warning)(?:\[(E\d{4})\])?: (.+)$")
        .expect("a constant pattern")
});
static LINT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"`-[DWF] ([a-z:_-]+)` implied by|`#\[(?:warn|deny|forbid)\(([a-z_:]+)\)\]`|rust-clippy/\S*#([a-z_]+)$")
        .expect("a constant pattern")
});
static LABEL: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\s*\|[^\^]*\^+(?: -+)* (\S.*)$").expect("a constant pattern"));
static CARGO: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^(?:failed to (?:select|parse|load|resolve|get|read|download|fetch|run|query|verify|prepare|update|determine|sync)",
        r"|no matching package|package (?:ID )?`.*`|could not find `?Cargo|the lock file|cannot update the lock|",
        r"multiple packages|feature `|invalid (?:type|character|table|key|unquoted)|duplicate|unclosed|",
        r"the (?:package|manifest|feature)|virtual manifest|current package believes|no (?:bin|example|test|bench|library) ",
        r"|unable to (?:get|update)|dependency |cyclic package|target filter|key with no value|expected|unexpected|missing field|",
        r"couldn't read|`.*` (?:is not|does not)|no such (?:command|subcommand)|toolchain |custom toolchain|a bin target|",
        r"environment variable|linking with)"
    ))
    .expect("a constant pattern")
});

/// The most lines of one complaint.
const BLOCK: usize = 200;

/// The tool a lint's or error's code belongs to.
pub fn tool_of(code: Option<&str>) -> &'static str {
    if code.is_some_and(|c| c.starts_with("clippy::")) { "clippy" } else { "rustc" }
}

/// What rustc wrote beside the carets of a rendering: often the half of the message that tells two faults apart.
pub fn label<'a>(lines: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    for line in lines.take(BLOCK) {
        if line.starts_with("help:") || line.trim_start().starts_with("= ") {
            break;
        }
        if line.contains('^') {
            let text = LABEL.captures(line)?.get(1)?.as_str().trim();
            return Some(text).filter(|t| !t.starts_with("help:") && t.len() < 300);
        }
    }
    None
}

/// Adds each complaint of the log.
pub fn parse(input: &Input<'_>, found: &mut Found) {
    let structured = found.is_done("rustc");
    let cargo = input.command.contains("cargo")
        || ["Compiling ", "error: could not compile", "Cargo.toml"]
            .iter()
            .any(|mark| input.text.contains(mark));
    let mut at = 0;
    while at < input.lines.len() {
        let line = input.line(at);
        if let Some(captures) = HEAD.captures(line) {
            let severity = if &captures[1] == "error" { Severity::Error } else { Severity::Warning };
            let end = block_end(input, at);
            let code = captures.get(2).map(|m| m.as_str());
            let place = (at + 1..end).find_map(|i| PLACE.captures(input.line(i)));
            match place {
                Some(place) if place[1].ends_with(".toml") => {
                    manifest(&captures[3], Some(&place), severity, at, end, input, found);
                }
                Some(place) if !structured && is_rustc(code, &place[1], cargo) => {
                    complaint(&captures[3], code, &place, severity, at, end, input, found);
                }
                None if cargo && severity == Severity::Error && CARGO.is_match(&captures[3]) => {
                    let end = cargo_end(input, at);
                    let place = (at + 1..end).find_map(|i| PLACE.captures(input.line(i)));
                    manifest(&captures[3], place.as_ref(), severity, at, end, input, found);
                    at = end;
                    continue;
                }
                _ => {}
            }
            at = end;
            continue;
        }
        if !structured && let Some(captures) = SHORT.captures(line) {
            let severity = if &captures[4] == "error" { Severity::Error } else { Severity::Warning };
            let code = captures.get(5).map(|m| m.as_str());
            found.push(
                Draft::error("rustc", &captures[6])
                    .severity(severity)
                    .code(code)
                    .file(Some(input.paths.relative(&captures[1])))
                    .at(number(Some(&captures[2])), number(Some(&captures[3])))
                    .done(),
            );
        }
        at += 1;
    }
}

/// Other tools print the same frame (ruff, rolldown): the file or the code tells.
fn is_rustc(code: Option<&str>, file: &str, cargo: bool) -> bool {
    code.is_some() || cargo || file.ends_with(".rs")
}

/// A complaint ends at an empty line that no line of a frame follows, or at the next complaint.
fn block_end(input: &Input<'_>, at: usize) -> usize {
    let last = (at + BLOCK).min(input.lines.len());
    let mut placed = false;
    for index in at + 1..last {
        let line = input.line(index);
        placed |= line.trim_start().starts_with("-->");
        let next = HEAD.is_match(line) || SHORT.is_match(line);
        // Messages of several lines have empty lines before the place.
        let over = line.is_empty()
            && (placed || !(index + 1..(index + 6).min(last)).any(|i| PLACE.is_match(input.line(i))));
        if next || over {
            return index;
        }
    }
    last
}

/// Cargo's own complaints go on over empty lines with "Caused by:".
fn cargo_end(input: &Input<'_>, at: usize) -> usize {
    let last = (at + BLOCK).min(input.lines.len());
    (at + 1..last)
        .find(|index| {
            let line = input.line(*index);
            HEAD.is_match(line) || (line.is_empty() && !input.line(index + 1).starts_with("Caused by:"))
        })
        .unwrap_or(last)
}

#[allow(clippy::too_many_arguments)]
fn complaint(
    text: &str,
    code: Option<&str>,
    place: &regex::Captures<'_>,
    severity: Severity,
    at: usize,
    end: usize,
    input: &Input<'_>,
    found: &mut Found,
) {
    let lint = (at..end).find_map(|i| {
        let captures = LINT.captures(input.line(i))?;
        let clippy = captures.get(3).map(|m| format!("clippy::{}", m.as_str()));
        clippy.or_else(|| captures.get(1).or(captures.get(2)).map(|m| m.as_str().replace('-', "_")))
    });
    let code = code.map(str::to_owned).or(lint);
    let block = &input.lines[at..end];
    let message = match label(block.iter().copied()) {
        Some(label) if !text.contains(label) => format!("{text}: {label}"),
        _ => text.to_owned(),
    };
    let (line, column) = (number(Some(&place[2])), number(Some(&place[3])));
    let width = block.iter().find(|l| l.contains('^')).map_or(0, |l| carets(l));
    found.push(
        Draft::error(tool_of(code.as_deref()), &message)
            .severity(severity)
            .code(code.as_deref())
            .file(Some(input.paths.relative(&place[1])))
            .span(line, column, line, column.saturating_add(width))
            .detail(&join(&input.lines, at, end))
            .done_or(if severity == Severity::Warning { Category::Style } else { Category::Other }),
    );
}

fn carets(line: &str) -> u32 {
    let carets = line.chars().skip_while(|c| *c != '^').take_while(|c| *c == '^').count();
    u32::try_from(carets).unwrap_or(0)
}

fn manifest(
    text: &str,
    place: Option<&regex::Captures<'_>>,
    severity: Severity,
    at: usize,
    end: usize,
    input: &Input<'_>,
    found: &mut Found,
) {
    if severity == Severity::Warning {
        return;
    }
    let mut draft = Draft::error("cargo", text).detail(&join(&input.lines, at, end));
    if let Some(place) = place {
        draft = draft
            .file(Some(input.paths.relative(&place[1])))
            .at(number(Some(&place[2])), number(Some(&place[3])));
    } else if let Some(path) = (at..end).find_map(|i| manifest_path(input.line(i))) {
        draft = draft.file(Some(input.paths.relative(&path)));
    }
    found.push(draft.done_or(if place.is_some() { Category::Configuration } else { Category::Dependency }));
}

/// The manifest that cargo names: "failed to parse manifest at `…`", "required by package `shop v0.1.0 (/srv/shop)`".
fn manifest_path(line: &str) -> Option<String> {
    if let Some(rest) = line.split("manifest at `").nth(1).or_else(|| line.split("manifest `").nth(1)) {
        return rest.split('`').next().map(str::to_owned);
    }
    let rest = line.trim_start().strip_prefix("required by package `")?;
    let folder = rest.rsplit_once(" (/")?.1.split(')').next()?;
    Some(format!("/{folder}/Cargo.toml"))
}
