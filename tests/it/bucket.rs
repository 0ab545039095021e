//! A server that speaks as much of S3 as is needed, and believes nobody whose signature (AWS Signature Version 4) is not right.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use ring::{digest, hmac};

pub const ID: &str = "AKIDEXAMPLE";
pub const KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

#[derive(Default)]
struct Shelf {
    objects: BTreeMap<String, Vec<u8>>,
    /// Requests that were refused, and why.
    refused: Vec<String>,
    down: bool,
}

/// The server. It goes with the test's process.
pub struct Bucket {
    shelf: Arc<Mutex<Shelf>>,
    pub url: String,
}

impl Bucket {
    pub fn start() -> Self {
        let shelf = Arc::new(Mutex::new(Shelf::default()));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a listener");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let app = Router::new().fallback(answer).with_state(shelf.clone());
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("threads");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                axum::serve(listener, app).await.expect("it serves");
            });
        });
        Self { shelf, url }
    }

    /// Answers with errors from now on, or no more.
    pub fn down(&self, down: bool) {
        self.shelf.lock().expect("the shelf").down = down;
    }

    pub fn keys(&self) -> Vec<String> {
        self.shelf.lock().expect("the shelf").objects.keys().cloned().collect()
    }

    /// Every object with its name.
    pub fn objects(&self) -> Vec<(String, Vec<u8>)> {
        let shelf = self.shelf.lock().expect("the shelf");
        shelf.objects.iter().map(|(name, bytes)| (name.clone(), bytes.clone())).collect()
    }

    pub fn refused(&self) -> Vec<String> {
        self.shelf.lock().expect("the shelf").refused.clone()
    }

    pub fn holds(&self, text: &str) -> bool {
        let shelf = self.shelf.lock().expect("the shelf");
        shelf.objects.values().any(|bytes| String::from_utf8_lossy(bytes).contains(text))
    }
}

async fn answer(
    State(shelf): State<Arc<Mutex<Shelf>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let mut shelf = shelf.lock().expect("the shelf");
    let say = |status: StatusCode, bytes: Vec<u8>| {
        let answer = Response::builder().status(status).header("etag", "\"e\"");
        answer
            .header("last-modified", "Sat, 21 Nov 2026 00:00:00 GMT")
            .body(Body::from(bytes))
            .expect("an answer")
    };
    if shelf.down {
        return say(StatusCode::SERVICE_UNAVAILABLE, Vec::new());
    }
    if let Err(why) = verified(&method, &uri, &headers, &body) {
        shelf.refused.push(format!("{method} {uri}: {why}"));
        return say(StatusCode::FORBIDDEN, Vec::new());
    }
    let key = uri.path().to_owned();
    let asked: BTreeMap<String, String> =
        serde_urlencoded::from_str(uri.query().unwrap_or_default()).expect("a query");
    match method {
        Method::GET if asked.contains_key("list-type") => {
            let prefix = format!("{}/{}", key.trim_end_matches('/'), asked.get("prefix").map_or("", |it| it));
            let found = shelf.objects.iter().filter(|(name, _)| name.starts_with(&prefix));
            let entries: String = found
                .map(|(name, bytes)| {
                    let name = name.trim_start_matches(&format!("{}/", key.trim_end_matches('/')));
                    format!("<Contents><Key>{name}</Key><LastModified>2026-11-21T00:00:00.000Z</LastModified><ETag>\"e\"</ETag><Size>{}</Size></Contents>", bytes.len())
                })
                .collect();
            let list =
                format!("<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>");
            say(StatusCode::OK, list.into_bytes())
        }
        Method::POST if asked.contains_key("delete") => {
            let body = String::from_utf8_lossy(&body).into_owned();
            let names = body.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
            let mut gone = String::new();
            for (name, _) in names {
                shelf.objects.remove(&format!("{}/{name}", key.trim_end_matches('/')));
                gone += &format!("<Deleted><Key>{name}</Key></Deleted>");
            }
            say(StatusCode::OK, format!("<DeleteResult>{gone}</DeleteResult>").into_bytes())
        }
        Method::PUT => {
            shelf.objects.insert(key, body.to_vec());
            say(StatusCode::OK, Vec::new())
        }
        Method::GET => match shelf.objects.get(&key) {
            Some(bytes) => {
                let range = headers.get("range").map(|range| range.to_str().expect("text"));
                let last = range.map(|range| range.strip_prefix("bytes=-").expect("an end").parse::<usize>());
                let Some(last) = last.transpose().expect("a number") else {
                    return say(StatusCode::OK, bytes.clone());
                };
                let from = bytes.len().saturating_sub(last);
                let mut answer = say(StatusCode::PARTIAL_CONTENT, bytes[from..].to_vec());
                let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
                answer.headers_mut().insert("content-range", range.parse().expect("a header"));
                answer
            }
            None => say(StatusCode::NOT_FOUND, b"<Error><Code>NoSuchKey</Code></Error>".to_vec()),
        },
        _ => say(StatusCode::METHOD_NOT_ALLOWED, Vec::new()),
    }
}

/// Whether the request is signed with [`KEY`], and its body is the one that was signed.
fn verified(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
    let header =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).ok_or(format!("no {name}"));
    let sha = |bytes: &[u8]| hex::encode(digest::digest(&digest::SHA256, bytes));
    let given = header("authorization")?.strip_prefix("AWS4-HMAC-SHA256 ").ok_or("another algorithm")?;
    let fields: BTreeMap<&str, &str> =
        given.split(',').filter_map(|field| field.trim().split_once('=')).collect();
    let field = |name: &str| fields.get(name).copied().ok_or(format!("no {name}"));
    let scope = field("Credential")?.strip_prefix(&format!("{ID}/")).ok_or("another key")?.to_owned();
    let signed: Vec<&str> = field("SignedHeaders")?.split(';').collect();
    for name in ["host", "x-amz-content-sha256", "x-amz-date"] {
        if !signed.contains(&name) {
            return Err(format!("{name} is not signed"));
        }
    }
    let payload = header("x-amz-content-sha256")?;
    if payload != sha(body) {
        return Err("the body is another one".to_owned());
    }
    let mut lines = String::new();
    for name in &signed {
        lines += &format!("{name}:{}\n", header(name)?.trim());
    }
    let parts = uri.query().unwrap_or_default().split('&').filter(|part| !part.is_empty());
    let whole = |part: &str| if part.contains('=') { part.to_owned() } else { format!("{part}=") };
    let mut query: Vec<String> = parts.map(whole).collect();
    query.sort_unstable();
    let canonical =
        format!("{method}\n{}\n{}\n{lines}\n{}\n{payload}", uri.path(), query.join("&"), signed.join(";"));
    let date = header("x-amz-date")?;
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha(canonical.as_bytes()));
    let sign = |key: &[u8], text: &str| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
    };
    let mut key = format!("AWS4{KEY}").into_bytes();
    for part in scope.split('/') {
        key = sign(&key, part);
    }
    let right = hex::encode(sign(&key, &text));
    if right == field("Signature")? { Ok(()) } else { Err("the signature is not right".to_owned()) }
}
