//! Runs a program under a supervisor that sees each call by which it changes files, may answer it with an error, kill or signal the program
//! there, and knows what a power cut at that moment would have left on disk. By seccomp's user notification: the program needs no change.

use std::collections::{HashMap, HashSet};
use std::io::{IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::{Pid, Signal, kill_process};

/// When a fault happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// At the program's call of this number, counted from 1, by which it changes files.
    Call(usize),
    /// When it is about to tell of its event of this number, counted from 1, on standard output.
    Event(usize),
}

/// What happens then.
#[derive(Debug, Clone)]
pub enum Fault {
    /// `kill -9` of the program alone.
    Kill,
    /// Everything stops, and what was not synced is not on disk.
    PowerCut,
    /// This call and the next ones, so many in all, fail.
    Errno { code: i32, calls: usize },
    /// A signal.
    Signal(Signal),
    /// Whoever reads the program's output goes away.
    HangUp,
    /// Somebody writes a file.
    Edit { path: PathBuf, text: String },
    /// Somebody does something else; the program is held until that is done.
    Meanwhile(Meanwhile),
}

/// What somebody does.
#[derive(Clone)]
pub struct Meanwhile(pub std::rc::Rc<dyn Fn()>);

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meanwhile")
    }
}

/// How a supervised program ended.
#[derive(Debug)]
pub struct Ended {
    pub pid: u32,
    /// Its exit code, if it was not killed.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// How many calls were seen of the program itself.
    pub calls: usize,
    /// How many events it told of.
    pub events: usize,
    /// The faults that happened, by their place in the list, and what the program was doing then.
    pub met: Vec<(usize, String)>,
}

/// How long processes may take to be gone after the program: the kernel takes namespaces down on its own time.
const GONE_WITHIN: Duration = Duration::from_secs(120);

#[cfg(target_arch = "x86_64")]
const OLD_CALLS: &[libc::c_long] = &[
    libc::SYS_rename,
    libc::SYS_mkdir,
    libc::SYS_unlink,
    libc::SYS_rmdir,
    libc::SYS_link,
    libc::SYS_symlink,
];
#[cfg(not(target_arch = "x86_64"))]
const OLD_CALLS: &[libc::c_long] = &[];
const WRITES: &[libc::c_long] = &[libc::SYS_write, libc::SYS_pwrite64, libc::SYS_writev, libc::SYS_ftruncate];
/// git writes objects in batches: each is written out, and one `fsync` of another file makes the disk and its journal take them all.
const SYNCS: &[libc::c_long] = &[libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_sync_file_range];
const NAMES: &[libc::c_long] = &[
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
];

/// What the calls are called, where that tells more than that a name changes.
const NAMED: &[(libc::c_long, &str)] = &[
    (libc::SYS_write, "write"),
    (libc::SYS_pwrite64, "write"),
    (libc::SYS_writev, "write"),
    (libc::SYS_ftruncate, "truncate"),
    (libc::SYS_fsync, "sync"),
    (libc::SYS_fdatasync, "sync"),
    (libc::SYS_sync_file_range, "write out"),
    (libc::SYS_renameat, "rename"),
    (libc::SYS_renameat2, "rename"),
    (libc::SYS_mkdirat, "make a folder"),
    (libc::SYS_unlinkat, "remove"),
    (libc::SYS_linkat, "link"),
    (libc::SYS_symlinkat, "link"),
];

const ALLOW: u32 = 0x7fff_0000;
const USER_NOTIFICATION: u32 = 0x7fc0_0000;

/// A filter that asks the supervisor about each of the calls above and lets the rest pass.
fn filter() -> Vec<libc::sock_filter> {
    let statement = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let calls: Vec<_> = [OLD_CALLS, WRITES, SYNCS, NAMES].concat();
    // The first word of the data is the call's number.
    let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0)];
    for (at, call) in calls.iter().enumerate() {
        let to_the_end = u8::try_from(calls.len() - at).expect("a short filter");
        program.push(statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, to_the_end, 0, *call as u32));
    }
    program.push(statement(libc::BPF_RET | libc::BPF_K, 0, 0, ALLOW));
    program.push(statement(libc::BPF_RET | libc::BPF_K, 0, 0, USER_NOTIFICATION));
    program
}

/// In the child: installs the filter and sends its listener to the parent.
fn install(program: &[libc::sock_filter], to: BorrowedFd<'_>) -> std::io::Result<()> {
    let fprog = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    // SAFETY: the program outlives the call, and the kernel copies it.
    let filter = || unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const fprog,
        )
    };
    let mut listener = filter();
    if listener < 0 {
        // Who may not do this otherwise may if nobody gets new rights.
        rustix::thread::set_no_new_privs(true)?;
        listener = filter();
    }
    if listener < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    let listener = unsafe { BorrowedFd::borrow_raw(listener as i32) };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [listener];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(to, &[IoSlice::new(b"x")], &mut control, SendFlags::empty())?;
    Ok(())
}

