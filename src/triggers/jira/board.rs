//! What follows for an issue from how it stands now and from what was done about it.
//!
//! A delivery or a poll only says that an issue may have changed. [`Board::look`] then reads it, with its comments, takes its row, and does what is
//! missing, one step at a time, each written down before the next. A look that finds nothing to do does nothing: the same event may come five
//! times, in any order.

use std::time::Duration;

use anyhow::Result;
use sha2::{Digest, Sha256};

use super::client::{Comment, Issue, Jira};
use super::http::Failure;
use super::rich::{Block, Inline, render};
use super::says;
use super::state::{Held, Stage};
use super::ticket::{conversation, ticket};
use crate::config::{Environment, JiraConfig};
use crate::fault::{Exit, Fault};
use crate::plan::{Ticket, slug};
use crate::redact::Redactor;
use crate::run::Run;
use crate::run::events::{Request, StopRule, Tracked, Work};
use crate::run::journal::load;
use crate::run::queued::{Line, submit};
use crate::store::{Priority, RunRow, Status, Store, moment};

/// What a look came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// Something was done: what, last.
    Done(String),
    /// Nothing had to be done: why.
    Nothing(String),
    /// Something is left to be done after this time.
    Later(Duration),
    /// Another process is looking, and looks again after that.
    Busy,
}

/// The issues of one Jira.
pub struct Board {
    pub(super) jira: Jira,
    pub(super) store: Store,
    pub(super) config: JiraConfig,
    pub(super) redactor: Redactor,
}

/// An issue as a look finds it.
pub(super) struct Seen {
    pub(super) issue: Issue,
    pub(super) comments: Vec<Comment>,
    pub(super) me: String,
}

impl Seen {
    /// Whether Regreen has the issue.
    pub(super) fn is_ours(&self) -> bool {
        self.issue.assignee.as_ref().is_some_and(|person| person.id == self.me)
    }

    pub(super) fn is_at(&self, status: &str) -> bool {
        self.issue.status.trim().eq_ignore_ascii_case(status.trim())
    }

    /// What people said after the comment `heard`.
    pub(super) fn said_since(&self, heard: u64) -> Vec<&Comment> {
        let is_new = |comment: &&Comment| {
            comment.id > heard && !comment.author.is_app && !says::is_own(comment, &self.me)
        };
        self.comments.iter().filter(is_new).collect()
    }
}

/// What one step did.
pub(super) enum Step {
    /// This; there may be more to do.
    Did(&'static str),
    /// Nothing: this is why.
    Rest(String),
    /// Nothing now; there is something to do after this time.
    Later(Duration),
}

/// Steps of one look.
const MOST_STEPS: usize = 20;
/// How long an issue is left alone after something went wrong with it.
const AGAIN: Duration = Duration::from_secs(10);

impl Board {
    /// The board of the configured Jira.
    ///
    /// # Errors
    /// A [`Fault`] (exit 2) where its token is not there.
    pub fn open(
        config: &JiraConfig,
        environment: &Environment,
        store: &Store,
        redactor: &Redactor,
    ) -> Result<Self> {
        let jira = Jira::connect(config, environment, redactor)?;
        Ok(Self { jira, store: store.clone(), config: config.clone(), redactor: redactor.clone() })
    }

    /// From here on the run `run` is the one that works on the issue, or only plans it. Whether it could be written down: another process may be
    /// looking at the issue.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn follow(&self, key: &str, run: &str, only_plan: bool) -> Result<bool> {
        let Some(mut held) = Held::take(&self.store, key).await? else { return Ok(false) };
        held.row.run = Some(run.to_owned());
        held.state.begin(if only_plan { Stage::Planning } else { Stage::Working });
        held.keep().await?;
        held.let_go(Duration::ZERO).await?;
        Ok(true)
    }

    /// Does what is missing for an issue.
    ///
    /// # Errors
    /// Where Jira or the database fail: what was done is written down, and the next look goes on from there.
    pub async fn look(&self, key: &str) -> Result<Looked> {
        let Some(mut held) = Held::take(&self.store, key).await? else { return Ok(Looked::Busy) };
        let looked = self.look_at(&mut held).await;
        match &looked {
            Ok(_) if held.is_blank() => held.forget().await?,
            Ok(Looked::Later(pause)) => held.let_go(*pause).await?,
            Ok(_) => {
                held.row.looked = held.row.wanted;
                held.keep().await?;
                held.let_go(Duration::ZERO).await?;
            }
            Err(_) => held.let_go(AGAIN).await?,
        }
        looked
    }

