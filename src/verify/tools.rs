//! Which versions of which tools took part: asked where the checks run, so that a toolchain that a repo asks for is the one that is told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use crate::outcome::{Check, End};
use crate::sandbox::Network;
use crate::workspace::{Attempt, Command};

/// The longest that a tool may take to tell its version.
const LIMIT: Duration = Duration::from_secs(15);
/// Bytes that are read of what it says.
const MOST: usize = 4096;

/// Words of a command, or files of a repo, that show that tools take part.
const SIGNS: &[(&[&str], &[&str], &[&str])] = &[
    (&["cargo", "rustc"], &["Cargo.toml"], &["cargo", "rustc"]),
    (
        &["node", "npm", "npx", "pnpm", "yarn", "tsc", "jest", "vitest", "eslint"],
        &["package.json"],
        &["node", "npm"],
    ),
    (
        &["python", "python3", "pytest", "tox", "nox", "mypy", "ruff"],
        &["pyproject.toml", "setup.py", "setup.cfg", "requirements.txt"],
        &["python3"],
    ),
    (&["go"], &["go.mod"], &["go"]),
];

/// The versions of git and of the tools that `checks` use, as they say them in `attempt`; a tool that is not there, or says nothing, is left
/// out.
pub async fn versions(attempt: &Attempt, checks: &[&Check]) -> BTreeMap<String, String> {
    let dir = checks.first().map_or("", |check| check.dir.as_str());
    let asked = used(attempt.root(), checks).into_iter().map(|tool| version(attempt, tool, dir));
    futures_util::future::join_all(asked).await.into_iter().flatten().collect()
}

/// A tool's name and version.
async fn version(attempt: &Attempt, tool: &str, dir: &str) -> Option<(String, String)> {
    let flag = if tool == "go" { "version" } else { "--version" };
    let command = Command {
        argv: vec![tool.to_owned(), flag.to_owned()],
        dir: dir.to_owned(),
        env: BTreeMap::new(),
        timeout: LIMIT,
        network: Network::None,
    };
    let mut said = Vec::new();
    let mut hear = |piece: &[u8]| said.extend_from_slice(&piece[..piece.len().min(MOST - said.len())]);
    match attempt.run(&command, &mut hear).await {
        Ok(ended) if ended.end == End::Exited(0) => {
            Some((tool.to_owned(), first_line(&said))).filter(|(_, line)| !line.is_empty())
        }
        Ok(ended) => {
            tracing::debug!(tool, end = ?ended.end, "a tool does not tell its version");
            None
        }
        Err(error) => {
            tracing::debug!(tool, %error, "a tool does not start");
            None
        }
    }
}

/// The tools that take part, by what the commands say and what the repo's root holds.
fn used(root: &Path, checks: &[&Check]) -> BTreeSet<&'static str> {
    let text: Vec<String> = checks.iter().map(|check| check.run.display()).collect();
    let words: BTreeSet<&str> = text
        .iter()
        .flat_map(|line| line.split(|c: char| c.is_whitespace() || "()[]{};&|\"'`=".contains(c)))
        .filter_map(|word| word.rsplit('/').next())
        .collect();
    let mut tools = BTreeSet::from(["git"]);
    for (signs, files, named) in SIGNS {
        if signs.iter().any(|sign| words.contains(sign)) || files.iter().any(|file| root.join(file).is_file())
        {
            tools.extend(*named);
        }
    }
    tools
}

fn first_line(said: &[u8]) -> String {
    let text = super::ansi::clean(said);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SandboxMode;
    use crate::outcome::CommandLine;
    use crate::patch::Patch;
    use crate::sandbox::{Limits, Sandbox};
    use crate::workspace::Workspaces;

    fn check(line: &str) -> Check {
        Check {
            name: "goal".into(),
            run: CommandLine::Shell(line.into()),
            dir: String::new(),
            timeout: Duration::from_secs(60),
            needs: Vec::new(),
        }
    }

    #[test]
    fn commands_and_files_show_which_tools_take_part() {
        let folder = tempfile::tempdir().unwrap();
        let of = |line: &str| used(folder.path(), &[&check(line)]).into_iter().collect::<Vec<_>>();
        assert_eq!(of("make cargo-cult"), ["git"]);
        assert_eq!(of("cd a && /usr/bin/cargo test"), ["cargo", "git", "rustc"]);
        assert_eq!(of("(npm test;go vet ./...)"), ["git", "go", "node", "npm"]);
        std::fs::write(folder.path().join("pyproject.toml"), "").unwrap();
        assert_eq!(of("make"), ["git", "python3"]);
    }

    #[test]
    fn a_version_is_one_short_line() {
        assert_eq!(first_line(b"\n\x1b[1mtool 1.2\x1b[0m\r\nmore"), "tool 1.2");
        assert_eq!(first_line(&[0xff; 3]).chars().count(), 3);
        assert_eq!(first_line("x".repeat(5000).as_bytes()).len(), 200);
    }

    #[tokio::test]
    async fn versions_are_told_from_within_the_sandbox() {
        let folder = tempfile::tempdir().unwrap();
        let (root, scratch) = (folder.path().join("tree"), folder.path().join("scratch"));
        std::fs::create_dir(&root).unwrap();
        let sandbox = Sandbox::detect(SandboxMode::Auto).await.unwrap();
        let limits = Limits {
            wall: Duration::from_secs(60),
            memory: 1 << 30,
            processes: 256,
            file_size: 1 << 30,
            disk: 16 << 30,
            disk_free: 0,
            output: 1 << 20,
        };
        let workspaces = Workspaces::open(&root, &scratch, sandbox, limits).await.unwrap();
        let attempt = workspaces.attempt(&Patch::new()).await.unwrap();
        let told = versions(&attempt, &[&check("true")]).await;
        assert_eq!(told.keys().collect::<Vec<_>>(), ["git"]);
        assert!(told["git"].starts_with("git version 2."), "{told:?}");
    }
}
