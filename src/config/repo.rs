//! The repo's `regreen.toml`: untrusted input that may tighten what the user allows, and never loosen it.

use std::path::Path;
use std::time::Duration;

use super::NetworkAccess;
use super::governance::TighterGovernance;
use super::reader::{LARGEST, Section, Source};
use super::user::{LoadedFile, UserConfig};
use crate::fault::Fault;
use crate::outcome::{Check, CommandLine};
use crate::patch::{RelPath, read_beneath};
use crate::usage::Money;

/// The file's name, at the repo's root.
pub const REPO_FILE: &str = "regreen.toml";

/// The check that a command line's goal becomes; a file cannot use the name.
pub const GOAL: &str = "goal";

/// The text of the `regreen.toml` of the tree at `root`, if there is one: untrusted input.
///
/// # Errors
/// A [`Fault`] (exit 2) where something of that name is there and is no file, is too large, or cannot be read: its rules would be lost.
pub fn read_repo_file(root: &Path) -> Result<Option<String>, Fault> {
    let wrong = |what: &str| {
        let hint = "make it a file of its own in the repo's root, or remove it";
        Fault::usage(format!("{REPO_FILE} {what}")).hint(hint)
    };
    let unreadable = |error: &std::io::Error| wrong(&format!("cannot be read: {error}"));
    let meta = match root.join(REPO_FILE).symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        meta => meta.map_err(|error| unreadable(&error))?,
    };
    if meta.is_symlink() {
        return Err(wrong("is a link, which is not followed"));
    }
    if !meta.is_file() {
        return Err(wrong("is no file"));
    }
    if meta.len() > LARGEST {
        return Err(wrong("is larger than 1 MiB"));
    }
    let path = RelPath::new(REPO_FILE).map_err(|error| wrong(&error.to_string()))?;
    let file = read_beneath(root, &path).map_err(|error| unreadable(&error))?;
    let file = file.ok_or_else(|| wrong("is no file"))?;
    Ok(Some(String::from_utf8_lossy(&file.bytes).into_owned()))
}

/// What prepares a tree before its checks can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// What it runs.
    pub run: CommandLine,
    /// The folder it starts in, relative to the repo's root; empty for the root.
    pub dir: String,
    /// What it asks to reach; the user's sandbox settings have the last word.
    pub network: NetworkAccess,
    /// Its wall-time limit.
    pub timeout: Duration,
}

/// What the repo tells about itself, for prompts. Untrusted text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContextHints {
    /// Rules of the house.
    pub rules: String,
    /// Files worth reading, as globs relative to the root.
    pub paths: Vec<String>,
    /// Short remarks.
    pub hints: Vec<String>,
}

impl ContextHints {
    /// All of it as one text for models.
    pub fn text(&self) -> String {
        let mut parts = vec![self.rules.trim().to_owned()];
        parts.push(self.hints.iter().map(|hint| format!("- {hint}")).collect::<Vec<_>>().join("\n"));
        if !self.paths.is_empty() {
            parts.push(format!("Files worth reading: {}", self.paths.join(", ")));
        }
        parts.retain(|part| !part.is_empty());
        parts.join("\n\n")
    }
}

/// What the repo asks to be stricter about than the user is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tighter {
    /// More globs of files that no patch may touch.
    pub protected: Vec<String>,
    /// The most files a patch may change.
    pub files: Option<u64>,
    /// The most lines a patch may add and remove.
    pub lines: Option<u64>,
    /// Money for one run.
    pub run: Option<Money>,
    /// Attempts of one run.
    pub attempts: Option<u32>,
    /// The goal runs again at least this often.
    pub repeat: Option<u32>,
    /// Whether nothing of the repo may go to a model.
    pub no_models: bool,
    /// What may land by itself.
    pub governance: TighterGovernance,
}

/// What `regreen.toml` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepoConfig {
    /// The checks, in the order of the file.
    pub checks: Vec<Check>,
    /// What prepares a tree.
    pub setup: Option<Setup>,
    /// What the repo tells about itself.
    pub context: ContextHints,
    /// What it asks to be stricter about.
    pub tighter: Tighter,
}

