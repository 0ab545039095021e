//! Calls that are made again with the same Idempotency-Key are answered again, not done again.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::Shared;
use super::access::Caller;
use super::door::BODY;
use super::problem::Problem;
use crate::store::Known;

/// The header that names the call.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Bytes of an answer that are kept.
const ANSWER: usize = 1 << 20;

/// Lets the first call with a key through and keeps its answer. One that failed for a reason of the service's own may be made again.
pub(crate) async fn once(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if *request.method() != Method::POST || !request.headers().contains_key(KEY) {
        return Ok(next.run(request).await);
    }
    let Some(caller) = request.extensions().get::<Caller>().cloned() else {
        return Err(Problem::internal());
    };
    let key = request.headers().get(KEY).and_then(|key| key.to_str().ok()).map(str::to_owned);
    let Some(key) = key.filter(|key| (1..=200).contains(&key.len())) else {
        return Err(Problem::bad_request("the Idempotency-Key is no text of 1 to 200 printable characters"));
    };
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY).await else { return Err(Problem::too_large(BODY)) };
    let mut whole = Sha256::new();
    whole.update(parts.uri.path_and_query().map_or("", |path| path.as_str()));
    whole.update([0]);
    whole.update(&body);
    match shared.store.claim_key(&caller.token, &key, &hex::encode(whole.finalize())).await? {
        Known::New => {}
        Known::UnderWay => {
            return Err(Problem::conflict("the request with this Idempotency-Key is still under way"));
        }
        Known::Other => return Err(Problem::key_reused()),
        Known::Answered(status, body) => return Ok(again(status, body)),
    }
    let (store, token) = (shared.store.clone(), caller.token);
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let (parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, ANSWER).await else {
        store.settle_key(&token, &key, None).await?;
        return Err(Problem::internal());
    };
    let passing = parts.status.is_server_error() || parts.status == StatusCode::TOO_MANY_REQUESTS;
    let text = String::from_utf8_lossy(&body);
    store.settle_key(&token, &key, (!passing).then_some((parts.status.as_u16(), text.as_ref()))).await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn again(status: u16, body: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let kind = if status.is_success() { "application/json" } else { "application/problem+json" };
    let mut response = (status, body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
