//! Repairs of texts that do not parse: a colon, a bracket, a quote, an indentation, a keyword.

use std::sync::LazyLock;

use regex::Regex;

use super::super::edit::{Candidate, Edit};
use super::super::finding::Finding;
use super::super::index::{Index, line_span};
use super::super::nearest::nearest;
use crate::patch::{RelPath, Tree};

const KEYWORDS: &[&str] = &[
    "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else",
    "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not",
    "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[A-Za-z_]\w*").expect("a constant pattern"));

struct Draft<'a> {
    file: &'a RelPath,
    text: &'a str,
    cause: String,
    all: &'a mut Vec<Candidate>,
}

impl Draft<'_> {
    fn add(
        &mut self,
        rank: u32,
        title: impl Into<String>,
        start: usize,
        end: usize,
        text: impl Into<String>,
    ) {
        let edits = vec![Edit::new(self.file, start, end, text)];
        let title = title.into();
        self.all.push(Candidate { title, source: "python", rank, cause: self.cause.clone(), edits });
    }

    /// The bytes of a line's code: without its indentation, its comment and white space at the end.
    fn code(&self, line: u32) -> Option<(usize, usize)> {
        let (start, end) = line_span(self.text, line)?;
        let content = &self.text[start..end];
        let indent = content.len() - content.trim_start().len();
        let mut quote = None;
        let mut stop = content.len();
        for (at, c) in content.char_indices() {
            match (quote, c) {
                (None, '\'' | '"') => quote = Some(c),
                (Some(open), c) if open == c => quote = None,
                (None, '#') => {
                    stop = at;
                    break;
                }
                _ => {}
            }
        }
        let code = content[..stop].trim_end().len();
        Some((start + indent.min(code), start + code))
    }
}

/// Adds what could be tried for a syntax error.
pub(in crate::fixers::codefix) fn candidates(
    tree: Tree<'_>,
    finding: &Finding,
    index: &Index,
    all: &mut Vec<Candidate>,
) {
    let Some(file) = &finding.file else { return };
    let Some(text) = tree.read_text(file) else { return };
    let mut draft = Draft { file, text: &text, cause: finding.cause(), all };
    let message = finding.message.as_str();
    let _ = index;
    indentation(&mut draft, finding);
    brackets(&mut draft, finding);
    if message.contains("unterminated") && message.contains("string")
        || message.contains("EOL while scanning")
    {
        strings(&mut draft, finding);
    }
    if message.contains("f-string") {
        f_strings(&mut draft, finding);
    }
    if message.contains("Missing parentheses in call to") {
        print_call(&mut draft, finding.line);
    }
    if message.contains("instead of '='") || message.contains("cannot assign to") {
        equals(&mut draft, finding.line);
    }
    if message.contains("forgot a comma") || message.starts_with("invalid syntax") {
        comma(&mut draft, finding);
    }
    for line in [finding.line, finding.line.saturating_sub(1)] {
        colon(&mut draft, line, message);
        words(&mut draft, line);
    }
}

/// A line that opens a block and has no colon.
fn colon(draft: &mut Draft<'_>, line: u32, message: &str) {
    static OPENS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^(?:async\s+)?(?:def|class|if|elif|else|for|while|try|except|finally|with|match|case)\b")
            .expect("a constant pattern")
    });
    let Some((start, end)) = draft.code(line) else { return };
    let code = &draft.text[start..end];
    if OPENS.is_match(code) && !code.ends_with(':') {
        let rank = if message.contains("':'") { 10 } else { 60 };
        draft.add(rank, "the block's first line gets its colon", end, end, ":");
    }
}

