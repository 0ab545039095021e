//! The properties that fuzzers try to break: one function per target, from any bytes to a property of what reads them.
//!
//! Defined once and called twice: by the coverage-guided fuzzers below `fuzz/` (`scripts/fuzz`), and by the tests at the end of this
//! file, which run each over its seeds and what they make of them, on every toolchain. An input has parts, divided by lines of
//! [`DIVIDER`], so that seeds are files that one can read. Only here where tests or fuzzers are built.

mod edits;
mod events;
mod incidents;
mod patches;
mod secrets;
mod trees;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::{git, models, plan, sandbox, verify};

/// The line between the parts of an input.
pub const DIVIDER: &str = "%%%%";

/// The first parts of an input; those that are missing are empty.
fn parts<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let divider = format!("\n{DIVIDER}\n").into_bytes();
    let mut rest = Some(data);
    std::array::from_fn(|at| {
        let Some(text) = rest else { return &[] as &[u8] };
        let end = if at + 1 == N { None } else { text.windows(divider.len()).position(|w| *w == *divider) };
        rest = end.map(|end| &text[end + divider.len()..]);
        end.map_or(text, |end| &text[..end])
    })
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Model's answers, read and applied: file, answer.
pub fn edits(data: &[u8]) {
    let [file, answer] = parts(data);
    edits::holds(&text(file), &text(answer));
}

/// Patches, taken apart, shown, read back, written to disk: before, after, bits that say which hunks to drop.
pub fn patch(data: &[u8]) {
    let [before, after, bits] = parts(data);
    patches::holds(before, after, bits);
}

/// What commands print: command, output, JUnit report.
pub fn diagnostics(data: &[u8]) {
    let [command, printed, report] = parts(data);
    verify::fuzz::diagnostics(&text(command), printed, &text(report));
}

/// Problem matchers of a user: file, output.
pub fn matchers(data: &[u8]) {
    let [file, printed] = parts(data);
    verify::fuzz::matchers(&text(file), printed);
}

/// Long inputs: a beginning, what is repeated until there are [`LONG`] bytes, an end. Whatever reads them takes time in proportion, or
/// the fuzzer's time limit ends it.
pub fn proportion(data: &[u8]) {
    let [start, again, end] = parts(data);
    let mut long = start.to_vec();
    let times = (LONG - start.len().min(LONG)) / again.len().max(1);
    for _ in 0..times {
        long.extend_from_slice(again);
    }
    long.extend_from_slice(end);
    let words = text(&long);
    verify::fuzz::diagnostics("cargo npm pytest go mypy ruff gcc eslint make mvn", &long, &words);
    crate::redact::Redactor::default().redact(&words);
    edits::holds(&words, &words);
    trees::traces(&words, &words);
    let _ = plan::Ticket::parse(&long, "ticket.md");
    models::fuzz::answer(&long);
}

/// How long the inputs of [`proportion`] are, in bytes.
pub const LONG: usize = 64 << 10;

/// The two configuration files, and quantities: user's, repo's, quantity.
pub fn config(data: &[u8]) {
    let [user, repo, quantity] = parts(data);
    crate::config::fuzz::files(&text(user), &text(repo));
    crate::config::fuzz::quantity(&text(quantity));
}

/// Stack traces and suggestions that deterministic fixers work by: source, output.
pub fn traces(data: &[u8]) {
    let [source, output] = parts(data);
    trees::traces(&text(source), &text(output));
}

/// Events as they are kept and printed, one per line.
pub fn events(data: &[u8]) {
    events::holds(&text(data));
}

/// What a vendor's server sends.
pub fn answers(data: &[u8]) {
    models::fuzz::answer(data);
}

/// What is shown and what leaves the machine: secret, text around it, where pieces end.
pub fn secrets(data: &[u8]) {
    let [secret, around, cuts] = parts(data);
    secrets::holds(&text(secret), around, cuts);
}

/// What git prints.
pub fn git(data: &[u8]) {
    git::fuzz::listings(data);
}

/// Tickets and plans: ticket, plan.
pub fn plan(data: &[u8]) {
    let [ticket, made] = parts(data);
    if let Ok(ticket) = plan::Ticket::parse(ticket, "ticket.md") {
        assert!(!ticket.title.trim().is_empty());
        if let Ok(made) = plan::Plan::from_json(&text(made)) {
            let once = serde_json::to_string(&made).expect("a plan is JSON");
            assert_eq!(
                plan::Plan::from_json(&once).as_ref(),
                Ok(&made),
                "a checked plan changes when checked again"
            );
            made.to_markdown();
            for (_, task) in made.subtasks() {
                task.task_text(&made, &ticket);
            }
        }
    }
}

/// What a job says to the proxy.
pub fn proxy(data: &[u8]) {
    sandbox::proxy::fuzz::request(data);
}

/// Guards over a change of one file: name, before, after.
pub fn guards(data: &[u8]) {
    let [name, before, after] = parts(data);
    trees::guards(&text(name), before, after);
}

/// Stack traces out of any text, and what an incident is made of them: the repo's files, what was printed.
pub fn incidents(data: &[u8]) {
    let [files, printed] = parts(data);
    incidents::holds(&text(files), &text(printed));
}
