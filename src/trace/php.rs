//! PHP's uncaught exceptions.

use std::sync::LazyLock;

use regex::Regex;

use super::{Found, Frame, Language, MOST_CAUSES, Trace, line, number};

static HEAD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?:Uncaught |^Next |^)((?:[A-Za-z_]\w*\\)*[A-Z]\w*)(?:: (.*))? in ([^\s].*?)(?::| on line )(\d+)$",
    )
    .expect("a constant pattern")
});
static OPEN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?:Uncaught |^Next )((?:[A-Za-z_]\w*\\)*[A-Z]\w*): (.*)$").expect("a constant pattern")
});
static TAIL: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(.*) in (\S.*?):(\d+)$").expect("a constant pattern"));
static FATAL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:PHP )?(?:Fatal error|Parse error): {1,2}(.*) in (\S.*?) on line (\d+)$")
        .expect("a constant pattern")
});
static FRAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^#\d{1,4} (?:(.+?)\((\d+)\): (.+)|\[internal function\]: (.+)|\{main\})$")
        .expect("a constant pattern")
});

/// The most lines of a message.
const MESSAGE: usize = 20;
/// The most lines of one exception.
const BLOCK: usize = 1_000;

/// The exception that begins at line `at`.
pub(super) fn at(lines: &[&str], at: usize) -> Option<Found> {
    let text = line(lines, at);
    if !text.contains("Uncaught ") {
        let fatal = FATAL.captures(text)?;
        let frame = Frame::new(&fatal[2], number(fatal.get(3)), 0, "");
        let kind = if text.contains("Parse error") { "ParseError" } else { "Error" };
        return Some(Found {
            trace: Trace::new(Language::Php, kind, &fatal[1]).with(vec![frame]),
            end: at + 1,
        });
    }
    let mut found = link(lines, at)?;
    for _ in 1..MOST_CAUSES {
        let next = (found.end..found.end + 3).find(|i| line(lines, *i).starts_with("Next "));
        let Some(mut outer) = next.and_then(|next| link(lines, next)) else { break };
        outer.trace.cause = Some(Box::new(found.trace));
        found = outer;
    }
    Some(found)
}

fn link(lines: &[&str], at: usize) -> Option<Found> {
    let text = line(lines, at);
    let (kind, message, file, number_of, mut end) = match HEAD.captures(text) {
        Some(head) => {
            let message = head.get(2).map_or("", |message| message.as_str()).to_owned();
            (head[1].to_owned(), message, head[3].to_owned(), number(head.get(4)), at + 1)
        }
        None => {
            let open = OPEN.captures(text)?;
            let (index, tail) =
                (at + 1..at + MESSAGE).find_map(|i| Some((i, TAIL.captures(line(lines, i))?)))?;
            let message = format!("{}\n{}", &open[2], &tail[1]);
            (open[1].to_owned(), message, tail[2].to_owned(), number(tail.get(3)), index + 1)
        }
    };
    if line(lines, end).trim() != "Stack trace:" {
        return None;
    }
    end += 1;
    // A frame names where a function was called, so that each function stands one line below its place.
    let (mut frames, mut place) = (Vec::new(), (file, number_of));
    while end < (at + BLOCK).min(lines.len()) {
        let Some(call) = FRAME.captures(line(lines, end)) else { break };
        let called = call.get(3).or(call.get(4)).map_or("", |called| called.as_str());
        let function = called.split('(').next().unwrap_or_default();
        frames.push(Frame::new(&place.0, place.1, 0, function));
        place = (call.get(1).map_or(String::new(), |file| file.as_str().to_owned()), number(call.get(2)));
        end += 1;
    }
    if let Some(last) = frames.last_mut().filter(|last| last.function.is_empty()) {
        last.function = "{main}".to_owned();
    }
    frames.retain(|frame| !frame.file.is_empty());
    Some(Found { trace: Trace::new(Language::Php, &kind, &message).with(frames), end })
}
