//! The list of runs, with filters.

use axum::extract::State;
use axum::response::Response;
use minijinja::{Value, context};
use serde::{Deserialize, Serialize};

use super::listed::{PAGE, repos, some};
use super::{Broken, page as respond, shown};
use crate::store::Listing;
use crate::web::access::Caller;
use crate::web::api::{Query, runs};
use crate::web::{App, standing};

/// What the form above the list says: empty fields filter nothing.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Filter {
    #[serde(default)]
    status: String,
    #[serde(default)]
    repo: String,
    #[serde(default)]
    trigger: String,
    #[serde(default)]
    priority: String,
    #[serde(default)]
    text: String,
    #[serde(default, skip_serializing)]
    cursor: String,
}

impl Filter {
    fn listing(&self) -> Listing {
        let stands = matches!(self.status.as_str(), "queued" | "running" | "waiting" | "finished");
        Listing {
            status: some(&self.status).filter(|_| stands),
            outcome: some(&self.status).filter(|status| !stands && status != "needs"),
            wanting: self.status == "needs",
            repo: some(&self.repo),
            trigger: some(&self.trigger),
            priority: some(&self.priority),
            text: some(&self.text),
            ..Listing::default()
        }
    }

    fn is_set(&self) -> bool {
        [&self.status, &self.repo, &self.trigger, &self.priority, &self.text]
            .iter()
            .any(|field| !field.trim().is_empty())
    }
}

/// The list.
pub(super) async fn page(
    State(shared): App,
    caller: Caller,
    Query(filter): Query<Filter>,
) -> Result<Response, Broken> {
    let after = some(&filter.cursor);
    let (rows, next) = runs::page(&shared, &filter.listing(), after.as_deref(), PAGE).await?;
    let mut shown_rows: Vec<Value> = Vec::new();
    for row in &rows {
        let cut_off = standing::cut_off(&shared.store, row).await?;
        shown_rows.push(shown::row(row, cut_off, &shared.redactor));
    }
    let standings = shared.store.standings().await?;
    let depth = shared.store.depth().await?;
    let count = |status: &str| standings.iter().find(|(name, _)| name == status).map_or(0, |(_, runs)| *runs);
    let query = serde_urlencoded::to_string(&filter).unwrap_or_default();
    let repos = repos(&shared.store).await?;
    let values = context! {
        rows => shown_rows, filter => filter, filtered => filter.is_set(), first => after.is_none(), repos,
        next => next.map(|cursor| format!("/?{query}&cursor={cursor}")),
        depth, queued => count("queued"), running => count("running"), waits => count("waiting"), finished => count("finished"),
    };
    respond(&shared, &caller, "runs.html", values).await
}
