//! The user's own file, trusted: providers, the ladder, budgets, the sandbox, policy.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use secrecy::SecretString;

use super::channels::{Channel, channels};
use super::environment::Environment;
use super::forges::{FORGE, ForgeConfig, ForgeKind};
use super::governance::GovernanceConfig;
use super::jira::{JIRA, JiraConfig};
use super::keys::KeySource;
use super::learning::{MEMORY, MemoryRules, memory};
use super::reader::{LARGEST, Section, Source};
use super::service::{
    ALERTS, AlertRules, Bucket, INCIDENTS, IncidentRules, OBJECTS, RETENTION, Retention, alerts, bucket,
    incidents, retention,
};
use super::watch::{WATCH, Watch, watch};
use super::{NetworkAccess, SandboxMode};
use crate::fault::Fault;
use crate::usage::Money;

/// The protocol that a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderKind {
    /// Anthropic's Messages.
    Anthropic,
    /// OpenAI's Responses.
    OpenaiResponses,
    /// Chat completions, as many servers offer them.
    OpenaiChat,
    /// An external agent over the Agent Client Protocol.
    Acp,
    /// An external agent as a command.
    Command,
    /// Recorded answers, for demonstrations and tests.
    Replay,
}

impl ProviderKind {
    const NAMES: &'static [&'static str] =
        &["anthropic", "openai-responses", "openai-chat", "acp", "command", "replay"];

    fn parse(text: &str) -> Option<Self> {
        use ProviderKind::*;
        let kinds = [Anthropic, OpenaiResponses, OpenaiChat, Acp, Command, Replay];
        Self::NAMES.iter().position(|name| *name == text).map(|at| kinds[at])
    }

    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// Where answers come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// Its name, as rungs refer to it.
    pub name: String,
    /// The protocol that it speaks.
    pub kind: ProviderKind,
    /// Where it is, without a final slash; `None` for programs and recordings.
    pub base_url: Option<String>,
    /// The variable that holds its key.
    pub key_env: Option<String>,
    /// The file that holds its key, absolute.
    pub key_file: Option<PathBuf>,
    /// Program and arguments (`acp`, `command`).
    pub command: Vec<String>,
    /// The recorded answers (`replay`), absolute.
    pub recording: Option<PathBuf>,
    /// The longest that one answer may take.
    pub timeout: Option<Duration>,
    /// Tokens that its models take at once, where they are not the usual ones.
    pub window: Option<u64>,
    /// What an agent may reach, as `host` or `host:port`; nothing where it is empty.
    pub hosts: Vec<String>,
    /// The variables that an agent gets.
    pub pass_env: Vec<String>,
    /// What it may be sent in a minute: requests.
    pub requests_per_minute: Option<NonZeroU32>,
    /// The same in tokens, those of the longest answer that is allowed included.
    pub tokens_per_minute: Option<NonZeroU32>,
}

impl Provider {
    /// Its key, from the variable or the file that the configuration names; `None` where it names none or the variable is
    /// not set.
    ///
    /// # Errors
    /// Where the file cannot be read, is empty, or others can read it.
    pub fn key(&self, environment: &Environment) -> Result<Option<SecretString>> {
        KeySource { env: self.key_env.clone(), file: self.key_file.clone() }.read(environment)
    }
}

/// What a rung's fixer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FixerKind {
    /// A verified fix of the same fingerprint, replayed.
    Memory,
    /// What the toolchain suggests.
    Codefix,
    /// A language model.
    Model,
    /// An external coding agent.
    Agent,
}

impl FixerKind {
    const NAMES: &'static [&'static str] = &["memory", "codefix", "model", "agent"];

    fn parse(text: &str) -> Option<Self> {
        use FixerKind::*;
        Self::NAMES.iter().position(|name| *name == text).map(|at| [Memory, Codefix, Model, Agent][at])
    }

    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// How hard a rung's model thinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Thinking {
    /// Mechanical work.
    Low,
    /// Ordinary repairs.
    Medium,
    /// Second opinions.
    High,
}

