use super::*;
use crate::outcome::End;
use crate::patch::{Change, FileState};

struct Bench {
    _folder: tempfile::TempDir,
    base: PathBuf,
    root: PathBuf,
    scratch: PathBuf,
}

fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().canonicalize().unwrap();
    let (root, scratch) = (base.join("a tree: b,c"), base.join("scratch"));
    std::fs::create_dir(&root).unwrap();
    Bench { _folder: folder, base, root, scratch }
}

impl Bench {
    fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    async fn open(&self, mode: Mode) -> Workspaces {
        let sandbox = Sandbox::detect(mode).await.unwrap();
        Workspaces::open(&self.root, &self.scratch, sandbox, limits()).await.unwrap()
    }

    /// All files of the tree and their contents.
    fn picture(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let walk = ignore::WalkBuilder::new(&self.root).standard_filters(false).build();
        let files = walk.flatten().filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file()));
        files.map(|entry| (entry.path().to_owned(), std::fs::read(entry.path()).unwrap())).collect()
    }
}

fn limits() -> Limits {
    Limits {
        wall: Duration::from_secs(60),
        memory: 3 << 30,
        processes: 512,
        file_size: 1 << 30,
        disk: 16 << 30,
        disk_free: 0,
        output: 1 << 20,
    }
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

fn change(before: Option<&str>, after: Option<&str>) -> Change {
    Change { before: before.map(FileState::text), after: after.map(FileState::text) }
}

fn patch(changes: &[(&str, Option<&str>, Option<&str>)]) -> Patch {
    changes.iter().map(|(at, before, after)| (path(at), change(*before, *after))).collect()
}

fn shell(line: &str) -> Command {
    Command {
        argv: ["sh", "-c", line].map(String::from).to_vec(),
        dir: String::new(),
        env: BTreeMap::new(),
        timeout: Duration::from_secs(120),
        network: Network::None,
    }
}

async fn run(attempt: &Attempt, line: &str) -> (End, String) {
    let mut output = Vec::new();
    let ended = attempt.run(&shell(line), &mut |bytes| output.extend_from_slice(bytes)).await.unwrap();
    (ended.end, String::from_utf8_lossy(&output).into_owned())
}

/// With layers and with copies.
const MODES: [Mode; 2] = [Mode::Auto, Mode::Off];

#[tokio::test]
async fn a_patch_is_seen_inside_and_nowhere_else() {
    let bench = bench();
    for (at, text) in [("kept", "1"), ("changed", "old"), ("dir/removed", "x"), ("dir/other", "y")] {
        bench.write(at, text);
    }
    let before = bench.picture();
    for mode in MODES {
        let workspaces = bench.open(mode).await;
        assert_eq!(workspaces.mechanism() == Mechanism::Overlay, mode == Mode::Auto);
        let wanted = patch(&[
            ("changed", Some("old"), Some("new")),
            ("dir/removed", Some("x"), None),
            ("made/deep/file", None, Some("deep")),
        ]);
        let attempt = workspaces.attempt(&wanted).await.unwrap();
        assert_eq!(attempt.root() == bench.root, mode == Mode::Auto);
        let (end, output) = run(&attempt, "find . -type f | sort | xargs grep -H .").await;
        assert_eq!(output, "./changed:new\n./dir/other:y\n./kept:1\n./made/deep/file:deep\n");
        assert_eq!(end, End::Exited(0));
        assert!(attempt.harvest(&|_| true).unwrap().is_empty(), "commands changed nothing");
        // Taken back, one by one, after commands ran.
        attempt.apply(&wanted.inverse()).unwrap();
        let (_, output) = run(&attempt, "find . -type f | sort | xargs grep -H .").await;
        assert_eq!(output, "./changed:old\n./dir/other:y\n./dir/removed:x\n./kept:1\n");
        drop(attempt);
        assert_eq!(std::fs::read_dir(&bench.scratch).unwrap().count(), 0, "{mode:?}: nothing is left");
    }
    assert_eq!(bench.picture(), before);
}

#[tokio::test]
async fn what_commands_change_is_harvested() {
    let bench = bench();
    for (at, text) in [
        ("a", "a"),
        ("b", "b"),
        ("c", "c"),
        ("dir/one", "1"),
        ("dir/two", "2"),
        ("again/x", "x"),
        ("again/y", "y"),
    ] {
        bench.write(at, text);
    }
    let before = bench.picture();
    for mode in MODES {
        let workspaces = bench.open(mode).await;
        let attempt = workspaces
            .attempt(&patch(&[("a", Some("a"), Some("A")), ("mine", None, Some("m"))]))
            .await
            .unwrap();
        let line = "echo more >> a; rm b mine; touch c; echo new > new; echo skipped > target; chmod +x c; rm -r dir; rm -r again; \
                    mkdir again; echo z > again/z; ln -s /etc/passwd link; mkfifo fifo; mkdir -p sub/.git; echo x > sub/.git/config";
        assert_eq!(run(&attempt, line).await, (End::Exited(0), String::new()));
        let found = attempt.harvest(&|path| path.as_str() != "target").unwrap();
        let mut wanted = patch(&[
            ("a", Some("A"), Some("Amore\n")),
            ("b", Some("b"), None),
            ("mine", Some("m"), None),
            ("new", None, Some("new\n")),
            ("dir/one", Some("1"), None),
            ("dir/two", Some("2"), None),
            ("again/x", Some("x"), None),
            ("again/y", Some("y"), None),
            ("again/z", None, Some("z\n")),
        ]);
        let executable = FileState { executable: true, ..FileState::text("c") };
        wanted.set(path("c"), Change { before: Some(FileState::text("c")), after: Some(executable) });
        assert_eq!(found, wanted, "{mode:?}");
        // A file in the place of a folder that a command removed.
        attempt.apply(&patch(&[("dir/three", None, Some("3"))])).unwrap();
        assert_eq!(run(&attempt, "ls dir again").await.1, "again:\nz\n\ndir:\nthree\n");
    }
    assert_eq!(bench.picture(), before);
}

#[tokio::test]
async fn attempts_do_not_see_each_other() {
    let bench = bench();
    bench.write("file", "base");
    let workspaces = bench.open(Mode::Auto).await;
    let (one, two) = (Patch::new(), patch(&[("file", Some("base"), Some("two"))]));
    let (one, two) = (workspaces.attempt(&one).await.unwrap(), workspaces.attempt(&two).await.unwrap());
    run(&one, "echo one > file; echo x > mark").await;
    assert_eq!(run(&two, "cat file; ls").await.1, "twofile\n");
}

#[tokio::test]
async fn bad_patches_are_refused() {
    let bench = bench();
    bench.write("file", "text");
    bench.write("folder/x", "x");
    let outside = bench.base.join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("victim"), "safe").unwrap();
    std::os::unix::fs::symlink(&outside, bench.root.join("link")).unwrap();
    std::os::unix::fs::symlink(outside.join("victim"), bench.root.join("filelink")).unwrap();
    for mode in MODES {
        let workspaces = bench.open(mode).await;
        for bad in [
            patch(&[("file", Some("other"), Some("new"))]),
            patch(&[("file", None, Some("new"))]),
            patch(&[("gone", Some("x"), None)]),
            patch(&[("link/victim", None, Some("pwned"))]),
            patch(&[("filelink", None, Some("pwned"))]),
            patch(&[("file/below", None, Some("x"))]),
            patch(&[("folder", None, Some("x"))]),
            patch(&[(".git/config", None, Some("x"))]),
            patch(&[("sub/.GIT/hooks/pre-commit", None, Some("x"))]),
        ] {
            assert!(workspaces.attempt(&bad).await.is_err(), "{mode:?} {bad:?}");
        }
        // A link that a command put there meanwhile.
        let attempt = workspaces.attempt(&Patch::new()).await.unwrap();
        let line = format!("ln -s '{0}' late; rm -r folder; ln -s '{0}' folder", outside.display());
        assert_eq!(run(&attempt, &line).await.0, End::Exited(0));
        for at in ["late/victim", "folder/victim", "late"] {
            assert!(attempt.apply(&patch(&[(at, None, Some("pwned"))])).is_err(), "{mode:?} {at}");
            assert!(attempt.apply(&patch(&[("late/victim", Some("safe"), None)])).is_err(), "{mode:?}");
        }
    }
    assert_eq!(std::fs::read_to_string(outside.join("victim")).unwrap(), "safe");
}

