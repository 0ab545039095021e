//! What Regreen asks of Jira, in the words of the REST API of the cloud (version 3) and of Data Center (version 2).

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::http::{Failure, Http};
use super::rich::{self, Block, Inline, adf, wiki};
use crate::config::{Environment, JiraConfig, JiraKind};
use crate::fault::Fault;
use crate::redact::Redactor;

/// Issues of one page of a search.
const PAGE: u64 = 50;
/// The most issues that one search gives.
const MOST_FOUND: usize = 1_000;
/// The most comments of an issue that are read: the last ones.
const MOST_COMMENTS: usize = 500;
/// The fields of an issue that matter.
const FIELDS: &str =
    "summary,description,status,labels,issuetype,parent,assignee,reporter,project,subtasks,updated";

type Answer<T> = Result<T, Failure>;

/// A Jira.
#[derive(Debug)]
pub struct Jira {
    http: Http,
    kind: JiraKind,
    me: OnceCell<Person>,
    epic_link: OnceCell<Option<String>>,
}

/// Somebody with an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// What Jira knows the account by: its id in the cloud, its name on a server.
    pub id: String,
    /// The e-mail address, where one may see it.
    pub email: Option<String>,
    /// What people call them. Anybody may call themselves anything.
    pub display: String,
    /// Whether it is a program's account.
    pub is_app: bool,
}

/// An issue as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// `OD-33`.
    pub key: String,
    /// Its project's key.
    pub project: String,
    /// One line.
    pub summary: String,
    /// What it says, Markdown.
    pub description: String,
    /// The name of its status.
    pub status: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// The name of its type.
    pub kind: String,
    /// Whether it is a sub-task.
    pub is_subtask: bool,
    /// The issue above it.
    pub parent: Option<String>,
    /// Who has it.
    pub assignee: Option<Person>,
    /// Who wants it.
    pub reporter: Option<Person>,
    /// The keys of its sub-tasks.
    pub subtasks: Vec<String>,
}

/// A comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// Its id. Later comments have larger ones.
    pub id: u64,
    /// Who wrote it.
    pub author: Person,
    /// What it says, Markdown.
    pub body: String,
    /// When it was written.
    pub created: Option<Timestamp>,
}

/// An issue to be made.
#[derive(Debug, Clone)]
pub struct NewIssue<'a> {
    /// The project's key.
    pub project: &'a str,
    /// The name of its type.
    pub kind: &'a str,
    /// One line.
    pub summary: &'a str,
    /// What it says.
    pub description: &'a [Block],
    /// The issue above it.
    pub parent: &'a str,
    /// Whether that is the epic of a story, and not the story of a sub-task.
    pub parent_is_epic: bool,
    /// Its labels.
    pub labels: &'a [String],
    /// Who gets it.
    pub assignee: &'a str,
}

