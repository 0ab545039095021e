//! `regreen submit`: puts a command or a ticket into the queue, for a worker to do.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;

use super::heal::{Options, Shared, Tries, duration};
use super::logs::Logs;
use super::paint::{out, say};
use super::session::{Session, new_id};
use crate::fault::{Exit, Fault};
use crate::git::Repo;
use crate::landing::Land;
use crate::run::events::{Request, Work};
use crate::run::queued::{self, Line};
use crate::store::{Priority, Status, Submitted, short};

/// Put a run into the queue.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regreen submit -- cargo test
  regreen submit --repo /srv/shop --priority urgent --key build-1432 -- npm test
  regreen submit --delay 1h ticket.md
  regreen submit --wait -- cargo test        follow it, and end as it ends
  regreen submit --from night.jsonl          many: each line is a JSON array of the words of one submission, such as
                                             [\"--repo\", \"/srv/shop\", \"--key\", \"7\", \"--\", \"npm\", \"test\"]")]
pub(super) struct Submit {
    /// How urgent it is: a run is overtaken by more urgent ones for 15 minutes per step at most
    #[arg(long, value_enum, default_value_t)]
    priority: Priority,
    /// A name for this piece of work: submitted again with the same one, it is the same run
    #[arg(long)]
    key: Option<String>,
    /// Begin no sooner than after this time: 90s, 10m, 1h30m
    #[arg(long, value_name = "DUR", value_parser = duration)]
    delay: Option<Duration>,
    /// Follow it until it is over, and end with its exit code
    #[arg(long)]
    wait: bool,
    /// Submit what this file says, line by line; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ticket", "command", "key", "wait"])]
    from: Option<PathBuf>,
    /// Where the proven patch goes: branch[=NAME], pr[=NAME], commit, worktree, none
    #[arg(long, value_name = "WHERE", default_value = "branch")]
    land: Land,
    /// Use no model: only what costs nothing
    #[arg(long)]
    no_model: bool,
    #[command(flatten)]
    shared: Shared,
    #[command(flatten)]
    tries: Tries,
    /// A ticket to implement: a Markdown file, - for standard input, jira:OD-33, github:owner/repo#12, gitlab:group/repo#12
    #[arg(required_unless_present_any = ["command", "from"], conflicts_with = "command")]
    ticket: Option<String>,
    /// The failing command: everything behind `--`
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

impl Submit {
    pub(super) async fn run(self) -> Result<Exit> {
        if let Some(file) = &self.from {
            return many(file, self.shared.json).await;
        }
        let session = Session::open(None).await?;
        let (wait, json) = (self.wait, self.shared.json);
        let submitted = self.submit(&session).await?;
        if !json || !wait {
            tell(&submitted, json)?;
        }
        if wait {
            return follow(&session, &submitted.run, json).await;
        }
        if !json {
            let id = short(&submitted.run);
            say(&format!("a `regreen worker` does it; to follow it: regreen logs -f {id}"));
        }
        Ok(Exit::Green)
    }

    async fn submit(self, session: &Session) -> Result<Submitted> {
        let line =
            Line { priority: self.priority, key: self.key.clone(), delay: self.delay.unwrap_or_default() };
        let request = self.request().await?;
        let redactor = session.redactor_of(&request.repo, None).await;
        let submitted = queued::submit(&session.store, &redactor, &new_id(), &request, &line).await?;
        if let (true, Work::Ticket(ticket)) = (submitted.new, &request.work) {
            super::tracker::queued(session, &submitted.run, ticket["source"].as_str().unwrap_or_default())
                .await;
        }
        Ok(submitted)
    }

