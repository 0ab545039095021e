//! Atlassian's document format, which Jira's cloud speaks: a tree of JSON.

use serde_json::{Map, Value, json};

use super::parse::is_address;
use super::{Block, DEEPEST, Inline, Item, MOST_TEXT, Style, cut, row, tidy};

/// The most nodes of a document that are read.
const MOST_NODES: usize = 20_000;
/// The deepest that nodes stand in nodes.
const MOST_DEPTH: usize = 60;

/// The text as a document. What the format cannot hold where it stands is put as the format has it: a heading in a list as a bold line, a
/// table in one as a line for each row.
pub fn write(blocks: &[Block]) -> Value {
    json!({ "version": 1, "type": "doc", "content": fit(blocks).iter().map(block).collect::<Vec<_>>() })
}

/// The same text as far as a document can hold it.
pub fn fit(blocks: &[Block]) -> Vec<Block> {
    let mut out = Vec::new();
    for block in blocks {
        match block {
            Block::Quote(inner) => out.push(Block::Quote(fit_inside(inner, 1))),
            Block::List { start, items } => out.push(fit_list(*start, items, 1)),
            block => out.push(block.clone()),
        }
    }
    out
}

fn fit_list(start: Option<u64>, items: &[Item], depth: usize) -> Block {
    let item = |item: &Item| {
        let mut item = Item { done: item.done, blocks: fit_inside(&item.blocks, depth + 1) };
        item.done = item.done.or_else(|| taken_mark(&mut item.blocks)).filter(|_| item.says_something());
        item
    };
    Block::List { start, items: items.iter().map(item).collect() }
}

/// Quotes hold paragraphs, lists and code; so do items of lists.
fn fit_inside(blocks: &[Block], depth: usize) -> Vec<Block> {
    let mut out = Vec::new();
    for block in blocks {
        match block {
            Block::Heading(_, line) => {
                let strong = |part: &Inline| match part {
                    Inline::Text(text, style) if !style.code => {
                        Inline::Text(text.clone(), Style { strong: true, ..style.clone() })
                    }
                    part => part.clone(),
                };
                let line = tidy(line.iter().map(strong).collect());
                if !line.is_empty() {
                    out.push(Block::Paragraph(line));
                }
            }
            Block::Quote(inner) => out.extend(fit_inside(inner, depth)),
            Block::List { start, items } if depth < DEEPEST => out.push(fit_list(*start, items, depth)),
            Block::List { items, .. } => {
                items.iter().for_each(|item| out.extend(fit_inside(&item.blocks, depth)));
            }
            Block::Table(rows) => {
                for row in rows {
                    let cells = row.iter().filter(|cell| !cell.is_empty()).cloned();
                    let cells: Vec<Vec<Inline>> = cells.collect();
                    let line = tidy(cells.join(&Inline::plain(" | ")));
                    if !line.is_empty() {
                        out.push(Block::Paragraph(line));
                    }
                }
            }
            Block::Rule => {}
            Block::Paragraph(_) | Block::Code { .. } => out.push(block.clone()),
        }
    }
    out
}

fn block(block: &Block) -> Value {
    match block {
        Block::Paragraph(line) => paragraph(line),
        Block::Heading(level, line) => {
            json!({ "type": "heading", "attrs": { "level": level }, "content": inlines(line) })
        }
        Block::Code { language, text } => {
            let mut node = Map::from_iter([("type".to_owned(), json!("codeBlock"))]);
            if let Some(language) = language {
                node.insert("attrs".into(), json!({ "language": language }));
            }
            if !text.is_empty() {
                node.insert("content".into(), json!([{ "type": "text", "text": text }]));
            }
            Value::Object(node)
        }
        Block::Quote(inner) => json!({ "type": "blockquote", "content": at_least_one(inner) }),
        Block::List { start, items } => {
            let items: Vec<Value> = items.iter().map(item).collect();
            match start {
                Some(start) => {
                    json!({ "type": "orderedList", "attrs": { "order": start }, "content": items })
                }
                None => json!({ "type": "bulletList", "content": items }),
            }
        }
        Block::Table(rows) => {
            let width = rows.first().map_or(0, Vec::len).max(1);
            let row = |(at, row): (usize, &Vec<Vec<Inline>>)| {
                let kind = if at == 0 { "tableHeader" } else { "tableCell" };
                let empty = Vec::new();
                let cell = |column: usize| {
                    let line = row.get(column).unwrap_or(&empty);
                    json!({ "type": kind, "attrs": {}, "content": [paragraph(line)] })
                };
                json!({ "type": "tableRow", "content": (0..width).map(cell).collect::<Vec<_>>() })
            };
            json!({ "type": "table", "content": rows.iter().enumerate().map(row).collect::<Vec<_>>() })
        }
        Block::Rule => json!({ "type": "rule" }),
    }
}

