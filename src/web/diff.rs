//! A patch as rows for people.

use std::collections::BTreeMap;

use serde::Serialize;
use similar::{ChangeTag, TextDiff};

use crate::patch::{Change, FileState, Patch};

/// Rows of a diff that are shown of one file.
const ROWS: usize = 400;
/// Characters of a row that are shown.
const ROW: usize = 600;
/// Bytes of one file that are compared for a diff.
const COMPARED: usize = 1 << 20;

/// One file of a diff.
#[derive(Debug, Serialize)]
pub(crate) struct FileDiff {
    path: String,
    what: &'static str,
    added: usize,
    removed: usize,
    rows: Vec<DiffRow>,
    left_out: usize,
}

/// One row of a diff.
#[derive(Debug, Serialize)]
pub(crate) struct DiffRow {
    /// `add`, `del`, `same`, `gap`.
    kind: &'static str,
    old: Option<usize>,
    new: Option<usize>,
    text: String,
}

/// A patch as rows for people.
pub(crate) fn diff(patch: &Patch) -> Vec<FileDiff> {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let hunks = patch.hunks();
    for hunk in &hunks {
        let count = counts.entry(hunk.id.path.as_str()).or_default();
        count.0 += hunk.added;
        count.1 += hunk.removed;
    }
    let file = |(path, change): (&crate::patch::RelPath, &Change)| {
        let what = match change {
            Change { before: None, .. } => "new file",
            Change { after: None, .. } => "deleted",
            Change { .. } => "changed",
        };
        let (added, removed) = counts.get(path.as_str()).copied().unwrap_or_default();
        let mut rows = rows(change);
        let left_out = rows.len().saturating_sub(ROWS);
        rows.truncate(ROWS);
        FileDiff { path: path.to_string(), what, added, removed, rows, left_out }
    };
    patch.iter().map(file).collect()
}

fn rows(change: &Change) -> Vec<DiffRow> {
    let gap = |text: &str| DiffRow { kind: "gap", old: None, new: None, text: text.to_owned() };
    let text = |file: &Option<FileState>| match file {
        None => Some(String::new()),
        Some(file) if file.bytes.len() > COMPARED => None,
        Some(file) => file.as_text().map(str::to_owned),
    };
    let (Some(before), Some(after)) = (text(&change.before), text(&change.after)) else {
        return vec![gap("binary, or too large to be shown")];
    };
    let difference = TextDiff::from_lines(&before, &after);
    let mut rows = Vec::new();
    for group in difference.grouped_ops(3) {
        let Some(first) = group.first() else { continue };
        let (old, new) = (first.old_range().start + 1, first.new_range().start + 1);
        rows.push(gap(&if old == new { format!("line {old}") } else { format!("line {old} → {new}") }));
        for op in &group {
            for one in difference.iter_changes(op) {
                let kind = match one.tag() {
                    ChangeTag::Delete => "del",
                    ChangeTag::Insert => "add",
                    ChangeTag::Equal => "same",
                };
                let line = one.value().trim_end_matches(['\n', '\r']);
                let text = match line.char_indices().nth(ROW) {
                    Some((at, _)) => format!("{}…", &line[..at]),
                    None => line.to_owned(),
                };
                rows.push(DiffRow {
                    kind,
                    old: one.old_index().map(|at| at + 1),
                    new: one.new_index().map(|at| at + 1),
                    text,
                });
            }
        }
    }
    if let (Some(before), Some(after)) = (&change.before, &change.after)
        && before.executable != after.executable
    {
        rows.insert(0, gap(if after.executable { "made executable" } else { "made not executable" }));
    }
    rows
}
