//! A file, whole where it is small, else the parts of it that matter.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::ops::RangeInclusive;

use super::{fence::fenced, syntax};
use crate::patch::RelPath;
use crate::usage::estimate_tokens;

/// A longer line is no line that somebody wrote.
const LONGEST_LINE: usize = 4000;

/// `file` in at most about `room` tokens: whole if it fits, else what surrounds `lines` (from 1). `None` where nothing fits, or where
/// the file is not written by people.
pub(super) fn render(path: &RelPath, file: &str, lines: &BTreeSet<u32>, room: u64) -> Option<String> {
    if file.lines().any(|line| line.len() > LONGEST_LINE) {
        return None;
    }
    let all = whole(path, file);
    if estimate_tokens(&all) <= room {
        return Some(all);
    }
    let total = file.lines().count() as u32;
    let named: Vec<u32> = lines.iter().copied().filter(|line| *line <= total).collect();
    let named = if named.is_empty() { vec![1] } else { named };
    // Less and less around fewer and fewer lines, until it fits.
    let mut ranges = syntax::around(path, file, &named).unwrap_or_else(|| windows(&named, 40));
    let smaller = [(named.len(), 25), (named.len(), 10), (4, 10), (1, 10), (1, 4)];
    let mut smaller = smaller.into_iter();
    loop {
        let part = parts(path, file, &merged(ranges, total));
        if estimate_tokens(&part) <= room {
            return Some(part);
        }
        let (count, around) = smaller.next()?;
        ranges = windows(&named[..count.min(named.len())], around);
    }
}

/// All of `file`.
pub(super) fn whole(path: &RelPath, file: &str) -> String {
    format!("File `{path}` (whole, {} lines):\n{}\n", file.lines().count(), fenced(syntax::tag(path), file))
}

fn windows(lines: &[u32], around: u32) -> Vec<RangeInclusive<u32>> {
    lines.iter().map(|line| line.saturating_sub(around).max(1)..=line.saturating_add(around)).collect()
}

/// Ranges in order, those that touch (or nearly) as one, none beyond the file.
fn merged(mut ranges: Vec<RangeInclusive<u32>>, total: u32) -> Vec<RangeInclusive<u32>> {
    ranges.sort_by_key(|range| *range.start());
    let mut merged: Vec<RangeInclusive<u32>> = Vec::new();
    for range in ranges {
        let (start, end) = (*range.start(), (*range.end()).min(total));
        match merged.last_mut() {
            Some(last) if start <= last.end() + 4 => *last = *last.start()..=end.max(*last.end()),
            _ if start <= end => merged.push(start..=end),
            _ => {}
        }
    }
    merged
}

fn parts(path: &RelPath, file: &str, ranges: &[RangeInclusive<u32>]) -> String {
    let lines: Vec<&str> = file.lines().collect();
    let mut text = format!("File `{path}` (parts; it has {} lines):\n", lines.len());
    for range in ranges {
        let (start, end) = (*range.start() as usize, *range.end() as usize);
        let part = lines.get(start - 1..end).unwrap_or_default().join("\n");
        let _ = write!(text, "lines {start} to {end}\n{}", fenced(syntax::tag(path), &part));
    }
    text.push('\n');
    text
}

/// The first lines that take at most about `room` tokens, and whether they are all.
pub(super) fn first_lines(text: &str, room: u64) -> (&str, bool) {
    if estimate_tokens(text) <= room {
        return (text, true);
    }
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        if estimate_tokens(&text[..end + line.len()]) > room {
            break;
        }
        end += line.len();
    }
    (&text[..end], false)
}

/// The last lines that take at most about `room` tokens.
pub(super) fn last_lines(text: &str, room: u64) -> &str {
    let mut start = text.len();
    for line in text.split_inclusive('\n').rev() {
        if estimate_tokens(&text[start - line.len()..]) > room {
            break;
        }
        start -= line.len();
    }
    &text[start..]
}
