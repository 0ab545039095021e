use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::{NetworkAccess, SandboxMode};
use crate::diagnostic::Fingerprint;
use crate::outcome::{Check, CommandLine, End, TestReport, Verdict};
use crate::patch::{Change, FileState, RelPath};
use crate::policy::{Assessment, Environment, Governance, Reason, Risk, Ruling, Terms};

fn check(name: &str) -> Check {
    Check {
        name: name.into(),
        run: CommandLine::Shell("make check".into()),
        dir: String::new(),
        timeout: Duration::from_secs(60),
        needs: Vec::new(),
    }
}

fn base(digit: &str) -> crate::landing::Base {
    let snapshot = crate::git::Snapshot { commit: digit.repeat(40), tree: digit.repeat(40) };
    crate::landing::Base { snapshot, head: None, branch: None }
}

fn rung(fixer: &str, attempts: u32, model: bool) -> Rung {
    Rung { fixer: fixer.into(), attempts, model, place: 0 }
}

fn spec() -> Spec {
    Spec {
        trigger: Trigger::Heal,
        root: "/repo".into(),
        goal: check("goal"),
        checks: Vec::new(),
        land: "worktree".into(),
        ladder: vec![rung("codefix", 1, false), rung("model(a)", 2, true), rung("model(b)", 1, true)],
        max_attempts: None,
        configured: Money::from_usd(1.0),
        budget: Money(1_000_000),
        timeout: None,
        repeat: 2,
        minimise: true,
        network: NetworkAccess::None,
        setup: None,
        sandbox: SandboxMode::Auto,
        dry_run: false,
        from: base("5"),
        base: Patch::new(),
        hidden: Vec::new(),
        protected: Vec::new(),
        limits: crate::guards::Limits::default(),
        test_changes: Vec::new(),
        rules: String::new(),
        governance: Governance::default(),
        requester: "anna".into(),
        origin: None,
    }
}

fn outcome(verdict: Verdict, print: &str) -> Outcome {
    Outcome {
        check: "goal".into(),
        end: End::Exited(i32::from(verdict != Verdict::Green)),
        fingerprint: (verdict != Verdict::Green).then(|| Fingerprint(print.into())),
        verdict,
        duration: Duration::from_secs(1),
        diagnostics: Vec::new(),
        tests: Some(TestReport { tests: BTreeMap::new(), passed: 1, failed: 1, skipped: 0 }),
        tail: String::new(),
        log_digest: String::new(),
        log_bytes: 0,
        log: None,
        connections: Vec::new(),
        silent: std::collections::BTreeSet::new(),
    }
}

fn patch(text: &str) -> Patch {
    let path = RelPath::new("a.txt").unwrap();
    let change = Change { before: Some(FileState::text("before\n")), after: Some(FileState::text(text)) };
    Patch::from_iter([(path, change)])
}

/// A run with what happened in it.
struct Story(Run);

impl Story {
    fn new(spec: Spec) -> Self {
        Self(Run::new("0123456789ab", &spec, Timestamp::UNIX_EPOCH))
    }

    fn red() -> Self {
        let mut story = Self::new(spec());
        story.tell(Event::Checked {
            phase: Phase::Baseline,
            outcome: Box::new(outcome(Verdict::Red, "first")),
            round: 1,
        });
        story.tell(Event::Baseline(Baseline::Red));
        story
    }

    fn tell(&mut self, event: Event) {
        let record = Record { run: self.0.id.clone(), seq: self.0.seq + 1, at: Timestamp::UNIX_EPOCH, event };
        self.0.apply(&record);
    }

    fn attempt(&mut self, proposal: Option<&str>, decision: Decision, print: &str) {
        let Step::Attempt { rung } = self.0.next() else { panic!("not {:?}", self.0.next()) };
        let attempt = self.0.attempts.len() as u32 + 1;
        let fixer = self.0.spec.ladder[rung].fixer.clone();
        self.tell(Event::AttemptStarted { attempt, rung, fixer: fixer.clone() });
        if let Some(text) = proposal {
            let (explanation, alternatives) = (String::new(), Vec::new());
            self.tell(Event::Proposed { attempt, fixer, explanation, patch: patch(text), alternatives });
        }
        let red = if decision == Decision::Green { vec![] } else { vec![outcome(Verdict::Red, print)] };
        self.tell(Event::Decided { attempt, decision, reason: "because".into(), red });
    }

    fn rule(&self) -> StopRule {
        match self.0.next() {
            Step::Stop { rule, .. } => rule,
            other => panic!("it does not stop: {other:?}"),
        }
    }
}

