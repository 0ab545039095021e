//! What a store has to do, on SQLite and on PostgreSQL alike.

mod deliveries;
mod incidents;
mod jira;
mod postmortems;
mod proposals;
mod queue;
mod retention;
mod service;

#[path = "../../tests/support/postgres.rs"]
mod postgres;

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::fault::Exit;
use crate::usage::{Money, Usage};
use postgres::Server;

/// A clock that goes on by a second whenever it is asked, and as far as a test says.
pub(crate) struct StepClock(Mutex<Timestamp>);

impl Clock for StepClock {
    fn now(&self) -> Timestamp {
        let mut now = self.0.lock().unwrap();
        *now += jiff::SignedDuration::from_secs(1);
        *now
    }
}

/// A database and a state folder of a test's own.
pub(crate) struct Place {
    dir: tempfile::TempDir,
    pub(crate) clock: Arc<StepClock>,
    /// The address of the PostgreSQL, where it is one.
    server: Option<SecretString>,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        let start = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = Arc::new(StepClock(Mutex::new(start)));
        Self { dir: tempfile::tempdir().unwrap(), clock, server: None }
    }

    pub(crate) fn postgres() -> Self {
        Self { server: Some(Server::shared().database().into()), ..Self::sqlite() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("regreen.db")
    }

    /// The store as another process of the same machine opens it.
    pub(crate) async fn store(&self) -> Store {
        self.store_at(self.dir.path(), self.clock.clone()).await
    }

    /// The store as a process opens it whose state folder is `state`.
    async fn store_at(&self, state: &Path, clock: Arc<dyn Clock>) -> Store {
        match &self.server {
            Some(url) => Store::connect_with(url, state, clock).await.unwrap(),
            None => Store::open_with(&state.join("regreen.db"), clock).await.unwrap(),
        }
    }

    /// Runs statements without the store.
    async fn sql(&self, text: &'static str) -> Result<()> {
        use secrecy::ExposeSecret;
        use sqlx::Connection;
        match &self.server {
            Some(url) => {
                let mut connection = sqlx::PgConnection::connect(url.expose_secret()).await?;
                sqlx::raw_sql(text).execute(&mut connection).await?;
                connection.close().await?;
            }
            None => database::raw(&self.path(), text).await?,
        }
        Ok(())
    }

    /// Lets the database's clock go on.
    pub(crate) async fn pass(&self, time: Duration) {
        *self.clock.0.lock().unwrap() += time;
        if self.server.is_none() {
            return;
        }
        self.sql(
            "CREATE TABLE IF NOT EXISTS passed (millis BIGINT NOT NULL); \
             INSERT INTO passed SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM passed); \
             CREATE OR REPLACE FUNCTION regreen_now() RETURNS BIGINT LANGUAGE sql STABLE AS \
             $$ SELECT (EXTRACT(EPOCH FROM statement_timestamp()) * 1000)::BIGINT + SUM(millis)::BIGINT FROM passed $$",
        )
        .await
        .unwrap();
        let store = self.store().await;
        let millis = i64::try_from(time.as_millis()).unwrap();
        query("UPDATE passed SET millis = millis + $1").bind(millis).execute(&store).await.unwrap();
        store.close().await;
    }
}

/// Runs each of these on both databases.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::store::tests::Place::sqlite()).await;
            })*
        }

        mod server {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::store::tests::Place::postgres()).await;
            })*
        }
    };
}
pub(crate) use on_both;

fn new_run(id: &str) -> NewRun {
    NewRun {
        id: id.to_owned(),
        repo: "/repo".to_owned(),
        trigger: "heal".to_owned(),
        goal: "make test".to_owned(),
        status: Status::Running,
        base: None,
    }
}

/// Makes a run with one event.
async fn begin(store: &Store, run: &NewRun) -> Result<()> {
    store.create(run, &NewEvent::new(store.now(), "started", json!(null))).await.map(drop)
}

fn fault(error: &anyhow::Error) -> &Fault {
    error.downcast_ref::<Fault>().unwrap_or_else(|| panic!("no fault: {error:?}"))
}