/// One step of the ladder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// What proposes.
    pub fixer: FixerKind,
    /// The provider's name (`model`, `agent`).
    pub provider: Option<String>,
    /// The model's name (`model`; for `agent` where the agent lets one choose).
    pub model: Option<String>,
    /// How often it may try.
    pub attempts: u32,
    /// How hard it thinks; `None` leaves it to the loop.
    pub effort: Option<Thinking>,
}

impl Rung {
    fn new(fixer: FixerKind, attempts: u32) -> Self {
        Self { fixer, provider: None, model: None, attempts, effort: None }
    }

    /// As shown to people: `model anthropic/claude-sonnet-5-5 ×2`.
    pub fn describe(&self) -> String {
        let mut text = self.fixer.as_str().to_owned();
        if let Some(provider) = &self.provider {
            text += &format!(" {provider}");
            if let Some(model) = &self.model {
                text += &format!("/{model}");
            }
        }
        if self.attempts != 1 {
            text += &format!(" ×{}", self.attempts);
        }
        text
    }
}

/// Money caps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// For one run.
    pub run: Money,
    /// For 24 hours, all runs together.
    pub day: Money,
}

/// Where what is healed runs: the stricter, the more approvals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// A developer's machine.
    Local,
    /// A shared development environment.
    Dev,
    /// Before production.
    Staging,
    /// Production.
    Production,
}

impl Tier {
    pub(super) const NAMES: &'static [&'static str] = &["local", "dev", "staging", "production"];

    pub(super) fn parse(text: &str) -> Option<Self> {
        use Tier::*;
        Self::NAMES.iter().position(|name| *name == text).map(|at| [Local, Dev, Staging, Production][at])
    }

    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// How checks are confined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confinement {
    /// How much isolation is asked for.
    pub mode: SandboxMode,
    /// What checks may reach; the setup command has its own.
    pub network: NetworkAccess,
    /// The most that a setup command may reach: what `network` says where it is set, else package registries.
    pub setup_network: NetworkAccess,
    /// More hosts that count as package registries.
    pub registries: Vec<String>,
    /// Whether registries may have private addresses: mirrors in one's own network.
    pub private_registries: bool,
    /// Host folders seen read-only besides the system's and the toolchains'.
    pub read_only: Vec<PathBuf>,
    /// Packages whose install scripts and builds may reach what a setup may reach; those of all others run without a network.
    pub install_scripts: Vec<String>,
}

/// The most that a check, an attempt or a run may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Memory of a job's processes together, in bytes.
    pub memory: u64,
    /// Processes and threads of a job.
    pub processes: u64,
    /// The largest file that a job may write, in bytes.
    pub file_size: u64,
    /// What a job may write to disk in all, in bytes.
    pub disk: u64,
    /// What stays free of the disk that jobs write to, in bytes.
    pub disk_free: u64,
    /// Output kept of a job, in bytes.
    pub output: u64,
    /// Wall time of a check that names none.
    pub check: Duration,
    /// Wall time of a whole run.
    pub run: Duration,
    /// Attempts of a whole run; `None` leaves it to the ladder.
    pub attempts: Option<u32>,
}

/// What a patch may touch, and how large it may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardRules {
    /// Globs of files that no patch may touch, relative to the repo's root.
    pub protected: Vec<String>,
    /// The most files a patch may change.
    pub files: u64,
    /// The most lines a patch may add and remove together.
    pub lines: u64,
    /// The largest file that a patch may make, in bytes.
    pub file_bytes: u64,
}