fn brackets(draft: &mut Draft<'_>, finding: &Finding) {
    let message = finding.message.as_str();
    let closing = |open: char| match open {
        '(' => ")",
        '[' => "]",
        _ => "}",
    };
    let mut quoted = message.split('\'').skip(1).step_by(2).filter_map(|quoted| quoted.chars().next());
    if message.contains("was never closed") {
        let Some(open) = quoted.next() else { return };
        let close = closing(open);
        for (further, line) in (finding.line..finding.line.saturating_add(12)).enumerate() {
            let Some((start, end)) = draft.code(line) else { break };
            let code = &draft.text[start..end];
            let title = format!("`{open}` is closed");
            let rank = 20 + 3 * further as u32;
            if let Some(head) = code.strip_suffix(':').or(code.strip_suffix(',')) {
                draft.add(rank, title.clone(), start + head.len(), start + head.len(), close);
            }
            draft.add(rank + 1, title.clone(), end, end, close);
            // Before another bracket that closes what was opened earlier.
            let tail = code.len() - code.trim_end_matches([')', ']', '}', ':', ',']).len();
            for back in 1..=tail.min(4) {
                draft.add(rank + 2, title.clone(), end - back, end - back, close);
            }
            // `f(a + b` may mean `f(a) + b`: before the operators that follow the bracket, the last one first.
            if further == 0 && finding.span.0 >= start {
                static OPERATOR: LazyLock<Regex> = LazyLock::new(|| {
                    Regex::new(r" (?:[-+*/%<>]|//|\*\*|==|!=|<=|>=|and|or|if|for|in|is) ")
                        .expect("a constant pattern")
                });
                let behind = finding.span.0.min(end);
                let spots: Vec<usize> = OPERATOR
                    .find_iter(&draft.text[behind..end])
                    .map(|found| behind + found.start())
                    .collect();
                for (order, at) in spots.into_iter().rev().take(4).enumerate() {
                    draft.add(rank + 1 + order as u32 / 2, title.clone(), at, at, close);
                }
            }
        }
    } else if message.contains("does not match opening parenthesis") {
        let (Some(_), Some(open)) = (quoted.next(), quoted.next()) else { return };
        let at = finding.span.0;
        if draft.text[at..].starts_with([')', ']', '}']) {
            let title = format!("the bracket closes `{open}`");
            draft.add(20, title.clone(), at, at + 1, closing(open));
            draft.add(25, title, at, at, closing(open));
        }
    } else if message.starts_with("unmatched") {
        let at = finding.span.0;
        if draft.text[at..].starts_with([')', ']', '}']) {
            draft.add(20, "a bracket that nothing opens is taken away", at, at + 1, "");
        }
    }
}

fn strings(draft: &mut Draft<'_>, finding: &Finding) {
    let at = finding.span.0;
    let Some(quote) = draft.text[at..].chars().find(|c| matches!(c, '\'' | '"')) else { return };
    let Some((_, end)) = line_span(draft.text, finding.line) else { return };
    let title = "the string gets its end";
    let content = &draft.text[at.min(end)..end];
    let tail = content.len() - content.trim_end_matches([')', ']', '}', ':', ',', ' ']).len();
    // `print("hello)` means `print("hello")`: before the brackets that close the line first.
    for (order, back) in (0..=tail.min(6)).rev().enumerate() {
        draft.add(20 + order as u32, title, end - back, end - back, quote.to_string());
    }
    // Any quote of the line may be the end of a string that lost its beginning: `f(b"a", c")`.
    let Some((start, _)) = line_span(draft.text, finding.line) else { return };
    let line = draft.text[start..end].to_owned();
    for (found, _) in line.match_indices(quote).take(12) {
        let before = &line[..found];
        let word = before.len() - before.trim_end_matches(|c: char| !" (,[{=:\"'".contains(c)).len();
        if word > 0 && !before[..found - word].ends_with(['"', '\'']) {
            let begin = start + found - word;
            if line[found - word..].starts_with(['b', 'f', 'r', 'u']) {
                draft.add(25, "the string gets its beginning", begin + 1, begin + 1, quote.to_string());
            }
            draft.add(26, "the string gets its beginning", begin, begin, quote.to_string());
        }
    }
    if let Some(comma) = content.find([',', ')']) {
        draft.add(30, title, at + comma, at + comma, quote.to_string());
    }
}

