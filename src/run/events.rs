//! What happens in a run, as it is kept: a run is the list of its events, in order, and nothing else.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fault::Exit;
use crate::guards::Finding;
use crate::landing::Base;
use crate::models::ledger::Call;
use crate::outcome::{Check, Outcome};
use crate::patch::{Patch, RelPath};
use crate::policy::{Assessment, Governance, Terms};
use crate::redact::Redactor;
use crate::sandbox::Network;
use crate::usage::Money;

/// An event with its place in its run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The run.
    pub run: String,
    /// Its place, from 1, without gaps.
    pub seq: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What started a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Trigger {
    /// `heal -- CMD`: the command should exit 0.
    Heal,
    /// A sub-task of a ticket's plan: the tree is green and something is to be added.
    Subtask {
        /// The ticket's run.
        ticket: String,
        /// The sub-task's number in the plan: `1.2`.
        id: String,
        /// Its title.
        title: String,
        /// All that a model is told of it.
        task: String,
        /// The sub-task as the plan has it.
        subtask: serde_json::Value,
        /// Whether it has acceptance criteria, for which tests have to be added.
        needs_tests: bool,
    },
    /// A ticket: its sub-tasks are runs of their own.
    Ticket {
        /// Where it came from.
        source: String,
        /// Its title.
        title: String,
        /// The whole ticket, so that a run can go on though its file is gone.
        ticket: serde_json::Value,
        /// Only its plan is wanted.
        #[serde(default)]
        only_plan: bool,
        /// What a person says to `plan`, or to the last plan of it.
        #[serde(default)]
        feedback: Option<String>,
        /// The plan that was made elsewhere.
        #[serde(default)]
        plan: Option<serde_json::Value>,
        /// The branch that the ticket's own begins at, where that does not exist yet.
        #[serde(default)]
        onto: Option<String>,
    },
    /// A proposal: what somebody suggests is tested on its base, repaired if that is asked for, and lands when it was approved.
    Proposal {
        /// Its id.
        id: String,
        /// What it does, in one line.
        title: String,
        /// Why.
        description: String,
        /// The branch, tag or commit that it was asked to build on; `None` for the commit that is checked out.
        base: Option<String>,
        /// What it changes, on top of the run's base.
        patch: Patch,
    },
    /// An incident: a crash is reproduced, and then gone.
    Incident {
        /// Its id.
        id: String,
        /// What happened, in one line.
        title: String,
        /// The type of the exception: what a failure has to tell of to be the same one.
        exception: String,
        /// The repo's files that its trace goes through, the innermost first.
        files: Vec<String>,
        /// All that a model is told of it.
        task: String,
        /// Whether the goal is the crashing command itself; otherwise the goal are the tests, and a patch has to bring one that reproduces it.
        replay: bool,
    },
}

/// What is asked of a run that waits in the queue: whoever claims it makes its [`Spec`] from it, on the machine and the tree that it is
/// done on. What is `None` is as configured there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The root of the repo's working tree.
    pub repo: PathBuf,
    /// The folder that commands start in, relative to the root.
    #[serde(default)]
    pub dir: String,
    /// What is to be done.
    pub work: Work,
    /// Where a proven patch goes, as on the command line.
    #[serde(default = "to_a_branch")]
    pub land: String,
    /// Other checks that must not get worse: names and lines for a shell.
    #[serde(default)]
    pub checks: Vec<(String, String)>,
    /// Money for the whole run.
    #[serde(default)]
    pub budget: Option<Money>,
    /// Wall time for the whole run.
    #[serde(default)]
    pub timeout: Option<Duration>,
    /// Attempts over all rungs.
    #[serde(default)]
    pub max_attempts: Option<u32>,
    /// The isolation.
    #[serde(default)]
    pub sandbox: Option<crate::config::SandboxMode>,
    /// What commands may reach.
    #[serde(default)]
    pub network: Option<crate::config::NetworkAccess>,
    /// Whether no model is asked.
    #[serde(default)]
    pub no_model: bool,
    /// Who asks: the name of a token, or the user of the command line.
    #[serde(default)]
    pub by: Option<String>,
    /// What of a forge it is for.
    #[serde(default)]
    pub origin: Option<Origin>,
}

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// This command should exit 0: program and arguments.
    Command(Vec<String>),
    /// This ticket should be implemented.
    Ticket(serde_json::Value),
    /// This ticket of a tracker should be planned, or implemented as planned there.
    Tracked(Box<Tracked>),
    /// This proposal should be tested, and repaired if it says so.
    Proposal(Box<crate::proposal::Asked>),
    /// This incident should be reproduced by a test, and healed.
    Incident {
        /// Its id.
        id: String,
        /// What happened, in one line.
        title: String,
    },
}

