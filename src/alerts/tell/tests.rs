//! Channels against stand-ins of other people's servers, on both databases.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::*;
use crate::alerts::check;
use crate::config::AlertRules;
use crate::store::tests::{Place, on_both};
use crate::store::{Called, NewEvent, NewRun, Projection, Status};
use crate::usage::Money;

const SECRET: &str = "a key that nobody knows";
const NO_MONEY: Money = Money(0);

fn webhook(server: &MockServer, rules: &[&str]) -> Channel {
    Channel {
        name: "ops".into(),
        rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
        kind: ChannelKind::Webhook {
            address: Address::Url(format!("{}/hook", server.uri())),
            secret_env: Some("OPS_KEY".into()),
        },
    }
}

fn postman(channels: &[Channel]) -> Postman {
    let secret = |name: &str| (name == "OPS_KEY").then(|| SecretString::from(SECRET.to_owned()));
    Postman::new(channels, secret, Redactor::default().with_secret("hunter2-hunter2")).unwrap()
}

/// A provider that fails `times` more times, or answers where that is nought.
async fn calls(store: &Store, times: u64) {
    for n in 0..times.max(1) {
        let failed = (times > 0).then(|| format!("HTTP 500: <hunter2-hunter2> & co ({n})"));
        let follows =
            Projection { called: Some(Called { provider: "acme".into(), failed }), ..Projection::default() };
        let event = NewEvent::new(store.now(), "asked", json!({})).with(follows);
        let run = NewRun {
            id: uuid::Uuid::now_v7().to_string(),
            repo: "/r".into(),
            trigger: "heal".into(),
            goal: "x".into(),
            status: Status::Running,
            base: None,
        };
        store.create(&run, &event).await.unwrap();
    }
}

async fn look(store: &Store, channels: &[Channel]) -> usize {
    check(store, &AlertRules::default(), NO_MONEY, channels).await.unwrap().len()
}

async fn answers(server: &MockServer, status: u16) {
    server.reset().await;
    let answer = ResponseTemplate::new(status);
    Mock::given(method("POST")).and(path("/hook")).respond_with(answer).mount(server).await;
}

async fn got(server: &MockServer) -> Vec<Request> {
    server.received_requests().await.unwrap()
}

async fn a_webhook_is_told_once_signed_and_again_where_it_was_down(place: Place) {
    let store = place.store().await;
    let server = MockServer::start().await;
    let channels = [webhook(&server, &[])];
    let postman = postman(&channels);
    calls(&store, 5).await;
    assert_eq!(look(&store, &channels).await, 1);
    assert_eq!(look(&store, &channels).await, 0);

    answers(&server, 503).await;
    assert_eq!(postman.deliver_due(&store).await.unwrap(), 0);
    assert_eq!(postman.deliver_due(&store).await.unwrap(), 0);
    assert_eq!(got(&server).await.len(), 1, "not again at once");
    place.pass(Duration::from_secs(31)).await;
    answers(&server, 200).await;
    assert_eq!(postman.deliver_due(&store).await.unwrap(), 1);
    assert_eq!(postman.deliver_due(&store).await.unwrap(), 0);
    let sent = got(&server).await.remove(0);
    let body: Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(
        (&body["event"], &body["alert"]["rule"]),
        (&json!("alert.raised"), &json!("provider")),
        "{body}"
    );
    assert_eq!(body["alert"]["subject"], "acme");
    assert!(!body.to_string().contains("hunter2-hunter2"), "{body}");
    assert_eq!(sent.headers["x-regreen-notice"], body["notice"].as_str().unwrap());
    // What a receiver has to do, by other means than the sender's.
    let header = sent.headers["x-regreen-signature"].to_str().unwrap();
    let (at, signature) = header.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let age = store.now().as_second() - at.parse::<i64>().unwrap();
    assert!((0..600).contains(&age), "{header}");
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    let text = [at.as_bytes(), b".", &sent.body].concat();
    ring::hmac::verify(&key, &text, &hex::decode(signature).unwrap()).unwrap();

    // It recovers, and who was told of it hears that, too.
    calls(&store, 0).await;
    assert_eq!(look(&store, &channels).await, 1);
    answers(&server, 200).await;
    assert_eq!(postman.deliver_due(&store).await.unwrap(), 1);
    let body: Value = serde_json::from_slice(&got(&server).await[0].body).unwrap();
    assert_eq!(body["event"], "alert.recovered");
    // What comes and goes is told once an hour.
    calls(&store, 5).await;
    assert_eq!(look(&store, &channels).await, 1);
    calls(&store, 0).await;
    assert_eq!(look(&store, &channels).await, 1);
    assert_eq!(postman.deliver_due(&store).await.unwrap(), 0);
    place.pass(Duration::from_secs(3600)).await;
    calls(&store, 5).await;
    assert_eq!(look(&store, &channels).await, 1);
    assert_eq!(postman.deliver_due(&store).await.unwrap(), 1);
}

