//! What tree-sitter knows of a file: the definition around a line, the signatures.

use std::ops::RangeInclusive;

use tree_sitter::{Node, Parser, Tree};

use crate::patch::RelPath;

/// The largest file that is parsed, in bytes.
const LARGEST: usize = 512 << 10;
/// A longer definition is shown in part.
const LONGEST_DEFINITION: u32 = 90;
/// Lines of imports that go with an excerpt.
const MOST_IMPORT_LINES: u32 = 60;
/// A longer signature is cut, in characters.
const LONGEST_SIGNATURE: usize = 300;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Rust,
    Python,
    TypeScript,
    Tsx,
    JavaScript,
}

fn language(path: &RelPath) -> Option<Language> {
    Some(match path.extension()? {
        "rs" => Language::Rust,
        "py" | "pyi" => Language::Python,
        "ts" | "mts" | "cts" => Language::TypeScript,
        "tsx" => Language::Tsx,
        "js" | "jsx" | "mjs" | "cjs" => Language::JavaScript,
        _ => return None,
    })
}

/// The word behind a fence.
pub(super) fn tag(path: &RelPath) -> &'static str {
    match language(path) {
        Some(Language::Rust) => "rust",
        Some(Language::Python) => "python",
        Some(Language::TypeScript) => "typescript",
        Some(Language::Tsx) => "tsx",
        Some(Language::JavaScript) => "javascript",
        None => "text",
    }
}

fn parse(path: &RelPath, text: &str) -> Option<Tree> {
    let grammar: tree_sitter::Language = match language(path)? {
        Language::Rust => tree_sitter_rust::LANGUAGE.into(),
        Language::Python => tree_sitter_python::LANGUAGE.into(),
        Language::TypeScript => tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
        Language::Tsx => tree_sitter_typescript::LANGUAGE_TSX.into(),
        Language::JavaScript => tree_sitter_javascript::LANGUAGE.into(),
    };
    if text.len() > LARGEST {
        return None;
    }
    let mut parser = Parser::new();
    parser.set_language(&grammar).ok()?;
    parser.parse(text, None)
}

fn is_definition(kind: &str) -> bool {
    matches!(
        kind,
        "function_item"
            | "function_signature_item"
            | "struct_item"
            | "enum_item"
            | "union_item"
            | "type_item"
            | "const_item"
            | "static_item"
            | "trait_item"
            | "impl_item"
            | "mod_item"
            | "macro_definition"
            | "function_definition"
            | "class_definition"
            | "decorated_definition"
            | "function_declaration"
            | "generator_function_declaration"
            | "class_declaration"
            | "abstract_class_declaration"
            | "interface_declaration"
            | "type_alias_declaration"
            | "enum_declaration"
            | "lexical_declaration"
            | "variable_declaration"
            | "export_statement"
            | "method_definition"
            | "method_signature"
            | "abstract_method_signature"
            | "public_field_definition"
            | "internal_module"
    )
}

fn is_import(kind: &str) -> bool {
    matches!(
        kind,
        "use_declaration"
            | "extern_crate_declaration"
            | "import_statement"
            | "import_from_statement"
            | "future_import_statement"
    )
}

/// Definitions whose members are worth a line each.
fn has_members(kind: &str) -> bool {
    matches!(
        kind,
        "trait_item"
            | "impl_item"
            | "mod_item"
            | "class_definition"
            | "class_declaration"
            | "abstract_class_declaration"
            | "internal_module"
    )
}

/// Definitions that are nothing without their body.
fn is_shape(kind: &str) -> bool {
    matches!(
        kind,
        "struct_item"
            | "enum_item"
            | "union_item"
            | "type_item"
            | "interface_declaration"
            | "type_alias_declaration"
            | "enum_declaration"
    )
}

fn rows(node: Node<'_>) -> RangeInclusive<u32> {
    node.start_position().row as u32 + 1..=node.end_position().row as u32 + 1
}

fn length(node: Node<'_>) -> u32 {
    let rows = rows(node);
    rows.end() - rows.start() + 1
}

/// The lines (from 1) worth seeing to repair `lines`: the definition around each, the first lines of what contains it, the imports.
/// `None` for a language without a grammar here.
pub(super) fn around(path: &RelPath, text: &str, lines: &[u32]) -> Option<Vec<RangeInclusive<u32>>> {
    let tree = parse(path, text)?;
    let source: Vec<&str> = text.lines().collect();
    let mut ranges = imports(tree.root_node());
    for &line in lines {
        let chain = definitions_around(tree.root_node(), line);
        let fitting = chain.iter().position(|node| length(*node) <= LONGEST_DEFINITION);
        let inner = match fitting {
            Some(at) => {
                let rows = rows(chain[at]);
                ranges.push(with_attributes(&source, *rows.start())..=*rows.end());
                at
            }
            None => {
                ranges.push(line.saturating_sub(30).max(1)..=line.saturating_add(30));
                chain.len()
            }
        };
        for outer in &chain[..inner] {
            let start = *rows(*outer).start();
            let body = outer.child_by_field_name("body").map_or(start, |body| *rows(body).start());
            ranges.push(start..=body.min(start + 5));
        }
    }
    Some(ranges)
}