/// What of a forge a run is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Which forge.
    pub forge: crate::config::ForgeKind,
    /// The repo's full name there.
    pub repo: String,
    /// The branch that its pull request is for; `None` for the default one.
    #[serde(default)]
    pub branch: Option<String>,
    /// What is fetched from there to build on: `refs/heads/main`, `refs/pull/7/head`; `None` for what is checked out here.
    #[serde(default)]
    pub reference: Option<String>,
    /// The issue that is done with it.
    #[serde(default)]
    pub closes: Option<u64>,
}

/// A ticket with what a tracker knows of its plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracked {
    /// The ticket.
    pub ticket: serde_json::Value,
    /// The plan to carry out, or, with `feedback`, to revise; `None` where one has to be made.
    #[serde(default)]
    pub plan: Option<serde_json::Value>,
    /// What people say to the plan.
    #[serde(default)]
    pub feedback: Option<String>,
    /// Only its plan is wanted.
    #[serde(default)]
    pub only_plan: bool,
    /// The branch that the ticket's own begins at; what is checked out, where there is none.
    #[serde(default)]
    pub onto: Option<String>,
}

/// Nobody looks at the working tree of a run that was queued.
fn to_a_branch() -> String {
    "branch".to_owned()
}

/// One step of the ladder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    /// The fixer's name: `memory`, `codefix`, `model(<name>)`.
    pub fixer: String,
    /// How often it may try.
    pub attempts: u32,
    /// Whether its tries cost money: the stop rules for repeated failures look at these.
    pub model: bool,
    /// Its place in the configured ladder, from 0.
    pub place: usize,
}

/// Everything that a run needs to know to be done, or to be continued by another process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// What started it.
    pub trigger: Trigger,
    /// The root of the repo's working tree (or of the folder, where there is no repo).
    pub root: PathBuf,
    /// The failing check.
    pub goal: Check,
    /// The other checks that must not get worse.
    pub checks: Vec<Check>,
    /// Where a proven patch goes, as given on the command line: `worktree`, `commit`, `branch=NAME`, `pr=NAME`, `none`.
    pub land: String,
    /// The fixers in their order.
    pub ladder: Vec<Rung>,
    /// Attempts over all rungs; `None` where only the rungs limit them.
    pub max_attempts: Option<u32>,
    /// Money for the whole run.
    pub budget: Money,
    /// What the configuration allowed a run when this one began: more since then counts for a run that goes on.
    #[serde(default)]
    pub configured: Money,
    /// Wall time for the whole run.
    pub timeout: Option<Duration>,
    /// How often the goal must be green in the proof.
    pub repeat: u32,
    /// Whether hunks that are not needed are dropped before the proof.
    pub minimise: bool,
    /// What commands may reach.
    pub network: Network,
    /// What prepares the tree, if it has to be.
    #[serde(default)]
    pub setup: Option<Preparation>,
    /// The isolation asked for.
    pub sandbox: crate::sandbox::Mode,
    /// Only the baseline; nothing is tried.
    pub dry_run: bool,
    /// What the run started from, and what its landing compares with. For a sub-task the head is the ticket's branch.
    pub from: Base,
    /// Changes between the tree on disk and the run's base: for a landing as a commit the uncommitted changes taken back, for a
    /// sub-task what earlier sub-tasks landed.
    #[serde(default)]
    pub base: Patch,
    /// Files on disk that the base does not have either, and that are too large to be part of `base`: attempts are made without them.
    #[serde(default)]
    pub hidden: Vec<RelPath>,
    /// Globs of paths that no patch may touch without an approval.
    #[serde(default)]
    pub protected: Vec<String>,
    /// How big a patch may be.
    #[serde(default)]
    pub limits: crate::guards::Limits,
    /// Files whose existing tests may change without an approval: the ticket names them, and the sub-task's plan says that it changes them.
    #[serde(default)]
    pub test_changes: Vec<crate::patch::RelPath>,
    /// The house's and the repo's rules for models.
    #[serde(default)]
    pub rules: String,
    /// What may land by itself.
    #[serde(default)]
    pub governance: Governance,
    /// Who asked for the run: the name of a token, or the user of the command line.
    #[serde(default)]
    pub requester: String,
    /// What of a forge it is for.
    #[serde(default)]
    pub origin: Option<Origin>,
}

