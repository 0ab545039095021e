//! Repairs that rustc does not suggest: nearest names, declarations to restore, modules to declare, items to make visible.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::super::edit::{Candidate, Edit};
use super::super::finding::{Finding, Judgement};
use super::super::index::Index;
use super::super::nearest::nearest;
use crate::patch::{RelPath, Tree};

static TICKED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"`([^`\n]{1,200})`").expect("a constant pattern"));
static WORD: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[A-Za-z_][A-Za-z0-9_]*").expect("a constant pattern"));

/// Codes whose fault is a name that is not there.
const NAMELESS: &[&str] = &[
    "E0405", "E0407", "E0411", "E0412", "E0422", "E0423", "E0425", "E0432", "E0433", "E0437", "E0438",
    "E0531", "E0532", "E0559", "E0560", "E0573", "E0574", "E0576", "E0599", "E0609", "E0610", "E0026",
    "E0220", "E0261", "E0404", "E0583", "E0027",
];

/// Names of the standard library and the language that nothing in the repo declares.
const STANDARD: &[&str] = &[
    "alloc",
    "any",
    "borrow",
    "boxed",
    "cell",
    "char",
    "cmp",
    "collections",
    "convert",
    "default",
    "env",
    "error",
    "ffi",
    "fmt",
    "fs",
    "hash",
    "io",
    "iter",
    "marker",
    "mem",
    "net",
    "num",
    "ops",
    "option",
    "os",
    "path",
    "process",
    "ptr",
    "rc",
    "result",
    "slice",
    "str",
    "string",
    "sync",
    "thread",
    "time",
    "vec",
    "HashMap",
    "HashSet",
    "BTreeMap",
    "BTreeSet",
    "VecDeque",
    "BinaryHeap",
    "String",
    "Vec",
    "Option",
    "Result",
    "Some",
    "None",
    "Ok",
    "Err",
    "Box",
    "Rc",
    "Arc",
    "Mutex",
    "RwLock",
    "Cell",
    "RefCell",
    "Cow",
    "Path",
    "PathBuf",
    "Duration",
    "Instant",
    "Display",
    "Debug",
    "Formatter",
    "Error",
    "Write",
    "Read",
    "BufRead",
    "BufReader",
    "File",
    "Iterator",
    "IntoIterator",
    "FromIterator",
    "Default",
    "Clone",
    "Copy",
    "PartialEq",
    "Eq",
    "PartialOrd",
    "Ord",
    "Ordering",
    "Hash",
    "From",
    "Into",
    "TryFrom",
    "TryInto",
    "FromStr",
    "ToString",
    "AsRef",
    "Deref",
    "Drop",
    "Send",
    "Sync",
    "Sized",
    "usize",
    "isize",
    "bool",
    "u8",
    "u16",
    "u32",
    "u64",
    "u128",
    "i8",
    "i16",
    "i32",
    "i64",
    "i128",
    "f32",
    "f64",
    "self",
    "Self",
    "super",
    "crate",
    "println",
    "print",
    "eprintln",
    "format",
    "vec",
    "write",
    "writeln",
    "assert",
    "assert_eq",
    "assert_ne",
    "matches",
    "panic",
    "new",
    "len",
    "is_empty",
    "push",
    "push_str",
    "pop",
    "insert",
    "remove",
    "get",
    "get_mut",
    "contains",
    "contains_key",
    "iter",
    "iter_mut",
    "into_iter",
    "map",
    "filter",
    "filter_map",
    "flat_map",
    "fold",
    "collect",
    "sum",
    "min",
    "max",
    "count",
    "enumerate",
    "zip",
    "rev",
    "take",
    "skip",
    "chain",
    "any",
    "all",
    "find",
    "position",
    "unwrap",
    "unwrap_or",
    "unwrap_or_else",
    "unwrap_or_default",
    "expect",
    "ok_or",
    "ok_or_else",
    "and_then",
    "map_err",
    "is_some",
    "is_none",
    "is_ok",
    "is_err",
    "as_str",
    "as_ref",
    "as_mut",
    "as_bytes",
    "to_string",
    "to_owned",
    "clone",
    "trim",
    "split",
    "split_whitespace",
    "lines",
    "chars",
    "bytes",
    "parse",
    "replace",
    "starts_with",
    "ends_with",
    "to_lowercase",
    "to_uppercase",
    "sort",
    "sort_by",
    "sort_by_key",
    "dedup",
    "retain",
    "extend",
    "drain",
    "truncate",
    "first",
    "last",
    "join",
    "concat",
    "entry",
    "or_insert",
    "or_insert_with",
    "or_default",
    "keys",
    "values",
    "with_capacity",
    "from",
    "into",
    "abs",
    "pow",
    "sqrt",
    "lock",
    "read",
    "write",
    "borrow",
    "borrow_mut",
];

