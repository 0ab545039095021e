//! `regreen heal -- CMD`: a failing command goes green, proven and landed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use super::halt::unless_halted;
use super::page::Page;
use super::paint::{DIM, line, paint, say};
use super::session::{FLUSH, Kept, Session, new_id, sweep};
use super::summary::summary;
use crate::config::{self, FixerKind, GOAL, NetworkAccess, SandboxMode, Thinking, read_repo_file};
use crate::fault::{Exit, Fault};
use crate::fixers::codefix::Codefix;
use crate::fixers::memory::MemoryFixer;
use crate::fixers::model::{self, Brief, ModelFixer, Repair};
use crate::fixers::{Fixer, Unavailable};
use crate::git::{Difference, Repo, Snapshots};
use crate::landing::{self, Base, Land};
use crate::models::Effort;
use crate::outcome::{Check, CommandLine};
use crate::plan::Implementation;
use crate::redact::Redactor;
use crate::run::Step;
use crate::run::events::{Event, Origin, Preparation, Request, Rung, Spec, Trigger, Work};
use crate::run::journal::Journal;
use crate::store::is_interruption;
use crate::usage::Money;
use crate::verify::same::{alike, same};

/// The longest that one answer of a model is waited for.
const ANSWER: Duration = Duration::from_secs(600);

/// What every command that begins a run may be told.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Shared {
    #[command(flatten)]
    pub(super) place: super::Place,
    /// Another check that must not get worse (repeatable)
    #[arg(long = "check", value_name = "NAME=CMD", value_parser = named_check)]
    checks: Vec<(String, String)>,
    /// The most money that models may cost in this run, such as 0.50 [default: 1.00, or budget.run_usd]
    #[arg(long, value_name = "USD", value_parser = money)]
    budget: Option<Money>,
    /// Wall time for the whole run: 90s, 10m, 1h30m [default: 1h, or limits.run]
    #[arg(long, value_name = "DUR", value_parser = duration)]
    timeout: Option<Duration>,
    /// Print one event per line as JSON on standard output (docs/events.md)
    #[arg(long)]
    pub(super) json: bool,
}

/// How patches are tried: shared by `heal` and `run`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Tries {
    /// The most attempts in the whole run [default: what the ladder adds up to]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) max_attempts: Option<u32>,
    /// Isolation of everything that is run [default: auto, or sandbox.mode]
    #[arg(long, value_name = "MODE")]
    sandbox: Option<SandboxMode>,
    /// What commands may reach over the network [default: none, or sandbox.network]
    #[arg(long, value_name = "WHAT")]
    allow_net: Option<NetworkAccess>,
}

/// How a run is done.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) shared: Shared,
    #[command(flatten)]
    pub(super) tries: Tries,
    /// Use no model: only what costs nothing
    #[arg(long)]
    pub(super) no_model: bool,
    /// Only find out whether it is really red: nothing is tried (exit 0 if green, 1 if red)
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Who asks, where that is not whoever this process belongs to.
    #[arg(skip)]
    pub(super) by: Option<String>,
    /// What of a forge it is for.
    #[arg(skip)]
    pub(super) origin: Option<Origin>,
}

impl Options {
    /// The options as a request says them.
    pub(super) fn of(request: &Request) -> Self {
        let shared = Shared {
            place: super::Place { repo: request.repo.join(&request.dir) },
            checks: request.checks.clone(),
            budget: request.budget,
            timeout: request.timeout,
            json: true,
        };
        let Request { max_attempts, sandbox, network: allow_net, no_model, .. } = *request;
        let tries = Tries { max_attempts, sandbox, allow_net };
        // One that was submitted before anybody was written down with it was nobody's in particular.
        let by = Some(request.by.clone().unwrap_or_default());
        Self { shared, tries, no_model, dry_run: false, by, origin: request.origin.clone() }
    }

    /// A request with these options.
    pub(super) fn request(&self, repo: PathBuf, dir: String, work: Work, land: String) -> Request {
        Request {
            repo,
            dir,
            work,
            land,
            checks: self.shared.checks.clone(),
            budget: self.shared.budget,
            timeout: self.shared.timeout,
            max_attempts: self.tries.max_attempts,
            sandbox: self.tries.sandbox,
            network: self.tries.allow_net,
            no_model: self.no_model,
            by: self.by.clone(),
            origin: self.origin.clone(),
        }
    }
}

