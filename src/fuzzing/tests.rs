//! Each target over its seeds, and over what can be made of them.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{RngAlgorithm, TestError, TestRng, TestRunner};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The seeds of a target, and inputs that once broke it.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    // Recorded outputs of tools are seeds as they are, each with its command's name before it.
    if target == "diagnostics" {
        for (path, bytes) in files(&root().join("../tests/fixtures/output")) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().replace(['-', '.'], " ");
            let parts: [&[u8]; 3] = if name.ends_with(" xml") {
                [name.as_bytes(), b"", &bytes]
            } else {
                [name.as_bytes(), &bytes, b""]
            };
            seeds.push(parts.join(format!("\n{}\n", super::DIVIDER).as_bytes()));
        }
    }
    seeds.extend(files(&root().join("corpus").join(target)).into_iter().map(|(_, bytes)| bytes));
    seeds
}

fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).expect("a seed"))).collect()
}

/// The words of a target's dictionary, in the form that libFuzzer reads: `"text"`, with `\xNN` for any byte.
fn words(target: &str) -> Vec<Vec<u8>> {
    let text =
        std::fs::read_to_string(root().join("dict").join(format!("{target}.dict"))).expect("a dictionary");
    let quoted = text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    quoted.map(unescaped).collect()
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'\\', [b'x', high, low, tail @ ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).expect("digits");
                bytes.push(u8::from_str_radix(digits, 16).expect("hexadecimal"));
                rest = tail;
            }
            (b'\\', [escaped, tail @ ..]) => {
                bytes.push(*escaped);
                rest = tail;
            }
            _ => bytes.push(byte),
        }
    }
    bytes
}

/// One piece of an input: a stretch of a seed, a word of the dictionary, or bytes.
#[derive(Debug, Clone)]
enum Piece {
    Seed(Index, Index, Index),
    Line(Index, Index),
    Word(Index),
    Bytes(Vec<u8>),
}

fn piece() -> impl Strategy<Value = Piece> {
    let index = any::<Index>;
    prop_oneof![
        2 => (index(), index(), index()).prop_map(|(seed, from, to)| Piece::Seed(seed, from, to)),
        3 => (index(), index()).prop_map(|(seed, line)| Piece::Line(seed, line)),
        4 => index().prop_map(Piece::Word),
        1 => prop::collection::vec(any::<u8>(), 0..6).prop_map(Piece::Bytes),
    ]
}

fn input(pieces: &[Piece], seeds: &[Vec<u8>], words: &[Vec<u8>]) -> Vec<u8> {
    let mut input = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Seed(seed, from, to) => {
                let seed = seed.get::<Vec<u8>>(seeds);
                let (from, to) = (from.index(seed.len() + 1), to.index(seed.len() + 1));
                input.extend_from_slice(&seed[from.min(to)..from.max(to)]);
            }
            Piece::Line(seed, line) => {
                let lines: Vec<&[u8]> =
                    seed.get::<Vec<u8>>(seeds).split_inclusive(|byte| *byte == b'\n').collect();
                if !lines.is_empty() {
                    input.extend_from_slice(line.get::<&[u8]>(&lines));
                }
            }
            Piece::Word(word) => input.extend_from_slice(word.get::<Vec<u8>>(words)),
            Piece::Bytes(bytes) => input.extend_from_slice(bytes),
        }
    }
    input
}

/// Runs a target over its seeds as they are, then over `cases` inputs that are made of them.
fn holds(target: &str, run: fn(&[u8]), cases: u32) {
    let (seeds, words) = (seeds(target), words(target));
    assert!(seeds.len() >= 2 && words.len() >= 4, "{target} has too few seeds or words");
    for seed in &seeds {
        run(seed);
    }
    // The same inputs each time, unless somebody wants new ones: FUZZ_ROUNDS=100 makes a hundred times as many, at random.
    let rounds = std::env::var("FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse::<u32>().ok());
    let cases = cases * rounds.unwrap_or(1);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = match rounds {
        Some(_) => TestRunner::new(config),
        None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    let made = runner.run(&prop::collection::vec(piece(), 0..24), |pieces| {
        run(&input(&pieces, &seeds, &words));
        Ok(())
    });
    // Shown as what it is; written to a file of the corpus it stays a seed.
    match made {
        Err(TestError::Fail(why, pieces)) => {
            let input = input(&pieces, &seeds, &words);
            panic!("{target}: {why}, by the input b\"{}\"", input.escape_ascii())
        }
        other => other.expect("inputs can be made"),
    }
}

macro_rules! targets {
    ($($name:ident: $cases:literal,)*) => {
        $(#[test]
        fn $name() {
            holds(stringify!($name), super::$name, $cases);
        })*

        /// A target that only the fuzzers or only the tests run would rot.
        #[test]
        fn fuzzers_and_tests_run_the_same_targets() {
            let mut named: Vec<String> = [$(stringify!($name)),*].map(|name| format!("{name}.rs")).to_vec();
            let built = files(&root().join("targets"));
            let mut built: Vec<String> =
                built.iter().filter_map(|(path, _)| Some(path.file_name()?.to_str()?.to_owned())).collect();
            named.sort();
            built.sort();
            assert_eq!(named, built);
        }
    };
}

targets! {
    edits: 400,
    patch: 150,
    diagnostics: 60,
    matchers: 150,
    proportion: 3,
    config: 300,
    traces: 60,
    events: 200,
    answers: 400,
    secrets: 150,
    git: 400,
    plan: 300,
    proxy: 300,
    guards: 100,
    incidents: 150,
}
