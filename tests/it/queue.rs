//! The queue with real workers, on SQLite and on a real PostgreSQL: what is submitted is done once, whatever becomes of the workers.

use std::io::{BufRead, BufReader, Lines, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::durability::gone;
use crate::postgres::Server;
use crate::project::Project;
use crate::proxy::Proxy;
use crate::tickets::{BRANCH, calculator, multiply, plan, subjects, subtract};
use crate::vendor::{Anthropic, Reply, Vendor};

const BROKEN: &str = "def total(prices):\n    amount = 0\n    for price in prices:\n        amount += price\n    return amonut\n";
const RIGHT: &str = "def total(prices):\n    amount = 0\n    for price in prices:\n        amount += price\n    return amount";
const TEST: &str = "import unittest\n\nfrom shop import total\n\n\nclass Total(unittest.TestCase):\n    def test_sum(self):\n        self.assertEqual(total([1, 2]), 3)\n";
const CHECK: &[&str] = &["--no-model", "--", "python3", "-m", "unittest"];
/// A check that does not end by itself.
const ENDLESS: &[&str] = &["--no-model", "--", "sh", "-c", "echo begun; exec sleep 1000000"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
}

fn project(kind: Kind) -> Project {
    let mut project =
        Project::new(&[("shop.py", BROKEN), ("test_shop.py", TEST), (".gitignore", "__pycache__/\n")]);
    if kind == Kind::Postgres {
        project.env.insert("REGREEN_DATABASE_URL".into(), Server::shared().database());
    }
    project
}

/// Another repo of the same user with the same fault.
fn neighbour(project: &Project, name: &str) -> PathBuf {
    let root = project.root.with_file_name(name);
    project.git(&["clone", "-q", ".", root.to_str().expect("UTF-8")]);
    root.canonicalize().expect("a real path")
}

fn submit(project: &Project, options: &[&str], rest: &[&str]) -> String {
    let arguments = [&["submit"], options, rest].concat();
    project.regreen(&arguments).expect(0).stdout.trim().to_owned()
}

/// The row of a run.
fn row(project: &Project, id: &str) -> serde_json::Value {
    let rows = project.regreen(&["runs", "-n", "100", "--json"]).expect(0).stdout;
    let mut rows = rows.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a row"));
    rows.find(|row| row["id"] == id).expect("the run is listed")
}

fn count(project: &Project, id: &str, event: &str) -> usize {
    let kinds = project.regreen(&["logs", id, "--json"]).expect(0).kinds();
    kinds.iter().filter(|kind| *kind == event).count()
}

/// Fails the test unless the run was done exactly once: one end, one landing, one branch with the repair.
#[track_caller]
fn done_once(project: &Project, root: &std::path::Path, id: &str) {
    assert_eq!(row(project, id)["outcome"], "healed", "{}", project.regreen(&["logs", id]).stdout);
    for event in ["submitted", "started", "finished", "landed"] {
        assert_eq!(count(project, id, event), 1, "{event}: {}", project.regreen(&["logs", id]).stdout);
    }
    let branch = format!("regreen/{}", &id[id.len() - 8..]);
    assert_eq!(project.git_in(root, &["show", &format!("{branch}:shop.py")]), RIGHT);
    assert_eq!(project.git_in(root, &["rev-list", "--count", &format!("main..{branch}")]), "1");
}

/// A worker that prints its events.
struct Worker {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    fn start(project: &Project, options: &[&str]) -> Self {
        let arguments = [&["worker", "--json"], options].concat();
        let mut command = project.command(&arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a worker");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Self { child, lines }
    }

    /// The next event's name; `None` when it has ended.
    fn next(&mut self) -> Option<String> {
        let line = self.lines.next()?.ok()?;
        let event: serde_json::Value = serde_json::from_str(&line).ok()?;
        Some(event["event"].as_str().expect("a name").to_owned())
    }

    /// Waits for an event.
    #[track_caller]
    fn until(&mut self, event: &str) {
        while let Some(told) = self.next() {
            if told == event {
                return;
            }
        }
        let mut said = String::new();
        let _ = self.child.stderr.take().expect("a pipe").read_to_string(&mut said);
        panic!("the worker ended before {event}: {said}");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it lives");
    }

    fn kill(mut self) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it ends");
    }

    fn wait(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("its words");
        while self.next().is_some() {}
        (self.child.wait().expect("it ends").code(), said)
    }
}

/// Runs each of these on both databases.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $name() {
                super::$name(super::Kind::Sqlite);
            })*
        }

        mod server {
            $(#[test]
            fn $name() {
                super::$name(super::Kind::Postgres);
            })*
        }
    };
}

