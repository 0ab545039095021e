//! What the grammars say: new syntax errors, and text with comments and strings masked out.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use regex::Regex;
use tree_sitter::{Node, ParseOptions, ParseState, Parser, Tree};

use super::delta::Delta;
use super::{Findings, before};
use crate::patch::RelPath;

/// Larger files are not parsed.
const MOST_BYTES: usize = 2 << 20;

/// So many trees are kept, of texts of at least so many bytes.
const MOST_KEPT: usize = 6;
const LEAST_KEPT: usize = 1 << 10;

/// Deeper nesting is not parsed.
const MOST_DEPTH: usize = 400;

/// Languages with a grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "they are called what they are called")]
pub enum Lang {
    Rust,
    Python,
    TypeScript,
    Tsx,
    JavaScript,
    Go,
    Java,
}

impl Lang {
    /// All of them.
    pub const ALL: [Lang; 7] =
        [Lang::Rust, Lang::Python, Lang::TypeScript, Lang::Tsx, Lang::JavaScript, Lang::Go, Lang::Java];

    /// The language of a file, by its name; `None` where there is no grammar for it.
    pub fn of(path: &RelPath) -> Option<Self> {
        Some(match path.extension()? {
            "rs" => Lang::Rust,
            "py" | "pyi" => Lang::Python,
            "ts" | "mts" | "cts" => Lang::TypeScript,
            "tsx" => Lang::Tsx,
            "js" | "mjs" | "cjs" | "jsx" => Lang::JavaScript,
            "go" => Lang::Go,
            "java" => Lang::Java,
            _ => return None,
        })
    }

    /// TypeScript or JavaScript.
    pub(super) fn is_script(self) -> bool {
        matches!(self, Lang::TypeScript | Lang::Tsx | Lang::JavaScript)
    }

    /// The tree of a text; `None` where it is too long, too deep or too broken. Every guard asks for the same few texts, so the last ones are
    /// kept.
    pub(super) fn parse(self, text: &str) -> Option<Tree> {
        if text.len() < LEAST_KEPT {
            return self.parse_anew(text);
        }
        type Kept = (Lang, Box<str>, Option<Tree>);
        thread_local! {
            static KEPT: RefCell<VecDeque<Kept>> = const { RefCell::new(VecDeque::new()) };
        }
        let known = KEPT.with_borrow(|kept| {
            let same = kept.iter().find(|(lang, known, _)| *lang == self && **known == *text);
            same.map(|(_, _, tree)| tree.clone())
        });
        known.unwrap_or_else(|| {
            let tree = self.parse_anew(text);
            KEPT.with_borrow_mut(|kept| {
                kept.truncate(MOST_KEPT - 1);
                kept.push_front((self, text.into(), tree.clone()));
            });
            tree
        })
    }

    /// Whether a text is neither too long, nor too deep, nor too broken to be parsed in a time that its length bounds.
    pub fn can_parse(self, text: &str) -> bool {
        self.parse(text).is_some()
    }

    /// The grammar.
    pub fn grammar(self) -> tree_sitter::Language {
        match self {
            Lang::Rust => tree_sitter_rust::LANGUAGE.into(),
            Lang::Python => tree_sitter_python::LANGUAGE.into(),
            Lang::TypeScript => tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
            Lang::Tsx => tree_sitter_typescript::LANGUAGE_TSX.into(),
            Lang::JavaScript => tree_sitter_javascript::LANGUAGE.into(),
            Lang::Go => tree_sitter_go::LANGUAGE.into(),
            Lang::Java => tree_sitter_java::LANGUAGE.into(),
        }
    }

    /// The grammar's own query for what is to have which colour.
    pub fn highlights(self) -> String {
        // The last pattern that fits counts, so what a language shares with another one stands first.
        let script = tree_sitter_javascript::HIGHLIGHT_QUERY;
        let typed = tree_sitter_typescript::HIGHLIGHTS_QUERY;
        let tags = tree_sitter_javascript::JSX_HIGHLIGHT_QUERY;
        match self {
            Lang::Rust => tree_sitter_rust::HIGHLIGHTS_QUERY.to_owned(),
            Lang::Python => tree_sitter_python::HIGHLIGHTS_QUERY.to_owned(),
            Lang::TypeScript => format!("{script}\n{typed}"),
            Lang::Tsx => format!("{script}\n{tags}\n{typed}"),
            Lang::JavaScript => format!("{script}\n{tags}"),
            Lang::Go => tree_sitter_go::HIGHLIGHTS_QUERY.to_owned(),
            Lang::Java => tree_sitter_java::HIGHLIGHTS_QUERY.to_owned(),
        }
    }

