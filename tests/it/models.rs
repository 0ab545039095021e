//! The adapters against stand-ins that check every request.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use regreen::models::ledger::{self, Call, Pending, Prices, Purse, Unanswered};
use regreen::models::{
    Answer, Effort, Gate, Kind, Meter, Model, ModelError, Pace, ProviderConfig, Request, Role, Stop, Turn,
    connect,
};
use regreen::redact::Redactor;
use regreen::usage::{Money, Usage};
use serde_json::json;

use crate::vendor::{Anthropic, KEY, OpenaiChat, OpenaiResponses, Reply, Vendor};

fn request() -> Request {
    Request {
        system: "You repair code.".to_owned(),
        turns: vec![Turn { role: Role::User, text: "Repair this.".to_owned() }],
        effort: Effort::Medium,
        max_output_tokens: 8_000,
        cache_key: "run-1".to_owned(),
        schema: None,
        timeout: Duration::from_secs(30),
    }
}

fn retry_request() -> Request {
    let mut request = request();
    request.turns.push(Turn { role: Role::Assistant, text: "Done.".to_owned() });
    request.turns.push(Turn { role: Role::User, text: "It is still red.".to_owned() });
    request
}

fn config(kind: Kind, base_url: String) -> ProviderConfig {
    let mut provider = ProviderConfig::new("vendor", kind);
    provider.base_url = Some(base_url);
    provider.key = Some(KEY.to_owned().into());
    provider.limits.first_wait = Duration::from_millis(1);
    provider.limits.longest_wait = Duration::from_millis(4);
    provider
}

fn model_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Anthropic => "claude-opus-5-5",
        Kind::OpenaiResponses => "gpt-6.2-astra",
        _ => "qwen3-coder:30b",
    }
}

fn connected(kind: Kind, vendor: &Vendor) -> Arc<dyn Model> {
    connect(&config(kind, vendor.base_url()), model_of(kind), &Redactor::default()).unwrap()
}

async fn start(kind: Kind, script: Vec<Reply>) -> Vendor {
    match kind {
        Kind::Anthropic => Anthropic::start(script).await,
        Kind::OpenaiResponses => OpenaiResponses::start(script).await,
        _ => OpenaiChat::start(script).await,
    }
}

const ALL: [Kind; 3] = [Kind::Anthropic, Kind::OpenaiResponses, Kind::OpenaiChat];

/// Asks once, with that script.
async fn ask(kind: Kind, script: Vec<Reply>) -> (Result<Answer, ModelError>, usize) {
    let (result, requests, _) = metered(kind, script).await;
    (result, requests)
}

/// The same, with what the meter shows.
async fn metered(kind: Kind, script: Vec<Reply>) -> (Result<Answer, ModelError>, usize, Usage) {
    let (vendor, meter) = (start(kind, script).await, Meter::default());
    let result = connected(kind, &vendor).ask(&request(), &meter).await;
    if let Err(error) = &result {
        assert!(!format!("{error} {error:?}").contains(KEY), "the key is in {error:?}");
    }
    (result, vendor.requests().len(), meter.read())
}

/// A purse without a cap that keeps what is booked.
#[derive(Default)]
struct Till {
    pending: Mutex<Option<Pending>>,
    calls: Mutex<Vec<Call>>,
}

#[async_trait]
impl Purse for Till {
    async fn reserve(&self, call: Pending) -> anyhow::Result<()> {
        *self.pending.lock().unwrap() = Some(call);
        Ok(())
    }
    async fn book(&self, answer: Result<Answer, Unanswered>) -> anyhow::Result<()> {
        let call = self.pending.lock().unwrap().take().unwrap().over(answer);
        self.calls.lock().unwrap().push(call);
        Ok(())
    }
}

/// Asks as a fixer does: every try that costs something is a call of its own. What each used and cost.
async fn paid(
    model: &dyn Model,
    request: &Request,
) -> (Result<Answer, ModelError>, Vec<(Usage, Option<Money>)>) {
    let till = Till::default();
    let answer =
        ledger::ask(model, &till, &Prices::built_in().unwrap(), &Redactor::default(), request).await.unwrap();
    let calls = till.calls.into_inner().unwrap();
    (answer, calls.iter().map(|call| (call.usage, call.cost)).collect())
}

