//! What operators see of Regreen at work: numbers that Prometheus asks for, and traces that are sent to a collector.
//!
//! Invariants: nothing of a repo, a ticket, a model's words or a command ends up here, names of repos included; the number of series is bounded by
//! the code and the configuration; no run waits for whoever asks or collects, and none fails for their sake; where nobody asked for them, there are none.

mod heard;
mod metrics;
mod otlp;
mod process;
mod spans;

pub use metrics::{Metrics, Returned};
pub use otlp::{Collector, collector};
pub use spans::Spans;
