//! What a run came to, as Markdown for a forge or a tracker.
//!
//! Whatever a model, a tool or a repo said is shown in code: nothing in it calls anybody, links anywhere or closes anything.

use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;

use super::events::{Baseline, Decision, Proof, Proven, StopRule, Trigger};
use super::{AttemptState, Run};
use crate::clock::human;
use crate::fault::Exit;
use crate::plain::plain;
use crate::policy::Risk;
use crate::store::short;

/// Characters that are shown of one text.
const LONGEST: usize = 4000;
/// Places that a person is pointed to, and attempts that are told of.
const MOST: usize = 8;

/// The text of a pull request with what `run` landed; for a ticket, with what the runs of its sub-tasks did.
pub fn of_request(run: &Run, parts: &[Run], complete: bool) -> String {
    let mut text = String::new();
    match &run.spec.trigger {
        Trigger::Ticket { title, source, .. } => {
            text += &format!("Implements {} ({}).\n\n", inline(title), inline(source));
        }
        Trigger::Proposal { title, .. } => text += &format!("Proposed: {}.\n\n", inline(title)),
        Trigger::Incident { title, .. } => text += &format!("Repairs the crash {}.\n\n", inline(title)),
        Trigger::Heal | Trigger::Subtask { .. } => {
            text += &format!("Makes {} green.\n\n", inline(&run.spec.goal.run.display()));
        }
    }
    if parts.is_empty() {
        text += &story(run);
        if let Some(proof) = &run.proof {
            text += &proof_of(proof);
        }
    }
    for part in parts {
        let title = match &part.spec.trigger {
            Trigger::Subtask { id, title, .. } => format!("{id} · {}", inline(title)),
            _ => inline(&part.spec.goal.run.display()),
        };
        text += &format!("### {title}\n\n{}", story(part));
        if let Some(proof) = &part.proof {
            text += &proof_of(proof);
        }
    }
    let all = || std::iter::once(run).chain(parts);
    let proven = all().any(|run| run.proof.is_some());
    let risk = all().filter_map(|run| run.assessed.as_ref()).map(|(assessed, _)| assessed.risk).max();
    let approved: Vec<&str> = all().flat_map(|run| &run.agreed).map(|(who, _)| who.as_str()).collect();
    let mark = |done: bool| if done { "x" } else { " " };
    text += "### Checklist\n\n";
    text +=
        &format!("- [{}] proven in a fresh workspace, the checks above run on exactly this\n", mark(proven));
    text += &format!("- [{}] nothing more is to come\n", mark(complete));
    if let Some(risk) = risk {
        let who = match approved.as_slice() {
            [] if risk == Risk::Green => "nobody had to look at it first".to_owned(),
            [] => "policy let it land without a person".to_owned(),
            some => format!("agreed to by {}", inline(&some.join(", "))),
        };
        text += &format!("- [x] risk {}: {who}\n", risk.as_str());
    }
    text += "- [ ] a person has read the change\n";
    if let Some(number) = run.spec.origin.as_ref().and_then(|origin| origin.closes) {
        text += &format!("\nCloses #{number}\n");
    }
    text += &format!("\n<sub>Regreen {}, run `{}`</sub>\n", env!("CARGO_PKG_VERSION"), run.id);
    text
}

/// What is said of a commit in a few words.
pub fn in_short(run: &Run, complete: bool) -> String {
    let mut names: Vec<&str> = Vec::new();
    for proven in run.proof.iter().flat_map(|proof| &proof.checks).filter(|proven| proven.green) {
        if !names.contains(&proven.check.name.as_str()) {
            names.push(&proven.check.name);
        }
    }
    match (names.as_slice(), complete) {
        (_, false) => "proven so far; more is to come".to_owned(),
        ([], true) => "proven in fresh workspaces".to_owned(),
        (names, true) => format!("proven in a fresh workspace: {}", names.join(", ")),
    }
}

