//! Undoes what was done to a text character by character, and knows for each byte where it comes from.

/// A text with its escapes undone.
pub(super) struct Undone {
    /// The bytes that are left.
    pub(super) bytes: Vec<u8>,
    /// Where they come from, in order.
    parts: Vec<Part>,
}

/// A run of bytes: copied one by one where `from` and `to` have the same length, else what one escape stood for.
#[derive(Clone, Copy)]
struct Part {
    to: u32,
    from: u32,
    len: u32,
}

impl Undone {
    pub(super) fn new() -> Self {
        Self { bytes: Vec::new(), parts: Vec::new() }
    }

    /// `None` where it is shorter than any value.
    pub(super) fn if_any(self) -> Option<Self> {
        (self.bytes.len() >= super::known::SHORTEST).then_some(self)
    }

    pub(super) fn ends_with_break(&self) -> bool {
        self.bytes.last().is_none_or(|b| *b == b'\n')
    }

    /// The span of the text that the bytes of `span` come from.
    pub(super) fn origin(&self, (start, end): (usize, usize)) -> (usize, usize) {
        (self.place(start).0, self.place(end.saturating_sub(1)).1)
    }

    /// Where the byte at `at` comes from.
    fn place(&self, at: usize) -> (usize, usize) {
        let n = self.parts.partition_point(|part| part.to as usize <= at).saturating_sub(1);
        let Some(part) = self.parts.get(n) else { return (0, 0) };
        let next = self.parts.get(n + 1).map_or(self.bytes.len(), |next| next.to as usize);
        let (to, from, len) = (part.to as usize, part.from as usize, part.len as usize);
        if next - to == len { (from + at - to, from + at - to + 1) } else { (from, from + len) }
    }

    /// Adds `bytes`, which stand for `len` bytes at `from`.
    pub(super) fn push(&mut self, bytes: &[u8], from: usize, len: usize) {
        // Texts are far below 4 GiB: nothing larger is read anywhere.
        self.parts.push(Part { to: self.bytes.len() as u32, from: from as u32, len: len as u32 });
        self.bytes.extend_from_slice(bytes);
    }
}

/// The ways in which a text is undone that leave the rest of it as it is, in their order: what is not seen goes before escapes are read.
pub(super) const WAYS: [Way; 2] = [seen, unescaped];
/// A way in which a text is undone; `None` where nothing was done to it.
pub(super) type Way = fn(&[u8]) -> Option<Undone>;

/// `text` without what splits words and is not seen: escape sequences of terminals, line breaks with the indentation behind them, characters of
/// no width. `None` where it has nothing of the kind.
pub(super) fn seen(text: &[u8]) -> Option<Undone> {
    walk(text, |b| matches!(b, 0..=8 | 10..=31 | 0x7f | b'\\' | 0xc2 | 0xe2 | 0xef | 0xf3), unseen)
}

/// The same, line by line: breaks stay.
pub(super) fn seen_in_lines(text: &[u8]) -> Option<Undone> {
    walk(text, |b| matches!(b, 0..=8 | 11 | 12 | 14..=31 | 0x7f | 0xc2 | 0xe2 | 0xef | 0xf3), unseen)
}

/// `text` with its escapes undone: percent encoding, the backslashes of JSON, shells and programming languages, `'\''` and `'"'"'` of shells,
/// HTML's entities. `None` where it has nothing of the kind.
pub(super) fn unescaped(text: &[u8]) -> Option<Undone> {
    walk(text, |b| matches!(b, b'%' | b'\\' | b'&' | b'\''), escape)
}

