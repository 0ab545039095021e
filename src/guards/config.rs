//! The rules of the game: check commands, CI, lints, compiler and test-runner configuration.
//!
//! A change there needs an approval; one that plainly loosens is refused. What only tightens or adds (an entry of `paths`, a new script that
//! no check runs) passes.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::Findings;
use super::delta::Delta;
use super::syntax::plain_json;

/// Files that say how the project is checked, by name.
const NAMES: &[&str] = &[
    "pytest.ini",
    ".pytest.ini",
    "conftest.py",
    "tox.ini",
    "setup.cfg",
    "noxfile.py",
    "mypy.ini",
    ".mypy.ini",
    "ruff.toml",
    ".ruff.toml",
    ".flake8",
    ".pylintrc",
    "pylintrc",
    "pyrightconfig.json",
    ".coveragerc",
    "sitecustomize.py",
    "usercustomize.py",
    "clippy.toml",
    ".clippy.toml",
    "rustfmt.toml",
    ".rustfmt.toml",
    "deny.toml",
    "rust-toolchain",
    "rust-toolchain.toml",
    "build.rs",
    "biome.json",
    "biome.jsonc",
    ".eslintrc",
    ".eslintignore",
    ".oxlintrc.json",
    "tslint.json",
    ".npmrc",
    ".yarnrc",
    ".yarnrc.yml",
    ".pnpmfile.cjs",
    ".pre-commit-config.yaml",
    ".gitattributes",
    ".gitlab-ci.yml",
    "Jenkinsfile",
    "azure-pipelines.yml",
    ".travis.yml",
    "bitbucket-pipelines.yml",
    "Makefile",
    "makefile",
    "GNUmakefile",
    "justfile",
    "Justfile",
    "Taskfile.yml",
    "Rakefile",
    ".golangci.yml",
    ".golangci.yaml",
    "codecov.yml",
    ".codecov.yml",
    ".nycrc",
    ".c8rc.json",
    ".lintstagedrc",
    "checkstyle.xml",
    "nextest.toml",
    "turbo.json",
    "nx.json",
];

/// The same, by how the name starts.
const STARTS: &[&str] = &[
    "jest.config.",
    "jest.setup.",
    "vitest.config.",
    "vitest.setup.",
    "vitest.workspace.",
    "playwright.config.",
    "cypress.config.",
    "karma.conf.",
    ".mocharc",
    "eslint.config.",
    ".eslintrc.",
    "babel.config.",
    "ava.config.",
    "web-test-runner.config.",
    ".stylelintrc",
];

/// Folders that say it.
const FOLDERS: &[&str] = &[
    ".github/workflows/",
    ".github/actions/",
    ".circleci/",
    ".buildkite/",
    ".husky/",
    ".cargo/",
    ".config/nextest",
];

/// Lines that loosen, in any of these files.
static LOOSER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r#"(?i)["']?:\s*\[?\s*["']off["']"#,
        r#"|["'][@\w/-]+["']\s*:\s*0\s*,?\s*$"#,
        r"|\|\|\s*(?:true|exit 0|:)(?:\W|$)|continue-on-error:\s*true|allow_failure:\s*true|--passWithNoTests|passWithNoTests\s*:\s*true|--no-verify|--exit-zero",
        r"|^\s*(?:extend-)?(?:ignore|exclude|per-file-ignores|disable|disable_error_code|ignore_errors|ignore_missing_imports)\b.*[=:]",
        r"|\b(?:addopts|testpaths|python_files|norecursedirs|collect_ignore(?:_glob)?)\b.*[=:]|--ignore(?:-glob)?[= ]|--deselect|-p\s+no:",
        r"|testPathIgnorePatterns|testMatch|testRegex|\bbail\b|retries?\s*:|coverageThreshold",
        r#"|^\s*runner\s*=|\[target\..*\]|RUSTFLAGS|--cap-lints|"-A\w"#,
        r"|\.outcome\s*=|\.passed\s*=\s*True|pytest_runtest_makereport|pytest_collection_modifyitems|items\[:\]|items\.clear|pytest\.skip|add_marker"
    ))
    .expect("constant pattern")
});

