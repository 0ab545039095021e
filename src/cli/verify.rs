//! `regreen verify COMMIT`: replays the proof that hangs on a commit, here and now, and says yes or no.

use std::path::Path;

use anyhow::Result;

use super::heal::{beside, detected, preparation};
use super::paint::{BAD, CARE, DIM, GOOD, NAME, line, out, paint, say};
use super::session::{Session, sweep};
use crate::clock::human;
use crate::config::REPO_FILE;
use crate::fault::{Exit, Fault};
use crate::git::{Difference, Repo, Snapshots};
use crate::heal::Bench;
use crate::outcome::{Check, Verdict};
use crate::patch::{Patch, RelPath};
use crate::run::events::Proof;
use crate::store::{Lock, run_dir};
use crate::verify::Verifier;
use crate::verify::same::alike;
use crate::workspace::Workspaces;

/// Replay the proof of a commit.
#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    #[command(flatten)]
    place: super::Place,
    /// Only the commit itself; do not show that its parent is red
    #[arg(long)]
    skip_parent: bool,
    /// The result as one JSON object
    #[arg(long)]
    json: bool,
    /// The commit
    #[arg(default_value = "HEAD")]
    commit: String,
}

/// What a replay found.
#[derive(Debug, serde::Serialize)]
struct Replay {
    commit: String,
    /// The tree of the commit, by git's digest.
    tree: String,
    run: String,
    holds: bool,
    /// Why it does not hold, or why nobody can say, in words.
    problems: Vec<String>,
    #[serde(skip)]
    answer: Exit,
    /// Whether the commit is the patch that was proven; `None` where that cannot be told.
    same_patch: Option<bool>,
    parent_red: Option<bool>,
    /// Whether it was proposed: nothing had to be red without it.
    #[serde(skip)]
    proposal: bool,
    /// Tests that the goal ran without the commit.
    parent_tests: Option<u64>,
    checks: Vec<Replayed>,
    /// Checks that the project has and the proof has not, or has with another command, in words. A proof holds for what it names, so this is no reason
    /// against it.
    not_proven: Vec<String>,
}

#[derive(Debug, serde::Serialize)]
struct Replayed {
    check: String,
    /// The command, as it was proven and replayed.
    command: String,
    was_green: bool,
    is_green: Option<bool>,
    /// Why it cannot be judged, where it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Tests that it ran in the proof.
    had_tests: Option<u64>,
    tests: Option<u64>,
    seconds: f64,
}

impl Verify {
    pub(super) async fn run(self) -> Result<Exit> {
        let repo = Repo::discover(&self.place.repo).await?.ok_or_else(|| {
            Fault::usage(format!("{} is in no git repository", self.place.repo.display()))
                .hint("run it in a clone, or name one with --repo DIR")
        })?;
        let name = format!("{}^{{commit}}", self.commit);
        let commit = repo
            .resolve(&name)
            .await?
            .ok_or_else(|| {
                Fault::usage(format!("there is no commit {:?}", self.commit))
                    .hint("name one as git does: HEAD, a branch, the first digits of its id; a shallow clone may lack it")
            })?;
        let proof = repo.read_proof(&commit).await?.ok_or_else(|| {
            Fault::usage(format!("no proof hangs on {}", &commit[..commit.len().min(12)]))
                .hint("proofs are git notes; fetch them with: git fetch origin refs/notes/regreen:refs/notes/regreen")
        })?;
        let proof: Proof = serde_json::from_value(proof).map_err(|error| {
            Fault::usage(format!("the proof of {commit} cannot be read: {error}"))
                .hint("a newer regreen may have made it")
        })?;
        if let Some(proven) =
            proof.checks.iter().find(|proven| proven.check.run.display().contains("[redacted"))
        {
            let name = line(&proven.check.name, 40);
            return Err(Fault::cannot_judge(format!(
                "the command of {name} had a secret in it, which is in no proof"
            ))
            .hint("give secrets to commands by files or variables, not in their words")
            .into());
        }
        let file = repo.file_at(&commit, &RelPath::new(REPO_FILE)?).await?;
        let file = file.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let session = Session::open(file.as_deref()).await?;
        session.environment.refuse_home(repo.root())?;
        let name = format!("verify-{}", uuid::Uuid::now_v7().simple());
        // Another start of the program removes layers that nobody has.
        let lease = Lock::acquire(&session.state, &name)?;
        let scratch = session.scratch(&name);
        let replay = self.replay(&session, &repo, &commit, &proof, &scratch).await;
        sweep(&scratch).await;
        drop(lease);
        let _ = std::fs::remove_dir_all(run_dir(&session.state, &name));
        let replay = replay?;
        if self.json {
            out(&serde_json::to_string(&replay)?)?;
        } else {
            replay.tell();
        }
        Ok(replay.answer)
    }

