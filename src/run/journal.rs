//! Writes a run down as it happens, and tells whoever listens.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::Instrument;

use super::events::{Baseline, Decision, Event, Record, Spec, StopRule, Trigger};
use super::{AttemptState, Run, passed};
use crate::clock::Clock;
use crate::fault::{Exit, Fault};
use crate::models::Answer;
use crate::models::ledger::{Call, Pending, Purse, Unanswered};
use crate::redact::Redactor;
use crate::store::{
    AttemptRow, Called, Lease, NewEvent, NewRun, Projection, RunFilter, RunPatch, Spent, Status, Store, Voice,
};
use crate::usage::Money;

/// Says of a limit that it is the money for 24 hours, which no run can be given more of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the money for 24 hours is used up")]
pub struct DaySpent;

/// Hears every event after it is durable, and what checks print while they run.
pub trait Listener: Send + Sync {
    /// An event was recorded; `run` is the state after it.
    fn heard(&self, record: &Record, run: &Run);

    /// A check or a fixer has something to say that is not kept.
    fn murmur(&self, line: &str);
}

/// One run under way. Only one process at a time has it: the lease goes with the value.
pub struct Journal {
    pages: Arc<Pages>,
    /// When this process began or took up the run, by a clock that nobody sets.
    since: Instant,
    /// Money that models may cost in 24 hours over all runs.
    day: Option<Money>,
    /// The call of a model that is under way.
    pending: std::sync::Mutex<Option<Pending>>,
}

/// What is written. A record that has begun is finished even if whoever asked for it is gone: else the store and the state would part.
struct Pages {
    store: Store,
    lease: Arc<Lease>,
    clock: Arc<dyn Clock>,
    listeners: Vec<Arc<dyn Listener>>,
    state: RwLock<Arc<Run>>,
    writing: Arc<Mutex<()>>,
    /// Takes secrets out of what is written down.
    redactor: RwLock<Redactor>,
}

