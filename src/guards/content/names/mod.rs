//! Code with its names as plain as they can be read: what is put together from pieces is put together, what is reached by a string is reached
//! by a dot, what is called something else has its own name. Lines stay where they are.
//!
//! The patterns of the rules look at that text, so that one pattern finds `os._exit`, `getattr(os, "_" + "exit")` and `leave` after
//! `from os import _exit as leave`.

mod imported;

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use tree_sitter::Node;

use crate::guards::syntax::{Lang, walk};
use imported::{Imported, imported};

/// Longer texts are no names, in bytes.
const LONGEST: usize = 200;
/// Longer words are data: digests, keys, pictures, in bytes.
const LONGEST_WORD: usize = 40;
/// More pieces are not put together.
const MOST_PIECES: usize = 1_000;
/// How often what is reached by a string is looked for in what came of it.
const ROUNDS: usize = 3;

/// A text with its names made plain.
pub(super) struct Plain {
    /// The text; as many lines as before.
    pub text: String,
    /// The words that were in pieces, with their line from 1.
    pub glued: Vec<(usize, String)>,
    /// Members of what is imported that are given a value, with their line from 1.
    pub given: Vec<(usize, String)>,
}

/// Makes names plain. A text without a grammar stays as it is.
pub(super) fn plain(lang: Option<Lang>, text: &str) -> Plain {
    let Some(lang) = lang else {
        return Plain { text: text.to_owned(), glued: Vec::new(), given: Vec::new() };
    };
    let (folded, glued) = folded(lang, text);
    let (text, given) = aliased(lang, reached(lang, folded));
    Plain { text, glued, given }
}

/// A literal of text in code: what it says, and whether a word in it was in pieces.
#[derive(Clone, Default)]
struct Piece {
    said: String,
    glued: bool,
    /// It is one literal, as it says.
    as_it_stands: bool,
}

impl Piece {
    fn join(pieces: &[Piece], between: &str) -> Option<Self> {
        if pieces.len() > MOST_PIECES {
            return None;
        }
        let mut all = Self::default();
        for (at, piece) in pieces.iter().enumerate() {
            if at > 0 {
                let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
                all.glued |= between.is_empty()
                    && word(all.said.chars().next_back())
                    && word(piece.said.chars().next());
                all.said.push_str(between);
            }
            all.said.push_str(&piece.said);
            all.glued |= piece.glued;
        }
        (all.said.len() <= LONGEST).then_some(all)
    }

    /// The word that was hidden in pieces, if it was one.
    fn hidden(&self) -> Option<&str> {
        let word = self.said.len() <= LONGEST_WORD && !self.said.contains(char::is_whitespace);
        (self.glued && word).then_some(self.said.as_str())
    }
}

/// Literals that are put together, as one.
fn folded(lang: Lang, text: &str) -> (String, Vec<(usize, String)>) {
    let Some(tree) = lang.parse(text) else { return (text.to_owned(), Vec::new()) };
    let mut known: HashMap<usize, Piece> = HashMap::new();
    // Children stand after their parents, so from the end each node finds its parts.
    let mut nodes = Vec::new();
    walk(&tree, &mut |node| {
        if node.is_named() {
            nodes.push(node);
        }
        true
    });
    for node in nodes.iter().rev() {
        if let Some(piece) = piece(lang, *node, text, &known) {
            known.insert(node.id(), piece);
        }
    }
    let (mut edits, mut glued) = (Vec::new(), Vec::new());
    walk(&tree, &mut |node| {
        let Some(piece) = known.get(&node.id()) else { return true };
        if !piece.as_it_stands {
            glued.extend(piece.hidden().map(|word| (node.start_position().row + 1, word.to_owned())));
            let quoted = format!("\"{}\"", piece.said.replace(['"', '\\', '\n', '\r'], " "));
            edits.push((node.byte_range(), quoted));
        }
        false
    });
    (edited(text, edits), glued)
}

