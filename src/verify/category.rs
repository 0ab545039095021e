//! Which kind of fault a tool's code or message stands for: `matchers/tables/categories.toml`, looked up.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;

use crate::diagnostic::Category;

use super::data;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    code: HashMap<String, HashMap<String, Codes>>,
    message: Vec<MessageRow>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Codes {
    List(Vec<String>),
    Like(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageRow {
    category: Category,
    #[serde(default)]
    tools: Vec<String>,
    pattern: String,
}

#[derive(Default)]
struct CodeTable {
    exact: HashMap<String, Category>,
    /// Longest first.
    prefixes: Vec<(String, Category)>,
}

struct MessageRule {
    category: Category,
    tools: Vec<String>,
    pattern: Regex,
}

struct Tables {
    codes: HashMap<String, CodeTable>,
    like: HashMap<String, String>,
    messages: Vec<MessageRule>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    // The file is embedded, and a test loads it: it cannot fail on a user's machine. A broken one means `other` throughout.
    load(&data::table("categories.toml")).unwrap_or_else(|error| {
        tracing::error!(%error, "the table of categories does not load");
        Tables { codes: HashMap::new(), like: HashMap::new(), messages: Vec::new() }
    })
});

fn load(text: &str) -> anyhow::Result<Tables> {
    let file: File = toml::from_str(text)?;
    let mut codes: HashMap<String, CodeTable> = HashMap::new();
    let mut like = HashMap::new();
    for (tool, rows) in file.code {
        let table = codes.entry(tool.clone()).or_default();
        for (name, row) in rows {
            match row {
                Codes::Like(other) => {
                    anyhow::ensure!(name == "like", "{tool}.{name} is not a list of codes");
                    like.insert(tool.clone(), other);
                }
                Codes::List(list) => {
                    let category: Category = serde_json::from_value(serde_json::Value::String(name))?;
                    for code in list {
                        match code.strip_suffix('*') {
                            Some(prefix) => table.prefixes.push((prefix.to_owned(), category)),
                            None => {
                                table.exact.insert(code, category);
                            }
                        }
                    }
                }
            }
        }
        table.prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
    }
    let mut messages = Vec::new();
    for row in file.message {
        messages.push(MessageRule {
            category: row.category,
            tools: row.tools,
            pattern: Regex::new(&row.pattern)?,
        });
    }
    Ok(Tables { codes, like, messages })
}

/// The category of a complaint of `tool`: by its code, else by its message, else `None`.
pub fn find(tool: &str, code: Option<&str>, message: &str) -> Option<Category> {
    let tables = &*TABLES;
    let by_code = code.and_then(|code| {
        let owner = tables.like.get(tool).map_or(tool, String::as_str);
        let table = tables.codes.get(owner)?;
        table.exact.get(code).copied().or_else(|| {
            table.prefixes.iter().find(|(prefix, _)| code.starts_with(prefix)).map(|(_, category)| *category)
        })
    });
    by_code.or_else(|| {
        let fits = |rule: &&MessageRule| {
            (rule.tools.is_empty() || rule.tools.iter().any(|t| t == tool)) && rule.pattern.is_match(message)
        };
        tables.messages.iter().find(fits).map(|rule| rule.category)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_loads() {
        let tables = load(&data::table("categories.toml")).unwrap();
        assert!(tables.codes.len() > 10);
        for (tool, other) in &tables.like {
            assert!(tables.codes.contains_key(other), "{tool} is like {other}, which is not there");
        }
    }

    #[test]
    fn codes_come_before_messages_and_long_prefixes_before_short() {
        assert_eq!(find("rustc", Some("E0432"), ""), Some(Category::Import));
        assert_eq!(find("clippy", Some("clippy::needless_return"), ""), Some(Category::Style));
        assert_eq!(find("tsc", Some("TS2551"), ""), Some(Category::MissingMember));
        assert_eq!(find("tsc", Some("TS1005"), ""), Some(Category::Syntax));
        assert_eq!(find("tsc", Some("TS6133"), ""), Some(Category::Style));
        assert_eq!(find("tsc", Some("TS2345"), ""), Some(Category::Type));
        assert_eq!(find("ruff", Some("F821"), ""), Some(Category::UndefinedName));
        assert_eq!(find("ruff", Some("F401"), ""), Some(Category::Style));
        assert_eq!(find("python", Some("KeyError"), ""), Some(Category::Runtime));
        assert_eq!(find("vite", None, "\"sub\" is not exported by \"src/lib.js\"."), Some(Category::Export));
        assert_eq!(find("go", None, "undefined: x"), Some(Category::UndefinedName));
        assert_eq!(find("nobody", None, "nothing"), None);
    }
}
