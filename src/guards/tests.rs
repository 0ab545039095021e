use super::*;
use crate::patch::{Change, FileState};

fn rel(path: &str) -> RelPath {
    RelPath::new(path).expect("a good path")
}

/// Findings of a change on a tree that also has `others`.
fn findings(
    others: &[(&str, &str)],
    changes: &[(&str, &str, &str)],
    tweak: impl Fn(&mut Proposed<'_>),
) -> Vec<Finding> {
    let dir = tempfile::tempdir().expect("a folder");
    let put = |path: &str, text: &str| {
        let at = dir.path().join(path);
        std::fs::create_dir_all(at.parent().expect("a parent")).expect("folders");
        std::fs::write(at, text).expect("a file");
    };
    let mut patch = Patch::new();
    for (path, text) in others {
        put(path, text);
    }
    for (path, before, after) in changes {
        let side = |text: &str| (!text.is_empty()).then(|| FileState::text(text));
        if !before.is_empty() {
            put(path, before);
        }
        patch.set(rel(path), Change { before: side(before), after: side(after) });
    }
    let none = Patch::new();
    let mut proposed = Proposed::new(Tree { root: dir.path(), patch: &none }, &patch);
    tweak(&mut proposed);
    inspect(&proposed)
}

fn verdict(found: &[Finding]) -> Option<Weight> {
    found.iter().map(|finding| finding.weight).max()
}

const PY: &str = "from app import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n    assert add(2, 2) == 4\n\n\nclass TestMore:\n    def test_zero(self):\n        assert add(0, 0) == 0\n";

/// A text with one part replaced.
fn with(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "{old:?} is not in the text");
    text.replace(old, new)
}

#[test]
fn the_corpus_is_judged_as_it_says() {
    let cases = measure::builtin().expect("a good corpus");
    let mut table = measure::Table::default();
    for case in &cases {
        table.add(case, &case.inspect().expect("a scratch folder"));
    }
    assert!(
        table.wrong.is_empty(),
        "{} of {} are wrong:\n{}",
        table.wrong.len(),
        cases.len(),
        table.wrong.join("\n")
    );
    let both: [usize; 2] = [0, 1].map(|side| table.languages.values().map(|sides| sides[side].all()).sum());
    assert!(both[0] >= 60 && both[1] >= 120, "honest and cheating: {both:?}");
}

#[test]
fn secrets_and_lock_files_are_found() {
    let key = concat!("k = 'AKIA", "ABCDEFGHIJKLMNOP'\n");
    let found = findings(&[], &[("a.py", "k = 1\n", key)], |_| {});
    assert!(
        found.iter().any(|finding| finding.guard == "secrets" && finding.weight == Weight::Refuse),
        "{found:?}"
    );
    let found = findings(&[], &[("Cargo.lock", "version = 3\n", "version = 4\n")], |_| {});
    assert_eq!(verdict(&found), Some(Weight::Refuse));
}

#[test]
fn files_that_move_are_followed() {
    let moved = |to: &str| findings(&[], &[("tests/test_a.py", PY, ""), (to, "", PY)], |_| {});
    assert_eq!(verdict(&moved("tests/unit/test_a.py")), None, "{:?}", moved("tests/unit/test_a.py"));
    assert_eq!(verdict(&moved("old/a.py")), Some(Weight::Refuse));
    // What was in a file is not new because the file moved.
    let unsafe_code = "fn a() { unsafe { b() } }\n// one two three\n// four five six\n";
    let found = findings(&[], &[("src/a.rs", unsafe_code, ""), ("src/b.rs", "", unsafe_code)], |_| {});
    assert_eq!(found, []);
    // A test changes its name, alone or with what it tests.
    for new in ["test_sum(", "test_plus("] {
        let mut after = with(PY, "test_add(", new);
        if new == "test_plus(" {
            after = after.replace(" add(", " plus(").replace("import add", "import plus");
        }
        let product = "def NAME(a, b):\n    return a + b\n";
        let (old, renamed) = (product.replace("NAME", "add"), product.replace("NAME", "plus"));
        let mut changes = vec![("tests/test_a.py", PY, after.as_str())];
        if new == "test_plus(" {
            let alone = findings(&[], &changes, |_| {});
            assert_eq!(verdict(&alone), Some(Weight::Refuse), "nothing else has the new name: {alone:?}");
            changes.push(("app.py", &old, &renamed));
        }
        let found = findings(&[], &changes, |_| {});
        assert_eq!(verdict(&found), Some(Weight::NeedsApproval), "{found:?}");
    }
    // One test moves to another file.
    let less = with(PY, "\n\nclass TestMore:\n    def test_zero(self):\n        assert add(0, 0) == 0\n", "");
    let more =
        "from app import add\n\n\nclass TestMore:\n    def test_zero(self):\n        assert add(0, 0) == 0\n";
    let found = findings(&[], &[("tests/test_a.py", PY, &less), ("tests/test_b.py", "", more)], |_| {});
    assert_eq!(verdict(&found), Some(Weight::NeedsApproval), "{found:?}");
}

#[test]
fn a_task_may_ask_for_changed_tests() {
    let changed = |after: &str, asked: &'static str| {
        let asked: &'static [RelPath] = Vec::leak(vec![rel(asked)]);
        verdict(&findings(&[], &[("tests/test_a.py", PY, after)], |proposed| proposed.test_changes = asked))
    };
    let allowed = |after: &str| changed(after, "tests/test_a.py");
    assert_eq!(allowed(&with(PY, "add(1, 2) == 3", "add(1, 2) == 4")), None);
    let of_another = changed(&with(PY, "add(1, 2) == 3", "add(1, 2) == 4"), "tests/test_b.py");
    assert_eq!(of_another, Some(Weight::NeedsApproval), "only the files that were asked for");
    assert_eq!(allowed(&with(PY, "    assert add(2, 2) == 4\n", "")), Some(Weight::NeedsApproval));
}

