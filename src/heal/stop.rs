//! How a run ends without a landing.

use std::collections::BTreeSet;

use anyhow::Result;

use super::Tools;
use crate::diagnostic::Severity;
use crate::fault::Exit;
use crate::run::Run;
use crate::run::events::{Event, Question, StopRule};
use crate::run::journal::Journal;
use crate::verify::compare::headline;

/// Stops the run by `rule`, and says where a person should look first.
pub(super) async fn stop(journal: &Journal, rule: StopRule, why: String) -> Result<()> {
    let look_at = look_at(&journal.run());
    journal.record(Event::Stopped { rule, why, look_at }).await
}

/// Leaves the run until people have looked. They are asked once, and once more where the question is over.
pub(super) async fn wait_for_approval(journal: &Journal, tools: &Tools) -> Result<()> {
    if !journal.run().is_asked(journal.now()) {
        ask(journal).await?;
    }
    super::finish(journal, tools, Exit::Policy).await
}

/// Asks people about what the run keeps. Whoever agreed before has to look again.
///
/// # Errors
/// Where the store cannot be written.
pub async fn ask(journal: &Journal) -> Result<()> {
    let run = journal.run();
    let governance = &run.spec.governance;
    let (people, other_person, expires) = match &run.assessed {
        Some((_, terms)) => (terms.people, terms.other_person, terms.expires),
        None => (governance.people, governance.other_person, governance.expires),
    };
    let question = Question {
        patch: run.result().digest(),
        people: people.max(1),
        except: other_person.then(|| run.spec.requester.clone()),
        expires: journal.now().checked_add(expires)?,
    };
    journal.record(Event::ApprovalNeeded { reasons: run.approval.clone(), question: Some(question) }).await
}

/// How many places a person is pointed to.
const PLACES: usize = 5;

/// The places that the failures name, each once: the project's own files before those of others (a test's harness, a package).
fn look_at(run: &Run) -> Vec<String> {
    let mut places: Vec<(bool, String, String, usize)> = Vec::new();
    let mut seen = BTreeSet::new();
    // What was red before anything was tried: the user's own failures, not what a dropped or partial patch left.
    for outcome in run.before.iter().filter(|outcome| !outcome.is_green()) {
        if outcome.diagnostics.is_empty() {
            places.push((false, outcome.check.clone(), headline(outcome), 1));
        }
        for one in outcome.diagnostics.iter().filter(|one| one.severity == Severity::Error) {
            let said = one.message.lines().next().unwrap_or_default();
            let said = match &one.test {
                Some(test) => format!("{said} (test {test})"),
                None => said.to_owned(),
            };
            let place = one.place().unwrap_or_default();
            // Two checks may see the same failure.
            if !seen.insert((place.clone(), said.clone())) {
                continue;
            }
            // One line where a hundred cases of a test fail is one place.
            match places.iter_mut().find(|(_, known, ..)| *known == place && !place.is_empty()) {
                Some((.., count)) => *count += 1,
                None => places.push((!one.is_own(), place, said, 1)),
            }
        }
    }
    places.sort_by_key(|(foreign, ..)| *foreign);
    places.truncate(PLACES);
    let told = |(_, place, said, count): (bool, String, String, usize)| {
        let place = if place.is_empty() { place } else { format!("{place}: ") };
        let more = if count > 1 { format!(", and {} more there", count - 1) } else { String::new() };
        format!("{place}{said}{more}")
    };
    places.into_iter().map(told).collect()
}
