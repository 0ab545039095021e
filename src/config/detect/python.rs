//! Python: pytest, tox, unittest; uv, poetry, pipenv and plain virtual environments; ruff, mypy and pyright where configured.

use std::collections::BTreeSet;
use std::path::Path;

use toml::Table;

use super::{Draft, Folder, Members, Outer, Project};

const MANIFESTS: &[&str] =
    &["pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "Pipfile", "tox.ini", "pytest.ini"];
const REQUIREMENTS: &[&str] = &[
    "requirements.txt",
    "requirements-dev.txt",
    "requirements_dev.txt",
    "dev-requirements.txt",
    "requirements-test.txt",
];

/// A Python project. A folder below another one counts only with a manifest of its own; a member of a uv workspace only where the
/// workspace itself has no tests.
pub(super) fn project(folder: &Folder<'_>, outer: Option<Outer<'_>>) -> Option<Project> {
    let loose =
        folder.dir.is_empty() && (folder.has("conftest.py") || folder.files.iter().any(|name| is_test(name)));
    if !folder.has_any(MANIFESTS) && !folder.has("manage.py") && !loose {
        return None;
    }
    if outer.is_some() && !folder.has_any(&["pyproject.toml", "requirements.txt"]) {
        return None;
    }
    let workspace = outer.filter(Outer::has_as_member).map(|outer| outer.project);
    if workspace.is_some_and(|outer| outer.checks.iter().any(|check| check.kind == "test")) {
        return None;
    }
    let pyproject: Table = folder.text("pyproject.toml").parse().unwrap_or_default();
    let tools = pyproject.get("tool").and_then(|value| value.as_table()).cloned().unwrap_or_default();
    let mut project = Project { ecosystem: "python", ..Project::default() };
    project.members = members(&tools);
    let runner = match workspace {
        Some(_) => Runner::Managed { prefix: "uv run --no-sync ", lock: "uv.lock" },
        None => runner(folder, &tools, &mut project),
    };
    let setup_cfg = folder.text("setup.cfg");
    let tests = tests(folder, project.members.is_some());

    if uses_pytest(folder, &tools, &setup_cfg, &tests) {
        project.checks.push(Draft::new("test", runner.module("pytest"), 15));
        if folder.has("tox.ini") {
            project.notes.push("there is a tox.ini; pytest is run directly because tox makes its environments from the network".to_owned());
        }
        if matches!(runner, Runner::Plain) && !folder.programs.has("pytest") {
            project.notes.push("pytest is not installed; the tests need it for python3".to_owned());
        }
    } else if folder.has("manage.py") && folder.text("manage.py").contains("django") {
        project.checks.push(Draft::new("test", runner.script("manage.py test"), 15));
    } else if folder.has("tox.ini") || tools.contains_key("tox") {
        project.checks.push(Draft::new("test", "tox", 20));
    } else if let Some(place) = unittest_folder(folder, &tests) {
        project.checks.push(Draft::new("test", runner.script(&format!("-m unittest discover{place}")), 15));
    }
    if tools.contains_key("ruff") || folder.has_any(&["ruff.toml", ".ruff.toml"]) {
        add_tool(folder, &runner, &mut project, "lint", "ruff", " check .", 5);
    }
    let mypy = tools.contains_key("mypy")
        || folder.has_any(&["mypy.ini", ".mypy.ini"])
        || setup_cfg.lines().any(|line| line.trim() == "[mypy]");
    if mypy {
        // Without files of its own configuration mypy wants to be told what to read.
        let files = tools.get("mypy").and_then(|mypy| mypy.get("files").or(mypy.get("packages")));
        let what = if files.is_some() { "" } else { " ." };
        add_tool(folder, &runner, &mut project, "typecheck", "mypy", what, 10);
    } else if tools.contains_key("pyright") || folder.has("pyrightconfig.json") {
        add_tool(folder, &runner, &mut project, "typecheck", "pyright", "", 10);
    }
    let listed = REQUIREMENTS.iter().any(|name| folder.has(name));
    if matches!(runner, Runner::Plain) && listed && !project.checks.is_empty() {
        project
            .notes
            .push("no virtual environment was found: checks use python3 with what is installed".to_owned());
    }
    Some(project)
}

/// The members of a uv workspace.
fn members(tools: &Table) -> Option<Members> {
    let workspace = tools.get("uv")?.get("workspace")?;
    let list = |name: &str| -> Vec<String> {
        let items = workspace.get(name).and_then(|list| list.as_array()).into_iter().flatten();
        items.filter_map(|item| item.as_str()).map(str::to_owned).collect()
    };
    let excluded = list("exclude").into_iter().map(|pattern| format!("!{pattern}"));
    let patterns: Vec<String> = list("members").into_iter().chain(excluded).collect();
    Some(Members::of(patterns.iter().map(String::as_str)))
}

/// How the project's own interpreter and tools are reached.
enum Runner {
    /// By a manager that keeps an environment for the project, made from its lock.
    Managed {
        /// What stands before the program.
        prefix: &'static str,
        /// Where the manager writes what it installs.
        lock: &'static str,
    },
    /// By the virtual environment in this folder.
    Venv(&'static str),
    /// By what is installed on the machine.
    Plain,
}

impl Runner {
    /// A module that is also a program of the same name.
    fn module(&self, words: &str) -> String {
        match self {
            Runner::Managed { prefix, .. } => format!("{prefix}{words}"),
            Runner::Venv(_) | Runner::Plain => self.script(&format!("-m {words}")),
        }
    }

    /// Whatever the interpreter is given.
    fn script(&self, words: &str) -> String {
        match self {
            Runner::Managed { prefix, .. } => format!("{prefix}python {words}"),
            Runner::Venv(venv) => format!("{venv}/bin/python {words}"),
            Runner::Plain => format!("python3 {words}"),
        }
    }
}

/// Adds a linter or type checker that the project configures, if it is there or its manager installs it.
fn add_tool(
    folder: &Folder<'_>,
    runner: &Runner,
    project: &mut Project,
    kind: &'static str,
    tool: &str,
    arguments: &str,
    minutes: u64,
) {
    let named = |file: &str| requires(&folder.text(file), tool);
    let there = match runner {
        Runner::Managed { lock, .. } if folder.has(lock) => named(lock),
        Runner::Managed { .. } => named("pyproject.toml") || named("Pipfile"),
        Runner::Venv(venv) => {
            folder.exists(&format!("{venv}/bin/{tool}"))
                || REQUIREMENTS.iter().any(|file| folder.has(file) && named(file))
        }
        Runner::Plain => folder.programs.has(tool),
    };
    if !there {
        project.notes.push(format!("{tool} is configured and not installed; it was left out"));
        return;
    }
    let run = match runner {
        // The program that was found, whose interpreter need not be python3.
        Runner::Plain => format!("{tool}{arguments}"),
        _ => runner.module(&format!("{tool}{arguments}")),
    };
    project.checks.push(Draft::new(kind, run, minutes));
}

/// Whether a lock, a manifest or a list of requirements names a package: as a word of its own, and not as a table of settings.
fn requires(text: &str, package: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !line.starts_with(['[', '#'])
            && line.split(|c: char| !plain(c)).any(|word| word.eq_ignore_ascii_case(package))
    })
}

