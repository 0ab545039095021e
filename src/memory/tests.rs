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

async fn store(dir: &tempfile::TempDir) -> Store {
    let store = Store::open(&dir.path().join("db")).await.unwrap();
    for id in ["r1", "r2"] {
        let (repo, trigger, goal) = ("/r".into(), "heal".into(), "g".into());
        let run = NewRun { id: id.into(), repo, trigger, goal, status: Status::Finished, base: None };
        store.create(&run, &NewEvent::new(store.now(), "started", serde_json::Value::Null)).await.unwrap();
    }
    store
}

#[tokio::test]
async fn fixes_are_learnt_recalled_exported_and_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let fingerprint = Fingerprint("f1".into());
    let (first, second) =
        (patch(&[("f", Some("a\n"), Some("b\n"))]), patch(&[("f", Some("a\n"), Some("c\n"))]));
    let lesson = Lesson {
        fingerprint: &fingerprint,
        repo: "/r",
        patch: &first,
        explanation: "e",
        fixer: "model(m)",
        category: None,
        run: "r1",
    };
    assert!(learn(&store, &lesson).await.unwrap());
    assert!(learn(&store, &Lesson { patch: &second, ..lesson.clone() }).await.unwrap());
    // Proven once more: it comes first now, and keeps who found it.
    assert!(learn(&store, &Lesson { run: "r2", fixer: "memory", ..lesson.clone() }).await.unwrap());
    let recalled = recall(&store, "/r", &fingerprint).await.unwrap();
    assert_eq!(recalled.len(), 2);
    let best = &recalled[0];
    assert_eq!((best.run.as_str(), best.fixer.as_str(), best.successes), ("r2", "model(m)", 1));
    assert_eq!(best.recipe, Recipe::of(&first).unwrap());
    assert!(recall(&store, "/other", &fingerprint).await.unwrap().is_empty());
    let unproven = learn(&store, &Lesson { run: "never", ..lesson.clone() }).await.unwrap_err();
    assert!(unproven.downcast_ref::<Fault>().is_some());

    // What keeps failing is not offered for ever.
    let other = recalled[1].id.clone();
    for _ in 0..3 {
        count_use(&store, &other).await.unwrap();
    }
    assert_eq!(recall(&store, "/r", &fingerprint).await.unwrap().len(), 1);

    let text = export(&store, Some("/r")).await.unwrap();
    assert_eq!(text.lines().count(), 2);
    let elsewhere = tempfile::tempdir().unwrap();
    let fresh = super::tests::store(&elsewhere).await;
    assert_eq!(import(&fresh, &text, Some("/clone")).await.unwrap(), Imported { added: 2, known: 0 });
    assert_eq!(import(&fresh, &text, Some("/clone")).await.unwrap(), Imported { added: 0, known: 2 });
    let imported = recall(&fresh, "/clone", &fingerprint).await.unwrap();
    assert_eq!((imported.len(), imported[0].successes), (2, 0));
    assert!(imported.iter().all(|one| one.run.starts_with("imported:r")));
    let half = format!("{text}{{\"id\":1}}\n");
    let error = import(&fresh, &half, None).await.unwrap_err();
    assert!(error.to_string().contains("line 3 of the import"), "{error}");
    assert!(recall(&fresh, "/r", &fingerprint).await.unwrap().is_empty());

    assert_eq!(show(&store, &best.id[..6]).await.unwrap().id, best.id);
    assert_eq!(forget(&store, &best.id).await.unwrap().id, best.id);
    for gone in [best.id.as_str(), "", "zz", "%"] {
        assert!(show(&store, gone).await.is_err());
    }
    assert_eq!(list(&store, None).await.unwrap().len(), 1);

    // What a run proved goes when it is taken back; what another has proven since stays.
    assert!(learn(&store, &Lesson { run: "r2", ..lesson.clone() }).await.unwrap());
    assert_eq!(forget_run(&store, "r1").await.unwrap(), 1);
    let left = recall(&store, "/r", &fingerprint).await.unwrap();
    assert_eq!(left.iter().map(|one| one.run.as_str()).collect::<Vec<_>>(), ["r2"]);
    assert_eq!(forget_run(&store, "r2").await.unwrap(), 1);
    assert!(list(&store, None).await.unwrap().is_empty());
}
