//! Escape sequences and control characters out of what tools print.

/// The text of `bytes` as a person would have read it: escape sequences removed, lossily decoded, what a carriage
/// return overwrote dropped, control characters other than tab and line feed dropped.
pub fn clean(bytes: &[u8]) -> String {
    let mut kept: Vec<u8> = Vec::with_capacity(bytes.len());
    let mut line_start = 0;
    let mut at = 0;
    while at < bytes.len() {
        let plain = bytes[at..].iter().position(|b| is_special(*b)).unwrap_or(bytes.len() - at);
        kept.extend_from_slice(&bytes[at..at + plain]);
        at += plain;
        let Some(&byte) = bytes.get(at) else { break };
        match byte {
            b'\n' => {
                kept.push(b'\n');
                line_start = kept.len();
                at += 1;
            }
            b'\r' => {
                at += 1;
                if !matches!(bytes.get(at), Some(b'\n' | b'\r') | None) {
                    kept.truncate(line_start);
                }
            }
            0x1b => at += escape_length(&bytes[at..]),
            // A backspace takes the last character of the line back.
            0x08 => {
                at += 1;
                while kept.len() > line_start {
                    if kept.pop().is_some_and(|b| b & 0xc0 != 0x80) {
                        break;
                    }
                }
            }
            _ => at += 1,
        }
    }
    match String::from_utf8(kept) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}

fn is_special(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

/// How many bytes the escape sequence at the start of `bytes` takes; it never reaches over a line feed, so that a broken
/// sequence costs at most the rest of its line.
fn escape_length(bytes: &[u8]) -> usize {
    match bytes.get(1) {
        None => 1,
        Some(b'[') => {
            let body = bytes[2..].iter().position(|b| !(0x20..=0x3f).contains(b)).unwrap_or(bytes.len() - 2);
            let end = 2 + body;
            end + usize::from(bytes.get(end).is_some_and(|b| (0x40..=0x7e).contains(b)))
        }
        // Strings (window titles, hyperlinks) end with BEL or ESC \.
        Some(b']' | b'P' | b'X' | b'^' | b'_') => {
            let mut at = 2;
            while let Some(&byte) = bytes.get(at) {
                match byte {
                    0x07 => return at + 1,
                    0x1b if bytes.get(at + 1) == Some(&b'\\') => return at + 2,
                    b'\n' | 0x1b => return at,
                    _ => at += 1,
                }
            }
            at
        }
        Some(b'\n') => 1,
        Some(0x20..=0x2f) => {
            let body = bytes[1..].iter().position(|b| !(0x20..=0x2f).contains(b)).unwrap_or(bytes.len() - 1);
            let end = 1 + body;
            end + usize::from(bytes.get(end).is_some_and(|b| (0x30..=0x7e).contains(b)))
        }
        Some(_) => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn colours_links_and_charsets_go_away() {
        assert_eq!(clean(b"\x1b[1;31merror\x1b[0m: bad\n"), "error: bad\n");
        assert_eq!(clean(b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x07!\n"), "link!\n");
        assert_eq!(clean(b"\x1b(B\x1b[mtext"), "text");
    }

    #[test]
    fn progress_bars_leave_their_last_state() {
        assert_eq!(clean(b"10%\r50%\rdone\nnext\r\n"), "done\nnext\n");
        assert_eq!(clean(b"ab\x08c\n"), "ac\n");
    }

    #[test]
    fn a_broken_sequence_costs_at_most_its_line() {
        assert_eq!(clean(b"\x1b]0;never ends\nnext"), "\nnext");
        assert_eq!(clean(b"\x1b[31\nnext"), "\nnext");
        assert_eq!(clean(b"x\x1b"), "x");
    }

    proptest! {
        #[test]
        fn any_bytes_give_text_without_controls(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let text = clean(&bytes);
            let control = |c: char| c != '\n' && c != '\t' && (c < ' ' || c == '\u{7f}');
            prop_assert!(!text.chars().any(control));
        }
    }
}
