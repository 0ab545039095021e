//! Policy over real runs: who has to agree to what, and the kill switch.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::durability::gone;
use crate::faults::supervised::{self, Fault, Meanwhile, Moment};
use crate::postgres::Server;
use crate::project::{Project, Ran};
use crate::service::{Served, id_of, token};
use crate::tickets::{BRANCH, calculator, multiply, plan, subjects, subtract};
use crate::vendor::{Anthropic, Reply};

const HEAL: &[&str] = &["heal", "--no-model", "--json", "--", "python3", "-m", "unittest"];
/// A check that does not end by itself.
const ENDLESS: &[&str] = &["--no-model", "--", "sh", "-c", "echo begun; exec sleep 1000000"];

/// Makes every repair of the agenda yellow.
const CAREFUL: &str = "[[governance.rules]]\nid = \"agenda\"\nrisk = \"yellow\"\nsays = \"people plan by it\"\npaths = [\"AGENDA/**\"]\n";

fn in_production(more: &str) -> String {
    format!("[governance]\nenvironment = \"production\"\n{more}\n{CAREFUL}")
}

/// The last event of a kind.
#[track_caller]
fn event(ran: &Ran, kind: &str) -> Value {
    let found = ran.events().into_iter().rfind(|event| event["event"] == kind);
    found.unwrap_or_else(|| panic!("no {kind}: {:?}", ran.kinds()))
}

fn events(project: &Project, run: &str) -> Ran {
    project.regreen(&["logs", run, "--json"]).expect(0)
}

#[test]
fn a_repair_at_a_terminal_is_told_its_risk_and_lands() {
    let project = Project::agenda();
    project.configure(CAREFUL);
    let healed = project.regreen(HEAL).expect(0);
    let assessed = event(&healed, "assessed");
    assert_eq!(assessed["terms"]["ruling"], "auto");
    assert_eq!(
        (&assessed["assessment"]["risk"], &assessed["terms"]["environment"]),
        (&json!("yellow"), &json!("local"))
    );
    let reasons = assessed["assessment"]["reasons"].as_array().expect("reasons");
    let own =
        reasons.iter().find(|reason| reason["rule"] == "agenda").expect("the rule of the configuration");
    assert!(own["paths"][0].as_str().expect("a path").starts_with("agenda/"), "{own}");
    assert_eq!(assessed["patch"], event(&healed, "proven")["proof"]["patch"]);
    let shown = project.regreen(&["show"]).expect(0).stdout;
    assert!(shown.contains("yellow: people plan by it") && shown.contains("[agenda]"), "{shown}");
}

#[test]
fn what_policy_denies_ends_with_the_reasons_and_changes_nothing() {
    let project = Project::agenda();
    project.configure(&in_production("[governance.production]\nyellow = \"deny\""));
    let before = project.everything();
    let denied = project.regreen(HEAL).expect(3);
    let stopped = event(&denied, "stopped");
    assert_eq!(stopped["rule"], "denied");
    let why = stopped["why"].as_str().expect("why");
    assert!(why.contains("people plan by it") && why.contains("production"), "{why}");
    assert_eq!(project.everything(), before);
    let told = project.regreen(&["show"]).expect(0).stdout;
    assert!(told.contains("regreen show") && told.contains("governance.production"), "{told}");
    project.regreen(&["approve", &id_of(&denied)]).expect(2);
}

#[test]
fn a_repo_cannot_loosen_what_the_user_says() {
    let project = Project::agenda();
    project.configure(&in_production(""));
    for looser in ["[governance]\nenvironment = \"local\"\n", "[governance.production]\nyellow = \"auto\"\n"]
    {
        project.write(&[("regreen.toml", looser)]);
        let refused = project.regreen(HEAL).expect(2);
        assert!(refused.stderr.contains("regreen.toml line"), "{}", refused.stderr);
    }
    // Stricter it may be.
    project.write(&[("regreen.toml", "[governance]\nother_person = true\npeople = 2\n")]);
    let waits = project.regreen(HEAL).expect(3);
    let asked = event(&waits, "approval-needed");
    assert_eq!(asked["question"]["people"], 2);
    let run = id_of(&waits);
    let own = project.regreen(&["approve", &run]).expect(3);
    assert!(own.stderr.contains("asked for this run"), "{}", own.stderr);
}

