//! What every command opens: the settings, the state folder and the store; and the tools of a run.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use secrecy::ExposeSecret;

use super::live::{Lines, Tree};
use super::observe::with_observers;
use crate::clock::{Clock, SystemClock};
use crate::config::{
    Environment, ForgeConfig, ForgeKind, ProviderKind, Rung, Settings, open_state_dir, read_repo_file,
};
use crate::fault::{Exit, Fault};
use crate::fixers::agent::Agent;
use crate::forge::Outlet;
use crate::git::{Repo, Snapshots};
use crate::heal::{Place, Tools};
use crate::models::prices::Prices;
use crate::models::{Gates, Kind, Model, Pace, ProviderConfig, connect};
use crate::objects::Objects;
use crate::redact::Redactor;
use crate::run::Run;
use crate::run::events::{Origin, Spec, Trigger};
use crate::run::journal::{Journal, Listener, load};
use crate::sandbox::{Limits, Network, Registries, Sandbox};
use crate::scratch::{self, Folder};
use crate::store::{Lease, RunFilter, Store};
use crate::usage::Usage;
use crate::verify::Verifier;
use crate::workspace::Workspaces;

/// What all sessions of a process share.
#[derive(Clone)]
pub struct Kept {
    /// The store.
    pub store: Store,
    /// Where logs are kept.
    pub objects: Objects,
}

/// The settings, the state folder and the store.
pub struct Session {
    /// What the process was started with.
    pub environment: Environment,
    /// What is in force.
    pub settings: Settings,
    /// The private state folder.
    pub state: PathBuf,
    /// The store in it.
    pub store: Store,
    /// Where logs are kept.
    pub objects: Objects,
    /// The machine's clock.
    pub clock: Arc<dyn Clock>,
}

impl Session {
    /// Opens them; `repo_toml` is the text of the repo's `regreen.toml`, where a repo takes part.
    ///
    /// # Errors
    /// Faults of the configuration, the state folder or the store, with what to do.
    pub async fn open(repo_toml: Option<&str>) -> Result<Self> {
        Self::open_with(repo_toml, None).await
    }

