//! `regreen halt` and `regreen unhalt`: the kill switch; and what it does to a run that is driven by hand.

use std::convert::Infallible;
use std::path::PathBuf;

use anyhow::Result;
use tokio::sync::watch;

use super::live::short;
use super::paint::{BAD, CARE, GOOD, line, out, paint, say};
use super::session::{Session, sweep};
use crate::fault::{Exit, Fault};
use crate::git::Repo;
use crate::run::events::{Event, StopRule, Trigger};
use crate::run::journal::{Journal, subtask_runs};
use crate::run::{Run, Step};
use crate::store::{Asked, Halt as Halted, halt_in};
use crate::worker::{CalledOff, Why};

/// Stop everything at once: no model is asked, no command runs, nothing lands.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Runs of the queue go back to it and go on by themselves once the halt is lifted; a run by hand ends and is gone on with by
`regreen resume`. A landing that has begun is completed. The halt holds for everybody who shares the store, until `regreen unhalt`.

Examples:
  regreen halt --reason 'it opens proposals nobody asked for'
  regreen halt --repo /srv/shop --reason 'release day'
  regreen halt --list")]
pub(super) struct Halt {
    /// Only this repo: its root, or a folder inside it
    #[arg(long, value_name = "DIR")]
    repo: Option<PathBuf>,
    /// Why, for those who find their runs stopped
    #[arg(long, value_name = "TEXT", default_value = "no reason given")]
    reason: String,
    /// Only say what is halted
    #[arg(long, conflicts_with_all = ["repo", "reason"])]
    list: bool,
}

/// Lift a halt.
#[derive(Debug, clap::Args)]
pub(super) struct Unhalt {
    /// That of this repo: its root, or a folder inside it
    #[arg(long, value_name = "DIR")]
    repo: Option<PathBuf>,
}

impl Halt {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        if self.list {
            let halts = session.store.halts().await?;
            let lines: Vec<String> = halts.iter().map(|halt| line(&halt.to_string(), 400)).collect();
            out(&if lines.is_empty() { "nothing is halted".to_owned() } else { lines.join("\n") })?;
            return Ok(Exit::Green);
        }
        let repo = named(self.repo.as_deref()).await?;
        let reason = match self.reason.trim() {
            "" => return Err(Fault::usage("the reason is empty").into()),
            reason if reason.chars().count() > MOST => {
                return Err(Fault::usage(format!("the reason is longer than {MOST} characters")).into());
            }
            reason => session.redactor().redact(reason).into_owned(),
        };
        let new = recorded(&session, "halt", repo.as_deref(), async {
            session.store.halt(repo.as_deref(), &crate::process::user(), &reason).await
        })
        .await?;
        let what = repo.as_deref().map_or("Regreen".to_owned(), |repo| line(repo, 200));
        match new {
            true => say(&format!("{} {what} is halted; `regreen unhalt` lifts it", paint(BAD, "■"))),
            false => say(&format!("{what} was halted already")),
        }
        Ok(Exit::Green)
    }
}

impl Unhalt {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        let repo = named(self.repo.as_deref()).await?;
        let lifted =
            recorded(&session, "unhalt", repo.as_deref(), session.store.unhalt(repo.as_deref())).await?;
        match lifted {
            Some(halt) => say(&format!("{} lifted: {}", paint(GOOD, "✔"), line(&halt.to_string(), 400))),
            None => say("that is not halted"),
        }
        for halt in session.store.halts().await? {
            say(&format!("{} still: {}", paint(CARE, "■"), line(&halt.to_string(), 400)));
        }
        Ok(Exit::Green)
    }
}

/// The most characters of a reason.
const MOST: usize = 500;

/// The repo as runs name it. A folder that is not there may be on another machine.
async fn named(place: Option<&std::path::Path>) -> Result<Option<String>> {
    let Some(place) = place else { return Ok(None) };
    let found = match place.canonicalize() {
        Ok(found) => Repo::discover(&found).await?.map_or(found, |repo| repo.root().to_owned()),
        Err(_) if place.is_absolute() => place.to_owned(),
        Err(_) => return Err(Fault::usage(format!("there is no folder {}", place.display())).into()),
    };
    Ok(Some(found.to_string_lossy().into_owned()))
}

