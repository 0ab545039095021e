//! What a model is told that implements a sub-task, and what its answers must hold.
//!
//! The fixer is the same as for repairs: what it proposes is guarded, applied, built and tested by the same loop. Its first try starts from
//! a green tree; the tries that follow see what became red and what was tried.

use std::sync::LazyLock;

use anyhow::Result;
use regex::Regex;

use super::SubTask;
use super::brief::implement_prompt;
use crate::context::prompts;
use crate::fixers::model::{Brief, Work};
use crate::patch::{FileState, Patch, RelPath};
use crate::redact::Redactor;

/// Implement this sub-task, with its tests.
#[derive(Debug, Clone)]
pub struct Implementation {
    /// The files that matter most, relative to the repo's root.
    pub files: Vec<String>,
    /// Whether the edits have to add tests.
    pub needs_tests: bool,
}

impl Implementation {
    /// What a sub-task asks for.
    pub fn of(subtask: &SubTask) -> Self {
        Self { files: subtask.files.clone(), needs_tests: !subtask.acceptance.is_empty() }
    }
}

impl Brief for Implementation {
    fn system(&self, _work: &Work<'_>, _redactor: &Redactor) -> Result<String> {
        prompts::render(prompts::IMPLEMENT_SYSTEM, ())
    }

    fn opening(&self, work: &Work<'_>, budget: u64, redactor: &Redactor) -> Result<(String, Vec<RelPath>)> {
        implement_prompt(work, &self.files, budget, redactor)
    }

    /// Acceptance criteria need tests.
    fn lacks(&self, work: &Work<'_>, patch: &Patch) -> Option<String> {
        // What earlier sub-tasks changed is in the tree's patch too: only what was kept of this one counts.
        let kept = work.history.iter().filter(|tried| tried.kept);
        let all = kept.fold(Patch::new(), |all, tried| all.then(&tried.patch)).then(patch);
        (self.needs_tests && !adds_tests(&all)).then(|| {
            "the edits add no test; add at least one for each acceptance criterion of the sub-task, \
             together with the implementation"
                .to_owned()
        })
    }
}

/// What starts a test in the runners that are common.
static TEST: LazyLock<Regex> = LazyLock::new(|| {
    let rust = r"#\[(?:[a-z_]+::)?(?:test|rstest)\b";
    let python = r"def test_?\w*\(";
    let script = r"\b(?:it|test)(?:\.each)?\s*\(";
    let others = r"@(?:Parameterized)?Test\b|func (?:Test|Fuzz)[A-Z_]|proptest!";
    Regex::new(&format!("{rust}|{python}|{script}|{others}")).expect("the pattern is right")
});

