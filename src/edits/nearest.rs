//! What an answer probably meant: the nearest lines of a file, the nearest path of a tree.

use crate::patch::{RelPath, Tree};

/// At most so many files are looked at for a similar path.
const MOST_FILES: usize = 20_000;
/// At most so many lines are shown.
const MOST_SHOWN: usize = 14;

/// The lines of `hay` that are most like `needle`, numbered, for a model to copy from. `None` where nothing is alike.
pub(super) fn lines(hay: &[&str], needle: &[&str]) -> Option<String> {
    let needle: Vec<&str> =
        needle.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).take(60).collect();
    let hay = &hay[..hay.len().min(50_000)];
    let start = best_window(hay, &needle).or_else(|| best_line(hay, &needle))?;
    let end = hay.len().min(start + needle.len().clamp(3, MOST_SHOWN));
    let mut text = format!("the nearest lines are {}-{}:", start + 1, end);
    for line in &hay[start..end] {
        text.push('\n');
        text.extend(line.chars().take(300));
    }
    Some(text)
}

/// The window in which most lines of `needle` stand at their place.
fn best_window(hay: &[&str], needle: &[&str]) -> Option<usize> {
    // Each equal line votes for the window it would be in; closing brackets and the like vote for nothing.
    let mut votes = std::collections::HashMap::<usize, usize>::new();
    let mut budget = 200_000_usize;
    for (offset, wanted) in needle.iter().enumerate().filter(|(_, line)| line.len() > 3) {
        for (index, line) in hay.iter().enumerate() {
            if line.trim() == *wanted && index >= offset {
                *votes.entry(index - offset).or_default() += 1;
                budget = budget.saturating_sub(1);
            }
        }
        if budget == 0 {
            break;
        }
    }
    votes.into_iter().max_by_key(|&(start, count)| (count, usize::MAX - start)).map(|(start, _)| start)
}

/// The line most like the longest line of `needle`.
fn best_line(hay: &[&str], needle: &[&str]) -> Option<usize> {
    let wanted: String = needle.iter().max_by_key(|line| line.len())?.chars().take(160).collect();
    let offset = needle.iter().position(|line| line.starts_with(wanted.as_str())).unwrap_or(0);
    let mut best = (0.55, None);
    for (index, line) in hay.iter().take(10_000).enumerate() {
        let line: String = line.trim().chars().take(160).collect();
        // Texts of very different lengths cannot be alike: no need to compare them.
        if line.len() * 2 < wanted.len() || wanted.len() * 2 < line.len() {
            continue;
        }
        let score = strsim::normalized_levenshtein(&line, &wanted);
        if score > best.0 {
            best = (score, Some(index));
        }
    }
    best.1.map(|index| index.saturating_sub(offset))
}

/// The file of the tree whose path is most like `path`.
pub(super) fn path(tree: &Tree<'_>, path: &RelPath) -> Option<RelPath> {
    let wanted = path.as_str().to_lowercase();
    let name = path.file_name().to_lowercase();
    let mut best: Option<(f64, RelPath)> = None;
    let mut consider = |candidate: RelPath| {
        if !tree.has(&candidate) {
            return;
        }
        let same_name = candidate.file_name().to_lowercase() == name;
        let alike = strsim::normalized_levenshtein(&candidate.as_str().to_lowercase(), &wanted);
        let score = alike + if same_name { 0.5 } else { 0.0 };
        if score >= 0.7 && best.as_ref().is_none_or(|(most, _)| score > *most) {
            best = Some((score, candidate));
        }
    };
    for (changed, _) in tree.patch.iter() {
        consider(changed.clone());
    }
    let walk = ignore::WalkBuilder::new(tree.root)
        .hidden(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build();
    for entry in walk.flatten().take(MOST_FILES) {
        let below = entry.path().strip_prefix(tree.root).ok().and_then(|below| below.to_str());
        let Some(Ok(candidate)) = below.map(RelPath::new) else { continue };
        let near = candidate.file_name().to_lowercase() == name
            || strsim::normalized_levenshtein(&candidate.as_str().to_lowercase(), &wanted) >= 0.7;
        if near && entry.file_type().is_some_and(|kind| kind.is_file()) {
            consider(candidate);
        }
    }
    best.map(|(_, path)| path)
}
