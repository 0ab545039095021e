//! What kind of fault it is, by a table.

use std::sync::LazyLock;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::trace::Trace;

/// What an incident harms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// It does not stand the load: memory, connections, files, queues run out.
    Scalability,
    /// What it depends on fails: networks, disks, other services.
    Reliability,
    /// What happened cannot be told afterwards: logs, traces.
    Auditability,
    /// Who may do what: permissions, certificates, keys, licences.
    Governance,
    /// It takes too long.
    Performance,
    /// The program does what nobody meant.
    Bug,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Somebody handled it.
    Low,
    /// A request failed.
    Medium,
    /// The program ended.
    High,
    /// Memory or data may be damaged.
    Critical,
}

impl Category {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Category::Scalability => "scalability",
            Category::Reliability => "reliability",
            Category::Auditability => "auditability",
            Category::Governance => "governance",
            Category::Performance => "performance",
            Category::Bug => "bug",
        }
    }
}

impl Severity {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }
}

/// What kind of fault it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// What it harms.
    pub category: Category,
    /// How bad it is.
    pub severity: Severity,
    /// Why no edit of this codebase is to be expected to repair it, where that is so.
    pub outside: Option<String>,
}

/// A row of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// Fits the type of any link of the chain, or the title.
    pattern: String,
    category: Category,
    #[serde(default)]
    severity: Option<Severity>,
    #[serde(default)]
    outside: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    row: Vec<Row>,
}

/// The table: the first row that fits counts.
static TABLE: LazyLock<Vec<(Regex, Row)>> = LazyLock::new(|| {
    let table: Table = toml::from_str(include_str!("classes.toml")).expect("the built-in table is right");
    let rows = table.row.into_iter().map(|row| {
        let pattern = RegexBuilder::new(&row.pattern).case_insensitive(true).build();
        (pattern.expect("the built-in patterns are right"), row)
    });
    rows.collect()
});

/// The class of what `trace` and `title` tell. `fatal` says whether the program ended by it.
pub fn class(trace: Option<&Trace>, title: &str, fatal: Option<bool>) -> Class {
    let chain: Vec<String> = trace.into_iter().flat_map(Trace::chain).map(Trace::title).collect();
    // What began it all says most of what it is.
    let said = || chain.iter().rev().map(String::as_str).chain([title]);
    let found = said().find_map(|text| TABLE.iter().find(|(pattern, _)| pattern.is_match(text)));
    let ended = if fatal == Some(false) { Severity::Medium } else { Severity::High };
    match found {
        Some((_, row)) => Class {
            category: row.category,
            severity: row.severity.unwrap_or(ended),
            outside: row.outside.clone(),
        },
        None => Class { category: Category::Bug, severity: ended, outside: None },
    }
}
