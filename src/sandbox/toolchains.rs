//! The toolchains of the machine and the user: what of them a job sees, and what it is told of them.
//!
//! Everything is shown read-only at its own path, so that absolute paths in caches and fingerprints stay true. Caches that a tool
//! must be able to write (locks, unpacked packages) get a writable layer in memory that is thrown away with the job.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Network;

/// Something of the host in the view, read-only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// Where it is seen, and what tools call it.
    pub path: PathBuf,
    /// Where it really is.
    pub source: PathBuf,
}

/// A cache that a tool writes to, into a layer that is thrown away, or kept where packages are installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cache {
    /// Where tools look for it.
    pub path: PathBuf,
    /// Where it really is; `None` where the host has none yet.
    pub source: Option<PathBuf>,
    /// What its layers are called.
    pub name: &'static str,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub(super) struct Toolchains {
    /// The user's home folder.
    pub home: Option<PathBuf>,
    /// Folders and files in the view, in the order of finding.
    pub shown: Vec<Shown>,
    /// Caches that tools write to.
    pub caches: Vec<Cache>,
    /// Files made up for the view.
    pub made: Vec<(PathBuf, String)>,
    /// Credentials of tools, hidden wherever the view would show them.
    pub secrets: Vec<PathBuf>,
    /// Where certificates of authorities are, by the variable that says so: for jobs that reach a network.
    pub certificates: BTreeMap<String, PathBuf>,
    /// The allowlisted part of the host's environment.
    env: BTreeMap<String, String>,
}

/// Variables handed through as they are: the language, where toolchains are, how to compile. None of them holds a key. What
/// moves build results away from the tree (`CARGO_TARGET_DIR`) is not among them, because nothing outside the tree is writable.
const PASSED: &[&str] = &[
    "ANDROID_HOME",
    "AR",
    "BUN_INSTALL",
    "CARGO_HOME",
    "CC",
    "CFLAGS",
    "CI",
    "CONDA_PREFIX",
    "CPPFLAGS",
    "CXX",
    "CXXFLAGS",
    "DENO_DIR",
    "FNM_DIR",
    "GOFLAGS",
    "GOPATH",
    "GOROOT",
    "GRADLE_HOME",
    "GRADLE_USER_HOME",
    "JAVA_HOME",
    "JDK_HOME",
    "LANG",
    "LANGUAGE",
    "LD",
    "LDFLAGS",
    "M2_HOME",
    "MAVEN_HOME",
    "NODE_ENV",
    "NODE_OPTIONS",
    "NODE_PATH",
    "NVM_BIN",
    "NVM_DIR",
    "PATH",
    "PKG_CONFIG_PATH",
    "PNPM_HOME",
    "PYENV_ROOT",
    "PYENV_VERSION",
    "PYTHONPATH",
    "RBENV_ROOT",
    "RBENV_VERSION",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOCFLAGS",
    "RUSTFLAGS",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "SDKMAN_DIR",
    "TERM",
    "TZ",
    "UV_NATIVE_TLS",
    "UV_SYSTEM_CERTS",
    "VIRTUAL_ENV",
    "VOLTA_HOME",
    "WORKON_HOME",
];

/// Variables that name certificates of authorities which are trusted besides the system's.
const CERTIFICATES: &[&str] = &[
    "CARGO_HTTP_CAINFO",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NIX_SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "npm_config_cafile",
];

/// Variables that hold one folder to be shown, read-only.
const FOLDERS: &[&str] = &[
    "BUN_INSTALL",
    "CONDA_PREFIX",
    "FNM_DIR",
    "GOROOT",
    "GRADLE_HOME",
    "JAVA_HOME",
    "JDK_HOME",
    "M2_HOME",
    "MAVEN_HOME",
    "NVM_DIR",
    "PNPM_HOME",
    "PYENV_ROOT",
    "RBENV_ROOT",
    "RUSTUP_HOME",
    "SDKMAN_DIR",
    "VIRTUAL_ENV",
    "VOLTA_HOME",
    "WORKON_HOME",
];

/// Folders below HOME, read-only.
const BELOW_HOME: &[&str] = &[
    ".asdf",
    ".bun",
    ".cache/Cypress",
    ".cache/ms-playwright",
    ".cache/pypoetry/virtualenvs",
    ".deno",
    ".fnm",
    ".juliaup",
    ".jenv/versions",
    ".local/bin",
    ".local/lib",
    ".local/pipx",
    ".local/share/fnm",
    ".local/share/mise",
    ".local/share/pipx",
    ".local/share/pnpm",
    ".local/share/rtx",
    ".local/share/uv",
    ".local/share/virtualenvs",
    ".local/state/fnm_multishells",
    ".nodenv",
    ".npm-global",
    ".nvm",
    ".poetry",
    ".pyenv",
    ".rbenv",
    ".rustup",
    ".rye",
    ".sdkman",
    ".virtualenvs",
    ".volta",
    "sdk",
];