const KEYWORDS: &[&str] = &[
    "as", "async", "await", "break", "const", "continue", "dyn", "else", "enum", "extern", "false", "fn",
    "for", "if", "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub", "ref", "return",
    "static", "struct", "trait", "true", "type", "unsafe", "use", "where", "while",
];

/// Adds what could be tried for the findings of a state.
pub(super) fn candidates(tree: Tree<'_>, state: &Judgement, index: &Index, all: &mut Vec<Candidate>) {
    let wanted: Vec<Option<Wanted>> = state.findings.iter().map(|finding| wanted(tree, finding)).collect();
    let broken: BTreeSet<&str> = wanted.iter().flatten().map(|wanted| wanted.name.as_str()).collect();
    let mut hot: BTreeSet<String> = BTreeSet::new();
    for finding in &state.findings {
        for text in std::iter::once(&finding.message).chain(finding.places.iter().map(|place| &place.label)) {
            for ticked in TICKED.captures_iter(text) {
                hot.extend(WORD.find_iter(&ticked[1]).map(|word| word.as_str().to_owned()));
            }
        }
    }
    for finding in &state.findings {
        super::syntax::candidates(tree, finding, all);
    }
    for (finding, wanted) in state.findings.iter().zip(&wanted) {
        visible(tree, finding, index, all);
        derives(tree, finding, index, all);
        let Some(wanted) = wanted else { continue };
        modules(tree, finding, wanted, index, all);
        renames(finding, wanted, index, &hot, &broken, all);
        restores(tree, finding, wanted, index, all);
    }
}

/// A name that does not resolve, and where it stands.
struct Wanted {
    name: String,
    file: RelPath,
    span: (usize, usize),
}

/// The name that a finding misses: the first one its words quote that stands in the text it points at.
fn wanted(tree: Tree<'_>, finding: &Finding) -> Option<Wanted> {
    let names = NAMELESS.contains(&finding.code.as_str())
        || (finding.code.is_empty() && finding.message.starts_with("cannot find "));
    let file = finding.file.clone().filter(|_| names)?;
    let text = tree.read_text(&file)?;
    let (start, end) = finding.span;
    let pointed = text.get(start..end.min(start + 400).min(text.len()))?;
    let own = finding.places.iter().filter(|place| place.file == file && place.span == finding.span);
    let texts = own.map(|place| place.label.as_str()).chain([finding.message.as_str()]);
    for said in texts {
        for ticked in TICKED.captures_iter(said) {
            let name = ticked[1].rsplit("::").next().unwrap_or("").trim_end_matches(['!', '(', ')']);
            let name = name.strip_prefix("r#").unwrap_or(name);
            if WORD.find(name).is_none_or(|word| word.len() != name.len()) {
                continue;
            }
            // Macros are pointed at with their `!`; of a path the last part of that name is meant.
            if let Some(word) = WORD.find_iter(pointed).filter(|word| word.as_str() == name).last() {
                let span = (start + word.start(), start + word.end());
                return Some(Wanted { name: name.to_owned(), file, span });
            }
        }
    }
    None
}

