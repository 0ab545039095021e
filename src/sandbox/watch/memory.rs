//! Memory of a job, by looking.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use super::Whose;
use super::sockets::Sockets;

/// What a file in memory takes besides its contents, in bytes.
const INODE: u64 = 1 << 10;

pub(super) struct Memory {
    /// In bytes.
    limit: u64,
    whose: Whose,
    /// The device of memory that processes share and that has no file, as `maps` writes it.
    shared: String,
    /// What is known of a job with namespaces of its own.
    inside: Option<Inside>,
}

struct Inside {
    filesystems: Vec<OwnedFd>,
    sockets: Option<Sockets>,
}

/// Memory of one process, in bytes.
struct Process {
    pid: i32,
    /// What it has in memory or in swap and no file has.
    anonymous: u64,
    /// What it has of memory that may be others' too.
    shared: u64,
    /// What the kernel needs to know where all that is.
    tables: u64,
}

impl Memory {
    pub(super) fn new(limit: u64, whose: Whose) -> io::Result<Self> {
        let probe = rustix::fs::memfd_create("regreen", rustix::fs::MemfdFlags::CLOEXEC)?;
        let device = std::fs::File::from(probe).metadata()?.dev();
        let shared = format!("{:02x}:{:02x}", rustix::fs::major(device), rustix::fs::minor(device));
        Ok(Self { limit, whose, shared, inside: None })
    }

    pub(super) fn inside(&mut self, filesystems: Vec<OwnedFd>, own_network: bool) {
        let sockets = own_network.then(Sockets::open);
        self.inside = Some(Inside { filesystems, sockets });
    }

    /// Whether the job has more than it may. Processes are read one after the other, and one that ends meanwhile leaves its share of what they
    /// have in common to those that are read later: only what two looks find is so.
    pub(super) fn is_over(&self) -> bool {
        self.looks_over() && self.looks_over()
    }

    fn looks_over(&self) -> bool {
        let mut total = self.inside.as_ref().map_or(0, Inside::used);
        let mut processes: Vec<Process> = self.whose.pids().into_iter().filter_map(process).collect();
        total = processes.iter().fold(total, |total, one| total.saturating_add(one.most()));
        // Pages that several have count for each so far. What is exact takes longer: only if it matters, the largest first.
        processes.sort_by_key(|one| std::cmp::Reverse(one.most()));
        for one in processes {
            if total <= self.limit {
                return false;
            }
            // One that is gone by now has nothing.
            let exact = self.exact(&one).or_else(|| process(one.pid).map(|now| now.most())).unwrap_or(0);
            total = total.saturating_sub(one.most()).saturating_add(exact);
        }
        total > self.limit
    }

    /// A process's share of what it has; `None` where the kernel does not tell.
    fn exact(&self, process: &Process) -> Option<u64> {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", process.pid)).ok();
        let rollup = read("smaps_rollup")?;
        let anonymous = field(&rollup, "Pss_Anon:")? + field(&rollup, "SwapPss:").unwrap_or(0);
        let shared = if process.shared == 0 { 0 } else { share_of(&read("smaps")?, &self.shared) };
        Some(anonymous + shared + process.tables)
    }
}

impl Process {
    fn most(&self) -> u64 {
        self.anonymous + self.shared + self.tables
    }
}

/// What anybody may know of a process, however it hides.
fn process(pid: i32) -> Option<Process> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let of = |name: &str| field(&status, name).unwrap_or(0);
    let anonymous = of("RssAnon:") + of("VmSwap:");
    Some(Process { pid, anonymous, shared: of("RssShmem:"), tables: of("VmPTE:") })
}

/// The bytes that a line `NAME  123 kB` says.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The share, of what `smaps` tells, in memory on `device`. Segments of System V are counted as a whole elsewhere.
fn share_of(smaps: &str, device: &str) -> u64 {
    let (mut total, mut counts) = (0u64, false);
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if first.ends_with(':') {
            if counts && matches!(first, "Pss:" | "SwapPss:") {
                let kibibytes: u64 = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
                total = total.saturating_add(kibibytes * 1024);
            }
        } else {
            let rest: Vec<&str> = words.collect();
            let segment = rest.get(4).is_some_and(|path| path.starts_with("/SYSV"));
            counts = rest.get(2) == Some(&device) && !segment;
        }
    }
    total
}

impl Inside {
    /// What is there besides the processes' own, in bytes.
    fn used(&self) -> u64 {
        let files = self.filesystems.iter().filter_map(|place| rustix::fs::fstatvfs(place).ok()).map(|of| {
            let blocks = of.f_blocks.saturating_sub(of.f_bfree) * of.f_frsize;
            blocks + of.f_files.saturating_sub(of.f_ffree) * INODE
        });
        let segments = column("/proc/sysvipc/shm", "rss") + column("/proc/sysvipc/shm", "swap");
        let messages = column("/proc/sysvipc/msg", "cbytes");
        files.sum::<u64>() + segments + messages + self.sockets.as_ref().map_or(0, Sockets::held)
    }
}

/// The sum of a table's column.
fn column(table: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(table).unwrap_or_default();
    let mut lines = text.lines();
    let Some(at) = lines.next().and_then(|head| head.split_whitespace().position(|word| word == name)) else {
        return 0;
    };
    lines.filter_map(|line| line.split_whitespace().nth(at)?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_memory_without_a_file_counts_as_shared() {
        let smaps = "\
7f0000000000-7f0000100000 rw-s 00000000 00:01 77                         /dev/zero (deleted)
Size:               1024 kB
Pss:                 512 kB
Pss_Dirty:           512 kB
SwapPss:               4 kB
7f0000200000-7f0000300000 rw-s 00000000 00:01 3                          /SYSV00000000 (deleted)
Pss:                1024 kB
7f0000400000-7f0000500000 rw-s 00000000 00:2b 3                          /dev/shm/a
Pss:                1024 kB
7f0000600000-7f0000700000 rw-s 00000000 00:01 78                         [anon_shmem:/SYSV]
Pss:                   1 kB
7f0000800000-7f0000900000 rw-p 00000000 00:00 0 
Pss:                1024 kB
";
        assert_eq!(share_of(smaps, "00:01"), (512 + 4 + 1) << 10);
        assert_eq!(share_of("nonsense", "00:01"), 0);
    }

    #[test]
    fn figures_of_proc_are_read() {
        let status = "Name:\tsh\nRssAnon:\t     132 kB\nRssShmem:\t       8 kB\nVmPTE:\t      44 kB\n";
        assert_eq!(field(status, "RssAnon:"), Some(132 << 10));
        assert_eq!(field(status, "VmSwap:"), None);
        let own = process(std::process::id() as i32).unwrap();
        assert!(own.anonymous > 0 && own.tables > 0);
        assert_eq!(column("/proc/sysvipc/shm", "no such column"), 0);
    }
}
