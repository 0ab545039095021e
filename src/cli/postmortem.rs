//! `regreen postmortem`: what is to be learnt from runs for which nothing that was tried helped.

use std::path::PathBuf;

use anyhow::Result;

use super::live::short;
use super::memory::root;
use super::page::Page;
use super::paint::{CARE, DIM, NAME, line, out, paint, plain, table};
use super::session::Session;
use crate::fault::Exit;
use crate::run::postmortem::PostMortem;
use crate::store::{PostMortemFilter, PostMortemRow};

/// What is to be learnt from runs for which nothing that was tried helped.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regreen postmortem                      the newest ones
  regreen postmortem --find 'borrow shop' those with both words in them
  regreen postmortem 4f1c09aa             one: the cause, what each attempt missed, what would have helped

It is made of the run's events when the run ends; no model is asked. One whose run goes green after all is dropped.")]
pub(super) struct PostMortems {
    /// The run: its id, the start or the end of it, or `last`; without one they are listed
    run: Option<String>,
    /// Only those with all of these words in them
    #[arg(long, value_name = "WORDS", conflicts_with = "run")]
    find: Option<String>,
    /// Only those of this repo
    #[arg(long, value_name = "DIR", conflicts_with = "run")]
    repo: Option<PathBuf>,
    /// The most that are listed
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

impl PostMortems {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        let store = &session.store;
        if let Some(run) = &self.run {
            let id = match run.as_str() {
                "last" => session.find(Some("last")).await?.id,
                name => store.run(name).await?.id,
            };
            let row = store.postmortem(&id).await?;
            out(&if self.json { format!("{}\n", serde_json::to_string(&row)?) } else { told(&row)? })?;
            return Ok(Exit::Green);
        }
        let filter = PostMortemFilter { repo: root(self.repo).await?, text: self.find.clone() };
        let rows = store.postmortems(&filter, None, self.limit).await?;
        if self.json {
            for row in &rows {
                out(&serde_json::to_string(row)?)?;
            }
            return Ok(Exit::Green);
        }
        if rows.is_empty() {
            out(match self.find {
                Some(_) => "no post-mortem has these words in it\n",
                None => "no run ended with nothing left to be tried\n",
            })?;
            return Ok(Exit::Green);
        }
        let mut lines =
            vec![["RUN", "ENDED (UTC)", "CAUSE", "WHAT WOULD HAVE HELPED"].map(String::from).to_vec()];
        lines.extend(rows.iter().map(|row| {
            vec![
                short(&row.run).to_owned(),
                row.at.strftime("%Y-%m-%d %H:%M").to_string(),
                line(&row.cause, 120),
                paint(DIM, line(row.lessons.first().map_or("–", String::as_str), 160)),
            ]
        }));
        out(&table(&lines, Page::of_stdout()))?;
        Ok(Exit::Green)
    }
}

/// One of them for people.
fn told(row: &PostMortemRow) -> Result<String> {
    let learnt: PostMortem = serde_json::from_value(row.body.clone())?;
    let place = learnt.place.as_deref().map(|place| format!("{}: ", plain(place))).unwrap_or_default();
    let kind = learnt.category.as_deref().map(|kind| format!(" ({})", plain(kind))).unwrap_or_default();
    let mut text = format!(
        "{} {}\n\ncause    {place}{}{kind}\nended    {}\n",
        paint(NAME, short(&row.run).to_owned()),
        line(&row.goal, 200),
        plain(&learnt.cause),
        plain(&learnt.ended)
    );
    let page = Page::of_stdout();
    let mut part = |title: &str, lines: Vec<String>| {
        if lines.is_empty() {
            return;
        }
        text += &format!("\n{}\n", paint(CARE, title.to_owned()));
        for one in lines {
            for row in page.wrap(&format!("- {}", plain(&one)), 2, 4) {
                text += &format!("{row}\n");
            }
        }
    };
    part("red at the end", learnt.left);
    let attempts = learnt.attempts.iter();
    part(
        "what each attempt missed",
        attempts.map(|one| format!("{} {}: {}", one.attempt, one.fixer, one.missed)).collect(),
    );
    part(
        "what would have helped",
        learnt.lessons.iter().map(|one| format!("{}: {}", one.kind, one.advice)).collect(),
    );
    Ok(text)
}
