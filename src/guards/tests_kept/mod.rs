//! Tests that were there still are, run, and check as much.

mod inventory;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

use regex::Regex;

use self::inventory::{Case, cases, imports};
use super::delta::Delta;
use super::syntax::{Lang, masked};
use super::{Findings, Proposed, Weight, before, config};
use crate::patch::RelPath;

const GUARD: &str = "tests";

/// Whether a path is a test's by the habits of the languages.
pub(super) fn is_test_path(path: &RelPath) -> bool {
    let text = path.as_str();
    let folder = text.split('/').rev().skip(1).any(|part| {
        matches!(
            part,
            "tests"
                | "test"
                | "__tests__"
                | "__mocks__"
                | "__snapshots__"
                | "spec"
                | "specs"
                | "e2e"
                | "cypress"
                | "testdata"
        )
    });
    static NAME: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(concat!(
            r"^(?:test_.*\.py|.*_tests?\.(?:py|go|rs|c|cc|cpp)|tests?\.(?:rs|py|js|ts)|conftest\.py|.*\.snap",
            r"|.*[._-](?:test|spec|cy|e2e)\.[cm]?[jt]sx?|.*(?:Test|Tests|IT|Spec)\.(?:java|kt|scala|cs)|Test[A-Z].*\.java|.*_spec\.rb)$"
        ))
        .expect("constant pattern")
    });
    folder || NAME.is_match(path.file_name())
}

/// One file's tests before and after.
struct Sides<'d> {
    delta: &'d Delta<'d>,
    old: BTreeMap<String, Case>,
    new: BTreeMap<String, Case>,
}

pub(super) fn check(proposed: &Proposed<'_>, deltas: &[Delta<'_>], found: &mut Findings) {
    let sides: Vec<Sides<'_>> = deltas
        .iter()
        .map(|delta| Sides {
            delta,
            old: cases(delta.old_path(), before(delta)),
            new: delta.after.map_or_else(BTreeMap::new, |text| cases(delta.path, text)),
        })
        .collect();
    // Tests that are new in their file: where one is missing elsewhere, it may have moved here.
    let arrived: Vec<&Case> = sides
        .iter()
        .flat_map(|side| side.new.iter().filter(|(id, _)| !side.old.contains_key(*id)).map(|(_, case)| case))
        .collect();
    let mut judge = Judge { found, allowed: proposed.allow_test_changes };
    for side in &sides {
        judge.file(side, &arrived);
    }
}

struct Judge<'f> {
    found: &'f mut Findings,
    allowed: bool,
}

