//! The figures of the overview, for the API and for people.

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::store::{CostSum, DayOutcome, Dealt, Store};

/// Days that are looked at, unless asked otherwise.
pub(crate) const DAYS: u32 = 30;
/// What a person is assumed to need for a repair by hand, in minutes, unless asked otherwise: to see that something is red, to find the
/// cause, to mend it and to wait for the checks.
pub(crate) const MINUTES: u32 = 20;

/// How runs of some time ended.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub(crate) struct Success {
    /// Over so many hours.
    pub(crate) hours: u32,
    /// All runs but sub-tasks.
    pub(crate) runs: u64,
    /// Runs that were red and could be judged, and are over.
    pub(crate) red: u64,
    /// Those of them with a proven repair or a finished ticket.
    pub(crate) healed: u64,
    /// `healed` of `red`, from 0 to 1; nothing where nothing was red.
    pub(crate) rate: Option<f64>,
}

/// How runs of a day ended.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub(crate) struct Day {
    /// In UTC.
    #[schema(example = "2026-11-21")]
    pub(crate) day: String,
    /// Healed, or a ticket finished.
    pub(crate) healed: u64,
    /// Red and not repaired, by whatever was in the way.
    pub(crate) not_healed: u64,
    /// Green already, flaky, or not to be judged.
    pub(crate) other: u64,
    /// What models cost, in millionths of a US dollar.
    pub(crate) cost_micro_usd: u64,
}

/// How runs of a week went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct Week {
    /// Its Monday, in UTC; the first week may have begun before the time that is looked at.
    #[schema(example = "2026-11-16")]
    pub(crate) week: String,
    /// Runs that were red and could be judged, and are over.
    pub(crate) red: u64,
    /// Those of them with a proven repair or a finished ticket.
    pub(crate) healed: u64,
    /// `healed` of `red`, from 0 to 1; nothing where nothing was red.
    pub(crate) rate: Option<f64>,
    /// What models cost, in millionths of a US dollar.
    pub(crate) cost_micro_usd: u64,
}

/// What the fixers of one kind brought.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Rung {
    /// `memory`, `codefix`, `model`, `agent`.
    #[schema(example = "codefix")]
    pub(crate) rung: String,
    /// Attempts, those that passed on included.
    pub(crate) attempts: u64,
    /// Attempts that made the goal green.
    pub(crate) succeeded: u64,
    /// `succeeded` of all that did, from 0 to 1.
    pub(crate) share: Option<f64>,
    pub(crate) cost_micro_usd: u64,
}

/// What one fixer brought.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Fixer {
    #[schema(example = "codefix(rustc)")]
    pub(crate) fixer: String,
    /// The model, where one was asked.
    pub(crate) model: Option<String>,
    /// Attempts, those that passed on included.
    pub(crate) attempts: u64,
    /// Attempts that made the goal green.
    pub(crate) succeeded: u64,
    pub(crate) cost_micro_usd: u64,
}

/// How one kind of fault was dealt with.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Category {
    #[schema(example = "missing-member")]
    pub(crate) category: String,
    /// Runs that met it.
    pub(crate) runs: u64,
    /// Runs of them that went green.
    pub(crate) repaired: u64,
}

/// Money under a name.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Cost {
    pub(crate) name: String,
    pub(crate) cost_micro_usd: u64,
}

impl From<CostSum> for Cost {
    fn from(sum: CostSum) -> Self {
        Self { name: sum.name, cost_micro_usd: sum.cost.0 }
    }
}

/// Success, time, cost and what asks for people.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Figures {
    /// Over so many days.
    pub(crate) days: u32,
    /// Over 24 hours, 7 days and 30 days.
    pub(crate) success: Vec<Success>,
    /// Every day of the time, the oldest first.
    pub(crate) by_day: Vec<Day>,
    /// Every week of it, the oldest first.
    pub(crate) by_week: Vec<Week>,
    /// The cheapest kind of fixer first.
    pub(crate) by_rung: Vec<Rung>,
    /// The most useful first.
    pub(crate) by_fixer: Vec<Fixer>,
    /// The most common first.
    pub(crate) by_category: Vec<Category>,
    pub(crate) cost_by_repo: Vec<Cost>,
    pub(crate) cost_by_model: Vec<Cost>,
    pub(crate) cost_micro_usd: u64,
    /// From the beginning of a run to its proof.
    pub(crate) median_seconds_to_green: Option<f64>,
    pub(crate) p95_seconds_to_green: Option<f64>,
    /// Share of the red runs that ended with a person, from 0 to 1.
    pub(crate) escalated: Option<f64>,
    /// Share of the runs that could be judged whose goal was red, from 0 to 1.
    pub(crate) failing: Option<f64>,
    /// Fixers that were asked in a run that was healed, on average, those that passed on included.
    pub(crate) asked_per_fix: Option<f64>,
    /// What models cost in all runs, by healed run.
    pub(crate) cost_per_fix_micro_usd: Option<u64>,
    /// What a person is assumed to need for a repair by hand.
    pub(crate) minutes_by_hand: u32,
    /// Healed runs times that.
    pub(crate) minutes_saved: u64,
}

