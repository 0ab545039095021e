//! The words and declarations of the repo's own sources.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use crate::patch::{Patch, RelPath, Tree};

/// A family of sources that can name each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// `.rs`
    Rust,
    /// `.ts`, `.tsx`, `.js`, …
    Script,
    /// `.py`
    Python,
}

impl Family {
    fn has(self, path: &RelPath) -> bool {
        let extension = path.extension().unwrap_or("");
        match self {
            Family::Rust => extension == "rs",
            Family::Script => {
                matches!(
                    extension,
                    "ts" | "tsx" | "mts" | "cts" | "js" | "jsx" | "mjs" | "cjs" | "vue" | "svelte"
                )
            }
            Family::Python => matches!(extension, "py" | "pyi"),
        }
    }
}

/// Something that a file declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declared {
    /// Its name.
    pub name: String,
    /// The name's bytes in the file.
    pub span: (usize, usize),
    /// Whether it stands at the file's outer level.
    pub top: bool,
}

#[derive(Debug, Default)]
struct Source {
    words: BTreeMap<String, u32>,
    declared: Vec<Declared>,
}

/// The index of one family.
#[derive(Debug)]
pub(super) struct Index {
    family: Family,
    files: BTreeMap<RelPath, Source>,
    /// Words of prose beside the sources: a name that a README tells of was meant.
    prose: BTreeSet<String>,
    /// Every path of the repo that is not ignored, for repairing imports.
    paths: BTreeSet<RelPath>,
    /// What a patch changed that was put on top: the next one may not.
    patched: BTreeSet<RelPath>,
}

const MOST_FILES: usize = 20_000;
const MOST_INDEXED: usize = 4_000;
const MOST_BYTES: u64 = 1 << 20;

static WORD: LazyLock<Regex> = LazyLock::new(|| regex(r"[A-Za-z_$][A-Za-z0-9_$]*"));
static RUST: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?m)^([ \t]*)(?:pub(?:\([a-z: ]+\))?\s+)?(?:(?:(?:default|async|const|unsafe|extern\s+\x22[^\x22]*\x22)\s+)*fn|struct|enum|union|trait|type|const|static(?:\s+mut)?|mod|macro_rules!)\s+([A-Za-z_]\w*)|(?m)^([ \t]+)(?:pub(?:\([a-z: ]+\))?\s+)?([a-z_]\w*)\s*:\s|(?m)^([ \t]+)([A-Z]\w*)\s*(?:[,({=]|$)",
    )
});
static SCRIPT: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?m)^([ \t]*)(?:export\s+)?(?:default\s+)?(?:declare\s+)?(?:abstract\s+)?(?:async\s+)?(?:function\s*\*?|class|interface|type|enum|namespace|const|let|var)\s+([A-Za-z_$][\w$]*)|(?m)^([ \t]+)(?:(?:public|private|protected|static|readonly|async|get|set)\s+)*([A-Za-z_$][\w$]*)\s*[?!]?\s*[:(=]",
    )
});
static PYTHON: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?m)^([ \t]*)(?:async\s+)?(?:def|class)\s+([A-Za-z_]\w*)|(?m)^([ \t]*)(?:self\.)?([A-Za-z_]\w*)\s*(?::[^=\n]+)?=[^=]",
    )
});

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a constant pattern")
}

impl Index {
    /// Reads the sources of the repo at `root` as it lies on disk; [`Index::refresh`] puts a patch on top.
    /// Ignored files, hidden folders and files over 1 MiB are left out, and of very many files the later ones.
    pub fn of(root: &Path, family: Family) -> Self {
        let mut index = Self::empty(family);
        let walk = ignore::WalkBuilder::new(root)
            .require_git(false)
            .filter_entry(|entry| {
                let name = entry.file_name().to_string_lossy();
                !matches!(&*name, "node_modules" | "target" | "__pycache__" | "venv")
            })
            .sort_by_file_name(std::ffi::OsStr::cmp)
            .build();
        for entry in walk.flatten().take(MOST_FILES) {
            if !entry.file_type().is_some_and(|kind| kind.is_file()) {
                continue;
            }
            let path = entry.path().strip_prefix(root).ok().and_then(Path::to_str);
            let Some(path) = path.and_then(|path| RelPath::new(path).ok()) else { continue };
            let prose =
                matches!(path.extension(), Some("md" | "txt" | "rst" | "html" | "css" | "snap" | "json"));
            let indexed = index.files.len() < MOST_INDEXED && (family.has(&path) || prose);
            if indexed && entry.metadata().is_ok_and(|meta| meta.len() <= MOST_BYTES) {
                let empty = Patch::new();
                if let Some(text) = (Tree { root, patch: &empty }).read_text(&path) {
                    if prose {
                        index.prose.extend(WORD.find_iter(&text).map(|word| word.as_str().to_owned()));
                    } else {
                        index.files.insert(path.clone(), read(family, &text));
                    }
                }
            }
            index.paths.insert(path);
        }
        index
    }

    fn empty(family: Family) -> Self {
        Self {
            family,
            files: BTreeMap::new(),
            prose: BTreeSet::new(),
            paths: BTreeSet::new(),
            patched: BTreeSet::new(),
        }
    }

    /// Reads anew what `tree`'s patch changes, and what earlier ones changed.
    pub fn refresh(&mut self, tree: Tree<'_>) {
        self.patched.extend(tree.patch.iter().map(|(path, _)| path.clone()));
        for path in &self.patched {
            match tree.read_text(path) {
                Some(text) => {
                    if self.family.has(path) {
                        self.files.insert(path.clone(), read(self.family, &text));
                    }
                    self.paths.insert(path.clone());
                }
                None => {
                    self.files.remove(path);
                    self.paths.remove(path);
                }
            }
        }
    }

