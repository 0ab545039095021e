//! `regreen bench memory`: what remembering is worth, by the runs that a store holds.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::heal::duration;
use super::page::Page;
use super::paint::{out, table};
use super::session::Session;
use crate::clock::human;
use crate::diagnostic::{Diagnostic, Fingerprint};
use crate::fault::Exit;
use crate::memory::{Recipe, Template, errors, pattern};
use crate::patch::{Change, Patch, Tree};
use crate::run::events::{Baseline, Trigger};
use crate::run::journal::load;
use crate::run::{AttemptState, Run};
use crate::store::RunFilter;
use crate::usage::Money;

/// Complaints of a run that are compared with those of earlier ones.
const COMPLAINTS: usize = 20;

/// Memory: what it would have found in a store's own runs, and what that is worth.
///
/// The red runs of the store are gone through from the oldest on, once without memory, as if nothing had been remembered, and once with it: a proven fix counts from the end of
/// its run plus the watch window on, unless it was rolled back. A fix that memory would have proposed is compared with the one that was proven in fact: the same one
/// is a hit, and what the run tried before it would not have been needed. Another one may be right or wrong; it is counted as one attempt more. Nothing is run.
#[derive(Debug, clap::Args)]
pub(super) struct Memory {
    /// Only runs of the last so many days
    #[arg(long, default_value_t = 365)]
    days: u32,
    /// How long a fix has to stay [default: `watch` of the configuration]
    #[arg(long, value_name = "DUR", value_parser = wait)]
    watch: Option<Duration>,
    /// Fixes of other repos count, too
    #[arg(long)]
    share: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

fn wait(text: &str) -> Result<Duration, String> {
    if text == "0s" { Ok(Duration::ZERO) } else { duration(text) }
}

/// What was found.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Figures {
    /// Runs whose goal was red.
    red: usize,
    /// Those of them with a proven repair.
    healed: usize,
    /// Healed runs that memory would have repaired at once, with the same patch: by the fix of the same failure …
    same: usize,
    /// … and by one of the same complaint in another place.
    alike: usize,
    /// Red runs in which it would have proposed something else first.
    other: usize,
    /// Healed runs that were repaired by memory in fact; they are among `same` and `alike`.
    replayed: usize,
    /// Attempts of all red runs that were not replayed by memory.
    attempts: usize,
    /// Attempts that the hits make needless, those that `other` costs taken off.
    attempts_saved: i64,
    /// What models cost in all red runs.
    cost_micro_usd: u64,
    /// What they cost in runs that would have been hits.
    cost_saved_micro_usd: u64,
    /// How long attempts took that the hits make needless.
    seconds_saved: f64,
}

/// A fix as it was learnt.
struct Learnt {
    repo: String,
    from: Timestamp,
    fingerprint: Fingerprint,
    recipe: Recipe,
    pattern: Option<String>,
    template: Option<Template>,
}

/// How memory would have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guess {
    Same,
    Alike,
    Other,
    None,
}

impl Memory {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        let since = session.clock.now() - SignedDuration::from_hours(24 * i64::from(self.days));
        let filter = RunFilter { since: Some(since), ..RunFilter::default() };
        let mut rows = session.store.runs(&filter, u32::MAX).await?;
        rows.reverse();
        let watch = self.watch.unwrap_or(session.settings.user.memory.watch);
        let mut replay = Replay {
            watch: SignedDuration::try_from(watch)?,
            share: self.share || session.settings.user.memory.share,
            learnt: Vec::new(),
            figures: Figures::default(),
            empty: tempfile::tempdir().context("there is no room for a folder")?,
        };
        for row in rows {
            // What was removed, or is of another version, tells nothing any more.
            if let Ok(run) = load(&session.store, &row.id).await {
                replay.take(&run);
            }
        }
        let figures = replay.figures;
        out(&if self.json { serde_json::to_string_pretty(&figures)? } else { figures.text() })?;
        Ok(Exit::Green)
    }
}

struct Replay {
    watch: SignedDuration,
    share: bool,
    learnt: Vec<Learnt>,
    figures: Figures,
    /// What files lie in that a run's patch does not name.
    empty: tempfile::TempDir,
}

