//! What is to be learnt from a run for which nothing that was tried helped: told by its events alone, so that the same run always says the
//! same, and no model is asked.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::events::{Decision, StopRule, Trigger};
use super::{AttemptState, Run};
use crate::diagnostic::{Diagnostic, Severity};
use crate::fault::Exit;
use crate::guards::Weight;
use crate::outcome::Outcome;
use crate::store::{Learnt, PostMortemRow};
use crate::verify::compare::{headline, some};
use crate::verify::identity;

/// Attempts, complaints and lessons that are told.
const MOST: usize = 30;
/// The longest sentence that is taken over, in characters.
const LONGEST: usize = 400;

/// What is to be learnt from a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostMortem {
    /// What was wrong, in one line.
    pub cause: String,
    /// Where: `src/lib.rs:10`.
    pub place: Option<String>,
    /// The category of that, in kebab-case.
    pub category: Option<String>,
    /// Why the run ended.
    pub ended: String,
    /// What was red at the end, one line each.
    pub left: Vec<String>,
    /// What each attempt came to.
    pub attempts: Vec<Missed>,
    /// What would have helped.
    pub lessons: Vec<Lesson>,
}

/// What an attempt missed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// Its number, from 1.
    pub attempt: u32,
    /// Who proposed.
    pub fixer: String,
    /// What became of it: `nothing`, `unusable`, `refused`, `worse`, `no-better`, `partly`, `not-proven`.
    pub fate: String,
    /// What it missed, in a sentence.
    pub missed: String,
}

/// What would have helped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lesson {
    /// What it is about: `rule`, `context`, `limit`, `ladder`, `parser`, `person`.
    pub kind: String,
    /// What to do.
    pub advice: String,
}

/// What the end of `run` means for its post-mortem.
pub(super) fn follows(run: &Run, exit: Exit) -> Option<Learnt> {
    match exit {
        Exit::Green => Some(Learnt::Drop),
        Exit::Red | Exit::Limit => {
            let learnt = PostMortem::of(run)?;
            let (rule, ..) = run.stopped.as_ref()?;
            let goal = run.before.iter().find(|outcome| outcome.check == run.spec.goal.name);
            Some(Learnt::Write(Box::new(PostMortemRow {
                run: run.id.clone(),
                repo: run.spec.root.to_string_lossy().into_owned(),
                at: run.last,
                goal: super::journal::goal(run),
                rule: named(rule),
                cause: learnt.cause.clone(),
                category: learnt.category.clone(),
                fingerprint: goal.and_then(|goal| goal.fingerprint.as_ref()).map(ToString::to_string),
                lessons: learnt.lessons.iter().map(|lesson| lesson.advice.clone()).collect(),
                body: serde_json::to_value(&learnt).unwrap_or_default(),
            })))
        }
        _ => None,
    }
}

/// Its name in events.
fn named(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(LONGEST).collect()
}

/// Each line once, as many as are told.
fn once(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut told = Vec::new();
    for line in lines {
        if told.len() < MOST && !told.contains(&line) {
            told.push(line);
        }
    }
    told
}

fn errors(red: &[Outcome]) -> impl Iterator<Item = &Diagnostic> {
    red.iter().flat_map(|outcome| &outcome.diagnostics).filter(|one| one.severity == Severity::Error)
}

