use std::os::unix::fs::{PermissionsExt, symlink};

use proptest::prelude::*;

use super::write::walk_beneath;
use super::*;

fn rel(path: &str) -> RelPath {
    RelPath::new(path).expect("a good path")
}

fn change(before: Option<&str>, after: Option<&str>) -> Change {
    Change { before: before.map(FileState::text), after: after.map(FileState::text) }
}

/// Everything below a folder: path, content, execute bit.
fn snapshot(root: &Path) -> BTreeMap<String, (Vec<u8>, bool)> {
    fn walk(root: &Path, at: &Path, all: &mut BTreeMap<String, (Vec<u8>, bool)>) {
        for entry in std::fs::read_dir(at).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(root, &path, all);
            } else {
                let mode = path.metadata().expect("metadata").permissions().mode();
                let below = path.strip_prefix(root).expect("below").to_str().expect("text").to_owned();
                all.insert(below, (std::fs::read(&path).expect("a file"), mode & 0o100 != 0));
            }
        }
    }
    let mut all = BTreeMap::new();
    walk(root, root, &mut all);
    all
}

fn put(root: &Path, path: &RelPath, file: &FileState) {
    let at = path.under(root);
    std::fs::create_dir_all(at.parent().expect("a parent")).expect("folders");
    std::fs::write(&at, &file.bytes).expect("a file");
    let mode = if file.executable { 0o755 } else { 0o644 };
    std::fs::set_permissions(&at, std::fs::Permissions::from_mode(mode)).expect("a mode");
}

fn file_strategy() -> impl Strategy<Value = FileState> {
    let bytes = prop_oneof![
        4 => prop::collection::vec("[ab]{0,2}\r?\n?", 0..12).prop_map(|lines| lines.concat().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ];
    (bytes, any::<bool>()).prop_map(|(bytes, executable)| FileState { bytes, executable })
}

fn side() -> impl Strategy<Value = Option<FileState>> {
    prop::option::weighted(0.8, file_strategy())
}

/// Three states of a few files, as two patches one after the other. Among the paths are some that cannot be there together: of
/// those only one is made.
fn patches() -> impl Strategy<Value = (Patch, Patch, Patch)> {
    let paths = ["a.txt", "d/b c.txt", "d/e/f", "\u{e4}\".rs", "g/h"];
    prop::collection::vec((side(), side(), side(), side()), paths.len()).prop_map(move |states| {
        let (mut first, mut second, mut third) = (Patch::new(), Patch::new(), Patch::new());
        for (path, (a, b, c, d)) in paths.iter().zip(states) {
            first.set(rel(path), Change { before: a, after: b.clone() });
            second.set(rel(path), Change { before: b, after: c.clone() });
            third.set(rel(path), Change { before: c, after: d });
        }
        (first, second, third)
    })
}

fn tree_before(patch: &Patch) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for (path, change) in patch.iter() {
        if let Some(before) = &change.before {
            put(dir.path(), path, before);
        }
    }
    put(dir.path(), &rel("other.txt"), &FileState::text("other\n"));
    dir
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn writing_and_taking_back_restores_every_byte((patch, _, _) in patches()) {
        let dir = tree_before(&patch);
        let before = snapshot(dir.path());
        prop_assert_eq!(patch.conflicts(dir.path()), vec![]);
        patch.apply_beneath(dir.path()).expect("applies");
        prop_assert_eq!(patch.inverse().conflicts(dir.path()), vec![]);
        let touched = patch.len();
        prop_assert_eq!(patch.conflicts(dir.path()).len(), touched);
        patch.inverse().apply_beneath(dir.path()).expect("applies");
        prop_assert_eq!(snapshot(dir.path()), before);
    }

    #[test]
    fn what_follows_what_makes_no_difference((a, b, c) in patches()) {
        prop_assert_eq!(a.then(&b).then(&c), a.then(&b.then(&c)));
        prop_assert!(a.then(&a.inverse()).is_empty());
    }

    #[test]
    fn hunks_take_a_patch_apart((patch, _, _) in patches(), picks in prop::collection::vec(any::<bool>(), 40)) {
        let hunks = patch.hunks();
        let all: std::collections::BTreeSet<HunkId> = hunks.iter().map(|hunk| hunk.id.clone()).collect();
        prop_assert_eq!(all.len(), hunks.len());
        prop_assert!(patch.without(&all).is_empty());
        prop_assert_eq!(&patch.without(&Default::default()), &patch);
        let some = hunks.iter().zip(&picks).filter(|(_, pick)| **pick).map(|(hunk, _)| hunk.id.clone()).collect();
        let less = patch.without(&some);
        for (path, change) in less.iter() {
            prop_assert_eq!(&change.before, &patch.get(path).expect("a path of the patch").before);
        }
        let stat = less.stat();
        prop_assert!(stat.files <= patch.stat().files);
    }

    #[test]
    fn json_keeps_every_byte((patch, _, _) in patches()) {
        let json = serde_json::to_string(&patch).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<Patch>(&json).expect("a patch"), patch);
    }

    #[test]
    fn paths_never_leave(text in "[./a\\\\-]{0,12}") {
        if let Ok(path) = RelPath::new(&text) {
            prop_assert!(!path.as_str().starts_with('/'));
            prop_assert!(path.as_str().split('/').all(|part| !matches!(part, "" | "." | "..")));
        }
    }
}

