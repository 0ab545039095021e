//! JUnit XML: pytest's, and what Maven, Gradle and others leave in the reports folder.

use std::sync::LazyLock;

use regex::Regex;
use roxmltree::{Document, Node, ParsingOptions};

use crate::diagnostic::Category;
use crate::outcome::TestStatus;

use super::{Draft, Found, Input, number, pytest};

/// Adds each test case of each `.xml` report.
pub fn parse(reports: &[(String, String)], input: &Input<'_>, found: &mut Found) {
    for (name, text) in reports {
        if !name.ends_with(".xml") {
            continue;
        }
        // No document types: entities could blow a small file up.
        let options =
            ParsingOptions { allow_dtd: false, nodes_limit: 2_000_000, ..ParsingOptions::default() };
        let Ok(document) = Document::parse_with_options(text, options) else { continue };
        let tool = if name.starts_with("pytest") { "pytest" } else { "junit" };
        let cases: Vec<Node<'_, '_>> =
            document.descendants().filter(|n| n.has_tag_name("testcase")).collect();
        let seen = !cases.is_empty();
        let signs = if tool == "pytest" { progress(input.text) } else { Vec::new() };
        let signed = signs.len() == cases.len();
        let all_passed = tool == "pytest" && !signed && once_skipped_passed(&cases, input.text);
        for (at, case) in cases.iter().enumerate() {
            let passed = if signed { signs.get(at) == Some(&'.') } else { all_passed };
            self::case(case, tool, input, found, passed);
        }
        // An empty session writes an empty report: pytest ran, and says the rest in text. Of several sessions the report
        // holds only the last.
        let sessions = input.text.matches("test session starts").count();
        if seen && tool == "pytest" && sessions <= 1 {
            found.done("pytest");
        }
    }
}

/// What pytest's progress lines say of each test, in the order of the report: `.`, `s`, `F` and so on, or the words of `-v`.
fn progress(text: &str) -> Vec<char> {
    static SIGNS: LazyLock<Regex> = LazyLock::new(|| {
        // Quiet modes have signs of subtests among them: `u` and `,` for passed or failed ones, `-` for skipped ones.
        Regex::new(r"^(?:\S+\.py )?([.sFExXu,-]+)\s*(?:\[ *\d{1,3}%\]|\[ *\d+/\d+\])?$")
            .expect("a constant pattern")
    });
    static WORDS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^\S+\.py::.* (PASSED|SKIPPED|FAILED|ERROR|XFAIL|XPASS)\b.*\[ *\d{1,3}%\]$")
            .expect("a constant pattern")
    });
    let mut signs = Vec::new();
    for line in text.lines().take_while(|line| {
        !(line.starts_with("====") && line.ends_with("====")) || line.contains("test session starts")
    }) {
        let line = line.trim_end();
        if let Some(found) = SIGNS.captures(line) {
            signs.extend(found[1].chars().filter(|sign| !matches!(sign, 'u' | ',' | '-')));
        } else if let Some(found) = WORDS.captures(line) {
            signs.push(match &found[1] {
                "PASSED" => '.',
                "SKIPPED" => 's',
                _ => 'F',
            });
        }
    }
    signs
}

/// Where the progress could not be followed (tests print, too): whether the closing count of passed tests is reached only with those that
/// the report has as skipped once.
fn once_skipped_passed(cases: &[Node<'_, '_>], text: &str) -> bool {
    static PASSED: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^(?:=+ )?(?:.*, )?(\d+) passed\b.* in [\d.]+s").expect("a constant pattern")
    });
    let told =
        text.lines().rev().find_map(|line| PASSED.captures(line)).and_then(|found| found[1].parse().ok());
    let failed =
        |case: &&Node<'_, '_>| case.children().any(|n| n.has_tag_name("failure") || n.has_tag_name("error"));
    told == Some(cases.iter().filter(|case| !failed(case)).count())
}

/// Adds one test case. `passed` says that pytest told of it as passed: a skipped subtest is written as if the whole test were skipped.
fn case(case: &Node<'_, '_>, tool: &str, input: &Input<'_>, found: &mut Found, passed: bool) {
    let name = case.attribute("name").unwrap_or("");
    let class = case.attribute("classname").unwrap_or("");
    let file = case.attribute("file").map(|f| input.paths.relative(f));
    let child = |tag: &str| case.children().find(|n| n.has_tag_name(tag));
    let failure = child("failure").or_else(|| child("error"));
    let Some(failure) = failure else {
        // A test is skipped once: more than one belong to subtests of a test that ran.
        let skips = case.children().filter(|n| n.has_tag_name("skipped")).count();
        let status = if skips == 1 && !passed { TestStatus::Skipped } else { TestStatus::Passed };
        found.test(&identity(tool, name, class, file.as_deref()), status);
        return;
    };
    let message = failure.attribute("message").unwrap_or("");
    let text = failure.text().unwrap_or("");
    if tool == "pytest" {
        if message == "collection failure" {
            // Not a test: a file that could not be read as one.
            let file = file.unwrap_or_else(|| format!("{}.py", name.replace('.', "/")));
            found.push(pytest::failure(text, message, None, Some(&file), input));
            return;
        }
        let identity = identity(tool, name, class, file.as_deref());
        found.test(&identity, TestStatus::Failed);
        found.reported_failure = true;
        found.push(pytest::failure(text, message, Some(&identity), file.as_deref(), input));
        return;
    }
    let identity = identity(tool, name, class, file.as_deref());
    found.test(&identity, TestStatus::Failed);
    found.push(
        Draft::error(
            tool,
            if message.is_empty() { text.lines().next().unwrap_or("failed") } else { message },
        )
        .file(file)
        .at(number(case.attribute("line")), 1)
        .test(Some(&identity))
        .detail(text)
        .done_or(Category::TestAssertion),
    );
}

/// `tests/test_a.py::TestClass::test_b` for pytest, `class.name` for others.
fn identity(tool: &str, name: &str, class: &str, file: Option<&str>) -> String {
    if tool != "pytest" {
        return if class.is_empty() { name.to_owned() } else { format!("{class}.{name}") };
    }
    let module = file.map(|f| f.trim_end_matches(".py").replace('/', "."));
    match (file, module) {
        (Some(file), Some(module)) => {
            // The class name starts with the module's, seen from the root of the session: some suffix of the file's.
            let mut rest = class;
            let mut tail = module.as_str();
            loop {
                if let Some(classes) = class.strip_prefix(tail) {
                    rest = classes.trim_start_matches('.');
                    break;
                }
                match tail.split_once('.') {
                    Some((_, shorter)) => tail = shorter,
                    None => break,
                }
            }
            if rest.is_empty() {
                format!("{file}::{name}")
            } else {
                format!("{file}::{}::{name}", rest.replace('.', "::"))
            }
        }
        _ if class.is_empty() => name.to_owned(),
        _ => {
            // Without the file: classes start with a capital letter, modules do not.
            let parts: Vec<&str> = class.split('.').collect();
            let classes = parts.iter().position(|p| p.starts_with(char::is_uppercase)).unwrap_or(parts.len());
            let mut identity = format!("{}.py", parts[..classes].join("/"));
            for part in &parts[classes..] {
                identity.push_str("::");
                identity.push_str(part);
            }
            format!("{identity}::{name}")
        }
    }
}
