//! What blocks and functions do: errors that are caught and dropped, functions that do nothing any more, new ones that only please the
//! compiler.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use regex::Regex;
use tree_sitter::Node;

use super::super::delta::Delta;
use super::super::syntax::{Lang, masked, walk};
use super::super::tests_kept::is_test_path;
use super::super::{Findings, Weight, before};

pub(super) fn check(delta: &Delta<'_>, lang: Lang, found: &mut Findings) {
    swallowed(delta, lang, found);
    emptied(delta, lang, found);
    if lang == Lang::Rust {
        dropped(delta, found);
        loosened(delta, found);
    }
}

/// Results that went up with `?` and are now thrown away.
fn dropped(delta: &Delta<'_>, found: &mut Findings) {
    let was: HashSet<&str> = before(delta).lines().map(str::trim).collect();
    let now: HashSet<&str> = delta.after.unwrap_or_default().lines().map(str::trim).collect();
    for (at, line) in delta.added() {
        let line = line.trim().trim_end_matches(';');
        let call = line.strip_prefix("let _ =").or_else(|| line.strip_suffix(".ok()")).map(str::trim);
        let Some(call) = call.filter(|call| call.contains('(')) else { continue };
        let checked = was.iter().any(|old| {
            old.strip_prefix(call).is_some_and(|rest| rest.starts_with('?')) && !now.contains(old)
        });
        if checked {
            let reason = "an error that went up is thrown away; that needs an approval";
            found.approval("silenced", delta.path, Some(at), reason);
        }
    }
}

/// Lints that were errors and are none any more.
fn loosened(delta: &Delta<'_>, found: &mut Findings) {
    static STRICT: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"#!?\s*\[\s*(?:deny|forbid)\s*\(([^)]{0,2000})\)").expect("constant pattern")
    });
    let Some(after) = delta.after else { return };
    let lints = |text: &str| -> HashSet<String> {
        let code = masked(Some(Lang::Rust), text).code;
        let lists = STRICT.captures_iter(&code).map(|found| found[1].to_owned()).collect::<Vec<_>>();
        lists.iter().flat_map(|list| list.split(',')).map(|lint| lint.trim().to_owned()).collect()
    };
    let now = lints(after);
    if let Some(lint) =
        lints(before(delta)).into_iter().filter(|lint| !lint.is_empty() && !now.contains(lint)).min()
    {
        let reason = format!("{lint} is no error any more; that needs an approval");
        found.approval("silenced", delta.path, None, reason);
    }
}

/// Catch clauses that do nothing.
fn swallowed(delta: &Delta<'_>, lang: Lang, found: &mut Findings) {
    let count = |text: &str| {
        let mut places: Vec<(usize, Weight)> = Vec::new();
        let Some(tree) = lang.parse(text) else { return places };
        walk(&tree, &mut |node| {
            let weight = match node.kind() {
                "catch_clause" => empty_catch(node, text, lang),
                "except_clause" => empty_except(node, text),
                _ => None,
            };
            places.extend(weight.map(|weight| (node.start_position().row + 1, weight)));
            true
        });
        places
    };
    let now = count(delta.after.unwrap_or_default());
    let was = count(before(delta));
    if now.len() <= was.len() {
        return;
    }
    let added: HashSet<usize> = delta.added().into_iter().map(|(line, _)| line).collect();
    let new = now.iter().find(|(line, _)| added.contains(line)).or(now.last());
    if let Some(&(line, weight)) = new {
        found.add(
            "silenced",
            delta.path,
            Some(line),
            "an error is caught and dropped; handle it or let it go up".into(),
            weight,
        );
    }
}

