//! Brings a proven patch to where it should go, settles what a crash cut off, and remembers what worked.

use anyhow::Result;
use async_trait::async_trait;

use super::prove::judged_anew;
use super::stop::stop;
use super::{Place, Tools};
use crate::diagnostic::{Category, Diagnostic};
use crate::fault::{Exit, Fault};
use crate::git::Difference;
use crate::landing::{self, Base, Land, Landed, Moves, Plan, Record, Recovered, Story};
use crate::memory::{self, Lesson};
use crate::patch::{RelPath, Tree};
use crate::run::Run;
use crate::run::account::without_places;
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
    // Another landing may have been waited for.
    journal.store().must_not_be_halted(&run.spec.root.to_string_lossy()).await?;
    // The rules may have become stricter since people agreed, or since nobody had to.
    if let Some(judged) = judged_anew(&run, tools)? {
        return journal.record(judged).await;
    }
    let place = &tools.place;
    let to: Land = run.spec.land.parse().map_err(|fault: Fault| anyhow::Error::from(fault))?;
    let story = story(&run);
    let label = label(&run);
    let onto = match &run.spec.trigger {
        Trigger::Subtask { .. } | Trigger::Proposal { .. } => run.spec.from.head.as_deref(),
        _ if builds_on_fetched(&run) => run.spec.from.head.as_deref(),
        Trigger::Heal | Trigger::Ticket { .. } | Trigger::Incident { .. } => None,
    };
    if tip(&run, place).await?.is_some_and(|tip| Some(&tip) != run.spec.from.head.as_ref()) {
        return moved(journal, tools, &run, Vec::new()).await;
    }
    let patch = run.result();
    let plan = Plan {
        run: &run.id,
        label: &label,
        land: &to,
        patch: &patch,
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
            attach(journal, place, &run, &record).await?;
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

/// Whether the run builds on what was fetched for it, wherever HEAD is.
fn builds_on_fetched(run: &Run) -> bool {
    run.spec.origin.as_ref().is_some_and(|origin| origin.reference.is_some())
}

/// The commit that a proposal builds on, as its base is now; `None` for other runs.
async fn tip(run: &Run, place: &Place) -> Result<Option<String>> {
    let (Trigger::Proposal { base, .. }, Some(repo)) = (&run.spec.trigger, &place.repo) else {
        return Ok(None);
    };
    let named = base.as_deref().unwrap_or("HEAD");
    // A base that is gone meanwhile is where it was.
    Ok(repo.resolve(&format!("{named}^{{commit}}")).await?.or_else(|| run.spec.from.head.clone()))
}

/// Why a commit of what is kept would take uncommitted changes of the user's with it, if it would.
fn in_the_way(run: &Run) -> Option<String> {
    let result = run.result();
    let touched = result.iter().map(|(path, _)| path).filter(|path| run.spec.base.get(path).is_some());
    let mine: Vec<&str> = touched.map(RelPath::as_str).collect();
    (!mine.is_empty()).then(|| {
        let mine = mine.join(", ");
        format!("your uncommitted changes in {mine} are in the way of a commit; commit or stash them, or use --land worktree")
    })
}

/// Takes the tree as it is now for a new base, if the patch still fits it.
pub(super) async fn moved(journal: &Journal, tools: &Tools, run: &Run, files: Vec<String>) -> Result<()> {
    let place = &tools.place;
    let mut now = Base::take(place.repo.as_ref(), &place.snapshots, &run.id).await?;
    let Difference { patch: base, hidden } = match (&place.repo, run.spec.land.as_str()) {
        (None, _) | (_, "worktree" | "none") => Difference::default(),
        (Some(repo), _)
            if matches!(run.spec.trigger, Trigger::Subtask { .. } | Trigger::Proposal { .. })
                || builds_on_fetched(run) =>
        {
            // The branch of the ticket is what the sub-task builds on, wherever HEAD is; and a proposal has a base of its own.
            now.head = tip(run, place).await?.or_else(|| run.spec.from.head.clone());
            match &now.head {
                Some(tip) => place.snapshots.patch_to(&now.snapshot, repo, tip).await?,
                None => Difference::default(),
            }
        }
        (Some(repo), _) => place.snapshots.back_to_head(&now.snapshot, repo).await?,
    };
    let named = if files.is_empty() { "the branch".to_owned() } else { files.join(", ") };
    let tree = Tree { root: &run.spec.root, patch: &base };
    let fits =
        run.result().iter().all(|(path, change)| tree.read(path).is_ok_and(|now| now == change.before));
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

/// Hangs the proof on the commit. The landing stands whether that works or not, but `verify` and others would look for it.
async fn attach(journal: &Journal, place: &Place, run: &Run, record: &Record) -> Result<()> {
    let (Some(repo), Some(commit), Some(proof)) = (&place.repo, record.commit(), &run.proof) else {
        return Ok(());
    };
    if let Err(error) = repo.attach_proof(commit, &serde_json::to_value(proof)?).await {
        let id = short(&run.id);
        let what =
            format!("the proof does not hang on the commit, so `regreen verify` finds none: {error:#}");
        let advice = format!(
            "once git can write the notes: regreen show {id} --json | jq 'map(select(.event == \"proven\")) | last.proof' | git notes --ref=regreen add -f -F - {commit}"
        );
        journal.record(Event::Warned { what, advice }).await?;
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
            attach(journal, place, &run, record).await?;
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
    if let (true, Some(print), Some(Some(record)), false, false) =
        (tools.memory.enabled, print, &run.landed, run.is_feature(), run.kept.is_empty())
    {
        let complaints: Vec<Diagnostic> =
            run.before.iter().flat_map(|outcome| &outcome.diagnostics).cloned().collect();
        let category = complaints.first().and_then(|first| serde_json::to_value(first.category).ok());
        let lesson = Lesson {
            fingerprint: print,
            repo: &run.spec.root.to_string_lossy(),
            patch: &run.kept,
            explanation: &explanations(&run).join("\n\n"),
            fixer: &run.credited().join(", "),
            category: category.as_ref().and_then(|value| value.as_str()),
            diagnostics: &complaints,
            landed: match &record.moved {
                Moves::Files => memory::Landing::Files,
                Moves::Current { reference, new, .. } | Moves::Other { reference, new, .. } => {
                    memory::Landing::Commit { reference: reference.clone(), commit: new.clone() }
                }
            },
            run: &run.id,
        };
        let learnt = memory::learn(journal.store(), &tools.memory, &lesson).await;
        if let Err(error) = learnt {
            tracing::warn!("the fix could not be remembered: {error:#}");
        }
    }
    super::finish(journal, tools, Exit::Green).await
}

/// What the backup tag is called after: the ticket's run, or the end of this one's id, which is random.
fn label(run: &Run) -> String {
    let id = match &run.spec.trigger {
        Trigger::Subtask { ticket, .. } => ticket,
        Trigger::Proposal { id, .. } | Trigger::Incident { id, .. } => id,
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
        Trigger::Subtask { title, .. } | Trigger::Proposal { title, .. } => (title.clone(), "feat"),
        Trigger::Incident { title, .. } => (crashed(title), "fix"),
        Trigger::Heal | Trigger::Ticket { .. } => (repaired(run), "fix"),
    };
    let mut verified: Vec<String> = Vec::new();
    for Proven { check, green, .. } in run.proof.iter().flat_map(|proof| &proof.checks) {
        let name = if check.name == run.spec.goal.name { check.run.display() } else { check.name.clone() };
        let name = without_places(&name, &run.spec.root.to_string_lossy());
        if *green && !verified.contains(&name) {
            verified.push(name);
        }
    }
    Story {
        subject,
        body: body(run),
        fixer: fixer(run),
        attempts: run.attempts.iter().filter(|attempt| attempt.patch.is_some()).count() as u32,
        verified,
        kind: kind.to_owned(),
    }
}

/// Who proposed what lands.
fn fixer(run: &Run) -> String {
    let proposed = run.proposed().map(|_| "proposal".to_owned());
    proposed.into_iter().chain(run.credited()).collect::<Vec<_>>().join(", ")
}

/// The longest subject that leaves room for a prefix.
const SUBJECT: usize = 66;

/// A subject that names what happened, as far as it is short and holds no path.
fn crashed(title: &str) -> String {
    let whole = format!("repair the crash \"{title}\"");
    let kind = title.split(':').next().unwrap_or_default();
    let fits = |subject: &String| subject.chars().count() <= SUBJECT && !subject.contains('/');
    let by_kind = format!("repair the crash by {kind}");
    Some(whole).filter(fits).or(Some(by_kind).filter(fits)).unwrap_or_else(|| "repair a crash".to_owned())
}

/// A subject that names what was wrong: in the tool's words where they are short and hold no path, else by its kind.
fn repaired(run: &Run) -> String {
    let Some(cause) = run.cause() else { return format!("make `{}` green", run.spec.goal.run.display()) };
    let mut touched = run.kept.iter().map(|(path, _)| path.as_str());
    let place = match (touched.next(), touched.count()) {
        (Some(file), 0) => format!(" in {file}"),
        (Some(_), more) => format!(" in {} files", more + 1),
        (None, _) => String::new(),
    };
    let said = cause.message.lines().next().unwrap_or_default().trim();
    let kind = match cause.category {
        Category::Import => "a broken import",
        Category::Export => "a missing export",
        Category::Syntax => "a syntax error",
        Category::Type => "a type error",
        Category::UndefinedName => "an undefined name",
        Category::MissingMember => "a missing member",
        Category::Borrow => "a borrow error",
        Category::Dependency => "a dependency",
        Category::Configuration => "the configuration",
        Category::TestAssertion => "a failing test",
        Category::Runtime => "a failure at run time",
        Category::Style => "the style",
        Category::Other => "an error",
    };
    let fits = |subject: &String| subject.chars().count() <= SUBJECT;
    let in_its_words =
        Some(format!("repair \"{said}\"{place}")).filter(|_| !said.is_empty() && !said.contains('/'));
    let by_kind = format!("repair {kind}{place}");
    in_its_words.filter(fits).or(Some(by_kind).filter(fits)).unwrap_or_else(|| format!("repair {kind}"))
}

/// What was wrong, where, and why this repairs it.
fn body(run: &Run) -> String {
    let proposed = match &run.spec.trigger {
        Trigger::Proposal { description, .. } => {
            Some(description.clone()).filter(|text| !text.trim().is_empty())
        }
        _ => None,
    };
    let cause = run.cause().filter(|_| !run.kept.is_empty());
    let wrong = cause.map(|cause| {
        let said = cause.message.lines().next().unwrap_or_default().trim();
        match cause.place() {
            Some(place) => format!("{place}: {said}"),
            None => said.to_owned(),
        }
    });
    let parts: Vec<String> =
        proposed.into_iter().chain(wrong).chain(explanations(run).into_iter().map(str::to_owned)).collect();
    without_places(&parts.join("\n\n"), &run.spec.root.to_string_lossy())
}
