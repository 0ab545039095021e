//! Go's panics and fatal errors.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::{Found, Frame, Language, Trace, line, number};

static HEAD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?:^|\s)(?:panic: |fatal error: |http: panic serving [^ ]+: )(.*)$")
        .expect("a constant pattern")
});
static GOROUTINE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^goroutine \d+(?: gp=\S+ m=\S+(?: mp=\S+)?)? \[[^\]]*\]:$").expect("a constant pattern")
});
static FRAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\t(\S.*\.(?:go|s)):(\d+)(?: \+0x[0-9a-f]+)?$").expect("a constant pattern")
});

/// The most lines between the first one and the first goroutine.
const MESSAGE: usize = 20;
/// The most lines of one goroutine.
const BLOCK: usize = 2_000;

/// The place of a call, on the line under its name: file, line.
pub fn place(line: &str) -> Option<Captures<'_>> {
    FRAME.captures(line)
}

/// The panic that begins at line `at`; of its goroutines the first, which is the one that panicked.
pub(super) fn at(lines: &[&str], at: usize) -> Option<Found> {
    let head = HEAD.captures(line(lines, at))?;
    let first = (at + 1..(at + MESSAGE).min(lines.len())).find(|i| GOROUTINE.is_match(line(lines, *i)))?;
    let mut message = head[1].trim_end_matches(" [recovered]").to_owned();
    let mut kind = if line(lines, at).contains("fatal error: ") { "fatal error" } else { "panic" }.to_owned();
    for index in at + 1..first {
        let text = line(lines, index).trim();
        // One that a handler raised anew is what ended the program.
        if let Some(again) = text.strip_prefix("panic: ") {
            message = again.trim_end_matches(" [recovered]").to_owned();
        }
        if let Some(signal) = text.strip_prefix("[signal ") {
            let signal = signal.split([':', ' ']).next().unwrap_or_default();
            kind = if message.starts_with("runtime error") { kind } else { signal.to_owned() };
        }
    }
    let (mut frames, mut end) = (Vec::new(), first + 1);
    while end < (first + BLOCK).min(lines.len()) {
        let text = line(lines, end);
        let Some(place) = place(line(lines, end + 1)) else {
            match text.trim().is_empty() {
                true => break,
                false => {
                    end += 1;
                    continue;
                }
            }
        };
        let name = text.trim().trim_start_matches("created by ");
        // The arguments are values of that very call.
        let name = name.rfind('(').map_or(name, |open| &name[..open]);
        let (module, _) = name.rsplit_once('.').unwrap_or_default();
        frames.push(Frame::new(&place[1], number(place.get(2)), 0, name).of(module));
        end += 2;
    }
    let of_runtime = |frame: &Frame| {
        frame.function == "panic"
            || frame.function.starts_with("runtime.")
            || frame.function.starts_with("runtime/")
    };
    frames.retain(|frame| !of_runtime(frame));
    // Where a handler recovered and printed, what it did comes before what panicked.
    Some(Found { trace: Trace::new(Language::Go, &kind, &message).with(frames), end })
}
