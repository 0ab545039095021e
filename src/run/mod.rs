//! The run's state machine: pure transitions over events.
//!
//! A run is durable because nothing is known about it that is not in its events. [`Run::apply`] folds them, [`Run::next`] says what is to be
//! done; the loop in [`crate::heal`] does it and records what came of it. A process that dies loses at most the step it was in, and another
//! one goes on from [`Run::next`].

pub mod account;
mod approval;
mod candidates;
pub mod events;
pub mod incident;
pub mod journal;
pub mod postmortem;
pub mod proposal;
pub mod queued;
pub mod sarif;

use std::collections::BTreeSet;

use jiff::Timestamp;

pub use candidates::{Candidate, SetAside};

use crate::diagnostic::{Diagnostic, Severity};
use crate::fault::{Exit, Fault};
use crate::fixers::Tried;
use crate::outcome::Outcome;
use crate::patch::Patch;
use crate::policy::{Assessment, Terms};
use crate::store::short;
use crate::usage::{Money, Usage};
use crate::verify::compare::{Beside, Tests, beside};
use events::{Baseline, Decision, Event, Phase, Proof, Question, Record, Rung, Spec, StopRule, Trigger};

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Find out whether the goal is really red.
    Baseline,
    /// Ask the fixer of this rung.
    Attempt {
        /// The rung, from 0.
        rung: usize,
    },
    /// Drop needless hunks, and prove what is left in a fresh workspace.
    Prove,
    /// Bring the proven patch to where it should go.
    Land,
    /// A landing was cut off: complete it or take it back.
    Recover,
    /// Push what landed, and have a pull request for it.
    Publish,
    /// Remember what worked, and finish.
    Learn,
    /// A person has to approve first.
    Wait,
    /// Stop for this reason.
    Stop {
        /// The rule.
        rule: StopRule,
        /// Why, in words.
        why: String,
    },
    /// Everything is recorded; only the end is missing.
    Finish(Exit),
    /// The run is over.
    Done(Exit),
}

/// One attempt, as it is known so far.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptState {
    /// From 1.
    pub attempt: u32,
    /// The rung, from 0.
    pub rung: usize,
    /// The fixer; its label once it proposed.
    pub fixer: String,
    /// The proposal.
    pub patch: Option<Patch>,
    /// The fixer's words.
    pub explanation: String,
    /// Other patches that looked right.
    pub alternatives: Vec<Patch>,
    /// What guards found.
    pub findings: Vec<crate::guards::Finding>,
    /// What became of it.
    pub decision: Option<(Decision, String)>,
    /// What was red after it.
    pub red: Vec<Outcome>,
    /// The model that was asked, if one was.
    pub model: Option<String>,
    /// What its model calls used.
    pub usage: Usage,
    /// What its model calls cost.
    pub cost: Money,
    /// When it began.
    pub began: Timestamp,
    /// When it was decided.
    pub ended: Option<Timestamp>,
}

