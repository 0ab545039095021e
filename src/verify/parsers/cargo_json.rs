//! Cargo's `--message-format=json`: rustc's and clippy's complaints with exact ranges.

use serde_json::Value;

use crate::diagnostic::{Category, Severity};

use super::rustc_text::{label, tool_of};
use super::{Draft, Found, Input};

/// Adds each compiler message of the log.
pub fn parse(input: &Input<'_>, found: &mut Found) {
    if !input.text.contains("\"reason\":\"compiler-message\"") {
        return;
    }
    for line in input.text.lines().filter(|l| l.starts_with('{')) {
        let Ok(value) = serde_json::from_str::<Value>(line) else { continue };
        if value["reason"] == "compiler-message" {
            message(&value["message"], input, found);
        }
    }
    if found.diagnostics.iter().any(|d| matches!(d.tool.as_str(), "rustc" | "clippy")) {
        found.done("rustc");
    }
}

fn message(message: &Value, input: &Input<'_>, found: &mut Found) {
    let text = message["message"].as_str().unwrap_or("");
    let severity = match message["level"].as_str() {
        Some("error" | "error: internal compiler error") => Severity::Error,
        Some("warning") => Severity::Warning,
        _ => return,
    };
    let spans = message["spans"].as_array().map(Vec::as_slice).unwrap_or_default();
    // Without a span it is a summary ("aborting due to 2 previous errors", "3 warnings emitted").
    let Some(primary) = spans.iter().find(|s| s["is_primary"] == true).or(spans.first()) else {
        if severity == Severity::Error && !text.starts_with("aborting due to") {
            let rendered = message["rendered"].as_str().unwrap_or("");
            found.push(Draft::error("rustc", text).detail(rendered).done());
        }
        return;
    };
    let span = own_span(primary, input);
    let code = message["code"]["code"].as_str();
    let rendered = message["rendered"].as_str().unwrap_or("");
    let number = |name: &str| span[name].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    let message = match label(rendered.lines()) {
        Some(label) if !text.contains(label) => format!("{text}: {label}"),
        _ => text.to_owned(),
    };
    found.push(
        Draft::error(tool_of(code), &message)
            .severity(severity)
            .code(code)
            .file(span["file_name"].as_str().map(|f| input.paths.relative(f)))
            .span(number("line_start"), number("column_start"), number("line_end"), number("column_end"))
            .detail(rendered)
            .done_or(if severity == Severity::Warning { Category::Style } else { Category::Other }),
    );
}

/// The span in the repo's own code: macros of others point into their own files, the call is what a person can edit.
fn own_span<'a>(span: &'a Value, input: &Input<'_>) -> &'a Value {
    let mut at = span;
    for _ in 0..32 {
        let file = at["file_name"].as_str().unwrap_or("");
        let outer = &at["expansion"]["span"];
        if outer.is_null() || (!file.is_empty() && input.paths.is_own(&input.paths.relative(file))) {
            break;
        }
        at = outer;
    }
    at
}
