//! Finds the lines of a SEARCH in a file, and puts other lines in their place.

use std::collections::BTreeMap;

use similar::{Algorithm, DiffOp, capture_diff_slices};

/// Above this product of line counts a replacement is not compared line by line.
const MOST_COMPARED: usize = 4_000_000;

/// A text file as lines, with what makes its bytes its own: line ends, byte order mark, final newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lines {
    bom: bool,
    lines: Vec<Line>,
    ending: Ending,
    last_ended: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    text: String,
    ending: Ending,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    None,
    Lf,
    CrLf,
}

/// Where a SEARCH stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nowhere,
    /// The line numbers, from 1, of the first few places.
    Several(Vec<usize>),
    Once(Place),
}

/// One place, and how its indentation differs from the SEARCH's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    start: usize,
    /// Blank lines at the SEARCH's start and end that the file does not have.
    trimmed: (usize, usize),
    shift: Option<Shift>,
}

impl Lines {
    pub(super) fn new(text: &str) -> Self {
        let (bom, text) = match text.strip_prefix('\u{feff}') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let lines: Vec<Line> = text
            .split_inclusive('\n')
            .map(|line| match line.strip_suffix("\r\n") {
                Some(text) => Line { text: text.to_owned(), ending: Ending::CrLf },
                None => match line.strip_suffix('\n') {
                    Some(text) => Line { text: text.to_owned(), ending: Ending::Lf },
                    None => Line { text: line.to_owned(), ending: Ending::None },
                },
            })
            .collect();
        let crlf = lines.iter().filter(|line| line.ending == Ending::CrLf).count();
        let lf = lines.iter().filter(|line| line.ending == Ending::Lf).count();
        let ending = if crlf > lf { Ending::CrLf } else { Ending::Lf };
        let last_ended = lines.last().is_none_or(|line| line.ending != Ending::None);
        Self { bom, lines, ending, last_ended }
    }

    /// The lines' texts, without line ends.
    pub(super) fn texts(&self) -> Vec<&str> {
        self.lines.iter().map(|line| line.text.as_str()).collect()
    }

    /// Whether there is nothing but white space.
    pub(super) fn is_blank(&self) -> bool {
        self.lines.iter().all(|line| line.text.trim().is_empty())
    }

    /// All of the text replaced; line ends, mark and final newline stay as they are.
    pub(super) fn replaced_by(&self, content: &str) -> String {
        let content = content.strip_prefix('\u{feff}').unwrap_or(content);
        let lines = content.lines().map(|text| Line { text: text.to_owned(), ending: self.ending }).collect();
        Self { lines, ..self.clone() }.into_text()
    }

    /// The text with `search` replaced by `replace` at `place`. Lines that both have keep the file's own bytes.
    pub(super) fn spliced(&self, place: &Place, search: &str, replace: &str) -> String {
        let (head, tail) = place.trimmed;
        let old: Vec<&str> = search.lines().collect();
        let old = &old[head..old.len() - tail];
        let new: Vec<&str> = replace.lines().collect();
        let blank = |line: &&&str| line.trim().is_empty();
        let head = new.iter().take(head).take_while(blank).count();
        let tail = new[head..].iter().rev().take(tail).take_while(blank).count();
        let new = &new[head..new.len() - tail];

        let mut lines = self.lines[..place.start].to_vec();
        let made = |text: &str| Line {
            text: place.shift.as_ref().map_or_else(|| text.to_owned(), |shift| shift.line(text)),
            ending: self.ending,
        };
        if old.len().saturating_mul(new.len()) > MOST_COMPARED {
            lines.extend(new.iter().map(|line| made(line)));
        } else {
            for op in capture_diff_slices(Algorithm::Myers, old, new) {
                match op {
                    DiffOp::Equal { old_index, len, .. } => {
                        let from = place.start + old_index;
                        lines.extend_from_slice(&self.lines[from..from + len]);
                    }
                    DiffOp::Delete { .. } => {}
                    DiffOp::Insert { new_index, new_len, .. }
                    | DiffOp::Replace { new_index, new_len, .. } => {
                        lines.extend(new[new_index..new_index + new_len].iter().map(|line| made(line)));
                    }
                }
            }
        }
        lines.extend_from_slice(&self.lines[place.start + old.len()..]);
        Self { lines, ..self.clone() }.into_text()
    }

    fn into_text(mut self) -> String {
        let count = self.lines.len();
        for (index, line) in self.lines.iter_mut().enumerate() {
            if index + 1 == count && !self.last_ended {
                line.ending = Ending::None;
            } else if line.ending == Ending::None {
                line.ending = self.ending;
            }
        }
        let mut text = String::with_capacity(self.lines.iter().map(|line| line.text.len() + 2).sum());
        if self.bom {
            text.push('\u{feff}');
        }
        for line in &self.lines {
            text.push_str(&line.text);
            text.push_str(match line.ending {
                Ending::None => "",
                Ending::Lf => "\n",
                Ending::CrLf => "\r\n",
            });
        }
        text
    }

    /// Looks for `search`: to the letter, then without white space at line ends, then with its indentation shifted, and all this
    /// again without blank lines at its edges. The first way that finds anything decides.
    pub(super) fn find(&self, search: &str) -> Found {
        let hay = self.texts();
        let needle: Vec<&str> = search.lines().collect();
        let blank = |line: &&&str| line.trim().is_empty();
        let head = needle.iter().take_while(blank).count();
        let tail = needle[head..].iter().rev().take_while(blank).count();
        let found = find_as_is(&hay, &needle, (0, 0));
        if found == Found::Nowhere && head + tail > 0 && head < needle.len() {
            return find_as_is(&hay, &needle[head..needle.len() - tail], (head, tail));
        }
        found
    }
}

