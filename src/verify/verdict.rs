//! What the end of a command means: green, red, or a failure that no edit repairs.

use std::sync::{Arc, LazyLock};

use regex::Regex;
use serde::Deserialize;

use crate::diagnostic::{Category, Severity};
use crate::outcome::{Check, CommandLine, End, TestReport, Verdict};

use crate::sandbox::Sight;

use super::command::is_assignment;
use super::data;
use super::parsers::Found;

/// Lines at the end of the output that are looked at.
const LAST_LINES: usize = 400;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rule: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    reason: String,
    advice: String,
    pattern: String,
    unless: Option<String>,
    also: Option<String>,
    #[serde(default)]
    exits: Vec<i32>,
    #[serde(default)]
    despite_diagnostics: bool,
    #[serde(default)]
    unless_tests: bool,
    needs: Option<Needs>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Needs {
    /// The check's folder has a `package.json` and no `node_modules` is above it.
    NoNodeModules,
    /// What the pattern names is a package of the nearest `Cargo.lock`: it is no misspelt word.
    Locked,
}

struct Rule {
    row: Row,
    pattern: Regex,
    unless: Option<Regex>,
    also: Option<Regex>,
}

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    load(&data::table("infra.toml")).unwrap_or_else(|error| {
        tracing::error!(%error, "the table of infrastructure failures does not load");
        Vec::new()
    })
});

fn load(text: &str) -> anyhow::Result<Vec<Rule>> {
    let file: File = toml::from_str(text)?;
    let rule = |row: Row| -> anyhow::Result<Rule> {
        let unless = row.unless.as_deref().map(Regex::new).transpose()?;
        let also = row.also.as_deref().map(Regex::new).transpose()?;
        Ok(Rule { pattern: Regex::new(&row.pattern)?, unless, also, row })
    };
    file.rule.into_iter().map(rule).collect()
}

/// What is known besides the output.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The check's folder belongs to a JavaScript project whose packages are not installed.
    pub no_node_modules: bool,
    /// The `Cargo.lock` that is nearest to the check's folder; empty where there is none.
    pub cargo_lock: String,
    /// How its packages are installed, as far as its files show.
    pub install: Option<&'static str>,
    /// What the command sees of the host, if it does not see all of it.
    pub sight: Option<Arc<Sight>>,
}

/// Judges one execution.
pub fn judge(
    check: &Check,
    end: End,
    text: &str,
    found: &Found,
    tests: Option<&TestReport>,
    around: &Surroundings,
) -> Verdict {
    let infra = |reason: String, advice: &str| Verdict::Infra { reason, advice: advice.to_owned() };
    const MEMORY: &str = "give the check more memory (limits.memory), or run fewer jobs side by side";
    match end {
        // Only a structured report counts: text may be quoted, and retried tests fail in it before they pass.
        End::Exited(0) if found.reported_failure && tests.is_some_and(|t| t.failed > 0) => Verdict::Red,
        End::Exited(0) => Verdict::Green,
        End::TimedOut => infra(
            format!("{} did not finish in {}", check.name, seconds(check.timeout)),
            "raise limits.check in your configuration (or `timeout` of a check that regreen.toml defines), or find out what hangs",
        ),
        End::OutOfMemory => infra("out of memory".to_owned(), MEMORY),
        End::OutOfDisk => infra(
            "disk limit: it wrote more than it may, or nearly filled the disk".to_owned(),
            "free some space; if it needs that much, raise limits.disk, or lower limits.disk_free",
        ),
        End::Cancelled => infra("the run was cancelled".to_owned(), "run it again"),
        // The kernel's and the administrator's way to end a program; a crash of its own has other signals.
        End::Signaled(9) | End::Exited(137) => {
            infra("killed (signal 9), most likely for its use of memory".to_owned(), MEMORY)
        }
        End::Signaled(15) | End::Exited(143) if !has_source_error(found) => {
            infra("something else ended it (signal 15)".to_owned(), "run it again, and look at what stops it")
        }
        End::Exited(_) | End::Signaled(_) => {
            by_rules(check, end, text, found, tests, around).unwrap_or(Verdict::Red)
        }
    }
}

/// `2m 30s`.
fn seconds(duration: std::time::Duration) -> String {
    let whole = duration.as_secs();
    match (whole / 60, whole % 60) {
        (0, 0) => format!("{} ms", duration.as_millis()),
        (0, seconds) => format!("{seconds}s"),
        (minutes, 0) => format!("{minutes}m"),
        (minutes, seconds) => format!("{minutes}m {seconds}s"),
    }
}