    /// [`Session::open`] with what another session of this process has open already.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub async fn open_with(repo_toml: Option<&str>, kept: Option<Kept>) -> Result<Self> {
        let environment = Environment::from_process();
        let settings = Settings::load(&environment, repo_toml)?;
        super::paint::keep_back(&redactor_of(&environment, &settings));
        let state = open_state_dir(&settings.state)?;
        own_temporary(&state);
        let Kept { store, objects } = match (kept, environment.secret(DATABASE)) {
            (Some(kept), _) => kept,
            (None, url) => {
                let objects = Objects::open(&state, settings.user.objects.as_ref(), &environment)?;
                let store = match url {
                    Some(url) => Store::connect(&url, &state).await?,
                    None => Store::open(&state.join("regreen.db")).await?,
                };
                Kept { store, objects }
            }
        };
        Ok(Self { environment, settings, state, store, objects, clock: Arc::new(SystemClock) })
    }

    /// What other sessions of this process share with this one.
    pub fn kept(&self) -> Kept {
        Kept { store: self.store.clone(), objects: self.objects.clone() }
    }

    /// The run whose id is, begins or ends with `name`; without one, or with `last`, the newest (of a ticket, the whole) of the repo that one stands in, or of all
    /// where one stands in none.
    ///
    /// # Errors
    /// A usage fault where there is none, or more than one.
    pub async fn find(&self, name: Option<&str>) -> Result<Run> {
        let name = name.unwrap_or("last");
        let id = match (name, self.here().await) {
            ("last", Some(repo)) => {
                let filter = RunFilter { repo: Some(repo.clone()), ..RunFilter::default() };
                let newest = self.store.runs(&filter, 1).await?.into_iter().next();
                newest.map(|row| row.id).ok_or_else(|| {
                    Fault::usage(format!("there is no run in {repo}"))
                        .hint("`regreen runs` lists those of all repos")
                })?
            }
            ("last", None) => {
                let newest = self.store.runs(&RunFilter::default(), 1).await?.into_iter().next();
                newest.map(|row| row.id).ok_or_else(|| {
                    Fault::usage("there are no runs yet").hint("`regreen heal -- CMD` begins one")
                })?
            }
            _ => self.store.run(name).await?.id,
        };
        let run = load(&self.store, &id).await?;
        // The newest run of a ticket is its last sub-task, and nobody means that one.
        match (&run.spec.trigger, name) {
            (Trigger::Subtask { ticket, .. }, "last") => load(&self.store, ticket).await,
            _ => Ok(run),
        }
    }

    /// The root of the repo that one stands in, as runs name it.
    pub async fn here(&self) -> Option<String> {
        let repo = Repo::discover(self.environment.cwd()).await.ok()??;
        Some(repo.root().to_string_lossy().into_owned())
    }

    /// What a process that stays does beside its work, until it is dropped: it looks at the rules of the alerts, and copies logs to the object
    /// store.
    pub fn chores(&self) -> tokio::task::JoinSet<()> {
        let (store, user) = (self.store.clone(), &self.settings.user);
        let mut chores = tokio::task::JoinSet::new();
        chores.spawn(crate::alerts::watch(
            store.clone(),
            user.alerts,
            user.budget.day,
            user.channels.clone(),
        ));
        match self.postman() {
            Ok(postman) => drop(chores.spawn(postman.deliver(store))),
            Err(error) => tracing::error!("nobody is told of alerts: {error:#}"),
        }
        chores.spawn(crate::reports::watch(self.store.clone(), user.incidents.quiet));
        chores.spawn(crate::watch::keep(self.store.clone(), user.watches.clone(), self.redactor()));
        chores.spawn(crate::memory::watch(self.store.clone(), user.memory));
        chores.spawn(self.objects.clone().upload());
        chores
    }

    /// Tells people of alerts on the configured channels.
    ///
    /// # Errors
    /// Where this machine cannot speak TLS.
    pub fn postman(&self) -> Result<crate::alerts::Postman> {
        let secret = |name: &str| self.environment.secret(name);
        crate::alerts::Postman::new(&self.settings.user.channels, secret, self.redactor())
    }

    /// Where a run keeps its layers while it is under way.
    pub fn scratch(&self, run: &str) -> PathBuf {
        self.state.join("workspaces").join(run)
    }

    /// Who listens to a run: JSON lines on standard output, or people on standard error.
    pub fn listeners(&self, json: bool) -> Vec<Arc<dyn Listener>> {
        if json {
            return vec![Arc::new(Lines)];
        }
        let terminal = std::io::stderr().is_terminal() && self.environment.get("TERM") != Some("dumb");
        vec![Arc::new(Tree::new(terminal))]
    }

    /// Begins a run.
    ///
    /// # Errors
    /// Where its repo is halted, or the store cannot be written.
    pub async fn begin(&self, id: &str, spec: Spec, listeners: Vec<Arc<dyn Listener>>) -> Result<Journal> {
        self.store.must_not_be_halted(&spec.root.to_string_lossy()).await?;
        Ok(self
            .guarded(
                Journal::begin(
                    self.store.clone(),
                    self.clock.clone(),
                    with_observers(self, listeners),
                    id,
                    spec,
                )
                .await?,
            )
            .await)
    }

    /// Takes up a run.
    ///
    /// # Errors
    /// Where another process has it, or it cannot be read.
    pub async fn reopen(&self, id: &str, listeners: Vec<Arc<dyn Listener>>) -> Result<Journal> {
        Ok(self
            .guarded(
                Journal::reopen(self.store.clone(), self.clock.clone(), with_observers(self, listeners), id)
                    .await?,
            )
            .await)
    }

    /// Begins a run that waited in the queue, with the lease of whoever claimed it.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub async fn start(
        &self,
        lease: Arc<Lease>,
        spec: Spec,
        listeners: Vec<Arc<dyn Listener>>,
    ) -> Result<Journal> {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        Ok(self
            .guarded(Journal::start(store, clock, with_observers(self, listeners), lease, spec).await?)
            .await)
    }

    /// Takes up a run of the queue, with the lease of whoever claimed it.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn take_up(&self, lease: Arc<Lease>, listeners: Vec<Arc<dyn Listener>>) -> Result<Journal> {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        Ok(self.guarded(Journal::take_up(store, clock, with_observers(self, listeners), lease).await?).await)
    }

    /// The journal with the day's cap; nothing that is written down of the run from here on has secrets.
    async fn guarded(&self, mut journal: Journal) -> Journal {
        journal.cap_day(self.settings.user.budget.day);
        let root = journal.run().spec.root.clone();
        let repo = Repo::discover(&root).await.ok().flatten();
        journal.keep_back(self.redactor_of(&root, repo.as_ref()).await);
        journal
    }

    /// The tools for a run: its sandbox, its workspaces, and the fixers of its ladder.
    ///
    /// # Errors
    /// Where this machine cannot isolate as asked, with what to change.
    pub async fn tools(&self, run: &Run) -> Result<Tools> {
        let spec = &run.spec;
        let sandbox = self.sandbox(spec.sandbox).await?;
        let workspaces = Workspaces::open(&spec.root, &self.scratch(&run.id), sandbox, self.limits())
            .await?
            .showing(&self.settings.user.sandbox.read_only);
        let place = self.place(&spec.root).await?;
        let redactor = self.redactor_of(&spec.root, place.repo.as_ref()).await;
        let outlet = match &place.repo {
            Some(repo) if run.is_public() => Some(self.outlet(repo, spec.origin.as_ref()).await?),
            _ => None,
        };
        let verifier = self.verifier(&run.id, spec.network, redactor.clone())?;
        let fixers = super::heal::fixers(self, spec, &redactor)?;
        let memory = self.settings.user.memory;
        if memory.enabled
            && let Err(error) =
                crate::memory::settle(&self.store, &memory, Some(&spec.root.to_string_lossy())).await
        {
            tracing::warn!("what is remembered of this repo was not looked at: {error:#}");
        }
        let layers = self.state.join("layers");
        let (environment, root) = (self.environment.clone(), spec.root.clone());
        let governance = Box::new(move || {
            let now = Settings::load(&environment, read_repo_file(&root)?.as_deref())?;
            Ok(now.user.governance.of(&root))
        });
        Ok(Tools { workspaces, verifier, fixers, place, outlet, memory, layers, governance })
    }

    /// The sandbox of this machine, with the user's package registries.
    ///
    /// # Errors
    /// Where this machine cannot isolate as asked, with what to change.
    pub async fn sandbox(&self, mode: crate::sandbox::Mode) -> Result<Sandbox> {
        Ok(Sandbox::detect(mode).await?.with_registries(&self.environment, &self.settings.user.sandbox))
    }

    /// The tree at `root`, as landings see it.
    ///
    /// # Errors
    /// Where git or the disk fails.
    pub async fn place(&self, root: &Path) -> Result<Place> {
        let repo = Repo::discover(root).await?;
        let snapshots = Snapshots::open(root, repo.as_ref(), &self.state, &self.environment).await?;
        Ok(Place { repo, snapshots })
    }

    /// Where what lands in `repo` is pushed to: the forge's repo that `origin` names, else its remote.
    ///
    /// # Errors
    /// A usage fault where there is no such place, or no token for it.
    pub async fn outlet(&self, repo: &Repo, origin: Option<&Origin>) -> Result<Outlet> {
        let (user, redactor) = (&self.settings.user, self.redactor_of(repo.root(), Some(repo)).await);
        let Some(origin) = origin else {
            return Outlet::of(repo, user, &self.environment, &redactor).await;
        };
        if origin.reference.is_none() {
            // What is checked out here is pushed to where it is from, whatever repo the ticket is in.
            let own = Outlet::of(repo, user, &self.environment, &redactor).await?;
            let same = own.forge().is_some_and(|(forge, full)| {
                forge.kind() == origin.forge && full.eq_ignore_ascii_case(&origin.repo)
            });
            if !same {
                return Err(Fault::usage(format!(
                    "the ticket is in {}, and this repository is another one",
                    origin.repo
                ))
                .hint("run it in a clone of that repo, or land with --land branch")
                .into());
            }
            return Ok(own);
        }
        Outlet::at(self.forge(origin.forge)?, &origin.repo, &self.environment, &redactor)
    }

    /// What is configured of a forge.
    ///
    /// # Errors
    /// A usage fault where nothing is.
    pub fn forge(&self, kind: ForgeKind) -> Result<&ForgeConfig> {
        let found = self.settings.user.forges.iter().find(|forge| forge.kind == kind);
        found.ok_or_else(|| {
            Fault::usage(format!("{} is not configured", kind.title()))
                .hint(format!("add [{}] to the configuration (docs/forges.md)", kind.as_str()))
                .into()
        })
    }

    /// Ends a run outside of the loop.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub async fn end(&self, journal: &Journal, exit: Exit) -> Result<()> {
        let place = self.place(&journal.run().spec.root).await;
        crate::heal::end(journal, place.as_ref().ok(), exit, Duration::ZERO).await
    }

    /// The most that a job may use.
    pub fn limits(&self) -> Limits {
        let caps = &self.settings.user.limits;
        Limits {
            wall: caps.check,
            memory: caps.memory,
            processes: caps.processes,
            file_size: caps.file_size,
            disk: caps.disk,
            disk_free: caps.disk_free,
            output: caps.output,
        }
    }

    /// Runs checks, and keeps their logs under `name`, without what `redactor` takes out.
    ///
    /// # Errors
    /// Where a user's problem matcher cannot be read.
    pub fn verifier(&self, name: &str, network: Network, redactor: Redactor) -> Result<Verifier> {
        let (objects, logs) = (self.objects.clone(), format!("logs/{name}"));
        Ok(Verifier { objects, logs, matchers: Arc::new(self.matchers()?), network, redactor })
    }

    /// What models cost: the built-in table, with the user's `prices.toml` beside the configuration file on top.
    ///
    /// # Errors
    /// Where a table cannot be read.
    pub fn prices(&self) -> Result<Prices> {
        let own = self.environment.config_file().map(|(file, _)| file.with_file_name(PRICES));
        match own.filter(|path| path.exists()) {
            None => Prices::built_in(),
            Some(path) => {
                let text = std::fs::read_to_string(&path)
                    .with_context(|| format!("cannot read the prices of {}", path.display()))?;
                Prices::with_overrides(&text)
                    .map_err(|error| Fault::usage(format!("{}: {error:#}", path.display())).into())
            }
        }
    }

    /// Takes out of a text what must not leave the machine: the values of key-like variables, the providers' keys, and everything of
    /// a known shape.
    pub fn redactor(&self) -> Redactor {
        redactor_of(&self.environment, &self.settings)
    }

    /// The same, and what the tree at `root` keeps beside its sources: the values of its `.env` files, and what git is configured with
    /// (the users and passwords of remotes, headers).
    pub async fn redactor_of(&self, root: &Path, repo: Option<&Repo>) -> Redactor {
        let redactor = self.redactor();
        let configured = match repo {
            Some(repo) => repo.configured().await.unwrap_or_default(),
            None => String::new(),
        };
        let redactor = redactor.with_urls(&configured).with_env_files(root);
        super::paint::keep_back(&redactor);
        redactor
    }

    /// Connects to the model of a rung.
    ///
    /// # Errors
    /// A usage fault where its provider is not configured, or lacks a key.
    pub fn model(&self, rung: &Rung) -> Result<Arc<dyn Model>> {
        let name = rung.provider.as_deref().unwrap_or("anthropic");
        let provider = self.settings.user.providers.get(name).ok_or_else(|| {
            Fault::usage(format!("the ladder names the provider {name:?}, which is not configured"))
                .hint(format!("add [providers.{name}] to the configuration"))
        })?;
        let kind = match provider.kind {
            ProviderKind::Anthropic => Kind::Anthropic,
            ProviderKind::OpenaiResponses => Kind::OpenaiResponses,
            ProviderKind::OpenaiChat => Kind::OpenaiChat,
            ProviderKind::Replay => Kind::Replay,
            ProviderKind::Acp | ProviderKind::Command => {
                return Err(Fault::usage(format!("the provider {name:?} is an agent, not a model")).into());
            }
        };
        let mut connection = ProviderConfig::new(name, kind);
        connection.base_url.clone_from(&provider.base_url);
        connection.key = provider.key(&self.environment)?;
        connection.recordings.clone_from(&provider.recording);
        if let Some(timeout) = provider.timeout {
            connection.limits.idle = timeout;
        }
        let pace = Pace { requests: provider.requests_per_minute, tokens: provider.tokens_per_minute };
        connection.gate = GATES.of(name, provider.base_url.as_deref(), pace);
        let model = rung.model.as_deref().unwrap_or_default();
        let paid = matches!(kind, Kind::Anthropic | Kind::OpenaiResponses);
        if paid && self.prices()?.cost(model, &Usage::default()).is_none() {
            // Without a price no budget would hold.
            return Err(Fault::usage(format!("no price is known for {model}"))
                .hint(format!(
                    "write it to {PRICES} beside the configuration: [models.\"{model}\"] with input and output in USD per million tokens"
                ))
                .into());
        }
        connect(&connection, model, &self.redactor())
    }

    /// The external agent of a rung.
    ///
    /// # Errors
    /// A usage fault where its provider is not configured, or is none that can be driven.
    pub fn agent(&self, rung: &Rung, redactor: &Redactor) -> Result<Agent> {
        let name = rung.provider.as_deref().unwrap_or_default();
        let provider = self.settings.user.providers.get(name).ok_or_else(|| {
            Fault::usage(format!("the ladder names the provider {name:?}, which is not configured"))
                .hint(format!("add [providers.{name}] to the configuration"))
        })?;
        if provider.kind != ProviderKind::Command {
            let what = format!("the provider {name:?} is of kind {}", provider.kind.as_str());
            return Err(Fault::usage(format!("{what}, which this version cannot drive as an agent"))
                .hint("an agent that is a command has kind = \"command\"")
                .into());
        }
        let secret = |name: &String| Some((name.clone(), self.environment.secret(name)?));
        let private = self.settings.user.sandbox.private_registries;
        let hosts = (!provider.hosts.is_empty()).then(|| Registries::named(&provider.hosts, private));
        let env: BTreeMap<_, _> = provider.pass_env.iter().filter_map(secret).collect();
        Ok(Agent {
            name: name.to_owned(),
            command: provider.command.clone(),
            redactor: redactor.clone(),
            env,
            hosts: hosts.transpose()?.map(Arc::new),
            timeout: provider.timeout.unwrap_or(AGENT),
        })
    }

    /// The built-in problem matchers, and the user's from `matchers/` beside the configuration file.
    fn matchers(&self) -> Result<Vec<crate::verify::Matcher>> {
        let mut matchers = crate::verify::Matcher::built_in();
        let Some((file, _)) = self.environment.config_file() else { return Ok(matchers) };
        let Ok(folder) = std::fs::read_dir(file.with_file_name("matchers")) else { return Ok(matchers) };
        let mut files: Vec<PathBuf> = folder.flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        files.sort();
        for path in files {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read the problem matchers of {}", path.display()))?;
            let own = crate::verify::Matcher::load(&text).map_err(|error| {
                Fault::usage(format!("{}: {error:#}", path.display()))
                    .hint("docs/configuration.md describes problem matchers")
            })?;
            // The user's come first: they know their tools.
            matchers.splice(0..0, own);
        }
        Ok(matchers)
    }
}