#[test]
fn a_program_that_is_regreen_is_not_changed_unseen() {
    let project = Project::agenda();
    project.write(&[("Cargo.toml", "[package]\nname = \"regreen\"\nversion = \"9.9.9\"\n")]);
    project.commit("Be Regreen");
    project.configure("[governance]\nenvironment = \"dev\"\n[governance.dev]\nred = \"auto\"\n");
    let waits = project.regreen(HEAL).expect(3);
    let reasons = event(&waits, "assessed")["assessment"]["reasons"].clone();
    assert_eq!((&reasons[0]["rule"], &reasons[0]["risk"]), (&json!("self_modify_codebase"), &json!("red")));
    project.regreen(&["approve", &id_of(&waits)]).expect(0);
    project.configure("");
    project.git(&["checkout", "-q", "--", "agenda"]);
    project.regreen(HEAL).expect(0);
}

#[test]
fn a_question_that_is_over_is_asked_again() {
    let project = Project::agenda();
    project.configure(&in_production("expires = \"1ms\""));
    let before = project.everything();
    let run = id_of(&project.regreen(HEAL).expect(3));
    for _ in 0..2 {
        let late = project.regreen(&["approve", &run]).expect(3);
        assert!(late.stderr.contains("asked again"), "{}", late.stderr);
    }
    let all = events(&project, &run);
    let asked = all.kinds().iter().filter(|kind| *kind == "approval-needed").count();
    assert_eq!((asked, all.kinds().iter().filter(|kind| *kind == "approved").count()), (3, 0));
    assert_eq!(project.everything(), before);
    let rows = project.regreen(&["runs", "--json"]).expect(0).stdout;
    assert!(rows.contains("\"waiting\""), "{rows}");
    project.regreen(&["reject", &run, "--reason", "too late"]).expect(0);
    assert_eq!(event(&events(&project, &run), "rejected")["reason"], "too late");
}

#[test]
fn what_became_stricter_meanwhile_holds_for_a_run_that_waits() {
    let project = Project::agenda();
    project.configure(&in_production(""));
    let before = project.everything();
    let run = id_of(&project.regreen(HEAL).expect(3));
    // Two have to agree by now, and one of them is somebody else.
    project.configure(&in_production("people = 2\nother_person = true"));
    let again = project.regreen(&["approve", &run, "--json"]).expect(3);
    let asked = event(&again, "approval-needed");
    assert_eq!(asked["question"]["people"], 2, "{asked}");
    assert!(!asked["question"]["except"].is_null(), "{asked}");
    assert_eq!(project.everything(), before);
    // What is looser meanwhile does not hold.
    project.configure("");
    let own = project.regreen(&["approve", &run]).expect(3);
    assert!(own.stderr.contains("asked for this run"), "{}", own.stderr);
    let denies = in_production("[governance.production]\nyellow = \"deny\"");
    project.configure(&in_production(""));
    let other = id_of(&project.regreen(HEAL).expect(3));
    project.configure(&denies);
    let denied = project.regreen(&["approve", &other, "--json"]).expect(3);
    assert_eq!(event(&denied, "stopped")["rule"], "denied");
    assert_eq!(project.everything(), before);
    let kinds = events(&project, &other).kinds();
    assert!(!kinds.contains(&"landed".to_owned()), "{kinds:?}");
}

