//! How a command is confined.
//!
//! A [`Job`] says what to run and what it may see; [`Sandbox::spawn`] re-executes this program as a launcher that builds the
//! view (namespaces, mounts, limits, seccomp) and then becomes the command. Nothing a model or a repo wrote runs in any other way.

mod advice;
mod capabilities;
mod cgroup;
mod confine;
mod fence;
mod gitdir;
mod launch;
mod mounts;
pub(crate) mod proxy;
mod registries;
mod running;
mod spec;
mod sys;
mod toolchains;
mod view;

use std::collections::BTreeMap;
use std::io::{Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::config::{Confinement, Environment};
use crate::fault::Fault;
use crate::outcome::{Connections, End};

pub use capabilities::{Capability, capabilities};
pub(crate) use gitdir::disarm as disarm_git;
pub use launch::launch_if_asked;
pub use registries::Registries;
pub use running::Running;
pub(crate) use running::{LaunchFailed, Leash};
pub use view::Sight;

pub use crate::config::{NetworkAccess as Network, SandboxMode as Mode};

/// The most a job may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Wall time; the whole process tree is killed after it.
    pub wall: Duration,
    /// Memory of all processes together, in bytes.
    pub memory: u64,
    /// Processes and threads.
    pub processes: u64,
    /// The largest file it may write, in bytes.
    pub file_size: u64,
    /// Output kept in memory and in the log file, in bytes, head and tail; the rest is counted and dropped.
    pub output: u64,
}

/// The folders that make up what a job sees of the repo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Where the repo is seen: the same path as on the host.
    pub root: PathBuf,
    /// Read-only layers, topmost first; the last is the repo itself.
    pub lowers: Vec<PathBuf>,
    /// The writable layer and overlayfs's own work folder, on one file system; `None` makes the view read-only.
    pub upper: Option<(PathBuf, PathBuf)>,
    /// Whether the one lower layer is itself written to, without an upper one: a copy made for this job.
    #[serde(default)]
    pub in_place: bool,
    /// Read-only folders or files seen at their host path besides the system's and the toolchains' (linked worktrees' common git
    /// folder, say).
    pub read_only: Vec<PathBuf>,
    /// A folder seen at [`REPORTS`], writable: reports that a check's tool writes (JUnit XML and the like).
    pub reports: Option<PathBuf>,
    /// What setups put into the caches of package managers.
    #[serde(default)]
    pub caches: Caches,
}

/// Layers over the caches of package managers, besides the host's own. Each is a folder with a folder per cache ([`cache_names`]).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caches {
    /// Read-only, topmost first.
    pub layers: Vec<PathBuf>,
    /// Where what a job writes to the caches stays; `None` throws it away.
    pub upper: Option<CacheLayer>,
}

/// A writable layer over the caches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheLayer {
    /// What is written.
    pub layer: PathBuf,
    /// overlayfs's own work folders, on the same file system; without them the layer alone is seen, and not what the host has.
    pub work: Option<PathBuf>,
}

/// The names of the caches that builds read packages from: what a setup put there is part of what it made.
pub fn lasting_caches() -> &'static [&'static str] {
    toolchains::LASTING
}

/// The names of all caches that layers may have folders for.
pub fn cache_names() -> impl Iterator<Item = &'static str> {
    toolchains::cache_names()
}

/// Where a job finds the folder for its reports.
pub const REPORTS: &str = "/regreen/reports";

/// One command to run confined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Program and arguments; the program is looked up in the sandbox's PATH.
    pub argv: Vec<String>,
    /// The folder it starts in, an absolute path as seen inside.
    pub cwd: PathBuf,
    /// Variables on top of the allowlisted clean environment.
    pub env: BTreeMap<String, String>,
    /// What it may use.
    pub limits: Limits,
    /// What it may reach.
    pub network: Network,
    /// The hosts that it may reach through the proxy instead of the package registries.
    pub hosts: Option<Arc<Registries>>,
    /// What it may see.
    pub view: View,
}

/// How a job ended, and what it used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// How.
    pub end: End,
    /// Wall time from the launch to the last process's death.
    pub duration: Duration,
    /// CPU time of the whole process tree, user and system.
    pub cpu: Duration,
    /// What it reached through the proxy, and what was refused.
    pub connections: Vec<Connections>,
}

/// Confines jobs as this machine can.
#[derive(Debug, Clone)]
pub struct Sandbox {
    mode: Mode,
    launcher: PathBuf,
    toolchains: Arc<toolchains::Toolchains>,
    registries: Option<Arc<Allowed>>,
}

/// The registries, looked for when the first job needs them.
#[derive(Debug)]
struct Allowed {
    environment: Environment,
    confinement: Confinement,
    found: OnceCell<Arc<Registries>>,
}

/// How a job's standard output and error come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Streams {
    Together,
    Apart,
}

