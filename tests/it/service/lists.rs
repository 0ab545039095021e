//! Lists in pages, calls that are made again, and answers that are known already.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Served, answer, client, token};
use crate::project::Project;

/// Asks for a run that no worker does.
async fn submit(served: &Served, repo: &str, number: usize) -> String {
    let body = json!({ "repo": repo, "command": ["test", number.to_string()] });
    let made = served.post("/api/v1/runs", &body).await.expect(201).json();
    made["run"].as_str().expect("a run").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_stay_as_they_are_while_runs_are_made() {
    let project = Project::new(&[("a.txt", "a\n")]);
    let served = Served::start(&project, &[]);
    let repo = project.root.to_string_lossy().into_owned();
    let mut made = Vec::new();
    for number in 0..23 {
        made.push(submit(&served, &repo, number).await);
    }
    made.reverse();
    let mut seen: Vec<String> = Vec::new();
    let mut next = String::new();
    loop {
        let page = served.get(&format!("/api/v1/runs?limit=5{next}")).await.expect(200).json();
        let ids = page["items"].as_array().expect("items").iter();
        seen.extend(ids.map(|run| run["id"].as_str().expect("an id").to_owned()));
        // What is made meanwhile stands before what was given, and moves nothing.
        submit(&served, &repo, 100 + seen.len()).await;
        match page["next"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, made);

    let found = served.get("/api/v1/runs?text=TEST%2017").await.expect(200).json();
    assert_eq!(found["items"].as_array().expect("items").len(), 1, "{found}");
    for nothing in ["100%25", "%5C", "_____________________________"] {
        let found = served.get(&format!("/api/v1/runs?text={nothing}")).await.expect(200).json();
        assert_eq!(found["items"], json!([]), "{nothing}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_made_again_is_answered_again_and_not_done_again() {
    let project = Project::new(&[("a.txt", "a\n")]);
    let other = token(&project, "other", "admin");
    let served = Served::start(&project, &[]);
    let repo = project.root.to_string_lossy().into_owned();
    let call = |token: &str, key: &str, body: &Value| {
        let request = client().post(format!("{}/api/v1/runs", served.url)).bearer_auth(token);
        let request = request.header("content-type", "application/json").header("idempotency-key", key);
        answer(request.body(body.to_string()))
    };
    let body = json!({ "repo": repo, "command": ["true"] });
    let first = call(&served.token, "a", &body).await.expect(201);
    assert_eq!(first.header("idempotency-replayed"), "");
    let again = call(&served.token, "a", &body).await.expect(201);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(first.json(), again.json());
    let changed = json!({ "repo": repo, "command": ["false"] });
    call(&served.token, "a", &changed).await.expect(422);
    // What was refused is refused again; another key, and another token's same key, are other calls.
    let wrong = json!({ "repo": repo });
    call(&served.token, "b", &wrong).await.expect(400);
    let refused = call(&served.token, "b", &wrong).await.expect(400);
    assert_eq!(refused.header("content-type"), "application/problem+json");
    let runs: BTreeSet<String> = [
        first.json()["run"].to_string(),
        call(&served.token, "c", &body).await.expect(201).json()["run"].to_string(),
        call(&other, "a", &body).await.expect(201).json()["run"].to_string(),
    ]
    .into();
    assert_eq!(runs.len(), 3);
    call(&served.token, &"k".repeat(201), &body).await.expect(400);

    // At once: one does it, the others hear that it is under way, or what came of it.
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let request = client().post(format!("{}/api/v1/runs", served.url)).bearer_auth(&served.token);
        let request = request.header("content-type", "application/json").header("idempotency-key", "d");
        calls.spawn(answer(request.body(body.to_string())));
    }
    let answers = calls.join_all().await;
    let made: BTreeSet<String> = answers
        .iter()
        .filter(|one| one.status.as_u16() == 201)
        .map(|one| one.json()["run"].to_string())
        .collect();
    assert_eq!(made.len(), 1, "{answers:?}");
    assert!(answers.iter().all(|one| matches!(one.status.as_u16(), 201 | 409)), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_known_is_not_sent_again() {
    let project = Project::new(&[("a.txt", "a\n")]);
    let served = Served::start(&project, &[]);
    let get = |tag: Option<String>| {
        let mut request = client().get(format!("{}/api/v1/runs", served.url)).bearer_auth(&served.token);
        if let Some(tag) = tag {
            request = request.header("if-none-match", tag);
        }
        answer(request)
    };
    let first = get(None).await.expect(200);
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with('"'), "{tag}");
    let known = get(Some(tag.clone())).await.expect(304);
    assert_eq!((known.text.as_str(), known.header("etag")), ("", tag.as_str()));
    submit(&served, &project.root.to_string_lossy(), 1).await;
    let changed = get(Some(tag.clone())).await.expect(200);
    assert_ne!(changed.header("etag"), tag);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_submit_names_a_repo_that_is_known() {
    let project = Project::new(&[("a.txt", "a\n")]);
    let ci = token(&project, "ci", "submit");
    let served = Served::start(&project, &[]);
    let body = json!({ "repo": project.root, "command": ["true"] });
    let send = || served.send(reqwest::Method::POST, "/api/v1/runs", Some(&ci), Some(&body));
    send().await.expect(403);
    served.post("/api/v1/runs", &body).await.expect(201);
    send().await.expect(201);
}
