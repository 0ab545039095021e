//! One test: what it is called, and what it checks.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use tree_sitter::{Node, Tree};

use super::super::syntax::Lang;
use super::shapes::{Shapes, pattern};

/// One test.
#[derive(Debug)]
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
    /// An example of the documentation.
    pub documented: bool,
    /// What it checks.
    pub checks: Checks,
    /// What it does: its words and signs without comments and white space.
    pub body: String,
    /// The same without signs that change nothing of what it checks.
    pub plain: String,
    /// The same without the rows of its table.
    pub frame: String,
}

/// What a test checks, as counts.
#[derive(Debug, Default)]
pub(super) struct Checks {
    /// Assertions in it.
    pub asserts: usize,
    /// Those that compare with a value.
    pub exact: usize,
    /// Comparisons that leave room.
    pub approximate: usize,
    /// Assertions that are always true.
    pub hollow: usize,
    /// Assertions whose failure is caught.
    pub swallowed: usize,
    /// Conditions around assertions.
    pub conditions: usize,
    /// Returns with no value.
    pub returns: usize,
    /// Rows of the table that it runs over, as they are written.
    pub rows: Vec<String>,
}

impl Case {
    pub(super) fn tokens(&self) -> impl Iterator<Item = &str> {
        tokens(&self.body)
    }

    /// Whether `new` is this test with nothing but more: rows in its table, or something done after all that it did.
    pub(super) fn grows_to(&self, new: &Self, lang: Option<Lang>) -> bool {
        let mut rows = new.checks.rows.clone();
        let kept = self.checks.rows.iter().all(|row| match rows.iter().position(|other| other == row) {
            Some(at) => {
                rows.swap_remove(at);
                true
            }
            None => false,
        });
        if !self.checks.rows.is_empty() && kept && self.frame == new.frame {
            return true;
        }
        self.goes_on_to(new, lang)
    }

    /// Whether `new` does all that this test does and then something more, in statements of their own.
    pub(super) fn goes_on_to(&self, new: &Self, lang: Option<Lang>) -> bool {
        let (old, new): (Vec<&str>, Vec<&str>) = (self.tokens().collect(), new.tokens().collect());
        // What closes the test stays last; Python's blocks close without a sign.
        let end = match lang {
            Some(Lang::Python) => old.len(),
            _ => old.iter().rposition(|token| *token == "}").unwrap_or(old.len()),
        };
        let (start, close) = old.split_at(end);
        let Some(rest) = new.strip_prefix(start).and_then(|rest| rest.strip_suffix(close)) else {
            return false;
        };
        // A word after a whole statement starts another one, unless it goes on with the first.
        const GOES_ON: [&str; 16] = [
            "or",
            "and",
            "if",
            "is",
            "in",
            "not",
            "else",
            "elif",
            "for",
            "as",
            "except",
            "finally",
            "catch",
            "instanceof",
            "of",
            "while",
        ];
        // JavaScript and Rust know a name before it is declared, and Python says late whose a name is.
        let early: &[&str] = match lang {
            Some(Lang::Python) => &["global", "nonlocal", "mock"],
            Some(Lang::Rust) => &[
                "fn",
                "use",
                "struct",
                "enum",
                "union",
                "trait",
                "type",
                "const",
                "static",
                "mod",
                "impl",
                "extern",
                "macro_rules",
                "mock",
            ],
            Some(lang) if lang.is_script() => &["function", "var", "class", "mock", "jest", "vi"],
            _ => &["mock"],
        };
        // What ends a loop ends what it did in the next rounds.
        const LEAVES: [&str; 4] = ["break", "continue", "return", "yield"];
        let word = |token: &str| token.starts_with(|c: char| c.is_alphabetic() || c == '_');
        rest.first().is_some_and(|first| word(first) && !GOES_ON.contains(first))
            && !rest.iter().any(|token| early.contains(token) || LEAVES.contains(token))
    }

    /// How often it waits for something.
    pub(super) fn awaits(&self) -> usize {
        self.tokens().filter(|token| *token == "await").count()
    }

    /// What it does, without its name.
    pub(super) fn inner(&self) -> String {
        let name = tokens(&self.name).collect::<Vec<_>>().join(" ");
        self.body.replacen(&name, "", 1)
    }
}

/// A word or a sign.
pub(super) static TOKEN: LazyLock<Regex> = LazyLock::new(|| pattern(r"\w+|[^\w\s]"));

/// The words and signs of a text.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = &str> {
    TOKEN.find_iter(text).map(|found| found.as_str())
}