/// A run, folded from its events.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// What it was asked to do.
    pub spec: Spec,
    /// The last event's place.
    pub seq: u64,
    /// When it began.
    pub began: Timestamp,
    /// When its last event was recorded.
    pub last: Timestamp,
    /// When the process that has it now took it up.
    pub taken_up: Timestamp,
    /// Wall time that earlier processes worked on it, as far as it counts against its limit.
    pub worked: std::time::Duration,
    /// Attempts that count no more against the limit: those made before a person let the run go on beyond it.
    pub forgiven: usize,
    /// When that was last, or when the run began: a ticket counts the attempts of its sub-tasks that began since.
    pub fresh: Timestamp,
    /// The layer that the setup made, if one was needed.
    pub prepared: Option<String>,
    /// What the baseline found.
    pub baseline: Option<Baseline>,
    /// The checks' outcomes on a proposal's base without the proposal, the last of each: what is red there is not held against it.
    pub without: Vec<Outcome>,
    /// The checks' outcomes on the untouched tree (a proposal's own changes are part of that): the last of each.
    pub before: Vec<Outcome>,
    /// The changes kept so far, on top of [`Run::start`].
    pub kept: Patch,
    /// What package managers wrote into lock files for patches that change manifests.
    pub locks: Patch,
    /// What is red with `kept` applied.
    pub red: Vec<Outcome>,
    /// The attempts, oldest first.
    pub attempts: Vec<AttemptState>,
    /// The rung to ask next.
    pub rung: usize,
    /// Tries at that rung so far, partial successes not counted.
    pub tries: u32,
    /// Whether `kept` is green and waits for its proof.
    pub green: bool,
    /// The green patches that a person may choose among ([`Run::choices`]).
    candidates: Vec<Candidate>,
    /// Which of them is kept, from 0.
    chosen: usize,
    /// What waited before another one was chosen.
    set_aside: Option<SetAside>,
    /// Whether the patch was minimised.
    pub minimised: bool,
    /// The proof.
    pub proof: Option<Proof>,
    /// How risky what was kept is, and what policy says of it.
    pub assessed: Option<(Assessment, Terms)>,
    /// Why a person has to look: what guards say of the whole patch, checks that nobody can compare, and policy.
    pub approval: Vec<String>,
    /// What people were asked last.
    pub question: Option<Question>,
    /// Who agreed to it, and to the patch with which digest: another one needs to be looked at again.
    pub agreed: Vec<(String, String)>,
    /// A landing that has begun.
    pub landing: Option<crate::landing::Record>,
    /// The landing; `Some(None)` where the proven patch was to go nowhere.
    pub landed: Option<Option<crate::landing::Record>>,
    /// What was published of it, the last time.
    pub published: Option<crate::forge::Publication>,
    /// How often the tree moved under the run.
    pub moves: usize,
    /// Why it stopped without a green tree, and where to look.
    pub stopped: Option<(StopRule, String, Vec<String>)>,
    /// What a person should know, and what to do about it, each once.
    pub warnings: Vec<(String, String)>,
    /// How the landing was taken back.
    pub rolled_back: Option<String>,
    /// What models cost so far, in a ticket's finished sub-tasks too.
    pub spent: Money,
    /// What they cost in this very run.
    pub own: Money,
    /// How long commands of the repo ran; what is left of the run's time is Regreen's own.
    pub ran: std::time::Duration,
    /// How long processes worked on it that came to an end; the time of one that was cut off is not known.
    pub took: std::time::Duration,
    /// A ticket's plan.
    pub plan: Option<serde_json::Value>,
    /// A ticket's finished sub-tasks: number, run, commit.
    pub subtasks: Vec<(String, String, Option<String>)>,
    /// How it ended.
    pub finished: Option<Exit>,
}

impl Run {
    /// Folds a run's events, which must begin with `started`, or with `submitted` and then `started`.
    ///
    /// # Errors
    /// A [`Fault`] where the run waits in the queue or was cancelled there; else where the events begin with another one.
    pub fn fold(records: &[Record]) -> anyhow::Result<Self> {
        let begun = records.iter().position(|record| !matches!(record.event, Event::Submitted(_)));
        let Some((first, rest)) = records[begun.unwrap_or(records.len())..].split_first() else {
            let Some(last) = records.last() else { anyhow::bail!("the run has no events") };
            return Err(Fault::usage(format!(
                "run {} waits in the queue and has not begun",
                short(&last.run)
            ))
            .hint("`regreen worker` begins what waits, `regreen runs` shows how it stands")
            .into());
        };
        if let (true, Event::Stopped { why, .. }) = (first.seq > 1, &first.event) {
            return Err(Fault::usage(format!("run {} ended before it began: {why}", short(&first.run)))
                .hint("`regreen retry` submits it again")
                .into());
        }
        let Event::Started(spec) = &first.event else {
            anyhow::bail!("the run's first event is {}, not started", first.event.kind());
        };
        let mut run = Run { seq: first.seq, ..Run::new(&first.run, spec, first.at) };
        for record in rest {
            run.apply(record);
        }
        Ok(run)
    }

