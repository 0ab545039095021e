//! An approved plan as stories with sub-tasks: made once, done one after the other.
//!
//! A part of a plan is claimed in the store before its issue is asked for, and the issue carries a label that stands for the part. A process that
//! dies between the two leaves a claim without an issue: the label is searched for then, and only where the search had time to know of it and
//! does not, the issue is asked for again.

use anyhow::{Context, Result};

use super::board::{Ask, Board, PART, Seen, Step, rest, told};
use super::client::NewIssue;
use super::rich::{Block, parse};
use super::says;
use super::state::{Held, Stage, State};
use crate::plan::{Plan, Story, SubTask};
use crate::run::Run;
use crate::run::journal::load;
use crate::store::JiraPart;

impl Board {
    /// Makes what is missing of an epic's stories.
    pub(super) async fn make_stories(&self, held: &mut Held<'_>, seen: &mut Seen) -> Result<Step> {
        let plan = plan_in(&held.state)?;
        let epic = seen.issue.key.clone();
        for (at, story) in plan.stories.iter().enumerate() {
            let part = format!("{:03}", at + 1);
            let blocks = story_text(story);
            let Some(key) = self.part(held, seen, &epic, &part, &story.title, &blocks, true).await? else {
                return Ok(Step::Later(self.config.settle));
            };
            for task in &story.subtasks {
                let title = format!("{} {}", task.id, task.title);
                let blocks = task_text(task);
                if self.part(held, seen, &key, &task.id, &title, &blocks, false).await?.is_none() {
                    return Ok(Step::Later(self.config.settle));
                }
            }
            let own = Plan {
                overview: plan.overview.clone(),
                assumptions: plan.assumptions.clone(),
                questions: Vec::new(),
                stories: vec![story.clone()],
            };
            let state =
                State { stage: Stage::Waiting, plan: Some(serde_json::to_value(own)?), ..State::default() };
            self.store.adopt_jira_issue(&key, &epic, &part, &serde_json::to_value(state)?).await?;
        }
        held.state.stage = Stage::Working;
        held.row.run = None;
        held.row.run_seen = None;
        self.move_to(held, seen, &self.config.statuses.in_progress).await?;
        Ok(Step::Did("its stories are made"))
    }

    /// The issue of a part: there already, found again, or made now. `None` where that cannot be known yet.
    #[expect(clippy::too_many_arguments, reason = "each of them is another part of the new issue")]
    async fn part(
        &self,
        held: &mut Held<'_>,
        seen: &Seen,
        parent: &str,
        part: &str,
        title: &str,
        text: &[Block],
        is_story: bool,
    ) -> Result<Option<String>> {
        // Nobody else may be at it while an issue is made.
        held.keep().await?;
        let label = format!("{PART}{}", self.digest(&format!("{parent} {part}")));
        match self.store.claim_jira_part(parent, part).await? {
            JiraPart::Made(key) => return Ok(Some(key)),
            JiraPart::Ours => {}
            JiraPart::Asked(ago) => {
                let jql = format!(
                    "project = \"{}\" AND labels = \"{label}\" ORDER BY created ASC",
                    seen.issue.project
                );
                if let Some(key) = told(self.jira.search(&jql).await)?.into_iter().next() {
                    self.store.settle_jira_part(parent, part, Some(&key)).await?;
                    return Ok(Some(key));
                }
                if ago < self.config.settle {
                    return Ok(None);
                }
                self.store.settle_jira_part(parent, part, None).await?;
            }
        }
        let types = &self.config.types;
        let new = NewIssue {
            project: &seen.issue.project,
            kind: if is_story { &types.story } else { &types.subtask },
            summary: &title.chars().take(250).collect::<String>(),
            description: text,
            parent,
            parent_is_epic: is_story,
            labels: &[label],
            assignee: &seen.me,
        };
        let key = told(self.jira.create(&new).await)?;
        self.store.settle_jira_part(parent, part, Some(&key)).await?;
        Ok(Some(key))
    }