/// Does something for whoever types it, and writes it down where the service writes down what it was asked for.
async fn recorded<T>(
    session: &Session,
    action: &str,
    repo: Option<&str>,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let actor = crate::process::user();
    let target = repo.unwrap_or("everything");
    let id = session.store.audit_begin(&Asked { actor: &actor, action, target, ..Asked::default() }).await?;
    let done = work.await?;
    session.store.audit_end(&id, 200, None).await?;
    Ok(done)
}

/// Does the work of a run that no worker has, unless Regreen is halted meanwhile: the run ends then, so that it can be gone on with.
pub(super) async fn unless_halted(
    session: &Session,
    journal: &Journal,
    json: bool,
    work: impl Future<Output = Result<Exit>>,
) -> Result<Exit> {
    let run = journal.run();
    let repo = run.spec.root.to_string_lossy();
    let (say_it, heard) = watch::channel(None);
    let watching = async {
        match session.store.until_halted(&repo).await {
            Ok(_) => drop(say_it.send(Some(Why::Halted))),
            // The run asks for itself before each step.
            Err(error) => tracing::debug!("nobody hears whether the repo is halted: {error:#}"),
        }
        std::future::pending::<Infallible>().await
    };
    let off = CalledOff::new(heard);
    let done = tokio::select! {
        done = off.unless(work) => done,
        never = watching => match never {},
    };
    let halt = match done {
        Ok(Err(error)) => match halt_in(&error) {
            Some(halt) => halt.clone(),
            None => return Err(error),
        },
        Ok(done) => return done,
        Err(_) => match session.store.halt_of(&repo).await? {
            Some(halt) => halt,
            None => lifted(&repo, session),
        },
    };
    journal.settle("Regreen was halted").await?;
    sweep(&session.scratch(&run.id)).await;
    end(session, journal, StopRule::Halted, &halt.to_string()).await?;
    if journal.run().finished == Some(Exit::Green) {
        return Ok(Exit::Green);
    }
    if !json {
        say(&format!("{} {}", paint(BAD, "■"), line(&halt.to_string(), 400)));
        say(&format!("  once that is lifted: regreen resume {}", short(&run.id)));
    }
    Ok(Exit::Policy)
}

/// A halt that was lifted before anybody could look at it.
fn lifted(repo: &str, session: &Session) -> Halted {
    let (person, reason) = ("somebody".to_owned(), "it is lifted again".to_owned());
    Halted { repo: Some(repo.to_owned()), at: session.clock.now(), person, reason }
}

/// Ends a run that was called off, and those of its sub-tasks that were under way, unless they came to their end meanwhile.
pub(super) async fn end(session: &Session, journal: &Journal, rule: StopRule, why: &str) -> Result<()> {
    let run = journal.run();
    if matches!(run.spec.trigger, Trigger::Ticket { .. }) {
        for child in subtask_runs(&session.store, &run).await? {
            if child.finished.is_none() {
                let child = session.reopen(&child.id, Vec::new()).await?;
                stop(session, &child, rule, why).await?;
            }
        }
    }
    stop(session, journal, rule, why).await
}

async fn stop(session: &Session, journal: &Journal, rule: StopRule, why: &str) -> Result<()> {
    let run = journal.run();
    // What has landed is done: it was only to be remembered.
    if run.next() == Step::Learn {
        return session.end(journal, Exit::Green).await;
    }
    if !matches!(run.next(), Step::Done(_)) {
        let stopped = Event::Stopped { rule, why: why.to_owned(), look_at: Vec::new() };
        journal.record(stopped).await?;
        if let Step::Finish(exit) = journal.run().next() {
            session.end(journal, exit).await?;
        }
    }
    Ok(())
}

/// Refuses what would begin something in a repo that is halted.
///
/// # Errors
/// Where it is.
pub(super) async fn refuse_halted(session: &Session, run: &Run) -> Result<()> {
    match session.store.halt_of(&run.spec.root.to_string_lossy()).await? {
        Some(halt) => Err(halt.fault().into()),
        None => Ok(()),
    }
}
