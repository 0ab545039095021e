//! What stands before every handler: the name that the service is called by, limits of a request, and the headers of every answer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::Shared;
use super::problem::Problem;
use crate::fault::Fault;

/// Bytes of a request's body that are read at most.
pub(crate) const BODY: usize = 1 << 20;
/// The longest that an answer is worked on.
const ANSWER: Duration = Duration::from_secs(60);
/// Answers up to this size get a tag.
const TAGGED: usize = 8 << 20;

/// The names under which the service may be called. A page of another site that has its own name point at this machine (DNS rebinding)
/// comes under that name; an address cannot be rebound.
#[derive(Debug, Clone)]
pub struct Hosts {
    /// The host and port that the service is published under, and whether that is over TLS.
    public: Option<(String, bool)>,
    port: u16,
}

impl Hosts {
    /// For a service that listens on `address` and is published as `url`, if it is.
    ///
    /// # Errors
    /// A [`Fault`] where the URL is none that a browser could open.
    pub fn new(address: SocketAddr, url: Option<&str>) -> Result<Self, Fault> {
        let public = url.map(|url| {
            let wrong = |what: &str| {
                Fault::usage(format!("--public-url {url}: {what}"))
                    .hint("give it as a browser opens it: https://regreen.example.org")
            };
            let parsed = reqwest::Url::parse(url).map_err(|error| wrong(&error.to_string()))?;
            let secure = match parsed.scheme() {
                "https" => true,
                "http" => false,
                _ => return Err(wrong("it begins with neither https:// nor http://")),
            };
            if parsed.path() != "/" || parsed.query().is_some() || parsed.fragment().is_some() {
                return Err(wrong("the service cannot be published below a path"));
            }
            let host = parsed.host_str().ok_or_else(|| wrong("it names no host"))?;
            Ok((parsed.port().map_or(host.to_owned(), |port| format!("{host}:{port}")), secure))
        });
        Ok(Self { public: public.transpose()?, port: address.port() })
    }

    /// Whether a request for this host is for the service.
    fn knows(&self, host: &str) -> bool {
        if self.public.as_ref().is_some_and(|(public, _)| public.eq_ignore_ascii_case(host)) {
            return true;
        }
        let bare = match host.rsplit_once(':') {
            Some((bare, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !bare.ends_with(':') => bare,
            _ => host,
        };
        let bare = bare.trim_start_matches('[').trim_end_matches(']');
        bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
    }

    fn secure(&self) -> bool {
        self.public.as_ref().is_some_and(|(_, secure)| *secure)
    }

    /// The origin of the service's pages where it is published.
    pub(crate) fn origin(&self) -> Option<String> {
        let (host, secure) = self.public.as_ref()?;
        Some(format!("{}://{host}", if *secure { "https" } else { "http" }))
    }

    /// The name of the session's cookie. Services on one machine share the browser's cookies whatever their ports.
    pub(crate) fn cookie(&self) -> String {
        if self.secure() { "__Host-regreen".to_owned() } else { format!("regreen-{}", self.port) }
    }

    /// The header that sets the session's cookie for so many seconds; 0 takes it away.
    pub(crate) fn set_cookie(&self, value: &str, seconds: u64) -> String {
        let secure = if self.secure() { "; Secure" } else { "" };
        format!("{}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}", self.cookie())
    }
}

/// Refuses what is not for this service, too large, or takes too long.
pub(crate) async fn guarded(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let host = host_of(request.uri().authority().map(|authority| authority.as_str()), request.headers());
    if !host.is_some_and(|host| shared.hosts.knows(host)) {
        let problem = Problem::misdirected("the service is not known under this name");
        return Err(problem.hint("call it by its address, or start it with --public-url"));
    }
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if announced.is_some_and(|length| length.parse::<usize>().map_or(true, |length| length > BODY)) {
        return Err(Problem::too_large(BODY));
    }
    match tokio::time::timeout(ANSWER, next.run(request)).await {
        Ok(response) => Ok(response),
        Err(_) => Err(Problem::too_slow()),
    }
}

fn host_of<'r>(authority: Option<&'r str>, headers: &'r HeaderMap) -> Option<&'r str> {
    let mut hosts = headers.get_all(header::HOST).into_iter();
    let named = hosts.next().and_then(|host| host.to_str().ok());
    // Two hosts in one request are a trick.
    if hosts.next().is_some() {
        return None;
    }
    authority.or(named)
}

/// What every answer tells browsers.
const HEADERS: [(&str, &str); 7] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
];

/// Adds the headers that keep a browser from doing with an answer what it is not meant for.
pub(crate) async fn dressed(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-cache"));
    response
}

/// A part of an answer's tag that stays the same while the contents change by themselves: what a later call may insist on (`If-Match`).
#[derive(Debug, Clone)]
pub(crate) struct Version(pub(crate) String);

/// Gives an answer a tag by its contents, and leaves the contents out where the caller has them.
pub(crate) async fn tagged(request: Request, next: Next) -> Response {
    let wanted = matches!(*request.method(), Method::GET | Method::HEAD);
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let head = *request.method() == Method::HEAD;
    let response = next.run(request).await;
    // A stream has no end to wait for; its body does not tell a size.
    let sized = http_body::Body::size_hint(response.body()).exact().is_some_and(|size| size <= TAGGED as u64);
    if !wanted || head || response.status() != StatusCode::OK || !sized {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, TAGGED).await else { return Problem::internal().into_response() };
    let version = parts.extensions.get::<Version>();
    let version = version.map(|Version(name)| format!("{name}.")).unwrap_or_default();
    let tag = format!("\"{version}{}\"", &hex::encode(Sha256::digest(&bytes))[..32]);
    let same = known.is_some_and(|known| matches(&known, &tag));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        parts.headers.insert(header::ETAG, tag);
    }
    if same {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.remove(header::CONTENT_TYPE);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// Whether a list of tags names this one (weak comparison, as If-None-Match asks for).
fn matches(known: &HeaderValue, tag: &str) -> bool {
    let Ok(known) = known.to_str() else { return false };
    known.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_nobody_can_rebind_are_known() {
        let address = "127.0.0.1:4310".parse().unwrap();
        let hosts = Hosts::new(address, Some("https://regreen.example.org")).unwrap();
        for host in [
            "127.0.0.1:4310",
            "127.0.0.1",
            "localhost:4310",
            "LOCALHOST",
            "[::1]:4310",
            "regreen.example.org",
            "10.0.0.8:80",
        ] {
            assert!(hosts.knows(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:4310",
            "regreen.example.org.evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "",
            "regreen.example.org:1",
        ] {
            assert!(!hosts.knows(host), "{host}");
        }
    }

    #[test]
    fn a_published_address_is_one_that_a_browser_opens() {
        let address = "127.0.0.1:4310".parse().unwrap();
        for url in
            ["regreen.example.org", "ftp://a.example", "https://a.example/below", "https://a.example/?q"]
        {
            assert!(Hosts::new(address, Some(url)).is_err(), "{url}");
        }
        let secure = Hosts::new(address, Some("https://a.example")).unwrap();
        assert!(secure.set_cookie("x", 1).ends_with("; Secure"));
        assert!(!Hosts::new(address, None).unwrap().set_cookie("x", 1).contains("Secure"));
    }

    #[test]
    fn tags_are_compared_one_by_one() {
        let known = |text: &str| HeaderValue::from_str(text).unwrap();
        assert!(matches(&known("\"a\", W/\"b\""), "\"b\""));
        assert!(matches(&known("*"), "\"b\""));
        assert!(!matches(&known("\"a\""), "\"b\""));
    }
}
