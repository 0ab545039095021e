//! What must hold of any patch.

use std::collections::BTreeSet;

use super::trees::{made, tree};
use crate::edits::{Refused, apply, parse};
use crate::patch::{Change, FileState, Patch, RelPath, read_beneath};

/// Makes the patch from `before` to `after`, takes it apart by `bits`, shows it, reads that back, and writes it to disk.
pub(super) fn holds(before: &[u8], after: &[u8], bits: &[u8]) {
    let path = RelPath::new("src/a b.rs").expect("a path");
    let state = |bytes: &[u8], executable| Some(FileState { bytes: bytes.to_vec(), executable });
    let executable = bits.first().is_some_and(|bit| bit & 1 == 1);
    let patch: Patch = [
        (path.clone(), Change { before: state(before, false), after: state(after, false) }),
        (RelPath::new("new/x").expect("a path"), Change { before: None, after: state(after, executable) }),
        (RelPath::new("gone").expect("a path"), Change { before: state(before, executable), after: None }),
    ]
    .into_iter()
    .collect();
    let json = serde_json::to_string(&patch).expect("a patch is JSON");
    assert_eq!(serde_json::from_str::<Patch>(&json).expect("and is read again"), patch);
    assert_eq!(patch.inverse().inverse(), patch);
    assert!(patch.then(&patch.inverse()).is_empty());
    apart(&patch, bits);
    read_back(&patch, &path, before);
    on_disk(&patch);
}

fn apart(patch: &Patch, bits: &[u8]) {
    let hunks = patch.hunks();
    let stat = patch.stat();
    assert_eq!(stat.added, hunks.iter().map(|hunk| hunk.added).sum::<usize>());
    let ids: BTreeSet<_> = hunks.iter().map(|hunk| hunk.id.clone()).collect();
    assert_eq!(ids.len(), hunks.len(), "two hunks have one name");
    assert_eq!(patch.without(&BTreeSet::new()), *patch);
    assert!(patch.without(&ids).is_empty(), "a patch without all of its hunks changes something");
    let dropped = |at: usize| bits.get(at / 8).is_some_and(|bits| bits >> (at % 8) & 1 == 1);
    let some: BTreeSet<_> =
        ids.iter().enumerate().filter(|(at, _)| dropped(*at)).map(|(_, id)| id.clone()).collect();
    let rest = patch.without(&some);
    assert_eq!(rest.hunks().len(), hunks.len() - some.len(), "dropping a hunk changes others");
    assert_eq!(rest == *patch, some.is_empty());
}

/// The patch as a diff, as a model might give it: applied it is the same patch, or it is refused. Never another one.
fn read_back(patch: &Patch, path: &RelPath, before: &[u8]) {
    let alone: Patch =
        patch.iter().filter(|(own, _)| *own == path).map(|(p, c)| (p.clone(), c.clone())).collect();
    let diff = alone.unified();
    let Ok(parsed) = parse(&diff) else { return };
    let base = made([(path.as_str(), before)]);
    match apply(&parsed.edits, &tree(&base)) {
        Ok(again) => {
            let text =
                |patch: &Patch| patch.get(path).and_then(|c| c.after.clone()).map(|file| plain(&file.bytes));
            assert_eq!(text(&again), text(&alone), "{diff}");
        }
        Err(Refused::Unfit(_) | Refused::NoChange | Refused::NoEdits) => {}
        Err(other) => panic!("{other}: {diff}"),
    }
}

/// What an edit by lines can tell: not line ends, nor whether the last line has one; an empty last line without an end is no line.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let lines = text.trim_end_matches(['\r', '\n']).split('\n');
    lines.flat_map(|line| [line.trim_end_matches('\r'), "\n"]).collect()
}

fn on_disk(patch: &Patch) {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |patch: &Patch| patch.apply_beneath(folder.path()).expect("an empty folder takes it");
    let there = |path: &RelPath| read_beneath(folder.path(), path).expect("readable");
    let base: Patch = patch
        .iter()
        .map(|(path, change)| (path.clone(), Change { before: None, after: change.before.clone() }))
        .collect();
    put(&base);
    assert_eq!(patch.conflicts(folder.path()), []);
    put(patch);
    assert!(patch.iter().all(|(path, change)| there(path) == change.after));
    put(&patch.inverse());
    assert!(patch.iter().all(|(path, change)| there(path) == change.before));
    put(&base.inverse());
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0, "something is left behind");
}
