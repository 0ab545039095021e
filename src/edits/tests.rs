use proptest::prelude::*;

use super::*;
use crate::patch::{Change, FileState, Patch, Tree};

fn rel(path: &str) -> RelPath {
    RelPath::new(path).expect("a good path")
}

/// A folder with files, and what an answer makes of it.
struct Bench {
    dir: tempfile::TempDir,
    patch: Patch,
}

impl Bench {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let at = dir.path().join(path);
            std::fs::create_dir_all(at.parent().expect("a parent")).expect("folders");
            std::fs::write(at, text).expect("a file");
        }
        Self { dir, patch: Patch::new() }
    }

    fn tree(&self) -> Tree<'_> {
        Tree { root: self.dir.path(), patch: &self.patch }
    }

    fn answer(&self, answer: &str) -> Result<Patch, String> {
        let parsed = parse(answer).map_err(|refused| refused.to_string())?;
        apply(&parsed.edits, &self.tree()).map_err(|refused| refused.to_string())
    }

    /// The text of the file at `path` after the answer.
    fn after(&self, answer: &str, path: &str) -> String {
        let patch = self.answer(answer).expect("an answer that applies");
        let change = patch.get(&rel(path)).unwrap_or_else(|| panic!("{path} is not changed"));
        change.after.as_ref().and_then(FileState::as_text).expect("text").to_owned()
    }

    fn refused(&self, answer: &str) -> String {
        self.answer(answer).expect_err("an answer that is refused")
    }
}

const CODE: &str = "fn one() {\n    first();\n}\n\nfn two() {\n    second();\n}\n";

fn block(header: &str, search: &str, replace: &str) -> String {
    format!("{header}\n<<<<<<< SEARCH\n{search}=======\n{replace}>>>>>>> REPLACE\n")
}

#[test]
fn headers_are_read_however_they_are_decorated() {
    let bench = Bench::new(&[("src/a.rs", CODE)]);
    for header in [
        "src/a.rs",
        "./src/a.rs",
        "a/src/a.rs",
        "`src/a.rs`",
        "**src/a.rs**",
        "**`src/a.rs`**",
        "`src/a.rs`:",
        "src/a.rs:",
        "src/a.rs:12",
        "### src/a.rs",
        "#### `src/a.rs`",
        "1. `src/a.rs`",
        "- src/a.rs",
        "File: src/a.rs",
        "**File:** `src/a.rs`",
        "**File: src/a.rs**",
        "Path: `src/a.rs`",
        "// src/a.rs",
        "# src/a.rs",
        "<!-- src/a.rs -->",
        "Then in `src/a.rs`:",
        "Then in `src/a.rs` the call of `first` changes:",
        "src/a.rs\n```rust",
        "```rust\nsrc/a.rs",
        "```rust src/a.rs",
        "```rust:src/a.rs",
        "```src/a.rs",
        "```rust title=\"src/a.rs\"",
        "src/a.rs\n\n~~~rust",
    ] {
        let text = format!("Words.\n\n{}```\n", block(header, "    first();\n", "    other();\n"));
        assert_eq!(bench.after(&text, "src/a.rs"), CODE.replace("first", "other"), "{header}");
    }
}

#[test]
fn the_words_around_edits_are_the_explanation() {
    let text = format!(
        "The call is wrong.\n\n{}\nThat is all.\n",
        block("src/a.rs\n```rust", "first();\n", "other();\n")
    );
    let parsed = parse(&text).expect("edits");
    assert_eq!(parsed.explanation, "The call is wrong.\n\nThat is all.");
    assert_eq!(parsed.edits.len(), 1);
}

#[test]
fn quoted_markers_in_prose_are_prose() {
    let text = format!(
        "I use `<<<<<<< SEARCH` and\n> ======= as told, then `>>>>>>> REPLACE`.\n\n{}",
        block("src/a.rs", "    first();\n", "    other();\n")
    );
    assert_eq!(parse(&text).expect("edits").edits.len(), 1);
}