on_both!(
    what_is_submitted_is_done_by_a_worker,
    killed_workers_lose_nothing_and_nothing_is_done_twice,
    cancelling_a_run_ends_its_sandbox,
    a_worker_that_is_to_end_gives_back_what_it_has,
    a_run_whose_repo_is_not_there_is_blocked_with_the_reason,
);

fn what_is_submitted_is_done_by_a_worker(kind: Kind) {
    let project = project(kind);
    let before = project.everything();
    let first = submit(&project, &["--key", "build-1"], CHECK);
    assert_eq!(submit(&project, &["--key", "build-1"], CHECK), first);
    assert_eq!(row(&project, &first)["status"], "queued");
    let told = project.regreen(&["show", &first]).expect(2);
    assert!(told.stderr.contains("waits in the queue"), "{}", told.stderr);
    let said = project.regreen(&["worker", "--once"]).expect(0);
    assert!(said.stderr.contains(&first[first.len() - 8..]), "{}", said.stderr);
    done_once(&project, &project.root, &first);
    assert_eq!(project.everything(), before, "nothing but a branch was to be made");
    let over = project.regreen(&["cancel", &first]).expect(2);
    assert!(over.stderr.contains("is over"), "{}", over.stderr);

    let again = project.regreen(&["retry", &first]).expect(0).stdout.trim().to_owned();
    assert_ne!(again, first);
    let waiting = project.command(&["submit", "--wait", "--key", "build-2", "--no-model", "--", "true"]);
    let mut waiting = { waiting }.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it waits");
    let mut lines = BufReader::new(waiting.stdout.take().expect("a pipe")).lines();
    let third = lines.next().expect("a line").expect("an id");
    project.regreen(&["worker", "--once", "--concurrency", "2"]).expect(0);
    done_once(&project, &project.root, &again);
    for _line in lines {}
    assert_eq!(waiting.wait().expect("it ends").code(), Some(0));
    assert_eq!(row(&project, &third)["outcome"], "green");
    gone(&project);
}

fn killed_workers_lose_nothing_and_nothing_is_done_twice(kind: Kind) {
    let project = project(kind);
    let mut repos = vec![project.root.clone()];
    repos.extend(["second", "third"].map(|name| neighbour(&project, name)));
    let mut runs = Vec::new();
    for round in 0..2 {
        for root in &repos {
            let key = format!("{round}-{}", root.display());
            let options = ["--repo", root.to_str().expect("UTF-8"), "--key", &key];
            runs.push((root.clone(), submit(&project, &options, CHECK)));
        }
    }
    // At which of its events a worker dies: each run has about 25.
    let mut seed = 0x9e37_79b9_u32;
    let mut random = |below: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) % below
    };
    let mut other = Worker::start(&project, &[]);
    // Fewer than a run may cost before it is given up.
    for _ in 0..3 {
        let mut worker = Worker::start(&project, &["--once"]);
        for _ in 0..random(40) {
            if worker.next().is_none() {
                break;
            }
        }
        if random(2) == 0 {
            std::mem::swap(&mut worker, &mut other);
        }
        worker.kill();
    }
    other.kill();
    project.regreen(&["worker", "--once", "--concurrency", "3"]).expect(0);
    for (root, id) in &runs {
        done_once(&project, root, id);
    }
    gone(&project);
}

fn cancelling_a_run_ends_its_sandbox(kind: Kind) {
    let project = project(kind);
    let endless = submit(&project, &[], ENDLESS);
    let waiting = submit(&project, &[], CHECK);
    project.regreen(&["cancel", &waiting]).expect(0);
    assert_eq!(row(&project, &waiting)["outcome"], "cancelled");
    let mut worker = Worker::start(&project, &[]);
    worker.until("check-started");
    let told = project.regreen(&["cancel", &endless]).expect(0);
    assert!(told.stderr.contains("was told to end it"), "{}", told.stderr);
    worker.until("finished");
    assert_eq!(row(&project, &endless)["outcome"], "cancelled");
    worker.signal(Signal::TERM);
    let (code, said) = worker.wait();
    assert_eq!(code, Some(0), "{said}");
    gone(&project);
}

