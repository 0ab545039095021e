//! What a patch newly writes into files: conflict markers, secrets, dangerous constructs, placeholders, silenced errors, code that
//! recognises that it is under test, forged output. The patterns are data: `rules.toml`.

mod bodies;
mod special;

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;

use super::delta::{Delta, line_at};
use super::syntax::{Lang, Masked, masked, walk};
use super::tests_kept::{self, is_test_path};
use super::{Findings, Proposed, Weight, before};
use crate::patch::RelPath;

/// Where a rule's pattern is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Part {
    /// The code, without comments and strings.
    Code,
    /// Comments alone.
    Comments,
    /// All of the text.
    All,
}

/// Which files a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Files {
    Any,
    Rust,
    Python,
    Script,
    Go,
    Java,
    /// Tests.
    Tests,
    /// All but tests.
    Product,
    /// Go, but no tests.
    GoProduct,
}

/// One entry of `rules.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    guard: String,
    files: Files,
    part: Part,
    pattern: String,
    reason: String,
    refuse: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    rule: Vec<Row>,
}

struct Rule {
    row: Row,
    pattern: Regex,
    weight: Weight,
}

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let rows: Rows = toml::from_str(include_str!("rules.toml")).expect("constant rules");
    rows.rule
        .into_iter()
        .map(|row| Rule {
            pattern: Regex::new(&format!("(?m){}", row.pattern)).expect("constant pattern"),
            weight: if row.refuse { Weight::Refuse } else { Weight::NeedsApproval },
            row,
        })
        .collect()
});

pub(super) fn check(proposed: &Proposed<'_>, delta: &Delta<'_>, found: &mut Findings) {
    let Some(after) = delta.after else { return };
    let prose = matches!(
        delta.path.extension(),
        Some("md" | "mdx" | "rst" | "txt" | "adoc" | "html" | "svg" | "csv" | "lock")
    );
    markers(delta, found);
    secrets(delta, found);
    if prose {
        return;
    }
    let lang = Lang::of(delta.path);
    let (new, old) = (masked(lang, after), masked(Lang::of(delta.old_path()), before(delta)));
    let fresh = tests_kept::fresh(delta);
    let expected = expected_exits(lang, after, &new.code);
    for rule in RULES.iter().filter(|rule| applies(rule.row.files, delta.path, lang)) {
        // What a new test leaves unchecked was never checked, and an exit that it expects ends nothing.
        let own: &[Range<usize>] = match rule.row.guard.as_str() {
            "silenced" | "placeholder" => &fresh,
            "tests" if rule.row.files == Files::Tests => &expected,
            _ => &[],
        };
        if let Some(line) = newly(rule, delta, &new, &old, own) {
            found.add(&rule.row.guard, delta.path, Some(line), rule.row.reason.clone(), rule.weight);
        }
    }
    if let Some(lang) = lang {
        bodies::check(delta, lang, found);
        special::check(proposed, delta, lang, found);
    }
}

/// The lines of blocks that expect Python's own exit, which is an exception like any other.
fn expected_exits(lang: Option<Lang>, text: &str, code: &str) -> Vec<Range<usize>> {
    static EXPECTS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^(?:async\s+)?with\s+(?:pytest\.raises|self\.assertRaises\w*)\s*\(\s*SystemExit\b")
            .expect("constant pattern")
    });
    static LEAVES: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\b(?:os\._exit|os\.abort|os\.kill|os\.exec\w+|pytest\.exit|raise_signal)\s*\(")
            .expect("constant pattern")
    });
    let mut lines = Vec::new();
    if lang != Some(Lang::Python) || !code.contains("SystemExit") {
        return lines;
    }
    if let Some(tree) = Lang::Python.parse(text) {
        walk(&tree, &mut |node| {
            let said = code.get(node.byte_range()).unwrap_or_default();
            if node.kind() == "with_statement" && EXPECTS.is_match(said) && !LEAVES.is_match(said) {
                lines.push(node.start_position().row + 1..node.end_position().row + 2);
            }
            true
        });
    }
    lines
}

fn applies(files: Files, path: &RelPath, lang: Option<Lang>) -> bool {
    match files {
        Files::Any => true,
        Files::Rust => lang == Some(Lang::Rust),
        Files::Python => lang == Some(Lang::Python),
        Files::Script => lang.is_some_and(Lang::is_script),
        Files::Go => path.extension() == Some("go"),
        Files::Java => matches!(path.extension(), Some("java" | "kt")),
        Files::Tests => is_test_path(path),
        Files::Product => !is_test_path(path),
        Files::GoProduct => path.extension() == Some("go") && !is_test_path(path),
    }
}