    fn parse_anew(self, text: &str) -> Option<Tree> {
        if text.len() > MOST_BYTES || depth(text) > MOST_DEPTH {
            return None;
        }
        let mut parser = Parser::new();
        parser.set_language(&self.grammar()).ok()?;
        // Recovery from garbage may cost far more than the text is long: stop after many times the steps of a good one.
        let mut steps = text.len() / 10 + 1_000;
        let mut progress = |_: &ParseState| {
            steps = steps.saturating_sub(1);
            if steps == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let options = ParseOptions::new().progress_callback(&mut progress);
        let bytes = text.as_bytes();
        parser.parse_with_options(&mut |at, _| bytes.get(at..).unwrap_or_default(), None, Some(options))
    }
}

/// How deep brackets and indentation go, at most: parsers and walks slow down with it, and no code needs hundreds.
fn depth(text: &str) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => {
                now += 1;
                most = most.max(now);
            }
            b')' | b']' | b'}' => now = now.saturating_sub(1),
            _ => {}
        }
    }
    let tags = text.matches('<').count().saturating_sub(text.matches('>').count());
    let indent = text.lines().map(|line| line.len() - line.trim_start().len()).max().unwrap_or(0);
    most.max(tags).max(indent / 2)
}

/// Calls `see` for every node, parents first; where it says `false` the node's children are passed over.
pub(super) fn walk<'t>(tree: &'t Tree, see: &mut dyn FnMut(Node<'t>) -> bool) {
    let mut cursor = tree.walk();
    loop {
        if see(cursor.node()) && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return;
            }
        }
    }
}

/// A text with the code alone and with the comments alone, byte for byte at the same places.
pub(super) struct Masked {
    pub code: String,
    pub comments: String,
}

/// Splits a text into code and comments; strings are in neither. Without a grammar all is in both.
pub(super) fn masked(lang: Option<Lang>, text: &str) -> Masked {
    let Some(tree) = lang.and_then(|lang| lang.parse(text)) else {
        return Masked { code: text.to_owned(), comments: text.to_owned() };
    };
    let blank = |byte: u8| if byte == b'\n' { b'\n' } else { b' ' };
    let mut code = text.as_bytes().to_vec();
    let mut comments: Vec<u8> = text.bytes().map(blank).collect();
    walk(&tree, &mut |node| {
        let kind = node.kind();
        let comment = kind.ends_with("comment");
        let string = matches!(
            kind,
            "string_content"
                | "string_fragment"
                | "char_literal"
                | "regex_pattern"
                | "jsx_text"
                | "escape_sequence"
                | "html_character_reference"
                | "interpreted_string_literal_content"
                | "raw_string_literal_content"
                | "rune_literal"
                | "multiline_string_fragment"
                | "character_literal"
        );
        if comment || string {
            let range = node.byte_range();
            if comment {
                comments[range.clone()].copy_from_slice(&text.as_bytes()[range.clone()]);
            }
            // An f-string's content holds its interpolations: those stay code.
            if comment || node.named_child_count() == 0 {
                code[range].iter_mut().for_each(|byte| *byte = blank(*byte));
                return false;
            }
        }
        !comment
    });
    let whole = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Masked { code: whole(code), comments: whole(comments) }
}

/// The number of errors, and the line of the first.
fn errors(tree: &Tree) -> (usize, usize) {
    let (mut count, mut first) = (0, 0);
    if tree.root_node().has_error() {
        walk(tree, &mut |node| {
            if node.is_error() || node.is_missing() {
                count += 1;
                if first == 0 {
                    first = node.start_position().row + 1;
                }
            }
            node.has_error()
        });
    }
    (count, first)
}

