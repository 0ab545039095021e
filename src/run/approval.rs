//! Who has to agree before a run lands, and whether enough did: folded from what policy and people said.

use jiff::Timestamp;

use super::Run;
use super::events::Question;
use crate::policy::{Assessment, Ruling, Terms};

impl Run {
    /// Whether people have to look, and not as many agreed yet as have to.
    pub fn awaits_approval(&self) -> bool {
        !self.approval.is_empty() && !self.is_agreed() && self.stopped.is_none()
    }

    /// The people who agreed to what would land, in the order in which they did.
    pub fn supporters(&self) -> Vec<&str> {
        if self.agreed.is_empty() {
            return Vec::new();
        }
        let digest = self.result().digest();
        let mut people: Vec<&str> = Vec::new();
        for (by, patch) in &self.agreed {
            if *patch == digest && !people.contains(&by.as_str()) {
                people.push(by);
            }
        }
        people
    }

    /// How many people have to agree to what would land.
    pub fn people_needed(&self) -> usize {
        let asked = self.question.as_ref().map(|question| question.people);
        asked.unwrap_or(self.spec.governance.people).max(1) as usize
    }

    /// Who may not agree: whoever asked for the run, where somebody else has to.
    pub fn excepted(&self) -> Option<&str> {
        match &self.question {
            Some(question) => question.except.as_deref(),
            None => self.spec.governance.other_person.then_some(self.spec.requester.as_str()),
        }
    }

    /// Whether as many people agreed to what would land as have to.
    pub fn is_agreed(&self) -> bool {
        let supporters = self.supporters().len();
        supporters > 0 && supporters >= self.people_needed()
    }

    /// Whether the question that people were asked stands: it is about what would land, and not over.
    pub fn is_asked(&self, now: Timestamp) -> bool {
        let stands = |question: &Question| question.expires > now && question.patch == self.result().digest();
        self.question.as_ref().is_some_and(stands)
    }

    /// Whether people agreed so long ago that it does not count any more.
    pub fn has_lapsed(&self, now: Timestamp) -> bool {
        !self.approval.is_empty() && self.question.is_some() && !self.is_asked(now)
    }

    /// Why policy lets nobody land the patch, if it does not.
    pub(super) fn denied(&self) -> Option<String> {
        let (assessment, terms) = self.assessed.as_ref().filter(|(_, terms)| terms.ruling == Ruling::Deny)?;
        let told = assessment.told();
        let told = if told.is_empty() { String::new() } else { format!(": {}", told.join("; ")) };
        Some(format!(
            "policy denies a patch of risk {} in {}{told}",
            assessment.risk.as_str(),
            terms.environment.as_str()
        ))
    }

    /// Takes what policy says in the place of what it said before.
    pub(super) fn assessed(&mut self, assessment: &Assessment, terms: &Terms) {
        let asks = terms.asks(assessment);
        // Who agreed before this was known looks again.
        if asks.iter().any(|ask| !self.approval.contains(ask)) {
            self.ask_again();
        }
        if let Some((before, under)) = self.assessed.take() {
            let asked = under.asks(&before);
            self.approval.retain(|reason| !asked.contains(reason));
        }
        self.approval.extend(asks);
        // Whom and how many people were asked may not do any more.
        let too_few =
            |asked: &Question| asked.people < terms.people || (terms.other_person && asked.except.is_none());
        if self.question.as_ref().is_some_and(too_few) {
            self.ask_again();
        }
        self.assessed = Some((assessment.clone(), terms.clone()));
    }

    /// What people were asked and said was about something else: they are asked again.
    pub(super) fn ask_again(&mut self) {
        self.question = None;
        self.agreed.clear();
    }
}
