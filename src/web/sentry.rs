//! What Sentry's SDKs deliver: envelopes and the older single events, of which errors become incidents; everything else is accepted and dropped.
//!
//! A caller is a program that anybody may have taken over: the key counts for one repo and for reports alone, what is sent is bounded
//! before and after it is unpacked, and nothing of it is kept that has not gone through [`crate::reports::take`].

use std::io::Read;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use super::api::incidents::taken;
use super::{App, Shared, access};
use crate::incident::Report;
use crate::reports::Told;
use crate::trace::{Frame, Language, Trace};

/// Bytes of a request once it is unpacked.
const LARGEST: u64 = 8 << 20;
/// Items of one envelope that are looked at.
const MOST_ITEMS: usize = 100;
/// Exceptions of one event, and frames of one exception.
const MOST_VALUES: usize = 20;
const MOST_FRAMES: usize = 200;
/// Seconds that a program waits which sends too much.
const PAUSE: u64 = 60;

/// How much each project may send.
pub(crate) struct Limits(DefaultKeyedRateLimiter<u64>);

impl Limits {
    /// So many requests a minute.
    pub(crate) fn new(rate: NonZeroU32) -> Self {
        Self(RateLimiter::keyed(Quota::per_minute(rate)))
    }
}

/// The routes, with and without the slash at the end.
pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/{project}/envelope/", post(envelope))
        .route("/api/{project}/envelope", post(envelope))
        .route("/api/{project}/store/", post(single))
        .route("/api/{project}/store", post(single))
}

/// Why nothing was taken, as SDKs read it.
enum Refused {
    Unknown,
    TooMany,
    TooLarge,
    Bad(&'static str),
    Broken(anyhow::Error),
}

impl From<anyhow::Error> for Refused {
    fn from(error: anyhow::Error) -> Self {
        Refused::Broken(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, why) = match self {
            Refused::Unknown => (StatusCode::UNAUTHORIZED, "no such project or key"),
            Refused::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too many requests"),
            Refused::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too large"),
            Refused::Bad(why) => (StatusCode::BAD_REQUEST, why),
            Refused::Broken(error) => {
                tracing::error!("a report of an SDK was not taken: {error:#}");
                (StatusCode::INTERNAL_SERVER_ERROR, "not taken")
            }
        };
        let mut response = (status, Json(json!({ "detail": why }))).into_response();
        let headers = response.headers_mut();
        headers.insert("x-sentry-error", HeaderValue::from_static(why));
        if status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(PAUSE));
            // Seconds, of what (everything), for whom.
            headers.insert("x-sentry-rate-limits", HeaderValue::from_static("60::organization"));
        }
        response
    }
}

async fn envelope(
    State(shared): App,
    Path(project): Path<u64>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let bytes = unpacked(&headers, &body)?;
    let (head, items) = parts(&bytes)?;
    let in_head = head["dsn"].as_str().and_then(key_of_dsn).map(str::to_owned);
    let repo = admitted(&shared, project, &headers, &query, in_head).await?;
    let mut id = head["event_id"].as_str().map(str::to_owned);
    for (kind, payload) in items {
        if kind == "event" {
            let event: Value =
                serde_json::from_slice(payload).map_err(|_| Refused::Bad("an event is no JSON"))?;
            id = take(&shared, project, &repo, &event).await?.or(id);
        }
    }
    Ok(Json(json!({ "id": id })).into_response())
}

async fn single(
    State(shared): App,
    Path(project): Path<u64>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let repo = admitted(&shared, project, &headers, &query, None).await?;
    let bytes = unpacked(&headers, &body)?;
    let event: Value = serde_json::from_slice(&bytes).map_err(|_| Refused::Bad("the event is no JSON"))?;
    let id = take(&shared, project, &repo, &event).await?;
    Ok(Json(json!({ "id": id })).into_response())
}

