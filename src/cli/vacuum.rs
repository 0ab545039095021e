//! `regreen vacuum`: removes what is older than the configuration keeps.

use anyhow::Result;

use super::page::Page;
use super::paint::{CARE, out, paint, say, table};
use super::session::Session;
use crate::config::render_size;
use crate::fault::{Exit, Fault};
use crate::retention::{Removed, Sum, sweep};

/// Remove what is older than `[retention]` of the configuration keeps.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
`regreen serve` and `regreen worker` do this by themselves, once an hour. Runs that are not over, and what rollbacks need, are not touched.")]
pub(super) struct Vacuum {
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Then give the room in the database file back to the disk; nobody can write while that lasts (SQLite)
    #[arg(long, conflicts_with = "dry_run")]
    compact: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

impl Vacuum {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        let rules = &session.settings.user.retention;
        if rules.is_empty() && !self.compact {
            return Err(Fault::usage("the configuration keeps everything: there is nothing to remove")
                .hint("[retention] says what to keep for how long (docs/operations.md)")
                .into());
        }
        let now = session.clock.now();
        let removed = sweep(&session.store, &session.objects, rules, now, self.dry_run).await?;
        if self.compact {
            session.store.compact().await?;
        }
        out(&if self.json { serde_json::to_string_pretty(&removed)? } else { self.text(&removed) })?;
        if self.dry_run && !self.json {
            say(&paint(CARE, "nothing was removed (--dry-run)"));
        }
        session.store.close().await;
        Ok(Exit::Green)
    }

    fn text(&self, removed: &Removed) -> String {
        let row = |name: &str, sum: Sum| vec![name.to_owned(), sum.count.to_string(), render_size(sum.bytes)];
        let title = if self.dry_run { "WOULD BE REMOVED" } else { "REMOVED" };
        let rows = [
            vec![title.to_owned(), "RUNS".to_owned(), "SIZE".to_owned()],
            row("logs", removed.logs),
            row("logs in the bucket", removed.bucket),
            row("prompts", removed.prompts),
            row("events", removed.events),
            row("events of landings", removed.landings),
        ];
        table(&rows, Page::of_stdout())
    }
}
