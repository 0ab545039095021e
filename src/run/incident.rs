//! What the events of a run mean for the incident that it is to heal.

use super::Run;
use super::events::{Baseline, Event, Spec, Trigger};
use crate::fault::Exit;
use crate::incident::Act;
use crate::store::IncidentPatch;

/// What an event means for the incident that the run is for; `run` is the state after it.
pub(super) fn follows(event: &Event, run: &Run) -> Option<IncidentPatch> {
    let Trigger::Incident { id, .. } = &run.spec.trigger else { return None };
    match event {
        Event::Started(spec) => Some(begins(id, spec)),
        // One that was stopped by a limit goes on.
        Event::Resumed { .. } => Some(begins(id, &run.spec)),
        Event::ApprovalNeeded { reasons, .. } => {
            Some(IncidentPatch { reason: Some(reasons.join("; ")), ..IncidentPatch::of(Act::Wait) })
        }
        Event::Landed { record: Some(record) } => {
            Some(IncidentPatch { landed: Some(record.place()), ..IncidentPatch::of(Act::Land) })
        }
        Event::RolledBack { how } => {
            Some(IncidentPatch { reason: Some(how.clone()), ..IncidentPatch::of(Act::RollBack) })
        }
        Event::Finished { exit, .. } => {
            let why = why(run, *exit)?;
            Some(IncidentPatch { reason: Some(why), ..IncidentPatch::of(Act::Fail) })
        }
        _ => None,
    }
}

fn begins(id: &str, spec: &Spec) -> IncidentPatch {
    IncidentPatch { id: Some(id.to_owned()), tried: spec.from.head.clone(), ..IncidentPatch::of(Act::Heal) }
}

/// Why a run that ended healed nothing; `None` where it did, or still may.
fn why(run: &Run, exit: Exit) -> Option<String> {
    if run.awaits_approval() || matches!(run.landed, Some(Some(_))) {
        return None;
    }
    Some(match (&run.stopped, &run.baseline) {
        (Some((_, why, _)), _) => why.clone(),
        (None, Some(Baseline::Infra { reason, .. })) => reason.clone(),
        (None, Some(Baseline::Flaky { what })) => {
            format!("what shows it was seen both red and green: {}", what.join(", "))
        }
        (None, Some(Baseline::Green)) if run.proof.is_none() => {
            "it did not happen when the command ran again in the sandbox".to_owned()
        }
        _ if exit == Exit::Green => "what heals it is proven and was to land nowhere".to_owned(),
        _ => "its run came to an end".to_owned(),
    })
}

/// What a run that ended before it began means for its incident.
pub(super) fn never_began(why: &str) -> IncidentPatch {
    IncidentPatch { reason: Some(why.to_owned()), ..IncidentPatch::of(Act::Fail) }
}