impl Judge<'_> {
    /// Never right by itself; where the task asks for changed tests a person decides.
    fn grave(&mut self, path: &RelPath, line: Option<usize>, reason: String) {
        let weight = if self.allowed { Weight::NeedsApproval } else { Weight::Refuse };
        self.found.add(GUARD, path, line, reason, weight);
    }

    fn changed(&mut self, path: &RelPath, line: Option<usize>, reason: String) {
        if !self.allowed {
            self.found.approval(GUARD, path, line, reason);
        }
    }

    fn file(&mut self, side: &Sides<'_>, arrived: &[&Case]) {
        let delta = side.delta;
        let tests = is_test_path(delta.old_path());
        if tests && delta.existed && config::owns(delta) {
            return;
        }
        if tests && delta.existed && !delta.exists && side.old.is_empty() {
            return self.grave(
                delta.path,
                None,
                "a file of the tests is removed; repair the code instead".into(),
            );
        }
        if tests && delta.exists && delta.from.is_some() && !is_test_path(delta.path) {
            let reason = format!("{} is moved to where no test runner looks", delta.old_path());
            self.grave(delta.path, None, reason);
        }
        for (id, case) in &side.old {
            match side.new.get(id) {
                Some(new) => self.case(delta, id, case, new),
                None => {
                    let moved =
                        arrived.iter().any(|other| other.name == case.name || other.inner() == case.inner())
                            || side.new.iter().any(|(id, other)| {
                                let (old, new) = (case.inner(), other.inner());
                                !side.old.contains_key(id)
                                    && renamed(
                                        inventory::tokens(&old),
                                        inventory::tokens(&new),
                                        before(delta),
                                        delta.after.unwrap_or_default(),
                                        delta,
                                    )
                            });
                    if moved {
                        self.changed(
                            delta.path,
                            None,
                            format!("the test {id} is moved or renamed; that needs an approval"),
                        );
                    } else {
                        self.grave(
                            delta.path,
                            None,
                            format!("the test {id} is removed; repair the code instead"),
                        );
                    }
                }
            }
        }
        let hides = |id: &str| {
            let first = id.rsplit_once('#').map(|(first, _)| first)?;
            (!side.old.contains_key(id) && side.old.contains_key(first)).then(|| first.to_owned())
        };
        if Lang::of(delta.path) == Some(Lang::Python)
            && let Some((first, case)) = side.new.iter().find_map(|(id, case)| Some((hides(id)?, case)))
        {
            let reason =
                format!("a second definition of the test {first} hides the first; repair the code instead");
            self.grave(delta.path, Some(case.line), reason);
        }
        let focused = |cases: &BTreeMap<String, Case>| cases.values().filter(|case| case.focused).count();
        if focused(&side.new) > focused(&side.old) {
            let line = side.new.values().find(|case| case.focused).map(|case| case.line);
            self.grave(delta.path, line, "`only` keeps all other tests from running; take it out".into());
        }
        if tests && delta.existed && delta.exists {
            self.around(side);
        }
    }

    /// A test that is there before and after.
    fn case(&mut self, delta: &Delta<'_>, id: &str, old: &Case, new: &Case) {
        let (path, line) = (delta.path, Some(new.line));
        if new.skipped && !old.skipped {
            return self.grave(
                path,
                line,
                format!("the test {id} is skipped or expected to fail; repair the code instead"),
            );
        }
        if new.asserts < old.asserts {
            let reason = format!(
                "the test {id} asserts less than before ({} instead of {}); repair the code instead",
                new.asserts, old.asserts
            );
            return self.grave(path, line, reason);
        }
        if new.hollow > old.hollow {
            return self.grave(
                path,
                line,
                format!("an assertion of the test {id} is always true; assert what the code must do"),
            );
        }
        if new.returns > old.returns {
            return self.grave(path, line, format!("the test {id} returns early; repair the code instead"));
        }
        if old.body != new.body
            && !renamed(old.tokens(), new.tokens(), before(delta), delta.after.unwrap_or_default(), delta)
        {
            self.changed(path, line, format!("the existing test {id} is changed; that needs an approval"));
        }
    }

    /// The rest of a test file: its set-up, its helpers, its data.
    fn around(&mut self, side: &Sides<'_>) {
        let delta = side.delta;
        let (old_text, new_text) = (before(delta), delta.after.unwrap_or_default());
        let Some(lang) = Lang::of(delta.path) else {
            let code =
                matches!(delta.path.extension(), Some("go" | "java" | "kt" | "rb" | "c" | "cc" | "cpp"));
            if !code && old_text != new_text {
                self.changed(
                    delta.path,
                    None,
                    "data that tests compare with is changed; that needs an approval".into(),
                );
            } else if code
                && outside_lines(old_text, &side.old).iter().any(|line| !new_text.contains(line.as_str()))
            {
                self.changed(delta.path, None, "what tests share is changed; that needs an approval".into());
            }
            return;
        };
        let (old, new) = (outside(lang, old_text, &side.old), outside(lang, new_text, &side.new));
        let count = |pattern: &Regex, text: &str| pattern.find_iter(text).count();
        if count(&SWITCHED_OFF, &new) > count(&SWITCHED_OFF, &old) {
            return self.grave(
                delta.path,
                None,
                "the tests of this file are switched off; repair the code instead".into(),
            );
        }
        if old == new {
            return;
        }
        let mut left: HashMap<&str, usize> = HashMap::new();
        for line in new.lines().map(str::trim).filter(|line| !line.is_empty()) {
            *left.entry(line).or_default() += 1;
        }
        let gone =
            old.lines().map(str::trim).filter(|line| line.len() > 1).any(|line| match left.get_mut(line) {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    false
                }
                _ => true,
            });
        if gone && !renamed(inventory::tokens(&old), inventory::tokens(&new), old_text, new_text, delta) {
            return self.changed(
                delta.path,
                None,
                "what the tests of this file share is changed; that needs an approval".into(),
            );
        }
        if gone {
            return;
        }
        let meddles = count(&SETS_UP, &new) > count(&SETS_UP, &old);
        let words: BTreeSet<&str> = inventory::words(old_text).collect();
        let shadows = DEFINES
            .captures_iter(&new)
            .filter_map(|found| found.get(1).or(found.get(2)))
            .find(|name| words.contains(name.as_str()) && !defines(&old, name.as_str()));
        if meddles {
            self.changed(
                delta.path,
                None,
                "mocks or set-up are added to existing tests; that needs an approval".into(),
            );
        } else if let Some(name) = shadows {
            let reason = format!(
                "{:?}, which existing tests use, is defined anew; that needs an approval",
                name.as_str()
            );
            self.changed(delta.path, None, reason);
        }
    }
}

