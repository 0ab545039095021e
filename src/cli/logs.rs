//! `regreen logs RUN [-f]`: what happened, event by event, and what checks printed.

use std::time::Duration;

use anyhow::Result;

use super::live::{Teller, lay_out, short};
use super::page::Page;
use super::paint::{CARE, DIM, out, paint, plain, say};
use super::session::Session;
use crate::clock::human;
use crate::fault::{Exit, Fault};
use crate::run::Run;
use crate::run::events::{Event, Record};
use crate::run::journal::records;

/// Print what happened in a run, and follow it.
#[derive(Debug, clap::Args)]
pub(super) struct Logs {
    /// The run: its id, the start or the end of it, or `last`; the newest where none is given
    run: Option<String>,
    /// Go on until the run is over, or its process is gone
    #[arg(long, short)]
    follow: bool,
    /// Also print the output of this check, or of all with `all`
    #[arg(long, value_name = "NAME")]
    check: Option<String>,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

/// How often a followed run is looked at.
const LOOK: Duration = Duration::from_millis(250);

impl Logs {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        let id = session.find(self.run.as_deref()).await?.id;
        let mut state: Option<Run> = None;
        let mut teller = Teller::default();
        let mut seen = 0;
        loop {
            // Asked first: whoever gives the run up after that has written its last event before.
            let held = session.store.is_held(&id).await?;
            for record in records(&session.store, &id, seen).await? {
                seen = record.seq;
                match (&mut state, &record.event) {
                    (Some(run), _) => run.apply(&record),
                    (none, Event::Started(spec)) => *none = Some(Run::new(&id, spec, record.at)),
                    (None, _) => {
                        return Err(Fault::usage("the run's events do not begin with its start").into());
                    }
                }
                if let Some(run) = &state {
                    self.print(&session, &record, run, &mut teller)?;
                }
            }
            let over = state.as_ref().is_none_or(|run| run.finished.is_some());
            if over || !self.follow {
                return Ok(Exit::Green);
            }
            if !held {
                let id = short(&id);
                say(&paint(
                    CARE,
                    format!("no process works on this run any more; to go on: regreen resume {id}"),
                ));
                return Ok(Exit::Green);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn print(&self, session: &Session, record: &Record, run: &Run, teller: &mut Teller) -> Result<()> {
        if self.json {
            return out(&serde_json::to_string(record)?);
        }
        let rows = teller.told(&record.event, run);
        if !rows.is_empty() {
            let since = human(record.at.duration_since(run.began).unsigned_abs());
            let since = paint(DIM, format!("{since:>8} "));
            out(&lay_out(&rows, &since, Page::of_stdout()))?;
        }
        let (Event::Checked { outcome, .. }, Some(wanted)) = (&record.event, &self.check) else {
            return Ok(());
        };
        if wanted != "all" && *wanted != outcome.check {
            return Ok(());
        }
        let log = outcome.log.as_ref().and_then(|path| std::fs::read(session.state.join(path)).ok());
        let text =
            log.map_or_else(|| outcome.tail.clone(), |bytes| String::from_utf8_lossy(&bytes).into_owned());
        out(&plain(&text))
    }
}
