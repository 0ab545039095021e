//! Webhooks: who is let in, and what storms of them come to.

use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;

use super::fake::{Fake, Kind, Pull, REPO, SECRET, git};
use super::{hosted, project};
use crate::project::Project;
use crate::service::{Answer, Served, answer, client};
use crate::tickets::{calculator, multiply, plan, subtract};
use crate::vendor::{Anthropic, Reply};

fn sealed(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// A project whose service takes webhooks of the forge, and the service.
fn served(fake: &Fake, more: &str) -> (Project, Served) {
    serving(fake, project(fake), more)
}

fn serving(fake: &Fake, project: Project, more: &str) -> (Project, Served) {
    let path = project.root.display();
    project
        .configure(&fake.config(&format!("[{}.repos.\"{REPO}\"]\npath = \"{path}\"\n{more}", fake.name())));
    let served = Served::start(&project, &[]);
    (project, served)
}

/// Delivers an event as the forge does, under a number of the delivery's own.
async fn deliver(served: &Served, fake: &Fake, event: &str, number: usize, body: &Value) -> Answer {
    let text = body.to_string();
    let request = client()
        .request(Method::POST, format!("{}/hooks/{}", served.url, fake.name()))
        .header("content-type", "application/json");
    let request = match fake.name() {
        "github" => request
            .header("x-github-event", event)
            .header("x-github-delivery", format!("delivery-{number}"))
            .header("x-hub-signature-256", sealed(SECRET, text.as_bytes())),
        _ => request
            .header("x-gitlab-event", event)
            .header("idempotency-key", format!("delivery-{number}"))
            .header("x-gitlab-token", SECRET),
    };
    answer(request.body(text)).await
}

fn comment(
    fake: &Fake,
    number: u64,
    on_request: bool,
    id: u64,
    author: &str,
    text: &str,
) -> (&'static str, Value) {
    match fake.name() {
        "github" => (
            "issue_comment",
            json!({
                "action": "created", "repository": {"full_name": REPO},
                "issue": {"number": number, "pull_request": on_request.then(|| json!({}))},
                // What a payload says of its author counts for nothing.
                "comment": {"id": id, "body": text, "user": {"login": author}, "author_association": "OWNER"},
            }),
        ),
        _ => (
            "Note Hook",
            json!({
                "object_kind": "note", "user": {"username": author}, "project": {"path_with_namespace": REPO},
                "object_attributes": {"id": id, "note": text, "system": false, "action": "create"},
                "issue": (!on_request).then(|| json!({"iid": number})),
                "merge_request": on_request.then(|| json!({"iid": number})),
            }),
        ),
    }
}

fn failure(fake: &Fake, build: u64, branch: &str, commit: &str) -> (&'static str, Value) {
    match fake.name() {
        "github" => (
            "workflow_run",
            json!({
                "action": "completed", "repository": {"full_name": REPO},
                "workflow_run": {
                    "id": build, "conclusion": "failure", "head_branch": branch, "head_sha": commit,
                    "head_repository": {"full_name": REPO},
                },
            }),
        ),
        _ => (
            "Pipeline Hook",
            json!({
                "object_kind": "pipeline", "project": {"path_with_namespace": REPO},
                "object_attributes": {"id": build, "ref": branch, "tag": false, "sha": commit, "status": "failed"},
                "merge_request": null,
            }),
        ),
    }
}

/// Rows of a table of the store, as the program's own database has them.
fn rows(project: &Project, query: &str) -> Vec<Vec<String>> {
    let script = "import json, sqlite3, sys\nc = sqlite3.connect(f'file:{sys.argv[1]}?mode=ro', uri=True)\nprint(json.dumps([[str(v) for v in r] for r in c.execute(sys.argv[2])]))";
    let database = project.state().join("regreen.db");
    let output = std::process::Command::new("python3")
        .args(["-c", script, database.to_str().unwrap(), query])
        .output()
        .expect("python");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// Waits until the query gives rows that are as wanted: the service works on its own.
async fn until(project: &Project, query: &str, wanted: impl Fn(&[Vec<String>]) -> bool) -> Vec<Vec<String>> {
    loop {
        let rows = rows(project, query);
        if wanted(&rows) {
            return rows;
        }
        tokio::task::yield_now().await;
    }
}

const STATES: &str = "SELECT state, COALESCE(detail, '') FROM deliveries ORDER BY received_at, id";

fn all_settled(rows: &[Vec<String>]) -> bool {
    !rows.is_empty() && rows.iter().all(|row| row[0] != "waiting")
}

#[tokio::test]
async fn only_who_knows_the_secret_is_let_in() {
    let fake = Fake::start(Kind::Github);
    let (project, served) = served(&fake, "");
    let send = async |path: &str, headers: &[(&str, &str)], body: Vec<u8>| {
        let mut request = client().request(Method::POST, format!("{}{path}", served.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request.body(body)).await
    };
    let body = br#"{"zen": "x"}"#.to_vec();
    let right = sealed(SECRET, &body);
    let wrong = sealed("other", &body);
    send("/hooks/gitlab", &[("x-gitlab-token", SECRET)], body.clone()).await.expect(404);
    send("/hooks/nobody", &[], body.clone()).await.expect(404);
    send("/hooks/github", &[], body.clone()).await.expect(401);
    send("/hooks/github", &[("x-hub-signature-256", &wrong)], body.clone()).await.expect(403);
    send("/hooks/github", &[("x-hub-signature-256", &right[7..])], body.clone()).await.expect(403);
    // Of a body nothing is parsed before: nonsense is as good as anything.
    send("/hooks/github", &[("x-hub-signature-256", &wrong)], b"nonsense".to_vec()).await.expect(403);
    send("/hooks/github", &[("x-hub-signature-256", &right)], vec![b'x'; (1 << 20) + 1]).await.expect(413);
    let nonsense = b"nonsense".to_vec();
    let signed = sealed(SECRET, &nonsense);
    let headers = [("x-hub-signature-256", signed.as_str()), ("x-github-event", "issue_comment")];
    send("/hooks/github", &headers, nonsense).await.expect(400);
    assert!(rows(&project, STATES).is_empty());
    let headers =
        [("x-hub-signature-256", right.as_str()), ("x-github-event", "ping"), ("x-github-delivery", "1")];
    assert_eq!(send("/hooks/github", &headers, body.clone()).await.expect(202).json(), json!({"new": true}));
    // The same bytes are the same delivery, whatever number a replay gives them.
    let headers = [
        ("x-hub-signature-256", right.as_str()),
        ("x-github-event", "issue_comment"),
        ("x-github-delivery", "2"),
    ];
    assert_ne!(send("/hooks/github", &headers, body.clone()).await.status.as_u16(), 500);
    let headers =
        [("x-hub-signature-256", right.as_str()), ("x-github-event", "ping"), ("x-github-delivery", "3")];
    assert_eq!(send("/hooks/github", &headers, body).await.expect(202).json(), json!({"new": false}));
    let rows = rows(&project, STATES);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0][0], "ignored");
    assert!(fake.db().calls.is_empty());
}

#[tokio::test]
async fn only_people_who_may_write_command() {
    for kind in [Kind::Github, Kind::Gitlab] {
        let fake = Fake::start(kind);
        let (project, served) = served(&fake, "");
        fake.db().levels.insert("reader".to_owned(), "read");
        let asked = [
            comment(&fake, 7, false, 1, "stranger", "@regreen fix"),
            comment(&fake, 7, false, 2, "reader", "/regreen retry"),
        ];
        for (number, (event, body)) in asked.iter().enumerate() {
            deliver(&served, &fake, event, number, body).await.expect(202);
        }
        let rows = until(&project, STATES, |rows| rows.len() == 2 && all_settled(rows)).await;
        assert!(rows.iter().all(|row| row[0] == "ignored" && row[1].contains("may not command")), "{rows:?}");
        // Nobody can have us write by writing to us.
        assert!(fake.db().said.is_empty());
        assert!(self::rows(&project, "SELECT id FROM runs").is_empty());
    }
}

/// Pushes what the project has as a branch of the forge's, and puts the clone's own work elsewhere: a branch is healed wherever HEAD is.
fn red_branch(fake: &Fake, project: &Project) -> String {
    let commit = fake.tip("main").expect("a commit");
    git(&fake.bare(), &["branch", "topic", &commit]);
    project.write(&[(
        "agenda/day.py",
        "from agenda.parsing import format_minute\n\n\ndef show(minute):\n    return format_minute(minute)\n",
    )]);
    project.commit("Green here");
    commit
}

async fn a_storm_of_failures_is_one_run(kind: Kind) {
    let fake = Fake::start(kind);
    let (project, served) = served(&fake, "");
    let commit = red_branch(&fake, &project);
    let log = "Run python3 -m unittest\nImportError: cannot import name 'format_minutes'\n".to_owned();
    for build in [500, 501] {
        fake.db().builds.insert(build, ("topic".to_owned(), commit.clone(), true, log.clone()));
    }
    // An old build whose branch has moved on since, and one that was run again with success.
    fake.db().builds.insert(400, ("topic".to_owned(), "0".repeat(40), true, log.clone()));
    fake.db().builds.insert(401, ("topic".to_owned(), commit.clone(), false, String::new()));
    let events = [
        failure(&fake, 500, "topic", &commit),
        failure(&fake, 400, "topic", &"0".repeat(40)),
        failure(&fake, 501, "topic", &commit),
        failure(&fake, 401, "topic", &"1".repeat(40)),
    ];
    // Each five times, out of order.
    for at in 0..20 {
        let (event, body) = &events[(at * 7) % 4];
        deliver(&served, &fake, event, at, body).await.expect(202);
    }
    until(&project, "SELECT id FROM runs", |rows| !rows.is_empty()).await;
    until(&project, STATES, |rows| {
        rows.iter().filter(|row| row[0] == "waiting" && row[1].is_empty()).count() == 0
    })
    .await;
    project.regreen(&["worker", "--once"]).expect(0);
    until(&project, STATES, all_settled).await;
    let runs = rows(&project, "SELECT id, outcome FROM runs");
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert_eq!(runs[0][1], "healed");
    let (pull, tip) = super::published(&fake);
    assert_eq!((pull.base.as_str(), fake.branches().len()), ("topic", 3), "{pull:?}");
    assert_eq!(git(&fake.bare(), &["rev-parse", &format!("{tip}^")]), commit);
    assert_eq!(fake.tip("topic"), Some(commit), "the branch itself is people's");
}

#[tokio::test]
async fn a_storm_of_failures_is_one_run_on_github() {
    a_storm_of_failures_is_one_run(Kind::Github).await;
}

#[tokio::test]
async fn a_storm_of_failures_is_one_run_on_gitlab() {
    a_storm_of_failures_is_one_run(Kind::Gitlab).await;
}

#[tokio::test]
async fn a_storm_of_commands_is_one_run_one_pull_request_and_one_comment() {
    for kind in [Kind::Github, Kind::Gitlab] {
        let fake = Fake::start(kind);
        let (project, served) = served(&fake, "");
        red_branch(&fake, &project);
        fake.db().levels.insert("anna".to_owned(), "write");
        let pull = |number, from_fork| Pull {
            number,
            title: "Topic".to_owned(),
            body: String::new(),
            head: "topic".to_owned(),
            base: "main".to_owned(),
            draft: false,
            open: true,
            from_fork,
        };
        fake.db().pulls.push(pull(7, false));
        let asked = [
            comment(&fake, 7, true, 31, "anna", "@regreen fix"),
            comment(&fake, 7, true, 32, "anna", "/regreen fix please"),
            comment(&fake, 7, true, 33, "anna", "nothing for anybody"),
        ];
        for at in 0..15 {
            let (event, body) = &asked[(at * 2) % 3];
            deliver(&served, &fake, event, at, body).await.expect(202);
        }
        until(&project, "SELECT id FROM runs", |rows| !rows.is_empty()).await;
        project.regreen(&["worker", "--once"]).expect(0);
        until(&project, STATES, all_settled).await;
        assert_eq!(rows(&project, "SELECT outcome FROM runs"), [["healed"]]);
        let pulls = fake.db().pulls.clone();
        assert_eq!(pulls.len(), 2, "{pulls:?}");
        assert_eq!((pulls[1].base.as_str(), pulls[1].draft), ("topic", false));
        let said = fake.db().said.clone();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].below == 7 && said[0].body.contains("**Done**"), "{said:?}");
        let audit = rows(&project, "SELECT actor, status FROM audit WHERE action LIKE 'POST /hooks/%'");
        assert_eq!(audit, [[format!("{}:anna", fake.name()), "202".to_owned()]]);
    }
}

