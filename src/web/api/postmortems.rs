//! What is to be learnt from runs for which nothing that was tried helped.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::problem::Problem;
use super::super::{App, Shared};
use super::runs::{cursor_of, mark};
use super::{Path, Query};
use crate::run::postmortem::PostMortem;
use crate::store::{PostMortemFilter, PostMortemRow};

/// Which post-mortems, and how many.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichPostMortems {
    /// With all of these words in it; the first six count.
    text: Option<String>,
    /// Of this repo: its root.
    repo: Option<String>,
    /// The most that are given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// Where the last page ended: its `next`.
    cursor: Option<String>,
}

/// What is to be learnt from a run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PostMortemItem {
    /// The run.
    pub(crate) run: String,
    /// The repo's root.
    pub(crate) repo: String,
    /// When the run ended.
    pub(crate) at: Timestamp,
    /// What was to become green.
    pub(crate) goal: String,
    /// The rule that stopped it.
    #[schema(example = "ladder-exhausted")]
    pub(crate) rule: String,
    /// What was wrong, in one line.
    pub(crate) cause: String,
    /// Where.
    #[schema(example = "src/lib.rs:10")]
    pub(crate) place: Option<String>,
    /// The category of that.
    #[schema(example = "missing-member")]
    pub(crate) category: Option<String>,
    /// The failure's fingerprint: runs with the same one failed in the same way.
    pub(crate) fingerprint: Option<String>,
    /// Why the run ended.
    pub(crate) ended: String,
    /// What was red at the end, one line each.
    pub(crate) left: Vec<String>,
    /// What each attempt missed.
    pub(crate) attempts: Vec<MissedItem>,
    /// What would have helped.
    pub(crate) lessons: Vec<LessonItem>,
}

/// What an attempt missed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MissedItem {
    /// Its number, from 1.
    pub(crate) attempt: u32,
    /// Who proposed.
    #[schema(example = "codefix(rustc)")]
    pub(crate) fixer: String,
    /// What became of it: `nothing`, `unusable`, `refused`, `worse`, `no-better`, `partly`, `not-proven`.
    pub(crate) fate: String,
    /// What it missed, in a sentence.
    pub(crate) missed: String,
}

/// What would have helped.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LessonItem {
    /// What it is about: `rule`, `context`, `limit`, `ladder`, `parser`, `person`.
    pub(crate) kind: String,
    /// What to do.
    pub(crate) advice: String,
}

/// A page of them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PostMortemPage {
    /// The newest first.
    items: Vec<PostMortemItem>,
    /// The cursor of the next page; nothing where this is the last one.
    next: Option<String>,
}

impl PostMortemItem {
    /// As it is told: without secrets.
    pub(crate) fn of(shared: &Shared, row: PostMortemRow) -> anyhow::Result<Self> {
        let clean = |text: &str| shared.redactor.redact(text).into_owned();
        let learnt: PostMortem = serde_json::from_value(row.body)?;
        let attempts = learnt.attempts.into_iter().map(|one| MissedItem {
            attempt: one.attempt,
            fixer: one.fixer,
            fate: one.fate,
            missed: clean(&one.missed),
        });
        let lessons = learnt.lessons.into_iter();
        Ok(Self {
            run: row.run,
            repo: row.repo,
            at: row.at,
            goal: clean(&row.goal),
            rule: row.rule,
            cause: clean(&learnt.cause),
            place: learnt.place,
            category: learnt.category,
            fingerprint: row.fingerprint,
            ended: clean(&learnt.ended),
            left: learnt.left.iter().map(|one| clean(one)).collect(),
            attempts: attempts.collect(),
            lessons: lessons.map(|one| LessonItem { kind: one.kind, advice: clean(&one.advice) }).collect(),
        })
    }
}

/// A page of post-mortems, and the cursor of the next one.
pub(crate) async fn page(
    shared: &Shared,
    filter: &PostMortemFilter,
    after: Option<&str>,
    limit: u32,
) -> Result<(Vec<PostMortemItem>, Option<String>), Problem> {
    let after = after.map(mark).transpose()?;
    let mut rows = shared.store.postmortems(filter, after.as_ref(), limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| cursor_of(row.at, &row.run));
    let items: anyhow::Result<Vec<_>> = rows.into_iter().map(|row| PostMortemItem::of(shared, row)).collect();
    Ok((items?, next))
}

/// What is to be learnt from runs for which nothing that was tried helped.
#[utoipa::path(
    get, path = "/postmortems", tag = "runs", params(WhichPostMortems), security(("token" = ["read"])),
    responses((status = 200, description = "A page of post-mortems", body = PostMortemPage))
)]
pub(super) async fn list(
    State(shared): App,
    Query(which): Query<WhichPostMortems>,
) -> Result<Json<PostMortemPage>, Problem> {
    let limit = super::limit(which.limit, 50, 200)?;
    let filter = PostMortemFilter { repo: which.repo, text: which.text };
    let (items, next) = page(&shared, &filter, which.cursor.as_deref(), limit).await?;
    Ok(Json(PostMortemPage { items, next }))
}

/// What is to be learnt from one run.
#[utoipa::path(
    get, path = "/runs/{run}/postmortem", tag = "runs", security(("token" = ["read"])),
    params(("run" = String, Path, description = "The run")),
    responses((status = 200, description = "Its post-mortem; 404 where it has none", body = PostMortemItem))
)]
pub(super) async fn show(
    State(shared): App,
    Path(name): Path<String>,
) -> Result<Json<PostMortemItem>, Problem> {
    let run = shared.store.run(&name).await.map_err(Problem::of_lookup)?;
    let row = shared.store.postmortem(&run.id).await.map_err(Problem::of_lookup)?;
    Ok(Json(PostMortemItem::of(&shared, row)?))
}