async fn what_a_channel_does_not_take_is_given_up_and_other_rules_are_not_told(place: Place) {
    let store = place.store().await;
    let server = MockServer::start().await;
    let mut deaf = webhook(&server, &["spend"]);
    deaf.name = "deaf".into();
    let mut unset = webhook(&server, &[]);
    unset.name = "unset".into();
    unset.kind = ChannelKind::Slack { address: Address::Env("NOT_SET".into()) };
    let channels = [webhook(&server, &["provider"]), deaf, unset];
    let postman = postman(&channels);
    calls(&store, 5).await;
    assert_eq!(look(&store, &channels).await, 1);
    answers(&server, 404).await;
    assert_eq!(postman.deliver_due(&store).await.unwrap(), 0);
    place.pass(Duration::from_secs(7200)).await;
    assert_eq!(postman.deliver_due(&store).await.unwrap(), 0);
    assert_eq!(got(&server).await.len(), 1, "404 is final");
    assert!(postman.try_out(&store, "ops").await.unwrap_err().to_string().contains("404"));
    assert!(postman.try_out(&store, "unset").await.unwrap_err().to_string().contains("NOT_SET"));
    assert!(postman.try_out(&store, "nobody").await.is_err());
}

async fn slack_gets_a_text_in_its_own_signs(place: Place) {
    let store = place.store().await;
    let server = MockServer::start().await;
    let address = Address::Url(format!("{}/hook", server.uri()));
    let channels = [Channel { name: "chat".into(), rules: Vec::new(), kind: ChannelKind::Slack { address } }];
    calls(&store, 5).await;
    look(&store, &channels).await;
    answers(&server, 200).await;
    assert_eq!(postman(&channels).deliver_due(&store).await.unwrap(), 1);
    let body: Value = serde_json::from_slice(&got(&server).await[0].body).unwrap();
    let text = body["text"].as_str().unwrap();
    assert!(text.starts_with("*alert: provider acme*\n") && text.contains("What to do: "), "{text}");
    assert!(text.contains("&lt;") && text.contains("&amp; co") && !text.contains("hunter2"), "{text}");
}

/// A mail server of this machine: takes one mail, and tells it.
async fn mail_server() -> (u16, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let taken = Arc::new(Mutex::new(String::new()));
    let heard = taken.clone();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        write.write_all(b"220 here\r\n").await.unwrap();
        let mut in_data = false;
        while let Ok(Some(line)) = lines.next_line().await {
            heard.lock().unwrap().push_str(&format!("{line}\n"));
            let answer = match line.get(..4).unwrap_or_default() {
                _ if in_data && line != "." => continue,
                _ if in_data => {
                    in_data = false;
                    "250 taken"
                }
                "DATA" => {
                    in_data = true;
                    "354 go on"
                }
                "QUIT" => "221 bye",
                _ => "250 yes",
            };
            write.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
        }
    });
    (port, taken)
}

async fn a_mail_says_what_is_wrong_and_what_to_do(place: Place) {
    let store = place.store().await;
    let (port, taken) = mail_server().await;
    let mail = Mail {
        host: "127.0.0.1".into(),
        port,
        tls: Tls::None,
        from: "Regreen <regreen@example.org>".into(),
        to: vec!["anna@example.org".into(), "Bert <bert@example.org>".into()],
        user: None,
        password_env: None,
    };
    let channels = [Channel { name: "mail".into(), rules: Vec::new(), kind: ChannelKind::Email(mail) }];
    calls(&store, 5).await;
    look(&store, &channels).await;
    assert_eq!(postman(&channels).deliver_due(&store).await.unwrap(), 1);
    let said = taken.lock().unwrap().clone();
    for part in [
        "MAIL FROM:<regreen@example.org>",
        "RCPT TO:<anna@example.org>",
        "RCPT TO:<bert@example.org>",
        "Subject: [regreen] alert: provider acme",
        "What to do: ",
        "@regreen.invalid>",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
}

on_both!(
    a_webhook_is_told_once_signed_and_again_where_it_was_down,
    what_a_channel_does_not_take_is_given_up_and_other_rules_are_not_told,
    slack_gets_a_text_in_its_own_signs,
    a_mail_says_what_is_wrong_and_what_to_do,
);
