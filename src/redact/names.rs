//! Which names and places say that a value is secret.

use std::sync::LazyLock;

use regex::Regex;

use super::shapes::{USERINFO, is_placeholder, pattern};

/// The secrets in a variable: its value where its name says so, and the passwords in the URLs of its value.
pub(super) fn secrets_of(name: &str, value: &str) -> Vec<String> {
    let mut values = url_secrets(value);
    if names_secret(name) && !is_plain_setting(value) {
        values.insert(0, value.to_owned());
    }
    values
}

/// The passwords and tokens before the hosts of URLs, and the credentials of `Authorization` headers.
pub(super) fn url_secrets(text: &str) -> Vec<String> {
    let passwords = USERINFO.captures_iter(text).filter_map(|found| Some(found.get(2)?.as_str()));
    let passwords = passwords.filter(|password| !is_placeholder(password));
    let others = [&*LONE_USER, &*CREDENTIALS].into_iter().flat_map(|pattern| pattern.captures_iter(text));
    passwords.chain(others.filter_map(|found| Some(found.get(1)?.as_str()))).map(str::to_owned).collect()
}

static LONE_USER: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"[A-Za-z][A-Za-z0-9+.-]{1,20}://([A-Za-z0-9_.~-]{16,})@"));
static CREDENTIALS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\bauthorization:\s*(?:basic|bearer|token)\s+([A-Za-z0-9+/_=.~-]{8,})"));

/// Whether a file of that name holds an environment: `.env`, `.env.local`, `prod.env`, but no example of one.
pub(super) fn is_env_file(name: &str) -> bool {
    let example = ["example", "sample", "template", "dist"].iter().any(|word| name.contains(word));
    !example && (name == ".env" || name.starts_with(".env.") || name.ends_with(".env") || name == ".envrc")
}

/// The value of a line of an environment without its quotes, or without the remark behind it.
pub(super) fn unquoted(value: &str) -> &str {
    let value = value.trim();
    for quote in ['"', '\'', '`'] {
        if let Some((inner, _)) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return inner;
        }
    }
    value.split_once(" #").map_or(value, |(value, _)| value.trim())
}

/// Whether a variable of that name holds a secret.
fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    const PARTS: &[&str] = &[
        "TOKEN",
        "SECRET",
        "PASSWORD",
        "PASSWD",
        "PASSPHRASE",
        "CREDENTIAL",
        "APIKEY",
        "PRIVATE",
        "COOKIE",
        "DSN",
    ];
    PARTS.iter().any(|part| name.contains(part))
        || name
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| matches!(word, "KEY" | "PAT" | "AUTH" | "PASS" | "PWD" | "SAS"))
}

/// Whether a value is a path, a switch or a word: masking those would only spoil the text.
fn is_plain_setting(value: &str) -> bool {
    let value = value.trim();
    value.starts_with('/')
        || (value.len() < 12 && value.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-' || b == b'_'))
        || value.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}