fn redactor_of(environment: &Environment, settings: &Settings) -> Redactor {
    let redactor = Redactor::from_env(environment.pairs());
    let providers = settings.user.providers.values();
    let keys = providers.clone().filter_map(|provider| provider.key(environment).ok().flatten());
    let passed = providers.clone().flat_map(|provider| &provider.pass_env);
    let passed = passed.filter_map(|name| environment.secret(name));
    let told = settings.user.channels.iter().flat_map(|channel| channel.secrets());
    let told = told.filter_map(|name| environment.secret(name));
    let keys: Vec<String> =
        keys.chain(passed).chain(told).map(|key| key.expose_secret().to_owned()).collect();
    let forges = settings.user.forges.iter().flat_map(|forge| [&forge.token, &forge.secret]);
    let jira = settings.user.jira.iter().flat_map(|jira| [&jira.token, &jira.secret, &jira.connect_secret]);
    let forges = forges.chain(jira).map(|key| key.read(environment));
    let keys =
        keys.into_iter().chain(forges.filter_map(|key| Some(key.ok().flatten()?.expose_secret().to_owned())));
    let addresses: Vec<&str> = providers.filter_map(|provider| provider.base_url.as_deref()).collect();
    redactor.with_secrets(keys).with_urls(&addresses.join("\n"))
}

