//! Base copies and instant copy-on-write attempts.
//!
//! The user's tree, ignored files included, is the read-only lowest layer. An [`Attempt`] puts a writable layer over it at the
//! same path, so that build caches, virtual environments and absolute paths stay valid, and applies a patch to that layer. Nothing
//! is copied and nothing of the user's is touched.

mod busy;
mod copy;
mod kept;
mod layers;
mod manifests;
mod repo;

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

pub use busy::{Busy, Span};
pub use manifests::decides;

use crate::patch::{Patch, RelPath, read_beneath};
use crate::sandbox::{
    CacheLayer, Caches, Ended, Job, LaunchFailed, Leash, Limits, Mode, Network, REPORTS, Registries, Running,
    Sandbox, Sight, View, cache_names, lasting_caches,
};
use crate::scratch::{self, Folder};
use layers::Layers;

/// How the names of attempts' folders begin.
const ATTEMPT: &str = "attempt-";

/// How attempts get their own tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// An overlay mounted over the repo's own path.
    Overlay,
    /// A reflink copy elsewhere.
    Reflink,
    /// A plain copy elsewhere.
    Copy,
}

/// Makes attempts on one tree for one run.
#[derive(Debug, Clone)]
pub struct Workspaces(Arc<Base>);

#[derive(Debug)]
struct Base {
    root: PathBuf,
    scratch: PathBuf,
    sandbox: Sandbox,
    limits: Limits,
    mechanism: Mechanism,
    /// The git folders of a linked worktree and what they borrow from.
    read_only: Vec<PathBuf>,
    busy: Busy,
    /// What a setup command left behind, below every later attempt.
    prepared: OnceLock<Arc<Prepared>>,
    /// What setups left behind for patches that change manifests, each with these files' changes: below the attempts that have them.
    own: Mutex<Vec<(Patch, Arc<Prepared>)>>,
    /// Files of the tree that attempts do not have.
    hidden: Mutex<Vec<RelPath>>,
}

/// What a setup command left behind.
#[derive(Debug)]
enum Prepared {
    /// A layer over the tree.
    Layer(kept::Layer),
    /// A layer over the tree and what was prepared before; for this run only.
    Own { upper: PathBuf, caches: PathBuf, _folder: Arc<Folder> },
    /// A whole copy of the tree, where there are no layers; for this run only.
    Tree { tree: PathBuf, _folder: Arc<Folder> },
}

