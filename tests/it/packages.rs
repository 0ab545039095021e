//! Packages that are installed by the real package managers, through the real proxy, from a registry on the loopback; and what they run
//! while they are.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use crate::languages::{run, tools};
use crate::project::{Project, Ran};
use crate::scripted::edit;
use crate::vendor::{Anthropic, Reply};

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/registry")
}

/// The registry: `registry.test` with a port of its own.
pub struct Registry {
    child: Child,
    _alive: ChildStdin,
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    heard: Option<std::thread::JoinHandle<()>>,
}

impl Registry {
    pub fn start() -> Self {
        let mut command = Command::new("python3");
        command.arg(fixtures().join("server.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python runs");
        let alive = child.stdin.take().expect("a pipe");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let port = lines.next().expect("it listens").parse().expect("a port");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&asked);
        let heard =
            std::thread::spawn(move || lines.for_each(|line| told.lock().expect("a list").push(line)));
        Self { child, _alive: alive, port, asked, heard: Some(heard) }
    }

    fn base(&self) -> String {
        format!("https://registry.test:{}", self.port)
    }

    /// A project of a user whose package managers know this registry and no other.
    pub fn project(&self, files: &[(&str, &str)]) -> Project {
        let mut project = Project::new(files);
        let base = self.base();
        let authority = fixtures().join("authority.pem").to_string_lossy().into_owned();
        for name in
            ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "PIP_CERT", "CARGO_HTTP_CAINFO", "npm_config_cafile"]
        {
            project.env.insert(name.into(), authority.clone());
        }
        let cargo = project.home.join(".cargo");
        project.env.insert("CARGO_HOME".into(), cargo.to_string_lossy().into_owned());
        project.env.insert("GOPROXY".into(), format!("{base}/go"));
        project.env.insert("GOSUMDB".into(), "off".into());
        for (path, text) in [
            (".npmrc", format!("registry={base}/npm/\nfetch-retries=0\n")),
            (".config/pip/pip.conf", format!("[global]\nindex-url = {base}/simple\n")),
            (".config/uv/uv.toml", format!("[[index]]\nurl = \"{base}/simple\"\ndefault = true\n")),
            (
                ".cargo/config.toml",
                format!(
                    "[source.crates-io]\nreplace-with = \"made-up\"\n[source.made-up]\nregistry = \"sparse+{base}/index/\"\n"
                ),
            ),
        ] {
            let path = project.home.join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        }
        std::fs::write(project.base().join("hosts"), "127.0.0.1 localhost registry.test\n").expect("a file");
        self.configure(&project, "");
        project
    }

    /// The user's configuration, with `more` in `[sandbox]`.
    pub fn configure(&self, project: &Project, more: &str) {
        let port = self.port;
        project.configure(&format!(
            "[sandbox]\nregistries = [\"registry.test:{port}\"]\nprivate_registries = true\n{more}"
        ));
    }

    /// A program where the registry's name leads to the loopback.
    pub fn run(&self, project: &Project, argv: &[&str]) -> Ran {
        let mut command = Command::new("unshare");
        command.arg("--mount");
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""]);
        command.arg(project.base().join("hosts")).args(argv).current_dir(&project.root);
        command.env_clear().envs(&project.env).stdin(Stdio::null());
        Ran::of(command.output().expect("unshare runs"))
    }

    pub fn regreen(&self, project: &Project, arguments: &[&str]) -> Ran {
        let mut argv = vec![env!("CARGO_BIN_EXE_regreen")];
        argv.extend(arguments);
        self.run(project, &argv)
    }

    /// What it was asked for: method and path.
    pub fn asked(mut self) -> Vec<String> {
        self.child.kill().expect("it lives");
        self.child.wait().expect("it ends");
        if let Some(heard) = self.heard.take() {
            heard.join().expect("it heard all");
        }
        self.asked.lock().expect("a list").clone()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `line` as the goal, and fails with everything that was said where it does not end with `code`.
#[track_caller]
fn heal(registry: &Registry, project: &Project, line: &str, code: i32) -> Ran {
    let ran = registry.regreen(project, &["heal", "--no-model", "--", "sh", "-c", line]);
    if ran.code != Some(code) {
        let logs = registry.regreen(project, &["logs", "--check", "all"]);
        panic!("{:?}\n{}\n{}\n{}", ran.code, ran.stderr, logs.stdout, logs.stderr);
    }
    ran
}

fn setup(line: &str) -> String {
    format!("[setup]\nrun = {line:?}\nnetwork = \"registries\"\n")
}

/// A test that has what it needs, and expects a package's script to have come to this.
fn node(outcome: &str) -> String {
    format!(
        "node -e \"const o = require('fs').readFileSync('node_modules/noisy/outcome.txt', 'utf8'); \
         console.log(o); if (require('quiet') !== 42 || !o.startsWith('{outcome}')) process.exit(1)\""
    )
}

const NODE: &str =
    r#"{"name": "sample", "version": "1.0.0", "dependencies": {"quiet": "1.0.0", "noisy": "1.0.0"}}"#;

fn node_project(registry: &Registry, run: &str) -> Project {
    let toml = setup(run);
    let files = [("package.json", NODE), ("regreen.toml", toml.as_str()), (".gitignore", "node_modules\n")];
    let project = registry.project(&files);
    project.write(&[("pnpm-workspace.yaml", "onlyBuiltDependencies:\n  - noisy\n")]);
    project.commit("Let a package be built");
    project
}

/// A package's script runs, and reaches nothing; with the user's word for its name it reaches the registry.
fn scripts_are_kept_offline(run: &str, path: Option<&Path>) {
    for (more, outcome, put) in [("", "offline", false), ("install_scripts = [\"noisy\"]\n", "reached", true)]
    {
        let registry = Registry::start();
        let mut project = node_project(&registry, run);
        registry.configure(&project, more);
        if let Some(path) = path {
            let old = project.env["PATH"].clone();
            project.env.insert("PATH".into(), format!("{}:{old}", path.display()));
        }
        heal(&registry, &project, &node(outcome), 0);
        let logs = registry.regreen(&project, &["logs", "--check", "all"]).expect(0);
        assert!(put || logs.stdout.contains("the script of a package: offline"), "unseen: {}", logs.stdout);
        assert!(!project.root.join("node_modules").exists(), "the user's tree was touched");
        let asked = registry.asked();
        assert!(asked.iter().any(|line| line == "GET /npm/quiet/-/quiet-1.0.0.tgz"), "{asked:?}");
        assert_eq!(asked.iter().any(|line| line.starts_with("PUT")), put, "{asked:?}");
    }
}

#[test]
fn npm_installs_and_scripts_are_kept_offline() {
    scripts_are_kept_offline("npm install", None);
}

/// pnpm as a whole installation.
fn pnpm() -> Option<PathBuf> {
    static ONCE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    tools(&ONCE, "pnpm", |folder| {
        run("npm", &["install", "--no-audit", "--no-fund", "-g", "--prefix", ".", "pnpm@10.34.9"], folder)
    })
}

#[test]
fn pnpm_installs_and_scripts_are_kept_offline() {
    let Some(pnpm) = pnpm() else { return };
    scripts_are_kept_offline("pnpm install", Some(&pnpm.join("bin")));
}

#[test]
fn a_repo_cannot_trust_its_packages() {
    let registry = Registry::start();
    let project = node_project(&registry, "npm install");
    for text in [
        "[sandbox]\ninstall_scripts = [\"noisy\"]\n",
        "[setup]\nrun = \"npm install\"\ninstall_scripts = [\"noisy\"]\n",
    ] {
        project.write(&[("regreen.toml", text)]);
        let ran = heal(&registry, &project, "true", 2);
        assert!(ran.stderr.contains("regreen.toml"), "{}", ran.stderr);
    }
}

/// uv beside python3.
fn uv() -> Option<PathBuf> {
    static ONCE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    tools(&ONCE, "uv", |folder| {
        run("python3", &["-m", "venv", "venv"], folder)?;
        run(
            "venv/bin/python",
            &["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv"],
            folder,
        )?;
        std::fs::create_dir_all(folder.join("bin")).map_err(|error| error.to_string())?;
        std::fs::copy(folder.join("venv/bin/uv"), folder.join("bin/uv"))
            .map(drop)
            .map_err(|error| error.to_string())
    })
}

/// What makes a Python project install `name`, and a test that expects its build to have come to `outcome`.
fn python_project(registry: &Registry, run: &str, name: &str) -> Project {
    let manifest = format!(
        "[project]\nname = \"sample\"\nversion = \"0.1.0\"\nrequires-python = \">=3.8\"\ndependencies = [\"{name}\"]\n"
    );
    let files = [
        ("pyproject.toml", manifest.as_str()),
        ("requirements.txt", name),
        ("regreen.toml", &setup(run)),
        (".gitignore", ".venv\n"),
    ];
    registry.project(&files)
}

fn python_packages(run: &str, path: Option<&Path>) {
    let with_path = |project: &mut Project| {
        if let Some(path) = path {
            let old = project.env["PATH"].clone();
            project.env.insert("PATH".into(), format!("{}:{old}", path.display()));
        }
    };
    let registry = Registry::start();
    let mut project = python_project(&registry, run, "quietpy");
    with_path(&mut project);
    heal(&registry, &project, ".venv/bin/python -c 'import quietpy; assert quietpy.answer == 42'", 0);
    assert!(registry.asked().iter().any(|line| line == "GET /files/quietpy-1.0.0-py3-none-any.whl"));

    // What has to be built first runs code.
    let registry = Registry::start();
    let mut project = python_project(&registry, run, "noisypy");
    with_path(&mut project);
    let ran = heal(&registry, &project, ".venv/bin/python -c 'import noisypy'", 5);
    assert!(ran.stderr.contains("install_scripts"), "{}", ran.stderr);
    registry.configure(&project, "install_scripts = [\"other\"]\n");
    heal(&registry, &project, ".venv/bin/python -c 'import noisypy'", 5);
    let logs = registry.regreen(&project, &["logs", "--check", "all"]).expect(0);
    assert!(!logs.stdout.contains("the build of a package"), "it was built: {}", logs.stdout);
    registry.configure(&project, "install_scripts = [\"noisypy\"]\n");
    let reached =
        ".venv/bin/python -c 'import noisypy; print(noisypy.outcome); assert noisypy.outcome == \"reached\"'";
    heal(&registry, &project, reached, 0);
    let asked = registry.asked();
    assert_eq!(asked.iter().filter(|line| line.starts_with("PUT")).count(), 1, "{asked:?}");
}

#[test]
fn uv_installs_wheels_and_builds_only_what_the_user_names() {
    let Some(uv) = uv() else { return };
    python_packages("uv sync", Some(&uv.join("bin")));
}

#[test]
fn uv_pip_installs_too() {
    let Some(uv) = uv() else { return };
    python_packages("uv venv && uv pip install -r requirements.txt", Some(&uv.join("bin")));
}

#[test]
fn pip_installs_wheels_and_builds_only_what_the_user_names() {
    python_packages("python3 -m venv .venv && .venv/bin/pip install -r requirements.txt", None);
}

#[test]
fn cargo_fetches_once_and_every_attempt_builds_from_it() {
    let registry = Registry::start();
    let manifest = "[package]\nname = \"sample\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\nquiet-crate = \"1\"\n";
    let files = [
        ("Cargo.toml", manifest),
        ("src/lib.rs", "#[test]\nfn answers() {\n    assert_eq!(quiet_crate::answer(), 42);\n}\n"),
        ("regreen.toml", &setup("cargo fetch")),
        (".gitignore", "target\n"),
    ];
    let project = registry.project(&files);
    heal(&registry, &project, "cargo test", 0);
    let second = heal(&registry, &project, "cargo test", 0);
    assert!(second.stderr.contains("reused"), "{}", second.stderr);
    let first = registry.regreen(&project, &["runs", "--json"]).expect(0);
    let first: serde_json::Value =
        serde_json::from_str(first.stdout.lines().last().expect("two runs")).expect("JSON");
    let first = first["id"].as_str().expect("an id");
    let log = registry.regreen(&project, &["logs", first, "--json"]).expect(0);
    let fetch = log.events().into_iter().find(|event| event["outcome"]["connections"].is_array());
    let told = &fetch.expect("the setup's connections are kept")["outcome"]["connections"][0];
    assert!(told["target"].as_str().is_some_and(|target| target.starts_with("registry.test:")), "{told}");
    assert!(told["down"].as_u64().is_some_and(|bytes| bytes > 100) && told["refused"].is_null(), "{told}");
    let shown = registry.regreen(&project, &["show", first]).expect(0).stdout;
    assert!(shown.contains("connected to registry.test:"), "{shown}");
    let asked = registry.asked();
    let fetched = asked.iter().filter(|line| *line == "GET /crates/quiet-crate/1.0.0.crate").count();
    assert_eq!(fetched, 1, "{asked:?}");
    assert!(!project.home.join(".cargo/registry").exists(), "the user's cache was touched");
}

#[test]
fn go_modules_are_fetched_once_and_every_attempt_builds_from_them() {
    let registry = Registry::start();
    let files = [
        ("go.mod", "module sample\n\ngo 1.17\n\nrequire registry.test/quiet v1.0.0\n"),
        (
            "a_test.go",
            "package sample\n\nimport (\n\t\"testing\"\n\n\t\"registry.test/quiet\"\n)\n\nfunc TestAnswer(t *testing.T) {\n\tif quiet.Answer() != 42 {\n\t\tt.Fatal()\n\t}\n}\n",
        ),
        ("regreen.toml", &setup("go mod download")),
    ];
    let project = registry.project(&files);
    registry.run(&project, &["go", "mod", "tidy"]).expect(0);
    registry.run(&project, &["go", "clean", "-modcache"]).expect(0);
    project.commit("Name the sums");
    heal(&registry, &project, "go test ./...", 0);
    let second = heal(&registry, &project, "go test ./...", 0);
    assert!(second.stderr.contains("reused"), "{}", second.stderr);
    let asked = registry.asked();
    // Once for the sums, once by the setup.
    let fetched = asked.iter().filter(|line| line.ends_with("quiet/@v/v1.0.0.zip")).count();
    assert_eq!(fetched, 2, "{asked:?}");
}

#[test]
fn a_repo_cannot_have_packages_built_with_the_network() {
    let Some(uv) = uv() else { return };
    for (run, file, more) in [
        ("uv sync", "pyproject.toml", "[tool.uv]\nno-binary-package = [\"noisypy\"]\n"),
        ("uv sync", "uv.toml", "no-build = false\nno-binary-package = [\"noisypy\"]\n"),
        (
            "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
            "requirements.txt",
            "\n--no-binary :all:\n",
        ),
        ("uv venv && uv pip install -r requirements.txt --no-binary :all:", "x", ""),
    ] {
        let registry = Registry::start();
        let mut project = python_project(&registry, run, "noisypy");
        let old = project.env["PATH"].clone();
        project.env.insert("PATH".into(), format!("{}:{old}", uv.join("bin").display()));
        let text = format!("{}{more}", project.read_if(Path::new(file)).unwrap_or_default());
        project.write(&[(file, &text)]);
        let ran = heal(&registry, &project, ".venv/bin/python -c 'import noisypy'", 5);
        assert!(ran.stderr.contains("is not run"), "{run}: {}", ran.stderr);
        let asked = registry.asked();
        assert!(!asked.iter().any(|line| line.starts_with("PUT")), "{asked:?}");
    }
}

/// A library's test that needs a package which the manifest does not name, and the answer of a model that names it.
fn lacking(registry: &Registry) -> (Project, String) {
    let lock = r#"{
  "name": "sample",
  "version": "1.0.0",
  "lockfileVersion": 3,
  "requires": true,
  "packages": {
    "": {
      "name": "sample",
      "version": "1.0.0"
    }
  }
}
"#;
    let files = [
        ("package.json", "{\n  \"name\": \"sample\",\n  \"version\": \"1.0.0\"\n}\n"),
        ("package-lock.json", lock),
        ("sum.js", "module.exports = () => 41;\n"),
        ("test.js", "if (require('./sum')() !== 42) throw new Error('not 42');\n"),
        ("regreen.toml", &format!("{}[checks.test]\nrun = \"node test.js\"\n", setup("npm ci"))),
        (".gitignore", "node_modules\n"),
    ];
    let answer = edit(
        "package.json",
        "  \"version\": \"1.0.0\"",
        "  \"version\": \"1.0.0\",\n  \"dependencies\": {\n    \"quiet\": \"1.0.0\"\n  }",
    ) + "\nsum.js\n<<<<<<< SEARCH\nmodule.exports = () => 41;\n=======\nmodule.exports = () => require('quiet');\n>>>>>>> REPLACE\n";
    (registry.project(&files), answer)
}