/// How long an agent may work where nothing else is configured.
const AGENT: Duration = Duration::from_secs(900);

/// What stands before this process's providers.
static GATES: LazyLock<Gates> = LazyLock::new(Gates::default);

/// This process's own folder for temporary files.
static TEMPORARY: Mutex<Option<Folder>> = Mutex::new(None);

/// Puts this process's temporary files below the state folder, into a folder of its own, and removes what killed processes left there. Where
/// that cannot be, they go where the system has its own.
pub fn own_temporary(state: &Path) {
    const PREFIX: &str = "process-";
    let mut own = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
    if own.is_some() {
        return;
    }
    let parent = state.join("temporary");
    let make = || {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&parent)?;
        for swept in [scratch::sweep(&parent, PREFIX), Snapshots::sweep(state)] {
            if let Err(error) = swept {
                tracing::debug!(%error, "what a killed process left stays until the next start");
            }
        }
        Folder::create(&parent, PREFIX)
    };
    match make() {
        Ok(folder) if tempfile::env::override_temp_dir(folder.path()).is_ok() => *own = Some(folder),
        Ok(_) => {}
        Err(error) => tracing::debug!(%error, "temporary files go where the system has its own"),
    }
}

/// Removes this process's folder for temporary files. Nothing may need one any more.
pub fn remove_temporary() {
    drop(TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// How long the copies of logs may take that are left at the end of a run, or of a process.
pub const FLUSH: Duration = Duration::from_secs(5);

/// The address of a PostgreSQL that takes the place of the file in the state folder.
pub(super) const DATABASE: &str = "REGREEN_DATABASE_URL";

/// The user's own prices, beside the configuration file.
const PRICES: &str = "prices.toml";

/// The id of a new run: a UUID of version 7, so that ids sort by age.
pub fn new_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

/// How often, and at what distance, a folder is tried to be removed: the kernel takes the mounts of a process that was killed away a
/// moment after the process itself, on a busy machine a long one.
const SWEEPS: (u32, Duration) = (400, Duration::from_millis(25));

/// Removes what a run that is over left on disk. What cannot be removed now goes at a later start.
pub async fn sweep(folder: &Path) {
    for _ in 0..SWEEPS.0 {
        let removed = Workspaces::sweep(folder).and_then(|_| match std::fs::remove_dir(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        });
        match removed {
            Ok(()) => return,
            Err(error) => {
                tracing::debug!(%error, folder = %folder.display(), "layers of a run that is over stay")
            }
        }
        tokio::time::sleep(SWEEPS.1).await;
    }
    tracing::info!(folder = %folder.display(), "layers of a run that is over could not be removed");
}