#[tokio::test]
async fn a_helper_stays_until_the_attempt_goes() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let bench = bench();
    bench.write("file", "text");
    let workspaces = bench.open(Mode::Auto).await;
    let attempt = workspaces.attempt(&Patch::new()).await.unwrap();
    let mut helper = attempt.spawn(&shell("while read line; do cat $line; done")).await.unwrap();
    let (mut input, mut output) = (helper.take_input().unwrap(), helper.take_output().unwrap());
    assert_eq!(workspaces.busy(), Duration::ZERO, "nothing was asked yet");
    let asked = attempt.meter().begin();
    input.write_all(b"file\n").await.unwrap();
    let mut answer = [0; 4];
    output.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"text");
    drop(asked);
    assert!(workspaces.busy() > Duration::ZERO, "what it was asked for counts");
    // Other commands run meanwhile, on the same layers; what they write to new files is seen by both.
    assert_eq!(run(&attempt, "echo new > other; cat file").await, (End::Exited(0), "text".into()));
    input.write_all(b"other\n").await.unwrap();
    output.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"new\n");
    assert!(attempt.harvest(&|_| true).is_err(), "not while something runs");
    drop(attempt);
    assert_eq!(output.read(&mut answer).await.unwrap(), 0, "it is dead");
    assert_eq!(helper.wait().await.unwrap().end, End::Cancelled);
    assert_eq!(std::fs::read_dir(&bench.scratch).unwrap().count(), 0);
}

