//! `regreen worker`: takes runs from the queue and does them, by the same loop as `heal` and `run`.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;

use super::halt::end;
use super::heal::{Ground, Options, Want, drive, duration};
use super::live::{Lines, Teller, lay_out};
use super::observe;
use super::page::Page;
use super::paint::{DIM, NAME, paint, plain, say};
use super::proposal_spec::Unfit;
use super::resume::awaits_subtask;
use super::session::{FLUSH, Kept, Session, sweep};
use crate::config::read_repo_file;
use crate::fault::{Exit, Fault};
use crate::run::events::{Event, Record, Request, Spec, StopRule, Trigger, Work};
use crate::run::journal::{Journal, Listener, load};
use crate::run::queued::{self, Progress};
use crate::run::{Run, Step};
use crate::store::{Claim, halt_in, is_interruption, short};
use crate::telemetry::{Metrics, Returned};
use crate::triggers::jira::Watcher;
use crate::worker::{self, CalledOff, Driven, Driver, Settings, Told, Why};

/// Do what is in the queue.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It ends politely on Ctrl-C or SIGTERM: what is under way may end within --grace, the rest goes back to the queue and is gone on with
from its last event. A second signal ends it at once. Several workers, on several machines with REGREEN_DATABASE_URL, share one queue.")]
pub(super) struct Worker {
    /// How many runs it does at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    concurrency: u32,
    /// End when nothing is left that can be begun now
    #[arg(long)]
    once: bool,
    /// How long runs under way may take to end once it is asked to
    #[arg(long, value_name = "DUR", default_value = "30s", value_parser = duration)]
    grace: Duration,
    /// Print one event per line as JSON on standard output (docs/events.md)
    #[arg(long)]
    json: bool,
    /// Answer /metrics, /healthz and /readyz there, to anybody who asks
    #[arg(long, value_name = "ADDR")]
    metrics: Option<SocketAddr>,
}

impl Worker {
    pub(super) async fn run(self) -> Result<Exit> {
        let mut signals = super::Signals::new()?;
        let session = Session::open(None).await?;
        super::resume::tidy(&session).await;
        let metrics = self.metrics.map(|_| observe::count());
        if let (Some(address), Some(metrics)) = (self.metrics, metrics.clone()) {
            let address = observe::answer_operators(address, metrics, &session.store, &session.state).await?;
            say(&format!("metrics at {}", paint(NAME, format!("http://{address}/metrics"))));
        }
        let driver = Rc::new(Loop { kept: session.kept(), json: self.json, metrics });
        observe::keep_tidy(&session);
        let settings = Settings {
            name: name(),
            concurrency: self.concurrency as usize,
            once: self.once,
            grace: self.grace,
        };
        if !self.json {
            say(&format!("worker {} waits for runs", settings.name));
        }
        let stop = async {
            signals.next().await;
            if !self.json {
                say(
                    "asked to end: what is under way ends or goes back to the queue; once more ends it at once",
                );
            }
        };
        let mut chores = session.chores();
        let watcher = super::tracker::board(&session)?.map(|board| Watcher::start(Arc::new(board)));
        worker::work(&session.store, driver, &settings, stop).await?;
        chores.shutdown().await;
        if let Some(watcher) = watcher {
            watcher.end().await;
        }
        session.objects.flush(FLUSH).await;
        session.store.close().await;
        Ok(Exit::Green)
    }
}

/// The machine, the process, and something that no other one has.
fn name() -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let once = uuid::Uuid::now_v7().simple().to_string();
    format!("{}-{}-{}", plain(machine.trim()), std::process::id(), short(&once))
}

/// Does a claimed run as `heal` and `run` do theirs.
pub(super) struct Loop {
    pub(super) kept: Kept,
    pub(super) json: bool,
    /// Where it is counted, if anywhere.
    pub(super) metrics: Option<Arc<Metrics>>,
}