    /// A run that has just begun.
    pub fn new(id: &str, spec: &Spec, at: Timestamp) -> Self {
        Run {
            id: id.to_owned(),
            spec: spec.clone(),
            seq: 1,
            began: at,
            last: at,
            taken_up: at,
            worked: std::time::Duration::ZERO,
            forgiven: 0,
            fresh: at,
            prepared: None,
            baseline: None,
            without: Vec::new(),
            before: Vec::new(),
            kept: Patch::new(),
            locks: Patch::new(),
            red: Vec::new(),
            attempts: Vec::new(),
            rung: 0,
            tries: 0,
            green: false,
            candidates: Vec::new(),
            chosen: 0,
            set_aside: None,
            minimised: false,
            proof: None,
            assessed: None,
            approval: Vec::new(),
            question: None,
            agreed: Vec::new(),
            landing: None,
            landed: None,
            published: None,
            moves: 0,
            stopped: None,
            warnings: Vec::new(),
            rolled_back: None,
            spent: Money(0),
            own: Money(0),
            ran: std::time::Duration::ZERO,
            took: std::time::Duration::ZERO,
            plan: None,
            subtasks: Vec::new(),
            finished: None,
        }
    }

    /// Takes one more event into account.
    pub fn apply(&mut self, record: &Record) {
        let before = std::mem::replace(&mut self.last, record.at);
        self.seq = record.seq;
        match &record.event {
            Event::Submitted(_) | Event::Started(_) | Event::CheckStarted { .. } => {}
            Event::Resumed { .. } => {
                // A limit or a passing fault that stopped the run is given a fresh chance; the steps already taken stay. The time between
                // two processes counts for nothing.
                self.worked += passed(self.taken_up, before);
                self.taken_up = record.at;
                self.attempts.retain(|attempt| attempt.decision.is_some());
                match self.stopped.take() {
                    // What stopped it for good holds: only its end was not written any more.
                    Some(stopped) if !stopped.0.can_go_on() => self.stopped = Some(stopped),
                    Some((StopRule::Time, ..)) => self.worked = std::time::Duration::ZERO,
                    Some((StopRule::Attempts, ..)) => {
                        self.forgiven = self.counted();
                        self.fresh = record.at;
                    }
                    _ => {}
                }
                self.finished = None;
            }
            Event::Allowed { budget, configured, max_attempts, timeout } => {
                self.spec.budget = *budget;
                self.spec.configured = *configured;
                self.spec.max_attempts = max_attempts.or(self.spec.max_attempts);
                self.spec.timeout = timeout.or(self.spec.timeout);
            }
            Event::Prepared { layer, .. } => self.prepared = Some(layer.clone()),
            Event::Checked { phase, outcome, .. } => self.checked(*phase, outcome),
            Event::Baseline(baseline) => {
                self.baseline = Some(baseline.clone());
                self.red = self.red_before();
                self.aim();
                // A proposal that breaks nothing has only to be proven.
                self.green = self.proposed().is_some() && *baseline == Baseline::Green;
            }
            Event::AttemptStarted { attempt, rung, fixer } => {
                self.rung = *rung;
                self.attempts.push(AttemptState::new(*attempt, *rung, fixer, record.at));
            }
            Event::Asked { call, .. } => {
                let cost = call.cost.unwrap_or_default();
                self.spent = self.spent + cost;
                self.own = self.own + cost;
                if let Some(attempt) = self.attempts.last_mut() {
                    attempt.cost = attempt.cost + cost;
                    attempt.model = Some(call.model.clone());
                    attempt.usage = attempt.usage + call.usage;
                }
            }
            Event::Proposed { fixer, explanation, patch, alternatives, .. } => {
                if let Some(attempt) = self.attempts.last_mut() {
                    attempt.fixer.clone_from(fixer);
                    attempt.explanation.clone_from(explanation);
                    attempt.patch = Some(patch.clone());
                    attempt.alternatives.clone_from(alternatives);
                }
            }
            Event::Installed { locks, .. } => {
                self.locks = self.locks.then(locks);
                if self.attempts.is_empty() {
                    // What a proposal itself makes manifests ask for.
                    self.kept = self.kept.then(locks);
                }
                if let Some(patch) = self.attempts.last_mut().and_then(|attempt| attempt.patch.as_mut()) {
                    *patch = patch.then(locks);
                }
            }
            Event::Guarded { findings, .. } => {
                if let Some(attempt) = self.attempts.last_mut() {
                    attempt.findings.clone_from(findings);
                }
            }
            Event::Decided { decision, reason, red, .. } => self.decided(*decision, reason, red, record.at),
            Event::Minimised { patch, approval, .. } => {
                self.kept = patch.clone();
                self.approval.clone_from(approval);
                self.assessed = None;
                self.minimised = true;
            }
            Event::Assessed { assessment, terms, .. } => self.assessed(assessment, terms),
            Event::Proven { proof, doubts } => {
                // Who agreed before it was proven did not know of these.
                if doubts.iter().any(|doubt| !self.approval.contains(doubt)) {
                    self.ask_again();
                }
                self.proof = Some((**proof).clone());
                self.approval.retain(|reason| !doubts.contains(reason));
                self.approval.extend(doubts.iter().cloned());
                if self.proposed().is_some() && !self.approval.iter().any(|reason| reason == proposal::WAITS)
                {
                    self.approval.push(proposal::WAITS.to_owned());
                }
            }
            Event::NotProven { reason } => {
                if !self.fall_back(reason) {
                    self.not_proven(reason);
                }
            }
            Event::ApprovalNeeded { reasons, question } => {
                // A ticket's run waits for what its sub-task waits for.
                self.approval.clone_from(reasons);
                self.question.clone_from(question);
                self.agreed.clear();
                self.finished = None;
            }
            Event::Chosen { by, candidate } => self.choose(*candidate, by),
            Event::Approved { by, patch, .. } => {
                let patch = patch.clone().unwrap_or_else(|| self.result().digest());
                self.agreed.push((by.clone(), patch));
                // A proposal that is agreed to lands when somebody says so.
                if self.is_agreed() && self.proposed().is_none() {
                    self.finished = None;
                }
            }
            Event::Rejected { .. } | Event::Halted { .. } => {}
            Event::Moved { from, base, hidden, .. } => {
                self.spec.from = (**from).clone();
                self.spec.base = base.clone();
                self.spec.hidden.clone_from(hidden);
                self.moves += 1;
                self.proof = None;
                self.landing = None;
                self.unprove_set_aside();
            }
            Event::LandingStarted { record } => self.landing = Some((**record).clone()),
            Event::Landed { record } => self.landed = Some(record.as_deref().cloned()),
            Event::Published { publication } => self.published = Some((**publication).clone()),
            Event::Recovered { how } => {
                if how != "completed" {
                    self.landing = None;
                }
            }
            Event::Planned { plan } => self.plan = Some(plan.clone()),
            Event::SubtaskDone { id, child, commit, cost } => {
                self.spent = self.spent + *cost;
                self.subtasks.push((id.clone(), child.clone(), commit.clone()));
            }
            Event::Stopped { rule, why, look_at } => {
                self.stopped = Some((*rule, why.clone(), look_at.clone()))
            }
            Event::Warned { what, advice } => {
                let warning = (what.clone(), advice.clone());
                if !self.warnings.contains(&warning) {
                    self.warnings.push(warning);
                }
            }
            Event::RolledBack { how } => self.rolled_back = Some(how.clone()),
            Event::Finished { exit, ran } => {
                self.finished = Some(*exit);
                self.ran += *ran;
                self.took += passed(self.taken_up, record.at);
            }
        }
    }

