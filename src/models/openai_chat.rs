//! Chat completions, as Ollama, llama.cpp, vLLM and many gateways serve them: no key needed, any model name, usage now and then
//! absent.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::http::{Failure, Http};
use super::turns::{Told, alternating, estimated_input};
use super::vendor_error::VendorError;
use super::{Answer, Meter, Model, ModelError, Request, Role, Stop, stream};

/// A model behind a chat API.
#[derive(Debug)]
pub(super) struct Chat {
    http: Http,
    model: String,
}

impl Chat {
    pub(super) fn new(http: Http, model: &str) -> Self {
        Self { http: http.speaking(stream::none, told), model: model.to_owned() }
    }

    fn body(&self, request: &Request) -> Result<Value, ModelError> {
        let mut messages = Vec::new();
        if !request.system.trim().is_empty() {
            messages.push(json!({"role": "system", "content": request.system}));
        }
        for turn in alternating(self.http.provider(), request)? {
            let role = match turn.role {
                Role::User => "user",
                Role::Assistant => "assistant",
            };
            messages.push(json!({"role": role, "content": turn.text}));
        }
        let mut body = json!({"model": self.model, "messages": messages, "stream": false});
        // The vendor itself has renamed the field; local servers know the old name.
        let limit = if self.http.host() == "api.openai.com" { "max_completion_tokens" } else { "max_tokens" };
        body[limit] = json!(request.max_output_tokens);
        if let Some(schema) = &request.schema {
            body["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": true}});
        }
        Ok(body)
    }

    pub(super) fn read(
        &self,
        request: &Request,
        json: &Value,
        id: Option<String>,
    ) -> Result<Answer, Failure> {
        let choice = &json["choices"][0];
        if !choice.is_object() {
            let error = VendorError::of(json);
            let words = self.http.words(&error.message);
            return Err(Failure::Final(
                self.http.protocol(format!("the answer has no choices {words}").trim_end()),
            ));
        }
        let message = &choice["message"];
        let text = match &message["content"] {
            Value::String(text) => text.clone(),
            Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
            _ => String::new(),
        };
        let text = without_thoughts(&text).to_owned();
        let refusal = message["refusal"].as_str().unwrap_or_default();
        let stop = match choice["finish_reason"].as_str() {
            Some("length") => Stop::Truncated,
            Some("content_filter") => Stop::Refused,
            _ if text.is_empty() && !refusal.is_empty() => Stop::Refused,
            _ => Stop::Done,
        };
        let text = if text.is_empty() { refusal.to_owned() } else { text };
        self.warn_of_a_cut_prompt(request, told(&json["usage"]));
        Ok(Answer { text, stop, request_id: id.or_else(|| json["id"].as_str().map(str::to_owned)) })
    }

    /// Local servers cut a prompt that does not fit without a word; the count of tokens gives it away.
    fn warn_of_a_cut_prompt(&self, request: &Request, told: Told) {
        let Some(input) = told.input else { return };
        let (sent, read) = (estimated_input(request), input.saturating_add(told.cache_read));
        if sent > 2000 && read < sent / 2 {
            tracing::warn!(
                "{} seems to have cut the prompt for {}: about {sent} tokens were sent, {read} read; raise its context length (num_ctx, --ctx-size)",
                self.http.provider(),
                self.model
            );
        }
    }
}

/// The text behind the thoughts that some local models put first.
fn without_thoughts(text: &str) -> &str {
    let start = text.trim_start();
    match start.strip_prefix("<think>") {
        Some(rest) => rest.split_once("</think>").map_or("", |(_, answer)| answer.trim_start()),
        None => text,
    }
}

/// What a `usage` object tells.
fn told(usage: &Value) -> Told {
    let all = usage["prompt_tokens"].as_u64();
    let cache_read =
        usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap_or(0).min(all.unwrap_or(0));
    Told {
        input: all.map(|all| all - cache_read),
        cache_write: 0,
        cache_read,
        output: usage["completion_tokens"].as_u64(),
        reasoning: usage["completion_tokens_details"]["reasoning_tokens"].as_u64().unwrap_or(0),
    }
}

#[async_trait]
impl Model for Chat {
    fn provider(&self) -> &str {
        self.http.provider()
    }

    fn model(&self) -> &str {
        &self.model
    }

    async fn ask(&self, request: &Request, meter: &Meter) -> Result<Answer, ModelError> {
        let body = self.body(request)?;
        self.http.ask(&body, request, meter, |json, id| self.read(request, json, id)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_are_left_out() {
        assert_eq!(without_thoughts("<think>hm\n</think>\n\nyes"), "yes");
        assert_eq!(without_thoughts("\n<think>cut off"), "");
        assert_eq!(without_thoughts("a <think> b"), "a <think> b");
    }
}
