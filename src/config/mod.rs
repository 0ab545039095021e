//! What Regreen is told: two files that are not equals, and the environment.
//!
//! The user's file is trusted. The repo's is untrusted input: it says what the checks are and may be stricter than the user, but
//! it can never loosen anything ([`RepoConfig`] has no field that could). [`Settings`] is the one validated outcome.

mod channels;
mod detect;
mod environment;
mod forges;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod governance;
mod jira;
mod keys;
mod learning;
mod quantity;
mod reader;
mod repo;
mod service;
mod user;
mod watch;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use channels::{Address, Channel, ChannelKind, Mail, RULES, Tls, is_postable};
pub use detect::{Detected, Programs, detect, render_toml};
pub use environment::{Environment, open_state_dir};
pub use forges::{ForgeConfig, ForgeKind, ForgeRepo, Level, is_full_name};
pub use governance::{
    Fact, Governance, GovernanceConfig, Risk, RiskRule, Ruling, TighterGovernance, risk_rules,
};
pub(crate) use governance::{glob_of, pattern_of};
pub use jira::{JiraConfig, JiraKind, PriorityLabels, Statuses, Types};
pub use keys::KeySource;
pub use learning::MemoryRules;
pub use quantity::{parse_duration, parse_size, render_duration, render_size};
pub use repo::{ContextHints, GOAL, REPO_FILE, RepoConfig, Setup, Tighter, read_repo_file};
pub use service::{AlertRules, Bucket, IncidentRules, Retention};
pub use user::{
    Budget, Caps, Confinement, FixerKind, GuardRules, Provider, ProviderKind, Rung, Thinking, Tier,
    UserConfig,
};
pub use watch::{Watch, pattern};

use crate::fault::Fault;

/// How much isolation is asked for (`--sandbox`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum SandboxMode {
    /// Namespaces and seccomp are required, Landlock is used where the kernel has it; refuses to run where the machine cannot do
    /// it, and says what to change.
    Auto,
    /// The same, and Landlock is required.
    Strict,
    /// Where namespaces cannot be had and the user accepts less: Landlock and seccomp alone, no sockets, attempts are copies. Warns on
    /// every run.
    Degraded,
    /// No confinement. Warns on every run.
    Off,
}

impl SandboxMode {
    const NAMES: &'static [&'static str] = &["auto", "strict", "degraded", "off"];

    fn parse(text: &str) -> Option<Self> {
        let at = Self::NAMES.iter().position(|name| *name == text)?;
        Some([Self::Auto, Self::Strict, Self::Degraded, Self::Off][at])
    }

    /// Whether commands get a view of their own (namespaces and mounts): without one they see the host's paths.
    pub fn has_view(self) -> bool {
        matches!(self, Self::Auto | Self::Strict)
    }

    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// What of the network is configured to be in reach, the narrowest first.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkAccess {
    /// An empty network namespace (loopback only).
    #[default]
    None,
    /// Package registries, through the allowlisting proxy.
    Registries,
    /// The machine's own network.
    All,
}

impl NetworkAccess {
    const NAMES: &'static [&'static str] = &["none", "registries", "all"];

    fn parse(text: &str) -> Option<Self> {
        let at = Self::NAMES.iter().position(|name| *name == text)?;
        Some([NetworkAccess::None, NetworkAccess::Registries, NetworkAccess::All][at])
    }

    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Built in.
    Default,
    /// A variable of the environment.
    Environment(String),
    /// A file, with the line.
    File(String, usize),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Environment(name) => write!(f, "${name}"),
            Origin::File(name, line) => write!(f, "{name}:{line}"),
        }
    }
}

/// One line of what is in force.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Effective {
    /// The full key: `budget.run_usd`.
    pub key: String,
    /// Its value as people read it; never a key or password.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// What is in force: both files and the environment, validated and merged.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The user's settings, tightened by the repo.
    pub user: UserConfig,
    /// The repo's settings; `None` where it has no `regreen.toml`.
    pub repo: Option<RepoConfig>,
    /// The state folder, not yet made ([`open_state_dir`]).
    pub state: PathBuf,
    /// The user's file, where there is one.
    pub user_file: Option<String>,
    files: Vec<user::LoadedFile>,
    environment: Environment,
}

impl Settings {
    /// Reads the user's file and takes `repo_toml`, the text of the repo's `regreen.toml`.
    ///
    /// # Errors
    /// A [`Fault`] (exit 2) that names the file, the line and the key.
    pub fn load(environment: &Environment, repo_toml: Option<&str>) -> Result<Self, Fault> {
        let (mut user, user_file) = UserConfig::load(environment)?;
        let mut files: Vec<_> = user_file.into_iter().collect();
        let name = files.first().map(|file| file.name.clone());
        let mut repo = None;
        if let Some(text) = repo_toml {
            let (config, mut file) = RepoConfig::parse_with_lines(text, user.limits.check)?;
            let changed = config.tighter.tighten(&mut user);
            file.lines.retain(|key, _| changed.contains(&key.as_str()));
            if let Some(line) = file.lines.remove("models") {
                file.lines.insert("ladder".to_owned(), line);
            }
            files.push(file);
            repo = Some(config);
        }
        let state = environment.state_path()?;
        Ok(Self { user, repo, state, user_file: name, files, environment: environment.clone() })
    }