static SWITCHED_OFF: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m)pytestmark\s*=.*\b(?:skip|xfail)|allow_module_level|__test__\s*=\s*False|collect_ignore|#!?\s*\[\s*cfg\s*\(\s*(?:any\s*\(\s*\)|not\s*\(\s*test|FALSE)|\bload_tests\b|\bunittest\.skip|raise\s+(?:unittest\.)?SkipTest|\b(?:describe|suite|context)\.skip\b|\bxdescribe\b")
        .expect("constant pattern")
});
static SETS_UP: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b(?:jest|vi)\.(?:mock|doMock|spyOn|stubGlobal|setTimeout|retryTimes)\b|\bmock\.(?:module|method)\b|\bautouse\b|\bmonkeypatch\b|\bmock\.patch\b|@patch\b|\bsetattr\s*\(|\b(?:before|after)(?:Each|All)?\s*\(|\bset[Uu]p(?:_module|_function|_class|Class|_method)?\b|\bpytest_plugins\b|\bsys\.modules\b|\bexpect\.extend\b|\bglobalThis\.|\bglobal\.\w+\s*=|\.prototype\.|macro_rules!")
        .expect("constant pattern")
});
static DEFINES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m)\b(?:def|fn|function|const|let|var|class|struct|macro_rules!)\s+(\w+)|^(\w+)\s*=[^=]")
        .expect("constant pattern")
});

fn defines(text: &str, name: &str) -> bool {
    DEFINES
        .captures_iter(text)
        .any(|found| found.get(1).or(found.get(2)).is_some_and(|defined| defined.as_str() == name))
}

/// The text outside of tests, imports and comments.
fn outside(lang: Lang, text: &str, cases: &BTreeMap<String, Case>) -> String {
    let comments = masked(Some(lang), text).comments;
    let mut bytes = text.as_bytes().to_vec();
    for (byte, comment) in bytes.iter_mut().zip(comments.bytes()) {
        if !comment.is_ascii_whitespace() {
            *byte = b' ';
        }
    }
    for range in cases.values().map(|case| case.range.clone()).chain(imports(lang, text)) {
        for byte in &mut bytes[range] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The lines outside of tests where there is no grammar.
fn outside_lines(text: &str, cases: &BTreeMap<String, Case>) -> Vec<String> {
    let mut at = 0;
    let mut lines = Vec::new();
    for line in text.split_inclusive('\n') {
        let inside = cases.values().any(|case| case.range.contains(&at));
        at += line.len();
        let line = line.trim();
        let import =
            ["import ", "package ", "\"", "//", "#include"].iter().any(|start| line.starts_with(start));
        if !inside && line.len() > 1 && !import {
            lines.push(line.to_owned());
        }
    }
    lines
}

/// Words whose change is never a mere renaming.
static MEANINGFUL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)assert|expect|should|^to[A-Z]|^to_|^not$|equal|^is$|^in$|^or$|^and$|true|false|none|null|nil|undefined|skip|only|ignore|todo|xfail|^any$|raises|throws|panic|^if$|^return$|^\d|^(?:eq|ne|lt|le|gt|ge|ok|err|some)$")
        .expect("constant pattern")
});

/// Whether `new` is `old` with identifiers renamed: one to one, none of the words that carry the test's meaning, nothing in strings, and
/// the old names gone from the file.
fn renamed<'t>(
    old: impl Iterator<Item = &'t str>,
    new: impl Iterator<Item = &'t str>,
    old_text: &str,
    new_text: &str,
    delta: &Delta<'_>,
) -> bool {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.collect(), new.collect());
    if old.len() != new.len() {
        return false;
    }
    let (mut to, mut back) = (HashMap::new(), HashMap::new());
    for (old, new) in old.iter().zip(&new) {
        if *to.entry(*old).or_insert(*new) != *new || *back.entry(*new).or_insert(*old) != *old {
            return false;
        }
    }
    let code = |path: &RelPath, text: &str| masked(Lang::of(path), text).code;
    let (old_code, new_code) = (code(delta.old_path(), old_text), code(delta.path, new_text));
    let old_words: BTreeSet<&str> = inventory::words(&old_code).collect();
    let new_words: BTreeSet<&str> = inventory::words(&new_code).collect();
    // In a string the word would be data: it has to be known as code, before and after.
    to.iter().filter(|(old, new)| old != new).all(|(old, new)| {
        let word = |text: &str| text.chars().all(|c| c.is_alphanumeric() || c == '_');
        word(old)
            && word(new)
            && !MEANINGFUL.is_match(old)
            && !MEANINGFUL.is_match(new)
            && old_words.contains(old)
            && new_words.contains(new)
            && !new_words.contains(old)
            && !old_words.contains(new)
            && !quoted(old_text, old)
    })
}

/// Whether a word stands right inside quotes somewhere: then a change of it may be a change of data.
fn quoted(text: &str, word: &str) -> bool {
    ['"', '\'', '`']
        .iter()
        .any(|quote| text.contains(&format!("{quote}{word}")) || text.contains(&format!("{word}{quote}")))
}