#[test]
fn the_goal_stays_before_the_other_checks_however_often_it_runs() {
    let mut story = Story::new(spec());
    let other = Outcome { check: "lint".into(), ..outcome(Verdict::Red, "other") };
    let again = outcome(Verdict::Red, "again");
    for (outcome, round) in [(outcome(Verdict::Red, "first"), 1), (other.clone(), 1), (again.clone(), 2)] {
        story.tell(Event::Checked { phase: Phase::Baseline, outcome: Box::new(outcome), round });
    }
    assert_eq!(story.0.before, [again, other]);
}

#[test]
fn a_green_baseline_ends_the_run() {
    let mut story = Story::new(spec());
    assert_eq!(story.0.next(), Step::Baseline);
    story.tell(Event::Baseline(Baseline::Green));
    assert_eq!(story.0.next(), Step::Finish(Exit::Green));
    story.tell(Event::Finished { exit: Exit::Green, ran: Duration::ZERO });
    assert_eq!(story.0.next(), Step::Done(Exit::Green));
}

#[test]
fn flaky_and_infra_cannot_be_judged() {
    for baseline in [
        Baseline::Flaky { what: vec![] },
        Baseline::Infra { reason: "disk full".into(), advice: "free some".into() },
    ] {
        let mut story = Story::new(spec());
        story.tell(Event::Baseline(baseline));
        assert_eq!(story.0.next(), Step::Finish(Exit::CannotJudge));
    }
}

#[test]
fn the_ladder_is_climbed_in_order_and_then_is_exhausted() {
    let mut story = Story::red();
    story.attempt(None, Decision::Pass, "first");
    assert_eq!(story.0.next(), Step::Attempt { rung: 1 });
    story.attempt(Some("one"), Decision::Drop, "second");
    assert_eq!(story.0.next(), Step::Attempt { rung: 1 });
    story.attempt(Some("two"), Decision::Drop, "third");
    assert_eq!(story.0.next(), Step::Attempt { rung: 2 });
    story.attempt(Some("three"), Decision::Drop, "fourth");
    assert_eq!(story.rule(), StopRule::LadderExhausted);
}

#[test]
fn progress_is_kept_as_the_base_and_earns_a_free_fixer_another_try() {
    let mut story = Story::red();
    story.attempt(Some("part"), Decision::Keep, "less");
    assert_eq!(story.0.kept, patch("part"));
    assert_eq!(story.0.next(), Step::Attempt { rung: 0 });
    story.attempt(Some("worse"), Decision::Drop, "more");
    assert_eq!(story.0.kept, patch("part"), "what is dropped is dropped whole");
    assert_eq!(story.0.next(), Step::Attempt { rung: 1 });
}

#[test]
fn a_model_s_tries_are_counted_whatever_they_bring() {
    let mut story = Story::red();
    story.attempt(None, Decision::Pass, "first");
    story.attempt(Some("one"), Decision::Keep, "less");
    story.attempt(Some("two"), Decision::Keep, "even less");
    assert_eq!(story.0.next(), Step::Attempt { rung: 2 });
}

#[test]
fn the_same_patch_of_a_model_twice_stops_the_run() {
    let mut story = Story::red();
    story.attempt(None, Decision::Pass, "first");
    story.attempt(Some("one"), Decision::Drop, "second");
    story.attempt(Some("one"), Decision::Drop, "second");
    assert_eq!(story.rule(), StopRule::SamePatch);
}

#[test]
fn the_same_diagnostics_after_two_model_attempts_stop_the_run_where_nobody_else_is_left() {
    let mut story = Story::new(Spec { ladder: vec![rung("model(a)", 3, true)], ..spec() });
    story.tell(Event::Baseline(Baseline::Red));
    story.attempt(Some("one"), Decision::Drop, "same");
    story.attempt(Some("two"), Decision::Drop, "same");
    assert_eq!(story.rule(), StopRule::SameDiagnostics);
}

#[test]
fn attempts_given_by_the_user_are_a_limit() {
    let mut story = Story::red();
    story.0.spec.max_attempts = Some(1);
    story.attempt(None, Decision::Pass, "first");
    story.attempt(Some("one"), Decision::Drop, "second");
    assert_eq!(story.rule(), StopRule::Attempts);
    story.tell(Event::Stopped { rule: StopRule::Attempts, why: String::new(), look_at: vec![] });
    assert_eq!(story.0.next(), Step::Finish(Exit::Limit));
}

