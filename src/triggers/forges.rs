//! What is done about what forges tell: commands in comments, failures of CI. And issues as tickets.
//!
//! Invariants: what somebody may command is asked of the forge when it is done; a payload says what to look at and nothing else; each
//! piece of work has one key, so that it is one run however often it is asked for; each thread has one comment of ours.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;

use super::{Command, Happening, Orders, Reacted, Reaction, under_way};
use crate::config::{
    Environment, ForgeConfig, ForgeKind, ForgeRepo, Programs, UserConfig, detect, read_repo_file,
};
use crate::fault::{Exit, Fault};
use crate::forge::{Forge, MARK, Place, PullRequest, Thread, say};
use crate::outcome::{Check, CommandLine};
use crate::plan::Ticket;
use crate::redact::Redactor;
use crate::run::events::{Origin, Request, Work};
use crate::run::journal::load;
use crate::run::queued::{Line, submit};
use crate::run::{Run, account};
use crate::store::{Asked, Delivery, Priority, RunRow, Settled, Status, Store, short};

/// How often a run that a delivery began is looked at until it is over.
const EVERY: Duration = Duration::from_secs(10);
/// Comments of an issue that become part of its ticket, the last ones, and characters of each.
const MOST_COMMENTS: usize = 30;
const LONGEST_COMMENT: usize = 4000;
/// Characters of a patch that is shown in a comment.
const LONGEST_PATCH: usize = 40_000;

/// Reacts to what one forge delivers.
pub struct Forges {
    store: Store,
    redactor: Redactor,
    environment: Environment,
    config: ForgeConfig,
    check: Duration,
    forge: Arc<dyn Forge>,
    orders: Arc<dyn Orders>,
}

/// Those of the configuration that take webhooks.
///
/// # Errors
/// A [`Fault`] where one of them has no token: it could ask nobody what somebody may command.
pub fn reactions(
    user: &UserConfig,
    environment: &Environment,
    store: &Store,
    redactor: &Redactor,
    orders: &Arc<dyn Orders>,
) -> Result<Vec<Arc<dyn Reaction>>> {
    let mut all: Vec<Arc<dyn Reaction>> = Vec::new();
    for config in &user.forges {
        if config.secret.read(environment)?.is_none() {
            continue;
        }
        // What lies beside the sources of any of its repos is told to nobody there.
        let paths = config.repos.values().map(|repo| repo.path.as_path());
        let redactor = paths.fold(redactor.clone(), |all, path| all.with_env_files(path));
        all.push(Arc::new(Forges {
            store: store.clone(),
            redactor: redactor.clone(),
            environment: environment.clone(),
            config: config.clone(),
            check: user.limits.check,
            forge: crate::forge::connect(config, environment, &redactor)?,
            orders: orders.clone(),
        }));
    }
    Ok(all)
}

/// Reads an issue as a ticket, with what its labels say of how urgent it is.
///
/// # Errors
/// As [`Forge`], and where there is nothing in it.
pub async fn ticket(forge: &dyn Forge, place: &Place) -> Result<(Ticket, Priority)> {
    let issue = forge.issue(&place.repo, place.number).await?;
    let thread = Thread { number: place.number, on_request: false };
    let comments = forge.comments(&place.repo, thread).await?;
    let title: Vec<&str> = issue.title.split_whitespace().collect();
    let mut text = format!("# {}\n\n{}\n", title.join(" "), issue.body);
    let mut said: Vec<_> = comments.iter().filter(|said| !said.body.contains(MARK)).collect();
    said.drain(..said.len().saturating_sub(MOST_COMMENTS));
    if !said.is_empty() {
        text += "\n## Comments\n";
    }
    for one in said {
        let body: String = one.body.chars().take(LONGEST_COMMENT).collect();
        // Quoted, so that nothing in them is a heading or a criterion of the ticket's own.
        let quoted: Vec<String> = body.lines().map(|line| format!("> {line}")).collect();
        text += &format!("\n{} wrote:\n\n{}\n", one.author, quoted.join("\n"));
    }
    Ok((Ticket::parse(text, &place.to_string())?, priority(&issue.labels)))
}

/// How urgent something is by its labels: the most urgent one counts.
fn priority(labels: &[String]) -> Priority {
    let has = |words: &[&str]| {
        labels.iter().any(|label| {
            let label = label.to_ascii_lowercase();
            let mut parts = label.split(|c: char| !c.is_ascii_alphanumeric());
            parts.any(|part| words.contains(&part))
        })
    };
    if has(&["urgent", "critical", "blocker", "p0"]) {
        Priority::Urgent
    } else if has(&["high", "p1"]) {
        Priority::High
    } else if has(&["low", "minor", "p3", "p4"]) {
        Priority::Low
    } else {
        Priority::Normal
    }
}

