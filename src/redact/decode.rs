//! Reads what a text encodes as a whole: numbers, dumps, base64, base32, strings that are put together. Each way reads the whole text once and
//! guesses nothing: what it makes of words is noise in which no value is found.

use super::undo::Undone;

/// Runs of fewer characters are no encoded value.
const LEAST: usize = 12;
/// The most characters between two numbers of one list, and between two strings that are put together.
const GAP: usize = 12;
const JOINT: usize = 24;

/// Stands between what does not belong together.
const BREAK: &[u8] = b"\n";

/// The bytes of runs of characters that are worth `width` bits each and `group` of which make whole bytes.
fn runs(text: &[u8], digit: fn(u8) -> Option<u8>, width: u32, group: usize) -> Option<Undone> {
    let mut undone = Undone::new();
    let mut at = 0;
    let mut run: Vec<(usize, u8)> = Vec::new();
    while at < text.len() {
        let mut line = text[at..].iter().take_while(|b| digit(**b).is_some()).count();
        if line < LEAST {
            at += line + 1;
            continue;
        }
        run.clear();
        // What is wrapped goes on in the next line, none of which is longer than the one before.
        loop {
            run.extend((at..at + line).filter_map(|n| Some((n, digit(text[n])?))));
            at += line;
            let space = text[at..].iter().take_while(|b| b.is_ascii_whitespace()).count();
            let next = text[at + space..].iter().take(line + 1).take_while(|b| digit(**b).is_some()).count();
            if next == 0 || next > line || !text[at..at + space].contains(&b'\n') {
                break;
            }
            at += space;
            line = next;
        }
        for part in run.chunks(group) {
            let bits = part.iter().fold(0_u64, |bits, (_, value)| bits << width | u64::from(*value));
            let (whole, left) = (part.len() as u32 * width / 8, part.len() as u32 * width % 8);
            let bytes = (bits >> left).to_be_bytes();
            let (from, to) = (part[0].0, part[part.len() - 1].0 + 1);
            undone.push(&bytes[8 - whole as usize..], from, to - from);
        }
        undone.push(BREAK, at, 0);
        at += 1;
    }
    undone.if_any()
}

/// Base64 with either alphabet.
pub(super) fn base64(text: &[u8]) -> Option<Undone> {
    let digit = |b: u8| match b {
        b'A'..=b'Z' => Some(b - b'A'),
        b'a'..=b'z' => Some(b - b'a' + 26),
        b'0'..=b'9' => Some(b - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    };
    runs(text, digit, 6, 4)
}

/// Base32, of letters of either case.
pub(super) fn base32(text: &[u8]) -> Option<Undone> {
    let digit = |b: u8| match b.to_ascii_uppercase() {
        upper @ b'A'..=b'Z' => Some(upper - b'A'),
        b'2'..=b'7' => Some(b - b'2' + 26),
        _ => None,
    };
    runs(text, digit, 5, 8)
}

fn nibble(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).and_then(|value| value.try_into().ok())
}

/// Hexadecimal in one piece or in several: `736b2d`, `73 6b`, `0x73, 0x6b`, one number in each line.
pub(super) fn hexes(text: &[u8]) -> Option<Undone> {
    let mut undone = Undone::new();
    let (mut at, mut last) = (0, 0);
    while at < text.len() {
        if !text[at].is_ascii_alphanumeric() {
            at += 1;
            continue;
        }
        let word = text[at..].iter().take_while(|b| b.is_ascii_alphanumeric()).count();
        let whole = &text[at..at + word];
        let digits = whole.strip_prefix(b"0x").or(whole.strip_prefix(b"0X")).unwrap_or(whole);
        if digits.len() >= 2 && digits.len() % 2 == 0 && digits.iter().all(|b| nibble(*b).is_some()) {
            if at - last > GAP {
                undone.push(BREAK, at, 0);
            }
            let from = at + word - digits.len();
            for (n, pair) in digits.chunks(2).enumerate() {
                let byte = pair.iter().fold(0, |byte, b| byte << 4 | nibble(*b).unwrap_or_default());
                undone.push(&[byte], from + 2 * n, 2);
            }
            last = at + word;
        } else {
            // A word between numbers ends their list.
            last = 0;
        }
        at += word;
    }
    undone.if_any()
}

/// Numbers up to 255, whatever stands between them: `[115, 107]`, `chr(115) + chr(107)`, one in each line.
pub(super) fn decimals(text: &[u8]) -> Option<Undone> {
    let mut undone = Undone::new();
    let (mut at, mut last) = (0, 0);
    while let Some(next) = text[at..].iter().position(u8::is_ascii_digit) {
        at += next;
        let len = text[at..].iter().take_while(|b| b.is_ascii_digit()).count();
        let digits = std::str::from_utf8(&text[at..at + len]).unwrap_or_default();
        match digits.parse::<u8>() {
            Ok(byte) if len <= 3 => {
                if at - last > GAP {
                    undone.push(BREAK, at, 0);
                }
                undone.push(&[byte], at, len);
                last = at + len;
            }
            _ => last = 0,
        }
        at += len;
    }
    undone.if_any()
}

