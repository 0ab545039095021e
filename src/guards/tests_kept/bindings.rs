//! Where tests get what they test from: an import may follow what moved, and lead nowhere else.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use tree_sitter::Node;

use super::super::delta::Delta;
use super::super::syntax::{Lang, masked, walk};
use super::super::{Findings, Proposed, before};
use super::case::words;
use super::{GUARD, Sides, is_test_path};
use crate::patch::RelPath;

/// Imports of existing tests that lead to other places, although what they named is still where it was.
pub(super) fn check(
    proposed: &Proposed<'_>,
    sides: &[Sides<'_>],
    deltas: &[Delta<'_>],
    found: &mut Findings,
) {
    for side in sides.iter().filter(|side| side.delta.exists && !side.old.is_empty()) {
        let delta = side.delta;
        let Some(lang) = Lang::of(delta.path) else { continue };
        let (old, new) = (bindings(lang, before(delta)), bindings(lang, delta.after.unwrap_or_default()));
        let used = |name: &str| side.old.values().any(|case| words(&case.body).any(|word| word == name));
        for (name, target) in new.iter().filter(|(name, target)| old.get(*name) != Some(target) && used(name))
        {
            let other = old.get(name);
            // In Rust a second import of a name belongs to another module.
            if lang == Lang::Rust
                && other.is_some_and(|other| keeps_import(delta.after.unwrap_or_default(), other))
            {
                continue;
            }
            let source = other.map_or(name.as_str(), |other| other.name.as_str());
            let made = defines_more(deltas, &target.name);
            // New here: the patch may not bring what the tests then use instead. Changed: what was used has to be gone or moved.
            let honest = match other {
                None => !made || defines_less(deltas, source),
                Some(other) if other.is_strict() && !target.is_strict() => false,
                Some(other) => {
                    (other.name == target.name && same_module(&other.module, &target.module))
                        || defines_less(deltas, source)
                        || (other.module != target.module && moved(deltas, &other.module))
                        || (!made && !provides(proposed, &other.module, &other.name))
                }
            };
            if !honest {
                let reason = format!(
                    "{name:?}, which existing tests use, is imported from elsewhere; that needs an approval"
                );
                let line = target.line;
                found.approval(GUARD, delta.path, Some(line), reason);
            }
        }
    }
}

/// What a name is bound to by an import.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    module: String,
    name: String,
    line: usize,
}

impl Target {
    /// Whether it is the form of node's assertions that compares exactly.
    fn is_strict(&self) -> bool {
        self.name == "strict" || self.module.ends_with("/strict")
    }
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("constant pattern")
}

/// The names that imports bind in a text.
fn bindings(lang: Lang, text: &str) -> BTreeMap<String, Target> {
    static PYTHON: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"(?m)^[ \t]*from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]{0,4000}\)|[^\n#]+)")
    });
    static SCRIPT: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r#"(?m)^[ \t]*(?:import[ \t]+(?:type[ \t]+)?|(?:const|let|var)[ \t]+)([^"'`;=]{1,2000}?)(?:\s*from|\s*=\s*(?:await\s+import|require)\s*\()\s*["'`]([^"'`\n]+)["'`]"#,
        )
    });
    static RUST: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?m)^[ \t]*(?:pub[ \t]+)?use[ \t]+([\w:]+?)::(\w+|\{[^;]{0,2000}\})(?:[ \t]+as[ \t]+(\w+))?;",
        )
    });
    static NAMES: LazyLock<Regex> = LazyLock::new(|| pattern(r"(\*|\w+)(?:\s*(?:\bas\b|:)\s*(\w+))?"));
    let code = masked(Some(lang), text).code;
    let mut all = BTreeMap::new();
    let mut add = |module: &str, names: &str, at: usize| {
        // In a comment or a string it is no import.
        if code.get(at..at + 1).is_none()
            || code
                .get(at..)
                .is_some_and(|code| code.lines().next().is_none_or(|line| line.trim().is_empty()))
        {
            return;
        }
        let line = text[..at].matches('\n').count() + 1;
        for found in NAMES.captures_iter(names) {
            let name = found[1].to_owned();
            let bound = found.get(2).map_or(name.clone(), |bound| bound.as_str().to_owned());
            if bound != "type" {
                all.insert(bound, Target { module: module.to_owned(), name, line });
            }
        }
    };
    match lang {
        Lang::Python => {
            for found in PYTHON.captures_iter(text) {
                let at = found.get(0).map_or(0, |whole| whole.start());
                add(&found[1], &found[2], at);
            }
        }
        Lang::TypeScript | Lang::Tsx | Lang::JavaScript => {
            for found in SCRIPT.captures_iter(text) {
                let at = found.get(0).map_or(0, |whole| whole.start());
                add(&found[2], &found[1], at);
            }
        }
        Lang::Rust => {
            for found in RUST.captures_iter(text) {
                let at = found.get(0).map_or(0, |whole| whole.start());
                let names = found
                    .get(3)
                    .map_or(found[2].to_owned(), |bound| format!("{} as {}", &found[2], bound.as_str()));
                add(&found[1], &names, at);
            }
        }
        Lang::Go | Lang::Java => {}
    }
    all
}

/// Whether a text still imports from a module what an import named.
fn keeps_import(text: &str, target: &Target) -> bool {
    let from = format!("use {}::", target.module);
    text.split(from.as_str())
        .skip(1)
        .any(|rest| words(rest.split(';').next().unwrap_or_default()).any(|word| word == target.name))
}

/// Whether two names are the same module: with or without an ending.
fn same_module(one: &str, other: &str) -> bool {
    let bare = |name: &str| {
        [".js", ".ts", ".mjs", ".cjs", ".mts", ".tsx", ".jsx", "/index"]
            .iter()
            .fold(name.trim_start_matches("./"), |name, end| name.strip_suffix(end).unwrap_or(name))
            .to_owned()
    };
    bare(one) == bare(other)
}

