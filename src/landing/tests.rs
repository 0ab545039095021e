mod amid;

use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;

use super::*;
use crate::fault::Exit;
use crate::git::tests::{Field, arm};
use crate::patch::{Change, FileState};

/// Keeps what it hears; `fail` makes the landing stop right there, as a crash would.
#[derive(Default)]
struct Heard {
    records: Mutex<Vec<Record>>,
    fail: bool,
}

#[async_trait]
impl Journal for Heard {
    async fn intend(&self, record: &Record) -> Result<()> {
        // What goes to the store must come back from it.
        let text = serde_json::to_string(record)?;
        assert_eq!(&serde_json::from_str::<Record>(&text)?, record);
        self.records.lock().unwrap().push(record.clone());
        anyhow::ensure!(!self.fail, "crash");
        Ok(())
    }
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

fn file(text: &str) -> Option<FileState> {
    Some(FileState::text(text))
}

fn patch(changes: &[(&str, Option<&str>, Option<&str>)]) -> Patch {
    let change = |(at, before, after): &(&str, Option<&str>, Option<&str>)| {
        (path(at), Change { before: before.and_then(file), after: after.and_then(file) })
    };
    changes.iter().map(change).collect()
}

fn story() -> Story {
    Story {
        subject: "Import what is used.".into(),
        body: "The name was never imported.\nRegreen-Verified: lies".into(),
        fixer: "codefix(tsc)".into(),
        attempts: 2,
        verified: vec!["build".into(), "test".into()],
        kind: "fix".into(),
    }
}

struct Scene {
    field: Field,
    repo: Option<Repo>,
    snapshots: Snapshots,
    base: Base,
}

impl Scene {
    async fn of(field: Field) -> Self {
        let repo = Repo::discover_with(&field.root, &field.environment()).await.unwrap();
        let snapshots = field.snapshots(repo.as_ref()).await;
        let base = Base::take(repo.as_ref(), &snapshots, "run-12345678").await.unwrap();
        Self { field, repo, snapshots, base }
    }

    fn plan<'a>(&'a self, land: &'a Land, patch: &'a Patch, story: &'a Story) -> Plan<'a> {
        Plan { run: "run-12345678", label: "12345678", land, patch, base: &self.base, onto: None, story }
    }

    async fn land(&self, land: &str, patch: &Patch) -> Result<Landed> {
        let (place, story) = (land.parse::<Land>().unwrap(), story());
        let plan = self.plan(&place, patch, &story);
        super::land(self.repo.as_ref(), &self.snapshots, &self.field.root, &plan, &Heard::default()).await
    }

    async fn done(&self, land: &str, patch: &Patch) -> Record {
        match self.land(land, patch).await.unwrap() {
            Landed::Done(record) => record,
            other => panic!("{other:?}"),
        }
    }

    async fn back(&self, record: &Record, how: How) -> Result<RolledBack> {
        rollback(self.repo.as_ref(), &self.field.root, record, how).await
    }