impl PostMortem {
    /// What is to be learnt from a run that stopped red; `None` where it did not, was only to be looked at, or was a ticket's: its sub-tasks have their
    /// own.
    pub fn of(run: &Run) -> Option<Self> {
        let (rule, why, _) = run.stopped.as_ref()?;
        if *rule == StopRule::DryRun || matches!(run.spec.trigger, Trigger::Ticket { .. }) {
            return None;
        }
        let cause = run.cause();
        let left = if run.red.is_empty() { &run.before } else { &run.red };
        let first_red = run.before.iter().find(|outcome| !outcome.is_green());
        let said = cause.map(|one| line(&one.message)).or_else(|| first_red.map(|one| line(&headline(one))));
        let mut missed = Vec::new();
        let mut before: Vec<Outcome> =
            run.before.iter().filter(|outcome| !outcome.is_green()).cloned().collect();
        for attempt in &run.attempts {
            missed.extend(judged(attempt, &before));
            if attempt.worked() && !attempt.red.is_empty() {
                before.clone_from(&attempt.red);
            }
        }
        missed.truncate(MOST);
        Some(Self {
            cause: said.unwrap_or_else(|| line(why)),
            place: cause.and_then(Diagnostic::place),
            category: cause.map(|one| named(&one.category)),
            ended: line(why),
            left: once(left.iter().filter(|one| !one.is_green()).map(|one| line(&headline(one)))),
            lessons: lessons(run, *rule, why, &missed),
            attempts: missed,
        })
    }
}

/// What an attempt missed; `before` is what was red when it was made.
fn judged(attempt: &AttemptState, before: &[Outcome]) -> Option<Missed> {
    let (decision, reason) = attempt.decision.as_ref()?;
    let refused: Vec<&str> = attempt
        .findings
        .iter()
        .filter(|finding| finding.weight == Weight::Refuse)
        .map(|finding| finding.reason.as_str())
        .collect();
    let old: BTreeSet<String> = errors(before).map(identity).collect();
    let new: BTreeSet<String> = errors(&attempt.red).map(identity).collect();
    let gone = old.difference(&new).count();
    let came: Vec<&Diagnostic> = errors(&attempt.red).filter(|one| !old.contains(&identity(one))).collect();
    let touched: BTreeSet<&str> =
        attempt.patch.iter().flat_map(|patch| patch.iter().map(|(path, _)| path.as_str())).collect();
    let complained: BTreeSet<&str> =
        errors(before).filter(|one| one.is_own()).filter_map(|one| one.file.as_deref()).collect();
    let (fate, missed) = match decision {
        Decision::Pass => ("nothing", format!("it had nothing to offer: {reason}")),
        Decision::Green => ("not-proven", format!("its patch was green and did not hold: {reason}")),
        Decision::Keep => (
            "partly",
            format!("it got rid of {gone} of {} complaints; {} stay or are new", old.len(), new.len()),
        ),
        Decision::Drop if !refused.is_empty() => {
            ("refused", format!("guards refused it: {}", refused.join("; ")))
        }
        Decision::Drop if attempt.patch.is_none() => {
            ("unusable", format!("its answer was of no use: {reason}"))
        }
        Decision::Drop => match came.first() {
            Some(first) if attempt.red.iter().any(|one| !one.is_green()) => {
                let place = first.place().map(|place| format!("{place}: ")).unwrap_or_default();
                let more = came.len() - 1;
                let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
                (
                    "worse",
                    format!("it brought what had not been there: {place}{}{more}", line(&first.message)),
                )
            }
            _ if !complained.is_empty() && touched.is_disjoint(&complained) => {
                let [changed, wrong] = [&touched, &complained]
                    .map(|set| some(&set.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()));
                ("no-better", format!("it changed {changed}, and the complaints are about {wrong}"))
            }
            _ => ("no-better", format!("what was red stayed so: {reason}")),
        },
    };
    let (attempt, fixer) = (attempt.attempt, attempt.fixer.clone());
    Some(Missed { attempt, fixer, fate: fate.to_owned(), missed: line(&missed) })
}

