use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::process::{Invocation, run};

/// A hermetic place: a home with a git identity, a state folder and a work tree, and the real git.
pub(crate) struct Field {
    dir: tempfile::TempDir,
    pub root: PathBuf,
}

impl Field {
    /// A work tree without a repository.
    pub async fn bare() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        for name in ["home", "state", "tree"] {
            std::fs::create_dir(base.join(name)).unwrap();
        }
        std::fs::write(
            base.join("home/.gitconfig"),
            "[user]\n\tname = Ann\n\temail = ann@x.test\n[init]\n\tdefaultBranch = main\n",
        )
        .unwrap();
        Self { dir, root: base.join("tree") }
    }

    /// A repository with one commit of these files.
    pub async fn with(files: &[(&str, &str)]) -> Self {
        let field = Self::bare().await;
        field.git(&["init", "-q"]).await;
        for (path, text) in files {
            field.write(path, text);
        }
        field.git(&["add", "-A"]).await;
        field.git(&["commit", "-q", "-m", "First", "--allow-empty"]).await;
        field
    }

    pub fn base(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    pub fn state(&self) -> PathBuf {
        self.base().join("state")
    }

    pub fn environment(&self) -> Environment {
        let process = Environment::from_process();
        let home = self.base().join("home");
        let pairs = [
            ("PATH", process.get("PATH").unwrap_or("/usr/bin:/bin").to_owned()),
            ("HOME", home.to_str().unwrap().to_owned()),
            ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
        ];
        Environment::from_pairs(&self.root, pairs)
    }

    /// Plain git, as a person runs it, in the tree.
    pub async fn git(&self, words: &[&str]) -> String {
        self.git_in(&self.root, words).await
    }

    pub async fn git_in(&self, dir: &Path, words: &[&str]) -> String {
        let output = self.try_git(dir, words).await;
        assert_eq!(output.status, Some(0), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned()
    }

    pub async fn try_git(&self, dir: &Path, words: &[&str]) -> crate::process::Output {
        let environment = self.environment();
        let env = ["PATH", "HOME", "GIT_CONFIG_NOSYSTEM"];
        run(Invocation {
            argv: ["git"].iter().chain(words).map(|word| (*word).to_owned()).collect(),
            dir: Some(dir.to_owned()),
            env: env
                .iter()
                .map(|name| ((*name).to_owned(), environment.get(name).unwrap().to_owned()))
                .collect(),
            clear_env: true,
            stdin: None,
            timeout: Duration::from_secs(60),
            most_output: 1 << 20,
        })
        .await
        .unwrap()
    }

    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let place = self.root.join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, text).unwrap();
    }

    pub fn read(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.root.join(path)).unwrap()
    }

    pub async fn repo(&self) -> Repo {
        Repo::discover_with(&self.root, &self.environment()).await.unwrap().unwrap()
    }

    pub async fn snapshots(&self, repo: Option<&Repo>) -> Snapshots {
        Snapshots::open(&self.root, repo, &self.state(), &self.environment()).await.unwrap()
    }

    /// `path mode text` of a snapshot's files.
    async fn listing(&self, snapshots: &Snapshots, tree: &str) -> Vec<String> {
        let listed = snapshots.git().bytes(&["ls-tree", "-r", "-z", tree]).await.unwrap();
        let mut all = Vec::new();
        for (path, entry) in blobs::tree_entries(&listed) {
            let text = snapshots.git().bytes(&["cat-file", "blob", &entry.id]).await.unwrap();
            let path = String::from_utf8_lossy(&path).into_owned();
            all.push(format!("{path} {} {}", entry.mode, String::from_utf8_lossy(&text).escape_debug()));
        }
        all
    }
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

fn message(error: &anyhow::Error) -> String {
    let fault = error.downcast_ref::<Fault>().unwrap_or_else(|| panic!("no fault: {error:?}"));
    format!("{} / {}", fault.message, fault.hint.as_deref().unwrap_or(""))
}

#[tokio::test]
async fn repositories_are_found_from_wherever_one_is() {
    let field = Field::with(&[("a/b/c.txt", "1")]).await;
    let environment = field.environment();
    let repo = Repo::discover_with(&field.root.join("a/b"), &environment).await.unwrap().unwrap();
    assert_eq!(repo.root(), field.root);
    assert_eq!((repo.git_dir(), repo.common_dir()), (&*field.root.join(".git"), &*field.root.join(".git")));
    assert_eq!(repo.branch().await.unwrap().as_deref(), Some("refs/heads/main"));
    assert_eq!(repo.head().await.unwrap().unwrap(), field.git(&["rev-parse", "HEAD"]).await);
    assert_eq!(repo.identity().await.unwrap().name, "Ann");
    assert_eq!(repo.subjects(5).await.unwrap(), ["First"]);

    // A linked worktree.
    let linked = field.base().join("linked");
    field.git(&["worktree", "add", "-q", linked.to_str().unwrap()]).await;
    let other = Repo::discover_with(&linked, &environment).await.unwrap().unwrap();
    assert_eq!(other.root(), linked);
    assert_eq!(other.common_dir(), field.root.join(".git"));
    assert_ne!(other.git_dir(), other.common_dir());

    // Detached.
    field.git(&["checkout", "-q", "--detach"]).await;
    assert_eq!(repo.branch().await.unwrap(), None);
    assert!(repo.head().await.unwrap().is_some());
}

