//! What Atlassian's published schema of its document format says, as far as it concerns what Regreen writes.

use serde_json::Value;

/// What is wrong with a document.
pub fn faults(document: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    if document["version"] != 1 || document["type"] != "doc" || !document["content"].is_array() {
        faults.push("a document has version 1, type doc and content".to_owned());
    }
    children(document, TOP, &mut faults);
    faults
}

const TOP: &[&str] =
    &["paragraph", "heading", "codeBlock", "blockquote", "bulletList", "orderedList", "table", "rule"];
const QUOTE: &[&str] = &["paragraph", "codeBlock", "bulletList", "orderedList"];
const INLINE: &[&str] = &["text", "hardBreak"];

fn children(node: &Value, allowed: &[&str], faults: &mut Vec<String>) {
    for child in node["content"].as_array().into_iter().flatten() {
        let kind = child["type"].as_str().unwrap_or_default();
        if !allowed.contains(&kind) {
            faults.push(format!("{kind:?} does not stand in {}", node["type"]));
        }
        check(child, kind, faults);
    }
}

fn check(node: &Value, kind: &str, faults: &mut Vec<String>) {
    let count = node["content"].as_array().map_or(0, Vec::len);
    let mut must = |holds: bool, what: &str| {
        if !holds {
            faults.push(format!("{kind}: {what}"));
        }
    };
    match kind {
        "text" => {
            must(node["text"].as_str().is_some_and(|text| !text.is_empty()), "text is not empty");
            let marks: Vec<&str> = node["marks"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|mark| mark["type"].as_str())
                .collect();
            let known = ["strong", "em", "strike", "code", "link"];
            must(marks.iter().all(|mark| known.contains(mark)), "its marks are known");
            must(
                !marks.contains(&"code") || marks.iter().all(|mark| ["code", "link"].contains(mark)),
                "code goes with nothing but a link",
            );
            for mark in node["marks"].as_array().into_iter().flatten().filter(|mark| mark["type"] == "link") {
                must(
                    mark["attrs"]["href"].as_str().is_some_and(|url| !url.is_empty()),
                    "a link leads somewhere",
                );
            }
        }
        "heading" => {
            must(
                node["attrs"]["level"].as_u64().is_some_and(|level| (1..=6).contains(&level)),
                "its level is 1 to 6",
            );
        }
        "bulletList" | "orderedList" | "blockquote" | "table" | "tableRow" | "listItem" | "tableCell"
        | "tableHeader" => must(count > 0, "it holds something"),
        _ => {}
    }
    match kind {
        "paragraph" | "heading" => children(node, INLINE, faults),
        "codeBlock" => {
            children(node, &["text"], faults);
            if node["content"].as_array().into_iter().flatten().any(|text| text.get("marks").is_some()) {
                faults.push("the text of code has no marks".to_owned());
            }
        }
        "blockquote" => children(node, QUOTE, faults),
        "bulletList" | "orderedList" => children(node, &["listItem"], faults),
        "listItem" => {
            if !["paragraph", "codeBlock"].iter().any(|first| node["content"][0]["type"] == *first) {
                faults.push("an item begins with a paragraph or with code".to_owned());
            }
            children(node, QUOTE, faults);
        }
        "table" => children(node, &["tableRow"], faults),
        "tableRow" => children(node, &["tableCell", "tableHeader"], faults),
        "tableCell" | "tableHeader" => children(node, &["paragraph"], faults),
        _ => {}
    }
}
