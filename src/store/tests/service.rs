//! What the service keeps: tokens, sessions, the audit log, answers, lists, sums and the feed.

use std::collections::BTreeSet;

use super::*;

fn token(id: &str, name: &str) -> TokenRow {
    TokenRow {
        id: id.to_owned(),
        name: name.to_owned(),
        scopes: "read".to_owned(),
        hash: "h".to_owned(),
        created_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        expires_at: None,
        revoked_at: None,
        used_at: None,
    }
}

async fn tokens_end_with_their_sessions(place: Place) {
    let store = place.store().await;
    let later: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
    store.add_token(&token("1", "anna")).await.unwrap();
    let error = store.add_token(&token("2", "anna")).await.unwrap_err();
    assert!(fault(&error).message.contains("already"), "{error:?}");
    store.add_token(&TokenRow { expires_at: Some(later), ..token("3", "ci") }).await.unwrap();
    store.begin_session("s1", "1", later).await.unwrap();
    store.begin_session("s2", "3", later).await.unwrap();
    store.begin_session("over", "3", "2026-01-01T00:00:00Z".parse().unwrap()).await.unwrap();
    assert_eq!(store.session_token("s1").await.unwrap().unwrap().name, "anna");
    assert_eq!(store.session_token("over").await.unwrap(), None);
    let used = store.token("1").await.unwrap().unwrap();
    store.token_used(&used).await.unwrap();
    assert!(store.token("1").await.unwrap().unwrap().used_at.is_some());
    assert_eq!(store.revoke_token("anna").await.unwrap().unwrap().id, "1");
    assert_eq!(store.revoke_token("anna").await.unwrap(), None);
    let revoked = store.token("1").await.unwrap().unwrap();
    assert!(!revoked.is_valid(store.now()));
    assert_eq!(store.session_token("s1").await.unwrap(), None);
    assert!(store.session_token("s2").await.unwrap().unwrap().is_valid(store.now()));
    store.end_session("s2").await.unwrap();
    assert_eq!(store.session_token("s2").await.unwrap(), None);
    // The name is free again.
    store.add_token(&token("4", "anna")).await.unwrap();
    assert_eq!(store.tokens().await.unwrap().len(), 3);
}

async fn a_change_is_written_down_before_and_after(place: Place) {
    let store = place.store().await;
    let asked = Asked { actor: "anna", token: Some("1"), action: "POST /x", target: "/x", remote: None };
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(store.audit_begin(&asked).await.unwrap());
    }
    store.audit_end(&ids[0], 202, Some("done")).await.unwrap();
    let page = store.audit(None, 2).await.unwrap();
    assert_eq!(page.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), [&ids[2], &ids[1]]);
    assert_eq!((page[0].status, page[0].actor.as_str()), (None, "anna"));
    let rest = store.audit(Some(&page[1].id), 2).await.unwrap();
    assert_eq!((rest.len(), rest[0].status, rest[0].detail.as_deref()), (1, Some(202), Some("done")));
}

async fn a_key_stands_for_one_call(place: Place) {
    let store = place.store().await;
    assert_eq!(store.claim_key("t", "k", "a").await.unwrap(), Known::New);
    assert_eq!(store.claim_key("t", "k", "a").await.unwrap(), Known::UnderWay);
    assert_eq!(store.claim_key("t", "k", "b").await.unwrap(), Known::Other);
    assert_eq!(store.claim_key("u", "k", "b").await.unwrap(), Known::New);
    store.settle_key("t", "k", Some((201, "{}"))).await.unwrap();
    assert_eq!(store.claim_key("t", "k", "a").await.unwrap(), Known::Answered(201, "{}".to_owned()));
    store.settle_key("u", "k", None).await.unwrap();
    assert_eq!(store.claim_key("u", "k", "c").await.unwrap(), Known::New);
    // Whoever claimed it last died; and no answer is kept for ever.
    *place.clock.0.lock().unwrap() += Duration::from_secs(11 * 60);
    assert_eq!(store.claim_key("u", "k", "d").await.unwrap(), Known::New);
    *place.clock.0.lock().unwrap() += Duration::from_secs(25 * 3600);
    assert_eq!(store.claim_key("t", "k", "other").await.unwrap(), Known::New);
}

