use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

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
        assert!(redacted.starts_with("let x = f(\"[redacted:") && redacted.ends_with("\");"), "{redacted}");
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
fn hostile_text_ends() {
    let text = "-----BEGIN PRIVATE KEY----- SECRET='cookie: a=b; token=".repeat(12_000);
    let redacted = Redactor::new(["some-long-secret".to_owned()]).redact(&text).into_owned();
    assert!(redacted.len() >= text.len() / 4);
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

/// A value with what makes trouble: letters of both cases, digits, quotes, a backslash, signs that URLs, shells, JSON and HTML escape, a space.
const AWKWARD: &str = "q7/W+x&\"'\\k$ <z>%é9Lm0-Vt";

/// Everything that is done to a value on its way into a text.
fn disguises(value: &str) -> Vec<(&'static str, String)> {
    let each = |one: fn(char) -> String| value.chars().map(one).collect::<String>();
    let bytes = |between: &str, one: fn(&u8) -> String| {
        value.bytes().map(|b| one(&b)).collect::<Vec<_>>().join(between)
    };
    let encoded = |engine: &base64::engine::GeneralPurpose, before: &str| {
        engine.encode(format!("{before}{value}:tail"))
    };
    let wrapped = |text: &str, width: usize, by: &str| {
        let all: Vec<char> = text.chars().collect();
        all.chunks(width).map(|part| part.iter().collect::<String>()).collect::<Vec<_>>().join(by)
    };
    let json = serde_json::to_string(value).unwrap();
    let upper = bytes("", |b| format!("%{b:02X}"));
    let urlencoded = value
        .bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(b).to_string(),
            b' ' => "+".to_owned(),
            _ => format!("%{b:02x}"),
        })
        .collect::<String>();
    vec![
        ("itself", value.to_owned()),
        ("base64", encoded(&STANDARD, "")),
        ("base64, shifted by one", encoded(&STANDARD_NO_PAD, "u")),
        ("base64, shifted by two", encoded(&STANDARD, "me")),
        ("base64 for URLs", encoded(&URL_SAFE, "")),
        ("base64 for URLs, shifted by one", encoded(&URL_SAFE_NO_PAD, "a")),
        ("base64 for URLs, shifted by two", encoded(&URL_SAFE, "ab")),
        ("base64 over lines", wrapped(&encoded(&STANDARD, "some more text before it"), 16, "\n")),
        ("hexadecimal", hex::encode(value)),
        ("hexadecimal, upper case", hex::encode_upper(value)),
        ("a dump", bytes(" ", |b| format!("{b:02x}"))),
        ("with colons", bytes(":", |b| format!("{b:02X}"))),
        ("a list of bytes", format!("[{}]", bytes(", ", |b| b.to_string()))),
        ("escaped bytes", bytes("", |b| format!("\\x{b:02x}"))),
        ("octal", bytes("", |b| format!("\\{b:03o}"))),
        ("percent-encoded as a whole", upper),
        ("percent-encoded", urlencoded.clone()),
        ("percent-encoded twice", urlencoded.replace('%', "%25").replace('+', "%20")),
        ("JSON", json.clone()),
        ("JSON with slashes escaped", json.replace('/', "\\/")),
        ("JSON in JSON", serde_json::to_string(&json).unwrap()),
        ("JSON in ASCII", each(|c| format!("\\u{:04x}", u32::from(c)))),
        ("Rust", format!("{value:?}")),
        ("JavaScript", each(|c| format!("\\u{{{:x}}}", u32::from(c)))),
        ("a shell's single quotes", format!("'{}'", value.replace('\'', r"'\''"))),
        ("Python's shell quotes", format!("'{}'", value.replace('\'', "'\"'\"'"))),
        (
            "a shell's backslashes",
            each(|c| if c.is_alphanumeric() { c.to_string() } else { format!("\\{c}") }),
        ),
        (
            "HTML",
            value
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;")
                .replace('\'', "&#39;"),
        ),
        ("HTML in numbers", each(|c| format!("&#{};", u32::from(c)))),
        ("HTML in hexadecimal", each(|c| format!("&#x{:X};", u32::from(c)))),
        ("wrapped", wrapped(value, 7, "\n    ")),
        ("wrapped for Windows", wrapped(value, 7, "\r\n")),
        ("continued", wrapped(value, 7, "\\\n")),
        ("coloured", each(|c| format!("\u{1b}[1;31m{c}\u{1b}[0m"))),
        ("a link", wrapped(value, 9, "\u{1b}]8;;http://x\u{1b}\\")),
        (
            "colours in JSON",
            each(|c| {
                format!("\\u001b[31m{}", if c == '"' || c == '\\' { format!("\\{c}") } else { c.to_string() })
            }),
        ),
        ("with characters that nobody sees", each(|c| format!("{c}\u{200b}"))),
        ("with soft hyphens and tags", each(|c| format!("{c}\u{ad}\u{e0041}"))),
        ("turned around for show", each(|c| format!("\u{202e}{c}\u{202c}"))),
    ]
}