fn attempt(number: u32) -> AttemptRow {
    AttemptRow {
        run: String::new(),
        attempt: number,
        fixer: "model(m)".to_owned(),
        model_used: Some("m".to_owned()),
        category: Some("type".to_owned()),
        fingerprint: None,
        succeeded: number == 2,
        result: "still red".to_owned(),
        usage: Usage { input: 10, output: 5, cache_read: 3, cache_write: 2, ..Usage::default() },
        cost: Money(1500),
        duration: Duration::from_millis(2500),
        at: Timestamp::UNIX_EPOCH,
    }
}

async fn a_run_is_the_projection_of_its_events(place: Place) {
    let store = place.store().await;
    store.create(&new_run("r1"), &NewEvent::new(store.now(), "started", json!({"a": "ä"}))).await.unwrap();
    let spent = Spent { provider: "p".into(), model: "m".into(), cost: Money(1500) };
    let paid = Projection { spent: Some(spent.clone()), ..Projection::default() };
    assert_eq!(
        store
            .append(None, "r1", 1, &NewEvent::new(store.now(), "call", json!(1)).with(paid.clone()))
            .await
            .unwrap(),
        2
    );
    for number in [1, 2] {
        let tried = Projection { attempt: Some(attempt(number)), ..Projection::default() };
        store
            .append(
                None,
                "r1",
                1 + u64::from(number),
                &NewEvent::new(store.now(), "attempt", json!(null)).with(tried.clone()),
            )
            .await
            .unwrap();
    }
    let end = RunPatch {
        status: Some(Status::Finished),
        outcome: Some("healed".into()),
        exit: Some(0),
        ..RunPatch::default()
    };
    let end = Projection { run: end, ..Projection::default() };
    store
        .append(None, "r1", 4, &NewEvent::new(store.now(), "ended", json!({})).with(end.clone()))
        .await
        .unwrap();

    // Another process sees the same.
    store.close().await;
    let store = place.store().await;
    let run = store.run("r1").await.unwrap();
    assert_eq!((run.status, run.outcome.as_deref(), run.exit), (Status::Finished, Some("healed"), Some(0)));
    assert_eq!((run.attempts, run.cost), (2, Money(1500)));
    assert!(run.updated_at > run.created_at);
    let events = store.events("r1", 0).await.unwrap();
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(events[0].payload, json!({"a": "ä"}));
    assert_eq!(store.events("r1", 4).await.unwrap()[0].kind, "ended");
    let attempts = store.attempts("r1").await.unwrap();
    assert_eq!(attempts[1].usage, attempt(2).usage);
    assert_eq!((attempts[0].succeeded, attempts[1].succeeded), (false, true));
    assert_eq!(attempts[1].duration, Duration::from_millis(2500));
}

async fn an_outdated_writer_is_refused_whole(place: Place) {
    let store = place.store().await;
    begin(&store, &new_run("r1")).await.unwrap();
    store.append(None, "r1", 1, &NewEvent::new(store.now(), "a", json!(0))).await.unwrap();
    let patch = RunPatch { outcome: Some("wrong".into()), ..RunPatch::default() };
    let late = Projection { run: patch, attempt: Some(attempt(1)), ..Projection::default() };
    let error = store
        .append(None, "r1", 1, &NewEvent::new(store.now(), "b", json!(0)).with(late.clone()))
        .await
        .unwrap_err();
    let conflict = error.downcast_ref::<Conflict>().unwrap();
    assert_eq!((conflict.expected, conflict.actual), (1, 2));
    assert_eq!(store.run("r1").await.unwrap().outcome, None);
    assert!(store.attempts("r1").await.unwrap().is_empty());
    assert!(store.append(None, "gone", 0, &NewEvent::new(store.now(), "a", json!(0))).await.is_err());

    // The same attempt twice breaks a key: the event must not stay behind.
    let tried = Projection { attempt: Some(attempt(1)), ..Projection::default() };
    store
        .append(None, "r1", 2, &NewEvent::new(store.now(), "t", json!(0)).with(tried.clone()))
        .await
        .unwrap();
    store
        .append(None, "r1", 3, &NewEvent::new(store.now(), "t", json!(0)).with(tried.clone()))
        .await
        .unwrap_err();
    assert_eq!(store.events("r1", 0).await.unwrap().len(), 3);
}

