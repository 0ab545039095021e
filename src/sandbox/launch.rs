//! The launcher: the side of the sandbox that runs in a process of its own, single-threaded, before anything else of the
//! program does.
//!
//! Three processes: the *launcher* stays outside the process namespace and kills it when its control socket closes; the
//! namespace's *first process* builds the rest of the view, reaps, and ends when the command does; the *command* is confined
//! for good and executed. When the first process ends the kernel kills everything else in the namespace.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::spec::{Hold, Spec, Stage, Walls, Word};
use super::watch::{LOOK, Watch, Whose};
use super::{confine, mounts, proxy, sys};

/// The first argument that makes this program the launcher.
pub(super) const ARGUMENT: &str = "__launch";

/// The exit status of a command whose program was not found, as shells have it.
const NOT_FOUND: i32 = 127;
/// The exit status of a command that could not be executed, as shells have it.
const NOT_EXECUTABLE: i32 = 126;

/// A step of the launch that failed.
pub(super) struct Failure {
    pub stage: Stage,
    pub message: String,
}

/// Names the step that an error belongs to.
pub(super) trait During<T> {
    fn during(self, stage: Stage, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: std::fmt::Display> During<T> for Result<T, E> {
    fn during(self, stage: Stage, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure { stage, message: format!("{}: {error}", what()) })
    }
}

/// Becomes the launcher if this process was started as one, and then never returns. The program's `main` calls this before
/// anything else: namespaces can only be entered while there is one thread.
pub fn launch_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(ARGUMENT)) {
        return;
    }
    let mut number = || arguments.next()?.to_str()?.parse::<RawFd>().ok().filter(|fd| *fd > 2);
    let (Some(spec), Some(control), Some(gate)) = (number(), number(), number()) else { sys::exit_now(2) };
    let (Ok(spec), Ok(control), Ok(gate)) = (sys::adopt(spec), sys::adopt(control), sys::adopt(gate)) else {
        sys::exit_now(2)
    };
    let mut control = Control(UnixStream::from(control));
    if let Err(failure) = launch(spec, UnixStream::from(gate), &mut control) {
        control.say(&Word::Failed { stage: failure.stage, message: failure.message });
        sys::exit_now(1);
    }
    sys::exit_now(0)
}

/// The launcher's end of the socket to the supervisor.
pub(super) struct Control(UnixStream);

impl Control {
    fn say(&mut self, word: &Word) {
        if let Ok(mut line) = serde_json::to_vec(word) {
            line.push(b'\n');
            // Nobody listens: the supervisor is dead, and the poll loop notices.
            let _ = self.0.write_all(&line);
        }
    }
}

fn launch(spec: OwnedFd, gate: UnixStream, control: &mut Control) -> Result<(), Failure> {
    let mut text = String::new();
    File::from(spec).read_to_string(&mut text).during(Stage::Specification, || "reading it".into())?;
    let spec: Spec = serde_json::from_str(&text).during(Stage::Specification, || "reading it".into())?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    for procs in &spec.cgroups {
        std::fs::write(procs, "0").during(Stage::Cgroup, || format!("joining {}", procs.display()))?;
    }
    let signals = sys::child_signals().during(Stage::Specification, || "listening for signals".into())?;
    let watch = |whose: Whose| {
        Watch::open(&spec.watched, whose).during(Stage::Limits, || "looking at what is written to".into())
    };
    match &spec.hold {
        Hold::Walls(walls) => {
            let mut watch = watch(Whose::All)?;
            enter_namespaces(walls)?;
            open_gate(walls, gate)?;
            watch.inside(mounts::build(walls)?, walls.own_network);
            // Not before: the files that describe the namespace belong to root while one is undumpable.
            sys::undumpable();
            confined(&spec, walls, watch, &signals, control)
        }
        Hold::Fence(_) | Hold::Nothing => {
            drop(gate);
            without_namespaces(&spec, watch(Whose::Ours)?, &signals, control)
        }
    }
}

