//! Exceptions of Java, Kotlin and Scala.

use std::sync::LazyLock;

use regex::Regex;

use super::{Found, Frame, Language, MOST_CAUSES, Trace, line, number};

static HEAD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"^(?:.*?Exception in thread "[^"]*" |.*?Caused by: )?((?:[A-Za-z_]\w*\.)+[A-Za-z_$][\w$]*)(?:: (.*))?$"#)
        .expect("a constant pattern")
});
static FRAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*at (?:[\w.@-]+/{1,2})?([\w.$<>-]+)\((?:([^:()]+\.(?:java|kt|kts|scala|groovy|clj)):(\d+)|Native Method|Unknown Source|[^:()]+\.(?:java|kt|scala))\)")
        .expect("a constant pattern")
});
static MORE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*\.\.\. \d+ (?:more|common frames omitted)").expect("a constant pattern")
});

/// The most lines of a message.
const MESSAGE: usize = 20;
/// The most lines of one exception.
const BLOCK: usize = 2_000;

/// The exception whose first frame stands at line `at`.
pub(super) fn at(lines: &[&str], at: usize) -> Option<Found> {
    FRAME.captures(line(lines, at))?;
    let head = (at.saturating_sub(MESSAGE)..at).rev().find(|i| HEAD.is_match(line(lines, *i)))?;
    link(lines, head, at, MOST_CAUSES)
}

fn link(lines: &[&str], head: usize, first: usize, left: usize) -> Option<Found> {
    let captures = HEAD.captures(line(lines, head))?;
    let mut message = captures.get(2).map_or("", |rest| rest.as_str()).to_owned();
    for index in head + 1..first {
        message.push('\n');
        message.push_str(line(lines, index));
    }
    let (mut frames, mut end, mut cause) = (Vec::new(), first, None);
    while end < (first + BLOCK).min(lines.len()) {
        let text = line(lines, end);
        if let Some(found) = FRAME.captures(text) {
            frames.push(frame(&found));
        } else if text.starts_with("Caused by: ") && left > 1 {
            let next = (end + 1..end + MESSAGE).find(|i| FRAME.is_match(line(lines, *i)));
            if let Some(inner) = next.and_then(|next| link(lines, end, next, left - 1)) {
                (cause, end) = (Some(Box::new(inner.trace)), inner.end);
            }
            break;
        } else if !MORE.is_match(text) {
            // One that was suppressed stands deeper, and is not what happened.
            let suppressed = text.trim_start().starts_with("Suppressed: ");
            let deeper = text.starts_with("\t\t") || text.starts_with("        ");
            if !suppressed && !deeper {
                break;
            }
        }
        end += 1;
    }
    let mut trace = Trace::new(Language::Jvm, &captures[1], &message).with(frames);
    trace.cause = cause;
    Some(Found { trace, end })
}

/// A frame tells the file without its folders: they are those of the package.
fn frame(found: &regex::Captures<'_>) -> Frame {
    let function = &found[1];
    let class = function.rsplit_once('.').map_or("", |(class, _)| class);
    let package = class.rsplit_once('.').map_or("", |(package, _)| package);
    let file = found.get(2).map_or("", |file| file.as_str());
    let file = match (file.is_empty(), package.is_empty()) {
        (false, false) => format!("{}/{file}", package.replace('.', "/")),
        _ => file.to_owned(),
    };
    Frame::new(&file, number(found.get(3)), 0, function).of(package)
}