/// The repo whose programs the caller's key is for.
async fn admitted(
    shared: &Shared,
    project: u64,
    headers: &HeaderMap,
    query: &[(String, String)],
    in_head: Option<String>,
) -> Result<PathBuf, Refused> {
    let by_header =
        headers.get("x-sentry-auth").and_then(|value| value.to_str().ok()).and_then(key_of_header);
    let by_query = query.iter().find(|(name, _)| name == "sentry_key").map(|(_, key)| key.clone());
    let key = by_header.or(by_query).or(in_head).ok_or(Refused::Unknown)?;
    let known = shared.store.sentry_key(project).await?.filter(|known| known.revoked_at.is_none());
    let known = known.ok_or(Refused::Unknown)?;
    if !bool::from(access::digest(&key).as_bytes().ct_eq(known.hash.as_bytes())) {
        return Err(Refused::Unknown);
    }
    shared.sentry.0.check_key(&project).map_err(|_| Refused::TooMany)?;
    Ok(PathBuf::from(known.repo))
}

/// The key of `Sentry sentry_version=7, sentry_key=…`.
fn key_of_header(text: &str) -> Option<String> {
    let fields = text.strip_prefix("Sentry ").unwrap_or(text).split(',');
    fields.filter_map(|field| field.trim().strip_prefix("sentry_key=")).next().map(str::to_owned)
}

/// The key of `https://KEY@host/1`.
fn key_of_dsn(dsn: &str) -> Option<&str> {
    dsn.split_once("://")?.1.split_once('@').map(|(key, _)| key.split(':').next().unwrap_or(key))
}

/// The body as it was before it was packed, and no more than [`LARGEST`] of it.
fn unpacked(headers: &HeaderMap, body: &Bytes) -> Result<Vec<u8>, Refused> {
    let packed = headers.get(header::CONTENT_ENCODING).map_or(Ok("identity"), HeaderValue::to_str);
    let reader: Box<dyn Read> = match packed.unwrap_or_default().trim() {
        "" | "identity" => Box::new(body.as_ref()),
        "gzip" => Box::new(flate2::read::GzDecoder::new(body.as_ref())),
        "deflate" => Box::new(flate2::read::ZlibDecoder::new(body.as_ref())),
        "br" => Box::new(brotli_decompressor::Decompressor::new(body.as_ref(), 4 << 10)),
        _ => return Err(Refused::Bad("the encoding is none of gzip, deflate and br")),
    };
    let mut bytes = Vec::new();
    reader
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|_| Refused::Bad("the body cannot be unpacked"))?;
    if bytes.len() as u64 > LARGEST { Err(Refused::TooLarge) } else { Ok(bytes) }
}

/// An envelope's head, and its items: what each is, and what it holds.
fn parts(bytes: &[u8]) -> Result<(Value, Vec<(String, &[u8])>), Refused> {
    let (first, mut rest) = cut_line(bytes);
    let head: Value = serde_json::from_slice(first).map_err(|_| Refused::Bad("the envelope has no head"))?;
    let mut items = Vec::new();
    while !rest.is_empty() && items.len() < MOST_ITEMS {
        let (line, after) = cut_line(rest);
        if line.iter().all(u8::is_ascii_whitespace) {
            rest = after;
            continue;
        }
        let item: Value = serde_json::from_slice(line).map_err(|_| Refused::Bad("an item has no head"))?;
        let payload = match item["length"].as_u64().map(usize::try_from) {
            Some(Ok(length)) if length <= after.len() => {
                rest = after[length..].strip_prefix(b"\n").unwrap_or(&after[length..]);
                &after[..length]
            }
            Some(_) => return Err(Refused::Bad("an item is longer than the envelope")),
            None => {
                let (payload, later) = cut_line(after);
                rest = later;
                payload
            }
        };
        items.push((item["type"].as_str().unwrap_or_default().to_owned(), payload));
    }
    Ok((head, items))
}

fn cut_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[]),
    }
}

