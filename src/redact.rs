//! Takes secrets out of text before it leaves the machine or reaches a log.
//!
//! Three kinds of thing are taken out: values that are known to be secret (of environment variables, of the configuration), in the
//! forms in which they travel; tokens whose shape gives them away; and values that look random behind a name that says secret.
//! Plain digests and UUIDs stay: source code and lock files are full of them. Time is linear in the text.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use regex::{Captures, Regex};

/// Shorter values are too likely to be words of the code.
const SHORTEST: usize = 8;
/// Longer values are cut: their first bytes are enough to find them.
const LONGEST: usize = 4096;
/// The most values that are remembered.
const MOST_VALUES: usize = 256;
/// Literals of one compiled pattern, in bytes.
const PATTERN_BYTES: usize = 32 << 10;

/// What takes secrets out. Cheap to clone.
#[derive(Clone, Default)]
pub struct Redactor {
    exact: Vec<Regex>,
    values: Vec<String>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("values", &self.values.len()).finish_non_exhaustive()
    }
}

impl Redactor {
    /// Knows `values` as secrets, besides the shapes that everyone knows. Values shorter than 8 bytes are left out.
    pub fn new(values: impl IntoIterator<Item = String>) -> Self {
        let mut known: Vec<String> = Vec::new();
        for value in values {
            let value = value.trim();
            for part in std::iter::once(value).chain(value.lines().map(str::trim).filter(|l| l.len() >= 16)) {
                let part = cut(part, LONGEST);
                if part.len() >= SHORTEST && known.len() < MOST_VALUES && !known.iter().any(|k| k == part) {
                    known.push(part.to_owned());
                }
            }
        }
        let mut forms: Vec<String> = known.iter().flat_map(|value| forms_of(value)).collect();
        // The longest first: an alternation takes the first that matches, and a part must not hide the whole.
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        Self { exact: compile(&forms), values: known }
    }

    /// Knows the values of `variables` whose names say that they are secret, and the passwords in URLs of any of them.
    pub fn from_env(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut values = Vec::new();
        for (name, value) in variables {
            if names_secret(&name) && !is_plain_setting(&value) {
                values.push(value.clone());
            }
            values.extend(url_passwords(&value));
        }
        Self::new(values)
    }

    /// The same, and `value` too.
    #[must_use]
    pub fn with_secret(&self, value: &str) -> Self {
        Self::new(self.values.iter().cloned().chain([value.to_owned()]))
    }

    /// `text` with every secret replaced by `[redacted]` or `[redacted:kind]`.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        for pattern in &self.exact {
            replace(&mut text, pattern, |_| Some("[redacted]".to_owned()));
        }
        redact_private_keys(&mut text);
        for shape in SHAPES.iter() {
            replace(&mut text, &shape.pattern, |found| (shape.replace)(found));
        }
        text
    }
}

/// Replaces what `with` gives an answer for; leaves `text` borrowed when nothing is replaced.
fn replace(text: &mut Cow<'_, str>, pattern: &Regex, with: impl Fn(&Captures<'_>) -> Option<String>) {
    let mut out = String::new();
    let mut done = 0;
    for found in pattern.captures_iter(text) {
        let Some(new) = with(&found) else { continue };
        let whole = found.get_match();
        out.push_str(&text[done..whole.start()]);
        out.push_str(&new);
        done = whole.end();
    }
    if done > 0 {
        out.push_str(&text[done..]);
        *text = Cow::Owned(out);
    }
}

/// The longest prefix of `text` of at most `most` bytes.
fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn compile(forms: &[String]) -> Vec<Regex> {
    let mut patterns = Vec::new();
    let mut group: Vec<String> = Vec::new();
    let mut bytes = 0;
    let mut flush = |group: &mut Vec<String>| {
        if !group.is_empty() {
            // Escaped literals of a bounded size always compile.
            patterns.extend(Regex::new(&group.join("|")));
            group.clear();
        }
    };
    for form in forms {
        if bytes + form.len() > PATTERN_BYTES {
            flush(&mut group);
            bytes = 0;
        }
        bytes += form.len();
        group.push(regex::escape(form));
    }
    flush(&mut group);
    patterns
}

