//! Post-mortems: the list with its search, and one of them.

use axum::extract::State;
use axum::response::Response;
use minijinja::{Value, context};

use super::listed::{Filter, PAGE, repos, some};
use super::{Broken, page as respond};
use crate::store::PostMortemFilter;
use crate::web::App;
use crate::web::access::Caller;
use crate::web::api::postmortems::{PostMortemItem, page as some_of};
use crate::web::api::{Path, Query};
use crate::web::problem::Problem;

/// The list.
pub(super) async fn list(
    State(shared): App,
    caller: Caller,
    Query(filter): Query<Filter>,
) -> Result<Response, Broken> {
    let wanted = PostMortemFilter { repo: some(&filter.repo), text: some(&filter.text) };
    let after = some(&filter.cursor);
    let (items, next) = some_of(&shared, &wanted, after.as_deref(), PAGE).await?;
    let rows: Vec<Value> = items.iter().map(Value::from_serialize).collect();
    let repos = repos(&shared.store).await?;
    let query = serde_urlencoded::to_string(&filter).unwrap_or_default();
    let filtered = wanted.repo.is_some() || wanted.text.is_some();
    let values = context! {
        rows, filter, filtered, repos,
        next => next.map(|cursor| format!("/postmortems?{query}&cursor={cursor}")),
    };
    respond(&shared, &caller, "postmortems.html", values).await
}

/// One of them.
pub(super) async fn one(
    State(shared): App,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Broken> {
    let run = shared.store.run(&name).await.map_err(Problem::of_lookup)?;
    let row = shared.store.postmortem(&run.id).await.map_err(Problem::of_lookup)?;
    let learnt = PostMortemItem::of(&shared, row)?;
    respond(&shared, &caller, "postmortem.html", context! { learnt }).await
}