/// Make a failing command green, and prove it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regreen heal -- cargo test
  regreen heal --land commit -- npm test
  regreen heal --land pr -- npm test         pushed, as a pull request
  regreen heal --check lint='npm run lint' -- npm run build
  regreen heal --dry-run -- pytest          only find out whether it is really red
  regreen heal --json -- cargo test > events.jsonl")]
pub(super) struct Heal {
    /// Where the proven patch goes: worktree, commit, branch[=NAME], pr[=NAME] (pushed, as a pull request where a forge is configured), none [default: worktree]
    #[arg(long, value_name = "WHERE")]
    land: Option<Land>,
    #[command(flatten)]
    options: Options,
    /// The failing command: everything behind `--`
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

impl Heal {
    pub(super) async fn run(self) -> Result<Exit> {
        let want = if self.land == Some(Land::Worktree) { Want::Folder } else { Want::Ask };
        let ground = Ground::find(&self.options, want).await?;
        let session = &ground.session;
        let land = self.land.unwrap_or(Land::Worktree);
        let id = new_id();
        let spec = ground.heal(&self.options, &id, self.command, &land).await?;
        let journal = session.begin(&id, spec, session.listeners(self.options.shared.json)).await?;
        let json = self.options.shared.json;
        unless_halted(session, &journal, json, drive(session, &journal, json)).await
    }
}

/// Takes a run to its end, cleans up after it and says how it went.
pub(super) async fn drive(session: &Session, journal: &Journal, json: bool) -> Result<Exit> {
    let run = journal.run();
    let scratch = session.scratch(&run.id);
    let done = match session.tools(&run).await {
        Ok(tools) => crate::heal::heal(journal, &tools).await,
        Err(error) => Err(error),
    };
    sweep(&scratch).await;
    session.objects.flush(FLUSH).await;
    let run = journal.run();
    // A landing that is cut off stays open: the next start completes it or takes it back.
    let landing = run.landing.is_some() && run.landed.is_none();
    if let Err(error) = &done
        && !is_interruption(error)
        && !matches!(run.next(), Step::Done(_))
        && !landing
    {
        // What cannot go on is recorded as such, so that no later start tries it again by itself.
        let why = format!("{error:#}");
        let stopped = Event::Stopped { rule: crate::run::events::StopRule::Fault, why, look_at: Vec::new() };
        journal.record(stopped).await?;
        let exit = error.downcast_ref::<Fault>().map_or(Exit::CannotJudge, |fault| fault.exit);
        session.end(journal, exit).await?;
    }
    let exit = done?;
    if !json {
        say(&summary(&journal.run(), Page::of_stderr()));
    }
    Ok(exit)
}

/// What a command needs to work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// A git repository.
    Repository,
    /// The same, though the user may say that a plain folder will do.
    Ask,
    /// A plain folder will do.
    Folder,
}

/// The repo that a run works on, and what is configured for it.
pub(super) struct Ground {
    pub(super) session: Session,
    pub(super) root: PathBuf,
    pub(super) repo: Option<Repo>,
    /// The folder that the command was given in, relative to the root.
    pub(super) dir: String,
}

impl Ground {
    /// The ground of a run that exists already.
    pub(super) async fn at(root: &Path, kept: Kept) -> Result<Self> {
        let repo = Repo::discover(root).await?;
        let session = Session::open_with(read_repo_file(root)?.as_deref(), Some(kept)).await?;
        Ok(Self { session, root: root.to_owned(), repo, dir: String::new() })
    }

    /// Finds the repo of `--repo` and opens the session with its configuration.
    pub(super) async fn find(options: &Options, want: Want) -> Result<Self> {
        let ground = Self::find_with(options, want, None).await?;
        super::resume::tidy(&ground.session).await;
        Ok(ground)
    }