/// What would have helped, by what the attempts missed and what stopped the run.
fn lessons(run: &Run, rule: StopRule, why: &str, missed: &[Missed]) -> Vec<Lesson> {
    let mut lessons: Vec<Lesson> = Vec::new();
    let mut add = |kind: &str, advice: String| {
        let lesson = Lesson { kind: kind.to_owned(), advice: line(&advice) };
        if !lessons.contains(&lesson) {
            lessons.push(lesson);
        }
    };
    match rule {
        StopRule::Unfixable => add("person", format!("a model says that no edit repairs it: {why}")),
        StopRule::Questions => add("person", format!("answer what is open: {why}")),
        StopRule::Uncommitted => {
            add(
                "person",
                "commit what is uncommitted, or land in the working tree: what is red is not committed yet"
                    .into(),
            );
        }
        StopRule::Budget => {
            add("limit", "more money for the run (--budget, budget.run_usd) would have let it go on".into())
        }
        StopRule::Day => add(
            "limit",
            "the money of the day was spent (budget.day_usd): it can go on tomorrow, or with more".into(),
        ),
        StopRule::Time => {
            add("limit", "more time for the run (--timeout, limits.run) would have let it go on".into())
        }
        StopRule::Attempts => {
            add("limit", "more attempts (--max-attempts, limits.attempts) would have let it go on".into())
        }
        StopRule::SamePatch | StopRule::SameDiagnostics => add(
            "ladder",
            "the model went in circles: another vendor's model on a later rung looks at it afresh".into(),
        ),
        _ => {}
    }
    let asked = run.attempts.iter().any(|attempt| attempt.model.is_some());
    let models = run.spec.ladder.iter().any(|rung| rung.model);
    if !models {
        add("ladder", "no model was to be asked: with a key, or a local model in [[ladder]], one looks at what tools have no suggestion for".into());
    } else if !asked && !run.attempts.iter().any(|attempt| attempt.fixer.starts_with("agent(")) {
        let reason = missed.iter().find(|one| one.fixer.starts_with("model(")).map(|one| one.missed.as_str());
        add("ladder", format!("no model answered: {}", reason.unwrap_or("the run ended before its turn")));
    }
    let mut guards: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for finding in run.attempts.iter().flat_map(|attempt| &attempt.findings) {
        if finding.weight == Weight::Refuse {
            guards.entry(&finding.guard).or_insert((0, &finding.reason)).0 += 1;
        }
    }
    for (guard, (count, reason)) in guards {
        add(
            "rule",
            format!(
                "guard {guard} refused {count} time(s): say in AGENTS.md, or in the rules of regreen.toml, how it is done here instead ({reason})"
            ),
        );
    }
    let fates = |fate: &str| missed.iter().filter(|one| one.fate == fate).count();
    if fates("unusable") > 1 {
        add("context", "answers did not fit the files: name the files that matter in [context] of regreen.toml, or split the largest of them".into());
    }
    let complained: BTreeSet<&str> = errors(&run.before)
        .chain(errors(&run.red))
        .filter(|one| one.is_own())
        .filter_map(|one| one.file.as_deref())
        .collect();
    let touched: BTreeSet<&str> = run
        .attempts
        .iter()
        .filter_map(|attempt| attempt.patch.as_ref())
        .flat_map(|patch| patch.iter().map(|(path, _)| path.as_str()))
        .collect();
    let alone: Vec<String> = complained.difference(&touched).map(|file| (*file).to_owned()).collect();
    if !touched.is_empty() && !alone.is_empty() {
        add(
            "context",
            format!(
                "no attempt changed {}, where complaints are: a rule that says what these files have to agree with would help",
                some(&alone)
            ),
        );
    }
    let elsewhere: BTreeSet<String> = run
        .attempts
        .iter()
        .flat_map(|attempt| errors(&attempt.red))
        .filter(|one| one.is_own())
        .filter_map(|one| one.file.clone())
        .filter(|file| !complained.contains(file.as_str()) && !touched.contains(file.as_str()))
        .collect();
    if !elsewhere.is_empty() {
        let elsewhere: Vec<String> = elsewhere.into_iter().collect();
        add(
            "context",
            format!(
                "attempts broke {}, which they had not been shown as affected: say in AGENTS.md that it depends on what was changed",
                some(&elsewhere)
            ),
        );
    }
    for outcome in run.before.iter().filter(|outcome| !outcome.is_green() && outcome.diagnostics.is_empty()) {
        add(
            "parser",
            format!(
                "nothing could be read out of what the check {} prints: a problem matcher (docs/configuration.md) would tell fixers where to look",
                outcome.check
            ),
        );
    }
    lessons.truncate(MOST);
    lessons
}
