//! Landings amid what else goes on in a repository: submodules, git's own operations, other processes, odd names and modes.

use super::*;

/// A repository with the submodule `sub`, whose file `s` says `1`.
async fn with_submodule(files: &[(&str, &str)]) -> Field {
    let field = Field::with(files).await;
    let other = Field::with(&[("s", "1\n")]).await;
    let url = other.root.to_str().unwrap();
    field.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", url, "sub"]).await;
    field.git(&["commit", "-q", "-m", "Add sub"]).await;
    field
}

#[tokio::test]
async fn a_submodule_is_left_alone_wherever_the_patch_lands() {
    for land in ["worktree", "commit", "branch"] {
        for dirty in [false, true] {
            let field = with_submodule(&[("a", "1\n")]).await;
            if dirty {
                field.write("sub/s", "mine\n");
                field.write("sub/new", "mine\n");
                field.git_in(&field.root.join("sub"), &["add", "s"]).await;
            }
            let sub = field.root.join("sub");
            let inside = async |field: &Field| {
                let status = field.git_in(&sub, &["status", "--porcelain"]).await;
                (status, field.git_in(&sub, &["rev-parse", "HEAD"]).await, field.read("sub/s"))
            };
            let scene = Scene::of(field).await;
            let repo = scene.repo.as_ref().unwrap();
            let back = scene.snapshots.back_to_head(&scene.base.snapshot, repo).await.unwrap().patch;
            assert!(back.is_empty(), "{land} {dirty}: {back:?}");
            let before = inside(&scene.field).await;

            let record = scene.done(land, &patch(&[("a", Some("1\n"), Some("2\n"))])).await;
            assert_eq!(inside(&scene.field).await, before, "{land} {dirty}");
            if let Some(commit) = record.commit() {
                let changed = scene.field.git(&["diff", "--name-only", &format!("{commit}^"), commit]).await;
                assert_eq!(changed, "a", "{land} {dirty}");
            }
            scene.back(&record, How::Revert).await.unwrap();
            assert_eq!(inside(&scene.field).await, before, "{land} {dirty}");

            let s = if dirty { "mine\n" } else { "1\n" };
            let error = scene.land(land, &patch(&[("sub/s", Some(s), Some("2\n"))])).await.unwrap_err();
            assert_eq!(fault(&error).exit, Exit::Policy, "{error:?}");
            assert!(fault(&error).message.contains("sub"), "{error:?}");
            assert_eq!(inside(&scene.field).await, before, "{land} {dirty}");
        }
    }
}

#[tokio::test]
async fn a_submodule_that_is_not_checked_out_gets_no_files() {
    let field = with_submodule(&[("a", "1\n")]).await;
    field.git(&["submodule", "--quiet", "deinit", "--force", "sub"]).await;
    let scene = Scene::of(field).await;
    for land in ["worktree", "commit", "branch"] {
        let error = scene.land(land, &patch(&[("sub/new", None, Some("2\n"))])).await.unwrap_err();
        assert_eq!(fault(&error).exit, Exit::Policy, "{land}: {error:?}");
        assert!(!scene.field.root.join("sub/new").exists());
    }
}

#[tokio::test]
async fn another_repository_in_the_tree_gets_no_files() {
    let field = Field::with(&[("a", "1\n")]).await;
    field.write("nested/b", "1\n");
    field.git_in(&field.root.join("nested"), &["init", "-q"]).await;
    let scene = Scene::of(field).await;
    let error = scene.land("worktree", &patch(&[("nested/b", Some("1\n"), Some("2\n"))])).await.unwrap_err();
    assert!(fault(&error).message.contains("nested, a repository of its own"), "{error:?}");
    assert_eq!(scene.field.read("nested/b"), b"1\n");
}

/// Edits a file at the last moment: after everything was compared, before anything is written.
struct Edits<'a>(&'a Field, &'a str);