#[test]
fn known_values_go_in_every_disguise() {
    for value in
        [AWKWARD, "correct-horse-battery-staple", "0123456789abcdefABCDEF", "postgres://a:b@c/d?e=f&g=h"]
    {
        let redactor = Redactor::new([value.to_owned()]);
        for (how, text) in disguises(value) {
            for (before, after) in [("", ""), ("x=", " y"), ("(", ")"), ("\u{1b}[31m", "\n")] {
                let whole = format!("{before}{text}{after}");
                let redacted = redactor.redact(&whole);
                assert!(redacted.contains("[redacted"), "{how}: {whole} stayed {redacted}");
                let rest = redacted.replace("[redacted]", "");
                assert!(rest.len() < before.len() + after.len() + 60, "{how}: of {whole} is left {rest}");
            }
        }
    }
}

#[test]
fn values_over_several_lines_go_with_each_of_their_lines() {
    let key: String = (0..4).map(|n| format!("line{n}-of-a-secret-without-a-shape\n")).collect();
    let redactor = Redactor::new([key.clone()]);
    assert_eq!(redactor.redact(&format!("<{}>", key.trim())), "<[redacted]>");
    assert_eq!(redactor.redact("  line2-of-a-secret-without-a-shape,"), "  [redacted],");
    assert_eq!(redactor.redact(&format!("{:?}", key.trim())), "\"[redacted]\"");
}

#[test]
fn values_longer_than_any_piece_go_to_their_end() {
    let value: String = (0..3000_u32).map(|n| format!("{:x}", n.wrapping_mul(2_654_435_761))).collect();
    assert!(value.len() > 20_000);
    let redactor = Redactor::new([value.clone()]);
    let left = redactor.redact(&format!("a {value} b")).replace("[redacted]", "");
    assert_eq!(left, "a  b");
}