#[test]
fn green_is_proven_before_it_lands_and_what_does_not_hold_is_dropped_whole() {
    let mut story = Story::red();
    story.attempt(Some("good"), Decision::Green, "");
    assert_eq!(story.0.next(), Step::Prove);
    story.tell(Event::NotProven { reason: "red in a fresh workspace".into() });
    assert!(story.0.kept.is_empty());
    assert_eq!(story.0.next(), Step::Attempt { rung: 1 });
}

fn proof() -> Event {
    Event::Proven {
        proof: Box::new(Proof {
            run: "0123456789ab".into(),
            base: "5".repeat(40),
            patch: patch("good").digest(),
            checks: Vec::new(),
            tests_before: None,
            tests_after: None,
            sandbox: SandboxMode::Auto,
            tools: BTreeMap::new(),
            regreen: "0".into(),
            proposal: false,
        }),
        doubts: Vec::new(),
    }
}

fn minimised(text: &str) -> Event {
    let approval = vec!["it adds a dependency".to_owned()];
    Event::Minimised { patch: patch(text), dropped: 0, of: 1, approval }
}

#[test]
fn an_approval_is_for_one_patch() {
    let mut story = Story::red();
    story.attempt(Some("good"), Decision::Green, "");
    story.tell(minimised("good"));
    story.tell(proof());
    story.tell(Event::Approved { by: "somebody".into(), patch: None, remark: None });
    assert_eq!(story.0.next(), Step::Land);
    story.tell(Event::Moved {
        from: Box::new(base("6")),
        base: Patch::new(),
        hidden: Vec::new(),
        files: vec![],
    });
    story.tell(Event::NotProven { reason: "red now".into() });
    assert!(story.0.credited().is_empty(), "nobody is credited with what is gone");
    story.attempt(Some("another"), Decision::Green, "");
    story.tell(minimised("another"));
    story.tell(proof());
    assert_eq!(story.0.next(), Step::Wait);
}

/// What policy says of the patch: a risk, in production.
fn assessed(ruling: Ruling, people: u32) -> Event {
    let path = RelPath::new("a.txt").unwrap();
    let reason = Reason { rule: "ci".into(), risk: Risk::Red, text: "CI".into(), paths: vec![path] };
    let terms = Terms {
        environment: Environment::Production,
        ruling,
        people,
        other_person: true,
        expires: Duration::from_secs(60),
    };
    let assessment = Assessment { risk: Risk::Red, reasons: vec![reason] };
    Event::Assessed { patch: patch("good").digest(), assessment, terms }
}

fn asks(story: &Story, people: u32) -> Event {
    let expires = story.0.last.checked_add(Duration::from_secs(3600)).unwrap();
    let question = Question { patch: story.0.kept.digest(), people, except: Some("anna".into()), expires };
    Event::ApprovalNeeded { reasons: story.0.approval.clone(), question: Some(question) }
}

fn agrees(by: &str, patch: &Patch) -> Event {
    Event::Approved { by: by.into(), patch: Some(patch.digest()), remark: None }
}

#[test]
fn as_many_different_people_agree_to_this_patch_as_have_to() {
    let mut story = Story::red();
    story.attempt(Some("good"), Decision::Green, "");
    story.tell(assessed(Ruling::Approve, 2));
    story.tell(proof());
    assert_eq!(story.0.next(), Step::Wait);
    assert!(
        story.0.approval[0].contains("risk red needs an approval in production"),
        "{:?}",
        story.0.approval
    );
    story.tell(asks(&story, 2));
    story.tell(Event::Finished { exit: Exit::Policy, ran: Duration::ZERO });
    for event in
        [agrees("bert", &patch("good")), agrees("bert", &patch("good")), agrees("carl", &patch("other"))]
    {
        story.tell(event);
        assert_eq!((story.0.next(), story.0.supporters().len()), (Step::Done(Exit::Policy), 1));
        assert!(story.0.awaits_approval());
    }
    story.tell(agrees("carl", &patch("good")));
    assert_eq!((story.0.next(), story.0.supporters()), (Step::Land, vec!["bert", "carl"]));
    let (soon, late) = (story.0.last, story.0.last.checked_add(Duration::from_secs(7200)).unwrap());
    assert!(!story.0.has_lapsed(soon) && story.0.has_lapsed(late));
    // Asked again, nobody has agreed.
    story.tell(asks(&story, 2));
    assert_eq!((story.0.next(), story.0.supporters().len()), (Step::Wait, 0));
}