    async fn look_at(&self, held: &mut Held<'_>) -> Result<Looked> {
        let key = held.row.issue.clone();
        let Some(issue) = told(self.jira.issue(&key).await)? else {
            return Ok(Looked::Nothing("there is no such issue, or it may not be seen".to_owned()));
        };
        let me = told(self.jira.me().await)?.id.clone();
        let mut seen = Seen { issue, comments: Vec::new(), me };
        if held.is_blank() && !seen.is_ours() {
            return Ok(Looked::Nothing("it is not assigned to Regreen".to_owned()));
        }
        seen.comments = told(self.jira.comments(&key).await)?;
        if let Some(run) = &held.row.run {
            // Before it is looked at: what changes meanwhile asks for another look.
            held.row.run_seen = self.run_row(run).await?.map(|row| moment(row.updated_at));
        }
        let mut did = None;
        for _ in 0..MOST_STEPS {
            match self.step(held, &mut seen).await? {
                Step::Did(what) => {
                    held.keep().await?;
                    tracing::info!(issue = key, stage = ?held.state.stage, "{what}");
                    did = Some(what);
                }
                Step::Rest(why) => {
                    return Ok(did.map_or(Looked::Nothing(why), |what| Looked::Done(what.to_owned())));
                }
                Step::Later(pause) => return Ok(Looked::Later(pause)),
            }
        }
        anyhow::bail!("{key} does not come to rest")
    }

    async fn step(&self, held: &mut Held<'_>, seen: &mut Seen) -> Result<Step> {
        match held.state.stage {
            Stage::New => self.take_up(held, seen).await,
            Stage::Planning | Stage::Working if held.row.run.is_some() => self.attend(held, seen).await,
            Stage::Planning => Ok(rest("nothing plans it")),
            Stage::Working => self.attend_stories(held, seen).await,
            Stage::Review => self.review(held, seen).await,
            Stage::Asking => self.ask(held, seen).await,
            Stage::Making => self.make_stories(held, seen).await,
            Stage::Waiting => self.wait(held, seen).await,
            Stage::Done | Stage::Failed => self.rework(held, seen).await,
        }
    }

    /// Whether the issue gets a plan first.
    fn is_epic(&self, issue: &Issue) -> bool {
        issue.kind.trim().eq_ignore_ascii_case(self.config.types.epic.trim())
    }

    /// Begins with an issue that Regreen was given.
    async fn take_up(&self, held: &mut Held<'_>, seen: &mut Seen) -> Result<Step> {
        let is_part = seen.issue.labels.iter().any(|label| label.starts_with(PART));
        if is_part || !seen.is_ours() || seen.is_at(&self.config.statuses.done) {
            return Ok(rest("it is a plan's part, or somebody else's, or done"));
        }
        if self.config.repo_of(&seen.issue.project).is_none() {
            return Ok(rest("[jira.projects] names no repo for its project"));
        }
        if self.is_epic(&seen.issue) {
            self.begin(held, seen, Ask::Plan(None)).await?;
            return Ok(Step::Did("a plan is asked for"));
        }
        self.begin(held, seen, Ask::Work { plan: None, feedback: None, onto: None }).await?;
        Ok(Step::Did("it was put into the queue"))
    }

