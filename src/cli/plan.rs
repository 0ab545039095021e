//! `regreen plan TICKET`: stories and sub-tasks with acceptance criteria, revised with feedback.

use std::time::Duration;

use anyhow::{Context, Result};

use super::halt::unless_halted;
use super::heal::{Ground, Options, Shared, Tries, Want};
use super::paint::{CARE, STRONG, out, paint, plain, say};
use super::session::{Session, new_id};
use super::summary::resume;
use super::tracker;
use crate::config::{Environment, FixerKind, GOAL, Settings};
use crate::fault::{Exit, Fault};
use crate::forge::Place;
use crate::models::ledger::Purse;
use crate::outcome::Check;
use crate::patch::Tree;
use crate::plan::{Feedback, Plan, Planner, Ticket, outline};
use crate::redact::Redactor;
use crate::run::Run;
use crate::run::events::{Event, Origin, Spec, StopRule, Trigger};
use crate::run::journal::{Journal, load};
use crate::store::{RunFilter, is_interruption};

/// The longest that one answer is waited for.
const ANSWER: Duration = Duration::from_secs(900);

/// Plan a ticket.
#[derive(Debug, clap::Args)]
pub(super) struct PlanTicket {
    #[command(flatten)]
    shared: Shared,
    /// What to do otherwise than in the last plan of this ticket, or the answers to its questions
    #[arg(long, value_name = "TEXT")]
    feedback: Option<String>,
    /// The ticket: a Markdown file, - for standard input, jira:OD-33, github:owner/repo#12, gitlab:group/repo#12
    ticket: String,
}

impl PlanTicket {
    pub(super) async fn run(self) -> Result<Exit> {
        let (ticket, origin) = read(&self.ticket).await?;
        let json = self.shared.json;
        let options = Options {
            shared: self.shared,
            tries: Tries::default(),
            no_model: false,
            dry_run: false,
            by: None,
            origin,
        };
        let ground = Ground::find(&options, Want::Repository).await?;
        let redactor = ground.session.redactor_of(&ground.root, ground.repo.as_ref()).await;
        let ticket = ticket.without_secrets(&redactor);
        let feedback = self.feedback.map(|text| redactor.redact(&text).into_owned());
        if feedback.is_some() {
            previous(&ground, &ticket).await?;
        }
        let session = &ground.session;
        let id = new_id();
        let trigger = trigger(&ticket, true, feedback)?;
        let spec = spec(&ground, &options, &id, trigger, "none").await?;
        let journal = session.begin(&id, spec, session.listeners(json)).await?;
        tracker::begun(session, &journal.run()).await;
        unless_halted(session, &journal, json, draw_up(&ground, &journal, &ticket, json)).await
    }
}

