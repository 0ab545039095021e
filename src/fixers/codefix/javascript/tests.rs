//! Real breakages of a small program, healed by the search with `node --test` as the judge.

use super::super::testing::Bench;
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

const BENCH: Bench = Bench {
    files: FILES,
    goal: "node --test",
    said: "src/list.js:3\nReferenceError: x is not defined",
    language: |check, red, _| Some(Box::new(JavaScript::of(check, red)?)),
    prepare: |_| true,
};

#[tokio::test]
async fn a_misspelt_variable() {
    BENCH.healed(&[("src/text.js", "<${clean}>", "<${claen}>")]).await;
}

#[tokio::test]
async fn a_misspelt_method() {
    BENCH.healed(&[("src/list.js", "names.join", "names.jion")]).await;
}

#[tokio::test]
async fn a_wrong_path() {
    BENCH.healed(&[("src/list.js", "\"./text.js\"", "\"./txet.js\"")]).await;
}

#[tokio::test]
async fn a_path_without_its_extension() {
    BENCH.healed(&[("test/list.test.js", "\"../src/list.js\"", "\"../src/list\"")]).await;
}

#[tokio::test]
async fn a_dropped_export() {
    BENCH.healed(&[("src/text.js", "export function label", "function label")]).await;
}

/// Default exports: of a function, of a constant, and of one that its user calls by another name.
const DEFAULTS: Bench = Bench {
    files: &[
        ("package.json", "{\n  \"name\": \"list\",\n  \"type\": \"module\"\n}\n"),
        (
            "src/mark.js",
            "function inner(text) {\n  return text.trim();\n}\n\nexport default function mark(text) {\n  return `<${inner(text)}>`;\n}\n",
        ),
        ("src/sizes.js", "const sizes = { small: 1 };\n\nexport default sizes;\n"),
        ("src/bag.js", "export default class Bag {\n  count = 2;\n}\n"),
        (
            "test/all.test.js",
            "import assert from \"node:assert\";\nimport test from \"node:test\";\nimport Holder from \"../src/bag.js\";\nimport mark from \"../src/mark.js\";\nimport sizes from \"../src/sizes.js\";\n\ntest(\"all\", () => {\n  assert.equal(mark(\" a \"), \"<a>\");\n  assert.equal(sizes.small + new Holder().count, 3);\n});\n",
        ),
    ],
    ..BENCH
};

#[tokio::test]
async fn a_dropped_default_export() {
    DEFAULTS.healed(&[("src/mark.js", "export default function", "function")]).await;
    DEFAULTS.healed(&[("src/mark.js", "export default function", "export function")]).await;
    DEFAULTS.healed(&[("src/sizes.js", "\nexport default sizes;\n", "")]).await;
    DEFAULTS.healed(&[("src/bag.js", "export default class", "class")]).await;
}

#[tokio::test]
async fn a_misspelt_import() {
    BENCH.healed(&[("test/list.test.js", "import { List }", "import { Lits }")]).await;
}

#[tokio::test]
async fn a_renamed_method_gets_its_name_back() {
    BENCH.healed(&[("src/list.js", "  append(item)", "  apend(item)")]).await;
}

#[tokio::test]
async fn a_misspelt_property_gets_the_name_that_others_read() {
    BENCH.healed(&[("src/list.js", "this.items.map", "this.itmes.map")]).await;
    BENCH.healed(&[("src/list.js", "this.items.push", "this.itmes.push")]).await;
}

#[test]
fn a_fault_stands_in_the_innermost_frame_of_the_repo() {
    let files = [("src/a b.js", "this.totl();\n"), ("test/a.test.js", "cart.describe();\n")];
    let folder = tempfile::Builder::new().prefix("with space ").tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    for (path, text) in files {
        std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        std::fs::write(root.join(path), text).unwrap();
    }
    let empty = Patch::new();
    let tree = Tree { root: &root, patch: &empty };
    let url = root.to_str().unwrap().replace(' ', "%20");
    let (plain, test) = (root.join("src/a b.js"), root.join("test/a.test.js"));
    let (plain, test) = (plain.display(), test.display());
    for said in [
        format!(
            "  location: '{test}:1:1'\n  error: 'this.totl is not a function'\n  stack: |-\n    Cart.describe (file://{url}/src/a%20b.js:1:6)\n    Test.<anonymous> (file://{url}/test/a.test.js:1:6)\n"
        ),
        format!(
            "{test}:1\nTypeError: this.totl is not a function\n    at Cart.describe ({plain}:1:6)\n    at Object.<anonymous> ({test}:1:6)\n"
        ),
        format!(
            "TypeError: this.totl is not a function\n    at {test}:1:6\n    at Cart.describe ({plain}:1:6)\n"
        ),
    ] {
        let told = stack::faults(&said, &root, "", tree);
        assert_eq!(told.len(), 1, "{said}");
        assert_eq!(told[0].places[0].0.as_str(), "src/a b.js", "{said}");
    }
}
