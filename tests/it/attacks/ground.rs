//! The ground on which attacks are carried out: a project with its home, full of planted secrets, and a process beside them that
//! listens; all of it in a temporary folder, as root or as an ordinary user.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::corpus;
use crate::project::{Project, Ran};

/// Who carries an attack out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Whoever runs the tests.
    Us,
    /// An ordinary user, where root runs the tests.
    Somebody,
}

/// The id of [`Who::Somebody`].
const SOMEBODY: u32 = 65534;

impl Who {
    /// Those that can be had here, with their columns.
    pub fn all() -> Vec<(Self, &'static str)> {
        match rustix::process::geteuid().is_root() {
            true => vec![(Who::Us, "root"), (Who::Somebody, "user")],
            false => vec![(Who::Us, "user")],
        }
    }
}

/// What every planted secret starts with.
pub const SECRET: &str = "regreen-canary";

/// One model that is asked once.
pub const LADDER: &str =
    "[[ladder]]\nfixer = \"model\"\nprovider = \"anthropic\"\nmodel = \"claude-sonnet-5-5\"\nattempts = 1\n";

/// Where secrets are planted below the home folder.
const SECRETS: &[&str] = &[
    ".ssh/id_ed25519",
    ".aws/credentials",
    ".config/gcloud/credentials.db",
    ".kube/config",
    ".netrc",
    ".git-credentials",
    ".cargo/credentials.toml",
    ".npmrc",
    ".config/pip/pip.conf",
    ".docker/config.json",
    ".gnupg/private.key",
    ".local/share/keyrings/login.keyring",
    ".bash_history",
    ".m2/settings.xml",
    ".gradle/gradle.properties",
    ".config/gh/hosts.yml",
    ".mozilla/firefox/logins.json",
    ".config/regreen/key",
    ".some-new-tool/token",
    "notes.txt",
];

/// A project among secrets.
pub struct Ground {
    pub project: Project,
    pub who: Who,
    program: PathBuf,
    python: PathBuf,
}

impl Ground {
    /// The same for a project with these files.
    pub fn new(who: Who, files: &[(&str, &str)]) -> Self {
        Self::with(who, Project::new(files))
    }

    /// Plants the secrets around `project`.
    pub fn with(who: Who, mut project: Project) -> Self {
        let base = project.base().canonicalize().expect("a real path");
        for name in SECRETS {
            let path = project.home.join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            let name = name.replace(['/', '.'], "");
            std::fs::write(path, format!("{SECRET}-{name}\n")).expect("a secret");
        }
        for folder in ["outside/other-project", "home/.cargo/registry", "home/.cache/pip", "home/.local/bin"]
        {
            std::fs::create_dir_all(base.join(folder)).expect("folders");
        }
        for name in ["outside/secret.txt", "outside/other-project/settings.py"] {
            std::fs::write(base.join(name), format!("{SECRET}-outside\n")).expect("a secret");
        }
        for name in ["AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "NPM_TOKEN", "CARGO_REGISTRY_TOKEN"] {
            project.env.insert(name.into(), format!("{SECRET}-{name}"));
        }
        project.env.insert("CARGO_HOME".into(), project.home.join(".cargo").to_string_lossy().into_owned());
        project
            .env
            .insert("SSH_AUTH_SOCK".into(), base.join("outside/agent.sock").to_string_lossy().into_owned());
        Self::bare(who, project)
    }

    /// `project` as it is.
    pub fn bare(who: Who, mut project: Project) -> Self {
        let base = project.base().canonicalize().expect("a real path");
        let mut program = PathBuf::from(env!("CARGO_BIN_EXE_regreen"));
        let mut python = PathBuf::from("python3");
        if who == Who::Somebody {
            // The program and the toolchains may lie where only we may look.
            program = base.join("regreen");
            std::fs::copy(env!("CARGO_BIN_EXE_regreen"), &program).expect("a copy of the program");
            python = "/usr/bin/python3".into();
            project.env.insert("PATH".into(), "/usr/bin:/bin".into());
            project.env.remove("RUSTUP_HOME");
            project.env.remove("PYENV_ROOT");
        }
        Self { project, who, program, python }
    }

    /// The folder that holds everything.
    pub fn base(&self) -> PathBuf {
        self.project.base().canonicalize().expect("a real path")
    }