/// Whether a text may be an issue's key.
pub fn is_key(text: &str) -> bool {
    let Some((project, number)) = text.rsplit_once('-') else { return false };
    is_project(project) && (1..=10).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a text may be a project's key.
pub fn is_project(text: &str) -> bool {
    (1..=60).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl Jira {
    /// The Jira of the configuration.
    ///
    /// # Errors
    /// A [`Fault`] (exit 2) where its token is not there.
    pub fn connect(
        config: &JiraConfig,
        environment: &Environment,
        redactor: &Redactor,
    ) -> anyhow::Result<Self> {
        use base64::Engine;
        use secrecy::ExposeSecret;
        let token = config.token.read(environment)?.ok_or_else(|| {
            Fault::usage("there is no token for Jira")
                .hint("set JIRA_TOKEN, or name a variable or file by token_env or token_file in [jira]")
        })?;
        let token = token.expose_secret();
        let authorization = match (&config.kind, &config.email) {
            (JiraKind::Cloud, Some(email)) => {
                let pair = format!("{email}:{token}");
                format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
            }
            _ => format!("Bearer {token}"),
        };
        let secret = authorization.split_once(' ').map_or("", |(_, secret)| secret).to_owned();
        let redactor = redactor.clone().with_secret(token).with_secret(&secret);
        let http = Http::new(&config.base_url, &authorization, redactor)?;
        Ok(Self { http, kind: config.kind, me: OnceCell::new(), epic_link: OnceCell::new() })
    }

    fn path(&self, rest: &str) -> String {
        match self.kind {
            JiraKind::Cloud => format!("rest/api/3/{rest}"),
            JiraKind::DataCenter => format!("rest/api/2/{rest}"),
        }
    }

    async fn get(&self, rest: &str, query: &[(&str, &str)]) -> Answer<Value> {
        self.http.call(Method::GET, &self.path(rest), query, None).await
    }

    async fn send(&self, method: Method, rest: &str, body: &Value) -> Answer<Value> {
        self.http.call(method, &self.path(rest), &[], Some(body)).await
    }

    /// Whose account this is.
    ///
    /// # Errors
    /// Where Jira does not say.
    pub async fn me(&self) -> Answer<&Person> {
        let ask = || async {
            let said = self.get("myself", &[]).await?;
            self.person(&said).ok_or_else(|| Failure::Unreachable("it does not say who we are".to_owned()))
        };
        self.me.get_or_try_init(ask).await
    }

    /// An issue; `None` where there is none, or we may not see it.
    ///
    /// # Errors
    /// Where Jira does not answer.
    pub async fn issue(&self, key: &str) -> Answer<Option<Issue>> {
        let mut fields = FIELDS.to_owned();
        if let Some(field) = self.epic_link().await? {
            fields.push_str(&format!(",{field}"));
        }
        match self.get(&format!("issue/{}", checked(key)?), &[("fields", &fields)]).await {
            Ok(said) => Ok(self.read_issue(&said, self.epic_link().await?)),
            Err(failure) if failure.is_missing() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// The last comments of an issue, the oldest first.
    ///
    /// # Errors
    /// Where Jira does not answer.
    pub async fn comments(&self, key: &str) -> Answer<Vec<Comment>> {
        let path = format!("issue/{}/comment", checked(key)?);
        let mut all = Vec::new();
        let mut start = 0_u64;
        loop {
            let (at, most) = (start.to_string(), "100");
            let said =
                self.get(&path, &[("startAt", &at), ("maxResults", most), ("orderBy", "-created")]).await?;
            let page = said["comments"].as_array().cloned().unwrap_or_default();
            start += page.len() as u64;
            all.extend(page.iter().filter_map(|one| self.read_comment(one)));
            let total = said["total"].as_u64().unwrap_or(start);
            if page.is_empty() || start >= total || all.len() >= MOST_COMMENTS {
                break;
            }
        }
        // Whatever the order of the pages was: a comment that came meanwhile may be in two.
        all.sort_by_key(|comment| comment.id);
        all.dedup_by_key(|comment| comment.id);
        Ok(all)
    }

    /// Writes a comment, and gives its id.
    ///
    /// # Errors
    /// Where Jira does not take it.
    pub async fn comment(&self, key: &str, blocks: &[Block]) -> Answer<u64> {
        let body = json!({ "body": self.rich(blocks) });
        let said = self.send(Method::POST, &format!("issue/{}/comment", checked(key)?), &body).await?;
        id_of(&said).ok_or_else(|| Failure::Unreachable("it does not say which comment it made".to_owned()))
    }

    /// Changes a comment. Whether it is still there.
    ///
    /// # Errors
    /// Where Jira does not take it.
    pub async fn edit_comment(&self, key: &str, id: u64, blocks: &[Block]) -> Answer<bool> {
        let body = json!({ "body": self.rich(blocks) });
        match self.send(Method::PUT, &format!("issue/{}/comment/{id}", checked(key)?), &body).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.is_missing() => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Moves an issue to the status of this name. Whether its workflow has a way there now.
    ///
    /// # Errors
    /// Where Jira does not take it.
    pub async fn move_to(&self, key: &str, status: &str) -> Answer<bool> {
        let path = format!("issue/{}/transitions", checked(key)?);
        let said = self.get(&path, &[]).await?;
        let mut ways = said["transitions"].as_array().into_iter().flatten();
        let same = |way: &&Value| {
            way["to"]["name"].as_str().is_some_and(|name| name.trim().eq_ignore_ascii_case(status.trim()))
        };
        let Some(id) = ways.find(same).and_then(|way| way["id"].as_str().map(str::to_owned)) else {
            return Ok(false);
        };
        self.send(Method::POST, &path, &json!({ "transition": { "id": id } })).await?;
        Ok(true)
    }

    /// Gives an issue to somebody.
    ///
    /// # Errors
    /// Where Jira does not take it, for instance as that person may not have issues of the project.
    pub async fn assign(&self, key: &str, person: &str) -> Answer<()> {
        let body = self.name(person);
        self.send(Method::PUT, &format!("issue/{}/assignee", checked(key)?), &body).await.map(drop)
    }

    /// Makes an issue, and gives its key.
    ///
    /// # Errors
    /// Where Jira does not take it.
    pub async fn create(&self, new: &NewIssue<'_>) -> Answer<String> {
        let mut fields = json!({
            "project": { "key": new.project },
            "issuetype": { "name": new.kind },
            "summary": new.summary,
            "description": self.rich(new.description),
            "labels": new.labels,
            "assignee": match self.kind {
                JiraKind::Cloud => json!({ "id": new.assignee }),
                JiraKind::DataCenter => json!({ "name": new.assignee }),
            },
        });
        match (new.parent_is_epic, self.epic_link().await?) {
            (true, Some(field)) => fields[field] = json!(new.parent),
            _ => fields["parent"] = json!({ "key": new.parent }),
        }
        let said = self.send(Method::POST, "issue", &json!({ "fields": fields })).await?;
        said["key"]
            .as_str()
            .filter(|key| is_key(key))
            .map(str::to_owned)
            .ok_or_else(|| Failure::Unreachable("it does not say which issue it made".to_owned()))
    }

    /// The keys of the issues that a query finds, in its order.
    ///
    /// # Errors
    /// Where Jira does not take the query.
    pub async fn search(&self, jql: &str) -> Answer<Vec<String>> {
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let said = match self.kind {
                JiraKind::Cloud => {
                    let mut body = json!({ "jql": jql, "maxResults": PAGE, "fields": ["summary"] });
                    if let Some(token) = &token {
                        body["nextPageToken"] = json!(token);
                    }
                    self.search_once("search/jql", &body).await?
                }
                JiraKind::DataCenter => {
                    let body = json!({ "jql": jql, "startAt": found.len(), "maxResults": PAGE, "fields": ["summary"] });
                    self.search_once("search", &body).await?
                }
            };
            let page = said["issues"].as_array().cloned().unwrap_or_default();
            found.extend(
                page.iter()
                    .filter_map(|one| one["key"].as_str().filter(|key| is_key(key)).map(str::to_owned)),
            );
            token = said["nextPageToken"].as_str().map(str::to_owned);
            let more = match self.kind {
                JiraKind::Cloud => token.is_some(),
                JiraKind::DataCenter => {
                    said["total"].as_u64().is_some_and(|total| (found.len() as u64) < total)
                }
            };
            if page.is_empty() || !more || found.len() >= MOST_FOUND {
                return Ok(found);
            }
        }
    }

    /// A search changes nothing, so it is asked again though it is a POST.
    async fn search_once(&self, rest: &str, body: &Value) -> Answer<Value> {
        let mut last = None;
        for _ in 0..3 {
            match self.send(Method::POST, rest, body).await {
                Err(failure @ Failure::Refused { status: 500.., .. }) => last = Some(failure),
                other => return other,
            }
        }
        Err(last.unwrap_or_else(|| Failure::Unreachable("nothing was asked".to_owned())))
    }

    /// The field by which stories name their epic, on a server that has one. The cloud names it as the parent.
    async fn epic_link(&self) -> Answer<Option<&str>> {
        if self.kind == JiraKind::Cloud {
            return Ok(None);
        }
        let ask = || async {
            let said = self.get("field", &[]).await?;
            let is_link =
                |field: &&Value| field["schema"]["custom"] == "com.pyxis.greenhopper.jira:gh-epic-link";
            let field = said.as_array().into_iter().flatten().find(is_link);
            Ok::<_, Failure>(field.and_then(|field| field["id"].as_str().map(str::to_owned)))
        };
        Ok(self.epic_link.get_or_try_init(ask).await?.as_deref())
    }

    fn rich(&self, blocks: &[Block]) -> Value {
        match self.kind {
            JiraKind::Cloud => adf::write(blocks),
            JiraKind::DataCenter => json!(wiki::write(blocks)),
        }
    }

    fn markdown(&self, said: &Value) -> String {
        match said {
            Value::String(markup) if self.kind == JiraKind::DataCenter => wiki::read(markup),
            Value::String(text) => rich::render(&[Block::Paragraph(vec![Inline::plain(text.clone())])]),
            Value::Object(_) => rich::render(&adf::read(said)),
            _ => String::new(),
        }
    }

    fn name(&self, person: &str) -> Value {
        match self.kind {
            JiraKind::Cloud => json!({ "accountId": person }),
            JiraKind::DataCenter => json!({ "name": person }),
        }
    }

    fn person(&self, said: &Value) -> Option<Person> {
        let id = match self.kind {
            JiraKind::Cloud => &said["accountId"],
            JiraKind::DataCenter => &said["name"],
        };
        Some(Person {
            id: id.as_str().filter(|id| !id.is_empty())?.to_owned(),
            email: said["emailAddress"].as_str().map(str::to_owned),
            display: said["displayName"].as_str().unwrap_or_default().to_owned(),
            is_app: said["accountType"] == "app",
        })
    }

    fn read_issue(&self, said: &Value, epic_link: Option<&str>) -> Option<Issue> {
        let key = said["key"].as_str().filter(|key| is_key(key))?.to_owned();
        let fields = &said["fields"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let texts = |list: &Value| -> Vec<String> {
            list.as_array().into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect()
        };
        let known = |key: &Value| key.as_str().filter(|key| is_key(key)).map(str::to_owned);
        let parent = known(&fields["parent"]["key"]).or_else(|| known(&fields[epic_link?]));
        let project = fields["project"]["key"].as_str().map(str::to_owned);
        Some(Issue {
            project: project.or_else(|| Some(key.rsplit_once('-')?.0.to_owned()))?,
            key,
            summary: text(&fields["summary"]),
            description: self.markdown(&fields["description"]),
            status: text(&fields["status"]["name"]),
            labels: texts(&fields["labels"]),
            kind: text(&fields["issuetype"]["name"]),
            is_subtask: fields["issuetype"]["subtask"] == true,
            parent,
            assignee: self.person(&fields["assignee"]),
            reporter: self.person(&fields["reporter"]),
            subtasks: fields["subtasks"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|one| known(&one["key"]))
                .collect(),
        })
    }

    fn read_comment(&self, said: &Value) -> Option<Comment> {
        let created = said["created"].as_str().and_then(|text| {
            let zoned = jiff::fmt::strtime::parse("%Y-%m-%dT%H:%M:%S%.f%z", text).ok()?;
            zoned.to_timestamp().ok()
        });
        let somebody = || Person { id: String::new(), email: None, display: String::new(), is_app: false };
        Some(Comment {
            id: id_of(said)?,
            author: self.person(&said["author"]).unwrap_or_else(somebody),
            body: self.markdown(&said["body"]),
            created,
        })
    }
}

fn id_of(said: &Value) -> Option<u64> {
    said["id"].as_str().and_then(|id| id.parse().ok()).or_else(|| said["id"].as_u64())
}

/// A key as a part of a path.
fn checked(key: &str) -> Answer<&str> {
    match is_key(key) {
        true => Ok(key),
        false => Err(Failure::Unreachable(format!("{key:?} is no issue's key"))),
    }
}
