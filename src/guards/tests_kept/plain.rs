//! What a compiler or a linter asks of a test and what changes nothing of what it checks.

use std::sync::LazyLock;

use regex::Regex;

use super::super::before;
use super::super::delta::Delta;
use super::super::syntax::Lang;
use super::case::{TOKEN, tokens};
use super::shapes::pattern;

/// A test's words and signs without what says only how a value is held: `mut`, a borrow, `;`, `await`, `throws`. `bare` is the test without
/// comments, `code` the same without strings.
pub(super) fn plain(lang: Lang, bare: &str, code: &str) -> String {
    static LENGTH: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"((?:\w+ (?:\( \) )?\. )+)len \( \) (?:> 0|! = 0|> = 1)( [,)])"));
    static THROWS: LazyLock<Regex> = LazyLock::new(|| pattern(r"\) throws [\w ., ]+?\{"));
    let mut kept: Vec<&str> = Vec::new();
    for found in TOKEN.find_iter(bare) {
        let token = found.as_str();
        // In a string it is data.
        let is_code = code.get(found.range()) == Some(token);
        let last = kept.last().copied().unwrap_or_default();
        let free = match token {
            ";" => lang != Lang::Python,
            "mut" => lang == Lang::Rust,
            // Between two operands it is another sign.
            "&" => lang == Lang::Rust && matches!(last, "(" | "," | "=" | "[" | "{" | ":" | "|"),
            "await" => true,
            // What waits has to be asynchronous: scripts' runners wait for it, Python's only with a plug-in.
            "async" => lang.is_script(),
            _ => false,
        };
        if is_code && free {
            if token == "await" && lang == Lang::Rust && last == "." {
                kept.pop();
            }
            continue;
        }
        kept.push(token);
    }
    let text = kept.join(" ");
    match lang {
        Lang::Rust => LENGTH.replace_all(&text, "! ${1}is_empty ( )${2}").into_owned(),
        Lang::Java => THROWS.replace_all(&text, ") {").into_owned(),
        _ => text,
    }
}

/// Signs that are put in so that a file parses, at most.
const MOST_SIGNS: usize = 8;

/// Whether the file did not parse, now does, and has the same words and signs as before and only a few signs more.
pub(super) fn mends(delta: &Delta<'_>) -> bool {
    let (Some(lang), Some(after)) = (Lang::of(delta.path), delta.after) else { return false };
    let broken = |text: &str| lang.parse(text).is_none_or(|tree| tree.root_node().has_error());
    if delta.from.is_some() || !broken(before(delta)) || broken(after) {
        return false;
    }
    let indent = |text: &str| -> Vec<usize> {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        lines.map(|line| line.len() - line.trim_start().len()).collect()
    };
    if lang == Lang::Python && indent(before(delta)) != indent(after) {
        return false;
    }
    let mut old = tokens(before(delta)).peekable();
    let mut signs = 0;
    for token in tokens(after) {
        if old.next_if_eq(&token).is_some() {
            continue;
        }
        // Quotes and the signs of comments could take code away.
        if !matches!(token, ";" | ":" | "," | "(" | ")" | "[" | "]" | "{" | "}") {
            return false;
        }
        signs += 1;
    }
    old.peek().is_none() && signs <= MOST_SIGNS
}
