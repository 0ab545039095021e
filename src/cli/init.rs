//! `regreen init`: detects the checks of a repo and writes them to `regreen.toml`.

use std::io::Write;

use anyhow::Result;

use super::paint::{GOOD, line, out, paint, say};
use crate::config;
use crate::fault::{Exit, Fault};
use crate::git::Repo;

/// Detect the checks of a repo and write regreen.toml.
#[derive(Debug, clap::Args)]
pub(super) struct Init {
    #[command(flatten)]
    place: super::Place,
    /// Print it instead of writing it
    #[arg(long)]
    print: bool,
    /// Replace a regreen.toml that is there
    #[arg(long)]
    force: bool,
}

impl Init {
    pub(super) async fn run(self) -> Result<Exit> {
        let place = self.place.repo.canonicalize().map_err(|error| {
            Fault::usage(format!("{}: {error}", self.place.repo.display())).hint("--repo names a folder")
        })?;
        let root = Repo::discover(&place).await?.map_or(place, |repo| repo.root().to_owned());
        let programs = config::Programs::of(config::Environment::from_process().get("PATH"));
        let detected = config::detect(&root, &programs);
        let text = config::render_toml(&detected);
        if self.print {
            out(&text)?;
            return Ok(Exit::Green);
        }
        let path = root.join(config::REPO_FILE);
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).create_new(!self.force);
        let mut file = options.open(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Fault::usage(format!("{} is there already", path.display()))
                .hint("--force replaces it, --print shows what would be written"),
            _ => Fault::usage(format!("{} cannot be written: {error}", path.display())),
        })?;
        file.write_all(text.as_bytes())?;
        if detected.checks.is_empty() {
            say(&format!(
                "wrote {} without a check: none of the project files here is known; add yours to it",
                config::REPO_FILE
            ));
        } else {
            say(&format!("{} wrote {}:", paint(GOOD, "✔"), config::REPO_FILE));
            for check in &detected.checks {
                let place = if check.dir.is_empty() {
                    String::new()
                } else {
                    format!("  (in {})", line(&check.dir, 60))
                };
                say(&format!("  {:<14} {}{place}", check.name, check.run.display()));
            }
        }
        for note in &detected.notes {
            say(&format!("  {note}"));
        }
        Ok(Exit::Green)
    }
}
