//! What a planner gets to see of a repo: its files, how it is checked, its own words, and what it defines.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::LazyLock;

use ignore::WalkBuilder;
use regex::Regex;

use super::text::{clean, shorten};
use crate::outcome::{Check, CommandLine};
use crate::patch::{RelPath, Tree};

/// Files after which a repo is not walked any further.
const MOST_WALKED: usize = 50_000;
/// Files (or folders, in a larger repo) that are listed.
const MOST_LISTED: usize = 400;
/// Source files whose definitions are read, and characters of all definitions together.
const MOST_READ: usize = 80;
const MOST_DEFINED: usize = 16_000;
/// The largest source file that is read, in bytes.
const MOST_SOURCE: usize = 200 << 10;

/// Files at the root that say what a project is, with the most characters shown of each.
const TELLING: &[(&str, usize)] = &[
    ("README.md", 4_000),
    ("README.rst", 4_000),
    ("README", 4_000),
    ("AGENTS.md", 4_000),
    ("CLAUDE.md", 4_000),
    ("CONTRIBUTING.md", 2_000),
    ("Cargo.toml", 2_000),
    ("package.json", 2_000),
    ("tsconfig.json", 1_000),
    ("pyproject.toml", 2_000),
    ("go.mod", 1_000),
];

/// The outline of a repo as text, at most about 60,000 characters. All of it is the repo's own, untrusted text.
///
/// Files that the repo ignores, hidden files, links and names that are not UTF-8 are left out. Blocks while it reads.
pub fn outline(tree: &Tree<'_>, checks: &[Check]) -> String {
    outline_of(tree, &files(tree), checks)
}

/// The outline of a repo with these files.
pub(super) fn outline_of(tree: &Tree<'_>, files: &[RelPath], checks: &[Check]) -> String {
    let mut out = String::from("Files:\n");
    if files.len() <= MOST_LISTED {
        for file in files {
            let _ = writeln!(out, "{file}");
        }
    } else {
        folders(files, &mut out);
    }
    if !checks.is_empty() {
        out.push_str("\nChecks:\n");
    }
    for check in checks {
        let line = match &check.run {
            CommandLine::Shell(line) => line.clone(),
            CommandLine::Argv(argv) => shell_words::join(argv),
        };
        let place = if check.dir.is_empty() { String::new() } else { format!(" (in {})", clean(&check.dir)) };
        let _ = writeln!(out, "{}: {}{place}", clean(&check.name), shorten(&clean(&line), 500));
    }
    for (name, most) in TELLING {
        let text = RelPath::new(name).ok().and_then(|path| small_text(tree, &path));
        if let Some(text) = text.filter(|text| !text.trim().is_empty()) {
            let _ = writeln!(out, "\n--- {name} ---\n{}", shorten(&clean(&text), *most));
        }
    }
    definitions(tree, files, &mut out);
    out
}

/// The repo's files with the tree's patch applied, sorted.
pub(super) fn files(tree: &Tree<'_>) -> Vec<RelPath> {
    let walk = WalkBuilder::new(tree.root).require_git(false).git_global(false).build();
    let entries =
        walk.filter_map(Result::ok).filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file()));
    let paths = entries.filter_map(|entry| {
        let path = entry.path().strip_prefix(tree.root).ok()?.to_str()?;
        RelPath::new(path).ok().filter(|path| clean(path.as_str()) == path.as_str())
    });
    let mut files: Vec<RelPath> = paths.take(MOST_WALKED).collect();
    files.retain(|path| tree.patch.get(path).is_none());
    let made = tree.patch.iter().filter(|(_, change)| change.after.is_some());
    files.extend(made.map(|(path, _)| path.clone()));
    files.sort();
    files
}

/// The text of a file of at most [`MOST_SOURCE`] bytes. Larger ones are not even read.
pub(super) fn small_text(tree: &Tree<'_>, path: &RelPath) -> Option<String> {
    if tree.patch.get(path).is_none() {
        let size = std::fs::symlink_metadata(path.under(tree.root)).ok()?.len();
        if size > MOST_SOURCE as u64 {
            return None;
        }
    }
    tree.read_text(path).filter(|text| text.len() <= MOST_SOURCE)
}

