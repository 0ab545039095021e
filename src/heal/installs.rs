//! A setup's command line, read as calls of package managers, so that fetching packages can be kept apart from running what is in them.
//!
//! Packages are fetched with the network and without any of their code; what they bring to be run (install scripts, builds) runs after
//! that, without the network. A line that is anything else than calls of these managers is the project's own code and runs as it stands.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::outcome::{Check, CommandLine};
use crate::patch::RelPath;

/// One call of a package manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    manager: Manager,
    /// The folder it is called in, relative to the root; empty for the root.
    pub dir: String,
    words: Vec<String>,
}

/// The managers whose calls are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manager {
    Npm,
    Pnpm,
    Uv,
    Pip,
    Cargo,
    Go,
    /// `python -m venv`: makes an environment, and fetches nothing.
    Venv,
}

impl Manager {
    /// The manager that a command calls to install.
    fn of(words: &[String]) -> Option<Self> {
        let word = |at: usize| words.get(at).map_or("", String::as_str);
        let program = word(0).rsplit('/').next().unwrap_or_default();
        let plain = !word(0).contains('/');
        // What leads to another folder than the one it is called in.
        let elsewhere = [
            "--prefix",
            "--dir",
            "-C",
            "--cwd",
            "--project",
            "--directory",
            "--manifest-path",
            "-g",
            "--global",
        ];
        let moved = words.iter().any(|word| {
            elsewhere
                .iter()
                .any(|flag| word == flag || word.strip_prefix(flag).is_some_and(|rest| rest.starts_with('=')))
        });
        if moved {
            return None;
        }
        Some(match (program, word(1)) {
            ("npm", "ci" | "install" | "i" | "clean-install") if plain => Manager::Npm,
            ("pnpm", "install" | "i") if plain => Manager::Pnpm,
            ("uv", "sync" | "venv") if plain => Manager::Uv,
            ("uv", "pip") if plain && matches!(word(2), "install" | "sync") => Manager::Uv,
            ("cargo", "fetch") if plain => Manager::Cargo,
            ("go", "mod") if plain && matches!(word(2), "download" | "tidy") => Manager::Go,
            ("pip" | "pip3", "install") => Manager::Pip,
            (python, "-m") if is_python(python) && word(2) == "venv" => Manager::Venv,
            (python, "-m") if is_python(python) && word(2) == "pip" && word(3) == "install" => Manager::Pip,
            _ => return None,
        })
    }
}

fn is_python(program: &str) -> bool {
    program.strip_prefix("python").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
}

/// Scripts of a project's own manifest that its installation runs, in their order.
const LIFECYCLE: &[&str] =
    &["preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare"];

/// The most lists of requirements that are read.
const MOST_LISTS: usize = 200;

/// A step of a setup: a line for the shell.
pub(super) type Line = String;
/// Reads a file of the tree.
pub(super) type Read<'r> = &'r dyn Fn(&str) -> Option<Vec<u8>>;

/// The calls that `check` consists of; `None` where it is anything else besides.
pub(super) fn calls(check: &Check) -> Option<Vec<Call>> {
    let call = |dir: &str, words: Vec<String>| {
        let manager = Manager::of(&words)?;
        Some(Call { manager, dir: dir.to_owned(), words })
    };
    let line = match &check.run {
        CommandLine::Argv(words) => return Some(vec![call(&check.dir, words.clone())?]),
        CommandLine::Shell(line) => line,
    };
    if line.contains(['$', '`', '<', '>', '|', ';', '*', '?', '~', '{', '}', '#', '!', '\\', '\n']) {
        return None;
    }
    let mut found = Vec::new();
    let mut dirs = vec![check.dir.clone()];
    for part in line.split("&&") {
        let mut part = part.trim();
        while let Some(rest) = part.strip_prefix('(') {
            dirs.push(dirs.last()?.clone());
            part = rest.trim_start();
        }
        let open = part.trim_end_matches([')', ' ']);
        let closed = part[open.len()..].matches(')').count();
        if open.contains(['(', ')', '&']) {
            return None;
        }
        let words = shell_words::split(open).ok()?;
        match words.as_slice() {
            [cd, to] if cd == "cd" => {
                let dir = dirs.last_mut()?;
                let joined = if dir.is_empty() { to.clone() } else { format!("{dir}/{to}") };
                *dir = RelPath::new(&joined).ok()?.as_str().to_owned();
            }
            _ => found.push(call(dirs.last()?, words)?),
        }
        for _ in 0..closed {
            dirs.pop();
            dirs.last()?;
        }
    }
    Some(found)
}