/// What programs print that show bytes with their addresses, `hexdump -C` and `xxd`. A byte stands for its whole line, for the text beside the
/// numbers shows it, too.
pub(super) fn dumps(text: &[u8]) -> Option<Undone> {
    let mut undone = Undone::new();
    let mut from = 0;
    let mut within = false;
    for line in text.split_inclusive(|b| *b == b'\n') {
        let shown = line.strip_suffix(b"\n").unwrap_or(line);
        let shown = shown.strip_suffix(b"\r").unwrap_or(shown);
        match dumped(shown) {
            Some(bytes) => {
                for byte in bytes {
                    undone.push(&[byte], from, shown.len());
                }
                within = true;
            }
            None if within => {
                undone.push(BREAK, from, 0);
                within = false;
            }
            None => {}
        }
        from += line.len();
    }
    undone.if_any()
}

/// The bytes of a line of a dump.
fn dumped(line: &[u8]) -> Option<Vec<u8>> {
    let start = line.iter().position(|b| *b != b' ')?;
    let address = line[start..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let mut rest = &line[start + address..];
    rest = rest.strip_prefix(b":").unwrap_or(rest);
    if !(4..=16).contains(&address) || !rest.starts_with(b" ") {
        return None;
    }
    let mut bytes = Vec::new();
    loop {
        let spaces = rest.iter().take_while(|b| **b == b' ').count();
        // Behind two spaces stands the text; `hexdump` has two in the middle as well, and bars around the text.
        if spaces > 1 && !bytes.is_empty() && !(rest.contains(&b'|') && bytes.len() == 8) {
            break;
        }
        let digits = rest[spaces..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let ends = rest.get(spaces + digits).is_none_or(|b| *b == b' ');
        if spaces == 0 || digits == 0 || digits % 2 == 1 || digits > 16 || !ends {
            break;
        }
        let pairs = rest[spaces..spaces + digits].chunks(2);
        bytes.extend(
            pairs.map(|two| two.iter().fold(0, |byte, b| byte << 4 | nibble(*b).unwrap_or_default())),
        );
        rest = &rest[spaces + digits..];
    }
    // Beside them stands their text, and nothing else.
    (!bytes.is_empty() && rest.trim_ascii().len() <= bytes.len() + 2).then_some(bytes)
}

/// Strings that are put together, as in `"ab" + "cd"`, `['a', 'b']` or a shell's `ab'cd'`.
pub(super) fn joined(text: &[u8]) -> Option<Undone> {
    let quote = |b: &u8| matches!(b, b'"' | b'\'' | b'`');
    let word = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || b"-_+/=.~".contains(b));
    let mut undone = Undone::new();
    let (mut at, mut copied) = (0, 0);
    while let Some(next) = text[at..].iter().position(quote) {
        let found = at + next;
        let between = text[found + 1..].iter().take(JOINT);
        let between = between.take_while(|b| b.is_ascii_whitespace() || b"+.&,\\()".contains(b)).count();
        let mut end = found + 1 + between;
        // The sign before a string of bytes, or of another kind.
        if between > 0 && text.get(end).is_some_and(|b| b"bBrRuUfF@$".contains(b)) {
            end += 1;
        }
        let joint = text.get(end).is_some_and(quote);
        let inside =
            word(found.checked_sub(1).and_then(|before| text.get(before))) && word(text.get(found + 1));
        at = match (joint, inside) {
            (true, _) => end + 1,
            (false, true) => found + 1,
            (false, false) => {
                at = found + 1;
                continue;
            }
        };
        if copied < found {
            undone.push(&text[copied..found], copied, found - copied);
        }
        copied = at;
    }
    if copied == 0 {
        return None;
    }
    if copied < text.len() {
        undone.push(&text[copied..], copied, text.len() - copied);
    }
    Some(undone)
}

/// Characters that stand alone, as `od -c` prints them, or as a list without quotes has them.
pub(super) fn spaced(text: &[u8]) -> Option<Undone> {
    let mut undone = Undone::new();
    let mut at = 0;
    for token in text.split(u8::is_ascii_whitespace) {
        match token {
            [] => {}
            [one] | [one, b','] => undone.push(&[*one], at, 1),
            _ if undone.ends_with_break() => {}
            _ => undone.push(BREAK, at, 0),
        }
        at += token.len() + 1;
    }
    undone.if_any()
}

/// Characters in lines of their own, a line break among them, too.
pub(super) fn stacked(text: &[u8]) -> Option<Undone> {
    let mut undone = Undone::new();
    let mut at = 0;
    while at < text.len() {
        let alone = match at == 0 || text[at - 1] == b'\n' {
            true => text[at..].chunks(2).take_while(|two| two.get(1).is_none_or(|b| *b == b'\n')).count(),
            false => 0,
        };
        if alone >= super::known::SHORTEST {
            (0..alone).for_each(|n| undone.push(&text[at + 2 * n..=at + 2 * n], at + 2 * n, 1));
            undone.push(BREAK, at + 2 * alone - 1, 0);
        }
        at += (2 * alone).max(1);
    }
    undone.if_any()
}
