//! pytest's text: failures with their tracebacks, collection errors, names and counts.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use crate::diagnostic::{Category, Diagnostic};
use crate::outcome::TestStatus;

use super::{Draft, Found, Input, cut, number};

static PLACE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(\S[^:]*\.pyx?|<[^>]+>):(\d+): ?(?:in (.+)|([\w.]+))?$").expect("a constant pattern")
});
static FILE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"^E?\s*File "([^"]+)", line (\d+)(?:, in .*)?$"#).expect("a constant pattern")
});
static EXCEPTION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^((?:[A-Za-z_]\w*\.)*(?:[A-Z]\w*(?:Error|Exception|Warning|Exit|Interrupt|Failure|Iteration|NotFound|Timeout|Failed|DoesNotExist)|Failed|Exception))(?:: ?(.*))?$")
        .expect("a constant pattern")
});
static HEADER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^_{3,} (.+?) _{3,}$").expect("a constant pattern"));
static BANNER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^={3,} (.+?) ={3,}$").expect("a constant pattern"));
static SHORT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(FAILED|ERROR|PASSED|SKIPPED|XFAIL|XPASS) (\S+\.py(?:::.+?)?)(?: - (.*))?$")
        .expect("a constant pattern")
});
static VERBOSE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:\[gw\d+\] \[\s*\d+%\] )?(\S+\.py::.+?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b")
        .expect("a constant pattern")
});
static XDIST: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\[gw\d+\] \[\s*\d+%\] (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS) (\S+\.py::.+?)\s*$")
        .expect("a constant pattern")
});
static COUNT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed|deselected)")
        .expect("a constant pattern")
});
static TOTAL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:=+ )?(?:\d+ (?:passed|failed|errors?|skipped|xfailed|xpassed|deselected|warnings?|rerun|subtests passed)(?:, )?)+ in [\d.]+s.*$")
        .expect("a constant pattern")
});

/// The name of a failure's block: the test, and for a subtest its message and parameters behind a space.
static SUBTEST: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^([\w.]+(?:\[.*?\])?)(?: \[.*\])?(?: \(.*\))?$").expect("a constant pattern")
});

static COLLECTION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^!+ (?:Interrupted: )?(\d+) errors? during collection !+$").expect("a constant pattern")
});

/// The exception's short name and the whole message of a failure's text: `E` lines, or a plain traceback's last line.
fn exception(text: &str) -> Option<(Option<String>, String)> {
    let mut group: Vec<&str> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        match line.strip_prefix('E').filter(|rest| rest.is_empty() || rest.starts_with("  ")) {
            Some(rest) => {
                if !open {
                    group.clear();
                }
                open = true;
                group.push(rest.trim());
            }
            None => open = false,
        }
    }
    if group.is_empty() {
        let line = text.lines().rev().find(|l| EXCEPTION.is_match(l.trim()))?;
        group.push(line.trim());
    }
    // A syntax error shows the file and the line first.
    let first =
        if group[0].starts_with("File \"") { *group.iter().rev().find(|l| !l.is_empty())? } else { group[0] };
    let name = EXCEPTION.captures(first).map(|c| c[1].rsplit('.').next().unwrap_or("").to_owned());
    Some((name, first.to_owned()))
}

/// The innermost place of the repo's own code; the file that pytest was at, where there is none.
fn place(text: &str, input: &Input<'_>) -> Option<(String, u32)> {
    let mut own = None;
    for line in text.lines() {
        let captures = FILE.captures(line).or_else(|| PLACE.captures(line));
        if let Some(captures) = captures {
            let file = input.paths.relative(&captures[1]);
            if input.paths.is_own(&file) {
                own = Some((file, number(Some(&captures[2]))));
            }
        }
    }
    own
}

