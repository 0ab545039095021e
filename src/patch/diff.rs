//! A patch as lines: to show it, to count it, and to take it apart.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use similar::{Algorithm, DiffOp, capture_diff_slices, group_diff_ops};

use super::{Change, FileState, Patch, RelPath};

/// Unchanged lines shown around a change.
const CONTEXT: usize = 3;
/// Above this product of changed line counts a stretch is one change and is not compared line by line.
const MOST_COMPARED: usize = 50_000_000;

/// How big a patch is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// Changed files.
    pub files: usize,
    /// Lines added; 0 for binary files.
    pub added: usize,
    /// Lines removed; 0 for binary files.
    pub removed: usize,
}

/// The identity of a hunk within its patch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HunkId {
    /// The file.
    pub path: RelPath,
    /// Which change of the file, from 0, top to bottom.
    pub index: usize,
}

/// The smallest piece that a patch can be taken apart into: consecutive changed lines, or all that happens to a file that is
/// created, removed, binary or changes its mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    /// Its identity.
    pub id: HunkId,
    /// The first line in the old file that it removes or stands before, from 1.
    pub line: usize,
    /// Lines added; 0 for binary files.
    pub added: usize,
    /// Lines removed; 0 for binary files.
    pub removed: usize,
}

impl Patch {
    /// The patch as a unified diff that `git apply` reads; binary files are only named.
    pub fn unified(&self) -> String {
        let mut out = String::new();
        for (path, change) in self.iter() {
            file(&mut out, path, change);
        }
        out
    }

    /// How many files and lines it changes.
    pub fn stat(&self) -> Stat {
        let mut stat = Stat { files: self.len(), ..Stat::default() };
        for hunk in self.hunks() {
            stat.added += hunk.added;
            stat.removed += hunk.removed;
        }
        stat
    }

    /// Its hunks, by path and from top to bottom.
    pub fn hunks(&self) -> Vec<Hunk> {
        let mut hunks = Vec::new();
        for (path, change) in self.iter() {
            let id = |index| HunkId { path: path.clone(), index };
            match divisible(change) {
                Some((old, new)) => {
                    let ops = operations(&lines(old), &lines(new));
                    let changed = ops.iter().filter(|op| !matches!(op, DiffOp::Equal { .. }));
                    hunks.extend(changed.enumerate().map(|(index, op)| Hunk {
                        id: id(index),
                        line: op.old_range().start + 1,
                        added: op.new_range().len(),
                        removed: op.old_range().len(),
                    }));
                }
                None => {
                    let (added, removed) = match (text(&change.before), text(&change.after)) {
                        (Some(old), Some(new)) => {
                            let ops = operations(&lines(old), &lines(new));
                            let changed = ops.iter().filter(|op| !matches!(op, DiffOp::Equal { .. }));
                            changed.fold((0, 0), |(a, r), op| {
                                (a + op.new_range().len(), r + op.old_range().len())
                            })
                        }
                        _ => (0, 0),
                    };
                    hunks.push(Hunk { id: id(0), line: 1, added, removed });
                }
            }
        }
        hunks
    }

    /// The patch without some of its hunks. Ids that it does not have are passed over.
    #[must_use]
    pub fn without(&self, dropped: &BTreeSet<HunkId>) -> Patch {
        let mut patch = Patch::new();
        for (path, change) in self.iter() {
            let drops = |index| dropped.contains(&HunkId { path: path.clone(), index });
            match (divisible(change), &change.after) {
                (Some((old, new)), Some(after)) => {
                    let (old, new) = (lines(old), lines(new));
                    let mut made = String::new();
                    let mut index = 0;
                    for op in operations(&old, &new) {
                        let equal = matches!(op, DiffOp::Equal { .. });
                        let kept =
                            if equal || !drops(index) { &new[op.new_range()] } else { &old[op.old_range()] };
                        made.extend(kept.iter().copied());
                        index += usize::from(!equal);
                    }
                    let after = FileState { bytes: made.into_bytes(), executable: after.executable };
                    patch.set(path.clone(), Change { before: change.before.clone(), after: Some(after) });
                }
                _ if drops(0) => {}
                _ => patch.set(path.clone(), change.clone()),
            }
        }
        patch
    }
}

impl Change {
    /// The lines that it removes and those that it adds, without their ends; `None` where a side is binary.
    pub fn lines(&self) -> Option<(Vec<&str>, Vec<&str>)> {
        let (old, new) = (lines(text(&self.before)?), lines(text(&self.after)?));
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        for op in operations(&old, &new).iter().filter(|op| !matches!(op, DiffOp::Equal { .. })) {
            removed.extend(old[op.old_range()].iter().map(|line| line.trim_end_matches(['\r', '\n'])));
            added.extend(new[op.new_range()].iter().map(|line| line.trim_end_matches(['\r', '\n'])));
        }
        Some((removed, added))
    }
}

/// The texts of a change that can be taken apart.
fn divisible(change: &Change) -> Option<(&str, &str)> {
    match (&change.before, &change.after) {
        (Some(before), Some(after)) if before.executable == after.executable => {
            Some((text(&change.before)?, text(&change.after)?))
        }
        _ => None,
    }
}

