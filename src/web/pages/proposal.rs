//! One proposal: what it changes, how far it has come, what was repaired, and what can be done about it.

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use minijinja::{Value, context};
use serde::Deserialize;

use super::run::{After, Approval, Rejection, TakeBack};
use super::{Broken, Nothing, Sealed, page as respond, shown};
use crate::proposal::State as Stands;
use crate::run::Run;
use crate::run::events::{Decision, Record};
use crate::run::journal::records;
use crate::store::{ProposalRow, RunRow};
use crate::web::access::{Caller, Scope};
use crate::web::api::approvals::said;
use crate::web::api::proposals::{Known, resubmit};
use crate::web::api::{Path, Query};
use crate::web::diff::{self, diff};
use crate::web::problem::Problem;
use crate::web::{App, Came, Shared, story};

/// The page of a proposal.
pub(super) async fn page(
    State(shared): App,
    caller: Caller,
    Path(name): Path<String>,
    Query(after): Query<After>,
) -> Result<Response, Broken> {
    let known = Known::find(&shared, &name).await?;
    let done = match after.done.as_str() {
        "agreed" => "You agreed; it waits for the others who have to.",
        "approved" => "You approved the proposal; it can be applied.",
        "rejected" => "You rejected the proposal; nothing was changed.",
        "applied" => "A worker lands the proposal.",
        "tested" => "The proposal is tested again.",
        "rolled-back" => "The landing was taken back.",
        "cancelled" => "You called the run off.",
        "fixed" => "What the proposal broke is repaired: its tests pass.",
        "not-fixed" => "The repair ended, and the tests still fail.",
        _ => "",
    };
    let values = values(&shared, &caller, known).await?;
    respond(&shared, &caller, "proposal.html", context! { done, bad => after.done == "not-fixed", ..values })
        .await
}

