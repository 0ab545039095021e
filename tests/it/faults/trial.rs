//! One seed's plan carried out, and what must hold after each step.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use regreen::store::{RunFilter, RunRow, Status, Store};
use regreen::usage::Money;
use serde_json::Value;

use super::plan::{Kind, Plan, Scene, Where};
use super::relay::Relay;
use super::supervised::{self, Ended, Fault, Moment};
use crate::project::{Project, Ran};
use crate::tickets::subjects;
use crate::vendor::{Anthropic, Reply, Vendor};

/// As many right answers as repeated runs may ask for.
const ANSWERS: usize = 12;

type Tree = BTreeMap<PathBuf, (Vec<u8>, u32)>;

/// Runs what is asynchronous: servers, which live as long as the process, and the store.
fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Runtime::new().expect("a runtime"))
}

/// The library that shifts the clock, built once.
fn clock_library() -> &'static Path {
    static BUILT: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("clock.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/faults/clock.c");
        let built =
            Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&path).arg(source).status();
        assert!(built.expect("cc runs").success());
        (folder, path)
    });
    path
}

/// A model's server and the way to it.
struct Model {
    vendor: Vendor,
    relay: Relay,
    script: Vec<Reply>,
}

/// How a seed went.
#[derive(Debug)]
pub struct Report {
    /// How the first process ended.
    pub first: &'static str,
    /// Its kinds of faults, and whether they came to happen.
    pub met: Vec<(String, bool)>,
    /// What was done to the program at which call.
    pub at: Vec<String>,
    /// The processes that met them.
    pub pids: [u32; 2],
    /// How many calls and events the first process had.
    pub calls: usize,
    pub events: usize,
}

/// Everything that one seed is about.
pub struct Trial {
    seed: u64,
    pub plan: Plan,
    project: Project,
    model: Option<Model>,
    before: Tree,
    commits: usize,
}

impl Trial {
    pub fn new(seed: u64) -> Self {
        let plan = Plan::of(seed);
        let mut project = plan.scene.project();
        let model = matches!(plan.scene, Scene::Model | Scene::Ticket).then(|| {
            let script: Vec<Reply> =
                plan.replies.iter().cloned().chain(vec![plan.scene.answer(); ANSWERS]).collect();
            let vendor = runtime().block_on(Anthropic::start(script.clone()));
            let relay = Relay::start(&vendor.base_url(), &plan.lines);
            Model { vendor, relay, script }
        });
        if let Some(model) = &model {
            project = project.anthropic(&model.vendor);
            project.env.insert("ANTHROPIC_BASE_URL".into(), model.relay.base_url());
        }
        let before = project.everything();
        let commits = project.git(&["rev-list", "--count", "HEAD"]).parse().expect("a number");
        Self { seed, plan, project, model, before, commits }
    }

    /// Carries the plan out.
    pub fn run(&self) -> Report {
        let disk = [&*self.project.root, &*self.project.home];
        let mut command = self.project.command(&self.plan.scene.goal(self.plan.limits()));
        if let Some((at, by)) = self.plan.clock {
            command.env("LD_PRELOAD", clock_library());
            command.env("FAULT_CLOCK_AT", at.to_string()).env("FAULT_CLOCK_BY", by.to_string());
        }
        let first = supervised::run(command, &self.faults(), &disk);
        self.decent(first.code, &first.stderr);
        self.tree_is_whole_but_for_what_was_written("after the faults");
        self.nothing_told_is_lost(&first);
        let resumed = supervised::run(self.project.command(&["resume"]), &self.plan.again, &disk);
        self.decent(resumed.code, &resumed.stderr);
        self.tree_is_whole_but_for_what_was_written("after a resume");
        // Whatever the faults were, they are over: the next command settles the rest.
        if let Some(model) = &self.model {
            model.relay.behave();
            model.vendor.play(vec![self.plan.scene.answer(); ANSWERS]);
        }
        let settled = self.regreen(&["resume"]);
        self.tree_is_whole("after the second resume");
        self.nothing_is_left_behind();
        let open = self.runs().iter().filter(|run| run.status == Status::Running).count();
        self.must(open == 0, "a run is open", &settled);
        self.money_adds_up();

        if self.plan.scene == Scene::Ticket {
            self.ticket_is_done_once();
        } else {
            self.goal_is_green_once();
        }
        self.nothing_is_left_behind();
        self.money_adds_up();
        self.report(&first, &resumed)
    }

