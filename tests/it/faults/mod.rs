//! Runs under a plan of faults that a seed decides: kills, power cuts, full and failing disks, signals, jumping clocks, models that
//! misbehave, and a user who writes meanwhile. Whatever happens: no run is lost, nothing lands twice or without proof, nothing of the
//! user's changes, every cent is booked, and nothing is left behind.
//!
//! `REGREEN_FAULT_SEEDS=17..18` runs one seed, `0..1000` a thousand; see `scripts/faults`.

mod plan;
mod relay;
pub mod supervised;
mod trial;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use trial::{Report, Trial};

/// The seeds of every test run; more by hand.
const SEEDS: Range<u64> = 0..16;

/// How the first process may end, in the order of the summary.
const ENDS: [&str; 5] = ["green", "killed", "interrupted", "limit", "gave up"];

/// What became of all seeds so far.
#[derive(Default)]
struct Summary {
    /// By kind of fault.
    kinds: BTreeMap<String, Row>,
    failures: BTreeMap<u64, String>,
    /// The processes that met faults.
    pids: Vec<u32>,
}

/// What became of the seeds with one kind of fault.
#[derive(Default)]
struct Row {
    seeds: usize,
    /// In how many it came to happen.
    met: usize,
    /// How their first process ended.
    ends: BTreeMap<&'static str, usize>,
    /// In how many something that must hold did not.
    failed: usize,
}

impl Summary {
    fn add(&mut self, seed: u64, kinds: Vec<String>, report: Result<Report, String>) {
        let (met, end) = match &report {
            Ok(report) => {
                self.pids.extend(report.pids);
                (report.met.clone(), Some(report.first))
            }
            Err(_) => (kinds.into_iter().map(|kind| (kind, true)).collect(), None),
        };
        for (kind, met) in met {
            let row = self.kinds.entry(kind).or_default();
            row.seeds += 1;
            row.met += usize::from(met);
            match end {
                Some(end) => *row.ends.entry(end).or_default() += 1,
                None => row.failed += 1,
            }
        }
        if let Err(why) = report {
            self.failures.insert(seed, why);
        }
    }

    fn text(&self, seeds: &Range<u64>, seconds: u64) -> String {
        let mut text = format!("{:32} {:>6} {:>6}", "fault", "seeds", "met");
        for end in ENDS {
            let _ = write!(text, " {end:>11}");
        }
        let _ = writeln!(text, " {:>7}", "failed");
        for (kind, Row { seeds: all, met, ends, failed }) in &self.kinds {
            let _ = write!(text, "{kind:32} {all:6} {met:6}");
            for end in ENDS {
                let _ = write!(text, " {:11}", ends.get(end).copied().unwrap_or(0));
            }
            let _ = writeln!(text, " {failed:7}");
        }
        let count = seeds.end - seeds.start;
        let _ = writeln!(text, "{count} seeds ({seeds:?}) in {seconds} s, {} failed", self.failures.len());
        for (seed, why) in &self.failures {
            let _ = writeln!(text, "seed {seed} failed: scripts/faults {seed}..{}\n{why}", seed + 1);
        }
        text
    }
}

/// The control groups of these processes that outlived them and the next start of the program.
fn groups_left(pids: &[u32]) -> Vec<PathBuf> {
    plan::Scene::Worktree.project().regreen(&["doctor"]);
    let folders =
        ["", "unified", "memory", "pids"].map(|name| Path::new("/sys/fs/cgroup").join(name).join("regreen"));
    let groups = folders.iter().flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten());
    let of_the_dead = |group: &PathBuf| {
        let name = group.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let pid = name.split_once('-').and_then(|(pid, _)| pid.parse().ok());
        pid.is_some_and(|pid: u32| pids.contains(&pid) && !Path::new("/proc").join(pid.to_string()).exists())
    };
    groups.map(|entry| entry.path()).filter(of_the_dead).collect()
}

/// Runs one seed; what a failed check said is the error.
fn carry_out(seed: u64) -> (Vec<String>, Result<Report, String>) {
    let kinds = plan::Plan::of(seed).kinds.into_iter().map(|kind| kind.name).collect();
    let ran = catch_unwind(AssertUnwindSafe(|| Trial::new(seed).run()));
    let report = ran.map_err(|panic| match panic.downcast::<String>() {
        Ok(said) => *said,
        Err(other) => other.downcast_ref::<&str>().map_or_else(String::new, |said| (*said).to_owned()),
    });
    (kinds, report)
}

#[test]
fn whatever_happens_nothing_is_lost() {
    let seeds = std::env::var("REGREEN_FAULT_SEEDS").ok().map_or(SEEDS, |text| {
        let (from, to) = text.split_once("..").expect("FROM..TO");
        from.parse().expect("a number")..to.parse().expect("a number")
    });
    let began = Instant::now();
    let (next, summary) = (AtomicU64::new(seeds.start), Mutex::new(Summary::default()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let (kinds, report) = carry_out(seed);
                    match &report {
                        Ok(report) => eprintln!(
                            "seed {seed}: {}: {} of {} calls, {} events; {:?}",
                            kinds.join(" + "),
                            report.first,
                            report.calls,
                            report.events,
                            report.at
                        ),
                        Err(_) => eprintln!("seed {seed}: {}: FAILED", kinds.join(" + ")),
                    }
                    summary.lock().expect("no worker panics").add(seed, kinds, report);
                }
            });
        }
    });
    let summary = summary.into_inner().expect("no worker panics");
    let groups = groups_left(&summary.pids);
    assert!(groups.is_empty(), "control groups of dead processes are left: {groups:?}");
    let text = summary.text(&seeds, began.elapsed().as_secs());
    eprintln!("{text}");
    if let Some(file) = std::env::var_os("REGREEN_FAULT_SUMMARY").filter(|file| !file.is_empty()) {
        std::fs::write(file, &text).expect("the summary is written");
    }
    assert!(summary.failures.is_empty(), "{text}");
}
