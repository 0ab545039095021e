//! The rules and the format of `POST /v1/messages`.

use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use super::{Checked, KEY, Reply, Wire, schema_faults, stream, unknown};

pub struct Messages;

const FIELDS: &[&str] = &[
    "model",
    "messages",
    "max_tokens",
    "cache_control",
    "container",
    "inference_geo",
    "metadata",
    "output_config",
    "service_tier",
    "stop_sequences",
    "stream",
    "system",
    "thinking",
    "tool_choice",
    "tools",
];

impl Wire for Messages {
    fn check(&self, request: &Checked<'_>) -> Vec<String> {
        let mut faults = Vec::new();
        let mut must = |holds: bool, fault: &str| {
            if !holds {
                faults.push(fault.to_owned());
            }
        };
        let body = request.body;
        must(request.method == "POST" && request.path == "/v1/messages", "only POST /v1/messages is here");
        must(request.header("x-api-key") == Some(KEY), "x-api-key is missing or wrong");
        must(request.header("authorization").is_none(), "authorization beside x-api-key");
        must(
            matches!(request.header("anthropic-version"), Some("2023-06-01" | "2026-10-21")),
            "anthropic-version",
        );
        must(
            request.header("content-type").is_some_and(|t| t.starts_with("application/json")),
            "content-type",
        );
        must(body["model"].as_str().is_some_and(|model| !model.is_empty()), "model: field required");
        must(
            body["max_tokens"].as_u64().is_some_and(|n| (1..=128_000).contains(&n)),
            "max_tokens: 1 to 128000",
        );
        for sampling in ["temperature", "top_p", "top_k"] {
            must(body.get(sampling).is_none(), "temperature, top_p and top_k are not supported");
        }
        faults.extend(unknown("request", body, FIELDS));
        faults.extend(messages(&body["messages"]));
        faults.extend(system(body));
        faults.extend(thinking(body));
        if let Some(config) = body.get("output_config") {
            faults.extend(output(config));
        }
        if marks(body) > 4 {
            faults.push("A maximum of 4 blocks with cache_control may be provided".to_owned());
        }
        faults
    }

    fn answer(&self, body: &Value, reply: &Reply) -> ResponseTemplate {
        let thinking = json!({"type": "thinking", "thinking": "SECRET THOUGHTS", "signature": "c2ln"});
        let redacted = json!({"type": "redacted_thinking", "data": "b3BhcXVl"});
        let text =
            |text: &str| json!([thinking, redacted, {"type": "text", "text": text, "citations": null}]);
        let (content, stop) = match reply {
            Reply::Text(said)
            | Reply::WithoutUsage(said)
            | Reply::WithoutOutputCount(said)
            | Reply::BrokenOff(said) => (text(said), "end_turn"),
            Reply::Truncated(said) => (text(said), "max_tokens"),
            Reply::Refused => (json!([]), "refusal"),
            Reply::Overflow => (text("cut"), "model_context_window_exceeded"),
            Reply::FailedInside(kind) => {
                let error = json!({"type": "error", "error": {"type": kind, "message": "inside"}});
                let usage = json!({"input_tokens": 11, "output_tokens": 1});
                let start = json!({"id": "msg_test_1", "type": "message", "role": "assistant", "content": [], "usage": usage});
                return stream(&[json!({"type": "message_start", "message": start}), error]);
            }
            Reply::Raw { .. } | Reply::Hang | Reply::Fitting(_) => {
                unreachable!("answered by the stand-in itself")
            }
        };
        let mut answer = json!({
            "id": "msg_test_1", "type": "message", "role": "assistant", "model": body["model"], "content": content,
            "stop_reason": stop, "stop_sequence": null,
            "usage": {
                "input_tokens": 11, "cache_creation_input_tokens": 300, "cache_read_input_tokens": 2000,
                "output_tokens": 42, "service_tier": "standard",
            },
        });
        if matches!(reply, Reply::WithoutUsage(_)) {
            answer.as_object_mut().unwrap().remove("usage");
        }
        if matches!(reply, Reply::WithoutOutputCount(_)) {
            answer["usage"].as_object_mut().unwrap().remove("output_tokens");
        }
        if body["stream"] != json!(true) {
            return ResponseTemplate::new(200).set_body_json(answer);
        }
        let mut events = as_events(&answer);
        if matches!(reply, Reply::BrokenOff(_)) {
            events.truncate(events.len() - 3);
        }
        stream(&events)
    }
}