async fn lists_are_cut_where_they_were_left(place: Place) {
    let store = place.store().await;
    for number in 0..7 {
        let run = NewRun { goal: format!("make Test_{number}%"), ..new_run(&format!("r{number}")) };
        begin(&store, &run).await.unwrap();
    }
    let all = Listing::default();
    let first = store.list(&all, None, 3).await.unwrap();
    begin(&store, &new_run("new")).await.unwrap();
    let last = first.last().unwrap();
    let mark = Mark { created_at: last.created_at, id: last.id.clone() };
    let rest = store.list(&all, Some(&mark), 10).await.unwrap();
    let ids: Vec<&str> = first.iter().chain(&rest).map(|run| run.id.as_str()).collect();
    assert_eq!(ids, ["r6", "r5", "r4", "r3", "r2", "r1", "r0"]);
    for (text, found) in
        [("TEST_3", 1), ("t_3%", 1), ("_", 7), ("%", 7), ("\\", 0), ("Test3", 0), ("/REPO", 8)]
    {
        let listing = Listing { text: Some(text.to_owned()), ..Listing::default() };
        assert_eq!(store.list(&listing, None, 50).await.unwrap().len(), found, "{text}");
    }
    for (listing, found) in [
        (Listing { status: Some("running".into()), trigger: Some("heal".into()), ..all.clone() }, 8),
        (Listing { status: Some("finished".into()), ..all.clone() }, 0),
        (Listing { priority: Some("low".into()), ..all.clone() }, 0),
        (Listing { since: Some(last.created_at), ..all.clone() }, 4),
        (Listing { until: Some(last.created_at), ..all.clone() }, 4),
        (Listing { wanting: true, ..all.clone() }, 0),
    ] {
        assert_eq!(store.list(&listing, None, 50).await.unwrap().len(), found, "{listing:?}");
    }
    assert_eq!(store.standings().await.unwrap(), [("running".to_owned(), 8)]);
    assert!(store.knows_repo("/repo").await.unwrap() && !store.knows_repo("/rep").await.unwrap());
}

async fn a_repo_is_known_once_it_is_added_or_has_a_run(place: Place) {
    let store = place.store().await;
    begin(&store, &new_run("r1")).await.unwrap();
    begin(&store, &NewRun { trigger: "subtask".into(), ..new_run("r2") }).await.unwrap();
    assert!(store.add_repo("/srv/100%_b", "anna").await.unwrap());
    assert!(!store.add_repo("/srv/100%_b", "bert").await.unwrap());
    assert!(store.add_repo("/repo", "bert").await.unwrap());
    let roots = async |after: Option<&str>, text: Option<&str>, limit: u32| -> Vec<String> {
        store.repos(after, text, limit).await.unwrap().into_iter().map(|row| row.repo).collect()
    };
    assert_eq!(roots(None, None, 9).await, ["/repo", "/srv/100%_b"]);
    assert_eq!(roots(Some("/repo"), None, 9).await, ["/srv/100%_b"]);
    assert_eq!(roots(None, None, 1).await, ["/repo"]);
    assert_eq!(roots(None, Some("%_B"), 9).await, ["/srv/100%_b"]);
    let row = store.repo("/srv/100%_b").await.unwrap().unwrap();
    assert_eq!((row.added_by.as_deref(), row.concurrency, row.paused), (Some("anna"), 1, None));
    let runs: Vec<String> = store.runs_of("/repo", 9).await.unwrap().into_iter().map(|run| run.id).collect();
    assert_eq!(runs, ["r1"]);
    assert_eq!(store.repo("/rep").await.unwrap(), None);

    store.pause("/repo", "anna", "a \u{202e}release").await.unwrap();
    let paused = store.repo("/repo").await.unwrap().unwrap().paused.unwrap();
    assert_eq!((paused.by.as_deref(), paused.reason.as_deref()), (Some("anna"), Some("a \u{202e}release")));
    assert!(paused.since.is_some());
    store.unpause("/repo").await.unwrap();
    assert_eq!(store.repo("/repo").await.unwrap().unwrap().paused, None);

    let paid = Projection {
        spent: Some(Spent { provider: "p".into(), model: "m".into(), cost: Money(1500) }),
        ..Projection::default()
    };
    let asked = NewEvent::new(store.now(), "asked", json!(1)).with(paid);
    store.append(None, "r1", 1, &asked).await.unwrap();
    let since = "2026-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(store.cost_of_repo("/repo", since).await.unwrap(), Money(1500));
    assert_eq!(store.cost_of_repo("/srv/100%_b", since).await.unwrap(), Money(0));
}

