//! One POST to a vendor, with its limits, its retries and its errors.
//!
//! What is worth another try follows the vendors' published rules: no connection, 408, 409, 429 and 5xx (with 529), unless the money is
//! used up or the answer says otherwise by `x-should-retry`. Waits double with jitter, or are as the vendor says. The request's total
//! time bounds all tries together. A try that may have cost something is the last one of its call: another has to be paid for first. A key never appears in an error: the headers that carry it are marked sensitive and every text
//! of a vendor is redacted and cut.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use anyhow::Result;
use backon::{ExponentialBuilder, Retryable};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::time::Instant;

use super::gate::Gate;
use super::provider::{Kind, Limits, ProviderConfig};
use super::stream::{self, Streamed};
use super::turns::{Told, estimated_input};
use super::vendor_error::{VendorError, looks_like_html};
use super::{Answer, Meter, ModelError, Request, Stop};
use crate::clock::{Clock, SystemClock};
use crate::fault::Fault;
use crate::redact::Redactor;
use crate::usage::{Usage, estimate_tokens};

/// A vendor's words are cut to this many characters.
const MOST_WORDS: usize = 400;
/// Tries to connect to an address that does not answer at all: a server that is not there does not come up in a minute.
const CONNECT_TRIES: usize = 3;

/// What is told of a request that its provider's [`Pace`](super::Pace) kept back.
const NO_ROOM: &str = "its limits of a minute were used up";

/// The way to one endpoint of one provider.
pub(super) struct Http {
    provider: String,
    url: Url,
    client: Client,
    headers: HeaderMap,
    limits: Limits,
    redactor: Redactor,
    clock: Arc<dyn Clock>,
    gate: Arc<Gate>,
    /// Puts together an answer that comes as a stream.
    assemble: fn(&str) -> Streamed,
    /// Reads what the vendor tells of tokens.
    told: fn(&Value) -> Told,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("provider", &self.provider)
            .field("url", &self.url.as_str())
            .finish_non_exhaustive()
    }
}

/// Why one try gave no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// No other try would do better.
    Final(ModelError),
    /// The input does not fit.
    Overflow(Option<String>),
    /// Another try may do.
    Again {
        /// What happened.
        message: String,
        /// The wait that the vendor asks for.
        after: Option<Duration>,
        /// Whether no connection came about.
        unconnected: bool,
    },
}

impl Failure {
    /// Another try may do.
    pub(super) fn again(message: impl Into<String>) -> Self {
        Failure::Again { message: message.into(), after: None, unconnected: false }
    }
}

impl Http {
    /// The way to `endpoint` of `provider`, or of the vendor at `default` where no base URL is configured.
    ///
    /// # Errors
    /// A [`Fault`] (exit 2) where the address or the key cannot be used.
    pub(super) fn new(
        provider: &ProviderConfig,
        default: &str,
        endpoint: &str,
        key: Option<&SecretString>,
        redactor: &Redactor,
    ) -> Result<Self> {
        let name = &provider.name;
        let base = provider.base_url.as_deref().unwrap_or(default);
        let url = endpoint_url(base, endpoint).map_err(|why| {
            Fault::usage(format!("the base_url of the provider {name:?} {why}"))
                .hint("an address such as https://host/v1; the key goes into the environment")
        })?;
        let mut redactor = redactor.clone();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = key.map(|key| key.expose_secret().trim()).filter(|key| !key.is_empty()) {
            redactor = redactor.with_secret(key);
            let (header, text) = match provider.kind {
                Kind::Anthropic => ("x-api-key", key.to_owned()),
                _ => ("authorization", format!("Bearer {key}")),
            };
            let mut value = HeaderValue::from_str(&text).map_err(|_| {
                Fault::usage(format!("the key of the provider {name:?} has a character that no key has"))
                    .hint("was a line break or a quote copied with it?")
            })?;
            value.set_sensitive(true);
            headers.insert(header, value);
            if url.scheme() == "http" && !is_loopback(&url) {
                let fault = Fault::usage(format!("the provider {name:?} would be sent its key unencrypted"));
                return Err(fault.hint("give it an address that starts with https://").into());
            }
        }
        if provider.kind == Kind::Anthropic {
            headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
        }
        let client = client(&url, &provider.limits).map_err(|error| {
            Fault::cannot_judge(format!("no HTTPS client for the provider {name:?}: {}", chain(&error)))
        })?;
        let limits = provider.limits.clone();
        let gate = Arc::clone(&provider.gate);
        Ok(Self {
            provider: name.clone(),
            url,
            client,
            headers,
            limits,
            redactor,
            clock: Arc::new(SystemClock),
            gate,
            assemble: stream::none,
            told: |_| Told::default(),
        })
    }