/// Says below an issue or a pull request how a run stands, in the place of what was said there before.
///
/// # Errors
/// As [`Forge`].
pub async fn tell(
    forge: &dyn Forge,
    place: &Place,
    on_request: bool,
    run: &Run,
    parts: &[Run],
) -> Result<()> {
    let mut body = account::of_comment(run, parts);
    if run.spec.land == "none" && run.proof.is_some() {
        let patch: String = run.result().unified().chars().take(LONGEST_PATCH).collect();
        body += &format!("\nThe patch, for `git apply`:\n\n{}", account::block(&patch));
    }
    let thread = Thread { number: place.number, on_request };
    say(forge, &place.repo, thread, &what(place), &body).await
}

/// What our comment in a thread is found by.
fn what(place: &Place) -> String {
    format!("thread={place}")
}

#[async_trait]
impl Reaction for Forges {
    fn source(&self) -> &'static str {
        self.config.kind.as_str()
    }

    async fn react(&self, delivery: &Delivery) -> Result<Reacted> {
        let happening = serde_json::from_value(delivery.payload.clone())
            .context("the delivery was taken by another version")?;
        match happening {
            Happening::Commanded { repo, number, on_request, comment, author, command } => {
                let place = Place { kind: self.config.kind, repo, number };
                let asked = By { place, on_request, comment, author, command };
                self.commanded(&asked, delivery).await
            }
            Happening::Failed { repo, build, branch, commit } => {
                self.failed(&repo, build, &branch, &commit, delivery).await
            }
        }
    }
}

/// A command with where and by whom it was given.
struct By {
    place: Place,
    on_request: bool,
    comment: u64,
    author: String,
    command: Command,
}

/// A piece of work as it is put into the queue.
struct Job {
    key: String,
    work: Work,
    land: &'static str,
    origin: Origin,
    priority: Priority,
}

impl Forges {
    fn repo(&self, full: &str) -> Result<&ForgeRepo> {
        let found = self.config.repo(full);
        found.map(|(_, repo)| repo).with_context(|| format!("{full} is not configured any more"))
    }

    async fn commanded(&self, asked: &By, delivery: &Delivery) -> Result<Reacted> {
        let By { place, author, command, .. } = asked;
        // What was begun once is only followed: whatever its branch has become meanwhile, nobody asked for that.
        if let Some(run) = under_way(delivery.detail.as_deref()) {
            return self.follow(run, delivery, Some(asked)).await;
        }
        let level = self.forge.level(&place.repo, author).await?;
        if level < self.config.commands {
            return Ok(Reacted::ignored(format!("{author} may not command here")));
        }
        let thread = format!("{place}/");
        match command {
            Command::Stop => self.stop(asked, &thread).await,
            Command::Explain => match self.store.runs_of_key(&thread, 1).await?.first() {
                Some(row) => {
                    self.tell_of(asked, row).await?;
                    Ok(Reacted::done(format!("told how run {} stands", short(&row.id))))
                }
                None => {
                    let name = &self.config.name;
                    self.say(asked, &format!("No run was begun for this. `@{name} fix` begins one.\n"))
                        .await?;
                    Ok(Reacted::done("told that there is no run"))
                }
            },
            Command::Fix | Command::Retry => {
                let job = match self.job(asked, &thread).await? {
                    Ok(job) => job,
                    Err(why) => {
                        self.say(asked, &format!("**Not begun**: {}\n", account::inline(&why))).await?;
                        return Ok(Reacted::ignored(why));
                    }
                };
                let by = format!("{}:{author}", self.config.kind.as_str());
                let run = self.put(&place.repo, &job, &by, delivery).await?;
                self.follow(&run, delivery, Some(asked)).await
            }
        }
    }

    /// What a command to fix something comes to; else why nothing is done.
    async fn job(&self, asked: &By, thread: &str) -> Result<Result<Job, String>> {
        let By { place, on_request, comment, command, .. } = asked;
        let again = if *command == Command::Retry { format!("/{comment}") } else { String::new() };
        let origin = Origin {
            forge: place.kind,
            repo: place.repo.clone(),
            branch: None,
            reference: None,
            closes: None,
        };
        if *on_request {
            let request = self.forge.request(&place.repo, place.number).await?;
            if !request.open {
                return Ok(Err("the pull request is closed".to_owned()));
            }
            let (land, reference, branch) = if request.from_fork {
                // Into somebody else's repo nothing is pushed: they get the patch.
                ("none", forked(place), None)
            } else {
                ("pr", format!("refs/heads/{}", request.head), Some(request.head.clone()))
            };
            let goal = match self.goal(self.repo(&place.repo)?, "") {
                Ok(goal) => goal,
                Err(error) => return person_s(error).map(Err),
            };
            return Ok(Ok(Job {
                key: format!("{thread}{}{again}", request.commit),
                work: Work::Command(goal),
                land,
                origin: Origin { branch, reference: Some(reference), ..origin },
                priority: Priority::Normal,
            }));
        }
        let default = self.forge.repo(&place.repo).await?.default_branch;
        let (ticket, priority) = ticket(self.forge.as_ref(), place).await?;
        Ok(Ok(Job {
            key: format!("{thread}issue{again}"),
            work: Work::Ticket(serde_json::to_value(ticket)?),
            land: "pr",
            origin: Origin {
                reference: Some(format!("refs/heads/{default}")),
                closes: Some(place.number),
                ..origin
            },
            priority,
        }))
    }

