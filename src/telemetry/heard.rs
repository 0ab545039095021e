//! What is counted of runs: their events say all of it.

use super::Metrics;
use super::metrics::{Asked, Called, Checked, Decided, Ended, Landed, Outcome, Phased, Tokens};
use crate::landing::Moves;
use crate::models::ledger::Call;
use crate::outcome::Verdict;
use crate::run::Run;
use crate::run::events::{Decision, Event, Phase, Record, Trigger};
use crate::run::journal::{Listener, outcome};

impl Listener for Metrics {
    fn heard(&self, record: &Record, run: &Run) {
        match &record.event {
            Event::Checked { phase, outcome, .. } => {
                let verdict = match outcome.verdict {
                    Verdict::Green => "green",
                    Verdict::Red => "red",
                    Verdict::Infra { .. } => "infra",
                };
                let phase = phase_name(*phase);
                self.checks.get_or_create(&Checked { phase, verdict }).inc();
                self.check_took.get_or_create(&Phased { phase }).observe(outcome.duration.as_secs_f64());
            }
            Event::Asked { call, .. } => self.asked(call),
            Event::Decided { decision, .. } => {
                let fixer = run.attempts.last().map_or("other", |attempt| fixer_name(&attempt.fixer));
                let decision = match decision {
                    Decision::Green => "green",
                    Decision::Keep => "keep",
                    Decision::Drop => "drop",
                    Decision::Pass => "pass",
                };
                self.attempts.get_or_create(&Decided { fixer, decision }).inc();
            }
            Event::Landed { record } => {
                let to = match record.as_ref().map(|record| &record.moved) {
                    None => "none",
                    Some(Moves::Files) => "worktree",
                    Some(Moves::Current { .. }) => "commit",
                    Some(Moves::Other { .. }) => "branch",
                };
                self.landings.get_or_create(&Landed { to }).inc();
            }
            Event::Finished { exit, ran } => {
                let outcome = outcome(run, *exit);
                self.runs.get_or_create(&Ended { trigger: trigger_name(&run.spec.trigger), outcome }).inc();
                self.took.get_or_create(&Outcome { outcome }).observe(run.took.as_secs_f64());
                self.commands.inc_by(ran.as_secs_f64());
            }
            _ => {}
        }
    }

    fn murmur(&self, _line: &str) {}
}

impl Metrics {
    fn asked(&self, call: &Call) {
        let (provider, model) = self.model(&call.provider, &call.model);
        let asked = Asked { provider: provider.clone(), model: model.clone() };
        let result = if call.answer.is_ok() { "answered" } else { "failed" };
        self.calls.get_or_create(&Called { provider: provider.clone(), model: model.clone(), result }).inc();
        self.call_took.get_or_create(&asked).observe(call.duration.as_secs_f64());
        self.cost.get_or_create(&asked).inc_by(call.cost.unwrap_or_default().usd());
        for (kind, count) in [
            ("input", call.usage.input),
            ("cache-read", call.usage.cache_read),
            ("cache-write", call.usage.cache_write),
            ("output", call.usage.output),
        ] {
            let tokens = Tokens { provider: provider.clone(), model: model.clone(), kind };
            self.tokens.get_or_create(&tokens).inc_by(count);
        }
    }
}

/// A check's place in the run, as events name it.
pub(super) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Setup => "setup",
        Phase::Base => "base",
        Phase::Baseline => "baseline",
        Phase::Attempt => "attempt",
        Phase::Reproduce => "reproduce",
        Phase::Minimise => "minimise",
        Phase::Proof => "proof",
    }
}

/// The kind of a fixer, whatever it used: `codefix` of `codefix(rustc)`.
pub(super) fn fixer_name(fixer: &str) -> &'static str {
    let kind = fixer.split('(').next().unwrap_or_default();
    ["memory", "codefix", "model", "agent"].into_iter().find(|known| *known == kind).unwrap_or("other")
}

/// What began a run, as the store names it.
pub(super) fn trigger_name(trigger: &Trigger) -> &'static str {
    match trigger {
        Trigger::Heal => "heal",
        Trigger::Ticket { .. } => "ticket",
        Trigger::Subtask { .. } => "subtask",
        Trigger::Proposal { .. } => "proposal",
        Trigger::Incident { .. } => "incident",
    }
}