/// What the user's file says; absent keys have their defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserConfig {
    /// Providers by name, `anthropic` and `openai` always among them.
    pub providers: BTreeMap<String, Provider>,
    /// The order in which fixers are tried.
    pub ladder: Vec<Rung>,
    /// Money caps.
    pub budget: Budget,
    /// What may land by itself.
    pub governance: GovernanceConfig,
    /// How checks are confined.
    pub sandbox: Confinement,
    /// The most that work may use.
    pub limits: Caps,
    /// What a patch may touch.
    pub guards: GuardRules,
    /// Whose proposals are repaired by themselves where their tests fail: roots of repos, or `*` for all.
    pub auto_fix: Vec<String>,
    /// Attempts of one repair of a proposal; `None` leaves it to [`Caps::attempts`] and the ladder.
    pub fix_attempts: Option<u32>,
    /// What is remembered of fixes that worked.
    pub memory: MemoryRules,
    /// How often the goal's check runs again before it counts as proven.
    pub repeat: u32,
    /// Whether hunks that are not needed are dropped.
    pub minimise: bool,
    /// From when on something is wrong with the service as a whole.
    pub alerts: AlertRules,
    /// Where people are told of alerts.
    pub channels: Vec<Channel>,
    /// What is done about incidents by itself.
    pub incidents: IncidentRules,
    /// Commands that are healed again and again.
    pub watches: Vec<Watch>,
    /// How long what is kept of runs is kept.
    pub retention: Retention,
    /// Where logs go besides the state folder, so that several machines share them.
    pub objects: Option<Bucket>,
    /// The forges that code is pushed to and issues come from.
    pub forges: Vec<ForgeConfig>,
    /// The Jira that tickets come from.
    pub jira: Option<JiraConfig>,
}

const TOP: &[&str] = &[
    "providers",
    "ladder",
    "budget",
    "governance",
    "sandbox",
    "limits",
    "guards",
    "proposals",
    "memory",
    "proof",
    "alerts",
    "incidents",
    "watch",
    "retention",
    "objects",
    "github",
    "gitlab",
    "jira",
];
const PROVIDER: &[&str] = &[
    "kind",
    "base_url",
    "key_env",
    "key_file",
    "command",
    "recording",
    "timeout",
    "window",
    "hosts",
    "pass_env",
    "requests_per_minute",
    "tokens_per_minute",
];
const RUNG: &[&str] = &["fixer", "provider", "model", "attempts", "effort"];
const LIMITS: &[&str] =
    &["memory", "processes", "file_size", "disk", "disk_free", "output", "check", "run", "attempts"];
const GUARDS: &[&str] = &["protected", "files", "lines", "file_size"];
const SANDBOX: &[&str] =
    &["mode", "network", "registries", "private_registries", "read_only", "install_scripts"];

const PRIMARY_MODEL: &str = "claude-sonnet-5-5";
const SECONDARY_MODEL: &str = "gpt-6.2-sol";

impl UserConfig {
    /// What holds without a file.
    pub fn defaults(environment: &Environment) -> Self {
        Self {
            providers: built_in_providers(environment),
            ladder: default_ladder(environment),
            budget: Budget { run: Money::from_usd(1.0), day: Money::from_usd(20.0) },
            governance: GovernanceConfig::default(),
            sandbox: Confinement {
                mode: SandboxMode::Auto,
                network: NetworkAccess::None,
                setup_network: NetworkAccess::Registries,
                registries: Vec::new(),
                private_registries: false,
                read_only: Vec::new(),
                install_scripts: Vec::new(),
            },
            limits: Caps {
                memory: 4 << 30,
                processes: 4096,
                file_size: 4 << 30,
                disk: 64 << 30,
                disk_free: 1 << 30,
                output: 64 << 20,
                check: Duration::from_secs(600),
                run: Duration::from_secs(3600),
                attempts: None,
            },
            guards: GuardRules { protected: Vec::new(), files: 50, lines: 2000, file_bytes: 1 << 20 },
            auto_fix: Vec::new(),
            fix_attempts: None,
            memory: MemoryRules::default(),
            repeat: 2,
            minimise: true,
            alerts: AlertRules::default(),
            channels: Vec::new(),
            incidents: IncidentRules::default(),
            watches: Vec::new(),
            retention: Retention::default(),
            objects: None,
            forges: Vec::new(),
            jira: None,
        }
    }

