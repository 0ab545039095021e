//! A program that is looked after while it runs: what it prints goes where this process prints, unchanged, and its end is kept.

use std::collections::VecDeque;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout};

use super::AFTER_END;

/// Bytes that are kept of what it printed, the last ones.
const TAIL: usize = 256 << 10;

/// How a program ended that was looked after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether somebody asked for its end: a signal that ends programs was passed on to it.
    pub asked: bool,
    /// The last bytes of what it printed, standard output and standard error as they came.
    pub tail: Vec<u8>,
    /// How long it ran.
    pub ran: std::time::Duration,
}

impl Ended {
    /// The exit code by which whoever started this process learns of it, as a shell tells it.
    pub fn exit(&self) -> u8 {
        let code = self.code.or(self.signal.map(|signal| 128 + signal)).unwrap_or(1);
        u8::try_from(code & 0xff).unwrap_or(1)
    }

    /// The signal's name, where one ended it.
    pub fn signal_name(&self) -> Option<String> {
        let number = self.signal?;
        let named = [
            (libc::SIGSEGV, "SIGSEGV"),
            (libc::SIGABRT, "SIGABRT"),
            (libc::SIGBUS, "SIGBUS"),
            (libc::SIGFPE, "SIGFPE"),
            (libc::SIGILL, "SIGILL"),
            (libc::SIGKILL, "SIGKILL"),
            (libc::SIGTERM, "SIGTERM"),
            (libc::SIGINT, "SIGINT"),
        ];
        let name = named.iter().find(|(signal, _)| *signal == number).map(|(_, name)| (*name).to_owned());
        Some(name.unwrap_or_else(|| format!("signal {number}")))
    }
}

/// Runs a program in this process's folder and with its environment and standard input, and passes signals on to it. It runs as the user who
/// asked for it and is not confined: it is theirs.
///
/// # Errors
/// Where it cannot be started, or waiting for it fails.
pub async fn pass_through(argv: &[String]) -> io::Result<Ended> {
    let (program, arguments) =
        argv.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no program to run"))?;
    // Before it is started, so that none is lost.
    let mut passed = Passed::new()?;
    #[allow(clippy::disallowed_methods)] // the one place for it
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::inherit()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true);
    let mut child = command.spawn()?;
    let began = Instant::now();
    let tail = Arc::new(Mutex::new(VecDeque::new()));
    let mut copies = tokio::task::JoinSet::new();
    if let Some(out) = child.stdout.take() {
        copies.spawn(copy(out, io::stdout, tail.clone()));
    }
    if let Some(err) = child.stderr.take() {
        copies.spawn(copy(err, io::stderr, tail.clone()));
    }
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let mut asked = false;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            (signal, ends) = passed.next() => {
                asked |= ends;
                if let Some(pid) = pid {
                    // It may have ended this moment.
                    let _ = kill_process(pid, signal);
                }
            }
        }
    };
    // What it left behind may hold its outputs for ever.
    let all = async { while copies.join_next().await.is_some() {} };
    let _ = timeout(AFTER_END, all).await;
    copies.abort_all();
    let tail = Vec::from(std::mem::take(&mut *tail.lock().unwrap_or_else(PoisonError::into_inner)));
    Ok(Ended { code: status.code(), signal: status.signal(), asked, tail, ran: began.elapsed() })
}

async fn copy<W: io::Write + 'static>(
    mut from: impl AsyncRead + Unpin,
    to: fn() -> W,
    tail: Arc<Mutex<VecDeque<u8>>>,
) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let piece = &buffer[..length];
        {
            let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
            tail.extend(piece);
            let over = tail.len().saturating_sub(TAIL);
            tail.drain(..over);
        }
        let piece = piece.to_vec();
        let written = tokio::task::spawn_blocking(move || {
            let mut to = to();
            to.write_all(&piece).and_then(|()| to.flush())
        });
        // Nobody reads any more: the program hears of that as it would without us.
        if !matches!(written.await, Ok(Ok(()))) {
            return;
        }
    }
}

/// Signals that are passed on.
struct Passed(Vec<(tokio::signal::unix::Signal, Signal, bool)>);

impl Passed {
    fn new() -> io::Result<Self> {
        use std::io::IsTerminal;
        let mut all = vec![
            (SignalKind::terminate(), Signal::TERM, true),
            (SignalKind::hangup(), Signal::HUP, true),
            (SignalKind::user_defined1(), Signal::USR1, false),
            (SignalKind::user_defined2(), Signal::USR2, false),
        ];
        all.push((SignalKind::interrupt(), Signal::INT, true));
        all.push((SignalKind::quit(), Signal::QUIT, true));
        // A terminal itself sends what is typed there to the program, too.
        let typed = std::io::stdin().is_terminal();
        let open = all.into_iter().map(|(kind, sent, ends)| {
            let again = if typed && matches!(sent, Signal::INT | Signal::QUIT) { Signal::CONT } else { sent };
            Ok((signal(kind)?, again, ends))
        });
        open.collect::<io::Result<_>>().map(Self)
    }

    /// The next one, and whether it asks for the program's end.
    async fn next(&mut self) -> (Signal, bool) {
        std::future::poll_fn(|context| {
            for (stream, sent, ends) in &mut self.0 {
                if stream.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready((*sent, *ends));
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}
