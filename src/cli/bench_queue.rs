//! `regreen bench queue`: how fast runs are claimed, held against the least that could be done in the same database.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use super::page::Page;
use super::paint::{out, say, table};
use super::session::{Session, new_id};
use crate::fault::{Exit, Fault};
use crate::store::measure::{Bare, bury};
use crate::store::{NewEvent, NewRun, Priority, RunFilter, Status, Store, Submission};

/// The queue: claims per second, the time from submit to claim, and how both grow.
///
/// It fills the store with runs, so it takes an empty one only: another state folder, or an empty database (`scripts/bench-queue` makes one).
#[derive(Debug, clap::Args)]
pub(super) struct Queue {
    /// Measure with so many finished runs in the store, one after the other
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000, 1_000_000])]
    finished: Vec<u64>,
    /// So many runs are claimed in each round
    #[arg(long, value_name = "N", default_value_t = 200)]
    runs: usize,
    /// Rounds for each number of finished runs: the queue and the bare loop take turns
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Of so many repos
    #[arg(long, value_name = "N", default_value_t = 200)]
    repos: usize,
    /// By so many workers at once
    #[arg(long, value_name = "N", default_value_t = 4)]
    workers: usize,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

/// What was measured with so many finished runs. Medians over the rounds, with the quarters of the rounds below and above.
#[derive(Debug, Serialize)]
struct Figures {
    finished: u64,
    submits_per_second: f64,
    /// Claimed and taken out of the queue again.
    claims_per_second: f64,
    /// The same number of rows, claimed and removed with nothing around it.
    bare_per_second: f64,
    /// The one by the other, round by round.
    ratio: Spread,
    median_wait_ms: f64,
    p95_wait_ms: f64,
}

/// The middle of what was measured, and where its middle half lies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Spread {
    median: f64,
    lower_quartile: f64,
    upper_quartile: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
        Self { median: at(0.5), lower_quartile: at(0.25), upper_quartile: at(0.75) }
    }
}

impl Queue {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        let store = &session.store;
        if !store.runs(&RunFilter::default(), 1).await?.is_empty() {
            return Err(Fault::usage("the store holds runs, and this would fill it with thousands more")
                .hint("set REGREEN_STATE_DIR to an empty folder or REGREEN_DATABASE_URL to an empty database; scripts/bench-queue does")
                .into());
        }
        let mut rows = vec![
            ["FINISHED", "SUBMITS/S", "CLAIMS/S", "BARE/S", "RATIO", "WAIT MEDIAN", "WAIT P95"]
                .map(String::from)
                .to_vec(),
        ];
        let mut there = 0;
        for finished in &self.finished {
            if !self.json {
                say(&format!("with {finished} finished runs"));
            }
            // What was measured before is part of what is there.
            bury(store, finished.saturating_sub(there)).await?;
            there = there.max(*finished);
            let figures = self.measure(store, *finished).await?;
            if self.json {
                out(&serde_json::to_string(&figures)?)?;
            }
            rows.push(vec![
                finished.to_string(),
                format!("{:.0}", figures.submits_per_second),
                format!("{:.0}", figures.claims_per_second),
                format!("{:.0}", figures.bare_per_second),
                format!(
                    "{:.2} ({:.2}–{:.2})",
                    figures.ratio.median, figures.ratio.lower_quartile, figures.ratio.upper_quartile
                ),
                format!("{:.1} ms", figures.median_wait_ms),
                format!("{:.1} ms", figures.p95_wait_ms),
            ]);
        }
        if !self.json {
            out(&table(&rows, Page::of_stdout()))?;
        }
        Ok(Exit::Green)
    }

    async fn measure(&self, store: &Store, finished: u64) -> Result<Figures> {
        let (mut submits, mut claims, mut bares) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..self.rounds {
            let began = Instant::now();
            for n in 0..self.runs {
                submit(store, &format!("/bench/{}", n % self.repos)).await?;
            }
            submits.push(per_second(self.runs, began.elapsed()));
            let bare = Bare::new(store, self.runs).await?;
            // What else the machine does meets both alike, and neither always comes first.
            for ours in [round % 2 == 0, round % 2 != 0] {
                let began = Instant::now();
                let mut workers = tokio::task::JoinSet::new();
                for worker in 0..self.workers {
                    let (store, bare) = (store.clone(), bare.clone());
                    workers.spawn(async move {
                        if ours { drain(&store, worker).await } else { bare.drain().await }
                    });
                }
                while let Some(done) = workers.join_next().await {
                    done??;
                }
                let speeds = if ours { &mut claims } else { &mut bares };
                speeds.push(per_second(self.runs, began.elapsed()));
            }
            bare.remove().await?;
        }
        let ratios = claims.iter().zip(&bares).map(|(ours, bare)| ours / bare).collect();
        let mut waits = waits(store).await?;
        waits.sort();
        let at = |share: f64| 1000.0 * waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64();
        Ok(Figures {
            finished,
            submits_per_second: Spread::of(submits).median,
            claims_per_second: Spread::of(claims).median,
            bare_per_second: Spread::of(bares).median,
            ratio: Spread::of(ratios),
            median_wait_ms: at(0.5),
            p95_wait_ms: at(0.95),
        })
    }
}

fn per_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(1e-9)
}

async fn submit(store: &Store, repo: &str) -> Result<()> {
    let run = NewRun {
        id: new_id(),
        repo: repo.to_owned(),
        trigger: "heal".to_owned(),
        goal: "true".to_owned(),
        status: Status::Queued,
        base: None,
    };
    let submission = Submission {
        run,
        priority: Priority::Normal,
        key: None,
        delay: Duration::ZERO,
        proposes: None,
        heals: None,
    };
    store.submit(&submission, &NewEvent::new(store.now(), "submitted", serde_json::json!({}))).await.map(drop)
}

/// Claims and ends runs until there are none.
async fn drain(store: &Store, worker: usize) -> Result<()> {
    let name = format!("bench-{worker}");
    // A repo may be another worker's at the moment: only an empty queue is the end.
    while store.depth().await? != crate::store::Depth::default() {
        while let Some(claim) = store.claim(&name).await? {
            store.over(claim).await?;
        }
    }
    Ok(())
}

/// How long a worker that waits needs to have what is submitted.
async fn waits(store: &Store) -> Result<Vec<Duration>> {
    let mut waits = Vec::new();
    let mut wake = store.wake().await?;
    for n in 0..40 {
        let began = Instant::now();
        submit(store, &format!("/bench/wait/{n}")).await?;
        loop {
            wake.changed().await;
            if let Some(claim) = store.claim("bench").await? {
                waits.push(began.elapsed());
                store.over(claim).await?;
                break;
            }
        }
    }
    Ok(waits)
}
