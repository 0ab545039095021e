//! The markup of Jira's own servers (Data Center), whose API speaks no other format.

use std::fmt::Write;
use std::sync::LazyLock;

use regex::Regex;

use super::{Block, Inline, Item, MOST_TEXT, cut};

/// The text in the markup.
pub fn write(blocks: &[Block]) -> String {
    let mut out = String::new();
    for block in blocks {
        if !out.is_empty() {
            out.push('\n');
        }
        write_block(&mut out, block, "");
    }
    out
}

fn write_block(out: &mut String, block: &Block, bullets: &str) {
    match block {
        Block::Paragraph(line) => {
            let _ = writeln!(out, "{}", line_of(line));
        }
        Block::Heading(level, line) => {
            let _ = writeln!(out, "h{level}. {}", line_of(line).replace('\n', " "));
        }
        Block::Code { language, text } => {
            let language = language.as_ref().map(|name| format!(":{name}")).unwrap_or_default();
            // Nothing in it may end it.
            let text = text.replace("{code", "{ code").replace("{noformat", "{ noformat");
            let _ = writeln!(out, "{{code{language}}}\n{text}\n{{code}}");
        }
        Block::Quote(inner) => {
            out.push_str("{quote}\n");
            inner.iter().for_each(|block| write_block(out, block, ""));
            out.push_str("{quote}\n");
        }
        Block::List { start, items } => {
            let bullets = format!("{bullets}{}", if start.is_some() { '#' } else { '*' });
            items.iter().for_each(|item| write_item(out, item, &bullets));
        }
        Block::Table(rows) => {
            for (at, row) in rows.iter().enumerate() {
                let bar = if at == 0 { "||" } else { "|" };
                for cell in row {
                    let text = line_of(cell).replace('\n', " ");
                    let _ = write!(out, "{bar}{}", if text.is_empty() { " ".to_owned() } else { text });
                }
                let _ = writeln!(out, "{bar}");
            }
        }
        Block::Rule => out.push_str("----\n"),
    }
}

fn write_item(out: &mut String, item: &Item, bullets: &str) {
    let mark = match item.done {
        Some(true) => "(/) ",
        Some(false) => "(x) ",
        None => "",
    };
    let mut blocks = item.blocks.iter();
    match blocks.next() {
        Some(Block::Paragraph(line) | Block::Heading(_, line)) => {
            let _ = writeln!(out, "{bullets} {mark}{}", line_of(line).replace('\n', " \\\\ "));
        }
        Some(first) => {
            let _ = writeln!(out, "{bullets} {mark}");
            write_block(out, first, bullets);
        }
        None => {
            let _ = writeln!(out, "{bullets} {mark}");
        }
    }
    blocks.for_each(|block| write_block(out, block, bullets));
}

fn line_of(line: &[Inline]) -> String {
    let mut out = String::new();
    for part in line {
        match part {
            Inline::Break => out.push('\n'),
            Inline::Text(text, style) => {
                let marks: String = match style.code {
                    true => String::new(),
                    false => [(style.strong, '*'), (style.emphasis, '_'), (style.strike, '-')]
                        .iter()
                        .filter_map(|(on, mark)| on.then_some(*mark))
                        .collect(),
                };
                let closing: String = marks.chars().rev().collect();
                let text = match style.code {
                    true => format!("{{{{{}}}}}", escaped(text)),
                    false => format!("{marks}{}{closing}", escaped(text)),
                };
                match &style.link {
                    Some(link) => {
                        let _ = write!(out, "[{text}|{link}]");
                    }
                    None => out.push_str(&text),
                }
            }
        }
    }
    out
}

/// Text in which every character stands for itself.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for c in text.chars() {
        let mark = match c {
            '{' | '}' | '[' | ']' | '|' | '*' | '_' | '^' | '~' | '!' | '\\' => true,
            '-' | '+' | '#' => before.is_whitespace(),
            _ => false,
        };
        if mark {
            out.push('\\');
        }
        out.push(c);
        before = c;
    }
    out
}

