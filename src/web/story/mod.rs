//! A run as people read it: its events as steps, each attempt with what it met, proposed and came to.

mod lines;
mod teller;

use serde::Serialize;

pub(crate) use lines::{CallLine, CheckLine, Complaint, GuardLine};

use super::diff::{self, FileDiff, diff};
use crate::clock::human;
use crate::redact::Redactor;
use crate::run::Run;
use crate::run::events::{Event, Record};
use teller::Teller;

/// How something went: a word for people and a class for its colour.
#[derive(Debug, Clone, Copy, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Tone {
    Good,
    Bad,
    Care,
    Busy,
    Quiet,
}

/// One attempt.
#[derive(Debug, Default, Serialize)]
pub(crate) struct AttemptStory {
    number: u32,
    /// Its number among those that had something to offer.
    shown: u32,
    fixer: String,
    model: Option<String>,
    word: &'static str,
    tone: Option<Tone>,
    reason: String,
    explanation: String,
    took: Option<String>,
    cost: Option<String>,
    tokens: Option<String>,
    before: Vec<Complaint>,
    after: Option<Vec<Complaint>>,
    more_before: usize,
    more_after: usize,
    diff: Vec<FileDiff>,
    /// Other patches that looked right.
    others: usize,
    guards: Vec<GuardLine>,
    checks: Vec<CheckLine>,
    calls: Vec<CallLine>,
}

/// One step of a run.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Step {
    /// Checks of one phase.
    Checks { title: &'static str, id: String, checks: Vec<CheckLine>, tone: Tone, word: String },
    /// An attempt.
    Attempt { id: String, attempt: Box<AttemptStory> },
    /// Something that is one line.
    Note { at: String, text: String, tone: Tone },
}

/// The whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Story {
    pub(crate) steps: Vec<Step>,
    /// What is being done now.
    pub(crate) doing: Option<String>,
    /// What the ladder has, and which rung is being asked: name, and `done`, `now` or `later`.
    pub(crate) ladder: Vec<(String, &'static str)>,
    pub(crate) diff: Vec<FileDiff>,
    /// What a person may choose from; empty where there is no choice.
    pub(crate) candidates: Vec<CandidateStory>,
    pub(crate) stat: (usize, usize, usize),
    pub(crate) proof: Option<ProofStory>,
    pub(crate) usage: Option<String>,
}

/// A green patch that may be chosen.
#[derive(Debug, Serialize)]
pub(crate) struct CandidateStory {
    number: usize,
    /// Its digest.
    patch: String,
    /// Whether it is the one that is kept.
    kept: bool,
    /// Why it did not hold.
    failed: Option<String>,
    stat: (usize, usize, usize),
    /// Nothing for the one that is kept: that is shown by itself.
    diff: Vec<FileDiff>,
}

fn candidates(run: &Run, room: &mut usize) -> Vec<CandidateStory> {
    let story = |(at, candidate): (usize, crate::run::Candidate)| {
        let kept = at + 1 == run.choice();
        let stat = candidate.patch.stat();
        CandidateStory {
            number: at + 1,
            patch: candidate.patch.digest(),
            kept,
            failed: candidate.failed,
            stat: (stat.files, stat.added, stat.removed),
            diff: if kept { Vec::new() } else { diff(&candidate.patch, room) },
        }
    };
    run.choices().into_iter().enumerate().map(story).collect()
}

/// What was proven.
#[derive(Debug, Serialize)]
pub(crate) struct ProofStory {
    checks: Vec<(String, String, bool, String, Option<u64>)>,
    patch: String,
    base: String,
    tests: Option<(u64, u64)>,
    sandbox: &'static str,
    tools: Vec<(String, String)>,
}

/// Tells a run's events.
pub(crate) fn tell(run: &Run, records: &[Record], redactor: &Redactor) -> Story {
    // What it came to is shown first, whatever was tried.
    let mut room = diff::PAGE;
    let result = diff(&run.result(), &mut room);
    let candidates = candidates(run, &mut room);
    let mut teller = Teller::new(run, redactor, room);
    for record in records {
        teller.hear(record);
    }
    teller.close(None);
    let usage = records.iter().filter_map(|record| match &record.event {
        Event::Asked { call, .. } => Some(call.usage),
        _ => None,
    });
    let usage = usage.reduce(|sum, one| sum + one).map(|usage| usage.describe());
    let over = run.finished.is_some();
    let rung = |(at, rung): (usize, &crate::run::events::Rung)| {
        let stands = match at.cmp(&run.rung) {
            std::cmp::Ordering::Less => "done",
            std::cmp::Ordering::Equal if !over && run.baseline.is_some() => "now",
            std::cmp::Ordering::Equal if run.green || run.proof.is_some() => "done",
            _ => "later",
        };
        (rung.fixer.clone(), stands)
    };
    let stat = run.result().stat();
    Story {
        steps: teller.steps,
        doing: teller.doing.filter(|_| !over),
        ladder: run.spec.ladder.iter().enumerate().map(rung).collect(),
        diff: result,
        candidates,
        stat: (stat.files, stat.added, stat.removed),
        proof: run.proof.as_ref().map(|proof| proven(run, proof, redactor)),
        usage,
    }
}

fn proven(run: &Run, proof: &crate::run::events::Proof, redactor: &Redactor) -> ProofStory {
    let check = |one: &crate::run::events::Proven| {
        let name =
            if one.check.name == run.spec.goal.name { "goal".to_owned() } else { one.check.name.clone() };
        (
            name,
            redactor.redact(&one.check.run.display()).into_owned(),
            one.green,
            human(one.duration),
            one.tests,
        )
    };
    ProofStory {
        checks: proof.checks.iter().map(check).collect(),
        patch: proof.patch.clone(),
        base: proof.base.clone(),
        tests: proof.tests_before.zip(proof.tests_after),
        sandbox: proof.sandbox.as_str(),
        tools: proof.tools.iter().map(|(name, version)| (name.clone(), version.clone())).collect(),
    }
}
