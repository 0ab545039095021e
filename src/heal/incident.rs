//! Incidents: what is repaired has to be what happened. A command that is replayed fails as it crashed, or it is not judged; a test that
//! is to reproduce the crash fails by it without the repair.

use anyhow::Result;

use super::{Tools, check};
use crate::guards::is_test_path;
use crate::outcome::{Outcome, Verdict};
use crate::patch::Patch;
use crate::run::Run;
use crate::run::events::{Baseline, Phase, Trigger};
use crate::run::journal::Journal;
use crate::verify::compare::headline;

/// Types that many failures have: what tells them apart are the files.
const VAGUE: &[&str] = &["", "panic", "fatal error", "crash"];

/// What a replayed command came to, where it failed in another way than it crashed.
pub(super) fn unlike(run: &Run, outcome: &Outcome) -> Option<Baseline> {
    let Trigger::Incident { exception, files, replay: true, .. } = &run.spec.trigger else { return None };
    (outcome.verdict == Verdict::Red && !tells(outcome, exception, files)).then(|| Baseline::Infra {
        reason: format!("the command fails in the sandbox, but not as it crashed: {}", headline(outcome)),
        advice: "what it needs of its surroundings is missing there; a test can show the crash without them"
            .to_owned(),
    })
}

/// Why the tests of `patch` do not show the incident that the run is for, if they do not: without the rest of the patch they have to fail by it.
pub(super) async fn not_reproduced(
    journal: &Journal,
    tools: &Tools,
    patch: &Patch,
) -> Result<Option<String>> {
    let run = journal.run();
    let Trigger::Incident { exception, files, replay: false, .. } = &run.spec.trigger else {
        return Ok(None);
    };
    let mut tests = Patch::new();
    for (path, change) in patch.iter().filter(|(path, _)| is_test_path(path)) {
        tests.set(path.clone(), change.clone());
    }
    if tests.is_empty() {
        let why = "no file of tests was changed: the test that reproduces the incident goes into one";
        return Ok(Some(why.to_owned()));
    }
    let attempt = tools.workspaces.attempt(&run.start().then(&tests)).await?;
    let outcome = check(journal, tools, Phase::Reproduce, &attempt, &run.spec.goal).await?;
    Ok(match &outcome.verdict {
        Verdict::Green => {
            Some("the tests pass without the repair, too: they do not reproduce the incident".to_owned())
        }
        Verdict::Infra { reason, .. } => {
            Some(format!("whether the tests reproduce it is not known: {reason}"))
        }
        Verdict::Red if tells(&outcome, exception, files) => None,
        Verdict::Red => Some(format!(
            "the tests fail without the repair, but not by {exception} in {}: {}",
            files.first().map_or("this code", String::as_str),
            headline(&outcome)
        )),
    })
}

/// Whether a failure is by this exception, out of one of these files.
fn tells(outcome: &Outcome, exception: &str, files: &[String]) -> bool {
    let details = outcome.diagnostics.iter().flat_map(|one| {
        [one.code.as_deref(), Some(one.message.as_str()), one.detail.as_deref(), one.file.as_deref()]
    });
    let said: Vec<&str> = details.flatten().chain([outcome.tail.as_str()]).collect();
    let has = |word: &str| said.iter().any(|text| text.contains(word));
    let named = files.iter().any(|file| has(file.rsplit('/').next().unwrap_or(file)));
    (VAGUE.contains(&exception) || has(exception)) && (files.is_empty() || named)
}