#[async_trait]
impl Journal for Edits<'_> {
    async fn intend(&self, _: &Record) -> Result<()> {
        self.0.write(self.1, "the user's\n");
        Ok(())
    }
}

#[tokio::test]
async fn an_edit_at_the_moment_of_landing_wins() {
    for land in ["worktree", "commit"] {
        let scene = Scene::of(Field::with(&[("a", "1\n"), ("b", "1\n")]).await).await;
        let head = scene.field.git(&["rev-parse", "HEAD"]).await;
        let change = patch(&[("a", Some("1\n"), Some("2\n")), ("b", Some("1\n"), Some("2\n"))]);
        let (place, story) = (land.parse::<Land>().unwrap(), story());
        let plan = scene.plan(&place, &change, &story);
        let journal = Edits(&scene.field, "b");
        let landed =
            super::super::land(scene.repo.as_ref(), &scene.snapshots, &scene.field.root, &plan, &journal);
        assert_eq!(landed.await.unwrap(), Landed::Moved { files: vec!["b".into()] }, "{land}");
        assert_eq!(scene.field.read("a"), b"1\n", "{land}");
        assert_eq!(scene.field.read("b"), b"the user's\n", "{land}");
        assert_eq!(scene.field.git(&["rev-parse", "HEAD"]).await, head, "{land}");
        assert_eq!(scene.status().await, " M b", "{land}");
    }
}

#[tokio::test]
async fn another_git_that_holds_the_index_is_waited_for_by_the_user() {
    let scene = Scene::of(Field::with(&[("a", "1\n")]).await).await;
    let head = scene.field.git(&["rev-parse", "HEAD"]).await;
    let change = patch(&[("a", Some("1\n"), Some("2\n"))]);
    let lock = scene.field.root.join(".git/index.lock");
    std::fs::write(&lock, "").unwrap();
    let error = scene.land("commit", &change).await.unwrap_err();
    assert_eq!(fault(&error).exit, Exit::CannotJudge, "{error:?}");
    assert!(fault(&error).hint.as_ref().unwrap().contains("index.lock"), "{error:?}");
    assert!(lock.exists(), "it is not ours to remove");
    assert_eq!(scene.field.git(&["rev-parse", "HEAD"]).await, head);
    assert_eq!(scene.field.read("a"), b"1\n");
    // Neither files nor another branch need the index.
    let record = scene.done("branch", &change).await;
    scene.back(&record, How::Revert).await.unwrap();
    let record = scene.done("worktree", &change).await;
    scene.back(&record, How::Revert).await.unwrap();
    std::fs::remove_file(&lock).unwrap();
    let record = scene.done("commit", &change).await;
    std::fs::write(&lock, "").unwrap();
    let error = scene.back(&record, How::Revert).await.unwrap_err();
    assert_eq!(fault(&error).exit, Exit::CannotJudge, "{error:?}");
    assert_eq!(scene.field.read("a"), b"2\n");
    std::fs::remove_file(&lock).unwrap();
    assert_eq!(scene.status().await, "");
    scene.back(&record, How::Revert).await.unwrap();
    assert_eq!((scene.field.read("a").as_slice(), scene.status().await.as_str()), (b"1\n".as_slice(), ""));
}

#[tokio::test]
async fn a_merge_under_way_takes_no_commit() {
    let field = Field::with(&[("a", "1\n"), ("b", "1\n")]).await;
    field.git(&["checkout", "-q", "-b", "other"]).await;
    field.write("a", "2\n");
    field.git(&["commit", "-q", "-am", "Two"]).await;
    field.git(&["checkout", "-q", "main"]).await;
    field.write("a", "3\n");
    field.git(&["commit", "-q", "-am", "Three"]).await;
    assert_eq!(field.try_git(&field.root, &["merge", "-q", "other"]).await.status, Some(1));
    let scene = Scene::of(field).await;
    let before = scene.status().await;
    let change = patch(&[("b", Some("1\n"), Some("2\n"))]);
    let error = scene.land("commit", &change).await.unwrap_err();
    assert_eq!(fault(&error).exit, Exit::Policy, "{error:?}");
    assert!(fault(&error).message.contains("a merge is under way"), "{error:?}");
    assert_eq!(scene.status().await, before);
    for land in ["branch", "worktree"] {
        let record = scene.done(land, &change).await;
        scene.back(&record, How::Revert).await.unwrap();
        assert_eq!(scene.status().await, before, "{land}");
    }
    assert!(scene.field.root.join(".git/MERGE_HEAD").exists());
}

