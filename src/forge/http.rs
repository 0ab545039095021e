//! Calls of a forge's API, with its limits, its retries and its errors.
//!
//! What surely was not done is done again: where no connection came about, and where the forge says that it was too much. What only reads is
//! done again after a failure of the server, too. Anything else is left to the caller, who looks what is there first.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use backon::{ExponentialBuilder, Retryable};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use reqwest::{Client, Method, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::clock::{Clock, SystemClock};
use crate::config::ForgeKind;
use crate::fault::Fault;
use crate::plain::plain;
use crate::redact::Redactor;

/// Bytes of an answer that are read.
const LARGEST: usize = 32 << 20;
/// Bytes that are kept of a log: its end.
pub(super) const LOG: usize = 256 << 10;
/// How long one call may take.
const CALL: Duration = Duration::from_secs(30);
/// Tries after the first one.
const RETRIES: usize = 3;
/// The longest that a call waits because the forge asks for it; beyond, whoever called is told.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// What GitHub asks for where its secondary limit names no time.
const SECONDARY: Duration = Duration::from_secs(60);
/// Fields of requests that are names at the forge.
const EXACT: &[&str] =
    &["head", "base", "source_branch", "target_branch", "repositories", "query", "variables", "state"];
/// Pages of a list that are read, of 100 each.
const MOST_PAGES: usize = 30;

/// A forge wants to be left alone for a time.
#[derive(Debug, thiserror::Error)]
#[error("{forge} takes no more calls for {} s", after.as_secs())]
pub struct Limited {
    /// Which one.
    pub forge: &'static str,
    /// How long.
    pub after: Duration,
}

/// How a call proves who makes it.
#[derive(Clone)]
pub(super) enum Proof {
    /// `Authorization: Bearer …`
    Bearer(SecretString),
    /// `PRIVATE-TOKEN: …`
    Private(SecretString),
}

/// The way to one API.
pub(super) struct Http {
    kind: ForgeKind,
    base: String,
    client: Client,
    redactor: Redactor,
    clock: Arc<dyn Clock>,
}

/// What a call came to.
#[derive(Debug)]
pub(super) struct Reply {
    /// The status.
    pub(super) status: StatusCode,
    /// The JSON; null where there is none.
    pub(super) json: Value,
    /// The body as it came.
    pub(super) body: Vec<u8>,
    headers: HeaderMap,
}

/// A status that the caller did not expect, with what the forge says.
#[derive(Debug)]
pub(super) struct Unexpected {
    /// The status.
    pub(super) status: StatusCode,
    /// What the forge says, without secrets, on one line.
    pub(super) words: String,
}

impl fmt::Display for Unexpected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.words)
    }
}

impl std::error::Error for Unexpected {}

/// Why one try came to nothing.
enum Failure {
    Final(anyhow::Error),
    Again { error: anyhow::Error, after: Option<Duration> },
}

