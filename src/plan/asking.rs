//! One call of a model, paid for.

use std::time::Instant;

use anyhow::Result;

use crate::models::ledger::{Call, Prices, Purse};
use crate::models::{Answer, Model, ModelError, Request};

/// Asks `model` if `purse` allows it, and records the call, whether it succeeded or not.
///
/// # Errors
/// Where the purse refuses, or cannot record. What the model says, or why it says nothing, is the inner result.
pub(super) async fn ask(
    model: &dyn Model,
    purse: &dyn Purse,
    prices: &Prices,
    request: &Request,
) -> Result<std::result::Result<Answer, ModelError>> {
    purse.allow(prices.upper_bound(model.model(), request).unwrap_or_default()).await?;
    let start = Instant::now();
    let answer = model.ask(request).await;
    let call = Call {
        provider: model.provider().to_owned(),
        model: model.model().to_owned(),
        request: request.clone(),
        answer: answer.clone().map_err(|error| error.to_string()),
        cost: answer.as_ref().ok().and_then(|answer| prices.cost(model.model(), &answer.usage)),
        duration: start.elapsed(),
    };
    purse.record(call).await?;
    Ok(answer)
}
