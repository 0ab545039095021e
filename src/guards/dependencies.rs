//! New dependencies in manifests, and lock files edited by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;

use super::delta::Delta;
use super::syntax::{mended, plain_json};
use super::{Findings, before};
use crate::patch::RelPath;

const LOCKS: &[&str] = &[
    "Cargo.lock",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "bun.lock",
    "bun.lockb",
    "poetry.lock",
    "uv.lock",
    "pdm.lock",
    "Pipfile.lock",
    "go.sum",
    "Gemfile.lock",
    "composer.lock",
    "gradle.lockfile",
    "deno.lock",
];

/// Whether a file is a lock file by its name.
pub fn is_lock(path: &RelPath) -> bool {
    LOCKS.contains(&path.file_name())
}

pub(super) fn check(delta: &Delta<'_>, found: &mut Findings) {
    if is_lock(delta.path) {
        return found.refuse(
            "dependencies",
            delta.path,
            None,
            "a lock file is written by its tool; change the manifest instead",
        );
    }
    let Some(news) = news(delta) else {
        let reason = "the manifest could not be read before, and more is changed than what keeps it from that; that needs an approval";
        return found.approval("dependencies", delta.path, None, reason);
    };
    let after = delta.after.unwrap_or_default();
    for (dependency, version, what) in &news {
        let shown: String = version.chars().take(80).collect();
        let line =
            after.lines().position(|line| line.contains(dependency.rsplit(' ').next().unwrap_or(dependency)));
        let reason = format!("{dependency} ({shown}) {what}; that needs an approval");
        found.approval("dependencies", delta.path, line.map(|index| index + 1), reason);
    }
}

/// What a manifest asks for that it did not before: the package, the version, and which of the two is new, in words. `None` where the manifest
/// could not be read before, and more of it changed than what kept it from that.
pub(super) fn news(delta: &Delta<'_>) -> Option<Vec<(String, String, &'static str)>> {
    let name = delta.path.file_name();
    let Some((after, new)) = delta.after.and_then(|after| Some((after, read(name, after)?))) else {
        return Some(Vec::new());
    };
    let old = match read(name, before(delta)) {
        Some(old) => old,
        None if before(delta).trim().is_empty() => BTreeMap::new(),
        None => return mended(before(delta), after).then(Vec::new),
    };
    let news = new.into_iter().filter_map(|(dependency, version)| {
        let what = match old.get(&dependency) {
            None => "is a new dependency",
            Some(was) if *was != version => "asks for another version",
            Some(_) => return None,
        };
        Some((dependency, version, what))
    });
    Some(news.collect())
}

/// Whether a file of this name says what the project depends on.
pub(super) fn concerns(name: &str) -> bool {
    LOCKS.contains(&name) || read(name, "").is_some() || name == "package.json"
}

/// The packages that a manifest asks for, in lower case and with `_` for every `-` and `.`.
pub(super) fn names(manifest: &str, text: &str) -> BTreeSet<String> {
    let all = read(manifest, text).unwrap_or_default().into_keys();
    all.map(|name| name.split('[').next().unwrap_or_default().to_lowercase().replace(['-', '.'], "_"))
        .collect()
}

/// The dependencies of a manifest, by name, with what is asked of each. `None` where the file is no manifest.
fn read(name: &str, text: &str) -> Option<BTreeMap<String, String>> {
    match name {
        "package.json" => {
            let json: serde_json::Value = serde_json::from_str(&plain_json(text)).ok()?;
            let tables = [
                "dependencies",
                "devDependencies",
                "peerDependencies",
                "optionalDependencies",
                "overrides",
                "resolutions",
            ];
            Some(
                tables
                    .iter()
                    .filter_map(|table| json.get(table)?.as_object())
                    .flatten()
                    .map(|(name, version)| {
                        (name.clone(), version.as_str().map_or_else(|| version.to_string(), str::to_owned))
                    })
                    .collect(),
            )
        }
        "Cargo.toml" | "pyproject.toml" | "Pipfile" => {
            let mut all = BTreeMap::new();
            tables(&toml::Value::Table(text.parse().ok()?), "", &mut all);
            Some(all)
        }
        "go.mod" => Some(lines(&GO, text)),
        "pom.xml" => Some(lines(&MAVEN, text)),
        "build.gradle" | "build.gradle.kts" => Some(lines(&GRADLE, text)),
        "Gemfile" => Some(lines(&GEM, text)),
        _ if name.ends_with(".txt")
            && (name.starts_with("requirements") || name.starts_with("constraints")) =>
        {
            Some(lines(&REQUIREMENT, text))
        }
        _ => None,
    }
}

static GO: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?m)^\s*(?:require\s+|replace\s+)?([\w.-]+\.[\w./-]+)\s+(v[\w.+-]+|=>.*)"));
static MAVEN: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"<artifactId>\s*([^<\s]+)\s*</artifactId>\s*(?:<version>\s*([^<\s]+))?"));
static GRADLE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?mi)^\s*(?:\w*implementation|api|\w*compileOnly|\w*runtimeOnly)\s*\(?\s*["']([^"':]+:[^"':]+):?([^"']*)["']"#,
    )
});
static GEM: LazyLock<Regex> = LazyLock::new(|| pattern(r#"(?m)^\s*gem\s+["']([^"']+)["'](.*)$"#));
static REQUIREMENT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?m)^[ \t]*([A-Za-z0-9][\w.\[\],-]*|-[re][ \t]+\S+|git\+\S+|https?://\S+)[ \t]*([^#\n]*)")
});

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("constant pattern")
}

fn lines(pattern: &Regex, text: &str) -> BTreeMap<String, String> {
    pattern
        .captures_iter(text)
        .map(|found| (found[1].to_owned(), found.get(2).map_or("", |m| m.as_str()).trim().to_owned()))
        .collect()
}

/// Collects the tables and lists that name dependencies, wherever they stand.
fn tables(value: &toml::Value, at: &str, all: &mut BTreeMap<String, String>) {
    let toml::Value::Table(table) = value else { return };
    for (key, value) in table {
        let here = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        let named = key.ends_with("dependencies")
            || matches!(
                key.as_str(),
                "patch" | "replace" | "packages" | "dev-packages" | "requires" | "dependency-groups"
            )
            || here.starts_with("patch.")
            || here.starts_with("project.optional-dependencies.")
            || here.starts_with("dependency-groups.");
        match value {
            toml::Value::Table(inner) if named && !inner.values().all(toml::Value::is_array) => {
                all.extend(inner.iter().filter(|(name, _)| *name != "python").map(|(name, version)| {
                    (name.clone(), version.as_str().map_or_else(|| version.to_string(), str::to_owned))
                }));
            }
            toml::Value::Array(list) if named => {
                for entry in list.iter().filter_map(toml::Value::as_str) {
                    let end = entry
                        .find(|c: char| !(c.is_alphanumeric() || "-_.[]".contains(c)))
                        .unwrap_or(entry.len());
                    all.insert(entry[..end].to_owned(), entry[end..].trim().to_owned());
                }
            }
            value => tables(value, &here, all),
        }
    }
}
