//! What is wrong with the service as a whole, by rules over what the store holds. Each alert is told once, stays open as long as its rule
//! finds it, and recovers by itself.

mod tell;

use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::clock::human;
use crate::config::{AlertRules, Channel, render_duration};
use crate::store::{Change, Dealt, Finding, Store, Turn, short};
use crate::usage::Money;

pub use tell::{Postman, sign};

/// How often the rules are looked at, by one process of all that share the store.
const EVERY: Duration = Duration::from_secs(60);

/// How long to wait where the store is out of reach.
const RETRY: Duration = Duration::from_secs(10);

/// The time over which the money for a day counts.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Looks at the rules again and again, whenever it is this process's turn. Does not return.
pub async fn watch(store: Store, rules: AlertRules, day: Money, channels: Vec<Channel>) {
    if !rules.enabled {
        return std::future::pending().await;
    }
    loop {
        let wait = match turn(&store, &rules, day, &channels).await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::debug!("the alerts were not looked at: {error:#}");
                RETRY
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// Looks at the rules if it is this process's turn, and tells how long it is not.
async fn turn(store: &Store, rules: &AlertRules, day: Money, channels: &[Channel]) -> Result<Duration> {
    match store.take_turn("alerts", EVERY).await? {
        Turn::Ours => {
            check(store, rules, day, channels).await?;
            Ok(EVERY)
        }
        // A little more than nothing, so that nobody turns in circles.
        Turn::After(rest) => Ok(rest.max(Duration::from_millis(100))),
    }
}

/// Looks at the rules now; `day` is the money for 24 hours. Tells what changed, and writes down what `channels` are to be told of it.
///
/// # Errors
/// Where the database fails.
pub async fn check(
    store: &Store,
    rules: &AlertRules,
    day: Money,
    channels: &[Channel],
) -> Result<Vec<Change>> {
    let mut found = shares(store, rules).await?;
    found.extend(providers(store, rules).await?);
    found.extend(spending(store, rules, day).await?);
    found.extend(waiting(store, rules).await?);
    let changes = store.settle_alerts(&found, channels).await?;
    changes.iter().for_each(tell);
    Ok(changes)
}

/// Tells that something is wrong, or right again, where people look for what Regreen itself says.
fn tell(change: &Change) {
    match change {
        Change::Raised(alert) => {
            tracing::warn!(rule = alert.rule, alert = alert.id, "{} ({})", alert.message, alert.action);
        }
        Change::Recovered(alert) => {
            tracing::info!(rule = alert.rule, alert = alert.id, "over again: {}", alert.message);
        }
    }
}

/// Too many red runs end with a person, or with nothing left to be tried.
async fn shares(store: &Store, rules: &AlertRules) -> Result<Vec<Finding>> {
    let since = store.now().checked_sub(SignedDuration::try_from(rules.window)?)?;
    let (mut red, mut healed, mut exhausted) = (0, 0, 0);
    for day in store.outcomes(since).await? {
        let dealt = Dealt::of(day.outcome.as_deref());
        red += if dealt == Dealt::Other { 0 } else { day.runs };
        healed += if dealt == Dealt::Healed { day.runs } else { 0 };
        exhausted += if dealt == Dealt::Exhausted { day.runs } else { 0 };
    }
    let escalated = red - healed;
    if red < rules.sample {
        return Ok(Vec::new());
    }
    let window = render_duration(rules.window);
    let share = |rule, runs: u64, limit: u64, what: &str, action| {
        (runs * 100 > limit * red).then(|| Finding {
            rule,
            subject: String::new(),
            message: format!(
                "{} % of the red runs of the last {window} {what} ({runs} of {red}; up to {limit} % are expected)",
                runs * 100 / red
            ),
            figures: json!({"runs": runs, "of": red, "percent": runs * 100 / red, "limit_percent": limit}),
            action,
            since: None,
        })
    };
    let found = [
        share(
            "escalated",
            escalated,
            rules.escalated,
            "ended with a person",
            "look at the runs that need a person and at the most common faults: one broken repo or provider is often behind most of them",
        ),
        share(
            "exhausted",
            exhausted,
            rules.exhausted,
            "ended with nothing left to be tried",
            "look at what was tried in these runs: another model in the ladder, more attempts or a larger budget may help",
        ),
    ];
    Ok(found.into_iter().flatten().collect())
}

/// A provider does not answer.
async fn providers(store: &Store, rules: &AlertRules) -> Result<Vec<Finding>> {
    let failing = store.failing_providers().await?.into_iter();
    let failing = failing.filter(|one| one.failures >= rules.provider_errors).map(|one| Finding {
        rule: "provider",
        message: format!(
            "the last {} calls of {} failed, the last one with: {}",
            one.failures, one.provider, one.error
        ),
        figures: json!({"failures": one.failures, "limit": rules.provider_errors}),
        action: "look at the provider's state, the key, its limits and this machine's network; put another provider into the ladder meanwhile",
        since: Some(one.since),
        subject: one.provider,
    });
    Ok(failing.collect())
}

/// The money for 24 hours is nearly, or more than, spent.
async fn spending(store: &Store, rules: &AlertRules, day: Money) -> Result<Option<Finding>> {
    let spent = store.spent_since(store.now().checked_sub(DAY)?).await?;
    let over = day > Money(0) && u128::from(spent.0) * 100 >= u128::from(day.0) * u128::from(rules.spend);
    Ok(over.then(|| Finding {
        rule: "spend",
        subject: String::new(),
        message: format!("models cost {spent} in the last 24 hours, of {day} that they may"),
        figures: json!({"spent_micro_usd": spent.0, "budget_micro_usd": day.0, "limit_percent": rules.spend}),
        action: "look at the cost by repo and model; raise budget.day_usd where it is well spent, as runs stop when it is used up",
        since: None,
    }))
}

/// Runs wait for a worker too long.
async fn waiting(store: &Store, rules: &AlertRules) -> Result<Option<Finding>> {
    let Some(oldest) = store.longest_waiting().await? else { return Ok(None) };
    let waited = Duration::try_from(oldest.now.duration_since(oldest.since)).unwrap_or_default();
    if waited < rules.queue_age {
        return Ok(None);
    }
    let since: Timestamp = oldest.since.saturating_add(SignedDuration::try_from(rules.queue_age)?)?;
    Ok(Some(Finding {
        rule: "queue-age",
        subject: String::new(),
        message: format!(
            "the run {} has waited for a worker for {}, and {} runs wait",
            short(&oldest.run),
            human(waited),
            oldest.waiting
        ),
        figures: json!({
            "waited_seconds": waited.as_secs(),
            "limit_seconds": rules.queue_age.as_secs(),
            "waiting": oldest.waiting,
            "run": oldest.run,
        }),
        action: "see that workers run (`regreen runs` names those that have runs); start more, or raise a repo's concurrency",
        since: Some(since),
    }))
}

#[cfg(test)]
mod tests;
