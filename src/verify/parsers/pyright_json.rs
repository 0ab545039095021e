//! Pyright's `--outputjson`.

use crate::diagnostic::{Category, Severity};

use super::{Draft, Found, Input};

/// Adds each complaint of a report in the log.
pub fn parse(input: &Input<'_>, found: &mut Found) {
    if !input.text.contains("\"generalDiagnostics\"") {
        return;
    }
    let Some(report) = super::json_after(input.text, "{\n    \"version\"") else { return };
    found.done("pyright");
    for row in report["generalDiagnostics"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let severity = match row["severity"].as_str() {
            Some("error") => Severity::Error,
            Some("warning") => Severity::Warning,
            _ => continue,
        };
        let number = |place: &str, name: &str| {
            row["range"][place][name]
                .as_u64()
                .and_then(|n| u32::try_from(n).ok())
                .map_or(0, |n| n.saturating_add(1))
        };
        let text = row["message"].as_str().unwrap_or("");
        found.push(
            Draft::error("pyright", text.lines().next().unwrap_or(""))
                .severity(severity)
                .code(row["rule"].as_str())
                .file(row["file"].as_str().map(|f| input.paths.relative(f)))
                .span(
                    number("start", "line"),
                    number("start", "character"),
                    number("end", "line"),
                    number("end", "character"),
                )
                .detail(text)
                .done_or(Category::Type),
        );
    }
}
