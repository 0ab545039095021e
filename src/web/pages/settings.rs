//! What is in force, who may call, and who asked for what.

use axum::extract::State;
use axum::response::Response;
use minijinja::{Value, context};

use super::{Broken, page as respond};
use crate::web::App;
use crate::web::access::{Caller, Scope};

/// Lines of the audit log that are shown.
const ENTRIES: u32 = 50;

/// The page. Tokens and the audit log are for administrators.
pub(super) async fn page(State(shared): App, caller: Caller) -> Result<Response, Broken> {
    let lines: Vec<Value> = shared
        .settings
        .iter()
        .map(|line| context! { key => line.key, value => line.value, origin => line.origin.to_string() })
        .collect();
    let (mut tokens, mut audit) = (Vec::new(), Vec::new());
    let admin = caller.may(Scope::Admin);
    if admin {
        let now = shared.clock.now();
        for row in shared.store.tokens().await? {
            let moment = |at: Option<jiff::Timestamp>| at.map(|at| at.to_string());
            tokens.push(context! {
                id => row.id, name => row.name, scopes => row.scopes, valid => row.is_valid(now),
                created_at => row.created_at.to_string(), used_at => moment(row.used_at),
                expires_at => moment(row.expires_at), revoked_at => moment(row.revoked_at),
            });
        }
        for row in shared.store.audit(None, ENTRIES).await? {
            audit.push(context! {
                at => row.at.to_string(), actor => row.actor, action => row.action, target => row.target,
                remote => row.remote, status => row.status, detail => row.detail,
            });
        }
    }
    respond(&shared, &caller, "settings.html", context! { lines, tokens, audit, admin }).await
}
