//! Reads edits out of a model's free text.

use super::header::{self, Header};
use super::{Edit, LONGEST_ANSWER, Parsed, Refused, edit_path, unified};

/// The longest explanation that is kept, in bytes.
const LONGEST_EXPLANATION: usize = 8 << 10;

/// Reads an answer.
///
/// # Errors
/// [`Refused`] where there is nothing to do in it, a block is not whole or could be read in two ways, or a path is not allowed.
pub fn parse(answer: &str) -> Result<Parsed, Refused> {
    if answer.len() > LONGEST_ANSWER {
        return Err(Refused::TooLong);
    }
    if answer.trim().is_empty() {
        return Err(Refused::Empty);
    }
    let mut lines: Vec<&str> =
        answer.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
    if lines.last() == Some(&"") {
        lines.pop();
    }
    let mut reader =
        Reader { lines, at: 0, floor: 0, last: None, prose: Vec::new(), parsed: Parsed::default() };
    reader.read()?;
    let Reader { prose, mut parsed, .. } = reader;
    parsed.explanation = explanation(&prose);
    if parsed.edits.is_empty() && parsed.unfixable.is_none() && parsed.questions.is_empty() {
        return Err(Refused::NoEdits);
    }
    Ok(parsed)
}

struct Reader<'a> {
    lines: Vec<&'a str>,
    at: usize,
    /// The first line that may be a header of the next block: what lies above belongs to something else.
    floor: usize,
    /// The path of the last block, for those that follow without one.
    last: Option<String>,
    prose: Vec<(usize, &'a str)>,
    parsed: Parsed,
}

impl<'a> Reader<'a> {
    fn read(&mut self) -> Result<(), Refused> {
        while let Some(&line) = self.lines.get(self.at) {
            if let Some(opener) = opener(line) {
                self.block(&opener)?;
            } else if let Some((edits, next)) = unified::read(&self.lines, self.at)? {
                self.parsed.edits.extend(edits);
                self.at = next;
                self.floor = next;
                self.last = None;
            } else {
                if !self.command(line)? {
                    self.prose.push((self.at, line));
                }
                self.at += 1;
            }
        }
        Ok(())
    }

    /// Reads the block that starts at the current line.
    fn block(&mut self, opener: &Opener<'_>) -> Result<(), Refused> {
        let start = self.at;
        let header = match opener.path {
            Some(path) => Some(Header { path: path.to_owned(), whole: false }),
            None => self.header(),
        };
        let (path, whole) = match (header, &self.last) {
            (Some(header), _) => (header.path, header.whole),
            (None, Some(last)) => (last.clone(), false),
            (None, None) => {
                return Err(Refused::Malformed(format!(
                    "the block at line {} of the answer has no path; write the file's path alone on the line above \
                     `<<<<<<< SEARCH`",
                    start + 1
                )));
            }
        };
        let (divider, end) = borders(&self.lines, start, opener.count)?;
        let search = section(&self.lines[start + 1..divider], opener.indent);
        let replace = section(&self.lines[divider + 1..end], opener.indent);
        let rel = edit_path(&path)?;
        self.parsed.edits.push(if search.trim().is_empty() {
            if whole {
                Edit::Whole { path: rel, content: replace }
            } else {
                Edit::Create { path: rel, content: replace }
            }
        } else {
            Edit::Replace { path: rel, search, replace }
        });
        self.last = Some(path);
        self.at = end + 1;
        self.floor = self.at;
        Ok(())
    }

    /// The header above the current line: the nearest line that is neither blank nor a fence.
    fn header(&mut self) -> Option<Header> {
        for index in (self.floor..self.at).rev() {
            let line = self.lines[index];
            if line.trim().is_empty() {
                continue;
            }
            let found = match header::fence(line) {
                Some(info) => match header::fence_path(info) {
                    Some(found) => Some(found),
                    None => continue,
                },
                None => header::parse_header(line, self.last.is_none()),
            };
            if found.is_some() {
                self.prose.retain(|(at, _)| *at != index);
            }
            return found;
        }
        None
    }

