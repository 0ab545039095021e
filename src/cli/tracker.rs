//! What a ticket's run means to the tracker that the ticket is from.

use std::time::Duration;

use anyhow::Result;

use super::paint::{CARE, paint, plain, say};
use super::session::Session;
use crate::config::{Environment, Settings};
use crate::fault::Fault;
use crate::plan::Ticket;
use crate::redact::Redactor;
use crate::run::Run;
use crate::run::events::Trigger;
use crate::triggers::jira::{Board, Jira, Looked, is_key, key_of, read_ticket};

/// How often, and at what distance, it is tried to look at an issue that another process is looking at.
const TRIES: (u32, Duration) = (150, Duration::from_millis(200));

/// The board of the configured Jira, if one is configured.
///
/// # Errors
/// A usage fault where its token is not there.
pub(super) fn board(session: &Session) -> Result<Option<Board>> {
    let Some(config) = &session.settings.user.jira else { return Ok(None) };
    Board::open(config, &session.environment, &session.store, &session.redactor()).map(Some)
}

/// The ticket of an issue.
///
/// # Errors
/// A usage fault where there is no such issue, or no Jira is configured.
pub(super) async fn ticket(key: &str) -> Result<Ticket> {
    if !is_key(key) {
        return Err(Fault::usage(format!("{key:?} is no issue's key")).hint("such as jira:OD-33").into());
    }
    let environment = Environment::from_process();
    let config = Settings::load(&environment, None)?.user.jira.ok_or_else(|| {
        Fault::usage("no Jira is configured").hint("add [jira] to your configuration (docs/jira.md)")
    })?;
    let jira = Jira::connect(&config, &environment, &Redactor::from_env(environment.pairs()))?;
    read_ticket(&jira, &key.to_ascii_uppercase()).await
}

/// A run of a ticket began: its tracker hears of it.
pub(super) async fn begun(session: &Session, run: &Run) {
    let Trigger::Ticket { source, only_plan, .. } = &run.spec.trigger else { return };
    let Some(key) = key_of(source) else { return };
    tell(session, key, Some((&run.id, *only_plan))).await;
}

/// A ticket was put into the queue as this run.
pub(super) async fn queued(session: &Session, run: &str, source: &str) {
    let Some(key) = key_of(source) else { return };
    tell(session, key, Some((run, false))).await;
}

/// A run of a ticket came to an end, or to a stop.
pub(super) async fn moved(session: &Session, run: &Run) {
    let Trigger::Ticket { source, .. } = &run.spec.trigger else { return };
    let Some(key) = key_of(source) else { return };
    tell(session, key, None).await;
}

/// Has an issue follow a run, and looked at. What its tracker does not take now is tried again by whatever process stays, and fails no run.
async fn tell(session: &Session, key: &str, follow: Option<(&str, bool)>) {
    if let Err(error) = try_to_tell(session, key, follow).await {
        let text = format!("{key} was not brought up to date: {error:#}");
        say(&paint(CARE, plain(&text)));
    }
}

async fn try_to_tell(session: &Session, key: &str, mut follow: Option<(&str, bool)>) -> Result<()> {
    let Some(board) = board(session)? else { return Ok(()) };
    session.store.want_jira_issue(key).await?;
    for _ in 0..TRIES.0 {
        if let Some((run, only_plan)) = follow
            && board.follow(key, run, only_plan).await?
        {
            follow = None;
        }
        if follow.is_none() && board.look(key).await? != Looked::Busy {
            return Ok(());
        }
        tokio::time::sleep(TRIES.1).await;
    }
    anyhow::bail!("another process is at it")
}