impl Journal {
    /// Begins a run: its first event is durable when this returns.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub async fn begin(
        store: Store,
        clock: Arc<dyn Clock>,
        listeners: Vec<Arc<dyn Listener>>,
        id: &str,
        spec: Spec,
    ) -> Result<Self> {
        let at = clock.now();
        let run = Run::new(id, &spec, at);
        let record = Record { run: id.to_owned(), seq: 1, at, event: Event::Started(Box::new(spec)) };
        let lease = store.create(&new_run(&run), &new_event(&record, &run)?).await?;
        let journal = Self::with(store, clock, listeners, run, lease.into());
        journal.pages.tell(&record);
        Ok(journal)
    }

    /// Begins a run that waited in the queue, by whoever claimed it.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub async fn start(
        store: Store,
        clock: Arc<dyn Clock>,
        listeners: Vec<Arc<dyn Listener>>,
        lease: Arc<Lease>,
        spec: Spec,
    ) -> Result<Self> {
        let (id, at) = (lease.run().to_owned(), clock.now());
        let seq = store.events(&id, 0).await?.last().map_or(0, |event| event.seq) + 1;
        let run = Run { seq, ..Run::new(&id, &spec, at) };
        let record = Record { run: id, seq, at, event: Event::Started(Box::new(spec)) };
        append(&store, &lease, &record, &run).await?;
        let journal = Self::with(store, clock, listeners, run, lease);
        journal.pages.tell(&record);
        Ok(journal)
    }

    /// Takes up a run that another process left. A call of a model that died with that process is booked first.
    ///
    /// # Errors
    /// Where there is no such run, another process has it, or its events cannot be read.
    pub async fn reopen(
        store: Store,
        clock: Arc<dyn Clock>,
        listeners: Vec<Arc<dyn Listener>>,
        id: &str,
    ) -> Result<Self> {
        let lease = lease(&store, id).await?;
        Self::take_up(store, clock, listeners, lease.into()).await
    }

    /// [`Journal::reopen`] by whoever has the run's lease already.
    ///
    /// # Errors
    /// Where the run has not begun, or its events cannot be read.
    pub async fn take_up(
        store: Store,
        clock: Arc<dyn Clock>,
        listeners: Vec<Arc<dyn Listener>>,
        lease: Arc<Lease>,
    ) -> Result<Self> {
        let run = load(&store, lease.run()).await?;
        let id = run.id.clone();
        let journal = Self::with(store, clock, listeners, run, lease);
        if let Some(call) = journal.store().reserved(&id).await? {
            let call = serde_json::from_value(call)
                .with_context(|| format!("the call that run {id} had under way cannot be read"))?;
            journal.asked(call).await?;
        }
        Ok(journal)
    }

    fn with(
        store: Store,
        clock: Arc<dyn Clock>,
        listeners: Vec<Arc<dyn Listener>>,
        run: Run,
        lease: Arc<Lease>,
    ) -> Self {
        let folded = RwLock::new(Arc::new(run));
        let (writing, redactor) = (Arc::default(), RwLock::default());
        let pages = Arc::new(Pages { store, lease, clock, listeners, state: folded, writing, redactor });
        Self { pages, since: Instant::now(), day: None, pending: std::sync::Mutex::default() }
    }

    /// Sets the cap for 24 hours over all runs.
    pub fn cap_day(&mut self, cap: Money) {
        self.day = Some(cap);
    }

    /// Takes what `redactor` knows out of every event from now on.
    pub fn keep_back(&mut self, redactor: Redactor) {
        *self.pages.redactor.write().unwrap_or_else(PoisonError::into_inner) = redactor;
    }

    /// Waits for the record that was being written when its step was cut off, and books the call that was under way, if one was, with `why` as
    /// its answer.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub async fn settle(&self, why: &str) -> Result<()> {
        drop(self.pages.writing.lock().await);
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if pending { self.book(Err(Unanswered::cut_off(why))).await } else { Ok(()) }
    }

    async fn asked(&self, call: Call) -> Result<()> {
        let attempt = self.run().attempts.last().map_or(0, |attempt| attempt.attempt);
        self.record(Event::Asked { attempt, call: Box::new(call) }).await
    }

    /// Books the calls of other runs that died with their process. What cannot be booked stays set aside.
    async fn book_the_dead(&self) -> Result<()> {
        let pages = &self.pages;
        for run in pages.store.reserving().await? {
            if run == self.run().id || pages.store.is_held(&run).await? {
                continue;
            }
            let taken_up = Self::reopen(pages.store.clone(), pages.clock.clone(), Vec::new(), &run).await;
            if let Err(error) = taken_up {
                tracing::debug!(run, "its call stays set aside: {error:#}");
            }
        }
        Ok(())
    }

    /// Wall time that was worked on the run, as far as it counts against its limit.
    pub fn worked(&self) -> Duration {
        self.run().worked + self.since.elapsed()
    }

    /// What is left of the run's wall time; `None` where nothing limits it.
    pub fn time_left(&self) -> Option<Duration> {
        self.run().spec.timeout.map(|most| most.saturating_sub(self.worked()))
    }

    /// The run as it stands.
    pub fn run(&self) -> Arc<Run> {
        self.pages.run()
    }

    /// The time by the run's clock.
    pub fn now(&self) -> jiff::Timestamp {
        self.pages.clock.now()
    }

    /// The store that the run is kept in.
    pub fn store(&self) -> &Store {
        &self.pages.store
    }

    /// Records an event. It is durable when this returns, and only then do listeners hear of it.
    ///
    /// # Errors
    /// Where the store cannot be written, or another process wrote to this run.
    pub async fn record(&self, event: Event) -> Result<()> {
        let pages = self.pages.clone();
        let writing = pages.writing.clone().lock_owned().await;
        let record = async move {
            let recorded = pages.record(event).await;
            drop(writing);
            recorded
        };
        tokio::spawn(record.in_current_span()).await?
    }

    /// Passes on what a check or a fixer says while it works.
    pub fn murmur(&self, line: &str) {
        for listener in &self.pages.listeners {
            listener.murmur(line);
        }
    }
}

