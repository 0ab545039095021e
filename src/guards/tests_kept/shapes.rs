//! How tests look, by language: `shapes.toml`.

use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;

use super::super::syntax::Lang;

/// The patterns of one language.
#[derive(Debug)]
pub(super) struct Shapes {
    pub asserts: Regex,
    pub exact: Regex,
    pub broad: Regex,
    pub approximate: Regex,
    pub hollow: Regex,
    pub pairs: Regex,
    pub skips: Regex,
    pub swallows: Regex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Texts {
    asserts: String,
    exact: String,
    broad: String,
    approximate: String,
    hollow: String,
    pairs: String,
    skips: String,
    swallows: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    rust: Texts,
    python: Texts,
    script: Texts,
    go: Texts,
    java: Texts,
}

impl From<Texts> for Shapes {
    fn from(texts: Texts) -> Self {
        Self {
            asserts: pattern(&texts.asserts),
            exact: pattern(&texts.exact),
            broad: pattern(&texts.broad),
            approximate: pattern(&texts.approximate),
            hollow: pattern(&texts.hollow),
            pairs: pattern(&texts.pairs),
            skips: pattern(&texts.skips),
            swallows: pattern(&texts.swallows),
        }
    }
}

static ALL: LazyLock<[Shapes; 5]> = LazyLock::new(|| {
    let table: Table = toml::from_str(include_str!("shapes.toml")).expect("constant tables");
    [table.rust, table.python, table.script, table.go, table.java].map(Shapes::from)
});

impl Shapes {
    /// The patterns of a language.
    pub(super) fn of(lang: Lang) -> &'static Self {
        &ALL[match lang {
            Lang::Rust => 0,
            Lang::Python => 1,
            Lang::TypeScript | Lang::Tsx | Lang::JavaScript => 2,
            Lang::Go => 3,
            Lang::Java => 4,
        }]
    }
}

/// A pattern that is part of the program.
pub(super) fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("constant pattern")
}