/// How the project's tools are reached; sets the setup command that goes with it.
fn runner(folder: &Folder<'_>, tools: &Table, project: &mut Project) -> Runner {
    if folder.has("uv.lock") || tools.contains_key("uv") {
        let frozen = if folder.has("uv.lock") { " --frozen" } else { "" };
        let all = if project.members.is_some() { " --all-packages" } else { "" };
        project.setup = Some(format!("uv sync{frozen}{all}"));
        return Runner::Managed { prefix: "uv run --no-sync ", lock: "uv.lock" };
    }
    if folder.has("poetry.lock") || tools.contains_key("poetry") {
        project.setup = Some("poetry install --no-interaction".to_owned());
        return Runner::Managed { prefix: "poetry run ", lock: "poetry.lock" };
    }
    if folder.has("Pipfile") {
        let exact = if folder.has("Pipfile.lock") { "sync" } else { "install" };
        project.setup = Some(format!("pipenv {exact} --dev"));
        return Runner::Managed { prefix: "pipenv run ", lock: "Pipfile.lock" };
    }
    let requirements: Vec<String> =
        REQUIREMENTS.iter().filter(|name| folder.has(name)).map(|name| format!("-r {name}")).collect();
    let venv = [".venv", "venv"].into_iter().find(|name| folder.exists(&format!("{name}/bin/python")));
    match venv {
        Some(venv) => {
            if !requirements.is_empty() {
                project.setup = Some(format!("{venv}/bin/python -m pip install {}", requirements.join(" ")));
            }
            Runner::Venv(venv)
        }
        None => Runner::Plain,
    }
}

