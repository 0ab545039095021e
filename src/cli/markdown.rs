//! A run in Markdown, for a job's summary, a pull request or a chat: what was wrong, what repairs it, and how that was proven.

use std::fmt::Write as _;

use super::live::short;
use super::paint::plain;
use crate::clock::human;
use crate::context::fenced;
use crate::fault::Exit;
use crate::run::Run;
use crate::run::events::Baseline;
use crate::run::postmortem::PostMortem;

/// Lines of the patch that are shown.
const LINES: usize = 300;
/// The longest foreign text within a line, in characters.
const LONGEST: usize = 300;

/// The run as it stands.
pub(super) fn markdown(run: &Run) -> String {
    let mut text = String::new();
    let goal = code(&run.spec.goal.run.display());
    let healed = run.finished == Some(Exit::Green) && run.proof.is_some();
    let (mark, stands) = match (run.finished, &run.baseline) {
        _ if healed => ("✅", "is green with this change"),
        (Some(Exit::Green), _) => ("✅", "is green already; nothing was changed"),
        (Some(Exit::Policy), _) if run.awaits_approval() => {
            ("⏸️", "is green with this change, which waits for people")
        }
        (Some(Exit::CannotJudge), Some(Baseline::Flaky { .. })) => {
            ("⚠️", "is flaky: it was red and green on the same files")
        }
        (Some(Exit::CannotJudge), _) => ("⚠️", "cannot be judged here"),
        (None, _) => ("⏳", "is being worked on"),
        _ => ("❌", "is still red"),
    };
    let _ = writeln!(text, "## {mark} {goal} {stands}\n");
    if let Some(cause) = run.cause() {
        let place = cause.place().map(|place| format!("{}: ", code(&place))).unwrap_or_default();
        let more = run.complaints().saturating_sub(1);
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        let _ = writeln!(text, "**Was wrong:** {place}{}{more}\n", code(&cause.message));
    }
    match &run.baseline {
        Some(Baseline::Flaky { what }) => {
            let _ = writeln!(text, "{}", fenced("text", &plain(&what.join("\n"))));
        }
        Some(Baseline::Infra { reason, advice }) => {
            let _ = writeln!(text, "{}: {}\n", code(reason), code(advice));
        }
        _ => {}
    }
    if let Some((_, why, look_at)) = &run.stopped {
        let _ = writeln!(text, "**Stopped:** {}\n", code(why));
        for place in look_at {
            let _ = writeln!(text, "- {}", code(place));
        }
        text.push('\n');
    }
    let result = run.result();
    if !result.is_empty() {
        let stat = result.stat();
        let by = code(&run.credited().join(", "));
        let landed = match &run.landed {
            Some(Some(record)) => format!(", landed in {}", code(&record.place())),
            _ => String::new(),
        };
        let _ = writeln!(
            text,
            "**The change** by {by}: {} file(s), +{} −{}{landed}\n",
            stat.files, stat.added, stat.removed
        );
        let patch = plain(&result.unified());
        let mut shown: Vec<&str> = patch.lines().take(LINES).collect();
        let left_out = patch.lines().count() - shown.len();
        let rest = format!("… {left_out} more lines: regreen show {} --patch", short(&run.id));
        if left_out > 0 {
            shown.push(&rest);
        }
        let _ = writeln!(text, "{}", fenced("diff", &shown.join("\n")));
    }
    proof(run, &mut text);
    if let Some(learnt) =
        PostMortem::of(run).filter(|_| matches!(run.finished, Some(Exit::Red | Exit::Limit)))
    {
        for (title, lines) in [
            (
                "What each attempt missed",
                learnt.attempts.iter().map(|one| format!("{}: {}", one.fixer, one.missed)).collect(),
            ),
            (
                "What would have helped",
                learnt.lessons.iter().map(|one| one.advice.clone()).collect::<Vec<_>>(),
            ),
        ] {
            if !lines.is_empty() {
                let _ = writeln!(text, "### {title}\n");
                lines.iter().for_each(|line| text += &format!("- {}\n", code(line)));
                text.push('\n');
            }
        }
    }
    let money = if run.spent.0 == 0 { "$0".to_owned() } else { run.spent.to_string() };
    let _ = writeln!(text, "{} · {money} · run `{}`", human(run.took), short(&run.id));
    text
}

/// The table of the proof.
fn proof(run: &Run, text: &mut String) {
    let Some(proof) = &run.proof else { return };
    let _ = writeln!(text, "### Proof\n\n| check | | tests | took | log |\n|---|---|---|---|---|");
    for one in &proof.checks {
        let tests = one.tests.map_or("–".to_owned(), |tests| tests.to_string());
        let log = one.log_digest.get(..12).unwrap_or(&one.log_digest);
        let _ = writeln!(
            text,
            "| {} | {} | {tests} | {} | `{}` |",
            code(&one.check.run.display()).replace('|', "\\|"),
            if one.green { "green" } else { "red as before" },
            human(one.duration),
            plain(log)
        );
    }
    let tests = match (proof.tests_before, proof.tests_after) {
        (Some(before), Some(after)) => format!("; {before} tests ran before, {after} after"),
        _ => String::new(),
    };
    let _ = writeln!(
        text,
        "\nIn a fresh workspace, on the tree `{}` with the patch `{}`{tests}.",
        proof.base.get(..12).unwrap_or(&proof.base),
        proof.patch.get(..12).unwrap_or(&proof.patch)
    );
    if let Some(commit) = run.landed.as_ref().and_then(|landed| landed.as_ref()?.commit()) {
        let _ = writeln!(text, "`regreen verify {}` replays it.", commit.get(..12).unwrap_or(commit));
    }
    text.push('\n');
}

/// Foreign text as code within a line: nothing in it means anything there.
fn code(text: &str) -> String {
    let line = plain(text).split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = line.chars().take(LONGEST).collect();
    let (mut longest, mut run) = (0, 0);
    for c in line.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest + 1);
    match line.as_str() {
        "" => "–".to_owned(),
        line if longest > 0 => format!("{fence} {line} {fence}"),
        line => format!("{fence}{line}{fence}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_code() {
        assert_eq!(code("a `b` ``c"), "``` a `b` ``c ```");
        assert_eq!(code("<img src=x>\n# title"), "`<img src=x> # title`");
        assert_eq!(code(""), "–");
    }
}