/// What a node says, if it is made of literals alone.
fn piece(lang: Lang, node: Node<'_>, text: &str, known: &HashMap<usize, Piece>) -> Option<Piece> {
    let said = |node: Node<'_>| text.get(node.byte_range()).unwrap_or_default();
    let children = || -> Vec<Node<'_>> {
        let mut cursor = node.walk();
        node.named_children(&mut cursor).take(MOST_PIECES + 1).collect()
    };
    let pieces = |nodes: &[Node<'_>]| -> Option<Vec<Piece>> {
        nodes.iter().map(|node| known.get(&node.id()).cloned()).collect()
    };
    match node.kind() {
        "string"
        | "string_literal"
        | "raw_string_literal"
        | "interpreted_string_literal"
        | "template_string" => literal(said(node)),
        "concatenated_string" => Piece::join(&pieces(&children())?, ""),
        "parenthesized_expression" => match children().as_slice() {
            [only] => known.get(&only.id()).cloned(),
            _ => None,
        },
        "binary_expression" | "binary_operator" => {
            let sides = [node.named_child(0)?, node.named_child(1)?];
            let sign = text.get(sides[0].end_byte()..sides[1].start_byte())?;
            (sign.trim() == "+").then_some(())?;
            Piece::join(&pieces(&sides)?, "")
        }
        "call" | "call_expression" | "method_invocation" => call(lang, node, text, known),
        "macro_invocation" if said(node).starts_with("concat!") => {
            let children = children();
            let list = children.iter().find(|child| child.kind() == "token_tree")?;
            let mut cursor = list.walk();
            let parts: Vec<Node<'_>> = list.named_children(&mut cursor).take(MOST_PIECES + 1).collect();
            Piece::join(&pieces(&parts)?, "")
        }
        _ => None,
    }
}

/// `["a", "b"].join("")`, `"".join(["a", "b"])`, `strings.Join(…)`, `String.join(…)`, `"a".concat("b")`.
fn call(lang: Lang, node: Node<'_>, text: &str, known: &HashMap<usize, Piece>) -> Option<Piece> {
    let said = |node: Node<'_>| text.get(node.byte_range()).unwrap_or_default();
    let arguments = node.child_by_field_name("arguments")?;
    let mut cursor = arguments.walk();
    let given: Vec<Node<'_>> = arguments.named_children(&mut cursor).take(MOST_PIECES + 1).collect();
    let head = text.get(node.start_byte()..arguments.start_byte())?.trim_end();
    let called = head.rsplit('.').next()?;
    if !matches!(called, "join" | "Join" | "concat") {
        return None;
    }
    let object = node
        .child_by_field_name("object")
        .or_else(|| node.child_by_field_name("function").and_then(|function| function.named_child(0)));
    let one = |node: Node<'_>| known.get(&node.id()).cloned();
    let listed = |list: Node<'_>| -> Option<Vec<Piece>> {
        let list = match list.kind() {
            "array" | "list" | "tuple" | "array_expression" => list,
            "composite_literal" => list.child_by_field_name("body")?,
            _ => return None,
        };
        let mut cursor = list.walk();
        let parts = list.named_children(&mut cursor).take(MOST_PIECES + 1);
        parts
            .map(|part| {
                one(part)
                    .or_else(|| part.named_child(0).filter(|_| part.named_child_count() == 1).and_then(one))
            })
            .collect()
    };
    match (lang, called, given.as_slice()) {
        (Lang::Python, "join", [list]) => Piece::join(&listed(*list)?, &one(object?)?.said),
        (Lang::Go, "Join", [list, between]) => Piece::join(&listed(*list)?, &one(*between)?.said),
        (Lang::Java, "join", [between, parts @ ..]) if object.map(said) == Some("String") => Piece::join(
            &parts.iter().map(|part| one(*part)).collect::<Option<Vec<_>>>()?,
            &one(*between)?.said,
        ),
        (Lang::Java, "concat", [more]) => Piece::join(&[one(object?)?, one(*more)?], ""),
        (Lang::Rust, "concat", []) => Piece::join(&listed(object?)?, ""),
        (Lang::Rust, "join", [between]) => Piece::join(&listed(object?)?, &one(*between)?.said),
        (lang, "join", [between]) if lang.is_script() => Piece::join(&listed(object?)?, &one(*between)?.said),
        (lang, "concat", [more]) if lang.is_script() => Piece::join(&[one(object?)?, one(*more)?], ""),
        _ => None,
    }
}

