//! How a sender shows that it knows a secret. Compared in constant time, whatever is shown.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Whether `shown` is the HMAC-SHA256 of `body` in hexadecimal.
pub fn signed(secret: &SecretString, body: &[u8], shown: &str) -> bool {
    let Ok(shown) = hex::decode(shown) else { return false };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else { return false };
    mac.update(body);
    mac.verify_slice(&shown).is_ok()
}

/// Whether `shown` is the secret itself. Of digests, so that not even its length can be measured.
pub fn same(secret: &SecretString, shown: &str) -> bool {
    Sha256::digest(shown).ct_eq(&Sha256::digest(secret.expose_secret())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_opens() {
        let secret = SecretString::from("It's a Secret to Everybody");
        // The example of GitHub's documentation.
        let right = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(signed(&secret, b"Hello, World!", right));
        assert!(signed(&secret, b"Hello, World!", &right.to_uppercase()));
        assert!(!signed(&secret, b"Hello, World", right));
        assert!(!signed(&SecretString::from("other"), b"Hello, World!", right));
        for wrong in ["", "757107", "zz", &right[2..], &format!("{right}00")] {
            assert!(!signed(&secret, b"Hello, World!", wrong), "{wrong}");
        }
        assert!(same(&secret, "It's a Secret to Everybody"));
        for wrong in ["", "It's a Secret", "It's a Secret to Everybody "] {
            assert!(!same(&secret, wrong), "{wrong}");
        }
    }
}