    async fn replay(
        &self,
        session: &Session,
        repo: &Repo,
        commit: &str,
        proof: &Proof,
        scratch: &Path,
    ) -> Result<Replay> {
        let mode = session.settings.user.sandbox.mode;
        super::paint::warn_of_no_sandbox(mode);
        let sandbox = session.sandbox(mode).await?;
        let workspaces = Workspaces::open(repo.root(), scratch, sandbox, session.limits())
            .await?
            .showing(&session.settings.user.sandbox.read_only);
        let redactor = session.redactor_of(repo.root(), Some(repo)).await;
        let verifier = session.verifier("verify", session.settings.user.sandbox.network, redactor)?;
        let snapshots =
            Snapshots::open(repo.root(), Some(repo), &session.state, &session.environment).await?;
        let snapshot = snapshots.take(SNAPSHOT).await?;
        let Difference { patch, hidden } = snapshots.patch_to(&snapshot, repo, commit).await?;
        workspaces.hide(&hidden);
        let layers = session.state.join("layers");
        let bench =
            Bench { workspaces: &workspaces, verifier: &verifier, layers: &layers, tree: &snapshot.tree };
        let setup = preparation(session, repo.root(), None);
        if let Some(setup) = &setup {
            bench.prepare(setup, &patch, None).await?;
        }
        let mut checks = replayed(&workspaces, &verifier, proof, &patch).await?;
        let holds = checks.iter().all(|one| !one.was_green || one.is_green == Some(true));
        if let Some(setup) = &setup
            && bench.prepare(setup, &patch, Some(holds)).await?
        {
            checks = replayed(&workspaces, &verifier, proof, &patch).await?;
        }
        let tree = repo.resolve(&format!("{commit}^{{tree}}")).await?.unwrap_or_default();
        let mut replay = Replay {
            commit: commit.to_owned(),
            tree,
            run: proof.run.clone(),
            holds: false,
            problems: Vec::new(),
            answer: Exit::CannotJudge,
            same_patch: None,
            parent_red: None,
            proposal: proof.proposal,
            parent_tests: None,
            checks,
            not_proven: not_proven(proof, &of_the_project(session, repo.root(), proof)),
        };
        let goal = proof.checks.iter().find(|proven| proven.green).map(|proven| &proven.check);
        if let Some(parent) = repo.resolve(&format!("{commit}^{{commit}}^")).await? {
            let Difference { patch: before, hidden } = snapshots.patch_to(&snapshot, repo, &parent).await?;
            let changed = before.inverse().then(&patch);
            replay.same_patch = match changed.digest() == proof.patch {
                true => Some(true),
                // What git converts is not what was proven byte for byte.
                false if converts(repo, commit).await? => None,
                false => Some(false),
            };
            if let (Some(goal), false) = (goal, self.skip_parent) {
                workspaces.hide(&hidden);
                let attempt = workspaces.attempt(&before).await?;
                let outcome = verifier.run(&attempt, goal, &|_| {}).await?;
                replay.parent_red = match outcome.verdict {
                    Verdict::Green => Some(false),
                    Verdict::Red => Some(true),
                    Verdict::Infra { .. } => None,
                };
                replay.parent_tests = outcome.tests.as_ref().map(crate::outcome::TestReport::ran);
            }
        }
        if let Err(error) = snapshots.release(SNAPSHOT).await {
            tracing::debug!(%error, "the snapshot stays");
        }
        (replay.answer, replay.problems) = replay.judge();
        replay.holds = replay.answer == Exit::Green;
        Ok(replay)
    }
}

/// The name of the snapshot that a replay starts from; each takes the place of the one before.
const SNAPSHOT: &str = "verify";

/// Runs every check of the proof once, in one fresh workspace.
async fn replayed(
    workspaces: &Workspaces,
    verifier: &Verifier,
    proof: &Proof,
    patch: &Patch,
) -> Result<Vec<Replayed>> {
    let attempt = workspaces.attempt(patch).await?;
    let mut checks: Vec<Replayed> = Vec::new();
    for proven in &proof.checks {
        if checks.iter().any(|one| one.check == proven.check.name) {
            continue;
        }
        let outcome = verifier.run(&attempt, &proven.check, &|_| {}).await?;
        checks.push(Replayed {
            check: proven.check.name.clone(),
            command: proven.check.run.display(),
            was_green: proven.green,
            is_green: match &outcome.verdict {
                Verdict::Green => Some(true),
                Verdict::Red => Some(false),
                Verdict::Infra { .. } => None,
            },
            reason: match &outcome.verdict {
                Verdict::Infra { reason, .. } => Some(reason.clone()),
                Verdict::Green | Verdict::Red => None,
            },
            had_tests: proven.tests,
            tests: outcome.tests.as_ref().map(crate::outcome::TestReport::ran),
            seconds: outcome.duration.as_secs_f64(),
        });
    }
    Ok(checks)
}

