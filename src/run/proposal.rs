//! Runs that test and repair proposals: what one is asked, what it may hold, and what its events mean for the proposal.

use anyhow::Result;

use super::Run;
use super::events::{Baseline, Decision, Event, Request, StopRule, Trigger, Work};
use super::journal::records;
use super::queued::Line;
use crate::edits::forbidden;
use crate::fault::{Exit, Fault};
use crate::landing::Land;
use crate::proposal::{Act, Asked, Content};
use crate::redact::Redactor;
use crate::store::{
    NewEvent, NewProposal, NewRun, Projection, ProposalPatch, Proposes, Status, Store, Submission, Submitted,
    Voice,
};

/// The most characters of a proposal's title.
pub const TITLE: usize = 200;
/// The most characters of its description.
pub const DESCRIPTION: usize = 20_000;
/// The most files that it may hold, whatever the guards allow.
pub const FILES: usize = 1000;
/// The most bytes of what it changes, together.
pub const BYTES: usize = 4 << 20;

/// Why every run of a proposal waits for a person once it is green.
pub const WAITS: &str = "it is a proposal: it is applied when somebody approved it";

/// Whether the run is one that tests or repairs a proposal.
pub fn is_for_one(run: &Run) -> bool {
    matches!(run.spec.trigger, Trigger::Proposal { .. })
}

/// Looks at what can be seen of a proposal without its repo.
///
/// # Errors
/// A [`Fault`] that says what is wrong with it.
pub fn check(asked: &Asked, land: &str) -> Result<(), Fault> {
    let wrong = |what: String| Err(Fault::usage(what));
    let title = asked.title.trim();
    if title.is_empty() || title.chars().count() > TITLE || title.contains('\n') {
        return wrong(format!("the title is not one line of 1 to {TITLE} characters"));
    }
    if asked.description.chars().count() > DESCRIPTION {
        return wrong(format!("the description is longer than {DESCRIPTION} characters"));
    }
    if let Some(base) = &asked.base {
        let plain = |c: char| !c.is_control() && !c.is_whitespace();
        if base.is_empty() || base.len() > 200 || base.starts_with('-') || !base.chars().all(plain) {
            return wrong("the base is no name of a branch, a tag or a commit".to_owned());
        }
    }
    if matches!(land.parse::<Land>()?, Land::Worktree | Land::None) {
        return Err(Fault::usage(format!("a proposal does not land as `{land}`"))
            .hint("use branch, branch=NAME or commit"));
    }
    match &asked.content {
        Content::Files(files) => {
            if files.is_empty() || files.len() > FILES {
                return wrong(format!("a proposal holds 1 to {FILES} files"));
            }
            let mut seen = std::collections::BTreeSet::new();
            for file in files {
                if let Some(why) = forbidden(&file.path) {
                    return wrong(format!("{}: {why}", file.path));
                }
                if !seen.insert(&file.path) {
                    return wrong(format!("{} is there twice", file.path));
                }
            }
            let size: usize =
                files.iter().filter_map(|file| file.file.as_ref()).map(|file| file.bytes.len()).sum();
            if size > BYTES {
                return wrong(format!("the files have {size} bytes, and {BYTES} are the most"));
            }
        }
        Content::Diff(diff) => {
            if diff.len() > BYTES {
                return wrong(format!("the diff has {} bytes, and {BYTES} are the most", diff.len()));
            }
            if diff.lines().any(|line| line == "GIT binary patch") {
                return Err(Fault::usage("the diff has a binary change").hint("give binary files as files"));
            }
            if !diff.lines().any(|line| line.starts_with("--- ") || line.starts_with("diff --git ")) {
                return Err(Fault::usage("the patch is no unified diff").hint("`git diff` prints one"));
            }
        }
    }
    Ok(())
}

/// Puts a run for a proposal into the queue: the first one makes it, for `by`; later ones test it again, or repair it.
///
/// # Errors
/// As [`Store::submit`], and where [`check`] finds something wrong.
pub async fn submit(
    store: &Store,
    redactor: &Redactor,
    run: &str,
    request: &Request,
    line: &Line,
    by: Option<&str>,
) -> Result<Submitted> {
    let mut request = request.clone();
    let Work::Proposal(asked) = &mut request.work else { anyhow::bail!("the request is for no proposal") };
    check(asked, &request.land)?;
    asked.title = redactor.redact(asked.title.trim()).into_owned();
    asked.description = redactor.redact(&asked.description).into_owned();
    let proposes = match by {
        Some(by) => Proposes::New(NewProposal {
            id: asked.id.clone(),
            title: asked.title.clone(),
            description: asked.description.clone(),
            base: asked.base.clone(),
            land: request.land.clone(),
            content: asked.content.clone(),
            requested_by: by.to_owned(),
        }),
        None => {
            let act = if asked.fix { Act::Fix } else { Act::Test };
            Proposes::Again { id: asked.id.clone(), act }
        }
    };
    let new = NewRun {
        id: run.to_owned(),
        repo: request.repo.to_string_lossy().into_owned(),
        trigger: "proposal".to_owned(),
        goal: asked.title.clone(),
        status: Status::Queued,
        base: None,
    };
    let event = Event::Submitted(Box::new(request));
    let Line { priority, key, delay } = line.clone();
    let submission = Submission { run: new, priority, key, delay, proposes: Some(proposes), heals: None };
    let first = NewEvent::new(store.now(), event.kind(), serde_json::to_value(&event)?);
    store.submit(&submission, &first).await
}

