//! A tree that somebody touches while checks run: what they found then is no part of a verdict or of a proof.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use super::project::Project;

/// A project with a script that says through a pipe that it runs, and goes on when it is told to.
struct Asked {
    project: Project,
    ask: PathBuf,
    answer: PathBuf,
}

/// How a run ended, with its events.
struct Ended {
    code: Option<i32>,
    events: Vec<Value>,
}

impl Asked {
    /// `script` runs after the answer.
    fn new(script: &str) -> Self {
        let project = Project::agenda();
        let (ask, answer) = (project.base().join("ask"), project.base().join("answer"));
        for pipe in [&ask, &answer] {
            let made = std::process::Command::new("mkfifo").arg(pipe).status().expect("mkfifo runs");
            assert!(made.success());
        }
        let text = format!("echo > '{}'\nread _ < '{}'\n{script}\n", ask.display(), answer.display());
        project.write(&[("ask.sh", &text), ("NOTES", "no\n")]);
        Self { project, ask, answer }
    }

    /// Heals, and does `meanwhile` each time the script runs, which is given the event that tells of its start.
    fn heal(&self, goal: &[&str], mut meanwhile: impl FnMut(&Project, &Value)) -> Ended {
        let words = [&["heal", "--no-model", "--json", "--sandbox", "off", "--"], goal].concat();
        let mut child = self
            .project
            .command(&words)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut events = Vec::new();
        for line in BufReader::new(child.stdout.take().expect("its output")).lines() {
            let event: Value = serde_json::from_str(&line.expect("text")).expect("an event");
            if event["event"] == "check-started"
                && event["command"].as_str().is_some_and(|c| c.contains("ask.sh"))
            {
                self.wait();
                meanwhile(&self.project, &event);
                File::options()
                    .write(true)
                    .open(&self.answer)
                    .and_then(|mut pipe| pipe.write_all(b"\n"))
                    .expect("it listens");
            }
            events.push(event);
        }
        Ended { code: child.wait().expect("it ends").code(), events }
    }

    /// Until the script runs.
    fn wait(&self) {
        let (told, heard) = mpsc::channel();
        let ask = self.ask.clone();
        std::thread::spawn(move || {
            let read = File::open(ask).and_then(|mut pipe| pipe.read_to_end(&mut Vec::new()));
            told.send(read.expect("it says so"))
        });
        heard.recv_timeout(Duration::from_secs(120)).expect("the script runs");
    }
}

impl Ended {
    fn of(&self, kind: &str) -> Vec<&Value> {
        self.events.iter().filter(|event| event["event"] == kind).collect()
    }

    /// How often a check ran in a phase.
    fn ran(&self, check: &str, phase: &str) -> usize {
        let all = self.of("checked");
        all.iter().filter(|event| event["phase"] == phase && event["outcome"]["check"] == check).count()
    }
}

const BESIDE: &str = "[checks.beside]\nrun = \"sh ask.sh\"\n";
const GOAL: &[&str] = &["python3", "-m", "unittest"];

fn there_and_back(project: &Project) {
    project.write(&[("NOTES", "yes\n")]);
    project.write(&[("NOTES", "no\n")]);
}

#[test]
fn what_is_changed_and_changed_back_during_a_proof_is_not_proven() {
    let asked = Asked::new("grep -q yes NOTES");
    asked.project.write(&[("regreen.toml", BESIDE)]);
    asked.project.commit("Ask");
    let mut times = 0;
    let ended = asked.heal(GOAL, |project, event| {
        if event["phase"] == "proof" {
            times += 1;
            if times == 1 {
                there_and_back(project);
            }
        }
    });
    assert_eq!((ended.code, times), (Some(0), 2), "{:#?}", ended.events);
    let warned = ended.of("warned");
    assert_eq!(warned.len(), 1, "{warned:#?}");
    assert!(
        warned[0]["what"].as_str().unwrap().starts_with("NOTES: touched while checks ran"),
        "{warned:#?}"
    );
    assert_eq!(ended.ran("goal", "proof"), 4);
    // The proof is of the second time alone.
    let proven = ended.of("proven");
    assert_eq!((proven.len(), proven[0]["proof"]["checks"].as_array().unwrap().len()), (1, 3), "{proven:#?}");
}

#[test]
fn a_tree_that_is_never_left_alone_ends_the_run() {
    let asked = Asked::new("true");
    asked.project.write(&[("regreen.toml", BESIDE)]);
    asked.project.commit("Ask");
    let before = asked.project.everything();
    let ended = asked.heal(GOAL, |project, event| {
        if event["phase"] == "proof" {
            // A file that comes and goes leaves the times of its folder behind.
            project.write(&[("agenda/extra.py", "x = 1\n")]);
            std::fs::remove_file(project.root.join("agenda/extra.py")).expect("it was there");
        }
    });
    assert_eq!(ended.code, Some(3), "{:#?}", ended.events);
    let stopped = ended.of("stopped");
    assert_eq!(stopped[0]["rule"], "moved");
    assert!(
        stopped[0]["why"].as_str().unwrap().contains("agenda: touched each of the 3 times"),
        "{stopped:#?}"
    );
    assert!(ended.of("proven").is_empty() && asked.project.everything() == before);
}

#[test]
fn an_edit_between_two_executions_of_the_goal_makes_it_not_flaky() {
    let asked = Asked::new("grep -q yes NOTES");
    asked.project.commit("Ask");
    let mut times = 0;
    let ended = asked.heal(&["sh", "ask.sh"], |project, _| {
        times += 1;
        match times {
            // The second execution is of a tree with it.
            1 => project.write(&[("NOTES", "yes\n")]),
            2 => project.write(&[("NOTES", "no\n")]),
            _ => {}
        }
    });
    let baseline = ended.of("baseline");
    assert_eq!((baseline.len(), &baseline[0]["baseline"]), (1, &"red".into()), "{:#?}", ended.events);
    assert_eq!((ended.code, ended.ran("goal", "baseline")), (Some(1), 4));
}

#[test]
fn a_tree_that_is_another_one_after_the_baseline_is_looked_at_anew() {
    let asked = Asked::new("grep -q yes NOTES");
    asked.project.commit("Ask");
    let mut times = 0;
    let ended = asked.heal(&["sh", "ask.sh"], |project, _| {
        times += 1;
        if times == 1 {
            project.write(&[("NOTES", "yes\n")]);
        }
    });
    assert_eq!(ended.code, Some(0), "{:#?}", ended.events);
    assert_eq!(ended.of("moved")[0]["files"], serde_json::json!(["NOTES"]));
    assert_eq!(ended.of("baseline")[0]["baseline"], "green");
}
