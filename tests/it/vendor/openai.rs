//! The rules and the formats of `POST /v1/responses` and `POST /v1/chat/completions`.

use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use super::{Checked, KEY, Reply, Wire, schema_faults, stream, unknown};

pub struct Responses;
pub struct Chat;

const RESPONSES_FIELDS: &[&str] = &[
    "model",
    "input",
    "background",
    "include",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_options",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "text",
    "tool_choice",
    "tools",
    "truncation",
];

const CHAT_FIELDS: &[&str] = &[
    "model",
    "messages",
    "max_tokens",
    "stream",
    "response_format",
    "stop",
    "seed",
    "temperature",
    "top_p",
    "reasoning_effort",
];

impl Wire for Responses {
    fn check(&self, request: &Checked<'_>) -> Vec<String> {
        let mut faults = Vec::new();
        let mut must = |holds: bool, fault: &str| {
            if !holds {
                faults.push(fault.to_owned());
            }
        };
        let body = request.body;
        let model = body["model"].as_str().unwrap_or_default();
        must(request.method == "POST" && request.path == "/v1/responses", "only POST /v1/responses is here");
        must(
            request.header("authorization") == Some(&format!("Bearer {KEY}")),
            "authorization is missing or wrong",
        );
        must(request.header("x-api-key").is_none(), "x-api-key is another vendor's");
        must(
            request.header("content-type").is_some_and(|t| t.starts_with("application/json")),
            "content-type",
        );
        must(!model.is_empty(), "model is required");
        must(body["store"] == json!(false), "Regreen keeps nothing at the vendor's: store must be false");
        must(body.get("previous_response_id").is_none(), "Regreen depends on no state of the vendor's");
        must(
            body.get("temperature").is_none() && body.get("top_p").is_none(),
            "Unsupported parameter: temperature",
        );
        must(
            body["max_output_tokens"].as_u64().is_some_and(|n| (16..=128_000).contains(&n)),
            "max_output_tokens",
        );
        must(body.get("instructions").is_none_or(Value::is_string), "instructions");
        must(
            body.get("prompt_cache_key").is_none_or(|key| key.as_str().is_some_and(|key| key.len() <= 64)),
            "prompt_cache_key: at most 64 characters",
        );
        faults.extend(unknown("request", body, RESPONSES_FIELDS));
        faults.extend(input(&body["input"]));
        if let Some(reasoning) = body.get("reasoning") {
            faults.extend(unknown("reasoning", reasoning, &["effort", "summary"]));
            let allowed: &[&str] = match model {
                model if model.starts_with("gpt-4") => &[],
                model if model.starts_with("gpt-6.2") => &["low", "medium", "high", "xhigh", "max"],
                _ => &["none", "minimal", "low", "medium", "high", "xhigh", "max"],
            };
            if !reasoning["effort"].as_str().is_some_and(|effort| allowed.contains(&effort)) {
                faults.push(format!("Unsupported value: reasoning.effort with {model}"));
            }
        }
        if let Some(text) = body.get("text") {
            faults.extend(unknown("text", text, &["format", "verbosity"]));
            let format = &text["format"];
            faults.extend(unknown(
                "text.format",
                format,
                &["type", "name", "schema", "strict", "description"],
            ));
            faults.extend(json_schema("text.format", format));
            if format["type"] != "json_schema" {
                faults.push("text.format.type".to_owned());
            }
        }
        faults
    }

    fn answer(&self, body: &Value, reply: &Reply) -> ResponseTemplate {
        let message = |part: Value| {
            json!([
                {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "SECRET THOUGHTS"}]},
                {"type": "message", "id": "msg_0", "role": "assistant", "status": "completed", "phase": "commentary",
                 "content": [{"type": "output_text", "text": "SECRET THOUGHTS", "annotations": []}]},
                {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "phase": "final_answer",
                 "content": [part]},
            ])
        };
        let text = |text: &str| message(json!({"type": "output_text", "text": text, "annotations": []}));
        let (output, status, why, error) = match reply {
            Reply::Text(said)
            | Reply::WithoutUsage(said)
            | Reply::WithoutOutputCount(said)
            | Reply::BrokenOff(said) => (text(said), "completed", Value::Null, Value::Null),
            Reply::Truncated(said) => {
                (text(said), "incomplete", json!({"reason": "max_output_tokens"}), Value::Null)
            }
            Reply::Refused => {
                let refusal = message(json!({"type": "refusal", "refusal": "I can't help with that."}));
                (refusal, "completed", Value::Null, Value::Null)
            }
            Reply::Overflow => {
                let error = json!({"code": "context_length_exceeded", "message": "too long"});
                (json!([]), "failed", Value::Null, error)
            }
            Reply::FailedInside(code) => {
                (json!([]), "failed", Value::Null, json!({"code": code, "message": "inside"}))
            }
            Reply::Raw { .. } | Reply::Hang | Reply::Fitting(_) => {
                unreachable!("answered by the stand-in itself")
            }
        };
        let mut answer = json!({
            "id": "resp_test_1", "object": "response", "created_at": 1_795_000_000, "status": status, "error": error,
            "incomplete_details": why, "model": body["model"], "output": output, "store": false,
            "usage": {
                "input_tokens": 2311, "input_tokens_details": {"cached_tokens": 2000, "cache_write_tokens": 300},
                "output_tokens": 42, "output_tokens_details": {"reasoning_tokens": 30}, "total_tokens": 2353,
            },
        });
        if matches!(reply, Reply::WithoutUsage(_)) || status == "failed" {
            answer["usage"] = Value::Null;
        }
        if matches!(reply, Reply::WithoutOutputCount(_)) {
            answer["usage"].as_object_mut().unwrap().remove("output_tokens");
        }
        if body["stream"] != json!(true) {
            return ResponseTemplate::new(200).set_body_json(answer);
        }
        let last = format!("response.{status}");
        let mut events = vec![
            json!({"type": "response.created", "sequence_number": 0, "response": {"status": "in_progress", "output": []}}),
        ];
        let said =
            answer["output"].as_array().into_iter().flatten().filter(|item| item["phase"] == "final_answer");
        let said: String = said.filter_map(|item| item["content"][0]["text"].as_str()).collect();
        for piece in said.chars().collect::<Vec<_>>().chunks(9) {
            let piece: String = piece.iter().collect();
            events.push(json!({
                "type": "response.output_text.delta", "sequence_number": events.len(), "item_id": "msg_1",
                "output_index": 2, "content_index": 0, "delta": piece, "logprobs": [],
            }));
        }
        events.push(json!({"type": last, "sequence_number": events.len(), "response": answer}));
        if matches!(reply, Reply::BrokenOff(_)) {
            events.pop();
        }
        stream(&events)
    }
}