impl Pages {
    fn run(&self) -> Arc<Run> {
        self.state.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    async fn record(&self, event: Event) -> Result<()> {
        let event =
            event.without_secrets(&self.redactor.read().unwrap_or_else(PoisonError::into_inner).clone())?;
        let before = self.run();
        let record = Record { run: before.id.clone(), seq: before.seq + 1, at: self.clock.now(), event };
        let mut after = (*before).clone();
        after.apply(&record);
        append(&self.store, &self.lease, &record, &after).await?;
        *self.state.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(after);
        self.tell(&record);
        Ok(())
    }

    fn tell(&self, record: &Record) {
        let run = self.run();
        for listener in &self.listeners {
            listener.heard(record, &run);
        }
    }
}

#[async_trait]
impl Purse for Journal {
    async fn reserve(&self, call: Pending) -> Result<()> {
        self.settle("it was cut off").await?;
        self.store().must_not_be_halted(&self.run().spec.root.to_string_lossy()).await?;
        let (run, most) = (self.run(), call.most());
        if run.spent + most > run.spec.budget {
            return Err(Fault::limit(format!(
                "the next call may cost {most}; {} of this run's {} are spent",
                run.spent, run.spec.budget
            ))
            .hint("raise --budget, or budget.run_usd in the configuration, and `regreen resume` the run")
            .into());
        }
        if let Some(model) = call.unpriced() {
            let warning = unpriced(model);
            if !run.warnings.contains(&warning) {
                self.record(Event::Warned { what: warning.0, advice: warning.1 }).await?;
            }
        }
        if most > Money(0) {
            self.book_the_dead().await?;
        }
        let cap = self.day.unwrap_or(Money(u64::MAX));
        let lost = serde_json::to_value(call.lost())?;
        if most > Money(0)
            && let Err(taken) = self.pages.store.reserve(&run.id, most, cap, &lost).await?
        {
            let others = match taken.reserved {
                Money(0) => String::new(),
                reserved => format!(", and calls of other runs that are under way may cost {reserved}"),
            };
            let fault = Fault::limit(format!(
                "the next call may cost {most}; {} of the {cap} for 24 hours are spent{others}",
                taken.spent
            ))
            .hint("raise budget.day_usd in the configuration, or wait, and `regreen resume` the run");
            return Err(anyhow::Error::from(fault).context(DaySpent));
        }
        *self.pending.lock().unwrap_or_else(PoisonError::into_inner) = Some(call);
        Ok(())
    }