pub(super) fn check(delta: &Delta<'_>, found: &mut Findings) {
    let name = delta.old_path().file_name();
    match name {
        "package.json" => return package(delta, found),
        "Cargo.toml" => return cargo(delta, found),
        "pyproject.toml" => return pyproject(delta, found),
        _ if (name.starts_with("tsconfig") || name.starts_with("jsconfig")) && name.ends_with(".json") => {
            return compiler(delta, found);
        }
        _ => {}
    }
    let path = delta.old_path().as_str();
    if let Some(module) = shadowed(delta) {
        return found.refuse(
            "config",
            delta.path,
            None,
            format!(
                "a module of its own takes the place of {module}, which runs the tests; give it another name"
            ),
        );
    }
    let named = NAMES.contains(&name)
        || STARTS.iter().any(|start| name.starts_with(start))
        || name.ends_with(".pth")
        || FOLDERS.iter().any(|folder| path.starts_with(folder) || path.contains(&format!("/{folder}")));
    if !named {
        return;
    }
    if !delta.exists {
        return found.refuse(
            "config",
            delta.path,
            None,
            "the configuration of the checks is removed; repair the code instead",
        );
    }
    if delta.from.is_some() {
        found.refuse(
            "config",
            delta.path,
            None,
            format!("{path} sets up the checks and is moved away; repair the code instead"),
        );
    }
    match delta.added().into_iter().find(|(_, line)| LOOSER.is_match(line)) {
        Some((line, _)) => found.refuse(
            "config",
            delta.path,
            Some(line),
            "the checks are loosened here; repair the code instead",
        ),
        None => {
            let line = delta.added().first().map(|(line, _)| *line);
            found.approval(
                "config",
                delta.path,
                line,
                "the file sets up the checks; its change needs an approval",
            );
        }
    }
}

/// Modules that run Python's tests: one of the same name beside the code would run instead.
const RUNNERS: &[&str] = &["unittest", "pytest", "_pytest", "pluggy", "doctest", "nose2"];

/// The runner that a new file takes the place of, if any.
fn shadowed(delta: &Delta<'_>) -> Option<&'static str> {
    if !delta.path.file_name().ends_with(".py") || (delta.existed && delta.from.is_none()) {
        return None;
    }
    let parts = delta.path.as_str().trim_end_matches(".py").split('/');
    RUNNERS.iter().copied().find(|runner| parts.clone().any(|part| part == *runner))
}

fn json(text: Option<&str>) -> Option<Value> {
    serde_json::from_str(&plain_json(text?)).ok()
}

/// A command that succeeds whatever the code is like.
static HOLLOW: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"^\s*(?:true|:|exit(?: 0)?|echo\b[^&|;]*|node -e ["'][^"']{0,20}["'])?\s*$|\|\|\s*(?:true|exit 0|:|echo)|;\s*(?:true|exit 0)\s*$|--passWithNoTests|--no-verify|--max-warnings[= ]-?\d{2,}|--noEmit\s+false"#)
        .expect("constant pattern")
});

fn package(delta: &Delta<'_>, found: &mut Findings) {
    let line = |key: &str| {
        let quoted = format!("\"{key}\"");
        delta
            .after
            .and_then(|text| text.lines().position(|line| line.contains(&quoted)))
            .map(|index| index + 1)
    };
    if !delta.exists {
        return found.refuse(
            "config",
            delta.path,
            None,
            "the manifest with the check commands is removed; repair the code instead",
        );
    }
    let (old, new) = (json(delta.before), json(delta.after));
    let (Some(old), Some(new)) = (old.or_else(|| (!delta.existed).then_some(Value::Null)), new) else {
        return;
    };
    let scripts = |json: &Value| json.get("scripts").and_then(Value::as_object).cloned().unwrap_or_default();
    let (was, now) = (scripts(&old), scripts(&new));
    for (name, command) in &was {
        match now.get(name) {
            None => found.refuse(
                "config",
                delta.path,
                None,
                format!("the script {name:?} is removed; repair the code instead"),
            ),
            Some(new) if new != command => {
                let hollow = |value: &Value| value.as_str().is_some_and(|text| HOLLOW.is_match(text));
                if hollow(new) && !hollow(command) {
                    let reason = format!(
                        "the script {name:?} now succeeds whatever the code is like; repair the code instead"
                    );
                    found.refuse("config", delta.path, line(name), reason);
                } else {
                    found.approval(
                        "config",
                        delta.path,
                        line(name),
                        format!("the script {name:?} is changed; that needs an approval"),
                    );
                }
            }
            Some(_) => {}
        }
    }
    for name in now.keys().filter(|name| !was.contains_key(*name)) {
        // npm runs `pretest` and `postinstall` by themselves.
        let hook = ["pre", "post"].iter().any(|start| {
            name.strip_prefix(start).is_some_and(|rest| now.contains_key(rest) || rest == "install")
        }) || matches!(name.as_str(), "install" | "prepare" | "prepublish");
        if hook && delta.existed {
            found.approval(
                "config",
                delta.path,
                line(name),
                format!("the script {name:?} runs by itself; that needs an approval"),
            );
        }
    }
    for key in [
        "jest",
        "vitest",
        "mocha",
        "ava",
        "eslintConfig",
        "babel",
        "nyc",
        "c8",
        "lint-staged",
        "prettier",
        "xo",
        "tap",
    ] {
        if old.get(key) != new.get(key) && delta.existed {
            found.approval(
                "config",
                delta.path,
                line(key),
                format!("{key:?} sets up the checks; its change needs an approval"),
            );
        }
    }
}