    /// The same for a vendor whose streams `assemble` puts together, and whose `usage` objects `told` reads.
    pub(super) fn speaking(self, assemble: fn(&str) -> Streamed, told: fn(&Value) -> Told) -> Self {
        Self { assemble, told, ..self }
    }

    /// The provider's name.
    pub(super) fn provider(&self) -> &str {
        &self.provider
    }

    /// The host that is asked.
    pub(super) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Posts `body`, which asks for `request`, and has the answer read by `read`, which gets the JSON of a success, and the request's id.
    /// What it used is on `meter` however it ends.
    pub(super) async fn ask(
        &self,
        body: &Value,
        request: &Request,
        meter: &Meter,
        read: impl Fn(&Value, Option<String>) -> Result<Answer, Failure>,
    ) -> Result<Answer, ModelError> {
        self.gate.admit().map_err(|why| self.unreachable(why))?;
        let deadline = Instant::now() + request.timeout.min(Duration::from_secs(24 * 3600));
        let tokens = estimated_input(request) + u64::from(request.max_output_tokens);
        // A request that was never sent says nothing of whether the provider is there.
        let paced = tokio::time::timeout_at(deadline, self.gate.pace(tokens)).await;
        paced.map_err(|_| {
            self.unreachable(format!("not asked within {}: {NO_ROOM}", seconds(request.timeout)))
        })?;
        let answer = self.ask_by(deadline, tokens, body, request, meter, read).await;
        match &answer {
            // All of these may pass by itself; asking the same again at once would only cost time.
            Err(
                ModelError::Unreachable { message, .. }
                | ModelError::BrokenOff { message, .. }
                | ModelError::Quota { message, .. },
            ) => self.gate.failed(message),
            Ok(_) | Err(ModelError::Key { .. } | ModelError::Protocol { .. }) => self.gate.there(),
        }
        answer
    }

