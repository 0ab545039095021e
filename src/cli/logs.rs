//! `regreen logs RUN [-f]`: what happened, event by event, and what checks printed.

use std::time::Duration;

use anyhow::Result;

use super::live::{Teller, lay_out, short};
use super::page::Page;
use super::paint::{CARE, DIM, line, out, paint, plain, say};
use super::session::Session;
use crate::clock::human;
use crate::fault::Exit;
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

/// Bytes of a log that are printed: more than are ever kept.
const LOG: u64 = 1 << 30;

/// How often a followed run is looked at.
const LOOK: Duration = Duration::from_millis(250);

impl Logs {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        let id = match self.run.as_deref() {
            // A run that waits has no state yet, only an id.
            Some(name) if name != "last" => session.store.run(name).await?.id,
            name => session.find(name).await?.id,
        };
        self.follow(&session, &id).await
    }

    /// Follows a run until it is over, as `--follow` does.
    pub(super) async fn of(session: &Session, id: &str, json: bool) -> Result<()> {
        let logs = Self { run: None, follow: true, check: None, json };
        logs.follow(session, id).await.map(drop)
    }

    async fn follow(&self, session: &Session, id: &str) -> Result<Exit> {
        let mut state: Option<Run> = None;
        let mut teller = Teller::default();
        let mut seen = 0;
        let mut over = false;
        loop {
            // Asked first: whoever gives the run up after that has written its last event before.
            let held = session.store.is_held(id).await? || session.store.queued(id).await?.is_some();
            for record in records(&session.store, id, seen).await? {
                seen = record.seq;
                match (&mut state, &record.event) {
                    (Some(run), _) => run.apply(&record),
                    (none, Event::Started(spec)) => *none = Some(Run::new(id, spec, record.at)),
                    // It waits in the queue, or ended there.
                    (None, _) => {}
                }
                over = matches!(record.event, Event::Finished { .. });
                match &state {
                    Some(run) => self.print(session, &record, run, &mut teller).await?,
                    None if self.json => out(&serde_json::to_string(&record)?)?,
                    None => self.print_waiting(&record)?,
                }
            }
            if over || !self.follow {
                return Ok(Exit::Green);
            }
            if !held {
                let id = short(id);
                say(&paint(
                    CARE,
                    format!("no process works on this run any more; to go on: regreen resume {id}"),
                ));
                return Ok(Exit::Green);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// An event of a run that has not begun.
    fn print_waiting(&self, record: &Record) -> Result<()> {
        let said = match &record.event {
            Event::Submitted(_) => "submitted: a worker begins it (`regreen worker`)".to_owned(),
            Event::Stopped { why, .. } => line(why, 200),
            _ => return Ok(()),
        };
        out(&format!("{} {said}\n", paint(DIM, format!("{:>8}", "–"))))
    }

    async fn print(&self, session: &Session, record: &Record, run: &Run, teller: &mut Teller) -> Result<()> {
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
        let log = match &outcome.log {
            Some(key) => session.objects.end(key, LOG).await,
            None => None,
        };
        let text =
            log.map_or_else(|| outcome.tail.clone(), |bytes| String::from_utf8_lossy(&bytes).into_owned());
        out(&plain(&text))
    }
}
