//! A forge on the loopback: its API, which holds every request against what the vendor publishes, and a real git server that asks for a password.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::rules::{GITHUB, GITLAB, check};

/// The token that it takes.
pub const TOKEN: &str = "forge-token-0123456789abcdef";
/// What its webhooks are signed with.
pub const SECRET: &str = "hook-secret-0123456789abcdef";
/// The repo that it has.
pub const REPO: &str = "acme/agenda";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Github,
    Gitlab,
}

/// A pull request.
#[derive(Debug, Clone)]
pub struct Pull {
    pub number: u64,
    pub title: String,
    pub body: String,
    pub head: String,
    pub base: String,
    pub draft: bool,
    pub open: bool,
    pub from_fork: bool,
}

/// A comment: below which issue or pull request, its number, its words.
#[derive(Debug, Clone)]
pub struct Said {
    pub below: u64,
    pub id: u64,
    pub author: String,
    pub body: String,
}

/// A status: commit, state, words.
pub type Status = (String, String, String);

/// Kind of call, status, headers, and whether it is done all the same.
type Upset = (&'static str, u16, Vec<(&'static str, String)>, bool);

#[derive(Default)]
pub struct Db {
    pub pulls: Vec<Pull>,
    pub said: Vec<Said>,
    pub statuses: Vec<Status>,
    /// What people may do: `write`, `read`.
    pub levels: BTreeMap<String, &'static str>,
    pub issues: BTreeMap<u64, Value>,
    /// Builds: branch, commit, whether it failed, what the failed job printed.
    pub builds: BTreeMap<u64, (String, String, bool, String)>,
    pub protected: Vec<String>,
    /// What the next calls of this kind are answered with, whatever they ask: `POST /pulls`; status, headers, whether it is done all the same.
    pub upset: Vec<Upset>,
    /// Requests that break the vendor's rules.
    pub wrong: Vec<String>,
    /// Method and path of every call.
    pub calls: Vec<String>,
    /// How git logged in.
    pub logins: Vec<String>,
    next: u64,
}

struct Inner {
    kind: Kind,
    url: String,
    folder: PathBuf,
    db: Mutex<Db>,
}

/// The forge.
pub struct Fake {
    inner: Arc<Inner>,
    _folder: tempfile::TempDir,
    pub url: String,
}

impl Fake {
    pub fn start(kind: Kind) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a listener");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let inner = Arc::new(Inner {
            kind,
            url: url.clone(),
            folder: folder.path().to_owned(),
            db: Mutex::default(),
        });
        let app = Router::new()
            .fallback(answer)
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(inner.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("threads");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                axum::serve(listener, app).await.expect("it serves");
            });
        });
        Self { inner, _folder: folder, url }
    }

    pub fn db(&self) -> MutexGuard<'_, Db> {
        self.inner.db.lock().expect("its books")
    }

    /// The bare repository that it serves.
    pub fn bare(&self) -> PathBuf {
        self.inner.folder.join(format!("{REPO}.git"))
    }

    pub fn name(&self) -> &'static str {
        match self.inner.kind {
            Kind::Github => "github",
            Kind::Gitlab => "gitlab",
        }
    }

    /// The table of the configuration for it, with `more` in it.
    pub fn config(&self, more: &str) -> String {
        let below = match self.inner.kind {
            Kind::Github => "/api/v3",
            Kind::Gitlab => "/api/v4",
        };
        format!(
            "[{}]\nbase_url = \"{}{below}\"\ntoken_env = \"FORGE_TOKEN\"\nwebhook_secret_env = \"FORGE_SECRET\"\n{more}",
            self.name(),
            self.url
        )
    }

    /// The commit of a branch of its repository.
    pub fn tip(&self, branch: &str) -> Option<String> {
        tip(&self.bare(), &format!("refs/heads/{branch}"))
    }

    /// The names of its branches.
    pub fn branches(&self) -> Vec<String> {
        let listed = git(&self.bare(), &["for-each-ref", "--format=%(refname:short)", "refs/heads"]);
        listed.lines().map(str::to_owned).collect()
    }

    /// Answers the next call of this kind so; where `done`, it does what it was asked for all the same.
    pub fn upset(&self, call: &'static str, status: u16, headers: &[(&'static str, &str)], done: bool) {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.db().upset.push((call, status, headers, done));
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let wrong = std::mem::take(&mut self.db().wrong);
            assert!(wrong.is_empty(), "requests that the vendor would refuse: {wrong:#?}");
        }
    }
}