/// The line of a match that was not there before: no line of the old text has the same match and the same or a similar
/// text, and it is not in the lines `own`.
fn newly<'m>(
    rule: &Rule,
    delta: &'m Delta<'_>,
    new: &'m Masked,
    old: &'m Masked,
    own: &[Range<usize>],
) -> Option<usize> {
    let part = |masked: &'m Masked, all: &'m str| -> &'m str {
        match rule.row.part {
            Part::Code => &masked.code,
            Part::Comments => &masked.comments,
            Part::All => all,
        }
    };
    let lines = |part: &str, all: &'m str| -> Vec<(usize, &'m str)> {
        let starts = rule.pattern.find_iter(part).map(|found| first_visible(part, &found.range()));
        starts.take(10_000).map(|at| (line_at(part, at), line_around(all, at))).collect()
    };
    let (after, was) = (delta.after.unwrap_or_default(), before(delta));
    let mut now = lines(part(new, after), after);
    if now.is_empty() {
        return None;
    }
    let mut then = lines(part(old, was), was);
    now.retain(|(line, _)| !own.iter().any(|lines| lines.contains(line)));
    now.retain(|(_, line)| match then.iter().position(|(_, old)| old == line) {
        Some(same) => {
            then.swap_remove(same);
            false
        }
        None => true,
    });
    // A line that was merely edited around the match.
    now.truncate(100);
    now.into_iter()
        .find(|(_, line)| {
            let like = then.iter().take(100).position(|(_, old)| {
                let (old, line): (String, String) =
                    (old.chars().take(200).collect(), line.chars().take(200).collect());
                strsim::normalized_levenshtein(&old, &line) >= ALIKE
            });
            like.map(|at| then.swap_remove(at)).is_none()
        })
        .map(|(line, _)| line)
}

/// From this similarity on, a line is another's edited form.
const ALIKE: f64 = 0.65;

/// The line that a byte offset is in, trimmed.
fn line_around(text: &str, at: usize) -> &str {
    let start = text.get(..at).and_then(|head| head.rfind('\n')).map_or(0, |end| end + 1);
    let rest = text.get(start..).unwrap_or_default();
    rest.lines().next().unwrap_or_default().trim()
}

fn first_visible(text: &str, range: &Range<usize>) -> usize {
    range.start + text[range.clone()].len() - text[range.clone()].trim_start().len()
}

fn markers(delta: &Delta<'_>, found: &mut Findings) {
    let mark = |line: &str| {
        ["<<<<<<< ", ">>>>>>> ", "||||||| "].iter().any(|mark| line.starts_with(mark))
            || matches!(line, "<<<<<<<" | ">>>>>>>")
    };
    let was = before(delta).lines().filter(|line| mark(line)).count();
    let now = delta.after.unwrap_or_default().lines().filter(|line| mark(line)).count();
    if now > was
        && let Some((line, _)) = delta.added().into_iter().find(|(_, line)| mark(line))
    {
        found.refuse("markers", delta.path, Some(line), "a conflict marker is left in the file");
    }
}

static SECRET: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"AKIA[0-9A-Z]{16}|\bgh[pousr]_[A-Za-z0-9]{36,}|\bgithub_pat_[A-Za-z0-9_]{50,}|\bglpat-[A-Za-z0-9_-]{20,}",
        r"|\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{32,}|\bxox[abprs]-[A-Za-z0-9-]{20,}|\bAIza[A-Za-z0-9_-]{35}",
        r"|\bnpm_[A-Za-z0-9]{36}|\bpypi-[A-Za-z0-9_-]{50,}|-----BEGIN (?:RSA |EC |OPENSSH |DSA |PGP )?PRIVATE KEY"
    ))
    .expect("constant pattern")
});

/// Where a text has something of the shape of a secret. The one place that knows the shapes.
fn secret_in(line: &str) -> bool {
    SECRET.is_match(line)
}

fn secrets(delta: &Delta<'_>, found: &mut Findings) {
    if let Some((line, _)) = delta.added().into_iter().find(|(_, line)| secret_in(line)) {
        found.refuse(
            "secrets",
            delta.path,
            Some(line),
            "the line has what looks like a key; read it from the environment",
        );
    }
}
