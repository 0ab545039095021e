//! `[jira]`: where tickets come from, and what their statuses are called there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::environment::Environment;
use super::keys::KeySource;
use super::reader::Section;
use super::user::{encrypted, set};
use crate::fault::Fault;

/// Which Jira it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum JiraKind {
    /// Atlassian's own.
    Cloud,
    /// One's own server.
    DataCenter,
}

impl JiraKind {
    const NAMES: &'static [&'static str] = &["cloud", "data-center"];

    fn parse(text: &str) -> Option<Self> {
        let at = Self::NAMES.iter().position(|name| *name == text)?;
        Some([Self::Cloud, Self::DataCenter][at])
    }

    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// What the statuses are called that Regreen moves issues to, or waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses {
    /// A plan waits for somebody's word.
    pub plan_review: String,
    /// What is to be done: moved here, a plan is approved.
    pub selected: String,
    /// Under way.
    pub in_progress: String,
    /// Implemented, for people to look at.
    pub in_testing: String,
    /// To be done again, as a comment says.
    pub needs_rework: String,
    /// Waits for an answer, or failed.
    pub blocked: String,
    /// Over.
    pub done: String,
}

impl Default for Statuses {
    fn default() -> Self {
        Self {
            plan_review: "Plan Review".to_owned(),
            selected: "Selected for Development".to_owned(),
            in_progress: "In Progress".to_owned(),
            in_testing: "In Testing".to_owned(),
            needs_rework: "Needs Rework".to_owned(),
            blocked: "Blocked".to_owned(),
            done: "Done".to_owned(),
        }
    }
}

/// What the types of issues are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Types {
    /// What gets a plan first.
    pub epic: String,
    /// What is made of the plan's stories.
    pub story: String,
    /// What is made of their steps.
    pub subtask: String,
}

impl Default for Types {
    fn default() -> Self {
        Self { epic: "Epic".to_owned(), story: "Story".to_owned(), subtask: "Sub-task".to_owned() }
    }
}

/// The labels that make a run more or less urgent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriorityLabels {
    /// Before all others.
    pub urgent: Vec<String>,
    /// Before the usual.
    pub high: Vec<String>,
    /// After the usual.
    pub low: Vec<String>,
}

impl Default for PriorityLabels {
    fn default() -> Self {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self { urgent: list(&["urgent", "critical"]), high: list(&["high"]), low: list(&["low"]) }
    }
}

/// A Jira.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JiraConfig {
    /// Which.
    pub kind: JiraKind,
    /// Where it is, without a final slash.
    pub base_url: String,
    /// Whose token it is, in the cloud.
    pub email: Option<String>,
    /// The token.
    pub token: KeySource,
    /// What its webhooks are signed with.
    pub secret: KeySource,
    /// The shared secret of a Connect app, whose webhooks come with a JWT.
    pub connect_secret: KeySource,
    /// Who issues these JWTs: the client key that Jira gave when the app was installed.
    pub connect_client: Option<String>,
    /// The repos that issues are about, by the key of their project.
    pub projects: BTreeMap<String, PathBuf>,
    /// Whose comments approve a plan: account ids, e-mail addresses, or user names on a server.
    pub approvers: Vec<String>,
    /// Who gets what Regreen could not do; `None` for whoever reported it.
    pub escalate_to: Option<String>,
    /// Where stories and other issues land: `branch`, or `pr` to have it pushed, as a pull request where a forge is configured.
    pub land: &'static str,
    /// How often it is asked what changed; `None` where webhooks tell.
    pub poll: Option<Duration>,
    /// How long a search may take to find what was just made.
    pub settle: Duration,
    /// What statuses are called.
    pub statuses: Statuses,
    /// What types are called.
    pub types: Types,
    /// What labels say of urgency.
    pub priority: PriorityLabels,
}

pub(super) const JIRA: &[&str] = &[
    "kind",
    "base_url",
    "email",
    "token_env",
    "token_file",
    "webhook_secret_env",
    "webhook_secret_file",
    "connect_secret_env",
    "connect_secret_file",
    "connect_client_key",
    "projects",
    "approvers",
    "escalate_to",
    "land",
    "poll",
    "settle",
    "status",
    "types",
    "priority",
];
const STATUS: &[&str] =
    &["plan_review", "selected", "in_progress", "in_testing", "needs_rework", "blocked", "done"];
