//! Finds the tests of a file: by grammar for Rust, Python, JavaScript and TypeScript, by text for Go and Java.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use tree_sitter::Node;

use super::super::syntax::{Lang, masked, walk};
use super::is_test_path;
use crate::patch::RelPath;

/// A test's end is looked for within so many bytes.
const LONGEST_TEST: usize = 64 << 10;

/// One test.
pub(super) struct Case {
    /// Its own name, without what it stands in.
    pub name: String,
    /// Where it is in the text, attributes and decorators included.
    pub range: Range<usize>,
    /// Its line, from 1.
    pub line: usize,
    /// Skipped, ignored, to do, or expected to fail.
    pub skipped: bool,
    /// The only one to run.
    pub focused: bool,
    /// Assertions in it.
    pub asserts: usize,
    /// Assertions that are always true.
    pub hollow: usize,
    /// Returns with no value.
    pub returns: usize,
    /// What it does: its words and signs without comments and white space.
    pub body: String,
}

impl Case {
    pub(super) fn tokens(&self) -> impl Iterator<Item = &str> {
        tokens(&self.body)
    }

    /// What it does, without its name.
    pub(super) fn inner(&self) -> String {
        let name = tokens(&self.name).collect::<Vec<_>>().join(" ");
        self.body.replacen(&name, "", 1)
    }
}

/// The words and signs of a text.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = &str> {
    static TOKEN: LazyLock<Regex> = LazyLock::new(|| pattern(r"\w+|[^\w\s]"));
    TOKEN.find_iter(text).map(|found| found.as_str())
}

/// The words of a text.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    tokens(text).filter(|token| token.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("constant pattern")
}

/// How the assertions of a language look.
struct Shapes {
    asserts: Regex,
    hollow: Regex,
    /// Assertions that compare two things, which may be the same.
    pairs: Regex,
    skips: Regex,
}