    async fn book(&self, answer: std::result::Result<Answer, Unanswered>) -> Result<()> {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.asked(pending.context("no call is under way")?.over(answer)).await
    }
}

/// What is told where no budget can hold.
fn unpriced(model: &str) -> (String, String) {
    let what = format!("no price is known for {model}: its calls count as $0, and no budget holds them");
    let advice = format!(
        "if it is not free, write [models.\"{model}\"] with input and output in USD per million tokens to prices.toml beside the configuration"
    );
    (what, advice)
}

/// A run as its events tell it, for reading.
///
/// # Errors
/// Where there is none, or its events are not of a form that this version knows.
pub async fn load(store: &Store, id: &str) -> Result<Run> {
    let records = records(store, id, 0).await?;
    if records.is_empty() && store.remains(id).await?.is_some_and(|run| run.is_removed) {
        return Err(Fault::usage(format!("what happened in run {} was removed", crate::store::short(id)))
            .hint("it was older than [retention] of the configuration keeps; `regreen runs` still lists it")
            .into());
    }
    Run::fold(&records)
}

/// The runs of a ticket's sub-tasks, newest first.
///
/// # Errors
/// Where the store cannot be read.
pub async fn subtask_runs(store: &Store, ticket: &Run) -> Result<Vec<Run>> {
    let repo = Some(ticket.spec.root.to_string_lossy().into_owned());
    let filter = RunFilter { repo, after: Some(ticket.id.clone()), ..RunFilter::default() };
    let mut found = Vec::new();
    for row in store.runs(&filter, 10_000).await? {
        if row.trigger == "subtask" {
            found.push(load(store, &row.id).await?);
        }
    }
    found.retain(|run| matches!(&run.spec.trigger, Trigger::Subtask { ticket: of, .. } if *of == ticket.id));
    Ok(found)
}

/// The events of a run after `seq`.
///
/// # Errors
/// As [`load`].
pub async fn records(store: &Store, id: &str, seq: u64) -> Result<Vec<Record>> {
    let rows = store.events(id, seq).await?;
    rows.into_iter()
        .map(|row| {
            let event = serde_json::from_value(row.payload).map_err(|error| {
                Fault::usage(format!("event {} of run {id} cannot be read: {error}", row.seq))
                    .hint("it was written by another version of regreen; use that one for this run")
            })?;
            Ok(Record { run: id.to_owned(), seq: row.seq, at: row.at, event })
        })
        .collect()
}

async fn append(store: &Store, lease: &Lease, record: &Record, run: &Run) -> Result<()> {
    let event = new_event(record, run)?;
    store.append(Some(lease), &record.run, record.seq - 1, &event).await.map(drop)
}

/// What is written of an event; `run` is the state after it.
fn new_event(record: &Record, run: &Run) -> Result<NewEvent> {
    let payload = serde_json::to_value(&record.event)?;
    Ok(NewEvent::new(record.at, record.event.kind(), payload).with(projection(&record.event, run)))
}

async fn lease(store: &Store, id: &str) -> Result<Lease> {
    store.acquire(id).await?.ok_or_else(|| {
        Fault::usage(format!("run {id} is under way in another process"))
            .hint("`regreen logs -f` follows it")
            .into()
    })
}

/// What is to be done, in one line.
pub(super) fn goal(run: &Run) -> String {
    match &run.spec.trigger {
        Trigger::Heal => run.spec.goal.run.display(),
        Trigger::Ticket { title, .. }
        | Trigger::Subtask { title, .. }
        | Trigger::Proposal { title, .. }
        | Trigger::Incident { title, .. } => title.clone(),
    }
}

fn new_run(run: &Run) -> NewRun {
    let trigger = match &run.spec.trigger {
        Trigger::Heal => "heal",
        Trigger::Ticket { .. } => "ticket",
        Trigger::Subtask { .. } => "subtask",
        Trigger::Proposal { .. } => "proposal",
        Trigger::Incident { .. } => "incident",
    };
    let goal = goal(run);
    NewRun {
        id: run.id.clone(),
        repo: run.spec.root.to_string_lossy().into_owned(),
        trigger: trigger.to_owned(),
        goal,
        status: Status::Running,
        base: Some(run.spec.from.snapshot.commit.clone()),
    }
}

/// What follows from an event for the tables that people query; `run` is the state after it.
fn projection(event: &Event, run: &Run) -> Projection {
    let mut projection = Projection {
        advances: advances(event),
        proposal: super::proposal::follows(event, run),
        incident: super::incident::follows(event, run),
        ..Projection::default()
    };
    match event {
        Event::Started(spec) => {
            projection.run.status = Some(Status::Running);
            projection.run.base = Some(spec.from.snapshot.commit.clone());
        }
        Event::Resumed { why } => {
            projection.run.status = Some(Status::Running);
            // An approved proposal lands when somebody says so.
            projection.comes_back = (why == "apply").then(|| run.id.clone());
        }
        Event::Asked { call, .. } => {
            projection.settles = true;
            let failed = call.answer.as_ref().err().cloned();
            projection.called = (!call.cut_off).then(|| Called { provider: call.provider.clone(), failed });
            projection.spent = call.cost.filter(|cost| *cost > Money(0)).map(|cost| Spent {
                provider: call.provider.clone(),
                model: call.model.clone(),
                cost,
            });
        }
        // A candidate that a person chose may not hold, and what was proven before stays so.
        Event::NotProven { .. } if run.green => {}
        Event::NotProven { reason } => projection.unproven = Some(format!("not proven: {reason}")),
        Event::Decided { .. } => {
            projection.attempt = run.attempts.last().map(|attempt| attempt_row(run, attempt))
        }
        Event::ApprovalNeeded { reasons, question: Some(question) } => {
            projection.voice = Some(Voice::Asked {
                action: "land".to_owned(),
                reason: reasons.join("; "),
                patch: question.patch.clone(),
                people: question.people,
                not_by: question.except.clone(),
                expires: question.expires,
            });
        }
        Event::Approved { by, remark, .. } => {
            let enough = run.is_agreed();
            projection.voice = Some(Voice::Agreed { by: by.clone(), remark: remark.clone(), enough });
            // What came through the queue is a worker's to land, and to prove first where another candidate was chosen.
            // A proposal that is only approved does not go on yet.
            let goes_on = run.finished.is_none() && (enough || run.proof.is_none());
            projection.comes_back = goes_on.then(|| ticket_of(run).unwrap_or(&run.id).to_owned());
        }
        Event::Rejected { by, reason } => {
            // Its ticket ends with that.
            projection.comes_back = ticket_of(run).map(str::to_owned);
            projection.voice = Some(Voice::Refused { by: by.clone(), reason: reason.clone() });
        }
        Event::Landed { record: Some(record) } => projection.run.landed = Some(record.place()),
        Event::Finished { exit, .. } => {
            let waits = *exit == Exit::Policy && run.awaits_approval();
            projection.run = RunPatch {
                status: Some(if waits { Status::Waiting } else { Status::Finished }),
                outcome: Some(outcome(run, *exit).to_owned()),
                exit: Some(exit.code()),
                summary: run.stopped.as_ref().map(|(_, why, _)| why.clone()),
                ..RunPatch::default()
            };
            projection.learnt = super::postmortem::follows(run, *exit);
        }
        _ => {}
    }
    projection
}

/// The ticket's run that a sub-task's run belongs to.
pub fn ticket_of(run: &Run) -> Option<&str> {
    match &run.spec.trigger {
        Trigger::Subtask { ticket, .. } => Some(ticket),
        _ => None,
    }
}

/// Whether a run has come further with this event, so that whoever takes it up begins later.
fn advances(event: &Event) -> bool {
    use Event::{Baseline, Decided, Landed, NotProven, Planned, Proven, Published, SubtaskDone};
    matches!(
        event,
        Baseline(_)
            | Decided { .. }
            | Proven { .. }
            | NotProven { .. }
            | Landed { .. }
            | Published { .. }
            | Planned { .. }
            | SubtaskDone { .. }
    )
}

/// How a run ended that ends with `exit`, in one word for lists.
pub fn outcome(run: &Run, exit: Exit) -> &'static str {
    match exit {
        Exit::Green if matches!(run.spec.trigger, Trigger::Ticket { only_plan: true, .. }) => "planned",
        Exit::Green if matches!(run.spec.trigger, Trigger::Ticket { .. }) => "implemented",
        Exit::Green if run.proof.is_some() && run.proposed().is_some() => "applied",
        Exit::Green if run.proof.is_some() => "healed",
        Exit::Green => "green",
        Exit::Red => "red",
        Exit::Usage => "usage",
        Exit::Policy if run.awaits_approval() => "waiting",
        Exit::Policy if matches!(run.stopped, Some((StopRule::Cancelled, ..))) => "cancelled",
        Exit::Policy if matches!(run.stopped, Some((StopRule::Halted, ..))) => "halted",
        Exit::Policy => "refused",
        Exit::Limit => "limit",
        Exit::CannotJudge => match run.baseline {
            Some(Baseline::Flaky { .. }) => "flaky",
            Some(Baseline::Infra { .. }) => "infra",
            _ => "cut off",
        },
        Exit::Bug => "bug",
    }
}

fn attempt_row(run: &Run, attempt: &AttemptState) -> AttemptRow {
    let goal = run.before.iter().find(|outcome| outcome.check == run.spec.goal.name);
    let category =
        run.before.iter().find_map(|outcome| outcome.diagnostics.first()).map(|first| first.category);
    let category = category.and_then(|category| serde_json::to_value(category).ok());
    let (decision, result) = match &attempt.decision {
        Some((decision, reason)) => (Some(*decision), reason.clone()),
        None => (None, String::new()),
    };
    let ended = attempt.ended.unwrap_or(attempt.began);
    AttemptRow {
        run: run.id.clone(),
        attempt: attempt.attempt,
        fixer: attempt.fixer.clone(),
        model_used: attempt.model.clone(),
        category: category.and_then(|value| value.as_str().map(str::to_owned)),
        fingerprint: goal.and_then(|goal| goal.fingerprint.as_ref()).map(ToString::to_string),
        succeeded: decision == Some(Decision::Green),
        result,
        usage: attempt.usage,
        cost: attempt.cost,
        duration: passed(attempt.began, ended),
        at: ended,
    }
}
