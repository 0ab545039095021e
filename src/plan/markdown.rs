//! A plan for people to read.

use std::fmt::Write;

use super::{Plan, SubTask, Ticket};

/// The most characters of the ticket that go with every sub-task: a sub-task should stand by itself.
const MOST_TICKET: usize = 12_000;

impl Plan {
    /// The plan as Markdown. Texts are shown as they are: whoever puts them on a page sanitises the HTML.
    pub fn to_markdown(&self) -> String {
        let mut out = format!("# Plan\n\n{}\n", self.overview);
        if !self.questions.is_empty() {
            out.push_str("\n## Questions\n\n");
            for question in &self.questions {
                let mark = if question.blocking { "**must be answered first**: " } else { "" };
                let why =
                    if question.why.is_empty() { String::new() } else { format!(" ({})", question.why) };
                let _ = writeln!(out, "- {mark}{}{why}", question.question);
            }
        }
        list(&mut out, "\n## Assumptions\n\n", &self.assumptions);
        for (at, story) in self.stories.iter().enumerate() {
            let _ = writeln!(out, "\n## Story {}: {}\n\n{}", at + 1, story.title, story.description);
            list(&mut out, "\nDone when:\n\n", &story.acceptance);
            for task in &story.subtasks {
                let _ = writeln!(out, "\n### {} {}\n\n{}", task.id, task.title, task.description);
                list(&mut out, "\nShown by tests:\n\n", &task.acceptance);
                paths(&mut out, "Files", &task.files);
                paths(&mut out, "Changes tests that exist", &task.changes_tests);
            }
        }
        out
    }
}

impl SubTask {
    /// What a fixer gets as its task: this sub-task, where it stands in the plan, and the ticket it is for.
    pub fn task_text(&self, plan: &Plan, ticket: &Ticket) -> String {
        let mut out = format!("Sub-task {}: {}\n\n{}\n", self.id, self.title, self.description);
        list(&mut out, "\nIts tests must show:\n", &self.acceptance);
        list(&mut out, "\nFiles it probably touches:\n", &self.files);
        let asked: Vec<String> = self.test_changes(ticket).into_iter().map(String::from).collect();
        list(&mut out, "\nFiles whose existing tests may change, as the ticket asks for it:\n", &asked);
        let _ = write!(out, "\nThe plan it belongs to: {}\n", plan.overview);
        list(&mut out, "\nAssumptions of the plan:\n", &plan.assumptions);
        out.push_str("\nAll sub-tasks, in order (do only the marked one; those above it are done):\n");
        for (_, task) in plan.subtasks() {
            let mark = if task.id == self.id { " <- this one" } else { "" };
            let _ = writeln!(out, "- {} {}{mark}", task.id, task.title);
        }
        let _ = write!(
            out,
            "\nThe ticket: {}\n\n{}\n",
            ticket.title,
            super::text::shorten(&ticket.body, MOST_TICKET)
        );
        out
    }
}

/// Adds a line with the paths, or nothing for none.
fn paths(out: &mut String, heading: &str, paths: &[String]) {
    if !paths.is_empty() {
        let paths: Vec<String> = paths.iter().map(|path| format!("`{path}`")).collect();
        let _ = writeln!(out, "\n{heading}: {}", paths.join(", "));
    }
}

/// Adds `heading` and the list, or nothing for an empty list.
fn list(out: &mut String, heading: &str, entries: &[String]) {
    if entries.is_empty() {
        return;
    }
    out.push_str(heading);
    for entry in entries {
        let _ = writeln!(out, "- {}", entry.replace('\n', "\n  "));
    }
}