/// An empty block swallows everything; one with a comment says why, and a person may agree. In Java a catch of one kind of exception is
/// ordinary where it says that it means it.
fn empty_catch(node: Node<'_>, text: &str, lang: Lang) -> Option<Weight> {
    let body = node.child_by_field_name("body")?;
    let mut cursor = body.walk();
    let mut children = body.named_children(&mut cursor).peekable();
    let head = text.get(node.start_byte()..body.start_byte()).unwrap_or_default();
    static MEANT: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\b(?:ignored?|expected|unused)\s*\)").expect("constant pattern"));
    static ALL: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\((?:final\s+)?(?:Throwable|Exception|Error|AssertionError|RuntimeException)\b")
            .expect("constant pattern")
    });
    if lang == Lang::Java && MEANT.is_match(head) && !ALL.is_match(head) {
        return None;
    }
    if children.peek().is_none() {
        return Some(Weight::Refuse);
    }
    children.all(|child| child.kind().ends_with("comment")).then_some(Weight::NeedsApproval)
}

/// Only clauses that catch everything: a named exception that is passed over is ordinary Python.
fn empty_except(node: Node<'_>, text: &str) -> Option<Weight> {
    let mut cursor = node.walk();
    let children: Vec<Node<'_>> = node.named_children(&mut cursor).collect();
    let (block, caught) = children.split_last()?;
    if block.kind() != "block" {
        return None;
    }
    let broad = caught.iter().filter(|child| child.kind() != "comment").all(|child| {
        let caught = text.get(child.byte_range()).unwrap_or_default().trim_start_matches('(');
        caught.starts_with("Exception")
            || caught.starts_with("BaseException")
            || caught.starts_with("AssertionError")
    });
    let mut cursor = block.walk();
    let statements: Vec<Node<'_>> =
        block.named_children(&mut cursor).filter(|child| child.kind() != "comment").collect();
    let said = |child: &Node<'_>| text.get(child.byte_range()).unwrap_or_default();
    let nothing = statements.iter().all(|child| child.kind() == "pass_statement" || said(child) == "...");
    if broad && nothing {
        return Some(Weight::Refuse);
    }
    let passes = matches!(statements.as_slice(), [only]
        if only.kind() == "continue_statement" || (only.kind() == "return_statement" && CONSTANT.is_match(said(only))));
    (broad && passes).then_some(Weight::NeedsApproval)
}

/// Functions that did something and now do nothing, and new ones that never did.
fn emptied(delta: &Delta<'_>, lang: Lang, found: &mut Findings) {
    let Some(new) = delta.after else { return };
    let (old, new) = (functions(lang, before(delta)), functions(lang, new));
    let product = !is_test_path(delta.path) && delta.path.extension() != Some("pyi");
    for (name, body) in &new {
        let Some(was) = old.get(name) else {
            if body.alike || (product && body.compares) {
                let reason = if body.alike { ALIKE } else { COMPARES };
                found.approval("danger", delta.path, Some(body.line), reason);
            } else if product && delta.existed && body.stub {
                let reason =
                    format!("{name} is new and does nothing with what it is given; that needs an approval");
                found.approval("placeholder", delta.path, Some(body.line), reason);
            }
            continue;
        };
        if body.alike && !was.alike {
            found.approval("danger", delta.path, Some(body.line), ALIKE);
        } else if product && body.compares && body.text != was.text {
            found.approval("danger", delta.path, Some(body.line), COMPARES);
        }
        if body.placeholder && !was.placeholder && was.statements > 0 {
            let reason = format!("a placeholder takes the place of what {name} did; that needs an approval");
            found.approval("placeholder", delta.path, Some(body.line), reason);
        } else if body.statements == 0 && was.statements > 0 {
            let reason = format!("the body of {name} is emptied; repair it");
            found.refuse("placeholder", delta.path, Some(body.line), reason);
        } else if body.constant && !was.constant && was.statements >= 2 {
            let reason =
                format!("{name} now returns a constant and does nothing else; that needs an approval");
            found.approval("placeholder", delta.path, Some(body.line), reason);
        }
    }
}

