//! What reports of crashes come to.

use crate::incident::{Report, Tracked, understand};
use crate::trace;

/// Reads `printed` as the report of a program with these `files`: what comes of it is bounded, the same every time, and blames nobody's file.
pub(super) fn holds(files: &str, printed: &str) {
    let files: Vec<&str> = files.lines().filter(|file| !file.is_empty()).collect();
    let tracked = Tracked::new("/srv/app", files.iter().copied());
    for found in trace::read(printed) {
        for link in found.chain() {
            assert!(link.frames.len() <= 200 && link.message.len() <= 2_000 && link.kind.len() <= 500);
        }
    }
    let report = Report { stack_trace: printed.to_owned(), ..Report::default() };
    let understood = understand(&report, &tracked);
    assert_eq!(understood, understand(&report, &tracked));
    assert!(understood.print.len() == 32 && understood.title.len() <= 300);
    assert!(understood.blame.files.iter().all(|file| files.contains(&file.as_str())), "{understood:?}");
    // What a supervisor adds to each line changes nothing about what happened.
    if printed.lines().all(|line| line.len() < 4_000 && !line.contains(['\r', '\u{1b}', '|'])) {
        let logged: String = printed.lines().map(|line| format!("web-1  | {line}\n")).collect();
        let again = understand(&Report { stack_trace: logged, ..Report::default() }, &tracked);
        if understood.trace.is_some() {
            assert_eq!(again.trace, understood.trace);
        }
    }
}