    /// Looks after the run that plans or implements the issue.
    async fn attend(&self, held: &mut Held<'_>, seen: &mut Seen) -> Result<Step> {
        let planning = held.state.stage == Stage::Planning;
        let Some(id) = held.row.run.clone() else { return Ok(rest("no run works on it")) };
        let Some(row) = self.run_row(&id).await? else { return Ok(rest("its run was removed")) };
        match row.status {
            Status::Queued | Status::Running | Status::Waiting => {
                let what = if planning { "A plan is being made." } else { "This is being implemented." };
                if row.status == Status::Waiting {
                    let run = load(&self.store, &id).await?;
                    self.say(held, seen, says::waits(&run)).await?;
                } else {
                    self.say(held, seen, says::under_way(what, &id)).await?;
                }
                if !planning {
                    if held.state.status.is_none() {
                        self.move_to(held, seen, &self.config.statuses.in_progress).await?;
                    }
                    if row.status != Status::Queued {
                        self.move_steps(held, &id).await?;
                    }
                }
                Ok(rest("its run is under way"))
            }
            Status::Finished => {
                let run = match load(&self.store, &id).await {
                    Ok(run) => run,
                    // It ended before it began.
                    Err(error) if error.is::<Fault>() => {
                        let why = row.summary.unwrap_or_else(|| error.to_string());
                        let blocks = vec![Block::Paragraph(vec![Inline::plain(why)])];
                        return self.give_up(held, seen, blocks).await;
                    }
                    Err(error) => return Err(error),
                };
                self.end(held, seen, &run).await
            }
        }
    }

    /// Deals with the end of a run.
    async fn end(&self, held: &mut Held<'_>, seen: &mut Seen, run: &Run) -> Result<Step> {
        let planning = says::only_plans(run);
        if run.plan.is_some() {
            held.state.plan.clone_from(&run.plan);
        }
        let plan = says::plan_of(run);
        let asks = plan.as_ref().is_some_and(|plan| !plan.blocking().is_empty())
            && (planning || matches!(run.stopped, Some((StopRule::Questions, ..))));
        if let (true, Some(plan)) = (asks, &plan) {
            self.say(held, seen, says::questions(plan)).await?;
            // Before it moves: whoever waits for that may answer at once.
            self.hear_all(held, seen).await?;
            self.move_to(held, seen, &self.config.statuses.blocked).await?;
            held.state.stage = Stage::Asking;
            return Ok(Step::Did("its questions were asked"));
        }
        match (run.finished, planning, &plan) {
            (Some(Exit::Green), true, Some(plan)) => {
                let names = &self.config.statuses;
                self.say(held, seen, says::plan(plan, &names.selected, !self.config.approvers.is_empty()))
                    .await?;
                self.hear_all(held, seen).await?;
                self.move_to(held, seen, &names.plan_review).await?;
                held.state.stage = Stage::Review;
                Ok(Step::Did("its plan waits for a word"))
            }
            (Some(Exit::Green), false, _) => {
                self.move_steps(held, &run.id).await?;
                self.say(held, seen, says::result(&self.store, run).await?).await?;
                self.hear_all(held, seen).await?;
                self.move_to(held, seen, &self.config.statuses.in_testing).await?;
                held.state.branch = says::branch(run);
                held.state.stage = Stage::Done;
                held.keep().await?;
                self.wake_around(held).await?;
                Ok(Step::Did("it is implemented"))
            }
            _ => {
                held.state.branch = says::branch(run).or(held.state.branch.take());
                let what = if planning { "No plan could be made." } else { "This could not be finished." };
                let blocks = says::failure(&self.store, run, what).await?;
                self.give_up(held, seen, blocks).await
            }
        }
    }

    /// Says why it does not go on, and gives the issue to a person.
    async fn give_up(&self, held: &mut Held<'_>, seen: &mut Seen, blocks: Vec<Block>) -> Result<Step> {
        self.say(held, seen, blocks).await?;
        self.hear_all(held, seen).await?;
        self.move_to(held, seen, &self.config.statuses.blocked).await?;
        let reporter =
            seen.issue.reporter.as_ref().filter(|person| !person.is_app).map(|person| person.id.clone());
        let person = self.config.escalate_to.clone().or(reporter).filter(|person| *person != seen.me);
        // Who has it already keeps it.
        let person = person.filter(|_| seen.issue.assignee.is_none() || seen.is_ours());
        if let Some(person) = person {
            match self.jira.assign(&seen.issue.key, &person).await {
                Ok(()) => {
                    held.state.handed_over = true;
                    seen.issue.assignee = None;
                }
                Err(failure @ Failure::Refused { .. }) => {
                    tracing::warn!(issue = seen.issue.key, "it cannot be given to a person: {failure}");
                }
                Err(failure) => return told(Err(failure)),
            }
        }
        held.state.stage = Stage::Failed;
        held.keep().await?;
        self.wake_around(held).await?;
        Ok(Step::Did("it was given to a person"))
    }