    /// [`Ground::find`] in a store that is open already, and nothing else.
    pub(super) async fn find_with(options: &Options, want: Want, kept: Option<Kept>) -> Result<Self> {
        let place = options.shared.place.repo.canonicalize().map_err(|error| {
            Fault::usage(format!("{}: {error}", options.shared.place.repo.display()))
                .hint("--repo names a folder")
        })?;
        if !place.is_dir() {
            return Err(Fault::usage(format!("{} is no folder", place.display()))
                .hint("--repo names a folder")
                .into());
        }
        let repo = Repo::discover(&place).await?;
        let root = match &repo {
            Some(repo) => repo.root().to_owned(),
            None if want == Want::Folder => place.clone(),
            None => {
                let hint = match want {
                    Want::Repository => {
                        "run `git init` there and commit once: a ticket's commits need one to build on"
                    }
                    Want::Folder | Want::Ask => {
                        "run `git init` there, or say --land worktree: a backup of the folder is kept in the state folder"
                    }
                };
                return Err(Fault::usage(format!("{} is in no git repository", place.display()))
                    .hint(hint)
                    .into());
            }
        };
        config::Environment::from_process().refuse_home(&root)?;
        let dir = place.strip_prefix(&root).unwrap_or(Path::new("")).to_string_lossy().into_owned();
        let session = Session::open_with(read_repo_file(&root)?.as_deref(), kept).await?;
        Ok(Self { session, root, repo, dir })
    }

    /// Takes snapshots of the tree.
    pub(super) async fn snapshots(&self) -> Result<Snapshots> {
        Snapshots::open(&self.root, self.repo.as_ref(), &self.session.state, &self.session.environment).await
    }

    /// Every check that is known: those of the command line, then those of `regreen.toml` or, where there is none, those that the project's
    /// files show.
    pub(super) fn all_checks(&self, options: &Options) -> Vec<Check> {
        let mut checks = self.given(options);
        match &self.session.settings.repo {
            Some(repo) if !repo.checks.is_empty() => checks.extend(repo.checks.iter().cloned()),
            _ => checks.extend(detected(&self.session, &self.root).checks),
        }
        let mut names = std::collections::BTreeSet::new();
        checks.retain(|check| names.insert(check.name.clone()));
        checks
    }

    fn given(&self, options: &Options) -> Vec<Check> {
        let timeout = self.session.settings.user.limits.check;
        let check = |(name, command): &(String, String)| Check {
            name: name.clone(),
            run: CommandLine::Shell(command.clone()),
            dir: self.dir.clone(),
            timeout,
            needs: Vec::new(),
        };
        options.shared.checks.iter().map(check).collect()
    }

    /// The checks beside the goal: those of the command line, those of `regreen.toml`, or, where there is none, those that the project's
    /// files show. A check that runs the goal's own command, however much it says, is left out.
    pub(super) fn checks(&self, options: &Options, goal: &Check) -> Result<Vec<Check>> {
        let mut checks = self.given(options);
        match &self.session.settings.repo {
            Some(repo) => checks.extend(repo.checks.iter().cloned()),
            None => {
                let found = beside(detected(&self.session, &self.root).checks, goal);
                if !found.is_empty() && !options.shared.json {
                    let names: Vec<String> = found.iter().map(named).collect();
                    let text = format!(
                        "no {}: checking {} as well, as the project's files suggest (`regreen init` writes it down)",
                        config::REPO_FILE,
                        names.join(", ")
                    );
                    for part in Page::of_stderr().wrap(&text, 0, 0) {
                        say(&paint(DIM, part));
                    }
                }
                checks.extend(found);
            }
        }
        let mut names = std::collections::BTreeSet::from([GOAL.to_owned()]);
        checks.retain(|check| !same(check, goal) && names.insert(check.name.clone()));
        Ok(checks)
    }

    /// What prepares the tree, with no more of the network than the user allows.
    fn preparation(&self, options: &Options) -> Option<Preparation> {
        preparation(&self.session, &self.root, options.tries.allow_net)
    }

    /// Everything that a run needs to know which is to make `command` exit 0.
    pub(super) async fn heal(
        &self,
        options: &Options,
        id: &str,
        command: Vec<String>,
        land: &Land,
    ) -> Result<Spec> {
        let goal = Check {
            name: GOAL.into(),
            run: CommandLine::Argv(command),
            dir: self.dir.clone(),
            timeout: self.session.settings.user.limits.check,
            needs: Vec::new(),
        };
        let checks = self.checks(options, &goal)?;
        self.spec(options, id, Trigger::Heal, goal, checks, land).await
    }

