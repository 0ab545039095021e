//! The closing summary: what was wrong, what was changed, how it was proven, what it cost, how to undo it. One screen.

use std::fmt::Write as _;

use anstyle::Style;

use super::live::{short, tests};
use super::page::Page;
use super::paint::{BAD, CARE, DIM, GOOD, NAME, STRONG, diff, line, paint};
use crate::clock::human;
use crate::fault::Exit;
use crate::outcome::Verdict;
use crate::policy::Risk;
use crate::run::events::{Baseline, Decision, StopRule, Trigger};
use crate::run::{AttemptState, Run};
use crate::usage::Money;

/// Lines that are shown of an output that no parser could read.
const LAST_WORDS: usize = 8;

/// Lines of an explanation that are shown.
const EXPLAINED: usize = 6;

/// The columns before what a field says.
const LABEL: usize = 12;

/// Lines of the page that are not the diff's.
const BESIDE_DIFF: usize = 12;

/// Reasons of a risk that are shown.
const RISKS: usize = 3;

/// What is told of the attempts that came to nothing, at most.
const TRIED: usize = 8;

/// The summary of a finished run.
pub fn summary(run: &Run, page: Page) -> String {
    let root = format!("{}/", run.spec.root.to_string_lossy());
    let mut said = Said { text: String::from("\n"), page, root };
    match run.finished {
        Some(Exit::Green) if run.baseline == Some(Baseline::Green) && run.landed.is_none() => {
            said.heading(GOOD, "✔", run, "is green already; nothing was changed.");
        }
        Some(Exit::Green) => healed(run, &mut said),
        Some(Exit::Policy) if run.awaits_approval() => waiting(run, &mut said),
        Some(Exit::CannotJudge) if run.stopped.is_none() => cannot_judge(run, &mut said),
        _ => failed(run, &mut said),
    }
    for (what, advice) in &run.warnings {
        said.field("warning", CARE, what);
        said.command("do", &line(advice, 400));
    }
    let own = run.took.saturating_sub(run.ran);
    let money = if run.spent.0 == 0 { "$0".to_owned() } else { run.spent.to_string() };
    let time = format!(
        "{}: {} in commands of the project, {} in regreen · {money} · run {}",
        human(run.took),
        human(run.ran),
        human(own),
        short(&run.id)
    );
    for part in page.wrap(&time, 2, 2) {
        said.line(&format!("  {}", paint(DIM, part)));
    }
    said.text
}

/// A summary as it grows.
struct Said {
    text: String,
    page: Page,
    /// What paths in the repo begin with where a tool names them in full.
    root: String,
}

impl Said {
    fn line(&mut self, painted: &str) {
        let _ = writeln!(self.text, "{}", painted.trim_end());
    }

    /// The first line: how the goal stands.
    fn heading(&mut self, style: Style, mark: &str, run: &Run, stands: &str) {
        let goal = line(&run.spec.goal.run.display(), 80);
        let words = self.page.wrap(&format!("{goal} {stands}"), 2, 2);
        for (number, part) in words.iter().enumerate() {
            let mark = if number == 0 { paint(style, mark) } else { " ".to_owned() };
            let part = match part.strip_prefix(&goal) {
                Some(rest) => format!("{}{rest}", paint(STRONG, &goal)),
                None => part.clone(),
            };
            self.line(&format!("{mark} {part}"));
        }
    }

    /// A labelled field: foreign text, broken into lines that stand below each other.
    fn field(&mut self, label: &str, style: Style, text: &str) {
        let text = text.replace(&self.root, "");
        for (number, part) in self.page.wrap(&line(&text, 320), LABEL, LABEL).into_iter().enumerate() {
            let label = if number == 0 { label } else { "" };
            self.line(&format!("  {} {}", paint(STRONG, format!("{label:9}")), paint(style, part)));
        }
    }

    /// A labelled command, which stays in one line so that it can be copied.
    fn command(&mut self, label: &str, command: &str) {
        self.line(&format!("  {} {command}", paint(STRONG, format!("{label:9}"))));
    }

    /// The diff, as much of it as leaves the page to the rest.
    fn diff(&mut self, run: &Run) {
        let all = format!("regreen show {} --patch", short(&run.id));
        for shown in diff(&run.result(), self.page.lines(40, BESIDE_DIFF), &all).lines() {
            let shown = self.page.fit(&format!("    {shown}"));
            self.line(&shown);
        }
    }
}

