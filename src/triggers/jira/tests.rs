use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderValue};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::client::{Comment, Issue, Person, is_key};
use super::hook::JiraHook;
use super::{key_of, says, source, ticket};
use crate::clock::Clock;
use crate::triggers::{Hook, Incoming, Refused};

struct At(i64);

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0).unwrap()
    }
}

fn hook() -> JiraHook {
    let connect = (SecretString::from("shared"), "client-1".to_owned());
    JiraHook::with(
        Some(SecretString::from("It's a Secret to Everybody")),
        Some(connect),
        Arc::new(At(1_000_000)),
    )
}

fn verified(headers: &[(&'static str, &str)], query: &str, body: &[u8]) -> Result<(), Refused> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, HeaderValue::from_str(value).unwrap());
    }
    hook().verify(&Incoming { path: "/hooks/jira", query, headers: &map, body })
}

#[test]
fn a_signature_over_the_body_opens() {
    // The example of Atlassian's documentation, which is GitHub's too.
    let right = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    assert_eq!(verified(&[("x-hub-signature", right)], "", b"Hello, World!"), Ok(()));
    for (wrong, body) in
        [(right, "Hello, World?"), ("sha256=00", "Hello, World!"), (&right[7..], "Hello, World!")]
    {
        assert_eq!(
            verified(&[("x-hub-signature", wrong)], "", body.as_bytes()),
            Err(Refused::Wrong),
            "{wrong}"
        );
    }
    assert_eq!(verified(&[], "", b"Hello, World!"), Err(Refused::Unsigned));
}

/// A token with these claims.
fn token(secret: &[u8], head: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(head), part(claims));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, text.as_bytes())))
}

/// SHA-256 of `POST&/hooks/jira&a=b%20c,d&x=%2B`, as `sha256sum` has it.
const QSH: &str = "c1e6d8ebd501ed432ad9851b28edc28a508834e014b912ff55a9feac0b82d4b2";

#[test]
fn a_token_of_a_connect_app_opens_for_this_request_alone() {
    let head = json!({"typ": "JWT", "alg": "HS256"});
    let claims = |changed: Value| {
        let mut claims = json!({"iss": "client-1", "iat": 999_990, "exp": 1_000_170, "qsh": QSH});
        claims.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
        claims
    };
    let query = "x=%2B&a=d&a=b+c&jwt=ignored";
    let check =
        |token: &str, query: &str| verified(&[("authorization", &format!("JWT {token}"))], query, b"{}");
    let right = token(b"shared", &head, &claims(json!({})));
    assert_eq!(check(&right, query), Ok(()));
    assert_eq!(verified(&[], &format!("x=%2B&a=d&a=b+c&jwt={right}"), b"{}"), Ok(()));
    assert_eq!(check(&right, "x=%2B&a=d"), Err(Refused::Wrong), "for another request");
    for wrong in [
        token(b"other", &head, &claims(json!({}))),
        token(b"shared", &json!({"alg": "none"}), &claims(json!({}))),
        token(b"shared", &head, &claims(json!({"iss": "client-2"}))),
        token(b"shared", &head, &claims(json!({"exp": 999_000}))),
        token(b"shared", &head, &claims(json!({"exp": 9_999_999}))),
        token(b"shared", &head, &claims(json!({"iat": 1_000_500}))),
        token(b"shared", &head, &claims(json!({"exp": null}))),
        token(b"shared", &head, &claims(json!({"qsh": "context-qsh"}))),
        right.rsplit_once('.').unwrap().0.to_owned(),
        String::new(),
        "..".to_owned(),
    ] {
        assert_eq!(check(&wrong, query), Err(Refused::Wrong), "{wrong}");
    }
}

