//! What goes wrong, as a user sees it: a message, what to do about it, and the exit code.
//!
//! Inside the library errors travel as [`anyhow::Error`]; a place that knows what the user should do raises a
//! [`Fault`], and the command line finds it in the chain. Anything else that reaches the top is a bug (exit 70) only
//! if it is a panic; an unexpected I/O error is reported as what it is.

use std::fmt;

/// The exit codes of the program. They are part of its contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// 0: green, healed and landed as asked, or it was green already.
    Green,
    /// 1: still red; a person is needed.
    Red,
    /// 2: usage or configuration error.
    Usage,
    /// 3: waits for an approval, or policy refused.
    Policy,
    /// 4: a limit stopped it: money, time, attempts given by the user, rate.
    Limit,
    /// 5: cannot judge: flaky or infrastructure.
    CannotJudge,
    /// 70: a bug in Regreen.
    Bug,
}

impl Exit {
    /// The process exit status.
    pub fn code(self) -> u8 {
        match self {
            Exit::Green => 0,
            Exit::Red => 1,
            Exit::Usage => 2,
            Exit::Policy => 3,
            Exit::Limit => 4,
            Exit::CannotJudge => 5,
            Exit::Bug => 70,
        }
    }
}

/// An error meant for a person: what is wrong, and what to do.
#[derive(Debug)]
pub struct Fault {
    /// How the program ends because of it.
    pub exit: Exit,
    /// What is wrong, one sentence without a final full stop.
    pub message: String,
    /// What the person should do, if it is not plain from the message.
    pub hint: Option<String>,
}

impl Fault {
    /// A usage or configuration error (exit 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The environment keeps Regreen from judging (exit 5).
    pub fn cannot_judge(message: impl Into<String>) -> Self {
        Self::new(Exit::CannotJudge, message)
    }

    /// Policy refuses (exit 3).
    pub fn policy(message: impl Into<String>) -> Self {
        Self::new(Exit::Policy, message)
    }

    /// A limit is reached (exit 4).
    pub fn limit(message: impl Into<String>) -> Self {
        Self::new(Exit::Limit, message)
    }

    /// A fault that ends the program with `exit`.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    /// Adds what the person should do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}
