//! Finds the tests of a file by its grammar; of a Kotlin file by its text.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use tree_sitter::{Node, Tree};

use super::super::syntax::{Lang, masked, walk};
use super::case::{Case, Checks, rows, tokens};
use super::doctests::examples;
use super::is_test_path;
use super::plain::plain;
use super::script::script;
use super::shapes::{Shapes, pattern};
use crate::patch::RelPath;

/// The tests of a file by their names, with the names of what they stand in.
pub(super) fn cases(path: &RelPath, text: &str) -> BTreeMap<String, Case> {
    let Some(lang) = Lang::of(path) else { return BTreeMap::new() };
    let tests = match lang {
        Lang::Rust => true,
        Lang::Go => path.as_str().ends_with("_test.go"),
        Lang::Java => is_test_path(path) || text.contains("@Test"),
        _ => is_test_path(path),
    };
    let documented = lang == Lang::Python && text.contains(">>>");
    let Some(tree) = (tests || documented).then(|| lang.parse(text)).flatten() else {
        return BTreeMap::new();
    };
    if !tests {
        return examples(lang, text, &tree);
    }
    let masks = masked(Some(lang), text);
    let mut bare = text.as_bytes().to_vec();
    for (byte, comment) in bare.iter_mut().zip(masks.comments.bytes()) {
        if !comment.is_ascii_whitespace() {
            *byte = b' ';
        }
    }
    let mut found = Found {
        text,
        code: masks.code,
        bare: String::from_utf8_lossy(&bare).into_owned(),
        lang,
        tree: &tree,
        all: BTreeMap::new(),
        seen: BTreeMap::new(),
        breaks: text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect(),
    };
    match lang {
        Lang::Rust => found.rust(),
        Lang::Python => found.python(),
        Lang::Go => found.go(),
        Lang::Java => found.java(),
        Lang::TypeScript | Lang::Tsx | Lang::JavaScript => script(&mut found),
    }
    let mut all = found.all;
    all.extend(examples(lang, text, &tree));
    all
}

