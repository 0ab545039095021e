//! What waits for a person, and what they decide.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::access::{Caller, Scope};
use super::super::problem::Problem;
use super::super::{Answer, App, Came, Shared, Which};
use super::{Body, Path};
use crate::run::Run;

/// What waits for a person.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Waiting {
    /// The question's id.
    id: String,
    /// The run that waits.
    run: String,
    /// What is to be allowed.
    #[schema(example = "land")]
    action: String,
    /// Why it needs a person.
    reason: String,
    /// The digest of the patch that it is about.
    patch: Option<String>,
    /// How many people have to agree.
    people: u64,
    /// Who agreed so far.
    agreed: Vec<String>,
    /// Who may not agree: whoever asked for the run, where somebody else has to.
    not_by: Option<String>,
    /// When it was asked.
    requested_at: Timestamp,
    /// When it has to be asked again.
    expires_at: Option<Timestamp>,
}

/// What a person has to decide.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Question {
    /// Why a person has to look.
    pub(crate) reasons: Vec<String>,
    /// The digest of the patch that is to be looked at.
    pub(crate) patch: String,
    /// How many people have to agree.
    pub(crate) people: u64,
    /// Who agreed so far.
    pub(crate) agreed: Vec<String>,
    /// Who may not agree: whoever asked for the run, where somebody else has to.
    pub(crate) not_by: Option<String>,
    /// When it has to be asked again.
    pub(crate) expires_at: Option<Timestamp>,
}

impl Question {
    /// What is asked about the patch that waits in a run.
    pub(crate) fn of(run: &Run) -> Self {
        Self {
            reasons: run.approval.clone(),
            patch: run.result().digest(),
            people: run.people_needed() as u64,
            agreed: run.supporters().into_iter().map(str::to_owned).collect(),
            not_by: run.excepted().map(str::to_owned),
            expires_at: run.question.as_ref().map(|question| question.expires),
        }
    }
}

/// Everything that waits.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AllWaiting {
    items: Vec<Waiting>,
}

/// A person agrees to a patch.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Approval {
    /// The digest of the patch that was looked at: `waiting.patch` of the run, or that of one of its `candidates`, which is proven first and
    /// lands if it holds. Another one is not agreed to.
    pub(super) patch: String,
    /// What they remark.
    #[serde(default)]
    #[schema(max_length = 2000)]
    pub(super) remark: Option<String>,
}

/// A person refuses a patch.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rejection {
    /// Why.
    #[schema(min_length = 1, max_length = 2000, pattern = "\\S")]
    pub(super) reason: String,
}

/// How a landing is taken back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TakeBack {
    /// Move the branch back instead of adding a commit that reverts.
    #[serde(default)]
    pub(super) reset: bool,
}

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Done {
    /// The run.
    pub(super) run: String,
    /// What was done, for people.
    pub(super) done: String,
}

/// What waits for a person, oldest first.
#[utoipa::path(
    get, path = "/approvals", tag = "approvals", security(("token" = ["read"])),
    responses((status = 200, description = "Everything that waits", body = AllWaiting))
)]
pub(super) async fn list(State(shared): App) -> Result<Json<AllWaiting>, Problem> {
    let items = shared.store.approvals(None).await?.into_iter().map(|asked| Waiting {
        id: asked.id,
        run: asked.run,
        action: asked.action,
        reason: asked.reason,
        patch: asked.patch,
        people: asked.people,
        agreed: asked.agreed.into_iter().map(|one| one.person).collect(),
        not_by: asked.not_by,
        requested_at: asked.requested_at,
        expires_at: asked.expires_at,
    });
    Ok(Json(AllWaiting { items: items.collect() }))
}

/// Agree to the patch of a run that waits, or to another one of its green candidates. Where as many people agreed as have to, it lands behind
/// this call; follow the run's events.
#[utoipa::path(
    post, path = "/runs/{run}/approve", tag = "approvals", security(("token" = ["approve"])),
    params(
        ("run" = String, Path, description = "The run"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, pattern = "^[!-~]([ -~]*[!-~])?$", description = "Names the call, so that it can be made again"),
    ),
    request_body = Approval,
    responses((status = 202, description = "Agreed; it lands now, or waits for others to agree", body = Done))
)]
pub(super) async fn approve(
    State(shared): App,
    caller: Caller,
    Path(run): Path<String>,
    Body(approval): Body<Approval>,
) -> Result<(StatusCode, Json<Done>), Problem> {
    let remark = remarked(approval.remark.as_deref())?.map(str::to_owned);
    let answered = Answer::Approve { patch: Which::Digest(approval.patch), remark };
    let (run, came) = answer(&shared, &caller, &run, answered).await?;
    Ok((StatusCode::ACCEPTED, Json(Done { run, done: came.told() })))
}

/// Refuse the patch of a run that waits. Nothing is changed.
#[utoipa::path(
    post, path = "/runs/{run}/reject", tag = "approvals", security(("token" = ["approve"])),
    params(
        ("run" = String, Path, description = "The run"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, pattern = "^[!-~]([ -~]*[!-~])?$", description = "Names the call, so that it can be made again"),
    ),
    request_body = Rejection,
    responses((status = 200, description = "Refused", body = Done))
)]
pub(super) async fn reject(
    State(shared): App,
    caller: Caller,
    Path(run): Path<String>,
    Body(rejection): Body<Rejection>,
) -> Result<Json<Done>, Problem> {
    let reason = said(&rejection.reason, "reason")?.to_owned();
    let (run, came) = answer(&shared, &caller, &run, Answer::Reject { reason }).await?;
    Ok(Json(Done { run, done: came.told() }))
}

/// Passes on what a person says to a patch. Gives the run, and what came of it.
pub(crate) async fn answer(
    shared: &Shared,
    caller: &Caller,
    run: &str,
    answer: Answer,
) -> Result<(String, Came), Problem> {
    caller.needs(Scope::Approve)?;
    let run = shared.store.run(run).await.map_err(Problem::of_lookup)?.id;
    let came = shared.actions.answer(&run, &caller.person(), answer).await.map_err(Problem::of_action)?;
    Ok((run, came))
}

/// Take the landing of a run back.
#[utoipa::path(
    post, path = "/runs/{run}/rollback", tag = "runs", security(("token" = ["approve"])),
    params(
        ("run" = String, Path, description = "The run"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, pattern = "^[!-~]([ -~]*[!-~])?$", description = "Names the call, so that it can be made again"),
    ),
    request_body = TakeBack,
    responses((status = 200, description = "Taken back", body = Done))
)]
pub(super) async fn roll_back(
    State(shared): App,
    Path(run): Path<String>,
    Body(how): Body<TakeBack>,
) -> Result<Json<Done>, Problem> {
    let run = shared.store.run(&run).await.map_err(Problem::of_lookup)?.id;
    let done = shared.actions.roll_back(&run, how.reset).await.map_err(Problem::of_action)?;
    Ok(Json(Done { run, done }))
}

/// The most characters of what a person says.
pub(crate) const SAID: usize = 2000;

/// What a person remarks, if that is anything.
pub(crate) fn remarked(text: Option<&str>) -> Result<Option<&str>, Problem> {
    text.filter(|text| !text.trim().is_empty()).map(|text| said(text, "remark")).transpose()
}

/// What a person says: not nothing, and no book.
pub(crate) fn said<'t>(text: &'t str, what: &str) -> Result<&'t str, Problem> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err(Problem::bad_request(format!("the {what} is empty"))),
        1..=SAID => Ok(text),
        _ => Err(Problem::bad_request(format!("the {what} is longer than {SAID} characters"))),
    }
}
