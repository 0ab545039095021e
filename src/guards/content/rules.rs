//! The rules as data: `rules.toml` and `reach.toml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;

use super::super::Weight;
use super::super::syntax::Lang;
use super::super::tests_kept::is_test_path;
use crate::patch::RelPath;

/// Where a rule's pattern is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Part {
    /// The code, without comments and strings.
    Code,
    /// Comments alone.
    Comments,
    /// Code and strings.
    Text,
    /// All of the text.
    All,
}

/// Which files a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Files {
    Any,
    /// Tests.
    Tests,
    /// All but tests.
    Product,
}

/// Languages that a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Family {
    /// All of them.
    Any,
    Rust,
    Python,
    /// JavaScript and TypeScript.
    Script,
    Go,
    /// And Kotlin.
    Java,
}

impl Family {
    /// The languages of a file, by its name.
    pub(super) fn of(path: &RelPath) -> Option<Self> {
        Some(match Lang::of(path) {
            Some(Lang::Rust) => Family::Rust,
            Some(Lang::Python) => Family::Python,
            Some(Lang::Go) => Family::Go,
            Some(Lang::Java) => Family::Java,
            Some(_) => Family::Script,
            None if path.extension() == Some("kt") => Family::Java,
            None => return None,
        })
    }
}

/// Where something must have been before, so that it is not new.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Known {
    /// In the same line, or one like it.
    #[default]
    Line,
    /// Anywhere in the file.
    File,
    /// Anywhere in the project's own code in that language.
    Project,
}

/// One entry of `rules.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    guard: String,
    files: Files,
    lang: Option<Family>,
    part: Part,
    pattern: String,
    reason: String,
    refuse: bool,
}

/// One entry of `reach.toml`: something that code can do, and how each language says it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reach {
    guard: String,
    /// Follows "the code newly …".
    what: String,
    part: Part,
    known: Known,
    /// It is ordinary where programs start.
    #[serde(default)]
    elsewhere: bool,
    says: BTreeMap<Family, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    rule: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reaches {
    reach: Vec<Reach>,
}

pub(super) struct Rule {
    pub guard: String,
    pub files: Files,
    pub family: Family,
    pub part: Part,
    pub known: Known,
    pub pattern: Regex,
    pub reason: String,
    pub weight: Weight,
    /// It is an entry of `reach.toml`.
    pub reach: bool,
    /// It is ordinary where programs start.
    pub elsewhere: bool,
}

pub(super) static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let compiled = |pattern: &str| Regex::new(&format!("(?m){pattern}")).expect("constant pattern");
    let rows: Rows = toml::from_str(include_str!("rules.toml")).expect("constant rules");
    let rules = rows.rule.into_iter().map(|row| Rule {
        guard: row.guard,
        files: row.files,
        family: row.lang.unwrap_or(Family::Any),
        part: row.part,
        known: Known::Line,
        pattern: compiled(&row.pattern),
        reason: row.reason,
        weight: if row.refuse { Weight::Refuse } else { Weight::NeedsApproval },
        reach: false,
        elsewhere: false,
    });
    let reaches: Reaches = toml::from_str(include_str!("reach.toml")).expect("constant rules");
    let reaches = reaches.reach.into_iter().flat_map(|row| {
        let Reach { guard, what, part, known, elsewhere, says } = row;
        says.into_iter().map(move |(family, pattern)| Rule {
            guard: guard.clone(),
            files: Files::Product,
            family,
            part,
            known,
            pattern: compiled(&pattern),
            reason: format!("the code newly {what}; that needs an approval"),
            weight: Weight::NeedsApproval,
            reach: true,
            elsewhere,
        })
    });
    rules.chain(reaches).collect()
});

impl Rule {
    /// Whether the rule is about a file.
    pub(super) fn applies(&self, path: &RelPath) -> bool {
        if self.elsewhere && starts(path) {
            return false;
        }
        let files = match self.files {
            Files::Any => true,
            Files::Tests => is_test_path(path),
            Files::Product => !is_test_path(path),
        };
        let family = Family::of(path);
        // What code can do is asked of code alone.
        let any =
            self.family == Family::Any && (self.files != Files::Product || !self.reach || family.is_some());
        files && (any || family == Some(self.family))
    }
}

/// Whether programs start in a file, by its name or its folder.
fn starts(path: &RelPath) -> bool {
    let name = path.file_name().split('.').next().unwrap_or_default().to_lowercase();
    let folder = |part: &str| matches!(part, "bin" | "cmd" | "cli" | "scripts" | "examples");
    matches!(name.as_str(), "main" | "__main__" | "cli" | "args" | "manage" | "setup")
        || path.as_str().rsplit('/').skip(1).any(folder)
}