    /// Sees early, before anything is spent, that what lands can be pushed, and fetches what the run is to build on. Its commit.
    async fn reach(&self, options: &Options, land: &Land) -> Result<Option<String>> {
        let Some(repo) = &self.repo else { return Ok(None) };
        let reference = options.origin.as_ref().and_then(|origin| origin.reference.as_deref());
        if reference.is_none() && !matches!(land, Land::Pr(_)) {
            return Ok(None);
        }
        let outlet = self.session.outlet(repo, options.origin.as_ref()).await?;
        let Some(reference) = reference else { return Ok(None) };
        let keep = format!("refs/regreen/fetched/{}", reference.strip_prefix("refs/").unwrap_or(reference));
        outlet.remote(repo).await?.fetch(reference, &keep).await.map(Some)
    }

    /// Everything a run needs to know, with a snapshot of the tree as it is now.
    pub(super) async fn spec(
        &self,
        options: &Options,
        id: &str,
        trigger: Trigger,
        goal: Check,
        checks: Vec<Check>,
        land: &Land,
    ) -> Result<Spec> {
        let settings = &self.session.settings;
        let user = &settings.user;
        let session_redactor = self.session.redactor_of(&self.root, self.repo.as_ref()).await;
        let snapshots = self.snapshots().await?;
        landing::prepare(self.repo.as_ref(), land).await?;
        if matches!(trigger, Trigger::Heal | Trigger::Proposal { .. } | Trigger::Incident { .. }) {
            landing::must_be_new(self.repo.as_ref(), land).await?;
        }
        let fetched = self.reach(options, land).await?;
        let mut from = Base::take(self.repo.as_ref(), &snapshots, id).await?;
        for file in snapshots.left_out().await? {
            say(&format!(
                "{} takes what this run prints: it counts as no part of the tree",
                line(&file.to_string_lossy(), 200)
            ));
        }
        for file in snapshots.too_large().await? {
            say(&format!(
                "{} is larger than 256 MiB: it counts as no part of the tree",
                line(&file.to_string_lossy(), 200)
            ));
        }
        let Difference { patch: base, hidden } = match (land, &self.repo) {
            (_, Some(repo)) if fetched.is_some() => {
                from.head.clone_from(&fetched);
                snapshots.patch_to(&from.snapshot, repo, fetched.as_deref().unwrap_or("HEAD")).await?
            }
            (Land::Commit | Land::Branch(_) | Land::Pr(_), Some(repo)) => {
                snapshots.back_to_head(&from.snapshot, repo).await?
            }
            _ => Difference::default(),
        };
        if !base.is_empty() && fetched.is_none() {
            say(
                "uncommitted changes are left out: a commit is built on the last one, and proven without them",
            );
        }
        let sandbox = options.tries.sandbox.unwrap_or(user.sandbox.mode);
        super::paint::warn_of_no_sandbox(sandbox);
        let rules = settings.repo.as_ref().map(|repo| repo.context.text()).unwrap_or_default();
        let rules = session_redactor.redact(&rules).into_owned();
        Ok(Spec {
            trigger,
            root: self.root.clone(),
            goal,
            checks,
            land: land.to_string(),
            ladder: ladder(&self.session, options.no_model)?,
            max_attempts: options.tries.max_attempts.or(user.limits.attempts),
            budget: options.shared.budget.map_or(user.budget.run, |asked| match &settings.repo {
                // A repo may only lower what may be spent on it.
                Some(repo) => repo.tighter.run.map_or(asked, |most| asked.min(most)),
                None => asked,
            }),
            configured: user.budget.run,
            timeout: Some(options.shared.timeout.unwrap_or(user.limits.run)),
            repeat: user.repeat,
            minimise: user.minimise,
            network: options.tries.allow_net.unwrap_or(user.sandbox.network),
            setup: self.preparation(options),
            sandbox,
            dry_run: options.dry_run,
            from,
            base,
            hidden,
            protected: user.guards.protected.clone(),
            limits: crate::guards::Limits {
                files: user.guards.files as usize,
                lines: user.guards.lines as usize,
                bytes: user.guards.file_bytes as usize,
            },
            test_changes: Vec::new(),
            rules,
            governance: user.governance.of(&self.root),
            requester: options.by.clone().unwrap_or_else(crate::process::user),
            origin: options.origin.clone(),
        })
    }
}