/// The forms in which a value travels: itself, inside base64 at each of the three alignments, percent-encoded, hexadecimal.
fn forms_of(value: &str) -> Vec<String> {
    let bytes = value.as_bytes();
    let mut forms = vec![value.to_owned(), hex::encode(bytes), hex::encode_upper(bytes)];
    for shift in 0..3_usize {
        let mut padded = vec![0_u8; shift];
        padded.extend_from_slice(bytes);
        // Only the characters that depend on nothing but the value.
        let first = (shift * 8).div_ceil(6);
        let last = padded.len() * 8 / 6;
        for engine in [&STANDARD, &URL_SAFE] {
            let encoded = engine.encode(&padded);
            if let Some(inner) = encoded.get(first..last).filter(|inner| inner.len() >= 10) {
                forms.push(inner.to_owned());
            }
        }
    }
    let percent: String = value
        .bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect();
    forms.push(percent);
    forms
}

/// Whether a variable of that name holds a secret.
fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    const PARTS: &[&str] =
        &["TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "APIKEY", "PRIVATE", "COOKIE", "DSN"];
    PARTS.iter().any(|part| name.contains(part))
        || name
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| matches!(word, "KEY" | "PAT" | "AUTH" | "PASS" | "PWD"))
}

/// Whether a value is a path, a switch or a word: masking those would only spoil the text.
fn is_plain_setting(value: &str) -> bool {
    let value = value.trim();
    value.starts_with('/')
        || (value.len() < 12 && value.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-' || b == b'_'))
        || value.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

fn url_passwords(value: &str) -> Vec<String> {
    let passwords = USERINFO.captures_iter(value).filter_map(|found| Some(found.get(2)?.as_str()));
    passwords.filter(|password| !is_placeholder(password)).map(str::to_owned).collect()
}

struct Shape {
    pattern: Regex,
    replace: fn(&Captures<'_>) -> Option<String>,
}

#[expect(clippy::expect_used, reason = "constant patterns; a test compiles them all")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern compiles")
}

/// User and password of a URL; a password may hold colons and at signs.
static USERINFO: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"([A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/:@"'<>]*:)([^\s/"'<>]+)@"#));

/// Whether a URL's password is a template or the word that examples have there.
fn is_placeholder(password: &str) -> bool {
    const WORDS: &[&str] = &[
        "password", "passwd", "pass", "pw", "pwd", "secret", "postgres", "root", "user", "username", "admin",
        "test", "example",
    ];
    let template =
        password.starts_with(['$', '{', '[']) || ["${", "[:", "%s"].iter().any(|t| password.contains(t));
    template || WORDS.contains(&password)
}

