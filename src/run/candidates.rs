//! The green patches that a person may choose among: what a fixer proposed, and what it found beside it.

use std::collections::HashSet;

use super::events::Proof;
use super::{AttemptState, Run};
use crate::patch::Patch;
use crate::policy::{Assessment, Terms};

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The whole patch, on top of the run's base.
    pub patch: Patch,
    /// Why it cannot be chosen: it did not hold when it was to be proven.
    pub failed: Option<String>,
}

/// What waited for a person when another candidate was chosen: it waits again where that one does not hold.
#[derive(Debug, Clone, PartialEq)]
pub struct SetAside {
    chosen: usize,
    kept: Patch,
    /// `None` once the tree moved under it.
    proof: Option<Proof>,
    approval: Vec<String>,
    assessed: Option<(Assessment, Terms)>,
    /// What the fixer said of it.
    explanation: String,
}

impl Run {
    /// The candidates in the order in which they were found, from number 1, if there is anything to choose. The patch that is kept is among
    /// them as it would land.
    pub fn choices(&self) -> Vec<Candidate> {
        if self.candidates.len() < 2 {
            return Vec::new();
        }
        let whole = |one: &Candidate| match self.proposed() {
            Some(proposed) => Candidate { patch: proposed.then(&one.patch), failed: one.failed.clone() },
            None => one.clone(),
        };
        let mut all: Vec<Candidate> = self.candidates.iter().map(whole).collect();
        if let Some(kept) = all.get_mut(self.chosen) {
            kept.patch = self.result();
        }
        all
    }

    /// The number of the candidate that is kept.
    pub fn choice(&self) -> usize {
        self.chosen + 1
    }

    /// Whether a person chose what is kept: then it lands as it was looked at, or not at all.
    pub fn is_chosen(&self) -> bool {
        self.set_aside.is_some()
    }

    /// What a green `attempt` leaves to be chosen from, on top of what was kept `before` it.
    pub(super) fn offer(&mut self, before: &Patch, attempt: &AttemptState) {
        let own = attempt.patch.iter();
        let whole = own.chain(&attempt.alternatives).map(|patch| before.then(patch));
        let mut seen = HashSet::new();
        let new = whole.filter(|patch| !patch.is_empty() && seen.insert(patch.digest()));
        self.candidates = new.map(|patch| Candidate { patch, failed: None }).collect();
        self.chosen = 0;
    }

    /// Takes another candidate in the place of what is kept and was proven.
    pub(super) fn choose(&mut self, number: usize, by: &str) {
        let is_another = |at: &usize| *at < self.candidates.len() && *at != self.chosen;
        let Some(at) = number.checked_sub(1).filter(is_another) else { return };
        if self.landing.is_some() || self.landed.is_some() {
            return;
        }
        let Some(proof) = self.proof.take() else { return };
        self.candidates[self.chosen].patch = self.kept.clone();
        // The fixer's words are about its first choice.
        let explanation =
            self.explain(format!("Candidate {number} of {}, chosen by {by}.", self.candidates.len()));
        self.set_aside = Some(SetAside {
            chosen: self.chosen,
            kept: std::mem::take(&mut self.kept),
            proof: Some(proof),
            approval: std::mem::take(&mut self.approval),
            assessed: self.assessed.take(),
            explanation,
        });
        self.chosen = at;
        self.kept = self.candidates[at].patch.clone();
        self.minimised = false;
        self.ask_again();
    }

    /// Goes back to what was proven before another candidate was chosen that does not hold; `false` where there is no such thing.
    pub(super) fn fall_back(&mut self, reason: &str) -> bool {
        let Some(aside) = self.set_aside.take() else { return false };
        if let Some(failed) = self.candidates.get_mut(self.chosen) {
            failed.failed = Some(reason.to_owned());
        }
        self.chosen = aside.chosen;
        self.kept = aside.kept;
        self.proof = aside.proof;
        self.approval = aside.approval;
        self.assessed = aside.assessed;
        self.ask_again();
        self.minimised = true;
        self.green = true;
        self.explain(aside.explanation);
        true
    }

    /// Changes what is said of the attempt that went green, and gives what was.
    fn explain(&mut self, explanation: String) -> String {
        let green = self.attempts.iter_mut().rev().find(|attempt| attempt.worked());
        green.map(|attempt| std::mem::replace(&mut attempt.explanation, explanation)).unwrap_or_default()
    }

    /// The tree moved: what was proven on it has to be proven again.
    pub(super) fn unprove_set_aside(&mut self) {
        if let Some(aside) = &mut self.set_aside {
            aside.proof = None;
        }
    }
}
