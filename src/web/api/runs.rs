//! Runs: lists of them, and all that is known of one.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::super::problem::Problem;
use super::super::{App, Shared, log, standing};
use super::approvals::Question;
use super::queue::Priority as Urgency;
use super::{Path, Query};
use crate::policy::{self, Assessment, Terms};
use crate::redact::Redactor;
use crate::run::AttemptState;
use crate::run::journal::records;
use crate::store::{self, Listing, Mark, RunRow};

/// Which runs, and how many.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Standing so.
    status: Option<Standing>,
    /// Ended so: `healed`, `green`, `red`, `limit`, `waiting`, `refused`, `flaky`, `infra`, …
    outcome: Option<String>,
    /// Of this repo: its root.
    repo: Option<String>,
    /// Started by this: `heal`, `ticket`, `subtask`, `proposal`.
    trigger: Option<String>,
    /// Submitted with this priority.
    priority: Option<Urgency>,
    /// With this in its goal, repo, summary or id.
    text: Option<String>,
    /// Made at this moment or later (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Made before this moment (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// The most that are given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// Where the last page ended: its `next`.
    cursor: Option<String>,
}

/// How a run stands.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Standing {
    /// Waits for a worker.
    Queued,
    /// Under way, or cut off.
    Running,
    /// Waits for a person.
    Waiting,
    /// Over.
    Finished,
}

impl Standing {
    fn as_str(self) -> &'static str {
        match self {
            Standing::Queued => "queued",
            Standing::Running => "running",
            Standing::Waiting => "waiting",
            Standing::Finished => "finished",
        }
    }
}

/// A run in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunItem {
    /// Its id. Calls take any unambiguous start or end of it, too.
    id: String,
    /// The repo's root.
    repo: String,
    /// What started it.
    #[schema(example = "heal")]
    trigger: String,
    /// What it was submitted with; nothing for one that was begun by hand.
    #[schema(example = "normal")]
    priority: Option<String>,
    /// What should become green.
    goal: String,
    /// How it stands.
    #[schema(example = "finished")]
    status: String,
    /// How it ended, in one word.
    #[schema(example = "healed")]
    outcome: Option<String>,
    /// The exit code that `regreen` ended with.
    exit: Option<i64>,
    /// Why it stopped, in one sentence.
    summary: Option<String>,
    /// What it started from.
    base: Option<String>,
    /// Where it landed.
    landed: Option<String>,
    /// Attempts, those that passed on included.
    attempts: u64,
    /// What its models cost, in millionths of a US dollar.
    cost_micro_usd: u64,
    /// When it was made.
    created_at: Timestamp,
    /// When its last event was recorded.
    updated_at: Timestamp,
}

impl RunItem {
    /// As callers get it: a command is kept as it was given, and told without what `redactor` knows.
    pub(crate) fn of(row: RunRow, redactor: &Redactor) -> Self {
        Self {
            id: row.id,
            repo: row.repo,
            trigger: row.trigger,
            priority: row.priority.map(|priority| priority.as_str().to_owned()),
            goal: redactor.redact(&row.goal).into_owned(),
            status: row.status.as_str().to_owned(),
            outcome: row.outcome,
            exit: row.exit,
            summary: row.summary,
            base: row.base,
            landed: row.landed,
            attempts: row.attempts,
            cost_micro_usd: row.cost.0,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A page of runs, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RunPage {
    items: Vec<RunItem>,
    /// What to give as `cursor` for the next page; nothing where this is the last.
    next: Option<String>,
}

/// One attempt.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AttemptItem {
    /// From 1.
    attempt: u32,
    /// The rung of the ladder, from 0.
    rung: usize,
    /// Who proposed.
    #[schema(example = "codefix(rustc)")]
    fixer: String,
    /// The model that was asked, if one was.
    model: Option<String>,
    /// What became of it: `green`, `keep`, `drop`, `pass`; nothing while it is made.
    decision: Option<String>,
    /// Why.
    reason: Option<String>,
    /// The fixer's words.
    explanation: String,
    /// What guards said.
    findings: Vec<String>,
    /// How many files, lines added and lines removed it proposes.
    stat: Option<[usize; 3]>,
    /// What its calls of models cost, in millionths of a US dollar.
    cost_micro_usd: u64,
    /// When it began.
    began_at: Timestamp,
    /// When it was decided.
    ended_at: Option<Timestamp>,
}

impl AttemptItem {
    fn of(attempt: &AttemptState) -> Self {
        let stat = attempt.patch.as_ref().map(crate::patch::Patch::stat);
        Self {
            attempt: attempt.attempt,
            rung: attempt.rung,
            fixer: attempt.fixer.clone(),
            model: attempt.model.clone(),
            decision: attempt.decision.as_ref().and_then(|(decision, _)| word(decision)),
            reason: attempt.decision.as_ref().map(|(_, reason)| reason.clone()),
            explanation: attempt.explanation.clone(),
            findings: attempt.findings.iter().map(ToString::to_string).collect(),
            stat: stat.map(|stat| [stat.files, stat.added, stat.removed]),
            cost_micro_usd: attempt.cost.0,
            began_at: attempt.began,
            ended_at: attempt.ended,
        }
    }
}

/// How risky a patch is, and what policy says of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RiskItem {
    /// `green`, `yellow`, `red`.
    #[schema(example = "yellow")]
    risk: String,
    /// Why, the gravest first.
    reasons: Vec<RiskReason>,
    /// Where what is healed runs: `local`, `dev`, `staging`, `production`.
    environment: String,
    /// What follows: `auto`, `approve`, `deny`.
    ruling: String,
}

/// Why a patch has its risk.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RiskReason {
    /// The rule's id (docs/governance.md).
    #[schema(example = "migration")]
    rule: String,
    /// What the patch is at least, by this rule.
    risk: String,
    /// Why, in words.
    text: String,
    /// The files that it is about, at most 50.
    paths: Vec<String>,
}