static SHAPES: LazyLock<Vec<Shape>> = LazyLock::new(|| {
    let whole = |text: &str, replace| Shape { pattern: pattern(text), replace };
    vec![
        whole(r"\bsk-ant-[A-Za-z0-9_-]{16,}", |_| Some("[redacted:anthropic-key]".to_owned())),
        whole(r"\bsk-[A-Za-z0-9_-]{20,}", |found| {
            let text = &found[0];
            let random =
                text.bytes().any(|b| b.is_ascii_digit()) && text.bytes().any(|b| b.is_ascii_uppercase());
            random.then(|| "[redacted:openai-key]".to_owned())
        }),
        whole(r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,})", |_| {
            Some("[redacted:github-token]".to_owned())
        }),
        whole(r"\bgl(?:pat|dt|rt|ptt|cbt|soat|agent|ft|imt)-[A-Za-z0-9_-]{20,}", |_| {
            Some("[redacted:gitlab-token]".to_owned())
        }),
        whole(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", |_| Some("[redacted:aws-key]".to_owned())),
        whole(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}", |_| Some("[redacted:slack-token]".to_owned())),
        whole(r"\bxapp-\d-[A-Za-z0-9-]{10,}", |_| Some("[redacted:slack-token]".to_owned())),
        whole(r"https://hooks\.slack\.com/services/[A-Za-z0-9/_-]+", |_| {
            Some("[redacted:slack-hook]".to_owned())
        }),
        whole(r"\bAIza[0-9A-Za-z_-]{35}", |_| Some("[redacted:google-key]".to_owned())),
        whole(r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}", |_| Some("[redacted:stripe-key]".to_owned())),
        whole(r"\b(?:npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,}|hf_[A-Za-z0-9]{30,})", |_| {
            Some("[redacted:token]".to_owned())
        }),
        whole(r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{32,}", |_| {
            Some("[redacted:sendgrid-key]".to_owned())
        }),
        whole(r"\bdo[opr]_v1_[a-f0-9]{40,}", |_| Some("[redacted:digitalocean-token]".to_owned())),
        whole(r"\bglsa_[A-Za-z0-9]{20,}_[A-Fa-f0-9]{8}", |_| Some("[redacted:grafana-token]".to_owned())),
        whole(r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}", |_| {
            Some("[redacted:jwt]".to_owned())
        }),
        whole(
            r#"(?i)(authorization["']?\s*[:=,]\s*["']?(?:bearer|basic|token)\s+)([^\s"',;\[\]{}$<>]{8,})"#,
            |found| Some(format!("{}[redacted]", &found[1])),
        ),
        whole(r"(?i)(\bbearer\s+)([A-Za-z0-9._~+/-]{16,}=*)", |found| {
            looks_random(&found[2]).then(|| format!("{}[redacted]", &found[1]))
        }),
        Shape {
            pattern: USERINFO.clone(),
            replace: |found| (!is_placeholder(&found[2])).then(|| format!("{}[redacted]@", &found[1])),
        },
        whole(r"([A-Za-z][A-Za-z0-9+.-]{1,20}://)([A-Za-z0-9_-]{20,})@", |found| {
            Some(format!("{}[redacted]@", &found[1]))
        }),
        whole(
            &format!(
                r#"(?i)({NAMED}["']?\s*(?::=|=>|:|=)\s*)(?:"([^"\s]{{12,200}})"|'([^'\s]{{12,200}})'|`([^`\s]{{12,200}})`)"#
            ),
            |found| {
                let value = (2..5).find_map(|group| found.get(group))?.as_str();
                let quote = &found[0][found[0].len() - 1..];
                looks_like_password(value).then(|| format!("{}{quote}[redacted]{quote}", &found[1]))
            },
        ),
        whole(
            &format!(r#"(?i)({NAMED}["']?\s*(?::=|=>|:|=)\s*["'`]?)([A-Za-z0-9+/_.~-]{{16,}}={{0,2}})"#),
            |found| looks_random(&found[2]).then(|| format!("{}[redacted]", &found[1])),
        ),
        // A line of an environment: its value may be weak.
        whole(
            r#"((?:PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY)=["']?)([^\s"'`]{8,})"#,
            |found| {
                let value = &found[2];
                let letters = value.bytes().any(|b| b.is_ascii_alphabetic());
                let secret = letters && value.bytes().any(|b| b.is_ascii_digit()) && !is_expression(value);
                secret.then(|| format!("{}[redacted]", &found[1]))
            },
        ),
        whole(
            r#"(?i)(\bcookie["']?\s*:\s*["']?)([\w.-]{1,64}=[^\s;,"'`]*(?:;[ ]?[\w.-]{1,64}=[^\s;,"'`]*)*)"#,
            |found| {
                let cookies: Vec<String> = found[2].split(';').map(without_cookie).collect();
                let cookies = cookies.join(";");
                (cookies != found[2]).then(|| format!("{}{cookies}", &found[1]))
            },
        ),
    ]
});

/// The end of a name that says that its value is secret.
const NAMED: &str = r"(?:api[_-]?key|access[_-]?key|private[_-]?key|account[_-]?key|secret|token|passwd|password|credential)[\w-]{0,40}";

/// Whether a value is a path, a URL, a template, a pattern or a piece of a program.
fn is_expression(value: &str) -> bool {
    value.starts_with(['/', '.', '$', '%'])
        || value.contains("://")
        || value.contains(['(', '[', '{', '<', '\\'])
}