/// The figures of the last `days` days.
pub(crate) async fn gather(store: &Store, now: Timestamp, days: u32, minutes: u32) -> Result<Figures> {
    let since = start(now, days)?;
    let outcomes = store.outcomes(since).await?;
    let costs = store.cost_by_day(since).await?;
    let mut success = Vec::new();
    for hours in [24, 24 * 7, 24 * 30] {
        let begin = now.checked_sub(SignedDuration::from_hours(i64::from(hours)))?;
        success.push(rate(hours, &store.outcomes(begin).await?));
    }
    let whole = rate(days * 24, &outcomes);
    let times = store.times_to_green(since).await?;
    let at = |part: f64| {
        let rank = (part * times.len() as f64).ceil() as usize;
        times.get(rank.saturating_sub(1)).map(std::time::Duration::as_secs_f64)
    };
    let fixers = store.fixer_sums(since).await?.into_iter().map(|sum| Fixer {
        fixer: sum.fixer,
        model: sum.model,
        attempts: sum.attempts,
        succeeded: sum.succeeded,
        cost_micro_usd: sum.cost.0,
    });
    let fixers: Vec<Fixer> = fixers.collect();
    let judged: u64 =
        outcomes.iter().filter(|one| one.outcome.as_deref() == Some("green")).map(|one| one.runs).sum();
    let judged = judged + whole.red;
    let spent: u64 = costs.iter().map(|sum| sum.cost.0).sum();
    let categories = store.category_sums(since).await?.into_iter().map(|sum| Category {
        category: sum.category,
        runs: sum.runs,
        repaired: sum.repaired,
    });
    Ok(Figures {
        days,
        success,
        by_day: by_day(since, now, &outcomes, &costs),
        by_week: by_week(&by_day(since, now, &outcomes, &costs))?,
        by_rung: by_rung(&fixers),
        by_fixer: fixers,
        by_category: categories.collect(),
        cost_by_repo: store.cost_by_repo(since).await?.into_iter().map(Cost::from).collect(),
        cost_by_model: store.cost_by_model(since).await?.into_iter().map(Cost::from).collect(),
        cost_micro_usd: spent,
        median_seconds_to_green: at(0.5),
        p95_seconds_to_green: at(0.95),
        escalated: (whole.red > 0).then(|| (whole.red - whole.healed) as f64 / whole.red as f64),
        failing: (judged > 0).then(|| whole.red as f64 / judged as f64),
        asked_per_fix: store.asked_per_fix(since).await?,
        cost_per_fix_micro_usd: spent.checked_div(whole.healed),
        minutes_by_hand: minutes,
        minutes_saved: whole.healed * u64::from(minutes),
    })
}

/// Midnight (UTC) of the first of the last `days` days.
fn start(now: Timestamp, days: u32) -> Result<Timestamp> {
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).start_of_day()?;
    Ok(today.checked_sub(jiff::Span::new().days(i64::from(days) - 1))?.timestamp())
}

fn rate(hours: u32, outcomes: &[DayOutcome]) -> Success {
    let mut success = Success { hours, ..Success::default() };
    for one in outcomes {
        let dealt = Dealt::of(one.outcome.as_deref());
        success.runs += one.runs;
        success.healed += if dealt == Dealt::Healed { one.runs } else { 0 };
        success.red += if dealt == Dealt::Other { 0 } else { one.runs };
    }
    success.rate = (success.red > 0).then(|| success.healed as f64 / success.red as f64);
    success
}

fn by_day(since: Timestamp, now: Timestamp, outcomes: &[DayOutcome], costs: &[CostSum]) -> Vec<Day> {
    let mut days = Vec::new();
    let mut at = since;
    while at <= now {
        days.push(Day { day: at.strftime("%Y-%m-%d").to_string(), ..Day::default() });
        at += SignedDuration::from_hours(24);
    }
    for one in outcomes {
        let Some(day) = days.iter_mut().find(|day| day.day == one.day) else { continue };
        match Dealt::of(one.outcome.as_deref()) {
            Dealt::Healed => day.healed += one.runs,
            Dealt::Exhausted | Dealt::LeftToPeople => day.not_healed += one.runs,
            Dealt::Other => day.other += one.runs,
        }
    }
    for sum in costs {
        if let Some(day) = days.iter_mut().find(|day| day.day == sum.name) {
            day.cost_micro_usd += sum.cost.0;
        }
    }
    days
}

