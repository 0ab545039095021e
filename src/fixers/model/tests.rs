use std::collections::VecDeque;

use super::*;
use crate::diagnostic::{Category, Diagnostic, Position, Range, Severity};
use crate::models::ledger::{Call, Pending, Unanswered};
use crate::models::{Meter, ModelError};
use crate::outcome::{CommandLine, End, Verdict};
use crate::patch::{Change, FileState};
use crate::usage::{Money, Usage};

const NAME: &str = "claude-sonnet-5-5";

/// A model that plays a script and keeps what it is asked.
struct Scripted {
    script: Mutex<VecDeque<Result<models::Answer, ModelError>>>,
    asked: Mutex<Vec<Request>>,
}

#[async_trait]
impl Model for Scripted {
    fn provider(&self) -> &str {
        "anthropic"
    }
    fn model(&self) -> &str {
        NAME
    }
    async fn ask(&self, request: &Request, meter: &Meter) -> Result<models::Answer, ModelError> {
        meter.note(Usage { input: 1000, output: 100, ..Usage::default() });
        self.asked.lock().unwrap().push(request.clone());
        self.script.lock().unwrap().pop_front().expect("the script is at its end")
    }
}

/// A purse that keeps what is booked, and refuses at a limit.
#[derive(Default)]
struct Kept {
    calls: Mutex<Vec<Call>>,
    pending: Mutex<Option<Pending>>,
    reserved: Mutex<Vec<Money>>,
    empty: bool,
}

#[async_trait]
impl Purse for Kept {
    async fn reserve(&self, call: Pending) -> Result<()> {
        anyhow::ensure!(!self.empty, crate::fault::Fault::limit("the run's budget is used up"));
        self.reserved.lock().unwrap().push(call.most());
        *self.pending.lock().unwrap() = Some(call);
        Ok(())
    }
    async fn book(&self, answer: Result<models::Answer, Unanswered>) -> Result<()> {
        let call = self.pending.lock().unwrap().take().expect("a call is under way").over(answer);
        self.calls.lock().unwrap().push(call);
        Ok(())
    }
}

fn stopped(text: &str, stop: Stop) -> Result<models::Answer, ModelError> {
    Ok(models::Answer { text: text.to_owned(), stop, request_id: None })
}

fn says(text: &str) -> Result<models::Answer, ModelError> {
    stopped(text, Stop::Done)
}

fn red(message: &str) -> Outcome {
    let at = Position { line: 1, column: 1 };
    Outcome {
        check: "goal".to_owned(),
        end: End::Exited(1),
        verdict: Verdict::Red,
        duration: Duration::from_secs(1),
        diagnostics: vec![Diagnostic {
            tool: "tsc".to_owned(),
            severity: Severity::Error,
            code: None,
            message: message.to_owned(),
            file: Some("src/a.ts".to_owned()),
            range: Some(Range { start: at, end: at }),
            category: Category::UndefinedName,
            test: None,
            detail: None,
        }],
        tests: None,
        fingerprint: None,
        tail: String::new(),
        log_digest: String::new(),
        log_bytes: 0,
        log: None,
        connections: Vec::new(),
        silent: std::collections::BTreeSet::new(),
    }
}

fn source(text: &str) -> Patch {
    let change = Change { before: None, after: Some(FileState::text(text)) };
    [(RelPath::new("src/a.ts").unwrap(), change)].into_iter().collect()
}

const EDIT: &str = "The name is misspelt.\n\nsrc/a.ts\n<<<<<<< SEARCH\nexport const a = bb();\n=======\nexport const a = b();\n>>>>>>> REPLACE\n";

struct Bench {
    fixer: ModelFixer,
    model: Arc<Scripted>,
    purse: Kept,
    base: Patch,
    red: Vec<Outcome>,
    history: Vec<Tried>,
}

impl Bench {
    fn new(script: Vec<Result<models::Answer, ModelError>>) -> Self {
        let model = Arc::new(Scripted { script: Mutex::new(script.into()), asked: Mutex::default() });
        let shared: Arc<dyn Model> = model.clone();
        let redactor = Redactor::new(["the-secret-value".to_owned()]);
        let fixer = ModelFixer::new(
            Box::new(Repair),
            shared,
            Prices::built_in().unwrap(),
            Settings::default(),
            redactor,
        );
        Self {
            fixer,
            model,
            purse: Kept::default(),
            base: source("// the-secret-value\nexport const a = bb();\n"),
            red: vec![red("Cannot find name 'bb'.")],
            history: Vec::new(),
        }
    }

