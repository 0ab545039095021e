//! A patch as what to look for and what to put there, so that it fits a file whose lines have moved.

use serde::{Deserialize, Serialize};
use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::patch::{Change, FileState, Patch, RelPath, Tree};

/// Lines of context kept on each side of a hunk.
const CONTEXT: usize = 3;
/// The largest file that a recipe is made from or fitted to, in bytes.
const LARGEST_FILE: usize = 2 << 20;

/// What a fix did, by file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Recipe(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
enum Step {
    Create { path: RelPath, text: String, executable: bool },
    Remove { path: RelPath, text: String },
    Edit { path: RelPath, hunks: Vec<Hunk> },
}

/// Lines to find and lines instead, line ends included. The first `above` and the last `below` of both are the same context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Hunk {
    /// Where it was, from 0; only a hint.
    line: usize,
    above: usize,
    below: usize,
    find: Vec<String>,
    instead: Vec<String>,
}

impl Recipe {
    /// Takes a patch apart; `None` where it has other than text files, very large ones, or only changes modes.
    pub fn of(patch: &Patch) -> Option<Self> {
        let mut steps = Vec::new();
        for (path, change) in patch.iter() {
            let text =
                |file: &FileState| Some(file.as_text().filter(|text| text.len() <= LARGEST_FILE)?.to_owned());
            let path = path.clone();
            steps.push(match (&change.before, &change.after) {
                (None, Some(after)) => {
                    Step::Create { path, text: text(after)?, executable: after.executable }
                }
                (Some(before), None) => Step::Remove { path, text: text(before)? },
                (Some(before), Some(after)) if before.executable == after.executable => {
                    Step::Edit { path, hunks: hunks(&text(before)?, &text(after)?) }
                }
                _ => return None,
            });
        }
        (!steps.is_empty()).then_some(Self(steps))
    }

    /// The identity: the same for the same change at another place of the file.
    pub fn digest(&self) -> String {
        use sha2::{Digest, Sha256};
        let mut plain = self.clone();
        for step in &mut plain.0 {
            if let Step::Edit { hunks, .. } = step {
                hunks.iter_mut().for_each(|hunk| hunk.line = 0);
            }
        }
        hex::encode(Sha256::digest(serde_json::to_vec(&plain).unwrap_or_default()))
    }

    /// The files it is about.
    pub fn paths(&self) -> impl Iterator<Item = &RelPath> {
        self.0.iter().map(|step| match step {
            Step::Create { path, .. } | Step::Remove { path, .. } | Step::Edit { path, .. } => path,
        })
    }

