//! GitHub and GitHub Enterprise: REST, and GraphQL for the one thing that REST lacks.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::app::{App, Installed};
use super::http::{Http, LOG, Proof, Unexpected, part, parts};
use super::{Build, Comment, Forge, Hosted, Issue, NewRequest, PullRequest, Standing, Thread};
use crate::config::{Environment, ForgeConfig, ForgeKind, Level};
use crate::fault::Fault;
use crate::redact::Redactor;

/// What our statuses are called.
const CONTEXT: &str = "regreen";

/// How we show who we are.
enum Identity {
    Token(SecretString),
    App { app: Box<App>, tokens: Mutex<HashMap<String, Installed>> },
}

/// The forge.
pub(super) struct Github {
    http: Http,
    identity: Identity,
    graphql: String,
}

impl Github {
    pub(super) fn new(config: &ForgeConfig, environment: &Environment, redactor: &Redactor) -> Result<Self> {
        let identity = match &config.app {
            Some((id, key)) => {
                let pem = key.read(environment)?.ok_or_else(|| no_token(config))?;
                Identity::App { app: Box::new(App::new(*id, &pem)?), tokens: Mutex::default() }
            }
            None => Identity::Token(config.token.read(environment)?.ok_or_else(|| no_token(config))?),
        };
        let base = &config.base_url;
        // An Enterprise server has them side by side: /api/v3 and /api/graphql.
        let graphql = base.strip_suffix("/v3").unwrap_or(base);
        Ok(Self {
            http: Http::new(ForgeKind::Github, base, redactor)?,
            identity,
            graphql: format!("{graphql}/graphql"),
        })
    }

    /// What calls about `repo` are made with.
    async fn proof(&self, repo: &str) -> Result<Proof> {
        let (app, tokens) = match &self.identity {
            Identity::Token(token) => return Ok(Proof::Bearer(token.clone())),
            Identity::App { app, tokens } => (app, tokens),
        };
        let mut tokens = tokens.lock().await;
        let now = self.http.now();
        if let Some(known) = tokens.get(repo).filter(|known| known.is_fresh(now)) {
            return Ok(Proof::Bearer(known.token.clone()));
        }
        let own = Proof::Bearer(app.signed(now)?);
        let installed =
            self.http.json(&own, Method::GET, &format!("/repos/{}/installation", parts(repo)), None).await?;
        let id = installed["id"].as_u64().context("GitHub names no installation of the App")?;
        let name = repo.rsplit('/').next().unwrap_or(repo);
        let asked = json!({ "repositories": [name] });
        let path = format!("/app/installations/{id}/access_tokens");
        let made = self.http.json(&own, Method::POST, &path, Some(&asked)).await?;
        let token = made["token"].as_str().context("GitHub gives no token for the App")?;
        let until = made["expires_at"].as_str().and_then(|at| at.parse().ok());
        let installed = Installed {
            token: SecretString::from(token.to_owned()),
            until: until.context("GitHub does not say how long the App's token lasts")?,
        };
        tokens.insert(repo.to_owned(), installed.clone());
        Ok(Proof::Bearer(installed.token))
    }

    async fn get(&self, repo: &str, rest: &str) -> Result<Value> {
        let path = format!("/repos/{}{rest}", parts(repo));
        self.http.json(&self.proof(repo).await?, Method::GET, &path, None).await
    }

    async fn list(&self, repo: &str, rest: &str) -> Result<Vec<Value>> {
        self.http.list(&self.proof(repo).await?, &format!("/repos/{}{rest}", parts(repo))).await
    }

    async fn send(&self, repo: &str, method: Method, rest: &str, body: &Value) -> Result<Value> {
        let path = format!("/repos/{}{rest}", parts(repo));
        self.http.json(&self.proof(repo).await?, method, &path, Some(body)).await
    }
}