    async fn propose(&self) -> Result<Answer> {
        let folder = tempfile::tempdir().unwrap();
        let checks = [Check {
            name: "goal".to_owned(),
            run: CommandLine::Shell("npm run build".to_owned()),
            dir: String::new(),
            timeout: Duration::from_secs(1),
            needs: Vec::new(),
        }];
        self.fixer
            .work_on(&Work {
                run: "run-1",
                tree: Tree { root: folder.path(), patch: &self.base },
                checks: &checks,
                red: &self.red,
                task: None,
                history: &self.history,
                examples: &[],
                rules: "Use const.",
                purse: &self.purse,
                progress: &|_| {},
            })
            .await
    }

    fn asked(&self) -> Vec<Request> {
        self.model.asked.lock().unwrap().clone()
    }

    fn tried(&self, fixer: &str, answer: &Answer, result: &str, kept: bool) -> Tried {
        let Answer::Patch(proposal) = answer else { panic!("{answer:?} is no patch") };
        Tried {
            fixer: fixer.to_owned(),
            patch: proposal.patch.clone(),
            explanation: proposal.explanation.clone(),
            result: result.to_owned(),
            red: vec![red("Cannot find name 'b'.")],
            kept,
        }
    }
}

#[tokio::test]
async fn an_answer_becomes_a_patch_and_is_paid() {
    let bench = Bench::new(vec![says(EDIT)]);
    let Answer::Patch(proposal) = bench.propose().await.unwrap() else { panic!("no patch") };
    assert_eq!(proposal.fixer, "model(claude-sonnet-5-5)");
    assert_eq!(proposal.explanation, "The name is misspelt.");
    let change = proposal.patch.get(&RelPath::new("src/a.ts").unwrap()).unwrap();
    assert!(change.after.as_ref().unwrap().as_text().unwrap().ends_with("export const a = b();\n"));
    let asked = &bench.asked()[0];
    assert!(asked.system.contains("<<<<<<< SEARCH") && asked.system.contains("Use const."));
    assert!(asked.turns[0].text.contains("Cannot find name 'bb'") && asked.turns[0].text.contains("bb();"));
    assert!(!format!("{asked:?}").contains("the-secret-value") && asked.turns[0].text.contains("[redacted]"));
    let calls = bench.purse.calls.lock().unwrap();
    assert_eq!(calls[0].cost, Some(Money(3000)));
    assert_eq!(&calls[0].request, asked);
    assert!(bench.purse.reserved.lock().unwrap()[0] > Money(3000));
}

#[tokio::test]
async fn a_retry_goes_on_and_hears_what_happened() {
    let mut bench = Bench::new(vec![says(EDIT), says(EDIT), says(EDIT)]);
    let first = bench.propose().await.unwrap();
    bench.history.push(bench.tried("model(claude-sonnet-5-5)", &first, "two new errors", false));
    bench.propose().await.unwrap();
    let asked = &bench.asked()[1];
    assert_eq!(asked.turns.len(), 3);
    assert_eq!(asked.turns[1].text, EDIT);
    let said = &asked.turns[2].text;
    assert!(
        said.contains("taken back")
            && said.contains("two new errors")
            && said.contains("Cannot find name 'b'."),
        "{said}"
    );
    assert!(!said.contains("export const a"), "what was seen is not shown again: {said}");

    // Kept: the next turn shows the files as they are now.
    let again = Answer::Patch(Proposal {
        patch: Patch::new(),
        explanation: String::new(),
        fixer: String::new(),
        alternatives: vec![],
    });
    bench.history.push(bench.tried("model(claude-sonnet-5-5)", &again, "one error less", true));
    bench.base = source("export const a = bb();\nexport const c = 1;\n");
    bench.red = vec![red("Something else.")];
    bench.propose().await.unwrap();
    let said = bench.asked()[2].turns.last().unwrap().text.clone();
    assert!(
        said.contains("is kept") && said.contains("Something else.") && said.contains("export const c"),
        "{said}"
    );
}

#[tokio::test]
async fn an_answer_of_no_use_is_told_why() {
    let bench = Bench::new(vec![
        says("src/a.ts\n<<<<<<< SEARCH\nnot there\n=======\nx\n>>>>>>> REPLACE\n"),
        says("I think all is well."),
        stopped("", Stop::Refused),
    ]);
    let Answer::Unusable(reason) = bench.propose().await.unwrap() else { panic!("usable") };
    assert!(reason.contains("src/a.ts"), "{reason}");
    let Answer::Unusable(second) = bench.propose().await.unwrap() else { panic!("usable") };
    assert!(second.contains("no edits"), "{second}");
    let said = bench.asked()[1].turns[2].text.clone();
    assert!(said.contains("could not be used") && said.contains("src/a.ts"), "{said}");
    assert!(matches!(bench.propose().await.unwrap(), Answer::Nothing(reason) if reason.contains("declined")));
}

