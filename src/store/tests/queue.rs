//! The queue: whose turn it is, and what becomes of runs whose workers come to nothing.

mod model;

use std::collections::BTreeSet;

use super::*;

fn submission(id: &str, repo: &str, priority: Priority) -> Submission {
    let run = NewRun { repo: repo.to_owned(), status: Status::Queued, ..new_run(id) };
    Submission { run, priority, key: None, delay: Duration::ZERO, proposes: None, heals: None }
}

async fn submit(store: &Store, id: &str, repo: &str, priority: Priority) {
    let submitted = store
        .submit(&submission(id, repo, priority), &NewEvent::new(store.now(), "submitted", json!({})))
        .await
        .unwrap();
    assert!(submitted.new);
}

/// Claims once, and gives the run's id.
async fn claim(store: &Store) -> Option<Claim> {
    store.tend().await.unwrap();
    store.claim("w").await.unwrap()
}

/// Claims and ends one run after the other, and gives their ids in that order.
async fn drain(store: &Store) -> Vec<String> {
    let mut order = Vec::new();
    while let Some(claim) = claim(store).await {
        order.push(claim.run.clone());
        store.over(claim).await.unwrap();
    }
    order
}

/// What the process leaves that had the run when it is killed: nothing is released but what the kernel releases.
fn kill(claim: Claim) {
    claim.lease.unlock();
    std::mem::forget(claim);
}

async fn the_urgent_go_first_and_nobody_waits_for_ever(place: Place) {
    let store = place.store().await;
    for (id, priority) in [
        ("low", Priority::Low),
        ("normal", Priority::Normal),
        ("high", Priority::High),
        ("urgent", Priority::Urgent),
    ] {
        submit(&store, id, "/repo", priority).await;
    }
    assert_eq!(drain(&store).await, ["urgent", "high", "normal", "low"]);

    submit(&store, "old", "/repo", Priority::Low).await;
    place.pass(Priority::Low.patience()).await;
    submit(&store, "young", "/repo", Priority::Urgent).await;
    assert_eq!(drain(&store).await, ["old", "young"]);
}

async fn nothing_is_claimed_that_is_halted(place: Place) {
    let store = place.store().await;
    for repo in ["/a", "/b"] {
        for n in 0..2 {
            submit(&store, &format!("{}{n}", &repo[1..]), repo, Priority::Normal).await;
        }
    }
    assert!(store.halt(Some("/a"), "anna", "release").await.unwrap());
    assert!(!store.halt(Some("/a"), "bert", "me too").await.unwrap(), "the first one counts");
    let other = claim(&store).await.unwrap();
    assert_eq!(other.run, "b0");
    assert!(store.must_not_be_halted("/b").await.is_ok());
    let error = store.must_not_be_halted("/a").await.unwrap_err();
    assert!(is_interruption(&error) && error.to_string().contains("anna"), "{error}");
    assert!(store.halted("w").await.unwrap().is_empty());

    store.halt(None, "dora", "everything").await.unwrap();
    assert_eq!(store.halted("w").await.unwrap(), ["b0"]);
    assert_eq!(store.halt_of("/b").await.unwrap().unwrap().person, "dora");
    // What comes meanwhile is kept, and so is what is given back; a new process finds it as it is.
    submit(&store, "c0", "/c", Priority::Urgent).await;
    store.give_back(other, &Back::Halted { reason: "dora halted it".into() }).await.unwrap();
    store.close().await;
    let store = place.store().await;
    assert!(claim(&store).await.is_none());
    let back = store.queued("b0").await.unwrap().unwrap();
    assert_eq!(
        (back.standing, back.deaths, back.reason.as_deref()),
        (Standing::Queued, 0, Some("dora halted it"))
    );
    let repos: Vec<_> = store.halts().await.unwrap().into_iter().map(|halt| halt.repo).collect();
    assert_eq!(repos, [None, Some("/a".to_owned())]);

    assert_eq!(store.unhalt(None).await.unwrap().unwrap().reason, "everything");
    assert!(store.unhalt(None).await.unwrap().is_none());
    assert_eq!(drain(&store).await, ["c0", "b0", "b1"], "/a is still halted");
    store.unhalt(Some("/a")).await.unwrap().unwrap();
    assert_eq!(drain(&store).await, ["a0", "a1"]);
}

