//! `regreen bench fairness`: how long runs of very many repos wait in the real queue, under a clock of its own.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Serialize;

use super::page::Page;
use super::paint::{out, say, table};
use crate::clock::{Clock, human};
use crate::fault::Exit;
use crate::store::{Claim, NewEvent, NewRun, Priority, Status, Store, Submission};

/// Who waits how long: very many repos, a few of which submit most of the runs, and workers that cannot keep up for a while.
///
/// Every run is submitted to, claimed from and taken out of the real queue (SQLite, in a folder of its own); only the time is made up, so
/// the same seed gives the same figures.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Fairness {
    /// So many repos; the runs of the n-th are as frequent as 1/n
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    repos: u32,
    /// So many runs
    #[arg(long, value_name = "N", default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    runs: u32,
    /// So many workers, with a run each
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    workers: u32,
    /// How much more is submitted than the workers can do, as long as runs are submitted
    #[arg(long, value_name = "FACTOR", default_value_t = 1.5)]
    load: f64,
    /// Where chance begins
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// What a run takes on the average.
const TAKES: Duration = Duration::from_secs(300);

/// How often each priority is submitted, in percent, from the most urgent on.
const MIX: [u64; 4] = [5, 15, 60, 20];

/// How long runs waited.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Waits {
    priority: &'static str,
    runs: usize,
    /// From submission to claim.
    whole: Times,
    /// What of it was the wait for a worker: since the run came, and its repo had no other one under way.
    for_worker: Times,
}

/// Times, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Times {
    median: f64,
    p95: f64,
    p99: f64,
    longest: f64,
}

