//! `regreen runs`: what was run, newest first.

use anyhow::Result;

use super::live::short;
use super::page::Page;
use super::paint::{BAD, CARE, GOOD, NAME, folder, line, out, paint, table};
use super::session::Session;
use crate::clock::human;
use crate::fault::Exit;
use crate::run::journal::load;
use crate::store::{RunFilter, RunRow, Status};

/// List runs, newest first.
#[derive(Debug, clap::Args)]
pub(super) struct Runs {
    /// The most that are listed
    #[arg(long, short = 'n', default_value_t = 20)]
    limit: u32,
    /// Only those that stand so
    #[arg(long, value_enum)]
    status: Option<Status>,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

impl Runs {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        let mut rows = vec![
            ["RUN", "BEGAN (UTC)", "STATUS", "TOOK", "TRIES", "COST", "REPO", "GOAL"]
                .map(String::from)
                .to_vec(),
        ];
        let cut_off = session.store.unfinished().await?;
        let filter = RunFilter { status: self.status, ..RunFilter::default() };
        for mut row in session.store.runs(&filter, self.limit).await? {
            let run = load(&session.store, &row.id).await.ok();
            if let Some(run) = &run {
                // The store's own count has those that passed on, too.
                row.attempts = run.counted() as u64;
            }
            if self.json {
                out(&serde_json::to_string(&row)?)?;
                continue;
            }
            // A ticket's own row in the store has what the plan cost: that of its sub-tasks stands in theirs.
            let cost = run.as_ref().map_or(row.cost, |run| run.spent);
            rows.push(vec![
                short(&row.id).to_owned(),
                row.created_at.strftime("%Y-%m-%d %H:%M").to_string(),
                match &run {
                    Some(run) if run.rolled_back.is_some() => paint(CARE, "taken back".to_owned()),
                    _ => status(&row, cut_off.iter().any(|one| one.id == row.id)),
                },
                // The moments of the row would count the time until it was taken up again, or back.
                run.map_or("–".to_owned(), |run| human(run.took)),
                row.attempts.to_string(),
                if cost.0 == 0 { "–".to_owned() } else { cost.to_string() },
                folder(&row.repo),
                line(&row.goal, 80),
            ]);
        }
        if !self.json {
            out(&if rows.len() == 1 {
                "no runs yet; `regreen heal -- CMD` begins one, `regreen demo` shows some\n".to_owned()
            } else {
                table(&rows, Page::of_stdout())
            })?;
        }
        Ok(Exit::Green)
    }
}

/// How a run stands, in a word. One that is under way and that no process has was cut off, and waits for `resume`.
fn status(row: &RunRow, cut_off: bool) -> String {
    let stands = || if cut_off { "cut off" } else { row.status.as_str() }.to_owned();
    let word = row.outcome.clone().unwrap_or_else(stands);
    let style = match row.exit {
        Some(0) => GOOD,
        Some(1) => BAD,
        Some(_) => CARE,
        None if cut_off => CARE,
        None => NAME,
    };
    paint(style, line(&word, 20))
}
