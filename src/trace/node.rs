//! JavaScript's errors with their stacks, as V8 prints them.

use std::sync::LazyLock;

use regex::Regex;

use super::{Found, Frame, Language, MOST_CAUSES, Trace, line, number};

static HEAD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"^(?:.*?\[cause\]: |.*?Uncaught |Unhandled |\[?)([A-Za-z_$][\w$.]*|[\w.]*Error)(?: \[(\w+)\])?(?:: (.*))?$",
    )
    .expect("a constant pattern")
});
static FRAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*(?:at |❯ )(?:async )?(?:(.*?) ?\()?((?:file://|node:)?[^\s():]*[^\s()]*?):(\d+):(\d+)\)?(?:\s*\{)?$")
        .expect("a constant pattern")
});
static SPACED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*at (?:async )?(?:(.*?) \()?((?:file://)?/[^():]+):(\d+):(\d+)\)?(?:\s*\{)?$")
        .expect("a constant pattern")
});

/// The most lines between an error's first and its first frame: a message may have many.
const MESSAGE: usize = 30;
/// The most lines of one stack.
const BLOCK: usize = 300;

/// A frame's line: its first group is the function, if there is one, then file, line and column.
pub fn frame(line: &str) -> Option<regex::Captures<'_>> {
    FRAME.captures(line).or_else(|| SPACED.captures(line))
}

/// Other languages print `at …` too: a frame of a script names a script, or node itself.
pub fn is_script_frame(line: &str) -> bool {
    let Some(rest) = line.trim_start().strip_prefix("at ") else { return false };
    const MARKS: &[&str] = &["node:", "file://", "<anonymous>", "js:", "ts:", "jsx:", "tsx:"];
    rest.ends_with("(native)") || MARKS.iter().any(|mark| rest.contains(mark))
}

/// The error whose first frame stands at line `at`.
pub(super) fn at(lines: &[&str], at: usize) -> Option<Found> {
    if !is_script_frame(line(lines, at)) {
        return None;
    }
    let head = (at.saturating_sub(MESSAGE)..at).rev().find(|i| is_head(line(lines, *i)))?;
    link(lines, head, at, MOST_CAUSES)
}

/// Whether an error may begin so: a name, a colon and more; a name alone only where it is an error's.
fn is_head(text: &str) -> bool {
    let text = text.trim();
    HEAD.captures(text).is_some_and(|head| {
        head.get(3).is_some() || head[1].ends_with("Error") || head[1].ends_with("Exception")
    })
}

fn link(lines: &[&str], head: usize, first: usize, left: usize) -> Option<Found> {
    let captures = HEAD.captures(line(lines, head).trim())?;
    let mut message = captures.get(3).map_or("", |rest| rest.as_str()).to_owned();
    for index in head + 1..first {
        message.push('\n');
        message.push_str(line(lines, index));
    }
    let depth = |text: &str| text.len() - text.trim_start().len();
    let base = depth(line(lines, first));
    let (mut frames, mut end, mut cause) = (Vec::new(), first, None);
    while end < (first + BLOCK).min(lines.len()) {
        let text = line(lines, end);
        if text.trim_start().starts_with("at ") && depth(text) == base {
            if let Some(found) = frame(text) {
                let function = found.get(1).map_or("", |function| function.as_str());
                frames.push(Frame::new(&found[2], number(found.get(3)), number(found.get(4)), function));
            }
        } else if text.contains("[cause]: ") && left > 1 {
            let next = (end + 1..end + MESSAGE).find(|i| is_script_frame(line(lines, *i)));
            if let Some(inner) = next.and_then(|next| link(lines, end, next, left - 1)) {
                cause = Some(Box::new(inner.trace));
                end = inner.end;
                break;
            }
            break;
        } else if !(text.trim_start().starts_with("... ") || is_property(text)) {
            break;
        }
        end += 1;
    }
    let mut trace = Trace::new(Language::Node, &captures[1], &message).with(frames);
    trace.cause = cause;
    Some(Found { trace, end: end.max(first + 1) })
}

/// A property of an error, as node prints those behind the stack: `  code: 'ENOENT',`.
fn is_property(text: &str) -> bool {
    let text = text.trim();
    let name = text.split_once(": ").map_or("", |(name, _)| name);
    !name.is_empty()
        && name.len() < 60
        && !text.contains("[cause]")
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_$'[]".contains(c))
}
