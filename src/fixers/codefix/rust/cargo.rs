//! Which `cargo check` stands for a check's own cargo command.

use std::collections::BTreeMap;

use crate::outcome::CommandLine;
use crate::patch::{RelPath, Tree};

/// A `cargo check` (or `cargo clippy`) with the same targets and features as some check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    toolchain: Option<String>,
    clippy: bool,
    selection: Vec<String>,
    lints: Vec<String>,
    /// Variables that the command line sets.
    pub env: BTreeMap<String, String>,
}

/// Options with a value that choose what is compiled and how.
const WITH_VALUE: &[&str] = &[
    "-p",
    "--package",
    "--exclude",
    "-F",
    "--features",
    "--manifest-path",
    "--target",
    "--bin",
    "--test",
    "--example",
    "--bench",
    "--config",
    "--profile",
];
const FLAGS: &[&str] = &[
    "--workspace",
    "--all",
    "--all-features",
    "--no-default-features",
    "--lib",
    "--bins",
    "--tests",
    "--examples",
    "--benches",
    "--all-targets",
    "--locked",
    "--offline",
    "--frozen",
    "--release",
    "-r",
];
const TARGETS: &[&str] = &[
    "--lib",
    "--bins",
    "--tests",
    "--examples",
    "--benches",
    "--all-targets",
    "--bin",
    "--test",
    "--example",
    "--bench",
];

impl Call {
    /// Reads a check's command line; `None` where it runs no cargo command that compiles.
    pub fn of(line: &CommandLine) -> Option<Self> {
        match line {
            CommandLine::Argv(argv) => Self::of_words(argv),
            CommandLine::Shell(line) => {
                // The pieces between shell operators; the last one that compiles most is the one that matters.
                let words = shell_words::split(&line.replace("&&", " ; ").replace("||", " ; ")).ok()?;
                let pieces = words.split(|word| matches!(word.as_str(), ";" | "|" | "&"));
                pieces.filter_map(Self::of_words).next_back()
            }
        }
    }

    /// Everything of the workspace or package at hand.
    pub fn whole() -> Self {
        Self {
            toolchain: None,
            clippy: false,
            selection: vec!["--all-targets".into()],
            lints: Vec::new(),
            env: BTreeMap::new(),
        }
    }

    fn of_words(words: &[String]) -> Option<Self> {
        let mut env = BTreeMap::new();
        let mut rest = words.iter().map(|word| word.trim_end_matches(';')).peekable();
        while let Some(word) = rest.peek() {
            match word.split_once('=') {
                Some((name, value)) if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
                    env.insert(name.to_owned(), value.to_owned());
                }
                _ if *word == "env" => {}
                _ => break,
            }
            rest.next();
        }
        if rest.next()?.rsplit('/').next()? != "cargo" {
            return None;
        }
        let toolchain = rest.next_if(|word| word.starts_with('+')).map(str::to_owned);
        let verb = rest.find(|word| !word.starts_with('-'))?;
        let tests = match verb {
            "test" | "t" | "nextest" | "llvm-cov" | "tarpaulin" => true,
            "check" | "c" | "build" | "b" | "clippy" | "run" | "r" | "doc" | "bench" | "install" => false,
            _ => return None,
        };
        let mut call =
            Self { toolchain, clippy: verb == "clippy", selection: Vec::new(), lints: Vec::new(), env };
        while let Some(word) = rest.next() {
            if word == "--" {
                if call.clippy {
                    call.lints = rest.map(str::to_owned).collect();
                }
                break;
            }
            let name = word.split('=').next().unwrap_or(word);
            if FLAGS.contains(&word) || (WITH_VALUE.contains(&name) && word.contains('=')) {
                call.selection.push(word.to_owned());
            } else if WITH_VALUE.contains(&word)
                && let Some(value) = rest.next()
            {
                call.selection.extend([word.to_owned(), value.to_owned()]);
            }
        }
        let chosen =
            call.selection.iter().any(|word| TARGETS.contains(&word.split('=').next().unwrap_or(word)));
        if tests && !chosen {
            call.selection.extend(["--tests".into(), "--examples".into()]);
        }
        if verb == "bench" && !chosen {
            call.selection.push("--benches".into());
        }
        Some(call)
    }

    /// The program and arguments. `--keep-going` shows the errors of crates that do not depend on each other at once.
    pub fn argv(&self) -> Vec<String> {
        let mut argv = vec!["cargo".to_owned()];
        argv.extend(self.toolchain.clone());
        argv.push(if self.clippy { "clippy" } else { "check" }.into());
        argv.extend(["--quiet".into(), "--keep-going".into(), "--message-format=json".into()]);
        argv.extend(self.selection.iter().cloned());
        if !self.lints.is_empty() {
            argv.push("--".into());
            argv.extend(self.lints.iter().cloned());
        }
        argv
    }
}

/// Whether `dir` or a folder above it holds a `Cargo.toml`.
pub(super) fn has_manifest(tree: Tree<'_>, dir: &str) -> bool {
    let mut folder = Some(dir.trim_matches('/'));
    while let Some(dir) = folder {
        let path = if dir.is_empty() { "Cargo.toml".to_owned() } else { format!("{dir}/Cargo.toml") };
        if RelPath::new(&path).is_ok_and(|path| tree.has(&path)) {
            return true;
        }
        folder = match dir.rsplit_once('/') {
            Some((parent, _)) => Some(parent),
            None if dir.is_empty() => None,
            None => Some(""),
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(line: &str) -> Option<String> {
        Call::of(&CommandLine::Shell(line.into())).map(|call| call.argv().join(" "))
    }

    #[test]
    fn the_same_targets_are_checked() {
        let base = "cargo check --quiet --keep-going --message-format=json";
        assert_eq!(argv("cargo build").unwrap(), base);
        assert_eq!(
            argv("cargo test -p core --features a,b -- --nocapture name").unwrap(),
            format!("{base} -p core --features a,b --tests --examples")
        );
        assert_eq!(argv("cargo test --lib parser").unwrap(), format!("{base} --lib"));
        assert_eq!(
            argv("cd x && RUSTFLAGS=-Awarnings cargo +nightly clippy --all-targets -- -D warnings").unwrap(),
            "cargo +nightly clippy --quiet --keep-going --message-format=json --all-targets -- -D warnings"
        );
        assert_eq!(argv("cargo fmt --check"), None);
        assert_eq!(argv("npm test"), None);
        let call = Call::of(&CommandLine::Shell("A=1 cargo run --bin x".into())).unwrap();
        assert_eq!(call.env["A"], "1");
    }
}
