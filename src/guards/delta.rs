//! One file before and after, with renamed files put together.

use std::collections::{HashMap, HashSet};

use crate::patch::{Change, FileState, Patch, RelPath};

/// A file of a patch as text. A created file that is like one that the patch removes is that file, renamed.
#[derive(Debug)]
pub(super) struct Delta<'a> {
    /// Where it is afterwards; where it was, if it is removed.
    pub path: &'a RelPath,
    /// Where it was, if that was elsewhere.
    pub from: Option<&'a RelPath>,
    /// The text before; `None` where there was no file or no text.
    pub before: Option<&'a str>,
    /// The text after; `None` where there is no file or no text.
    pub after: Option<&'a str>,
    /// Whether there was a file.
    pub existed: bool,
    /// Whether there is a file.
    pub exists: bool,
}

impl Delta<'_> {
    /// Where the file was, or is if it did not move.
    pub(super) fn old_path(&self) -> &RelPath {
        self.from.unwrap_or(self.path)
    }

    /// The lines of the new text that the old one has not, or not as often, with their numbers from 1.
    pub(super) fn added(&self) -> Vec<(usize, &str)> {
        let mut had: HashMap<&str, usize> = HashMap::new();
        for line in self.before.unwrap_or_default().lines() {
            *had.entry(line.trim()).or_default() += 1;
        }
        let mut added = Vec::new();
        for (index, line) in self.after.unwrap_or_default().lines().enumerate() {
            match had.get_mut(line.trim()) {
                Some(count) if *count > 0 => *count -= 1,
                _ => added.push((index + 1, line)),
            }
        }
        added
    }
}

fn text(side: &Option<FileState>) -> Option<&str> {
    // Larger texts are data, and the size guard's business.
    side.as_ref().filter(|file| file.bytes.len() <= 4 << 20).and_then(FileState::as_text)
}

/// The files of a patch.
pub(super) fn deltas(patch: &Patch) -> Vec<Delta<'_>> {
    let mut removed: Vec<(&RelPath, &Change)> =
        patch.iter().filter(|(_, change)| change.after.is_none()).collect();
    let mut deltas = Vec::new();
    for (path, change) in patch.iter().filter(|(_, change)| change.after.is_some()) {
        let mut delta = Delta {
            path,
            from: None,
            before: text(&change.before),
            after: text(&change.after),
            existed: change.before.is_some(),
            exists: true,
        };
        if change.before.is_none()
            && let Some(index) = renamed_from(path, change, &removed)
        {
            let (from, old) = removed.remove(index);
            delta.from = Some(from);
            delta.before = text(&old.before);
            delta.existed = true;
        }
        deltas.push(delta);
    }
    deltas.extend(removed.into_iter().map(|(path, change)| Delta {
        path,
        from: None,
        before: text(&change.before),
        after: None,
        existed: true,
        exists: false,
    }));
    deltas
}

/// The removed file that `created` is most like, if most of their lines are the same.
fn renamed_from(path: &RelPath, created: &Change, removed: &[(&RelPath, &Change)]) -> Option<usize> {
    let new = text(&created.after)?;
    let lines: HashSet<&str> = new.lines().map(str::trim).filter(|line| line.len() > 3).collect();
    let mut best: Option<(f64, usize)> = None;
    for (index, (from, change)) in removed.iter().enumerate().take(200) {
        let Some(old) = text(&change.before) else { continue };
        let old: HashSet<&str> = old.lines().map(str::trim).filter(|line| line.len() > 3).collect();
        let most = old.len().max(lines.len());
        let same = if most == 0 { 0.0 } else { old.intersection(&lines).count() as f64 / most as f64 };
        let score = same + if from.file_name() == path.file_name() { 0.1 } else { 0.0 };
        if same >= 0.5 && best.is_none_or(|(most, _)| score > most) {
            best = Some((score, index));
        }
    }
    best.map(|(_, index)| index)
}

/// The line number, from 1, of a byte offset.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|&&byte| byte == b'\n').count() + 1
}