#[test]
fn what_is_left_of_a_value_that_was_cut_off_goes() {
    let value = "kT4-wQ8_zR2.mN6~vB1";
    let redactor = Redactor::new([value.to_owned()]);
    for at in 9..value.len() {
        assert_eq!(redactor.redact(&format!("key: {}", &value[..at])), "key: [redacted]", "{at}");
        assert_eq!(
            redactor.redact(&format!("{} was it", &value[value.len() - at..])),
            "[redacted] was it",
            "{at}"
        );
    }
    let token = format!("ghp_{}", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8");
    for at in 20..token.len() {
        assert!(plain(&format!("push with {}", &token[..at])).ends_with("[redacted:github-token]"), "{at}");
    }
}

#[test]
fn json_stays_json() {
    let secret = "n\"ew\\li/ne+secret";
    let redactor = Redactor::new([secret.to_owned(), "secret-\\".to_owned(), "nnnnnnnn".to_owned()]);
    let named = ["q8Zt93kfLm02xPw7", "aB3$kL9!pQ2@\"xZ7#", secret, "secret-\\", "\nnnnnnnnn", "a\\"];
    for value in named {
        for name in ["token", "password", "note", "TOKEN=x", "cookie", "authorization"] {
            let object = serde_json::json!({
                name: value, "b": [format!("PASSWORD={value}"), format!("{name}: \"{value}\"\nnext")], "z": "end",
                "c": format!("Authorization: Bearer {value}\""), "k": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq".repeat(8),
            });
            for text in [object.to_string(), serde_json::to_string_pretty(&object).unwrap()] {
                let redacted = redactor.redact(&text).into_owned();
                let read: std::result::Result<serde_json::Value, _> = serde_json::from_str(&redacted);
                assert!(read.is_ok_and(|read| read["z"] == "end"), "{text}\n{redacted}");
            }
        }
    }
}

#[test]
fn tokens_of_vendors_are_found_by_their_prefix() {
    let tokens = [
        format!("ghs_{}", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"),
        format!("GOCSPX-{}", "aB3dE6gH9jK2mN5pQ8sT1vW4"),
        format!("ya29.{}", "a0AfH6SMBx-1234567890abcdef"),
        format!("whsec_{}", "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7"),
        format!("rubygems_{}", "0a1b2c3d4e5f".repeat(4)),
        format!("dckr_pat_{}", "aB3dE6gH9jK2mN5pQ8sT1vW4y"),
        format!("shpat_{}", "0a1b2c3d".repeat(4)),
        format!("hvs.{}", "CAESIJ1234567890abcdefghijklmnop"),
        format!("pul-{}", "0a1b2c3d".repeat(5)),
        format!("dapi{}", "0a1b2c3d".repeat(4)),
        format!("lin_api_{}", "aB3dE6gH".repeat(5)),
        format!("ATATT3{}", "xFfGF0aB3dE6gH9jK2mN5pQ8sT1vW4yZ7".repeat(2)),
        format!("tskey-auth-{}", "kABCDEF1CNTRL-aB3dE6gH9jK2"),
        format!("sntrys_{}", "eyJpYXQiOjE2OTc".repeat(4)),
        format!("AGE-SECRET-KEY-1{}", "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L".repeat(2)),
        format!("key-{}", "0a1b2c3d".repeat(4)),
        format!("SK{}", "0a1b2c3d".repeat(4)),
        format!("{}-us14", "0a1b2c3d".repeat(4)),
        format!("123456789:AA{}", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q"),
        format!("npm_{}", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"),
        STANDARD.encode(format!("-----BEGIN PRIVATE KEY-----\n{}", "MIIEvQIBADANBgkq".repeat(8))),
    ];
    for token in &tokens {
        for text in [format!("let x = f(\"{token}\");"), format!("https://h/?k={token}&z=1")] {
            let redacted = plain(&text);
            let told = redacted.contains("[redacted") && !redacted.contains(&token[10..]);
            assert!(told, "{text} stayed {redacted}");
        }
    }
}

#[test]
fn what_stands_behind_a_name_goes() {
    let value = ["q8Zt93kf", "Lm02xPw7"].concat();
    for (before, after) in [
        ("api_key = ", ""),
        ("apiKey: '", "',"),
        ("\"token\": \"", "\"}"),
        ("AUTH_TOKEN=", " next"),
        ("  client_secret: ", ""),
        ("Authorization: Bearer ", ""),
        ("authorization: Basic ", "=="),
        ("X-Api-Key: ", ""),
        ("PRIVATE-TOKEN: ", ""),
        ("{\\\"access_token\\\":\\\"", "\\\"}"),
        ("?access_token=", "&x=1"),
        ("tool --token ", " push"),
        ("tool --password=", ""),
        ("<apiToken>", "</apiToken>"),
        ("machine h login me password ", ""),
        ("Server=h;User=sa;Password=", ";Encrypt=true"),
        ("AccountName=a;AccountKey=", "==;"),
        ("redis://:", "@cache:6379"),
        ("signing_key => \"", "\""),
        ("passphrase := `", "`"),
        ("//registry.example/:_authToken=", ""),
        ("_auth=", ""),
        ("-H 'Authorization: token ", "'"),
        ("secret_access_key\t=\t", ""),
    ] {
        let redacted = plain(&format!("{before}{value}{after}"));
        assert!(
            redacted.contains("[redacted]") && !redacted.contains(&value[4..]),
            "{before}{value}{after} stayed {redacted}"
        );
        assert!(
            redacted.starts_with(before) && redacted.contains(after.trim_start_matches('=')),
            "{redacted}"
        );
    }
}

#[test]
fn what_only_looks_like_a_secret_stays() {
    let image = STANDARD
        .encode((0..3000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<_>>());
    let zeros = STANDARD.encode([vec![16_u8; 3], vec![0_u8; 300]].concat());
    let minified = "!function(e,t){\"object\"==typeof exports?t(exports):t((e=e||self).m0d1x2={})}(this,function(e){var t=a1b2c3d4e5f6g7;e.x=t?n:r});";
    for text in [
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
        "    \"integrity\": \"sha512-V8uZZv3Q0bY7m9k3hJ2l1Qw4e5r6t7y8u9i0oPaSdFgHjKlZxCvBnMqWeRtYuIoPaSdFgHjKlZxCvBnM0123456==\",",
        "golang.org/x/net v0.17.0 h1:pVaXccu2ozPjCXewfr1S7xza/zcXTity9cCdXQYSjIM=",
        "tokenizer = \"gpt4o200kbase1a2b3c\"",
        "token_digest: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "secret_sha256 = \"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"",
        "passwordFile: \"config9/secrets10/database11abcdef\"",
        "assert_eq!(tokens, vec![Token::Ident(\"a1b2c3d4e5f6\")])",
        "class Token2Parser extends BaseTokenParser12345 {}",
        "test auth::tests::token_expires_after_3600_seconds ... ok",
        "tests/test_tokens.py::test_password_reset[user1-None] PASSED",
        "--token-limit 4096 --password-file /run/secrets/db1",
        "the half_ of surf_controllerfactorybeanprovideradapter",
        "monkey-patching monkey-business key-value-store-implementation",
        "npm_config_user_agent npm_lifecycle_event npm_package_json",
        minified,
        &format!("<img src=\"data:image/png;base64,{image}\">"),
        &zeros,
        "//# sourceMappingURL=data:application/json;base64,eyJ2ZXJzaW9uIjozLCJzb3VyY2VzIjpbImEuanMiXX0=",
        "C:\\new\\table\\x41 and 100% sure &amp; don't + won't",
        "error[E0308]: mismatched types\n  --> src/token.rs:12:9\n   |\n12 |     secret: u64,",
    ] {
        assert_eq!(plain(text), text);
        let knowing = Redactor::new(["an-unrelated-secret-1".to_owned()]);
        assert!(matches!(knowing.redact(text), Cow::Borrowed(_)), "{text}");
    }
}

#[test]
fn keys_that_lost_their_beginning_or_stand_in_strings_go() {
    let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7";
    let (begin, end) = ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----");
    let tail = format!("{line}\n{line}\n{end}\nnext");
    assert_eq!(plain(&tail), "[redacted:private-key]\nnext");
    assert_eq!(plain(&format!("Running checks\n{tail}")), "Running checks\n[redacted:private-key]\nnext");
    let strings =
        format!("key = (\"{begin}\\n\"\n    \"{line}\\n\"\n    \"{line}\\n\"\n    \"{end}\")\nnext = 1");
    assert_eq!(plain(&strings), "key = (\"[redacted:private-key]\")\nnext = 1");
    let cut = format!("key = (\"{begin}\\n\"\n    \"{line}\\n\"\n    \"{line}");
    assert!(!plain(&cut).contains("MII"), "{}", plain(&cut));
    let json = format!("{{\"a\": \"{begin}\\n{line}\\n{line}\", \"b\": \"hello there\"}}");
    assert_eq!(plain(&json), "{\"a\": \"[redacted:private-key]\", \"b\": \"hello there\"}");
}

#[test]
fn a_key_that_comes_line_by_line_goes_as_a_whole() {
    let mut lines = Redactor::default().lines();
    let printed = [
        "before",
        "-----BEGIN PRIVATE KEY-----",
        "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
        "BKcwggSjAgEAAoIBAQC7",
        "-----END PRIVATE KEY-----",
        "BKcwggSjAgEAAoIBAQC7",
        "-----BEGIN PRIVATE KEY----- (none here)",
        "BKcwggSjAgEAAoIBAQC7",
    ];
    let told: Vec<String> = printed.iter().map(|line| lines.next(line)).collect();
    let key = "[redacted:private-key]";
    assert_eq!(told[..1], printed[..1]);
    assert_eq!(told[2..5], [key, key, key]);
    assert_eq!(told[5..], printed[5..]);
}

#[test]
fn what_lies_beside_the_sources_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(".env", "# x\nexport DB_PASSWORD='tame words of env'\nMODE=development-mode\n");
    write(".env.local", "API_TOKEN=tame-words-of-local # mine\nURL=postgres://u:tame-words-of-url@h/d\n");
    write(".env.example", "API_TOKEN=tame-words-of-example\n");
    let redactor = Redactor::default().with_env_files(folder.path());
    for known in ["tame words of env", "tame-words-of-local", "tame-words-of-url"] {
        assert_eq!(redactor.redact(&format!("<{known}>")), "<[redacted]>");
    }
    for other in ["tame-words-of-example", "development-mode"] {
        assert_eq!(redactor.redact(other), other);
    }
}

/// A way to write bytes, by its name.
type Encoder = (&'static str, fn(&[u8]) -> Vec<u8>);

/// Ways to encode anything, also what another one made.
fn encoders() -> Vec<Encoder> {
    fn each(bytes: &[u8], between: &str, one: fn(u8) -> String) -> Vec<u8> {
        bytes.iter().map(|b| one(*b)).collect::<Vec<_>>().join(between).into_bytes()
    }
    fn dump(bytes: &[u8], line: fn(usize, &[u8]) -> String) -> Vec<u8> {
        bytes.chunks(16).enumerate().map(|(n, part)| line(n * 16, part)).collect::<String>().into_bytes()
    }
    fn shown(part: &[u8]) -> String {
        part.iter().map(|b| if (0x20..0x7f).contains(b) { char::from(*b) } else { '.' }).collect()
    }
    vec![
        ("base64", |b| STANDARD.encode(b).into_bytes()),
        ("base64 for URLs", |b| URL_SAFE_NO_PAD.encode(b).into_bytes()),
        ("base32", |b| {
            let bits: Vec<u8> = b.iter().flat_map(|b| (0..8).rev().map(move |n| b >> n & 1)).collect();
            let digit = |five: &[u8]| (0..5).fold(0, |d, n| d << 1 | five.get(n).copied().unwrap_or(0));
            bits.chunks(5).map(|five| b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[usize::from(digit(five))]).collect()
        }),
        ("hexadecimal", |b| hex::encode(b).into_bytes()),
        ("hexadecimal with spaces", |b| each(b, " ", |b| format!("{b:02x}"))),
        ("numbers of C", |b| each(b, ", ", |b| format!("0x{b:02X}"))),
        ("decimal numbers", |b| each(b, ", ", |b| b.to_string())),
        ("a number in each line", |b| each(b, "\n", |b| b.to_string())),
        ("calls", |b| each(b, " + ", |b| format!("chr({b})"))),
        ("percent-encoded", |b| each(b, "", |b| format!("%{b:02X}"))),
        ("long escapes", |b| each(b, "", |b| format!("\\U{b:08x}"))),
        ("Perl", |b| each(b, "", |b| format!("\\x{{{b:x}}}"))),
        ("UTF-16", |b| b.iter().flat_map(|b| [*b, 0]).collect()),
        ("hexdump", |b| {
            dump(b, |at, part| {
                let hex: Vec<String> = part.iter().map(|b| format!("{b:02x}")).collect();
                let (left, right) = hex.split_at(hex.len().min(8));
                let hex = format!("{}  {}", left.join(" "), right.join(" "));
                format!("{at:08x}  {hex:<49} |{}|\n", shown(part))
            })
        }),
        ("xxd", |b| {
            dump(b, |at, part| {
                let hex: Vec<String> = part.chunks(2).map(hex::encode).collect();
                format!("{at:08x}: {:<39}  {}\n", hex.join(" "), shown(part))
            })
        }),
        ("a character in each line", |b| each(b, "\n", |b| char::from(b).to_string())),
    ]
}

#[test]
fn values_that_are_taken_apart_or_turned_around_go() {
    let value = "kT4-wQ8_zR2.mN6~vB1";
    let redactor = Redactor::new([value.to_owned()]);
    let characters = value.chars().map(|c| format!("'{c}'")).collect::<Vec<_>>().join(", ");
    let od = value.chars().map(|c| format!("   {c}")).collect::<String>();
    for text in [
        "key = \"kT4-wQ8\" + \"_zR2.mN6~vB1\"".to_owned(),
        "key = 'kT4-' . 'wQ8_zR2.mN6' . \"~vB1\"".to_owned(),
        "key = (b\"kT4-wQ8_\"\n       b\"zR2.mN6~vB1\")".to_owned(),
        "echo kT4-\"wQ8_zR2\".mN6~vB1".to_owned(),
        format!("[{characters}]"),
        format!("0000000 {od}\n0000023"),
        value.chars().rev().collect(),
        STANDARD.encode(value).chars().rev().collect(),
        STANDARD.encode(value.chars().rev().collect::<String>()),
    ] {
        let redacted = redactor.redact(&text).into_owned();
        assert!(redacted.contains("[redacted]"), "{text} stayed {redacted}");
        assert!(!redacted.contains("mN6") && !redacted.contains("6Nm"), "{text}: {redacted}");
    }
    // The text beside a dump's numbers goes with them.
    let dump = "00000000  78 3d 6b 54 34 2d 77 51  38 5f 7a 52 32 2e 6d 4e  |x=kT4-wQ8_zR2.mN|\n\
                00000010  36 7e 76 42 31 0a                                 |6~vB1.|\nnext";
    assert_eq!(redactor.redact(dump), "[redacted]\nnext");
}

#[test]
fn values_that_come_over_several_lines_go() {
    let value = "kT4-wQ8_zR2.mN6~vB1";
    for pieces in [
        vec!["a: kT4-wQ8_zR2", "   .mN6~vB1"],
        value.split("").filter(|c| !c.is_empty()).collect(),
        vec!["00000000: 6b54 342d 7751 385f 7a52 322e 6d4e 367e  kT4-wQ8_zR2.mN6~", "00000010: 7642 31  vB1"],
    ] {
        let mut lines = Redactor::new([value.to_owned()]).lines();
        let told: Vec<String> = pieces.iter().map(|piece| lines.next(piece)).collect();
        let all = told.concat().replace("[redacted]", "");
        assert!(!all.contains("R2") && !all.contains("vB1") && !all.contains("7642"), "{told:?}");
        assert_eq!(lines.next("and so on"), "and so on");
    }
}

/// Nothing that a hostile text can hold makes more of it than a bounded number of looks.
#[test]
fn texts_that_are_encoded_everywhere_take_no_longer_than_others() {
    let looks = |text: &str| known::volume(text.as_bytes(), 2) as f64 / text.len() as f64;
    for unit in [
        "41",
        "0x41, ",
        "QUFB",
        "GE======",
        "%41",
        "'a' + ",
        "a ",
        "00000000: 4141  AA\n",
        "65,",
        "\\U00000041",
    ] {
        let (short, long) = (looks(&unit.repeat(200)), looks(&unit.repeat(2000)));
        assert!(long < short * 1.1 + 0.1 && long < 90.0, "{unit}: {short} {long}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(60))]

    #[test]
    fn no_two_encoders_hide_a_value(secret in "[a-zA-Z0-9_-]{12,40}", inner in 0_usize..16, outer in 0_usize..16) {
        proptest::prop_assert_eq!(hidden_by(&secret, inner, outer), None);
    }
}

#[test]
fn no_pair_of_encoders_hides_a_value() {
    let pairs = (0..256).filter_map(|n| hidden_by("kT4-wQ8_zR2mN6-vB1", n / 16, n % 16));
    assert_eq!(pairs.collect::<Vec<_>>(), Vec::<String>::new());
}

/// What is left of a value that one encoder and then another one had, if it is too much.
fn hidden_by(secret: &str, inner: usize, outer: usize) -> Option<String> {
    let encoders = encoders();
    let ((one, inner), (other, outer)) = (encoders[inner], encoders[outer]);
    let redactor = Redactor::new([secret.to_owned()]);
    let text = String::from_utf8(outer(&inner(secret.as_bytes()))).unwrap();
    let redacted = redactor.redact(&format!("before\n{text}\nbehind")).into_owned();
    let left = redacted.replace("[redacted]", "");
    let is_gone = redacted.contains("[redacted") && left.len() < 16 + text.len() / 3;
    (!is_gone).then(|| format!("{one}, then {other}: of {text:?} is left {left:?}"))
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(80))]

    // A backslash at the end of a line means that the line goes on: which one it was nobody can tell.
    #[test]
    fn no_disguise_hides_a_value(secret in "[!-\\[\\]-~]{12,40}", at in 0_usize..39, before in "[ -~]{0,20}", after in "[ -~]{0,20}") {
        let redactor = Redactor::new([secret.clone()]);
        let all = disguises(&secret);
        let (how, text) = &all[at % all.len()];
        let redacted = redactor.redact(&format!("{before} {text} {after}")).into_owned();
        proptest::prop_assert!(redacted.contains("[redacted"), "{}: {}", how, redacted);
        proptest::prop_assert!(!redacted.contains(&secret), "{}: {}", how, redacted);
    }

    #[test]
    fn a_value_within_any_json_is_found_and_leaves_json(secret in "\\PC{10,30}", before in "\\PC{0,20}", after in "\\PC{0,20}") {
        let secret = secret.trim().to_owned();
        proptest::prop_assume!(secret.len() >= 10);
        let redactor = Redactor::new([secret.clone()]);
        let text = serde_json::json!({"a": format!("{before}{secret}{after}"), "b": [secret]}).to_string();
        let redacted = redactor.redact(&text).into_owned();
        let read: serde_json::Value = serde_json::from_str(&redacted).expect("still JSON");
        proptest::prop_assert!(read.to_string().contains("[redacted"), "{}", redacted);
        proptest::prop_assert!(!redacted.contains(&secret));
    }
}
