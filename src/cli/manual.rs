//! `regreen man DIR`: the manual's pages.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::CommandFactory;

use super::paint::say;
use crate::fault::Exit;

/// Write the manual's pages.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  regreen man ~/.local/share/man/man1 && man regreen-heal")]
pub(super) struct Manual {
    /// The folder that they are written to; it is made where it is not there
    folder: PathBuf,
}

impl Manual {
    pub(super) fn run(self) -> Result<Exit> {
        let folder = &self.folder;
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        clap_mangen::generate_to(super::Arguments::command(), folder)
            .with_context(|| format!("cannot write to {}", folder.display()))?;
        say(&format!("the pages are in {}", folder.display()));
        Ok(Exit::Green)
    }
}
