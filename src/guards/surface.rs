//! What a file offers to other code, as far as the grammars tell: a patch that takes something away or makes it look different may break code
//! that no check here sees.

use std::collections::BTreeSet;

use tree_sitter::Node;

use super::syntax::{Lang, walk};
use super::tests_kept::is_test_path;
use crate::patch::{Change, FileState, RelPath};

/// What others could use before the change and cannot, or not in the same way, after it: signatures on one line, in order. What tests offer
/// counts for nothing.
pub fn lost(path: &RelPath, change: &Change) -> Vec<String> {
    let Some(lang) = Lang::of(path).filter(|_| !is_test_path(path)) else { return Vec::new() };
    let offered = |side: &Option<FileState>| {
        side.as_ref().and_then(FileState::as_text).map(|text| offered(lang, text)).unwrap_or_default()
    };
    let after = offered(&change.after);
    offered(&change.before).into_iter().filter(|item| !after.contains(item)).collect()
}

/// The signatures of what others may use, each after the names of what it stands in.
fn offered(lang: Lang, text: &str) -> BTreeSet<String> {
    let mut items = BTreeSet::new();
    let Some(tree) = lang.parse(text) else { return items };
    walk(&tree, &mut |node| {
        if is_item(lang, node) && is_open(lang, node, text) {
            items.insert(format!("{}{}", scope(node, text), signature(node, text)));
        }
        // What stands in a body is nobody else's.
        !matches!(node.kind(), "block" | "statement_block" | "function_body" | "constructor_body")
            || lang == Lang::Python
    });
    items
}

/// Whether a node declares something that could be used from elsewhere.
fn is_item(lang: Lang, node: Node<'_>) -> bool {
    match lang {
        Lang::Rust => matches!(
            node.kind(),
            "function_item"
                | "function_signature_item"
                | "struct_item"
                | "enum_item"
                | "union_item"
                | "trait_item"
                | "type_item"
                | "const_item"
                | "static_item"
                | "mod_item"
                | "use_declaration"
                | "field_declaration"
                | "enum_variant"
        ),
        Lang::Python => matches!(node.kind(), "function_definition" | "class_definition"),
        Lang::TypeScript | Lang::Tsx | Lang::JavaScript => node.kind() == "export_statement",
        Lang::Go => matches!(
            node.kind(),
            "function_declaration" | "method_declaration" | "type_spec" | "const_spec" | "var_spec"
        ),
        Lang::Java => matches!(
            node.kind(),
            "class_declaration"
                | "interface_declaration"
                | "enum_declaration"
                | "record_declaration"
                | "method_declaration"
                | "constructor_declaration"
                | "field_declaration"
        ),
    }
}

/// Whether it is open to others, as far as its own words say.
fn is_open(lang: Lang, node: Node<'_>, text: &str) -> bool {
    let words = |node: Node<'_>| text.get(node.byte_range()).unwrap_or_default();
    let name = node.child_by_field_name("name").map(words).unwrap_or_default();
    let child = |kind: &str| {
        let mut cursor = node.walk();
        node.children(&mut cursor).find(|child| child.kind() == kind)
    };
    match lang {
        Lang::Rust => {
            // A trait's items and an enum's variants are as open as itself.
            let mut above = node;
            while let Some(parent) = above.parent() {
                if matches!(parent.kind(), "trait_item" | "enum_item") {
                    return is_open(lang, parent, text);
                }
                above = parent;
            }
            child("visibility_modifier").is_some_and(|visibility| words(visibility) == "pub")
        }
        Lang::Python => {
            let mut above = node.parent();
            while let Some(parent) = above {
                // What a function has inside is its own.
                if parent.kind() == "function_definition" {
                    return false;
                }
                if parent.kind() == "class_definition" && !is_open(lang, parent, text) {
                    return false;
                }
                above = parent.parent();
            }
            !name.starts_with('_') || name == "__init__"
        }
        Lang::TypeScript | Lang::Tsx | Lang::JavaScript => true,
        Lang::Go => name.starts_with(char::is_uppercase),
        Lang::Java => child("modifiers")
            .is_some_and(|modifiers| words(modifiers).split_whitespace().any(|word| word == "public")),
    }
}

/// The names of what a node stands in, each with a dot behind it.
fn scope(node: Node<'_>, text: &str) -> String {
    let mut names = Vec::new();
    let mut above = node.parent();
    while let Some(parent) = above {
        let name = ["name", "type"].iter().find_map(|field| parent.child_by_field_name(field));
        let holds = matches!(
            parent.kind(),
            "mod_item" | "impl_item" | "trait_item" | "struct_item" | "enum_item" | "class_definition"
        ) || parent.kind().ends_with("_declaration");
        if let Some(name) = name.filter(|_| holds).and_then(|name| text.get(name.byte_range())) {
            names.push(format!("{name}."));
        }
        above = parent.parent();
    }
    names.into_iter().rev().collect()
}

/// The longest signature that is told, in characters.
const LONGEST: usize = 200;