async fn many_writers_lose_nothing(place: Place) {
    let stores = [place.store().await, place.store().await, place.store().await];
    begin(&stores[0], &new_run("r1")).await.unwrap();
    let work = |store: Store| async move {
        for _ in 0..20 {
            loop {
                let last = store.events("r1", 0).await.unwrap().len() as u64;
                match store.append(None, "r1", last, &NewEvent::new(store.now(), "e", json!(0))).await {
                    Ok(_) => break,
                    Err(error) => assert!(error.downcast_ref::<Conflict>().is_some(), "{error:?}"),
                }
            }
        }
    };
    let [a, b, c] = stores.clone().map(|store| tokio::spawn(work(store)));
    a.await.unwrap();
    b.await.unwrap();
    c.await.unwrap();
    let events = stores[0].events("r1", 0).await.unwrap();
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), (1..=61).collect::<Vec<u64>>());
}

async fn the_database_itself_keeps_events_as_they_are(place: Place) {
    let store = place.store().await;
    begin(&store, &new_run("r1")).await.unwrap();
    for sql in ["UPDATE events SET kind = 'x'", "DELETE FROM events"] {
        let error = place.sql(sql).await.unwrap_err();
        assert!(format!("{error:?}").contains("append-only"), "{error:?}");
    }
    assert_eq!(store.events("r1", 0).await.unwrap()[0].kind, "started");
}

async fn runs_are_in_the_order_in_which_they_were_made_whatever_the_clock_says(place: Place) {
    let store = place.store().await;
    let now = store.now();
    for (id, hours) in [("ticket", 0), ("first", -90_000), ("second", -80_000)] {
        let at = now + jiff::SignedDuration::from_hours(hours);
        store.create(&new_run(id), &NewEvent::new(at, "started", json!(null))).await.unwrap();
    }
    let ids = async |filter: &RunFilter| -> Vec<String> {
        store.runs(filter, 9).await.unwrap().into_iter().map(|run| run.id).collect()
    };
    assert_eq!(ids(&RunFilter::default()).await, ["second", "first", "ticket"]);
    let after = RunFilter { after: Some("ticket".into()), ..RunFilter::default() };
    assert_eq!(ids(&after).await, ["second", "first"]);
}

async fn runs_are_found_by_either_end_of_their_id(place: Place) {
    let store = place.store().await;
    let ids = ["019a-1111-aaaa1234", "019a-2222-bbbb1234", "019b-3333-cccc5678"];
    for id in ids {
        begin(&store, &new_run(id)).await.unwrap();
    }
    for (name, id) in [(ids[0], ids[0]), ("019a-2", ids[1]), ("5678", ids[2])] {
        assert_eq!(store.run(name).await.unwrap().id, id, "{name}");
    }
    let error = store.run("019a").await.unwrap_err();
    assert_eq!(fault(&error).exit, Exit::Usage);
    assert!(fault(&error).hint.as_ref().unwrap().contains(ids[0]));
    for name in ["", "x", "%", "0_9", "' OR 1=1 --"] {
        assert!(fault(&store.run(name).await.unwrap_err()).message.contains("there is no run"), "{name}");
    }
    let filter = RunFilter { repo: Some("/repo".into()), ..RunFilter::default() };
    let found: Vec<_> = store.runs(&filter, 2).await.unwrap().into_iter().map(|run| run.id).collect();
    assert_eq!(found, [ids[2], ids[1]]);
    let other = RunFilter { repo: Some("/other".into()), ..RunFilter::default() };
    assert!(store.runs(&other, 9).await.unwrap().is_empty());
    assert_eq!(short("0190a1b2-c3d4-7890-abcd-ef0123456789"), "23456789");
    assert_eq!(short("r1"), "r1");
    for bad in ["", "../up", "a b", "-x", "ä"] {
        assert!(begin(&store, &new_run(bad)).await.is_err(), "{bad}");
    }
}