/// Whether a value mixes letters of both cases, digits and punctuation, and holds no words.
fn looks_like_password(value: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| value.bytes().any(|b| kind(&b));
    let word = value.split(|c: char| !c.is_ascii_lowercase()).any(|part| part.len() >= 5);
    let mixed = has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_digit)
        && has(|b| b.is_ascii_punctuation() && !b"-_./:~".contains(b));
    mixed && !word && !is_expression(value) && entropy(value) >= 3.0
}

/// `name=value` of a cookie without a value that may open a session.
fn without_cookie(cookie: &str) -> String {
    const SETTINGS: &[&str] = &["domain", "path", "expires", "max-age", "samesite"];
    let Some((name, value)) = cookie.split_once('=') else { return cookie.to_owned() };
    let setting = SETTINGS.contains(&name.trim().to_ascii_lowercase().as_str());
    let digits = value.bytes().any(|b| b.is_ascii_digit());
    if setting || is_expression(value) || value.len() < 8 || !(digits || value.len() >= 16) {
        return cookie.to_owned();
    }
    format!("{name}=[redacted]")
}

/// Whether a value is a jumble of letters and digits, not words joined by punctuation.
fn looks_random(value: &str) -> bool {
    let dense = value.split(['-', '_', '.', '~']).any(|part| {
        part.len() >= 12
            && part.bytes().any(|b| b.is_ascii_digit())
            && part.bytes().any(|b| b.is_ascii_alphabetic())
    });
    dense && entropy(value) >= 3.0
}

/// Shannon entropy in bits per byte.
fn entropy(value: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in value.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let all = value.len() as f64;
    counts.iter().filter(|n| **n > 0).map(|n| f64::from(*n) / all).map(|p| -p * p.log2()).sum()
}

static KEY_BEGINS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"));
static KEY_ENDS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"));

