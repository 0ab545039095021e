//! What is known of an issue, and whose turn it is to look at it.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::store::{JiraIssue, Store};

/// How long a row is held without being written: longer than any call to Jira takes.
pub const HOLD: Duration = Duration::from_secs(180);

/// Where an issue stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Nothing was done about it.
    #[default]
    New,
    /// A plan is being made.
    Planning,
    /// A plan waits for somebody's word.
    Review,
    /// Questions wait for answers.
    Asking,
    /// An epic's stories are being made.
    Making,
    /// A story waits for the ones before it.
    Waiting,
    /// It is being implemented; an epic: its stories are.
    Working,
    /// It is implemented, for people to look at.
    Done,
    /// It could not be done, and a person has it.
    Failed,
}

/// What is known of an issue besides its row's columns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Where it stands.
    pub stage: Stage,
    /// The plan that is proposed, or carried out.
    pub plan: Option<Value>,
    /// The last comment that was taken into account.
    pub heard: u64,
    /// The comment that is kept up to date.
    pub comment: Option<u64>,
    /// The digest of what it says.
    pub said: Option<String>,
    /// The status that the issue was moved to last.
    pub status: Option<String>,
    /// The branch of its commits.
    pub branch: Option<String>,
    /// How many runs were begun for it.
    pub round: u32,
    /// Whether a person was given the issue.
    pub handed_over: bool,
    /// The steps of its plan that were moved on, by their numbers: `true` where they are done.
    pub moved: std::collections::BTreeMap<String, bool>,
}

impl State {
    /// Another run begins.
    pub fn begin(&mut self, stage: Stage) {
        self.stage = stage;
        self.round += 1;
        self.status = None;
        self.handed_over = false;
    }
}

/// A row that this process holds. What is known of it is written before anything follows from it.
pub struct Held<'s> {
    store: &'s Store,
    holder: String,
    /// Whether it is still ours.
    is_held: bool,
    /// The row.
    pub row: JiraIssue,
    /// What is known.
    pub state: State,
}

impl<'s> Held<'s> {
    /// Takes the row of an issue; `None` where somebody else has it.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn take(store: &'s Store, issue: &str) -> Result<Option<Self>> {
        let holder = uuid::Uuid::now_v7().simple().to_string();
        let Some(row) = store.hold_jira_issue(issue, &holder, HOLD).await? else { return Ok(None) };
        let state: Option<State> =
            serde_json::from_value(row.state.clone()).context("the state of an issue is not understood")?;
        Ok(Some(Self { store, holder, is_held: true, row, state: state.unwrap_or_default() }))
    }

    /// Whether nothing was done about the issue, and nothing is to be.
    pub fn is_blank(&self) -> bool {
        self.state.stage == Stage::New && self.row.parent.is_none()
    }

    /// Writes down what is known.
    ///
    /// # Errors
    /// Where another process has the row by now: nothing more may be done then.
    pub async fn keep(&mut self) -> Result<()> {
        self.row.state = serde_json::to_value(&self.state)?;
        let kept = self.store.keep_jira_issue(&self.row, &self.holder, HOLD).await?;
        anyhow::ensure!(kept, "{} was taken over by another process", self.row.issue);
        Ok(())
    }

    /// Lets go of the row for `pause`.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn let_go(&mut self, pause: Duration) -> Result<()> {
        self.is_held = false;
        self.store.let_go_of_jira_issue(&self.row.issue, &self.holder, pause).await
    }

    /// Forgets an issue that is of no concern.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn forget(&mut self) -> Result<()> {
        self.store.forget_jira_issue(&self.row, &self.holder).await?;
        self.let_go(Duration::ZERO).await
    }
}

impl Drop for Held<'_> {
    /// Who is called off amid a look keeps nobody waiting.
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.is_held {
            let (store, issue) = (self.store.clone(), self.row.issue.clone());
            let holder = std::mem::take(&mut self.holder);
            runtime.spawn(async move {
                if let Err(error) = store.let_go_of_jira_issue(&issue, &holder, Duration::ZERO).await {
                    tracing::debug!(issue, "it is held until its time is over: {error:#}");
                }
            });
        }
    }
}