async fn sums_follow_from_the_tables(place: Place) {
    let store = place.store().await;
    let spent = Spent { provider: "p".into(), model: "m".into(), cost: Money(1500) };
    for (id, outcome) in [("r1", "healed"), ("r2", "red")] {
        begin(&store, &new_run(id)).await.unwrap();
        let paid = Projection { spent: Some(spent.clone()), ..Projection::default() };
        store
            .append(None, id, 1, &NewEvent::new(store.now(), "asked", json!(1)).with(paid.clone()))
            .await
            .unwrap();
        let number = if outcome == "healed" { 2 } else { 1 };
        let tried = Projection { attempt: Some(attempt(number)), ..Projection::default() };
        store
            .append(None, id, 2, &NewEvent::new(store.now(), "decided", json!(null)).with(tried.clone()))
            .await
            .unwrap();
        store.append(None, id, 3, &NewEvent::new(store.now(), "proven", json!(null))).await.unwrap();
        let end =
            RunPatch { status: Some(Status::Finished), outcome: Some(outcome.into()), ..RunPatch::default() };
        let end = Projection { run: end, ..Projection::default() };
        store
            .append(None, id, 4, &NewEvent::new(store.now(), "finished", json!({})).with(end.clone()))
            .await
            .unwrap();
    }
    begin(&store, &NewRun { trigger: "subtask".into(), ..new_run("r3") }).await.unwrap();
    let since = "2026-01-01T00:00:00Z".parse().unwrap();
    let day = |outcome: &str| DayOutcome { day: "2026-01-01".into(), outcome: Some(outcome.into()), runs: 1 };
    assert_eq!(store.outcomes(since).await.unwrap(), [day("healed"), day("red")]);
    let fixer = store.fixer_sums(since).await.unwrap();
    assert_eq!((fixer.len(), fixer[0].attempts, fixer[0].succeeded, fixer[0].cost), (1, 2, 1, Money(3000)));
    let category = CategorySum { category: "type".into(), runs: 2, repaired: 1 };
    assert_eq!(store.category_sums(since).await.unwrap(), [category]);
    let cost = |name: &str| CostSum { name: name.into(), cost: Money(3000) };
    assert_eq!(store.cost_by_day(since).await.unwrap(), [cost("2026-01-01")]);
    assert_eq!(store.cost_by_repo(since).await.unwrap(), [cost("/repo")]);
    assert_eq!(store.cost_by_model(since).await.unwrap(), [cost("m")]);
    let times = store.times_to_green(since).await.unwrap();
    assert!(times.len() == 1 && times[0] > Duration::ZERO, "{times:?}");
    let later = "2030-01-01T00:00:00Z".parse().unwrap();
    assert!(
        store.outcomes(later).await.unwrap().is_empty() && store.cost_by_day(later).await.unwrap().is_empty()
    );
}

/// Who follows the feed while many write to it sees every event once, those of a run in their order.
async fn the_feed_gives_every_event_once_while_many_write(place: Place) {
    const RUNS: usize = 4;
    const EVENTS: u64 = 15;
    let reader = place.store().await;
    let write = |store: Store, id: String| async move {
        begin(&store, &new_run(&id)).await.unwrap();
        for seq in 1..EVENTS {
            store.append(None, &id, seq, &NewEvent::new(store.now(), "e", json!(0))).await.unwrap();
        }
    };
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..RUNS {
        writers.spawn(write(place.store().await, format!("r{number}")));
    }
    let mut seen: Vec<Fed> = Vec::new();
    while seen.len() < RUNS * EVENTS as usize {
        let after = seen.last().map_or(0, |fed| fed.position);
        seen.extend(reader.feed(after, 3).await.unwrap());
        tokio::task::yield_now().await;
    }
    writers.join_all().await;
    assert!(seen.is_sorted_by(|one, next| one.position < next.position));
    let all: BTreeSet<(String, u64)> = seen.iter().map(|fed| (fed.run.clone(), fed.seq)).collect();
    assert_eq!(all.len(), RUNS * EVENTS as usize);
    for number in 0..RUNS {
        let own: Vec<u64> =
            seen.iter().filter(|fed| fed.run == format!("r{number}")).map(|fed| fed.seq).collect();
        assert_eq!(own, (1..=EVENTS).collect::<Vec<_>>());
    }
    let end = reader.feed_end().await.unwrap();
    assert_eq!(end, seen.last().unwrap().position);
    assert!(reader.feed(end, 10).await.unwrap().is_empty());
}

on_both! {
    tokens_end_with_their_sessions,
    a_change_is_written_down_before_and_after,
    a_key_stands_for_one_call,
    lists_are_cut_where_they_were_left,
    a_repo_is_known_once_it_is_added_or_has_a_run,
    sums_follow_from_the_tables,
    the_feed_gives_every_event_once_while_many_write,
}