#[tokio::test]
async fn a_fork_gets_the_patch_and_no_push() {
    let fake = Fake::start(Kind::Github);
    let (project, served) = served(&fake, "");
    let commit = red_branch(&fake, &project);
    git(&fake.bare(), &["update-ref", "refs/pull/9/head", &commit]);
    fake.db().levels.insert("anna".to_owned(), "write");
    fake.db().pulls.push(Pull {
        number: 9,
        title: "From afar".to_owned(),
        body: String::new(),
        head: "patch-1".to_owned(),
        base: "main".to_owned(),
        draft: false,
        open: true,
        from_fork: true,
    });
    let branches = fake.branches();
    let (event, body) = comment(&fake, 9, true, 41, "anna", "@regreen fix");
    deliver(&served, &fake, event, 1, &body).await.expect(202);
    until(&project, "SELECT id FROM runs", |rows| !rows.is_empty()).await;
    project.regreen(&["worker", "--once"]).expect(0);
    until(&project, STATES, all_settled).await;
    assert_eq!(fake.branches(), branches);
    assert_eq!(fake.db().pulls.len(), 1);
    let said = fake.db().said.clone();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].body.contains("+from agenda.parsing import format_minute"), "{}", said[0].body);
}

#[tokio::test]
async fn what_is_begun_can_be_stopped_and_explained() {
    let fake = Fake::start(Kind::Github);
    let (project, served) = served(&fake, "");
    red_branch(&fake, &project);
    fake.db().levels.insert("anna".to_owned(), "write");
    let head = |number| Pull {
        number,
        title: "Topic".to_owned(),
        body: String::new(),
        head: "topic".to_owned(),
        base: "main".to_owned(),
        draft: false,
        open: true,
        from_fork: false,
    };
    fake.db().pulls.push(head(7));
    let asked = [
        comment(&fake, 7, true, 50, "anna", "@regreen explain"),
        comment(&fake, 7, true, 51, "anna", "@regreen fix"),
        comment(&fake, 7, true, 52, "anna", "@regreen stop"),
    ];
    let said = || fake.db().said.iter().map(|said| said.body.clone()).collect::<Vec<_>>();
    deliver(&served, &fake, asked[0].0, 0, &asked[0].1).await.expect(202);
    until(&project, STATES, all_settled).await;
    assert!(said()[0].contains("No run was begun"), "{:?}", said());
    deliver(&served, &fake, asked[1].0, 1, &asked[1].1).await.expect(202);
    until(&project, "SELECT id FROM runs", |rows| !rows.is_empty()).await;
    deliver(&served, &fake, asked[2].0, 2, &asked[2].1).await.expect(202);
    until(&project, "SELECT status FROM runs", |rows| rows == [["finished"]]).await;
    until(&project, STATES, all_settled).await;
    assert_eq!(rows(&project, "SELECT outcome FROM runs"), [["cancelled"]]);
    assert_eq!(said().len(), 1, "{:?}", said());
}

