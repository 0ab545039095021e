//! Results that are hard-coded for just the inputs that a test uses.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::super::delta::{Delta, line_at};
use super::super::syntax::{Lang, masked};
use super::super::tests_kept::is_test_path;
use super::super::{Findings, Proposed, before};
use super::sources;
use crate::patch::Tree;

/// A literal, as it stands in code.
const LITERAL: &str = r#"-?\b\d[\w.]*|"[^"\n]{0,200}"|'[^'\n]{0,200}'|`[^`\n]{0,200}`"#;

/// Input and result stand within so many lines of a test.
const WINDOW: usize = 3;
/// Entries of one table are within so many lines.
const NEAR: usize = 40;

/// Where a literal is returned because something equals a literal: the condition, the result.
static FORMS: LazyLock<[Regex; 4]> = LazyLock::new(|| {
    let form = |text: &str| {
        let result = format!(r"(?:return\b\s*)?(?:(?:Some|Ok|String::from)\s*\(\s*)?(?P<result>{LITERAL})");
        Regex::new(&text.replace("RESULT", &result)).expect("constant pattern")
    };
    [
        form(
            r"(?m)\b(?:if|elif|when)\b(?P<condition>[^\n]{1,200}?)(?:\{|:|\))\s*(?:\{\s*)?RESULT[^\n]{0,20}$",
        ),
        form(r"(?m)^\s*(?:case\b)?(?P<condition>[^\n=]{1,160}?)(?:=>|->|:)\s*RESULT[)\w.(]*\s*[,;]?\s*$"),
        form(r"(?P<condition>[\w.\[\]]+\s*={2,3}\s*[^?\n]{1,120})\?\s*RESULT\s*:"),
        form(r"RESULT\s+if\s+(?P<condition>[^\n]{1,160}?)\s+else\b"),
    ]
});

static LITERALS: LazyLock<Regex> = LazyLock::new(|| Regex::new(LITERAL).expect("constant pattern"));

struct Special {
    line: usize,
    inputs: Vec<String>,
    result: String,
}

pub(super) fn check(proposed: &Proposed<'_>, delta: &Delta<'_>, lang: Lang, found: &mut Findings) {
    let Some(after) = delta.after.filter(|_| !is_test_path(delta.path)) else { return };
    let specials = specials(delta, lang, after);
    if specials.is_empty() {
        return;
    }
    let all = proposed.tree.patch.then(proposed.patch);
    let tree = Tree { root: proposed.tree.root, patch: &all };
    let mut texts = sources::read(&tree, is_test_path);
    if lang == Lang::Rust {
        // Its own tests stand below.
        texts.push((
            delta.path.clone(),
            after.split_once("#[cfg(test)]").map_or("", |(_, tests)| tests).to_owned(),
        ));
    }
    for special in specials {
        if let Some(path) = texts.iter().find(|(_, text)| special.is_in(text)).map(|(path, _)| path) {
            let reason = format!(
                "the result {} is hard-coded for an input that {path} uses; compute it, or ask for an approval",
                special.result.chars().take(60).collect::<String>()
            );
            found.approval("under-test", delta.path, Some(special.line), reason);
        }
    }
}

/// The new places where a telling literal leads to a telling result.
fn specials(delta: &Delta<'_>, lang: Lang, after: &str) -> Vec<Special> {
    let code = masked(Some(lang), after).code;
    let added: Vec<usize> = delta.added().into_iter().map(|(line, _)| line).collect();
    let read = |captures: Captures<'_>| {
        let (condition, result) = (captures.name("condition")?, captures.name("result")?);
        let whole = captures.get(0)?;
        let start = condition.start() + condition.as_str().len() - condition.as_str().trim_start().len();
        // In a comment or a string it is no code.
        if code.get(whole.range()).is_none_or(|code| code.trim().is_empty()) {
            return None;
        }
        let inputs: Vec<String> =
            LITERALS.find_iter(condition.as_str()).map(|literal| bare(literal.as_str())).collect();
        let result = bare(result.as_str());
        let telling = inputs.iter().any(|input| tells(input)) && tells(&result);
        telling.then(|| Special { line: line_at(after, start), inputs, result })
    };
    let lines: Vec<&str> = after.lines().collect();
    let mut all = Vec::new();
    for form in &*FORMS {
        let (new, kept): (Vec<Special>, Vec<Special>) = form
            .captures_iter(after)
            .filter_map(read)
            .take(200)
            .partition(|special| added.contains(&special.line));
        all.extend(new.into_iter().filter(|special| !kept.iter().any(|other| special.joins(other, &lines))));
    }
    all.truncate(100);
    // Its own tests stand in the same file.
    let was = before(delta).split("#[cfg(test)]").next().unwrap_or_default();
    all.retain(|special| !special.is_in(was));
    all
}

/// A literal without its quotes.
fn bare(literal: &str) -> String {
    literal.trim_matches(['"', '\'', '`']).to_owned()
}

/// Whether a literal says something: the small numbers and the empty string are everywhere.
fn tells(literal: &str) -> bool {
    !matches!(literal, "" | "0" | "1" | "-1" | "2" | "0.0" | "1.0" | " ")
}

impl Special {
    /// Whether it is one more entry of a table, switch or chain that has `other`, which was there before: as far in, and nothing further out
    /// between the two.
    fn joins(&self, other: &Special, lines: &[&str]) -> bool {
        let indent = |line: usize| {
            let line = lines.get(line.wrapping_sub(1)).copied().unwrap_or_default();
            line.len() - line.trim_start().len()
        };
        let (first, last) = (self.line.min(other.line), self.line.max(other.line));
        let depth = indent(self.line);
        let unbroken = || {
            (first..last).all(|line| {
                lines.get(line.wrapping_sub(1)).is_none_or(|text| text.trim().is_empty())
                    || indent(line) >= depth
            })
        };
        first < last && depth > 0 && depth == indent(other.line) && last - first <= NEAR && unbroken()
    }

    /// Whether all of its literals stand close to each other in a text.
    fn is_in(&self, text: &str) -> bool {
        let lines: Vec<&str> = text.lines().collect();
        let has = |window: &str, word: &str| {
            window.match_indices(word).any(|(at, _)| {
                let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '.');
                edge(window[..at].chars().next_back())
                    && window[at + word.len()..]
                        .chars()
                        .next()
                        .is_none_or(|c| !c.is_alphanumeric() && c != '_')
            })
        };
        if !text.contains(&self.result) {
            return false;
        }
        (0..lines.len()).any(|at| {
            let window = lines[at..lines.len().min(at + WINDOW)].join("\n");
            has(&window, &self.result) && self.inputs.iter().all(|input| has(&window, input))
        })
    }
}