impl Replay {
    fn take(&mut self, run: &Run) {
        let whole = matches!(run.spec.trigger, Trigger::Ticket { .. }) || run.is_feature();
        if whole || run.baseline != Some(Baseline::Red) {
            return;
        }
        let print = run
            .before
            .iter()
            .find(|outcome| outcome.check == run.spec.goal.name)
            .and_then(|outcome| outcome.fingerprint.clone());
        let Some(print) = print else { return };
        let complaints: Vec<&Diagnostic> =
            run.before.iter().flat_map(|outcome| errors(&outcome.diagnostics, COMPLAINTS)).collect();
        let replayed = run.credited().iter().any(|fixer| fixer == "memory");
        let is_healed = run.finished == Some(Exit::Green) && run.proof.is_some() && !run.kept.is_empty();
        let guess = self.guess(run, &print, &complaints);
        let made: Vec<&AttemptState> = run.attempts.iter().filter(|one| one.patch.is_some()).collect();
        let figures = &mut self.figures;
        figures.red += 1;
        figures.healed += usize::from(is_healed);
        figures.cost_micro_usd += run.own.0;
        if !replayed {
            figures.attempts += made.len();
        }
        match guess {
            Guess::Same | Guess::Alike if is_healed => {
                figures.same += usize::from(guess == Guess::Same);
                figures.alike += usize::from(guess == Guess::Alike);
                if replayed {
                    figures.replayed += 1;
                } else {
                    let took = |one: &&AttemptState| one.ended.map(|ended| ended.duration_since(one.began));
                    // One attempt is needed all the same: that of memory.
                    let needless = made.len().saturating_sub(1);
                    figures.attempts_saved += needless as i64;
                    figures.cost_saved_micro_usd += run.own.0;
                    figures.seconds_saved += made
                        .iter()
                        .take(needless)
                        .filter_map(took)
                        .map(|time| time.as_secs_f64())
                        .sum::<f64>();
                }
            }
            Guess::None => {}
            _ => {
                figures.other += 1;
                figures.attempts_saved -= 1;
            }
        }
        let landed = matches!(run.landed, Some(Some(_)));
        if is_healed && landed && run.rolled_back.is_none() {
            self.learn(run, print, &complaints);
        }
    }

    fn learn(&mut self, run: &Run, fingerprint: Fingerprint, complaints: &[&Diagnostic]) {
        let Some(recipe) = Recipe::of(&run.kept) else { return };
        let repo = run.spec.root.to_string_lossy().into_owned();
        let from = run.last.checked_add(self.watch).unwrap_or(Timestamp::MAX);
        let template = complaints.iter().find_map(|one| Template::of(&run.kept, one));
        let pattern = complaints.first().map(|one| pattern(one));
        self.learnt.push(Learnt { repo, from, fingerprint, recipe, pattern, template });
    }

    /// What memory would have proposed first, the newest fix of the same failure before one of the same complaint.
    fn guess(&self, run: &Run, print: &Fingerprint, complaints: &[&Diagnostic]) -> Guess {
        // Of the tree only those files are known that the proven patch changed.
        let files: Patch = run
            .kept
            .iter()
            .map(|(path, change)| (path.clone(), Change { before: None, after: change.before.clone() }))
            .collect();
        let root: &Path = self.empty.path();
        let tree = Tree { root, patch: &files };
        let repo = run.spec.root.to_string_lossy();
        let counts = |one: &&Learnt| one.from <= run.began && (self.share || one.repo == repo);
        let same = |patch: &Patch| {
            patch.iter().count() == run.kept.iter().count()
                && patch
                    .iter()
                    .all(|(path, change)| run.kept.get(path).is_some_and(|own| own.after == change.after))
        };
        for one in self.learnt.iter().rev().filter(counts).filter(|one| one.fingerprint == *print) {
            if let Ok(patch) = one.recipe.fit(&tree) {
                return if same(&patch) { Guess::Same } else { Guess::Other };
            }
        }
        for one in self.learnt.iter().rev().filter(counts) {
            let (Some(template), Some(kind)) = (&one.template, &one.pattern) else { continue };
            let alike: Vec<&Diagnostic> =
                complaints.iter().copied().filter(|one| pattern(one) == *kind).collect();
            if let Ok(patch) = template.fit(&tree, &alike) {
                return if same(&patch) { Guess::Alike } else { Guess::Other };
            }
        }
        Guess::None
    }
}

impl Figures {
    fn text(&self) -> String {
        if self.red == 0 {
            return "no red runs are kept, so there is nothing to go by\n".to_owned();
        }
        let hits = self.same + self.alike;
        let usd = |micro: u64| Money(micro).to_string();
        let rows: Vec<Vec<String>> = [
            ("", "WITHOUT MEMORY", "WITH MEMORY"),
            ("red runs", &self.red.to_string(), ""),
            ("healed", &self.healed.to_string(), ""),
            ("by the fix of the same failure", "–", &self.same.to_string()),
            ("by one of the same complaint", "–", &self.alike.to_string()),
            ("something else proposed first", "–", &self.other.to_string()),
            (
                "attempts",
                &self.attempts.to_string(),
                &(self.attempts as i64 - self.attempts_saved).to_string(),
            ),
            ("models cost", &usd(self.cost_micro_usd), &usd(self.cost_micro_usd - self.cost_saved_micro_usd)),
        ]
        .iter()
        .map(|(name, without, with)| [*name, *without, *with].map(str::to_owned).to_vec())
        .collect();
        let share = hits * 100 / self.healed.max(1);
        let time = human(Duration::from_secs_f64(self.seconds_saved.max(0.0)));
        let verdict = match (hits, self.other) {
            (0, 0) => "memory would have made no difference: no failure came back\n".to_owned(),
            _ => format!(
                "memory would have healed {share} % of the healed runs at once, which saves {} and {time} of attempts; \
                 {} were in fact; {} times it would have proposed something that was not the proven fix\n",
                usd(self.cost_saved_micro_usd),
                self.replayed,
                self.other
            ),
        };
        format!("{}\n{verdict}", table(&rows, Page::of_stdout()))
    }
}
