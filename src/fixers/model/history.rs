//! What was tried, as a model sees it.

use crate::context::fenced;
use crate::diagnostic::Severity;
use crate::fixers::Tried;
use crate::redact::Redactor;
use crate::usage::estimate_tokens;

/// The longest explanation and the longest result that are shown, in characters.
const MOST_WORDS: usize = 1200;
/// Diagnostics named of one attempt.
const MOST_DIAGNOSTICS: usize = 8;

/// The attempts in about `room` tokens, oldest first; where there is no room for all, the newest.
pub fn render(history: &[Tried], room: u64, redactor: &Redactor) -> String {
    let mut left = room;
    let mut parts = Vec::new();
    for (n, tried) in history.iter().enumerate().rev() {
        let full = attempt(n + 1, tried, true);
        let part = if estimate_tokens(&full) <= left { full } else { attempt(n + 1, tried, false) };
        let part = redactor.redact(&part).into_owned();
        if estimate_tokens(&part) > left {
            parts.push(format!("Attempts 1 to {} are left out for want of room.\n", n + 1));
            break;
        }
        left -= estimate_tokens(&part);
        parts.push(part);
    }
    parts.reverse();
    parts.join("\n")
}

fn attempt(n: usize, tried: &Tried, with_patch: bool) -> String {
    let fate = if tried.kept { "kept: the files show it" } else { "taken back: the files are without it" };
    let mut text = format!("## Attempt {n}, by {} ({fate})\n", tried.fixer);
    if !tried.explanation.trim().is_empty() {
        text.push_str(&format!("It said:\n{}", fenced("text", &cut(&tried.explanation))));
    }
    if with_patch && !tried.patch.is_empty() {
        text.push_str(&format!("It changed:\n{}", fenced("diff", &tried.patch.unified())));
    } else if !tried.patch.is_empty() {
        let files: Vec<String> = tried.patch.iter().take(10).map(|(path, _)| format!("`{path}`")).collect();
        text.push_str(&format!("It changed {}.\n", files.join(", ")));
    }
    let errors = tried.red.iter().flat_map(|outcome| &outcome.diagnostics);
    let errors: Vec<String> = errors
        .filter(|diagnostic| diagnostic.severity == Severity::Error)
        .take(MOST_DIAGNOSTICS)
        .map(|diagnostic| {
            let place = diagnostic.file.as_deref().unwrap_or(&diagnostic.tool);
            let line = diagnostic.range.map(|range| format!(":{}", range.start.line)).unwrap_or_default();
            format!("{place}{line}: {}", diagnostic.message.lines().next().unwrap_or_default())
        })
        .collect();
    let result = cut(&format!("{}\n{}", tried.result.trim(), errors.join("\n")));
    text.push_str(&format!("It led to:\n{}", fenced("text", result.trim())));
    text
}

fn cut(text: &str) -> String {
    match text.trim().char_indices().nth(MOST_WORDS) {
        Some((at, _)) => format!("{} …", &text.trim()[..at]),
        None => text.trim().to_owned(),
    }
}
