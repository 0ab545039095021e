//! Rung 0: a fix that was proven here before, replayed where its text stands now.

use anyhow::Result;
use async_trait::async_trait;

use super::{Answer, Case, Fixer, Proposal, Tried};
use crate::diagnostic::Fingerprint;
use crate::memory::{self, Remembered};
use crate::patch::{Patch, Tree};
use crate::store::Store;

/// Replays remembered fixes.
#[derive(Debug, Clone)]
pub struct MemoryFixer {
    store: Store,
    repo: String,
}

impl MemoryFixer {
    /// Replays what `store` remembers of `repo` (the text that the fixes were learnt under).
    pub fn new(store: Store, repo: impl Into<String>) -> Self {
        Self { store, repo: repo.into() }
    }

    /// Looks for fixes of the failures, in their order, that still fit `tree` and were not tried yet.
    async fn offer(
        &self,
        tree: &Tree<'_>,
        failures: impl Iterator<Item = &Fingerprint>,
        history: &[Tried],
    ) -> Result<Answer> {
        let mut fitting: Vec<(Remembered, Patch)> = Vec::new();
        let mut reasons = Vec::new();
        let mut seen: Vec<&Fingerprint> = Vec::new();
        for failure in failures {
            if seen.contains(&failure) {
                continue;
            }
            seen.push(failure);
            for remembered in memory::recall(&self.store, &self.repo, failure).await? {
                match remembered.recipe.fit(tree) {
                    Ok(patch) if history.iter().any(|tried| tried.patch == patch) => {
                        reasons.push(format!("{} was tried already", remembered.id));
                    }
                    Ok(patch) if fitting.iter().any(|(_, other)| *other == patch) => {}
                    Ok(patch) => fitting.push((remembered, patch)),
                    Err(reason) => reasons.push(format!("{} does not fit: {reason}", remembered.id)),
                }
            }
        }
        let mut fitting = fitting.into_iter();
        let Some((remembered, patch)) = fitting.next() else {
            let reason = if reasons.is_empty() {
                "nothing is remembered of this failure".to_owned()
            } else {
                reasons.join("; ")
            };
            return Ok(Answer::Nothing(reason));
        };
        memory::count_use(&self.store, &remembered.id).await?;
        Ok(Answer::Patch(Proposal {
            patch,
            explanation: format!(
                "{}\n\nThis fix of the same failure was proven by run {} ({}).",
                remembered.explanation.trim(),
                remembered.run,
                remembered.fixer
            ),
            fixer: "memory".to_owned(),
            alternatives: fitting.map(|(_, patch)| patch).take(5).collect(),
        }))
    }
}

#[async_trait]
impl Fixer for MemoryFixer {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    async fn propose(&self, case: &Case<'_>) -> Result<Answer> {
        let failures = case.red.iter().filter_map(|outcome| outcome.fingerprint.as_ref());
        self.offer(&case.tree(), failures, case.history).await
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
            run: "r1",
        };
        assert!(memory::learn(&store, &lesson).await.unwrap());

        let tree_dir = tempfile::tempdir().unwrap();
        let text = "// moved\n\n\nfn a() {}\nlet x = 1\nfn b() {}\nfn c() {}\n";
        std::fs::write(tree_dir.path().join("a.rs"), text).unwrap();
        let nothing = Patch::new();
        let tree = Tree { root: tree_dir.path(), patch: &nothing };
        let fixer = MemoryFixer::new(store.clone(), "/r");
        let Answer::Patch(proposal) =
            fixer.offer(&tree, [&failure, &failure].into_iter(), &[]).await.unwrap()
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
            match fixer.offer(&tree, [&failure].into_iter(), &history).await.unwrap() {
                Answer::Nothing(said) => assert!(said.contains(reason), "{said}"),
                other => panic!("{other:?}"),
            }
        }
        let elsewhere = MemoryFixer::new(store, "/other");
        assert!(matches!(
            elsewhere.offer(&tree, [&failure].into_iter(), &[]).await.unwrap(),
            Answer::Nothing(_)
        ));
    }
}