#[tokio::test]
async fn leftovers_are_swept_and_links_not_followed() {
    let bench = bench();
    bench.write("file", "text");
    let workspaces = bench.open(Mode::Auto).await;
    let live = workspaces.attempt(&Patch::new()).await.unwrap();
    let dead = bench.scratch.join("attempt-dead");
    std::fs::create_dir_all(dead.join("work/work")).unwrap();
    std::fs::write(dead.join("lock"), "").unwrap();
    std::os::unix::fs::symlink(&bench.root, dead.join("link")).unwrap();
    std::fs::set_permissions(dead.join("work/work"), std::os::unix::fs::PermissionsExt::from_mode(0o0))
        .unwrap();
    assert_eq!(Workspaces::sweep(&bench.scratch).unwrap(), 1);
    assert!(!dead.exists() && bench.root.join("file").exists());
    assert_eq!(run(&live, "cat file").await.1, "text");
    assert_eq!(Workspaces::sweep(&bench.base.join("never")).unwrap(), 0);
}

#[tokio::test]
async fn scratch_and_tree_do_not_lie_in_each_other() {
    let bench = bench();
    let sandbox = Sandbox::detect(Mode::Off).await.unwrap();
    let scratch = bench.root.join("scratch");
    let inside = Workspaces::open(&bench.root, &scratch, sandbox.clone(), limits());
    assert!(inside.await.is_err());
    assert!(Workspaces::open(&bench.root, &bench.base, sandbox, limits()).await.is_err());
}

async fn host(argv: &[&str], dir: &Path) -> Option<crate::process::Output> {
    crate::process::run(crate::process::Invocation {
        argv: argv.iter().map(ToString::to_string).collect(),
        dir: Some(dir.to_owned()),
        env: vec![("CARGO_TARGET_DIR".into(), dir.join("target").to_string_lossy().into_owned())],
        clear_env: false,
        stdin: None,
        timeout: Duration::from_secs(120),
        most_output: 1 << 20,
    })
    .await
    .ok()
    .filter(|output| output.status == Some(0))
}

#[tokio::test]
async fn a_build_stays_warm() {
    let bench = bench();
    bench.write("Cargo.toml", "[package]\nname = \"top\"\nedition = \"2021\"\n[dependencies]\nbelow = { path = \"below\" }\n[workspace]\n");
    bench.write("src/main.rs", "fn main() { println!(\"{}\", below::number()) }\n");
    bench.write("below/Cargo.toml", "[package]\nname = \"below\"\nedition = \"2021\"\n");
    bench.write("below/src/lib.rs", "pub fn number() -> i32 { 1 }\n");
    if host(&["cargo", "build", "--offline"], &bench.root).await.is_none() {
        eprintln!("skipped: no cargo for this user");
        return;
    }
    let before = bench.picture();
    let workspaces = bench.open(Mode::Auto).await;
    let attempt = workspaces.attempt(&Patch::new()).await.unwrap();
    let (end, output) = run(&attempt, "cargo build 2>&1").await;
    assert_eq!(end, End::Exited(0), "{output}");
    assert!(!output.contains("Compiling") && output.contains("Finished"), "{output}");

    let old = "fn main() { println!(\"{}\", below::number()) }\n";
    let new = "fn main() { println!(\"{}\", below::number() + 41) }\n";
    let attempt = workspaces.attempt(&patch(&[("src/main.rs", Some(old), Some(new))])).await.unwrap();
    let (end, output) = run(&attempt, "cargo build 2>&1 && target/debug/top").await;
    assert_eq!(end, End::Exited(0), "{output}");
    assert!(
        output.contains("Compiling top") && !output.contains("Compiling below") && output.ends_with("42\n"),
        "{output}"
    );
    assert_eq!(bench.picture(), before);
}