    /// What is to be done now.
    pub fn next(&self) -> Step {
        if let Some(exit) = self.finished {
            return Step::Done(exit);
        }
        if let Some((rule, ..)) = &self.stopped {
            return Step::Finish(exit_of(*rule));
        }
        if let Some(landed) = &self.landed {
            let due = landed.is_some() && self.is_public() && self.published.is_none();
            return if due { Step::Publish } else { Step::Learn };
        }
        if self.landing.is_some() {
            return Step::Recover;
        }
        match &self.baseline {
            None => return Step::Baseline,
            Some(Baseline::Green) if !self.is_feature() && self.proposed().is_none() => {
                return Step::Finish(Exit::Green);
            }
            Some(Baseline::Flaky { .. } | Baseline::Infra { .. }) => return Step::Finish(Exit::CannotJudge),
            Some(Baseline::Green | Baseline::Red) => {}
        }
        if self.proof.is_some() {
            return match self.denied() {
                Some(why) => Step::Stop { rule: StopRule::Denied, why },
                None if self.awaits_approval() => Step::Wait,
                None => Step::Land,
            };
        }
        if self.green {
            return Step::Prove;
        }
        self.next_attempt()
    }

    /// Whether the tree is green and something is to be added, instead of red and to be repaired.
    pub fn is_feature(&self) -> bool {
        matches!(self.spec.trigger, Trigger::Subtask { .. } | Trigger::Incident { replay: false, .. })
    }