    /// Reads a file's text.
    pub(super) fn parse(source: &Source<'_>, environment: &Environment) -> Result<Self, Fault> {
        let table = source.parse()?;
        let top = Section::top(source, &table, TOP)?;
        let mut config = Self::defaults(environment);
        for (name, section) in top.named("providers", PROVIDER)? {
            let provider = provider(&name, &section, config.providers.get(&name), environment)?;
            config.providers.insert(name, provider);
        }
        if let Some(rungs) = top.list("ladder", RUNG)? {
            config.ladder = rungs.iter().map(|one| rung(one, &config.providers)).collect::<Result<_, _>>()?;
        }
        if let Some(budget) = top.section("budget", &["run_usd", "day_usd"])? {
            set(&mut config.budget.run, budget.money("run_usd")?);
            set(&mut config.budget.day, budget.money("day_usd")?);
        }
        config.governance = GovernanceConfig::read(&top)?;
        if let Some(section) = top.section("sandbox", SANDBOX)? {
            confinement(&mut config.sandbox, &section, environment)?;
        }
        if let Some(section) = top.section("limits", LIMITS)? {
            caps(&mut config.limits, &section)?;
        }
        if let Some(section) = top.section("guards", GUARDS)? {
            set(&mut config.guards.protected, section.globs("protected")?);
            set(&mut config.guards.files, section.integer("files", 1..=100_000)?);
            set(&mut config.guards.lines, section.integer("lines", 1..=10_000_000)?);
            set(&mut config.guards.file_bytes, section.size("file_size")?);
        }
        if let Some(section) = top.section("proposals", &["auto_fix", "attempts"])? {
            set(&mut config.auto_fix, section.strings("auto_fix")?);
            if config.auto_fix.iter().any(|repo| repo != "*" && !repo.starts_with('/')) {
                return Err(section.wrong("auto_fix", "must be absolute roots of repos, or \"*\" for all"));
            }
            config.fix_attempts = section.integer("attempts", 1..=1000)?.map(|attempts| attempts as u32);
        }
        if let Some(section) = top.section("memory", MEMORY)? {
            memory(&mut config.memory, &section)?;
        }
        if let Some(section) = top.section("proof", &["repeat", "minimise"])? {
            set(&mut config.repeat, section.integer("repeat", 0..=100)?.map(|times| times as u32));
            set(&mut config.minimise, section.boolean("minimise")?);
        }
        if let Some(section) = top.section("alerts", ALERTS)? {
            alerts(&mut config.alerts, &section)?;
            config.channels = channels(&section)?;
        }
        if let Some(section) = top.section("incidents", INCIDENTS)? {
            incidents(&mut config.incidents, &section)?;
        }
        if let Some(watches) = top.list("watch", WATCH)? {
            config.watches = watches.iter().map(watch).collect::<Result<_, _>>()?;
        }
        if let Some(section) = top.section("retention", RETENTION)? {
            config.retention = retention(&section)?;
        }
        if let Some(section) = top.section("objects", OBJECTS)? {
            config.objects = Some(bucket(&section)?);
        }
        for kind in ForgeKind::ALL {
            if let Some(section) = top.section(kind.as_str(), FORGE)? {
                config.forges.push(ForgeConfig::read(kind, &section, environment)?);
            }
        }
        if let Some(section) = top.section("jira", JIRA)? {
            config.jira = Some(JiraConfig::read(&section, environment)?);
        }
        Ok(config)
    }