/// What prepares the tree before checks can run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preparation {
    /// What it runs, as a check named `setup`.
    pub check: Check,
    /// What it may reach: no more than the user allows.
    pub network: Network,
    /// Whether the repo asks for it; otherwise its files only suggest it, and it runs when the goal fails for want of packages.
    pub declared: bool,
    /// Packages whose own code may reach what the setup may reach, while they are installed: the user's choice.
    #[serde(default)]
    pub trusted: Vec<String>,
}

/// Where in the run a check ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Before everything: packages are installed.
    Setup,
    /// On a proposal's base, without the proposal.
    Base,
    /// On the untouched tree.
    Baseline,
    /// On an attempt's patch.
    Attempt,
    /// On the tests of an attempt's patch alone: they have to fail as the incident did.
    Reproduce,
    /// While needless hunks are looked for.
    Minimise,
    /// In the fresh workspace of the proof.
    Proof,
}

/// What the baseline found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "baseline")]
pub enum Baseline {
    /// The goal is green: nothing to do.
    Green,
    /// Red twice.
    Red,
    /// The goal, or a test in it or in another check, was both red and green on the same files.
    Flaky {
        /// What was seen both ways: tests, or the first diagnostics.
        what: Vec<String>,
    },
    /// No edit repairs it.
    Infra {
        /// What happened.
        reason: String,
        /// What a person should do.
        advice: String,
    },
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Every check that has to be is green: on to the proof.
    Green,
    /// Better than before and nothing worse: the base of the next attempt.
    Keep,
    /// Dropped whole.
    Drop,
    /// The fixer has nothing (more): on to the next rung.
    Pass,
}

/// Why a run stopped without a green tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopRule {
    /// Every rung is used up.
    LadderExhausted,
    /// The attempts given by the user.
    Attempts,
    /// Money for the run.
    Budget,
    /// Money for 24 hours over all runs.
    Day,
    /// Wall time.
    Time,
    /// The same patch was proposed twice by a model.
    SamePatch,
    /// The same diagnostics after two attempts of models.
    SameDiagnostics,
    /// A model says that it cannot be repaired by an edit.
    Unfixable,
    /// The ticket leaves something open.
    Questions,
    /// The commit to build on is green; only uncommitted changes, which a commit leaves out, are red.
    Uncommitted,
    /// The user asked for the baseline only.
    DryRun,
    /// The tree moved and the patch does not fit it any more.
    Moved,
    /// A guard or policy wants a person to look, and that person said no.
    Rejected,
    /// Policy lets nobody land it.
    Denied,
    /// Regreen is halted, or the repo is.
    Halted,
    /// A person cancelled it.
    Cancelled,
    /// The proposal does not fit its base, or holds what no proposal may.
    Unfit,
    /// Something broke that is not the repo's fault.
    Fault,
}

impl StopRule {
    /// Whether a run that stopped by it may be given another chance.
    pub fn can_go_on(self) -> bool {
        matches!(
            self,
            StopRule::Budget
                | StopRule::Day
                | StopRule::Time
                | StopRule::Attempts
                | StopRule::Fault
                | StopRule::Halted
        )
    }
}

