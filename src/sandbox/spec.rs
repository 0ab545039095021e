//! What the launcher is told, as one JSON document over an inherited descriptor.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything the launcher does; it decides nothing itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Spec {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Where it starts.
    pub cwd: PathBuf,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
    /// `cgroup.procs` files to join first.
    pub cgroups: Vec<PathBuf>,
    /// Most processes and threads (RLIMIT_NPROC).
    pub processes: u64,
    /// Largest file, in bytes (RLIMIT_FSIZE).
    pub file_size: u64,
    /// What holds the command.
    pub hold: Hold,
    /// What is looked at while it runs.
    pub watched: Watched,
}

/// What is looked at while a command runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Watched {
    /// The most memory, in bytes; `None` where a control group counts it. Without one, files in memory that have no name would be nobody's.
    pub memory: Option<u64>,
    /// The most that the folders may take on disk, in bytes.
    pub disk: u64,
    /// What stays free of their file systems, in bytes.
    pub disk_free: u64,
    /// The folders of the host that it writes to.
    pub folders: Vec<PathBuf>,
    /// Whether what they hold before counts as nothing: they are a copy of the tree.
    pub filled: bool,
}

/// What a command may have too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Limit {
    /// Memory.
    Memory,
    /// Room on disk.
    Disk,
}

/// What holds a command.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Hold {
    /// Namespaces, and everything else on top.
    Walls(Walls),
    /// Landlock and seccomp alone.
    Fence(Fence),
    /// Nothing.
    Nothing,
}

/// The confinement where there are no namespaces: the host's paths stay what they are, few of them are in reach.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Fence {
    /// The user that the command runs as: the tree's owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// What may be read and executed.
    pub readable: Vec<PathBuf>,
    /// What may be written too.
    pub writable: Vec<PathBuf>,
}

/// The confinement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Walls {
    /// The user and group that the command runs as: the tree's owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Whether it gets a network namespace of its own with nothing but loopback.
    pub own_network: bool,
    /// The port on that loopback whose listener the supervisor gets: the way to package registries.
    pub gate: Option<u16>,
    /// What it sees, parents before children.
    pub mounts: Vec<Mount>,
    /// Where Landlock allows writing (files and whole folders).
    pub writable: Vec<PathBuf>,
    /// Whether a kernel without Landlock is an error.
    pub landlock_required: bool,
}

/// One thing in the view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mount {
    /// Where it is seen.
    pub target: PathBuf,
    /// What is there.
    pub what: What,
}

/// What can be in the view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum What {
    /// A folder, where nothing more special is.
    Folder,
    /// An empty writable file system in memory.
    Memory {
        /// Its size limit in bytes.
        size: u64,
        /// Its limit of files.
        inodes: u64,
        /// Permission bits.
        mode: u32,
    },
    /// A file or folder of the host (a canonical path).
    Host {
        /// Where it is on the host.
        source: PathBuf,
        /// Whether it may be written.
        writable: bool,
    },
    /// Layers of folders of the host, canonical paths, topmost first.
    Layers {
        /// Read-only.
        lowers: Vec<PathBuf>,
        /// The writable layer and overlayfs's work folder.
        upper: Option<(PathBuf, PathBuf)>,
    },
    /// Folders of the host over each other, canonical paths, topmost first, with a writable layer in memory that is thrown away.
    Throwaway {
        /// Where they are on the host.
        lowers: Vec<PathBuf>,
        /// The layer's size limit in bytes.
        size: u64,
    },
    /// A symbolic link to this.
    Link(PathBuf),
    /// A made-up read-only file.
    File(String),
    /// Nothing readable: hides what is there, if anything is.
    Hidden,
    /// The handful of harmless devices.
    Devices {
        /// The size limit of shared memory in bytes.
        shared_memory: u64,
    },
}

/// What the launcher says, one JSON document per line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Word {
    /// The command is about to be executed.
    Started,
    /// The view could not be built.
    Failed {
        /// Which step failed.
        stage: Stage,
        /// What went wrong.
        message: String,
    },
    /// The command exited.
    Exited(i32),
    /// A signal killed it.
    Signaled(i32),
    /// It passed a limit, and is killed for it.
    Over(Limit),
    /// CPU time of the whole tree, in microseconds; all of it is dead now.
    Spent(u64),
}

/// The steps of the launch, as a person hears of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stage {
    Specification,
    Cgroup,
    UserNamespace,
    Namespaces,
    Loopback,
    View,
    Overlay,
    Proc,
    Limits,
    Capabilities,
    Landlock,
    Seccomp,
}
