//! What must hold of texts that are shown, kept or sent.

use crate::cli::paint;
use crate::redact::Redactor;
use crate::verify;

/// Puts `secret` into `around` in every form and between escape sequences: it is nowhere left.
pub(super) fn holds(secret: &str, around: &[u8], cuts: &[u8]) {
    verify::fuzz::pieces(around, cuts);
    let shown = paint::plain(&String::from_utf8_lossy(around));
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{shown:?}");

    // A known value is text without escape sequences, of at least eight bytes.
    let secret = verify::fuzz::readable(secret.as_bytes());
    let secret = secret.trim();
    let alike = "[redacted]".contains(secret) || secret.contains("[redacted");
    if secret.len() < 8 || secret.len() > 4096 || secret.contains('\n') || alike {
        return;
    }
    let redactor = Redactor::new([secret.to_owned()]);
    let middle = around.len() / 2;
    let with = |form: &[u8]| [&around[..middle], form, &around[middle..]].concat();
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    for form in [secret.to_owned(), hex::encode(secret), STANDARD.encode(secret), colours(secret, cuts)] {
        let printed = with(form.as_bytes());
        let read = verify::fuzz::readable(&printed);
        // What stands before it may swallow a part of it, as on a terminal.
        let redacted = redactor.redact(&read);
        assert!(!redacted.contains(secret), "{secret:?} is left in {redacted:?}");
        assert!(!redacted.contains(&hex::encode(secret)) || hex::encode(secret).contains("redacted"));
    }
    let numbers: Vec<String> = secret.bytes().map(|byte| byte.to_string()).collect();
    for form in [STANDARD.encode(STANDARD.encode(secret)), numbers.join(", ")] {
        let printed = verify::fuzz::readable(&with(format!("({form})").as_bytes()));
        assert!(!redactor.redact(&printed).contains(&form), "{form:?} is left in {printed:?}");
    }
    let twice = redactor.redact(&String::from_utf8_lossy(around)).into_owned();
    assert!(!redactor.redact(&twice).contains(secret));
}

/// The text with a change of colour wherever a cut is.
fn colours(secret: &str, cuts: &[u8]) -> String {
    let at = |index: usize| cuts.get(index % cuts.len().max(1)).is_some_and(|cut| cut & 1 == 1);
    let marks = secret.chars().enumerate().map(|(index, c)| match at(index) {
        true => format!("\u{1b}[1;31m{c}"),
        false => c.to_string(),
    });
    marks.collect()
}
