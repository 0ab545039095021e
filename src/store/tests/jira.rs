//! An issue is looked at by one process at a time, and a part of a plan is claimed once.

use super::*;

const HOLD: Duration = Duration::from_secs(60);

async fn an_issue_is_held_by_one_at_a_time(place: Place) {
    let store = place.store().await;
    store.want_jira_issue("OD-1").await.unwrap();
    store.want_jira_issue("OD-1").await.unwrap();
    assert_eq!(store.due_jira_issues(10).await.unwrap(), ["OD-1"]);
    let mut row = store.hold_jira_issue("OD-1", "a", HOLD).await.unwrap().unwrap();
    assert_eq!((row.wanted, row.looked, &row.state), (2, 0, &serde_json::Value::Null));
    assert_eq!(store.hold_jira_issue("OD-1", "b", HOLD).await.unwrap(), None);
    assert!(store.due_jira_issues(10).await.unwrap().is_empty());
    row.state = json!({"stage": "working"});
    row.looked = row.wanted;
    assert!(!store.keep_jira_issue(&row, "b", HOLD).await.unwrap(), "only the holder writes");
    assert!(store.keep_jira_issue(&row, "a", HOLD).await.unwrap());
    store.let_go_of_jira_issue("OD-1", "b", Duration::ZERO).await.unwrap();
    assert_eq!(store.hold_jira_issue("OD-1", "b", HOLD).await.unwrap(), None);
    // What somebody asks for meanwhile is not lost.
    store.want_jira_issue("OD-1").await.unwrap();
    store.let_go_of_jira_issue("OD-1", "a", Duration::ZERO).await.unwrap();
    assert_eq!(store.due_jira_issues(10).await.unwrap(), ["OD-1"]);
    store.hold_jira_issue("OD-1", "a", HOLD).await.unwrap().unwrap();
    // Who dies over it lets it go in time, and writes no more after that.
    place.pass(HOLD + Duration::from_secs(1)).await;
    let store = place.store().await;
    assert!(!store.keep_jira_issue(&row, "a", HOLD).await.unwrap());
    let taken = store.hold_jira_issue("OD-1", "b", HOLD).await.unwrap().unwrap();
    assert_eq!((taken.state["stage"].as_str(), taken.looked, taken.wanted), (Some("working"), 2, 3));
    store.let_go_of_jira_issue("OD-1", "b", HOLD).await.unwrap();
    assert!(store.due_jira_issues(10).await.unwrap().is_empty(), "it is left alone for a while");
}

async fn what_is_of_no_concern_is_forgotten(place: Place) {
    let store = place.store().await;
    let row = store.hold_jira_issue("OD-1", "a", HOLD).await.unwrap().unwrap();
    store.want_jira_issue("OD-1").await.unwrap();
    store.forget_jira_issue(&row, "a").await.unwrap();
    assert!(store.jira_issue("OD-1").await.unwrap().is_some(), "somebody asked meanwhile");
    store.adopt_jira_issue("OD-2", "OD-1", "001", &json!({"stage": "waiting"})).await.unwrap();
    let row = store.hold_jira_issue("OD-2", "a", HOLD).await.unwrap().unwrap();
    assert_eq!((row.parent.as_deref(), row.part.as_deref()), (Some("OD-1"), Some("001")));
    store.forget_jira_issue(&row, "a").await.unwrap();
    store.adopt_jira_issue("OD-2", "OD-9", "002", &json!({})).await.unwrap();
    let all = store.jira_issues_of("OD-1").await.unwrap();
    assert_eq!((all.len(), all[0].state["stage"].as_str()), (1, Some("waiting")), "it is adopted once");
}

async fn a_part_is_claimed_once(place: Place) {
    let store = place.store().await;
    assert_eq!(store.claim_jira_part("OD-1", "001").await.unwrap(), JiraPart::Ours);
    assert!(
        matches!(store.claim_jira_part("OD-1", "001").await.unwrap(), JiraPart::Asked(ago) if ago < HOLD)
    );
    place.pass(HOLD).await;
    let store = place.store().await;
    assert!(
        matches!(store.claim_jira_part("OD-1", "001").await.unwrap(), JiraPart::Asked(ago) if ago >= HOLD)
    );
    store.settle_jira_part("OD-1", "001", None).await.unwrap();
    assert!(
        matches!(store.claim_jira_part("OD-1", "001").await.unwrap(), JiraPart::Asked(ago) if ago < HOLD)
    );
    store.settle_jira_part("OD-1", "001", Some("OD-5")).await.unwrap();
    store.settle_jira_part("OD-1", "001", Some("OD-6")).await.unwrap();
    assert_eq!(store.claim_jira_part("OD-1", "001").await.unwrap(), JiraPart::Made("OD-5".to_owned()));
    assert_eq!(store.jira_parts("OD-1").await.unwrap(), [("001".to_owned(), "OD-5".to_owned())]);
}

async fn it_is_known_since_when_to_ask(place: Place) {
    let store = place.store().await;
    assert_eq!(store.jira_polled("here").await.unwrap(), None);
    store.end_jira_poll("here", Duration::from_secs(5)).await.unwrap();
    place.pass(HOLD).await;
    let store = place.store().await;
    let ago = store.jira_polled("here").await.unwrap().unwrap();
    assert!(ago >= HOLD + Duration::from_secs(5), "{ago:?}");
    store.end_jira_poll("here", Duration::ZERO).await.unwrap();
    assert!(store.jira_polled("here").await.unwrap().unwrap() < HOLD);
}

on_both!(
    an_issue_is_held_by_one_at_a_time,
    what_is_of_no_concern_is_forgotten,
    a_part_is_claimed_once,
    it_is_known_since_when_to_ask,
);
