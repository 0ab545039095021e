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

/// Our own estimate of what a call used, where the vendor tells nothing.
pub(super) fn estimated(request: &Request, answer: &str) -> Usage {
    let turns = request.turns.iter().map(|turn| estimate_tokens(&turn.text)).sum::<u64>();
    Usage {
        input: estimate_tokens(&request.system) + turns,
        output: estimate_tokens(answer),
        estimated: true,
        ..Usage::default()
    }
}
