//! Stand-ins for the model vendors: real HTTP servers on the loopback that play a script, and that hold every request against the
//! vendor's published schema. A request that breaks it is answered as the vendor would (400), and the test fails when the stand-in is dropped.

#![allow(dead_code, reason = "each test takes the parts that it needs")]

mod anthropic;
mod openai;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers};

/// The key that the stand-ins take where they ask for one.
pub const KEY: &str = "test-key-0123456789abcdef";

/// What a stand-in answers.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A text, complete.
    Text(String),
    /// A complete text that is made of what was asked: the text of the last turn.
    Fitting(fn(&str) -> String),
    /// A text that the output limit cut off.
    Truncated(String),
    /// A refusal.
    Refused,
    /// The model's window is full.
    Overflow,
    /// A success that reports a failure inside (an `error` object, `status: failed`), with this type or code.
    FailedInside(&'static str),
    /// A stream that breaks off before its end.
    BrokenOff(String),
    /// A success without `usage`.
    WithoutUsage(String),
    /// A success whose `usage` tells of the input only.
    WithoutOutputCount(String),
    /// Anything else.
    Raw { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// Nothing, until the caller gives up.
    Hang,
}

impl From<&str> for Reply {
    fn from(text: &str) -> Self {
        Reply::Text(text.to_owned())
    }
}

impl Reply {
    /// An error in the form that both vendors use.
    pub fn error(status: u16, kind: &str, message: &str) -> Self {
        let body =
            json!({"type": "error", "error": {"type": kind, "code": kind, "message": message}}).to_string();
        Reply::Raw { status, headers: Vec::new(), body }
    }

    /// The same answer with one more header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Reply::Raw { headers, .. } = &mut self {
            headers.push((name, value.into()));
        }
        self
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Captured {
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The JSON.
    pub body: Value,
}

impl Captured {
    /// The text of the last turn.
    pub fn last_text(&self) -> String {
        let turns = self.body["messages"].as_array().or_else(|| self.body["input"].as_array());
        let content =
            turns.and_then(|turns| turns.last()).map(|turn| turn["content"].clone()).unwrap_or_default();
        match content {
            Value::String(text) => text,
            Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
            _ => String::new(),
        }
    }
}

/// What a vendor is: its rules and its wire format.
trait Wire: Send + Sync + 'static {
    /// What is wrong with a request, if anything.
    fn check(&self, request: &Checked<'_>) -> Vec<String>;
    /// An answer of the script in the vendor's format.
    fn answer(&self, body: &Value, reply: &Reply) -> ResponseTemplate;
}

/// A request under inspection.
struct Checked<'a> {
    method: &'a str,
    path: &'a str,
    headers: &'a [(String, String)],
    body: &'a Value,
}

impl Checked<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Answers a request as it likes.
type Answers = Box<dyn Fn(&Captured) -> Reply + Send + Sync>;

#[derive(Default)]
struct State {
    /// Who answers where there is no script.
    answers: Option<Answers>,
    said: Mutex<Vec<String>>,
    script: Mutex<VecDeque<Reply>>,
    captured: Mutex<Vec<Captured>>,
    violations: Mutex<Vec<String>>,
    arrived: tokio::sync::Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Responder {
    state: Arc<State>,
    wire: Box<dyn Wire>,
}

impl Respond for Responder {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let headers: Vec<(String, String)> = request
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let checked = Checked {
            method: request.method.as_str(),
            path: request.url.path(),
            headers: &headers,
            body: &body,
        };
        let violations = self.wire.check(&checked);
        let captured = Captured { headers: headers.clone(), body: body.clone() };
        lock(&self.state.captured).push(captured.clone());
        self.state.arrived.notify_waiters();
        if !violations.is_empty() {
            let said = violations.join("; ");
            lock(&self.state.violations).extend(violations);
            return ResponseTemplate::new(400).set_body_json(
                json!({"type": "error", "error": {"type": "invalid_request_error", "message": said}}),
            );
        }
        let answer = self.state.answers.as_ref().map(|answers| answers(&captured));
        let Some(reply) = answer.or_else(|| lock(&self.state.script).pop_front()) else {
            lock(&self.state.violations).push("more requests than the script has answers".to_owned());
            return ResponseTemplate::new(400)
                .set_body_json(json!({"error": {"message": "the script is at its end"}}));
        };
        let asked = Captured { headers, body: body.clone() };
        let reply = match reply {
            Reply::Fitting(made) => Reply::Text(made(&asked.last_text())),
            other => other,
        };
        if let Reply::Text(said) = &reply {
            lock(&self.state.said).push(said.clone());
        }
        match &reply {
            Reply::Raw { status, headers, body } => {
                let template = ResponseTemplate::new(*status).set_body_string(body.clone());
                headers
                    .iter()
                    .fold(template, |template, (name, value)| template.insert_header(*name, value.as_str()))
            }
            Reply::Hang => ResponseTemplate::new(200).set_delay(Duration::from_secs(3600)),
            reply => self.wire.answer(&body, reply).insert_header("request-id", "req_test_1"),
        }
    }
}

/// A stand-in under way.
pub struct Vendor {
    server: MockServer,
    state: Arc<State>,
}