    /// Where no fault was in the way of it any more, the repair is there, once, and can be taken back.
    fn goal_is_green_once(&self) {
        let (broken, mended) = (self.plan.scene.broken(), self.plan.scene.mended());
        let edited = self.plan.edits().any(|(path, text)| {
            let now = self.project.read_if(path);
            now.is_some_and(|now| now == *text || now == text.replace(broken, mended))
        });
        if self.project.read(self.plan.scene.file()) != mended && !edited {
            let healed = self.regreen(&self.plan.scene.goal(&[]));
            self.must(healed.code == Some(0), "a run without faults heals", &healed);
            self.tree_is_whole("after a run without faults");
        }
        let landed = self.head_commits() - self.commits;
        let wanted = usize::from(self.plan.scene == Scene::Commit && !edited);
        self.must(landed == wanted || edited && landed <= 1, "commits", &landed);

        let landed: Vec<RunRow> = self.runs().into_iter().filter(|run| run.landed.is_some()).collect();
        self.must(landed.len() <= 1, "landed twice", &landed);
        if let Some(run) = landed.first() {
            let undone = self.regreen(&["rollback", &run.id]);
            if !edited {
                self.must(undone.code == Some(0), "a rollback", &undone);
                self.must(self.project.everything() == self.before, "all is as before", &undone);
            }
            self.tree_is_whole("after the rollback");
        }
    }

    /// Every sub-task is a commit on the ticket's branch, once, and all of them can be taken back.
    fn ticket_is_done_once(&self) {
        let branches = || -> BTreeMap<String, Vec<String>> {
            let names =
                self.project.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads/regreen"]);
            names.lines().map(|name| (name.to_owned(), subjects(&self.project, name))).collect()
        };
        let done = || branches().values().any(|subjects| subjects.len() == 2);
        if !done() {
            let ran = self.regreen(&self.plan.scene.goal(&[]));
            self.must(ran.code == Some(0) && done(), "a run without faults implements", &ran);
        }
        for (branch, subjects) in branches() {
            let of = |name: &str| subjects.iter().filter(|subject| subject.contains(name)).count();
            let whole =
                subjects.len() <= 2 && of("Add subtract") == 1.min(subjects.len()) && of("Add multiply") <= 1;
            self.must(whole, "a branch", &(branch, subjects));
        }
        self.tree_is_whole("after the ticket");
        let tickets: Vec<RunRow> = self.runs().into_iter().filter(|run| run.trigger == "ticket").collect();
        for ticket in &tickets {
            let undone = self.regreen(&["rollback", &ticket.id]);
            self.must(matches!(undone.code, Some(0 | 2)), "a rollback", &undone);
        }
        for branch in branches().keys() {
            let left = self.project.git(&["diff", "--stat", "main", branch]);
            self.must(left.is_empty(), "something of the ticket is left", &left);
        }
        self.tree_is_whole("after the rollback");
    }

    fn report(&self, first: &Ended, resumed: &Ended) -> Report {
        let met = |Kind { name, place }: &Kind| {
            let met = match place {
                Where::First(fault) => first.met.iter().any(|(met, _)| met == fault),
                Where::Resume(fault) => resumed.met.iter().any(|(met, _)| met == fault),
                Where::Beside => true,
            };
            (name.clone(), met)
        };
        Report {
            first: match first.code {
                None => "killed",
                Some(0) => "green",
                Some(130) => "interrupted",
                Some(4) => "limit",
                Some(_) => "gave up",
            },
            met: self.plan.kinds.iter().map(met).collect(),
            at: first.met.iter().chain(&resumed.met).map(|(_, at)| at.clone()).collect(),
            pids: [first.pid, resumed.pid],
            calls: first.calls,
            events: first.events,
        }
    }

    /// The path of an edit is below the root.
    fn faults(&self) -> Vec<(Moment, Fault)> {
        let placed = |(at, fault): &(Moment, Fault)| match fault {
            Fault::Edit { path, text } => {
                (*at, Fault::Edit { path: self.project.root.join(path), text: text.clone() })
            }
            other => (*at, other.clone()),
        };
        self.plan.faults.iter().map(placed).collect()
    }

    #[track_caller]
    fn must(&self, holds: bool, what: &str, more: &dyn std::fmt::Debug) {
        assert!(holds, "seed {} ({:?}): {what}: {more:#?}", self.seed, self.plan);
    }

    /// No bug of ours showed.
    fn decent(&self, code: Option<i32>, stderr: &str) {
        self.must(code != Some(70) && !stderr.contains("panicked"), "a bug", &stderr);
        self.must(!matches!(code, Some(101)), "a panic", &stderr);
    }

    /// The tree holds what the user left there, and for the healed file that or the repair.
    fn tree_is_whole(&self, when: &str) {
        self.holds_what_it_should(self.project.everything(), when);
    }

    /// The same right after a kill, where a file that was being written may still lie beside its place until the next start.
    fn tree_is_whole_but_for_what_was_written(&self, when: &str) {
        let mut now = self.project.everything();
        now.retain(|path, _| !path.to_string_lossy().starts_with(".regreen-"));
        self.holds_what_it_should(now, when);
    }

