//! `regreen proposal …`: changes that are suggested, tested, repaired, approved and applied.

use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::heal::{Options, Shared, Tries, drive};
use super::page::Page;
use super::paint::{BAD, CARE, GOOD, NAME, diff, folder, line, out, out_exact, paint, say, table};
use super::proposing;
use super::session::{Session, new_id};
use super::submit::{follow, place};
use crate::fault::{Exit, Fault};
use crate::landing::Land;
use crate::patch::{RelPath, read_beneath};
use crate::proposal::{Asked, Content, ProposedFile, State};
use crate::run::events::{Request, Work};
use crate::run::journal::load;
use crate::run::proposal::{self, again};
use crate::run::queued::Line;
use crate::store::{Priority, ProposalFilter, ProposalRow, short};
use crate::web::Came;

/// Proposals: changes that are tested, repaired, approved and applied.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  git diff > idea.diff; regreen proposal create --title 'Show minutes' --patch idea.diff --wait
  regreen proposal fix last --wait
  regreen proposal approve last; regreen proposal apply last
A `regreen worker` tests and repairs; what `apply` lands `regreen rollback RUN` takes back.")]
pub(super) struct Proposal {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Propose a change, and have it tested
    Create(Box<Create>),
    /// Test a proposal again whose tests failed
    Test(Again),
    /// Repair what a proposal broke
    Fix(Fix),
    /// Agree to a proposal that is proven
    Approve(Approve),
    /// Refuse a proposal
    Reject(Reject),
    /// Land a proposal that was approved
    Apply(Apply),
    /// List proposals, newest first
    List(List),
    /// Show a proposal: what it changes, how it stands, what was repaired
    Show(Show),
}

/// Propose a change.
#[derive(Debug, clap::Args)]
struct Create {
    /// What it does, in one line
    #[arg(long)]
    title: String,
    /// Why, in Markdown; `-` reads it from standard input
    #[arg(long, default_value = "")]
    description: String,
    /// The branch, tag or commit that it builds on [default: what is checked out]
    #[arg(long, value_name = "REV")]
    base: Option<String>,
    /// Where it lands when it is applied: branch[=NAME], commit
    #[arg(long, value_name = "WHERE", default_value = "branch")]
    land: Land,
    /// A unified diff with the changes; `-` reads it from standard input
    #[arg(long, value_name = "FILE", required_unless_present = "files", conflicts_with = "files")]
    patch: Option<String>,
    /// Repair what it breaks, without being asked again
    #[arg(long)]
    fix: bool,
    /// Follow the test until it is over, and end with its exit code
    #[arg(long)]
    wait: bool,
    /// How urgent it is
    #[arg(long, value_enum, default_value_t)]
    priority: Priority,
    /// Use no model for a repair: only what costs nothing
    #[arg(long)]
    no_model: bool,
    #[command(flatten)]
    shared: Shared,
    #[command(flatten)]
    tries: Tries,
    /// Files that are proposed as they are on disk, or as gone where they are not there
    files: Vec<PathBuf>,
}

/// Which proposal, and whether to wait.
#[derive(Debug, clap::Args)]
struct Again {
    /// The proposal: its id, the start or the end of it, or `last`
    proposal: String,
    /// Follow the run until it is over, and end with its exit code
    #[arg(long)]
    wait: bool,
    /// Print one event per line as JSON while it waits (docs/events.md)
    #[arg(long)]
    json: bool,
}

/// Repair what a proposal broke.
#[derive(Debug, clap::Args)]
struct Fix {
    #[command(flatten)]
    again: Again,
    /// The most attempts [default: proposals.attempts, or what the ladder adds up to]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_attempts: Option<u32>,
    /// Use no model: only what costs nothing
    #[arg(long)]
    no_model: bool,
}

/// Agree to a proposal.
#[derive(Debug, clap::Args)]
struct Approve {
    /// The proposal: its id, the start or the end of it, or `last`
    proposal: String,
    /// What you remark
    #[arg(long)]
    remark: Option<String>,
}

/// Refuse a proposal.
#[derive(Debug, clap::Args)]
struct Reject {
    /// The proposal: its id, the start or the end of it, or `last`
    proposal: String,
    /// Why
    #[arg(long, default_value = "no reason given")]
    reason: String,
}

/// Land a proposal.
#[derive(Debug, clap::Args)]
struct Apply {
    /// The proposal: its id, the start or the end of it, or `last`
    proposal: String,
    /// Print one event per line as JSON on standard output (docs/events.md)
    #[arg(long)]
    json: bool,
}

