//! What must hold of whatever a vendor answers.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;

use super::anthropic::Anthropic;
use super::http::Http;
use super::openai_chat::Chat;
use super::openai_responses::Responses;
use super::vendor_error::VendorError;
use super::{Effort, Kind, ProviderConfig, Request, Role, Turn, stream};
use crate::redact::Redactor;

struct Vendors {
    anthropic: Anthropic,
    chat: Chat,
    responses: Responses,
}

static VENDORS: LazyLock<Vendors> = LazyLock::new(|| {
    // Who runs a fuzzer has not come through `main`.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = |kind| {
        let config = ProviderConfig::new("fuzzed", kind);
        Http::new(&config, "http://127.0.0.1:9", "answers", None, &Redactor::default()).expect("a client")
    };
    Vendors {
        anthropic: Anthropic::new(http(Kind::Anthropic), "claude"),
        chat: Chat::new(http(Kind::OpenaiChat), "local"),
        responses: Responses::new(http(Kind::OpenaiResponses), "gpt"),
    }
});

/// Reads `body` as each vendor's answer, as its stream, and as its error.
pub(crate) fn answer(body: &[u8]) {
    let text = String::from_utf8_lossy(body);
    let request = Request {
        system: String::new(),
        turns: vec![Turn { role: Role::User, text: "?".to_owned() }],
        max_output_tokens: 100,
        effort: Effort::Low,
        schema: None,
        cache_key: String::new(),
        timeout: Duration::from_secs(1),
    };
    let whole = serde_json::from_slice::<Value>(body).ok();
    let streamed = [stream::anthropic(&text), stream::responses(&text)].map(|streamed| streamed.answer);
    for json in [whole].into_iter().chain(streamed).flatten() {
        let _ = VENDORS.anthropic.read(&json, None);
        let _ = VENDORS.chat.read(&request, &json, None);
        let _ = VENDORS.responses.read(&json, None);
    }
    VendorError::read(body);
}
