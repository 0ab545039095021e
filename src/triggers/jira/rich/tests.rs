use serde_json::{Value, json};

use super::*;

#[path = "../../../../tests/support/adf.rs"]
mod schema;

/// The same without what makes text stand out, links and code excepted.
fn unstyled(blocks: &[Block]) -> Vec<Block> {
    let line = |line: &[Inline]| {
        let bare = |part: &Inline| match part {
            Inline::Text(text, style) => Inline::Text(
                text.clone(),
                Style { code: style.code, link: style.link.clone(), ..Style::default() },
            ),
            Inline::Break => Inline::Break,
        };
        tidy(line.iter().map(bare).collect())
    };
    let item = |item: &Item| Item { done: item.done, blocks: unstyled(&item.blocks) };
    blocks
        .iter()
        .map(|block| match block {
            Block::Paragraph(text) => Block::Paragraph(line(text)),
            Block::Heading(level, text) => Block::Heading(*level, line(text)),
            Block::Quote(inner) => Block::Quote(unstyled(inner)),
            Block::List { start, items } => {
                Block::List { start: *start, items: items.iter().map(item).collect() }
            }
            Block::Table(rows) => {
                Block::Table(rows.iter().map(|row| row.iter().map(|cell| line(cell)).collect()).collect())
            }
            block => block.clone(),
        })
        .collect()
}

/// Markdown → document → Markdown → document, and what all of them have to agree on.
fn goes_round(markdown: &str) -> (Vec<Block>, Vec<Block>) {
    let there = adf::fit(&parse(markdown));
    let document = adf::write(&there);
    assert_eq!(schema::faults(&document), Vec::<String>::new(), "{document}");
    let back = adf::read(&document);
    assert_eq!(back, there, "{document}");
    let again = adf::fit(&parse(&render(&back)));
    (there, again)
}

#[test]
fn a_mark_that_begins_and_ends_a_text_is_escaped_once() {
    for markdown in ["#```](https://x.y/)```", "# a #b#", "\\#", "# \\#"] {
        let (there, again) = goes_round(markdown);
        assert_eq!(again, there, "{markdown}: {}", render(&there));
    }
}

#[test]
fn a_text_with_everything_goes_round() {
    let markdown = "# Plan *now*\n\nA **bold** and ~~old~~ `x | y` [link](https://example.org/a?b=c) with\\\na break, \
                    2 \\* 3, snake_case, <b>html</b> & co.\n\n- one\n  1. deep\n  2. deeper\n- [x] done\n- [ ] open\n\n\
                    3. third\n\n   > quoted\n\n```rust\nfn main() {}\n```\n\n| a | b \\| c |\n| --- | --- |\n| 1 | `2` |\n\n\
                    > said\n> - so\n\n***\n\nend!\n";
    let (there, again) = goes_round(markdown);
    assert_eq!(again, there, "{}", render(&there));
    let text = adf::write(&there).to_string();
    for node in
        ["heading", "orderedList", "bulletList", "codeBlock", "table", "blockquote", "rule", "hardBreak"]
    {
        assert!(text.contains(&format!("\"{node}\"")), "{node}: {text}");
    }
}

#[test]
fn what_a_list_cannot_hold_becomes_what_it_can() {
    let (there, again) = goes_round("- # Title\n\n  | a | b |\n  | - | - |\n  | c | d |\n\n  > q\n");
    assert_eq!(again, there);
    let shown = render(&there);
    assert!(shown.contains("**Title**") && shown.contains("a \\| b") && shown.contains("c \\| d"), "{shown}");
}

#[test]
fn documents_of_jira_are_read() {
    let document = json!({"type": "doc", "version": 1, "content": [
        {"type": "panel", "attrs": {"panelType": "info"}, "content": [{"type": "paragraph", "content": [
            {"type": "text", "text": "Hello "}, {"type": "mention", "attrs": {"id": "1", "text": "@Anna"}},
            {"type": "text", "text": " see "}, {"type": "inlineCard", "attrs": {"url": "https://example.org/x"}},
            {"type": "emoji", "attrs": {"shortName": ":smile:", "text": "😀"}},
            {"type": "status", "attrs": {"text": "OPEN"}}, {"type": "date", "attrs": {"timestamp": "1700000000000"}}]}]},
        {"type": "taskList", "content": [
            {"type": "taskItem", "attrs": {"state": "DONE"}, "content": [{"type": "text", "text": "a"}]},
            {"type": "taskItem", "attrs": {"state": "TODO"}, "content": [{"type": "text", "text": "b"}]},
            {"type": "taskList", "content": [{"type": "taskItem", "attrs": {"state": "TODO"}, "content": [{"type": "text", "text": "c"}]}]}]},
        {"type": "expand", "attrs": {"title": "More"}, "content": [{"type": "paragraph", "content": [{"type": "text", "text": "inside"}]}]},
        {"type": "mediaSingle", "content": [{"type": "media", "attrs": {"alt": "shot.png"}}]},
        {"type": "hologram", "attrs": {"text": "future"}},
        {"type": "hologram"}]});
    let text = render(&adf::read(&document));
    for words in [
        "> Hello @Anna see [https://example.org/x](<https://example.org/x>)",
        "😀",
        "\\[OPEN\\]2023-11-14",
        "- [x] a",
        "- [ ] b",
        "  - [ ] c",
        "**More**",
        "inside",
        "\\[attachment shot.png\\]",
        "future",
        "\\[hologram\\]",
    ] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
}

