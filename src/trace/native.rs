//! C and C++: what sanitizers, gdb and glibc print.

use std::sync::LazyLock;

use regex::Regex;

use super::{Found, Frame, Language, Trace, line, number};

static SANITIZER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?:ERROR|WARNING): ((?:Address|Leak|Memory|Thread)Sanitizer): ([\w-]+(?: [\w-]+)?)(.*)$")
        .expect("a constant pattern")
});
static UNDEFINED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(\S.*?):(\d+):(\d+): runtime error: (.+)$").expect("a constant pattern"));
static SIGNAL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?:received signal |terminated with signal )(SIG[A-Z]+)(?:, (.*?))?\.?$")
        .expect("a constant pattern")
});
static TERMINATE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^terminate called after throwing an instance of '([^']+)'").expect("a constant pattern")
});
static CALL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*#(\d{1,4})\s+(?:0x[0-9a-fA-F]+ (?:in )?)?(.+)$").expect("a constant pattern")
});
static AT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(.+?)(?: \(.*\))? at (\S.*?):(\d+)(?::(\d+))?$").expect("a constant pattern")
});
static BESIDE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(.+) (/?[^\s()]+?\.\w{1,8}):(\d+)(?::(\d+))?$").expect("a constant pattern")
});
static GLIBC: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(\S+?)\(([^()+]*)\+0x[0-9a-fA-F]+\) ?\[0x[0-9a-fA-F]+\]$").expect("a constant pattern")
});

/// The most lines between what happened and the first call.
const NOISE: usize = 40;
/// The most lines of one stack.
const BLOCK: usize = 1_000;

/// The crash that is told at line `at`.
pub(super) fn at(lines: &[&str], at: usize) -> Option<Found> {
    let text = line(lines, at);
    if let Some(found) = SANITIZER.captures(text) {
        let (frames, end) = stack(lines, at + 1);
        let kind = found[2].split(' ').next().unwrap_or_default();
        // Addresses are those of one run.
        let message = format!("{}{}", &found[2][kind.len()..], &found[3]);
        let message = message.split("on ").next().unwrap_or_default().trim_matches([' ', ':']);
        let kind = format!("{}:{kind}", &found[1]);
        return Some(done(&kind, message, frames, end));
    }
    if let Some(found) = UNDEFINED.captures(text) {
        let (mut frames, end) = stack(lines, at + 1);
        if frames.is_empty() {
            frames.push(Frame::new(&found[1], number(found.get(2)), number(found.get(3)), ""));
        }
        return Some(done("UndefinedBehaviorSanitizer", &found[4], frames, end.max(at + 1)));
    }
    if let Some(found) = SIGNAL.captures(text) {
        let (frames, end) = stack(lines, at + 1);
        return Some(done(&found[1], found.get(2).map_or("", |said| said.as_str()), frames, end));
    }
    if let Some(found) = TERMINATE.captures(text) {
        let what = (at + 1..at + 4).find_map(|i| line(lines, i).trim().strip_prefix("what():"));
        let (frames, end) = stack(lines, at + 1);
        return Some(done(&found[1], what.unwrap_or_default(), frames, end));
    }
    // glibc's `backtrace_symbols_fd` tells the calls alone.
    GLIBC.captures(text)?;
    let (frames, end) = glibc(lines, at);
    (frames.len() > 1).then(|| done("crash", "", frames, end))
}

fn done(kind: &str, message: &str, frames: Vec<Frame>, end: usize) -> Found {
    Found { trace: Trace::new(Language::Native, kind, message).with(frames), end }
}

/// The first stack below line `from`, and the line after it.
fn stack(lines: &[&str], from: usize) -> (Vec<Frame>, usize) {
    let near = from..(from + NOISE).min(lines.len());
    let is_first = |i: &usize| {
        let text = line(lines, *i);
        CALL.captures(text).is_some_and(|call| &call[1] == "0") || GLIBC.is_match(text)
    };
    let Some(first) = near.clone().find(is_first) else { return (Vec::new(), from) };
    if GLIBC.is_match(line(lines, first)) {
        return glibc(lines, first);
    }
    let (mut frames, mut end, mut last) = (Vec::new(), first, None);
    while end < (first + BLOCK).min(lines.len()) {
        let Some(call) = CALL.captures(line(lines, end)) else { break };
        let depth = number(call.get(1));
        if last.is_some_and(|last| depth <= last) {
            break;
        }
        last = Some(depth);
        frames.push(frame(call[2].trim()));
        end += 1;
    }
    (frames, end)
}

fn frame(call: &str) -> Frame {
    if let Some(found) = AT.captures(call).or_else(|| BESIDE.captures(call)) {
        return Frame::new(&found[2], number(found.get(3)), number(found.get(4)), name(&found[1]));
    }
    // A call without symbols names its library: `(/lib/libc.so.6+0x2724)`, or `from /lib/libc.so.6`.
    match call.split_once(" from ") {
        Some((function, library)) => Frame::new("", 0, 0, name(function)).of(library),
        None => match call.rsplit_once('(').map(|(function, rest)| (function, rest.trim_end_matches(')'))) {
            Some((function, library)) if library.contains("+0x") => {
                let library = library.split("+0x").next().unwrap_or_default();
                Frame::new("", 0, 0, name(function.trim())).of(library)
            }
            _ => Frame::new("", 0, 0, name(call)),
        },
    }
}

/// A function's name without its arguments, whose values are those of one call.
fn name(text: &str) -> &str {
    let text = text.trim();
    text.find(" (").map_or(text, |at| &text[..at])
}

fn glibc(lines: &[&str], from: usize) -> (Vec<Frame>, usize) {
    let (mut frames, mut end) = (Vec::new(), from);
    while end < (from + BLOCK).min(lines.len()) {
        let Some(call) = GLIBC.captures(line(lines, end)) else { break };
        frames.push(Frame::new("", 0, 0, &call[2]).of(&call[1]));
        end += 1;
    }
    (frames, end)
}
