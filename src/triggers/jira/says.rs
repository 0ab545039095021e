//! What Regreen says in an issue: one comment, kept up to date.

use anyhow::Result;

use super::client::Comment;
use super::rich::{Block, Inline, Item, Style, parse, render};
use crate::landing::Land;
use crate::plan::Plan;
use crate::run::Run;
use crate::run::events::{Decision, StopRule, Trigger};
use crate::run::journal::subtask_runs;
use crate::store::{Store, short};

/// What the comment that is kept up to date ends with, so that it is found again.
const MARK: &str = "Regreen keeps this comment up to date";
/// The most characters of a comment; Jira takes 32,767 of a text.
const MOST: usize = 24_000;
/// The most characters of one reason.
const MOST_REASON: usize = 600;
/// The most attempts of one sub-task that are told of: the last ones.
const MOST_ATTEMPTS: usize = 6;

/// Whether a comment's text is one of Regreen's own.
pub fn is_own(comment: &Comment, me: &str) -> bool {
    comment.author.id == me && comment.body.contains(MARK)
}

/// A comment with its end; one that is too long is cut, and says so.
pub fn closed(mut blocks: Vec<Block>) -> Vec<Block> {
    let mut cut = false;
    while render(&blocks).chars().count() > MOST && blocks.len() > 1 {
        blocks.pop();
        cut = true;
    }
    if cut {
        blocks.push(line("What follows is cut off here; `regreen show` has it whole."));
    }
    blocks.push(Block::Rule);
    blocks.push(Block::Paragraph(vec![styled(MARK, |style| style.emphasis = true)]));
    blocks
}

fn styled(text: &str, with: impl Fn(&mut Style)) -> Inline {
    let mut style = Style::default();
    with(&mut style);
    Inline::Text(text.to_owned(), style)
}

/// A line of ours, which is Markdown.
fn line(markdown: &str) -> Block {
    parse(markdown).into_iter().next().unwrap_or(Block::Rule)
}

fn heading(text: &str) -> Block {
    Block::Heading(3, vec![Inline::plain(text)])
}

/// A stranger's words in one row, cut.
fn words(text: &str) -> Inline {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = text.chars().take(MOST_REASON).collect();
    Inline::plain(if cut.len() < text.len() { format!("{cut}…") } else { cut })
}

fn code(text: &str) -> Inline {
    styled(text, |style| style.code = true)
}

fn bullets(rows: impl IntoIterator<Item = Vec<Inline>>) -> Block {
    let item = |row| Item { done: None, blocks: vec![Block::Paragraph(row)] };
    Block::List { start: None, items: rows.into_iter().map(item).collect() }
}

/// Something is under way.
pub fn under_way(what: &str, run: &str) -> Vec<Block> {
    vec![Block::Paragraph(vec![Inline::plain(format!("{what} Run ")), code(short(run)), Inline::plain(".")])]
}

/// A plan that waits for somebody's word.
pub fn plan(plan: &Plan, selected: &str, approvers: bool) -> Vec<Block> {
    let mut blocks = parse(&plan.to_markdown());
    let by_comment = if approvers { ", or comment `approve`" } else { "" };
    let how = format!(
        "**To approve it**, move this issue to *{selected}*{by_comment}. To have it changed, move it to the status for rework and say in a comment what to do otherwise."
    );
    blocks.insert(0, line(&how));
    blocks
}

/// Questions that only people can answer.
pub fn questions(plan: &Plan) -> Vec<Block> {
    let mut blocks = vec![line(
        "Some questions have to be answered first. **Answer them in a comment**, and the work goes on.",
    )];
    let rows = plan.questions.iter().filter(|question| question.blocking).map(|question| {
        let mut row = vec![styled(&question.question, |style| style.strong = true)];
        if !question.why.is_empty() {
            row.extend([Inline::plain(" "), words(&question.why)]);
        }
        row
    });
    blocks.push(bullets(rows));
    blocks
}