    pub fn python(&self) -> String {
        self.python.to_string_lossy().into_owned()
    }

    /// Gives everything to the one who attacks. To be called when all is set up.
    pub fn give_away(&self) {
        use std::os::unix::fs::{PermissionsExt, lchown};
        if self.who == Who::Us {
            return;
        }
        let base = self.base();
        std::fs::set_permissions(&base, PermissionsExt::from_mode(0o755)).expect("rights");
        let mut folders = vec![base];
        while let Some(folder) = folders.pop() {
            lchown(&folder, Some(SOMEBODY), Some(SOMEBODY)).expect("an owner");
            for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
                if entry.file_type().expect("a kind").is_dir() {
                    folders.push(entry.path());
                } else {
                    lchown(entry.path(), Some(SOMEBODY), Some(SOMEBODY)).expect("an owner");
                }
            }
        }
    }

    /// What comes before a program and its arguments so that it runs as the attacker.
    fn becoming(&self) -> Vec<String> {
        if self.who == Who::Us {
            return Vec::new();
        }
        let ids = [format!("--reuid={SOMEBODY}"), format!("--regid={SOMEBODY}"), "--clear-groups".into()];
        ["setpriv".into()].into_iter().chain(ids).collect()
    }

    /// The arguments that run `regreen` as the attacker.
    pub fn regreen_as(&self, arguments: &[&str]) -> Vec<String> {
        let mut all = self.becoming();
        all.push(self.program.to_string_lossy().into_owned());
        all.extend(arguments.iter().map(|word| (*word).to_owned()));
        all
    }

    /// A program as the attacker, in `dir`, with the environment and a descriptor that are worth something.
    pub fn command(&self, dir: &Path, argv: &[&str]) -> Command {
        let mut all = self.becoming();
        let secret = self.base().join("outside/secret.txt");
        all.extend(["sh", "-c", "exec 9<\"$0\"; exec \"$@\""].map(String::from));
        all.push(secret.to_string_lossy().into_owned());
        all.extend(argv.iter().map(|word| (*word).to_owned()));
        let mut command = Command::new(&all[0]);
        command.args(&all[1..]).current_dir(dir).env_clear().envs(&self.project.env).stdin(Stdio::null());
        command
    }

    /// A program as whoever runs the tests.
    pub fn command_of_us(&self, dir: &Path, argv: &[&str]) -> Command {
        let mut command = Command::new(argv[0]);
        command.args(&argv[1..]).current_dir(dir).env_clear().envs(&self.project.env).stdin(Stdio::null());
        command
    }

    /// `regreen` with its arguments in the project's root.
    pub fn regreen(&self, arguments: &[&str]) -> Ran {
        let program = self.program.to_string_lossy().into_owned();
        let argv: Vec<&str> = [program.as_str()].into_iter().chain(arguments.iter().copied()).collect();
        Ran::of(self.command(&self.project.root, &argv).output().expect("regreen runs"))
    }

    /// Starts what listens outside.
    pub fn host(&self) -> Host {
        let script = self.base().join("host.py");
        let script = script.to_string_lossy().into_owned();
        let base = self.base().to_string_lossy().into_owned();
        let mut command = self.command(&self.base(), &[&self.python(), &script, &base]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python starts");
        let input = child.stdin.take().expect("a pipe");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        let parameters = serde_json::from_str(&line).expect("the parameters");
        Host { child, input: Some(input), output, parameters }
    }

    /// Puts `host.py` where [`host`](Self::host) finds it.
    pub fn bring_host(&self) {
        std::fs::copy(corpus::folder().join("host.py"), self.base().join("host.py")).expect("a copy");
    }
}

/// What listens outside.
pub struct Host {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<std::process::ChildStdout>,
    /// Where everything is.
    pub parameters: serde_json::Map<String, serde_json::Value>,
}

impl Host {
    /// How often it was reached since it was last asked.
    pub fn touched(&mut self) -> usize {
        self.input.as_mut().expect("it lives").write_all(b"?\n").expect("it listens");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("an answer");
        line.trim().parse().expect("a number")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// Copies a folder with everything in it; links stay links.
pub fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().expect("a kind");
        if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&source).expect("a link"), target).expect("a link");
        } else if kind.is_dir() {
            copy_all(&source, &target);
        } else if kind.is_file() {
            std::fs::copy(&source, &target).expect("a copy");
        }
    }
}
