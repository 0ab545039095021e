//! One call of the `git` program.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Identity;
use crate::config::Environment;
use crate::fault::Fault;
use crate::process::{Invocation, Output, run};

/// Variables that a call takes over: what git needs to find itself and the user's own configuration and identity.
const INHERITED: &[&str] = &[
    "PATH",
    "HOME",
    "XDG_CONFIG_HOME",
    "USER",
    "LOGNAME",
    "SUDO_UID",
    "TMPDIR",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
];

/// Settings that beat whatever a repository's own configuration says.
const OVERRIDES: &[(&str, &str)] = &[
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.pager", "cat"),
    ("core.editor", "false"),
    ("core.askPass", "false"),
    ("core.sshCommand", "false"),
    ("core.alternateRefsCommand", "false"),
    ("core.safecrlf", "false"),
    ("core.quotePath", "false"),
    ("core.splitIndex", "false"),
    // What was said to be kept is kept, also through a power cut; in batches, so that it costs little.
    ("core.fsync", "all"),
    ("core.fsyncMethod", "batch"),
    ("credential.helper", ""),
    ("diff.external", ""),
    ("gpg.program", "false"),
    ("gpg.openpgp.program", "false"),
    ("gpg.ssh.defaultKeyCommand", "false"),
    ("gpg.ssh.program", "false"),
    ("gpg.x509.program", "false"),
    ("commit.gpgSign", "false"),
    ("tag.gpgSign", "false"),
    ("tag.forceSignAnnotated", "false"),
    ("log.showSignature", "false"),
    ("log.mailmap", "false"),
    ("i18n.commitEncoding", "UTF-8"),
    ("i18n.logOutputEncoding", "UTF-8"),
    ("notes.displayRef", ""),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("protocol.ext.allow", "never"),
    ("protocol.allow", "never"),
    ("submodule.recurse", "false"),
    ("status.submoduleSummary", "false"),
    ("safe.bareRepository", "explicit"),
    ("advice.detachedHead", "false"),
];

/// What of the above a call that talks to another machine goes without: what concerns other machines is the user's own to configure, as no
/// repository's configuration is read by it.
const SILENT: &[&str] = &[
    "core.sshCommand",
    "credential.helper",
    "protocol.allow",
    "GIT_ALLOW_PROTOCOL",
    "GIT_SSH_COMMAND",
    "GIT_NO_LAZY_FETCH",
];

/// Variables that such a call takes over besides.
const TALKING: &[&str] = &[
    "SSH_AUTH_SOCK",
    "GIT_SSH_COMMAND",
    "GIT_SSH",
    "GIT_SSL_CAINFO",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
];

