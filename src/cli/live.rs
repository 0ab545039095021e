//! What a person or a script sees of a run while it goes on.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anstyle::Style;
use console::measure_text_width;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, WeakProgressBar};

use super::keys::Unseen;
use super::page::Page;
use super::paint::{BAD, CARE, DIM, GOOD, NAME, STRONG, line, paint, redacted, say};
use crate::clock::human;
use crate::guards::Weight;
use crate::outcome::{Connections, Outcome, TestStatus, Verdict};
use crate::policy::{Assessment, Reason, Risk, Ruling, Terms};
use crate::run::Run;
use crate::run::events::{Baseline, Decision, Event, Phase, Record, Trigger};
use crate::run::journal::Listener;

/// Prints each event as one line of JSON on standard output.
pub struct Lines;

impl Listener for Lines {
    fn heard(&self, record: &Record, _run: &Run) {
        if let Ok(text) = serde_json::to_string(record) {
            super::paint::tell(&text);
        }
    }

    fn murmur(&self, _line: &str) {}
}

/// The attempt tree on standard error: with a spinner, the time, the money and the last line of what runs on a terminal, as plain lines
/// elsewhere.
pub struct Tree {
    bar: Option<ProgressBar>,
    _unseen: Option<Unseen>,
    state: Mutex<State>,
}

/// What the view remembers between two events.
#[derive(Default)]
struct State {
    teller: Teller,
    /// What is being done, with what it has cost so far.
    doing: String,
}

/// The bar that was begun last, if there was one.
static BAR: Mutex<Option<WeakProgressBar>> = Mutex::new(None);

/// Writes a line for people to standard error that belongs to no event, without breaking a view that moves.
pub fn beside(text: &str) {
    let bar = BAR.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(WeakProgressBar::upgrade);
    match bar {
        Some(bar) => bar.suspend(|| say(text)),
        None => say(text),
    }
}