fn f_strings(draft: &mut Draft<'_>, finding: &Finding) {
    let Some((start, end)) = line_span(draft.text, finding.line) else { return };
    let line = &draft.text[start..end];
    static HOLE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r#"\{([A-Za-z_][\w.\[\]()]*)([^}\w.])"#).expect("a constant pattern"));
    static CLOSED: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r#"([^{\w.])([A-Za-z_][\w.]*)\}"#).expect("a constant pattern"));
    for hole in HOLE.captures_iter(line) {
        if let Some(name) = hole.get(1) {
            draft.add(20, "the replacement field is closed", start + name.end(), start + name.end(), "}");
        }
    }
    for closed in CLOSED.captures_iter(line) {
        if let Some(name) = closed.get(2) {
            draft.add(22, "the replacement field is opened", start + name.start(), start + name.start(), "{");
        }
    }
    // The same quotes inside and outside: inside they become the other ones.
    let Some(at) = line.find("f'").or_else(|| line.find("f\"")) else { return };
    let quote = if line[at + 1..].starts_with('\'') { '\'' } else { '"' };
    let other = if quote == '\'' { "\"" } else { "'" };
    let body = at + 2;
    let (Some(open), Some(last)) = (line[body..].find('{'), line.rfind(quote)) else { return };
    let inner: Vec<usize> =
        line.match_indices(quote).map(|(i, _)| i).filter(|&i| i > body + open && i < last).collect();
    if !inner.is_empty() {
        let edits = inner.iter().map(|&i| Edit::new(draft.file, start + i, start + i + 1, other)).collect();
        draft.all.push(Candidate {
            title: "the quotes inside the f-string become other ones than those around it".into(),
            source: "python",
            rank: 24,
            cause: draft.cause.clone(),
            edits,
        });
    }
}

fn print_call(draft: &mut Draft<'_>, line: u32) {
    let Some((start, end)) = draft.code(line) else { return };
    let code = &draft.text[start..end];
    let Some(name) = WORD.find(code) else { return };
    let rest = code[name.end()..].trim_start();
    let gap = code.len() - rest.len();
    let edits = vec![
        Edit::new(draft.file, start + name.end(), start + gap, "("),
        Edit::new(draft.file, end, end, ")"),
    ];
    let title = format!("`{}` is called with parentheses", name.as_str());
    draft.all.push(Candidate { title, source: "python", rank: 15, cause: draft.cause.clone(), edits });
}

fn equals(draft: &mut Draft<'_>, line: u32) {
    let Some((start, end)) = draft.code(line) else { return };
    let code = &draft.text[start..end];
    for (at, _) in code.match_indices('=') {
        let lonely = !code[..at].ends_with(['=', '!', '<', '>', ':', '+', '-', '*', '/', '%'])
            && !code[at + 1..].starts_with('=');
        if lonely {
            draft.add(20, "a comparison is written `==`", start + at, start + at + 1, "==");
        }
    }
}