/// Counts an event that tells of an error, and gives its id.
async fn take(
    shared: &Shared,
    project: u64,
    repo: &std::path::Path,
    event: &Value,
) -> Result<Option<String>, Refused> {
    let id = event["event_id"].as_str().map(str::to_owned);
    let text = |field: &str| event[field].as_str().map(str::to_owned);
    let level = event["level"].as_str().unwrap_or("error");
    let trace = trace_of(event);
    let said = event["logentry"]["formatted"].as_str().or(event["logentry"]["message"].as_str());
    let error = said.or(event["message"].as_str()).unwrap_or_default().to_owned();
    if !matches!(level, "error" | "fatal") || (trace.is_none() && error.is_empty()) {
        return Ok(id);
    }
    let told = Told {
        repo: repo.to_owned(),
        report: Report {
            error: if trace.is_some() { String::new() } else { error },
            stack_trace: trace.as_ref().map(ToString::to_string).unwrap_or_default(),
            trace,
            fatal: Some(level == "fatal" || unhandled(event)),
        },
        context: json!({
            "event_id": id,
            "transaction": event["transaction"],
            "server_name": event["server_name"],
            "sdk": event["sdk"]["name"],
            "tags": event["tags"],
            "extra": event["extra"],
        }),
        source: "sentry",
        environment: text("environment"),
        release: text("release"),
    };
    match taken(shared, told, true, &format!("sentry project {project}")).await {
        Ok(_) => Ok(id),
        Err(problem) if problem.status() == StatusCode::TOO_MANY_REQUESTS => Err(Refused::TooMany),
        Err(problem) if problem.status().is_client_error() => Err(Refused::Bad("the event was not taken")),
        Err(_) => Err(Refused::Broken(anyhow::anyhow!("an event could not be counted"))),
    }
}

/// The exceptions of an event, the oldest first.
fn values(event: &Value) -> impl Iterator<Item = &Value> {
    let exception = &event["exception"];
    let listed = exception["values"].as_array().or(exception.as_array());
    listed.into_iter().flatten().take(MOST_VALUES)
}

fn unhandled(event: &Value) -> bool {
    values(event).any(|value| value["mechanism"]["handled"] == Value::Bool(false))
}

/// The chain of exceptions as a trace.
fn trace_of(event: &Value) -> Option<Trace> {
    let language = match event["platform"].as_str().unwrap_or_default() {
        "python" => Language::Python,
        "node" | "javascript" => Language::Node,
        "rust" => Language::Rust,
        "go" => Language::Go,
        "java" | "kotlin" => Language::Jvm,
        "ruby" => Language::Ruby,
        "php" => Language::Php,
        _ => Language::Native,
    };
    let mut chain: Option<Trace> = None;
    for value in values(event) {
        let text = |field: &str| value[field].as_str().unwrap_or_default();
        let mut trace = Trace::new(language, text("type"), text("value"));
        let frames = value["stacktrace"]["frames"].as_array().into_iter().flatten();
        let mut frames: Vec<Frame> = frames.map(|frame| frame_of(frame, language)).collect();
        // An SDK tells the outermost first.
        frames.reverse();
        frames.truncate(MOST_FRAMES);
        trace.frames = frames;
        trace.cause = chain.map(Box::new);
        chain = Some(trace);
    }
    chain
}

