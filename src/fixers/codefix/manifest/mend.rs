//! The one missing or needless mark that keeps a manifest from being parsed.

use super::super::edit::Edit;
use super::super::index::{line_of, line_span};
use super::keys::{Kind, doubtful};
use crate::patch::RelPath;

/// The edits near `at` after which the text parses, the likeliest first.
pub(super) fn edits(file: &RelPath, text: &str, at: usize, kind: Kind) -> Vec<(Edit, String)> {
    let mut tries: Vec<(usize, usize, &str)> = Vec::new();
    let ends = if matches!(kind, Kind::Npm | Kind::TypeScript) { outdented(text) } else { Vec::new() };
    tries.extend(ends.iter().map(|(at, end)| (*at, *at, end.as_str())));
    let here = line_of(text, at);
    // The fault is often the line before the one where the parser stops.
    let above = (1..here)
        .rev()
        .find(|line| line_span(text, *line).is_some_and(|(start, end)| !text[start..end].trim().is_empty()));
    for line in [above, Some(here)].into_iter().flatten() {
        let Some((start, end)) = line_span(text, line) else { continue };
        let code = &text[start..end];
        let (first, last) = (start + code.len() - code.trim_start().len(), start + code.trim_end().len());
        if first >= last {
            continue;
        }
        if text[..last].ends_with(',') {
            tries.push((last - 1, last, ""));
            tries.extend(["\"", "]", "}", "\"]"].map(|mark| (last - 1, last - 1, mark)));
        }
        if code.contains("{ ") {
            tries.push((last, last, " }"));
        }
        tries.extend(["\"", ",", "]", "}", "\"]", "\",", "],", "},", "]]"].map(|mark| (last, last, mark)));
        // Quotes around a key or a value.
        tries.push((first, first, "\""));
        tries.push((first, first, "["));
        for (mark, _) in code.match_indices(['=', ':']) {
            let mark = start + mark;
            let value = mark + 1 + text[mark + 1..last].len() - text[mark + 1..last].trim_start().len();
            tries.extend(["\"", "[", "{"].map(|open| (value, value, open)));
            let name = text[..mark].trim_end().len();
            if name > first {
                tries.push((name, name, "\""));
            }
        }
        // Between two things of a list, or between a key and its value.
        for (gap, _) in code.match_indices(' ') {
            let gap = start + gap;
            if gap > first && gap < last {
                tries.extend([",", " =", ":", "\""].map(|mark| (gap, gap, mark)));
            }
        }
        for (bracket, _) in code.match_indices(['}', ']', '{', '[']) {
            let bracket = start + bracket;
            tries.extend(["\"", "]", "}"].map(|mark| (bracket, bracket, mark)));
        }
    }
    tries.extend(["\"", ",", ":", "= ", "]", "}"].map(|mark| (at, at, mark)));
    if text.get(at..at + 1).is_some_and(|mark| !mark.chars().all(char::is_alphanumeric)) {
        tries.push((at, at + 1, ""));
    }
    let end = text.trim_end().len();
    tries.extend(["\n}", "}", "]"].map(|mark| (end, end, mark)));
    let mut found: Vec<(usize, Edit, String)> = Vec::new();
    for (start, end, mark) in tries {
        let whole = format!("{}{mark}{}", &text[..start], &text[end..]);
        if kind.parse(&whole).is_err()
            || found.iter().any(|(_, edit, _)| edit.start == start && edit.text == mark)
        {
            continue;
        }
        let line = line_of(text, start);
        let title = if mark.is_empty() {
            format!("line {line} has a `{}` too many", &text[start..end])
        } else {
            format!("line {line} lacks `{}`", mark.trim())
        };
        // One that makes keys which nothing reads is not what was meant.
        found.push((doubtful(&whole, kind).len(), Edit::new(file, start, end, mark), title));
    }
    found.sort_by_key(|(doubts, ..)| *doubts);
    found.into_iter().map(|(_, edit, title)| (edit, title)).take(8).collect()
}

/// Where lines step out though no bracket is closed: what a line that lost it, or the whole line, held.
fn outdented(text: &str) -> Vec<(usize, String)> {
    let mut ends = Vec::new();
    let mut before = 0;
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let code = line.trim();
        let indent = line.len() - line.trim_start().len();
        if !code.is_empty() {
            if indent < before && !code.starts_with(['}', ']']) {
                let at = if code.starts_with(',') { offset + indent } else { offset };
                for close in ["}", "]"] {
                    let whole = format!("{}{close},\n", &line[..indent]);
                    ends.push((at, if code.starts_with(',') { close.to_owned() } else { whole }));
                }
            }
            before = indent;
        }
        offset += line.len();
    }
    ends
}