#[tokio::test]
async fn a_linked_worktree_is_readable_and_clean() {
    let bench = bench();
    let main = bench.base.join("main");
    std::fs::create_dir(&main).unwrap();
    std::fs::write(main.join("file"), "x").unwrap();
    std::fs::remove_dir(&bench.root).unwrap();
    let tree = bench.root.to_str().unwrap();
    for argv in [
        &["git", "init", "-q", "."][..],
        &["git", "config", "remote.origin.url", "https://u:canary@example.com/a"],
        &["git", "add", "."],
        &["git", "-c", "user.name=a", "-c", "user.email=b", "commit", "-qm", "first"],
        &["git", "worktree", "add", "-q", tree],
    ] {
        if host(argv, &main).await.is_none() {
            eprintln!("skipped: git does not work for this user");
            return;
        }
    }
    let workspaces = bench.open(Mode::Auto).await;
    let attempt = workspaces.attempt(&patch(&[("file", Some("x"), Some("y"))])).await.unwrap();
    let (end, output) = run(
        &attempt,
        "git status --short; git log --format=%s; git config remote.origin.url; git commit -qam no",
    )
    .await;
    assert_eq!(end, End::Exited(128), "{output}");
    assert!(output.starts_with(" M file\nfirst\nhttps://example.com/a\n"), "{output}");
}

#[tokio::test]
async fn copies_are_confined_at_the_same_path() {
    let bench = bench();
    for at in ["file", "gone", "sub/node_modules/dep/index.js", ".git/HEAD", ".git/objects/x", ".git/config"]
    {
        bench.write(at, "text");
    }
    std::os::unix::fs::symlink("file", bench.root.join("link")).unwrap();
    let before = bench.picture();
    let opened = bench.open(Mode::Auto).await;
    let base = Base {
        root: bench.root.clone(),
        scratch: bench.scratch.clone(),
        sandbox: opened.0.sandbox.clone(),
        limits: limits(),
        mechanism: Mechanism::Copy,
        read_only: vec![],
        busy: Busy::default(),
        prepared: OnceLock::new(),
        own: Mutex::default(),
        hidden: Mutex::default(),
    };
    let workspaces = Workspaces(Arc::new(base));
    let attempt = workspaces.attempt(&patch(&[("gone", Some("text"), None)])).await.unwrap();
    assert_eq!(attempt.root(), bench.root);
    let modified = std::fs::metadata(bench.root.join("file")).unwrap();
    let line = "pwd; ls; cat sub/node_modules/dep/index.js .git/HEAD link; stat -c %Y file; \
                for f in .git/x sub/node_modules/x; do (echo x > $f) 2>/dev/null && echo wrote $f; done; echo more >> file; echo n > new";
    let (end, output) = run(&attempt, line).await;
    let time = std::os::unix::fs::MetadataExt::mtime(&modified);
    let wanted = format!("{}\nfile\nlink\nsub\ntexttexttext{time}\n", bench.root.display());
    assert_eq!((end, output), (End::Exited(0), wanted));
    let found = attempt.harvest(&|_| true).unwrap();
    assert_eq!(found, patch(&[("file", Some("text"), Some("textmore\n")), ("new", None, Some("n\n"))]));
    drop(attempt);
    assert_eq!(bench.picture(), before);
    assert_eq!(std::fs::read_dir(&bench.scratch).unwrap().count(), 0);
}