    /// What is in force and where each value comes from, in the order of the documentation.
    pub fn effective(&self) -> Vec<Effective> {
        let user = &self.user;
        let mut all = Vec::new();
        let mut add = |key: &str, value: String, variables: &[&str]| {
            let value = if value.is_empty() { "none".to_owned() } else { value };
            all.push(Effective { key: key.to_owned(), value, origin: self.origin(key, variables) });
        };
        let ladder: Vec<String> = user.ladder.iter().map(Rung::describe).collect();
        add("ladder", ladder.join(" → "), &["ANTHROPIC_API_KEY", "OPENAI_API_KEY"]);
        for (name, provider) in &user.providers {
            let place = match provider.kind {
                ProviderKind::Acp | ProviderKind::Command => provider.command.join(" "),
                ProviderKind::Replay => {
                    provider.recording.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
                }
                _ => provider.base_url.clone().unwrap_or_default(),
            };
            let key = match provider.key(&self.environment) {
                Ok(Some(_)) => "key found",
                Ok(None) if provider.key_env.is_some() => "no key",
                Ok(None) => "needs no key",
                Err(_) => "key file not usable",
            };
            let variables: &[&str] = match name.as_str() {
                "anthropic" => &["ANTHROPIC_BASE_URL"],
                "openai" => &["OPENAI_BASE_URL"],
                _ => &[],
            };
            let mut value = format!("{} at {place}, {key}", provider.kind.as_str());
            for (rate, what) in
                [(provider.requests_per_minute, "requests"), (provider.tokens_per_minute, "tokens")]
            {
                if let Some(rate) = rate {
                    value.push_str(&format!(", at most {rate} {what} a minute"));
                }
            }
            add(&format!("providers.{name}"), value, variables);
        }
        add("budget.run_usd", user.budget.run.to_string(), &[]);
        add("budget.day_usd", user.budget.day.to_string(), &[]);
        let governance = &user.governance;
        add("governance.environment", governance.environment.as_str().to_owned(), &[]);
        for (tier, rulings) in Tier::NAMES.iter().zip(&governance.rulings) {
            let rulings: Vec<String> = [Risk::Green, Risk::Yellow, Risk::Red]
                .into_iter()
                .zip(rulings)
                .map(|(risk, ruling)| format!("{} {}", risk.as_str(), ruling.as_str()))
                .collect();
            add(&format!("governance.{tier}"), rulings.join(", "), &[]);
        }
        let rules: Vec<&str> = governance.rules.iter().map(|rule| rule.id.as_str()).collect();
        let rules =
            if rules.is_empty() { "built in".to_owned() } else { format!("built in, {}", rules.join(", ")) };
        add("governance.rules", rules, &[]);
        add("governance.expires", render_duration(governance.expires), &[]);
        add("governance.other_person", governance.other_person.to_string(), &[]);
        add("governance.people", governance.people.to_string(), &[]);
        for repo in governance.repos.keys() {
            let own = governance.of(std::path::Path::new(repo));
            let value = format!(
                "{}, {} people, another person {}",
                own.environment.as_str(),
                own.people,
                own.other_person
            );
            add(&format!("governance.repos.{repo}"), value, &[]);
        }
        add("sandbox.mode", user.sandbox.mode.as_str().to_owned(), &[]);
        add("sandbox.network", user.sandbox.network.as_str().to_owned(), &[]);
        let registries = match user.sandbox.registries.as_slice() {
            [] => "those of your package clients".to_owned(),
            more => format!("those of your package clients, {}", more.join(", ")),
        };
        add("sandbox.registries", registries, &[]);
        add("sandbox.private_registries", user.sandbox.private_registries.to_string(), &[]);
        let folders: Vec<String> =
            user.sandbox.read_only.iter().map(|folder| folder.display().to_string()).collect();
        let folders = if folders.is_empty() { "none".to_owned() } else { folders.join(", ") };
        add("sandbox.read_only", folders, &[]);
        let trusted = match user.sandbox.install_scripts.as_slice() {
            [] => "without a network".to_owned(),
            names => format!("without a network, except {}", names.join(", ")),
        };
        add("sandbox.install_scripts", trusted, &[]);
        add("limits.memory", render_size(user.limits.memory), &[]);
        add("limits.disk", render_size(user.limits.disk), &[]);
        add("limits.processes", user.limits.processes.to_string(), &[]);
        add("limits.check", render_duration(user.limits.check), &[]);
        add("limits.run", render_duration(user.limits.run), &[]);
        let attempts = user.limits.attempts.map_or("as the ladder says".to_owned(), |most| most.to_string());
        add("limits.attempts", attempts, &[]);
        add("guards.protected", user.guards.protected.join(", "), &[]);
        add("guards.files", user.guards.files.to_string(), &[]);
        add("guards.lines", user.guards.lines.to_string(), &[]);
        add("proposals.auto_fix", user.auto_fix.join(", "), &[]);
        let attempts = user.fix_attempts.map_or("as the ladder says".to_owned(), |most| most.to_string());
        add("proposals.attempts", attempts, &[]);
        add("memory.enabled", user.memory.enabled.to_string(), &[]);
        add("memory.share", user.memory.share.to_string(), &[]);
        add("memory.watch", render_duration(user.memory.watch), &[]);
        add("memory.keep", render_duration(user.memory.keep), &[]);
        add("memory.pairs", user.memory.pairs.to_string(), &[]);
        add("proof.repeat", user.repeat.to_string(), &[]);
        add("proof.minimise", user.minimise.to_string(), &[]);
        let alerts = &user.alerts;
        add("alerts.enabled", alerts.enabled.to_string(), &[]);
        add("alerts.window", render_duration(alerts.window), &[]);
        add("alerts.sample", format!("{} red runs", alerts.sample), &[]);
        add("alerts.escalated_percent", alerts.escalated.to_string(), &[]);
        add("alerts.exhausted_percent", alerts.exhausted.to_string(), &[]);
        add("alerts.provider_errors", alerts.provider_errors.to_string(), &[]);
        add("alerts.spend_percent", alerts.spend.to_string(), &[]);
        add("alerts.queue_age", render_duration(alerts.queue_age), &[]);
        let told: Vec<String> =
            user.channels.iter().map(|one| format!("{} ({})", one.name, one.kind())).collect();
        add("alerts.channels", told.join(", "), &[]);
        add("incidents.heal", user.incidents.heal.to_string(), &[]);
        add("incidents.quiet", render_duration(user.incidents.quiet), &[]);
        add("incidents.runs_per_day", user.incidents.runs_per_day.to_string(), &[]);
        let kept = |age: Option<std::time::Duration>| age.map_or("for ever".to_owned(), render_duration);
        add("retention.logs", kept(user.retention.logs), &[]);
        let most = user.retention.logs_size.map_or("no limit".to_owned(), render_size);
        add("retention.logs_size", most, &[]);
        add("retention.prompts", kept(user.retention.prompts), &[]);
        add("retention.events", kept(user.retention.events), &[]);
        add("retention.landings", kept(user.retention.landings), &[]);
        let objects = user.objects.as_ref().map_or("the state folder".to_owned(), |bucket| {
            let at = bucket.endpoint.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
            let slash = if bucket.prefix.is_empty() { "" } else { "/" };
            format!("s3://{}{slash}{}{at}", bucket.name, bucket.prefix)
        });
        add("objects.url", objects, &[]);
        let found = |key: &KeySource, name: &str| match (key.is_named(), key.read(&self.environment)) {
            (false, _) => format!("no {name}"),
            (true, Ok(Some(_))) => format!("{name} found"),
            (true, Ok(None)) => format!("{name} not set"),
            (true, Err(_)) => format!("{name}'s file not usable"),
        };
        for forge in &user.forges {
            let mut value = format!("{}, {}", forge.base_url, found(&forge.token, "token"));
            if let Some((app, key)) = &forge.app {
                value.push_str(&format!(", app {app}, {}", found(key, "app's key")));
            }
            value.push_str(&format!(", {}", found(&forge.secret, "webhook secret")));
            if !forge.repos.is_empty() {
                let names: Vec<&str> = forge.repos.keys().map(String::as_str).collect();
                value.push_str(&format!(", {}", names.join(", ")));
            }
            add(forge.kind.as_str(), value, &[]);
        }
        if let Some(jira) = &user.jira {
            let mut value =
                format!("{} at {}, {}", jira.kind.as_str(), jira.base_url, found(&jira.token, "token"));
            value.push_str(&format!(", {}", found(&jira.secret, "webhook secret")));
            if jira.connect_secret.is_named() {
                value.push_str(&format!(", {}", found(&jira.connect_secret, "Connect secret")));
            }
            if let Some(every) = jira.poll {
                value.push_str(&format!(", asked every {}", render_duration(every)));
            }
            let names: Vec<&str> = jira.projects.keys().map(String::as_str).collect();
            if !names.is_empty() {
                value.push_str(&format!(", {}", names.join(", ")));
            }
            add("jira", value, &[]);
        }
        add("state", self.state.display().to_string(), &["REGREEN_STATE_DIR", "XDG_STATE_HOME"]);
        all
    }

    /// A later file that sets the key wins in what is shown: the repo's, where it tightened.
    fn origin(&self, key: &str, variables: &[&str]) -> Origin {
        for file in self.files.iter().rev() {
            if let Some(line) = file.lines.get(key) {
                return Origin::File(file.name.clone(), *line);
            }
        }
        match variables.iter().find(|name| self.environment.get(name).is_some()) {
            Some(name) => Origin::Environment((*name).to_owned()),
            None => Origin::Default,
        }
    }
}