/// What prepares the tree at `root`, with no more of the network than `allowed`, or else the configuration, says.
pub(super) fn preparation(
    session: &Session,
    root: &Path,
    allowed: Option<NetworkAccess>,
) -> Option<Preparation> {
    let settings = &session.settings;
    let own = settings.repo.as_ref().and_then(|repo| repo.setup.clone());
    let declared = own.is_some();
    let setup = own.or_else(|| detected(session, root).setup)?;
    let network = setup.network.min(allowed.unwrap_or(settings.user.sandbox.setup_network));
    let trusted = settings.user.sandbox.install_scripts.clone();
    Some(Preparation { check: crate::heal::setup_check(&setup), network, declared, trusted })
}

/// The checks and the setup that the project's files show.
pub(super) fn detected(session: &Session, root: &Path) -> config::Detected {
    config::detect(root, &config::Programs::of(session.environment.get("PATH")))
}

/// The detected checks that are worth running beside the goal: not what it runs itself, and no formatter or linter whose complaints a person
/// did not ask about. What they need and is not among them is not waited for.
pub(super) fn beside(detected: Vec<Check>, goal: &Check) -> Vec<Check> {
    let is_goal = |name: &String| detected.iter().any(|check| &check.name == name && alike(check, goal));
    let worth = |check: &&Check| check.name.contains("test") && !alike(check, goal);
    let names: Vec<&String> = detected.iter().filter(worth).map(|check| &check.name).collect();
    let mut found: Vec<Check> = detected.iter().filter(worth).cloned().collect();
    for check in &mut found {
        check.needs.retain(|need| names.contains(&need) || is_goal(need));
    }
    found
}

/// A check as a person is told of it, with its folder.
fn named(check: &Check) -> String {
    match check.dir.as_str() {
        "" => line(&check.run.display(), 60),
        dir => format!("{} (in {dir})", line(&check.run.display(), 60)),
    }
}

/// The rungs that are to be tried, by name.
fn ladder(session: &Session, no_model: bool) -> Result<Vec<Rung>> {
    let user = &session.settings.user;
    let barred = no_model || session.settings.repo.as_ref().is_some_and(|repo| repo.tighter.no_models);
    let mut ladder = Vec::new();
    for (place, rung) in user.ladder.iter().enumerate() {
        let fixer = match rung.fixer {
            FixerKind::Memory if !user.memory.enabled => continue,
            FixerKind::Memory => "memory".to_owned(),
            FixerKind::Codefix => "codefix".to_owned(),
            FixerKind::Model | FixerKind::Agent if barred => continue,
            FixerKind::Model => format!("model({})", rung.model.as_deref().unwrap_or("?")),
            FixerKind::Agent => {
                // Found out now, a mistake in the configuration costs nothing yet.
                session.agent(rung, &Redactor::default())?;
                format!("agent({})", rung.provider.as_deref().unwrap_or("?"))
            }
        };
        let model = matches!(rung.fixer, FixerKind::Model | FixerKind::Agent);
        ladder.push(Rung { fixer, attempts: rung.attempts, model, place });
    }
    Ok(ladder)
}

