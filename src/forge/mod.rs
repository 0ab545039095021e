//! The forges that code is pushed to: pull requests, commit statuses, comments, issues, who may do what, logs of CI.
//!
//! Invariants: a token goes to the configured host and nowhere else; what is there is looked for before anything is made, so that what is done
//! twice comes to the same; what was made by us carries [`MARK`] and is found again by it.

mod app;
mod github;
mod gitlab;
mod http;
pub mod outlet;
mod place;

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use secrecy::SecretString;

pub use http::Limited;
pub use outlet::{Outlet, Publication, Wanted};
pub use place::Place;

use crate::config::{Environment, ForgeConfig, ForgeKind, Level};
use crate::redact::Redactor;

/// What everything begins with that we write at a forge. Browsers show nothing of it.
pub const MARK: &str = "<!-- regreen:";

/// The line by which a text of ours is found again: about `what`, such as `run=0198…`.
pub fn mark(what: &str) -> String {
    let mut plain: String =
        what.chars().filter(|c| c.is_ascii_alphanumeric() || "=/_.#:-".contains(*c)).collect();
    // Two hyphens would end the comment.
    while plain.contains("--") {
        plain = plain.replace("--", "-");
    }
    format!("{MARK}{plain} -->")
}

/// A repo at a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosted {
    /// The branch that its work goes to.
    pub default_branch: String,
    /// Whether we may push to it.
    pub may_push: bool,
}

/// A pull request, or a merge request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// What the forge's other interface calls it; may be empty.
    pub node: String,
    /// Where people see it.
    pub url: String,
    /// Its title, without what says that it is a draft.
    pub title: String,
    /// Its text.
    pub body: String,
    /// Whether it is a draft.
    pub draft: bool,
    /// Whether it is open.
    pub open: bool,
    /// The branch that it brings.
    pub head: String,
    /// Its commit.
    pub commit: String,
    /// The branch that it is for.
    pub base: String,
    /// Whether the head is in another repo: a fork.
    pub from_fork: bool,
}

/// A pull request that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRequest {
    /// One line.
    pub title: String,
    /// Markdown.
    pub body: String,
    /// The branch that it brings.
    pub head: String,
    /// The branch that it is for.
    pub base: String,
}

/// An issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Its title.
    pub title: String,
    /// Its text, Markdown.
    pub body: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// Whether it is open.
    pub open: bool,
    /// Where people see it.
    pub url: String,
}

/// A comment below an issue or a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// Its number.
    pub id: u64,
    /// Who wrote it.
    pub author: String,
    /// Markdown.
    pub body: String,
}

/// How a commit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Something is being done.
    Pending,
    /// It is proven.
    Proven,
    /// It is not.
    Failed,
}

/// A build of CI: a workflow's run, a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Whether it failed, as it stands now.
    pub failed: bool,
    /// The commit that it built.
    pub commit: String,
    /// The branch that it built.
    pub branch: String,
}

/// Where something is discussed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thread {
    /// The number of the issue or pull request.
    pub number: u64,
    /// Whether it is a pull request.
    pub on_request: bool,
}

/// What a forge can do. Repos go by their full names.
///
/// Errors are [`Fault`](crate::fault::Fault)s where a person can do something about it, and [`Limited`] where the forge wants to be left alone.
#[async_trait]
pub trait Forge: Send + Sync {
    /// Which kind it is.
    fn kind(&self) -> ForgeKind;

    /// What git logs in with for a repo: name and password.
    async fn login(&self, repo: &str) -> Result<(String, SecretString)>;

    /// A repo as it stands.
    async fn repo(&self, repo: &str) -> Result<Hosted>;

    /// The commit of a branch, and whether the branch is protected; `None` where there is none.
    async fn branch(&self, repo: &str, branch: &str) -> Result<Option<(String, bool)>>;

    /// The pull request of this number.
    async fn request(&self, repo: &str, number: u64) -> Result<PullRequest>;

    /// The open pull request that brings a branch of the repo itself, if there is one.
    async fn request_of(&self, repo: &str, head: &str) -> Result<Option<PullRequest>>;

    /// Opens a pull request, as a draft where the repo has drafts.
    async fn open(&self, repo: &str, new: &NewRequest) -> Result<PullRequest>;

    /// Gives a pull request other words.
    async fn rewrite(&self, repo: &str, request: &PullRequest, title: &str, body: &str) -> Result<()>;

    /// Takes a pull request out of its draft.
    async fn ready(&self, repo: &str, request: &PullRequest) -> Result<()>;

    /// Says of a commit how it stands.
    async fn stand(&self, repo: &str, commit: &str, standing: Standing, words: &str) -> Result<()>;

    /// What was said, the oldest first.
    async fn comments(&self, repo: &str, thread: Thread) -> Result<Vec<Comment>>;

    /// Says something.
    async fn comment(&self, repo: &str, thread: Thread, body: &str) -> Result<()>;

    /// Says something else in the place of a comment of ours.
    async fn edit(&self, repo: &str, thread: Thread, comment: u64, body: &str) -> Result<()>;

    /// What a person may do in a repo.
    async fn level(&self, repo: &str, person: &str) -> Result<Level>;

    /// An issue.
    async fn issue(&self, repo: &str, number: u64) -> Result<Issue>;

    /// A build as it stands.
    async fn build(&self, repo: &str, build: u64) -> Result<Build>;

    /// What the jobs of a build printed that failed: the end of each, one after the other.
    async fn failed_log(&self, repo: &str, build: u64) -> Result<String>;
}

/// Says `body` below an issue or a pull request: in the place of what was said there under the same mark.
///
/// # Errors
/// As [`Forge`].
pub async fn say(forge: &dyn Forge, repo: &str, thread: Thread, what: &str, body: &str) -> Result<()> {
    let mark = mark(what);
    let body = format!("{mark}\n{body}");
    let ours = forge.comments(repo, thread).await?.into_iter().find(|said| said.body.starts_with(&mark));
    match ours {
        Some(said) if said.body.trim_end() == body.trim_end() => Ok(()),
        Some(said) => forge.edit(repo, thread, said.id, &body).await,
        None => forge.comment(repo, thread, &body).await,
    }
}

/// Connects to a forge.
///
/// # Errors
/// A [`Fault`](crate::fault::Fault) where it has no token, or its address cannot be used.
pub fn connect(
    config: &ForgeConfig,
    environment: &Environment,
    redactor: &Redactor,
) -> Result<Arc<dyn Forge>> {
    Ok(match config.kind {
        ForgeKind::Github => Arc::new(github::Github::new(config, environment, redactor)?),
        ForgeKind::Gitlab => Arc::new(gitlab::Gitlab::new(config, environment, redactor)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_ends_where_we_end_it() {
        assert_eq!(mark("thread=github:o/r#12"), "<!-- regreen:thread=github:o/r#12 -->");
        assert_eq!(mark("x --> <script>--y\n"), "<!-- regreen:x-script-y -->");
        assert!(!mark("a------b").contains("--b"));
    }
}