    /// Reads a line that is a command by itself. `false` where it is prose.
    fn command(&mut self, line: &str) -> Result<bool, Refused> {
        let text = line.trim().trim_start_matches(['-', '*', '`', ' ']);
        let is = |word: &str| text.strip_prefix(word).map(|rest| rest.trim_start_matches(['*', '`']));
        if let Some(rest) = is("UNFIXABLE").and_then(|rest| rest.strip_prefix(':')) {
            let reason = self.spoken(rest);
            self.parsed.unfixable.get_or_insert(reason);
            return Ok(true);
        }
        if let Some(rest) = is("QUESTION").and_then(|rest| rest.strip_prefix(':')) {
            let question = self.spoken(rest);
            if !question.is_empty() {
                self.parsed.questions.push(question);
            }
            return Ok(true);
        }
        let command = |word: &str| {
            let rest = text.strip_prefix(word)?;
            let rest = rest.strip_prefix("**").unwrap_or(rest);
            let rest = rest.strip_prefix(':').unwrap_or(rest);
            // A line that is wholly in back quotes has its last one at the end of the operand.
            let whole_quoted = line.trim().starts_with('`') && rest.matches('`').count() % 2 == 1;
            let rest = if whole_quoted { rest.strip_suffix('`').unwrap_or(rest) } else { rest };
            rest.starts_with([' ', '\t']).then(|| rest.trim())
        };
        if let Some(path) = command("DELETE").and_then(header::operand) {
            self.parsed.edits.push(Edit::Delete { path: edit_path(&path)? });
            self.floor = self.at + 1;
            return Ok(true);
        }
        if let Some(rest) = command("RENAME")
            && let Some((from, to)) = renaming(rest)
            && let (Some(from), Some(to)) = (header::operand(from), header::operand(to))
        {
            self.parsed.edits.push(Edit::Rename { from: edit_path(&from)?, to: edit_path(&to)? });
            self.floor = self.at + 1;
            return Ok(true);
        }
        Ok(false)
    }

    /// The words after a label, with the lines that continue them up to a blank one.
    fn spoken(&mut self, first: &str) -> String {
        let mut words = first.trim_matches(['*', ' ', '\t']).to_owned();
        while let Some(&next) = self.lines.get(self.at + 1) {
            let stop = next.trim().is_empty()
                || opener(next).is_some()
                || header::fence(next).is_some()
                || ["QUESTION", "UNFIXABLE", "DELETE ", "RENAME "]
                    .iter()
                    .any(|word| next.trim_start_matches(['-', '*', ' ']).starts_with(word));
            if stop || words.len() > LONGEST_EXPLANATION {
                break;
            }
            words.push(' ');
            words.push_str(next.trim());
            self.at += 1;
        }
        cut(words.trim(), LONGEST_EXPLANATION).to_owned()
    }
}

/// The two names of a renaming. Between back quotes an arrow is part of a name.
fn renaming(rest: &str) -> Option<(&str, &str)> {
    const ARROWS: [&str; 3] = ["->", "→", "=>"];
    let quoted = ARROWS.iter().filter(|_| rest.starts_with('`')).find_map(|arrow| {
        let closing = rest.find(&format!("` {arrow} `"))?;
        Some((&rest[..=closing], &rest[closing + arrow.len() + 3..]))
    });
    quoted.or_else(|| ARROWS.iter().find_map(|arrow| rest.split_once(arrow)))
}

/// A line that opens a block.
struct Opener<'a> {
    count: usize,
    indent: &'a str,
    path: Option<&'a str>,
}

fn opener(line: &str) -> Option<Opener<'_>> {
    let text = line.trim();
    let count = run(text, '<')?;
    let rest = text[count..].trim_start();
    let word = ["SEARCH", "ORIGINAL", "search", "Search"].iter().find(|word| rest.starts_with(**word))?;
    let tail = rest[word.len()..].trim_matches([' ', ':', '\t']);
    let indent = &line[..line.len() - line.trim_start().len()];
    if tail.is_empty() {
        return Some(Opener { count, indent, path: None });
    }
    let named = rest[word.len()..].starts_with([' ', ':', '\t'])
        && !tail.contains(char::is_whitespace)
        && tail.contains(['/', '.'])
        && !tail.contains('<');
    named.then_some(Opener { count, indent, path: Some(tail.trim_matches('`')) })
}

