//! What calls cost, and who may make one.

use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Answer, Request};
use crate::usage::Money;

pub use super::prices::{Long, Price, Prices};

/// One call of a model, as it is kept with the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The provider's name in the configuration.
    pub provider: String,
    /// The model's name.
    pub model: String,
    /// Exactly what was sent, after redaction.
    pub request: Request,
    /// The answer, or why there was none.
    pub answer: std::result::Result<Answer, String>,
    /// What it cost by the price table; `None` for a model without a price (a local one).
    pub cost: Option<Money>,
    /// Wall time, retries included.
    pub duration: Duration,
}

/// Holds the run's money: asked before every call, told after it.
#[async_trait]
pub trait Purse: Send + Sync {
    /// Whether a call that costs at most `most` is still within every cap.
    ///
    /// # Errors
    /// A [`Fault`](crate::fault::Fault) with exit 4 that names the cap.
    async fn allow(&self, most: Money) -> Result<()>;

    /// Records a call, whether it succeeded or not. It is durable when this returns.
    async fn record(&self, call: Call) -> Result<()>;
}
