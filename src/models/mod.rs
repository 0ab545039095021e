//! Language models, behind one trait.

use std::borrow::Cow;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::redact::Redactor;

mod anthropic;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod gate;
mod http;
pub mod ledger;
mod openai_chat;
mod openai_responses;
pub mod prices;
mod provider;
pub mod replay;
mod stream;
mod turns;
mod vendor_error;

pub use gate::{Gate, Gates, Pace};
pub use http::plain_client;
pub use ledger::Meter;
pub use provider::{Kind, Limits, ProviderConfig, connect};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Us.
    User,
    /// The model.
    Assistant,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub text: String,
}

/// How hard a model should think.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effort {
    /// Mechanical work.
    Low,
    /// Ordinary repairs.
    Medium,
    /// Planning, second opinions.
    High,
}

/// What is asked of a model. Vendor-neutral: the adapters turn it into their wire format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Rules that stay the same over a run; the adapters mark them for caching.
    pub system: String,
    /// The conversation; the last turn is ours.
    pub turns: Vec<Turn>,
    /// How hard to think.
    pub effort: Effort,
    /// The most tokens to answer with, thinking included.
    pub max_output_tokens: u32,
    /// Groups the requests of one run for caches.
    pub cache_key: String,
    /// A JSON schema that the answer must follow; `None` for plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<serde_json::Value>,
    /// Total time limit.
    pub timeout: Duration,
}

impl Request {
    /// The request as it may leave the machine. Its parts are made of texts that are redacted already; this is for what was put together or
    /// cut since, and for what the model said itself.
    #[must_use]
    pub fn without_secrets(mut self, redactor: &Redactor) -> Self {
        for text in std::iter::once(&mut self.system).chain(self.turns.iter_mut().map(|turn| &mut turn.text))
        {
            if let Cow::Owned(cleaned) = redactor.redact(text) {
                *text = cleaned;
            }
        }
        self
    }
}

/// Why the model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// It was done.
    Done,
    /// The output limit: the text is cut off.
    Truncated,
    /// The model declined.
    Refused,
    /// The input does not fit its window.
    Overflow,
}

/// What a model answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The text, without thinking.
    pub text: String,
    /// Why it stopped.
    pub stop: Stop,
    /// The vendor's id of the request, for a person who asks them.
    pub request_id: Option<String>,
}

/// Why a model gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The key is missing or wrong (401, 403).
    #[error("{provider} refused the key: {message}")]
    Key {
        /// The provider's name in the configuration.
        provider: String,
        /// The vendor's words, redacted.
        message: String,
    },
    /// Money or quota is used up at the vendor's.
    #[error("{provider} says the quota is used up: {message}")]
    Quota {
        /// The provider's name.
        provider: String,
        /// The vendor's words, redacted.
        message: String,
    },
    /// It had begun to work on the answer, and no answer came of it: what it used has to be paid. Another call may do.
    #[error("{provider} broke off: {message}")]
    BrokenOff {
        /// The provider's name.
        provider: String,
        /// What happened.
        message: String,
        /// The wait before another call.
        wait: Duration,
    },
    /// Not to be reached, overloaded or too slow, after all retries.
    #[error("{provider} could not be reached: {message}")]
    Unreachable {
        /// The provider's name.
        provider: String,
        /// What happened.
        message: String,
    },
    /// The request was refused as wrong, or the answer was not of the published form.
    #[error("{provider} did not take the request: {message}")]
    Protocol {
        /// The provider's name.
        provider: String,
        /// What happened.
        message: String,
    },
}

/// A language model at some provider.
#[async_trait]
pub trait Model: Send + Sync {
    /// The provider's name in the configuration: `anthropic`, `openai`, `local`, …
    fn provider(&self) -> &str;
    /// The model's name as the vendor spells it.
    fn model(&self) -> &str;
    /// Asks, with the retries that the vendor's rules allow as long as they cost nothing. What the call used is on `meter` when this returns,
    /// and also when it is dropped before.
    async fn ask(&self, request: &Request, meter: &Meter) -> Result<Answer, ModelError>;
}