impl Call {
    /// What fetches its packages and runs none of their code, but for the builds of `trusted` ones.
    pub fn fetching(&self, trusted: &[String]) -> Line {
        match self.manager {
            Manager::Npm | Manager::Pnpm => self.line(&with(&self.words, &["--ignore-scripts"])),
            Manager::Uv if self.words[1] == "venv" => self.line(&self.words),
            // Its `pip` heeds the flag alone, and not the variable.
            Manager::Uv if self.words[1] == "pip" => {
                let mut words = with(&self.words, &["--only-binary=:all:"]);
                words.extend(trusted.iter().map(|name| format!("--no-binary={name}")));
                self.line(&words)
            }
            Manager::Uv => {
                let mut words = with(&self.words, &["--no-build", "--no-install-workspace"]);
                words.extend(trusted.iter().map(|name| format!("--no-binary-package={name}")));
                self.line(&words)
            }
            Manager::Pip => {
                // In this order: what is said of all would clear what is said of some.
                let mut words = with(&self.words, &["--only-binary=:all:"]);
                words.extend((!trusted.is_empty()).then(|| format!("--no-binary={}", trusted.join(","))));
                self.line(&words)
            }
            Manager::Cargo | Manager::Go | Manager::Venv => self.line(&self.words),
        }
    }

    /// Why it cannot be kept from running code with the network, in words.
    pub fn refusal(&self, read: Read<'_>) -> Option<String> {
        let says = |file: &str, words: &[&str]| {
            let above = std::path::Path::new(&self.dir).ancestors().filter_map(std::path::Path::to_str);
            let mut paths =
                above.map(|dir| if dir.is_empty() { file.to_owned() } else { format!("{dir}/{file}") });
            let text = paths.any(|path| {
                let bytes = read(&path).unwrap_or_default();
                let text = String::from_utf8_lossy(&bytes);
                words.iter().any(|word| text.contains(word))
            });
            text.then(|| format!("{file} asks for it ({})", words.join(", ")))
        };
        match self.manager {
            // These packages' own code takes part in installing all others.
            Manager::Pnpm => return says("pnpm-workspace.yaml", &["configDependencies"]),
            Manager::Uv => {
                // Names the packages that its flag does not hold for.
                let settings = ["no-binary"];
                if let Some(why) = says("pyproject.toml", &settings).or_else(|| says("uv.toml", &settings)) {
                    return Some(why);
                }
            }
            Manager::Pip => {}
            Manager::Npm | Manager::Cargo | Manager::Go | Manager::Venv => return None,
        }
        let (mut files, mut lines) = (Vec::new(), vec![(self.dir.clone(), self.words[1..].join(" "))]);
        while let Some((dir, line)) = lines.pop() {
            let plain = line.replace(['"', '\'', '\\'], "");
            let words: Vec<&str> = plain.split(['=', ' ', '\t']).filter(|word| !word.is_empty()).collect();
            // pip takes any beginning of an option for it.
            let means = |word: &str, name: &str| word.len() > 3 && name.starts_with(word);
            if words.iter().any(|word| means(word, "--no-binary")) {
                return Some("its requirements ask for packages to be built (--no-binary)".to_owned());
            }
            let names = |word: &str| {
                matches!(word, "-r" | "-c") || means(word, "--requirement") || means(word, "--constraint")
            };
            for (at, word) in words.iter().enumerate() {
                let glued = ["-r", "-c"]
                    .iter()
                    .find_map(|name| word.strip_prefix(name))
                    .filter(|rest| !rest.is_empty());
                let named = names(word).then(|| words.get(at + 1).copied()).flatten();
                let Some(name) = named.or(glued) else { continue };
                let path = if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
                let Ok(path) = RelPath::new(path.trim_start_matches("./")) else { continue };
                if files.len() >= MOST_LISTS || files.contains(&path) {
                    continue;
                }
                let text = read(path.as_str()).unwrap_or_default();
                let text = String::from_utf8_lossy(&text).replace("\\\n", "");
                let dir = path.parent().map(|parent| parent.as_str().to_owned()).unwrap_or_default();
                lines.extend(text.lines().map(|line| (dir.clone(), line.trim().to_owned())));
                files.push(path);
            }
        }
        None
    }

