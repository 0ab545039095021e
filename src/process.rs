//! Programs of the host that Regreen trusts (git, above all): bounded in time and output, killed as a group.
//!
//! Nothing that a repo or a model wrote runs through here: that is the sandbox's business.

mod again;
mod exec;

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::{RwLock, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

pub use again::{Again, again};
pub use exec::{Ended, pass_through};

/// How long the output of a program that has ended is waited for: a daemon it left behind may hold the pipe for ever.
const AFTER_END: Duration = Duration::from_millis(500);
/// The longest time limit that is told from none.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// A program to run to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// Program and arguments; the program is looked up in PATH, but not in the work tree that this process or the program stands in.
    pub argv: Vec<String>,
    /// The folder it starts in; `None` for this process's own.
    pub dir: Option<PathBuf>,
    /// Variables on top of the inherited (or empty) environment.
    pub env: Vec<(String, String)>,
    /// Whether it starts from an empty environment; the program itself is looked up in this process's PATH even so, unless `env` has one.
    pub clear_env: bool,
    /// What it reads on standard input; `None` for nothing at all (`/dev/null`).
    pub stdin: Option<Vec<u8>>,
    /// Wall time after which the whole process group is killed.
    pub timeout: Duration,
    /// Bytes kept of standard output, and as many of standard error; the rest is read and dropped.
    pub most_output: usize,
}

/// How a program ended, and what it said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Its exit status; `None` where a signal or the time limit killed it.
    pub status: Option<i32>,
    /// Whether the time limit killed it.
    pub timed_out: bool,
    /// The first bytes of its standard output.
    pub stdout: Vec<u8>,
    /// The first bytes of its standard error.
    pub stderr: Vec<u8>,
    /// Whether bytes of either were dropped.
    pub truncated: bool,
}

/// Runs a program to its end. Dropping the future kills its process group.
///
/// # Errors
/// The program could not be started (`NotFound` where there is none of that name), or waiting for it failed. A program that
/// fails or runs out of time is no error.
pub async fn run(invocation: Invocation) -> io::Result<Output> {
    let (program, arguments) = invocation
        .argv
        .split_first()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no program to run"))?;
    let here = std::env::current_dir().ok();
    let theirs: Vec<PathBuf> =
        [here.as_deref(), invocation.dir.as_deref()].into_iter().flatten().filter_map(work_tree).collect();
    let given = invocation.env.iter().rfind(|(name, _)| name == "PATH");
    #[allow(clippy::disallowed_methods)] // what is not given is inherited
    let path = given.map(|(_, path)| path.into()).or_else(|| std::env::var_os("PATH")).unwrap_or_default();
    let path = without(&path, &theirs);
    let program = which::which_in(program, Some(&path), "/")
        .map_err(|_| io::Error::new(io::ErrorKind::NotFound, format!("no program called {program:?}")))?;
    #[allow(clippy::disallowed_methods)] // the one place for it
    let mut command = Command::new(program);
    command.args(arguments);
    if invocation.clear_env {
        command.env_clear();
    }
    command.envs(invocation.env.iter().map(|(name, value)| (name, value)));
    // It starts programs itself, interpreters above all.
    if given.is_some() || !invocation.clear_env {
        command.env("PATH", &path);
    }
    if let Some(dir) = &invocation.dir {
        command.current_dir(dir);
    }
    let input = if invocation.stdin.is_some() { Stdio::piped() } else { Stdio::null() };
    command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);

    let deadline = Instant::now() + invocation.timeout.min(LONGEST);
    let mut child = command.spawn()?;
    let group = Group(child.id().and_then(|id| Pid::from_raw(id as i32)));
    supervise(&mut child, invocation, deadline, group).await
}

/// The work tree that `dir` lies in. Whatever lies in it, a program too, is the repo's.
fn work_tree(dir: &Path) -> Option<PathBuf> {
    let dir = dir.canonicalize().ok()?;
    let root = dir.ancestors().find(|up| up.join(".git").symlink_metadata().is_ok())?;
    // Every program lies below the root of the file system.
    root.parent().is_some().then(|| root.to_owned())
}

/// A PATH without the folders that lie in one of `trees`, and without relative ones, which lie wherever somebody stands.
fn without(path: &OsStr, trees: &[PathBuf]) -> OsString {
    let ours = std::env::split_paths(path).filter(|folder| {
        let real = folder.canonicalize();
        let lies_in = |tree: &PathBuf| {
            folder.starts_with(tree) || real.as_ref().is_ok_and(|real| real.starts_with(tree))
        };
        folder.is_absolute() && !trees.iter().any(lies_in)
    });
    std::env::join_paths(ours).unwrap_or_default()
}

