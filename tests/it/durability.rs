//! `kill -9` at any moment: nothing half-landed, nothing left behind, and `resume` goes on.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::project::Project;

const BROKEN: &str = "def total(prices):\n    amount = 0\n    for price in prices:\n        amount += price\n    return amonut\n";
const RIGHT: &str = "def total(prices):\n    amount = 0\n    for price in prices:\n        amount += price\n    return amount\n";
const TEST: &str = "import unittest\n\nfrom shop import total\n\n\nclass Total(unittest.TestCase):\n    def test_sum(self):\n        self.assertEqual(total([1, 2]), 3)\n\n    def test_nothing(self):\n        self.assertEqual(total([]), 0)\n";
const HEAL: &[&str] = &["heal", "--no-model", "--json", "--", "python3", "-m", "unittest"];

fn project() -> Project {
    Project::new(&[("shop.py", BROKEN), ("test_shop.py", TEST), (".gitignore", "__pycache__/\n")])
}

/// Starts a run and kills the program, and only it, when it has told of `count` events. Returns whether it lived to tell of them.
fn killed_after(project: &Project, count: usize) -> bool {
    let mut child =
        project.command(HEAL).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("regreen starts");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let told = lines.take(count).filter(Result::is_ok).count();
    let _ = child.kill();
    child.wait().expect("it ends");
    told == count
}

/// Processes that have a path of the project in their command line or as their working folder.
pub fn left_behind(project: &Project) -> Vec<String> {
    let base = project.base().canonicalize().expect("a real path");
    let mut left = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let proc = entry.path();
        if !entry.file_name().to_string_lossy().chars().all(|c| c.is_ascii_digit()) {
            continue;
        }
        let cwd = std::fs::read_link(proc.join("cwd")).unwrap_or_default();
        let line = std::fs::read(proc.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if cwd.starts_with(&base) || line.contains(&*base.to_string_lossy()) {
            left.push(format!("{}: {line}", proc.display()));
        }
    }
    left
}

#[track_caller]
pub fn gone(project: &Project) {
    // Killing the launcher's namespace is asynchronous: the kernel needs a moment, which is waited for by looking, not by a fixed time.
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let left = left_behind(project);
        if left.is_empty() {
            break;
        }
        assert!(std::time::Instant::now() < limit, "{left:#?}");
        std::thread::yield_now();
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(!mounts.contains(&*project.base().to_string_lossy()), "{mounts}");
}

#[test]
fn killed_at_every_event_nothing_is_lost_and_resume_goes_on() {
    let whole = project();
    let ran = whole.regreen(HEAL).expect(0);
    let events = ran.kinds();
    assert_eq!(whole.regreen(&["logs", "--json"]).expect(0).stdout, ran.stdout, "told as it is kept");
    assert_eq!(whole.read("shop.py"), RIGHT);
    // The first event of each kind; what comes of the later ones is the same.
    let firsts = (1..events.len()).filter(|count| !events[..count - 1].contains(&events[count - 1]));
    for count in firsts {
        let project = project();
        let before = project.everything();
        assert!(killed_after(&project, count), "{count} of {events:?}");
        gone(&project);
        let now = project.read("shop.py");
        assert!(now == BROKEN || now == RIGHT, "after {count} of {events:?}: {now}");
        let resumed = project.regreen(&["resume"]);
        assert_eq!(resumed.code, Some(0), "after {} ({count}): {}", events[count - 1], resumed.stderr);
        assert_eq!(project.read("shop.py"), RIGHT, "after {} ({count})", events[count - 1]);
        gone(&project);
        let state = project.home.join(".local/state/regreen");
        for folder in ["workspaces", "temporary"] {
            let left: Vec<_> =
                std::fs::read_dir(state.join(folder)).into_iter().flatten().flatten().collect();
            assert!(left.is_empty(), "{left:?}");
        }

        let id = project.regreen(&["runs", "--json"]).expect(0).stdout;
        let run: serde_json::Value =
            serde_json::from_str(id.lines().next().expect("a run")).expect("an object");
        project.regreen(&["rollback", run["id"].as_str().expect("an id")]).expect(0);
        let after = project.everything();
        assert_eq!(after, before, "after {} ({count})", events[count - 1]);
    }
}

#[test]
fn what_a_killed_process_left_goes_though_no_run_is_open_any_more() {
    let project = project();
    project.regreen(HEAL).expect(0);
    let state = project.home.join(".local/state/regreen");
    // A run that was killed when it was over and had not cleaned up, and a process.
    let left = [
        "workspaces/0190a1b2c3d47890abcdef0123456789/attempt-1",
        "temporary/process-1",
        "snapshots/making-1",
    ];
    for folder in left {
        std::fs::create_dir_all(state.join(folder).join("work")).expect("a folder");
        std::fs::write(state.join(folder).join("lock"), "").expect("a lock");
    }
    project.regreen(&["resume"]).expect(0);
    for (folder, stays) in [("workspaces", 0), ("temporary", 0), ("snapshots", 1)] {
        assert_eq!(std::fs::read_dir(state.join(folder)).expect("a folder").count(), stays, "{folder}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_no_run() {
    let project = project();
    let mut child =
        project.command(HEAL).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("regreen starts");
    let mut told = BufReader::new(child.stdout.take().expect("a pipe"));
    told.read_line(&mut String::new()).expect("a line");
    drop(told);
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert_eq!(project.read("shop.py"), RIGHT);
}

#[test]
fn a_run_is_driven_by_one_process_and_a_second_resume_finds_nothing() {
    let project = project();
    assert!(killed_after(&project, 2));
    project.regreen(&["resume"]).expect(0);
    let again = project.regreen(&["resume"]).expect(0);
    assert!(again.stderr.contains("no run was cut off"), "{}", again.stderr);
}
