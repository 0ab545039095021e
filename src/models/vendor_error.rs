//! Errors in vendors' own words, and what they mean.

use reqwest::StatusCode;
use serde_json::Value;

/// An error in the forms that vendors, gateways and local servers give it.
#[derive(Debug, Default)]
pub(super) struct VendorError {
    /// Its words; the page's title where a gateway answered with HTML.
    pub(super) message: String,
    /// `type`, `code` and `details.error_code`.
    codes: Vec<String>,
}

impl VendorError {
    /// Reads a body, whatever it is.
    pub(super) fn read(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(json) => Self::of(&json),
            Err(_) => Self::of_text(&String::from_utf8_lossy(&body[..body.len().min(64 << 10)])),
        }
    }

    /// Reads an error's JSON: the object, or the object around it.
    pub(super) fn of(json: &Value) -> Self {
        let error = json.get("error").filter(|error| !error.is_null()).unwrap_or(json);
        if let Some(text) = error.as_str() {
            return Self { message: text.to_owned(), codes: Vec::new() };
        }
        let message = ["message", "detail", "error"].iter().find_map(|key| error.get(key)?.as_str());
        let codes = [
            error.get("type"),
            error.get("code"),
            error.get("details").and_then(|details| details.get("error_code")),
        ];
        Self {
            message: message.unwrap_or_default().to_owned(),
            codes: codes.into_iter().flatten().filter_map(|code| code.as_str()).map(str::to_owned).collect(),
        }
    }

    fn of_text(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        let title = lower.find("<title>").and_then(|start| {
            let end = lower[start..].find("</title>")? + start;
            text.get(start + 7..end)
        });
        let message = match title {
            Some(title) => title,
            None if looks_like_html(text) => "an HTML page",
            None => text,
        };
        Self { message: message.trim().to_owned(), codes: Vec::new() }
    }

    fn has_code(&self, codes: &[&str]) -> bool {
        self.codes.iter().any(|code| codes.contains(&code.as_str()))
    }

    fn says(&self, parts: &[&str]) -> bool {
        let message = self.message.to_ascii_lowercase();
        parts.iter().any(|part| message.contains(part))
    }

    pub(super) fn says_money_is_used_up(&self, status: StatusCode) -> bool {
        const CODES: &[&str] = &[
            "insufficient_quota",
            "billing_error",
            "billing_hard_limit_reached",
            "billing_not_active",
            "credit_balance_exhausted",
            "enforced_spend_limit_reached",
            "usage_limit_reached",
        ];
        let words = ["credit balance", "spend limit", "usage limits", "exceeded your current quota"];
        status == StatusCode::PAYMENT_REQUIRED
            || self.has_code(CODES)
            || matches!(status.as_u16(), 400 | 403 | 429) && self.says(&words)
    }

    /// Whether it says that the input does not fit the model's window.
    pub(super) fn says_too_long(&self, status: StatusCode) -> bool {
        let words = [
            "prompt is too long",
            "input is too long",
            "too many tokens",
            "maximum context length",
            "context window",
            "context length",
            "context size",
            "exceeds the available context",
        ];
        status == StatusCode::PAYLOAD_TOO_LARGE
            || self.has_code(&["context_length_exceeded", "exceed_context_size_error", "request_too_large"])
            || matches!(status.as_u16(), 400 | 422 | 500) && self.says(&words)
    }

    /// Whether it is one that a vendor reports inside a success, and that another try may do without.
    pub(super) fn is_passing(&self) -> bool {
        self.has_code(&[
            "overloaded_error",
            "api_error",
            "rate_limit_error",
            "timeout_error",
            "server_error",
            "rate_limit_exceeded",
        ])
    }
}

/// Whether a text is a page for people.
pub(super) fn looks_like_html(text: &str) -> bool {
    let start = text.trim_start().get(..15).unwrap_or(text).to_ascii_lowercase();
    start.starts_with("<!doctype html") || start.starts_with("<html") || start.starts_with("<head")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_read_in_every_form() {
        let read = |text: &str| VendorError::read(text.as_bytes());
        assert_eq!(read(r#"{"error":"model not found"}"#).message, "model not found");
        assert_eq!(read(r#"{"detail":"no"}"#).message, "no");
        assert_eq!(read("<html><head><TITLE>502 Bad Gateway</title>").message, "502 Bad Gateway");
        assert_eq!(read("").message, "");
        assert_eq!(read("[1]").message, "");
        let spent = read(
            r#"{"error":{"type":"rate_limit_error","details":{"error_code":"enforced_spend_limit_reached"}}}"#,
        );
        assert!(spent.says_money_is_used_up(StatusCode::TOO_MANY_REQUESTS));
        let long = read(r#"{"error":{"message":"prompt is too long: 2 tokens > 1 maximum"}}"#);
        assert!(long.says_too_long(StatusCode::BAD_REQUEST));
        assert!(!long.says_too_long(StatusCode::UNAUTHORIZED));
    }
}
