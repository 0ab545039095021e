//! Epic → stories → sub-tasks, under storms of deliveries and under kills.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::fake::{BOT, Issue, Jira, Kind, World};
use super::{Process, SECRET, project};
use crate::project::Project;
use crate::service::{Answer, Served, answer, client};
use crate::tickets::{multiply, subjects, subtract};
use crate::vendor::{Anthropic, Reply, Vendor};

/// A plan of two stories with one step each.
fn plan() -> String {
    let story = |number: u32, name: &str| {
        json!({
            "title": format!("Learn to {name}"), "description": format!("People want to {name}."), "acceptance": [],
            "subtasks": [{
                "id": format!("{number}.1"), "title": format!("Add {name}"), "description": format!("Add `{name}(a, b)` to calc.py."),
                "acceptance": [format!("`{name}` is tested")], "files": ["calc.py"],
            }],
        })
    };
    json!({
        "overview": "Two functions beside add.", "assumptions": ["Numbers are whole."], "questions": [],
        "stories": [story(1, "subtract"), story(2, "multiply")],
    })
    .to_string()
}

async fn model() -> Vendor {
    Anthropic::start([plan(), subtract(), multiply()].map(Reply::Text)).await
}

fn epic(jira: &Jira) {
    jira.add("OD-7", "Epic", "More arithmetic", "The calculator can only add.");
    jira.change("OD-7", |issue| issue.assignee = Some(BOT.to_owned()));
}

fn stories(world: &World) -> Vec<(&String, &Issue)> {
    world.issues.iter().filter(|(_, issue)| issue.kind == "Story").collect()
}

/// What there has to be in the end, each once.
fn all_is_there_once(project: &Project, jira: &Jira, vendor: &Vendor) {
    let world = jira.world();
    assert_eq!(world.issues["OD-7"].status, "In Testing");
    let stories = stories(&world);
    let titles: Vec<&str> = stories.iter().map(|(_, issue)| issue.summary.as_str()).collect();
    assert_eq!(titles, ["Learn to subtract", "Learn to multiply"]);
    for (key, story) in &stories {
        assert_eq!(story.parent.as_deref(), Some("OD-7"));
        assert_eq!(story.moves, ["In Progress", "In Testing"], "{key}");
        assert_eq!(story.comments.len(), 1, "{key}: {:#?}", story.comments);
        let steps: Vec<&Issue> =
            world.issues.values().filter(|issue| issue.parent.as_ref() == Some(*key)).collect();
        assert_eq!(steps.len(), 1, "{key}");
        assert_eq!((steps[0].kind.as_str(), steps[0].status.as_str()), ("Sub-task", "Done"));
        assert_eq!(steps[0].comments.len(), 0);
    }
    assert_eq!(world.issues["OD-7"].comments.iter().filter(|(_, author, _)| author == BOT).count(), 1);
    assert_eq!(vendor.requests().len(), 3, "one plan, two steps");
    let branches: Vec<String> = stories
        .iter()
        .map(|(key, story)| {
            format!("regreen/{}-{}", key.to_lowercase(), story.summary.to_lowercase().replace(' ', "-"))
        })
        .collect();
    let listed = project.git(&["branch", "--list", "regreen/*", "--format=%(refname:short)"]);
    let mut listed: Vec<&str> = listed.lines().collect();
    listed.sort_unstable();
    assert_eq!(listed, branches);
    assert_eq!(subjects(project, &branches[0]).len(), 1);
    assert_eq!(subjects(project, &branches[1]).len(), 2, "the second story stands on the first");
}

#[tokio::test]
async fn an_epic_is_planned_approved_and_done_story_by_story_by_polling() {
    for kind in [Kind::Cloud, Kind::Server] {
        let (vendor, jira) = (model().await, Jira::start(kind).await);
        epic(&jira);
        let project = project(&vendor, &jira, "poll = \"1s\"\napprovers = [\"anna-2\"]");
        let worker = Process::start(&project, &["worker"]);
        jira.until("a plan", |world| world.issues["OD-7"].status == "Plan Review").await;
        let said = jira.said("OD-7").join("");
        assert!(said.contains("Learn to multiply") && said.contains("Selected for Development"), "{said}");
        assert_eq!(stories(&jira.world()).len(), 0, "nothing is made before somebody said so");
        jira.says("OD-7", "approve");
        jira.until("the end", |world| world.issues["OD-7"].status == "In Testing").await;
        worker.end();
        all_is_there_once(&project, &jira, &vendor);
    }
}

/// Sends a delivery about an issue, as Jira would.
async fn deliver(url: &str, key: &str, number: usize) -> Answer {
    let body = json!({"webhookEvent": "jira:issue_updated", "timestamp": number, "issue": {"key": key, "fields": {"status": {"name": "Done"}}}}).to_string();
    let signing = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature: String = ring::hmac::sign(&signing, body.as_bytes())
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let request = client()
        .post(format!("{url}/hooks/jira"))
        .header("content-type", "application/json")
        .header("x-atlassian-webhook-identifier", format!("id-{number}"))
        .header("x-hub-signature", format!("sha256={signature}"))
        .body(body);
    answer(request).await
}