const LAND: &[&str] = &["branch", "pr"];
const TYPES: &[&str] = &["epic", "story", "subtask"];
const PRIORITY: &[&str] = &["urgent", "high", "low"];

impl JiraConfig {
    /// Reads the table.
    pub(super) fn read(section: &Section<'_, '_>, environment: &Environment) -> Result<Self, Fault> {
        let base_url = section
            .string("base_url")?
            .ok_or_else(|| {
                section.wrong("base_url", "must be the address, such as \"https://example.atlassian.net\"")
            })?
            .trim_end_matches('/')
            .to_owned();
        encrypted(&base_url, section, true)?;
        let kind = section.choice("kind", JiraKind::NAMES, JiraKind::parse)?.unwrap_or(JiraKind::Cloud);
        let email = section.string("email")?;
        match (kind, &email) {
            (JiraKind::DataCenter, Some(_)) => {
                return Err(
                    section.wrong("email", "is for the cloud; a server takes a personal access token")
                );
            }
            (JiraKind::Cloud, None) => {
                return Err(section.wrong("email", "must be the address that the API token belongs to"));
            }
            _ => {}
        }
        let mut token = KeySource::of(section, "token_env", "token_file", environment)?;
        if !token.is_named() {
            token.env = Some("JIRA_TOKEN".to_owned());
        }
        let connect_secret =
            KeySource::of(section, "connect_secret_env", "connect_secret_file", environment)?;
        let connect_client = section.string("connect_client_key")?;
        if connect_secret.is_named() != connect_client.is_some() {
            return Err(
                section.wrong("connect_client_key", "goes with connect_secret_env or connect_secret_file")
            );
        }
        let mut projects = BTreeMap::new();
        for (key, table) in section.named("projects", &["repo"])? {
            let repo = table.string("repo")?.map(|text| environment.path_of(&text));
            let repo = repo.ok_or_else(|| table.wrong("repo", "must be the folder of the repo's clone"))?;
            projects.insert(key.to_ascii_uppercase(), repo);
        }
        let mut config = Self {
            kind,
            base_url,
            email,
            token,
            secret: KeySource::of(section, "webhook_secret_env", "webhook_secret_file", environment)?,
            connect_secret,
            connect_client,
            projects,
            approvers: section.strings("approvers")?.unwrap_or_default(),
            escalate_to: section.string("escalate_to")?,
            land: section
                .choice("land", LAND, |text| LAND.iter().find(|name| **name == text).copied())?
                .unwrap_or("branch"),
            poll: section.duration("poll")?,
            settle: section.duration("settle")?.unwrap_or(Duration::from_secs(300)),
            statuses: Statuses::default(),
            types: Types::default(),
            priority: PriorityLabels::default(),
        };
        if let Some(table) = section.section("status", STATUS)? {
            let names = &mut config.statuses;
            set(&mut names.plan_review, table.string("plan_review")?);
            set(&mut names.selected, table.string("selected")?);
            set(&mut names.in_progress, table.string("in_progress")?);
            set(&mut names.in_testing, table.string("in_testing")?);
            set(&mut names.needs_rework, table.string("needs_rework")?);
            set(&mut names.blocked, table.string("blocked")?);
            set(&mut names.done, table.string("done")?);
            let all = [
                &names.plan_review,
                &names.selected,
                &names.in_progress,
                &names.in_testing,
                &names.needs_rework,
                &names.blocked,
                &names.done,
            ];
            for (at, name) in all.iter().enumerate() {
                if all[..at].iter().any(|other| other.eq_ignore_ascii_case(name)) {
                    return Err(table.wrong("", &format!("calls two statuses {name:?}")));
                }
            }
        }
        if let Some(table) = section.section("types", TYPES)? {
            set(&mut config.types.epic, table.string("epic")?);
            set(&mut config.types.story, table.string("story")?);
            set(&mut config.types.subtask, table.string("subtask")?);
        }
        if let Some(table) = section.section("priority", PRIORITY)? {
            set(&mut config.priority.urgent, table.strings("urgent")?);
            set(&mut config.priority.high, table.strings("high")?);
            set(&mut config.priority.low, table.strings("low")?);
        }
        Ok(config)
    }

    /// The repo that issues of this project are about.
    pub fn repo_of(&self, project: &str) -> Option<&PathBuf> {
        self.projects.get(&project.to_ascii_uppercase())
    }
}
