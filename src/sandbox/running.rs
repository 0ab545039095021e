//! A job under way, seen from outside: its streams, its limits of time and memory, its end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as Socket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, ChildStdin};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::cgroup::Cgroup;
use super::proxy::{self, Gate};
use super::registries::Registries;
use super::spec::{Limit, Stage, Word};
use super::{Ended, Limits};
use crate::outcome::End;

/// How often is asked whether the kernel killed a process for memory.
const LOOK: Duration = Duration::from_millis(100);
/// The longest wall time that is told from none.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long a launch may take: it takes some tens of milliseconds.
const LAUNCH: Duration = Duration::from_secs(120);
/// How long a dropped job's death is waited for: the caller is about to remove the folders that it writes to.
const DEATH: Duration = Duration::from_secs(10);

/// A launch that failed before the command started: which step, and what went wrong.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox could not be set up ({stage:?}): {message}")]
pub(crate) struct LaunchFailed {
    pub(super) stage: Stage,
    pub(super) message: String,
}

impl LaunchFailed {
    /// Whether only the layers could not be mounted.
    pub(crate) fn is_overlay(&self) -> bool {
        self.stage == Stage::Overlay
    }
}

/// A job under way. Dropping it kills its whole process tree, and waits (some milliseconds) until it is dead.
#[derive(Debug)]
pub struct Running {
    input: Option<ChildStdin>,
    output: Option<Receiver>,
    errors: Option<Receiver>,
    leash: Leash,
    supervisor: Option<JoinHandle<Ended>>,
    ended: Option<Ended>,
}

impl Running {
    /// Reads some of the output (standard output and error together, unless they were asked for apart): the number of bytes, 0
    /// at the end. A job whose output nobody reads stops when the pipe is full.
    ///
    /// # Errors
    /// As of a pipe; [`io::ErrorKind::Other`] after [`take_output`](Self::take_output).
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.output {
            Some(pipe) => pipe.read(buffer).await,
            None => Err(io::Error::other("the output was taken")),
        }
    }

    /// The job's standard input; dropping it closes it.
    pub fn take_input(&mut self) -> Option<ChildStdin> {
        self.input.take()
    }

    /// The job's standard output, with its standard error unless they were asked for apart.
    pub fn take_output(&mut self) -> Option<Receiver> {
        self.output.take()
    }

    /// The job's standard error, where it was asked for apart.
    pub fn take_errors(&mut self) -> Option<Receiver> {
        self.errors.take()
    }

    /// Waits until the job has ended and everything it started is dead. May be called again.
    ///
    /// # Errors
    /// The supervisor is gone: the runtime is shutting down.
    pub async fn wait(&mut self) -> Result<Ended> {
        if let Some(supervisor) = &mut self.supervisor {
            let ended = supervisor.await.context("the job's supervisor is gone")?;
            self.supervisor = None;
            self.ended = Some(ended);
        }
        self.ended.clone().ok_or_else(|| anyhow!("the job's supervisor is gone"))
    }

    /// What holds the job's life.
    pub(crate) fn leash(&self) -> Leash {
        self.leash.clone()
    }

    /// Kills the whole process tree; the job ends as [`End::Cancelled`] unless it had ended.
    pub fn kill(&self) {
        self.leash.cut();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.supervisor.as_ref().is_some_and(|supervisor| !supervisor.is_finished()) {
            self.leash.cut();
            self.leash.wait_for_death();
        }
    }
}

/// The launcher lives as long as nobody cuts this.
#[derive(Debug, Clone)]
pub(crate) struct Leash(Arc<Held>);

#[derive(Debug)]
struct Held {
    control: Socket,
    launcher: OwnedFd,
    cut: AtomicBool,
}