    /// What runs the install scripts of `trusted` packages, with the network. `read` reads a file of the tree.
    pub fn trusting(&self, trusted: &[String], read: Read<'_>) -> Option<Line> {
        let names = match self.manager {
            Manager::Npm => self.genuine(trusted, read),
            Manager::Pnpm => trusted.to_vec(),
            _ => return None,
        };
        let verb = if self.manager == Manager::Npm {
            &["rebuild", "--foreground-scripts"][..]
        } else {
            &["rebuild"]
        };
        let rebuild = || [with(&self.words[..1], verb), names.clone()].concat();
        (!names.is_empty()).then(|| self.line(&rebuild()))
    }

    /// What runs the code of all others, and the project's own that belongs to its installation, without the network.
    pub fn running(&self, trusted: &[String], read: Read<'_>) -> Vec<Line> {
        match self.manager {
            Manager::Npm => {
                let mut lines = Vec::new();
                let genuine = self.genuine(trusted, read);
                let mut names = with_code(&self.lock(read));
                names.retain(|name| !genuine.contains(name));
                if !names.is_empty() {
                    // Without names it rebuilds everything there is, in workspaces too.
                    let names = if genuine.is_empty() { Vec::new() } else { names };
                    // What a script prints is to be seen.
                    let rebuild = with(&self.words[..1], &["rebuild", "--foreground-scripts"]);
                    lines.push(self.line(&[rebuild, names].concat()));
                }
                lines.extend(self.own_scripts(read));
                lines
            }
            Manager::Pnpm => {
                let Some(pending) = self.pending(read).filter(|_| !trusted.is_empty()) else {
                    return vec![self.line(&with(&self.words[..1], &["rebuild", "--pending"]))];
                };
                // pnpm 10 counts what was rebuilt by name as pending still.
                let mut lines = Vec::new();
                let names: Vec<String> =
                    pending.iter().filter(|name| *name != "." && !trusted.contains(name)).cloned().collect();
                if !names.is_empty() {
                    lines.push(self.line(&[with(&self.words[..1], &["rebuild"]), names].concat()));
                }
                if pending.iter().any(|name| name == ".") {
                    lines.extend(self.own_scripts(read));
                }
                lines
            }
            // What it installs besides has no code to run any more.
            Manager::Uv if self.words[1] == "sync" => vec![self.line(&self.words)],
            Manager::Uv | Manager::Pip | Manager::Cargo | Manager::Go | Manager::Venv => Vec::new(),
        }
    }

    /// The trusted packages that are what they are called: every package that is installed under the name came from the name's own place in
    /// a registry. A folder, an archive or another package can be given any name by a manifest.
    fn genuine(&self, trusted: &[String], read: Read<'_>) -> Vec<String> {
        let lock = self.lock(read);
        let entries: Vec<_> = packages(&lock).collect();
        let is = |name: &&String| {
            let mut own = entries.iter().filter(|(its, _)| its == *name).peekable();
            own.peek().is_some()
                && own.all(|(_, package)| {
                    let from = package["resolved"].as_str().unwrap_or_default();
                    from.starts_with("https://")
                        && from.contains(&format!("/{name}/-/"))
                        && package["name"].is_null()
                })
        };
        trusted.iter().filter(is).cloned().collect()
    }

    /// The project's own scripts that belong to its installation.
    fn own_scripts(&self, read: Read<'_>) -> Vec<Line> {
        let manifest = read(&self.here("package.json")).unwrap_or_default();
        let run = |script: &&str| self.line(&with(&self.words[..1], &["run", *script]));
        lifecycle(&manifest).iter().map(run).collect()
    }

    /// The names of the packages whose scripts pnpm left for later, `.` for the project itself; `None` where it does not say so in a way that
    /// is known.
    fn pending(&self, read: Read<'_>) -> Option<Vec<String>> {
        let modules: Value = serde_json::from_slice(&read(&self.here("node_modules/.modules.yaml"))?).ok()?;
        let name = |entry: &Value| {
            let entry = entry.as_str()?.trim_start_matches('/');
            let end = entry.char_indices().skip(1).find(|(_, c)| *c == '@').map_or(entry.len(), |(at, _)| at);
            Some(entry[..end].to_owned())
        };
        Some(modules["pendingBuilds"].as_array()?.iter().filter_map(name).collect())
    }

