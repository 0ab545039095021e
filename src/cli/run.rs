//! `regreen run TICKET`: implements a ticket's plan sub-task by sub-task, each verified by the same loop, one commit each, on one branch.

use std::time::Duration;

use anyhow::{Context, Result};

use super::halt::unless_halted;
use super::heal::{Ground, Options, Shared, Tries, Want, drive};
use super::live::short;
use super::page::Page;
use super::paint::{BAD, CARE, DIM, GOOD, NAME, STRONG, line, paint, say};
use super::plan::{close, draw_up, last_plan, make, plan_of, read, spec, trigger};
use super::session::{Kept, Session, new_id};
use super::summary::resume;
use super::tracker;
use crate::clock::human;
use crate::fault::{Exit, Fault};
use crate::forge::{Place, Wanted};
use crate::git::{Difference, Repo};
use crate::landing::{Base, Land};
use crate::plan::{Plan, SubTask, Ticket, slug};
use crate::run::events::{Event, Spec, StopRule, Tracked, Trigger};
use crate::run::journal::{Journal, load, subtask_runs};
use crate::run::{Run, Step, account, all_made};
use crate::store::Busy;
use crate::usage::Money;

/// Implement a ticket.
#[derive(Debug, clap::Args)]
pub(super) struct RunTicket {
    #[command(flatten)]
    shared: Shared,
    #[command(flatten)]
    tries: Tries,
    /// Not for tickets; taken only to say so
    #[arg(long, hide = true)]
    dry_run: bool,
    /// The branch for the commits: branch[=NAME], or pr[=NAME] to have it pushed, as a pull request where a forge is configured
    #[arg(long, value_name = "WHERE")]
    land: Option<Land>,
    /// The ticket: a Markdown file, - for standard input, jira:OD-33, github:owner/repo#12, gitlab:group/repo#12
    ticket: String,
}

impl RunTicket {
    pub(super) async fn run(self) -> Result<Exit> {
        if self.dry_run {
            return Err(Fault::usage("a ticket cannot be run dry: what it asks for is not there yet")
                .hint("`regreen plan` shows what would be done, and changes nothing")
                .into());
        }
        let (ticket, origin) = read(&self.ticket).await?;
        let json = self.shared.json;
        let options = Options {
            shared: self.shared,
            tries: self.tries,
            no_model: false,
            dry_run: false,
            by: None,
            origin,
        };
        let ground = Ground::find(&options, Want::Repository).await?;
        let ticket =
            ticket.without_secrets(&ground.session.redactor_of(&ground.root, ground.repo.as_ref()).await);
        let session = &ground.session;
        let id = new_id();
        let spec =
            ticket_spec(&ground, &options, &id, &ticket, self.land.unwrap_or(Land::Branch(None))).await?;
        let journal = session.begin(&id, spec, session.listeners(json)).await?;
        tracker::begun(session, &journal.run()).await;
        unless_halted(session, &journal, json, work(&ground, &journal, &ticket, json)).await
    }
}

/// Everything that a ticket's run needs to know.
pub(super) async fn ticket_spec(
    ground: &Ground,
    options: &Options,
    id: &str,
    ticket: &Ticket,
    land: Land,
) -> Result<Spec> {
    let (to, name) = match land {
        Land::Branch(name) => ("branch", name),
        Land::Pr(name) => ("pr", name),
        Land::Worktree | Land::Commit | Land::None => {
            return Err(Fault::usage("a ticket's commits go to a branch of their own")
                .hint("use --land branch, branch=NAME, pr or pr=NAME")
                .into());
        }
    };
    let branch = match name {
        Some(name) => name,
        None => free_branch(ground, &slug(&ticket.title)).await?,
    };
    spec(ground, options, id, trigger(ticket, false, None)?, &format!("{to}={branch}")).await
}

/// The same for a ticket that a tracker's plan goes with.
pub(super) async fn tracked_spec(
    ground: &Ground,
    options: &Options,
    id: &str,
    tracked: &Tracked,
    land: &Land,
) -> Result<Spec> {
    let ticket: Ticket = serde_json::from_value(tracked.ticket.clone())?;
    let trigger = Trigger::Ticket {
        source: ticket.source.clone(),
        title: ticket.title.clone(),
        ticket: tracked.ticket.clone(),
        only_plan: tracked.only_plan,
        feedback: tracked.feedback.clone(),
        plan: tracked.plan.clone(),
        onto: tracked.onto.clone(),
    };
    spec(ground, options, id, trigger, &land.to_string()).await
}

