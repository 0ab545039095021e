//! A run as SARIF 2.1.0 (OASIS), which editors and code hosts show: what the tools complained of, and what repairs it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::Run;
use crate::diagnostic::{Diagnostic, Severity};
use crate::fault::Exit;
use crate::patch::{Change, Patch};
use crate::verify::identity;

/// The most results that are told.
const MOST: usize = 5000;

/// The run as one SARIF log. What was red before is `absent` where the run made it green, `unchanged` where it did not; what attempts left behind and was not
/// there before is `new`. Where the proven patch changes the file of a complaint, the change is its fix.
pub fn sarif(run: &Run) -> Value {
    let healed = run.finished == Some(Exit::Green) && run.proof.is_some();
    let before: Vec<&Diagnostic> = run.before.iter().flat_map(|outcome| &outcome.diagnostics).collect();
    let left: Vec<&Diagnostic> = match healed {
        true => Vec::new(),
        false => run.red.iter().flat_map(|outcome| &outcome.diagnostics).collect(),
    };
    let was: Vec<String> = before.iter().map(|one| identity(one)).collect();
    let still: Vec<String> = left.iter().map(|one| identity(one)).collect();
    let fixes = if healed { fixes(&run.result()) } else { BTreeMap::new() };
    let mut rules: BTreeMap<String, Value> = BTreeMap::new();
    let mut results = Vec::new();
    let mut seen: Vec<(String, Option<String>)> = Vec::new();
    let old = before.iter().zip(&was).map(|(one, id)| {
        let gone = one.severity == Severity::Error && !still.contains(id);
        (*one, id, if gone { "absent" } else { "unchanged" })
    });
    let new = left.iter().zip(&still).filter(|(_, id)| !was.contains(id)).map(|(one, id)| (*one, id, "new"));
    for (one, id, state) in old.chain(new) {
        // Several checks may tell of the same.
        let place = (id.clone(), one.place());
        if results.len() >= MOST || seen.contains(&place) {
            continue;
        }
        seen.push(place);
        let rule = rule(one);
        rules
            .entry(rule.clone())
            .or_insert_with(|| json!({"id": rule, "properties": {"category": one.category}}));
        results.push(result(one, id, state, &rule, &fixes));
    }
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "regreen",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules.into_values().collect::<Vec<_>>(),
            }},
            "automationDetails": {"id": format!("regreen/{}", run.id)},
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": run.finished.is_some(),
                "commandLine": run.spec.goal.run.display(),
                "exitCode": run.finished.map_or(0, |exit| i64::from(exit.code())),
            }],
            "results": results,
        }],
    })
}

/// The tool's own code, with the tool before it.
fn rule(one: &Diagnostic) -> String {
    match &one.code {
        Some(code) => format!("{}/{code}", one.tool),
        None => one.tool.clone(),
    }
}

fn result(one: &Diagnostic, id: &str, state: &str, rule: &str, fixes: &BTreeMap<String, Value>) -> Value {
    use sha2::{Digest, Sha256};
    let mut result = json!({
        "ruleId": rule,
        "level": match one.severity { Severity::Error => "error", Severity::Warning => "warning" },
        "message": {"text": one.message},
        "baselineState": state,
        "partialFingerprints": {"regreen/v1": hex::encode(&Sha256::digest(id)[..16])},
    });
    // Only what lies in the repo has a place there.
    let Some(file) = one.file.as_deref().filter(|file| !file.starts_with(['/', '<'])) else { return result };
    let mut physical = json!({"artifactLocation": {"uri": uri(file), "uriBaseId": "%SRCROOT%"}});
    if let Some(range) = &one.range {
        physical["region"] = json!({"startLine": range.start.line, "startColumn": range.start.column});
        // The end is where the region is over, and never before its start.
        if range.end > range.start {
            physical["region"]["endLine"] = range.end.line.into();
            physical["region"]["endColumn"] = range.end.column.into();
        }
    }
    result["locations"] = json!([{"physicalLocation": physical}]);
    if let (Some(fix), "absent") = (fixes.get(file), state) {
        result["fixes"] = json!([fix]);
    }
    result
}

/// A path as a relative URI.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(byte as char)
            }
            other => uri += &format!("%{other:02X}"),
        }
    }
    uri
}

/// What the patch does to each file whose text it changes.
fn fixes(patch: &Patch) -> BTreeMap<String, Value> {
    patch
        .iter()
        .filter_map(|(path, change)| Some((path.as_str().to_owned(), fix(path.as_str(), change)?)))
        .collect()
}

fn fix(path: &str, change: &Change) -> Option<Value> {
    let (before, after) = (change.before.as_ref()?.as_text()?, change.after.as_ref()?.as_text()?);
    let lines = |text: &str| -> Vec<String> { text.split_inclusive('\n').map(str::to_owned).collect() };
    let (old, new) = (lines(before), lines(after));
    let mut replacements = Vec::new();
    for op in capture_diff_slices(Algorithm::Myers, &old, &new) {
        if matches!(op, DiffOp::Equal { .. }) {
            continue;
        }
        let (gone, come) = (op.old_range(), op.new_range());
        replacements.push(json!({
            "deletedRegion": {
                "startLine": gone.start + 1, "startColumn": 1,
                "endLine": gone.end + 1, "endColumn": 1,
            },
            "insertedContent": {"text": new[come].concat()},
        }));
    }
    Some(json!({
        "description": {"text": "the change that regreen proved"},
        "artifactChanges": [{
            "artifactLocation": {"uri": uri(path), "uriBaseId": "%SRCROOT%"},
            "replacements": replacements,
        }],
    }))
}
