//! The time, and waiting: behind a trait so that tests need no sleep.

use jiff::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now, in UTC, to the millisecond: what is told has no more digits than what is kept.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the owner of the time")]
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }
}

/// A duration for people: `0.8s`, `12s`, `3m 20s`, `1h 05m`.
pub fn human(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..=9 => format!("{:.1}s", duration.as_secs_f64()),
        10..=59 => format!("{seconds}s"),
        60..=3599 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// The processor time that `work` takes in this thread, which does not depend on what else the machine does.
#[cfg(test)]
pub fn processor_time(work: impl FnOnce()) -> std::time::Duration {
    use rustix::time::{ClockId, clock_gettime};
    let since_start = || {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        std::time::Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    };
    let start = since_start();
    work();
    since_start() - start
}
