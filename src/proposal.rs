//! What a proposal is, and how far one may come: a change that somebody or something suggests.
//!
//! A proposal is tested and repaired by runs; what happens in them, and what people say, moves it from one [`State`] to the next.
//! [`State::after`] alone says which moves there are.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::patch::{FileState, RelPath};

/// How far a proposal has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for a worker that tests it.
    Proposed,
    /// Its base, it itself and what they need are put into a sandbox.
    Deploying,
    /// Its checks run.
    Testing,
    /// It is proven: a person may approve it.
    TestsPassed,
    /// It is not: the reason says why, and whether it may be repaired.
    TestsFailed,
    /// What it broke is being repaired.
    Fixing,
    /// It may be applied.
    Approved,
    /// It has landed.
    Applied,
    /// A person does not want it.
    Rejected,
    /// Its landing was taken back.
    RolledBack,
}

/// What happens to a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// Somebody asks for another test.
    Test,
    /// Somebody asks for a repair.
    Fix,
    /// A worker takes it up.
    Begin,
    /// A check begins.
    Check,
    /// A fixer is asked.
    Attempt,
    /// It is proven, with the repair if there is one.
    Pass,
    /// It is not.
    Fail,
    /// A person, or the policy, agrees to it.
    Approve,
    /// It lands.
    Apply,
    /// A person refuses it.
    Reject,
    /// Its landing is taken back.
    RollBack,
}

impl State {
    /// All of them, in the order in which a proposal passes through.
    pub const ALL: [State; 10] = [
        State::Proposed,
        State::Deploying,
        State::Testing,
        State::TestsPassed,
        State::TestsFailed,
        State::Fixing,
        State::Approved,
        State::Applied,
        State::Rejected,
        State::RolledBack,
    ];

    /// As it is written, in the database and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Proposed => "proposed",
            State::Deploying => "deploying",
            State::Testing => "testing",
            State::TestsPassed => "tests_passed",
            State::TestsFailed => "tests_failed",
            State::Fixing => "fixing",
            State::Approved => "approved",
            State::Applied => "applied",
            State::Rejected => "rejected",
            State::RolledBack => "rolled_back",
        }
    }

    /// The state that is written so.
    ///
    /// # Errors
    /// Where none is.
    pub fn parse(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.with_context(|| format!("a proposal is in no state {text:?}"))
    }

    /// For people: `tests passed`.
    pub fn words(self) -> String {
        self.as_str().replace('_', " ")
    }

    /// Whether a run works on it, or is to.
    pub fn is_under_way(self) -> bool {
        matches!(self, State::Proposed | State::Deploying | State::Testing | State::Fixing)
    }

    /// Whether nothing more happens to it.
    pub fn is_over(self) -> bool {
        matches!(self, State::Rejected | State::RolledBack)
    }

    /// Where the proposal stands after `act`; `None` where that cannot happen to it as it stands.
    pub fn after(self, act: Act) -> Option<State> {
        use State::*;
        match (act, self) {
            (Act::Test, TestsFailed) => Some(Proposed),
            (Act::Fix, TestsFailed) => Some(Fixing),
            (Act::Begin, Proposed | Deploying | Testing) => Some(Deploying),
            (Act::Check, Deploying | Testing) => Some(Testing),
            // A repair looks at the tests again before it begins, and is a repair all the time.
            (Act::Begin | Act::Check, Fixing) => Some(Fixing),
            (Act::Attempt, Testing | Fixing) => Some(Fixing),
            // One that was approved may have to be proven again, as its base moved, and then stands as it was unless there is more to look at.
            (Act::Pass, Testing | Fixing | Approved) => Some(TestsPassed),
            (Act::Fail, Proposed | Deploying | Testing | Fixing | Approved) => Some(TestsFailed),
            (Act::Approve, TestsPassed) => Some(Approved),
            (Act::Apply, Approved) => Some(Applied),
            (Act::Reject, TestsPassed | TestsFailed | Approved) => Some(Rejected),
            (Act::RollBack, Applied) => Some(RolledBack),
            _ => None,
        }
    }
}

