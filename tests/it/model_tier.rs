//! `heal` with language models: two vendors' stand-ins that hold every request against the vendor's rules.

use std::process::Stdio;

use serde_json::Value;

use crate::project::{Project, Ran};
use crate::scripted::{HEAL, SHOP, SHOP_RIGHT, TESTS, edit, right, shop, wrong};
use crate::vendor::{Anthropic, Captured, KEY, OpenaiChat, OpenaiResponses, Reply};

const JSON: &[&str] = &["heal", "--json", "--", "python3", "-m", "unittest"];

/// The decisions of a run: the attempt's fixer and what became of it.
fn decisions(ran: &Ran) -> Vec<(String, String, String)> {
    let mut fixer = String::new();
    let mut all = Vec::new();
    for event in ran.events() {
        match event["event"].as_str() {
            Some("attempt-started") => fixer = event["fixer"].as_str().unwrap_or_default().to_owned(),
            Some("decided") => all.push((
                fixer.clone(),
                event["decision"].as_str().unwrap_or_default().to_owned(),
                event["reason"].as_str().unwrap_or_default().to_owned(),
            )),
            _ => {}
        }
    }
    all
}

fn of_models(ran: &Ran) -> Vec<(String, String)> {
    let all = decisions(ran).into_iter().filter(|(fixer, ..)| fixer.starts_with("model("));
    all.map(|(_, decision, reason)| (decision, reason)).collect()
}

/// The turns of a request: role and text.
fn turns(request: &Captured) -> Vec<(String, String)> {
    let turns =
        request.body["messages"].as_array().or_else(|| request.body["input"].as_array()).expect("turns");
    let text = |content: &Value| match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    };
    turns
        .iter()
        .map(|turn| (turn["role"].as_str().unwrap_or_default().to_owned(), text(&turn["content"])))
        .collect()
}

fn stopped(ran: &Ran) -> (String, String) {
    let events = ran.events();
    let stop = events.iter().find(|event| event["event"] == "stopped").expect("it stopped");
    (
        stop["rule"].as_str().unwrap_or_default().to_owned(),
        stop["why"].as_str().unwrap_or_default().to_owned(),
    )
}

#[tokio::test]
async fn the_first_answer_heals() {
    let vendor = Anthropic::start([right()].map(Reply::Text)).await;
    let project = shop().anthropic(&vendor);
    let ran = project.regreen(HEAL).expect(0);
    assert_eq!(project.read("shop.py"), SHOP_RIGHT);
    assert_eq!(vendor.requests().len(), 1);
    assert!(ran.stderr.contains("model(claude-sonnet-5-5)"), "{}", ran.stderr);
    assert!(ran.stderr.contains("The cause is plain."), "{}", ran.stderr);
    assert!(ran.stderr.contains("$0.0"), "what it cost: {}", ran.stderr);
    let first = vendor.requests()[0].last_text();
    assert!(first.contains("return sum(prices)") && first.contains("test_discount"), "{first}");
}

#[tokio::test]
async fn the_retry_sees_what_the_first_answer_led_to() {
    let vendor = Anthropic::start([wrong(), right()].map(Reply::Text)).await;
    let project = shop().anthropic(&vendor);
    let ran = project.regreen(JSON).expect(0);
    assert_eq!(project.read("shop.py"), SHOP_RIGHT);
    let kinds: Vec<String> = of_models(&ran).into_iter().map(|(decision, _)| decision).collect();
    assert_eq!(kinds, ["drop", "green"]);
    let second = turns(&vendor.requests()[1]);
    assert_eq!(second.len(), 3, "{second:#?}");
    assert!(second[1].1.contains("- discount / 100"), "its own first answer: {second:#?}");
    assert!(second[2].1.contains("19.5 != 10"), "the new failure: {}", second[2].1);
}

