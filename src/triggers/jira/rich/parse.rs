//! Reads Markdown.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use super::{Block, DEEPEST, Inline, Item, MOST_TEXT, Style, cut, row, tidy};

/// What is under way, from the outermost to the innermost.
enum Open {
    Root(Vec<Block>),
    Quote(Vec<Block>),
    List(Option<u64>, Vec<Item>),
    Item(Item),
    /// A block that is deeper than blocks may be: what it holds goes to the one around it.
    Passed,
}

/// Reads a Markdown text of at most [`MOST_TEXT`] bytes; what is longer is cut off. HTML is text like any other.
pub fn parse(markdown: &str) -> Vec<Block> {
    let text: String = cut(markdown, MOST_TEXT).replace("\r\n", "\n").replace(['\r', '\0'], "\n");
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut reader = Reader { open: vec![Open::Root(Vec::new())], ..Reader::default() };
    for event in Parser::new_ext(&text, options) {
        reader.take(event);
    }
    reader.end_line();
    while reader.open.len() > 1 {
        reader.close();
    }
    match reader.open.pop() {
        Some(Open::Root(blocks)) => blocks,
        _ => Vec::new(),
    }
}

#[derive(Default)]
struct Reader {
    open: Vec<Open>,
    line: Vec<Inline>,
    heading: Option<u8>,
    strong: usize,
    emphasis: usize,
    strike: usize,
    links: Vec<String>,
    code: Option<(Option<String>, String)>,
    table: Option<Vec<Vec<Vec<Inline>>>>,
}

