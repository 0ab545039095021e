//! Secrets that give themselves away: by a vendor's prefix, by the place that they stand in, by the name before them.

use std::borrow::Cow;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use regex::{Captures, Regex};

use super::replace_spans;

/// Tokens by their vendor's prefix: what they are called, what they begin with, the pattern of what is between that and the rest, the characters of
/// the rest, and how many there are at least.
const TOKENS: &[(&str, &[&str], &str, &str, usize)] = &[
    ("anthropic-key", &["sk-ant-"], "", WORD, 16),
    ("github-token", &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], "", ALNUM, 30),
    ("github-token", &["github_pat_"], "", WORD, 22),
    (
        "gitlab-token",
        &["glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glsoat-", "glagent-", "glft-", "glimt-", "gloas-"],
        "",
        WORD,
        20,
    ),
    ("gitlab-token", &["GR1348941"], "", WORD, 20),
    ("aws-key", &["AKIA", "ASIA", "ABIA", "ACCA"], "", "[A-Z0-9]", 16),
    ("slack-token", &["xox"], "[abceoprs]-", "[A-Za-z0-9-]", 10),
    ("slack-token", &["xapp-"], r"\d-", "[A-Za-z0-9-]", 10),
    ("google-key", &["AIza"], "", WORD, 35),
    ("google-token", &["ya29."], "", WORD, 20),
    ("google-secret", &["GOCSPX-"], "", WORD, 20),
    ("stripe-key", &["sk_live_", "sk_test_", "rk_live_", "rk_test_"], "", ALNUM, 16),
    ("stripe-secret", &["whsec_"], "", "[A-Za-z0-9+/=]", 24),
    ("npm-token", &["npm_"], "", ALNUM, 36),
    ("pypi-token", &["pypi-"], "", WORD, 50),
    ("hugging-face-token", &["hf_", "api_org_"], "", "[A-Za-z]", 30),
    ("rubygems-key", &["rubygems_"], "", "[a-f0-9]", 48),
    ("docker-token", &["dckr_pat_", "dckr_oat_"], "", WORD, 20),
    ("digitalocean-token", &["dop_v1_", "doo_v1_", "dor_v1_"], "", "[a-f0-9]", 40),
    ("grafana-token", &["glsa_", "glc_"], "", "[A-Za-z0-9+/=_]", 32),
    ("new-relic-key", &["NRAK-", "NRJS-", "NRRA-"], "", ALNUM, 19),
    ("sentry-token", &["sntrys_", "sntryu_"], "", "[A-Za-z0-9_+/=-]", 40),
    ("shopify-token", &["shpat_", "shpss_", "shpca_", "shppa_"], "", "[a-fA-F0-9]", 32),
    ("square-token", &["sq0atp-", "sq0csp-", "sq0idp-"], "", WORD, 22),
    ("vault-token", &["hvs.", "hvb.", "hvr."], "", WORD, 24),
    ("doppler-token", &["dp."], r"(?:pt|st|ct|sa|scim|audit)\.", "[A-Za-z0-9._-]", 40),
    ("pulumi-token", &["pul-"], "", "[a-f0-9]", 40),
    ("databricks-token", &["dapi"], "", "[a-f0-9]", 32),
    ("linear-key", &["lin_api_", "lin_oauth_"], "", ALNUM, 32),
    ("notion-token", &["ntn_"], "", ALNUM, 40),
    ("atlassian-token", &["ATATT3"], "", "[A-Za-z0-9_=-]", 60),
    ("figma-token", &["figd_", "figo_", "figu_", "figr_"], "", WORD, 40),
    ("postman-key", &["PMAK-"], "", "[A-Fa-f0-9-]", 50),
    ("supabase-token", &["sbp_"], "", "[a-f0-9]", 40),
    ("netlify-token", &["nfp_"], "", ALNUM, 36),
    ("planetscale-token", &["pscale_"], "(?:tkn|pw|oauth)_", "[A-Za-z0-9._-]", 32),
    ("groq-key", &["gsk_"], "", ALNUM, 40),
    ("xai-key", &["xai-"], "", ALNUM, 60),
    ("perplexity-key", &["pplx-"], "", ALNUM, 40),
    ("replicate-token", &["r8_"], "", ALNUM, 30),
    ("langsmith-key", &["lsv2_"], "(?:pt|sk)_", "[A-Za-z0-9_]", 32),
    ("tailscale-key", &["tskey-"], "[a-z]+-", "[A-Za-z0-9-]", 16),
    ("posthog-key", &["phx_", "phs_"], "", ALNUM, 40),
    ("fly-token", &["fm1_", "fm2_"], "", "[A-Za-z0-9+/=_,-]", 60),
    ("circleci-token", &["CCIPAT_", "CCIPRJ_"], "", "[A-Za-z0-9_]", 30),
    ("buildkite-token", &["bkua_", "bkrt_", "bkct_"], "", "[a-z0-9]", 32),
    ("age-key", &["AGE-SECRET-KEY-1"], "", "[A-Z0-9]", 50),
    ("mailgun-key", &["key-"], "", "[a-f0-9]", 32),
];
/// What every other shape has somewhere in it, in whatever case: a line without any of these and of the prefixes has no secret by its shape.
const SIGNS: &[&str] = &[
    "sk-",
    "sg.",
    "sk0",
    "sk1",
    "sk2",
    "sk3",
    "sk4",
    "sk5",
    "sk6",
    "sk7",
    "sk8",
    "sk9",
    "ska",
    "skb",
    "skc",
    "skd",
    "ske",
    "skf",
    "-us",
    ":aa",
    "hooks.slack.com",
    "discord",
    "eyj",
    "ls0tls1",
    "authorization",
    "bearer",
    "://",
    "pwd",
    "key",
    "secret",
    "token",
    "passwd",
    "password",
    "passphrase",
    "credential",
    "_auth",
    "cookie",
];
const WORD: &str = "[A-Za-z0-9_-]";
const ALNUM: &str = "[A-Za-z0-9]";