/// A test file: its folder relative to the project's, its name and its text.
struct TestFile {
    dir: String,
    name: String,
    text: String,
}

/// The most test files that are read to find out which runner they are for.
const MOST_READ: usize = 20;

/// The project's test files, the ones inside its package too; `all` looks into the projects below it as well.
fn tests(folder: &Folder<'_>, all: bool) -> Vec<TestFile> {
    let other = |names: &BTreeSet<String>| {
        !all && (names.contains("pyproject.toml") || names.contains("requirements.txt"))
    };
    let found = folder.below(other).filter(|(_, name)| is_test(name)).take(MOST_READ);
    found
        .map(|(dir, name)| {
            let path = if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
            TestFile { dir: dir.to_owned(), name: name.to_owned(), text: folder.text(&path) }
        })
        .collect()
}

fn uses_pytest(folder: &Folder<'_>, tools: &Table, setup_cfg: &str, tests: &[TestFile]) -> bool {
    folder.has_any(&["pytest.ini", ".pytest.ini", "conftest.py"])
        || tools.contains_key("pytest")
        || setup_cfg.contains("[tool:pytest]")
        || ["pyproject.toml", "tox.ini", "Pipfile"]
            .iter()
            .chain(REQUIREMENTS)
            .any(|name| folder.has(name) && folder.text(name).contains("pytest"))
        || ["tests/conftest.py", "test/conftest.py"].iter().any(|path| folder.exists(path))
        // pytest runs unittest's tests too, but functions outside a class are its own.
        || tests.iter().any(|test| {
            test.text.contains("import pytest") || test.text.lines().any(|line| line.starts_with("def test_"))
        })
}

fn is_test(name: &str) -> bool {
    name.ends_with(".py") && (name.starts_with("test_") || name.ends_with("_test.py"))
}

/// Where unittest starts, as an option; `None` where it finds no tests.
fn unittest_folder(folder: &Folder<'_>, tests: &[TestFile]) -> Option<String> {
    // It looks for this pattern, and from the top only into packages.
    let mut seen = tests.iter().filter(|test| test.name.starts_with("test"));
    let package = |dir: &str| {
        Path::new(dir)
            .ancestors()
            .filter_map(Path::to_str)
            .filter(|part| !part.is_empty())
            .all(|part| folder.exists(&format!("{part}/__init__.py")))
    };
    let first = seen.next()?;
    if std::iter::once(first).chain(seen).any(|test| test.dir.is_empty()) {
        return Some(String::new());
    }
    let dir = first.dir.as_str();
    let top = dir.split('/').next().unwrap_or(dir);
    Some(match (package(dir), matches!(top, "tests" | "test")) {
        (true, true) => format!(" -s {top} -t ."),
        (true, false) => String::new(),
        (false, _) => format!(" -s {}", shell_words::quote(dir)),
    })
}