/// Where imports stand.
pub(super) fn imports(lang: Lang, text: &str) -> Vec<Range<usize>> {
    let mut all = Vec::new();
    let Some(tree) = lang.parse(text) else { return all };
    walk(&tree, &mut |node| {
        let import = match node.kind() {
            "import_statement"
            | "import_from_statement"
            | "future_import_statement"
            | "use_declaration"
            | "extern_crate_declaration"
            | "import_declaration"
            | "package_clause"
            | "package_declaration" => true,
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

/// A test that was found: what it stands in, its name, where it is, whether it is skipped, whether it is the only one to run.
pub(super) struct Seen {
    pub scope: Vec<String>,
    pub name: String,
    pub range: Range<usize>,
    pub skipped: bool,
    pub focused: bool,
}

pub(super) struct Found<'t> {
    pub text: &'t str,
    pub tree: &'t Tree,
    lang: Lang,
    /// The text without comments and strings.
    pub code: String,
    /// The text without comments.
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

    pub(super) fn said(&self, node: Node<'_>) -> &str {
        Self::slice(self.text, &node.byte_range())
    }

    pub(super) fn add(&mut self, test: Seen) {
        let Seen { scope, name, range, skipped, focused } = test;
        let code = Self::slice(&self.code, &range);
        let mut checks = Checks::of(self.lang, self.tree, &self.code, &range);
        let rows = rows(self.lang, self.tree, &self.code, &range);
        let written =
            |range: &Range<usize>| tokens(Self::slice(&self.bare, range)).collect::<Vec<_>>().join(" ");
        checks.rows = rows.iter().map(written).collect();
        let (mut frame, mut at) = (String::new(), range.start);
        for row in &rows {
            frame.push_str(&written(&(at..row.start)));
            // The comma after a row goes with it.
            at = row.end
                + Self::slice(&self.bare, &(row.end..range.end))
                    .chars()
                    .take_while(|c| c.is_whitespace() || *c == ',')
                    .count();
        }
        frame.push_str(&written(&(at..range.end)));
        let case = Case {
            line: self.breaks.partition_point(|&at| at < range.start) + 1,
            skipped: skipped || Shapes::of(self.lang).skips.is_match(code),
            focused,
            checks,
            body: written(&range),
            plain: plain(self.lang, Self::slice(&self.bare, &range), code),
            documented: false,
            frame,
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

    fn name(&self, node: Node<'_>) -> String {
        node.child_by_field_name("name").map_or_else(String::new, |name| self.said(name).to_owned())
    }

    /// The names of the modules and classes around a node, outermost first.
    fn scope(&self, node: Node<'_>) -> Vec<String> {
        let mut scope: Vec<String> = above(node)
            .filter(|node| {
                matches!(
                    node.kind(),
                    "mod_item"
                        | "class_definition"
                        | "class_declaration"
                        | "record_declaration"
                        | "interface_declaration"
                )
            })
            .map(|node| self.name(node))
            .collect();
        scope.reverse();
        scope
    }

    fn rust(&mut self) {
        static IS_TEST: LazyLock<Regex> = LazyLock::new(|| {
            pattern(
                r"^#\s*\[\s*(?:[\w:]+::)?(?:test|rstest|test_case|quickcheck|proptest|wasm_bindgen_test|bench|apply|case|googletest|traced_test|test_log)\b",
            )
        });
        // A module that is compiled only on some machines or with some features holds tests back.
        static HELD_BACK: LazyLock<Regex> =
            LazyLock::new(|| pattern(r"^#\s*\[\s*cfg(?:_attr)?\s*\((?:\s*test\s*\))?"));
        let mut cases = Vec::new();
        walk(self.tree, &mut |node| {
            if node.kind() == "function_item" {
                let mut start = node.start_byte();
                let mut test = false;
                for attribute in attributes(node) {
                    start = attribute.start_byte();
                    test |= IS_TEST.is_match(self.said(attribute));
                }
                if test {
                    let skipped = above(node).filter(|above| above.kind() == "mod_item").any(|module| {
                        attributes(module).into_iter().any(|attribute| {
                            let said = self.said(attribute);
                            HELD_BACK.find(said).is_some_and(|found| !found.as_str().ends_with(')'))
                        })
                    });
                    let (scope, name) = (self.scope(node), self.name(node));
                    cases.push(Seen { scope, name, range: start..node.end_byte(), skipped, focused: false });
                }
                return !test;
            }
            if node.kind() == "macro_invocation" {
                self.in_macro(node, &mut cases);
                return false;
            }
            true
        });
        cases.into_iter().for_each(|case| self.add(case));
    }

    /// The tests inside `proptest! { … }`, where all is tokens.
    fn in_macro(&self, node: Node<'_>, cases: &mut Vec<Seen>) {
        let name = node.child_by_field_name("macro").map(|name| self.said(name)).unwrap_or_default();
        let whole = matches!(name.rsplit(':').next(), Some("quickcheck"));
        let mut cursor = node.walk();
        let Some(body) = node.children(&mut cursor).find(|child| child.kind() == "token_tree") else {
            return;
        };
        let mut cursor = body.walk();
        let tokens: Vec<Node<'_>> = body.children(&mut cursor).collect();
        let mut start: Option<usize> = None;
        let (mut at, mut test) = (0, whole);
        while let Some(token) = tokens.get(at) {
            match self.said(*token) {
                "#" => {
                    start.get_or_insert(token.start_byte());
                    test |= tokens.get(at + 1).is_some_and(|next| self.said(*next).contains("test"));
                    at += 1;
                }
                "fn" => {
                    let end = tokens[at..].iter().find(|token| self.said(**token).starts_with('{'));
                    if let (Some(end), Some(name), true) = (end, tokens.get(at + 1), test) {
                        let range = start.unwrap_or(token.start_byte())..end.end_byte();
                        let (scope, name) = (self.scope(node), self.said(*name).to_owned());
                        cases.push(Seen { scope, name, range, skipped: false, focused: false });
                    }
                    (start, test) = (None, whole);
                    at +=
                        tokens[at..].iter().position(|token| self.said(*token).starts_with('{')).unwrap_or(0);
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn python(&mut self) {
        let mut cases = Vec::new();
        walk(self.tree, &mut |node| {
            let collected = node.kind() == "function_definition"
                && self.name(node).starts_with("test")
                && above(node).all(|above| match above.kind() {
                    "function_definition" => false,
                    // A class by another name is no collection of tests unless a base makes it one.
                    "class_definition" => {
                        self.name(above).starts_with("Test")
                            || above.child_by_field_name("superclasses").is_some()
                    }
                    _ => true,
                });
            if collected {
                let whole =
                    node.parent().filter(|parent| parent.kind() == "decorated_definition").unwrap_or(node);
                // A class's decorator is each of its tests'; what is under a condition may not be there.
                let skipped =
                    above(node).filter(|above| above.id() != whole.id()).any(|above| match above.kind() {
                        "decorated_definition" => {
                            let inner = above
                                .child_by_field_name("definition")
                                .map_or(above.end_byte(), |inner| inner.start_byte());
                            let head = Self::slice(&self.code, &(above.start_byte()..inner));
                            Shapes::of(Lang::Python).skips.is_match(head)
                        }
                        "if_statement" | "try_statement" => true,
                        _ => false,
                    });
                let (scope, name) = (self.scope(node), self.name(node));
                cases.push(Seen { scope, name, range: whole.byte_range(), skipped, focused: false });
                return false;
            }
            true
        });
        cases.into_iter().for_each(|case| self.add(case));
    }

    fn go(&mut self) {
        static NAME: LazyLock<Regex> =
            LazyLock::new(|| pattern(r"^(?:Test|Fuzz|Example|Benchmark)(?:[^a-z]|$)"));
        let mut cases = Vec::new();
        walk(self.tree, &mut |node| {
            let name = self.name(node);
            let suite = node.kind() == "method_declaration" && name.starts_with("Test");
            let function = node.kind() == "function_declaration" && NAME.is_match(&name);
            if !suite && !function {
                return node.kind() == "source_file";
            }
            let receiver = node.child_by_field_name("receiver").map(|receiver| self.said(receiver));
            let owner = receiver.map(|receiver| {
                receiver.trim_matches(['(', ')']).split([' ', '*']).next_back().unwrap_or_default().to_owned()
            });
            let scope = owner.into_iter().collect();
            cases.push(Seen { scope, name, range: node.byte_range(), skipped: false, focused: false });
            false
        });
        cases.into_iter().for_each(|case| self.add(case));
    }

    fn java(&mut self) {
        static IS_TEST: LazyLock<Regex> = LazyLock::new(|| {
            pattern(r"@(?:\w+\.)*(?:Test|ParameterizedTest|RepeatedTest|TestFactory|TestTemplate|Property)\b")
        });
        static JUNIT_3: LazyLock<Regex> = LazyLock::new(|| pattern(r"\bextends\s+(?:\w+\.)*\w*TestCase\b"));
        let mut cases = Vec::new();
        walk(self.tree, &mut |node| {
            if node.kind() != "method_declaration" {
                return true;
            }
            let modifiers = modifiers(node).map(|modifiers| self.said(modifiers)).unwrap_or_default();
            let class = above(node).find(|above| above.kind() == "class_declaration");
            let class_modifiers =
                class.and_then(modifiers_of).map(|modifiers| self.said(modifiers)).unwrap_or_default();
            let head = class.map(|class| {
                let body =
                    class.child_by_field_name("body").map_or(class.end_byte(), |body| body.start_byte());
                Self::slice(self.text, &(class.start_byte()..body))
            });
            let test = IS_TEST.is_match(modifiers)
                || (IS_TEST.is_match(class_modifiers) && modifiers.contains("public"))
                || (self.name(node).starts_with("test") && head.is_some_and(|head| JUNIT_3.is_match(head)));
            if test {
                let skipped = above(node)
                    .filter_map(modifiers_of)
                    .any(|modifiers| Shapes::of(Lang::Java).skips.is_match(self.said(modifiers)))
                    || class_modifiers.contains("abstract");
                let (scope, name) = (self.scope(node), self.name(node));
                cases.push(Seen { scope, name, range: node.byte_range(), skipped, focused: false });
            }
            !test
        });
        cases.into_iter().for_each(|case| self.add(case));
    }
}

/// What a node stands in, innermost first.
fn above(node: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    std::iter::successors(node.parent(), Node::parent)
}

/// The attributes right above an item of Rust, the last first.
fn attributes(node: Node<'_>) -> Vec<Node<'_>> {
    let mut all = Vec::new();
    let mut above = node.prev_named_sibling();
    while let Some(sibling) =
        above.filter(|node| matches!(node.kind(), "attribute_item" | "line_comment" | "block_comment"))
    {
        if sibling.kind() == "attribute_item" {
            all.push(sibling);
        }
        above = sibling.prev_named_sibling();
    }
    all
}

fn modifiers(node: Node<'_>) -> Option<Node<'_>> {
    let mut cursor = node.walk();
    node.named_children(&mut cursor).find(|child| child.kind() == "modifiers")
}

fn modifiers_of(node: Node<'_>) -> Option<Node<'_>> {
    (node.kind() == "class_declaration").then(|| modifiers(node)).flatten()
}