static RUST: LazyLock<Shapes> = LazyLock::new(|| Shapes {
    asserts: pattern(
        r"\b\w*assert\w*!\s*[(\[{]|\bpanic!\s*\(|\.(?:unwrap|expect)_err\s*\(|\bassert_\w+\s*\(",
    ),
    hollow: pattern(r"assert!\s*\(\s*(?:true\b|!\s*false\b)|assert[^;]{0,300}\|\|\s*true\b"),
    pairs: pattern(r"\bassert_eq!\s*\(\s*([\w.]+(?:\(\))?)\s*,\s*([\w.]+(?:\(\))?)\s*[,)]"),
    skips: pattern(r"#\s*\[\s*(?:ignore|should_panic|cfg\b|cfg_attr)"),
});
static PYTHON: LazyLock<Shapes> = LazyLock::new(|| Shapes {
    asserts: pattern(r"\bassert\b|\.assert\w*\s*\(|\bpytest\.(?:raises|warns)\b|\bself\.fail\s*\("),
    hollow: pattern(
        r"(?m)\bassert\s+\(?\s*(?:True|1|not\s+False)\s*\)?\s*(?:,|$)|assertTrue\s*\(\s*True\b|assertFalse\s*\(\s*False\b|\bassert\b.*\bor\s+True\b",
    ),
    pairs: pattern(r"(?m)(?:\bassert\s+|assertEqual\s*\(\s*)([\w.]+)\s*(?:==|,)\s*([\w.]+)\s*(?:,|\)|$)"),
    skips: pattern(r"\b(?:skip|skipif|skipIf|skipUnless|xfail|expectedFailure|skipTest)\b|\bimportorskip\b"),
});
static SCRIPT: LazyLock<Shapes> = LazyLock::new(|| Shapes {
    asserts: pattern(
        r"\bexpect(?:\.\w+)*\s*\(|\bassert(?:\.\w+)*\s*\(|\.should\b|\bt\.(?:is|not|deepEqual|true|false|truthy|falsy|throws|throwsAsync|equal|same|ok|like|regex)\s*\(",
    ),
    hollow: pattern(
        r"\bexpect\s*\(\s*true\s*\)\s*\.\s*(?:toBe|toEqual|toStrictEqual|toBeTruthy)\s*\(|\bexpect\s*\(\s*1\s*\)\s*\.\s*to\w+\s*\(\s*1\s*\)|\bexpect\s*\(\s*false\s*\)\s*\.\s*toBe(?:Falsy)?\s*\(|\bassert(?:\.ok)?\s*\(\s*(?:true|1)\s*[,)]|\bt\.(?:true|truthy|ok|pass)\s*\(\s*(?:true)?\s*\)|(?:expect|assert)[^;\n]{0,300}\|\|\s*true\b",
    ),
    pairs: pattern(
        r"(?:\bexpect\s*\(\s*([\w.]+)\s*\)\s*\.\s*to(?:Be|Equal|StrictEqual)\s*\(\s*([\w.]+)\s*\)|\bassert\.\w*[eE]qual\s*\(\s*([\w.]+)\s*,\s*([\w.]+)\s*[,)])",
    ),
    skips: pattern(
        r"\b(?:test|it|this|t|ctx|context)\.(?:skip|todo|fixme|fail)\s*\(|[{,]\s*(?:skip|todo)\s*:\s*(?:true|\S)",
    ),
});
static GO: LazyLock<Shapes> = LazyLock::new(|| Shapes {
    asserts: pattern(
        r"\bt\.(?:Error|Errorf|Fatal|Fatalf|Fail|FailNow)\s*\(|\b(?:assert|require)\.\w+\s*\(|\bcmp\.Diff\s*\(",
    ),
    hollow: pattern(r"\b(?:assert|require)\.True\s*\(\s*t\s*,\s*true\b"),
    pairs: pattern(r"\b(?:assert|require)\.Equal\s*\(\s*t\s*,\s*([\w.]+)\s*,\s*([\w.]+)\s*[,)]"),
    skips: pattern(r"\bt\.Skip\w*\s*\("),
});
static JAVA: LazyLock<Shapes> = LazyLock::new(|| Shapes {
    asserts: pattern(r"\b(?:assert\w*|verify|fail|expectThrows)\s*\("),
    hollow: pattern(r"\bassertTrue\s*\(\s*true\b|\bassertFalse\s*\(\s*false\b"),
    pairs: pattern(r"\bassertEquals\s*\(\s*([\w.]+)\s*,\s*([\w.]+)\s*[,)]"),
    skips: pattern(r"@(?:Disabled|Ignore)\b|\bassume(?:True|False)\s*\("),
});
static RETURN: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?m)^\s*return\s*(?:None|undefined|Ok\(\(\)\))?\s*;?\s*$|[{;]\s*return\s*;"));

/// The tests of a file by their names, with the names of what they stand in.
pub(super) fn cases(path: &RelPath, text: &str) -> BTreeMap<String, Case> {
    let mut all = Found {
        text,
        code: String::new(),
        bare: String::new(),
        all: BTreeMap::new(),
        seen: BTreeMap::new(),
        breaks: Vec::new(),
    };
    all.breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
    let lang = Lang::of(path);
    let masks = masked(lang, text);
    let mut bare = text.as_bytes().to_vec();
    if lang.is_some() {
        for (byte, comment) in bare.iter_mut().zip(masks.comments.bytes()) {
            if !comment.is_ascii_whitespace() {
                *byte = b' ';
            }
        }
    }
    all.bare = String::from_utf8_lossy(&bare).into_owned();
    all.code = masks.code;
    match lang {
        Some(Lang::Rust) => all.rust(),
        Some(Lang::Python) if is_test_path(path) => all.python(),
        Some(lang) if lang.is_script() && is_test_path(path) => all.script(lang),
        None if path.as_str().ends_with("_test.go") => all.by_text(&GO_TEST, &GO),
        None if matches!(path.extension(), Some("java" | "kt")) => all.by_text(&JAVA_TEST, &JAVA),
        _ => {}
    }
    all.all
}

static GO_TEST: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?m)^func\s+((?:Test|Fuzz|Example|Benchmark)\w*)\s*\("));
static JAVA_TEST: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?m)^[ \t]*(?:@\w+(?:\([^)\n]{0,200}\))?\s+){0,6}@(?:Test|ParameterizedTest|RepeatedTest)\b[^{;]{0,400}?(\w+)\s*\([^)]{0,400}\)\s*(?:throws [\w, ]+)?\{",
    )
});

/// Where imports stand, for the languages with a grammar.
pub(super) fn imports(lang: Lang, text: &str) -> Vec<Range<usize>> {
    let mut all = Vec::new();
    let Some(tree) = lang.parse(text) else { return all };
    walk(&tree, &mut |node| {
        let import = match node.kind() {
            "import_statement"
            | "import_from_statement"
            | "future_import_statement"
            | "use_declaration"
            | "extern_crate_declaration" => true,
            "lexical_declaration" | "variable_declaration" => text
                .get(node.byte_range())
                .is_some_and(|text| text.contains("require(") && !text.contains("=>")),
            _ => false,
        };
        if import {
            all.push(node.byte_range());
        }
        !import
    });
    all
}

struct Found<'t> {
    text: &'t str,
    code: String,
    bare: String,
    all: BTreeMap<String, Case>,
    /// How often each name came.
    seen: BTreeMap<String, usize>,
    /// Where lines end: asked for each test, so counted once.
    breaks: Vec<usize>,
}

