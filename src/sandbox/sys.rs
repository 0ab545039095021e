//! The few raw system calls that no safe wrapper offers.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::Pid;

fn checked(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Forks; `None` in the child.
pub(super) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: only the launcher calls this, and it has a single thread, so the child's heap and locks are whole.
    let pid = checked(unsafe { libc::fork() } as libc::c_long)?;
    Ok(Pid::from_raw(pid as i32))
}

/// Ends the process without running any exit handler: for forked children.
pub(super) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` has no precondition.
    unsafe { libc::_exit(code) }
}

/// Sets mount attributes on the whole tree of mounts at `path`.
pub(super) fn set_mount_attributes(path: &Path, set: u64, recursive: bool) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let attributes = libc::mount_attr { attr_set: set, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is NUL-terminated and the structure is of the size told; both outlive the call.
    checked(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}

/// Marks every descriptor from 3 up to be closed when a program is executed.
pub(super) fn close_on_exec_from_3() -> io::Result<()> {
    // SAFETY: marks descriptors only; none is closed under anybody's feet.
    checked(unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) })
        .map(drop)
}

/// Lets a descriptor survive the next exec, or not.
pub(super) fn inherit(fd: RawFd, yes: bool) -> io::Result<()> {
    let flags = if yes { 0 } else { libc::FD_CLOEXEC };
    // SAFETY: sets a flag; async-signal-safe.
    checked(unsafe { libc::fcntl(fd, libc::F_SETFD, flags) } as libc::c_long).map(drop)
}

/// Takes over a descriptor that this process was started with.
pub(super) fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    inherit(fd, false)?;
    // SAFETY: the launcher was told that this descriptor is its own, `fcntl` found it open, and it is adopted once.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Blocks SIGCHLD and returns a descriptor that becomes readable when one comes.
pub(super) fn child_signals() -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by sigemptyset before use; the new descriptor is owned by nobody else.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        checked(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) as libc::c_long)?;
        let fd = checked(
            libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) as libc::c_long
        )?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// Gives the program about to be executed the default signals and an empty mask.
pub(super) fn default_signals() {
    // SAFETY: resets dispositions and the mask of a single-threaded process; the set is initialised before use.
    unsafe {
        for signal in 1..=64 {
            if signal != libc::SIGKILL && signal != libc::SIGSTOP {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// A child that has ended: its id, its raw wait status. `Ok(None)`: none has (or, with `wait` set, none is left).
pub(super) fn reap(wait: bool) -> io::Result<Option<(i32, i32)>> {
    let mut status = 0;
    // SAFETY: writes one integer that outlives the call.
    match unsafe { libc::waitpid(-1, &raw mut status, if wait { 0 } else { libc::WNOHANG }) } {
        0 => Ok(None),
        pid if pid > 0 => Ok(Some((pid, status))),
        _ => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ECHILD) => Ok(None),
            error => Err(error),
        },
    }
}

/// CPU time of all children waited for, in microseconds.
pub(super) fn children_cpu() -> u64 {
    cpu(libc::RUSAGE_CHILDREN).as_micros() as u64
}

/// CPU time of this process so far. Unlike the time on the clock it says what something cost, however busy the machine is.
pub(super) fn own_cpu() -> Duration {
    cpu(libc::RUSAGE_SELF)
}

fn cpu(whose: libc::c_int) -> Duration {
    // SAFETY: fills a plain structure that outlives the call.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(whose, &raw mut usage);
        usage
    };
    let micros = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    Duration::from_micros(micros(usage.ru_utime) + micros(usage.ru_stime))
}

/// Brings the loopback interface of this network namespace up.
pub(super) fn loopback_up(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: a plain structure, zeroed, whose name field holds "lo" with room to spare.
    unsafe {
        let mut request = std::mem::zeroed::<libc::ifreq>();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        checked(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) as libc::c_long)
            .map(drop)
    }
}

/// Drops every capability from the bounding and ambient sets and stops uid 0 from getting any back.
pub(super) fn forbid_capabilities() -> io::Result<()> {
    // SAFETY: prctl with integer arguments only.
    unsafe {
        for capability in 0..64 {
            if libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 {
                match io::Error::last_os_error() {
                    // Past the last capability that this kernel knows.
                    error if error.raw_os_error() == Some(libc::EINVAL) => break,
                    error => return Err(error),
                }
            }
        }
        checked(libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) as libc::c_long)?;
        // NOROOT and NO_SETUID_FIXUP and NO_CAP_AMBIENT_RAISE, each with its lock.
        const BITS: libc::c_ulong = 0b1100_1111;
        checked(libc::prctl(libc::PR_SET_SECUREBITS, BITS, 0, 0, 0) as libc::c_long).map(drop)
    }
}

/// Gives up every capability held.
pub(super) fn drop_capabilities() -> io::Result<()> {
    rustix::thread::set_capabilities(
        None,
        rustix::thread::CapabilitySets {
            effective: rustix::thread::CapabilitySet::empty(),
            permitted: rustix::thread::CapabilitySet::empty(),
            inheritable: rustix::thread::CapabilitySet::empty(),
        },
    )?;
    Ok(())
}

/// Becomes another user and group, with no others.
pub(super) fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: plain system calls of a single-threaded process.
    unsafe {
        checked(libc::setresgid(gid, gid, gid) as libc::c_long)?;
        checked(libc::setresuid(uid, uid, uid) as libc::c_long).map(drop)
    }
}

/// Gives up supplementary groups, where the namespace lets us.
pub(super) fn drop_groups() {
    // SAFETY: an empty list needs no memory.
    unsafe { libc::setgroups(0, std::ptr::null()) };
}

/// Keeps others from tracing this process or reading its memory.
pub(super) fn undumpable() {
    // SAFETY: prctl with integer arguments only.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
}

/// Adopts the orphans among its descendants.
pub(super) fn adopt_orphans() -> io::Result<()> {
    // SAFETY: prctl with integer arguments only.
    checked(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } as libc::c_long).map(drop)
}

/// Becomes `program`. Returns only if that fails.
pub(super) fn execute(program: &Path, argv: &[CString], env: &[CString]) -> io::Error {
    let Ok(program) = CString::new(program.as_os_str().as_bytes()) else {
        return io::Error::from_raw_os_error(libc::ENOENT);
    };
    let pointers = |strings: &[CString]| {
        strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>()
    };
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: both arrays end in a null pointer and their strings outlive the call.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Gives the sandbox's machine a name of its own; that it keeps the host's where this fails does no harm.
pub(super) fn name_host() {
    let name = b"regreen";
    // SAFETY: the bytes are as many as told.
    unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) };
}