/// A repair as it is made; once it is over, the proposal that it was for.
pub(super) async fn progress(
    State(shared): App,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Broken> {
    let known = Known::find(&shared, &name).await?;
    if !known.row.state.is_under_way() {
        let done = if known.row.state == Stands::TestsFailed { "not-fixed" } else { "fixed" };
        return Ok(back(&known.row.id, done));
    }
    let events = records(&shared.store, &known.row.run, 0).await?;
    let story = known.last.as_ref().map(|run| story::tell(run, &events, &shared.redactor));
    let queued = shared.store.queued(&known.row.run).await?;
    let values = context! {
        story, queue => queued.map(|queued| queued.standing.as_str()),
        ..values(&shared, &caller, known).await?
    };
    respond(&shared, &caller, "repair.html", values).await
}

async fn values(shared: &Shared, caller: &Caller, known: Known) -> Result<Value, Problem> {
    let actions: Vec<&str> =
        known.actions().into_iter().filter(|action| caller.may(scope_of(action))).collect();
    let question = known.question();
    let (fixes, last) = fixes(shared, &known.runs).await?;
    let Known { row, runs, last: run } = known;
    let (word, tone) = shown::proposal(row.state);
    let mut room = diff::PAGE;
    let (proposed, repair, whole) = match &run {
        Some(run) => (
            diff(run.proposed().unwrap_or(&run.kept), &mut room),
            diff(&run.kept, &mut room),
            if run.kept.is_empty() { Vec::new() } else { diff(&run.result(), &mut room) },
        ),
        None => Default::default(),
    };
    let checks = run.as_ref().map(|run| story::tell(run, &last, &shared.redactor)).map(|story| story.steps);
    let said: Vec<Value> = said_of(shared, &runs).await?;
    let runs: Vec<Value> = runs
        .iter()
        .map(|run| {
            let (word, tone) = shown::standing(run, false);
            context! { id => run.id, word, tone, at => run.created_at.to_string() }
        })
        .collect();
    Ok(context! {
        id => row.id, title => row.title, description => row.description, repo => row.repo, by => row.requested_by,
        base => row.base, base_commit => row.base_commit, land => row.land, landed => row.landed, run => row.run,
        reason => row.reason, needs => row.needs_auto_fix, attempts => row.auto_fix_attempts,
        fixed => row.auto_fix_applied, state => row.state.as_str(), created_at => row.created_at.to_string(),
        under_way => row.state.is_under_way(), over => row.state.is_over(),
        steps => steps(&row), word, tone, actions, proposed, repair, whole, checks, fixes, runs, said,
        reasons => question.as_ref().map(|question| question.reasons.clone()).unwrap_or_default(),
        patch => question.map(|question| question.patch),
        moves_branch => run.as_ref().and_then(|run| run.landed.clone()).flatten()
            .is_some_and(|landed| landed.commit().is_some()),
    })
}

/// The way of a proposal as steps: a name, and `done`, `now`, `later` or `bad`.
fn steps(row: &ProposalRow) -> Vec<(String, &'static str)> {
    use Stands::{
        Applied, Approved, Deploying, Fixing, Proposed, Rejected, RolledBack, Testing, TestsFailed,
        TestsPassed,
    };
    let state = row.state;
    // Where it was when it came to an end that may come at any time.
    let fixes = state == Fixing || row.auto_fix_attempts > 0 || row.auto_fix_applied;
    let far = match state {
        Proposed => 0,
        Deploying => 1,
        Testing => 2,
        Fixing => 3,
        TestsFailed | Rejected => 4,
        TestsPassed => 4,
        Approved => 5,
        Applied | RolledBack => 6,
    };
    let mut all: Vec<(String, &'static str)> = Vec::new();
    let mut step = |at: usize, name: &str| {
        let stands = match at.cmp(&far) {
            std::cmp::Ordering::Less => "done",
            std::cmp::Ordering::Equal => "now",
            std::cmp::Ordering::Greater => "later",
        };
        all.push((name.to_owned(), stands));
    };
    step(0, "proposed");
    step(1, "deployed to the sandbox");
    step(2, "testing");
    if fixes {
        step(3, "auto-fix");
    }
    match state {
        TestsFailed => step(4, "tests failed"),
        Rejected => step(4, "rejected"),
        _ => step(4, "tests passed"),
    }
    if state != Rejected {
        step(5, "approved");
        step(6, if state == RolledBack { "rolled back" } else { "applied" });
    }
    if let (TestsFailed | Rejected | RolledBack, Some(now)) =
        (state, all.iter_mut().find(|step| step.1 == "now"))
    {
        now.1 = "bad";
    }
    all
}

/// What was tried over all runs, and the last run's events.
async fn fixes(shared: &Shared, runs: &[RunRow]) -> Result<(Vec<Value>, Vec<Record>), Problem> {
    let (mut all, mut last) = (Vec::new(), Vec::new());
    for row in runs {
        last = records(&shared.store, &row.id, 0).await?;
        let Some(run) = crate::web::standing::begun(&last)? else { continue };
        all.extend(run.attempts.iter().map(|attempt| told(shared, &run, attempt)));
    }
    Ok((all, last))
}

fn told(shared: &Shared, run: &Run, attempt: &crate::run::AttemptState) -> Value {
    let (word, tone) = match &attempt.decision {
        Some((Decision::Green, _)) => ("green", "good"),
        Some((Decision::Keep, _)) => ("kept", "good"),
        Some((Decision::Drop, _)) => ("dropped", "bad"),
        Some((Decision::Pass, _)) => ("passed on", "quiet"),
        None => ("under way", "busy"),
    };
    let redact = |text: &str| shared.redactor.redact(text).into_owned();
    let stat = attempt.patch.as_ref().map(crate::patch::Patch::stat);
    context! {
        run => run.id, number => attempt.attempt, fixer => attempt.fixer, word, tone,
        reason => attempt.decision.as_ref().map(|(_, reason)| redact(reason)),
        explanation => redact(&attempt.explanation), cost => attempt.cost.0,
        added => stat.as_ref().map(|stat| stat.added), removed => stat.as_ref().map(|stat| stat.removed),
    }
}

/// What people said about it.
async fn said_of(shared: &Shared, runs: &[RunRow]) -> Result<Vec<Value>, Problem> {
    let mut all = Vec::new();
    for row in runs {
        for asked in shared.store.approvals(Some(&row.id)).await? {
            let Some(decision) = asked.decision else { continue };
            let word = match decision {
                crate::store::Decision::Approved => "approved",
                crate::store::Decision::Rejected => "rejected",
                // It was asked again.
                crate::store::Decision::Expired => continue,
            };
            all.push(context! { word, by => asked.decided_by, remark => asked.remark });
        }
    }
    Ok(all)
}

/// What one has to be allowed to do this.
fn scope_of(action: &str) -> Scope {
    match action {
        "auto-fix" | "test" | "cancel" => Scope::Submit,
        _ => Scope::Approve,
    }
}

async fn asked(shared: &Shared, caller: &Caller, name: &str, action: &str) -> Result<ProposalRow, Problem> {
    caller.needs(scope_of(action))?;
    shared.store.proposal(name).await.map_err(Problem::of_lookup)
}

fn back(id: &str, done: &str) -> Response {
    Redirect::to(&format!("/proposals/{id}?done={done}")).into_response()
}

/// How a repair is asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Order {
    #[serde(default)]
    no_model: Option<String>,
}

/// Begins a repair, and shows how it goes.
pub(super) async fn auto_fix(
    State(shared): App,
    Path(name): Path<String>,
    Sealed { caller, form }: Sealed<Order>,
) -> Result<Response, Broken> {
    let row = asked(&shared, &caller, &name, "auto-fix").await?;
    if row.state != Stands::Fixing {
        resubmit(&shared, &row, true, |request| request.no_model |= form.no_model.is_some()).await?;
    }
    Ok(Redirect::to(&format!("/proposals/{}/repair", row.id)).into_response())
}

/// Tests it again.
pub(super) async fn test(
    State(shared): App,
    Path(name): Path<String>,
    Sealed { caller, .. }: Sealed<Nothing>,
) -> Result<Response, Broken> {
    let row = asked(&shared, &caller, &name, "test").await?;
    resubmit(&shared, &row, false, |_| {}).await?;
    Ok(back(&row.id, "tested"))
}

/// Agrees to it.
pub(super) async fn approve(
    State(shared): App,
    Path(name): Path<String>,
    Sealed { caller, form }: Sealed<Approval>,
) -> Result<Response, Broken> {
    let row = asked(&shared, &caller, &name, "approve").await?;
    let approved = shared.actions.approve_proposal(&row, &caller.person(), &form.patch, None).await;
    let enough = approved.map_err(Problem::of_action)? == Came::Lands;
    Ok(back(&row.id, if enough { "approved" } else { "agreed" }))
}

/// Refuses it.
pub(super) async fn reject(
    State(shared): App,
    Path(name): Path<String>,
    Sealed { caller, form }: Sealed<Rejection>,
) -> Result<Response, Broken> {
    let row = asked(&shared, &caller, &name, "reject").await?;
    let reason = said(&form.reason, "reason")?;
    shared.actions.reject_proposal(&row, &caller.person(), reason).await.map_err(Problem::of_action)?;
    Ok(back(&row.id, "rejected"))
}

/// Has it landed.
pub(super) async fn apply(
    State(shared): App,
    Path(name): Path<String>,
    Sealed { caller, .. }: Sealed<Nothing>,
) -> Result<Response, Broken> {
    let row = asked(&shared, &caller, &name, "apply").await?;
    shared.actions.apply_proposal(&row).await.map_err(Problem::of_action)?;
    Ok(back(&row.id, "applied"))
}

/// Takes its landing back.
pub(super) async fn roll_back(
    State(shared): App,
    Path(name): Path<String>,
    Sealed { caller, form }: Sealed<TakeBack>,
) -> Result<Response, Broken> {
    let row = asked(&shared, &caller, &name, "roll-back").await?;
    shared.actions.roll_back(&row.run, form.reset.is_some()).await.map_err(Problem::of_action)?;
    Ok(back(&row.id, "rolled-back"))
}

/// Calls the run off that works on it.
pub(super) async fn cancel(
    State(shared): App,
    Path(name): Path<String>,
    Sealed { caller, .. }: Sealed<Nothing>,
) -> Result<Response, Broken> {
    let row = asked(&shared, &caller, &name, "cancel").await?;
    shared.actions.cancel(&row.run).await.map_err(Problem::of_action)?;
    Ok(back(&row.id, "cancelled"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: Stands, attempts: u64) -> ProposalRow {
        let at: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        ProposalRow {
            id: "p".into(),
            repo: "/repo".into(),
            title: "t".into(),
            description: String::new(),
            base: None,
            land: "branch".into(),
            requested_by: "anna".into(),
            state,
            reason: None,
            needs_auto_fix: false,
            auto_fix_applied: attempts > 0,
            auto_fix_attempts: attempts,
            run: "r".into(),
            base_commit: None,
            landed: None,
            created_at: at,
            updated_at: at,
        }
    }

    #[test]
    fn the_way_of_a_proposal_has_one_step_where_it_stands() {
        for state in Stands::ALL {
            for attempts in [0, 1] {
                let steps = steps(&row(state, attempts));
                let here: Vec<_> = steps.iter().filter(|(_, how)| matches!(*how, "now" | "bad")).collect();
                assert_eq!(here.len(), 1, "{state:?}: {steps:?}");
                let at = steps.iter().position(|(_, how)| matches!(*how, "now" | "bad")).unwrap();
                assert!(steps[..at].iter().all(|(_, how)| *how == "done"), "{steps:?}");
                assert!(steps[at + 1..].iter().all(|(_, how)| *how == "later"), "{steps:?}");
                let fix = steps.iter().any(|(name, _)| name == "auto-fix");
                assert_eq!(fix, attempts > 0 || state == Stands::Fixing, "{steps:?}");
            }
        }
        let failed = steps(&row(Stands::TestsFailed, 0));
        assert!(failed.contains(&("tests failed".to_owned(), "bad")), "{failed:?}");
    }
}