/// What a node declares, on one line, without its body.
fn signature(node: Node<'_>, text: &str) -> String {
    let inner = node.child_by_field_name("declaration").unwrap_or(node);
    let holds = matches!(inner.kind(), "struct_item" | "enum_item" | "mod_item" | "union_item");
    let value = ["body", "value"].iter().find_map(|field| inner.child_by_field_name(field));
    // The shape of an interface is in its body; the members of others are items of their own.
    let whole = matches!(inner.kind(), "interface_declaration" | "type_alias_declaration" | "type_spec");
    let end = match value {
        Some(body) if !whole || holds => body.start_byte(),
        _ => declared(inner).unwrap_or(inner.end_byte()),
    };
    let words = text.get(node.start_byte()..end.max(node.start_byte())).unwrap_or_default();
    let words: Vec<&str> = words.split_whitespace().collect();
    words.join(" ").trim_end_matches(['{', '=', ':', ' ']).chars().take(LONGEST).collect()
}

/// Where the value of `const NAME = value` begins, in scripts.
fn declared(node: Node<'_>) -> Option<usize> {
    if !matches!(node.kind(), "lexical_declaration" | "variable_declaration") {
        return None;
    }
    let mut cursor = node.walk();
    let first = node.named_children(&mut cursor).find(|child| child.kind() == "variable_declarator")?;
    let value = first.child_by_field_name("value")?;
    // A function's arguments are part of what others rely on.
    let body = value.child_by_field_name("body").unwrap_or(value);
    Some(body.start_byte())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(path: &str, before: &str, after: &str) -> Vec<String> {
        let side = |text: &str| Some(FileState::text(text)).filter(|_| !text.is_empty());
        lost(&RelPath::new(path).unwrap(), &Change { before: side(before), after: side(after) })
    }

    #[test]
    fn what_others_use_is_missed_when_it_goes_or_changes() {
        let rust = "pub struct P {\n    pub x: u8,\n    y: u8,\n}\nimpl P {\n    pub fn new(x: u8) -> Self {\n        Self { x, y: 0 }\n    }\n    fn own(&self) {}\n}\n";
        assert_eq!(gone("src/a.rs", rust, &rust.replace("y: 0", "y: 1")), Vec::<String>::new(), "a body");
        assert_eq!(gone("src/a.rs", rust, &rust.replace("fn own", "fn other")), Vec::<String>::new());
        assert_eq!(
            gone("src/a.rs", rust, &rust.replace("(x: u8)", "(x: u16)")),
            ["P.pub fn new(x: u8) -> Self"]
        );
        assert_eq!(gone("src/a.rs", rust, &rust.replace("pub x", "x")), ["P.pub x: u8"]);
        assert_eq!(gone("src/a.rs", rust, "").len(), 3);
        assert_eq!(gone("tests/a.rs", rust, "").len(), 0, "tests are nobody's interface");
        let private = gone("src/a.rs", "pub(crate) fn a() {}\nfn b() {}\n", "");
        assert_eq!(private, Vec::<String>::new());
        let variants = gone("src/a.rs", "pub enum E { A, B }\n", "pub enum E { A }\n");
        assert_eq!(variants, ["E.B"]);
        let python = "class C:\n    def m(self, a):\n        pass\n    def _p(self):\n        pass\n\ndef f(a=1):\n    def inner():\n        pass\n";
        assert_eq!(gone("a.py", python, &python.replace("a=1", "a")), ["def f(a=1)"]);
        assert_eq!(gone("a.py", python, &python.replace("_p", "_q").replace("inner", "other")).len(), 0);
        assert_eq!(gone("a.py", python, ""), ["C.def m(self, a)", "class C", "def f(a=1)"]);
        let script = "export function f(a: I): void { g(); }\nexport const h = (a: number) => a + 1;\nexport interface I { a: string }\nfunction own() {}\n";
        assert_eq!(gone("a.ts", script, &script.replace("g()", "k()").replace("a + 1", "a + 2")).len(), 0);
        assert_eq!(
            gone("a.ts", script, &script.replace("a: string", "b: string")),
            ["export interface I { a: string }"]
        );
        assert_eq!(
            gone("a.ts", script, &script.replace("(a: number)", "()")),
            ["export const h = (a: number) =>"]
        );
        let go = "package a\n\nfunc Open(x int) int { return x }\n\nfunc own() {}\n";
        assert_eq!(gone("a.go", go, &go.replace("x int", "x string")), ["func Open(x int) int"]);
        let java = "public class A {\n  public int size() { return 1; }\n  private void own() {}\n}\n";
        assert_eq!(gone("A.java", java, &java.replace("size()", "size(int a)")), ["A.public int size()"]);
    }

    #[test]
    fn broken_and_hostile_files_are_survived() {
        for text in ["pub fn (((", "class", "\0", "export", "export default", "impl {", &"(".repeat(100_000)]
        {
            for path in ["a.rs", "a.py", "a.ts", "a.go", "A.java"] {
                gone(path, text, "");
                gone(path, "", text);
            }
        }
    }
}