async fn supervise(
    child: &mut Child,
    invocation: Invocation,
    deadline: Instant,
    mut group: Group,
) -> io::Result<Output> {
    let most = invocation.most_output;
    let mut said = (Kept::default(), Kept::default());
    let (stdout, stderr, stdin) = (child.stdout.take(), child.stderr.take(), child.stdin.take());
    let mut status = None;
    let finished = {
        let feed = async {
            if let (Some(mut pipe), Some(bytes)) = (stdin, invocation.stdin) {
                // A program may end without reading all of its input.
                let _ = pipe.write_all(&bytes).await;
            }
        };
        let talk = async {
            tokio::join!(feed, said.0.fill(stdout, most), said.1.fill(stderr, most));
        };
        tokio::pin!(talk);
        let mut talking = true;
        let end = async {
            loop {
                tokio::select! {
                    () = &mut talk, if talking => talking = false,
                    ended = child.wait() => {
                        status = Some(ended?);
                        if talking {
                            let _ = timeout(AFTER_END, &mut talk).await;
                        }
                        return io::Result::Ok(());
                    }
                }
            }
        };
        match timeout_at(deadline, end).await {
            Ok(ended) => {
                ended?;
                true
            }
            Err(_) => status.is_some(),
        }
    };
    if !finished {
        group.kill();
        child.wait().await?;
    }
    group.0 = None;
    Ok(Output {
        status: status.and_then(|status: ExitStatus| status.code()),
        timed_out: !finished,
        truncated: said.0.dropped || said.1.dropped,
        stdout: said.0.bytes,
        stderr: said.1.bytes,
    })
}

/// Runs a program with this process's own terminal, input and output, as a shell does, and returns its exit status (`None` where a
/// signal killed it). Dropping the future kills it.
///
/// # Errors
/// As [`run`].
pub async fn foreground(
    argv: Vec<String>,
    dir: &std::path::Path,
    env: &[(String, String)],
) -> io::Result<Option<i32>> {
    let (program, arguments) =
        argv.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no program to run"))?;
    #[allow(clippy::disallowed_methods)] // the one place for it
    let mut command = Command::new(program);
    command.args(arguments).current_dir(dir).kill_on_drop(true);
    command.envs(env.iter().map(|(name, value)| (name, value)));
    Ok(command.status().await?.code())
}

/// Closed once the program is asked to end.
static STAY: Semaphore = Semaphore::const_new(0);

/// Shared by the calls of models that are under way.
static CALLS: RwLock<()> = RwLock::const_new(());

/// Asks everything to come to an end, and waits until nothing is under way that must not be cut off: between the steps of a landing or a
/// rollback, and before the call of a model is booked.
pub async fn leave() {
    STAY.close();
    let _nobody_asks = CALLS.write().await;
    let _nothing_lands = landing().await;
}

/// Returns when the program is asked to end ([`leave`]).
pub async fn leaving() {
    // There is never a permit to have.
    let _ = STAY.acquire().await;
}

/// Held while a model is asked and what that cost is booked. Whoever has it watches [`leaving`]; the program does not end by a signal as
/// long as somebody has it.
pub async fn calling() -> tokio::sync::RwLockReadGuard<'static, ()> {
    CALLS.read().await
}

/// Held while the user's files, branches or notes are being changed. The program does not end by a signal as long as somebody has it.
pub async fn landing() -> tokio::sync::MutexGuard<'static, ()> {
    static LANDING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    LANDING.lock().await
}

/// The name of the user that this process belongs to; where the machine's own list has none, their number.
pub fn user() -> String {
    let number = rustix::process::getuid().as_raw();
    let list = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)?.parse() == Ok(number)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("user {number}"))
}

/// Keeps other processes of the same user, what runs in sandboxes included, from reading this one's memory and environment, and keeps
/// secrets out of core dumps.
pub fn hide_memory() {
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// The process group of a running program, killed on drop.
struct Group(Option<Pid>);

impl Group {
    fn kill(&mut self) {
        if let Some(pid) = self.0.take() {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The first bytes of a stream.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    dropped: bool,
}

impl Kept {
    async fn fill(&mut self, stream: Option<impl AsyncRead + Unpin>, most: usize) {
        let Some(mut stream) = stream else { return };
        let mut buffer = vec![0; 64 << 10];
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    let keep = read.min(most - self.bytes.len());
                    self.bytes.extend_from_slice(&buffer[..keep]);
                    self.dropped |= keep < read;
                }
            }
        }
    }
}

