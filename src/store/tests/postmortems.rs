//! Post-mortems: written with the end of a run, found by their words, dropped where the run goes green after all.

use super::*;
use crate::store::{Learnt, PostMortemFilter, PostMortemRow};

fn row(cause: &str) -> PostMortemRow {
    PostMortemRow {
        run: String::new(),
        repo: "/repo".into(),
        at: Timestamp::UNIX_EPOCH,
        goal: "cargo test".into(),
        rule: "ladder-exhausted".into(),
        cause: cause.into(),
        category: Some("borrow".into()),
        fingerprint: None,
        lessons: vec!["say so".into(), "or so".into()],
        body: json!({"left": ["Ünlikely"]}),
    }
}

async fn ends(store: &Store, run: &str, learnt: Learnt) {
    let last = store.events(run, 0).await.unwrap().last().map_or(0, |event| event.seq);
    let follows = Projection { learnt: Some(learnt), ..Projection::default() };
    let event = NewEvent::new(store.now(), "finished", json!({})).with(follows);
    store.append(None, run, last, &event).await.unwrap();
}

async fn post_mortems_are_found_by_their_words(place: Place) {
    let store = place.store().await;
    for (run, cause) in [("r1", "cannot borrow 100% of `x_y`"), ("r2", "Cannot MOVE out of x")] {
        begin(&store, &new_run(run)).await.unwrap();
        ends(&store, run, Learnt::Write(Box::new(row(cause)))).await;
    }
    let found = async |repo: Option<&str>, text: &str| -> Vec<String> {
        let filter = PostMortemFilter { repo: repo.map(str::to_owned), text: Some(text.to_owned()) };
        let rows = store.postmortems(&filter, None, 10).await.unwrap();
        rows.into_iter().map(|row| row.run).collect()
    };
    assert_eq!(found(None, "").await.len(), 2);
    assert_eq!(found(None, "cannot OUT").await, ["r2"]);
    assert_eq!(found(None, "100%").await, ["r1"]);
    assert_eq!(found(None, "x_y").await, ["r1"], "signs of patterns mean themselves");
    assert_eq!(found(None, "ünlikely r1").await, ["r1"]);
    assert_eq!(found(None, "borrow zz").await.len(), 0);
    assert_eq!(found(None, "c a r g o t zz").await.len(), 2, "six words count");
    assert_eq!(found(Some("/other"), "").await.len(), 0);
    let all = store.postmortems(&PostMortemFilter::default(), None, 10).await.unwrap();
    assert_eq!(all[0].lessons, ["say so", "or so"]);
    let after = Mark { created_at: all[0].at, id: all[0].run.clone() };
    let rest = store.postmortems(&PostMortemFilter::default(), Some(&after), 10).await.unwrap();
    assert_eq!(rest, all[1..]);

    ends(&store, "r1", Learnt::Write(Box::new(row("something else")))).await;
    assert_eq!(store.postmortem("r1").await.unwrap().cause, "something else");
    ends(&store, "r1", Learnt::Drop).await;
    assert_eq!(fault(&store.postmortem("r1").await.unwrap_err()).exit, crate::fault::Exit::Usage);
}

on_both!(post_mortems_are_found_by_their_words);
