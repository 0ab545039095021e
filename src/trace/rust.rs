//! Rust's panics, with or without their backtraces.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::{Found, Frame, Language, Trace, line, number};

static PANIC: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*thread '([^']*)'(?: \(\d+\))? (?:\(\d+\) )?panicked at (?:'(.*)', )?([^\s'][^']*?):(\d+):(\d+):?$")
        .expect("a constant pattern")
});
static CALL: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\s*\d{1,4}: (?:0x[0-9a-f]+ - )?(.+)$").expect("a constant pattern"));
static PLACE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\s+at (.+?):(\d+)(?::(\d+))?$").expect("a constant pattern"));

/// The most lines of a panic's message.
const MESSAGE: usize = 40;
/// The most lines of one backtrace.
const BLOCK: usize = 2_000;

/// The first line of a panic: thread, message (in one line only in old versions), file, line, column.
pub fn panic(line: &str) -> Option<Captures<'_>> {
    PANIC.captures(line)
}

/// The place of a call, on the line under its name: file, line, column.
pub fn place(line: &str) -> Option<Captures<'_>> {
    PLACE.captures(line)
}

/// What the runtime does before and after the code that panicked.
const RUNTIME: &[&str] = &["std::", "core::", "alloc::", "rust_", "__rust", "_start", "__libc", "<unknown>"];

/// The panic that begins at line `at`.
pub(super) fn at(lines: &[&str], at: usize) -> Option<Found> {
    let head = panic(line(lines, at))?;
    let mut message = head.get(2).map_or(String::new(), |message| message.as_str().to_owned());
    let mut end = at + 1;
    while end < (at + MESSAGE).min(lines.len()) {
        let text = line(lines, end);
        if text.starts_with("note: ") || text.trim() == "stack backtrace:" || panic(text).is_some() {
            break;
        }
        message = format!("{message}\n{text}");
        end += 1;
    }
    // Without a backtrace nothing says where the message ends: its first paragraph is it.
    let backtrace = line(lines, end).trim() == "stack backtrace:";
    if !backtrace && !line(lines, end).starts_with("note: ") {
        message = message.trim_start().split("\n\n").next().unwrap_or_default().to_owned();
        end = at + 1 + message.lines().count();
    }
    let place = Frame::new(&head[3], number(head.get(4)), number(head.get(5)), "");
    let mut frames = Vec::new();
    if backtrace {
        end += 1;
        while end < (at + BLOCK).min(lines.len()) {
            let Some(call) = CALL.captures(line(lines, end)) else { break };
            let mut frame = Frame::new("", 0, 0, without_hash(call[1].trim()));
            if let Some(place) = PLACE.captures(line(lines, end + 1)) {
                frame = Frame::new(&place[1], number(place.get(2)), number(place.get(3)), &frame.function);
                end += 1;
            }
            frames.push(frame);
            end += 1;
        }
        // What panics is called by what is at fault, and what starts a program is nobody's.
        let of_runtime = |frame: &Frame| {
            let name = frame.function.trim_start_matches('<');
            frame.file.starts_with("/rustc/") || RUNTIME.iter().any(|mark| name.starts_with(mark))
        };
        frames.retain(|frame| !of_runtime(frame));
    }
    if frames.first().is_none_or(|first| first.file.is_empty() || first.line != place.line) {
        let known =
            frames.iter().position(|frame| frame.file.ends_with(&place.file) && frame.line == place.line);
        match known {
            Some(known) => drop(frames.drain(..known)),
            None => frames.insert(0, place),
        }
    }
    Some(Found { trace: Trace::new(Language::Rust, "panic", &message).with(frames), end })
}

/// A symbol without the hash that the compiler added.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((rest, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => rest,
        _ => name,
    }
}