#[tokio::test]
async fn places_without_a_work_tree_are_told_apart() {
    let field = Field::bare().await;
    let environment = field.environment();
    assert!(Repo::discover_with(&field.root, &environment).await.unwrap().is_none());
    field.git(&["init", "-q"]).await;
    let unborn = field.repo().await;
    assert_eq!(unborn.head().await.unwrap(), None);
    assert_eq!(unborn.branch().await.unwrap().as_deref(), Some("refs/heads/main"));
    assert!(unborn.subjects(3).await.unwrap().is_empty());

    let inside = Repo::discover_with(&field.root.join(".git"), &environment).await.unwrap_err();
    assert!(message(&inside).contains("inside a .git folder"), "{inside:?}");
    let bare = field.base().join("bare.git");
    field.git(&["init", "-q", "--bare", bare.to_str().unwrap()]).await;
    let error = Repo::discover_with(&bare, &environment).await.unwrap_err();
    assert!(message(&error).contains("bare"), "{error:?}");

    field.git(&["config", "core.worktree", "/etc"]).await;
    let error = Repo::discover_with(&field.root, &environment).await.unwrap_err();
    assert!(message(&error).contains("work tree"), "{error:?}");
    std::fs::write(field.root.join(".git/config"), "[broken").unwrap();
    assert!(Repo::discover_with(&field.root, &environment).await.is_err());
}

#[tokio::test]
async fn somebody_elses_repository_is_explained() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let field = Field::with(&[("a", "1")]).await;
    for place in [field.root.clone(), field.root.join(".git")] {
        std::os::unix::fs::chown(place, Some(4242), None).unwrap();
    }
    let error = Repo::discover_with(&field.root, &field.environment()).await.unwrap_err();
    assert!(message(&error).contains("safe.directory"), "{error:?}");
}