/// How often a text defines a name at all.
fn definitions(text: &str, name: &str) -> usize {
    static DEFINES: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?m)\b(?:def|fn|func|function|const|let|var|class|struct|enum|trait|type|interface|static)\s+(?:mut\s+)?(\w+)|^(\w+)\s*(?::[^=\n]+)?=[^=]|\bexports?\.(\w+)\s*=",
        )
    });
    let found = DEFINES.captures_iter(text);
    found.filter(|found| found.iter().skip(1).flatten().any(|defined| defined.as_str() == name)).count()
}

/// Entries of the tree that are looked at for a module, and the largest that is read, in bytes.
const MOST_ENTRIES: usize = 5_000;
const LARGEST: u64 = 512 << 10;

/// Whether a module of the tree, before the patch, still defines a name.
fn provides(proposed: &Proposed<'_>, module: &str, name: &str) -> bool {
    let root = proposed.tree.root;
    let last = last_part(module);
    let walk = ignore::WalkBuilder::new(root).git_global(false).git_exclude(false).parents(false).build();
    walk.flatten().take(MOST_ENTRIES).any(|entry| {
        let Some(path) =
            entry.path().strip_prefix(root).ok().and_then(|path| RelPath::new(path.to_str()?).ok())
        else {
            return false;
        };
        let stem = path.file_name().split('.').next().unwrap_or_default();
        let index = matches!(stem, "__init__" | "index" | "mod" | "lib");
        let folder = path.parent();
        let of_module = stem == last
            || (index && (folder.as_ref().is_some_and(|folder| folder.file_name() == last) || stem == "lib"));
        of_module
            && Lang::of(&path).is_some()
            && entry.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= LARGEST)
            && proposed.tree.read_text(&path).is_some_and(|text| definitions(&text, name) > 0)
    })
}

/// The last name of a module's path.
fn last_part(module: &str) -> &str {
    module
        .rsplit(['.', '/', ':'])
        .find(|part| !matches!(*part, "" | "js" | "ts" | "mjs" | "cjs"))
        .unwrap_or(module)
}

/// How much more often product files define a name afterwards.
fn difference(deltas: &[Delta<'_>], name: &str) -> (usize, usize) {
    let count = |text: Option<&str>| definitions(text.unwrap_or_default(), name);
    let (mut less, mut more) = (0, 0);
    for delta in deltas {
        let (was, now) = (count(delta.before), count(delta.after));
        more += now.saturating_sub(was);
        if !is_test_path(delta.old_path()) {
            less += was.saturating_sub(now) + usize::from(delta.from.is_some() && was > 0);
        }
    }
    (less, more)
}

/// Whether product files define a name that they did not, by what the grammar calls a definition.
pub(super) fn defines_more_outside(deltas: &[Delta<'_>], name: &str) -> bool {
    let products = || deltas.iter().filter(|delta| !is_test_path(delta.path));
    products().any(|delta| named(delta.path, delta.after, name) > named(delta.old_path(), delta.before, name))
}

/// Whether product files define a name less often, or are gone with it.
pub(super) fn defines_less_outside(deltas: &[Delta<'_>], name: &str) -> bool {
    let products = || deltas.iter().filter(|delta| !is_test_path(delta.old_path()));
    products().any(|delta| named(delta.path, delta.after, name) < named(delta.old_path(), delta.before, name))
}

/// How often a text defines a name: a function, a type, a field, a variant, a parameter, something of a module.
fn named(path: &RelPath, text: Option<&str>, name: &str) -> usize {
    let Some(text) = text.filter(|text| text.contains(name)) else { return 0 };
    let Some((lang, tree)) = Lang::of(path).and_then(|lang| Some((lang, lang.parse(text)?))) else {
        return 0;
    };
    let said = |node: Node<'_>| text.get(node.byte_range()).unwrap_or_default();
    let mut count = 0;
    walk(&tree, &mut |node| {
        let field = match node.kind() {
            kind if kind.ends_with("_definition")
                || kind.ends_with("_declaration")
                || kind.ends_with("_item")
                || kind.ends_with("_spec")
                || kind.ends_with("_signature")
                || kind.ends_with("_parameter")
                || matches!(
                    kind,
                    "enum_variant" | "enum_constant" | "variable_declarator" | "method_elem" | "type_alias"
                ) =>
            {
                node.child_by_field_name("name")
            }
            "assignment" | "assignment_expression" => node.child_by_field_name("left"),
            "identifier"
                if node
                    .parent()
                    .is_some_and(|parent| matches!(parent.kind(), "parameters" | "typed_parameter")) =>
            {
                Some(node)
            }
            _ => None,
        };
        // `self.name = …` and `exports.name = …` define by their last word.
        let defined = field.map(said).unwrap_or_default();
        let last = match lang {
            Lang::Go | Lang::Java | Lang::Rust => defined,
            _ => defined.rsplit('.').next().unwrap_or_default(),
        };
        count += usize::from(last == name);
        true
    });
    count
}

fn defines_more(deltas: &[Delta<'_>], name: &str) -> bool {
    difference(deltas, name).1 > 0
}

fn defines_less(deltas: &[Delta<'_>], name: &str) -> bool {
    difference(deltas, name).0 > 0
}

/// Whether a file of the module's name was moved or removed.
fn moved(deltas: &[Delta<'_>], module: &str) -> bool {
    let last = last_part(module);
    deltas.iter().any(|delta| {
        let gone = if delta.exists { delta.from } else { Some(delta.path) };
        gone.is_some_and(|path| path.as_str().split(['/', '.']).any(|part| part == last))
    })
}