#[test]
fn a_unified_diff_is_what_git_applies() {
    let mut patch = Patch::new();
    let long: String = (0..40).map(|n| format!("line {n}\n")).collect();
    patch.set(
        rel("a b.txt"),
        change(Some(&long), Some(&long.replace("line 3\n", "three\n").replace("line 30\n", ""))),
    );
    patch.set(rel("end.txt"), change(Some("x\ny"), Some("x\nz")));
    patch.set(rel("new/n.txt"), change(None, Some("n\n")));
    patch.set(rel("empty.txt"), change(None, Some("")));
    patch.set(rel("gone.txt"), change(Some("g\r\n"), None));
    let run = FileState { bytes: b"#!/bin/sh\n".to_vec(), executable: true };
    patch.set(rel("run.sh"), Change { before: Some(FileState::text("#!/bin/sh\n")), after: Some(run) });
    let dir = tree_before(&patch);
    std::fs::write(dir.path().join("p.diff"), patch.unified()).expect("a file");
    let status = std::process::Command::new("git")
        .args(["apply", "p.diff"])
        .current_dir(dir.path())
        .env("GIT_CEILING_DIRECTORIES", dir.path().parent().expect("a parent"))
        .status()
        .expect("git runs");
    assert!(status.success(), "{}", patch.unified());
    assert_eq!(patch.inverse().conflicts(dir.path()), vec![], "{}", patch.unified());
    assert_eq!(patch.stat(), Stat { files: 6, added: 3, removed: 4 });
}

#[test]
fn a_unified_diff_reads_as_people_know_it() {
    let mut patch = Patch::new();
    patch.set(rel("a.txt"), change(Some("one\ntwo\nthree"), Some("one\n2\nthree\n")));
    let binary = FileState { bytes: vec![0, 159, 1], executable: false };
    patch.set(rel("b.bin"), Change { before: None, after: Some(binary) });
    assert_eq!(
        patch.unified(),
        "diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1,3 +1,3 @@\n one\n-two\n-three\n\
         \\ No newline at end of file\n+2\n+three\ndiff --git a/b.bin b/b.bin\nnew file mode 100644\n\
         Binary files /dev/null and b/b.bin differ\n"
    );
}

#[test]
fn hunks_are_separate_changes() {
    let mut patch = Patch::new();
    patch.set(rel("a.txt"), change(Some("a\nb\nc\nd\n"), Some("A\nb\nc\nx\nd\n")));
    patch.set(rel("new.txt"), change(None, Some("n\nm\n")));
    let hunks = patch.hunks();
    assert_eq!(
        hunks.iter().map(|h| (h.id.index, h.line, h.added, h.removed)).collect::<Vec<_>>(),
        [(0, 1, 1, 1), (1, 4, 1, 0), (0, 1, 2, 0)]
    );
    let less = patch.without(&[hunks[0].id.clone(), hunks[2].id.clone()].into());
    assert_eq!(less.iter().count(), 1);
    assert_eq!(less.get(&rel("a.txt")), Some(&change(Some("a\nb\nc\nd\n"), Some("a\nb\nc\nx\nd\n"))));
}

