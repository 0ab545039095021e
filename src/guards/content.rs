//! What a patch newly writes into files: conflict markers, secrets, dangerous constructs, placeholders, silenced errors, code that
//! recognises that it is under test.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use tree_sitter::Node;

use super::delta::{Delta, line_at};
use super::syntax::{Lang, Masked, masked, walk};
use super::tests_kept::is_test_path;
use super::{Findings, Weight, before};
use crate::patch::RelPath;

/// Where a rule's pattern is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The code, without comments and strings.
    Code,
    /// Comments alone.
    Comments,
    /// All of the text.
    All,
}

/// Which files a rule is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Files {
    Any,
    Rust,
    Python,
    Script,
    Go,
    Java,
    /// Tests.
    Tests,
    /// All but tests.
    Product,
}

struct Rule {
    guard: &'static str,
    files: Files,
    part: Part,
    pattern: Regex,
    reason: &'static str,
    weight: Weight,
}

/// The rules as a table: guard, files, part, pattern, reason, and whether it refuses.
type Row = (&'static str, Files, Part, &'static str, &'static str, bool);

#[rustfmt::skip]
const ROWS: &[Row] = {
    use Files::*;
    use Part::*;
    &[
        ("silenced", Rust, Code, r"#!?\s*\[\s*(?:allow|expect)\s*\(", "the warning is silenced by an attribute; repair its cause", true),
        ("silenced", Rust, Code, r"#!?\s*\[\s*cfg_attr\s*\([^\]]{0,200}\b(?:allow|expect)\s*\(", "the warning is silenced by an attribute; repair its cause", true),
        ("silenced", Python, Comments, r"(?i)#\s*(?:type:\s*ignore|noqa|pyright:\s*(?:ignore|basic)|pylint:\s*(?:disable|skip-file)|mypy:\s*|ruff:\s*noqa|flake8:\s*noqa|nosec|pyre-ignore|pyre-fixme)", "the complaint is silenced by a comment; repair its cause", true),
        ("silenced", Any, Comments, r"(?i)(?:#\s*pragma:\s*no\s*cover|\b(?:istanbul|c8|v8)\s+ignore)", "code is taken out of the coverage", true),
        ("silenced", Script, Comments, r"@ts-(?:ignore|expect-error|nocheck)", "the type error is silenced by a comment; repair the types", true),
        ("silenced", Script, Comments, r"(?:eslint|oxlint|tslint:|jshint|stylelint)-?disable|biome-ignore|deno-lint-ignore", "the lint is silenced by a comment; repair its cause", true),
        ("silenced", Script, Code, r"\bas\s+any\b|\bas\s+unknown\s+as\b|<any>", "the type is cast away; give the true type", true),
        ("silenced", Script, Code, r"[\w)\]?]\s*:\s*any\b(?:\[\])?\s*(?:[,;)=>{|&\n]|$)", "a type is `any`; give the true type", true),
        ("silenced", Go, Comments, r"//\s*nolint", "the lint is silenced by a comment; repair its cause", true),
        ("silenced", Java, Code, r"@SuppressWarnings", "the warning is silenced by an annotation; repair its cause", true),

        ("placeholder", Rust, Code, r"\b(?:todo|unimplemented)!\s*[(\[{]", "a placeholder stands where code should be; write the code", true),
        ("placeholder", Rust, All, r#"(?i)\bpanic!\s*\(\s*"(?:not (?:yet )?implemented|todo)"#, "a placeholder stands where code should be; write the code", true),
        ("placeholder", Python, Code, r"\braise\s+NotImplementedError\b", "a placeholder stands where code should be; write the code", true),
        ("placeholder", Script, All, r#"(?i)\bthrow\s+new\s+Error\s*\(\s*["'`](?:method |function )?(?:not (?:yet )?implemented|todo|unimplemented)"#, "a placeholder stands where code should be; write the code", true),
        ("placeholder", Go, All, r#"(?i)\bpanic\s*\(\s*"(?:not (?:yet )?implemented|todo|unimplemented)"#, "a placeholder stands where code should be; write the code", true),
        ("placeholder", Java, Code, r"\bthrow\s+new\s+(?:UnsupportedOperation|NotImplemented)Exception\b", "a placeholder stands where code should be; write the code", true),
        ("placeholder", Any, Comments, r"(?i)(?://|#|/\*|\*)\s*(?:todo|fixme)\b[:\s(\w)-]{0,30}\b(?:implement|fill in|add (?:the )?(?:real|actual|proper))\b", "a comment puts the work off; write the code", true),
        ("placeholder", Any, Comments, r"(?i)(?://|#|/\*|\*)\s*(?:your|actual|real) (?:code|implementation|logic) (?:goes )?here", "a comment puts the work off; write the code", true),

        ("danger", Any, All, r"\b(?:curl|wget|fetch)\b[^\n|;]{0,300}\|\s*(?:sudo\s+)?(?:ba|z|da|k)?sh\b", "what is downloaded is run by a shell", true),
        ("danger", Any, All, r"\b(?:ba|z|da)?sh\s+(?:-c\s+)?[<\x22']?[<$]\(\s*(?:curl|wget)\b", "what is downloaded is run by a shell", true),
        ("danger", Any, All, r#"\brm\s+(?:-[a-zA-Z]+\s+)*-[a-zA-Z]*[rR][a-zA-Z]*\s+(?:-[a-zA-Z]+\s+|--no-preserve-root\s+)*["']?(?:/|(?:~|\$HOME|\$\{HOME\})/?)["']?(?:\s|\*|/\*|;|$|["'])"#, "it removes a whole file system or home folder", true),
        ("danger", Script, Code, r"(?:^|[^.\w])eval\s*\(|\bnew\s+Function\s*\(", "text is run as code; find another way or ask for an approval", false),
        ("danger", Python, Code, r"(?:^|[^.\w])(?:eval|exec)\s*\(", "text is run as code; find another way or ask for an approval", false),
        ("danger", Python, Code, r"\bos\.(?:system|popen)\s*\(|\bshell\s*=\s*True\b|\bpickle\.loads?\s*\(", "a shell runs text, or bytes become objects; that needs an approval", false),
        ("danger", Script, All, r#"(?:\brequire\s*\(\s*|\bfrom\s*)["'](?:node:)?(?:child_process|vm|worker_threads)["']"#, "other programs or contexts are started; that needs an approval", false),
        ("danger", Rust, Code, r"\bunsafe\s*(?:\{|fn\b|impl\b|extern\b)", "unsafe code is added; that needs an approval", false),
        ("danger", Rust, Code, r"\bmem::(?:transmute|forget)\b|\bCommand::new\s*\(", "raw memory or other programs are used; that needs an approval", false),
        ("danger", Any, Code, r"\brejectUnauthorized\s*:\s*false|\bverify\s*=\s*False|\bdanger_accept_invalid_(?:certs|hostnames)\s*\(\s*true|\bInsecureSkipVerify\s*:\s*true|NODE_TLS_REJECT_UNAUTHORIZED", "certificates are not checked any more", true),
        ("danger", Any, All, r"\bchmod\s+(?:-R\s+)?0?777\b", "files become writable for everybody; that needs an approval", false),
        ("danger", Python, Code, r"def\s+__eq__\s*\([^)]*\)[^:\n]*:\s*(?:\n\s*)?return\s+True\b|\b__eq__\s*=\s*lambda\b[^:\n]*:\s*True\b", "an object equals everything; compare what matters", true),
        ("danger", Python, Code, r"\bsys\.modules\s*\[[^\]]*\]\s*=", "a module is replaced at run time; that needs an approval", false),
        ("danger", Rust, Code, r"fn\s+eq\s*\([^)]*\)\s*->\s*bool\s*\{\s*true\s*\}", "an object equals everything; compare what matters", true),

        ("under-test", Product, All, r#"(?:["'](?:pytest|_pytest|unittest)[\w.]*["']\s+(?:not\s+)?in\s+sys\.modules|sys\.modules[^\n]{0,20}["'](?:pytest|unittest)["']|PYTEST_CURRENT_TEST|JEST_WORKER_ID|\bVITEST(?:_WORKER_ID)?\b|\bMOCHA_|import\.meta\.vitest)"#, "the code behaves differently under test; repair what the tests check", true),
        ("under-test", Product, All, r#"\bNODE_ENV["'\]]*\s*[!=]==?\s*["'`]test["'`]|["'`]test["'`]\s*[!=]==?\s*process\.env\.NODE_ENV"#, "the code behaves differently under test; repair what the tests check", true),
        ("under-test", Product, Code, r"\bcfg!\s*\([^)]{0,60}\btest\b|#\s*\[\s*cfg\s*\(\s*not\s*\(\s*test\s*\)|\btesting\.Testing\s*\(", "the code behaves differently under test; repair what the tests check", true),

        ("under-test", Product, Code, r"\binspect\.(?:stack|currentframe|getouterframes|trace)\s*\(|\bsys\._getframe\b|\btraceback\.(?:extract_stack|walk_stack)\s*\(|\bsys\.(?:settrace|setprofile)\s*\(", "the code looks at who calls it; that needs an approval", false),
        ("tests", Product, Code, r"\b(?:unittest|TestCase|TestResult|TestProgram)\.\w+(?:\.\w+)*\s*=[^=]|\bsetattr\s*\([^)\n]*\bTestCase\b", "the test runner is changed from the product's code; repair what the tests check", true),

        ("tests", Product, All, r#"(?:\bassert|\brequire\s*\(\s*["'](?:node:)?(?:assert|test|chai|expect)[\w/]*["']\s*\))(?:\.\w+)+\s*=[^=>]"#, "the assertions are changed from the product's code; repair what the tests check", true),

        ("tests", Tests, Code, r"\bprocess\.exit\s*\(|\bos\._exit\s*\(|\bsys\.exit\s*\(|\bprocess::exit\s*\(|\bos\.Exit\s*\(|\bSystem\.exit\s*\(|(?:^|[^.\w])(?:quit|exit)\s*\(|\bos\.abort\s*\(|\bos\.kill\s*\(", "a test ends the whole process; let the runner report", true),
        ("tests", Product, Code, r"\bos\._exit\s*\(|\bprocess\.(?:exit|reallyExit)\s*\(\s*0?\s*\)|\bprocess::exit\s*\(\s*0\s*\)|\bprocess\.exitCode\s*=\s*0\b", "the program ends with success from within; that needs an approval", false),
        ("tests", Any, Code, r"\batexit\.register\s*\(|\bprocess\.on\s*\(\s*'?\s*'?\s*,|\bpytest_(?:collection_modifyitems|runtest_\w+|sessionfinish|terminal_summary|exception_interact|report_\w+)\b", "it hooks into the end of the process or into the test runner; that needs an approval", false),
    ]
};

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    ROWS.iter()
        .map(|&(guard, files, part, pattern, reason, refuses)| Rule {
            guard,
            files,
            part,
            pattern: Regex::new(&format!("(?m){pattern}")).expect("constant pattern"),
            reason,
            weight: if refuses { Weight::Refuse } else { Weight::NeedsApproval },
        })
        .collect()
});

pub(super) fn check(delta: &Delta<'_>, found: &mut Findings) {
    let Some(after) = delta.after else { return };
    let prose = matches!(
        delta.path.extension(),
        Some("md" | "mdx" | "rst" | "txt" | "adoc" | "html" | "svg" | "csv" | "lock")
    );
    markers(delta, found);
    secrets(delta, found);
    if prose {
        return;
    }
    let lang = Lang::of(delta.path);
    let (new, old) = (masked(lang, after), masked(Lang::of(delta.old_path()), before(delta)));
    for rule in RULES.iter().filter(|rule| applies(rule.files, delta.path, lang)) {
        if let Some(line) = newly(rule, delta, &new, &old) {
            found.add(rule.guard, delta.path, Some(line), rule.reason.to_owned(), rule.weight);
        }
    }
    if let Some(lang) = lang {
        swallowed(delta, lang, found);
        emptied(delta, lang, found);
    }
}

fn applies(files: Files, path: &RelPath, lang: Option<Lang>) -> bool {
    match files {
        Files::Any => true,
        Files::Rust => lang == Some(Lang::Rust),
        Files::Python => lang == Some(Lang::Python),
        Files::Script => lang.is_some_and(Lang::is_script),
        Files::Go => path.extension() == Some("go"),
        Files::Java => matches!(path.extension(), Some("java" | "kt")),
        Files::Tests => is_test_path(path),
        Files::Product => !is_test_path(path),
    }
}

/// The line of a match that was not there before: there are more matches now, and this one's text is new.
fn newly(rule: &Rule, delta: &Delta<'_>, new: &Masked, old: &Masked) -> Option<usize> {
    let part = |masked: &Masked, all: &str| match rule.part {
        Part::Code => masked.code.clone(),
        Part::Comments => masked.comments.clone(),
        Part::All => all.to_owned(),
    };
    let (new, old) = (part(new, delta.after.unwrap_or_default()), part(old, before(delta)));
    let now: Vec<Range<usize>> = rule.pattern.find_iter(&new).map(|m| m.range()).take(10_000).collect();
    let was = rule.pattern.find_iter(&old).take(10_000).count();
    if now.len() <= was {
        return None;
    }
    let lines: Vec<usize> = now.iter().map(|range| line_at(&new, first_visible(&new, range))).collect();
    let added: HashSet<usize> = delta.added().into_iter().map(|(line, _)| line).collect();
    lines.iter().find(|line| added.contains(line)).or(lines.last()).copied()
}

fn first_visible(text: &str, range: &Range<usize>) -> usize {
    range.start + text[range.clone()].len() - text[range.clone()].trim_start().len()
}

fn markers(delta: &Delta<'_>, found: &mut Findings) {
    let mark = |line: &str| {
        ["<<<<<<< ", ">>>>>>> ", "||||||| "].iter().any(|mark| line.starts_with(mark))
            || matches!(line, "<<<<<<<" | ">>>>>>>")
    };
    let was = before(delta).lines().filter(|line| mark(line)).count();
    let now = delta.after.unwrap_or_default().lines().filter(|line| mark(line)).count();
    if now > was
        && let Some((line, _)) = delta.added().into_iter().find(|(_, line)| mark(line))
    {
        found.refuse("markers", delta.path, Some(line), "a conflict marker is left in the file");
    }
}

static SECRET: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"AKIA[0-9A-Z]{16}|\bgh[pousr]_[A-Za-z0-9]{36,}|\bgithub_pat_[A-Za-z0-9_]{50,}|\bglpat-[A-Za-z0-9_-]{20,}",
        r"|\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{32,}|\bxox[abprs]-[A-Za-z0-9-]{20,}|\bAIza[A-Za-z0-9_-]{35}",
        r"|\bnpm_[A-Za-z0-9]{36}|\bpypi-[A-Za-z0-9_-]{50,}|-----BEGIN (?:RSA |EC |OPENSSH |DSA |PGP )?PRIVATE KEY"
    ))
    .expect("constant pattern")
});

/// Where a text has something of the shape of a secret. The one place that knows the shapes.
fn secret_in(line: &str) -> bool {
    SECRET.is_match(line)
}

fn secrets(delta: &Delta<'_>, found: &mut Findings) {
    if let Some((line, _)) = delta.added().into_iter().find(|(_, line)| secret_in(line)) {
        found.refuse(
            "secrets",
            delta.path,
            Some(line),
            "the line has what looks like a key; read it from the environment",
        );
    }
}

/// Catch clauses that do nothing.
fn swallowed(delta: &Delta<'_>, lang: Lang, found: &mut Findings) {
    let count = |text: &str| {
        let mut places: Vec<(usize, Weight)> = Vec::new();
        let Some(tree) = lang.parse(text) else { return places };
        walk(&tree, &mut |node| {
            let weight = match node.kind() {
                "catch_clause" => empty_catch(node),
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

/// An empty block swallows everything; one with a comment says why, and a person may agree.
fn empty_catch(node: Node<'_>) -> Option<Weight> {
    let body = node.child_by_field_name("body")?;
    let mut cursor = body.walk();
    let mut children = body.named_children(&mut cursor).peekable();
    if children.peek().is_none() {
        return Some(Weight::Refuse);
    }
    children.all(|child| child.kind() == "comment").then_some(Weight::NeedsApproval)
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
        let caught = text.get(child.byte_range()).unwrap_or_default();
        caught.starts_with("Exception")
            || caught.starts_with("BaseException")
            || caught.starts_with("AssertionError")
    });
    let mut cursor = block.walk();
    let nothing = block.named_children(&mut cursor).all(|child| {
        matches!(child.kind(), "pass_statement" | "comment") || text.get(child.byte_range()) == Some("...")
    });
    (broad && nothing).then_some(Weight::Refuse)
}

/// Functions that did something and now do nothing.
fn emptied(delta: &Delta<'_>, lang: Lang, found: &mut Findings) {
    let (Some(old), Some(new)) = (delta.before, delta.after) else { return };
    let (old, new) = (functions(lang, old), functions(lang, new));
    for (name, body) in &new {
        let Some(was) = old.get(name) else { continue };
        if body.statements == 0 && was.statements > 0 {
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
}

static CONSTANT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"^(?:return\b)?\s*(?:(?:Ok|Some)\s*\(\s*)?(?:-?\d[\w.]*|true|false|True|False|None|null|undefined|nil|""|''|\[\]|\{\}|\(\)|String::new\(\)|Vec::new\(\)|vec!\[\]|Default::default\(\)|"[^"]{0,80}"|'[^']{0,80}')?\s*\)?\s*;?$"#)
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
            "function_item" | "function_definition" | "function_declaration" | "method_definition"
        );
        if function
            && let Some(name) = node.child_by_field_name("name").and_then(|name| text.get(name.byte_range()))
            && let Some(body) = node.child_by_field_name("body")
        {
            let mut cursor = body.walk();
            let statements: Vec<Node<'_>> = body
                .named_children(&mut cursor)
                .filter(|child| {
                    !child.kind().ends_with("comment")
                        && child.kind() != "pass_statement"
                        && text
                            .get(child.byte_range())
                            .is_some_and(|text| text != "..." && !text.starts_with("\"\"\""))
                })
                .collect();
            let constant = matches!(statements.as_slice(), [only] if text.get(only.byte_range()).is_some_and(|text| CONSTANT.is_match(text.trim())));
            let found = Body { line: node.start_position().row + 1, statements: statements.len(), constant };
            // A method's name alone says too little: its class or impl block belongs to it.
            let owner = std::iter::successors(node.parent(), Node::parent).find_map(|above| {
                let name = above.child_by_field_name("type").or_else(|| above.child_by_field_name("name"))?;
                text.get(name.byte_range())
            });
            let name = owner.map_or_else(|| name.to_owned(), |owner| format!("{owner}.{name}"));
            if all.insert(name.clone(), found).is_some() {
                twice.push(name);
            }
        }
        true
    });
    all.retain(|name, _| !twice.contains(name));
    all
}