fn item(item: &Item) -> Value {
    let mut blocks = item.blocks.clone();
    if let (Some(done), Some(Block::Paragraph(line))) = (item.done, blocks.first_mut()) {
        line.insert(0, Inline::plain(if done { DONE } else { TO_DO }));
        *line = tidy(std::mem::take(line));
    }
    // An item begins with a paragraph or with code.
    let begins = matches!(blocks.first(), Some(Block::Paragraph(_) | Block::Code { .. }));
    let mut content = at_least_one(&blocks);
    if !begins && !blocks.is_empty() {
        content.insert(0, paragraph(&[]));
    }
    json!({ "type": "listItem", "content": content })
}

/// How tasks look in a list of the format, which has none among other items.
const TO_DO: &str = "[ ] ";
const DONE: &str = "[x] ";

fn at_least_one(blocks: &[Block]) -> Vec<Value> {
    match blocks {
        [] => vec![paragraph(&[])],
        blocks => blocks.iter().map(block).collect(),
    }
}

fn paragraph(line: &[Inline]) -> Value {
    json!({ "type": "paragraph", "content": inlines(line) })
}

fn inlines(line: &[Inline]) -> Vec<Value> {
    line.iter()
        .map(|part| match part {
            Inline::Break => json!({ "type": "hardBreak" }),
            Inline::Text(text, style) => {
                let named = [
                    (style.strong, "strong"),
                    (style.emphasis, "em"),
                    (style.strike, "strike"),
                    (style.code, "code"),
                ];
                let mut marks: Vec<Value> =
                    named.iter().filter(|(on, _)| *on).map(|(_, name)| json!({ "type": name })).collect();
                if let Some(link) = &style.link {
                    marks.push(json!({ "type": "link", "attrs": { "href": link } }));
                }
                match marks.is_empty() {
                    true => json!({ "type": "text", "text": text }),
                    false => json!({ "type": "text", "text": text, "marks": marks }),
                }
            }
        })
        .collect()
}

/// Reads a document. Nodes that are not known are kept as the text that they hold.
pub fn read(document: &Value) -> Vec<Block> {
    let mut reader = Reader { nodes: MOST_NODES, room: MOST_TEXT };
    reader.blocks(document, 0)
}

struct Reader {
    /// Nodes that may still be read.
    nodes: usize,
    /// Bytes of text that may still be read.
    room: usize,
}

impl Reader {
    fn may(&mut self, depth: usize) -> bool {
        self.nodes = self.nodes.saturating_sub(1);
        self.nodes > 0 && depth < MOST_DEPTH
    }

    fn blocks(&mut self, parent: &Value, depth: usize) -> Vec<Block> {
        let mut out = Vec::new();
        let mut line = Vec::new();
        for node in parent["content"].as_array().into_iter().flatten() {
            if !self.may(depth) {
                break;
            }
            if is_inline(node) {
                self.inline(node, &mut line, depth);
                continue;
            }
            end(&mut line, &mut out);
            self.block(node, depth + 1, &mut out);
        }
        end(&mut line, &mut out);
        out
    }

    fn block(&mut self, node: &Value, depth: usize, out: &mut Vec<Block>) {
        let attrs = &node["attrs"];
        match node["type"].as_str().unwrap_or_default() {
            "paragraph" | "caption" => {
                let mut line = self.line(node, depth);
                end(&mut line, out);
            }
            "heading" => {
                let level = attrs["level"].as_u64().and_then(|level| u8::try_from(level).ok()).unwrap_or(1);
                out.push(Block::Heading(level.clamp(1, 6), row(self.line(node, depth))));
            }
            "codeBlock" => {
                let language = attrs["language"].as_str().and_then(|name| name.split_whitespace().next());
                let plain = |name: &&str| {
                    name.len() <= 40 && name.chars().all(|c| c.is_ascii_alphanumeric() || "+-_.#".contains(c))
                };
                let text = self.words(node, depth).replace("\r\n", "\n").replace(['\r', '\0'], "\n");
                let language = language.filter(plain).map(str::to_owned);
                out.push(Block::Code { language, text });
            }
            "blockquote" | "panel" => out.push(Block::Quote(self.blocks(node, depth))),
            "bulletList" | "decisionList" => out.push(self.list(None, node, depth)),
            "orderedList" => {
                let start = attrs["order"].as_u64().unwrap_or(1).min(999_999_999);
                out.push(self.list(Some(start), node, depth));
            }
            "taskList" => out.push(self.list(None, node, depth)),
            "table" => {
                let rows = self.rows(node, depth);
                if !rows.is_empty() {
                    out.push(Block::Table(rows));
                }
            }
            "rule" => out.push(Block::Rule),
            "blockCard" | "embedCard" => {
                let mut line = Vec::new();
                self.inline(node, &mut line, depth);
                end(&mut line, out);
            }
            _ => {
                if let Some(title) = attrs["title"].as_str().filter(|title| !title.trim().is_empty()) {
                    let style = Style { strong: true, ..Style::default() };
                    let mut line = vec![Inline::Text(self.taken(title), style)];
                    end(&mut line, out);
                }
                if node["content"].is_array() {
                    out.extend(self.blocks(node, depth));
                } else {
                    let mut line = Vec::new();
                    self.unknown(node, &mut line);
                    end(&mut line, out);
                }
            }
        }
    }

