//! Builds the view: a file system in memory in which the described mounts appear, and nothing else of the host.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change, unmount,
};

use super::launch::{During, Failure};
use super::spec::{Mount, Stage, Walls, What};
use super::sys;

/// Where the host's root lies while the view is built.
const HOST: &str = "/.host";
/// Where made-up files lie while the view is built.
const MADE: &str = "/.made";

const READ_ONLY: u64 = 0x1;
const NO_SETUID: u64 = 0x2;
const NO_DEVICES: u64 = 0x4;
const NO_EXECUTION: u64 = 0x8;

/// Builds everything but `/proc`, which only the first process of the process namespace can mount.
pub(super) fn build(walls: &Walls) -> Result<Vec<OwnedFd>, Failure> {
    let view = |what: &'static str| move || what.to_owned();
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .during(Stage::View, view("keeping mounts to ourselves"))?;
    // Any folder will do: once the new root is in place the folder's own contents are seen again below HOST.
    let base = Path::new("/usr");
    memory(base, "mode=0755,size=64m,nr_inodes=65536".into())
        .during(Stage::View, view("mounting an empty root"))?;
    std::env::set_current_dir(base).during(Stage::View, view("entering it"))?;
    std::fs::create_dir(&HOST[1..]).during(Stage::View, view("preparing it"))?;
    rustix::process::pivot_root(".", &HOST[1..]).during(Stage::View, view("changing the root"))?;
    std::env::set_current_dir("/").during(Stage::View, view("entering it"))?;
    std::fs::create_dir(MADE).during(Stage::View, view("preparing it"))?;
    memory(Path::new(MADE), "mode=0700".into()).during(Stage::View, view("preparing it"))?;
    let mut made = Made::default();
    for mount in &walls.mounts {
        let stage = if matches!(mount.what, What::Layers { .. }) { Stage::Overlay } else { Stage::View };
        place(mount, walls, &mut made).during(stage, || format!("showing {}", mount.target.display()))?;
    }
    Ok(made.in_memory)
}

/// Mounts `/proc`, lets go of the host's file system and makes the root read-only. For the first process.
pub(super) fn finish() -> Result<(), Failure> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    std::fs::create_dir_all("/proc").during(Stage::Proc, || "making its folder".into())?;
    mount("proc", "/proc", "proc", flags, None).during(Stage::Proc, || "mounting it".into())?;
    // Uid 0 without any capability may still write to files that root owns, and these reach the whole machine.
    for name in
        ["sys", "irq", "bus", "fs", "acpi", "scsi", "driver", "sysrq-trigger", "mtrr", "asound", "tty"]
    {
        let path = Path::new("/proc").join(name);
        if path.exists() {
            mount_bind_recursive(&path, &path)
                .during(Stage::Proc, || format!("covering {}", path.display()))?;
            let set = READ_ONLY | NO_SETUID | NO_DEVICES | NO_EXECUTION;
            sys::set_mount_attributes(&path, set, true).during(Stage::Proc, || "covering".into())?;
        }
    }
    const HIDDEN: &[&str] = &[
        "kallsyms",
        "kcore",
        "key-users",
        "keys",
        "kmsg",
        "kpagecgroup",
        "kpagecount",
        "kpageflags",
        "latency_stats",
        "pagetypeinfo",
        "sched_debug",
        "slabinfo",
        "timer_list",
        "vmallocinfo",
    ];
    for name in HIDDEN {
        let path = Path::new("/proc").join(name);
        if path.exists() {
            mount_bind_recursive("/dev/null", &path)
                .during(Stage::Proc, || format!("hiding {}", path.display()))?;
        }
    }
    for path in [MADE, HOST] {
        unmount(path, UnmountFlags::DETACH).during(Stage::View, || "letting go of the host".into())?;
        std::fs::remove_dir(path).during(Stage::View, || "letting go of the host".into())?;
    }
    sys::set_mount_attributes(Path::new("/"), READ_ONLY | NO_SETUID | NO_DEVICES, false)
        .during(Stage::View, || "making the root read-only".into())
}

/// Files made up for the view.
#[derive(Default)]
struct Made {
    count: usize,
    /// The file systems in memory that the command may fill.
    in_memory: Vec<OwnedFd>,
}

impl Made {
    /// Mounts a file system in memory that the command may fill.
    fn memory(&mut self, target: &Path, options: String) -> io::Result<()> {
        memory(target, options)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.in_memory.push(rustix::fs::open(target, flags, Mode::empty())?);
        Ok(())
    }

    fn path(&mut self) -> PathBuf {
        self.count += 1;
        Path::new(MADE).join(self.count.to_string())
    }

    fn file(&mut self, text: &str) -> io::Result<PathBuf> {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path();
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444))?;
        Ok(path)
    }

    fn folder(&mut self) -> io::Result<PathBuf> {
        let path = self.path();
        std::fs::create_dir(&path)?;
        Ok(path)
    }
}

