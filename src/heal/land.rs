//! Brings a proven patch to where it should go, settles what a crash cut off, and remembers what worked.

use anyhow::Result;
use async_trait::async_trait;

use super::stop::stop;
use super::{Place, Tools};
use crate::fault::{Exit, Fault};
use crate::git::Difference;
use crate::landing::{self, Base, Land, Landed, Plan, Record, Recovered, Story};
use crate::memory::{self, Lesson};
use crate::patch::{RelPath, Tree};
use crate::run::Run;
use crate::run::events::{Event, Proven, StopRule, Trigger};
use crate::run::journal::Journal;
use crate::store::short;

/// How often a tree that moves under the run is followed before it is left alone.
const MOST_MOVES: usize = 3;

/// Keeps what a landing is about to do as an event.
struct Intent<'a>(&'a Journal);

#[async_trait]
impl landing::Journal for Intent<'_> {
    async fn intend(&self, record: &Record) -> Result<()> {
        self.0.record(Event::LandingStarted { record: Box::new(record.clone()) }).await
    }
}

/// Lands what is proven. A tree that moved meanwhile is proven again as it is now; one that stands in the way stops the run.
pub(super) async fn land(journal: &Journal, tools: &Tools) -> Result<()> {
    let _uncut = crate::process::landing().await;
    let run = journal.run();
    let place = &tools.place;
    let to: Land = run.spec.land.parse().map_err(|fault: Fault| anyhow::Error::from(fault))?;
    let story = story(&run);
    let label = label(&run);
    let onto = match &run.spec.trigger {
        Trigger::Subtask { .. } => run.spec.from.head.as_deref(),
        Trigger::Heal | Trigger::Ticket { .. } => None,
    };
    let plan = Plan {
        run: &run.id,
        label: &label,
        land: &to,
        patch: &run.kept,
        base: &run.spec.from,
        onto,
        story: &story,
    };
    if to == Land::Commit
        && let Some(why) = in_the_way(&run)
    {
        return stop(journal, StopRule::Moved, why).await;
    }
    let landed =
        landing::land(place.repo.as_ref(), &place.snapshots, &run.spec.root, &plan, &Intent(journal)).await;
    match landed {
        Ok(Landed::Done(record)) => {
            attach(place, &run, &record).await?;
            journal.record(Event::Landed { record: Some(Box::new(record)) }).await
        }
        Ok(Landed::Nowhere) => journal.record(Event::Landed { record: None }).await,
        Ok(Landed::Moved { files }) => moved(journal, tools, &run, files).await,
        Err(error) => match error.downcast_ref::<Fault>() {
            Some(fault) if fault.exit == Exit::Policy => {
                let hint = fault.hint.as_deref().map(|hint| format!("; {hint}")).unwrap_or_default();
                stop(journal, StopRule::Moved, format!("{fault}{hint}")).await
            }
            _ => Err(error),
        },
    }
}

/// Why a commit of what is kept would take uncommitted changes of the user's with it, if it would.
fn in_the_way(run: &Run) -> Option<String> {
    let touched = run.kept.iter().map(|(path, _)| path).filter(|path| run.spec.base.get(path).is_some());
    let mine: Vec<&str> = touched.map(RelPath::as_str).collect();
    (!mine.is_empty()).then(|| {
        let mine = mine.join(", ");
        format!("your uncommitted changes in {mine} are in the way of a commit; commit or stash them, or use --land worktree")
    })
}

/// Takes the tree as it is now for a new base, if the patch still fits it.
async fn moved(journal: &Journal, tools: &Tools, run: &Run, files: Vec<String>) -> Result<()> {
    let place = &tools.place;
    let mut now = Base::take(place.repo.as_ref(), &place.snapshots, &run.id).await?;
    let Difference { patch: base, hidden } = match (&place.repo, run.spec.land.as_str()) {
        (None, _) | (_, "worktree" | "none") => Difference::default(),
        (Some(repo), _) if run.is_feature() => {
            // The branch of the ticket is what the sub-task builds on, wherever HEAD is.
            now.head.clone_from(&run.spec.from.head);
            match &now.head {
                Some(tip) => place.snapshots.patch_to(&now.snapshot, repo, tip).await?,
                None => Difference::default(),
            }
        }
        (Some(repo), _) => place.snapshots.back_to_head(&now.snapshot, repo).await?,
    };
    let named = if files.is_empty() { "the branch".to_owned() } else { files.join(", ") };
    let tree = Tree { root: &run.spec.root, patch: &base };
    let fits = run.kept.iter().all(|(path, change)| tree.read(path).is_ok_and(|now| now == change.before));
    let same = now.snapshot.tree == run.spec.from.snapshot.tree && now.head == run.spec.from.head;
    if !fits || same || run.moves >= MOST_MOVES {
        let id = short(&run.id);
        let why = format!(
            "{named} changed while the run was under way, and the patch is proven on what was there before; \
             `regreen show {id} --patch` prints it"
        );
        return stop(journal, StopRule::Moved, why).await;
    }
    journal.record(Event::Moved { from: Box::new(now), base, hidden, files }).await
}