/// The markup as Markdown, line by line. What is not understood stays as it is written.
pub fn read(markup: &str) -> String {
    let mut out = String::new();
    let mut block: Option<&str> = None;
    let mut quoted = false;
    for line in cut(markup, MOST_TEXT).replace("\r\n", "\n").split('\n') {
        let trimmed = line.trim();
        if let Some(name) = block {
            if trimmed == name {
                block = None;
                out.push_str("````\n");
            } else {
                let _ = writeln!(out, "{line}");
            }
            continue;
        }
        if let Some((name, language)) = opens(trimmed) {
            block = Some(name);
            let _ = writeln!(out, "````{language}");
            continue;
        }
        if trimmed == "{quote}" {
            quoted = !quoted;
            out.push('\n');
            continue;
        }
        if quoted {
            out.push_str("> ");
        }
        let _ = writeln!(out, "{}", read_line(line));
    }
    if block.is_some() {
        out.push_str("````\n");
    }
    out
}

/// What ends the block that a line begins, and its language.
fn opens(line: &str) -> Option<(&'static str, &str)> {
    for (name, end) in [("{code", "{code}"), ("{noformat", "{noformat}")] {
        let Some(rest) = line.strip_prefix(name).and_then(|rest| rest.strip_suffix('}')) else { continue };
        let language = rest.strip_prefix(':').unwrap_or_default();
        let plain = language.chars().all(|c| c.is_ascii_alphanumeric() || "+-_#".contains(c));
        if rest.is_empty() || rest.starts_with(':') {
            return Some((end, if plain { language } else { "" }));
        }
    }
    None
}

fn read_line(line: &str) -> String {
    static HEADING: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^\s*h([1-6])\.\s+").expect("right"));
    static BULLETS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^\s*([*#-]{1,12})\s+").expect("right"));
    if let Some(found) = HEADING.captures(line) {
        let level = found[1].parse().unwrap_or(1);
        return format!("{} {}", "#".repeat(level), read_words(&line[found[0].len()..]));
    }
    if let Some(rest) = line.trim_start().strip_prefix("bq. ") {
        return format!("> {}", read_words(rest));
    }
    if line.trim() == "----" {
        return "***".to_owned();
    }
    if let Some(found) = BULLETS.captures(line) {
        let marks = &found[1];
        let marker = if marks.ends_with('#') { "1." } else { "-" };
        let rest = &line[found[0].len()..];
        let (mark, rest) = match (rest.strip_prefix("(/) "), rest.strip_prefix("(x) ")) {
            (Some(rest), _) => ("[x] ", rest),
            (_, Some(rest)) => ("[ ] ", rest),
            _ => ("", rest),
        };
        return format!("{}{marker} {mark}{}", "   ".repeat(marks.len() - 1), read_words(rest));
    }
    read_words(line)
}

fn read_words(text: &str) -> String {
    static MARKS: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
        let rule = |pattern: &str, to| (Regex::new(pattern).expect("right"), to);
        vec![
            rule(r"\{\{([^{}\n]+)\}\}", "`$1`"),
            rule(r"\[([^\[\]|\n]+)\|((?:https?|mailto):[^\]\s|]+)\]", "[$1]($2)"),
            rule(r"\[((?:https?|mailto):[^\]\s|]+)\]", "<$1>"),
            rule(r"(^|[\s(])\*(\S(?:[^*\n]*\S)?)\*([\s).,:;!?]|$)", "$1**$2**$3"),
            rule(r"(^|[\s(])_(\S(?:[^_\n]*\S)?)_([\s).,:;!?]|$)", "$1*$2*$3"),
            rule(r"\[~([^\]\s]+)\]", "@$1"),
            rule(r"\\([{}\[\]|*_^~!+#-])", "$1"),
        ]
    });
    MARKS.iter().fold(text.to_owned(), |text, (pattern, to)| pattern.replace_all(&text, *to).into_owned())
}