/// Caches below HOME that tools write to, with the names of their layers.
const CACHES: &[(&str, &str)] = &[
    (".cache/go-build", "go-build"),
    (".cache/node/corepack", "corepack"),
    (".cache/pip", "pip"),
    (".cache/pnpm", "pnpm"),
    (".cache/uv", "uv"),
    (".cache/yarn", "yarn"),
    (".gradle/caches", "gradle-caches"),
    (".gradle/native", "gradle-native"),
    (".gradle/wrapper", "gradle-wrapper"),
    (".m2/repository", "maven-repository"),
    (".m2/wrapper", "maven-wrapper"),
    (".npm/_cacache", "npm"),
    (".yarn/berry", "yarn-berry"),
];
/// The caches that builds read packages from: what a setup put there is part of what it made. The others only spare downloads.
pub(super) const LASTING: &[&str] = &[
    "cargo-registry",
    "cargo-git",
    "go-modules",
    "gradle-caches",
    "gradle-wrapper",
    "maven-repository",
    "maven-wrapper",
];
/// Every cache's name.
pub(super) fn cache_names() -> impl Iterator<Item = &'static str> {
    let own = ["cargo-registry", "cargo-git", "go-modules"];
    own.into_iter().chain(CACHES.iter().map(|(_, name)| *name))
}

impl Toolchains {
    /// Looks for what is there for this process's user. Variables that are not UTF-8 count as not set.
    #[expect(clippy::disallowed_methods, reason = "what a job is told of the environment is decided here")]
    pub(super) fn here() -> Self {
        let text = |text: std::ffi::OsString| text.into_string().ok();
        Self::find(
            &std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect(),
        )
    }

    /// Looks for what is there, with the help of `env`, the host's environment.
    pub(super) fn find(env: &BTreeMap<String, String>) -> Self {
        let folder =
            |name: &str| env.get(name).map(PathBuf::from).filter(|path| path.is_absolute() && path.is_dir());
        let home =
            folder("HOME").and_then(|home| home.canonicalize().ok()).filter(|home| home.parent().is_some());
        let passed = env
            .iter()
            .filter(|(name, _)| PASSED.contains(&name.as_str()) || name.starts_with("LC_"))
            .map(|(name, value)| (name.clone(), value.clone()));
        let mut found = Self { home: home.clone(), env: passed.collect(), ..Self::default() };
        for name in CERTIFICATES {
            let path = env.get(*name).map(PathBuf::from).filter(|path| path.is_absolute());
            // A folder of certificates, or a file; never one that shows everything below it.
            let above = |path: &PathBuf| home.as_ref().is_some_and(|home| home.starts_with(path));
            if let Some(path) = path.filter(|path| path.exists() && !above(path) && path.parent().is_some()) {
                found.certificates.insert((*name).to_owned(), path);
            }
        }
        for name in FOLDERS {
            if let Some(path) = folder(name) {
                found.show(&path);
            }
        }
        if let Some(home) = &home {
            found.cargo(&folder("CARGO_HOME").unwrap_or_else(|| home.join(".cargo")));
            found.go(&folder("GOPATH").unwrap_or_else(|| home.join("go")));
            if let Some(gradle) = folder("GRADLE_USER_HOME") {
                for (below, name) in
                    [("caches", "gradle-caches"), ("native", "gradle-native"), ("wrapper", "gradle-wrapper")]
                {
                    found.cache(&gradle.join(below), name);
                }
            }
            BELOW_HOME.iter().for_each(|name| found.show(&home.join(name)));
            CACHES.iter().for_each(|(below, name)| found.cache(&home.join(below), name));
        }
        for dir in env.get("PATH").map_or("", String::as_str).split(':') {
            found.path_entry(Path::new(dir));
        }
        found
    }

    /// The environment of a job, before its own variables.
    pub(super) fn environment(&self, home: &Path, user: &str, network: Network) -> BTreeMap<String, String> {
        let mut env = self.env.clone();
        let mut set = |name: &str, value: &str| env.insert(name.to_owned(), value.to_owned());
        set("HOME", &home.to_string_lossy());
        set("USER", user);
        set("LOGNAME", user);
        set("SHELL", "/bin/sh");
        set("TMPDIR", "/tmp");
        for name in ["DO_NOT_TRACK", "NEXT_TELEMETRY_DISABLED", "PIP_DISABLE_PIP_VERSION_CHECK"] {
            set(name, "1");
        }
        for name in ["audit", "fund", "update_notifier"] {
            set(&format!("npm_config_{name}"), "false");
        }
        if network != Network::None {
            for (name, path) in &self.certificates {
                set(name, &path.to_string_lossy());
            }
        }
        if network != Network::All {
            // What these would fetch comes from other places than registries.
            set("GOTOOLCHAIN", "local");
            set("UV_PYTHON_DOWNLOADS", "never");
        }
        set("UV_LINK_MODE", "copy");
        if network == Network::None {
            set("CARGO_NET_OFFLINE", "true");
            set("npm_config_offline", "true");
            set("pnpm_config_offline", "true");
            set("YARN_ENABLE_NETWORK", "0");
            set("COREPACK_ENABLE_NETWORK", "0");
            set("COREPACK_ENABLE_DOWNLOAD_PROMPT", "0");
            set("PIP_NO_INDEX", "1");
            set("UV_OFFLINE", "1");
            set("MAVEN_ARGS", "--offline");
            set("GOPROXY", "off");
            set("RUSTUP_AUTO_INSTALL", "0");
        }
        env.entry("PATH".into()).or_insert_with(|| "/usr/local/bin:/usr/bin:/bin".into());
        env.entry("LANG".into()).or_insert_with(|| "C.UTF-8".into());
        env.entry("TERM".into()).or_insert_with(|| "dumb".into());
        env
    }