impl Found<'_> {
    fn slice<'s>(text: &'s str, range: &Range<usize>) -> &'s str {
        text.get(range.clone()).unwrap_or_default()
    }

    fn add(
        &mut self,
        scope: &[String],
        name: String,
        range: Range<usize>,
        shapes: &Shapes,
        skipped: bool,
        focused: bool,
    ) {
        let code = Self::slice(&self.code, &range);
        let bare = Self::slice(&self.bare, &range);
        let same = shapes.pairs.captures_iter(code).filter(|found| {
            let mut sides = found.iter().skip(1).flatten().map(|side| side.as_str());
            let (first, second) = (sides.next(), sides.next());
            first == second && first.is_some_and(|side| !side.trim().is_empty())
        });
        let case = Case {
            line: self.breaks.partition_point(|&at| at < range.start) + 1,
            skipped: skipped || shapes.skips.is_match(code),
            focused,
            asserts: shapes.asserts.find_iter(code).count(),
            hollow: shapes.hollow.find_iter(code).count() + same.count(),
            returns: RETURN.find_iter(code).count(),
            body: tokens(bare).collect::<Vec<_>>().join(" "),
            range,
            name: name.clone(),
        };
        let id = if scope.is_empty() { name } else { format!("{}::{name}", scope.join("::")) };
        let count = self.seen.entry(id.clone()).or_insert(0_usize);
        *count += 1;
        // Of several with one name each is told by its place among them.
        let unique = if *count == 1 { id } else { format!("{id}#{count}") };
        self.all.insert(unique, case);
    }

    fn rust(&mut self) {
        let Some(tree) = Lang::Rust.parse(self.text) else { return };
        static IS_TEST: LazyLock<Regex> = LazyLock::new(|| {
            pattern(
                r"^#\s*\[\s*(?:[\w:]+::)?(?:test|rstest|test_case|quickcheck|proptest|wasm_bindgen_test|bench)\b",
            )
        });
        let mut cases = Vec::new();
        walk(&tree, &mut |node| {
            if node.kind() == "function_item" {
                let mut start = node.start_byte();
                let (mut test, mut above) = (false, node.prev_named_sibling());
                while let Some(attribute) = above
                    .filter(|node| matches!(node.kind(), "attribute_item" | "line_comment" | "block_comment"))
                {
                    if attribute.kind() == "attribute_item" {
                        start = attribute.start_byte();
                        test |= IS_TEST.is_match(Self::slice(self.text, &attribute.byte_range()));
                    }
                    above = attribute.prev_named_sibling();
                }
                if test {
                    cases.push((self.scope(node), self.name(node), start..node.end_byte()));
                }
                return !test;
            }
            // Inside `proptest! { … }` tests are only tokens.
            if node.kind() == "macro_invocation" {
                return false;
            }
            true
        });
        for (scope, name, range) in cases {
            self.add(&scope, name, range, &RUST, false, false);
        }
    }

    fn name(&self, node: Node<'_>) -> String {
        let name = node.child_by_field_name("name").map(|name| name.byte_range());
        name.map_or_else(String::new, |range| Self::slice(self.text, &range).to_owned())
    }

    /// The names of the modules and classes around a node, outermost first.
    fn scope(&self, node: Node<'_>) -> Vec<String> {
        let above = std::iter::successors(node.parent(), Node::parent);
        let mut scope: Vec<String> = above
            .filter(|node| matches!(node.kind(), "mod_item" | "class_definition" | "function_definition"))
            .map(|node| self.name(node))
            .collect();
        scope.reverse();
        scope
    }

    fn python(&mut self) {
        let Some(tree) = Lang::Python.parse(self.text) else { return };
        let mut cases = Vec::new();
        walk(&tree, &mut |node| {
            if node.kind() == "function_definition" && self.name(node).starts_with("test") {
                let whole =
                    node.parent().filter(|parent| parent.kind() == "decorated_definition").unwrap_or(node);
                // A class's decorator is each of its tests'.
                let skipped = std::iter::successors(node.parent(), Node::parent)
                    .filter(|above| above.kind() == "decorated_definition" && above.id() != whole.id())
                    .any(|above| {
                        let inner = above
                            .child_by_field_name("definition")
                            .map_or(above.end_byte(), |inner| inner.start_byte());
                        PYTHON.skips.is_match(Self::slice(&self.code, &(above.start_byte()..inner)))
                    });
                cases.push((self.scope(node), self.name(node), whole.byte_range(), skipped));
                return false;
            }
            true
        });
        for (scope, name, range, skipped) in cases {
            self.add(&scope, name, range, &PYTHON, skipped, false);
        }
    }

    fn script(&mut self, lang: Lang) {
        let Some(tree) = lang.parse(self.text) else { return };
        let mut cases = Vec::new();
        // Suites around the current node: where they end, their name, and whether they are skipped or the only ones.
        let mut suites: Vec<(usize, Call)> = Vec::new();
        walk(&tree, &mut |node| {
            while suites.last().is_some_and(|(end, _)| node.start_byte() >= *end) {
                suites.pop();
            }
            let Some(call) = Call::read(node, self.text) else { return true };
            if call.suite {
                suites.push((node.end_byte(), call));
                return true;
            }
            let scope: Vec<String> = suites.iter().map(|(_, suite)| suite.name.clone()).collect();
            let skipped = call.skipped || suites.iter().any(|(_, suite)| suite.skipped);
            let focused = call.focused || suites.iter().any(|(_, suite)| suite.focused);
            cases.push((scope, call.name, node.byte_range(), skipped, focused));
            false
        });
        for (scope, name, range, skipped, focused) in cases {
            self.add(&scope, name, range, &SCRIPT, skipped, focused);
        }
    }

    /// Tests that start with a pattern at some line and go to the closing bracket at the same depth of indentation.
    fn by_text(&mut self, start: &Regex, shapes: &Shapes) {
        let found: Vec<(String, Range<usize>)> = start
            .captures_iter(self.text)
            .filter_map(|found| {
                let (whole, name) = (found.get(0)?, found.get(1)?);
                let line = self.text[..name.start()].rfind('\n').map_or(0, |at| at + 1);
                let indent =
                    self.text[line..].len() - self.text[line..].trim_start_matches([' ', '\t']).len();
                let close = format!("\n{}}}", &self.text[line..line + indent]);
                let mut most = self.text.len().min(whole.end() + LONGEST_TEST);
                while !self.text.is_char_boundary(most) {
                    most -= 1;
                }
                let end = self.text[whole.end()..most]
                    .find(&close)
                    .map_or(most, |at| whole.end() + at + close.len());
                Some((name.as_str().to_owned(), whole.start()..end))
            })
            .collect();
        // A test ends before the next starts, whatever its brackets say.
        let starts: Vec<usize> =
            found.iter().skip(1).map(|(_, range)| range.start).chain([self.text.len()]).collect();
        for ((name, range), next) in found.into_iter().zip(starts) {
            let range = range.start..range.end.min(next);
            self.add(&[], name, range, shapes, false, false);
        }
    }
}

