//! Manifests broken in one place each.

use super::super::testing::Bench;
use super::*;

const FILES: &[(&str, &str)] = &[
    (
        "Cargo.toml",
        "[package]\nname = \"one\"\nversion = \"0.1.0\"\nedition = \"2021\"\nkeywords = [\"a\", \"b\"]\n\n[features]\ndefault = []\nfast = []\n\n[dependencies]\ntwo = { path = \"two\", optional = true }\n",
    ),
    (
        "Cargo.lock",
        "version = 4\n\n[[package]]\nname = \"one\"\nversion = \"0.1.0\"\ndependencies = [\n \"two\",\n]\n\n[[package]]\nname = \"two\"\nversion = \"0.1.0\"\n",
    ),
    ("two/Cargo.toml", "[package]\nname = \"two\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
    ("two/src/lib.rs", ""),
    ("src/lib.rs", "pub fn one() -> u32 {\n    1\n}\n"),
];
const CARGO: Bench = Bench {
    files: FILES,
    goal: "cargo check --offline",
    said: "error: failed to parse manifest",
    language: |check, red, tree| Some(Box::new(Manifests::of(check, red, tree)?)),
    prepare: |_| true,
};

#[tokio::test]
async fn a_mark_that_is_missing_in_cargo_toml() {
    for (from, to) in [
        ("version = \"0.1.0\"", "version = \"0.1.0"),
        ("version = \"0.1.0\"", "version = 0.1.0\""),
        ("[features]", "[features"),
        ("[\"a\", \"b\"]", "[\"a\" \"b\"]"),
        ("[\"a\", \"b\"]", "[\"a\", \"b\""),
        ("optional = true }", "optional = true"),
        ("name = \"one\"", "name \"one\""),
    ] {
        CARGO.healed(&[("Cargo.toml", from, to)]).await;
    }
}

#[tokio::test]
async fn a_word_that_cargo_does_not_know() {
    CARGO.healed(&[("Cargo.toml", "[dependencies]", "[dependancies]")]).await;
    CARGO.healed(&[("Cargo.toml", "edition = \"2021\"", "edition = \"2012\"")]).await;
    CARGO.healed(&[("Cargo.toml", "optional", "optoinal")]).await;
}

#[tokio::test]
async fn a_misspelt_crate_has_the_name_that_is_locked() {
    let said = "error: no matching package named `tow` found";
    Bench { said, ..CARGO }.healed(&[("Cargo.toml", "two = {", "tow = {")]).await;
}

const NODE: Bench = Bench {
    files: &[
        (
            "package.json",
            "{\n  \"name\": \"one\",\n  \"type\": \"module\",\n  \"scripts\": {\n    \"test\": \"node one.js\"\n  },\n  \"files\": [\"one.js\", \"two.js\"]\n}\n",
        ),
        ("one.js", "import assert from \"node:assert\";\nassert(true);\n"),
    ],
    goal: "npm test",
    said: "npm error JSON.parse",
    ..CARGO
};

#[tokio::test]
async fn a_package_json_that_does_not_parse() {
    for (from, to) in [
        ("\"name\": \"one\",", "\"name\": \"one\""),
        ("\"two.js\"]", "\"two.js\"],"),
        ("\"type\": \"module\"", "\"type: \"module\""),
        ("\"type\": \"module\"", "\"type\": \"module"),
        ("\"type\": \"module\"", "\"type\" \"module\""),
        ("\"two.js\"]", "\"two.js\""),
        ("  },\n", "  ,\n"),
        ("  },\n", ""),
        ("\"scripts\"", "\"scirpts\""),
    ] {
        NODE.healed(&[("package.json", from, to)]).await;
    }
}

#[test]
fn comments_of_a_tsconfig_are_no_fault_and_its_options_have_names() {
    let text = "{\n  // what is compiled\n  \"include\": [\"src\",], /* more */\n  \"compilerOptions\": { \"strcit\": true, \"x\": 1 },\n}\n";
    assert_eq!(Kind::TypeScript.parse(text), Ok(()));
    let doubts = keys::doubtful(text, Kind::TypeScript);
    assert_eq!(doubts.len(), 1);
    assert_eq!((doubts[0].word.as_str(), doubts[0].meant[0].as_str()), ("strcit", "strict"));
    let project = "[project]\nname = \"a\"\nverison = \"1\"\n\n[tool.ruff]\nlint = 1\n";
    let doubts = keys::doubtful(project, Kind::Python);
    assert_eq!(&project[doubts[0].span.0..doubts[0].span.1], "verison");
    assert_eq!(doubts.len(), 1);
}
