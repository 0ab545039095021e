//! A project in a folder of its own, a home of its own, and `regreen` run on it as its user would: the real binary, a cleared environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A project with its own home and state.
pub struct Project {
    folder: TempDir,
    pub root: PathBuf,
    pub home: PathBuf,
    pub env: BTreeMap<String, String>,
}

/// What a program said and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// What a finished program said.
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Fails the test, with everything that was said, if the code is another one.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// The events that `--json` printed.
    pub fn events(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect("each line is one event")).collect()
    }

    /// The names of the events.
    pub fn kinds(&self) -> Vec<String> {
        self.events().iter().map(|event| event["event"].as_str().expect("a name").to_owned()).collect()
    }
}

impl Project {
    /// A folder with these files, no repository.
    pub fn plain(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("regreen it ").tempdir().expect("a folder");
        let base = folder.path().canonicalize().expect("a real path");
        let (root, home) = (base.join("project"), base.join("home"));
        std::fs::create_dir_all(&root).expect("a root");
        std::fs::create_dir_all(&home).expect("a home");
        let mut env = BTreeMap::new();
        for name in ["PATH", "LANG", "PYENV_ROOT"] {
            if let Ok(value) = std::env::var(name) {
                env.insert(name.to_owned(), value);
            }
        }
        // The home is empty, so the toolchains have to be named.
        let real = std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned());
        for (name, below) in [("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo")] {
            env.insert(name.to_owned(), std::env::var(name).unwrap_or_else(|_| format!("{real}/{below}")));
        }
        env.insert("HOME".to_owned(), home.to_string_lossy().into_owned());
        env.insert("USER".to_owned(), "tester".to_owned());
        let project = Self { folder, root, home, env };
        project.write(files);
        project
    }

    /// The same as a git repository with one commit.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let project = Self::plain(files);
        project.git(&["init", "-q", "-b", "main"]);
        project.commit("Begin");
        project
    }

    /// A module whose user imports it under a wrong name: what Python says of it names the file in full.
    pub fn agenda() -> Self {
        Self::new(&[
            (".gitignore", "__pycache__/\n"),
            ("agenda/__init__.py", ""),
            ("agenda/parsing.py", "def format_minute(minute):\n    return f\"{minute:02}\"\n"),
            (
                "agenda/day.py",
                "from agenda.parsing import format_minutes\n\n\ndef show(minute):\n    return format_minutes(minute)\n",
            ),
            ("tests/__init__.py", ""),
            (
                "tests/test_day.py",
                "import unittest\n\nfrom agenda.day import show\n\n\nclass Day(unittest.TestCase):\n    def test_show(self):\n        self.assertEqual(show(7), \"07\")\n",
            ),
        ])
    }

    /// A library crate with this source, ignoring its target folder.
    pub fn rust(source: &str) -> Self {
        let manifest = "[package]\nname = \"sample\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
        Self::new(&[
            ("Cargo.toml", manifest),
            ("Cargo.lock", "version = 4\n\n[[package]]\nname = \"sample\"\nversion = \"0.1.0\"\n"),
            (".gitignore", "/target\n"),
            ("src/lib.rs", source),
        ])
    }

    /// The folder that holds the project and the home.
    pub fn base(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = self.root.join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            std::fs::write(path, text).expect("a file");
        }
    }

    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.root.join(path)).expect("a text file")
    }

    /// The text of a file, if there is one.
    pub fn read_if(&self, path: &Path) -> Option<String> {
        std::fs::read_to_string(self.root.join(path)).ok()
    }

    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> String {
        self.git_in(&self.root, arguments)
    }

    #[track_caller]
    pub fn git_in(&self, dir: &Path, arguments: &[&str]) -> String {
        let identity =
            ["-c", "user.name=Tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgsign=false"];
        let output = Command::new("git")
            .args(identity)
            .args(arguments)
            .current_dir(dir)
            .env_clear()
            .envs(&self.env)
            .stdin(Stdio::null())
            .output()
            .expect("git runs");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    pub fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
    }

    /// The program with its arguments, in the project's root, not yet started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_regreen"));
        command.args(arguments).current_dir(&self.root).env_clear().envs(&self.env).stdin(Stdio::null());
        command
    }

    pub fn regreen(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().expect("regreen runs"))
    }

    pub fn regreen_in(&self, dir: &Path, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).current_dir(dir).output().expect("regreen runs"))
    }

    /// Every file below the root with its bytes and mode, but those of `.git`: to see that nothing changed.
    pub fn everything(&self) -> BTreeMap<PathBuf, (Vec<u8>, u32)> {
        let mut all = BTreeMap::new();
        collect(&self.root, &self.root, &mut all);
        all
    }
}

fn collect(root: &Path, dir: &Path, all: &mut BTreeMap<PathBuf, (Vec<u8>, u32)>) {
    use std::os::unix::fs::MetadataExt;
    for entry in std::fs::read_dir(dir).expect("a folder").flatten() {
        let path = entry.path();
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            if entry.file_name() != ".git" {
                collect(root, &path, all);
            }
            continue;
        }
        let bytes = match kind.is_symlink() {
            true => std::fs::read_link(&path).expect("a link").to_string_lossy().into_owned().into_bytes(),
            false => std::fs::read(&path).expect("a file"),
        };
        let mode = entry.metadata().expect("its metadata").mode();
        all.insert(path.strip_prefix(root).expect("below the root").to_owned(), (bytes, mode));
    }
}