/// The definitions that contain a line, the outermost first.
fn definitions_around(root: Node<'_>, line: u32) -> Vec<Node<'_>> {
    let mut chain = Vec::new();
    let mut node = root;
    loop {
        let mut cursor = node.walk();
        let inside = node.named_children(&mut cursor).filter(|child| rows(*child).contains(&line));
        let Some(child) = inside.max_by_key(|child| child.byte_range().len()) else { return chain };
        if is_definition(child.kind()) {
            chain.push(child);
        }
        node = child;
    }
}

/// The first line of the attributes, decorators and comments right above a line.
fn with_attributes(source: &[&str], start: u32) -> u32 {
    let mut first = start;
    while first > 1 && start - first < 12 {
        let above = source.get(first as usize - 2).map_or("", |line| line.trim_start());
        if !["#[", "//", "@", "/*", "*", "# "].iter().any(|mark| above.starts_with(mark)) {
            break;
        }
        first -= 1;
    }
    first
}

fn imports(root: Node<'_>) -> Vec<RangeInclusive<u32>> {
    let mut cursor = root.walk();
    let mut left = MOST_IMPORT_LINES;
    let mut ranges = Vec::new();
    for node in root.named_children(&mut cursor).filter(|node| is_import(node.kind())) {
        if length(node) > left {
            break;
        }
        left -= length(node);
        ranges.push(rows(node));
    }
    ranges
}

/// The signatures of a file, one definition a line or a few. `None` for a language without a grammar here, or where there are none.
pub(super) fn outline(path: &RelPath, text: &str) -> Option<String> {
    let tree = parse(path, text)?;
    let mut out = String::new();
    members(tree.root_node(), text, 0, &mut out);
    (!out.is_empty()).then_some(out)
}

fn members(parent: Node<'_>, text: &str, depth: usize, out: &mut String) {
    let mut cursor = parent.walk();
    for node in parent.named_children(&mut cursor) {
        if is_definition(node.kind()) {
            signature(node, node.start_byte(), text, depth, out);
        }
    }
}

fn signature(node: Node<'_>, start: usize, text: &str, depth: usize, out: &mut String) {
    // What is exported or decorated stands inside; its own words go in front.
    let wraps = matches!(node.kind(), "export_statement" | "decorated_definition");
    let inner = ["declaration", "definition"].iter().find_map(|field| node.child_by_field_name(field));
    if let Some(inner) = inner.filter(|_| wraps) {
        return signature(inner, start, text, depth, out);
    }
    let indent = "    ".repeat(depth);
    let mut line = |words: &str| {
        let words: String = words.chars().take(LONGEST_SIGNATURE).collect();
        for part in words.lines() {
            out.push_str(&format!("{indent}{}\n", part.trim_end()));
        }
    };
    let body = node.child_by_field_name("body");
    let kind = node.kind();
    if is_shape(kind) && length(node) <= 25 {
        let whole = text.get(start..node.end_byte()).unwrap_or_default();
        whole.lines().for_each(&mut line);
        return;
    }
    let Some(body) = body else {
        let whole = text.get(start..node.end_byte()).unwrap_or_default();
        let first = whole.lines().next().unwrap_or_default();
        line(first.split("=>").next().unwrap_or(first).trim_end());
        return;
    };
    let head = text.get(start..body.start_byte()).unwrap_or_default().trim_end();
    let name = node.child_by_field_name("name").and_then(|name| text.get(name.byte_range()));
    if kind == "mod_item" && name == Some("tests") {
        return;
    }
    if has_members(kind) && depth < 2 {
        line(head);
        members(body, text, depth + 1, out);
    } else {
        line(&format!("{head} …"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).unwrap()
    }

    #[test]
    fn outlines_of_each_language() {
        let rust = "use a::b;\npub struct P {\n    pub x: u8,\n}\nimpl P {\n    pub fn new(x: u8) -> Self {\n        Self { x }\n    }\n}\nmod tests {\n    fn t() {}\n}\n";
        assert_eq!(
            outline(&path("a.rs"), rust).unwrap(),
            "pub struct P {\n    pub x: u8,\n}\nimpl P\n    pub fn new(x: u8) -> Self …\n"
        );
        let python = "import os\nLIMIT = 3\n@cache\ndef f(a: int) -> str:\n    return a\nclass C(Base):\n    def m(self):\n        pass\n";
        assert_eq!(
            outline(&path("a.py"), python).unwrap(),
            "@cache\ndef f(a: int) -> str: …\nclass C(Base):\n    def m(self): …\n"
        );
        let ts = "import x from 'y';\nexport interface I { a: string }\nexport function f(a: I): void { g(); }\nexport const h = (a: number) => a + 1;\nexport { z } from './z';\nexport default class K { m(): void {} }\n";
        assert_eq!(
            outline(&path("a.ts"), ts).unwrap(),
            "export interface I { a: string }\nexport function f(a: I): void …\nexport const h = (a: number)\nexport { z } from './z';\nexport default class K\n    m(): void …\n"
        );
        assert_eq!(outline(&path("a.md"), "# x"), None);
    }

    #[test]
    fn the_definition_around_a_line() {
        let filler = "    let _ = 1;\n".repeat(30);
        let text = format!(
            "use a::b;\n\nimpl P {{\n    fn one() {{\n{filler}    }}\n\n    /// Two.\n    #[inline]\n    fn two() {{\n        wrong();\n    }}\n    fn three() {{\n{filler}{filler}    }}\n}}\n"
        );
        let line = text.lines().position(|line| line.contains("wrong")).unwrap() as u32 + 1;
        let ranges = around(&path("a.rs"), &text, &[line]).unwrap();
        assert_eq!(ranges, vec![1..=1, line - 3..=line + 1, 3..=3]);
    }

    #[test]
    fn broken_and_hostile_files_are_survived() {
        for text in
            ["fn (((", "class", "\0\0", "export", "export default", "impl {", "@\n@\n", &"(".repeat(100_000)]
        {
            for name in ["a.rs", "a.py", "a.ts", "a.tsx", "a.js"] {
                let _ = outline(&path(name), text);
                let _ = around(&path(name), text, &[1, 2, 1000]);
            }
        }
    }
}
