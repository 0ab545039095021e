//! What stands before a provider: a limit of what it is sent in a minute, and a breaker for one that keeps failing.
//!
//! A process has one gate for each provider ([`Gates`]), so that runs side by side share its limits and what they find out. A provider
//! that failed [`MOST_FAILURES`] calls in a row is not asked for a while, so that the ladder goes on with its next rung at once; then one call
//! tries it, and the wait doubles where that fails too. The wait and the number are our own choice: long enough that an outage costs a run
//! seconds and not the full round of retries, short enough that a service notices within minutes that it is over.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::time::Instant;

/// Calls in a row that have to fail before a provider is left alone.
pub(super) const MOST_FAILURES: u32 = 3;
/// How long it is left alone at first.
const FIRST_REST: Duration = Duration::from_secs(30);
/// How long at most.
const LONGEST_REST: Duration = Duration::from_secs(600);

/// What a provider may be sent in a minute; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Pace {
    /// Requests, each retry included.
    pub requests: Option<NonZeroU32>,
    /// Tokens: those of the request by our estimate, and the most that it may be answered with.
    pub tokens: Option<NonZeroU32>,
}

/// The gate of one provider.
#[derive(Debug)]
pub struct Gate {
    requests: Option<DefaultDirectRateLimiter>,
    tokens: Option<(DefaultDirectRateLimiter, NonZeroU32)>,
    breaker: Mutex<Breaker>,
}

/// What is known of a provider's failures.
#[derive(Debug, Default)]
struct Breaker {
    failures: u32,
    /// When it may be asked again, once it is left alone.
    until: Option<Instant>,
    last: String,
}

/// A provider's name, its address, and what it may be sent.
type Provider = (String, Option<String>, Pace);

/// The gates of a process, one for each provider.
#[derive(Debug, Default)]
pub struct Gates(Mutex<HashMap<Provider, Arc<Gate>>>);

impl Gates {
    /// The gate of the provider `name` at `base_url`.
    pub fn of(&self, name: &str, base_url: Option<&str>, pace: Pace) -> Arc<Gate> {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name.to_owned(), base_url.map(str::to_owned), pace);
        gates.entry(key).or_insert_with(|| Arc::new(Gate::new(pace))).clone()
    }
}

impl Gate {
    /// An open gate that lets through what `pace` allows.
    pub fn new(pace: Pace) -> Self {
        let limiter = |rate| RateLimiter::direct(Quota::per_minute(rate));
        Self {
            requests: pace.requests.map(limiter),
            tokens: pace.tokens.map(|rate| (limiter(rate), rate)),
            breaker: Mutex::default(),
        }
    }

    /// Whether the provider may be asked now.
    ///
    /// # Errors
    /// Why it is not, in words.
    pub(super) fn admit(&self) -> Result<(), String> {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(until) = breaker.until else { return Ok(()) };
        let now = Instant::now();
        if let Some(left) = until.checked_duration_since(now).filter(|left| !left.is_zero()) {
            return Err(format!(
                "not asked, since {} calls in a row failed; it is tried again in {} s (the last one: {})",
                breaker.failures,
                left.as_secs_f64().ceil(),
                breaker.last
            ));
        }
        // This call tries it; the others wait for what becomes of that.
        breaker.until = Some(now + breaker.rest());
        Ok(())
    }

    /// Takes down that the provider was there, whatever it said.
    pub(super) fn there(&self) {
        *self.breaker.lock().unwrap_or_else(PoisonError::into_inner) = Breaker::default();
    }

    /// Takes down that a call failed, with all of its retries.
    pub(super) fn failed(&self, why: &str) {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        breaker.failures = breaker.failures.saturating_add(1);
        why.clone_into(&mut breaker.last);
        if breaker.failures >= MOST_FAILURES {
            breaker.until = Some(Instant::now() + breaker.rest());
        }
    }

