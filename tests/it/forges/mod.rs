//! GitHub and GitLab: pushes to a real git server, and an API that holds every request against what the vendors publish.

pub mod fake;
mod hooks;
mod rules;

use std::path::Path;

use crate::project::Project;
use crate::tickets::{calculator, multiply, plan, subtract};
use crate::vendor::{Anthropic, Reply};
use fake::{Fake, Kind, Pull, REPO, TOKEN, git};

/// The command that is red in the project until its wrong import is repaired.
const CHECK: [&str; 4] = ["--", "python3", "-m", "unittest"];

/// A project whose tests are red, and whose remote is at the forge.
pub fn project(fake: &Fake) -> Project {
    hosted(fake, Project::agenda())
}

/// A project with its remote at the forge.
pub fn hosted(fake: &Fake, mut project: Project) -> Project {
    std::fs::create_dir_all(fake.bare().parent().expect("a parent")).expect("a folder");
    git(
        Path::new("/"),
        &["clone", "--quiet", "--bare", project.root.to_str().unwrap(), fake.bare().to_str().unwrap()],
    );
    git(&fake.bare(), &["config", "http.receivepack", "true"]);
    project.git(&["remote", "add", "origin", &format!("{}/{REPO}.git", fake.url)]);
    project.env.insert("FORGE_TOKEN".to_owned(), TOKEN.to_owned());
    project.env.insert("FORGE_SECRET".to_owned(), fake::SECRET.to_owned());
    project.configure(&fake.config(""));
    project
}

/// Heals the project's tests with these options.
fn heal(project: &Project, options: &[&str]) -> crate::project::Ran {
    let words: Vec<&str> = [&["heal", "--no-model"], options, &CHECK].concat();
    project.regreen(&words)
}

fn published(fake: &Fake) -> (Pull, String) {
    let branch = {
        let db = fake.db();
        assert_eq!(db.pulls.len(), 1, "{:?}", db.pulls);
        db.pulls[0].head.clone()
    };
    let tip = fake.tip(&branch).expect("the branch is there");
    (fake.db().pulls[0].clone(), tip)
}

fn a_proven_patch_becomes_one_pull_request(kind: Kind) {
    let fake = Fake::start(kind);
    let project = project(&fake);
    let ran = heal(&project, &["--land", "pr"]).expect(0);
    let (pull, tip) = published(&fake);
    assert!(pull.head.starts_with("regreen/"), "{pull:?}");
    assert_eq!((pull.base.as_str(), pull.draft), ("main", false), "{pull:?}");
    assert!(pull.body.starts_with("<!-- regreen:run="), "{}", pull.body);
    assert!(pull.body.contains("| `goal` | `python3 -m unittest` | green"), "{}", pull.body);
    assert!(pull.body.contains("- [x] proven in a fresh workspace"), "{}", pull.body);
    assert!(pull.body.contains("- [ ] a person has read the change"), "{}", pull.body);
    assert!(!pull.body.contains(project.root.to_str().unwrap()), "{}", pull.body);
    assert_eq!(project.git(&["rev-parse", &pull.head]), tip);
    assert_eq!(pull.title, project.git(&["log", "-1", "--format=%s", &pull.head]));
    let statuses = fake.db().statuses.clone();
    assert_eq!(statuses.len(), 1, "{statuses:?}");
    assert_eq!((statuses[0].0.as_str(), statuses[0].1.as_str()), (tip.as_str(), "success"));
    assert!(ran.stderr.contains("https://forge.test/acme/agenda/"), "{}", ran.stderr);
    // The token went by no command line, into no file.
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(TOKEN));
    for entry in ["config", "FETCH_HEAD"] {
        let text = std::fs::read_to_string(project.root.join(".git").join(entry)).unwrap_or_default();
        assert!(!text.contains(TOKEN), "{entry}: {text}");
    }
    assert!(fake.db().logins.iter().all(|login| login.ends_with(TOKEN)));
}