/// Runs the command behind `walls` and waits until everything in its process namespace is dead.
fn confined(
    spec: &Spec,
    walls: &Walls,
    mut watch: Watch,
    signals: &OwnedFd,
    control: &mut Control,
) -> Result<(), Failure> {
    // The first process holds the reading end: it ends when the launcher is gone, however that came.
    let (leash, held) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .during(Stage::Namespaces, || "making a pipe".into())?;
    let Some(first) = sys::fork().during(Stage::Namespaces, || "starting the first process".into())? else {
        drop((held, watch));
        let code = match first_process(spec, walls, signals, &leash, control) {
            Ok(()) => 0,
            Err(failure) => {
                control.say(&Word::Failed { stage: failure.stage, message: failure.message });
                1
            }
        };
        sys::exit_now(code);
    };
    drop(leash);
    release_streams();
    loop {
        let hung_up = hung_up(&[signals.as_fd()], control.0.as_fd(), Some(LOOK));
        if hung_up || is_over(&mut watch, control) {
            let _ = kill_process(first, Signal::KILL);
            // Returns once the whole namespace is dead.
            let _ = rustix::process::waitpid(Some(first), rustix::process::WaitOptions::empty());
            break;
        }
        drain(signals);
        if matches!(sys::reap(false), Ok(Some((pid, _))) if pid == first.as_raw_pid()) {
            break;
        }
    }
    drop(held);
    control.say(&Word::Spent(sys::children_cpu()));
    Ok(())
}