#[test]
fn what_policy_denies_stops_with_its_reasons() {
    let mut story = Story::red();
    story.attempt(Some("good"), Decision::Green, "");
    story.tell(assessed(Ruling::Deny, 1));
    story.tell(proof());
    let Step::Stop { rule: StopRule::Denied, why } = story.0.next() else { panic!("{:?}", story.0.next()) };
    assert!(why.contains("production") && why.contains("a.txt") && why.contains("[ci]"), "{why}");
    story.tell(Event::Stopped { rule: StopRule::Denied, why, look_at: Vec::new() });
    assert_eq!(story.0.next(), Step::Finish(Exit::Policy));
}

#[test]
fn what_policy_said_first_makes_room_for_what_it_says_next() {
    let mut story = Story::red();
    story.attempt(Some("good"), Decision::Green, "");
    story.tell(minimised("good"));
    story.tell(assessed(Ruling::Approve, 1));
    story.tell(proof());
    assert_eq!(story.0.approval.len(), 3);
    story.tell(assessed(Ruling::Approve, 1));
    assert_eq!(story.0.approval.len(), 3, "{:?}", story.0.approval);
    story.tell(assessed(Ruling::Auto, 1));
    assert_eq!(story.0.approval, ["it adds a dependency"], "what guards say stays");
}

#[test]
fn a_run_that_was_halted_goes_on() {
    let mut story = Story::red();
    story.attempt(Some("good"), Decision::Green, "");
    story.tell(proof());
    story.tell(Event::Stopped { rule: StopRule::Halted, why: "x".into(), look_at: Vec::new() });
    assert_eq!(story.0.next(), Step::Finish(Exit::Policy));
    story.tell(Event::Finished { exit: Exit::Policy, ran: Duration::ZERO });
    assert!(story.0.may_go_on());
    story.tell(Event::Resumed { why: "resume".into() });
    assert_eq!(story.0.next(), Step::Land);
}

/// A run that waits with the patch `good`; `fine` looked right, too.
fn with_a_choice() -> Story {
    let mut story = Story::red();
    let attempt = 1;
    story.tell(Event::AttemptStarted { attempt, rung: 0, fixer: "codefix".into() });
    story.tell(Event::Proposed {
        attempt,
        fixer: "codefix(rustc)".into(),
        explanation: String::new(),
        patch: patch("good"),
        alternatives: vec![patch("fine"), patch("good")],
    });
    story.tell(Event::Decided { attempt, decision: Decision::Green, reason: String::new(), red: vec![] });
    story.tell(minimised("good"));
    story.tell(proof());
    story.tell(Event::Finished { exit: Exit::Policy, ran: Duration::ZERO });
    story.tell(Event::Resumed { why: "approve".into() });
    story
}

#[test]
fn a_candidate_that_is_chosen_is_proven_before_it_lands() {
    let mut story = with_a_choice();
    let digests: Vec<String> = story.0.choices().iter().map(|one| one.patch.digest()).collect();
    assert_eq!(digests, [patch("good").digest(), patch("fine").digest()]);
    story.tell(Event::Chosen { by: "anna".into(), candidate: 2 });
    story.tell(Event::Approved { by: "anna".into(), patch: None, remark: None });
    assert_eq!((story.0.next(), story.0.kept.digest()), (Step::Prove, patch("fine").digest()));
    story.tell(minimised("fine"));
    assert_eq!(story.0.next(), Step::Prove);
    story.tell(proof());
    assert_eq!(story.0.next(), Step::Land);
    assert!(story.0.is_chosen());
    assert_eq!(story.0.attempts[0].explanation, "Candidate 2 of 2, chosen by anna.");
    assert_eq!(story.0.credited(), ["codefix(rustc)"]);
}

#[test]
fn what_waited_waits_again_where_the_chosen_candidate_does_not_hold() {
    let mut story = with_a_choice();
    story.tell(Event::Chosen { by: "anna".into(), candidate: 2 });
    story.tell(Event::Approved { by: "anna".into(), patch: None, remark: None });
    story.tell(Event::NotProven { reason: "a test fails".into() });
    assert_eq!((story.0.next(), story.0.kept.digest()), (Step::Wait, patch("good").digest()));
    assert_eq!(story.0.choice(), 1);
    assert_eq!(story.0.choices()[1].failed.as_deref(), Some("a test fails"));
    assert_eq!(story.0.attempts[0].explanation, "");
    story.tell(Event::Approved { by: "anna".into(), patch: None, remark: None });
    assert_eq!(story.0.next(), Step::Land);
}