#[test]
fn a_proven_patch_becomes_one_pull_request_on_github() {
    a_proven_patch_becomes_one_pull_request(Kind::Github);
}

#[test]
fn a_proven_patch_becomes_one_merge_request_on_gitlab() {
    a_proven_patch_becomes_one_pull_request(Kind::Gitlab);
}

#[test]
fn an_answer_that_is_lost_makes_no_second_pull_request() {
    for kind in [Kind::Github, Kind::Gitlab] {
        let fake = Fake::start(kind);
        let project = project(&fake);
        let call =
            if kind == Kind::Github { "POST /repos/*/*/pulls" } else { "POST /projects/*/merge_requests" };
        fake.upset(call, 502, &[], true);
        heal(&project, &["--land", "pr"]).expect(0);
        assert!(!published(&fake).0.draft);
    }
}

#[test]
fn what_was_cut_off_between_push_and_pull_request_is_settled_by_the_next_start() {
    let fake = Fake::start(Kind::Github);
    let project = project(&fake);
    // The push is done, and then the forge is gone: looking for the pull request fails whatever is tried.
    for _ in 0..8 {
        fake.upset("GET /repos/*/*/pulls", 401, &[], false);
    }
    let ran = heal(&project, &["--land", "pr"]);
    assert_ne!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("GitHub refused"), "{}", ran.stderr);
    assert_eq!(fake.branches().len(), 2, "{:?}", fake.branches());
    assert!(fake.db().pulls.is_empty());
    let pushed = fake.db().logins.len();
    fake.db().upset.clear();
    project.regreen(&["resume", "last"]).expect(0);
    published(&fake);
    assert!(fake.db().logins.len() > pushed);
    assert_eq!(fake.branches().len(), 2, "{:?}", fake.branches());
}

#[test]
fn nothing_is_pushed_to_what_is_protected_or_somebody_elses() {
    let fake = Fake::start(Kind::Github);
    let project = project(&fake);
    // The default branch there, which is not the one that is checked out here.
    project.git(&["checkout", "-q", "-b", "work"]);
    project.git(&["branch", "-D", "main"]);
    let main = fake.tip("main");
    let ran = heal(&project, &["--land", "pr=main"]).expect(3);
    assert!(ran.stderr.contains("default branch"), "{}", ran.stderr);
    assert_eq!(fake.tip("main"), main);
    // A protected one.
    fake.db().protected.push("release".to_owned());
    git(&fake.bare(), &["branch", "release", "main"]);
    heal(&project, &["--land", "pr=release"]).expect(3);
    assert_eq!(fake.tip("release"), main);
    // One that has commits that nobody here knows.
    let tree = git(&fake.bare(), &["rev-parse", "main^{tree}"]);
    let other = git(
        &fake.bare(),
        &["-c", "user.name=x", "-c", "user.email=x@x.test", "commit-tree", &tree, "-m", "Other"],
    );
    git(&fake.bare(), &["update-ref", "refs/heads/feature", &other]);
    let ran = heal(&project, &["--land", "pr=feature"]).expect(3);
    assert!(ran.stderr.contains("commits that are not here"), "{}", ran.stderr);
    assert_eq!(fake.tip("feature"), Some(other));
    assert!(fake.db().pulls.is_empty());
}

#[test]
fn a_repositorys_own_configuration_has_no_say_in_a_push() {
    let fake = Fake::start(Kind::Github);
    let evil = Fake::start(Kind::Github);
    let project = project(&fake);
    let sentinel = project.base().join("sentinel");
    let touch = format!("!touch '{}' ; true", sentinel.display());
    let set = |key: &str, value: &str| project.git(&["config", key, value]);
    set(&format!("url.{}/.insteadOf", evil.url), &format!("{}/", fake.url));
    set(&format!("url.{}/.pushInsteadOf", evil.url), &format!("{}/", fake.url));
    set("http.proxy", &evil.url);
    set("credential.helper", &touch);
    set("core.sshCommand", &format!("touch '{}'", sentinel.display()));
    std::fs::write(
        project.root.join(".git/hooks/pre-push"),
        format!("#!/bin/sh\ntouch '{}'\n", sentinel.display()),
    )
    .unwrap();
    project.git(&["config", "core.hooksPath", ".git/hooks"]);
    let hook = project.root.join(".git/hooks/pre-push");
    std::process::Command::new("chmod").arg("+x").arg(&hook).status().unwrap();
    heal(&project, &["--land", "pr"]).expect(0);
    published(&fake);
    assert!(!sentinel.exists(), "something of the repository's ran");
    assert!(evil.db().calls.is_empty() && evil.db().logins.is_empty());
}