    fn list(&mut self, start: Option<u64>, node: &Value, depth: usize) -> Block {
        let mut items: Vec<Item> = Vec::new();
        for child in node["content"].as_array().into_iter().flatten() {
            if !self.may(depth) {
                break;
            }
            match child["type"].as_str().unwrap_or_default() {
                // A list of tasks holds those below a task beside it.
                "taskList" => {
                    let inner = self.list(None, child, depth + 1);
                    match items.last_mut() {
                        Some(last) => last.blocks.push(inner),
                        None => items.push(Item { done: None, blocks: vec![inner] }),
                    }
                }
                kind => {
                    let mut item = Item { done: None, blocks: self.blocks(child, depth + 1) };
                    item.done = match kind {
                        "taskItem" => Some(child["attrs"]["state"] == "DONE"),
                        _ => taken_mark(&mut item.blocks),
                    };
                    item.done = item.done.filter(|_| item.says_something());
                    items.push(item);
                }
            }
        }
        Block::List { start, items }
    }

    fn rows(&mut self, node: &Value, depth: usize) -> Vec<Vec<Vec<Inline>>> {
        let mut rows: Vec<Vec<Vec<Inline>>> = Vec::new();
        for row in node["content"].as_array().into_iter().flatten() {
            if !self.may(depth) {
                break;
            }
            let mut cells = Vec::new();
            for cell in row["content"].as_array().into_iter().flatten() {
                if !self.may(depth) {
                    break;
                }
                let blocks = self.blocks(cell, depth + 2);
                cells.push(tidy(one_line(&blocks)));
            }
            if !cells.is_empty() {
                rows.push(cells);
            }
        }
        let width = rows.iter().map(Vec::len).max().unwrap_or_default();
        rows.iter_mut().for_each(|row| row.resize(width, Vec::new()));
        rows
    }

    fn line(&mut self, node: &Value, depth: usize) -> Vec<Inline> {
        let mut line = Vec::new();
        for child in node["content"].as_array().into_iter().flatten() {
            if !self.may(depth) {
                break;
            }
            self.inline(child, &mut line, depth + 1);
        }
        line
    }

    fn inline(&mut self, node: &Value, line: &mut Vec<Inline>, depth: usize) {
        let attrs = &node["attrs"];
        let text = |name: &str| attrs[name].as_str();
        match node["type"].as_str().unwrap_or_default() {
            "text" => {
                let style = style_of(node);
                let said = self.taken(node["text"].as_str().unwrap_or_default());
                line.push(Inline::Text(said, style));
            }
            "hardBreak" => line.push(Inline::Break),
            "mention" => {
                let name =
                    text("text").or(text("id")).unwrap_or("somebody").trim_start_matches('@').to_owned();
                line.push(Inline::plain(self.taken(&format!("@{name}"))));
            }
            "emoji" => {
                let said = text("text").or(text("shortName")).unwrap_or_default().to_owned();
                line.push(Inline::plain(self.taken(&said)));
            }
            "status" => {
                let said = format!("[{}]", text("text").unwrap_or_default());
                line.push(Inline::plain(self.taken(&said)));
            }
            "date" => {
                let millis = text("timestamp")
                    .and_then(|text| text.parse::<i64>().ok())
                    .or(attrs["timestamp"].as_i64());
                let at = millis.and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
                let said = at.map(|at| at.strftime("%Y-%m-%d").to_string()).unwrap_or_default();
                line.push(Inline::plain(self.taken(&said)));
            }
            "inlineCard" | "blockCard" | "embedCard" => {
                let url = text("url").or(attrs["data"]["url"].as_str()).unwrap_or_default();
                let style =
                    Style { link: Some(url.to_owned()).filter(|url| is_address(url)), ..Style::default() };
                let said = self.taken(url);
                line.push(Inline::Text(said, style));
            }
            _ if node["content"].is_array() => line.extend(self.line(node, depth)),
            _ => self.unknown(node, line),
        }
    }

