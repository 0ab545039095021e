//! Ruby's exceptions, as the interpreter and as Rails print them.

use std::sync::LazyLock;

use regex::Regex;

use super::{Found, Frame, Language, MOST_CAUSES, Trace, line, number};

static FRAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*(?:from |\d{1,4}: from )?((?:[^\s:][^:]*)):(\d+):in [`']([^']*)'")
        .expect("a constant pattern")
});
static RAISED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^([^\s:][^:]*):(\d+):in [`']([^']*)': (.*?)(?: \(([A-Z][\w:]*)\))?$")
        .expect("a constant pattern")
});
static LOGGED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^([A-Z]\w*(?:::[A-Z]\w*)*) \((.*)\):$").expect("a constant pattern"));
static TYPE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(.*) \(([A-Z][\w:]*)\)$").expect("a constant pattern"));

/// The most lines of one exception.
const BLOCK: usize = 1_000;
/// The most lines of a message.
const MESSAGE: usize = 10;

/// The exception that begins at line `at`.
pub(super) fn at(lines: &[&str], at: usize) -> Option<Found> {
    link(lines, at, MOST_CAUSES)
}

fn link(lines: &[&str], at: usize, left: usize) -> Option<Found> {
    let text = line(lines, at);
    if let Some(head) = LOGGED.captures(text) {
        let first = (at + 1..at + 4).find(|i| FRAME.is_match(line(lines, *i)))?;
        let (frames, end) = frames(lines, first);
        return Some(Found { trace: Trace::new(Language::Ruby, &head[1], &head[2]).with(frames), end });
    }
    let head = RAISED.captures(text)?;
    let mut next = at + 1;
    let (kind, message) = match head.get(5) {
        Some(kind) => (kind.as_str().to_owned(), head[4].to_owned()),
        // A message of several lines has its type at the end of the last one, or of the first where the rest explains it.
        None => {
            let last = (at + 1..at + MESSAGE).find_map(|i| Some((i, TYPE.captures(line(lines, i))?)));
            let (index, last) = last?;
            next = index + 1;
            (last[2].to_owned(), format!("{}\n{}", &head[4], &last[1]))
        }
    };
    while next < at + MESSAGE && !FRAME.is_match(line(lines, next)) && !line(lines, next).is_empty() {
        next += 1;
    }
    let mut all = vec![Frame::new(&head[1], number(head.get(2)), 0, &head[3])];
    let (called, mut end) = frames(lines, next);
    all.extend(called);
    let mut trace = Trace::new(Language::Ruby, &kind, &message).with(all);
    // A cause follows its effect, and is no call of it.
    if left > 1
        && RAISED.is_match(line(lines, end))
        && let Some(inner) = link(lines, end, left - 1)
    {
        trace.cause = Some(Box::new(inner.trace));
        end = inner.end;
    }
    Some(Found { trace, end: end.max(at + 1) })
}

fn frames(lines: &[&str], from: usize) -> (Vec<Frame>, usize) {
    let (mut frames, mut end) = (Vec::new(), from);
    while end < (from + BLOCK).min(lines.len()) {
        let text = line(lines, end);
        let Some(found) = FRAME.captures(text).filter(|_| !RAISED.is_match(text)) else { break };
        frames.push(Frame::new(&found[1], number(found.get(2)), 0, &found[3]));
        end += 1;
    }
    (frames, end)
}