#[test]
fn a_remote_without_a_forge_is_pushed_to_and_nothing_else() {
    let fake = Fake::start(Kind::Github);
    let project = project(&fake);
    project.configure("");
    // The user's own way to log in.
    let store = project.home.join("credentials");
    let host = fake.url.strip_prefix("http://").unwrap();
    std::fs::write(&store, format!("http://me:{TOKEN}@{host}\n")).unwrap();
    std::fs::write(
        project.home.join(".gitconfig"),
        format!("[credential]\n\thelper = store --file='{}'\n", store.display()),
    )
    .unwrap();
    let ran = heal(&project, &["--land", "pr=fix/import"]).expect(0);
    assert_eq!(fake.branches(), ["fix/import", "main"]);
    assert!(fake.db().calls.is_empty(), "{:?}", fake.db().calls);
    assert!(ran.stderr.contains("fix/import at http://127.0.0.1"), "{}", ran.stderr);
}

#[test]
fn what_cannot_be_pushed_is_said_before_anything_is_tried() {
    let fake = Fake::start(Kind::Github);
    let mut project = project(&fake);
    project.env.remove("FORGE_TOKEN");
    let ran = heal(&project, &["--land", "pr"]).expect(2);
    assert!(ran.stderr.contains("no token for GitHub"), "{}", ran.stderr);
    project.git(&["remote", "set-url", "origin", "/srv/somewhere.git"]);
    let ran = heal(&project, &["--land", "pr"]).expect(2);
    assert!(ran.stderr.contains("git remote set-url origin"), "{}", ran.stderr);
    project.git(&["remote", "remove", "origin"]);
    let ran = heal(&project, &["--land", "pr"]).expect(2);
    assert!(ran.stderr.contains("no remote called origin"), "{}", ran.stderr);
    assert!(fake.db().calls.is_empty());
}

#[test]
fn limits_of_the_forge_are_kept() {
    let fake = Fake::start(Kind::Github);
    let project = project(&fake);
    fake.upset("GET /repos/*/*", 429, &[("retry-after", "0")], false);
    fake.upset("POST /repos/*/*/pulls", 403, &[("retry-after", "0")], false);
    fake.upset("GET /repos/*/*/pulls", 503, &[], false);
    heal(&project, &["--land", "pr"]).expect(0);
    published(&fake);
    let posts =
        fake.db().calls.iter().filter(|call| call.starts_with("POST /repos/acme/agenda/pulls")).count();
    assert_eq!(posts, 2);
}

