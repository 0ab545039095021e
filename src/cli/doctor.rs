//! `regreen doctor`: what this machine can do, what is configured, and what to change.

use anyhow::Result;

use super::paint::{BAD, CARE, DIM, GOOD, STRONG, line, out, paint};
use super::service_check::{self, Finding};
use crate::clock::SystemClock;
use crate::config::{Confinement, Environment, Settings};
use crate::fault::Exit;
use crate::process::{Invocation, run};
use crate::sandbox::Registries;

/// Say what this machine can do.
#[derive(Debug, clap::Args)]
pub(super) struct Doctor {
    /// One JSON object
    #[arg(long)]
    json: bool,
    /// Also look at what `regreen serve` and `regreen worker` need
    #[arg(long)]
    service: bool,
}

/// The programs that checks and Regreen itself use, with how they tell their version.
const TOOLS: &[(&str, &[&str], bool)] = &[
    ("git", &["--version"], true),
    ("cargo", &["--version"], false),
    ("node", &["--version"], false),
    ("npm", &["--version"], false),
    ("python3", &["--version"], false),
    ("go", &["version"], false),
    ("java", &["-version"], false),
];

/// The form of the report that `--json` prints; docs/doctor.md describes it. What programs read stays as it is within a number.
const FORM: u32 = 1;

#[derive(serde::Serialize)]
struct Report {
    version: u32,
    regreen: &'static str,
    ready: bool,
    sandbox: Vec<crate::sandbox::Capability>,
    registries: Option<Reach>,
    workspaces: Option<crate::workspace::Mechanism>,
    tools: Vec<Tool>,
    settings: Vec<crate::config::Effective>,
    configuration: Option<String>,
    /// What the service needs; `None` where nobody asked.
    service: Option<Vec<Finding>>,
}

/// What commands may reach over the network.
#[derive(serde::Serialize)]
struct Reach {
    /// The package registries that were found: what `registries` allows.
    hosts: Vec<String>,
    /// Whether they may have private addresses.
    private: bool,
    /// What checks may reach where `--allow-net` says nothing.
    checks: &'static str,
    /// The most that a setup command may.
    setup: &'static str,
}

#[derive(serde::Serialize)]
struct Tool {
    name: &'static str,
    version: Option<String>,
    needed: bool,
}

impl Doctor {
    pub(super) async fn run(self) -> Result<Exit> {
        let environment = Environment::from_process();
        let settings = Settings::load(&environment, None);
        // Layers work on some file systems and not on others: the state folder's counts.
        if let Some(state) =
            environment.state_path().ok().and_then(|path| crate::config::open_state_dir(&path).ok())
        {
            super::session::own_temporary(&state);
        }
        let scratch = tempfile::tempdir()?;
        let sandbox = crate::sandbox::capabilities(scratch.path()).await?;
        let mut tools = Vec::new();
        for (name, arguments, needed) in TOOLS {
            tools.push(Tool { name, version: version(name, arguments, &environment).await, needed: *needed });
        }
        let strict = crate::sandbox::Sandbox::detect(crate::config::SandboxMode::Strict).await.is_ok();
        let missing = tools.iter().any(|tool| tool.needed && tool.version.is_none());
        let registries = match &settings {
            Ok(settings) => Some(reach(&environment, &settings.user.sandbox).await),
            Err(_) => None,
        };
        let (registries, wrong) = match registries {
            Some(Ok(reach)) => (Some(reach), None),
            Some(Err(error)) => (None, Some(format!("{error:#}"))),
            None => (None, None),
        };
        let service = match &settings {
            Ok(settings) if self.service => {
                Some(service_check::look(&environment, settings, strict, &SystemClock).await)
            }
            _ => None,
        };
        let serves = service.iter().flatten().all(|finding| finding.works || !finding.needed);
        let report = Report {
            version: FORM,
            registries,
            regreen: env!("CARGO_PKG_VERSION"),
            ready: strict && !missing && settings.is_ok() && wrong.is_none(),
            sandbox,
            workspaces: if strict { Some(crate::workspace::Mechanism::Overlay) } else { None },
            tools,
            settings: settings.as_ref().map(Settings::effective).unwrap_or_default(),
            configuration: settings.as_ref().err().map(ToString::to_string).or(wrong),
            service,
        };
        out(&if self.json {
            serde_json::to_string_pretty(&report)?
        } else {
            report.text(settings.as_ref().err().and_then(|fault| fault.hint.as_deref()))
        })?;
        Ok(if report.ready && serves { Exit::Green } else { Exit::Usage })
    }
}

