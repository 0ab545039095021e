//! What a job uses, looked at from its launcher while it runs: memory where no control group counts it, and what is written to disk.
//!
//! The launcher is the one to look: it is in the job's namespaces, holds all of their rights (a process that hides itself from its
//! own user is no secret to it), and nothing inside can reach it.

mod disk;
mod memory;
mod sockets;

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::spec::{Limit, Watched};
use super::sys::own_cpu;
use disk::Disk;
use memory::Memory;

/// How often is looked, at most.
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// Looking at memory, and at the disk, takes this part of a processor each, or a little more where [`REST`] ends sooner.
const SHARE: u32 = 30;
/// The longest that nobody looks.
const REST: Duration = Duration::from_secs(10);

/// Which processes belong to the job.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whose {
    /// All that `/proc` shows: it is the job's own.
    All,
    /// Those that this process has started, directly or not.
    Ours,
}

impl Whose {
    fn pids(self) -> Vec<i32> {
        match self {
            Self::Ours => super::launch::descendants(std::process::id() as i32),
            Self::All => {
                let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
                entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
            }
        }
    }
}

/// Looks at one job.
pub(super) struct Watch {
    memory: Option<Memory>,
    memory_next: Instant,
    disk: Disk,
    disk_next: Instant,
}

impl Watch {
    /// Opens what is to be looked at, by its paths on the host.
    pub(super) fn open(watched: &Watched, whose: Whose) -> io::Result<Self> {
        let memory = watched.memory.map(|limit| Memory::new(limit, whose)).transpose()?;
        let now = Instant::now();
        Ok(Self { memory, memory_next: now, disk: Disk::open(watched, whose)?, disk_next: now })
    }

    /// Counts these file systems in memory, and what the sockets of this network namespace hold where it is the job's own.
    pub(super) fn inside(&mut self, in_memory: Vec<OwnedFd>, own_network: bool) {
        if let Some(memory) = &mut self.memory {
            memory.inside(in_memory, own_network);
        }
    }

    /// The limit that the job is found to have passed. To be called often: it looks when it is time.
    pub(super) fn over(&mut self) -> Option<Limit> {
        if let Some(memory) = &self.memory
            && Instant::now() >= self.memory_next
        {
            let before = own_cpu();
            if memory.is_over() {
                return Some(Limit::Memory);
            }
            self.memory_next = Instant::now() + rest(own_cpu().saturating_sub(before)).max(LOOK);
        }
        if Instant::now() >= self.disk_next {
            if self.disk.is_over() {
                return Some(Limit::Disk);
            }
            self.disk_next = Instant::now() + LOOK;
        }
        None
    }
}

/// How long not to look after a look that cost that much of a processor.
fn rest(cost: Duration) -> Duration {
    (cost * SHARE).min(REST)
}