/// The fault of a forge that has no token.
pub(super) fn no_token(config: &ForgeConfig) -> Fault {
    let name = config.token.env.as_deref().unwrap_or("token_env");
    Fault::usage(format!("there is no token for {}", config.kind.title())).hint(format!(
        "set {name}, or name a variable or file in [{}] of the configuration (docs/forges.md)",
        config.kind.as_str()
    ))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn request(json: &Value) -> Result<PullRequest> {
    let (head, base) = (&json["head"], &json["base"]);
    Ok(PullRequest {
        number: json["number"].as_u64().context("GitHub tells no number of the pull request")?,
        node: text(&json["node_id"]),
        url: text(&json["html_url"]),
        title: text(&json["title"]),
        body: text(&json["body"]),
        draft: json["draft"].as_bool().unwrap_or(false),
        open: json["state"] == "open",
        head: text(&head["ref"]),
        commit: text(&head["sha"]),
        base: text(&base["ref"]),
        from_fork: head["repo"]["full_name"] != base["repo"]["full_name"],
    })
}

/// Whether a call was turned away with 422 because of something that its words tell of.
fn unfit(error: &anyhow::Error, word: &str) -> bool {
    error.downcast_ref::<Unexpected>().is_some_and(|unexpected| {
        unexpected.status.as_u16() == 422 && unexpected.words.to_lowercase().contains(word)
    })
}

#[async_trait]
impl Forge for Github {
    fn kind(&self) -> ForgeKind {
        ForgeKind::Github
    }

    async fn login(&self, repo: &str) -> Result<(String, SecretString)> {
        let Proof::Bearer(token) = self.proof(repo).await? else { bail!("GitHub takes bearer tokens") };
        Ok(("x-access-token".to_owned(), token))
    }

    async fn repo(&self, repo: &str) -> Result<Hosted> {
        let json = self.get(repo, "").await?;
        Ok(Hosted {
            default_branch: text(&json["default_branch"]),
            // An App's token is told of no permissions; what it may not do it hears then.
            may_push: json["permissions"]["push"].as_bool().unwrap_or(true),
        })
    }

    async fn branch(&self, repo: &str, branch: &str) -> Result<Option<(String, bool)>> {
        let path = format!("/repos/{}/branches/{}", parts(repo), part(branch));
        let reply = self.http.call(&self.proof(repo).await?, Method::GET, &path, None, &[404]).await?;
        let there = reply.status.is_success();
        Ok(there.then(|| (text(&reply.json["commit"]["sha"]), reply.json["protected"] == true)))
    }

    async fn request(&self, repo: &str, number: u64) -> Result<PullRequest> {
        request(&self.get(repo, &format!("/pulls/{number}")).await?)
    }

    async fn request_of(&self, repo: &str, head: &str) -> Result<Option<PullRequest>> {
        let owner = repo.split('/').next().unwrap_or_default();
        let found =
            self.list(repo, &format!("/pulls?state=open&head={}", part(&format!("{owner}:{head}")))).await?;
        let mut found = found.iter().map(request).collect::<Result<Vec<_>>>()?.into_iter();
        Ok(found.find(|one| one.head == head && !one.from_fork))
    }

    async fn open(&self, repo: &str, new: &NewRequest) -> Result<PullRequest> {
        let body = |draft: bool| {
            json!({
                "title": new.title, "body": new.body, "head": new.head, "base": new.base, "draft": draft,
                "maintainer_can_modify": true,
            })
        };
        match self.send(repo, Method::POST, "/pulls", &body(true)).await {
            // Private repos of some plans have no drafts.
            Err(error) if unfit(&error, "draft") => {
                request(&self.send(repo, Method::POST, "/pulls", &body(false)).await?)
            }
            made => request(&made?),
        }
    }

    async fn rewrite(&self, repo: &str, request: &PullRequest, title: &str, body: &str) -> Result<()> {
        let words = json!({ "title": title, "body": body });
        self.send(repo, Method::PATCH, &format!("/pulls/{}", request.number), &words).await.map(drop)
    }

    async fn ready(&self, repo: &str, request: &PullRequest) -> Result<()> {
        let asked = json!({
            "query": "mutation($id: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $id}) { pullRequest { isDraft } } }",
            "variables": { "id": request.node },
        });
        let said =
            self.http.json(&self.proof(repo).await?, Method::POST, &self.graphql, Some(&asked)).await?;
        match said["errors"].as_array().and_then(|errors| errors.first()) {
            None => Ok(()),
            Some(error) => bail!("GitHub leaves the pull request a draft: {}", text(&error["message"])),
        }
    }

    async fn stand(&self, repo: &str, commit: &str, standing: Standing, words: &str) -> Result<()> {
        let state = match standing {
            Standing::Pending => "pending",
            Standing::Proven => "success",
            Standing::Failed => "failure",
        };
        // 140 characters are all that is taken.
        let words: String = words.chars().take(140).collect();
        let body = json!({ "state": state, "description": words, "context": CONTEXT });
        self.send(repo, Method::POST, &format!("/statuses/{}", part(commit)), &body).await.map(drop)
    }

    async fn comments(&self, repo: &str, thread: Thread) -> Result<Vec<Comment>> {
        let all = self.list(repo, &format!("/issues/{}/comments", thread.number)).await?;
        let comment = |json: &Value| Comment {
            id: json["id"].as_u64().unwrap_or_default(),
            author: text(&json["user"]["login"]),
            body: text(&json["body"]),
        };
        Ok(all.iter().map(comment).collect())
    }

    async fn comment(&self, repo: &str, thread: Thread, body: &str) -> Result<()> {
        let path = format!("/issues/{}/comments", thread.number);
        self.send(repo, Method::POST, &path, &json!({ "body": body })).await.map(drop)
    }

    async fn edit(&self, repo: &str, _: Thread, comment: u64, body: &str) -> Result<()> {
        let path = format!("/issues/comments/{comment}");
        self.send(repo, Method::PATCH, &path, &json!({ "body": body })).await.map(drop)
    }

    async fn level(&self, repo: &str, person: &str) -> Result<Level> {
        let path = format!("/repos/{}/collaborators/{}/permission", parts(repo), part(person));
        let reply = self.http.call(&self.proof(repo).await?, Method::GET, &path, None, &[404]).await?;
        // `permission` knows four levels only; the roles between them stand in `role_name`, with roles of an organisation's own.
        Ok(match (reply.json["role_name"].as_str(), reply.json["permission"].as_str()) {
            (_, Some("admin")) => Level::Admin,
            (Some("maintain"), Some("write")) => Level::Maintain,
            (_, Some("write")) => Level::Write,
            (Some("triage"), Some("read")) => Level::Triage,
            (_, Some("read")) => Level::Read,
            _ => Level::None,
        })
    }

    async fn issue(&self, repo: &str, number: u64) -> Result<Issue> {
        let json = self.get(repo, &format!("/issues/{number}")).await?;
        let labels = json["labels"].as_array().into_iter().flatten();
        Ok(Issue {
            title: text(&json["title"]),
            body: text(&json["body"]),
            labels: labels.map(|label| text(label.get("name").unwrap_or(label))).collect(),
            open: json["state"] == "open",
            url: text(&json["html_url"]),
        })
    }

    async fn build(&self, repo: &str, build: u64) -> Result<Build> {
        let json = self.get(repo, &format!("/actions/runs/{build}")).await?;
        let failed = matches!(json["conclusion"].as_str(), Some("failure" | "timed_out"));
        Ok(Build { failed, commit: text(&json["head_sha"]), branch: text(&json["head_branch"]) })
    }

    async fn failed_log(&self, repo: &str, build: u64) -> Result<String> {
        let jobs = self.list(repo, &format!("/actions/runs/{build}/jobs?filter=latest")).await?;
        let failed =
            jobs.iter().filter(|job| matches!(job["conclusion"].as_str(), Some("failure" | "timed_out")));
        let mut log = String::new();
        for id in failed.filter_map(|job| job["id"].as_u64()) {
            let path = format!("/repos/{}/actions/jobs/{id}/logs", parts(repo));
            log.push_str(&self.http.text(&self.proof(repo).await?, &path).await?);
            log.push('\n');
            if log.len() >= LOG {
                break;
            }
        }
        Ok(log)
    }
}