const TOP: &[&str] =
    &["checks", "setup", "context", "guards", "governance", "budget", "limits", "proof", "models"];
const CHECK: &[&str] = &["run", "timeout", "needs", "dir"];
const SETUP: &[&str] = &["run", "network", "timeout", "dir"];
const MOST_CHECKS: usize = 64;

/// The longest that the repo may let one command take; the run's own limit holds besides.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

impl RepoConfig {
    /// Reads the text of a `regreen.toml`. A check without a timeout has `timeout`.
    ///
    /// # Errors
    /// A [`Fault`] (exit 2) that names the line.
    pub fn parse(text: &str, timeout: Duration) -> Result<Self, Fault> {
        Self::parse_with_lines(text, timeout).map(|(config, _)| config)
    }

    pub(super) fn parse_with_lines(text: &str, timeout: Duration) -> Result<(Self, LoadedFile), Fault> {
        if text.len() as u64 > LARGEST {
            return Err(Fault::usage(format!("{REPO_FILE} is larger than 1 MiB")));
        }
        let source = Source::new(REPO_FILE, text);
        let table = source.parse()?;
        let top = Section::top(&source, &table, TOP)?;
        let mut config = Self { checks: checks(&top, timeout)?, ..Self::default() };
        if let Some(section) = top.section("setup", SETUP)? {
            config.setup = Some(Setup {
                run: command(&section)?,
                dir: dir(&section)?,
                network: section
                    .choice("network", NetworkAccess::NAMES, NetworkAccess::parse)?
                    .unwrap_or(NetworkAccess::None),
                timeout: section.duration("timeout")?.unwrap_or(Duration::from_secs(900)).min(LONGEST),
            });
        }
        if let Some(section) = top.section("context", &["rules", "paths", "hints"])? {
            config.context.rules = section.string("rules")?.unwrap_or_default();
            config.context.paths = section.globs("paths")?.unwrap_or_default();
            config.context.hints = section.strings("hints")?.unwrap_or_default();
        }
        config.tighter = tighter(&top)?;
        drop(top);
        let loaded = LoadedFile { name: source.name.clone(), lines: source.lines.take() };
        Ok((config, loaded))
    }
}

impl Tighter {
    /// Makes `user` stricter where the repo asks for it; nothing ever becomes looser. Gives the keys that took effect.
    pub(super) fn tighten(&self, user: &mut UserConfig) -> Vec<&'static str> {
        let before = user.clone();
        user.guards.protected.extend(self.protected.iter().cloned());
        user.guards.files = self.files.map_or(user.guards.files, |most| most.min(user.guards.files));
        user.guards.lines = self.lines.map_or(user.guards.lines, |most| most.min(user.guards.lines));
        user.budget.run = self.run.map_or(user.budget.run, |most| most.min(user.budget.run));
        user.repeat = self.repeat.map_or(user.repeat, |least| least.max(user.repeat));
        user.limits.attempts = match (self.attempts, user.limits.attempts) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        if self.no_models {
            use super::user::FixerKind::{Agent, Model};
            user.ladder.retain(|rung| !matches!(rung.fixer, Model | Agent));
        }
        let changed = [
            ("guards.protected", before.guards.protected != user.guards.protected),
            ("guards.files", before.guards.files != user.guards.files),
            ("guards.lines", before.guards.lines != user.guards.lines),
            ("budget.run_usd", before.budget.run != user.budget.run),
            ("proof.repeat", before.repeat != user.repeat),
            ("limits.attempts", before.limits.attempts != user.limits.attempts),
            ("models", before.ladder != user.ladder),
        ];
        let governance = self.governance.tighten(&mut user.governance);
        let changed = changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key);
        changed.chain(governance).collect()
    }
}

