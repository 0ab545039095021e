//! Ruff's `--output-format json`.

use serde_json::Value;

use crate::diagnostic::Category;

use super::{Draft, Found, Input};

/// Adds each complaint of a report in the log.
pub fn parse(input: &Input<'_>, found: &mut Found) {
    if !input.text.contains("\"noqa_row\"") {
        return;
    }
    let Some(Value::Array(rows)) = super::json_after(input.text, "[\n  {") else { return };
    found.done("ruff");
    for row in &rows {
        let number = |place: &str, name: &str| {
            row[place][name].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
        };
        found.push(
            Draft::error("ruff", row["message"].as_str().unwrap_or(""))
                .code(row["code"].as_str().or(Some("invalid-syntax")))
                .file(row["filename"].as_str().map(|f| input.paths.relative(f)))
                .span(
                    number("location", "row"),
                    number("location", "column"),
                    number("end_location", "row"),
                    number("end_location", "column"),
                )
                .done_or(Category::Style),
        );
    }
}
