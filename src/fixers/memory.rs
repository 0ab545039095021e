//! Rung 0: a fix that was proven here before, replayed where its text stands now.

use anyhow::Result;
use async_trait::async_trait;

use super::{Answer, Case, Fixer, Proposal, Tried};
use crate::config::MemoryRules;
use crate::diagnostic::{Diagnostic, Fingerprint};
use crate::memory::{self, Remembered, State};
use crate::patch::{Patch, Tree};
use crate::store::Store;

/// Replays remembered fixes.
#[derive(Debug, Clone)]
pub struct MemoryFixer {
    store: Store,
    rules: MemoryRules,
    repo: String,
}

/// Complaints that are looked up by their kind.
const COMPLAINTS: usize = 20;

/// What a fixer is told of a failure.
struct Failure<'a> {
    prints: Vec<&'a Fingerprint>,
    complaints: Vec<&'a Diagnostic>,
}

impl MemoryFixer {
    /// Replays what `store` remembers of `repo` (the text that the fixes were learnt under).
    pub fn new(store: Store, rules: MemoryRules, repo: impl Into<String>) -> Self {
        Self { store, rules, repo: repo.into() }
    }

    /// Looks for fixes of the failures, in their order, that still fit `tree` and were not tried yet; then for those of single lines with
    /// complaints like theirs.
    async fn offer(
        &self,
        run: &str,
        tree: &Tree<'_>,
        failure: &Failure<'_>,
        history: &[Tried],
    ) -> Result<Answer> {
        let mut found = Found { history, fitting: Vec::new(), reasons: Vec::new() };
        let mut prints: Vec<&Fingerprint> = Vec::new();
        for print in &failure.prints {
            if prints.contains(print) {
                continue;
            }
            prints.push(print);
            for fix in memory::recall(&self.store, &self.rules, &self.repo, print).await? {
                found.consider(fix.recipe.fit(tree), fix, Kind::Same);
            }
        }
        let mut patterns: Vec<String> = Vec::new();
        for complaint in &failure.complaints {
            let pattern = memory::pattern(complaint);
            if patterns.contains(&pattern) {
                continue;
            }
            for fix in memory::similar(&self.store, &self.rules, &self.repo, &pattern).await? {
                let Some(template) = fix.template.clone() else { continue };
                let alike = failure.complaints.iter().copied();
                let alike: Vec<&Diagnostic> = alike.filter(|one| memory::pattern(one) == pattern).collect();
                found.consider(template.fit(tree, &alike), fix, Kind::Alike);
            }
            patterns.push(pattern);
        }
        let mut fitting = found.fitting.into_iter();
        let Some((fix, patch, kind)) = fitting.next() else {
            let reason = if found.reasons.is_empty() {
                "nothing is remembered of this failure".to_owned()
            } else {
                found.reasons.join("; ")
            };
            return Ok(Answer::Nothing(reason));
        };
        memory::count_use(&self.store, &fix.id, run).await?;
        Ok(Answer::Patch(Proposal {
            patch,
            explanation: format!("{}\n\n{}", fix.explanation.trim(), self.provenance(&fix, kind)),
            fixer: "memory".to_owned(),
            alternatives: fitting.map(|(_, patch, _)| patch).take(5).collect(),
        }))
    }

    /// Where a fix comes from, in a sentence. Other repos stay unnamed: a commit may go where they do not.
    fn provenance(&self, fix: &Remembered, kind: Kind) -> String {
        let what = match kind {
            Kind::Same => "This fix of the same failure",
            Kind::Alike => "A fix of the same complaint elsewhere, carried over to this place,",
        };
        let by = match (fix.state, fix.repo == self.repo) {
            (State::Suggested, _) => {
                let run = fix.run.strip_prefix("imported:").unwrap_or(&fix.run);
                format!("was proven in another store, by its run {run}, and never here before")
            }
            (_, false) => format!("was proven in another repository, by run {}", fix.run),
            (_, true) => format!("was proven by run {}", fix.run),
        };
        format!("{what} {by} ({}).", fix.fixer)
    }
}

/// How a remembered fix belongs to the failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Same,
    Alike,
}

/// The fixes that fit, best first, and why others do not.
struct Found<'a> {
    history: &'a [Tried],
    fitting: Vec<(Remembered, Patch, Kind)>,
    reasons: Vec<String>,
}

impl Found<'_> {
    fn consider(&mut self, fit: Result<Patch, String>, fix: Remembered, kind: Kind) {
        match fit {
            Ok(patch) if self.history.iter().any(|tried| tried.patch == patch) => {
                self.reasons.push(format!("{} was tried already", fix.id));
            }
            Ok(patch) if self.fitting.iter().any(|(_, other, _)| *other == patch) => {}
            Ok(patch) => self.fitting.push((fix, patch, kind)),
            Err(reason) => self.reasons.push(format!("{} does not fit: {reason}", fix.id)),
        }
    }
}

