//! Who gets in: addresses, names, tokens, scopes, rates.

use reqwest::Method;
use serde_json::json;

use super::{Served, answer, client, form, token};
use crate::project::Project;

fn empty() -> Project {
    Project::new(&[("a.txt", "a\n")])
}

#[test]
fn beyond_this_machine_nobody_is_served_without_tokens() {
    let project = empty();
    let refused = project.regreen(&["serve", "--listen", "0.0.0.0:0"]).expect(3);
    assert!(refused.stderr.contains("regreen token create"), "{}", refused.stderr);
    // A token that is over does not count.
    token(&project, "once", "admin");
    project.regreen(&["token", "revoke", "once"]).expect(0);
    project.regreen(&["serve", "--listen", "0.0.0.0:0"]).expect(3);
}

#[test]
fn a_token_is_shown_once_and_kept_as_a_digest() {
    let project = empty();
    let secret = token(&project, "ci", "submit");
    let hidden = secret.splitn(3, '_').nth(2).expect("a secret part");
    assert!(hidden.len() >= 40, "{secret}");
    let listed = project.regreen(&["token", "list"]).expect(0).stdout;
    assert!(listed.contains("ci") && listed.contains("submit") && !listed.contains(hidden), "{listed}");
    let state = project.home.join(".local/state/regreen");
    for entry in std::fs::read_dir(state).expect("the state").flatten().filter(|entry| entry.path().is_file())
    {
        let bytes = std::fs::read(entry.path()).expect("a file");
        let found = bytes.windows(hidden.len()).any(|window| window == hidden.as_bytes());
        assert!(!found, "{} holds the secret", entry.path().display());
    }
    let twice = project.regreen(&["token", "create", "ci"]).expect(2);
    assert!(twice.stderr.contains("already"), "{}", twice.stderr);
    for name in ["", " a", "a\nb", "<script>", "printed at 1"] {
        project.regreen(&["token", "create", name]).expect(2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_and_its_sessions_are_over_at_once() {
    let project = empty();
    let anna = token(&project, "anna", "read");
    let served = Served::start(&project, &[]);
    served.send(Method::GET, "/api/v1/me", Some(&anna), None).await.expect(200);
    let login = form(client().post(format!("{}/login", served.url)), &[("token", &anna)]);
    let entered = answer(login).await.expect(303);
    let cookie = entered.header("set-cookie").split(';').next().expect("a cookie").to_owned();
    for part in ["HttpOnly", "SameSite=Lax"] {
        assert!(entered.header("set-cookie").contains(part), "{}", entered.header("set-cookie"));
    }
    served.page("/", &cookie).await.expect(200);
    project.regreen(&["token", "revoke", "anna"]).expect(0);
    served.send(Method::GET, "/api/v1/me", Some(&anna), None).await.expect(401);
    served.page("/", &cookie).await.expect(303);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tokens_are_told_apart_from_none_by_nobody() {
    let project = empty();
    let good = token(&project, "good", "read");
    let served = Served::start(&project, &[]);
    let (head, secret) = good.split_at("rgt_".len() + 12 + 1);
    let other = format!("{head}{}", secret.chars().rev().collect::<String>());
    for wrong in ["", "rgt_", "rgt_x_y", "nonsense", &other, head] {
        let refused = served.send(Method::GET, "/api/v1/me", Some(wrong), None).await.expect(401);
        assert_eq!(refused.header("content-type"), "application/problem+json");
        assert!(refused.header("www-authenticate").starts_with("Bearer"), "{wrong}");
    }
    let login = form(client().post(format!("{}/login", served.url)), &[("token", "rgt_a_b")]);
    answer(login).await.expect(401);
    // Tokens in addresses get into histories and logs: only the printed one is taken there.
    answer(client().get(format!("{}/login?token={good}", served.url))).await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_is_for_the_scope_that_it_declares() {
    let project = empty();
    let names = ["read", "submit", "approve", "admin"];
    let tokens = names.map(|scope| token(&project, scope, scope));
    let mut served = Served::start(&project, &[]);
    let document = served.send(Method::GET, "/api/v1/openapi.json", None, None).await.expect(200).json();
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        let path = path.replace("{run}", "00000000").replace("{seq}", "1");
        for (method, operation) in item.as_object().expect("operations") {
            let method: Method = method.to_uppercase().parse().expect("a method");
            let needed = operation["security"][0]["token"][0].as_str().expect("a scope");
            if seen % 20 == 19 {
                // Who has no token gets an answer so often only.
                served = Served::start(&project, &[]);
            }
            let body = (method == Method::POST).then(|| json!({}));
            let send = |token| served.send(method.clone(), &path, token, body.as_ref());
            send(None).await.expect(401);
            for (name, token) in names.iter().zip(&tokens) {
                let answered = send(Some(token)).await.status.as_u16();
                let may = *name == needed || *name == "admin" || needed == "read";
                assert_eq!(answered == 403, !may, "{method} {path} with {name}: {answered}");
                assert_ne!(answered, 401, "{method} {path} with {name}");
            }
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} operations");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_names_for_this_machine_are_refused() {
    let project = empty();
    let served = Served::start(&project, &["--public-url", "https://regreen.example.org"]);
    let to = |host: &str, path: &str| {
        answer(client().get(format!("{}{path}", served.url)).header("host", host).bearer_auth(&served.token))
    };
    for path in ["/", "/healthz", "/api/v1/runs", "/login", "/api/v1/openapi.json"] {
        for host in ["evil.example", "evil.example:80", "127.0.0.1.evil.example"] {
            to(host, path).await.expect(421);
        }
    }
    to("regreen.example.org", "/api/v1/me").await.expect(200);
    to("localhost", "/api/v1/me").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_asks_too_often_waits_and_others_do_not() {
    let project = empty();
    let other = token(&project, "other", "read");
    let served = Served::start(&project, &["--rate", "2"]);
    let mut refused = None;
    for _ in 0..50 {
        let answered = served.get("/api/v1/me").await;
        if answered.status.as_u16() == 429 {
            refused = Some(answered);
            break;
        }
    }
    let refused = refused.expect("a limit");
    assert!(refused.header("retry-after").parse::<u64>().expect("seconds") > 0);
    served.send(Method::GET, "/api/v1/me", Some(&other), None).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_no_json_is_refused_with_a_reason() {
    let project = empty();
    let served = Served::start(&project, &[]);
    let large = json!({ "repo": "x".repeat(2 << 20) });
    served.post("/api/v1/runs", &large).await.expect(413);
    let send = |body: &'static str, kind: &'static str| {
        let request = client().post(format!("{}/api/v1/runs", served.url)).bearer_auth(&served.token);
        answer(request.header("content-type", kind).body(body))
    };
    send("{", "application/json").await.expect(400);
    send("{}", "text/plain").await.expect(415);
    let misspelt = send("{\"repo\":\"/a\",\"comand\":[\"a\"]}", "application/json").await.expect(422);
    assert!(misspelt.json()["detail"].as_str().expect("words").contains("comand"), "{}", misspelt.text);
    let path = served.get("/api/v1/nonsense").await.expect(404);
    assert_eq!(path.header("content-type"), "application/problem+json");
    served.send(Method::DELETE, "/api/v1/runs", Some(&served.token), None).await.expect(405);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_when_it_is_asked_to_and_takes_its_token_along() {
    let project = empty();
    let served = Served::start(&project, &[]);
    let ready = served.send(Method::GET, "/readyz", None, None).await.expect(200);
    assert_eq!(ready.text, "ready\n");
    // A stream that is open does not hold it up.
    let stream = client().get(format!("{}/api/v1/events", served.url)).bearer_auth(&served.token);
    let stream = stream.header("accept", "text/event-stream").send().await.expect("a stream");
    assert_eq!(stream.status().as_u16(), 200);
    assert_eq!(served.end(), Some(0));
    stream.text().await.expect("the stream ends whole");
    let listed = project.regreen(&["token", "list"]).expect(0).stdout;
    assert!(listed.contains("no tokens"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_streams_of_one_token_keep_nobody_else_out() {
    let project = empty();
    let [greedy, other] = ["greedy", "other"].map(|name| token(&project, name, "read"));
    let served = Served::start(&project, &[]);
    let client = client();
    let open = async |token: &str| {
        let stream = client.get(format!("{}/api/v1/events", served.url)).bearer_auth(token);
        stream.header("accept", "text/event-stream").send().await.expect("an answer")
    };
    let mut held = Vec::new();
    let refused = loop {
        let stream = open(&greedy).await;
        if stream.status() != 200 {
            break stream;
        }
        held.push(stream);
        assert!(held.len() < 200, "one token has {} streams", held.len());
    };
    assert_eq!(refused.status().as_u16(), 429);
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    assert!(refused.headers().contains_key("retry-after"));
    // It may do everything else, and others may follow.
    served.send(Method::GET, "/api/v1/me", Some(&greedy), None).await.expect(200);
    assert_eq!(open(&other).await.status(), 200);
    // Who closes one may open one: the service sees it when it next has something to say there.
    drop(held);
    while open(&greedy).await.status() != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_token() {
    let project = Project::agenda();
    let anna = token(&project, "anna", "read");
    let served = Served::start(&project, &[]);
    let stream = client().get(format!("{}/api/v1/events", served.url)).bearer_auth(&anna);
    let stream = stream.header("accept", "text/event-stream").send().await.expect("a stream");
    assert_eq!(stream.status().as_u16(), 200);
    project.regreen(&["token", "revoke", "anna"]).expect(0);
    super::heal(&project, false);
    let told = stream.text().await.expect("it ends whole");
    assert!(!told.contains("data:"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_down_of_a_call_is_no_longer_than_it_has_to_be() {
    let project = empty();
    let reader = token(&project, "reader", "read");
    let served = Served::start(&project, &[]);
    let path = format!("/api/v1/runs/{}/cancel", "x".repeat(40_000));
    served.send(Method::POST, &path, Some(&reader), Some(&json!({}))).await.expect(403);
    let audit = served.get("/api/v1/audit?limit=10").await.expect(200);
    assert!(audit.text.contains("reader") && audit.text.len() < 10_000, "{}", audit.text.len());
}