/// A call that declares a test or a suite.
struct Call {
    name: String,
    suite: bool,
    skipped: bool,
    focused: bool,
}

impl Call {
    fn read(node: Node<'_>, text: &str) -> Option<Self> {
        if node.kind() != "call_expression" {
            return None;
        }
        let function = node.child_by_field_name("function")?;
        let head = text.get(function.byte_range())?.split(['(', '`', '\n']).next()?;
        let mut parts = head.split('.').map(str::trim);
        let base = parts.next()?;
        let modifiers: Vec<&str> = parts.collect();
        let suite = matches!(base, "describe" | "suite" | "context" | "xdescribe" | "fdescribe" | "xcontext")
            || modifiers.contains(&"describe");
        let test = matches!(base, "it" | "test" | "specify" | "xit" | "xtest" | "fit" | "xspecify")
            || head.starts_with("Deno.test")
            || head.starts_with("QUnit.test");
        if !suite && !test {
            return None;
        }
        const KNOWN: &[&str] = &[
            "only",
            "skip",
            "todo",
            "concurrent",
            "sequential",
            "each",
            "for",
            "failing",
            "fails",
            "skipIf",
            "runIf",
            "describe",
            "serial",
            "parallel",
            "fixme",
            "fail",
            "shuffle",
            "test",
            "cb",
        ];
        if !modifiers.iter().all(|modifier| KNOWN.contains(modifier)) {
            return None;
        }
        // `test.each(table)` alone is no test: what it gives is called with the name.
        if function.kind() == "member_expression"
            && matches!(modifiers.last(), Some(&("each" | "for" | "skipIf" | "runIf")))
        {
            return None;
        }
        let first = node.child_by_field_name("arguments")?.named_child(0)?;
        let name = match first.kind() {
            "string" | "template_string" => text.get(first.byte_range())?.trim_matches(['"', '\'', '`']),
            // `test.skip()` within a test, or a title that is computed.
            "identifier" | "binary_expression" | "member_expression"
                if node.child_by_field_name("arguments")?.named_child_count() > 1 =>
            {
                text.get(first.byte_range())?
            }
            _ => return None,
        };
        let has = |words: &[&str]| modifiers.iter().any(|modifier| words.contains(modifier));
        Some(Self {
            name: name.chars().take(200).collect(),
            suite,
            skipped: base.starts_with('x')
                || has(&["skip", "todo", "skipIf", "runIf", "failing", "fails", "fixme", "fail"]),
            focused: matches!(base, "fit" | "fdescribe") || has(&["only"]),
        })
    }
}