#[test]
fn only_the_key_is_read_of_a_delivery() {
    let headers = HeaderMap::from_iter([(
        "x-atlassian-webhook-identifier".parse().unwrap(),
        HeaderValue::from_static("id-1"),
    )]);
    let read = |body: &str| {
        hook().read(&Incoming { path: "/hooks/jira", query: "", headers: &headers, body: body.as_bytes() })
    };
    let told =
        read(r#"{"webhookEvent":"jira:issue_updated","issue":{"key":"OD-33","fields":{"status":"x"}}}"#)
            .unwrap();
    assert_eq!((told.label.as_str(), told.event.as_str()), ("id-1", "jira:issue_updated"));
    assert_eq!(told.matter, Ok(json!({"issue": "OD-33"})));
    for other in [r#"{"webhookEvent":"sprint_created"}"#, r#"{"issue":{"key":"../../x"}}"#, "[]"] {
        assert!(read(other).unwrap().matter.is_err(), "{other}");
    }
    assert!(matches!(read("nonsense"), Err(Refused::Unreadable(_))));
}

fn person(id: &str, display: &str) -> Person {
    Person { id: id.to_owned(), email: None, display: display.to_owned(), is_app: false }
}

fn comment(id: u64, author: &str, body: &str) -> Comment {
    Comment { id, author: person(author, author), body: body.to_owned(), created: None }
}

fn issue() -> Issue {
    Issue {
        key: "OD-33".to_owned(),
        project: "OD".to_owned(),
        summary: "Count  words".to_owned(),
        description: "We want a count.\n\n## Acceptance criteria\n\n- An empty text has 0 words\n".to_owned(),
        status: "Backlog".to_owned(),
        labels: Vec::new(),
        kind: "Story".to_owned(),
        is_subtask: false,
        parent: None,
        assignee: None,
        reporter: None,
        subtasks: Vec::new(),
    }
}

#[test]
fn an_issue_with_its_comments_is_a_ticket() {
    let own = format!("The plan\n\n***\n\n*{}*", "Regreen keeps this comment up to date");
    let comments = [
        comment(1, "anna", "Only ASCII.\n\n## Acceptance criteria\n- not mine to add"),
        comment(2, "bot", &own),
        comment(3, "bot", "A person uses the same account."),
        comment(4, "mallory", &own),
    ];
    let ticket = ticket::ticket(&issue(), &comments, "bot").unwrap();
    assert_eq!((ticket.title.as_str(), ticket.source.as_str()), ("Count words", "jira:OD-33"));
    assert_eq!(ticket.acceptance, ["An empty text has 0 words"]);
    assert!(ticket.body.contains("anna:\n\n> Only ASCII."), "{}", ticket.body);
    assert!(ticket.body.contains("A person uses the same account."));
    assert_eq!(ticket.body.matches("The plan").count(), 1, "only the bot's own words go: {}", ticket.body);
    let long = vec![comment(1, "anna", &"x ".repeat(20_000)), comment(2, "anna", "last")];
    let ticket =
        ticket::ticket(&Issue { description: "y".repeat(1 << 20), ..issue() }, &long, "bot").unwrap();
    assert!(ticket.body.contains("last") && !ticket.body.contains("x x"));
}

#[test]
fn keys_and_approvals() {
    for key in ["OD-33", "A1_B-9"] {
        assert!(is_key(key), "{key}");
    }
    for none in ["", "OD", "OD-", "-3", "1D-3", "OD-3/x", "OD-33 ", "../-1", "OD-99999999999", "ÖD-1"] {
        assert!(!is_key(none), "{none}");
    }
    assert_eq!(key_of(&source("OD-33")), Some("OD-33"));
    assert_eq!(key_of("ticket.md"), None);
    assert_eq!(key_of("jira:../x"), None);
    for yes in ["approve", "Approved!", " **approve**\nthanks", "/regreen approve", "`approve`"] {
        assert!(says::is_approval(yes), "{yes}");
    }
    for no in ["do not approve", "approve?", "I approve of most", "", "unapproved"] {
        assert!(!says::is_approval(no), "{no}");
    }
}
