//! `regreen vacuum`, and the service that does it by itself.

use std::process::Command;

use crate::bucket::{self, Bucket};
use crate::project::Project;
use crate::service::{Served, heal, id_of};

/// Lets all runs be as old as that.
pub fn age(project: &Project, days: u32) {
    let script = "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1])\n\
        c.execute(\"UPDATE runs SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-' || ? || ' days')\", (sys.argv[2],))\nc.commit()";
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(project.state().join("regreen.db")).arg(days.to_string());
    assert!(python.status().expect("python3").success());
}

pub const RULES: &str = "[retention]\nlogs = \"30d\"\nprompts = \"60d\"\nevents = \"90d\"\n";

#[test]
fn what_is_old_is_removed_once_and_what_may_be_rolled_back_stays() {
    let project = Project::agenda();
    let landed = heal(&project, false);
    let green = id_of(&project.regreen(&["heal", "--no-model", "--json", "--", "true"]).expect(0));
    let nothing = project.regreen(&["vacuum"]).expect(2);
    assert!(nothing.stderr.contains("keeps everything"), "{}", nothing.stderr);
    project.configure(RULES);
    age(&project, 100);
    let told = |words: &[&str]| -> serde_json::Value {
        serde_json::from_str(&project.regreen(words).expect(0).stdout).expect("a sum")
    };
    let would = told(&["vacuum", "--dry-run", "--json"]);
    assert_eq!((&would["logs"]["count"], &would["events"]["count"]), (&2.into(), &1.into()), "{would}");
    assert!(project.state().join("logs").join(&landed).exists());
    let stats = |project: &Project| project.regreen(&["stats", "--json"]).expect(0).stdout;
    let before = stats(&project);
    let done = told(&["vacuum", "--compact", "--json"]);
    assert_eq!((&done["logs"], &done["events"]["count"]), (&would["logs"], &1.into()));
    assert!(!project.state().join("logs").join(&landed).exists());
    assert_eq!(told(&["vacuum", "--json"])["logs"]["count"], 0);

    let gone = project.regreen(&["show", &green]).expect(2);
    assert!(gone.stderr.contains("was removed") && gone.stderr.contains("[retention]"), "{}", gone.stderr);
    assert!(project.regreen(&["runs"]).expect(0).stdout.contains(&green[green.len() - 8..]));
    assert_eq!(stats(&project), before);
    project.regreen(&["rollback", &landed]).expect(0);
    assert!(project.read("agenda/day.py").contains("format_minutes"));
}

#[tokio::test]
async fn a_service_removes_what_is_old_by_itself_and_shows_what_is_left() {
    let project = Project::agenda();
    let green = id_of(&project.regreen(&["heal", "--no-model", "--json", "--", "true"]).expect(0));
    project.configure(RULES);
    age(&project, 100);
    let served = Served::start(&project, &[]);
    let path = format!("/api/v1/runs/{green}/events");
    while !served.get(&path).await.expect(200).json()["items"].as_array().expect("events").is_empty() {
        tokio::task::yield_now().await;
    }
    let run = served.get(&format!("/api/v1/runs/{green}")).await.expect(200).json();
    assert_eq!(run["outcome"], "green", "{run}");
    let cookie = served.enter().await;
    served.page(&format!("/runs/{green}"), &cookie).await.expect(200);
}

#[test]
fn what_lies_in_a_bucket_goes_with_the_rest_and_holds_nothing_up() {
    let mut project = Project::agenda();
    let bucket = Bucket::start();
    project.env.insert("AWS_ACCESS_KEY_ID".into(), bucket::ID.into());
    project.env.insert("AWS_SECRET_ACCESS_KEY".into(), bucket::KEY.into());
    let shared = format!(
        "[objects]\nurl = \"s3://regreen/team\"\nendpoint = \"{}\"\nregion = \"eu-test-1\"\n",
        bucket.url
    );
    project.configure(&shared);
    let green = || id_of(&project.regreen(&["heal", "--no-model", "--json", "--", "true"]).expect(0));
    let (old, young) = (green(), green());
    let of = |run: &str| bucket.keys().iter().filter(|key| key.contains(&format!("/logs/{run}/"))).count();
    assert!(of(&old) > 0 && of(&young) > 0, "{:?}", bucket.keys());
    age(&project, 100);
    let fresh = green();
    project.configure(&format!("{shared}{RULES}"));
    let told = |words: &[&str]| -> serde_json::Value {
        serde_json::from_str(&project.regreen(words).expect(0).stdout).expect("a sum")
    };
    let would = told(&["vacuum", "--dry-run", "--json"]);
    assert_eq!(would["bucket"]["count"], 2, "{would}");
    assert!(of(&old) > 0);

    // A bucket that is down is tried again; everything else goes.
    bucket.down(true);
    let down = project.regreen(&["vacuum", "--json"]).expect(0);
    assert!(down.stderr.contains("stay in the object store"), "{}", down.stderr);
    let down: serde_json::Value = serde_json::from_str(&down.stdout).expect("a sum");
    assert_eq!((&down["bucket"]["count"], &down["events"]["count"]), (&0.into(), &2.into()), "{down}");
    bucket.down(false);
    let done = told(&["vacuum", "--json"]);
    assert_eq!(done["bucket"], would["bucket"], "{done}");
    assert_eq!((of(&old), of(&young)), (0, 0));
    assert!(of(&fresh) > 0, "what is young stays");
    assert_eq!(told(&["vacuum", "--json"])["bucket"]["count"], 0);
    assert_eq!(bucket.refused(), Vec::<String>::new());
}
