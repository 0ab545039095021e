//! Structured probes: after a red outcome the same tool is asked again in a form that machines read. Never part of the verdict.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::diagnostic::Severity;
use crate::outcome::{Check, Outcome};

use super::command::{CommandWords, Words};
use super::matcher::Matcher;
use super::parsers::{self, Found, Input};
use super::paths::Paths;
use super::probe_limit;

/// Bytes of a probe's output that are kept.
pub const OUTPUT: usize = 32 << 20;

/// One probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// What to run, in the check's folder.
    pub argv: Vec<String>,
    /// Its limit.
    pub limit: Duration,
    /// Whether its tool is not part of the command, so that what it says is only a hint.
    pub evidence_only: bool,
    tool: &'static str,
}

impl Probe {
    /// What the probe says, `None` where it says nothing of use.
    pub fn read(&self, text: &str, paths: &Paths, matchers: &[Matcher]) -> Option<Found> {
        let input = Input::new(text, paths, self.tool);
        let mut found = parsers::parse(&input, matchers, &[]);
        found.diagnostics.retain(|d| match self.tool {
            "cargo" => matches!(d.tool.as_str(), "rustc" | "clippy"),
            tool => d.tool == tool,
        });
        (!found.diagnostics.is_empty() || !found.tests.is_empty()).then_some(found)
    }
}

/// The probes that fit a red `outcome` of `check`. `trees` are the host folders that together are the tree which commands see.
pub fn plan(check: &Check, words: &CommandWords, trees: &[PathBuf], outcome: &Outcome) -> Vec<Probe> {
    let limit = probe_limit(outcome.duration);
    let said =
        |tool: &str| outcome.diagnostics.iter().any(|d| d.tool == tool && d.severity == Severity::Error);
    let mut probes = Vec::new();
    let mut add = |tool: &'static str, argv: Vec<String>, evidence_only: bool| {
        probes.push(Probe { argv, limit, evidence_only, tool });
    };
    let compiled = outcome
        .diagnostics
        .iter()
        .any(|d| matches!(d.tool.as_str(), "rustc" | "clippy") && d.severity == Severity::Error);
    if compiled
        && let Some((command, at)) = words.find("cargo")
        && let Some(argv) = cargo(command, at)
    {
        add("cargo", argv, false);
    }
    let has = |path: &Path| trees.iter().any(|tree| tree.join(path).exists());
    let local = |name: &str| local_tool(has, &check.dir, name);
    if said("eslint")
        && let Some((command, at)) = words.find("eslint")
        && let Some(program) = local("eslint")
    {
        add(
            "eslint",
            with(
                program,
                &command[at + 1..],
                &["-f", "--format", "-o", "--output-file", "--fix"],
                &["-f", "json"],
            ),
            false,
        );
    }
    if said("ruff")
        && let Some((command, at)) = words.find("ruff")
        && command.get(at + 1).is_some_and(|w| w == "check")
    {
        let mut argv = command[..=at].to_vec();
        argv.push("check".to_owned());
        argv.extend(without(
            &command[at + 2..],
            &["--output-format", "--fix", "--unsafe-fixes", "-o", "--output-file"],
        ));
        argv.extend(["--output-format".to_owned(), "json".to_owned()]);
        add("ruff", argv, false);
    }
    if said("pyright")
        && let Some((command, at)) = words.find("pyright")
    {
        let mut argv = command[..=at].to_vec();
        argv.extend(without(&command[at + 1..], &["--outputjson", "-w", "--watch"]));
        argv.push("--outputjson".to_owned());
        add("pyright", argv, false);
    }
    let configured = has(&Path::new(&check.dir).join("tsconfig.json"));
    typescript(words, configured, outcome, local("tsc"), &mut add);
    runners(words, outcome, &local, &mut add);
    probes
}