/// A file as a proposal has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposedFile {
    /// Where it is.
    pub path: RelPath,
    /// What it holds; `None` where it is removed. Its execute bit counts only where `executable` says so.
    pub file: Option<FileState>,
    /// The execute bit; `None` leaves it as it is.
    #[serde(default)]
    pub executable: Option<bool>,
}

/// What a proposal changes, as it was asked: what that is on a base is found out when it is tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// Whole files, each at most once.
    Files(Vec<ProposedFile>),
    /// A unified diff, as `git diff` prints it.
    Diff(String),
}

/// A proposal as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The proposal's id.
    pub id: String,
    /// What it does, in one line.
    pub title: String,
    /// Why, in Markdown.
    #[serde(default)]
    pub description: String,
    /// The branch, tag or commit that it builds on; `None` for the commit that is checked out.
    #[serde(default)]
    pub base: Option<String>,
    /// What it changes.
    pub content: Content,
    /// Whether what it breaks is to be repaired.
    #[serde(default)]
    pub fix: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTS: [Act; 11] = [
        Act::Test,
        Act::Fix,
        Act::Begin,
        Act::Check,
        Act::Attempt,
        Act::Pass,
        Act::Fail,
        Act::Approve,
        Act::Apply,
        Act::Reject,
        Act::RollBack,
    ];

    fn walk(acts: &[Act]) -> Option<State> {
        acts.iter().try_fold(State::Proposed, |state, act| state.after(*act))
    }

    #[test]
    fn a_proposal_goes_its_way() {
        use Act::*;
        let tested = [Begin, Check, Check, Pass];
        assert_eq!(walk(&tested), Some(State::TestsPassed));
        assert_eq!(walk(&[&tested[..], &[Approve, Apply]].concat()), Some(State::Applied));
        assert_eq!(walk(&[&tested[..], &[Approve, Apply, RollBack]].concat()), Some(State::RolledBack));
        let healed = [Begin, Check, Fail, Fix, Begin, Check, Attempt, Check, Attempt, Pass];
        assert_eq!(walk(&healed), Some(State::TestsPassed));
        // Where repairs begin by themselves, one run does both.
        assert_eq!(walk(&[Begin, Check, Attempt, Check, Fail]), Some(State::TestsFailed));
        assert_eq!(walk(&[Begin, Check, Fail, Reject]), Some(State::Rejected));
        assert_eq!(walk(&[Begin, Check, Fail, Test]), Some(State::Proposed));
        // A worker that died is followed by another one.
        assert_eq!(walk(&[Begin, Check, Begin, Check, Pass]), Some(State::TestsPassed));
        assert_eq!(walk(&[&tested[..], &[Approve, Fail]].concat()), Some(State::TestsFailed));
    }

    #[test]
    fn nothing_is_applied_that_nobody_approved_and_nothing_twice() {
        for state in State::ALL {
            assert_eq!(state.after(Act::Apply).is_some(), state == State::Approved, "{state:?}");
            assert_eq!(state.after(Act::Approve).is_some(), state == State::TestsPassed, "{state:?}");
        }
        let after = |state: State| ACTS.iter().filter_map(move |act| state.after(*act)).collect::<Vec<_>>();
        assert_eq!(after(State::Applied), [State::RolledBack]);
        for over in [State::Rejected, State::RolledBack] {
            assert!(over.is_over());
            assert_eq!(after(over), []);
        }
    }

    #[test]
    fn every_state_can_be_reached_and_is_read_as_it_is_written() {
        let mut seen = vec![State::Proposed];
        let mut at = 0;
        while at < seen.len() {
            let here = seen[at];
            for next in ACTS.iter().filter_map(|act| here.after(*act)) {
                if !seen.contains(&next) {
                    seen.push(next);
                }
            }
            at += 1;
        }
        for state in State::ALL {
            assert!(seen.contains(&state), "{state:?}");
            assert_eq!(State::parse(state.as_str()).unwrap(), state);
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        assert!(State::parse("landed").is_err());
    }
}