fn frame_of(frame: &Value, language: Language) -> Frame {
    let text = |field: &str| frame[field].as_str().unwrap_or_default();
    let number =
        |field: &str| frame[field].as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
    let (file, module) = (text("filename"), text("module"));
    let whole = text("abs_path");
    let file = match (language, module.rsplit_once('.')) {
        (Language::Jvm, Some((package, _))) if !file.is_empty() => {
            format!("{}/{file}", package.replace('.', "/"))
        }
        _ if whole.starts_with('/') || file.is_empty() => whole.to_owned(),
        _ => file.to_owned(),
    };
    let mut told = Frame::new(&file, number("lineno"), number("colno"), text("function")).of(module);
    told.in_app = frame["in_app"].as_bool();
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(encoding: &'static str, body: &[u8]) -> Result<Vec<u8>, Refused> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        unpacked(&headers, &Bytes::copy_from_slice(body))
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut packer, bytes).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        assert_eq!(encoded("gzip", &gzip(b"{}")).ok().unwrap(), b"{}");
        let bomb = gzip(&vec![0; 9 << 20]);
        assert!(bomb.len() < 20_000);
        assert!(matches!(encoded("gzip", &bomb), Err(Refused::TooLarge)));
        for encoding in ["gzip", "deflate", "br"] {
            assert!(matches!(encoded(encoding, b"nonsense"), Err(Refused::Bad(_))), "{encoding}");
        }
        assert!(matches!(encoded("zstd", b"{}"), Err(Refused::Bad(_))));
        // {} by brotli's own program.
        assert_eq!(encoded("br", &[0x8b, 0x00, 0x80, 0x7b, 0x7d, 0x03]).ok().unwrap(), b"{}");
    }

    #[test]
    fn envelopes_are_taken_apart() {
        let text = b"{\"event_id\":\"a\"}\n{\"type\":\"session\"}\n{\"s\":1}\n{\"type\":\"attachment\",\"length\":5}\na\nb\nc\n{\"type\":\"event\",\"length\":2}\n{}";
        let (head, items) = parts(text).ok().unwrap();
        assert_eq!(head["event_id"], "a");
        let told: Vec<(&str, &[u8])> =
            items.iter().map(|(kind, payload)| (kind.as_str(), *payload)).collect();
        assert_eq!(
            told,
            [("session", b"{\"s\":1}".as_slice()), ("attachment", b"a\nb\nc"), ("event", b"{}")]
        );
        for wrong in [
            "",
            "x",
            "{}\nx\n",
            "{}\n{\"type\":\"event\",\"length\":9}\n{}",
            "{}\n{\"length\":18446744073709551615}\n",
        ] {
            assert!(parts(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let deep = format!("{{}}\n{{\"type\":\"event\"}}\n{}", "[".repeat(100_000));
        let (_, items) = parts(deep.as_bytes()).ok().unwrap();
        assert!(serde_json::from_slice::<Value>(items[0].1).is_err());
        let many = format!("{{}}\n{}", "{\"type\":\"session\"}\n{}\n".repeat(5_000));
        assert_eq!(parts(many.as_bytes()).ok().unwrap().1.len(), MOST_ITEMS);
    }

    #[test]
    fn keys_are_found_where_sdks_write_them() {
        assert_eq!(
            key_of_header("Sentry sentry_version=7, sentry_key=abc, sentry_client=x").as_deref(),
            Some("abc")
        );
        assert_eq!(key_of_header("Bearer x"), None);
        assert_eq!(key_of_dsn("http://abc@127.0.0.1:4310/1"), Some("abc"));
        assert_eq!(key_of_dsn("nonsense"), None);
    }

    #[test]
    fn what_an_event_says_becomes_a_trace() {
        let event = json!({"platform": "python", "exception": {"values": [
            {"type": "KeyError", "value": "'a'", "stacktrace": {"frames": [
                {"filename": "main.py", "abs_path": "/app/main.py", "function": "main", "lineno": 3, "in_app": true},
                {"filename": "shop/cart.py", "abs_path": "/app/shop/cart.py", "function": "total", "lineno": 7, "in_app": true}]}},
            {"type": "Broken", "module": "shop", "value": "no total", "mechanism": {"handled": false}}]}});
        let trace = trace_of(&event).unwrap();
        assert_eq!((trace.title().as_str(), unhandled(&event)), ("Broken: no total", true));
        let cause = trace.cause.unwrap();
        assert_eq!((cause.frames[0].file.as_str(), cause.frames[0].line), ("/app/shop/cart.py", 7));
        for odd in [json!({}), json!({"exception": 3}), json!({"exception": {"values": [3]}}), json!([])] {
            let _ = (trace_of(&odd), unhandled(&odd));
        }
    }
}
