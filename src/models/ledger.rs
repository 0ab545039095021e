//! What calls cost, and who may make one.
//!
//! Every call goes through [`ask`]: secrets are taken out of what is sent, the most that it can cost is set aside before, and what it used is
//! booked after, whatever became of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::turns::estimated_input;
use super::{Answer, Model, ModelError, Request};
use crate::redact::Redactor;
use crate::usage::{Money, Usage};

pub use super::prices::{Long, Price, Prices};

/// How often a call that broke off after it had cost something is made again.
const AGAIN: u32 = 2;

/// What a call used, told by the adapter of its vendor.
#[derive(Debug, Default)]
pub struct Meter(Mutex<Usage>);

impl Meter {
    /// Takes down what the call used.
    pub fn note(&self, usage: Usage) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = usage;
    }

    /// What the call used so far; nothing where the vendor did no work.
    pub fn read(&self) -> Usage {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
    /// Whether Regreen itself broke it off.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut_off: bool,
    /// What it used, whether an answer came of it or not.
    #[serde(default)]
    pub usage: Usage,
    /// What it cost by the price table; `None` for a model without a price (a local one).
    pub cost: Option<Money>,
    /// Wall time, retries that cost nothing included.
    pub duration: Duration,
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered {
    /// In words.
    pub why: String,
    /// Whether Regreen itself broke it off: it says nothing about the provider.
    pub cut_off: bool,
}

impl Unanswered {
    /// Regreen broke the call off.
    pub fn cut_off(why: &str) -> Self {
        Self { why: why.to_owned(), cut_off: true }
    }

    /// The provider gave no answer.
    pub fn failed(why: impl std::fmt::Display) -> Self {
        Self { why: why.to_string(), cut_off: false }
    }
}

/// A call under way.
#[derive(Debug)]
pub struct Pending {
    provider: String,
    model: String,
    request: Request,
    prices: Prices,
    meter: Arc<Meter>,
    began: Instant,
}

impl Pending {
    /// A call of `model` that begins now, and whose use `meter` shows.
    pub fn new(model: &dyn Model, prices: &Prices, request: Request, meter: Arc<Meter>) -> Self {
        Self {
            provider: model.provider().to_owned(),
            model: model.model().to_owned(),
            request,
            prices: prices.clone(),
            meter,
            began: Instant::now(),
        }
    }

    /// The most that it can cost; nothing for a model without a price.
    pub fn most(&self) -> Money {
        self.prices.upper_bound(&self.model, &self.request).unwrap_or_default()
    }

    /// The model, where no price of it is known though somebody may charge for it: what it costs is held by no budget.
    pub fn unpriced(&self) -> Option<&str> {
        let known = self.prices.upper_bound(&self.model, &self.request).is_some();
        (!known && !self.model.starts_with("replay(")).then_some(self.model.as_str())
    }

    /// The call as it is kept if this process dies before it is over. What it used is not known then, so it costs the most that it can.
    pub fn lost(&self) -> Call {
        let input = estimated_input(&self.request);
        Call {
            provider: self.provider.clone(),
            model: self.model.clone(),
            request: self.request.clone(),
            answer: Err("regreen was killed while it waited for the answer".into()),
            cut_off: true,
            usage: Usage { input, estimated: true, ..Usage::default() },
            cost: Some(self.most()),
            duration: Duration::ZERO,
        }
    }

    /// The call as it is kept, now that it is over.
    pub fn over(self, answer: std::result::Result<Answer, Unanswered>) -> Call {
        let usage = self.meter.read();
        Call {
            cost: self.prices.cost(&self.model, &usage),
            provider: self.provider,
            model: self.model,
            request: self.request,
            cut_off: answer.as_ref().is_err_and(|none| none.cut_off),
            answer: answer.map_err(|none| none.why),
            usage,
            duration: self.began.elapsed(),
        }
    }
}

/// Holds the money.
#[async_trait]
pub trait Purse: Send + Sync {
    /// Sets aside the most that a call can cost, before it is made.
    ///
    /// # Errors
    /// A [`Fault`](crate::fault::Fault) with exit 4 that names the cap which does not allow it.
    async fn reserve(&self, call: Pending) -> Result<()>;

    /// Books the call that is under way by what it used, and releases what was set aside for it. It is durable when this returns.
    async fn book(&self, answer: std::result::Result<Answer, Unanswered>) -> Result<()>;
}

/// Asks `model` if `purse` allows it, sends nothing that `redactor` takes out, and books the call, whether it succeeded or not. A call that broke off is made again, and paid again.
/// Where the program is asked to end meanwhile, the call is cut off, what it used is booked, and this does not return.
///
/// # Errors
/// Where the purse refuses, or cannot book. What the model says, or why it says nothing, is the inner result.
pub async fn ask(
    model: &dyn Model,
    purse: &dyn Purse,
    prices: &Prices,
    redactor: &Redactor,
    request: &Request,
) -> Result<std::result::Result<Answer, ModelError>> {
    let began = Instant::now();
    let mut request = request.clone().without_secrets(redactor);
    let whole = request.timeout;
    for again in 0.. {
        let meter = Arc::new(Meter::default());
        let calling = crate::process::calling().await;
        purse.reserve(Pending::new(model, prices, request.clone(), meter.clone())).await?;
        let answer = tokio::select! {
            biased;
            () = crate::process::leaving() => None,
            answer = model.ask(&request, &meter) => Some(answer),
        };
        let told = answer.clone().map(|answer| answer.map_err(Unanswered::failed));
        purse.book(told.unwrap_or_else(|| Err(Unanswered::cut_off("it was interrupted")))).await?;
        drop(calling);
        let Some(answer) = answer else { return std::future::pending().await };
        let wait = match &answer {
            Err(ModelError::BrokenOff { wait, .. }) if again < AGAIN => wait.saturating_mul(1 << again),
            _ => return Ok(answer),
        };
        request.timeout = whole.saturating_sub(began.elapsed() + wait);
        if request.timeout.is_zero() {
            return Ok(answer);
        }
        tokio::time::sleep(wait).await;
    }
    unreachable!("the last answer is returned")
}
