//! `kill -9` of what removes, saves and puts back, at every call by which it changes files.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::retention::{RULES, age};
use crate::faults::supervised::{self, Fault, Moment};
use crate::project::Project;
use crate::service::{heal, id_of};

/// A copy of a folder with everything in it.
fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let done = Command::new("cp").arg("-a").args([from, to]).status().expect("cp");
    assert!(done.success());
}

fn rows(project: &Project) -> BTreeMap<String, Value> {
    let rows = project.regreen(&["runs", "-n", "100", "--json"]).expect(0).stdout;
    let rows = rows.lines().map(|line| serde_json::from_str::<Value>(line).expect("a row"));
    rows.map(|row| (row["id"].as_str().expect("an id").to_owned(), row)).collect()
}

/// Runs `words` again and again from the same state, and kills it at another call each time, at most `tries` of them over its whole length;
/// `after` looks at what is left. What it makes beside the state is `made`.
fn killed(project: &Project, words: &[&str], made: Option<&Path>, tries: usize, mut after: impl FnMut(&str)) {
    let (state, before) = (project.state(), project.base().join("before"));
    copy(&state, &before);
    let afresh = || {
        copy(&before, &state);
        if let Some(made) = made.filter(|made| made.exists()) {
            std::fs::remove_dir_all(made).expect("it goes");
        }
    };
    let whole = supervised::run(project.command(words), &[], &[project.base()]);
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    let step = whole.calls.div_ceil(tries).max(1);
    for call in (1..=whole.calls).step_by(step) {
        afresh();
        let ended =
            supervised::run(project.command(words), &[(Moment::Call(call), Fault::Kill)], &[project.base()]);
        // The last ones may come in another number.
        let Some((_, doing)) = ended.met.first() else { continue };
        assert_eq!(ended.code, None, "{doing}");
        after(&format!("killed at {doing}"));
    }
    afresh();
}

#[test]
fn what_a_killed_vacuum_left_is_whole_and_the_next_one_removes_the_rest() {
    let project = Project::agenda();
    let landed = heal(&project, false);
    let green: Vec<String> = (0..3)
        .map(|_| id_of(&project.regreen(&["heal", "--no-model", "--json", "--", "true"]).expect(0)))
        .collect();
    project.configure(RULES);
    age(&project, 100);
    let (before, stats) = (rows(&project), project.regreen(&["stats", "--json"]).expect(0).stdout);
    killed(&project, &["vacuum", "--compact"], None, 24, |when| {
        for run in green.iter().chain([&landed]) {
            // All of it, or nothing.
            let shown = project.regreen(&["show", run]);
            let gone = shown.code == Some(2) && shown.stderr.contains("was removed") && *run != landed;
            assert!(shown.code == Some(0) || gone, "{when}: {}", shown.stderr);
        }
        project.regreen(&["vacuum", "--compact"]).expect(0);
        let left: Value =
            serde_json::from_str(&project.regreen(&["vacuum", "--json"]).expect(0).stdout).expect("a sum");
        for part in ["logs", "events", "prompts"] {
            assert_eq!(left[part]["count"], 0, "{when}: {left}");
        }
        for run in &green {
            assert!(project.regreen(&["show", run]).expect(2).stderr.contains("was removed"), "{when}");
            assert!(!project.state().join("logs").join(run).exists(), "{when}");
        }
        assert_eq!(rows(&project), before, "{when}");
        assert_eq!(project.regreen(&["stats", "--json"]).expect(0).stdout, stats, "{when}");
    });
    project.regreen(&["vacuum"]).expect(0);
    project.regreen(&["rollback", &landed]).expect(0);
}

#[test]
fn a_restore_that_is_killed_is_not_worked_with_and_done_again_it_is_whole() {
    let project = Project::agenda();
    let landed = heal(&project, false);
    let saved = project.base().join("saved");
    let folder = saved.to_str().expect("UTF-8");
    project.regreen(&["backup", folder]).expect(0);
    let before = rows(&project);
    let later = id_of(&project.regreen(&["heal", "--no-model", "--json", "--", "true"]).expect(0));
    let with = rows(&project);
    killed(&project, &["restore", "--overwrite", folder], None, 24, |when| {
        // As it was, not to be opened, or as it is to be: never a mixture.
        let runs = project.regreen(&["runs", "-n", "100", "--json"]);
        match runs.code {
            Some(0) => {
                let found = rows(&project);
                assert!(found == with || found == before, "{when}: {found:?}");
            }
            _ => assert!(runs.stderr.contains("was cut off"), "{when}: {}", runs.stderr),
        }
        project.regreen(&["restore", "--overwrite", folder]).expect(0);
        assert_eq!(rows(&project), before, "{when}");
        let logs = project.regreen(&["logs", &landed, "--check", "all"]).expect(0).stdout;
        assert!(logs.contains("ImportError"), "{when}: {logs}");
        assert!(!project.state().join("restoring").exists(), "{when}");
        // What was there is put aside, not lost.
        assert!(kept_aside(&project.state(), &later), "{when}");
    });
}

/// Whether the run's logs lie in what was put aside.
fn kept_aside(state: &Path, run: &str) -> bool {
    let folders = std::fs::read_dir(state).expect("the state").flatten();
    let mut aside = folders.filter(|entry| entry.file_name().to_string_lossy().starts_with("replaced-"));
    aside.any(|entry| entry.path().join("logs").join(run).exists())
}

#[test]
fn a_backup_that_is_killed_is_none_and_harms_nothing() {
    let project = Project::agenda();
    heal(&project, false);
    let before = rows(&project);
    let saved = project.base().join("saved");
    let folder = saved.to_str().expect("UTF-8");
    killed(&project, &["backup", folder], Some(&saved), 16, |when| {
        if saved.exists() {
            // One that is there is whole, or says that it is not.
            let back = project.regreen(&["restore", "--overwrite", folder]);
            assert!(matches!(back.code, Some(0 | 2)), "{when}: {}", back.stderr);
            std::fs::remove_dir_all(&saved).expect("it goes");
        }
        assert_eq!(rows(&project), before, "{when}");
        project.regreen(&["backup", folder]).expect(0);
        project.regreen(&["restore", "--overwrite", folder]).expect(0);
        assert_eq!(rows(&project), before, "{when}");
    });
}
