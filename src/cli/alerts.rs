//! `regreen alerts`: what is wrong with the service as a whole.

use anyhow::Result;

use super::page::Page;
use super::paint::{BAD, CARE, DIM, GOOD, line, out, paint, say, table};
use super::session::Session;
use crate::alerts;
use crate::fault::{Exit, Fault};
use crate::store::{AlertRow, Asked, short};

/// What is wrong with the service as a whole, by the rules of the configuration.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  regreen alerts               those that are open
  regreen alerts --all         those that are over, too
  regreen alerts ack 4f1c09aa  somebody knows of it
  regreen alerts test          tell every channel that it works

`regreen serve` and `regreen worker` look at the rules every minute, one of them for all; this command looks at once. The rules are the
section [alerts] of the configuration; [alerts.channels] says who is told, and this command tells what is due, too."
)]
pub(super) struct Alerts {
    #[command(subcommand)]
    what: Option<What>,
    /// Also those that are over, the newest first
    #[arg(long)]
    all: bool,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Say that you know of an alert; it stays open until it is over
    Ack {
        /// The alert: its id, or the end of it
        alert: String,
    },
    /// Tell a channel, or all of them, that it works
    Test {
        /// Its name in [alerts.channels]
        channel: Option<String>,
    },
}

/// The most that are listed.
const MOST: u32 = 1000;

impl Alerts {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        if let Some(What::Ack { alert }) = &self.what {
            return acknowledge(&session, alert).await;
        }
        if let Some(What::Test { channel }) = &self.what {
            return test(&session, channel.as_deref()).await;
        }
        let user = &session.settings.user;
        if user.alerts.enabled {
            alerts::check(&session.store, &user.alerts, user.budget.day, &user.channels).await?;
        }
        if !user.channels.is_empty() {
            session.postman()?.deliver_due(&session.store).await?;
        }
        let found = session.store.alerts(!self.all, MOST).await?;
        if self.json {
            for alert in &found {
                out(&serde_json::to_string(alert)?)?;
            }
            return Ok(Exit::Green);
        }
        match (found.is_empty(), user.alerts.enabled) {
            (true, true) => out("nothing is wrong by the rules of [alerts]\n")?,
            (true, false) => out("[alerts] are switched off in the configuration\n")?,
            (false, _) => out(&list(&found))?,
        }
        Ok(Exit::Green)
    }
}

/// Tells channels that they work.
async fn test(session: &Session, named: Option<&str>) -> Result<Exit> {
    let channels = &session.settings.user.channels;
    let chosen: Vec<_> = channels.iter().filter(|one| named.is_none_or(|name| one.name == name)).collect();
    if chosen.is_empty() {
        let fault = Fault::usage(match named {
            Some(name) => format!("there is no channel {name:?}"),
            None => "there are no channels".to_owned(),
        });
        return Err(fault
            .hint("[alerts.channels.NAME] of the configuration makes one (docs/configuration.md)")
            .into());
    }
    let postman = session.postman()?;
    let mut exit = Exit::Green;
    for channel in chosen {
        match postman.try_out(&session.store, &channel.name).await {
            Ok(()) => say(&format!("{} {} ({}) was told", paint(GOOD, "✔"), channel.name, channel.kind())),
            Err(error) => {
                say(&format!("{} {} ({}): {error:#}", paint(BAD, "✘"), channel.name, channel.kind()));
                exit = Exit::CannotJudge;
            }
        }
    }
    Ok(exit)
}

fn list(found: &[AlertRow]) -> String {
    let mut rows = vec![["ALERT", "RULE", "SINCE (UTC)", "STATE", "WHAT"].map(String::from).to_vec()];
    for alert in found {
        let state = match (&alert.recovered_at, &alert.acknowledged_by) {
            (Some(_), _) => paint(GOOD, "over".to_owned()),
            (None, Some(who)) => paint(CARE, format!("known to {}", line(who, 40))),
            (None, None) => paint(BAD, "open".to_owned()),
        };
        rows.push(vec![
            short(&alert.id).to_owned(),
            line(&alert.rule, 20),
            alert.since.strftime("%Y-%m-%d %H:%M").to_string(),
            state,
            format!("{}; {}", line(&alert.message, 300), paint(DIM, line(&alert.action, 300))),
        ]);
    }
    table(&rows, Page::of_stdout())
}

async fn acknowledge(session: &Session, alert: &str) -> Result<Exit> {
    let actor = &crate::process::user();
    let asked = Asked { actor, action: "alerts ack", target: alert, ..Asked::default() };
    let entry = session.store.audit_begin(&asked).await?;
    let known = session.store.acknowledge_alert(alert, actor).await;
    session.store.audit_end(&entry, if known.is_ok() { 200 } else { 404 }, None).await?;
    let known = known?;
    let who = known.acknowledged_by.unwrap_or_default();
    say(&format!("{} the alert {} is known to {}", paint(GOOD, "✔"), short(&known.id), line(&who, 64)));
    Ok(Exit::Green)
}