    fn show(&mut self, path: &Path) {
        let Ok(source) = path.canonicalize() else { return };
        let taken = self.shown.iter().any(|shown| shown.path == path);
        if !self.is_above_home(path) && !self.is_above_home(&source) && !taken && source.parent().is_some() {
            self.shown.push(Shown { path: path.to_owned(), source });
        }
    }

    /// The first path of a name counts: a variable's, before the usual one.
    fn cache(&mut self, path: &Path, name: &'static str) {
        let source = path.canonicalize().ok();
        let taken = self.caches.iter().any(|cache| cache.path == path || cache.name == name);
        if !taken
            && ![Some(path), source.as_deref()].into_iter().flatten().any(|path| self.is_above_home(path))
        {
            self.caches.push(Cache { path: path.to_owned(), source, name });
        }
    }

    /// A variable that names the home folder, or something above it, would show everything in it.
    fn is_above_home(&self, path: &Path) -> bool {
        self.home.as_ref().is_some_and(|home| home.starts_with(path))
    }

    /// Cargo's home, without its credentials; it writes locks into the folder itself, so that one is made up.
    fn cargo(&mut self, home: &Path) {
        self.show(&home.join("bin"));
        self.show(&home.join("env"));
        self.cache(&home.join("registry"), "cargo-registry");
        self.cache(&home.join("git"), "cargo-git");
        self.secrets.extend(["credentials", "credentials.toml"].map(|name| home.join(name)));
        for name in ["config.toml", "config"] {
            if let Ok(text) = std::fs::read_to_string(home.join(name)) {
                self.made.push((home.join(name), without_tokens(&text)));
            }
        }
    }

    /// Go's workspaces.
    fn go(&mut self, path: &Path) {
        self.show(&path.join("bin"));
        self.cache(&path.join("pkg/mod"), "go-modules");
    }

    /// A folder of programs: its whole installation where that is plainly one, else the folder alone.
    fn path_entry(&mut self, dir: &Path) {
        if !dir.is_absolute() || !dir.is_dir() {
            return;
        }
        // Shims (pyenv, rbenv, asdf, mise) find what they stand for beside them.
        let parts: &[&str] = match dir.file_name().and_then(|name| name.to_str()) {
            Some("bin") => &["lib", "share", "include"],
            Some("shims") => &["versions", "installs"],
            _ => &[],
        };
        let prefix = dir.parent().filter(|prefix| parts.iter().any(|name| prefix.join(name).is_dir()));
        let local = self.home.as_ref().map(|home| home.join(".local"));
        match prefix {
            Some(prefix) if Some(prefix) != local.as_deref() && Some(prefix) != self.home.as_deref() => {
                self.show(prefix);
            }
            _ => self.show(dir),
        }
    }
}

/// What tells package clients of the proxy on the job's loopback.
pub(super) fn proxied(port: u16) -> BTreeMap<String, String> {
    let address = format!("http://127.0.0.1:{port}");
    let names = [
        "CARGO_HTTP_PROXY",
        "HTTPS_PROXY",
        "PIP_PROXY",
        "YARN_HTTPS_PROXY",
        "https_proxy",
        "npm_config_https_proxy",
        "pnpm_config_https_proxy",
    ];
    let mut env: BTreeMap<String, String> =
        names.into_iter().map(|name| (name.to_owned(), address.clone())).collect();
    for name in ["NO_PROXY", "no_proxy"] {
        env.insert(name.to_owned(), "localhost,127.0.0.1,::1".to_owned());
    }
    env.insert("NODE_USE_ENV_PROXY".to_owned(), "1".to_owned());
    env
}

/// A copy of cargo's configuration without tokens: whole lines are left out that may hold one.
fn without_tokens(text: &str) -> String {
    let secret = |line: &&str| {
        let lower = line.to_ascii_lowercase();
        ["token", "secret", "password", "credential"].iter().any(|word| lower.contains(word))
            || (lower.contains("://") && lower.contains('@'))
    };
    text.lines().filter(|line| !secret(line)).fold(String::new(), |mut kept, line| {
        kept.push_str(line);
        kept.push('\n');
        kept
    })
}
