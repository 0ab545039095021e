//! Trees that exist in memory only.

use std::path::Path;
use std::sync::LazyLock;

use crate::fixers;
use crate::guards::{Proposed, inspect, refuses};
use crate::patch::{Change, FileState, Patch, RelPath, Tree};

/// An empty folder: what a tree holds is its patch.
pub(super) static NOWHERE: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a temporary folder"));

/// A patch that makes files.
pub(super) fn made<'t>(files: impl IntoIterator<Item = (&'t str, &'t [u8])>) -> Patch {
    let change = |bytes: &[u8]| Change {
        before: None,
        after: Some(FileState { bytes: bytes.to_vec(), executable: false }),
    };
    let files = files.into_iter().filter_map(|(path, bytes)| Some((RelPath::new(path).ok()?, change(bytes))));
    files.collect()
}

/// The tree of a patch alone.
pub(super) fn tree(patch: &Patch) -> Tree<'_> {
    Tree { root: folder(), patch }
}

pub(super) fn folder() -> &'static Path {
    NOWHERE.path()
}

/// Reads `output` against a tree whose sources are all `source`.
pub(super) fn traces(source: &str, output: &str) {
    let source = source.as_bytes();
    let files = made(
        ["src/lib.rs", "src/main.rs", "app.py", "web/app.py", "web/x.js", "x.mjs"].map(|path| (path, source)),
    );
    fixers::codefix::fuzz::traces(output, tree(&files));
}

/// Inspects a change. Guards do not refuse what changes nothing, say the same twice, and are not moved by what lies elsewhere.
pub(super) fn guards(name: &str, before: &[u8], after: &[u8]) {
    let Ok(path) = RelPath::new(name) else { return };
    let base = made([(path.as_str(), before)]);
    let state = |bytes: &[u8]| Some(FileState { bytes: bytes.to_vec(), executable: false });
    let patch: Patch = [(path, Change { before: state(before), after: state(after) })].into_iter().collect();
    let findings = inspect(&Proposed::new(tree(&base), &patch));
    assert_eq!(findings, inspect(&Proposed::new(tree(&base), &patch)));
    assert!(findings.len() <= 200 && findings.iter().all(|finding| !finding.reason.is_empty()));
    let nothing = Patch::new();
    assert!(!refuses(&inspect(&Proposed::new(tree(&base), &nothing))));
}