/// Runs the command without walls; its descendants are adopted and killed one by one at the end.
fn without_namespaces(
    spec: &Spec,
    mut watch: Watch,
    signals: &OwnedFd,
    control: &mut Control,
) -> Result<(), Failure> {
    sys::adopt_orphans().during(Stage::Namespaces, || "adopting orphans".into())?;
    sys::undumpable();
    let (ready, told) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .during(Stage::Namespaces, || "making a pipe".into())?;
    let Some(command) = sys::fork().during(Stage::Namespaces, || "starting the command".into())? else {
        drop((ready, watch));
        let fenced = || match &spec.hold {
            Hold::Fence(fence) => confine::fenced(fence, &spec.watched),
            Hold::Walls(_) | Hold::Nothing => Ok(()),
        };
        if let Err(failure) = confine::limits(spec).and_then(|()| fenced()) {
            complain_to(&told, failure);
        }
        drop(told);
        become_command(spec);
    };
    drop(told);
    release_streams();
    started(ready, control)?;
    let mut ended = None;
    while ended.is_none()
        && !hung_up(&[signals.as_fd()], control.0.as_fd(), Some(LOOK))
        && !is_over(&mut watch, control)
    {
        drain(signals);
        while let Ok(Some((pid, status))) = sys::reap(false) {
            if pid == command.as_raw_pid() {
                ended = Some(status);
            }
        }
    }
    loop {
        // A process may fork while it is looked for: until none is left.
        for pid in descendants(std::process::id() as i32) {
            if let Some(pid) = Pid::from_raw(pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        match sys::reap(true) {
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    if let Some(status) = ended {
        control.say(&word_of(status));
    }
    control.say(&Word::Spent(sys::children_cpu()));
    Ok(())
}

fn enter_namespaces(walls: &Walls) -> Result<(), Failure> {
    enter_user_namespace()?;
    let mut flags = UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWCGROUP;
    if walls.own_network {
        flags |= UnshareFlags::NEWNET;
    }
    // SAFETY: one thread, and no flag that unshares the table of descriptors.
    unsafe { unshare_unsafe(flags) }.during(Stage::Namespaces, || "leaving the host's namespaces".into())?;
    sys::name_host();
    if walls.own_network {
        let socket =
            rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
                .during(Stage::Loopback, || "opening a socket".into())?;
        sys::loopback_up(socket.as_fd()).during(Stage::Loopback, || "bringing it up".into())?;
    }
    Ok(())
}

/// Opens a listener on the new namespace's loopback and hands it to the supervisor, which decides what goes out.
fn open_gate(walls: &Walls, gate: UnixStream) -> Result<(), Failure> {
    let Some(port) = walls.gate else { return Ok(()) };
    let stage = Stage::Loopback;
    let listener =
        std::net::TcpListener::bind(("127.0.0.1", port)).during(stage, || "listening on it".into())?;
    proxy::hand_over(listener.as_fd(), &gate).during(stage, || "handing over the listener".into())
}

/// Enters a user namespace in which ids mean what they mean outside: all of them for root, its own for an ordinary user.
fn enter_user_namespace() -> Result<(), Failure> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let stage = Stage::UserNamespace;
    let (wait, go) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).during(stage, || "making a pipe".into())?;
    // Only a process that stays outside may map more ids than its own.
    let helper = if uid == 0 { sys::fork().during(stage, || "starting the id mapper".into())? } else { None };
    if uid == 0 && helper.is_none() {
        drop(go);
        let _ = rustix::io::read(&wait, &mut [0u8; 1]);
        let parent = rustix::process::getppid().map_or(0, Pid::as_raw_pid);
        sys::exit_now(if map_all(parent).is_ok() { 0 } else { 1 });
    }
    // SAFETY: one thread, and no flag that unshares the table of descriptors.
    let entered = unsafe { unshare_unsafe(UnshareFlags::NEWUSER) };
    drop(go);
    let mapped = helper.is_some_and(|pid| {
        let ended = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
        matches!(ended, Ok(Some((_, status))) if status.exit_status() == Some(0))
    });
    entered.during(stage, || "entering it".into())?;
    // What watches files is the user's, not the namespace's: half of it is left to others. Where the kernel does not let us, so be it.
    for (name, host) in [("instances", "max_user_instances"), ("watches", "max_user_watches")] {
        let most = std::fs::read_to_string(Path::new("/proc/sys/fs/inotify").join(host)).unwrap_or_default();
        if let Ok(most) = most.trim().parse::<u64>() {
            let own = format!("/proc/sys/user/max_inotify_{name}");
            let _ = std::fs::write(own, (most / 2).to_string());
        }
    }
    if mapped {
        sys::drop_groups();
        return Ok(());
    }
    let write = |name: &str, text: String| {
        std::fs::write(Path::new("/proc/self").join(name), text).during(stage, || format!("writing {name}"))
    };
    write("setgroups", "deny".into())?;
    write("uid_map", format!("{uid} {uid} 1"))?;
    write("gid_map", format!("{gid} {gid} 1"))
}

fn map_all(pid: i32) -> io::Result<()> {
    for name in ["uid_map", "gid_map"] {
        let ours = std::fs::read_to_string(Path::new("/proc/self").join(name))?;
        let lines = ours.lines().filter_map(|line| {
            let mut numbers = line.split_whitespace();
            let (inside, count) = (numbers.next()?, numbers.nth(1)?);
            Some(format!("{inside} {inside} {count}\n"))
        });
        std::fs::write(format!("/proc/{pid}/{name}"), lines.collect::<String>())?;
    }
    Ok(())
}

/// The first process of the namespace: finishes the view, starts the command, reaps until it ends.
fn first_process(
    spec: &Spec,
    walls: &Walls,
    signals: &OwnedFd,
    leash: &OwnedFd,
    control: &mut Control,
) -> Result<(), Failure> {
    sys::undumpable();
    mounts::finish()?;
    let _ = std::fs::write("/proc/self/oom_score_adj", "900");
    let (ready, told) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .during(Stage::Namespaces, || "making a pipe".into())?;
    let Some(command) = sys::fork().during(Stage::Namespaces, || "starting the command".into())? else {
        drop(ready);
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
        if let Err(failure) = confine::limits(spec).and_then(|()| confine::for_good(walls, &spec.watched)) {
            complain_to(&told, failure);
        }
        drop(told);
        become_command(spec);
    };
    drop(told);
    release_streams();
    confine::reaper(walls)?;
    started(ready, control)?;
    while !hung_up(&[signals.as_fd()], leash.as_fd(), None) {
        drain(signals);
        while let Ok(Some((pid, status))) = sys::reap(false) {
            if pid == command.as_raw_pid() {
                control.say(&word_of(status));
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Ends a command that could not be confined.
fn complain_to(told: &OwnedFd, failure: Failure) -> ! {
    let word = Word::Failed { stage: failure.stage, message: failure.message };
    let _ = rustix::io::write(told, &serde_json::to_vec(&word).unwrap_or_default());
    sys::exit_now(NOT_EXECUTABLE)
}

/// Waits until the command is executed, and says so; it writes to `ready` only if it could not be confined.
fn started(ready: OwnedFd, control: &mut Control) -> Result<(), Failure> {
    let mut complaint = Vec::new();
    let _ = File::from(ready).read_to_end(&mut complaint);
    match serde_json::from_slice::<Word>(&complaint) {
        Ok(Word::Failed { stage, message }) => Err(Failure { stage, message }),
        _ => {
            control.say(&Word::Started);
            Ok(())
        }
    }
}

/// Executes the command, or says on its standard error why not and ends as a shell would.
fn become_command(spec: &Spec) -> ! {
    let _ = rustix::process::setsid();
    sys::default_signals();
    let _ = sys::close_on_exec_from_3();
    let complain = |text: String, code: i32| -> ! {
        let _ = rustix::io::write(rustix::stdio::stderr(), format!("regreen: {text}\n").as_bytes());
        sys::exit_now(code)
    };
    if let Err(error) = std::env::set_current_dir(&spec.cwd) {
        complain(format!("cannot enter {}: {error}", spec.cwd.display()), NOT_EXECUTABLE);
    }
    let strings =
        |texts: Vec<String>| texts.into_iter().filter_map(|text| CString::new(text).ok()).collect::<Vec<_>>();
    let argv = strings(spec.argv.clone());
    let env = strings(spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect());
    let Some(name) = spec.argv.first().filter(|name| !name.is_empty()) else {
        complain("no program to run".into(), NOT_FOUND);
    };
    let candidates: Vec<PathBuf> = if name.contains('/') {
        vec![PathBuf::from(name)]
    } else {
        let path = spec.env.get("PATH").map_or("", String::as_str);
        path.split(':').filter(|dir| !dir.is_empty()).map(|dir| Path::new(dir).join(name)).collect()
    };
    let mut worst = io::Error::from_raw_os_error(libc::ENOENT);
    if name.contains('/') && Path::new(name).is_dir() {
        complain(format!("cannot execute {name:?}: it is a folder"), NOT_EXECUTABLE);
    }
    for candidate in candidates {
        let error = sys::execute(&candidate, &argv, &env);
        if !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) {
            worst = error;
        }
    }
    if worst.raw_os_error() == Some(libc::ENOENT) {
        complain(format!("no program called {name:?} in the sandbox"), NOT_FOUND);
    }
    complain(format!("cannot execute {name:?}: {worst}"), NOT_EXECUTABLE)
}

fn word_of(status: i32) -> Word {
    if libc::WIFSIGNALED(status) {
        Word::Signaled(libc::WTERMSIG(status))
    } else {
        Word::Exited(libc::WEXITSTATUS(status))
    }
}

/// Whether the command has passed a limit, which is told then.
fn is_over(watch: &mut Watch, control: &mut Control) -> bool {
    let over = watch.over();
    over.into_iter().for_each(|limit| control.say(&Word::Over(limit)));
    over.is_some()
}

/// Waits until one of `wake` is readable or it was long enough (false), or the other side of `life` is gone (true).
fn hung_up(wake: &[BorrowedFd<'_>], life: BorrowedFd<'_>, most: Option<Duration>) -> bool {
    let most =
        most.map(|most| Timespec { tv_sec: most.as_secs() as i64, tv_nsec: most.subsec_nanos().into() });
    let mut polled: Vec<PollFd<'_>> =
        wake.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    polled.push(PollFd::from_borrowed_fd(life, PollFlags::IN | PollFlags::RDHUP));
    loop {
        match poll(&mut polled, most.as_ref()) {
            Ok(_) => {
                // Nobody ever writes to `life`: anything readable there is its end.
                return polled.last().is_some_and(|fd| !fd.revents().is_empty());
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return true,
        }
    }
}

fn drain(signals: &OwnedFd) {
    let mut buffer = [0u8; 1024];
    while matches!(rustix::io::read(signals, &mut buffer), Ok(read) if read > 0) {}
}

/// Lets go of the command's streams, so that their other ends see the end when the command's side closes them.
fn release_streams() {
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stderr(&null);
    }
}

/// The processes below `root`, children before grandchildren.
pub(super) fn descendants(root: i32) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let mut parents: Vec<(i32, i32)> = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) = std::str::from_utf8(name.as_bytes()).ok().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read(entry.path().join("stat")) else { continue };
        // The name, in parentheses, may hold anything; what follows the last one is numbers.
        let Some(end) = stat.iter().rposition(|byte| *byte == b')') else { continue };
        let fields = String::from_utf8_lossy(&stat[end + 1..]).into_owned();
        if let Some(parent) = fields.split_whitespace().nth(1).and_then(|field| field.parse().ok()) {
            parents.push((pid, parent));
        }
    }
    let mut found = Vec::new();
    let mut next = vec![root];
    while let Some(parent) = next.pop() {
        for (pid, _) in parents.iter().filter(|(_, of)| *of == parent) {
            if !found.contains(pid) {
                found.push(*pid);
                next.push(*pid);
            }
        }
    }
    found
}
