//! npm, pnpm, yarn and bun.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Draft, Folder, Members, Outer, Project};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Manifest {
    scripts: BTreeMap<String, Value>,
    package_manager: Option<Value>,
    workspaces: Option<Value>,
    dependencies: BTreeMap<String, Value>,
    dev_dependencies: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manager {
    Npm,
    Pnpm,
    Yarn,
    Bun,
}

impl Manager {
    fn of(folder: &Folder<'_>, manifest: &Manifest) -> Option<Self> {
        let named = manifest.package_manager.as_ref().and_then(Value::as_str).unwrap_or_default();
        let named = match named.split('@').next().unwrap_or_default() {
            "npm" => Some(Manager::Npm),
            "pnpm" => Some(Manager::Pnpm),
            "yarn" => Some(Manager::Yarn),
            "bun" => Some(Manager::Bun),
            _ => None,
        };
        let locks: [(Manager, &[&str]); 4] = [
            (Manager::Pnpm, &["pnpm-lock.yaml"]),
            (Manager::Yarn, &["yarn.lock"]),
            (Manager::Bun, &["bun.lock", "bun.lockb"]),
            (Manager::Npm, &["package-lock.json", "npm-shrinkwrap.json"]),
        ];
        let locked = locks.iter().find(|(_, names)| folder.has_any(names)).map(|(manager, _)| *manager);
        named.or(locked)
    }

