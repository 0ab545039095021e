//! What this machine can do for the sandbox, found out by doing it: for `regreen doctor`.

use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::advice::{self, Host};
use super::spec::Stage;
use super::{LaunchFailed, Mode, Sandbox, cgroup, confine, toolchains};

/// Something that the sandbox or a workspace wants of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// A few words for it.
    pub name: String,
    /// Whether it is there and works.
    pub works: bool,
    /// What was found.
    pub detail: String,
    /// What a person can do where it does not work.
    pub advice: Option<String>,
}

impl Capability {
    fn works(name: &str, detail: impl Into<String>) -> Self {
        Self { name: name.to_owned(), works: true, detail: detail.into(), advice: None }
    }

    fn fails(name: &str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name: name.to_owned(), works: false, detail: detail.into(), advice: Some(advice.into()) }
    }
}

/// The steps of a launch in their order, as a person knows them.
const STEPS: &[(Stage, &str, &str)] = &[
    (Stage::UserNamespace, "user namespaces", "commands get a user namespace of their own"),
    (Stage::Namespaces, "namespaces", "mounts, processes, IPC and host name are their own"),
    (Stage::Loopback, "network off", "an empty network namespace with loopback"),
    (Stage::View, "mounts", "a file system in memory with only what is shown"),
    (Stage::Overlay, "overlay", "attempts are layers over the tree, nothing is copied"),
    (Stage::Proc, "private /proc", "only their own processes are seen"),
    (Stage::Capabilities, "no privileges", "every capability is dropped"),
    (Stage::Landlock, "Landlock", ""),
    (Stage::Seccomp, "seccomp", "dangerous system calls are refused"),
];

/// What a person calls a step of the launch.
pub(super) fn name_of(stage: Stage) -> &'static str {
    STEPS.iter().find(|step| step.0 == stage).map_or("start", |step| step.1)
}

/// What this machine can do, each found out by doing. Layers are tried below `scratch`, where attempts will be. The program must begin
/// with [`launch_if_asked`](super::launch_if_asked).
///
/// # Errors
/// `scratch` cannot be written.
pub async fn capabilities(scratch: &Path) -> Result<Vec<Capability>> {
    let toolchains = std::sync::Arc::new(toolchains::Toolchains::here());
    let sandbox =
        Sandbox { mode: Mode::Auto, launcher: "/proc/self/exe".into(), toolchains, registries: None };
    let layered = failure(sandbox.trial(Some(scratch)).await)?;
    // Without layers the rest may work all the same.
    let plain = match &layered {
        Some((Stage::Overlay, _)) => failure(sandbox.trial(None).await)?,
        other => other.clone(),
    };
    let mut all: Vec<Capability> = STEPS
        .iter()
        .map(|step| {
            let failed = if step.0 == Stage::Overlay { &layered } else { &plain };
            of_step(step, failed.as_ref())
        })
        .collect();
    all.push(degraded(&sandbox).await?);
    all.push(limits());
    all.push(git());
    all.push(tools());
    Ok(all)
}

fn failure(trial: Result<()>) -> Result<Option<(Stage, String)>> {
    match trial {
        Ok(()) => Ok(None),
        Err(error) => match error.downcast::<LaunchFailed>() {
            Ok(failed) => Ok(Some((failed.stage, failed.message))),
            Err(error) => Err(error),
        },
    }
}

fn of_step((stage, name, what): &(Stage, &str, &str), failed: Option<&(Stage, String)>) -> Capability {
    let place = |stage: &Stage| STEPS.iter().position(|step| step.0 == *stage);
    if *stage == Stage::Landlock && failed.is_none() {
        return match confine::landlock_version() {
            0 => Capability::fails(
                name,
                "this kernel does not have it; the namespaces confine alone",
                advice::of(*stage, &Host::here()),
            ),
            version => Capability::works(name, format!("version {version}")),
        };
    }
    match failed {
        Some((at, message)) if at == stage => {
            Capability::fails(name, message, advice::of(*stage, &Host::here()))
        }
        // A step that is not listed belongs to the start.
        Some((at, _)) if place(at).unwrap_or(0) < place(stage).unwrap_or(0) => {
            Capability::fails(name, "not reached: an earlier step failed", advice::of(*at, &Host::here()))
        }
        _ => Capability::works(name, *what),
    }
}

/// What is left where there are no namespaces.
async fn degraded(sandbox: &Sandbox) -> Result<Capability> {
    let name = "degraded mode";
    let sandbox = Sandbox { mode: Mode::Degraded, ..sandbox.clone() };
    Ok(match failure(sandbox.trial(None).await)? {
        None => Capability::works(name, "Landlock and seccomp alone, where --sandbox degraded asks for it"),
        Some((stage, message)) => Capability::fails(name, message, advice::of(stage, &Host::here())),
    })
}

fn limits() -> Capability {
    let name = "memory and process limits";
    let group = cgroup::Cgroup::create(1 << 30, 64);
    match (group.limits_memory(), group.limits_processes(), rustix::process::geteuid().is_root()) {
        (true, true, _) => Capability::works(name, "control groups"),
        (_, _, false) => Capability::works(name, "memory by looking every 100 ms, processes by RLIMIT_NPROC"),
        (memory, processes, true) => {
            let by = |kernel: bool, instead: &str| {
                if kernel { "control groups".to_owned() } else { instead.to_owned() }
            };
            let (memory, processes) = (
                by(memory, "looking every 100 ms"),
                by(processes, "nothing (RLIMIT_NPROC does not bind root)"),
            );
            Capability::fails(
                name,
                format!("memory by {memory}, processes by {processes}"),
                "let root make control groups with the memory and pids controllers, or run Regreen as an ordinary user",
            )
        }
    }
}

fn git() -> Capability {
    match which::which("git") {
        Ok(path) => Capability::works("git", path.display().to_string()),
        Err(_) => Capability::fails("git", "not in PATH", "install git 2.30 or later"),
    }
}

fn tools() -> Capability {
    const NAMES: &[&str] = &[
        "cargo", "node", "npm", "pnpm", "yarn", "bun", "python3", "uv", "pytest", "ruff", "go", "java",
        "mvn", "gradle", "gcc", "clang", "make", "cmake",
    ];
    let found: Vec<&str> = NAMES.iter().copied().filter(|name| which::which(name).is_ok()).collect();
    match found.is_empty() {
        false => Capability::works("build tools", found.join(", ")),
        true => Capability::fails("build tools", "none in PATH", "install what your repo is built with"),
    }
}
