//! Edits to texts, by byte offsets, and how several become one patch.

use std::collections::BTreeMap;

use crate::patch::{Change, FileState, Patch, RelPath, Tree};

/// One replacement in one file: the bytes from `start` up to `end` become `text`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edit {
    /// The file.
    pub path: RelPath,
    /// First byte.
    pub start: usize,
    /// Byte after the last; equal to `start` for an insertion.
    pub end: usize,
    /// What stands there afterwards.
    pub text: String,
}

impl Edit {
    pub fn new(path: &RelPath, start: usize, end: usize, text: impl Into<String>) -> Self {
        Self { path: path.clone(), start, end, text: text.into() }
    }

    /// Whether both cannot be made: they share bytes, or one inserts inside the other. Two insertions at one place do not clash.
    fn clashes(&self, other: &Edit) -> bool {
        self.path == other.path
            && self.start < other.end.max(other.start + usize::from(self.start != self.end))
            && other.start < self.end.max(self.start + usize::from(other.start != other.end))
    }
}

/// A repair to try: edits that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// What it does, for people.
    pub title: String,
    /// Who thought of it: `rustc`, `typescript`, `nearest-name`, …
    pub source: &'static str,
    /// Smaller is tried first.
    pub rank: u32,
    /// The root cause that it removes: candidates of one cause exclude each other.
    pub cause: String,
    /// The edits; those at one offset are made in this order.
    pub edits: Vec<Edit>,
}

/// The edits of several candidates as one list without doubles, leaving out candidates that clash with earlier ones or
/// add nothing to them.
/// Gives also the indices of the candidates that are in it.
pub(super) fn compose(candidates: &[&Candidate]) -> (Vec<Edit>, Vec<usize>) {
    let mut edits: Vec<Edit> = Vec::new();
    let mut taken = Vec::new();
    for (index, candidate) in candidates.iter().enumerate() {
        let fresh: Vec<&Edit> = candidate.edits.iter().filter(|edit| !edits.contains(edit)).collect();
        let clash = fresh.iter().any(|edit| edits.iter().any(|other| other.clashes(edit)));
        if fresh.is_empty() || clash {
            continue;
        }
        let fresh: Vec<Edit> = fresh.into_iter().cloned().collect();
        edits.extend(fresh);
        taken.push(index);
    }
    (edits, taken)
}

/// The patch that makes `edits` in `tree`. `None` where an edit does not fit its file (out of range, inside a character, clashing
/// with another, no text) or where nothing changes.
pub(super) fn patch_of(tree: Tree<'_>, edits: &[Edit]) -> Option<Patch> {
    let mut files: BTreeMap<&RelPath, Vec<&Edit>> = BTreeMap::new();
    for edit in edits {
        files.entry(&edit.path).or_default().push(edit);
    }
    let mut patch = Patch::new();
    for (path, mut edits) in files {
        let before = tree.read(path).ok()??;
        let text = before.as_text()?;
        // A stable sort: edits at one offset stay in the order they were given in.
        edits.sort_by_key(|edit| (edit.start, edit.end));
        let after = replaced(text, &edits)?;
        let after = FileState { bytes: after.into_bytes(), executable: before.executable };
        patch.set(path.clone(), Change { before: Some(before), after: Some(after) });
    }
    (!patch.is_empty()).then_some(patch)
}

/// The one edit that makes `old` into `new`, from the first byte that differs to the last; `None` where none does.
pub(super) fn difference(path: &RelPath, old: &str, new: &str) -> Option<Edit> {
    if old == new {
        return None;
    }
    let mut start = old.bytes().zip(new.bytes()).take_while(|(a, b)| a == b).count();
    while !old.is_char_boundary(start) {
        start -= 1;
    }
    let most = old.len().min(new.len()) - start;
    let mut same = old.bytes().rev().zip(new.bytes().rev()).take(most).take_while(|(a, b)| a == b).count();
    while !old.is_char_boundary(old.len() - same) {
        same -= 1;
    }
    Some(Edit::new(path, start, old.len() - same, &new[start..new.len() - same]))
}

fn replaced(text: &str, edits: &[&Edit]) -> Option<String> {
    let crlf = text.contains("\r\n");
    let mut out = String::with_capacity(text.len() + 64);
    let mut at = 0;
    for edit in edits {
        if edit.start < at || edit.end < edit.start {
            return None;
        }
        // `get` is `None` out of range and inside a character.
        out.push_str(text.get(at..edit.start)?);
        text.get(edit.start..edit.end)?;
        if crlf && edit.text.contains('\n') && !edit.text.contains('\r') {
            out.push_str(&edit.text.replace('\n', "\r\n"));
        } else {
            out.push_str(&edit.text);
        }
        at = edit.end;
    }
    out.push_str(text.get(at..)?);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).unwrap()
    }

    #[test]
    fn insertions_at_one_offset_keep_their_order() {
        let file = path("a.ts");
        let edits = [Edit::new(&file, 1, 1, "x"), Edit::new(&file, 1, 1, "y"), Edit::new(&file, 0, 1, "Q")];
        let mut sorted: Vec<&Edit> = edits.iter().collect();
        sorted.sort_by_key(|edit| (edit.start, edit.end));
        assert_eq!(replaced("ab", &sorted).unwrap(), "Qxyb");
    }

    #[test]
    fn edits_that_do_not_fit_are_refused() {
        let file = path("a.ts");
        for (start, end) in [(3, 2), (0, 9), (1, 2), (9, 9)] {
            assert_eq!(replaced("äb", &[&Edit::new(&file, start, end, "x")]), None, "{start}..{end}");
        }
    }

    #[test]
    fn a_difference_is_as_short_as_it_can_be() {
        let file = path("a.rs");
        for (old, new) in
            [("use a;\nuse c;\n", "use a;\nuse b;\nuse c;\n"), ("ä", "ö"), ("aa", "aaa"), ("x", "")]
        {
            let edit = difference(&file, old, new).unwrap();
            assert_eq!(replaced(old, &[&edit]).as_deref(), Some(new));
        }
        assert_eq!(difference(&file, "a", "a"), None);
        assert_eq!(
            difference(&file, "use a;\nuse c;\n", "use a;\nuse b;\nuse c;\n").unwrap().text,
            "b;\nuse "
        );
    }

    #[test]
    fn line_ends_follow_the_file() {
        let file = path("a.rs");
        assert_eq!(replaced("a\r\nb", &[&Edit::new(&file, 0, 0, "use x;\n")]).unwrap(), "use x;\r\na\r\nb");
    }

    #[test]
    fn clashing_candidates_are_left_out_and_shared_edits_kept_once() {
        let file = path("a.rs");
        let one = |cause: &str, edits: Vec<Edit>| Candidate {
            title: cause.into(),
            source: "rustc",
            rank: 0,
            cause: cause.into(),
            edits,
        };
        let import = Edit::new(&file, 0, 0, "use x;\n");
        let a = one("a", vec![import.clone(), Edit::new(&file, 4, 6, "q")]);
        let b = one("b", vec![Edit::new(&file, 5, 5, "z")]);
        let c = one("c", vec![import, Edit::new(&file, 6, 8, "r")]);
        let (edits, taken) = compose(&[&a, &b, &c]);
        assert_eq!(taken, [0, 2]);
        assert_eq!(edits.len(), 3);
        // What others make already is nobody's step.
        let again = one("again", a.edits[1..].to_vec());
        assert_eq!(compose(&[&a, &again]).1, [0]);
    }
}