impl Report {
    fn text(&self, hint: Option<&str>) -> String {
        let mut lines = vec![paint(STRONG, format!("regreen {}", self.regreen)), paint(STRONG, "\nsandbox")];
        for one in &self.sandbox {
            let mark = if one.works { paint(GOOD, "✔") } else { paint(BAD, "✘") };
            lines.push(format!("  {mark} {:<22} {}", one.name, paint(DIM, line(&one.detail, 120))));
            if let (false, Some(advice)) = (one.works, &one.advice) {
                lines.push(format!("      {} {advice}", paint(CARE, "→")));
            }
        }
        lines.push(paint(STRONG, "\ntools"));
        for tool in &self.tools {
            let (mark, text) = match &tool.version {
                Some(version) => (paint(GOOD, "✔"), line(version, 100)),
                None if tool.needed => (paint(BAD, "✘"), "not found, and needed".to_owned()),
                None => (paint(DIM, "–"), "not found".to_owned()),
            };
            lines.push(format!("  {mark} {:<22} {}", tool.name, paint(DIM, text)));
        }
        if let Some(reach) = &self.registries {
            lines.push(paint(STRONG, "\nnetwork"));
            lines.push(format!("  checks reach {}, a setup command {} at most", reach.checks, reach.setup));
            let private = if reach.private { ", private addresses too" } else { "" };
            lines.push(match reach.hosts.len() {
                0 => format!(
                    "  {} no package registry was found: name them in sandbox.registries",
                    paint(CARE, "→")
                ),
                _ => format!("  --allow-net registries allows TLS to these hosts{private}:"),
            });
            lines.extend(reach.hosts.iter().map(|host| format!("    {}", paint(DIM, line(host, 120)))));
        }
        lines.push(paint(STRONG, "\nin force"));
        for one in &self.settings {
            lines.push(format!(
                "  {:<24} {} {}",
                one.key,
                line(&one.value, 100),
                paint(DIM, format!("({})", one.origin))
            ));
        }
        if let Some(wrong) = &self.configuration {
            lines.push(format!("  {} {wrong}", paint(BAD, "✘")));
            lines.extend(hint.iter().map(|hint| format!("      {} {hint}", paint(CARE, "→"))));
        }
        for finding in self.service.iter().flatten() {
            if finding.name == service_check::FIRST {
                lines.push(paint(STRONG, "\nservice"));
            }
            let mark = match (finding.works, finding.needed) {
                (true, _) => paint(GOOD, "✔"),
                (false, true) => paint(BAD, "✘"),
                (false, false) => paint(CARE, "!"),
            };
            lines.push(format!("  {mark} {:<22} {}", finding.name, paint(DIM, line(&finding.detail, 160))));
            lines.extend(finding.advice.iter().map(|advice| format!("      {} {advice}", paint(CARE, "→"))));
        }
        lines.push(match self.ready {
            true => paint(GOOD, "\n✔ ready: regreen heal -- CMD"),
            false => paint(BAD, "\n✘ not ready: see the arrows above"),
        });
        lines.join("\n")
    }
}

/// What commands may reach, asked of the package clients of this machine.
async fn reach(environment: &Environment, confinement: &Confinement) -> Result<Reach> {
    let found = Registries::find(environment, confinement).await?;
    Ok(Reach {
        hosts: found.hosts(),
        private: confinement.private_registries,
        checks: confinement.network.as_str(),
        setup: confinement.setup_network.as_str(),
    })
}

/// What a program of the machine needs to know of the environment to tell its version: where it is, and where `rustup` keeps toolchains.
const PASSED: &[&str] = &["HOME", "RUSTUP_HOME", "CARGO_HOME"];

/// Asks a program of the machine for its version. It is not started in the person's folder: that is a repo's, and tools read there which
/// program they should really run (`rustup` a `rust-toolchain.toml`, version managers their own files).
async fn version(name: &str, arguments: &[&str], environment: &Environment) -> Option<String> {
    let path = environment.get("PATH").unwrap_or_default().to_owned();
    let passed =
        PASSED.iter().filter_map(|name| Some(((*name).to_owned(), environment.get(name)?.to_owned())));
    let output = run(Invocation {
        argv: std::iter::once(name).chain(arguments.iter().copied()).map(String::from).collect(),
        dir: Some("/".into()),
        env: passed.chain([("PATH".to_owned(), path)]).collect(),
        clear_env: true,
        stdin: None,
        timeout: std::time::Duration::from_secs(10),
        most_output: 4096,
    })
    .await
    .ok()?;
    let said = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    (output.status == Some(0))
        .then(|| String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn program(folder: &std::path::Path, name: &str, says: &str) {
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{says}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[tokio::test]
    async fn tools_are_asked_outside_of_the_repo_and_without_the_persons_variables() {
        let bin = tempfile::tempdir().unwrap();
        program(bin.path(), "tool", "echo \"$PWD|$ANTHROPIC_API_KEY|$RUSTUP_TOOLCHAIN|$CARGO_HOME\"");
        let path = format!("{}:/usr/bin:/bin", bin.path().display());
        let environment = Environment::from_pairs(
            bin.path(),
            [
                ("PATH", path.as_str()),
                ("ANTHROPIC_API_KEY", "secret"),
                ("RUSTUP_TOOLCHAIN", "./evil"),
                ("CARGO_HOME", "/c"),
            ],
        );
        assert_eq!(version("tool", &[], &environment).await.as_deref(), Some("/|||/c"));
    }

    #[tokio::test]
    async fn a_relative_folder_of_the_path_gives_no_program() {
        let bin = tempfile::tempdir_in(".").unwrap();
        program(bin.path(), "tool-of-the-repo", "echo 1.0");
        let relative = std::path::Path::new(bin.path().file_name().unwrap());
        assert!(relative.is_relative() && relative.exists());
        let path = format!("{}:/usr/bin:/bin", relative.display());
        let environment = Environment::from_pairs(std::path::Path::new("."), [("PATH", path)]);
        assert_eq!(version("tool-of-the-repo", &[], &environment).await, None);
    }
}
