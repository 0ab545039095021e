//! `regreen repo`: the repos that Regreen looks after.

use std::path::PathBuf;

use anyhow::Result;
use jiff::SignedDuration;
use serde::Serialize;

use super::page::Page;
use super::paint::{BAD, CARE, DIM, GOOD, NAME, STRONG, folder, line, out, paint, say, table};
use super::session::Session;
use super::token::record;
use crate::fault::{Exit, Fault};
use crate::repos::{Health, Known, Look, RECENT, kept, known, look, machine, root_of};
use crate::store::{KnownAs, RepoRow, RunRow, short};
use crate::usage::Money;

/// The repos that Regreen looks after: pause them, let more runs go on at once, see how they do.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regreen repo add /srv/shop
  regreen repo show /srv/shop
  regreen repo pause /srv/shop --reason 'release on Friday'
  regreen repo set /srv/shop --concurrency 2
  regreen repo remove /srv/shop")]
pub(super) struct RepoCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Add a repo: who may only submit can name it from then on
    Add {
        /// The repo, or a folder inside it
        #[arg(default_value = ".")]
        repo: PathBuf,
    },
    /// List the repos that were added or that there are runs of
    List {
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Show a repo: what its runs need, its checks, how it has been doing
    Show {
        /// The repo, or a folder inside it
        #[arg(default_value = ".")]
        repo: PathBuf,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Begin no more runs of a repo; what is under way goes on to its end
    Pause {
        /// The repo, or a folder inside it
        #[arg(default_value = ".")]
        repo: PathBuf,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Let a paused repo go on
    Unpause {
        /// The repo, or a folder inside it
        #[arg(default_value = ".")]
        repo: PathBuf,
    },
    /// Forget a repo that has nothing in the queue: its runs stay, and who may only submit can name it no more
    Remove {
        /// The repo, or a folder inside it
        #[arg(default_value = ".")]
        repo: PathBuf,
    },
    /// Change what holds for a repo
    Set {
        /// The repo, or a folder inside it
        #[arg(default_value = ".")]
        repo: PathBuf,
        /// How many of its runs may be under way at once
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
        concurrency: u32,
    },
}

impl RepoCommand {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        let find = async |named: &PathBuf| known(&session.store, named, &session.environment).await;
        let by = &crate::process::user();
        let done = match self.what {
            What::List { json } => return list(&session, json).await,
            What::Show { repo, json } => return show(&session, &find(&repo).await?, json).await,
            What::Add { repo } => {
                let root = root_of(&session.environment.cwd().join(repo), &session.environment).await?;
                let new = session.store.add_repo(&root, by).await?;
                record(&session, "repo add", &root).await?;
                let root = line(&root, 200);
                if new { format!("{root} is added") } else { format!("{root} was added before") }
            }
            What::Pause { repo, reason } => {
                if reason.trim().is_empty() {
                    return Err(Fault::usage("the reason is empty")
                        .hint("say why the repo is paused")
                        .into());
                }
                let root = find(&repo).await?.repo;
                session.store.pause(&root, by, &session.redactor().redact(reason.trim())).await?;
                record(&session, "repo pause", &root).await?;
                format!("{} begins no more runs", line(&root, 200))
            }
            What::Unpause { repo } => {
                let root = find(&repo).await?.repo;
                session.store.unpause(&root).await?;
                record(&session, "repo unpause", &root).await?;
                format!("{} goes on", line(&root, 200))
            }
            What::Set { repo, concurrency } => {
                let root = find(&repo).await?.repo;
                session.store.limit_repo(&root, concurrency).await?;
                record(&session, "repo set", &format!("{root} (concurrency {concurrency})")).await?;
                format!("{} may have {concurrency} under way at once", line(&root, 200))
            }
            What::Remove { repo } => {
                let root = find(&repo).await?.repo;
                if let Some(fault) = kept(session.store.remove_repo(&root, &KnownAs::Anything).await?) {
                    return Err(fault.into());
                }
                record(&session, "repo remove", &root).await?;
                format!("{} is removed; its runs stay listed", line(&root, 200))
            }
        };
        say(&format!("{} {done}", paint(GOOD, "✔")));
        Ok(Exit::Green)
    }
}

/// Repos that are read at a time.
const PAGE: u32 = 200;

async fn list(session: &Session, json: bool) -> Result<Exit> {
    let mut rows = vec![
        ["REPO", "STATE", "QUEUED", "WAITING", "HEALED", "LAST RUN (UTC)", "AT"].map(String::from).to_vec(),
    ];
    let mut after: Option<String> = None;
    loop {
        let page = session.store.repos(after.as_deref(), None, PAGE).await?;
        for row in &page {
            if json {
                out(&serde_json::to_string(row)?)?;
                continue;
            }
            let health = Health::of(&session.store.runs_of(&row.repo, RECENT).await?);
            rows.push(vec![
                folder(&row.repo),
                state(row),
                row.queued.to_string(),
                row.waiting.to_string(),
                match health.red {
                    0 => "–".to_owned(),
                    red => format!("{} of {red}", health.healed),
                },
                health.last_run.map_or("–".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M").to_string()),
                line(&row.repo, 120),
            ]);
        }
        match page.last() {
            Some(last) if page.len() == PAGE as usize => after = Some(last.repo.clone()),
            _ => break,
        }
    }
    if !json {
        out(&match rows.len() {
            1 => "no repos yet; `regreen repo add` adds one, and so does the first run\n".to_owned(),
            _ => table(&rows, Page::of_stdout()),
        })?;
    }
    Ok(Exit::Green)
}

fn state(row: &RepoRow) -> String {
    match (&row.paused, row.running) {
        (Some(_), 0) => paint(CARE, "paused"),
        (Some(_), running) => paint(CARE, format!("paused, {running} running")),
        (None, 0) => "ready".to_owned(),
        (None, running) => paint(NAME, format!("{running} running")),
    }
}

/// What `--json` prints of a repo: its row, what its runs need, its checks, how it has been doing.
#[derive(Serialize)]
struct Shown<'r> {
    #[serde(flatten)]
    row: &'r RepoRow,
    needs: Vec<serde_json::Value>,
    checks: &'r [crate::outcome::Check],
    checks_from: &'static str,
    setup: Option<String>,
    notes: &'r [String],
    healed: u64,
    red: u64,
    failures_in_a_row: u64,
    cost_micro_usd_30_days: u64,
    recent: &'r [RunRow],
}

async fn show(session: &Session, row: &RepoRow, json: bool) -> Result<Exit> {
    let user = &session.settings.user;
    let look = look(row.repo.as_ref(), &session.environment, user, machine(user).await).await;
    let recent = session.store.runs_of(&row.repo, RECENT).await?;
    let health = Health::of(&recent);
    let since = session.clock.now() - SignedDuration::from_hours(24 * 30);
    let cost = session.store.cost_of_repo(&row.repo, since).await?;
    let text = if json {
        let need = |need: &crate::repos::Need| serde_json::json!({ "name": need.name, "works": need.works, "detail": need.detail, "advice": need.advice });
        serde_json::to_string_pretty(&Shown {
            row,
            needs: look.needs.iter().map(need).collect(),
            checks: &look.checks,
            checks_from: look.known.as_str(),
            setup: look.setup.as_ref().map(|setup| setup.run.display()),
            notes: &look.notes,
            healed: health.healed,
            red: health.red,
            failures_in_a_row: health.failures_in_a_row,
            cost_micro_usd_30_days: cost.0,
            recent: &recent[..recent.len().min(10)],
        })?
    } else {
        told(row, &look, &health, cost, &recent)
    };
    out(&text)?;
    Ok(Exit::Green)
}

fn told(row: &RepoRow, look: &Look, health: &Health, cost: Money, recent: &[RunRow]) -> String {
    let mut lines =
        vec![format!("{} {}", paint(STRONG, folder(&row.repo)), paint(DIM, line(&row.repo, 200)))];
    lines.push(format!("  {}, {} at once, {} in the queue", state(row), row.concurrency, row.queued));
    if let Some(pause) = &row.paused {
        let by = pause.by.as_deref().map(|by| format!(" by {}", line(by, 60))).unwrap_or_default();
        let why = pause.reason.as_deref().map(|why| format!(": {}", line(why, 200))).unwrap_or_default();
        lines.push(format!("  {}{by}{why}", paint(CARE, "paused")));
    }
    for need in &look.needs {
        let mark = if need.works { paint(GOOD, "✔") } else { paint(BAD, "✘") };
        lines.push(format!("  {mark} {:<15} {}", need.name, line(&need.detail, 300)));
        if let Some(advice) = &need.advice {
            lines.push(format!("      {} {}", paint(CARE, "→"), line(advice, 300)));
        }
    }
    lines.push(match look.known {
        Known::Written => paint(STRONG, "\nchecks of regreen.toml"),
        Known::Detected => paint(STRONG, "\nchecks that its files show"),
    });
    for check in &look.checks {
        let dir =
            if check.dir.is_empty() { String::new() } else { format!(" (in {})", line(&check.dir, 60)) };
        lines.push(format!(
            "  {:<14} {}{}",
            line(&check.name, 64),
            line(&check.run.display(), 160),
            paint(DIM, dir)
        ));
    }
    if let Some(setup) = &look.setup {
        lines.push(format!("  {:<14} {}", "setup", line(&setup.run.display(), 160)));
    }
    lines.extend(look.notes.iter().map(|note| format!("  {} {}", paint(CARE, "→"), line(note, 300))));
    lines.push(paint(STRONG, "\nlast runs"));
    lines.push(match health.red {
        0 => "  none of them was red and is over".to_owned(),
        red => format!(
            "  {} of {red} that were red went green, {} in a row did not; models cost {cost} in 30 days",
            health.healed, health.failures_in_a_row
        ),
    });
    for run in recent.iter().take(10) {
        lines.push(format!(
            "  {} {} {:<10} {}",
            paint(NAME, short(&run.id)),
            run.created_at.strftime("%Y-%m-%d %H:%M"),
            line(run.outcome.as_deref().unwrap_or(run.status.as_str()), 10),
            line(&run.goal, 80)
        ));
    }
    lines.join("\n")
}