#[tokio::test]
async fn damaged_newer_and_locked_stores_are_explained() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::sqlite();
    let store = place.store().await;
    assert_eq!(std::fs::metadata(place.path()).unwrap().permissions().mode() & 0o777, 0o600);
    let wal = place.dir.path().join("regreen.db-wal");
    assert_eq!(std::fs::metadata(wal).unwrap().permissions().mode() & 0o777, 0o600);
    store.close().await;

    database::raw(
        &place.path(),
        "INSERT INTO _sqlx_migrations VALUES (999, 'later', '2030-01-01', 1, x'00', 1)",
    )
    .await
    .unwrap();
    // Merely newer is no reason to stop: the newer one says what has to be known.
    Store::open(&place.path()).await.unwrap().close().await;
    database::raw(&place.path(), "UPDATE compatibility SET needs = 999").await.unwrap();
    let error = Store::open(&place.path()).await.unwrap_err();
    assert!(error.is::<TooOld>() && fault(&error).message.contains("newer Regreen"), "{error:?}");

    let broken = place.dir.path().join("broken.db");
    std::fs::write(&broken, "this is no database, but long enough to be taken for one".repeat(100)).unwrap();
    let error = Store::open(&broken).await.unwrap_err();
    assert!(fault(&error).message.contains("damaged"), "{error:?}");
    let error = Store::open(place.dir.path()).await.unwrap_err();
    assert!(fault(&error).message.contains("cannot open the store"), "{error:?}");
}

async fn a_run_has_one_process_at_a_time(place: Place) {
    let store = place.store().await;
    begin(&store, &new_run("r1")).await.unwrap();
    begin(&store, &NewRun { status: Status::Finished, ..new_run("r2") }).await.unwrap();
    assert!(!store.is_held("r1").await.unwrap());
    let lease = store.acquire("r1").await.unwrap().unwrap();
    assert!(store.acquire("r1").await.unwrap().is_none());
    assert!(store.is_held("r1").await.unwrap());
    assert!(store.unfinished().await.unwrap().is_empty());
    drop(lease);
    let dead = store.unfinished().await.unwrap();
    assert_eq!(dead.iter().map(|run| run.id.as_str()).collect::<Vec<_>>(), ["r1"]);
    assert!(store.acquire("r1").await.unwrap().is_some());
    assert!(store.acquire("../r1").await.is_err());
}

/// Machines that share a database see each other's leases, and one that was thought dead cannot write any more.
#[tokio::test]
async fn a_lease_holds_across_machines_until_it_runs_out() {
    let place = Place::postgres();
    let elsewhere = tempfile::tempdir().unwrap();
    let (here, there) = (place.store().await, place.store_at(elsewhere.path(), place.clock.clone()).await);
    let lease =
        here.create(&new_run("r1"), &NewEvent::new(here.now(), "started", json!(null))).await.unwrap();
    here.append(Some(&lease), "r1", 1, &NewEvent::new(here.now(), "a", json!(0))).await.unwrap();
    assert!(there.is_held("r1").await.unwrap());
    assert!(there.acquire("r1").await.unwrap().is_none());
    assert!(there.unfinished().await.unwrap().is_empty());

    place.pass(2 * lease::LEASE).await;
    assert_eq!(there.unfinished().await.unwrap().len(), 1);
    let taken = there.acquire("r1").await.unwrap().unwrap();
    let error =
        here.append(Some(&lease), "r1", 2, &NewEvent::new(here.now(), "b", json!(0))).await.unwrap_err();
    assert!(error.is::<LeaseLost>() && is_interruption(&error), "{error:?}");
    there.append(Some(&taken), "r1", 2, &NewEvent::new(there.now(), "c", json!(0))).await.unwrap();
    // What was lost is not given back: the other one still has it.
    drop(lease);
    assert!(here.acquire("r1").await.unwrap().is_none());
}