/// The diagnostic of one failure: `text` as pytest renders it, `message` as the report says, `file` the test's own.
pub fn failure(
    text: &str,
    message: &str,
    test: Option<&str>,
    file: Option<&str>,
    input: &Input<'_>,
) -> Diagnostic {
    let (name, said) = exception(text).unwrap_or_else(|| {
        let first = message.lines().next().unwrap_or("").trim();
        let first = if first.is_empty() { "failed" } else { first };
        let name = EXCEPTION.captures(first).map(|c| c[1].rsplit('.').next().unwrap_or("").to_owned());
        (name, first.to_owned())
    });
    let said = cut(&said, 2_000);
    let asserted = name.as_deref() == Some("AssertionError") || said.starts_with("assert ");
    let code = name.or_else(|| asserted.then(|| "AssertionError".to_owned()));
    let mut draft = Draft::error("pytest", said).code(code.as_deref()).test(test).detail(text);
    match place(text, input) {
        Some((file, line)) => draft = draft.file(Some(file)).at(line, 1),
        None => draft = draft.file(file.map(str::to_owned)),
    }
    if code.as_deref() == Some("ImportError") && said.contains("cannot import name") {
        draft = draft.category(Category::Export);
    }
    draft.done_or(if test.is_some() { Category::TestAssertion } else { Category::Configuration })
}

/// Adds each failure of the log, or only what the report does not tell where there was one.
pub fn parse(input: &Input<'_>, found: &mut Found) {
    if !BANNER_MARKS.iter().any(|mark| input.text.contains(mark)) && !input.text.contains("pytest: error") {
        return;
    }
    usage_errors(input, found);
    if found.is_done("pytest") {
        return;
    }
    let collection =
        input.lines.iter().find_map(|l| COLLECTION.captures(l)).map_or(0, |c| c[1].parse().unwrap_or(0));
    // Subtests count as failures of their own, beside the test that they belong to.
    let subtests = input.lines.iter().filter(|line| line.starts_with("SUBFAILED")).count() as u64;
    let no_tests = collection + subtests;
    let mut short: BTreeMap<String, Option<String>> = BTreeMap::new();
    for line in &input.lines {
        statuses(line, no_tests, &mut short, found);
    }
    blocks(input, &short, found);
    // With `--tb=no` or `--tb=line` the summary is all there is.
    for (name, said) in &short {
        let test = name.contains("::").then_some(name.as_str());
        if found.diagnostics.iter().any(|d| {
            d.tool == "pytest"
                && (d.test.as_deref() == test && test.is_some() || d.file.as_deref() == Some(name))
        }) {
            continue;
        }
        let file = name.split("::").next().map(|f| input.paths.relative(f));
        let said = said.as_deref().unwrap_or("failed");
        found.push(failure("", said, test, file.as_deref(), input));
    }
    if !found.tests.is_empty() || found.has_counts("pytest") {
        found.done("pytest");
    }
}

const BANNER_MARKS: &[&str] = &[
    "test session starts",
    "short test summary info",
    "= FAILURES =",
    "= ERRORS =",
    " passed in ",
    " failed in ",
    " error in ",
    " errors in ",
    "no tests ran",
];

fn statuses(line: &str, no_tests: u64, short: &mut BTreeMap<String, Option<String>>, found: &mut Found) {
    let status = |word: &str| match word {
        "PASSED" | "XPASS" => TestStatus::Passed,
        "SKIPPED" | "XFAIL" => TestStatus::Skipped,
        _ => TestStatus::Failed,
    };
    if let Some(captures) = SHORT.captures(line) {
        let (word, name) = (&captures[1], &captures[2]);
        if name.contains("::") {
            found.test(name, status(word));
        }
        if matches!(word, "FAILED" | "ERROR") {
            short.insert(name.to_owned(), captures.get(3).map(|m| m.as_str().to_owned()));
        }
    } else if let Some(captures) = VERBOSE.captures(line) {
        found.test(&captures[1], status(&captures[2]));
    } else if let Some(captures) = XDIST.captures(line) {
        found.test(&captures[2], status(&captures[1]));
    } else if TOTAL.is_match(line) {
        let mut counts = [0u64; 3];
        for count in COUNT.captures_iter(line) {
            let number: u64 = count[1].parse().unwrap_or(0);
            let slot = match &count[2] {
                "passed" | "xpassed" => 0,
                "failed" | "error" | "errors" => 1,
                _ => 2,
            };
            counts[slot] += number;
        }
        // Files that could not be read are no tests.
        found.counts("pytest", counts[0], counts[1].saturating_sub(no_tests), counts[2]);
    }
}