/// List proposals.
#[derive(Debug, clap::Args)]
struct List {
    /// Only those that stand so: proposed, testing, tests_failed, …
    #[arg(long, value_parser = state)]
    state: Option<State>,
    /// The most that are listed
    #[arg(long, short = 'n', default_value_t = 20)]
    limit: u32,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

/// Show a proposal.
#[derive(Debug, clap::Args)]
struct Show {
    /// The proposal: its id, the start or the end of it, or `last`
    proposal: String,
    /// As one JSON object
    #[arg(long, conflicts_with = "patch")]
    json: bool,
    /// Only all that it would land, as a unified diff
    #[arg(long)]
    patch: bool,
}

fn state(text: &str) -> Result<State, String> {
    State::parse(text).map_err(|_| {
        let names: Vec<&str> = State::ALL.iter().map(|state| state.as_str()).collect();
        format!("one of {}", names.join(", "))
    })
}

impl Proposal {
    pub(super) async fn run(self) -> Result<Exit> {
        match self.what {
            What::Create(create) => create.run().await,
            What::Test(test) => test.run(false, |_| {}).await,
            What::Fix(fix) => {
                let (most, no_model) = (fix.max_attempts, fix.no_model);
                let limit = |request: &mut Request| {
                    request.max_attempts = most.or(request.max_attempts);
                    request.no_model |= no_model;
                };
                fix.again.run(true, limit).await
            }
            What::Approve(approve) => {
                let (session, row) = open(&approve.proposal).await?;
                let by = crate::process::user();
                let came = proposing::approve(&session, &row, &by, None, approve.remark.as_deref()).await?;
                if came != Came::Lands {
                    say(&came.told());
                    return Ok(Exit::Policy);
                }
                say(&format!("approved; to land it: regreen proposal apply {}", short(&row.id)));
                Ok(Exit::Green)
            }
            What::Reject(reject) => {
                let (session, row) = open(&reject.proposal).await?;
                proposing::reject(&session, &row, &crate::process::user(), &reject.reason).await?;
                say("rejected; nothing was changed");
                Ok(Exit::Green)
            }
            What::Apply(apply) => apply.run().await,
            What::List(list) => list.run().await,
            What::Show(show) => show.run().await,
        }
    }
}

/// The session and the proposal that is named.
async fn open(name: &str) -> Result<(Session, ProposalRow)> {
    let session = Session::open(None).await?;
    super::resume::tidy(&session).await;
    let row = find(&session, name).await?;
    Ok((session, row))
}

async fn find(session: &Session, name: &str) -> Result<ProposalRow> {
    if name != "last" {
        return session.store.proposal(name).await;
    }
    let filter = ProposalFilter { repo: session.here().await, ..ProposalFilter::default() };
    let newest = session.store.proposals(&filter, None, 1).await?.into_iter().next();
    newest.ok_or_else(|| {
        Fault::usage("there are no proposals here").hint("`regreen proposal create` makes one").into()
    })
}

/// Text from a file, or from standard input for `-`.
fn text_of(name: &str) -> Result<String> {
    const MOST: u64 = proposal::BYTES as u64 + 1;
    let mut text = Vec::new();
    match name {
        "-" => std::io::stdin().take(MOST).read_to_end(&mut text),
        name => std::fs::File::open(name).and_then(|file| file.take(MOST).read_to_end(&mut text)),
    }
    .map_err(|error| Fault::usage(format!("cannot read {name}: {error}")))?;
    String::from_utf8(text).map_err(|_| Fault::usage(format!("{name} is no UTF-8 text")).into())
}

impl Create {
    async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        let (repo, dir) = place(&self.shared.place.repo).await?;
        let content = match &self.patch {
            Some(file) => Content::Diff(text_of(file)?),
            None => {
                Content::Files(self.files.iter().map(|file| proposed(&repo, file)).collect::<Result<_>>()?)
            }
        };
        let description = match self.description.as_str() {
            "-" if self.patch.as_deref() != Some("-") => text_of("-")?,
            text => text.to_owned(),
        };
        let Self { title, base, fix, .. } = self;
        let asked = Asked { id: new_id(), title, description, base, content, fix };
        let id = asked.id.clone();
        let options = Options {
            shared: self.shared,
            tries: self.tries,
            no_model: self.no_model,
            dry_run: false,
            by: None,
            origin: None,
        };
        let request = options.request(repo, dir, Work::Proposal(Box::new(asked)), self.land.to_string());
        let redactor = session.redactor_of(&request.repo, None).await;
        let line = Line { priority: self.priority, ..Line::default() };
        let by = crate::process::user();
        let made = proposal::submit(&session.store, &redactor, &new_id(), &request, &line, Some(&by)).await?;
        let json = options.shared.json;
        match (json, self.wait) {
            (true, true) => {}
            (true, false) => out(&serde_json::to_string(&session.store.proposal(&id).await?)?)?,
            (false, _) => out(&id)?,
        }
        if self.wait {
            return follow(&session, &made.run, json).await;
        }
        if !json {
            say(&format!("a `regreen worker` tests it; to follow it: regreen logs -f {}", short(&made.run)));
        }
        Ok(Exit::Green)
    }
}

/// A file of the work tree, as it is proposed.
fn proposed(root: &std::path::Path, file: &std::path::Path) -> Result<ProposedFile> {
    let wrong = |what: &str| Fault::usage(format!("{}: {what}", file.display()));
    let folder =
        file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(std::path::Path::new("."));
    let folder = folder.canonicalize().map_err(|error| wrong(&error.to_string()))?;
    let name = file.file_name().context("a file has a name")?;
    let below = folder.join(name);
    let below = below.strip_prefix(root).map_err(|_| wrong("lies outside of the repo"))?;
    let path = RelPath::new(&below.to_string_lossy()).map_err(|error| wrong(&error.to_string()))?;
    let state = read_beneath(root, &path)?;
    if state.is_none() && root.join(below).symlink_metadata().is_ok() {
        return Err(wrong("is no regular file").into());
    }
    let executable = state.as_ref().map(|file| file.executable);
    Ok(ProposedFile { path, file: state, executable })
}

