//! Limits of memory and processes that the kernel keeps for a job as a whole, where we may set them (as root).

use std::io;
use std::path::{Path, PathBuf};

/// Where control groups are mounted.
const ROOT: &str = "/sys/fs/cgroup";
/// The folder of ours in each hierarchy.
const OURS: &str = "regreen";

/// The groups of one job, removed on drop (by when all its processes must be dead).
#[derive(Debug)]
pub(super) struct Cgroup {
    /// The folder with the memory controller, and its version's file names.
    memory: Option<(PathBuf, &'static Files)>,
    /// All folders of the job.
    folders: Vec<PathBuf>,
}

#[derive(Debug)]
struct Files {
    memory_limit: &'static str,
    swap_limit: (&'static str, bool),
    events: &'static str,
}

const ONE: Files = Files {
    memory_limit: "memory.limit_in_bytes",
    swap_limit: ("memory.memsw.limit_in_bytes", true),
    events: "memory.oom_control",
};
const TWO: Files =
    Files { memory_limit: "memory.max", swap_limit: ("memory.swap.max", false), events: "memory.events" };

impl Cgroup {
    /// Makes groups for one job with these limits; what the machine does not let us have is left out.
    pub(super) fn create(memory: u64, processes: u64) -> Self {
        let mut made = Self { memory: None, folders: Vec::new() };
        if !rustix::process::geteuid().is_root() {
            return made;
        }
        let name = format!("{}-{}", std::process::id(), uuid::Uuid::now_v7().simple());
        let root = Path::new(ROOT);
        let unified = [root.to_owned(), root.join("unified")].into_iter().find(|path| {
            has(path, "cgroup.controllers", "memory") && has(path, "cgroup.controllers", "pids")
        });
        match unified {
            Some(root) => {
                if let Ok(folder) = made.add(&root, &name, true) {
                    let _ = write(&folder, "pids.max", processes);
                    made.limit_memory(folder, &TWO, memory);
                }
            }
            None => {
                if let Ok(folder) = made.add(&root.join("memory"), &name, false) {
                    made.limit_memory(folder, &ONE, memory);
                }
                if let Ok(folder) = made.add(&root.join("pids"), &name, false) {
                    let _ = write(&folder, "pids.max", processes);
                }
            }
        }
        made
    }

    /// Removes the groups that killed runners left.
    pub(super) fn sweep() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        for hierarchy in ["", "unified", "memory", "pids"] {
            let ours = Path::new(ROOT).join(hierarchy).join(OURS);
            for entry in std::fs::read_dir(ours).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let runner = name.to_str().and_then(|name| name.split_once('-')).map(|(pid, _)| pid);
                if runner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                    // Fails, rightly, where something still runs in it.
                    let _ = std::fs::remove_dir(entry.path());
                }
            }
        }
    }

    fn add(&mut self, root: &Path, name: &str, unified: bool) -> io::Result<PathBuf> {
        if !root.join("cgroup.procs").exists() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let ours = root.join(OURS);
        if let Err(error) = std::fs::create_dir(&ours)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error);
        }
        if unified {
            for folder in [root, &ours] {
                std::fs::write(folder.join("cgroup.subtree_control"), "+memory +pids")?;
            }
        }
        let folder = ours.join(name);
        std::fs::create_dir(&folder)?;
        self.folders.push(folder.clone());
        Ok(folder)
    }

    fn limit_memory(&mut self, folder: PathBuf, files: &'static Files, limit: u64) {
        if write(&folder, files.memory_limit, limit).is_ok() {
            // Version one counts memory and swap together, version two swap alone. Not every kernel counts swap.
            let (file, together) = files.swap_limit;
            let _ = write(&folder, file, if together { limit } else { 0 });
            self.memory = Some((folder, files));
        }
    }

    /// The files through which a process joins.
    pub(super) fn joins(&self) -> Vec<PathBuf> {
        self.folders.iter().map(|folder| folder.join("cgroup.procs")).collect()
    }

    /// Whether memory is limited by the kernel.
    pub(super) fn limits_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// Whether processes are limited by the kernel.
    pub(super) fn limits_processes(&self) -> bool {
        self.folders.iter().any(|folder| folder.join("pids.max").exists())
    }

    /// Whether a process was killed for memory.
    pub(super) fn out_of_memory(&self) -> bool {
        let Some((folder, files)) = &self.memory else { return false };
        let text = std::fs::read_to_string(folder.join(files.events)).unwrap_or_default();
        text.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0"))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for folder in &self.folders {
            // Busy for a moment after the last process's death on some kernels; an empty group costs next to nothing.
            let _ = std::fs::remove_dir(folder);
        }
    }
}

fn has(folder: &Path, file: &str, word: &str) -> bool {
    std::fs::read_to_string(folder.join(file))
        .is_ok_and(|text| text.split_whitespace().any(|each| each == word))
}

fn write(folder: &Path, file: &str, value: u64) -> io::Result<()> {
    std::fs::write(folder.join(file), value.to_string())
}
