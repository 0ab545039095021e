//! Values that are known to be secret, found in every form in which they travel.
//!
//! A value stands in a text as it is, backwards, in hexadecimal, or inside base64 at any of its three alignments: those forms are searched for
//! as they are. Or something was done to it: it was percent-encoded, escaped for JSON, a shell or HTML, coloured, wrapped over lines, written as
//! numbers, dumped, put together from pieces, encoded as a whole. That is undone, with the places kept, and what comes out is searched. Twice,
//! because a log line is easily JSON within JSON; no text is undone more often, so time stays linear in it.

use std::borrow::Cow;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::undo::{Undone, WAYS, Way, seen, seen_in_lines, unescaped};
use super::{decode, replace_spans};

/// Shorter values are too likely to be words of the code.
pub(super) const SHORTEST: usize = 8;
/// Longer values are searched for in pieces.
const LONGEST: usize = 4096;
/// The most values that are remembered.
const MOST_VALUES: usize = 1024;
/// The shortest piece of a value at an edge of the text that counts as one that was cut off, and the longest value that is looked at.
const LEAST_LEFT: usize = 8;
const LONGEST_CUT: usize = 512;
/// How often what was done to a text is undone.
const DEEP: usize = 2;
/// Longer texts are undone once only: nobody prints so much of something that was encoded twice.
const LARGE: usize = 256 << 10;
/// Everything that may have been done to a text.
const ALL: [Way; 11] = [
    seen,
    seen_in_lines,
    unescaped,
    decode::joined,
    decode::spaced,
    decode::stacked,
    decode::base64,
    decode::base32,
    decode::hexes,
    decode::decimals,
    decode::dumps,
];

/// The values, and what finds them.
pub(super) struct Known {
    values: Vec<String>,
    forms: AhoCorasick,
}

impl Known {
    /// Knows `values`; `None` where none of them is long enough.
    pub(super) fn of(values: impl IntoIterator<Item = String>) -> Option<Self> {
        let mut known: Vec<String> = Vec::new();
        for value in values {
            let value = value.trim();
            for part in std::iter::once(value).chain(value.lines().map(str::trim).filter(|l| l.len() >= 16)) {
                for piece in pieces(part) {
                    if piece.len() >= SHORTEST
                        && known.len() < MOST_VALUES
                        && !known.iter().any(|k| k == piece)
                    {
                        known.push(piece.to_owned());
                    }
                }
            }
        }
        let mut forms: Vec<Vec<u8>> = known.iter().flat_map(|value| forms_of(value)).collect();
        // What undoing makes of a value is what it makes of it in a text.
        let undone = forms.iter().flat_map(|form| views(form).into_iter().map(|view| view.bytes));
        let undone: Vec<Vec<u8>> = undone.filter(|form| form.len() >= SHORTEST).collect();
        forms.extend(undone);
        forms.iter_mut().for_each(|form| pluses(form));
        forms.sort();
        forms.dedup();
        // An alternation of literals of a bounded size can always be built.
        let forms = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&forms).ok()?;
        (!known.is_empty()).then_some(Self { values: known, forms })
    }

    pub(super) fn values(&self) -> &[String] {
        &self.values
    }

    /// Replaces every value in `text`.
    pub(super) fn redact(&self, text: &mut Cow<'_, str>) {
        let spans = self.spans(text, false);
        replace_spans(text, &whole(text, spans), "[redacted]");
    }

    /// Replaces what stands in `line` of the values in `before` and `line`.
    pub(super) fn redact_behind(&self, before: &str, line: &str) -> String {
        let text = format!("{before}{line}");
        let spans = whole(&text, self.spans(&text, true)).into_iter();
        let spans: Vec<_> = spans
            .filter(|(_, end)| *end > before.len())
            .map(|(start, end)| (start.max(before.len()) - before.len(), end - before.len()))
            .collect();
        let mut line = Cow::Borrowed(line);
        replace_spans(&mut line, &spans, "[redacted]");
        line.into_owned()
    }

    /// Where values are in `text`; where it `goes_on`, those as well whose beginning is undone at its end.
    fn spans(&self, text: &str, goes_on: bool) -> Vec<(usize, usize)> {
        let bytes = text.as_bytes();
        let mut spans = self.find(bytes);
        let views = views(bytes);
        for (at, view) in views.iter().enumerate() {
            let found = self.found_in(&view.bytes, goes_on).into_iter();
            spans.extend(
                found.map(|span| views[..=at].iter().rev().fold(span, |span, view| view.origin(span))),
            );
        }
        let deep = if text.len() > LARGE { 1 } else { DEEP };
        spans.extend(self.undone(bytes, deep, goes_on));
        spans.extend(self.cut_off(text));
        spans
    }

    /// Where values are in what `text` encodes, in at most `deep` layers.
    fn undone(&self, text: &[u8], deep: usize, goes_on: bool) -> Vec<(usize, usize)> {
        let mut spans = Vec::new();
        if deep == 0 || text.len() < SHORTEST {
            return spans;
        }
        for way in ALL {
            if let Some(view) = way(text) {
                let mut found = self.found_in(&view.bytes, goes_on);
                found.extend(self.undone(&view.bytes, deep - 1, goes_on));
                spans.extend(found.into_iter().map(|span| view.origin(span)));
            }
        }
        spans
    }

    fn found_in(&self, text: &[u8], goes_on: bool) -> Vec<(usize, usize)> {
        let mut spans = self.find(text);
        if !goes_on {
            return spans;
        }
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let values = self.values.iter().map(String::as_bytes).filter(|value| value.len() <= LONGEST_CUT);
        let tail = values.filter_map(|value| {
            let longest = value.len().saturating_sub(1).min(text.len());
            (LEAST_LEFT + 1..=longest).rev().find(|len| text.ends_with(&value[..*len]))
        });
        spans.extend(tail.max().map(|tail| (text.len() - tail, text.len())));
        spans
    }

    fn find(&self, text: &[u8]) -> Vec<(usize, usize)> {
        let mut text = Cow::Borrowed(text);
        if text.contains(&b'+') {
            pluses(text.to_mut());
        }
        self.forms.find_iter(&*text).map(|found| (found.start(), found.end())).collect()
    }

    /// The pieces of values that were cut off at the beginning and at the end of `text`.
    fn cut_off(&self, text: &str) -> Vec<(usize, usize)> {
        let (mut head, mut tail) = (0, 0);
        for value in self.values.iter().filter(|value| value.len() <= LONGEST_CUT) {
            let longest = value.len().saturating_sub(1).min(text.len());
            let fits = |len: &usize| *len > LEAST_LEFT;
            let at_end = |len: &usize| value.is_char_boundary(*len) && text.ends_with(&value[..*len]);
            let at_start = |len: &usize| {
                let from = value.len() - *len;
                value.is_char_boundary(from) && text.starts_with(&value[from..])
            };
            tail = tail.max((tail.max(LEAST_LEFT)..=longest).rev().filter(fits).find(at_end).unwrap_or(0));
            head = head.max((head.max(LEAST_LEFT)..=longest).rev().filter(fits).find(at_start).unwrap_or(0));
        }
        let mut spans = Vec::new();
        spans.extend((head > 0).then_some((0, head)));
        spans.extend((tail > 0).then_some((text.len() - tail, text.len())));
        spans
    }
}

