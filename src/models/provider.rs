//! A provider as configured, and the connection to one of its models.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::anthropic::Anthropic;
use super::gate::{Gate, Pace};
use super::http::Http;
use super::openai_chat::Chat;
use super::openai_responses::Responses;
use super::replay::Replay;
use super::{Effort, Model};
use crate::fault::Fault;
use crate::redact::Redactor;

/// The API that a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Anthropic's Messages.
    Anthropic,
    /// OpenAI's Responses.
    OpenaiResponses,
    /// Chat completions as Ollama, llama.cpp, vLLM and many others serve them.
    OpenaiChat,
    /// Recorded answers from a folder; no network.
    Replay,
}

/// A provider. Its `Debug` does not show the key.
#[derive(Debug, Clone)]
pub struct ProviderConfig {
    /// Its name in the configuration.
    pub name: String,
    /// What it speaks.
    pub kind: Kind,
    /// Where it is, with or without `/v1` at the end; the vendor's own address where `None`.
    pub base_url: Option<String>,
    /// The key; servers on this machine need none.
    pub key: Option<SecretString>,
    /// The folder of recorded answers, for [`Kind::Replay`].
    pub recordings: Option<PathBuf>,
    /// Time, size and retry limits.
    pub limits: Limits,
    /// What stands before it; a process has one for each provider.
    pub gate: Arc<Gate>,
}

impl ProviderConfig {
    /// A provider with no key, the vendor's own address and the default limits.
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        let mut limits = Limits::default();
        if kind == Kind::OpenaiChat {
            // A model on a machine without a GPU takes its time, and says nothing while it does.
            limits.idle = Duration::from_secs(1800);
        }
        Self {
            name: name.into(),
            kind,
            base_url: None,
            key: None,
            recordings: None,
            limits,
            gate: Arc::new(Gate::new(Pace::default())),
        }
    }
}

/// Limits of one call besides its total time, which the request carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// To set up a connection.
    pub connect: Duration,
    /// Without a byte from the vendor. Vendors' answers come as streams; those of local servers in one piece, with the time to
    /// make them.
    pub idle: Duration,
    /// The largest response, in bytes.
    pub response_bytes: usize,
    /// How often a call is tried again.
    pub retries: usize,
    /// The wait before the first retry; it doubles (with jitter) where the vendor names no other.
    pub first_wait: Duration,
    /// The longest wait that is chosen without the vendor naming one.
    pub longest_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(300),
            response_bytes: 32 << 20,
            retries: 5,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(20),
        }
    }
}

/// Connects to `model` of `provider`; nothing is sent yet. `redactor` cleans the vendors' error texts.
///
/// # Errors
/// A [`Fault`] (exit 2) where the configuration cannot work: no key, no address, an address that carries a password, no recordings.
pub fn connect(provider: &ProviderConfig, model: &str, redactor: &Redactor) -> Result<Arc<dyn Model>> {
    let name = &provider.name;
    if model.trim().is_empty() && provider.kind != Kind::Replay {
        return Err(Fault::usage(format!("the provider {name:?} is given no model")).into());
    }
    Ok(match provider.kind {
        Kind::Anthropic => {
            let http = Http::new(
                provider,
                "https://api.anthropic.com",
                "messages",
                required_key(provider)?,
                redactor,
            )?;
            Arc::new(Anthropic::new(http, model))
        }
        Kind::OpenaiResponses => {
            // A server of one's own (a base URL that is not the vendor's) may want no key.
            let key =
                if provider.base_url.is_some() { provider.key.as_ref() } else { required_key(provider)? };
            let http = Http::new(provider, "https://api.openai.com", "responses", key, redactor)?;
            Arc::new(Responses::new(http, model))
        }
        Kind::OpenaiChat => {
            if provider.base_url.is_none() {
                let fault = Fault::usage(format!("the provider {name:?} has no base_url"));
                return Err(fault.hint("for Ollama it is http://127.0.0.1:11434/v1").into());
            }
            let http = Http::new(provider, "", "chat/completions", provider.key.as_ref(), redactor)?;
            Arc::new(Chat::new(http, model))
        }
        Kind::Replay => {
            let Some(folder) = &provider.recordings else {
                return Err(Fault::usage(format!("the provider {name:?} has no folder of recordings")).into());
            };
            Arc::new(Replay::open(name, model, folder)?)
        }
    })
}

fn required_key(provider: &ProviderConfig) -> Result<Option<&SecretString>> {
    match provider.key.as_ref().filter(|key| !key.expose_secret().trim().is_empty()) {
        Some(key) => Ok(Some(key)),
        None => {
            let variable = match provider.kind {
                Kind::Anthropic => "ANTHROPIC_API_KEY",
                _ => "OPENAI_API_KEY",
            };
            let fault = Fault::usage(format!("the provider {:?} has no key", provider.name));
            Err(fault.hint(format!("set {variable}, or name another provider in the ladder")).into())
        }
    }
}

impl Effort {
    /// The word that both vendors use for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::High => "high",
        }
    }
}