impl Leash {
    /// Whether the job and everything it started is dead.
    pub(crate) fn is_dead(&self) -> bool {
        let mut polled = [PollFd::from_borrowed_fd(self.0.launcher.as_fd(), PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(poll(&mut polled, Some(&now)), Ok(1..))
    }

    /// Kills the job and waits until it is dead.
    pub(crate) fn kill_and_wait(&self) {
        self.cut();
        self.wait_for_death();
    }

    fn cut(&self) {
        self.0.cut.store(true, Ordering::SeqCst);
        self.release();
    }

    /// Tells the launcher to kill everything.
    fn release(&self) {
        let _ = self.0.control.shutdown(std::net::Shutdown::Write);
    }

    fn was_cut(&self) -> bool {
        self.0.cut.load(Ordering::SeqCst)
    }

    fn wait_for_death(&self) {
        let mut polled = [PollFd::from_borrowed_fd(self.0.launcher.as_fd(), PollFlags::IN)];
        let limit = Timespec { tv_sec: DEATH.as_secs() as i64, tv_nsec: 0 };
        let _ = poll(&mut polled, Some(&limit));
    }
}

/// What the supervisor's side of a job was started with.
pub(super) struct Launched {
    pub child: Child,
    pub control: Socket,
    pub output: OwnedFd,
    pub errors: Option<OwnedFd>,
    pub cgroup: Cgroup,
    pub limits: Limits,
    pub started: Instant,
    /// Where the launcher sends the listener of the job's loopback, and what may be reached through it.
    pub registries: Option<(Socket, Arc<Registries>)>,
    /// A folder that lasts as long as the job.
    pub own: Option<tempfile::TempDir>,
}

impl Launched {
    /// Waits until the command is executed, then leaves the job to a supervisor.
    pub(super) async fn run(mut self) -> Result<Running> {
        let launcher = self.child.id().and_then(|id| rustix::process::Pid::from_raw(id as i32));
        let launcher = launcher.ok_or_else(|| anyhow!("the launcher is gone"))?;
        let launcher = rustix::process::pidfd_open(launcher, rustix::process::PidfdFlags::empty())
            .context("watching the launcher")?;
        self.control.set_nonblocking(true)?;
        let mut words = BufReader::new(UnixStream::from_std(self.control.try_clone()?)?);
        let leash = Leash(Arc::new(Held { control: self.control, launcher, cut: AtomicBool::new(false) }));
        let first = tokio::time::timeout(LAUNCH, next_word(&mut words)).await;
        match first.context("the sandbox's launcher hangs")? {
            Some(Word::Started) => {}
            Some(Word::Failed { stage, message }) => return Err(LaunchFailed { stage, message }.into()),
            _ => return Err(anyhow!("the sandbox's launcher ended without a word")),
        }
        let receiver = |fd: OwnedFd| {
            rustix::io::ioctl_fionbio(&fd, true)?;
            Receiver::from_owned_fd(fd)
        };
        let gate = match self.registries {
            Some((from, registries)) => Some(proxy::open(&from, registries)?),
            None => None,
        };
        let input = self.child.stdin.take();
        let output = Some(receiver(self.output)?);
        let errors = self.errors.map(receiver).transpose()?;
        let supervision = Supervision {
            child: self.child,
            words,
            leash: leash.clone(),
            cgroup: self.cgroup,
            limits: self.limits,
            started: self.started,
            gate,
            _own: self.own,
        };
        let supervisor = Some(tokio::spawn(supervision.run()));
        Ok(Running { input, output, errors, leash, supervisor, ended: None })
    }
}

async fn next_word(words: &mut BufReader<UnixStream>) -> Option<Word> {
    let mut line = String::new();
    match words.read_line(&mut line).await {
        Ok(0) | Err(_) => None,
        Ok(_) => serde_json::from_str(&line).ok(),
    }
}

struct Supervision {
    child: Child,
    words: BufReader<UnixStream>,
    leash: Leash,
    cgroup: Cgroup,
    limits: Limits,
    started: Instant,
    /// The job's way to package registries, closed with it.
    gate: Option<Gate>,
    /// Its own folder, removed with it.
    _own: Option<tempfile::TempDir>,
}

impl Supervision {
    async fn run(mut self) -> Ended {
        let mut reason = None;
        let (mut end, mut cpu) = (None, Duration::ZERO);
        let wall = tokio::time::sleep_until((self.started + self.limits.wall.min(LONGEST)).into());
        tokio::pin!(wall);
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                word = next_word(&mut self.words) => match word {
                    Some(Word::Exited(status)) => end = Some(End::Exited(status)),
                    Some(Word::Signaled(signal)) => end = Some(End::Signaled(signal)),
                    Some(Word::Over(limit)) => {
                        reason = reason.or(Some(match limit {
                            Limit::Memory => End::OutOfMemory,
                            Limit::Disk => End::OutOfDisk,
                        }));
                    }
                    Some(Word::Spent(micros)) => cpu = Duration::from_micros(micros),
                    Some(_) => {}
                    None => break,
                },
                () = &mut wall, if reason.is_none() => {
                    reason = Some(End::TimedOut);
                    self.leash.release();
                }
                _ = look.tick(), if reason.is_none() => {
                    if self.cgroup.out_of_memory() {
                        reason = Some(End::OutOfMemory);
                        self.leash.release();
                    }
                }
            }
        }
        let _ = self.child.wait().await;
        let end = match (end, reason) {
            // Also where the command itself ended well: what succeeds although parts of it were killed proves nothing.
            _ if self.cgroup.out_of_memory() => End::OutOfMemory,
            // It ended by itself just before it would have been killed.
            (Some(End::Exited(0)), Some(End::TimedOut)) => End::Exited(0),
            (_, Some(reason)) => reason,
            (Some(end), None) => end,
            (None, None) if self.leash.was_cut() => End::Cancelled,
            (None, None) => End::Signaled(libc::SIGKILL),
        };
        let connections = match self.gate {
            Some(gate) => gate.close().await,
            None => Vec::new(),
        };
        Ended { end, duration: self.started.elapsed(), cpu, connections }
    }
}