/// What an event means for the proposal that the run is for; `run` is the state after it.
pub(super) fn follows(event: &Event, run: &Run) -> Option<ProposalPatch> {
    if !is_for_one(run) {
        return None;
    }
    let act = |act| Some(ProposalPatch { act: Some(act), ..ProposalPatch::default() });
    match event {
        Event::Started(spec) => Some(ProposalPatch {
            act: Some(Act::Begin),
            base_commit: spec.from.head.clone(),
            ..ProposalPatch::default()
        }),
        Event::CheckStarted { .. } => act(Act::Check),
        Event::AttemptStarted { .. } => act(Act::Attempt),
        Event::Decided { decision, .. } if *decision != Decision::Pass => {
            Some(ProposalPatch { attempted: true, ..ProposalPatch::default() })
        }
        Event::ApprovalNeeded { .. } => Some(ProposalPatch {
            act: Some(Act::Pass),
            auto_fix_applied: Some(!run.kept.is_empty()),
            ..ProposalPatch::default()
        }),
        Event::Approved { .. } if run.is_agreed() => act(Act::Approve),
        Event::Moved { from, .. } => {
            Some(ProposalPatch { base_commit: from.head.clone(), ..ProposalPatch::default() })
        }
        Event::Landed { record: Some(record) } => Some(ProposalPatch {
            act: Some(Act::Apply),
            landed: Some(record.place()),
            ..ProposalPatch::default()
        }),
        Event::Stopped { rule: StopRule::Rejected, why, .. } => Some(ProposalPatch {
            act: Some(Act::Reject),
            reason: Some(why.clone()),
            ..ProposalPatch::default()
        }),
        Event::RolledBack { how } => Some(ProposalPatch {
            act: Some(Act::RollBack),
            reason: Some(how.clone()),
            ..ProposalPatch::default()
        }),
        Event::Finished { exit, .. } if *exit != Exit::Green && !run.awaits_approval() => {
            Some(ProposalPatch {
                act: Some(Act::Fail),
                reason: Some(why(run)),
                needs_auto_fix: repairable(run),
                ..ProposalPatch::default()
            })
        }
        _ => None,
    }
}

/// What a run that ended before it began means for its proposal.
pub(super) fn never_began(why: &str) -> ProposalPatch {
    ProposalPatch { act: Some(Act::Fail), reason: Some(why.to_owned()), ..ProposalPatch::default() }
}

/// Why a proposal's tests count as failed.
fn why(run: &Run) -> String {
    match (&run.baseline, &run.stopped) {
        (Some(Baseline::Flaky { what }), _) => {
            format!("its tests were seen both red and green: {}", what.join(", "))
        }
        (Some(Baseline::Infra { reason, advice }), _) => {
            format!("it could not be tested: {reason}. {advice}")
        }
        (_, Some((StopRule::DryRun, ..)) | None) => {
            let held = run.before.iter().filter_map(|outcome| run.held(outcome));
            match held.reduce(|all, one| format!("{all}; {one}")) {
                Some(all) => all,
                None => "its checks did not hold in a fresh workspace".to_owned(),
            }
        }
        (_, Some((_, why, _))) => why.clone(),
    }
}

/// Whether what is red may be repaired by an edit that nobody has tried in vain for good.
fn repairable(run: &Run) -> bool {
    let rule = run.stopped.as_ref().map(|(rule, ..)| *rule);
    run.baseline == Some(Baseline::Red)
        && matches!(
            rule,
            Some(
                StopRule::DryRun
                    | StopRule::LadderExhausted
                    | StopRule::Attempts
                    | StopRule::Budget
                    | StopRule::Day
                    | StopRule::Time
                    | StopRule::SamePatch
                    | StopRule::SameDiagnostics
            )
        )
}

/// What was asked of the proposal that `run` is for, to be asked again, with a repair or without.
///
/// # Errors
/// Where the run is for no proposal, or its events cannot be read.
pub async fn again(store: &Store, run: &str, fix: bool) -> Result<Request> {
    let first = records(store, run, 0).await?.into_iter().next();
    match first.map(|record| record.event) {
        Some(Event::Submitted(mut request)) => {
            let Work::Proposal(asked) = &mut request.work else {
                anyhow::bail!("run {run} is for no proposal")
            };
            asked.fix = fix;
            Ok(*request)
        }
        _ => anyhow::bail!("run {run} was not submitted"),
    }
}

/// Writes down that a proposal is refused whose run is over.
///
/// # Errors
/// Where another process has the run, or the store cannot be written.
pub async fn reject(store: &Store, run: &str, by: &str, why: &str) -> Result<()> {
    let lease = store.acquire(run).await?.ok_or_else(|| Fault::usage("its run is under way"))?;
    let last = store.events(run, 0).await?.last().map_or(0, |event| event.seq);
    let rejected = Event::Rejected { by: by.to_owned(), reason: why.to_owned() };
    let voice = Some(Voice::Refused { by: by.to_owned(), reason: why.to_owned() });
    let follows = Projection { voice, ..Projection::default() };
    let event = NewEvent::new(store.now(), rejected.kind(), serde_json::to_value(&rejected)?).with(follows);
    let last = store.append(Some(&lease), run, last, &event).await?;
    let event = Event::Stopped { rule: StopRule::Rejected, why: why.to_owned(), look_at: Vec::new() };
    let proposal =
        ProposalPatch { act: Some(Act::Reject), reason: Some(why.to_owned()), ..ProposalPatch::default() };
    let projection = Projection { proposal: Some(proposal), ..Projection::default() };
    let event = NewEvent::new(store.now(), event.kind(), serde_json::to_value(&event)?).with(projection);
    store.append(Some(&lease), run, last, &event).await.map(drop)
}
