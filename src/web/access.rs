//! Who calls, and what they may do: tokens, sessions of browsers, scopes, rates, and the record of what was asked.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use anyhow::Result;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Shared;
use super::problem::Problem;
use crate::fault::Fault;
use crate::store::{Asked, Store, TokenRow};

/// What a token may do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, utoipa::ToSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// See runs, their logs, patches, prompts and costs.
    Read,
    /// Begin, cancel and retry runs. Sees what `read` sees.
    Submit,
    /// Approve, reject and roll back. Sees what `read` sees.
    Approve,
    /// Everything, the audit log included.
    Admin,
}

impl Scope {
    const ALL: [Scope; 4] = [Scope::Read, Scope::Submit, Scope::Approve, Scope::Admin];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Submit => "submit",
            Scope::Approve => "approve",
            Scope::Admin => "admin",
        }
    }
}

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The token's id.
    pub(crate) token: String,
    /// The token's name.
    pub(crate) name: String,
    scopes: BTreeSet<Scope>,
    /// What forms of this session have to send along; `None` for a caller that showed the token itself.
    pub(crate) seal: Option<String>,
}

impl Caller {
    fn new(row: &TokenRow, seal: Option<String>) -> Self {
        let known =
            Scope::ALL.into_iter().filter(|scope| row.scopes.split(' ').any(|name| name == scope.as_str()));
        Self { token: row.id.clone(), name: row.name.clone(), scopes: known.collect(), seal }
    }

    /// Who it is, where it matters that people differ. Whoever has a token that the service printed sat at this machine.
    pub(crate) fn person(&self) -> String {
        if self.name.starts_with(super::LOCAL) { crate::process::user() } else { self.name.clone() }
    }

    /// Whether the caller may do this.
    pub(crate) fn may(&self, scope: Scope) -> bool {
        let all = self.scopes.contains(&Scope::Admin);
        all || self.scopes.contains(&scope) || (scope == Scope::Read && !self.scopes.is_empty())
    }

    /// Lets through who may do this.
    pub(crate) fn needs(&self, scope: Scope) -> Result<(), Problem> {
        if self.may(scope) {
            return Ok(());
        }
        let problem =
            Problem::forbidden(format!("the token {:?} lacks the scope {}", self.name, scope.as_str()));
        Err(problem
            .hint(format!("`regreen token create NAME --scope {}` makes one that has it", scope.as_str())))
    }
}

/// The secret part of a token, in bytes. Nobody can guess it, so a plain digest of it is enough at rest.
const SECRET: usize = 32;

/// Makes a token: what its owner gets, once, and the row that is kept.
///
/// # Errors
/// A [`Fault`] where the name is no plain name, or the machine gives no random bytes.
pub fn mint(
    name: &str,
    scopes: &BTreeSet<Scope>,
    now: Timestamp,
    expires_at: Option<Timestamp>,
) -> Result<(String, TokenRow)> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | ':' | ' ');
    if name.is_empty() || name.len() > 64 || name.trim() != name || !name.chars().all(plain) {
        return Err(Fault::usage(format!("{name:?} is no name for a token"))
            .hint("up to 64 letters, digits, spaces and - _ . @ :")
            .into());
    }
    let id = hex::encode(random::<6>()?);
    let secret = URL_SAFE_NO_PAD.encode(random::<SECRET>()?);
    let scopes: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
    let row = TokenRow {
        hash: digest(&secret),
        name: name.to_owned(),
        scopes: scopes.join(" "),
        created_at: now,
        expires_at,
        revoked_at: None,
        used_at: None,
        id,
    };
    Ok((format!("rgt_{}_{secret}", row.id), row))
}

/// Makes a key for Sentry's SDKs, which take letters and digits only, and the digest that is kept of it.
///
/// # Errors
/// Where the machine gives no random bytes.
pub fn mint_key() -> Result<(String, String)> {
    let key = hex::encode(random::<16>()?);
    let hash = digest(&key);
    Ok((key, hash))
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(bytes)
}

pub(crate) fn digest(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

/// The token whose secret this is, if it is valid.
pub(crate) async fn authentic(store: &Store, text: &str, now: Timestamp) -> Result<Option<TokenRow>> {
    let parts = text.strip_prefix("rgt_").and_then(|rest| rest.split_once('_'));
    let Some((id, secret)) = parts else { return Ok(None) };
    let Some(row) = store.token(id).await? else { return Ok(None) };
    let same: bool = digest(secret).as_bytes().ct_eq(row.hash.as_bytes()).into();
    Ok(Some(row).filter(|row| same && row.is_valid(now)))
}

/// What the forms of a session send along: follows from the session's secret, which no page's script and no other site can read.
pub(crate) fn seal(session: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!("form\0{session}")))
}

/// How often one may call.
pub(crate) struct Limits {
    tokens: DefaultKeyedRateLimiter<String>,
    strangers: DefaultKeyedRateLimiter<IpAddr>,
}

/// Wrong tokens that one address may show in a minute.
const WRONG: NonZeroU32 = NonZeroU32::new(30).expect("not zero");
/// Addresses that are remembered before those that rested are forgotten.
const ADDRESSES: usize = 10_000;

