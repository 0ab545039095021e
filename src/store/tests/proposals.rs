//! Proposals: rows that follow from the events of their runs, and from nothing else.

use super::*;
use crate::patch::{FileState, RelPath};
use crate::proposal::{Act, Content, ProposedFile, State};

fn content() -> Content {
    let path = RelPath::new("a.txt").unwrap();
    Content::Files(vec![ProposedFile { path, file: Some(FileState::text("a\n")), executable: None }])
}

fn submission(run: &str, proposes: Proposes) -> Submission {
    let run = NewRun { trigger: "proposal".into(), status: Status::Queued, ..new_run(run) };
    Submission {
        run,
        priority: Priority::Normal,
        key: None,
        delay: Duration::ZERO,
        proposes: Some(proposes),
        heals: None,
    }
}

fn new(id: &str, title: &str) -> Proposes {
    Proposes::New(NewProposal {
        id: id.to_owned(),
        title: title.to_owned(),
        description: "why".to_owned(),
        base: None,
        land: "branch".to_owned(),
        content: content(),
        requested_by: "anna".to_owned(),
    })
}

fn again(id: &str, act: Act) -> Proposes {
    Proposes::Again { id: id.to_owned(), act }
}

async fn submit(store: &Store, run: &str, proposes: Proposes) -> Result<Submitted> {
    store.submit(&submission(run, proposes), &NewEvent::new(store.now(), "submitted", json!({}))).await
}

/// Appends an event from which this follows for the proposal.
async fn happens(store: &Store, run: &str, proposal: ProposalPatch) {
    let last = store.events(run, 0).await.unwrap().last().map_or(0, |event| event.seq);
    let follows = Projection { proposal: Some(proposal), ..Projection::default() };
    let event = NewEvent::new(store.now(), "told", json!({})).with(follows);
    store.append(None, run, last, &event).await.unwrap();
}

fn act(act: Act) -> ProposalPatch {
    ProposalPatch { act: Some(act), ..ProposalPatch::default() }
}

async fn a_proposal_is_the_projection_of_its_runs(place: Place) {
    let store = place.store().await;
    submit(&store, "r1", new("p1", "A title")).await.unwrap();
    let row = store.proposal("p1").await.unwrap();
    assert_eq!((row.state, row.run.as_str(), row.requested_by.as_str()), (State::Proposed, "r1", "anna"));
    assert_eq!(store.proposed("p1").await.unwrap(), content());
    assert_eq!(store.proposal_of("r1").await.unwrap().as_deref(), Some("p1"));
    let begin = ProposalPatch { base_commit: Some("abc".into()), ..act(Act::Begin) };
    happens(&store, "r1", begin).await;
    happens(&store, "r1", act(Act::Check)).await;
    // What cannot happen to it as it stands changes nothing.
    happens(&store, "r1", act(Act::Apply)).await;
    let failed = ProposalPatch { reason: Some("red".into()), needs_auto_fix: true, ..act(Act::Fail) };
    happens(&store, "r1", failed).await;
    let row = store.proposal("p1").await.unwrap();
    assert_eq!(
        (row.state, row.reason.as_deref(), row.needs_auto_fix),
        (State::TestsFailed, Some("red"), true)
    );

    submit(&store, "r2", again("p1", Act::Fix)).await.unwrap();
    let row = store.proposal("p1").await.unwrap();
    assert_eq!((row.state, row.reason, row.needs_auto_fix), (State::Fixing, None, false));
    // The first run is over; what it says now is nothing to the proposal.
    happens(&store, "r1", act(Act::Fail)).await;
    for _ in 0..2 {
        happens(&store, "r2", ProposalPatch { attempted: true, ..ProposalPatch::default() }).await;
    }
    happens(&store, "r2", ProposalPatch { auto_fix_applied: Some(true), ..act(Act::Pass) }).await;
    happens(&store, "r2", act(Act::Approve)).await;
    happens(&store, "r2", ProposalPatch { landed: Some("main".into()), ..act(Act::Apply) }).await;
    happens(&store, "r2", act(Act::Fail)).await;
    let row = store.proposal("p").await.unwrap();
    assert_eq!((row.state, row.auto_fix_attempts, row.auto_fix_applied), (State::Applied, 2, true));
    assert_eq!((row.landed.as_deref(), row.base_commit.as_deref()), (Some("main"), Some("abc")));
    let runs: Vec<String> = store.proposal_runs("p1").await.unwrap().into_iter().map(|run| run.id).collect();
    assert_eq!(runs, ["r1", "r2"]);
}