/// Whoever cannot say that it lives gives up by itself.
#[tokio::test]
async fn a_holder_hears_that_its_lease_is_lost() {
    let place = Place::postgres();
    let mut store = place.store().await;
    store.lease = Duration::from_millis(300);
    let taken =
        store.create(&new_run("r1"), &NewEvent::new(store.now(), "started", json!(null))).await.unwrap();
    place.sql("UPDATE runs SET fence = fence + 1").await.unwrap();
    taken.lost().await;
    let cut_off =
        store.create(&new_run("r2"), &NewEvent::new(store.now(), "started", json!(null))).await.unwrap();
    store.close().await;
    cut_off.lost().await;
}

/// Both databases have the same tables.
#[tokio::test]
async fn one_schema_in_two_dialects() {
    let (sqlite, server) = (Place::sqlite(), Place::postgres());
    let (one, other) = (sqlite.store().await, server.store().await);
    let list = async |store: &Store, text: &'static str| -> Vec<String> {
        let rows = query(text).all(store).await.unwrap();
        let mut lines: Vec<String> = rows.iter().map(|row| row.get("line").unwrap()).collect();
        lines.sort();
        lines
    };
    let columns = list(
        &one,
        "SELECT m.name || '.' || c.name || ' ' || c.type || ' ' || (c.\"notnull\" = 1) AS line FROM sqlite_schema m, \
         pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE '\\_%' ESCAPE '\\'",
    )
    .await;
    let the_same = list(
        &other,
        "SELECT table_name || '.' || column_name || ' ' || UPPER(data_type) || ' ' || \
         CASE is_nullable WHEN 'NO' THEN 1 ELSE 0 END AS line FROM information_schema.columns \
         WHERE table_schema = 'public' AND table_name NOT LIKE '\\_%'",
    )
    .await;
    assert!(columns.len() > 60, "{columns:#?}");
    // Each numbers rows in its own way.
    let numbers = ["sqlite_sequence.", "feed.position ", "runs.number "];
    let said = |lines: Vec<String>| -> Vec<String> {
        let own = |line: &String| numbers.iter().any(|number| line.starts_with(number));
        lines
            .into_iter()
            .filter(|line| !own(line))
            .map(|line| line.replace("runs.exit INTEGER", "runs.exit BIGINT"))
            .collect()
    };
    assert_eq!(said(columns), said(the_same));
}

async fn any_text_is_kept(place: Place) {
    let store = place.store().await;
    let odd = NewRun { goal: "a\0b \u{202e} 'x' $1 @now".to_owned(), ..new_run("r1") };
    store.create(&odd, &NewEvent::new(store.now(), "started", json!({"text": "a\0b"}))).await.unwrap();
    assert_eq!(store.events("r1", 0).await.unwrap()[0].payload, json!({"text": "a\0b"}));
    let goal = store.run("r1").await.unwrap().goal;
    assert_eq!(goal.replace('\u{fffd}', "\0"), odd.goal);
}

/// Appends an event after which people are asked, or said something.
async fn voice(store: &Store, seq: u64, voice: Voice) {
    let projection = Projection { voice: Some(voice), ..Projection::default() };
    let event = NewEvent::new(store.now(), "voice", json!({})).with(projection);
    store.append(None, "r1", seq, &event).await.unwrap();
}

fn asked(store: &Store, patch: &str) -> Voice {
    Voice::Asked {
        action: "land".to_owned(),
        reason: "production".to_owned(),
        patch: patch.to_owned(),
        people: 2,
        not_by: Some("anna".to_owned()),
        expires: store.now().checked_add(Duration::from_secs(60)).unwrap(),
    }
}

fn agreed(by: &str, enough: bool) -> Voice {
    Voice::Agreed { by: by.to_owned(), remark: Some("fine".to_owned()), enough }
}

