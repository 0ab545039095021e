//! What operators do: keep copies, remove what is old, look at what goes on.

mod backup;
mod killed;
mod retention;
pub mod traces;

use crate::postgres::Server;
use crate::project::Project;
use crate::proxy::Proxy;
use crate::service::Served;

/// Says to the doctor that the service counts, and gives what was found by name.
fn findings(project: &Project, code: i32) -> serde_json::Map<String, serde_json::Value> {
    let told = project.regreen(&["doctor", "--service", "--json"]).expect(code).stdout;
    let report: serde_json::Value = serde_json::from_str(&told).expect("a report");
    let list = report["service"].as_array().expect("a list").clone();
    list.into_iter().map(|one| (one["name"].as_str().expect("a name").to_owned(), one)).collect()
}

#[test]
fn the_doctor_looks_at_what_the_service_needs() {
    let mut project = Project::agenda();
    let report = project.regreen(&["doctor", "--json"]).stdout;
    let report: serde_json::Value = serde_json::from_str(&report).expect("a report");
    assert_eq!((&report["version"], &report["service"]), (&1.into(), &serde_json::Value::Null));
    let code = if report["ready"] == true { 0 } else { 2 };

    let found = findings(&project, code);
    assert!(found["database"]["detail"].as_str().expect("words").contains("first start"), "{found:?}");
    assert!(!project.state().join("regreen.db").exists(), "nothing is made by looking");
    assert_eq!(found["retention"]["works"], false);

    project.regreen(&["token", "create", "anna", "--scope", "read"]).expect(0);
    project.configure("[retention]\nlogs = \"30d\"\n");
    let found = findings(&project, code);
    for name in ["database", "tables", "queue", "tokens", "retention", "disk", "state folder"] {
        assert_eq!(found[name]["works"], true, "{name}: {found:?}");
    }

    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    project.env.insert("REGREEN_DATABASE_URL".into(), format!("postgres://anna:tame-password@{closed}/x"));
    let told = project.regreen(&["doctor", "--service", "--json"]).expect(2);
    assert!(
        told.stdout.contains("out of reach") && !told.stdout.contains("tame-password"),
        "{}",
        told.stdout
    );

    project.env.insert("REGREEN_DATABASE_URL".into(), Server::shared().database());
    project.regreen(&["runs"]).expect(0);
    let found = findings(&project, code);
    assert_eq!(
        (&found["tables"]["works"], &found["clock"]["works"]),
        (&true.into(), &true.into()),
        "{found:?}"
    );
}

#[test]
fn all_that_is_said_is_json_where_that_is_asked_for() {
    let mut project = Project::agenda();
    let words = ["submit", "--no-model", "--", "python3", "-m", "unittest"];
    let run = project.regreen(&words).expect(0).stdout.trim().to_owned();
    project.env.insert("REGREEN_LOG_FORMAT".into(), "json".into());
    project.env.insert("REGREEN_LOG".into(), "regreen=debug".into());
    // The fault's own words hold a password by chance.
    project.env.insert("DEPLOY_PASSWORD".into(), "format_minutes".into());
    let said = project.regreen(&["worker", "--once"]).expect(0).stderr;
    let lines: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    let of_run = |words: &str| {
        lines.iter().any(|line| {
            let message = line["message"].as_str().unwrap_or_default();
            message.contains(words) && line["span"]["run"] == run.as_str()
        })
    };
    assert!(of_run("claimed") && of_run(" over"), "{said}");
    assert!(!said.contains("format_minutes"), "{said}");
}

/// The database goes away and does not come back: the service says so, goes on saying so, and ends when it is asked to.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_its_database_says_so_and_ends_cleanly() {
    let mut project = Project::agenda();
    let direct = Server::shared().database();
    let mut proxy = Proxy::to(&Server::shared().socket());
    project.env.insert("REGREEN_DATABASE_URL".into(), proxy.before(&direct));
    let served = Served::start(&project, &[]);
    served.get("/readyz").await.expect(200);
    proxy.go();
    let told = served.get("/readyz").await.expect(503).json();
    assert!(told["detail"].as_str().expect("words").contains("store"), "{told}");
    let metrics = served.get("/metrics").await.expect(200).text;
    assert!(metrics.contains("\nregreen_store_up 0\n"), "{metrics}");
    assert!(!metrics.contains("regreen_queue_runs{"), "{metrics}");
    served.get("/healthz").await.expect(200);
    assert_eq!(served.end(), Some(0));
}