    /// Whether what lands is pushed, too.
    pub fn is_public(&self) -> bool {
        self.spec.land == "pr" || self.spec.land.starts_with("pr=")
    }

    /// Whether the run may still go on: it is under way or was cut off, waits for a person, or stopped by something that may pass.
    pub fn may_go_on(&self) -> bool {
        self.finished.is_none()
            || self.awaits_approval()
            || self.stopped.as_ref().is_some_and(|(rule, ..)| rule.can_go_on())
    }

    /// What was wrong: the first error of the untouched tree that names a file of the project's own, or the first at all.
    pub fn cause(&self) -> Option<&Diagnostic> {
        let errors = || {
            let all = self.before.iter().flat_map(|outcome| &outcome.diagnostics);
            all.filter(|one| one.severity == Severity::Error)
        };
        errors().find(|one| one.is_own()).or_else(|| errors().next())
    }

    /// How many errors the goal's tools told of on the untouched tree.
    pub fn complaints(&self) -> usize {
        let goal = self.before.iter().find(|outcome| outcome.check == self.spec.goal.name);
        let errors = |outcome: &Outcome| {
            outcome.diagnostics.iter().filter(|one| one.severity == Severity::Error).count()
        };
        goal.map_or(0, errors)
    }

    /// What a proposal changes, where the run is for one.
    pub fn proposed(&self) -> Option<&Patch> {
        match &self.spec.trigger {
            Trigger::Proposal { patch, .. } => Some(patch),
            _ => None,
        }
    }

    /// The changes on disk's tree that the run starts from: its base, with the proposal where it is for one.
    pub fn start(&self) -> Patch {
        match self.proposed() {
            Some(patch) => self.spec.base.then(patch),
            None => self.spec.base.clone(),
        }
    }

    /// The changes on disk's tree that the next attempt starts from.
    pub fn base(&self) -> Patch {
        self.start().then(&self.kept)
    }

    /// All that the run would land: what it keeps, on top of the proposal where it is for one.
    pub fn result(&self) -> Patch {
        match self.proposed() {
            Some(patch) => patch.then(&self.kept),
            None => self.kept.clone(),
        }
    }

    /// What is held against a proposal of what a check came to with it: why that is worse than on its base. `None` for other runs.
    pub fn held(&self, after: &Outcome) -> Option<String> {
        self.proposed()?;
        let before = self.without.iter().find(|outcome| outcome.check == after.check);
        match beside(before, after, Tests::MayGo) {
            Beside::Worse(why) => Some(why),
            Beside::Fine | Beside::Doubtful(_) => None,
        }
    }

    /// What of the untouched tree is to become green.
    fn red_before(&self) -> Vec<Outcome> {
        let proposed = self.proposed().is_some();
        let counts =
            |outcome: &&Outcome| if proposed { self.held(outcome).is_some() } else { !outcome.is_green() };
        self.before.iter().filter(counts).cloned().collect()
    }

    /// The goal of a proposal's run is the first check that is worse than on its base.
    fn aim(&mut self) {
        let Some(first) = self.red.first().filter(|_| self.proposed().is_some()) else { return };
        if self.red.iter().any(|outcome| outcome.check == self.spec.goal.name) {
            return;
        }
        if let Some(check) = self.spec.checks.iter_mut().find(|check| check.name == first.check) {
            std::mem::swap(check, &mut self.spec.goal);
        }
    }

    /// What is to be told to the next fixer of what was tried.
    pub fn history(&self) -> Vec<Tried> {
        let decided = self.attempts.iter().filter_map(|attempt| {
            let (decision, reason) = attempt.decision.as_ref()?;
            if *decision == Decision::Pass {
                return None;
            }
            Some(Tried {
                fixer: attempt.fixer.clone(),
                patch: attempt.patch.clone().unwrap_or_default(),
                explanation: attempt.explanation.clone(),
                result: reason.clone(),
                red: attempt.red.clone(),
                kept: *decision == Decision::Keep,
            })
        });
        decided.collect()
    }