#[test]
fn what_waited_is_proven_again_where_the_tree_moved_under_the_chosen_candidate() {
    let mut story = with_a_choice();
    story.tell(Event::Chosen { by: "anna".into(), candidate: 2 });
    story.tell(Event::Approved { by: "anna".into(), patch: None, remark: None });
    story.tell(minimised("fine"));
    story.tell(proof());
    let from = Box::new(base("6"));
    story.tell(Event::Moved { from, base: Patch::new(), hidden: Vec::new(), files: vec![] });
    story.tell(Event::NotProven { reason: "red now".into() });
    assert_eq!((story.0.next(), story.0.kept.digest()), (Step::Prove, patch("good").digest()));
    story.tell(proof());
    assert_eq!(story.0.next(), Step::Wait);
}

#[test]
fn who_agreed_before_the_proof_looks_again_at_what_it_left_in_doubt() {
    let mut story = with_a_choice();
    story.tell(Event::Chosen { by: "anna".into(), candidate: 2 });
    story.tell(Event::Approved { by: "anna".into(), patch: None, remark: None });
    story.tell(minimised("fine"));
    let Event::Proven { proof, .. } = proof() else { unreachable!() };
    story.tell(Event::Proven { proof, doubts: vec!["check lint is red".into()] });
    assert_eq!(story.0.next(), Step::Wait);
}

#[test]
fn only_what_is_proven_and_waits_is_changed_for_another_candidate() {
    let mut story = with_a_choice();
    for candidate in [0, 1, 3] {
        story.tell(Event::Chosen { by: "anna".into(), candidate });
        assert_eq!((story.0.next(), story.0.choice()), (Step::Wait, 1), "{candidate}");
    }
    story.tell(Event::Approved { by: "anna".into(), patch: None, remark: None });
    story.tell(Event::Landed { record: None });
    story.tell(Event::Chosen { by: "anna".into(), candidate: 2 });
    assert_eq!(story.0.next(), Step::Learn);
}

#[test]
fn what_a_person_rejected_waits_no_more() {
    let mut story = Story::red();
    story.attempt(Some("good"), Decision::Green, "");
    story.tell(minimised("good"));
    story.tell(proof());
    story.tell(Event::Stopped { rule: StopRule::Rejected, why: String::new(), look_at: vec![] });
    assert!(!story.0.awaits_approval());
    assert_eq!(story.0.next(), Step::Finish(Exit::Policy));
}

#[test]
fn what_stopped_a_run_for_good_holds_where_only_its_end_was_cut_off() {
    let mut story = Story::red();
    story.tell(Event::Stopped { rule: StopRule::LadderExhausted, why: String::new(), look_at: vec![] });
    story.tell(Event::Resumed { why: "resume".into() });
    assert_eq!(story.0.next(), Step::Finish(Exit::Red));
}

#[test]
fn what_needs_approval_waits_for_it_and_then_lands() {
    let mut story = Story::red();
    let attempt = 1;
    story.tell(Event::AttemptStarted { attempt, rung: 0, fixer: "codefix".into() });
    story.tell(Event::Proposed {
        attempt,
        fixer: "codefix(rustc)".into(),
        explanation: String::new(),
        patch: patch("good"),
        alternatives: Vec::new(),
    });
    story.tell(Event::Decided { attempt, decision: Decision::Green, reason: String::new(), red: vec![] });
    story.tell(minimised("good"));
    story.tell(proof());
    assert_eq!(story.0.next(), Step::Wait);
    story.tell(Event::ApprovalNeeded { reasons: story.0.approval.clone(), question: None });
    story.tell(Event::Finished { exit: Exit::Policy, ran: Duration::ZERO });
    assert_eq!(story.0.next(), Step::Done(Exit::Policy));
    story.tell(Event::Resumed { why: "approve".into() });
    story.tell(Event::Approved { by: "somebody".into(), patch: None, remark: None });
    assert_eq!(story.0.next(), Step::Land);
}

#[test]
fn a_tree_that_moved_is_proven_again() {
    let mut story = Story::red();
    story.attempt(Some("good"), Decision::Green, "");
    story.tell(proof());
    assert_eq!(story.0.next(), Step::Land);
    story.tell(Event::Moved {
        from: Box::new(base("6")),
        base: Patch::new(),
        hidden: Vec::new(),
        files: vec!["b.txt".into()],
    });
    assert_eq!(story.0.next(), Step::Prove);
    assert_eq!(story.0.kept, patch("good"));
}

