//! The fixer that writes the code of a sub-task.
//!
//! It stands in the ladder like every other fixer: what it proposes is guarded, applied, built and tested by the same loop. Its first try
//! starts from a green tree; the tries that follow see what became red and what was tried.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use regex::Regex;

use super::SubTask;
use super::asking::ask;
use super::brief::{Work, implement_prompt};
use crate::edits;
use crate::fixers::{Answer, Case, Fixer, Proposal};
use crate::models::ledger::Prices;
use crate::models::{Effort, Model, Request, Role, Stop, Turn};
use crate::patch::{FileState, Patch};
use crate::redact::Redactor;

/// Tokens that an answer may take, thinking included.
const MOST_OUTPUT: u32 = 32_000;

/// Implements one sub-task with one model.
pub struct Implementer {
    /// Who is asked.
    pub model: Arc<dyn Model>,
    /// What its calls cost.
    pub prices: Prices,
    /// Takes secrets out of what is sent.
    pub redactor: Redactor,
    /// Time limit of one call.
    pub timeout: Duration,
    /// What to implement. Its text for the model is [`Case::task`], where there is one.
    pub subtask: SubTask,
}

impl Implementer {
    /// Asks once, and makes a proposal of the answer.
    async fn implement(&self, work: &Work<'_>) -> Result<Answer> {
        let prompt = implement_prompt(work, &self.subtask.files, &self.redactor)?;
        let request = Request {
            system: include_str!("../../prompts/implement-system.md.jinja").to_owned(),
            turns: vec![Turn { role: Role::User, text: prompt }],
            effort: Effort::Medium,
            max_output_tokens: MOST_OUTPUT,
            cache_key: work.run.to_owned(),
            schema: None,
            timeout: self.timeout,
        };
        (work.progress)(&format!("{} implements sub-task {}", self.model.model(), self.subtask.id));
        let answer = ask(self.model.as_ref(), work.purse, &self.prices, &request).await??;
        Ok(match answer.stop {
            Stop::Refused => Answer::Nothing(format!("{} declined", self.model.model())),
            Stop::Overflow => {
                Answer::Nothing(format!("the sub-task does not fit the window of {}", self.model.model()))
            }
            Stop::Truncated => {
                Answer::Unusable("the answer was cut off at the output limit; write smaller edits".to_owned())
            }
            Stop::Done => self.read(work, &answer.text),
        })
    }

    /// What an answer proposes.
    fn read(&self, work: &Work<'_>, text: &str) -> Answer {
        let parsed = match edits::parse(text) {
            Ok(parsed) => parsed,
            Err(refused) => return Answer::Unusable(refused.to_string()),
        };
        if !parsed.questions.is_empty() {
            return Answer::Questions(parsed.questions);
        }
        if let Some(reason) = parsed.unfixable {
            return Answer::Unfixable(reason);
        }
        let patch = match edits::apply(&parsed.edits, &work.tree) {
            Ok(patch) => patch,
            Err(refused) => return Answer::Unusable(refused.to_string()),
        };
        // What earlier sub-tasks changed is in the tree's patch too: only what was kept of this one counts.
        let kept = work.history.iter().filter(|tried| tried.kept);
        let all = kept.fold(Patch::new(), |all, tried| all.then(&tried.patch)).then(&patch);
        if !self.subtask.acceptance.is_empty() && !adds_tests(&all) {
            let reason = "the edits add no test; add at least one for each acceptance criterion of the sub-task, \
                          together with the implementation";
            return Answer::Unusable(reason.to_owned());
        }
        Answer::Patch(Proposal {
            patch,
            explanation: parsed.explanation,
            fixer: self.name(),
            alternatives: Vec::new(),
        })
    }
}

#[async_trait]
impl Fixer for Implementer {
    fn name(&self) -> String {
        format!("model({})", self.model.model())
    }

    async fn propose(&self, case: &Case<'_>) -> Result<Answer> {
        let own =
            format!("Sub-task {}: {}\n\n{}", self.subtask.id, self.subtask.title, self.subtask.description);
        let work = Work {
            run: case.run,
            tree: case.tree(),
            checks: case.checks,
            task: case.task.unwrap_or(&own),
            rules: case.rules,
            history: case.history,
            red: case.red,
            purse: case.purse,
            progress: case.progress,
        };
        self.implement(&work).await
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
    use crate::fixers::Tried;
    use crate::models::ledger::{Call, Purse};
    use crate::models::{Answer as Said, ModelError};
    use crate::outcome::{End, Outcome, Verdict};
    use crate::patch::{Change, RelPath, Tree};
    use crate::plan::tests::example;
    use crate::usage::{Money, Usage};
    use std::sync::Mutex;

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
        async fn ask(&self, request: &Request) -> std::result::Result<Said, ModelError> {
            self.2.lock().unwrap().push(request.clone());
            Ok(Said { text: self.0.clone(), stop: self.1, usage: Usage::default(), request_id: None })
        }
    }

    struct Open;

    #[async_trait]
    impl Purse for Open {
        async fn allow(&self, _: Money) -> Result<()> {
            Ok(())
        }
        async fn record(&self, _: Call) -> Result<()> {
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
        let implementer = Implementer {
            model: model.clone(),
            prices: Prices::built_in().unwrap(),
            redactor: Redactor::default(),
            timeout: Duration::from_secs(1),
            subtask,
        };
        let work = Work {
            run: "r",
            tree: Tree { root: dir.path(), patch: base },
            checks: &[],
            task: "Sub-task 1.1: Add count",
            rules: "Be brief.",
            history,
            red,
            purse: &Open,
            progress: &|_| {},
        };
        let answer = implementer.implement(&work).await.unwrap();
        let asked = model.2.lock().unwrap();
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
        assert!(matches!(said(GOOD, Stop::Truncated).await, Answer::Unusable(_)));
        assert!(matches!(said("", Stop::Refused).await, Answer::Nothing(_)));
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
            "its changes are kept",
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
