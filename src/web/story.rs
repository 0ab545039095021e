//! A run as people read it: its events as steps, each attempt with what it met, proposed and came to.

use serde::Serialize;

use super::diff::{FileDiff, diff};
use crate::clock::human;
use crate::diagnostic::{Diagnostic, Severity};
use crate::guards::Weight;
use crate::outcome::{Outcome, Verdict};
use crate::redact::Redactor;
use crate::run::Run;
use crate::run::events::{Baseline, Decision, Event, Phase, Record};
use crate::store::short;
use crate::usage::Money;

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

/// One execution of a check.
#[derive(Debug, Serialize)]
pub(crate) struct CheckLine {
    seq: u64,
    phase: &'static str,
    name: String,
    command: String,
    word: &'static str,
    tone: Tone,
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
    model: String,
    took: String,
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
    pub(crate) stat: (usize, usize, usize),
    pub(crate) proof: Option<ProofStory>,
    pub(crate) usage: Option<String>,
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

/// Complaints that are shown of one side of an attempt.
const COMPLAINTS: usize = 12;
/// Tells a run's events.
pub(crate) fn tell(run: &Run, records: &[Record], redactor: &Redactor) -> Story {
    let mut teller = Teller {
        run,
        redactor,
        steps: Vec::new(),
        open: None,
        doing: None,
        red: Vec::new(),
        begun: 0,
        passed: 0,
    };
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
        diff: diff(&run.result()),
        stat: (stat.files, stat.added, stat.removed),
        proof: run.proof.as_ref().map(|proof| proven(run, proof)),
        usage,
    }
}

fn proven(run: &Run, proof: &crate::run::events::Proof) -> ProofStory {
    let check = |one: &crate::run::events::Proven| {
        let name =
            if one.check.name == run.spec.goal.name { "goal".to_owned() } else { one.check.name.clone() };
        (name, one.check.run.display(), one.green, human(one.duration), one.tests)
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

struct Teller<'r> {
    run: &'r Run,
    redactor: &'r Redactor,
    steps: Vec<Step>,
    /// The attempt that is under way, and since when.
    open: Option<(AttemptStory, jiff::Timestamp, crate::usage::Usage, Money)>,
    doing: Option<String>,
    /// What is red now.
    red: Vec<Outcome>,
    /// Attempts that began, and those of them that had nothing to offer: these do not count for people.
    begun: u32,
    passed: u32,
}

impl Teller<'_> {
    fn clean(&self, text: &str) -> String {
        self.redactor.redact(text).into_owned()
    }

    fn note(&mut self, record: &Record, tone: Tone, text: String) {
        let since = record.at.duration_since(self.run.began).unsigned_abs();
        self.steps.push(Step::Note { at: human(since), text, tone });
    }

    fn hear(&mut self, record: &Record) {
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
            Event::AttemptStarted { fixer, .. } => self.doing = Some(format!("asking {fixer}")),
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
                let line = self.call(call);
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
            Event::Proposed { fixer, explanation, patch, .. } => {
                let explanation = self.clean(explanation);
                if let Some((story, ..)) = &mut self.open {
                    story.fixer.clone_from(fixer);
                    story.explanation = explanation;
                    story.diff = diff(patch);
                }
            }
            Event::Guarded { findings, .. } => {
                let line = |finding: &crate::guards::Finding| GuardLine {
                    guard: finding.guard.clone(),
                    place: match finding.line {
                        Some(line) => format!("{}:{line}", finding.path),
                        None => finding.path.to_string(),
                    },
                    reason: finding.reason.clone(),
                    refuses: finding.weight == Weight::Refuse,
                };
                if let Some((story, ..)) = &mut self.open {
                    story.guards = findings.iter().map(line).collect();
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
                (Good, format!("proven: the goal was green {rounds} of {rounds} times in fresh workspaces"))
            }
            Event::NotProven { reason } => (Bad, format!("not proven: {reason}")),
            Event::ApprovalNeeded { reasons } => {
                (Care, format!("waits for a person: {}", reasons.join("; ")))
            }
            Event::Approved { by } => (Good, format!("approved by {by}")),
            Event::Moved { files, .. } => {
                (Care, format!("the tree moved meanwhile, proving again: {}", files.join(", ")))
            }
            Event::LandingStarted { .. } => return,
            Event::Landed { record: None } => (Good, "proven; it was to land nowhere".to_owned()),
            Event::Landed { record: Some(landed) } => (Good, format!("landed in {}", landed.place())),
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
        let line = self.check(seq, phase, outcome, round);
        if phase == Phase::Baseline {
            self.red.retain(|earlier| earlier.check != outcome.check);
            if !outcome.is_green() {
                self.red.push(outcome.clone());
            }
        }
        if let (Phase::Attempt, Some((story, ..))) = (phase, &mut self.open) {
            story.checks.push(line);
            return;
        }
        let title = match phase {
            Phase::Setup => "Setup",
            Phase::Base => "Base",
            Phase::Baseline if self.run.proposed().is_some() => "Proposal",
            Phase::Baseline => "Baseline",
            Phase::Attempt => "Verification",
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

    fn check(&self, seq: u64, phase: Phase, outcome: &Outcome, round: u32) -> CheckLine {
        let (word, tone) = match &outcome.verdict {
            Verdict::Green => ("green", Tone::Good),
            Verdict::Red => ("red", Tone::Bad),
            Verdict::Infra { .. } => ("cannot judge", Tone::Care),
        };
        let spec = &self.run.spec;
        let all = spec.checks.iter().chain(std::iter::once(&spec.goal));
        let known =
            all.chain(spec.setup.iter().map(|setup| &setup.check)).find(|check| check.name == outcome.check);
        let failed = outcome.tests.as_ref().map(|report| {
            let named =
                report.tests.values().filter(|how| **how == crate::outcome::TestStatus::Failed).count()
                    as u64;
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
        CheckLine {
            seq,
            phase: match phase {
                Phase::Baseline if round > 1 => "again",
                Phase::Proof if round > 1 => "again",
                _ => "",
            },
            name: outcome.check.clone(),
            command: known.map(|check| check.run.display()).unwrap_or_default(),
            word,
            tone,
            took: human(outcome.duration),
            tests: failed,
            complaint: complaint.map(|text| self.clean(&text)),
            advice,
            has_log: outcome.log_bytes > 0,
        }
    }

    fn call(&self, call: &crate::models::ledger::Call) -> CallLine {
        let turns = call.request.turns.iter().map(|turn| {
            let who = match turn.role {
                crate::models::Role::User => "sent",
                crate::models::Role::Assistant => "its earlier answer",
            };
            (who.to_owned(), self.clean(&turn.text))
        });
        CallLine {
            provider: call.provider.clone(),
            model: call.model.clone(),
            took: human(call.duration),
            tokens: call.usage.describe(),
            cost: call.cost.map(|cost| cost.to_string()),
            system: self.clean(&call.request.system),
            turns: turns.collect(),
            answer: call.answer.as_ref().ok().map(|answer| self.clean(&answer.text)),
            error: call.answer.as_ref().err().map(|why| self.clean(why)),
        }
    }

    /// Ends the attempt that is under way, if one is.
    fn close(&mut self, at: Option<jiff::Timestamp>) {
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
        Phase::Minimise => "minimising",
        Phase::Proof => "proving",
    }
}

fn said(diagnostic: &Diagnostic) -> String {
    match diagnostic.place() {
        Some(place) => format!("{place}: {}", diagnostic.message),
        None => diagnostic.message.clone(),
    }
}

fn complaints(red: &[Outcome], redactor: &Redactor) -> (Vec<Complaint>, usize) {
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