async fn a_halt_is_heard_at_once(place: Place) {
    let (store, other) = (place.store().await, place.store().await);
    let (heard, halted) = tokio::join!(store.until_halted("/a"), async {
        other.halt(Some("/b"), "anna", "not this one").await.unwrap();
        other.halt(None, "bert", "all").await
    });
    assert!(halted.unwrap());
    assert_eq!(heard.unwrap().person, "bert");
    assert_eq!(store.until_halted("/b").await.unwrap().repo, None, "at once, where it is halted already");
}

async fn repos_take_turns(place: Place) {
    let store = place.store().await;
    for n in 0..4 {
        submit(&store, &format!("a{n}"), "/a", Priority::Normal).await;
    }
    submit(&store, "b0", "/b", Priority::Normal).await;
    submit(&store, "c0", "/c", Priority::Normal).await;
    submit(&store, "b1", "/b", Priority::Normal).await;
    assert_eq!(drain(&store).await, ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]);
}

async fn a_repo_has_so_many_runs_at_once_and_no_more(place: Place) {
    let store = place.store().await;
    for id in ["a0", "a1", "a2"] {
        submit(&store, id, "/a", Priority::Normal).await;
    }
    let first = claim(&store).await.unwrap();
    assert!(claim(&store).await.is_none());
    store.limit_repo("/a", 2).await.unwrap();
    let second = claim(&store).await.unwrap();
    assert!(claim(&store).await.is_none());
    assert_eq!(store.repos(None, None, 10).await.unwrap()[0].running, 2);
    store.pause("/a", "anna", "a release").await.unwrap();
    store.over(first).await.unwrap();
    store.over(second).await.unwrap();
    assert!(claim(&store).await.is_none());
    store.unpause("/a").await.unwrap();
    assert_eq!(drain(&store).await, ["a2"]);
    assert_eq!(store.depth().await.unwrap(), Depth::default());
}

async fn the_same_key_is_the_same_run(place: Place) {
    let store = place.store().await;
    let keyed =
        |id: &str, repo: &str| Submission { key: Some("k".into()), ..submission(id, repo, Priority::High) };
    let first =
        store.submit(&keyed("r1", "/a"), &NewEvent::new(store.now(), "submitted", json!({}))).await.unwrap();
    let again =
        store.submit(&keyed("r2", "/a"), &NewEvent::new(store.now(), "submitted", json!({}))).await.unwrap();
    assert_eq!((first.new, again.new, again.run.as_str()), (true, false, "r1"));
    assert!(store.run("r2").await.is_err());
    let error = store
        .submit(&keyed("r3", "/b"), &NewEvent::new(store.now(), "submitted", json!({})))
        .await
        .unwrap_err();
    assert!(fault(&error).message.contains("r1"), "{error:?}");
    assert_eq!(drain(&store).await, ["r1"]);
    let late =
        store.submit(&keyed("r4", "/a"), &NewEvent::new(store.now(), "submitted", json!({}))).await.unwrap();
    assert_eq!((late.new, late.run.as_str()), (false, "r1"));
    let row = store.run("r1").await.unwrap();
    assert_eq!((row.status, row.priority), (Status::Queued, Some(Priority::High)));
}