impl RiskItem {
    fn of((assessment, terms): &(Assessment, Terms)) -> Self {
        let reason = |reason: &policy::Reason| RiskReason {
            rule: reason.rule.clone(),
            risk: reason.risk.as_str().to_owned(),
            text: reason.text.clone(),
            paths: reason.paths.iter().map(ToString::to_string).collect(),
        };
        Self {
            risk: assessment.risk.as_str().to_owned(),
            reasons: assessment.reasons.iter().map(reason).collect(),
            environment: terms.environment.as_str().to_owned(),
            ruling: terms.ruling.as_str().to_owned(),
        }
    }
}

/// One of several green patches.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CandidateItem {
    /// From 1, in the order in which they were found.
    number: usize,
    /// Its digest, to approve it by.
    patch: String,
    /// Whether it is the one that is kept and waits.
    kept: bool,
    /// Why it did not hold when it was to be proven.
    failed: Option<String>,
    /// How many files, lines added and lines removed it has.
    stat: [usize; 3],
}

/// Why a run stopped.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Stop {
    /// The rule.
    #[schema(example = "ladder-exhausted")]
    rule: String,
    /// Why, in words.
    why: String,
    /// Where a person should look first.
    look_at: Vec<String>,
}

/// All that is known of a run, but for its events.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RunDetail {
    #[serde(flatten)]
    run: RunItem,
    /// Its last event.
    seq: u64,
    /// Whether it is under way though no process has it: `regreen resume` goes on with it.
    cut_off: bool,
    /// How it stands in the queue: `queued`, `delayed`, `blocked`, `running`; nothing where it is not in it.
    queue: Option<String>,
    /// Why it is blocked or delayed there.
    queue_reason: Option<String>,
    /// The fixers in their order; none before it began.
    ladder: Vec<String>,
    /// The most that its models may cost, in millionths of a US dollar; nothing before it began.
    budget_micro_usd: Option<u64>,
    /// What the untouched tree was found to be: `green`, `red`, `flaky`, `infra`.
    baseline: Option<String>,
    attempts_made: Vec<AttemptItem>,
    /// Who asked for it: a token's name, or a user of the command line.
    requester: Option<String>,
    /// How risky what it keeps is; nothing before that is proven.
    risk: Option<RiskItem>,
    /// What a person has to decide.
    waiting: Option<Question>,
    /// Green patches that a person may choose among while it waits; none where there is only one.
    candidates: Vec<CandidateItem>,
    /// Why it stopped without a green tree.
    stopped: Option<Stop>,
    /// The proof, as events have it (docs/events.md).
    #[schema(value_type = Option<Object>)]
    proof: Option<Value>,
    /// How its landing was taken back.
    rolled_back: Option<String>,
    /// What a person should know.
    warnings: Vec<String>,
    /// What can be done with it now: `approve`, `reject`, `roll-back`, `cancel`, `retry`.
    actions: Vec<String>,
}

/// One call of a model. Secrets were taken out before it was sent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CallItem {
    /// The attempt, 0 for a plan.
    attempt: u32,
    /// The provider's name in the configuration.
    provider: String,
    /// The model.
    model: String,
    /// What it was told to be.
    system: String,
    /// What was said, in turns: who, and what.
    turns: Vec<Turn>,
    /// What it answered.
    answer: Option<String>,
    /// Why it did not.
    error: Option<String>,
    /// Tokens in, whether from a cache or not.
    input_tokens: u64,
    /// Tokens out.
    output_tokens: u64,
    /// What it cost, in millionths of a US dollar; nothing for a model without a price.
    cost_micro_usd: Option<u64>,
    /// How long it took, in milliseconds.
    duration_ms: u64,
}

