use super::*;
use crate::patch::{Change, FileState, RelPath, Tree};
use crate::store::{NewEvent, NewRun, Status};

fn patch(changes: &[(&str, Option<&str>, Option<&str>)]) -> Patch {
    let file = |text: &str| FileState::text(text);
    let change = |(at, before, after): &(&str, Option<&str>, Option<&str>)| {
        (RelPath::new(at).unwrap(), Change { before: before.map(file), after: after.map(file) })
    };
    changes.iter().map(change).collect()
}

/// Learns `before` → `after` and fits it to `now`.
fn fitted(before: &str, after: &str, now: &str) -> Result<String, String> {
    let recipe = Recipe::of(&patch(&[("f", Some(before), Some(after))])).unwrap();
    let back: Recipe = serde_json::from_str(&serde_json::to_string(&recipe).unwrap()).unwrap();
    assert_eq!(back, recipe);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("f"), now).unwrap();
    let nothing = Patch::new();
    let patch = recipe.fit(&Tree { root: dir.path(), patch: &nothing })?;
    let change = patch.get(&RelPath::new("f").unwrap()).unwrap();
    assert_eq!(change.before.as_ref().unwrap().as_text(), Some(now));
    Ok(change.after.as_ref().unwrap().as_text().unwrap().to_owned())
}

#[test]
fn a_recipe_follows_lines_that_moved() {
    let (before, after) = ("1\n2\n3\n4\nbad\n6\n7\n8\n9\n", "1\n2\n3\n4\ngood\n6\n7\n8\n9\n");
    assert_eq!(fitted(before, after, before).unwrap(), after);
    assert_eq!(
        fitted(before, after, "x\ny\n2\n3\n4\nbad\n6\n7\n8\n").unwrap(),
        "x\ny\n2\n3\n4\ngood\n6\n7\n8\n"
    );
    // Context that changed is given up line by line.
    assert_eq!(fitted(before, after, "X\n4\nbad\n6\nY\n").unwrap(), "X\n4\ngood\n6\nY\n");
    assert_eq!(fitted(before, after, "X\nbad\nY").unwrap(), "X\ngood\nY");
    assert!(fitted(before, after, "1\n2\n").unwrap_err().contains("not there any more"));
    assert!(fitted(before, after, after).unwrap_err().contains("not there any more"));
    // Two places: the nearer one, and none where they are equally near.
    assert_eq!(fitted("a\nbad\n", "a\ngood\n", "a\nbad\n\n\na\nbad\n").unwrap(), "a\ngood\n\n\na\nbad\n");
    let twice = fitted("1\n2\nbad\n4\n5\n", "1\n2\ngood\n4\n5\n", "bad\nx\ny\nz\nbad\n");
    assert!(twice.unwrap_err().contains("more than once"));
}

#[test]
fn insertions_ends_of_line_and_several_hunks_are_kept() {
    assert_eq!(fitted("a\nb\n", "a\nnew\nb\n", "0\na\nb\n").unwrap(), "0\na\nnew\nb\n");
    assert_eq!(fitted("a\r\nbad\r\n", "a\r\ngood\r\n", "x\r\na\r\nbad\r\n").unwrap(), "x\r\na\r\ngood\r\n");
    assert_eq!(fitted("a\nbad", "a\ngood", "x\na\nbad").unwrap(), "x\na\ngood");
    let middle = "m\n".repeat(20);
    let (before, after) = (format!("A\n{middle}B\n"), format!("a\n{middle}b\n"));
    assert_eq!(fitted(&before, &after, &format!("0\n{before}9\n")).unwrap(), format!("0\n{after}9\n"));
    // With nothing but empty lines to go by it does not guess.
    assert!(fitted("", "new\n", "other\n").is_err());
}

