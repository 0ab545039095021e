//! Incidents: reports of one failure are one row, which runs and people move on.

use super::*;
use crate::incident::{Act, State};

fn report(print: &str, release: &str) -> NewIncident {
    NewIncident {
        id: format!("i-{print}"),
        repo: "/repo".into(),
        fingerprint: print.into(),
        title: "KeyError: 'a'".into(),
        kind: "KeyError".into(),
        language: Some("python".into()),
        place: Some("a.py:7".into()),
        files: vec!["a.py".into()],
        category: "bug".into(),
        severity: "high".into(),
        why: "the stack goes through a.py:7".into(),
        own: true,
        stack_trace: "Traceback".into(),
        context: json!({"order": 2}),
        source: "api".into(),
        environment: None,
        release: Some(release.into()),
    }
}

/// Submits a run that takes the incident up.
async fn heal(store: &Store, run: &str, incident: &str) -> Result<Submitted> {
    let new = NewRun { trigger: "incident".into(), status: Status::Queued, ..new_run(run) };
    let heals = Some(incident.to_owned());
    let submission = Submission {
        run: new,
        priority: Priority::High,
        key: None,
        delay: Duration::ZERO,
        proposes: None,
        heals,
    };
    store.submit(&submission, &NewEvent::new(store.now(), "submitted", json!({}))).await
}

/// Appends an event from which this follows for the incident.
async fn happens(store: &Store, run: &str, incident: IncidentPatch) {
    let last = store.events(run, 0).await.unwrap().last().map_or(0, |event| event.seq);
    let follows = Projection { incident: Some(incident), ..Projection::default() };
    let event = NewEvent::new(store.now(), "told", json!({})).with(follows);
    store.append(None, run, last, &event).await.unwrap();
}

async fn an_incident_goes_its_way(place: Place) {
    let store = place.store().await;
    let first = store.report(&report("p", "1")).await.unwrap();
    assert!(first.new && first.row.state == State::Open && first.row.count == 1);
    let second = store.report(&NewIncident { id: "other".into(), ..report("p", "1") }).await.unwrap();
    assert!(!second.new && second.row.id == "i-p" && second.row.count == 2);
    heal(&store, "r1", "i-p").await.unwrap();
    let refused = heal(&store, "r2", "i-p").await.unwrap_err();
    assert!(fault(&refused).message.contains("its state is healing"), "{refused:?}");
    assert!(store.run("r2").await.is_err(), "nothing is written then");
    let begins =
        IncidentPatch { id: Some("i-p".into()), tried: Some("abc".into()), ..IncidentPatch::of(Act::Heal) };
    happens(&store, "r1", begins).await;
    // Another one that would begin at the same moment does not.
    let other = IncidentPatch { id: Some("i-p".into()), ..IncidentPatch::of(Act::Heal) };
    let follows = Projection { incident: Some(other), ..Projection::default() };
    let begun = NewEvent::new(store.now(), "started", json!({})).with(follows);
    let refused = store.create(&new_run("r9"), &begun).await.unwrap_err();
    assert!(fault(&refused).message.contains("its state is healing"), "{refused:?}");
    assert!(store.run("r9").await.is_err());
    let failed = IncidentPatch { reason: Some("exhausted".into()), ..IncidentPatch::of(Act::Fail) };
    happens(&store, "r1", failed).await;
    let row = store.incident("p").await.unwrap();
    assert_eq!((row.state, row.tries, row.reason.as_deref()), (State::NeedsPerson, 1, Some("exhausted")));
    assert!(!row.wants_healing(Some("abc")) && !row.wants_healing(None) && row.wants_healing(Some("def")));

    heal(&store, "r3", "i-p").await.unwrap();
    happens(&store, "r3", IncidentPatch::of(Act::Wait)).await;
    happens(&store, "r3", IncidentPatch { landed: Some("main".into()), ..IncidentPatch::of(Act::Land) })
        .await;
    // The first run is over: what it says now is nothing to the incident.
    happens(&store, "r1", IncidentPatch::of(Act::Fail)).await;
    let row = store.incident("i-p").await.unwrap();
    assert_eq!((row.state, row.landed.as_deref()), (State::Fixed, Some("main")));
    let runs: Vec<String> = store.incident_runs("i-p").await.unwrap().into_iter().map(|run| run.id).collect();
    assert_eq!(runs, ["r1", "r3"]);
    assert_eq!(store.incident_runs_since("/repo", row.first_seen).await.unwrap(), 2);
    assert_eq!(store.incident_runs_since("/other", row.first_seen).await.unwrap(), 0);

    // Not quiet for long enough; then it is.
    assert_eq!(store.close_quiet(row.fixed_at.unwrap()).await.unwrap(), 0);
    let later = row.fixed_at.unwrap().checked_add(Duration::from_secs(1)).unwrap();
    assert_eq!(store.close_quiet(later).await.unwrap(), 1);
    assert_eq!(store.report(&report("p", "1")).await.unwrap().row.state, State::Closed, "the old version");
    let again =
        store.report(&NewIncident { stack_trace: "new".into(), ..report("p", "2") }).await.unwrap().row;
    assert_eq!((again.state, again.reopened, again.count), (State::Reopened, 1, 4));
    assert_eq!((again.stack_trace.as_str(), again.fixed_at), ("new", None));
    assert_eq!(store.move_incident("i-p", Act::Ignore, "by anna").await.unwrap(), State::Ignored);
    assert_eq!(store.report(&report("p", "3")).await.unwrap().row.state, State::Ignored);
    assert!(fault(&heal(&store, "r4", "i-p").await.unwrap_err()).message.contains("its state is ignored"));
    assert_eq!(store.move_incident("i-p", Act::Open, "by anna").await.unwrap(), State::Open);
    let wrong = store.move_incident("i-p", Act::Open, "by anna").await.unwrap_err();
    assert!(fault(&wrong).message.contains("its state is open"), "{wrong:?}");
}

