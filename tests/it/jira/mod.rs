//! Jira: issues as tickets, results as comments, and an epic's way to its stories' branches, whatever is delivered how often in which order.

mod fake;
mod hierarchy;

use serde_json::Value;

use self::fake::{ANNA, BOT, Jira, Kind, TOKEN};
use crate::project::Project;
use crate::tickets::{calculator, multiply, plan, subjects, subtract};
use crate::vendor::{Anthropic, Reply, Vendor};

const STORY: &str = "The calculator can only add.\n\nAcceptance criteria:\nsubtract(3, 1) is 2";
/// What deliveries are signed with.
pub const SECRET: &str = "jira-secret-77aa01b2c3";

/// The calculator, with a model and a Jira.
pub fn project(vendor: &Vendor, jira: &Jira, more: &str) -> Project {
    let mut project = calculator().anthropic(vendor);
    project.env.insert("JIRA_TOKEN".to_owned(), TOKEN.to_owned());
    project.env.insert("JIRA_SECRET".to_owned(), SECRET.to_owned());
    project.configure(&jira.configuration(&project.root, more));
    project
}

/// A model that knows the calculator's plan and both functions.
async fn model() -> Vendor {
    Anthropic::start([plan(), subtract(), multiply()].map(Reply::Text)).await
}

async fn implemented(kind: Kind) {
    let (vendor, jira) = (model().await, Jira::start(kind).await);
    jira.add("OD-33", "Story", "Subtract and multiply", STORY);
    jira.says("OD-33", "Numbers are always whole.");
    let project = project(&vendor, &jira, "");
    let ran = project.regreen(&["run", "jira:OD-33"]).expect(0);
    assert!(!ran.stderr.contains("was not brought up to date"), "{}", ran.stderr);

    let asked = vendor.requests()[0].last_text();
    assert!(asked.contains("can only add") && asked.contains("> Numbers are always whole."), "{asked}");
    let issue = jira.issue("OD-33");
    assert_eq!(issue.moves, ["In Progress", "In Testing"]);
    let said = jira.said("OD-33");
    assert_eq!(said.len(), 1, "one comment, kept up to date: {said:#?}");
    for words in
        ["implemented", "Add subtract", "Add multiply", "regreen/subtract-and-multiply", "1 → 2 tests"]
    {
        assert!(said[0].contains(words), "{words}: {}", said[0]);
    }
    assert_eq!(subjects(&project, "regreen/subtract-and-multiply").len(), 2);
    assert_eq!(issue.assignee, None, "nobody was bothered");
    project.never_kept(TOKEN, &[&ran]);
}

#[tokio::test]
async fn an_issue_of_the_cloud_is_implemented() {
    implemented(Kind::Cloud).await;
}

#[tokio::test]
async fn an_issue_of_a_server_is_implemented() {
    implemented(Kind::Server).await;
}

#[tokio::test]
async fn a_plan_becomes_a_comment_that_is_kept_up_to_date() {
    let vendor =
        Anthropic::start([plan(), plan().replace("Two functions", "Three functions")].map(Reply::Text)).await;
    let jira = Jira::start(Kind::Cloud).await;
    jira.add("OD-33", "Story", "Subtract and multiply", STORY);
    let project = project(&vendor, &jira, "");
    project.regreen(&["plan", "jira:OD-33"]).expect(0);
    assert_eq!(jira.issue("OD-33").status, "Plan Review");
    let first = jira.said("OD-33");
    assert!(first.len() == 1 && first[0].contains("Two functions beside add."), "{first:#?}");
    project.regreen(&["plan", "--feedback", "one more", "jira:OD-33"]).expect(0);
    let second = jira.said("OD-33");
    assert!(second.len() == 1 && second[0].contains("Three functions beside add."), "{second:#?}");
}

