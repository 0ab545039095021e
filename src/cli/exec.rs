//! `regreen exec -- CMD`: runs a program; where it crashes by a fault of its own code, that is healed and the program started again.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::halt::unless_halted;
use super::heal::{Ground, Options, Want, drive};
use super::incident_spec::{by_replay, by_test};
use super::paint::{BAD, CARE, DIM, GOOD, line, paint, say};
use super::session::{Session, new_id};
use crate::fault::Fault;
use crate::git::Repo;
use crate::incident::{Report, State};
use crate::landing::Land;
use crate::process::{Ended, pass_through};
use crate::reports::{self, Taken, Told};
use crate::run::Run;
use crate::run::events::{Baseline, Spec};
use crate::run::journal::load;
use crate::store::{IncidentRow, short};
use crate::trace;

/// The longest that a crash is waited for when the command runs again, in seconds.
const REPLAY: u64 = 60;
/// How long a program has to run for its earlier restarts to be forgotten.
const STEADY: Duration = Duration::from_secs(600);
/// The longest pause before a restart, in seconds.
const PAUSE: u64 = 60;

/// Run a program; if it crashes in its own code: heal, restart.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regreen exec -- python3 service.py
  regreen exec --environment production --release 1.4.2 -- node server.js

The program gets signals and its standard input as they are, what it prints is passed through, and its exit code is the one of this
command. What a crash prints becomes an incident (`regreen incidents`). The same crash is not healed twice on the same commit.")]
pub(super) struct Exec {
    /// Restarts in a row; one that ran for ten minutes begins a new row
    #[arg(long, value_name = "N", default_value_t = 5)]
    restarts: u32,
    /// Only write crashes down
    #[arg(long)]
    no_heal: bool,
    /// Where the proven patch goes: worktree, commit, branch[=NAME], none; the program starts again where that is in front of it
    #[arg(long, value_name = "WHERE", default_value = "worktree")]
    land: Land,
    /// Where the program runs; what begins with `prod` is repaired by the rules of production
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// The version of the program
    #[arg(long, value_name = "VERSION")]
    release: Option<String>,
    #[command(flatten)]
    options: Options,
    /// The program: everything behind `--`
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

impl Exec {
    /// Gives the exit code of the program.
    pub(super) async fn run(self) -> Result<u8> {
        if self.options.shared.json || self.options.dry_run {
            return Err(Fault::usage("exec takes neither --json nor --dry-run")
                .hint("what the program prints is passed through; `regreen logs` tells the runs as JSON")
                .into());
        }
        let mut restarts = 0;
        loop {
            let ended = pass_through(&self.command).await.map_err(|error| {
                Fault::usage(format!("{} cannot be started: {error}", line(&self.command[0], 200)))
            })?;
            let Some(report) = crash(&ended) else { return Ok(ended.exit()) };
            if ended.ran >= STEADY {
                restarts = 0;
            }
            // Whatever goes wrong here, the program's own end is what counts.
            let dealt = tokio::select! {
                dealt = self.crashed(&ended, report) => dealt,
                () = super::interrupted(1) => return Ok(super::INTERRUPTED),
            };
            let goes_on = match dealt {
                Ok(goes_on) => goes_on,
                Err(error) => {
                    let hint = error.downcast_ref::<Fault>().and_then(|fault| fault.hint.clone());
                    let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
                    told(BAD, &format!("the crash was not dealt with: {error:#}{hint}"));
                    false
                }
            };
            if !goes_on {
                return Ok(ended.exit());
            }
            if restarts >= self.restarts {
                told(CARE, &format!("it was restarted {restarts} times in a row already, and stays down"));
                return Ok(ended.exit());
            }
            restarts += 1;
            let pause = Duration::from_secs((2_u64.saturating_pow(restarts - 1) - 1).min(PAUSE));
            told(GOOD, &format!("the program starts again (restart {restarts} of {})", self.restarts));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = super::interrupted(1) => return Ok(super::INTERRUPTED),
            }
        }
    }