#[test]
fn files_are_made_and_removed_only_where_that_fits() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let nothing = Patch::new();
    let tree = Tree { root, patch: &nothing };
    let made = patch(&[("new", None, Some("n"))]);
    let removed = patch(&[("old", Some("o"), None)]);
    let (make, remove) = (Recipe::of(&made).unwrap(), Recipe::of(&removed).unwrap());
    assert_eq!(make.fit(&tree).unwrap(), made);
    assert!(remove.fit(&tree).unwrap_err().contains("already"));
    std::fs::write(root.join("new"), "other").unwrap();
    std::fs::write(root.join("old"), "o").unwrap();
    assert!(make.fit(&tree).unwrap_err().contains("there already"));
    assert_eq!(remove.fit(&tree).unwrap(), removed);
    std::fs::write(root.join("old"), "edited").unwrap();
    assert!(remove.fit(&tree).unwrap_err().contains("not as it was"));

    let binary = Change { before: None, after: Some(FileState { bytes: vec![0xff], executable: false }) };
    assert!(Recipe::of(&[(RelPath::new("b").unwrap(), binary)].into_iter().collect()).is_none());
    assert!(Recipe::of(&Patch::new()).is_none());
}

#[test]
fn a_damaged_recipe_is_no_danger() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("f"), "a\nb\n").unwrap();
    let nothing = Patch::new();
    let tree = Tree { root: dir.path(), patch: &nothing };
    for hunk in [
        r#"{"line":18446744073709551615,"above":0,"below":0,"find":["b\n"],"instead":["c\n"]}"#,
        r#"{"line":0,"above":18446744073709551615,"below":9,"find":["b\n"],"instead":["c\n"]}"#,
        r#"{"line":0,"above":1,"below":1,"find":["b\n"],"instead":[]}"#,
        r#"{"line":0,"above":0,"below":0,"find":[],"instead":["c\n"]}"#,
    ] {
        let text = format!(r#"[{{"do":"edit","path":"f","hunks":[{hunk}]}}]"#);
        let recipe: Recipe = serde_json::from_str(&text).unwrap();
        let _ = recipe.fit(&tree);
    }
    let escape = r#"[{"do":"create","path":"../f","text":"x","executable":false}]"#;
    assert!(serde_json::from_str::<Recipe>(escape).is_err());
}

/// A clock that a test sets, from the start of 2026.
#[derive(Debug, Default)]
struct Hours(std::sync::atomic::AtomicI64);

impl crate::clock::Clock for Hours {
    fn now(&self) -> Timestamp {
        let hours = self.0.load(std::sync::atomic::Ordering::SeqCst);
        Timestamp::from_second(1_767_225_600 + hours * 3600).unwrap()
    }
}

async fn store(dir: &tempfile::TempDir) -> Store {
    store_at(dir, std::sync::Arc::new(Hours::default())).await
}

async fn store_at(dir: &tempfile::TempDir, clock: std::sync::Arc<Hours>) -> Store {
    let store = Store::open_with(&dir.path().join("db"), clock).await.unwrap();
    for id in ["r1", "r2"] {
        let (repo, trigger, goal) = ("/r".into(), "heal".into(), "g".into());
        let run = NewRun { id: id.into(), repo, trigger, goal, status: Status::Finished, base: None };
        store.create(&run, &NewEvent::new(store.now(), "started", serde_json::Value::Null)).await.unwrap();
    }
    store
}

/// What counts at once.
fn at_once() -> MemoryRules {
    MemoryRules { watch: std::time::Duration::ZERO, ..MemoryRules::default() }
}

fn lesson<'a>(fingerprint: &'a Fingerprint, repo: &'a str, patch: &'a Patch) -> Lesson<'a> {
    Lesson {
        fingerprint,
        repo,
        patch,
        explanation: "e",
        fixer: "model(m)",
        category: None,
        diagnostics: &[],
        landed: Landing::Files,
        run: "r1",
    }
}

