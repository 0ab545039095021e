//! Several machines with one database: where the work is done, the service is not, and what people say there is done here.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::bucket::{self, Bucket};
use crate::postgres::Server;
use crate::project::{Project, Ran};
use crate::service::Served;
use crate::service::events::Stream;

const BROKEN: &str = "def total(prices):\n    amount = 0\n    for price in prices:\n        amount += price\n    return amonut\n";
/// Prints much more than an event keeps of it.
const TEST: &str = "import unittest\n\nfrom shop import total\n\n\nclass Total(unittest.TestCase):\n    def test_sum(self):\n        print('the very beginning')\n        for n in range(4000):\n            print('line', n)\n        self.assertEqual(total([1, 2]), 3)\n";

/// A project whose workers are on another machine than its service: another state folder, and another network where nothing but a socket is
/// shared.
struct Machines {
    project: Project,
    bucket: Option<Bucket>,
    /// Where the working tree is as long as this machine does not have it.
    elsewhere: PathBuf,
}

impl Machines {
    /// Patches of `shop.py` wait for a person. Where `sharing`, logs are shared by a bucket.
    fn new(sharing: bool) -> Self {
        let mut project =
            Project::new(&[("shop.py", BROKEN), ("test_shop.py", TEST), (".gitignore", "__pycache__/\n")]);
        let bucket = sharing.then(Bucket::start);
        let objects = bucket.as_ref().map(|bucket| {
            format!(
                "[objects]\nurl = \"s3://regreen/team\"\nendpoint = \"{}\"\nregion = \"eu-test-1\"\n",
                bucket.url
            )
        });
        project.configure(&format!("[guards]\nprotected = [\"shop.py\"]\n{}", objects.unwrap_or_default()));
        for (name, value) in [
            ("REGREEN_DATABASE_URL", Server::shared().database()),
            ("AWS_ACCESS_KEY_ID", bucket::ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", bucket::KEY.to_owned()),
        ] {
            project.env.insert(name.to_owned(), value);
        }
        let elsewhere = project.base().join("elsewhere");
        Self { project, bucket, elsewhere }
    }

    /// The service of this machine, which has no working tree from then on.
    fn serve(&self) -> Served {
        let served = Served::start(&self.project, &[]);
        self.move_tree(false);
        served
    }

    /// Takes the working tree off this machine, or brings it back.
    fn move_tree(&self, here: bool) {
        let (from, to) =
            if here { (&self.elsewhere, &self.project.root) } else { (&self.project.root, &self.elsewhere) };
        std::fs::rename(from, to).expect("it moves");
    }

    /// Has a worker of the other machine, which has the working tree, do what there is.
    #[track_caller]
    fn work(&self) {
        self.move_tree(true);
        let worker = self.project.command(&["worker", "--once"]);
        let mut command = Command::new(worker.get_program());
        if self.bucket.is_none() && has_networks() {
            command = Command::new("unshare");
            command.arg("-n").arg(worker.get_program());
        }
        command.args(worker.get_args()).current_dir(&self.project.root).env_clear().envs(&self.project.env);
        command.env("REGREEN_STATE_DIR", self.project.base().join("other-machine"));
        Ran::of(command.output().expect("a worker")).expect(0);
        self.move_tree(false);
    }

    /// Runs a command of this machine, in a folder that is not the project's.
    fn regreen(&self, words: &[&str]) -> Ran {
        self.project.regreen_in(&self.project.home, words)
    }

    /// How a run stands and how it ended.
    fn stands(&self, run: &str) -> (String, String) {
        let rows = self.regreen(&["runs", "--json", "-n", "100"]).expect(0).stdout;
        let mut rows = rows.lines().map(|line| serde_json::from_str::<Value>(line).expect("a row"));
        let row = rows.find(|row| row["id"] == run).expect("the run is listed");
        let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
        (text("status"), text("outcome"))
    }

    /// The branch of a run, if there is one.
    fn branch(&self, run: &str) -> String {
        let name = format!("regreen/{}", &run[run.len() - 8..]);
        self.project.git_in(&self.elsewhere, &["branch", "--list", &name])
    }

    /// How many commits the run landed.
    fn landed(&self, run: &str) -> String {
        let range = format!("main..regreen/{}", &run[run.len() - 8..]);
        self.project.git_in(&self.elsewhere, &["rev-list", "--count", &range])
    }
}

/// Whether a process may have a network of its own.
fn has_networks() -> bool {
    static MAY: OnceLock<bool> = OnceLock::new();
    *MAY.get_or_init(|| {
        Command::new("unshare").args(["-n", "true"]).status().is_ok_and(|done| done.success())
    })
}

fn stood(status: &str, outcome: &str) -> (String, String) {
    (status.to_owned(), outcome.to_owned())
}

/// Submits the failing test.
async fn submit(served: &Served, machines: &Machines) -> String {
    let repo = machines.project.root.to_str().expect("UTF-8");
    let body = json!({"repo": repo, "command": ["python3", "-m", "unittest"], "no_model": true});
    served.post("/api/v1/runs", &body).await.expect(201).json()["run"].as_str().expect("an id").to_owned()
}

/// The digest of the patch that waits.
async fn waiting_patch(served: &Served, run: &str) -> String {
    let shown = served.get(&format!("/api/v1/runs/{run}")).await.expect(200).json();
    shown["waiting"]["patch"].as_str().unwrap_or_else(|| panic!("{shown}")).to_owned()
}

/// What the first check of a run printed, as far as this machine can tell.
async fn printed(served: &Served, run: &str) -> String {
    let events = served.get(&format!("/api/v1/runs/{run}/events")).await.expect(200).json();
    let events = events["items"].as_array().expect("events").clone();
    let checked = events.iter().find(|event| event["event"] == "checked").expect("a check");
    served.get(&format!("/api/v1/runs/{run}/logs/{}", checked["seq"])).await.expect(200).text
}

#[tokio::test]
async fn what_a_person_says_elsewhere_is_done_by_a_worker() {
    let machines = Machines::new(false);
    let served = machines.serve();
    let cookie = served.enter().await;
    let run = submit(&served, &machines).await;
    machines.work();
    assert_eq!(machines.stands(&run), stood("waiting", "waiting"));
    let page = served.page(&format!("/runs/{run}"), &cookie).await.expect(200).text;
    assert!(page.contains("This waits for you") && page.contains("amount"), "{page}");
    let asked = served.page("/approvals", &cookie).await.expect(200).text;
    assert!(asked.contains(&run), "{asked}");
    assert!(printed(&served, &run).await.contains("NameError"));

    // By the API.
    let stream = Stream::open(&served, &format!("/api/v1/runs/{run}/events"), None).await;
    let patch = waiting_patch(&served, &run).await;
    served.post(&format!("/api/v1/runs/{run}/approve"), &json!({"patch": patch})).await.expect(202);
    assert_eq!(machines.branch(&run), "", "who has no working tree lands nothing");
    machines.work();
    assert_eq!((machines.stands(&run), machines.landed(&run).as_str()), (stood("finished", "healed"), "1"));
    let landed = stream.until(|event| event["event"] == "landed").await;
    assert!(landed.iter().any(|(_, event)| event["event"] == "approved"), "{landed:?}");
    let page = served.page(&format!("/runs/{run}"), &cookie).await.expect(200).text;
    assert!(page.contains("landed in commit"), "{page}");

    // By the command line.
    let again = served.post(&format!("/api/v1/runs/{run}/retry"), &json!({})).await;
    let again = again.json()["run"].as_str().expect("an id").to_owned();
    machines.work();
    assert_eq!(machines.stands(&again), stood("waiting", "waiting"));
    let said = machines.regreen(&["approve", &again]).expect(0);
    assert!(said.stderr.contains("a worker lands it"), "{}", said.stderr);
    machines.work();
    assert_eq!(
        (machines.stands(&again), machines.landed(&again).as_str()),
        (stood("finished", "healed"), "1")
    );

    // What is refused, and what is called off.
    let refused = submit(&served, &machines).await;
    machines.work();
    served.post(&format!("/api/v1/runs/{refused}/reject"), &json!({"reason": "no"})).await.expect(200);
    let cancelled = submit(&served, &machines).await;
    served.post(&format!("/api/v1/runs/{cancelled}/cancel"), &json!({})).await.expect(200);
    machines.work();
    assert_eq!(machines.stands(&refused), stood("finished", "refused"));
    assert_eq!(machines.stands(&cancelled), stood("finished", "cancelled"));
    assert_eq!(served.end(), Some(0));
}

#[tokio::test]
async fn what_checks_print_is_shared_and_waits_for_a_bucket_that_is_down() {
    let machines = Machines::new(true);
    let bucket = machines.bucket.as_ref().expect("a bucket");
    let served = machines.serve();
    let run = submit(&served, &machines).await;
    machines.work();
    assert_eq!(machines.stands(&run), stood("waiting", "waiting"));
    assert_eq!(bucket.refused(), Vec::<String>::new());
    let keys = bucket.keys();
    assert!(
        !keys.is_empty() && keys.iter().all(|key| key.starts_with(&format!("/regreen/team/logs/{run}/"))),
        "{keys:?}"
    );
    let whole = printed(&served, &run).await;
    assert!(whole.contains("the very beginning") && whole.contains("line 3999"), "{} bytes", whole.len());
    let shown = machines.regreen(&["logs", &run, "--check", "all"]).expect(0).stdout;
    assert!(shown.contains("the very beginning"), "{} bytes", shown.len());

    // While the bucket is down a run goes on, and what it printed is owed.
    bucket.down(true);
    let later = submit(&served, &machines).await;
    machines.work();
    assert_eq!(machines.stands(&later), stood("waiting", "waiting"));
    let end = printed(&served, &later).await;
    assert!(!end.contains("the very beginning") && end.contains("line 3999"), "{} bytes", end.len());
    bucket.down(false);
    machines.work();
    assert!(printed(&served, &later).await.contains("the very beginning"));
    let owed =
        std::fs::read_dir(machines.project.base().join("other-machine/outbox")).expect("an outbox").count();
    assert_eq!(owed, 0);

    // The key itself is nowhere.
    assert!(!bucket.holds(bucket::KEY));
    let settings = served.get("/api/v1/settings").await.expect(200).text;
    assert!(settings.contains("s3://regreen/team") && !settings.contains(bucket::KEY), "{settings}");
}