/// The end of a name that says that its value is secret.
const NAMED: &str = r"(?:api[_-]?key|access[_-]?key|private[_-]?key|account[_-]?key|(?:signing|encryption|session|master|client|consumer|deploy|service|storage|shared|webhook|jwt|license)[_-]?key|secret|token|passwd|password|passphrase|pwd|credential|_auth)";
/// What may follow it in the name.
const REST: &str = r"[\w-]{0,40}";

struct Shape {
    pattern: Regex,
    replace: fn(&Captures<'_>) -> Option<String>,
}

#[expect(clippy::expect_used, reason = "constant patterns; a test compiles them all")]
pub(super) fn pattern(text: &str) -> Regex {
    // The boundary of ASCII words is found without giving up speed on other texts.
    Regex::new(&text.replace(r"\b", r"(?-u:\b)")).expect("a constant pattern compiles")
}

/// User and password of a URL; a password may hold colons and at signs.
pub(super) static USERINFO: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"([A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/:@"'<>\\]*:)([^\s/"'<>\\]+)@"#));

/// Whether a URL's password is a template or the word that examples have there.
pub(super) fn is_placeholder(password: &str) -> bool {
    const WORDS: &[&str] = &[
        "password", "passwd", "pass", "pw", "pwd", "secret", "postgres", "root", "user", "username", "admin",
        "test", "example",
    ];
    let template =
        password.starts_with(['$', '{', '[']) || ["${", "[:", "%s"].iter().any(|t| password.contains(t));
    template || WORDS.contains(&password)
}

fn token(least: fn(usize) -> usize) -> String {
    let one = |(_, begins, between, chars, most): &(&str, &[&str], &str, &str, usize)| {
        let begins: Vec<String> = begins.iter().map(|begin| regex::escape(begin)).collect();
        format!("(?:{}){between}{chars}{{{},}}", begins.join("|"), least(*most))
    };
    TOKENS.iter().map(one).collect::<Vec<_>>().join("|")
}

/// One pattern for all prefixes: a text is looked through once for them.
static TOKEN: LazyLock<Regex> = LazyLock::new(|| pattern(&token(|least| least)));
/// The same for one that was cut off at the end of a text.
static CUT: LazyLock<Regex> = LazyLock::new(|| pattern(&format!(r"(?:{})\z", token(|least| least / 2))));

/// What tells that a line may have a secret.
static SUSPECT: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let begins = TOKENS.iter().flat_map(|(_, begins, ..)| begins.iter());
    AhoCorasick::builder().ascii_case_insensitive(true).build(begins.chain(SIGNS)).ok()
});

fn named(token: &str) -> String {
    let row = TOKENS.iter().find(|(_, begins, ..)| begins.iter().any(|begin| token.starts_with(begin)));
    format!("[redacted:{}]", row.map_or("token", |(name, ..)| name))
}