#[test]
fn who_agreed_to_a_file_is_asked_again_where_policy_asks_by_now() {
    let project = Project::agenda();
    project.configure("[guards]\nprotected = [\"agenda/**\"]\n");
    let before = project.everything();
    let first = project.regreen(HEAL).expect(3);
    assert_eq!(event(&first, "assessed")["terms"]["ruling"], "auto");
    let run = id_of(&first);
    project.configure(&in_production(""));
    let again = project.regreen(&["approve", &run, "--json"]).expect(3);
    assert_eq!(event(&again, "assessed")["terms"]["ruling"], "approve");
    let reasons = event(&again, "approval-needed")["reasons"].to_string();
    assert!(reasons.contains("in production") && reasons.contains("people plan by it"), "{reasons}");
    assert_eq!(project.everything(), before);
    project.regreen(&["approve", &run]).expect(0);
    assert!(project.everything() != before);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_other_people_agree_to_this_very_patch() {
    let project = Project::agenda();
    project.configure(&in_production("people = 2\nother_person = true"));
    let served = Served::start(&project, &[]);
    // Anna may submit and approve, under one name.
    let [anna, bert, carl, dora] =
        [("anna", "admin"), ("bert", "approve"), ("carl", "approve"), ("dora", "submit")]
            .map(|(name, scope)| token(&project, name, scope));
    let submission =
        json!({ "repo": project.root, "command": ["python3", "-m", "unittest"], "no_model": true });
    let submitted = served.send(reqwest::Method::POST, "/api/v1/runs", Some(&anna), Some(&submission)).await;
    let run = submitted.expect(201).json()["run"].as_str().expect("a run").to_owned();
    project.regreen(&["worker", "--once"]).expect(0);

    let path = format!("/api/v1/runs/{run}");
    let shown = served.get(&path).await.expect(200).json();
    assert_eq!((&shown["requester"], &shown["risk"]["risk"]), (&json!("anna"), &json!("yellow")));
    assert_eq!((&shown["waiting"]["people"], &shown["waiting"]["not_by"]), (&json!(2), &json!("anna")));
    let patch = shown["waiting"]["patch"].as_str().expect("a digest").to_owned();
    let approve = async |token: &str, patch: &str| {
        let body = json!({ "patch": patch });
        served.send(reqwest::Method::POST, &format!("{path}/approve"), Some(token), Some(&body)).await
    };
    let told = approve(&anna, &patch).await.expect(409);
    assert!(told.text.contains("asked for this run"), "{}", told.text);
    approve(&dora, &patch).await.expect(403);
    // What was read of another patch, or guessed from the start of this one.
    for wrong in [&"0".repeat(64), &patch[..8], ""] {
        approve(&bert, wrong).await.expect(409);
    }
    let first = approve(&bert, &patch).await.expect(202).json();
    assert!(first["done"].as_str().expect("words").contains("1 of 2"), "{first}");
    let again = approve(&bert, &patch).await.expect(409);
    assert!(again.text.contains("agreed already"), "{}", again.text);
    let waiting = served.get("/api/v1/approvals").await.expect(200).json();
    assert_eq!(waiting["items"][0]["agreed"], json!(["bert"]));
    project.regreen(&["worker", "--once"]).expect(0);
    assert!(!events(&project, &run).kinds().contains(&"landed".to_owned()), "one is not enough");
    // Two at the same moment: one of them lands it.
    let (one, other) = tokio::join!(approve(&carl, &patch), approve(&carl, &patch));
    let mut codes = [one.status.as_u16(), other.status.as_u16()];
    codes.sort_unstable();
    assert_eq!(codes, [202, 409]);
    project.regreen(&["worker", "--once"]).expect(0);
    let all = events(&project, &run);
    let who: Vec<_> = all.events().into_iter().filter(|event| event["event"] == "approved").collect();
    assert_eq!(
        who.iter().map(|event| event["by"].as_str().expect("a name")).collect::<Vec<_>>(),
        ["bert", "carl"]
    );
    assert!(who.iter().all(|event| event["patch"] == patch.as_str()));
    assert_eq!(all.kinds().iter().filter(|kind| *kind == "landed").count(), 1);
    assert_eq!(served.get("/api/v1/approvals").await.json()["items"], json!([]));
    let audit = served.get("/api/v1/audit?limit=200").await.expect(200).json();
    let entries = audit["items"].as_array().expect("entries");
    let seen = |actor: &str, status: u64| {
        entries.iter().any(|one| {
            one["actor"] == actor
                && one["status"] == status
                && one["action"].as_str().expect("an action").ends_with("/approve")
        })
    };
    assert!(seen("anna", 409) && seen("bert", 202) && seen("carl", 202), "{audit}");
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Sqlite,
    Postgres,
}

fn endless(kind: Kind) -> Project {
    let mut project = Project::agenda();
    if let Kind::Postgres = kind {
        project.env.insert("REGREEN_DATABASE_URL".into(), Server::shared().database());
    }
    project
}

/// Regreen at work, with the events that it prints.
struct Working {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Working {
    fn start(project: &Project, words: &[&str], options: &[&str]) -> Self {
        let mut command = project.command(&[words, &["--json"], options].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Self { child, lines }
    }

    /// Waits for an event, and gives it.
    #[track_caller]
    fn until(&mut self, kind: &str) -> Value {
        for line in self.lines.by_ref() {
            let event: Value = serde_json::from_str(&line.expect("a line")).expect("an event");
            if event["event"] == kind {
                return event;
            }
        }
        panic!("it ended before {kind}");
    }

    fn end(mut self) -> Option<i32> {
        for _ in self.lines.by_ref() {}
        self.child.wait().expect("it ends").code()
    }
}

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

on_both!(a_halt_stops_workers_and_nothing_is_lost, a_halt_stops_what_is_driven_by_hand);

fn a_halt_stops_workers_and_nothing_is_lost(kind: Kind) {
    let project = endless(kind);
    let run = project.regreen(&[&["submit"], ENDLESS].concat()).expect(0).stdout.trim().to_owned();
    let mut worker = Working::start(&project, &["worker"], &[]);
    worker.until("check-started");
    let root = project.root.to_str().expect("UTF-8");
    project.regreen(&["halt", "--repo", root, "--reason", "release day"]).expect(0);
    let halted = worker.until("halted");
    assert_eq!(halted["reason"], "release day");
    // A second worker that comes to it now finds nothing to do, whatever becomes of the first.
    kill_process(Pid::from_child(&worker.child), Signal::TERM).expect("it lives");
    assert_eq!(worker.end(), Some(0));
    gone(&project);
    project.regreen(&["halt", "--reason", "and everything else"]).expect(0);
    project.regreen(&["worker", "--once"]).expect(0);
    let other = project.regreen(&["submit", "--no-model", "--", "true"]).expect(0).stdout.trim().to_owned();
    project.regreen(&["worker", "--once"]).expect(0);
    let told = project.regreen(&["runs"]).expect(0);
    assert!(
        told.stderr.contains("and everything else") && told.stderr.contains("release day"),
        "{}",
        told.stderr
    );
    project.regreen(&["unhalt"]).expect(0);
    project.regreen(&["worker", "--once"]).expect(0);
    assert_eq!(events(&project, &other).kinds(), ["submitted"], "the repo is still halted");

    project.regreen(&["unhalt", "--repo", root]).expect(0);
    let mut worker = Working::start(&project, &["worker"], &[]);
    worker.until("resumed");
    worker.until("check-started");
    project.regreen(&["cancel", &run]).expect(0);
    worker.until("finished");
    worker.until("finished");
    kill_process(Pid::from_child(&worker.child), Signal::TERM).expect("it lives");
    assert_eq!(worker.end(), Some(0));
    assert_eq!(event(&events(&project, &other), "finished")["exit"], "green");
    gone(&project);
}

fn a_halt_stops_what_is_driven_by_hand(kind: Kind) {
    let project = endless(kind);
    let mut healing = Working::start(&project, &["heal"], ENDLESS);
    let run = healing.until("check-started")["run"].as_str().expect("an id").to_owned();
    project.regreen(&["halt", "--reason", "stop it"]).expect(0);
    let stopped = healing.until("stopped");
    assert!(
        stopped["rule"] == "halted" && stopped["why"].as_str().expect("why").contains("stop it"),
        "{stopped}"
    );
    assert_eq!(healing.end(), Some(3));
    gone(&project);
    for words in [&["resume", run.as_str()][..], &["heal", "--no-model", "--", "true"]] {
        let refused = project.regreen(words).expect(3);
        assert!(
            refused.stderr.contains("stop it") && refused.stderr.contains("regreen unhalt"),
            "{}",
            refused.stderr
        );
    }
    assert!(project.regreen(&["halt", "--list"]).expect(0).stdout.contains("stop it"));
    project.regreen(&["unhalt"]).expect(0);
    let mut again = Working::start(&project, &["resume", &run], &[]);
    again.until("resumed");
    again.until("check-started");
    kill_process(Pid::from_child(&again.child), Signal::TERM).expect("it lives");
    again.end();
    gone(&project);
    project.regreen(&["heal", "--no-model", "--", "true"]).expect(0);
}

/// At which of the events that a repair tells of it is about to land.
fn landing_starts() -> usize {
    let kinds = Project::agenda().regreen(HEAL).expect(0).kinds();
    kinds.iter().position(|kind| kind == "landing-started").expect("it lands") + 1
}

#[test]
fn a_landing_that_a_halt_meets_is_completed() {
    let at = landing_starts();
    for (words, begun) in [(HEAL, 0), (&["worker", "--once", "--json"], 1)] {
        let project = std::rc::Rc::new(Project::agenda());
        if begun > 0 {
            project.regreen(&[&["submit"], &HEAL[1..2], &HEAL[3..]].concat()).expect(0);
        }
        let halting = project.clone();
        let halt = move || drop(halting.regreen(&["halt", "--reason", "in the middle of it"]).expect(0));
        let meets = (Moment::Event(at), Fault::Meanwhile(Meanwhile(std::rc::Rc::new(halt))));
        let ended = supervised::run(project.command(words), &[meets], &[]);
        assert_eq!((ended.code, ended.met.len()), (Some(0), 1), "{}", ended.stderr);
        let run = project.regreen(&["runs", "--json"]).expect(0).stdout;
        let run: Value = serde_json::from_str(run.lines().next().expect("a run")).expect("a row");
        let id = run["id"].as_str().expect("an id");
        let kinds = events(&project, id).kinds();
        let count = |kind: &str| kinds.iter().filter(|one| *one == kind).count();
        assert_eq!(count("landed"), 1, "{kinds:?}");
        // Whatever was left is done once that is lifted, and nothing lands again.
        project.regreen(&["unhalt"]).expect(0);
        project.regreen(&["worker", "--once"]).expect(0);
        let kinds = events(&project, id).kinds();
        let count = |kind: &str| kinds.iter().filter(|one| *one == kind).count();
        assert_eq!((count("landed"), count("finished"), count("stopped")), (1, 1, 0), "{kinds:?}");
        let rows = project.regreen(&["runs", "--json"]).expect(0).stdout;
        assert!(rows.contains("\"healed\""), "{rows}");
        gone(&project);
    }
}

#[tokio::test]
async fn a_ticket_that_a_halt_stops_goes_on_in_its_sub_task_once_it_is_lifted() {
    let answers = [Reply::Text(plan()), Reply::Hang, Reply::Text(subtract()), Reply::Text(multiply())];
    let vendor = Anthropic::start(answers).await;
    let project = calculator().anthropic(&vendor);
    let ticket = project.regreen(&["submit", "ticket.md"]).expect(0).stdout.trim().to_owned();
    let mut worker = Working::start(&project, &["worker"], &[]);
    // The model of the first sub-task is being asked.
    while vendor.requests().len() < 2 {
        tokio::task::yield_now().await;
    }
    project.regreen(&["halt", "--reason", "not today"]).expect(0);
    assert_eq!(worker.until("halted")["run"], ticket);
    kill_process(Pid::from_child(&worker.child), Signal::TERM).expect("it lives");
    assert_eq!(worker.end(), Some(0));
    gone(&project);
    project.regreen(&["worker", "--once"]).expect(0);
    assert_eq!(vendor.requests().len(), 2, "nobody is asked while it is halted");
    assert_eq!(project.git(&["branch", "--list", BRANCH]), "");
    project.regreen(&["unhalt"]).expect(0);
    project.regreen(&["worker", "--once"]).expect(0);
    assert_eq!(subjects(&project, BRANCH).len(), 2);
    let kinds = events(&project, &ticket).kinds();
    let count = |kind: &str| kinds.iter().filter(|one| *one == kind).count();
    assert_eq!((count("halted"), count("planned"), count("finished")), (1, 1, 1), "{kinds:?}");
    let runs = project.regreen(&["runs", "-n", "100", "--json"]).expect(0).stdout;
    assert_eq!(runs.lines().filter(|run| run.contains("\"subtask\"")).count(), 2, "{runs}");
    assert_eq!(vendor.requests().len(), 4, "only what was cut off is asked again");
    gone(&project);
}
