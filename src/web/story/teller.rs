//! Hears a run's events one by one.

use super::lines::{CallLine, CheckLine, GuardLine, complaints};
use super::{AttemptStory, Step, Tone};
use crate::clock::human;
use crate::outcome::Outcome;
use crate::policy::Risk;
use crate::redact::Redactor;
use crate::run::Run;
use crate::run::events::{Baseline, Decision, Event, Phase, Record};
use crate::store::short;
use crate::usage::{Money, Usage};
use crate::web::diff::diff;

pub(super) struct Teller<'r> {
    run: &'r Run,
    redactor: &'r Redactor,
    pub(super) steps: Vec<Step>,
    /// Rows of diffs that the page has room for.
    room: usize,
    /// The attempt that is under way, and since when.
    open: Option<(AttemptStory, jiff::Timestamp, Usage, Money)>,
    pub(super) doing: Option<String>,
    /// What is red now.
    red: Vec<Outcome>,
    /// Attempts that began, and those of them that had nothing to offer: these do not count for people.
    begun: u32,
    passed: u32,
}

impl<'r> Teller<'r> {
    pub(super) fn new(run: &'r Run, redactor: &'r Redactor, room: usize) -> Self {
        Self {
            run,
            redactor,
            steps: Vec::new(),
            room,
            open: None,
            doing: None,
            red: Vec::new(),
            begun: 0,
            passed: 0,
        }
    }

    fn clean(&self, text: &str) -> String {
        self.redactor.redact(text).into_owned()
    }

    fn note(&mut self, record: &Record, tone: Tone, text: String) {
        let since = record.at.duration_since(self.run.began).unsigned_abs();
        self.steps.push(Step::Note { at: human(since), text, tone });
    }

    pub(super) fn hear(&mut self, record: &Record) {
        match &record.event {
            Event::Submitted(_)
            | Event::Started(_)
            | Event::Guarded { .. }
            | Event::Proposed { .. }
            | Event::Asked { .. } => {}
            Event::CheckStarted { phase, check, command, .. } => {
                let name = if *check == self.run.spec.goal.name { command } else { check };
                self.doing = Some(format!("{}: {name}", doing(*phase)));
            }
            Event::AttemptStarted { fixer, .. } => {
                let number = self.begun + 1 - self.passed;
                let of = self.run.spec.max_attempts.map(|most| format!(" of {most}")).unwrap_or_default();
                self.doing = Some(format!("fixing (attempt {number}{of}, {fixer})"));
            }
            Event::Decided { .. } | Event::Checked { .. } | Event::Finished { .. } => self.doing = None,
            _ => {}
        }
        match &record.event {
            Event::Checked { phase, outcome, round } => self.checked(record.seq, *phase, outcome, *round),
            Event::AttemptStarted { attempt, fixer, .. } => {
                self.close(None);
                self.begun += 1;
                let (before, more_before) = complaints(&self.red, self.redactor);
                let story = AttemptStory {
                    number: *attempt,
                    shown: self.begun - self.passed,
                    fixer: fixer.clone(),
                    word: "under way",
                    tone: Some(Tone::Busy),
                    before,
                    more_before,
                    ..AttemptStory::default()
                };
                self.open = Some((story, record.at, Default::default(), Money(0)));
            }
            Event::Asked { call, .. } => {
                let line = CallLine::of(self.redactor, call);
                match &mut self.open {
                    Some((story, _, usage, cost)) => {
                        story.model = Some(call.model.clone());
                        story.calls.push(line);
                        *usage = *usage + call.usage;
                        *cost = *cost + call.cost.unwrap_or_default();
                    }
                    None => {
                        let text = format!("{} was asked for a plan, in {}", line.model, line.took);
                        self.note(record, Tone::Quiet, text);
                    }
                }
            }
            Event::Proposed { fixer, explanation, patch, alternatives, .. } => {
                let explanation = self.clean(explanation);
                let room = &mut self.room;
                if let Some((story, ..)) = &mut self.open {
                    story.fixer.clone_from(fixer);
                    story.explanation = explanation;
                    story.diff = diff(patch, room);
                    story.others = alternatives.len();
                }
            }
            Event::Guarded { findings, .. } => {
                if let Some((story, ..)) = &mut self.open {
                    story.guards = findings.iter().map(GuardLine::of).collect();
                }
            }
            Event::Decided { decision, reason, red, .. } => {
                let (word, tone) = match decision {
                    Decision::Green => ("green", Tone::Good),
                    Decision::Keep => ("kept", Tone::Good),
                    Decision::Drop => ("dropped", Tone::Bad),
                    Decision::Pass => ("passed on", Tone::Quiet),
                };
                let reason = self.clean(reason);
                let checked = self.open.as_ref().is_some_and(|(story, ..)| !story.checks.is_empty());
                let after = checked.then(|| complaints(red, self.redactor));
                if let Some((story, ..)) = &mut self.open {
                    (story.word, story.tone, story.reason) = (word, Some(tone), reason);
                    if let Some((after, more)) = after {
                        (story.after, story.more_after) = (Some(after), more);
                    }
                }
                self.passed += u32::from(*decision == Decision::Pass);
                if matches!(decision, Decision::Green | Decision::Keep) {
                    self.red.clone_from(red);
                }
                self.close(Some(record.at));
            }
            other => self.told(record, other),
        }
    }