    /// The labels of the fixers whose patches are part of what is kept, for the trailer.
    pub fn credited(&self) -> Vec<String> {
        let kept = self.attempts.iter().filter(|attempt| attempt.worked());
        let labels: BTreeSet<String> = kept.map(|attempt| attempt.fixer.clone()).collect();
        labels.into_iter().collect()
    }

    fn checked(&mut self, phase: Phase, outcome: &Outcome) {
        let known = match phase {
            Phase::Base => &mut self.without,
            Phase::Baseline => &mut self.before,
            _ => return,
        };
        // In its place, so that the goal stays first: what is said of the run begins with it.
        match known.iter_mut().find(|earlier| earlier.check == outcome.check) {
            Some(earlier) => *earlier = outcome.clone(),
            None => known.push(outcome.clone()),
        }
    }

    fn decided(&mut self, decision: Decision, reason: &str, red: &[Outcome], at: Timestamp) {
        let Some(attempt) = self.attempts.last_mut() else { return };
        attempt.decision = Some((decision, reason.to_owned()));
        attempt.red = red.to_vec();
        attempt.ended = Some(at);
        let attempt = attempt.clone();
        let patch = attempt.patch.clone().unwrap_or_default();
        match decision {
            Decision::Keep | Decision::Green => {
                let before = std::mem::take(&mut self.kept);
                match decision {
                    Decision::Green => self.offer(&before, &attempt),
                    _ => self.candidates.clear(),
                }
                self.kept = before.then(&patch);
                self.red = red.to_vec();
                self.green = decision == Decision::Green;
                self.minimised = false;
                self.aim();
                // Progress earns a fixer that costs nothing another try; a model's tries are counted whatever they bring.
                if self.spec.ladder.get(self.rung).is_some_and(|rung| rung.model) {
                    self.tried();
                }
            }
            Decision::Drop => self.tried(),
            Decision::Pass => self.pass(),
        }
    }

    /// Counts a try of the rung in force, and goes on to the next one where that was its last.
    fn tried(&mut self) {
        self.tries += 1;
        if self.spec.ladder.get(self.rung).is_some_and(|rung| self.tries >= rung.attempts) {
            self.pass();
        }
    }

    fn pass(&mut self) {
        self.rung += 1;
        self.tries = 0;
    }

    fn not_proven(&mut self, reason: &str) {
        self.green = false;
        self.kept = Patch::new();
        self.candidates.clear();
        self.chosen = 0;
        self.minimised = false;
        self.approval.clear();
        self.assessed = None;
        self.red = self.red_before();
        self.aim();
        // All that was kept goes, so nobody is credited with a part of it.
        for attempt in self.attempts.iter_mut().filter(|attempt| attempt.worked()) {
            attempt.decision = Some((Decision::Drop, reason.to_owned()));
        }
        // What looked green was no progress after all: a fixer that costs nothing must not offer it for ever. A model's try was counted when
        // it was made.
        let rung = self.attempts.last().map(|attempt| attempt.rung);
        if rung == Some(self.rung) && self.spec.ladder.get(self.rung).is_some_and(|rung| !rung.model) {
            self.tried();
        }
    }

    /// The attempts that had something to offer.
    pub fn counted(&self) -> usize {
        self.offered().count()
    }

    /// Those of them that began at `moment` or later.
    pub fn counted_since(&self, moment: Timestamp) -> usize {
        self.offered().filter(|attempt| attempt.began >= moment).count()
    }

    fn offered(&self) -> impl Iterator<Item = &AttemptState> {
        self.attempts.iter().filter(|a| !matches!(a.decision, Some((Decision::Pass, _))))
    }

