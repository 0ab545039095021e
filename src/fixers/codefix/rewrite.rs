//! Formatters and linters that repair by themselves: the check's own tool, told to write instead of to tell.

use std::time::Duration;

use anyhow::Result;

use super::place::{Ran, Site, Tool};
use crate::outcome::{Check, CommandLine};
use crate::patch::{Patch, RelPath, Tree};

/// A command that makes a failing style check's repairs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rewrite {
    /// As written in the trailer: `rustfmt`, `prettier`, `ruff`, …
    pub label: &'static str,
    /// The command line that writes, for `sh -c`.
    pub line: String,
    /// Whether it may leave some complaints: a linter does, a formatter does not.
    pub partial: bool,
}

/// What a rewrite came to.
pub(super) struct Rewritten {
    /// Its changes.
    pub patch: Patch,
    /// Whether the check is green with them.
    pub green: bool,
}

/// The rewrite for a check, if it is a style check that knows one; scripts of a `package.json` are looked into.
pub(super) fn of(check: &Check, tree: Tree<'_>) -> Option<Rewrite> {
    let line = match &check.run {
        CommandLine::Shell(line) => line.clone(),
        CommandLine::Argv(argv) => shell_words::join(argv),
    };
    let line = script(&line, &check.dir, tree).unwrap_or(line);
    // A line of several commands is more than a style check.
    if line.contains(['|', ';', '`', '>', '<']) || line.contains("$(") {
        return None;
    }
    let mut all: Vec<Rewrite> = Vec::new();
    for part in line.split("&&") {
        all.push(one(part.trim())?);
    }
    let first = all.first()?.label;
    let partial = all.iter().any(|one| one.partial);
    let line = all.iter().map(|one| one.line.as_str()).collect::<Vec<_>>().join(" ; ");
    Some(Rewrite { label: first, line, partial })
}

/// What `npm run format:check` and its like run.
fn script(line: &str, dir: &str, tree: Tree<'_>) -> Option<String> {
    let words = shell_words::split(line).ok()?;
    let mut rest = words.iter().map(String::as_str);
    if !matches!(rest.next()?, "npm" | "pnpm" | "yarn" | "bun") {
        return None;
    }
    let name = rest.find(|word| *word != "run" && !word.starts_with('-'))?;
    let manifest = if dir.is_empty() { "package.json".to_owned() } else { format!("{dir}/package.json") };
    let text = tree.read_text(&RelPath::new(&manifest).ok()?)?;
    let manifest: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(manifest.get("scripts")?.get(name)?.as_str()?.to_owned())
}

fn one(part: &str) -> Option<Rewrite> {
    let mut words = shell_words::split(part).ok()?;
    let launchers = [
        "npx",
        "pnpm",
        "exec",
        "uv",
        "uvx",
        "poetry",
        "run",
        "bunx",
        "--no-install",
        "--yes",
        "-y",
        "python",
        "python3",
        "-m",
    ];
    let at = words.iter().position(|word| !launchers.contains(&word.as_str()))?;
    let program = words[at].rsplit('/').next().unwrap_or("").to_owned();
    let verb = words.get(at + 1).map_or("", String::as_str).to_owned();
    let drop = |words: &mut Vec<String>, flags: &[&str]| {
        let before = words.len();
        words.retain(|word| !flags.contains(&word.as_str()));
        before != words.len()
    };
    let made =
        |label, words: &[String], partial| Some(Rewrite { label, line: shell_words::join(words), partial });
    match (program.as_str(), verb.as_str()) {
        ("cargo", "fmt") => {
            drop(&mut words, &["--check"]);
            if words.last().is_some_and(|last| last == "--") {
                words.pop();
            }
            made("rustfmt", &words, false)
        }
        ("rustfmt", _) => drop(&mut words, &["--check"]).then(|| made("rustfmt", &words, false))?,
        ("prettier", _) => {
            let checks = drop(&mut words, &["--check", "-c", "--list-different", "-l"]);
            words.insert(at + 1, "--write".into());
            checks.then(|| made("prettier", &words, false))?
        }
        ("ruff", "format") => {
            drop(&mut words, &["--check", "--diff"]);
            made("ruff", &words, false)
        }
        ("ruff", "check") => {
            drop(&mut words, &["--no-fix", "--diff"]);
            words.insert(at + 2, "--fix".into());
            made("ruff", &words, true)
        }
        ("black", _) => drop(&mut words, &["--check", "--diff"]).then(|| made("black", &words, false))?,
        ("isort", _) => drop(&mut words, &["--check-only", "--check", "-c", "--diff"])
            .then(|| made("isort", &words, false))?,
        ("eslint", _) => {
            words.insert(at + 1, "--fix".into());
            made("eslint", &words, true)
        }
        ("biome", "check" | "format" | "lint" | "ci") => {
            if verb == "ci" {
                words[at + 1] = "check".into();
            }
            words.insert(at + 2, "--write".into());
            made("biome", &words, true)
        }
        ("gofmt", _) => drop(&mut words, &["-l", "-d"]).then(|| {
            words.insert(at + 1, "-w".into());
            made("gofmt", &words, false)
        })?,
        _ => None,
    }
}