/// One turn of a conversation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Turn {
    /// `user` or `assistant`.
    role: String,
    /// What was said.
    text: String,
}

/// The calls of a run.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Calls {
    items: Vec<CallItem>,
}

/// A serialised enumeration's name.
pub(super) fn word(value: &impl Serialize) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(str::to_owned)
}

/// Which page a cursor means.
pub(crate) fn mark(cursor: &str) -> Result<Mark, Problem> {
    let wrong = || Problem::bad_request("the cursor is none that this service gave");
    let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let (at, id) = text.as_deref().and_then(|text| text.split_once(' ')).ok_or_else(wrong)?;
    Ok(Mark { created_at: at.parse().map_err(|_| wrong())?, id: id.to_owned() })
}

/// The cursor behind what was made at this moment, with this id.
pub(crate) fn cursor_of(created_at: Timestamp, id: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{} {id}", crate::store::moment(created_at)))
}

/// A page of runs, and the cursor of the next one.
pub(crate) async fn page(
    shared: &Shared,
    listing: &Listing,
    after: Option<&str>,
    limit: u32,
) -> Result<(Vec<RunRow>, Option<String>), Problem> {
    let mark = after.map(mark).transpose()?;
    let mut rows = shared.store.list(listing, mark.as_ref(), limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| cursor_of(row.created_at, &row.id));
    Ok((rows, next))
}

/// Runs, newest first.
#[utoipa::path(
    get, path = "/runs", tag = "runs", params(Which), security(("token" = ["read"])),
    responses((status = 200, description = "A page of runs", body = RunPage))
)]
pub(super) async fn list(State(shared): App, Query(which): Query<Which>) -> Result<Json<RunPage>, Problem> {
    let limit = super::limit(which.limit, 50, 200)?;
    let listing = Listing {
        status: which.status.map(|status| status.as_str().to_owned()),
        outcome: which.outcome,
        repo: which.repo,
        trigger: which.trigger,
        priority: which.priority.map(|priority| store::Priority::from(priority).as_str().to_owned()),
        text: which.text.filter(|text| !text.is_empty()),
        since: which.since,
        until: which.until,
        wanting: false,
    };
    let (rows, next) = page(&shared, &listing, which.cursor.as_deref(), limit).await?;
    Ok(Json(RunPage {
        items: rows.into_iter().map(|row| RunItem::of(row, &shared.redactor)).collect(),
        next,
    }))
}

/// All that is known of a run, but for its events.
#[utoipa::path(
    get, path = "/runs/{run}", tag = "runs", params(("run" = String, Path, description = "The run")),
    security(("token" = ["read"])),
    responses((status = 200, description = "The run", body = RunDetail))
)]
pub(super) async fn show(State(shared): App, Path(run): Path<String>) -> Result<Json<RunDetail>, Problem> {
    let row = shared.store.run(&run).await.map_err(Problem::of_lookup)?;
    let records = records(&shared.store, &row.id, 0).await?;
    let queued = shared.store.queued(&row.id).await?;
    let cut_off = standing::cut_off(&shared.store, &row).await?;
    let mut detail = RunDetail {
        seq: records.last().map_or(0, |last| last.seq),
        cut_off,
        actions: standing::actions(None, &row, queued.as_ref()).into_iter().map(str::to_owned).collect(),
        queue: queued.as_ref().map(|queued| queued.standing.as_str().to_owned()),
        queue_reason: queued.as_ref().and_then(|queued| queued.reason.clone()),
        run: RunItem::of(row.clone(), &shared.redactor),
        ladder: Vec::new(),
        budget_micro_usd: None,
        baseline: None,
        attempts_made: Vec::new(),
        requester: None,
        risk: None,
        waiting: None,
        candidates: Vec::new(),
        stopped: None,
        proof: None,
        rolled_back: None,
        warnings: Vec::new(),
    };
    // One that waits in the queue has no more to tell.
    let Some(run) = standing::begun(&records)? else { return Ok(Json(detail)) };
    let baseline = run.baseline.as_ref().and_then(|found| serde_json::to_value(found).ok());
    detail.actions =
        standing::actions(Some(&run), &row, queued.as_ref()).into_iter().map(str::to_owned).collect();
    detail.ladder = run.spec.ladder.iter().map(|rung| rung.fixer.clone()).collect();
    detail.budget_micro_usd = Some(run.spec.budget.0);
    detail.baseline = baseline.and_then(|found| Some(found.get("baseline")?.as_str()?.to_owned()));
    detail.attempts_made = run.attempts.iter().map(AttemptItem::of).collect();
    detail.requester = Some(run.spec.requester.clone()).filter(|name| !name.is_empty());
    detail.risk = run.assessed.as_ref().map(RiskItem::of);
    detail.waiting = standing::waits(&run).then(|| Question::of(&run));
    let candidate = |(at, one): (usize, crate::run::Candidate)| CandidateItem {
        number: at + 1,
        patch: one.patch.digest(),
        kept: at + 1 == run.choice(),
        failed: one.failed,
        stat: Some(one.patch.stat()).map(|stat| [stat.files, stat.added, stat.removed]).unwrap_or_default(),
    };
    detail.candidates = run.choices().into_iter().enumerate().map(candidate).collect();
    detail.stopped = run.stopped.as_ref().map(|(rule, why, look_at)| Stop {
        rule: word(rule).unwrap_or_default(),
        why: why.clone(),
        look_at: look_at.clone(),
    });
    detail.proof = run.proof.as_ref().map(serde_json::to_value).transpose().map_err(anyhow::Error::from)?;
    detail.rolled_back = run.rolled_back.clone();
    detail.warnings = run.warnings.iter().map(|(what, advice)| format!("{what}; {advice}")).collect();
    Ok(Json(detail))
}