fn input(input: &Value) -> Vec<String> {
    let Some(items) = input.as_array().filter(|items| !items.is_empty()) else {
        return vec!["input: at least one item".to_owned()];
    };
    let mut faults = Vec::new();
    for (n, item) in items.iter().enumerate() {
        faults.extend(unknown(&format!("input.{n}"), item, &["type", "role", "content", "phase"]));
        let expected = if n % 2 == 0 { "user" } else { "assistant" };
        if item["role"] != expected {
            faults.push(format!("input.{n}: the roles alternate, user first"));
        }
        if item["content"].as_str().is_none_or(str::is_empty) {
            faults.push(format!("input.{n}.content is empty"));
        }
        let phase = item.get("phase").and_then(Value::as_str);
        if phase.is_some()
            && (item["role"] != "assistant" || !matches!(phase, Some("commentary" | "final_answer")))
        {
            faults.push(format!("input.{n}.phase"));
        }
    }
    faults
}

fn json_schema(what: &str, format: &Value) -> Vec<String> {
    let mut faults = schema_faults(&format["schema"], true);
    if !format["schema"].is_object() || !format["name"].is_string() || format["strict"] != json!(true) {
        faults.push(format!("{what}: name, schema and strict"));
    }
    faults
}

impl Wire for Chat {
    fn check(&self, request: &Checked<'_>) -> Vec<String> {
        let body = request.body;
        let mut faults = unknown("request", body, CHAT_FIELDS);
        if request.method != "POST" || request.path != "/v1/chat/completions" {
            faults.push("only POST /v1/chat/completions is here".to_owned());
        }
        if !request.header("content-type").is_some_and(|t| t.starts_with("application/json")) {
            faults.push("content-type".to_owned());
        }
        if body["stream"].as_bool().is_some_and(|stream| stream) || !body["max_tokens"].is_u64() {
            faults.push("stream: false, max_tokens: a number".to_owned());
        }
        let messages = body["messages"].as_array().cloned().unwrap_or_default();
        let roles: Vec<&str> = messages.iter().filter_map(|message| message["role"].as_str()).collect();
        let turns = roles.strip_prefix(&["system"]).unwrap_or(&roles);
        let alternate = turns.iter().enumerate().all(|(n, role)| *role == ["user", "assistant"][n % 2]);
        if turns.len().is_multiple_of(2) || !alternate {
            faults.push("Conversation roles must alternate user/assistant/user/assistant/...".to_owned());
        }
        for message in &messages {
            faults.extend(unknown("message", message, &["role", "content"]));
            if message["content"].as_str().is_none_or(str::is_empty) {
                faults.push("message.content is empty".to_owned());
            }
        }
        if let Some(format) = body.get("response_format") {
            faults.extend(unknown("response_format", format, &["type", "json_schema"]));
            faults.extend(json_schema("response_format.json_schema", &format["json_schema"]));
        }
        faults
    }

    fn answer(&self, body: &Value, reply: &Reply) -> ResponseTemplate {
        let message = |text: &str| json!({"role": "assistant", "content": text});
        let (message, finish) = match reply {
            Reply::Text(said)
            | Reply::WithoutUsage(said)
            | Reply::WithoutOutputCount(said)
            | Reply::BrokenOff(said) => (message(&format!("<think>SECRET THOUGHTS</think>\n{said}")), "stop"),
            Reply::Truncated(said) => (message(said), "length"),
            Reply::Refused => (json!({"role": "assistant", "content": null, "refusal": "No."}), "stop"),
            Reply::Overflow => {
                let error = json!({"error": {"code": 400, "type": "exceed_context_size_error",
                    "message": "the request exceeds the available context size"}});
                return ResponseTemplate::new(400).set_body_json(error);
            }
            Reply::FailedInside(kind) => {
                return ResponseTemplate::new(200).set_body_json(json!({"error": kind}));
            }
            Reply::Raw { .. } | Reply::Hang | Reply::Fitting(_) => {
                unreachable!("answered by the stand-in itself")
            }
        };
        let mut answer = json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1_795_000_000, "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": 311, "completion_tokens": 42, "total_tokens": 353},
        });
        if matches!(reply, Reply::WithoutUsage(_)) {
            answer.as_object_mut().unwrap().remove("usage");
        }
        if matches!(reply, Reply::WithoutOutputCount(_)) {
            answer["usage"].as_object_mut().unwrap().remove("completion_tokens");
        }
        ResponseTemplate::new(200).set_body_json(answer)
    }
}
