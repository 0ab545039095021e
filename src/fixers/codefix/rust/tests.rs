//! Real breakages of a small crate, healed by the search with the real compiler.

use super::super::testing::{Bench, Project, check, outcome};
use super::*;

const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", "[package]\nname = \"stock\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
    (
        "src/lib.rs",
        "//! Counts what is in stock.\n\npub mod item;\nmod report;\n\nuse crate::item::Item;\npub use crate::report::summary;\nuse std::collections::HashMap;\n\n/// What is in stock.\n#[derive(Default)]\npub struct Stock {\n    items: HashMap<String, Item>,\n}\n\nimpl Stock {\n    /// Adds `count` of an item.\n    pub fn add(&mut self, name: &str, count: u32) {\n        let item = self.items.entry(name.to_string()).or_insert_with(|| Item::new(name));\n        item.count += count;\n    }\n\n    /// How many there are of an item.\n    pub fn count(&self, name: &str) -> u32 {\n        let mut sum = 0;\n        if let Some(item) = self.items.get(name) {\n            sum += item.count;\n        }\n        sum\n    }\n\n    /// All items, by name.\n    pub fn sorted(&self) -> Vec<&Item> {\n        let mut items: Vec<&Item> = self.items.values().collect();\n        items.sort_by_key(|item| item.name.clone());\n        items\n    }\n}\n",
    ),
    (
        "src/item.rs",
        "/// One kind of thing.\n#[derive(Debug, Clone, PartialEq)]\npub struct Item {\n    pub name: String,\n    pub count: u32,\n}\n\nimpl Item {\n    pub fn new(name: &str) -> Self {\n        Item { name: name.to_string(), count: 0 }\n    }\n\n    pub fn is_missing(&self) -> bool {\n        self.count == 0\n    }\n}\n",
    ),
    (
        "src/report.rs",
        "use std::fmt::Write;\n\nuse crate::Stock;\nuse crate::item::Item;\n\nfn line(item: &Item) -> String {\n    let state = if item.is_missing() { \"missing\" } else { \"there\" };\n    format!(\"{}: {state}\", item.name)\n}\n\n/// The stock as text.\npub fn summary(stock: &Stock) -> String {\n    let mut text = String::new();\n    for item in stock.sorted() {\n        writeln!(text, \"{}\", line(item)).unwrap();\n    }\n    text\n}\n",
    ),
    (
        "tests/stock.rs",
        "use stock::item::Item;\nuse stock::{summary, Stock};\n\n#[test]\nfn counts() {\n    let mut stock = Stock::default();\n    stock.add(\"nail\", 3);\n    assert_eq!(stock.count(\"nail\"), 3);\n    assert!(!Item { name: \"nail\".into(), count: 3 }.is_missing());\n    assert_eq!(summary(&stock), \"nail: there\\n\");\n}\n",
    ),
];

const BENCH: Bench = Bench {
    files: FILES,
    goal: "cargo test",
    said: "error: could not compile `stock`",
    language: |check, red, tree| Some(Box::new(Rust::of(check, red, tree)?)),
    prepare: |_| true,
};

#[tokio::test]
async fn a_misspelt_method_and_a_misspelt_field() {
    BENCH
        .healed(&[
            ("src/report.rs", "item.is_missing()", "item.is_mising()"),
            ("src/report.rs", "item.name)", "item.nmae)"),
        ])
        .await;
}

#[tokio::test]
async fn a_misspelt_module_of_the_standard_library() {
    BENCH.healed(&[("src/lib.rs", "std::collections", "std::colections")]).await;
}

#[tokio::test]
async fn a_dropped_import() {
    BENCH.healed(&[("src/lib.rs", "use std::collections::HashMap;\n", "")]).await;
}

#[tokio::test]
async fn a_dropped_module_declaration() {
    BENCH.healed(&[("src/lib.rs", "mod report;\n", "")]).await;
}

#[tokio::test]
async fn a_renamed_declaration_gets_its_name_back() {
    BENCH.healed(&[("src/item.rs", "pub fn is_missing", "pub fn is_absent_or_missing")]).await;
}

#[tokio::test]
async fn a_dropped_mut_is_found_after_the_names_resolve() {
    BENCH
        .healed(&[
            ("src/lib.rs", "let mut sum", "let sum"),
            ("src/report.rs", "stock.sorted()", "stock.sortd()"),
        ])
        .await;
}

#[tokio::test]
async fn a_dropped_semicolon() {
    BENCH.healed(&[("src/lib.rs", "let mut sum = 0;", "let mut sum = 0")]).await;
}

#[tokio::test]
async fn an_item_that_is_no_longer_visible() {
    BENCH.healed(&[("src/item.rs", "pub fn is_missing", "fn is_missing")]).await;
}

#[tokio::test]
async fn a_dropped_derive() {
    BENCH.healed(&[("src/lib.rs", "#[derive(Default)]\npub struct", "pub struct")]).await;
}

#[tokio::test]
async fn a_module_whose_file_has_another_name() {
    BENCH
        .healed(&[
            ("src/lib.rs", "mod report;\n", "mod reprot;\n"),
            ("src/lib.rs", "crate::report::", "crate::reprot::"),
        ])
        .await;
}