#[tokio::test]
async fn the_second_vendor_gets_a_fresh_look_with_the_history() {
    let other = edit("shop.py", "    return sum(prices)", "    return sum(prices) - 1 + discount // 100");
    let first = Anthropic::start([wrong(), other].map(Reply::Text)).await;
    let second = OpenaiResponses::start([right()].map(Reply::Text)).await;
    let project = shop().anthropic(&first).openai(&second);
    let ran = project.regreen(JSON).expect(0);
    assert_eq!(project.read("shop.py"), SHOP_RIGHT);
    let kinds: Vec<String> = of_models(&ran).into_iter().map(|(decision, _)| decision).collect();
    assert_eq!(kinds, ["drop", "drop", "green"]);
    assert_eq!((first.requests().len(), second.requests().len()), (2, 1));
    let fresh = turns(&second.requests()[0]);
    assert_eq!(fresh.len(), 1, "no transcript of the other: {fresh:#?}");
    let text = &fresh[0].1;
    assert!(text.contains("- discount / 100") && text.contains("discount // 100"), "both patches: {text}");
    assert!(text.contains("19.5 != 10"), "what they led to: {text}");
    assert!(text.contains("Others have tried"), "{text}");
    assert!(
        !text.contains("<<<<<<< SEARCH\n    return sum(prices)\n"),
        "the other's words are not passed on: {text}"
    );
}

const TWO: &str =
    "def total(prices, discount=0):\n    return sum(prices)\n\n\ndef label(name):\n    return name\n";
const TWO_TESTS: &str = "import unittest\n\nfrom shop import label, total\n\n\nclass Shop(unittest.TestCase):\n    def test_sum(self):\n        self.assertEqual(total([1, 2]), 3)\n\n    def test_discount(self):\n        self.assertEqual(total([10, 10], 50), 10)\n\n    def test_label(self):\n        self.assertEqual(label('tea'), 'Tea!')\n";

fn two() -> Project {
    Project::new(&[("shop.py", TWO), ("test_shop.py", TWO_TESTS), (".gitignore", "__pycache__/\n")])
}

#[tokio::test]
async fn partial_progress_is_kept_and_built_upon() {
    let rest = edit("shop.py", "    return name", "    return name.capitalize() + '!'");
    let vendor = Anthropic::start([right(), rest].map(Reply::Text)).await;
    let project = two().anthropic(&vendor);
    let ran = project.regreen(JSON).expect(0);
    let kinds: Vec<String> = of_models(&ran).into_iter().map(|(decision, _)| decision).collect();
    assert_eq!(kinds, ["keep", "green"]);
    let text = project.read("shop.py");
    assert!(text.contains("(100 - discount)") && text.contains("capitalize"), "{text}");
    let second = turns(&vendor.requests()[1]);
    let last = &second.last().expect("a turn").1;
    assert!(last.contains("test_label") && last.contains("kept"), "{last}");
    assert!(!last.contains("FAIL: test_discount"), "{last}");
}

#[tokio::test]
async fn a_regression_is_dropped_whole() {
    // It repairs the red test and breaks the green one.
    let worse = edit("shop.py", "    return sum(prices)", "    return 10 if discount else sum(prices) + 1");
    let vendor = Anthropic::start([worse, right()].map(Reply::Text)).await;
    let project = shop().anthropic(&vendor);
    let ran = project.regreen(JSON).expect(0);
    let all = of_models(&ran);
    assert_eq!(all[0].0, "drop");
    assert!(all[0].1.contains("test_sum"), "{all:?}");
    assert_eq!(project.read("shop.py"), SHOP_RIGHT);
    assert!(vendor.requests()[1].last_text().contains("test_sum"));
}

#[tokio::test]
async fn unfixable_stops_with_its_reason() {
    let vendor =
        Anthropic::start(["UNFIXABLE: the price list lives on a server that is gone; ask Ada"]).await;
    let project = shop().anthropic(&vendor);
    let before = project.everything();
    let ran = project.regreen(HEAL).expect(1);
    assert!(ran.stderr.contains("the price list lives on a server that is gone; ask Ada"), "{}", ran.stderr);
    assert_eq!(project.everything(), before);
    assert_eq!(vendor.requests().len(), 1);
}