#[test]
fn white_space_and_indentation_are_forgiven() {
    let file = "impl A {\n    fn one() {\n        if x {   \n            first();\n        }\n    }\n}\n";
    let bench = Bench::new(&[("a.rs", file), ("tabs.go", "func a() {\n\tif x {\n\t\tfirst()\n\t}\n}\n")]);
    // White space at line ends.
    let got = bench.after(
        &block("a.rs", "        if x {\n            first();  \n", "        if x {\n            other();\n"),
        "a.rs",
    );
    assert_eq!(got, file.replace("first", "other"));
    // Shifted left by 8; the deeper new line follows.
    let got = bench.after(
        &block(
            "a.rs",
            "if x {\n    first();\n}\n",
            "if x {\n    first();\n    if y {\n        more();\n    }\n}\n",
        ),
        "a.rs",
    );
    assert_eq!(
        got,
        file.replace("first();\n", "first();\n            if y {\n                more();\n            }\n")
    );
    // A replacement that starts shallower than what was searched for.
    let got = bench.after(&block("a.rs", "      first();\n", "    }\n    {\n      first();\n"), "a.rs");
    assert_eq!(
        got,
        file.replace("            first();\n", "          }\n          {\n            first();\n")
    );
    // Spaces where the file has tabs.
    let got = bench.after(
        &block(
            "tabs.go",
            "    if x {\n        first()\n    }\n",
            "    if x {\n        first()\n        if y {\n            more()\n        }\n    }\n",
        ),
        "tabs.go",
    );
    assert_eq!(got, "func a() {\n\tif x {\n\t\tfirst()\n\t\tif y {\n\t\t\tmore()\n\t\t}\n\t}\n}\n");
    // Blank lines at the edges that the file does not have.
    let got = bench.after(&block("a.rs", "\n            first();\n\n", "\n            other();\n\n"), "a.rs");
    assert_eq!(got, file.replace("first", "other"));
}

#[test]
fn indentation_that_is_not_shifted_evenly_is_not_found() {
    let bench = Bench::new(&[("a.py", "if a:\n    b()\n    c()\n")]);
    let reason = bench.refused(&block("a.py", "b()\n  c()\n", "d()\n"));
    assert!(reason.contains("was not found"), "{reason}");
}

#[test]
fn ambiguity_is_refused_with_both_places() {
    let bench = Bench::new(&[("a.rs", "x();\ny();\nx();\n")]);
    let reason = bench.refused(&block("a.rs", "x();\n", "z();\n"));
    assert!(reason.contains("matches at lines 1 and 3; add surrounding lines"), "{reason}");
    // With a neighbour it is one place.
    assert_eq!(bench.after(&block("a.rs", "y();\nx();\n", "y();\nz();\n"), "a.rs"), "x();\ny();\nz();\n");
    // Indentation makes no difference to what is ambiguous when none fits exactly.
    let bench = Bench::new(&[("a.rs", "  x();\ny();\n    x();\n")]);
    let reason = bench.refused(&block("a.rs", "x();\n", "z();\n"));
    assert!(reason.contains("lines 1 and 3"), "{reason}");
}

