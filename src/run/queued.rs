//! Runs that wait in the queue and have not begun: all there is of them is what was asked.

use std::time::Duration;

use anyhow::Result;

use super::events::{Event, Record, Request, Spec, StopRule, Tracked, Trigger, Work};
use super::journal::records;
use crate::fault::Fault;
use crate::outcome::CommandLine;
use crate::redact::Redactor;
use crate::store::{
    Lease, NewEvent, NewRun, Priority, Projection, RunPatch, Status, Store, Submission, Submitted,
};

/// How a request is queued.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// How urgent it is.
    pub priority: Priority,
    /// Who submits the same key again gets the same run.
    pub key: Option<String>,
    /// How long it may not be begun.
    pub delay: Duration,
}

/// Puts a request into the queue as the run `id`. A ticket is kept without what `redactor` knows; a command stays as it is, or it could not run.
///
/// # Errors
/// As [`Store::submit`], and where a key is empty or longer than 200 bytes.
pub async fn submit(
    store: &Store,
    redactor: &Redactor,
    id: &str,
    request: &Request,
    line: &Line,
) -> Result<Submitted> {
    if line.key.as_ref().is_some_and(|key| key.is_empty() || key.len() > 200) {
        return Err(Fault::usage("a key has 1 to 200 bytes").into());
    }
    let mut request = request.clone();
    match &mut request.work {
        Work::Ticket(ticket) => redactor.redact_json(ticket, &|_| false),
        Work::Tracked(tracked) => {
            redactor.redact_json(&mut tracked.ticket, &|_| false);
            tracked.plan.iter_mut().for_each(|plan| redactor.redact_json(plan, &|_| false));
            tracked.feedback = tracked.feedback.as_ref().map(|text| redactor.redact(text).into_owned());
        }
        Work::Command(_) | Work::Proposal(_) | Work::Incident { .. } => {}
    }
    let (trigger, goal) = match &request.work {
        Work::Proposal(_) => anyhow::bail!("a proposal's runs are submitted with it"),
        Work::Incident { title, .. } => ("incident", title.clone()),
        Work::Command(argv) => ("heal", CommandLine::Argv(argv.clone()).display()),
        Work::Ticket(ticket) => ("ticket", title_of(ticket)),
        Work::Tracked(tracked) => ("ticket", title_of(&tracked.ticket)),
    };
    let run = NewRun {
        id: id.to_owned(),
        repo: request.repo.to_string_lossy().into_owned(),
        trigger: trigger.to_owned(),
        goal,
        status: Status::Queued,
        base: None,
    };
    let heals = match &request.work {
        Work::Incident { id, .. } => Some(id.clone()),
        _ => None,
    };
    let event = Event::Submitted(Box::new(request));
    let Line { priority, key, delay } = line.clone();
    let submission = Submission { run, priority, key, delay, proposes: None, heals };
    let first = NewEvent::new(store.now(), event.kind(), serde_json::to_value(&event)?);
    store.submit(&submission, &first).await
}

fn title_of(ticket: &serde_json::Value) -> String {
    ticket["title"].as_str().unwrap_or("a ticket").to_owned()
}

/// How far a run of the queue has come.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// Nothing was done yet but to ask for it.
    Asked(Box<Request>),
    /// It has a spec and can be folded.
    Begun,
    /// It ended before it began.
    Ended,
}

/// How far the run has come.
///
/// # Errors
/// Where there is no such run, or its events cannot be read.
pub async fn progress(store: &Store, id: &str) -> Result<Progress> {
    let all = records(store, id, 0).await?;
    let ended = |record: &Record| matches!(record.event, Event::Finished { .. });
    Ok(match all.first().map(|record| &record.event) {
        _ if all.iter().any(|record| matches!(record.event, Event::Started(_))) => Progress::Begun,
        Some(Event::Submitted(_)) if all.iter().any(ended) => Progress::Ended,
        Some(Event::Submitted(request)) => Progress::Asked(request.clone()),
        _ => return Err(Fault::usage(format!("run {id} neither was submitted nor began")).into()),
    })
}

