//! What is removed, and above all what is not.

use serde_json::{Value, json};

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::run::journal::load;
use crate::store::{NewEvent, NewRun, Priority, Projection, RunPatch, Status, Submission};

const DAY: Duration = Duration::from_secs(86_400);

struct Place {
    dir: tempfile::TempDir,
    store: Store,
}

impl Place {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("regreen.db")).await.unwrap();
        Self { dir, store }
    }

    /// A run whose last event was so many days ago, with a prompt and a log.
    async fn run(&self, id: &str, trigger: &str, days: u32, end: RunPatch) {
        let at = ago(SystemClock.now(), DAY * days);
        let run = NewRun {
            id: id.to_owned(),
            repo: "/repo".to_owned(),
            trigger: trigger.to_owned(),
            goal: "make test".to_owned(),
            status: Status::Running,
            base: None,
        };
        let lease = self
            .store
            .create(&run, &NewEvent::new(at, "started", json!({"event": "started"})))
            .await
            .unwrap();
        let asked = json!({"event": "asked", "attempt": 1, "call": {
            "request": {"system": "rules", "turns": [{"role": "user", "text": "secret plans"}]},
            "answer": {"Ok": {"text": "an answer", "stop": "done"}}, "usage": {"input": 7},
        }});
        let end = Projection { run: end, ..Projection::default() };
        self.store.append(Some(&lease), id, 1, &NewEvent::new(at, "asked", asked)).await.unwrap();
        self.store.append(Some(&lease), id, 2, &NewEvent::new(at, "proven", json!({}))).await.unwrap();
        self.store
            .append(Some(&lease), id, 3, &NewEvent::new(at, "finished", json!({})).with(end))
            .await
            .unwrap();
        let logs = self.dir.path().join("logs").join(id);
        std::fs::create_dir_all(&logs).unwrap();
        std::fs::write(logs.join("1-goal.log"), vec![b'x'; 1000]).unwrap();
    }

    fn has_logs(&self, id: &str) -> bool {
        self.dir.path().join("logs").join(id).exists()
    }

    async fn kinds(&self, id: &str) -> Vec<String> {
        self.store.events(id, 0).await.unwrap().into_iter().map(|event| event.kind).collect()
    }

    async fn sweep(&self, rules: &Retention, dry: bool) -> Removed {
        sweep(&self.store, &Objects::local(self.dir.path()), rules, SystemClock.now(), dry).await.unwrap()
    }
}

fn over(status: Status, landed: Option<&str>) -> RunPatch {
    RunPatch {
        status: Some(status),
        outcome: Some("healed".into()),
        landed: landed.map(str::to_owned),
        ..RunPatch::default()
    }
}

#[tokio::test]
async fn what_is_old_goes_by_its_kind_and_what_may_be_needed_stays() {
    let place = Place::new().await;
    for (id, trigger, days, end) in [
        ("old", "heal", 40, over(Status::Finished, None)),
        ("young", "heal", 2, over(Status::Finished, None)),
        ("landed", "heal", 40, over(Status::Finished, Some("the working tree"))),
        ("waiting", "heal", 40, over(Status::Waiting, None)),
        ("running", "heal", 40, over(Status::Running, None)),
        ("ticket", "ticket", 40, over(Status::Waiting, None)),
        ("subtask", "subtask", 39, over(Status::Finished, Some("commit 1a2b3c4 on main"))),
    ] {
        place.run(id, trigger, days, end).await;
    }
    let rules = Retention {
        logs: Some(DAY * 10),
        prompts: Some(DAY * 20),
        events: Some(DAY * 30),
        ..Retention::default()
    };
    let told = place.sweep(&rules, true).await;
    assert_eq!(place.kinds("old").await.len(), 4, "nothing is removed by looking");
    assert!(place.has_logs("old"));
    assert_eq!((told.logs.count, told.logs.bytes), (3, 3000));
    assert_eq!((told.prompts.count, told.events.count, told.landings.count), (3, 1, 0));

    let removed = place.sweep(&rules, false).await;
    // The prompts of the one whose events go are emptied first, and its events are smaller then.
    assert_eq!((removed.logs, removed.prompts, removed.events.count), (told.logs, told.prompts, 1));
    for (id, logs, events) in [
        ("old", false, 0),
        ("young", true, 4),
        ("landed", false, 4),
        ("waiting", true, 4),
        ("running", true, 4),
        ("ticket", true, 4),
        ("subtask", false, 4),
    ] {
        assert_eq!((place.has_logs(id), place.kinds(id).await.len()), (logs, events), "{id}");
    }
    let prompt = async |id: &str| -> Value { place.store.events(id, 1).await.unwrap()[0].payload.clone() };
    assert!(prompt("waiting").await.to_string().contains("secret plans"));
    let emptied = prompt("landed").await;
    assert!(!emptied.to_string().contains("secret plans") && !emptied.to_string().contains("an answer"));
    assert_eq!(emptied["call"]["usage"]["input"], 7);
    assert!(place.sweep(&rules, false).await.is_empty(), "it is done once");

    // Its row is there, with what figures need, and whoever asks for more is told.
    let row = place.store.run("old").await.unwrap();
    assert_eq!(row.outcome.as_deref(), Some("healed"));
    let since = ago(SystemClock.now(), DAY * 100);
    assert_eq!(place.store.times_to_green(since).await.unwrap().len(), 7);
    let error = load(&place.store, "old").await.unwrap_err();
    assert!(error.to_string().contains("was removed"), "{error:#}");

    // Landings go only where that is asked for, and never those of a ticket that waits.
    let rules = Retention { landings: Some(DAY * 35), ..rules };
    assert_eq!(place.sweep(&rules, false).await.landings.count, 1);
    assert_eq!((place.kinds("landed").await.len(), place.kinds("subtask").await.len()), (0, 4));
}