    /// What npm says that it installed.
    fn lock(&self, read: Read<'_>) -> Value {
        let bytes = read(&self.here("node_modules/.package-lock.json")).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// The path of a file in the folder that it is called in.
    fn here(&self, name: &str) -> String {
        if self.dir.is_empty() { name.to_owned() } else { format!("{}/{name}", self.dir) }
    }

    /// The same call, free to bring the lock file up to date with its manifest.
    pub fn unlocked(&self) -> Self {
        let frozen = ["--locked", "--frozen", "--frozen-lockfile", "--prefer-frozen-lockfile", "--offline"];
        let mut words: Vec<String> =
            self.words.iter().filter(|word| !frozen.contains(&word.as_str())).cloned().collect();
        match self.manager {
            Manager::Npm => words[1] = "install".to_owned(),
            Manager::Pnpm => words.push("--no-frozen-lockfile".to_owned()),
            // Downloading alone writes no sums of what is new.
            Manager::Go => words[2] = "tidy".to_owned(),
            Manager::Uv | Manager::Pip | Manager::Cargo | Manager::Venv => {}
        }
        Self { words, ..self.clone() }
    }

    /// Whether installing runs code of the project itself, so that what it makes depends on more than manifests and lock files.
    pub fn runs_own_code(&self, files: &BTreeMap<RelPath, Vec<u8>>) -> bool {
        let named = |name: &'static str| {
            let is = move |path: &&RelPath| path.file_name() == name;
            files.iter().filter(move |(path, _)| is(path)).map(|(_, bytes)| bytes.as_slice())
        };
        match self.manager {
            Manager::Npm | Manager::Pnpm => {
                named("package.json").any(|manifest| !lifecycle(manifest).is_empty())
            }
            Manager::Uv if self.words[1] == "sync" => {
                let built = |manifest: &[u8]| {
                    let text = String::from_utf8_lossy(manifest);
                    text.parse::<toml::Table>().map_or(true, |table| table.contains_key("build-system"))
                };
                named("setup.py").next().is_some() || named("pyproject.toml").any(built)
            }
            Manager::Uv | Manager::Pip => {
                let local = |word: &str| word.starts_with(['.', '/']) || word.contains("file:");
                let line = |line: &str| {
                    let line = line.trim();
                    local(line) || line.starts_with("-e") || line.starts_with("--editable")
                };
                // A program that lies in the tree is no part of what it says.
                let listed = files.iter().filter(|(path, _)| path.file_name().ends_with(".txt"));
                self.words[1..]
                    .iter()
                    .any(|word| local(word) || word == "-e" || word.starts_with("--editable"))
                    || listed.into_iter().any(|(_, bytes)| String::from_utf8_lossy(bytes).lines().any(line))
            }
            Manager::Cargo | Manager::Go | Manager::Venv => false,
        }
    }

    fn line(&self, words: &[String]) -> Line {
        let mut line = String::new();
        if self.manager == Manager::Pnpm {
            // Its usual place is shown read-only with pnpm itself.
            line += r#"npm_config_store_dir="$HOME/.cache/pnpm/store" pnpm_config_store_dir="$HOME/.cache/pnpm/store" "#;
        }
        line += &shell_words::join(words);
        match self.dir.as_str() {
            "" => line,
            dir => format!("(cd {} && {line})", shell_words::quote(dir)),
        }
    }
}

/// Lines as one check like `check`, started at the root.
pub(super) fn joined(check: &Check, name: &str, lines: &[Line]) -> Check {
    Check {
        name: name.to_owned(),
        run: CommandLine::Shell(lines.join(" && ")),
        dir: String::new(),
        ..check.clone()
    }
}

fn with(words: &[String], more: &[&str]) -> Vec<String> {
    words.iter().cloned().chain(more.iter().map(|word| (*word).to_owned())).collect()
}

/// The packages of a lock file of npm's, by the names under which they are installed.
fn packages(lock: &Value) -> impl Iterator<Item = (String, &Value)> {
    let all = lock["packages"].as_object().into_iter().flatten();
    all.filter_map(|(path, package)| Some((path.rsplit("node_modules/").next()?.to_owned(), package)))
}