/// The branch for a ticket that was given none: `regreen/<slug>`, with a number where that one is taken.
async fn free_branch(ground: &Ground, slug: &str) -> Result<String> {
    let repo = ground.repo.as_ref().context("a ticket needs a git repository")?;
    let mut name = format!("regreen/{slug}");
    for number in 2.. {
        if repo.resolve(&format!("refs/heads/{name}")).await?.is_none() {
            break;
        }
        name = format!("regreen/{slug}-{number}");
    }
    Ok(name)
}

/// Goes on with a ticket's run that was cut off.
pub(super) async fn go_on(kept: Kept, journal: &Journal, json: bool) -> Result<Exit> {
    let run = journal.run();
    let Trigger::Ticket { ticket, only_plan, .. } = &run.spec.trigger else {
        return Err(Fault::usage("the run is not a ticket's").into());
    };
    let ticket = serde_json::from_value(ticket.clone()).context("the run's ticket cannot be read")?;
    let ground = Ground::at(&run.spec.root, kept).await?;
    if *only_plan {
        return draw_up(&ground, journal, &ticket, json).await;
    }
    work(&ground, journal, &ticket, json).await
}

/// Plans where there is no plan yet, then does every sub-task that is not done.
async fn work(ground: &Ground, journal: &Journal, ticket: &Ticket, json: bool) -> Result<Exit> {
    let done = implement(ground, journal, ticket, json).await;
    let exit = close(&ground.session, journal, done.as_ref().copied()).await?;
    // Of one that came by a webhook, whoever took that tells it.
    if ground.session.store.run(&journal.run().id).await?.priority.is_none() {
        tell_issue(ground, &journal.run()).await;
    }
    tracker::moved(&ground.session, &journal.run()).await;
    done?;
    if !json {
        say(&report(&journal.run(), ground).await?);
    }
    Ok(exit)
}

