//! What a check's command runs, as far as its words and the project's scripts tell.

use std::path::Path;

use serde_json::Value;

use crate::outcome::{Check, CommandLine};
use crate::patch::read_small;

/// The largest `package.json` that is looked at, in bytes.
const MANIFEST: u64 = 1 << 20;
/// Bytes of a lock file that is looked into, at most.
const LOCK: u64 = 8 << 20;
/// How deep scripts that run scripts are followed.
const DEPTH: usize = 6;

/// One simple command: its words, without variables set before it.
pub type Words = Vec<String>;

/// The simple commands of a check in order; scripts of `package.json` are resolved (the call itself stays in the list, before
/// what it runs).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandWords {
    /// The simple commands.
    pub simple: Vec<Words>,
}

impl CommandWords {
    /// Reads `check`; `tree` is a host folder with the repo's files.
    pub fn of(check: &Check, tree: &Path) -> Self {
        let folder = tree.join(&check.dir);
        let mut all = Self::default();
        match &check.run {
            CommandLine::Argv(argv) => all.add(argv.clone(), &folder, DEPTH),
            CommandLine::Shell(line) => all.add_line(line, &folder, DEPTH),
        }
        all
    }

    /// All words, for looking up a tool's name.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for word in self.simple.iter().flatten() {
            text.push_str(word.rsplit('/').next().unwrap_or(word));
            text.push(' ');
        }
        text
    }

    /// The first simple command that runs `program` (by its last path part, also through `npx`, `python -m` and the like), and
    /// the index of that word.
    pub fn find(&self, program: &str) -> Option<(&Words, usize)> {
        self.simple.iter().filter(|words| script_name(words).is_none()).find_map(|words| {
            let at = words.iter().take(6).position(|w| w.rsplit('/').next() == Some(program))?;
            let lead = &words[..at];
            let through =
                lead.iter().all(|w| LEADS.contains(&w.rsplit('/').next().unwrap_or(w)) || w.starts_with('-'));
            through.then_some((words, at))
        })
    }

    fn add_line(&mut self, line: &str, folder: &Path, depth: usize) {
        if depth == 0 || line.len() > 16_384 {
            return;
        }
        for part in split(line) {
            if let Ok(words) = shell_words::split(&part) {
                let first = words.iter().position(|w| !is_assignment(w)).unwrap_or(words.len());
                self.add(words[first..].to_vec(), folder, depth);
            }
        }
    }

    fn add(&mut self, words: Words, folder: &Path, depth: usize) {
        if words.is_empty() || self.simple.len() > 200 {
            return;
        }
        let shell = matches!(words[0].rsplit('/').next(), Some("sh" | "bash" | "dash" | "zsh"));
        if shell && words.len() >= 3 && words[1].starts_with('-') && words[1].ends_with('c') {
            self.add_line(&words[2].clone(), folder, depth.saturating_sub(1));
            return;
        }
        let script = script_name(&words);
        self.simple.push(words);
        if let Some(name) = script
            && depth > 0
        {
            for line in scripts(folder, &name) {
                self.add_line(&line, folder, depth - 1);
            }
        }
    }
}

/// Words that only run what follows them.
const LEADS: &[&str] = &[
    "npx",
    "pnpm",
    "yarn",
    "bun",
    "bunx",
    "npm",
    "exec",
    "run",
    "uv",
    "poetry",
    "pipenv",
    "python",
    "python3",
    "-m",
    "env",
    "time",
    "dlx",
    "x",
    "nice",
    "hatch",
    "pdm",
    "cross-env",
    "dotenv",
    "--",
    "timeout",
    "coverage",
    "xvfb-run",
    "node",
];

/// Whether a word sets a variable for the command behind it.
pub fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// Splits at `&&`, `||`, `;`, `|`, `&` and line ends outside of quotes. A hint, not a shell.
fn split(line: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quote: Option<char> = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), _) if c == q => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, ';' | '\n' | '|') => {
                parts.push(String::new());
                continue;
            }
            // `2>&1` and `&>file` are no separators.
            (None, '&') if !parts.last().is_some_and(|p| p.ends_with('>')) && chars.peek() != Some(&'>') => {
                parts.push(String::new());
                continue;
            }
            (None | Some('"'), '\\') => {
                if let Some(part) = parts.last_mut() {
                    part.push(c);
                    part.extend(chars.next());
                }
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts.retain(|p| !p.trim().is_empty());
    parts
        .iter()
        .map(|p| p.trim().trim_start_matches(['(', '{', '!']).trim_end_matches([')', '}']).trim().to_owned())
        .collect()
}

/// The script that a package manager is asked to run.
fn script_name(words: &[String]) -> Option<String> {
    let manager = words.first()?.rsplit('/').next()?;
    let mut rest = words[1..].iter().filter(|w| !w.starts_with('-'));
    let verb = rest.next()?;
    match (manager, verb.as_str()) {
        ("npm" | "pnpm" | "yarn" | "bun", "run" | "run-script" | "rum") => rest.next().cloned(),
        ("npm" | "pnpm" | "yarn", "test" | "t" | "tst") => Some("test".to_owned()),
        ("npm" | "pnpm" | "yarn", "start") => Some("start".to_owned()),
        ("pnpm" | "yarn", "install" | "add" | "exec" | "dlx" | "remove" | "workspace") => None,
        ("pnpm" | "yarn", name) => Some(name.to_owned()),
        _ => None,
    }
}