#[async_trait(?Send)]
impl Driver for Loop {
    async fn drive(&self, claim: &Claim, off: &CalledOff) -> Result<Driven> {
        match queued::progress(&self.kept.store, &claim.run).await? {
            Progress::Asked(request) => self.begin(claim, off, &request).await,
            Progress::Begun => self.go_on(claim, off).await,
            Progress::Ended => Ok(Driven::Over),
        }
    }

    fn tell(&self, run: &str, what: &Told<'_>) {
        if let Some(metrics) = &self.metrics {
            match what {
                Told::Claimed { priority, waited } => metrics.claimed(*priority, *waited),
                Told::LeaseLost => metrics.lease_lost(),
                Told::Over => metrics.let_go(None),
                Told::HandedOver | Told::Halted(_) => metrics.let_go(Some(Returned::HandedOver)),
                Told::Blocked(_) => metrics.let_go(Some(Returned::Blocked)),
                Told::Failed(_) => metrics.let_go(Some(Returned::Failed)),
            }
        }
        if !self.json {
            say(&format!("{} {}", paint(NAME, short(run)), plain(&what.to_string())));
        }
    }
}

impl Loop {
    /// Begins a run. What keeps it from that is a person's to change.
    async fn begin(&self, claim: &Claim, off: &CalledOff, request: &Request) -> Result<Driven> {
        if let Some(why) = off.now() {
            return self.end(claim, why).await;
        }
        let (ground, spec) = match off.unless(self.ready(claim, request)).await {
            Ok(Ok(ready)) => ready,
            Ok(Err(error)) if is_interruption(&error) => return Err(error),
            Ok(Err(error)) if error.is::<Unfit>() => {
                queued::end(&self.kept.store, &claim.lease, StopRule::Unfit, &error.to_string()).await?;
                return Ok(Driven::Over);
            }
            Ok(Err(error)) => return Ok(Driven::Blocked(told(&error))),
            Err(why) => return self.end(claim, why).await,
        };
        let journal = ground.session.start(claim.lease.clone(), spec, self.listeners(&claim.run)).await?;
        self.finish(&ground.session, &journal, off).await
    }

    /// Looks at the repo as it is now.
    async fn ready(&self, claim: &Claim, request: &Request) -> Result<(Ground, Spec)> {
        if !request.repo.is_dir() {
            return Err(nowhere(&request.repo).into());
        }
        let options = Options::of(request);
        let ground = Ground::find_with(&options, Want::Repository, Some(self.kept.clone())).await?;
        let land = request.land.parse()?;
        let spec = match &request.work {
            Work::Command(command) => ground.heal(&options, &claim.run, command.clone(), &land).await?,
            Work::Incident { id, .. } => {
                let incident = self.kept.store.incident(id).await?;
                super::incident_spec::by_test(&ground, &options, &claim.run, &incident, &land).await?
            }
            Work::Proposal(asked) => {
                super::proposal_spec::spec(&ground, &options, &claim.run, asked, &land).await?
            }
            Work::Tracked(tracked) => {
                super::run::tracked_spec(&ground, &options, &claim.run, tracked, &land).await?
            }
            Work::Ticket(ticket) => {
                let ticket = serde_json::from_value(ticket.clone())?;
                super::run::ticket_spec(&ground, &options, &claim.run, &ticket, land).await?
            }
        };
        Ok((ground, spec))
    }

    /// Ends a run that has not begun, or leaves it to the next worker.
    async fn end(&self, claim: &Claim, why: Why) -> Result<Driven> {
        match ending(why) {
            None => self.handed_over(why, &claim.repo).await,
            Some((rule, why)) => {
                queued::end(&self.kept.store, &claim.lease, rule, &why).await?;
                Ok(Driven::Over)
            }
        }
    }

    /// Goes on with a run that another worker left, or that a person let go on.
    async fn go_on(&self, claim: &Claim, off: &CalledOff) -> Result<Driven> {
        let run = load(&self.kept.store, &claim.run).await?;
        if matches!(run.next(), Step::Done(_)) && !awaits_subtask(&run) {
            return Ok(Driven::Over);
        }
        let root = &run.spec.root;
        if !root.is_dir() {
            return Ok(Driven::Blocked(told(&nowhere(root).into())));
        }
        let session = Session::open_with(read_repo_file(root)?.as_deref(), Some(self.kept.clone())).await?;
        let journal = session.take_up(claim.lease.clone(), self.listeners(&claim.run)).await?;
        // One that was stopped already lacks only its end.
        if run.stopped.is_none() {
            journal.record(Event::Resumed { why: "worker".into() }).await?;
        }
        self.finish(&session, &journal, off).await
    }

