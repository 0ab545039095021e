//! Build failures of vite (rolldown and rollup), webpack and next, whose complaints take several lines.

use std::sync::LazyLock;

use regex::Regex;

use crate::diagnostic::Category;

use super::{Draft, Found, Input, join, number};

static ROLLDOWN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\[([A-Z][A-Z_]+|plugin [^\]]+)\] (.+)$").expect("a constant pattern"));
static FRAME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?:╭─+\[|,-\[)\s*(.+?):(\d+):(\d+)\s*\]").expect("a constant pattern"));
static ROLLUP_AT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:\[[\w:@/.-]+\] )?(\S.*?\.\w+) \((\d+):(\d+)\): (.+)$").expect("a constant pattern")
});
static FILE_LINE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^file: (.+?)(?::(\d+):(\d+))?$").expect("a constant pattern"));
static FROM: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?:from|imported by|in) ["']?([^"'\s]+\.\w+)["']?"#).expect("a constant pattern")
});
static WEBPACK: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^ERROR in (?:\[[^\]]+\] )?(\S+?)(?:[ :](\d+):(\d+)(?:-(?:(\d+):)?(\d+))?)?$")
        .expect("a constant pattern")
});
static NEXT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(\.{0,2}/\S+?\.\w+)(?::(\d+):(\d+))?$").expect("a constant pattern"));
static ESBUILD_CODE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b(TS\d{4,5}): ?").expect("a constant pattern"));

/// The most lines of one complaint.
const BLOCK: usize = 40;

/// Adds each complaint of the log.
pub fn parse(input: &Input<'_>, found: &mut Found) {
    rolldown(input, found);
    rollup(input, found);
    webpack(input, found);
    next(input, found);
}

/// `[MISSING_EXPORT] "sub" is not exported by "src/lib.js".`, and a frame.
fn rolldown(input: &Input<'_>, found: &mut Found) {
    if !input.text.contains("╭─[") || !input.text.contains("] ") {
        return;
    }
    for at in 0..input.lines.len() {
        let Some(captures) = ROLLDOWN.captures(input.line(at)) else { continue };
        let frame = (at + 1..at + 8).find_map(|i| FRAME.captures(input.line(i)));
        let end = (at + 1..(at + BLOCK).min(input.lines.len())).find(|i| input.line(*i).starts_with("───╯"));
        let Some(frame) = frame else { continue };
        let file = input.paths.relative(frame[1].trim());
        found.push(
            Draft::error("vite", &captures[2])
                .code(Some(&captures[1]))
                .file(Some(file))
                .at(number(Some(&frame[2])), number(Some(&frame[3])))
                .detail(&join(&input.lines, at, end.unwrap_or(at + 12)))
                .done_or(Category::Other),
        );
        found.done("vite");
    }
}

/// What follows "error during build:".
fn rollup(input: &Input<'_>, found: &mut Found) {
    if found.is_done("vite") {
        return;
    }
    let marks = ["error during build:", "Error during build:", "RollupError:", "[!] "];
    for at in 0..input.lines.len() {
        let line = input.line(at);
        let Some(mark) = marks.iter().find(|m| line.starts_with(**m)) else { continue };
        let first = if mark.ends_with("build:") {
            (at + 1..at + 4).find(|i| !input.line(*i).trim().is_empty()).unwrap_or(at + 1)
        } else {
            at
        };
        let end = (first + 1..(first + BLOCK).min(input.lines.len()))
            .find(|i| input.line(*i).trim_start().starts_with("at "))
            .unwrap_or((first + BLOCK).min(input.lines.len()));
        let text = input
            .line(first)
            .trim_start_matches("[!] ")
            .trim_start_matches("RollupError: ")
            .trim_start_matches("Error: ")
            .trim_start_matches("[vite]: ");
        if text.trim().is_empty() || text.starts_with("Build failed with") {
            continue;
        }
        let place = ROLLUP_AT.captures(text);
        let message = place.as_ref().map_or(text, |c| c.get(4).map_or(text, |m| m.as_str()));
        let mut draft = Draft::error("vite", message).detail(&join(&input.lines, first, end));
        let listed = (first + 1..end).find_map(|i| FILE_LINE.captures(input.line(i)));
        if let Some(place) = listed {
            let group = |index: usize| number(place.get(index).map(|m| m.as_str()));
            // Rollup counts columns from 0.
            draft =
                draft.file(Some(input.paths.relative(&place[1]))).at(group(2), group(3).saturating_add(1));
        } else if let Some(place) = place {
            draft = draft
                .file(Some(input.paths.relative(&place[1])))
                .at(number(Some(&place[2])), number(Some(&place[3])).saturating_add(1));
        } else if let Some(captures) = FROM.captures(message) {
            draft = draft.file(Some(input.paths.relative(&captures[1])));
        }
        found.push(draft.done_or(Category::Other));
        found.done("vite");
    }
}