#[tokio::test]
async fn an_issue_is_a_ticket_and_hears_what_came_of_it() {
    for kind in [Kind::Github, Kind::Gitlab] {
        let fake = Fake::start(kind);
        let answers = [plan(), subtract(), multiply(), subtract(), multiply()];
        let vendor = Anthropic::start(answers.map(Reply::Text)).await;
        let project = hosted(&fake, calculator().anthropic(&vendor));
        let key = if kind == Kind::Github { "body" } else { "description" };
        let state = if kind == Kind::Github { "open" } else { "opened" };
        let body = "Subtract and multiply, too.\n\n## Acceptance criteria\n- `subtract(3, 1)` is 2\n";
        let issue = serde_json::json!({"title": "Calculate more", "state": state, "labels": [], key: body});
        fake.db().issues.insert(12, issue);
        for at in 0..5 {
            fake.db().said.push(fake::Said {
                below: 12,
                id: at,
                author: "anna".to_owned(),
                body: format!("remark {at}\n## Acceptance criteria\n- not one"),
            });
        }
        let name = format!("{}:{REPO}#12", fake.name());
        let ran = project.regreen(&["run", "--json", &name]).expect(0);
        let started = ran.events().into_iter().find(|event| event["event"] == "started").expect("it began");
        let ticket = &started["trigger"]["ticket"];
        assert_eq!(ticket["title"], "Calculate more", "{ticket:#}");
        assert_eq!(ticket["acceptance"], serde_json::json!(["`subtract(3, 1)` is 2"]), "{ticket:#}");
        assert!(ticket["body"].as_str().unwrap().contains("> remark 4"), "{ticket:#}");
        assert_eq!(ticket["source"], name.as_str());
        assert!(fake.db().pulls.is_empty());
        let ours = || {
            let said = fake.db().said.clone();
            said.into_iter().filter(|said| said.body.contains("<!-- regreen:thread=")).collect::<Vec<_>>()
        };
        assert_eq!(ours().len(), 1);
        project.regreen(&["run", "--land", "pr", &name]).expect(0);
        let (pull, _) = published(&fake);
        assert!(pull.body.contains("Closes #12"), "{}", pull.body);
        let ours = ours();
        assert_eq!(ours.len(), 1, "one comment, written anew: {ours:?}");
        let sign = if kind == Kind::Github { "#100" } else { "!100" };
        assert!(ours[0].body.contains("**Done**") && ours[0].body.contains(sign), "{}", ours[0].body);
    }
}

#[test]
fn names_of_issues_are_read_strictly() {
    let project = Project::agenda();
    for wrong in
        ["github:acme", "github:acme/agenda", "github:acme/agenda#0", "gitlab:a/../b#1", "github:-x/y#1"]
    {
        let ran = project.regreen(&["run", wrong]).expect(2);
        assert!(ran.stderr.contains("github:owner/repo#12"), "{wrong}: {}", ran.stderr);
    }
    let ran = project.regreen(&["run", "gitlab:acme/agenda#1"]).expect(2);
    assert!(ran.stderr.contains("GitLab is not configured"), "{}", ran.stderr);
}

#[test]
fn a_github_app_takes_the_place_of_a_token() {
    let fake = Fake::start(Kind::Github);
    let mut project = project(&fake);
    project.env.remove("FORGE_TOKEN");
    let key = project.home.join("app.pem");
    let made = std::process::Command::new("openssl")
        .args(["genrsa", "-out", key.to_str().unwrap(), "2048"])
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        eprintln!("skipped: there is no openssl to make a key with");
        return;
    }
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&key, private).unwrap();
    let config =
        fake.config("").replace("token_env = \"FORGE_TOKEN\"", "app_id = 7\napp_key_file = \"~/app.pem\"");
    project.configure(&config);
    heal(&project, &["--land", "pr"]).expect(0);
    published(&fake);
    let calls = fake.db().calls.clone();
    let tokens = calls.iter().filter(|call| call.contains("access_tokens")).count();
    assert_eq!(tokens, 1, "a token is used again until shortly before its end: {calls:?}");
}

#[test]
fn what_is_told_has_no_secrets() {
    let fake = Fake::start(Kind::Github);
    let mut project = project(&fake);
    let secret = "canary-7f3a9c2b1d5e";
    project.env.insert("SERVICE_PASSWORD".to_owned(), secret.to_owned());
    let line = format!("python3 -m unittest # {secret}");
    project.regreen(&["heal", "--no-model", "--land", "pr", "--", "sh", "-c", &line]).expect(0);
    let (pull, tip) = published(&fake);
    let message = git(&fake.bare(), &["log", "-1", "--format=%B", &tip]);
    for told in [&pull.title, &pull.body, &fake.db().statuses[0].2, &message] {
        assert!(!told.contains(secret), "{told}");
    }
    assert!(pull.body.contains("[redacted]"), "{}", pull.body);
}
