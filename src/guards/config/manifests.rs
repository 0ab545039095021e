//! The manifests of Cargo and of Python projects.

use super::super::Findings;
use super::super::delta::Delta;

/// The manifest before and after, where both parse.
fn tables(delta: &Delta<'_>) -> Option<(toml::Table, toml::Table)> {
    Some((delta.before?.parse().ok()?, delta.after?.parse().ok()?))
}

/// The first line of the new text that starts with `key`, counted from 1.
fn line_of(delta: &Delta<'_>, key: &str) -> Option<usize> {
    Some(delta.after?.lines().position(|line| line.trim_start().starts_with(key))? + 1)
}

pub(super) fn cargo(delta: &Delta<'_>, found: &mut Findings) {
    if !delta.exists {
        return found.approval(
            "config",
            delta.path,
            None,
            "a package's manifest is removed; that needs an approval",
        );
    }
    let Some((old, new)) = tables(delta) else { return };
    let line = |key: &str| line_of(delta, key);
    let mut was = Vec::new();
    let mut now = Vec::new();
    flat(&toml::Value::Table(old), "", &mut was);
    flat(&toml::Value::Table(new), "", &mut now);
    let get = |all: &[(String, String)], key: &str| {
        all.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    };
    let level =
        |value: &str| ["allow", "warn", "deny", "forbid"].iter().position(|level| value.contains(level));
    for (key, value) in
        was.iter().filter(|(key, _)| key.starts_with("lints.") || key.starts_with("workspace.lints."))
    {
        let weaker = get(&now, key).is_none_or(|new| level(&new) < level(value));
        if weaker && (key.ends_with(".level") || level(value).is_some()) {
            found.refuse(
                "config",
                delta.path,
                None,
                format!("the lint {key} is weakened; repair the code instead"),
            );
        }
    }
    let inherited =
        |all: &[(String, String)]| get(all, "lints.workspace").is_some_and(|value| value == "true");
    if inherited(&was) && !inherited(&now) {
        found.refuse(
            "config",
            delta.path,
            None,
            "the workspace's lints are dropped; repair the code instead",
        );
    }
    for (key, value) in &now {
        let fresh = get(&was, key).as_ref() != Some(value);
        let last = key.rsplit('.').next().unwrap_or(key);
        if !fresh {
            continue;
        }
        let target =
            ["lib.", "bin.", "test.", "bench.", "example."].iter().any(|start| key.starts_with(start));
        if value == "false"
            && ((target && matches!(last, "test" | "harness" | "doctest"))
                || matches!(last, "autotests" | "autobins"))
        {
            found.refuse(
                "config",
                delta.path,
                line(last),
                format!("{key} = false takes tests away; repair the code instead"),
            );
        } else if key.contains("lints.") && level(value) == Some(0) {
            found.refuse(
                "config",
                delta.path,
                line(last),
                format!("the lint {key} is switched off; repair the code instead"),
            );
        } else if matches!(last, "overflow-checks" | "debug-assertions") && value == "false" {
            found.refuse(
                "config",
                delta.path,
                line(last),
                format!("{key} = false takes checks away; repair the code instead"),
            );
        } else if key.starts_with("test.")
            && (last == "required-features" || key.contains(".required-features"))
        {
            let reason = "a test target runs only with some features; repair the code instead";
            found.refuse("config", delta.path, line(last), reason);
        } else if key == "package.build"
            || (target && last == "path" && (key == "lib.path" || get(&was, key).is_some()))
            || key.starts_with("features.default")
            || key == "workspace.exclude"
            || key == "workspace.default-members"
            || key == "workspace.members"
        {
            found.approval(
                "config",
                delta.path,
                line(last),
                format!("{key} says what is built; its change needs an approval"),
            );
        }
    }
    for (key, _) in was.iter().filter(|(key, _)| key.starts_with("test.") && key.ends_with(".name")) {
        if get(&now, key).is_none() {
            found.refuse("config", delta.path, None, "a test target is removed; repair the code instead");
        }
    }
}