    async fn status(&self) -> String {
        self.field.git(&["status", "--porcelain"]).await
    }
}

fn fault(error: &anyhow::Error) -> &Fault {
    error.downcast_ref::<Fault>().unwrap_or_else(|| panic!("no fault: {error:?}"))
}

#[test]
fn places_to_land_are_parsed() {
    for text in ["worktree", "commit", "branch", "branch=fix/a-1", "pr", "pr=fix/a-1", "none"] {
        assert_eq!(text.parse::<Land>().unwrap().to_string(), text);
    }
    for bad in [
        "",
        "main",
        "branch=",
        "pr=",
        "pr=-x",
        "pr=a b",
        "branch=a b",
        "branch=-x",
        "branch=a..b",
        "branch=a/.b",
        "branch=a.lock",
        "branch=HEAD",
        "branch=a/",
        "branch=a@{1}",
    ] {
        assert_eq!(bad.parse::<Land>().unwrap_err().exit, Exit::Usage, "{bad}");
    }
}

#[tokio::test]
async fn the_work_tree_gets_the_files_and_gets_them_back_byte_for_byte() {
    let field = Field::with(&[("a.txt", "one\r\n"), ("gone.txt", "x"), ("same", "s")]).await;
    field.write("a.txt", "dirty\r\n");
    field.write("untracked", "u");
    field.git(&["add", "a.txt"]).await;
    let scene = Scene::of(field).await;
    let before = scene.status().await;
    let change = patch(&[
        ("a.txt", Some("dirty\r\n"), Some("fixed\r\n")),
        ("untracked", Some("u"), Some("v")),
        ("gone.txt", Some("x"), None),
        ("new/deep/file", None, Some("n")),
    ]);
    let record = scene.done("worktree", &change).await;
    assert_eq!(scene.field.read("a.txt"), b"fixed\r\n");
    assert_eq!(scene.field.read("new/deep/file"), b"n");
    assert!(!scene.field.root.join("gone.txt").exists());
    assert_eq!(record.place(), "the working tree");
    assert_eq!(scene.field.git(&["show", &format!("{}:a.txt", record.backup)]).await, "dirty\r");
    assert_eq!(recover(scene.repo.as_ref(), &scene.field.root, &record).await.unwrap(), Recovered::Completed);

    // The user goes on elsewhere: that is no obstacle.
    scene.field.write("same", "edited");
    assert_eq!(scene.back(&record, How::Revert).await.unwrap(), RolledBack::Files(4));
    scene.field.write("same", "s");
    assert_eq!(scene.status().await, before);
    assert_eq!(scene.snapshots.current_tree().await.unwrap(), scene.base.snapshot.tree);
    assert_eq!(scene.back(&record, How::Revert).await.unwrap(), RolledBack::Already);
}

#[tokio::test]
async fn a_rollback_never_loses_later_edits() {
    let scene = Scene::of(Field::with(&[("a", "1"), ("b", "1")]).await).await;
    let record =
        scene.done("worktree", &patch(&[("a", Some("1"), Some("2")), ("b", Some("1"), Some("2"))])).await;
    scene.field.write("b", "mine");
    let error = scene.back(&record, How::Revert).await.unwrap_err();
    assert_eq!(fault(&error).exit, Exit::Policy);
    assert!(fault(&error).message.ends_with("changed since the landing: b"), "{error}");
    assert_eq!((scene.field.read("a"), scene.field.read("b")), (b"2".to_vec(), b"mine".to_vec()));
}

#[tokio::test]
async fn a_tree_that_moved_is_never_forced() {
    let scene =
        Scene::of(Field::with(&[("a", "1"), ("b", "1"), (".gitignore", "ign\n"), ("c", "1")]).await).await;
    let change = patch(&[("a", Some("1"), Some("2"))]);
    scene.field.write("b", "edited meanwhile");
    scene.field.write("z", "new meanwhile");
    for land in ["worktree", "commit", "branch"] {
        let moved = Landed::Moved { files: vec!["b".into(), "z".into()] };
        assert_eq!(scene.land(land, &change).await.unwrap(), moved, "{land}");
    }
    assert_eq!(scene.field.read("a"), b"1");
    scene.field.write("b", "1");
    std::fs::remove_file(scene.field.root.join("z")).unwrap();
    // Ignored files are in no snapshot, and compared all the same.
    scene.field.write("ign", "theirs");
    let ignored = patch(&[("ign", None, Some("ours"))]);
    assert_eq!(scene.land("worktree", &ignored).await.unwrap(), Landed::Moved { files: vec!["ign".into()] });
    assert_eq!(scene.field.read("ign"), b"theirs");
    // A branch that moved with the same tree.
    scene.field.git(&["commit", "-q", "--allow-empty", "-m", "Meanwhile"]).await;
    assert_eq!(scene.land("commit", &change).await.unwrap(), Landed::Moved { files: vec![] });
    assert_eq!(scene.land("none", &change).await.unwrap(), Landed::Nowhere);
    assert_eq!(scene.status().await, "");
}

#[tokio::test]
async fn a_commit_holds_the_patch_and_nothing_else() {
    let field = Field::with(&[("a", "1\n"), ("staged", "1\n"), ("dirty", "1\n"), ("gone", "1\n")]).await;
    field.write("staged", "2\n");
    field.git(&["add", "staged"]).await;
    field.write("dirty", "2\n");
    field.write("untracked", "2\n");
    let scene = Scene::of(field).await;
    let mut change = patch(&[("a", Some("1\n"), Some("2\n")), ("gone", Some("1\n"), None)]);
    let script = FileState { bytes: b"#!/bin/sh\n".to_vec(), executable: true };
    change.set(path("bin/run"), Change { before: None, after: Some(script) });
    let record = scene.done("commit", &change).await;
    let git = async |words: &[&str]| scene.field.git(words).await;
    assert_eq!(git(&["show", "--format=", "--name-status", "HEAD"]).await, "M\ta\nA\tbin/run\nD\tgone");
    assert_eq!(git(&["ls-tree", "HEAD", "bin/run"]).await.split(' ').next(), Some("100755"));
    assert_eq!(git(&["symbolic-ref", "HEAD"]).await, "refs/heads/main");
    assert_eq!(scene.status().await, " M dirty\nM  staged\n?? untracked");
    assert_eq!(scene.field.read("a"), b"2\n");
    let mode = std::fs::metadata(scene.field.root.join("bin/run")).unwrap().permissions().mode();
    assert_eq!(mode & 0o100, 0o100);
    let message = git(&["log", "-1", "--format=%B"]).await;
    assert_eq!(
        message,
        "Import what is used\n\nThe name was never imported.\n Regreen-Verified: lies\n\nRegreen-Run: run-12345678\n\
         Regreen-Fixer: codefix(tsc)\nRegreen-Attempts: 2\nRegreen-Verified: build, test"
    );
    let trailers = git(&["log", "-1", "--format=%(trailers:key=Regreen-Verified,valueonly)"]).await;
    assert_eq!(trailers, "build, test");
    assert_eq!(git(&["log", "-1", "--format=%an <%ae>"]).await, "Ann <ann@x.test>");
    let tag = format!("{}^{{commit}}", record.backup);
    assert_eq!(git(&["rev-parse", &tag]).await, git(&["rev-parse", "HEAD^"]).await);
    assert!(record.backup.starts_with("refs/tags/regreen/12345678/before-"));

    // Reverted by a commit; the user's own changes stay.
    assert!(matches!(scene.back(&record, How::Revert).await.unwrap(), RolledBack::Reverted(_)));
    assert_eq!(git(&["diff", "HEAD~2", "HEAD"]).await, "");
    assert_eq!(git(&["log", "-1", "--format=%s"]).await, "Revert \"Import what is used\"");
    assert_eq!(scene.status().await, " M dirty\nM  staged\n?? untracked");
    assert_eq!(scene.field.read("a"), b"1\n");
    assert!(!scene.field.root.join("bin").exists());
    assert_eq!(scene.back(&record, How::Revert).await.unwrap(), RolledBack::Already);
}

#[tokio::test]
async fn a_reset_needs_a_landing_with_nothing_on_top() {
    let scene = Scene::of(Field::with(&[("a", "1\n"), ("b", "1\n")]).await).await;
    let first = scene.base.head.clone().unwrap();
    let change = patch(&[("a", Some("1\n"), Some("2\n"))]);
    let record = scene.done("commit", &change).await;
    let landed = record.commit().unwrap().to_owned();
    scene.field.git(&["commit", "-q", "--allow-empty", "-m", "On top"]).await;
    let error = scene.back(&record, How::Reset).await.unwrap_err();
    assert!(fault(&error).message.contains("on top"), "{error}");
    scene.field.git(&["reset", "-q", "--soft", &landed]).await;
    assert_eq!(
        scene.back(&record, How::Reset).await.unwrap(),
        RolledBack::Reset { branch: "main".into(), commit: first.clone() }
    );
    assert_eq!(scene.field.git(&["rev-parse", "HEAD"]).await, first);
    assert_eq!((scene.status().await, scene.field.read("a")), (String::new(), b"1\n".to_vec()));
    assert_eq!(scene.back(&record, How::Reset).await.unwrap(), RolledBack::Already);
}

#[tokio::test]
async fn a_revert_refuses_what_was_changed_since() {
    let scene = Scene::of(Field::with(&[("a", "1\n")]).await).await;
    let record = scene.done("commit", &patch(&[("a", Some("1\n"), Some("2\n"))])).await;
    scene.field.write("a", "3\n");
    let error = scene.back(&record, How::Revert).await.unwrap_err();
    assert!(fault(&error).message.contains("changed since the landing: a"), "{error}");
    scene.field.git(&["commit", "-q", "-am", "More"]).await;
    let error = scene.back(&record, How::Revert).await.unwrap_err();
    assert!(fault(&error).message.contains("changed since the landing: a"), "{error}");
    assert_eq!(scene.field.read("a"), b"3\n");
}

#[tokio::test]
async fn uncommitted_changes_in_the_way_are_refused() {
    let field = Field::with(&[("dirty", "1\n"), ("staged", "1\n"), ("a", "1\n")]).await;
    field.write("dirty", "2\n");
    field.write("staged", "2\n");
    field.git(&["add", "staged"]).await;
    field.write("untracked", "2\n");
    let scene = Scene::of(field).await;
    let before = scene.status().await;
    for file in ["dirty", "staged", "untracked"] {
        let change = patch(&[(file, Some("2\n"), Some("3\n")), ("a", Some("1\n"), Some("2\n"))]);
        for land in ["commit", "branch"] {
            let error = scene.land(land, &change).await.unwrap_err();
            assert_eq!(fault(&error).exit, Exit::Policy);
            assert!(fault(&error).message.ends_with(&format!("of yours: {file}")), "{land}: {error}");
        }
    }
    assert_eq!(scene.status().await, before);
    assert_eq!(scene.field.git(&["for-each-ref", "refs/tags", "refs/heads"]).await.lines().count(), 1);
}

#[tokio::test]
async fn a_branch_is_made_without_touching_anything_else() {
    let field = Field::with(&[("a", "1\n"), ("d", "1\n")]).await;
    field.write("d", "dirty\n");
    let scene = Scene::of(field).await;
    let index = std::fs::read(scene.field.root.join(".git/index")).unwrap();
    let change = patch(&[("a", Some("1\n"), Some("2\n"))]);
    let record = scene.done("branch", &change).await;
    assert_eq!(record.place(), format!("commit {} on regreen/12345678", &record.commit().unwrap()[..7]));
    let git = async |words: &[&str]| scene.field.git(words).await;
    assert_eq!(git(&["show", "regreen/12345678:a"]).await, "2");
    assert_eq!(git(&["rev-parse", "regreen/12345678^"]).await, git(&["rev-parse", "HEAD"]).await);
    assert_eq!(scene.field.read("a"), b"1\n");
    assert_eq!(scene.status().await, " M d");
    assert_eq!(std::fs::read(scene.field.root.join(".git/index")).unwrap(), index);

    // The next commit of the same run goes on top of it.
    let (place, story) = (Land::Branch(None), story());
    let more = patch(&[("a", Some("2\n"), Some("3\n")), ("b", None, Some("1\n"))]);
    let tip = record.commit().unwrap().to_owned();
    let plan = Plan { onto: Some(&tip), ..scene.plan(&place, &more, &story) };
    let next = land(scene.repo.as_ref(), &scene.snapshots, &scene.field.root, &plan, &Heard::default()).await;
    let Landed::Done(next) = next.unwrap() else { panic!() };
    assert_eq!(git(&["rev-list", "--count", "regreen/12345678"]).await, "3");
    // Based on the old tip again: the branch is elsewhere now.
    let error = scene.land("branch", &change).await.unwrap_err();
    assert!(fault(&error).message.contains("exists and is elsewhere"), "{error}");

    assert_eq!(
        scene.back(&next, How::Reset).await.unwrap(),
        RolledBack::Reset { branch: "regreen/12345678".into(), commit: tip }
    );
    assert!(matches!(scene.back(&record, How::Revert).await.unwrap(), RolledBack::Reverted(_)));
    assert_eq!(git(&["diff", "HEAD", "regreen/12345678"]).await, "");
    let other = scene.done("branch=fix/x", &change).await;
    assert_eq!(scene.back(&other, How::Reset).await.unwrap(), RolledBack::Removed("fix/x".into()));
    assert_eq!(git(&["branch", "--list", "fix/x"]).await, "");
    assert_eq!(scene.status().await, " M d");

    let current = scene.land("branch=main", &change).await.unwrap_err();
    assert!(fault(&current).message.contains("current branch"), "{current}");
}

#[tokio::test]
async fn line_endings_are_committed_as_git_would() {
    let field = Field::with(&[("a.txt", "1\n"), ("keep", "1\r\n")]).await;
    field.git(&["config", "core.autocrlf", "true"]).await;
    std::fs::remove_file(field.root.join("a.txt")).unwrap();
    field.git(&["checkout", "-q", "a.txt"]).await;
    assert_eq!(field.read("a.txt"), b"1\r\n");
    let scene = Scene::of(field).await;
    let change =
        patch(&[("a.txt", Some("1\r\n"), Some("1\r\n2\r\n")), ("keep", Some("1\r\n"), Some("2\r\n"))]);
    let record = scene.done("commit", &change).await;
    let blob = |name: &str| vec!["cat-file".to_owned(), "blob".to_owned(), format!("HEAD:{name}")];
    for (name, expected) in [("a.txt", "1\n2"), ("keep", "2\r")] {
        let words = blob(name);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(scene.field.git(&words).await, expected, "{name}");
    }
    assert_eq!(scene.status().await, "");
    scene.back(&record, How::Reset).await.unwrap();
    assert_eq!(scene.field.read("a.txt"), b"1\r\n");
    assert_eq!(scene.status().await, "");
}

#[tokio::test]
async fn linked_worktrees_detached_heads_and_sparse_trees_work() {
    let field = Field::with(&[("a", "1\n"), ("in/x", "1\n"), ("out/y", "1\n")]).await;
    let linked = field.base().join("linked");
    field.git(&["worktree", "add", "-q", "-b", "side", linked.to_str().unwrap()]).await;
    let mut field = field;
    let main = std::mem::replace(&mut field.root, linked.clone());
    let scene = Scene::of(field).await;
    let change = patch(&[("a", Some("1\n"), Some("2\n"))]);
    let record = scene.done("commit", &change).await;
    assert_eq!(scene.status().await, "");
    assert_eq!(scene.field.git_in(&main, &["show", "side:a"]).await, "2");
    assert_eq!(scene.field.git_in(&main, &["status", "--porcelain"]).await, "");
    scene.back(&record, How::Reset).await.unwrap();
    // A branch that another worktree has checked out is not moved under it.
    let error = scene.land("branch=main", &change).await.unwrap_err();
    assert!(fault(&error).message.contains("checked out in a worktree"), "{error}");

    let Scene { field, .. } = scene;
    field.git(&["checkout", "-q", "--detach"]).await;
    field.git(&["sparse-checkout", "set", "--cone", "--sparse-index", "in"]).await;
    assert!(!field.root.join("out").exists());
    let scene = Scene::of(field).await;
    let record = scene.done("commit", &change).await;
    assert_eq!(scene.status().await, "");
    assert_eq!(scene.field.git(&["show", "--format=", "--name-only", "HEAD"]).await, "a");
    assert!(!scene.field.root.join("out").exists());
    scene.back(&record, How::Revert).await.unwrap();
    assert_eq!(scene.status().await, "");
}

#[tokio::test]
async fn places_that_cannot_take_a_commit_say_so() {
    let plain = Field::bare().await;
    plain.write("a", "1");
    let scene = Scene::of(plain).await;
    let change = patch(&[("a", Some("1"), Some("2"))]);
    for land in ["commit", "branch"] {
        assert!(fault(&scene.land(land, &change).await.unwrap_err()).message.contains("no git repository"));
    }
    let record = scene.done("worktree", &change).await;
    assert_eq!(scene.field.read("a"), b"2");
    assert_eq!(scene.back(&record, How::Revert).await.unwrap(), RolledBack::Files(1));

    let unborn = Field::bare().await;
    unborn.git(&["init", "-q"]).await;
    unborn.write("a", "1");
    let scene = Scene::of(unborn).await;
    assert!(fault(&scene.land("commit", &change).await.unwrap_err()).message.contains("no commit yet"));
    scene.done("worktree", &change).await;
    assert_eq!(scene.field.git(&["show", "refs/regreen/backup/run-12345678:a"]).await, "1");
    let inside = patch(&[("sub/.GIT/config", None, Some("x"))]);
    let scene = Scene::of(Field::with(&[]).await).await;
    assert_eq!(fault(&scene.land("worktree", &inside).await.unwrap_err()).exit, Exit::Policy);
}

#[tokio::test]
async fn an_interrupted_landing_is_finished_or_undone() {
    let three = [("a", Some("1"), Some("2")), ("b", Some("1"), None), ("c/d", None, Some("2"))];
    let change = patch(&three);
    for land in ["worktree", "commit"] {
        for written in 0..=3usize {
            let scene = Scene::of(Field::with(&[("a", "1"), ("b", "1")]).await).await;
            let (place, story) = (land.parse::<Land>().unwrap(), story());
            let heard = Heard { fail: true, ..Heard::default() };
            let plan = scene.plan(&place, &change, &story);
            let root = &scene.field.root;
            super::land(scene.repo.as_ref(), &scene.snapshots, root, &plan, &heard).await.unwrap_err();
            let record = heard.records.lock().unwrap()[0].clone();
            // Dead before anything happened.
            assert_eq!(recover(scene.repo.as_ref(), root, &record).await.unwrap(), Recovered::Nothing);
            assert_eq!(scene.status().await, "");
            // Dead after the ref and some of the files, with a temporary left behind.
            if let Moves::Current { reference, old, new } = &record.moved {
                scene.repo.as_ref().unwrap().move_ref(reference, Some(old), new, "x").await.unwrap();
            }
            patch(&three[..written]).apply_beneath(root).unwrap();
            scene.field.write(".regreen-0123456789abcdef0123456789abcdef", "half");
            let recovered = recover(scene.repo.as_ref(), root, &record).await.unwrap();
            if land == "worktree" && written == 0 {
                assert_eq!(recovered, Recovered::Nothing);
                assert_eq!(scene.status().await, "");
                continue;
            }
            assert_eq!(recovered, Recovered::Completed, "{land} {written}");
            assert!(change.conflicts(root).len() == 3 && change.inverse().conflicts(root).is_empty());
            let expected = if land == "commit" { "" } else { " M a\n D b\n?? c/" };
            assert_eq!(scene.status().await, expected, "{land} {written}");
            assert_eq!(recover(scene.repo.as_ref(), root, &record).await.unwrap(), Recovered::Completed);
            scene.back(&record, How::Reset).await.unwrap();
            assert_eq!(scene.status().await, "");
            assert_eq!(scene.snapshots.current_tree().await.unwrap(), scene.base.snapshot.tree);
        }
    }
}

#[tokio::test]
async fn edits_after_a_crash_are_kept() {
    let change =
        patch(&[("a", Some("1"), Some("2")), ("b", Some("1"), Some("2")), ("c", Some("1"), Some("2"))]);
    for land in ["worktree", "commit"] {
        let scene = Scene::of(Field::with(&[("a", "1"), ("b", "1"), ("c", "1")]).await).await;
        let record = scene.done(land, &change).await;
        // As if it had died after the first file, and the user edited the second.
        scene.field.write("b", "mine");
        scene.field.write("c", "1");
        let recovered = recover(scene.repo.as_ref(), &scene.field.root, &record).await.unwrap();
        assert_eq!(recovered, Recovered::RolledBack { left: vec![path("b")] });
        assert_eq!(scene.status().await, " M b", "{land}");
        assert_eq!((scene.field.read("a"), scene.field.read("b")), (b"1".to_vec(), b"mine".to_vec()));
        assert_eq!(scene.field.git(&["rev-parse", "HEAD"]).await, scene.base.head.clone().unwrap());
    }
}

#[tokio::test]
async fn a_landing_that_fails_leaves_everything_as_it_was() {
    let scene = Scene::of(Field::with(&[("a", "1"), (".gitignore", "x\n")]).await).await;
    // Something ignored is in the way of a file: only the write itself finds out under `commit`'s CAS.
    scene.field.write("x/y", "folder");
    let change = patch(&[("a", Some("1"), Some("2")), ("x", None, Some("file"))]);
    match scene.land("commit", &change).await {
        Ok(Landed::Moved { files }) => assert_eq!(files, ["x"]),
        other => panic!("{other:?}"),
    }
    assert_eq!(scene.status().await, "");
    assert_eq!(scene.field.read("a"), b"1");
}

#[tokio::test]
async fn a_hostile_repository_runs_nothing_while_landing() {
    for land in ["worktree", "commit", "branch"] {
        let field = Field::with(&[("a.txt", "1\n")]).await;
        let sentinel = arm(&field).await;
        let scene = Scene::of(field).await;
        let change = patch(&[("a.txt", Some("1\n"), Some("2\n"))]);
        match scene.land(land, &change).await {
            Ok(Landed::Done(record)) => {
                assert_eq!(land, "worktree");
                scene.back(&record, How::Revert).await.unwrap();
            }
            other => assert!(fault(&other.unwrap_err()).message.contains("filter `evil`")),
        }
        // Without the filter the commit is made, hooks or no hooks.
        std::fs::write(scene.field.root.join(".git/info/attributes"), "* diff=evil merge=evil\n").unwrap();
        let record = scene.done(land, &change).await;
        recover(scene.repo.as_ref(), &scene.field.root, &record).await.unwrap();
        scene.back(&record, How::Revert).await.unwrap();
        assert!(!sentinel.exists(), "{land} ran {}", std::fs::read_to_string(&sentinel).unwrap_or_default());
    }
}

#[test]
fn subjects_follow_the_repositorys_style() {
    let subjects = |text: &str| -> Vec<String> { text.split('|').map(str::to_owned).collect() };
    let conventional = subjects("feat(api): add x|fix: y|chore: z|Merge branch");
    let small = subjects("add x|remove y|fix z");
    let first = |subject: &str, subjects: &[String]| {
        let story = Story { subject: subject.into(), ..story() };
        story.render("r", subjects).lines().next().unwrap().to_owned()
    };
    assert_eq!(first("Import the name.", &conventional), "fix: import the name");
    assert_eq!(first("Import the name", &small), "import the name");
    assert_eq!(first("import the name", &[]), "Import the name");
    assert_eq!(first("JSON is read again", &conventional), "fix: JSON is read again");
    assert_eq!(first("parse_it is called", &[]), "parse_it is called");
    assert_eq!(first("a\u{1b}[31m\nRegreen-Run: x", &[]), "A [31m Regreen-Run: x");
    assert_eq!(first("", &[]), "Repair what was red");
    let long = first(&"word ".repeat(40), &conventional);
    assert!(long.chars().count() <= 72 && long.ends_with("word…"), "{long}");
    let endless = story().render("r", &[]);
    assert!(endless.lines().all(|line| line.chars().count() <= 80));
}

#[tokio::test]
async fn a_rollback_that_fails_changes_nothing_and_is_done_by_the_next() {
    for how in [How::Revert, How::Reset] {
        let scene = Scene::of(Field::with(&[("a", "1"), ("b", "1")]).await).await;
        let change = patch(&[("a", Some("1"), Some("2")), ("b", Some("1"), None), ("c", None, Some("2"))]);
        let record = scene.done("commit", &change).await;
        let lock = scene.field.root.join(".git/index.lock");
        for _ in 0..2 {
            std::fs::write(&lock, "").unwrap();
            let error = scene.back(&record, how).await.unwrap_err();
            assert!(format!("{error:#}").contains("everything was put back"), "{error:#}");
            std::fs::remove_file(&lock).unwrap();
            assert_eq!(scene.field.git(&["rev-parse", "HEAD"]).await, record.commit().unwrap());
            assert_eq!(scene.status().await, "");
            assert_eq!(scene.field.read("a"), b"2");
        }
        let done = scene.back(&record, how).await.unwrap();
        assert!(matches!(done, RolledBack::Reverted(_) | RolledBack::Reset { .. }), "{done:?}");
        assert_eq!(scene.status().await, "");
        assert_eq!((scene.field.read("a"), scene.field.read("b")), (b"1".to_vec(), b"1".to_vec()));
        assert_eq!(scene.back(&record, how).await.unwrap(), RolledBack::Already);
    }
}

#[tokio::test]
async fn a_rollback_that_died_half_way_is_finished() {
    for how in [How::Revert, How::Reset] {
        for (index, files) in [(false, 0), (true, 0), (true, 1)] {
            let scene = Scene::of(Field::with(&[("a", "1"), ("b", "1")]).await).await;
            let change = patch(&[("a", Some("1"), Some("2")), ("b", Some("1"), Some("2"))]);
            let record = scene.done("commit", &change).await;
            let repo = scene.repo.as_ref().unwrap();
            let (old, new) = (scene.base.head.clone().unwrap(), record.commit().unwrap());
            // The ref first, then the index, then the files: dead after each of them.
            let to = match how {
                How::Reset => old,
                How::Revert => {
                    let tree = repo.resolve(&format!("{old}^{{tree}}")).await.unwrap().unwrap();
                    repo.commit_tree(&tree, &[new], "Revert").await.unwrap()
                }
            };
            repo.move_ref("refs/heads/main", Some(new), &to, "x").await.unwrap();
            if index {
                commit::update_index(repo, new, &to, &change).await.unwrap();
            }
            if files == 1 {
                scene.field.write("a", "1");
            }
            assert_eq!(scene.back(&record, how).await.unwrap(), RolledBack::Finished(2 - files), "{how:?}");
            assert_eq!(scene.status().await, "", "{how:?} {index} {files}");
            assert_eq!((scene.field.read("a"), scene.field.read("b")), (b"1".to_vec(), b"1".to_vec()));
            assert_eq!(scene.back(&record, how).await.unwrap(), RolledBack::Already);
            // What the user does later is no rest of the landing.
            scene.field.write("b", "mine");
            assert_eq!(scene.back(&record, how).await.unwrap(), RolledBack::Already);
            assert_eq!(scene.field.read("b"), b"mine");
        }
    }
}

#[tokio::test]
async fn a_landing_that_was_amended_is_reverted_by_a_commit() {
    let scene = Scene::of(Field::with(&[("a", "1")]).await).await;
    let record = scene.done("commit", &patch(&[("a", Some("1"), Some("2"))])).await;
    scene.field.git(&["commit", "-q", "--amend", "-m", "Better words"]).await;
    assert!(fault(&scene.back(&record, How::Reset).await.unwrap_err()).message.contains("another commit"));
    assert!(matches!(scene.back(&record, How::Revert).await.unwrap(), RolledBack::Reverted(_)));
    assert_eq!((scene.status().await, scene.field.read("a")), (String::new(), b"1".to_vec()));
}

#[tokio::test]
async fn landings_of_a_repository_take_turns() {
    for repository in [true, false] {
        let field = if repository { Field::with(&[("a", "1")]).await } else { Field::bare().await };
        field.write("a", "1");
        let scene = Scene::of(field).await;
        let change = patch(&[("a", Some("1"), Some("2"))]);
        let turn = turn::Turn::take(scene.repo.as_ref(), &scene.field.root).await.unwrap();
        let landing = scene.land("worktree", &change);
        tokio::pin!(landing);
        let waiting = tokio::time::timeout(std::time::Duration::from_secs(1), &mut landing).await;
        assert!(waiting.is_err() && scene.field.read("a") == b"1");
        drop(turn);
        let Landed::Done(record) = landing.await.unwrap() else { panic!() };
        assert_eq!(scene.field.read("a"), b"2");
        let turn = turn::Turn::take(scene.repo.as_ref(), &scene.field.root).await.unwrap();
        let back = scene.back(&record, How::Revert);
        tokio::pin!(back);
        assert!(tokio::time::timeout(std::time::Duration::from_secs(1), &mut back).await.is_err());
        drop(turn);
        assert_eq!(back.await.unwrap(), RolledBack::Files(1));
    }
}
