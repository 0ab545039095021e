//! Real breakages of a small crate, healed by the search with the real compiler.

use super::super::testing::{Project, check, outcome};
use super::*;

const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", "[package]\nname = \"stock\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
    (
        "src/lib.rs",
        "//! Counts what is in stock.\n\npub mod item;\nmod report;\n\nuse std::collections::HashMap;\nuse crate::item::Item;\npub use crate::report::summary;\n\n/// What is in stock.\n#[derive(Default)]\npub struct Stock {\n    items: HashMap<String, Item>,\n}\n\nimpl Stock {\n    /// Adds `count` of an item.\n    pub fn add(&mut self, name: &str, count: u32) {\n        let item = self.items.entry(name.to_string()).or_insert_with(|| Item::new(name));\n        item.count += count;\n    }\n\n    /// How many there are of an item.\n    pub fn count(&self, name: &str) -> u32 {\n        let mut sum = 0;\n        if let Some(item) = self.items.get(name) {\n            sum += item.count;\n        }\n        sum\n    }\n\n    /// All items, by name.\n    pub fn sorted(&self) -> Vec<&Item> {\n        let mut items: Vec<&Item> = self.items.values().collect();\n        items.sort_by_key(|item| item.name.clone());\n        items\n    }\n}\n",
    ),
    (
        "src/item.rs",
        "/// One kind of thing.\n#[derive(Debug, Clone, PartialEq)]\npub struct Item {\n    pub name: String,\n    pub count: u32,\n}\n\nimpl Item {\n    pub fn new(name: &str) -> Self {\n        Item { name: name.to_string(), count: 0 }\n    }\n\n    pub fn is_missing(&self) -> bool {\n        self.count == 0\n    }\n}\n",
    ),
    (
        "src/report.rs",
        "use std::fmt::Write;\n\nuse crate::item::Item;\nuse crate::Stock;\n\nfn line(item: &Item) -> String {\n    let state = if item.is_missing() { \"missing\" } else { \"there\" };\n    format!(\"{}: {state}\", item.name)\n}\n\n/// The stock as text.\npub fn summary(stock: &Stock) -> String {\n    let mut text = String::new();\n    for item in stock.sorted() {\n        writeln!(text, \"{}\", line(item)).unwrap();\n    }\n    text\n}\n",
    ),
    (
        "tests/stock.rs",
        "use stock::item::Item;\nuse stock::{summary, Stock};\n\n#[test]\nfn counts() {\n    let mut stock = Stock::default();\n    stock.add(\"nail\", 3);\n    assert_eq!(stock.count(\"nail\"), 3);\n    assert!(!Item { name: \"nail\".into(), count: 3 }.is_missing());\n    assert_eq!(summary(&stock), \"nail: there\\n\");\n}\n",
    ),
];

/// Breaks the crate, heals it, and compares every file with the original.
async fn healed(breakages: &[(&str, &str, &str)]) {
    let mut files: Vec<(String, String)> =
        FILES.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
    for (path, from, to) in breakages {
        let borrowed: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
        files = Project::breakage(&borrowed, path, from, to);
    }
    let borrowed: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let project = Project::new(&borrowed);
    let goal = check("cargo test");
    let empty = Patch::new();
    let red = outcome("error: could not compile `stock`");
    let mut rust = Rust::of(&goal, &red, Tree { root: project.tree.path(), patch: &empty }).unwrap();
    let found = project.heal(&mut rust).await;
    let titles: Vec<&str> = found.steps.iter().map(|step| step.title.as_str()).collect();
    for (path, original) in FILES {
        assert_eq!(
            project.after(&found.patch, path),
            *original,
            "{path} after {titles:#?}, {} ({} judged)",
            found.end,
            found.judged
        );
    }
    assert!(found.green, "{titles:?}");
}

#[tokio::test]
async fn a_misspelt_method_and_a_misspelt_field() {
    healed(&[
        ("src/report.rs", "item.is_missing()", "item.is_mising()"),
        ("src/report.rs", "item.name)", "item.nmae)"),
    ])
    .await;
}

#[tokio::test]
async fn a_misspelt_module_of_the_standard_library() {
    healed(&[("src/lib.rs", "std::collections", "std::colections")]).await;
}

#[tokio::test]
async fn a_dropped_import() {
    healed(&[("src/lib.rs", "use std::collections::HashMap;\n", "")]).await;
}

#[tokio::test]
async fn a_dropped_module_declaration() {
    healed(&[("src/lib.rs", "mod report;\n", "")]).await;
}

#[tokio::test]
async fn a_renamed_declaration_gets_its_name_back() {
    healed(&[("src/item.rs", "pub fn is_missing", "pub fn is_absent_or_missing")]).await;
}

#[tokio::test]
async fn a_dropped_mut_is_found_after_the_names_resolve() {
    healed(&[("src/lib.rs", "let mut sum", "let sum"), ("src/report.rs", "stock.sorted()", "stock.sortd()")])
        .await;
}

#[tokio::test]
async fn a_dropped_semicolon() {
    healed(&[("src/lib.rs", "let mut sum = 0;", "let mut sum = 0")]).await;
}

#[tokio::test]
async fn an_item_that_is_no_longer_visible() {
    healed(&[("src/item.rs", "pub fn is_missing", "fn is_missing")]).await;
}

#[tokio::test]
async fn a_dropped_derive() {
    healed(&[("src/lib.rs", "#[derive(Default)]\npub struct", "pub struct")]).await;
}

#[tokio::test]
async fn a_module_whose_file_has_another_name() {
    healed(&[
        ("src/lib.rs", "mod report;\n", "mod reprot;\n"),
        ("src/lib.rs", "crate::report::", "crate::reprot::"),
    ])
    .await;
}

#[tokio::test]
async fn a_dropped_borrow() {
    healed(&[("tests/stock.rs", "summary(&stock)", "summary(stock)")]).await;
}

#[tokio::test]
async fn a_dropped_bracket() {
    healed(&[("src/item.rs", "name.to_string(), count", "name.to_string(, count")]).await;
}

#[tokio::test]
async fn a_block_that_lost_its_end() {
    healed(&[(
        "src/lib.rs",
        "            sum += item.count;\n        }\n",
        "            sum += item.count;\n",
    )])
    .await;
}

#[tokio::test]
async fn a_dropped_comma() {
    healed(&[("tests/stock.rs", "stock.add(\"nail\", 3)", "stock.add(\"nail\" 3)")]).await;
}

#[tokio::test]
async fn a_misspelt_parameter_gets_its_name_back() {
    healed(&[("src/item.rs", "new(name: &str)", "new(nmae: &str)")]).await;
}

#[tokio::test]
async fn what_only_a_person_can_know_is_left_alone() {
    let files = Project::breakage(FILES, "src/item.rs", "        self.count == 0\n", "");
    let borrowed: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let project = Project::new(&borrowed);
    let empty = Patch::new();
    let red = outcome("error: could not compile `stock`");
    let mut rust =
        Rust::of(&check("cargo test"), &red, Tree { root: project.tree.path(), patch: &empty }).unwrap();
    let found = project.heal(&mut rust).await;
    assert!(found.patch.is_empty(), "{:?}", found.steps);
}

#[test]
fn the_complaint_of_cargo_is_its_first_error() {
    let broken = "error: invalid table header\n --> Cargo.toml:1:9\n  |\n1 | [package\n  |         ^\n";
    assert_eq!(complaint(broken), "error: invalid table header");
    assert_eq!(complaint("warning: a\n  it stopped\n\n"), "it stopped");
    assert_eq!(complaint(""), "it says nothing");
}
