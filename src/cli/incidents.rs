//! `regreen incidents`: what went wrong where programs really run.

use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::json;

use super::page::Page;
use super::paint::{BAD, CARE, DIM, GOOD, STRONG, folder, line, out, paint, plain, say, table};
use super::session::Session;
use super::token::record;
use crate::fault::{Exit, Fault};
use crate::incident::{Act, Report, State};
use crate::reports::{self, Told};
use crate::store::{IncidentFilter, IncidentRow, short};

/// What went wrong where programs really run.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  regreen incidents                       those that are not over
  regreen incidents --all                 those that are closed, outside or ignored, too
  regreen incidents show 4f1c09aa
  regreen incidents report < crash.log    count a crash, and have it healed by a worker
  regreen incidents heal 4f1c09aa         whatever was tried before"
)]
pub(super) struct Incidents {
    #[command(subcommand)]
    what: Option<What>,
    /// Also those that are closed, outside or ignored
    #[arg(long)]
    all: bool,
    /// Only those that stand so
    #[arg(long, value_name = "STATE")]
    state: Option<State>,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show an incident: what happened, how often, what was done about it
    Show {
        /// The incident: its id, or the end of it
        incident: String,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Report a crash: what it printed comes on standard input
    Report {
        #[command(flatten)]
        place: super::Place,
        /// What was raised, in one line
        #[arg(long, default_value = "")]
        error: String,
        /// Where the program runs; what begins with `prod` is repaired by the rules of production
        #[arg(long, value_name = "NAME")]
        environment: Option<String>,
        /// The version of the program
        #[arg(long, value_name = "VERSION")]
        release: Option<String>,
        /// Read it from this file
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        /// Only count it
        #[arg(long)]
        no_heal: bool,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Addresses that Sentry's SDKs deliver to, one for each repo
    Dsn {
        #[command(subcommand)]
        what: Dsn,
    },
    /// Have a worker heal an incident
    Heal {
        /// The incident: its id, or the end of it
        incident: String,
    },
    /// Hear no more of an incident
    Ignore {
        /// The incident: its id, or the end of it
        incident: String,
    },
    /// Open one that was ignored, closed, or counted as a fault outside
    Open {
        /// The incident: its id, or the end of it
        incident: String,
    },
}

#[derive(Debug, clap::Subcommand)]
enum Dsn {
    /// Make one and print it, once
    Create {
        #[command(flatten)]
        place: super::Place,
        /// Where programs reach `regreen serve`
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4310")]
        url: String,
    },
    /// List them, without their keys
    List {
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Have one count no more
    Revoke {
        /// Its number: the end of the DSN
        project: u64,
    },
}

/// The most that are listed.
const MOST: u32 = 1000;
/// Bytes of a report that are read.
const LARGEST: u64 = 8 << 20;

impl Incidents {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        reports::close_quiet(&session.store, session.settings.user.incidents.quiet).await?;
        match self.what {
            None => list(&session, self.state, self.all, self.json).await,
            Some(What::Show { incident, json }) => {
                show(&session, &session.store.incident(&incident).await?, json).await
            }
            Some(What::Heal { incident }) => {
                let row = session.store.incident(&incident).await?;
                let by = crate::process::user();
                let run = reports::heal(&session.store, &session.redactor(), &row, "branch", &by).await?;
                match run {
                    Some(run) => say(&format!(
                        "{} a `regreen worker` takes it up; to follow it: regreen logs -f {}",
                        paint(GOOD, "✔"),
                        short(&run)
                    )),
                    None => say("it is taken care of already"),
                }
                Ok(Exit::Green)
            }
            Some(What::Dsn { what }) => dsn(&session, what).await,
            Some(What::Ignore { incident }) => moved(&session, &incident, Act::Ignore).await,
            Some(What::Open { incident }) => moved(&session, &incident, Act::Open).await,
            Some(What::Report { place, error, environment, release, from, no_heal, json }) => {
                let mut bytes = Vec::new();
                match &from {
                    Some(file) => std::fs::File::open(file)
                        .map_err(|error| Fault::usage(format!("{} cannot be read: {error}", file.display())))?
                        .take(LARGEST)
                        .read_to_end(&mut bytes),
                    None => std::io::stdin().take(LARGEST).read_to_end(&mut bytes),
                }
                .context("the report cannot be read")?;
                let (repo, _) = super::submit::place(&place.repo).await?;
                let stack_trace = String::from_utf8_lossy(&bytes).into_owned();
                let report = Report { error, stack_trace, ..Report::default() };
                let told = Told { repo, report, context: json!({}), source: "cli", environment, release };
                report_it(&session, told, !no_heal, json).await
            }
        }
    }
}

async fn report_it(session: &Session, told: Told, heal: bool, json: bool) -> Result<Exit> {
    let store = &session.store;
    let redactor = session.redactor_of(&told.repo, None).await;
    let taken = reports::take(store, &redactor, &session.environment, told).await?;
    let (incident, head) = (taken.incident, taken.head);
    let rules = &session.settings.user.incidents;
    let held = match heal {
        true => reports::held_back(store, rules, &incident, head.as_deref()).await?,
        false => Some("no run was asked for".to_owned()),
    };
    if held.is_none() {
        reports::heal(store, &redactor, &incident, "branch", &crate::process::user()).await?;
    }
    let incident = store.incident(&incident.id).await?;
    if json {
        out(&serde_json::to_string(&incident)?)?;
        return Ok(Exit::Green);
    }
    out(&incident.id)?;
    say(&format!(
        "{}: {}",
        if taken.new { "a new incident" } else { "a known incident" },
        line(&incident.title, 300)
    ));
    say(&match held {
        Some(why) => format!("no run takes it up: {}", line(&why, 400)),
        None => format!("a `regreen worker` heals it; to follow it: regreen logs -f {}", run_of(&incident)),
    });
    Ok(Exit::Green)
}

async fn dsn(session: &Session, what: Dsn) -> Result<Exit> {
    match what {
        Dsn::Create { place, url } => {
            let wrong = |why: &str| {
                Fault::usage(format!("--url {url}: {why}"))
                    .hint("give it as programs reach it: https://regreen.example.org")
            };
            let parsed = reqwest::Url::parse(&url).map_err(|error| wrong(&error.to_string()))?;
            let host = parsed.host_str().filter(|_| matches!(parsed.scheme(), "http" | "https"));
            let host = host.ok_or_else(|| wrong("it begins with neither http:// nor https://"))?;
            if parsed.path() != "/" || parsed.query().is_some() || !parsed.username().is_empty() {
                return Err(wrong("it has more than a host and a port").into());
            }
            let (repo, _) = super::submit::place(&place.repo).await?;
            let repo = repo.to_string_lossy();
            let (key, hash) = crate::web::mint_key()?;
            let project = session.store.add_sentry_key(&repo, &hash, &crate::process::user()).await?;
            record(session, "incidents dsn create", &format!("{repo} ({project})")).await?;
            let port = parsed.port().map(|port| format!(":{port}")).unwrap_or_default();
            super::paint::out_exact(&format!("{}://{key}@{host}{port}/{project}\n", parsed.scheme()))?;
            say("whoever has it may report incidents of this repo, and nothing else; it is not shown again");
        }
        Dsn::List { json } => {
            let keys = session.store.sentry_keys().await?;
            if json {
                for key in &keys {
                    out(&serde_json::to_string(key)?)?;
                }
                return Ok(Exit::Green);
            }
            let mut rows = vec![["PROJECT", "REPO", "MADE (UTC)", "BY", "STATE"].map(String::from).to_vec()];
            for key in &keys {
                let state =
                    if key.revoked_at.is_some() { paint(DIM, "revoked") } else { paint(GOOD, "valid") };
                rows.push(vec![
                    key.project.to_string(),
                    line(&key.repo, 200),
                    key.created_at.strftime("%Y-%m-%d %H:%M").to_string(),
                    line(&key.created_by, 64),
                    state,
                ]);
            }
            out(&table(&rows, Page::of_stdout()))?;
        }
        Dsn::Revoke { project } => {
            session.store.revoke_sentry_key(project).await?;
            record(session, "incidents dsn revoke", &project.to_string()).await?;
            say(&format!("{} the DSN of the project {project} is valid no more", paint(GOOD, "✔")));
        }
    }
    Ok(Exit::Green)
}

fn run_of(incident: &IncidentRow) -> &str {
    incident.run.as_deref().map(short).unwrap_or_default()
}

async fn moved(session: &Session, name: &str, act: Act) -> Result<Exit> {
    let row = session.store.incident(name).await?;
    let (verb, action) =
        if act == Act::Ignore { ("ignored", "incidents ignore") } else { ("opened", "incidents open") };
    let why = format!("{verb} by {}", crate::process::user());
    let state = session.store.move_incident(&row.id, act, &why).await?;
    record(session, action, &row.id).await?;
    say(&format!("{} the incident {} is {}", paint(GOOD, "✔"), short(&row.id), state.words()));
    Ok(Exit::Green)
}

async fn list(session: &Session, state: Option<State>, all: bool, json: bool) -> Result<Exit> {
    let filter = IncidentFilter { state, ..IncidentFilter::default() };
    let mut found = session.store.incidents(&filter, None, MOST).await?;
    if !all && state.is_none() {
        found.retain(|one| !matches!(one.state, State::Closed | State::Outside | State::Ignored));
    }
    if json {
        for incident in &found {
            out(&serde_json::to_string(incident)?)?;
        }
        return Ok(Exit::Green);
    }
    if found.is_empty() {
        out("there are no incidents\n")?;
        return Ok(Exit::Green);
    }
    let heads = ["INCIDENT", "STATE", "SEVERITY", "COUNT", "LAST SEEN (UTC)", "REPO", "WHAT"];
    let mut rows = vec![heads.map(String::from).to_vec()];
    for incident in &found {
        let place = incident.place.as_deref().map(|place| format!("  {}", paint(DIM, line(place, 80))));
        rows.push(vec![
            short(&incident.id).to_owned(),
            coloured(incident.state),
            incident.severity.clone(),
            incident.count.to_string(),
            incident.last_seen.strftime("%Y-%m-%d %H:%M").to_string(),
            folder(&incident.repo),
            format!("{}{}", line(&incident.title, 200), place.unwrap_or_default()),
        ]);
    }
    out(&table(&rows, Page::of_stdout()))?;
    Ok(Exit::Green)
}

fn coloured(state: State) -> String {
    let style = match state {
        State::Open | State::Reopened | State::NeedsPerson => BAD,
        State::Healing | State::AwaitingApproval => CARE,
        State::Fixed | State::Closed => GOOD,
        State::Outside | State::Ignored => DIM,
    };
    paint(style, state.words())
}

/// Lines of a trace that are shown.
const LINES: usize = 60;

async fn show(session: &Session, incident: &IncidentRow, json: bool) -> Result<Exit> {
    if json {
        out(&serde_json::to_string_pretty(incident)?)?;
        return Ok(Exit::Green);
    }
    let moment = |at: jiff::Timestamp| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    out(&format!("{} {}\n", paint(STRONG, "incident"), paint(STRONG, short(&incident.id))))?;
    let mut fields = vec![
        ("what", line(&incident.title, 400)),
        ("state", coloured(incident.state)),
        ("repo", line(&incident.repo, 300)),
        ("kind", format!("{}, {}", incident.category, incident.severity)),
        ("why", line(&incident.why, 400)),
        (
            "seen",
            format!(
                "{} times, {} to {}",
                incident.count,
                moment(incident.first_seen),
                moment(incident.last_seen)
            ),
        ),
    ];
    for (name, value) in [
        ("reason", &incident.reason),
        ("place", &incident.place),
        ("where", &incident.environment),
        ("version", &incident.release),
        ("landed", &incident.landed),
    ] {
        if let Some(value) = value {
            fields.push((name, line(value, 400)));
        }
    }
    for run in session.store.incident_runs(&incident.id).await? {
        let outcome = run.outcome.as_deref().unwrap_or(run.status.as_str());
        fields.push(("run", format!("{} {}", short(&run.id), line(outcome, 60))));
    }
    for (name, value) in fields {
        out(&format!("  {name:8} {value}\n"))?;
    }
    let lines: Vec<&str> = incident.stack_trace.lines().collect();
    out("\n")?;
    for one in &lines[lines.len().saturating_sub(LINES)..] {
        out(&format!("  {}\n", plain(one)))?;
    }
    Ok(Exit::Green)
}
