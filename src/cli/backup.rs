//! `regreen backup FOLDER` and `regreen restore FOLDER`.

use std::path::PathBuf;

use anyhow::Result;

use super::paint::{CARE, GOOD, NAME, paint, say};
use super::session::{DATABASE, Session};
use crate::backup::{make, restore, sweep};
use crate::clock::{Clock, SystemClock};
use crate::config::{Environment, Settings, open_state_dir, render_size};
use crate::fault::{Exit, Fault};

/// Copy the store, its logs and its snapshots into a new folder, while others work.
#[derive(Debug, clap::Args)]
pub(super) struct Backup {
    /// The folder to make
    folder: PathBuf,
}

/// Put a backup back.
#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// The folder that `regreen backup` made
    folder: PathBuf,
    /// Put aside what is there
    #[arg(long)]
    overwrite: bool,
}

impl Backup {
    pub(super) async fn run(self) -> Result<Exit> {
        refuse_server(&Environment::from_process())?;
        let session = Session::open(None).await?;
        if let Some(parent) = self.folder.parent() {
            let _ = sweep(if parent.as_os_str().is_empty() { ".".as_ref() } else { parent });
        }
        let made = make(&session.store, &session.state, &self.folder, session.clock.now()).await?;
        session.store.close().await;
        say(&format!(
            "{} {}: {} files, {}",
            paint(GOOD, "✔"),
            paint(NAME, self.folder.display()),
            made.files,
            render_size(made.bytes)
        ));
        for run in &made.without_snapshot {
            say(&paint(
                CARE,
                format!("  run {run} is not over and has no snapshot: it cannot be resumed from this backup"),
            ));
        }
        Ok(Exit::Green)
    }
}

impl Restore {
    pub(super) async fn run(self) -> Result<Exit> {
        let environment = Environment::from_process();
        refuse_server(&environment)?;
        let state = open_state_dir(&Settings::load(&environment, None)?.state)?;
        let restored = restore(&self.folder, &state, self.overwrite, SystemClock.now()).await?;
        let when = restored.manifest.made_at.strftime("%Y-%m-%d %H:%M:%S UTC");
        say(&format!(
            "{} the state of {when} is back: {} files",
            paint(GOOD, "✔"),
            restored.manifest.files.len()
        ));
        if let Some(aside) = restored.put_aside {
            say(&format!("  what was there before is in {}", paint(NAME, aside.display())));
        }
        Ok(Exit::Green)
    }
}

/// A server has tools of its own, which do this better.
fn refuse_server(environment: &Environment) -> Result<(), Fault> {
    match environment.secret(DATABASE) {
        None => Ok(()),
        Some(_) => Err(Fault::usage("the store is a PostgreSQL, which is saved by its own tools").hint(
            "`pg_dump --format=custom` saves the tables; copy the folders logs and snapshots of each machine's state folder after it (docs/operations.md)",
        )),
    }
}