async fn implement(ground: &Ground, journal: &Journal, ticket: &Ticket, json: bool) -> Result<Exit> {
    // Only the end was cut off of a run that stopped for good.
    if let (Some(_), Step::Finish(exit)) = (&journal.run().stopped, journal.run().next()) {
        return Ok(exit);
    }
    let plan = match &journal.run().plan {
        Some(_) => plan_of(&journal.run())?,
        None => match planned(ground, &journal.run(), ticket).await? {
            Some(plan) => {
                journal.record(Event::Planned { plan: serde_json::to_value(&plan)? }).await?;
                plan
            }
            None => match make(ground, journal, ticket).await? {
                Some(plan) => plan,
                None => return Ok(Exit::Limit),
            },
        },
    };
    let blocking = plan.blocking();
    if !blocking.is_empty() {
        let questions: Vec<String> = blocking.iter().map(|question| question.question.clone()).collect();
        let why = "the ticket leaves open what the plan cannot know";
        journal
            .record(Event::Stopped { rule: StopRule::Questions, why: why.into(), look_at: questions })
            .await?;
        return Ok(Exit::Red);
    }
    let is_queued = ground.session.store.run(&journal.run().id).await?.priority.is_some();
    let tasks: Vec<SubTask> = plan.subtasks().map(|(_, task)| task.clone()).collect();
    for task in &tasks {
        let run = journal.run();
        if run.subtasks.iter().any(|(id, ..)| *id == task.id) {
            continue;
        }
        if !json {
            let heading = format!("{} of {} · {}", task.id, tasks.len(), line(&task.title, 100));
            say(&paint(STRONG, format!("\nsub-task {heading}")));
        }
        let mut children = subtask_runs(&ground.session.store, &run).await?;
        let left = Left::of(journal, &children);
        children.retain(|child| {
            child.rolled_back.is_none()
                && matches!(&child.spec.trigger, Trigger::Subtask { id, .. } if *id == task.id)
        });
        // A worker does not try again by itself what a person refused.
        if let (true, Some(refused)) = (is_queued, children.first().filter(|child| is_refused(child))) {
            let why = refused.stopped.as_ref().map_or("", |(_, why, _)| why);
            let why = format!("sub-task {} ({}) was rejected: {why}", task.id, task.title);
            let look_at = vec![format!("regreen show {}", short(&refused.id))];
            journal.record(Event::Stopped { rule: StopRule::Rejected, why, look_at }).await?;
            return Ok(Exit::Policy);
        }
        let child =
            match children.into_iter().find(|child| child.finished == Some(Exit::Green) || child.may_go_on())
            {
                // It was done while the ticket's run was not under way, or it still waits for a person.
                Some(done) if done.finished == Some(Exit::Green) || waits(&done) => done,
                // It was cut off, or stopped by a limit or a fault that may have passed: nothing of it is done or paid again.
                Some(begun) => {
                    let journal = take_up(&ground.session, &begun.id, json).await?;
                    journal.record(Event::Resumed { why: "resume".into() }).await?;
                    left.give(&journal).await?;
                    drive(&ground.session, &journal, true).await?;
                    load(&ground.session.store, &begun.id).await?
                }
                None => {
                    if let Some((rule, why)) = left.none(&run.spec) {
                        journal.record(Event::Stopped { rule, why, look_at: Vec::new() }).await?;
                        return Ok(Exit::Limit);
                    }
                    subtask(ground, &run, left, &plan, ticket, task, json).await?
                }
            };
        if waits(&child) {
            let then = match is_queued {
                true => "a worker goes on then".to_owned(),
                false => format!("then regreen resume {}", short(&run.id)),
            };
            let reasons = vec![format!(
                "sub-task {} ({}) waits for an approval: regreen approve {}, {then}",
                task.id,
                task.title,
                short(&child.id),
            )];
            journal.record(Event::ApprovalNeeded { reasons, question: None }).await?;
            return Ok(Exit::Policy);
        }
        if child.finished != Some(Exit::Green) {
            let why = match &child.stopped {
                Some((_, why, _)) => format!("sub-task {} ({}): {why}", task.id, task.title),
                None => format!("sub-task {} ({}) did not become green", task.id, task.title),
            };
            let look_at = vec![format!("regreen show {}", short(&child.id))];
            let exit = child.finished.unwrap_or(Exit::Red);
            let rule = child.stopped.as_ref().map_or(StopRule::LadderExhausted, |(rule, ..)| *rule);
            journal.record(Event::Stopped { rule, why, look_at }).await?;
            return Ok(exit);
        }
        let commit = child.landed.as_ref().and_then(|landed| landed.as_ref()?.commit().map(str::to_owned));
        let done =
            Event::SubtaskDone { id: task.id.clone(), child: child.id.clone(), commit, cost: child.spent };
        journal.record(done).await?;
        publish(ground, journal, tasks.last().is_some_and(|last| last.id == task.id)).await?;
    }
    // Only the push of the last one was cut off.
    publish(ground, journal, true).await?;
    Ok(Exit::Green)
}

/// Pushes what is done of the ticket, with one pull request for all of it: a draft until nothing more is to come.
async fn publish(ground: &Ground, journal: &Journal, complete: bool) -> Result<()> {
    let run = journal.run();
    let (true, Some(repo)) = (run.is_public(), &ground.repo) else { return Ok(()) };
    let land: Land = run.spec.land.parse().map_err(|fault: Fault| anyhow::Error::from(fault))?;
    let Some(branch) = land.branch() else { return Ok(()) };
    let tip = repo.resolve(&format!("refs/heads/{branch}^{{commit}}")).await?;
    let Some(commit) = tip.filter(|_| !run.subtasks.is_empty()) else { return Ok(()) };
    let done = run.published.as_ref().is_some_and(|last| last.commit == commit && last.complete == complete);
    if done {
        return Ok(());
    }
    ground.session.store.must_not_be_halted(&run.spec.root.to_string_lossy()).await?;
    let parts: Vec<Run> = finished(&ground.session, &run).await?;
    let title = match &run.spec.trigger {
        Trigger::Ticket { title, .. } => crate::plain::plain(title),
        _ => branch.to_owned(),
    };
    let _uncut = crate::process::landing().await;
    let outlet = ground.session.outlet(repo, run.spec.origin.as_ref()).await?;
    let here = run.spec.from.branch.as_deref().and_then(|branch| branch.strip_prefix("refs/heads/"));
    let fetched = run.spec.origin.as_ref().is_some_and(|origin| origin.reference.is_some());
    let wanted = Wanted {
        commit: &commit,
        branch,
        onto: run
            .spec
            .origin
            .as_ref()
            .and_then(|origin| origin.branch.as_deref())
            .or(here.filter(|_| !fetched)),
        what: &format!("run={}", run.id),
        title: &title,
        body: &account::of_request(&run, &parts, complete),
        complete,
        words: &account::in_short(&run, complete),
    };
    let publication = outlet.publish(repo, &wanted).await?;
    for what in &publication.warnings {
        let advice = "docs/forges.md lists the permissions that the token needs".to_owned();
        journal.record(Event::Warned { what: what.clone(), advice }).await?;
    }
    journal.record(Event::Published { publication: Box::new(publication) }).await
}

