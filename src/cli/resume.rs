//! `regreen resume [RUN]`: goes on with runs that were cut off by a crash, a kill or a limit.

use anyhow::Result;

use super::halt::{refuse_halted, unless_halted};
use super::heal::{drive, money};
use super::live::short;
use super::paint::{BAD, CARE, paint, plain, say, warn_of_no_sandbox};
use super::session::{Session, sweep};
use crate::config::{Settings, read_repo_file};
use crate::fault::{Exit, Fault};
use crate::run::events::{Event, Trigger};
use crate::run::journal::{Journal, load};
use crate::run::{Run, Step};
use crate::store::Lock;
use crate::usage::Money;

/// Go on with runs that were cut off.
#[derive(Debug, clap::Args)]
pub(super) struct Resume {
    /// The run: its id, the start or the end of it, or `last`; every run that was cut off where none is given
    run: Option<String>,
    /// The most money that models may cost in the run, what is spent already included
    #[arg(long, value_name = "USD", value_parser = money)]
    budget: Option<Money>,
    /// Print one event per line as JSON on standard output (docs/events.md)
    #[arg(long)]
    json: bool,
}

impl Resume {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        tidy(&session).await;
        let ids = match &self.run {
            Some(name) => vec![session.find(Some(name)).await?.id],
            None => cut_off(&session).await?,
        };
        if ids.is_empty() && !self.json {
            say("no run was cut off");
        }
        if self.run.is_some() {
            return match ids.first() {
                Some(id) => self.go_on(&session, id).await,
                None => Ok(Exit::Green),
            };
        }
        // One run that cannot go on must not keep the others from it.
        let mut ends = Vec::new();
        for id in &ids {
            let end = self.go_on(&session, id).await;
            if let Err(error) = &end {
                tell(id, error);
            }
            ends.push(end);
        }
        Ok(worst(&ends))
    }

    /// Goes on with one run.
    async fn go_on(&self, session: &Session, id: &str) -> Result<Exit> {
        if session.store.queued(id).await?.is_some() {
            return Err(Fault::usage(format!("run {} is in the queue", short(id)))
                .hint("workers go on with it: start one with `regreen worker`")
                .into());
        }
        let run = load(&session.store, id).await?;
        if let Some(how) = &run.rolled_back {
            return Err(Fault::usage(format!("run {} was rolled back: {how}", short(id)))
                .hint("start a new one")
                .into());
        }
        match &run.stopped {
            None if run.finished.is_some() && !awaits_subtask(&run) => {
                return Err(Fault::usage(format!("run {} is over", short(id)))
                    .hint("`regreen show` tells how it ended; start a new one with `regreen heal`")
                    .into());
            }
            // One whose end was cut off between the two still has to be ended.
            Some((rule, ..)) if !rule.can_go_on() && run.finished.is_some() => {
                return Err(Fault::usage(format!("run {} stopped for good", short(id)))
                    .hint("`regreen show` tells why; start a new one with `regreen heal`")
                    .into());
            }
            _ => {}
        }
        refuse_halted(session, &run).await?;
        warn_of_no_sandbox(run.spec.sandbox);
        let journal = session.reopen(id, session.listeners(self.json)).await?;
        journal.record(Event::Resumed { why: "resume".into() }).await?;
        self.allow(session, &journal).await?;
        let work = async {
            match journal.run().spec.trigger {
                Trigger::Ticket { .. } => super::run::go_on(session.kept(), &journal, self.json).await,
                _ => drive(session, &journal, self.json).await,
            }
        };
        unless_halted(session, &journal, self.json, work).await
    }

    /// Gives the run the money that was asked for, or what the configuration allows more than when the run began. The repo may lower it.
    async fn allow(&self, session: &Session, journal: &Journal) -> Result<()> {
        let run = journal.run();
        let configured = session.settings.user.budget.run;
        let asked = match self.budget {
            Some(asked) => asked,
            None if configured > run.spec.configured => configured.max(run.spec.budget),
            None => return Ok(()),
        };
        let repo = Settings::load(&session.environment, read_repo_file(&run.spec.root)?.as_deref())?.repo;
        let most = repo.and_then(|repo| repo.tighter.run);
        let budget = most.map_or(asked, |most| asked.min(most));
        if budget != run.spec.budget {
            let given = Event::Allowed { budget, configured, max_attempts: None, timeout: None };
            journal.record(given).await?;
        }
        Ok(())
    }
}