/// The stories that were made of an epic's plan: key, title, whether it is done, what keeps it.
pub fn stories(plan: &Plan, stories: &[(String, String, bool, Option<String>)]) -> Vec<Block> {
    let mut blocks = vec![heading("Stories")];
    let items = stories.iter().map(|(key, title, done, why)| {
        let mut row = vec![styled(key, |style| style.strong = true), Inline::plain(" "), words(title)];
        if let Some(why) = why {
            row.extend([Inline::plain(": "), words(why)]);
        }
        Item { done: Some(*done), blocks: vec![Block::Paragraph(row)] }
    });
    blocks.push(Block::List { start: None, items: items.collect() });
    blocks.extend(parse(&plan.to_markdown()));
    blocks
}

/// What a run has implemented, commit by commit.
pub async fn result(store: &Store, run: &Run) -> Result<Vec<Block>> {
    let mut blocks =
        vec![line("This is **implemented**: each step is one commit, proven in a fresh workspace.")];
    blocks.extend(steps(store, run).await?);
    if let Some(branch) = branch(run) {
        blocks.push(Block::Paragraph(vec![Inline::plain("Branch: "), code(&branch)]));
    }
    let plan = plan_of(run);
    if let Some(plan) = plan.filter(|plan| !plan.assumptions.is_empty()) {
        blocks.push(heading("Assumed"));
        blocks.push(bullets(plan.assumptions.iter().map(|one| vec![words(one)])));
    }
    blocks.extend(cost(run));
    Ok(blocks)
}

/// The branch that a run lands on.
pub fn branch(run: &Run) -> Option<String> {
    run.spec.land.parse::<Land>().ok()?.branch().map(str::to_owned)
}

/// The plan of a run, if it has one that can be read.
pub fn plan_of(run: &Run) -> Option<Plan> {
    run.plan.as_ref().and_then(|plan| serde_json::from_value(plan.clone()).ok())
}

/// The steps of a run's plan, with what became of each.
pub async fn steps(store: &Store, run: &Run) -> Result<Vec<Block>> {
    let Some(plan) = plan_of(run) else { return Ok(Vec::new()) };
    let children = subtask_runs(store, run).await?;
    let mut items = Vec::new();
    for (_, task) in plan.subtasks() {
        let done = run.subtasks.iter().find(|(id, ..)| *id == task.id);
        let mut row = vec![Inline::plain(format!("{} ", task.id)), words(&task.title)];
        if let Some((_, child, commit)) = done {
            if let Some(commit) = commit {
                row.extend([Inline::plain(" · "), code(commit.get(..7).unwrap_or(commit))]);
            }
            let proof = children.iter().find(|one| one.id == *child).and_then(|child| child.proof.as_ref());
            if let Some((was, is)) = proof.and_then(|proof| proof.tests_before.zip(proof.tests_after)) {
                row.push(Inline::plain(format!(" · {was} → {is} tests")));
            }
        }
        items.push(Item { done: Some(done.is_some()), blocks: vec![Block::Paragraph(row)] });
    }
    Ok(match items.is_empty() {
        true => Vec::new(),
        false => vec![Block::List { start: None, items }],
    })
}

fn cost(run: &Run) -> Option<Block> {
    let mut row = vec![Inline::plain("Run "), code(short(&run.id))];
    if run.spent.0 > 0 {
        row.push(Inline::plain(format!(" · {}", run.spent)));
    }
    Some(Block::Paragraph(row))
}

/// A run that waits for people's approval.
pub fn waits(run: &Run) -> Vec<Block> {
    let mut blocks = vec![line("This **waits for an approval** in Regreen.")];
    blocks.push(bullets(run.approval.iter().map(|why| vec![words(why)])));
    blocks.extend(cost(run));
    blocks
}