fn renames(
    finding: &Finding,
    wanted: &Wanted,
    index: &Index,
    hot: &BTreeSet<String>,
    broken: &BTreeSet<&str>,
    all: &mut Vec<Candidate>,
) {
    let here = index.words(&wanted.file).map(|(word, _)| (word, 2));
    let declared = index.declared().map(|(_, declared)| (declared.name.as_str(), 3));
    let hot = hot.iter().map(|word| (word.as_str(), 4));
    let standard = STANDARD.iter().map(|word| (*word, 1));
    let names = here.chain(declared).chain(hot).chain(standard);
    let names = names.filter(|(name, _)| !broken.contains(name) && !KEYWORDS.contains(name));
    for (name, far) in nearest(&wanted.name, names, 6) {
        all.push(Candidate {
            title: format!("`{}` is written `{name}`", wanted.name),
            source: "nearest-name",
            rank: 300 + far,
            cause: finding.cause(),
            edits: vec![Edit::new(&wanted.file, wanted.span.0, wanted.span.1, name)],
        });
    }
}

/// A declaration that was renamed while its users were not: give it its name back.
fn restores(tree: Tree<'_>, finding: &Finding, wanted: &Wanted, index: &Index, all: &mut Vec<Candidate>) {
    bindings(tree, finding, wanted, index, all);
    let names = index.declared().map(|(_, declared)| (declared.name.as_str(), 0));
    for (name, far) in nearest(&wanted.name, names, 3) {
        let places: Vec<_> = index.declared().filter(|(_, declared)| declared.name == name).collect();
        let [(file, declared)] = places.as_slice() else { continue };
        let still = tree
            .read_text(file)
            .is_some_and(|text| text.get(declared.span.0..declared.span.1) == Some(name.as_str()));
        if !still {
            continue;
        }
        let rank = if index.restores(&name, &wanted.name) { 90 } else { 420 };
        all.push(Candidate {
            title: format!(
                "the declaration of `{name}` gets the name `{}` back that its users have",
                wanted.name
            ),
            source: "nearest-name",
            rank: rank + far.min(80) / 10,
            cause: finding.cause(),
            edits: vec![Edit::new(file, declared.span.0, declared.span.1, &wanted.name)],
        });
    }
}

/// A parameter or a variable that stands only once in all sources, while its users have a name near it.
fn bindings(tree: Tree<'_>, finding: &Finding, wanted: &Wanted, index: &Index, all: &mut Vec<Candidate>) {
    if finding.code != "E0425" || index.uses(&wanted.name) < 2 {
        return;
    }
    let Some(text) = tree.read_text(&wanted.file) else { return };
    let once = index.words(&wanted.file).filter(|(word, _)| index.uses(word) == 1).map(|(word, _)| (word, 0));
    for (name, far) in nearest(&wanted.name, once, 2).into_iter().filter(|(_, far)| *far < 40) {
        let mut found = WORD.find_iter(&text).filter(|word| word.as_str() == name);
        let Some(word) = found.next() else { continue };
        all.push(Candidate {
            title: format!("`{name}` gets the name `{}` back that its users have", wanted.name),
            source: "nearest-name",
            rank: 95 + far / 10,
            cause: finding.cause(),
            edits: vec![Edit::new(&wanted.file, word.start(), word.end(), &wanted.name)],
        });
    }
}

/// Modules whose file is there and that nothing declares, and declarations of modules that have no file.
fn modules(tree: Tree<'_>, finding: &Finding, wanted: &Wanted, index: &Index, all: &mut Vec<Candidate>) {
    if finding.code == "E0583" {
        let folder = module_folder(&wanted.file);
        let source = tree.read_text(&wanted.file).unwrap_or_default();
        let beside = index.paths().iter().filter_map(|path| {
            let rest = path.as_str().strip_prefix(folder.as_str())?;
            let name = rest.strip_suffix("/mod.rs").or_else(|| rest.strip_suffix(".rs"))?;
            let other = !name.contains('/') && !matches!(name, "lib" | "main" | "mod");
            (other && declaration(&source, name).is_some()).then_some((name, 0))
        });
        for (name, far) in nearest(&wanted.name, beside, 3) {
            all.push(Candidate {
                title: format!("the module's file is called `{name}`"),
                source: "nearest-name",
                rank: 80 + far,
                cause: finding.cause(),
                edits: vec![Edit::new(&wanted.file, wanted.span.0, wanted.span.1, name)],
            });
        }
        return;
    }
    if !matches!(finding.code.as_str(), "E0432" | "E0433" | "E0425" | "E0412" | "E0405") {
        return;
    }
    let name = &wanted.name;
    for path in index.paths() {
        let text = path.as_str();
        let Some(folder) = text
            .strip_suffix(&format!("{name}/mod.rs"))
            .or_else(|| text.strip_suffix(&format!("{name}.rs")))
            .filter(|folder| folder.is_empty() || folder.ends_with('/'))
        else {
            continue;
        };
        let own = folder.trim_end_matches('/');
        let mut parents =
            vec![format!("{folder}lib.rs"), format!("{folder}main.rs"), format!("{folder}mod.rs")];
        if !own.is_empty() {
            parents.push(format!("{own}.rs"));
        }
        // The file that asks for it, if it is one of them, is asked first.
        parents.sort_by_key(|parent| parent != wanted.file.as_str());
        for parent in parents {
            let Ok(parent) = RelPath::new(&parent) else { continue };
            let Some(source) = tree.read_text(&parent) else { continue };
            if let Some((at, line)) = declaration(&source, name) {
                all.push(Candidate {
                    title: format!("`{parent}` declares the module `{name}`, whose file is there"),
                    source: "rustc",
                    rank: 70,
                    cause: finding.cause(),
                    edits: vec![Edit::new(&parent, at, at, line)],
                });
            }
        }
    }
}