    /// Events that are one line.
    fn told(&mut self, record: &Record, event: &Event) {
        use Tone::{Bad, Care, Good, Quiet};
        let (tone, text) = match event {
            Event::Baseline(found) => match found {
                Baseline::Green if self.run.proposed().is_some() => {
                    (Good, "nothing is worse than on the base".to_owned())
                }
                Baseline::Red if self.run.proposed().is_some() => {
                    (Bad, "worse than on the base, and again: the proposal broke it".to_owned())
                }
                Baseline::Green if self.run.is_feature() => {
                    (Good, "green: something is to be added".to_owned())
                }
                Baseline::Green => (Good, "green already: there is nothing to do".to_owned()),
                Baseline::Red => (Bad, "red, and red again: it is really broken".to_owned()),
                Baseline::Flaky { what } => (Care, format!("flaky, seen both ways: {}", what.join(", "))),
                Baseline::Infra { reason, advice } => (Care, format!("cannot be judged: {reason}. {advice}")),
            },
            Event::Resumed { why } => (Quiet, format!("taken up again: {why}")),
            Event::Allowed { budget, .. } => (Quiet, format!("{budget} allowed for the run")),
            Event::Prepared { reused: true, .. } => (Quiet, "setup reused from an earlier run".to_owned()),
            Event::Minimised { dropped, of, .. } if *of > 1 => match dropped {
                0 => (Quiet, format!("minimised: all {of} hunks are needed")),
                _ => (Quiet, format!("minimised: {dropped} of {of} hunks were not needed")),
            },
            Event::Proven { proof, .. } => {
                let rounds =
                    proof.checks.iter().filter(|one| one.check.name == self.run.spec.goal.name).count();
                let what = match self.run.proposed() {
                    Some(_) => "no check was worse than on the base",
                    None => "the goal was green",
                };
                (Good, format!("proven: {what} {rounds} of {rounds} times in fresh workspaces"))
            }
            Event::NotProven { reason } => (Bad, format!("not proven: {reason}")),
            Event::Assessed { assessment, terms, .. } => {
                let tone = match assessment.risk {
                    Risk::Green => Good,
                    Risk::Yellow => Care,
                    Risk::Red => Bad,
                };
                let (risk, ruling) = (assessment.risk.as_str(), terms.ruling.as_str());
                (tone, format!("risk {risk}: {ruling} in {}", terms.environment.as_str()))
            }
            Event::ApprovalNeeded { reasons, .. } => {
                (Care, format!("waits for a person: {}", reasons.join("; ")))
            }
            Event::Chosen { by, candidate } => {
                (Care, format!("candidate {candidate} was chosen by {by}; it is proven before it lands"))
            }
            Event::Approved { by, remark: None, .. } => (Good, format!("approved by {by}")),
            Event::Approved { by, remark: Some(remark), .. } => (Good, format!("approved by {by}: {remark}")),
            Event::Rejected { by, .. } => (Bad, format!("rejected by {by}")),
            Event::Halted { by, reason } => (Bad, format!("halted by {by}: {reason}")),
            Event::Moved { files, .. } => {
                (Care, format!("the tree moved meanwhile, proving again: {}", files.join(", ")))
            }
            Event::LandingStarted { .. } => return,
            Event::Landed { record: None } => (Good, "proven; it was to land nowhere".to_owned()),
            Event::Landed { record: Some(landed) } => (Good, format!("landed in {}", landed.place())),
            Event::Published { publication } => (Good, format!("pushed: {}", publication.told())),
            Event::Recovered { how } => (Quiet, format!("a landing that was cut off: {how}")),
            Event::Planned { .. } => (Good, "planned".to_owned()),
            Event::SubtaskDone { id, child, .. } => {
                (Good, format!("sub-task {id} done in run {}", short(child)))
            }
            Event::Warned { what, advice } => (Care, format!("{what}. {advice}")),
            Event::Stopped { why, .. } => (Bad, format!("stopped: {why}")),
            Event::RolledBack { how } => (Care, format!("rolled back: {how}")),
            Event::Finished { .. } => return,
            _ => return,
        };
        let text = self.clean(&text);
        self.note(record, tone, text);
    }

