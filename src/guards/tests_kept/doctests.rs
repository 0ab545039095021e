//! Examples in documentation that run as tests: fenced code in Rust's doc comments, `>>>` in Python's docstrings.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use tree_sitter::{Node, Tree};

use super::super::syntax::{Lang, masked, walk};
use super::case::{Case, Checks, tokens};
use super::shapes::pattern;

/// The examples of a file by their names. They are told from other tests by [`Case::documented`].
pub(super) fn examples(lang: Lang, text: &str, tree: &Tree) -> BTreeMap<String, Case> {
    let found = match lang {
        Lang::Rust => rust(text, tree),
        Lang::Python => python(text, tree),
        _ => Vec::new(),
    };
    let mut all = BTreeMap::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (name, mut case) in found {
        let count = seen.entry(name.clone()).or_insert(0);
        *count += 1;
        case.name = format!("{name} [{count}]");
        all.insert(case.name.clone(), case);
    }
    all
}

fn case(text: &str, range: Range<usize>, skipped: bool, checks: Checks, body: String) -> Case {
    Case {
        name: String::new(),
        line: text[..range.start].matches('\n').count() + 1,
        range,
        skipped,
        focused: false,
        documented: true,
        checks,
        frame: body.clone(),
        plain: body.clone(),
        body,
    }
}

/// Fenced blocks without another language. One that does not run, or is expected to fail, is skipped.
fn rust(text: &str, tree: &Tree) -> Vec<(String, Case)> {
    static ITEM: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"\b(?:fn|struct|enum|trait|mod|type|const|static|union|impl|macro_rules!)\s*(\w+)")
    });
    // A comment's own nodes decide: the same signs in a string are data.
    let mut docs: Vec<(Range<usize>, String)> = Vec::new();
    walk(tree, &mut |node| {
        let said = text.get(node.byte_range()).unwrap_or_default();
        match node.kind() {
            "line_comment" => {
                if let Some(line) = said.strip_prefix("///").or_else(|| said.strip_prefix("//!")) {
                    docs.push((node.byte_range(), line.trim_end_matches(['\r', '\n']).to_owned()));
                }
                false
            }
            "block_comment" => {
                if said.starts_with("/**") || said.starts_with("/*!") {
                    docs.extend(block(said, node.start_byte()));
                }
                false
            }
            _ => true,
        }
    });
    let mut all = Vec::new();
    let mut open: Option<(usize, bool, bool, String)> = None;
    for (at, (range, line)) in docs.iter().enumerate() {
        // The next line of the same comment is nothing but white space away.
        let follows = at.checked_sub(1).and_then(|before| docs.get(before)).is_some_and(|(before, _)| {
            text.get(before.end..range.start).is_some_and(|between| between.trim().is_empty())
        });
        if !follows {
            open = None;
        }
        let Some(fence) = line.trim().strip_prefix("```").or_else(|| line.trim().strip_prefix("~~~")) else {
            if let Some((_, _, _, body)) = &mut open {
                let line = line.strip_prefix(' ').unwrap_or(line);
                let hidden = line.trim_start();
                body.push_str(hidden.strip_prefix("# ").unwrap_or(if hidden == "#" { "" } else { line }));
                body.push('\n');
            }
            continue;
        };
        match open.take() {
            None => {
                let words = || fence.split([',', ' ', '`']).filter(|word| !word.is_empty());
                let skipped = words().any(|word| {
                    word.starts_with("ignore") || matches!(word, "no_run" | "should_panic" | "compile_fail")
                });
                let is_rust = words().all(|word| {
                    word.starts_with("ignore")
                        || word.starts_with("edition")
                        || matches!(
                            word,
                            "rust"
                                | "no_run"
                                | "should_panic"
                                | "compile_fail"
                                | "test_harness"
                                | "standalone"
                        )
                        || (word.len() == 5 && word.starts_with('E'))
                });
                open = Some((range.start, is_rust, skipped, String::new()));
            }
            Some((start, true, skipped, body)) => {
                let inner = line_start(text, start);
                let named = text[range.end..].lines().find(|line| {
                    let line = line.trim();
                    !line.is_empty() && !["//", "#[", "*"].iter().any(|start| line.starts_with(start))
                });
                let name = match named.filter(|_| !inside(text, start)).and_then(|line| ITEM.captures(line)) {
                    Some(found) => format!("example of {}", &found[1]),
                    None => "example of the documentation".to_owned(),
                };
                let code = masked(Some(Lang::Rust), &body).code;
                let checks = Lang::Rust
                    .parse(&body)
                    .map(|tree| Checks::of(Lang::Rust, &tree, &code, &(0..body.len())))
                    .unwrap_or_default();
                let written = tokens(&body).collect::<Vec<_>>().join(" ");
                all.push((name, case(text, inner..range.end.min(text.len()), skipped, checks, written)));
            }
            Some(_) => {}
        }
    }
    all
}

