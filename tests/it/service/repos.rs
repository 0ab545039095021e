//! Repos: who may add and pause them, what a pause does, and names that would do something in a page or a terminal.

use reqwest::Method;
use serde_json::json;

use super::pages::active;
use super::{Served, answer, client, form, token};
use crate::project::Project;

/// A repo beside the project whose name is hostile.
fn hostile(project: &Project) -> String {
    let root = project
        .base()
        .canonicalize()
        .expect("a real path")
        .join("<img src=x onerror=alert(1)>\u{202e}\x1b[31m {{ 7*7 }}");
    std::fs::create_dir(&root).expect("a folder");
    project.git_in(&root, &["init", "-q"]);
    let config = "[checks.\"<script>alert(1)</script>\"]\nrun = \"x\"\n";
    std::fs::write(root.join("regreen.toml"), config).expect("a file");
    root.to_str().expect("UTF-8").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repo_is_added_by_an_administrator_and_named_by_others_from_then_on() {
    let project = Project::new(&[("a.txt", "a\n")]);
    let ci = token(&project, "ci", "submit");
    let served = Served::start(&project, &[]);
    let submit = || async {
        let body = json!({ "repo": project.root, "command": ["true"] });
        served.send(Method::POST, "/api/v1/runs", Some(&ci), Some(&body)).await
    };
    let addition = json!({ "repo": project.root });
    submit().await.expect(403);
    served.send(Method::POST, "/api/v1/repos", Some(&ci), Some(&addition)).await.expect(403);
    let added = served.post("/api/v1/repos", &addition).await.expect(201).json();
    submit().await.expect(201);
    let path = format!("/api/v1/repos/{}", added["id"].as_str().expect("an id"));
    let pause = json!({ "paused": true, "reason": "a release" });
    served.send(Method::PATCH, &path, Some(&ci), Some(&pause)).await.expect(403);
    served.send(Method::PATCH, &path, Some(&served.token), Some(&pause)).await.expect(200);
    let seen = served.send(Method::GET, &path, Some(&ci), None).await.expect(200).json();
    assert_eq!((&seen["queued"], &seen["paused"]["reason"]), (&json!(1), &json!("a release")), "{seen}");

    // A paused repo begins nothing, and says so where somebody waits for its run.
    project.regreen(&["worker", "--once"]).expect(0);
    let queue = served.get("/api/v1/queue").await.expect(200).json();
    assert_eq!(queue["queued"], 1, "{queue}");
    let run = queue["items"][0]["run"].as_str().expect("a run");
    let page = served.page(&format!("/runs/{run}"), &served.enter().await).await.expect(200).text;
    assert!(page.contains("a release"), "{page}");
    let listed = project.regreen(&["repo", "list"]).expect(0).stdout;
    assert!(listed.contains("paused"), "{listed}");
    project.regreen(&["repo", "unpause"]).expect(0);
    project.regreen(&["repo", "set", "--concurrency", "4"]).expect(0);
    project.regreen(&["worker", "--once"]).expect(0);
    let seen = served.get(&path).await.expect(200).json();
    assert_eq!((&seen["queued"], &seen["concurrency"]), (&json!(0), &json!(4)), "{seen}");
    let audit = served.get("/api/v1/audit?limit=50").await.expect(200).json().to_string();
    for said in ["repo unpause", "repo set", "paused: a release"] {
        assert!(audit.contains(said), "{said}: {audit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_changes_or_removes_a_repo_that_somebody_else_changed_meanwhile() {
    let project = Project::agenda();
    let served = Served::start(&project, &[]);
    let body = json!({ "repo": project.root });
    let added = served.post("/api/v1/repos", &body).await.expect(201).json();
    let path = format!("/api/v1/repos/{}", added["id"].as_str().expect("an id"));
    let tag = served.get(&path).await.expect(200).header("etag").to_owned();
    let call = async |method: Method, tag: &str, body: Option<&serde_json::Value>| {
        let mut call = client().request(method, format!("{}{path}", served.url)).bearer_auth(&served.token);
        if !tag.is_empty() {
            call = call.header("if-match", tag);
        }
        if let Some(body) = body {
            call = call.header("content-type", "application/json").body(body.to_string());
        }
        answer(call).await
    };
    // Runs that come and go change what is shown, and nothing that anybody set.
    project.regreen(&["heal", "--no-model", "--", "true"]).expect(0);
    let other = served.get(&path).await.expect(200).header("etag").to_owned();
    assert_ne!(other, tag);
    let twice = json!({ "concurrency": 2 });
    call(Method::PATCH, &tag, Some(&twice)).await.expect(200);
    let late = call(Method::PATCH, &tag, Some(&json!({ "concurrency": 3 }))).await.expect(412);
    assert_eq!(late.header("content-type"), "application/problem+json");
    assert_eq!(late.json()["type"], "urn:regreen:problem:changed");
    for never in [&tag, &format!("W/{}", served.get(&path).await.header("etag")), "\"\"", "nonsense"] {
        call(Method::PATCH, never, Some(&json!({ "concurrency": 3 }))).await.expect(412);
        call(Method::DELETE, never, None).await.expect(412);
    }
    assert_eq!(served.get(&path).await.json()["concurrency"], 2);
    let fresh = format!("\"x\", {}", served.get(&path).await.header("etag"));
    call(Method::PATCH, &fresh, Some(&json!({ "concurrency": 3 }))).await.expect(200);
    call(Method::PATCH, "*", Some(&twice)).await.expect(200);

    // It stays as long as anything of it is in the queue; what was done stays for ever.
    let run = project.regreen(&["submit", "--no-model", "--", "true"]).expect(0).stdout.trim().to_owned();
    let kept = call(Method::DELETE, "", None).await.expect(409);
    assert!(kept.text.contains("in the queue") && kept.text.contains("regreen cancel"), "{}", kept.text);
    let said = project.regreen(&["repo", "remove"]).expect(3).stderr;
    assert!(said.contains("in the queue"), "{said}");
    project.regreen(&["cancel", &run]).expect(0);
    let ci = token(&project, "ci", "submit");
    served.send(Method::DELETE, &path, Some(&ci), None).await.expect(403);
    let tag = served.get(&path).await.header("etag").to_owned();
    call(Method::DELETE, &tag, None).await.expect(204);
    served.get(&path).await.expect(404);
    let listed = served.get("/api/v1/runs").await.expect(200).json();
    assert_eq!(listed["items"].as_array().expect("runs").len(), 2, "{listed}");
    let submission = json!({ "repo": project.root, "command": ["true"] });
    served.send(Method::POST, "/api/v1/runs", Some(&ci), Some(&submission)).await.expect(403);
    // The next run of it makes it known again, with nothing of what was set.
    project.regreen(&["submit", "--no-model", "--", "true"]).expect(0);
    project.regreen(&["worker", "--once"]).expect(0);
    assert_eq!(served.get(&path).await.expect(200).json()["concurrency"], 1);

    let cookie = served.enter().await;
    let page = served.page(&path.replace("/api/v1", ""), &cookie).await.expect(200).text;
    let seal = page.split("name=\"seal\" value=\"").nth(1).expect("a seal").split('"').next().expect("it");
    let remove = client().post(format!("{}{}/remove", served.url, path.replace("/api/v1", "")));
    let gone = answer(form(remove.header("cookie", &cookie), &[("seal", seal)])).await.expect(303);
    let told = served.page(gone.header("location"), &cookie).await.expect(200).text;
    assert!(told.contains("The repo is removed"), "{told}");
    let audit = served.get("/api/v1/audit?limit=50").await.expect(200).text;
    assert!(audit.contains(": removed"), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_name_is_text_wherever_the_repo_is_shown() {
    let project = Project::new(&[("a.txt", "a\n")]);
    let root = hostile(&project);
    let served = Served::start(&project, &[]);
    let cookie = served.enter().await;
    let list = served.page("/repos", &cookie).await.expect(200).text;
    let seal = list.split("name=\"seal\" value=\"").nth(1).expect("a seal").split('"').next().expect("it");
    let send = |path: &str, fields: &[(&str, &str)]| {
        let fields = [&[("seal", seal)], fields].concat();
        answer(form(client().post(format!("{}{path}", served.url)).header("cookie", &cookie), &fields))
    };
    let added = send("/repos", &[("repo", &root)]).await.expect(303);
    let place = added.header("location").split('?').next().expect("a path").to_owned();
    send(&format!("{place}/pause"), &[("reason", "<script>alert(2)</script>\u{202e}")]).await.expect(303);
    send(&format!("{place}/pause"), &[("reason", " ")]).await.expect(400);
    send(&format!("{place}/concurrency"), &[("concurrency", "65")]).await.expect(400);
    send(&format!("{place}/concurrency"), &[("concurrency", "many")]).await.expect(400);
    send("/repos", &[("repo", "/nowhere/<script>")]).await.expect(400);
    for path in ["/repos", &place, "/repos?text=%3Cscript%3E", "/?status=needs", "/settings"] {
        let page = served.page(path, &cookie).await.expect(200).text;
        assert_eq!(active(&page.replace("&#x2f;", "/")), Vec::<String>::new(), "{path}: {page}");
        assert!(!page.contains(['\u{202e}', '\x1b']), "{path}: {page}");
    }
    let page = served.page(&place, &cookie).await.expect(200).text;
    assert!(page.contains("{{ 7*7 }}") && page.contains("regreen.toml line 1"), "{page}");
    for words in [&["repo", "list"][..], &["repo", "show", &root]] {
        let said = project.regreen(words).expect(0).stdout;
        assert!(!said.contains(['\u{202e}', '\x1b']) && said.contains("{{ 7*7 }}"), "{said}");
    }
    served.page("/repos/nonsense!", &cookie).await.expect(404);
}

#[test]
fn what_cannot_be_a_repo_is_refused_with_what_to_do() {
    let project = Project::new(&[("a/b.txt", "b\n")]);
    let said = project.regreen(&["repo", "show"]).expect(2).stderr;
    assert!(said.contains("regreen repo add"), "{said}");
    let home = project.home.to_str().expect("UTF-8").to_owned();
    for folder in ["nowhere", "a/b.txt", &home] {
        let said = project.regreen(&["repo", "add", folder]).expect(2).stderr;
        assert!(said.contains("hint:"), "{folder}: {said}");
    }
    let said = project.regreen(&["repo", "add", "a"]).expect(0).stderr;
    assert!(said.contains("is added"), "{said}");
    let shown = project.regreen(&["repo", "show", "a", "--json"]).expect(0).stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["repo"], project.root.to_str().expect("UTF-8"));
    // The folder may be gone by the time somebody asks.
    std::fs::rename(&project.root, project.root.with_file_name("moved")).expect("it moves");
    let gone = project.root.to_str().expect("UTF-8").to_owned();
    let shown = project.regreen_in(project.base(), &["repo", "show", &gone]).expect(0).stdout;
    assert!(shown.contains("no folder on this machine"), "{shown}");
    project.regreen_in(project.base(), &["repo", "pause", &gone, "--reason", " "]).expect(2);
    project.regreen_in(project.base(), &["repo", "pause", &gone, "--reason", "it is gone"]).expect(0);
}