#[tokio::test]
async fn an_answer_comes_without_thoughts_and_with_its_usage() {
    for kind in ALL {
        let vendor = start(kind, vec!["All green.".into()]).await;
        let meter = Meter::default();
        let answer = connected(kind, &vendor).ask(&retry_request(), &meter).await.unwrap();
        assert_eq!((answer.text.as_str(), answer.stop), ("All green.", Stop::Done), "{kind:?}");
        assert_eq!(answer.request_id.as_deref(), Some("req_test_1"));
        assert_eq!(meter.read(), told(kind));
    }
}

/// What the stand-ins say that an answer used.
fn told(kind: Kind) -> Usage {
    match kind {
        Kind::OpenaiChat => Usage { input: 311, output: 42, ..Usage::default() },
        _ => {
            let reasoning = if kind == Kind::OpenaiResponses { 30 } else { 0 };
            Usage { input: 11, cache_write: 300, cache_read: 2000, output: 42, reasoning, estimated: false }
        }
    }
}

#[tokio::test]
async fn what_was_used_is_told_whatever_became_of_it() {
    let half = || "half an answer ".repeat(20);
    for kind in ALL {
        // Cut off, refused: as the vendor counts.
        for reply in [Reply::Truncated(half()), Reply::Refused] {
            assert_eq!(metered(kind, vec![reply]).await.2, told(kind), "{kind:?}");
        }
        // No word of it: all is estimated.
        let usage = metered(kind, vec![Reply::WithoutUsage(half())]).await.2;
        assert!(
            usage.estimated && usage.input > 0 && (80..140).contains(&usage.output),
            "{kind:?} {usage:?}"
        );
        // Half of it.
        let usage = metered(kind, vec![Reply::WithoutOutputCount(half())]).await.2;
        assert_eq!(
            (usage.input, usage.cache_read, usage.estimated),
            (told(kind).input, told(kind).cache_read, true)
        );
        assert!((80..140).contains(&usage.output), "{kind:?} {usage:?}");
        // Nothing was worked on.
        for free in [
            Reply::error(401, "authentication_error", "no"),
            Reply::error(404, "not_found_error", "no"),
            Reply::error(429, "insufficient_quota", "no"),
            Reply::error(413, "request_too_large", "no"),
            Reply::Raw { status: 200, headers: Vec::new(), body: "<html>sign in</html>".to_owned() },
        ] {
            let (_, requests, usage) = metered(kind, vec![free.clone()]).await;
            assert_eq!((usage, requests), (Usage::default(), 1), "{kind:?} {free:?}");
        }
        let busy = Reply::error(529, "overloaded_error", "Overloaded");
        assert_eq!(metered(kind, vec![busy; 6]).await.2, Usage::default(), "{kind:?}");
    }
    // A stream that breaks off: the input as far as it was told, and what came of the output.
    let usage = metered(Kind::Anthropic, vec![Reply::BrokenOff(half())]).await.2;
    assert_eq!((usage.input, usage.cache_write, usage.cache_read, usage.estimated), (11, 300, 2000, true));
    assert!((80..140).contains(&usage.output), "{usage:?}");
    let usage = metered(Kind::OpenaiResponses, vec![Reply::BrokenOff(half())]).await.2;
    assert!(usage.estimated && usage.input > 0 && (80..140).contains(&usage.output), "{usage:?}");
}

#[tokio::test]
async fn a_call_that_is_given_up_is_paid_for_by_estimate() {
    for kind in ALL {
        let vendor = start(kind, vec![Reply::Hang]).await;
        let meter = Meter::default();
        let asked = request();
        let model = connected(kind, &vendor);
        let given_up = tokio::time::timeout(Duration::from_millis(200), model.ask(&asked, &meter)).await;
        assert!(given_up.is_err());
        let usage = meter.read();
        assert!(usage.estimated && usage.input > 0, "{kind:?} {usage:?}");
    }
}