/// The token that was cut off at the end of `text`.
fn cut_off(text: &str) -> Option<usize> {
    let from = text.char_indices().rev().take(LONGEST_CUT).last()?.0;
    let found = CUT.find(&text[from..])?;
    found.as_str().bytes().any(|b| b.is_ascii_digit()).then_some(from + found.start())
}
/// The most characters of a token that was cut off.
const LONGEST_CUT: usize = 120;

/// Replaces what has the shape of a secret. Most lines have nothing of one, and are looked at once.
pub(super) fn redact(text: &mut Cow<'_, str>) {
    redact_private_keys(text);
    let mut out = String::new();
    let mut done = 0;
    for (start, end) in suspects(text) {
        let mut part = Cow::Borrowed(&text[start..end]);
        replace(&mut part, &TOKEN, |found| Some(named(&found[0])));
        for shape in SHAPES.iter() {
            replace(&mut part, &shape.pattern, shape.replace);
        }
        if let Cow::Owned(part) = part {
            out.push_str(&text[done..start]);
            out.push_str(&part);
            done = end;
        }
    }
    if done > 0 {
        out.push_str(&text[done..]);
        *text = Cow::Owned(out);
    }
    if let Some(from) = cut_off(text) {
        let kind = named(&text[from..]);
        let end = text.len();
        replace_spans(text, &[(from, end)], &kind);
    }
}