/// The folder (with its `/`, empty at the top) in which a file's child modules have their files.
fn module_folder(file: &RelPath) -> String {
    let folder = file.parent().map_or(String::new(), |folder| format!("{folder}/"));
    match file.file_name() {
        "lib.rs" | "main.rs" | "mod.rs" | "build.rs" => folder,
        name => format!("{folder}{}/", name.trim_end_matches(".rs")),
    }
}

/// Where a `mod name;` belongs in a file and how it is written there; `None` where it is declared already.
fn declaration(source: &str, name: &str) -> Option<(usize, String)> {
    static MODS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?m)^(pub(?:\([a-z]+\))?\s+)?mod\s+([A-Za-z_]\w*)\s*[;{].*\n?")
            .expect("a constant pattern")
    });
    let mods: Vec<_> = MODS.captures_iter(source).collect();
    if mods.iter().any(|found| &found[2] == name) {
        return None;
    }
    let plain: Vec<_> = mods.iter().filter(|found| found[0].trim_end().ends_with(';')).collect();
    let Some(last) = plain.last() else {
        // After the file's own documentation and attributes.
        let head: usize = source
            .split_inclusive('\n')
            .take_while(|line| line.starts_with("//!") || line.starts_with("#!["))
            .map(str::len)
            .sum();
        let gap = if head > 0 { "\n" } else { "" };
        return Some((head, format!("{gap}mod {name};\n")));
    };
    // Private where the file shows the module's items itself, or where a neighbour is private.
    let public = plain.iter().all(|found| found.get(1).is_some()) && !source.contains(&format!("{name}::"));
    let visibility =
        if public { plain.iter().find_map(|found| found.get(1)).map_or("", |v| v.as_str()) } else { "" };
    let line = format!("{visibility}mod {name};\n");
    let at = match plain.iter().find(|found| &found[2] > name) {
        Some(next) => next.get(0)?.start(),
        None => last.get(0)?.end(),
    };
    if at > 0 && !source[..at].ends_with('\n') {
        Some((at, format!("\n{}", line.trim_end())))
    } else {
        Some((at, line))
    }
}

/// Items that are there and not visible.
fn visible(tree: Tree<'_>, finding: &Finding, index: &Index, all: &mut Vec<Candidate>) {
    let mut places: Vec<(RelPath, usize)> = Vec::new();
    match finding.code.as_str() {
        "E0603" | "E0624" => {
            let defined = finding.places.iter().filter(|place| place.label.contains("defined here"));
            places.extend(defined.map(|place| (place.file.clone(), place.span.0)));
        }
        "E0616" => {
            let Some(field) = TICKED.captures(&finding.message).map(|ticked| ticked[1].to_owned()) else {
                return;
            };
            let declared = index.declared().filter(|(_, declared)| declared.name == field && !declared.top);
            places.extend(declared.map(|(file, declared)| (file.clone(), declared.span.0)).take(3));
        }
        _ => return,
    }
    for (file, at) in places {
        let Some(text) = tree.read_text(&file) else { continue };
        let Some(before) = text.get(..at) else { continue };
        if before.trim_end().ends_with("pub") {
            continue;
        }
        let usual = if text.matches("pub(crate) ").count() > text.matches("pub ").count() {
            "pub(crate) "
        } else {
            "pub "
        };
        let what = TICKED.captures(&finding.message).map_or(String::new(), |ticked| ticked[1].to_owned());
        all.push(Candidate {
            title: format!("`{what}` becomes visible to its users (`{}`)", usual.trim()),
            source: "rustc",
            rank: 320,
            cause: finding.cause(),
            edits: vec![Edit::new(&file, at, at, usual)],
        });
    }
}

