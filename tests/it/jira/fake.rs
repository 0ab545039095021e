//! Stands in for Jira, the cloud's and a server's: keeps issues as it would, and holds every request against what the published API takes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers};

#[path = "../../support/adf.rs"]
mod adf;

/// The token that it takes.
pub const TOKEN: &str = "jira-token-5c1d9f20a7b3";
/// The account that the token belongs to, and a person's.
pub const BOT: &str = "bot-1";
pub const ANNA: &str = "anna-2";
/// Its statuses, all of which lead to all.
pub const STATUSES: &[&str] = &[
    "Backlog",
    "Plan Review",
    "Selected for Development",
    "In Progress",
    "In Testing",
    "Needs Rework",
    "Blocked",
    "Done",
];

/// Which Jira it stands in for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Cloud,
    Server,
}

/// A call of the published API: method, path below the version, parameters, and what a body has to have (`?` before what it may have).
const CALLS: &[(&str, &str, &[&str], &[&str])] = &[
    ("GET", "myself", &["expand"], &[]),
    ("GET", "field", &[], &[]),
    ("GET", "issue/{}", &["fields", "expand", "properties"], &[]),
    ("POST", "issue", &["updateHistory"], &["fields", "?update", "?properties"]),
    ("GET", "issue/{}/comment", &["startAt", "maxResults", "orderBy", "expand"], &[]),
    ("POST", "issue/{}/comment", &["expand"], &["body", "?visibility", "?properties"]),
    ("PUT", "issue/{}/comment/{}", &["notifyUsers", "expand"], &["body", "?visibility"]),
    ("GET", "issue/{}/transitions", &["expand", "transitionId"], &[]),
    ("POST", "issue/{}/transitions", &[], &["transition", "?fields", "?update"]),
    ("PUT", "issue/{}/assignee", &[], &["?accountId", "?name"]),
    (
        "POST",
        "search/jql",
        &[],
        &["jql", "?maxResults", "?fields", "?nextPageToken", "?expand", "?reconcileIssues"],
    ),
    ("POST", "search", &[], &["jql", "?startAt", "?maxResults", "?fields", "?validateQuery"]),
];

#[derive(Debug, Clone)]
pub struct Issue {
    pub summary: String,
    pub description: Value,
    pub status: String,
    pub labels: Vec<String>,
    pub kind: String,
    pub parent: Option<String>,
    pub assignee: Option<String>,
    /// Id, author, what it says.
    pub comments: Vec<(u64, String, Value)>,
    /// Every status it was moved to.
    pub moves: Vec<String>,
}

/// What it keeps.
#[derive(Default)]
pub struct World {
    pub issues: BTreeMap<String, Issue>,
    /// Keys of issues of which something changed, in order.
    pub events: Vec<String>,
    /// Method and path of every request.
    pub calls: Vec<String>,
    /// What is answered next instead of the truth.
    pub faults: Vec<ResponseTemplate>,
    /// Who is killed when the issue of this number is made, before it hears of it.
    pub kills: Option<(usize, Pid)>,
    pub made: usize,
    violations: Vec<String>,
    next: u64,
}

/// A Jira under way.
pub struct Jira {
    server: MockServer,
    kind: Kind,
    shared: Arc<Shared>,
}

struct Shared {
    kind: Kind,
    world: Mutex<World>,
    changed: tokio::sync::Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Answers(Arc<Shared>);

impl Jira {
    pub async fn start(kind: Kind) -> Self {
        tokio::task::yield_now().await;
        let shared = Arc::new(Shared { kind, world: Mutex::default(), changed: tokio::sync::Notify::new() });
        let server = MockServer::start().await;
        Mock::given(matchers::any()).respond_with(Answers(shared.clone())).mount(&server).await;
        Self { server, kind, shared }
    }

    /// What the configuration says of it.
    pub fn configuration(&self, repo: &std::path::Path, more: &str) -> String {
        let kind = match self.kind {
            Kind::Cloud => "email = \"bot@example.org\"",
            Kind::Server => "kind = \"data-center\"",
        };
        format!(
            "[jira]\nbase_url = \"{}\"\n{kind}\nwebhook_secret_env = \"JIRA_SECRET\"\n{more}\n[jira.projects.OD]\nrepo = \"{}\"\n",
            self.server.uri(),
            repo.display()
        )
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.shared.lock()
    }