#[tokio::test]
async fn root_works_as_the_owner_of_the_tree() {
    use std::os::unix::fs::{MetadataExt, chown};
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let bench = bench();
    for at in ["file", "dir/inner", "dir/gone"] {
        bench.write(at, "text");
    }
    for at in ["", "file", "dir", "dir/inner", "dir/gone"] {
        chown(bench.root.join(at), Some(4321), Some(4321)).unwrap();
    }
    let workspaces = bench.open(Mode::Auto).await;
    assert_eq!(workspaces.mechanism(), Mechanism::Overlay);
    let attempt = workspaces.attempt(&patch(&[("dir/new", None, Some("n"))])).await.unwrap();
    let line = "id -u; echo more >> dir/new; echo more >> dir/inner; rm dir/gone; echo x > ~/x; echo x > $REGREEN_REPORTS/x; stat -c %u . dir/new /proc/self/stat";
    assert_eq!(run(&attempt, line).await, (End::Exited(0), "4321\n4321\n4321\n4321\n".into()));
    let found = attempt.harvest(&|_| true).unwrap();
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(std::fs::metadata(attempt.reports().join("x")).unwrap().uid(), 4321);
}

const INSTALL: &str = "mkdir -p node_modules/dep src && echo dep > node_modules/dep/index.js && echo spoilt > src/own.js && rm lock";

#[tokio::test]
async fn what_a_setup_made_lies_below_later_attempts_and_is_kept_for_the_next_run() {
    let bench = bench();
    bench.write("src/own.js", "own\n");
    bench.write("lock", "1\n");
    let before = bench.picture();
    let cache = bench.base.join("layers");
    let first = bench.open(Mode::Auto).await;
    assert!(!first.reuse(&cache, "key").await.unwrap());
    let setup = first.attempt(&Patch::new()).await.unwrap();
    assert_eq!(run(&setup, INSTALL).await.0, End::Exited(0));
    first.keep(setup, &cache, "key", false).await.unwrap();
    let second = bench.open(Mode::Auto).await;
    assert!(!second.is_prepared());
    assert!(second.reuse(&cache, "key").await.unwrap());
    for workspaces in [&first, &second] {
        assert!(workspaces.is_prepared());
        let changes = patch(&[("src/own.js", Some("own\n"), Some("patched\n")), ("lock", Some("1\n"), None)]);
        let attempt = workspaces.attempt(&changes).await.unwrap();
        let seen =
            run(&attempt, "cat node_modules/dep/index.js src/own.js; ls lock; rm -r node_modules").await;
        assert!(seen.1.starts_with("dep\npatched\n"), "{seen:?}");
        assert!(seen.1.contains("lock"), "{seen:?}");
        // One attempt's removal is nothing to the next, and the tree's own files are as they were.
        let fresh = workspaces.attempt(&Patch::new()).await.unwrap();
        let seen = run(&fresh, "cat node_modules/dep/index.js src/own.js lock").await;
        assert_eq!(seen, (End::Exited(0), "dep\nown\n1\n".into()));
    }
    assert_eq!(bench.picture(), before);
}

#[tokio::test]
async fn without_layers_a_setup_counts_for_its_own_run() {
    let bench = bench();
    bench.write("src/own.js", "own\n");
    bench.write("lock", "1\n");
    let cache = bench.base.join("layers");
    let workspaces = bench.open(Mode::Off).await;
    let setup = workspaces.attempt(&Patch::new()).await.unwrap();
    assert_eq!(
        run(&setup, "mkdir -p node_modules && echo dep > node_modules/index.js").await.0,
        End::Exited(0)
    );
    workspaces.keep(setup, &cache, "key", false).await.unwrap();
    let attempt = workspaces.attempt(&Patch::new()).await.unwrap();
    assert_eq!(
        run(&attempt, "cat node_modules/index.js src/own.js").await,
        (End::Exited(0), "dep\nown\n".into())
    );
    drop(attempt);
    assert!(!cache.exists());
    drop(workspaces);
    assert_eq!(Workspaces::sweep(&bench.scratch).unwrap(), 0, "the copy outlived its run");
}