    async fn failed(
        &self,
        full: &str,
        build: u64,
        branch: &str,
        commit: &str,
        delivery: &Delivery,
    ) -> Result<Reacted> {
        let repo = self.repo(full)?;
        if !repo.heal {
            return Ok(Reacted::ignored("`heal` of the repo is off"));
        }
        if branch.starts_with("regreen/") {
            return Ok(Reacted::ignored("it is a branch of ours: people look at it"));
        }
        let key = format!("{}:{full}/ci/{commit}", self.config.kind.as_str());
        let run = match self.store.run_of_key(&key).await? {
            Some(row) => row.id,
            None => {
                let now = self.forge.build(full, build).await?;
                if !now.failed {
                    return Ok(Reacted::ignored("the build does not fail any more"));
                }
                let tip = self.forge.branch(full, branch).await?;
                if now.commit != commit || tip.is_none_or(|(tip, _)| tip != commit) {
                    return Ok(Reacted::ignored("the branch has moved on"));
                }
                // What has to be green may be configured; then nothing has to be found in a log.
                let log = if repo.check.is_empty() {
                    self.forge.failed_log(full, build).await?
                } else {
                    String::new()
                };
                let goal = match self.goal(repo, &log) {
                    Ok(goal) => goal,
                    Err(error) => return Ok(Reacted::Settled(Settled::Failed(person_s(error)?))),
                };
                let job = Job {
                    key,
                    work: Work::Command(goal),
                    land: "pr",
                    origin: Origin {
                        forge: self.config.kind,
                        repo: full.to_owned(),
                        branch: Some(branch.to_owned()),
                        reference: Some(format!("refs/heads/{branch}")),
                        closes: None,
                    },
                    priority: Priority::High,
                };
                let by = format!("{}:ci", self.config.kind.as_str());
                self.put(full, &job, &by, delivery).await?
            }
        };
        // Whoever reads along is where the branch is to be merged, if it is.
        let request = self.forge.request_of(full, branch).await?;
        let asked = request.map(|request: PullRequest| By {
            place: Place { kind: self.config.kind, repo: full.to_owned(), number: request.number },
            on_request: true,
            comment: 0,
            author: String::new(),
            command: Command::Fix,
        });
        self.follow(&run, delivery, asked.as_ref()).await
    }

    /// The command that has to exit 0: the configured one; else that of the repo's checks which `log` shows to have run; else its tests.
    fn goal(&self, repo: &ForgeRepo, log: &str) -> Result<Vec<String>> {
        if !repo.check.is_empty() {
            return Ok(repo.check.clone());
        }
        let checks = self.checks(&repo.path)?;
        let shown = checks.iter().rev().find(|check| {
            let command = check.run.display();
            command.len() > 5 && log.contains(&command)
        });
        let tests = || checks.iter().find(|check| check.name.contains("test"));
        let check = shown.or_else(tests).or(checks.last()).ok_or_else(|| {
            Fault::usage("the repo has no checks that could be made green")
                .hint("`regreen init` there writes those that its files show, or name one: check = [\"npm\", \"test\"]")
        })?;
        Ok(match &check.run {
            CommandLine::Argv(argv) if check.dir.is_empty() => argv.clone(),
            other => {
                let folder = match check.dir.as_str() {
                    "" => String::new(),
                    dir => format!("cd {} && ", shell_words::quote(dir)),
                };
                ["sh", "-c", &format!("{folder}{}", other.display())].map(str::to_owned).to_vec()
            }
        })
    }

    fn checks(&self, root: &Path) -> Result<Vec<Check>> {
        let settings = crate::config::Settings::load(&self.environment, read_repo_file(root)?.as_deref())?;
        match settings.repo {
            Some(repo) if !repo.checks.is_empty() => Ok(repo.checks),
            _ => {
                let mut found = detect(root, &Programs::of(self.environment.get("PATH"))).checks;
                found.iter_mut().for_each(|check| check.timeout = self.check);
                Ok(found)
            }
        }
    }