/// A derive that a type of the repo lacks, where the compiler does not suggest it (it does not across crates).
fn derives(tree: Tree<'_>, finding: &Finding, index: &Index, all: &mut Vec<Candidate>) {
    let ticked: Vec<&str> = TICKED
        .captures_iter(&finding.message)
        .filter_map(|found| found.get(1))
        .map(|found| found.as_str())
        .collect();
    let last = |path: &str| path.rsplit("::").next().unwrap_or("").trim_start_matches(['&', ' ']).to_owned();
    let (kind, wanted) = match (finding.code.as_str(), ticked.as_slice()) {
        ("E0599", [member, kind, ..]) => {
            let wanted = match *member {
                "default" => "Default",
                "clone" => "Clone",
                "cmp" | "max" | "min" => "PartialEq, Eq, PartialOrd, Ord",
                "partial_cmp" => "PartialEq, PartialOrd",
                "hash" => "Hash",
                _ => return,
            };
            (last(kind), wanted.to_owned())
        }
        ("E0277", [bound]) if bound.contains(": ") => {
            let (kind, wanted) = bound.split_once(": ").unwrap_or(("", ""));
            (last(kind), last(wanted))
        }
        ("E0277", [kind, wanted]) => (last(kind), last(wanted)),
        ("E0369", [operator, kind, ..]) => {
            let wanted = if matches!(*operator, "==" | "!=") { "PartialEq" } else { "PartialEq, PartialOrd" };
            (last(kind), wanted.to_owned())
        }
        _ => return,
    };
    const DERIVED: &[&str] =
        &["Default", "Clone", "Copy", "Debug", "PartialEq", "Eq", "PartialOrd", "Ord", "Hash"];
    if !wanted.split(", ").all(|one| DERIVED.contains(&one)) {
        return;
    }
    static DERIVE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?m)^[ \t]*#\[derive\(([^)\n]*)\)\]\s*(?:#\[[^\n]*\]\s*)*(?:pub(?:\([a-z]+\))?\s+)?(?:struct|enum)\s+(\w+)")
            .expect("a constant pattern")
    });
    for (file, declared) in index.declared().filter(|(_, declared)| declared.name == kind).take(2) {
        let Some(text) = tree.read_text(file) else { continue };
        let Some(before) = text.get(..declared.span.0) else { continue };
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        if !before[line..].contains("struct") && !before[line..].contains("enum") {
            continue;
        }
        let listed = DERIVE.captures_iter(&text).find(|found| found[2] == kind);
        let (at, brings) = match listed.as_ref().and_then(|found| found.get(1)) {
            Some(list) => {
                let has: Vec<&str> = list.as_str().split(',').map(str::trim).collect();
                let new: Vec<&str> = wanted.split(", ").filter(|one| !has.contains(one)).collect();
                if new.is_empty() {
                    continue;
                }
                let comma = if list.as_str().trim().is_empty() { "" } else { ", " };
                (list.end(), format!("{comma}{}", new.join(", ")))
            }
            None => {
                let indent: String = before[line..].chars().take_while(|c| c.is_whitespace()).collect();
                (line, format!("{indent}#[derive({wanted})]\n"))
            }
        };
        all.push(Candidate {
            title: format!("`{kind}` derives `{wanted}`"),
            source: "rustc",
            rank: 140,
            cause: finding.cause(),
            edits: vec![Edit::new(file, at, at, brings)],
        });
    }
}
