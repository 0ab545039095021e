//! What checks printed, and events, without secrets.

use super::Shared;
use super::problem::Problem;
use crate::run::events::Event;

/// What a check printed.
pub(crate) struct Log {
    /// The check's name.
    pub(crate) check: String,
    /// Its text, without secrets and escape sequences.
    pub(crate) text: String,
    /// Whether the log itself is gone, and this is its end as the event keeps it.
    pub(crate) only_end: bool,
}

/// Bytes of a log that are read: its end.
const LOG: u64 = 16 << 20;

/// The log of the event `seq`, which has to be a check that ended.
pub(crate) async fn log(shared: &Shared, run: &str, seq: u64) -> Result<Log, Problem> {
    let none = || Problem::not_found("the event is no check that ended");
    let before = seq.checked_sub(1).ok_or_else(none)?;
    let event = shared.store.events_page(run, before, 1).await?.pop().filter(|event| event.seq == seq);
    let event = event.ok_or_else(none)?;
    let event: Event = serde_json::from_value(event.payload).map_err(anyhow::Error::from)?;
    let Event::Checked { outcome, .. } = event else { return Err(none()) };
    let bytes = match &outcome.log {
        Some(key) => shared.objects.end(key, LOG).await,
        None => None,
    };
    let only_end = bytes.is_none();
    let text = bytes.map_or(outcome.tail, |bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = crate::plain::plain(&shared.redactor.redact(&text));
    Ok(Log { check: outcome.check, text, only_end })
}