#[tokio::test]
async fn what_an_attempt_had_from_a_patch_is_nothing_that_its_setup_made() {
    let bench = bench();
    let tree = [
        ("own", "own\n"),
        ("out", "out\n"),
        ("hidden", "hidden\n"),
        ("vendor/lib", "lib\n"),
        ("vendor/out", "1\n"),
    ];
    tree.iter().for_each(|(path, text)| bench.write(path, text));
    let before = bench.picture();
    for mode in [Mode::Auto, Mode::Off] {
        let cache = bench.base.join(format!("layers {mode:?}"));
        let workspaces = bench.open(mode).await;
        workspaces.hide(&[path("hidden")]);
        let base = patch(&[
            ("gone", None, Some("gone\n")),
            ("far/away/gone", None, Some("gone\n")),
            ("far/gone", None, Some("gone\n")),
            ("app/lock", None, Some("lock\n")),
            ("link/gone", None, Some("gone\n")),
            ("own", Some("own\n"), Some("patched\n")),
            ("out", Some("out\n"), None),
            ("vendor/lib", Some("lib\n"), Some("patched\n")),
            ("vendor/out", Some("1\n"), None),
            ("vendor/gone", None, Some("gone\n")),
        ]);
        let setup = workspaces.attempt(&base).await.unwrap();
        // A link in place of a folder must not lead out of the layer.
        let outside = bench.base.join("outside");
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::write(outside.join("gone"), "precious").unwrap();
        let line = format!(
            "mkdir app/node_modules && echo dep > app/node_modules/dep && echo made > vendor/made && rm -r link && ln -s '{}' link",
            outside.display()
        );
        assert_eq!(run(&setup, &line).await, (End::Exited(0), String::new()));
        workspaces.keep(setup, &cache, "key", false).await.unwrap();
        workspaces.hide(&[]);
        let attempt = workspaces.attempt(&Patch::new()).await.unwrap();
        let seen =
            run(&attempt, "find . -type f | sort; cat own out hidden vendor/lib vendor/out; ls -d far").await;
        assert!(
            seen.1.starts_with(
                "./app/node_modules/dep\n./hidden\n./out\n./own\n./vendor/lib\n./vendor/made\n./vendor/out\nown\nout\nhidden\nlib\n1\n"
            ),
            "{mode:?}: {seen:?}"
        );
        assert_ne!(seen.0, End::Exited(0), "{mode:?}: an empty folder is left");
        assert_eq!(attempt.harvest(&|_| true).unwrap(), Patch::new(), "{mode:?}");
        assert_eq!(std::fs::read_to_string(outside.join("gone")).unwrap(), "precious");
    }
    assert_eq!(bench.picture(), before);
}

#[tokio::test]
async fn folders_of_the_host_are_shown_where_the_user_says_so() {
    let bench = bench();
    let data = bench.base.join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("model.bin"), "weights").unwrap();
    let line = format!("cat '{0}/model.bin'; echo x > '{0}/new' && echo written", data.display());

    let hidden = bench.open(Mode::Auto).await.attempt(&Patch::new()).await.unwrap();
    assert!(!run(&hidden, &line).await.1.contains("weights"));
    drop(hidden);
    // What holds the tree, and what is not there, is left out.
    let folders = [data.clone(), bench.base.clone(), bench.base.join("nowhere")];
    let shown = bench.open(Mode::Auto).await.showing(&folders).attempt(&Patch::new()).await.unwrap();
    let (_, said) = run(&shown, &line).await;
    assert!(said.contains("weights") && !said.contains("written"), "{said}");
    assert!(!data.join("new").exists());
}

#[tokio::test]
async fn hidden_files_are_not_seen_and_are_no_change() {
    let bench = bench();
    bench.write("data/huge", "1");
    bench.write("a", "1");
    let before = bench.picture();
    for mode in [Mode::Auto, Mode::Off] {
        let workspaces = bench.open(mode).await;
        workspaces.hide(&[path("data/huge"), path("gone")]);
        let attempt = workspaces.attempt(&Patch::new()).await.unwrap();
        let ended = attempt.run(&shell("test ! -e data/huge && test -e a"), &mut |_| {}).await.unwrap();
        assert_eq!(ended.end, crate::outcome::End::Exited(0));
        assert_eq!(attempt.harvest(&|_| true).unwrap(), Patch::new());
        drop(attempt);
        workspaces.hide(&[]);
        let attempt = workspaces.attempt(&Patch::new()).await.unwrap();
        let ended = attempt.run(&shell("test -e data/huge"), &mut |_| {}).await.unwrap();
        assert_eq!(ended.end, crate::outcome::End::Exited(0));
    }
    assert_eq!(bench.picture(), before);
}