    fn install(self, folder: &Folder<'_>, manifest: &Manifest) -> &'static str {
        let version = manifest.package_manager.as_ref().and_then(Value::as_str).unwrap_or_default();
        match self {
            Manager::Npm if folder.has_any(&["package-lock.json", "npm-shrinkwrap.json"]) => "npm ci",
            Manager::Npm => "npm install",
            Manager::Pnpm => "pnpm install --frozen-lockfile",
            Manager::Yarn
                if folder.has(".yarnrc.yml") || !(version.is_empty() || version.starts_with("yarn@1")) =>
            {
                "yarn install --immutable"
            }
            Manager::Yarn => "yarn install --frozen-lockfile",
            Manager::Bun => "bun install --frozen-lockfile",
        }
    }

    fn script(self, name: &str) -> String {
        match (self, name) {
            (Manager::Npm, "test") => "npm test".to_owned(),
            (Manager::Npm, _) => format!("npm run {name}"),
            (Manager::Pnpm, _) => format!("pnpm run {name}"),
            (Manager::Yarn, _) => format!("yarn run {name}"),
            (Manager::Bun, _) => format!("bun run {name}"),
        }
    }

    /// Runs a program of the project's own `node_modules`, and never one from the network.
    fn program(self, words: &str) -> String {
        match self {
            Manager::Npm => format!("npx --no-install {words}"),
            Manager::Pnpm => format!("pnpm exec {words}"),
            Manager::Yarn => format!("yarn run {words}"),
            Manager::Bun => format!("bun run {words}"),
        }
    }
}

/// Scripts that may be checks: kind, the names they go by, minutes.
const SCRIPTS: &[(&str, &[&str], u64)] = &[
    ("build", &["build"], 10),
    ("typecheck", &["typecheck", "type-check", "check-types", "check:types", "types", "tsc"], 5),
    ("test", &["test"], 15),
    ("lint", &["lint"], 5),
];

/// A package. A member of a workspace is installed with it, and adds only the checks that the workspace itself does not have.
pub(super) fn package(folder: &Folder<'_>, outer: Option<Outer<'_>>) -> Option<Project> {
    if !folder.has("package.json") {
        return None;
    }
    let text = folder.text("package.json");
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let manifest: Manifest = serde_json::from_str(text).unwrap_or_default();
    let outer = outer.filter(Outer::has_as_member).map(|outer| outer.project);
    let inherited = || {
        let setup = outer?.setup.as_deref()?;
        let managers =
            [("npm", Manager::Npm), ("pnpm", Manager::Pnpm), ("yarn", Manager::Yarn), ("bun", Manager::Bun)];
        managers.into_iter().find(|(name, _)| setup.starts_with(&format!("{name} "))).map(|(_, one)| one)
    };
    let own = Manager::of(folder, &manifest);
    let manager = inherited().or(own).unwrap_or(Manager::Npm);
    let mut project = Project { ecosystem: "node", ..Project::default() };
    for (kind, names, minutes) in SCRIPTS {
        if outer.is_some_and(|outer| outer.checks.iter().any(|check| check.kind == *kind)) {
            continue;
        }
        let script = names.iter().find_map(|name| Some((*name, manifest.scripts.get(*name)?.as_str()?)));
        let Some((name, body)) = script else { continue };
        if body.contains("no test specified") {
            continue;
        }
        if body.contains("--watch") && !body.contains("--watch=false") && !body.contains("--watchAll=false") {
            project.notes.push(format!("the script `{name}` watches and never ends; it was left out"));
            continue;
        }
        // Create React App's runner watches unless it is told that nobody does.
        let prefix = if body.contains("react-scripts test") { "CI=true " } else { "" };
        project.checks.push(Draft::new(kind, format!("{prefix}{}", manager.script(name)), *minutes));
    }
    let typescript = manifest.dependencies.contains_key("typescript")
        || manifest.dev_dependencies.contains_key("typescript");
    let compiles = ["build", "typecheck"]
        .iter()
        .any(|kind| project.checks.iter().any(|check| check.kind == *kind && runs_tsc(kind, &manifest)));
    if folder.has("tsconfig.json") && typescript && !compiles {
        project.checks.push(Draft::new("typecheck", manager.program("tsc --noEmit"), 5));
    }
    project.members = members(folder, &manifest);
    let needs_install = own.is_some()
        || project.members.is_some()
        || !(manifest.dependencies.is_empty() && manifest.dev_dependencies.is_empty());
    if outer.is_none() && needs_install {
        project.setup = Some(manager.install(folder, &manifest).to_owned());
    }
    Some(project)
}

/// The workspace's members, as npm, yarn and bun, pnpm or lerna are told of them.
fn members(folder: &Folder<'_>, manifest: &Manifest) -> Option<Members> {
    let strings = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let patterns = if let Some(workspaces) = &manifest.workspaces {
        strings(workspaces.get("packages").unwrap_or(workspaces))
    } else if folder.has("pnpm-workspace.yaml") {
        listed(&folder.text("pnpm-workspace.yaml"))
    } else if folder.has("lerna.json") {
        let lerna: Value = serde_json::from_str(&folder.text("lerna.json")).unwrap_or_default();
        match strings(&lerna["packages"]) {
            none if none.is_empty() => vec!["packages/*".to_owned()],
            some => some,
        }
    } else {
        return None;
    };
    Some(Members::of(patterns.iter().map(String::as_str)))
}

/// The items of the list `packages` in a pnpm-workspace.yaml: a block or a flow sequence of plain or quoted texts.
fn listed(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let value = |line: &str| {
        let key = ["packages", "\"packages\"", "'packages'"].iter().find_map(|key| line.strip_prefix(key))?;
        key.trim_start_matches([' ', '\t']).strip_prefix(':').map(str::len)
    };
    let mut end = 0;
    let start = text.split_inclusive('\n').find_map(|line| {
        end += line.len();
        Some(end - value(line)?)
    });
    let Some(start) = start else { return Vec::new() };
    let mut items = Vec::new();
    let mut rest = past_blank(&text[start..]);
    if let Some(flow) = rest.strip_prefix('[') {
        rest = past_blank(flow);
        while !rest.is_empty() && !rest.starts_with(']') {
            if let Some(next) = rest.strip_prefix(',') {
                rest = past_blank(next);
                continue;
            }
            let (item, behind) = scalar(rest, true);
            items.push(item);
            rest = past_blank(behind);
        }
    } else {
        while let Some(item) = rest.strip_prefix('-').filter(|item| item.starts_with([' ', '\t'])) {
            let (item, behind) = scalar(item.trim_start_matches([' ', '\t']), false);
            items.push(item);
            rest = past_blank(&behind[behind.find('\n').unwrap_or(behind.len())..]);
        }
    }
    items.retain(|item| !item.is_empty());
    items
}

/// What comes behind white space, line ends and comments.
fn past_blank(text: &str) -> &str {
    let mut rest = text.trim_start();
    while rest.starts_with('#') {
        rest = rest[rest.find('\n').unwrap_or(rest.len())..].trim_start();
    }
    rest
}

/// The YAML text that `text` starts with, and what is behind it. In a `flow` sequence commas and brackets end a plain one.
fn scalar(text: &str, flow: bool) -> (String, &str) {
    if let Some(quote @ ('"' | '\'')) = text.chars().next() {
        let mut item = String::new();
        let mut chars = text.char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            let escaped = (quote == '"' && c == '\\')
                || (quote == '\'' && c == '\'' && chars.peek().is_some_and(|(_, next)| *next == '\''));
            if escaped {
                item.extend(chars.next().map(|(_, c)| c));
            } else if c == quote {
                return (item, &text[at + 1..]);
            } else {
                item.push(c);
            }
        }
        return (item, "");
    }
    let ends = |(at, c): &(usize, char)| {
        *c == '\n' || (flow && matches!(c, ',' | ']')) || (*c == '#' && text[..*at].ends_with([' ', '\t']))
    };
    let end = text.char_indices().find(ends).map_or(text.len(), |(at, _)| at);
    (text[..end].trim_end().to_owned(), &text[end..])
}

fn runs_tsc(kind: &str, manifest: &Manifest) -> bool {
    kind == "typecheck"
        || manifest.scripts.get("build").and_then(Value::as_str).is_some_and(|body| body.contains("tsc"))
}