impl Sandbox {
    /// Finds out by doing what this machine can, and takes the isolation that `mode` asks for. The program must begin with
    /// [`launch_if_asked`].
    ///
    /// # Errors
    /// A [`Fault`] (exit 2) that says what to change, where the machine cannot do it.
    pub async fn detect(mode: Mode) -> Result<Self> {
        Self::detect_with(mode, Path::new("/proc/self/exe")).await
    }

    /// The same with another program as the launcher: one that begins with [`launch_if_asked`].
    ///
    /// # Errors
    /// As of [`detect`](Self::detect).
    pub async fn detect_with(mode: Mode, launcher: &Path) -> Result<Self> {
        let toolchains = Arc::new(toolchains::Toolchains::here());
        let sandbox = Self { mode, launcher: launcher.to_owned(), toolchains, registries: None };
        cgroup::Cgroup::sweep();
        if mode != Mode::Off
            && let Err(error) = sandbox.trial(None).await
        {
            return Err(match error.downcast_ref::<LaunchFailed>() {
                Some(failed) => {
                    let step = capabilities::name_of(failed.stage);
                    let what = format!("this machine cannot confine commands ({step}: {})", failed.message);
                    Fault::usage(what).hint(advice::of(failed.stage, &advice::Host::here())).into()
                }
                None => error,
            });
        }
        Ok(sandbox)
    }

    /// Lets jobs that ask for [`Network::Registries`] reach the package registries of this user. Which these are is found out when the
    /// first such job is started.
    #[must_use]
    pub fn with_registries(mut self, environment: &Environment, confinement: &Confinement) -> Self {
        let (environment, confinement) = (environment.clone(), confinement.clone());
        self.registries = Some(Arc::new(Allowed { environment, confinement, found: OnceCell::new() }));
        self
    }

    /// The registries that `job` may reach; `None` where it asks for none, or nothing confines it.
    async fn registries(&self, job: &Job) -> Result<Option<Arc<Registries>>> {
        if self.mode == Mode::Degraded && job.network != Network::None {
            let what = "--sandbox degraded has no network: it has no way to let out only what may";
            return Err(Fault::usage(what)
                .hint("use --allow-net none, and install packages beforehand")
                .into());
        }
        if job.network != Network::Registries || self.mode == Mode::Off {
            return Ok(None);
        }
        if let Some(hosts) = &job.hosts {
            return Ok(Some(Arc::clone(hosts)));
        }
        let Some(allowed) = &self.registries else {
            return Err(Fault::usage("no package registries are known here").into());
        };
        let find = async || Registries::find(&allowed.environment, &allowed.confinement).await.map(Arc::new);
        Ok(Some(Arc::clone(allowed.found.get_or_try_init(find).await?)))
    }

    /// The isolation in force.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Starts `job`. Its standard output and error come as one stream; standard input is a pipe.
    ///
    /// # Errors
    /// The view could not be built. A program that is not there is no error: the job ends with status 127, as in a shell.
    pub async fn spawn(&self, job: &Job) -> Result<Running> {
        self.launch(job, Streams::Together).await
    }

    /// Starts `job` with standard error as a stream of its own: for helpers that stay and are talked to.
    ///
    /// # Errors
    /// As of [`spawn`](Self::spawn).
    pub async fn spawn_apart(&self, job: &Job) -> Result<Running> {
        self.launch(job, Streams::Apart).await
    }

    /// What `job` sees of the host; `None` where all of it is there to be seen, be it only to be refused.
    ///
    /// # Errors
    /// The view could not be made up.
    pub fn sight(&self, job: &Job) -> Result<Option<Sight>> {
        self.mode.has_view().then(|| Sight::new(job, &self.toolchains)).transpose()
    }

    /// Runs the smallest job, with layers below `scratch` if asked.
    async fn trial(&self, scratch: Option<&Path>) -> Result<()> {
        let place = scratch.map_or_else(tempfile::env::temp_dir, Path::to_owned);
        let folder = tempfile::Builder::new().prefix("trial-").tempdir_in(&place);
        let folder = folder.with_context(|| format!("trying the sandbox below {}", place.display()))?;
        let root = folder.path().canonicalize()?;
        let mut view = View {
            root: root.clone(),
            lowers: vec![root.clone()],
            upper: None,
            in_place: false,
            read_only: vec![],
            reports: None,
            caches: Caches::default(),
        };
        if scratch.is_some() {
            let [tree, upper, work] = ["tree", "upper", "work"].map(|name| root.join(name));
            for path in [&tree, &upper, &work] {
                std::fs::create_dir(path)?;
            }
            view = View { root: tree.clone(), lowers: vec![tree], upper: Some((upper, work)), ..view };
        }
        let job = Job {
            argv: vec!["true".into()],
            cwd: view.root.clone(),
            env: BTreeMap::new(),
            limits: Limits {
                wall: Duration::from_secs(30),
                memory: 1 << 30,
                processes: 64,
                file_size: 1 << 20,
                output: 1 << 16,
            },
            network: Network::None,
            hosts: None,
            view,
        };
        let ended = self.spawn(&job).await?.wait().await;
        // overlayfs's own folder has mode 000.
        let _ = std::fs::remove_dir(root.join("work/work"));
        ended.map(drop)
    }