    /// Asks until `deadline`; each try after the first one waits for room for `tokens` more.
    async fn ask_by(
        &self,
        deadline: Instant,
        tokens: u64,
        body: &Value,
        request: &Request,
        meter: &Meter,
        read: impl Fn(&Value, Option<String>) -> Result<Answer, Failure>,
    ) -> Result<Answer, ModelError> {
        let bytes = body.to_string();
        // What the last try came to: told if the time runs out during the next.
        let last = Mutex::new(None::<String>);
        let try_once = || async {
            let result = self.try_once(&bytes, request, meter, &read).await;
            if let Err(Failure::Again { message, .. }) = &result {
                *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(message.clone());
            }
            result
        };
        let mut tries = 1;
        let waits = ExponentialBuilder::new()
            .with_jitter()
            .with_min_delay(self.limits.first_wait)
            .with_max_delay(self.limits.longest_wait)
            .with_max_times(self.limits.retries);
        let gate = Arc::clone(&self.gate);
        let retried = try_once
            .retry(waits)
            .sleep(move |wait| {
                let gate = Arc::clone(&gate);
                async move {
                    tokio::time::sleep(wait).await;
                    gate.pace(tokens).await;
                }
            })
            .when(|failure| matches!(failure, Failure::Again { .. }) && is_free(meter))
            .adjust(|failure, planned| {
                let Failure::Again { after, unconnected, .. } = failure else { return None };
                let wait = after.or(planned).filter(|_| planned.is_some())?;
                let hopeless = *unconnected && tries >= CONNECT_TRIES;
                // A wait beyond the deadline would only delay the same answer.
                if hopeless || Instant::now() + wait >= deadline {
                    return None;
                }
                tries += 1;
                Some(wait)
            })
            .notify(|failure, wait| {
                if let Failure::Again { message, .. } = failure {
                    tracing::info!(provider = %self.provider, %message, ?wait, "asking the model again");
                }
            });
        let result = tokio::time::timeout_at(deadline, retried).await;
        match result {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Failure::Final(error))) => Err(error),
            Ok(Err(Failure::Overflow(request_id))) => {
                Ok(Answer { text: String::new(), stop: Stop::Overflow, request_id })
            }
            Ok(Err(Failure::Again { message, after, .. })) if !is_free(meter) => Err(ModelError::BrokenOff {
                provider: self.provider.clone(),
                message,
                wait: after.unwrap_or(self.limits.first_wait),
            }),
            Ok(Err(Failure::Again { message, after, .. })) => {
                let asked = after.map(|wait| format!("; it asks to wait {} s", wait.as_secs_f32().ceil()));
                let times = if tries == 1 { String::new() } else { format!(" ({tries} tries)") };
                Err(self.unreachable(format!("{message}{}{times}", asked.unwrap_or_default())))
            }
            Err(_) => {
                let last = last.into_inner().unwrap_or_else(PoisonError::into_inner);
                let before = last.map(|message| format!("; before that: {message}")).unwrap_or_default();
                Err(self.unreachable(format!("no answer within {}{before}", seconds(request.timeout))))
            }
        }
    }

    async fn try_once(
        &self,
        body: &str,
        request: &Request,
        meter: &Meter,
        read: &impl Fn(&Value, Option<String>) -> Result<Answer, Failure>,
    ) -> Result<Answer, Failure> {
        let mut underway = Underway::new(self, request, meter);
        let send =
            self.client.post(self.url.clone()).headers(self.headers.clone()).body(body.to_owned()).send();
        let mut response = match tokio::time::timeout(self.limits.idle, send).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                underway.billed = !error.is_connect() && !error.is_builder();
                return Err(self.unsent(error));
            }
            Err(_) => return Err(Failure::again(format!("nothing came for {}", seconds(self.limits.idle)))),
        };
        let kind =
            response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        underway.streams = kind.starts_with("text/event-stream");
        underway.billed = response.status().is_success();
        loop {
            let chunk = match tokio::time::timeout(self.limits.idle, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => break,
                Ok(Err(error)) => {
                    return Err(Failure::again(format!(
                        "the answer broke off: {}",
                        self.words(&chain(&error.without_url()))
                    )));
                }
                Err(_) => {
                    return Err(Failure::again(format!(
                        "the answer stalled for {}",
                        seconds(self.limits.idle)
                    )));
                }
            };
            if underway.body.len() + chunk.len() > self.limits.response_bytes {
                let most = self.limits.response_bytes;
                return Err(Failure::Final(self.protocol(format!("the answer is larger than {most} bytes"))));
            }
            underway.body.extend_from_slice(&chunk);
        }
        let id = ["request-id", "x-request-id"]
            .iter()
            .find_map(|name| response.headers().get(*name)?.to_str().ok());
        let id = id.map(|id| id.chars().filter(char::is_ascii_graphic).take(200).collect::<String>());
        if !response.status().is_success() {
            return Err(self.refused(response.status(), response.headers(), &underway.body, id));
        }
        let json = if underway.streams {
            let streamed = (self.assemble)(&String::from_utf8_lossy(&underway.body));
            streamed.answer.ok_or_else(|| Failure::again("the stream of the answer has no end"))?
        } else {
            serde_json::from_slice::<Value>(&underway.body).map_err(|_| underway.no_json())?
        };
        let result = read(&json, id);
        underway.read(&json, &result);
        result
    }

    /// The failure of an answer with an error status.
    fn refused(&self, status: StatusCode, headers: &HeaderMap, body: &[u8], id: Option<String>) -> Failure {
        let error = VendorError::read(body);
        let words = match self.words(&error.message) {
            words if words.is_empty() => status.to_string(),
            words => format!("{status}: {words}"),
        };
        let words = match &id {
            Some(id) => format!("{words} [{}]", self.words(id)),
            None => words,
        };
        if error.says_money_is_used_up(status) {
            return Failure::Final(ModelError::Quota { provider: self.provider.clone(), message: words });
        }
        if error.says_too_long(status) {
            return Failure::Overflow(id);
        }
        let should_retry = headers.get("x-should-retry").and_then(|value| value.to_str().ok());
        let again = match should_retry {
            Some("true") => true,
            Some("false") => false,
            _ => matches!(status.as_u16(), 408 | 409 | 429 | 500..),
        };
        if again {
            return Failure::Again { message: words, after: self.wait_asked(headers), unconnected: false };
        }
        match status.as_u16() {
            401 | 403 => Failure::Final(ModelError::Key { provider: self.provider.clone(), message: words }),
            300..=399 => Failure::Final(
                self.protocol(format!("{words}; redirects are not followed, is base_url right?")),
            ),
            404 => {
                Failure::Final(self.protocol(format!("{words}; are base_url and the model's name right?")))
            }
            408 | 409 | 429 | 500.. => Failure::Final(self.unreachable(words)),
            _ => Failure::Final(self.protocol(words)),
        }
    }

    /// The failure of a request that got no answer.
    fn unsent(&self, error: reqwest::Error) -> Failure {
        let unconnected = error.is_connect();
        let error = error.without_url();
        let words = self.words(&chain(&error));
        if error.is_builder() || error.is_request() && !unconnected && words.contains("invalid") {
            return Failure::Final(self.protocol(words));
        }
        let place = if unconnected { format!("no connection to {}: ", self.host()) } else { String::new() };
        Failure::Again { message: format!("{place}{words}"), after: None, unconnected }
    }

    /// The wait that the vendor asks for.
    fn wait_asked(&self, headers: &HeaderMap) -> Option<Duration> {
        let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
        let number =
            |text: &str| text.parse::<f64>().ok().filter(|n| n.is_finite() && (0.0..1e8).contains(n));
        if let Some(millis) = text("retry-after-ms").and_then(number) {
            return Some(Duration::from_secs_f64(millis / 1000.0));
        }
        let after = text("retry-after")?;
        if let Some(seconds) = number(after) {
            return Some(Duration::from_secs_f64(seconds));
        }
        let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(after).ok()?;
        let left = date.as_millisecond() - self.clock.now().as_millisecond();
        Some(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
    }

    /// A vendor's words as they may be shown: redacted, on one line, cut.
    pub(super) fn words(&self, text: &str) -> String {
        // Cut first, generously: redacting megabytes of an error page is of no use.
        let start: String = text.chars().take(20 * MOST_WORDS).collect();
        let redacted = self.redactor.redact(&start);
        let line =
            redacted.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
        let line = line.collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(MOST_WORDS) {
            Some((at, _)) => format!("{}…", &line[..at]),
            None => line,
        }
    }

    /// The request was wrong, or the answer is.
    pub(super) fn protocol(&self, message: impl Into<String>) -> ModelError {
        ModelError::Protocol { provider: self.provider.clone(), message: message.into() }
    }

    fn unreachable(&self, message: impl Into<String>) -> ModelError {
        ModelError::Unreachable { provider: self.provider.clone(), message: message.into() }
    }
}