fn receive(from: BorrowedFd<'_>) -> OwnedFd {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(from, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)
        .expect("a message");
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut fds) = message {
            return fds.next().expect("a descriptor");
        }
    }
    panic!("no descriptor came");
}

/// A file's identity.
type Inode = (u64, u64);

/// Runs `command`; `faults` happen when they say, counted over what the program itself does. `disk` are the folders of which a power cut
/// takes what was not synced.
pub fn run(mut command: Command, faults: &[(Moment, Fault)], disk: &[&Path]) -> Ended {
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).expect("a pair");
    let program = filter();
    // A socket, because its reading end can be closed while it is read.
    let (told, stdout) = UnixStream::pair().expect("a pair");
    command.stdin(Stdio::null()).stdout(OwnedFd::from(stdout)).stderr(Stdio::piped());
    // SAFETY: only system calls between fork and exec; nothing is allocated.
    unsafe { command.pre_exec(move || install(&program, theirs.as_fd())) };
    let mut child = command.spawn().expect("the program starts");
    drop(command);
    let listener = receive(ours.as_fd());
    let read = |mut from: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).expect("its output");
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let stdout = read(Box::new(told.try_clone().expect("the socket")));
    let stderr = read(Box::new(child.stderr.take().expect("a pipe")));
    let mut watch = Watch::begin(&child, told, faults, disk);
    let cut = watch.until_all_are_gone(&mut child, &listener);
    let code = child.wait().expect("it ends").code();
    if cut {
        watch.lose_what_was_not_synced(disk);
    }
    Ended {
        pid: child.id(),
        code,
        stdout: stdout.join().expect("its output"),
        stderr: stderr.join().expect("its output"),
        calls: watch.calls,
        events: watch.events,
        met: watch.met,
    }
}

struct Watch<'a> {
    main: Pid,
    /// Where the program's output is read.
    told: UnixStream,
    faults: &'a [(Moment, Fault)],
    disk: Vec<PathBuf>,
    calls: usize,
    events: usize,
    met: Vec<(usize, String)>,
    /// Calls that still fail, and how.
    failing: (usize, i32),
    /// Every thread group that was seen.
    groups: HashMap<u32, u32>,
    /// What is on disk for certain.
    synced: HashMap<Inode, Vec<u8>>,
    power_is_off: bool,
}

impl<'a> Watch<'a> {
    fn begin(child: &Child, told: UnixStream, faults: &'a [(Moment, Fault)], disk: &[&Path]) -> Self {
        let mut synced = HashMap::new();
        if faults.iter().any(|(_, fault)| matches!(fault, Fault::PowerCut)) {
            for path in disk.iter().flat_map(|folder| files(folder)) {
                let meta = path.metadata().expect("its metadata");
                synced.insert((meta.dev(), meta.ino()), std::fs::read(&path).expect("its bytes"));
            }
        }
        Self {
            main: Pid::from_child(child),
            told,
            faults,
            disk: disk.iter().map(|folder| folder.to_path_buf()).collect(),
            calls: 0,
            events: 0,
            met: Vec::new(),
            failing: (0, 0),
            groups: HashMap::new(),
            synced,
            power_is_off: false,
        }
    }

    /// Answers calls until no process is left that could make one; whether the power was cut.
    fn until_all_are_gone(&mut self, child: &mut Child, listener: &OwnedFd) -> bool {
        let mut ended = None;
        loop {
            let mut fds = [PollFd::new(listener, PollFlags::IN)];
            let pause = rustix::time::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            let ready = poll(&mut fds, Some(&pause)).expect("poll");
            let seen = fds[0].revents();
            if seen.contains(PollFlags::IN) {
                self.answer(listener);
            } else if seen.contains(PollFlags::HUP) {
                return self.power_is_off;
            }
            if ready == 0 && ended.is_none() && child.try_wait().expect("its state").is_some() {
                ended = Some(Instant::now());
            }
            if ended.is_some_and(|since| since.elapsed() > GONE_WITHIN) {
                let left: Vec<_> = self.groups.values().collect::<HashSet<_>>().into_iter().collect();
                panic!("processes outlived the program, of these groups: {left:?}");
            }
        }
    }