    /// Keeps what an unknown node says of itself.
    fn unknown(&mut self, node: &Value, line: &mut Vec<Inline>) {
        let attrs = &node["attrs"];
        let said = [&node["text"], &attrs["text"], &attrs["alt"], &attrs["title"], &attrs["url"]];
        let said = said.iter().find_map(|value| value.as_str()).unwrap_or_default();
        let kind = node["type"].as_str().unwrap_or("node");
        let text = match kind {
            "media" | "mediaInline" => format!("[attachment {said}]").replace(" ]", "]"),
            kind if said.is_empty() => format!("[{kind}]"),
            _ => said.to_owned(),
        };
        line.push(Inline::plain(self.taken(&text)));
    }

    /// The words of a node, without styles.
    fn words(&mut self, node: &Value, depth: usize) -> String {
        let mut out = String::new();
        for child in node["content"].as_array().into_iter().flatten() {
            if !self.may(depth) {
                break;
            }
            match child["text"].as_str() {
                Some(text) => out.push_str(&self.taken(text)),
                None if child["type"] == "hardBreak" => out.push('\n'),
                None => out.push_str(&self.words(child, depth + 1)),
            }
        }
        out
    }

    /// As much of a text as there is room for.
    fn taken(&mut self, text: &str) -> String {
        let text = cut(text, self.room);
        self.room -= text.len();
        text.to_owned()
    }
}

fn is_inline(node: &Value) -> bool {
    let known = [
        "text",
        "hardBreak",
        "mention",
        "emoji",
        "status",
        "date",
        "inlineCard",
        "mediaInline",
        "inlineExtension",
        "placeholder",
    ];
    node["type"].as_str().is_some_and(|kind| known.contains(&kind))
}

fn end(line: &mut Vec<Inline>, out: &mut Vec<Block>) {
    let line = tidy(std::mem::take(line));
    if !line.is_empty() {
        out.push(Block::Paragraph(line));
    }
}

/// Takes the mark of a task off an item.
fn taken_mark(blocks: &mut [Block]) -> Option<bool> {
    let Some(Block::Paragraph(line)) = blocks.first_mut() else { return None };
    let Some(Inline::Text(text, style)) = line.first_mut() else { return None };
    if !style.is_plain() {
        return None;
    }
    let (done, rest) = match text.strip_prefix(DONE) {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix(TO_DO)?),
    };
    *text = rest.to_owned();
    let whole = std::mem::take(line);
    *line = tidy(whole);
    Some(done)
}

/// What a cell holds, in one line.
fn one_line(blocks: &[Block]) -> Vec<Inline> {
    let mut out = Vec::new();
    for block in blocks {
        if !out.is_empty() {
            out.push(Inline::plain(" "));
        }
        match block {
            Block::Paragraph(line) | Block::Heading(_, line) => out.extend(row(line.clone())),
            Block::Code { text, .. } => {
                let style = Style { code: true, ..Style::default() };
                out.push(Inline::Text(text.replace('\n', " "), style));
            }
            Block::Quote(inner) => out.extend(one_line(inner)),
            Block::List { items, .. } => {
                for item in items {
                    out.push(Inline::plain(" • "));
                    out.extend(one_line(&item.blocks));
                }
            }
            Block::Table(rows) => rows.iter().flatten().for_each(|cell| {
                out.extend(cell.iter().cloned());
                out.push(Inline::plain(" "));
            }),
            Block::Rule => {}
        }
    }
    out
}

fn style_of(node: &Value) -> Style {
    let mut style = Style::default();
    for mark in node["marks"].as_array().into_iter().flatten().take(16) {
        match mark["type"].as_str().unwrap_or_default() {
            "strong" => style.strong = true,
            "em" => style.emphasis = true,
            "strike" => style.strike = true,
            "code" => style.code = true,
            "link" => {
                style.link = mark["attrs"]["href"].as_str().filter(|url| is_address(url)).map(str::to_owned);
            }
            _ => {}
        }
    }
    if style.code {
        style = Style { code: true, link: style.link, ..Style::default() };
    }
    style
}