fn walk(text: &[u8], special: fn(&u8) -> bool, read: fn(&[u8]) -> (usize, Told)) -> Option<Undone> {
    let mut undone = Undone::new();
    let (mut at, mut copied) = (0, 0);
    while let Some(next) = text[at..].iter().position(special) {
        let (len, told) = read(&text[at + next..]);
        let found = at + next;
        at = found + len;
        if matches!(told, Told::Itself) {
            continue;
        }
        if copied < found {
            undone.push(&text[copied..found], copied, found - copied);
        }
        let mut bytes = [0; 4];
        match told {
            Told::Byte(byte) => undone.push(&[byte], found, len),
            Told::Char(c) => undone.push(c.encode_utf8(&mut bytes).as_bytes(), found, len),
            Told::Itself | Told::Nothing => {}
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

/// What an escape stands for.
#[derive(Clone, Copy)]
enum Told {
    Itself,
    Byte(u8),
    Char(char),
    Nothing,
}

/// How many bytes the escape at the start of `text` takes, and what it stands for.
fn escape(text: &[u8]) -> (usize, Told) {
    let digits = |from: usize, count: usize, radix: u32| {
        let digits = std::str::from_utf8(text.get(from..from + count)?).ok()?;
        digits
            .bytes()
            .all(|b| char::from(b).is_digit(radix))
            .then(|| u32::from_str_radix(digits, radix).ok())?
    };
    let byte = |value: u32| Told::Byte(u8::try_from(value).unwrap_or(b'?'));
    match text[0] {
        b'%' => digits(1, 2, 16).map_or((1, Told::Itself), |value| (3, byte(value))),
        b'\'' if text.starts_with(br"'\''") => (4, Told::Byte(b'\'')),
        b'\'' if text.starts_with(br#"'"'"'"#) => (5, Told::Byte(b'\'')),
        b'&' => entity(text),
        b'\\' => match text.get(1) {
            Some(b'n') => (2, Told::Byte(b'\n')),
            Some(b'r') => (2, Told::Byte(b'\r')),
            Some(b't') => (2, Told::Byte(b'\t')),
            Some(b'e') => (2, Told::Byte(0x1b)),
            Some(b'x') if text.get(2) == Some(&b'{') => braced(text, b'x'),
            Some(b'x') => digits(2, 2, 16).map_or((2, Told::Byte(b'x')), |value| (4, byte(value))),
            Some(b'U') => match digits(2, 8, 16).and_then(char::from_u32) {
                Some(c) => (10, Told::Char(c)),
                None => (2, Told::Byte(b'U')),
            },
            Some(b'u') => unicode(text, digits(2, 4, 16)),
            Some(b'0'..=b'3') if digits(1, 3, 8).is_some() => (4, byte(digits(1, 3, 8).unwrap_or_default())),
            Some(other) if other.is_ascii() => (2, Told::Byte(*other)),
            _ => (1, Told::Itself),
        },
        _ => (1, Told::Itself),
    }
}

/// `\u0041`, a pair of them, or `\u{41}`.
fn unicode(text: &[u8], four: Option<u32>) -> (usize, Told) {
    if let Some(high) = four {
        let low = text.get(6..12).filter(|next| next.starts_with(br"\u"));
        let low = low.and_then(|next| u32::from_str_radix(std::str::from_utf8(&next[2..]).ok()?, 16).ok());
        return match (char::from_u32(high), low) {
            (Some(c), _) => (6, Told::Char(c)),
            (None, Some(low @ 0xdc00..=0xdfff)) if high < 0xdc00 => {
                let c = char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
                (12, c.map_or(Told::Nothing, Told::Char))
            }
            _ => (6, Told::Nothing),
        };
    }
    braced(text, b'u')
}

/// `\u{41}` or `\x{41}`; `name` where it is neither.
fn braced(text: &[u8], name: u8) -> (usize, Told) {
    let braced = text.get(2..12.min(text.len())).and_then(|rest| rest.strip_prefix(b"{"));
    let braced =
        braced.and_then(|rest| std::str::from_utf8(&rest[..rest.iter().position(|b| *b == b'}')?]).ok());
    match braced.and_then(|hex| Some((hex.len(), char::from_u32(u32::from_str_radix(hex, 16).ok()?)?))) {
        Some((len, c)) => (len + 4, Told::Char(c)),
        None => (2, Told::Byte(name)),
    }
}

/// `&amp;`, `&#39;`, `&#x27;`.
fn entity(text: &[u8]) -> (usize, Told) {
    let end = text.iter().take(10).position(|b| *b == b';');
    let Some(name) = end.and_then(|end| std::str::from_utf8(&text[1..end]).ok()) else {
        return (1, Told::Itself);
    };
    let number = |digits: &str, radix| char::from_u32(u32::from_str_radix(digits, radix).ok()?);
    let c = match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => match name.strip_prefix('#') {
            Some(hex) if hex.starts_with(['x', 'X']) => number(&hex[1..], 16),
            Some(digits) => number(digits, 10),
            None => None,
        },
    };
    c.map_or((1, Told::Itself), |c| (name.len() + 2, Told::Char(c)))
}

/// The length of an escape sequence of terminals; it never reaches over a line feed.
fn sequence(text: &[u8]) -> usize {
    let line = text.iter().position(|b| *b == b'\n').unwrap_or(text.len());
    let len = match text.get(1) {
        Some(b'[') => {
            text[2..].iter().position(|b| !(0x20..=0x3f).contains(b)).map_or(text.len(), |end| end + 3)
        }
        Some(b']') => {
            let bell = text.iter().position(|b| *b == 7).map(|end| end + 1);
            let terminator = text[2..].windows(2).position(|two| two == b"\x1b\\").map(|end| end + 4);
            bell.into_iter().chain(terminator).min().unwrap_or(text.len())
        }
        _ => 2,
    };
    len.min(line).max(1)
}

/// What is not seen at the start of `text`: a line break, an escape sequence, a character of no width (bidirectional marks, soft hyphens, tags).
fn unseen(text: &[u8]) -> (usize, Told) {
    let len = match text[0] {
        b'\n' | b'\r' => {
            return (text.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(text.len()), Told::Nothing);
        }
        b'\\' if text.get(1) == Some(&b'\n') => return (2, Told::Nothing),
        0x1b => return (sequence(text), Told::Nothing),
        0..=0x1f | 0x7f => return (1, Told::Nothing),
        0xc2 => 2,
        0xe2 | 0xef => 3,
        0xf3 => 4,
        _ => return (1, Told::Itself),
    };
    let c = text
        .get(..len)
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .and_then(|text| text.chars().next());
    match c {
        Some(
            '\u{ad}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}',
        ) => (len, Told::Nothing),
        Some(_) => (len, Told::Itself),
        None => (1, Told::Itself),
    }
}