/// The words of a text.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    tokens(text).filter(|token| token.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
}

static RETURN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?m)^\s*return\s*(?:None|undefined|nil|Ok\(\(\)\))?\s*;?\s*$|[{;]\s*return\s*;")
});

/// Calls and blocks that expect what is in them to fail.
static EXPECTS_FAILURE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:async\s+)?(?:with\s+)?(?:pytest\.raises|self\.assertRaises\w*|(?:contextlib\.)?suppress|expect|assert\.(?:throws|rejects|doesNotThrow)|assertThrows\w*|(?:std::)?panic::catch_unwind|(?:assert|require)\.(?:Panics|NotPanics))\b",
    )
});

/// A case that throws something again, or fails.
static GOES_ON: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\b(?:raise|throw|fail|assert\w*|expect|panic|done|reject|Error)\b"));

impl Checks {
    /// Counts what stands in `range` of a text: `code` is the text without comments and strings.
    pub(super) fn of(lang: Lang, tree: &Tree, code: &str, range: &Range<usize>) -> Self {
        let shapes = Shapes::of(lang);
        let part = code.get(range.clone()).unwrap_or_default();
        let same = shapes.pairs.captures_iter(part).filter(|found| {
            let mut sides = found.iter().skip(1).flatten().map(|side| side.as_str());
            let (first, second) = (sides.next(), sides.next());
            first == second && first.is_some_and(|side| !side.trim().is_empty())
        });
        let mut checks = Self {
            exact: shapes.exact.find_iter(part).count().saturating_sub(shapes.broad.find_iter(part).count()),
            approximate: shapes.approximate.find_iter(part).count(),
            hollow: shapes.hollow.find_iter(part).count() + same.count(),
            swallowed: shapes.swallows.find_iter(part).count(),
            returns: RETURN.find_iter(part).count(),
            ..Self::default()
        };
        for found in shapes.asserts.find_iter(part) {
            checks.asserts += 1;
            let at = range.start + found.start();
            let innermost = tree.root_node().descendant_for_byte_range(at, at + 1);
            let above = std::iter::successors(innermost, Node::parent)
                .take_while(|node| node.start_byte() > range.start || node.end_byte() < range.end);
            for node in above {
                checks.conditions += usize::from(is_condition(lang, node, at, range.start));
                checks.swallowed += usize::from(swallows(node, code, at));
            }
        }
        checks
    }
}

/// Whether what stands at `at` runs only if something holds, or is called, because of `node`.
fn is_condition(lang: Lang, node: Node<'_>, at: usize, start: usize) -> bool {
    const FUNCTIONS: [&str; 3] = ["function_definition", "function_item", "function_declaration"];
    let within =
        |field: &str| node.child_by_field_name(field).is_some_and(|part| part.byte_range().contains(&at));
    match node.kind() {
        "if_statement"
        | "if_expression"
        | "while_statement"
        | "while_expression"
        | "conditional_expression"
        | "ternary_expression" => !within("condition"),
        "switch_statement" | "switch_expression" => true,
        // A function within the test may never be called. The test itself is none.
        kind if FUNCTIONS.contains(&kind) => {
            lang.is_script()
                || std::iter::successors(node.parent(), Node::parent)
                    .any(|above| above.start_byte() >= start && FUNCTIONS.contains(&above.kind()))
        }
        _ => false,
    }
}

/// Whether the failure of what stands at `at` is caught by `node`.
fn swallows(node: Node<'_>, code: &str, at: usize) -> bool {
    let said = |node: Node<'_>| code.get(node.byte_range()).unwrap_or_default();
    match node.kind() {
        "try_statement" | "try_with_resources_statement" => {
            let body = node.child_by_field_name("body");
            let mut cursor = node.walk();
            body.is_some_and(|body| body.byte_range().contains(&at))
                && node
                    .named_children(&mut cursor)
                    .filter(|child| matches!(child.kind(), "catch_clause" | "except_clause"))
                    .any(|handler| !GOES_ON.is_match(said(handler)))
        }
        "call_expression" | "call" | "method_invocation" => {
            let arguments = node.child_by_field_name("arguments");
            arguments.is_some_and(|arguments| {
                arguments.byte_range().contains(&at)
                    && EXPECTS_FAILURE.is_match(said(node))
                    && (said(arguments).contains("=>")
                        || said(arguments).contains("->")
                        || said(arguments).contains('|')
                        || said(arguments).contains("func"))
            })
        }
        "with_statement" => {
            let body = node.child_by_field_name("body");
            body.is_some_and(|body| body.byte_range().contains(&at)) && EXPECTS_FAILURE.is_match(said(node))
        }
        _ => false,
    }
}