/// Days by their weeks.
fn by_week(days: &[Day]) -> Result<Vec<Week>> {
    let mut weeks: Vec<Week> = Vec::new();
    for day in days {
        let date: jiff::civil::Date = day.day.parse()?;
        let back = i64::from(date.weekday().to_monday_zero_offset());
        let week = date.checked_sub(jiff::Span::new().days(back))?.to_string();
        if weeks.last().is_none_or(|last| last.week != week) {
            weeks.push(Week { week, ..Week::default() });
        }
        let Some(week) = weeks.last_mut() else { continue };
        week.healed += day.healed;
        week.red += day.healed + day.not_healed;
        week.cost_micro_usd += day.cost_micro_usd;
    }
    for week in &mut weeks {
        week.rate = (week.red > 0).then(|| week.healed as f64 / week.red as f64);
    }
    Ok(weeks)
}

/// Fixers by their kind, in the order of the usual ladder.
fn by_rung(fixers: &[Fixer]) -> Vec<Rung> {
    let all: u64 = fixers.iter().map(|fixer| fixer.succeeded).sum();
    let mut rungs = Vec::new();
    for rung in ["memory", "codefix", "model", "agent"] {
        let of = |fixer: &&Fixer| fixer.fixer.split('(').next() == Some(rung);
        let own: Vec<&Fixer> = fixers.iter().filter(of).collect();
        if own.is_empty() {
            continue;
        }
        let succeeded = own.iter().map(|fixer| fixer.succeeded).sum();
        rungs.push(Rung {
            rung: rung.to_owned(),
            attempts: own.iter().map(|fixer| fixer.attempts).sum(),
            succeeded,
            share: (all > 0).then(|| succeeded as f64 / all as f64),
            cost_micro_usd: own.iter().map(|fixer| fixer.cost_micro_usd).sum(),
        });
    }
    rungs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(day: &str, outcome: Option<&str>, runs: u64) -> DayOutcome {
        DayOutcome { day: day.to_owned(), outcome: outcome.map(str::to_owned), runs }
    }

    #[test]
    fn only_red_runs_that_are_over_count_for_the_rate() {
        let all = [
            outcome("2026-11-20", Some("healed"), 6),
            outcome("2026-11-20", Some("red"), 1),
            outcome("2026-11-20", Some("green"), 50),
            outcome("2026-11-20", Some("flaky"), 9),
            outcome("2026-11-20", None, 4),
            outcome("2026-11-21", Some("waiting"), 1),
        ];
        let success = rate(24, &all);
        assert_eq!((success.runs, success.red, success.healed, success.rate), (71, 8, 6, Some(0.75)));
        assert_eq!(rate(24, &[outcome("2026-11-20", Some("green"), 3)]).rate, None);
    }

    #[test]
    fn weeks_begin_on_mondays_and_rungs_have_their_shares() {
        let day =
            |day: &str, healed, not_healed| Day { day: day.to_owned(), healed, not_healed, ..Day::default() };
        // The first of November 2026 is a Sunday.
        let weeks =
            by_week(&[day("2026-11-01", 1, 1), day("2026-11-02", 3, 1), day("2026-11-08", 0, 0)]).unwrap();
        let seen: Vec<_> = weeks.iter().map(|week| (week.week.as_str(), week.red, week.rate)).collect();
        assert_eq!(seen, [("2026-10-26", 2, Some(0.5)), ("2026-11-02", 4, Some(0.75))]);
        let fixer = |name: &str, succeeded| Fixer {
            fixer: name.to_owned(),
            model: None,
            attempts: 4,
            succeeded,
            cost_micro_usd: 5,
        };
        let rungs = by_rung(&[fixer("model(a)", 1), fixer("model(b)", 2), fixer("codefix(rustc)", 1)]);
        let seen: Vec<_> = rungs
            .iter()
            .map(|rung| (rung.rung.as_str(), rung.attempts, rung.share, rung.cost_micro_usd))
            .collect();
        assert_eq!(seen, [("codefix", 4, Some(0.25), 5), ("model", 8, Some(0.75), 10)]);
    }

    #[test]
    fn every_day_has_a_place_even_if_nothing_happened_on_it() {
        let now: Timestamp = "2026-03-01T09:30:00Z".parse().unwrap();
        let since = start(now, 3).unwrap();
        assert_eq!(since.to_string(), "2026-02-27T00:00:00Z");
        let costs = [CostSum { name: "2026-03-01".to_owned(), cost: crate::usage::Money(7) }];
        let days = by_day(since, now, &[outcome("2026-02-27", Some("healed"), 2)], &costs);
        let seen: Vec<(&str, u64, u64)> =
            days.iter().map(|day| (day.day.as_str(), day.healed, day.cost_micro_usd)).collect();
        assert_eq!(seen, [("2026-02-27", 2, 0), ("2026-02-28", 0, 0), ("2026-03-01", 0, 7)]);
    }
}
