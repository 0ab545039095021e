//! The rest of a test file: its set-up, its helpers, its data.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use tree_sitter::{Node, Tree};

use super::super::before;
use super::super::syntax::{Lang, masked};
use super::case::{Case, tokens, words};
use super::inventory::imports;
use super::renamed::{Side, renamed};
use super::{Judge, Sides};

impl Judge<'_> {
    /// The rest of a test file: its set-up, its helpers, its data.
    pub(super) fn around(&mut self, side: &Sides<'_>) {
        let delta = side.delta;
        let (old_text, new_text) = (before(delta), delta.after.unwrap_or_default());
        let Some(lang) = Lang::of(delta.path) else {
            // What only comes to recorded results belongs to new tests.
            let recorded = matches!(delta.path.extension(), Some("snap" | "ambr"));
            let twice = || {
                let keys: Vec<&str> = RECORDS.find_iter(new_text).map(|key| key.as_str()).collect();
                keys.iter().collect::<BTreeSet<_>>().len() < keys.len()
            };
            let kept = recorded && keeps(old_text, new_text, 1) && !twice();
            if !kept && (old_text != new_text || delta.before.is_none() || delta.after.is_none()) {
                let reason = "data that tests compare with is changed; that needs an approval";
                self.changed(delta.path, None, reason.into());
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
        // A bracket alone says nothing.
        let gone = !keeps(&old, &new, 2);
        let (was, now) = (Side::new(old_text, &side.old, None), Side::new(new_text, &side.new, None));
        if gone && !renamed(tokens(&old), tokens(&new), &was, &now, self.deltas, delta) {
            return self.changed(
                delta.path,
                None,
                "what the tests of this file share is changed; that needs an approval".into(),
            );
        }
        if gone {
            return;
        }
        let scopes = Scopes::new(side, lang);
        let hooks = HOOKS.find_iter(&new).filter(|hook| !scopes.is_of_new_group(hook.start())).count();
        let meddles = count(&SETS_UP, &new) > count(&SETS_UP, &old) || hooks > HOOKS.find_iter(&old).count();
        let code = masked(Some(lang), old_text).code;
        let words: BTreeSet<&str> = free_words(&code).collect();
        let shadows = DEFINES
            .captures_iter(&new)
            .filter(|found| found.get(0).is_none_or(|whole| !scopes.is_new(whole.end())))
            // What Rust binds by `let` never reaches another function.
            .filter(|found| lang != Lang::Rust || !found[0].trim_start().starts_with("let"))
            // Without a word of its own an assignment defines a name in Python alone.
            .filter_map(|found| found.get(1).or(found.get(2).filter(|_| lang == Lang::Python)))
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
    Regex::new(r"(?m)pytestmark\s*=.*\b(?:skip|xfail)|allow_module_level|__test__\s*=\s*False|collect_ignore|#\s*\[\s*cfg\s*\(\s*(?:any\s*\(\s*\)|not\s*\(\s*test|FALSE)|#!\s*\[\s*cfg(?:_attr)?\b|^\s*del\s+[Tt]est|^\s*(?:sys\.)?exit\s*\(|\bload_tests\b|\b__unittest_(?:skip|expecting_failure)\w*|\bunittest\.skip|raise\s+(?:unittest\.)?SkipTest|\b(?:describe|suite|context)\.skip\b|\bxdescribe\b|@(?:Disabled|Ignore)\b|@Test\s*\(\s*enabled\s*=\s*false|^throw\b|^return\b")
        .expect("constant pattern")
});
static SETS_UP: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b(?:jest|vi)\.(?:mock|doMock|spyOn|stubGlobal|setTimeout|retryTimes)\b|\bmock\.(?:module|method)\b|\bautouse\b|\bmonkeypatch\b|\bmock\.patch\b|@patch\b|\bsetattr\s*\(|\bset[Uu]p(?:_module|Module)\b|\bpytest_plugins\b|\bsys\.modules\b|\bexpect\.extend\b|\bglobalThis\.|\bglobal\.\w+\s*=|\.prototype\.|macro_rules!|@(?:ExtendWith|RunWith)\b|\bmock(?:Static|Construction)?\s*\(|\bgomonkey\b|\bfunc\s+init\s*\(\s*\)|__eq__|\bjest\.requireActual\b")
        .expect("constant pattern")
});
/// What runs around the tests of its own group or class, and around no others.
static HOOKS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b(?:before|after)(?:Each|All)?\s*\(|\bset[Uu]p(?:_function|_class|Class|_method)?\b|@(?:Mock|MockBean|Spy|InjectMocks|BeforeEach|BeforeAll|Before|AfterEach|After)\b")
        .expect("constant pattern")
});
static DEFINES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?m)\b(?:def|fn|func|function|const|let|var|class|struct|type|macro_rules!)\s+(?:mut\s+)?(\w+)|^(\w+)\s*=[^=]",
    )
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

