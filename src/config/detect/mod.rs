//! Finds out from a tree's own files how it is built and tested.
//!
//! The tree is hostile: only small regular files are read, no link is followed, the walk is bounded, and nothing of what the
//! files say becomes part of a command except the names of the few scripts and targets that are known beforehand.

mod java;
mod native;
mod node;
mod programs;
mod python;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

pub use programs::Programs;

use super::NetworkAccess;
use super::quantity::render_duration;
use super::repo::{Setup, is_name};
use crate::outcome::{Check, CommandLine};
use crate::patch::{RelPath, read_beneath};

/// What was found in a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detected {
    /// The checks, the outermost project's first.
    pub checks: Vec<Check>,
    /// What prepares a fresh tree.
    pub setup: Option<Setup>,
    /// What a person should know about the choices, one sentence each.
    pub notes: Vec<String>,
}

/// What one project in the tree is checked by, before names are given.
#[derive(Debug, Default)]
struct Project {
    /// `rust`, `node`, `python`, …: distinguishes projects of one folder.
    ecosystem: &'static str,
    checks: Vec<Draft>,
    setup: Option<String>,
    /// Which folders, relative to this one, are parts of it that its setup prepares too; `None` where it is no workspace.
    members: Option<Members>,
    notes: Vec<String>,
}

#[derive(Debug)]
struct Draft {
    /// `build`, `test`, `lint`, `typecheck`.
    kind: &'static str,
    run: String,
    minutes: u64,
    /// Kinds of the same project that come before.
    needs: &'static [&'static str],
}

impl Draft {
    fn new(kind: &'static str, run: impl Into<String>, minutes: u64) -> Self {
        let needs: &[&str] = if kind == "test" { &["build"] } else { &[] };
        Self { kind, run: run.into(), minutes, needs }
    }
}

/// A folder with at least one manifest.
#[derive(Debug)]
struct Folder<'a> {
    root: &'a Path,
    /// Relative to the root, empty for the root.
    dir: String,
    /// The names of the regular files in it.
    files: &'a BTreeSet<String>,
    /// The names of all files by folder.
    tree: &'a Names,
    /// What the machine has.
    programs: &'a Programs,
}

impl Folder<'_> {
    fn has(&self, name: &str) -> bool {
        self.files.contains(name)
    }

    fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.has(name))
    }

    /// The text of a file of the folder, empty where it is absent, too large or not UTF-8.
    fn text(&self, name: &str) -> String {
        let path = if self.dir.is_empty() { name.to_owned() } else { format!("{}/{name}", self.dir) };
        read_small(self.root, &path)
    }

    /// The files below this folder, itself included: folder relative to this one, name. Folders below one that `other` knows as
    /// another project's are left out.
    fn below(&self, other: impl Fn(&BTreeSet<String>) -> bool) -> impl Iterator<Item = (&str, &str)> {
        let inner: Vec<&str> = self
            .tree
            .iter()
            .map(|(dir, names)| (dir.as_str(), names))
            .filter(|(dir, names)| *dir != self.dir && is_below(dir, &self.dir) && other(names))
            .map(|(dir, _)| dir)
            .collect();
        let own = self.tree.iter().filter(move |(dir, _)| {
            is_below(dir, &self.dir) && !inner.iter().any(|inner| is_below(dir, inner))
        });
        own.flat_map(|(dir, names)| names.iter().map(|name| (inside(dir, &self.dir), name.as_str())))
    }

    /// Whether something is at a path below the folder (an interpreter, say); links count.
    fn exists(&self, path: &str) -> bool {
        self.root.join(&self.dir).join(path).exists()
    }
}

const DEPTH: usize = 4;
const MOST_ENTRIES: usize = 50_000;
const MOST_PROJECTS: usize = 12;
const LARGEST: u64 = 2 << 20;
/// Folders whose manifests are not the project's own.
const SKIPPED: &[&str] = &[
    "node_modules",
    "target",
    "vendor",
    "dist",
    "build",
    "out",
    "venv",
    "env",
    "site-packages",
    "third_party",
    "fixtures",
    "fixture",
    "testdata",
    "test-data",
    "examples",
    "example",
    "samples",
    "templates",
    "template",
    "fuzz",
    "__pycache__",
    "coverage",
    "bazel-out",
];