impl Tree {
    /// A view that moves if `terminal`.
    pub fn new(terminal: bool) -> Self {
        let bar = terminal.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // Only the message stands here besides, because it is what is cut to the terminal's width.
            let style = ProgressStyle::with_template("{spinner:.cyan} {elapsed:.dim} {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            bar.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
            bar.enable_steady_tick(Duration::from_millis(120));
            *BAR.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.downgrade());
            bar
        });
        let _unseen = if terminal { Unseen::begin() } else { None };
        Self { bar, _unseen, state: Mutex::default() }
    }

    fn print(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }

    fn doing(&self, state: &mut State, what: &str, run: &Run) {
        let Some(bar) = &self.bar else { return };
        let money = if run.spent.0 > 0 { format!(" · {}", run.spent) } else { String::new() };
        state.doing = redacted(&format!("{what}{money}"));
        bar.set_message(state.doing.clone());
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // A run that is cut off leaves no half a line behind.
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Listener for Tree {
    fn heard(&self, record: &Record, run: &Run) {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match &record.event {
            Event::CheckStarted { phase, check, command, round } => {
                let what = match phase {
                    Phase::Setup => "setting up",
                    Phase::Base => "base",
                    Phase::Baseline if *round > 1 => "confirming",
                    Phase::Baseline => "baseline",
                    Phase::Attempt => "verifying",
                    Phase::Reproduce => "reproducing",
                    Phase::Minimise => "minimising",
                    Phase::Proof => "proving",
                };
                self.doing(&mut state, &format!("{what} · {}", shown(check, command)), run);
            }
            Event::AttemptStarted { fixer, .. } => self.doing(&mut state, &format!("asking {fixer}"), run),
            _ => {}
        }
        // Once a ticket has its plan, the views of its sub-tasks' runs take over.
        let planned = matches!(run.spec.trigger, Trigger::Ticket { .. }) && run.plan.is_some();
        if let Some(bar) = self.bar.as_ref().filter(|_| planned || run.finished.is_some()) {
            bar.finish_and_clear();
        }
        let rows = state.teller.told(&record.event, run);
        if !rows.is_empty() {
            self.print(&lay_out(&rows, "", Page::of_stderr()));
        }
    }

    fn murmur(&self, said: &str) {
        let Some(bar) = &self.bar else { return };
        let state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // The bar does not go through anstream, so the colour is left out here where nobody wants any.
        bar.set_message(format!(
            "{}  {}",
            state.doing,
            console::style(line(said.trim(), 200)).dim().for_stderr()
        ));
    }
}

/// One line of the tree. Where the page is too narrow for it, what it says is broken into more of them, or cut.
#[derive(Debug)]
pub struct Row {
    stem: &'static str,
    /// Painted, and never broken.
    head: String,
    /// What is said behind it: foreign text.
    says: String,
    style: Style,
    cut: bool,
}

const STEP: &str = "├─ ";
const END: &str = "└─ ";
const INNER: &str = "│  ├─ ";
const INNER_END: &str = "│  └─ ";

impl Row {
    fn new(stem: &'static str, head: String) -> Self {
        Self { stem, head, says: String::new(), style: Style::new(), cut: true }
    }

    /// With `text` behind the head, which is broken into lines.
    fn says(mut self, style: Style, text: &str) -> Self {
        (self.style, self.says, self.cut) = (style, line(text, 240), false);
        self
    }

    /// With `text` behind the head, which is cut where the page ends.
    fn shows(mut self, style: Style, text: &str) -> Self {
        (self.style, self.says) = (style, line(text, 120));
        self
    }

    /// Its lines behind `lead` columns.
    fn lines(&self, lead: usize, page: Page, to: &mut Vec<String>) {
        let start = format!("{}{}", paint(DIM, self.stem), self.head);
        if self.cut {
            to.push(match self.says.is_empty() {
                true => start,
                false => format!("{start}{}", paint(self.style, &self.says)),
            });
            return;
        }
        let below = match self.stem {
            STEP => "│    ",
            INNER => "│  │    ",
            INNER_END => "│       ",
            _ => "     ",
        };
        let first = lead + measure_text_width(&start);
        let broken = page.wrap(&self.says, first, lead + measure_text_width(below));
        for (number, part) in broken.into_iter().enumerate() {
            let part = paint(self.style, part);
            to.push(if number == 0 {
                format!("{start}{part}")
            } else {
                format!("{}{part}", paint(DIM, below))
            });
        }
    }
}

/// Rows as text for `page`, the first line behind `lead` and the others behind as much space.
pub fn lay_out(rows: &[Row], lead: &str, page: Page) -> String {
    let width = measure_text_width(lead);
    let mut lines = Vec::new();
    for row in rows {
        row.lines(width, page, &mut lines);
    }
    let space = " ".repeat(width);
    let lead = |number: usize| if number == 0 { lead } else { space.as_str() };
    let lines = lines.iter().enumerate().map(|(number, line)| page.fit(&format!("{}{line}", lead(number))));
    lines.collect::<Vec<_>>().join("\n")
}

/// How risky a patch is, and why.
fn assessed(assessment: &Assessment, terms: &Terms) -> Vec<Row> {
    let style = match assessment.risk {
        Risk::Green => DIM,
        Risk::Yellow => CARE,
        Risk::Red => BAD,
    };
    let ruling = match terms.ruling {
        Ruling::Auto => String::new(),
        Ruling::Approve => format!("; {} asks for an approval", terms.environment.as_str()),
        Ruling::Deny => format!("; {} denies it", terms.environment.as_str()),
    };
    let mut rows =
        vec![Row::new(STEP, paint(style, format!("risk      {}{ruling}", assessment.risk.as_str())))];
    let reason = |reason: &Reason| Row::new(INNER, String::new()).says(DIM, &reason.told());
    rows.extend(assessment.reasons.iter().take(REASONS).map(reason));
    if let Some(more @ 1..) = assessment.reasons.len().checked_sub(REASONS) {
        rows.push(Row::new(INNER, paint(DIM, format!("and {more} more"))));
    }
    rows
}

/// Reasons of a risk that are told at most.
const REASONS: usize = 6;

/// Tells a run's events as rows of the tree. It has to hear all of them, in their order.
#[derive(Debug, Default)]
pub struct Teller {
    /// What each check that was red at the baseline complained about first.
    red: BTreeMap<String, String>,
}

impl Teller {
    /// One event as rows of the tree; none for those that only matter to machines.
    pub fn told(&mut self, event: &Event, run: &Run) -> Vec<Row> {
        match event {
            // Most of these are red on purpose: they ask what happens without a hunk.
            Event::Checked { phase: Phase::Minimise, .. } => vec![],
            Event::Checked { phase: Phase::Baseline, outcome, round } => {
                let row = self.baseline(outcome, *round, run);
                std::iter::once(row).chain(reached(STEP, outcome)).collect()
            }
            Event::Checked { phase, outcome, .. } => {
                let (stem, name) = match phase {
                    Phase::Setup => (STEP, "setup    "),
                    Phase::Base => (STEP, "base     "),
                    Phase::Attempt => (INNER, "verify "),
                    Phase::Reproduce => (INNER, "reproduce "),
                    Phase::Baseline | Phase::Minimise | Phase::Proof => (STEP, "prove    "),
                };
                std::iter::once(verdict(stem, name, outcome, run)).chain(reached(stem, outcome)).collect()
            }
            Event::Prepared { reused, .. } => {
                let told = reused.then(|| Row::new(STEP, "setup     reused from an earlier run".into()));
                told.into_iter().collect()
            }
            Event::Assessed { assessment, terms, .. } => assessed(assessment, terms),
            Event::Guarded { findings, .. } => findings
                .iter()
                .map(|finding| {
                    let (style, word) = match finding.weight {
                        Weight::Refuse => (BAD, "refused "),
                        Weight::NeedsApproval => (CARE, "needs approval "),
                    };
                    Row::new(INNER, paint(style, word)).says(Style::new(), &finding.reason)
                })
                .collect(),
            Event::Proposed { fixer, patch, .. } => {
                let asked = run.attempts.last().is_some_and(|state| asks(run, state.rung));
                let stat = patch.stat();
                let (more, less) =
                    (paint(GOOD, format!("+{}", stat.added)), paint(BAD, format!("−{}", stat.removed)));
                let proposes =
                    Row::new(INNER, format!("proposes {more} {less} ")).shows(Style::new(), &files(patch));
                if asked { vec![proposes] } else { vec![heading(run, fixer), proposes] }
            }
            _ => step(event, run).into_iter().collect(),
        }
    }

    /// An execution at the baseline. From the second round on it confirms the first.
    fn baseline(&mut self, outcome: &Outcome, round: u32, run: &Run) -> Row {
        let complaint = (outcome.verdict == Verdict::Red)
            .then(|| outcome.diagnostics.first().map(|d| d.message.clone()).unwrap_or_default());
        if round > 1 {
            let row = verdict(STEP, "confirm  ", outcome, run);
            let same = complaint.is_some() && self.red.get(&outcome.check) == complaint.as_ref();
            return if same && !row.says.is_empty() { row.shows(Style::new(), " · the same") } else { row };
        }
        match complaint {
            Some(complaint) => self.red.insert(outcome.check.clone(), complaint),
            None => self.red.remove(&outcome.check),
        };
        verdict(STEP, "baseline ", outcome, run)
    }
}

/// What a command reached of the network, and what it was refused.
fn reached(stem: &'static str, outcome: &Outcome) -> Vec<Row> {
    let (refused, served): (Vec<_>, Vec<_>) =
        outcome.connections.iter().partition(|connections| connections.refused.is_some());
    let told = |style, word: &str, which: Vec<&Connections>| {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for one in which {
            *counts.entry(&one.target).or_default() += one.count;
        }
        let places: Vec<String> =
            counts.iter().map(|(target, count)| format!("{target} ({count})")).collect();
        let row = || Row::new(stem, paint(style, word)).says(style, &places.join(", "));
        (!places.is_empty()).then(row)
    };
    [told(DIM, "connected to ", served), told(CARE, "not connected to ", refused)]
        .into_iter()
        .flatten()
        .collect()
}

/// An event that is one row at most.
fn step(event: &Event, run: &Run) -> Option<Row> {
    let said = |stem, style, word: &str, text: &str| Row::new(stem, paint(style, word)).says(style, text);
    Some(match event {
        Event::Started(spec) => match &spec.trigger {
            Trigger::Heal => {
                let head = format!("{} {}", paint(STRONG, "run"), paint(STRONG, short(&run.id)));
                Row::new("", head).shows(Style::new(), &format!(" · {}", spec.goal.run.display()))
            }
            Trigger::Ticket { title, .. }
            | Trigger::Proposal { title, .. }
            | Trigger::Incident { title, .. } => {
                let head = format!("{} {}", paint(STRONG, "run"), paint(STRONG, short(&run.id)));
                Row::new("", head).shows(Style::new(), &format!(" · {title}"))
            }
            Trigger::Subtask { .. } => return None,
        },
        Event::Baseline(Baseline::Green) if run.is_feature() => {
            said(STEP, DIM, "green: ", "what is to be shown is not shown yet")
        }
        Event::Baseline(Baseline::Green) => Row::new(STEP, paint(GOOD, "green already")),
        Event::Baseline(Baseline::Flaky { what }) => said(
            STEP,
            CARE,
            "flaky: ",
            &match what.as_slice() {
                [] => "red, then green on the same files".to_owned(),
                what => format!("red, then not: {}", what.join(", ")),
            },
        ),
        Event::Baseline(Baseline::Infra { reason, .. }) => said(STEP, CARE, "cannot judge: ", reason),
        // A fixer that asks nobody is told of when it has something to propose.
        Event::AttemptStarted { rung, fixer, .. } if asks(run, *rung) => heading(run, fixer),
        Event::Asked { call, .. } => {
            let stem = if run.attempts.is_empty() { STEP } else { INNER };
            let head =
                paint(DIM, format!("{} answered in {}: ", line(&call.model, 40), human(call.duration)));
            let about = if call.usage.estimated { "about " } else { "" };
            let cost = call.cost.map(|cost| format!(", {about}{cost}")).unwrap_or_default();
            match &call.answer {
                Ok(_) => Row::new(stem, head).says(DIM, &format!("{}{cost}", call.usage.describe())),
                Err(why) => {
                    let head = paint(DIM, format!("{} did not answer: ", line(&call.model, 40)));
                    Row::new(stem, head).says(BAD, &format!("{}{cost}", line(why, 160)))
                }
            }
        }
        Event::Decided { decision: Decision::Pass, reason, .. }
            if run.attempts.last().is_some_and(|a| !asks(run, a.rung)) =>
        {
            let fixer = run.attempts.last().map_or("", |attempt| attempt.fixer.as_str());
            said(STEP, DIM, &format!("{fixer}: "), reason)
        }
        Event::Decided { decision, reason, .. } => {
            let (style, word) = match decision {
                Decision::Green => (GOOD, "green"),
                Decision::Keep => (GOOD, "kept"),
                Decision::Drop => (BAD, "dropped"),
                Decision::Pass => (DIM, "passed on"),
            };
            Row::new(INNER_END, format!("{}: ", paint(style, word))).says(Style::new(), reason)
        }
        Event::Minimised { dropped, of, .. } if *of > 1 => match dropped {
            0 => said(STEP, DIM, "minimise  ", &format!("all {of} hunks are needed")),
            _ => said(STEP, DIM, "minimise  ", &format!("{dropped} of {of} hunks were not needed")),
        },
        Event::Proven { proof, .. } => {
            let rounds = proof.checks.iter().filter(|one| one.check.name == run.spec.goal.name).count();
            let what = if run.proposed().is_some() { "no worse than on the base" } else { "green" };
            said(STEP, GOOD, "proven: ", &format!("{what} {rounds} of {rounds} times in fresh workspaces"))
        }
        Event::NotProven { reason } => said(STEP, BAD, "not proven: ", reason),
        Event::ApprovalNeeded { reasons, .. } => {
            said(STEP, CARE, "waits for approval: ", &reasons.join("; "))
        }
        Event::Approved { by, .. } => said(STEP, GOOD, "approved by ", by),
        Event::Rejected { by, .. } => said(STEP, BAD, "rejected by ", by),
        Event::Halted { by, reason } => said(STEP, BAD, &format!("halted by {}: ", line(by, 60)), reason),
        Event::Chosen { by, candidate } => said(
            STEP,
            CARE,
            &format!("candidate {candidate} chosen by "),
            &format!("{by}; it is proven first"),
        ),
        Event::Moved { files, .. } => said(
            STEP,
            CARE,
            "the tree moved meanwhile: ",
            &format!("{}; proving again", line(&files.join(", "), 160)),
        ),
        Event::Landed { record: None } => Row::new(END, paint(GOOD, "proven; it was to land nowhere")),
        Event::Landed { record: Some(landed) } => said(END, GOOD, "landed in ", &landed.place()),
        Event::Published { publication } => said(END, GOOD, "pushed: ", &publication.told()),
        Event::Recovered { how } => said(STEP, Style::new(), "a landing that was cut off: ", how),
        // A sub-task's limits are the ticket's, which are told of there.
        Event::Allowed { .. } if run.is_feature() => return None,
        Event::Allowed { budget, .. } => Row::new(STEP, format!("{budget} allowed for the run")),
        Event::Resumed { why } => said(STEP, Style::new(), "taken up again: ", why),
        Event::SubtaskDone { id, child, .. } => {
            Row::new(STEP, paint(GOOD, format!("sub-task {} done", line(id, 20))))
                .shows(DIM, &format!(" · run {}", short(child)))
        }
        Event::Warned { what, .. } => said(STEP, CARE, "warning: ", what),
        Event::Stopped { why, .. } => said(END, BAD, "stopped: ", why),
        Event::RolledBack { how } => said(END, Style::new(), "rolled back: ", how),
        _ => return None,
    })
}

pub use crate::store::short;

fn asks(run: &Run, rung: usize) -> bool {
    run.spec.ladder.get(rung).is_some_and(|rung| rung.model)
}

/// The heading of the attempt under way. A fixer that had nothing to offer does not count as an attempt for people.
fn heading(run: &Run, fixer: &str) -> Row {
    let passed = |attempt: &&crate::run::AttemptState| matches!(attempt.decision, Some((Decision::Pass, _)));
    let number = run.attempts.len() - run.attempts.iter().filter(passed).count();
    let head = format!("{} {}", paint(STRONG, format!("attempt {number}")), paint(NAME, line(fixer, 60)));
    Row::new(STEP, head)
}

fn shown(check: &str, command: &str) -> String {
    if check == "goal" { line(command, 60) } else { format!("{check}: {}", line(command, 60)) }
}

/// So many tests, in words.
pub fn tests(count: u64) -> String {
    if count == 1 { "1 test".to_owned() } else { format!("{count} tests") }
}

/// How a check went.
fn verdict(stem: &'static str, name: &str, outcome: &Outcome, run: &Run) -> Row {
    let check = if outcome.check == run.spec.goal.name {
        line(&run.spec.goal.run.display(), 36)
    } else {
        line(&outcome.check, 36)
    };
    // Right-aligned, so that the eye finds it; first, because what comes last may be cut.
    let time = paint(DIM, format!("{:>6}", human(outcome.duration)));
    let root = format!("{}/", run.spec.root.to_string_lossy());
    let counted = outcome.tests.as_ref().map(|report| {
        let failed = report.tests.values().filter(|s| **s == TestStatus::Failed).count() as u64;
        match failed.max(report.failed) {
            0 => format!(" · {}", tests(report.ran())),
            failed => format!(" · {failed} of {} fail", tests(report.ran())),
        }
    });
    let counted = counted.unwrap_or_default();
    let row = |style, word| Row::new(stem, format!("{name} {} {time} {check}{counted}", paint(style, word)));
    match &outcome.verdict {
        Verdict::Green => row(GOOD, "green"),
        Verdict::Red => match outcome.diagnostics.first() {
            Some(first) => row(BAD, "red  ")
                .shows(Style::new(), &format!(" · {}", line(&first.message.replace(&root, ""), 120))),
            None => row(BAD, "red  "),
        },
        Verdict::Infra { reason, .. } => {
            row(CARE, "cannot judge").says(Style::new(), &format!(" · {}", line(reason, 200)))
        }
    }
}

fn files(patch: &crate::patch::Patch) -> String {
    let names: Vec<String> = patch.iter().take(3).map(|(path, _)| line(path.as_str(), 60)).collect();
    match patch.len() {
        0..=3 => names.join(", "),
        more => format!("{} and {} more", names.join(", "), more - 3),
    }
}