/// What was asked of a run, so that it can be asked again: as it was submitted, or as its spec says.
///
/// # Errors
/// Where its events cannot be read, or it is a sub-task's, which belongs to its ticket.
pub async fn request(store: &Store, id: &str) -> Result<Request> {
    for record in records(store, id, 0).await? {
        match record.event {
            Event::Submitted(request) if matches!(request.work, Work::Proposal(_)) => {
                return Err(of_proposal().into());
            }
            Event::Submitted(request) => return Ok(*request),
            Event::Started(spec) => return of_spec(&spec),
            _ => {}
        }
    }
    Err(Fault::usage(format!("run {id} neither was submitted nor began")).into())
}

fn of_spec(spec: &Spec) -> Result<Request> {
    let work = match (&spec.trigger, &spec.goal.run) {
        (Trigger::Heal, CommandLine::Argv(argv)) => Work::Command(argv.clone()),
        (Trigger::Heal, CommandLine::Shell(line)) => {
            Work::Command(["sh", "-c", line].map(str::to_owned).to_vec())
        }
        (Trigger::Ticket { ticket, only_plan: false, plan: None, onto: None, .. }, _) => {
            Work::Ticket(ticket.clone())
        }
        (Trigger::Ticket { ticket, only_plan: false, plan, feedback, onto, .. }, _) => {
            Work::Tracked(Box::new(Tracked {
                ticket: ticket.clone(),
                plan: plan.clone(),
                feedback: feedback.clone(),
                only_plan: false,
                onto: onto.clone(),
            }))
        }
        (Trigger::Proposal { .. }, _) => return Err(of_proposal().into()),
        (Trigger::Incident { id, title, .. }, _) => Work::Incident { id: id.clone(), title: title.clone() },
        (Trigger::Ticket { .. } | Trigger::Subtask { .. }, _) => {
            return Err(Fault::usage("neither a plan nor a sub-task is a run that can be submitted")
                .hint("submit the ticket: regreen submit ticket.md")
                .into());
        }
    };
    Ok(Request {
        repo: spec.root.clone(),
        dir: spec.goal.dir.clone(),
        work,
        land: spec.land.clone(),
        checks: Vec::new(),
        budget: Some(spec.budget),
        timeout: spec.timeout,
        max_attempts: spec.max_attempts,
        sandbox: Some(spec.sandbox),
        network: Some(spec.network),
        no_model: !spec.ladder.iter().any(|rung| rung.model),
        by: Some(spec.requester.clone()),
        origin: spec.origin.clone(),
    })
}

fn of_proposal() -> Fault {
    Fault::usage("the run is for a proposal")
        .hint("`regreen proposal test` and `regreen proposal fix` make new ones")
}

/// Ends a run that has not begun, by whoever claimed it.
///
/// # Errors
/// Where the store cannot be written.
pub async fn end(store: &Store, lease: &Lease, rule: StopRule, why: &str) -> Result<()> {
    let exit = super::exit_of(rule);
    let outcome = match rule {
        StopRule::Cancelled => "cancelled",
        StopRule::Unfit => "refused",
        _ => "cut off",
    };
    let over = RunPatch {
        status: Some(Status::Finished),
        outcome: Some(outcome.to_owned()),
        exit: Some(exit.code()),
        summary: Some(why.to_owned()),
        ..RunPatch::default()
    };
    let stopped = Event::Stopped { rule, why: why.to_owned(), look_at: Vec::new() };
    let proposal = Some(super::proposal::never_began(why));
    let incident = Some(super::incident::never_began(why));
    let events = [
        (stopped, Projection::default()),
        (
            Event::Finished { exit, ran: Duration::ZERO },
            Projection { run: over, proposal, incident, ..Projection::default() },
        ),
    ];
    let mut last = store.events(lease.run(), 0).await?.last().map_or(0, |event| event.seq);
    for (event, projection) in events {
        let event = NewEvent::new(store.now(), event.kind(), serde_json::to_value(&event)?).with(projection);
        last = store.append(Some(lease), lease.run(), last, &event).await?;
    }
    Ok(())
}