/// An answer as the events that stream it.
fn as_events(answer: &Value) -> Vec<Value> {
    let mut start = answer.clone();
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    if start["usage"].is_object() {
        start["usage"]["output_tokens"] = json!(1);
    }
    let mut events = vec![json!({"type": "message_start", "message": start}), json!({"type": "ping"})];
    for (index, block) in answer["content"].as_array().into_iter().flatten().enumerate() {
        let mut empty = block.clone();
        let mut deltas = Vec::new();
        for (field, delta) in [("text", "text_delta"), ("thinking", "thinking_delta")] {
            let Some(whole) = block[field].as_str().filter(|_| block["type"] == field) else { continue };
            empty[field] = json!("");
            let pieces: Vec<char> = whole.chars().collect();
            let pieces = pieces.chunks(7).map(|piece| piece.iter().collect::<String>());
            deltas.extend(pieces.map(|piece| json!({"type": delta, field: piece})));
        }
        events.push(json!({"type": "content_block_start", "index": index, "content_block": empty}));
        events.extend(
            deltas
                .into_iter()
                .map(|delta| json!({"type": "content_block_delta", "index": index, "delta": delta})),
        );
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    let delta = json!({"stop_reason": answer["stop_reason"], "stop_sequence": null});
    events.push(json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": answer["usage"]["output_tokens"]}}));
    events.push(json!({"type": "message_stop"}));
    events
}

fn messages(messages: &Value) -> Vec<String> {
    let Some(messages) = messages.as_array().filter(|messages| !messages.is_empty()) else {
        return vec!["messages: at least one is required".to_owned()];
    };
    let mut faults = Vec::new();
    for (n, message) in messages.iter().enumerate() {
        faults.extend(unknown(&format!("messages.{n}"), message, &["role", "content"]));
        let expected = if n % 2 == 0 { "user" } else { "assistant" };
        if message["role"] != expected {
            faults.push(format!("messages.{n}: the roles must alternate, user first"));
        }
        match &message["content"] {
            Value::String(text) if !text.is_empty() => {}
            Value::Array(blocks) if !blocks.is_empty() => {
                faults.extend(
                    blocks.iter().flat_map(|block| text_block(&format!("messages.{n}.content"), block)),
                );
            }
            _ => faults.push(format!("messages.{n}.content is empty")),
        }
    }
    if messages.last().is_some_and(|message| message["role"] == "assistant") {
        faults.push("prefilled assistant turns are not supported".to_owned());
    }
    faults
}

fn system(body: &Value) -> Vec<String> {
    match body.get("system") {
        None | Some(Value::String(_)) => Vec::new(),
        Some(Value::Array(blocks)) => blocks.iter().flat_map(|block| text_block("system", block)).collect(),
        Some(_) => vec!["system: text or blocks".to_owned()],
    }
}

fn text_block(what: &str, block: &Value) -> Vec<String> {
    let mut faults = unknown(what, block, &["type", "text", "cache_control", "citations"]);
    if block["type"] != "text" || block["text"].as_str().is_none_or(|text| text.trim().is_empty()) {
        faults.push(format!("{what}: text content blocks must be non-empty"));
    }
    if let Some(mark) = block.get("cache_control") {
        faults.extend(unknown("cache_control", mark, &["type", "ttl"]));
        if mark["type"] != "ephemeral" || !matches!(mark["ttl"].as_str(), None | Some("5m" | "1h")) {
            faults.push("cache_control: ephemeral, 5m or 1h".to_owned());
        }
    }
    faults
}

fn thinking(body: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let model = body["model"].as_str().unwrap_or_default();
    let newer = ["opus-5", "sonnet-5", "haiku-5", "fable-5"].iter().any(|name| model.contains(name));
    let Some(thinking) = body.get("thinking") else { return faults };
    faults.extend(unknown("thinking", thinking, &["type", "budget_tokens", "display"]));
    match thinking["type"].as_str() {
        Some("adaptive") if !newer => faults.push(format!("adaptive thinking is not supported on {model}")),
        Some("adaptive") if thinking.get("budget_tokens").is_some() => {
            faults.push("thinking.adaptive.budget_tokens is not permitted".to_owned());
        }
        Some("adaptive") => {}
        Some("enabled") if newer => faults.push(format!("budget_tokens is not supported on {model}")),
        Some("enabled") => {
            let budget = thinking["budget_tokens"].as_u64().unwrap_or(0);
            if budget < 1024 || budget >= body["max_tokens"].as_u64().unwrap_or(0) {
                faults.push("thinking.budget_tokens: at least 1024, less than max_tokens".to_owned());
            }
        }
        Some("disabled") if model.contains("opus-5-5") => {
            faults.push("thinking cannot be disabled".to_owned())
        }
        Some("disabled") => {}
        _ => faults.push("thinking.type".to_owned()),
    }
    faults
}

fn output(config: &Value) -> Vec<String> {
    let mut faults = unknown("output_config", config, &["effort", "format"]);
    if !matches!(config["effort"].as_str(), None | Some("low" | "medium" | "high" | "xhigh" | "max")) {
        faults.push("output_config.effort".to_owned());
    }
    if let Some(format) = config.get("format") {
        faults.extend(unknown("output_config.format", format, &["type", "schema"]));
        if format["type"] != "json_schema" || !format["schema"].is_object() {
            faults.push("output_config.format: json_schema with a schema".to_owned());
        }
        faults.extend(schema_faults(&format["schema"], false));
    }
    faults
}

/// How many blocks are marked for caching.
fn marks(value: &Value) -> usize {
    match value {
        Value::Object(object) => {
            usize::from(object.contains_key("cache_control")) + object.values().map(marks).sum::<usize>()
        }
        Value::Array(all) => all.iter().map(marks).sum(),
        _ => 0,
    }
}