async fn what_is_out_of_turn_is_refused_whole(place: Place) {
    let store = place.store().await;
    submit(&store, "r1", new("p1", "A title")).await.unwrap();
    for wrong in [Act::Fix, Act::Test] {
        let error = submit(&store, "r2", again("p1", wrong)).await.unwrap_err();
        assert!(fault(&error).message.contains("its state is proposed"), "{error:?}");
    }
    assert!(store.run("r2").await.is_err(), "nothing is written then");
    assert!(store.queued("r2").await.unwrap().is_none());
    let error = submit(&store, "r3", again("nothing", Act::Fix)).await.unwrap_err();
    assert!(fault(&error).message.contains("no proposal"), "{error:?}");
    assert!(store.proposal("nothing").await.is_err() && store.proposal("%").await.is_err());
}

async fn of_two_that_repair_at_once_one_does(place: Place) {
    let store = place.store().await;
    submit(&store, "r0", new("p1", "A title")).await.unwrap();
    happens(&store, "r0", act(Act::Fail)).await;
    let mut tasks = Vec::new();
    for n in 1..8 {
        let store = place.store().await;
        tasks.push(tokio::spawn(async move {
            submit(&store, &format!("r{n}"), again("p1", Act::Fix)).await.is_ok()
        }));
    }
    let mut done = 0;
    for task in tasks {
        done += u32::from(task.await.unwrap());
    }
    assert_eq!(done, 1);
    assert_eq!(store.proposal_runs("p1").await.unwrap().len(), 2);
}

async fn proposals_are_listed_in_pages(place: Place) {
    let store = place.store().await;
    for n in 0..5 {
        submit(&store, &format!("r{n}"), new(&format!("p{n}"), &format!("Title {n}% of_it"))).await.unwrap();
    }
    happens(&store, "r3", act(Act::Fail)).await;
    let all = ProposalFilter::default();
    let first = store.proposals(&all, None, 2).await.unwrap();
    let mark = Mark { created_at: first[1].created_at, id: first[1].id.clone() };
    submit(&store, "new", new("pnew", "later")).await.unwrap();
    let rest = store.proposals(&all, Some(&mark), 10).await.unwrap();
    let ids: Vec<&str> = first.iter().chain(&rest).map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["p4", "p3", "p2", "p1", "p0"]);
    for (filter, found) in [
        (ProposalFilter { state: Some(State::TestsFailed), ..all.clone() }, 1),
        (ProposalFilter { text: Some("TITLE 3%".into()), ..all.clone() }, 1),
        (ProposalFilter { text: Some("e_3".into()), ..all.clone() }, 0),
        (ProposalFilter { repo: Some("/repo".into()), ..all.clone() }, 6),
        (ProposalFilter { repo: Some("/other".into()), ..all.clone() }, 0),
    ] {
        assert_eq!(store.proposals(&filter, None, 50).await.unwrap().len(), found, "{filter:?}");
    }
    let mut counts = store.proposal_states().await.unwrap();
    counts.sort_by_key(|(state, _)| state.as_str());
    assert_eq!(counts, [(State::Proposed, 5), (State::TestsFailed, 1)]);
}

on_both!(
    a_proposal_is_the_projection_of_its_runs,
    what_is_out_of_turn_is_refused_whole,
    of_two_that_repair_at_once_one_does,
    proposals_are_listed_in_pages,
);
