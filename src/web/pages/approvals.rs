//! What waits for a person.

use axum::extract::State;
use axum::response::Response;
use minijinja::context;

use super::{Broken, page as respond};
use crate::run::journal::load;
use crate::web::access::{Caller, Scope};
use crate::web::{App, standing};

/// The page.
pub(super) async fn page(State(shared): App, caller: Caller) -> Result<Response, Broken> {
    let mut items = Vec::new();
    for asked in shared.store.approvals(None).await? {
        let row = shared.store.run(&asked.run).await?;
        let Ok(run) = load(&shared.store, &asked.run).await else { continue };
        let stat = run.result().stat();
        items.push(context! {
            proposal => run.proposed().and(shared.store.proposal_of(&row.id).await?), id => row.id, goal => shared.redactor.redact(&row.goal), repo => row.repo, action => asked.action, reason => asked.reason,
            at => asked.requested_at.to_string(), reasons => run.approval, files => stat.files,
            people => asked.people, agreed => asked.agreed.len(),
            risk => run.assessed.as_ref().map(|(found, _)| found.risk.as_str()),
            over => asked.expires_at.is_some_and(|end| end <= shared.clock.now()), added => stat.added, removed => stat.removed, credited => run.credited(), waits => standing::waits(&run),
        });
    }
    let values = context! { items, may => caller.may(Scope::Approve) };
    respond(&shared, &caller, "approvals.html", values).await
}
