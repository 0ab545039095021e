//! GitHub's webhooks: `issue_comment` and `workflow_run`.

use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Command, Happening, Hook, Incoming, Refused, Told, signed};
use crate::config::is_full_name;
use crate::forge::MARK;

/// Verifies and reads them.
pub struct Github {
    secret: SecretString,
    name: String,
    repos: Vec<String>,
}

impl Github {
    /// For deliveries that are signed with `secret`; `name` is whom comments command, and `repos` are those that are of concern.
    pub fn new(secret: SecretString, name: &str, repos: Vec<String>) -> Self {
        Self { secret, name: name.to_owned(), repos }
    }
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
}

#[derive(Deserialize)]
struct User {
    login: String,
}

#[derive(Deserialize)]
struct CommentEvent {
    action: String,
    repository: Repository,
    issue: Issue,
    comment: Comment,
}

#[derive(Deserialize)]
struct Issue {
    number: u64,
    pull_request: Option<Value>,
}

#[derive(Deserialize)]
struct Comment {
    id: u64,
    body: String,
    user: User,
}

#[derive(Deserialize)]
struct WorkflowEvent {
    action: String,
    repository: Repository,
    workflow_run: WorkflowRun,
}

#[derive(Deserialize)]
struct WorkflowRun {
    id: u64,
    conclusion: Option<String>,
    head_branch: Option<String>,
    head_sha: String,
    head_repository: Option<Repository>,
}

impl Hook for Github {
    fn source(&self) -> &'static str {
        "github"
    }

    fn verify(&self, incoming: &Incoming<'_>) -> Result<(), Refused> {
        let shown = incoming.header("x-hub-signature-256");
        if shown.is_empty() {
            return Err(Refused::Unsigned);
        }
        let shown = shown.strip_prefix("sha256=").ok_or(Refused::Wrong)?;
        if signed(&self.secret, incoming.body, shown) { Ok(()) } else { Err(Refused::Wrong) }
    }

    fn read(&self, incoming: &Incoming<'_>) -> Result<Told, Refused> {
        let event = incoming.header("x-github-event");
        let matter = match event {
            "issue_comment" => self.comment(parsed(incoming.body)?),
            "workflow_run" => self.workflow(parsed(incoming.body)?),
            _ => Err("nothing is done about events of this kind".to_owned()),
        };
        Ok(Told {
            label: incoming.header("x-github-delivery").to_owned(),
            event: event.to_owned(),
            matter: matter.map(|happening| serde_json::to_value(happening).unwrap_or_default()),
        })
    }
}

impl Github {
    fn comment(&self, event: CommentEvent) -> Result<Happening, String> {
        if event.action != "created" {
            return Err(format!("the comment was {}, not created", event.action));
        }
        let repo = known(&self.repos, &event.repository.full_name)?;
        let command = command(&event.comment.body, &self.name)?;
        Ok(Happening::Commanded {
            repo,
            number: event.issue.number,
            on_request: event.issue.pull_request.is_some(),
            comment: event.comment.id,
            author: event.comment.user.login,
            command,
        })
    }

    fn workflow(&self, event: WorkflowEvent) -> Result<Happening, String> {
        let run = event.workflow_run;
        let ended = run.conclusion.as_deref().unwrap_or_default();
        if event.action != "completed" || !matches!(ended, "failure" | "timed_out") {
            return Err("the workflow did not fail".to_owned());
        }
        let repo = known(&self.repos, &event.repository.full_name)?;
        let own = run.head_repository.is_some_and(|head| head.full_name.eq_ignore_ascii_case(&repo));
        let branch = run.head_branch.filter(|_| own);
        Ok(Happening::Failed {
            repo,
            build: run.id,
            branch: branch.ok_or("it is no branch of the repo's own: people say `fix` there")?,
            commit: run.head_sha,
        })
    }
}

/// The body as what the header says it is.
pub(super) fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| {
        Refused::Unreadable(format!("the body is not what its kind of event has, as JSON: {error}"))
    })
}

/// The repo as it is configured.
pub(super) fn known(repos: &[String], full: &str) -> Result<String, String> {
    let found = repos.iter().find(|name| name.eq_ignore_ascii_case(full));
    found.cloned().ok_or_else(|| match is_full_name(full) {
        true => format!("{full} is not configured"),
        false => "the repo is not configured".to_owned(),
    })
}

/// The command in a comment. Whatever we wrote ourselves gives none.
pub(super) fn command(text: &str, name: &str) -> Result<Command, String> {
    if text.contains(MARK) {
        return Err("it is a comment of ours".to_owned());
    }
    Command::read(text, name).ok_or_else(|| "the comment holds no command".to_owned())
}