    async fn request(self) -> Result<Request> {
        let (repo, dir) = place(&self.shared.place.repo).await?;
        let mut origin = None;
        let work = match &self.ticket {
            Some(place) => {
                let (ticket, from) = super::plan::read(place).await?;
                origin = from;
                Work::Ticket(serde_json::to_value(ticket)?)
            }
            None => Work::Command(self.command),
        };
        if let (Work::Ticket(_), Land::Worktree | Land::Commit | Land::None) = (&work, &self.land) {
            return Err(Fault::usage("a ticket's commits go to a branch of their own")
                .hint("use --land branch, branch=NAME, pr or pr=NAME")
                .into());
        }
        let options = Options {
            shared: self.shared,
            tries: self.tries,
            no_model: self.no_model,
            dry_run: false,
            by: Some(crate::process::user()),
            origin,
        };
        Ok(options.request(repo, dir, work, self.land.to_string()))
    }
}

/// One line of a file of submissions.
#[derive(Debug, clap::Parser)]
#[command(name = "submit", no_binary_name = true)]
struct Words {
    #[command(flatten)]
    submit: Submit,
}

/// Bytes of a file of submissions that are read.
const LARGEST: u64 = 64 << 20;

/// Submits what a file says. Every line is understood before the first is submitted.
async fn many(file: &Path, json: bool) -> Result<Exit> {
    let read: Box<dyn Read> = match file.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => Box::new(
            std::fs::File::open(file)
                .map_err(|error| Fault::usage(format!("{} cannot be read: {error}", file.display())))?,
        ),
    };
    let mut text = String::new();
    read.take(LARGEST).read_to_string(&mut text).context("the submissions are no text")?;
    let mut all = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |what: String| {
            Fault::usage(format!("line {} of {}: {what}", number + 1, file.display())).hint(
                "each line is a JSON array of the words of one submission: [\"--repo\", \"/srv/shop\", \"--\", \"npm\", \"test\"]",
            )
        };
        let words: Vec<String> = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        let said =
            |error: clap::Error| wrong(error.to_string().lines().next().unwrap_or_default().to_owned());
        let one = Words::try_parse_from(words).map_err(said)?.submit;
        if one.from.is_some() || one.wait || one.ticket.as_deref() == Some("-") {
            return Err(wrong("--from, --wait and - have no place in a file".to_owned()).into());
        }
        all.push(one);
    }
    let session = Session::open(None).await?;
    for one in all {
        tell(&one.submit(&session).await?, json)?;
    }
    Ok(Exit::Green)
}

/// Prints what became of a submission.
fn tell(submitted: &Submitted, json: bool) -> Result<()> {
    if json {
        return out(&serde_json::to_string(submitted)?);
    }
    out(&submitted.run)?;
    if !submitted.new {
        say("this key was submitted before; it is the same run");
    }
    Ok(())
}

/// The repo's root and the folder in it. A folder that is not on this machine is taken as it is named: it may be on the workers'.
pub(super) async fn place(named: &std::path::Path) -> Result<(PathBuf, String)> {
    let text = named.to_string_lossy();
    if text.contains("://") || text.split_once(':').is_some_and(|(host, _)| host.contains('@')) {
        return Err(Fault::usage(format!("{text} would have to be fetched, which workers do not do"))
            .hint("clone it on the machines of the workers, at the same place on each, and give that folder")
            .into());
    }
    let Ok(found) = named.canonicalize() else {
        if named.is_absolute() {
            say(&format!("{text} is not on this machine; a worker that has it can do the run"));
            return Ok((named.to_owned(), String::new()));
        }
        return Err(Fault::usage(format!("there is no folder {text}")).hint("--repo names a folder").into());
    };
    let root = Repo::discover(&found).await?.map(|repo| repo.root().to_owned()).ok_or_else(|| {
        Fault::usage(format!("{} is in no git repository", found.display()))
            .hint("run `git init` there and commit once: what is queued lands in git")
    })?;
    let dir = found.strip_prefix(&root).map(|dir| dir.to_string_lossy().into_owned()).unwrap_or_default();
    Ok((root, dir))
}

/// Prints what happens in the run until it is over, and gives its exit.
pub(super) async fn follow(session: &Session, id: &str, json: bool) -> Result<Exit> {
    Logs::of(session, id, json).await?;
    let row = session.store.run(id).await?;
    Ok(match (row.status, row.exit) {
        (Status::Finished | Status::Waiting, Some(code)) => {
            let known = [Exit::Green, Exit::Red, Exit::Usage, Exit::Policy, Exit::Limit, Exit::CannotJudge];
            known.into_iter().find(|exit| i64::from(exit.code()) == code).unwrap_or(Exit::Bug)
        }
        _ => Exit::CannotJudge,
    })
}
