//! The JSON that jest and vitest share: per-test results with their failures.

use serde_json::Value;

use crate::diagnostic::Category;
use crate::outcome::TestStatus;

use super::{Draft, Found, Input, node_stack};

/// Adds each test of a report in the log.
pub fn parse(input: &Input<'_>, found: &mut Found) {
    if !input.text.contains("\"numTotalTestSuites\"") {
        return;
    }
    let Some(report) = super::json_after(input.text, "{\"num") else { return };
    // Vitest writes no `openHandles`.
    let tool = if report.get("openHandles").is_some() { "jest" } else { "vitest" };
    found.done(tool);
    for suite in report["testResults"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let file = input.paths.relative(suite["name"].as_str().unwrap_or(""));
        let tests = suite["assertionResults"].as_array().map(Vec::as_slice).unwrap_or_default();
        for test in tests {
            self::test(test, &file, tool, input, found);
        }
        if tests.is_empty() && suite["status"] == "failed" {
            let text = suite["message"].as_str().unwrap_or("");
            found.push(node_stack::failure(tool, text, None, Some(&file), input));
        }
    }
}

fn test(test: &Value, file: &str, tool: &'static str, input: &Input<'_>, found: &mut Found) {
    let mut name = file.to_owned();
    for part in test["ancestorTitles"].as_array().map(Vec::as_slice).unwrap_or_default() {
        name.push_str(" > ");
        name.push_str(part.as_str().unwrap_or(""));
    }
    name.push_str(" > ");
    name.push_str(test["title"].as_str().unwrap_or(""));
    let status = match test["status"].as_str() {
        Some("passed") => TestStatus::Passed,
        Some("failed") => TestStatus::Failed,
        _ => TestStatus::Skipped,
    };
    found.test(&name, status);
    if status != TestStatus::Failed {
        return;
    }
    found.reported_failure = true;
    let text = test["failureMessages"][0].as_str().unwrap_or("");
    if text.is_empty() {
        found.push(
            Draft::error(tool, "failed")
                .file(Some(file.to_owned()))
                .test(Some(&name))
                .category(Category::TestAssertion)
                .done(),
        );
    } else {
        found.push(node_stack::failure(tool, text, Some(&name), Some(file), input));
    }
}