/// A parser's complaint: the line, where it says one, and its words.
type Complaint = (Option<usize>, String);

pub(super) fn check(delta: &Delta<'_>, found: &mut Findings) {
    let Some(after) = delta.after else { return };
    if let Some(lang) = Lang::of(delta.path) {
        let count = |text: &str| lang.parse(text).map_or((0, 0), |tree| errors(&tree));
        if lang.parse(after).is_none() {
            if delta.before.is_some_and(|text| lang.parse(text).is_none()) {
                return;
            }
            return found.refuse(
                "syntax",
                delta.path,
                None,
                "the text is too long, too deep or too broken to be parsed",
            );
        }
        let (now, line) = count(after);
        if now == 0 {
            return;
        }
        let (was, _) = count(before(delta));
        // Where the text did not parse before, the count says little: only a clear change for the worse is a finding.
        if was == 0 || now > was * 2 + 2 {
            found.refuse(
                "syntax",
                delta.path,
                Some(line),
                "the new text does not parse; check brackets, quotes and indentation",
            );
        }
        return;
    }
    let problem: fn(&str) -> Option<Complaint> = match delta.path.extension() {
        Some("json") => |text| {
            let error = serde_json::from_str::<serde_json::Value>(&plain_json(text)).err()?;
            Some((Some(error.line()), error.to_string()))
        },
        Some("toml") => |text| {
            let error = text.parse::<toml::Table>().err()?;
            let line = error.span().map(|span| super::delta::line_at(text, span.start));
            Some((line, error.message().to_owned()))
        },
        _ => return,
    };
    if let Some((line, message)) = problem(after)
        && delta.before.is_none_or(|text| problem(text).is_none())
    {
        let message: String = message.lines().next().unwrap_or_default().chars().take(200).collect();
        found.refuse("syntax", delta.path, line, format!("the new text does not parse: {message}"));
    }
}

/// JSON as several tools write it (comments, trailing commas) as plain JSON with the same lines.
pub(super) fn plain_json(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                out.push(c);
                while let Some(c) = chars.next() {
                    out.push(c);
                    match c {
                        '\\' => out.extend(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '/' if chars.peek() == Some(&'/') => {
                while chars.peek().is_some_and(|&c| c != '\n') {
                    chars.next();
                }
            }
            '/' if chars.peek() == Some(&'*') => {
                let mut last = ' ';
                chars.next();
                for c in chars.by_ref() {
                    if c == '\n' {
                        out.push('\n');
                    }
                    if last == '*' && c == '/' {
                        break;
                    }
                    last = c;
                }
            }
            ']' | '}' => {
                let kept = out.trim_end().len();
                if out[..kept].ends_with(',') {
                    out.replace_range(kept - 1..kept, " ");
                }
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// Signs that are put in, or taken out, so that a manifest parses, at most.
const MOST_SIGNS: usize = 4;

/// Whether two texts of JSON or TOML have the same words on the same lines, and differ by a few signs that were only put in or only taken out.
pub(super) fn mended(old: &str, new: &str) -> bool {
    static TOKEN: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\w+|[^\w\s]").expect("constant pattern"));
    static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\w+").expect("constant pattern"));
    fn words(text: &str) -> Vec<Vec<&str>> {
        let lines = text.lines().map(|line| WORD.find_iter(line).map(|word| word.as_str()).collect());
        lines.filter(|words: &Vec<&str>| !words.is_empty()).collect()
    }
    fn grows(less: &str, more: &str) -> bool {
        let mut rest = TOKEN.find_iter(less).map(|token| token.as_str()).peekable();
        let mut signs = 0;
        for token in TOKEN.find_iter(more).map(|token| token.as_str()) {
            if rest.next_if_eq(&token).is_some() {
                continue;
            }
            if !matches!(token, "\"" | "'" | "," | ":" | "=" | "{" | "}" | "[" | "]") {
                return false;
            }
            signs += 1;
        }
        rest.peek().is_none() && signs <= MOST_SIGNS
    }
    words(old) == words(new) && (grows(old, new) || grows(new, old))
}