#[tokio::test]
async fn a_branch_that_is_being_rebased_is_not_moved() {
    let field = Field::with(&[("a", "1\n"), ("b", "1\n")]).await;
    let scene = Scene::of(field).await;
    let change = patch(&[("b", Some("1\n"), Some("2\n"))]);
    let record = scene.done("commit", &change).await;
    let field = &scene.field;
    field.git(&["checkout", "-q", "-b", "other", "HEAD^"]).await;
    field.write("b", "3\n");
    field.git(&["commit", "-q", "-am", "Three"]).await;
    field.git(&["checkout", "-q", "main"]).await;
    assert_eq!(field.try_git(&field.root, &["rebase", "-q", "other"]).await.status, Some(1));
    let tip = field.git(&["rev-parse", "main"]).await;
    for how in [How::Revert, How::Reset] {
        let error = scene.back(&record, how).await.unwrap_err();
        assert_eq!(fault(&error).exit, Exit::Policy, "{error:?}");
        assert!(fault(&error).message.contains("being rebased"), "{error:?}");
    }
    assert_eq!(field.git(&["rev-parse", "main"]).await, tip);
    let base = Base::take(scene.repo.as_ref(), &scene.snapshots, "r").await.unwrap();
    let (land, story) = ("branch=main".parse::<Land>().unwrap(), story());
    let change = patch(&[("a", Some("1\n"), Some("2\n"))]);
    let heard = Heard::default();
    let plan = Plan { base: &base, ..scene.plan(&land, &change, &story) };
    let landed = super::super::land(scene.repo.as_ref(), &scene.snapshots, &field.root, &plan, &heard);
    assert!(fault(&landed.await.unwrap_err()).message.contains("being rebased"));
    field.git(&["rebase", "--abort"]).await;
    scene.back(&record, How::Revert).await.unwrap();
    assert_eq!(scene.field.read("b"), b"1\n");
}

#[tokio::test]
async fn names_that_differ_in_case_stay_two_files() {
    let field = Field::with(&[("README", "1\n")]).await;
    field.git(&["config", "core.ignoreCase", "true"]).await;
    let scene = Scene::of(field).await;
    let record = scene.done("commit", &patch(&[("readme", None, Some("2\n"))])).await;
    assert_eq!(scene.field.git(&["ls-tree", "--name-only", "HEAD"]).await, "README\nreadme");
    scene.back(&record, How::Revert).await.unwrap();
    assert_eq!(scene.field.git(&["ls-tree", "--name-only", "HEAD"]).await, "README");
}

#[tokio::test]
async fn the_execute_bit_lands_and_comes_back() {
    for land in ["worktree", "commit", "branch"] {
        let scene = Scene::of(Field::with(&[("run.sh", "true\n")]).await).await;
        let state = |executable| Some(FileState { bytes: b"true\n".to_vec(), executable });
        let mut change = Patch::new();
        change.set(path("run.sh"), Change { before: state(false), after: state(true) });
        let record = scene.done(land, &change).await;
        let mode = || scene.field.root.join("run.sh").metadata().unwrap().permissions().mode() & 0o111;
        assert_eq!(mode() != 0, land != "branch", "{land}");
        if let Some(commit) = record.commit() {
            assert!(scene.field.git(&["ls-tree", commit, "run.sh"]).await.starts_with("100755"), "{land}");
        }
        scene.back(&record, How::Revert).await.unwrap();
        assert_eq!((mode(), scene.status().await.as_str()), (0, ""), "{land}");
    }
}

