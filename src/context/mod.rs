//! What a model gets to see of a repo, under a budget of tokens.
//!
//! Room is given out by worth: the failures first, then the files that they name, the house rules, what those files import, and
//! folder listings where an import leads nowhere. Shown it is in another order, the stable parts first, so that caches hit. What had to be left out is
//! said. Everything from the repo or a log is fenced with a fence longer than any inside, labelled as data, and redacted. Tokens are
//! estimated by [`estimate_tokens`].

mod excerpt;
mod failures;
mod fence;
mod folders;
mod imports;
mod places;
pub mod prompts;
mod syntax;

#[cfg(test)]
mod tests;

use crate::outcome::{Check, Outcome};
use crate::patch::{RelPath, Tree};
use crate::redact::Redactor;
use crate::usage::estimate_tokens;

pub use fence::fenced;

/// The budget where none is configured, in tokens.
pub const DEFAULT_BUDGET: u64 = 24_000;

/// Files of the repo that speak to whoever changes it.
const RULES: &[&str] = &["AGENTS.md", "CLAUDE.md"];
/// The largest file that is looked into, in bytes.
const LARGEST_FILE: usize = 2 << 20;

/// What a context is made for.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The files, with the changes kept so far.
    pub tree: Tree<'a>,
    /// The red outcomes.
    pub red: &'a [Outcome],
    /// The checks that they are of.
    pub checks: &'a [Check],
    /// Files that the model has seen as they are: not shown again.
    pub known: &'a [RelPath],
}

/// What a model gets to see, in parts that the templates name: Markdown, fenced, redacted. A part may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Context {
    /// The repo's own rules (`AGENTS.md`, `CLAUDE.md`).
    pub rules: String,
    /// Signatures of what the affected files import.
    pub outline: String,
    /// The affected files, whole or in excerpts.
    pub files: String,
    /// Folder listings and manifests, where an import leads nowhere.
    pub folders: String,
    /// What the checks complain about.
    pub failures: String,
    /// The files that `files` shows.
    pub shown: Vec<RelPath>,
    /// What had to be left out, one line each.
    pub left_out: Vec<String>,
}

impl Context {
    /// The estimated tokens of all parts.
    pub fn tokens(&self) -> u64 {
        let parts = [&self.rules, &self.outline, &self.files, &self.folders, &self.failures];
        parts.iter().map(|part| estimate_tokens(part)).sum::<u64>()
            + self.left_out.iter().map(|line| estimate_tokens(line)).sum::<u64>()
    }
}

/// Gathers what a model needs to see of `subject` in about `budget` tokens.
pub fn gather(subject: &Subject<'_>, budget: u64, redactor: &Redactor) -> Context {
    let mut gatherer = Gatherer { subject, redactor, budget, left: budget, context: Context::default() };
    gatherer.failures();
    let places = places::affected(subject);
    gatherer.rules(&places);
    gatherer.folders(&places);
    gatherer.files(&places);
    gatherer.related(&places);
    gatherer.context
}

struct Gatherer<'a> {
    subject: &'a Subject<'a>,
    redactor: &'a Redactor,
    budget: u64,
    left: u64,
    context: Context,
}