async fn at_once_the_same_key_is_one_run(place: Place) {
    let mut tasks = Vec::new();
    for n in 0..8 {
        let store = place.store().await;
        tasks.push(tokio::spawn(async move {
            let one =
                Submission { key: Some("k".into()), ..submission(&format!("r{n}"), "/a", Priority::High) };
            store.submit(&one, &NewEvent::new(store.now(), "submitted", json!({}))).await.unwrap()
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.unwrap());
    }
    assert_eq!(all.iter().filter(|one| one.new).count(), 1, "{all:?}");
    assert_eq!(all.iter().map(|one| &one.run).collect::<BTreeSet<_>>().len(), 1, "{all:?}");
}

async fn a_delayed_run_waits_for_its_time(place: Place) {
    let store = place.store().await;
    let hour = Duration::from_secs(3600);
    let late = Submission { delay: hour, ..submission("late", "/a", Priority::Urgent) };
    store.submit(&late, &NewEvent::new(store.now(), "submitted", json!({}))).await.unwrap();
    submit(&store, "now", "/a", Priority::Low).await;
    let quiet = store.quiet().await.unwrap().unwrap();
    assert!(quiet <= hour && quiet > hour / 2, "{quiet:?}");
    assert_eq!(drain(&store).await, ["now"]);
    place.pass(hour).await;
    assert_eq!(drain(&store).await, ["late"]);
    assert_eq!(store.quiet().await.unwrap(), None);
}

async fn the_run_of_a_dead_worker_is_rescued_once(place: Place) {
    let store = place.store().await;
    submit(&store, "r1", "/a", Priority::Normal).await;
    let dead = claim(&store).await.unwrap();
    // As long as it lives nobody else gets it.
    assert!(claim(&store).await.is_none());
    kill(dead);
    let [one, other] = [place.store().await, place.store().await];
    let (a, b) = tokio::join!(one.tend(), other.tend());
    a.unwrap();
    b.unwrap();
    let rescued = store.claim("w").await.unwrap().unwrap();
    assert_eq!((rescued.run.as_str(), rescued.deaths), ("r1", 1));
    store.give_back(rescued, &Back::HandedOver).await.unwrap();
    let handed = claim(&store).await.unwrap();
    assert_eq!(handed.deaths, 1);
    let reason = "it broke".to_owned();
    store.give_back(handed, &Back::Failed { wait: Duration::from_secs(60), reason }).await.unwrap();
    assert!(claim(&store).await.is_none());
    let row = store.queued("r1").await.unwrap().unwrap();
    assert_eq!((row.standing, row.deaths, row.reason.as_deref()), (Standing::Delayed, 2, Some("it broke")));
    assert!(store.unblock("r1").await.unwrap());
    assert_eq!(drain(&store).await, ["r1"]);
}

async fn a_blocked_run_waits_for_a_person(place: Place) {
    let store = place.store().await;
    submit(&store, "r1", "/a", Priority::Normal).await;
    let claimed = claim(&store).await.unwrap();
    store.give_back(claimed, &Back::Blocked { reason: "there is no /a".into() }).await.unwrap();
    place.pass(Duration::from_secs(1 << 20)).await;
    assert!(claim(&store).await.is_none());
    assert_eq!(store.depth().await.unwrap(), Depth { blocked: 1, ..Depth::default() });
    assert!(store.unblock("r1").await.unwrap() && !store.unblock("r1").await.unwrap());
    assert_eq!(drain(&store).await, ["r1"]);
}

async fn only_deaths_without_progress_between_them_count(place: Place) {
    let store = place.store().await;
    submit(&store, "r1", "/a", Priority::Normal).await;
    let advance = Projection { advances: true, ..Projection::default() };
    for (deaths, seq, follows) in [
        (0, 1, Projection::default()),
        (1, 2, Projection::default()),
        (2, 3, advance.clone()),
        // It came further before this worker died, so this is the first death again.
        (1, 4, Projection::default()),
        (2, 5, advance),
        (1, 6, Projection::default()),
    ] {
        let claimed = claim(&store).await.unwrap();
        assert_eq!(claimed.deaths, deaths, "before event {seq}");
        let event = NewEvent::new(store.now(), "e", json!(0)).with(follows);
        store.append(Some(claimed.lease.as_ref()), "r1", seq, &event).await.unwrap();
        kill(claimed);
    }
    // What says nothing about the run counts as nothing; what fails counts.
    let soon = Duration::from_secs(1);
    for (deaths, how) in [
        (2, Back::HandedOver),
        (2, Back::Later { wait: soon, reason: "the store was away".to_owned() }),
        (2, Back::Failed { wait: soon, reason: "it failed".to_owned() }),
    ] {
        let claimed = claim(&store).await.unwrap();
        assert_eq!(claimed.deaths, deaths, "{how:?}");
        store.give_back(claimed, &how).await.unwrap();
        place.pass(soon).await;
    }
    assert_eq!(claim(&store).await.unwrap().deaths, 3);
}

async fn who_cancels_a_waiting_run_has_it_and_a_worker_is_told(place: Place) {
    let store = place.store().await;
    submit(&store, "r1", "/a", Priority::Normal).await;
    submit(&store, "r2", "/b", Priority::Normal).await;
    let Cancelled::Claimed(mine) = store.cancel("r1", "me").await.unwrap() else { panic!("nobody had it") };
    let other = claim(&store).await.unwrap();
    assert_eq!(other.run, "r2");
    assert!(matches!(store.cancel("r2", "me").await.unwrap(), Cancelled::Told { worker } if worker == "w"));
    assert_eq!(store.cancelled("w").await.unwrap(), ["r2"]);
    assert!(matches!(store.cancel("r3", "me").await.unwrap(), Cancelled::Absent));
    // Whoever dies over a cancellation leaves it to the next one.
    kill(other);
    let next = claim(&store).await.unwrap();
    assert!(next.cancelled && next.run == "r2");
    store.over(next).await.unwrap();
    store.over(*mine).await.unwrap();
    assert!(drain(&store).await.is_empty());
}

async fn the_last_event_takes_a_run_out_of_the_queue(place: Place) {
    let store = place.store().await;
    submit(&store, "r1", "/a", Priority::Normal).await;
    submit(&store, "r2", "/a", Priority::Normal).await;
    let claimed = claim(&store).await.unwrap();
    let status = |status| {
        let run = RunPatch { status: Some(status), ..RunPatch::default() };
        Projection { run, ..Projection::default() }
    };
    let lease = Some(claimed.lease.as_ref());
    store
        .append(
            lease,
            "r1",
            1,
            &NewEvent::new(store.now(), "started", json!(0)).with(status(Status::Running)),
        )
        .await
        .unwrap();
    assert!(store.queued("r1").await.unwrap().is_some() && store.unfinished().await.unwrap().is_empty());
    store
        .append(
            lease,
            "r1",
            2,
            &NewEvent::new(store.now(), "finished", json!(0)).with(status(Status::Waiting)),
        )
        .await
        .unwrap();
    assert!(store.queued("r1").await.unwrap().is_none());
    let next = claim(&store).await.unwrap();
    assert_eq!(next.run, "r2");
    // Approved, it comes back, and who had it before does not take it out any more.
    let approved = Projection { comes_back: Some("r1".to_owned()), ..Projection::default() };
    for seq in [3, 4] {
        let event = NewEvent::new(store.now(), "approved", json!(0)).with(approved.clone());
        store.append(None, "r1", seq, &event).await.unwrap();
    }
    assert_eq!(store.queued("r1").await.unwrap().unwrap().priority, Priority::Normal);
    assert!(claim(&store).await.is_none(), "the other run of its repo is under way");
    store.over(claimed).await.unwrap();
    store.over(next).await.unwrap();
    assert_eq!(drain(&store).await, ["r1"]);
}

async fn many_workers_get_every_run_once(place: Place) {
    let store = place.store().await;
    for n in 0..60 {
        submit(&store, &format!("r{n}"), &format!("/repo{}", n % 7), Priority::ALL[n % 4]).await;
    }
    let mut tasks = Vec::new();
    for worker in 0..6 {
        let store = place.store().await;
        tasks.push(tokio::spawn(async move {
            let mut mine = Vec::new();
            // Somebody else may have the last one of a repo: only an empty queue is the end.
            while store.depth().await.unwrap() != Depth::default() {
                if let Some(claim) = store.claim(&format!("w{worker}")).await.unwrap() {
                    mine.push(claim.run.clone());
                    let repo = store
                        .repos(None, None, 10)
                        .await
                        .unwrap()
                        .into_iter()
                        .find(|repo| repo.repo == claim.repo);
                    assert_eq!(repo.map(|repo| repo.running), Some(1));
                    store.over(claim).await.unwrap();
                }
            }
            mine
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    assert_eq!(all.len(), 60);
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), 60);
}

async fn who_waits_is_woken(place: Place) {
    let store = place.store().await;
    let mut wake = place.store().await.wake().await.unwrap();
    let waiting = tokio::spawn(async move { wake.changed().await });
    submit(&store, "r1", "/a", Priority::Normal).await;
    waiting.await.unwrap();
}

async fn who_follows_events_is_woken_by_them(place: Place) {
    let store = place.store().await;
    let mut wake = place.store().await.wake_on_events().await.unwrap();
    let waiting = tokio::spawn(async move { wake.changed().await });
    // Not through the queue, which has a bell of its own.
    super::begin(&store, &super::new_run("r1")).await.unwrap();
    waiting.await.unwrap();
}

/// A worker whose clock is a day off neither loses its runs nor takes those of others.
#[tokio::test]
async fn clocks_that_differ_change_nothing() {
    let place = Place::postgres();
    let day = jiff::SignedDuration::from_hours(24);
    let now = Timestamp::from_second(1_790_000_000).unwrap();
    let mut stores = Vec::new();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for (folder, moment) in folders.iter().zip([now - day, now + day]) {
        stores.push(place.store_at(folder.path(), Arc::new(StepClock(Mutex::new(moment)))).await);
    }
    let [slow, fast] = [&stores[0], &stores[1]];
    submit(fast, "first", "/a", Priority::Normal).await;
    submit(slow, "second", "/a", Priority::Normal).await;
    let late = Submission { delay: Duration::from_secs(60), ..submission("late", "/b", Priority::Urgent) };
    slow.submit(&late, &NewEvent::new(slow.now(), "submitted", json!({}))).await.unwrap();
    let held = claim(slow).await.unwrap();
    assert_eq!(held.run, "first");
    assert!(claim(fast).await.is_none(), "neither the delay nor the lease is over");
    slow.over(held).await.unwrap();
    assert_eq!(claim(fast).await.unwrap().run, "second");
    place.pass(Duration::from_secs(61)).await;
    // The worker of the second is dead by now, by everybody's reckoning but its own.
    let mut order = drain(slow).await;
    order.sort();
    assert_eq!(order, ["late", "second"]);
}

on_both!(
    the_urgent_go_first_and_nobody_waits_for_ever,
    who_follows_events_is_woken_by_them,
    repos_take_turns,
    nothing_is_claimed_that_is_halted,
    a_halt_is_heard_at_once,
    a_repo_has_so_many_runs_at_once_and_no_more,
    the_same_key_is_the_same_run,
    at_once_the_same_key_is_one_run,
    a_delayed_run_waits_for_its_time,
    the_run_of_a_dead_worker_is_rescued_once,
    a_blocked_run_waits_for_a_person,
    only_deaths_without_progress_between_them_count,
    who_cancels_a_waiting_run_has_it_and_a_worker_is_told,
    the_last_event_takes_a_run_out_of_the_queue,
    many_workers_get_every_run_once,
    who_waits_is_woken,
);
