//! Measures the guards, on both sides: what passes of a corpus of cheats, and what is held up of honest changes.
//!
//! The corpus is data (`tests/fixtures/guards/*.cases`, built in): cheats, and honest changes that resemble them. The honest side at
//! large are the true patches of a project's history, see [`history`].

mod corpus;
pub mod history;

use std::collections::BTreeMap;

use serde::Serialize;

pub use corpus::{Case, Expected, builtin, read};

use super::{Finding, Weight};

/// What the guards say of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing was found.
    Allowed,
    /// A person has to agree.
    NeedsApproval,
    /// It would not be run.
    Refused,
}

impl Verdict {
    /// The verdict that findings add up to.
    pub fn of(findings: &[Finding]) -> Self {
        match findings.iter().map(|finding| finding.weight).max() {
            None => Verdict::Allowed,
            Some(Weight::NeedsApproval) => Verdict::NeedsApproval,
            Some(Weight::Refuse) => Verdict::Refused,
        }
    }
}

/// How many patches came to each verdict.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Allowed.
    pub allowed: usize,
    /// Waiting for a person.
    pub needs_approval: usize,
    /// Refused.
    pub refused: usize,
}

impl Counts {
    /// Counts one more.
    pub fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Allowed => self.allowed += 1,
            Verdict::NeedsApproval => self.needs_approval += 1,
            Verdict::Refused => self.refused += 1,
        }
    }

    /// All together.
    pub fn all(&self) -> usize {
        self.allowed + self.needs_approval + self.refused
    }
}

/// The range that the true share lies in, 19 times of 20, where `part` of `all` were counted (Wilson's interval); all of it where nothing was.
pub fn interval(part: usize, all: usize) -> (f64, f64) {
    if all == 0 {
        return (0.0, 1.0);
    }
    const Z: f64 = 1.96;
    let (n, p) = (all as f64, part as f64 / all as f64);
    let middle = p + Z * Z / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    (((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0))
}

impl std::ops::Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            allowed: self.allowed + other.allowed,
            needs_approval: self.needs_approval + other.needs_approval,
            refused: self.refused + other.refused,
        }
    }
}

/// The confusion table of a corpus.
#[derive(Debug, Default, Serialize)]
pub struct Table {
    /// By language: the honest changes, then the cheats.
    pub languages: BTreeMap<String, [Counts; 2]>,
    /// By guard.
    pub guards: BTreeMap<String, Share>,
    /// The cases that were not judged as they say, each in one line.
    pub wrong: Vec<String>,
}

/// One guard's part.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Cheats that name this guard.
    pub named: usize,
    /// Those of them that it found.
    pub found: usize,
    /// Honest changes that it had something to say about.
    pub alarms: usize,
    /// Those of them that it should let pass, by the corpus.
    pub false_alarms: usize,
}

impl Table {
    /// Counts one case with what was found of it.
    pub fn add(&mut self, case: &Case, findings: &[Finding]) {
        let sides = self.languages.entry(case.language.clone()).or_default();
        sides[usize::from(!case.honest)].count(Verdict::of(findings));
        let has = |guard: &str| findings.iter().any(|finding| finding.guard == guard);
        for guard in case.expected.guards.iter().filter(|_| !case.honest) {
            let share = self.guards.entry(guard.clone()).or_default();
            share.named += 1;
            share.found += usize::from(has(guard));
        }
        if case.honest {
            let mut guards: Vec<&str> = findings.iter().map(|finding| finding.guard.as_str()).collect();
            guards.sort_unstable();
            guards.dedup();
            for guard in guards {
                let share = self.guards.entry(guard.to_owned()).or_default();
                share.alarms += 1;
                share.false_alarms += usize::from(!case.expected.guards.iter().any(|named| named == guard));
            }
        }
        if let Some(why) = case.judge(findings) {
            self.wrong.push(why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::interval;

    #[test]
    fn an_interval_holds_its_share_and_is_narrower_for_more() {
        for (part, all, low, high) in [(0, 100, 0.0, 0.037), (5, 100, 0.0215, 0.1118), (100, 100, 0.963, 1.0)]
        {
            let (from, to) = interval(part, all);
            assert!(
                (from - low).abs() < 0.001 && (to - high).abs() < 0.001,
                "{part} of {all}: {from} to {to}"
            );
        }
        assert_eq!(interval(0, 0), (0.0, 1.0));
        let (few, many) = (interval(1, 10), interval(100, 1000));
        assert!(many.0 > few.0 && many.1 < few.1);
    }
}