/// The blocks under FAILURES and ERRORS.
fn blocks(input: &Input<'_>, short: &BTreeMap<String, Option<String>>, found: &mut Found) {
    let mut inside = false;
    let mut block: Option<(String, usize)> = None;
    for index in 0..=input.lines.len() {
        let line = input.line(index);
        let banner = BANNER.captures(line);
        let header = HEADER.captures(line).filter(|_| inside);
        let ends = banner.is_some() || header.is_some() || index == input.lines.len();
        if ends && let Some((name, from)) = block.take() {
            let text = super::join(&input.lines, from, index);
            add_block(&name, &text, short, input, found);
        }
        if let Some(banner) = banner {
            inside = matches!(&banner[1], "FAILURES" | "ERRORS");
        } else if let Some(header) = header {
            block = Some((header[1].to_owned(), index + 1));
        }
    }
}

fn add_block(
    name: &str,
    text: &str,
    short: &BTreeMap<String, Option<String>>,
    input: &Input<'_>,
    found: &mut Found,
) {
    if let Some(file) = name.strip_prefix("ERROR collecting ") {
        let file = input.paths.relative(file.trim());
        found.push(failure(text, "collection failure", None, Some(&file), input));
        return;
    }
    let name = name
        .strip_prefix("ERROR at setup of ")
        .or_else(|| name.strip_prefix("ERROR at teardown of "))
        .unwrap_or(name);
    let name = SUBTEST.captures(name).and_then(|captures| captures.get(1)).map_or(name, |name| name.as_str());
    // `TestFirst.test_a[1.5]`: dots outside the parameters stand between class and function.
    let (path, parameters) = name.split_at(name.find('[').unwrap_or(name.len()));
    let suffix = format!("::{}{parameters}", path.replace('.', "::"));
    let test = short.keys().find(|id| id.ends_with(&suffix)).cloned().or_else(|| {
        // Torn off by a short terminal: the place of the failure names the file.
        let (file, _) = place(text, input)?;
        Some(format!("{file}{suffix}"))
    });
    let test = test.unwrap_or_else(|| name.to_owned());
    found.test(&test, TestStatus::Failed);
    let file = test.split("::").next().filter(|f| f.ends_with(".py")).map(|f| input.paths.relative(f));
    found.push(failure(text, "", Some(&test), file.as_deref(), input));
}

/// pytest that does not start: wrong arguments, a conftest that does not load.
fn usage_errors(input: &Input<'_>, found: &mut Found) {
    for (index, line) in input.lines.iter().enumerate() {
        if let Some(message) = line.strip_prefix("ERROR: ").filter(|m| !m.starts_with("found no collectors"))
        {
            let category = if message.contains("file or directory not found") {
                Category::Configuration
            } else {
                Category::Other
            };
            found.push(Draft::error("pytest", message).category(category).done());
        } else if let Some(path) = line.strip_prefix("ImportError while loading conftest '") {
            let text = super::join(&input.lines, index, index + 80);
            let file = input.paths.relative(path.trim_end_matches(['\'', '.']));
            found.push(failure(&text, line, None, Some(&file), input));
        } else if let Some(message) = line
            .split_once("pytest: error: ")
            .map(|(_, m)| m)
            .or_else(|| line.strip_prefix("pytest.UsageError: "))
        {
            found.push(Draft::error("pytest", message).category(Category::Configuration).done());
        }
    }
}
