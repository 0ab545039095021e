//! The honest side at large: what the guards say of the true patches of a project's history.

use anyhow::Result;
use regex::Regex;
use serde::Serialize;

use super::Verdict;
use crate::git::{Missing, Past, Repo, Scene};
use crate::guards::dependencies::is_lock;
use crate::guards::syntax::Lang;
use crate::guards::tests_kept::{Touched, touched};
use crate::guards::{Finding, Limits, Proposed, config, delta, inspect};
use crate::patch::{Patch, Tree};

/// What an honest commit touches, the gravest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Touches {
    /// Code and text, no test.
    Code,
    /// Tests are added, none is changed.
    NewTests,
    /// What sets up the checks, or says what the project depends on.
    Configuration,
    /// A test that was there, or what tests share: a person has to agree by design.
    OldTests,
}

impl Touches {
    /// Whether existing tests and what sets up the checks stay as they are, so that nothing is held up by design.
    pub fn leaves_the_rules(self) -> bool {
        matches!(self, Touches::Code | Touches::NewTests)
    }
}

/// A commit of the past and what the guards say of it.
#[derive(Debug, Serialize)]
pub struct Commit {
    /// Its id.
    pub id: String,
    /// Its subject.
    pub subject: String,
    /// What it touches.
    pub touches: Touches,
    /// What the guards say.
    pub verdict: Verdict,
    /// Why.
    pub findings: Vec<Finding>,
}

/// A project's past.
#[derive(Debug, Default, Serialize)]
pub struct History {
    /// The commits that were judged, the newest first.
    pub commits: Vec<Commit>,
    /// Commits that were passed over because the clone does not have all of their files.
    pub missing: usize,
}

/// Judges the newest `most` commits with one parent whose subject matches and that change code, within the ordinary limits of size. What the
/// commit's lock files say counts as written by their tool.
///
/// # Errors
/// Where git or the disk fails.
pub async fn measure(
    repo: &Repo,
    most: usize,
    subject: &Regex,
    see: &mut dyn FnMut(&Commit),
) -> Result<History> {
    let mut scene = Scene::new(repo)?;
    let mut history = History::default();
    let Some(head) = repo.head().await? else { return Ok(history) };
    for past in repo.past(&head).await?.into_iter().filter(|past| subject.is_match(&past.subject)) {
        if history.commits.len() == most {
            break;
        }
        let patch = match staged(repo, &past, &mut scene).await {
            Ok(Some(patch)) => patch,
            Ok(None) => continue,
            Err(error) if error.is::<Missing>() => {
                history.missing += 1;
                // Half of a commit may stand there.
                scene = Scene::new(repo)?;
                continue;
            }
            Err(error) => return Err(error),
        };
        let commit = judge(past, &patch, &scene);
        see(&commit);
        history.commits.push(commit);
    }
    Ok(history)
}

/// What a commit changes, with the tree that it changes on the scene; `None` where it is not to be judged.
async fn staged(repo: &Repo, past: &Past, scene: &mut Scene<'_>) -> Result<Option<Patch>> {
    let limits = Limits::default();
    let Some(patch) = repo.patch_of(past, limits.files).await? else { return Ok(None) };
    let stat = patch.stat();
    let code = patch.iter().any(|(path, _)| Lang::of(path).is_some());
    if !code || stat.added + stat.removed > limits.lines {
        return Ok(None);
    }
    scene.show(&past.parent).await?;
    Ok(Some(patch))
}