/// Takes a run that is only to plan to its end, and shows the plan.
pub(super) async fn draw_up(ground: &Ground, journal: &Journal, ticket: &Ticket, json: bool) -> Result<Exit> {
    let plan = match &journal.run().plan {
        Some(_) => plan_of(&journal.run()).map(Some),
        None => make(ground, journal, ticket).await,
    };
    let exit = plan.as_ref().map(|plan| match plan {
        None => Exit::Limit,
        Some(plan) if !plan.blocking().is_empty() => Exit::Red,
        Some(_) => Exit::Green,
    });
    let exit = close(&ground.session, journal, exit).await?;
    tracker::moved(&ground.session, &journal.run()).await;
    // Of a run that was queued, whoever asked for it reads the plan where it is kept.
    let is_queued = ground.session.store.run(&journal.run().id).await?.priority.is_some();
    let Some(plan) = plan? else {
        if let (false, Some(command)) = (json, resume(&journal.run())) {
            say(&format!("  {} {command}", paint(STRONG, "go on")));
        }
        return Ok(exit);
    };
    if is_queued {
        return Ok(exit);
    }
    if json {
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

/// Ends a ticket's run. What could not be done is recorded as such, so that `resume` can go on there.
pub(super) async fn close(
    session: &Session,
    journal: &Journal,
    done: std::result::Result<Exit, &anyhow::Error>,
) -> Result<Exit> {
    let exit = match done {
        Ok(exit) => exit,
        // It goes on from its last event.
        Err(error) if is_interruption(error) => return Ok(Exit::CannotJudge),
        Err(error) => {
            let why = format!("{error:#}");
            journal.record(Event::Stopped { rule: StopRule::Fault, why, look_at: Vec::new() }).await?;
            error.downcast_ref::<Fault>().map_or(Exit::CannotJudge, |fault| fault.exit)
        }
    };
    session.end(journal, exit).await?;
    Ok(exit)
}

/// Reads a ticket from a file, from standard input, from a tracker or from a forge, and says what of the forge it is.
pub(super) async fn read(place: &str) -> Result<(Ticket, Option<Origin>)> {
    use std::io::Read;
    if Place::is_meant(place) {
        return of_forge(&place.parse()?).await.map(|(ticket, origin)| (ticket, Some(origin)));
    }
    if let Some(key) = place.strip_prefix("jira:") {
        return tracker::ticket(key).await.map(|ticket| (ticket, None));
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
    Ok((Ticket::parse(&bytes, place)?, None))
}

/// Reads an issue of a forge. What it needs of the configuration is no repo's to say.
async fn of_forge(place: &Place) -> Result<(Ticket, Origin)> {
    let environment = Environment::from_process();
    let user = Settings::load(&environment, None)?.user;
    let config = user.forges.iter().find(|forge| forge.kind == place.kind).ok_or_else(|| {
        Fault::usage(format!("{} is not configured", place.kind.title()))
            .hint(format!("add [{}] to the configuration (docs/forges.md)", place.kind.as_str()))
    })?;
    let redactor = Redactor::from_env(environment.pairs());
    let forge = crate::forge::connect(config, &environment, &redactor)?;
    let (ticket, _labels) = crate::triggers::forges::ticket(forge.as_ref(), place).await?;
    let origin = Origin {
        forge: place.kind,
        repo: place.repo.clone(),
        branch: None,
        reference: None,
        closes: Some(place.number),
    };
    Ok((ticket, origin))
}

/// What starts a ticket's run.
pub(super) fn trigger(ticket: &Ticket, only_plan: bool, feedback: Option<String>) -> Result<Trigger> {
    Ok(Trigger::Ticket {
        source: ticket.source.clone(),
        title: ticket.title.clone(),
        ticket: serde_json::to_value(ticket)?,
        only_plan,
        feedback,
        plan: None,
        onto: None,
    })
}

/// The spec of a ticket's own run. Its goal is the check that its sub-tasks have to keep green.
pub(super) async fn spec(
    ground: &Ground,
    options: &Options,
    id: &str,
    trigger: Trigger,
    land: &str,
) -> Result<Spec> {
    let (goal, checks) = goal(ground, options)?;
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

/// Makes the plan within the run's time and money; `None` where a limit stopped the run.
pub(super) async fn make(ground: &Ground, journal: &Journal, ticket: &Ticket) -> Result<Option<Plan>> {
    crate::heal::limited(journal, ask(ground, journal, ticket)).await?;
    let run = journal.run();
    if run.stopped.is_some() { Ok(None) } else { plan_of(&run).map(Some) }
}

/// Asks for the plan with the first model of the ladder, and records it.
async fn ask(ground: &Ground, journal: &Journal, ticket: &Ticket) -> Result<()> {
    let session = &ground.session;
    let rung =
        session.settings.user.ladder.iter().find(|rung| rung.fixer == FixerKind::Model).ok_or_else(|| {
            Fault::usage("a plan needs a model, and none is configured").hint(
                "set ANTHROPIC_API_KEY or OPENAI_API_KEY, or configure a local one (docs/configuration.md)",
            )
        })?;
    let model = session.model(rung)?;
    let prices = session.prices()?;
    let redactor = session.redactor_of(&ground.root, ground.repo.as_ref()).await;
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
    let plan = match &run.spec.trigger {
        Trigger::Ticket { feedback: Some(text), plan, .. } => {
            let previous = match plan {
                Some(plan) => serde_json::from_value(plan.clone()).context("the plan cannot be read")?,
                None => previous(ground, ticket).await?,
            };
            planner.plan(ticket, &outline, Some(Feedback { previous: &previous, text })).await?
        }
        _ => planner.plan(ticket, &outline, None).await?,
    };
    journal.record(Event::Planned { plan: serde_json::to_value(&plan)? }).await
}

/// The plan that feedback is about.
async fn previous(ground: &Ground, ticket: &Ticket) -> Result<Plan> {
    let (_, plan) = last_plan(ground, ticket).await?.ok_or_else(|| {
        Fault::usage("there is no earlier plan of this ticket that the feedback could be about")
            .hint("leave --feedback away for the first plan")
    })?;
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