#[tokio::test]
async fn a_wrong_key_and_an_unreachable_provider_leave_the_ladder_going() {
    let denied = Reply::error(401, "authentication_error", "invalid x-api-key");
    let first = Anthropic::start([denied]).await;
    let second = OpenaiResponses::start([right()].map(Reply::Text)).await;
    let project = shop().anthropic(&first).openai(&second);
    let ran = project.regreen(HEAL).expect(0);
    assert_eq!(project.read("shop.py"), SHOP_RIGHT);
    assert!(ran.stderr.contains("invalid x-api-key"), "{}", ran.stderr);
    assert!(ran.stderr.contains("model(gpt-6.2-sol)"), "{}", ran.stderr);
    assert_eq!(first.requests().len(), 1, "a wrong key is not tried again");

    let second = OpenaiResponses::start([right()].map(Reply::Text)).await;
    let mut project = shop().anthropic(&first).openai(&second);
    // A port that nobody listens on: it was free a moment ago.
    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    project.env.insert("ANTHROPIC_BASE_URL".into(), format!("http://{closed}"));
    let ran = project.regreen(HEAL).expect(0);
    assert_eq!(project.read("shop.py"), SHOP_RIGHT);
    assert!(ran.stderr.contains("no connection to 127.0.0.1"), "{}", ran.stderr);
}

#[tokio::test]
async fn keys_that_are_all_wrong_are_told_of_where_the_run_ends() {
    let vendor = Anthropic::start([Reply::error(401, "authentication_error", "invalid x-api-key")]).await;
    let project = shop().anthropic(&vendor);
    let ran = project.regreen(HEAL).expect(1);
    let summary = ran.stderr.split("is still red").nth(1).expect("a summary");
    assert!(summary.contains("invalid x-api-key"), "{}", ran.stderr);
}

#[tokio::test]
async fn money_stops_before_the_first_call_and_a_raised_budget_goes_on() {
    let vendor = Anthropic::start([right()].map(Reply::Text)).await;
    let project = shop().anthropic(&vendor);
    let ran = project.regreen(&["heal", "--budget", "0.000001", "--", "python3", "-m", "unittest"]).expect(4);
    assert_eq!(vendor.requests().len(), 0);
    assert!(ran.stderr.contains("regreen resume"), "{}", ran.stderr);
    // What was given on the command line holds until somebody says otherwise.
    project.regreen(&["resume", &project.last_run()]).expect(4);
    assert_eq!(vendor.requests().len(), 0);
    project.configure("[budget]\nrun_usd = 2.0\n");
    project.regreen(&["resume", &project.last_run()]).expect(0);
    assert_eq!(vendor.requests().len(), 1);
    assert_eq!(project.read("shop.py"), SHOP_RIGHT);
}

#[tokio::test]
async fn resume_takes_a_budget_of_its_own() {
    let vendor = Anthropic::start([right()].map(Reply::Text)).await;
    let project = shop().anthropic(&vendor);
    project.regreen(&["heal", "--budget", "0.000001", "--", "python3", "-m", "unittest"]).expect(4);
    project.regreen(&["resume", "--budget", "1.5", &project.last_run()]).expect(0);
    assert_eq!(project.read("shop.py"), SHOP_RIGHT);
}

#[tokio::test]
async fn attempts_given_by_the_user_are_a_limit() {
    let vendor = Anthropic::start([wrong()].map(Reply::Text)).await;
    let project = shop().anthropic(&vendor);
    let ran = project
        .regreen(&["heal", "--max-attempts", "1", "--json", "--", "python3", "-m", "unittest"])
        .expect(4);
    assert_eq!(stopped(&ran).0, "attempts");
    assert_eq!(project.read("shop.py"), SHOP);
    assert_eq!(vendor.requests().len(), 1);
}