    /// Writes the crash down, and heals it. Whether what heals it is in front of the program.
    async fn crashed(&self, ended: &Ended, report: Report) -> Result<bool> {
        let session = Session::open(None).await?;
        let named = &self.options.shared.place.repo;
        let place = session.environment.cwd().join(named);
        let Some(repo) = Repo::discover_with(&place, &session.environment).await? else {
            told(CARE, "the program crashed; it is in no git repository, so that nothing can be healed");
            return Ok(false);
        };
        let redactor = session.redactor_of(repo.root(), Some(&repo)).await;
        let context = json!({
            "command": self.command,
            "exit": ended.code,
            "signal": ended.signal_name(),
            "ran_seconds": ended.ran.as_secs(),
        });
        let told_of = Told {
            repo: repo.root().to_owned(),
            report,
            context,
            source: "exec",
            environment: self.environment.clone(),
            release: self.release.clone(),
        };
        let Taken { incident, head, .. } =
            reports::take(&session.store, &redactor, &session.environment, told_of).await?;
        told(BAD, &format!("the program crashed: {}", line(&incident.title, 300)));
        let id = short(&incident.id);
        let seen = match incident.count {
            1 => "seen for the first time".to_owned(),
            count => format!("seen {count} times"),
        };
        told(DIM, &format!("incident {id}, {seen}; {}", line(&incident.why, 300)));
        let rules = &session.settings.user.incidents;
        if self.no_heal {
            return Ok(false);
        }
        if let Some(why) = reports::held_back(&session.store, rules, &incident, head.as_deref()).await? {
            told(CARE, &format!("no run takes it up: {}", line(&why, 400)));
            return Ok(false);
        }
        self.heal(&incident, ended).await?;
        let incident = session.store.incident(&incident.id).await?;
        let reason =
            incident.reason.as_deref().map(|why| format!(": {}", line(why, 400))).unwrap_or_default();
        match incident.state {
            State::Fixed if matches!(self.land, Land::Worktree | Land::Commit) => Ok(true),
            State::Fixed => {
                let landed = incident.landed.as_deref().unwrap_or_default();
                told(GOOD, &format!("what heals it is on {}; bring it to the program", line(landed, 200)));
                Ok(false)
            }
            State::AwaitingApproval => {
                let run = incident.run.as_deref().map(short).unwrap_or_default();
                told(
                    CARE,
                    &format!("what heals it is proven and waits{reason}; to land it: regreen approve {run}"),
                );
                Ok(false)
            }
            _ => {
                told(
                    CARE,
                    &format!("it was not healed{reason}; to see what was tried: regreen incidents show {id}"),
                );
                Ok(false)
            }
        }
    }

    /// Runs the command again in the sandbox and heals it where it crashes there, too; else has a test written that does.
    async fn heal(&self, incident: &IncidentRow, ended: &Ended) -> Result<()> {
        let ground = Ground::find(&self.options, Want::Ask).await?;
        let seconds = (ended.ran.as_secs() * 2 + 5).min(REPLAY);
        let command = resolved(&self.command);
        let id = new_id();
        let spec = by_replay(&ground, &self.options, &id, incident, &command, seconds, &self.land).await?;
        let models = spec.ladder.iter().any(|rung| rung.model);
        let run = self.drive(&ground, &id, spec).await?;
        if run.baseline == Some(Baseline::Red) || !models {
            return Ok(());
        }
        told(DIM, "the command alone does not show it in the sandbox; a test is to reproduce it");
        let id = new_id();
        let spec = by_test(&ground, &self.options, &id, incident, &self.land).await?;
        self.drive(&ground, &id, spec).await.map(drop)
    }

    async fn drive(&self, ground: &Ground, id: &str, spec: Spec) -> Result<Run> {
        let session = &ground.session;
        let journal = session.begin(id, spec, session.listeners(false)).await?;
        unless_halted(session, &journal, false, drive(session, &journal, false)).await?;
        load(&session.store, id).await
    }
}

/// A line of this command among those of the program.
fn told(style: anstyle::Style, text: &str) {
    say(&format!("{} {text}", paint(style, "regreen:")));
}

/// What a program's end tells, where it is a crash: nobody asked for it, and there is a stack trace or a signal. An exit code alone is an answer.
fn crash(ended: &Ended) -> Option<Report> {
    if ended.asked || ended.code == Some(0) {
        return None;
    }
    let text = String::from_utf8_lossy(&ended.tail).into_owned();
    let found = trace::last(&text);
    let error = match (&found, ended.signal_name()) {
        (Some(_), _) => String::new(),
        (None, Some(signal)) if signal == "SIGKILL" => "signal: killed by the system".to_owned(),
        (None, Some(signal)) => format!("{signal}: the program was ended by a signal"),
        (None, None) => return None,
    };
    Some(Report { error, stack_trace: text, trace: None, fatal: Some(true) })
}

/// The command as the sandbox runs it: a program that was named by its path stays where it is.
fn resolved(command: &[String]) -> Vec<String> {
    let mut command = command.to_vec();
    if let Some(program) = command.first_mut()
        && program.contains('/')
        && let Ok(whole) = Path::new(program.as_str()).canonicalize()
    {
        *program = whole.to_string_lossy().into_owned();
    }
    command
}
