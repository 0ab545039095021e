//! Go's tests, as text and as `-json`.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::diagnostic::Category;
use crate::outcome::{TestStatus, is_of};
use crate::trace::go;

use super::{Draft, Found, Input, join, number};

static RESULT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*--- (PASS|FAIL|SKIP): (\S+) \([\d.]+s\)$").expect("a constant pattern")
});
static PACKAGE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(ok|FAIL|---|\?)\s+(\S+)\s+(?:\(cached\)|[\d.]+s|\[.*\])").expect("a constant pattern")
});
static AT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\s+(\S+\.go):(\d+): ?(.*)$").expect("a constant pattern"));
/// The most lines of one failure.
const BLOCK: usize = 200;

/// Adds each test of the log.
pub fn parse(input: &Input<'_>, found: &mut Found) {
    let json = input.text.contains("\"Action\":\"");
    let text = input.text.contains("--- FAIL: ")
        || input.text.contains("--- PASS: ")
        || input.text.contains("\nok  \t");
    if json {
        let plain = from_json(input.text, found);
        let lines: Vec<&str> = plain.lines().collect();
        let inner = Input { text: &plain, lines, paths: input.paths, command: input.command };
        from_text(&inner, found);
    } else if text
        || input.text.starts_with("ok  \t")
        || (input.text.contains("panic: ") && input.text.contains("\ngoroutine "))
    {
        from_text(input, found);
    }
}

/// Records the statuses, and gives the text that the events carry.
fn from_json(text: &str, found: &mut Found) -> String {
    let mut plain = String::new();
    for line in text.lines().filter(|l| l.starts_with('{')) {
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        let package = event["Package"].as_str().unwrap_or("");
        if event["Action"] == "output" || event["Action"] == "build-output" {
            plain.push_str(event["Output"].as_str().unwrap_or(""));
        }
        let Some(test) = event["Test"].as_str() else { continue };
        let status = match event["Action"].as_str() {
            Some("pass") => TestStatus::Passed,
            Some("fail") => TestStatus::Failed,
            Some("skip") => TestStatus::Skipped,
            _ => continue,
        };
        found.test(&format!("{package}/{test}"), status);
    }
    plain
}

fn from_text(input: &Input<'_>, found: &mut Found) {
    // The package's name stands under its tests.
    let mut package_of: HashMap<usize, String> = HashMap::new();
    let mut package = String::new();
    for at in (0..input.lines.len()).rev() {
        let line = input.line(at);
        if let Some(captures) = PACKAGE.captures(line)
            && &captures[1] != "---"
        {
            package = captures[2].to_owned();
        }
        if line.trim_start().starts_with("--- ") {
            package_of.insert(at, package.clone());
        }
    }
    let mut passed = BTreeSet::new();
    for at in 0..input.lines.len() {
        let line = input.line(at);
        if let Some(captures) = PACKAGE.captures(line)
            && &captures[1] == "ok"
        {
            passed.insert(captures[2].to_owned());
        }
        if let Some(captures) = RESULT.captures(line) {
            let package = package_of.get(&at).map_or("", String::as_str);
            let name = if package.is_empty() {
                captures[2].to_owned()
            } else {
                format!("{package}/{}", &captures[2])
            };
            let status = match &captures[1] {
                "PASS" => TestStatus::Passed,
                "SKIP" => TestStatus::Skipped,
                _ => TestStatus::Failed,
            };
            found.test(&name, status);
            if status == TestStatus::Failed {
                failure(&captures[2], &name, package, at, input, found);
            }
        } else if line.starts_with("panic: ")
            && !input.line(at.saturating_sub(1)).trim_start().starts_with("panic: ")
        {
            let package = (at..input.lines.len()).take(BLOCK).find_map(|i| PACKAGE.captures(input.line(i)));
            panic(at, package.as_ref().map_or("", |c| c.get(2).map_or("", |m| m.as_str())), input, found);
        }
    }
    passed.retain(|package| !found.tests.keys().any(|test| is_of(test, package)));
    found.silent.extend(passed);
}