impl Limits {
    pub(crate) fn new(rate: NonZeroU32) -> Self {
        Self {
            tokens: RateLimiter::keyed(Quota::per_minute(rate)),
            strangers: RateLimiter::keyed(Quota::per_minute(WRONG)),
        }
    }

    fn check(&self, caller: &Caller) -> Result<(), Problem> {
        self.tokens.check_key(&caller.token).map_err(|until| too_many(&until))
    }

    /// What one hears who showed no valid token.
    pub(crate) fn stranger(&self, address: IpAddr, detail: &str) -> Problem {
        if self.strangers.len() > ADDRESSES {
            self.strangers.retain_recent();
        }
        match self.strangers.check_key(&address) {
            Ok(()) => Problem::unauthorized(detail),
            Err(until) => too_many(&until),
        }
    }
}

fn too_many(until: &governor::NotUntil<<DefaultClock as governor::clock::Clock>::Instant>) -> Problem {
    Problem::too_many(until.wait_time_from(DefaultClock::default().now()).as_secs() + 1)
}

/// The session's secret that the browser sends.
pub(crate) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut found = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
    found.next()
}

async fn session(shared: &Shared, headers: &HeaderMap) -> Result<Option<Caller>> {
    let Some(secret) = cookie(headers, &shared.hosts.cookie()) else { return Ok(None) };
    let row = shared.store.session_token(&digest(secret)).await?;
    Ok(row.filter(|row| row.is_valid(shared.clock.now())).map(|row| Caller::new(&row, Some(seal(secret)))))
}

async fn shown(shared: &Shared, headers: &HeaderMap, from: IpAddr) -> Result<Option<Caller>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let text = value.to_str().ok().and_then(|text| text.split_once(' '));
    let Some(text) = text.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else {
        return Err(shared.limits.stranger(from, "the header Authorization is not of the form `Bearer …`"));
    };
    let Some(row) = authentic(&shared.store, text.1.trim(), shared.clock.now()).await? else {
        return Err(shared.limits.stranger(from, "the token is not valid (any more)"));
    };
    shared.store.token_used(&row).await?;
    Ok(Some(Caller::new(&row, None)))
}

/// Lets callers of the API through: with a token, or, to read only, with a browser's session.
pub(crate) async fn by_token(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let caller = caller(&shared, from.ip(), request.method(), request.headers()).await?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Who calls the API, and may call now.
///
/// # Errors
/// What one hears who shows no valid token, or calls too often.
pub(crate) async fn caller(
    shared: &Shared,
    from: IpAddr,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Caller, Problem> {
    let mut caller = shown(shared, headers, from).await?;
    if caller.is_none() && matches!(*method, Method::GET | Method::HEAD) {
        caller = session(shared, headers).await?;
    }
    let Some(caller) = caller else {
        return Err(shared.limits.stranger(from, "the request has no token"));
    };
    shared.limits.check(&caller)?;
    Ok(caller)
}

/// Lets a browser with a session through to the pages; others are asked for a token.
pub(crate) async fn in_browser(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let Some(caller) = session(&shared, request.headers()).await? else {
        let to = if *request.method() == Method::GET { request.uri().path_and_query() } else { None };
        let to = to.map_or("/", |to| to.as_str());
        let query = serde_urlencoded::to_string([("to", to)]).unwrap_or_default();
        return Ok(Redirect::to(&format!("/login?{query}")).into_response());
    };
    shared.limits.check(&caller)?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// An answer with a line for the audit log, where the path alone does not say what was done.
pub(crate) struct Noted<R>(pub(crate) String, pub(crate) R);

/// The line.
#[derive(Clone)]
struct Note(String);

impl<R: IntoResponse> IntoResponse for Noted<R> {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        response.extensions_mut().insert(Note(self.0));
        response
    }
}

/// Characters of a path that are written down.
const TARGET: usize = 400;

/// Writes every call that is to change something down, before it is made, and what came of it.
pub(crate) async fn recorded(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(next.run(request).await);
    }
    let Some(caller) = request.extensions().get::<Caller>().cloned() else {
        return Err(Problem::internal());
    };
    let action = format!("{} {}", request.method(), path.as_ref().map_or("", |path| path.as_str()));
    let remote = from.ip().to_string();
    // Whoever has a token decides how long a path is, and not how much the log takes.
    let target: String = request.uri().path().chars().take(TARGET).collect();
    let asked = Asked {
        actor: &caller.name,
        token: Some(&caller.token),
        action: &action,
        target: &target,
        remote: Some(&remote),
    };
    let id = shared.store.audit_begin(&asked).await?;
    let response = next.run(request).await;
    let note = response.extensions().get::<Note>().map(|note| note.0.as_str());
    shared.store.audit_end(&id, response.status().as_u16(), note).await?;
    Ok(response)
}

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, _: &S) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Caller>()
            .cloned()
            .ok_or_else(|| Problem::unauthorized("the request has no token"))
    }
}
