//! Proposals through the service: what is suggested is tested, repaired, approved and applied, by real workers on real projects.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use reqwest::Method;
use serde_json::{Value, json};

use super::{Answer, Served, answer, client, token};
use crate::project::Project;
use crate::scripted::{SHOP, SHOP_RIGHT, TESTS, right, shop};
use crate::vendor::{Anthropic, Reply};

/// A project whose tests are green, and whose checks are known.
pub fn agenda() -> Project {
    Project::new(&[
        (".gitignore", "__pycache__/\n"),
        ("regreen.toml", "[checks.test]\nrun = \"python3 -m unittest\"\n"),
        ("agenda/__init__.py", ""),
        ("agenda/parsing.py", "def format_minute(minute):\n    return f\"{minute:02}\"\n"),
        ("agenda/day.py", "def show(minute):\n    return str(minute)\n"),
        ("tests/__init__.py", ""),
        (
            "tests/test_day.py",
            "import unittest\n\nfrom agenda.day import show\n\n\nclass Day(unittest.TestCase):\n    def test_show(self):\n        self.assertEqual(show(17), \"17\")\n",
        ),
    ])
}

/// What somebody suggests who got a name wrong.
pub const BROKEN: &str =
    "from agenda.parsing import format_minutes\n\n\ndef show(minute):\n    return format_minutes(minute)\n";

/// The same, right.
const RIGHT: &str =
    "from agenda.parsing import format_minute\n\n\ndef show(minute):\n    return format_minute(minute)\n";

pub fn suggestion(project: &Project, text: &str) -> Value {
    json!({
        "title": "Show minutes with two digits",
        "description": "Minutes below ten look odd.",
        "repo": project.root,
        "files": [{ "path": "agenda/day.py", "content": text }],
    })
}

pub async fn propose(served: &Served, body: &Value) -> String {
    let made = served.post("/api/v1/proposals", body).await.expect(201);
    let item = made.json();
    let id = item["id"].as_str().expect("an id").to_owned();
    assert_eq!(made.header("location"), format!("/api/v1/proposals/{id}"));
    assert_eq!(item["state"], "proposed", "{item}");
    id
}

pub fn work(project: &Project) {
    project.regreen(&["worker", "--once"]).expect(0);
}

pub async fn shown(served: &Served, id: &str) -> Value {
    served.get(&format!("/api/v1/proposals/{id}")).await.expect(200).json()
}

