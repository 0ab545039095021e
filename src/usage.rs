//! What a model used.

use serde::{Deserialize, Serialize};

/// Tokens by kind. `input` is the uncached rest only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Uncached input tokens.
    pub input: u64,
    /// Input tokens written to a cache.
    pub cache_write: u64,
    /// Input tokens read from a cache.
    pub cache_read: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// Reasoning tokens, a part of `output`, where told.
    pub reasoning: u64,
    /// Whether the vendor told none and these are our own estimate.
    #[serde(default)]
    pub estimated: bool,
}

impl Usage {
    /// For people: `2311 in, 42 out`, `about 900 in, 12 out`.
    pub fn describe(&self) -> String {
        let about = if self.estimated { "about " } else { "" };
        let input = self.input.saturating_add(self.cache_read).saturating_add(self.cache_write);
        format!("{about}{input} in, {} out", self.output)
    }
}

impl std::ops::Add for Usage {
    type Output = Usage;
    fn add(self, other: Usage) -> Usage {
        Usage {
            input: self.input.saturating_add(other.input),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
            estimated: self.estimated || other.estimated,
        }
    }
}

/// Money, in millionths of a US dollar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Money(pub u64);

impl Money {
    /// From dollars, rounded up; negative and non-finite amounts count as nothing.
    pub fn from_usd(usd: f64) -> Self {
        Self((usd.max(0.0) * 1e6).ceil() as u64)
    }

    /// In dollars.
    pub fn usd(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl std::ops::Add for Money {
    type Output = Money;
    fn add(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }
}

impl std::iter::Sum for Money {
    fn sum<I: Iterator<Item = Money>>(all: I) -> Money {
        all.fold(Money(0), |sum, one| sum + one)
    }
}

impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "${:.4}", self.usd())
    }
}

/// Estimates the tokens of `text`: its bytes divided by 3.5, rounded up. Code comes to 3 to 4 bytes a token with the vendors'
/// tokenizers, so this is right within a quarter or so; what must not be exceeded is bounded in another way.
pub fn estimate_tokens(text: &str) -> u64 {
    (text.len() as u64 * 2).div_ceil(7)
}