/// The runs of a ticket's sub-tasks that are done, in their order.
async fn finished(session: &Session, run: &Run) -> Result<Vec<Run>> {
    let mut parts = Vec::new();
    for (_, child, _) in &run.subtasks {
        parts.push(load(&session.store, child).await?);
    }
    Ok(parts)
}

/// Says below the issue that a ticket came from how its run stands. That it cannot be said is no reason to fail.
async fn tell_issue(ground: &Ground, run: &Run) {
    let said = async {
        let (Trigger::Ticket { source, .. }, Some(origin)) = (&run.spec.trigger, &run.spec.origin) else {
            return Ok(());
        };
        let Ok(place) = source.parse::<Place>() else { return Ok(()) };
        let config = ground.session.forge(origin.forge)?;
        let forge = crate::forge::connect(config, &ground.session.environment, &ground.session.redactor())?;
        let parts = finished(&ground.session, run).await?;
        crate::triggers::forges::tell(forge.as_ref(), &place, false, run, &parts).await
    };
    if let Err(error) = said.await {
        say(&format!(
            "{} the issue was told nothing: {}",
            paint(CARE, "●"),
            line(&format!("{error:#}"), 300)
        ));
    }
}

/// Takes up the run of a sub-task. Whoever just approved it may have it for a moment still: that says nothing about the ticket.
async fn take_up(session: &Session, child: &str, json: bool) -> Result<Journal> {
    match session.reopen(child, session.listeners(json)).await {
        Err(error) if session.store.is_held(child).await? => {
            Err(error.context(Busy { run: child.to_owned() }))
        }
        other => other,
    }
}

/// Whether a person refused what a sub-task's run came to.
fn is_refused(run: &Run) -> bool {
    matches!(run.stopped, Some((StopRule::Rejected, ..)))
}

/// Whether a run is proven and waits for a person.
fn waits(run: &Run) -> bool {
    run.finished == Some(Exit::Policy)
        && run.stopped.is_none()
        && run.proof.is_some()
        && run.awaits_approval()
}

/// What a ticket's run has cost, those of its sub-tasks' runs included that came to nothing.
fn total(run: &Run, children: &[Run]) -> Money {
    let counted = |child: &&Run| !run.subtasks.iter().any(|(_, id, _)| *id == child.id);
    children.iter().filter(counted).fold(run.spent, |sum, child| sum + child.spent)
}

/// What a ticket's next sub-task may use of the limits that were given for all of it.
struct Left {
    budget: Money,
    attempts: Option<u32>,
    time: Option<Duration>,
}

impl Left {
    fn of(journal: &Journal, children: &[Run]) -> Self {
        let run = journal.run();
        let made: usize = children.iter().map(|child| child.counted_since(run.fresh)).sum();
        Self {
            budget: Money(run.spec.budget.0.saturating_sub(total(&run, children).0)),
            attempts: run.spec.max_attempts.map(|most| most.saturating_sub(made as u32)),
            time: journal.time_left(),
        }
    }

    /// Gives it to the run of a sub-task that goes on, on top of what that has used.
    async fn give(&self, child: &Journal) -> Result<()> {
        let run = child.run();
        let made = run.counted().saturating_sub(run.forgiven) as u32;
        let given = Event::Allowed {
            budget: run.spent + self.budget,
            configured: run.spec.configured,
            max_attempts: self.attempts.map(|left| made + left),
            timeout: self.time.map(|left| child.worked() + left),
        };
        child.record(given).await
    }

