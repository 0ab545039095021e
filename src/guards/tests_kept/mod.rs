//! Tests that were there still are, run, and check as much.

mod around;
mod bindings;
mod case;
mod doctests;
mod inventory;
mod plain;
mod renamed;
mod script;
mod shadows;
mod shapes;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use self::case::Case;
use self::inventory::cases;
use self::renamed::{Side, renamed};
use super::delta::{Delta, line_at};
use super::syntax::Lang;
use super::{Findings, Proposed, Weight, before, config};
use crate::patch::{Change, FileState, Patch, RelPath};

const GUARD: &str = "tests";

/// Whether a path is a test's by the habits of the languages.
pub fn is_test_path(path: &RelPath) -> bool {
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
                | "fixtures"
                | "__fixtures__"
                | "golden"
                | "goldens"
                | "snapshots"
        )
    });
    static NAME: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(concat!(
            r"^(?:test_.*\.py|.*_tests?\.(?:py|go|rs|c|cc|cpp)|tests?\.(?:rs|py|js|ts)|conftest\.py|.*\.(?:snap|ambr|golden|approved\.\w+)",
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
    let asked = |side: &Sides<'_>| proposed.test_changes.contains(side.delta.old_path());
    let mut sides: Vec<Sides<'_>> = deltas
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
    for side in &sides {
        let mut judge = Judge { found, allowed: asked(side), deltas };
        judge.file(side, &arrived);
        judge.replaced(side);
        judge.declared(side, deltas);
    }
    shadows::check(proposed, deltas, found);
    sides.retain(|side| !asked(side));
    bindings::check(proposed, &sides, deltas, found);
}

/// The lines, from 1, of what is new in a test file or of tests that are new in another.
pub(super) fn fresh(delta: &Delta<'_>) -> Vec<Range<usize>> {
    let Some(after) = delta.after else { return Vec::new() };
    if is_test_path(delta.path) && !delta.existed {
        return std::iter::once(1..usize::MAX).collect();
    }
    let new = cases(delta.path, after);
    if new.is_empty() {
        return Vec::new();
    }
    let old = cases(delta.old_path(), before(delta));
    let fresh = new.into_iter().filter(|(id, _)| !old.contains_key(id));
    fresh.map(|(_, case)| line_at(after, case.range.start)..line_at(after, case.range.end) + 1).collect()
}

/// What a change does to tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Touched {
    /// Nothing.
    No,
    /// Some come.
    Added,
    /// Some that were there, or what they share, change.
    Changed,
}

/// What a file's change does to tests, told by lines and by what stands in each test, without judging it.
pub(super) fn touched(delta: &Delta<'_>) -> Touched {
    if is_test_path(delta.old_path()) {
        let side = |text: Option<&str>| text.map(FileState::text);
        let change = Change { before: side(delta.before), after: side(delta.after) };
        let lines = Patch::from_iter([(delta.path.clone(), change)]).stat();
        let gone = !delta.exists || delta.before.is_none() || lines.removed > 0;
        return if delta.existed && (gone || delta.from.is_some()) {
            Touched::Changed
        } else {
            Touched::Added
        };
    }
    let (old, new) = (
        cases(delta.old_path(), before(delta)),
        delta.after.map(|text| cases(delta.path, text)).unwrap_or_default(),
    );
    let kept = old.iter().all(|(id, case)| new.get(id).is_some_and(|now| now.body == case.body));
    match kept {
        false => Touched::Changed,
        true if new.len() > old.len() => Touched::Added,
        true => Touched::No,
    }
}