/// Every run of the repo that one stands in (of all, where one stands in none) that was cut off, oldest first; a sub-task's is left to its ticket's where that one was cut off too.
async fn cut_off(session: &Session) -> Result<Vec<String>> {
    let here = session.here().await;
    let mut rows = session.store.unfinished().await?;
    // What lands should not land where nobody looks.
    rows.retain(|row| here.as_ref().is_none_or(|here| row.repo == *here));
    let mut ids: Vec<String> = rows.iter().rev().map(|row| row.id.clone()).collect();
    for row in rows.iter().filter(|row| row.trigger == "subtask") {
        // One that cannot be read is told of when its turn comes.
        let Ok(run) = load(&session.store, &row.id).await else { continue };
        if let Trigger::Subtask { ticket, .. } = run.spec.trigger
            && ids.contains(&ticket)
        {
            ids.retain(|id| *id != row.id);
        }
    }
    Ok(ids)
}

/// Tells that a run could not go on, and why.
fn tell(id: &str, error: &anyhow::Error) {
    say(&format!("{} run {}: {}", paint(BAD, "✘"), short(id), plain(&format!("{error:#}"))));
    let fault = error.chain().find_map(|cause| cause.downcast_ref::<Fault>());
    if let Some(hint) = fault.and_then(|fault| fault.hint.as_ref()) {
        say(&format!("  {} {}", paint(CARE, "hint:"), plain(hint)));
    }
}

/// How several runs ended, in one code: the first that is not green.
fn worst(ends: &[Result<Exit>]) -> Exit {
    let exit = |end: &Result<Exit>| match end {
        Ok(exit) => *exit,
        Err(error) => error.downcast_ref::<Fault>().map_or(Exit::CannotJudge, |fault| fault.exit),
    };
    ends.iter().map(exit).find(|exit| *exit != Exit::Green).unwrap_or(Exit::Green)
}

/// Whether a ticket's run waits for a person to look at one of its sub-tasks: it goes on once that is approved.
pub(super) fn awaits_subtask(run: &Run) -> bool {
    matches!(run.spec.trigger, Trigger::Ticket { .. })
        && run.finished == Some(Exit::Policy)
        && run.awaits_approval()
}

/// Removes the layers of runs that no process has any more, whatever became of them.
async fn sweep_left_over(session: &Session) {
    let Ok(folders) = std::fs::read_dir(session.state.join("workspaces")) else { return };
    for entry in folders.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // While the lease is held here, no other process can take the run up.
        if let Ok(Some(_lease)) = Lock::acquire(&session.state, &name) {
            sweep(&entry.path()).await;
        }
    }
}

/// What every start does first: a landing that a crash cut off is completed or taken back, and pushed where it should be, and what dead runs left on disk goes. The runs
/// themselves wait for `resume`.
pub(super) async fn tidy(session: &Session) {
    sweep_left_over(session).await;
    let Ok(rows) = session.store.unfinished().await else { return };
    for id in rows.into_iter().map(|row| row.id) {
        // A run that cannot be locked is another process's, and none of our business.
        let Ok(journal) = session.reopen(&id, Vec::new()).await else { continue };
        let next = journal.run().next();
        if matches!(next, Step::Recover | Step::Publish) {
            let settled = settle(session, &journal, &next).await;
            match settled {
                Ok(()) => {
                    say(&format!("run {} was cut off while it landed; that is settled now", short(&id)))
                }
                Err(error) => say(&format!("run {} was cut off while it landed: {error:#}", short(&id))),
            }
        }
    }
}

async fn settle(session: &Session, journal: &Journal, next: &Step) -> Result<()> {
    let run = journal.run();
    let place = session.place(&run.spec.root).await?;
    if *next == Step::Recover {
        return crate::heal::settle(journal, &place).await;
    }
    refuse_halted(session, &run).await?;
    let outlet = match &place.repo {
        Some(repo) => Some(session.outlet(repo, run.spec.origin.as_ref()).await?),
        None => None,
    };
    crate::heal::publish(journal, outlet.as_ref(), &place).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_not_green_is_the_code_of_all() {
        let broken = || Err(Fault::usage("its events cannot be read").into());
        assert_eq!(worst(&[]), Exit::Green);
        assert_eq!(worst(&[Ok(Exit::Green), broken(), Ok(Exit::Red)]), Exit::Usage);
        assert_eq!(worst(&[Ok(Exit::Red), Ok(Exit::Green)]), Exit::Red);
        assert_eq!(worst(&[Err(anyhow::anyhow!("the disk is full"))]), Exit::CannotJudge);
    }
}