/// The compiler beside a bundler that failed: it names what is wrong better, and all of it at once.
fn typescript(
    words: &CommandWords,
    configured: bool,
    outcome: &Outcome,
    program: Option<String>,
    add: &mut impl FnMut(&'static str, Vec<String>, bool),
) {
    let direct = words.find("tsc").is_some() || words.find("vue-tsc").is_some();
    let told = outcome.diagnostics.iter().any(|d| d.tool == "tsc" && d.range.is_some());
    let bundled = ["vite", "next", "webpack", "rollup", "tsup", "esbuild", "react-scripts", "ng"]
        .iter()
        .any(|tool| words.find(tool).is_some());
    // Where the compiler itself spoke its text says all there is.
    if told || !(direct || bundled) || !configured {
        return;
    }
    if let Some(program) = program {
        let argv = [&program, "--noEmit", "--pretty", "false"].map(str::to_owned).to_vec();
        add("tsc", argv, !direct);
    }
}

/// Per-test identities of runners whose text names only what fails. Tests run again, so only where they are quick.
fn runners(
    words: &CommandWords,
    outcome: &Outcome,
    local: &impl Fn(&str) -> Option<String>,
    add: &mut impl FnMut(&'static str, Vec<String>, bool),
) {
    let Some(tests) = &outcome.tests else { return };
    if tests.tests.len() as u64 >= tests.passed.saturating_add(tests.failed)
        || outcome.duration > Duration::from_secs(45)
    {
        return;
    }
    if let Some((command, at)) = words.find("jest")
        && let Some(program) = local("jest")
    {
        let drop =
            ["--json", "--watch", "--watchAll", "--coverage", "--verbose", "--reporters", "--outputFile"];
        add("jest", with(program, &command[at + 1..], &drop, &["--json", "--coverage=false"]), false);
    } else if let Some((command, at)) = words.find("vitest")
        && let Some(program) = local("vitest")
    {
        let drop = ["run", "watch", "dev", "--watch", "-w", "--reporter", "--coverage", "--outputFile"];
        let mut argv = vec![program, "run".to_owned()];
        argv.extend(without(&command[at + 1..], &drop));
        argv.extend(["--reporter=json".to_owned(), "--coverage.enabled=false".to_owned()]);
        add("vitest", argv, false);
    }
}

fn with(program: String, rest: &[String], drop: &[&str], more: &[&str]) -> Vec<String> {
    let mut argv = vec![program];
    argv.extend(without(rest, drop));
    argv.extend(more.iter().map(|m| (*m).to_owned()));
    argv
}

/// The words without the options in `drop` and their values, and without what only a shell understands.
fn without(rest: &[String], drop: &[&str]) -> Vec<String> {
    const VALUED: &[&str] = &[
        "-f",
        "--format",
        "-o",
        "--output-file",
        "--output-format",
        "--reporter",
        "--reporters",
        "--outputFile",
    ];
    let mut kept = Vec::new();
    let mut skip = false;
    for word in rest {
        if std::mem::take(&mut skip) {
            continue;
        }
        let name = word.split('=').next().unwrap_or(word);
        if drop.contains(&name) {
            skip = VALUED.contains(&name) && !word.contains('=');
        } else if !is_redirection(word) {
            kept.push(word.clone());
        }
    }
    kept
}

fn is_redirection(word: &str) -> bool {
    let plain = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '&');
    plain.starts_with(['>', '<'])
}

/// The project's own copy of a tool, as a path relative to the check's folder.
fn local_tool(has: impl Fn(&Path) -> bool, dir: &str, name: &str) -> Option<String> {
    let mut folder = dir.trim_matches('/');
    let mut up = String::new();
    loop {
        let inside = format!("node_modules/.bin/{name}");
        if has(&Path::new(folder).join(&inside)) {
            return Some(format!("./{up}{inside}"));
        }
        if folder.is_empty() {
            return None;
        }
        folder = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
        up.push_str("../");
    }
}

/// `cargo build --release -p x` as `cargo check` or `clippy` with JSON: package, feature, target and profile flags stay.
fn cargo(command: &Words, at: usize) -> Option<Vec<String>> {
    let rest = &command[at + 1..];
    let verb_at = rest.iter().position(|w| !w.starts_with('-') && !w.starts_with('+'))?;
    let verb = rest[verb_at].as_str();
    let (verb, extra): (&str, &[&str]) = match verb {
        "build" | "b" | "check" | "c" => (verb, &[]),
        "run" | "r" => ("build", &[]),
        "clippy" => ("clippy", &[]),
        "test" | "t" => ("test", &["--no-run"]),
        "bench" => ("bench", &["--no-run"]),
        "doc" | "d" => ("check", &[]),
        "nextest" => ("test", &["--no-run"]),
        _ => return None,
    };
    let mut argv = vec![command[at].clone()];
    argv.extend(rest[..verb_at].iter().cloned());
    argv.push(verb.to_owned());
    let mut options = rest[verb_at + 1..].iter().peekable();
    let mut after: Vec<String> = Vec::new();
    while let Some(word) = options.next() {
        if word == "--" {
            // Lint levels for clippy; arguments of the tests or the program else.
            if verb == "clippy" {
                after.push(word.clone());
                after.extend(options.by_ref().filter(|w| !is_redirection(w)).cloned());
            }
            break;
        }
        let name = word.split('=').next().unwrap_or(word);
        if VALUES.contains(&name) {
            argv.push(word.clone());
            if !word.contains('=') {
                argv.extend(options.next().cloned());
            }
        } else if FLAGS.contains(&name) {
            argv.push(word.clone());
        }
    }
    argv.extend(extra.iter().map(|e| (*e).to_owned()));
    argv.extend(["--message-format=json".to_owned(), "--keep-going".to_owned()]);
    // Without it cargo stops at the first failing package, as the command did.
    if matches!(verb, "test" | "bench") {
        argv.pop();
    }
    argv.extend(after);
    Some(argv)
}

const VALUES: &[&str] = &[
    "-p",
    "--package",
    "--exclude",
    "--bin",
    "--example",
    "--test",
    "--bench",
    "-F",
    "--features",
    "--target",
    "--target-dir",
    "--manifest-path",
    "--profile",
    "-j",
    "--jobs",
    "--config",
    "-Z",
    "--cargo-profile",
];
const FLAGS: &[&str] = &[
    "--workspace",
    "--all",
    "--lib",
    "--bins",
    "--examples",
    "--tests",
    "--benches",
    "--all-targets",
    "--all-features",
    "--no-default-features",
    "--release",
    "-r",
    "--locked",
    "--offline",
    "--frozen",
    "--no-deps",
    "--ignore-rust-version",
];

#[cfg(test)]
mod tests;