    /// Changes something, as a person would.
    pub fn change(&self, key: &str, change: impl FnOnce(&mut Issue)) {
        let mut world = self.world();
        change(world.issues.get_mut(key).expect("an issue"));
        world.events.push(key.to_owned());
        drop(world);
        self.shared.changed.notify_waiters();
    }

    /// Makes an issue, as a person would.
    pub fn add(&self, key: &str, kind: &str, summary: &str, description: &str) {
        let mut world = self.world();
        let issue = Issue {
            summary: summary.to_owned(),
            description: text(self.kind, description),
            status: "Backlog".to_owned(),
            labels: Vec::new(),
            kind: kind.to_owned(),
            parent: None,
            assignee: None,
            comments: Vec::new(),
            moves: Vec::new(),
        };
        world.issues.insert(key.to_owned(), issue);
    }

    /// Writes a comment, as a person would.
    pub fn says(&self, key: &str, words: &str) {
        let kind = self.kind;
        let id = self.world().id();
        self.change(key, |issue| issue.comments.push((id, ANNA.to_owned(), text(kind, words))));
    }

    pub fn issue(&self, key: &str) -> Issue {
        self.world().issues.get(key).expect("an issue").clone()
    }

    /// The words of the comments that Regreen wrote.
    pub fn said(&self, key: &str) -> Vec<String> {
        let issue = self.issue(key);
        let own = issue.comments.iter().filter(|(_, author, _)| author == BOT);
        own.map(|(.., body)| words(body)).collect()
    }

    /// Waits until something is so.
    pub async fn until(&self, what: &str, holds: impl Fn(&World) -> bool) {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if holds(&self.world()) {
                return;
            }
            if tokio::time::timeout(std::time::Duration::from_secs(240), changed).await.is_err() {
                let world = self.world();
                panic!("{what} never came: {:#?}\n{:#?}", world.issues, world.violations);
            }
        }
    }
}

impl Drop for Jira {
    fn drop(&mut self) {
        let violations = std::mem::take(&mut self.world().violations);
        if !violations.is_empty() && !std::thread::panicking() {
            panic!("requests that Jira would not take: {violations:#?}");
        }
    }
}

/// A text in the format of the API.
fn text(kind: Kind, words: &str) -> Value {
    match kind {
        Kind::Server => json!(words),
        Kind::Cloud => {
            let line = |line: &str| json!({"type": "paragraph", "content": [{"type": "text", "text": line}]});
            let lines: Vec<Value> = words.split('\n').filter(|line| !line.is_empty()).map(line).collect();
            json!({"type": "doc", "version": 1, "content": lines})
        }
    }
}

/// The words of a text of the API.
pub fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        node => {
            let own = node["text"].as_str().unwrap_or_default().to_owned();
            let inner: Vec<String> = node["content"].as_array().into_iter().flatten().map(words).collect();
            let glue = if node["type"] == "paragraph" || node["type"] == "heading" { "" } else { "\n" };
            own + &inner.join(glue)
        }
    }
}

impl World {
    fn id(&mut self) -> u64 {
        self.next += 1;
        10_000 + self.next
    }
}

impl Respond for Answers {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut world = self.0.lock();
        let answer = respond(&mut world, self.0.kind, request);
        drop(world);
        self.0.changed.notify_waiters();
        answer
    }
}

fn no(status: u16, why: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({"errorMessages": [why], "errors": {}}))
}

fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn respond(world: &mut World, kind: Kind, request: &Request) -> ResponseTemplate {
    let method = request.method.as_str();
    let path = request.url.path().trim_start_matches('/');
    world.calls.push(format!("{method} {path}"));
    let version = match kind {
        Kind::Cloud => "rest/api/3/",
        Kind::Server => "rest/api/2/",
    };
    let Some(rest) = path.strip_prefix(version) else {
        world.violations.push(format!("{path} is not below {version}"));
        return no(404, "no such path");
    };
    let header =
        |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let right = match kind {
        Kind::Cloud => {
            let pair = base64::engine::general_purpose::STANDARD.encode(format!("bot@example.org:{TOKEN}"));
            format!("Basic {pair}")
        }
        Kind::Server => format!("Bearer {TOKEN}"),
    };
    if header("authorization") != right {
        return no(401, "you are not authenticated");
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let parts: Vec<&str> = rest.split('/').collect();
    let Some(call) = CALLS.iter().find(|(verb, pattern, ..)| {
        let wanted: Vec<&str> = pattern.split('/').collect();
        *verb == method
            && wanted.len() == parts.len()
            && wanted.iter().zip(&parts).all(|(wanted, part)| *wanted == "{}" || wanted == part)
    }) else {
        world.violations.push(format!("{method} {rest} is no call of the API"));
        return no(405, "no such call");
    };
    let mut faults = Vec::new();
    for (name, _) in request.url.query_pairs() {
        if !call.2.contains(&name.as_ref()) {
            faults.push(format!("{method} {rest}: no parameter {name}"));
        }
    }
    let fields: BTreeSet<&str> =
        body.as_object().into_iter().flat_map(|body| body.keys().map(String::as_str)).collect();
    for required in call.3.iter().filter(|name| !name.starts_with('?')) {
        if !fields.contains(required) {
            faults.push(format!("{method} {rest}: {required} is missing"));
        }
    }
    for field in &fields {
        if !call.3.iter().any(|known| known.trim_start_matches('?') == *field) {
            faults.push(format!("{method} {rest}: no field {field}"));
        }
    }
    if method != "GET" && header("content-type") != "application/json" {
        faults.push(format!("{method} {rest}: not sent as JSON"));
    }
    for text in [&body["body"], &body["fields"]["description"]] {
        faults.extend(match (kind, text) {
            (_, Value::Null) => Vec::new(),
            (Kind::Cloud, text) => adf::faults(text),
            (Kind::Server, Value::String(_)) => Vec::new(),
            (Kind::Server, _) => vec!["a server takes text".to_owned()],
        });
        if words(text).len() > 32_767 {
            faults.push("the text is longer than 32,767 characters".to_owned());
        }
    }
    if !faults.is_empty() {
        let said = faults.join("; ");
        world.violations.extend(faults);
        return no(400, &said);
    }
    if let Some(fault) = world.faults.pop() {
        return fault;
    }
    answer(world, kind, (method, call.1), &parts, &request.url, &body)
}

fn person(kind: Kind, id: &str) -> Value {
    let display = if id == BOT { "Regreen" } else { "Anna Example" };
    match kind {
        Kind::Cloud => {
            json!({"accountId": id, "accountType": "atlassian", "displayName": display, "active": true})
        }
        Kind::Server => {
            json!({"name": id, "key": format!("JIRAUSER{id}"), "emailAddress": format!("{id}@example.org"), "displayName": display})
        }
    }
}

fn answer(
    world: &mut World,
    kind: Kind,
    call: (&str, &str),
    parts: &[&str],
    url: &reqwest::Url,
    body: &Value,
) -> ResponseTemplate {
    let key = parts.get(1).copied().unwrap_or_default().to_owned();
    if parts[0] == "issue" && parts.len() > 1 && !world.issues.contains_key(&key) {
        return no(404, "Issue does not exist or you do not have permission to see it.");
    }
    let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    match call {
        ("GET", "myself") => ok(person(kind, BOT)),
        ("GET", "field") => ok(json!([
            {"id": "summary", "name": "Summary", "schema": {"type": "string", "system": "summary"}},
            {"id": "customfield_10101", "name": "Epic Link", "schema": {"type": "any", "custom": "com.pyxis.greenhopper.jira:gh-epic-link", "customId": 10101}},
        ])),
        ("GET", "issue/{}") => ok(shown(world, kind, &key)),
        ("POST", "issue") => create(world, kind, &body["fields"]),
        ("GET", "issue/{}/comment") => {
            let all = &world.issues[&key].comments;
            let mut listed: Vec<Value> = all
                .iter()
                .map(|(id, author, body)| {
                    json!({"id": id.to_string(), "author": person(kind, author), "body": body, "created": "2026-11-20T10:00:00.000+0000"})
                })
                .collect();
            if query.get("orderBy").is_some_and(|order| order == "-created") {
                listed.reverse();
            }
            let start: usize = query.get("startAt").and_then(|at| at.parse().ok()).unwrap_or_default();
            // Smaller pages than were asked for: an API may do that.
            let page: Vec<Value> = listed.iter().skip(start).take(2).cloned().collect();
            ok(json!({"startAt": start, "maxResults": 2, "total": listed.len(), "comments": page}))
        }
        ("POST", "issue/{}/comment") => {
            let id = world.id();
            world.events.push(key.clone());
            world.issues.get_mut(&key).expect("an issue").comments.push((
                id,
                BOT.to_owned(),
                body["body"].clone(),
            ));
            ResponseTemplate::new(201).set_body_json(json!({"id": id.to_string(), "body": body["body"]}))
        }
        ("PUT", "issue/{}/comment/{}") => {
            world.events.push(key.clone());
            let issue = world.issues.get_mut(&key).expect("an issue");
            match issue.comments.iter_mut().find(|(id, ..)| id.to_string() == parts[3]) {
                None => no(404, "Can not find a comment for the id"),
                Some((_, author, _)) if author != BOT => no(400, "it is somebody else's"),
                Some(comment) => {
                    comment.2 = body["body"].clone();
                    ok(json!({"id": parts[3], "body": body["body"]}))
                }
            }
        }
        ("GET", "issue/{}/transitions") => {
            let ways: Vec<Value> = STATUSES
                .iter()
                .enumerate()
                .filter(|(_, name)| **name != world.issues[&key].status)
                .map(|(at, name)| json!({"id": format!("{}", 100 + at), "name": format!("Go to {name}"), "to": {"id": at.to_string(), "name": name}}))
                .collect();
            ok(json!({"expand": "transitions", "transitions": ways}))
        }
        ("POST", "issue/{}/transitions") => {
            let at = body["transition"]["id"]
                .as_str()
                .and_then(|id| id.parse::<usize>().ok())
                .and_then(|id| id.checked_sub(100));
            let Some(status) = at.and_then(|at| STATUSES.get(at)) else {
                return no(400, "no such transition");
            };
            let issue = world.issues.get_mut(&key).expect("an issue");
            if issue.status == *status {
                return no(400, "It is there already.");
            }
            issue.status = (*status).to_owned();
            issue.moves.push((*status).to_owned());
            world.events.push(key);
            ResponseTemplate::new(204)
        }
        ("PUT", "issue/{}/assignee") => {
            let id = match kind {
                Kind::Cloud => &body["accountId"],
                Kind::Server => &body["name"],
            };
            let Some(id) = id.as_str() else { return no(400, "nobody is named") };
            world.issues.get_mut(&key).expect("an issue").assignee = Some(id.to_owned());
            world.events.push(key);
            ResponseTemplate::new(204)
        }
        ("POST", "search/jql" | "search") => search(world, kind, call.1, body),
        _ => no(500, "the stand-in lacks this call"),
    }
}

fn shown(world: &World, kind: Kind, key: &str) -> Value {
    let issue = &world.issues[key];
    let below = world
        .issues
        .iter()
        .filter(|(_, other)| other.parent.as_deref() == Some(key) && other.kind == "Sub-task");
    let mut fields = json!({
        "summary": issue.summary,
        "description": issue.description,
        "status": {"name": issue.status},
        "labels": issue.labels,
        "issuetype": {"name": issue.kind, "subtask": issue.kind == "Sub-task"},
        "project": {"key": "OD"},
        "assignee": issue.assignee.as_ref().map(|id| person(kind, id)),
        "reporter": person(kind, ANNA),
        "subtasks": below.map(|(key, _)| json!({"key": key})).collect::<Vec<_>>(),
    });
    match (&issue.parent, kind, issue.kind.as_str()) {
        (Some(parent), Kind::Server, "Story") => fields["customfield_10101"] = json!(parent),
        (Some(parent), ..) => fields["parent"] = json!({"key": parent}),
        _ => {}
    }
    json!({"id": "1", "key": key, "fields": fields})
}

fn create(world: &mut World, kind: Kind, fields: &Value) -> ResponseTemplate {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let name = text(&fields["issuetype"]["name"]).unwrap_or_default();
    let parent = match (kind, name.as_str()) {
        (Kind::Server, "Story") => text(&fields["customfield_10101"]),
        _ => text(&fields["parent"]["key"]),
    };
    let labels: Option<Vec<String>> =
        fields["labels"].as_array().map(|all| all.iter().filter_map(text).collect());
    let mut faults = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            faults.push(what.to_owned());
        }
    };
    must(fields["project"]["key"] == "OD", "project: valid project is required");
    must(
        text(&fields["summary"])
            .is_some_and(|line| !line.is_empty() && line.len() <= 255 && !line.contains('\n')),
        "summary",
    );
    must(["Story", "Sub-task"].contains(&name.as_str()), "issuetype");
    must(parent.as_ref().is_some_and(|parent| world.issues.contains_key(parent)), "parent");
    must(labels.iter().flatten().all(|label| !label.contains(' ')), "labels: The label contains spaces");
    let known = [
        "project",
        "issuetype",
        "summary",
        "description",
        "labels",
        "assignee",
        "parent",
        "customfield_10101",
    ];
    must(
        fields.as_object().is_some_and(|all| all.keys().all(|key| known.contains(&key.as_str()))),
        "an unknown field",
    );
    if !faults.is_empty() {
        world.violations.extend(faults.clone());
        return no(400, &faults.join("; "));
    }
    let assignee = match kind {
        Kind::Cloud => text(&fields["assignee"]["id"]),
        Kind::Server => text(&fields["assignee"]["name"]),
    };
    let number = 100 + world.issues.len();
    let key = format!("OD-{number}");
    let issue = Issue {
        summary: text(&fields["summary"]).unwrap_or_default(),
        description: fields["description"].clone(),
        status: "Backlog".to_owned(),
        labels: labels.unwrap_or_default(),
        kind: name,
        parent,
        assignee,
        comments: Vec::new(),
        moves: Vec::new(),
    };
    world.issues.insert(key.clone(), issue);
    world.events.push(key.clone());
    world.made += 1;
    if let Some((at, pid)) = world.kills
        && at == world.made
    {
        world.kills = None;
        kill_process(pid, Signal::KILL).expect("it lives");
    }
    ResponseTemplate::new(201).set_body_json(json!({"id": number.to_string(), "key": key, "self": "x"}))
}