/// What people are asked who have to agree to a patch. An answer counts for this patch only, and only until the question is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The digest of the patch.
    pub patch: String,
    /// How many people have to agree.
    pub people: u32,
    /// Who may not: whoever asked for the run, where somebody else has to agree.
    #[serde(default)]
    pub except: Option<String>,
    /// When it is over, and has to be asked again.
    pub expires: Timestamp,
}

/// What was proven, and how anyone can do it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// The run.
    pub run: String,
    /// The tree that the patch was made on: the snapshot's git tree id.
    pub base: String,
    /// SHA-256 of the patch.
    pub patch: String,
    /// The checks with what they came to in the fresh workspace.
    pub checks: Vec<Proven>,
    /// Tests that ran at the baseline and in the proof.
    pub tests_before: Option<u64>,
    /// See `tests_before`.
    pub tests_after: Option<u64>,
    /// The isolation it was made in.
    pub sandbox: crate::sandbox::Mode,
    /// Versions of the tools that took part, by name.
    pub tools: std::collections::BTreeMap<String, String>,
    /// Regreen's own version.
    pub regreen: String,
    /// Whether it is a proposal's: then the checks may be green without the patch, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub proposal: bool,
}

/// One execution of a check in the proof.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proven {
    /// The check, so that it can be run again.
    pub check: Check,
    /// Whether it was green; a check that was red at the baseline may stay so, with nothing new.
    pub green: bool,
    /// Tests that ran, where its runner counts them.
    #[serde(default)]
    pub tests: Option<u64>,
    /// How long it took.
    pub duration: Duration,
    /// SHA-256 of its output.
    pub log_digest: String,
}