fn comma(draft: &mut Draft<'_>, finding: &Finding) {
    static GAP: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"([\w)\]}'"])([ \t]+|[ \t]*\r?\n[ \t]*)[\w(\[{'"]"#).expect("a constant pattern")
    });
    let (from, to) = finding.span;
    let Some(part) = draft.text.get(from..to.min(from + 2000).max(from)) else { return };
    for (order, gap) in GAP.captures_iter(part).take(6).enumerate() {
        if let Some(before) = gap.get(1) {
            let at = from + before.end();
            draft.add(30 + order as u32, "a comma between two items", at, at, ",");
        }
    }
    if let Some((start, end)) = draft.code(finding.line.saturating_sub(1)) {
        let code = &draft.text[start..end];
        if !code.is_empty() && !code.ends_with([',', '(', '[', '{', ':']) {
            draft.add(45, "a comma at the end of an item", end, end, ",");
        }
    }
}

/// Keywords that are misspelt or another language's.
fn words(draft: &mut Draft<'_>, line: u32) {
    let Some((start, end)) = draft.code(line) else { return };
    let code = draft.text[start..end].to_owned();
    for (foreign, python) in [("else if ", "elif "), ("&&", "and"), ("||", "or"), ("elseif ", "elif ")] {
        for (at, _) in code.match_indices(foreign) {
            let title = format!("`{}` is written `{}`", foreign.trim(), python.trim());
            draft.add(40, title, start + at, start + at + foreign.len(), python);
        }
    }
    for word in WORD.find_iter(&code).take(40) {
        if KEYWORDS.contains(&word.as_str()) {
            continue;
        }
        let near = nearest(word.as_str(), KEYWORDS.iter().map(|keyword| (*keyword, 0)), 2);
        for (keyword, far) in near.into_iter().filter(|(_, far)| *far <= 20) {
            // The first word of a line is the likeliest keyword.
            let rank = if word.start() == 0 { 40 } else { 70 };
            let title = format!("`{}` is written `{keyword}`", word.as_str());
            draft.add(rank + far, title, start + word.start(), start + word.end(), keyword);
        }
    }
}

fn indentation(draft: &mut Draft<'_>, finding: &Finding) {
    let message = finding.message.as_str();
    let indented = message.contains("expected an indented block");
    if !indented
        && !message.contains("unindent")
        && !message.contains("unexpected indent")
        && finding.code != "TabError"
    {
        return;
    }
    let Some((start, end)) = line_span(draft.text, finding.line) else { return };
    let line = &draft.text[start..end];
    let own = line.len() - line.trim_start().len();
    let mut indents: Vec<&str> = Vec::new();
    let mut number = finding.line;
    while number > 1 && indents.len() < 6 {
        number -= 1;
        let Some((from, to)) = line_span(draft.text, number) else { break };
        let before = &draft.text[from..to];
        if before.trim().is_empty() {
            continue;
        }
        let indent = &before[..before.len() - before.trim_start().len()];
        if !indents.contains(&indent) {
            indents.push(indent);
        }
        if indent.is_empty() {
            break;
        }
    }
    let unit = if draft.text.contains("\n\t") {
        "\t".to_owned()
    } else {
        " ".repeat(smallest_indent(draft.text).unwrap_or(4))
    };
    if indented {
        let deeper = format!("{}{unit}", indents.first().unwrap_or(&""));
        draft.add(10, "the block is indented", start, start + own, deeper.clone());
        block(draft, finding.line, own, &deeper);
        return;
    }
    for (order, indent) in indents.iter().enumerate() {
        draft.add(
            10 + order as u32,
            "the line is indented as its neighbours are",
            start,
            start + own,
            *indent,
        );
    }
    if let Some(first) = indents.first() {
        let deeper = format!("{first}{unit}");
        draft.add(20, "the line is indented as part of the block above", start, start + own, deeper);
    }
}

/// All following lines of the same indentation with it.
fn block(draft: &mut Draft<'_>, line: u32, own: usize, deeper: &str) {
    let mut edits = Vec::new();
    for number in line..line.saturating_add(200) {
        let Some((start, end)) = line_span(draft.text, number) else { break };
        let content = &draft.text[start..end];
        if content.trim().is_empty() {
            continue;
        }
        let indent = content.len() - content.trim_start().len();
        let top = ["def ", "class ", "@", "import ", "from "]
            .iter()
            .any(|word| content[indent..].starts_with(word));
        if indent < own || (number > line && indent == own && top) {
            break;
        }
        edits.push(Edit::new(draft.file, start, start + own, deeper));
    }
    if edits.len() > 1 {
        let cause = draft.cause.clone();
        draft.all.push(Candidate {
            title: "the whole block is indented".into(),
            source: "python",
            rank: 11,
            cause,
            edits,
        });
    }
}

fn smallest_indent(text: &str) -> Option<usize> {
    let indents = text.lines().filter(|line| !line.trim().is_empty());
    indents.map(|line| line.len() - line.trim_start_matches(' ').len()).filter(|width| *width > 1).min()
}