#[async_trait]
impl Fixer for MemoryFixer {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    async fn propose(&self, case: &Case<'_>) -> Result<Answer> {
        let red = case.red;
        let failure = Failure {
            prints: red.iter().filter_map(|outcome| outcome.fingerprint.as_ref()).collect(),
            complaints: red
                .iter()
                .flat_map(|outcome| memory::errors(&outcome.diagnostics, COMPLAINTS))
                .take(COMPLAINTS)
                .collect(),
        };
        self.offer(case.run, &case.tree(), &failure, case.history).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Lesson;
    use crate::patch::{Change, FileState, RelPath};
    use crate::store::{NewEvent, NewRun, Status};

    fn change(before: &str, after: &str) -> Patch {
        let file = |text: &str| Some(FileState::text(text));
        let path = RelPath::new("a.rs").unwrap();
        [(path, Change { before: file(before), after: file(after) })].into_iter().collect()
    }

    fn known<'a>(prints: &[&'a Fingerprint]) -> Failure<'a> {
        Failure { prints: prints.to_vec(), complaints: Vec::new() }
    }

    #[tokio::test]
    async fn a_known_failure_gets_its_fix_where_it_stands_now() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("db")).await.unwrap();
        let run = NewRun {
            id: "r1".into(),
            repo: "/r".into(),
            trigger: "heal".into(),
            goal: "x".into(),
            status: Status::Finished,
            base: None,
        };
        store.create(&run, &NewEvent::new(store.now(), "started", serde_json::Value::Null)).await.unwrap();
        let failure = Fingerprint("f1".into());
        let patch = change("fn a() {}\nlet x = 1\nfn b() {}\n", "fn a() {}\nlet x = 1;\nfn b() {}\n");
        let lesson = Lesson {
            fingerprint: &failure,
            repo: "/r",
            patch: &patch,
            explanation: "A semicolon was missing.",
            fixer: "codefix(rustc)",
            category: Some("syntax"),
            diagnostics: &[],
            landed: memory::Landing::Files,
            run: "r1",
        };
        let rules = MemoryRules { watch: std::time::Duration::ZERO, ..MemoryRules::default() };
        assert!(memory::learn(&store, &rules, &lesson).await.unwrap());

        let tree_dir = tempfile::tempdir().unwrap();
        let text = "// moved\n\n\nfn a() {}\nlet x = 1\nfn b() {}\nfn c() {}\n";
        std::fs::write(tree_dir.path().join("a.rs"), text).unwrap();
        let nothing = Patch::new();
        let tree = Tree { root: tree_dir.path(), patch: &nothing };
        let fixer = MemoryFixer::new(store.clone(), rules, "/r");
        let Answer::Patch(proposal) =
            fixer.offer("r1", &tree, &known(&[&failure, &failure]), &[]).await.unwrap()
        else {
            panic!("no patch")
        };
        assert_eq!(proposal.patch, change(text, &text.replace("= 1", "= 1;")));
        assert!(
            proposal.explanation.contains("A semicolon was missing.") && proposal.explanation.contains("r1")
        );
        assert!(proposal.alternatives.is_empty());
        assert_eq!(memory::list(&store, None).await.unwrap()[0].uses, 1);

        let tried = Tried {
            fixer: "memory".into(),
            patch: proposal.patch,
            explanation: String::new(),
            result: String::new(),
            red: Vec::new(),
            kept: false,
        };
        for (failure, history, reason) in [
            (failure.clone(), vec![tried], "was tried already"),
            (Fingerprint("other".into()), vec![], "nothing is remembered"),
        ] {
            match fixer.offer("r1", &tree, &known(&[&failure]), &history).await.unwrap() {
                Answer::Nothing(said) => assert!(said.contains(reason), "{said}"),
                other => panic!("{other:?}"),
            }
        }
        let failure = known(&[&failure]);
        let elsewhere = MemoryFixer::new(store.clone(), rules, "/other");
        assert!(matches!(elsewhere.offer("r1", &tree, &failure, &[]).await.unwrap(), Answer::Nothing(_)));
        let shared = MemoryFixer::new(store, MemoryRules { share: true, ..rules }, "/other");
        let Answer::Patch(proposal) = shared.offer("r1", &tree, &failure, &[]).await.unwrap() else {
            panic!("what other repos proved is not shared")
        };
        assert!(proposal.explanation.contains("another repository"), "{}", proposal.explanation);
    }
}
