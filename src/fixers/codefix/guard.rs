//! Refuses candidates that look like repairs and are none: placeholders, silenced errors, invented values, deleted code.

use std::sync::LazyLock;

use regex::Regex;

use super::edit::{Candidate, Edit};
use crate::patch::Tree;

static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r#"(?i)\b(?:todo|unimplemented|unreachable|panic)!|/\*.*?\*/|not implemented|NotImplemented|^\s*//"#,
    )
});
static SUPPRESSION: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"#!?\[\s*(?:allow|expect|ignore|cfg\()|@ts-(?:ignore|expect-error|nocheck)|eslint-disable|biome-ignore|#\s*(?:noqa|type:\s*ignore|pyright:|pylint:|mypy:)|#\s*fmt:\s*off|prettier-ignore|rustfmt::skip",
    )
});
static LOOSE_TYPE: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?:[:<,|(=]|\bas)\s*(?:any|unknown)\b|\bAny\b|\bas never\b"));
static LITERAL: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r#"^\s*(?:true|false|True|False|null|undefined|None|-?[0-9][0-9_.]*\w*|"[^"]*"|'[^']*'|\[\]|\{\}|Default::default\(\)|Vec::new\(\)|String::new\(\))\s*[,;]?\s*$"#,
    )
});
static WORD: LazyLock<Regex> = LazyLock::new(|| regex(r"[A-Za-z_][A-Za-z0-9_]*"));

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a constant pattern")
}

/// Why `candidate` must not be tried, `None` if it may. `deletes` says that its finding is about something needless
/// (an unused import, a doubled one), which a repair may take away.
pub(super) fn refuse(tree: Tree<'_>, candidate: &Candidate, deletes: bool) -> Option<&'static str> {
    let mut added_words = 0usize;
    let mut removed_words = 0usize;
    for edit in &candidate.edits {
        let Some(text) = tree.read_text(&edit.path) else { return Some("it changes no text file") };
        let Some(old) = text.get(edit.start..edit.end) else { return Some("it does not fit the file") };
        if let Some(reason) = refuse_text(edit, old) {
            return Some(reason);
        }
        added_words += WORD.find_iter(&edit.text).count();
        removed_words += WORD.find_iter(old).count();
    }
    if !deletes && removed_words > added_words + 1 {
        return Some("it deletes code");
    }
    None
}

fn refuse_text(edit: &Edit, old: &str) -> Option<&'static str> {
    let new = edit.text.as_str();
    let brings = |pattern: &Regex| pattern.find_iter(new).count() > pattern.find_iter(old).count();
    if brings(&PLACEHOLDER) {
        return Some("it holds a placeholder");
    }
    if brings(&SUPPRESSION) {
        return Some("it silences an error");
    }
    // An import of a type's name gives up nothing by itself.
    let import = ["import ", "from ", "use "].iter().any(|word| new.trim_start().starts_with(word));
    if !import && brings(&LOOSE_TYPE) {
        return Some("it gives up a type");
    }
    // A string that gets its end is no new value.
    let quotes = new.chars().all(|c| matches!(c, '"' | '\'')) || old.trim_start().starts_with(['"', '\'']);
    if !quotes && LITERAL.is_match(new) && !LITERAL.is_match(old) {
        return Some("it invents a value");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::{Change, FileState, Patch, RelPath};

    fn verdict(old: &str, new: &str, deletes: bool) -> Option<&'static str> {
        let path = RelPath::new("a.rs").unwrap();
        let mut patch = Patch::new();
        patch.set(path.clone(), Change { before: None, after: Some(FileState::text(old)) });
        let candidate = Candidate {
            title: String::new(),
            source: "rustc",
            rank: 0,
            cause: String::new(),
            edits: vec![Edit::new(&path, 0, old.len(), new)],
        };
        refuse(Tree { root: std::path::Path::new("/"), patch: &patch }, &candidate, deletes)
    }

    #[test]
    fn what_is_no_repair_is_refused() {
        for (old, new) in [
            ("x", "todo!()"),
            ("f(a)", "f(a, /* u32 */)"),
            ("x", "false"),
            ("user.name", "\"\""),
            ("let a", "#[allow(unused)] let a"),
            ("a: Foo", "a: any"),
            ("a", "(a as any)"),
            ("import a", "import a  # noqa: F401"),
            ("let total = price * count;", ""),
            ("", "throw new Error('Method not implemented.')"),
        ] {
            assert!(verdict(old, new, false).is_some(), "{old:?} to {new:?} went through");
        }
    }

    #[test]
    fn repairs_go_through() {
        for (old, new) in [
            ("comput", "compute"),
            ("", "use std::collections::HashMap;\n"),
            ("", "mut "),
            ("x", "x.to_string()"),
            ("'abc", "'abc'"),
            ("", "\""),
            (";", ""),
            ("a: any", "b: any"),
            ("manyThings: any", "anyThing: any"),
            ("", "from typing import Any\n"),
        ] {
            assert_eq!(verdict(old, new, false), None, "{old:?} to {new:?}");
        }
        assert_eq!(verdict("use std::fmt::Debug;", "", true), None);
    }
}