/// What is said below an issue or a pull request about a run, however it stands.
pub fn of_comment(run: &Run, parts: &[Run]) -> String {
    let goal = match &run.spec.trigger {
        Trigger::Ticket { title, .. } | Trigger::Proposal { title, .. } | Trigger::Incident { title, .. } => {
            inline(title)
        }
        Trigger::Heal | Trigger::Subtask { .. } => inline(&run.spec.goal.run.display()),
    };
    let id = short(&run.id);
    let mut text = match run.finished {
        None => format!("**In work**: {goal}.\n\n"),
        Some(Exit::Green)
            if run.baseline == Some(Baseline::Green) && run.landed.is_none() && parts.is_empty() =>
        {
            format!("**Green already**: {goal} passes here, so nothing was changed.\n\n")
        }
        Some(Exit::Green) => format!("**Done**: {goal} is green, proven in a fresh workspace.\n\n"),
        Some(Exit::Policy) if run.awaits_approval() => {
            format!(
                "**Waits for a person**: {goal} is proven, and has to be approved: `regreen approve {id}`.\n\n"
            )
        }
        Some(Exit::Policy) => format!("**Not landed**: {goal}.\n\n"),
        Some(Exit::CannotJudge) => format!("**Cannot be judged**: {goal}.\n\n"),
        Some(Exit::Limit) => format!("**Stopped by a limit**: {goal}.\n\n"),
        Some(_) => format!("**Not repaired**: {goal} needs a person.\n\n"),
    };
    if let Some(published) = &run.published {
        match (published.request, &published.url) {
            (Some(number), Some(_)) => {
                let draft = if published.draft { ", a draft" } else { "" };
                text += &format!("{}{number}{draft}\n\n", sign(run));
            }
            _ => text += &format!("It is on the branch {}.\n\n", inline(&published.branch)),
        }
    } else if let Some(Some(landed)) = &run.landed {
        text += &format!("It is in {}.\n\n", inline(&landed.place()));
    }
    if run.awaits_approval() {
        text += &run.approval.iter().take(MOST).map(|why| format!("- {}\n", inline(why))).collect::<String>();
        text.push('\n');
    }
    match (&run.stopped, &run.baseline) {
        (Some((rule, why, look_at)), _) => text += &failed(run, *rule, why, look_at),
        (None, Some(Baseline::Flaky { what })) => {
            text += "It fails and passes on the same files, which no edit repairs:\n\n";
            text += &what.iter().take(MOST).map(|what| format!("- {}\n", inline(what))).collect::<String>();
            text.push('\n');
        }
        (None, Some(Baseline::Infra { reason, advice })) => {
            text += &format!("No edit repairs this: {}\n\n{}\n\n", inline(reason), inline(advice));
        }
        _ => {}
    }
    if run.finished == Some(Exit::Green) {
        for run in std::iter::once(run).chain(parts) {
            if let Some(proof) = &run.proof {
                text += &story(run);
                text += &proof_of(proof);
            }
        }
    }
    let spent = parts.iter().fold(run.own, |sum, part| sum + part.own);
    text + &format!("<sub>run `{}`, models cost {spent}</sub>\n", run.id)
}

/// How a forge writes the number of a pull request.
fn sign(run: &Run) -> &'static str {
    match run.spec.origin.as_ref().map(|origin| origin.forge) {
        Some(crate::config::ForgeKind::Gitlab) => "!",
        _ => "#",
    }
}

/// Why it failed, what was tried, where a person should look.
fn failed(run: &Run, rule: StopRule, why: &str, look_at: &[String]) -> String {
    let mut text = format!("Why: {}\n\n", inline(why));
    if rule == StopRule::Questions {
        text += "Answer these in the issue, then ask again:\n\n";
        return text
            + &look_at.iter().take(MOST).map(|what| format!("- {}\n", inline(what))).collect::<String>()
            + "\n";
    }
    let red = run.before.iter().filter(|outcome| !outcome.is_green());
    let said: Vec<String> = red
        .flat_map(|outcome| outcome.diagnostics.iter())
        .take(MOST)
        .map(|one| {
            let line = one.message.lines().next().unwrap_or_default();
            format!(
                "- {}\n",
                inline(&one.place().map_or(line.to_owned(), |place| format!("{place}: {line}")))
            )
        })
        .collect();
    if !said.is_empty() {
        text +=
            &format!("What fails:\n\n{}\n", without_places(&said.concat(), &run.spec.root.to_string_lossy()));
    }
    let tried: Vec<&AttemptState> = run
        .attempts
        .iter()
        .filter(|tried| !matches!(tried.decision, Some((Decision::Pass, _)) | None))
        .collect();
    if !tried.is_empty() {
        text += "What was tried:\n\n";
        for tried in tried.iter().rev().take(MOST).rev() {
            let became = tried.decision.as_ref().map_or("", |(_, why)| why.as_str());
            text += &format!("- {}: {}\n", inline(&tried.fixer), inline(became));
        }
        text.push('\n');
    }
    if !look_at.is_empty() {
        text += "Look first at:\n\n";
        text += &look_at.iter().take(MOST).map(|what| format!("- {}\n", inline(what))).collect::<String>();
        text.push('\n');
    }
    text
}