#[tokio::test]
async fn a_failure_is_analysed_and_given_to_a_person() {
    let useless = || Reply::Text("UNFIXABLE: the calculator is made of stone".to_owned());
    let vendor =
        Anthropic::start([Reply::Text(plan()), Reply::Text(subtract()), useless(), useless(), useless()])
            .await;
    let jira = Jira::start(Kind::Cloud).await;
    jira.add("OD-33", "Story", "Subtract and multiply", STORY);
    let project = project(&vendor, &jira, "");
    let ran = project.regreen(&["run", "jira:OD-33"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let issue = jira.issue("OD-33");
    assert_eq!((issue.status.as_str(), issue.assignee.as_deref()), ("Blocked", Some(ANNA)));
    let said = jira.said("OD-33").join("\n");
    for words in [
        "What failed",
        "made of stone",
        "What was tried",
        "claude-sonnet-5-5",
        "What is done",
        "Add subtract",
        "Where to look",
        "regreen show",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(jira.said("OD-33").len(), 1);
}

#[tokio::test]
async fn questions_wait_for_answers() {
    let asks = serde_json::from_str::<Value>(&plan()).map(|mut plan| {
        plan["questions"] = serde_json::json!([{"question": "Which rounding?", "why": "", "blocking": true}]);
        plan.to_string()
    });
    let vendor =
        Anthropic::start([asks.expect("a plan"), plan(), subtract(), multiply()].map(Reply::Text)).await;
    let jira = Jira::start(Kind::Cloud).await;
    jira.add("OD-33", "Story", "Subtract and multiply", STORY);
    jira.change("OD-33", |issue| issue.assignee = Some(BOT.to_owned()));
    let project = project(&vendor, &jira, "poll = \"1s\"");
    let worker = Process::start(&project, &["worker"]);
    jira.until("a question", |world| world.issues["OD-33"].status == "Blocked").await;
    assert!(jira.said("OD-33").join("").contains("Which rounding?"));
    jira.says("OD-33", "Half to even.");
    jira.until("the end", |world| world.issues["OD-33"].status == "In Testing").await;
    let told = vendor.requests()[1].last_text();
    assert!(told.contains("Half to even.") && told.contains("Which rounding?"), "{told}");
    assert_eq!(jira.said("OD-33").len(), 1);
    worker.end();

    // People look at it, and want something else.
    jira.change("OD-33", |issue| issue.status = "Needs Rework".to_owned());
    let quiet = Process::start(&project, &["worker"]);
    let asked = jira.world().calls.len();
    jira.until("some looks", |world| world.calls.len() > asked + 8).await;
    assert_eq!(jira.issue("OD-33").status, "Needs Rework", "without a comment nobody knows what to do");
    quiet.end();
    vendor.play(
        [plan(), subtract().replace("subtract", "minus"), multiply().replace("multiply", "times")]
            .map(Reply::Text),
    );
    jira.says("OD-33", "Call them minus and times.");
    let worker = Process::start(&project, &["worker"]);
    jira.until("the rework", |world| {
        world.issues["OD-33"].moves.iter().filter(|at| *at == "In Testing").count() == 2
    })
    .await;
    let requests = vendor.requests();
    let told = requests.iter().map(|asked| asked.last_text()).any(|text| {
        text.contains("Call them minus and times.") && text.contains("regreen/od-33-subtract-and-multiply")
    });
    assert!(told, "{:#?}", requests.iter().map(|asked| asked.last_text()).collect::<Vec<_>>());
    assert_eq!(subjects(&project, "regreen/od-33-subtract-and-multiply").len(), 4, "the same branch goes on");
    assert_eq!(jira.said("OD-33").len(), 1);
    worker.end();
}

#[test]
fn what_is_wrong_is_said() {
    let project = calculator();
    let ran = project.regreen(&["run", "jira:OD-33"]).expect(2);
    assert!(ran.stderr.contains("no Jira is configured"), "{}", ran.stderr);
    let ran = project.regreen(&["run", "jira:../../x"]).expect(2);
    assert!(ran.stderr.contains("no issue's key"), "{}", ran.stderr);
    project.configure("[jira]\nbase_url = \"https://jira.example.org\"\nemail = \"a@example.org\"\n");
    let ran = project.regreen(&["run", "jira:OD-33"]).expect(2);
    assert!(ran.stderr.contains("no token for Jira"), "{}", ran.stderr);
    project.configure("[jira]\nbase_url = \"http://jira.example.org\"\nemail = \"a@example.org\"\n");
    let ran = project.regreen(&["runs"]).expect(2);
    assert!(ran.stderr.contains("unencrypted"), "{}", ran.stderr);
    project.configure("[jira]\nbase_url = \"https://jira.example.org\"\nemail = \"a@example.org\"\n[jira.status]\ndone = \"blocked\"\n");
    let ran = project.regreen(&["runs"]).expect(2);
    assert!(ran.stderr.contains("two statuses"), "{}", ran.stderr);
}

#[tokio::test]
async fn jira_that_is_busy_or_refuses_is_dealt_with() {
    let (vendor, jira) = (model().await, Jira::start(Kind::Cloud).await);
    jira.add("OD-33", "Story", "Subtract and multiply", STORY);
    let mut project = project(&vendor, &jira, "");
    let busy = || wiremock::ResponseTemplate::new(429).insert_header("retry-after", "0");
    jira.world().faults = vec![busy(), wiremock::ResponseTemplate::new(503), busy()];
    project.regreen(&["run", "jira:OD-33"]).expect(0);
    assert_eq!(jira.said("OD-33").len(), 1);
    jira.world().faults = vec![wiremock::ResponseTemplate::new(429).insert_header("retry-after", "3600")];
    let ran = project.regreen(&["plan", "jira:OD-33"]).expect(5);
    assert!(ran.stderr.contains("asks to wait 3600 s"), "{}", ran.stderr);
    let ran = project.regreen(&["plan", "jira:OD-34"]).expect(2);
    assert!(ran.stderr.contains("no issue OD-34"), "{}", ran.stderr);
    project.env.insert("JIRA_TOKEN".to_owned(), "wrong".to_owned());
    let ran = project.regreen(&["plan", "jira:OD-33"]).expect(2);
    assert!(ran.stderr.contains("401") && ran.stderr.contains("check the token"), "{}", ran.stderr);
}

/// A `regreen` that stays until it is told to end.
pub struct Process(std::process::Child);

impl Process {
    pub fn start(project: &Project, words: &[&str]) -> Self {
        let mut command = project.command(words);
        command.stdout(std::process::Stdio::null());
        Self(command.spawn().expect("regreen starts"))
    }

    pub fn end(mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it lives");
        assert_eq!(self.0.wait().expect("it ends").code(), Some(0));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