/// What one literal says. One that asks for something else within itself says nothing by itself.
fn literal(text: &str) -> Option<Piece> {
    static LETTER: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\})")
            .expect("constant pattern")
    });
    let start = text.find(['"', '\'', '`'])?;
    let (prefix, quoted) = text.split_at(start);
    let quote = quoted.chars().next()?;
    let template = quote == '`' && quoted.contains("${");
    if prefix.contains(['f', 'F']) || template || quoted.len() > LONGEST {
        return None;
    }
    let said = quoted.trim_end_matches('#').trim_matches(quote);
    let mut piece = Piece { said: said.to_owned(), glued: false, as_it_stands: true };
    if !prefix.contains(['r', 'R']) && LETTER.is_match(said) {
        let mut letters = false;
        let read = LETTER.replace_all(said, |code: &Captures<'_>| {
            let hex = code.iter().skip(1).flatten().next().map_or("", |found| found.as_str());
            let letter = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32);
            match letter.filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_') {
                Some(letter) => {
                    letters = true;
                    letter.to_string()
                }
                None => code[0].to_owned(),
            }
        });
        // A letter that is written by its number hides the word that it is in.
        if letters {
            piece = Piece { said: read.into_owned(), glued: true, as_it_stands: false };
        }
    }
    Some(piece)
}

/// A text with ranges replaced, none within another; the lines after them stay where they are.
fn edited(text: &str, edits: Vec<(std::ops::Range<usize>, String)>) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    let mut at = 0;
    for (range, new) in edits {
        let Some(old) = text.get(range.clone()).filter(|_| range.start >= at) else { continue };
        out.push_str(&text[at..range.start]);
        out.push_str(&new);
        out.extend(old.bytes().filter(|byte| *byte == b'\n').map(char::from));
        at = range.end;
    }
    out.push_str(&text[at..]);
    out
}

