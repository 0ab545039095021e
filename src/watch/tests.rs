//! Schedules under a clock that tests set, on both databases.

use super::*;
use crate::run::events::StopRule;
use crate::run::queued;
use crate::store::Cancelled;
use crate::store::tests::{Place, on_both};

fn watch(repo: &std::path::Path, branch: Option<&str>) -> Watch {
    Watch {
        repo: repo.to_owned(),
        branch: branch.map(str::to_owned),
        cron: "0 */6 * * *".into(),
        run: "make test".into(),
        land: "branch".into(),
        no_model: true,
    }
}

#[test]
fn moments_follow_the_pattern() {
    let at = |cron: &str, now: &str| last(cron, now.parse().unwrap()).unwrap().map(|at| at.to_string());
    assert_eq!(at("0 6 * * *", "2026-11-22T06:00:00Z").as_deref(), Some("2026-11-22T06:00:00Z"));
    assert_eq!(at("0 6 * * *", "2026-11-22T05:59:59Z").as_deref(), Some("2026-11-21T06:00:00Z"));
    assert_eq!(at("30 4 * * MON", "2026-11-22T12:00:00Z").as_deref(), Some("2026-11-16T04:30:00Z"));
    assert!(last("nonsense", Timestamp::UNIX_EPOCH).is_err());
}

async fn a_moment_is_seen_to_once_by_whoever_looks(place: Place) {
    // The clock of the tests begins at midnight, which is a moment.
    let [one, other] = [place.store().await, place.store().await];
    let folder = tempfile::tempdir().unwrap();
    let (watch, redactor) = (watch(folder.path(), None), Redactor::default());
    let (a, b) = tokio::join!(look(&one, &watch, &redactor), look(&other, &watch, &redactor));
    let submitted = [a.unwrap(), b.unwrap()].into_iter().filter(|looked| *looked != Looked::Nothing).count();
    assert_eq!(submitted, 1);
    assert_eq!(look(&one, &watch, &redactor).await.unwrap(), Looked::Nothing);
    // What nobody was there for is left out.
    place.pass(Duration::from_secs(6 * 3600 + 1200)).await;
    assert_eq!(look(&one, &watch, &redactor).await.unwrap(), Looked::Nothing);
    place.pass(Duration::from_secs(6 * 3600 - 1200)).await;
    // The first run is still in the queue: another one would only wait behind it.
    assert_eq!(look(&other, &watch, &redactor).await.unwrap(), Looked::Nothing);
    let first = one.queue(10).await.unwrap().remove(0).run;
    let Cancelled::Claimed(claim) = one.cancel(&first, "a person").await.unwrap() else {
        panic!("not queued")
    };
    queued::end(&one, &claim.lease, StopRule::Cancelled, "cancelled").await.unwrap();
    one.over(*claim).await.unwrap();
    let Looked::Submitted(run) = look(&other, &watch, &redactor).await.unwrap() else { panic!("no run") };
    let queued = one.queue(10).await.unwrap();
    assert_eq!(queued.len(), 1);
    let mine = queued.iter().find(|queued| queued.run == run).unwrap();
    assert_eq!(mine.priority, Priority::Low);
}

async fn another_branch_is_left_alone(place: Place) {
    let store = place.store().await;
    let folder = tempfile::tempdir().unwrap();
    let done = std::process::Command::new("git")
        .args(["init", "-q", "-b", "work"])
        .current_dir(folder.path())
        .status();
    assert!(done.unwrap().success());
    let redactor = Redactor::default();
    let main = look(&store, &watch(folder.path(), Some("main")), &redactor).await.unwrap();
    assert_eq!(main, Looked::Elsewhere("work".into()));
    let work = look(&store, &watch(folder.path(), Some("work")), &redactor).await.unwrap();
    assert!(matches!(work, Looked::Submitted(_)), "{work:?}");
}

on_both!(a_moment_is_seen_to_once_by_whoever_looks, another_branch_is_left_alone);
