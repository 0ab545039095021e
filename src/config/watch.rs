//! Schedules that keep branches green: `[[watch]]`.

use std::path::PathBuf;

use croner::parser::{CronParser, Seconds, Year};

use super::reader::Section;
use crate::fault::Fault;

/// A command that is healed again and again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watch {
    /// The root of the repo's working tree, absolute.
    pub repo: PathBuf,
    /// The branch that has to be checked out there; any where it is `None`.
    pub branch: Option<String>,
    /// When, as a cron pattern in UTC.
    pub cron: String,
    /// What has to be green, as a line for a shell.
    pub run: String,
    /// Where a proven patch goes, as on the command line.
    pub land: String,
    /// Whether no model is asked.
    pub no_model: bool,
}

pub(super) const WATCH: &[&str] = &["repo", "branch", "cron", "run", "land", "no_model"];

/// The pattern with five fields: a minute is the shortest time between two moments.
///
/// # Errors
/// Where it is none.
pub fn pattern(text: &str) -> Result<croner::Cron, croner::errors::CronError> {
    CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build().parse(text)
}

pub(super) fn watch(section: &Section<'_, '_>) -> Result<Watch, Fault> {
    let needed = |key: &'static str, what: &str| -> Result<String, Fault> {
        let text = section.string(key)?.filter(|text| !text.trim().is_empty());
        text.ok_or_else(|| section.wrong(key, &format!("is missing: {what}")))
    };
    let repo = PathBuf::from(needed("repo", "the root of the repo")?);
    if !repo.is_absolute() {
        return Err(section.wrong("repo", "must be absolute"));
    }
    let cron = needed("cron", "when, such as \"0 6 * * *\" (UTC)")?;
    if let Err(error) = pattern(&cron) {
        return Err(section.wrong("cron", &format!("is no cron pattern: {error}")));
    }
    let land = section.string("land")?.unwrap_or_else(|| "branch".to_owned());
    if !["branch", "commit", "pr", "none"].contains(&land.as_str()) {
        return Err(section.wrong("land", "must be branch, commit, pr or none"));
    }
    let run = needed("run", "the command that has to be green, for a shell")?;
    let (branch, no_model) = (section.string("branch")?, section.boolean("no_model")?.unwrap_or(false));
    Ok(Watch { repo, branch, cron, run, land, no_model })
}
