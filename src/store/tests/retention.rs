//! What may be removed of runs, and that tables change under those who work with them.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

async fn finished(store: &Store, id: &str) {
    begin(store, &new_run(id)).await.unwrap();
    let asked = json!({"call": {"request": {"system": "rules", "turns": [1]}}});
    let spent = Spent { provider: "p".into(), model: "m".into(), cost: Money(1500) };
    let paid = Projection { spent: Some(spent), ..Projection::default() };
    let event = |kind, payload, follows| NewEvent { at: store.now(), kind, payload, follows };
    store.append(None, id, 1, &event("asked", asked, paid)).await.unwrap();
    store.append(None, id, 2, &event("proven", json!({}), Projection::default())).await.unwrap();
    let run = RunPatch {
        status: Some(Status::Finished),
        outcome: Some("healed".into()),
        exit: Some(0),
        ..RunPatch::default()
    };
    let end = Projection { run, ..Projection::default() };
    store.append(None, id, 3, &event("finished", json!({}), end)).await.unwrap();
}

async fn events_go_whole_and_figures_stay(place: Place) {
    let store = place.store().await;
    for id in ["r1", "r2"] {
        finished(&store, id).await;
    }
    let since = "2026-01-01T00:00:00Z".parse().unwrap();
    let figures = async || {
        (
            store.outcomes(since).await.unwrap(),
            store.cost_by_model(since).await.unwrap(),
            store.times_to_green(since).await.unwrap(),
        )
    };
    let before = figures().await;
    let now = store.now();
    let emptied = store.empty_prompts("r1", now, |payload| payload["call"] = json!("gone")).await.unwrap();
    assert!(emptied);
    assert_eq!(store.events("r1", 1).await.unwrap()[0].payload, json!({"call": "gone"}));
    assert!(store.remove_events("r1", now).await.unwrap());
    assert!(!store.remove_events("r1", now).await.unwrap());
    assert!(!store.remove_events("r2", since).await.unwrap(), "it is younger than that");
    assert!(store.events("r1", 0).await.unwrap().is_empty());
    assert_eq!(store.events("r2", 0).await.unwrap().len(), 4);
    assert_eq!(figures().await, before);
    assert!(store.remains("r1").await.unwrap().unwrap().is_removed);
    assert_eq!(store.old(Part::Events, now, None, 10).await.unwrap().len(), 1);
    assert_eq!(store.shorten_feed(now).await.unwrap(), 7);
    assert_eq!(store.feed_end().await.unwrap(), 8);
    // The database itself still keeps the events of all others as they are.
    for text in ["DELETE FROM events", "UPDATE events SET kind = 'x'"] {
        let error = format!("{:?}", place.sql(text).await.unwrap_err());
        assert!(error.contains("append-only"), "{error}");
    }
}

/// Whoever has the store open goes on while a newer Regreen adds to its tables, and stops once it says that more has to be known.
async fn a_newer_regreen_changes_tables_beside_older_ones(place: Place) {
    let store = place.store().await;
    finished(&store, "r1").await;
    begin(&store, &new_run("r2")).await.unwrap();
    let look = async || -> Result<()> {
        store.run("r1").await?;
        store.runs(&RunFilter::default(), 10).await?;
        store.list(&Listing::default(), None, 10).await?;
        store.queue(10).await?;
        store.attempts("r1").await?;
        store.approvals(None).await?;
        store.tokens().await?;
        store.tend().await
    };
    // What was prepared before is asked again after.
    for _ in 0..3 {
        look().await.unwrap();
    }
    let (done, writer) = (Arc::new(AtomicBool::new(false)), store.clone());
    let told = done.clone();
    let writing = tokio::spawn(async move {
        let mut seq = 1;
        while !told.load(Ordering::Relaxed) || seq < 20 {
            writer.append(None, "r2", seq, &NewEvent::new(writer.now(), "x", json!({}))).await.unwrap();
            seq += 1;
        }
        seq
    });
    for text in [
        "ALTER TABLE runs ADD COLUMN later TEXT",
        "ALTER TABLE queue ADD COLUMN later TEXT",
        "ALTER TABLE tokens ADD COLUMN later TEXT",
        "ALTER TABLE fix_attempts ADD COLUMN later TEXT",
        "ALTER TABLE approvals ADD COLUMN later TEXT",
    ] {
        place.sql(text).await.unwrap();
    }
    place.sql(match place.server {
        Some(_) => "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (999, 'later', TRUE, '\\x00', 1)",
        None => "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (999, 'later', TRUE, x'00', 1)",
    })
    .await
    .unwrap();
    for _ in 0..3 {
        look().await.unwrap();
    }
    // An older one may even be started anew.
    place.store().await.close().await;
    done.store(true, Ordering::Relaxed);
    let seq = writing.await.unwrap();
    assert_eq!(store.events("r2", 0).await.unwrap().len() as u64, seq);

    place.sql("UPDATE compatibility SET needs = 999").await.unwrap();
    let error = store.tend().await.unwrap_err();
    assert!(error.is::<TooOld>() && fault(&error).message.contains("newer Regreen"), "{error:?}");
    let again = match &place.server {
        Some(url) => Store::connect(url, place.dir.path()).await,
        None => Store::open(&place.path()).await,
    };
    assert!(again.unwrap_err().is::<TooOld>());
}

