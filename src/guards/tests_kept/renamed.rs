//! Whether a text is another with names changed and nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use tree_sitter::Node;

use super::super::delta::Delta;
use super::super::syntax::{Lang, masked, walk};
use super::bindings::{defines_less_outside, defines_more_outside};
use super::case::{Case, words};
use crate::patch::RelPath;

/// Words whose change is never a mere renaming.
static MEANINGFUL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)assert|expect|should|(?-i:^to[A-Z])|^to_|^not$|equal|^is$|^in$|^or$|^and$|true|false|none|null|nil|undefined|skip|only|ignore|todo|xfail|^any$|raises|throws|panic|^if$|^return$|^\d|^(?:eq|ne|lt|le|gt|ge|ok|err|some)$")
        .expect("constant pattern")
});

/// Whether `new` is `old` with identifiers renamed: one to one, none of the words that carry the test's meaning, nothing in strings, the
/// old names gone from the file, and each of them either a thing of the product that the patch renames or a name that the test file binds
/// itself.
pub(super) fn renamed<'t>(
    old: impl Iterator<Item = &'t str>,
    new: impl Iterator<Item = &'t str>,
    old_side: &Side<'_>,
    new_side: &Side<'_>,
    deltas: &[Delta<'_>],
    delta: &Delta<'_>,
) -> bool {
    let (old_text, new_text) = (old_side.text, new_side.text);
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
    let old_words: BTreeSet<&str> = words(&old_code).collect();
    let new_words: BTreeSet<&str> = words(&new_code).collect();
    let pairs: Vec<(&str, &str)> =
        to.iter().filter(|(old, new)| old != new).map(|(old, new)| (*old, *new)).collect();
    // In a string the word would be data: it has to be known as code, before and after.
    let plain = pairs.iter().all(|(old, new)| {
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
    });
    if !plain || pairs.is_empty() {
        return plain;
    }
    let (was, now) = (local(delta.old_path(), old_side), local(delta.path, new_side));
    pairs.iter().all(|(old, new)| {
        (was.contains(*old) && now.contains(*new))
            || (defines_less_outside(deltas, old) && defines_more_outside(deltas, new))
    })
}

/// One side of what is compared.
pub(super) struct Side<'t> {
    /// The whole file.
    pub text: &'t str,
    /// What is compared, where it is one test.
    pub range: Option<Range<usize>>,
    /// All tests of the file.
    pub tests: Vec<Range<usize>>,
}

impl<'t> Side<'t> {
    pub(super) fn new(text: &'t str, cases: &BTreeMap<String, Case>, case: Option<&Case>) -> Self {
        let tests = cases.values().map(|case| case.range.clone()).collect();
        Self { text, range: case.map(|case| case.range.clone()), tests }
    }

    /// Whether what is bound at a place means what the compared text says: it is within it, or in no test at all.
    fn reaches(&self, at: usize) -> bool {
        self.range.as_ref().is_some_and(|range| range.contains(&at))
            || !self.tests.iter().any(|test| test.contains(&at))
    }
}

/// The names that a file binds itself and that stand nowhere for a field, a key, a method, or a name of another module.
fn local(path: &RelPath, side: &Side<'_>) -> BTreeSet<String> {
    let Some(lang) = Lang::of(path) else { return BTreeSet::new() };
    let Some(tree) = lang.parse(side.text) else { return BTreeSet::new() };
    let (mut bound, mut elsewhere) = (BTreeSet::new(), BTreeSet::new());
    walk(&tree, &mut |node| {
        if node.child_count() > 0 {
            return true;
        }
        let range = node.byte_range();
        let Some(word) = side
            .text
            .get(range.clone())
            .filter(|word| word.starts_with(|c: char| c.is_alphabetic() || c == '_'))
        else {
            return true;
        };
        let head = side.text[..range.start].trim_end();
        let member =
            (head.ends_with('.') && !head.ends_with("..")) || head.ends_with("::") || head.ends_with("->");
        let tail = side.text[range.end..].trim_start();
        let parent = node.parent();
        let key = parent.is_some_and(|parent| match parent.kind() {
            "keyword_argument" | "keyed_element" | "element_value_pair" => parent
                .child_by_field_name("name")
                .or_else(|| parent.child_by_field_name("key"))
                .is_none_or(|name| name.id() == node.id()),
            // In a macro of Rust all is tokens.
            "token_tree" => tail.starts_with(':') && !tail.starts_with("::"),
            // A field that is named by what fills it.
            "shorthand_field_initializer" | "literal_element" => true,
            _ => false,
        });
        if member || key || node.kind() != "identifier" {
            elsewhere.insert(word.to_owned());
        } else if side.reaches(range.start) && binds(node) {
            bound.insert(word.to_owned());
        }
        true
    });
    bound.retain(|name| !elsewhere.contains(name));
    bound
}

/// Whether an identifier is bound where it stands.
fn binds(name: Node<'_>) -> bool {
    const LISTS: [&str; 8] = [
        "pattern_list",
        "tuple_pattern",
        "list_pattern",
        "array_pattern",
        "expression_list",
        "mut_pattern",
        "ref_pattern",
        "reference_pattern",
    ];
    let mut inner = name;
    while let Some(outer) = inner.parent() {
        let is = |field: &str| outer.child_by_field_name(field).is_some_and(|part| part.id() == inner.id());
        match outer.kind() {
            "formal_parameters"
            | "closure_parameters"
            | "inferred_parameters"
            | "lambda_parameters"
            | "as_pattern_target" => return true,
            kind if LISTS.contains(&kind) => inner = outer,
            "assignment"
            | "for_statement"
            | "for_in_clause"
            | "short_var_declaration"
            | "range_clause"
            | "for_in_statement" => return is("left"),
            "let_declaration" | "for_expression" | "parameter" | "required_parameter" => {
                return is("pattern");
            }
            "arrow_function" => return is("parameter"),
            "lambda_expression" => return is("parameters"),
            "variable_declarator"
            | "var_spec"
            | "const_spec"
            | "formal_parameter"
            | "parameter_declaration"
            | "enhanced_for_statement"
            | "named_expression"
            | "function_item"
            | "function_definition"
            | "function_declaration"
            | "const_item"
            | "static_item"
            | "method_declaration"
            | "class_definition" => return is("name"),
            _ => return false,
        }
    }
    false
}

/// Whether a word stands right inside quotes somewhere: then a change of it may be a change of data.
fn quoted(text: &str, word: &str) -> bool {
    ['"', '\'', '`']
        .iter()
        .any(|quote| text.contains(&format!("{quote}{word}")) || text.contains(&format!("{word}{quote}")))
}
