//! One request to Jira, with its limits, its retries and its errors.

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, StatusCode, Url};
use serde_json::Value;
use tokio::time::Instant;

use crate::fault::Fault;
use crate::redact::Redactor;

/// The longest that one call may take, its retries included.
pub const LONGEST: Duration = Duration::from_secs(60);
/// The longest that one try may take.
const TRY: Duration = Duration::from_secs(30);
/// The first wait between two tries; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The largest answer that is read, in bytes.
const MOST_BYTES: usize = 16 << 20;
/// Jira's words are cut to this many characters.
const MOST_WORDS: usize = 400;

/// Why Jira did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It answered with this status, and said so.
    #[error("Jira answers {status}: {words}")]
    Refused {
        /// The status.
        status: u16,
        /// Its words.
        words: String,
    },
    /// It could not be asked, or was too slow.
    #[error("Jira cannot be reached: {0}")]
    Unreachable(String),
    /// It wants to be left alone for longer than a call may take.
    #[error("Jira asks to wait {} s", .0.as_secs())]
    Busy(Duration),
}

impl Failure {
    /// Whether there is no such thing, or we may not see it: Jira does not tell these apart.
    pub fn is_missing(&self) -> bool {
        matches!(self, Failure::Refused { status: 404, .. })
    }

    /// For people, with what to do.
    pub fn fault(&self) -> Fault {
        let said = self.to_string();
        match self {
            Failure::Refused { status: 401, .. } => Fault::usage(said)
                .hint("check the token of [jira], and for the cloud the e-mail address that it belongs to"),
            Failure::Refused { status: 403, .. } => {
                Fault::usage(said).hint("give the account of [jira] the permissions that docs/jira.md lists")
            }
            Failure::Refused { status: 404, .. } => {
                Fault::usage(said).hint("is the key right, and may the account of [jira] browse the project?")
            }
            Failure::Refused { status: 500.., .. } | Failure::Unreachable(_) | Failure::Busy(_) => {
                Fault::cannot_judge(said).hint("try again later")
            }
            Failure::Refused { .. } => Fault::usage(said),
        }
    }
}

/// The way to one Jira.
pub struct Http {
    client: Client,
    base: Url,
    headers: HeaderMap,
    redactor: Redactor,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Http {
    /// The way to the Jira at `base`, with an `Authorization` that `redactor` knows.
    ///
    /// # Errors
    /// A [`Fault`] (exit 2) where the address or the authorization cannot be used.
    pub fn new(base: &str, authorization: &str, redactor: Redactor) -> anyhow::Result<Self> {
        let mut base = Url::parse(base).map_err(|error| Fault::usage(format!("jira.base_url: {error}")))?;
        base.set_path(&format!("{}/", base.path().trim_end_matches('/')));
        let mut headers = HeaderMap::new();
        let mut value = HeaderValue::from_str(authorization)
            .map_err(|_| Fault::usage("the token of [jira] has a character that no token has"))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let client = crate::models::plain_client(TRY)
            .map_err(|error| Fault::cannot_judge(format!("no HTTPS client for Jira: {error}")))?;
        Ok(Self { client, base, headers, redactor })
    }

    /// Asks for `path` below the base. What changes something is sent again only where it was certainly not done.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let mut url = self.base.join(path).map_err(|error| Failure::Unreachable(error.to_string()))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let deadline = Instant::now() + LONGEST;
        let mut wait = FIRST_WAIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut request = self.client.request(method.clone(), url.clone()).headers(self.headers.clone());
            if let Some(body) = body {
                request = request.json(body);
            }
            let (failure, asked) = match tokio::time::timeout(left.min(TRY), self.once(request)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(again)) => again,
                Err(_) => {
                    (Failure::Unreachable("it did not answer in time".to_owned()), Again::IfHarmless(None))
                }
            };
            let pause = match asked {
                Again::No => return Err(failure),
                Again::IfHarmless(_) if method == Method::POST => return Err(failure),
                Again::IfHarmless(asked) | Again::Always(asked) => {
                    asked.map_or(wait, |asked| asked.max(wait))
                }
            };
            if Instant::now().checked_add(pause).is_none_or(|then| then >= deadline) {
                return Err(match asked {
                    Again::Always(Some(pause)) => Failure::Busy(pause),
                    _ => failure,
                });
            }
            tokio::time::sleep(pause).await;
            wait = wait.saturating_mul(2);
        }
    }

    async fn once(&self, request: reqwest::RequestBuilder) -> Result<Value, (Failure, Again)> {
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                let again = if error.is_connect() { Again::Always(None) } else { Again::IfHarmless(None) };
                return Err((Failure::Unreachable(self.words(&chain(&error.without_url()))), again));
            }
        };
        let status = response.status();
        let after = wait_asked(response.headers());
        let mut bytes = Vec::new();
        loop {
            match response.chunk().await {
                Ok(None) => break,
                Ok(Some(part)) if bytes.len() + part.len() <= MOST_BYTES => bytes.extend_from_slice(&part),
                Ok(Some(_)) => {
                    return Err((Failure::Unreachable("its answer is too large".to_owned()), Again::No));
                }
                Err(error) => {
                    let words = self.words(&chain(&error.without_url()));
                    return Err((Failure::Unreachable(words), Again::IfHarmless(None)));
                }
            }
        }
        if status.is_success() {
            if bytes.iter().all(u8::is_ascii_whitespace) {
                return Ok(Value::Null);
            }
            return serde_json::from_slice(&bytes)
                .map_err(|_| (Failure::Unreachable("its answer is no JSON".to_owned()), Again::No));
        }
        let failure = Failure::Refused { status: status.as_u16(), words: self.complaint(status, &bytes) };
        Err((
            failure,
            match status.as_u16() {
                // It says that it did nothing.
                429 => Again::Always(after),
                408 | 500 | 502 | 503 | 504 => Again::IfHarmless(after),
                _ => Again::No,
            },
        ))
    }

    /// What Jira complains about.
    fn complaint(&self, status: StatusCode, bytes: &[u8]) -> String {
        let said: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let mut words: Vec<String> = said["errorMessages"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one.as_str().map(str::to_owned))
            .collect();
        for (field, what) in said["errors"].as_object().into_iter().flatten() {
            words.push(format!("{field}: {}", what.as_str().unwrap_or_default()));
        }
        words.extend(said["message"].as_str().map(str::to_owned));
        match words.is_empty() {
            true => status.canonical_reason().unwrap_or("an error").to_owned(),
            false => self.words(&words.join("; ")),
        }
    }

    /// A stranger's words as they may be shown: without secrets, on one line, cut.
    fn words(&self, text: &str) -> String {
        let start: String = text.chars().take(10 * MOST_WORDS).collect();
        let line = crate::plain::plain(&self.redactor.redact(&start)).replace(['\n', '\t'], " ");
        line.chars().take(MOST_WORDS).collect()
    }
}

/// Whether another try may do, and after what wait.
enum Again {
    No,
    /// If it does no harm to do the same twice.
    IfHarmless(Option<Duration>),
    Always(Option<Duration>),
}

/// The wait that Jira asks for, in seconds.
fn wait_asked(headers: &HeaderMap) -> Option<Duration> {
    let seconds: f64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    (0.0..1e6).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
