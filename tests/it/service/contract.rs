//! Every answer is what the served description says.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::{Answer, Served, heal, id_of};
use crate::project::Project;

/// Calls operations by their paths in the description, and holds the answers against it.
struct Caller<'s> {
    served: &'s Served,
    document: Value,
    /// Operations that succeeded.
    done: BTreeSet<String>,
}

impl Caller<'_> {
    async fn call(
        &mut self,
        method: &str,
        template: &str,
        values: &[(&str, &str)],
        rest: &str,
        body: Option<Value>,
    ) -> Answer {
        let mut path = template.to_owned();
        for (name, value) in values {
            path = path.replace(&format!("{{{name}}}"), value);
        }
        let verb: Method = method.to_uppercase().parse().expect("a method");
        let answered =
            self.served.send(verb, &format!("{path}{rest}"), Some(&self.served.token), body.as_ref()).await;
        self.check(method, template, &answered);
        answered
    }

    fn check(&mut self, method: &str, template: &str, answered: &Answer) {
        let operation = &self.document["paths"][template][method];
        assert!(operation.is_object(), "{method} {template} is not described");
        let status = answered.status.as_u16().to_string();
        let described = match &operation["responses"][&status] {
            Value::Null => &operation["responses"]["default"],
            described => described,
        };
        if described["content"].is_null() && answered.status.is_success() {
            assert_eq!(answered.text, "", "{method} {template} answered {status} with a body");
            self.done.insert(format!("{method} {template}"));
            return;
        }
        let kind = answered.header("content-type").split(';').next().unwrap_or_default();
        let schema = &described["content"][kind]["schema"];
        assert!(!schema.is_null(), "{method} {template} answered {status} as {kind}: {}", answered.text);
        if kind.ends_with("json") {
            let mut whole = schema.clone();
            whole["components"] = self.document["components"].clone();
            let validator = jsonschema::draft202012::new(&whole).expect("a schema");
            let json = answered.json();
            let wrong: Vec<String> = validator.iter_errors(&json).map(|error| error.to_string()).collect();
            assert!(wrong.is_empty(), "{method} {template} {status}: {wrong:?}\n{}", answered.text);
        }
        if answered.status.is_success() {
            self.done.insert(format!("{method} {template}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_answers_as_it_is_described() {
    let project = Project::agenda();
    let landed = heal(&project, false);
    project.git(&["checkout", "-q", "--", "."]);
    project.configure("");
    project.regreen(&["memory", "forget", "--all"]);
    let waiting = heal(&project, true);
    let rejected = heal(&project, true);
    let red = id_of(&project.regreen(&["heal", "--no-model", "--json", "--", "false"]).expect(1));
    project.configure("[guards]\nprotected = [\"agenda/**\"]\n[alerts]\nsample = 1\n");
    let found = project.regreen(&["alerts", "--json"]).expect(0).events();
    let served = Served::start(&project, &[]);
    let document = served.send(Method::GET, "/api/v1/openapi.json", None, None).await.expect(200).json();
    assert!(document["openapi"].as_str().expect("a version").starts_with("3.1"), "{document}");
    let mut caller = Caller { served: &served, document, done: BTreeSet::new() };

    for rest in [
        "",
        "?limit=1",
        "?status=finished&outcome=red&trigger=heal&text=false",
        "?since=2020-01-01T00:00:00Z",
    ] {
        caller.call("get", "/api/v1/runs", &[], rest, None).await.expect(200);
    }
    for wrong in
        ["?limit=0", "?limit=x", "?status=nonsense", "?cursor=nonsense", "?since=yesterday", "?nonsense=1"]
    {
        caller.call("get", "/api/v1/runs", &[], wrong, None).await.expect(400);
    }
    for path in ["", "/patch", "/calls", "/events", "/logs/{seq}"] {
        let template = format!("/api/v1/runs/{{run}}{path}");
        for run in [&landed, &waiting, &red] {
            let log = served.get(&format!("/api/v1/runs/{run}/events?limit=500")).await.expect(200).json();
            let events = log["items"].as_array().expect("events");
            let checked = events.iter().find(|event| event["event"] == "checked").expect("a check");
            let seq = checked["seq"].to_string();
            caller.call("get", &template, &[("run", run), ("seq", &seq)], "", None).await.expect(200);
        }
        let missing = [("run", "00000000"), ("seq", "1")];
        caller.call("get", &template, &missing, "", None).await.expect(404);
    }
    for path in
        ["events", "approvals", "repos", "stats", "settings", "me", "queue", "tokens", "audit", "alerts"]
    {
        caller.call("get", &format!("/api/v1/{path}"), &[], "", None).await.expect(200);
    }
    caller.call("get", "/api/v1/stats", &[], "?days=0", None).await.expect(400);
    let learnt =
        caller.call("get", "/api/v1/postmortems", &[], "?text=model&limit=1", None).await.expect(200);
    assert_eq!(learnt.json()["items"][0]["run"], json!(red), "{}", learnt.text);
    for wrong in ["?limit=0", "?cursor=nonsense", "?nonsense=1"] {
        caller.call("get", "/api/v1/postmortems", &[], wrong, None).await.expect(400);
    }
    let its_own = "/api/v1/runs/{run}/postmortem";
    caller.call("get", its_own, &[("run", &red)], "", None).await.expect(200);
    caller.call("get", its_own, &[("run", &landed)], "", None).await.expect(404);
    caller.call("get", "/api/v1/alerts", &[], "?limit=0", None).await.expect(400);
    let alert = found.first().and_then(|alert| alert["id"].as_str()).expect("an alert");
    let known = "/api/v1/alerts/{alert}/acknowledge";
    caller.call("post", known, &[("alert", alert)], "", None).await.expect(200);
    caller.call("post", known, &[("alert", "00000000")], "", None).await.expect(404);

    let asked =
        caller.call("get", "/api/v1/runs/{run}", &[("run", &waiting)], "", None).await.expect(200).json();
    let patch = asked["waiting"]["patch"].as_str().expect("a patch");
    assert_eq!(asked["actions"], json!(["approve", "reject"]));
    let halts = "/api/v1/halts";
    caller.call("get", halts, &[], "", None).await.expect(200);
    let (all, why) = (json!({ "reason": "for the test" }), json!({ "reason": " " }));
    caller.call("post", halts, &[], "", Some(why)).await.expect(400);
    let nowhere = json!({ "repo": "/nowhere", "reason": "x" });
    caller.call("post", halts, &[], "", Some(nowhere)).await.expect(404);
    let halted = caller.call("post", halts, &[], "", Some(all)).await.expect(200).json();
    assert_eq!(halted["items"][0]["repo"], json!(null), "{halted}");
    let approve = "/api/v1/runs/{run}/approve";
    let meanwhile = Some(json!({ "patch": patch }));
    let told = caller.call("post", approve, &[("run", &waiting)], "", meanwhile).await.expect(409);
    assert!(told.text.contains("for the test"), "{}", told.text);
    caller.call("post", "/api/v1/halts/lift", &[], "", Some(json!({}))).await.expect(200);
    caller.call("post", "/api/v1/halts/lift", &[], "", Some(json!({}))).await.expect(404);
    let wrong = Some(json!({ "patch": "0".repeat(64) }));
    caller.call("post", approve, &[("run", &waiting)], "", wrong).await.expect(409);
    let right = Some(json!({ "patch": patch, "remark": "looks right" }));
    caller.call("post", approve, &[("run", &waiting)], "", right.clone()).await.expect(202);
    caller.call("post", approve, &[("run", &waiting)], "", right).await.expect(409);
    let reason = Some(json!({ "reason": "not like this" }));
    let reject = "/api/v1/runs/{run}/reject";
    caller.call("post", reject, &[("run", &rejected)], "", Some(json!({ "reason": " " }))).await.expect(400);
    caller.call("post", reject, &[("run", &rejected)], "", reason.clone()).await.expect(200);
    caller.call("post", reject, &[("run", &rejected)], "", reason).await.expect(409);

    let repo = project.root.to_string_lossy().into_owned();
    let submission = json!({ "repo": repo, "command": ["true"], "priority": "low", "key": "one" });
    let first =
        caller.call("post", "/api/v1/runs", &[], "", Some(submission.clone())).await.expect(201).json();
    let again = caller.call("post", "/api/v1/runs", &[], "", Some(submission)).await.expect(200).json();
    assert_eq!((&first["run"], &again["new"]), (&again["run"], &json!(false)));
    let queued = first["run"].as_str().expect("a run");
    caller.call("get", "/api/v1/runs/{run}", &[("run", queued)], "", None).await.expect(200);
    caller.call("get", "/api/v1/runs/{run}/patch", &[("run", queued)], "", None).await.expect(200);
    for wrong in [
        json!({ "repo": "relative", "command": ["a"] }),
        json!({ "repo": repo, "command": [] }),
        json!({ "repo": repo }),
        json!({ "repo": repo, "command": ["a"], "ticket": "# A" }),
        json!({ "repo": repo, "command": ["a"], "land": "worktree" }),
        json!({ "repo": repo, "command": ["a"], "dir": "../b" }),
        json!({ "repo": repo, "command": ["a"], "checks": [{ "name": "goal", "run": "b" }] }),
    ] {
        caller.call("post", "/api/v1/runs", &[], "", Some(wrong)).await.expect(400);
    }
    repos(&mut caller, &repo).await;
    caller.call("get", "/api/v1/queue", &[], "", None).await.expect(200);
    caller.call("post", "/api/v1/runs/{run}/cancel", &[("run", queued)], "", None).await.expect(200);
    caller.call("post", "/api/v1/runs/{run}/cancel", &[("run", queued)], "", None).await.expect(409);
    caller.call("post", "/api/v1/runs/{run}/retry", &[("run", queued)], "", None).await.expect(200);

    // The first landing is taken back: what the approval landed stands on the same files, so that only the last one can be.
    let rollback = "/api/v1/runs/{run}/rollback";
    caller.call("post", rollback, &[("run", &red)], "", Some(json!({}))).await.expect(409);
    until_landed(&served, &waiting).await;
    caller.call("post", rollback, &[("run", &waiting)], "", Some(json!({}))).await.expect(200);
    caller.call("post", rollback, &[("run", &waiting)], "", Some(json!({}))).await.expect(409);
    let back = project.read("agenda/parsing.py");
    assert!(back.contains("def format_minute("), "{back}");

    proposals(&mut caller, &project).await;
    incidents(&mut caller, &project).await;

    let audit = caller.call("get", "/api/v1/audit", &[], "?limit=200", None).await.expect(200).json();
    let entries = audit["items"].as_array().expect("entries");
    let said = |action: &str, status: u16| {
        entries
            .iter()
            .any(|one| one["action"] == action && one["status"] == status && one["actor"].is_string())
    };
    for (action, status) in [
        ("POST /api/v1/runs/{run}/approve", 202),
        ("POST /api/v1/runs/{run}/approve", 409),
        ("POST /api/v1/runs/{run}/reject", 200),
        ("POST /api/v1/runs/{run}/rollback", 200),
        ("POST /api/v1/runs/{run}/cancel", 200),
        ("POST /api/v1/runs", 201),
        ("POST /api/v1/repos", 200),
        ("PATCH /api/v1/repos/{repo}", 200),
        ("PATCH /api/v1/repos/{repo}", 400),
        ("POST /api/v1/halts", 200),
        ("POST /api/v1/halts/lift", 200),
        ("POST /api/v1/proposals/{proposal}/apply", 202),
    ] {
        assert!(said(action, status), "{action} {status} is not in the audit log: {audit}");
    }

    let described = caller.document["paths"].as_object().expect("paths").iter();
    let all: BTreeSet<String> = described
        .flat_map(|(path, item)| {
            item.as_object().expect("operations").keys().map(move |method| format!("{method} {path}"))
        })
        .collect();
    let left: Vec<&String> = all.difference(&caller.done).collect();
    assert!(left.is_empty(), "these were never seen to succeed: {left:?}");
}

/// Everything that can be asked of incidents.
async fn incidents(caller: &mut Caller<'_>, project: &Project) {
    let report = |error: &str| {
        let trace =
            "Traceback (most recent call last):\n  File \"/app/agenda/day.py\", line 5, in show\n    x\n";
        json!({ "error": error, "stack_trace": format!("{trace}{error}\n"), "context": { "minute": 7 },
            "repo": project.root, "environment": "staging", "release": "1", "fatal": true, "heal": false })
    };
    let path = "/api/v1/incidents";
    let made = caller.call("post", path, &[], "", Some(report("KeyError: 7"))).await.expect(201).json();
    assert_eq!((&made["place"], &made["state"]), (&json!("agenda/day.py:5"), &json!("open")), "{made}");
    caller.call("post", path, &[], "", Some(report("KeyError: 8"))).await.expect(200);
    let empty = json!({ "repo": project.root });
    caller.call("post", path, &[], "", Some(empty)).await.expect(400);
    for rest in ["", "?limit=1", "?state=open&text=KeyError"] {
        let found = caller.call("get", path, &[], rest, None).await.expect(200).json();
        assert_eq!(found["items"].as_array().expect("items").len(), 1, "{found}");
    }
    let id = made["id"].as_str().expect("an id").to_owned();
    let one = [("incident", id.as_str())];
    let shown = caller.call("get", "/api/v1/incidents/{incident}", &one, "", None).await.expect(200).json();
    assert_eq!(shown["count"], 2, "{shown}");
    caller
        .call("get", "/api/v1/incidents/{incident}", &[("incident", "00000000")], "", None)
        .await
        .expect(404);
    for (action, status) in [("ignore", 200), ("ignore", 409), ("heal", 409), ("open", 200), ("heal", 200)] {
        let path = format!("/api/v1/incidents/{{incident}}/{action}");
        caller.call("post", &path, &one, "", None).await.expect(status);
    }
}

/// Everything that can be asked of proposals.
async fn proposals(caller: &mut Caller<'_>, project: &Project) {
    let at = |rest: &str| format!("/api/v1/proposals{rest}");
    let mut ids = Vec::new();
    for (title, path) in
        [("Write notes", "notes.txt"), ("Write more", "more.txt"), ("Break it", "agenda/parsing.py")]
    {
        let checks = json!([{ "name": "test", "run": "python3 -m unittest" }]);
        let files = json!([{ "path": path, "content": "x = \n" }]);
        let body = json!({ "title": title, "repo": project.root, "files": files, "checks": checks, "no_model": true });
        let made = caller.call("post", &at(""), &[], "", Some(body)).await.expect(201).json();
        ids.push(made["id"].as_str().expect("an id").to_owned());
    }
    let [good, unwanted, broken] = ids.as_slice() else { panic!("{ids:?}") };
    let one = |id: &str| [("proposal".to_owned(), id.to_owned())];
    let mut ask = async |method: &str, path: &str, id: &str, rest: &str, body: Option<Value>, status: u16| {
        let values = one(id);
        let values: Vec<(&str, &str)> =
            values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        caller.call(method, path, &values, rest, body).await.expect(status).json()
    };
    for rest in ["", "?limit=1", "?state=proposed&text=notes"] {
        ask("get", &at(""), "", rest, None, 200).await;
    }
    let (fix, status) = (at("/{proposal}/auto-fix"), at("/{proposal}/auto-fix/status"));
    let (older, older_status) =
        ("/api/v1/admin/proposals/auto-fix/{proposal}", "/api/v1/admin/proposals/auto-fix/status/{proposal}");
    ask("get", &at("/{proposal}"), good, "", None, 200).await;
    ask("get", &at("/{proposal}"), "00000000", "", None, 404).await;
    project.regreen(&["worker", "--once"]).expect(0);
    let waiting = ask("get", &at("/{proposal}"), good, "", None, 200).await;
    assert_eq!(waiting["state"], "tests_passed", "{waiting}");
    let digest = json!({ "patch": waiting["waiting"]["patch"], "remark": "fine" });
    ask("post", &at("/{proposal}/approve"), good, "", Some(digest), 200).await;
    ask("post", &at("/{proposal}/apply"), good, "", None, 202).await;
    ask("post", &at("/{proposal}/reject"), unwanted, "", Some(json!({ "reason": "no" })), 200).await;
    ask("post", &at("/{proposal}/test"), broken, "", None, 202).await;
    ask("get", older_status, broken, "", None, 200).await;
    project.regreen(&["worker", "--once"]).expect(0);
    ask("post", &at("/{proposal}/rollback"), good, "", Some(json!({})), 200).await;
    ask("post", &at("/{proposal}/rollback"), good, "", Some(json!({})), 409).await;
    ask("post", &fix, broken, "?wait=51", None, 400).await;
    ask("post", &fix, broken, "?wait=0", Some(json!({ "max_attempts": 1, "no_model": true })), 202).await;
    ask("post", older, broken, "?wait=0", None, 202).await;
    ask("get", &status, broken, "", None, 200).await;
    project.regreen(&["worker", "--once"]).expect(0);
    let told = ask("get", &at("/{proposal}"), broken, "", None, 200).await;
    assert!(told["fix_history"].as_array().is_some_and(|tried| !tried.is_empty()), "{told}");
    let patch = [("proposal", broken.as_str())];
    caller.call("get", &at("/{proposal}/patch"), &patch, "?part=proposed", None).await.expect(200);
    caller.call("get", &at("/{proposal}/patch"), &patch, "?part=nonsense", None).await.expect(400);
}

/// What can be asked and said of repos.
async fn repos(caller: &mut Caller<'_>, repo: &str) {
    let (all, one) = ("/api/v1/repos", "/api/v1/repos/{repo}");
    let added = caller.call("post", all, &[], "", Some(json!({ "repo": repo }))).await;
    assert!(added.header("location").starts_with("/api/v1/repos/"), "{added:?}");
    let id = added.expect(201).json()["id"].as_str().expect("an id").to_owned();
    caller.call("post", all, &[], "", Some(json!({ "repo": repo, "concurrency": 3 }))).await.expect(200);
    for wrong in [
        json!({ "repo": "relative" }),
        json!({ "repo": "/nowhere" }),
        json!({ "repo": "/" }),
        json!({ "repo": format!("{repo}\0") }),
        json!({ "repo": format!("/{}", "x".repeat(9000)) }),
        json!({ "repo": repo, "concurrency": 0 }),
    ] {
        caller.call("post", all, &[], "", Some(wrong)).await.expect(400);
    }
    let page = caller.call("get", all, &[], "?limit=1&text=PROJECT", None).await.expect(200).json();
    assert_eq!(
        (&page["items"][0]["repo"], &page["items"][0]["concurrency"]),
        (&json!(repo), &json!(3)),
        "{page}"
    );
    caller.call("get", all, &[], &format!("?cursor={id}"), None).await.expect(200);
    for wrong in ["?limit=0", "?cursor=%21", "?cursor=AA", "?nonsense=1"] {
        caller.call("get", all, &[], wrong, None).await.expect(400);
    }
    let shown = caller.call("get", one, &[("repo", &id)], "", None).await.expect(200).json();
    assert_eq!(shown["checks_from"], "detected", "{shown}");
    assert!(shown["health"]["red"].as_u64() >= Some(2), "{shown}");
    let need = |name: &str| {
        let needs = shown["needs"].as_array().expect("needs");
        needs.iter().find(|need| need["name"] == name).expect("the need")["works"].clone()
    };
    assert_eq!((need("git"), need("base"), need("sandbox")), (json!(true), json!(true), json!(true)));
    for missing in ["AA", "!", "L25vd2hlcmU", "AAAA"] {
        caller.call("get", one, &[("repo", missing)], "", None).await.expect(404);
        caller.call("patch", one, &[("repo", missing)], "", Some(json!({}))).await.expect(404);
    }
    for wrong in [
        json!({ "paused": true }),
        json!({ "paused": true, "reason": " " }),
        json!({ "reason": "for nothing" }),
        json!({ "concurrency": 65 }),
    ] {
        caller.call("patch", one, &[("repo", &id)], "", Some(wrong)).await.expect(400);
    }
    let pause = json!({ "paused": true, "reason": "a release", "concurrency": 2 });
    let paused = caller.call("patch", one, &[("repo", &id)], "", Some(pause)).await.expect(200).json();
    assert_eq!(
        (&paused["paused"]["reason"], &paused["concurrency"]),
        (&json!("a release"), &json!(2)),
        "{paused}"
    );
    let go_on = Some(json!({ "paused": false }));
    let on = caller.call("patch", one, &[("repo", &id)], "", go_on).await.expect(200).json();
    assert_eq!((&on["paused"], &on["concurrency"]), (&json!(null), &json!(2)), "{on}");
    for missing in ["AA", "L25vd2hlcmU"] {
        caller.call("delete", one, &[("repo", missing)], "", None).await.expect(404);
    }
    let kept = caller.call("delete", one, &[("repo", &id)], "", None).await.expect(409);
    assert!(kept.text.contains("in the queue"), "{}", kept.text);
    let other = std::path::Path::new(repo).join("other");
    let made = std::process::Command::new("git").args(["init", "-q"]).arg(&other).status().expect("git");
    assert!(made.success());
    let added = caller.call("post", all, &[], "", Some(json!({ "repo": other }))).await.expect(201).json();
    let id = added["id"].as_str().expect("an id");
    caller.call("delete", one, &[("repo", id)], "", None).await.expect(204);
    caller.call("delete", one, &[("repo", id)], "", None).await.expect(404);
    std::fs::remove_dir_all(&other).expect("it goes");
}

/// Follows the run until it is over.
async fn until_landed(served: &Served, run: &str) {
    let stream = super::events::Stream::open(served, &format!("/api/v1/runs/{run}/events"), None).await;
    let events = stream.until(|event| event["event"] == "finished" && event["exit"] == "green").await;
    assert!(events.iter().any(|(_, event)| event["event"] == "landed"), "{events:?}");
}
