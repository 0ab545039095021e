//! What operators see of Regreen at work: numbers that Prometheus asks for.
//!
//! Invariants: nothing of a repo, a ticket, a model's words or a command ends up here, names of repos included; the number of series is bounded by
//! the code and the configuration; whoever counts never waits for whoever asks.

mod heard;
mod metrics;
mod process;

pub use metrics::{Metrics, Returned};