#[tokio::test]
async fn without_models_nothing_is_sent() {
    let vendor = Anthropic::start([""; 0]).await;
    let project = shop().anthropic(&vendor);
    project.regreen(&["heal", "--no-model", "--", "python3", "-m", "unittest"]).expect(1);
    assert_eq!(vendor.requests().len(), 0);
    assert_eq!(project.read("shop.py"), SHOP);
}

#[tokio::test]
async fn cheating_is_refused_and_told_to_the_next_try() {
    let deleted = "It goes.\n\nDELETE test_shop.py\n".to_owned();
    let test = "    def test_discount(self):\n        self.assertEqual(total([10, 10], 50), 10)";
    let skipped = edit(
        "test_shop.py",
        "    def test_discount(self):",
        "    @unittest.skip('later')\n    def test_discount(self):",
    );
    let gone = edit("test_shop.py", test, "    pass");
    let blind = edit(
        "shop.py",
        "    return sum(prices)",
        "    try:\n        return sum(prices)\n    except Exception:\n        pass",
    );
    for (cheat, word) in [
        (deleted, "test"),
        (skipped, "skip"),
        (gone, "test_discount"),
        (blind, "an error is caught and dropped"),
    ] {
        let vendor = Anthropic::start([cheat.clone(), right()].map(Reply::Text)).await;
        let project = shop().anthropic(&vendor);
        let ran = project.regreen(JSON).expect(0);
        let all = of_models(&ran);
        assert_eq!(all[0].0, "drop", "{cheat}");
        assert!(all[0].1.contains("refused before it was run"), "{cheat}: {all:?}");
        let told = vendor.requests()[1].last_text();
        assert!(told.contains(word), "{cheat}: {told}");
        assert_eq!(project.read("test_shop.py"), TESTS);
        assert_eq!(project.read("shop.py"), SHOP_RIGHT);
    }
}

#[tokio::test]
async fn a_changed_assertion_waits_for_a_person() {
    let cheat = edit(
        "test_shop.py",
        "        self.assertEqual(total([10, 10], 50), 10)",
        "        self.assertEqual(total([10, 10], 50), 20)",
    );
    let vendor = Anthropic::start([cheat.clone(), cheat].map(Reply::Text)).await;
    let project = shop().anthropic(&vendor);
    let before = project.everything();
    let ran = project.regreen(HEAL).expect(3);
    assert!(ran.stderr.contains("regreen approve"), "{}", ran.stderr);
    assert_eq!(project.everything(), before);
    let id = project.last_run();
    project.regreen(&["reject", &id, "--reason", "the test is right"]).expect(0);
    assert_eq!(project.everything(), before);
    let again = project.regreen(&["approve", &id]).expect(2);
    assert!(again.stderr.contains("does not wait"), "{}", again.stderr);

    project.regreen(HEAL).expect(3);
    project.regreen(&["approve", &project.last_run()]).expect(0);
    assert_eq!(project.read("test_shop.py"), TESTS.replace("50), 10)", "50), 20)"));
}

#[tokio::test]
async fn the_key_is_nowhere_and_the_prompt_is_what_was_sent() {
    let first = Anthropic::start([Reply::error(400, "invalid_request_error", &format!("no: {KEY}"))]).await;
    let second = OpenaiResponses::start([right()].map(Reply::Text)).await;
    let mut project = shop().anthropic(&first).openai(&second);
    project.env.insert("REGREEN_LOG".into(), "trace".into());
    project.write(&[("print_env.py", "import os\nprint(dict(os.environ))\n")]);
    let goal = "python3 print_env.py && python3 -m unittest";
    let ran = project.regreen(&["heal", "--", "sh", "-c", goal]).expect(0);
    let shown = project.regreen(&["show", "--prompt"]).expect(0);
    let logs = project.regreen(&["logs"]).expect(0);
    let whole = project.regreen(&["show", "--json"]).expect(0);
    project.never_kept(KEY, &[&ran, &shown, &logs, &whole]);
    for (_, text) in first.requests().iter().chain(&second.requests()).flat_map(turns) {
        assert!(!text.contains(KEY));
        assert!(shown.stdout.contains(text.trim_end()), "not shown as it was sent: {text}");
    }
    let system = second.requests()[0].body["instructions"].as_str().expect("instructions").to_owned();
    assert!(shown.stdout.contains(system.trim_end()), "{}", shown.stdout);
}

