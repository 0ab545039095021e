//! Writes Markdown.

use std::fmt::Write;

use super::{Block, Inline, Item, Style};

/// The text as Markdown. Whatever reads it as Markdown finds the same blocks, words, code and links; a style that could not be told apart from
/// its neighbours is left out.
pub fn render(blocks: &[Block]) -> String {
    let mut out = String::new();
    write_blocks(&mut out, blocks, false);
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

fn write_blocks(out: &mut String, blocks: &[Block], tight: bool) {
    let mut last: Option<&Block> = None;
    let mut other = false;
    for block in blocks {
        if matches!(block, Block::Paragraph(line) if line.is_empty()) {
            continue;
        }
        if last.is_some() {
            out.push_str(if tight { "\n" } else { "\n\n" });
        }
        // Two lists next to each other would be one.
        other = match (last, block) {
            (Some(Block::List { start: was, .. }), Block::List { start: is, .. })
                if was.is_some() == is.is_some() =>
            {
                !other
            }
            _ => false,
        };
        write_block(out, block, other);
        last = Some(block);
    }
}

fn write_block(out: &mut String, block: &Block, other: bool) {
    match block {
        Block::Paragraph(line) => out.push_str(&write_line(line, Place::Paragraph)),
        Block::Heading(level, line) => {
            let text = write_line(line, Place::Row);
            let _ = write!(out, "{} {text}", "#".repeat(usize::from(*level).clamp(1, 6)));
        }
        Block::Code { language, text } => {
            let longest = longest_run(text, '`').max(2);
            let fence = "`".repeat(longest + 1);
            let _ = write!(out, "{fence}{}\n{text}", language.as_deref().unwrap_or_default());
            if !text.is_empty() {
                out.push('\n');
            }
            out.push_str(&fence);
        }
        Block::Quote(blocks) => {
            let mut inner = String::new();
            write_blocks(&mut inner, blocks, false);
            let lines: Vec<String> = inner
                .split('\n')
                .map(|line| if line.is_empty() { ">".to_owned() } else { format!("> {line}") })
                .collect();
            out.push_str(&lines.join("\n"));
        }
        Block::List { start, items } => write_list(out, *start, items, other),
        Block::Table(rows) => write_table(out, rows),
        Block::Rule => out.push_str("***"),
    }
}

fn write_list(out: &mut String, start: Option<u64>, items: &[Item], other: bool) {
    // Not every list may follow a line at once.
    let follows = |start: Option<u64>, items: &[Item]| {
        start.is_none_or(|start| start == 1)
            && items.first().is_some_and(|item| matches!(item.blocks.first(), Some(Block::Paragraph(_))))
    };
    let short = |item: &Item| {
        item.blocks.iter().enumerate().all(|(at, block)| match block {
            Block::Paragraph(_) => at == 0,
            Block::List { start, items } => at == 1 && follows(*start, items),
            _ => false,
        })
    };
    let tight = items.iter().all(short);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push_str(if tight { "\n" } else { "\n\n" });
        }
        let mut marker = match (start, other) {
            // More than nine digits are no number of a list.
            (Some(start), other) => {
                let number = start.saturating_add(at as u64).min(999_999_999);
                format!("{number}{} ", if other { ')' } else { '.' })
            }
            (None, true) => "* ".to_owned(),
            (None, false) => "- ".to_owned(),
        };
        let indent = " ".repeat(marker.len());
        if let Some(done) = item.done.filter(|_| item.says_something()) {
            marker.push_str(if done { "[x] " } else { "[ ] " });
        }
        let mut inner = String::new();
        write_blocks(&mut inner, &item.blocks, tight);
        for (number, line) in inner.split('\n').enumerate() {
            match (number, line.is_empty()) {
                (0, _) => out.push_str(format!("{marker}{line}").trim_end()),
                (_, true) => out.push('\n'),
                (_, false) => {
                    let _ = write!(out, "\n{indent}{line}");
                }
            }
        }
    }
}

