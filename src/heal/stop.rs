//! How a run ends without a landing.

use anyhow::Result;

use super::Tools;
use super::judge::headline;
use crate::diagnostic::Severity;
use crate::fault::Exit;
use crate::run::Run;
use crate::run::events::{Event, StopRule};
use crate::run::journal::Journal;

/// Stops the run by `rule`, and says where a person should look first.
pub(super) async fn stop(journal: &Journal, rule: StopRule, why: String) -> Result<()> {
    let look_at = look_at(&journal.run());
    journal.record(Event::Stopped { rule, why, look_at }).await
}

/// Leaves the run until a person has looked.
pub(super) async fn wait_for_approval(journal: &Journal, tools: &Tools) -> Result<()> {
    let reasons = journal.run().approval.clone();
    journal.store().request_approval(&journal.run().id, "land", &reasons.join("; ")).await?;
    journal.record(Event::ApprovalNeeded { reasons }).await?;
    super::finish(journal, tools, Exit::Policy).await
}

/// The places that the remaining failures name, most telling first, at most five.
fn look_at(run: &Run) -> Vec<String> {
    let mut places: Vec<String> = Vec::new();
    // What was red before anything was tried: the user's own failures, not what a dropped or partial patch left.
    for outcome in run.before.iter().filter(|outcome| !outcome.is_green()) {
        if outcome.diagnostics.is_empty() {
            places.push(format!("{}: {}", outcome.check, headline(outcome)));
        }
        for diagnostic in outcome.diagnostics.iter().filter(|one| one.severity == Severity::Error) {
            let line = diagnostic.message.lines().next().unwrap_or_default();
            let place = match (&diagnostic.file, &diagnostic.range) {
                (Some(file), Some(range)) => format!("{file}:{}: {line}", range.start.line),
                (Some(file), None) => format!("{file}: {line}"),
                (None, _) => line.to_owned(),
            };
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    places.truncate(5);
    places
}