fn scripts(folder: &Path, name: &str) -> Vec<String> {
    let Some(manifest) = manifest(folder) else { return Vec::new() };
    let script = |name: &str| manifest["scripts"][name].as_str().map(str::to_owned);
    [script(&format!("pre{name}")), script(name), script(&format!("post{name}"))]
        .into_iter()
        .flatten()
        .collect()
}

/// The folder's `package.json`, if it is a regular file of reasonable size.
pub fn manifest(folder: &Path) -> Option<Value> {
    let text = read_small(&folder.join("package.json"), MANIFEST)?;
    serde_json::from_str(&text).ok()
}

/// Whether `dir` of the tree belongs to a JavaScript project with dependencies, none of whose folders up to the root has `node_modules`.
pub fn lacks_node_modules(tree: &Path, dir: &str) -> bool {
    let mut folder = dir.trim_matches('/');
    let mut project = false;
    loop {
        let at = tree.join(folder);
        project |= manifest(&at).is_some_and(|m| {
            ["dependencies", "devDependencies"]
                .iter()
                .any(|k| m[*k].as_object().is_some_and(|d| !d.is_empty()))
        });
        if at.join("node_modules").is_dir() || at.join(".pnp.cjs").is_file() {
            return false;
        }
        if folder.is_empty() {
            return project;
        }
        folder = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
}

/// The `Cargo.lock` in `dir` of the tree or in a folder above it; empty where there is none.
pub fn cargo_lock(tree: &Path, dir: &str) -> String {
    let inside = Path::new(dir.trim_matches('/')).ancestors();
    let mut nearest = inside.map(|folder| tree.join(folder).join("Cargo.lock"));
    nearest.find_map(|lock| read_small(&lock, LOCK)).unwrap_or_default()
}

/// How the packages of the project that `dir` belongs to are installed, by the lock or list that is nearest.
pub fn install(tree: &Path, dir: &str) -> Option<&'static str> {
    const WAYS: &[(&str, &str)] = &[
        ("pnpm-lock.yaml", "pnpm install --frozen-lockfile"),
        ("yarn.lock", "yarn install"),
        ("bun.lock", "bun install"),
        ("bun.lockb", "bun install"),
        ("package-lock.json", "npm ci"),
        ("npm-shrinkwrap.json", "npm ci"),
        ("package.json", "npm install"),
        ("uv.lock", "uv sync"),
        ("poetry.lock", "poetry install"),
        ("Pipfile", "pipenv install --dev"),
        ("requirements-dev.txt", "python3 -m pip install -r requirements-dev.txt"),
        ("requirements.txt", "python3 -m pip install -r requirements.txt"),
        ("pyproject.toml", "python3 -m pip install -e ."),
        ("setup.py", "python3 -m pip install -e ."),
    ];
    let folders = Path::new(dir.trim_matches('/')).ancestors();
    let mut ways = folders.flat_map(|folder| WAYS.iter().map(move |(file, way)| (folder.join(file), *way)));
    ways.find(|(file, _)| tree.join(file).is_file()).map(|(_, way)| way)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn check(line: &str) -> Check {
        Check {
            name: "goal".into(),
            run: CommandLine::Shell(line.into()),
            dir: String::new(),
            timeout: Duration::from_secs(60),
            needs: Vec::new(),
        }
    }

    #[test]
    fn a_line_is_split_outside_of_quotes() {
        let tree = tempfile::tempdir().unwrap();
        let words = CommandWords::of(
            &check("A=1 cargo build 2>&1 && echo 'a && b'; (npx tsc --noEmit)"),
            tree.path(),
        );
        let lines: Vec<String> = words.simple.iter().map(|w| w.join(" ")).collect();
        assert_eq!(lines, ["cargo build 2>&1", "echo a && b", "npx tsc --noEmit"]);
        assert_eq!(words.find("tsc").map(|(w, at)| (w.len(), at)), Some((3, 1)));
        assert!(words.find("a").is_none());
    }

    #[test]
    fn scripts_are_followed_and_cycles_end() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::write(
            tree.path().join("package.json"),
            r#"{"scripts":{"build":"tsc -p . && vite build","test":"npm run test","pretest":"npm run build"}}"#,
        )
        .unwrap();
        let words = CommandWords::of(&check("npm run build"), tree.path());
        assert!(words.find("tsc").is_some() && words.find("vite").is_some());
        let words = CommandWords::of(&check("npm test"), tree.path());
        assert!(words.text().contains("vite"));
        // A script's name is no program.
        std::fs::write(tree.path().join("package.json"), r#"{"scripts":{"vitest":"vitest run --dir a"}}"#)
            .unwrap();
        let words = CommandWords::of(&check("npm run vitest"), tree.path());
        assert_eq!(words.find("vitest").map(|(w, at)| w[at + 1..].join(" ")), Some("run --dir a".to_owned()));
    }

    #[test]
    fn missing_packages_are_seen_up_to_the_root() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(tree.path().join("web/app")).unwrap();
        assert!(!lacks_node_modules(tree.path(), "web/app"));
        std::fs::write(tree.path().join("web/package.json"), "{}").unwrap();
        assert!(!lacks_node_modules(tree.path(), "web/app"));
        std::fs::write(tree.path().join("web/package.json"), r#"{"devDependencies":{"vite":"5"}}"#).unwrap();
        assert!(lacks_node_modules(tree.path(), "web/app"));
        std::fs::create_dir(tree.path().join("node_modules")).unwrap();
        assert!(!lacks_node_modules(tree.path(), "web/app"));
    }
}
