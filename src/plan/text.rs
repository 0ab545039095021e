//! Strangers' text, made harmless to show.

/// `text` without control characters (but for line feed and tab), without the characters that reorder or hide what is shown
/// (bidirectional controls, tags, zero-width spaces, byte order marks), and with `\n` as its line end.
pub fn clean(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    text.chars().filter(|c| !is_hidden(*c)).collect()
}

/// Whether a character could reorder, hide or control what is shown.
fn is_hidden(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{061c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => true,
        '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{e0000}'..='\u{e007f}' => true,
        _ => c.is_control(),
    }
}

/// At most `most` characters of `text`, trimmed; a cut is shown by `…`.
pub fn shorten(text: &str, most: usize) -> String {
    let text = text.trim();
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => {
            let kept: String = text.chars().take(most.saturating_sub(1)).collect();
            format!("{}…", kept.trim_end())
        }
    }
}

/// A ticket's title as part of a branch's name: at most 50 characters of a-z, 0-9 and hyphens.
pub fn slug(title: &str) -> String {
    let words: Vec<String> = title
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let name: String = words.join("-").chars().take(50).collect();
    match name.trim_end_matches('-') {
        "" => "ticket".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortening_counts_characters() {
        assert_eq!(shorten(" añb ", 3), "añb");
        assert_eq!(shorten("añbc", 3), "añ…");
        assert_eq!(shorten("", 0), "");
    }

    #[test]
    fn hidden_characters_go_and_letters_stay() {
        assert_eq!(
            clean("a\u{202e}b\u{e0041}c\u{2066}\r\nd\re\u{9b}\u{1f469}\u{200d}\u{1f4bb}\u{200b}"),
            "abc\nd\ne\u{1f469}\u{200d}\u{1f4bb}"
        );
    }
}
