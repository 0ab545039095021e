use super::*;
use crate::verify::parsers::tests::{check, recorded};

fn cargo_probe(line: &str) -> Option<String> {
    let tree = tempfile::tempdir().unwrap();
    let words = CommandWords::of(&check(line), tree.path());
    let (command, at) = words.find("cargo")?;
    cargo(command, at).map(|argv| argv.join(" "))
}

#[test]
fn cargo_keeps_what_selects_and_drops_what_runs() {
    let json = "--message-format=json";
    assert_eq!(
        cargo_probe("cargo build --release -p core --features a,b").unwrap(),
        format!("cargo build --release -p core --features a,b {json} --keep-going")
    );
    assert_eq!(
        cargo_probe("RUST_LOG=1 cargo +nightly t --lib -- --nocapture name").unwrap(),
        format!("cargo +nightly test --lib --no-run {json}")
    );
    assert_eq!(
        cargo_probe("cargo nextest run --workspace").unwrap(),
        format!("cargo test --workspace --no-run {json}")
    );
    assert_eq!(
        cargo_probe("cargo clippy --all-targets -- -D warnings 2>&1").unwrap(),
        format!("cargo clippy --all-targets {json} --keep-going -- -D warnings")
    );
    assert_eq!(
        cargo_probe("cargo run --bin x -- arg").unwrap(),
        format!("cargo build --bin x {json} --keep-going")
    );
    assert_eq!(cargo_probe("cargo fmt --check"), None);
    assert_eq!(cargo_probe("cargo publish"), None);
}

#[test]
fn a_compile_error_is_probed_and_a_failing_test_is_not() {
    let tree = tempfile::tempdir().unwrap();
    let check = check("cargo test");
    let words = CommandWords::of(&check, tree.path());
    let planned = plan(&check, &words, &[tree.path().to_owned()], &recorded("cargo-build.txt"));
    assert_eq!(planned.len(), 1);
    assert!(planned[0].argv.contains(&"--no-run".to_owned()));
    assert!(plan(&check, &words, &[tree.path().to_owned()], &recorded("cargo-test.txt")).is_empty());
}

#[test]
fn the_compiler_is_asked_beside_a_bundler() {
    let tree = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(tree.path().join("web/node_modules/.bin")).unwrap();
    std::fs::write(tree.path().join("web/node_modules/.bin/tsc"), "").unwrap();
    std::fs::write(tree.path().join("web/tsconfig.json"), "{}").unwrap();
    std::fs::write(tree.path().join("web/package.json"), r#"{"scripts":{"build":"vite build"}}"#).unwrap();
    let mut check = check("npm run build");
    check.dir = "web".to_owned();
    let words = CommandWords::of(&check, tree.path());
    let planned = plan(&check, &words, &[tree.path().to_owned()], &recorded("vite-export.txt"));
    assert_eq!(planned.len(), 1);
    assert_eq!(planned[0].argv.join(" "), "./node_modules/.bin/tsc --noEmit --pretty false");
    assert!(planned[0].evidence_only);
}

#[test]
fn tools_that_a_setup_installed_are_found_above_the_tree() {
    let (layer, tree) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir_all(layer.path().join("node_modules/.bin")).unwrap();
    std::fs::write(layer.path().join("node_modules/.bin/tsc"), "").unwrap();
    std::fs::write(tree.path().join("tsconfig.json"), "{}").unwrap();
    std::fs::write(tree.path().join("package.json"), r#"{"scripts":{"build":"vite build"}}"#).unwrap();
    let check = check("npm run build");
    let words = CommandWords::of(&check, tree.path());
    let trees = [layer.path(), tree.path()].map(std::path::Path::to_owned);
    assert_eq!(plan(&check, &words, &trees, &recorded("vite-export.txt")).len(), 1);
    assert!(plan(&check, &words, &trees[1..], &recorded("vite-export.txt")).is_empty());
}

#[test]
fn ruff_is_asked_the_same_question_in_json() {
    let tree = tempfile::tempdir().unwrap();
    let check = check("uv run ruff check --fix --select F . --output-format concise");
    let words = CommandWords::of(&check, tree.path());
    let planned = plan(&check, &words, &[tree.path().to_owned()], &recorded("ruff.txt"));
    assert_eq!(planned[0].argv.join(" "), "uv run ruff check --select F . --output-format json");
}
