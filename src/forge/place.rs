//! Names of issues and pull requests: `github:owner/repo#12`.

use std::fmt;
use std::str::FromStr;

use crate::config::{ForgeKind, is_full_name};
use crate::fault::Fault;

/// A repo at a forge, and perhaps an issue or a pull request there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which forge.
    pub kind: ForgeKind,
    /// The repo's full name.
    pub repo: String,
    /// The number of the issue or pull request.
    pub number: u64,
}

impl Place {
    /// Whether `text` is meant to be one, right or wrong.
    pub fn is_meant(text: &str) -> bool {
        ForgeKind::ALL
            .iter()
            .any(|kind| text.strip_prefix(kind.as_str()).is_some_and(|rest| rest.starts_with(':')))
    }
}

impl FromStr for Place {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let parts = || {
            let (kind, rest) = text.split_once(':')?;
            let (repo, number) = rest.split_once('#')?;
            let number = number.parse().ok().filter(|number| *number > 0)?;
            is_full_name(repo).then_some(())?;
            Some(Self { kind: ForgeKind::of(kind)?, repo: repo.to_owned(), number })
        };
        parts().ok_or_else(|| {
            Fault::usage(format!("{text:?} names no issue"))
                .hint("write it as github:owner/repo#12 or gitlab:group/repo#12")
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}#{}", self.kind.as_str(), self.repo, self.number)
    }
}