/// The lines of `text` that may have a secret, each with the line behind it, where the value of a name may stand.
fn suspects(text: &str) -> Vec<(usize, usize)> {
    let Some(suspect) = SUSPECT.as_ref() else { return vec![(0, text.len())] };
    let line_end =
        |at: usize| text.as_bytes()[at..].iter().position(|b| *b == b'\n').map_or(text.len(), |n| at + n + 1);
    let (mut spans, mut at): (Vec<(usize, usize)>, usize) = (Vec::new(), 0);
    while let Some(found) = text.get(at..).and_then(|rest| suspect.find(rest)) {
        let here = at + found.start();
        let start = text.as_bytes()[..here].iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
        let first = line_end(here);
        let second = line_end(first);
        match spans.last_mut() {
            Some(last) if start < last.1 => last.1 = second,
            _ => spans.push((start, second)),
        }
        // What is found in the second line takes the line after it along.
        at = first;
    }
    spans
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

static SHAPES: LazyLock<Vec<Shape>> = LazyLock::new(|| {
    let whole = |text: &str, replace| Shape { pattern: pattern(text), replace };
    // A value within quotes, which may be escaped themselves: it ends before what closes it.
    let quoted = |least: usize| {
        format!(
            r#"(?:\\?"((?:[^"\\\s]|\\[^"\s]){{{least},200}})\\?"|\\?'((?:[^'\\\s]|\\[^'\s]){{{least},200}})\\?'|`([^`\\\s]{{{least},200}})`)"#
        )
    };
    vec![
        whole(r"\bsk-[A-Za-z0-9_-]{20,}", |found| {
            let text = &found[0];
            let random =
                text.bytes().any(|b| b.is_ascii_digit()) && text.bytes().any(|b| b.is_ascii_uppercase());
            random.then(|| "[redacted:openai-key]".to_owned())
        }),
        whole(r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{32,}", |_| {
            Some("[redacted:sendgrid-key]".to_owned())
        }),
        whole(r"\bSK[0-9a-f]{32}\b", |_| Some("[redacted:twilio-key]".to_owned())),
        whole(r"\b[0-9a-f]{32}-us\d{1,2}\b", |_| Some("[redacted:mailchimp-key]".to_owned())),
        whole(r"\b\d{8,10}:AA[A-Za-z0-9_-]{33}", |_| Some("[redacted:telegram-token]".to_owned())),
        whole(r"\b[MNO][A-Za-z\d]{23,25}\.[\w-]{6}\.[\w-]{27,}", |_| {
            Some("[redacted:discord-token]".to_owned())
        }),
        whole(r"https://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]+", |_| {
            Some("[redacted:slack-hook]".to_owned())
        }),
        whole(r"https://(?:ptb\.|canary\.)?discord(?:app)?\.com/api/webhooks/\d+/[A-Za-z0-9_-]+", |_| {
            Some("[redacted:discord-hook]".to_owned())
        }),
        whole(
            r"\beyJ[A-Za-z0-9_-]{8,}\.(?:eyJ[A-Za-z0-9_-]{8,}|[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)\.[A-Za-z0-9_-]{8,}",
            |_| Some("[redacted:jwt]".to_owned()),
        ),
        // A private key in base64, as in Kubernetes' secrets: the beginning is that of any PEM file.
        whole(r"\bLS0tLS1CRUdJTi[A-Za-z0-9+/]{40,}={0,2}", |found| {
            let text = found[0].trim_end_matches('=');
            let head = STANDARD_NO_PAD.decode(&text[..52]).unwrap_or_default();
            let private = String::from_utf8_lossy(&head).contains("PRIVATE KEY");
            private.then(|| "[redacted:private-key]".to_owned())
        }),
        whole(
            r#"(?i)(authorization\\?["']?\s*[:=,]\s*\\?["']?(?:bearer|basic|token|apikey|digest)\s+)([^\s"',;\[\]{}$<>\\]{8,})"#,
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
        // Connection strings of pairs, and `login … password …` of a .netrc.
        whole(
            r#"(?i)(;\s*(?:password|pwd|accountkey|sharedaccesskey|sharedsecretvalue)\s*=\s*)([^;"'\s\\{}$<]{4,})"#,
            |found| Some(format!("{}[redacted]", &found[1])),
        ),
        whole(r#"(?i)(\blogin\s+\S{1,100}\s+password\s+)([^\s"'\\]{4,})"#, |found| {
            Some(format!("{}[redacted]", &found[1]))
        }),
        // Options of programs.
        whole(
            &format!(
                r#"(?i)(\s--?[a-z-]{{0,30}}{NAMED}[ ]+\\?["']?)([^\s"'\\<>\[\]{{}}$-][^\s"'\\<>]{{7,199}})"#
            ),
            |found| {
                (!is_expression(&found[2]) && has_digit_and_letter(&found[2]))
                    .then(|| format!("{}[redacted]", &found[1]))
            },
        ),
        whole(&format!(r#"(?i)(<(?:[\w.:-]{{0,40}}{NAMED})>\s*)([^<\s\\]{{8,200}})(\s*</)"#), |found| {
            let secret = !is_expression(&found[2]) && has_digit_and_letter(&found[2]);
            secret.then(|| format!("{}[redacted]{}", &found[1], &found[3]))
        }),
        whole(&format!(r#"(?i)({NAMED}({REST})\\?["']?\s*(?::=|=>|:|=)\s*){}"#, quoted(12)), |found| {
            let value = (3..6).find_map(|group| found.get(group))?;
            let secret = !names_no_secret(&found[2]) && looks_like_password(value.as_str());
            let whole = found.get_match();
            let (before, after) = (value.start() - whole.start(), value.end() - whole.start());
            secret.then(|| format!("{}[redacted]{}", &found[0][..before], &found[0][after..]))
        }),
        whole(
            &format!(
                r#"(?i)({NAMED}({REST})\\?["']?\s*(?::=|=>|:|=)\s*\\?["'`]?)([A-Za-z0-9+/_.~-]{{16,}}={{0,2}})"#
            ),
            |found| {
                let secret = looks_random(&found[3]) && !names_no_secret(&found[2]);
                secret.then(|| format!("{}[redacted]", &found[1]))
            },
        ),
        // A line of an environment: its value may be weak.
        whole(
            r#"((?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY)=\\?["']?)([^\s"'`\\]{8,})"#,
            |found| {
                let value = &found[2];
                let secret = has_digit_and_letter(value) && !is_expression(value);
                secret.then(|| format!("{}[redacted]", &found[1]))
            },
        ),
        whole(
            r#"(?i)(\bcookie\\?["']?\s*:\s*\\?["']?)([\w.-]{1,64}=[^\s;,"'`\\]*(?:;[ ]?[\w.-]{1,64}=[^\s;,"'`\\]*)*)"#,
            |found| {
                let cookies: Vec<String> = found[2].split(';').map(without_cookie).collect();
                let cookies = cookies.join(";");
                (cookies != found[2]).then(|| format!("{}{cookies}", &found[1]))
            },
        ),
    ]
});

/// Whether the rest of a name says that it is of something else than a secret: of how many there are, of where they lie, of their digest.
fn names_no_secret(rest: &str) -> bool {
    const OTHERS: &[&str] = &[
        "hash",
        "digest",
        "sha1",
        "sha256",
        "sha512",
        "checksum",
        "fingerprint",
        "integrity",
        "id",
        "ids",
        "name",
        "url",
        "uri",
        "path",
        "file",
        "type",
        "kind",
        "count",
        "limit",
        "length",
        "len",
        "size",
        "version",
        "izer",
        "ize",
        "public",
    ];
    let rest = rest.to_ascii_lowercase();
    OTHERS.iter().any(|other| rest.ends_with(other))
}