/// Private keys from their first line to their last; one that is cut off, to the end of what can be a part of it.
fn redact_private_keys(text: &mut Cow<'_, str>) {
    if !text.contains("PRIVATE KEY") {
        return;
    }
    let ends: Vec<(usize, usize)> = KEY_ENDS.find_iter(text).map(|m| (m.start(), m.end())).collect();
    let (mut out, mut done, mut next_end) = (String::new(), 0, 0);
    for begin in KEY_BEGINS.find_iter(text) {
        if begin.start() < done {
            continue;
        }
        while next_end < ends.len() && ends[next_end].0 < begin.end() {
            next_end += 1;
        }
        let body =
            |c: char| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || "+/=\\:,-\"'".contains(c);
        let run = text[begin.end()..].find(|c| !body(c)).map_or(text.len(), |n| begin.end() + n);
        let end = match ends.get(next_end) {
            Some(&(start, end)) if start <= run => end,
            // A text that only speaks of keys keeps what follows.
            _ if text[begin.end()..run].bytes().filter(u8::is_ascii_alphanumeric).count() < 64 => continue,
            _ => run,
        };
        out.push_str(&text[done..begin.start()]);
        out.push_str("[redacted:private-key]");
        done = end;
    }
    if done > 0 {
        out.push_str(&text[done..]);
        *text = Cow::Owned(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        Redactor::default().redact(text).into_owned()
    }

    #[test]
    fn known_values_go_in_every_form() {
        let secret = "hunter2/Correct+Horse";
        let redactor = Redactor::new([secret.to_owned()]);
        for text in [
            secret.to_owned(),
            STANDARD.encode(secret),
            URL_SAFE.encode(secret),
            STANDARD.encode(format!("user:{secret}")),
            STANDARD.encode(format!("me:{secret}@host")),
            hex::encode(secret),
            "hunter2%2FCorrect%2BHorse".to_owned(),
        ] {
            let redacted = redactor.redact(&text).into_owned();
            assert!(redacted.contains("[redacted]"), "{text} stayed {redacted}");
            assert!(!redacted.contains("Correct"));
        }
    }

    #[test]
    fn the_environment_gives_values_by_name() {
        let env = [
            ("SSH_AUTH_SOCK", "/tmp/ssh-1234567890/agent"),
            ("MY_API_KEY", "value-of-the-api-key"),
            ("DATABASE_URL", "postgres://app:s3cr3tpassword@db/app"),
            ("EDITOR", "vim-the-editor-of-choice"),
            ("AUTH_MODE", "password"),
        ];
        let redactor = Redactor::from_env(env.map(|(k, v)| (k.to_owned(), v.to_owned())));
        let text =
            "value-of-the-api-key s3cr3tpassword vim-the-editor-of-choice password /tmp/ssh-1234567890/agent";
        assert_eq!(
            redactor.redact(text),
            "[redacted] [redacted] vim-the-editor-of-choice password /tmp/ssh-1234567890/agent"
        );
        assert!(!format!("{redactor:?}").contains("api-key"));
    }

    #[test]
    fn shapes_are_found_wherever_they_stand() {
        let tokens = [
            format!("sk-ant-{}", "api03-AbCdEfGhIjKlMnOpQr"),
            format!("sk-{}", "proj-AbCdEf0123456789GhIjKl"),
            format!("ghp_{}", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"),
            format!("github_pat_{}", "11ABCDEFG0aBcDeFgHiJkLmN_oPq"),
            format!("glpat-{}", "aBcDeFgHiJkLmNoPqRsT"),
            format!("AKIA{}", "IOSFODNN7EXAMPLE"),
            format!("xoxb-{}", "1234567890-abcdefghij"),
            format!("xapp-{}", "1-A012BCDEFGH-1234567890123-0a1b2c3d4e5f"),
            format!("SG.{}.{}", "aB3dE6gH9jK2mN5pQ8sT1v", "Ab1".repeat(14)),
            format!("dop_v1_{}", "0a1b2c3d".repeat(8)),
            format!("glsa_{}_{}", "aB3dE6gH".repeat(4), "0a1b2c3d"),
            format!("eyJ{}.eyJ{}.{}", "hbGciOiJIUzI1", "zdWIiOiIxMjM0", "SflKxwRJSMeKKF2QT4"),
        ];
        for token in &tokens {
            let redacted = plain(&format!("let x = f(\"{token}\");"));
            assert!(
                redacted.starts_with("let x = f(\"[redacted:") && redacted.ends_with("\");"),
                "{redacted}"
            );
        }
    }

    #[test]
    fn headers_urls_and_named_values() {
        assert_eq!(plain("Authorization: Bearer abcdef1234567890"), "Authorization: Bearer [redacted]");
        assert_eq!(plain("https://me:s3cr@t:x@host/x"), "https://me:[redacted]@host/x");
        assert_eq!(plain("https://me:50%off$now@host/x"), "https://me:[redacted]@host/x");
        assert_eq!(plain("https://me:a%2Fb%24c@host/x"), "https://me:[redacted]@host/x");
        assert_eq!(
            plain("postgres://postgres:password@localhost/db"),
            "postgres://postgres:password@localhost/db"
        );
        assert_eq!(plain("https://${USER}:${PASS}@host/x"), "https://${USER}:${PASS}@host/x");
        assert_eq!(plain("CLIENT_SECRET='q8Zt93kfLm02xPw7'"), "CLIENT_SECRET='[redacted]'");
        assert_eq!(plain("{\"api_key\": \"q8Zt93kfLm02xPw7\"}"), "{\"api_key\": \"[redacted]\"}");
    }

    #[test]
    fn passwords_with_punctuation_go_to_their_end() {
        let (first, last) = ("aB3$kL9!", "pQ2@xZ7#");
        for (before, after) in [("secret = \"", "\""), ("DB_PASSWORD: '", "',"), ("{\"token\": \"", "\"}")] {
            let text = format!("{before}{first}{last}{after}");
            assert_eq!(plain(&text), format!("{before}[redacted]{after}"));
        }
        let text = format!("token = \"q8Zt93kfLm02xPw7{first}\"");
        assert_eq!(plain(&text), "token = \"[redacted]\"");
    }

    #[test]
    fn environments_and_cookies() {
        let weak = ["hunter2", "hunter"].concat();
        assert_eq!(plain(&format!("DATABASE_PASSWORD={weak}\nA=b")), "DATABASE_PASSWORD=[redacted]\nA=b");
        assert_eq!(plain(&format!("export PASSWORD=\"{weak}\"")), "export PASSWORD=\"[redacted]\"");
        let id = ["s3cr3tS3ss", "ionValue"].concat();
        assert_eq!(plain(&format!("cookie: session={id}")), "cookie: session=[redacted]");
        assert_eq!(
            plain(&format!("Set-Cookie: theme=dark; sid={id}; Path=/; Max-Age=36000000")),
            "Set-Cookie: theme=dark; sid=[redacted]; Path=/; Max-Age=36000000"
        );
    }

    #[test]
    fn code_and_lock_files_stay() {
        for text in [
            "TOKEN_LIMIT=4096000000 PASSWORD_FILE=/run/app/db1 PASSWORD=/run/app/db1 TOKEN=$TOKEN_OF_2",
            "DB_PASSWORD=${{ secrets.PASSWORD1 }} TOKEN=https://host.example/oauth2 SECRET=changeme TOKEN=read2(x)",
            "password: \"Password123!\", tokenPattern = \"^[A-Za-z0-9]+#$\", secret = \"${Vault1:Prod#Key}\"",
            "token_url = \"https://Host1.example/a#b?c=D\", passwordPath: \"/etc/App1/db#Main\"",
            "set-cookie: theme=dark; Domain=shop1.example.com; SameSite=Strict",
            "const cookie: Cookie = parse(header); cookie = name=value1;",
            "checksum = \"9c2f1f0b8c1ad5dcf0e9a1d0b1c2d3e4f5061728394a5b6c7d8e9f0011223344\"",
            "\"integrity\": \"sha512-V8uZZv3Q0bY7m9k3hJ2l1Qw4e5r6t7y8u9i0oPaSdFgHjKlZxCvBnM==\"",
            "id: 123e4567-e89b-12d3-a456-426614174000",
            "let token = parser.next_token_of_kind(Kind::Identifier)",
            "password: process.env.DATABASE_PASSWORD_FOR_TESTS",
            "class=\"sk-folding-cube-animation-wrapper\"",
            "if (line === '-----BEGIN PRIVATE KEY-----') { return parse(line); }",
            "const secretManager = createSecretManagerClient()",
        ] {
            assert_eq!(plain(text), text);
            assert!(matches!(Redactor::default().redact(text), Cow::Borrowed(_)));
        }
    }

    #[test]
    fn private_keys_go_whole_or_cut_off() {
        let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n".repeat(4);
        let (begin, end) = ("-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----");
        assert_eq!(plain(&format!("a\n{begin}\n{body}{end}\nb")), "a\n[redacted:private-key]\nb");
        assert_eq!(plain(&format!("a\n{begin}\n{body}")), "a\n[redacted:private-key]");
        let two = format!("{begin}\n{body}{end} (x) {begin}\n{body}{end}");
        assert_eq!(plain(&two), "[redacted:private-key] (x) [redacted:private-key]");
    }

    #[test]
    fn hostile_text_takes_linear_time() {
        let text = "-----BEGIN PRIVATE KEY----- SECRET='cookie: a=b; token=".repeat(12_000);
        let started = std::time::Instant::now();
        Redactor::new(["some-long-secret".to_owned()]).redact(&text);
        assert!(started.elapsed().as_secs() < 20);
    }

    proptest::proptest! {
        #[test]
        fn a_known_value_is_nowhere_left(secret in "[ -~]{8,40}", before in ".{0,20}", after in ".{0,20}") {
            let secret = secret.trim().to_owned();
            proptest::prop_assume!(secret.len() >= 8);
            let redactor = Redactor::new([secret.clone()]);
            let text = format!("{before}{secret}{after} {}", STANDARD.encode(format!("{before}{secret}")));
            proptest::prop_assert!(!redactor.redact(&text).contains(&secret));
        }

        #[test]
        fn any_text_is_survived(text in "\\PC{0,200}") {
            let once = plain(&text);
            proptest::prop_assert_eq!(plain(&once), once);
        }
    }
}