/// Hangs the proof on the commit. The landing stands whether that works or not.
async fn attach(place: &Place, run: &Run, record: &Record) -> Result<()> {
    let (Some(repo), Some(commit), Some(proof)) = (&place.repo, record.commit(), &run.proof) else {
        return Ok(());
    };
    if let Err(error) = repo.attach_proof(commit, &serde_json::to_value(proof)?).await {
        tracing::warn!(%error, commit, "the proof could not be attached to the commit");
    }
    Ok(())
}

/// Completes a landing that a crash cut off, or takes it back.
pub(super) async fn recover(journal: &Journal, place: &Place) -> Result<()> {
    let _uncut = crate::process::landing().await;
    let run = journal.run();
    let Some(record) = &run.landing else { return Ok(()) };
    match landing::recover(place.repo.as_ref(), &run.spec.root, record).await? {
        Recovered::Completed => {
            journal.record(Event::Recovered { how: "completed".into() }).await?;
            attach(place, &run, record).await?;
            journal.record(Event::Landed { record: Some(Box::new(record.clone())) }).await
        }
        Recovered::Nothing => journal.record(Event::Recovered { how: "not begun".into() }).await,
        Recovered::RolledBack { left } => {
            journal.record(Event::Recovered { how: "rolled back".into() }).await?;
            let left: Vec<String> = left.iter().map(ToString::to_string).collect();
            let why = format!(
                "{} changed while a crash had cut the landing off; it was taken back",
                left.join(", ")
            );
            stop(journal, StopRule::Moved, why).await
        }
    }
}

/// Remembers what worked under the failure's fingerprint, and ends the run.
pub(super) async fn learn(journal: &Journal, tools: &Tools) -> Result<()> {
    let run = journal.run();
    let print = run
        .before
        .iter()
        .find(|outcome| outcome.check == run.spec.goal.name)
        .and_then(|o| o.fingerprint.as_ref());
    if let (true, Some(print), false) = (tools.memory, print, run.is_feature()) {
        let category =
            run.before.iter().find_map(|outcome| outcome.diagnostics.first()).map(|first| first.category);
        let category = category.and_then(|category| serde_json::to_value(category).ok());
        let lesson = Lesson {
            fingerprint: print,
            repo: &run.spec.root.to_string_lossy(),
            patch: &run.kept,
            explanation: &explanations(&run).join("\n\n"),
            fixer: &run.credited().join(", "),
            category: category.as_ref().and_then(|value| value.as_str()),
            run: &run.id,
        };
        let learnt = memory::learn(journal.store(), &lesson).await;
        if let Err(error) = learnt {
            tracing::warn!(%error, "the fix could not be remembered");
        }
    }
    super::finish(journal, tools, Exit::Green).await
}

/// What the backup tag is called after: the ticket's run, or the end of this one's id, which is random.
fn label(run: &Run) -> String {
    let id = match &run.spec.trigger {
        Trigger::Subtask { ticket, .. } => ticket,
        Trigger::Heal | Trigger::Ticket { .. } => &run.id,
    };
    short(id).to_owned()
}

/// What the fixers said about what is kept.
fn explanations(run: &Run) -> Vec<&str> {
    let kept = run.attempts.iter().filter(|attempt| attempt.worked() && !attempt.explanation.is_empty());
    kept.map(|attempt| attempt.explanation.as_str()).collect()
}

/// What the commit says.
fn story(run: &Run) -> Story {
    let (subject, kind) = match &run.spec.trigger {
        Trigger::Subtask { title, .. } => (title.clone(), "feat"),
        Trigger::Heal | Trigger::Ticket { .. } => (repaired(run), "fix"),
    };
    let mut verified: Vec<String> = Vec::new();
    for Proven { check, green, .. } in run.proof.iter().flat_map(|proof| &proof.checks) {
        let name = if check.name == run.spec.goal.name { check.run.display() } else { check.name.clone() };
        if *green && !verified.contains(&name) {
            verified.push(name);
        }
    }
    Story {
        subject,
        body: explanations(run).join("\n\n"),
        fixer: run.credited().join(", "),
        attempts: run.attempts.iter().filter(|attempt| attempt.patch.is_some()).count() as u32,
        verified,
        kind: kind.to_owned(),
    }
}

/// A subject that names what was wrong.
fn repaired(run: &Run) -> String {
    let first = run.before.iter().flat_map(|outcome| &outcome.diagnostics).next();
    match first {
        Some(diagnostic) => {
            let file = diagnostic.file.as_deref().map(|file| format!(" in {file}")).unwrap_or_default();
            format!("repair \"{}\"{file}", diagnostic.message.lines().next().unwrap_or_default())
        }
        None => format!("make `{}` green", run.spec.goal.run.display()),
    }
}