#[test]
fn relative_imports_lead_somewhere() {
    let others = [
        ("src/engine/motor.ts", "export const m = 1;\n"),
        ("src/ui/index.tsx", "export {};\n"),
        ("app/__init__.py", ""),
        ("app/models.py", ""),
        (".gitignore", "generated/\n"),
    ];
    for (path, text, expect) in [
        ("src/a.ts", "import { m } from './engine/motor';\n", None),
        ("src/a.ts", "import { m } from './engine/motor.js';\n", None),
        ("src/a.ts", "import './ui';\nconst x = require('./engine/motor.ts');\n", None),
        ("src/a.ts", "import { g } from './generated/client';\n", None),
        ("src/a.ts", "// import { m } from './nowhere';\n", None),
        ("src/a.ts", "import { m } from './engine/moter';\n", Some("did you mean src/engine/motor.ts?")),
        ("src/a.ts", "import { m } from '../../x';\n", Some("leads out of the repo")),
        ("src/a.ts", "import { m } from 'react';\n", None),
        ("app/views.py", "from .models import A\nfrom . import models\nimport json\n", None),
        ("app/views.py", "from .model import A\n", Some("did you mean app/models.py?")),
        ("app/views.py", "from ...x import A\n", Some("leads out of the repo")),
    ] {
        let found = findings(&others, &[(path, "", text)], |_| {});
        match expect {
            None => assert_eq!(found, [], "{text}"),
            Some(reason) => assert!(
                found.iter().any(|f| f.guard == "imports" && f.reason.contains(reason)),
                "{text}: {found:?}"
            ),
        }
    }
    // Both halves of one proposal, and an import that was broken before.
    let found =
        findings(&[], &[("src/a.ts", "", "import './b';\n"), ("src/b.ts", "", "export {};\n")], |_| {});
    assert_eq!(found, []);
    let found = findings(&[], &[("src/a.ts", "import './gone';\n", "import './gone';\nf();\n")], |_| {});
    assert_eq!(found, []);
}

#[test]
fn paths_and_sizes_have_limits() {
    let guard =
        |path: &str| findings(&[(".gitignore", "dist/\n*.log\n!keep.log\n")], &[(path, "", "x\n")], |_| {});
    for path in [
        ".git/config",
        "regreen.toml",
        ".gitmodules",
        "node_modules/a/index.js",
        "dist/out.js",
        "a/b.log",
        "a/.venv/x.py",
    ] {
        assert!(guard(path).iter().any(|f| f.guard == "path" && f.weight == Weight::Refuse), "{path}");
    }
    for path in ["src/dist.js", "keep.log", "vendor.txt"] {
        assert_eq!(guard(path), [], "{path}");
    }
    let found = findings(&[], &[("db/schema.sql", "a\n", "b\n")], |proposed| {
        const GLOBS: &[String] = &[];
        proposed.protected = GLOBS;
    });
    assert_eq!(found, []);
    let globs = ["db/**".to_owned()];
    let dir = tempfile::tempdir().expect("a folder");
    let mut patch = Patch::new();
    patch.set(rel("db/deep/schema.sql"), Change { before: None, after: Some(FileState::text("b\n")) });
    let none = Patch::new();
    let mut proposed = Proposed::new(Tree { root: dir.path(), patch: &none }, &patch);
    proposed.protected = &globs;
    assert_eq!(verdict(&inspect(&proposed)), Some(Weight::NeedsApproval));
    proposed.protected = &[];
    proposed.limits = Limits { files: 0, lines: 0, bytes: 1 };
    assert_eq!(inspect(&proposed).iter().filter(|f| f.guard == "size").count(), 3);

    let mut patch = Patch::new();
    let run = FileState { bytes: b"x\n".to_vec(), executable: true };
    patch.set(rel("run.sh"), Change { before: Some(FileState::text("x\n")), after: Some(run) });
    let proposed = Proposed::new(Tree { root: dir.path(), patch: &none }, &patch);
    assert_eq!(verdict(&inspect(&proposed)), Some(Weight::NeedsApproval));

    std::os::unix::fs::symlink("/etc", dir.path().join("out")).expect("a link");
    std::fs::create_dir_all(dir.path().join("sub/.git")).expect("folders");
    for path in ["out/passwd", "out", "sub/a.rs"] {
        let mut patch = Patch::new();
        patch.set(rel(path), Change { before: None, after: Some(FileState::text("x\n")) });
        let proposed = Proposed::new(Tree { root: dir.path(), patch: &none }, &patch);
        assert!(refuses(&inspect(&proposed)), "{path}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_a_guard_panic(before in "\\PC{0,60}", after in "\\PC{0,60}", name in 0usize..10) {
        let path = ["a.rs", "tests/a.py", "a.test.tsx", "a_test.go", "T.java", "package.json", "Cargo.toml", "pyproject.toml", "tsconfig.json", "go.mod"][name];
        let found = findings(&[], &[(path, &format!("{before}\n"), &format!("{after}\n"))], |_| {});
        for finding in found {
            proptest::prop_assert!(!finding.reason.ends_with('.'));
            proptest::prop_assert!(finding.line != Some(0));
        }
    }
}
