//! OpenAI's Responses API. Nothing is kept at the vendor's: each request carries the whole conversation.

use async_trait::async_trait;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::http::{Failure, Http};
use super::turns::{Told, alternating};
use super::vendor_error::VendorError;
use super::{Answer, Meter, Model, ModelError, Request, Role, Stop, stream};

/// The longest key for caches that the vendor takes, in characters.
const LONGEST_CACHE_KEY: usize = 64;

/// A model behind the Responses API.
#[derive(Debug)]
pub(super) struct Responses {
    http: Http,
    model: String,
}

impl Responses {
    pub(super) fn new(http: Http, model: &str) -> Self {
        Self { http: http.speaking(stream::responses, told), model: model.to_owned() }
    }

    fn body(&self, request: &Request) -> Result<Value, ModelError> {
        let (reasons, phases) = abilities(&self.model);
        let input: Vec<Value> = alternating(self.http.provider(), request)?
            .into_iter()
            .map(|turn| match turn.role {
                Role::User => json!({"role": "user", "content": turn.text}),
                Role::Assistant if phases => {
                    json!({"role": "assistant", "content": turn.text, "phase": "final_answer"})
                }
                Role::Assistant => json!({"role": "assistant", "content": turn.text}),
            })
            .collect();
        let mut body = json!({
            "model": self.model,
            "input": input,
            "store": false,
            "stream": true,
            "max_output_tokens": request.max_output_tokens,
        });
        if !request.system.trim().is_empty() {
            body["instructions"] = json!(request.system);
        }
        if reasons {
            body["reasoning"] = json!({"effort": request.effort.word()});
        }
        if !request.cache_key.is_empty() {
            body["prompt_cache_key"] = json!(cache_key(&request.cache_key));
        }
        if let Some(schema) = &request.schema {
            body["text"] = json!({"format": {"type": "json_schema", "name": "answer", "schema": schema, "strict": true}});
        }
        Ok(body)
    }

    pub(super) fn read(&self, json: &Value, id: Option<String>) -> Result<Answer, Failure> {
        let id = id.or_else(|| json["id"].as_str().map(str::to_owned));
        let (text, refusal) = texts(json);
        let stop = match (json["status"].as_str(), json["incomplete_details"]["reason"].as_str()) {
            (Some("completed"), _) if !refusal.is_empty() && text.is_empty() => Stop::Refused,
            (Some("completed"), _) => Stop::Done,
            (Some("incomplete"), Some("content_filter")) => Stop::Refused,
            (Some("incomplete"), _) => Stop::Truncated,
            (Some("failed"), _) => {
                let error = VendorError::of(json);
                let words = self.http.words(&error.message);
                return Err(match (error.is_passing(), error.says_too_long(StatusCode::BAD_REQUEST)) {
                    (true, _) => Failure::again(words),
                    (_, true) => Failure::Overflow(id),
                    _ => Failure::Final(self.http.protocol(words)),
                });
            }
            (other, _) => {
                let other = self.http.words(other.unwrap_or("nothing"));
                return Err(Failure::Final(
                    self.http.protocol(format!("the answer has the status {other:?}")),
                ));
            }
        };
        let text = if text.is_empty() { refusal } else { text };
        Ok(Answer { text, stop, request_id: id })
    }
}

/// What the messages say, and what they refuse with. Where messages name their phase, only the final ones count.
fn texts(json: &Value) -> (String, String) {
    let messages: Vec<&Value> =
        json["output"].as_array().into_iter().flatten().filter(|item| item["type"] == "message").collect();
    let final_only = messages.iter().any(|message| message["phase"] == "final_answer");
    let (mut text, mut refusal) = (String::new(), String::new());
    for message in messages {
        if final_only && message["phase"] == "commentary" {
            continue;
        }
        for part in message["content"].as_array().into_iter().flatten() {
            match part["type"].as_str() {
                Some("output_text") => text.push_str(part["text"].as_str().unwrap_or_default()),
                Some("refusal") => refusal.push_str(part["refusal"].as_str().unwrap_or_default()),
                _ => {}
            }
        }
    }
    (text, refusal)
}

/// What a `usage` object tells.
fn told(usage: &Value) -> Told {
    let details = &usage["input_tokens_details"];
    let cache_read = details["cached_tokens"].as_u64().unwrap_or(0);
    let cache_write = details["cache_write_tokens"].as_u64().unwrap_or(0);
    Told {
        input: usage["input_tokens"]
            .as_u64()
            .map(|all| all.saturating_sub(cache_read).saturating_sub(cache_write)),
        cache_write,
        cache_read,
        output: usage["output_tokens"].as_u64(),
        reasoning: usage["output_tokens_details"]["reasoning_tokens"].as_u64().unwrap_or(0),
    }
}

/// Whether a model of that name takes `reasoning`, and the `phase` of assistant messages.
fn abilities(model: &str) -> (bool, bool) {
    let name = model.rsplit('/').next().unwrap_or(model);
    let reasons = !["gpt-3", "gpt-4", "chatgpt-"].iter().any(|old| name.starts_with(old));
    let version = name.strip_prefix("gpt-").map(|rest| rest.split('-').next().unwrap_or_default());
    let version = version.and_then(|version| {
        let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    });
    (reasons, version.is_some_and(|version| version >= (5, 3)))
}

fn cache_key(key: &str) -> String {
    if key.chars().count() <= LONGEST_CACHE_KEY {
        key.to_owned()
    } else {
        hex::encode(Sha256::digest(key.as_bytes()))
    }
}

#[async_trait]
impl Model for Responses {
    fn provider(&self) -> &str {
        self.http.provider()
    }

    fn model(&self) -> &str {
        &self.model
    }

    async fn ask(&self, request: &Request, meter: &Meter) -> Result<Answer, ModelError> {
        let body = self.body(request)?;
        self.http.ask(&body, request, meter, |json, id| self.read(json, id)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abilities_follow_the_generation() {
        assert_eq!(abilities("gpt-6.2-sol"), (true, true));
        assert_eq!(abilities("gpt-5.3-codex"), (true, true));
        assert_eq!(abilities("gpt-5.2-codex"), (true, false));
        assert_eq!(abilities("gpt-4.1"), (false, false));
        assert_eq!(abilities("o4-mini"), (true, false));
        assert_eq!(abilities("openai/gpt-6-luna"), (true, true));
    }

    #[test]
    fn a_long_cache_key_is_hashed() {
        assert_eq!(cache_key("run-1"), "run-1");
        assert_eq!(cache_key(&"x".repeat(65)).len(), 64);
    }
}
