//! This very program, started once more: its lines are heard while it runs, and it ends politely where nobody needs it any more.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

/// The longest line that is heard, in bytes; what goes beyond is dropped.
const LONGEST: usize = 64 << 20;
/// What is kept of its standard error, the last bytes.
const TAIL: usize = 16 << 10;
/// How long it may take to end once it was asked to.
const GRACE: Duration = Duration::from_secs(30);

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// The end of what it said on standard error.
    pub said: String,
    /// Whether it was asked to end.
    pub stopped: bool,
}

/// Runs this program with other words in `dir`, with this process's environment and nothing to read. `hear` gets each line of its standard output. When `stop`
/// is over, it gets the signal that Ctrl-C sends.
///
/// # Errors
/// Where it cannot be started, or waiting for it fails.
pub async fn again(
    words: &[String],
    dir: &Path,
    mut hear: impl FnMut(&str) + Send,
    stop: impl Future<Output = ()> + Send,
) -> io::Result<Again> {
    #[allow(clippy::disallowed_methods)] // the one place for it
    let mut command = Command::new(std::env::current_exe()?);
    command.args(words).current_dir(dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true);
    let mut child = command.spawn()?;
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let (out, error) = (child.stdout.take(), child.stderr.take());
    let said = tokio::spawn(async move {
        let mut kept = Vec::new();
        let Some(mut error) = error else { return kept };
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = error.read(&mut buffer).await {
            kept.extend_from_slice(&buffer[..count]);
            let over = kept.len().saturating_sub(TAIL);
            kept.drain(..over);
        }
        kept
    });
    let lines = async {
        let Some(out) = out else { return };
        let mut out = BufReader::new(out);
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut out).take(LONGEST as u64).read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) => hear(String::from_utf8_lossy(&line).trim_end()),
            }
        }
    };
    tokio::pin!(lines, stop);
    let mut stopped = false;
    tokio::select! {
        () = &mut lines => {}
        () = &mut stop => {
            stopped = true;
            if let Some(pid) = pid {
                // It is not reaped yet, so nobody else has its number.
                let _ = kill_process(pid, Signal::INT);
            }
            if timeout(GRACE, &mut lines).await.is_err() {
                let _ = child.start_kill();
            }
        }
    }
    let status = child.wait().await?;
    let kept = timeout(super::AFTER_END, said).await.ok().and_then(Result::ok).unwrap_or_default();
    Ok(Again { code: status.code(), said: String::from_utf8_lossy(&kept).into_owned(), stopped })
}