/// What failed, what was tried, and where to look.
pub async fn failure(store: &Store, run: &Run, what: &str) -> Result<Vec<Block>> {
    let mut blocks = vec![Block::Paragraph(vec![styled(what, |style| style.strong = true)])];
    blocks.push(heading("What failed"));
    let children = subtask_runs(store, run).await?;
    let failed: Vec<&Run> =
        children.iter().filter(|child| !run.subtasks.iter().any(|(_, done, _)| *done == child.id)).collect();
    let mut look_at: Vec<String> = Vec::new();
    match &run.stopped {
        Some((rule, why, places)) => {
            blocks
                .push(Block::Paragraph(vec![Inline::plain(format!("{}: ", rule_words(*rule))), words(why)]));
            look_at.extend(places.iter().cloned());
        }
        None => blocks.push(line("The run ended without saying why.")),
    }
    for diagnostic in
        failed.iter().flat_map(|child| &child.red).flat_map(|outcome| &outcome.diagnostics).take(8)
    {
        let Some(place) = diagnostic.place() else { continue };
        look_at.push(format!("{place} {}", diagnostic.message));
    }
    let mut tried = Vec::new();
    for attempt in std::iter::once(run).chain(failed.iter().copied()).flat_map(|one| &one.attempts) {
        let Some((decision, why)) = &attempt.decision else { continue };
        let became = match decision {
            Decision::Green => "green",
            Decision::Keep => "better, kept",
            Decision::Drop => "dropped",
            Decision::Pass => "nothing to propose",
        };
        let who = attempt.model.as_deref().unwrap_or(&attempt.fixer);
        tried.push(vec![code(who), Inline::plain(format!(" {became}: ")), words(why)]);
    }
    let skip = tried.len().saturating_sub(MOST_ATTEMPTS);
    if !tried.is_empty() {
        blocks.push(heading("What was tried"));
        blocks.push(bullets(tried.into_iter().skip(skip)));
    }
    let done = steps(store, run).await?;
    if !run.subtasks.is_empty() {
        blocks.push(heading("What is done"));
        blocks.extend(done);
        if let Some(branch) = branch(run) {
            blocks.push(Block::Paragraph(vec![
                Inline::plain("On the branch "),
                code(&branch),
                Inline::plain("."),
            ]));
        }
    }
    look_at.push(format!("regreen show {}", short(&run.id)));
    blocks.push(heading("Where to look"));
    blocks.push(bullets(look_at.iter().map(|place| vec![words(place)])));
    blocks.push(line(
        "To have it tried again, say in a comment what to do otherwise and give the issue back to Regreen.",
    ));
    blocks.extend(cost(run));
    Ok(blocks)
}

/// A rule for stopping, for people.
fn rule_words(rule: StopRule) -> &'static str {
    match rule {
        StopRule::LadderExhausted => "Nothing that was tried helped",
        StopRule::Attempts => "All attempts that were allowed are used",
        StopRule::Budget => "The money for this run is used up",
        StopRule::Day => "The money for 24 hours is used up",
        StopRule::Time => "The time for this run is used up",
        StopRule::SamePatch => "The same patch was proposed again",
        StopRule::SameDiagnostics => "The same errors came back",
        StopRule::Unfixable => "A model says that no edit of this repo does it",
        StopRule::Questions => "Questions have to be answered first",
        StopRule::Uncommitted => "Only uncommitted changes are red",
        StopRule::DryRun => "Only the state was to be found out",
        StopRule::Moved => "The code moved meanwhile",
        StopRule::Rejected => "A person refused it",
        StopRule::Denied => "Policy lets nobody land it",
        StopRule::Halted => "Regreen is halted",
        StopRule::Cancelled => "A person cancelled it",
        StopRule::Unfit => "It does not fit",
        StopRule::Fault => "Something broke",
    }
}

/// Whether a run only made a plan.
pub fn only_plans(run: &Run) -> bool {
    matches!(run.spec.trigger, Trigger::Ticket { only_plan: true, .. })
}

/// Whether a comment's first words are an approval.
pub fn is_approval(body: &str) -> bool {
    let first = body.trim_start().lines().next().unwrap_or_default();
    let first: String = first.chars().filter(|c| !matches!(c, '*' | '_' | '\\' | '`')).collect();
    let first = first.trim().trim_end_matches(['.', '!']).to_ascii_lowercase();
    matches!(first.as_str(), "approve" | "approved" | "/approve" | "/regreen approve" | "@regreen approve")
}
