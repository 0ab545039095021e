//! From a ticket to a plan, and from a plan to work.
//!
//! A [`Ticket`] says what somebody wants. A [`Planner`] asks a model, once per ticket and with high effort, for a [`Plan`]: what is
//! assumed, what must be asked, and sub-tasks small enough to be done, tested and committed one by one. An [`Implementation`] is what
//! a model is told of one [`SubTask`]; the fixer that asks it, and the loop that verifies it, are the same as for repairs.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::patch::RelPath;

mod brief;
mod implement;
mod markdown;
mod outline;
mod planner;
mod schema;
mod text;
mod ticket;

pub use implement::Implementation;
pub use outline::outline;
pub use planner::{Feedback, Planner};
pub use schema::schema;
pub use text::slug;
pub use ticket::{MOST_BYTES, Ticket};

/// How a ticket is going to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What will be built and how, a paragraph or two.
    pub overview: String,
    /// What the ticket leaves open and the plan takes for granted.
    #[serde(default)]
    pub assumptions: Vec<String>,
    /// What the ticket leaves open and the plan cannot know.
    #[serde(default)]
    pub questions: Vec<Question>,
    /// The work, in order.
    pub stories: Vec<Story>,
}

/// Something that only a person can answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The question.
    pub question: String,
    /// Why it matters, or what is assumed as long as nobody answers.
    #[serde(default)]
    pub why: String,
    /// Whether work must not start before it is answered.
    pub blocking: bool,
}

/// A part of the work that is of use by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Story {
    /// One line.
    pub title: String,
    /// What and why.
    pub description: String,
    /// What must be true when it is done.
    #[serde(default)]
    pub acceptance: Vec<String>,
    /// Its steps, in order.
    pub subtasks: Vec<SubTask>,
}

/// One step: one change with its tests, one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubTask {
    /// Story and step, both from 1: `1.2`.
    pub id: String,
    /// One line, fit for a commit's subject.
    pub title: String,
    /// What to change.
    pub description: String,
    /// What its tests must show.
    #[serde(default)]
    pub acceptance: Vec<String>,
    /// Files that it probably touches or needs to see, relative to the repo: a hint, not a limit.
    #[serde(default)]
    pub files: Vec<String>,
    /// Files whose existing tests it changes because the ticket asks for that, relative to the repo. Only what the ticket's own words name
    /// is allowed: see [`SubTask::test_changes`].
    #[serde(default)]
    pub changes_tests: Vec<String>,
}

impl SubTask {
    /// The files whose existing tests this sub-task may change without an approval: those that the plan says it changes *and* that the ticket
    /// names itself. A plan is a model's; what the ticket says, the person who runs it vouches for.
    pub fn test_changes(&self, ticket: &Ticket) -> Vec<RelPath> {
        let paths = self.changes_tests.iter().filter(|path| ticket.names(path));
        paths.filter_map(|path| RelPath::new(path).ok()).collect()
    }
}

const MOST_STORIES: usize = 20;
const MOST_SUBTASKS: usize = 60;
const MOST_ITEMS: usize = 50;
const MOST_LINE: usize = 300;
const MOST_TEXT: usize = 8_000;

impl Plan {
    /// Every sub-task with its story, in the order in which they are done.
    pub fn subtasks(&self) -> impl Iterator<Item = (&Story, &SubTask)> {
        self.stories.iter().flat_map(|story| story.subtasks.iter().map(move |task| (story, task)))
    }

    /// The sub-task with this id.
    pub fn subtask(&self, id: &str) -> Option<&SubTask> {
        self.subtasks().map(|(_, task)| task).find(|task| task.id == id)
    }

    /// The questions that must be answered before work starts.
    pub fn blocking(&self) -> Vec<&Question> {
        self.questions.iter().filter(|question| question.blocking).collect()
    }

    /// Reads a plan and checks it.
    ///
    /// # Errors
    /// What is wrong with it, in words that its author (a model, or a person who edited the file) can act on.
    pub fn from_json(text: &str) -> std::result::Result<Self, String> {
        let plan: Plan = serde_json::from_str(text).map_err(|error| format!("it is not a plan: {error}"))?;
        plan.checked()
    }

    /// The plan with its texts cleaned and cut to their caps, if it can be worked on.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn checked(mut self) -> std::result::Result<Self, String> {
        self.tidy();
        let count = self.subtasks().count();
        if self.overview.is_empty() {
            return Err("`overview` is empty".to_owned());
        }
        if self.stories.len() > MOST_STORIES || count > MOST_SUBTASKS {
            return Err(format!(
                "it has {} stories and {count} sub-tasks; the most is {MOST_STORIES} stories and {MOST_SUBTASKS} sub-tasks",
                self.stories.len()
            ));
        }
        if count == 0 && self.blocking().is_empty() {
            return Err("it has no sub-task and no blocking question".to_owned());
        }
        let mut seen = HashSet::new();
        for (story, task) in self.subtasks() {
            if story.title.is_empty() || task.title.is_empty() {
                return Err(format!("the sub-task {:?} or its story has no title", task.id));
            }
            if !is_id(&task.id) {
                return Err(format!("{:?} is no sub-task id; ids look like \"1.1\"", task.id));
            }
            if !seen.insert(task.id.as_str()) {
                return Err(format!("two sub-tasks have the id {:?}", task.id));
            }
            if task.description.is_empty() && task.acceptance.is_empty() {
                return Err(format!("the sub-task {} says neither what to do nor what to test", task.id));
            }
        }
        Ok(self)
    }

    /// Cleans every text and drops what is empty. Over-long texts are cut: nothing in a plan is worth an unbounded prompt.
    fn tidy(&mut self) {
        tidy_text(&mut self.overview);
        tidy_list(&mut self.assumptions);
        for question in &mut self.questions {
            tidy_line(&mut question.question);
            tidy_line(&mut question.why);
        }
        self.questions.retain(|question| !question.question.is_empty());
        self.questions.truncate(MOST_ITEMS);
        for story in &mut self.stories {
            tidy_line(&mut story.title);
            tidy_text(&mut story.description);
            tidy_list(&mut story.acceptance);
            for task in &mut story.subtasks {
                tidy_line(&mut task.title);
                tidy_text(&mut task.description);
                tidy_list(&mut task.acceptance);
                tidy_paths(&mut task.files);
                tidy_paths(&mut task.changes_tests);
            }
        }
    }
}

fn tidy_line(line: &mut String) {
    *line = text::shorten(&text::clean(line).replace('\n', " "), MOST_LINE);
}

fn tidy_text(text: &mut String) {
    *text = text::shorten(&text::clean(text), MOST_TEXT);
}

fn tidy_paths(paths: &mut Vec<String>) {
    let inside =
        std::mem::take(paths).into_iter().filter_map(|path| RelPath::new(path.trim()).ok().map(String::from));
    *paths = inside.filter(|path| text::clean(path) == *path).take(MOST_ITEMS).collect();
}

fn tidy_list(list: &mut Vec<String>) {
    list.iter_mut().for_each(tidy_text);
    list.retain(|entry| !entry.is_empty());
    list.truncate(MOST_ITEMS);
}

/// Whether a text is two numbers of one to three digits with a dot between them.
fn is_id(text: &str) -> bool {
    let number = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    text.split_once('.').is_some_and(|(story, step)| number(story) && number(step))
}

#[cfg(test)]
mod tests;