#[tokio::test]
async fn what_is_sent_follows_the_model() {
    let vendor = start(Kind::Anthropic, vec!["a".into(), "b".into()]).await;
    connected(Kind::Anthropic, &vendor).ask(&request(), &Meter::default()).await.unwrap();
    let older = config(Kind::Anthropic, format!("{}/v1/", vendor.base_url()));
    let older = connect(&older, "claude-sonnet-4-20250514", &Redactor::default()).unwrap();
    older.ask(&request(), &Meter::default()).await.unwrap();
    let sent = vendor.requests();
    assert_eq!(sent[0].body["thinking"], json!({"type": "adaptive"}));
    assert_eq!(sent[0].body["output_config"], json!({"effort": "medium"}));
    assert_eq!(sent[0].body["system"][0]["cache_control"], json!({"type": "ephemeral"}));
    assert_eq!(sent[1].body["thinking"], json!({"type": "enabled", "budget_tokens": 4000}));
    assert_eq!(sent[1].body.get("output_config"), None);

    let vendor = start(Kind::OpenaiResponses, vec!["a".into()]).await;
    connected(Kind::OpenaiResponses, &vendor).ask(&retry_request(), &Meter::default()).await.unwrap();
    let sent = &vendor.requests()[0].body;
    assert_eq!(sent["reasoning"], json!({"effort": "medium"}));
    assert_eq!(sent["prompt_cache_key"], json!("run-1"));
    assert_eq!(sent["input"][1]["phase"], json!("final_answer"));
}

#[tokio::test]
async fn a_schema_goes_where_the_vendor_wants_it() {
    for kind in ALL {
        let vendor = start(kind, vec!["{\"a\": 1}".into()]).await;
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["a"], "properties": {"a": {"type": "integer"}},
        });
        let asked = Request { schema: Some(schema.clone()), ..request() };
        connected(kind, &vendor).ask(&asked, &Meter::default()).await.unwrap();
        let sent = &vendor.requests()[0].body;
        let place = match kind {
            Kind::Anthropic => &sent["output_config"]["format"]["schema"],
            Kind::OpenaiResponses => &sent["text"]["format"]["schema"],
            _ => &sent["response_format"]["json_schema"]["schema"],
        };
        assert_eq!(place, &schema, "{kind:?}");
    }
}