/// The regular files that this process's standard output and error go to, as device and inode.
pub fn own_outputs() -> Vec<(u64, u64)> {
    let regular = |stat: rustix::fs::Stat| {
        let kind = rustix::fs::FileType::from_raw_mode(stat.st_mode);
        (kind == rustix::fs::FileType::RegularFile).then_some((stat.st_dev, stat.st_ino))
    };
    let (out, err) = (rustix::fs::fstat(io::stdout()), rustix::fs::fstat(io::stderr()));
    [out, err].into_iter().flatten().filter_map(regular).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str) -> Invocation {
        Invocation {
            argv: ["sh", "-c", line].map(String::from).to_vec(),
            dir: None,
            env: vec![],
            clear_env: false,
            stdin: None,
            timeout: Duration::from_secs(20),
            most_output: 1 << 20,
        }
    }

    #[tokio::test]
    async fn status_streams_and_folder() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().canonicalize().unwrap();
        let done =
            run(Invocation { dir: Some(dir.clone()), ..shell("pwd; echo bad >&2; exit 7") }).await.unwrap();
        assert_eq!(done.status, Some(7));
        assert_eq!(String::from_utf8(done.stdout).unwrap().trim_end(), dir.to_str().unwrap());
        assert_eq!(done.stderr, b"bad\n");
        assert!(!done.timed_out && !done.truncated);
    }

    #[tokio::test]
    async fn input_is_fed_while_output_is_read() {
        let input = vec![b'x'; 4 << 20];
        let done = run(Invocation { stdin: Some(input.clone()), most_output: 8 << 20, ..shell("cat") })
            .await
            .unwrap();
        assert_eq!(done.status, Some(0));
        assert!(done.stdout == input);
        let deaf = run(Invocation { stdin: Some(input), ..shell("exit 3") }).await.unwrap();
        assert_eq!(deaf.status, Some(3));
    }

    #[tokio::test]
    async fn output_is_bounded_and_drained() {
        let line = "head -c 3000000 /dev/zero; head -c 10 /dev/zero >&2";
        let done = run(Invocation { most_output: 1000, ..shell(line) }).await.unwrap();
        assert_eq!((done.status, done.stdout.len(), done.stderr.len()), (Some(0), 1000, 10));
        assert!(done.truncated);
    }

    #[tokio::test]
    async fn the_time_limit_kills_the_group() {
        let started = Instant::now();
        let line = "sleep 300 & sleep 300";
        let done = run(Invocation { timeout: Duration::from_millis(300), ..shell(line) }).await.unwrap();
        assert!(done.timed_out);
        assert_eq!(done.status, None);
        assert!(started.elapsed() < Duration::from_secs(60));
    }

    #[tokio::test]
    async fn a_daemon_that_holds_the_pipe_does_not_hold_us() {
        let started = Instant::now();
        let done =
            run(Invocation { timeout: Duration::MAX, ..shell("setsid sleep 30 & echo done") }).await.unwrap();
        assert_eq!((done.status, done.stdout.as_slice()), (Some(0), b"done\n".as_slice()));
        assert!(started.elapsed() < Duration::from_secs(15));
    }

    #[tokio::test]
    async fn the_environment_can_be_empty() {
        let done = run(Invocation {
            clear_env: true,
            env: vec![("ONLY".into(), "this".into())],
            argv: vec!["env".into()],
            ..shell("")
        })
        .await
        .unwrap();
        assert_eq!(done.stdout, b"ONLY=this\n");
    }

    #[tokio::test]
    async fn a_missing_program_is_not_found() {
        let none = Invocation { argv: vec!["regreen-no-such-program".into()], ..shell("") };
        assert_eq!(run(none).await.unwrap_err().kind(), io::ErrorKind::NotFound);
        let empty = Invocation { argv: vec![], ..shell("") };
        assert_eq!(run(empty).await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn programs_of_a_work_tree_are_not_found() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        let tree = base.join("tree");
        std::fs::create_dir_all(tree.join(".git")).unwrap();
        std::fs::create_dir_all(tree.join("deep/node_modules/.bin")).unwrap();
        std::os::unix::fs::symlink(tree.join("deep"), base.join("link")).unwrap();
        assert_eq!(work_tree(&tree.join("deep")), Some(tree.clone()));
        assert_eq!(work_tree(Path::new("/")), None);
        let folders = [
            PathBuf::from("./node_modules/.bin"),
            PathBuf::new(),
            tree.join("deep/node_modules/.bin"),
            base.join("link/node_modules/.bin"),
            PathBuf::from("/usr/bin"),
        ];
        let path = std::env::join_paths(folders).unwrap();
        assert_eq!(without(&path, &[tree]), "/usr/bin");
    }
}