    /// Takes the run to its end, unless it is called off.
    async fn finish(&self, session: &Session, journal: &Journal, off: &CalledOff) -> Result<Driven> {
        let run = journal.run();
        let work = async {
            match run.spec.trigger {
                Trigger::Ticket { .. } => super::run::go_on(session.kept(), journal, true).await,
                _ => drive(session, journal, true).await,
            }
        };
        let done = if run.landing.is_some() {
            // A landing that was cut off is settled first, and what has landed is over.
            Ok(work.await)
        } else {
            off.unless(work).await
        };
        let why = match done {
            Ok(Err(error)) if halt_in(&error).is_some() => Why::Halted,
            Ok(done) => return done.map(|_exit| Driven::Over),
            Err(why) => why,
        };
        journal.settle("the run was called off").await?;
        sweep(&session.scratch(&run.id)).await;
        let Some((rule, words)) = ending(why) else {
            if let (Why::Halted, Some(halt)) =
                (why, self.kept.store.halt_of(&run.spec.root.to_string_lossy()).await?)
            {
                journal.record(Event::Halted { by: halt.person, reason: halt.reason }).await?;
            }
            return self.handed_over(why, &run.spec.root.to_string_lossy()).await;
        };
        end(session, journal, rule, &words).await?;
        Ok(Driven::Over)
    }

    /// How a run goes back to the queue that was called off but has no end.
    async fn handed_over(&self, why: Why, repo: &str) -> Result<Driven> {
        let halt = if why == Why::Halted { self.kept.store.halt_of(repo).await? } else { None };
        // One that is lifted already keeps nobody.
        Ok(halt.map_or(Driven::HandedOver, |halt| Driven::Halted(halt.to_string())))
    }

    fn listeners(&self, run: &str) -> Vec<Arc<dyn Listener>> {
        match self.json {
            true => vec![Arc::new(Lines)],
            false => vec![Arc::new(Spoken { run: short(run).to_owned(), teller: Mutex::default() })],
        }
    }
}

/// How a run ends that is called off, if it ends.
fn ending(why: Why) -> Option<(StopRule, String)> {
    match why {
        Why::HandOver | Why::Halted => None,
        Why::Cancelled => Some((StopRule::Cancelled, "a person cancelled it".to_owned())),
        Why::GivenUp { deaths } => {
            Some((StopRule::Fault, format!("{deaths} workers died or failed over it")))
        }
    }
}

/// Why a run cannot be done where its repo is not.
fn nowhere(repo: &std::path::Path) -> Fault {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Fault::usage(format!("{} is no folder on {}", repo.display(), machine.trim())).hint(
        "clone the repo there at the same place, or end that worker, and put the run back with `regreen retry`",
    )
}

/// An error in one line, with what to do about it.
fn told(error: &anyhow::Error) -> String {
    let hint = error.chain().find_map(|cause| cause.downcast_ref::<Fault>()?.hint.as_deref());
    format!("{error:#}{}", hint.map(|hint| format!(" ({hint})")).unwrap_or_default())
}

/// Says what happens in a run, in lines that begin with its id.
struct Spoken {
    run: String,
    teller: Mutex<Teller>,
}

impl Listener for Spoken {
    fn heard(&self, record: &Record, run: &Run) {
        let rows = self.teller.lock().unwrap_or_else(PoisonError::into_inner).told(&record.event, run);
        if !rows.is_empty() {
            let id = paint(DIM, format!("{} ", self.run));
            say(lay_out(&rows, &id, Page::of_stderr()).trim_end());
        }
    }

    fn murmur(&self, _line: &str) {}
}