#[tokio::test]
async fn fixes_are_learnt_recalled_exported_and_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let rules = at_once();
    let fingerprint = Fingerprint("f1".into());
    let (first, second) =
        (patch(&[("f", Some("a\n"), Some("b\n"))]), patch(&[("f", Some("a\n"), Some("c\n"))]));
    let lesson = lesson(&fingerprint, "/r", &first);
    assert!(learn(&store, &rules, &lesson).await.unwrap());
    assert!(learn(&store, &rules, &Lesson { patch: &second, ..lesson.clone() }).await.unwrap());
    // Proven once more: it comes first now, and keeps who found it.
    let again = Lesson { run: "r2", fixer: "memory", ..lesson.clone() };
    assert!(learn(&store, &rules, &again).await.unwrap());
    let recalled = recall(&store, &rules, "/r", &fingerprint).await.unwrap();
    assert_eq!(recalled.len(), 2);
    let best = &recalled[0];
    assert_eq!((best.run.as_str(), best.fixer.as_str(), best.successes), ("r2", "model(m)", 1));
    assert_eq!(best.recipe, Recipe::of(&first).unwrap());
    assert!(recall(&store, &rules, "/other", &fingerprint).await.unwrap().is_empty());
    let unproven = learn(&store, &rules, &Lesson { run: "never", ..lesson.clone() }).await.unwrap_err();
    assert!(unproven.downcast_ref::<Fault>().is_some());

    // What keeps failing is not offered for ever.
    let other = recalled[1].id.clone();
    for run in ["a", "b", "c"] {
        count_use(&store, &other, run).await.unwrap();
    }
    assert_eq!(recall(&store, &rules, "/r", &fingerprint).await.unwrap().len(), 1);

    let text = export(&store, Some("/r")).await.unwrap();
    assert_eq!(text.lines().count(), 2);
    let elsewhere = tempfile::tempdir().unwrap();
    let fresh = super::tests::store(&elsewhere).await;
    assert_eq!(import(&fresh, &text, Some("/clone")).await.unwrap(), Imported { added: 2, known: 0 });
    assert_eq!(import(&fresh, &text, Some("/clone")).await.unwrap(), Imported { added: 0, known: 2 });
    let imported = recall(&fresh, &rules, "/clone", &fingerprint).await.unwrap();
    assert_eq!((imported.len(), imported[0].successes), (2, 0));
    assert!(imported.iter().all(|one| one.run.starts_with("imported:r") && one.state == State::Suggested));
    assert!(imported.iter().all(|one| one.origin.as_deref() == Some("/r")));
    let half = format!("{text}{{\"id\":1}}\n");
    let error = import(&fresh, &half, None).await.unwrap_err();
    assert!(error.to_string().contains("line 3 of the import"), "{error}");
    assert!(recall(&fresh, &rules, "/r", &fingerprint).await.unwrap().is_empty());
    // What was suggested and is proven here counts here.
    assert!(learn(&fresh, &rules, &Lesson { repo: "/clone", ..lesson.clone() }).await.unwrap());
    let proven = recall(&fresh, &rules, "/clone", &fingerprint).await.unwrap();
    assert_eq!((proven[0].state, proven[0].run.as_str()), (State::Admitted, "r1"));

    assert_eq!(show(&store, &best.id[..6]).await.unwrap().id, best.id);
    assert_eq!(forget(&store, &best.id).await.unwrap().id, best.id);
    for gone in [best.id.as_str(), "", "zz", "%"] {
        assert!(show(&store, gone).await.is_err());
    }
    assert_eq!(list(&store, None).await.unwrap().len(), 1);

    // What a run proved goes when it is taken back; what another has proven since stays.
    assert!(learn(&store, &rules, &Lesson { run: "r2", ..lesson.clone() }).await.unwrap());
    assert_eq!(forget_run(&store, "r1").await.unwrap(), 1);
    let left = recall(&store, &rules, "/r", &fingerprint).await.unwrap();
    assert_eq!(left.iter().map(|one| one.run.as_str()).collect::<Vec<_>>(), ["r2"]);
    assert_eq!(forget_run(&store, "r2").await.unwrap(), 1);
    assert!(list(&store, None).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_hostile_import_is_refused_or_taken_for_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let fingerprint = Fingerprint("f1".into());
    let change = patch(&[("f", Some("a\n"), Some("b\n"))]);
    assert!(learn(&store, &at_once(), &lesson(&fingerprint, "/r", &change)).await.unwrap());
    let line: serde_json::Value = serde_json::from_str(export(&store, None).await.unwrap().trim()).unwrap();
    let with = |key: &str, value: serde_json::Value| {
        let mut line = line.clone();
        line[key] = value;
        line.to_string()
    };
    for wrong in [
        with("fingerprint", "x".repeat(300).into()),
        with("fixer", "a\u{1b}[2Jb".into()),
        with("run", "".into()),
        with("recipe", serde_json::json!([])),
        with("recipe", serde_json::json!([{"do": "remove", "path": "../x", "text": ""}])),
        with("recipe", serde_json::json!([{"do": "remove", "path": ".git/config", "text": ""}])),
    ] {
        let refused = import(&store, &wrong, Some("/x")).await;
        assert!(refused.is_err(), "{wrong}");
    }
    // It claims to be worth more than anything, for ever.
    let mut bold = line.clone();
    for (key, value) in [
        ("successes", 1_000_000.into()),
        ("state", "admitted".into()),
        ("verified_at", "2999-01-01T00:00:00Z".into()),
        ("run", "imported:imported:r9".into()),
        ("template", serde_json::json!({"names": [], "find": [{"name": 7}], "instead": []})),
    ] {
        bold[key] = value;
    }
    assert_eq!(import(&store, &bold.to_string(), Some("/x")).await.unwrap().added, 1);
    let taken = list(&store, Some("/x")).await.unwrap().remove(0);
    assert_eq!((taken.state, taken.successes, taken.template), (State::Suggested, 0, None));
    assert_eq!(taken.verified_at, store.now());
}