    /// Reads the file that `environment` names, defaults where there is none.
    pub(super) fn load(environment: &Environment) -> Result<(Self, Option<LoadedFile>), Fault> {
        let Some((path, named)) = environment.config_file() else {
            return Ok((Self::defaults(environment), None));
        };
        let Some(text) = read_limited(&path, named)? else {
            return Ok((Self::defaults(environment), None));
        };
        let source = Source::new(path.display().to_string(), &text);
        let config = Self::parse(&source, environment)?;
        let loaded = LoadedFile { name: source.name.clone(), lines: source.lines.take() };
        Ok((config, Some(loaded)))
    }
}

/// A file that was read: its name, and the line of each key that it sets.
#[derive(Debug, Clone, Default)]
pub(super) struct LoadedFile {
    pub name: String,
    pub lines: BTreeMap<String, usize>,
}

pub(super) fn set<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

fn read_limited(path: &std::path::Path, must_exist: bool) -> Result<Option<String>, Fault> {
    use std::io::Read;
    let fault =
        |what: &dyn std::fmt::Display| Fault::usage(format!("cannot read {}: {what}", path.display()));
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => return Ok(None),
        opened => opened.map_err(|error| fault(&error))?,
    };
    if !file.metadata().map_err(|error| fault(&error))?.is_file() {
        return Err(fault(&"it is no regular file"));
    }
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text).map_err(|error| fault(&error))?;
    if text.len() as u64 > LARGEST {
        return Err(fault(&"it is larger than 1 MiB"));
    }
    Ok(Some(text))
}

fn built_in_providers(environment: &Environment) -> BTreeMap<String, Provider> {
    let provider = |name: &str, kind, url_env, url: &str, key_env: &str| {
        let base_url = environment.get(url_env).unwrap_or(url).trim_end_matches('/').to_owned();
        let provider = Provider {
            name: name.to_owned(),
            kind,
            base_url: Some(base_url),
            key_env: Some(key_env.to_owned()),
            key_file: None,
            command: Vec::new(),
            recording: None,
            timeout: None,
            window: None,
            hosts: Vec::new(),
            pass_env: Vec::new(),
            requests_per_minute: None,
            tokens_per_minute: None,
        };
        (name.to_owned(), provider)
    };
    use ProviderKind::{Anthropic, OpenaiResponses};
    BTreeMap::from([
        provider(
            "anthropic",
            Anthropic,
            "ANTHROPIC_BASE_URL",
            "https://api.anthropic.com",
            "ANTHROPIC_API_KEY",
        ),
        provider("openai", OpenaiResponses, "OPENAI_BASE_URL", "https://api.openai.com/v1", "OPENAI_API_KEY"),
    ])
}

/// Rungs 0 and 1 need no key; the models are there when their keys are. Whoever comes first among them may retry once.
fn default_ladder(environment: &Environment) -> Vec<Rung> {
    let mut ladder = vec![Rung::new(FixerKind::Memory, 1), Rung::new(FixerKind::Codefix, 1)];
    let mut attempts = 2;
    for (provider, key, model) in
        [("anthropic", "ANTHROPIC_API_KEY", PRIMARY_MODEL), ("openai", "OPENAI_API_KEY", SECONDARY_MODEL)]
    {
        if environment.secret(key).is_some() {
            let mut rung = Rung::new(FixerKind::Model, attempts);
            rung.provider = Some(provider.to_owned());
            rung.model = Some(model.to_owned());
            ladder.push(rung);
            attempts = 1;
        }
    }
    ladder
}