/// How many bytes are looked through in all that is undone of `text`.
#[cfg(test)]
pub(super) fn volume(text: &[u8], deep: usize) -> usize {
    let views = ALL.iter().filter(|_| deep > 0).filter_map(|way| way(text));
    text.len() + views.map(|view| volume(&view.bytes, deep - 1)).sum::<usize>()
}

/// `text` undone step by step, each view of the one before.
fn views(text: &[u8]) -> Vec<Undone> {
    let mut views: Vec<Undone> = Vec::new();
    for way in WAYS.iter().cycle().take(DEEP * WAYS.len()) {
        let last = views.last().map_or(text, |view| view.bytes.as_slice());
        views.extend(way(last));
    }
    views
}

/// Makes one of a plus and a space, as forms do.
fn pluses(text: &mut [u8]) {
    text.iter_mut().filter(|b| **b == b'+').for_each(|b| *b = b' ');
}

/// `value` in pieces of at most [`LONGEST`] bytes.
fn pieces(value: &str) -> Vec<&str> {
    let (mut pieces, mut rest) = (Vec::new(), value);
    while rest.len() > LONGEST {
        let mut end = LONGEST;
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        pieces.push(&rest[..end]);
        rest = &rest[end..];
    }
    pieces.push(rest);
    pieces
}

/// The spans, sorted and merged, on the boundaries of characters, and each with the whole of an escape that it would break.
fn whole(text: &str, mut spans: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
    for (start, end) in &mut spans {
        while !text.is_char_boundary(*start) {
            *start -= 1;
        }
        while !text.is_char_boundary(*end) {
            *end += 1;
        }
        let backslashes = |at: usize| text.as_bytes()[..at].iter().rev().take_while(|b| **b == b'\\').count();
        // A value may begin or end with what stands for a line feed, a quote or a backslash in the text.
        if backslashes(*start) % 2 == 1 {
            *start -= 1;
        }
        if backslashes(*end).min(*end - *start) % 2 == 1 && *end < text.len() {
            *end += text[*end..].chars().next().map_or(0, char::len_utf8);
        }
    }
    spans.sort_unstable();
    let mut merged: Vec<(usize, usize)> = Vec::new();
    for (start, end) in spans {
        match merged.last_mut() {
            Some(last) if start < last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

/// The forms in which a value stands in a text as a whole: itself, in UTF-16, hexadecimal, inside base64 at each of the three alignments, and all of
/// them backwards. What else is done to it is undone in the text.
fn forms_of(value: &str) -> Vec<Vec<u8>> {
    let bytes = value.as_bytes();
    let mut forms =
        vec![bytes.to_vec(), hex::encode(bytes).into_bytes(), hex::encode_upper(bytes).into_bytes()];
    for shift in 0..3_usize {
        let mut padded = vec![0_u8; shift];
        padded.extend_from_slice(bytes);
        // Only the characters that depend on nothing but the value.
        let first = (shift * 8).div_ceil(6);
        let last = padded.len() * 8 / 6;
        for engine in [&STANDARD, &URL_SAFE] {
            let encoded = engine.encode(&padded);
            if let Some(inner) = encoded.get(first..last).filter(|inner| inner.len() >= 9) {
                forms.push(inner.as_bytes().to_vec());
            }
        }
    }
    let backwards: Vec<Vec<u8>> = forms.iter().map(|form| form.iter().rev().copied().collect()).collect();
    forms.extend(backwards);
    forms.push(value.chars().rev().collect::<String>().into_bytes());
    // Without the byte at either end that is nought, so that both orders of bytes are one form; ASCII is what keys are made of.
    let wide: Vec<u8> = bytes.iter().flat_map(|b| [*b, 0]).collect();
    forms.push(wide[..wide.len().saturating_sub(1)].to_vec());
    forms
}