struct Judge<'f> {
    found: &'f mut Findings,
    allowed: bool,
    deltas: &'f [Delta<'f>],
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
        if tests && delta.existed && delta.exists && plain::mends(delta) {
            return;
        }
        if tests && delta.existed && !delta.exists && side.old.is_empty() {
            return self.grave(
                delta.path,
                None,
                "a file of the tests is removed; repair the code instead".into(),
            );
        }
        static ELSEWHERE: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"_(?:windows|darwin|js|wasm|plan9|android|ios|freebsd|netbsd|openbsd|solaris|aix|arm|arm64|386|mips\w*|ppc64\w*|riscv64|s390x)_test\.go$").expect("constant pattern")
        });
        static HIDDEN: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"(?:^|/)(?:testdata|vendor|build|dist|[_.][^_/][^/]*)/").expect("constant pattern")
        });
        let (to, from) = (delta.path.as_str(), delta.old_path().as_str());
        let newly = |pattern: &Regex| pattern.is_match(to) && !pattern.is_match(from);
        let out_of_sight = !is_test_path(delta.path)
            || (from.ends_with("_test.go") && !to.ends_with("_test.go"))
            || newly(&ELSEWHERE)
            || newly(&HIDDEN);
        if tests && delta.exists && delta.from.is_some() && out_of_sight {
            let reason = format!("{} is moved to where no test runner looks", delta.old_path());
            self.grave(delta.path, None, reason);
        }
        // Only what lies right in `tests` is compiled by itself.
        static TARGET: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"(?:^|/)tests/(?:[^/]+|[^/]+/main)\.rs$").expect("constant pattern")
        });
        if delta.from.is_some() && TARGET.is_match(from) && !TARGET.is_match(to) {
            self.changed(
                delta.path,
                None,
                format!("{from} is moved to where another file has to name it; that needs an approval"),
            );
        }
        for (id, case) in &side.old {
            match side.new.get(id) {
                Some(new) => self.case(side, id, case, new),
                None => {
                    let moved =
                        arrived.iter().any(|other| other.name == case.name || other.inner() == case.inner())
                            || side.new.iter().any(|(id, other)| {
                                let (old, new) = (case.inner(), other.inner());
                                !side.old.contains_key(id)
                                    && renamed(
                                        case::tokens(&old),
                                        case::tokens(&new),
                                        &Side::new(before(delta), &side.old, Some(case)),
                                        &Side::new(delta.after.unwrap_or_default(), &side.new, Some(other)),
                                        self.deltas,
                                        delta,
                                    )
                            });
                    if case.documented {
                        let reason =
                            format!("the {id}, which runs as a test, is removed; that needs an approval");
                        self.changed(delta.path, None, reason);
                    } else if moved {
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
    fn case(&mut self, side: &Sides<'_>, id: &str, old: &Case, new: &Case) {
        let delta = side.delta;
        let (path, line) = (delta.path, Some(new.line));
        if new.skipped && !old.skipped {
            return self.grave(
                path,
                line,
                format!("the test {id} is skipped or expected to fail; repair the code instead"),
            );
        }
        // It is what it was but for signs that the compiler or a linter asks for.
        if old.plain == new.plain && !old.plain.is_empty() && new.awaits() >= old.awaits() {
            return;
        }
        // All that it did it does as before: what comes after that takes nothing away.
        if old.goes_on_to(new, Lang::of(path)) {
            return;
        }
        let (was, now) = (&old.checks, &new.checks);
        if now.asserts < was.asserts {
            let reason = format!(
                "the test {id} asserts less than before ({} instead of {}); repair the code instead",
                now.asserts, was.asserts
            );
            return self.grave(path, line, reason);
        }
        let weaker = [
            (now.hollow > was.hollow, "an assertion of it is always true or never reached"),
            (now.swallowed > was.swallowed, "a failed assertion of it is caught"),
            (now.exact < was.exact, "it compares less exactly than before"),
            (now.approximate > was.approximate && now.exact <= was.exact, "it leaves more room than before"),
            (
                now.conditions > was.conditions && now.asserts <= was.asserts,
                "an assertion of it depends on a condition",
            ),
            (now.returns > was.returns, "it returns early"),
            (now.rows.len() < was.rows.len(), "rows of its table are gone"),
        ];
        if let Some((_, what)) = weaker.into_iter().find(|(weaker, _)| *weaker) {
            return self.grave(
                path,
                line,
                format!("the test {id} is weakened: {what}; repair the code instead"),
            );
        }
        if old.body != new.body
            && !old.grows_to(new, Lang::of(path))
            && !renamed(
                old.tokens(),
                new.tokens(),
                &Side::new(before(delta), &side.old, Some(old)),
                &Side::new(delta.after.unwrap_or_default(), &side.new, Some(new)),
                self.deltas,
                delta,
            )
        {
            self.changed(path, line, format!("the existing test {id} is changed; that needs an approval"));
        }
    }

    /// Tests that a new one of the same name takes the place of: of two the runner sees the last.
    fn replaced(&mut self, side: &Sides<'_>) {
        if Lang::of(side.delta.path) != Some(Lang::Python) {
            return;
        }
        for (id, case) in side.new.iter().filter(|(id, _)| !side.old.contains_key(*id)) {
            if let Some((first, _)) = id.split_once('#').filter(|(first, _)| side.old.contains_key(*first)) {
                let reason = format!(
                    "the test {first} is defined again and never runs; give the new one a name of its own"
                );
                self.grave(side.delta.path, Some(case.line), reason);
            }
        }
    }

    /// Modules of tests that nothing declares any more, and what sets up all tests of a package.
    fn declared(&mut self, side: &Sides<'_>, deltas: &[Delta<'_>]) {
        static MODULE: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"(?m)^\s*((?:#\[[^\]\n]*\]\s*)*)(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*;")
                .expect("constant pattern")
        });
        static BUILD: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"(?m)^//\s*(?:go:build|\+build)\b.*$").expect("constant pattern"));
        let delta = side.delta;
        let (was, now) = (before(delta), delta.after.unwrap_or_default());
        match Lang::of(delta.path) {
            Some(Lang::Rust) if delta.exists => {
                let modules = |text: &str| -> Vec<(String, String)> {
                    let found = MODULE.captures_iter(text).take(1_000);
                    found.map(|found| (found[2].to_owned(), found[1].split_whitespace().collect())).collect()
                };
                let kept = modules(now);
                for (name, attributes) in modules(was) {
                    let tests = attributes.contains("cfg(test") || name.contains("test");
                    let gone = deltas.iter().any(|delta| {
                        !delta.exists
                            && (delta.path.as_str().ends_with(&format!("/{name}.rs"))
                                || delta.path.as_str().ends_with(&format!("/{name}/mod.rs")))
                    });
                    let same = kept.iter().any(|(kept, with)| {
                        *kept == name
                            && (with.matches("cfg").count() <= attributes.matches("cfg").count()
                                && with.contains("not(test") == attributes.contains("not(test"))
                    });
                    let moved = side.new.keys().any(|id| id.starts_with(&format!("{name}::")));
                    if tests && !gone && !same && !moved {
                        let reason = format!(
                            "the tests of the module {name} are no longer compiled; repair the code instead"
                        );
                        self.grave(delta.path, None, reason);
                    }
                }
            }
            Some(Lang::Go) if delta.path.as_str().ends_with("_test.go") => {
                let tags =
                    |text: &str| BUILD.find_iter(text).map(|tag| tag.as_str().to_owned()).collect::<Vec<_>>();
                if delta.existed && delta.exists && tags(was) != tags(now) {
                    let reason = "other build tags decide whether the tests of this file are compiled; repair the code instead";
                    self.grave(delta.path, None, reason.into());
                }
                let starts = |text: &str| text.matches("\nfunc init()").count();
                if starts(now) > starts(was) {
                    let reason = "init changes the package for all of its tests; that needs an approval";
                    self.changed(delta.path, None, reason.into());
                }
                if let Some(main) = side.new.get("TestMain").filter(|_| !side.old.contains_key("TestMain")) {
                    if main.body.contains("m . Run (") {
                        self.changed(
                            delta.path,
                            Some(main.line),
                            "TestMain decides over all tests of the package; that needs an approval".into(),
                        );
                    } else {
                        self.grave(
                            delta.path,
                            Some(main.line),
                            "TestMain keeps all tests of the package from running; take it out".into(),
                        );
                    }
                }
            }
            _ => {}
        }
    }
}