fn is_divider(line: &str) -> Option<usize> {
    let text = line.trim();
    let count = run(text, '=')?;
    (text.len() == count).then_some(count)
}

fn is_end(line: &str) -> Option<usize> {
    let text = line.trim();
    let count = run(text, '>')?;
    matches!(text[count..].trim(), "" | "REPLACE" | "UPDATED" | "replace" | "Replace").then_some(count)
}

/// The number of marker characters of a line that could be taken for a marker.
pub(super) fn marker_length(line: &str) -> Option<usize> {
    opener(line).map(|opener| opener.count).or_else(|| is_divider(line)).or_else(|| is_end(line))
}

/// How often `mark` stands at the start, if that is 5 to 9 times.
fn run(text: &str, mark: char) -> Option<usize> {
    let count = text.chars().take_while(|&c| c == mark).count();
    (5..=9).contains(&count).then_some(count)
}

/// Finds the divider and the end of the block opened at `start` by `count` characters. Markers of the opener's own length win;
/// another length counts only where there is none.
fn borders(lines: &[&str], start: usize, count: usize) -> Result<(usize, usize), Refused> {
    let tight = between(lines, start, |found| found == count);
    let found = match tight {
        Ok(found) => Ok(found),
        Err(Torn::Ambiguous(..)) => tight,
        Err(_) => between(lines, start, |_| true).or(tight),
    };
    found.map_err(|torn| {
        Refused::Malformed(match torn {
            Torn::NoDivider => format!(
                "the block at line {} of the answer has no `=======` between SEARCH and REPLACE; write the block again",
                start + 1
            ),
            Torn::NoEnd => format!(
                "the block at line {} of the answer does not end with `>>>>>>> REPLACE`: the answer was cut off or a \
                 marker is missing; write all edits again, shorter if need be",
                start + 1
            ),
            Torn::Ambiguous(first, second) => format!(
                "the block at line {} of the answer has two dividers (lines {} and {}); if the file itself has \
                 such a line, give this block markers of nine characters (`<<<<<<<<< SEARCH`, `=========`, \
                 `>>>>>>>>> REPLACE`)",
                start + 1,
                first + 1,
                second + 1
            ),
        })
    })
}

enum Torn {
    NoDivider,
    NoEnd,
    Ambiguous(usize, usize),
}

fn between(lines: &[&str], start: usize, fits: impl Fn(usize) -> bool) -> Result<(usize, usize), Torn> {
    let mut divider = None;
    for (index, line) in lines.iter().enumerate().skip(start + 1) {
        if is_divider(line).is_some_and(&fits) {
            match divider {
                None => divider = Some(index),
                Some(first) => return Err(Torn::Ambiguous(first, index)),
            }
        } else if is_end(line).is_some_and(&fits) {
            return divider.map(|divider| (divider, index)).ok_or(Torn::NoDivider);
        } else if opener(line).is_some_and(|opener| fits(opener.count)) {
            break;
        }
    }
    Err(if divider.is_some() { Torn::NoEnd } else { Torn::NoDivider })
}

/// A block's lines as text, without the indentation that the whole block has (it stands in a list, say).
fn section(lines: &[&str], indent: &str) -> String {
    let indented =
        !indent.is_empty() && lines.iter().all(|line| line.trim().is_empty() || line.starts_with(indent));
    let mut text = String::with_capacity(lines.iter().map(|line| line.len() + 1).sum());
    for line in lines {
        text.push_str(if indented { line.strip_prefix(indent).unwrap_or("") } else { line });
        text.push('\n');
    }
    text
}

fn explanation(prose: &[(usize, &str)]) -> String {
    let mut text = String::new();
    let mut blank = true;
    for (_, line) in prose {
        let line = line.trim_end();
        if header::fence(line).is_some() {
            continue;
        }
        if line.is_empty() && blank {
            continue;
        }
        blank = line.is_empty();
        text.push_str(line);
        text.push('\n');
        if text.len() > LONGEST_EXPLANATION {
            break;
        }
    }
    cut(text.trim(), LONGEST_EXPLANATION).to_owned()
}

/// At most `most` bytes of `text`, cut between characters.
fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