impl Times {
    /// Of some milliseconds, at least one.
    fn of(mut millis: Vec<i64>) -> Self {
        millis.sort_unstable();
        let at = |share: f64| millis[((millis.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
        Self { median: at(0.5), p95: at(0.95), p99: at(0.99), longest: at(1.0) }
    }
}

/// A run that was claimed.
#[derive(Debug, Clone, Copy)]
struct Waited {
    priority: Priority,
    whole: i64,
    for_worker: i64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Figures {
    repos: usize,
    runs: usize,
    /// How long runs were submitted, by the clock of the simulation.
    submitted_for_seconds: f64,
    /// How long it took until all were done.
    done_after_seconds: f64,
    by_priority: Vec<Waits>,
    /// How evenly repos were served when the last run came in: Jain's index over what each repo got of what would have been even
    /// (max-min). 1 is even.
    jain: f64,
    /// The same, had all been done in the order in which they came.
    jain_first_come: f64,
}

/// The next of a row of numbers that look like chance.
struct Chance(u64);

impl Chance {
    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to 1, without 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// So many milliseconds on the average, often less and seldom much more.
    fn about(&mut self, mean: f64) -> i64 {
        (-mean * (1.0 - self.share()).ln()).round() as i64
    }
}

/// A clock that stands where it is put.
#[derive(Debug, Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::Relaxed)).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// A run that comes in.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    at: i64,
    repo: usize,
    priority: Priority,
    takes: i64,
}

impl Fairness {
    pub(super) async fn run(self) -> Result<Exit> {
        let folder = tempfile::tempdir().context("no folder for the store")?;
        if !self.json {
            say(&format!("{} runs of {} repos, by {} workers", self.runs, self.repos, self.workers));
        }
        let figures = self.simulate(folder.path()).await?;
        if self.json {
            out(&serde_json::to_string(&figures)?)?;
            return Ok(Exit::Green);
        }
        let time = |seconds: f64| human(Duration::from_secs_f64(seconds));
        let mut rows = vec![
            [
                "PRIORITY",
                "RUNS",
                "WAIT MEDIAN",
                "P95",
                "LONGEST",
                "FOR A WORKER: MEDIAN",
                "P95",
                "P99",
                "LONGEST",
            ]
            .map(String::from)
            .to_vec(),
        ];
        rows.extend(figures.by_priority.iter().map(|waits| {
            let (whole, worker) = (waits.whole, waits.for_worker);
            let whole = [whole.median, whole.p95, whole.longest];
            let times = whole.into_iter().chain([worker.median, worker.p95, worker.p99, worker.longest]);
            let head = [waits.priority.to_owned(), waits.runs.to_string()];
            head.into_iter().chain(times.map(time)).collect()
        }));
        out(&table(&rows, Page::of_stdout()))?;
        out(&format!(
            "\nsubmitted for {}, done after {}; served evenly among {} repos: {:.3} (in the order of arrival: {:.3})\n",
            time(figures.submitted_for_seconds),
            time(figures.done_after_seconds),
            figures.repos,
            figures.jain,
            figures.jain_first_come,
        ))?;
        Ok(Exit::Green)
    }

    /// The runs in the order in which they come in.
    fn arrivals(&self) -> Vec<Arrival> {
        let mut chance = Chance(self.seed);
        let mut sum = 0.0;
        let often: Vec<f64> = (1..=self.repos)
            .map(|n| {
                sum += 1.0 / f64::from(n);
                sum
            })
            .collect();
        let between = TAKES.as_millis() as f64 / f64::from(self.workers) / self.load.max(0.01);
        let mut at = 0;
        let one = |_| {
            at += chance.about(between);
            let place = chance.share() * sum;
            let repo = often.partition_point(|end| *end <= place).min(often.len() - 1);
            let (mut of_hundred, mut level) = (chance.next() % 100, 0);
            while of_hundred >= MIX[level] {
                of_hundred -= MIX[level];
                level += 1;
            }
            let takes = chance.about(TAKES.as_millis() as f64).max(1);
            Arrival { at, repo, priority: Priority::ALL[level], takes }
        };
        (0..self.runs).map(one).collect()
    }

    async fn simulate(&self, folder: &Path) -> Result<Figures> {
        let clock = Arc::new(Hand::default());
        let store = Store::open_with(&folder.join("regreen.db"), clock.clone()).await?;
        let arrivals = self.arrivals();
        let last = arrivals.last().map_or(0, |arrival| arrival.at);
        let mut coming = arrivals.iter().enumerate().peekable();
        // When each ends, and its number.
        let mut ends: BinaryHeap<Reverse<(i64, usize)>> = BinaryHeap::new();
        let mut under_way: BTreeMap<usize, Claim> = BTreeMap::new();
        let mut waits: Vec<Waited> = Vec::new();
        // When each repo had its last run end.
        let mut free = vec![0_i64; self.repos as usize];
        let mut served = vec![0_u64; self.repos as usize];
        let mut served_then = None;
        let mut now = 0;
        loop {
            let arrival = coming.peek().map(|(_, arrival)| arrival.at);
            let end = ends.peek().map(|Reverse((at, _))| *at);
            let next = [arrival, end].into_iter().flatten().min();
            let Some(next) = next else { break };
            now = next;
            clock.0.store(now, Ordering::Relaxed);
            while let Some((number, arrival)) = coming.next_if(|(_, arrival)| arrival.at <= now) {
                submit(&store, number, arrival).await?;
            }
            if coming.peek().is_none() && served_then.is_none() {
                served_then = Some(served.clone());
            }
            while ends.peek().is_some_and(|Reverse((at, _))| *at <= now) {
                let Some(Reverse((_, number))) = ends.pop() else { break };
                let claim = under_way.remove(&number).context("a run ended that nobody had")?;
                store.over(claim).await?;
                free[arrivals[number].repo] = now;
            }
            while under_way.len() < self.workers as usize {
                let Some(claim) = store.claim("bench").await? else { break };
                let number: usize = claim.run.trim_start_matches("run-").parse()?;
                let arrival = arrivals[number];
                let ready = arrival.at.max(free[arrival.repo]);
                let (whole, for_worker) = (now - arrival.at, now - ready);
                waits.push(Waited { priority: arrival.priority, whole, for_worker });
                served[arrival.repo] += 1;
                ends.push(Reverse((now + arrival.takes, number)));
                under_way.insert(number, claim);
            }
        }
        store.close().await;
        let served = served_then.unwrap_or(served);
        let mut asked = vec![0_u64; self.repos as usize];
        arrivals.iter().for_each(|arrival| asked[arrival.repo] += 1);
        let mut first_come = vec![0_u64; self.repos as usize];
        let done = usize::try_from(served.iter().sum::<u64>())?;
        arrivals[..done].iter().for_each(|arrival| first_come[arrival.repo] += 1);
        Ok(Figures {
            repos: asked.iter().filter(|runs| **runs > 0).count(),
            runs: waits.len(),
            submitted_for_seconds: last as f64 / 1000.0,
            done_after_seconds: now as f64 / 1000.0,
            by_priority: Priority::ALL.into_iter().filter_map(|priority| of(priority, &waits)).collect(),
            jain: jain(&served, &asked),
            jain_first_come: jain(&first_come, &asked),
        })
    }
}

async fn submit(store: &Store, number: usize, arrival: &Arrival) -> Result<()> {
    let run = NewRun {
        // Of two that are due at once the one with the lower id is the older.
        id: format!("run-{number:08}"),
        repo: format!("/bench/{:07}", arrival.repo),
        trigger: "heal".to_owned(),
        goal: "true".to_owned(),
        status: Status::Queued,
        base: None,
    };
    let submission = Submission {
        run,
        priority: arrival.priority,
        key: None,
        delay: Duration::ZERO,
        proposes: None,
        heals: None,
    };
    let event = NewEvent::new(store.now(), "submitted", serde_json::json!({}));
    store.submit(&submission, &event).await.map(drop)
}

/// How long the runs of a priority waited, if there were any.
fn of(priority: Priority, waits: &[Waited]) -> Option<Waits> {
    let own: Vec<Waited> = waits.iter().filter(|waited| waited.priority == priority).copied().collect();
    (!own.is_empty()).then(|| Waits {
        priority: priority.as_str(),
        runs: own.len(),
        whole: Times::of(own.iter().map(|waited| waited.whole).collect()),
        for_worker: Times::of(own.iter().map(|waited| waited.for_worker).collect()),
    })
}

/// Jain's index of what each repo got by what it would have got if all were served evenly: nobody more than they asked for, and nobody more
/// than another one who still waits.
fn jain(served: &[u64], asked: &[u64]) -> f64 {
    let (mut left, mut waiting) = (served.iter().sum::<u64>() as f64, Vec::new());
    waiting.extend(asked.iter().zip(served).filter(|(asked, _)| **asked > 0));
    waiting.sort_unstable();
    let many = waiting.len();
    let (mut sum, mut squares) = (0.0, 0.0);
    for (place, (asked, served)) in waiting.into_iter().enumerate() {
        let even = (left / (many - place) as f64).min(*asked as f64);
        left -= even;
        let share = if even > 0.0 { *served as f64 / even } else { 1.0 };
        sum += share;
        squares += share * share;
    }
    if squares == 0.0 { 1.0 } else { sum * sum / (many as f64 * squares) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_served_evenly_has_an_index_of_one() {
        assert_eq!(jain(&[2, 2, 2], &[9, 2, 5]), 1.0);
        // The small ones have all they asked for, the large one what is left.
        assert_eq!(jain(&[8, 1, 1], &[9, 1, 1]), 1.0);
        assert_eq!(jain(&[4, 0], &[4, 4]), 0.5);
        assert_eq!(jain(&[0, 0], &[0, 0]), 1.0);
    }

    #[tokio::test]
    async fn the_crowd_is_served_evenly_and_no_priority_is_starved() {
        let asked = Fairness { repos: 60, runs: 400, workers: 8, load: 1.5, seed: 7, json: true };
        let [one, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let figures = asked.simulate(one.path()).await.unwrap();
        assert_eq!(figures, asked.simulate(other.path()).await.unwrap(), "the same seed is the same story");
        assert_eq!(figures.runs, 400);
        assert!(figures.jain > 0.8 && figures.jain > figures.jain_first_come, "{figures:?}");
        let [urgent, high, normal, low] = figures.by_priority.as_slice() else { panic!("{figures:?}") };
        assert!(urgent.whole.median <= high.whole.median, "{figures:?}");
        assert!(high.whole.median <= normal.whole.median, "{figures:?}");
        assert!(low.whole.median >= normal.whole.median, "{figures:?}");
        // The least urgent wait longest for a worker, but not much longer than their patience, and not to the end.
        let patience = Priority::Low.patience().as_secs_f64();
        assert!(low.for_worker.longest < 2.0 * patience, "{figures:?}");
    }
}