#[tokio::test]
async fn what_is_old_and_unused_counts_less_and_is_forgotten_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let clock = std::sync::Arc::new(Hours::default());
    let store = store_at(&dir, clock.clone()).await;
    let pass = |hours| clock.0.fetch_add(hours, std::sync::atomic::Ordering::SeqCst);
    let rules = at_once();
    let fingerprint = Fingerprint("f1".into());
    let (old, new) = (patch(&[("f", Some("a\n"), Some("b\n"))]), patch(&[("f", Some("a\n"), Some("c\n"))]));
    learn(&store, &rules, &lesson(&fingerprint, "/gone", &old)).await.unwrap();
    // It helped twice, which is worth more than to be new …
    for _ in 0..2 {
        learn(&store, &rules, &lesson(&fingerprint, "/gone", &old)).await.unwrap();
    }
    learn(&store, &rules, &lesson(&fingerprint, "/gone", &new)).await.unwrap();
    let first = async || recall(&store, &rules, "/gone", &fingerprint).await.unwrap().remove(0).recipe;
    assert_eq!(first().await, Recipe::of(&old).unwrap());
    // … but not after half a year.
    pass(24 * 180);
    learn(&store, &rules, &lesson(&fingerprint, "/gone", &new)).await.unwrap();
    assert_eq!(first().await, Recipe::of(&new).unwrap());
    pass(24 * 200);
    assert_eq!(settle(&store, &rules, None).await.unwrap(), Settled { admitted: 0, forgotten: 1 });
    assert_eq!(list(&store, None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn pairs_hold_what_stayed_as_a_model_would_say_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let fingerprint = Fingerprint("f1".into());
    let change = patch(&[("f.py", Some("a\nb\n"), Some("a\nc\n"))]);
    learn(&store, &MemoryRules::default(), &lesson(&fingerprint, "/r", &change)).await.unwrap();
    assert!(pairs(&store, None).await.unwrap().is_empty(), "nobody knows yet whether it stays");
    learn(&store, &at_once(), &lesson(&fingerprint, "/r", &change)).await.unwrap();
    let (_, pair) = pairs(&store, None).await.unwrap().remove(0);
    assert!(pair.messages[0].content.contains("In f.py:\n\na\nb\n"), "{}", pair.messages[0].content);
    let answer = crate::edits::parse(&pair.messages[1].content).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("f.py"), "a\nb\n").unwrap();
    let nothing = Patch::new();
    let tree = Tree { root: folder.path(), patch: &nothing };
    assert_eq!(crate::edits::apply(&answer.edits, &tree).unwrap(), change);
}

/// A repo, and what a run landed there.
struct Landed {
    _dir: tempfile::TempDir,
    store: Store,
    clock: std::sync::Arc<Hours>,
    root: std::path::PathBuf,
    change: Patch,
}

const RED: &str = "one\ntwo\nbad\nfour\n";
const GREEN: &str = "one\ntwo\ngood\nfour\n";

