//! `regreen memory`: what was learnt from fixes that worked.

use anyhow::{Context, Result};

use super::live::short;
use super::page::Page;
use super::paint::{folder, line, out, plain, say, table};
use super::session::Session;
use crate::fault::Exit;

/// What was learnt from fixes that worked.
#[derive(Debug, clap::Args)]
pub(super) struct Memory {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List remembered fixes
    List {
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Show one with its patch
    Show {
        /// The fix, as listed
        id: String,
    },
    /// Forget one
    Forget {
        /// The fix, as listed
        id: String,
    },
    /// Write all of them to standard output, one JSON object per line
    Export,
    /// Read what was exported from standard input
    Import,
}

impl Memory {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        let store = &session.store;
        match self.what {
            What::List { json } => {
                let mut rows = vec![
                    ["ID", "PROVEN (UTC)", "FAULT", "FIXER", "WORKED", "RUN", "REPO"]
                        .map(String::from)
                        .to_vec(),
                ];
                for one in crate::memory::list(store, None).await? {
                    if json {
                        out(&serde_json::to_string(&one)?)?;
                        continue;
                    }
                    rows.push(vec![
                        one.id.chars().take(8).collect(),
                        one.verified_at.strftime("%Y-%m-%d").to_string(),
                        line(one.category.as_deref().unwrap_or("–"), 20),
                        line(&one.fixer, 40),
                        format!("{} of {}", one.successes, one.uses),
                        short(&one.run).to_owned(),
                        folder(&one.repo),
                    ]);
                }
                if !json {
                    out(&if rows.len() == 1 {
                        "nothing is remembered yet; every proven repair of `regreen heal` is\n".to_owned()
                    } else {
                        table(&rows, Page::of_stdout())
                    })?;
                }
            }
            What::Show { id } => {
                let one = crate::memory::show(store, &id).await?;
                let head =
                    format!("{} by {}, proven in run {}", one.id, line(&one.fixer, 80), short(&one.run));
                out(&format!(
                    "{head}\n{}\n{}\n",
                    plain(&one.explanation),
                    serde_json::to_string_pretty(&one.recipe)?
                ))?;
            }
            What::Forget { id } => {
                let one = crate::memory::forget(store, &id).await?;
                say(&format!("{} is forgotten", one.id));
            }
            What::Export => {
                let text = crate::memory::export(store, None).await?;
                if !text.is_empty() {
                    out(&text)?;
                }
            }
            What::Import => {
                use std::io::Read;
                let mut text = String::new();
                let most = 64 << 20;
                std::io::stdin()
                    .lock()
                    .take(most)
                    .read_to_string(&mut text)
                    .context("cannot read standard input")?;
                let done = crate::memory::import(store, &text, None).await?;
                say(&format!("{} fixes imported, {} were known", done.added, done.known));
            }
        }
        Ok(Exit::Green)
    }
}