/// Those that bring install scripts, and the workspaces' own.
fn with_code(lock: &Value) -> Vec<String> {
    let has_code = |package: &Value| package["hasInstallScript"] == true || package["link"] == true;
    let mut names: Vec<String> =
        packages(lock).filter(|(_, package)| has_code(package)).map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    names
}

/// The scripts of a manifest that installing runs.
fn lifecycle(manifest: &[u8]) -> Vec<&'static str> {
    let manifest: Value = serde_json::from_slice(manifest).unwrap_or_default();
    LIFECYCLE.iter().copied().filter(|name| manifest["scripts"][*name].is_string()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn check(line: &str) -> Check {
        Check {
            name: "setup".into(),
            run: CommandLine::Shell(line.into()),
            dir: String::new(),
            timeout: Duration::from_secs(60),
            needs: vec![],
        }
    }

    fn fetching(line: &str, trusted: &[&str]) -> Option<String> {
        let trusted: Vec<String> = trusted.iter().map(|name| (*name).to_owned()).collect();
        let lines: Vec<Line> = calls(&check(line))?.iter().map(|call| call.fetching(&trusted)).collect();
        Some(lines.join(" && "))
    }

    #[test]
    fn calls_of_managers_are_told_from_everything_else() {
        for (line, wanted) in [
            ("npm ci", "npm ci --ignore-scripts"),
            ("npm ci --no-ignore-scripts", "npm ci --no-ignore-scripts --ignore-scripts"),
            (
                "npm ci && (cd 'my app' && npm install)",
                "npm ci --ignore-scripts && (cd 'my app' && npm install --ignore-scripts)",
            ),
            (
                "cd a && cargo fetch && cd b && go mod download",
                "(cd a && cargo fetch) && (cd a/b && go mod download)",
            ),
            (
                "pnpm install --frozen-lockfile",
                r#"npm_config_store_dir="$HOME/.cache/pnpm/store" pnpm_config_store_dir="$HOME/.cache/pnpm/store" pnpm install --frozen-lockfile --ignore-scripts"#,
            ),
            ("uv sync --frozen", "uv sync --frozen --no-build --no-install-workspace"),
            (
                "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
                "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt '--only-binary=:all:'",
            ),
        ] {
            assert_eq!(fetching(line, &[]).as_deref(), Some(wanted), "{line}");
        }
        for line in [
            "make deps",
            "npm ci; make",
            "npm ci | tee log",
            "npm ci && npm run build",
            "npm ci --prefix ../other",
            "cd .. && npm ci",
            "cd /tmp && npm ci",
            "./npm ci",
            "npm ci $(evil)",
            "npm ci & evil",
            "npm ci)",
            "npm run build",
            "cargo build",
            "FOO=1 npm ci",
            "",
        ] {
            assert_eq!(fetching(line, &[]), None, "{line}");
        }
        assert_eq!(
            fetching("uv sync", &["a", "b"]).as_deref(),
            Some("uv sync --no-build --no-install-workspace '--no-binary-package=a' '--no-binary-package=b'")
        );
    }

    #[test]
    fn what_brings_code_runs_it_afterwards() {
        let lock = r#"{"packages": {
            "node_modules/a": {"hasInstallScript": true, "resolved": "https://r.test/npm/a/-/a-1.0.0.tgz"},
            "node_modules/b": {"resolved": "https://r.test/npm/b/-/b-1.0.0.tgz"},
            "node_modules/b/node_modules/@x/c": {"hasInstallScript": true, "resolved": "https://r.test/@x/c/-/c-1.tgz"}}}"#;
        let manifest = r#"{"scripts": {"test": "x", "prepare": "tsc", "postinstall": "node p.js"}}"#;
        let files = |lock: &str, manifest: &str| {
            let (lock, manifest) = (lock.as_bytes().to_vec(), manifest.as_bytes().to_vec());
            move |path: &str| match path {
                "node_modules/.package-lock.json" => Some(lock.clone()),
                "package.json" => Some(manifest.clone()),
                _ => None,
            }
        };
        let call = &calls(&check("npm ci")).unwrap()[0];
        let trusted = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let running = |names: &[&str], lock: &str, manifest: &str| {
            let read = files(lock, manifest);
            let mut all: Vec<Line> =
                call.trusting(&trusted(names), &read).map(|line| line + " online").into_iter().collect();
            all.extend(call.running(&trusted(names), &read));
            all.join(" && ")
        };
        assert_eq!(
            running(&[], lock, manifest),
            "npm rebuild --foreground-scripts && npm run postinstall && npm run prepare"
        );
        assert_eq!(
            running(&["a"], lock, "{}"),
            "npm rebuild --foreground-scripts a online && npm rebuild --foreground-scripts @x/c"
        );
        assert_eq!(running(&["a", "@x/c"], lock, "{}"), "npm rebuild --foreground-scripts a @x/c online");
        assert_eq!(running(&["elsewhere"], "{}", "nonsense"), "");
        // Whatever only calls itself so.
        for from in [
            r#""resolved": "https://r.test/npm/evil/-/evil-1.0.0.tgz", "name": "evil""#,
            r#""resolved": "https://r.test/npm/a/-/a-1.0.0.tgz", "name": "evil""#,
            r#""resolved": "https://r.test/npm/evil/-/evil-1.0.0.tgz""#,
            r#""resolved": "file:a/-/a.tgz""#,
            r#""resolved": "packages/a", "link": true"#,
            r#""version": "1""#,
        ] {
            let lock = lock.replacen(
                "\"node_modules/b\": {",
                &format!("\"node_modules/b/node_modules/a\": {{\"hasInstallScript\": true, {from}}}, \"node_modules/b\": {{"),
                1,
            );
            assert_eq!(running(&["a"], &lock, "{}"), "npm rebuild --foreground-scripts", "{from}");
        }
    }

    #[test]
    fn lists_that_ask_for_builds_are_refused() {
        let refusal = |line: &str, files: &[(&str, &str)]| {
            let read = |path: &str| {
                let found = files.iter().find(|(name, _)| *name == path);
                found.map(|(_, text)| text.as_bytes().to_vec())
            };
            calls(&check(line)).unwrap()[0].refusal(&read)
        };
        let line = "pip install -r requirements.txt";
        assert_eq!(
            refusal(line, &[("requirements.txt", "a\n-r more/b.in\n"), ("more/b.in", "-r b.in\nb\n")]),
            None
        );
        for text in [
            "--no-binary :all:\n",
            "a\n--no-binary=b",
            "--no-bin a",
            "--no-'binary' a",
            "-r more/b.in",
            "--req 'more/b.in'",
            "-rmore/b.in",
            "--no-\\\nbinary a",
        ] {
            let more =
                [("requirements.txt", text), ("more/b.in", "-c c.txt"), ("more/c.txt", "x --no-binary y")];
            assert!(refusal(line, &more).is_some(), "{text}");
        }
        assert!(refusal("pip install --no-binary :all: a", &[]).is_some());
        assert!(
            refusal("pip install --requirement=requirements.txt", &[("requirements.txt", "--no-binary a")])
                .is_some()
        );
    }

    #[test]
    fn only_what_runs_none_of_the_projects_code_depends_on_manifests_alone() {
        let own = |line: &str, files: &[(&str, &str)]| {
            let files =
                files.iter().map(|(path, text)| (RelPath::new(path).unwrap(), text.as_bytes().to_vec()));
            let files: BTreeMap<_, _> = files.collect();
            calls(&check(line)).unwrap().iter().any(|call| call.runs_own_code(&files))
        };
        assert!(!own("npm ci", &[("package.json", "{}")]));
        assert!(own("npm ci", &[("app/package.json", r#"{"scripts": {"prepare": "tsc"}}"#)]));
        assert!(!own("uv sync", &[("pyproject.toml", "[project]\nname = 'a'\n")]));
        assert!(own("uv sync", &[("pyproject.toml", "[build-system]\nrequires = []\n")]));
        assert!(!own(".venv/bin/pip install -r requirements.txt", &[("requirements.txt", "requests\n")]));
        assert!(own("pip install -r requirements.txt", &[("requirements.txt", "-e .\n")]));
        assert!(own("pip install .[dev]", &[]) && own("uv pip install -e .", &[]));
        assert!(!own("cargo fetch && go mod download", &[]));
    }
}