impl Workspaces {
    /// Prepares attempts on the tree at `root` (absolute, canonical). Their layers go below `scratch`, a private folder of this
    /// run's that must not lie inside `root`; it is made if it is not there.
    ///
    /// # Errors
    /// The folders cannot be used, or the sandbox cannot show the tree.
    pub async fn open(root: &Path, scratch: &Path, sandbox: Sandbox, limits: Limits) -> Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(scratch)
            .context("making the scratch folder")?;
        let root = root.canonicalize().with_context(|| format!("the tree {}", root.display()))?;
        let scratch = scratch.canonicalize().context("the scratch folder")?;
        if scratch.starts_with(&root) || root.starts_with(&scratch) {
            bail!(
                "the scratch folder {} and the tree {} lie in each other",
                scratch.display(),
                root.display()
            );
        }
        let read_only = repo::outside(&root);
        let mode = sandbox.mode();
        let mut base = Base {
            root,
            scratch,
            sandbox,
            limits,
            mechanism: Mechanism::Overlay,
            read_only,
            prepared: OnceLock::new(),
            own: Mutex::default(),
            hidden: Mutex::default(),
            busy: Busy::default(),
        };
        if !mode.has_view() || !base.overlay_works().await? {
            base.mechanism =
                if copy::can_clone(&base.root, &base.scratch) { Mechanism::Reflink } else { Mechanism::Copy };
        }
        Ok(Self(Arc::new(base)))
    }

    /// Shows these folders of the host to attempts as well, read-only. To be called before the first attempt; a folder that is not there, or
    /// that the tree lies in, is left out.
    pub fn showing(mut self, folders: &[PathBuf]) -> Self {
        if let Some(base) = Arc::get_mut(&mut self.0) {
            let root = base.root.clone();
            let fits = |folder: &&PathBuf| {
                folder.is_dir()
                    && !folder
                        .canonicalize()
                        .is_ok_and(|real| root.starts_with(real) || folder.starts_with(&root))
            };
            base.read_only.extend(folders.iter().filter(fits).cloned());
        }
        self
    }

    /// Leaves these files of the tree out of every later attempt, whatever is in them. They replace those that were left out before.
    pub fn hide(&self, files: &[RelPath]) {
        let mut hidden = self.0.hidden.lock().unwrap_or_else(PoisonError::into_inner);
        hidden.clear();
        hidden.extend_from_slice(files);
    }

    /// How long commands ran in attempts so far; commands that ran side by side count once, those that stay only while they are asked
    /// (see [`Attempt::meter`]).
    pub fn busy(&self) -> Duration {
        self.0.busy.total()
    }

    /// How attempts get their own tree here.
    pub fn mechanism(&self) -> Mechanism {
        self.0.mechanism
    }

    /// The tree's root on the host.
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// A fresh attempt: the tree with `patch` applied. The `before`s of the patch are compared with the tree; a mismatch is an
    /// error (the tree moved).
    ///
    /// # Errors
    /// The tree moved; or the patch goes through a link, into a git folder, or onto something that is no file.
    pub async fn attempt(&self, patch: &Patch) -> Result<Attempt> {
        self.make(patch, false).await
    }

    /// The same for a setup command: what it writes to the caches of package managers stays for its later commands, and for
    /// [`keep`](Self::keep).
    ///
    /// # Errors
    /// As of [`attempt`](Self::attempt).
    pub async fn attempt_to_set_up(&self, patch: &Patch) -> Result<Attempt> {
        self.make(patch, true).await
    }

    async fn make(&self, patch: &Patch, sets_up: bool) -> Result<Attempt> {
        let (base, patch) = (Arc::clone(&self.0), patch.clone());
        let made = tokio::task::spawn_blocking(move || {
            for (path, change) in patch.iter() {
                let now = read_beneath(&base.root, path).with_context(|| format!("reading {path}"))?;
                if now != change.before {
                    bail!("{path} is not what the patch was made against: the tree moved");
                }
            }
            let own = base.own_of(&patch);
            let attempt = Attempt::create(base, own, sets_up)?;
            attempt.apply(&patch)?;
            Ok(attempt)
        });
        made.await.context("making an attempt")?
    }

    /// Whether attempts are made on top of what a setup command left behind.
    pub fn is_prepared(&self) -> bool {
        self.0.prepared.get().is_some()
    }

    /// Puts the layer that was kept as `key` below every later attempt; whether there is one. `cache` is a private folder on the
    /// scratch folder's file system.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub async fn reuse(&self, cache: &Path, key: &str) -> Result<bool> {
        if self.0.mechanism != Mechanism::Overlay || self.is_prepared() {
            return Ok(self.is_prepared());
        }
        let (base, cache, key) = (Arc::clone(&self.0), cache.to_owned(), key.to_owned());
        let found = tokio::task::spawn_blocking(move || {
            let layer = kept::find(&cache, &key).context("looking for a kept layer")?;
            Ok::<_, anyhow::Error>(
                layer.is_some_and(|layer| base.prepared.set(Arc::new(Prepared::Layer(layer))).is_ok()),
            )
        });
        found.await.context("looking for a kept layer")?
    }

    /// Puts what commands did in `attempt` below every later attempt, and keeps it in `cache` as `key` for later runs. What was applied
    /// or hidden in it does not count, nor does what they did to the tree's own files; with `packages_alone`, only what lies in a package
    /// manager's own folder counts. The oldest kept layers go when there are many. Where attempts are copies, the copy counts for this run
    /// alone, with what they did to other files of the tree.
    ///
    /// # Errors
    /// The layer cannot be moved.
    pub async fn keep(&self, attempt: Attempt, cache: &Path, key: &str, packages_alone: bool) -> Result<()> {
        let (base, cache, key) = (Arc::clone(&self.0), cache.to_owned(), key.to_owned());
        let kept = tokio::task::spawn_blocking(move || {
            let prepared = match attempt.sorted()? {
                Sorted::Layer { upper, caches } => {
                    if packages_alone {
                        kept::packages_alone(&upper).context("sorting what the setup did")?;
                    }
                    let layer = kept::keep(&cache, &key, &upper, &caches);
                    Prepared::Layer(layer.context("keeping what the setup did")?)
                }
                Sorted::Tree(tree) => Prepared::Tree { tree, _folder: Arc::clone(&attempt.folder) },
            };
            if base.prepared.set(Arc::new(prepared)).is_err() {
                bail!("the tree was prepared twice");
            }
            Ok(())
        });
        kept.await.context("keeping what the setup did")?
    }

    /// Puts what commands did in `attempt` below later attempts of this run whose patch makes of manifests and lock files what `patch`
    /// makes of them. What counts is as of [`keep`](Self::keep).
    ///
    /// # Errors
    /// The layer cannot be sorted.
    pub async fn keep_for(&self, patch: &Patch, attempt: Attempt, packages_alone: bool) -> Result<()> {
        let (base, part) = (Arc::clone(&self.0), manifests_of(patch));
        let kept = tokio::task::spawn_blocking(move || {
            let folder = Arc::clone(&attempt.folder);
            let prepared = match attempt.sorted()? {
                Sorted::Layer { upper, caches } => {
                    if packages_alone {
                        kept::packages_alone(&upper).context("sorting what the setup did")?;
                    }
                    Prepared::Own { upper, caches, _folder: folder }
                }
                Sorted::Tree(tree) => Prepared::Tree { tree, _folder: folder },
            };
            let mut own = base.own.lock().unwrap_or_else(PoisonError::into_inner);
            own.retain(|(known, _)| *known != part);
            own.push((part, Arc::new(prepared)));
            Ok(())
        });
        kept.await.context("keeping what the setup did")?
    }

    /// Whether attempts with `patch` stand on what a setup left behind for the manifests and lock files that it makes.
    pub fn has_own(&self, patch: &Patch) -> bool {
        self.0.own_of(patch).is_some()
    }

    /// Removes what killed runs left below `scratch`; how many attempts that was. Those in use, by any process, stay.
    ///
    /// # Errors
    /// A folder cannot be read or removed.
    pub fn sweep(scratch: &Path) -> Result<usize> {
        scratch::sweep(scratch, ATTEMPT).with_context(|| format!("sweeping {}", scratch.display()))
    }
}