impl Reader {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => match &mut self.code {
                Some((_, code)) => code.push_str(&text),
                None => self.text(&text, false),
            },
            Event::Code(text) => self.text(&text, true),
            Event::Html(text) | Event::InlineHtml(text) => self.html(&text),
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => {
                self.text(&text, false)
            }
            Event::SoftBreak => self.text(" ", false),
            Event::HardBreak => match &self.table {
                Some(_) => self.text(" ", false),
                None => self.line.push(Inline::Break),
            },
            Event::Rule => {
                self.end_line();
                self.push(Block::Rule);
            }
            Event::TaskListMarker(done) => {
                if let Some(Open::Item(item)) = self.open.last_mut() {
                    item.done = Some(done);
                }
            }
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph | Tag::HtmlBlock => self.end_line(),
            Tag::Heading { level, .. } => {
                self.end_line();
                self.heading = Some(level as u8);
            }
            Tag::CodeBlock(kind) => {
                self.end_line();
                let language = match kind {
                    CodeBlockKind::Fenced(info) => language(&info),
                    CodeBlockKind::Indented => None,
                };
                self.code = Some((language, String::new()));
            }
            Tag::BlockQuote(_) => self.begin(Open::Quote(Vec::new())),
            Tag::List(start) => self.begin(Open::List(start, Vec::new())),
            Tag::Item => self.begin(Open::Item(Item::default())),
            Tag::Table(_) => {
                self.end_line();
                self.table = Some(Vec::new());
            }
            Tag::TableHead | Tag::TableRow => {
                if let Some(rows) = &mut self.table {
                    rows.push(Vec::new());
                }
            }
            Tag::Emphasis => self.emphasis += 1,
            Tag::Strong => self.strong += 1,
            Tag::Strikethrough => self.strike += 1,
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => self.links.push(dest_url.to_string()),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph | TagEnd::HtmlBlock | TagEnd::Heading(_) => self.end_line(),
            TagEnd::CodeBlock => {
                if let Some((language, mut text)) = self.code.take() {
                    if text.ends_with('\n') {
                        text.pop();
                    }
                    self.push(Block::Code { language, text });
                }
            }
            TagEnd::BlockQuote(_) | TagEnd::List(_) | TagEnd::Item => {
                self.end_line();
                self.close();
            }
            TagEnd::TableCell => {
                let cell = tidy(std::mem::take(&mut self.line));
                if let Some(row) = self.table.as_mut().and_then(|rows| rows.last_mut()) {
                    row.push(cell);
                }
            }
            TagEnd::Table => {
                if let Some(rows) = self.table.take() {
                    self.push(Block::Table(rows));
                }
            }
            TagEnd::Emphasis => self.emphasis = self.emphasis.saturating_sub(1),
            TagEnd::Strong => self.strong = self.strong.saturating_sub(1),
            TagEnd::Strikethrough => self.strike = self.strike.saturating_sub(1),
            TagEnd::Link | TagEnd::Image => drop(self.links.pop()),
            _ => {}
        }
    }

    fn text(&mut self, text: &str, code: bool) {
        let link = self.links.first().filter(|link| is_address(link)).cloned();
        let style = match code {
            true => Style { code, link, ..Style::default() },
            false => Style {
                strong: self.strong > 0,
                emphasis: self.emphasis > 0,
                strike: self.strike > 0,
                code,
                link,
            },
        };
        self.line.push(Inline::Text(text.replace('\n', " "), style));
    }

    /// HTML is shown as it was written, line by line.
    fn html(&mut self, text: &str) {
        for (number, line) in text.trim_end_matches('\n').split('\n').enumerate() {
            if number > 0 && self.table.is_none() {
                self.line.push(Inline::Break);
            }
            self.text(line, false);
        }
        if text.ends_with('\n') && self.table.is_none() {
            self.line.push(Inline::Break);
        }
    }

    /// Ends the line under way, if there is one.
    fn end_line(&mut self) {
        let line = tidy(std::mem::take(&mut self.line));
        match self.heading.take() {
            Some(level) => self.push(Block::Heading(level, row(line))),
            None if !line.is_empty() => self.push(Block::Paragraph(line)),
            None => {}
        }
    }

    fn begin(&mut self, open: Open) {
        self.end_line();
        let whole = self.open.iter().filter(|open| !matches!(open, Open::Passed)).count();
        // An item needs its list: both are passed, or neither.
        let list_is_passed = matches!(open, Open::Item(_)) && matches!(self.open.last(), Some(Open::Passed));
        let is_item = matches!(open, Open::Item(_));
        self.open.push(if list_is_passed || (whole > 2 * DEEPEST && !is_item) { Open::Passed } else { open });
    }

    fn close(&mut self) {
        match self.open.pop() {
            Some(Open::Quote(blocks)) => self.push(Block::Quote(blocks)),
            Some(Open::List(start, items)) => self.push(Block::List { start, items }),
            Some(Open::Item(item)) => {
                if let Some(Open::List(_, items)) = self.open.last_mut() {
                    items.push(item);
                }
            }
            Some(Open::Passed) => {}
            Some(root @ Open::Root(_)) => self.open.push(root),
            None => {}
        }
    }

    fn push(&mut self, block: Block) {
        for open in self.open.iter_mut().rev() {
            match open {
                Open::Root(blocks) | Open::Quote(blocks) => return blocks.push(block),
                Open::Item(item) => return item.blocks.push(block),
                Open::List(_, items) => {
                    return items.push(Item { done: None, blocks: vec![block] });
                }
                Open::Passed => {}
            }
        }
    }
}

/// The first word of what stands behind a fence.
fn language(info: &str) -> Option<String> {
    let word = info.split_whitespace().next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-_.#".contains(c);
    let word: String = word.chars().filter(|c| plain(*c)).take(40).collect();
    (!word.is_empty()).then_some(word)
}

/// Whether trackers take it as the address of a link. Others, such as `javascript:`, are not followed.
pub(super) fn is_address(url: &str) -> bool {
    let known = ["https://", "http://", "mailto:"];
    let lower = url.get(..8.min(url.len())).map(str::to_ascii_lowercase).unwrap_or_default();
    url.len() <= 2_000
        && known.iter().any(|scheme| lower.starts_with(scheme) && url.len() > scheme.len())
        && !url.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '\\' | '|'))
}
