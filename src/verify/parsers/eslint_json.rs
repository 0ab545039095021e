//! ESLint's `-f json`.

use serde_json::Value;

use crate::diagnostic::{Category, Severity};

use super::{Draft, Found, Input};

/// Adds each message of a report in the log.
pub fn parse(input: &Input<'_>, found: &mut Found) {
    if !input.text.contains("\"messages\":") || !input.text.contains("\"filePath\":") {
        return;
    }
    for line in input.text.lines().filter(|l| l.starts_with("[{\"filePath\"")) {
        if let Ok(Value::Array(files)) = serde_json::from_str(line) {
            found.done("eslint");
            files.iter().for_each(|file| self::file(file, input, found));
        }
    }
}

fn file(file: &Value, input: &Input<'_>, found: &mut Found) {
    let path = file["filePath"].as_str().map(|p| input.paths.relative(p));
    for message in file["messages"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let number = |name: &str| message[name].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        let severity = if message["severity"] == 2 { Severity::Error } else { Severity::Warning };
        let (line, column) = (number("line"), number("column"));
        let end = (
            number("endLine").max(line),
            if message["endColumn"].is_u64() { number("endColumn") } else { column },
        );
        found.push(
            Draft::error("eslint", plain(message["message"].as_str().unwrap_or("")))
                .severity(severity)
                .code(message["ruleId"].as_str())
                .file(path.clone())
                .span(line, column, end.0, end.1)
                .done_or(Category::Style),
        );
    }
}

/// The text form leaves the final full stop out; the identity is the same in both.
fn plain(message: &str) -> &str {
    message.strip_suffix('.').unwrap_or(message)
}
