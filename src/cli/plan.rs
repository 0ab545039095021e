//! `regreen plan TICKET`: stories and sub-tasks with acceptance criteria, revised with feedback.

use std::time::Duration;

use anyhow::{Context, Result};

use super::heal::{Ground, Options, Want};
use super::paint::{CARE, out, paint, plain, say};
use super::session::new_id;
use crate::config::{FixerKind, GOAL};
use crate::fault::{Exit, Fault};
use crate::models::ledger::Purse;
use crate::outcome::Check;
use crate::patch::Tree;
use crate::plan::{Feedback, Plan, Planner, Ticket, outline};
use crate::run::Run;
use crate::run::events::{Event, Spec, Trigger};
use crate::run::journal::{Journal, load};
use crate::store::RunFilter;

/// The longest that a plan is waited for.
const ANSWER: Duration = Duration::from_secs(900);

/// Plan a ticket.
#[derive(Debug, clap::Args)]
pub(super) struct PlanTicket {
    #[command(flatten)]
    options: Options,
    /// What to do otherwise than in the last plan of this ticket, or the answers to its questions
    #[arg(long, value_name = "TEXT")]
    feedback: Option<String>,
    /// The ticket: a Markdown file, or - for standard input
    ticket: String,
}

impl PlanTicket {
    pub(super) async fn run(self) -> Result<Exit> {
        let ticket = read(&self.ticket)?;
        let ground = Ground::find(&self.options, Want::Repository).await?;
        let session = &ground.session;
        let previous = match &self.feedback {
            None => None,
            Some(_) => Some(last_plan(&ground, &ticket).await?.map(|(_, plan)| plan).ok_or_else(|| {
                Fault::usage("there is no earlier plan of this ticket that the feedback could be about")
                    .hint("leave --feedback away for the first plan")
            })?),
        };
        let id = new_id();
        let spec = spec(&ground, &self.options, &id, &ticket, "none").await?;
        let journal = session.begin(&id, spec, session.listeners(self.options.json)).await?;
        let feedback = previous.as_ref().zip(self.feedback.as_deref());
        let feedback = feedback.map(|(previous, text)| Feedback { previous, text });
        let plan = make(&ground, &journal, &ticket, feedback).await;
        let exit = match &plan {
            Ok(plan) if !plan.blocking().is_empty() => Exit::Red,
            Ok(_) => Exit::Green,
            Err(error) => error.downcast_ref::<Fault>().map_or(Exit::CannotJudge, |fault| fault.exit),
        };
        session.end(&journal, exit).await?;
        let plan = plan?;
        if self.options.json {
            out(&serde_json::to_string(&plan)?)?;
        } else {
            out(&plain(&plan.to_markdown()))?;
        }
        if exit == Exit::Red {
            say(&paint(
                CARE,
                "the plan has questions that only a person can answer: put the answers into the ticket, or give them with --feedback",
            ));
        }
        Ok(exit)
    }
}

/// Reads a ticket from a file or from standard input.
pub(super) fn read(place: &str) -> Result<Ticket> {
    use std::io::Read;
    if let Some((tracker @ ("jira" | "github" | "gitlab"), _)) = place.split_once(':') {
        return Err(Fault::usage(format!("{tracker} tickets cannot be read yet"))
            .hint("save the ticket as a Markdown file, or give it on standard input with `-`")
            .into());
    }
    let mut bytes = Vec::new();
    let most = crate::plan::MOST_BYTES as u64 + 1;
    if place == "-" {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes).context("cannot read standard input")?;
    } else {
        let file = std::fs::File::open(place)
            .map_err(|error| Fault::usage(format!("the ticket {place} cannot be read: {error}")))?;
        file.take(most)
            .read_to_end(&mut bytes)
            .map_err(|error| Fault::usage(format!("the ticket {place} cannot be read: {error}")))?;
    }
    Ticket::parse(&bytes, place)
}