    /// Looks after the stories of an epic.
    pub(super) async fn attend_stories(&self, held: &mut Held<'_>, seen: &mut Seen) -> Result<Step> {
        let plan = plan_in(&held.state)?;
        let mut rows = Vec::new();
        let mut done = true;
        for row in self.store.jira_issues_of(&seen.issue.key).await? {
            let state: State = serde_json::from_value(row.state).unwrap_or_default();
            let at = row.part.as_deref().and_then(|part| part.parse::<usize>().ok()).unwrap_or_default();
            let title =
                plan.stories.get(at.wrapping_sub(1)).map(|story| story.title.clone()).unwrap_or_default();
            let why = match state.stage {
                Stage::Waiting => Some("waits for the ones before it"),
                Stage::Working => Some("is being implemented"),
                Stage::Asking => Some("has questions"),
                Stage::Failed => Some("needs a person"),
                _ => None,
            };
            done &= state.stage == Stage::Done;
            rows.push((row.issue, title, state.stage == Stage::Done, why.map(str::to_owned)));
        }
        if rows.is_empty() {
            return Ok(rest("it has no stories"));
        }
        self.say(held, seen, says::stories(&plan, &rows)).await?;
        if !done {
            return Ok(rest("its stories are under way"));
        }
        self.hear_all(held, seen).await?;
        self.move_to(held, seen, &self.config.statuses.in_testing).await?;
        held.state.stage = Stage::Done;
        Ok(Step::Did("all its stories are implemented"))
    }

    /// Begins with a story once all before it are done, on top of the last one's branch.
    pub(super) async fn wait(&self, held: &mut Held<'_>, seen: &mut Seen) -> Result<Step> {
        if seen.is_at(&self.config.statuses.done) {
            held.state.stage = Stage::Done;
            held.keep().await?;
            self.wake_around(held).await?;
            return Ok(Step::Did("a person did it"));
        }
        let Some(parent) = &held.row.parent else { return Ok(rest("it is no plan's part")) };
        let mut onto = None;
        for row in self.store.jira_issues_of(parent).await? {
            if row.part >= held.row.part {
                break;
            }
            let state: State = serde_json::from_value(row.state).unwrap_or_default();
            if state.stage != Stage::Done {
                return Ok(rest("it waits for the stories before it"));
            }
            onto = state.branch.or(onto);
        }
        if !seen.is_ours() {
            return Ok(rest("a person has it"));
        }
        let ask = Ask::Work { plan: held.state.plan.clone(), feedback: None, onto };
        self.begin(held, seen, ask).await?;
        Ok(Step::Did("it was put into the queue"))
    }

    /// Has the epic of a story and the stories beside it looked at.
    pub(super) async fn wake_around(&self, held: &Held<'_>) -> Result<()> {
        let Some(parent) = &held.row.parent else { return Ok(()) };
        self.store.want_jira_issue(parent).await?;
        for row in self.store.jira_issues_of(parent).await? {
            if row.part > held.row.part {
                self.store.want_jira_issue(&row.issue).await?;
            }
        }
        Ok(())
    }

    /// Moves the sub-tasks of a story on: those whose commit is there, and the one that is under way.
    pub(super) async fn move_steps(&self, held: &mut Held<'_>, run: &str) -> Result<()> {
        let parts = self.store.jira_parts(&held.row.issue).await?;
        if parts.is_empty() {
            return Ok(());
        }
        let run = load(&self.store, run).await?;
        let names = &self.config.statuses;
        for (part, key) in parts {
            let status = match step_is(&run, &part) {
                Some(true) if held.state.moved.get(&part) != Some(&true) => &names.done,
                Some(false) if !held.state.moved.contains_key(&part) => &names.in_progress,
                _ => continue,
            };
            if !told(self.jira.move_to(&key, status).await)? {
                tracing::warn!(issue = key, "its workflow has no way to {status:?}");
            }
            held.state.moved.insert(part, *status == names.done);
            held.keep().await?;
        }
        Ok(())
    }
}

/// Whether a step of a run is done (`true`) or under way; `None` where it did not begin.
fn step_is(run: &Run, step: &str) -> Option<bool> {
    let is_done = |id: &str| run.subtasks.iter().any(|(done, ..)| done == id);
    if is_done(step) {
        return Some(true);
    }
    let plan = says::plan_of(run)?;
    let next = plan.subtasks().map(|(_, task)| task.id.as_str()).find(|id| !is_done(id));
    (run.finished.is_none() && next == Some(step)).then_some(false)
}

fn plan_in(state: &State) -> Result<Plan> {
    let plan = state.plan.clone().context("the issue has no plan")?;
    serde_json::from_value(plan).context("the plan of the issue cannot be read")
}

fn story_text(story: &Story) -> Vec<Block> {
    let mut text = format!("{}\n", story.description);
    list(&mut text, "Done when", &story.acceptance);
    parse(&text)
}

fn task_text(task: &SubTask) -> Vec<Block> {
    let mut text = format!("{}\n", task.description);
    list(&mut text, "Shown by tests", &task.acceptance);
    list(&mut text, "Files", &task.files);
    parse(&text)
}

fn list(text: &mut String, title: &str, entries: &[String]) {
    if !entries.is_empty() {
        text.push_str(&format!("\n{title}:\n\n"));
        entries.iter().for_each(|entry| text.push_str(&format!("- {}\n", entry.replace('\n', "\n  "))));
    }
}
