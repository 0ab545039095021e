//! What a patch newly writes into files: conflict markers, secrets, dangerous constructs, placeholders, silenced errors, code that
//! recognises that it is under test, forged output. The patterns are data: `rules.toml` has what is never or seldom right, `reach.toml` what
//! code can do that its file or its project could not do before. Both are looked for in text whose [`names`] are plain.

mod bodies;
mod names;
mod rules;
mod sources;
mod special;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::rc::Rc;
use std::sync::LazyLock;

use regex::Regex;
use tree_sitter::Node;

use super::delta::{Delta, line_at};
use super::syntax::{Lang, Masked, masked, walk};
use super::tests_kept::{self, is_test_path};
use super::{Findings, Proposed, Weight, before};
use crate::patch::RelPath;
use rules::{Family, Files, Known, Part, RULES, Rule};

/// What all files of a patch are compared with.
pub(super) struct Around<'p> {
    proposed: &'p Proposed<'p>,
    /// The lines that the patch takes out of each language's product code: what moves is not new.
    gone: BTreeMap<Family, String>,
    /// The project's own code before the patch, by language, as far as anybody asked.
    own: RefCell<BTreeMap<Family, Rc<Vec<String>>>>,
}

impl<'p> Around<'p> {
    pub(super) fn new(proposed: &'p Proposed<'p>, deltas: &[Delta<'_>]) -> Self {
        let mut gone: BTreeMap<Family, String> = BTreeMap::new();
        for delta in deltas.iter().filter(|delta| !is_test_path(delta.old_path())) {
            let Some(family) = Family::of(delta.old_path()) else { continue };
            let plain = names::plain(Lang::of(delta.old_path()), before(delta)).text;
            let now: HashSet<&str> = delta.after.unwrap_or_default().lines().map(str::trim).collect();
            let kept = before(delta).lines().map(|line| now.contains(line.trim()));
            let text = gone.entry(family).or_default();
            for (line, _) in plain.lines().zip(kept).filter(|(_, kept)| !kept) {
                text.push_str(line);
                text.push('\n');
            }
        }
        Self { proposed, gone, own: RefCell::default() }
    }

    /// Whether something was there before the patch, outside of the file that has it now.
    fn has(&self, rule: &Rule, path: &RelPath) -> bool {
        let Some(family) = Family::of(path) else { return false };
        if self.gone.get(&family).is_some_and(|gone| rule.pattern.is_match(gone)) {
            return true;
        }
        let own = || {
            let known = self.own.borrow().get(&family).cloned();
            known.unwrap_or_else(|| {
                let own = |path: &RelPath| Family::of(path) == Some(family) && !is_test_path(path);
                let texts = sources::read(&self.proposed.tree, own).into_iter().map(|(_, text)| text);
                let texts = Rc::new(texts.collect::<Vec<_>>());
                self.own.borrow_mut().insert(family, texts.clone());
                texts
            })
        };
        rule.known == Known::Project && own().iter().any(|text| rule.pattern.is_match(text))
    }
}

pub(super) fn check(around: &Around<'_>, delta: &Delta<'_>, found: &mut Findings) {
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
    let fresh = tests_kept::fresh(delta);
    let expected = expected_exits(lang, after, &masked(lang, after).code);
    let within = tests_within(lang, after);
    let product = !is_test_path(delta.path);
    let (new, old) = (Read::new(lang, after), Read::new(Lang::of(delta.old_path()), before(delta)));
    for rule in RULES.iter().filter(|rule| rule.applies(delta.path)) {
        // What a new test leaves unchecked was never checked, and an exit that it expects ends nothing.
        let own: &[Range<usize>] = match rule.guard.as_str() {
            _ if rule.reach => &within,
            "silenced" | "placeholder" => &fresh,
            "tests" if rule.files == Files::Tests => &expected,
            _ => &[],
        };
        if let Some(line) = newly(rule, &new, &old, own)
            && (rule.known == Known::Line || !around.has(rule, delta.path))
        {
            found.add(&rule.guard, delta.path, Some(line), rule.reason.clone(), rule.weight);
        }
    }
    if product {
        pieces(delta, &new, &old, &within, found);
    }
    if let Some(lang) = lang {
        bodies::check(delta, lang, found);
        special::check(around.proposed, delta, lang, found);
    }
}

/// Words of product code that are written in pieces, and what is imported and given another value.
fn pieces(delta: &Delta<'_>, new: &Read, old: &Read, tests: &[Range<usize>], found: &mut Findings) {
    static MACHINERY: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?i)tests?\b|test[_s.]|[_-]test|pytest|junit|surefire|jest|vitest|mocha|nextest|expect|assert|_?exit\b|\bhalt\b|_getframe|outcome")
            .expect("constant pattern")
    });
    let ours = |(line, _): &&(usize, String)| !tests.iter().any(|lines| lines.contains(line));
    if let Some((line, what)) = names::newly(&new.plain.given, &old.plain.given).find(ours) {
        let reason = format!("{what}, which is imported, is given another value; that needs an approval");
        found.approval("danger", delta.path, Some(*line), reason);
    }
    if let Some((line, word)) = names::newly(&new.plain.glued, &old.plain.glued).find(ours) {
        let reason = format!("the word {word:?} is written in pieces; write it in one");
        let weight = if MACHINERY.is_match(word) { Weight::Refuse } else { Weight::NeedsApproval };
        found.add("under-test", delta.path, Some(*line), reason, weight);
    }
}