    /// Why no sub-task can begin. Whether the money will do is seen when a model is to be asked.
    fn none(&self, given: &Spec) -> Option<(StopRule, String)> {
        match (self.attempts, given.max_attempts, self.time, given.timeout) {
            (Some(0), Some(most), ..) => Some((StopRule::Attempts, all_made(most))),
            (_, _, Some(Duration::ZERO), Some(most)) => {
                Some((StopRule::Time, format!("the run was given {} and used it", human(most))))
            }
            _ => None,
        }
    }
}

/// The plan that the run was given, or that `regreen plan` made of this very ticket, if it can be worked on.
async fn planned(ground: &Ground, run: &Run, ticket: &Ticket) -> Result<Option<Plan>> {
    match &run.spec.trigger {
        // What people say to a plan makes another one.
        Trigger::Ticket { feedback: Some(_), .. } => return Ok(None),
        Trigger::Ticket { plan: Some(plan), .. } => {
            return Ok(Some(serde_json::from_value(plan.clone()).context("the plan cannot be read")?));
        }
        _ => {}
    }
    let Some((earlier, plan)) = last_plan(ground, ticket).await? else { return Ok(None) };
    let same = earlier.body == ticket.body && plan.blocking().is_empty();
    Ok(same.then_some(plan))
}

/// One sub-task as a run of its own, on top of what the earlier ones landed on the branch.
async fn subtask(
    ground: &Ground,
    parent: &Run,
    left: Left,
    plan: &Plan,
    ticket: &Ticket,
    task: &SubTask,
    json: bool,
) -> Result<Run> {
    let session = &ground.session;
    let repo = ground.repo.as_ref().context("a ticket needs a git repository")?;
    let id = new_id();
    let snapshots = ground.snapshots().await?;
    let mut from = Base::take(Some(repo), &snapshots, &id).await?;
    let land: Land = parent.spec.land.parse().map_err(|fault: Fault| anyhow::Error::from(fault))?;
    let tip = match land.branch() {
        Some(branch) => match (tip_of(repo, branch).await?, &parent.spec.trigger) {
            (None, Trigger::Ticket { onto: Some(onto), .. }) => tip_of(repo, onto).await?,
            (tip, _) => tip,
        },
        None => None,
    };
    // The first of a ticket that builds on what was fetched does so, too.
    let fetched = parent.spec.origin.as_ref().is_some_and(|origin| origin.reference.is_some());
    let tip = tip.or_else(|| parent.spec.from.head.clone().filter(|_| fetched));
    let Difference { patch: base, hidden } = match &tip {
        Some(commit) => snapshots.patch_to(&from.snapshot, repo, commit).await?,
        None => snapshots.back_to_head(&from.snapshot, repo).await?,
    };
    if tip.is_some() {
        from.head = tip;
    }
    let spec = Spec {
        trigger: Trigger::Subtask {
            ticket: parent.id.clone(),
            id: task.id.clone(),
            title: task.title.clone(),
            task: task.task_text(plan, ticket),
            subtask: serde_json::to_value(task)?,
            needs_tests: !task.acceptance.is_empty(),
        },
        ladder: parent.spec.ladder.iter().filter(|rung| rung.model).cloned().collect(),
        budget: left.budget,
        max_attempts: left.attempts,
        timeout: left.time,
        test_changes: task.test_changes(ticket),
        from,
        base,
        hidden,
        // What is done is pushed with the ticket's run.
        land: Land::Branch(land.branch().map(str::to_owned)).to_string(),
        ..parent.spec.clone()
    };
    let journal = session.begin(&id, spec, session.listeners(json)).await?;
    drive(session, &journal, true).await?;
    load(&session.store, &journal.run().id).await
}

async fn tip_of(repo: &Repo, branch: &str) -> Result<Option<String>> {
    repo.resolve(&format!("refs/heads/{branch}^{{commit}}")).await
}

/// A labelled line of foreign text, broken where the page ends.
fn field(label: &str, style: anstyle::Style, text: &str) -> Vec<String> {
    let parts = Page::of_stderr().wrap(&line(text, 240), 10, 10);
    let lines = parts.into_iter().enumerate().map(|(number, part)| {
        let label = if number == 0 { label } else { "" };
        format!("  {} {part}", paint(style, format!("{label:7}")))
    });
    lines.collect()
}

fn cost(money: Money) -> String {
    if money.0 == 0 { "$0".to_owned() } else { money.to_string() }
}