#[tokio::test]
async fn a_dropped_borrow() {
    BENCH.healed(&[("tests/stock.rs", "summary(&stock)", "summary(stock)")]).await;
}

#[tokio::test]
async fn a_dropped_bracket() {
    BENCH.healed(&[("src/item.rs", "name.to_string(), count", "name.to_string(, count")]).await;
}

#[tokio::test]
async fn a_block_that_lost_its_end() {
    BENCH
        .healed(&[(
            "src/lib.rs",
            "            sum += item.count;\n        }\n",
            "            sum += item.count;\n",
        )])
        .await;
}

#[tokio::test]
async fn a_dropped_comma() {
    BENCH.healed(&[("tests/stock.rs", "stock.add(\"nail\", 3)", "stock.add(\"nail\" 3)")]).await;
}

#[tokio::test]
async fn a_misspelt_parameter_gets_its_name_back() {
    BENCH.healed(&[("src/item.rs", "new(name: &str)", "new(nmae: &str)")]).await;
}

#[tokio::test]
async fn what_only_a_person_can_know_is_left_alone() {
    BENCH.left_alone(&[("src/item.rs", "        self.count == 0\n", "")]).await;
}

#[tokio::test]
async fn a_module_whose_name_became_a_keyword() {
    // `mod type;`: the compiler suggests `r#type`, and only the files tell that `types` is meant.
    let files = [
        ("Cargo.toml", "[package]\nname = \"one\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
        ("src/lib.rs", "mod impl;\nmod shapes;\n\npub use shapes::Square;\n"),
        (
            "src/impls.rs",
            "use crate::shapes::Square;\nuse std::fmt;\n\nimpl fmt::Display for Square {\n    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {\n        write!(f, \"{}\", self.side)\n    }\n}\n",
        ),
        ("src/shapes.rs", "pub struct Square {\n    pub side: u32,\n}\n"),
        (
            "tests/shows.rs",
            "#[test]\nfn shows() {\n    assert_eq!(one::Square { side: 3 }.to_string(), \"3\");\n}\n",
        ),
    ];
    let project = Project::new(&files);
    let empty = Patch::new();
    let tree = Tree { root: project.tree.path(), patch: &empty };
    let mut rust = Rust::of(&check("cargo test"), &outcome("error: could not compile `one`"), tree).unwrap();
    let found = project.heal(&mut rust).await;
    assert_eq!(project.after(&found.patch, "src/lib.rs"), files[1].1.replace("mod impl;", "mod impls;"));
    assert!(found.green);
    assert_eq!(found.patch.len(), 1, "{:?}", found.steps);
}

#[tokio::test]
async fn while_a_file_does_not_parse_nothing_else_is_repaired() {
    // The break needs a person; what else the compiler says (a derive, a keyword as a name) may follow from it.
    BENCH
        .left_alone(&[
            ("src/report.rs", "fn line(item: &Item) -> String {", "fn (item &Item let) impl {"),
            ("src/lib.rs", "#[derive(Default)]\npub struct", "pub struct"),
        ])
        .await;
}

#[tokio::test]
async fn a_crate_that_the_workspace_knows_is_declared() {
    let package = |name: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{rest}")
    };
    let root = "[workspace]\nmembers = [\"app\", \"low-level\"]\nresolver = \"2\"\n\n[workspace.dependencies]\nlow-level = { path = \"low-level\" }\n";
    let (app, low) = (package("app", ""), package("low-level", ""));
    let files = [
        ("Cargo.toml", root),
        ("app/Cargo.toml", app.as_str()),
        ("app/src/lib.rs", "use low_level::one;\n\npub fn two() -> u32 {\n    one() + 1\n}\n"),
        ("low-level/Cargo.toml", low.as_str()),
        ("low-level/src/lib.rs", "pub fn one() -> u32 {\n    1\n}\n"),
    ];
    let project = Project::new(&files);
    let empty = Patch::new();
    let tree = Tree { root: project.tree.path(), patch: &empty };
    let mut rust = Rust::of(&check("cargo test"), &outcome("error: could not compile `app`"), tree).unwrap();
    let found = project.heal(&mut rust).await;
    let wanted = package("app", "\n[dependencies]\nlow-level.workspace = true\n");
    assert_eq!(project.after(&found.patch, "app/Cargo.toml"), wanted, "{:?}", found.steps);
    assert!(found.green);
}

#[tokio::test]
async fn an_import_is_put_among_its_like() {
    BENCH.healed(&[("src/lib.rs", "use crate::item::Item;\n", "")]).await;
}

#[test]
fn the_complaint_of_cargo_is_its_first_error() {
    let broken = "error: invalid table header\n --> Cargo.toml:1:9\n  |\n1 | [package\n  |         ^\n";
    assert_eq!(complaint(broken), "error: invalid table header");
    assert_eq!(complaint("warning: a\n  it stopped\n\n"), "it stopped");
    assert_eq!(complaint(""), "it says nothing");
}