fn healed(run: &Run, said: &mut Said) {
    said.heading(GOOD, "✔", run, "is green.");
    if let Some(wrong) = run.cause() {
        said.field("was wrong", Style::new(), &wrong.message);
        if let Some(place) = wrong.place() {
            let more = match run.complaints() {
                0 | 1 => String::new(),
                all => format!(" (the first of {all} complaints)"),
            };
            said.field("", DIM, &format!("{place}{more}"));
        }
    }
    let kept = |attempt: &&AttemptState| attempt.worked() && !attempt.explanation.is_empty();
    let mut explained = 0;
    for attempt in run.attempts.iter().filter(kept) {
        let words = attempt.explanation.lines().filter(|one| !one.trim().is_empty());
        for one in words.take(EXPLAINED) {
            said.field(if explained == 0 { "repair" } else { "" }, Style::new(), one);
            explained += 1;
        }
    }
    said.diff(run);
    if let Some(proof) = &run.proof {
        said.field("proof", Style::new(), &proven(run, proof));
        let mut told = std::collections::BTreeSet::new();
        for one in proof.checks.iter().filter(|one| !one.green && told.insert(&one.check.name)) {
            let name = line(&one.check.name, 40);
            let how = if unjudged(run, &one.check.name) {
                format!("{name} could not be judged, before or after")
            } else {
                format!("{name} is red, as it was before")
            };
            said.field("", CARE, &how);
        }
    }
    if let Some((assessment, _)) = run.assessed.as_ref().filter(|(found, _)| found.risk > Risk::Green) {
        for (number, reason) in assessment.told().iter().take(RISKS).enumerate() {
            said.field(if number == 0 { "risk" } else { "" }, CARE, reason);
        }
    }
    said.field("by", NAME, &run.credited().join(", "));
    match &run.landed {
        Some(Some(landed)) => {
            said.field("landed", Style::new(), &landed.place());
            if let Some(published) = &run.published {
                said.field("pushed", Style::new(), &published.told());
            }
            match &run.rolled_back {
                Some(how) => said.field("taken back", CARE, how),
                None => said.command("undo", &format!("regreen rollback {}", short(&run.id))),
            }
        }
        _ => {
            said.field("landed", Style::new(), "nowhere, as asked");
            said.command("take it", &format!("regreen show {} --patch | git apply", short(&run.id)));
        }
    }
}

/// How it was proven, in one sentence.
fn proven(run: &Run, proof: &crate::run::events::Proof) -> String {
    let goal = &run.spec.goal.name;
    let rounds = proof.checks.iter().filter(|one| one.check.name == *goal).count();
    let mut others: Vec<String> = Vec::new();
    for one in proof.checks.iter().filter(|one| one.green && one.check.name != *goal) {
        let name = line(&one.check.name, 40);
        if !others.contains(&name) {
            others.push(name);
        }
    }
    let others = if others.is_empty() { String::new() } else { format!(", and so is {}", others.join(", ")) };
    let tests = match (proof.tests_before, proof.tests_after) {
        (Some(before), Some(after)) if before != after => {
            format!(" · {} before, {after} after", tests(before))
        }
        (_, Some(after)) => format!(" · {}", tests(after)),
        _ => String::new(),
    };
    let times = if rounds == 1 { "once".to_owned() } else { format!("{rounds} times") };
    if run.proposed().is_some() {
        let sandbox = proof.sandbox.as_str();
        return format!(
            "{times} in fresh workspaces no check was worse than on the base{tests} · sandbox {sandbox}"
        );
    }
    format!("green {times} in fresh workspaces{others}{tests} · sandbox {}", proof.sandbox.as_str())
}

/// Whether a check could not be judged at the baseline already.
fn unjudged(run: &Run, check: &str) -> bool {
    run.before
        .iter()
        .any(|outcome| outcome.check == check && matches!(outcome.verdict, Verdict::Infra { .. }))
}

fn waiting(run: &Run, said: &mut Said) {
    said.heading(CARE, "⏸", run, "is green with this patch, which waits for a person:");
    for reason in &run.approval {
        said.field("because", Style::new(), reason);
    }
    said.diff(run);
    let id = short(&run.id);
    if let Some(question) = &run.question {
        if question.people > 1 {
            let (have, needed) = (run.supporters().len(), question.people);
            said.field("people", Style::new(), &format!("{have} of {needed} agreed"));
        }
        if let Some(except) = &question.except {
            said.field("who", Style::new(), &format!("not {except}, who asked for it"));
        }
        said.field("until", Style::new(), &question.expires.strftime("%Y-%m-%d %H:%M UTC").to_string());
    }
    match &run.spec.trigger {
        Trigger::Proposal { id, .. } => {
            said.command("agree", &format!("regreen proposal approve {}", short(id)));
        }
        _ => said.command("land it", &format!("regreen approve {id}")),
    }
    said.command("drop it", &format!("regreen reject {id}"));
}

fn cannot_judge(run: &Run, said: &mut Said) {
    match &run.baseline {
        Some(Baseline::Flaky { what }) => {
            let stands =
                "is flaky: it failed and then passed on the same files. Editing code would prove nothing.";
            said.heading(CARE, "?", run, stands);
            for (number, one) in what.iter().take(5).enumerate() {
                said.field(if number == 0 { "failed" } else { "" }, Style::new(), one);
            }
        }
        Some(Baseline::Infra { reason, advice }) => {
            said.heading(CARE, "?", run, "cannot be judged. Nothing was changed.");
            said.field("because", Style::new(), reason);
            for more in reason.lines().skip(1).take(LAST_WORDS) {
                said.field("", DIM, more);
            }
            said.field("do", Style::new(), advice);
        }
        _ => {}
    }
}