/// `ERROR in ./src/entry.js 1:0-31` and the message under it.
fn webpack(input: &Input<'_>, found: &mut Found) {
    if !input.text.contains("ERROR in ") {
        return;
    }
    for at in 0..input.lines.len() {
        let Some(captures) = WEBPACK.captures(input.line(at)) else { continue };
        let end = (at + 1..(at + BLOCK).min(input.lines.len()))
            .find(|i| input.line(*i).starts_with("ERROR in ") || input.line(*i).starts_with("webpack "))
            .unwrap_or((at + BLOCK).min(input.lines.len()));
        let Some(message) = (at + 1..end).map(|i| input.line(i).trim()).find(|l| !l.is_empty()) else {
            continue;
        };
        let code = ESBUILD_CODE.captures(message).map(|c| c[1].to_owned());
        let text = code
            .as_ref()
            .and_then(|code| message.split_once(&format!("{code}: ")))
            .map_or(message, |(_, text)| text);
        let group = |index: usize| captures.get(index).map(|m| number(Some(m.as_str())));
        let line = group(2).unwrap_or(0);
        let start = group(3).unwrap_or(0).saturating_add(1);
        let draft = Draft::error(
            if code.is_some() { "tsc" } else { "webpack" },
            text.trim_start_matches("Module not found: Error: "),
        )
        .code(code.as_deref())
        .file(Some(input.paths.relative(&captures[1])))
        .span(line, start, group(4).unwrap_or(line), group(5).map_or(start, |c| c.saturating_add(1)))
        .detail(&join(&input.lines, at, end));
        found.push(draft.done_or(Category::Other));
    }
}

/// What follows "Failed to compile.": a path, and the message under it.
fn next(input: &Input<'_>, found: &mut Found) {
    let Some(start) = input.lines.iter().position(|l| {
        l.contains("Failed to compile")
            || l.starts_with("Build error occurred")
            || l.contains("Turbopack build failed")
    }) else {
        return;
    };
    let mut at = start + 1;
    while at < input.lines.len() {
        let Some(captures) = NEXT.captures(input.line(at).trim_end()) else {
            at += 1;
            continue;
        };
        let end = (at + 1..(at + BLOCK).min(input.lines.len()))
            .find(|i| NEXT.is_match(input.line(*i)) || input.line(*i).starts_with('>'))
            .unwrap_or((at + BLOCK).min(input.lines.len()));
        let mut lines = (at + 1..end).map(|i| input.line(i).trim().trim_start_matches(['x', '×', ' ']));
        let said = lines.find(|l| !l.is_empty() && !matches!(*l, "Error:" | "Syntax error:"));
        if let Some(said) = said {
            let types = said.starts_with("Type error: ");
            let message = said.trim_start_matches("Type error: ").trim_start_matches("Error: ");
            let framed = (at + 1..end).find_map(|i| FRAME.captures(input.line(i)));
            let place = captures.get(2).zip(captures.get(3)).map(|(l, c)| (l.as_str(), c.as_str()));
            let place = place.or_else(|| {
                framed
                    .as_ref()
                    .map(|f| (f.get(2).map_or("", |m| m.as_str()), f.get(3).map_or("", |m| m.as_str())))
            });
            let mut draft = Draft::error("next", message)
                .file(Some(input.paths.relative(&captures[1])))
                .detail(&join(&input.lines, at, end));
            if let Some((line, column)) = place {
                draft = draft.at(number(Some(line)), number(Some(column)));
            }
            found.push(draft.done_or(if types { Category::Type } else { Category::Other }));
        }
        at = end.max(at + 1);
    }
}
