//! What a person or a script sees of a run while it goes on.

use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::paint::{BAD, CARE, DIM, GOOD, NAME, STRONG, line, paint, say};
use crate::clock::human;
use crate::guards::Weight;
use crate::outcome::{Outcome, Verdict};
use crate::run::Run;
use crate::run::events::{Baseline, Decision, Event, Phase, Record};
use crate::run::journal::Listener;

/// Prints each event as one line of JSON on standard output.
pub struct Lines;

impl Listener for Lines {
    fn heard(&self, record: &Record, _run: &Run) {
        if let Ok(text) = serde_json::to_string(record) {
            let _ = super::paint::out(&text);
        }
    }

    fn murmur(&self, _line: &str) {}
}

/// The attempt tree on standard error: with a spinner, the time, the money and the last line of what runs on a terminal, as plain lines
/// elsewhere.
pub struct Tree {
    bar: Option<ProgressBar>,
    doing: Mutex<String>,
}

impl Tree {
    /// A view that moves if `terminal`.
    pub fn new(terminal: bool) -> Self {
        let bar = terminal.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style =
                ProgressStyle::with_template("{spinner:.cyan} {elapsed:.dim} {prefix} {wide_msg:.dim}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner());
            bar.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { bar, doing: Mutex::new(String::new()) }
    }

    fn print(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }

    fn doing(&self, what: String, run: &Run) {
        let Some(bar) = &self.bar else { return };
        let money = if run.spent.0 > 0 { format!(" {}", run.spent) } else { String::new() };
        bar.set_prefix(format!("{what}{money}"));
        bar.set_message("");
        if let Ok(mut doing) = self.doing.lock() {
            *doing = what;
        }
    }
}

impl Listener for Tree {
    fn heard(&self, record: &Record, run: &Run) {
        match &record.event {
            Event::CheckStarted { phase, check, command, .. } => {
                let what = match phase {
                    Phase::Setup => format!("setting up · {}", line(command, 60)),
                    Phase::Baseline => format!("baseline · {}", shown(check, command)),
                    Phase::Attempt => format!("verifying · {}", shown(check, command)),
                    Phase::Minimise => format!("minimising · {}", shown(check, command)),
                    Phase::Proof => format!("proving · {}", shown(check, command)),
                };
                self.doing(what, run);
            }
            Event::AttemptStarted { fixer, .. } => self.doing(format!("asking {fixer}"), run),
            Event::Finished { .. } => {
                if let Some(bar) = &self.bar {
                    bar.finish_and_clear();
                }
            }
            _ => {}
        }
        if let Some(text) = told(&record.event, run) {
            self.print(&text);
        }
    }

    fn murmur(&self, said: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(line(said, 100));
        }
    }
}

