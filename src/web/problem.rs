//! Errors of the API as problem details (RFC 9457).

use axum::Json;
use axum::extract::rejection::{FormRejection, JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::fault::{Exit, Fault};
use crate::store::Conflict;

/// Why a call did not do what it was asked for (RFC 9457).
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// What kind of problem it is: a URN that stays the same. docs/api.md lists them.
    #[serde(rename = "type")]
    #[schema(example = "urn:regreen:problem:not-found")]
    kind: String,
    /// The kind, for people.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What is wrong this time.
    detail: String,
    /// What to do about it, where that is not plain.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip)]
    retry_after: Option<u64>,
}

impl Problem {
    fn new(status: StatusCode, kind: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:regreen:problem:{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            hint: None,
            retry_after: None,
        }
    }

    /// The request makes no sense (400).
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "The request cannot be understood", detail)
    }

    /// Nobody knows who calls (401).
    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "A valid token is needed", detail)
            .hint("send it as `Authorization: Bearer …`; `regreen token create` makes one")
    }

    /// The caller may not do this (403).
    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "This is not allowed", detail)
    }

    /// There is no such thing (404).
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing", detail)
    }

    /// It does not fit how things stand (409).
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "It does not fit how things stand", detail)
    }

    /// It stands otherwise than the caller knows (412).
    pub(crate) fn changed() -> Self {
        let detail = "it was changed since it was read with the tag of If-Match";
        Self::new(StatusCode::PRECONDITION_FAILED, "changed", "It stands otherwise by now", detail)
            .hint("read it again, and decide anew")
    }

    /// It was meant for somebody else (421).
    pub(crate) fn misdirected(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected",
            "The request is for another service",
            detail,
        )
    }

    /// The body is larger than `most` bytes (413).
    pub(crate) fn too_large(most: usize) -> Self {
        let detail = format!("at most {most} bytes are read");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request's body is too large", detail)
    }

    /// The Idempotency-Key was used for another request (422).
    pub(crate) fn key_reused() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency-key-reused",
            "The Idempotency-Key stands for another request",
            "a request with another path or body was made with this Idempotency-Key",
        )
        .hint("use a new key for a new request")
    }

    /// Too much was asked (429).
    pub(crate) fn too_many(retry_after: u64) -> Self {
        let problem = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-requests",
            "Too many requests",
            format!("the next one is taken in {retry_after} s"),
        );
        Self { retry_after: Some(retry_after), ..problem }
    }

    /// It took too long (503).
    pub(crate) fn too_slow() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too-slow",
            "It took too long",
            "the answer was not there in time",
        )
    }

    /// The service cannot work yet, or no more (503).
    pub(crate) fn not_ready(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", "The service is not ready", detail)
    }

    /// Something is wrong with the service (500). The cause is in its log.
    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "The service failed",
            "the cause is in the service's log",
        )
    }

    /// Adds what to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Its status.
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// What is wrong, for people.
    pub(crate) fn detail(&self) -> (&str, Option<&str>) {
        (&self.detail, self.hint.as_deref())
    }

    /// A run that was looked up: what a person got wrong there is its name.
    pub(crate) fn of_lookup(error: anyhow::Error) -> Self {
        match error.downcast_ref::<Fault>() {
            Some(fault) if fault.exit == Exit::Usage => Problem::not_found(fault.message.clone()),
            _ => error.into(),
        }
    }

    /// A run that was to be changed: what is wrong there is how it stands.
    pub(crate) fn of_action(error: anyhow::Error) -> Self {
        if error.downcast_ref::<Conflict>().is_some() {
            return Problem::conflict("the run moved on meanwhile");
        }
        match error.chain().find_map(|cause| cause.downcast_ref::<Fault>()) {
            Some(fault) if matches!(fault.exit, Exit::Usage | Exit::Policy | Exit::Red | Exit::Limit) => {
                let problem = Problem::conflict(format!("{error:#}"));
                match &fault.hint {
                    Some(hint) => problem.hint(hint.clone()),
                    None => problem,
                }
            }
            _ => error.into(),
        }
    }
}

/// What the service itself could not do.
impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        tracing::error!("{error:#}");
        Problem::internal()
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        let status = rejection.status();
        let title = "The request's body cannot be read";
        Problem::new(status, "bad-body", title, rejection.body_text())
    }
}

impl From<FormRejection> for Problem {
    fn from(rejection: FormRejection) -> Self {
        Problem::bad_request(rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Problem::bad_request(rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Problem::not_found(rejection.body_text())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status(), Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"regreen\""));
        }
        response
    }
}

/// What a request that another site's page makes gets.
pub(crate) fn cross_site(_: tower_http::csrf::ProtectionError) -> Response {
    Problem::forbidden("a page of another site asked for this").into_response()
}

/// A path that is there, asked with a method that it does not take.
pub(crate) async fn wrong_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "This path does not take that method",
        "the header Allow names those that it takes",
    )
}

/// What a handler that panicked answers.
pub(crate) fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    Problem::internal().into_response()
}