    /// Looks for somebody's word on a plan.
    async fn review(&self, held: &mut Held<'_>, seen: &mut Seen) -> Result<Step> {
        let names = &self.config.statuses;
        let words = seen.said_since(held.state.heard);
        let was_moved = held.state.status.as_deref() == Some(names.plan_review.as_str());
        let approved = words.iter().any(|one| says::is_approval(&one.body) && self.may_approve(one));
        if (was_moved && seen.is_at(&names.selected)) || approved {
            if !seen.is_ours() {
                return Ok(rest("it is approved, and not assigned to Regreen"));
            }
            if self.is_epic(&seen.issue) {
                held.state.stage = Stage::Making;
                hear(held, seen);
                return Ok(Step::Did("its plan is approved"));
            }
            let ask = Ask::Work { plan: held.state.plan.clone(), feedback: None, onto: None };
            self.begin(held, seen, ask).await?;
            return Ok(Step::Did("its plan is approved and in the queue"));
        }
        if seen.is_at(&names.needs_rework) && seen.is_ours() && !words.is_empty() {
            let feedback = conversation(words.into_iter());
            self.begin(held, seen, Ask::Plan(Some(feedback))).await?;
            return Ok(Step::Did("another plan is asked for"));
        }
        Ok(rest("its plan waits for a word"))
    }

    fn may_approve(&self, comment: &Comment) -> bool {
        let author = &comment.author;
        self.config.approvers.iter().any(|name| {
            *name == author.id || author.email.as_ref().is_some_and(|email| email.eq_ignore_ascii_case(name))
        })
    }

    /// Looks for answers to the questions of a plan.
    async fn ask(&self, held: &mut Held<'_>, seen: &mut Seen) -> Result<Step> {
        let words = seen.said_since(held.state.heard);
        if words.is_empty() || !seen.is_ours() {
            return Ok(rest("its questions wait for answers"));
        }
        let answers = conversation(words.into_iter());
        let ask = if self.is_epic(&seen.issue) {
            Ask::Plan(Some(answers))
        } else {
            Ask::Work { plan: held.state.plan.clone(), feedback: Some(answers), onto: None }
        };
        self.begin(held, seen, ask).await?;
        Ok(Step::Did("its questions were answered"))
    }

    /// Begins again with what people want otherwise, or gave back.
    async fn rework(&self, held: &mut Held<'_>, seen: &mut Seen) -> Result<Step> {
        let failed = held.state.stage == Stage::Failed;
        if failed && seen.is_at(&self.config.statuses.done) {
            held.state.stage = Stage::Done;
            held.keep().await?;
            self.wake_around(held).await?;
            return Ok(Step::Did("a person did it"));
        }
        if let (true, Some(run)) = (failed, &held.row.run) {
            // A person may have let the very run go on.
            let goes_on = |row: RunRow| row.status != Status::Finished || row.exit == Some(0);
            if self.run_row(run).await?.is_some_and(goes_on) {
                held.state.stage =
                    if self.was_planning(run).await? { Stage::Planning } else { Stage::Working };
                return Ok(Step::Did("its run goes on"));
            }
        }
        let words = seen.said_since(held.state.heard);
        let wanted = match failed {
            true => held.state.handed_over || !words.is_empty(),
            false => seen.is_at(&self.config.statuses.needs_rework) && !words.is_empty(),
        };
        let has_stories = !failed && self.is_epic(&seen.issue);
        if !wanted || !seen.is_ours() || has_stories {
            return Ok(rest("nothing more is asked for"));
        }
        let said = conversation(words.into_iter());
        if self.is_epic(&seen.issue) {
            self.begin(held, seen, Ask::Plan(Some(said).filter(|said| !said.is_empty()))).await?;
            return Ok(Step::Did("another plan is asked for"));
        }
        // Where nobody says what to do otherwise, what is done stays done: the same plan goes on on its branch.
        let done = match (&held.state.branch, said.is_empty()) {
            (_, true) => None,
            (Some(branch), false) => Some(format!(
                "What this plan asks for was worked on; what is done of it lies on the branch {branch}, which goes on. \
                 People looked at it and say:\n\n{said}\nPlan only what is still to be done."
            )),
            (None, false) => Some(said),
        };
        let plan = if done.is_some() { held.state.plan.clone() } else { None };
        self.begin(held, seen, Ask::Work { plan, feedback: done, onto: None }).await?;
        Ok(Step::Did("it was put into the queue again"))
    }

