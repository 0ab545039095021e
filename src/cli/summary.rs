//! The closing summary: what was wrong, what was changed, how it was proven, what it cost, how to undo it. One screen.

use std::fmt::Write as _;

use super::live::short;
use super::paint::{BAD, CARE, DIM, GOOD, NAME, STRONG, diff, line, paint};
use crate::clock::human;
use crate::fault::Exit;
use crate::outcome::Verdict;
use crate::run::Run;
use crate::run::events::{Baseline, Decision, StopRule};

/// Lines that are shown of an output that no parser could read.
const LAST_WORDS: usize = 8;

/// Lines of an explanation that are shown.
const EXPLAINED: usize = 6;

/// The summary of a finished run.
pub fn summary(run: &Run) -> String {
    let mut text = String::from("\n");
    match run.finished {
        Some(Exit::Green) if run.baseline == Some(Baseline::Green) && run.landed.is_none() => {
            let _ =
                writeln!(text, "{} {} is green already; nothing was changed.", paint(GOOD, "✔"), goal(run));
        }
        Some(Exit::Green) => healed(run, &mut text),
        Some(Exit::Policy) if run.awaits_approval() => waiting(run, &mut text),
        Some(Exit::CannotJudge) if run.stopped.is_none() => cannot_judge(run, &mut text),
        _ => failed(run, &mut text),
    }
    let total = run.last.duration_since(run.began).unsigned_abs();
    let own = total.saturating_sub(run.ran);
    let _ = writeln!(
        text,
        "{}",
        paint(
            DIM,
            format!(
                "  {}: {} in commands of the project, {} in regreen · {} · run {}",
                human(total),
                human(run.ran),
                human(own),
                if run.spent.0 == 0 { "no money spent".to_owned() } else { run.spent.to_string() },
                short(&run.id)
            )
        )
    );
    text
}

fn goal(run: &Run) -> String {
    paint(STRONG, line(&run.spec.goal.run.display(), 80))
}

fn healed(run: &Run, text: &mut String) {
    let _ = writeln!(text, "{} {} is green.", paint(GOOD, "✔"), goal(run));
    if let Some(wrong) = run.before.iter().find_map(|outcome| outcome.diagnostics.first()) {
        let place = match (&wrong.file, &wrong.range) {
            (Some(file), Some(range)) => format!(" ({}:{})", line(file, 80), range.start.line),
            _ => String::new(),
        };
        let _ = writeln!(text, "  {} {}{place}", paint(STRONG, "was wrong"), line(&wrong.message, 120));
    }
    for explanation in explanations(run) {
        let said: Vec<&str> =
            explanation.lines().filter(|line| !line.trim().is_empty()).take(EXPLAINED).collect();
        for (number, said) in said.into_iter().enumerate() {
            let name = if number == 0 { "repair   " } else { "         " };
            let _ = writeln!(text, "  {} {}", paint(STRONG, name), line(said, 160));
        }
    }
    let _ = writeln!(text, "{}", indent(&diff(&run.kept, 40)));
    if let Some(proof) = &run.proof {
        let mut checks: Vec<(&str, bool, usize)> = Vec::new();
        for one in &proof.checks {
            match checks.iter_mut().find(|(name, ..)| *name == one.check.name) {
                Some((.., times)) => *times += 1,
                None => checks.push((&one.check.name, one.green, 1)),
            }
        }
        let told = |(name, green, times): (&str, bool, usize)| match (green, times) {
            (true, 1) => format!("{name} green"),
            (true, _) => format!("{name} green {times}×"),
            (false, _) if unjudged(run, name) => {
                paint(CARE, format!("{name} could not be judged, before or after"))
            }
            (false, _) => paint(CARE, format!("{name} red, as before")),
        };
        let checks: Vec<String> = checks.into_iter().map(told).collect();
        let tests = match (proof.tests_before, proof.tests_after) {
            (Some(before), Some(after)) => format!(" · {before} tests before, {after} after"),
            (None, Some(after)) => format!(" · {after} tests"),
            _ => String::new(),
        };
        let _ = writeln!(
            text,
            "  {} {} in fresh workspaces{tests} · sandbox {}",
            paint(STRONG, "proof    "),
            checks.join(", "),
            proof.sandbox.as_str()
        );
    }
    let _ = writeln!(text, "  {} {}", paint(STRONG, "by       "), paint(NAME, run.credited().join(", ")));
    match &run.landed {
        Some(Some(landed)) => {
            let _ = writeln!(text, "  {} {}", paint(STRONG, "landed   "), line(&landed.place(), 160));
            let _ = writeln!(text, "  {} regreen rollback {}", paint(STRONG, "undo     "), short(&run.id));
        }
        _ => {
            let how = format!("nowhere, as asked; regreen show {} --patch | git apply", short(&run.id));
            let _ = writeln!(text, "  {} {how}", paint(STRONG, "landed   "));
        }
    }
}

