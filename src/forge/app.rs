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

#[cfg(test)]
mod tests {
    use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    #[test]
    fn what_an_app_signs_can_be_verified() {
        let made = std::process::Command::new("openssl").args(["genrsa", "2048"]).output();
        let Ok(made) = made else { return };
        let app = App::new(7, &SecretString::from(String::from_utf8(made.stdout).unwrap())).unwrap();
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let signed = app.signed(now).unwrap();
        let (text, signature) = signed.expose_secret().rsplit_once('.').unwrap();
        let claims = URL_SAFE_NO_PAD.decode(text.split_once('.').unwrap().1).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["iss"], "7");
        assert_eq!(claims["exp"].as_i64().unwrap() - now.as_second(), 480);
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, app.key.public_key().as_ref());
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(public.verify(text.as_bytes(), &signature).is_ok());
        assert!(public.verify(b"other", &signature).is_err());
        assert!(App::new(7, &SecretString::from("no key")).is_err());
    }

    #[test]
    fn a_token_is_not_used_up_to_its_end() {
        let until: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let installed = Installed { token: SecretString::from("x"), until };
        assert!(installed.is_fresh("2026-01-01T00:49:00Z".parse().unwrap()));
        assert!(!installed.is_fresh("2026-01-01T00:50:00Z".parse().unwrap()));
    }
}