fn has_digit_and_letter(value: &str) -> bool {
    value.bytes().any(|b| b.is_ascii_alphabetic()) && value.bytes().any(|b| b.is_ascii_digit())
}

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
pub(super) fn looks_random(value: &str) -> bool {
    let dense = value.split(['-', '_', '.', '~']).any(|part| part.len() >= 12 && has_digit_and_letter(part));
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

/// Private keys from their first line to their last; one that is cut off, as far as it can be a part of it.
fn redact_private_keys(text: &mut Cow<'_, str>) {
    if !text.contains("PRIVATE KEY") {
        return;
    }
    let ends: Vec<(usize, usize)> = KEY_ENDS.find_iter(text).map(|m| (m.start(), m.end())).collect();
    let (mut spans, mut done, mut next_end) = (Vec::new(), 0, 0);
    for begin in KEY_BEGINS.find_iter(text) {
        if begin.start() < done {
            continue;
        }
        while next_end < ends.len() && ends[next_end].0 < begin.end() {
            // The end of one whose beginning was cut off.
            let from = key_before(text, done, ends[next_end].0);
            spans.extend(from.map(|from| (from, ends[next_end].1)));
            done = ends[next_end].1;
            next_end += 1;
        }
        let run = text[begin.end()..].find(|c| !is_of_key(c)).map_or(text.len(), |n| begin.end() + n);
        let end = match ends.get(next_end) {
            Some(&(start, end)) if start <= run => {
                next_end += 1;
                end
            }
            _ => {
                let cut = key_behind(text, begin.end());
                // A text that only speaks of keys keeps what follows.
                if text[begin.end()..cut].bytes().filter(u8::is_ascii_alphanumeric).count() < 64 {
                    continue;
                }
                cut
            }
        };
        spans.push((begin.start(), end));
        done = end;
    }
    for &(start, end) in &ends[next_end..] {
        let from = if start >= done { key_before(text, done, start) } else { None };
        spans.extend(from.map(|from| (from, end)));
        done = done.max(end);
    }
    replace_spans(text, &spans, "[redacted:private-key]");
}

/// Whether a line by itself is a part of a private key, given whether the line before it was, and whether the next may be.
pub(super) fn key_in_line(line: &str, within: bool) -> (bool, bool) {
    let begins = KEY_BEGINS.find_iter(line).last().map(|found| found.end());
    let ends = KEY_ENDS.find_iter(line).last().map(|found| found.end());
    match (begins, ends) {
        (begins, Some(end)) => (within, begins.is_some_and(|begin| begin > end)),
        (Some(begin), None) => (false, line[begin..].chars().all(is_of_key)),
        (None, None) => {
            let of_key = within && line.chars().all(is_of_key);
            (of_key, of_key)
        }
    }
}

/// Whether a character may stand between a key's first and last line, in a file, in a string, in a list of strings.
fn is_of_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || "+/=\\:,-\"'".contains(c)
}

/// Where what is left of a key ends whose last line is missing: strings that are put together count as one while they look like lines of it.
fn key_behind(text: &str, from: usize) -> usize {
    let mut end = from;
    for part in text[from..].split_inclusive(['"', '\'']) {
        let inside = part.trim_end_matches(['"', '\'']);
        let run = inside.find(|c| !is_of_key(c)).unwrap_or(inside.len());
        let line = inside.bytes().filter(u8::is_ascii_alphanumeric).count();
        // What stands between two lines is short, and a line is long.
        if end > from && line > 4 && line < 32 {
            break;
        }
        if run < inside.len() {
            end =
                if line >= 32 { end.max(part.as_ptr() as usize - text.as_ptr() as usize + run) } else { end };
            break;
        }
        if line >= 32 || end == from {
            end = part.as_ptr() as usize - text.as_ptr() as usize + inside.len();
        }
    }
    end
}

/// Where the lines before the last one of a key begin; `None` where there are none.
fn key_before(text: &str, from: usize, end: usize) -> Option<usize> {
    let line = |line: &&str| {
        let line = line.trim_end_matches(['\r', '\\', 'n']);
        line.len() >= 16 && line.trim().bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b))
    };
    let before = text[from..end].trim_end_matches('\n');
    let first = before.rsplit('\n').take_while(line).last()?;
    Some(first.as_ptr() as usize - text.as_ptr() as usize)
}