#[test]
fn hostile_documents_are_bounded() {
    let mut deep = json!({"type": "text", "text": "bottom"});
    for _ in 0..200 {
        deep = json!({"type": "blockquote", "content": [deep]});
    }
    let text = render(&adf::read(&json!({"type": "doc", "content": [deep]})));
    assert!(text.len() < 10_000, "{}", text.len());
    let wide: Vec<Value> = (0..50_000).map(|_| json!({"type": "rule"})).collect();
    assert!(adf::read(&json!({"type": "doc", "content": wide})).len() <= 20_000);
    let long = "x".repeat(1 << 20);
    let read =
        adf::read(&json!({"content": [{"type": "paragraph", "content": [{"type": "text", "text": long}]}]}));
    assert!(render(&read).len() <= MOST_TEXT + 10);
    for odd in [json!(null), json!([]), json!("x"), json!({"content": 3}), json!({"content": [3, null, []]})]
    {
        assert_eq!(adf::read(&odd).len(), adf::read(&odd).len());
    }
    let markdown = "> ".repeat(500) + "x";
    let (there, again) = goes_round(&markdown);
    assert_eq!(again, there);
    let nested: String = (0..60).map(|depth| format!("{}- x\n", "  ".repeat(depth))).collect();
    let (there, again) = goes_round(&nested);
    assert_eq!(again, there);
}

#[test]
fn links_that_run_something_are_none() {
    let blocks = parse("[a](javascript:alert(1)) [b](https://example.org) [c](file:///etc/passwd)");
    let text = adf::write(&blocks).to_string();
    assert_eq!(text.matches("\"link\"").count(), 1, "{text}");
    let document = json!({"content": [{"type": "paragraph", "content": [
        {"type": "text", "text": "a", "marks": [{"type": "link", "attrs": {"href": "javascript:x"}}]}]}]});
    assert_eq!(adf::read(&document), [Block::Paragraph(vec![Inline::plain("a")])]);
}

#[test]
fn a_servers_markup_is_written_and_read() {
    let markup = wiki::write(&parse(
        "# Plan\n\nA **bold** `x{y}` [l](https://example.org) {code} 2*3\n\n- a\n  - b\n- [x] c\n\n1. d\n\n```rust\nfn x() {}\n{code}\n```\n\n| a | b |\n| - | - |\n| c | d |\n",
    ));
    for words in [
        "h1. Plan",
        "*bold*",
        "{{x\\{y\\}}}",
        "[l|https://example.org]",
        "\\{code\\} 2\\*3",
        "* a\n** b\n* (/) c",
        "# d",
        "{code:rust}\nfn x() {}\n{ code}\n{code}",
        "||a||b||",
        "|c|d|",
    ] {
        assert!(markup.contains(words), "{words}:\n{markup}");
    }
    let read = wiki::read(
        "h2. Done when\r\n* it *works*\n** [docs|https://example.org] by [~anna]\n# first\n{code:java}\n# no list\n{code}\nbq. said\n----\n{{c}} \\*",
    );
    for words in [
        "## Done when\n",
        "- it **works**\n",
        "   - [docs](https://example.org) by @anna",
        "1. first",
        "````java\n# no list\n````",
        "> said",
        "***",
        "`c` *",
    ] {
        assert!(read.contains(words), "{words}:\n{read}");
    }
}

proptest::proptest! {
    // Without links: one around words of more than one kind may end early when it is written again. Those of plain words are tested below.
    #[test]
    fn any_markdown_keeps_its_meaning(
        text in "([-#*_~`>|+.=!:\\[\\]()<&\\\\ \n0-9ab]|- \\[x\\] |```|\n\n|    |1\\. |\\| a \\| b \\|\n\\| - \\| - \\|\n|é| word ){0,50}"
    ) {
        let (there, again) = goes_round(&text);
        proptest::prop_assert_eq!(unstyled(&again), unstyled(&there), "{}", render(&there));
    }

    #[test]
    fn words_that_stand_out_still_do(
        words in proptest::collection::vec(("[a-z0-9.,(]{1,6}", 0_u8..8), 1..12)
    ) {
        let markdown: Vec<String> = words
            .iter()
            .map(|(word, how)| {
                let word = word.replace(['.', ',', '('], "");
                let word = if word.is_empty() { "w".to_owned() } else { word };
                match how {
                    1 => format!("*{word}*"),
                    2 => format!("**{word}**"),
                    3 => format!("~~{word}~~"),
                    4 => format!("`{word}`"),
                    5 => format!("[{word}](https://example.org/{word})"),
                    6 => format!("***{word}***"),
                    _ => word,
                }
            })
            .collect();
        let (there, again) = goes_round(&markdown.join(" "));
        proptest::prop_assert_eq!(again, there);
    }

    #[test]
    fn no_markup_makes_it_panic(text in "([-#*_{}|\\[\\]~^+!\\\\ \n0-9ab.]|\\{code\\}|\\{code:x\\}|\\{quote\\}|h1\\. |bq\\. |\\{\\{|\\}\\}){0,60}") {
        let _ = parse(&wiki::read(&text));
    }
}