/// One try. When it is over, or dropped, the meter shows what it used.
struct Underway<'a> {
    http: &'a Http,
    request: &'a Request,
    meter: &'a Meter,
    /// Whether the vendor may have done any work.
    billed: bool,
    /// Whether the answer comes as a stream.
    streams: bool,
    /// The answer so far.
    body: Vec<u8>,
    /// The tokens of an answer that came in one piece, as estimated.
    written: u64,
}

impl<'a> Underway<'a> {
    fn new(http: &'a Http, request: &'a Request, meter: &'a Meter) -> Self {
        Self { http, request, meter, billed: true, streams: false, body: Vec::new(), written: 0 }
    }

    /// What the vendor told, and what was written, in tokens as estimated.
    fn told(&self) -> (Told, u64) {
        if self.streams {
            let streamed = (self.http.assemble)(&String::from_utf8_lossy(&self.body));
            // The same measure as `estimate_tokens`, without the text.
            return ((self.http.told)(&streamed.usage), (streamed.written as u64 * 2).div_ceil(7));
        }
        match serde_json::from_slice::<Value>(&self.body) {
            Ok(json) => ((self.http.told)(&json["usage"]), self.written),
            Err(_) => (Told::default(), estimate_tokens(&String::from_utf8_lossy(&self.body))),
        }
    }

    /// The whole answer was read.
    fn read(&mut self, json: &Value, result: &Result<Answer, Failure>) {
        match result {
            Ok(answer) => self.written = estimate_tokens(&answer.text),
            Err(Failure::Overflow(_)) => self.billed = false,
            // An error in the place of an answer costs nothing where no token was told of and nothing was written.
            Err(_) => {
                let (told, written) = self.told();
                let is_answer =
                    json.get("content").is_some() || json.get("output").is_some() && json["error"].is_null();
                self.billed = told.is_any() || written > 0 || is_answer;
            }
        }
    }