/// The lines of a comment in one block, without the star at the start of each.
fn block(said: &str, mut at: usize) -> Vec<(Range<usize>, String)> {
    let mut all = Vec::new();
    for line in said.split_inclusive('\n') {
        let bare = line.trim();
        let bare = bare.strip_prefix("/*").unwrap_or(bare);
        let bare = bare.strip_suffix("*/").unwrap_or(bare);
        let bare = bare.strip_prefix(['*', '!']).unwrap_or(bare);
        all.push((at..at + line.trim_end().len(), bare.to_owned()));
        at += line.len();
    }
    all
}

/// Whether the comment that a place is in is about what it stands in, and not about what follows.
fn inside(text: &str, at: usize) -> bool {
    text[at..].starts_with("//!")
        || (!text[at..].starts_with("//")
            && text
                .get(..at + 3)
                .and_then(|head| head.rfind("/*"))
                .is_some_and(|start| text[start..].starts_with("/*!")))
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}

/// What follows `>>>` in docstrings, each with what it is expected to print.
fn python(text: &str, tree: &Tree) -> Vec<(String, Case)> {
    let mut all = Vec::new();
    walk(tree, &mut |node| {
        if node.kind() != "string" {
            return true;
        }
        if node.parent().is_some_and(|parent| parent.kind() == "expression_statement") {
            docstring(text, node, &mut all);
        }
        false
    });
    all
}

fn docstring(text: &str, node: Node<'_>, all: &mut Vec<(String, Case)>) {
    let said = text.get(node.byte_range()).unwrap_or_default();
    if !said.contains(">>>") {
        return;
    }
    let owner: Vec<&str> = std::iter::successors(node.parent(), Node::parent)
        .filter_map(|above| text.get(above.child_by_field_name("name")?.byte_range()))
        .collect();
    let owner = owner.into_iter().rev().collect::<Vec<_>>().join(".");
    let mut at = node.start_byte();
    let mut lines = said
        .split_inclusive('\n')
        .map(|line| {
            at += line.len();
            (at - line.len()..at, line.trim())
        })
        .peekable();
    while let Some((range, line)) = lines.next() {
        let Some(at) = line.find(">>>") else { continue };
        let (mut code, mut end) = (line[at + 3..].to_owned(), range.end);
        while let Some((range, line)) = lines.next_if(|(_, line)| line.starts_with("...")) {
            code.push(' ');
            code.push_str(&line[3..]);
            end = range.end;
        }
        let mut output = String::new();
        while let Some((range, line)) =
            lines.next_if(|(_, line)| !line.is_empty() && !line.starts_with(">>>"))
        {
            output.push_str(line.trim_end_matches(['"', '\'']));
            output.push(' ');
            end = range.end;
        }
        let (run, directive) = code.split_once("# doctest:").unwrap_or((&code, ""));
        let skipped = directive.contains("+SKIP");
        let lax = ["+ELLIPSIS", "+IGNORE"].iter().filter(|word| directive.contains(**word)).count();
        let name =
            format!("example {} of {}", run.trim(), if owner.is_empty() { "the module" } else { &owner });
        // What is printed comes first: more of it is another result, and no step after all others.
        let body = tokens(&format!("{output} from {run}")).collect::<Vec<_>>().join(" ");
        let checks = Checks {
            asserts: usize::from(!output.is_empty()),
            exact: usize::from(!output.is_empty()),
            approximate: lax + output.matches("...").count(),
            ..Checks::default()
        };
        all.push((name, case(text, range.start..end.min(node.end_byte()), skipped, checks, body)));
    }
}
