//! Where the git folders of a tree are when they are not in it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::patch::read_small;

/// The folders outside the tree at `root` that git needs to read it: those of a linked worktree or a submodule. Object stores that they borrow
/// from (`objects/info/alternates`) are not among them: only the tree says whose they are, and it could name anybody's.
pub(super) fn outside(root: &Path) -> Vec<PathBuf> {
    let dot = root.join(".git");
    let Ok(meta) = fs::symlink_metadata(&dot) else { return Vec::new() };
    let mut all = Vec::new();
    if meta.is_file() {
        let Some(own) = named(&dot, "gitdir:", root).filter(|own| belongs(own, root)) else { return all };
        let common = named(&own.join("commondir"), "", &own).unwrap_or_else(|| own.clone());
        if is_git_folder(&common) {
            all.push(common.clone());
            if !own.starts_with(&common) {
                all.push(own);
            }
        }
    }
    all.retain(|path| !path.starts_with(root) && !root.starts_with(path));
    all
}

/// Whether a git folder says by itself that the tree at `root` is its own, as those of linked worktrees and submodules do. The tree's
/// word is not enough: it could name anybody's.
fn belongs(own: &Path, root: &Path) -> bool {
    let back = named(&own.join("gitdir"), "", own);
    back.is_some_and(|back| back == root.join(".git"))
        || root.ancestors().any(|up| own.starts_with(up.join(".git")))
}

/// The path after `prefix` in a small file, relative to `base`, canonical.
fn named(file: &Path, prefix: &str, base: &Path) -> Option<PathBuf> {
    let text = read_small(file, 4096)?;
    base.join(text.strip_prefix(prefix)?.trim()).canonicalize().ok()
}

fn is_git_folder(path: &Path) -> bool {
    path.join("HEAD").is_file() && path.join("objects").is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_cannot_claim_a_foreign_git_folder() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        let (tree, foreign) = (base.join("tree"), base.join("foreign/.git"));
        fs::create_dir_all(&tree).unwrap();
        fs::create_dir_all(foreign.join("objects")).unwrap();
        fs::write(foreign.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        fs::write(tree.join(".git"), format!("gitdir: {}\n", foreign.display())).unwrap();
        assert_eq!(outside(&tree), Vec::<PathBuf>::new());
        fs::write(foreign.join("gitdir"), format!("{}\n", tree.join(".git").display())).unwrap();
        assert_eq!(outside(&tree), vec![foreign]);
    }

    #[test]
    fn a_tree_cannot_borrow_the_objects_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        let (tree, foreign) = (base.join("tree"), base.join("foreign/.git/objects"));
        fs::create_dir_all(tree.join(".git/objects/info")).unwrap();
        fs::create_dir_all(&foreign).unwrap();
        fs::write(tree.join(".git/objects/info/alternates"), format!("{}\n", foreign.display())).unwrap();
        assert_eq!(outside(&tree), Vec::<PathBuf>::new());
    }
}
