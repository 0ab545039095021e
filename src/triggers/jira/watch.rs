//! What a process that stays does about Jira: it takes what was delivered, asks what changed, and looks at issues whose runs moved on.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::board::{Board, Looked, told};
use super::client::is_key;
use crate::store::{Delivery, Turn};
use crate::triggers::{Reacted, Reaction};

/// How often it is looked whether an issue is due.
const EVERY: Duration = Duration::from_millis(1000);
/// Issues that are looked at in one go.
const BATCH: u32 = 20;
/// How long a look may take to its end once it should come to it.
const PATIENCE: Duration = Duration::from_secs(20);
/// What is asked for again at each poll: clocks differ, and a search may not know yet what was just changed.
const OVERLAP: Duration = Duration::from_secs(300);

/// What is done about Jira's deliveries.
pub struct Deliveries(pub Arc<Board>);

#[async_trait]
impl Reaction for Deliveries {
    fn source(&self) -> &'static str {
        "jira"
    }

    async fn react(&self, delivery: &Delivery) -> Result<Reacted> {
        let key =
            delivery.payload["issue"].as_str().filter(|key| is_key(key)).context("it names no issue")?;
        // It stands in the table then, and is looked at again where this look cannot do it.
        self.0.store.want_jira_issue(key).await?;
        Ok(match self.0.look(key).await? {
            Looked::Done(what) => Reacted::done(format!("{key}: {what}")),
            Looked::Nothing(why) => Reacted::ignored(format!("{key}: {why}")),
            Looked::Later(_) | Looked::Busy => Reacted::done(format!("{key} is looked at later")),
        })
    }
}

/// Looks after issues, until it is told to end.
pub struct Watcher {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Watcher {
    /// Begins.
    pub fn start(board: Arc<Board>) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, task: tokio::spawn(look_after(board, stopped)) }
    }

    /// Ends once the look that is under way is over, if that does not take long.
    pub async fn end(mut self) {
        let _ = self.stop.send(true);
        if tokio::time::timeout(PATIENCE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

async fn look_after(board: Arc<Board>, mut stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        if let Err(error) = poll(&board).await {
            tracing::warn!("Jira was not asked what changed: {error:#}");
        }
        match board.store.due_jira_issues(BATCH).await {
            Ok(due) => {
                for key in due {
                    if *stopped.borrow() {
                        return;
                    }
                    if let Err(error) = board.look(&key).await {
                        tracing::warn!(issue = key, "it could not be dealt with: {error:#}");
                    }
                }
            }
            Err(error) => tracing::warn!("nobody knows which issues are due: {error:#}"),
        }
        let _ = tokio::time::timeout(EVERY, stopped.changed()).await;
    }
}

/// Asks Jira what changed since it was asked last, if it is time and nobody else does.
///
/// # Errors
/// Where Jira or the database fail; the same is asked again next time.
async fn poll(board: &Board) -> Result<()> {
    let Some(every) = board.config.poll else { return Ok(()) };
    let site = board.digest("");
    if board.store.take_turn(&format!("jira {site}"), every).await? != Turn::Ours {
        return Ok(());
    }
    let began = tokio::time::Instant::now();
    let since = match board.store.jira_polled(&site).await? {
        // Minutes ago, as moments would be read in the time zone of the account.
        Some(ago) => format!(" AND updated >= -{}m", (ago + OVERLAP).as_secs().div_ceil(60)),
        None => String::new(),
    };
    let jql = format!("assignee = currentUser() AND statusCategory != Done{since} ORDER BY updated ASC");
    for key in told(board.jira.search(&jql).await)? {
        board.store.want_jira_issue(&key).await?;
    }
    board.store.end_jira_poll(&site, began.elapsed()).await
}