impl Again {
    async fn run(self, fix: bool, limit: impl FnOnce(&mut Request)) -> Result<Exit> {
        let (session, row) = open(&self.proposal).await?;
        let mut request = again(&session.store, &row.run, fix).await?;
        limit(&mut request);
        let redactor = session.redactor_of(&request.repo, None).await;
        let priority = session.store.run(&row.run).await?.priority.unwrap_or_default();
        let line = Line { priority, ..Line::default() };
        let made = proposal::submit(&session.store, &redactor, &new_id(), &request, &line, None).await?;
        if self.wait {
            return follow(&session, &made.run, self.json).await;
        }
        out(&made.run)?;
        say(&format!("a `regreen worker` does it; to follow it: regreen logs -f {}", short(&made.run)));
        Ok(Exit::Green)
    }
}

impl Apply {
    async fn run(self) -> Result<Exit> {
        let (session, row) = open(&self.proposal).await?;
        match proposing::release(&session, &row, self.json).await? {
            Some(journal) => drive(&session, &journal, self.json).await,
            None => {
                say(&format!("a worker lands it; to follow it: regreen logs -f {}", short(&row.run)));
                Ok(Exit::Green)
            }
        }
    }
}

fn painted(state: State) -> String {
    let style = match state {
        State::TestsPassed | State::Approved | State::Applied => GOOD,
        State::TestsFailed => BAD,
        State::Rejected | State::RolledBack => CARE,
        _ => NAME,
    };
    paint(style, state.words())
}

impl List {
    async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        let filter = ProposalFilter { state: self.state, ..ProposalFilter::default() };
        let mut rows = vec![
            ["PROPOSAL", "MADE (UTC)", "STATE", "FIXES", "BY", "REPO", "TITLE"].map(String::from).to_vec(),
        ];
        for row in session.store.proposals(&filter, None, self.limit).await? {
            if self.json {
                out(&serde_json::to_string(&row)?)?;
                continue;
            }
            rows.push(vec![
                short(&row.id).to_owned(),
                row.created_at.strftime("%Y-%m-%d %H:%M").to_string(),
                painted(row.state),
                row.auto_fix_attempts.to_string(),
                line(&row.requested_by, 20),
                folder(&row.repo),
                line(&row.title, 80),
            ]);
        }
        if !self.json {
            out(&match rows.len() {
                1 => "no proposals; `regreen proposal create` makes one\n".to_owned(),
                _ => table(&rows, Page::of_stdout()),
            })?;
        }
        Ok(Exit::Green)
    }
}

impl Show {
    async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        let row = find(&session, &self.proposal).await?;
        let run = load(&session.store, &row.run).await.ok();
        if self.patch {
            let patch = run.ok_or_else(|| {
                Fault::usage("what it changes on its base is known once its test began")
                    .hint("see `--json` for what was asked")
            })?;
            out_exact(&patch.result().unified())?;
            return Ok(Exit::Green);
        }
        let runs = session.store.proposal_runs(&row.id).await?;
        if self.json {
            let content = session.store.proposed(&row.id).await?;
            let mut whole = serde_json::to_value(&row)?;
            whole["content"] = serde_json::to_value(content)?;
            whole["runs"] = runs.iter().map(|run| run.id.clone()).collect();
            out(&serde_json::to_string(&whole)?)?;
            return Ok(Exit::Green);
        }
        let mut text = format!("{}  {}\n", paint(NAME, line(&row.title, 200)), painted(row.state));
        text += &format!(
            "  {} · by {} · base {}\n",
            row.repo,
            line(&row.requested_by, 40),
            row.base.as_deref().unwrap_or("HEAD")
        );
        for said in [row.reason.as_deref(), row.landed.as_deref()].into_iter().flatten() {
            text += &format!("  {}\n", line(said, 400));
        }
        if !row.description.trim().is_empty() {
            text += &format!("\n{}\n", super::paint::plain(row.description.trim()));
        }
        let names: Vec<String> = runs
            .iter()
            .map(|run| {
                format!("{} ({})", short(&run.id), run.outcome.as_deref().unwrap_or(run.status.as_str()))
            })
            .collect();
        text += &format!("\nruns: {}\n", names.join(", "));
        if let Some(run) = &run {
            let all = format!("regreen proposal show {} --patch", short(&row.id));
            if let Some(proposed) = run.proposed() {
                text += &format!("\nproposed\n{}", diff(proposed, 40, &all));
            }
            if !run.kept.is_empty() {
                text +=
                    &format!("\nrepaired by {}\n{}", run.credited().join(", "), diff(&run.kept, 40, &all));
            }
        }
        out(&text)?;
        Ok(Exit::Green)
    }
}
