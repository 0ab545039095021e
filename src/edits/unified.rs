//! Reads unified diffs as edits. Line numbers and counts are not trusted: each hunk becomes a block that is found by its text.

use super::{Edit, Refused, edit_path};

/// Reads the diff of one file that starts at line `at`: its edits, and the line after it. `None` where none starts there.
pub(super) fn read(lines: &[&str], at: usize) -> Result<Option<(Vec<Edit>, usize)>, Refused> {
    let first = lines.get(at).copied().unwrap_or_default();
    if let Some(rest) = first.strip_prefix("diff --git ") {
        return git_header(lines, at, rest);
    }
    if !starts_file(lines, at) {
        return Ok(None);
    }
    let old = side(lines[at], "--- ");
    let new = side(lines[at + 1], "+++ ");
    let (old, new) = match (old, new) {
        (Some(old), Some(new)) => match (old.strip_prefix("a/"), new.strip_prefix("b/")) {
            (Some(a), Some(b)) => (Some(a), Some(b)),
            _ => (Some(old), Some(new)),
        },
        (old, new) => {
            (old.map(|p| p.strip_prefix("a/").unwrap_or(p)), new.map(|p| p.strip_prefix("b/").unwrap_or(p)))
        }
    };
    let (hunks, next) = hunks(lines, at + 2)?;
    let mut edits = Vec::new();
    match (old, new) {
        (None, None) => return Err(Refused::Malformed("a diff names /dev/null on both sides".into())),
        (Some(old), None) => edits.push(Edit::Delete { path: edit_path(old)? }),
        (None, Some(new)) => {
            let content = hunks.into_iter().map(|hunk| hunk.new).collect();
            edits.push(Edit::Create { path: edit_path(new)?, content });
        }
        (Some(old), Some(new)) => {
            let path = edit_path(new)?;
            if old != new {
                edits.push(Edit::Rename { from: edit_path(old)?, to: path.clone() });
            }
            for hunk in hunks {
                if hunk.old == hunk.new {
                    continue;
                }
                if hunk.old.trim().is_empty() {
                    return Err(Refused::Malformed(format!(
                        "a hunk of the diff of {path} has no context; give the lines around the change, or a \
                         SEARCH/REPLACE block"
                    )));
                }
                edits.push(Edit::Replace { path: path.clone(), search: hunk.old, replace: hunk.new });
            }
        }
    }
    Ok(Some((edits, next)))
}

/// Reads `diff --git` and the lines up to `---`: they matter only for a pure rename or an empty file.
fn git_header(lines: &[&str], at: usize, names: &str) -> Result<Option<(Vec<Edit>, usize)>, Refused> {
    let mut next = at + 1;
    let (mut from, mut to, mut deleted, mut created) = (None, None, false, false);
    while let Some(line) = lines.get(next) {
        if let Some(path) = line.strip_prefix("rename from ") {
            from = Some(path);
        } else if let Some(path) = line.strip_prefix("rename to ") {
            to = Some(path);
        } else if line.starts_with("deleted file mode ") {
            deleted = true;
        } else if line.starts_with("new file mode ") {
            created = true;
        } else if !["index ", "similarity index ", "dissimilarity index ", "old mode ", "new mode "]
            .iter()
            .any(|start| line.starts_with(start))
        {
            break;
        }
        next += 1;
    }
    if starts_file(lines, next) {
        return match (from, to) {
            // The `---` and `+++` lines name both sides too: the rename is read from there.
            (Some(_), Some(_)) | (None, None) => read(lines, next),
            _ => {
                Err(Refused::Malformed("a diff has `rename from` without `rename to`, or the reverse".into()))
            }
        };
    }
    let named = names.rsplit_once(" b/").map(|(_, path)| path);
    let edit = match (from, to, named) {
        (Some(from), Some(to), _) => Edit::Rename { from: edit_path(from)?, to: edit_path(to)? },
        (_, _, Some(path)) if deleted => Edit::Delete { path: edit_path(path)? },
        (_, _, Some(path)) if created => Edit::Create { path: edit_path(path)?, content: String::new() },
        _ => return Ok(None),
    };
    Ok(Some((vec![edit], next)))
}

/// Whether the `---`, `+++` and `@@` lines of a file start at `at` (or the first two alone, which is an empty diff).
fn starts_file(lines: &[&str], at: usize) -> bool {
    let starts =
        |offset: usize, with: &str| lines.get(at + offset).is_some_and(|line| line.starts_with(with));
    starts(0, "--- ") && starts(1, "+++ ") && starts(2, "@@")
}

/// The path of a `---` or `+++` line, `None` for /dev/null.
fn side<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    let path = line.strip_prefix(mark).unwrap_or(line);
    let path = path.split('\t').next().unwrap_or(path).trim().trim_matches('"');
    (path != "/dev/null").then_some(path)
}

struct Hunk {
    old: String,
    new: String,
}

fn hunks(lines: &[&str], mut at: usize) -> Result<(Vec<Hunk>, usize), Refused> {
    let mut hunks = Vec::new();
    while lines.get(at).is_some_and(|line| line.starts_with("@@")) {
        at += 1;
        let mut hunk = Hunk { old: String::new(), new: String::new() };
        while let Some(line) = lines.get(at) {
            if starts_file(lines, at) || line.starts_with("@@") {
                break;
            }
            match line.as_bytes().first() {
                Some(b' ') => {
                    push(&mut hunk.old, &line[1..]);
                    push(&mut hunk.new, &line[1..]);
                }
                Some(b'-') => push(&mut hunk.old, &line[1..]),
                Some(b'+') => push(&mut hunk.new, &line[1..]),
                Some(b'\\') => {}
                // Editors and models drop the blank of an empty context line; at a hunk's end it is no context.
                None if continues(lines, at) => {
                    push(&mut hunk.old, "");
                    push(&mut hunk.new, "");
                }
                _ => break,
            }
            at += 1;
        }
        hunks.push(hunk);
    }
    Ok((hunks, at))
}

/// Whether the first line after `at` that is not empty still belongs to the hunk.
fn continues(lines: &[&str], at: usize) -> bool {
    let Some((offset, line)) = lines[at..].iter().enumerate().find(|(_, line)| !line.is_empty()) else {
        return false;
    };
    line.starts_with([' ', '-', '+', '\\']) && !starts_file(lines, at + offset) && !line.starts_with("- ")
}

fn push(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}