#[test]
fn nothing_is_written_through_links() {
    let dir = tempfile::tempdir().expect("a folder");
    let outside = tempfile::tempdir().expect("a folder");
    let root = dir.path();
    std::fs::write(outside.path().join("victim"), "safe\n").expect("a file");
    symlink(outside.path(), root.join("out")).expect("a link");
    symlink(outside.path().join("victim"), root.join("link")).expect("a link");
    std::fs::create_dir(root.join("folder")).expect("a folder");
    std::fs::write(root.join("folder/x"), "x").expect("a file");
    for path in ["out/victim", "out/new", "link", "folder", "out/deep/er/new"] {
        for (before, after) in [(None, Some("evil\n")), (Some("safe\n"), None)] {
            let mut patch = Patch::new();
            patch.set(rel("aaa-first"), change(None, Some("1\n")));
            patch.set(rel(path), change(before, after));
            assert!(patch.conflicts(root).contains(&rel(path)), "{path}");
            let result = patch.apply_beneath(root);
            assert!(matches!(result, Err(ApplyError::InTheWay { .. })), "{path}: {result:?}");
        }
    }
    assert_eq!(std::fs::read_to_string(outside.path().join("victim")).expect("a file"), "safe\n");
    assert_eq!(std::fs::read_dir(outside.path()).expect("a folder").count(), 1);
    assert!(root.join("link").is_symlink() && root.join("folder/x").exists());
    let left: Vec<_> = std::fs::read_dir(root).expect("a folder").flatten().map(|e| e.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".regreen-")), "{left:?}");
}

#[test]
fn the_walk_finds_what_openat2_finds() {
    use rustix::fs::{Mode, OFlags};
    use std::os::fd::AsFd;
    let dir = tempfile::tempdir().expect("a folder");
    put(dir.path(), &rel("a/b/c"), &FileState::text("c"));
    symlink("a", dir.path().join("link")).expect("a link");
    symlink("c", dir.path().join("a/b/last")).expect("a link");
    let root = rustix::fs::open(dir.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).expect("opens");
    let open = |path: &str| walk_beneath(root.as_fd(), &rel(path), OFlags::RDONLY).is_ok();
    assert!(open("a/b/c"));
    assert!(!open("link/b/c") && !open("a/b/last") && !open("a/b/none") && !open("a/b/c/d"));
}

#[test]
fn permissions_and_folders_are_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let root = dir.path();
    let mode = |path: &str| root.join(path).metadata().expect("metadata").permissions().mode() & 0o777;
    std::fs::write(root.join("secret"), "a").expect("a file");
    std::fs::set_permissions(root.join("secret"), std::fs::Permissions::from_mode(0o600)).expect("a mode");
    let mut patch = Patch::new();
    patch.set(rel("secret"), change(Some("a"), Some("b")));
    patch.set(rel("x/y/z"), change(None, Some("z")));
    patch.apply_beneath(root).expect("applies");
    assert_eq!(mode("secret"), 0o600);
    patch.inverse().apply_beneath(root).expect("applies");
    assert!(!root.join("x").exists());
    let mut patch = Patch::new();
    let run = FileState { bytes: b"a".to_vec(), executable: true };
    patch.set(rel("secret"), Change { before: Some(FileState::text("a")), after: Some(run) });
    patch.apply_beneath(root).expect("applies");
    assert_eq!(mode("secret"), 0o700);
}

#[test]
fn a_file_may_become_a_folder_and_back() {
    let dir = tempfile::tempdir().expect("a folder");
    put(dir.path(), &rel("a"), &FileState::text("file"));
    let before = snapshot(dir.path());
    let mut patch = Patch::new();
    patch.set(rel("a"), change(Some("file"), None));
    patch.set(rel("a/b"), change(None, Some("below")));
    patch.apply_beneath(dir.path()).expect("applies");
    assert_eq!(std::fs::read_to_string(dir.path().join("a/b")).expect("a file"), "below");
    patch.inverse().apply_beneath(dir.path()).expect("applies");
    assert_eq!(snapshot(dir.path()), before);
}
