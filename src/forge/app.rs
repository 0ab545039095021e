//! A GitHub App: signed for itself (RS256), it gets a token for an installation that lasts an hour.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::fault::Fault;

/// How long before its end a token is not used any more: a push may take as long.
const MARGIN: SignedDuration = SignedDuration::from_mins(10);
/// How long a signature holds: GitHub takes ten minutes at most, and its clock may go before ours.
const HOLDS: SignedDuration = SignedDuration::from_mins(8);
/// How far our clock may go before GitHub's.
const SKEW: SignedDuration = SignedDuration::from_secs(60);

/// The App's identity.
pub(super) struct App {
    id: u64,
    key: RsaKeyPair,
}

/// A token of an installation, with its end.
#[derive(Clone)]
pub(super) struct Installed {
    /// What is sent.
    pub(super) token: SecretString,
    /// When it ends.
    pub(super) until: Timestamp,
}

impl Installed {
    /// Whether it may still be used.
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        now.checked_add(MARGIN).is_ok_and(|then| then < self.until)
    }
}

impl App {
    /// The App of this number with its private key, PEM as GitHub hands it out.
    pub(super) fn new(id: u64, pem: &SecretString) -> Result<Self> {
        let wrong = || {
            Fault::usage("the private key of the GitHub App is no RSA key in PEM")
                .hint("use the file that GitHub generated in the App's settings, as it is")
        };
        let der = PrivateKeyDer::from_pem_slice(pem.expose_secret().as_bytes()).map_err(|_| wrong())?;
        let key = match &der {
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            _ => return Err(wrong().into()),
        };
        Ok(Self { id, key: key.map_err(|_| wrong())? })
    }

    /// A token by which the App speaks for itself, for a few minutes.
    pub(super) fn signed(&self, now: Timestamp) -> Result<SecretString> {
        let claims = json!({
            "iat": now.checked_sub(SKEW)?.as_second(),
            "exp": now.checked_add(HOLDS)?.as_second(),
            "iss": self.id.to_string(),
        });
        let encode = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", encode(&json!({"alg": "RS256", "typ": "JWT"})), encode(&claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .map_err(|_| anyhow::anyhow!("the App's key cannot sign"))
            .context("no token for the GitHub App")?;
        Ok(SecretString::from(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}