impl Landed {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = std::sync::Arc::new(Hours::default());
        let store = store_at(&dir, clock.clone()).await;
        let root = dir.path().join("repo");
        std::fs::create_dir(&root).unwrap();
        let landed = Self { _dir: dir, store, clock, root, change: patch(&[("f", Some(RED), Some(GREEN))]) };
        landed.git(&["init", "-q", "-b", "main"]);
        landed.commit(RED);
        landed
    }

    fn git(&self, words: &[&str]) -> String {
        let done = std::process::Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@t"])
            .args(words)
            .current_dir(&self.root)
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("HOME", &self.root)
            .output()
            .unwrap();
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self, text: &str) -> String {
        std::fs::write(self.root.join("f"), text).unwrap();
        self.git(&["add", "f"]);
        self.git(&["commit", "-q", "-m", "change"]);
        self.git(&["rev-parse", "HEAD"])
    }

    async fn learn(&self, landed: Landing) {
        let print = Fingerprint("f1".into());
        let repo = self.root.to_string_lossy().into_owned();
        let lesson = Lesson { landed, ..lesson(&print, &repo, &self.change) };
        assert!(learn(&self.store, &MemoryRules::default(), &lesson).await.unwrap());
    }

    /// Looks after `hours`; how many are offered then.
    async fn after(&self, hours: i64) -> (Settled, usize) {
        self.clock.0.fetch_add(hours, std::sync::atomic::Ordering::SeqCst);
        let rules = MemoryRules::default();
        let settled = settle(&self.store, &rules, None).await.unwrap();
        let repo = self.root.to_string_lossy();
        let offered = recall(&self.store, &rules, &repo, &Fingerprint("f1".into())).await.unwrap();
        (settled, offered.len())
    }
}

const NOTHING: Settled = Settled { admitted: 0, forgotten: 0 };
const ADMITTED: Settled = Settled { admitted: 1, forgotten: 0 };
const FORGOTTEN: Settled = Settled { admitted: 0, forgotten: 1 };

#[tokio::test]
async fn a_fix_counts_once_it_has_stayed() {
    let landed = Landed::new().await;
    std::fs::write(landed.root.join("f"), GREEN).unwrap();
    landed.learn(Landing::Files).await;
    assert_eq!(landed.after(23).await, (NOTHING, 0));
    // Other lines may change meanwhile.
    std::fs::write(landed.root.join("f"), GREEN.replace("two", "2") + "more\n").unwrap();
    assert_eq!(landed.after(2).await, (ADMITTED, 1));
    assert_eq!(landed.after(2).await, (NOTHING, 1));
}

#[tokio::test]
async fn a_fix_that_was_undone_is_forgotten() {
    let landed = Landed::new().await;
    std::fs::write(landed.root.join("f"), GREEN).unwrap();
    landed.learn(Landing::Files).await;
    std::fs::write(landed.root.join("f"), RED).unwrap();
    assert_eq!(landed.after(25).await, (FORGOTTEN, 0));
}

#[tokio::test]
async fn a_fix_on_a_branch_counts_once_it_is_merged_and_not_when_the_branch_goes() {
    let landed = Landed::new().await;
    landed.git(&["checkout", "-q", "-b", "fix"]);
    let commit = landed.commit(GREEN);
    landed.git(&["checkout", "-q", "main"]);
    let place = || Landing::Commit { reference: "refs/heads/fix".into(), commit: commit.clone() };
    landed.learn(place()).await;
    assert_eq!(landed.after(25).await, (NOTHING, 0), "nobody has merged it");
    landed.git(&["merge", "-q", "--no-ff", "-m", "merge", "fix"]);
    assert_eq!(landed.after(1).await, (ADMITTED, 1));
    // Code goes on: that alone says nothing against it.
    landed.commit("rewritten\n");
    assert_eq!(landed.after(1).await, (NOTHING, 1));
    landed.git(&["reset", "-q", "--hard", "HEAD^"]);
    // Who reverts the merge means what it brought.
    landed.git(&["revert", "--no-edit", "-m", "1", "HEAD"]);
    assert_eq!(landed.after(1).await, (FORGOTTEN, 0));

    let landed = Landed::new().await;
    landed.git(&["checkout", "-q", "-b", "fix"]);
    landed.commit(GREEN);
    landed.git(&["checkout", "-q", "main"]);
    landed.learn(place()).await;
    landed.git(&["branch", "-q", "-D", "fix"]);
    assert_eq!(landed.after(25).await, (FORGOTTEN, 0));
}