/// Where the rows of the tables stand that a test in `range` runs over.
pub(super) fn rows(lang: Lang, tree: &Tree, code: &str, range: &Range<usize>) -> Vec<Range<usize>> {
    static CASES: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?m)^\s*#\s*\[\s*(?:\w+::)?(?:case|test_case|values)\b.*$"));
    if lang == Lang::Rust {
        let part = code.get(range.clone()).unwrap_or_default();
        return CASES
            .find_iter(part)
            .map(|found| range.start + found.start()..range.start + found.end())
            .collect();
    }
    let mut all = Vec::new();
    let root = tree.root_node();
    let Some(node) = root.descendant_for_byte_range(range.start, range.end.saturating_sub(1)) else {
        return all;
    };
    let mut pending = vec![(node, 0)];
    while let Some((node, depth)) = pending.pop() {
        let list = match lang {
            Lang::Python => {
                (node.kind() == "list" && inside(node, "decorator"))
                    || (matches!(node.kind(), "list" | "tuple") && is_walked(node, code, range))
            }
            Lang::TypeScript | Lang::Tsx | Lang::JavaScript => {
                node.kind() == "array" && (is_table(node, code) || is_walked(node, code, range))
            }
            Lang::Java => node.kind() == "element_value_array_initializer",
            Lang::Go => {
                node.kind() == "literal_value"
                    && node.parent().is_some_and(|whole| is_slice(whole) || is_walked(whole, code, range))
            }
            Lang::Rust => false,
        };
        let mut cursor = node.walk();
        let children = node.named_children(&mut cursor);
        if list {
            all.extend(
                children.filter(|child| !child.kind().ends_with("comment")).map(|child| child.byte_range()),
            );
        } else if depth < 60 {
            pending.extend(children.map(|child| (child, depth + 1)));
        }
    }
    all.sort_by_key(|row| row.start);
    all
}

fn inside(node: Node<'_>, kind: &str) -> bool {
    std::iter::successors(node.parent(), Node::parent).any(|above| above.kind() == kind)
}

/// Whether a list is there for a loop to run over, itself or by the one name that it has in the test.
fn is_walked(list: Node<'_>, code: &str, range: &Range<usize>) -> bool {
    let said = |node: Node<'_>| code.get(node.byte_range()).unwrap_or_default();
    let mut owner = list;
    while let Some(above) = owner.parent().filter(|above| above.kind() == "expression_list") {
        owner = above;
    }
    let Some(above) = owner.parent() else { return false };
    let is = |field: &str| above.child_by_field_name(field).is_some_and(|part| part.id() == owner.id());
    let name = match above.kind() {
        "for_statement" | "for_in_statement" | "range_clause" => return is("right"),
        "assignment" | "short_var_declaration" if is("right") => above.child_by_field_name("left"),
        "variable_declarator" if is("value") => above.child_by_field_name("name"),
        _ => None,
    };
    let Some(name) = name
        .map(said)
        .filter(|name| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_'))
    else {
        return false;
    };
    // Named anywhere else, its elements may be what is expected.
    let words: Vec<&str> = tokens(code.get(range.clone()).unwrap_or_default()).collect();
    let uses: Vec<usize> = (0..words.len()).filter(|at| words[*at] == name).collect();
    let walked = |at: usize| {
        let before = at.checked_sub(1).and_then(|at| words.get(at)).copied().unwrap_or_default();
        let next = words.get(at + 1).copied().unwrap_or_default();
        matches!(before, "in" | "of" | "range") && matches!(next, ":" | ")" | "{")
    };
    uses.len() == 2 && walked(uses[1])
}

/// The table of `test.each([…])`.
fn is_table(node: Node<'_>, code: &str) -> bool {
    let call = node.parent().and_then(|arguments| arguments.parent());
    call.and_then(|call| call.child_by_field_name("function"))
        .and_then(|function| code.get(function.byte_range()))
        .is_some_and(|function| function.ends_with(".each") || function.ends_with(".for"))
}

/// A literal of a list or map of structs that have no name: nothing else is compared with such a list.
fn is_slice(node: Node<'_>) -> bool {
    node.kind() == "composite_literal"
        && node.child_by_field_name("type").is_some_and(|kind| {
            let element = kind.child_by_field_name("element").or_else(|| kind.child_by_field_name("value"));
            matches!(kind.kind(), "slice_type" | "map_type")
                && element.is_some_and(|element| element.kind() == "struct_type")
        })
}