/// Variables that beat a repository's own configuration where settings do not: a protocol allowed by its own name goes before
/// the general rule, and the first proxy that fits before ours. Nothing here ever talks to a remote, the lazy fetches of partial
/// clones included.
const VARIABLES: &[(&str, &str)] = &[
    ("LC_ALL", "C"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_PAGER", "cat"),
    ("GIT_NO_LAZY_FETCH", "1"),
    // A list of nothing: no protocol at all.
    ("GIT_ALLOW_PROTOCOL", ""),
    ("GIT_SSH_COMMAND", "false"),
    ("GIT_PROXY_COMMAND", "false"),
    ("GIT_ASKPASS", "false"),
];

const TIMEOUT: Duration = Duration::from_secs(300);
const MOST_OUTPUT: usize = 256 << 20;

/// How git is called: environment, overrides, folder.
#[derive(Debug, Clone)]
pub struct Git {
    env: Vec<(String, String)>,
    settings: Vec<(String, String)>,
    dir: Option<std::path::PathBuf>,
}

/// The version of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Version {
    /// The oldest version whose overrides by environment can be relied on.
    pub const OLDEST: Version = Version(2, 36, 0);

    /// Reads what `git version` prints; 0 for a number that is none.
    pub(super) fn read(text: &str) -> Self {
        let numbers = text.split_whitespace().nth(2).unwrap_or_default();
        let mut numbers = numbers.split('.').map(|number| number.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        Self(next(), next(), next())
    }

    /// # Errors
    /// A [`Fault`] where it is too old.
    pub fn require(self) -> Result<(), Fault> {
        if self >= Self::OLDEST {
            return Ok(());
        }
        Err(Fault::usage(format!("git {self} is too old: at least {} is needed", Self::OLDEST))
            .hint("install a newer git"))
    }
}

impl Git {
    /// Git with the user's own settings, in no folder yet.
    pub fn new(environment: &Environment) -> Self {
        let inherited =
            |name: &&str| environment.get(name).map(|value| ((*name).to_owned(), value.to_owned()));
        let mut env: Vec<(String, String)> = INHERITED.iter().filter_map(inherited).collect();
        env.extend(VARIABLES.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let settings =
            OVERRIDES.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Self { env, settings, dir: None }
    }

    /// Git that talks to another machine by `protocol` (`https`, `ssh`), in no folder yet. It must not stand in a repository that is not trusted.
    pub(super) fn talking(environment: &Environment, protocol: &str) -> Self {
        let mut git = Self::new(environment);
        git.settings.retain(|(key, _)| !SILENT.contains(&key.as_str()));
        git.env.retain(|(name, _)| !SILENT.contains(&name.as_str()));
        for name in TALKING {
            if let Some(value) = environment.get(name) {
                git = git.env(name, value);
            }
        }
        git.env("GIT_ALLOW_PROTOCOL", protocol).setting("transfer.fsckObjects", "true")
    }

    /// The same git in another folder.
    ///
    /// # Errors
    /// Where the path is not UTF-8.
    pub fn at(mut self, dir: &Path) -> Result<Self> {
        dir.to_str().with_context(|| format!("{} is not UTF-8", dir.display()))?;
        self.dir = Some(dir.to_owned());
        Ok(self)
    }

    /// The same git with one more variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same git with one more setting.
    #[must_use]
    pub fn setting(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// The same git, making commits, tags and notes by `identity`.
    #[must_use]
    pub fn acting_as(self, identity: &Identity) -> Self {
        self.env("GIT_AUTHOR_NAME", &identity.name)
            .env("GIT_AUTHOR_EMAIL", &identity.email)
            .env("GIT_COMMITTER_NAME", &identity.name)
            .env("GIT_COMMITTER_EMAIL", &identity.email)
    }

    /// The same git with every driver blanked that the configuration defines, and every hook switched off that it defines by
    /// name. An empty command is no command for git.
    pub(super) async fn without_drivers(mut self) -> Result<Self> {
        let pattern = r"^((filter|diff|merge)\..*\.(clean|smudge|process|required|command|textconv|driver)|hook\..*\.(command|event|enabled))$";
        let listed = self.run(&["config", "--null", "--name-only", "--get-regexp", pattern]).await?;
        let mut keys: Vec<String> = match listed.status {
            Some(0) => String::from_utf8_lossy(&listed.stdout).split('\0').map(str::to_owned).collect(),
            Some(1) => Vec::new(),
            _ => bail!("git config failed: {}", String::from_utf8_lossy(&listed.stderr).trim()),
        };
        keys.retain(|key| !key.is_empty());
        for key in keys.iter_mut().filter(|key| key.starts_with("hook.")) {
            let name = key.rfind('.').map_or(key.as_str(), |end| &key[..end]);
            *key = format!("{name}.enabled");
        }
        keys.sort();
        keys.dedup();
        if keys.len() > 5000 {
            return Err(Fault::usage("the git configuration defines more than 5000 drivers").into());
        }
        for key in keys {
            let switch = key.ends_with(".required") || key.starts_with("hook.");
            let value = if switch { "false" } else { "" };
            self.settings.push((key, value.to_owned()));
        }
        Ok(self)
    }

    /// The program's version.
    ///
    /// # Errors
    /// A [`Fault`] where there is no git.
    pub async fn version(&self) -> Result<Version> {
        Ok(Version::read(&self.text(&["version"]).await?))
    }

    /// Runs it to its end, whatever that is.
    ///
    /// # Errors
    /// A [`Fault`] where there is no git, it takes too long or says too much.
    pub async fn run(&self, words: &[&str]) -> Result<Output> {
        self.run_from(words, None).await
    }

    /// [`Git::run`] with something to read on standard input.
    ///
    /// # Errors
    /// As [`Git::run`].
    pub async fn run_from(&self, words: &[&str], stdin: Option<Vec<u8>>) -> Result<Output> {
        let mut argv = vec!["git".to_owned(), "--no-pager".to_owned()];
        // The one verb that reads paths and cannot be told so: it gets them with `./` in front, which rules out any magic.
        if words.first() != Some(&"check-ignore") {
            argv.push("--literal-pathspecs".to_owned());
        }
        argv.extend(words.iter().map(|word| (*word).to_owned()));
        let mut env = self.env.clone();
        env.push(("GIT_CONFIG_COUNT".to_owned(), self.settings.len().to_string()));
        for (at, (key, value)) in self.settings.iter().enumerate() {
            env.push((format!("GIT_CONFIG_KEY_{at}"), key.clone()));
            env.push((format!("GIT_CONFIG_VALUE_{at}"), value.clone()));
        }
        let invocation = Invocation {
            argv,
            dir: self.dir.clone(),
            env,
            clear_env: true,
            stdin,
            timeout: TIMEOUT,
            most_output: MOST_OUTPUT,
        };
        let verb = words.first().copied().unwrap_or_default();
        let output = run(invocation).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => anyhow::Error::new(
                Fault::usage("git is not installed, or not in PATH").hint("install git and try again"),
            ),
            _ => anyhow::Error::new(error).context(format!("cannot run git {verb}")),
        })?;
        if output.timed_out {
            return Err(Fault::cannot_judge(format!("git {verb} took longer than 5 minutes")).into());
        }
        if output.truncated && output.status == Some(0) {
            bail!("git {verb} said more than {MOST_OUTPUT} bytes");
        }
        Ok(output)
    }

    /// Runs it and gives what it says.
    ///
    /// # Errors
    /// Where it fails, with what it says about it.
    pub async fn bytes(&self, words: &[&str]) -> Result<Vec<u8>> {
        self.bytes_from(words, None).await
    }

    /// [`Git::bytes`] with something to read on standard input.
    ///
    /// # Errors
    /// As [`Git::bytes`].
    pub async fn bytes_from(&self, words: &[&str], stdin: Option<Vec<u8>>) -> Result<Vec<u8>> {
        let output = self.run_from(words, stdin).await?;
        if output.status == Some(0) {
            return Ok(output.stdout);
        }
        let said: String = String::from_utf8_lossy(&output.stderr).trim().chars().take(2000).collect();
        bail!("git {} failed: {said}", words.first().copied().unwrap_or_default())
    }

    /// Runs it and gives what it says as text, trimmed.
    ///
    /// # Errors
    /// As [`Git::bytes`], and where it is not UTF-8.
    pub async fn text(&self, words: &[&str]) -> Result<String> {
        let bytes = self.bytes(words).await?;
        let text = String::from_utf8(bytes).context("git said something that is not UTF-8")?;
        Ok(text.trim_end_matches('\n').to_owned())
    }

    /// [`Git::text`] with something to read on standard input.
    ///
    /// # Errors
    /// As [`Git::text`].
    pub async fn text_from(&self, words: &[&str], stdin: &[u8]) -> Result<String> {
        let bytes = self.bytes_from(words, Some(stdin.to_owned())).await?;
        Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned())
    }

    /// A setting as git sees it; `None` where it is not set.
    ///
    /// # Errors
    /// Where git fails.
    pub async fn config(&self, key: &str) -> Result<Option<String>> {
        let output = self.run(&["config", "--null", "--get", key]).await?;
        match output.status {
            Some(0) => {
                let text = String::from_utf8_lossy(&output.stdout);
                Ok(Some(text.trim_end_matches('\0').to_owned()))
            }
            _ => Ok(None),
        }
    }
}
