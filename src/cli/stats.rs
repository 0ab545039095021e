//! `regreen stats`: success, cost and time over all runs, from the store's own tables.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;

use super::page::Page;
use super::paint::{line, out, table};
use super::session::Session;
use crate::clock::human;
use crate::fault::Exit;
use crate::run::Run;
use crate::run::events::{Baseline, Decision, Trigger};
use crate::run::journal::load;
use crate::store::{AttemptRow, RunFilter, RunRow};
use crate::usage::Money;
use crate::web::figures;

/// Success, cost and time over all runs.
#[derive(Debug, clap::Args)]
pub(super) struct Stats {
    /// Only runs of the last so many days
    #[arg(long, default_value_t = 30)]
    days: u32,
    /// What a person is assumed to need for a repair by hand, in minutes
    #[arg(long, value_name = "N", default_value_t = figures::MINUTES, value_parser = clap::value_parser!(u32).range(..=1440))]
    minutes: u32,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// The figures.
#[derive(Debug, Default, serde::Serialize)]
struct Figures {
    runs: usize,
    healed: usize,
    green_already: usize,
    /// Tickets that are implemented, those that were only to be planned and are, and the others that are over. Their sub-tasks count as
    /// the runs that they are.
    implemented: usize,
    planned: usize,
    not_done: usize,
    still_red: usize,
    cannot_judge: usize,
    waiting: usize,
    limited: usize,
    unfinished: usize,
    rolled_back: usize,
    cost: Money,
    /// Healed runs by the fixers that were credited.
    by_fixer: BTreeMap<String, usize>,
    /// Attempts of each fixer: how many there were, how many were kept or green.
    attempts: BTreeMap<String, (usize, usize)>,
    /// Red runs by the category of their first diagnostic: how many, how many of them with a proven repair, landed or not.
    by_category: BTreeMap<String, (usize, usize)>,
    median_seconds_to_green: Option<f64>,
    p95_seconds_to_green: Option<f64>,
}

impl Stats {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        let since = session.clock.now() - jiff::SignedDuration::from_hours(24 * i64::from(self.days));
        let mut figures = Figures::default();
        let mut times = Vec::new();
        let filter = RunFilter { since: Some(since), ..RunFilter::default() };
        for row in session.store.runs(&filter, u32::MAX).await? {
            // A run of another version is left out rather than ending the whole list.
            match load(&session.store, &row.id).await {
                Ok(run) => figures.count(&run, &mut times),
                Err(_) if session.store.remains(&row.id).await?.is_some_and(|run| run.is_removed) => {
                    let attempts = session.store.attempts(&row.id).await?;
                    figures.count_removed(&row, &attempts);
                }
                Err(_) => {}
            }
        }
        times.sort_unstable();
        figures.median_seconds_to_green = at(&times, 0.5);
        figures.p95_seconds_to_green = at(&times, 0.95);
        let days = self.days.clamp(1, 3650);
        let report = figures::gather(&session.store, session.clock.now(), days, self.minutes).await?;
        if self.json {
            let mut all = serde_json::to_value(&figures)?;
            all["report"] = serde_json::to_value(&report)?;
            out(&serde_json::to_string_pretty(&all)?)?;
        } else {
            let more = if figures.runs == 0 { String::new() } else { learnt(&report) };
            out(&format!("{}{more}", figures.text(self.days)))?;
        }
        Ok(Exit::Green)
    }
}

impl Figures {
    fn count(&mut self, run: &Run, times: &mut Vec<Duration>) {
        self.runs += 1;
        self.cost = self.cost + run.own;
        self.rolled_back += usize::from(run.rolled_back.is_some());
        let healed = run.finished == Some(Exit::Green) && run.proof.is_some();
        let ticket = match run.spec.trigger {
            Trigger::Ticket { only_plan, .. } => Some(only_plan),
            _ => None,
        };
        match run.finished {
            None => self.unfinished += 1,
            Some(Exit::Green) if ticket == Some(true) => self.planned += 1,
            Some(Exit::Green) if ticket == Some(false) => self.implemented += 1,
            Some(_) if ticket.is_some() => self.not_done += 1,
            Some(Exit::Green) if healed => self.healed += 1,
            Some(Exit::Green) => self.green_already += 1,
            Some(Exit::CannotJudge) => self.cannot_judge += 1,
            Some(Exit::Policy) => self.waiting += 1,
            Some(Exit::Limit) => self.limited += 1,
            Some(_) => self.still_red += 1,
        }
        if healed {
            times.push(run.took);
            for fixer in run.credited() {
                *self.by_fixer.entry(fixer).or_default() += 1;
            }
        }
        for attempt in &run.attempts {
            if matches!(attempt.decision, Some((Decision::Pass, _))) {
                continue;
            }
            let entry = self.attempts.entry(attempt.fixer.clone()).or_default();
            entry.0 += 1;
            entry.1 += usize::from(attempt.worked());
        }
        if run.baseline == Some(Baseline::Red)
            && let Some(first) = run.before.iter().find_map(|outcome| outcome.diagnostics.first())
        {
            let category = serde_json::to_value(first.category).ok();
            let name = category.as_ref().and_then(|value| value.as_str()).unwrap_or("other").to_owned();
            let entry = self.by_category.entry(name).or_default();
            entry.0 += 1;
            entry.1 += usize::from(run.proof.is_some());
        }
    }