/// Whether a check could not be judged at the baseline already.
fn unjudged(run: &Run, check: &str) -> bool {
    run.before
        .iter()
        .any(|outcome| outcome.check == check && matches!(outcome.verdict, Verdict::Infra { .. }))
}

fn waiting(run: &Run, text: &mut String) {
    let _ = writeln!(
        text,
        "{} {} is green with this patch, which waits for a person:",
        paint(CARE, "⏸"),
        goal(run)
    );
    for reason in &run.approval {
        let _ = writeln!(text, "  · {}", line(reason, 160));
    }
    let _ = writeln!(text, "{}", indent(&diff(&run.kept, 40)));
    let id = short(&run.id);
    let _ = writeln!(text, "  regreen approve {id}    lands it\n  regreen reject {id}     drops it");
}

fn cannot_judge(run: &Run, text: &mut String) {
    match &run.baseline {
        Some(Baseline::Flaky { what }) => {
            let _ = writeln!(
                text,
                "{} {} is flaky: it failed and then passed on the same files. Editing code would prove nothing.",
                paint(CARE, "?"),
                goal(run)
            );
            for one in what.iter().take(5) {
                let _ = writeln!(text, "  · {}", line(one, 140));
            }
        }
        Some(Baseline::Infra { reason, advice }) => {
            let _ =
                writeln!(text, "{} {} cannot be judged: {}", paint(CARE, "?"), goal(run), line(reason, 200));
            for said in reason.lines().skip(1) {
                let _ = writeln!(text, "    {}", paint(DIM, line(said, 160)));
            }
            let _ = writeln!(text, "  {} {}", paint(STRONG, "do"), line(advice, 300));
        }
        _ => {}
    }
}

fn failed(run: &Run, text: &mut String) {
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
    let _ = writeln!(text, "{} {} {state} {changed}", paint(BAD, "✘"), goal(run));
    let _ = writeln!(text, "  {} {}", paint(STRONG, "stopped"), line(why, 240));
    if rule == Some(StopRule::Budget) || rule == Some(StopRule::Time) {
        let _ = writeln!(text, "  {} regreen resume {}", paint(STRONG, "go on  "), short(&run.id));
    }
    if run.proof.is_some() {
        let _ = writeln!(text, "  the patch: regreen show {} --patch", short(&run.id));
        return;
    }
    for (number, attempt) in run.attempts.iter().enumerate() {
        let outcome = match &attempt.decision {
            Some((Decision::Keep, reason)) => format!("kept: {reason}"),
            Some((_, reason)) => reason.clone(),
            None => "cut off".into(),
        };
        let _ = writeln!(
            text,
            "  {} {} {}",
            paint(DIM, format!("tried {}", number + 1)),
            paint(NAME, &attempt.fixer),
            line(&outcome, 140)
        );
    }
    let unread = run.before.iter().find(|outcome| {
        !outcome.is_green() && outcome.diagnostics.is_empty() && !outcome.tail.trim().is_empty()
    });
    if let Some(outcome) = unread {
        let _ =
            writeln!(text, "  {}", paint(STRONG, format!("{} printed at last", line(&outcome.check, 40))));
        let lines: Vec<&str> = outcome.tail.lines().filter(|line| !line.trim().is_empty()).collect();
        for said in &lines[lines.len().saturating_sub(LAST_WORDS)..] {
            let _ = writeln!(text, "    {}", paint(DIM, line(said, 160)));
        }
        let _ = writeln!(
            text,
            "    all of it: regreen logs {} --check {}",
            short(&run.id),
            line(&outcome.check, 40)
        );
    }
    if !look_at.is_empty() {
        let _ = writeln!(text, "  {}", paint(STRONG, "look first at"));
        for place in look_at {
            let _ = writeln!(text, "    {}", line(place, 160));
        }
    }
    if !run.kept.is_empty() {
        let _ = writeln!(text, "  part of it is repaired in: regreen show {} --patch", short(&run.id));
    }
}

fn explanations(run: &Run) -> Vec<String> {
    let kept = |attempt: &&crate::run::AttemptState| attempt.worked() && !attempt.explanation.is_empty();
    run.attempts.iter().filter(kept).map(|attempt| attempt.explanation.clone()).collect()
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}