impl Http {
    pub(super) fn new(kind: ForgeKind, base: &str, redactor: &Redactor) -> Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .timeout(CALL)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("no HTTPS client")?;
        Ok(Self {
            kind,
            base: base.to_owned(),
            client,
            redactor: redactor.clone(),
            clock: Arc::new(SystemClock),
        })
    }

    /// Now, by the clock that limits are told by.
    pub(super) fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    /// Calls `path` below the base, or a whole address of the same host, and gives what it came to where that is a success or `allowed`.
    pub(super) async fn call(
        &self,
        proof: &Proof,
        method: Method,
        path: &str,
        body: Option<&Value>,
        allowed: &[u16],
    ) -> Result<Reply> {
        let url = self.url(path)?;
        // What leaves has no secrets, whoever wrote it; names stay what they are.
        let body = body.map(|body| {
            let mut body = body.clone();
            self.redactor.redact_json(&mut body, &|field| EXACT.contains(&field));
            body
        });
        let body = body.as_ref();
        let waits = ExponentialBuilder::new().with_jitter().with_max_times(RETRIES);
        let done = (|| self.once(proof, method.clone(), url.clone(), body, allowed))
            .retry(waits)
            .sleep(tokio::time::sleep)
            .when(|failure| matches!(failure, Failure::Again { .. }))
            .adjust(|failure, planned| match failure {
                Failure::Again { after, .. } => {
                    after.or(planned).filter(|wait| planned.is_some() && *wait <= LONGEST_WAIT)
                }
                Failure::Final(_) => None,
            })
            .await;
        done.map_err(|failure| match failure {
            Failure::Final(error) => error,
            Failure::Again { error, after: None } => error,
            Failure::Again { error, after: Some(after) } => {
                error.context(Limited { forge: self.kind.title(), after })
            }
        })
    }

    /// The JSON of [`Http::call`].
    pub(super) async fn json(
        &self,
        proof: &Proof,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        self.call(proof, method, path, body, &[]).await.map(|reply| reply.json)
    }

    /// Everything of a list, page by page.
    pub(super) async fn list(&self, proof: &Proof, path: &str) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        let glue = if path.contains('?') { '&' } else { '?' };
        let mut next = Some(format!("{path}{glue}per_page=100"));
        for _ in 0..MOST_PAGES {
            let Some(path) = next.take() else { break };
            let reply = self.call(proof, Method::GET, &path, None, &[]).await?;
            next = reply.next_page();
            match reply.json {
                Value::Array(page) => all.extend(page),
                // GitHub wraps some lists.
                Value::Object(fields) => {
                    all.extend(
                        fields
                            .into_iter()
                            .find_map(|(_, field)| match field {
                                Value::Array(page) => Some(page),
                                _ => None,
                            })
                            .unwrap_or_default(),
                    );
                }
                _ => {}
            }
        }
        Ok(all)
    }

    /// The end of a text that may lie elsewhere: where the forge says so, it is asked for there, without showing who we are.
    pub(super) async fn text(&self, proof: &Proof, path: &str) -> Result<String> {
        let reply = self.call(proof, Method::GET, path, None, &[302, 301, 307, 404, 410]).await?;
        let body = match reply.headers.get(LOCATION).and_then(|to| to.to_str().ok()) {
            Some(to) if reply.status.is_redirection() => {
                let to = self.url(path)?.join(to).context("the forge sends to an address that is none")?;
                let near = self.base.starts_with("http://");
                if to.scheme() != "https" && !(near && is_loopback(&to)) {
                    anyhow::bail!("the forge sends to an address without encryption");
                }
                let mut response = self.client.get(to).send().await.map_err(reqwest::Error::without_url)?;
                if !response.status().is_success() {
                    return Ok(String::new());
                }
                read(&mut response).await?
            }
            _ if reply.status.is_success() => reply.body,
            // It was removed, or never there.
            _ => return Ok(String::new()),
        };
        let end = &body[body.len().saturating_sub(LOG)..];
        Ok(self.redactor.redact(&String::from_utf8_lossy(end)).into_owned())
    }

    fn url(&self, path: &str) -> Result<Url> {
        let whole = if path.starts_with('/') { format!("{}{path}", self.base) } else { path.to_owned() };
        let url = Url::parse(&whole).context("the forge's address is none")?;
        let base = Url::parse(&self.base)?;
        if url.origin() != base.origin() {
            // A page of a list may name any address; the token is for one host.
            anyhow::bail!("the forge names an address of another host");
        }
        Ok(url)
    }

    async fn once(
        &self,
        proof: &Proof,
        method: Method,
        url: Url,
        body: Option<&Value>,
        allowed: &[u16],
    ) -> Result<Reply, Failure> {
        let reads = method == Method::GET;
        let mut request =
            self.client.request(method, url).headers(self.headers(proof).map_err(Failure::Final)?);
        if let Some(body) = body {
            request = request.json(body);
        }
        let broken = |error: reqwest::Error, title: &str| {
            let unconnected = error.is_connect();
            let error = anyhow::Error::new(error.without_url()).context(format!("{title} gave no answer"));
            if unconnected || reads { Failure::Again { error, after: None } } else { Failure::Final(error) }
        };
        let mut response = request.send().await.map_err(|error| broken(error, self.kind.title()))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read(&mut response).await.map_err(Failure::Final)?;
        let json = serde_json::from_slice(&body).unwrap_or_default();
        let reply = Reply { status, json, body, headers };
        if status.is_success() || allowed.contains(&status.as_u16()) {
            return Ok(reply);
        }
        let unexpected = Unexpected { status, words: self.words(&reply) };
        if let Some(after) = self.wait(&reply) {
            return Err(Failure::Again { error: unexpected.into(), after: Some(after) });
        }
        if status.is_server_error() && reads {
            return Err(Failure::Again { error: unexpected.into(), after: None });
        }
        Err(Failure::Final(self.explained(unexpected)))
    }

    fn headers(&self, proof: &Proof) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("regreen/", env!("CARGO_PKG_VERSION"))));
        let (name, text) = match proof {
            Proof::Bearer(token) => (AUTHORIZATION, format!("Bearer {}", token.expose_secret())),
            Proof::Private(token) => {
                (HeaderName::from_static("private-token"), token.expose_secret().to_owned())
            }
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| {
            Fault::usage(format!("the token of {} has a character that no token has", self.kind.title()))
                .hint("was a line break or a quote copied with it?")
        })?;
        value.set_sensitive(true);
        headers.insert(name, value);
        match self.kind {
            ForgeKind::Github => {
                headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
                headers.insert("x-github-api-version", HeaderValue::from_static("2022-11-28"));
            }
            ForgeKind::Gitlab => {
                headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
            }
        }
        Ok(headers)
    }

    /// How long the forge wants to be left alone, if that is why it did nothing.
    fn wait(&self, reply: &Reply) -> Option<Duration> {
        let status = reply.status.as_u16();
        if !matches!(status, 403 | 429) {
            return None;
        }
        let number = |name: &str| reply.header(name).parse::<u64>().ok();
        if let Some(seconds) = number("retry-after") {
            return Some(Duration::from_secs(seconds.min(86_400)));
        }
        let spent =
            ["x-ratelimit-remaining", "ratelimit-remaining"].iter().any(|name| number(name) == Some(0));
        let reset = number("x-ratelimit-reset").or_else(|| number("ratelimit-reset"));
        if let (true, Some(reset)) = (spent, reset) {
            let now = u64::try_from(self.clock.now().as_second()).unwrap_or(0);
            return Some(Duration::from_secs(reset.saturating_sub(now).clamp(1, 86_400)));
        }
        let secondary = reply.json["message"].as_str().is_some_and(|words| words.contains("rate limit"));
        (secondary || status == 429).then_some(SECONDARY)
    }

    /// What the forge says, on one line, without secrets.
    fn words(&self, reply: &Reply) -> String {
        let json = &reply.json;
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let mut words = [&json["message"], &json["error"], &json["errors"]].map(text).to_vec();
        words.retain(|part| !part.is_empty());
        let words = self.redactor.redact(&words.join(": ")).into_owned();
        let line: Vec<&str> = words.split_whitespace().collect();
        plain(&line.join(" ")).chars().take(300).collect()
    }

    /// A failure that a person can do something about.
    fn explained(&self, unexpected: Unexpected) -> anyhow::Error {
        let title = self.kind.title();
        let hint = match unexpected.status.as_u16() {
            401 => format!("the token of [{}] is wrong or has run out", self.kind.as_str()),
            403 => "the token lacks a permission: docs/forges.md lists those that are needed".to_owned(),
            404 => "there is no such thing, or the token may not see it".to_owned(),
            _ => return anyhow::Error::new(unexpected).context(format!("{title} refused")),
        };
        let fault = Fault::usage(format!("{title} refused: {unexpected}")).hint(hint);
        anyhow::Error::new(unexpected).context(fault)
    }
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim()
    }

    /// The address of the next page: `<…>; rel="next"`.
    fn next_page(&self) -> Option<String> {
        self.header("link").split(',').find_map(|link| {
            let (address, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
            rest.contains("rel=\"next\"").then(|| address.to_owned())
        })
    }
}

async fn read(response: &mut reqwest::Response) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(reqwest::Error::without_url)? {
        if body.len() + chunk.len() > LARGEST {
            anyhow::bail!("the answer is larger than {LARGEST} bytes");
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A part of a path, so that nothing in it is more than that.
pub(super) fn part(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// A repo's name in a path: GitHub has its parts there, GitLab the whole as one.
pub(super) fn parts(full: &str) -> String {
    full.split('/').map(part).collect::<Vec<_>>().join("/")
}