    /// A run of which only its row and its attempts are left.
    fn count_removed(&mut self, row: &RunRow, attempts: &[AttemptRow]) {
        self.runs += 1;
        self.cost = self.cost + row.cost;
        let is_ticket = row.trigger == "ticket";
        match row.outcome.as_deref() {
            Some("planned") => self.planned += 1,
            Some("implemented") => self.implemented += 1,
            Some(_) if is_ticket => self.not_done += 1,
            Some("healed") => self.healed += 1,
            Some("green") => self.green_already += 1,
            Some("flaky" | "infra" | "cut off") => self.cannot_judge += 1,
            Some("waiting" | "cancelled" | "refused") => self.waiting += 1,
            Some("limit") => self.limited += 1,
            _ => self.still_red += 1,
        }
        for attempt in attempts {
            let entry = self.attempts.entry(attempt.fixer.clone()).or_default();
            entry.0 += 1;
            entry.1 += usize::from(attempt.succeeded);
            if let Some(category) = attempt.category.as_ref().filter(|_| attempt.attempt == 1) {
                let entry = self.by_category.entry(category.clone()).or_default();
                entry.0 += 1;
                entry.1 += usize::from(row.outcome.as_deref() == Some("healed"));
            }
        }
    }

    fn text(&self, days: u32) -> String {
        if self.runs == 0 {
            return format!("no runs in the last {days} days; `regreen heal -- CMD` begins one\n");
        }
        let red = self.healed + self.still_red + self.limited + self.waiting;
        let rate = if red == 0 { "–".to_owned() } else { format!("{} of {red} red runs", self.healed) };
        let time =
            |seconds: Option<f64>| seconds.map_or("–".to_owned(), |s| human(Duration::from_secs_f64(s)));
        let mut rows = vec![vec![format!("LAST {days} DAYS"), String::new()]];
        for (name, value) in [
            ("runs", self.runs.to_string()),
            ("healed", rate),
            ("green already", self.green_already.to_string()),
            (
                "tickets",
                format!(
                    "{} implemented, {} planned, {} not done",
                    self.implemented, self.planned, self.not_done
                ),
            ),
            ("flaky or infra", self.cannot_judge.to_string()),
            ("waiting or refused", self.waiting.to_string()),
            ("cut off", self.unfinished.to_string()),
            ("rolled back", self.rolled_back.to_string()),
            ("median to green", time(self.median_seconds_to_green)),
            ("p95 to green", time(self.p95_seconds_to_green)),
            ("models cost", if self.cost.0 == 0 { "nothing".to_owned() } else { self.cost.to_string() }),
        ] {
            rows.push(vec![name.to_owned(), value]);
        }
        let mut text = table(&rows, Page::of_stdout());
        for (title, entries) in [("FIXER", &self.attempts), ("FAULT", &self.by_category)] {
            if entries.is_empty() {
                continue;
            }
            let mut rows = vec![vec![title.to_owned(), "WORKED".to_owned()]];
            rows.extend(
                entries.iter().map(|(name, (all, good))| vec![line(name, 60), format!("{good} of {all}")]),
            );
            text += &format!("\n{}", table(&rows, Page::of_stdout()));
        }
        text
    }
}

/// What is to be seen over the whole time: shares, prices, and how the weeks went.
fn learnt(report: &figures::Figures) -> String {
    let percent =
        |share: Option<f64>| share.map_or("–".to_owned(), |share| format!("{:.0} %", share * 100.0));
    let usd = |micro: u64| if micro == 0 { "nothing".to_owned() } else { Money(micro).to_string() };
    let hours = Duration::from_secs(report.minutes_saved * 60);
    let mut rows = vec![vec!["LEARNT".to_owned(), String::new()]];
    for (name, value) in [
        ("runs that were red", percent(report.failing)),
        ("needed a person", percent(report.escalated)),
        ("asked per fix", report.asked_per_fix.map_or("–".to_owned(), |asked| format!("{asked:.1} fixers"))),
        ("cost per fix", report.cost_per_fix_micro_usd.map_or("–".to_owned(), usd)),
        ("time saved", format!("{}, if a repair by hand takes {} min", human(hours), report.minutes_by_hand)),
    ] {
        rows.push(vec![name.to_owned(), value]);
    }
    let mut text = format!("\n{}", table(&rows, Page::of_stdout()));
    if !report.by_rung.is_empty() {
        let mut rows = vec![["RUNG", "GREEN", "SHARE", "COST"].map(String::from).to_vec()];
        rows.extend(report.by_rung.iter().map(|rung| {
            let green = format!("{} of {}", rung.succeeded, rung.attempts);
            vec![rung.rung.clone(), green, percent(rung.share), usd(rung.cost_micro_usd)]
        }));
        text += &format!("\n{}", table(&rows, Page::of_stdout()));
    }
    let mut rows = vec![["WEEK OF", "HEALED", "SHARE", "COST"].map(String::from).to_vec()];
    rows.extend(report.by_week.iter().filter(|week| week.red > 0 || week.cost_micro_usd > 0).map(|week| {
        let healed = format!("{} of {}", week.healed, week.red);
        vec![week.week.clone(), healed, percent(week.rate), usd(week.cost_micro_usd)]
    }));
    if rows.len() > 1 {
        text += &format!("\n{}", table(&rows, Page::of_stdout()));
    }
    text
}

/// The value below which the share `part` of the sorted times lies (nearest rank), in seconds.
fn at(sorted: &[Duration], part: f64) -> Option<f64> {
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).map(Duration::as_secs_f64)
}
