//! Python's tracebacks.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::{Found, Frame, Language, MOST_CAUSES, Trace, line, number};

static FRAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"^(\s*(?:\| )?\s*)File "([^"]+)", line (\d+)(?:, in (.+))?$"#).expect("a constant pattern")
});
static EXCEPTION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^((?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*)(?:: (.*))?$").expect("a constant pattern")
});

/// The most lines of one traceback.
const BLOCK: usize = 2_000;

/// The line that a traceback begins with.
pub const HEAD: &str = "Traceback (most recent call last):";

/// What stands between a traceback and that of what it led to.
const CHAINED: &[&str] = &[
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
];

/// A frame's line: its second group is the file, its third the line, its fourth the function, which a syntax error lacks.
pub fn frame(line: &str) -> Option<Captures<'_>> {
    FRAME.captures(line)
}

/// The traceback that begins at line `at`, with what it was raised because of.
pub(super) fn at(lines: &[&str], at: usize) -> Option<Found> {
    let text = line(lines, at);
    let headed = text.contains(HEAD);
    if !headed && frame(text).is_none_or(|frame| frame.get(4).is_some()) {
        return None;
    }
    let found = chain(lines, at)?;
    // A syntax error of the program itself has no head; it stands right under the line that it quotes.
    let syntax = found.trace.kind.ends_with("Error") && found.end <= at + 8;
    (headed || syntax).then_some(found)
}

/// Reads the traceback that starts at line `at`: its head, or the frame of a syntax error. Of a chain the last link comes first: that is the one
/// that ended the program.
pub fn chain(lines: &[&str], at: usize) -> Option<Found> {
    let mut found = link(lines, at)?;
    for _ in 1..MOST_CAUSES {
        let head = (found.end..(found.end + 12).min(lines.len()))
            .find(|i| CHAINED.contains(&line(lines, *i).trim()))
            .and_then(|chain| {
                (chain + 1..chain + 3).find(|i| line(lines, *i).trim_start().starts_with(HEAD))
            });
        match head.and_then(|head| link(lines, head)) {
            Some(mut outer) => {
                outer.trace.cause = Some(Box::new(found.trace));
                found = outer;
            }
            None => break,
        }
    }
    Some(found)
}

fn link(lines: &[&str], at: usize) -> Option<Found> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let first = line(lines, at);
    let headed = first.contains(HEAD);
    // The exception's line stands as deep as the head, which is two columns less deep than a frame. What a logger wrote before the head on its
    // line has no such depth.
    let base = match (headed, first.trim_start().starts_with(HEAD)) {
        (true, true) => depth(first),
        (true, false) => 0,
        (false, _) => depth(first).saturating_sub(2),
    };
    let mut frames = Vec::new();
    for index in at + usize::from(headed)..(at + BLOCK).min(lines.len()) {
        let text = line(lines, index);
        if let Some(found) = frame(text) {
            let function = found.get(4).map_or("", |function| function.as_str());
            frames.push(Frame::new(&found[2], number(found.get(3)), 0, function));
        } else if depth(text) <= base && !text.trim().is_empty() {
            let raised = EXCEPTION.captures(text.trim())?;
            if frames.is_empty() {
                return None;
            }
            frames.reverse();
            let message = raised.get(2).map_or("", |message| message.as_str());
            let trace = Trace::new(Language::Python, &raised[1], message).with(frames);
            return Some(Found { trace, end: index + 1 });
        }
    }
    None
}
