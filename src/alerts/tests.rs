//! The rules on both databases, under a clock that tests set.

use serde_json::json;

use super::*;
use crate::store::tests::{Place, on_both};
use crate::store::{AlertRow, Called, NewEvent, NewRun, Priority, Projection, RunPatch, Spent};
use crate::store::{Status, Submission};

const BUDGET: Money = Money(20_000_000);

fn rules() -> AlertRules {
    AlertRules::default()
}

fn new_run(id: &str, status: Status) -> NewRun {
    let (repo, trigger, goal) = ("/shop".to_owned(), "heal".to_owned(), "true".to_owned());
    NewRun { id: id.to_owned(), repo, trigger, goal, status, base: None }
}

/// Runs that ended so.
async fn ended(store: &Store, prefix: &str, outcome: &str, count: u32) {
    for n in 0..count {
        let over = RunPatch {
            status: Some(Status::Finished),
            outcome: Some(outcome.to_owned()),
            ..RunPatch::default()
        };
        let follows = Projection { run: over, ..Projection::default() };
        let event = NewEvent::new(store.now(), "finished", json!({})).with(follows);
        store.create(&new_run(&format!("{prefix}{n}"), Status::Running), &event).await.unwrap();
    }
}

/// A call of a provider in a run that exists.
async fn called(store: &Store, run: &str, seq: u64, failed: Option<&str>, cost: u64) {
    let provider = "anthropic".to_owned();
    let spent = Spent { provider: provider.clone(), model: "m".to_owned(), cost: Money(cost) };
    let follows = Projection {
        called: Some(Called { provider, failed: failed.map(str::to_owned) }),
        spent: (cost > 0).then_some(spent),
        ..Projection::default()
    };
    let event = NewEvent::new(store.now(), "asked", json!({})).with(follows);
    store.append(None, run, seq, &event).await.unwrap();
}

/// The rules that something was found by, and those that found nothing any more.
async fn changes(store: &Store) -> Vec<(&'static str, String)> {
    let changes = check(store, &rules(), BUDGET, &[]).await.unwrap();
    let name = |change: &Change| match change {
        Change::Raised(alert) => ("raised", alert.rule.clone()),
        Change::Recovered(alert) => ("recovered", alert.rule.clone()),
    };
    changes.iter().map(name).collect()
}

async fn open(store: &Store) -> Vec<AlertRow> {
    store.alerts(true, 100).await.unwrap()
}

fn raised(rules: &[&str]) -> Vec<(&'static str, String)> {
    rules.iter().map(|rule| ("raised", (*rule).to_owned())).collect()
}

async fn a_share_needs_a_sample_and_is_told_once(place: Place) {
    let store = place.store().await;
    // Everything went wrong, but nine runs say little.
    ended(&store, "red", "red", 9).await;
    ended(&store, "green", "green", 50).await;
    assert_eq!(changes(&store).await, []);
    ended(&store, "refused", "refused", 1).await;
    assert_eq!(changes(&store).await, raised(&["escalated", "exhausted"]));
    let first = open(&store).await;
    let escalated = first.iter().find(|alert| alert.rule == "escalated").unwrap();
    assert_eq!(
        escalated.figures,
        json!({"runs": 10, "of": 10, "percent": 100, "limit_percent": 20}),
        "{escalated:?}"
    );
    assert!(escalated.message.contains("100 % of the red runs of the last 24h"), "{}", escalated.message);
    assert!(!escalated.action.is_empty());

    // The same, with other figures: no new alert, and the old one tells them.
    ended(&store, "healed", "healed", 10).await;
    assert_eq!(changes(&store).await, []);
    let now = open(&store).await;
    assert_eq!(now.len(), 2);
    let escalated = now.iter().find(|alert| alert.rule == "escalated").unwrap();
    assert!(escalated.message.contains("(10 of 20;"), "{}", escalated.message);
    assert!(first.iter().any(|alert| alert.id == escalated.id && alert.since == escalated.since));

    // 9 of 60 are not more than 15 %, and 10 of 60 not more than 20 %.
    ended(&store, "more", "implemented", 40).await;
    let over = changes(&store).await;
    assert_eq!(over.iter().filter(|(what, _)| *what == "recovered").count(), 2, "{over:?}");
    assert_eq!(open(&store).await, []);
    assert!(store.alerts(false, 100).await.unwrap().iter().all(|alert| alert.recovered_at.is_some()));

    // What is older than the window counts no more; what is wrong again is a new alert.
    place.pass(rules().window).await;
    ended(&store, "again", "waiting", 10).await;
    assert_eq!(changes(&store).await, raised(&["escalated"]));
    assert_eq!(store.alerts(false, 100).await.unwrap().len(), 3);
}