/// What is kept of setups for later runs.
fn kept(project: &Project, name: &str) -> bool {
    let mut folders = vec![project.state().join("layers")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name() == name {
                return true;
            }
            if entry.path().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    false
}

#[tokio::test]
async fn a_new_dependency_is_installed_for_its_attempt_and_waits_for_a_person() {
    let registry = Registry::start();
    let (project, answer) = lacking(&registry);
    let vendor = Anthropic::start([Reply::Text(answer)]).await;
    let project = project.anthropic(&vendor);
    let before = project.everything();
    let ran = registry.regreen(&project, &["heal", "--json", "--", "node", "test.js"]);
    let logs = registry.regreen(&project, &["logs", "--check", "all"]);
    assert_eq!(ran.code, Some(3), "{}{}{}", ran.stdout, ran.stderr, logs.stdout);
    assert!(ran.kinds().contains(&"installed".to_owned()), "{}", ran.stdout);
    assert_eq!(project.everything(), before, "something landed");
    assert!(!kept(&project, "quiet"), "what nobody agreed to is kept for others");
    registry.regreen(&project, &["approve", &project.last_run()]).expect(0);
    assert!(project.read("package.json").contains("quiet"));
    assert!(project.read("package-lock.json").contains("/npm/quiet/-/quiet-1.0.0.tgz"), "the lock is behind");
    assert!(!project.root.join("node_modules").exists());
    // What landed is what any later setup installs.
    registry.regreen(&project, &["heal", "--no-model", "--", "node", "test.js"]).expect(0);
    assert!(kept(&project, "quiet"));
}

#[tokio::test]
async fn without_a_permitted_network_a_new_dependency_is_refused_with_the_reason() {
    let registry = Registry::start();
    let (project, answer) = lacking(&registry);
    let vendor = Anthropic::start([Reply::Text(answer.clone()), Reply::Text(answer)]).await;
    let project = project.anthropic(&vendor);
    let before = project.everything();
    let ran = registry.regreen(&project, &["heal", "--allow-net", "none", "--", "node", "test.js"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("no network is allowed for it"), "{}", ran.stderr);
    assert_eq!(project.everything(), before);
    assert_eq!(registry.asked(), [] as [&str; 0]);
}