/// Which patch of a run.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichPatch {
    /// That of this one of its `candidates`; otherwise the one that it keeps.
    #[param(minimum = 1)]
    candidate: Option<usize>,
}

/// The patch that a run keeps, or another candidate's, as a unified diff for `git apply`.
#[utoipa::path(
    get, path = "/runs/{run}/patch", tag = "runs",
    params(WhichPatch, ("run" = String, Path, description = "The run")),
    security(("token" = ["read"])),
    responses((status = 200, description = "The patch", body = String, content_type = "text/x-diff"))
)]
pub(super) async fn patch(
    State(shared): App,
    Path(run): Path<String>,
    Query(which): Query<WhichPatch>,
) -> Result<Response, Problem> {
    let row = shared.store.run(&run).await.map_err(Problem::of_lookup)?;
    let run = standing::begun(&records(&shared.store, &row.id, 0).await?)?;
    let patch = match which.candidate {
        None => run.map(|run| run.result().unified()).unwrap_or_default(),
        Some(number) => {
            let choices = run.map(|run| run.choices()).unwrap_or_default();
            let chosen = number.checked_sub(1).and_then(|at| choices.get(at));
            let none = || Problem::not_found(format!("the run has no candidate {number}"));
            chosen.ok_or_else(none)?.patch.unified()
        }
    };
    Ok(([(header::CONTENT_TYPE, "text/x-diff; charset=utf-8")], patch).into_response())
}

/// What a check printed, without secrets and escape sequences.
#[utoipa::path(
    get, path = "/runs/{run}/logs/{seq}", tag = "runs",
    params(
        ("run" = String, Path, description = "The run"),
        ("seq" = u64, Path, description = "The event `checked` of that check"),
    ),
    security(("token" = ["read"])),
    responses((status = 200, description = "The log", body = String, content_type = "text/plain"))
)]
pub(super) async fn log(
    State(shared): App,
    Path((run, seq)): Path<(String, u64)>,
) -> Result<Response, Problem> {
    let row = shared.store.run(&run).await.map_err(Problem::of_lookup)?;
    let log = log::log(&shared, &row.id, seq).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], log.text).into_response())
}

/// What models were sent, and what they answered.
#[utoipa::path(
    get, path = "/runs/{run}/calls", tag = "runs", params(("run" = String, Path, description = "The run")),
    security(("token" = ["read"])),
    responses((status = 200, description = "The calls, oldest first", body = Calls))
)]
pub(super) async fn calls(State(shared): App, Path(run): Path<String>) -> Result<Json<Calls>, Problem> {
    let row = shared.store.run(&run).await.map_err(Problem::of_lookup)?;
    let mut items = Vec::new();
    for record in records(&shared.store, &row.id, 0).await? {
        let crate::run::events::Event::Asked { attempt, call } = record.event else { continue };
        let redact = |text: &str| shared.redactor.redact(text).into_owned();
        let turn = |turn: &crate::models::Turn| Turn {
            role: word(&turn.role).unwrap_or_default(),
            text: redact(&turn.text),
        };
        items.push(CallItem {
            attempt,
            provider: call.provider,
            model: call.model,
            system: redact(&call.request.system),
            turns: call.request.turns.iter().map(turn).collect(),
            answer: call.answer.as_ref().ok().map(|answer| redact(&answer.text)),
            error: call.answer.as_ref().err().map(|why| redact(why)),
            input_tokens: call.usage.input + call.usage.cache_read + call.usage.cache_write,
            output_tokens: call.usage.output,
            cost_micro_usd: call.cost.map(|cost| cost.0),
            duration_ms: call.duration.as_millis().try_into().unwrap_or(u64::MAX),
        });
    }
    Ok(Json(Calls { items }))
}