/// What the test logged: under its line, or, with `-v`, above it.
fn failure(test: &str, name: &str, package: &str, at: usize, input: &Input<'_>, found: &mut Found) {
    let below = (at + 1..(at + BLOCK).min(input.lines.len())).take_while(|i| {
        let line = input.line(*i);
        line.starts_with("    ") && !RESULT.is_match(line)
    });
    let mut logged: Vec<usize> = below.collect();
    if logged.is_empty() {
        let run = format!("=== RUN   {test}");
        let from = (at.saturating_sub(BLOCK)..at).rev().find(|i| input.line(*i) == run);
        logged = from.map_or(Vec::new(), |from| {
            (from + 1..at).take_while(|i| !input.line(*i).starts_with("=== RUN")).collect()
        });
    }
    let (Some(first), Some(last)) = (logged.first(), logged.last()) else { return };
    let Some(place) = logged.iter().find_map(|i| AT.captures(input.line(*i)).map(|c| (*i, c))) else {
        return;
    };
    let (index, captures) = place;
    let mut message = captures[3].trim().to_owned();
    if message.is_empty() || message.ends_with("Error Trace:") {
        // testify writes a table: the line with the fault is the one after "Error:".
        let said = (index + 1..=*last)
            .map(|i| input.line(i).trim())
            .filter(|l| !l.is_empty() && !l.starts_with("Error Trace:"));
        message = said.take(3).collect::<Vec<_>>().join(" ");
    }
    found.push(
        Draft::error("go-test", &message)
            .file(Some(file_of(&captures[1], package, input)))
            .at(number(Some(&captures[2])), 1)
            .test(Some(name))
            .detail(&join(&input.lines, *first, last + 1))
            .done_or(Category::TestAssertion),
    );
}

/// Tests name only the file: its folder is the package's, under some module's root.
fn file_of(file: &str, package: &str, input: &Input<'_>) -> String {
    if file.contains('/') || package.is_empty() {
        return input.paths.relative(file);
    }
    let mut rest = package;
    while let Some((_, folder)) = rest.split_once('/') {
        let path = input.paths.relative(&format!("{folder}/{file}"));
        if input.paths.exists(&path) {
            return path;
        }
        rest = folder;
    }
    let known = input.paths.relative(file);
    if input.paths.exists(&known) {
        return known;
    }
    // Without a tree to look at: all but the module's own name, which is as a rule the package's first part.
    match package.split_once('/') {
        Some((first, folder)) if !first.contains('.') => input.paths.relative(&format!("{folder}/{file}")),
        _ => known,
    }
}

fn panic(at: usize, package: &str, input: &Input<'_>, found: &mut Found) {
    let end = (at + BLOCK).min(input.lines.len());
    let place = (at + 1..end).find_map(|i| {
        let captures = go::place(input.line(i))?;
        let file = input.paths.relative(&captures[1]);
        input.paths.is_own(&file).then(|| (file, number(Some(&captures[2]))))
    });
    let stop = (at + 1..end)
        .find(|i| input.line(*i).starts_with("FAIL") || input.line(*i).starts_with("exit status"));
    let message = input.line(at).trim_start_matches("panic: ").trim_end_matches(" [recovered]");
    let test = (at.saturating_sub(4)..at).rev().find_map(|i| RESULT.captures(input.line(i)));
    let test =
        test.map(|c| if package.is_empty() { c[2].to_owned() } else { format!("{package}/{}", &c[2]) });
    let mut draft = Draft::error("go", &format!("panic: {message}"))
        .category(Category::Runtime)
        .test(test.as_deref())
        .detail(&join(&input.lines, at, stop.unwrap_or(at + 30)));
    if let Some((file, line)) = place {
        draft = draft.file(Some(file)).at(line, 1);
    }
    found.push(draft.done());
}