fn tighter(top: &Section<'_, '_>) -> Result<Tighter, Fault> {
    let mut tighter = Tighter::default();
    if let Some(section) = top.section("guards", &["protected", "files", "lines"])? {
        tighter.protected = section.globs("protected")?.unwrap_or_default();
        tighter.files = section.integer("files", 1..=100_000)?;
        tighter.lines = section.integer("lines", 1..=10_000_000)?;
    }
    if let Some(section) = top.section("budget", &["run_usd"])? {
        tighter.run = section.money("run_usd")?;
    }
    if let Some(section) = top.section("limits", &["attempts"])? {
        tighter.attempts = section.integer("attempts", 1..=1000)?.map(|most| most as u32);
    }
    if let Some(section) = top.section("proof", &["repeat"])? {
        // Bounded, so that a repo cannot keep a machine busy for ever.
        tighter.repeat = section.integer("repeat", 0..=10)?.map(|times| times as u32);
    }
    tighter.governance = TighterGovernance::read(top)?;
    tighter.no_models = top.boolean("models")? == Some(false);
    Ok(tighter)
}

fn checks(top: &Section<'_, '_>, timeout: Duration) -> Result<Vec<Check>, Fault> {
    let sections = top.named("checks", CHECK)?;
    if sections.len() > MOST_CHECKS {
        return Err(top.wrong("checks", &format!("has more than {MOST_CHECKS} checks")));
    }
    let mut checks: Vec<Check> = Vec::with_capacity(sections.len());
    for (name, section) in &sections {
        if !is_name(name) {
            let what = "must have a name of letters, digits, `-`, `_` and `:`, other than `goal`";
            return Err(section.wrong("", what));
        }
        checks.push(Check {
            name: name.clone(),
            run: command(section)?,
            dir: dir(section)?,
            timeout: section.duration("timeout")?.unwrap_or(timeout).min(LONGEST),
            needs: section.strings("needs")?.unwrap_or_default(),
        });
    }
    for (check, (_, section)) in checks.iter().zip(&sections) {
        let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
        if let Some(unknown) = check.needs.iter().find(|need| !names.contains(&need.as_str())) {
            let near = super::reader::nearest(unknown, &names);
            let near = near.map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default();
            let unknown: String = unknown.chars().take(60).collect();
            return Err(section.wrong("needs", &format!("names no check: {unknown:?}{near}")));
        }
        if needs_itself(check, &checks) {
            return Err(section.wrong("needs", "leads back to the check itself"));
        }
    }
    Ok(checks)
}

pub(super) fn is_name(name: &str) -> bool {
    name != GOAL
        && (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_:".contains(&b))
}

fn needs_itself(check: &Check, checks: &[Check]) -> bool {
    let mut seen: Vec<&str> = Vec::new();
    let mut todo: Vec<&str> = check.needs.iter().map(String::as_str).collect();
    while let Some(name) = todo.pop() {
        if name == check.name {
            return true;
        }
        if !seen.contains(&name) {
            seen.push(name);
            let more = checks.iter().filter(|one| one.name == name).flat_map(|one| &one.needs);
            todo.extend(more.map(String::as_str));
        }
    }
    false
}

fn command(section: &Section<'_, '_>) -> Result<CommandLine, Fault> {
    if section.is_list("run") {
        let argv = section.strings("run")?.unwrap_or_default();
        return match argv.first().is_some_and(|program| !program.is_empty()) {
            true if argv.iter().all(|word| !word.contains('\0')) => Ok(CommandLine::Argv(argv)),
            _ => Err(section.wrong("run", "must name a program")),
        };
    }
    match section.string("run")? {
        Some(line) if !line.trim().is_empty() && !line.contains('\0') => Ok(CommandLine::Shell(line)),
        _ => Err(section.wrong("run", "must be the command to run")),
    }
}

fn dir(section: &Section<'_, '_>) -> Result<String, Fault> {
    let Some(text) = section.string("dir")? else { return Ok(String::new()) };
    let text = text.trim_end_matches('/');
    if text.is_empty() || text == "." {
        return Ok(String::new());
    }
    RelPath::new(text)
        .map(|path| path.as_str().to_owned())
        .map_err(|refused| section.wrong("dir", &format!("is refused: {refused}")))
}
