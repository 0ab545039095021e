//! Foreign text, made harmless for whoever shows it.

/// Foreign text, made safe for a terminal or a page: no escape sequences, no control characters but newline and tab, no bidirectional overrides.
pub fn plain(text: &str) -> String {
    let bare = anstream::adapter::strip_str(text).to_string();
    bare.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() => '\u{fffd}',
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            c => c,
        })
        .collect()
}