    fn answer(&mut self, listener: &OwnedFd) {
        const RECEIVE: libc::c_ulong = 0xc050_2100;
        const SEND: libc::c_ulong = 0xc018_2101;
        // SAFETY: all-zero is what the kernel asks for.
        let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the struct is the one that the request fills.
        if unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE, &raw mut call) } < 0 {
            return; // the caller is dead already
        }
        let error = match self.power_is_off {
            true => Some(libc::EIO),
            false => self.decide(call.pid, libc::c_long::from(call.data.nr), call.data.args[0] as i32),
        };
        const CONTINUE: u32 = 1;
        let answer = libc::seccomp_notif_resp {
            id: call.id,
            val: 0,
            error: error.map_or(0, |code| -code),
            flags: if error.is_some() { 0 } else { CONTINUE },
        };
        // SAFETY: the struct is the one that the request reads. It fails where the caller is dead, which is as well.
        unsafe { libc::ioctl(listener.as_raw_fd(), SEND, &raw const answer) };
    }

    /// What becomes of a call: nothing special, or an error.
    fn decide(&mut self, thread: u32, call: libc::c_long, fd: i32) -> Option<i32> {
        let group = *self.groups.entry(thread).or_insert_with(|| group_of(thread).unwrap_or(thread));
        let own = group == self.main.as_raw_nonzero().get() as u32;
        let target = || std::fs::read_link(format!("/proc/{thread}/fd/{fd}")).unwrap_or_default();
        let name = NAMED.iter().find(|(number, _)| *number == call).map_or("a name", |(_, name)| name);
        let mut doing = name.to_owned();
        let moment = if WRITES.contains(&call) || SYNCS.contains(&call) {
            let target = target();
            let on_disk = self.disk.iter().any(|folder| target.starts_with(folder));
            doing = format!("{name} {}", target.display());
            match (own, on_disk, fd) {
                (true, false, 1) => {
                    self.events += 1;
                    Some(Moment::Event(self.events))
                }
                (_, false, _) => return None,
                (true, true, _) => Some(self.call()),
                (false, true, _) => None,
            }
        } else {
            own.then(|| self.call())
        };
        let mut error = None;
        if let Some(Moment::Call(_)) = moment
            && self.failing.0 > 0
        {
            self.failing.0 -= 1;
            error = Some(self.failing.1);
        }
        for (number, (_, fault)) in self.faults.iter().enumerate().filter(|(_, (at, _))| Some(*at) == moment)
        {
            let moment = moment.map(|moment| format!("{moment:?}")).unwrap_or_default();
            self.met.push((number, format!("{moment}: {doing}")));
            match fault {
                Fault::Kill => _ = kill_process(self.main, Signal::KILL),
                Fault::Signal(signal) => _ = kill_process(self.main, *signal),
                Fault::PowerCut => {
                    self.power_is_off = true;
                    let all: HashSet<u32> = self.groups.values().copied().collect();
                    for pid in all.into_iter().filter_map(|pid| Pid::from_raw(pid as i32)) {
                        _ = kill_process(pid, Signal::KILL);
                    }
                    return Some(libc::EIO);
                }
                Fault::Errno { code, calls } => {
                    error = Some(*code);
                    self.failing = (calls - 1, *code);
                }
                Fault::HangUp => self.told.shutdown(std::net::Shutdown::Both).expect("the socket closes"),
                Fault::Edit { path, text } => std::fs::write(path, text).expect("an edit"),
                Fault::Meanwhile(Meanwhile(what)) => what(),
            }
        }
        if error.is_none() && SYNCS.contains(&call) && !self.synced.is_empty() {
            self.note_synced(&PathBuf::from(format!("/proc/{thread}/fd/{fd}")));
        }
        error
    }

    /// One more call of the program's own.
    fn call(&mut self) -> Moment {
        self.calls += 1;
        Moment::Call(self.calls)
    }

    fn note_synced(&mut self, path: &Path) {
        if let Ok(meta) = path.metadata()
            && meta.is_file()
            && let Ok(bytes) = std::fs::read(path)
        {
            self.synced.insert((meta.dev(), meta.ino()), bytes);
        }
    }

    /// Files have their last synced contents, and none if they were never synced. Names are kept: most file systems write those first.
    fn lose_what_was_not_synced(&self, disk: &[&Path]) {
        for path in disk.iter().flat_map(|folder| files(folder)) {
            let meta = path.metadata().expect("its metadata");
            let kept = self.synced.get(&(meta.dev(), meta.ino())).map_or(&[][..], Vec::as_slice);
            if std::fs::read(&path).expect("its bytes") != kept {
                let mut open = meta.permissions();
                std::os::unix::fs::PermissionsExt::set_mode(&mut open, meta.mode() | 0o600);
                std::fs::set_permissions(&path, open).expect("access");
                std::fs::write(&path, kept).expect("what is left");
                std::fs::set_permissions(&path, meta.permissions()).expect("its mode");
            }
            // Memory shared between the database's processes.
            if path.extension().is_some_and(|kind| kind == "db-shm") {
                std::fs::remove_file(&path).expect("it goes");
            }
        }
    }
}

fn group_of(thread: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok())
}

/// The regular files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => all.push(entry.path()),
                _ => {}
            }
        }
    }
    all
}