const STRICT: &[&str] = &[
    "strict",
    "noImplicitAny",
    "strictNullChecks",
    "strictFunctionTypes",
    "strictBindCallApply",
    "strictPropertyInitialization",
    "noImplicitThis",
    "useUnknownInCatchVariables",
    "alwaysStrict",
    "noUnusedLocals",
    "noUnusedParameters",
    "noImplicitReturns",
    "noFallthroughCasesInSwitch",
    "noUncheckedIndexedAccess",
    "exactOptionalPropertyTypes",
    "noImplicitOverride",
    "noPropertyAccessFromIndexSignature",
    "noEmitOnError",
    "checkJs",
    "forceConsistentCasingInFileNames",
];
const LENIENT: &[&str] = &[
    "skipLibCheck",
    "skipDefaultLibCheck",
    "noCheck",
    "suppressImplicitAnyIndexErrors",
    "allowUnreachableCode",
    "allowUnusedLabels",
];

fn compiler(delta: &Delta<'_>, found: &mut Findings) {
    if !delta.exists {
        return found.refuse(
            "config",
            delta.path,
            None,
            "the compiler's configuration is removed; repair the code instead",
        );
    }
    let (Some(old), Some(new)) = (json(delta.before), json(delta.after)) else { return };
    let option =
        |json: &Value, key: &str| json.get("compilerOptions").and_then(|options| options.get(key)).cloned();
    let line = |key: &str| {
        delta.after.and_then(|text| text.lines().position(|line| line.contains(key))).map(|index| index + 1)
    };
    let mut loosened = |key: &str| {
        let reason = format!("{key:?} is loosened; repair the code instead");
        found.refuse("config", delta.path, line(key), reason);
    };
    for key in STRICT {
        let (was, now) = (option(&old, key), option(&new, key));
        let turned_off = now == Some(Value::Bool(false)) && was != now;
        // Within `strict` a flag that is not there is on.
        let dropped = was == Some(Value::Bool(true))
            && now.is_none()
            && (*key == "strict" || option(&new, "strict") != Some(Value::Bool(true)));
        if turned_off || dropped {
            loosened(key);
        }
    }
    for key in LENIENT {
        if option(&new, key) == Some(Value::Bool(true)) && option(&old, key) != Some(Value::Bool(true)) {
            loosened(key);
        }
    }
    for key in ["include", "exclude", "files", "extends", "references"] {
        if old.get(key) != new.get(key) {
            found.approval(
                "config",
                delta.path,
                line(key),
                format!("{key:?} says what is compiled; its change needs an approval"),
            );
        }
    }
}

fn toml(text: Option<&str>) -> Option<toml::Table> {
    text?.parse().ok()
}

fn cargo(delta: &Delta<'_>, found: &mut Findings) {
    if !delta.exists {
        return found.approval(
            "config",
            delta.path,
            None,
            "a package's manifest is removed; that needs an approval",
        );
    }
    let (Some(old), Some(new)) = (toml(delta.before), toml(delta.after)) else { return };
    let line = |key: &str| {
        delta
            .after
            .and_then(|text| text.lines().position(|line| line.trim_start().starts_with(key)))
            .map(|index| index + 1)
    };
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
        } else if key == "package.build"
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

fn pyproject(delta: &Delta<'_>, found: &mut Findings) {
    if !delta.exists {
        return found.refuse(
            "config",
            delta.path,
            None,
            "the configuration of the checks is removed; repair the code instead",
        );
    }
    let (Some(old), Some(new)) = (toml(delta.before), toml(delta.after)) else { return };
    let line = |key: &str| {
        delta
            .after
            .and_then(|text| text.lines().position(|line| line.trim_start().starts_with(key)))
            .map(|index| index + 1)
    };
    let tool =
        |table: &toml::Table| table.get("tool").cloned().unwrap_or(toml::Value::Table(toml::Table::new()));
    let (mut was, mut now) = (Vec::new(), Vec::new());
    flat(&tool(&old), "", &mut was);
    flat(&tool(&new), "", &mut now);
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

/// Whether the guard of this module, and not the one for tests, judges the file.
pub(super) fn owns(delta: &Delta<'_>) -> bool {
    let name = delta.old_path().file_name();
    NAMES.contains(&name) || STARTS.iter().any(|start| name.starts_with(start))
}