#[tokio::test]
async fn a_snapshot_is_the_tree_byte_for_byte() {
    let field = Field::with(&[
        (".gitignore", "*.log\nout/\n"),
        (".gitattributes", "* text=auto eol=crlf\n*.id ident\n*.lfs filter=lfs\n"),
        ("clean.txt", "a\n"),
        ("dirty.txt", "a\n"),
        ("gone.txt", "a\n"),
        ("tracked.log", "never"),
        ("x.id", "$Id$\n"),
        ("y.lfs", "raw"),
    ])
    .await;
    field.write("crlf.txt", "1\r\n2\n");
    field.write("dirty.txt", b"a\xff\0b");
    field.write("new/deep/file", "n");
    field.write("ignored.log", "i");
    field.write("out/x", "i");
    field.write("tracked.log", "forced");
    field.write("x.id", "$Id: 1234 $\n");
    field.write("local", "i");
    field.write(".git/info/exclude", "/local\n");
    std::fs::remove_file(field.root.join("gone.txt")).unwrap();
    field.write("run.sh", "#!/bin/sh\n");
    std::fs::set_permissions(field.root.join("run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    symlink("/etc/passwd", field.root.join("link")).unwrap();
    field.git(&["add", "-f", "tracked.log"]).await;
    // A nested repository and a submodule are left alone.
    let nested = field.root.join("nested");
    std::fs::create_dir(&nested).unwrap();
    field.git_in(&nested, &["init", "-q"]).await;
    std::fs::write(nested.join("f"), "1").unwrap();

    let repo = field.repo().await;
    let snapshots = field.snapshots(Some(&repo)).await;
    let first = snapshots.take("r1").await.unwrap();
    let expected = [
        ".gitattributes 100644 * text=auto eol=crlf\\n*.id ident\\n*.lfs filter=lfs\\n",
        ".gitignore 100644 *.log\\nout/\\n",
        "clean.txt 100644 a\\n",
        "crlf.txt 100644 1\\r\\n2\\n",
        "dirty.txt 100644 a\u{fffd}\\0b",
        "link 120000 /etc/passwd",
        "new/deep/file 100644 n",
        "run.sh 100755 #!/bin/sh\\n",
        "tracked.log 100644 forced",
        "x.id 100644 $Id: 1234 $\\n",
        "y.lfs 100644 raw",
    ];
    assert_eq!(field.listing(&snapshots, &first.tree).await, expected);
    assert_eq!(snapshots.current_tree().await.unwrap(), first.tree);

    // Whatever changes, changes the tree; what is ignored does not.
    field.write("ignored.log", "other");
    assert_eq!(snapshots.current_tree().await.unwrap(), first.tree);
    std::fs::set_permissions(field.root.join("run.sh"), std::fs::Permissions::from_mode(0o644)).unwrap();
    field.write("crlf.txt", "1\n2\n");
    std::fs::remove_file(field.root.join("new/deep/file")).unwrap();
    let tree = snapshots.current_tree().await.unwrap();
    let changed = snapshots.changed(&first.tree, &tree).await.unwrap();
    assert_eq!(changed, ["crlf.txt", "new/deep/file", "run.sh"]);
}

#[tokio::test]
async fn snapshots_follow_every_kind_of_change() {
    let field = Field::with(&[("a", "1"), ("d/f", "1"), ("run", "1")]).await;
    let repo = field.repo().await;
    let snapshots = field.snapshots(Some(&repo)).await;
    let first = snapshots.take("r1").await.unwrap();
    std::fs::set_permissions(field.root.join("run"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::remove_dir_all(field.root.join("d")).unwrap();
    field.write("d", "a file now");
    field.write("b", "new");
    let second = snapshots.current_tree().await.unwrap();
    assert_eq!(snapshots.changed(&first.tree, &second).await.unwrap(), ["b", "d", "d/f", "run"]);
    // Same size, same second: seen all the same.
    for (text, at) in [("x", 0), ("y", 1), ("z", 2)] {
        field.write("b", text);
        let tree = snapshots.current_tree().await.unwrap();
        assert!(field.listing(&snapshots, &tree).await.contains(&format!("b 100644 {text}")), "{at}");
    }
    // A folder that became a link hides what was below it.
    std::fs::remove_file(field.root.join("d")).unwrap();
    symlink("/etc", field.root.join("d")).unwrap();
    let tree = snapshots.current_tree().await.unwrap();
    assert!(field.listing(&snapshots, &tree).await.contains(&"d 120000 /etc".to_owned()));
    // A damaged index is made anew, a stale lock goes.
    let private = std::fs::read_dir(field.state().join("snapshots")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(private.join("index"), "rubbish").unwrap();
    std::fs::write(private.join("index.lock"), "").unwrap();
    assert_eq!(snapshots.current_tree().await.unwrap(), tree);
    // The user's own index and objects know nothing of all this.
    assert_eq!(field.git(&["count-objects"]).await.split(' ').next(), Some("4"));
    assert_eq!(field.git(&["for-each-ref", "refs/regreen"]).await, "");
}

#[tokio::test]
async fn a_backup_in_the_repository_survives_the_private_folder() {
    let field = Field::with(&[("a", "1"), ("big", "same as committed")]).await;
    field.write("a", "dirty");
    field.write("new", "untracked");
    let repo = field.repo().await;
    let snapshots = field.snapshots(Some(&repo)).await;
    let snapshot = snapshots.take("r1").await.unwrap();
    snapshots.keep_in_repo(&snapshot, "refs/regreen/backup/r1").await.unwrap();
    snapshots.keep_in_repo(&snapshot, "refs/regreen/backup/r1").await.unwrap();
    std::fs::remove_dir_all(field.state()).unwrap();
    field.git(&["gc", "-q", "--prune=now"]).await;
    field.git(&["fsck", "--strict"]).await;
    assert_eq!(field.git(&["show", "refs/regreen/backup/r1:a"]).await, "dirty");
    assert_eq!(field.git(&["show", "refs/regreen/backup/r1:new"]).await, "untracked");
    assert_eq!(field.git(&["status", "--porcelain"]).await, " M a\n?? new");
}

#[tokio::test]
async fn objects_that_the_repository_loses_are_written_anew() {
    let field = Field::with(&[("a", "1"), ("b", "2"), ("d/c", "3")]).await;
    let repo = field.repo().await;
    let snapshots = field.snapshots(Some(&repo)).await;
    let first = snapshots.take("r1").await.unwrap();
    std::fs::remove_dir_all(field.root.join(".git/objects")).unwrap();
    std::fs::create_dir(field.root.join(".git/objects")).unwrap();
    field.write("b", "changed");
    let second = snapshots.take("r2").await.unwrap();
    assert_eq!(
        field.listing(&snapshots, &second.tree).await,
        ["a 100644 1", "b 100644 changed", "d/c 100644 3"]
    );
    assert_ne!(first.tree, second.tree);
}

#[tokio::test]
async fn folders_without_a_repository_are_snapshotted_too() {
    let field = Field::bare().await;
    field.write(".gitignore", "x\n");
    field.write("a/b", "1");
    field.write("x", "ignored");
    let snapshots = field.snapshots(None).await;
    let first = snapshots.take("r1").await.unwrap();
    assert_eq!(field.listing(&snapshots, &first.tree).await, [".gitignore 100644 x\\n", "a/b 100644 1"]);
    std::fs::remove_file(field.root.join("a/b")).unwrap();
    let second = snapshots.current_tree().await.unwrap();
    assert_eq!(snapshots.changed(&first.tree, &second).await.unwrap(), ["a/b"]);
    assert!(!field.root.join(".git").exists());
    snapshots.forget("r1").await.unwrap();
    snapshots.collect().await.unwrap();
}

#[tokio::test]
async fn submodules_and_conflicted_indexes_are_borne() {
    let field = Field::with(&[("a", "1\n")]).await;
    let other = Field::with(&[("s", "1")]).await;
    let url = other.root.to_str().unwrap();
    field.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", url, "sub"]).await;
    field.git(&["commit", "-q", "-m", "Add sub"]).await;
    field.git(&["checkout", "-q", "-b", "other"]).await;
    field.write("a", "2\n");
    field.git(&["commit", "-q", "-am", "Two"]).await;
    field.git(&["checkout", "-q", "main"]).await;
    field.write("a", "3\n");
    field.git(&["commit", "-q", "-am", "Three"]).await;
    field.write("sub/s", "dirty inside");
    let merge = field.repo().await.git().run(&["merge", "-q", "other"]).await.unwrap();
    assert_eq!(merge.status, Some(1));
    let repo = field.repo().await;
    let snapshots = field.snapshots(Some(&repo)).await;
    let tree = snapshots.current_tree().await.unwrap();
    let listing = field.listing(&snapshots, &tree).await;
    assert_eq!(listing.len(), 2, "{listing:?}");
    assert!(listing[1].starts_with("a 100644 <<<<<<<"), "{listing:?}");
    let inside = Repo::discover_with(&field.root.join("sub"), &field.environment()).await.unwrap().unwrap();
    assert_eq!(inside.root(), field.root.join("sub"));
}

#[tokio::test]
async fn sha256_repositories_work() {
    let field = Field::bare().await;
    field.git(&["init", "-q", "--object-format=sha256"]).await;
    field.write("a", "1");
    field.git(&["add", "a"]).await;
    field.git(&["commit", "-q", "-m", "x"]).await;
    let repo = field.repo().await;
    assert_eq!(repo.object_format(), "sha256");
    let snapshots = field.snapshots(Some(&repo)).await;
    let snapshot = snapshots.take("r1").await.unwrap();
    assert_eq!(snapshot.tree.len(), 64);
    snapshots.keep_in_repo(&snapshot, "refs/regreen/backup/r1").await.unwrap();
    let head = repo.head().await.unwrap().unwrap();
    repo.move_ref("refs/heads/new", None, &head, "x").await.unwrap();
}

#[tokio::test]
async fn proofs_are_attached_and_read_back() {
    let field = Field::with(&[("a", "1")]).await;
    let repo = field.repo().await;
    let head = repo.head().await.unwrap().unwrap();
    assert_eq!(repo.read_proof(&head).await.unwrap(), None);
    for proof in [json!({"base": "ä", "checks": [1]}), json!({"base": "second"})] {
        repo.attach_proof(&head, &proof).await.unwrap();
        assert_eq!(repo.read_proof(&head).await.unwrap(), Some(proof));
    }
    field.git(&["commit", "-q", "--allow-empty", "-m", "Next"]).await;
    let next = repo.head().await.unwrap().unwrap();
    assert_eq!(repo.read_proof(&next).await.unwrap(), None);
    // It travels with the ref, as a clone would fetch it.
    let clone = field.base().join("clone");
    field.git(&["clone", "-q", field.root.to_str().unwrap(), clone.to_str().unwrap()]).await;
    field.git_in(&clone, &["fetch", "-q", "origin", "refs/notes/regreen:refs/notes/regreen"]).await;
    let other = Repo::discover_with(&clone, &field.environment()).await.unwrap().unwrap();
    assert_eq!(other.read_proof(&head).await.unwrap(), Some(json!({"base": "second"})));
}

#[tokio::test]
async fn refs_move_only_from_where_they_are_expected() {
    let field = Field::with(&[("a", "1")]).await;
    let repo = field.repo().await;
    let first = repo.head().await.unwrap().unwrap();
    field.git(&["commit", "-q", "--allow-empty", "-m", "Next"]).await;
    let second = repo.head().await.unwrap().unwrap();
    repo.move_ref("refs/heads/x", None, &first, "t").await.unwrap();
    for (old, new) in [(None, &second), (Some(second.as_str()), &first)] {
        let error = repo.move_ref("refs/heads/x", old, new, "t").await.unwrap_err();
        assert!(error.downcast_ref::<RefMoved>().is_some(), "{error:?}");
    }
    repo.move_ref("refs/heads/x", Some(&first), &second, "t").await.unwrap();
    repo.tag("t/1", &first, "why").await.unwrap();
    repo.tag("t/1", &first, "why").await.unwrap();
    assert!(repo.tag("t/1", &second, "why").await.is_err());
    assert_eq!(field.git(&["cat-file", "-t", "t/1"]).await, "tag");
}

/// Everything of a repository's own configuration that names a program, each touching the sentinel.
pub(crate) async fn arm(field: &Field) -> PathBuf {
    let sentinel = field.base().join("sentinel");
    let script = field.base().join("evil.sh");
    let text = format!("#!/bin/sh\necho \"$0 $*\" >> {}\ncat\n", sentinel.display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let script = script.to_str().unwrap();
    let hooks = field.base().join("hooks");
    std::fs::create_dir_all(&hooks).unwrap();
    for place in [hooks.clone(), field.root.join(".git/hooks")] {
        std::fs::create_dir_all(&place).unwrap();
        for hook in [
            "pre-commit",
            "post-commit",
            "post-index-change",
            "reference-transaction",
            "post-checkout",
            "commit-msg",
            "prepare-commit-msg",
            "fsmonitor-watchman",
            "pre-auto-gc",
        ] {
            let _ = std::fs::remove_file(place.join(hook));
            symlink(script, place.join(hook)).unwrap();
        }
    }
    let attributes = "* filter=evil diff=evil merge=evil\n*.odd filter=ev=il\n";
    std::fs::write(field.root.join(".git/info/attributes"), attributes).unwrap();
    let config = format!(
        "[core]\n\tfsmonitor = {script}\n\thooksPath = {}\n\tpager = {script}\n\teditor = {script}\n\tsshCommand = {script}\n\
         [filter \"evil\"]\n\tclean = {script}\n\tsmudge = {script}\n\tprocess = {script}\n\trequired = true\n\
         [filter \"ev=il\"]\n\tclean = {script}\n\
         [diff]\n\texternal = {script}\n[diff \"evil\"]\n\ttextconv = {script}\n\tcommand = {script}\n\
         [merge \"evil\"]\n\tdriver = {script}\n\
         [gpg]\n\tprogram = {script}\n[commit]\n\tgpgSign = true\n[tag]\n\tgpgSign = true\n[log]\n\tshowSignature = true\n\
         [gpg \"openpgp\"]\n\tprogram = {script}\n[hook \"own\"]\n\tcommand = {script}\n\tevent = reference-transaction\n\
         [alias]\n\tstatus = !{script}\n[trailer \"x\"]\n\tcommand = {script}\n[credential]\n\thelper = !{script}\n",
        hooks.display()
    );
    let file = field.root.join(".git/config");
    let before = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, format!("{before}{config}")).unwrap();
    sentinel
}

#[tokio::test]
async fn nothing_of_a_hostile_repository_ever_runs() {
    let field = Field::with(&[("a.txt", "1\n"), ("b.odd", "1\n")]).await;
    let sentinel = arm(&field).await;
    // The trap is real: plain git falls into it.
    field.write("a.txt", "2\n");
    field.try_git(&field.root, &["status", "--porcelain"]).await;
    assert!(sentinel.exists(), "the sentinel is not armed");
    std::fs::remove_file(&sentinel).unwrap();

    let repo = field.repo().await;
    let snapshots = field.snapshots(Some(&repo)).await;
    field.write("b.odd", "2\n");
    field.write("new.txt", "3\n");
    let snapshot = snapshots.take("r1").await.unwrap();
    assert!(field.listing(&snapshots, &snapshot.tree).await.contains(&"b.odd 100644 2\\n".to_owned()));
    snapshots.keep_in_repo(&snapshot, "refs/regreen/backup/r1").await.unwrap();
    let head = repo.head().await.unwrap().unwrap();
    repo.subjects(3).await.unwrap();
    repo.attach_proof(&head, &json!(1)).await.unwrap();
    repo.tag("x/y", &head, "m").await.unwrap();
    repo.move_ref("refs/heads/z", None, &head, "r").await.unwrap();
    let tree = repo.resolve("HEAD^{tree}").await.unwrap().unwrap();
    let commit = repo.commit_tree(&tree, &[&head], "m").await.unwrap();
    repo.move_ref("refs/heads/main", Some(&head), &commit, "r").await.unwrap();
    let entry = repo.entry_at("HEAD", &path("a.txt")).await.unwrap();
    repo.set_index_entries(&[(&path("c.txt"), entry.as_ref())]).await.unwrap();
    repo.refresh_index().await.unwrap();
    let scratch = ScratchIndex::of(&repo, Some("HEAD")).await.unwrap();
    let file = crate::patch::FileState::text("x");
    let refused = scratch.put(&[(&path("a.txt"), Some(&file))]).await.unwrap_err();
    assert!(message(&refused).contains("filter `evil`"), "{refused:?}");
    if sentinel.exists() {
        panic!("ran: {}", std::fs::read_to_string(sentinel).unwrap());
    }
}

#[tokio::test]
async fn blobs_become_what_git_add_would_make_of_them() {
    let file = |text: &str| crate::patch::FileState::text(text);
    for (attributes, autocrlf, committed, text, expected) in [
        ("", "false", "a\n", "a\r\nb\r\n", "a\r\nb\r\n"),
        ("", "true", "a\n", "a\r\nb\r\n", "a\nb\n"),
        ("", "input", "a\n", "a\r\nb\r\n", "a\nb\n"),
        ("* text=auto\n", "false", "a\n", "a\r\nb\r\n", "a\nb\n"),
        ("* -text\n", "true", "a\n", "a\r\nb\r\n", "a\r\nb\r\n"),
        // What was committed with CRLF stays so under autocrlf, as `git add` has it.
        ("", "true", "a\r\n", "a\r\nb\r\n", "a\r\nb\r\n"),
    ] {
        let field = Field::with(&[(".gitattributes", attributes)]).await;
        let blob = field.base().join("blob");
        std::fs::write(&blob, committed).unwrap();
        let id = field.git(&["hash-object", "-w", "--no-filters", blob.to_str().unwrap()]).await;
        field.git(&["update-index", "--add", "--cacheinfo", &format!("100644,{id},f.txt")]).await;
        field.git(&["commit", "-q", "-m", "f"]).await;
        field.git(&["config", "core.autocrlf", autocrlf]).await;
        let repo = field.repo().await;
        let scratch = ScratchIndex::of(&repo, Some("HEAD")).await.unwrap();
        let target = path("f.txt");
        scratch.put(&[(&target, Some(&file(text)))]).await.unwrap();
        let entry = scratch.entries(&[&target]).await.unwrap()[0].clone().unwrap();
        let ours = repo.git().bytes(&["cat-file", "blob", &entry.id]).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&ours), expected, "{attributes:?} {autocrlf} {committed:?}");
        field.write("f.txt", text);
        field.git(&["add", "f.txt"]).await;
        assert_eq!(field.git(&["rev-parse", ":f.txt"]).await, entry.id, "git add differs");
    }
}

/// Each of these makes plain git run a program when it misses an object.
#[tokio::test]
async fn a_partial_clone_never_fetches() {
    for (name, remote) in [
        ("uploadpack", "url = OTHER\n\tuploadpack = \"touch SENTINEL; false\""),
        ("sshCommand", "url = ssh://host/x\n[core]\n\tsshCommand = \"touch SENTINEL; false\""),
        ("gitProxy", "url = git://host/x\n[core]\n\tgitProxy = SCRIPT"),
        ("ext", "url = \"ext::touch SENTINEL\""),
        ("vcs", "vcs = ext\n\turl = \"touch SENTINEL\""),
    ] {
        let field = Field::with(&[("a", "1\n")]).await;
        let other = Field::with(&[("b", "1\n")]).await;
        let (sentinel, script) = (field.base().join("sentinel"), field.base().join("evil.sh"));
        std::fs::write(&script, format!("#!/bin/sh\ntouch {}\n", sentinel.display())).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let remote = remote
            .replace("OTHER", other.root.to_str().unwrap())
            .replace("SENTINEL", sentinel.to_str().unwrap())
            .replace("SCRIPT", script.to_str().unwrap());
        let allowed: String = ["file", "ssh", "git", "ext"]
            .iter()
            .map(|name| format!("[protocol \"{name}\"]\n\tallow = always\n"))
            .collect();
        let own = std::fs::read_to_string(field.root.join(".git/config")).unwrap();
        let hostile = format!(
            "{own}[core]\n\trepositoryFormatVersion = 1\n[extensions]\n\tpartialClone = origin\n{allowed}\
             [remote \"origin\"]\n\tpromisor = true\n\t{remote}\n"
        );
        std::fs::write(field.root.join(".git/config"), hostile).unwrap();
        // The trap is real: plain git falls into it.
        field.try_git(&field.root, &["cat-file", "-e", &"1".repeat(40)]).await;
        assert!(sentinel.exists(), "{name} is not armed");
        std::fs::remove_file(&sentinel).unwrap();

        field.write("a", "dirty\n");
        let repo = field.repo().await;
        let snapshots = field.snapshots(Some(&repo)).await;
        let snapshot = snapshots.take("r1").await.unwrap();
        snapshots.keep_in_repo(&snapshot, "refs/regreen/backup/r1").await.unwrap();
        assert!(repo.git().bytes(&["cat-file", "blob", &"1".repeat(40)]).await.is_err());
        assert!(!sentinel.exists(), "{name} ran");
    }
}

#[tokio::test]
async fn what_is_included_is_overridden_too() {
    let field = Field::with(&[("a.txt", "1\n")]).await;
    let sentinel = arm(&field).await;
    let config = field.root.join(".git/config");
    std::fs::rename(&config, field.root.join(".git/more")).unwrap();
    std::fs::write(&config, "[include]\n\tpath = more\n[includeIf \"onbranch:main\"]\n\tpath = more\n")
        .unwrap();
    field.write("a.txt", "2\n");
    field.try_git(&field.root, &["status", "--porcelain"]).await;
    assert!(sentinel.exists(), "the sentinel is not armed");
    std::fs::remove_file(&sentinel).unwrap();
    let repo = field.repo().await;
    repo.refresh_index().await.unwrap();
    let head = repo.head().await.unwrap().unwrap();
    repo.move_ref("refs/heads/z", None, &head, "r").await.unwrap();
    assert!(!sentinel.exists());
}

#[tokio::test]
async fn hooks_defined_by_name_are_switched_off() {
    let field = Field::with(&[]).await;
    field.git(&["config", "hook.My.Own.command", "touch x"]).await;
    field.git(&["config", "hook.My.Own.event", "reference-transaction"]).await;
    let repo = field.repo().await;
    assert_eq!(repo.git().config("hook.My.Own.enabled").await.unwrap().as_deref(), Some("false"));
}

#[tokio::test]
async fn a_git_folder_that_belongs_to_another_tree_is_refused() {
    let victim = Field::with(&[("a", "1\n")]).await;
    let inside = victim.root.join(".git");
    let refused = async |field: &Field| {
        let error = Repo::discover_with(&field.root, &field.environment()).await.unwrap_err();
        assert!(message(&error).contains("does not know it"), "{error:?}");
    };
    let gitfile = Field::bare().await;
    gitfile.write(".git", format!("gitdir: {}\n", inside.display()));
    refused(&gitfile).await;
    let link = Field::bare().await;
    symlink(&inside, link.root.join(".git")).unwrap();
    refused(&link).await;
    let common = Field::with(&[("a", "1\n")]).await;
    common.write(".git/commondir", inside.to_str().unwrap());
    refused(&common).await;
    // A worktree entry of the victim's that is somebody else's.
    let linked = victim.base().join("linked");
    victim.git(&["worktree", "add", "-q", "-b", "side", linked.to_str().unwrap()]).await;
    let thief = Field::bare().await;
    thief.write(".git", std::fs::read_to_string(linked.join(".git")).unwrap());
    refused(&thief).await;

    // Their own are let in, and so is one whose repository is told of it.
    Repo::discover_with(&linked, &victim.environment()).await.unwrap().unwrap();
    let apart = Field::bare().await;
    let folder = apart.base().join("apart.git");
    apart.git(&["init", "-q", "--separate-git-dir", folder.to_str().unwrap()]).await;
    refused(&apart).await;
    apart.git(&["config", "core.worktree", apart.root.to_str().unwrap()]).await;
    assert_eq!(apart.repo().await.git_dir(), folder);
}

#[tokio::test]
async fn links_and_submodules_that_differ_from_the_commit_are_no_patch() {
    let field = Field::with(&[("a", "1")]).await;
    let other = Field::with(&[("s", "1")]).await;
    symlink("a", field.root.join("link")).unwrap();
    let url = other.root.to_str().unwrap();
    field.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", url, "sub"]).await;
    field.git(&["add", "-A"]).await;
    field.git(&["commit", "-q", "-m", "Link"]).await;
    let repo = field.repo().await;
    let snapshots = field.snapshots(Some(&repo)).await;
    let patch = async || snapshots.back_to_head(&snapshots.take("r").await.unwrap(), &repo).await;
    let refused = async |name: &str| {
        let error = patch().await.unwrap_err();
        assert!(message(&error).contains(&format!("as in the commit: {name} /")), "{error:?}");
    };
    field.write("a", "2");
    assert_eq!(patch().await.unwrap().patch.len(), 1);
    symlink("a", field.root.join("new")).unwrap();
    refused("new").await;
    std::fs::remove_file(field.root.join("new")).unwrap();
    std::fs::remove_file(field.root.join("link")).unwrap();
    refused("link").await;
    field.write("link", "a file");
    refused("link").await;
    std::fs::remove_file(field.root.join("link")).unwrap();
    symlink("a", field.root.join("link")).unwrap();
    assert_eq!(patch().await.unwrap().patch.len(), 1);
    let inside = field.root.join("sub");
    let words = ["-c", "user.name=x", "-c", "user.email=x", "commit", "-q", "--allow-empty", "-m", "Next"];
    field.git_in(&inside, &words).await;
    refused("sub").await;
    field.git(&["add", "sub"]).await;
    field.git_in(&inside, &["checkout", "-q", "HEAD^"]).await;
    refused("sub").await;
}

#[tokio::test]
async fn a_file_that_takes_our_own_output_is_no_part_of_the_tree() {
    use std::os::unix::fs::MetadataExt;
    let field = Field::with(&[("a", "1"), ("log", "committed")]).await;
    field.write("out", "one");
    let repo = field.repo().await;
    let of = |name: &str| {
        let meta = field.root.join(name).metadata().unwrap();
        (meta.dev(), meta.ino())
    };
    let snapshots = field.snapshots(Some(&repo)).await.leaving_out(&[of("out"), of("log")]);
    let first = snapshots.take("r").await.unwrap();
    assert_eq!(field.listing(&snapshots, &first.tree).await, ["a 100644 1"]);
    field.write("out", "two");
    field.write("log", "more");
    assert_eq!(snapshots.current_tree().await.unwrap(), first.tree);
    assert_eq!(snapshots.left_out().await.unwrap(), [Path::new("log"), Path::new("out")]);
    assert_eq!(snapshots.back_to_head(&first, &repo).await.unwrap(), Difference::default());
    field.write("a", "2");
    assert_ne!(snapshots.current_tree().await.unwrap(), first.tree);
}

#[tokio::test]
async fn a_huge_file_that_the_commit_lacks_is_hidden_and_a_huge_change_refused() {
    let field = Field::with(&[("a", "1")]).await;
    let repo = field.repo().await;
    let snapshots = field.snapshots(Some(&repo)).await;
    let back = async || snapshots.back_to_head(&snapshots.take("r").await.unwrap(), &repo).await;
    field.write("big", vec![b'x'; 17 << 20]);
    field.write("small", "mine");
    field.write("a", "2");
    let difference = back().await.unwrap();
    assert_eq!(difference.hidden, [path("big")]);
    let changed: Vec<&str> = difference.patch.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(changed, ["a", "small"]);
    field.write("a", vec![b'y'; 17 << 20]);
    let error = back().await.unwrap_err();
    assert!(message(&error).starts_with("17 MiB"), "{error:?}");
}

#[tokio::test]
async fn what_no_run_needs_any_more_is_collected_once_a_day() {
    let field = Field::with(&[("a", "1")]).await;
    let repo = field.repo().await;
    let snapshots = field.snapshots(Some(&repo)).await;
    field.write("new", "of run one");
    let first = snapshots.take("r1").await.unwrap();
    field.write("new", "of run two");
    let second = snapshots.take("r2").await.unwrap();
    let private = std::fs::read_dir(field.state().join("snapshots")).unwrap().next().unwrap().unwrap().path();
    let age = |days: u64| std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(days * 24 * 3600);
    for folder in std::fs::read_dir(private.join("objects")).unwrap().flatten() {
        for object in std::fs::read_dir(folder.path()).unwrap().flatten() {
            std::fs::set_permissions(object.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
            std::fs::File::options().write(true).open(object.path()).unwrap().set_modified(age(1)).unwrap();
        }
    }
    let is_there =
        async |id: &str| snapshots.git().run(&["cat-file", "-e", id]).await.unwrap().status == Some(0);
    std::fs::write(private.join("collected"), "").unwrap();
    snapshots.release("r1").await.unwrap();
    assert!(is_there(&first.commit).await, "collected today already");
    std::fs::File::options()
        .write(true)
        .open(private.join("collected"))
        .unwrap()
        .set_modified(age(1))
        .unwrap();
    snapshots.release("r1").await.unwrap();
    assert!(!is_there(&first.commit).await && !is_there(&first.tree).await);
    assert!(is_there(&second.commit).await && field.listing(&snapshots, &second.tree).await.len() == 2);
}

#[tokio::test]
async fn what_git_ignores_is_told_of_any_name_and_of_files_that_are_not_there() {
    let field =
        Field::with(&[(".gitignore", "*.log\n/out/\n"), ("kept.log.txt", ""), ("deep/a.txt", "")]).await;
    field.write("tracked.log", "");
    field.git(&["add", "-f", "tracked.log"]).await;
    let names = [":(top)x.log", ":!x", "*", "out/[a].txt", "deep/b.log", "deep/b.txt", "tracked.log", "-z"];
    let paths: Vec<RelPath> = names.iter().map(|name| RelPath::new(name).unwrap()).collect();
    let ignored = field.repo().await.ignored(paths.iter()).await.unwrap();
    let ignored: Vec<&str> = ignored.iter().map(RelPath::as_str).collect();
    assert_eq!(ignored, [":(top)x.log", "deep/b.log", "out/[a].txt"]);
    assert!(field.repo().await.ignored(std::iter::empty()).await.unwrap().is_empty());
}