#[tokio::test]
async fn logs_take_no_more_room_than_they_may_and_the_oldest_go_first() {
    let place = Place::new().await;
    for (id, days) in [("c", 1), ("a", 3), ("b", 2)] {
        place.run(id, "heal", days, over(Status::Finished, None)).await;
    }
    place.run("busy", "heal", 9, over(Status::Running, None)).await;
    // Those of runs under way count, and stay.
    let rules = Retention { logs_size: Some(2500), ..Retention::default() };
    assert_eq!(place.sweep(&rules, false).await.logs, Sum { count: 2, bytes: 2000 });
    let left = ["a", "b", "c", "busy"].map(|id| place.has_logs(id));
    assert_eq!(left, [false, false, true, true]);
}

#[tokio::test]
async fn the_feed_reaches_back_as_far_as_the_events() {
    let place = Place::new().await;
    place.run("old", "heal", 40, over(Status::Finished, None)).await;
    place.run("landed", "heal", 39, over(Status::Finished, Some("x"))).await;
    place.run("young", "heal", 1, over(Status::Finished, None)).await;
    let end = place.store.feed_end().await.unwrap();
    place.sweep(&Retention { events: Some(DAY * 30), ..Retention::default() }, false).await;
    let left = place.store.feed(0, 100).await.unwrap();
    assert_eq!(left.iter().map(|fed| fed.run.as_str()).collect::<Vec<_>>(), ["young"; 4]);
    assert_eq!(place.store.feed_end().await.unwrap(), end);
}

#[tokio::test]
async fn a_run_that_is_to_begin_again_keeps_its_events() {
    let place = Place::new().await;
    place.run("again", "heal", 40, over(Status::Finished, None)).await;
    crate::store::sql::query(
        "INSERT INTO queue (run, repo, priority, state, due, not_before, submitted_at) \
         VALUES ('again', '/repo', 'normal', 'queued', 0, 0, 0)",
    )
    .execute(&place.store)
    .await
    .unwrap();
    let rules = Retention { events: Some(DAY), prompts: Some(DAY), ..Retention::default() };
    assert!(place.sweep(&rules, false).await.is_empty());
    assert_eq!(place.kinds("again").await.len(), 4);
}

#[tokio::test]
async fn the_key_of_a_removed_run_still_stands_for_it() {
    let place = Place::new().await;
    let at = ago(SystemClock.now(), DAY * 9);
    let run = NewRun {
        id: "keyed".into(),
        repo: "/repo".into(),
        trigger: "heal".into(),
        goal: "make".into(),
        status: Status::Queued,
        base: None,
    };
    let submission = Submission {
        run,
        priority: Priority::Normal,
        key: Some("k".into()),
        delay: Duration::ZERO,
        proposes: None,
        heals: None,
    };
    place.store.submit(&submission, &NewEvent::new(at, "submitted", json!({}))).await.unwrap();
    let claim = place.store.claim("w").await.unwrap().unwrap();
    let end = Projection { run: over(Status::Finished, None), ..Projection::default() };
    place
        .store
        .append(Some(&claim.lease), "keyed", 1, &NewEvent::new(at, "finished", json!({})).with(end))
        .await
        .unwrap();
    place.store.over(claim).await.unwrap();
    place.sweep(&Retention { events: Some(DAY), ..Retention::default() }, false).await;
    assert!(place.kinds("keyed").await.is_empty());
    assert!(!place.store.submit(&submission, &NewEvent::new(at, "submitted", json!({}))).await.unwrap().new);
}