/// Every event five times, some of them the very same bytes, in an order that a number decides.
fn storm(events: &[String], seed: u64) -> Vec<(String, usize)> {
    let mut all: Vec<(String, usize)> = events
        .iter()
        .enumerate()
        .flat_map(|(at, key)| (0..5).map(move |copy| (key.clone(), at * 10 + copy % 3)))
        .collect();
    let mut state = seed | 1;
    for at in (1..all.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        all.swap(at, usize::try_from(state >> 33).expect("small") % (at + 1));
    }
    all
}

fn waiting(project: &Project) -> String {
    let count = "import sqlite3, sys\n\
        db = sqlite3.connect(sys.argv[1], timeout=60)\n\
        print(db.execute(\"SELECT COUNT(*) FROM deliveries WHERE state = 'waiting'\").fetchone()[0])\n";
    let store = project.state().join("regreen.db");
    let done =
        std::process::Command::new("python3").args(["-c", count]).arg(store).output().expect("python3");
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

#[tokio::test]
async fn whatever_is_delivered_each_thing_is_made_once() {
    let (vendor, jira) = (model().await, Arc::new(Jira::start(Kind::Cloud).await));
    epic(&jira);
    let project = project(&vendor, &jira, "");
    let served = Served::start(&project, &[]);
    let worker = Process::start(&project, &["worker"]);
    let over = Arc::new(AtomicBool::new(false));
    let sender = tokio::spawn({
        let (jira, url, over) = (jira.clone(), served.url.clone(), over.clone());
        async move {
            let (mut sent, mut round) = (0, 0);
            while !over.load(Ordering::SeqCst) {
                jira.until("an event", |world| world.events.len() > sent || over.load(Ordering::SeqCst))
                    .await;
                // Now and then with all that came before.
                round += 1;
                let from = if round % 7 == 0 { 0 } else { sent };
                let events = jira.world().events.clone();
                for (key, number) in storm(&events[from..], round) {
                    deliver(&url, &key, from * 10 + number).await.expect(202);
                }
                sent = events.len();
            }
        }
    });
    jira.until("a plan", |world| world.issues["OD-7"].status == "Plan Review").await;
    jira.change("OD-7", |issue| issue.status = "Selected for Development".to_owned());
    jira.until("the end", |world| world.issues["OD-7"].status == "In Testing").await;
    over.store(true, Ordering::SeqCst);
    jira.change("OD-7", |_| {});
    sender.await.expect("all was sent");
    let events = jira.world().events.clone();
    for (key, number) in storm(&events, 99) {
        deliver(&served.url, &key, 1_000_000 + number).await.expect(202);
    }
    while waiting(&project) != "0" {
        tokio::task::yield_now().await;
    }
    all_is_there_once(&project, &jira, &vendor);
    worker.end();
    served.end();

    let forged = json!({"issue": {"key": "OD-7"}});
    let served = Served::start(&project, &[]);
    served.send(reqwest::Method::POST, "/hooks/jira", None, Some(&forged)).await.expect(401);
}

#[tokio::test]
async fn a_kill_between_making_a_story_and_knowing_of_it_makes_no_second_one() {
    let (vendor, jira) = (model().await, Jira::start(Kind::Cloud).await);
    epic(&jira);
    let project = project(&vendor, &jira, "poll = \"1s\"\nsettle = \"1s\"");
    let worker = Process::start(&project, &["worker"]);
    jira.until("a plan", |world| world.issues["OD-7"].status == "Plan Review").await;
    worker.end();
    jira.change("OD-7", |issue| issue.status = "Selected for Development".to_owned());
    // The first story, then a sub-task: each time the process dies before it hears that the issue was made.
    for at in [1, 4] {
        let worker = Process::start(&project, &["worker"]);
        jira.world().kills = Some((at, rustix::process::Pid::from_child(&worker.0)));
        jira.until("the kill", |world| world.kills.is_none()).await;
        drop(worker);
        // Whoever died still holds the row for a while.
        release(&project);
    }
    let worker = Process::start(&project, &["worker"]);
    jira.until("the end", |world| world.issues["OD-7"].status == "In Testing").await;
    worker.end();
    all_is_there_once(&project, &jira, &vendor);
}

/// Lets go of what a killed process held, as time would.
fn release(project: &Project) {
    let sql = "import sqlite3, sys\n\
        db = sqlite3.connect(sys.argv[1], timeout=60)\n\
        db.execute('UPDATE jira_issues SET held_until = 0, not_before = 0')\n\
        db.commit()\n";
    let store = project.state().join("regreen.db");
    let done = std::process::Command::new("python3").args(["-c", sql]).arg(store).output().expect("python3");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_storm_is_every_event_five_times() {
    let events = ["OD-1".to_owned(), "OD-2".to_owned()];
    let all = storm(&events, 3);
    assert_eq!(all.len(), 10);
    assert_ne!(all, storm(&events, 4));
    let _: Value = json!(all);
}