    fn holds_what_it_should(&self, mut now: Tree, when: &str) {
        let mut wanted = self.before.clone();
        for (path, text) in self.plan.edits() {
            // An edit that came after the end never happened.
            if now.get(path).is_some_and(|(bytes, _)| bytes == text.as_bytes()) {
                now.remove(path);
                wanted.remove(path);
            }
        }
        let file = Path::new(self.plan.scene.file());
        if let Some((bytes, mode)) = now.remove(file) {
            let (_, mode_before) = wanted.remove(file).expect("it was there");
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let (broken, mended) = (self.plan.scene.broken(), self.plan.scene.mended());
            // What the user wrote meanwhile may be healed as well: proven again with it.
            let healed = self.plan.edits().map(|(_, text)| text.replace(broken, mended));
            let known: Vec<String> = [broken.into(), mended.into()].into_iter().chain(healed).collect();
            self.must(known.contains(&text), &format!("{when}: the file is neither"), &text);
            self.must(mode == mode_before, &format!("{when}: its mode"), &(mode, mode_before));
        }
        let names = |tree: &Tree| tree.keys().cloned().collect::<Vec<_>>();
        self.must(now == wanted, &format!("{when}: the tree"), &(names(&now), names(&wanted)));
    }

    fn head_commits(&self) -> usize {
        self.project.git(&["rev-list", "--count", "HEAD"]).parse().expect("a number")
    }

    fn nothing_is_left_behind(&self) {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        self.must(!mounts.contains(&*self.project.base().to_string_lossy()), "a mount", &mounts);
        let state = self.project.state();
        for folder in [state.join("workspaces"), state.join("temporary"), self.project.home.join("tmp")] {
            let left: Vec<PathBuf> =
                std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
            self.must(left.is_empty(), "a temporary folder is left", &left);
        }
        // What snapshots are kept in is made beside its place.
        let made = std::fs::read_dir(state.join("snapshots")).into_iter().flatten().flatten();
        let names: Vec<String> = made.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        let half = names.iter().filter(|name| name.starts_with("making-")).count();
        self.must(half == 0, "half a private folder is left", &names);
    }

    fn regreen(&self, arguments: &[&str]) -> Ran {
        let ran = self.project.regreen(arguments);
        self.decent(ran.code, &ran.stderr);
        ran
    }

    /// The store, while no process of ours is at work in it. It is not there where a run was cut off before it was made.
    fn store(&self) -> Store {
        let path = self.project.state().join("regreen.db");
        runtime().block_on(Store::open(&path)).expect("the store opens")
    }

    fn runs(&self) -> Vec<RunRow> {
        let store = self.store();
        runtime().block_on(async {
            let rows = store.runs(&RunFilter::default(), 100).await.expect("the runs");
            store.close().await;
            rows
        })
    }

    /// What was told of a run is in the store, byte for byte.
    fn nothing_told_is_lost(&self, ended: &Ended) {
        // The last line may be cut.
        let told: Vec<&str> =
            ended.stdout.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
        // A ticket's run and those of its sub-tasks are told of on one stream.
        let mut runs: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for line in told {
            let event: Value = serde_json::from_str(line).expect("an event");
            runs.entry(event["run"].as_str().expect("a run").to_owned()).or_default().push(line);
        }
        for (run, told) in runs {
            let ran = self.regreen(&["logs", "--json", &run]);
            let kept: Vec<&str> = ran.stdout.split_inclusive('\n').collect();
            self.must(kept.starts_with(&told), "an event was told and is lost", &(told, kept));
        }
    }

    /// Every call is booked once, in its run, in the list of runs and in the day, and nothing stays set aside.
    fn money_adds_up(&self) {
        let store = self.store();
        let (runs, calls, reserving, taken) = runtime().block_on(async {
            let runs = store.runs(&RunFilter::default(), 100).await.expect("the runs");
            let mut calls = Vec::new();
            for run in &runs {
                let events = store.events(&run.id, 0).await.expect("its events");
                let asked = events.into_iter().filter(|event| event.kind == "asked");
                calls.push(asked.map(|event| event.payload["call"].clone()).collect::<Vec<Value>>());
            }
            let reserving = store.reserving().await.expect("what is set aside");
            // Without room for anything the store tells what is taken.
            let probe = store.reserve("probe", Money(1), Money(0), &Value::Null).await.expect("an answer");
            store.close().await;
            (runs, calls, reserving, probe.expect_err("there is no room"))
        });
        self.must(reserving.is_empty() && taken.reserved == Money(0), "money stays set aside", &reserving);
        let cost = |call: &Value| call["cost"].as_u64().unwrap_or(0);
        for (run, calls) in runs.iter().zip(&calls) {
            let asked = calls.iter().map(cost).sum();
            self.must(run.cost == Money(asked), "a run's money", &(run, asked));
        }
        let all = Money(calls.iter().flatten().map(cost).sum());
        // What a clock put into another year is not of this day.
        self.must(self.plan.clock.is_some() || taken.spent == all, "the day's money", &(taken, all));
        if let Some(model) = &self.model {
            let asked = model.vendor.requests().len();
            let answered = |at: &usize| !matches!(model.script.get(*at), Some(Reply::Raw { .. }));
            let answered = (0..asked).filter(answered).count();
            let booked = calls.iter().flatten().filter(|call| cost(call) > 0).count();
            self.must(booked >= answered, "a call is not booked", &(booked, answered, &calls));
        }
    }
}
