//! Where forges and trackers deliver: `/hooks/{source}`.
//!
//! A caller is anybody until the signature is verified; nothing of a body is parsed before ([`crate::triggers`]).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::door::BODY;
use super::problem::Problem;
use super::{App, Shared};
use crate::triggers::{Incoming, Refused};

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/hooks/{source}", post(take)).layer(DefaultBodyLimit::max(BODY))
}

async fn take(
    State(shared): App,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(source): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(BODY),
        _ => Problem::bad_request("the body broke off"),
    })?;
    let query = uri.query().unwrap_or_default();
    let incoming = Incoming { path: uri.path(), query, headers: &headers, body: &body };
    let refused = match shared.hooks.take(&source, &incoming).await? {
        Ok(new) => return Ok((StatusCode::ACCEPTED, Json(json!({ "new": new })))),
        Err(refused) => refused,
    };
    Err(match refused {
        Refused::Unknown => Problem::not_found("no webhook with a secret is configured here")
            .hint("docs/forges.md says how one is set up"),
        Refused::Unreadable(why) => Problem::bad_request(why).hint("deliveries are sent as application/json"),
        Refused::Unsigned => shared
            .limits
            .stranger(from.ip(), "the delivery is not signed")
            .hint("set the webhook's secret at the sender to the one that is configured here"),
        Refused::Wrong => {
            // Whoever guesses is held up as one who guesses tokens.
            let problem = shared.limits.stranger(from.ip(), "");
            match problem.status() {
                StatusCode::TOO_MANY_REQUESTS => problem,
                _ => Problem::forbidden("the delivery's signature is wrong")
                    .hint("the webhook's secret is another one at the sender than here"),
            }
        }
    })
}
