//! The deterministic tier on real projects of each language, with their real tools.
//!
//! A test whose tool cannot be had fails. Where that is expected, `REGREEN_TEST_SKIP_MISSING=1` lets it say why and pass.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::project::{Project, Ran};

const HEAL: &[&str] = &["heal", "--no-model", "--"];

/// A broken project of `tests/fixtures/projects`, as a repo.
fn fixture(name: &str) -> Project {
    let project = Project::plain(&[]);
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/projects").join(name), &project.root);
    project.git(&["init", "-q", "-b", "main"]);
    project.commit("Begin");
    project
}

/// Copies a folder; `gitignore`, `gitattributes` and `Cargo.toml.in` get the names that they have in a project.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let name = entry.file_name();
        let name = match name.to_str().expect("a name") {
            "gitignore" => ".gitignore",
            "gitattributes" => ".gitattributes",
            "Cargo.toml.in" => "Cargo.toml",
            other => other,
        };
        let kind = entry.file_type().expect("a kind");
        let target = to.join(name);
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_symlink() {
            let link = std::fs::read_link(entry.path()).expect("a link");
            std::os::unix::fs::symlink(link, target).expect("a link");
        } else {
            std::fs::copy(entry.path(), target).expect("a file");
        }
    }
}

fn heal(project: &Project, goal: &[&str]) -> Ran {
    let all: Vec<&str> = HEAL.iter().chain(goal).copied().collect();
    project.regreen(&all)
}

/// The repair is one of the deterministic tier's, and the goal is green now without Regreen.
#[track_caller]
fn healed(project: &Project, ran: Ran, goal: &[&str]) -> Ran {
    let ran = ran.expect(0);
    assert!(ran.stderr.contains("codefix("), "{}", ran.stderr);
    assert!(!project.git(&["status", "--porcelain"]).is_empty());
    let status = Command::new(goal[0])
        .args(&goal[1..])
        .current_dir(&project.root)
        .env_clear()
        .envs(&project.env)
        .output()
        .expect("the goal runs");
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    ran
}

/// A folder with tools, made once and kept between runs of the tests; `None` where it cannot be and that is accepted.
pub fn tools(
    once: &'static OnceLock<Result<PathBuf, String>>,
    name: &str,
    make: fn(&Path) -> Result<(), String>,
) -> Option<PathBuf> {
    let made = once.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if folder.join("complete").exists() {
            return Ok(folder);
        }
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        make(&folder)?;
        std::fs::write(folder.join("complete"), "").map_err(|error| error.to_string())?;
        Ok(folder)
    });
    match made {
        Ok(folder) => Some(folder.clone()),
        Err(why) if may_skip() => {
            eprintln!("skipped: {name} is missing: {why}");
            None
        }
        Err(why) => panic!("{name} is missing (REGREEN_TEST_SKIP_MISSING=1 skips what needs it): {why}"),
    }
}

/// Whether tests whose tools cannot be had may pass.
pub fn may_skip() -> bool {
    std::env::var("REGREEN_TEST_SKIP_MISSING").as_deref() == Ok("1")
}