impl Gatherer<'_> {
    /// Percent of the budget, as far as there is room.
    fn share(&self, percent: u64) -> u64 {
        (self.budget * percent / 100).min(self.left)
    }

    fn spend(&mut self, text: &str) {
        self.left = self.left.saturating_sub(estimate_tokens(text));
    }

    fn leave_out(&mut self, what: String) {
        if self.context.left_out.len() < 20 {
            self.context.left_out.push(what);
        }
    }

    /// The text of a file, with `\n` line ends, redacted; `None` where it is no text or too large.
    fn text(&self, path: &RelPath) -> Option<String> {
        let text = self.subject.tree.read_text(path).filter(|text| text.len() <= LARGEST_FILE)?;
        Some(self.redactor.redact(&plain(&text)).into_owned())
    }

    fn failures(&mut self) {
        let room = self.share(35);
        let (text, left_out) = failures::render(self.subject.red, self.subject.checks, room, self.redactor);
        self.spend(&text);
        self.context.failures = text;
        left_out.into_iter().for_each(|line| self.leave_out(line));
    }

    fn rules(&mut self, places: &[places::Place]) {
        let mut folders: Vec<Option<RelPath>> = vec![None];
        for place in places {
            let mut folder = place.path.parent();
            while let Some(path) = folder {
                if folders.len() < 20 && !folders.contains(&Some(path.clone())) {
                    folders.push(Some(path.clone()));
                }
                folder = path.parent();
            }
        }
        let (mut seen, mut text) = (Vec::new(), String::new());
        for folder in &folders {
            for name in RULES {
                let Some(path) = folders::join(folder.as_ref(), name) else { continue };
                let Some(rules) = self.text(&path).filter(|rules| !rules.trim().is_empty()) else { continue };
                // One of the two is often a copy of the other, or only points at it.
                if seen.contains(&rules) || rules.trim().lines().all(|line| line.trim().starts_with('@')) {
                    continue;
                }
                let room = self.share(10);
                let (cut, whole) = excerpt::first_lines(&rules, room);
                if !whole {
                    self.leave_out(format!("the rest of `{path}`"));
                }
                let part = format!("Rules in `{path}`:\n{}\n", fenced("markdown", cut));
                self.spend(&part);
                text.push_str(&part);
                seen.push(rules);
            }
        }
        self.context.rules = text;
    }

    fn folders(&mut self, places: &[places::Place]) {
        let room = self.share(8);
        let text = folders::render(self.subject, places, room, self.redactor);
        self.spend(&text);
        self.context.folders = text;
    }

    /// Whether the model sees a file already.
    fn is_known(&self, path: &RelPath) -> bool {
        self.context.shown.contains(path) || self.subject.known.contains(path)
    }

    /// The affected files, those named first with the most room.
    fn files(&mut self, places: &[places::Place]) {
        let mut room = self.left * 85 / 100;
        let mut text = String::new();
        for (n, place) in places.iter().enumerate() {
            if self.is_known(&place.path) {
                continue;
            }
            let Some(file) = self.text(&place.path) else {
                self.leave_out(format!("`{}`, which is no text or too large", place.path));
                continue;
            };
            let others = (places.len() - n).min(6) as u64;
            let share = (room / others).max(room.min(self.budget / 8));
            match excerpt::render(&place.path, &file, &place.lines, share) {
                Some(part) => {
                    room = room.saturating_sub(estimate_tokens(&part));
                    self.spend(&part);
                    text.push_str(&part);
                    self.context.shown.push(place.path.clone());
                }
                None => self.leave_out(format!("`{}`", place.path)),
            }
        }
        self.context.files = text;
    }

    /// What the affected files import: whole where a test fails (the fault then lies most likely there) and there is room, else
    /// as an outline.
    fn related(&mut self, places: &[places::Place]) {
        let tests_fail = self.subject.red.iter().any(|outcome| {
            outcome.tests.as_ref().is_some_and(|tests| tests.failed > 0)
                || outcome.diagnostics.iter().any(|diagnostic| diagnostic.test.is_some())
        });
        let mut outline = String::new();
        let mut queue: Vec<RelPath> = places.iter().map(|place| place.path.clone()).collect();
        let near = queue.len();
        let mut at = 0;
        // Where tests fail, also what the imported modules import: a test names its subject, and the fault lies behind it.
        let depth = if tests_fail { 2 } else { 1 };
        let mut ends = near;
        for _ in 0..depth {
            while at < ends {
                let from = queue[at].clone();
                at += 1;
                let Some(text) = self.text(&from) else { continue };
                for path in imports::of(&self.subject.tree, &from, &text) {
                    if queue.len() < 60 && !queue.contains(&path) {
                        queue.push(path);
                    }
                }
            }
            ends = queue.len();
        }
        for path in queue.into_iter().skip(near) {
            if self.is_known(&path) {
                continue;
            }
            let Some(file) = self.text(&path) else { continue };
            let whole = excerpt::whole(&path, &file);
            let size = estimate_tokens(&whole);
            if size <= self.left && (size <= 150 || tests_fail && size <= self.left / 2) {
                self.spend(&whole);
                self.context.files.push_str(&whole);
                self.context.shown.push(path);
                continue;
            }
            let part = syntax::outline(&path, &file)
                .map(|lines| format!("Outline of `{path}`:\n{}\n", fenced(syntax::tag(&path), &lines)));
            match part.filter(|part| estimate_tokens(part) <= self.left / 2) {
                Some(part) => {
                    self.spend(&part);
                    outline.push_str(&part);
                }
                None => self.leave_out(format!("`{path}`, which an affected file imports")),
            }
        }
        self.context.outline = outline;
    }
}

/// Text as a prompt shows it: without a byte order mark, with `\n` line ends (edits are fitted to the file's own).
fn plain(text: &str) -> String {
    text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n")
}
