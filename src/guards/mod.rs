//! Refuses a patch before anything of it runs.
//!
//! Every guard compares the files before and after: only what is *newly* there counts, and what moved with a renamed file is not
//! new. A [`Finding`] says in one sentence what and where, for the next try of a model and for people.
//!
//! What changes an existing test needs an approval, with one exception: changed import lines, and identifiers renamed one to one
//! throughout the file outside of assertions' own names, pass. Added tests pass. Tests that vanish, are skipped or assert less are refused.

mod config;
mod content;
mod delta;
mod dependencies;
mod imports;
pub mod measure;
mod paths;
mod size;
mod surface;
mod syntax;
mod tests_kept;

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::patch::{Change, FileState, Patch, RelPath, Tree};

use delta::Delta;
pub use dependencies::is_lock;
pub use surface::lost;
pub use syntax::Lang;
pub use tests_kept::is_test_path;

/// What a finding means for the patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// A person has to agree before it lands.
    NeedsApproval,
    /// It is not run; the next attempt sees the reason.
    Refuse,
}

/// What a guard found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The guard: `path`, `syntax`, `markers`, `secrets`, `size`, `danger`, `placeholder`, `silenced`, `tests`, `config`,
    /// `under-test`, `forged`, `dependencies`, `imports`.
    pub guard: String,
    /// The file.
    pub path: RelPath,
    /// The line in the new file, from 1, where there is one.
    pub line: Option<usize>,
    /// One sentence without a final full stop: what, and what to do instead where that is not plain.
    pub reason: String,
    /// What it means.
    pub weight: Weight,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {} [{}]", self.path, self.reason, self.guard),
            None => write!(f, "{}: {} [{}]", self.path, self.reason, self.guard),
        }
    }
}

/// How big a patch may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Changed files.
    pub files: usize,
    /// Added and removed lines together.
    pub lines: usize,
    /// Bytes of one new file content.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { files: 50, lines: 2_000, bytes: 1 << 20 }
    }
}

/// A patch that somebody proposes.
#[derive(Debug, Clone, Copy)]
pub struct Proposed<'a> {
    /// The tree that the patch is made against.
    pub tree: Tree<'a>,
    /// The proposal.
    pub patch: &'a Patch,
    /// Files whose existing tests the task asks to change: changes pass, and what would be refused needs an approval.
    pub test_changes: &'a [RelPath],
    /// Globs (`**` crosses folders) of paths whose change needs an approval.
    pub protected: &'a [String],
    /// How big it may be.
    pub limits: Limits,
}

impl<'a> Proposed<'a> {
    /// A proposal with nothing allowed beyond the ordinary.
    pub fn new(tree: Tree<'a>, patch: &'a Patch) -> Self {
        Self { tree, patch, test_changes: &[], protected: &[], limits: Limits::default() }
    }
}

/// All findings of all guards, the gravest first, at most 200.
pub fn inspect(proposed: &Proposed<'_>) -> Vec<Finding> {
    let mut found = Findings::default();
    paths::check(proposed, &mut found);
    size::check(proposed, &mut found);
    let deltas = delta::deltas(proposed.patch);
    let around = content::Around::new(proposed, &deltas);
    for delta in &deltas {
        syntax::check(delta, &mut found);
        content::check(&around, delta, &mut found);
        config::check(proposed, delta, &mut found);
        dependencies::check(delta, &mut found);
        imports::check(proposed, delta, &mut found);
    }
    tests_kept::check(proposed, &deltas, &mut found);
    let mut all = found.0;
    all.sort_by(|a, b| b.weight.cmp(&a.weight).then_with(|| (&a.path, a.line).cmp(&(&b.path, b.line))));
    all.dedup();
    all.truncate(200);
    all
}

/// Gets the guards' patterns ready in a thread of their own. Compiling them takes longer than looking at most patches, and nobody waits for
/// it while a first check runs.
pub fn prepare() {
    std::thread::spawn(|| {
        let change = |before: &str, after: &str| Change {
            before: Some(FileState::text(before)),
            after: Some(FileState::text(after)),
        };
        let mut patch = Patch::new();
        for name in [
            "a.rs",
            "a.py",
            "a.ts",
            "a.go",
            "A.java",
            "tests/a.rs",
            "test_a.py",
            "a.test.ts",
            "a_test.go",
            "ATest.java",
        ] {
            let path = RelPath::new(name).expect("a constant path");
            patch.set(path, change("import a\n", "import a\nimport b\n"));
        }
        let nowhere = std::path::Path::new("/dev/null");
        inspect(&Proposed::new(Tree { root: nowhere, patch: &Patch::new() }, &patch));
    });
}

/// Whether a patch makes manifests ask for packages, or for versions of them, that they did not ask for before.
pub fn asks_for_more(patch: &Patch) -> bool {
    delta::deltas(patch).iter().any(|delta| dependencies::news(delta).is_none_or(|news| !news.is_empty()))
}

/// Whether any finding refuses the patch.
pub fn refuses(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.weight == Weight::Refuse)
}

/// The findings so far.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn refuse(&mut self, guard: &str, path: &RelPath, line: Option<usize>, reason: impl Into<String>) {
        self.add(guard, path, line, reason.into(), Weight::Refuse);
    }

    fn approval(&mut self, guard: &str, path: &RelPath, line: Option<usize>, reason: impl Into<String>) {
        self.add(guard, path, line, reason.into(), Weight::NeedsApproval);
    }

    fn add(&mut self, guard: &str, path: &RelPath, line: Option<usize>, reason: String, weight: Weight) {
        self.0.push(Finding { guard: guard.to_owned(), path: path.clone(), line, reason, weight });
    }
}

/// What is told of a `Delta` in a sentence: the file's text before, empty where there was none.
fn before<'d>(delta: &'d Delta<'_>) -> &'d str {
    delta.before.unwrap_or_default()
}
