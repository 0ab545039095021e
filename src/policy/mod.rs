//! What may land by itself: how risky a patch is, and what that means where it runs.
//!
//! Risk comes from rules that are data (`rules.toml`, the user's configuration, the repo's `regreen.toml`). A rule only ever raises the risk, so
//! that nobody who may only add rules can loosen anything. What follows from risk is the [`Ruling`] of the environment: a table that the user's
//! configuration fills, above a floor that nobody can lower.

mod facts;
mod rule;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use crate::config::{Fact, Governance, Risk, RiskRule, Ruling, Tier as Environment};
use crate::patch::{Patch, RelPath, Tree};

use facts::Facts;
use rule::{BUILT_IN, Compiled};

/// The rule about Regreen's own code: what it says is never let through outside of [`Environment::Local`].
pub const SELF_MODIFY: &str = "self_modify_codebase";

/// Why a patch has its risk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The rule's id.
    pub rule: String,
    /// What the patch is at least, by this rule.
    pub risk: Risk,
    /// One sentence without a final full stop.
    pub text: String,
    /// The files that it is about, at most 50 of them.
    pub paths: Vec<RelPath>,
}

/// How risky a patch is, and why: the gravest reasons first. Green has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assessment {
    /// The highest risk among the reasons.
    pub risk: Risk,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// What holds for one patch: what policy says of it, and how people agree to it if they have to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Where what is healed runs.
    pub environment: Environment,
    /// What policy says.
    pub ruling: Ruling,
    /// How many people have to agree, if any have to.
    pub people: u32,
    /// Whether whoever asked for the run may not agree.
    pub other_person: bool,
    /// How long people may take.
    pub expires: std::time::Duration,
}

/// Files that a reason names, at most.
const MOST_PATHS: usize = 50;

/// How risky `patch` is on top of `tree`, by the built-in rules and those of `governance`.
pub fn assess(tree: Tree<'_>, patch: &Patch, governance: &Governance) -> Assessment {
    let facts = Facts::new(tree, patch);
    let added = governance.rules.iter().map(Compiled::new);
    let mut reasons = Vec::new();
    for rule in BUILT_IN.iter() {
        reasons.extend(rule.reason(&facts));
    }
    for rule in added {
        reasons.extend(match rule {
            Ok(rule) => rule.reason(&facts),
            // The configuration is checked when it is read; whatever else comes is no reason to be less careful.
            Err(what) => Some(Reason {
                rule: "unreadable-rule".to_owned(),
                risk: Risk::Red,
                text: format!("a rule cannot be read: {what}"),
                paths: patch.iter().map(|(path, _)| path.clone()).take(MOST_PATHS).collect(),
            }),
        });
    }
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.risk));
    // The plainer one of two that say the same of the same files.
    let mut told = std::collections::HashSet::new();
    reasons.retain(|reason| told.insert((reason.text.clone(), reason.paths.clone())));
    Assessment { risk: reasons.first().map_or(Risk::Green, |reason| reason.risk), reasons }
}

/// What follows from the risk of a patch. In production somebody agrees to whatever is not green, and to a change of Regreen itself
/// everywhere but on a developer's machine, however the configuration reads.
pub fn rule(governance: &Governance, assessment: &Assessment) -> Terms {
    let environment = governance.environment;
    let said = governance.rulings[assessment.risk as usize];
    let own = assessment.reasons.iter().any(|reason| reason.rule == SELF_MODIFY);
    let floor = match environment {
        Environment::Production if assessment.risk > Risk::Green => Ruling::Approve,
        Environment::Dev | Environment::Staging | Environment::Production if own => Ruling::Approve,
        _ => Ruling::Auto,
    };
    Terms {
        environment,
        ruling: said.max(floor),
        people: governance.people.max(1),
        other_person: governance.other_person,
        expires: governance.expires,
    }
}

/// What holds for a patch that was judged before and is judged again by what is configured now: of each the stricter, with all reasons.
pub fn stricter(before: (Assessment, Terms), now: (Assessment, Terms)) -> (Assessment, Terms) {
    let ((mut assessment, then), (again, now)) = (before, now);
    let new = again.reasons.into_iter().filter(|reason| !assessment.reasons.contains(reason));
    let new: Vec<Reason> = new.collect();
    assessment.reasons.extend(new);
    assessment.reasons.sort_by_key(|reason| std::cmp::Reverse(reason.risk));
    assessment.risk = assessment.risk.max(again.risk);
    let (ruling, environment) = (then.ruling, then.environment).max((now.ruling, now.environment));
    let terms = Terms {
        environment,
        ruling,
        people: then.people.max(now.people),
        other_person: then.other_person || now.other_person,
        expires: then.expires.min(now.expires),
    };
    (assessment, terms)
}

impl Assessment {
    /// The reasons for people, each in one sentence with its rule.
    pub fn told(&self) -> Vec<String> {
        self.reasons.iter().map(Reason::told).collect()
    }
}

impl Terms {
    /// Why people have to agree, each reason in one sentence; nothing where they do not.
    pub fn asks(&self, assessment: &Assessment) -> Vec<String> {
        if self.ruling != Ruling::Approve {
            return Vec::new();
        }
        let (risk, environment) = (assessment.risk.as_str(), self.environment.as_str());
        let mut asks = vec![format!("a patch of risk {risk} needs an approval in {environment}")];
        asks.extend(assessment.told());
        asks
    }
}

/// Files that a sentence names, at most.
const NAMED: usize = 3;

impl Reason {
    /// The reason in one sentence, with its rule and its first files.
    pub fn told(&self) -> String {
        let named: Vec<&str> = self.paths.iter().take(NAMED).map(RelPath::as_str).collect();
        let more = match self.paths.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{}: {} ({}{more}) [{}]", self.risk.as_str(), self.text, named.join(", "), self.rule)
    }
}