fn write_table(out: &mut String, rows: &[Vec<Vec<Inline>>]) {
    let width = rows.first().map_or(0, Vec::len).max(1);
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            out.push('\n');
        }
        out.push('|');
        for column in 0..width {
            let cell = row.get(column).map(|cell| write_line(cell, Place::Cell)).unwrap_or_default();
            let _ = write!(out, " {cell} |");
        }
        if at == 0 {
            let _ = write!(out, "\n|{}", " --- |".repeat(width));
        }
    }
}

/// Where a line stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// By itself; it may have several lines.
    Paragraph,
    /// In a heading: one line.
    Row,
    /// In a table: one line, in which bars end the cell.
    Cell,
}

fn write_line(line: &[Inline], place: Place) -> String {
    let mut out = String::new();
    let mut at = 0;
    while at < line.len() {
        match &line[at] {
            Inline::Break if place != Place::Paragraph => out.push(' '),
            Inline::Break => out.push_str("\\\n"),
            Inline::Text(_, Style { link: Some(link), .. }) => {
                // All that leads to the same place is one link.
                let same = |part: &&Inline| matches!(part, Inline::Text(_, style) if style.link.as_ref() == Some(link));
                let count = line[at..].iter().take_while(same).count();
                out.push('[');
                for part in at..at + count {
                    write_part(&mut out, line, part, place);
                }
                let _ = write!(out, "](<{}>)", link.replace('|', "%7C"));
                at += count;
                continue;
            }
            Inline::Text(..) => write_part(&mut out, line, at, place),
        }
        at += 1;
    }
    out
}

fn write_part(out: &mut String, line: &[Inline], at: usize, place: Place) {
    let Inline::Text(text, style) = &line[at] else { return };
    if style.code {
        return write_code(out, text, place);
    }
    let next = line.get(at + 1).and_then(|part| match part {
        Inline::Text(text, style) if style.link.is_some() || style.code => text.chars().next().map(|_| '['),
        Inline::Text(text, style) if style.is_plain() => text.chars().next(),
        Inline::Text(..) => Some('*'),
        Inline::Break => None,
    });
    let mut marks = String::new();
    let alone = |c: Option<char>| {
        c.is_none_or(|c| c.is_whitespace() || (c.is_ascii_punctuation() && !"*_~\\`".contains(c)))
    };
    if alone(out.chars().next_back()) && alone(next) {
        for (on, mark) in [(style.strike, "~~"), (style.strong, "**"), (style.emphasis, "*")] {
            if on {
                marks.push_str(mark);
            }
        }
    }
    out.push_str(&marks);
    write_text(out, text);
    out.extend(marks.chars().rev());
}

fn write_text(out: &mut String, text: &str) {
    let begins = out.is_empty() || out.ends_with('\n');
    let mut digits = begins;
    let mut left = text.chars().count();
    for (at, c) in text.chars().enumerate() {
        left -= 1;
        let special = match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '~' | '|' | '&' => true,
            // A mark at the end of a heading would be taken for its end.
            '#' => begins && at == 0 || left == 0,
            '+' | '-' | '=' | ':' => begins && at == 0,
            '.' | ')' => digits && at > 0,
            // A link may follow, which would become an image.
            '!' => left == 0,
            _ => false,
        };
        digits &= c.is_ascii_digit();
        if special {
            out.push('\\');
        }
        out.push(c);
    }
}

fn write_code(out: &mut String, text: &str, place: Place) {
    // A cell's bar has to be escaped, and then a backslash before it could not be told from it.
    if place == Place::Cell && text.contains('|') {
        return write_text(out, text);
    }
    let fence = "`".repeat(longest_run(text, '`') + 1);
    let blank = text.chars().all(|c| c == ' ');
    let pad = text.starts_with('`')
        || text.ends_with('`')
        || (!blank && text.starts_with(' ') && text.ends_with(' '));
    let pad = if pad { " " } else { "" };
    let _ = write!(out, "{fence}{pad}{text}{pad}{fence}");
}

fn longest_run(text: &str, of: char) -> usize {
    let (mut longest, mut run) = (0, 0);
    for c in text.chars() {
        run = if c == of { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}