/// A text as the rules read it.
struct Read {
    plain: names::Plain,
    masked: Masked,
    /// Code and strings, without the comments.
    text: String,
}

impl Read {
    fn new(lang: Option<Lang>, text: &str) -> Self {
        let plain = names::plain(lang, text);
        let masked = masked(lang, &plain.text);
        let mut bytes = plain.text.clone().into_bytes();
        if masked.comments.len() == bytes.len() && lang.is_some() {
            for (byte, comment) in bytes.iter_mut().zip(masked.comments.bytes()) {
                if !comment.is_ascii_whitespace() {
                    *byte = b' ';
                }
            }
        }
        Self { plain, masked, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    fn part(&self, part: Part) -> &str {
        match part {
            Part::Code => &self.masked.code,
            Part::Comments => &self.masked.comments,
            Part::Text => &self.text,
            Part::All => &self.plain.text,
        }
    }
}

/// The lines of the tests that stand in a file of Rust's product code.
fn tests_within(lang: Option<Lang>, text: &str) -> Vec<Range<usize>> {
    let mut lines = Vec::new();
    let Some(tree) = lang.filter(|lang| *lang == Lang::Rust).and_then(|lang| lang.parse(text)) else {
        return lines;
    };
    walk(&tree, &mut |node| {
        let above = std::iter::successors(node.prev_sibling(), Node::prev_sibling)
            .take_while(|above| matches!(above.kind(), "attribute_item" | "line_comment" | "block_comment"));
        let test = |above: Node<'_>| {
            text.get(above.byte_range()).is_some_and(|said| said.starts_with("#[cfg(test)]"))
        };
        if node.kind() == "mod_item" && above.into_iter().any(test) {
            lines.push(node.start_position().row + 1..node.end_position().row + 2);
            return false;
        }
        true
    });
    lines
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

/// The line of a match that was not there before, and is not in the lines `own`: no line of the old text has the same match and the same or a
/// similar text, or nothing of the old text has a match, as the rule says.
fn newly(rule: &Rule, new: &Read, old: &Read, own: &[Range<usize>]) -> Option<usize> {
    fn lines<'t>(rule: &Rule, read: &'t Read) -> Vec<(usize, &'t str)> {
        let part = read.part(rule.part);
        let starts = rule.pattern.find_iter(part).map(|found| first_visible(part, &found.range()));
        starts.take(10_000).map(|at| (line_at(part, at), line_around(&read.plain.text, at))).collect()
    }
    let mut now = lines(rule, new);
    if now.is_empty() {
        return None;
    }
    let mut then = lines(rule, old);
    if rule.known != Known::Line && !then.is_empty() {
        return None;
    }
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
    // Models are shown this in the place of a secret. Written back, it would destroy what stands there.
    let stands_in = |line: &str| line.contains("[redacted]") || line.contains("[redacted:");
    let was = before(delta).lines().filter(|line| stands_in(line)).count();
    let now = delta.after.unwrap_or_default().lines().filter(|line| stands_in(line)).count();
    if now > was
        && let Some((line, _)) = delta.added().into_iter().find(|(_, line)| stands_in(line))
    {
        let why = "the line has [redacted], which only stands for a secret in what you are shown; leave the line as it is";
        found.refuse("secrets", delta.path, Some(line), why);
    }
}
