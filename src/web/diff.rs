//! A patch as rows for people.

use std::collections::BTreeMap;

use serde::Serialize;
use similar::{ChangeTag, DiffOp, TextDiff};

use super::colour::{self, Part};
use crate::patch::{Change, FileState, Patch, RelPath};

/// Rows that are shown of one file.
const ROWS: usize = 2_000;
/// Rows of a page that are shown.
pub(crate) const PAGE: usize = 5_000;
/// A file with more rows is shown folded.
const FOLDED: usize = 400;
/// Characters of a row that are shown.
const ROW: usize = 600;
/// Bytes of one file that are compared for a diff.
const COMPARED: usize = 1 << 20;
/// Files that went and files that came which are compared with each other.
const MOVED: usize = 32;
/// How much of a file has to be the same for it to have been renamed.
const ALIKE: f32 = 0.6;

/// One file of a diff.
#[derive(Debug, Serialize)]
pub(crate) struct FileDiff {
    path: String,
    /// What it was called before.
    from: Option<String>,
    what: &'static str,
    added: usize,
    removed: usize,
    rows: Vec<DiffRow>,
    left_out: usize,
    /// Whether it is too long to be seen at once.
    folded: bool,
}

/// One row of a diff.
#[derive(Debug, Serialize)]
pub(crate) struct DiffRow {
    /// `add`, `del`, `same`, `gap`, `note`.
    kind: &'static str,
    old: Option<usize>,
    new: Option<usize>,
    /// Classes and texts; an empty class is none.
    parts: Vec<(&'static str, String)>,
}

impl DiffRow {
    fn said(kind: &'static str, text: impl Into<String>) -> Self {
        Self { kind, old: None, new: None, parts: vec![("", text.into())] }
    }
}

/// A patch as rows for people, `room` of them at most, which then are fewer.
pub(crate) fn diff(patch: &Patch, room: &mut usize) -> Vec<FileDiff> {
    let renamed = renamed(patch);
    let gone: Vec<&RelPath> = renamed.values().copied().collect();
    let shown = patch.iter().filter(|(path, _)| !gone.contains(path));
    let file = |(path, change): (&RelPath, &Change)| {
        let from = renamed.get(path).copied();
        let before = match from {
            Some(from) => patch.get(from).and_then(|gone| gone.before.as_ref()),
            None => change.before.as_ref(),
        };
        let what = match (from, &change.before, &change.after) {
            (Some(_), ..) => "renamed",
            (None, None, _) => "new file",
            (None, _, None) => "deleted",
            _ => "changed",
        };
        let Rows { mut rows, added, removed } =
            rows((from.unwrap_or(path), before), (path, change.after.as_ref()));
        let all = rows.len();
        rows.truncate(ROWS.min(*room));
        *room -= rows.len();
        let from = from.map(ToString::to_string);
        let left_out = all - rows.len();
        FileDiff {
            path: path.to_string(),
            from,
            what,
            added,
            removed,
            folded: rows.len() > FOLDED,
            rows,
            left_out,
        }
    };
    shown.map(file).collect()
}

/// Files that came, each with the one that it was before.
fn renamed(patch: &Patch) -> BTreeMap<&RelPath, &RelPath> {
    let went = || patch.iter().filter(|(_, change)| change.after.is_none()).take(MOVED);
    let came = patch.iter().filter(|(_, change)| change.before.is_none()).take(MOVED);
    let mut known: BTreeMap<&RelPath, &RelPath> = BTreeMap::new();
    for (path, change) in came {
        let Some(after) = change.after.as_ref().filter(|after| !after.bytes.is_empty()) else { continue };
        let alike = |(old, gone): (&'_ RelPath, &Change)| {
            let share = share(gone.before.as_ref()?, after);
            (share >= ALIKE).then(|| (share, old.clone()))
        };
        let free = went().filter(|(old, _)| !known.values().any(|taken| taken == old));
        let best = free.filter_map(alike).max_by(|(one, _), (other, _)| one.total_cmp(other));
        if let Some((_, best)) = best
            && let Some((old, _)) = went().find(|(old, _)| **old == best)
        {
            known.insert(path, old);
        }
    }
    known
}

/// How much of two files is the same, from 0 to 1.
fn share(before: &FileState, after: &FileState) -> f32 {
    /// Larger files are alike only if they are the same: comparing each with each takes its time.
    const SMALL: usize = 64 << 10;
    if before.bytes == after.bytes {
        return 1.0;
    }
    match (text_of(Some(before)), text_of(Some(after))) {
        (Some(before), Some(after)) if before.len().max(after.len()) <= SMALL => {
            TextDiff::from_lines(before, after).ratio()
        }
        _ => 0.0,
    }
}

fn text_of(file: Option<&FileState>) -> Option<&str> {
    match file {
        None => Some(""),
        Some(file) if file.bytes.len() > COMPARED => None,
        Some(file) => file.as_text(),
    }
}

#[derive(Default)]
struct Rows {
    rows: Vec<DiffRow>,
    added: usize,
    removed: usize,
}

/// A side of a file: its path, and what it holds there, if it is there.
type Side<'p> = (&'p RelPath, Option<&'p FileState>);

fn rows((old_path, before): Side<'_>, (new_path, after): Side<'_>) -> Rows {
    let mut done = Rows::default();
    if let (Some(before), Some(after)) = (before, after)
        && before.executable != after.executable
    {
        done.rows.push(DiffRow::said(
            "gap",
            if after.executable { "made executable" } else { "made not executable" },
        ));
    }
    let (Some(old), Some(new)) = (text_of(before), text_of(after)) else {
        done.rows.push(DiffRow::said("gap", "binary, or too large to be shown"));
        return done;
    };
    let difference = TextDiff::from_lines(old, new);
    let groups = difference.grouped_ops(3);
    if groups.is_empty() {
        return done;
    }
    let colours = [colour::lines(old_path, old), colour::lines(new_path, new)];
    for group in groups {
        done.rows.push(DiffRow::said("gap", place(&group)));
        for op in &group {
            for one in difference.iter_changes(op) {
                let (kind, text, colours, at) = match one.tag() {
                    ChangeTag::Delete => ("del", old, &colours[0], one.old_index()),
                    ChangeTag::Insert => ("add", new, &colours[1], one.new_index()),
                    ChangeTag::Equal => ("same", new, &colours[1], one.new_index()),
                };
                done.added += usize::from(kind == "add");
                done.removed += usize::from(kind == "del");
                let mut parts =
                    at.and_then(|at| colours.get(at)).map(|line| cut(text, line)).unwrap_or_default();
                if kind != "same" && one.value().ends_with("\r\n") {
                    parts.push(("c-end", "␍".to_owned()));
                }
                let number = |at: Option<usize>| at.map(|at| at + 1);
                done.rows.push(DiffRow {
                    kind,
                    old: number(one.old_index()),
                    new: number(one.new_index()),
                    parts,
                });
                if one.missing_newline() {
                    done.rows.push(DiffRow::said("note", "no newline at the end of the file"));
                }
            }
        }
    }
    done
}

/// Where a group of changes begins.
fn place(group: &[DiffOp]) -> String {
    let first = group.first().map(|first| (first.old_range().start + 1, first.new_range().start + 1));
    match first {
        Some((old, new)) if old != new => format!("line {old} → {new}"),
        Some((line, _)) => format!("line {line}"),
        None => String::new(),
    }
}

/// A line in its parts, as far as it is shown.
fn cut(text: &str, line: &[Part]) -> Vec<(&'static str, String)> {
    let mut left = ROW;
    let mut parts = Vec::with_capacity(line.len());
    for (class, range) in line {
        let part = text.get(range.clone()).unwrap_or_default();
        match part.char_indices().nth(left) {
            None => {
                left -= part.chars().count();
                parts.push((class.unwrap_or_default(), part.to_owned()));
            }
            Some((at, _)) => {
                parts.push((class.unwrap_or_default(), format!("{}…", &part[..at])));
                break;
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(changes: &[(&str, Option<&str>, Option<&str>)]) -> Patch {
        let file = |text: &Option<&str>| text.map(FileState::text);
        let change = |(path, before, after): &(&str, Option<&str>, Option<&str>)| {
            (RelPath::new(path).unwrap(), Change { before: file(before), after: file(after) })
        };
        changes.iter().map(change).collect()
    }

    fn told(file: &FileDiff) -> Vec<String> {
        let text = |row: &DiffRow| row.parts.iter().map(|(_, text)| text.as_str()).collect::<String>();
        file.rows.iter().map(|row| format!("{} {}", row.kind, text(row))).collect()
    }

    #[test]
    fn a_file_that_moved_is_shown_as_one_with_what_changed_in_it() {
        let text = "fn a() {}\nfn b() {}\nfn c() {}\n";
        let patch = patch(&[
            ("new.rs", None, Some("fn a() {}\nfn b() {}\nfn d() {}\n")),
            ("old.rs", Some(text), None),
            ("other.rs", Some("x\n"), None),
            ("same.txt", None, Some("kept\n")),
            ("was.txt", Some("kept\n"), None),
        ]);
        let files = diff(&patch, &mut PAGE.clone());
        let short: Vec<_> = files
            .iter()
            .map(|file| (file.path.as_str(), file.from.as_deref(), file.added, file.removed))
            .collect();
        assert_eq!(
            short,
            [("new.rs", Some("old.rs"), 1, 1), ("other.rs", None, 0, 1), ("same.txt", Some("was.txt"), 0, 0)]
        );
        assert_eq!(told(&files[2]), Vec::<String>::new());
    }

    #[test]
    fn ends_of_lines_are_seen_where_they_differ() {
        let files = diff(&patch(&[("a.txt", Some("a\nb"), Some("a\r\nb\n"))]), &mut PAGE.clone());
        assert_eq!(
            told(&files[0]),
            ["gap line 1", "del a", "del b", "note no newline at the end of the file", "add a␍", "add b"]
        );
    }

    #[test]
    fn long_diffs_are_folded_and_cut_and_their_counts_are_those_of_the_whole() {
        let text =
            |what: &str, lines: usize| (0..lines).map(|at| format!("{what} {at}\n")).collect::<String>();
        let (long, longer) = (text("a", 500), text("a", 3_000));
        let patch = patch(&[
            ("a.txt", None, Some(&long)),
            ("b.txt", None, Some(&longer)),
            ("c.txt", None, Some(&longer)),
        ]);
        let mut room = PAGE / 2;
        let files = diff(&patch, &mut room);
        assert!(files.iter().take(2).all(|file| file.folded));
        let shown: Vec<_> = files.iter().map(|file| (file.added, file.rows.len(), file.left_out)).collect();
        assert_eq!(shown, [(500, 501, 0), (3_000, 1_999, 1_002), (3_000, 0, 3_001)]);
        assert_eq!(room, 0);
    }

    #[test]
    fn a_line_is_cut_in_the_middle_of_its_parts() {
        let line = format!("let x = \"{}\";\n", "ä".repeat(ROW));
        let files = diff(&patch(&[("a.rs", None, Some(&line))]), &mut PAGE.clone());
        let text = told(&files[0])[1].clone();
        assert_eq!(text.chars().count(), "add ".len() + ROW + 1);
        assert!(text.ends_with('…'));
    }
}