/// Members that are reached by a string, reached by a dot.
fn reached(lang: Lang, mut text: String) -> String {
    static PYTHON: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        forms(&[
            (r#"\bgetattr\s*\(\s*([\w.]+)\s*,\s*["'](\w+)["']\s*(?:,\s*[\w.]*\s*)?\)"#, "$1.$2"),
            (r#"\b(?:vars\s*\(\s*([\w.]+)\s*\)|([\w.]+)\.__dict__)\s*\[\s*["'](\w+)["']\s*\]"#, "$1$2.$3"),
            (r#"\bsetattr\s*\(\s*([\w.]+)\s*,\s*["'](\w+)["']\s*,"#, "$1.$2 = ("),
            (r#"\bglobals\s*\(\s*\)\s*\[\s*["']__builtins__["']\s*\]"#, "__builtins__"),
            (r#"\b__builtins__\s*\[\s*["'](\w+)["']\s*\]"#, "__builtins__.$1"),
            (r#"\bsys\.modules\s*\[\s*["']([\w.]+)["']\s*\]\s*\."#, "$1."),
            (r#"\b(?:importlib\.import_module|__import__)\s*\(\s*["']([\w.]+)["']\s*\)"#, "$1"),
        ])
    });
    static SCRIPT: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        forms(&[
            (r#"\bReflect\.get\s*\(\s*([\w.$]+)\s*,\s*["'`]([\w$]+)["'`]\s*\)"#, "$1.$2"),
            (
                r#"\bReflect\.set\s*\(\s*([\w.$]+|require\s*\([^()]*\))\s*,\s*["'`]([\w$]+)["'`]\s*,"#,
                "$1.$2 = (",
            ),
            (
                r#"\b((?:globalThis|global|window|process|module|require|console|Reflect|Object|import\.meta)(?:\.[\w$]+)*)\s*\[\s*["'`]([\w$]+)["'`]\s*\]"#,
                "$1.$2",
            ),
        ])
    });
    let forms: &[(Regex, &str)] = match lang {
        Lang::Python => &PYTHON,
        lang if lang.is_script() => &SCRIPT,
        _ => return text,
    };
    for _ in 0..ROUNDS {
        let was = text.clone();
        for (form, new) in forms.iter() {
            if let std::borrow::Cow::Owned(new) = form.replace_all(&text, |found: &Captures<'_>| {
                let mut plain = String::new();
                found.expand(new, &mut plain);
                plain.extend(found[0].bytes().filter(|byte| *byte == b'\n').map(char::from));
                plain
            }) {
                text = new;
            }
        }
        if text == was {
            break;
        }
    }
    text
}

fn forms(rows: &[(&str, &'static str)]) -> Vec<(Regex, &'static str)> {
    rows.iter().map(|(form, new)| (Regex::new(form).expect("constant pattern"), *new)).collect()
}

/// Names that stand for something from elsewhere, as what they stand for; and what of it is given another value.
fn aliased(lang: Lang, text: String) -> (String, Vec<(usize, String)>) {
    let Some(tree) = lang.parse(&text) else { return (text, Vec::new()) };
    let Imported { aliases, heads } = imported(lang, &text);
    let (mut edits, mut given) = (Vec::new(), Vec::new());
    walk(&tree, &mut |node| {
        let kind = node.kind();
        if kind.contains("import") || matches!(kind, "use_declaration" | "package_declaration") {
            return kind == "import";
        }
        let name = || text.get(node.byte_range()).unwrap_or_default();
        if matches!(kind, "identifier" | "type_identifier" | "package_identifier") {
            let alias = aliases.get(name());
            if (alias.is_some() || heads.contains(name())) && takes_a_value(node) {
                let what = node.parent().and_then(|member| text.get(member.byte_range()));
                given.push((node.start_position().row + 1, what.unwrap_or_default().to_owned()));
            }
            if let Some(path) = alias.filter(|_| stands_alone(node)) {
                edits.push((node.byte_range(), path.clone()));
            }
        }
        true
    });
    (edited(&text, edits), given)
}

/// Whether a member of what a name stands for is on the left of an assignment.
fn takes_a_value(name: Node<'_>) -> bool {
    let member = |node: &Node<'_>| {
        matches!(node.kind(), "attribute" | "member_expression" | "selector_expression" | "expression_list")
    };
    let chain = std::iter::successors(name.parent().filter(member), |node| node.parent().filter(member));
    let Some(whole) = chain.last() else { return false };
    let first = |node: Node<'_>| node.start_byte() == name.start_byte();
    whole.parent().is_some_and(|above| {
        matches!(above.kind(), "assignment" | "assignment_expression" | "assignment_statement")
            && above.child_by_field_name("left") == Some(whole)
            && first(whole)
    })
}

/// Whether a name is not a member of something, is not given a value, and is no word of a signature.
fn stands_alone(node: Node<'_>) -> bool {
    let Some(above) = node.parent() else { return false };
    let is = |field: &str| above.child_by_field_name(field) == Some(node);
    match above.kind() {
        "attribute" => is("object"),
        "field_access" | "scoped_type_identifier" => !is("field") && above.named_child(0) == Some(node),
        "method_invocation" => !is("name") || above.child_by_field_name("object").is_none(),
        "scoped_identifier" => is("path") || above.child_by_field_name("path").is_none(),
        "assignment" | "assignment_expression" => !is("left"),
        "keyword_argument" | "variable_declarator" | "function_definition" | "class_definition" => {
            !is("name")
        }
        "method_declaration" | "class_declaration" | "function_declaration" | "function_item" => !is("name"),
        "parameters" | "formal_parameter" | "parameter" | "lambda_parameters" | "object_pattern" => false,
        _ => true,
    }
}

/// Of some words with their lines those that were not there before.
pub(super) fn newly<'n>(
    now: &'n [(usize, String)],
    was: &'n [(usize, String)],
) -> impl Iterator<Item = &'n (usize, String)> {
    now.iter().filter(|(_, word)| !was.iter().any(|(_, old)| old == word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guards::delta::line_at;
    use crate::patch::RelPath;

    fn plainly(name: &str, text: &str) -> String {
        let lang = Lang::of(&RelPath::new(name).expect("a path"));
        let plain = plain(lang, text);
        assert_eq!(plain.text.lines().count(), text.lines().count(), "{}", plain.text);
        plain.text
    }

    #[test]
    fn one_name_is_found_however_it_is_written() {
        for (name, text, found) in [
            ("a.py", "import os\ngetattr(os, '_' + 'exit')(0)\n", "os._exit(0)"),
            ("a.py", "from os import _exit as leave\n\nleave(0)\n", "os._exit(0)"),
            ("a.py", "import os as o\nstop = o._exit\n\nstop(0)\n", "os._exit(0)"),
            ("a.py", "import sys\nsys.__dict__['_get' 'frame'](1)\n", "sys._getframe(1)"),
            ("a.py", "import os\nx = os.environ[''.join(['PY', 'TEST'])]\n", "os.environ[\"PYTEST\"]"),
            ("a.py", "x = '\\x70ytest'\n", "\"pytest\""),
            ("a.js", "process['re' + 'allyExit'](0);\n", "process.reallyExit(0)"),
            ("a.js", "const { env: here } = process;\nhere.CI;\n", "process.env.CI"),
            (
                "a.mjs",
                "import { getCallSites as sites } from 'node:util';\nsites();\n",
                "util.getCallSites()",
            ),
            ("a.ts", "Reflect.set(globalThis, `ex` + `pect`, no);\n", "globalThis.expect = ( no)"),
            ("a.go", "package a\n\nimport sys \"os\"\n\nvar x = sys.Args\n", "os.Args"),
            (
                "a.go",
                "package a\n\nimport \"strings\"\n\nvar x = strings.Join([]string{\"a\", \"b\"}, \"\")\n",
                "\"ab\"",
            ),
            (
                "A.java",
                "import java.nio.file.Files;\nclass A { Object a = Files.list(null); }\n",
                "java.nio.file.Files.list",
            ),
            (
                "A.java",
                "class A { String a = String.join(\".\", \"org\", \"ju\" + \"nit\"); }\n",
                "\"org.junit\"",
            ),
            (
                "a.rs",
                "use std::{env as e, thread::{self, Builder as B}};\nfn a() { e::args(); B::new(); thread::park(); }\n",
                "std::thread::Builder::new(); std::thread::park()",
            ),
            ("a.rs", "const A: &str = concat!(\"te\", \"sts/a\");\n", "\"tests/a\""),
        ] {
            let plain = plainly(name, text);
            assert!(plain.contains(found), "{text}\n{plain}");
        }
    }

    #[test]
    fn words_in_pieces_are_told_and_sentences_are_not() {
        let words = |name: &str, text: &str| {
            let lang = Lang::of(&RelPath::new(name).expect("a path"));
            plain(lang, text)
                .glued
                .into_iter()
                .map(|(line, word)| format!("{line} {word}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(words("a.py", "a = 1\nb = 'conf' + 'test.py'\n"), ["2 conftest.py"]);
        assert_eq!(words("a.py", "b = ('one thing '\n     'and another')\nc = 'a' + b\n"), [""; 0]);
        assert_eq!(words("a.js", "const a = 'https://here/' + 'there';\n"), [""; 0]);
        assert_eq!(words("A.java", "class A { String a = \"ha\" + \"lt\"; }\n"), ["1 halt"]);
        let much = format!("a = {} 'py' 'test'\n", "'' ".repeat(100));
        assert_eq!(words("a.py", &much), ["1 pytest"], "empty pieces hide nothing");
    }

    #[test]
    fn what_is_too_deep_or_too_long_stays_as_it_is() {
        let long = format!("a = {}'x'\n", "'x' + ".repeat(20_000));
        let read = plainly("a.py", &long);
        assert!(read.ends_with(" + 'x'\n") && read.len() > long.len() / 2, "{} bytes", read.len());
        assert_eq!(plainly("a.txt", "'a' + 'b'"), "'a' + 'b'");
    }

    #[test]
    fn line_numbers_are_those_of_the_text() {
        let text = "a = ('b'\n     'c')\nd = 1\n";
        assert_eq!(line_at(&plainly("a.py", text), plainly("a.py", text).find("d =").expect("there")), 3);
    }
}
