//! `regreen bench`: how well parts of Regreen do, measured.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Subcommand;
use regex::Regex;
use serde::Serialize;

use super::page::Page;
use super::paint::{CARE, line, out, paint, plain, say, table};
use crate::fault::{Exit, Fault};
use crate::git::Repo;
use crate::guards::measure::history::{Commit, Touches, measure};
use crate::guards::measure::{Counts, Table, Verdict, builtin, interval, read};

/// How well parts of Regreen do, measured.
#[derive(Debug, clap::Args)]
pub(super) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The guards: what passes of cheats, and what is held up of honest changes
    Guards(Guards),
    /// The queue: claims per second, the time from submit to claim, and how both grow
    Queue(super::bench_queue::Queue),
    Fairness(super::bench_fairness::Fairness),
    Memory(super::bench_memory::Memory),
}

/// The guards: what passes of cheats, and what is held up of honest changes.
///
/// Without `--repo` a corpus is judged: cheats, and honest changes that resemble them. With `--repo` the true patches of that project's
/// history are, read from git's objects; nothing of it is run. Shares are in percent, with the range that they lie in 19 times of 20.
#[derive(Debug, clap::Args)]
struct Guards {
    /// A folder with a corpus (`*.cases`), instead of the one that is built in
    #[arg(long, value_name = "DIR", conflicts_with = "repo")]
    cases: Option<PathBuf>,
    /// Judge the history of this repo; several count together
    #[arg(long, value_name = "PATH")]
    repo: Vec<PathBuf>,
    /// So many commits of each repo at most, the newest first
    #[arg(long, value_name = "N", default_value_t = 200, requires = "repo")]
    commits: usize,
    /// Only commits whose subject matches
    #[arg(
        long,
        value_name = "PATTERN",
        default_value = r"(?i)\b(?:fix\w*|bugs?|crash\w*|panics?|regressions?|correct\w*|repair\w*|wrong|broken)\b",
        requires = "repo"
    )]
    subject: String,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

impl Bench {
    pub(super) async fn run(self) -> Result<Exit> {
        match self.what {
            What::Queue(queue) => queue.run().await,
            What::Fairness(fairness) => fairness.run().await,
            What::Memory(memory) => memory.run().await,
            What::Guards(guards) => guards.run().await,
        }
    }
}

impl Guards {
    async fn run(self) -> Result<Exit> {
        if self.repo.is_empty() { self.corpus() } else { self.history().await }
    }

    fn corpus(&self) -> Result<Exit> {
        let cases = match &self.cases {
            Some(folder) => read(folder)?,
            None => builtin()?,
        };
        let mut figures = Table::default();
        for case in &cases {
            figures.add(case, &case.inspect()?);
        }
        let exit = if figures.wrong.is_empty() { Exit::Green } else { Exit::Red };
        if self.json {
            out(&serde_json::to_string_pretty(&figures)?)?;
            return Ok(exit);
        }
        out(&confusion(&figures))?;
        for wrong in &figures.wrong {
            say(&paint(CARE, plain(wrong)));
        }
        let judged = cases.len() - figures.wrong.len();
        say(&format!("{judged} of {} cases are judged as they say", cases.len()));
        Ok(exit)
    }

    async fn history(&self) -> Result<Exit> {
        let subject = Regex::new(&self.subject)
            .map_err(|error| Fault::usage(format!("--subject is no pattern: {error}")))?;
        let mut figures = History::default();
        for at in &self.repo {
            let repo =
                Repo::discover(at).await?.with_context(|| format!("{} is in no repository", at.display()));
            let repo =
                repo.map_err(|error| Fault::usage(error.to_string()).hint("name a clone with --repo"))?;
            let past = measure(&repo, self.commits, &subject, &mut |_| {}).await?;
            if past.missing > 0 {
                let (n, place) = (past.missing, at.display());
                say(&format!(
                    "{n} commits of {place} are left out: the clone does not have all of their files"
                ));
            }
            let commits = past.commits;
            let (Some(newest), Some(oldest)) = (commits.first(), commits.last()) else {
                let fault = Fault::usage(format!(
                    "no commit of {} with one parent changes code and has such a subject",
                    at.display()
                ));
                return Err(fault.hint("say --subject . for all commits").into());
            };
            let range = [&oldest.id, &newest.id].map(String::to_owned);
            let mut own =
                Source { repo: at.clone(), range, missing: past.missing, unchanged: Counts::default() };
            for commit in commits {
                if commit.touches.leaves_the_rules() {
                    own.unchanged.count(commit.verdict);
                }
                figures.add(commit);
            }
            figures.repos.push(own);
        }
        out(&if self.json { serde_json::to_string_pretty(&figures)? } else { figures.text() })?;
        Ok(Exit::Green)
    }
}

/// What the guards said of histories.
#[derive(Debug, Default, Serialize)]
struct History {
    /// Where the commits are from.
    repos: Vec<Source>,
    /// By what the commits touch.
    touches: Vec<(Touches, Counts)>,
    /// Commits that leave existing tests as they are and were held up all the same.
    alarms: Vec<Commit>,
}

/// One repo's part.
#[derive(Debug, Serialize)]
struct Source {
    repo: PathBuf,
    /// The oldest and the newest commit that was judged.
    range: [String; 2],
    /// Commits that could not be judged because the clone does not have all of their files.
    missing: usize,
    /// What was said of the commits that change neither existing tests nor configuration.
    unchanged: Counts,
}