fn failed(run: &Run, said: &mut Said) {
    let (rule, why, look_at) = match &run.stopped {
        Some((rule, why, look_at)) => (Some(*rule), why.as_str(), look_at.as_slice()),
        None => (None, "it ended early", [].as_slice()),
    };
    let open = run.landing.is_some() && run.landed.is_none();
    let changed = if open {
        "A landing was cut off; the next start of regreen settles it."
    } else {
        "Nothing was changed."
    };
    let state = match (&run.baseline, &run.proof) {
        (None, _) => "was not judged.",
        (Some(_), Some(_)) => "is green with a patch that is proven and could not land.",
        (Some(_), None) => "is still red.",
    };
    let id = short(&run.id);
    said.heading(BAD, "✘", run, &format!("{state} {changed}"));
    said.field("stopped", Style::new(), why);
    if run.proof.is_some() {
        said.command("the patch", &format!("regreen show {id} --patch"));
        go_on(run, rule, said);
        return;
    }
    tried(run, said);
    let unread = run.before.iter().find(|outcome| {
        !outcome.is_green() && outcome.diagnostics.is_empty() && !outcome.tail.trim().is_empty()
    });
    if let Some(outcome) = unread {
        let lines: Vec<&str> = outcome.tail.lines().filter(|line| !line.trim().is_empty()).collect();
        said.line(&format!("  {}", paint(STRONG, "it printed at last")));
        for last in &lines[lines.len().saturating_sub(LAST_WORDS)..] {
            let last = said.page.fit(&format!("    {}", paint(DIM, line(last, 200))));
            said.line(&last);
        }
    }
    if !look_at.is_empty() && unread.is_none() {
        said.line(&format!("  {}", paint(STRONG, "look first at")));
        for place in look_at {
            for (number, part) in
                said.page.wrap(&line(&place.replace(&said.root, ""), 240), 4, 8).into_iter().enumerate()
            {
                said.line(&format!("{:width$}{part}", "", width = if number == 0 { 4 } else { 8 }));
            }
        }
    }
    if let Some(outcome) = run.before.iter().find(|outcome| !outcome.is_green()) {
        said.command("output", &format!("regreen logs {id} --check {}", line(&outcome.check, 40)));
    }
    if !run.result().is_empty() {
        said.command("part of it", &format!("regreen show {id} --patch"));
    }
    go_on(run, rule, said);
}

/// What a person can do next, where Regreen knows it.
fn go_on(run: &Run, rule: Option<StopRule>, said: &mut Said) {
    if let Some(command) = resume(run) {
        said.command("go on", &command);
    }
    match rule {
        Some(StopRule::LadderExhausted) if !run.spec.ladder.iter().any(|rung| rung.model) => said.field(
            "or",
            Style::new(),
            "let a model try, with ANTHROPIC_API_KEY or OPENAI_API_KEY set or a local one configured",
        ),
        Some(StopRule::Denied) => {
            let environment = run.assessed.as_ref().map_or("local", |(_, terms)| terms.environment.as_str());
            let advice = format!(
                "apply the patch yourself once you have looked at it, or let [governance.{environment}] say approve and begin a new run"
            );
            said.field("do", Style::new(), &advice);
        }
        _ => {}
    }
}

/// The command that goes on with a run that a limit stopped.
pub(super) fn resume(run: &Run) -> Option<String> {
    let id = short(&run.id);
    match run.stopped.as_ref()?.0 {
        StopRule::Budget => {
            // Twice nothing, or next to it, is too little to ask any model with.
            let twice = run.spec.budget + run.spec.budget;
            let least = Money::from_usd(0.01);
            let more = [twice, run.spec.configured].into_iter().find(|money| *money >= least);
            let more = more.unwrap_or(Money::from_usd(1.0));
            Some(format!("regreen resume {id} --budget {:.2}", more.usd()))
        }
        StopRule::Day | StopRule::Time | StopRule::Attempts | StopRule::Halted => {
            Some(format!("regreen resume {id}"))
        }
        _ => None,
    }
}

/// What was tried, and what came of it.
fn tried(run: &Run, said: &mut Said) {
    let left_out = run.attempts.len().saturating_sub(TRIED);
    for (number, attempt) in run.attempts.iter().skip(left_out).enumerate() {
        let outcome = match &attempt.decision {
            Some((Decision::Keep, reason)) => format!("kept: {reason}"),
            Some((_, reason)) => reason.clone(),
            None => "cut off".into(),
        };
        let label = if number == 0 { "tried" } else { "" };
        said.field(label, Style::new(), &format!("{}: {}", attempt.fixer, line(&outcome, 200)));
    }
    if left_out > 0 {
        said.command("", &format!("{left_out} more: regreen show {}", short(&run.id)));
    }
}