/// Looks at the tree at `root` and says how it is checked on a machine with these programs. Blocking; bounded whatever the tree holds.
pub fn detect(root: &Path, programs: &Programs) -> Detected {
    let tree = walk(root);
    let mut projects: Vec<(String, Project)> = Vec::new();
    let mut notes = Vec::new();
    for (dir, names) in &tree {
        let folder = Folder { root, dir: dir.clone(), files: names, tree: &tree, programs };
        // The workspace that it belongs to, else the innermost project.
        let outer = |ecosystem: &str| {
            let around = || {
                let known = projects.iter().rev();
                let same =
                    known.filter(|(other, project)| project.ecosystem == ecosystem && is_below(dir, other));
                same.map(|(other, project)| Outer { project, path: inside(dir, other) })
            };
            around().find(Outer::has_as_member).or_else(|| around().next())
        };
        let mut found: Vec<Project> = [
            native::cargo(&folder, outer("rust").is_some()),
            node::package(&folder, outer("node")),
            python::project(&folder, outer("python")),
            native::go(&folder),
            java::build(&folder, outer("java").is_some()),
        ]
        .into_iter()
        .flatten()
        .collect();
        if found.is_empty() && (dir.is_empty() || projects.is_empty()) {
            found.extend(native::make(&folder));
        }
        projects.extend(found.into_iter().map(|project| (dir.clone(), project)));
    }
    projects.retain(|(_, project)| {
        let prepares = project.setup.is_some() && project.members.is_some();
        !project.checks.is_empty() || prepares || !project.notes.is_empty()
    });
    if projects.len() > MOST_PROJECTS {
        let dropped = projects.len() - MOST_PROJECTS;
        notes.push(format!("{dropped} more projects were found and left out; add the ones that matter"));
        projects.truncate(MOST_PROJECTS);
    }
    let mut detected = assemble(projects, notes);
    detected.notes.extend(missing(&detected, programs));
    detected
}

/// The project that a folder lies in.
struct Outer<'p> {
    project: &'p Project,
    /// The folder, relative to that project's.
    path: &'p str,
}

impl Outer<'_> {
    /// Whether the folder is a part of a workspace.
    fn has_as_member(&self) -> bool {
        self.project.members.as_ref().is_some_and(|members| members.hold(self.path))
    }
}

/// Which folders belong to a workspace, as its manifest names them.
#[derive(Debug, Clone, Default)]
struct Members {
    included: GlobSet,
    excluded: GlobSet,
}

impl Members {
    /// From patterns relative to the workspace's folder; `!` takes away. Patterns that are none are passed over.
    fn of<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Self {
        let (mut included, mut excluded) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for pattern in patterns.into_iter().take(1000) {
            let (set, pattern) = match pattern.strip_prefix('!') {
                Some(rest) => (&mut excluded, rest),
                None => (&mut included, pattern),
            };
            let plain = pattern.trim_start_matches("./").trim_end_matches('/');
            if let Ok(glob) = GlobBuilder::new(plain).literal_separator(true).build() {
                set.add(glob);
            }
        }
        let built = |set: GlobSetBuilder| set.build().unwrap_or_default();
        Self { included: built(included), excluded: built(excluded) }
    }

    fn hold(&self, path: &str) -> bool {
        self.included.is_match(path) && !self.excluded.is_match(path)
    }
}

