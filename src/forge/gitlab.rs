//! GitLab, hosted or one's own: REST v4.

use anyhow::{Context, Result};
use async_trait::async_trait;
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::github::no_token;
use super::http::{Http, LOG, Proof, Unexpected, part};
use super::{Build, Comment, Forge, Hosted, Issue, NewRequest, PullRequest, Standing, Thread};
use crate::config::{Environment, ForgeConfig, ForgeKind, Level};
use crate::redact::Redactor;

/// What our statuses are called.
const NAME: &str = "regreen";
/// How the title of a draft begins.
const DRAFT: &str = "Draft: ";

/// The forge.
pub(super) struct Gitlab {
    http: Http,
    token: SecretString,
}

impl Gitlab {
    pub(super) fn new(config: &ForgeConfig, environment: &Environment, redactor: &Redactor) -> Result<Self> {
        let token = config.token.read(environment)?.ok_or_else(|| no_token(config))?;
        Ok(Self { http: Http::new(ForgeKind::Gitlab, &config.base_url, redactor)?, token })
    }

    fn proof(&self) -> Proof {
        Proof::Private(self.token.clone())
    }

    fn path(repo: &str, rest: &str) -> String {
        format!("/projects/{}{rest}", part(repo))
    }

    async fn get(&self, repo: &str, rest: &str) -> Result<Value> {
        self.http.json(&self.proof(), Method::GET, &Self::path(repo, rest), None).await
    }

    async fn list(&self, repo: &str, rest: &str) -> Result<Vec<Value>> {
        self.http.list(&self.proof(), &Self::path(repo, rest)).await
    }

