//! How runs of tickets end before they are done, how they go on, and what is said of them afterwards.

use serde_json::Value;

use crate::project::{Project, Ran};
use crate::scripted::edit;
use crate::tickets::{BRANCH, CALC, calculator, killed_at, multiply, plan, subjects, subtract};
use crate::vendor::{Anthropic, OpenaiChat, Reply};

const UNITTEST: [&str; 4] = ["--", "python3", "-m", "unittest"];

/// The arguments of the `regreen resume` that a run ended with.
#[track_caller]
fn hint(ran: &Ran) -> Vec<String> {
    let (_, rest) = ran.stderr.rsplit_once("regreen resume ").expect(&ran.stderr);
    let words = rest.lines().next().unwrap_or_default().split_whitespace();
    ["resume"].into_iter().chain(words).map(|word| word.trim_matches('`').to_owned()).collect()
}

/// Does what a run ended with the hint of.
#[track_caller]
fn follow(project: &Project, ran: &Ran) -> Ran {
    let hint = hint(ran);
    project.regreen(&hint.iter().map(String::as_str).collect::<Vec<_>>())
}

fn rows(project: &Project) -> Vec<Value> {
    let listed = project.regreen(&["runs", "--json"]).expect(0).stdout;
    listed.lines().map(|row| serde_json::from_str(row).expect("a row")).collect()
}

fn stats(project: &Project) -> Value {
    serde_json::from_str(&project.regreen(&["stats", "--json"]).expect(0).stdout).expect("an object")
}