/// Says which programs of the checks and of the setup this machine lacks.
fn missing(detected: &Detected, programs: &Programs) -> Option<String> {
    let runs =
        detected.checks.iter().map(|check| &check.run).chain(detected.setup.as_ref().map(|setup| &setup.run));
    let mut lacking = BTreeSet::new();
    for run in runs {
        let line = run.display();
        for part in line.split("&&") {
            let mut words = part.trim_start_matches([' ', '(']).split_whitespace();
            let program = words.find(|word| !word.contains('=')).unwrap_or_default();
            if !program.is_empty() && program != "cd" && !program.contains('/') && !programs.has(program) {
                lacking.insert(program.to_owned());
            }
        }
    }
    let names: Vec<String> = lacking.into_iter().collect();
    (!names.is_empty())
        .then(|| format!("not installed on this machine, and needed by what follows: {}", names.join(", ")))
}

/// `dir` relative to `outer`, which it lies in or is.
fn inside<'d>(dir: &'d str, outer: &str) -> &'d str {
    dir.strip_prefix(outer).unwrap_or(dir).trim_start_matches('/')
}

/// Whether `dir` lies in `outer` or is it.
fn is_below(dir: &str, outer: &str) -> bool {
    outer.is_empty() || dir == outer || dir.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
}

type Names = BTreeMap<String, BTreeSet<String>>;

/// The names of files by folder; outer folders come first in a `BTreeMap`'s order.
fn walk(root: &Path) -> Names {
    let mut files = Names::new();
    let walk = ignore::WalkBuilder::new(root)
        .max_depth(Some(DEPTH))
        .follow_links(false)
        .same_file_system(true)
        .hidden(false)
        .require_git(false)
        .filter_entry(|entry| {
            let name = entry.file_name().to_string_lossy();
            let folder = entry.file_type().is_some_and(|kind| kind.is_dir());
            entry.depth() == 0 || !folder || !(SKIPPED.contains(&name.as_ref()) || name.starts_with('.'))
        })
        .build();
    for entry in walk.take(MOST_ENTRIES).flatten() {
        let Ok(path) = entry.path().strip_prefix(root) else { continue };
        let Some(path) = path.to_str().and_then(|path| RelPath::new(path).ok()) else { continue };
        let Some(kind) = entry.file_type() else { continue };
        let dir = path.parent().map(|parent| parent.as_str().to_owned()).unwrap_or_default();
        if kind.is_file() {
            files.entry(dir).or_default().insert(path.file_name().to_owned());
        }
    }
    files
}

fn read_small(root: &Path, path: &str) -> String {
    let Ok(path) = RelPath::new(path) else { return String::new() };
    let small = path.under(root).symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= LARGEST);
    if !small {
        return String::new();
    }
    let text = read_beneath(root, &path).ok().flatten().and_then(|file| String::from_utf8(file.bytes).ok());
    text.unwrap_or_default()
}

/// Names the checks and joins the setups.
fn assemble(projects: Vec<(String, Project)>, mut notes: Vec<String>) -> Detected {
    let mut checks: Vec<Check> = Vec::new();
    let mut setups = Vec::new();
    for (dir, project) in projects {
        let names = |kind: &str| -> Vec<String> {
            let slug = slug(&dir);
            let plain = if slug.is_empty() { kind.to_owned() } else { format!("{slug}-{kind}") };
            let full = if slug.is_empty() {
                format!("{}-{kind}", project.ecosystem)
            } else {
                format!("{slug}-{}-{kind}", project.ecosystem)
            };
            vec![plain, full]
        };
        // One project keeps one way of naming, so that `needs` stays within it.
        let taken = |at: usize| {
            let free = |draft: &Draft| {
                let name = &names(draft.kind)[at];
                is_name(name) && checks.iter().all(|check| &check.name != name)
            };
            !project.checks.iter().all(free)
        };
        let Some(at) = (0..2).find(|at| !taken(*at)) else {
            notes.push(format!("the checks of {dir} were left out: no name for them is free"));
            continue;
        };
        let mut own = Vec::new();
        for draft in &project.checks {
            let there = |kind: &&&str| project.checks.iter().any(|other| other.kind == **kind);
            own.push(Check {
                name: names(draft.kind)[at].clone(),
                run: CommandLine::Shell(draft.run.clone()),
                dir: dir.clone(),
                timeout: Duration::from_secs(draft.minutes * 60),
                needs: draft.needs.iter().filter(there).map(|kind| names(kind)[at].clone()).collect(),
            });
        }
        checks.extend(own);
        setups.extend(project.setup.map(|run| (dir.clone(), run)));
        let place = if dir.is_empty() { String::new() } else { format!("{dir}: ") };
        notes.extend(project.notes.into_iter().map(|note| format!("{place}{note}")));
    }
    if checks.is_empty() {
        notes.push("no build or test command was recognised; add a check by hand".to_owned());
    }
    Detected { checks, setup: join_setups(&setups), notes }
}