async fn fix(served: &Served, id: &str, wait: u32) -> Answer {
    served
        .send(
            Method::POST,
            &format!("/api/v1/proposals/{id}/auto-fix?wait={wait}"),
            Some(&served.token),
            None,
        )
        .await
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

const FIXED: [&str; 6] = ["attempts", "explanation", "fix_applied", "fix_history", "next_step", "success"];
const STATUS: [&str; 3] = ["auto_fix_applied", "auto_fix_attempts", "needs_auto_fix"];

#[tokio::test(flavor = "multi_thread")]
async fn what_a_proposal_broke_mechanically_is_repaired_approved_applied_and_taken_back() {
    let project = agenda();
    let before = project.everything();
    let served = Served::start(&project, &[]);
    let id = propose(&served, &suggestion(&project, BROKEN)).await;
    let at = format!("/api/v1/proposals/{id}");
    work(&project);
    let red = shown(&served, &id).await;
    assert_eq!((&red["state"], &red["needs_auto_fix"]), (&json!("tests_failed"), &json!(true)), "{red}");
    assert!(red["reason"].as_str().expect("a reason").contains("format_minutes"), "{red}");
    assert_eq!(red["actions"], json!(["auto-fix", "reject", "test"]));
    served.post(&format!("{at}/approve"), &json!({ "patch": "0".repeat(64) })).await.expect(409);
    served.post(&format!("{at}/apply"), &json!({})).await.expect(409);

    // Nobody works yet: it is under way, and asked again it is the same repair.
    let first = fix(&served, &id, 0).await.expect(202);
    assert_eq!(keys(&first.json()), FIXED);
    assert_eq!(first.json()["success"], false);
    let older = format!("/api/v1/admin/proposals/auto-fix/{id}");
    let again =
        served.send(Method::POST, &format!("{older}?wait=0"), Some(&served.token), None).await.expect(202);
    assert_eq!(first.header("content-location"), again.header("content-location"));
    let runs = shown(&served, &id).await["runs"].as_array().expect("runs").len();
    assert_eq!(runs, 2);

    // Who waits hears of the end.
    let mut worker = project.command(&["worker", "--once"]).stderr(Stdio::null()).spawn().expect("a worker");
    let mut healed = fix(&served, &id, 50).await;
    while healed.status == 202 {
        healed = fix(&served, &id, 50).await;
    }
    assert!(worker.wait().expect("it ends").success());
    let healed = healed.expect(200).json();
    assert_eq!(keys(&healed), FIXED);
    assert_eq!(
        (&healed["success"], &healed["fix_applied"], &healed["attempts"]),
        (&json!(true), &json!(true), &json!(1))
    );
    assert!(healed["explanation"].as_str().expect("words").contains("format_minute"), "{healed}");
    let tried = healed["fix_history"].as_array().expect("a history");
    assert!(tried.iter().any(|one| one["decision"] == "green"), "{healed}");
    for path in [format!("{at}/auto-fix/status"), format!("/api/v1/admin/proposals/auto-fix/status/{id}")] {
        let status = served.get(&path).await.expect(200).json();
        assert_eq!(keys(&status), STATUS);
        assert_eq!(
            status,
            json!({ "needs_auto_fix": false, "auto_fix_applied": true, "auto_fix_attempts": 1 })
        );
    }
    assert_eq!(project.everything(), before, "nothing was written to the tree");

    // What was proposed and what was repaired are seen apart and together.
    let patch = async |part: &str| served.get(&format!("{at}/patch?part={part}")).await.expect(200).text;
    let (proposed, repair, all) = (patch("proposed").await, patch("repair").await, patch("all").await);
    assert!(
        proposed.contains("agenda/day.py") && !proposed.contains("+++ b/agenda/parsing.py"),
        "{proposed}"
    );
    assert!(repair.contains("agenda/parsing.py") && !repair.contains("agenda/day.py"), "{repair}");
    assert!(all.contains("agenda/day.py") && all.contains("agenda/parsing.py"), "{all}");

    let waiting = shown(&served, &id).await;
    let digest = waiting["waiting"]["patch"].as_str().expect("a digest").to_owned();
    served.post(&format!("{at}/approve"), &json!({ "patch": "0".repeat(64) })).await.expect(409);
    // Its run cannot be landed around it.
    let run = waiting["run"].as_str().expect("a run").to_owned();
    let around = format!("/api/v1/runs/{run}/approve");
    let around = served.post(&around, &json!({ "patch": digest })).await.expect(409);
    assert_eq!(around.header("content-type"), "application/problem+json");
    let hint = around.json()["hint"].as_str().expect("a hint").to_owned();
    assert!(hint.contains("proposal approve"), "{}", around.text);
    let told = project.regreen(&["approve", &run]).expect(2).stderr;
    assert!(told.contains("regreen proposal approve"), "{told}");
    let seen = served.get(&format!("/api/v1/runs/{run}")).await.expect(200).json();
    assert_eq!(seen["actions"], json!(["reject"]), "{seen}");
    let page = served.page(&format!("/runs/{run}"), &served.enter().await).await.expect(200).text;
    assert!(!page.contains("Approve and land") && !page.contains("Choose candidate"), "{page}");
    assert!(page.contains(&format!("href=\"/proposals/{id}#decide\"")), "{page}");
    assert_eq!(shown(&served, &id).await["state"], "tests_passed");
    let agreed = served.post(&format!("{at}/approve"), &json!({ "patch": digest })).await.expect(200).json();
    assert_eq!(agreed["state"], "approved", "{agreed}");
    served.post(&format!("{at}/approve"), &json!({ "patch": digest })).await.expect(409);
    assert_eq!(project.git(&["branch", "--list", "regreen/*"]), "");
    served.post(&format!("{at}/apply"), &json!({})).await.expect(202);
    served.post(&format!("{at}/apply"), &json!({})).await.expect(202);
    work(&project);
    let applied = shown(&served, &id).await;
    assert_eq!(applied["state"], "applied", "{applied}");
    served.post(&format!("{at}/apply"), &json!({})).await.expect(409);
    let branch = format!("regreen/{}", &id[id.len() - 8..]);
    assert_eq!(project.git(&["rev-list", "--count", &format!("main..{branch}")]), "1");
    assert_eq!(project.git(&["show", &format!("{branch}:agenda/day.py")]), BROKEN.trim_end());
    assert!(project.git(&["show", &format!("{branch}:agenda/parsing.py")]).contains("format_minutes"));
    assert!(project.git(&["tag"]).contains(&format!("{branch}/before-")), "{}", project.git(&["tag"]));
    let message = project.git(&["log", "-1", "--format=%B", &branch]);
    for words in ["Show minutes with two digits", "Minutes below ten", "Regreen-Fixer: proposal, codefix"] {
        assert!(message.contains(words), "{message}");
    }
    project.regreen(&["verify", &branch]).expect(0);
    assert_eq!(project.everything(), before);

    served.post(&format!("{at}/rollback"), &json!({})).await.expect(200);
    assert_eq!(shown(&served, &id).await["state"], "rolled_back");
    served.post(&format!("{at}/reject"), &json!({ "reason": "no" })).await.expect(409);
    fix(&served, &id, 0).await.expect(409);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_that_is_right_is_proven_though_its_base_has_failures_of_its_own() {
    let project = agenda();
    let known = "import unittest\n\n\nclass Known(unittest.TestCase):\n    def test_known(self):\n        self.fail(\"known\")\n";
    project.write(&[("tests/test_known.py", known)]);
    project.commit("Add a test that fails");
    let served = Served::start(&project, &[]);
    let mut diff = project.git(&["diff", "--no-index", "--", "/dev/null", "/dev/null"]);
    project.write(&[("agenda/day.py", RIGHT)]);
    diff += &project.git(&["diff"]);
    project.git(&["checkout", "-q", "--", "."]);
    // On a branch of its own, wherever the work tree is.
    let mut body = suggestion(&project, "");
    body["files"] = Value::Null;
    body["patch"] = json!(diff);
    body["base"] = json!("main");
    body["land"] = json!("branch=minutes");
    let id = propose(&served, &body).await;
    project.git(&["checkout", "-q", "-b", "elsewhere"]);
    project.write(&[("agenda/other.py", "x = 1\n")]);
    project.commit("Go on elsewhere");
    work(&project);
    let green = shown(&served, &id).await;
    assert_eq!(
        (&green["state"], &green["auto_fix_applied"]),
        (&json!("tests_passed"), &json!(false)),
        "{green}"
    );
    let done = fix(&served, &id, 0).await.expect(200).json();
    assert_eq!((&done["success"], &done["fix_applied"]), (&json!(true), &json!(false)), "{done}");
    let digest = json!({ "patch": green["waiting"]["patch"] });
    served.post(&format!("/api/v1/proposals/{id}/approve"), &digest).await.expect(200);
    // Its base moves on: what lands is proven again, on that.
    project.git(&["checkout", "-q", "main"]);
    project.write(&[("notes.txt", "on we go\n")]);
    project.commit("Go on");
    project.regreen(&["proposal", "apply", &id]).expect(0);
    assert_eq!(project.git(&["rev-parse", "minutes^"]), project.git(&["rev-parse", "main"]));
    let applied = shown(&served, &id).await;
    assert_eq!(applied["base_commit"], json!(project.git(&["rev-parse", "main"])), "{applied}");
    let kinds =
        project.regreen(&["logs", applied["run"].as_str().expect("a run"), "--json"]).expect(0).kinds();
    assert!(kinds.contains(&"moved".to_owned()), "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| *kind == "proven").count(), 2, "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_longer_fits_its_base_is_not_applied() {
    let project = agenda();
    let served = Served::start(&project, &[]);
    let id = propose(&served, &suggestion(&project, RIGHT)).await;
    work(&project);
    let green = shown(&served, &id).await;
    let digest = json!({ "patch": green["waiting"]["patch"] });
    served.post(&format!("/api/v1/proposals/{id}/approve"), &digest).await.expect(200);
    project.write(&[("agenda/day.py", "def show(minute):\n    return f\"{minute}\"\n")]);
    project.commit("Go on in the same file");
    served.post(&format!("/api/v1/proposals/{id}/apply"), &json!({})).await.expect(202);
    work(&project);
    let moved = shown(&served, &id).await;
    assert_eq!(
        (&moved["state"], &moved["needs_auto_fix"]),
        (&json!("tests_failed"), &json!(false)),
        "{moved}"
    );
    assert!(moved["reason"].as_str().expect("a reason").contains("changed while"), "{moved}");
    assert_eq!(project.git(&["branch", "--list", "regreen/*"]), "");
    // Tested again, it is on the base as it is now.
    served.post(&format!("/api/v1/proposals/{id}/test"), &json!({})).await.expect(202);
    work(&project);
    assert_eq!(shown(&served, &id).await["state"], "tests_passed");
    served
        .post(&format!("/api/v1/proposals/{id}/reject"), &json!({ "reason": "too late" }))
        .await
        .expect(200);
    let rejected = shown(&served, &id).await;
    assert_eq!(
        (&rejected["state"], &rejected["reason"]),
        (&json!("rejected"), &json!("too late")),
        "{rejected}"
    );
    assert_eq!(rejected["actions"], json!([]));
}

/// The shop before anybody wants a discount.
fn shop_without() -> Project {
    let project = shop();
    let toml = "[checks.test]\nrun = \"python3 -m unittest\"\n";
    let first = TESTS.split("\n    def test_discount").next().expect("a test").to_owned() + "\n";
    project.write(&[("test_shop.py", &first), ("regreen.toml", toml)]);
    project.commit("Begin");
    project
}

fn discount(project: &Project) -> Value {
    json!({
        "title": "Test discounts", "repo": project.root, "max_attempts": 4,
        "files": [{ "path": "test_shop.py", "content": TESTS }],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_model_repairs_is_repaired_by_itself_where_the_user_says_so() {
    let vendor = Anthropic::start([Reply::Text(right())]).await;
    let project = shop_without().anthropic(&vendor);
    project.configure(&format!("[proposals]\nauto_fix = [{:?}]\n", project.root.to_string_lossy()));
    let served = Served::start(&project, &[]);
    let id = propose(&served, &discount(&project)).await;
    work(&project);
    let healed = shown(&served, &id).await;
    assert_eq!(
        (&healed["state"], &healed["auto_fix_applied"]),
        (&json!("tests_passed"), &json!(true)),
        "{healed}"
    );
    let tried = healed["fix_history"].as_array().expect("a history");
    assert!(
        tried.iter().any(|one| one["fixer"].as_str().is_some_and(|fixer| fixer.starts_with("model("))),
        "{healed}"
    );
    assert_eq!(vendor.left(), 0);
    // That a person's proposal changes tests is said.
    let digest = json!({ "patch": healed["waiting"]["patch"] });
    served.post(&format!("/api/v1/proposals/{id}/approve"), &digest).await.expect(200);
    project.regreen(&["proposal", "apply", &id]).expect(0);
    let branch = format!("regreen/{}", &id[id.len() - 8..]);
    assert_eq!(project.git(&["show", &format!("{branch}:shop.py")]), SHOP_RIGHT.trim_end());
    assert_eq!(project.read("shop.py"), SHOP);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_repaired_is_found_out_and_not_tried_for_ever() {
    let vendor = Anthropic::start(["UNFIXABLE: nobody says what a discount is; ask Ada"]).await;
    let project = shop_without().anthropic(&vendor);
    let served = Served::start(&project, &[]);
    let id = propose(&served, &discount(&project)).await;
    work(&project);
    assert_eq!(shown(&served, &id).await["needs_auto_fix"], true);
    fix(&served, &id, 0).await.expect(202);
    work(&project);
    let red = fix(&served, &id, 50).await.expect(200).json();
    assert_eq!((&red["success"], &red["fix_applied"]), (&json!(false), &json!(false)), "{red}");
    assert!(red["explanation"].as_str().expect("words").contains("ask Ada"), "{red}");
    assert!(red["next_step"].as_str().expect("words").contains("a person has to look"), "{red}");
    let status = served.get(&format!("/api/v1/proposals/{id}/auto-fix/status")).await.expect(200).json();
    assert_eq!(status["needs_auto_fix"], false, "{status}");
    assert_eq!(
        shown(&served, &id).await["runs"].as_array().expect("runs").len(),
        2,
        "no other run was begun"
    );
    served.post(&format!("/api/v1/proposals/{id}/reject"), &json!({ "reason": "ask Ada" })).await.expect(200);
    assert_eq!(shown(&served, &id).await["state"], "rejected");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_proposal_may_hold_is_refused() {
    let project = agenda();
    std::os::unix::fs::symlink("/tmp", project.root.join("out")).expect("a link");
    project.commit("Link");
    let served = Served::start(&project, &[]);
    let with = |name: &str, value: Value| {
        let mut body = suggestion(&project, RIGHT);
        body[name] = value;
        body
    };
    let file = |path: &str| with("files", json!([{ "path": path, "content": "x" }]));
    let twice = json!([{ "path": "a", "content": "x" }, { "path": "a", "content": "y" }]);
    for wrong in [
        file("../a"),
        file("/etc/passwd"),
        file("a/../../b"),
        file(".git/hooks/pre-commit"),
        file("sub/.GIT/config"),
        file("regreen.toml"),
        file("a\u{0}b"),
        file("a\u{202e}b"),
        with("files", json!([])),
        with("files", twice),
        with("files", json!([{ "path": "a" }])),
        with("files", json!([{ "path": "a", "content": "x", "delete": true }])),
        with("files", json!([{ "path": "a", "base64": "?" }])),
        with("patch", json!("--- a\n+++ b\n")),
        with("title", json!("")),
        with("title", json!("a\nb")),
        with("title", json!("x".repeat(201))),
        with("base", json!("--upload-pack=x")),
        with("repo", json!("relative")),
        with("land", json!("worktree")),
        with("land", json!("nowhere")),
        with("max_attempts", json!(0)),
    ] {
        let refused = served.post("/api/v1/proposals", &wrong).await.expect(400);
        assert_eq!(refused.header("content-type"), "application/problem+json");
    }
    served.post("/api/v1/proposals", &with("nonsense", json!(1))).await.expect(422);
    let mut neither = suggestion(&project, "");
    neither["files"] = Value::Null;
    served.post("/api/v1/proposals", &neither).await.expect(400);
    let diff = |text: &str| {
        let mut body = neither.clone();
        body["patch"] = json!(text);
        body
    };
    served.post("/api/v1/proposals", &diff("nothing of the kind")).await.expect(400);
    served
        .post("/api/v1/proposals", &diff("diff --git a/a b/a\nGIT binary patch\nliteral 0\n"))
        .await
        .expect(400);
    served.get("/api/v1/proposals/00000000").await.expect(404);

    // What only the repo can tell is found out by whoever tests it.
    let link = "diff --git a/evil b/evil\nnew file mode 120000\n--- /dev/null\n+++ b/evil\n@@ -0,0 +1 @@\n+/etc/passwd\n\\ No newline at end of file\n";
    let escape = "--- a/x\n+++ b/../../evil\n@@ -0,0 +1 @@\n+x\n";
    let git = "--- /dev/null\n+++ b/.git/hooks/post-checkout\n@@ -0,0 +1 @@\n+x\n";
    let through = "--- /dev/null\n+++ b/out/regreen-evil\n@@ -0,0 +1 @@\n+x\n";
    let own = "--- a/regreen.toml\n+++ b/regreen.toml\n@@ -1,2 +1,2 @@\n [checks.test]\n-run = \"python3 -m unittest\"\n+run = \"true\"\n";
    let unfit = "--- a/agenda/day.py\n+++ b/agenda/day.py\n@@ -1,2 +1,2 @@\n def other():\n-    pass\n+    return 1\n";
    let before = project.everything();
    let mut all = Vec::new();
    for (body, words) in [
        (diff(link), "neither can be proposed"),
        (diff(escape), "does not apply"),
        (diff(git), "does not apply"),
        (diff(through), "does not apply"),
        (diff(own), "refused before it was run"),
        (diff(unfit), "does not apply"),
        (file("out/regreen-evil"), "refused before it was run"),
        (with("base", json!("nothing-of-the-kind")), "to build on"),
        (with("files", json!([{ "path": "agenda/gone.py", "delete": true }])), "is not there"),
    ] {
        all.push((propose(&served, &body).await, words));
    }
    work(&project);
    for (id, words) in all {
        let refused = shown(&served, &id).await;
        assert_eq!(
            (&refused["state"], &refused["needs_auto_fix"]),
            (&json!("tests_failed"), &json!(false)),
            "{refused}"
        );
        assert!(refused["reason"].as_str().expect("a reason").contains(words), "{words}: {refused}");
        served.post(&format!("/api/v1/proposals/{id}/reject"), &json!({ "reason": "no" })).await.expect(200);
        assert_eq!(shown(&served, &id).await["state"], "rejected");
    }
    assert_eq!(project.everything(), before);
    assert!(!std::path::Path::new("/tmp/regreen-evil").exists());
    assert!(!project.root.join(".git/hooks/post-checkout").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_do_what_with_a_proposal() {
    let project = agenda();
    let tokens = ["read", "submit", "approve"].map(|scope| token(&project, scope, scope));
    let served = Served::start(&project, &[]);
    let body = suggestion(&project, RIGHT);
    let [reader, submitter, approver] = &tokens;
    let send = |path: String, token: &str, body: Value| {
        let request = client().post(format!("{}{path}", served.url)).bearer_auth(token);
        answer(request.header("content-type", "application/json").body(body.to_string()))
    };
    for (token, status) in [(reader, 403), (approver, 403), (submitter, 403)] {
        // Nobody gave this repo to Regreen yet.
        send("/api/v1/proposals".into(), token, body.clone()).await.expect(status);
    }
    let id = propose(&served, &body).await;
    send("/api/v1/proposals".into(), submitter, body.clone()).await.expect(201);
    for (what, allowed) in
        [("auto-fix?wait=0", submitter), ("test", submitter), ("apply", approver), ("rollback", approver)]
    {
        for token in &tokens {
            let answered = send(format!("/api/v1/proposals/{id}/{what}"), token, json!({})).await;
            assert_eq!(answered.status == 403, token != allowed, "{what}: {}", answered.text);
        }
    }
}

/// Whatever becomes of a worker in the middle of it, a proposal comes to its end once.
#[tokio::test(flavor = "multi_thread")]
async fn killed_workers_lose_nothing_of_a_proposal() {
    let project = agenda();
    let served = Served::start(&project, &[]);
    let id = propose(&served, &suggestion(&project, BROKEN)).await;
    let killed_at = |event: &str| {
        let mut command = project.command(&["worker", "--json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a worker");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let seen = lines
            .map(|line| serde_json::from_str::<Value>(&line).expect("an event"))
            .any(|told| told["event"] == event);
        assert!(seen, "the worker ended before {event}");
        child.kill().expect("it is killed");
        child.wait().expect("it ends");
    };
    killed_at("started");
    assert_eq!(shown(&served, &id).await["state"], "deploying");
    killed_at("check-started");
    assert_eq!(shown(&served, &id).await["state"], "testing");
    work(&project);
    assert_eq!(shown(&served, &id).await["state"], "tests_failed");
    fix(&served, &id, 0).await.expect(202);
    killed_at("attempt-started");
    assert_eq!(shown(&served, &id).await["state"], "fixing");
    work(&project);
    let green = shown(&served, &id).await;
    assert_eq!(green["state"], "tests_passed", "{green}");
    let digest = json!({ "patch": green["waiting"]["patch"] });
    served.post(&format!("/api/v1/proposals/{id}/approve"), &digest).await.expect(200);
    served.post(&format!("/api/v1/proposals/{id}/apply"), &json!({})).await.expect(202);
    killed_at("landing-started");
    work(&project);
    assert_eq!(shown(&served, &id).await["state"], "applied");
    let branch = format!("regreen/{}", &id[id.len() - 8..]);
    assert_eq!(project.git(&["rev-list", "--count", &format!("main..{branch}")]), "1");
    let run = green["run"].as_str().expect("a run");
    let kinds = project.regreen(&["logs", run, "--json"]).expect(0).kinds();
    assert_eq!(kinds.iter().filter(|kind| *kind == "landed").count(), 1, "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn proposals_are_listed_and_found() {
    let project = agenda();
    let served = Served::start(&project, &[]);
    let mut made = Vec::new();
    for number in 0..7 {
        let mut body = suggestion(&project, RIGHT);
        body["title"] = json!(format!("Idea {number}%"));
        made.push(propose(&served, &body).await);
    }
    made.reverse();
    let (mut seen, mut next) = (Vec::new(), String::new());
    loop {
        let page = served.get(&format!("/api/v1/proposals?limit=3{next}")).await.expect(200).json();
        seen.extend(
            page["items"]
                .as_array()
                .expect("items")
                .iter()
                .map(|one| one["id"].as_str().expect("an id").to_owned()),
        );
        match page["next"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, made);
    for (query, found) in
        [("text=IDEA%203%25", 1), ("state=proposed", 7), ("state=applied", 0), ("repo=/nowhere", 0)]
    {
        let page = served.get(&format!("/api/v1/proposals?{query}")).await.expect(200).json();
        assert_eq!(page["items"].as_array().expect("items").len(), found, "{query}");
    }
    for wrong in ["state=nonsense", "limit=0", "cursor=x", "nonsense=1"] {
        served.get(&format!("/api/v1/proposals?{wrong}")).await.expect(400);
    }
    // Made again with the same key, it is the same proposal; known again, it is not sent.
    let again = || {
        let request = client().post(format!("{}/api/v1/proposals", served.url)).bearer_auth(&served.token);
        let request = request.header("content-type", "application/json").header("idempotency-key", "one");
        answer(request.body(suggestion(&project, RIGHT).to_string()))
    };
    let (first, second) = (again().await.expect(201), again().await.expect(201));
    assert_eq!(first.json()["id"], second.json()["id"]);
    let get = |tag: &str| {
        let request =
            client().get(format!("{}/api/v1/proposals/{}", served.url, made[0])).bearer_auth(&served.token);
        answer(request.header("if-none-match", tag.to_owned()))
    };
    let tag = get("").await.expect(200).header("etag").to_owned();
    get(&tag).await.expect(304);
}