struct Body {
    line: usize,
    /// Statements that do anything.
    statements: usize,
    /// It is nothing but one constant that is returned.
    constant: bool,
    /// It does nothing but raise what says that it is not written.
    placeholder: bool,
    /// It takes something, does nothing with it, and nothing above it (a trait, a base class) asks for that.
    stub: bool,
    /// It says whether two objects are equal.
    compares: bool,
    /// It does, and looks at nothing of one of them but its kind.
    alike: bool,
    /// Its words, without the space between them.
    text: String,
}

const COMPARES: &str = "what an object is equal to is newly told by its own code; that needs an approval";

const ALIKE: &str = "an object equals others whatever the two hold; that needs an approval";

static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"^(?:raise\s+NotImplementedError|throw\s+new\s+(?:UnsupportedOperation|NotImplemented)Exception)\b",
    )
    .expect("constant pattern")
});

static CONSTANT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^(?:return\b)?\s*(?:(?:Ok|Some|Err)\s*\(\s*)?",
        r#"(?:-?\d[\w.]*|true|false|True|False|None|null|undefined|nil(?:\s*,\s*nil)?|""|''|\[\]|\{\}|\(\)|String::new\(\)|Vec::new\(\)|vec!\[\]"#,
        r#"|(?:Default|Self)::default\(\)|"[^"]{0,80}"(?:\.(?:into|to_string|to_owned)\(\))?|'[^']{0,80}')?"#,
        r"\s*\)?(?:\s+as\s+[\w<>\[\]]+)*\s*;?$"
    ))
    .expect("constant pattern")
});

/// Functions by name; those whose name is there twice are left out.
fn functions(lang: Lang, text: &str) -> BTreeMap<String, Body> {
    let mut all = BTreeMap::new();
    let mut twice = Vec::new();
    let Some(tree) = lang.parse(text) else { return all };
    walk(&tree, &mut |node| {
        let function = matches!(
            node.kind(),
            "function_item"
                | "function_definition"
                | "function_declaration"
                | "method_definition"
                | "method_declaration"
        );
        if function
            && let Some(name) = node.child_by_field_name("name").and_then(|name| text.get(name.byte_range()))
            && let Some(body) = node.child_by_field_name("body")
        {
            let said = |node: Node<'_>| text.get(node.byte_range()).unwrap_or_default();
            let statements: Vec<Node<'_>> = statements(body)
                .into_iter()
                .filter(|child| {
                    !child.kind().ends_with("comment")
                        && child.kind() != "pass_statement"
                        && said(*child) != "..."
                        && !said(*child).starts_with("\"\"\"")
                })
                .collect();
            let constant = matches!(statements.as_slice(), [only] if CONSTANT.is_match(said(*only).trim()));
            let placeholder =
                matches!(statements.as_slice(), [only] if PLACEHOLDER.is_match(said(*only).trim()));
            let stub = (statements.is_empty() || constant) && takes(node, text) && free(node, text, name);
            let found = Body {
                line: node.start_position().row + 1,
                statements: statements.len(),
                constant,
                placeholder,
                stub,
                compares: compares(lang, name),
                alike: compares(lang, name) && alike(lang, node, text),
                text: if compares(lang, name) {
                    said(body).split_whitespace().collect()
                } else {
                    String::new()
                },
            };
            // A method's name alone says too little: its class or impl block belongs to it.
            let receiver = node.child_by_field_name("receiver").map(said);
            let owner = std::iter::successors(node.parent(), Node::parent).find_map(|above| {
                let name = above.child_by_field_name("type").or_else(|| above.child_by_field_name("name"))?;
                // One type may be told equal to several: the trait belongs to it.
                let first = above.child_by_field_name("trait").unwrap_or(name);
                text.get(first.start_byte().min(name.start_byte())..name.end_byte())
            });
            let name = receiver.or(owner).map_or_else(|| name.to_owned(), |owner| format!("{owner}.{name}"));
            if all.insert(name.clone(), found).is_some() {
                twice.push(name);
            }
        }
        true
    });
    all.retain(|name, _| !twice.contains(name));
    all
}

