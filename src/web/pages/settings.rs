//! What is in force, who may call, and who asked for what.

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use minijinja::{Value, context};
use serde::Deserialize;

use super::{Broken, Sealed, page as respond};
use crate::web::App;
use crate::web::access::{Caller, Scope};
use crate::web::api::halts::{halted, lifted};

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
    let repos: Vec<String> =
        shared.store.repos(None, None, 1000).await?.into_iter().map(|row| row.repo).collect();
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
    respond(&shared, &caller, "settings.html", context! { lines, tokens, audit, repos, admin }).await
}

/// What is to be halted, and why.
#[derive(Debug, Deserialize)]
pub(super) struct Stop {
    #[serde(default)]
    repo: String,
    reason: String,
}

/// Which halt is to be lifted.
#[derive(Debug, Deserialize)]
pub(super) struct Lift {
    #[serde(default)]
    repo: String,
}

/// A repo, where the form names one.
fn named(repo: &str) -> Option<&str> {
    Some(repo.trim()).filter(|repo| !repo.is_empty())
}

/// Halts a repo, or everything.
pub(super) async fn halt(
    State(shared): App,
    Sealed { caller, form }: Sealed<Stop>,
) -> Result<Response, Broken> {
    caller.needs(Scope::Admin)?;
    halted(&shared, &caller, named(&form.repo), &form.reason).await?;
    Ok(Redirect::to("/settings#halt").into_response())
}

/// Lifts a halt.
pub(super) async fn unhalt(
    State(shared): App,
    Sealed { caller, form }: Sealed<Lift>,
) -> Result<Response, Broken> {
    caller.needs(Scope::Admin)?;
    lifted(&shared, named(&form.repo)).await?;
    Ok(Redirect::to("/settings#halt").into_response())
}
