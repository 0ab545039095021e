//! The parts of the user's file that are about what a service needs: alerts, retention, a bucket for logs.

use std::time::Duration;

use super::reader::Section;
use super::user::set;
use crate::fault::Fault;

/// A bucket of an S3-compatible object store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// What keys in it begin with; may be empty.
    pub prefix: String,
    /// Where the server is; `None` for AWS's own.
    pub endpoint: Option<String>,
    /// The region; `None` leaves it to the environment.
    pub region: Option<String>,
}

/// From when on something is wrong with the service as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlertRules {
    /// Whether they are looked at.
    pub enabled: bool,
    /// The time that shares are taken over: runs made since then.
    pub window: Duration,
    /// The fewest red runs of that time that a share says something of.
    pub sample: u64,
    /// The share of the red runs that may end with a person, in percent.
    pub escalated: u64,
    /// The share of the red runs for which nothing that was tried may help, in percent.
    pub exhausted: u64,
    /// Calls of a provider that have to fail one after the other.
    pub provider_errors: u64,
    /// The share of the money for 24 hours that may be spent, in percent.
    pub spend: u64,
    /// How long a run may wait for a worker.
    pub queue_age: Duration,
}

impl Default for AlertRules {
    fn default() -> Self {
        Self {
            enabled: true,
            window: Duration::from_secs(24 * 3600),
            sample: 10,
            escalated: 20,
            exhausted: 15,
            provider_errors: 5,
            spend: 90,
            queue_age: Duration::from_secs(3600),
        }
    }
}

/// How long what is kept of runs that are over is kept; `None` for ever.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention {
    /// What checks printed.
    pub logs: Option<Duration>,
    /// The most bytes of it.
    pub logs_size: Option<u64>,
    /// What models were sent and what they answered.
    pub prompts: Option<Duration>,
    /// All events, but of runs that landed something.
    pub events: Option<Duration>,
    /// All events of runs that landed something: they cannot be rolled back after that.
    pub landings: Option<Duration>,
}

impl Retention {
    /// Whether everything is kept for ever.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What is done about incidents by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncidentRules {
    /// Whether runs take them up.
    pub heal: bool,
    /// How long what was fixed has to stay quiet to count as closed.
    pub quiet: Duration,
    /// Runs for incidents of one repo in 24 hours.
    pub runs_per_day: u64,
}

impl Default for IncidentRules {
    fn default() -> Self {
        Self { heal: true, quiet: Duration::from_secs(24 * 3600), runs_per_day: 20 }
    }
}

pub(super) const INCIDENTS: &[&str] = &["heal", "quiet", "runs_per_day"];

pub(super) fn incidents(target: &mut IncidentRules, section: &Section<'_, '_>) -> Result<(), Fault> {
    set(&mut target.heal, section.boolean("heal")?);
    set(&mut target.quiet, section.duration("quiet")?);
    set(&mut target.runs_per_day, section.integer("runs_per_day", 0..=100_000)?);
    Ok(())
}

pub(super) const RETENTION: &[&str] = &["logs", "logs_size", "prompts", "events", "landings"];
pub(super) const OBJECTS: &[&str] = &["url", "endpoint", "region"];
pub(super) const ALERTS: &[&str] = &[
    "enabled",
    "window",
    "sample",
    "escalated_percent",
    "exhausted_percent",
    "provider_errors",
    "spend_percent",
    "queue_age",
    "channels",
];

pub(super) fn bucket(section: &Section<'_, '_>) -> Result<Bucket, Fault> {
    let wrong = || section.wrong("url", "must be a bucket: \"s3://bucket\" or \"s3://bucket/prefix\"");
    let url = section.string("url")?.ok_or_else(wrong)?;
    let rest = url.strip_prefix("s3://").ok_or_else(wrong)?;
    let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._/".contains(&b));
    if name.is_empty() || !plain(name) || !plain(prefix) {
        return Err(wrong());
    }
    let endpoint = section.string("endpoint")?;
    let is_web = |url: &String| url.starts_with("https://") || url.starts_with("http://");
    if endpoint.as_ref().is_some_and(|url| !is_web(url) || url.contains('@')) {
        let what = "must be an address such as \"https://s3.example.org\"; keys come from the environment";
        return Err(section.wrong("endpoint", what));
    }
    let (name, prefix) = (name.to_owned(), prefix.trim_matches('/').to_owned());
    Ok(Bucket { name, prefix, endpoint, region: section.string("region")? })
}

pub(super) fn alerts(target: &mut AlertRules, section: &Section<'_, '_>) -> Result<(), Fault> {
    set(&mut target.enabled, section.boolean("enabled")?);
    set(&mut target.window, section.duration("window")?);
    set(&mut target.sample, section.integer("sample", 1..=1_000_000)?);
    set(&mut target.escalated, section.integer("escalated_percent", 0..=100)?);
    set(&mut target.exhausted, section.integer("exhausted_percent", 0..=100)?);
    set(&mut target.provider_errors, section.integer("provider_errors", 1..=1_000_000)?);
    set(&mut target.spend, section.integer("spend_percent", 1..=1000)?);
    set(&mut target.queue_age, section.duration("queue_age")?);
    Ok(())
}

pub(super) fn retention(section: &Section<'_, '_>) -> Result<Retention, Fault> {
    let rules = Retention {
        logs: section.age("logs")?,
        logs_size: section.size("logs_size")?,
        prompts: section.age("prompts")?,
        events: section.age("events")?,
        landings: section.age("landings")?,
    };
    if rules.landings.is_some_and(|age| age < rules.events.unwrap_or(age)) {
        return Err(section.wrong("landings", "must not be shorter than `events`"));
    }
    Ok(rules)
}