    async fn launch(&self, job: &Job, streams: Streams) -> Result<Running> {
        let started = Instant::now();
        let registries = self.registries(job).await?;
        let cgroup = cgroup::Cgroup::create(job.limits.memory, job.limits.processes);
        let own = if self.mode == Mode::Degraded { Some(fence::own_folder(job)?) } else { None };
        let own_path = own.as_ref().map(tempfile::TempDir::path);
        let spec = serde_json::to_vec(&self.spec(job, &cgroup, registries.as_deref(), own_path)?)
            .context("a path of the sandbox is not UTF-8")?;
        let mut document =
            std::fs::File::from(rustix::fs::memfd_create("regreen", rustix::fs::MemfdFlags::CLOEXEC)?);
        document.write_all(&spec)?;
        document.rewind()?;
        let (control, theirs) = UnixStream::pair()?;
        // The launcher sends the listener of the job's own loopback here.
        let (gate, gates_end) = UnixStream::pair()?;
        let (output, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let (errors, error_writer) = match streams {
            Streams::Together => (None, writer.try_clone()?),
            Streams::Apart => {
                let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
                (Some(reader), writer)
            }
        };
        let child =
            self.start([OwnedFd::from(document), theirs.into(), gates_end.into()], writer, error_writer)?;
        let registries = registries.map(|registries| (gate, registries));
        let limits = job.limits.clone();
        let launched =
            running::Launched { child, control, output, errors, cgroup, limits, started, registries, own };
        launched.run().await
    }

    /// What the launcher is told.
    fn spec(
        &self,
        job: &Job,
        cgroup: &cgroup::Cgroup,
        registries: Option<&Registries>,
        own: Option<&Path>,
    ) -> Result<spec::Spec> {
        use spec::Hold;
        let (hold, home, uid) = match self.mode {
            Mode::Off => {
                let home = self.toolchains.home.clone().unwrap_or_else(|| PathBuf::from("/"));
                (Hold::Nothing, home, rustix::process::geteuid().as_raw())
            }
            Mode::Degraded => {
                let own = own.context("a job without namespaces needs a folder of its own")?;
                let fence = fence::fence(job, &self.toolchains, own)?;
                let uid = fence.uid;
                (Hold::Fence(fence), own.to_owned(), uid)
            }
            Mode::Auto | Mode::Strict => {
                let (walls, home) = view::walls(job, &self.toolchains, self.mode == Mode::Strict)?;
                let walls = spec::Walls { memory_counted: cgroup.limits_memory(), ..walls };
                let uid = walls.uid;
                (Hold::Walls(walls), home, uid)
            }
        };
        let mut env = self.toolchains.environment(&home, view::user_name(uid), job.network);
        if self.mode == Mode::Degraded {
            env.insert("TMPDIR".into(), home.to_string_lossy().into_owned());
            // A file that is there and cannot be read ends git.
            env.insert("GIT_CONFIG_NOSYSTEM".into(), "1".into());
            env.insert("GIT_CONFIG_GLOBAL".into(), "/dev/null".into());
        }
        if let Some(reports) = &job.view.reports {
            let path = if self.mode.has_view() { Path::new(REPORTS) } else { reports };
            env.insert("REGREEN_REPORTS".into(), path.to_string_lossy().into_owned());
        }
        if let Some(registries) = registries {
            env.extend(toolchains::proxied(proxy::PORT));
            env.extend(registries.env.clone());
        }
        env.extend(job.env.clone());
        Ok(spec::Spec {
            argv: job.argv.clone(),
            cwd: job.cwd.clone(),
            env,
            cgroups: cgroup.joins(),
            processes: job.limits.processes,
            file_size: job.limits.file_size,
            hold,
        })
    }

    fn start(&self, passed: [OwnedFd; 3], output: OwnedFd, errors: OwnedFd) -> Result<tokio::process::Child> {
        let numbers = passed.each_ref().map(AsRawFd::as_raw_fd);
        #[allow(clippy::disallowed_methods)] // the launcher itself
        let mut command = tokio::process::Command::new(&self.launcher);
        command.arg(launch::ARGUMENT).args(numbers.map(|fd| fd.to_string()));
        command.env_clear().current_dir("/").process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(output).stderr(errors);
        // SAFETY: only fcntl is called between fork and exec, on descriptors that are open until `spawn` returns.
        unsafe {
            command.pre_exec(move || {
                for fd in numbers {
                    sys::inherit(fd, true)?;
                }
                Ok(())
            });
        }
        command.spawn().context("starting the sandbox's launcher")
    }
}

/// The unit tests' own program is the launcher too: it becomes one before the test harness starts a thread.
#[cfg(test)]
#[used]
#[unsafe(link_section = ".init_array")]
static LAUNCH: extern "C" fn() = {
    extern "C" fn launch() {
        launch_if_asked();
    }
    launch
};

#[cfg(test)]
mod tests;
