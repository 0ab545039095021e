//! The form that asks for a token, and the session that it begins.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::SignedDuration;
use minijinja::context;
use serde::Deserialize;

use super::{Broken, Nothing, Sealed, html, render};
use crate::store::{Asked, TokenRow};
use crate::web::access::{authentic, cookie, digest, random};
use crate::web::api::{Form, Query};
use crate::web::{App, LOCAL, Shared};

/// How long a session lasts.
const SESSION: SignedDuration = SignedDuration::from_hours(24 * 14);

/// Where one comes from.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Arrival {
    #[serde(default)]
    to: String,
    /// A token that `regreen serve` printed: the address that it printed with it is opened.
    #[serde(default)]
    token: String,
}

/// What the form says.
#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    token: String,
    #[serde(default)]
    to: String,
}

/// Asks for a token.
pub(super) async fn page(
    State(shared): App,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Query(arrival): Query<Arrival>,
) -> Result<Response, Broken> {
    if arrival.token.is_empty() {
        return Ok(html(StatusCode::OK, render("login.html", context! { to => arrival.to })?));
    }
    let row = authentic(&shared.store, &arrival.token, shared.clock.now()).await?;
    // Only the token that this process printed may come in an address: others must not get into histories and logs.
    match row.filter(|row| row.name.starts_with(LOCAL)) {
        Some(row) => begin(&shared, &row, "/", from).await,
        None => refuse(&shared, "/", from),
    }
}

/// Begins a session.
pub(super) async fn enter(
    State(shared): App,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Form(shown): Form<Shown>,
) -> Result<Response, Broken> {
    match authentic(&shared.store, shown.token.trim(), shared.clock.now()).await? {
        Some(row) => begin(&shared, &row, &shown.to, from).await,
        None => refuse(&shared, &shown.to, from),
    }
}

fn refuse(shared: &Shared, to: &str, from: SocketAddr) -> Result<Response, Broken> {
    let problem = shared.limits.stranger(from.ip(), "this token is not valid (any more)");
    if problem.status() != StatusCode::UNAUTHORIZED {
        return Err(problem.into());
    }
    let page = render("login.html", context! { to, wrong => true })?;
    Ok(html(StatusCode::UNAUTHORIZED, page))
}

async fn begin(shared: &Shared, row: &TokenRow, to: &str, from: SocketAddr) -> Result<Response, Broken> {
    let secret = hex::encode(random::<32>()?);
    let remote = from.ip().to_string();
    let asked = Asked {
        actor: &row.name,
        token: Some(&row.id),
        action: "POST /login",
        target: "/login",
        remote: Some(&remote),
    };
    let id = shared.store.audit_begin(&asked).await?;
    let until = shared.clock.now().checked_add(SESSION).map_err(anyhow::Error::from)?;
    let until = row.expires_at.map_or(until, |end| end.min(until));
    shared.store.begin_session(&digest(&secret), &row.id, until).await?;
    shared.store.token_used(row).await?;
    shared.store.audit_end(&id, 303, None).await?;
    let cookie = shared.hosts.set_cookie(&secret, SESSION.as_secs().unsigned_abs());
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(inside(to))).into_response())
}

/// A path of this service, and of no other.
fn inside(to: &str) -> &str {
    let plain = to.starts_with('/') && !to.starts_with("//") && !to.contains(['\\', '\r', '\n', '\t']);
    if plain { to } else { "/" }
}

/// Ends the session.
pub(super) async fn leave(
    State(shared): App,
    headers: HeaderMap,
    _form: Sealed<Nothing>,
) -> Result<Response, Broken> {
    if let Some(secret) = cookie(&headers, &shared.hosts.cookie()) {
        shared.store.end_session(&digest(secret)).await?;
    }
    let gone = shared.hosts.set_cookie("", 0);
    Ok(([(header::SET_COOKIE, gone)], Redirect::to("/login")).into_response())
}

#[cfg(test)]
mod tests {
    use super::inside;

    #[test]
    fn one_is_sent_to_pages_of_this_service_only() {
        assert_eq!(inside("/runs/1?q=a"), "/runs/1?q=a");
        for to in [
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "javascript:alert(1)",
            "",
            "/a\r\nb",
        ] {
            assert_eq!(inside(to), "/", "{to}");
        }
    }
}