/// What was wrong, and what the fixers say about what is kept.
fn story(run: &Run) -> String {
    let root = run.spec.root.to_string_lossy();
    let mut text = String::new();
    if let Some(cause) = run.cause().filter(|_| !run.kept.is_empty() && !run.is_feature()) {
        let said = cause.message.lines().next().unwrap_or_default().trim();
        let said = cause.place().map_or(said.to_owned(), |place| format!("{place}: {said}"));
        text += &format!("What was wrong: {}\n\n", inline(&without_places(&said, &root)));
    }
    let kept =
        run.attempts.iter().filter(|attempt| attempt.worked() && !attempt.explanation.trim().is_empty());
    for attempt in kept {
        text += &format!(
            "{} says:\n\n{}\n",
            inline(&attempt.fixer),
            block(&without_places(&attempt.explanation, &root))
        );
    }
    text
}

/// The proof as a table.
fn proof_of(proof: &Proof) -> String {
    let mut rows: Vec<(&Proven, u32, Duration, bool)> = Vec::new();
    for proven in &proof.checks {
        match rows.iter_mut().find(|(first, ..)| first.check.name == proven.check.name) {
            Some((_, times, took, green)) => {
                *times += 1;
                *took += proven.duration;
                *green &= proven.green;
            }
            None => rows.push((proven, 1, proven.duration, proven.green)),
        }
    }
    let mut text = "| check | command | result | tests | time |\n|---|---|---|---|---|\n".to_owned();
    for (proven, times, took, green) in rows {
        let result = match (green, times) {
            (true, 1) => "green".to_owned(),
            (true, times) => format!("green, {times} times"),
            (false, _) => "red as before, nothing new".to_owned(),
        };
        let tests = proven.tests.map(|tests| tests.to_string()).unwrap_or_default();
        let command = inline(&proven.check.run.display());
        let name = inline(&proven.check.name);
        text += &format!("| {name} | {command} | {result} | {tests} | {} |\n", human(took));
    }
    if let (Some(before), Some(after)) = (proof.tests_before, proof.tests_after) {
        text += &format!("\n{before} tests ran before, {after} now.\n");
    }
    text.push('\n');
    text
}

/// A stranger's text on one line, as code.
pub fn inline(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    let line: String = plain(&line.join(" ")).chars().take(300).collect();
    match line.trim() {
        "" => "(nothing)".to_owned(),
        line => format!("`{}`", line.replace('`', "'").replace('|', "\\|")),
    }
}

/// A stranger's text on its own lines, as code.
pub fn block(text: &str) -> String {
    let text: String = plain(text.trim()).chars().take(LONGEST).collect();
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{text}\n{fence}\n")
}

/// Text without the paths of this machine: those in the repo become relative to it, of others only the name stays.
pub fn without_places(text: &str, root: &str) -> String {
    let inside = text.replace(&format!("{}/", root.trim_end_matches('/')), "");
    FOLDERS
        .as_ref()
        .map_or_else(|| inside.clone(), |folders| folders.replace_all(&inside, "${1}…/").into_owned())
}

/// Folders of a machine that mean nothing on another one.
static FOLDERS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(^|[\s"'`(<=:\[])/(?:home|root|tmp|var|Users|mnt|opt|srv|private)/(?:[^\s/"'`:()<>]+/)*"#)
        .ok()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_say_calls_nobody() {
        assert_eq!(
            inline("see @anna,\n`x` | <img src=y> closes #1"),
            "`see @anna, 'x' \\| <img src=y> closes #1`"
        );
        assert_eq!(inline(" \n"), "(nothing)");
        assert_eq!(block("a ```` b\n@anna"), "`````text\na ```` b\n@anna\n`````\n");
        assert_eq!(block("x"), "```text\nx\n```\n");
    }

    #[test]
    fn nothing_names_a_folder_of_this_machine() {
        let told = "error in /home/me/my repo/src/a.py and \"/tmp/x1/y/b.py\", see /home/me/.cache/lib/c.py:3; GET /api/v1 of https://host/home/d stays";
        assert_eq!(
            without_places(told, "/home/me/my repo"),
            "error in src/a.py and \"…/b.py\", see …/c.py:3; GET /api/v1 of https://host/home/d stays"
        );
    }
}