/// The fixers of a run's ladder.
pub(super) fn fixers(session: &Session, spec: &Spec, redactor: &Redactor) -> Result<Vec<Box<dyn Fixer>>> {
    let mut fixers: Vec<Box<dyn Fixer>> = Vec::new();
    let mut opinions = 0;
    for rung in &spec.ladder {
        let configured = session.settings.user.ladder.get(rung.place);
        fixers.push(match configured.map(|configured| configured.fixer) {
            Some(FixerKind::Memory) => {
                let rules = session.settings.user.memory;
                Box::new(MemoryFixer::new(session.store.clone(), rules, spec.root.to_string_lossy()))
            }
            Some(FixerKind::Codefix) => Box::new(Codefix::default()),
            Some(FixerKind::Model) => {
                opinions += 1;
                asking(session, spec, rung, opinions > 1, redactor)
                    .unwrap_or_else(|error| unavailable(rung, &error))
            }
            Some(FixerKind::Agent) => {
                let agent = session.agent(&session.settings.user.ladder[rung.place], redactor);
                agent
                    .map_or_else(|error| unavailable(rung, &error), |agent| Box::new(agent) as Box<dyn Fixer>)
            }
            None => {
                return Err(Fault::usage(format!(
                    "the run's ladder has {}, which is configured no more",
                    rung.fixer
                ))
                .hint("start a new run")
                .into());
            }
        });
    }
    Ok(fixers)
}

/// What stands for a fixer that cannot be had, so that the ladder goes on with its next rung.
fn unavailable(rung: &Rung, error: &anyhow::Error) -> Box<dyn Fixer> {
    let hint = error.downcast_ref::<Fault>().and_then(|fault| fault.hint.as_deref());
    let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
    Box::new(Unavailable { name: rung.fixer.clone(), why: format!("{error:#}{hint}") })
}

/// The fixer of a model's rung: one that implements where a ticket is worked on, else one that repairs. Every model after the first is a
/// second opinion, which is worth more thought.
fn asking(
    session: &Session,
    spec: &Spec,
    rung: &Rung,
    second_opinion: bool,
    redactor: &Redactor,
) -> Result<Box<dyn Fixer>> {
    let configured = &session.settings.user.ladder[rung.place];
    let model = session.model(configured)?;
    let brief: Box<dyn Brief> = match &spec.trigger {
        Trigger::Subtask { subtask, .. } => {
            Box::new(Implementation::of(&serde_json::from_value(subtask.clone())?))
        }
        Trigger::Incident { files, replay: false, .. } => {
            Box::new(Implementation { files: files.clone(), needs_tests: true })
        }
        Trigger::Heal | Trigger::Ticket { .. } | Trigger::Proposal { .. } | Trigger::Incident { .. } => {
            Box::new(Repair)
        }
    };
    let effort = match (configured.effort, second_opinion) {
        (Some(Thinking::Low), _) => Effort::Low,
        (Some(Thinking::Medium), _) | (None, false) => Effort::Medium,
        (Some(Thinking::High), _) | (None, true) => Effort::High,
    };
    let provider = configured.provider.as_deref().and_then(|name| session.settings.user.providers.get(name));
    let timeout = provider.and_then(|provider| provider.timeout).unwrap_or(ANSWER);
    let settings = model::Settings { effort, timeout, ..model::Settings::default() };
    let settings = match provider.and_then(|provider| provider.window) {
        Some(window) => settings.within(window),
        None => settings,
    };
    let fixer = ModelFixer::new(brief, model, session.prices()?, settings, redactor.clone());
    let memory = session.settings.user.memory;
    Ok(Box::new(match memory.enabled {
        true => fixer.with_examples(session.store.clone(), memory, spec.root.to_string_lossy()),
        false => fixer,
    }))
}

fn named_check(text: &str) -> Result<(String, String), String> {
    let (name, command) = text.split_once('=').ok_or("give it as NAME=CMD, such as lint='npm run lint'")?;
    let valid = !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':'));
    if !valid || name == GOAL {
        return Err(format!(
            "{name:?} is no name for a check: letters, digits, `-`, `_`, `.` and `:`, and not `{GOAL}`"
        ));
    }
    if command.trim().is_empty() {
        return Err("the command is empty".into());
    }
    Ok((name.to_owned(), command.to_owned()))
}

pub(super) fn money(text: &str) -> Result<Money, String> {
    match text.trim_start_matches('$').parse::<f64>() {
        Ok(usd) if usd.is_finite() && usd >= 0.0 => Ok(Money::from_usd(usd)),
        _ => Err("give dollars, such as 0.50".into()),
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match config::parse_duration(text) {
        Ok(duration) if duration.is_zero() => Err("give more than no time at all".into()),
        other => other.map_err(|error| error.to_string()),
    }
}