/// One event as a line of the tree; `None` for those that only matter to machines.
pub fn told(event: &Event, run: &Run) -> Option<String> {
    Some(match event {
        // Most of these are red on purpose: they ask what happens without a hunk.
        Event::Checked { phase: Phase::Minimise, .. } => return None,
        Event::Checked { phase, outcome, .. } => {
            let (indent, name) = match phase {
                Phase::Setup => ("├─", "setup   "),
                Phase::Baseline => ("├─", "baseline"),
                Phase::Attempt => ("│  ├─", "verify"),
                Phase::Minimise | Phase::Proof => ("├─", "prove"),
            };
            format!("{} {name}  {}", paint(DIM, indent), verdict(outcome, run))
        }
        Event::Prepared { reused: true, .. } => {
            format!("{} setup     reused from an earlier run", paint(DIM, "├─"))
        }
        Event::Prepared { .. } => return None,
        Event::Baseline(Baseline::Green) => paint(GOOD, "├─ green already"),
        Event::Baseline(Baseline::Red) => return None,
        Event::Baseline(Baseline::Flaky { what }) => {
            paint(CARE, format!("├─ flaky: red, then not: {}", line(&what.join(", "), 120)))
        }
        Event::Baseline(Baseline::Infra { reason, .. }) => {
            paint(CARE, format!("├─ cannot judge: {}", line(reason, 120)))
        }
        // A fixer that asks nobody is told of when it has something to propose.
        Event::AttemptStarted { rung, fixer, .. } if asks(run, *rung) => heading(run, fixer),
        Event::AttemptStarted { .. } => return None,
        Event::Asked { call, .. } => {
            let what = match &call.answer {
                Ok(_) => call.usage.describe(),
                Err(why) => paint(BAD, line(why, 100)),
            };
            let about = if call.usage.estimated { "about " } else { "" };
            let cost = call.cost.map(|cost| format!(", {about}{cost}")).unwrap_or_default();
            let indent = if run.attempts.is_empty() { "├─" } else { "│  ├─" };
            paint(DIM, format!("{indent} {} answered in {}: {what}{cost}", call.model, human(call.duration)))
        }
        Event::Proposed { fixer, patch, .. } => {
            let stat = patch.stat();
            let heading = match run.attempts.last() {
                Some(state) if asks(run, state.rung) => String::new(),
                _ => format!("{}\n", heading(run, fixer)),
            };
            format!(
                "{heading}{} proposes {} {} {}",
                paint(DIM, "│  ├─"),
                files(patch),
                paint(GOOD, format!("+{}", stat.added)),
                paint(BAD, format!("−{}", stat.removed)),
            )
        }
        Event::Guarded { findings, .. } => {
            let lines: Vec<String> = findings
                .iter()
                .map(|finding| {
                    let (style, word) = match finding.weight {
                        Weight::Refuse => (BAD, "refused"),
                        Weight::NeedsApproval => (CARE, "needs approval"),
                    };
                    format!("{} {} {}", paint(DIM, "│  ├─"), paint(style, word), line(&finding.reason, 140))
                })
                .collect();
            lines.join("\n")
        }
        Event::Decided { decision: Decision::Pass, reason, .. }
            if run.attempts.last().is_some_and(|a| !asks(run, a.rung)) =>
        {
            let fixer = run.attempts.last().map_or("", |attempt| attempt.fixer.as_str());
            paint(DIM, format!("├─ {fixer}: {}", line(reason, 140)))
        }
        Event::Decided { decision, reason, .. } => {
            let (style, word) = match decision {
                Decision::Green => (GOOD, "green"),
                Decision::Keep => (GOOD, "kept"),
                Decision::Drop => (BAD, "dropped"),
                Decision::Pass => (DIM, "passed on"),
            };
            format!("{} {}: {}", paint(DIM, "│  └─"), paint(style, word), line(reason, 140))
        }
        Event::Minimised { dropped, of, .. } if *of > 1 => match dropped {
            0 => paint(DIM, format!("├─ minimise: all {of} hunks are needed")),
            _ => format!("{} minimise: {dropped} of {of} hunks were not needed", paint(DIM, "├─")),
        },
        Event::Proven { proof, .. } => {
            let rounds = proof.checks.iter().filter(|one| one.check.name == run.spec.goal.name).count();
            let tests = match (proof.tests_before, proof.tests_after) {
                (Some(before), Some(after)) => format!(", {before} → {after} tests"),
                (None, Some(after)) => format!(", {after} tests"),
                _ => String::new(),
            };
            paint(GOOD, format!("├─ proven in fresh workspaces: goal green {rounds} of {rounds}{tests}"))
        }
        Event::NotProven { reason } => paint(BAD, format!("├─ not proven: {}", line(reason, 140))),
        Event::ApprovalNeeded { reasons } => {
            paint(CARE, format!("├─ waits for approval: {}", line(&reasons.join("; "), 160)))
        }
        Event::Approved { by } => format!("├─ approved by {}", line(by, 60)),
        Event::Moved { files, .. } => paint(
            CARE,
            format!("├─ the tree moved meanwhile ({}); proving again", line(&files.join(", "), 100)),
        ),
        Event::Landed { record: None } => paint(GOOD, "└─ proven; it was to land nowhere"),
        Event::Landed { record: Some(landed) } => {
            paint(GOOD, format!("└─ landed in {}", line(&landed.place(), 160)))
        }
        Event::Recovered { how } => format!("├─ a landing that was cut off: {how}"),
        Event::Allowed { budget, .. } => format!("├─ {budget} allowed for the run"),
        Event::Resumed { why } => format!("├─ taken up again ({why})"),
        Event::SubtaskDone { id, child, .. } => format!("├─ sub-task {id} done (run {})", short(child)),
        Event::Stopped { why, .. } => paint(BAD, format!("└─ stopped: {}", line(why, 200))),
        Event::RolledBack { how } => format!("└─ rolled back: {}", line(how, 160)),
        Event::Started(_)
        | Event::CheckStarted { .. }
        | Event::Minimised { .. }
        | Event::LandingStarted { .. }
        | Event::Planned { .. }
        | Event::Finished { .. } => return None,
    })
}

pub use crate::store::short;

fn asks(run: &Run, rung: usize) -> bool {
    run.spec.ladder.get(rung).is_some_and(|rung| rung.model)
}

/// The heading of the attempt under way. A fixer that had nothing to offer does not count as an attempt for people.
fn heading(run: &Run, fixer: &str) -> String {
    let passed = |attempt: &&crate::run::AttemptState| matches!(attempt.decision, Some((Decision::Pass, _)));
    let number = run.attempts.len() - run.attempts.iter().filter(passed).count();
    format!("{} {}", paint(STRONG, format!("├─ attempt {number}")), paint(NAME, fixer))
}

fn shown(check: &str, command: &str) -> String {
    if check == "goal" { line(command, 60) } else { format!("{check}: {}", line(command, 60)) }
}

fn verdict(outcome: &Outcome, run: &Run) -> String {
    let name = if outcome.check == run.spec.goal.name {
        line(&run.spec.goal.run.display(), 60)
    } else {
        line(&outcome.check, 40)
    };
    let time = paint(DIM, human(outcome.duration));
    let tests = outcome.tests.as_ref().map(|report| {
        let failed =
            report.tests.values().filter(|s| **s == crate::outcome::TestStatus::Failed).count() as u64;
        let failed = failed.max(report.failed);
        if failed == 0 {
            format!(" · {} tests", report.ran())
        } else {
            format!(" · {failed} of {} tests fail", report.ran())
        }
    });
    let tests = tests.unwrap_or_default();
    match &outcome.verdict {
        Verdict::Green => format!("{} {name}{tests} {time}", paint(GOOD, "green")),
        Verdict::Red => {
            let first = outcome
                .diagnostics
                .first()
                .map(|d| format!(" · {}", line(&d.message, 80)))
                .unwrap_or_default();
            format!("{} {name}{tests}{first} {time}", paint(BAD, "red"))
        }
        Verdict::Infra { reason, .. } => {
            format!("{} {name} · {} {time}", paint(CARE, "cannot judge"), line(reason, 100))
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