/// Names of recorded results.
static RECORDS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?m)^(?:exports\[`.*`\]|# name: .*)").expect("constant pattern"));

/// Whether all lines of the old text of at least so many bytes are in the new one, as often.
fn keeps(old: &str, new: &str, least: usize) -> bool {
    let mut left: HashMap<&str, usize> = HashMap::new();
    for line in new.lines().map(str::trim).filter(|line| !line.is_empty()) {
        *left.entry(line).or_default() += 1;
    }
    old.lines().map(str::trim).filter(|line| line.len() >= least).all(|line| match left.get_mut(line) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    })
}

/// The words of code that stand for themselves, and not for a member of something.
fn free_words(code: &str) -> impl Iterator<Item = &str> {
    words(code).filter(move |word| {
        let at = word.as_ptr() as usize - code.as_ptr() as usize;
        !code[..at].trim_end().ends_with('.')
    })
}

/// What a text's blocks are: those that are new have no say over what stands outside of them.
struct Scopes<'s> {
    tree: Option<Tree>,
    text: &'s str,
    lang: Lang,
    /// The new lines, from 1.
    added: BTreeSet<usize>,
    /// Where the tests are that were there before.
    kept: Vec<Range<usize>>,
}

impl<'s> Scopes<'s> {
    fn new(side: &Sides<'s>, lang: Lang) -> Self {
        let text = side.delta.after.unwrap_or_default();
        let kept = side.new.iter().filter(|(id, _)| side.old.contains_key(*id));
        Self {
            tree: lang.parse(text),
            text,
            lang,
            added: side.delta.added().into_iter().map(|(line, _)| line).collect(),
            kept: kept.map(|(_, case)| case.range.clone()).collect(),
        }
    }

    /// The blocks around a place that are new from their first line on and hold no test that was there before.
    fn around(&self, at: usize) -> impl Iterator<Item = Node<'_>> {
        // A block of a condition binds nothing of its own in Python, and hoists in JavaScript.
        const OWNERS: [&str; 20] = [
            "function_definition",
            "function_declaration",
            "function_expression",
            "function_item",
            "arrow_function",
            "generator_function_declaration",
            "method_definition",
            "method_declaration",
            "constructor_declaration",
            "closure_expression",
            "func_literal",
            "class_definition",
            "class_declaration",
            "class",
            "interface_declaration",
            "enum_declaration",
            "record_declaration",
            "impl_item",
            "trait_item",
            "mod_item",
        ];
        let innermost = self
            .tree
            .as_ref()
            .and_then(|tree| tree.root_node().descendant_for_byte_range(at.saturating_sub(1), at));
        std::iter::successors(innermost, Node::parent).filter(|node| {
            node.parent().is_some_and(|owner| {
                OWNERS.contains(&owner.kind())
                    && owner.child_by_field_name("body").is_some_and(|body| body.id() == node.id())
                    && !self.says_global(*node)
                    && self.added.contains(&(owner.start_position().row + 1))
                    && !self
                        .kept
                        .iter()
                        .any(|test| owner.start_byte() <= test.start && test.end <= owner.end_byte())
            })
        })
    }

    /// Whether names of the whole module are bound within a block.
    fn says_global(&self, block: Node<'_>) -> bool {
        self.lang == Lang::Python
            && self.text.get(block.byte_range()).is_some_and(|said| words(said).any(|word| word == "global"))
    }

    /// Whether what is bound at a place means nothing outside of a new block.
    fn is_new(&self, at: usize) -> bool {
        self.around(at).next().is_some()
    }

    /// Whether a place is in a new group or class of tests.
    fn is_of_new_group(&self, at: usize) -> bool {
        static GROUP: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"^(?:describe|suite|context)(?:\.\w+)*\s*\(").expect("constant pattern")
        });
        self.around(at).any(|block| {
            let owner = block.parent();
            if !self.lang.is_script() {
                return owner.is_some_and(|owner| owner.kind().starts_with("class_"));
            }
            let call = owner.and_then(|callback| callback.parent()).and_then(|arguments| arguments.parent());
            call.is_some_and(|call| {
                self.text.get(call.start_byte()..).is_some_and(|said| GROUP.is_match(said))
            })
        })
    }
}