fn place(mount: &Mount, walls: &Walls, made: &mut Made) -> io::Result<()> {
    let target = mount.target.as_path();
    let owner = format!("uid={},gid={}", walls.uid, walls.gid);
    match &mount.what {
        What::Folder => folders(target, walls),
        What::Memory { size, inodes, mode } => {
            folders(target, walls)?;
            made.memory(target, format!("size={size},nr_inodes={inodes},mode={mode:o},{owner}"))
        }
        What::Host { source, writable } => {
            let source = on_host(source);
            if std::fs::metadata(&source)?.is_dir() {
                folders(target, walls)?
            } else {
                touch(target, walls)?
            }
            bind(&source, target, *writable)
        }
        What::Layers { lowers, upper } => {
            folders(target, walls)?;
            overlay(target, lowers, upper.as_ref())
        }
        What::Throwaway { lowers, size } => {
            folders(target, walls)?;
            let place = made.folder()?;
            made.memory(&place, format!("size={size},mode=0755,{owner}"))?;
            let (upper, work) = (place.join("upper"), place.join("work"));
            std::fs::create_dir(&upper)?;
            std::fs::create_dir(&work)?;
            std::os::unix::fs::chown(&upper, Some(walls.uid), Some(walls.gid))?;
            // A file system in memory that cannot hold a layer (before Linux 6.6): as it is, read-only.
            let below: Vec<PathBuf> = lowers.iter().map(|lower| on_host(lower)).collect();
            layered(target, &below, Some((&upper, &work))).or_else(|_| overlay(target, lowers, None))
        }
        What::Link(to) => {
            parents(target, walls)?;
            std::os::unix::fs::symlink(to, target)
        }
        What::File(text) => {
            let file = made.file(text)?;
            touch(target, walls)?;
            bind(&file, target, false)
        }
        What::Hidden => match std::fs::symlink_metadata(target) {
            Ok(meta) if meta.is_dir() => bind(&made.folder()?, target, false),
            Ok(meta) if !meta.is_symlink() => bind(&made.file("")?, target, false),
            Ok(_) => Ok(()),
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => Ok(()),
            Err(error) => Err(error),
        },
        What::Devices { shared_memory } => devices(target, *shared_memory, walls, &owner, made),
    }
}

fn devices(target: &Path, shared_memory: u64, walls: &Walls, owner: &str, made: &mut Made) -> io::Result<()> {
    folders(target, walls)?;
    memory(target, "mode=0755,size=64k,nr_inodes=64".into())?;
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        let (from, to) = (on_host(&Path::new("/dev").join(name)), target.join(name));
        touch(&to, walls)?;
        mount_bind_recursive(&from, &to)?;
        sys::set_mount_attributes(&to, NO_SETUID | NO_EXECUTION, true)?;
    }
    for (name, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        std::os::unix::fs::symlink(to, target.join(name))?;
    }
    let (terminals, shared) = (target.join("pts"), target.join("shm"));
    std::fs::create_dir(&terminals)?;
    std::fs::create_dir(&shared)?;
    let options = c"newinstance,ptmxmode=0666,mode=620".to_owned();
    mount("devpts", &terminals, "devpts", MountFlags::NOSUID | MountFlags::NOEXEC, options.as_c_str())?;
    made.memory(&shared, format!("size={shared_memory},nr_inodes=65536,mode=1777,{owner}"))?;
    sys::set_mount_attributes(target, READ_ONLY | NO_SETUID | NO_EXECUTION, false)
}

fn overlay(target: &Path, lowers: &[PathBuf], upper: Option<&(PathBuf, PathBuf)>) -> io::Result<()> {
    let lowers: Vec<PathBuf> = lowers.iter().map(|lower| on_host(lower)).collect();
    match upper {
        None if lowers.len() == 1 => bind(&lowers[0], target, false),
        None => layered(target, &lowers, None),
        Some((upper, work)) => layered(target, &lowers, Some((&on_host(upper), &on_host(work)))),
    }
}

/// Mounts layers. They are named by descriptors, so that no character in a path can mean anything to the file system.
fn layered(target: &Path, lowers: &[PathBuf], upper: Option<(&Path, &Path)>) -> io::Result<()> {
    let open = |path: &Path| -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::open(path, flags, Mode::empty())?)
    };
    let name = |fd: &OwnedFd| format!("{HOST}/proc/self/fd/{}", fd.as_raw_fd());
    let lower_fds = lowers.iter().map(|lower| open(lower)).collect::<io::Result<Vec<_>>>()?;
    let lower_names: Vec<String> = lower_fds.iter().map(name).collect();
    let mut options = format!("userxattr,lowerdir={}", lower_names.join(":"));
    let upper_fds = match upper {
        Some((upper, work)) => Some((open(upper)?, open(work)?)),
        None => None,
    };
    if let Some((upper, work)) = &upper_fds {
        options += &format!(",upperdir={},workdir={}", name(upper), name(work));
    }
    let options = std::ffi::CString::new(options)?;
    mount("overlay", target, "overlay", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str())?;
    Ok(())
}

fn memory(target: &Path, options: String) -> io::Result<()> {
    let options = std::ffi::CString::new(options)?;
    mount("tmpfs", target, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str())?;
    Ok(())
}

fn bind(source: &Path, target: &Path, writable: bool) -> io::Result<()> {
    mount_bind_recursive(source, target)?;
    let set = NO_SETUID | NO_DEVICES | if writable { 0 } else { READ_ONLY };
    sys::set_mount_attributes(target, set, true)
}

fn on_host(path: &Path) -> PathBuf {
    let below = path.components().filter(|part| matches!(part, Component::Normal(_)));
    Path::new(HOST).join(below.collect::<PathBuf>())
}

/// Makes sure that there is a folder to mount on; the new ones belong to the command's user.
fn folders(target: &Path, walls: &Walls) -> io::Result<()> {
    let missing: Vec<&Path> = target.ancestors().take_while(|path| !path.exists()).collect();
    for path in missing.into_iter().rev() {
        std::fs::create_dir(path)?;
        std::os::unix::fs::lchown(path, Some(walls.uid), Some(walls.gid))?;
    }
    Ok(())
}

fn parents(target: &Path, walls: &Walls) -> io::Result<()> {
    target.parent().map_or(Ok(()), |parent| folders(parent, walls))
}

/// Makes sure that there is a file to mount on.
fn touch(target: &Path, walls: &Walls) -> io::Result<()> {
    if std::fs::symlink_metadata(target).is_ok() {
        return Ok(());
    }
    parents(target, walls)?;
    std::fs::File::create(target).map(drop)
}