    /// Whether what it did is still there; `read` gives a file's text as it is now. Lines around it may have changed.
    pub fn stands<'t>(&self, read: impl Fn(&RelPath) -> Option<&'t str>) -> bool {
        self.0.iter().all(|step| match step {
            Step::Create { path, .. } => read(path).is_some(),
            Step::Remove { path, .. } => read(path).is_none(),
            Step::Edit { path, hunks } => {
                read(path).is_some_and(|text| hunks.iter().all(|hunk| hunk.stands(&lines(text))))
            }
        })
    }

    /// What it does as a diff, for people and models. There are no line numbers: they are where it was, not where it fits.
    pub fn diff(&self) -> String {
        let mut text = String::new();
        let signed = |text: &mut String, sign: char, line: &str| {
            text.push(sign);
            text.push_str(line.trim_end_matches(['\n', '\r']));
            text.push('\n');
        };
        for step in &self.0 {
            match step {
                Step::Create { path, text: whole, .. } => {
                    text += &format!("--- /dev/null\n+++ {path}\n@@\n");
                    whole.lines().for_each(|line| signed(&mut text, '+', line));
                }
                Step::Remove { path, text: whole } => {
                    text += &format!("--- {path}\n+++ /dev/null\n@@\n");
                    whole.lines().for_each(|line| signed(&mut text, '-', line));
                }
                Step::Edit { path, hunks } => {
                    text += &format!("--- {path}\n+++ {path}\n");
                    for hunk in hunks {
                        text += "@@\n";
                        let (find, instead) = (&hunk.find[..], &hunk.instead[..]);
                        for op in capture_diff_slices(Algorithm::Myers, find, instead) {
                            let kept = matches!(op, DiffOp::Equal { .. });
                            for line in &find[op.old_range()] {
                                signed(&mut text, if kept { ' ' } else { '-' }, line);
                            }
                            for line in instead[op.new_range()].iter().filter(|_| !kept) {
                                signed(&mut text, '+', line);
                            }
                        }
                    }
                }
            }
        }
        text
    }

    /// What it does as models are asked to say it: SEARCH/REPLACE blocks.
    pub fn blocks(&self) -> String {
        let block = |path: &RelPath, search: &str, replace: &str| {
            let ended = |text: &str| match text {
                "" => String::new(),
                text if text.ends_with('\n') => text.to_owned(),
                text => format!("{text}\n"),
            };
            format!("{path}\n<<<<<<< SEARCH\n{}=======\n{}>>>>>>> REPLACE\n", ended(search), ended(replace))
        };
        let mut blocks = Vec::new();
        for step in &self.0 {
            match step {
                Step::Create { path, text, .. } => blocks.push(block(path, "", text)),
                Step::Remove { path, .. } => blocks.push(format!("DELETE {path}\n")),
                Step::Edit { path, hunks } => blocks.extend(
                    hunks.iter().map(|hunk| block(path, &hunk.find.concat(), &hunk.instead.concat())),
                ),
            }
        }
        blocks.join("\n")
    }

    /// What stood in the places that it changes, by file.
    pub fn found(&self) -> Vec<(&RelPath, String)> {
        let mut found = Vec::new();
        for step in &self.0 {
            match step {
                Step::Create { .. } => {}
                Step::Remove { path, text } => found.push((path, text.clone())),
                Step::Edit { path, hunks } => {
                    let places: Vec<String> = hunks.iter().map(|hunk| hunk.find.concat()).collect();
                    found.push((path, places.join("…\n")));
                }
            }
        }
        found
    }

    /// The same change on `tree` as it is now, on top of its patch.
    ///
    /// # Errors
    /// Says what does not fit: a text that is not there (any more), or there more than once.
    pub fn fit(&self, tree: &Tree<'_>) -> Result<Patch, String> {
        let mut patch = Patch::new();
        for step in &self.0 {
            let (path, after) = match step {
                Step::Create { path, text, executable } => {
                    let file = FileState { bytes: text.clone().into_bytes(), executable: *executable };
                    (path, Some(file))
                }
                Step::Remove { path, .. } => (path, None),
                Step::Edit { path, hunks } => {
                    let file =
                        tree.read(path).ok().flatten().ok_or_else(|| format!("{path} is not there"))?;
                    let text = file.as_text().filter(|text| text.len() <= LARGEST_FILE);
                    let text = text.ok_or_else(|| format!("{path} is no text"))?;
                    let text = edit(text, hunks).map_err(|why| format!("{path}: {why}"))?;
                    (path, Some(FileState { bytes: text.into_bytes(), executable: file.executable }))
                }
            };
            let before = tree.read(path).map_err(|error| format!("{path}: {error}"))?;
            match step {
                Step::Create { .. } if before.is_some() && before != after => {
                    return Err(format!("{path} is there already"));
                }
                Step::Remove { text, .. }
                    if before.as_ref().is_some_and(|now| now.bytes != text.as_bytes()) =>
                {
                    return Err(format!("{path} is not as it was"));
                }
                _ => patch.set(path.clone(), Change { before, after }),
            }
        }
        if patch.is_empty() { Err("it is in the tree already".to_owned()) } else { Ok(patch) }
    }
}