/// A statement finds what it found before right after a column was added, on the very connection that has the older tables in mind.
async fn a_column_that_was_added_hides_no_row(place: Place) {
    let store = place.store().await;
    finished(&store, "r1").await;
    store.halt(None, "somebody", "x").await.unwrap();
    assert_eq!(store.run("r1").await.unwrap().id, "r1");
    for text in ["ALTER TABLE runs ADD COLUMN later TEXT", "ALTER TABLE halts ADD COLUMN later TEXT"] {
        place.sql(text).await.unwrap();
    }
    assert_eq!(store.run("r1").await.unwrap().id, "r1");
    assert!(store.unhalt(None).await.unwrap().is_some());
}

/// The tables of a release before are brought up to date by one of many that start at once, while an older process writes.
async fn tables_are_brought_up_to_date_under_load(place: Place) {
    let url = place.server.as_ref();
    database::migrate_to(url, &place.path(), 6).await.unwrap();
    place
        .sql(
            "INSERT INTO runs (id, repo, trigger, goal, status, created_at, updated_at) \
             VALUES ('r1', '/repo', 'heal', 'make', 'running', '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z'); \
             INSERT INTO events (run, seq, at, kind, payload) VALUES ('r1', 1, '2026-01-01T00:00:00.000Z', 'started', '{}'); \
             INSERT INTO spending (run, seq, at, provider, model, cost_micro_usd) \
             VALUES ('r1', 1, '2026-01-01T00:00:00.000Z', 'p', 'm', 7)",
        )
        .await
        .unwrap();
    // Statements of the release before, on connections of their own.
    let older = async {
        for _ in 0..30 {
            place
                .sql(
                    "UPDATE runs SET updated_at = updated_at WHERE id = 'r1'; \
                     INSERT INTO events (run, seq, at, kind, payload) SELECT 'r1', MAX(seq) + 1, \
                     '2026-01-01T00:00:01.000Z', 'x', '{}' FROM events; \
                     INSERT INTO spending (run, seq, at, provider, model, cost_micro_usd) SELECT 'r1', MAX(seq), \
                     '2026-01-01T00:00:01.000Z', 'p', 'm', 1 FROM events",
                )
                .await
                .unwrap();
        }
    };
    let newer = async { futures_util::future::join_all((0..5).map(|_| place.store())).await };
    let ((), stores) = tokio::join!(older, newer);
    let store = &stores[0];
    let since = "2025-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(store.cost_by_model(since).await.unwrap()[0].cost, Money(37));
    assert_eq!(store.events("r1", 0).await.unwrap().len(), 31);
    assert_eq!(store.feed_end().await.unwrap(), 31);
}

on_both!(
    events_go_whole_and_figures_stay,
    a_newer_regreen_changes_tables_beside_older_ones,
    a_column_that_was_added_hides_no_row,
    tables_are_brought_up_to_date_under_load,
);
