//! Rung 4: an external coding agent, run as a command.
//!
//! The agent works in an attempt of its own, inside the sandbox, on the tree as it stands. What it says is told to people and believed by nobody:
//! its proposal is what its files differ in when it has ended, without what git ignores, and it goes the way of every other proposal.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use super::model::history;
use super::{Answer, Case, Fixer, Proposal};
use crate::context::{self, Subject, prompts};
use crate::git::Repo;
use crate::outcome::End;
use crate::patch::Patch;
use crate::redact::Redactor;
use crate::sandbox::{Network, Registries};
use crate::workspace::{Attempt, Command};

/// Where the agent finds what it is asked, besides its standard input: a file that stands in its arguments as [`ASKED`].
const ASKED_FILE: &str = "agent-prompt.md";
/// What stands for that file in the configured arguments.
const ASKED: &str = "{prompt_file}";
/// Tokens of context; an agent looks for more by itself.
const CONTEXT: u64 = 8_000;
/// The most of its output that is kept, in bytes: the end of it.
const MOST_OUTPUT: usize = 64 << 10;
/// The most of its last words that explain a proposal, in characters.
const MOST_WORDS: usize = 2_000;

/// An external coding agent.
#[derive(Debug)]
pub struct Agent {
    /// The provider's name in the configuration.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Variables of the user's that it gets.
    pub env: BTreeMap<String, SecretString>,
    /// What it may reach; nothing where `None`.
    pub hosts: Option<Arc<Registries>>,
    /// The longest that it may work.
    pub timeout: Duration,
    /// Takes secrets out of what it is told, and of what it says.
    pub redactor: Redactor,
}

impl Agent {
    /// What it is asked.
    fn prompt(&self, case: &Case<'_>) -> Result<String> {
        let history = history::render(case.history, CONTEXT / 4, &self.redactor);
        let subject = Subject { tree: case.tree(), red: case.red, checks: case.checks, known: &[] };
        let context = context::gather(&subject, CONTEXT, &self.redactor);
        let fenced = |text: &str| {
            let text = self.redactor.redact(text);
            (!text.trim().is_empty()).then(|| context::fenced("markdown", text.trim()))
        };
        let (rules, task) = (fenced(case.rules), case.task.and_then(fenced));
        prompts::render(prompts::AGENT, minijinja::context! { rules, task, context, history })
    }

    fn job(&self, asked: &str) -> Command {
        let mut env: BTreeMap<String, String> =
            self.env.iter().map(|(name, value)| (name.clone(), value.expose_secret().to_owned())).collect();
        // Nobody is there to answer.
        env.insert("CI".into(), "1".into());
        Command {
            argv: self.command.iter().map(|word| word.replace(ASKED, asked)).collect(),
            dir: String::new(),
            env,
            timeout: self.timeout,
            network: if self.hosts.is_some() { Network::Registries } else { Network::None },
        }
    }

    /// What it changed, but for what git ignores.
    async fn harvest(&self, case: &Case<'_>, attempt: &Attempt) -> Result<Patch> {
        let all = attempt.harvest(&|_| true)?;
        let Some(repo) = Repo::discover(case.workspaces.root()).await? else { return Ok(all) };
        let ignored = repo.ignored(all.iter().map(|(path, _)| path)).await?;
        let mut patch = Patch::new();
        for (path, change) in all.iter().filter(|(path, _)| !ignored.contains(*path)) {
            patch.set(path.clone(), change.clone());
        }
        Ok(patch)
    }
}

#[async_trait]
impl Fixer for Agent {
    fn name(&self) -> String {
        format!("agent({})", self.name)
    }

    async fn propose(&self, case: &Case<'_>) -> Result<Answer> {
        let mut attempt = case.workspaces.attempt(case.base).await?;
        if let Some(hosts) = &self.hosts {
            attempt = attempt.reaching(Arc::clone(hosts));
        }
        let prompt = self.prompt(case)?;
        std::fs::write(attempt.reports().join(ASKED_FILE), &prompt)
            .context("writing down what the agent is asked")?;
        let job = self.job(&attempt.reports_inside().join(ASKED_FILE).to_string_lossy());
        let program = job.argv.first().map_or("", String::as_str).to_owned();
        if let Some(hidden) = attempt.sight(&job)?.and_then(|sight| sight.lacks("", &program)) {
            bail!(
                "the sandbox does not show {}; name its folder in sandbox.read_only of your configuration",
                hidden.display()
            );
        }
        (case.progress)(&format!("{program} works on it"));
        let (mut said, mut line) = (Vec::new(), Vec::new());
        let mut hear = |bytes: &[u8]| {
            said.extend_from_slice(bytes);
            if said.len() > 2 * MOST_OUTPUT {
                said.drain(..said.len() - MOST_OUTPUT);
            }
            for part in bytes.split_inclusive(|byte| *byte == b'\n') {
                line.extend_from_slice(part);
                if part.ends_with(b"\n") || line.len() > 1_000 {
                    (case.progress)(&self.redactor.redact(String::from_utf8_lossy(&line).trim()));
                    line.clear();
                }
            }
        };
        let ended = attempt.tell(&job, prompt.as_bytes(), &mut hear).await?;
        let words = last_words(&self.redactor.redact(&String::from_utf8_lossy(&said)));
        let patch = self.harvest(case, &attempt).await?;
        let given = Redactor::new(self.env.values().map(|value| value.expose_secret().to_owned()));
        if matches!(given.redact(&patch.unified()), Cow::Owned(_)) {
            bail!("what {program} changed holds the value of a variable that it was given");
        }
        let how = match ended.end {
            End::Exited(0) => None,
            End::Exited(127) => bail!("{program} is not there, or could not be started: {words}"),
            End::TimedOut => Some(format!("it worked longer than {} s", self.timeout.as_secs())),
            other => Some(format!("it {other}")),
        };
        match (patch.is_empty(), how) {
            // What it left is judged by the checks, however it ended.
            (false, _) => Ok(Answer::Patch(Proposal {
                patch,
                explanation: words,
                fixer: self.name(),
                alternatives: Vec::new(),
            })),
            (true, None) => Ok(Answer::Nothing(format!("{program} changed nothing: {words}"))),
            (true, Some(how)) => Ok(Answer::Unusable(format!("{how}, and changed nothing: {words}"))),
        }
    }
}

/// The end of what it said, without what only a terminal understands.
fn last_words(said: &str) -> String {
    let said = crate::plain::plain(said);
    let said = said.trim();
    match said.char_indices().rev().nth(MOST_WORDS) {
        Some((at, _)) => format!("… {}", said[at..].trim_start()),
        None => said.to_owned(),
    }
}