fn provider(
    name: &str,
    section: &Section<'_, '_>,
    known: Option<&Provider>,
    environment: &Environment,
) -> Result<Provider, Fault> {
    use ProviderKind::*;
    let kind = section.choice("kind", ProviderKind::NAMES, ProviderKind::parse)?;
    let kind = kind.or(known.map(|known| known.kind)).ok_or_else(|| {
        section.wrong("kind", &format!("must be one of {}", ProviderKind::NAMES.join(", ")))
    })?;
    // A built-in name with another kind is another provider: only what the file says counts then.
    let known = known.filter(|known| known.kind == kind);
    let base_url = section.string("base_url")?.map(|url| url.trim_end_matches('/').to_owned());
    let path = |text: String| environment.path_of(&text);
    let key = KeySource::of(section, "key_env", "key_file", environment)?;
    let per_minute = |key| -> Result<Option<NonZeroU32>, Fault> {
        let rate = section.integer(key, 1..=u64::from(u32::MAX))?;
        Ok(rate.and_then(|rate| u32::try_from(rate).ok()).and_then(NonZeroU32::new))
    };
    let provider = Provider {
        name: name.to_owned(),
        kind,
        base_url: base_url.or_else(|| known?.base_url.clone()),
        key_env: key.env.or_else(|| known?.key_env.clone()),
        key_file: key.file,
        command: section.strings("command")?.unwrap_or_default(),
        recording: section.string("recording")?.map(path),
        timeout: section.duration("timeout")?,
        window: section.integer("window", 1_000..=100_000_000)?,
        hosts: section.strings("hosts")?.unwrap_or_default(),
        pass_env: section.strings("pass_env")?.unwrap_or_default(),
        requests_per_minute: per_minute("requests_per_minute")?,
        tokens_per_minute: per_minute("tokens_per_minute")?,
    };
    let agent = matches!(kind, Acp | Command);
    let for_agents = !provider.hosts.is_empty() || !provider.pass_env.is_empty();
    if for_agents && !agent {
        return Err(section.wrong("hosts", "and pass_env are for agents"));
    }
    let is_variable = |name: &String| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !matches!(name.as_str(), "PATH" | "HOME" | "SHELL")
            && !["LD_", "REGREEN_", "GIT_"].iter().any(|prefix| name.starts_with(prefix))
    };
    if !provider.pass_env.iter().all(is_variable) {
        return Err(
            section.wrong("pass_env", "must be names of variables that change nothing about the sandbox")
        );
    }
    match kind {
        Anthropic | OpenaiResponses | OpenaiChat => check_url(&provider, section)?,
        Acp | Command if provider.command.is_empty() => {
            return Err(section.wrong("command", "must be the program and its arguments"));
        }
        Replay if provider.recording.is_none() => {
            return Err(section.wrong("recording", "must be the file with the recorded answers"));
        }
        _ => {}
    }
    Ok(provider)
}

fn check_url(provider: &Provider, section: &Section<'_, '_>) -> Result<(), Fault> {
    let Some(url) = &provider.base_url else {
        return Err(section.wrong("base_url", "must be given for this kind"));
    };
    encrypted(url, section, provider.key_env.is_some() || provider.key_file.is_some())
}

/// Refuses a `base_url` that is none, or that would have a key sent unencrypted to another machine.
pub(super) fn encrypted(url: &str, section: &Section<'_, '_>, has_key: bool) -> Result<(), Fault> {
    let Ok(parsed) = reqwest::Url::parse(url) else {
        return Err(section.wrong("base_url", "is no URL"));
    };
    let host = parsed.host_str().unwrap_or("");
    let local = host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match parsed.scheme() {
        "https" => Ok(()),
        "http" if local || !has_key => Ok(()),
        "http" => Err(section.wrong("base_url", "would send the key unencrypted; use https")),
        _ => Err(section.wrong("base_url", "must start with https:// or http://")),
    }
}

