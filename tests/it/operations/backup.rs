//! `regreen backup` beside those who write, and `regreen restore`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use crate::project::Project;
use crate::service::id_of;

const HEAL: &[&str] = &["heal", "--no-model", "--json", "--", "python3", "-m", "unittest"];

/// Begins to heal, and dies after so many events.
fn cut_off(project: &Project, root: &Path, events: usize) -> String {
    let mut child = project
        .command(HEAL)
        .current_dir(root)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("regreen");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let told: Vec<String> = lines.take(events).map_while(Result::ok).collect();
    child.kill().expect("it lives");
    child.wait().expect("it ends");
    let first: serde_json::Value = serde_json::from_str(&told[0]).expect("an event");
    first["run"].as_str().expect("an id").to_owned()
}

/// A worker that has runs to do one after the other, and is at it when this returns.
fn busy(project: &Project) -> Child {
    for _ in 0..40 {
        project.regreen(&["submit", "--no-model", "--", "true"]).expect(0);
    }
    let mut worker = project
        .command(&["worker", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a worker");
    let mut lines = BufReader::new(worker.stdout.take().expect("a pipe")).lines();
    lines.next().expect("it begins").expect("a line");
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    worker
}

fn outcomes(project: &Project) -> std::collections::BTreeMap<String, serde_json::Value> {
    let rows = project.regreen(&["runs", "-n", "100", "--json"]).expect(0).stdout;
    let rows = rows.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a row"));
    rows.map(|row| (row["id"].as_str().expect("an id").to_owned(), row)).collect()
}

#[test]
fn what_was_saved_beside_a_busy_worker_comes_back_and_can_be_gone_on_with() {
    let mut project = Project::agenda();
    let other = project.root.with_file_name("other");
    project.git(&["clone", "-q", ".", other.to_str().expect("UTF-8")]);
    let other = other.canonicalize().expect("a real path");
    let landed = id_of(&project.regreen(HEAL).expect(0));
    let unfinished = cut_off(&project, &other, 6);
    let mut worker = busy(&project);

    let saved = project.base().join("saved");
    let folder = saved.to_str().expect("UTF-8");
    let said = project.regreen(&["backup", folder]).expect(0);
    assert!(!said.stderr.contains("cannot be resumed"), "{}", said.stderr);
    assert!(project.regreen(&["backup", folder]).expect(2).stderr.contains("there already"));
    let in_use = project.regreen(&["restore", "--overwrite", folder]).expect(2);
    assert!(in_use.stderr.contains("in use"), "{}", in_use.stderr);
    worker.kill().expect("it lives");
    worker.wait().expect("it ends");
    let there = project.regreen(&["restore", folder]).expect(2);
    assert!(there.stderr.contains("already") && there.stderr.contains("--overwrite"), "{}", there.stderr);

    // What comes after the backup is not in it.
    let later = project.regreen(&["submit", "--no-model", "--", "true"]).expect(0).stdout.trim().to_owned();
    let back = project.regreen(&["restore", "--overwrite", folder]).expect(0);
    assert!(back.stderr.contains("replaced-"), "{}", back.stderr);
    let rows = outcomes(&project);
    assert_eq!(rows[&landed]["outcome"], "healed");
    assert_eq!(rows[&unfinished]["status"], "running");
    assert!(!rows.contains_key(&later));
    assert!(project.regreen(&["logs", &landed, "--check", "all"]).expect(0).stdout.contains("ImportError"));
    project.regreen(&["rollback", &landed]).expect(0);
    assert!(project.read("agenda/day.py").contains("format_minutes"));
    project.regreen(&["resume", &unfinished]).expect(0);
    assert_eq!(outcomes(&project)[&unfinished]["outcome"], "healed");
    assert!(!project.git_in(&other, &["status", "--porcelain"]).is_empty(), "it landed there");

    // Into an empty folder it needs no leave.
    project.env.insert("REGREEN_STATE_DIR".into(), project.base().join("new").to_string_lossy().into_owned());
    project.regreen(&["restore", folder]).expect(0);
    assert_eq!(outcomes(&project)[&landed]["outcome"], "healed");
}

#[test]
fn a_backup_that_is_not_whole_is_not_put_back() {
    let project = Project::agenda();
    project.regreen(HEAL).expect(0);
    let saved = project.base().join("saved");
    let folder = saved.to_str().expect("UTF-8");
    project.regreen(&["backup", folder]).expect(0);
    let before = outcomes(&project);
    let refused = |why: &str| {
        let said = project.regreen(&["restore", "--overwrite", folder]).expect(2).stderr;
        assert!(said.contains(why), "{why}: {said}");
        assert_eq!(outcomes(&project), before);
    };
    let database = saved.join("regreen.db");
    let bytes = std::fs::read(&database).expect("the copy");
    std::fs::write(&database, [&bytes[..], b"x"].concat()).expect("written");
    refused("regreen.db is not what was saved");
    std::fs::write(&database, &bytes).expect("written");
    std::fs::write(saved.join("more"), "x").expect("written");
    refused("more was not saved with it");
    std::fs::remove_file(saved.join("more")).expect("removed");
    let manifest = saved.join("manifest.json");
    let text = std::fs::read_to_string(&manifest).expect("a manifest");
    std::fs::write(&manifest, text.replace("\"regreen.db\"", "\"../regreen.db\"")).expect("written");
    refused("../regreen.db is missing");
    std::fs::write(&manifest, text.replace("\"form\": 1", "\"form\": 2")).expect("written");
    refused("its form is 2");
    std::fs::write(&manifest, text).expect("written");

    // One that was cut off is not worked with before it is done.
    std::fs::write(project.state().join("restoring"), "").expect("written");
    assert!(project.regreen(&["runs"]).expect(2).stderr.contains("was cut off"));
    project.regreen(&["restore", folder]).expect(0);
    assert_eq!(outcomes(&project), before);
}