fn tries(count: usize) -> String {
    if count == 1 { "1 attempt".to_owned() } else { format!("{count} attempts") }
}

/// What was done, commit by commit, and what was not.
async fn report(run: &Run, ground: &Ground) -> Result<String> {
    let mut lines = vec![String::new()];
    let title = match &run.spec.trigger {
        Trigger::Ticket { title, .. } => line(title, 100),
        _ => String::new(),
    };
    let (mark, word) = match run.finished {
        Some(Exit::Green) => (paint(GOOD, "✔"), "is implemented"),
        Some(Exit::Policy) if run.stopped.is_none() => (paint(CARE, "●"), "waits for a person"),
        _ => (paint(BAD, "✘"), "is not finished"),
    };
    lines.push(format!("{mark} {} {word}", paint(STRONG, title)));
    let plan = run.plan.as_ref().map(|_| plan_of(run)).transpose()?;
    let mut changed_tests = std::collections::BTreeSet::new();
    for (_, task) in plan.iter().flat_map(Plan::subtasks) {
        let done = run.subtasks.iter().find(|(id, ..)| *id == task.id);
        lines.push(match done {
            Some((_, child, commit)) => {
                let child = load(&ground.session.store, child).await?;
                let commit = commit.as_deref().map_or("", |commit| &commit[..commit.len().min(7)]);
                let tests = child.proof.as_ref().and_then(|proof| proof.tests_before.zip(proof.tests_after));
                let tests = tests.map(|(was, is)| format!(" · {was} → {is} tests")).unwrap_or_default();
                let changed = child.spec.test_changes.iter().filter(|path| child.kept.get(path).is_some());
                changed_tests.extend(changed.map(ToString::to_string));
                format!(
                    "  {} {} {} {}",
                    paint(GOOD, "✔"),
                    paint(NAME, commit),
                    line(&task.title, 90),
                    paint(DIM, format!("{}{tests} · {}", tries(child.attempts.len()), cost(child.spent)))
                )
            }
            None => format!("  {} {}", paint(DIM, "·"), line(&task.title, 90)),
        });
    }
    if let Some((rule, why, look_at)) = &run.stopped {
        lines.extend(field("stopped", STRONG, why));
        let heading = if *rule == StopRule::Questions { "answer first" } else { "look first at" };
        if !look_at.is_empty() {
            lines.push(format!("  {}", paint(STRONG, heading)));
        }
        lines.extend(look_at.iter().map(|place| format!("    {}", line(place, 200))));
    }
    if run.finished == Some(Exit::Policy) && run.stopped.is_none() {
        lines.extend(
            run.approval.iter().map(|why| format!("  {} {}", paint(STRONG, "waits"), line(why, 300))),
        );
    }
    if let Some(command) = resume(run) {
        lines.push(format!("  {} {command}", paint(STRONG, "go on     ")));
    }
    for path in &changed_tests {
        let what = format!("{path}: its tests were changed, as the ticket asks");
        lines.push(format!("  {} {}", paint(CARE, "tests"), line(&what, 160)));
    }
    let children = subtask_runs(&ground.session.store, run).await?;
    let mut warnings: Vec<_> =
        run.warnings.iter().chain(children.iter().flat_map(|child| &child.warnings)).collect();
    let mut told = std::collections::BTreeSet::new();
    warnings.retain(|warning| told.insert(*warning));
    for (what, advice) in warnings {
        lines.extend(field("warning", CARE, what));
        lines.extend(field("do", STRONG, advice));
    }
    for assumption in plan.iter().flat_map(|plan| &plan.assumptions) {
        lines.extend(field("assumed", CARE, assumption));
    }
    if let Some(published) = &run.published {
        lines.push(format!("  {} {}", paint(STRONG, "pushed    "), line(&published.told(), 200)));
    }
    let branch = run.spec.land.split_once('=').map(|(_, branch)| branch);
    if let (Some(branch), false) = (branch, run.subtasks.is_empty()) {
        lines.push(format!("  {} git log -p HEAD..{branch}", paint(STRONG, "look at it")));
        lines.push(format!("  {} regreen rollback {}", paint(STRONG, "undo      "), short(&run.id)));
    }
    let spent = total(run, &children);
    lines.push(paint(DIM, format!("  {} · run {}", cost(spent), short(&run.id))));
    Ok(lines.join("\n"))
}