#[test]
fn a_limit_can_be_given_another_chance_and_an_attempt_that_was_cut_off_is_made_again() {
    let mut story = Story::red();
    story.tell(Event::AttemptStarted { attempt: 1, rung: 0, fixer: "codefix".into() });
    story.tell(Event::Stopped { rule: StopRule::Time, why: String::new(), look_at: vec![] });
    story.tell(Event::Finished { exit: Exit::Limit, ran: Duration::ZERO });
    story.tell(Event::Resumed { why: "resume".into() });
    assert_eq!(story.0.next(), Step::Attempt { rung: 0 });
    assert!(story.0.attempts.is_empty());
}

fn any_event() -> impl Strategy<Value = Event> {
    let decision =
        prop_oneof![Just(Decision::Green), Just(Decision::Keep), Just(Decision::Drop), Just(Decision::Pass)];
    prop_oneof![
        Just(Event::Baseline(Baseline::Red)),
        Just(Event::Baseline(Baseline::Green)),
        (0usize..5).prop_map(|rung| Event::AttemptStarted { attempt: 1, rung, fixer: "codefix".into() }),
        "[ab]".prop_map(|text| Event::Proposed {
            attempt: 1,
            fixer: "codefix(rustc)".into(),
            explanation: String::new(),
            patch: patch(&text),
            alternatives: vec![patch("c"), patch("d")],
        }),
        decision.prop_map(|decision| Event::Decided {
            attempt: 1,
            decision,
            reason: String::new(),
            red: Vec::new()
        }),
        Just(proof()),
        Just(Event::NotProven { reason: String::new() }),
        Just(Event::Warned { what: "w".into(), advice: "a".into() }),
        Just(Event::Approved { by: "somebody".into(), patch: None, remark: None }),
        (0usize..4).prop_map(|candidate| Event::Chosen { by: "somebody".into(), candidate }),
        Just(Event::Resumed { why: "resume".into() }),
        Just(Event::Stopped { rule: StopRule::Time, why: String::new(), look_at: Vec::new() }),
        Just(Event::Finished { exit: Exit::Red, ran: Duration::ZERO }),
    ]
}

proptest! {
    /// Whatever order events come in, folding them does not panic, says what is next, and survives being written down.
    #[test]
    fn any_events_fold(events in proptest::collection::vec(any_event(), 0..24)) {
        let mut records = vec![Record {
            run: "0123456789ab".into(),
            seq: 1,
            at: Timestamp::UNIX_EPOCH,
            event: Event::Started(Box::new(spec())),
        }];
        for event in events {
            let seq = records.len() as u64 + 1;
            records.push(Record { run: "0123456789ab".into(), seq, at: Timestamp::UNIX_EPOCH, event });
        }
        let run = Run::fold(&records).unwrap();
        let _ = run.next();
        let written = serde_json::to_string(&records).unwrap();
        let read: Vec<Record> = serde_json::from_str(&written).unwrap();
        prop_assert_eq!(&read, &records);
        prop_assert_eq!(Run::fold(&read).unwrap(), run);
    }
}

/// A model that is never really asked: only its provider and its name count.
struct Named(&'static str, &'static str);

const SONNET: Named = Named("anthropic", "claude-sonnet-5-5");
const LOCAL: Named = Named("local", "qwen3-coder");

#[async_trait::async_trait]
impl crate::models::Model for Named {
    fn provider(&self) -> &str {
        self.0
    }
    fn model(&self) -> &str {
        self.1
    }
    async fn ask(
        &self,
        _: &crate::models::Request,
        _: &crate::models::Meter,
    ) -> std::result::Result<crate::models::Answer, crate::models::ModelError> {
        unreachable!("nobody asks")
    }
}

/// Half a dollar of output.
fn request() -> crate::models::Request {
    use crate::models::{Effort, Request, Role, Turn};
    Request {
        system: "Rules.".into(),
        turns: vec![Turn { role: Role::User, text: "Repair this.".into() }],
        effort: Effort::Low,
        max_output_tokens: 50_000,
        cache_key: String::new(),
        schema: None,
        timeout: Duration::from_secs(1),
    }
}

