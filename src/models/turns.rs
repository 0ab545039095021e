//! What the adapters share of a conversation.

use super::{ModelError, Request, Role, Turn};
use crate::usage::{Usage, estimate_tokens};

/// The turns as every vendor takes them: none empty, ours first, then by turns, ours last.
pub(super) fn alternating(provider: &str, request: &Request) -> Result<Vec<Turn>, ModelError> {
    let mut turns: Vec<Turn> = Vec::new();
    for turn in &request.turns {
        if turn.text.trim().is_empty() {
            continue;
        }
        match turns.last_mut().filter(|last| last.role == turn.role) {
            Some(last) => {
                last.text.push_str("\n\n");
                last.text.push_str(&turn.text);
            }
            None => turns.push(turn.clone()),
        }
    }
    let ours = |turn: Option<&Turn>| turn.is_some_and(|turn| turn.role == Role::User);
    if ours(turns.first()) && ours(turns.last()) {
        return Ok(turns);
    }
    Err(ModelError::Protocol {
        provider: provider.to_owned(),
        message: "a conversation starts and ends with a turn of ours".to_owned(),
    })
}

/// What a vendor tells of a call's tokens.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Told {
    /// Uncached input.
    pub(super) input: Option<u64>,
    /// Input written to a cache.
    pub(super) cache_write: u64,
    /// Input read from a cache.
    pub(super) cache_read: u64,
    /// Output, reasoning included.
    pub(super) output: Option<u64>,
    /// Reasoning.
    pub(super) reasoning: u64,
}

impl Told {
    /// What the call used: as the vendor tells, and by our own estimate where it does not. `written` are the tokens of what came, as estimated.
    pub(super) fn usage(self, request: &Request, written: u64) -> Usage {
        Usage {
            input: self.input.unwrap_or_else(|| estimated_input(request)),
            cache_write: self.cache_write,
            cache_read: self.cache_read,
            output: self.output.unwrap_or(written),
            reasoning: self.reasoning,
            estimated: self.input.is_none() || self.output.is_none(),
        }
    }

    /// Whether it tells of any token.
    pub(super) fn is_any(self) -> bool {
        self.input.is_some() || self.output.is_some()
    }
}

/// Our own estimate of a request's tokens.
pub(super) fn estimated_input(request: &Request) -> u64 {
    let schema = request.schema.as_ref().map_or(0, |schema| estimate_tokens(&schema.to_string()));
    let turns = request.turns.iter().map(|turn| estimate_tokens(&turn.text)).sum::<u64>();
    estimate_tokens(&request.system) + turns + schema
}
