//! Rich text as trackers have it, between Markdown and what each of them speaks.
//!
//! Everything here is a stranger's: depth and size are bounded, and what is not understood stays as text.

pub mod adf;
mod parse;
mod render;
pub mod wiki;

#[cfg(test)]
mod tests;

pub use parse::parse;
pub use render::render;

/// The deepest that blocks stand in blocks; what is deeper stands at this depth.
const DEEPEST: usize = 12;
/// The most characters of one text that are read.
pub const MOST_TEXT: usize = 256 << 10;

/// One block of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// A paragraph.
    Paragraph(Vec<Inline>),
    /// A heading with its level, 1 to 6.
    Heading(u8, Vec<Inline>),
    /// Text that is shown as it is, without its last line end.
    Code {
        /// The language, one word.
        language: Option<String>,
        /// The text.
        text: String,
    },
    /// What somebody else said, or what stands in a box.
    Quote(Vec<Block>),
    /// A list; numbered from `start` on, if it is.
    List {
        /// The first number.
        start: Option<u64>,
        /// Its items.
        items: Vec<Item>,
    },
    /// Rows of cells; the first row is the head.
    Table(Vec<Vec<Vec<Inline>>>),
    /// A line across.
    Rule,
}

/// An item of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Item {
    /// Whether it is done, where it is a task.
    pub done: Option<bool>,
    /// What it says.
    pub blocks: Vec<Block>,
}

impl Item {
    /// Whether it begins with words.
    fn says_something(&self) -> bool {
        matches!(self.blocks.first(), Some(Block::Paragraph(line)) if !line.is_empty())
    }
}

/// A part of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inline {
    /// Text of one style, without line ends.
    Text(String, Style),
    /// A line end that is meant.
    Break,
}

/// How a text stands out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Style {
    /// Bold.
    pub strong: bool,
    /// Italic.
    pub emphasis: bool,
    /// Struck through.
    pub strike: bool,
    /// Code; nothing but a link goes with it.
    pub code: bool,
    /// Where it leads.
    pub link: Option<String>,
}

impl Style {
    fn is_plain(&self) -> bool {
        *self == Style::default()
    }
}

impl Inline {
    /// Text without a style.
    pub fn plain(text: impl Into<String>) -> Self {
        Inline::Text(text.into(), Style::default())
    }
}

/// The same line in the one way in which it is written here: neighbours of one style are one text, no style begins or ends with a space, and
/// nothing is empty.
fn tidy(line: Vec<Inline>) -> Vec<Inline> {
    let mut spread = Vec::new();
    for part in line {
        match part {
            Inline::Break => spread.push(Inline::Break),
            Inline::Text(text, style) => {
                let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                if style.code || style.is_plain() {
                    spread.push(Inline::Text(text, style));
                    continue;
                }
                let blank = |c: char| c.is_whitespace();
                let inner = text.trim_matches(blank);
                let start = text.len() - text.trim_start_matches(blank).len();
                let (before, after) = match inner.is_empty() {
                    true => (text.as_str(), ""),
                    false => (&text[..start], &text[start + inner.len()..]),
                };
                spread.push(Inline::plain(before));
                spread.push(Inline::Text(inner.to_owned(), style));
                spread.push(Inline::plain(after));
            }
        }
    }
    let mut out: Vec<Inline> = Vec::new();
    for part in spread {
        match (out.last_mut(), part) {
            (_, Inline::Text(text, _)) if text.is_empty() => {}
            (Some(Inline::Text(last, had)), Inline::Text(text, style)) if *had == style => {
                last.push_str(&text)
            }
            (_, part) => out.push(part),
        }
    }
    trim_lines(out)
}

/// The same in one row.
fn row(line: Vec<Inline>) -> Vec<Inline> {
    let spaced = |part| if part == Inline::Break { Inline::plain(" ") } else { part };
    tidy(line.into_iter().map(spaced).collect())
}

/// Drops the spaces at both ends of every line, and line ends at both ends of the whole.
fn trim_lines(line: Vec<Inline>) -> Vec<Inline> {
    let mut out: Vec<Inline> = Vec::new();
    for part in line {
        let begins = matches!(out.last(), None | Some(Inline::Break));
        match part {
            Inline::Break => {
                trim_end(&mut out);
                if !out.is_empty() {
                    out.push(Inline::Break);
                }
            }
            Inline::Text(text, style) if begins && !style.code => {
                let text = text.trim_start();
                if !text.is_empty() {
                    out.push(Inline::Text(text.to_owned(), style));
                }
            }
            part => out.push(part),
        }
    }
    trim_end(&mut out);
    while out.last() == Some(&Inline::Break) {
        out.pop();
        trim_end(&mut out);
    }
    out
}

fn trim_end(line: &mut Vec<Inline>) {
    while let Some(Inline::Text(text, style)) = line.last_mut() {
        if style.code {
            return;
        }
        text.truncate(text.trim_end().len());
        if !text.is_empty() {
            return;
        }
        line.pop();
    }
}

/// At most `most` bytes of a text, cut between characters.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}