    fn next_attempt(&self) -> Step {
        let stop = |rule, why: String| Step::Stop { rule, why };
        if self.spec.dry_run {
            return stop(StopRule::DryRun, "only the baseline was asked for".into());
        }
        if self.proposed().is_some() && self.red.is_empty() {
            return stop(StopRule::Fault, "its checks were green, and were not when they ran again".into());
        }
        if let Some(most) = self.spec.max_attempts
            && self.counted().saturating_sub(self.forgiven) >= most as usize
        {
            return stop(StopRule::Attempts, all_made(most));
        }
        if let Some(repeated) = self.repeated() {
            return repeated;
        }
        match self.spec.ladder.get(self.rung) {
            Some(_) => Step::Attempt { rung: self.rung },
            None => stop(StopRule::LadderExhausted, exhausted(&self.spec.ladder)),
        }
    }

    /// The stop rules against loops: a model's patch that was proposed before, and the same diagnostics after two of its attempts.
    fn repeated(&self) -> Option<Step> {
        let by_model =
            |attempt: &&AttemptState| self.spec.ladder.get(attempt.rung).is_some_and(|rung| rung.model);
        let models: Vec<&AttemptState> = self.attempts.iter().filter(by_model).collect();
        let last = models.last()?;
        let digest = last.patch.as_ref().map(Patch::digest)?;
        let earlier = &models[..models.len() - 1];
        if earlier.iter().any(|attempt| attempt.patch.as_ref().map(Patch::digest).as_ref() == Some(&digest)) {
            return Some(Step::Stop {
                rule: StopRule::SamePatch,
                why: format!("{} proposed a patch that had been tried already", last.fixer),
            });
        }
        let prints = |attempt: &AttemptState| -> Vec<_> {
            attempt.red.iter().filter_map(|outcome| outcome.fingerprint.clone()).collect()
        };
        let now = prints(last);
        // Another vendor's rung is a second opinion, so only tries of the rung in force count against it.
        let same = earlier.iter().filter(|a| a.rung == last.rung && prints(a) == now).count();
        let more_rungs = self.rung + 1 < self.spec.ladder.len() || self.rung != last.rung;
        if !now.is_empty() && same >= 1 && !more_rungs {
            return Some(Step::Stop {
                rule: StopRule::SameDiagnostics,
                why: "two attempts in a row left the same failures".into(),
            });
        }
        None
    }
}

impl AttemptState {
    /// Whether its patch is part of what is kept.
    pub fn worked(&self) -> bool {
        matches!(self.decision, Some((Decision::Keep | Decision::Green, _)))
    }

    fn new(attempt: u32, rung: usize, fixer: &str, began: Timestamp) -> Self {
        Self {
            attempt,
            rung,
            fixer: fixer.to_owned(),
            patch: None,
            explanation: String::new(),
            alternatives: Vec::new(),
            findings: Vec::new(),
            decision: None,
            red: Vec::new(),
            model: None,
            usage: Usage::default(),
            cost: Money(0),
            began,
            ended: None,
        }
    }
}

/// The time from `from` to `to`: none where the machine's clock was set back between them.
fn passed(from: Timestamp, to: Timestamp) -> std::time::Duration {
    to.duration_since(from).try_into().unwrap_or_default()
}

fn exhausted(ladder: &[Rung]) -> String {
    if ladder.iter().any(|rung| rung.model) {
        "every fixer of the ladder has had its tries".into()
    } else {
        "the fixers that need no key found no repair, and no model was to be asked".into()
    }
}

/// Why a run stops that has made `most` attempts.
pub(crate) fn all_made(most: u32) -> String {
    match most {
        1 => "1 attempt was allowed and made".to_owned(),
        most => format!("{most} attempts were allowed and made"),
    }
}

/// How a run ends that was stopped by `rule`.
fn exit_of(rule: StopRule) -> Exit {
    match rule {
        StopRule::Attempts | StopRule::Budget | StopRule::Day | StopRule::Time => Exit::Limit,
        StopRule::Moved
        | StopRule::Rejected
        | StopRule::Denied
        | StopRule::Halted
        | StopRule::Cancelled
        | StopRule::Unfit => Exit::Policy,
        StopRule::LadderExhausted
        | StopRule::SamePatch
        | StopRule::SameDiagnostics
        | StopRule::Unfixable
        | StopRule::Questions
        | StopRule::Uncommitted
        | StopRule::DryRun => Exit::Red,
        StopRule::Fault => Exit::CannotJudge,
    }
}

#[cfg(test)]
mod tests;