/// The checks of the project: those that the commit's own `regreen.toml` names, or else those that the files show and that a run would take.
fn of_the_project(session: &Session, root: &Path, proof: &Proof) -> Vec<Check> {
    match &session.settings.repo {
        Some(repo) if !repo.checks.is_empty() => repo.checks.clone(),
        _ => proof
            .checks
            .first()
            .map(|goal| beside(detected(session, root).checks, &goal.check))
            .unwrap_or_default(),
    }
}

/// The checks of the project that the proof has not, in words.
fn not_proven(proof: &Proof, checks: &[Check]) -> Vec<String> {
    let proven = || proof.checks.iter().map(|proven| &proven.check);
    let missing = checks.iter().filter(|check| !proven().any(|one| alike(one, check)));
    missing
        .map(|check| {
            let (name, is) = (&check.name, check.run.display());
            match proven().find(|one| one.name == *name) {
                Some(other) => {
                    format!("{name}: the project says `{is}`, proven is `{}`", other.run.display())
                }
                None => format!("{name}: `{is}` is a check of the project, and none of the proof"),
            }
        })
        .collect()
}

/// Whether git may keep other bytes in a commit than in files: line endings, filters.
async fn converts(repo: &Repo, commit: &str) -> Result<bool> {
    if repo.git().config("core.autocrlf").await?.is_some_and(|value| value != "false") {
        return Ok(true);
    }
    let names = repo.git().bytes(&["ls-tree", "-r", "-z", "--name-only", "--full-tree", commit]).await?;
    Ok(names
        .split(|byte| *byte == 0)
        .any(|name| name.rsplit(|b| *b == b'/').next() == Some(b".gitattributes")))
}

impl Replay {
    /// Whether the proof holds, and what speaks against it. Only where nothing does but checks that cannot be judged, nobody can say.
    fn judge(&self) -> (Exit, Vec<String>) {
        let Some(goal) = self.checks.iter().find(|one| one.was_green) else {
            return (Exit::Red, vec!["it is not a proof: it names no check that was green".into()]);
        };
        let (mut against, mut unknown) = (Vec::new(), Vec::new());
        if self.same_patch == Some(false) {
            against.push("it is not a proof of this commit: another patch was proven".into());
        }
        for one in self.checks.iter().filter(|one| one.was_green) {
            let (is, was) = (one.tests.unwrap_or(0), one.had_tests.unwrap_or(0));
            match one.is_green {
                Some(true) if is < was => {
                    against.push(format!("{}: {is} tests ran where {was} ran in the proof", one.check));
                }
                Some(true) => {}
                Some(false) => against.push(format!("{} was green and is red", one.check)),
                None => {
                    let why = one.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                    unknown.push(format!("{} cannot be judged here{why}", one.check));
                }
            }
        }
        let more_tests = goal.tests.zip(self.parent_tests).is_some_and(|(is, was)| is > was);
        if self.parent_red == Some(false) && goal.is_green.is_some() && !more_tests && !self.proposal {
            against.push("the goal is as green without the commit, and the commit brings no test".into());
        }
        let answer = match (against.is_empty(), unknown.is_empty()) {
            (true, true) => Exit::Green,
            (true, false) => Exit::CannotJudge,
            (false, _) => Exit::Red,
        };
        against.extend(unknown);
        (answer, against)
    }