/// The statements of a body. Go's grammar puts a list between.
fn statements(body: Node<'_>) -> Vec<Node<'_>> {
    let mut cursor = body.walk();
    let children: Vec<Node<'_>> = body.named_children(&mut cursor).collect();
    match children.as_slice() {
        [list] if list.kind() == "statement_list" => statements(*list),
        _ => children,
    }
}

/// Whether a function has parameters beside the object that it belongs to, and does not say that it leaves them alone.
fn takes(node: Node<'_>, text: &str) -> bool {
    let Some(parameters) = node.child_by_field_name("parameters") else { return false };
    let mut cursor = parameters.walk();
    parameters.named_children(&mut cursor).any(|parameter| {
        let said = text.get(parameter.byte_range()).unwrap_or_default();
        !parameter.kind().ends_with("comment")
            && parameter.kind() != "self_parameter"
            && !matches!(said, "self" | "cls")
            && !said.starts_with('_')
    })
}

/// Whether nothing above a function asks for it: no trait, no decorator, no base class, no annotation.
fn free(node: Node<'_>, text: &str, name: &str) -> bool {
    let said = |node: Node<'_>| text.get(node.byte_range()).unwrap_or_default();
    let bound = std::iter::successors(node.parent(), Node::parent).any(|above| match above.kind() {
        "impl_item" => above.child_by_field_name("trait").is_some(),
        "decorated_definition" | "trait_item" | "interface_declaration" | "enum_declaration" => true,
        "class_definition" => above.child_by_field_name("superclasses").is_some(),
        "class_declaration" | "class" => {
            let body = above.child_by_field_name("body").map_or(above.end_byte(), |body| body.start_byte());
            let head = text.get(above.start_byte()..body).unwrap_or_default();
            head.contains("extends") || head.contains("implements") || head.contains("abstract")
        }
        "object" | "object_creation_expression" => true,
        _ => false,
    });
    let start = said(node).split('{').next().unwrap_or_default();
    !bound
        && !start.contains("@Override")
        && !name.starts_with("__")
        && !matches!(name, "noop" | "init" | "main")
}

/// Whether a function of this name tells whether two objects are equal, or which comes first.
fn compares(lang: Lang, name: &str) -> bool {
    match lang {
        Lang::Rust => matches!(name, "eq" | "ne" | "cmp" | "partial_cmp"),
        Lang::Python => matches!(name, "__eq__" | "__ne__"),
        Lang::Java => matches!(name, "equals" | "compareTo"),
        Lang::Go => matches!(name, "Equal" | "Equals" | "Is"),
        Lang::TypeScript | Lang::Tsx | Lang::JavaScript => matches!(name, "equals" | "isEqual"),
    }
}

/// Whether a comparison says nothing of the two objects: it looks at nothing of the other one but its kind, or at nothing of its own, or takes
/// over what it is compared with. One that ends in an error compares nothing.
fn alike(lang: Lang, node: Node<'_>, text: &str) -> bool {
    // What asks for the kind, or for whether there is one at all, or puts it aside, or compares it with itself.
    static KIND: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(concat!(
            r"isinstance\s*\(\s*OTHER\s*,[^()]*(?:\([^()]*\))?\s*\)|\bOTHER\s+instanceof\s+[\w.]+(?:<[^<>]*>)?\s*(?:OTHER\b|[);&|?:]|$)",
            r"|\b(?:type|typeof|TypeId::of_val)\s*\(?\s*&?OTHER\s*\)?|\bOTHER\s*\.\s*(?:(?:getClass|hashCode)\s*\(\s*\)|__class__|constructor|type_id\s*\(\s*\))",
            r"|\bOTHER\s*(?:===?|!==?|is(?:\s+not)?)\s*(?:null|nil|None|undefined|OTHER)\b|\b(?:let\s+_|_)\s*=\s*&?OTHER\b|\bdrop\s*\(\s*OTHER\s*\)",
            r"|\bOTHER\s*\.\s*(?:equals|compareTo|eq|cmp|Equal)\s*\(\s*&?OTHER\s*\)|\bOTHER\s*=\s*\([\w.]+(?:<[^<>]*>)?\)\s*OTHER\b",
        ))
        .expect("constant pattern")
    });
    // The other one under a second name, of its own kind.
    static CAST: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\bOTHER\s+instanceof\s+[\w.]+(?:<[^<>]*>)?\s+(\w+)|\b(\w+)\s*=\s*\([\w.]+(?:<[^<>]*>)?\)\s*OTHER\b")
            .expect("constant pattern")
    });
    static FAILS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\b(?:raise|throw|panic|unreachable|unimplemented|todo)\b").expect("constant pattern")
    });
    static TAKES: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(concat!(
            r"(?m)(?:^|[;{(]|\b(?:let|mut)\s)\s*\*?(?:OWN|OTHER)(?:\.\w+)*\s*(?::?=)\s*[^=\s]",
            r"|\bOWN\b[^;\n]*\.(?:set|replace|store|swap|borrow_mut|get_mut|update|assign)\s*\("
        ))
        .expect("constant pattern")
    });
    let said = |node: Node<'_>| text.get(node.byte_range()).unwrap_or_default();
    let (Some(parameters), Some(body)) =
        (node.child_by_field_name("parameters"), node.child_by_field_name("body"))
    else {
        return false;
    };
    let mut cursor = parameters.walk();
    let named: Vec<Node<'_>> = parameters
        .named_children(&mut cursor)
        .filter(|parameter| {
            !parameter.kind().ends_with("comment") && !parameter.kind().ends_with("annotation")
        })
        .collect();
    let name = |parameter: Node<'_>| {
        let field = |name: &str| parameter.child_by_field_name(name);
        said(field("pattern").or_else(|| field("name")).unwrap_or(parameter))
    };
    let plain = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    let own = match lang {
        Lang::Python => named.first().map(|own| name(*own)),
        Lang::Rust => Some("self"),
        Lang::Go => node.child_by_field_name("receiver").and_then(|list| list.named_child(0)).map(name),
        // Java's fields need no `this`.
        _ => Some("this"),
    };
    let other = named.last().filter(|other| other.kind() != "self_parameter").map(|other| name(*other));
    let (Some(own), Some(other)) = (own.filter(|own| plain(own)), other.filter(|other| plain(other))) else {
        return false;
    };
    let as_word = |code: &str, word: &str, stands: &str| match Regex::new(&format!(r"\b{word}\b")) {
        Ok(word) => word.replace_all(code, stands).into_owned(),
        Err(_) => code.to_owned(),
    };
    // In the patterns `OTHER` and `OWN` stand for whatever they are called.
    let mut marked = as_word(&as_word(said(body), other, "OTHER"), own, "OWN");
    let casts: Vec<String> = CAST
        .captures_iter(&marked)
        .filter_map(|found| Some(found.get(1).or_else(|| found.get(2))?.as_str().to_owned()))
        .collect();
    for cast in casts {
        marked = as_word(&marked, &cast, "OTHER");
    }
    if FAILS.is_match(&marked) || own == other {
        return false;
    }
    let rest = KIND.replace_all(&marked, " ");
    // A kind of error is told by what it is compared with, by nothing of its own.
    let nothing_own = !matches!(lang, Lang::Java)
        && node.child_by_field_name("name").is_none_or(|name| said(name) != "Is")
        && !rest.contains("OWN")
        && !rest.contains("super");
    !rest.contains("OTHER") || nothing_own || (lang != Lang::Java && TAKES.is_match(&marked))
}