    /// Something else came than JSON. Half an object was an answer; a page for people was none.
    fn no_json(&mut self) -> Failure {
        let start = String::from_utf8_lossy(&self.body[..self.body.len().min(2000)]).into_owned();
        self.billed = start.trim_start().starts_with('{');
        let what = if looks_like_html(&start) { "an HTML page" } else { "something that is no JSON" };
        let words = self.http.words(&start);
        Failure::Final(self.http.protocol(format!("{what} came instead of an answer: {words}")))
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.meter.note(if self.billed {
            let (told, written) = self.told();
            told.usage(self.request, written)
        } else {
            Usage::default()
        });
    }
}

/// Whether a call has cost nothing so far.
fn is_free(meter: &Meter) -> bool {
    meter.read() == Usage::default()
}

/// TLS is ring's, for every client of this program.
fn install_tls() {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Fails only where the program has installed one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// A client for whatever is no model: every request is over within `timeout`, and no redirection is followed.
///
/// # Errors
/// Where the machine's certificates cannot be read.
pub fn plain_client(timeout: Duration) -> reqwest::Result<Client> {
    install_tls();
    Client::builder()
        .user_agent(concat!("regreen/", env!("CARGO_PKG_VERSION")))
        .timeout(timeout)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .build()
}

fn client(url: &Url, limits: &Limits) -> reqwest::Result<Client> {
    install_tls();
    let mut builder = Client::builder()
        .user_agent(concat!("regreen/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(limits.connect)
        .tcp_keepalive(Duration::from_secs(60))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false);
    if url.scheme() == "http" {
        // The machine's certificates need not be readable for a server that uses none.
        builder = builder.tls_certs_only([]);
    }
    if is_loopback(url) {
        builder = builder.no_proxy();
    }
    builder.build()
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// `base` with the version (`/v1` where it has none) and `endpoint`.
fn endpoint_url(base: &str, endpoint: &str) -> Result<Url, String> {
    let mut url = Url::parse(base.trim()).map_err(|error| format!("is no address: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("is no http or https address".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("carries a user or a password".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("carries a query or a fragment".to_owned());
    }
    let path = url.path().trim_end_matches('/');
    let last = path.rsplit('/').next().unwrap_or_default();
    let versioned = last.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let path = if versioned { format!("{path}/{endpoint}") } else { format!("{path}/v1/{endpoint}") };
    url.set_path(&path);
    Ok(url)
}

/// An error and what caused it, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{} s", time.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_may_have_its_version() {
        let url = |base| endpoint_url(base, "messages").map(|url| url.to_string());
        let want = Ok("https://api.example/v1/messages".to_owned());
        for base in [
            "https://api.example",
            "https://api.example/",
            "https://api.example/v1",
            " https://api.example/v1/ ",
        ] {
            assert_eq!(url(base), want, "{base}");
        }
        assert_eq!(url("http://[::1]:1/a/b"), Ok("http://[::1]:1/a/b/v1/messages".to_owned()));
        assert_eq!(url("http://h/openai/v4"), Ok("http://h/openai/v4/messages".to_owned()));
        for bad in ["", "api.example", "ftp://x", "https://me:pw@x", "https://x/?key=1", "https://x/#a"] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wait_is_read_in_every_form() {
        let http = Http::new(
            &ProviderConfig::new("x", Kind::OpenaiChat),
            "http://127.0.0.1:1",
            "x",
            None,
            &Redactor::default(),
        );
        let mut http = http.unwrap();
        struct Noon;
        impl Clock for Noon {
            fn now(&self) -> jiff::Timestamp {
                "2026-11-21T12:00:00Z".parse().unwrap()
            }
        }
        http.clock = Arc::new(Noon);
        let wait = |name: &'static str, value: &'static str| {
            http.wait_asked(&HeaderMap::from_iter([(
                reqwest::header::HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )]))
        };
        assert_eq!(wait("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("retry-after", "0.5"), Some(Duration::from_millis(500)));
        assert_eq!(wait("retry-after-ms", "20"), Some(Duration::from_millis(20)));
        assert_eq!(wait("retry-after", "Sat, 21 Nov 2026 12:00:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(wait("retry-after", "Sat, 21 Nov 2026 11:00:30 GMT"), Some(Duration::ZERO));
        for odd in ["-1", "nan", "1e99", "soon"] {
            assert_eq!(wait("retry-after", odd), None, "{odd}");
        }
    }
}