pub(super) fn pyproject(delta: &Delta<'_>, found: &mut Findings) {
    if !delta.exists {
        return found.refuse(
            "config",
            delta.path,
            None,
            "the configuration of the checks is removed; repair the code instead",
        );
    }
    let Some((old, new)) = tables(delta) else { return };
    let line = |key: &str| line_of(delta, key);
    let tool =
        |table: &toml::Table| table.get("tool").cloned().unwrap_or(toml::Value::Table(toml::Table::new()));
    let (mut was, mut now) = (Vec::new(), Vec::new());
    flat(&tool(&old), "", &mut was);
    flat(&tool(&new), "", &mut now);
    let plugins = |table: &toml::Table| table.get("project")?.get("entry-points")?.get("pytest11").cloned();
    if plugins(&old) != plugins(&new) {
        let reason = "the package becomes a part of pytest; that needs an approval";
        found.approval("config", delta.path, line("[project.entry-points.pytest11"), reason);
    }
    const TOOLS: &[&str] = &[
        "pytest.",
        "ruff.",
        "mypy.",
        "pyright.",
        "basedpyright.",
        "coverage.",
        "pylint.",
        "flake8.",
        "black.",
        "isort.",
        "tox.",
        "nox.",
        "bandit.",
        "hatch.envs.",
        "pdm.scripts.",
        "poe.",
        "ty.",
    ];
    let ours = |key: &str| TOOLS.iter().any(|tool| key.starts_with(tool));
    let mut changed: Vec<(&str, bool)> = Vec::new();
    for (key, value) in now.iter().filter(|(key, _)| ours(key)) {
        if !was.iter().any(|(name, old)| name == key && old == value) {
            let last = key.rsplit('.').next().unwrap_or(key);
            let looser = [
                "ignore",
                "exclude",
                "disable",
                "addopts",
                "testpaths",
                "omit",
                "python_files",
                "norecursedirs",
                "filterwarnings",
                "skips",
                "fail_under",
                "python_functions",
                "python_classes",
                "plugins",
                "follow_imports",
                "fail-under",
                "allow_untyped",
                "per-module",
            ]
            .iter()
            .any(|word| key.contains(word))
                || ((last.starts_with("strict")
                    || last.starts_with("disallow")
                    || last.starts_with("warn_")
                    || last.starts_with("check_"))
                    && value == "false")
                || (last == "typeCheckingMode" && matches!(value.as_str(), "off" | "basic"))
                || (last.starts_with("report") && matches!(value.as_str(), "none" | "false"));
            changed.push((key, looser));
        }
    }
    for (key, _) in
        was.iter().filter(|(key, _)| ours(key) && !key.contains("ignore") && !key.contains("exclude"))
    {
        if !now.iter().any(|(name, _)| name == key) {
            changed.push((key, false));
        }
    }
    for (key, looser) in changed {
        let last = key.rsplit('.').next().unwrap_or(key);
        if looser {
            found.refuse(
                "config",
                delta.path,
                line(last),
                format!("tool.{key} loosens the checks; repair the code instead"),
            );
        } else {
            found.approval(
                "config",
                delta.path,
                line(last),
                format!("tool.{key} sets up the checks; its change needs an approval"),
            );
        }
    }
}

/// A value as dotted keys with plain values; the tables of a list go by their name where they have one.
fn flat(value: &toml::Value, at: &str, all: &mut Vec<(String, String)>) {
    let below = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
    match value {
        toml::Value::Table(table) => table.iter().for_each(|(key, value)| flat(value, &below(key), all)),
        toml::Value::Array(list) if list.iter().any(toml::Value::is_table) => {
            for (index, entry) in list.iter().enumerate() {
                let name = entry
                    .get("name")
                    .and_then(toml::Value::as_str)
                    .map_or_else(|| index.to_string(), str::to_owned);
                flat(entry, &below(&name), all);
            }
        }
        value => all.push((at.to_owned(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))),
    }
}