#[tokio::test]
async fn a_storm_about_an_issue_is_one_run_one_branch_one_pull_request_and_one_comment() {
    for kind in [Kind::Github, Kind::Gitlab] {
        let fake = Fake::start(kind);
        let vendor = Anthropic::start([plan(), subtract(), multiply()].map(Reply::Text)).await;
        let (project, served) = serving(&fake, hosted(&fake, calculator().anthropic(&vendor)), "");
        // The clone here is behind: what is built on is what the forge has.
        let identity = ["-c", "user.name=x", "-c", "user.email=x@x.test"];
        let words =
            [&identity[..], &["commit-tree", "main^{tree}", "-p", "main", "-m", "Meanwhile"]].concat();
        let main = git(&fake.bare(), &words);
        git(&fake.bare(), &["update-ref", "refs/heads/main", &main]);
        let (text, state) = if kind == Kind::Github { ("body", "open") } else { ("description", "opened") };
        let mut issue =
            json!({"title": "Subtract and multiply", "state": state, text: "The calculator can only add."});
        issue["labels"] = if kind == Kind::Github {
            json!([{"name": "Priority: High"}])
        } else {
            json!(["Priority: High"])
        };
        fake.db().issues.insert(12, issue);
        fake.db().levels.insert("anna".to_owned(), "write");
        let asked = [
            comment(&fake, 12, false, 61, "anna", "@regreen fix"),
            comment(&fake, 12, false, 62, "anna", "@regreen fix, please"),
            comment(&fake, 12, false, 63, "mallory", "@regreen retry"),
        ];
        for at in 0..15 {
            let (event, body) = &asked[(at * 2) % 3];
            deliver(&served, &fake, event, at, body).await.expect(202);
        }
        until(&project, "SELECT id FROM runs", |rows| !rows.is_empty()).await;
        project.regreen(&["worker", "--once"]).expect(0);
        until(&project, STATES, all_settled).await;
        let runs = rows(&project, "SELECT trigger, outcome, priority FROM runs WHERE trigger = 'ticket'");
        assert_eq!(runs, [["ticket", "implemented", "high"]]);
        let (pull, _) = super::published(&fake);
        assert_eq!(
            (pull.base.as_str(), pull.draft, pull.title.as_str()),
            ("main", false, "Subtract and multiply")
        );
        for words in
            ["1.1 · `Add subtract`", "1.2 · `Add multiply`", "Closes #12", "- [x] nothing more is to come"]
        {
            assert!(pull.body.contains(words), "{words}: {}", pull.body);
        }
        assert_eq!(fake.branches().len(), 2, "{:?}", fake.branches());
        assert_eq!(git(&fake.bare(), &["rev-parse", &format!("{}~2", pull.head)]), main);
        let states: Vec<String> = fake.db().statuses.iter().map(|status| status.1.clone()).collect();
        assert_eq!(states.last().map(String::as_str), Some("success"), "{states:?}");
        let said = fake.db().said.clone();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].body.contains("**Done**"), "{}", said[0].body);
    }
}
