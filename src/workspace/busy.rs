//! How long commands ran: the union of the spans in which at least one did, so that two side by side count once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The time in which commands ran. A clone counts into the same.
#[derive(Debug, Clone, Default)]
pub struct Busy(Arc<Mutex<Spans>>);

#[derive(Debug, Default)]
struct Spans {
    running: usize,
    since: Option<Instant>,
    total: Duration,
}

/// A command that runs, until it is dropped.
#[derive(Debug)]
pub struct Span(Busy);

impl Busy {
    /// A command begins.
    pub fn begin(&self) -> Span {
        let mut spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spans.running += 1;
        spans.since.get_or_insert_with(Instant::now);
        Span(self.clone())
    }

    /// The time so far, spans under way left out.
    pub(super) fn total(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).total
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let mut spans = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        spans.running -= 1;
        if spans.running == 0
            && let Some(since) = spans.since.take()
        {
            spans.total += since.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn side_by_side_counts_once_and_pauses_do_not_count() {
        let busy = Busy::default();
        let first = busy.begin();
        tokio::time::advance(Duration::from_secs(2)).await;
        let second = busy.begin();
        tokio::time::advance(Duration::from_secs(3)).await;
        drop(first);
        tokio::time::advance(Duration::from_secs(1)).await;
        drop(second);
        tokio::time::advance(Duration::from_secs(10)).await;
        drop(busy.begin());
        assert_eq!(busy.total(), Duration::from_secs(6));
    }
}