    fn checked(&mut self, seq: u64, phase: Phase, outcome: &Outcome, round: u32) {
        let line = CheckLine::of(self.run, self.redactor, seq, phase, outcome, round);
        if phase == Phase::Baseline {
            self.red.retain(|earlier| earlier.check != outcome.check);
            if !outcome.is_green() {
                self.red.push(outcome.clone());
            }
        }
        if let (Phase::Attempt | Phase::Reproduce, Some((story, ..))) = (phase, &mut self.open) {
            story.checks.push(line);
            return;
        }
        let title = match phase {
            Phase::Setup => "Setup",
            Phase::Base => "Base",
            Phase::Baseline if self.run.proposed().is_some() => "Proposal",
            Phase::Baseline => "Baseline",
            Phase::Attempt => "Verification",
            Phase::Reproduce => "Reproduction",
            Phase::Minimise => "Minimising",
            Phase::Proof => "Proof",
        };
        let (mut tone, mut word) = (line.tone, line.word.to_owned());
        if phase == Phase::Minimise {
            // Most of these are red on purpose: they ask what happens without a hunk.
            (tone, word) = (Tone::Quiet, String::new());
        }
        if let Some(Step::Checks { title: last, checks, tone: all, word: said, .. }) = self.steps.last_mut()
            && *last == title
        {
            checks.push(line);
            if tone == Tone::Bad || (*all == Tone::Good && tone != Tone::Good) {
                (*all, *said) = (tone, word);
            }
            return;
        }
        self.steps.push(Step::Checks { title, id: format!("s{seq}"), checks: vec![line], tone, word });
    }

    /// Ends the attempt that is under way, if one is.
    pub(super) fn close(&mut self, at: Option<jiff::Timestamp>) {
        let Some((mut story, began, usage, cost)) = self.open.take() else { return };
        if let Some(at) = at {
            story.took = Some(human(at.duration_since(began).unsigned_abs()));
        } else if self.run.finished.is_some()
            || self.run.attempts.last().is_none_or(|last| last.attempt != story.number)
        {
            (story.word, story.tone) = ("cut off", Some(Tone::Care));
        }
        if !story.calls.is_empty() {
            story.tokens = Some(usage.describe());
            story.cost = Some(cost.to_string());
        }
        let id = format!("a{}-{}", story.number, self.steps.len());
        self.steps.push(Step::Attempt { id, attempt: Box::new(story) });
    }
}

fn doing(phase: Phase) -> &'static str {
    match phase {
        Phase::Setup => "setting up",
        Phase::Base => "base",
        Phase::Baseline => "baseline",
        Phase::Attempt => "verifying",
        Phase::Reproduce => "reproducing",
        Phase::Minimise => "minimising",
        Phase::Proof => "proving",
    }
}