pub fn run(program: &str, arguments: &[&str], folder: &Path) -> Result<(), String> {
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// `node_modules` with TypeScript.
fn typescript() -> Option<PathBuf> {
    static ONCE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    tools(&ONCE, "typescript", |folder| {
        run(
            "npm",
            &["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", ".", "typescript@5.9.3"],
            folder,
        )
    })
}

/// A virtual environment with pytest and ruff.
pub fn pytest() -> Option<PathBuf> {
    static ONCE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    tools(&ONCE, "pytest", |folder| {
        run("python3", &["-m", "venv", "venv"], folder)?;
        run(
            "venv/bin/python",
            &["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "pytest", "ruff"],
            folder,
        )
    })
}

#[test]
fn rust_misspelt_names() {
    let project = fixture("rust-misspelt");
    let goal = &["cargo", "test", "--offline"];
    healed(&project, heal(&project, goal), goal);
}

#[test]
fn rust_one_error_hides_another() {
    let project = fixture("rust-two-faults");
    let goal = &["cargo", "build", "--offline"];
    healed(&project, heal(&project, goal), goal);
}

#[test]
fn rust_logic_needs_a_model_and_is_left_alone() {
    let project = fixture("rust-logic");
    let before = project.read("src/lib.rs");
    heal(&project, &["cargo", "test", "--offline"]).expect(1);
    assert_eq!(project.read("src/lib.rs"), before);
}

#[test]
fn python_misspelt_names() {
    let project = fixture("python-misspelt");
    let goal = &["python3", "-m", "unittest"];
    healed(&project, heal(&project, goal), goal);
}

#[test]
fn python_line_ends_and_marks_stay() {
    let project = fixture("python-crlf");
    let before = std::fs::read(project.root.join("roman.py")).expect("a file");
    let goal = &["python3", "-m", "unittest"];
    healed(&project, heal(&project, goal), goal);
    let after = std::fs::read(project.root.join("roman.py")).expect("a file");
    assert_eq!(after[..3], before[..3], "the mark");
    let count = |bytes: &[u8], wanted: &[u8]| bytes.windows(wanted.len()).filter(|w| *w == wanted).count();
    assert_eq!(count(&after, b"\r\n"), count(&before, b"\r\n"));
    assert_eq!(count(&after, b"\n"), count(&after, b"\r\n"), "no bare line feed");
}

#[test]
fn python_failures_from_before_are_not_held_against_a_patch() {
    let project = fixture("python-known-red");
    let ran = heal(&project, &["python3", "-m", "unittest", "tests.test_new"]);
    healed(&project, ran, &["python3", "-m", "unittest", "tests.test_new"]);
}

#[test]
fn python_a_missing_import_with_pytest() {
    let Some(tools) = pytest() else { return };
    let project = Project::new(&[
        ("report.py", "def dump(rows):\n    return json.dumps(rows)\n"),
        (
            "test_report.py",
            "from report import dump\n\n\ndef test_dump():\n    assert dump([1]) == '[1]'\n\n\ndef test_empty():\n    assert dump([]) == '[]'\n",
        ),
        (".gitignore", "__pycache__/\n.pytest_cache/\n.venv/\n"),
    ]);
    copy(&tools.join("venv"), &project.root.join(".venv"));
    let goal = &[".venv/bin/python", "-m", "pytest", "-q"];
    let ran = healed(&project, heal(&project, goal), goal);
    assert!(project.read("report.py").starts_with("import json\n"), "{}", project.read("report.py"));
    assert!(ran.stderr.contains("2 of 2 tests fail"), "per test results: {}", ran.stderr);
}

#[test]
fn python_what_ruff_complains_about() {
    let Some(tools) = pytest() else { return };
    let project = Project::new(&[
        ("report.py", "import os\nimport json\n\n\ndef dump(rows):\n    return json.dumps(rows)\n"),
        (".gitignore", "__pycache__/\n.ruff_cache/\n.venv/\n"),
    ]);
    copy(&tools.join("venv"), &project.root.join(".venv"));
    let goal = &[".venv/bin/ruff", "check", "report.py"];
    healed(&project, heal(&project, goal), goal);
    assert_eq!(project.read("report.py"), "import json\n\n\ndef dump(rows):\n    return json.dumps(rows)\n");
}

#[test]
fn typescript_a_missing_import() {
    let Some(tools) = typescript() else { return };
    let project = fixture("npm-missing-import");
    copy(&tools.join("node_modules"), &project.root.join("node_modules"));
    let goal = &["npm", "test"];
    healed(&project, heal(&project, goal), goal);
    let text = project.read("src/greeting.ts");
    assert!(text.starts_with("import { capitalise } from \"./names.js\";\n"), "{text}");
}

#[test]
fn node_misspelt() {
    let project = fixture("node-misspelt");
    let test = project.read("test/cart.test.js");
    let goal = &["npm", "test"];
    let ran = healed(&project, heal(&project, goal), goal);
    assert!(project.read("src/cart.js").contains("format(this.total())"), "{}", project.read("src/cart.js"));
    assert_eq!(project.read("test/cart.test.js"), test);
    assert!(ran.stderr.contains("src/cart.js:19"), "the place is the module's: {}", ran.stderr);
}

#[test]
fn node_a_misspelt_declaration_gets_the_name_that_its_test_calls() {
    let project = fixture("node-misspelt");
    let module = project.read("src/cart.js").replace("this.totl()", "this.total()");
    project.write(&[("src/cart.js", &module.replace("  describe() {", "  descirbe() {"))]);
    project.commit("Break");
    let goal = &["npm", "test"];
    healed(&project, heal(&project, goal), goal);
    assert_eq!(project.read("src/cart.js"), module);
}

#[test]
fn node_a_test_file_that_cannot_be_loaded_is_no_test_that_is_lost_when_it_loads() {
    let sum = "export function total(items) {\n  return items.reduce((sum, item) => sum + item, 0);\n}\n";
    let cart = "import { total } from './sums.js';\n\nexport function price(items) {\n  return `${total(items)} EUR`;\n}\n";
    let test = |module: &str, call: &str, result: &str| {
        format!(
            "import assert from 'node:assert/strict';\nimport {{ test }} from 'node:test';\nimport {{ {call} }} from '../src/{module}.js';\n\ntest('a {call}', () => {{\n  assert.equal({call}([1, 2]), {result});\n}});\n"
        )
    };
    for reporter in ["tap", "spec"] {
        let project = Project::new(&[
            ("package.json", "{ \"name\": \"cart\", \"version\": \"1.0.0\", \"type\": \"module\" }\n"),
            ("src/sum.js", sum),
            ("src/cart.js", cart),
            ("test/cart.test.js", &test("cart", "price", "'3 EUR'")),
            ("test/sum.test.js", &test("sum", "total", "3")),
        ]);
        let goal = &["node", "--test", &format!("--test-reporter={reporter}")];
        let ran = healed(&project, heal(&project, goal), goal);
        assert_eq!(project.read("src/cart.js"), cart.replace("sums", "sum"), "{reporter}");
        assert!(ran.stderr.contains("Cannot find module"), "the file's own error is told: {}", ran.stderr);
    }
}

#[test]
fn python_a_test_module_that_cannot_be_loaded_is_no_test_that_is_lost_when_it_loads() {
    let project = Project::new(&[
        ("shop/__init__.py", ""),
        ("shop/sums.py", "def total(items):\n    return sum(items)\n"),
        (
            "shop/cart.py",
            "from .sum import total\n\n\ndef price(items):\n    return f\"{total(items)} EUR\"\n",
        ),
        (
            "test_cart.py",
            "import unittest\n\nfrom shop.cart import price\n\n\nclass CartTest(unittest.TestCase):\n    def test_price(self):\n        self.assertEqual(price([1, 2]), \"3 EUR\")\n",
        ),
        (
            "test_sums.py",
            "import unittest\n\nfrom shop.sums import total\n\n\nclass SumsTest(unittest.TestCase):\n    def test_total(self):\n        self.assertEqual(total([1, 2]), 3)\n",
        ),
        (".gitignore", "__pycache__/\n"),
    ]);
    let goal = &["python3", "-m", "unittest", "-v"];
    healed(&project, heal(&project, goal), goal);
    assert!(project.read("shop/cart.py").starts_with("from .sums import total\n"));
}

#[test]
fn a_missing_tool_is_infrastructure() {
    let project = fixture("shell-infra");
    heal(&project, &["sh", "check.sh"]).expect(5);
}