impl Hunk {
    /// Whether `now` has what it put there; where it only took something away, whether that is gone.
    fn stands(&self, now: &[&str]) -> bool {
        let core = |all: &[String]| -> Option<Vec<String>> {
            let last = all.len().checked_sub(self.below)?;
            Some(all.get(self.above..last)?.to_vec())
        };
        let is_there = |part: &[String]| now.windows(part.len()).any(|place| place.iter().eq(part.iter()));
        match (core(&self.find), core(&self.instead)) {
            (_, Some(new)) if !new.is_empty() => is_there(&new),
            (Some(old), Some(_)) if !old.is_empty() => !is_there(&old),
            _ => false,
        }
    }
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

fn hunks(before: &str, after: &str) -> Vec<Hunk> {
    let (old, new) = (lines(before), lines(after));
    let ops = capture_diff_slices(Algorithm::Myers, &old, &new);
    let own = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let mut hunks = Vec::new();
    for group in similar::group_diff_ops(ops, CONTEXT) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let kept = |op: &DiffOp| if let DiffOp::Equal { len, .. } = op { *len } else { 0 };
        hunks.push(Hunk {
            line: first.old_range().start,
            above: kept(first),
            below: if group.len() > 1 { kept(last) } else { 0 },
            find: own(&old[first.old_range().start..last.old_range().end]),
            instead: own(&new[first.new_range().start..last.new_range().end]),
        });
    }
    hunks
}

fn edit(text: &str, hunks: &[Hunk]) -> Result<String, String> {
    let now = lines(text);
    let mut result = String::with_capacity(text.len());
    let mut done = 0;
    let mut drift = 0isize;
    for hunk in hunks {
        let expected = hunk.line.saturating_add_signed(drift);
        let (at, trim) = locate(&now, hunk, done, expected)?;
        drift = at as isize - (hunk.line + trim.0) as isize;
        now[done..at].iter().for_each(|line| result.push_str(line));
        let end = hunk.instead.len() - trim.1;
        hunk.instead[trim.0..end].iter().for_each(|line| result.push_str(line));
        done = at + hunk.find.len() - trim.0 - trim.1;
    }
    now[done..].iter().for_each(|line| result.push_str(line));
    Ok(result)
}

/// Where the hunk's lines stand from line `from` on, and how many lines of context above and below had to be given up for it.
/// Of several places the one nearest to `expected` counts, unless two are equally near.
fn locate(
    now: &[&str],
    hunk: &Hunk,
    from: usize,
    expected: usize,
) -> Result<(usize, (usize, usize)), String> {
    // An import from elsewhere may lie about its context.
    let fits = hunk.above.saturating_add(hunk.below) <= hunk.find.len().min(hunk.instead.len());
    if !fits {
        return Err("the recipe is damaged".to_owned());
    }
    for kept in (0..=CONTEXT).rev() {
        let trim = (hunk.above.saturating_sub(kept), hunk.below.saturating_sub(kept));
        let find = &hunk.find[trim.0..hunk.find.len() - trim.1];
        if find.iter().all(|line| line.trim().is_empty()) {
            continue;
        }
        let matches = |at: &usize| now[*at..*at + find.len()].iter().zip(find).all(|(a, b)| *a == b);
        let last = now.len().saturating_sub(find.len());
        let expected = expected + trim.0;
        let places: Vec<usize> =
            (from..=last).filter(|at| at + find.len() <= now.len()).filter(matches).take(10_000).collect();
        let Some(nearest) = places.iter().map(|at| at.abs_diff(expected)).min() else { continue };
        let mut near = places.iter().filter(|at| at.abs_diff(expected) == nearest);
        return match (near.next(), near.next()) {
            (Some(at), None) => Ok((*at, trim)),
            _ => Err("what it changed is there more than once".to_owned()),
        };
    }
    Err("what it changed is not there any more".to_owned())
}