/// A side's text, empty where there is no file, `None` where it is binary.
fn text(side: &Option<FileState>) -> Option<&str> {
    match side {
        None => Some(""),
        Some(file) => file.as_text().filter(|text| !text.contains('\0')),
    }
}

/// The lines with their ends.
fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// What turns `old` into `new`, neighbouring changes as one; the same for the same input, in bounded time.
fn operations(old: &[&str], new: &[&str]) -> Vec<DiffOp> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (old_mid, new_mid) = (old.len() - head - tail, new.len() - head - tail);
    if old_mid.saturating_mul(new_mid) <= MOST_COMPARED {
        return joined(capture_diff_slices(Algorithm::Myers, old, new));
    }
    let mut ops = Vec::new();
    if head > 0 {
        ops.push(DiffOp::Equal { old_index: 0, new_index: 0, len: head });
    }
    ops.push(DiffOp::Replace { old_index: head, old_len: old_mid, new_index: head, new_len: new_mid });
    if tail > 0 {
        ops.push(DiffOp::Equal { old_index: head + old_mid, new_index: head + new_mid, len: tail });
    }
    ops
}

/// Joins changes with no equal line between them, so that a hunk is never half of one.
fn joined(ops: Vec<DiffOp>) -> Vec<DiffOp> {
    let mut all: Vec<DiffOp> = Vec::with_capacity(ops.len());
    for op in ops {
        match all.last_mut() {
            Some(last) if !matches!(last, DiffOp::Equal { .. }) && !matches!(op, DiffOp::Equal { .. }) => {
                *last = DiffOp::Replace {
                    old_index: last.old_range().start,
                    old_len: op.old_range().end - last.old_range().start,
                    new_index: last.new_range().start,
                    new_len: op.new_range().end - last.new_range().start,
                };
            }
            _ => all.push(op),
        }
    }
    all
}

/// One file of a unified diff. Writing to a `String` cannot fail.
fn file(out: &mut String, path: &RelPath, change: &Change) {
    let (a, b) = (quoted("a/", path), quoted("b/", path));
    let mode = |file: &FileState| if file.executable { "100755" } else { "100644" };
    let _ = writeln!(out, "diff --git {a} {b}");
    match (&change.before, &change.after) {
        (None, Some(after)) => {
            let _ = writeln!(out, "new file mode {}", mode(after));
        }
        (Some(before), None) => {
            let _ = writeln!(out, "deleted file mode {}", mode(before));
        }
        (Some(before), Some(after)) if before.executable != after.executable => {
            let _ = writeln!(out, "old mode {}\nnew mode {}", mode(before), mode(after));
        }
        _ => {}
    }
    let (Some(old), Some(new)) = (text(&change.before), text(&change.after)) else {
        let name = |there: bool, name: &str| if there { name.to_owned() } else { "/dev/null".to_owned() };
        let (a, b) = (name(change.before.is_some(), &a), name(change.after.is_some(), &b));
        let _ = writeln!(out, "Binary files {a} and {b} differ");
        return;
    };
    if old == new {
        return;
    }
    // A name with a blank needs a tab after it, or its end is not known.
    let end = if path.as_str().contains(' ') { "\t" } else { "" };
    let side = |there: bool, name: &str| if there { format!("{name}{end}") } else { "/dev/null".to_owned() };
    let _ = writeln!(out, "--- {}", side(change.before.is_some(), &a));
    let _ = writeln!(out, "+++ {}", side(change.after.is_some(), &b));
    let (old, new) = (lines(old), lines(new));
    for group in group_diff_ops(operations(&old, &new), CONTEXT) {
        hunk(out, &group, &old, &new);
    }
}

fn hunk(out: &mut String, group: &[DiffOp], old: &[&str], new: &[&str]) {
    let (Some(first), Some(last)) = (group.first(), group.last()) else { return };
    let range = |start: usize, end: usize| match end - start {
        0 => format!("{start},0"),
        1 => format!("{}", start + 1),
        count => format!("{},{count}", start + 1),
    };
    let _ = writeln!(
        out,
        "@@ -{} +{} @@",
        range(first.old_range().start, last.old_range().end),
        range(first.new_range().start, last.new_range().end)
    );
    let mut put = |mark: char, lines: &[&str]| {
        for line in lines {
            out.push(mark);
            out.push_str(line);
            if !line.ends_with('\n') {
                out.push_str("\n\\ No newline at end of file\n");
            }
        }
    };
    for op in group {
        if let DiffOp::Equal { .. } = op {
            put(' ', &old[op.old_range()]);
        } else {
            put('-', &old[op.old_range()]);
            put('+', &new[op.new_range()]);
        }
    }
}

/// A name as git writes it: in quotes where it has one.
fn quoted(side: &str, path: &RelPath) -> String {
    if path.as_str().contains('"') {
        format!("\"{side}{}\"", path.as_str().replace('"', "\\\""))
    } else {
        format!("{side}{path}")
    }
}
