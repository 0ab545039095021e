//! What forges deliver stands in the inbox once, and is taken up until it is settled.

use std::collections::BTreeSet;

use super::*;

fn delivery<'a>(id: &'a str, payload: &'a serde_json::Value) -> NewDelivery<'a> {
    NewDelivery { source: "github", id, label: "a label", event: "issue_comment", payload }
}

async fn a_delivery_stands_there_once(place: Place) {
    let store = place.store().await;
    let (first, again) = (json!({"n": 1}), json!({"n": 2}));
    assert!(store.deliver(&delivery("a", &first)).await.unwrap());
    assert!(!store.deliver(&delivery("a", &again)).await.unwrap());
    assert!(store.deliver(&NewDelivery { source: "gitlab", ..delivery("a", &again) }).await.unwrap());
    assert!(store.pass_over(&delivery("b", &first), "of no concern").await.unwrap());
    assert!(!store.pass_over(&delivery("a", &first), "of no concern").await.unwrap());
    let hold = Duration::from_secs(60);
    let taken = store.next_delivery("github", hold).await.unwrap().unwrap();
    assert_eq!((taken.id.as_str(), &taken.payload, taken.tries), ("a", &first, 1));
    // Nobody else gets it meanwhile; once its time is over somebody does.
    assert_eq!(store.next_delivery("github", hold).await.unwrap(), None);
    place.pass(Duration::from_secs(61)).await;
    let store = place.store().await;
    let taken = store.next_delivery("github", hold).await.unwrap().unwrap();
    assert_eq!(taken.tries, 2);
    store.put_off_delivery(&taken, Duration::from_secs(30), "not now", 0).await.unwrap();
    assert_eq!(store.next_delivery("github", hold).await.unwrap(), None);
    place.pass(Duration::from_secs(31)).await;
    let store = place.store().await;
    let taken = store.next_delivery("github", hold).await.unwrap().unwrap();
    assert_eq!((taken.tries, taken.detail.as_deref()), (1, Some("not now")));
    store.settle_delivery(&taken, &Settled::Failed("gone".to_owned())).await.unwrap();
    // One that failed is taken up when it is sent again; one that is done never is.
    assert!(store.deliver(&delivery("a", &again)).await.unwrap());
    let taken = store.next_delivery("github", hold).await.unwrap().unwrap();
    assert_eq!((&taken.payload, taken.tries), (&again, 1));
    store.settle_delivery(&taken, &Settled::Done("a run".to_owned())).await.unwrap();
    assert!(!store.deliver(&delivery("a", &again)).await.unwrap());
    let all = store.deliveries(10).await.unwrap();
    let kept = all.iter().find(|one| one.source == "github" && one.id == "a").unwrap();
    assert_eq!((kept.state.as_str(), &kept.payload), ("done", &serde_json::Value::Null));
}

async fn what_is_settled_is_forgotten_in_time(place: Place) {
    let store = place.store().await;
    let payload = json!({});
    store.deliver(&delivery("waits", &payload)).await.unwrap();
    store.pass_over(&delivery("old", &payload), "no").await.unwrap();
    place.pass(Duration::from_secs(3600)).await;
    let store = place.store().await;
    store.pass_over(&delivery("young", &payload), "no").await.unwrap();
    let before = store.now().checked_sub(jiff::SignedDuration::from_mins(30)).unwrap();
    assert_eq!(store.forget_deliveries(before).await.unwrap(), 1);
    let left: BTreeSet<String> = store.deliveries(10).await.unwrap().into_iter().map(|one| one.id).collect();
    assert_eq!(left, BTreeSet::from(["waits".to_owned(), "young".to_owned()]));
}

async fn runs_are_found_by_the_beginning_of_their_key(place: Place) {
    let store = place.store().await;
    for (id, key) in
        [("r1", "github:o/r#1/issue"), ("r2", "github:o/r#1/issue/7"), ("r3", "github:o/r#12/issue")]
    {
        let run = NewRun {
            id: id.to_owned(),
            repo: "/r".to_owned(),
            trigger: "heal".to_owned(),
            goal: "g".to_owned(),
            status: Status::Queued,
            base: None,
        };
        let submission = Submission {
            run,
            priority: Priority::default(),
            key: Some(key.to_owned()),
            delay: Duration::ZERO,
            proposes: None,
            heals: None,
        };
        let first = NewEvent::new(store.now(), "submitted", json!({}));
        store.submit(&submission, &first).await.unwrap();
    }
    let of = async |start: &str| {
        let rows = store.runs_of_key(start, 10).await.unwrap();
        rows.into_iter().map(|row| row.id).collect::<BTreeSet<_>>()
    };
    assert_eq!(of("github:o/r#1/").await, BTreeSet::from(["r1".to_owned(), "r2".to_owned()]));
    assert_eq!(of("github:o/r#12/").await, BTreeSet::from(["r3".to_owned()]));
    assert!(of("github:o/_#1/").await.is_empty());
    assert_eq!(store.run_of_key("github:o/r#1/issue").await.unwrap().unwrap().id, "r1");
    assert_eq!(store.run_of_key("github:o/r#1/").await.unwrap(), None);
}

on_both! {
    a_delivery_stands_there_once,
    what_is_settled_is_forgotten_in_time,
    runs_are_found_by_the_beginning_of_their_key,
}
