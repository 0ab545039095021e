//! A PostgreSQL of the tests' own: one server per test process, one database per test. It listens on a socket in a private folder, and is
//! gone, folder and all, when the process is, however that ended.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Ends with the tests: the shell waits for the end of its input, which is a pipe that only the test process has open.
const SERVE: &str = r#"
trap '' INT TERM HUP
"$1/postgres" -D "$2/data" -k "$2" -c listen_addresses= -c fsync=off -c max_connections=200 -c log_min_messages=fatal >"$2/log" 2>&1 &
server=$!
cat >/dev/null
kill -QUIT "$server"
wait "$server"
rm -rf "$2"
"#;

/// A running server.
pub struct Server {
    folder: PathBuf,
    bin: PathBuf,
    /// Has the pipe whose end is the server's.
    shell: Child,
}

impl Server {
    /// The server of this process, started by whoever asks first.
    pub fn shared() -> &'static Server {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(Server::start)
    }

    fn start() -> Self {
        let bin = binaries();
        let folder = tempfile::Builder::new().prefix("regreen-pg-").tempdir().expect("a folder").keep();
        if is_root() {
            std::os::unix::fs::chown(&folder, Some(NOBODY), Some(NOBODY)).expect("a folder to give away");
        }
        let made = ordinary(&bin.join("initdb"))
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "-D"])
            .arg(folder.join("data"))
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut shell = ordinary(Path::new("sh"));
        shell.args(["-c", SERVE, "sh"]).args([&bin, &folder]).stdin(Stdio::piped());
        let shell = shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the server starts");
        let mut server = Self { folder, bin, shell };
        // pg_isready answers as soon as the server does; there is nothing to wait for by.
        while !server.tool("pg_isready").args(["-q"]).status().expect("pg_isready runs").success() {
            let ended = server.shell.try_wait().expect("its state");
            assert!(
                ended.is_none(),
                "{}",
                std::fs::read_to_string(server.folder.join("log")).unwrap_or_default()
            );
            std::thread::yield_now();
        }
        server
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        command.env_clear().arg("-h").arg(&self.folder).args(["-U", "postgres"]);
        command
    }

    /// The socket that it listens on.
    #[allow(dead_code)] // the library's own tests need no more than an address
    pub fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    /// Makes an empty database and gives its address.
    pub fn database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        format!("postgres://postgres@localhost/{name}?host={}", self.folder.display())
    }

    /// Runs statements in the database of this address or name, and gives what they print.
    pub fn sql(&self, database: &str, text: &str) -> String {
        let name = database.rsplit('/').next().and_then(|name| name.split('?').next()).expect("a name");
        let done = self
            .tool("psql")
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", name, "-c", text])
            .output()
            .expect("psql runs");
        assert!(done.status.success(), "{text}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }
}

const NOBODY: u32 = 65534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// PostgreSQL refuses to run as root.
fn ordinary(program: &Path) -> Command {
    let mut command = Command::new(if is_root() { Path::new("setpriv") } else { program });
    if is_root() {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
    }
    command.env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
    command
}

/// Debian keeps the server's programs out of the path, by version.
fn binaries() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = versions.map(|entry| entry.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut all: Vec<PathBuf> = debian.chain(std::env::split_paths(&path)).collect();
    all.retain(|folder| folder.join("initdb").exists() && folder.join("psql").exists());
    all.into_iter().next().expect("PostgreSQL's server is not installed: scripts/install test installs it")
}
