//! Reads the path out of the line above a block, however it is decorated.

use std::sync::LazyLock;

use regex::Regex;

/// A header line: the path as written, and whether the whole file is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub path: String,
    pub whole: bool,
}

static NOTE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\s*\((?:(whole|entire|full|complete)[ -]file|new[ -]file|new|create[d]?|modified|updated?|edit(?:ed)?|changes?)\)\s*:?\s*$")
        .expect("constant pattern")
});

static LABEL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i)^(?:in\s+)?(?:file\s?name|file\s?path|file|path|update|edit|modify|create|new file)\s*:\s*",
    )
    .expect("constant pattern")
});

/// Names without a dot or slash that are files all the same.
const BARE: &[&str] = &[
    "Makefile",
    "makefile",
    "GNUmakefile",
    "Dockerfile",
    "Containerfile",
    "Justfile",
    "justfile",
    "Rakefile",
    "Gemfile",
    "Procfile",
    "Vagrantfile",
    "Jenkinsfile",
    "LICENSE",
    "LICENCE",
    "README",
    "CHANGELOG",
    "AUTHORS",
    "NOTICE",
    "COPYING",
    "TODO",
    "CODEOWNERS",
    "WORKSPACE",
    "BUILD",
    "Pipfile",
    "Brewfile",
];

/// The path in `line`. With `eager` a single bare word counts too (there is no other path that a block could mean).
pub(super) fn parse_header(line: &str, eager: bool) -> Option<Header> {
    let mut text = line.trim();
    if text.is_empty() || text.len() > 2048 {
        return None;
    }
    let mut whole = false;
    let mut marked = false;
    // Decoration nests in any order; each round takes one layer off.
    for _ in 0..8 {
        let before = text;
        if let Some(found) = NOTE.captures(text) {
            whole |= found.get(1).is_some();
            text = text[..found.get(0).map_or(text.len(), |m| m.start())].trim_end();
        }
        if let Some(inside) = unwrapped(text) {
            text = inside.trim();
            marked = true;
            if !inside.contains(['`', '*']) && before.starts_with('`') {
                // What stood in back quotes alone is the path, to the letter.
                return Some(Header { path: inside.to_owned(), whole });
            }
        }
        if let Some(found) = LABEL.find(text) {
            text = text[found.end()..].trim();
            marked = true;
        }
        text = undecorated(text);
        if text == before {
            break;
        }
    }
    let colon = text.ends_with(':');
    text = text.trim_end_matches(':');
    if let Some((path, lines)) = text.rsplit_once(':')
        && !lines.is_empty()
        && lines.chars().all(|c| c.is_ascii_digit() || c == '-')
    {
        text = path;
    }
    if let Some(inside) = unwrapped(text) {
        text = inside.trim();
        marked = true;
    }
    if let Some(found) = NOTE.captures(text) {
        whole |= found.get(1).is_some();
        text = text[..found.get(0).map_or(text.len(), |m| m.start())].trim_end();
    }
    if text.contains(char::is_whitespace) && (!marked || text.contains('`')) {
        return quoted_in_prose(text).map(|path| Header { path, whole });
    }
    path_like(text, marked, eager && !colon).then(|| Header { path: text.to_owned(), whole })
}

/// Takes one pair of quotes, stars or brackets off.
fn unwrapped(text: &str) -> Option<&str> {
    for (open, close) in
        [("**", "**"), ("__", "__"), ("`", "`"), ("\"", "\""), ("'", "'"), ("*", "*"), ("<", ">")]
    {
        if let Some(inside) = text.strip_prefix(open).and_then(|rest| {
            let rest = rest.strip_suffix(':').unwrap_or(rest);
            rest.strip_suffix(close)
        }) && !inside.is_empty()
            && (open != "<" || !inside.starts_with(['<', '!']))
            && !(open == "__" && inside.ends_with("__"))
            && !inside.contains(if open.len() == 1 { open } else { "\n" })
        {
            return Some(inside);
        }
    }
    None
}

/// Takes headings, list marks and comment marks off the front, and comment ends off the back.
fn undecorated(text: &str) -> &str {
    for mark in ["######", "#####", "####", "###", "##", "#", "//", "--", "-", "*", ">", "<!--", "/*"] {
        if let Some(rest) = text.strip_prefix(mark)
            && rest.starts_with([' ', '\t'])
        {
            let rest = rest.trim_start();
            return rest.strip_suffix("-->").or_else(|| rest.strip_suffix("*/")).unwrap_or(rest).trim_end();
        }
    }
    let digits = text.trim_start_matches(|c: char| c.is_ascii_digit());
    if digits.len() < text.len()
        && let Some(rest) = digits.strip_prefix(['.', ')'])
        && rest.starts_with(' ')
    {
        return rest.trim_start();
    }
    text
}

/// Whether `text` may be meant as a path.
fn path_like(text: &str, marked: bool, eager: bool) -> bool {
    if text.is_empty() || text.starts_with("```") || text.starts_with("~~~") || text.contains("://") {
        return false;
    }
    let name = text.rsplit(['/', '\\']).next().unwrap_or(text);
    let dotted = name.rsplit_once('.').is_some_and(|(_, ext)| {
        !ext.is_empty() && ext.len() <= 16 && ext.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
    });
    let shaped = !text.chars().all(|c| c.is_ascii_punctuation())
        && (marked || !text.ends_with([',', ';', '!', '?', '{', '}', '(', ')']))
        && (text.contains(['/', '\\']) || dotted);
    shaped || BARE.contains(&text) || ((marked || eager) && !text.chars().all(|c| c.is_ascii_punctuation()))
}

/// The one path in back quotes in a line of prose: "Then in `src/a.rs`:".
fn quoted_in_prose(text: &str) -> Option<String> {
    let mut found = None;
    for (index, part) in text.split('`').enumerate() {
        if index % 2 == 1 && path_like(part, false, false) && !part.contains(char::is_whitespace) {
            if found.is_some() {
                return None;
            }
            found = Some(part.to_owned());
        }
    }
    found
}

/// The path of a fence line's info string: "```rust src/a.rs", "```rust:src/a.rs", "```src/a.rs", "```rust title=\"src/a.rs\"".
pub(super) fn fence_path(info: &str) -> Option<Header> {
    let info = info.trim();
    let last = info.rsplit([' ', ':', '=']).next()?.trim_matches(['"', '\'', '`', '{', '}']);
    path_like(last, false, false).then(|| Header { path: last.to_owned(), whole: false })
}

/// The info string of a line that opens or closes a code fence.
pub(super) fn fence(line: &str) -> Option<&str> {
    let text = line.trim();
    let rest = text.strip_prefix("```").or_else(|| text.strip_prefix("~~~"))?;
    let info = rest.trim_start_matches(['`', '~']);
    (!info.contains("```")).then(|| info.trim())
}

/// A command's operand: one path, decorated or bare.
pub(super) fn operand(text: &str) -> Option<String> {
    let text = text.trim();
    if let Some(inside) = text.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'))
        && !inside.contains('`')
        && !inside.is_empty()
    {
        return Some(inside.to_owned());
    }
    let header = parse_header(text, false)?;
    (!text.contains(char::is_whitespace)).then_some(header.path)
}