#[tokio::test]
async fn a_file_that_the_patch_removes_keeps_its_uncommitted_changes() {
    let field = Field::with(&[("a", "1\n")]).await;
    field.write("a", "mine\n");
    let scene = Scene::of(field).await;
    let removal = patch(&[("a", Some("mine\n"), None)]);
    for land in ["commit", "branch"] {
        let error = scene.land(land, &removal).await.unwrap_err();
        assert!(fault(&error).message.contains("uncommitted changes of yours: a"), "{land}: {error:?}");
        assert_eq!(scene.field.read("a"), b"mine\n");
    }
    // Proven on the committed file: what is on disk is another one.
    let committed = patch(&[("a", Some("1\n"), None)]);
    for land in ["worktree", "commit"] {
        assert_eq!(scene.land(land, &committed).await.unwrap(), Landed::Moved { files: vec!["a".into()] });
        assert_eq!(scene.field.read("a"), b"mine\n");
    }
    let record = scene.done("worktree", &removal).await;
    assert!(!scene.field.root.join("a").exists());
    scene.back(&record, How::Revert).await.unwrap();
    assert_eq!(scene.field.read("a"), b"mine\n");
}

#[tokio::test]
async fn nothing_lands_through_a_link() {
    let field = Field::with(&[("a", "1\n")]).await;
    let outside = field.base().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("f"), "1\n").unwrap();
    std::os::unix::fs::symlink(&outside, field.root.join("link")).unwrap();
    std::os::unix::fs::symlink(outside.join("f"), field.root.join("file")).unwrap();
    field.git(&["add", "-A"]).await;
    field.git(&["commit", "-q", "-m", "Links"]).await;
    let scene = Scene::of(field).await;
    for land in ["worktree", "commit"] {
        for (at, before) in
            [("link/f", Some("1\n")), ("link/new", None), ("file", None), ("file", Some("1\n"))]
        {
            let landed = scene.land(land, &patch(&[(at, before, Some("2\n"))])).await;
            assert!(!matches!(landed, Ok(Landed::Done(_))), "{land} {at}: {landed:?}");
        }
    }
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(std::fs::read(outside.join("f")).unwrap(), b"1\n");
    assert_eq!(scene.status().await, "");
}

#[tokio::test]
async fn what_git_lfs_keeps_is_no_difference_and_is_not_committed_as_it_is() {
    use sha2::{Digest, Sha256};
    let content = "large\n".repeat(1000);
    let pointer = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n",
        hex::encode(Sha256::digest(&content)),
        content.len()
    );
    let field = Field::with(&[("big.bin", &pointer), ("a", "1\n")]).await;
    field.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    field.git(&["add", ".gitattributes"]).await;
    field.git(&["commit", "-q", "-m", "Attributes"]).await;
    // As the filter of git-lfs leaves it in the work tree.
    field.write("big.bin", &content);
    let scene = Scene::of(field).await;
    let repo = scene.repo.as_ref().unwrap();
    let back = scene.snapshots.back_to_head(&scene.base.snapshot, repo).await.unwrap().patch;
    assert!(back.is_empty(), "{back:?}");
    scene.done("branch", &patch(&[("a", Some("1\n"), Some("2\n"))])).await;
    assert_eq!(scene.field.git(&["show", "regreen/12345678:big.bin"]).await + "\n", pointer);
    let error = scene.land("commit", &patch(&[("big.bin", Some(&content), Some("x"))])).await.unwrap_err();
    assert!(fault(&error).message.contains("the filter `lfs`"), "{error:?}");

    let edited = content.replacen("large", "Large", 1);
    scene.field.write("big.bin", &edited);
    let snapshot = scene.snapshots.take("r").await.unwrap();
    let back = scene.snapshots.back_to_head(&snapshot, repo).await.unwrap().patch;
    assert!(back.get(&path("big.bin")).is_some(), "an edit of it is one");
}
