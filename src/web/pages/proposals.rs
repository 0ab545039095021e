//! The list of proposals, with filters.

use axum::extract::State;
use axum::response::Response;
use minijinja::{Value, context};

use super::listed::{Filter, PAGE, repos, some};
use super::{Broken, page as respond, shown};
use crate::proposal::State as Stands;
use crate::store::ProposalFilter;
use crate::web::App;
use crate::web::access::Caller;
use crate::web::api::{Query, proposals};

/// The list.
pub(super) async fn page(
    State(shared): App,
    caller: Caller,
    Query(filter): Query<Filter>,
) -> Result<Response, Broken> {
    let state = Stands::parse(&filter.state).ok();
    let wanted = ProposalFilter { state, repo: some(&filter.repo), text: some(&filter.text) };
    let after = some(&filter.cursor);
    let (rows, next) = proposals::page(&shared, &wanted, after.as_deref(), PAGE).await?;
    let rows: Vec<Value> = rows
        .into_iter()
        .map(|row| {
            let (word, tone) = shown::proposal(row.state);
            context! {
                id => row.id, title => row.title, repo => row.repo, by => row.requested_by, word, tone,
                reason => row.reason, landed => row.landed, attempts => row.auto_fix_attempts,
                fixed => row.auto_fix_applied, created_at => row.created_at.to_string(),
            }
        })
        .collect();
    let counts: Vec<Value> = shared
        .store
        .proposal_states()
        .await?
        .into_iter()
        .map(|(state, count)| context! { state => state.as_str(), words => state.words(), count })
        .collect();
    let states: Vec<(&str, String)> =
        Stands::ALL.iter().map(|state| (state.as_str(), state.words())).collect();
    let repos = repos(&shared.store).await?;
    let query = serde_urlencoded::to_string(&filter).unwrap_or_default();
    let filtered = state.is_some() || wanted.repo.is_some() || wanted.text.is_some();
    let values = context! {
        rows, filter, filtered, counts, states, repos, first => after.is_none(),
        next => next.map(|cursor| format!("/proposals?{query}&cursor={cursor}")),
    };
    respond(&shared, &caller, "proposals.html", values).await
}