impl History {
    fn add(&mut self, commit: Commit) {
        let row = match self.touches.iter_mut().find(|(touches, _)| *touches == commit.touches) {
            Some(row) => row,
            None => {
                self.touches.push((commit.touches, Counts::default()));
                self.touches.sort_by_key(|(touches, _)| *touches);
                return self.add(commit);
            }
        };
        row.1.count(commit.verdict);
        if commit.verdict != Verdict::Allowed && commit.touches != Touches::OldTests {
            self.alarms.push(commit);
        }
    }

    /// What was said of the commits that change neither existing tests nor configuration, without those that are held up only because they
    /// silence a complaint: that is refused by design.
    fn loud(&self) -> Counts {
        let mut counts = self.repos.iter().fold(Counts::default(), |sum, source| sum + source.unchanged);
        for alarm in self.alarms.iter().filter(|alarm| alarm.touches.leaves_the_rules()) {
            if alarm.findings.iter().all(|finding| finding.guard == "silenced") {
                match alarm.verdict {
                    Verdict::Refused => counts.refused -= 1,
                    _ => counts.needs_approval -= 1,
                }
            }
        }
        counts
    }

    /// What the guards say of the first two kinds, by guard: how many commits of each verdict have such a finding.
    fn reasons(&self) -> Vec<Vec<String>> {
        let mut guards: BTreeMap<&str, Counts> = BTreeMap::new();
        for alarm in self.alarms.iter().filter(|alarm| alarm.touches.leaves_the_rules()) {
            let named: BTreeSet<&str> = alarm.findings.iter().map(|finding| finding.guard.as_str()).collect();
            named.into_iter().for_each(|guard| guards.entry(guard).or_default().count(alarm.verdict));
        }
        let head = ["WHAT HELD THEM UP", "commits", "of them refused"].map(str::to_owned).to_vec();
        let row = |(guard, counts): (&str, Counts)| {
            vec![guard.to_owned(), counts.all().to_string(), counts.refused.to_string()]
        };
        std::iter::once(head).chain(guards.into_iter().map(row)).collect()
    }

    fn text(&self) -> String {
        let row = |name: String, counts: &Counts| {
            let mut row = [vec![name], cells(counts)].concat();
            row.extend(
                [counts.refused + counts.needs_approval, counts.refused].map(|n| share(n, counts.all())),
            );
            row
        };
        let head = |first: &str| {
            let mut row = heading(first, 1);
            row.extend(["held up (95 %)", "refused (95 %)"].map(str::to_owned));
            row
        };
        let mut rows = vec![head("HONEST COMMITS THAT CHANGE")];
        let unchanged = self.repos.iter().fold(Counts::default(), |sum, source| sum + source.unchanged);
        for (touches, counts) in &self.touches {
            let name = match touches {
                Touches::Code => "code alone",
                Touches::NewTests => "code, and add tests",
                Touches::Configuration => "configuration or dependencies",
                Touches::OldTests => "existing tests",
            };
            rows.push(row(name.to_owned(), counts));
        }
        rows.push(row("the first two together".to_owned(), &unchanged));
        rows.push(row("of them, without what only silences a complaint".to_owned(), &self.loud()));
        let mut text = table(&rows, Page::of_stdout());
        let mut rows = vec![head("THE FIRST TWO, BY REPO")];
        for source in &self.repos {
            let [oldest, newest] = &source.range;
            rows.push(row(
                format!("{} {oldest:.10}..{newest:.10}", source.repo.display()),
                &source.unchanged,
            ));
        }
        text.push('\n');
        text.push_str(&table(&rows, Page::of_stdout()));
        text.push('\n');
        text.push_str(&table(&self.reasons(), Page::of_stdout()));
        for alarm in &self.alarms {
            text.push_str(&format!("\n{:.10}  {}\n", alarm.id, line(&alarm.subject, 100)));
            for finding in alarm.findings.iter().take(4) {
                text.push_str(&format!("    {}\n", line(&finding.to_string(), 160)));
            }
        }
        text
    }
}

/// A share in percent with the range that it lies in.
fn share(part: usize, all: usize) -> String {
    let (low, high) = interval(part, all);
    match all {
        0 => "-".to_owned(),
        _ => format!("{:.1} ({:.1} to {:.1})", 100.0 * part as f64 / all as f64, 100.0 * low, 100.0 * high),
    }
}

fn heading(first: &str, sides: usize) -> Vec<String> {
    let verdicts = ["all", "allowed", "needs approval", "refused"];
    let names = verdicts.iter().map(|name| (*name).to_owned());
    [first.to_owned()].into_iter().chain(names.cycle().take(verdicts.len() * sides)).collect()
}

fn cells(counts: &Counts) -> Vec<String> {
    [counts.all(), counts.allowed, counts.needs_approval, counts.refused]
        .map(|count| count.to_string())
        .to_vec()
}

/// The confusion table: honest changes and cheats by language, then each guard's part.
fn confusion(figures: &Table) -> String {
    let mut text = String::new();
    for (side, name) in ["HONEST CHANGES", "CHEATS"].into_iter().enumerate() {
        let mut rows = vec![heading(name, 1)];
        let mut all = Counts::default();
        for (language, sides) in &figures.languages {
            rows.push([vec![language.clone()], cells(&sides[side])].concat());
            all = all + sides[side];
        }
        rows.push([vec!["together".to_owned()], cells(&all)].concat());
        text.push_str(&table(&rows, Page::of_stdout()));
        text.push('\n');
    }
    let mut rows = vec![
        ["GUARD", "cheats named", "found", "honest with findings", "not wanted"].map(str::to_owned).to_vec(),
    ];
    for (guard, share) in &figures.guards {
        let counts =
            [share.named, share.found, share.alarms, share.false_alarms].map(|count| count.to_string());
        rows.push([vec![guard.clone()], counts.to_vec()].concat());
    }
    text + &table(&rows, Page::of_stdout())
}