/// The spec of a ticket's own run. Its goal is the check that its sub-tasks have to keep green.
pub(super) async fn spec(
    ground: &Ground,
    options: &Options,
    id: &str,
    ticket: &Ticket,
    land: &str,
) -> Result<Spec> {
    let (goal, checks) = goal(ground, options)?;
    let trigger = Trigger::Ticket {
        source: ticket.source.clone(),
        title: ticket.title.clone(),
        ticket: serde_json::to_value(ticket)?,
    };
    let land = land.parse().map_err(|error: Fault| anyhow::Error::from(error))?;
    ground.spec(options, id, trigger, goal, checks, &land).await
}

/// The check that has to be green after every sub-task, and the others: the tests, if there are any.
fn goal(ground: &Ground, options: &Options) -> Result<(Check, Vec<Check>)> {
    let mut checks = ground.all_checks(options);
    if checks.is_empty() {
        return Err(Fault::usage("no check is known for this repo, so nothing could be proven")
            .hint("run `regreen init` and look at what it writes, or give one with --check test=CMD")
            .into());
    }
    let at = checks.iter().position(|check| check.name.contains("test")).unwrap_or(0);
    let mut goal = checks.remove(at);
    goal.name = GOAL.into();
    for check in &mut checks {
        check.needs.retain(|need| *need != goal.name);
    }
    Ok((goal, checks))
}

/// Asks for the plan with the first model of the ladder, and records it.
pub(super) async fn make(
    ground: &Ground,
    journal: &Journal,
    ticket: &Ticket,
    feedback: Option<Feedback<'_>>,
) -> Result<Plan> {
    let session = &ground.session;
    let rung =
        session.settings.user.ladder.iter().find(|rung| rung.fixer == FixerKind::Model).ok_or_else(|| {
            Fault::usage("a plan needs a model, and none is configured").hint(
                "set ANTHROPIC_API_KEY or OPENAI_API_KEY, or configure a local one (docs/configuration.md)",
            )
        })?;
    let model = session.model(rung)?;
    let prices = session.prices()?;
    let redactor = session.redactor();
    let run = journal.run();
    let planner = Planner {
        model: model.as_ref(),
        purse: journal as &dyn Purse,
        prices: &prices,
        redactor: &redactor,
        cache_key: &run.id,
        timeout: ANSWER,
    };
    let base = run.base();
    let mut checks = vec![run.spec.goal.clone()];
    checks.extend(run.spec.checks.iter().cloned());
    let outline = outline(&Tree { root: &ground.root, patch: &base }, &checks);
    journal.murmur(&format!("{} is planning", model.model()));
    let plan = planner.plan(ticket, &outline, feedback).await?;
    journal.record(Event::Planned { plan: serde_json::to_value(&plan)? }).await?;
    Ok(plan)
}

/// The newest plan of the same ticket in the same repo.
pub(super) async fn last_plan(ground: &Ground, ticket: &Ticket) -> Result<Option<(Ticket, Plan)>> {
    let filter = RunFilter { repo: Some(ground.root.to_string_lossy().into_owned()), ..RunFilter::default() };
    for row in ground.session.store.runs(&filter, 500).await? {
        if row.trigger != "ticket" {
            continue;
        }
        let Ok(run) = load(&ground.session.store, &row.id).await else { continue };
        let Trigger::Ticket { ticket: earlier, title, .. } = &run.spec.trigger else { continue };
        if *title == ticket.title && run.plan.is_some() {
            return Ok(Some((serde_json::from_value(earlier.clone())?, plan_of(&run)?)));
        }
    }
    Ok(None)
}

/// The plan that a ticket's run recorded.
pub(super) fn plan_of(run: &Run) -> Result<Plan> {
    let plan = run.plan.as_ref().ok_or_else(|| Fault::usage("the run has no plan"))?;
    Ok(serde_json::from_value(plan.clone())?)
}