async fn of_many_reports_none_is_lost_and_one_run_begins(place: Place) {
    let mut tasks = Vec::new();
    for n in 0..8 {
        let store = place.store().await;
        tasks.push(tokio::spawn(async move {
            let row =
                store.report(&NewIncident { id: format!("i{n}"), ..report("p", "1") }).await.unwrap().row;
            heal(&store, &format!("r{n}"), &row.id).await.is_ok()
        }));
    }
    let mut begun = 0;
    for task in tasks {
        begun += u32::from(task.await.unwrap());
    }
    let store = place.store().await;
    let all = store.incidents(&IncidentFilter::default(), None, 10).await.unwrap();
    assert_eq!((all.len(), all[0].count, begun), (1, 8, 1));
}

async fn incidents_are_listed_in_pages(place: Place) {
    let store = place.store().await;
    for n in 0..5 {
        let own = n != 3;
        store
            .report(&NewIncident { own, title: format!("Error {n}% of_it"), ..report(&n.to_string(), "1") })
            .await
            .unwrap();
    }
    let all = IncidentFilter::default();
    let first = store.incidents(&all, None, 2).await.unwrap();
    let mark = Mark { created_at: first[1].first_seen, id: first[1].id.clone() };
    let rest = store.incidents(&all, Some(&mark), 10).await.unwrap();
    let ids: Vec<&str> = first.iter().chain(&rest).map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["i-4", "i-3", "i-2", "i-1", "i-0"]);
    for (filter, found) in [
        (IncidentFilter { state: Some(State::Outside), ..all.clone() }, 1),
        (IncidentFilter { text: Some("ERROR 3%".into()), ..all.clone() }, 1),
        (IncidentFilter { repo: Some("/other".into()), ..all.clone() }, 0),
    ] {
        assert_eq!(store.incidents(&filter, None, 50).await.unwrap().len(), found, "{filter:?}");
    }
    assert!(store.incident("nothing").await.is_err() && store.incident("%").await.is_err());
    assert!(store.incident("i-").await.is_err(), "any of five");
}

on_both!(
    an_incident_goes_its_way,
    of_many_reports_none_is_lost_and_one_run_begins,
    incidents_are_listed_in_pages,
);