#[tokio::test]
async fn money_is_set_aside_before_a_call_and_booked_though_it_was_cut_off() {
    use crate::models::ledger::{Meter, Pending, Prices, Purse};
    let state = tempfile::tempdir().unwrap();
    let store = crate::store::Store::open(&state.path().join("regreen.db")).await.unwrap();
    let meter = std::sync::Arc::new(Meter::default());
    let call = || Pending::new(&SONNET, &Prices::built_in().unwrap(), request(), meter.clone());
    let journal = async |id: &str| {
        let clock = std::sync::Arc::new(crate::clock::SystemClock);
        let mut journal =
            journal::Journal::begin(store.clone(), clock, Vec::new(), id, spec()).await.unwrap();
        journal.cap_day(Money::from_usd(0.8));
        journal
    };
    let (first, second) = (journal("r1").await, journal("r2").await);
    // Half a dollar of output: there is room for one such call.
    first.reserve(call()).await.unwrap();
    let refused = second.reserve(call()).await.unwrap_err();
    assert_eq!(refused.downcast_ref::<crate::fault::Fault>().unwrap().exit, Exit::Limit);
    assert!(refused.is::<journal::DaySpent>());
    assert!(format!("{refused:#}").contains("calls of other runs that are under way"), "{refused:#}");

    // The step that asked is cut off: what it used is paid, and the rest is free again.
    let usage = crate::usage::Usage { input: 1000, output: 100, estimated: true, ..Default::default() };
    meter.note(usage);
    first.settle("the run's time was up").await.unwrap();
    first.settle("nothing is under way any more").await.unwrap();
    let run = journal::load(&store, "r1").await.unwrap();
    assert_eq!((run.spent, run.seq), (Money(3500), 2));
    assert_eq!(store.run("r1").await.unwrap().cost, Money(3500));
    second.reserve(call()).await.unwrap();

    // The run's own cap.
    assert!(call().most() > Money(500_000));
    meter.note(crate::usage::Usage { output: 60_000, ..usage });
    second.settle("it was cut off").await.unwrap();
    let refused = second.reserve(call()).await.unwrap_err();
    assert!(!refused.is::<journal::DaySpent>());
    assert!(refused.to_string().contains("of this run's $1.0000 are spent"), "{refused}");
}

#[tokio::test]
async fn the_call_of_a_process_that_died_is_booked_by_whoever_comes_next() {
    use crate::models::ledger::{Meter, Pending, Prices, Purse};
    let state = tempfile::tempdir().unwrap();
    let store = crate::store::Store::open(&state.path().join("regreen.db")).await.unwrap();
    let clock = || std::sync::Arc::new(crate::clock::SystemClock);
    let prices = Prices::built_in().unwrap();
    let call = || Pending::new(&SONNET, &prices, request(), std::sync::Arc::new(Meter::default()));
    let most = call().most();
    let begin = async |id: &str, cap| {
        let mut journal =
            journal::Journal::begin(store.clone(), clock(), Vec::new(), id, spec()).await.unwrap();
        journal.cap_day(cap);
        journal
    };
    let day = most + most;
    // Its own run is taken up again.
    let first = begin("r1", day).await;
    first.reserve(call()).await.unwrap();
    drop(first);
    assert_eq!(journal::load(&store, "r1").await.unwrap().spent, Money(0));
    let first = journal::Journal::reopen(store.clone(), clock(), Vec::new(), "r1").await.unwrap();
    assert_eq!(first.run().spent, most);
    drop(first);
    let again = journal::Journal::reopen(store.clone(), clock(), Vec::new(), "r1").await.unwrap();
    assert_eq!(again.run().spent, most, "once");
    let last = journal::records(&store, "r1", 1).await.unwrap();
    let [Record { event: Event::Asked { call: booked, .. }, .. }] = last.as_slice() else {
        panic!("{last:?}")
    };
    assert!(booked.usage.estimated && booked.usage.input > 0 && booked.answer.is_err(), "{booked:?}");

    // Another run finds it.
    let second = begin("r2", day).await;
    second.reserve(call()).await.unwrap();
    drop(second);
    let third = begin("r3", day).await;
    let refused = format!("{:#}", third.reserve(call()).await.unwrap_err());
    assert!(refused.contains(&format!("{day} of the {day} for 24 hours are spent")), "{refused}");
    assert_eq!(store.run("r2").await.unwrap().cost, most);
}

#[tokio::test]
async fn a_model_without_a_price_is_warned_of_once() {
    use crate::models::ledger::{Meter, Pending, Prices, Purse, Unanswered};
    let state = tempfile::tempdir().unwrap();
    let store = crate::store::Store::open(&state.path().join("regreen.db")).await.unwrap();
    let clock = std::sync::Arc::new(crate::clock::SystemClock);
    let mut spec = spec();
    spec.budget = Money(0);
    let journal = journal::Journal::begin(store.clone(), clock, Vec::new(), "r1", spec).await.unwrap();
    for _ in 0..2 {
        let meter = std::sync::Arc::new(Meter::default());
        let call = Pending::new(&LOCAL, &Prices::built_in().unwrap(), request(), meter);
        journal.reserve(call).await.unwrap();
        journal.book(Err(Unanswered::failed("down"))).await.unwrap();
    }
    let run = journal.run();
    let [(what, advice)] = run.warnings.as_slice() else { panic!("{:?}", run.warnings) };
    assert!(what.contains("qwen3-coder") && advice.contains("prices.toml"), "{what}; {advice}");
}