pub fn git(dir: &Path, words: &[&str]) -> String {
    let output = std::process::Command::new("git")
        .args(words)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git");
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn tip(bare: &Path, reference: &str) -> Option<String> {
    let output = std::process::Command::new("git")
        .args(["rev-parse", "--verify", "--quiet", reference])
        .current_dir(bare)
        .output()
        .expect("git");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

async fn answer(
    State(inner): State<Arc<Inner>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path().to_owned();
    let below = match inner.kind {
        Kind::Github => {
            path.strip_prefix("/api/v3").or(path.strip_prefix("/api").filter(|rest| *rest == "/graphql"))
        }
        Kind::Gitlab => path.strip_prefix("/api/v4"),
    };
    match below {
        Some(below) => api(&inner, &method, below, uri.query().unwrap_or_default(), &headers, &body),
        None => serve_git(&inner, &method, &path, uri.query().unwrap_or_default(), &headers, body).await,
    }
}

fn said(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn api(
    inner: &Inner,
    method: &Method,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Response {
    let mut db = inner.db.lock().expect("its books");
    db.calls.push(format!("{method} {path}"));
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (known, agent) = match inner.kind {
        Kind::Github => (text("authorization") == format!("Bearer {TOKEN}"), !text("user-agent").is_empty()),
        Kind::Gitlab => (text("private-token") == TOKEN, true),
    };
    let as_app = path.ends_with("/installation") || path.starts_with("/app/");
    let known = if as_app { is_app(text("authorization")) } else { known };
    if !known {
        return said(401, &json!({ "message": "Bad credentials" }));
    }
    if !agent {
        db.wrong.push("a request without a User-Agent".to_owned());
        return said(403, &json!({}));
    }
    let query: Vec<(String, String)> = serde_urlencoded::from_str(query).expect("a query");
    let json: Value =
        if body.is_empty() { Value::Null } else { serde_json::from_slice(body).unwrap_or_default() };
    let calls = if inner.kind == Kind::Github { GITHUB } else { GITLAB };
    let (call, stars) = match check(calls, method.as_str(), path, &query, &json) {
        Ok(found) => found,
        Err(wrong) => {
            db.wrong.push(wrong.clone());
            return said(422, &json!({ "message": wrong }));
        }
    };
    let place = format!("{method} {call}");
    let at = db.upset.iter().position(|(start, ..)| place.ends_with(start) || place == *start);
    let upset = at.map(|at| db.upset.remove(at));
    if let Some((_, status, headers, done)) = upset {
        if done {
            handle(inner, &mut db, method, call, &stars, &query, &json);
        }
        let mut response = said(status, &json!({ "message": "not now" }));
        for (name, value) in headers {
            response.headers_mut().insert(name, value.parse().expect("a header"));
        }
        return response;
    }
    handle(inner, &mut db, method, call, &stars, &query, &json)
}

fn handle(
    inner: &Inner,
    db: &mut Db,
    method: &Method,
    call: &str,
    stars: &[String],
    query: &[(String, String)],
    json: &Value,
) -> Response {
    let github = inner.kind == Kind::Github;
    let repo = if github {
        stars.iter().take(2).cloned().collect::<Vec<_>>().join("/")
    } else {
        stars.first().cloned().unwrap_or_default()
    };
    let stars = &stars[(if github { 2 } else { 1 }).min(stars.len())..];
    let about_repo = call.starts_with("/repos") || call.starts_with("/projects");
    if about_repo && repo != REPO {
        return said(404, &json!({ "message": "Not Found" }));
    }
    let bare = inner.folder.join(format!("{REPO}.git"));
    let number = || stars.first().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
    let none = || said(404, &json!({ "message": "Not Found" }));
    let asked = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    match (method.as_str(), call) {
        ("GET", "/repos/*/*" | "/projects/*") => said(
            200,
            &json!({
                "default_branch": "main", "permissions": {"push": true, "project_access": {"access_level": 30}, "group_access": null},
            }),
        ),
        ("GET", "/repos/*/*/branches/*" | "/projects/*/repository/branches/*") => {
            match tip(&bare, &format!("refs/heads/{}", stars[0])) {
                Some(commit) => {
                    let protected = stars[0] == "main" || db.protected.contains(&stars[0]);
                    said(
                        200,
                        &json!({"name": stars[0], "commit": {"sha": commit, "id": commit}, "protected": protected}),
                    )
                }
                None => none(),
            }
        }
        ("GET", "/repos/*/*/pulls" | "/projects/*/merge_requests") => {
            let head = asked("head").map(|head| head.split_once(':').expect("owner:branch").1.to_owned());
            let head = head.or(asked("source_branch"));
            let found: Vec<Value> = db
                .pulls
                .iter()
                .filter(|pull| pull.open && head.as_ref().is_none_or(|head| *head == pull.head))
                .map(|pull| pull_json(inner, pull))
                .collect();
            said(200, &json!(found))
        }
        ("POST", "/repos/*/*/pulls" | "/projects/*/merge_requests") => {
            let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
            let (head, base, body) = if github {
                (text("head"), text("base"), text("body"))
            } else {
                (text("source_branch"), text("target_branch"), text("description"))
            };
            if tip(&bare, &format!("refs/heads/{head}")).is_none()
                || tip(&bare, &format!("refs/heads/{base}")).is_none()
            {
                return said(422, &json!({ "message": "Validation Failed: no such branch" }));
            }
            if db.pulls.iter().any(|pull| pull.open && pull.head == head) {
                return said(
                    if github { 422 } else { 409 },
                    &json!({ "message": "A pull request already exists" }),
                );
            }
            let title = text("title");
            let draft = if github { json["draft"] == true } else { title.starts_with("Draft: ") };
            let title = title.strip_prefix("Draft: ").unwrap_or(&title).to_owned();
            let pull = Pull {
                number: 100 + db.pulls.len() as u64,
                title,
                body,
                head,
                base,
                draft,
                open: true,
                from_fork: false,
            };
            db.pulls.push(pull.clone());
            said(201, &pull_json(inner, &pull))
        }
        ("GET", "/repos/*/*/pulls/*" | "/projects/*/merge_requests/*") => {
            match db.pulls.iter().find(|pull| pull.number == number()) {
                Some(pull) => said(200, &pull_json(inner, pull)),
                None => none(),
            }
        }
        ("PATCH" | "PUT", "/repos/*/*/pulls/*" | "/projects/*/merge_requests/*") => {
            let Some(pull) = db.pulls.iter_mut().find(|pull| pull.number == number()) else { return none() };
            if let Some(title) = json["title"].as_str() {
                if !github {
                    pull.draft = title.starts_with("Draft: ");
                }
                pull.title = title.strip_prefix("Draft: ").unwrap_or(title).to_owned();
            }
            if let Some(body) = json["body"].as_str().or(json["description"].as_str()) {
                pull.body = body.to_owned();
            }
            let pull = pull.clone();
            said(200, &pull_json(inner, &pull))
        }
        ("GET", "/repos/*/*/installation") => said(200, &json!({"id": 77})),
        ("POST", "/app/installations/*/access_tokens") => {
            let until = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
            said(201, &json!({"token": TOKEN, "expires_at": until.to_string()}))
        }
        ("POST", "/graphql") => {
            let asked = json["query"].as_str().unwrap_or_default();
            let node = json["variables"]["id"].as_str().unwrap_or_default();
            let Some(pull) = db.pulls.iter_mut().find(|pull| format!("PR_{}", pull.number) == node) else {
                return said(
                    200,
                    &json!({"data": null, "errors": [{"message": "Could not resolve to a node"}]}),
                );
            };
            if !asked.contains("markPullRequestReadyForReview(input: {pullRequestId: $id})") {
                db.wrong.push(format!("unknown GraphQL: {asked}"));
            } else {
                pull.draft = false;
            }
            said(
                200,
                &json!({"data": {"markPullRequestReadyForReview": {"pullRequest": {"isDraft": false}}}}),
            )
        }
        ("POST", "/repos/*/*/statuses/*" | "/projects/*/statuses/*") => {
            let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
            db.statuses.push((stars[0].clone(), text("state"), text("description")));
            said(201, &json!({"id": 1}))
        }
        ("GET", "/repos/*/*/issues/*" | "/projects/*/issues/*") => match db.issues.get(&number()) {
            Some(issue) => said(200, issue),
            None => none(),
        },
        (
            "GET",
            "/repos/*/*/issues/*/comments"
            | "/projects/*/issues/*/notes"
            | "/projects/*/merge_requests/*/notes",
        ) => {
            // Pages of two, so that following them is seen.
            let page: usize = asked("page").and_then(|page| page.parse().ok()).unwrap_or(1);
            let all: Vec<Value> =
                db.said.iter().filter(|said| said.below == number()).map(comment_json).collect();
            let some: Vec<&Value> = all.iter().skip((page - 1) * 2).take(2).collect();
            let mut response = said(200, &json!(some));
            if page * 2 < all.len() {
                let below = match inner.kind {
                    Kind::Github => format!("/api/v3/repos/{REPO}/issues/{}/comments", number()),
                    Kind::Gitlab => {
                        let kind = if call.contains("merge_requests") { "merge_requests" } else { "issues" };
                        format!("/api/v4/projects/{}/{kind}/{}/notes", REPO.replace('/', "%2F"), number())
                    }
                };
                let next = format!("<{}{below}?page={}&per_page=100>; rel=\"next\"", inner.url, page + 1);
                response.headers_mut().insert("link", next.parse().expect("a header"));
            }
            response
        }
        (
            "POST",
            "/repos/*/*/issues/*/comments"
            | "/projects/*/issues/*/notes"
            | "/projects/*/merge_requests/*/notes",
        ) => {
            db.next += 1;
            let made = Said {
                below: number(),
                id: 9000 + db.next,
                author: "regreen".to_owned(),
                body: json["body"].as_str().unwrap_or_default().to_owned(),
            };
            db.said.push(made.clone());
            said(201, &comment_json(&made))
        }
        (
            "PATCH" | "PUT",
            "/repos/*/*/issues/comments/*"
            | "/projects/*/issues/*/notes/*"
            | "/projects/*/merge_requests/*/notes/*",
        ) => {
            let id: u64 = stars.last().and_then(|id| id.parse().ok()).unwrap_or(0);
            let Some(said_before) = db.said.iter_mut().find(|said| said.id == id) else { return none() };
            said_before.body = json["body"].as_str().unwrap_or_default().to_owned();
            let now = said_before.clone();
            said(200, &comment_json(&now))
        }
        ("GET", "/repos/*/*/collaborators/*/permission") => match db.levels.get(&stars[0]) {
            Some(level) => said(200, &json!({"permission": level, "role_name": level})),
            None => said(200, &json!({"permission": "none", "role_name": ""})),
        },
        ("GET", "/users") => {
            let name = asked("username").unwrap_or_default();
            let at = db.levels.keys().position(|person| *person == name);
            said(
                200,
                &json!(at.map(|at| json!({"id": at + 1, "username": name})).into_iter().collect::<Vec<_>>()),
            )
        }
        ("GET", "/projects/*/members/all/*") => {
            let level = db.levels.values().nth(number().saturating_sub(1) as usize);
            match level {
                Some(level) => said(
                    200,
                    &json!({"state": "active", "access_level": if *level == "write" { 30 } else { 10 }}),
                ),
                None => none(),
            }
        }
        ("GET", "/repos/*/*/actions/runs/*" | "/projects/*/pipelines/*") => match db.builds.get(&number()) {
            Some((branch, commit, failed, _)) => said(
                200,
                &json!({
                    "id": number(), "head_branch": branch, "head_sha": commit, "ref": branch, "sha": commit,
                    "conclusion": if *failed { "failure" } else { "success" }, "status": if *failed { "failed" } else { "success" },
                }),
            ),
            None => none(),
        },
        ("GET", "/repos/*/*/actions/runs/*/jobs") => said(
            200,
            &json!({"total_count": 2, "jobs": [
                {"id": 1, "conclusion": "success"}, {"id": number(), "conclusion": "failure"},
            ]}),
        ),
        ("GET", "/projects/*/pipelines/*/jobs") => {
            said(200, &json!([{"id": number(), "status": "failed", "allow_failure": false}]))
        }
        ("GET", "/repos/*/*/actions/jobs/*/logs" | "/projects/*/jobs/*/trace") => {
            match db.builds.get(&number()) {
                Some((.., log)) => (StatusCode::OK, log.clone()).into_response(),
                None => none(),
            }
        }
        _ => said(501, &json!({ "message": format!("the fake does not do {method} {call}") })),
    }
}

/// Whether a header has a token that the App 7 signed for a few minutes. Whose key it was is for `app_key` to say.
fn is_app(authorization: &str) -> bool {
    let parts: Vec<&str> = authorization.strip_prefix("Bearer ").unwrap_or_default().split('.').collect();
    let [head, claims, signature] = parts.as_slice() else { return false };
    let read = |part: &str| -> Option<Value> {
        serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).ok()?).ok()
    };
    let (Some(head), Some(claims)) = (read(head), read(claims)) else { return false };
    let lasts = claims["exp"].as_i64().unwrap_or(0) - claims["iat"].as_i64().unwrap_or(0);
    head["alg"] == "RS256" && claims["iss"] == "7" && (1..=600).contains(&lasts) && signature.len() > 300
}

fn comment_json(said: &Said) -> Value {
    json!({
        "id": said.id, "body": said.body, "user": {"login": said.author}, "author": {"username": said.author}, "system": false,
    })
}

fn pull_json(inner: &Inner, pull: &Pull) -> Value {
    let bare = inner.folder.join(format!("{REPO}.git"));
    let reference = match (pull.from_fork, inner.kind) {
        (false, _) => format!("refs/heads/{}", pull.head),
        (true, Kind::Github) => format!("refs/pull/{}/head", pull.number),
        (true, Kind::Gitlab) => format!("refs/merge-requests/{}/head", pull.number),
    };
    let commit = tip(&bare, &reference).unwrap_or_default();
    let own = if pull.from_fork { "stranger/agenda" } else { REPO };
    match inner.kind {
        Kind::Github => json!({
            "number": pull.number, "node_id": format!("PR_{}", pull.number), "html_url": format!("https://forge.test/{REPO}/pull/{}", pull.number),
            "title": pull.title, "body": pull.body, "draft": pull.draft, "state": if pull.open { "open" } else { "closed" },
            "head": {"ref": pull.head, "sha": commit, "repo": {"full_name": own}},
            "base": {"ref": pull.base, "repo": {"full_name": REPO}},
        }),
        Kind::Gitlab => json!({
            "iid": pull.number, "web_url": format!("https://forge.test/{REPO}/-/merge_requests/{}", pull.number),
            "title": format!("{}{}", if pull.draft { "Draft: " } else { "" }, pull.title), "description": pull.body, "draft": pull.draft,
            "state": if pull.open { "opened" } else { "closed" }, "source_branch": pull.head, "target_branch": pull.base, "sha": commit,
            "source_project_id": if pull.from_fork { 2 } else { 1 }, "target_project_id": 1,
        }),
    }
}

/// git's own program for serving repositories, behind a password.
async fn serve_git(
    inner: &Inner,
    method: &Method,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Response {
    let text =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let login = text("authorization");
    let shown = login.strip_prefix("Basic ").and_then(|basic| STANDARD.decode(basic).ok());
    let shown = shown.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    if shown.split_once(':').is_none_or(|(_, password)| password != TOKEN) {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"forge\"")], "")
            .into_response();
    }
    inner.db.lock().expect("its books").logins.push(shown);
    let mut child = tokio::process::Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &inner.folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", method.as_str())
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", text("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", text("content-encoding"))
        .env("GIT_PROTOCOL", text("git-protocol"))
        .env("REMOTE_USER", "somebody")
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("git http-backend");
    let mut stdin = child.stdin.take().expect("its input");
    let feed = async move {
        let _ = stdin.write_all(&body).await;
    };
    let (output, ()) = tokio::join!(child.wait_with_output(), feed);
    let output = output.expect("its answer").stdout;
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").expect("headers");
    let mut response = Response::builder();
    let mut status = 200;
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let (name, value) = line.split_once(':').expect("a header");
        match name.eq_ignore_ascii_case("status") {
            true => status = value.trim()[..3].parse().expect("a status"),
            false => response = response.header(name, value.trim()),
        }
    }
    response.status(status).body(axum::body::Body::from(output[end + 4..].to_vec())).expect("an answer")
}
