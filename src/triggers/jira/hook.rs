//! Jira's webhooks: a signature over the body, or the token (JWT) of a Connect app.
//!
//! Nothing but the key is read: whatever else a payload says may be old when it comes.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::client::is_key;
use crate::clock::Clock;
use crate::config::{Environment, JiraConfig};
use crate::triggers::{Hook, Incoming, Refused, Told, signed};

/// How far the clocks of Jira and of this machine may be apart, in seconds.
const LEEWAY: i64 = 120;
/// The longest that a token may be valid, in seconds.
const LONGEST: i64 = 3600;
/// The largest token, in bytes.
const MOST: usize = 8 << 10;

/// Verifies and reads them.
pub struct JiraHook {
    secret: Option<SecretString>,
    connect: Option<(SecretString, String)>,
    clock: Arc<dyn Clock>,
}

impl JiraHook {
    /// By the configured secrets; `None` where there are none.
    ///
    /// # Errors
    /// Where a secret's file cannot be used.
    pub fn of(
        config: &JiraConfig,
        environment: &Environment,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Option<Self>> {
        let secret = config.secret.read(environment)?;
        let connect = config.connect_secret.read(environment)?.zip(config.connect_client.clone());
        Ok((secret.is_some() || connect.is_some()).then(|| Self::with(secret, connect, clock)))
    }

    /// By these secrets: of signatures, and of a Connect app with its client key.
    pub(super) fn with(
        secret: Option<SecretString>,
        connect: Option<(SecretString, String)>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { secret, connect, clock }
    }

    fn verify_token(&self, incoming: &Incoming<'_>, token: &str) -> Result<(), Refused> {
        let (secret, client) = self.connect.as_ref().ok_or(Refused::Wrong)?;
        let (head, claims) = opened(secret, token).ok_or(Refused::Wrong)?;
        let now = self.clock.now().as_second();
        let at = |name: &str| claims[name].as_i64();
        let (from, until) = (at("iat").ok_or(Refused::Wrong)?, at("exp").ok_or(Refused::Wrong)?);
        let in_time = from <= now + LEEWAY
            && now <= until.saturating_add(LEEWAY)
            && until.saturating_sub(from) <= LONGEST;
        let shown = claims["qsh"].as_str().unwrap_or_default();
        let right = qsh("POST", incoming.path, incoming.query);
        let same = bool::from(shown.as_bytes().ct_eq(right.as_bytes()));
        match head["alg"] == "HS256" && claims["iss"] == client.as_str() && in_time && same {
            true => Ok(()),
            false => Err(Refused::Wrong),
        }
    }
}

impl Hook for JiraHook {
    fn source(&self) -> &'static str {
        "jira"
    }

    fn verify(&self, incoming: &Incoming<'_>) -> Result<(), Refused> {
        let shown = incoming.header("x-hub-signature");
        if !shown.is_empty() {
            let secret = self.secret.as_ref().ok_or(Refused::Wrong)?;
            let shown = shown.strip_prefix("sha256=").ok_or(Refused::Wrong)?;
            return if signed(secret, incoming.body, shown) { Ok(()) } else { Err(Refused::Wrong) };
        }
        let header = incoming.header("authorization").strip_prefix("JWT ").map(str::to_owned);
        let token = header.or_else(|| {
            parameters(incoming.query).into_iter().find(|(name, _)| name == "jwt").map(|(_, token)| token)
        });
        match token {
            Some(token) => self.verify_token(incoming, token.trim()),
            None => Err(Refused::Unsigned),
        }
    }

    fn read(&self, incoming: &Incoming<'_>) -> Result<Told, Refused> {
        let body: Value = serde_json::from_slice(incoming.body)
            .map_err(|error| Refused::Unreadable(format!("the body is no JSON: {error}")))?;
        let key = body["issue"]["key"].as_str().filter(|key| is_key(key));
        Ok(Told {
            label: incoming.header("x-atlassian-webhook-identifier").to_owned(),
            event: body["webhookEvent"].as_str().unwrap_or("an event").to_owned(),
            matter: match key {
                Some(key) => Ok(json!({ "issue": key })),
                None => Err("it tells of no issue".to_owned()),
            },
        })
    }
}

/// Head and claims of a token that was signed with `secret`.
fn opened(secret: &SecretString, token: &str) -> Option<(Value, Value)> {
    let (signed_part, signature) = token.rsplit_once('.').filter(|_| token.len() <= MOST)?;
    let (head, claims) = signed_part.split_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    if !signed(secret, signed_part.as_bytes(), &hex::encode(signature)) {
        return None;
    }
    let read = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
    Some((read(head)?, read(claims)?))
}

/// The digest of a request that a token is for: method, path and query in one canonical form, without the token itself.
fn qsh(method: &str, path: &str, query: &str) -> String {
    let mut named: std::collections::BTreeMap<String, Vec<String>> = std::collections::BTreeMap::new();
    for (name, value) in parameters(query) {
        if name != "jwt" {
            named.entry(percent(&name)).or_default().push(percent(&value));
        }
    }
    let query: Vec<String> = named
        .into_iter()
        .map(|(name, mut values)| {
            values.sort();
            format!("{name}={}", values.join(","))
        })
        .collect();
    let path = match path.trim_end_matches('/') {
        "" => "/".to_owned(),
        path => path.replace('&', "%26"),
    };
    hex::encode(Sha256::digest(format!("{method}&{path}&{}", query.join("&"))))
}

fn parameters(query: &str) -> Vec<(String, String)> {
    serde_urlencoded::from_str(query).unwrap_or_default()
}

/// Everything but the letters and digits that a URL never encodes.
fn percent(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}