#[tokio::test]
async fn a_success_that_is_not_proven_counts_as_none() {
    let state = tempfile::tempdir().unwrap();
    let store = crate::store::Store::open(&state.path().join("regreen.db")).await.unwrap();
    let clock = std::sync::Arc::new(crate::clock::SystemClock);
    let journal = journal::Journal::begin(store.clone(), clock, Vec::new(), "r1", spec()).await.unwrap();
    let fixer = "codefix".to_owned();
    journal.record(Event::AttemptStarted { attempt: 1, rung: 0, fixer }).await.unwrap();
    let decided =
        Event::Decided { attempt: 1, decision: Decision::Green, reason: "green".into(), red: Vec::new() };
    journal.record(decided).await.unwrap();
    assert!(store.attempts("r1").await.unwrap()[0].succeeded);
    journal.record(Event::NotProven { reason: "red in a fresh workspace".into() }).await.unwrap();
    let attempt = store.attempts("r1").await.unwrap().remove(0);
    assert!(!attempt.succeeded, "{attempt:?}");
    assert!(attempt.result.contains("red in a fresh workspace"), "{attempt:?}");
}

/// A clock that somebody sets.
struct Set(std::sync::Mutex<Timestamp>);

impl crate::clock::Clock for Set {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

#[tokio::test]
async fn a_clock_that_is_set_takes_none_of_the_runs_time() {
    let state = tempfile::tempdir().unwrap();
    let noon: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    let hour = jiff::SignedDuration::from_hours(1);
    let clock = std::sync::Arc::new(Set(std::sync::Mutex::new(noon)));
    let store =
        crate::store::Store::open_with(&state.path().join("regreen.db"), clock.clone()).await.unwrap();
    let begun = std::time::Instant::now();
    let journal =
        journal::Journal::begin(store.clone(), clock.clone(), Vec::new(), "r1", spec()).await.unwrap();
    for now in [noon - hour, noon + hour, noon - hour] {
        *clock.0.lock().unwrap() = now;
        assert!(journal.worked() <= begun.elapsed(), "{:?}", journal.worked());
    }
    journal
        .record(Event::CheckStarted {
            phase: Phase::Baseline,
            check: "goal".into(),
            command: "true".into(),
            round: 1,
        })
        .await
        .unwrap();
    drop(journal);
    // The process before this one ended an hour before it began.
    let journal = journal::Journal::reopen(store, clock, Vec::new(), "r1").await.unwrap();
    journal.record(Event::Resumed { why: "resume".into() }).await.unwrap();
    assert_eq!(journal.run().worked, Duration::ZERO);
    journal.record(Event::Finished { exit: Exit::Red, ran: Duration::ZERO }).await.unwrap();
    assert_eq!(journal.run().took, Duration::ZERO);
}

#[tokio::test]
async fn a_ticket_that_waits_is_kept_without_secrets() {
    use super::events::{Request, Work};
    let state = tempfile::tempdir().unwrap();
    let store = crate::store::Store::open(&state.path().join("regreen.db")).await.unwrap();
    let redactor = crate::redact::Redactor::default().with_secrets(["hunter2-hunter2".to_owned()]);
    let ticket = serde_json::json!({ "title": "Log in", "body": "The password is hunter2-hunter2." });
    let asked = |work: serde_json::Value| -> Request {
        serde_json::from_value(serde_json::json!({ "repo": "/srv/app", "work": work })).unwrap()
    };
    let requests = [
        asked(serde_json::json!({ "ticket": ticket })),
        asked(serde_json::json!({ "command": ["test", "hunter2-hunter2"] })),
    ];
    let mut kept = Vec::new();
    for (request, id) in requests.iter().zip(["r1", "r2"]) {
        queued::submit(&store, &redactor, id, request, &queued::Line::default()).await.unwrap();
        kept.push(queued::request(&store, id).await.unwrap());
    }
    let Work::Ticket(ticket) = &kept[0].work else { panic!("{:?}", kept[0]) };
    assert!(ticket["title"] == "Log in" && !ticket.to_string().contains("hunter2"), "{ticket}");
    assert_eq!(kept[1], requests[1], "a command has to stay as it is");
}
