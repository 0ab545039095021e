//! How reports of failures become incidents, and incidents runs.

use std::path::{Path, PathBuf};

use anyhow::Result;
use jiff::SignedDuration;
use serde_json::Value;

use crate::config::{Environment, IncidentRules};
use crate::fault::Fault;
use crate::git::Repo;
use crate::incident::{Report, Tracked, understand};
use crate::redact::Redactor;
use crate::run::events::{Request, Work};
use crate::run::queued::{Line, submit};
use crate::store::{IncidentRow, NewIncident, Priority, Store};
use crate::trace::Language;

/// Bytes of a stack trace that are kept: its end.
const TRACE: usize = 64 << 10;
/// Bytes of a context that are kept whole; a larger one is dropped.
const CONTEXT: usize = 16 << 10;
/// Files of a repo that traces are compared with.
const MOST_FILES: usize = 200_000;

/// A report with where it comes from.
#[derive(Debug, Clone)]
pub struct Told {
    /// The root of the repo's working tree.
    pub repo: PathBuf,
    /// What happened.
    pub report: Report,
    /// What is known besides, as JSON.
    pub context: Value,
    /// Who reports: `exec`, `api`, `sentry`.
    pub source: &'static str,
    /// Where the program runs.
    pub environment: Option<String>,
    /// The version of the program.
    pub release: Option<String>,
}

/// What became of a report.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The incident.
    pub incident: IncidentRow,
    /// Whether it is the first of its kind.
    pub new: bool,
    /// The commit that is checked out, where the repo is on this machine.
    pub head: Option<String>,
}

/// Counts a report. Secrets are taken out before anything is kept or looked at.
///
/// # Errors
/// A [`Fault`] where there is nothing in the report, or the repo has too many incidents.
pub async fn take(
    store: &Store,
    redactor: &Redactor,
    environment: &Environment,
    told: Told,
) -> Result<Taken> {
    let Told { repo, mut report, mut context, source, environment: tier, release } = told;
    if report.error.trim().is_empty() && report.stack_trace.trim().is_empty() && report.trace.is_none() {
        return Err(Fault::usage("the report says nothing: give error or stack_trace").into());
    }
    let start = report.stack_trace.len().saturating_sub(TRACE);
    let start = report.stack_trace.ceil_char_boundary(start);
    report.stack_trace = redactor.redact(&report.stack_trace[start..]).into_owned();
    report.error = redactor.redact(&report.error[..report.error.floor_char_boundary(4_000)]).into_owned();
    if let Some(trace) = report.trace.take() {
        let mut whole = serde_json::to_value(trace)?;
        redactor.redact_json(&mut whole, &|field| field == "language");
        report.trace = Some(serde_json::from_value(whole)?);
    }
    redactor.redact_json(&mut context, &|_| false);
    if context.is_null() || context.to_string().len() > CONTEXT {
        context = Value::Object(serde_json::Map::new());
    }
    let root = repo.to_string_lossy().into_owned();
    let found = if repo.is_dir() { Repo::discover_with(&repo, environment).await? } else { None };
    let (files, head) = match &found {
        Some(found) => (Some(listed(found).await?), found.head().await?),
        None => (None, None),
    };
    let tracked = match &files {
        Some(files) => Tracked::new(&root, files.iter().map(String::as_str)),
        None => Tracked::unknown(&root),
    };
    let understood = understand(&report, &tracked);
    let short = |text: Option<String>| text.map(|text| text[..text.floor_char_boundary(200)].to_owned());
    let new = NewIncident {
        id: uuid::Uuid::now_v7().simple().to_string(),
        repo: root,
        fingerprint: understood.print,
        title: understood.title,
        kind: understood.trace.as_ref().map(|trace| trace.kind.clone()).unwrap_or_default(),
        language: understood.trace.as_ref().map(|trace| Language::as_str(trace.language).to_owned()),
        place: understood.blame.place,
        files: understood.blame.files,
        category: understood.class.category.as_str().to_owned(),
        severity: understood.class.severity.as_str().to_owned(),
        why: understood.blame.why,
        own: understood.blame.own,
        stack_trace: report.stack_trace,
        context,
        source: source.to_owned(),
        environment: short(tier),
        release: short(release),
    };
    let reported = store.report(&new).await?;
    Ok(Taken { incident: reported.row, new: reported.new, head })
}