fn a_worker_that_is_to_end_gives_back_what_it_has(kind: Kind) {
    let project = project(kind);
    let id = submit(&project, &[], ENDLESS);
    let mut worker = Worker::start(&project, &["--grace", "1s"]);
    worker.until("check-started");
    worker.signal(Signal::TERM);
    let (code, said) = worker.wait();
    assert_eq!(code, Some(0), "{said}");
    gone(&project);
    // The next one goes on with it; a second signal ends that one at once, whatever the grace.
    let mut worker = Worker::start(&project, &["--grace", "10h"]);
    worker.until("resumed");
    worker.until("check-started");
    // Which of the two comes first does not matter: each counts.
    worker.signal(Signal::TERM);
    worker.signal(Signal::INT);
    let (code, said) = worker.wait();
    assert_eq!(code, Some(130), "{said}");
    gone(&project);
    project.regreen(&["cancel", &id]).expect(0);
    assert_eq!(
        (row(&project, &id)["outcome"].as_str(), count(&project, &id, "finished")),
        (Some("cancelled"), 1)
    );
}

fn a_run_whose_repo_is_not_there_is_blocked_with_the_reason(kind: Kind) {
    let project = project(kind);
    let nowhere = project.root.with_file_name("nowhere");
    let id = submit(&project, &["--repo", nowhere.to_str().expect("UTF-8")], CHECK);
    let said = project.regreen(&["worker", "--once"]).expect(0);
    assert!(said.stderr.contains("nowhere is no folder on"), "{}", said.stderr);
    assert_eq!(row(&project, &id)["status"], "queued");
    let said = project.regreen(&["worker", "--once"]).expect(0);
    assert!(!said.stderr.contains("nowhere"), "it is not tried again by itself: {}", said.stderr);
    neighbour(&project, "nowhere");
    assert_eq!(project.regreen(&["retry", &id]).expect(0).stdout.trim(), id);
    project.regreen(&["worker", "--once"]).expect(0);
    done_once(&project, &nowhere, &id);
    let url = project.regreen(&["submit", "--repo", "https://example.org/shop.git", "--", "true"]).expect(2);
    assert!(url.stderr.contains("would have to be fetched"), "{}", url.stderr);
}

#[tokio::test]
async fn a_ticket_is_submitted_and_done_by_a_worker() {
    let vendor = Anthropic::start([plan(), subtract(), multiply()].map(Reply::Text)).await;
    let project = calculator().anthropic(&vendor);
    let id = submit(&project, &["--priority", "high"], &["ticket.md"]);
    assert_eq!(row(&project, &id)["priority"], "high");
    project.regreen(&["worker", "--once"]).expect(0);
    assert_eq!(row(&project, &id)["outcome"], "implemented");
    assert_eq!(subjects(&project, BRANCH).len(), 2);
    assert_eq!(count(&project, &id, "subtask-done"), 2);
}

/// A ticket in the queue whose first sub-task waits for a person, and the runs of both.
async fn waits(kind: Kind, answers: [String; 3]) -> (Vendor, Project, String, String) {
    let vendor = Anthropic::start(answers.map(Reply::Text)).await;
    let mut project = calculator();
    if kind == Kind::Postgres {
        project.env.insert("REGREEN_DATABASE_URL".into(), Server::shared().database());
    }
    let project = project.anthropic(&vendor);
    project.configure("[governance]\nenvironment = \"staging\"\n[governance.staging]\ngreen = \"approve\"\n[[ladder]]\nfixer = \"model\"\nprovider = \"anthropic\"\nmodel = \"claude-sonnet-5-5\"\n");
    let ticket = submit(&project, &[], &["ticket.md"]);
    project.regreen(&["worker", "--once"]).expect(0);
    assert_eq!(row(&project, &ticket)["status"], "waiting");
    let child = waiting_child(&project).expect("a sub-task waits");
    (vendor, project, ticket, child)
}

fn waiting_child(project: &Project) -> Option<String> {
    let rows = project.regreen(&["runs", "-n", "100", "--json"]).expect(0).stdout;
    let mut rows = rows.lines().map(|row| serde_json::from_str::<serde_json::Value>(row).expect("a row"));
    let row = rows.find(|row| row["trigger"] == "subtask" && row["status"] == "waiting")?;
    row["id"].as_str().map(str::to_owned)
}