#[test]
fn a_search_that_is_not_there_shows_what_is_near() {
    let bench = Bench::new(&[("src/a.rs", CODE)]);
    let reason = bench.refused(&block("src/a.rs", "fn two() {\n    secnd();\n}\n", "fn two() {}\n"));
    assert!(reason.contains("SEARCH text was not found in src/a.rs"), "{reason}");
    assert!(reason.contains("nearest lines are 5-7:\nfn two() {\n    second();\n}"), "{reason}");
    let reason = bench.refused(&block("src/a.rs", "frist();\n", "second_one();\n"));
    assert!(reason.contains("nearest lines are 2-4"), "{reason}");
    let reason = bench.refused(&block("src/a.rs", "gone();\n", "    second();\n"));
    assert!(reason.contains("is there already"), "{reason}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let bench = Bench::new(&[("src/engine/motor.rs", CODE)]);
    let reason = bench.refused(&block("src/motor.rs", "first();\n", "x();\n"));
    assert!(reason.contains("did you mean src/engine/motor.rs?"), "{reason}");
    let reason = bench.refused("DELETE nothing/alike.rs\n");
    assert!(reason.contains("does not exist"), "{reason}");
}

#[test]
fn elisions_are_refused() {
    let bench = Bench::new(&[("src/a.rs", CODE), ("a.py", "def f():\n    pass\n")]);
    let reason =
        bench.refused(&block("src/a.rs", "    first();\n", "    first();\n    // ... existing code ...\n"));
    assert!(reason.contains("leaves code out"), "{reason}");
    let reason = bench.refused(&block("src/a.rs", "fn one() {\n...\nfn two() {\n", "fn three() {\n"));
    assert!(reason.contains("SEARCH leaves lines out"), "{reason}");
    let reason =
        bench.refused(&block("src/a.rs (whole file)", "", "fn one() {}\n// rest of the file unchanged...\n"));
    assert!(reason.contains("leaves code out"), "{reason}");
    // In Python three dots are a statement, and a spread is no elision.
    assert_eq!(bench.after(&block("a.py", "    pass\n", "    ...\n"), "a.py"), "def f():\n    ...\n");
    let bench = Bench::new(&[("a.ts", "f({\n  a,\n})\n")]);
    assert_eq!(
        bench.after(&block("a.ts", "  a,\n", "  a,\n  ...rest,\n"), "a.ts"),
        "f({\n  a,\n  ...rest,\n})\n"
    );
}

#[test]
fn line_ends_mark_and_final_newline_stay() {
    let bench = Bench::new(&[
        ("crlf.txt", "\u{feff}one\r\ntwo\r\nthree"),
        ("mixed.txt", "one\r\ntwo\nthree\r\nfour\r\n"),
    ]);
    let got = bench.after(&block("crlf.txt", "two\n", "two\nmore\n"), "crlf.txt");
    assert_eq!(got, "\u{feff}one\r\ntwo\r\nmore\r\nthree");
    let got = bench.after(&block("crlf.txt", "one\n", "eins\n"), "crlf.txt");
    assert_eq!(got, "\u{feff}eins\r\ntwo\r\nthree");
    let got = bench.after(&block("crlf.txt", "three\n", "three\nfour\n"), "crlf.txt");
    assert_eq!(got, "\u{feff}one\r\ntwo\r\nthree\r\nfour");
    let got = bench.after(&block("crlf.txt (whole file)", "", "a\nb\n"), "crlf.txt");
    assert_eq!(got, "\u{feff}a\r\nb");
    let got = bench.after(&block("mixed.txt", "one\ntwo\nthree\n", "one\ntwo\nnew\nthree\n"), "mixed.txt");
    assert_eq!(got, "one\r\ntwo\nnew\r\nthree\r\nfour\r\n");
    // An answer that has CRLF itself.
    let crlf = block("mixed.txt", "four\n", "fore\n").replace('\n', "\r\n");
    assert_eq!(bench.after(&crlf, "mixed.txt"), "one\r\ntwo\nthree\r\nfore\r\n");
}

#[test]
fn blocks_of_one_file_follow_each_other() {
    let bench = Bench::new(&[("src/a.rs", CODE)]);
    let two = format!(
        "src/a.rs\n```rust\n{}```\n\nand\n\n```rust\n{}```\n",
        &block("", "    first();\n", "    other();\n")[1..],
        &block("", "    second();\n", "    later();\n")[1..]
    );
    assert_eq!(bench.after(&two, "src/a.rs"), CODE.replace("first", "other").replace("second", "later"));
    // The same block twice is meant once.
    let twice = block("src/a.rs", "    first();\n", "    first();\n    more();\n").repeat(2);
    assert_eq!(bench.after(&twice, "src/a.rs"), CODE.replace("first();\n", "first();\n    more();\n"));
}

#[test]
fn files_are_made_replaced_removed_and_moved() {
    let bench = Bench::new(&[("src/a.rs", CODE), ("old.txt", "old\n"), ("empty.py", "")]);
    assert_eq!(bench.after(&block("src/new/b.rs", "", "fn b() {}\n"), "src/new/b.rs"), "fn b() {}\n");
    assert_eq!(
        bench.after(&block("src/b.rs (new file)", "\n", "```rust\nfn b() {}\n```\n"), "src/b.rs"),
        "fn b() {}\n"
    );
    assert_eq!(bench.after(&block("empty.py", "", "x = 1\n"), "empty.py"), "x = 1\n");
    assert_eq!(bench.after(&block("`src/a.rs` (whole file)", "", "fn c() {}\n"), "src/a.rs"), "fn c() {}\n");
    let reason = bench.refused(&block("src/a.rs", "", "fn c() {}\n"));
    assert!(reason.contains("(whole file)"), "{reason}");

    let patch =
        bench.answer("Gone.\n\nDELETE old.txt\n**RENAME** `src/a.rs` -> `src/c.rs`\n").expect("applies");
    assert_eq!(patch.get(&rel("old.txt")).and_then(|c| c.after.clone()), None);
    assert_eq!(patch.get(&rel("src/c.rs")).and_then(|c| c.after.clone()), Some(FileState::text(CODE)));
    assert_eq!(patch.len(), 3);
    let moved = format!("RENAME src/a.rs → src/c.rs\n{}", block("src/c.rs", "    first();\n", "    x();\n"));
    assert_eq!(bench.after(&moved, "src/c.rs"), CODE.replace("first", "x"));
    assert!(bench.refused("RENAME src/a.rs -> old.txt\n").contains("exists already"));
    let odd = parse("RENAME `a -> b.rs` -> `c.rs`\n").expect("a renaming").edits;
    assert!(matches!(&odd[..], [Edit::Rename { from, .. }] if from.as_str() == "a -> b.rs"), "{odd:?}");
    assert!(bench.refused(&block("old.txt/a.rs", "", "x\n")).contains("is a file"));
    assert!(bench.refused(&block("src", "", "x\n")).contains("is a folder"));
    assert_eq!(bench.refused(&block("old.txt", "old\n", "old\n")), Refused::NoChange.to_string());
    // Sentences that start with the word are no commands.
    assert!(matches!(parse("DELETE the old file and RENAME the rest.\n"), Err(Refused::NoEdits)));
}

#[test]
fn all_edits_apply_or_none() {
    let bench = Bench::new(&[("src/a.rs", CODE)]);
    let text = format!(
        "{}{}{}",
        block("src/a.rs", "    first();\n", "    x();\n"),
        block("src/a.rs", "    nowhere();\n", "    x();\n"),
        block("b.rs", "    nowhere();\n", "    x();\n")
    );
    let Err(Refused::Unfit(problems)) = apply(&parse(&text).expect("edits").edits, &bench.tree()) else {
        panic!("two edits do not fit");
    };
    assert_eq!(problems.iter().map(|problem| problem.edit).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn unified_diffs_are_edits() {
    let bench = Bench::new(&[("src/a.rs", CODE), ("old.txt", "old\n")]);
    let diff = "Here:\n\n```diff\ndiff --git a/src/a.rs b/src/a.rs\nindex 1..2 100644\n--- a/src/a.rs\n+++ b/src/a.rs\n\
                @@ -90,9 +7,1 @@ fn one\n fn one() {\n-    first();\n+    other();\n }\n\n fn two() {\n```\n";
    assert_eq!(bench.after(diff, "src/a.rs"), CODE.replace("first", "other"));
    let diff = "--- a/src/a.rs\n+++ b/src/a.rs\n@@ @@\n-    first();\n+    other();\n@@ @@\n-    second();\n+    later();\n\
                --- /dev/null\n+++ b/new.txt\n@@ -0,0 +1,2 @@\n+a\n+b\n--- a/old.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-old\n";
    let patch = bench.answer(diff).expect("applies");
    assert_eq!(patch.len(), 3);
    assert_eq!(patch.get(&rel("new.txt")).and_then(|c| c.after.clone()), Some(FileState::text("a\nb\n")));
    let moved =
        "diff --git a/src/a.rs b/src/c.rs\nsimilarity index 90%\nrename from src/a.rs\nrename to src/c.rs\n";
    assert_eq!(bench.after(moved, "src/c.rs"), CODE);
    let both = format!("{moved}--- a/src/a.rs\n+++ b/src/c.rs\n@@ -1 +1 @@\n-    first();\n+    x();\n");
    assert_eq!(bench.after(&both, "src/c.rs"), CODE.replace("first", "x"));
    let reason = bench.refused("--- a/src/a.rs\n+++ b/src/a.rs\n@@ -3,0 +4 @@\n+    x();\n");
    assert!(reason.contains("no context"), "{reason}");
}

#[test]
fn markers_may_have_other_lengths() {
    let bench = Bench::new(&[("src/a.rs", CODE), ("doc.rst", "Title\n=======\n\ntext\n")]);
    for (open, middle, close) in [(5, 5, 5), (9, 9, 9), (7, 6, 8), (6, 7, 7)] {
        let text = format!(
            "src/a.rs\n{} SEARCH\n    first();\n{}\n    other();\n{} REPLACE\n",
            "<".repeat(open),
            "=".repeat(middle),
            ">".repeat(close)
        );
        assert_eq!(bench.after(&text, "src/a.rs"), CODE.replace("first", "other"));
    }
    let reason = bench.refused(&block("doc.rst", "Title\n=======\n", "Name\n=======\n"));
    assert!(reason.contains("markers of nine characters"), "{reason}");
    let nine = "doc.rst\n<<<<<<<<< SEARCH\nTitle\n=======\n=========\nName\n=======\n>>>>>>>>> REPLACE\n";
    assert_eq!(bench.after(nine, "doc.rst"), "Name\n=======\n\ntext\n");
    let conflict = "a.rs\n<<<<<<<<< SEARCH\n<<<<<<< HEAD\na\n=======\nb\n>>>>>>> other\n=========\na\n>>>>>>>>> REPLACE\n";
    assert!(
        matches!(&parse(conflict).expect("edits").edits[0], Edit::Replace { replace, .. } if replace == "a\n")
    );
}

#[test]
fn torn_blocks_are_refused() {
    for (text, what) in [
        ("a.rs\n<<<<<<< SEARCH\nx\n=======\ny\n", "does not end with"),
        ("a.rs\n<<<<<<< SEARCH\nx\n>>>>>>> REPLACE\n", "no `=======`"),
        ("a.rs\n<<<<<<< SEARCH\nx\n", "no `=======`"),
        ("<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE\n", "has no path"),
        (
            "a.rs\n<<<<<<< SEARCH\nx\n=======\ny\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n",
            "does not end",
        ),
        ("Nothing to see.\n", "has no edits"),
        (" \n", "is empty"),
    ] {
        let reason = parse(text).expect_err("refused").to_string();
        assert!(reason.contains(what), "{text:?}: {reason}");
    }
}

#[test]
fn giving_up_and_asking_are_answers() {
    let parsed = parse("It cannot be.\n\nUNFIXABLE: the service\nis down\n\nBye.\n").expect("an answer");
    assert_eq!(parsed.unfixable.as_deref(), Some("the service is down"));
    assert_eq!(parsed.explanation, "It cannot be.\n\nBye.");
    let parsed = parse("- **QUESTION:** Which port?\nQUESTION: Which host?\n").expect("an answer");
    assert_eq!(parsed.questions, ["Which port?", "Which host?"]);
}

#[test]
fn binary_files_are_replaced_whole_or_deleted() {
    let bench = Bench::new(&[]);
    std::fs::write(bench.dir.path().join("a.bin"), [0xff, 0xfe, 0, 1]).expect("a file");
    assert!(bench.refused(&block("a.bin", "x\n", "y\n")).contains("not UTF-8"));
    assert_eq!(bench.after(&block("a.bin (whole file)", "", "y\n"), "a.bin"), "y\n");
    assert!(bench.answer("DELETE a.bin\n").is_ok());
}

#[test]
fn links_and_forbidden_paths_are_refused() {
    let bench = Bench::new(&[("real/a.rs", CODE)]);
    let root = bench.dir.path();
    std::os::unix::fs::symlink("/etc", root.join("out")).expect("a link");
    std::os::unix::fs::symlink("real/a.rs", root.join("link.rs")).expect("a link");
    for path in ["out/passwd", "out/new.txt", "link.rs"] {
        for (search, note) in [("", ""), ("", " (whole file)"), ("    first();\n", "")] {
            let reason = bench.refused(&block(&format!("{path}{note}"), search, "x\n"));
            assert!(reason.contains("is a symlink"), "{path}: {reason}");
        }
        assert!(bench.refused(&format!("DELETE {path}\n")).contains("is a symlink"));
    }
    for path in [
        ".git/config",
        "sub/.git/hooks/pre-commit",
        ".GIT/config",
        ".git /config",
        "git~1/config",
        ".regreen/x",
        "regreen.toml",
        "sub/Regreen.toml",
        ".gi\u{200d}t/config",
    ] {
        let reason = bench.refused(&block(&format!("`{path}`"), "", "x\n"));
        assert!(reason.contains("is refused"), "{path}: {reason}");
    }
}

#[test]
fn a_tree_with_a_patch_is_the_base() {
    let mut bench = Bench::new(&[("a.rs", "one\n"), ("gone.rs", "x\n")]);
    bench.patch.set(
        rel("a.rs"),
        Change { before: Some(FileState::text("one\n")), after: Some(FileState::text("two\n")) },
    );
    bench.patch.set(rel("gone.rs"), Change { before: Some(FileState::text("x\n")), after: None });
    let patch = bench.answer(&block("a.rs", "two\n", "three\n")).expect("applies");
    let change = patch.get(&rel("a.rs")).expect("changed");
    assert_eq!(change.before, Some(FileState::text("two\n")));
    assert!(bench.refused(&block("gone.rs", "x\n", "y\n")).contains("does not exist"));
    assert!(bench.answer(&block("gone.rs", "", "y\n")).is_ok());
}

fn path_strategy() -> impl Strategy<Value = RelPath> {
    "[a-zA-Z0-9_@+. -]{1,8}(/[a-zA-Z0-9_@+. \u{e4}-]{1,8}){0,2}(\\.[a-z]{1,3})?".prop_filter_map(
        "allowed paths",
        |text| {
            let trimmed = text.split('/').all(|part| part.trim() == part && !part.is_empty());
            edit_path(&text).ok().filter(|path| trimmed && path.as_str() == text)
        },
    )
}

fn text_strategy() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        6 => "[ -~\u{e4}\t]{0,12}",
        1 => Just("=======".to_owned()),
        1 => Just("<<<<<<< SEARCH".to_owned()),
        1 => Just(">>>>>>> REPLACE".to_owned()),
        1 => Just("```rust".to_owned()),
        1 => Just("--- a/x".to_owned()),
    ];
    prop::collection::vec(line, 0..8)
        .prop_map(|lines| lines.into_iter().map(|line| line + "\n").collect::<String>())
}

fn edit_strategy() -> impl Strategy<Value = Edit> {
    prop_oneof![
        4 => (path_strategy(), text_strategy(), text_strategy())
            .prop_filter("a search", |(_, search, _)| !search.trim().is_empty())
            .prop_map(|(path, search, replace)| Edit::Replace { path, search, replace }),
        1 => (path_strategy(), text_strategy()).prop_map(|(path, content)| Edit::Create { path, content }),
        1 => (path_strategy(), text_strategy()).prop_map(|(path, content)| Edit::Whole { path, content }),
        1 => path_strategy().prop_map(|path| Edit::Delete { path }),
        1 => (path_strategy(), path_strategy()).prop_map(|(from, to)| Edit::Rename { from, to }),
    ]
}

/// Lines that look like what the parser looks for, in any order.
fn noise_strategy() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        "\\PC{0,20}",
        "[<>=]{4,10}( SEARCH| REPLACE)?",
        "(DELETE|RENAME|UNFIXABLE:|QUESTION:|---|\\+\\+\\+|@@|diff --git)[ `*]{0,3}[a-z./>-]{0,12}",
        "(```|~~~)[a-z]{0,4}",
        "[`*#/ -]{0,4}[a-z.]{0,5}/[a-z]{0,3}\\.rs[`*:]{0,3}( \\(whole file\\))?",
    ];
    prop::collection::vec(line, 0..24).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn parsing_never_panics(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn noise_never_panics_and_touches_only_what_it_names(text in noise_strategy()) {
        if let Ok(parsed) = parse(&text) {
            let bench = Bench::new(&[("a/b.rs", CODE), ("c.rs", CODE)]);
            if let Ok(patch) = apply(&parsed.edits, &bench.tree()) {
                for (path, _) in patch.iter() {
                    let named = parsed.edits.iter().any(|edit| match edit {
                        Edit::Rename { from, to } => from == path || to == path,
                        other => other.path().as_str().ends_with(path.as_str()),
                    });
                    prop_assert!(named, "{path} is named by no edit");
                }
            }
        }
    }

    #[test]
    fn what_is_rendered_is_read_again(edits in prop::collection::vec(edit_strategy(), 1..5)) {
        let text = render(&edits);
        prop_assert_eq!(parse(&text).map(|parsed| parsed.edits), Ok(edits), "{}", text);
    }

    #[test]
    fn a_slice_is_replaced_as_by_hand(
        lines in prop::collection::vec("[a-c {}]{0,4}", 1..20),
        from in any::<prop::sample::Index>(),
        count in 1usize..6,
        new in prop::collection::vec("[a-d ]{0,5}", 0..6),
        crlf in any::<bool>(),
        ended in any::<bool>(),
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let start = from.index(lines.len());
        let stop = (start + count).min(lines.len());
        let joined = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let body = |lines: &[String]| {
            let text: String = lines.iter().map(|line| format!("{line}{end}")).collect();
            if ended { text } else { text.strip_suffix(end).unwrap_or(&text).to_owned() }
        };
        // An empty last line without an end is no line at all.
        prop_assume!(ended || !lines.last().is_some_and(String::is_empty));
        // One line without an end does not say which ends the file has.
        prop_assume!(ended || lines.len() > 1 || !crlf);
        let slice = &lines[start..stop];
        prop_assume!(!joined(slice).trim().is_empty());
        let mut expected = lines.clone();
        expected.splice(start..stop, new.iter().cloned());
        prop_assume!(ended || !expected.last().is_some_and(String::is_empty));
        let bench = Bench::new(&[("a.txt", &body(&lines)), ("b.txt", "other\n")]);
        let edit = Edit::Replace { path: rel("a.txt"), search: joined(slice), replace: joined(&new) };
        let places = lines.windows(slice.len()).filter(|window| *window == slice).count();
        let result = apply(&[edit], &bench.tree());
        if places > 1 {
            prop_assert!(matches!(result, Err(Refused::Unfit(_))));
        } else if body(&expected) == body(&lines) {
            prop_assert_eq!(result, Err(Refused::NoChange));
        } else {
            let patch = result.expect("one place");
            prop_assert_eq!(patch.len(), 1);
            let after = patch.get(&rel("a.txt")).and_then(|change| change.after.clone());
            let after = after.as_ref().and_then(FileState::as_text).expect("text").to_owned();
            prop_assert_eq!(&after, &body(&expected));
            prop_assert_eq!(crlf && after.contains('\n'), after.contains("\r\n"));
        }
    }

    #[test]
    fn escapes_are_refused(inner in "[a-z]{0,3}", outer in "[a-z]{1,4}", form in 0usize..8) {
        let path = match form {
            0 => format!("../{outer}"),
            1 => format!("/{outer}/{inner}x"),
            2 => format!("{outer}/../../{inner}"),
            3 => format!("{outer}/.git/{inner}x"),
            4 => format!("C:/{outer}"),
            5 => format!("..\\{outer}"),
            6 => format!("./../{outer}"),
            _ => format!("{outer}//{inner}/../.."),
        };
        for text in [
            block(&path, "", "x\n"),
            block(&format!("`{path}`"), "", "x\n"),
            block(&format!("{path} (whole file)"), "", "x\n"),
            format!("DELETE `{path}`\n"),
            format!("RENAME a.rs -> `{path}`\n"),
            format!("RENAME `{path}` -> a.rs\n"),
            format!("--- a/a.rs\n+++ b/{path}\n@@ -1 +1 @@\n-x\n+y\n"),
            format!("--- /dev/null\n+++ {path}\n@@ -0,0 +1 @@\n+y\n"),
        ] {
            prop_assert!(matches!(parse(&text), Err(Refused::Path { .. })), "{}", text);
        }
    }
}

#[test]
fn searching_takes_time_in_proportion_to_the_file() {
    let took = |lines: usize| {
        let bench = Bench::new(&[("a.txt", &("x\n".repeat(3 * lines) + "y\n"))]);
        let search = "x\n".repeat(lines) + "z\n";
        crate::clock::processor_time(|| {
            assert!(bench.refused(&block("a.txt", &search, "q\n")).contains("not found"))
        })
    };
    // A machine that is busy may slow one measurement down; what grows with the square takes 64 times as long each time.
    assert!(
        (0..5).any(|_| took(20_000) < 24 * took(2_500)),
        "eight times the lines take more than 24 times as long"
    );
}

#[test]
fn markers_without_end_are_refused() {
    assert!(parse(&"<<<<<<< SEARCH\n".repeat(1000)).is_err());
}