/// Runs the rewrite and the check after it. `None` where it changes nothing of the sources, or where it helps nothing.
///
/// # Errors
/// Where the site fails.
pub(super) async fn run(rewrite: &Rewrite, check: &Check, site: &mut dyn Site) -> Result<Option<Rewritten>> {
    site.put(&Patch::new()).await?;
    let judge = Tool::of(&check.run, &check.dir, check.timeout).env("NO_COLOR", "1");
    let before = if rewrite.partial { Some(site.run(&judge).await?) } else { None };
    // What `npm run` finds without its folder.
    let line = format!("PATH=\"$PWD/node_modules/.bin:$PATH\"; {}", rewrite.line);
    site.run(&Tool::new(["sh", "-c", &line], &check.dir, Duration::from_secs(300))).await?;
    let patch = site.harvest(is_source).await?;
    if patch.is_empty() {
        return Ok(None);
    }
    let after = site.run(&judge).await?;
    let helps = after.ok() || before.is_some_and(|before| complaints(&after) < complaints(&before));
    Ok(helps.then_some(Rewritten { patch, green: after.ok() }))
}

/// How much a linter has to say, by the lines that are no summary.
fn complaints(ran: &Ran) -> usize {
    ran.output.lines().filter(|line| !line.trim().is_empty()).count()
}

fn is_source(path: &RelPath) -> bool {
    const BUILT: &[&str] = &[
        "node_modules",
        "target",
        ".venv",
        "venv",
        "__pycache__",
        ".ruff_cache",
        ".mypy_cache",
        ".pytest_cache",
        ".git",
        ".cache",
        "dist",
        "build",
    ];
    !path.as_str().split('/').any(|part| BUILT.contains(&part)) && path.file_name() != ".eslintcache"
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Project, check};
    use super::*;

    fn line(text: &str) -> Option<String> {
        let project =
            Project::new(&[("package.json", "{\"scripts\":{\"lint\":\"eslint . && prettier --check .\"}}")]);
        let patch = Patch::new();
        of(&check(text), Tree { root: project.tree.path(), patch: &patch }).map(|rewrite| rewrite.line)
    }

    #[test]
    fn checks_of_style_become_their_repairs() {
        assert_eq!(line("cargo fmt --all -- --check").unwrap(), "cargo fmt --all");
        assert_eq!(line("cargo fmt --check").unwrap(), "cargo fmt");
        assert_eq!(line("npx prettier --check src").unwrap(), "npx prettier --write src");
        assert_eq!(line("ruff format --check .").unwrap(), "ruff format .");
        assert_eq!(line("uv run ruff check .").unwrap(), "uv run ruff check --fix .");
        assert_eq!(line("black --check .").unwrap(), "black .");
        assert_eq!(line("npm run lint").unwrap(), "eslint --fix . ; prettier --write .");
        for other in ["cargo test", "black .", "prettier src", "ruff check . | tee log", "npm test"] {
            assert_eq!(line(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn a_crate_is_formatted() {
        let ugly = "pub fn one( )->u32{1}\n";
        let manifest = "[package]\nname = \"f\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
        let project = Project::new(&[("Cargo.toml", manifest), ("src/lib.rs", ugly)]);
        let goal = check("cargo fmt --check");
        let patch = Patch::new();
        let rewrite = of(&goal, Tree { root: project.tree.path(), patch: &patch }).unwrap();
        let done = run(&rewrite, &goal, &mut project.site()).await.unwrap().unwrap();
        assert!(done.green);
        assert_eq!(project.after(&done.patch, "src/lib.rs"), "pub fn one() -> u32 {\n    1\n}\n");
        assert_eq!(done.patch.len(), 1);
    }
}
