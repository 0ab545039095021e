//! Maven: compiler complaints, Surefire's tests, and what it says when it does not get that far.

use std::sync::LazyLock;

use regex::Regex;

use crate::diagnostic::Category;
use crate::outcome::TestStatus;

use super::{Draft, Found, Input, join, number};

static COMPILER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\[(ERROR)\] (/?\S[^:\[]*\.(?:java|kt|scala|groovy)):\[(\d+),(\d+)\] (?:error: )?(.+)$")
        .expect("a constant pattern")
});
static TEST: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:\[ERROR\] )?([\w.$]+)\.([\w$]+(?:\(.*?\))?(?:\[.*\])?)\s+(?:-- )?Time elapsed: [\d.]+ s(?:ec)?\s+<<< (FAILURE|ERROR)!$")
        .expect("a constant pattern")
});
static OLD_TEST: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:\[ERROR\] )?([\w$]+(?:\[.*\])?)\(([\w.$]+)\)\s+Time elapsed: [\d.]+ s(?:ec)?\s+<<< (?:FAILURE|ERROR)!$")
        .expect("a constant pattern")
});
static FRAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*at ([\w.$/]+)\.[\w$<>]+\((\w+\.(?:java|kt)):(\d+)\)$").expect("a constant pattern")
});
static COUNTS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"^\[(?:INFO|WARNING|ERROR)\]\s+Tests run: (\d+), Failures: (\d+), Errors: (\d+), Skipped: (\d+)$",
    )
    .expect("a constant pattern")
});
static GOAL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\[ERROR\] (?:Failed to execute goal on project|Non-resolvable|The build could not read|Malformed POM|.*'dependencies\.|Unresolveable|Unknown lifecycle phase|No plugin found|Plugin .* not found)")
        .expect("a constant pattern")
});

/// Adds each complaint and each test of the log.
pub fn parse(input: &Input<'_>, found: &mut Found) {
    if !input.text.contains("[ERROR] ")
        && !input.text.contains("[INFO] Tests run:")
        && !input.text.contains("<<< ")
    {
        return;
    }
    for at in 0..input.lines.len() {
        let line = input.line(at);
        if let Some(captures) = COMPILER.captures(line) {
            let more = (at + 1..at + 6).take_while(|i| input.line(*i).starts_with("[ERROR]   ")).count();
            found.push(
                Draft::error("javac", &captures[5])
                    .file(Some(input.paths.relative(&captures[2])))
                    .at(number(Some(&captures[3])), number(Some(&captures[4])))
                    .detail(&join(&input.lines, at, at + 1 + more))
                    .done_or(Category::Type),
            );
        } else if let Some(captures) = TEST.captures(line) {
            failure(&captures[1], &captures[2], at, input, found);
        } else if let Some(captures) = OLD_TEST.captures(line) {
            failure(&captures[2], &captures[1], at, input, found);
        } else if let Some(captures) = COUNTS.captures(line) {
            let count = |index: usize| captures[index].parse::<u64>().unwrap_or(0);
            let failed = count(2).saturating_add(count(3));
            found.counts("maven", count(1).saturating_sub(failed).saturating_sub(count(4)), failed, count(4));
        } else if GOAL.is_match(line) {
            let message = line.trim_start_matches("[ERROR] ");
            found.push(
                Draft::error("maven", message)
                    .detail(&join(&input.lines, at, at + 8))
                    .done_or(Category::Dependency),
            );
        }
    }
}

fn failure(class: &str, method: &str, at: usize, input: &Input<'_>, found: &mut Found) {
    let name = format!("{class}.{method}");
    found.test(&name, TestStatus::Failed);
    let end = (at + 1..(at + 120).min(input.lines.len()))
        .find(|i| {
            let line = input.line(*i);
            line.is_empty() || line.starts_with("[INFO]") || TEST.is_match(line)
        })
        .unwrap_or((at + 120).min(input.lines.len()));
    let said = input.line(at + 1).trim();
    let package = class.rsplit_once('.').map_or("", |(package, _)| package);
    let frame = (at + 1..end).find_map(|i| {
        let captures = FRAME.captures(input.line(i))?;
        (!package.is_empty() && captures[1].trim_start_matches("app//").starts_with(package))
            .then_some(captures)
    });
    let exception = said.split(':').next().unwrap_or("").rsplit('.').next().unwrap_or("");
    let asserted = exception.contains("Assertion") || exception.contains("ComparisonFailure");
    let category = if asserted { Category::TestAssertion } else { Category::Runtime };
    let mut draft = Draft::error("junit", if said.is_empty() { "failed" } else { said })
        .code(Some(exception).filter(|e| !e.contains(' ')))
        .test(Some(&name))
        .category(category)
        .detail(&join(&input.lines, at, end));
    if let Some(frame) = frame {
        let folder =
            frame[1].rsplit_once('.').map_or("", |(c, _)| c).trim_start_matches("app//").replace('.', "/");
        let candidates = ["src/test/java", "src/main/java", "src/test/kotlin", "src/main/kotlin"];
        let candidates =
            candidates.map(|base| input.paths.relative(&format!("{base}/{folder}/{}", &frame[2])));
        let known = candidates.iter().find(|c| input.paths.exists(c));
        // Without a tree to look at, a class named Test is one.
        let guess = usize::from(!frame[2].contains("Test"));
        let file = known.unwrap_or(&candidates[guess]);
        draft = draft.file(Some(file.clone())).at(number(Some(&frame[3])), 1);
    }
    found.push(draft.done());
}