async fn a_question_is_answered_by_people_that_differ(place: Place) {
    let store = place.store().await;
    begin(&store, &new_run("r1")).await.unwrap();
    voice(&store, 1, asked(&store, "p1")).await;
    voice(&store, 2, agreed("bert", false)).await;
    voice(&store, 3, agreed("bert", false)).await;
    let waiting = store.approvals(None).await.unwrap();
    let people = |asked: &Approval| asked.agreed.iter().map(|one| one.person.clone()).collect::<Vec<_>>();
    assert_eq!((waiting.len(), people(&waiting[0])), (1, vec!["bert".to_owned()]));
    assert_eq!((waiting[0].people, waiting[0].not_by.as_deref()), (2, Some("anna")));
    // Asked again: what was said before stays with the question that it was said to.
    voice(&store, 4, asked(&store, "p2")).await;
    voice(&store, 5, agreed("carl", true)).await;
    assert!(store.approvals(None).await.unwrap().is_empty());
    let all = store.approvals(Some("r1")).await.unwrap();
    let told: Vec<_> =
        all.iter().map(|one| (one.patch.as_deref().unwrap(), one.decision, people(one))).collect();
    assert_eq!(
        told,
        [
            ("p1", Some(Decision::Expired), vec!["bert".to_owned()]),
            ("p2", Some(Decision::Approved), vec!["carl".to_owned()])
        ]
    );
    assert_eq!(all[1].decided_by.as_deref(), Some("carl"));
    // What is decided stays so.
    voice(&store, 6, Voice::Refused { by: "dora".to_owned(), reason: "late".to_owned() }).await;
    assert_eq!(store.approvals(Some("r1")).await.unwrap(), all);
}

async fn a_question_of_an_older_version_can_be_answered(place: Place) {
    let store = place.store().await;
    begin(&store, &new_run("r1")).await.unwrap();
    place
        .sql("INSERT INTO approvals (id, run, action, reason, status, requested_at) VALUES ('a', 'r1', 'land', 'x', 'waiting', '2026-01-01T00:00:00.000Z')")
        .await
        .unwrap();
    let old = &store.approvals(None).await.unwrap()[0];
    assert_eq!((old.people, &old.patch, old.expires_at), (1, &None, None));
    voice(&store, 1, agreed("anna", true)).await;
    assert_eq!(store.approvals(Some("r1")).await.unwrap()[0].decision, Some(Decision::Approved));
}

const FULL: &str = "CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'full'); END";
const FULL_SERVER: &str = "CREATE TRIGGER full_up BEFORE INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION regreen_events_stay()";

async fn a_run_begins_with_its_first_event_or_not_at_all(place: Place) {
    let store = place.store().await;
    store.create(&new_run("r1"), &NewEvent::new(store.now(), "started", json!(1))).await.unwrap();
    assert_eq!(store.events("r1", 0).await.unwrap().len(), 1);
    // The second write of the transaction fails: the row must not stay.
    place.sql(if store.is_alone() { FULL } else { FULL_SERVER }).await.unwrap();
    store.create(&new_run("r2"), &NewEvent::new(store.now(), "started", json!(1))).await.unwrap_err();
    assert!(store.run("r2").await.is_err());
}

async fn every_event_of_a_long_run_is_read(place: Place) {
    let store = place.store().await;
    begin(&store, &new_run("long")).await.unwrap();
    query(
        "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 10003) \
         INSERT INTO events (run, seq, at, kind, payload) SELECT 'long', CAST(i AS BIGINT), '2026-01-01T00:00:00.000Z', 'k', 'null' FROM n",
    )
    .execute(&store)
    .await
    .unwrap();
    let events = store.events("long", 1).await.unwrap();
    assert_eq!((events.len(), events[0].seq, events[10_001].seq), (10_002, 2, 10_003));
    assert!(store.events("long", 10_003).await.unwrap().is_empty());
}

