//! Python: pytest, tox, unittest; uv, poetry, pipenv and plain virtual environments; ruff, mypy and pyright where configured.

use toml::Table;

use super::{Draft, Folder, Project};

const MANIFESTS: &[&str] =
    &["pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "Pipfile", "tox.ini", "pytest.ini"];
const REQUIREMENTS: &[&str] = &[
    "requirements.txt",
    "requirements-dev.txt",
    "requirements_dev.txt",
    "dev-requirements.txt",
    "requirements-test.txt",
];

/// A Python project; a folder below another one counts only with a `pyproject.toml` or a lock of its own.
pub(super) fn project(folder: &Folder<'_>, inside: bool) -> Option<Project> {
    let loose =
        folder.dir.is_empty() && (folder.has("conftest.py") || folder.files.iter().any(|name| is_test(name)));
    if !folder.has_any(MANIFESTS) && !loose {
        return None;
    }
    if inside && !folder.has_any(&["pyproject.toml", "requirements.txt"]) {
        return None;
    }
    let pyproject: Table = folder.text("pyproject.toml").parse().unwrap_or_default();
    let tools = pyproject.get("tool").and_then(|value| value.as_table()).cloned().unwrap_or_default();
    let mut project = Project { ecosystem: "python", ..Project::default() };
    let run = runner(folder, &tools, &mut project);
    let setup_cfg = folder.text("setup.cfg");

    if uses_pytest(folder, &tools, &setup_cfg) {
        project.checks.push(Draft::new("test", run("pytest"), 15));
        if folder.has("tox.ini") {
            project.notes.push("there is a tox.ini; pytest is run directly because tox makes its environments from the network".to_owned());
        }
    } else if folder.has("tox.ini") || tools.contains_key("tox") {
        project.checks.push(Draft::new("test", "tox", 20));
    } else if let Some(place) = unittest_folder(folder) {
        project.checks.push(Draft::new("test", run(&format!("unittest discover{place}")), 15));
    }
    if tools.contains_key("ruff") || folder.has_any(&["ruff.toml", ".ruff.toml"]) {
        project.checks.push(Draft::new("lint", run("ruff check ."), 5));
    }
    let mypy = tools.contains_key("mypy")
        || folder.has_any(&["mypy.ini", ".mypy.ini"])
        || setup_cfg.lines().any(|line| line.trim() == "[mypy]");
    if mypy {
        // Without files of its own configuration mypy wants to be told what to read.
        let files = tools.get("mypy").and_then(|mypy| mypy.get("files").or(mypy.get("packages")));
        project.checks.push(Draft::new(
            "typecheck",
            run(if files.is_some() { "mypy" } else { "mypy ." }),
            10,
        ));
    } else if tools.contains_key("pyright") || folder.has("pyrightconfig.json") {
        project.checks.push(Draft::new("typecheck", run("pyright"), 10));
    }
    Some(project)
}

/// How the project's own interpreter is reached; sets the setup command that goes with it.
fn runner(folder: &Folder<'_>, tools: &Table, project: &mut Project) -> Box<dyn Fn(&str) -> String> {
    let prefix = if folder.has("uv.lock") || tools.contains_key("uv") {
        let frozen = if folder.has("uv.lock") { " --frozen" } else { "" };
        project.setup = Some(format!("uv sync{frozen}"));
        "uv run --no-sync ".to_owned()
    } else if folder.has("poetry.lock") || tools.contains_key("poetry") {
        project.setup = Some("poetry install --no-interaction".to_owned());
        "poetry run ".to_owned()
    } else if folder.has("Pipfile") {
        let exact = if folder.has("Pipfile.lock") { "sync" } else { "install" };
        project.setup = Some(format!("pipenv {exact} --dev"));
        "pipenv run ".to_owned()
    } else {
        let venv = [".venv", "venv"].into_iter().find(|name| folder.exists(&format!("{name}/bin/python")));
        let requirements: Vec<String> =
            REQUIREMENTS.iter().filter(|name| folder.has(name)).map(|name| format!("-r {name}")).collect();
        match venv {
            Some(venv) if !requirements.is_empty() => {
                project.setup = Some(format!("{venv}/bin/python -m pip install {}", requirements.join(" ")));
            }
            None if !requirements.is_empty() => project.notes.push(
                "no virtual environment was found: checks use python3 with what is installed".to_owned(),
            ),
            _ => {}
        }
        return Box::new(plain(venv));
    };
    Box::new(move |words: &str| {
        let module = if words.starts_with("unittest") { "python -m " } else { "" };
        format!("{prefix}{module}{words}")
    })
}

fn plain(venv: Option<&'static str>) -> impl Fn(&str) -> String {
    let python = venv.map_or("python3".to_owned(), |venv| format!("{venv}/bin/python"));
    move |words: &str| format!("{python} -m {words}")
}

fn uses_pytest(folder: &Folder<'_>, tools: &Table, setup_cfg: &str) -> bool {
    folder.has_any(&["pytest.ini", ".pytest.ini", "conftest.py"])
        || tools.contains_key("pytest")
        || setup_cfg.contains("[tool:pytest]")
        || ["pyproject.toml", "tox.ini", "Pipfile"]
            .iter()
            .chain(REQUIREMENTS)
            .any(|name| folder.has(name) && folder.text(name).contains("pytest"))
        || ["tests/conftest.py", "test/conftest.py"].iter().any(|path| folder.exists(path))
        // pytest runs unittest's tests too, but functions outside a class are its own.
        || test_texts(folder).any(|text| text.contains("import pytest") || text.lines().any(|line| line.starts_with("def test_")))
}

/// A few of the test files' texts.
fn test_texts<'f>(folder: &'f Folder<'_>) -> impl Iterator<Item = String> + use<'f> {
    let own = folder.files.iter().filter(|name| is_test(name)).take(5).cloned();
    let nested =
        ["tests", "test"].into_iter().filter(|name| folder.folders.contains(*name)).flat_map(|dir| {
            let names =
                std::fs::read_dir(folder.root.join(&folder.dir).join(dir)).into_iter().flatten().take(500);
            let names = names.flatten().filter_map(|entry| entry.file_name().into_string().ok());
            names
                .filter(|name| is_test(name))
                .take(5)
                .map(move |name| format!("{dir}/{name}"))
                .collect::<Vec<_>>()
        });
    own.chain(nested).map(|name| folder.text(&name))
}

fn is_test(name: &str) -> bool {
    name.ends_with(".py") && (name.starts_with("test_") || name.ends_with("_test.py"))
}

/// Where unittest starts, as an option; `None` where there are no tests.
fn unittest_folder(folder: &Folder<'_>) -> Option<String> {
    let there = |dir: &str| {
        let names =
            std::fs::read_dir(folder.root.join(&folder.dir).join(dir)).into_iter().flatten().take(500);
        names.flatten().any(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with("test")))
    };
    if folder.files.iter().any(|name| is_test(name)) {
        return Some(String::new());
    }
    let dir = ["tests", "test"].into_iter().find(|dir| folder.folders.contains(*dir) && there(dir))?;
    // A folder that is a package is imported from the top; one that is not has to be its own top.
    let top = if folder.exists(&format!("{dir}/__init__.py")) { " -t ." } else { "" };
    Some(format!(" -s {dir}{top}"))
}