/// Whether a patch leaves more tests in its files than it found, or, where the runner is not known here, adds to a file of tests.
fn adds_tests(patch: &Patch) -> bool {
    let count = |file: &Option<FileState>| {
        file.as_ref().and_then(FileState::as_text).map_or(0, |text| TEST.find_iter(text).count())
    };
    let (mut before, mut after, mut grown) = (0, 0, false);
    for (path, change) in patch.iter() {
        before += count(&change.before);
        after += count(&change.after);
        let length = |file: &Option<FileState>| file.as_ref().map_or(0, |file| file.bytes.len());
        let path = path.as_str().to_ascii_lowercase();
        grown |= (path.contains("test") || path.contains("spec"))
            && length(&change.after) > length(&change.before);
    }
    after > before || (before == 0 && after == 0 && grown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixers::model::{ModelFixer, Settings};
    use crate::fixers::{Answer, Tried};
    use crate::models::ledger::{Pending, Prices, Purse, Unanswered};
    use crate::models::{Answer as Said, Effort, Meter, Model, ModelError, Request, Stop};
    use crate::outcome::{End, Outcome, Verdict};
    use crate::patch::{Change, Tree};
    use crate::plan::tests::example;
    use async_trait::async_trait;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    /// Says one thing, and keeps what it was asked.
    struct Says(String, Stop, Mutex<Vec<Request>>);

    #[async_trait]
    impl Model for Says {
        fn provider(&self) -> &str {
            "script"
        }
        fn model(&self) -> &str {
            "scripted-1"
        }
        async fn ask(&self, request: &Request, _: &Meter) -> std::result::Result<Said, ModelError> {
            self.2.lock().unwrap().push(request.clone());
            Ok(Said { text: self.0.clone(), stop: self.1, request_id: None })
        }
    }

    struct Open;

    #[async_trait]
    impl Purse for Open {
        async fn reserve(&self, _: Pending) -> Result<()> {
            Ok(())
        }
        async fn book(&self, _: std::result::Result<Said, Unanswered>) -> Result<()> {
            Ok(())
        }
    }

    const GOOD: &str = "Counts by splitting.\n\nsrc/count.py\n<<<<<<< SEARCH\n    return 0\n=======\n    return \
                        len(text.split())\n>>>>>>> REPLACE\n\ntests/test_count.py\n<<<<<<< SEARCH\n=======\nfrom src.count \
                        import count\n\n\ndef test_empty():\n    assert count('') == 0\n>>>>>>> REPLACE\n";

    fn repo() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("src")).unwrap();
        std::fs::write(dir.path().join("src/count.py"), "def count(text):\n    return 0\n").unwrap();
        std::fs::write(dir.path().join(".env"), "KEY=hunter2\n").unwrap();
        dir
    }

    async fn implement(
        text: &str,
        stop: Stop,
        base: &Patch,
        history: &[Tried],
        red: &[Outcome],
    ) -> (Answer, String) {
        let dir = repo();
        let model = Arc::new(Says(text.to_owned(), stop, Mutex::default()));
        let mut subtask = example().subtask("1.1").unwrap().clone();
        subtask.files.push(".env".into());
        let settings = Settings { effort: Effort::Low, ..Settings::default() };
        let implementer = ModelFixer::new(
            Box::new(Implementation::of(&subtask)),
            model.clone(),
            Prices::built_in().unwrap(),
            settings,
            Redactor::default(),
        );
        let work = Work {
            run: "r",
            tree: Tree { root: dir.path(), patch: base },
            checks: &[],
            task: Some("Sub-task 1.1: Add count"),
            examples: &[],
            rules: "Be brief.",
            history,
            red,
            purse: &Open,
            progress: &|_| {},
        };
        let answer = implementer.work_on(&work).await.unwrap();
        let asked = model.2.lock().unwrap();
        assert_eq!(asked[0].effort, Effort::Low, "as hard as its rung says");
        (answer, asked[0].turns[0].text.clone())
    }

    #[tokio::test]
    async fn edits_with_tests_become_a_proposal() {
        let (answer, prompt) = implement(GOOD, Stop::Done, &Patch::new(), &[], &[]).await;
        let Answer::Patch(proposal) = answer else { panic!("{answer:?}") };
        assert_eq!((proposal.patch.len(), proposal.fixer.as_str()), (2, "model(scripted-1)"));
        assert!(proposal.explanation.contains("Counts by splitting."));
        for part in [
            "Be brief.",
            "Sub-task 1.1: Add count",
            "src/count.py",
            "    return 0",
            "Every check is green now.",
        ] {
            assert!(prompt.contains(part), "{part}: {prompt}");
        }
        insta::assert_snapshot!("first_prompt", prompt);
        assert!(!prompt.contains("hunter2"), "hidden files are not shown, whoever hints at them: {prompt}");
    }

    #[tokio::test]
    async fn an_implementation_without_tests_is_sent_back() {
        let untested = GOOD.split("tests/test_count.py").next().unwrap();
        let (answer, _) = implement(untested, Stop::Done, &Patch::new(), &[], &[]).await;
        assert!(matches!(&answer, Answer::Unusable(why) if why.contains("add no test")), "{answer:?}");
    }

    #[tokio::test]
    async fn tests_of_earlier_sub_tasks_do_not_count() {
        let mut base = Patch::new();
        let change = Change { before: None, after: Some(FileState::text("def test_other():\n    pass\n")) };
        base.set(RelPath::new("tests/test_other.py").unwrap(), change);
        let untested = GOOD.split("tests/test_count.py").next().unwrap();
        let (answer, _) = implement(untested, Stop::Done, &base, &[], &[]).await;
        assert!(matches!(answer, Answer::Unusable(_)), "{answer:?}");
    }

    #[tokio::test]
    async fn what_is_no_edit_says_what_it_is() {
        let said =
            |text: &'static str, stop| async move { implement(text, stop, &Patch::new(), &[], &[]).await.0 };
        assert!(matches!(said("Hm.", Stop::Done).await, Answer::Unusable(_)));
        assert!(matches!(said("", Stop::Done).await, Answer::Unusable(_)));
        assert!(matches!(said("", Stop::Refused).await, Answer::Nothing(_)));
        // Half of it now and half of it later: the rest is asked for.
        let cut = said(&GOOD[..GOOD.len() - 30], Stop::Truncated).await;
        assert!(matches!(&cut, Answer::Unusable(why) if why.contains("cut off")), "{cut:?}");
        assert_eq!(
            said("UNFIXABLE: no such thing", Stop::Done).await,
            Answer::Unfixable("no such thing".into())
        );
        assert_eq!(
            said("QUESTION: Which one?", Stop::Done).await,
            Answer::Questions(vec!["Which one?".into()])
        );
    }

    #[tokio::test]
    async fn the_next_try_sees_what_was_tried_and_what_came_of_it() {
        let path = RelPath::new("tests/test_count.py").unwrap();
        let mut base = Patch::new();
        base.set(
            path,
            Change {
                before: None,
                after: Some(FileState::text("def test_one():\n    assert count('a') == 1\n")),
            },
        );
        let red = Outcome {
            check: "test".into(),
            end: End::Exited(1),
            verdict: Verdict::Red,
            duration: Duration::ZERO,
            diagnostics: vec![],
            tests: None,
            fingerprint: None,
            tail: "AssertionError: 0 != 1\n".into(),
            log_digest: String::new(),
            log_bytes: 0,
            log: None,
            connections: Vec::new(),
            silent: std::collections::BTreeSet::new(),
        };
        let tried = Tried {
            fixer: "model(scripted-1)".into(),
            patch: base.clone(),
            explanation: "Only tests.".into(),
            result: "test_one fails".into(),
            red: vec![red.clone()],
            kept: true,
        };
        // The base has the tests already: the repair needs none of its own.
        let repair = GOOD.split("tests/test_count.py").next().unwrap();
        let (answer, prompt) = implement(repair, Stop::Done, &base, &[tried], &[red]).await;
        assert!(matches!(answer, Answer::Patch(_)), "{answer:?}");
        for part in [
            "Only tests.",
            "test_one fails",
            "kept: the files show it",
            "+def test_one():",
            "AssertionError: 0 != 1",
        ] {
            assert!(prompt.contains(part), "{part}: {prompt}");
        }
        insta::assert_snapshot!("next_prompt", prompt);
        assert!(prompt.contains("Repair what went wrong") && !prompt.contains("Every check is green now."));
    }

    #[test]
    fn tests_are_counted_in_many_languages() {
        let adds = |path: &str, before: Option<&str>, after: &str| {
            let file = |text: &str| FileState::text(text);
            let change = Change { before: before.map(file), after: Some(file(after)) };
            adds_tests(&Patch::from_iter([(RelPath::new(path).unwrap(), change)]))
        };
        assert!(adds("src/lib.rs", Some("fn a() {}"), "fn a() {}\n#[test]\nfn b() {}"));
        assert!(adds("src/lib.rs", Some("#[test]"), "#[test] #[tokio::test]"));
        assert!(adds("x/a.test.ts", None, "it('does', () => {})"));
        assert!(adds("a_test.go", None, "func TestA(t *testing.T) {}"));
        assert!(adds("tests/case.sh", None, "[ 1 = 1 ]"));
        assert!(!adds("src/lib.rs", Some("#[test]"), "#[test] fn b() {}"));
        assert!(!adds("src/lib.rs", None, "fn a() {}"));
        assert!(!adds("tests/a.rs", Some("#[test] #[test]"), "#[test]"), "fewer tests are no more tests");
    }
}