    /// Puts a job into the queue, once for its key, and gives its run.
    async fn put(&self, full: &str, job: &Job, by: &str, delivery: &Delivery) -> Result<String> {
        // Its issue may have been given another title since, and it is the same run.
        if let Some(known) = self.store.run_of_key(&job.key).await? {
            return Ok(known.id);
        }
        let action = format!("POST /hooks/{}", self.config.kind.as_str());
        let asked = Asked { actor: by, token: None, action: &action, target: &job.key, remote: None };
        let audit = self.store.audit_begin(&asked).await?;
        let path = &self.repo(full)?.path;
        let request = Request {
            repo: path.canonicalize().unwrap_or_else(|_| path.clone()),
            dir: String::new(),
            work: job.work.clone(),
            land: job.land.to_owned(),
            checks: Vec::new(),
            budget: None,
            timeout: None,
            max_attempts: None,
            sandbox: None,
            network: None,
            no_model: false,
            by: Some(by.to_owned()),
            origin: Some(job.origin.clone()),
        };
        let line = Line { priority: job.priority, key: Some(job.key.clone()), delay: Duration::ZERO };
        let id = uuid::Uuid::now_v7().simple().to_string();
        let submitted = submit(&self.store, &self.redactor, &id, &request, &line).await;
        let status = if submitted.is_ok() { 202 } else { 500 };
        self.store.audit_end(&audit, status, Some(&format!("delivery {}", delivery.label))).await?;
        Ok(submitted?.run)
    }

    /// Says once that a run was begun, and what came of it once it is over.
    async fn follow(&self, run: &str, delivery: &Delivery, asked: Option<&By>) -> Result<Reacted> {
        let row = self.store.run(run).await?;
        let told = super::follows(run);
        if matches!(row.status, Status::Finished | Status::Waiting) {
            if let Some(asked) = asked {
                self.tell_of(asked, &row).await?;
            }
            let outcome = row.outcome.as_deref().unwrap_or("over");
            return Ok(Reacted::done(format!("run {}: {outcome}", short(run))));
        }
        if let Some(asked) = asked
            && delivery.detail.as_deref() != Some(&told)
        {
            self.tell_of(asked, &row).await?;
        }
        Ok(Reacted::Later(EVERY, told))
    }

    async fn stop(&self, asked: &By, thread: &str) -> Result<Reacted> {
        let mut stopped = Vec::new();
        for row in self.store.runs_of_key(thread, 50).await? {
            if !matches!(row.status, Status::Queued | Status::Running) {
                continue;
            }
            match self.orders.cancel(&row.id).await {
                Ok(how) => stopped.push(how),
                // It ended by itself meanwhile.
                Err(error)
                    if error.downcast_ref::<Fault>().is_some_and(|fault| fault.exit == Exit::Usage) => {}
                Err(error) => return Err(error),
            }
        }
        if stopped.is_empty() {
            self.say(asked, "Nothing is under way for this.\n").await?;
            return Ok(Reacted::done("nothing was under way"));
        }
        self.say(asked, &format!("Stopped, as {} asked.\n", account::inline(&asked.author))).await?;
        Ok(Reacted::done(stopped.join("; ")))
    }

    /// Says how a run stands.
    async fn tell_of(&self, asked: &By, row: &RunRow) -> Result<()> {
        if row.status == Status::Queued {
            let text = format!("**Taken up**: run `{}` waits for a worker.\n", row.id);
            return self.say(asked, &text).await;
        }
        let Ok(run) = load(&self.store, &row.id).await else {
            let why = row.summary.as_deref().unwrap_or("it ended before it began");
            return self.say(asked, &format!("**Not begun**: {}\n", account::inline(why))).await;
        };
        let mut parts = Vec::new();
        for (_, child, _) in &run.subtasks {
            parts.push(load(&self.store, child).await?);
        }
        tell(self.forge.as_ref(), &asked.place, asked.on_request, &run, &parts).await
    }

    async fn say(&self, asked: &By, text: &str) -> Result<()> {
        let thread = Thread { number: asked.place.number, on_request: asked.on_request };
        say(self.forge.as_ref(), &asked.place.repo, thread, &what(&asked.place), text).await
    }
}

/// What keeps a run from being begun, where that is a person's to change.
fn person_s(error: anyhow::Error) -> Result<String> {
    match error.downcast_ref::<Fault>() {
        Some(fault) => {
            let hint = fault.hint.as_deref().map(|hint| format!(" ({hint})")).unwrap_or_default();
            Ok(format!("{fault}{hint}"))
        }
        None => Err(error),
    }
}

/// Where a forge keeps the head of a pull request, whichever repo it is from.
fn forked(place: &Place) -> String {
    match place.kind {
        ForgeKind::Github => format!("refs/pull/{}/head", place.number),
        ForgeKind::Gitlab => format!("refs/merge-requests/{}/head", place.number),
    }
}