#[tokio::test]
async fn a_second_opinion_is_fresh_and_sees_the_history() {
    let mut bench = Bench::new(vec![says("UNFIXABLE: the service is gone")]);
    let patch = source("other\n");
    let other = Answer::Patch(Proposal {
        patch,
        explanation: "I believed it was the import.".to_owned(),
        fixer: String::new(),
        alternatives: Vec::new(),
    });
    bench.history = vec![bench.tried("model(gpt-6.2-sol)", &other, "the build was still red", false)];
    assert_eq!(bench.propose().await.unwrap(), Answer::Unfixable("the service is gone".to_owned()));
    let asked = bench.asked();
    assert_eq!(asked[0].turns.len(), 1);
    let said = &asked[0].turns[0].text;
    for part in
        ["Look at it afresh", "I believed it was the import.", "+other", "the build was still red", "bb();"]
    {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[tokio::test]
async fn a_cut_answer_is_continued_once() {
    let (start, rest) = EDIT.split_at(EDIT.len() / 2);
    let bench = Bench::new(vec![stopped(start, Stop::Truncated), says(rest)]);
    assert!(matches!(bench.propose().await.unwrap(), Answer::Patch(_)));
    assert_eq!(bench.asked()[1].turns[1].text, start);
    let bench = Bench::new(vec![stopped(start, Stop::Truncated), stopped("x", Stop::Truncated)]);
    assert!(matches!(bench.propose().await.unwrap(), Answer::Unusable(reason) if reason.contains("cut off")));
    let bench = Bench::new(vec![stopped("", Stop::Truncated), says(EDIT)]);
    assert!(matches!(bench.propose().await.unwrap(), Answer::Patch(_)));
    assert_eq!(bench.asked()[1].max_output_tokens, 64_000);
    assert_eq!(bench.asked()[1].turns.len(), 1);
}

#[tokio::test]
async fn a_full_window_gets_half_of_the_context() {
    let mut bench = Bench::new(vec![stopped("", Stop::Overflow), says(EDIT)]);
    bench.base = source(&format!("export const a = bb();\n{}", "// filler of some length\n".repeat(2400)));
    assert!(matches!(bench.propose().await.unwrap(), Answer::Patch(_)));
    let lengths: Vec<usize> = bench.asked().iter().map(|asked| asked.turns[0].text.len()).collect();
    assert!(lengths[1] < lengths[0] * 2 / 3, "{lengths:?}");
    let bench = Bench::new(vec![stopped("", Stop::Overflow), stopped("", Stop::Overflow)]);
    assert!(matches!(bench.propose().await.unwrap(), Answer::Nothing(reason) if reason.contains("window")));
}

#[tokio::test]
async fn nobody_answers_questions_about_a_repair() {
    let bench = Bench::new(vec![says("QUESTION: Which currency?\n")]);
    let Answer::Unusable(why) = bench.propose().await.unwrap() else { panic!("questions have no answer") };
    assert!(why.contains("nobody"), "{why}");
}

#[tokio::test]
async fn failures_and_empty_purses_are_errors() {
    let key = ModelError::Key { provider: "anthropic".to_owned(), message: "no".to_owned() };
    let bench = Bench::new(vec![Err(key.clone())]);
    let error = bench.propose().await.unwrap_err();
    assert_eq!(error.downcast_ref::<ModelError>(), Some(&key));
    assert_eq!(bench.purse.calls.lock().unwrap()[0].answer, Err("anthropic refused the key: no".to_owned()));
    let mut bench = Bench::new(Vec::new());
    bench.purse.empty = true;
    let error = bench.propose().await.unwrap_err();
    assert!(error.downcast_ref::<crate::fault::Fault>().is_some());
    assert_eq!(bench.asked(), Vec::new());
}

#[tokio::test]
async fn a_call_that_broke_off_is_paid_and_made_again() {
    let broken = || ModelError::BrokenOff {
        provider: "anthropic".to_owned(),
        message: "the stream has no end".to_owned(),
        wait: Duration::ZERO,
    };
    let bench = Bench::new(vec![Err(broken()), says(EDIT)]);
    assert!(matches!(bench.propose().await.unwrap(), Answer::Patch(_)));
    let costs: Vec<_> = bench.purse.calls.lock().unwrap().iter().map(|call| call.cost).collect();
    assert_eq!(costs, [Some(Money(3000)), Some(Money(3000))]);
    assert_eq!(bench.purse.reserved.lock().unwrap().len(), 2, "each is set aside for");

    let bench = Bench::new(vec![Err(broken()), Err(broken()), Err(broken()), says(EDIT)]);
    let error = bench.propose().await.unwrap_err();
    assert_eq!(error.to_string(), "anthropic broke off: the stream has no end");
    assert_eq!(bench.purse.calls.lock().unwrap().len(), 3);
}

#[test]
fn a_small_window_gets_less() {
    let small = Settings::default().within(12_000);
    assert_eq!((small.context_tokens, small.max_output_tokens), (6_000, 4_000));
    let large = Settings::default().within(1_000_000);
    assert_eq!((large.context_tokens, large.max_output_tokens), (context::DEFAULT_BUDGET, 32_000));
}
