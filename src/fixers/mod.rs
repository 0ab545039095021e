//! Whatever proposes patches, behind one trait.

pub mod agent;
pub mod codefix;
pub mod memory;

use anyhow::Result;
use async_trait::async_trait;

use crate::outcome::{Check, Outcome};
use crate::patch::{Patch, Tree};
use crate::verify::Verifier;
use crate::workspace::Workspaces;

pub mod model;

/// What a fixer gets to work on: a red tree, and what was tried on it.
pub struct Case<'a> {
    /// The run's id, for caches and scratch names.
    pub run: &'a str,
    /// Makes attempts on the tree.
    pub workspaces: &'a Workspaces,
    /// Runs checks.
    pub verifier: &'a Verifier,
    /// The changes kept so far; a proposal is a patch on top of them.
    pub base: &'a Patch,
    /// What should be green: the goal and the configured checks.
    pub checks: &'a [Check],
    /// The red outcomes with `base` applied, at least one.
    pub red: &'a [Outcome],
    /// What the goal is, in words; a ticket's sub-task where there is one.
    pub task: Option<&'a str>,
    /// Earlier attempts of this run, oldest first.
    pub history: &'a [Tried],
    /// The house's and the repo's own rules, untrusted text of the repo labelled as such by the prompt.
    pub rules: &'a str,
    /// Holds the money: every call of a model goes through it.
    pub purse: &'a dyn crate::models::ledger::Purse,
    /// Hears what the fixer is doing, one short line at a time.
    pub progress: crate::verify::Progress<'a>,
}

impl Case<'_> {
    /// The tree with the kept changes, for reading.
    pub fn tree(&self) -> Tree<'_> {
        Tree { root: self.workspaces.root(), patch: self.base }
    }
}

/// An earlier attempt, as later fixers see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    /// Who proposed: `codefix(rustc)`, `model(<name>)`.
    pub fixer: String,
    /// What was proposed, on the base of that time.
    pub patch: Patch,
    /// The fixer's explanation.
    pub explanation: String,
    /// Why it was not the end: a guard's reason, or what stayed or became red.
    pub result: String,
    /// The red outcomes after it; empty where a guard refused it.
    pub red: Vec<Outcome>,
    /// Whether its patch was kept as the base of what followed.
    pub kept: bool,
}

/// What a fixer came up with.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A patch on top of [`Case::base`].
    Patch(Proposal),
    /// It has nothing (more) to offer; the ladder goes on. Says why.
    Nothing(String),
    /// The answer could not be used (no edits, ambiguous, cut off); the reason goes to the next try.
    Unusable(String),
    /// A person is needed; says why.
    Unfixable(String),
    /// The plan's author has to answer first (tickets).
    Questions(Vec<String>),
}

/// A patch with its story.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// The changes.
    pub patch: Patch,
    /// What was wrong and what the patch does, for people.
    pub explanation: String,
    /// Who it is from, as written in the trailer: `codefix(rustc)`, `memory`, `model(<name>)`.
    pub fixer: String,
    /// Other patches that also looked right, best first (at most 5).
    pub alternatives: Vec<Patch>,
}

/// A fixer that cannot work, for a reason that is known before it is asked: its model's key is missing, say. The ladder says why and goes
/// on with the next rung.
pub struct Unavailable {
    /// Its name in the ladder.
    pub name: String,
    /// Why, and what to do.
    pub why: String,
}

#[async_trait]
impl Fixer for Unavailable {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn propose(&self, _case: &Case<'_>) -> Result<Answer> {
        Ok(Answer::Nothing(self.why.clone()))
    }
}

/// Proposes patches.
#[async_trait]
pub trait Fixer: Send + Sync {
    /// Its name in the configuration, with the model where there is one: `codefix`, `memory`, `model(claude-sonnet-5-5)`.
    fn name(&self) -> String;

    /// Proposes one patch for the case.
    ///
    /// # Errors
    /// Where it cannot work at all (a provider that cannot be reached): the ladder goes on with the next rung.
    async fn propose(&self, case: &Case<'_>) -> Result<Answer>;
}