/// The files of a repo that git tracks, relative to its root.
async fn listed(repo: &Repo) -> Result<Vec<String>> {
    let listed = repo.git().bytes(&["ls-files", "-z"]).await?;
    let files = listed.split(|byte| *byte == 0).filter_map(|path| std::str::from_utf8(path).ok());
    Ok(files.filter(|path| !path.is_empty()).take(MOST_FILES).map(str::to_owned).collect())
}

/// Why no run takes the incident up by itself, if none does: one that is under way or was enough for this commit, a repo that has had its runs of the
/// day, or the configuration.
///
/// # Errors
/// Where the database fails.
pub async fn held_back(
    store: &Store,
    rules: &IncidentRules,
    incident: &IncidentRow,
    head: Option<&str>,
) -> Result<Option<String>> {
    if !incident.wants_healing(head) {
        let why = match (&incident.reason, incident.state) {
            (Some(reason), state) => format!("{}: {reason}", state.words()),
            (None, state) => state.words(),
        };
        return Ok(Some(why));
    }
    if !rules.heal {
        return Ok(Some("[incidents] heal is off: `regreen incidents heal` begins a run".to_owned()));
    }
    let since = store.now().checked_sub(SignedDuration::from_hours(24))?;
    let runs = store.incident_runs_since(&incident.repo, since).await?;
    Ok((runs >= rules.runs_per_day).then(|| {
        format!(
            "the repo had {runs} runs for incidents in 24 hours, as many as [incidents] runs_per_day allows"
        )
    }))
}

/// Puts a run into the queue that is to heal the incident, and gives its id; `None` where another report was faster.
///
/// # Errors
/// Where the database fails.
pub async fn heal(
    store: &Store,
    redactor: &Redactor,
    incident: &IncidentRow,
    land: &str,
    by: &str,
) -> Result<Option<String>> {
    let request = Request {
        repo: Path::new(&incident.repo).to_owned(),
        dir: String::new(),
        work: Work::Incident { id: incident.id.clone(), title: incident.title.clone() },
        land: land.to_owned(),
        checks: Vec::new(),
        budget: None,
        timeout: None,
        max_attempts: None,
        sandbox: None,
        network: None,
        no_model: false,
        by: Some(by.to_owned()),
        origin: None,
    };
    // What people are without is worth more than what they wait for.
    let priority = if incident.severity == "critical" { Priority::Urgent } else { Priority::High };
    let line = Line { priority, ..Line::default() };
    let id = uuid::Uuid::now_v7().simple().to_string();
    match submit(store, redactor, &id, &request, &line).await {
        Ok(submitted) => Ok(Some(submitted.run)),
        Err(error) if store.incident(&incident.id).await?.run != incident.run => {
            tracing::debug!("another report had the incident healed: {error:#}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// How often what was fixed is looked at.
const EVERY: std::time::Duration = std::time::Duration::from_secs(60);

/// Closes what was fixed and stayed `quiet`, for as long as it is polled.
pub async fn watch(store: Store, quiet: std::time::Duration) {
    loop {
        if let Err(error) = close_quiet(&store, quiet).await {
            tracing::debug!("nobody knows whether incidents are over: {error:#}");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Closes what was fixed and stayed `quiet`. How many.
///
/// # Errors
/// Where the database fails.
pub async fn close_quiet(store: &Store, quiet: std::time::Duration) -> Result<u64> {
    let quiet = SignedDuration::try_from(quiet).unwrap_or(SignedDuration::MAX);
    store.close_quiet(store.now().checked_sub(quiet).unwrap_or(jiff::Timestamp::MIN)).await
}