fn join_setups(setups: &[(String, String)]) -> Option<Setup> {
    let (run, dir) = match setups {
        [] => return None,
        [(dir, run)] => (run.clone(), dir.clone()),
        many => {
            let part = |(dir, run): &(String, String)| match dir.as_str() {
                "" => run.clone(),
                dir => format!("(cd {} && {run})", shell_words::quote(dir)),
            };
            (many.iter().map(part).collect::<Vec<_>>().join(" && "), String::new())
        }
    };
    let network = NetworkAccess::Registries;
    Some(Setup { run: CommandLine::Shell(run), dir, network, timeout: Duration::from_secs(900) })
}

/// A folder's path as part of a check's name.
fn slug(dir: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    dir.chars().map(plain).collect::<String>().trim_matches('-').chars().take(40).collect()
}

/// Writes a commented `regreen.toml` that says what was found; [`super::RepoConfig::parse`] reads it back.
pub fn render_toml(detected: &Detected) -> String {
    let mut text = String::from(
        "# What Regreen checks in this repository. Every check must exit 0 before a change is landed.\n\
         # Regreen reads it from the tree as a run finds it, and lets no patch change it: it can ask for more strictness, never for less.\n",
    );
    for note in &detected.notes {
        let _ = writeln!(text, "# Note: {}", note.replace(|c: char| c.is_control(), " "));
    }
    if let Some(setup) = &detected.setup {
        text += "\n# Prepares a fresh tree: dependencies are fetched here, checks run without a network.\n[setup]\n";
        let _ = writeln!(text, "run = {}", command(&setup.run));
        if !setup.dir.is_empty() {
            let _ = writeln!(text, "dir = {}", quoted(&setup.dir));
        }
        let _ = writeln!(text, "network = \"{}\"  # none | registries | all", setup.network.as_str());
        let _ = writeln!(text, "timeout = \"{}\"", render_duration(setup.timeout));
    }
    for check in &detected.checks {
        let _ = writeln!(text, "\n[checks.{}]", quoted_key(&check.name));
        let _ = writeln!(text, "run = {}", command(&check.run));
        if !check.dir.is_empty() {
            let _ = writeln!(text, "dir = {}", quoted(&check.dir));
        }
        let _ = writeln!(text, "timeout = \"{}\"", render_duration(check.timeout));
        if !check.needs.is_empty() {
            let needs: Vec<String> = check.needs.iter().map(|need| quoted(need)).collect();
            let _ = writeln!(text, "needs = [{}]", needs.join(", "));
        }
    }
    if detected.checks.is_empty() {
        text += "\n# [checks.test]\n# run = \"./test.sh\"\n# timeout = \"5m\"\n";
    }
    text += "\n# Told to models as rules of the house, and files worth reading.\n\
             # [context]\n# rules = \"Public functions have a doc comment.\"\n# paths = [\"docs/architecture.md\"]\n\
             \n# No patch may touch these files.\n# [guards]\n# protected = [\"migrations/**\"]\n";
    text
}

fn command(run: &CommandLine) -> String {
    match run {
        CommandLine::Shell(line) => quoted(line),
        CommandLine::Argv(words) => {
            let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
            format!("[{}]", words.join(", "))
        }
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn quoted_key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.chars().all(bare) { name.to_owned() } else { quoted(name) }
}
