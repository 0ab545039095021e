//! Checks, complaints, calls of models and words of guards, each as a line.

use serde::Serialize;

use super::Tone;
use crate::clock::human;
use crate::diagnostic::{Diagnostic, Severity};
use crate::guards::{Finding, Weight};
use crate::models::Role;
use crate::models::ledger::Call;
use crate::outcome::{Outcome, TestStatus, Verdict};
use crate::redact::Redactor;
use crate::run::Run;
use crate::run::events::Phase;

/// One execution of a check.
#[derive(Debug, Serialize)]
pub(crate) struct CheckLine {
    seq: u64,
    phase: &'static str,
    name: String,
    command: String,
    pub(super) word: &'static str,
    pub(super) tone: Tone,
    took: String,
    tests: Option<String>,
    complaint: Option<String>,
    advice: Option<String>,
    has_log: bool,
}

/// One complaint of a tool.
#[derive(Debug, Serialize)]
pub(crate) struct Complaint {
    check: String,
    tool: String,
    code: Option<String>,
    message: String,
    place: Option<String>,
    error: bool,
}

/// A call of a model.
#[derive(Debug, Serialize)]
pub(crate) struct CallLine {
    provider: String,
    pub(super) model: String,
    pub(super) took: String,
    tokens: String,
    cost: Option<String>,
    system: String,
    turns: Vec<(String, String)>,
    answer: Option<String>,
    error: Option<String>,
}

/// What a guard said.
#[derive(Debug, Serialize)]
pub(crate) struct GuardLine {
    guard: String,
    place: String,
    reason: String,
    refuses: bool,
}

/// Complaints that are shown of one side of an attempt.
const COMPLAINTS: usize = 12;

impl CheckLine {
    pub(super) fn of(
        run: &Run,
        redactor: &Redactor,
        seq: u64,
        phase: Phase,
        outcome: &Outcome,
        round: u32,
    ) -> Self {
        let (word, tone) = match &outcome.verdict {
            Verdict::Green => ("green", Tone::Good),
            Verdict::Red => ("red", Tone::Bad),
            Verdict::Infra { .. } => ("cannot judge", Tone::Care),
        };
        let spec = &run.spec;
        let all = spec.checks.iter().chain(std::iter::once(&spec.goal));
        let known =
            all.chain(spec.setup.iter().map(|setup| &setup.check)).find(|check| check.name == outcome.check);
        let failed = outcome.tests.as_ref().map(|report| {
            let named = report.tests.values().filter(|how| **how == TestStatus::Failed).count() as u64;
            match (named.max(report.failed), report.ran()) {
                (0, 1) => "1 test".to_owned(),
                (0, ran) => format!("{ran} tests"),
                (failed, 1) => format!("{failed} of 1 test fails"),
                (failed, ran) => format!("{failed} of {ran} tests fail"),
            }
        });
        let (complaint, advice) = match &outcome.verdict {
            Verdict::Infra { reason, advice } => (Some(reason.clone()), Some(advice.clone())),
            Verdict::Red => (outcome.diagnostics.first().map(said), None),
            Verdict::Green => (None, None),
        };
        Self {
            seq,
            phase: match phase {
                Phase::Baseline | Phase::Proof if round > 1 => "again",
                _ => "",
            },
            name: outcome.check.clone(),
            command: known
                .map(|check| redactor.redact(&check.run.display()).into_owned())
                .unwrap_or_default(),
            word,
            tone,
            took: human(outcome.duration),
            tests: failed,
            complaint: complaint.map(|text| redactor.redact(&text).into_owned()),
            advice,
            has_log: outcome.log_bytes > 0,
        }
    }
}

impl CallLine {
    pub(super) fn of(redactor: &Redactor, call: &Call) -> Self {
        let clean = |text: &str| redactor.redact(text).into_owned();
        let turns = call.request.turns.iter().map(|turn| {
            let who = match turn.role {
                Role::User => "sent",
                Role::Assistant => "its earlier answer",
            };
            (who.to_owned(), clean(&turn.text))
        });
        Self {
            provider: call.provider.clone(),
            model: call.model.clone(),
            took: human(call.duration),
            tokens: call.usage.describe(),
            cost: call.cost.map(|cost| cost.to_string()),
            system: clean(&call.request.system),
            turns: turns.collect(),
            answer: call.answer.as_ref().ok().map(|answer| clean(&answer.text)),
            error: call.answer.as_ref().err().map(|why| clean(why)),
        }
    }
}

impl GuardLine {
    pub(super) fn of(finding: &Finding) -> Self {
        Self {
            guard: finding.guard.clone(),
            place: match finding.line {
                Some(line) => format!("{}:{line}", finding.path),
                None => finding.path.to_string(),
            },
            reason: finding.reason.clone(),
            refuses: finding.weight == Weight::Refuse,
        }
    }
}

fn said(diagnostic: &Diagnostic) -> String {
    match diagnostic.place() {
        Some(place) => format!("{place}: {}", diagnostic.message),
        None => diagnostic.message.clone(),
    }
}

pub(super) fn complaints(red: &[Outcome], redactor: &Redactor) -> (Vec<Complaint>, usize) {
    let all = red.iter().flat_map(|outcome| outcome.diagnostics.iter().map(move |one| (outcome, one)));
    let errors: Vec<_> = all.filter(|(_, one)| one.severity == Severity::Error).collect();
    let more = errors.len().saturating_sub(COMPLAINTS);
    let shown = errors.into_iter().take(COMPLAINTS).map(|(outcome, one)| Complaint {
        check: outcome.check.clone(),
        tool: one.tool.clone(),
        code: one.code.clone(),
        message: redactor.redact(&one.message).into_owned(),
        place: one.place(),
        error: one.severity == Severity::Error,
    });
    (shown.collect(), more)
}
