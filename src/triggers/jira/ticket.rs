//! An issue as a ticket: what it says, and what people said below it. All of it is a stranger's words.

use anyhow::Result;

use super::client::{Comment, Issue};
use super::says::is_own;
use crate::plan::{MOST_BYTES, Ticket};

/// The most bytes of a description, and of all comments together: the last ones.
const MOST_DESCRIPTION: usize = MOST_BYTES / 4 * 3;
const MOST_COMMENTS: usize = MOST_BYTES / 8;

/// The ticket of an issue; what Regreen wrote itself (`me`) is no part of it.
///
/// # Errors
/// As [`Ticket::parse`].
pub fn ticket(issue: &Issue, comments: &[Comment], me: &str) -> Result<Ticket> {
    let title = issue.summary.split_whitespace().collect::<Vec<_>>().join(" ");
    let title = if title.is_empty() { issue.key.clone() } else { title };
    let description = &issue.description[..issue.description.floor_char_boundary(MOST_DESCRIPTION)];
    let mut text = format!("# {title}\n\n{description}\n");
    let said = conversation(comments.iter().filter(|comment| !is_own(comment, me)));
    if !said.is_empty() {
        text.push_str("\n## Comments\n\n");
        text.push_str(&said);
    }
    let mut ticket = Ticket::parse(text, &source(&issue.key))?;
    // A title may look like a heading's marks; it is what the field says.
    if ticket.title.is_empty() {
        ticket.title = issue.key.clone();
    }
    Ok(ticket)
}

/// What runs call the ticket of an issue.
pub fn source(key: &str) -> String {
    format!("jira:{key}")
}

/// The issue's key in what runs call its ticket.
pub fn key_of(source: &str) -> Option<&str> {
    source.strip_prefix("jira:").filter(|key| super::client::is_key(key))
}

/// Comments as a conversation, as many of the last ones as there is room for.
pub fn conversation<'c>(comments: impl DoubleEndedIterator<Item = &'c Comment>) -> String {
    let mut parts = Vec::new();
    let mut room = MOST_COMMENTS;
    for comment in comments.rev() {
        let name: String =
            comment.author.display.chars().filter(|c| c.is_alphanumeric() || *c == ' ').take(60).collect();
        let at = comment.created.map(|at| at.strftime(", %Y-%m-%d").to_string()).unwrap_or_default();
        let body: String = comment.body.trim().lines().map(|line| format!("> {line}\n")).collect();
        let part =
            format!("{}{at}:\n\n{body}\n", if name.trim().is_empty() { "somebody" } else { name.trim() });
        if part.len() > room {
            break;
        }
        room -= part.len();
        parts.push(part);
    }
    parts.reverse();
    parts.concat()
}
