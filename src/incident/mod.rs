//! What an incident is: something that went wrong where a program really runs, and how far it has come.
//!
//! Reports of the same failure are one incident, told apart by its [`print()`]. [`blame()`] says whether the fault lies in this codebase,
//! [`class()`] what kind of fault it is, and [`State::after`] which moves there are.

mod blame;
mod class;
mod print;

#[cfg(test)]
mod tests;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

pub use blame::{Blame, Tracked, blame};
pub use class::{Category, Class, Severity, class};
pub use print::print;

use crate::trace::{self, Trace};

/// How far an incident has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum State {
    /// Nothing is done about it yet.
    Open,
    /// A run is to heal it, or does.
    Healing,
    /// What heals it is proven and waits for a person.
    AwaitingApproval,
    /// What heals it has landed; it counts as closed when it stays quiet.
    Fixed,
    /// It stayed quiet.
    Closed,
    /// It came again after it was fixed.
    Reopened,
    /// A run could not heal it: a person has to look.
    NeedsPerson,
    /// Its fault lies outside of this codebase.
    Outside,
    /// A person does not want to hear of it.
    Ignored,
}

/// What happens to an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// It is seen again, by what may have the fix.
    Seen,
    /// A run takes it up.
    Heal,
    /// A proven patch waits for a person.
    Wait,
    /// A patch lands.
    Land,
    /// The run ends without a landing.
    Fail,
    /// It stayed quiet for long enough.
    Quiet,
    /// The landing is taken back.
    RollBack,
    /// A person does not want to hear of it.
    Ignore,
    /// A person wants something to be done about it after all.
    Open,
}

impl State {
    /// All of them.
    pub const ALL: [State; 9] = [
        State::Open,
        State::Healing,
        State::AwaitingApproval,
        State::Fixed,
        State::Closed,
        State::Reopened,
        State::NeedsPerson,
        State::Outside,
        State::Ignored,
    ];

    /// As it is written, in the database and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Healing => "healing",
            State::AwaitingApproval => "awaiting_approval",
            State::Fixed => "fixed",
            State::Closed => "closed",
            State::Reopened => "reopened",
            State::NeedsPerson => "needs_person",
            State::Outside => "outside",
            State::Ignored => "ignored",
        }
    }

    /// The state that is written so.
    ///
    /// # Errors
    /// Where none is.
    pub fn parse(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.with_context(|| format!("an incident is in no state {text:?}"))
    }

    /// For people: `awaiting approval`.
    pub fn words(self) -> String {
        self.as_str().replace('_', " ")
    }

    /// Where the incident stands after `act`; `None` where that cannot happen to it as it stands.
    pub fn after(self, act: Act) -> Option<State> {
        use State::*;
        match (act, self) {
            (Act::Seen, Fixed | Closed) => Some(Reopened),
            (Act::Heal, Open | Reopened | NeedsPerson | Healing) => Some(Healing),
            (Act::Wait, Healing | AwaitingApproval) => Some(AwaitingApproval),
            (Act::Land, Healing | AwaitingApproval) => Some(Fixed),
            (Act::Fail, Healing | AwaitingApproval) => Some(NeedsPerson),
            (Act::Quiet, Fixed) => Some(Closed),
            (Act::RollBack, Fixed | Closed) => Some(Reopened),
            (Act::Ignore, Open | Reopened | NeedsPerson | Outside | Fixed | Closed) => Some(Ignored),
            (Act::Open, Outside | Ignored | Closed) => Some(Open),
            _ => None,
        }
    }
}

/// How something went wrong, as whoever saw it tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What was raised, in one line: `ValueError: bad date`.
    pub error: String,
    /// The stack trace, with whatever stands around it.
    pub stack_trace: String,
    /// The trace, where it was told part by part.
    pub trace: Option<Trace>,
    /// Whether the program ended by it; `None` where nobody said so.
    pub fatal: Option<bool>,
}

/// What a report comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Understood {
    /// What happened, in one line.
    pub title: String,
    /// The trace; one without frames where there is none in the text.
    pub trace: Option<Trace>,
    /// What tells it apart from others of its repo.
    pub print: String,
    /// Whose fault it is.
    pub blame: Blame,
    /// What kind of fault it is.
    pub class: Class,
}

/// Reads a report about a program whose files are `tracked`.
pub fn understand(report: &Report, tracked: &Tracked<'_>) -> Understood {
    let trace = report.trace.clone().or_else(|| trace::last(&report.stack_trace));
    let title = match (&trace, report.error.trim()) {
        (Some(trace), "") => trace.title(),
        (_, "") => report.stack_trace.trim().lines().last().unwrap_or_default().trim().to_owned(),
        (_, error) => error.lines().next().unwrap_or_default().to_owned(),
    };
    let title = if title.is_empty() { "something went wrong".to_owned() } else { title };
    let class = class(trace.as_ref(), &title, report.fatal);
    let blame = blame(trace.as_ref(), &class, tracked);
    let print = print(trace.as_ref(), &title, tracked);
    Understood { title: title[..title.floor_char_boundary(300)].to_owned(), trace, print, blame, class }
}