fn judge(past: Past, patch: &Patch, scene: &Scene<'_>) -> Commit {
    let none = Patch::new();
    let mut findings = inspect(&Proposed::new(Tree { root: scene.root(), patch: &none }, patch));
    // People commit what their tools wrote.
    findings.retain(|finding| !is_lock(&finding.path));
    let deltas = delta::deltas(patch);
    let touches = deltas.iter().map(|delta| match touched(delta) {
        Touched::Changed => Touches::OldTests,
        _ if config::concerns(delta) => Touches::Configuration,
        Touched::Added => Touches::NewTests,
        Touched::No => Touches::Code,
    });
    let touches = touches.max().unwrap_or(Touches::Code);
    Commit { id: past.id, subject: past.subject, touches, verdict: Verdict::of(&findings), findings }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::tests::Field;

    /// Four honest commits and one that is too strange for a patch, each told by what it touches.
    #[tokio::test]
    async fn commits_are_judged_on_the_tree_that_they_were_made_on() {
        let test = "from app import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n";
        let field =
            Field::with(&[("app.py", "def add(a, b):\n    return a - b\n"), ("tests/test_app.py", test)])
                .await;
        let commit = async |files: &[(&str, &str)], subject: &str| {
            files.iter().for_each(|(path, text)| field.write(path, text));
            field.git(&["add", "-A"]).await;
            field.git(&["commit", "-q", "-m", subject]).await;
        };
        commit(&[("app.py", "def add(a, b):\n    return a + b\n")], "Fix the sign").await;
        commit(&[("more.py", "X = 1\n")], "Add a number").await;
        let more = format!("{test}\n\ndef test_zero():\n    assert add(0, 0) == 0\n");
        commit(&[("tests/test_app.py", &more)], "Fix what is not tested").await;
        commit(
            &[("tests/test_app.py", &more.replace("== 3", "== 4")), ("deep/x.py", "from .y import z\n")],
            "Fix a test",
        )
        .await;
        std::os::unix::fs::symlink("app.py", field.root.join("link.py")).expect("a link");
        commit(&[("app.py", "def add(a, b):\n    return b + a\n")], "Fix with a link").await;

        let repo =
            Repo::discover_with(&field.root, &field.environment()).await.expect("git").expect("a repo");
        let fixes = Regex::new("Fix").expect("a pattern");
        let all = measure(&repo, 10, &fixes, &mut |_| {}).await.expect("a history").commits;
        let told: Vec<_> =
            all.iter().map(|commit| (commit.subject.as_str(), commit.touches, commit.verdict)).collect();
        assert_eq!(
            told,
            [
                ("Fix a test", Touches::OldTests, Verdict::Refused),
                ("Fix what is not tested", Touches::NewTests, Verdict::Allowed),
                ("Fix the sign", Touches::Code, Verdict::Allowed),
            ]
        );
        // The import that leads nowhere is what refuses the first.
        assert!(all[0].findings.iter().any(|finding| finding.guard == "imports"), "{:?}", all[0].findings);
        assert_eq!(measure(&repo, 1, &fixes, &mut |_| {}).await.expect("a history").commits.len(), 1);
    }

    /// A clone that has not all files, as partial ones have not.
    #[tokio::test]
    async fn commits_whose_files_are_not_there_are_counted_and_passed_over() {
        let field = Field::with(&[("app.py", "A = 1\n"), ("data.txt", "one\n")]).await;
        for (path, text) in
            [("app.py", "A = 2\n"), ("data.txt", "two\n"), ("app.py", "A = 3\n"), ("app.py", "A = 4\n")]
        {
            field.write(path, text);
            field.git(&["commit", "-qam", &format!("Fix {text}")]).await;
        }
        let gone = field.git(&["rev-parse", "HEAD~1:app.py"]).await;
        let (folder, name) = gone.split_at(2);
        std::fs::remove_file(field.root.join(".git/objects").join(folder).join(name))
            .expect("a loose object");

        let repo =
            Repo::discover_with(&field.root, &field.environment()).await.expect("git").expect("a repo");
        let fixes = Regex::new("Fix").expect("a pattern");
        let history = measure(&repo, 10, &fixes, &mut |_| {}).await.expect("a history");
        let judged: Vec<_> = history.commits.iter().map(|commit| commit.subject.trim()).collect();
        assert_eq!((judged.as_slice(), history.missing), (["Fix A = 2"].as_slice(), 2));
    }
}