/// The round of events that were recorded without one.
fn first() -> u32 {
    1
}

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event {
    /// The run waits in the queue to be begun.
    Submitted(Box<Request>),
    /// The run begins.
    Started(Box<Spec>),
    /// Another process took it up after the first one died or was stopped.
    Resumed {
        /// Why: `resume`, `approve`.
        why: String,
    },
    /// The run is given other limits: more money by a person, or, for a ticket's sub-task that goes on, what the ticket has left.
    Allowed {
        /// For the whole run, what is spent already included.
        budget: Money,
        /// What the configuration allowed a run at that time.
        configured: Money,
        /// Attempts, those made already included; `None` where that stays as it was.
        #[serde(default)]
        max_attempts: Option<u32>,
        /// Wall time, what is used already included; `None` where that stays as it was.
        #[serde(default)]
        timeout: Option<Duration>,
    },
    /// A check begins.
    CheckStarted {
        /// Where in the run.
        phase: Phase,
        /// Its name.
        check: String,
        /// What it runs, for people.
        command: String,
        /// Which execution of it this is in this phase on the same files, from 1. The baseline repeats what is red to tell flaky failures
        /// apart, the proof repeats the goal.
        #[serde(default = "first")]
        round: u32,
    },
    /// A check ended.
    Checked {
        /// Where in the run.
        phase: Phase,
        /// What it came to.
        outcome: Box<Outcome>,
        /// As `check-started` has it.
        #[serde(default = "first")]
        round: u32,
    },
    /// Attempts stand on top of what the setup made from here on.
    Prepared {
        /// The layer's name.
        layer: String,
        /// Whether an earlier run made it.
        reused: bool,
    },
    /// What an attempt's manifests ask for is installed for the attempts that have them; this is what package managers then wrote into
    /// lock files, and part of the patch from here on.
    Installed {
        /// From 1.
        attempt: u32,
        /// On top of the patch.
        locks: Patch,
    },
    /// The baseline is known.
    Baseline(Baseline),
    /// A fixer is asked.
    AttemptStarted {
        /// From 1.
        attempt: u32,
        /// The rung, from 0.
        rung: usize,
        /// The fixer's name.
        fixer: String,
    },
    /// A model was called.
    Asked {
        /// The attempt, 0 for a plan.
        attempt: u32,
        /// The call.
        call: Box<Call>,
    },
    /// A fixer proposed a patch.
    Proposed {
        /// The attempt.
        attempt: u32,
        /// The label for the trailer: `codefix(rustc)`.
        fixer: String,
        /// What was wrong and what the patch does.
        explanation: String,
        /// The patch, on top of what was kept.
        patch: Patch,
        /// Other patches that also looked right.
        #[serde(default)]
        alternatives: Vec<Patch>,
    },
    /// Guards spoke up about a proposal.
    Guarded {
        /// The attempt.
        attempt: u32,
        /// What they found.
        findings: Vec<Finding>,
    },
    /// An attempt is over.
    Decided {
        /// The attempt.
        attempt: u32,
        /// What becomes of it.
        decision: Decision,
        /// Why, for people and for the next fixer.
        reason: String,
        /// What is red now, where checks ran and the patch is kept or dropped.
        #[serde(default)]
        red: Vec<Outcome>,
    },
    /// Needless hunks were looked for.
    Minimised {
        /// What is left.
        patch: Patch,
        /// How many hunks were dropped.
        dropped: usize,
        /// How many there were.
        of: usize,
        /// Why a person has to look at what is left.
        #[serde(default)]
        approval: Vec<String>,
    },
    /// How risky the patch is, and what policy says of it.
    Assessed {
        /// The digest of the patch.
        patch: String,
        /// Its risk, and why.
        assessment: Assessment,
        /// What follows from it where the run's repo is.
        terms: Terms,
    },
    /// The patch holds in a fresh workspace.
    Proven {
        /// The proof.
        proof: Box<Proof>,
        /// Checks that are red in a way that could not be seen before: a person has to look.
        #[serde(default)]
        doubts: Vec<String>,
    },
    /// The patch does not hold in a fresh workspace; it is dropped.
    NotProven {
        /// Why.
        reason: String,
    },
    /// A person has to look before the landing.
    ApprovalNeeded {
        /// Why.
        reasons: Vec<String>,
        /// What is asked of whom; nothing where it is a ticket's sub-task that waits.
        #[serde(default)]
        question: Option<Question>,
    },
    /// A person chose another of the green candidates: it is proven before anything else, and lands as it was looked at.
    Chosen {
        /// Who.
        by: String,
        /// Its number, from 1: the patch of the attempt that went green, then that attempt's `alternatives`.
        candidate: usize,
    },
    /// A person looked and agrees.
    Approved {
        /// Who.
        by: String,
        /// The digest of the patch that they agree to; in the events of older versions the one that was kept then.
        #[serde(default)]
        patch: Option<String>,
        /// What they remark.
        #[serde(default)]
        remark: Option<String>,
    },
    /// A person looked and refuses.
    Rejected {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// Regreen was halted while the run was under way: it goes back to the queue as it is.
    Halted {
        /// Who halted it.
        by: String,
        /// Why.
        reason: String,
    },
    /// The tree moved since the snapshot; the patch is proven again on this one.
    Moved {
        /// What is there now.
        from: Box<Base>,
        /// The changes between the tree on disk and the base that the patch is proven on next.
        base: Patch,
        /// Files on disk that attempts are made without.
        #[serde(default)]
        hidden: Vec<RelPath>,
        /// Which files moved.
        files: Vec<String>,
    },
    /// The landing begins; from here on it is finished or taken back.
    LandingStarted {
        /// What it does.
        record: Box<crate::landing::Record>,
    },
    /// The landing is complete.
    Landed {
        /// What it did; `None` where nothing was to land.
        record: Option<Box<crate::landing::Record>>,
    },
    /// What landed is pushed, with a pull request where a forge is configured.
    Published {
        /// What is there now.
        publication: Box<crate::forge::Publication>,
    },
    /// A landing that was cut off by a crash was taken back or completed.
    Recovered {
        /// `completed`, `rolled back` or `not begun`.
        how: String,
    },
    /// The plan of a ticket.
    Planned {
        /// The plan, as JSON of its published form.
        plan: serde_json::Value,
    },
    /// A sub-task's run is over.
    SubtaskDone {
        /// The sub-task's number.
        id: String,
        /// Its own run.
        child: String,
        /// The commit that it landed as.
        commit: Option<String>,
        /// What its models cost.
        cost: Money,
    },
    /// Something a person should know that does not stop the run.
    Warned {
        /// What.
        what: String,
        /// What to do about it.
        advice: String,
    },
    /// The run stops without a green tree.
    Stopped {
        /// The rule.
        rule: StopRule,
        /// Why, in words.
        why: String,
        /// Where a person should look first.
        look_at: Vec<String>,
    },
    /// The landing was taken back.
    RolledBack {
        /// How, in words.
        how: String,
    },
    /// The run is over.
    Finished {
        /// How.
        exit: Exit,
        /// How long commands of the repo ran since the run began or was taken up: its checks, and what fixers tried.
        #[serde(default)]
        ran: Duration,
    },
}

/// Fields of events that are used again as they are: the contents of files, what git and the disk call things. What the user's own files
/// hold is kept with them.
const EXACT: &[&str] = &["patch", "alternatives", "base", "from", "hidden", "record"];

/// Takes what a model was sent, and what it answered, out of an event of the kind `asked` as it is kept. What the call used and cost stays.
pub fn empty_prompts(payload: &mut serde_json::Value) {
    let Some(call) = payload.get_mut("call") else { return };
    if let Some(request) = call.get_mut("request") {
        request["system"] = "".into();
        request["turns"] = serde_json::Value::Array(Vec::new());
    }
    if let Some(answer) = call.pointer_mut("/answer/Ok") {
        answer["text"] = "".into();
    }
    if let Some(why) = call.pointer_mut("/answer/Err") {
        *why = "".into();
    }
}

impl Event {
    /// The event as it is written down. The beginning of a run is what the user asked for, command and all, and stays as it is: without it
    /// the run could not go on.
    ///
    /// # Errors
    /// Only where an event cannot be told as JSON.
    pub fn without_secrets(self, redactor: &Redactor) -> serde_json::Result<Self> {
        if matches!(self, Event::Started(_)) {
            return Ok(self);
        }
        let whole = serde_json::to_value(&self)?;
        let mut cleaned = whole.clone();
        redactor.redact_json(&mut cleaned, &|field| EXACT.contains(&field));
        if cleaned == whole { Ok(self) } else { serde_json::from_value(cleaned) }
    }

    /// The name under which it is kept and printed.
    pub fn kind(&self) -> &'static str {
        match self {
            Event::Submitted(_) => "submitted",
            Event::Started(_) => "started",
            Event::Resumed { .. } => "resumed",
            Event::Allowed { .. } => "allowed",
            Event::CheckStarted { .. } => "check-started",
            Event::Checked { .. } => "checked",
            Event::Prepared { .. } => "prepared",
            Event::Installed { .. } => "installed",
            Event::Baseline(_) => "baseline",
            Event::AttemptStarted { .. } => "attempt-started",
            Event::Asked { .. } => "asked",
            Event::Proposed { .. } => "proposed",
            Event::Guarded { .. } => "guarded",
            Event::Decided { .. } => "decided",
            Event::Minimised { .. } => "minimised",
            Event::Assessed { .. } => "assessed",
            Event::Proven { .. } => "proven",
            Event::NotProven { .. } => "not-proven",
            Event::ApprovalNeeded { .. } => "approval-needed",
            Event::Chosen { .. } => "chosen",
            Event::Approved { .. } => "approved",
            Event::Rejected { .. } => "rejected",
            Event::Halted { .. } => "halted",
            Event::Moved { .. } => "moved",
            Event::LandingStarted { .. } => "landing-started",
            Event::Landed { .. } => "landed",
            Event::Published { .. } => "published",
            Event::Recovered { .. } => "recovered",
            Event::Planned { .. } => "planned",
            Event::SubtaskDone { .. } => "subtask-done",
            Event::Warned { .. } => "warned",
            Event::Stopped { .. } => "stopped",
            Event::RolledBack { .. } => "rolled-back",
            Event::Finished { .. } => "finished",
        }
    }
}