fn find_as_is(hay: &[&str], needle: &[&str], trimmed: (usize, usize)) -> Found {
    let verdict = |starts: Vec<(usize, Option<Shift>)>| match starts.len() {
        0 => None,
        1 => starts.into_iter().next().map(|(start, shift)| Found::Once(Place { start, trimmed, shift })),
        _ => Some(Found::Several(starts.into_iter().map(|(start, _)| start + 1).collect())),
    };
    let plain = |starts: Vec<usize>| starts.into_iter().map(|start| (start, None)).collect();
    if let Some(found) = verdict(plain(occurrences(hay, needle, 5))) {
        return found;
    }
    let ended = |lines: &[&str]| lines.iter().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    let (hay_ended, needle_ended) = (ended(hay), ended(needle));
    if let Some(found) = verdict(plain(occurrences(&hay_ended, &needle_ended, 5))) {
        return found;
    }
    let trim = |lines: &[&str]| lines.iter().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
    let shifted = occurrences(&trim(hay), &trim(needle), 1000)
        .into_iter()
        .filter_map(|start| {
            Shift::between(needle, &hay[start..start + needle.len()]).map(|shift| (start, Some(shift)))
        })
        .take(5)
        .collect();
    verdict(shifted).unwrap_or(Found::Nowhere)
}

/// Where `needle` stands in `hay`, overlapping places too, at most `most` (Knuth, Morris and Pratt: linear in both).
fn occurrences<T: PartialEq>(hay: &[T], needle: &[T], most: usize) -> Vec<usize> {
    if needle.is_empty() || needle.len() > hay.len() {
        return Vec::new();
    }
    let mut fall = vec![0; needle.len()];
    let mut k = 0;
    for i in 1..needle.len() {
        while k > 0 && needle[i] != needle[k] {
            k = fall[k - 1];
        }
        if needle[i] == needle[k] {
            k += 1;
        }
        fall[i] = k;
    }
    let mut found = Vec::new();
    k = 0;
    for (i, line) in hay.iter().enumerate() {
        while k > 0 && *line != needle[k] {
            k = fall[k - 1];
        }
        if *line == needle[k] {
            k += 1;
        }
        if k == needle.len() {
            found.push(i + 1 - k);
            if found.len() == most {
                break;
            }
            k = fall[k - 1];
        }
    }
    found
}

/// How indentation of an answer becomes the file's.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shift {
    known: BTreeMap<String, String>,
}

fn indent(line: &str) -> &str {
    &line[..line.len() - line.trim_start().len()]
}

fn width(indent: &str) -> usize {
    indent.chars().map(|c| if c == '\t' { 4 } else { 1 }).sum()
}

impl Shift {
    /// The mapping from `ours` to `theirs`, where each depth of indentation has one counterpart and deeper stays deeper.
    fn between(ours: &[&str], theirs: &[&str]) -> Option<Self> {
        let mut known: BTreeMap<String, String> = BTreeMap::new();
        for (our, their) in ours.iter().zip(theirs).filter(|(our, _)| !our.trim().is_empty()) {
            let (our, their) = (indent(our), indent(their));
            match known.get(our) {
                Some(before) if before != their => return None,
                Some(_) => {}
                None => {
                    known.insert(our.to_owned(), their.to_owned());
                }
            }
        }
        let mut widths: Vec<(usize, usize)> =
            known.iter().map(|(our, their)| (width(our), width(their))).collect();
        widths.sort_unstable();
        widths.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1).then_some(Self { known })
    }

    /// A line of the replacement with the file's indentation.
    fn line(&self, line: &str) -> String {
        if line.trim().is_empty() {
            return String::new();
        }
        let own = indent(line);
        let rest = &line[own.len()..];
        if let Some(theirs) = self.known.get(own) {
            return format!("{theirs}{rest}");
        }
        // Deeper than a known depth: that depth's counterpart and the difference in the file's own unit.
        let base = self
            .known
            .iter()
            .filter(|(our, _)| own.starts_with(our.as_str()))
            .max_by_key(|(our, _)| our.len());
        if let Some((our, their)) = base {
            return format!("{their}{}{rest}", self.converted(&own[our.len()..]));
        }
        // Shallower than all known depths: the shallowest, less the difference.
        let Some((our, their)) = self.known.iter().min_by_key(|(our, _)| our.len()) else {
            return line.to_owned();
        };
        let Some(less) = our.strip_prefix(own) else { return line.to_owned() };
        let less = self.converted(less);
        let kept = their.strip_suffix(less.as_str()).unwrap_or("");
        format!("{kept}{rest}")
    }

    /// A stretch of indentation in the file's unit.
    fn converted(&self, stretch: &str) -> String {
        let tabs = self.known.values().any(|their| their.contains('\t'));
        let spaces = self.known.values().any(|their| their.contains(' '));
        let pairs: Vec<(usize, usize)> =
            self.known.iter().map(|(our, their)| (width(our), width(their))).collect();
        let (low, high) = (pairs.iter().min(), pairs.iter().max());
        let scaled = match (low, high) {
            (Some(low), Some(high)) if high.0 > low.0 => {
                width(stretch) * high.1.saturating_sub(low.1) / (high.0 - low.0)
            }
            // One depth only: where the file has tabs and the answer spaces, one level is 4 spaces, or 2.
            _ if tabs && !stretch.contains('\t') => {
                let unit = if width(stretch).is_multiple_of(4) { 4 } else { 2 };
                width(stretch).div_ceil(unit) * 4
            }
            _ => width(stretch),
        };
        if tabs && !spaces {
            "\t".repeat(scaled.div_ceil(4))
        } else if stretch.contains('\t') && !tabs && !spaces {
            stretch.to_owned()
        } else {
            " ".repeat(scaled)
        }
    }
}