/// Adds the folders, down to three levels, each with its number of files.
fn folders(files: &[RelPath], out: &mut String) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for file in files {
        let parts: Vec<&str> = file.as_str().split('/').collect();
        let depth = (parts.len() - 1).min(3);
        *counts.entry(parts[..depth].join("/")).or_default() += 1;
    }
    let _ = writeln!(out, "({} files; by folder)", files.len());
    for (folder, count) in counts.iter().take(MOST_LISTED) {
        let _ = writeln!(out, "{folder}/ ({count})");
    }
    if counts.len() > MOST_LISTED {
        let _ = writeln!(out, "({} more folders)", counts.len() - MOST_LISTED);
    }
}

/// Lines that look like definitions others may use, in the languages that are common. A look at the text is enough here: a wrong
/// line costs a few tokens.
static DEFINITION: LazyLock<Regex> = LazyLock::new(|| {
    let rust = r"(?:pub(?:\([a-z]+\))? )(?:const |async |unsafe )*(?:fn|struct|enum|trait|type|mod) ";
    let script =
        r"export (?:default |declare |abstract |async )*(?:function|class|const|interface|type|enum)\b";
    let python = r"(?:async )?def [a-z]|class [A-Za-z]";
    let go = r"func [(A-Z]|type [A-Z]";
    let java = r"public (?:static |final |abstract )*(?:class|interface|enum|record)\b";
    Regex::new(&format!("^ {{0,4}}(?:{rust}|{script}|{python}|{go}|{java})")).expect("the pattern is right")
});

fn definitions(tree: &Tree<'_>, files: &[RelPath], out: &mut String) {
    let source = ["rs", "ts", "tsx", "js", "jsx", "mjs", "py", "go", "java", "kt"];
    let files = files.iter().filter(|file| file.extension().is_some_and(|ext| source.contains(&ext)));
    let mut left = MOST_DEFINED;
    let mut first = true;
    for file in files.take(MOST_READ) {
        let Some(text) = small_text(tree, file) else { continue };
        let lines: Vec<String> = text
            .lines()
            .filter(|line| DEFINITION.is_match(line))
            .map(|line| {
                format!("  {}", shorten(&clean(line).trim_end_matches(['{', ' ']).replace('\t', " "), 160))
            })
            .take(40)
            .collect();
        let block = format!("{file}\n{}\n", lines.join("\n"));
        if lines.is_empty() || block.len() > left {
            continue;
        }
        if std::mem::take(&mut first) {
            out.push_str("\nDefinitions:\n");
        }
        left -= block.len();
        out.push_str(&block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::{Change, FileState, Patch};
    use std::time::Duration;

    fn repo(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn it_shows_files_checks_words_and_definitions() {
        let dir = repo(&[
            (".gitignore", "target\n"),
            ("README.md", "# Tool\nCounts \u{202e}words.\n"),
            ("src/lib.rs", "pub fn count(text: &str) -> usize {\n    0\n}\nfn private() {}\n"),
            ("app.py", "def main():\n    pass\n"),
            ("target/debug/junk", "x"),
        ]);
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
        let mut patch = Patch::new();
        let path = RelPath::new("src/new.rs").unwrap();
        patch.set(path, Change { before: None, after: Some(FileState::text("pub struct New;\n")) });
        let check = Check {
            name: "test".into(),
            run: CommandLine::Shell("cargo test".into()),
            dir: String::new(),
            timeout: Duration::from_secs(1),
            needs: vec![],
        };
        let text = outline(&Tree { root: dir.path(), patch: &patch }, &[check]);
        assert_eq!(
            text,
            "Files:\nREADME.md\napp.py\nsrc/lib.rs\nsrc/new.rs\n\nChecks:\ntest: cargo test\n\n--- README.md ---\n# \
             Tool\nCounts words.\n\nDefinitions:\napp.py\n  def main():\nsrc/lib.rs\n  pub fn count(text: &str) -> \
             usize\nsrc/new.rs\n  pub struct New;\n"
        );
    }

    #[test]
    fn a_large_repo_is_shown_by_folder_and_stays_small() {
        let names: Vec<String> = (0..450).map(|n| format!("src/part{}/deep/er/file{n}.rs", n % 3)).collect();
        let long = "pub fn f() {}\n".repeat(3_000);
        let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), long.as_str())).collect();
        let dir = repo(&files);
        let text = outline(&Tree { root: dir.path(), patch: &Patch::new() }, &[]);
        assert!(text.starts_with("Files:\n(450 files; by folder)\nsrc/part0/deep/ (150)\n"), "{text}");
        assert!(text.len() < 60_000, "{}", text.len());
    }
}