async fn a_ticket_goes_on_by_itself_once_its_sub_task_is_approved(kind: Kind) {
    let (vendor, project, ticket, child) = waits(kind, [plan(), subtract(), multiply()]).await;
    // Nobody goes on as long as nobody looked.
    project.regreen(&["worker", "--once"]).expect(0);
    assert_eq!((row(&project, &ticket)["status"].as_str(), vendor.requests().len()), (Some("waiting"), 2));
    let told = project.regreen(&["approve", &child]).expect(0).stderr;
    assert!(told.contains("a worker lands it") && told.contains(&ticket[ticket.len() - 8..]), "{told}");
    assert_eq!(row(&project, &ticket)["status"], "queued");
    assert_eq!(project.git(&["branch", "--list", BRANCH]), "", "a worker lands it");
    project.regreen(&["worker", "--once"]).expect(0);
    assert_eq!(subjects(&project, BRANCH).len(), 1);
    let second = waiting_child(&project).expect("the second one waits, too");
    assert_ne!(second, child);
    project.regreen(&["approve", &second]).expect(0);
    project.regreen(&["worker", "--once"]).expect(0);
    assert_eq!(row(&project, &ticket)["outcome"], "implemented");
    assert_eq!(subjects(&project, BRANCH).len(), 2);
    assert_eq!(vendor.requests().len(), 3, "nothing was done again");
    assert_eq!(count(&project, &ticket, "subtask-done"), 2);
}

#[tokio::test]
async fn on_sqlite_a_ticket_goes_on_by_itself_once_its_sub_task_is_approved() {
    a_ticket_goes_on_by_itself_once_its_sub_task_is_approved(Kind::Sqlite).await;
}

#[tokio::test]
async fn on_a_server_a_ticket_goes_on_by_itself_once_its_sub_task_is_approved() {
    a_ticket_goes_on_by_itself_once_its_sub_task_is_approved(Kind::Postgres).await;
}

#[tokio::test]
async fn a_ticket_whose_sub_task_is_rejected_ends_with_that() {
    let (vendor, project, ticket, child) = waits(Kind::Sqlite, [plan(), subtract(), multiply()]).await;
    project.regreen(&["reject", &child, "--reason", "we do not subtract"]).expect(0);
    project.regreen(&["worker", "--once"]).expect(0);
    let over = row(&project, &ticket);
    assert_eq!((&over["status"], &over["outcome"]), (&"finished".into(), &"refused".into()), "{over}");
    assert!(over["summary"].as_str().expect("why").contains("we do not subtract"), "{over}");
    assert_eq!(vendor.requests().len(), 2, "nobody tries again by himself");
}

#[test]
fn a_run_that_kills_its_workers_is_given_up() {
    let project = project(Kind::Sqlite);
    let id = submit(&project, &[], ENDLESS);
    for _ in 0..5 {
        let mut worker = Worker::start(&project, &[]);
        worker.until("check-started");
        worker.kill();
    }
    project.regreen(&["worker", "--once"]).expect(0);
    let row = row(&project, &id);
    assert_eq!((row["outcome"].as_str(), row["exit"].as_i64()), (Some("cut off"), Some(5)));
    let summary = row["summary"].as_str().expect("a reason");
    assert!(summary.contains("5 workers died"), "{summary}");
    assert_eq!(count(&project, &id, "finished"), 1);
    gone(&project);
}

/// The network between a worker and the database goes away in the middle of everything, and comes back.
#[test]
fn a_connection_that_is_cut_off_costs_nothing() {
    let mut project = project(Kind::Postgres);
    let id = submit(&project, &[], CHECK);
    let mut proxy = Proxy::to(&Server::shared().socket());
    let direct = project.env["REGREEN_DATABASE_URL"].clone();
    project.env.insert("REGREEN_DATABASE_URL".into(), proxy.before(&direct));
    let mut worker = Worker::start(&project, &["--once"]);
    for event in ["check-started", "baseline", "proposed", "landing-started"] {
        worker.until(event);
        proxy.cut();
    }
    let (code, said) = worker.wait();
    assert_eq!(code, Some(0), "{said}");
    project.env.insert("REGREEN_DATABASE_URL".into(), direct);
    // Whatever could not be finished without the database is finished now.
    project.regreen(&["worker", "--once"]).expect(0);
    done_once(&project, &project.root, &id);
    gone(&project);
}