fn by_rules(
    check: &Check,
    end: End,
    text: &str,
    found: &Found,
    tests: Option<&TestReport>,
    around: &Surroundings,
) -> Option<Verdict> {
    let at_source = has_source_error(found);
    let tested = tests.is_some_and(|t| t.failed > 0 || t.passed > 0);
    let mut lines: Vec<&str> =
        text.lines().rev().take(LAST_LINES).map(|l| super::parsers::cut(l, 2_000)).collect();
    lines.reverse();
    for rule in RULES.iter() {
        let row = &rule.row;
        let exit_fits = row.exits.is_empty() || matches!(end, End::Exited(code) if row.exits.contains(&code));
        let needs_fit = row.needs != Some(Needs::NoNodeModules) || around.no_node_modules;
        let told = (at_source && !row.despite_diagnostics) || (tested && row.unless_tests);
        let also_fits = || rule.also.as_ref().is_none_or(|also| lines.iter().any(|line| also.is_match(line)));
        if !exit_fits || !needs_fit || told || !also_fits() {
            continue;
        }
        let hit = lines.iter().find_map(|line| {
            let captures = rule.pattern.captures(line)?;
            rule.unless.as_ref().is_none_or(|unless| !unless.is_match(line)).then_some((line, captures))
        });
        if let Some((line, captures)) = hit {
            let what = ["what", "what2", "what3", "what4", "what5"].iter().find_map(|n| captures.name(n));
            let what = what.map(|what| super::parsers::cut(what.as_str(), 200));
            let locked = |what: &str| around.cargo_lock.contains(&format!("\nname = \"{what}\"\n"));
            if row.needs == Some(Needs::Locked) && !what.is_some_and(locked) {
                continue;
            }
            if let Some(hidden) =
                what.filter(|_| row.advice == MISSING).and_then(|what| hidden(check, what, around))
            {
                return Some(hidden);
            }
            let reason = match what {
                Some(what) => format!("{}: {what}", row.reason),
                None => format!("{} ({})", row.reason, super::parsers::cut(line.trim(), 200)),
            };
            return Some(Verdict::Infra { reason, advice: advice(&row.advice, what, around) });
        }
    }
    if end == End::Exited(127) && !at_source && !tested {
        let first = first_word(&check.run);
        if let Some(hidden) = first.and_then(|word| hidden(check, &word, around)) {
            return Some(hidden);
        }
        return Some(Verdict::Infra {
            reason: format!(
                "a program of the command is missing (exit 127): {}",
                super::parsers::cut(&check.run.display(), 200)
            ),
            advice: advice(MISSING, None, around),
        });
    }
    if end == End::Exited(126) && !at_source && !tested {
        let told = lines.iter().rev().find(|line| !line.trim().is_empty());
        let told = told.map_or("exit 126", |line| super::parsers::cut(line.trim(), 200));
        let advice = match told.to_lowercase() {
            told if told.contains("is a folder") || told.contains("is a directory") => {
                "name the program itself, not the folder that it is in"
            }
            told if told.contains("format") => {
                "see what it is (`file` tells): no program of this machine's kind"
            }
            _ => "make it executable (chmod +x), or look at its first line and its format",
        };
        return Some(Verdict::Infra {
            reason: format!("a program of the command cannot be executed ({told})"),
            advice: advice.to_owned(),
        });
    }
    None
}

const MISSING: &str = "install {what}, or put it into the PATH that checks see{or_setup}";

/// What is said of a program that is on the machine and that the sandbox does not show.
fn hidden(check: &Check, program: &str, around: &Surroundings) -> Option<Verdict> {
    let folder = around.sight.as_ref()?.lacks(&check.dir, program)?;
    Some(Verdict::Infra {
        reason: format!("the sandbox does not show a program that is on this machine: {program}"),
        advice: format!("add {:?} to sandbox.read_only in your configuration", folder.to_string_lossy()),
    })
}

/// The program that a check begins with.
fn first_word(run: &CommandLine) -> Option<String> {
    let words = match run {
        CommandLine::Argv(words) => words.clone(),
        CommandLine::Shell(line) => shell_words::split(line).ok()?,
    };
    words.into_iter().find(|word| !is_assignment(word))
}

/// A rule's advice with what is missing and how the project is set up filled in.
fn advice(template: &str, what: Option<&str>, around: &Surroundings) -> String {
    let or_setup = around.install.map(|way| format!("; if the project brings it, run its setup: {way}"));
    template
        .replace("{or_setup}", or_setup.as_deref().unwrap_or_default())
        .replace("{setup}", around.install.unwrap_or("the install command of its package manager"))
        .replace("{what}", what.unwrap_or("it"))
}

/// An error that points into the repo's own files, or a failing assertion: an edit may repair it, whatever else was printed.
fn has_source_error(found: &Found) -> bool {
    found.diagnostics.iter().any(|d| {
        d.severity == Severity::Error
            && !matches!(d.category, Category::Dependency | Category::Configuration)
            && (d.test.is_some()
                || (d.range.is_some() && d.file.as_deref().is_some_and(|f| !f.starts_with('/'))))
    })
}

#[cfg(test)]
mod tests;
