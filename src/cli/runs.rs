//! `regreen runs`: what was run, newest first.

use anyhow::Result;

use super::live::short;
use super::paint::{line, out, table};
use super::session::Session;
use crate::fault::Exit;
use crate::store::RunFilter;

/// List runs.
#[derive(Debug, clap::Args)]
pub(super) struct Runs {
    /// How many
    #[arg(long, short = 'n', default_value_t = 20)]
    limit: u32,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

impl Runs {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        let mut rows = vec![["RUN", "WHEN", "STATUS", "COST", "GOAL", "REPO"].map(String::from).to_vec()];
        for row in session.store.runs(&RunFilter::default(), self.limit).await? {
            if self.json {
                out(&serde_json::to_string(&row)?)?;
                continue;
            }
            rows.push(vec![
                short(&row.id).to_owned(),
                row.created_at.strftime("%Y-%m-%d %H:%M").to_string(),
                row.outcome.clone().unwrap_or_else(|| row.status.as_str().to_owned()),
                row.cost.to_string(),
                line(&row.goal, 40),
                line(&row.repo, 60),
            ]);
        }
        if !self.json {
            out(&if rows.len() == 1 {
                "no runs yet: regreen heal -- CMD\n".to_owned()
            } else {
                table(&rows)
            })?;
        }
        Ok(Exit::Green)
    }
}