#[tokio::test]
async fn turns_are_joined_and_checked_before_they_are_sent() {
    for kind in ALL {
        let vendor = start(kind, vec!["ok".into()]).await;
        let mut asked = request();
        asked.turns.insert(0, Turn { role: Role::User, text: "First.".to_owned() });
        asked.turns.push(Turn { role: Role::User, text: "  ".to_owned() });
        let model = connected(kind, &vendor);
        model.ask(&asked, &Meter::default()).await.unwrap();
        assert_eq!(vendor.requests()[0].last_text(), "First.\n\nRepair this.");
        asked.turns.push(Turn { role: Role::Assistant, text: "prefill".to_owned() });
        assert!(matches!(model.ask(&asked, &Meter::default()).await, Err(ModelError::Protocol { .. })));
        assert_eq!(vendor.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_local_server_needs_no_key_and_no_usage() {
    let vendor = start(Kind::OpenaiChat, vec![Reply::WithoutUsage("yes".to_owned())]).await;
    let mut provider = config(Kind::OpenaiChat, format!("{}/v1", vendor.base_url()));
    provider.key = None;
    let model = connect(&provider, "llama", &Redactor::default()).unwrap();
    let (answer, calls) = paid(model.as_ref(), &request()).await;
    assert_eq!(answer.unwrap().text, "yes");
    let (usage, cost) = calls[0];
    assert!(usage.estimated && usage.input > 0 && usage.output > 0);
    assert_eq!(cost, None);
    assert!(vendor.requests()[0].headers.iter().all(|(name, _)| name != "authorization"));
}

#[tokio::test]
async fn how_an_answer_stops_is_told() {
    for kind in ALL {
        for (reply, want) in [
            (Reply::Truncated("half".to_owned()), Stop::Truncated),
            (Reply::Refused, Stop::Refused),
            (Reply::Overflow, Stop::Overflow),
            (Reply::error(413, "request_too_large", "too large"), Stop::Overflow),
            (
                Reply::error(400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"),
                Stop::Overflow,
            ),
        ] {
            let (answer, _) = ask(kind, vec![reply.clone()]).await;
            assert_eq!(answer.unwrap().stop, want, "{kind:?} {reply:?}");
        }
    }
}

#[tokio::test]
async fn passing_failures_are_tried_again() {
    for kind in ALL {
        let script = vec![
            Reply::error(529, "overloaded_error", "Overloaded"),
            Reply::error(500, "api_error", "oops"),
            Reply::Raw {
                status: 502,
                headers: Vec::new(),
                body: "<html><title>Bad Gateway</title>".to_owned(),
            },
            Reply::error(429, "rate_limit_error", "slow down").header("retry-after", "0"),
            Reply::error(409, "conflict_error", "again").header("retry-after-ms", "2"),
            "ok".into(),
        ];
        let (answer, requests) = ask(kind, script).await;
        assert_eq!((answer.unwrap().text.as_str(), requests), ("ok", 6), "{kind:?}");
    }
    // Refused inside a success, before any token.
    let (answer, requests) =
        ask(Kind::OpenaiResponses, vec![Reply::FailedInside("server_error"), "ok".into()]).await;
    assert_eq!((answer.unwrap().text.as_str(), requests), ("ok", 2));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_again_and_each_try_is_paid() {
    for (kind, reply) in [
        (Kind::Anthropic, Reply::BrokenOff("half".to_owned())),
        (Kind::Anthropic, Reply::FailedInside("overloaded_error")),
        (Kind::OpenaiResponses, Reply::BrokenOff("half".to_owned())),
    ] {
        let vendor = start(kind, vec![reply.clone(), "ok".into()]).await;
        let (answer, calls) = paid(connected(kind, &vendor).as_ref(), &request()).await;
        assert_eq!((answer.unwrap().text.as_str(), calls.len()), ("ok", 2), "{kind:?}");
        assert!(calls[0].0.estimated && calls[0].1 > Some(Money(0)), "{kind:?} {calls:?}");
        assert_eq!(calls[1].0, told(kind));

        let vendor = start(kind, vec![reply; 3]).await;
        let (answer, calls) = paid(connected(kind, &vendor).as_ref(), &request()).await;
        assert!(answer.unwrap_err().to_string().starts_with("vendor broke off: "));
        assert_eq!(calls.len(), 3);
    }
}

#[tokio::test]
async fn the_vendors_own_word_on_retries_is_heeded() {
    let never = Reply::error(500, "api_error", "no use").header("x-should-retry", "false");
    let (error, requests) = ask(Kind::Anthropic, vec![never]).await;
    assert!(matches!(error, Err(ModelError::Unreachable { .. })));
    assert_eq!(requests, 1);
    let again = Reply::error(400, "invalid_request_error", "odd").header("x-should-retry", "true");
    let (answer, requests) = ask(Kind::Anthropic, vec![again, "ok".into()]).await;
    assert_eq!((answer.unwrap().text.as_str(), requests), ("ok", 2));
}

#[tokio::test]
async fn a_wait_beyond_the_time_limit_is_not_waited_for() {
    let slow = Reply::error(429, "rate_limit_error", "slow down").header("retry-after", "3000");
    let (error, requests) = ask(Kind::Anthropic, vec![slow]).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("slow down") && error.contains("3000 s"), "{error}");
    assert_eq!(requests, 1);
}

#[tokio::test]
async fn the_retries_end() {
    let script = vec![Reply::error(503, "api_error", "down for maintenance"); 6];
    let (error, requests) = ask(Kind::OpenaiResponses, script).await;
    assert_eq!(requests, 6);
    let error = error.unwrap_err();
    assert!(matches!(error, ModelError::Unreachable { .. }));
    assert!(
        error.to_string().contains("down for maintenance") && error.to_string().contains("6 tries"),
        "{error}"
    );
}

#[tokio::test]
async fn a_provider_that_keeps_failing_is_not_asked_for_a_while_by_anyone() {
    let down = || Reply::error(503, "api_error", "down for maintenance");
    let vendor = start(Kind::Anthropic, vec![down(), down(), "back".into(), down(), down(), down()]).await;
    let mut provider = config(Kind::Anthropic, vendor.base_url());
    provider.limits.retries = 0;
    let one = connect(&provider, "claude-opus-5-5", &Redactor::default()).unwrap();
    let other = connect(&provider, "claude-haiku-5-5", &Redactor::default()).unwrap();
    for answers in [false, false, true, false, false, false] {
        let answer = one.ask(&request(), &Meter::default()).await;
        assert_eq!(answer.is_ok(), answers, "{answer:?}");
    }
    for model in [one, other] {
        let error = model.ask(&request(), &Meter::default()).await.unwrap_err().to_string();
        assert!(error.contains("not asked") && error.contains("3 calls in a row"), "{error}");
        assert!(error.contains("down for maintenance"), "{error}");
    }
    assert_eq!(vendor.requests().len(), 6);
}

#[tokio::test]
async fn a_refused_key_does_not_shut_a_provider() {
    let refused = Reply::error(401, "authentication_error", "invalid key");
    let vendor = start(Kind::Anthropic, vec![refused; 5]).await;
    for _ in 0..5 {
        let error = connected(Kind::Anthropic, &vendor).ask(&request(), &Meter::default()).await;
        assert!(matches!(error, Err(ModelError::Key { .. })), "{error:?}");
    }
    assert_eq!(vendor.requests().len(), 5);
}

#[tokio::test]
async fn no_more_is_sent_in_a_minute_than_is_allowed() {
    let by_requests = Pace { requests: NonZeroU32::new(1), tokens: None };
    let by_tokens = Pace { requests: None, tokens: NonZeroU32::new(10_000) };
    for pace in [by_requests, by_tokens] {
        let vendor = start(Kind::OpenaiChat, vec!["first".into(), "second".into()]).await;
        let mut provider = config(Kind::OpenaiChat, vendor.base_url());
        provider.gate = Arc::new(Gate::new(pace));
        let model = connect(&provider, "qwen3-coder:30b", &Redactor::default()).unwrap();
        assert_eq!(model.ask(&request(), &Meter::default()).await.unwrap().text, "first");
        let mut soon = request();
        soon.timeout = Duration::from_millis(100);
        // However often that happens, it says nothing of the provider, which is not left alone for it.
        for _ in 0..5 {
            let error = model.ask(&soon, &Meter::default()).await.unwrap_err().to_string();
            assert!(error.contains("limits of a minute"), "{error}");
        }
        assert_eq!(vendor.requests().len(), 1);
    }
}

#[tokio::test]
async fn final_errors_are_told_by_kind_and_without_the_key() {
    let spent = json!({"type": "error", "error": {"type": "rate_limit_error", "message": "monthly cap",
        "details": {"error_code": "enforced_spend_limit_reached"}}});
    for kind in ALL {
        let cases = [
            (Reply::error(401, "authentication_error", &format!("invalid x-api-key {KEY}")), "key"),
            (Reply::error(403, "permission_error", &format!("Bearer {KEY} may not")), "key"),
            (Reply::error(402, "billing_error", "pay"), "quota"),
            (Reply::error(429, "insufficient_quota", "You exceeded your current quota"), "quota"),
            (Reply::error(400, "invalid_request_error", "Your credit balance is too low"), "quota"),
            (Reply::Raw { status: 429, headers: Vec::new(), body: spent.to_string() }, "quota"),
            (Reply::error(400, "invalid_request_error", "bad field"), "protocol"),
            (Reply::error(404, "not_found_error", "model: gpt-0"), "protocol"),
            (
                Reply::Raw {
                    status: 301,
                    headers: vec![("location", "http://127.0.0.1:1/".to_owned())],
                    body: String::new(),
                },
                "protocol",
            ),
            (Reply::Raw { status: 200, headers: Vec::new(), body: "{\"half\": ".to_owned() }, "protocol"),
            (Reply::Raw { status: 200, headers: Vec::new(), body: "{}".to_owned() }, "protocol"),
            (Reply::Raw { status: 200, headers: Vec::new(), body: "[]".to_owned() }, "protocol"),
            (
                Reply::Raw { status: 200, headers: Vec::new(), body: format!("<html>sign in {KEY}</html>") },
                "protocol",
            ),
        ];
        for (reply, want) in cases {
            let (result, requests) = ask(kind, vec![reply.clone()]).await;
            let got = match result.unwrap_err() {
                ModelError::Key { .. } => "key",
                ModelError::Quota { .. } => "quota",
                ModelError::BrokenOff { .. } => "broken off",
                ModelError::Unreachable { .. } => "unreachable",
                ModelError::Protocol { .. } => "protocol",
            };
            assert_eq!((got, requests), (want, 1), "{kind:?} {reply:?}");
        }
    }
}

#[tokio::test]
async fn a_vendors_words_are_cut() {
    let (error, _) = ask(
        Kind::Anthropic,
        vec![Reply::error(400, "invalid_request_error", &"word \u{1b}[31m".repeat(10_000))],
    )
    .await;
    let error = error.unwrap_err().to_string();
    assert!(error.len() < 1000 && !error.contains('\u{1b}'), "{error}");
}

#[tokio::test]
async fn silence_ends_at_the_idle_limit_and_at_the_total_limit() {
    for kind in ALL {
        let vendor = start(kind, vec![Reply::Hang, "ok".into()]).await;
        let mut provider = config(kind, vendor.base_url());
        provider.limits.idle = Duration::from_secs(2);
        let model = connect(&provider, model_of(kind), &Redactor::default()).unwrap();
        let (answer, calls) = paid(model.as_ref(), &request()).await;
        assert_eq!((answer.unwrap().text.as_str(), calls.len()), ("ok", 2), "{kind:?}");

        let vendor = start(kind, vec![Reply::Hang]).await;
        let asked = Request { timeout: Duration::from_millis(200), ..request() };
        let error = connected(kind, &vendor).ask(&asked, &Meter::default()).await.unwrap_err();
        assert!(matches!(error, ModelError::Unreachable { .. }));
        assert!(error.to_string().contains("no answer within 200 ms"), "{error}");
    }
}

#[tokio::test]
async fn a_huge_answer_is_not_read_to_its_end() {
    for kind in ALL {
        let vendor = start(kind, vec![Reply::Text("x".repeat(100_000))]).await;
        let mut provider = config(kind, vendor.base_url());
        provider.limits.response_bytes = 50_000;
        let model = connect(&provider, model_of(kind), &Redactor::default()).unwrap();
        let error = model.ask(&request(), &Meter::default()).await.unwrap_err().to_string();
        assert!(error.contains("larger than 50000 bytes"), "{error}");
        assert_eq!(vendor.requests().len(), 1);
    }
}

#[tokio::test]
async fn nobody_there_is_told_soon() {
    for kind in ALL {
        // A port that was free a moment ago.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let model = connect(&config(kind, format!("http://{address}")), model_of(kind), &Redactor::default())
            .unwrap();
        let error = model.ask(&request(), &Meter::default()).await.unwrap_err();
        assert!(matches!(error, ModelError::Unreachable { .. }));
        assert!(error.to_string().contains("no connection to 127.0.0.1"), "{error}");
        assert!(error.to_string().contains("3 tries"), "{error}");
    }
}

#[test]
fn a_configuration_that_cannot_work_says_why() {
    let refused = |change: fn(&mut ProviderConfig)| {
        let mut provider = config(Kind::Anthropic, "https://example.invalid".to_owned());
        change(&mut provider);
        let error = connect(&provider, "m", &Redactor::default()).err().expect("refused");
        let text = format!("{error} {error:?} {provider:?}");
        assert!(!text.contains(KEY) && !text.contains("hunter2"), "{text}");
        error.to_string()
    };
    assert!(refused(|p| p.key = None).contains("no key"));
    assert!(refused(|p| p.key = Some(" \n".to_owned().into())).contains("no key"));
    assert!(refused(|p| p.key = Some(format!("{KEY}\n{KEY}").into())).contains("character"));
    assert!(refused(|p| p.base_url = Some("nonsense".to_owned())).contains("base_url"));
    assert!(refused(|p| p.base_url = Some("http://example.invalid".to_owned())).contains("unencrypted"));
    assert!(refused(|p| p.kind = Kind::Replay).contains("recordings"));
    assert!(refused(|p| (p.kind, p.base_url) = (Kind::OpenaiChat, None)).contains("no base_url"));
}

#[test]
fn the_key_is_in_no_debug() {
    let provider = config(Kind::Anthropic, "https://example.invalid".to_owned());
    assert!(!format!("{provider:?}").contains(KEY));
}

#[tokio::test]
async fn the_stand_ins_do_refuse() {
    let vendor = start(Kind::Anthropic, vec!["never".into()]).await;
    let bad = json!({
        "model": "claude-opus-5-5", "max_tokens": 10, "temperature": 1, "surprise": true,
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "messages": [{"role": "assistant", "content": "x"}],
        "system": (0..5).map(|_| json!({"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}})).collect::<Vec<_>>(),
    });
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let answer = client.post(format!("{}/v1/messages", vendor.base_url())).json(&bad).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    let violations = vendor.take_violations().join("\n");
    for part in [
        "x-api-key",
        "anthropic-version",
        "temperature",
        "surprise",
        "budget_tokens",
        "prefilled",
        "alternate",
        "maximum of 4",
    ] {
        assert!(violations.contains(part), "{part} in {violations}");
    }
}