    /// Waits until one more request of about `tokens` keeps within the limits. A request larger than a minute's tokens waits for a whole
    /// minute's.
    pub(super) async fn pace(&self, tokens: u64) {
        if let Some(requests) = &self.requests {
            requests.until_ready().await;
        }
        if let Some((limiter, most)) = &self.tokens {
            let tokens = u32::try_from(tokens).unwrap_or(u32::MAX).clamp(1, most.get());
            let wanted = NonZeroU32::new(tokens).unwrap_or(NonZeroU32::MIN);
            // What fits into the bucket is never refused.
            let _ = limiter.until_n_ready(wanted).await;
        }
    }
}

impl Breaker {
    fn rest(&self) -> Duration {
        let doubled = self.failures.saturating_sub(MOST_FAILURES).min(10);
        FIRST_REST.saturating_mul(1 << doubled).min(LONGEST_REST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_keeps_failing_is_left_alone_for_a_while() {
        let gate = Gate::new(Pace::default());
        for _ in 0..MOST_FAILURES - 1 {
            assert_eq!(gate.admit(), Ok(()));
            gate.failed("529");
        }
        // One success, and the count starts anew.
        gate.there();
        for _ in 0..MOST_FAILURES {
            assert_eq!(gate.admit(), Ok(()));
            gate.failed("529: overloaded");
        }
        let why = gate.admit().unwrap_err();
        assert!(
            why.contains("3 calls in a row") && why.contains("30 s") && why.contains("overloaded"),
            "{why}"
        );

        tokio::time::advance(FIRST_REST).await;
        assert_eq!(gate.admit(), Ok(()), "one call tries it");
        assert!(gate.admit().is_err(), "and only one");
        gate.failed("529");
        tokio::time::advance(FIRST_REST).await;
        assert!(gate.admit().is_err(), "the wait doubles");
        tokio::time::advance(FIRST_REST).await;
        assert_eq!(gate.admit(), Ok(()));
        gate.there();
        assert_eq!((gate.admit(), gate.admit()), (Ok(()), Ok(())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_was_dropped_does_not_keep_a_provider_shut() {
        let gate = Gate::new(Pace::default());
        (0..20).for_each(|_| gate.failed("gone"));
        assert!(gate.admit().unwrap_err().contains(&format!("{} s", LONGEST_REST.as_secs())));
        tokio::time::advance(LONGEST_REST).await;
        assert_eq!(gate.admit(), Ok(()));
        // Nobody tells what became of that one.
        tokio::time::advance(LONGEST_REST).await;
        assert_eq!(gate.admit(), Ok(()));
    }

    #[test]
    fn one_provider_has_one_gate() {
        let gates = Gates::default();
        let of = |name, pace| gates.of(name, None, pace);
        assert!(Arc::ptr_eq(&of("a", Pace::default()), &of("a", Pace::default())));
        assert!(!Arc::ptr_eq(&of("a", Pace::default()), &of("b", Pace::default())));
        let slow = Pace { requests: NonZeroU32::new(1), tokens: None };
        assert!(!Arc::ptr_eq(&of("a", Pace::default()), &of("a", slow)));
    }

    #[tokio::test]
    async fn a_minute_holds_so_many_requests_and_tokens() {
        use futures_util::FutureExt;
        let pace = Pace { requests: NonZeroU32::new(3), tokens: NonZeroU32::new(1000) };
        let gate = Gate::new(pace);
        assert!(gate.pace(500).now_or_never().is_some());
        assert!(gate.pace(500).now_or_never().is_some());
        assert!(gate.pace(1000).now_or_never().is_none(), "its tokens are used up");
        let gate = Gate::new(pace);
        assert!(gate.pace(u64::MAX).now_or_never().is_some(), "a huge one takes a whole minute's");
        assert!(gate.pace(u64::MAX).now_or_never().is_none());
        let gate = Gate::new(Pace { requests: NonZeroU32::new(1), tokens: None });
        assert!(gate.pace(u64::MAX).now_or_never().is_some());
        assert!(gate.pace(1).now_or_never().is_none(), "its requests are used up");
    }
}