impl Vendor {
    async fn start(wire: impl Wire, script: impl IntoIterator<Item = impl Into<Reply>>) -> Self {
        let script = script.into_iter().map(Into::into).collect();
        Self::start_with(wire, State { script: Mutex::new(script), ..State::default() }).await
    }

    async fn start_with(wire: impl Wire, state: State) -> Self {
        // The server's locks take of the budget that a task has until it yields, and its drop blocks: without budget, for ever.
        tokio::task::yield_now().await;
        let state = Arc::new(state);
        let server = MockServer::start().await;
        let responder = Responder { state: Arc::clone(&state), wire: Box::new(wire) };
        Mock::given(matchers::any()).respond_with(responder).mount(&server).await;
        Self { server, state }
    }

    /// Its address, without `/v1`.
    pub fn base_url(&self) -> String {
        self.server.uri()
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Captured> {
        lock(&self.state.captured).clone()
    }

    /// The texts that it answered so far.
    pub fn answers(&self) -> Vec<String> {
        lock(&self.state.said).clone()
    }

    /// Waits until there were so many requests.
    pub async fn asked(&self, count: usize) {
        loop {
            let arrived = self.state.arrived.notified();
            if self.requests().len() >= count {
                return;
            }
            arrived.await;
        }
    }

    /// Answers with `script` from here on, in order.
    pub fn play(&self, script: impl IntoIterator<Item = impl Into<Reply>>) {
        *lock(&self.state.script) = script.into_iter().map(Into::into).collect();
    }

    /// How many answers of the script are left.
    pub fn left(&self) -> usize {
        lock(&self.state.script).len()
    }

    /// What was wrong with the requests so far; takes it out, for tests of the stand-in itself.
    pub fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.state.violations))
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        let violations = self.take_violations();
        if !violations.is_empty() && !std::thread::panicking() {
            panic!("requests that the vendor would not take: {violations:#?}");
        }
    }
}

/// Stands in for Anthropic's Messages API.
pub struct Anthropic;

impl Anthropic {
    /// Starts one that answers with `script`, in order.
    pub async fn start(script: impl IntoIterator<Item = impl Into<Reply>>) -> Vendor {
        Vendor::start(anthropic::Messages, script).await
    }

    /// Starts one that answers each request as `answers` says.
    pub async fn answering(answers: impl Fn(&Captured) -> Reply + Send + Sync + 'static) -> Vendor {
        let state = State { answers: Some(Box::new(answers)), ..State::default() };
        Vendor::start_with(anthropic::Messages, state).await
    }
}

/// Stands in for OpenAI's Responses API.
pub struct OpenaiResponses;

impl OpenaiResponses {
    /// Starts one that answers with `script`, in order.
    pub async fn start(script: impl IntoIterator<Item = impl Into<Reply>>) -> Vendor {
        Vendor::start(openai::Responses, script).await
    }
}

/// Stands in for a local server of chat completions, which asks for no key.
pub struct OpenaiChat;

impl OpenaiChat {
    /// Starts one that answers with `script`, in order.
    pub async fn start(script: impl IntoIterator<Item = impl Into<Reply>>) -> Vendor {
        Vendor::start(openai::Chat, script).await
    }
}

/// A stream of events.
fn stream(events: &[Value]) -> ResponseTemplate {
    let mut body = String::from(": a comment\n\n");
    for event in events {
        let name = event["type"].as_str().unwrap_or_default();
        body.push_str(&format!("event: {name}\ndata: {event}\n\n"));
    }
    ResponseTemplate::new(200).set_body_raw(body, "text/event-stream; charset=utf-8")
}

/// Keys of `object` that are not `known`.
fn unknown(what: &str, object: &Value, known: &[&str]) -> Vec<String> {
    let Some(object) = object.as_object() else { return vec![format!("{what} is no object")] };
    object
        .keys()
        .filter(|key| !known.contains(&key.as_str()))
        .map(|key| format!("{what}.{key} is not permitted"))
        .collect()
}

/// What structured output does not take of a schema.
fn schema_faults(schema: &Value, all_required: bool) -> Vec<String> {
    let mut faults = Vec::new();
    let Some(object) = schema.as_object() else { return faults };
    for bad in ["minimum", "maximum", "multipleOf", "minLength", "maxLength", "$ref", "$recursiveRef"] {
        if object.contains_key(bad) {
            faults.push(format!("a schema must not have {bad}"));
        }
    }
    if object.get("type") == Some(&json!("object")) {
        if object.get("additionalProperties") != Some(&json!(false)) {
            faults.push("a schema's object must have additionalProperties: false".to_owned());
        }
        let required = object.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        for (name, property) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if all_required && !required.contains(&json!(name)) {
                faults.push(format!("a strict schema requires every property, also {name}"));
            }
            faults.extend(schema_faults(property, all_required));
        }
    }
    for key in ["items", "anyOf"] {
        match object.get(key) {
            Some(Value::Array(all)) => {
                faults.extend(all.iter().flat_map(|one| schema_faults(one, all_required)))
            }
            Some(one) => faults.extend(schema_faults(one, all_required)),
            None => {}
        }
    }
    faults
}