    fn tell(&self) {
        for one in &self.checks {
            let word = match one.is_green {
                Some(true) => paint(GOOD, "green"),
                Some(false) if one.was_green => paint(BAD, "red"),
                Some(false) => paint(CARE, "red, as it was"),
                None => paint(CARE, "cannot be judged here"),
            };
            let tests = one.tests.map(|tests| format!(" · {tests} tests")).unwrap_or_default();
            let time = human(std::time::Duration::from_secs_f64(one.seconds));
            let (name, command) = (paint(NAME, line(&one.check, 40)), line(&one.command, 120));
            say(&format!("  {name} {word}{tests} {} {command}", paint(DIM, time)));
        }
        match self.parent_red {
            Some(true) => say(&format!("  {} without the commit the goal is red", paint(GOOD, "✔"))),
            Some(false) => say(&paint(CARE, "  the goal is green without the commit, too")),
            None => {}
        }
        if self.same_patch.is_none() {
            say(&paint(
                CARE,
                "  whether the commit is the patch that was proven cannot be told: git converts files here",
            ));
        }
        for problem in &self.problems {
            say(&format!("  {} {}", paint(BAD, "✘"), line(problem, 200)));
        }
        for missing in &self.not_proven {
            say(&format!("  {} {}", paint(CARE, "not proven:"), line(missing, 200)));
        }
        let commit = &self.commit[..self.commit.len().min(12)];
        say(&paint(DIM, format!("  commit {commit}, tree {}", &self.tree[..self.tree.len().min(12)])));
        say(&match self.answer {
            Exit::Green => format!("{} yes: the proof of {commit} holds", paint(GOOD, "✔")),
            Exit::CannotJudge => {
                format!("{} nobody can say here whether the proof of {commit} holds", paint(CARE, "?"))
            }
            _ => format!("{} no: the proof of {commit} does not hold here", paint(BAD, "✘")),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replayed(was_green: bool, is_green: Option<bool>, tests: Option<u64>) -> Replayed {
        Replayed {
            check: "goal".into(),
            command: "make".into(),
            was_green,
            is_green,
            reason: None,
            had_tests: None,
            tests,
            seconds: 0.0,
        }
    }

    fn replay(checks: Vec<Replayed>) -> Replay {
        Replay {
            commit: "c".into(),
            tree: "t".into(),
            run: "r".into(),
            holds: false,
            problems: Vec::new(),
            answer: Exit::CannotJudge,
            same_patch: Some(true),
            parent_red: Some(true),
            proposal: false,
            parent_tests: None,
            checks,
            not_proven: Vec::new(),
        }
    }

    /// What speaks against it, where the answer is no.
    fn no(replay: &Replay) -> Vec<String> {
        let (answer, problems) = replay.judge();
        assert_eq!(answer, Exit::Red, "{problems:?}");
        problems
    }

    #[test]
    fn what_was_green_and_is_green_on_the_proven_patch_holds() {
        let goal = Replayed { had_tests: Some(3), ..replayed(true, Some(true), Some(3)) };
        let mut replay = replay(vec![goal, replayed(false, Some(false), None), replayed(false, None, None)]);
        assert_eq!(replay.judge(), (Exit::Green, Vec::new()));
        // A feature: green before, and with more tests now.
        (replay.parent_red, replay.parent_tests) = (Some(false), Some(2));
        assert_eq!(replay.judge(), (Exit::Green, Vec::new()));
    }

    #[test]
    fn a_note_without_a_green_check_is_no_proof() {
        assert!(no(&replay(Vec::new()))[0].contains("not a proof"));
        assert!(no(&replay(vec![replayed(false, Some(false), None)]))[0].contains("not a proof"));
    }

    #[test]
    fn a_proof_of_another_patch_does_not_hold() {
        let mut replay = replay(vec![replayed(true, Some(true), None)]);
        replay.same_patch = Some(false);
        assert!(no(&replay)[0].contains("another patch"));
        replay.same_patch = None;
        assert_eq!(replay.judge().0, Exit::Green);
    }

    #[test]
    fn a_goal_that_is_as_green_without_the_commit_proves_nothing() {
        let mut replay = replay(vec![replayed(true, Some(true), Some(2))]);
        (replay.parent_red, replay.parent_tests) = (Some(false), Some(2));
        assert_eq!(no(&replay).len(), 1);
    }

    #[test]
    fn red_checks_and_fewer_tests_in_any_of_them_are_told() {
        assert!(no(&replay(vec![replayed(true, Some(false), None)]))[0].contains("is red"));
        for tests in [Some(1), None] {
            let fewer = Replayed { had_tests: Some(2), ..replayed(true, Some(true), tests) };
            let told = no(&replay(vec![replayed(true, Some(true), None), fewer]));
            assert!(told[0].contains("where 2 ran"), "{told:?}");
        }
    }

    #[test]
    fn nobody_can_say_only_where_all_that_is_wrong_is_that_a_green_check_cannot_be_judged() {
        let unjudged = |was_green| replayed(was_green, None, None);
        let mut replay = replay(vec![unjudged(true)]);
        // How many tests the commit brings is not known then, either.
        replay.parent_red = Some(false);
        assert_eq!(replay.judge(), (Exit::CannotJudge, vec!["goal cannot be judged here".to_owned()]));
        replay.checks[0].reason = Some("no network".into());
        assert_eq!(replay.judge().1, ["goal cannot be judged here: no network"]);
        replay.checks.push(replayed(true, Some(false), None));
        assert_eq!(no(&replay).len(), 2);
        // One that was red in the proof is no excuse.
        replay.checks = vec![replayed(true, Some(false), None), unjudged(false)];
        replay.parent_red = None;
        assert_eq!(no(&replay).len(), 1);
    }
}