    /// Every path that is known, in order.
    pub fn paths(&self) -> &BTreeSet<RelPath> {
        &self.paths
    }

    /// The words of one file, with how often they stand there.
    pub fn words(&self, file: &RelPath) -> impl Iterator<Item = (&str, u32)> {
        self.files.get(file).into_iter().flat_map(|source| source.words.iter().map(|(w, n)| (w.as_str(), *n)))
    }

    /// What one file declares.
    pub fn declared_in(&self, file: &RelPath) -> &[Declared] {
        self.files.get(file).map_or(&[], |source| &source.declared)
    }

    /// Everything declared, with its file.
    pub fn declared(&self) -> impl Iterator<Item = (&RelPath, &Declared)> {
        self.files
            .iter()
            .flat_map(|(path, source)| source.declared.iter().map(move |declared| (path, declared)))
    }

    /// How often a word stands in the sources; one more where prose has it.
    pub fn uses(&self, word: &str) -> u32 {
        let code: u32 = self.files.values().filter_map(|source| source.words.get(word)).sum();
        code + u32::from(self.prose.contains(word))
    }

    /// Whether renaming a declaration `from` restores what the rest still calls `to`: `to` is used more than the declaration is.
    pub fn restores(&self, from: &str, to: &str) -> bool {
        let (from_uses, to_uses) = (self.uses(from), self.uses(to));
        // The declaration itself is one use of `from`.
        from_uses <= 1 && to_uses >= 2
    }
}

fn read(family: Family, text: &str) -> Source {
    let mut source = Source::default();
    for word in WORD.find_iter(text) {
        *source.words.entry(word.as_str().to_owned()).or_default() += 1;
    }
    let pattern = match family {
        Family::Rust => &*RUST,
        Family::Script => &*SCRIPT,
        Family::Python => &*PYTHON,
    };
    for found in pattern.captures_iter(text) {
        for pair in [(1, 2), (3, 4), (5, 6)] {
            if let (Some(indent), Some(name)) = (found.get(pair.0), found.get(pair.1)) {
                source.declared.push(Declared {
                    name: name.as_str().to_owned(),
                    span: (name.start(), name.end()),
                    top: indent.is_empty(),
                });
            }
        }
    }
    source
}

/// The byte offset of a line and column, both from 1 and columns in characters; the end of a shorter line.
pub(super) fn offset_of(text: &str, line: u32, column: u32) -> Option<usize> {
    let mut start = 0;
    for (number, content) in (1u32..).zip(text.split_inclusive('\n')) {
        if number == line {
            let content = content.trim_end_matches(['\n', '\r']);
            let skip = column.saturating_sub(1) as usize;
            let within = content.char_indices().nth(skip).map_or(content.len(), |(at, _)| at);
            return Some(start + within);
        }
        start += content.len();
    }
    None
}

/// The line of a byte offset, from 1.
pub(super) fn line_of(text: &str, offset: usize) -> u32 {
    let end = offset.min(text.len());
    1 + text.as_bytes()[..end].iter().filter(|byte| **byte == b'\n').count() as u32
}

/// The bytes of a whole line (from 1), without its line end.
pub(super) fn line_span(text: &str, line: u32) -> Option<(usize, usize)> {
    let start = offset_of(text, line, 1)?;
    let end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    Some((start, if text[start..end].ends_with('\r') { end - 1 } else { end }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(family: Family, text: &str) -> Vec<String> {
        read(family, text).declared.into_iter().map(|declared| declared.name).collect()
    }

    #[test]
    fn declarations_are_found() {
        let rust = "pub struct Point {\n    pub x: u32,\n}\n\nenum Kind {\n    Round,\n    Flat(u8),\n}\n\nimpl Point {\n    pub(crate) async fn len(&self) -> u32 { 1 }\n}\n";
        assert_eq!(names(Family::Rust, rust), ["Point", "x", "Kind", "Round", "Flat", "len"]);
        let script = "export default async function load() {}\nexport const a = 1;\nclass B {\n  private size = 1;\n  get it() {}\n}\n";
        let found = names(Family::Script, script);
        for name in ["load", "a", "B", "size", "it"] {
            assert!(found.iter().any(|one| one == name), "{name} in {found:?}");
        }
        let python = "LIMIT = 3\nclass A:\n    def __init__(self):\n        self.total = 0\n    async def go(self): ...\n";
        assert_eq!(names(Family::Python, python), ["LIMIT", "A", "__init__", "total", "go"]);
    }

    #[test]
    fn places_are_bytes() {
        let text = "ä = 1\r\nb = ö + c\n";
        assert_eq!(offset_of(text, 2, 7), Some(text.find('+').unwrap()));
        assert_eq!(line_of(text, text.find('c').unwrap()), 2);
        assert_eq!(line_span(text, 1), Some((0, "ä = 1".len())));
        assert_eq!(offset_of(text, 9, 1), None);
    }

    #[test]
    fn restoring_needs_other_users_of_the_old_name() {
        let mut index = Index::empty(Family::Rust);
        index.files.insert(RelPath::new("a.rs").unwrap(), read(Family::Rust, "fn comput() {}\n"));
        index.files.insert(RelPath::new("b.rs").unwrap(), read(Family::Rust, "compute(); compute();"));
        assert!(index.restores("comput", "compute"));
        assert!(!index.restores("compute", "comput"));
    }
}