    /// The row of a run; `None` where it was removed.
    async fn run_row(&self, run: &str) -> Result<Option<RunRow>> {
        match self.store.run(run).await {
            Ok(row) => Ok(Some(row)),
            Err(error) if error.is::<Fault>() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn was_planning(&self, run: &str) -> Result<bool> {
        Ok(load(&self.store, run).await.is_ok_and(|run| says::only_plans(&run)))
    }

    /// Puts a run for the issue into the queue. The same round of an issue is the same run, whoever asks for it how often.
    pub(super) async fn begin(&self, held: &mut Held<'_>, seen: &mut Seen, ask: Ask) -> Result<()> {
        let issue = &seen.issue;
        let Some(repo) = self.config.repo_of(&issue.project) else {
            anyhow::bail!(Fault::usage(format!("[jira.projects] names no repo for {}", issue.project)));
        };
        let ticket = self.ticket_of(held, seen).await?;
        let branch = held.state.branch.clone().unwrap_or_else(|| {
            format!("regreen/{}-{}", issue.key.to_ascii_lowercase(), slug(&issue.summary))
        });
        let ticket = serde_json::to_value(&ticket)?;
        let (tracked, land, stage) = match ask {
            Ask::Plan(feedback) => {
                let plan = feedback.as_ref().and(held.state.plan.clone());
                (
                    Tracked { ticket, plan, feedback, only_plan: true, onto: None },
                    "none".to_owned(),
                    Stage::Planning,
                )
            }
            Ask::Work { plan, feedback, onto } => {
                let tracked = Tracked { ticket, plan, feedback, only_plan: false, onto };
                held.state.branch = Some(branch.clone());
                (tracked, format!("{}={branch}", self.config.land), Stage::Working)
            }
        };
        let by = issue.reporter.as_ref().map_or("jira".to_owned(), |person| format!("jira:{}", person.id));
        let request = Request {
            repo: repo.clone(),
            dir: String::new(),
            work: Work::Tracked(Box::new(tracked)),
            land,
            checks: Vec::new(),
            budget: None,
            timeout: None,
            max_attempts: None,
            sandbox: None,
            network: None,
            no_model: false,
            by: Some(by),
            origin: None,
        };
        let key = format!("jira {} {} {}", self.digest(""), issue.key, held.state.round + 1);
        let line = Line { priority: self.priority(issue), key: Some(key), ..Line::default() };
        let id = uuid::Uuid::now_v7().simple().to_string();
        let submitted = submit(&self.store, &self.redactor, &id, &request, &line).await?;
        held.row.run = Some(submitted.run);
        held.state.begin(stage);
        hear(held, seen);
        Ok(())
    }

    /// What a run for the issue is told. A story that was made of a plan is a model's words: the ticket is the epic's, which people wrote.
    async fn ticket_of(&self, held: &Held<'_>, seen: &Seen) -> Result<Ticket> {
        let own = ticket(&seen.issue, &seen.comments, &seen.me)?;
        let Some(parent) = &held.row.parent else { return Ok(own) };
        let epic = read_ticket(&self.jira, parent).await?;
        Ok(Ticket { title: own.title, source: own.source, ..epic })
    }

    fn priority(&self, issue: &Issue) -> Priority {
        let has = |names: &[String]| {
            names.iter().any(|name| issue.labels.iter().any(|label| label.eq_ignore_ascii_case(name)))
        };
        let labels = &self.config.priority;
        let ranks = [
            (&labels.urgent, Priority::Urgent),
            (&labels.high, Priority::High),
            (&labels.low, Priority::Low),
        ];
        ranks.into_iter().find(|(names, _)| has(names)).map(|(_, rank)| rank).unwrap_or_default()
    }

    /// Twelve digits that stand for something of this Jira.
    pub(super) fn digest(&self, what: &str) -> String {
        let text = format!("{}\n{what}", self.config.base_url);
        hex::encode(&Sha256::digest(text)[..6])
    }

    /// Brings the comment of the issue up to date: the one that is there, or a new one.
    pub(super) async fn say(&self, held: &mut Held<'_>, seen: &Seen, blocks: Vec<Block>) -> Result<()> {
        let blocks = says::closed(self.without_secrets(blocks));
        let said = hex::encode(Sha256::digest(render(&blocks)));
        if held.state.said.as_ref() == Some(&said) && held.state.comment.is_some() {
            return Ok(());
        }
        let key = &seen.issue.key;
        // One that was written by a process that died before it could say so is found again.
        let found =
            seen.comments.iter().find(|comment| says::is_own(comment, &seen.me)).map(|comment| comment.id);
        let mut comment = held.state.comment.or(found);
        if let Some(id) = comment
            && !told(self.jira.edit_comment(key, id, &blocks).await)?
        {
            comment = None;
        }
        let id = match comment {
            Some(id) => id,
            None => told(self.jira.comment(key, &blocks).await)?,
        };
        held.state.comment = Some(id);
        held.state.said = Some(said);
        held.keep().await
    }

    fn without_secrets(&self, blocks: Vec<Block>) -> Vec<Block> {
        let text = render(&blocks);
        match self.redactor.redact(&text) {
            std::borrow::Cow::Borrowed(_) => blocks,
            std::borrow::Cow::Owned(text) => super::rich::parse(&text),
        }
    }

    /// Moves the issue to a status, if its workflow has a way there.
    pub(super) async fn move_to(&self, held: &mut Held<'_>, seen: &mut Seen, status: &str) -> Result<()> {
        if !seen.is_at(status) {
            if !told(self.jira.move_to(&seen.issue.key, status).await)? {
                tracing::warn!(
                    issue = seen.issue.key,
                    "its workflow has no way from {:?} to {status:?}",
                    seen.issue.status
                );
                return Ok(());
            }
            status.clone_into(&mut seen.issue.status);
        }
        held.state.status = Some(status.to_owned());
        held.keep().await
    }

    /// Takes all that was said so far into account: what is said from here on is said to what the issue's comment says now.
    pub(super) async fn hear_all(&self, held: &mut Held<'_>, seen: &mut Seen) -> Result<()> {
        seen.comments = told(self.jira.comments(&seen.issue.key).await)?;
        hear(held, seen);
        Ok(())
    }
}

/// Takes what was read into account.
fn hear(held: &mut Held<'_>, seen: &Seen) {
    let last = seen.comments.last().map_or(0, |comment| comment.id);
    held.state.heard = held.state.heard.max(last);
}

/// The ticket of an issue, as people see it now.
///
/// # Errors
/// A [`Fault`] where there is no such issue, or Jira does not answer.
pub async fn read_ticket(jira: &Jira, key: &str) -> Result<Ticket> {
    let issue = told(jira.issue(key).await)?.ok_or_else(|| {
        Fault::usage(format!("Jira has no issue {key}, or the account of [jira] may not see it"))
    })?;
    let comments = told(jira.comments(key).await)?;
    let me = told(jira.me().await)?;
    ticket(&issue, &comments, &me.id)
}

/// What the labels of issues begin with that were made of a plan's parts.
pub(super) const PART: &str = "regreen-";

/// What a run is asked for.
pub(super) enum Ask {
    /// A plan, or another one, as somebody said something to the last.
    Plan(Option<String>),
    /// The work.
    Work {
        /// By this plan.
        plan: Option<serde_json::Value>,
        /// Changed as people say.
        feedback: Option<String>,
        /// On top of this branch, where its own does not exist yet.
        onto: Option<String>,
    },
}

pub(super) fn rest(why: &str) -> Step {
    Step::Rest(why.to_owned())
}

/// A failure with what to do about it.
pub(super) fn told<T>(answer: Result<T, Failure>) -> Result<T> {
    answer.map_err(|failure| failure.fault().into())
}
