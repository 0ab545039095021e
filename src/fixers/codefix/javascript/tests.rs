//! Real breakages of a small program, healed by the search with `node --test` as the judge.

use super::super::testing::{Project, check, outcome};
use super::*;

const FILES: &[(&str, &str)] = &[
    ("package.json", "{\n  \"name\": \"list\",\n  \"type\": \"module\"\n}\n"),
    (
        "src/list.js",
        "import { label } from \"./text.js\";\n\nexport class List {\n  constructor() {\n    this.items = [];\n  }\n\n  append(item) {\n    this.items.push(item);\n    return this;\n  }\n\n  describe() {\n    const names = this.items.map((item) => label(item));\n    return names.join(\", \");\n  }\n}\n",
    ),
    (
        "src/text.js",
        "export function label(text) {\n  const clean = text.trim();\n  return `<${clean}>`;\n}\n",
    ),
    (
        "test/list.test.js",
        "import assert from \"node:assert\";\nimport test from \"node:test\";\nimport { List } from \"../src/list.js\";\n\ntest(\"describes\", () => {\n  const list = new List().append(\" a \").append(\"b\");\n  assert.equal(list.describe(), \"<a>, <b>\");\n});\n",
    ),
];

async fn healed(breakages: &[(&str, &str, &str)]) {
    let mut files: Vec<(String, String)> =
        FILES.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
    for (path, from, to) in breakages {
        let borrowed: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
        files = Project::breakage(&borrowed, path, from, to);
    }
    let borrowed: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let project = Project::new(&borrowed);
    let red = outcome("src/list.js:3\nReferenceError: x is not defined");
    let mut javascript = JavaScript::of(&check("node --test"), &red).unwrap();
    let found = project.heal(&mut javascript).await;
    let titles: Vec<&str> = found.steps.iter().map(|step| step.title.as_str()).collect();
    for (path, original) in FILES {
        let after = project.after(&found.patch, path);
        assert_eq!(after, *original, "{path} after {titles:#?}, {} ({} judged)", found.end, found.judged);
    }
    assert!(found.green, "{titles:?}");
}

#[tokio::test]
async fn a_misspelt_variable() {
    healed(&[("src/text.js", "<${clean}>", "<${claen}>")]).await;
}

#[tokio::test]
async fn a_misspelt_method() {
    healed(&[("src/list.js", "names.join", "names.jion")]).await;
}

#[tokio::test]
async fn a_wrong_path() {
    healed(&[("src/list.js", "\"./text.js\"", "\"./txet.js\"")]).await;
}

#[tokio::test]
async fn a_path_without_its_extension() {
    healed(&[("test/list.test.js", "\"../src/list.js\"", "\"../src/list\"")]).await;
}

#[tokio::test]
async fn a_dropped_export() {
    healed(&[("src/text.js", "export function label", "function label")]).await;
}

#[tokio::test]
async fn a_misspelt_import() {
    healed(&[("test/list.test.js", "import { List }", "import { Lits }")]).await;
}

#[tokio::test]
async fn a_renamed_method_gets_its_name_back() {
    healed(&[("src/list.js", "  append(item)", "  apend(item)")]).await;
}
