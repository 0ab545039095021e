//! Anthropic's Messages API.

use async_trait::async_trait;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::http::{Failure, Http};
use super::turns::{Told, alternating};
use super::vendor_error::VendorError;
use super::{Answer, Effort, Meter, Model, ModelError, Request, Role, Stop, stream};

/// A model of Anthropic's.
#[derive(Debug)]
pub(super) struct Anthropic {
    http: Http,
    model: String,
}

/// How a model is told to think.
#[derive(Debug, PartialEq, Eq)]
enum Thinking {
    /// By itself, as much as `output_config.effort` asks.
    Adaptive,
    /// Within a budget of tokens.
    Budget,
    /// Not at all.
    None,
}

impl Anthropic {
    pub(super) fn new(http: Http, model: &str) -> Self {
        Self { http: http.speaking(stream::anthropic, told), model: model.to_owned() }
    }

    fn body(&self, request: &Request) -> Result<Value, ModelError> {
        let turns = alternating(self.http.provider(), request)?;
        let last = turns.len() - 1;
        let messages: Vec<Value> = turns
            .iter()
            .enumerate()
            .map(|(n, turn)| {
                let mut block = json!({"type": "text", "text": turn.text});
                if n == last {
                    // A retry in the same conversation reads all of this from the cache.
                    block["cache_control"] = json!({"type": "ephemeral"});
                }
                let role = match turn.role {
                    Role::User => "user",
                    Role::Assistant => "assistant",
                };
                json!({"role": role, "content": [block]})
            })
            .collect();
        let mut body = json!({"model": self.model, "max_tokens": request.max_output_tokens, "messages": messages, "stream": true});
        if !request.system.trim().is_empty() {
            body["system"] =
                json!([{"type": "text", "text": request.system, "cache_control": {"type": "ephemeral"}}]);
        }
        match thinking(&self.model) {
            Thinking::Adaptive => {
                body["thinking"] = json!({"type": "adaptive"});
                body["output_config"] = json!({"effort": request.effort.word()});
            }
            Thinking::Budget => {
                if let Some(budget) = budget(request.effort, request.max_output_tokens) {
                    body["thinking"] = json!({"type": "enabled", "budget_tokens": budget});
                }
            }
            Thinking::None => {}
        }
        if let Some(schema) = &request.schema {
            body["output_config"]["format"] = json!({"type": "json_schema", "schema": schema});
        }
        Ok(body)
    }

    pub(super) fn read(&self, json: &Value, id: Option<String>) -> Result<Answer, Failure> {
        if json["type"] == "error" {
            let error = VendorError::of(json);
            let words = self.http.words(&error.message);
            return Err(match (error.is_passing(), error.says_too_long(StatusCode::BAD_REQUEST)) {
                (true, _) => Failure::again(words),
                (_, true) => Failure::Overflow(id),
                _ => Failure::Final(self.http.protocol(words)),
            });
        }
        let Some(blocks) = json["content"].as_array() else {
            return Err(Failure::Final(self.http.protocol("the answer has no content")));
        };
        // Thinking belongs to one model and one conversation: it is left where it is.
        let text: String = blocks
            .iter()
            .filter(|block| block["type"] == "text")
            .filter_map(|block| block["text"].as_str())
            .collect();
        let stop = match json["stop_reason"].as_str() {
            Some("end_turn" | "stop_sequence") => Stop::Done,
            Some("max_tokens" | "pause_turn") => Stop::Truncated,
            Some("refusal") => Stop::Refused,
            Some("model_context_window_exceeded") => Stop::Overflow,
            other => {
                let other = self.http.words(other.unwrap_or("nothing"));
                return Err(Failure::Final(self.http.protocol(format!("the answer stopped for {other:?}"))));
            }
        };
        Ok(Answer { text, stop, request_id: id.or_else(|| json["id"].as_str().map(str::to_owned)) })
    }
}

#[async_trait]
impl Model for Anthropic {
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

/// What a `usage` object tells.
fn told(usage: &Value) -> Told {
    let count = |name: &str| usage[name].as_u64();
    Told {
        input: count("input_tokens"),
        cache_write: count("cache_creation_input_tokens").unwrap_or(0),
        cache_read: count("cache_read_input_tokens").unwrap_or(0),
        output: count("output_tokens"),
        reasoning: 0,
    }
}

/// How a model of that name is told to think: adaptively since 4.6 (and whatever comes after), with a budget since 3.7.
fn thinking(model: &str) -> Thinking {
    let name = model.rsplit('/').next().unwrap_or(model);
    let Some(name) = name.strip_prefix("claude-") else { return Thinking::Adaptive };
    // `claude-opus-4-5-20251101`, `claude-3-7-sonnet-20250219`: numbers of more than two digits are dates.
    let mut version = name.split('-').filter_map(|part| part.parse::<u32>().ok().filter(|n| *n < 100));
    match (version.next(), version.next()) {
        (None, _) => Thinking::Adaptive,
        (Some(major), minor) => match (major, minor.unwrap_or(0)) {
            (5.., _) | (4, 6..) => Thinking::Adaptive,
            (4, _) | (3, 7..) => Thinking::Budget,
            _ => Thinking::None,
        },
    }
}

/// Tokens to think with: at least the vendor's minimum of 1,024 and at most half of the answer; `None` where that leaves none.
fn budget(effort: Effort, max_output_tokens: u32) -> Option<u32> {
    let wanted = match effort {
        Effort::Low => return None,
        Effort::Medium => 4_096,
        Effort::High => 16_384,
    };
    Some(wanted.min(max_output_tokens / 2)).filter(|budget| *budget >= 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinking_follows_the_generation() {
        for (model, want) in [
            ("claude-opus-5-5", Thinking::Adaptive),
            ("claude-haiku-5-5", Thinking::Adaptive),
            ("claude-sonnet-4-6", Thinking::Adaptive),
            ("claude-fable-6", Thinking::Adaptive),
            ("some-gateway-name", Thinking::Adaptive),
            ("anthropic/claude-sonnet-4-20250514", Thinking::Budget),
            ("claude-opus-4-5-20251101", Thinking::Budget),
            ("claude-3-7-sonnet-20250219", Thinking::Budget),
            ("claude-3-5-haiku-latest", Thinking::None),
        ] {
            assert_eq!(thinking(model), want, "{model}");
        }
    }

    #[test]
    fn a_budget_fits_into_the_answer() {
        assert_eq!(budget(Effort::High, 64_000), Some(16_384));
        assert_eq!(budget(Effort::High, 8_000), Some(4_000));
        assert_eq!(budget(Effort::Medium, 2_000), None);
        assert_eq!(budget(Effort::Low, 64_000), None);
    }
}