#[tokio::test]
async fn a_plan_that_was_cut_off_is_only_planned_when_it_goes_on() {
    // Whether the first answer came before the kill does not matter.
    let vendor = Anthropic::start([plan(), plan(), subtract(), multiply()].map(Reply::Text)).await;
    let project = calculator().anthropic(&vendor);
    killed_at(&project, "plan", "started", 0);
    let ran = project.regreen(&["resume"]).expect(0);
    assert!(ran.stdout.contains("Two functions beside add."), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(project.git(&["branch", "--list", "regreen/*"]), "");
    assert!(vendor.requests().len() <= 2, "nothing is implemented");
    let again = project.regreen(&["resume"]).expect(0);
    assert!(again.stderr.contains("no run was cut off"), "{}", again.stderr);
}

#[tokio::test]
async fn a_plan_goes_on_with_what_it_was_told() {
    let revised = plan().replace("Two functions beside add.", "Two functions, in a file of their own.");
    let vendor = Anthropic::start([plan(), revised].map(Reply::Text)).await;
    let project = calculator().anthropic(&vendor);
    project.regreen(&["plan", "ticket.md"]).expect(0);
    let asked = ["plan", "--budget", "0.001", "--feedback", "a file of their own, please", "ticket.md"];
    let ran = project.regreen(&asked).expect(4);
    let ran = follow(&project, &ran).expect(0);
    assert!(ran.stdout.contains("in a file of their own"), "{}", ran.stdout);
    assert!(vendor.requests()[1].last_text().contains("a file of their own, please"));
}

#[tokio::test]
async fn the_hint_of_a_budget_that_is_used_up_leads_on() {
    let vendor = Anthropic::start([plan()].map(Reply::Text)).await;
    let project = calculator().anthropic(&vendor);
    for budget in ["0", "0.001"] {
        let ran = project.regreen(&["plan", "--budget", budget, "ticket.md"]).expect(4);
        assert!(ran.stderr.contains("may cost"), "{}", ran.stderr);
        assert!(!hint(&ran).contains(&"0.00".to_owned()), "{}", ran.stderr);
        if budget == "0.001" {
            let ran = follow(&project, &ran).expect(0);
            assert!(ran.stdout.contains("Two functions beside add."), "{}", ran.stdout);
        }
    }
}

#[tokio::test]
async fn a_repair_without_money_is_told_how_to_go_on() {
    let repair = edit("calc.py", "return a - b", "return a + b");
    let vendor = Anthropic::start([repair].map(Reply::Text)).await;
    let project = calculator();
    project.write(&[("calc.py", &CALC.replace('+', "-"))]);
    let project = project.anthropic(&vendor);
    let ran = project.regreen(&[&["heal", "--budget", "0"][..], &UNITTEST].concat()).expect(4);
    follow(&project, &ran).expect(0);
    assert_eq!(project.read("calc.py"), CALC);
    // Memory and the toolchain had nothing to offer: one attempt was made.
    assert_eq!(rows(&project)[0]["attempts"], 1);
}

#[tokio::test]
async fn money_and_ends_of_a_ticket_are_counted_once() {
    let vendor = Anthropic::start([plan(), plan(), subtract(), multiply()].map(Reply::Text)).await;
    let project = calculator().anthropic(&vendor);
    project.regreen(&["plan", "ticket.md"]).expect(0);
    std::fs::write(project.root.join("ticket.md"), "# Another title\n\nSubtract and multiply.\n")
        .expect("it");
    project.regreen(&["run", "ticket.md"]).expect(0);
    let rows = rows(&project);
    let cost = rows.iter().map(|row| row["cost"].as_u64().expect("money")).sum::<u64>();
    let stats = stats(&project);
    assert_eq!(stats["cost"], cost, "{stats}");
    assert!(cost > 0);
    for (name, count) in
        [("runs", 4), ("green_already", 0), ("healed", 2), ("implemented", 1), ("planned", 1)]
    {
        assert_eq!(stats[name], count, "{name}: {stats}");
    }
    let mut ends: Vec<_> = rows.iter().map(|row| row["outcome"].as_str().expect("an end")).collect();
    ends.sort_unstable();
    assert_eq!(ends, ["healed", "healed", "implemented", "planned"]);
    let tries = rows.iter().map(|row| row["attempts"].as_u64().expect("a count")).sum::<u64>();
    assert_eq!(tries, 2);
}

#[tokio::test]
async fn a_run_that_waits_worked_in_every_table() {
    let vendor = Anthropic::start([edit("calc.py", "return a - b", "return a + b")].map(Reply::Text)).await;
    let project = calculator();
    project.write(&[("calc.py", &CALC.replace('+', "-"))]);
    let project = project.anthropic(&vendor);
    project.configure("[guards]\nprotected = [\"calc.py\"]\n");
    project.regreen(&[&["heal"][..], &UNITTEST].concat()).expect(3);
    let stats = stats(&project);
    for table in ["attempts", "by_category"] {
        let counts: Vec<_> = stats[table].as_object().expect("a table").values().collect();
        assert_eq!(counts, [&serde_json::json!([1, 1])], "{table}: {stats}");
    }
    assert_eq!(rows(&project)[0]["attempts"], 1);
}

#[tokio::test]
async fn the_attempts_given_hold_for_the_whole_ticket() {
    let vendor = Anthropic::start([plan(), subtract(), multiply()].map(Reply::Text)).await;
    let project = calculator().anthropic(&vendor);
    let ran = project.regreen(&["run", "--max-attempts", "1", "ticket.md"]).expect(4);
    assert_eq!(subjects(&project, BRANCH).len(), 1);
    assert!(ran.stderr.contains("1 attempt was allowed and made"), "{}", ran.stderr);
    assert_eq!(vendor.requests().len(), 2);
    follow(&project, &ran).expect(0);
    assert_eq!(subjects(&project, BRANCH).len(), 2);
}

/// The runs of a ticket's sub-tasks: how many attempts each made.
fn subtasks(project: &Project) -> Vec<u64> {
    let rows = rows(project).into_iter().filter(|row| row["trigger"] == "subtask");
    rows.rev().map(|row| row["attempts"].as_u64().expect("a count")).collect()
}

#[tokio::test]
async fn a_sub_task_that_a_limit_stopped_goes_on_where_it_was() {
    let wrong = multiply().replace("return a * b", "return a - b");
    let vendor = Anthropic::start([plan(), subtract(), wrong, multiply()].map(Reply::Text)).await;
    let project = calculator().anthropic(&vendor);
    let ran = project.regreen(&["run", "--max-attempts", "2", "ticket.md"]).expect(4);
    assert_eq!(subtasks(&project), [1, 1]);
    follow(&project, &ran).expect(0);
    assert_eq!(subtasks(&project), [1, 2], "no sub-task was begun anew");
    assert_eq!(subjects(&project, BRANCH).len(), 2);
    let sent = vendor.requests();
    assert!(sent[3].last_text().contains("return a - b"), "it sees what was tried: {}", sent[3].last_text());

    let vendor = Anthropic::start([plan(), subtract(), multiply()].map(Reply::Text)).await;
    let project = calculator().anthropic(&vendor);
    project.regreen(&["plan", "ticket.md"]).expect(0);
    let ran = project.regreen(&["run", "--budget", "0", "ticket.md"]).expect(4);
    follow(&project, &ran).expect(0);
    assert_eq!(subtasks(&project).len(), 2, "no sub-task was begun anew");
    assert_eq!(subjects(&project, BRANCH).len(), 2);
}

#[tokio::test]
async fn the_attempts_given_hold_for_what_goes_on_too() {
    let wrong = subtract().replace("return a - b", "return a * b");
    let vendor = Anthropic::start([plan(), wrong, subtract(), multiply()].map(Reply::Text)).await;
    let project = calculator().anthropic(&vendor);
    for made in [vec![1], vec![2]] {
        let asked: &[&str] =
            if made == [1] { &["run", "--max-attempts", "1", "ticket.md"] } else { &["resume", "last"] };
        // The newest run is the sub-task's.
        let ticket = rows(&project).into_iter().find(|row| row["trigger"] == "ticket");
        let ticket = ticket.map(|row| row["id"].as_str().expect("an id").to_owned());
        let asked: Vec<&str> = asked
            .iter()
            .map(|word| if *word == "last" { ticket.as_deref().expect("a run") } else { word })
            .collect();
        let ran = project.regreen(&asked).expect(4);
        assert!(ran.stderr.contains("1 attempt was allowed and made"), "{}", ran.stderr);
        assert_eq!(subtasks(&project), made);
    }
    assert_eq!(subjects(&project, BRANCH).len(), 1);
}

#[tokio::test]
async fn who_has_spent_the_days_money_is_not_told_to_raise_the_runs() {
    let vendor = Anthropic::start([plan()].map(Reply::Text)).await;
    let project = calculator().anthropic(&vendor);
    project.regreen(&["plan", "ticket.md"]).expect(0);
    project.configure("[budget]\nday_usd = 0.01\n");
    project.write(&[("calc.py", &CALC.replace('+', "-"))]);
    for asked in [&["run", "ticket.md"][..], &[&["heal"][..], &UNITTEST].concat()] {
        let ran = project.regreen(asked).expect(4);
        assert!(ran.stderr.contains("budget.day_usd"), "{}", ran.stderr);
        assert_eq!(hint(&ran).len(), 2, "{}", ran.stderr);
    }
}

#[tokio::test]
async fn a_tickets_last_screen_repeats_what_its_sub_tasks_warned_of() {
    let vendor = OpenaiChat::start([plan(), subtract(), multiply()].map(Reply::Text)).await;
    let project = calculator();
    project.configure(&format!(
        "[providers.local]\nkind = \"openai-chat\"\nbase_url = \"{}/v1\"\n[[ladder]]\nfixer = \"model\"\nprovider = \"local\"\nmodel = \"qwen3-coder\"\n",
        vendor.base_url()
    ));
    let ran = project.regreen(&["run", "ticket.md"]).expect(0);
    let (_, screen) = ran.stderr.split_once("is implemented").expect(&ran.stderr);
    assert_eq!(screen.matches("no price is known for qwen3-coder").count(), 1, "{screen}");
    assert!(screen.contains("prices.toml"), "{screen}");
}

#[tokio::test]
async fn the_time_given_holds_for_the_whole_ticket() {
    let vendor = Anthropic::start([Reply::Hang, Reply::Hang]).await;
    let project = calculator().anthropic(&vendor);
    for command in ["plan", "run"] {
        let ran = project.regreen(&[command, "--timeout", "1ms", "ticket.md"]).expect(4);
        assert_eq!(hint(&ran).len(), 2, "{}", ran.stderr);
    }

    let vendor = Anthropic::start([plan(), subtract(), multiply()].map(Reply::Text)).await;
    let project = calculator().anthropic(&vendor);
    let ran = project.regreen(&["run", "--json", "--timeout", "1h", "ticket.md"]).expect(0);
    let time = |event: Value| {
        let part = |name: &str| event["timeout"][name].as_u64().expect("a number");
        (part("secs"), part("nanos"))
    };
    let given: Vec<_> =
        ran.events().into_iter().filter(|event| event["event"] == "started").map(time).collect();
    assert_eq!(given.len(), 3);
    assert!(given[0] == (3600, 0) && given[1] < given[0] && given[2] < given[1], "{given:?}");
}

#[tokio::test]
async fn options_that_would_do_nothing_are_refused() {
    let vendor = Anthropic::start([""; 0]).await;
    let project = calculator().anthropic(&vendor);
    let ran = project.regreen(&["run", "--dry-run", "ticket.md"]).expect(2);
    assert!(ran.stderr.contains("regreen plan"), "{}", ran.stderr);
    for option in ["--dry-run", "--no-model", "--max-attempts=1", "--sandbox=off", "--allow-net=none"] {
        project.regreen(&["plan", option, "ticket.md"]).expect(2);
    }
    assert_eq!(vendor.requests().len(), 0);
}

#[tokio::test]
async fn a_run_that_was_cut_off_is_not_followed_for_ever() {
    let vendor = Anthropic::start([plan(), subtract(), multiply()].map(Reply::Text)).await;
    let project = calculator().anthropic(&vendor);
    killed_at(&project, "run", "planned", 0);
    let id =
        rows(&project).into_iter().find(|row| row["trigger"] == "ticket").expect("the run")["id"].clone();
    let ran = project.regreen(&["logs", "-f", id.as_str().expect("an id")]).expect(0);
    assert_eq!(hint(&ran).len(), 2, "{}", ran.stderr);
}

#[tokio::test]
async fn a_reset_names_what_was_moved() {
    let vendor = Anthropic::start([plan(), subtract(), multiply()].map(Reply::Text)).await;
    let project = calculator().anthropic(&vendor);
    project.regreen(&["run", "ticket.md"]).expect(0);
    let first = project.git(&["rev-parse", &format!("{BRANCH}~1")]);
    let rows = rows(&project);
    let ticket = rows.iter().find(|row| row["trigger"] == "ticket").expect("the run");
    let ran = project.regreen(&["rollback", "--reset", ticket["id"].as_str().expect("an id")]).expect(0);
    for words in
        [format!("{BRANCH} is back at {}", &first[..7]), format!("{BRANCH}, which it had made, is removed")]
    {
        assert!(ran.stderr.contains(&words), "{words}: {}", ran.stderr);
    }
    assert_eq!(project.git(&["branch", "--list", "regreen/*"]), "");
}
