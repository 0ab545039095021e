//! What tells an incident apart from others of its repo, however often, where and in which version it happens.

use std::sync::LazyLock;

use regex::Regex;
use sha2::{Digest, Sha256};

use super::Tracked;
use crate::diagnostic::stable;
use crate::trace::Trace;

/// Calls of each link that count.
const MOST_CALLS: usize = 12;

/// What compilers number anew with every build.
static NUMBERED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"0x[0-9a-fA-F]+|::h[0-9a-f]{16}$|(?:\$|\.func|#|\{closure#)\d+(?:\.\d+)*|\blambda\$(\w+)\$\d+",
    )
    .expect("a constant pattern")
});

/// Types that say nothing: what is said counts with them.
const VAGUE: &[&str] =
    &["", "panic", "fatal error", "Error", "Exception", "RuntimeError", "RuntimeException", "crash"];

/// The fingerprint of what happened: its types and the calls of this codebase, without lines, columns and addresses. Lower-case hexadecimal,
/// 32 characters.
pub fn print(trace: Option<&Trace>, title: &str, tracked: &Tracked<'_>) -> String {
    let mut digest = Sha256::new();
    let mut add = |part: &str| {
        digest.update(part.as_bytes());
        digest.update([0]);
    };
    match trace {
        None => add(&stable(title)),
        Some(trace) => {
            for link in trace.chain() {
                add(link.short());
                let calls = calls(link, tracked);
                if calls.is_empty() || VAGUE.contains(&link.short()) {
                    add(&stable(link.message.lines().next().unwrap_or_default()));
                }
                calls.iter().for_each(|call| add(call));
            }
        }
    }
    let mut print = hex::encode(digest.finalize());
    print.truncate(32);
    print
}

/// The calls of a link that tell it apart: the repo's own; where there are none, all.
fn calls(link: &Trace, tracked: &Tracked<'_>) -> Vec<String> {
    let function = |name: &str| NUMBERED.replace_all(name, "").trim_start_matches("async ").to_owned();
    let own = link
        .frames
        .iter()
        .filter_map(|frame| Some(format!("{}\u{1f}{}", tracked.find(frame)?, function(&frame.function))));
    let mut calls: Vec<String> = own.collect();
    if calls.is_empty() {
        calls = link
            .frames
            .iter()
            .map(|frame| function(&frame.function))
            .filter(|name| !name.is_empty())
            .collect();
    }
    // A recursion's depth is chance.
    calls.dedup();
    calls.truncate(MOST_CALLS);
    calls
}