    async fn send(&self, repo: &str, method: Method, rest: &str, body: &Value) -> Result<Value> {
        self.http.json(&self.proof(), method, &Self::path(repo, rest), Some(body)).await
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn request(json: &Value) -> Result<PullRequest> {
    let title = text(&json["title"]);
    let bare = title.strip_prefix(DRAFT).map(str::to_owned);
    Ok(PullRequest {
        number: json["iid"].as_u64().context("GitLab tells no number of the merge request")?,
        node: String::new(),
        url: text(&json["web_url"]),
        draft: bare.is_some() || json["draft"] == true,
        title: bare.unwrap_or(title),
        body: text(&json["description"]),
        open: json["state"] == "opened",
        head: text(&json["source_branch"]),
        commit: text(&json["sha"]),
        base: text(&json["target_branch"]),
        from_fork: json["source_project_id"] != json["target_project_id"],
    })
}

/// Where notes are.
fn notes(thread: Thread) -> String {
    let kind = if thread.on_request { "merge_requests" } else { "issues" };
    format!("/{kind}/{}/notes", thread.number)
}

#[async_trait]
impl Forge for Gitlab {
    fn kind(&self) -> ForgeKind {
        ForgeKind::Gitlab
    }

    async fn login(&self, _: &str) -> Result<(String, SecretString)> {
        Ok(("oauth2".to_owned(), self.token.clone()))
    }

    async fn repo(&self, repo: &str) -> Result<Hosted> {
        let json = self.get(repo, "").await?;
        let permissions = &json["permissions"];
        let levels = ["project_access", "group_access"]
            .map(|access| permissions[access]["access_level"].as_u64().unwrap_or(0));
        let told = permissions.is_object();
        Ok(Hosted {
            default_branch: text(&json["default_branch"]),
            // 30 is a developer, the least that may push; who is told nothing hears it then.
            may_push: !told || levels.iter().any(|level| *level >= 30) || levels == [0, 0],
        })
    }

    async fn branch(&self, repo: &str, branch: &str) -> Result<Option<(String, bool)>> {
        let path = Self::path(repo, &format!("/repository/branches/{}", part(branch)));
        let reply = self.http.call(&self.proof(), Method::GET, &path, None, &[404]).await?;
        let there = reply.status.is_success();
        Ok(there.then(|| (text(&reply.json["commit"]["id"]), reply.json["protected"] == true)))
    }

    async fn request(&self, repo: &str, number: u64) -> Result<PullRequest> {
        request(&self.get(repo, &format!("/merge_requests/{number}")).await?)
    }

    async fn request_of(&self, repo: &str, head: &str) -> Result<Option<PullRequest>> {
        let path = format!("/merge_requests?state=opened&source_branch={}", part(head));
        let found = self.list(repo, &path).await?;
        let mut found = found.iter().map(request).collect::<Result<Vec<_>>>()?.into_iter();
        Ok(found.find(|one| one.head == head && !one.from_fork))
    }

    async fn open(&self, repo: &str, new: &NewRequest) -> Result<PullRequest> {
        let body = json!({
            "source_branch": new.head, "target_branch": new.base, "title": format!("{DRAFT}{}", new.title),
            "description": new.body, "remove_source_branch": true,
        });
        request(&self.send(repo, Method::POST, "/merge_requests", &body).await?)
    }

    async fn rewrite(&self, repo: &str, request: &PullRequest, title: &str, body: &str) -> Result<()> {
        let draft = if request.draft { DRAFT } else { "" };
        let words = json!({ "title": format!("{draft}{title}"), "description": body });
        self.send(repo, Method::PUT, &format!("/merge_requests/{}", request.number), &words).await.map(drop)
    }

    async fn ready(&self, repo: &str, request: &PullRequest) -> Result<()> {
        let words = json!({ "title": request.title });
        self.send(repo, Method::PUT, &format!("/merge_requests/{}", request.number), &words).await.map(drop)
    }

    async fn stand(&self, repo: &str, commit: &str, standing: Standing, words: &str) -> Result<()> {
        let state = match standing {
            Standing::Pending => "running",
            Standing::Proven => "success",
            Standing::Failed => "failed",
        };
        let words: String = words.chars().take(255).collect();
        let body = json!({ "state": state, "name": NAME, "description": words });
        let said = self.send(repo, Method::POST, &format!("/statuses/{}", part(commit)), &body).await;
        match said {
            // A status that is as it was already is an error there.
            Err(error) if repeated(&error) => Ok(()),
            said => said.map(drop),
        }
    }

    async fn comments(&self, repo: &str, thread: Thread) -> Result<Vec<Comment>> {
        let all = self.list(repo, &format!("{}?sort=asc&order_by=created_at", notes(thread))).await?;
        let comment = |json: &Value| Comment {
            id: json["id"].as_u64().unwrap_or_default(),
            author: text(&json["author"]["username"]),
            body: text(&json["body"]),
        };
        Ok(all.iter().filter(|json| json["system"] != true).map(comment).collect())
    }

    async fn comment(&self, repo: &str, thread: Thread, body: &str) -> Result<()> {
        self.send(repo, Method::POST, &notes(thread), &json!({ "body": body })).await.map(drop)
    }

    async fn edit(&self, repo: &str, thread: Thread, comment: u64, body: &str) -> Result<()> {
        let path = format!("{}/{comment}", notes(thread));
        self.send(repo, Method::PUT, &path, &json!({ "body": body })).await.map(drop)
    }

    async fn level(&self, repo: &str, person: &str) -> Result<Level> {
        let users = self.http.list(&self.proof(), &format!("/users?username={}", part(person))).await?;
        let Some(id) =
            users.iter().find(|user| user["username"] == person).and_then(|user| user["id"].as_u64())
        else {
            return Ok(Level::None);
        };
        let path = Self::path(repo, &format!("/members/all/{id}"));
        let reply = self.http.call(&self.proof(), Method::GET, &path, None, &[404]).await?;
        let active = reply.json["state"].as_str().is_none_or(|state| state == "active");
        Ok(match reply.json["access_level"].as_u64().unwrap_or(0) {
            _ if !active => Level::None,
            50.. => Level::Admin,
            40.. => Level::Maintain,
            30.. => Level::Write,
            20.. => Level::Triage,
            10.. => Level::Read,
            _ => Level::None,
        })
    }

    async fn issue(&self, repo: &str, number: u64) -> Result<Issue> {
        let json = self.get(repo, &format!("/issues/{number}")).await?;
        let labels = json["labels"].as_array().into_iter().flatten();
        Ok(Issue {
            title: text(&json["title"]),
            body: text(&json["description"]),
            labels: labels.map(text).collect(),
            open: json["state"] == "opened",
            url: text(&json["web_url"]),
        })
    }

    async fn build(&self, repo: &str, build: u64) -> Result<Build> {
        let json = self.get(repo, &format!("/pipelines/{build}")).await?;
        Ok(Build {
            failed: json["status"] == "failed",
            commit: text(&json["sha"]),
            branch: text(&json["ref"]),
        })
    }

    async fn failed_log(&self, repo: &str, build: u64) -> Result<String> {
        let jobs = self.list(repo, &format!("/pipelines/{build}/jobs?scope%5B%5D=failed")).await?;
        let mut log = String::new();
        for id in jobs.iter().filter(|job| job["allow_failure"] != true).filter_map(|job| job["id"].as_u64())
        {
            let path = Self::path(repo, &format!("/jobs/{id}/trace"));
            log.push_str(&self.http.text(&self.proof(), &path).await?);
            log.push('\n');
            if log.len() >= LOG {
                break;
            }
        }
        Ok(log)
    }
}

/// Whether a status was turned away because it is in that state already.
fn repeated(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Unexpected>().is_some_and(|unexpected| {
        unexpected.status.as_u16() == 400 && unexpected.words.contains("Cannot transition status")
    })
}
