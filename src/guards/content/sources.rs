//! Files of the tree that are read whole: the project's tests, and its own code.

use super::super::syntax::Lang;
use crate::patch::{RelPath, Tree};

/// Entries of the tree that are looked at, and the largest file that is read, in bytes.
const MOST_ENTRIES: usize = 5_000;
const LARGEST: u64 = 256 << 10;

/// The files in known languages that `wanted` says yes to, with their texts; what git ignores is passed over.
pub(super) fn read(tree: &Tree<'_>, wanted: impl Fn(&RelPath) -> bool) -> Vec<(RelPath, String)> {
    let walk = ignore::WalkBuilder::new(tree.root)
        .hidden(true)
        .git_global(false)
        .git_exclude(false)
        .parents(false)
        .build();
    let mut all = Vec::new();
    for entry in walk.flatten().take(MOST_ENTRIES) {
        let small = entry.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= LARGEST);
        let path =
            entry.path().strip_prefix(tree.root).ok().and_then(|path| RelPath::new(path.to_str()?).ok());
        if let Some(path) = path.filter(|path| small && Lang::of(path).is_some() && wanted(path))
            && let Some(text) = tree.read_text(&path)
        {
            all.push((path, text));
        }
    }
    let new = tree.patch.iter().filter(|(path, _)| wanted(path) && !all.iter().any(|(had, _)| had == *path));
    let new: Vec<_> = new
        .filter_map(|(path, change)| Some((path.clone(), change.after.as_ref()?.as_text()?.to_owned())))
        .collect();
    all.extend(new);
    all
}