fn search(world: &mut World, kind: Kind, call: &str, body: &Value) -> ResponseTemplate {
    if (kind == Kind::Cloud) != (call == "search/jql") {
        world.violations.push(format!("{call} is another Jira's search"));
        return no(410, "The requested API has been removed.");
    }
    let jql = body["jql"].as_str().unwrap_or_default();
    let between = |start: &str, end: &str| Some(jql.split_once(start)?.1.split_once(end)?.0.to_owned());
    let found: Vec<String> =
        if let Some(label) = between("project = \"OD\" AND labels = \"", "\" ORDER BY created ASC") {
            let has = world.issues.iter().filter(|(_, issue)| issue.labels.contains(&label));
            has.map(|(key, _)| key.clone()).collect()
        } else if let Some(rest) =
            between("assignee = currentUser() AND statusCategory != Done", "ORDER BY updated ASC")
        {
            let rest = rest.trim();
            let minutes = rest.strip_prefix("AND updated >= -").and_then(|rest| rest.strip_suffix('m'));
            if !rest.is_empty() && minutes.is_none_or(|minutes| minutes.parse::<u32>().is_err()) {
                world.violations.push(format!("what is {rest:?}?"));
            }
            let mine = world
                .issues
                .iter()
                .filter(|(_, issue)| issue.assignee.as_deref() == Some(BOT) && issue.status != "Done");
            mine.map(|(key, _)| key.clone()).collect()
        } else {
            world.violations.push(format!("{jql:?} is not understood"));
            return no(400, "Error in the JQL Query");
        };
    let one = |key: &String| json!({"id": "1", "key": key, "fields": {"summary": "x"}});
    match kind {
        Kind::Cloud => {
            let at: usize = body["nextPageToken"]
                .as_str()
                .and_then(|token| token.strip_prefix("page-")?.parse().ok())
                .unwrap_or_default();
            let page: Vec<Value> = found.iter().skip(at).take(1).map(one).collect();
            let more = at + 1 < found.len();
            let mut answer = json!({"issues": page, "isLast": !more});
            if more {
                answer["nextPageToken"] = json!(format!("page-{}", at + 1));
            }
            ok(answer)
        }
        Kind::Server => {
            let at = usize::try_from(body["startAt"].as_u64().unwrap_or_default()).unwrap_or_default();
            let page: Vec<Value> = found.iter().skip(at).take(1).map(one).collect();
            ok(json!({"startAt": at, "maxResults": 1, "total": found.len(), "issues": page}))
        }
    }
}