/// What a patch makes of manifests and lock files.
fn manifests_of(patch: &Patch) -> Patch {
    let mut part = Patch::new();
    for (path, change) in patch.iter().filter(|(path, _)| decides(path.file_name())) {
        part.set(path.clone(), change.clone());
    }
    part
}

/// What a setup did, without what is the tree's own.
enum Sorted {
    /// A layer, and what it put into caches that last.
    Layer { upper: PathBuf, caches: PathBuf },
    /// A whole copy.
    Tree(PathBuf),
}

impl Base {
    /// What a setup left behind for the manifests that `patch` makes.
    fn own_of(&self, patch: &Patch) -> Option<Arc<Prepared>> {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if own.is_empty() {
            return None;
        }
        let part = manifests_of(patch);
        own.iter().find(|(known, _)| *known == part).map(|(_, prepared)| Arc::clone(prepared))
    }

    /// Finds out by doing whether the tree's own path can be overlaid.
    async fn overlay_works(&self) -> Result<bool> {
        let trial = Base {
            root: self.root.clone(),
            scratch: self.scratch.clone(),
            sandbox: self.sandbox.clone(),
            limits: Limits { wall: Duration::from_secs(60), ..self.limits.clone() },
            mechanism: Mechanism::Overlay,
            read_only: self.read_only.clone(),
            busy: Busy::default(),
            prepared: OnceLock::new(),
            own: Mutex::default(),
            hidden: Mutex::default(),
        };
        let attempt = Attempt::create(Arc::new(trial), None, false)?;
        let command = Command {
            argv: vec!["true".into()],
            dir: String::new(),
            env: BTreeMap::new(),
            timeout: Duration::from_secs(60),
            network: Network::None,
        };
        match attempt.run(&command, &mut |_| {}).await {
            Ok(_) => Ok(true),
            Err(error) if error.downcast_ref::<LaunchFailed>().is_some_and(LaunchFailed::is_overlay) => {
                tracing::info!("no overlay here, attempts are copies: {error}");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// One tree with a patch, in which commands run. Dropping it kills what runs there and removes its layers.
#[derive(Debug)]
pub struct Attempt {
    base: Arc<Base>,
    root: PathBuf,
    view: View,
    reports: PathBuf,
    layers: Layers,
    applied: Mutex<Patch>,
    live: Mutex<Vec<Leash>>,
    /// Files of the tree that it does not have.
    hidden: Vec<RelPath>,
    /// What setups left behind that it stands on.
    stands_on: Vec<Arc<Prepared>>,
    /// What its commands reach through the proxy, where these are not the package registries.
    hosts: Option<Arc<Registries>>,
    /// Last: removed when nothing uses it any more.
    folder: Arc<Folder>,
}

/// A command to run in an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The folder it starts in, relative to the root; empty for the root.
    pub dir: String,
    /// Variables on top of the clean environment.
    pub env: BTreeMap<String, String>,
    /// Wall-time limit.
    pub timeout: Duration,
    /// What it may reach.
    pub network: Network,
}

impl Attempt {
    fn create(base: Arc<Base>, own: Option<Arc<Prepared>>, sets_up: bool) -> Result<Self> {
        let folder = Folder::create(&base.scratch, ATTEMPT).context("making an attempt's folder")?;
        let like = std::fs::metadata(&base.root).context("looking at the tree")?;
        let reports = folder.part("reports", Some(&like))?;
        let staging = folder.part("staging", None)?;
        // The topmost first.
        let stands_on: Vec<Arc<Prepared>> = own.into_iter().chain(base.prepared.get().cloned()).collect();
        let mut view = View {
            root: base.root.clone(),
            lowers: vec![base.root.clone()],
            upper: None,
            in_place: false,
            read_only: base.read_only.clone(),
            reports: Some(reports.clone()),
            caches: Caches::default(),
        };
        for prepared in stands_on.iter().rev() {
            match &**prepared {
                Prepared::Layer(layer) => {
                    view.lowers.insert(0, layer.path().to_owned());
                    view.caches.layers.insert(0, layer.caches());
                }
                Prepared::Own { upper, caches, .. } => {
                    view.lowers.insert(0, upper.clone());
                    view.caches.layers.insert(0, caches.clone());
                }
                Prepared::Tree { .. } => {}
            }
        }
        if sets_up {
            let part = |name: &str| -> Result<PathBuf> {
                let whole = folder.part(name, Some(&like)).context("making layers for caches")?;
                for cache in cache_names() {
                    folder
                        .part(&format!("{name}/{cache}"), Some(&like))
                        .context("making layers for caches")?;
                }
                Ok(whole)
            };
            let work = (base.mechanism == Mechanism::Overlay).then(|| part("caches-work")).transpose()?;
            view.caches.upper = Some(CacheLayer { layer: part("caches")?, work });
        }
        let mut root = base.root.clone();
        let layers = if base.mechanism == Mechanism::Overlay {
            let upper = folder.part("upper", Some(&like))?;
            view.upper = Some((upper.clone(), folder.part("work", None)?));
            Layers::new(upper, Some(base.root.clone()), staging)
        } else {
            let copied = folder.part("tree", Some(&like))?;
            // With the sandbox the copy is seen at the tree's own path, and what is huge or git's comes from there, read-only.
            let confined = base.sandbox.mode().has_view();
            let skip =
                |path: &Path| confined && (path.ends_with("node_modules") || *path == base.root.join(".git"));
            match stands_on.first().map(|prepared| &**prepared) {
                Some(Prepared::Tree { tree, .. }) => {
                    copy::copy_tree(tree, &copied, &|_| false).context("copying the prepared tree")?;
                    view.read_only
                        .extend(Some(base.root.join(".git")).filter(|git| confined && git.is_dir()));
                }
                _ => view
                    .read_only
                    .extend(copy::copy_tree(&base.root, &copied, &skip).context("copying the tree")?),
            }
            if base.sandbox.mode() == Mode::Degraded {
                crate::sandbox::disarm_git(&copied.join(".git")).context("cleaning the copied .git")?;
            }
            view.lowers = vec![copied.clone()];
            view.in_place = true;
            if !confined {
                root = copied.clone();
            }
            Layers::new(copied, None, staging)
        };
        let hidden = base.hidden.lock().unwrap_or_else(PoisonError::into_inner).clone();
        hidden.iter().try_for_each(|path| layers.remove(path))?;
        let (applied, live) = (Mutex::default(), Mutex::default());
        let folder = Arc::new(folder);
        Ok(Self { base, root, view, reports, layers, applied, live, hidden, stands_on, hosts: None, folder })
    }

    /// Ends what runs, and takes out of what commands did whatever is the tree's own, or was applied or hidden.
    fn sorted(&self) -> Result<Sorted> {
        self.kill();
        let root = &self.base.root;
        let applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        let paths = || applied.iter().map(|(path, _)| path).chain(&self.hidden);
        let made = self.view.upper.as_ref().map_or(&self.view.lowers[0], |(upper, _)| upper);
        kept::take_out(root, made, paths()).context("sorting what the setup did")?;
        if self.view.upper.is_some() {
            kept::leave_alone(root, made).context("sorting what the setup did")?;
            let caches = match &self.view.caches.upper {
                Some(upper) => upper.layer.clone(),
                None => self.folder.part("caches", None).context("sorting what the setup did")?,
            };
            let others = cache_names().filter(|name| !lasting_caches().contains(name));
            for cache in others.map(|name| caches.join(name)).filter(|cache| cache.exists()) {
                scratch::remove(&cache).context("sorting what the setup did")?;
            }
            return Ok(Sorted::Layer { upper: made.clone(), caches });
        }
        for path in paths() {
            if !copy::put_back(root, made, Path::new(path.as_str()))
                .with_context(|| format!("putting {path} back"))?
            {
                bail!("the setup put something else in place of the folder of {path}");
            }
        }
        Ok(Sorted::Tree(made.clone()))
    }

    /// A file as commands see it now; `None` where there is none, or it is larger than 64 MiB.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, path: &RelPath) -> Result<Option<crate::patch::FileState>> {
        self.layers.read(path)
    }

    /// The host folders that together make up the tree as commands see it, topmost first.
    pub fn trees(&self) -> Vec<PathBuf> {
        let upper = self.view.upper.iter().map(|(upper, _)| upper);
        upper.chain(&self.view.lowers).cloned().collect()
    }

    /// The root as commands see it: the repo's own path, except for a copy without a sandbox.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The host folder that commands see as [`crate::sandbox::REPORTS`] (also told to them as `REGREEN_REPORTS`).
    pub fn reports(&self) -> PathBuf {
        self.reports.clone()
    }

    /// The same folder as commands see it.
    pub fn reports_inside(&self) -> PathBuf {
        if self.base.sandbox.mode().has_view() { REPORTS.into() } else { self.reports() }
    }

    /// Applies more changes on top (their `before`s are not compared). A command that runs meanwhile may or may not see them.
    ///
    /// # Errors
    /// The patch goes through a link, into a git folder, or onto something that is no file; the changes before that one are made.
    pub fn apply(&self, patch: &Patch) -> Result<()> {
        self.layers.apply(patch)?;
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        // What the tree below has counts as before, whatever the patch says.
        let later = patch.iter().map(|(path, change)| {
            let before = match applied.get(path) {
                Some(first) => first.before.clone(),
                None => read_beneath(&self.base.root, path).with_context(|| format!("reading {path}"))?,
            };
            Ok((path.clone(), crate::patch::Change { before, after: change.after.clone() }))
        });
        let later = later.collect::<Result<Vec<_>>>()?;
        later.into_iter().for_each(|(path, change)| applied.set(path, change));
        Ok(())
    }

    /// The attempt with other hosts than the package registries behind [`Network::Registries`].
    #[must_use]
    pub fn reaching(mut self, hosts: Arc<Registries>) -> Self {
        self.hosts = Some(hosts);
        self
    }

    /// Runs a command to its end; `output` hears its standard output and error as they come. Its standard input is empty.
    ///
    /// # Errors
    /// The sandbox could not be set up. A command that fails is no error.
    pub async fn run(&self, command: &Command, output: &mut (dyn FnMut(&[u8]) + Send)) -> Result<Ended> {
        self.tell(command, &[], output).await
    }

    /// The same with `input` as its standard input.
    ///
    /// # Errors
    /// As of [`run`](Self::run). A command that does not read all of it is no error.
    pub async fn tell(
        &self,
        command: &Command,
        input: &[u8],
        output: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Ended> {
        let _busy = self.base.busy.begin();
        let mut running = self.base.sandbox.spawn(&self.job(command)?).await?;
        self.watch(&running);
        let stdin = running.take_input();
        let write = async {
            if let Some(mut stdin) = stdin {
                // One that ends without reading it closes the pipe.
                let _ = stdin.write_all(input).await;
            }
        };
        let read = async {
            let mut buffer = vec![0; 64 << 10];
            loop {
                match running.read(&mut buffer).await? {
                    0 => return anyhow::Ok(()),
                    read => output(&buffer[..read]),
                }
            }
        };
        let ((), read) = tokio::join!(write, read);
        read?;
        running.wait().await
    }

    /// Starts a command that stays (a language service): its standard input and output are pipes, its standard error another.
    ///
    /// # Errors
    /// The sandbox could not be set up.
    pub async fn spawn(&self, command: &Command) -> Result<Running> {
        let running = self.base.sandbox.spawn_apart(&self.job(command)?).await?;
        self.watch(&running);
        Ok(running)
    }

    /// What `command` sees of the host; `None` where nothing is hidden.
    ///
    /// # Errors
    /// The view could not be made up.
    pub fn sight(&self, command: &Command) -> Result<Option<Sight>> {
        self.base.sandbox.sight(&self.job(command)?)
    }

    /// Where the time counts in which a command that stays works on what it was asked.
    pub fn meter(&self) -> Busy {
        self.base.busy.clone()
    }

    /// What commands changed in the files that `keep` names, as a patch against the tree with the applied patches. Regular files
    /// only, up to 64 MiB each; links, devices and nested `.git` folders are left out.
    ///
    /// # Errors
    /// A command still runs; a file cannot be read; more than 256 MiB changed.
    pub fn harvest(&self, keep: &dyn Fn(&RelPath) -> bool) -> Result<Patch> {
        let keep: &dyn Fn(&RelPath) -> bool = &|path| !self.hidden.contains(path) && keep(path);
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(|leash| !leash.is_dead());
        if !live.is_empty() {
            bail!("what commands changed can only be taken when none of them runs any more");
        }
        let applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        let mut patch = self.layers.harvest(&applied, keep)?;
        if self.base.mechanism != Mechanism::Overlay {
            let tree = &self.view.lowers[0];
            let start = match self.stands_on.first().map(|prepared| &**prepared) {
                Some(Prepared::Tree { tree, .. }) => tree,
                _ => &self.base.root,
            };
            for path in copy::differing(start, tree)? {
                let Some(path) = path.to_str().and_then(|path| RelPath::new(path).ok()) else { continue };
                if keep(&path) && applied.get(&path).is_none() {
                    let (before, after) = (read_beneath(&self.base.root, &path)?, self.layers.read(&path)?);
                    patch.set(path, crate::patch::Change { before, after });
                }
            }
        }
        Ok(patch)
    }

    /// Whether it stands on top of what a setup command left behind.
    pub fn is_prepared(&self) -> bool {
        !self.stands_on.is_empty()
    }

    fn kill(&self) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.drain(..).for_each(|leash| leash.kill_and_wait());
    }

    fn watch(&self, running: &Running) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(|leash| !leash.is_dead());
        live.push(running.leash());
    }

    fn job(&self, command: &Command) -> Result<Job> {
        let cwd = if command.dir.is_empty() {
            self.root.clone()
        } else {
            RelPath::new(&command.dir).context("the folder to start in")?.under(&self.root)
        };
        Ok(Job {
            argv: command.argv.clone(),
            cwd,
            env: command.env.clone(),
            limits: Limits { wall: command.timeout, ..self.base.limits.clone() },
            network: command.network,
            hosts: self.hosts.clone(),
            view: self.view.clone(),
        })
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests;