/// A store with runs `r0`, `r1`, … that this process works on.
async fn working(place: &Place, count: usize) -> (Store, Vec<Lease>) {
    let store = place.store().await;
    let mut leases = Vec::new();
    for n in 0..count {
        begin(&store, &new_run(&format!("r{n}"))).await.unwrap();
        leases.push(store.acquire(&format!("r{n}")).await.unwrap().unwrap());
    }
    (store, leases)
}

fn booked(cost: u64) -> Projection {
    let spent = Spent { provider: "p".into(), model: "m".into(), cost: Money(cost) };
    Projection { spent: Some(spent), settles: true, ..Projection::default() }
}

async fn runs_side_by_side_do_not_pass_a_cap_together(place: Place) {
    let (_store, _leases) = working(&place, 10).await;
    let mut tasks = Vec::new();
    for n in 0..10 {
        // Each with connections of its own, as another process has them.
        let store = place.store().await;
        tasks.push(tokio::spawn(async move {
            store.reserve(&format!("r{n}"), Money(300), Money(1000), &json!({})).await.unwrap().is_ok()
        }));
    }
    let mut allowed = 0;
    for task in tasks {
        allowed += u32::from(task.await.unwrap());
    }
    assert_eq!(allowed, 3);
}

async fn what_is_set_aside_is_released_when_the_call_is_booked(place: Place) {
    let (store, _leases) = working(&place, 2).await;
    let call = json!({});
    let ask = |run: &'static str, most| store.reserve(run, Money(most), Money(1000), &call);
    assert_eq!(ask("r0", 600).await.unwrap(), Ok(()));
    let taken = Taken { spent: Money(0), reserved: Money(600) };
    assert_eq!(ask("r1", 600).await.unwrap(), Err(taken));
    // A run has one call at a time: its own earlier one does not count against it.
    assert_eq!(ask("r0", 1000).await.unwrap(), Ok(()));
    store
        .append(None, "r0", 1, &NewEvent::new(store.now(), "asked", json!({})).with(booked(100)))
        .await
        .unwrap();
    assert_eq!(ask("r1", 900).await.unwrap(), Ok(()));
    // What was spent counts for everyone.
    store
        .append(None, "r1", 1, &NewEvent::new(store.now(), "asked", json!({})).with(booked(900)))
        .await
        .unwrap();
    assert_eq!(ask("r0", 1).await.unwrap(), Err(Taken { spent: Money(1000), reserved: Money(0) }));
}

async fn what_is_set_aside_names_its_call_until_that_is_booked(place: Place) {
    let (store, leases) = working(&place, 2).await;
    let call = json!({"model": "m"});
    store.reserve("r1", Money(600), Money(1000), &call).await.unwrap().unwrap();
    // A process that dies takes nothing with it.
    drop(leases);
    assert!(store.reserve("r0", Money(600), Money(1000), &call).await.unwrap().is_err());
    assert_eq!(store.reserving().await.unwrap(), ["r1"]);
    assert_eq!(store.reserved("r1").await.unwrap(), Some(call));
    store
        .append(None, "r1", 1, &NewEvent::new(store.now(), "asked", json!({})).with(booked(600)))
        .await
        .unwrap();
    assert_eq!(store.reserved("r1").await.unwrap(), None);
    assert_eq!(store.reserving().await.unwrap(), [""; 0]);
}

on_both!(
    any_text_is_kept,
    a_run_is_the_projection_of_its_events,
    an_outdated_writer_is_refused_whole,
    many_writers_lose_nothing,
    the_database_itself_keeps_events_as_they_are,
    runs_are_in_the_order_in_which_they_were_made_whatever_the_clock_says,
    runs_are_found_by_either_end_of_their_id,
    a_run_has_one_process_at_a_time,
    a_question_is_answered_by_people_that_differ,
    a_question_of_an_older_version_can_be_answered,
    a_run_begins_with_its_first_event_or_not_at_all,
    every_event_of_a_long_run_is_read,
    runs_side_by_side_do_not_pass_a_cap_together,
    what_is_set_aside_is_released_when_the_call_is_booked,
    what_is_set_aside_names_its_call_until_that_is_booked,
);