async fn a_provider_that_fails_again_and_again_is_told_of(place: Place) {
    let store = place.store().await;
    ended(&store, "r", "red", 1).await;
    let begin = store.now();
    for seq in 1..5 {
        called(&store, "r0", seq, Some("it is overloaded"), 0).await;
    }
    assert_eq!(changes(&store).await, []);
    called(&store, "r0", 5, Some("the key is refused"), 0).await;
    assert_eq!(changes(&store).await, raised(&["provider"]));
    let [alert] = open(&store).await.try_into().unwrap();
    assert_eq!((alert.subject.as_str(), alert.figures["failures"].as_u64()), ("anthropic", Some(5)));
    assert!(alert.message.contains("the key is refused"), "{}", alert.message);
    // Since the first of these calls, and not since somebody looked.
    assert!(alert.since > begin && alert.since < alert.raised_at, "{alert:?}");
    called(&store, "r0", 6, None, 0).await;
    assert_eq!(changes(&store).await, [("recovered", "provider".to_owned())]);
    // What failed before it answered counts no more.
    called(&store, "r0", 7, Some("it is overloaded"), 0).await;
    assert_eq!(changes(&store).await, []);
}

async fn money_that_is_nearly_spent_is_told_of(place: Place) {
    let store = place.store().await;
    ended(&store, "r", "red", 1).await;
    called(&store, "r0", 1, None, BUDGET.0 / 100 * 89).await;
    assert_eq!(changes(&store).await, []);
    called(&store, "r0", 2, None, BUDGET.0 / 100).await;
    assert_eq!(changes(&store).await, raised(&["spend"]));
    assert!(check(&store, &AlertRules { spend: 91, ..rules() }, BUDGET, &[]).await.unwrap().len() == 1);
    place.pass(Duration::from_secs(25 * 3600)).await;
    assert_eq!(changes(&store).await, []);
}

async fn a_queue_that_nobody_works_on_is_told_of(place: Place) {
    let store = place.store().await;
    for (id, delay) in [("now", 0), ("later", 3600)] {
        let submission = Submission {
            run: new_run(id, Status::Queued),
            priority: Priority::Low,
            key: None,
            delay: Duration::from_secs(delay),
            proposes: None,
            heals: None,
        };
        store.submit(&submission, &NewEvent::new(store.now(), "submitted", json!({}))).await.unwrap();
    }
    assert_eq!(changes(&store).await, []);
    place.pass(rules().queue_age).await;
    // Of a repo that is paused nothing is expected.
    store.pause("/shop", "anna", "").await.unwrap();
    assert_eq!(changes(&store).await, []);
    store.unpause("/shop").await.unwrap();
    assert_eq!(changes(&store).await, raised(&["queue-age"]));
    let [alert] = open(&store).await.try_into().unwrap();
    assert_eq!((alert.figures["run"].as_str(), alert.figures["waiting"].as_u64()), (Some("now"), Some(2)));
    let claim = store.claim("w").await.unwrap().unwrap();
    assert_eq!(claim.run, "now");
    store.over(claim).await.unwrap();
    assert_eq!(changes(&store).await, [("recovered", "queue-age".to_owned())]);
}

async fn who_knows_of_an_alert_says_so_once(place: Place) {
    let store = place.store().await;
    ended(&store, "red", "red", 10).await;
    changes(&store).await;
    let [first, other] = open(&store).await.try_into().unwrap();
    let end = &first.id[first.id.len() - 8..];
    let known = store.acknowledge_alert(end, "anna").await.unwrap();
    assert_eq!((known.acknowledged_by.as_deref(), known.acknowledged_at.is_some()), (Some("anna"), true));
    let again = store.acknowledge_alert(&first.id, "ben").await.unwrap();
    assert_eq!(again, known);
    // It stays open, and is told no second time.
    assert_eq!(changes(&store).await, []);
    assert_eq!(open(&store).await.len(), 2);
    for wrong in ["", "'; --", "-", "ffffffff-0000", &format!("x{}", other.id)] {
        assert!(store.acknowledge_alert(wrong, "anna").await.is_err(), "{wrong:?}");
    }
}

async fn one_process_at_a_time_looks(place: Place) {
    let [one, other] = [place.store().await, place.store().await];
    let (a, b) = tokio::join!(one.take_turn("c", EVERY), other.take_turn("c", EVERY));
    let ours = [a.unwrap(), b.unwrap()].into_iter().filter(|turn| *turn == Turn::Ours).count();
    assert_eq!(ours, 1);
    let Turn::After(rest) = one.take_turn("c", EVERY).await.unwrap() else { panic!("twice") };
    assert!(rest <= EVERY && rest > EVERY / 2, "{rest:?}");
    assert_eq!(one.take_turn("another", EVERY).await.unwrap(), Turn::Ours);
    // Whoever had it may have died: the next turn is anybody's.
    place.pass(EVERY).await;
    assert_eq!(other.take_turn("c", EVERY).await.unwrap(), Turn::Ours);
    assert!(matches!(one.take_turn("c", EVERY).await.unwrap(), Turn::After(_)));

    ended(&one, "red", "red", 10).await;
    let rules = rules();
    let (a, b) = tokio::join!(check(&one, &rules, BUDGET, &[]), check(&other, &rules, BUDGET, &[]));
    assert_eq!(a.unwrap().len() + b.unwrap().len(), 2, "what two find at once is told once");
    assert_eq!(open(&one).await.len(), 2);
}

on_both!(
    a_share_needs_a_sample_and_is_told_once,
    a_provider_that_fails_again_and_again_is_told_of,
    money_that_is_nearly_spent_is_told_of,
    a_queue_that_nobody_works_on_is_told_of,
    who_knows_of_an_alert_says_so_once,
    one_process_at_a_time_looks,
);