#[tokio::test]
async fn secrets_of_the_repo_do_not_leave() {
    let vendor = Anthropic::start([right()].map(Reply::Text)).await;
    let token = format!("ghp_{}", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8");
    let source = format!("API_TOKEN = \"{token}\"\n\n\n{SHOP}");
    let project = Project::new(&[
        ("shop.py", &source),
        (
            "test_shop.py",
            &TESTS.replace("import unittest\n", "import unittest\n\nprint(open('.env').read())\n"),
        ),
        (".gitignore", "__pycache__/\n.env\n"),
        (".env", "DB_PASSWORD=correct-horse-battery-staple\n"),
    ])
    .anthropic(&vendor);
    project.regreen(HEAL).expect(0);
    let sent = vendor.requests()[0].body.to_string();
    assert!(!sent.contains(&token), "{sent}");
    assert!(!sent.contains("correct-horse-battery-staple"), "{sent}");
    assert!(sent.contains("[redacted"), "{sent}");
    assert!(project.read("shop.py").contains(&token), "the file itself keeps it");
}

#[tokio::test]
async fn the_same_patch_twice_stops() {
    let vendor = Anthropic::start([wrong(), wrong()].map(Reply::Text)).await;
    let second = OpenaiResponses::start([""; 0]).await;
    let project = shop().anthropic(&vendor).openai(&second);
    let ran = project.regreen(JSON).expect(1);
    assert_eq!(stopped(&ran).0, "same-patch");
    assert_eq!(second.requests().len(), 0);
}

#[tokio::test]
async fn what_a_model_healed_is_replayed_from_memory() {
    let vendor = Anthropic::start([right()].map(Reply::Text)).await;
    let project = shop().anthropic(&vendor);
    project.configure("[memory]\nwatch = \"0s\"\n");
    project.regreen(HEAL).expect(0);
    project.git(&["checkout", "-q", "--", "shop.py"]);
    assert_eq!(project.read("shop.py"), SHOP);
    let ran = project.regreen(JSON).expect(0);
    assert_eq!(project.read("shop.py"), SHOP_RIGHT);
    assert_eq!(vendor.requests().len(), 1, "no second call");
    let all = decisions(&ran);
    assert_eq!((all[0].0.as_str(), all[0].1.as_str(), all.len()), ("memory", "green", 1), "{all:?}");
    let told = project.regreen(&["memory", "list"]).expect(0);
    assert!(told.stdout.contains("model(claude-sonnet-5-5)"), "{}", told.stdout);
}

#[tokio::test]
async fn a_model_that_does_not_answer_in_time_ends_with_the_run() {
    let vendor = Anthropic::start([Reply::Hang]).await;
    let project = shop().anthropic(&vendor);
    let ran =
        project.regreen(&["heal", "--timeout", "8s", "--json", "--", "python3", "-m", "unittest"]).expect(4);
    assert_eq!(stopped(&ran).0, "time");
    assert_eq!(project.read("shop.py"), SHOP);
    // What was sent has to be paid, though nothing came of it. (On a machine so slow that the time is up before, nothing was sent.)
    if vendor.requests().is_empty() {
        return;
    }
    let events = ran.events();
    let asked = events.iter().find(|event| event["event"] == "asked").expect("the call is booked");
    let call = &asked["call"];
    assert!(call["usage"]["estimated"] == true && call["cost"].as_u64() > Some(0), "{call}");
    let listed = project.regreen(&["runs", "--json"]).expect(0).stdout;
    let run: Value = serde_json::from_str(listed.lines().next().expect("a run")).expect("an object");
    assert_eq!(run["cost"], call["cost"], "{run}");
}

/// What is booked of a run: the sum, and the call of its first `asked` event.
fn booked(project: &Project) -> (u64, Value) {
    let listed = project.regreen(&["runs", "--json"]).expect(0).stdout;
    let run: Value = serde_json::from_str(listed.lines().next().expect("a run")).expect("an object");
    let logs = project.regreen(&["logs", "last", "--json"]).expect(0);
    let asked = logs.events().into_iter().find(|event| event["event"] == "asked");
    (run["cost"].as_u64().expect("a sum"), asked.map(|event| event["call"].clone()).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_a_signal_cuts_off_is_booked() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGKILL] {
        let vendor = Anthropic::start([Reply::Hang, Reply::Text(right())]).await;
        let project = shop().anthropic(&vendor);
        let mut child = project.command(HEAL).stderr(Stdio::null()).spawn().expect("regreen starts");
        vendor.asked(1).await;
        let pid = rustix::process::Pid::from_child(&child);
        let signal = rustix::process::Signal::from_named_raw(signal).expect("a signal");
        rustix::process::kill_process(pid, signal).expect("it is there");
        let ended = child.wait().expect("it ends");
        let killed = signal == rustix::process::Signal::KILL;
        assert_eq!(ended.code(), (!killed).then_some(130));
        if !killed {
            let (cost, call) = booked(&project);
            assert!(cost > 0 && call["cost"] == cost && call["usage"]["estimated"] == true, "{call}");
        }
        project.regreen(&["resume"]).expect(0);
        assert_eq!(project.read("shop.py"), SHOP_RIGHT);
        let (cost, call) = booked(&project);
        let first = call["cost"].as_u64().expect("a sum");
        assert!(first > 0 && first < cost && call["usage"]["estimated"] == true, "{cost} {call}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_program_does_not_open_the_cap_of_the_day() {
    let vendor = Anthropic::start([Reply::Hang]).await;
    let project = shop().anthropic(&vendor);
    // One call of this model may cost up to some 0.4 dollars.
    project.configure("[budget]\nday_usd = 0.50\n");
    let mut child = project.command(HEAL).stderr(Stdio::null()).spawn().expect("regreen starts");
    vendor.asked(1).await;
    child.kill().expect("it is there");
    child.wait().expect("it ends");
    let ran = project.regreen(HEAL).expect(4);
    assert!(ran.stderr.contains("for 24 hours are spent"), "{}", ran.stderr);
    assert_eq!(vendor.requests().len(), 1);
}

#[tokio::test]
async fn a_model_without_a_price_and_a_prompt_that_was_cut_are_told_of() {
    let vendor = OpenaiChat::start([right()].map(Reply::Text)).await;
    let project = shop();
    // Far more than the stand-in says that it read.
    let long =
        format!("{SHOP}{}", "# A remark that makes the file long, and the prompt with it.\n".repeat(300));
    project.write(&[("shop.py", &long)]);
    project.configure(&format!(
        "[providers.local]\nkind = \"openai-chat\"\nbase_url = \"{}/v1\"\n[[ladder]]\nfixer = \"model\"\nprovider = \"local\"\nmodel = \"qwen3-coder\"\n",
        vendor.base_url()
    ));
    let ran = project.regreen(&["heal", "--budget", "0", "--", "python3", "-m", "unittest"]).expect(0);
    let (live, summary) = ran.stderr.split_once("is green.").expect("a summary");
    for told in [live, summary] {
        assert!(told.contains("no price is known for qwen3-coder"), "{}", ran.stderr);
    }
    assert!(summary.contains("prices.toml"), "{summary}");
    assert!(live.contains("warning: local seems to have cut the prompt"), "{}", ran.stderr);
}

#[tokio::test]
async fn the_cap_of_the_day_holds_over_runs() {
    let vendor = Anthropic::start([right(), right()].map(Reply::Text)).await;
    let project = shop().anthropic(&vendor);
    // One call of this model may cost up to some 0.4 dollars.
    project.configure("[budget]\nday_usd = 0.50\n[memory]\nenabled = false\n");
    project.regreen(HEAL).expect(0);
    project.git(&["checkout", "-q", "--", "shop.py"]);
    let ran = project.regreen(&["heal", "--json", "--no-model", "--", "python3", "-m", "unittest"]).expect(1);
    assert_eq!(stopped(&ran).0, "ladder-exhausted");
    project.configure("[budget]\nday_usd = 0.01\n[memory]\nenabled = false\n");
    let ran = project.regreen(HEAL).expect(4);
    assert!(ran.stderr.contains("of the $0.0100 for 24 hours are spent"), "{}", ran.stderr);
    assert!(ran.stderr.contains("budget.day_usd"), "{}", ran.stderr);
    assert_eq!(vendor.requests().len(), 1);
    project.configure("[budget]\nday_usd = 5\n[memory]\nenabled = false\n");
    project.regreen(&["resume", &project.last_run()]).expect(0);
    assert_eq!(vendor.requests().len(), 2);
    assert_eq!(project.read("shop.py"), SHOP_RIGHT);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_booked_and_asked_for_again() {
    let vendor = Anthropic::start([Reply::BrokenOff(right()), Reply::Text(right())]).await;
    let project = shop().anthropic(&vendor);
    let ran = project.regreen(JSON).expect(0);
    let events = ran.events();
    let asked: Vec<&Value> = events.iter().filter(|event| event["event"] == "asked").collect();
    assert_eq!(asked.len(), 2);
    assert!(asked[0]["call"]["usage"]["estimated"] == true, "{}", asked[0]);
    assert!(asked.iter().all(|asked| asked["call"]["cost"].as_u64() > Some(0)), "{asked:#?}");
    let shown = project.regreen(&["show", "--prompt"]).expect(0).stdout;
    assert!(shown.contains("no answer (about"), "{shown}");
}

#[tokio::test]
async fn a_model_with_a_small_window_is_asked_for_less() {
    let vendor = OpenaiChat::start([right()].map(Reply::Text)).await;
    let project = shop();
    project.configure(&format!(
        "[providers.local]\nkind = \"openai-chat\"\nbase_url = \"{}/v1\"\nwindow = 12000\n[[ladder]]\nfixer = \"model\"\nprovider = \"local\"\nmodel = \"qwen3-coder\"\n",
        vendor.base_url()
    ));
    project.regreen(HEAL).expect(0);
    assert_eq!(vendor.requests()[0].body["max_tokens"], 4000);
    assert_eq!(project.read("shop.py"), SHOP_RIGHT);
}

/// `go test` names the tests that fail, and of a package that passes none.
#[tokio::test]
async fn a_repair_of_go_is_not_taken_for_tests_that_are_gone() {
    let source = "package shop\n\nfunc Total(prices []int) int {\n\tsum := -1\n\tfor _, price := range prices {\n\t\tsum += price\n\t}\n\treturn sum\n}\n";
    let tests = "package shop\n\nimport \"testing\"\n\nfunc TestTwo(t *testing.T) {\n\tif sum := Total([]int{1, 2}); sum != 3 {\n\t\tt.Errorf(\"got %d\", sum)\n\t}\n}\n\nfunc TestNone(t *testing.T) {\n\tif sum := Total(nil); sum != 0 {\n\t\tt.Errorf(\"got %d\", sum)\n\t}\n}\n";
    let vendor = Anthropic::start([Reply::Text(edit("shop.go", "\tsum := -1", "\tsum := 0"))]).await;
    let project =
        Project::new(&[("go.mod", "module shop\n\ngo 1.19\n"), ("shop.go", source), ("shop_test.go", tests)])
            .anthropic(&vendor);
    project.regreen(&["heal", "--", "go", "test", "./..."]).expect(0);
    assert_eq!(project.read("shop.go"), source.replace("-1", "0"));
}