fn rung(section: &Section<'_, '_>, providers: &BTreeMap<String, Provider>) -> Result<Rung, Fault> {
    let fixer = section
        .choice("fixer", FixerKind::NAMES, FixerKind::parse)?
        .ok_or_else(|| section.wrong("fixer", &format!("must be one of {}", FixerKind::NAMES.join(", "))))?;
    let thinking = |text: &str| match text {
        "low" => Some(Thinking::Low),
        "medium" => Some(Thinking::Medium),
        "high" => Some(Thinking::High),
        _ => None,
    };
    let rung = Rung {
        fixer,
        provider: section.string("provider")?,
        model: section.string("model")?,
        attempts: section.integer("attempts", 1..=100)?.unwrap_or(1) as u32,
        effort: section.choice("effort", &["low", "medium", "high"], thinking)?,
    };
    let needs_provider = matches!(fixer, FixerKind::Model | FixerKind::Agent);
    if needs_provider != rung.provider.is_some() {
        let what = if needs_provider { "must name a provider" } else { "is only for `model` and `agent`" };
        return Err(section.wrong("provider", what));
    }
    if let Some(name) = &rung.provider {
        let Some(provider) = providers.get(name) else {
            let names: Vec<&str> = providers.keys().map(String::as_str).collect();
            return Err(
                section.wrong("provider", &format!("names no provider; there are {}", names.join(", ")))
            );
        };
        let agent = matches!(provider.kind, ProviderKind::Acp | ProviderKind::Command);
        if agent != (fixer == FixerKind::Agent) {
            let what =
                format!("is of kind {}, which is not for `{}`", provider.kind.as_str(), fixer.as_str());
            return Err(section.wrong("provider", &what));
        }
        if fixer == FixerKind::Model && rung.model.is_none() && provider.kind != ProviderKind::Replay {
            return Err(section.wrong("model", "must name the model"));
        }
    }
    Ok(rung)
}

fn confinement(
    target: &mut Confinement,
    section: &Section<'_, '_>,
    environment: &Environment,
) -> Result<(), Fault> {
    set(&mut target.mode, section.choice("mode", SandboxMode::NAMES, SandboxMode::parse)?);
    if let Some(network) = section.choice("network", NetworkAccess::NAMES, NetworkAccess::parse)? {
        (target.network, target.setup_network) = (network, network);
    }
    set(&mut target.registries, section.strings("registries")?);
    set(&mut target.private_registries, section.boolean("private_registries")?);
    if let Some(names) = section.strings("install_scripts")? {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@/".contains(c);
        let is_name = |name: &String| {
            name.chars().all(plain) && name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '@')
        };
        if !names.iter().all(is_name) {
            return Err(section.wrong("install_scripts", "must be names of packages"));
        }
        target.install_scripts = names;
    }
    if let Some(folders) = section.strings("read_only")? {
        let home = environment.home();
        let folder = |text: String| match text.strip_prefix("~/").zip(home.as_ref()) {
            Some((rest, home)) => home.join(rest),
            None => PathBuf::from(text),
        };
        target.read_only = folders.into_iter().map(folder).collect();
        if target.read_only.iter().any(|path| !path.is_absolute()) {
            return Err(section.wrong("read_only", "must be absolute folders"));
        }
    }
    Ok(())
}

fn caps(target: &mut Caps, section: &Section<'_, '_>) -> Result<(), Fault> {
    set(&mut target.memory, section.size("memory")?);
    set(&mut target.processes, section.integer("processes", 16..=1_000_000)?);
    set(&mut target.file_size, section.size("file_size")?);
    set(&mut target.disk, section.size("disk")?);
    set(&mut target.disk_free, section.size("disk_free")?);
    set(&mut target.output, section.size("output")?);
    set(&mut target.check, section.duration("check")?);
    set(&mut target.run, section.duration("run")?);
    target.attempts = section.integer("attempts", 1..=1000)?.map(|attempts| attempts as u32);
    if target.memory < 64 << 20 {
        return Err(section.wrong("memory", "must be at least 64MiB"));
    }
    if target.output < 64 << 10 {
        return Err(section.wrong("output", "must be at least 64KiB"));
    }
    if target.file_size < 1 << 20 {
        return Err(section.wrong("file_size", "must be at least 1MiB"));
    }
    if target.disk < 16 << 20 {
        return Err(section.wrong("disk", "must be at least 16MiB"));
    }
    Ok(())
}
