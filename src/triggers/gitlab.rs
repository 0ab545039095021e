//! GitLab's webhooks: `Note Hook` and `Pipeline Hook`.

use secrecy::SecretString;
use serde::Deserialize;

use super::github::{command, known, parsed};
use super::{Happening, Hook, Incoming, Refused, Told, same};

/// Verifies and reads them.
pub struct Gitlab {
    secret: SecretString,
    name: String,
    repos: Vec<String>,
}

impl Gitlab {
    /// For deliveries that carry `secret`; `name` is whom comments command, and `repos` are those that are of concern.
    pub fn new(secret: SecretString, name: &str, repos: Vec<String>) -> Self {
        Self { secret, name: name.to_owned(), repos }
    }
}

#[derive(Deserialize)]
struct Project {
    path_with_namespace: String,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct Numbered {
    iid: u64,
}

#[derive(Deserialize)]
struct NoteEvent {
    user: User,
    project: Project,
    object_attributes: Note,
    issue: Option<Numbered>,
    merge_request: Option<Numbered>,
}

#[derive(Deserialize)]
struct Note {
    id: u64,
    note: String,
    #[serde(default)]
    system: bool,
    action: Option<String>,
}

#[derive(Deserialize)]
struct PipelineEvent {
    project: Project,
    object_attributes: Pipeline,
    merge_request: Option<MergeRequest>,
}

#[derive(Deserialize)]
struct Pipeline {
    id: u64,
    #[serde(rename = "ref")]
    branch: String,
    #[serde(default)]
    tag: bool,
    sha: String,
    status: String,
}

#[derive(Deserialize)]
struct MergeRequest {
    source_branch: String,
    source_project_id: u64,
    target_project_id: u64,
}

impl Hook for Gitlab {
    fn source(&self) -> &'static str {
        "gitlab"
    }

    fn verify(&self, incoming: &Incoming<'_>) -> Result<(), Refused> {
        match incoming.header("x-gitlab-token") {
            "" => Err(Refused::Unsigned),
            shown if same(&self.secret, shown) => Ok(()),
            _ => Err(Refused::Wrong),
        }
    }

    fn read(&self, incoming: &Incoming<'_>) -> Result<Told, Refused> {
        let event = incoming.header("x-gitlab-event");
        let matter = match event {
            "Note Hook" => self.note(parsed(incoming.body)?),
            "Pipeline Hook" => self.pipeline(parsed(incoming.body)?),
            _ => Err("nothing is done about events of this kind".to_owned()),
        };
        Ok(Told {
            label: incoming.header("idempotency-key").to_owned(),
            event: event.to_owned(),
            matter: matter.map(|happening| serde_json::to_value(happening).unwrap_or_default()),
        })
    }
}

impl Gitlab {
    fn note(&self, event: NoteEvent) -> Result<Happening, String> {
        let note = event.object_attributes;
        // Before 16.8 there is no action, and only new notes are told of.
        if note.system || note.action.as_deref().is_some_and(|action| action != "create") {
            return Err("it is no new comment of a person".to_owned());
        }
        let repo = known(&self.repos, &event.project.path_with_namespace)?;
        let command = command(&note.note, &self.name)?;
        let (number, on_request) = match (event.issue, event.merge_request) {
            (Some(issue), _) => (issue.iid, false),
            (None, Some(request)) => (request.iid, true),
            (None, None) => return Err("it is about neither an issue nor a merge request".to_owned()),
        };
        let author = event.user.username;
        Ok(Happening::Commanded { repo, number, on_request, comment: note.id, author, command })
    }

    fn pipeline(&self, event: PipelineEvent) -> Result<Happening, String> {
        let pipeline = event.object_attributes;
        if pipeline.status != "failed" || pipeline.tag {
            return Err("the pipeline did not fail on a branch".to_owned());
        }
        let repo = known(&self.repos, &event.project.path_with_namespace)?;
        let branch = match event.merge_request {
            None => pipeline.branch,
            Some(request) if request.source_project_id == request.target_project_id => request.source_branch,
            Some(_) => return Err("it is no branch of the repo's own: people say `fix` there".to_owned()),
        };
        Ok(Happening::Failed { repo, build: pipeline.id, branch, commit: pipeline.sha })
    }
}
